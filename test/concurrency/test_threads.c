/* test_threads.c - threads over one mapping: the same library under ThreadSanitizer and plain. Every sum is exact.
 *
 * ThreadSanitizer sees one mapping in one process only, and knows nothing of membarrier: races by design are named in test/tsan.supp, each
 * with its reason. Numbers are small, for it is slow. */
#include "helper.h"
#include "arena.h"

#include "tarn/channel.h"

#define THREADS 4u
#define ROUNDS (SANITIZED ? 400u : 4000u)
#define NODES 64u
#define NAMED (getenv("TARN_TEST_FILE") || on_sysv())

static tarn *seg;
static struct arena *a;
static pthread_barrier_t gate;

static int set_up(void **state)
{
    struct tarn_options o = {.size = sizeof o, .initial = 1 << 20, .limit = 64 << 20, .participants = 8};
    (void)state;
    alarm(SANITIZED ? 280 : 100);
    a = arena_open(NAMED ? "posix:/threads" : "anon:", &o, &seg);
    return pthread_barrier_init(&gate, NULL, THREADS);
}
static int tear_down(void **state)
{
    (void)state;
    int damages = tarn_check(seg, NULL, NULL), e = tarn_close(seg);
    if (NAMED)
        e |= tarn_unlink("posix:/threads");
    if (damages || e)
        print_error("%d damages; close: %d\n", damages, e);
    pthread_barrier_destroy(&gate);
    alarm(0);
    return damages || e;
}

struct worker {
    unsigned i;
    uint64_t x, done;
};
static uint64_t dice(struct worker *w)
{
    w->x ^= w->x << 13, w->x ^= w->x >> 7, w->x ^= w->x << 17;
    return w->x >> 11;
}
static uint64_t all(void *(*run)(void *)) /* by THREADS at once; what they have done together */
{
    pthread_t t[THREADS];
    struct worker w[THREADS] = {0};
    uint64_t done = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){i, 0x9e3779b97f4a7c15 * (i + 1), 0};
        assert_int_equal(pthread_create(&t[i], NULL, run, &w[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        done += w[i].done;
    }
    return done;
}
static void begin(void)
{
    pthread_barrier_wait(&gate);
}

/* ---- locks ---- */

static void *count(void *arg)
{
    struct worker *w = arg;
    begin();
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned k = (unsigned)dice(w) % 3;
        struct timespec later = from_now(60000);
        switch (dice(w) % 3) {
        case 0: check(tarn_mutex_lock(seg, &a->lock[k]) == 0); break;
        case 1: check(tarn_mutex_timed(seg, &a->lock[k], &later) == 0); break;
        default:
            if (tarn_mutex_try(seg, &a->lock[k]) != 0)
                continue;
        }
        a->word[k]++; /* no atomic instruction: the lock is all */
        check(tarn_mutex_unlock(seg, &a->lock[k]) == 0);
        w->done++;
    }
    return NULL;
}
static void locks_exclude(void **state)
{
    (void)state;
    uint64_t done = all(count);
    assert_int_equal(a->word[0] + a->word[1] + a->word[2], done);
    assert_true(done >= THREADS * ROUNDS / 2);
}

/* ---- sections ---- */

static void *own_sections(void *arg)
{
    struct worker *w = arg;
    uint64_t *mine = a->word + w->i * 64;
    begin();
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint64_t k = dice(w) % 60;
        check(tarn_begin(seg) == 0);
        for (int j = 0; j < 4; j++) {
            check(tarn_save(seg, &mine[k + j], 8) == 0);
            mine[k + j]++;
        }
        if (n % 3 == 0)
            check(tarn_abort(seg) == 0);
        else {
            check(tarn_commit(seg) == 0);
            w->done += 4;
        }
    }
    return NULL;
}
static void sections_apart(void **state)
{
    (void)state;
    uint64_t done = all(own_sections), sum = 0;
    for (unsigned i = 0; i < WORDS; i++)
        sum += a->word[i];
    assert_int_equal(sum, done);
    assert_int_equal(done, THREADS * 4ull * (ROUNDS - (ROUNDS + 2) / 3));
}

/* Money moved between accounts, each with a lock, in whatever order: circles are told, aborted, and tried again. */
static void *move(void *arg)
{
    struct worker *w = arg;
    begin();
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned from = (unsigned)dice(w) % 5, to = (from + 1 + (unsigned)dice(w) % 4) % 5;
        for (;;) {
            check(tarn_begin(seg) == 0);
            check(tarn_mutex_lock(seg, &a->lock[from]) == 0);
            check(tarn_save(seg, &a->word[from], 8) == 0);
            a->word[from] -= 7;
            int e = tarn_mutex_lock(seg, &a->lock[to]);
            check(e == 0 || e == -EDEADLK);
            check(tarn_mutex_unlock(seg, &a->lock[from]) == 0);
            if (e) {
                check(tarn_abort(seg) == 0);
                continue;
            }
            check(tarn_save(seg, &a->word[to], 8) == 0);
            a->word[to] += 7;
            check(tarn_mutex_unlock(seg, &a->lock[to]) == 0);
            if (dice(w) % 4)
                check(tarn_commit(seg) == 0);
            else
                check(tarn_abort(seg) == 0);
            break;
        }
        w->done++;
    }
    return NULL;
}
static void sections_together(void **state)
{
    (void)state;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 5; i++)
        a->word[i] = 1u << 30;
    assert_int_equal(all(move), THREADS * (uint64_t)ROUNDS);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(a->lock[i].owner, 0);
        sum += a->word[i];
    }
    assert_int_equal(sum, 5ull << 30);
}

/* ---- memory ---- */

/* Slots in shared memory: who fills one and who empties it are different threads mostly, so most frees are remote. */
struct shelf {
    tarn_mutex lock[NODES];
    tarn_ref ref[NODES];
};
static struct shelf *slots;

static void *alloc_and_free(void *arg)
{
    struct worker *w = arg;
    begin();
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned k = (unsigned)dice(w) % NODES;
        size_t size = 16 + dice(w) % (n % 64 ? 300 : 100000);
        check(tarn_mutex_lock(seg, &slots->lock[k]) == 0);
        if (slots->ref[k]) {
            unsigned char *b = tarn_ptr(seg, slots->ref[k], 16);
            size_t room = tarn_block_size(seg, slots->ref[k]);
            check(b && room >= 16 && b[0] == k + 1 && b[15] == k + 1);
            check((n % 2 ? tarn_free_from(seg, &slots->ref[k]) : tarn_retire_from(seg, &slots->ref[k])) == 0);
            check(slots->ref[k] == 0);
        } else {
            check(tarn_alloc_into(seg, &slots->ref[k], size) == 0);
            unsigned char *b = tarn_ptr(seg, slots->ref[k], size);
            check(b && tarn_block_size(seg, slots->ref[k]) >= size);
            for (size_t i = 0; i < size; i++)
                check(b[i] == 0); /* zeroed, and nobody else's */
            memset(b, (int)k + 1, size);
        }
        check(tarn_mutex_unlock(seg, &slots->lock[k]) == 0);
        w->done++;
    }
    return NULL;
}
static void memory_goes_around(void **state)
{
    (void)state;
    uint64_t before, leaked;
    assert_int_equal(tarn_object(seg, "slots", struct shelf, &slots), 0);
    before = stat_of(seg).allocated;
    for (int round = 0; round < 2; round++) { /* new threads: the spans of those who have left are adopted */
        assert_int_equal(all(alloc_and_free), THREADS * (uint64_t)ROUNDS);
        for (unsigned k = 0; k < NODES; k++)
            if (slots->ref[k])
                assert_int_equal(tarn_free_from(seg, &slots->ref[k]), 0);
        assert_int_equal(stat_of(seg).allocated, before);
    }
    assert_int_equal(tarn_leaked(seg, &leaked), 0);
    assert_int_equal(leaked, 0);
}

/* ---- readers ---- */

/* One replaces a block and retires the old one; the others read without a lock: a block that they can reach says one thing throughout. */
#define TELLS 32
static volatile int over;
static void *read_or_write(void *arg)
{
    struct worker *w = arg;
    uint64_t last = 0;
    begin();
    if (w->i == 0) {
        for (uint64_t n = 1; n <= ROUNDS; n++) {
            tarn_ref fresh, old = a->ref[1];
            check(tarn_begin(seg) == 0);
            check(tarn_alloc(seg, TELLS * 8, &fresh) == 0);
            uint64_t *b = tarn_ptr(seg, fresh, TELLS * 8);
            for (int i = 0; i < TELLS; i++)
                b[i] = n;
            check(tarn_save(seg, &a->ref[1], 8) == 0);
            __atomic_store_n(&a->ref[1], fresh, __ATOMIC_RELEASE);
            if (old)
                check(tarn_retire(seg, old) == 0);
            check(tarn_commit(seg) == 0);
            w->done++;
        }
        reach(&over, 1);
        return NULL;
    }
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE) || !w->done) {
        check(tarn_read_begin(seg) == 0);
        tarn_ref ref = __atomic_load_n(&a->ref[1], __ATOMIC_ACQUIRE);
        if (ref) {
            const uint64_t *b = tarn_ptr(seg, ref, TELLS * 8);
            check(b && b[0] >= last);
            last = b[0];
            for (int i = 0; i < TELLS; i++)
                check(b[i] == last);
            w->done++;
        }
        check(tarn_read_end(seg) == 0);
    }
    return NULL;
}
static void readers_see_whole_blocks(void **state)
{
    (void)state;
    over = 0;
    assert_true(all(read_or_write) >= ROUNDS + THREADS - 1);
    uint64_t *b = tarn_ptr(seg, a->ref[1], TELLS * 8);
    assert_non_null(b);
    assert_int_equal(b[0], ROUNDS);
    assert_int_equal(tarn_free_from(seg, &a->ref[1]), 0);
}

/* ---- maps and names ---- */

static tarn_map *numbers, *bytes;
static void *use_maps(void *arg)
{
    struct worker *w = arg;
    uint64_t value, have[NODES] = {0};
    char key[32], got[64];
    size_t size;
    begin();
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        uint64_t k = dice(w) % NODES, mine = k * THREADS + w->i;
        size_t key_size = (size_t)snprintf(key, sizeof key, "key %u of %u", (unsigned)k, w->i);
        check(tarn_map_add64(numbers, 1000000 + k % 5, 1, NULL) == 0); /* everybody's */
        if (have[k]) {
            check(tarn_map_get64(numbers, mine, &value) == 0 && value == have[k]);
            check(tarn_map_get(bytes, key, key_size, got, sizeof got, &size) == 0 && size == 8 + have[k] % 40);
            memcpy(&value, got, 8);
            check(value == have[k]);
        } else {
            check(tarn_map_get64(numbers, mine, &value) == -ENOENT);
            check(tarn_map_get(bytes, key, key_size, got, sizeof got, &size) == -ENOENT);
        }
        if (dice(w) % 3 == 0) {
            int e = tarn_map_remove64(numbers, mine);
            check(e == (have[k] ? 0 : -ENOENT));
            check(tarn_map_remove(bytes, key, key_size) == e);
            have[k] = 0;
        } else {
            char put[64] = {0};
            memcpy(put, &n, 8);
            check(tarn_map_put64(numbers, mine, n) == 0);
            check(tarn_map_put(bytes, key, key_size, put, 8 + n % 40) == 0);
            have[k] = n;
        }
    }
    for (unsigned k = 0; k < NODES; k++)
        w->done += have[k] != 0;
    return NULL;
}
static void maps(void **state)
{
    (void)state;
    uint64_t n, sum = 0, left;
    assert_int_equal(tarn_map_open(seg, "numbers", TARN_CREATE | TARN_MAP_U64, &numbers), 0);
    assert_int_equal(tarn_map_open(seg, "bytes", TARN_CREATE, &bytes), 0);
    left = all(use_maps);
    for (uint64_t k = 0; k < 5; k++) {
        assert_int_equal(tarn_map_get64(numbers, 1000000 + k, &n), 0);
        sum += n;
    }
    assert_int_equal(sum, THREADS * (uint64_t)ROUNDS);
    assert_int_equal(tarn_map_count(numbers, &n), 0);
    assert_int_equal(n, left + 5);
    assert_int_equal(tarn_map_count(bytes, &n), 0);
    assert_int_equal(n, left);
    tarn_map_close(numbers);
    tarn_map_close(bytes);
}

static tarn_vector *wide;
static tarn_bytes *letters;
static tarn_queue *queue;
static tarn_stack *stack;
struct wide {
    uint64_t word[3]; /* all the same */
};
static void *use_collections(void *arg)
{
    struct worker *w = arg;
    begin();
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint64_t r = dice(w), x = dice(w);
        struct wide e = {{x, x, x}};
        char text[64];
        size_t size = 0;
        tarn_ref ref;
        int got;
        switch (r % 8) {
        case 0:
            check(tarn_vector_push(seg, wide, &e, sizeof e, NULL) == 0);
            w->done++;
            break;
        case 1:
            got = tarn_vector_pop(seg, wide, &e, sizeof e);
            check(got == 0 || got == -ENOENT);
            w->done -= got == 0;
            break;
        case 2:
            got = tarn_vector_set(seg, wide, x % 8, &e, sizeof e);
            check(got == 0 || got == -ENOENT);
            break;
        case 3:
        case 4:
            got = tarn_vector_get(seg, wide, x % 8, &e, sizeof e);
            check(got == -ENOENT || (got == 0 && e.word[0] == e.word[1] && e.word[1] == e.word[2]));
            break;
        case 5:
            size = 1 + x % 60;
            memset(text, (int)size, size);
            check(tarn_bytes_set(seg, letters, text, size) == 0);
            break;
        case 6:
            check(tarn_bytes_get(seg, letters, text, sizeof text, &size) == 0);
            for (size_t i = 0; i < size; i++)
                check(text[i] == (char)size);
            break;
        default:
            check(tarn_begin(seg) == 0);
            got = x % 2 ? tarn_queue_pop(seg, queue, &ref) : tarn_stack_pop(seg, stack, &ref);
            if (got == 0)
                got = x / 2 % 2 ? tarn_queue_push(seg, queue, ref) : tarn_stack_push(seg, stack, ref);
            check(got == 0 || got == -ENOENT || got == -EDEADLK);
            check((got == 0 && x / 4 % 4 ? tarn_commit : tarn_abort)(seg) == 0);
        }
    }
    return NULL;
}
static void collections(void **state)
{
    (void)state;
    tarn_ref ref;
    assert_int_equal(tarn_object(seg, "wide", tarn_vector, &wide), 0);
    assert_int_equal(tarn_object(seg, "letters", tarn_bytes, &letters), 0);
    assert_int_equal(tarn_object(seg, "queue", tarn_queue, &queue), 0);
    assert_int_equal(tarn_object(seg, "stack", tarn_stack, &stack), 0);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_alloc(seg, 40, &ref), 0);
        assert_int_equal(i % 2 ? tarn_queue_push(seg, queue, ref) : tarn_stack_push(seg, stack, ref), 0);
        assert_int_equal(tarn_commit(seg), 0);
    }
    uint64_t done = all(use_collections);
    assert_int_equal(tarn_vector_size(seg, wide), done);
    assert_int_equal(tarn_queue_count(seg, queue) + tarn_stack_count(seg, stack), NODES);
}

/* Trees: own keys, exact; a walk that is in order, and shows each of one's own that is there. */
static tarn_tree *ordered, *ordered_bytes;
static void *use_trees(void *arg)
{
    struct worker *w = arg;
    uint64_t value, at, last, seen, have[NODES] = {0}, mine_there = 0;
    char key[32], got[64];
    tarn_tree_cursor *c;
    size_t size;
    begin();
    check(tarn_tree_cursor_open(ordered, &c) == 0);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        uint64_t k = dice(w) % NODES, mine = k * THREADS + w->i;
        size_t key_size = (size_t)snprintf(key, sizeof key, "key %u of %u", (unsigned)k, w->i);
        int e = have[k] ? 0 : -ENOENT;
        check(tarn_tree_get64(ordered, mine, &value) == e && (e || value == have[k]));
        check(tarn_tree_get(ordered_bytes, key, key_size, got, sizeof got, &size) == e);
        check(e || (size == 8 + have[k] % 40 && !memcmp(got, &have[k], 8)));
        if (dice(w) % 2 == 0) {
            check(tarn_tree_remove64(ordered, mine) == e);
            check(tarn_tree_remove(ordered_bytes, key, key_size) == e);
            mine_there -= have[k] != 0;
            have[k] = 0;
        } else {
            char put[64] = {0};
            memcpy(put, &n, 8);
            check(tarn_tree_put64(ordered, mine, n) == 0);
            check(tarn_tree_put(ordered_bytes, key, key_size, put, 8 + n % 40) == 0);
            mine_there += !have[k];
            have[k] = n;
        }
        if (n % 64)
            continue;
        tarn_tree_seek_first(c);
        for (last = seen = 0; tarn_tree_next64(c, &at, &value) == 0; last = at + 1) {
            check(at >= last);
            seen += at % THREADS == w->i;
        }
        check(seen == mine_there);
    }
    tarn_tree_cursor_close(c);
    w->done = mine_there;
    return NULL;
}
static void trees(void **state)
{
    (void)state;
    uint64_t n, left;
    assert_int_equal(tarn_tree_open(seg, "ordered", TARN_CREATE | TARN_TREE_U64, &ordered), 0);
    assert_int_equal(tarn_tree_open(seg, "ordered bytes", TARN_CREATE, &ordered_bytes), 0);
    left = all(use_trees);
    assert_int_equal(tarn_tree_count(ordered, &n), 0);
    assert_int_equal(n, left);
    assert_int_equal(tarn_tree_count(ordered_bytes, &n), 0);
    assert_int_equal(n, left);
    tarn_tree_close(ordered);
    tarn_tree_close(ordered_bytes);
}

static void *use_names(void *arg)
{
    struct worker *w = arg;
    char name[32];
    begin();
    for (unsigned n = 0; n < ROUNDS / 8; n++) {
        uint64_t *shared, *mine;
        tarn_ref ref;
        struct tarn_type type = TARN_TYPE(uint64_t);
        snprintf(name, sizeof name, "shared %u", n % 16);
        check(tarn_object(seg, name, uint64_t, &shared) == 0);
        __atomic_fetch_add(shared, 1, __ATOMIC_RELAXED);
        snprintf(name, sizeof name, "of %u", w->i);
        check(tarn_find(seg, name, &type, &ref) == -ENOENT);
        check(tarn_object(seg, name, uint64_t, &mine) == 0 && *mine == 0);
        *mine = 7;
        check(tarn_find(seg, name, &type, &ref) == 0 && tarn_ptr(seg, ref, 8) == (void *)mine);
        check(tarn_unbind(seg, name, 1) == 0);
        w->done++;
    }
    return NULL;
}
static void names(void **state)
{
    (void)state;
    uint64_t done = all(use_names), sum = 0, *shared;
    char name[32];
    for (unsigned k = 0; k < 16; k++) {
        snprintf(name, sizeof name, "shared %u", k);
        assert_int_equal(tarn_object(seg, name, uint64_t, &shared), 0);
        sum += *shared;
    }
    assert_int_equal(done, THREADS * (uint64_t)(ROUNDS / 8));
    assert_int_equal(sum, done);
}

/* ---- rings: two, with an end in each thread ---- */

static void *send_or_receive(void *arg)
{
    struct worker *w = arg;
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = w->i / 2 ? 256 : 8, .message = 24, .flags = w->i / 2 ? TARN_RING_BYTES : 0};
    tarn_ring *r;
    begin();
    check(tarn_ring_open(seg, w->i / 2 ? "bytes" : "slots",
                         TARN_CREATE | (w->i % 2 ? TARN_SEND : TARN_RECEIVE), &o, &r) == 0);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        uint64_t message[3] = {n, n, n}, *at = message;
        const void *seen;
        size_t size = 8 * (1 + n % 3);
        if (w->i % 2 && n % 2)
            check(tarn_ring_send(r, message, size) == 0);
        else if (w->i % 2) {
            check(tarn_ring_loan(r, 24, (void **)&at) == 0);
            at[0] = at[1] = at[2] = n;
            check(tarn_ring_send_loan(r, size) == 0);
        } else if (n % 4) {
            check(tarn_ring_receive(r, message, sizeof message, &size) == 0);
            check(size == 8 * (1 + n % 3) && message[0] == n && message[size / 8 - 1] == n);
        } else {
            check(tarn_ring_take(r, &seen, &size) == 0);
            check(size == 8 * (1 + n % 3) && ((const uint64_t *)seen)[size / 8 - 1] == n);
            check(tarn_ring_release(r) == 0);
        }
        w->done += n;
    }
    check(tarn_ring_close(r) == 0);
    return NULL;
}
static void rings(void **state)
{
    (void)state;
    assert_int_equal(all(send_or_receive), THREADS * (uint64_t)ROUNDS * (ROUNDS + 1) / 2);
}

/* ---- all at once, while threads come, go and die ---- */

static void *come_and_die(void *arg)
{
    check(tarn_begin(seg) == 0);
    int e = tarn_mutex_lock(seg, &a->lock[9]);
    check(e == 0);
    check(tarn_save(seg, &a->word[9], 8) == 0);
    a->word[9]++;
    if (arg)
        return NULL; /* with the section open */
    check(tarn_mutex_unlock(seg, &a->lock[9]) == 0);
    check(tarn_commit(seg) == 0);
    return NULL;
}
static void *spawn(void *arg)
{
    struct worker *w = arg;
    begin();
    for (unsigned n = 0; n < 40; n++) {
        pthread_t t;
        bool dies = n % 2;
        check(pthread_create(&t, NULL, come_and_die, dies ? w : NULL) == 0 && pthread_join(t, NULL) == 0);
        w->done += !dies;
    }
    return NULL;
}
static void deaths_between(void **state)
{
    (void)state;
    uint64_t done = all(spawn);
    tarn_recover(seg);
    assert_int_equal(done, THREADS * 20);
    assert_int_equal(a->word[9], done);
    assert_int_equal(stat_of(seg).undone, THREADS * 20);
    assert_int_equal(stat_of(seg).participants, 1);
}

/* ---- topics ---- */

struct news_item {
    uint64_t who, number, sum;
};
static bool item_good(const struct news_item *m, uint64_t *last)
{
    bool good = m->who < THREADS && m->sum == m->who * 1000003 + m->number && m->number > last[m->who];
    if (good)
        last[m->who] = m->number;
    return good;
}
static void *topic_worker(void *arg)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = 8, .message = sizeof(struct news_item), .parties = THREADS};
    struct worker *w = arg;
    uint64_t last[THREADS] = {0};
    tarn_topic *t;
    bool good = tarn_topic_open(seg, "news", TARN_CREATE | TARN_SEND | TARN_RECEIVE, &o, &t) == 0;
    pthread_barrier_wait(&gate);
    for (uint64_t i = 1; good && i <= ROUNDS; i++) {
        struct news_item m = {w->i, i, w->i * 1000003 + i};
        const struct news_item *taken;
        struct tarn_topic_news news;
        void *loan;
        if (i % 2)
            good = tarn_topic_send(t, &m, sizeof m) == 0;
        else {
            good = tarn_topic_loan(t, sizeof m, &loan) == 0;
            if (good) {
                *(struct news_item *)loan = m;
                good = tarn_topic_send_loan(t, loan, sizeof m) == 0;
            }
        }
        for (uint64_t k = dice(w) % 4; good && k; k--) {
            if (k % 2) {
                if (tarn_topic_receive_try(t, &m, sizeof m, &news) == 0) {
                    good = item_good(&m, last);
                    w->done += 1 + news.lost;
                }
            } else if (tarn_topic_take_try(t, (const void **)&taken, &news) == 0) {
                good = item_good(taken, last);
                w->done += 1 + news.lost;
                good &= tarn_topic_release(t, taken) == 0;
            }
        }
        good &= tarn_topic_latest(t, &m, sizeof m, &news) == 0 && m.sum == m.who * 1000003 + m.number;
    }
    pthread_barrier_wait(&gate);
    struct news_item m;
    struct tarn_topic_news news;
    while (good && tarn_topic_receive_try(t, &m, sizeof m, &news) == 0) {
        good = item_good(&m, last);
        w->done += 1 + news.lost;
    }
    if (!good || tarn_topic_close(t))
        w->done = 0;
    return NULL;
}
static void topics(void **state)
{
    (void)state;
    assert_int_equal(all(topic_worker), (uint64_t)THREADS * THREADS * ROUNDS); /* received, or told to be lost */
}

/* Half of them send, half receive; two queues, of small messages and of large ones, and each message in one of the forms. */
static void *pass_on(void *arg)
{
    static const char *const names[] = {"small", "large"};
    struct worker *w = arg;
    tarn_mq *mq[2];
    for (unsigned k = 0; k < 2; k++)
        check(tarn_mq_open(seg, names[k], w->i % 2 ? TARN_RECEIVE : TARN_SEND, NULL, &mq[k]) == 0);
    begin();
    for (unsigned n = 1; n <= ROUNDS; n++)
        for (unsigned k = 0; k < 2; k++) {
            uint64_t body[16] = {n, ~(uint64_t)n}, *at = body;
            size_t size = 0;
            if (w->i % 2) {
                bool take = dice(w) % 2;
                check((take ? tarn_mq_take(mq[k], (void **)&at, &size)
                            : tarn_mq_receive(mq[k], body, sizeof body, &size)) == 0);
                check(size == (k ? sizeof body : 16) && at[1] == ~at[0]);
                w->done += at[0];
                if (take)
                    check(tarn_mq_release(mq[k], at) == 0);
            } else if (k && dice(w) % 2) {
                check(tarn_mq_loan(mq[k], sizeof body, (void **)&at) == 0);
                at[0] = n, at[1] = ~(uint64_t)n;
                check(tarn_mq_send_loan(mq[k], dice(w) % 2, at, sizeof body) == 0);
            } else
                check(tarn_mq_send(mq[k], dice(w) % 2, body, k ? sizeof body : 16) == 0);
        }
    for (unsigned k = 0; k < 2; k++)
        check(tarn_mq_close(mq[k]) == 0);
    return NULL;
}
static void message_queues(void **state)
{
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .number = 2, .message = 16, .parties = THREADS};
    tarn_mq *mq;
    (void)state;
    assert_int_equal(tarn_mq_open(seg, "small", TARN_CREATE, &o, &mq), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    o.message = 128;
    assert_int_equal(tarn_mq_open(seg, "large", TARN_CREATE, &o, &mq), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(all(pass_on), THREADS / 2 * 2 * ((uint64_t)ROUNDS * (ROUNDS + 1) / 2));
}

/* ---- call: clients and servers; bodies in the slot's first line, and behind it ---- */

static unsigned clients_left;
static void *talk(void *arg)
{
    struct worker *w = arg;
    uint64_t body[12] = {0}, got[12];
    tarn_call *call;
    check(tarn_call_open(seg, "call", w->i & 1 ? TARN_SEND : TARN_RECEIVE, NULL, &call) == 0);
    begin();
    if (w->i & 1) {
        for (unsigned n = 0; n < ROUNDS; n++) {
            size_t size = 8 * (1 + n % 12), back = 0;
            for (int k = 0; k < 12; k++)
                body[k] = dice(w);
            check(tarn_call_ask(call, n % 2, body, size, got, sizeof got, &back) == 0);
            check(back == size && !memcmp(got, body, size));
            w->done++;
        }
        __atomic_sub_fetch(&clients_left, 1, __ATOMIC_SEQ_CST);
    } else
        while (__atomic_load_n(&clients_left, __ATOMIC_SEQ_CST)) {
            struct timespec later = from_now(10);
            struct tarn_request r;
            if (tarn_call_next_timed(call, &r, &later) == 0)
                check(tarn_call_answer(call, r.id, r.at, r.size) == 0);
        }
    check(tarn_call_close(call) == 0);
    (void)tarn_thread_detach(seg);
    return NULL;
}
static void calls(void **state)
{
    static const struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .message = 96};
    tarn_call *call;
    (void)state;
    clients_left = THREADS / 2;
    assert_int_equal(tarn_call_open(seg, "call", TARN_CREATE, &o, &call), 0);
    assert_int_equal(tarn_call_close(call), 0);
    assert_int_equal(all(talk), THREADS / 2 * ROUNDS);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(locks_exclude),
        with_segment(sections_apart),
        with_segment(sections_together),
        with_segment(memory_goes_around),
        with_segment(readers_see_whole_blocks),
        with_segment(maps),
        with_segment(collections),
        with_segment(trees),
        with_segment(message_queues),
        with_segment(names),
        with_segment(topics),
        with_segment(rings),
        with_segment(deaths_between),
        with_segment(calls),
    };
    return cmocka_run_group_tests_name("threads", tests, own_directory, remove_directory);
}

/* test_bounded.c - memory stays bounded: what is committed, against what is in use, over long and changing work. Counts, no times.
 *
 * Each test states a bound on the committed spans and says why it is one (docs/heap.md, 'How much memory'); each prints what it came to. All in a segment that could
 * grow to far more. TARN_TEST_ROUNDS multiplies the work (suite soak); a bound that only holds for a while would be broken then. */
#include "helper.h"

#include "arena.h"

enum { SPAN = 65536, SLOTS = 4096, RING = 256, CLASSES = 56 };

struct shelf {
    tarn_mutex lock;
    tarn_semaphore empty, full;
    tarn_ref slot[SLOTS];
};

static uint64_t rounds(void)
{
    const char *n = getenv("TARN_TEST_ROUNDS");
    return n ? strtoull(n, NULL, 10) : 1;
}

static tarn *seg;
static struct shelf *shelf;

static char name[32];

static void open_shelf(uint32_t span_size)
{
    static int n;
    struct tarn_options o = {
        .size = sizeof o, .initial = 1 << 20, .limit = 4ull << 30, .participants = 64, .span_size = span_size};
    int e;
    snprintf(name, sizeof name, "posix:/bounded%d", n++);
    e = tarn_open(name, TARN_CREATE, &o, &seg);
    if (e < 0)
        print_error("open: %d: %s\n", e, tarn_error());
    assert_int_equal(e, 0);
    assert_int_equal(tarn_object(seg, "shelf", struct shelf, &shelf), 0);
}
static void close_shelf(void)
{
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(name), 0);
}

/* Committed spans now; said, with what is in them. */
static void assert_bounded(const char *what, uint64_t live, uint64_t bound)
{
    struct tarn_heap_stats t;
    assert_int_equal(tarn_heap_stats(seg, &t), 0);
    print_message("%-34s live %7.1f MiB, committed %7.1f MiB, bound %7.1f MiB; committed / live %5.2f\n",
                  what, (double)live / 1048576, (double)t.spans * t.span_size / 1048576,
                  (double)bound * t.span_size / 1048576,
                  (double)t.spans * t.span_size / (double)(live ? live : 1));
    if (t.spans > bound)
        fail_msg("%s: %llu spans are committed, and %llu are the bound", what, (unsigned long long)t.spans,
                 (unsigned long long)bound);
}

static uint64_t state_of_dice = 88172645463325252ull;
static uint32_t dice(uint32_t n)
{
    state_of_dice ^= state_of_dice << 13;
    state_of_dice ^= state_of_dice >> 7;
    state_of_dice ^= state_of_dice << 17;
    return (uint32_t)(state_of_dice >> 33) % n;
}
/* As many of each doubling: small ones are many, large ones are most of the bytes. */
static size_t any_size(uint32_t doublings)
{
    uint32_t base = 16u << dice(doublings);
    return base + dice(base);
}

/* ---- producer and consumer ---- */

static bool retires;
static uint64_t handed;

static void consume(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < handed; i++) {
        tarn_ref *slot = &shelf->slot[i % RING];
        check(tarn_semaphore_wait(seg, &shelf->full) == 0);
        check((retires ? tarn_retire_from(seg, slot) : tarn_free_from(seg, slot)) == 0);
        check(tarn_semaphore_post(seg, &shelf->empty) == 0);
    }
}

static void produce_for_ever(const char *what, size_t size, bool retire, uint64_t bound)
{
    pid_t consumer;
    int status;
    open_shelf(SPAN);
    retires = retire;
    handed = 100000 * rounds();
    assert_int_equal(tarn_semaphore_init(seg, &shelf->empty, RING), 0);
    fflush(NULL);
    consumer = fork();
    if (consumer == 0) {
        consume(NULL);
        _exit(0);
    }
    for (uint64_t i = 0; i < handed; i++) {
        size_t n = size ? size : any_size(9);
        check(tarn_semaphore_wait(seg, &shelf->empty) == 0);
        check(tarn_alloc_into(seg, &shelf->slot[i % RING], n) == 0);
        check(tarn_semaphore_post(seg, &shelf->full) == 0);
    }
    assert_int_equal(waitpid(consumer, &status, 0), consumer);
    assert_int_equal(status, 0);
    assert_bounded(what, RING * (size ? size : 4096), bound);
    close_shelf();
}

/* docs/heap.md, 'How much memory': of a class in which at most `need` spans are full, alive or in limbo, at one time, as many again, or 64, are claimed before its owner looks for
 * what it can give back; then there is what there was at first, and an eighth that growth is generous by. Each class may keep a span. */
static uint64_t bound_of(uint64_t need, uint64_t classes)
{
    return 16 + (2 * (need + classes) + 64) * 9 / 8;
}
static uint64_t spans_of(uint64_t blocks, uint64_t size)
{
    return (blocks * size + SPAN - 1) / SPAN;
}
/* A span is taken back from once half of it was freed by others, or an eighth of it retired; so RING blocks alive may hold twice as much back. What is retired waits
 * for two epochs, each of 16 refills: 34 refills of at most 62 blocks, or of what a span has. */
static void producer_and_consumer(void **state)
{
    (void)state;
    produce_for_ever("producer, consumer: 64 bytes", 64, false, bound_of(spans_of(2 * RING, 64), 1));
    produce_for_ever("... 1000 bytes", 1000, false, bound_of(spans_of(2 * RING, 1024), 1));
    produce_for_ever("... 1000 bytes, retired", 1000, true, bound_of(spans_of(2 * RING + 34 * 62, 1024), 1));
    produce_for_ever("... any size to 8 KiB", 0, false, bound_of(spans_of(2 * RING, 8192), CLASSES));
    produce_for_ever("... any size, retired", 0, true, bound_of(spans_of(2 * RING + 34 * 8, 8192), 2 * CLASSES));
}

/* ---- sizes that change ---- */

/* The same bytes are in use all the time, of one size after the other. Sizes of before leave empty spans, which are given back before the segment has doubled: so
 * twice what the largest phase needs, and a span kept for each class. */
static void sizes_change(void **state)
{
    enum { RUNS = 256 };
    (void)state;
    open_shelf(SPAN);
    for (uint64_t round = 0; round < rounds(); round++)
        for (size_t size = 4096; size <= 16384; size += size / 8) {
            for (uint32_t i = 0; i < RUNS; i++)
                assert_int_equal(tarn_alloc_into(seg, &shelf->slot[i], size), 0);
            for (uint32_t i = 0; i < RUNS; i++)
                assert_int_equal(tarn_free_from(seg, &shelf->slot[i]), 0);
        }
    for (uint64_t round = 0; round < 2 * rounds(); round++)
        for (size_t size = 512; size <= 8192; size *= 2)
            for (size_t part = 8; part <= 15; part++) {
                size_t n = size / 8 * part;
                if (n > 8192)
                    break;
                for (uint32_t i = 0; i < SLOTS; i++)
                    assert_int_equal(tarn_alloc_into(seg, &shelf->slot[i], n), 0);
                for (uint32_t i = 0; i < SLOTS; i++)
                    assert_int_equal(tarn_free_from(seg, &shelf->slot[i]), 0);
            }
    assert_bounded("sizes that change", SLOTS * 8192, bound_of(spans_of(SLOTS, 8192), CLASSES));
    close_shelf();
}

/* ---- churn ---- */

/* Blocks of all sizes come and go at random; some live on through all of it. A span is handed out of again as soon as one of its blocks is free, so of each class as
 * many spans are held as its most blocks at one time need, if they all lay badly twice; runs need adjoining spans. */
static void fragmentation(void **state)
{
    uint64_t live = 0, most = 0, size[SLOTS] = {0};
    (void)state;
    open_shelf(SPAN);
    for (uint64_t i = 0; i < 400000 * rounds(); i++) {
        uint32_t k = dice(SLOTS);
        if (shelf->slot[k]) {
            if (k % 16 == 0 && dice(64)) /* these stay */
                continue;
            assert_int_equal(tarn_free_from(seg, &shelf->slot[k]), 0);
            live -= size[k];
        } else {
            size_t n = any_size(12); /* to 64 KiB */
            assert_int_equal(tarn_alloc_into(seg, &shelf->slot[k], n), 0);
            size[k] = tarn_block_size(seg, shelf->slot[k]);
            live += size[k];
            if (live > most)
                most = live;
        }
    }
    assert_bounded("churn, all sizes to 64 KiB", most, bound_of(most / SPAN, CLASSES));
    close_shelf();
}

/* By realloc: tables that grow and shrink. */
static void resizing(void **state)
{
    uint64_t live = 0, most = 0, size[64] = {0};
    (void)state;
    open_shelf(SPAN);
    for (uint64_t i = 0; i < 20000 * rounds(); i++) {
        uint32_t k = dice(64);
        size_t n = any_size(15); /* to 512 KiB */
        assert_int_equal(tarn_realloc_into(seg, &shelf->slot[k], n, 0), 0);
        live -= size[k];
        live += size[k] = tarn_block_size(seg, shelf->slot[k]);
        if (live > most)
            most = live;
    }
    assert_bounded("realloc to 512 KiB", most, bound_of(2 * most / SPAN, CLASSES));
    close_shelf();
}

/* ---- those who come and go ---- */

/* Takes and gives some blocks, all under the lock, so that the slots are kept from others. */
static void some_work(uint32_t seed, bool section)
{
    state_of_dice += seed * 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 40; i++) {
        uint32_t k = dice(512);
        check(tarn_mutex_lock(seg, &shelf->lock) >= 0);
        if (section)
            check(tarn_begin(seg) == 0);
        if (!shelf->slot[k])
            check(tarn_alloc_into(seg, &shelf->slot[k], any_size(8)) == 0);
        else if (k & 1)
            check(tarn_free_from(seg, &shelf->slot[k]) == 0);
        else
            check(tarn_retire_from(seg, &shelf->slot[k]) == 0);
        if (section)
            check(tarn_commit(seg) == 0);
        check(tarn_mutex_unlock(seg, &shelf->lock) == 0);
    }
}

static void *short_thread(void *arg)
{
    some_work((uint32_t)(uintptr_t)arg, (uintptr_t)arg % 3 == 0);
    return NULL;
}

/* Ends in the midst of it, with caches full, some blocks in limbo, and a section open whose blocks nobody else has seen. */
static void short_process(uint32_t seed, int end)
{
    tarn_ref b;
    some_work(seed, seed % 3 == 0);
    if (end == 0)
        _exit(0); /* which gives nothing back either */
    if (end == 1) {
        check(tarn_thread_detach(seg) == 0);
        _exit(0);
    }
    check(tarn_begin(seg) == 0);
    for (int i = 0; i < 10; i++)
        check(tarn_alloc(seg, any_size(8), &b) == 0);
    raise(SIGKILL);
}

/* At most `at_once` are there at a time, and each has spans of at most as many classes as it uses (64). What they leave is adopted by who comes next. */
static void come_and_go(void **state)
{
    enum { AT_ONCE = 4, USED = 64 };
    uint64_t threads = 2000 * rounds(), processes = 300 * rounds();
    struct tarn_stat before, after;
    (void)state;
    open_shelf(8192); /* of small spans there is none that hides the others */
    for (uint64_t i = 0; i < threads; i += AT_ONCE) {
        pthread_t t[AT_ONCE];
        for (uint64_t k = 0; k < AT_ONCE; k++)
            assert_int_equal(pthread_create(&t[k], NULL, short_thread, (void *)(uintptr_t)(i + k)), 0);
        for (uint64_t k = 0; k < AT_ONCE; k++)
            assert_int_equal(pthread_join(t[k], NULL), 0);
    }
    assert_bounded("threads that come and go", 512 * 1024, AT_ONCE * USED + 128 + 512 * 2048 / 8192);
    before = stat_of(seg);
    for (uint64_t i = 0; i < processes; i += AT_ONCE) {
        pid_t p[AT_ONCE];
        fflush(NULL);
        for (uint64_t k = 0; k < AT_ONCE; k++)
            if ((p[k] = fork()) == 0) {
                alarm(60);
                short_process((uint32_t)(i + k), (int)((i + k) % 3));
                _exit(1);
            }
        for (uint64_t k = 0; k < AT_ONCE; k++) {
            int status;
            assert_int_equal(waitpid(p[k], &status, 0), p[k]);
            assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        }
    }
    assert_true(tarn_recover(seg) >= 0);
    after = stat_of(seg);
    assert_true(after.recovered - before.recovered >= processes / 3);
    assert_true(after.undone - before.undone >= processes / 4); /* those who were killed with a section open */
    assert_bounded("processes that come and are killed", 512 * 1024, AT_ONCE * USED + 128 + 512 * 2048 / 8192);
    close_shelf();
}

/* ---- what the dead held ---- */

enum { HELD = 1000, HELD_SIZE = 500 };

static void die_with_much(void *arg)
{
    tarn_ref b;
    (void)arg;
    for (int i = 0; i < HELD; i++)
        check(tarn_alloc_into(seg, &shelf->slot[i], HELD_SIZE) == 0);
    for (int i = 0; i < HELD; i += 2)
        check((i % 4 ? tarn_free_from(seg, &shelf->slot[i]) : tarn_retire_from(seg, &shelf->slot[i])) == 0);
    for (int i = 0; i < 8; i++)
        check(tarn_alloc_into(seg, &shelf->slot[HELD + i], 20000) == 0);
    for (int i = 0; i < 4; i++)
        check(tarn_retire_from(seg, &shelf->slot[HELD + i]) == 0);
    check(tarn_begin(seg) == 0);
    for (int i = 0; i < 50; i++)
        check(tarn_alloc(seg, HELD_SIZE, &b) == 0);
    check(tarn_alloc(seg, 30000, &b) == 0);
    for (int i = 1; i < 100; i += 2)
        check(tarn_free_from(seg, &shelf->slot[i]) == 0);
    raise(SIGKILL);
}

/* One recovery, and then all that is not reachable can be had by who recovered: exactly so many blocks. */
static void back_within_one_recovery(void **state)
{
    struct tarn_options o = {
        .size = sizeof o, .initial = 64 * 4096, .limit = 256 * 4096, .participants = 4, .span_size = 4096};
    struct tarn_heap_stats t, empty;
    uint64_t had = 0, expected;
    uint32_t c = 0;
    int e = 0;
    (void)state;
    assert_int_equal(tarn_open("posix:/bounded", TARN_CREATE, &o, &seg), 0);
    assert_int_equal(tarn_object(seg, "shelf", struct shelf, &shelf), 0);
    assert_int_equal(tarn_heap_stats(seg, &empty), 0);
    assert_int_equal(WTERMSIG(in_child(die_with_much, NULL)), SIGKILL);
    assert_int_equal(tarn_heap_stats(seg, &t), 0);
    assert_true(t.dead > 0 && t.orphaned == 0);
    assert_int_equal(tarn_recover(seg), 1);
    assert_int_equal(tarn_heap_stats(seg, &t), 0);
    assert_true(t.dead == 0 && t.orphaned > 0);
    while (t.by_size[c].size < HELD_SIZE)
        c++;
    assert_int_equal(t.by_size[c].allocated, HELD / 2); /* what the section had allocated, and freed, is as before it */
    assert_int_equal(t.run_allocated - empty.run_allocated, 4 * 20480);
    /* spans that the dead had for other sizes were none; runs in limbo, and spans that nobody had, make spans of this size */
    expected = t.by_size[c].free + t.by_size[c].limbo +
               (o.limit / 4096 - t.spans + t.spans_free + (t.run_free + t.run_limbo) / 4096) *
                   (t.by_size[c].blocks / t.by_size[c].spans);
    for (uint32_t i = HELD + 8; i < SLOTS && e == 0; i++)
        if ((e = tarn_alloc_into(seg, &shelf->slot[i], HELD_SIZE)) == 0)
            had++;
    assert_true(e == -ENOSPC);
    if (had != expected)
        fail_msg("%llu blocks could be had of %llu that are free", (unsigned long long)had,
                 (unsigned long long)expected);
    print_message("what the dead held: %llu blocks, all back\n", (unsigned long long)had);
    for (int i = 1; i < HELD; i += 2)
        assert_true(tarn_block_size(seg, shelf->slot[i]) >= HELD_SIZE);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/bounded"), 0);
}

static int start(void **state)
{
    alarm(60 + (unsigned)(rounds() * 30));
    return own_directory(state);
}
static int stop(void **state)
{
    return remove_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(producer_and_consumer), cmocka_unit_test(sizes_change),
        cmocka_unit_test(fragmentation),         cmocka_unit_test(resizing),
        cmocka_unit_test(come_and_go),           cmocka_unit_test(back_within_one_recovery),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

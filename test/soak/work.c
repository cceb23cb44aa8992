/* work.c - what a worker of the soak does.
 *
 * To add an operation: one row in `operations`; something to be done in sections: one row in `steps`. An operation lists what it changes
 * (expect), does it, and takes the list back (settle, drop); it says moment() where a death is of interest, and violation() where a result is
 * none that the manual has.
 *
 * Who waits for whom: a thread outside a section waits holding nothing, or plain counters below the one it waits for. In a section plain counters
 * come first, ascending; then whatever, in any order: the library tells circles (-EDEADLK). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

__thread bool guest;

__thread bool in_section, held[LOCKS], put_off[LOCKS], mended[LOCKS];
__thread unsigned lowest;

static void put32(uint32_t *to, uint32_t value)
{
    barrier_();
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
    barrier_();
}

struct timespec soon(uint32_t us)
{
    uint64_t t = now_ns() + us * 1000ull;
    return (struct timespec){(time_t)(t / 1000000000u), (long)(t % 1000000000u)};
}

bool is_full(int e)
{
    return e == -ENOSPC || e == -ENOMEM;
}

bool may_be(int e)
{
    if (is_full(e))
        me.log->full++;
    else if (e == -EDEADLK || e == -ETIMEDOUT)
        me.log->circles++;
    else
        return false;
    return true;
}

/* ---- counters and their locks ---- */

uint64_t my_name(void)
{
    return (uint64_t)(me.slot + 1) << 32 | me.log->incarnation;
}

bool is_doomed(uint64_t holder)
{
    const struct log *l = &shared->log[(holder >> 32) - 1];
    uint32_t incarnation = (uint32_t)holder;
    return l->incarnation != incarnation || (l->dying == incarnation && l->dying_ns <= now_ns());
}

/* How long this thread has waited for a cpu so far, in ns; 0 if the kernel does not say. */
static uint64_t queued(void)
{
    static __thread int fd;
    static __thread pid_t whose;
    char text[96];
    unsigned long long ran, waited = 0;
    if (whose != gettid()) { /* a forked child's is another */
        if (whose)
            close(fd);
        fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
        whose = gettid();
    }
    ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = 0;
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/* The waits of those who got a lock because its holder died, until the call's return and without what the waiter waited for a cpu. `late` is what
 * passed since the kernel had told the controller of the death (waitpid), or since the call, if that came later: 0, if it had not told. The rest is what
 * passed since the kill: it has the time in which the killed one gets a cpu to die on. */
static void note_wait(uint64_t holder, uint64_t began, uint64_t ended, uint64_t on_queue)
{
    struct log *l = &shared->log[(holder >> 32) - 1];
    uint64_t died = l->dying_ns, told = l->reaped_ns, late = 0, us;
    unsigned n = 0;
    if (l->dying != (uint32_t)holder || died > ended)
        return;
    if (l->reaped == (uint32_t)holder && told < ended)
        late = ended - (told > began ? told : began);
    late -= late < on_queue ? late : on_queue;
    if (late > me.log->latest_ns)
        me.log->latest_ns = late;
    ended -= died > began ? died : began;
    ended -= ended < on_queue ? ended : on_queue;
    me.log->waits++;
    me.log->waited_ns += ended;
    if (ended > me.log->longest_ns)
        me.log->longest_ns = ended;
    for (us = ended / 1000; us && n < 23; us >>= 1)
        n++;
    me.log->wait_below[n]++;
}

/* From now on, until it says otherwise, its death may leave the lock dirty. */
void may_soil(unsigned c)
{
    me.log->soils_as = me.log->incarnation;
    __atomic_fetch_or(&me.log->soils, 1u << c, __ATOMIC_SEQ_CST);
}
void soils_not(unsigned c)
{
    __atomic_fetch_and(&me.log->soils, ~(1u << c), __ATOMIC_SEQ_CST);
}

void count_soiled(void)
{
    for (unsigned c = 0; c < LOCKS; c++)
        if (me.log->soils & 1u << c) {
            __atomic_fetch_add(&shared->soiled[c], 1, __ATOMIC_SEQ_CST);
            soils_not(c);
        }
}

/* Who is told, and had not left it dirty himself, owes it to a death of its own that could do that. */
static void was_soiled(unsigned c)
{
    uint32_t n = 0, told;
    if (__atomic_exchange_n(&shared->left_dirty[c], 1, __ATOMIC_SEQ_CST)) /* another reader was quicker */
        return;
    told = __atomic_add_fetch(&shared->told[c], 1, __ATOMIC_SEQ_CST);
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct log *l = &shared->log[s];
        n += __atomic_load_n(&l->soils, __ATOMIC_SEQ_CST) & 1u << c &&
             is_doomed((uint64_t)(s + 1) << 32 | l->soils_as);
    }
    n += __atomic_load_n(&shared->soiled[c],
                         __ATOMIC_SEQ_CST); /* after the others: who goes from there to here is not missed */
    if (told > n)
        violation("%s %u: for the %u-th time its lock is dirty, and %u deaths could have left it so",
                  c < COUNTERS ? "counter" : "rwlock", c < COUNTERS ? c : c - COUNTERS, told, n);
}

void is_told(unsigned c, bool told)
{
    if (told && !shared->left_dirty[c])
        was_soiled(c);
    if (!told && shared->left_dirty[c])
        violation("%s %u: left dirty, and nobody was told", c < COUNTERS ? "counter" : "rwlock",
                  c < COUNTERS ? c : c - COUNTERS);
}

static void sums(const struct counter *k, uint64_t *ret_total, uint64_t *ret_boxed)
{
    *ret_total = *ret_boxed = 0;
    for (unsigned s = 0; s < SLOTS; s++) {
        *ret_total += k->part[s];
        *ret_boxed += k->puts[s] - k->takes[s];
    }
}

/* The lock is ours. told: its last holder died. 0, or what stops a section. */
int took(unsigned c, bool told)
{
    struct counter *k = &root->counter[c];
    uint64_t total, boxed;
    held[c] = true;
    put_off[c] = mended[c] = false;
    put(&shared->holder[c], my_name());
    sums(k, &total, &boxed);
    if (boxed != (k->box != 0))
        violation("box %u: %llu blocks put there and not taken; ref %#llx", c, (unsigned long long)boxed,
                  (unsigned long long)k->box);
    if (!told && total != k->total)
        violation("counter %u: %llu, and its shares are %llu, and nobody was told", c,
                  (unsigned long long)k->total, (unsigned long long)total);
    is_told(c, told);
    if (!told)
        return 0;
    if (in_section)
        TRY(tarn_save(segment, &k->total, 8));
    put(&k->total, total);
    moment();
    if (chance(4)) {
        WANT(tarn_mutex_consistent(segment, &k->lock));
        if (in_section)
            mended[c] = true;
        else
            put(&shared->left_dirty[c], 0);
    }
    return 0;
}

int take(unsigned c, enum how how)
{
    struct counter *k = &root->counter[c];
    uint32_t stops = shared->stops, stopped = shared->stopped;
    bool waits = how == WAIT && k->lock.owner & 0x7fffffff;
    if (!in_section)
        may_soil(c);
    uint64_t on_queue = waits ? queued() : 0, began = now_ns(), ended;
    struct timespec until = soon(chance(how == TIMED ? 300 : 1));
    int e = how == WAIT     ? tarn_mutex_lock(segment, &k->lock)
            : how == TRY_IT ? tarn_mutex_try(segment, &k->lock)
                            : tarn_mutex_timed(segment, &k->lock, &until);
    if ((e == -EBUSY && how == TRY_IT) || (e == -ETIMEDOUT && how == TIMED) ||
        (e == -EDEADLK && in_section) || is_full(e)) {
        soils_not(c);
        return e;
    }
    if (e < 0)
        violation("lock of counter %u: %d %s", c, e, tarn_error());
    ended = now_ns();
    uint64_t holder = shared->holder[c];
    if (holder && !is_doomed(holder))
        violation("two holders of counter %u: slot %d, and slot %u", c, (int)(holder >> 32) - 1, me.slot);
    if (holder && waits && !stopped && !shared->stopped && stops == shared->stops)
        note_wait(holder, began, ended, queued() - on_queue);
    return took(c, e > 0);
}

void give(unsigned c)
{
    if (c >= COUNTERS) {
        give_rwlock(c - COUNTERS);
        return;
    }
    if (in_section)
        put_off[c] = true;
    else {
        held[c] = false;
        put(&shared->holder[c], 0);
    }
    WANT(tarn_mutex_unlock(segment, &root->counter[c].lock));
    if (!in_section)
        soils_not(c);
}

/* In a section, saved; outside, not. */
int add(unsigned c)
{
    struct counter *k = &root->counter[c];
    uint64_t d = 1 + chance(1000);
    if (in_section) {
        TRY(tarn_save(segment, &k->total, 8));
        TRY(tarn_save(segment, &k->part[me.slot], 8));
    }
    expect(PART + c, now_is(PART + c) + d);
    put(&k->part[me.slot], k->part[me.slot] + d);
    moment();
    put(&k->total, k->total + d);
    if (c < PLAIN && chance(3) == 0)
        WANT(chance(2) ? tarn_condition_signal(segment, &root->added[c])
                       : tarn_condition_broadcast(segment, &root->added[c]));
    return 0;
}

static void op_lock(void)
{
    unsigned c = chance(PLAIN);
    enum how how = (enum how)(chance(3) ? WAIT : chance(2) ? TRY_IT : TIMED);
    if (take(c, how) < 0)
        return;
    moment();
    add(c);
    settle();
    moment();
    if (chance(8) == 0 && c + 1 < PLAIN) { /* one more meanwhile */
        unsigned d = c + 1 + chance(PLAIN - c - 1);
        if (take(d, WAIT) >= 0) {
            add(d);
            settle();
            moment();
            give(d);
        }
    }
    give(c);
    moment();
}

/* ---- sections: their steps ---- */

/* A counter that this section may take now, taken. */
static int take_some(unsigned *ret_c)
{
    unsigned c = chance(COUNTERS);
    if (!held[c]) {
        c = chance(2) && lowest < PLAIN ? lowest + chance(PLAIN - lowest) : PLAIN + chance(COUNTERS - PLAIN);
        lowest = c < PLAIN ? c + 1 : PLAIN;
    }
    *ret_c = c;
    if (!held[c]) {
        int e = take(c, chance(6) ? WAIT : TIMED);
        if (e < 0)
            may_be(e);
        return e;
    }
    if (put_off[c]) { /* it is still ours */
        int e = tarn_mutex_lock(segment, &root->counter[c].lock);
        if (e < 0)
            violation("a lock whose unlock is put off, again: %d %s", e, tarn_error());
        put_off[c] = false;
    }
    return 0;
}

static int step_add(void)
{
    unsigned c;
    TRY(take_some(&c));
    TRY(add(c));
    if (chance(3) == 0)
        give(c);
    return 0;
}

static size_t some_size(void)
{
    uint32_t r = chance(100);
    return 8 * (1 + (r < 75 ? chance(24) : r < 93 ? chance(250) : r < 99 ? chance(1100) : chance(9000)));
}

static uint32_t some_mark(void)
{
    return chance(ANY_MARK - 1) + 1;
}

static int give_back(tarn_ref ref)
{
    return chance(2) ? tarn_free(segment, ref) : tarn_retire(segment, ref);
}

static int step_box(void)
{
    unsigned c;
    TRY(take_some(&c));
    struct counter *k = &root->counter[c];
    TRY(tarn_save(segment, &k->box, 3 * sizeof k->box));
    if (k->box) {
        void *block = tarn_ptr(segment, k->box, k->box_size);
        if (!block || !filled(block, k->box_size, k->box_mark))
            violation("box %u: its block holds something else", c);
        TRY(tarn_save(segment, &k->takes[me.slot], 8));
        TRY(give_back(k->box));
        expect(TAKES + c, now_is(TAKES + c) + 1);
        put(&k->takes[me.slot], k->takes[me.slot] + 1);
        put(&k->box, 0);
        return 0;
    }
    tarn_ref ref;
    size_t size = some_size();
    uint64_t mark = some_mark();
    TRY(tarn_save(segment, &k->puts[me.slot], 8));
    TRY(tarn_alloc(segment, size, &ref));
    fill(tarn_ptr(segment, ref, size), size, mark);
    expect(PUTS + c, now_is(PUTS + c) + 1);
    put(&k->puts[me.slot], k->puts[me.slot] + 1);
    put(&k->box_size, size);
    put(&k->box_mark, mark);
    moment();
    put(&k->box, ref);
    return 0;
}

void verify_cell(unsigned i)
{
    uint64_t number = now_is(CELL + i);
    if (!item_holds(me.slot, CELL + i, number))
        violation("slot %u: cell %u does not hold %llx any more", me.slot, i, (unsigned long long)number);
}

static int step_cell(void)
{
    unsigned i = chance(CELLS);
    tarn_ref ref, *cell = &root->area[me.slot].cell[i];
    uint64_t number = now_is(CELL + i);
    size_t size = some_size();
    uint32_t mark = some_mark();
    lowest = PLAIN;
    if (i == 0 && me.log->item[NAME])
        return 0;
    if (!number && chance(2)) {
        TRY(tarn_save(segment, cell, 8));
        TRY(tarn_alloc(segment, size, &ref));
        expect(CELL + i, SIZED(size, mark));
        put(cell, ref);
    } else if (!number) {
        expect(CELL + i, SIZED(size, mark));
        TRY(tarn_alloc_into(segment, cell, size));
    } else {
        verify_cell(i);
        if (chance(3) == 0 && SIZE_OF(number) <= 600) { /* new contents */
            ref = *cell;
            TRY(tarn_save(segment, tarn_ptr(segment, ref, SIZE_OF(number)), SIZE_OF(number)));
            expect(CELL + i, SIZED(SIZE_OF(number), mark));
            fill(tarn_ptr(segment, ref, SIZE_OF(number)), SIZE_OF(number), cell_key(me.slot, i, mark));
            return 0;
        }
        expect(CELL + i, 0);
        if (chance(2)) {
            TRY(chance(2) ? tarn_free_from(segment, cell) : tarn_retire_from(segment, cell));
            return 0;
        }
        TRY(tarn_save(segment, cell, 8));
        TRY(give_back(*cell));
        put(cell, 0);
        return 0;
    }
    if (!zeroed(tarn_ptr(segment, *cell, size), size))
        violation("slot %u: a new block of %zu bytes is not zeroed", me.slot, size);
    moment();
    fill(tarn_ptr(segment, *cell, size), size, cell_key(me.slot, i, mark));
    return 0;
}

/* What it had, it has, as far as it goes. (Of large blocks not all is filled.) */
static void verify_resized(unsigned i, uint64_t had, size_t size)
{
    size_t kept = SIZE_OF(had) < size ? SIZE_OF(had) : size;
    const void *block = tarn_ptr(segment, root->area[me.slot].cell[i], size);
    if (!block || tarn_block_size(segment, root->area[me.slot].cell[i]) < size)
        violation("slot %u: a block was made %zu bytes, and is not", me.slot, size);
    if (SIZE_OF(had) > 4096)
        kept = kept < 64 ? kept : 64;
    if (MARK_OF(had) != ANY_MARK && !filled(block, kept, cell_key(me.slot, i, MARK_OF(had))))
        violation("slot %u: a block of %zu bytes was made %zu, and does not hold the same", me.slot,
                  SIZE_OF(had), size);
}

static int step_resize(void)
{
    unsigned i = chance(CELLS);
    tarn_ref *cell = &root->area[me.slot].cell[i], was = *cell;
    uint64_t number = now_is(CELL + i);
    size_t size = some_size();
    uint32_t mark = some_mark();
    lowest = PLAIN;
    if (!number || (i == 0 && me.log->item[NAME]))
        return 0;
    verify_cell(i);
    expect(CELL + i, SIZED(size, ANY_MARK));
    TRY(tarn_realloc_into(segment, cell, size, chance(2)));
    verify_resized(i, number, size);
    moment();
    if (*cell != was) { /* nobody else has seen it */
        expect(CELL + i, SIZED(size, mark));
        fill(tarn_ptr(segment, *cell, size), size, cell_key(me.slot, i, mark));
    }
    return 0;
}

static void op_resize(void)
{
    unsigned i = chance(CELLS);
    tarn_ref *cell = &root->area[me.slot].cell[i];
    uint64_t number = me.log->item[CELL + i];
    size_t size = some_size();
    uint32_t mark = some_mark();
    if (!number || (i == 0 && me.log->item[NAME]))
        return;
    verify_cell(i);
    expect(CELL + i, SIZED(size, ANY_MARK));
    moment();
    int e = tarn_realloc_into(segment, cell, size, chance(2));
    if (e) {
        if (!may_be(e))
            violation("tarn_realloc_into: %d %s", e, tarn_error());
        drop();
        verify_cell(i);
        return;
    }
    settle();
    verify_resized(i, number, size);
    fill(tarn_ptr(segment, *cell, size), size, cell_key(me.slot, i, mark));
    put(&me.log->item[CELL + i], SIZED(size, mark));
}

static uint64_t some_number(uint64_t key)
{
    return (uint64_t)chance(1u << 30) << 8 | (mix(key) & 0xfe) | 1;
}

/* Also outside a section: then it is one of its own. */
static int step_number(void)
{
    unsigned i = chance(KEYS), r = chance(8);
    uint64_t key = number_key(me.slot, i), number = now_is(KEY + i), value = some_number(key), sum;
    lowest = PLAIN;
    if (r < 3) {
        expect(KEY + i, value);
        TRY(tarn_map_put64(numbers, key, value));
    } else if (r < 5 && number) {
        expect(KEY + i, number + (value & ~0xffull));
        TRY(tarn_map_add64(numbers, key, value & ~0xffull, &sum));
        if (sum != number + (value & ~0xffull))
            violation("slot %u: key %u: the sum is %llx", me.slot, i, (unsigned long long)sum);
    } else if (number) {
        expect(KEY + i, 0);
        TRY(tarn_map_remove64(numbers, key));
    } else if (tarn_map_remove64(numbers, key) == 0)
        violation("slot %u: key %u was removed, and was not there", me.slot, i);
    return 0;
}

static int step_leaf(void)
{
    unsigned i = chance(LEAVES), r = chance(8);
    uint64_t key = number_key(me.slot, i), number = now_is(LEAF + i), value = some_number(key);
    lowest = PLAIN;
    if (r < 3) {
        expect(LEAF + i, value);
        TRY(tarn_tree_put64(leaves, key, value));
    } else if (r < 5) {
        if (!number) {
            expect(LEAF + i, value);
            TRY(tarn_tree_insert64(leaves, key, value));
        } else if (tarn_tree_insert64(leaves, key, value) == 0)
            violation("slot %u: key %u was inserted, and was there", me.slot, i);
    } else if (number) {
        expect(LEAF + i, 0);
        TRY(tarn_tree_remove64(leaves, key));
    } else if (tarn_tree_remove64(leaves, key) == 0)
        violation("slot %u: key %u was removed, and was not there", me.slot, i);
    return 0;
}

/* In the map of strings, or in the tree. What a key is to have next, which is expected from now on; false: nothing, it is to be removed. */
static bool next_string(bool tree, unsigned i, uint64_t value[64], size_t *ret_size)
{
    unsigned item = (tree ? WORD : STRING) + i;
    size_t size = 8 * chance(2u << chance(6));
    uint32_t mark = some_mark();
    lowest = PLAIN;
    if (size > 64 * sizeof *value)
        size = 64 * sizeof *value;
    if (now_is(item) && !chance(2)) {
        expect(item, 0);
        return false;
    }
    fill(value, size, string_filling(tree, me.slot, i, mark));
    expect(item, SIZED(size, mark));
    *ret_size = size;
    return true;
}

static int step_string(void)
{
    char key[128];
    unsigned i = chance(STRINGS);
    uint64_t value[64];
    size_t size, length = string_key(key, me.slot, i);
    if (next_string(false, i, value, &size))
        TRY(tarn_map_put(strings, key, length, value, size));
    else
        TRY(tarn_map_remove(strings, key, length));
    return 0;
}

static int step_word(void)
{
    char key[128];
    unsigned i = chance(WORDS);
    bool there = now_is(WORD + i);
    uint64_t value[64];
    size_t size, length = string_key(key, me.slot, i);
    if (!next_string(true, i, value, &size))
        TRY(tarn_tree_remove(phrases, key, length));
    else if (there)
        TRY(tarn_tree_replace(phrases, key, length, value, size));
    else
        TRY(tarn_tree_put(phrases, key, length, value, size));
    return 0;
}

/* Two keys: everybody's, and my share of it. */
static int step_hot(void)
{
    uint64_t d = 1 + chance(100), sum;
    lowest = PLAIN;
    expect(HOT, now_is(HOT) + d);
    TRY(tarn_map_add64(numbers, number_key(SLOTS, 0), d, NULL));
    moment();
    TRY(tarn_map_add64(numbers, number_key(me.slot, 1000), d, &sum));
    if (sum != now_is(HOT))
        violation("slot %u: its share of the hot key is %llu", me.slot, (unsigned long long)sum);
    return 0;
}

static int insert(unsigned list, tarn_link *link)
{
    switch (chance(3)) {
    case 0: return tarn_list_insert_first(segment, lists[list], link);
    case 1: return tarn_list_insert_last(segment, lists[list], link);
    }
    for (unsigned i = 0; i < MEMBERS; i++) { /* beside another of mine */
        struct member *other = tarn_ptr(segment, root->area[me.slot].member[i], sizeof *other);
        if (now_is(MEMBER + i) == list + 1 && &other->link != link)
            return chance(2) ? tarn_list_insert_after(segment, lists[list], link, &other->link)
                             : tarn_list_insert_before(segment, lists[list], link, &other->link);
    }
    return tarn_list_insert_last(segment, lists[list], link);
}

static int step_list(void)
{
    unsigned i = chance(MEMBERS), list = chance(LISTS);
    tarn_ref ref, *place = &root->area[me.slot].member[i];
    uint64_t number = now_is(MEMBER + i);
    struct member *m;
    lowest = PLAIN;
    if (!number) {
        TRY(tarn_save(segment, place, 8));
        TRY(tarn_alloc(segment, sizeof *m, &ref));
        m = tarn_ptr(segment, ref, sizeof *m);
        *m = (struct member){.list = list + 1, .slot = me.slot, .index = i};
        TRY(insert(list, &m->link));
        expect(MEMBER + i, list + 1);
        put(place, ref);
        return 0;
    }
    m = tarn_ptr(segment, *place, sizeof *m);
    if (chance(3) == 0) { /* elsewhere */
        TRY(tarn_list_remove(segment, lists[number - 1], &m->link));
        moment();
        TRY(tarn_save(segment, &m->list, 8));
        expect(MEMBER + i, list + 1);
        put(&m->list, list + 1);
        TRY(insert(list, &m->link));
        return 0;
    }
    TRY(tarn_save(segment, place, 8));
    TRY(tarn_list_remove(segment, lists[number - 1], &m->link));
    TRY(tarn_retire(segment, *place));
    expect(MEMBER + i, 0);
    put(place, 0);
    return 0;
}

static int step_grow(void)
{
    lowest = PLAIN;
    TRY(tarn_grow(segment, 4096u << chance(4)));
    return 0;
}

static const struct step {
    const char *name;
    unsigned weight;
    int (*run)(void); /* 0, or -EDEADLK, -ENOSPC, -ENOMEM: the section is aborted */
} steps[] = {
    {"add to a counter", 30, step_add},
    {"put into a box, or take", 14, step_box},
    {"allocate, fill, free", 24, step_cell},
    {"another size", 10, step_resize},
    {"map of numbers", 16, step_number},
    {"map of strings", 10, step_string},
    {"tree of numbers", 16, step_leaf},
    {"tree of strings", 10, step_word},
    {"the hot key", 8, step_hot},
    {"lists", 14, step_list},
    {"the vector", 10, step_vector},
    {"the queue and the stack", 10, step_chain},
    {"the note", 6, step_note},
    {"grow", 1, step_grow},
    {"a rwlock", 16, step_rwlock},
    {"what sections must not do", 2, step_refused},
};

#define PICK(table)                                                                                          \
    ({                                                                                                       \
        unsigned sum_ = 0, n_ = 0;                                                                           \
        for (unsigned i_ = 0; i_ < sizeof(table) / sizeof *(table); i_++)                                    \
            sum_ += (table)[i_].weight;                                                                      \
        for (unsigned r_ = chance(sum_); r_ >= (table)[n_].weight; n_++)                                     \
            r_ -= (table)[n_].weight;                                                                        \
        n_;                                                                                                  \
    })

/* ---- sections ---- */

static void begin_section(void)
{
    put32(&me.log->undone, 1);
    WANT(tarn_begin(segment));
    in_section = true;
}

/* Locks that its end leaves held: unlocked now. */
static void after_section(void)
{
    in_section = false;
    for (unsigned c = 0; c < LOCKS; c++) {
        if (put_off[c]) {
            held[c] = put_off[c] = false;
            soils_not(c);
        }
        mended[c] = false;
    }
    moment();
    for (unsigned c = LOCKS; c--;)
        if (held[c])
            give(c);
}

/* From its end on others may have them. */
static void let_go(bool commits)
{
    for (unsigned c = 0; c < LOCKS; c++) {
        if (c >= COUNTERS && let_go_of_rwlock(c - COUNTERS))
            continue;
        if (held[c] && put_off[c])
            put(&shared->holder[c], 0);
        if (held[c] && (!put_off[c] || mended[c])) /* held beyond it; or dirty, if we die before it commits */
            may_soil(c);
        if (held[c] && commits && mended[c])
            put(&shared->left_dirty[c], 0);
    }
}

/* What is my slot's nobody else changes: after its end a section has happened wholly, or not at all. */
static void is_whole(bool happened)
{
    for (uint32_t i = 0; i < me.log->changes; i++) {
        const struct change *c = &me.log->change[i];
        if (!item_holds(me.slot, (unsigned)c->item, happened ? c->after : c->before))
            violation("slot %u: a section that was %s: %s, %llx to %llx, is not so", me.slot,
                      happened ? "committed" : "undone", item_name((unsigned)c->item),
                      (unsigned long long)c->before, (unsigned long long)c->after);
    }
}

static void abort_section(uint32_t nested)
{
    while (nested--)
        WANT(tarn_abort(segment));
    let_go(false);
    WANT(tarn_abort(segment));
    me.log->aborted++;
    is_whole(false);
    drop();
    after_section();
}

static void commit_section(uint32_t nested, bool doomed)
{
    while (nested--)
        WANT(tarn_commit(segment));
    moment();
    let_go(!doomed);
    if (!doomed)
        put32(&me.log->undone, 0);
    int e = tarn_commit(segment);
    if (e != (doomed ? -ECANCELED : 0))
        violation("tarn_commit: %d %s", e, tarn_error());
    is_whole(!doomed);
    if (doomed)
        drop();
    else
        settle();
    after_section();
}

static void section(void)
{
    uint32_t nested = 0, count = 1 + chance(chance(4) ? 3 : 8);
    bool doomed = false;
    begin_section();
    while (count--) {
        moment();
        if (steps[PICK(steps)].run() < 0) {
            abort_section(nested);
            return;
        }
        if (chance(12) == 0) {
            WANT(tarn_begin(segment));
            nested++;
        } else if (nested && chance(4) == 0) {
            doomed |= chance(6) == 0;
            WANT(doomed ? tarn_abort(segment) : tarn_commit(segment));
            nested--;
        }
    }
    if (chance(8) == 0)
        abort_section(nested);
    else
        commit_section(nested, doomed);
}

static void op_section(void)
{
    lowest = 0;
    section();
}

/* A lock from before the section comes back dirty if we die in it. */
static void op_lock_then_section(void)
{
    unsigned c = chance(PLAIN);
    if (take(c, WAIT) < 0)
        return;
    lowest = c + 1;
    section();
}

/* ---- single steps ---- */

static void op_alloc_into(void)
{
    unsigned i = chance(CELLS);
    tarn_ref *cell = &root->area[me.slot].cell[i];
    size_t size = some_size();
    uint32_t mark = some_mark();
    if (i == 0 && me.log->item[NAME])
        return;
    verify_cell(i);
    if (me.log->item[CELL + i]) {
        expect(CELL + i, 0);
        moment();
        WANT(chance(2) ? tarn_free_from(segment, cell) : tarn_retire_from(segment, cell));
        settle();
        return;
    }
    expect(CELL + i, SIZED(size, ANY_MARK));
    moment();
    int e = tarn_alloc_into(segment, cell, size);
    if (e) {
        if (!may_be(e))
            violation("tarn_alloc_into: %d %s", e, tarn_error());
        drop();
        return;
    }
    settle();
    if (!zeroed(tarn_ptr(segment, *cell, size), size))
        violation("slot %u: a new block of %zu bytes is not zeroed", me.slot, size);
    fill(tarn_ptr(segment, *cell, size), size, cell_key(me.slot, i, mark));
    put(&me.log->item[CELL + i], SIZED(size, mark));
}

static void alone(int (*step)(void))
{
    if (step() < 0)
        drop();
    else
        settle();
}
static void op_number(void)
{
    alone(step_number);
}
static void op_string(void)
{
    alone(step_string);
}
static void op_leaf(void)
{
    alone(step_leaf);
}
static void op_word(void)
{
    alone(step_word);
}
/* Between two keys, as far as one cares: each entry is one's that somebody may have put, and they are in order. */
static void op_leaves(void)
{
    tarn_tree_cursor *c;
    uint64_t k, v, last;
    if (tarn_tree_cursor_open(leaves, &c))
        return;
    for (unsigned turn = chance(2), n = chance(100); n; n--, turn = chance(20) ? turn : 1 - turn) {
        if (chance(30) == 0 || n == 1)
            tarn_tree_seek64(c, number_key(chance(SLOTS), chance(LEAVES)), chance(2));
        last = turn ? 0 : UINT64_MAX;
        while (chance(30) && (turn ? tarn_tree_next64(c, &k, &v) : tarn_tree_previous64(c, &k, &v)) == 0) {
            if (k >> 16 >= SLOTS || (k & 0xffff) >= LEAVES || (v & 0xff) != ((mix(k) & 0xfe) | 1) ||
                (turn ? k <= last && last : k >= last))
                violation("an entry of the tree of numbers is none, or out of order: %llx, %llx",
                          (unsigned long long)k, (unsigned long long)v);
            last = k;
        }
    }
    tarn_tree_cursor_close(c);
}
static void op_grow(void)
{
    alone(step_grow);
}

static void op_name(void)
{
    char name[64];
    void *object;
    unsigned i = chance(NAMES);
    uint64_t bound = me.log->item[NAME + i];
    int e;
    object_name(name, me.slot, i);
    if (i == 0 && !me.log->item[CELL])
        return;
    expect(NAME + i, !bound);
    moment();
    if (bound)
        e = tarn_unbind(segment, name, i != 0);
    else if (i)
        e = tarn_find_or_make(segment, name, &TARN_TYPE(struct member), &object);
    else
        e = tarn_bind(segment, name, &TARN_TYPE(uint64_t), root->area[me.slot].cell[0]);
    if (e && !may_be(e))
        violation("%s %s: %d %s", bound ? "unbind" : "bind", name, e, tarn_error());
    if (e)
        drop();
    else
        settle();
}

/* Everybody's: who is first makes it, and somebody removes it. */
static void op_shared_name(void)
{
    char name[32];
    struct member *object;
    sprintf(name, "shared %u", chance(4));
    int e = chance(2) ? tarn_object(segment, name, struct member, &object) : tarn_unbind(segment, name, 1);
    if (e && e != -ENOENT && !may_be(e))
        violation("%s: %d %s", name, e, tarn_error());
}

static void op_verify(void)
{
    for (unsigned n = 0, i; n < 4; n++) {
        i = chance(ITEMS);
        if (!item_holds(me.slot, i, me.log->item[i]))
            violation("slot %u: %s is not %llx, as the log has it", me.slot, item_name(i),
                      (unsigned long long)me.log->item[i]);
    }
}

/* ---- readers ---- */

static int see_member(void *member, void *arg)
{
    const struct member *m = member;
    if (m->slot >= SLOTS || m->index >= MEMBERS || m->list > LISTS || !m->list)
        violation("a member of a list is none: slot %llu, %llu", (unsigned long long)m->slot,
                  (unsigned long long)m->index);
    ++*(unsigned *)arg;
    return 0;
}

/* Members are retired, never freed: under a pin each stays what it is, whatever its owner does. */
static void op_pinned(void)
{
    const struct member *seen[32];
    uint64_t slot[32], index[32], until;
    unsigned n = 0;
    WANT(tarn_read_begin(segment));
    tarn_list *list = lists[chance(LISTS)];
    for (tarn_link *link = tarn_list_first(segment, list); link && n < 32;
         link = tarn_list_next(segment, link), n++) {
        seen[n] = TARN_MEMBER(link, struct member, link);
        slot[n] = seen[n]->slot;
        index[n] = seen[n]->index;
    }
    moment();
    for (until = now_ns() + (1000u << chance(9)); now_ns() < until;)
        ;
    while (n--)
        if (slot[n] >= SLOTS || index[n] >= MEMBERS || *(volatile const uint64_t *)&seen[n]->slot != slot[n] ||
            *(volatile const uint64_t *)&seen[n]->index != index[n])
            violation("a member of a list, under a pin, is not what it was: slot %llu, %llu; was %llu, %llu",
                      (unsigned long long)seen[n]->slot, (unsigned long long)seen[n]->index,
                      (unsigned long long)slot[n], (unsigned long long)index[n]);
    WANT(tarn_read_end(segment));
}

static int see_number(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    uint64_t k, v;
    memcpy(&k, key, sizeof k);
    memcpy(&v, value, sizeof v);
    if (key_size != 8 || size != 8 || k >> 16 > SLOTS ||
        ((k & 0xffff) < KEYS && k >> 16 < SLOTS && (v & 0xff) != ((mix(k) & 0xfe) | 1)))
        violation("an entry of the map of numbers is none: %llx, %llx", (unsigned long long)k,
                  (unsigned long long)v);
    ++*(unsigned *)arg;
    return 0;
}

static int see_name(const struct tarn_name *n, void *arg)
{
    ++*(unsigned *)arg;
    if (!n->ref || !n->name[0])
        violation("a name is half made");
    return 0;
}

static bool reader_may(int e)
{
    return e == 0 || e == -EAGAIN || e == -ENOENT;
}

static void look_at(tarn *s, tarn_map *map, tarn_list *list)
{
    unsigned n = 0;
    int e = tarn_list_each(s, list, offsetof(struct member, link), sizeof(struct member), see_member, &n);
    if (!reader_may(e))
        violation("tarn_list_each: %d %s", e, tarn_error());
    e = tarn_map_each(map, see_number, &n);
    if (!reader_may(e))
        violation("tarn_map_each: %d %s", e, tarn_error());
    e = tarn_names(s, see_name, &n);
    if (!reader_may(e))
        violation("tarn_names: %d %s", e, tarn_error());
}

static void op_look(void)
{
    look_at(segment, numbers, lists[chance(LISTS)]);
}

static void op_read_only(void)
{
    tarn *s;
    tarn_map *map;
    tarn_list *list;
    int e = open_segment(TARN_RDONLY, &s);
    if (e == -EADDRINUSE && shared->same_address) /* ours is there */
        return;
    if (e)
        violation("tarn_open, read-only: %d %s", e, tarn_error());
    e = tarn_map_open(s, "numbers", 0, &map);
    if (!reader_may(e))
        violation("tarn_map_open, read-only: %d %s", e, tarn_error());
    if (e == 0) {
        e = tarn_object(s, "list 0", tarn_list, &list);
        if (e == 0)
            look_at(s, map, list);
        else if (!reader_may(e))
            violation("tarn_object, read-only: %d %s", e, tarn_error());
        tarn_map_close(map);
    }
    look_at_collections(s);
    WANT(tarn_close(s));
    me.log->read_only++;
}

static int see_participant(const struct tarn_participant *p, void *arg)
{
    *(unsigned *)arg += p->locks_held;
    return 0;
}

/* What anybody may ask at any time. Damages are in motion here, and counted at a standstill. */
static void op_ask(void)
{
    struct tarn_stat st;
    unsigned n = 0;
    uint64_t count;
    int e;
    WANT(tarn_stat(segment, &st));
    WANT(tarn_participants(segment, see_participant, &n));
    e = tarn_check(segment, NULL, NULL);
    if (e < 0)
        violation("tarn_check: %d %s", e, tarn_error());
    WANT(tarn_map_count(numbers, &count));
}

static void op_recover(void)
{
    int e = tarn_recover(segment);
    if (e < 0 && e != -EBUSY)
        violation("tarn_recover: %d %s", e, tarn_error());
}

/* ---- coming and going ---- */

static void op_detach(void)
{
    WANT(tarn_thread_detach(segment));
}

static void op_attach_again(void)
{
    tarn *s;
    int e = open_segment(0, &s);
    if (e)
        violation("tarn_open: %d %s", e, tarn_error());
    if (s != segment)
        violation("tarn_open gave another handle on the same segment");
    WANT(tarn_close(s));
}

/* A child says who it is by a compare-and-swap of {incarnation, 0}; whoever was quicker has called it off. */
bool say_who(struct log *l, uint32_t incarnation, pid_t pid)
{
    uint64_t expected = (uint64_t)incarnation << 32;
    return __atomic_compare_exchange_n(&l->child, &expected, expected | (uint32_t)pid, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* A child of a thread that has a lock, and a section open: they are not the child's. */
static void child(unsigned c, uint32_t incarnation)
{
    struct log *l = &shared->log[me.slot / LANE * LANE + THREADS];
    bool open = in_section;
    if (!say_who(l, incarnation, getpid()))
        _exit(0);
    guest = true;
    in_section = false;
    child_lives();
    alarm(120);
    if (open && tarn_commit(segment) != -EPERM)
        violation("a forked child ended its parent's section");
    if (held[c] && tarn_mutex_unlock(segment, &root->counter[c].lock) != -EPERM)
        violation("a forked child unlocked its parent's lock");
    memset(held, 0, sizeof held);
    memset(put_off, 0, sizeof put_off);
    child_holds_none();
    work(me.slot / LANE * LANE + THREADS, true);
    _exit(0);
}

/* 0: waits for it. (One whose parent was another is the controller's.) */
void wait_for_child(int how)
{
    struct log *l = &shared->log[me.slot / LANE * LANE + THREADS];
    if (!l->active)
        return;
    if (how == 0 && say_who(l, (uint32_t)(l->child >> 32), -1))
        l->active = 0;
    else if (waitpid((pid_t)(uint32_t)l->child, NULL, how) > 0)
        l->active = 0;
}

static void op_fork(void)
{
    struct log *l = &shared->log[me.slot / LANE * LANE + THREADS];
    unsigned c = chance(PLAIN);
    pid_t pid;
    if (guest || me.slot % LANE)
        return;
    wait_for_child(WNOHANG);
    if (l->active || take(c, WAIT) < 0)
        return;
    begin_section();
    if (add(c) < 0) {
        abort_section(0);
        return;
    }
    uint32_t incarnation = ++l->incarnation;
    l->since_ms = now_ms();
    l->child = (uint64_t)incarnation << 32;
    barrier_();
    l->active = 1;
    pid = fork();
    if (pid == 0)
        child(c, incarnation);
    if (pid < 0)
        l->active = 0;
    me.log->forked++;
    commit_section(0, false);
}

static const struct operation {
    const char *name;
    unsigned weight;
    void (*run)(void);
} operations[] = {
    {"lock, try, timed", 120, op_lock},
    {"section", 240, op_section},
    {"lock, then section", 40, op_lock_then_section},
    {"alloc_into, free_from", 80, op_alloc_into},
    {"realloc_into", 40, op_resize},
    {"map of numbers", 60, op_number},
    {"map of strings", 40, op_string},
    {"tree of numbers", 60, op_leaf},
    {"tree of strings", 40, op_word},
    {"tree, a walk", 10, op_leaves},
    {"names", 30, op_name},
    {"shared names", 20, op_shared_name},
    {"compare", 20, op_verify},
    {"walks", 6, op_look},
    {"members under a pin", 20, op_pinned},
    {"elements", 20, op_elements},
    {"the note, by itself", 20, op_note},
    {"read-only attachment", 1, op_read_only},
    {"stat, participants, check", 1, op_ask},
    {"recover", 4, op_recover},
    {"grow", 2, op_grow},
    {"detach", 4, op_detach},
    {"attach again", 1, op_attach_again},
    {"fork", 3, op_fork},
    {"rwlock to read", 60, op_read},
    {"rwlock to write", 50, op_write},
    {"condition", 16, op_condition},
    {"lock, nested", 20, op_nested},
    {"semaphore", 40, op_semaphore},
    {"held semaphore", 30, op_held},
    {"barrier", 8, op_barrier},
    {"once", 14, op_once},
    {"event", 30, op_event},
    {"wait for one of several", 14, op_wait_any},
    {"who waits", 2, op_who_waits},
};

const char *operation_name(unsigned n)
{
    return n < sizeof operations / sizeof *operations ? operations[n].name
           : n == 1000                                ? "taking it down"
                                                      : "?";
}

void one_operation(void)
{
    me.log->what = PICK(operations);
    me.log->since_ms = now_ms();
    operations[me.log->what].run();
    me.log->operations++;
}

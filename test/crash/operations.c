/* operations.c - what CRASHLAB steps through: every public call that changes a segment, its slow paths made likely by the set-up. */
#include <errno.h>
#include <string.h>

#include "lab.h"
#include "participant/participant.h"
#include "sync/sync.h"

#define R (l->root)
#define REF(i) (&l->root->ref[i])
#define SEG (l->seg)

static void set(struct lab *l, int word, uint64_t value)
{
    MUST(tarn_save(SEG, &R->word[word], 8));
    R->word[word] = value;
}

/* ---- locks ---- */
static void lock_unlock(struct lab *l)
{
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}
static void lock_two(struct lab *l)
{
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    MUST(tarn_mutex_lock(SEG, &R->lock[1]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[1]));
}
static void sleepers(struct lab *l)
{
    R->lock[0].waiters = MUTEX_SLEEPERS;
}
static void dirty(struct lab *l)
{
    R->lock[0].owner = ID_DIRTY;
}
static void lock_dirty(struct lab *l)
{
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    MUST(tarn_mutex_consistent(SEG, &R->lock[0]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}
static void dirty_in_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    MUST(tarn_mutex_consistent(SEG, &R->lock[0]));
    set(l, 0, 5);
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_commit(SEG));
}
static void driver_holds(struct lab *l)
{
    MUST(tarn_mutex_lock(SEG, &R->lock[1]));
}
static void try_and_timed(struct lab *l)
{
    struct timespec past = {0, 0};
    if (tarn_mutex_try(SEG, &R->lock[1]) == 0 || tarn_mutex_timed(SEG, &R->lock[1], &past) == 0)
        lab_fail("took a lock that the driver has");
    MUST(tarn_mutex_try(SEG, &R->lock[0]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}
/* Long enough to sleep, be woken by the cap, and look again. */
static void timed_sleep(struct lab *l)
{
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_nsec += 200000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    if (tarn_mutex_timed(SEG, &R->lock[1], &soon) == 0)
        lab_fail("took a lock that the driver has");
}
/* The driver has lock 1 and looks as if it waited for lock 0. */
static void driver_waits(struct lab *l)
{
    struct record *r = record_at(SEG, 0);
    driver_holds(l);
    r->waits_count++;
    r->waits = offset_of(SEG, &R->lock[0]);
}
static void circle(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    set(l, 0, 1);
    if (tarn_mutex_lock(SEG, &R->lock[1]) == 0)
        lab_fail("took a lock that the driver has");
    MUST(tarn_abort(SEG));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}

/* ---- sections ---- */
static void two_words(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    set(l, 0, 1);
    set(l, 1, 2);
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_commit(SEG));
}
static void three_sections(struct lab *l)
{
    for (int i = 0; i < 3; i++) {
        MUST(tarn_begin(SEG));
        set(l, i, 10 + (uint64_t)i);
        set(l, 5, (uint64_t)i);
        MUST(tarn_commit(SEG));
        mark(l);
    }
}
static void aborted(struct lab *l)
{
    uint64_t bytes[4] = {1, 2, 3, 4};
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    MUST(tarn_write(SEG, &R->word[2], bytes, sizeof bytes));
    set(l, 0, 2);
    MUST(tarn_abort(SEG));
}
static void nested(struct lab *l)
{
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    MUST(tarn_begin(SEG));
    set(l, 1, 2);
    MUST(tarn_commit(SEG));
    set(l, 2, 3);
    MUST(tarn_commit(SEG));
}
static void nested_abort(struct lab *l)
{
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    MUST(tarn_begin(SEG));
    set(l, 1, 2);
    MUST(tarn_abort(SEG));
    if (tarn_commit(SEG) == 0)
        lab_fail("a doomed section committed");
}
/* Taken in the section and kept; then another section under it; lock 1 from before is put off. */
static void lock_outlives(struct lab *l)
{
    MUST(tarn_mutex_lock(SEG, &R->lock[1]));
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    set(l, 0, 1);
    MUST(tarn_mutex_unlock(SEG, &R->lock[1]));
    MUST(tarn_commit(SEG));
    mark(l);
    MUST(tarn_begin(SEG));
    set(l, 1, 1);
    MUST(tarn_commit(SEG));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}
static void keep_from_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    set(l, 0, 1);
    MUST(tarn_commit(SEG));
}
static void kept(struct lab *l)
{
    for (int i = 0; i < 2; i++) {
        MUST(tarn_begin(SEG));
        set(l, 1, 1 + (uint64_t)i);
        MUST(tarn_commit(SEG));
        mark(l);
    }
}
static void keep(struct lab *l)
{
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
}
/* Put off, and the section never commits. */
static void kept_deferred(struct lab *l)
{
    MUST(tarn_begin(SEG));
    set(l, 1, 1);
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    set(l, 2, 1);
    R->word[1] = R->word[2] = 0; /* the contents of an undone section are those from before */
}
static void lock_again(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    set(l, 0, 1);
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    set(l, 1, 1);
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_commit(SEG));
}
/* ... and a log full of old words, which nothing may take for entries. */
static void big_block(struct lab *l)
{
    MUST(tarn_alloc_into(SEG, REF(0), 3000));
    MUST(tarn_begin(SEG));
    MUST(tarn_save(SEG, tarn_ptr(SEG, R->ref[0], 2400), 2400));
    for (int i = 0; i < 60; i++)
        set(l, 3, 0x0001000000007008ull + (uint64_t)i * 8);
    MUST(tarn_commit(SEG));
}
/* More than the record's log holds: extents are linked while the section is open. */
static void long_log(struct lab *l)
{
    char *block = tarn_ptr(SEG, R->ref[0], 2400);
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    MUST(tarn_save(SEG, block, 2400));
    memset(block, 7, 2400);
    set(l, 1, 1);
    MUST(tarn_commit(SEG));
}
static void long_log_abort(struct lab *l)
{
    char *block = tarn_ptr(SEG, R->ref[0], 2400);
    MUST(tarn_begin(SEG));
    MUST(tarn_save(SEG, block, 2400));
    memset(block, 7, 2400);
    set(l, 1, 1);
    MUST(tarn_abort(SEG));
}
/* One word is left in the record (its log has 192) when an entry of two comes. */
static void log_padding(struct lab *l)
{
    tarn_ref b;
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc(SEG, 100, &b));
    for (int i = 0; i < 95; i++)
        set(l, i % 3, (uint64_t)i);
    MUST(tarn_save(SEG, REF(4), 8));
    R->ref[4] = b;
    set(l, 4, 1);
    MUST(tarn_commit(SEG));
}
/* More locks than the record has slots for (32 in a record of 2 KiB). */
static void many_locks(struct lab *l)
{
    tarn_mutex *lock = tarn_ptr(SEG, R->ref[0], 40 * sizeof *lock);
    MUST(tarn_begin(SEG));
    for (int i = 0; i < 36; i++)
        MUST(tarn_mutex_lock(SEG, &lock[i]));
    set(l, 0, 1);
    for (int i = 0; i < 36; i++)
        MUST(tarn_mutex_unlock(SEG, &lock[i]));
    MUST(tarn_commit(SEG));
}

/* ---- heap ---- */
static void alloc_into(struct lab *l)
{
    MUST(tarn_alloc_into(SEG, REF(0), 40));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(1), 40));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(2), 200));
}
static void some_blocks(struct lab *l)
{
    for (int i = 0; i < 4; i++)
        MUST(tarn_alloc_into(SEG, REF(i), 40 + (size_t)i * 100));
}
static void free_from(struct lab *l)
{
    MUST(tarn_free_from(SEG, REF(0)));
    mark(l);
    MUST(tarn_free_from(SEG, REF(3)));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(4), 40));
}
static void retire_from(struct lab *l)
{
    MUST(tarn_retire_from(SEG, REF(0)));
    mark(l);
    MUST(tarn_retire_from(SEG, REF(1)));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(5), 40));
}
static void drivers_blocks(struct lab *l)
{
    for (int i = 6; i < 10; i++)
        MUST(tarn_alloc_into(SEG, REF(i), 64));
}
static void remote_free(struct lab *l)
{
    MUST(tarn_free_from(SEG, REF(6)));
    mark(l);
    MUST(tarn_retire_from(SEG, REF(7)));
    mark(l);
    MUST(tarn_begin(SEG));
    set(l, 0, 1);
    MUST(tarn_free_from(SEG, REF(8)));
    MUST(tarn_retire_from(SEG, REF(9)));
    MUST(tarn_commit(SEG));
}
static void section_heap(struct lab *l)
{
    tarn_ref b;
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc(SEG, 100, &b));
    MUST(tarn_save(SEG, REF(4), 8));
    R->ref[4] = b;
    MUST(tarn_alloc_into(SEG, REF(5), 24));
    b = R->ref[0];
    MUST(tarn_save(SEG, REF(0), 8));
    R->ref[0] = 0;
    MUST(tarn_free(SEG, b));
    b = R->ref[1];
    MUST(tarn_save(SEG, REF(1), 8));
    R->ref[1] = 0;
    MUST(tarn_retire(SEG, b));
}
static void section_heap_commit(struct lab *l)
{
    section_heap(l);
    MUST(tarn_commit(SEG));
}
static void section_heap_abort(struct lab *l)
{
    section_heap(l);
    MUST(tarn_abort(SEG));
}
static void runs(struct lab *l)
{
    MUST(tarn_alloc_into(SEG, REF(0), 9000));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(1), 5000));
    mark(l);
    MUST(tarn_free_from(SEG, REF(0)));
    mark(l);
    MUST(tarn_retire_from(SEG, REF(1)));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(2), 20000));
}
static void run_in_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc_into(SEG, REF(0), 9000));
    MUST(tarn_abort(SEG));
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc_into(SEG, REF(1), 9000));
    MUST(tarn_commit(SEG));
}
static void refill(struct lab *l)
{
    for (int i = 0; i < 10; i++) {
        MUST(tarn_alloc_into(SEG, REF(i), 500));
        mark(l);
    }
}
static void grow(struct lab *l)
{
    MUST(tarn_alloc_into(SEG, REF(0), 50000));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(1), 30000));
}
/* ---- lists ---- */
static tarn_link *link_of(struct lab *l, int i)
{
    return (tarn_link *)(void *)((char *)tarn_ptr(SEG, R->ref[i], 64) + LAB_LINK);
}
static void three_members(struct lab *l)
{
    for (int i = 0; i < 5; i++) {
        MUST(tarn_alloc_into(SEG, REF(i), 64));
        *(uint64_t *)tarn_ptr(SEG, R->ref[i], 64) = (uint64_t)i + 100;
    }
    for (int i = 0; i < 3; i++)
        MUST(tarn_list_insert_last(SEG, &R->list, link_of(l, i)));
}
static void list_insert(struct lab *l)
{
    MUST(tarn_list_insert_first(SEG, &R->list, link_of(l, 3)));
    mark(l);
    MUST(tarn_list_insert_after(SEG, &R->list, link_of(l, 4), link_of(l, 1)));
}
static void list_insert_empty(struct lab *l)
{
    MUST(tarn_alloc_into(SEG, REF(0), 64));
    mark(l);
    MUST(tarn_list_insert_last(SEG, &R->list, link_of(l, 0)));
    mark(l);
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 0)));
}
static void list_remove(struct lab *l)
{
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 1)));
    mark(l);
    MUST(tarn_list_insert_before(SEG, &R->list, link_of(l, 1), link_of(l, 0)));
}
/* The first member goes to the end, a block is made and put in, one is taken out and retired: all or nothing. */
static void list_in_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 0)));
    MUST(tarn_list_insert_last(SEG, &R->list, link_of(l, 0)));
    MUST(tarn_list_insert_first(SEG, &R->list, link_of(l, 3)));
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 1)));
    MUST(tarn_retire_from(SEG, REF(1)));
    MUST(tarn_commit(SEG));
}
static void list_aborted(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 1)));
    MUST(tarn_list_insert_first(SEG, &R->list, link_of(l, 1)));
    MUST(tarn_list_insert_before(SEG, &R->list, link_of(l, 4), link_of(l, 2)));
    MUST(tarn_abort(SEG));
}

/* One goes to another list, and there is put beside one that came before; what came back to the first may be read by who stood on it. */
static void list_to_another(struct lab *l)
{
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 0)));
    mark(l);
    MUST(tarn_list_insert_last(SEG, &R->other, link_of(l, 0)));
    mark(l);
    MUST(tarn_begin(SEG));
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 1)));
    MUST(tarn_list_insert_before(SEG, &R->other, link_of(l, 1), link_of(l, 0)));
    MUST(tarn_list_remove(SEG, &R->other, link_of(l, 0)));
    MUST(tarn_list_insert_first(SEG, &R->list, link_of(l, 0)));
    MUST(tarn_commit(SEG));
}
static void list_to_another_aborted(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_list_remove(SEG, &R->list, link_of(l, 1)));
    MUST(tarn_list_insert_last(SEG, &R->other, link_of(l, 1)));
    MUST(tarn_list_insert_after(SEG, &R->other, link_of(l, 3), link_of(l, 1)));
    MUST(tarn_list_remove(SEG, &R->other, link_of(l, 1)));
    MUST(tarn_list_insert_first(SEG, &R->list, link_of(l, 1)));
    MUST(tarn_abort(SEG));
}
/* Asked for by the wrong list: nothing happens. */
static void list_mistaken(struct lab *l)
{
    MUST(tarn_list_insert_last(SEG, &R->other, link_of(l, 3)));
    mark(l);
    if (tarn_list_insert_after(SEG, &R->other, link_of(l, 4), link_of(l, 1)) != -EINVAL ||
        tarn_list_remove(SEG, &R->list, link_of(l, 3)) != -EINVAL)
        lab_fail("a member of another list is taken for one's own");
}

static void limit(struct lab *l)
{
    tarn_ref none;
    MUST(tarn_set_limit(SEG, 65536));
    mark(l);
    MUST(tarn_begin(SEG));
    if (tarn_alloc(SEG, 90000, &none) == 0)
        lab_fail("it grew beyond its limit");
    MUST(tarn_abort(SEG));
    MUST(tarn_set_limit(SEG, 0));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(0), 50000));
}
/* A lock inside the block that is freed and reused: unlock's window must not reach the new owner of the memory. */
static void lock_in_block(struct lab *l)
{
    tarn_mutex *m = tarn_ptr(SEG, R->ref[0], sizeof *m);
    MUST(tarn_begin(SEG));
    MUST(tarn_mutex_lock(SEG, m));
    MUST(tarn_retire_from(SEG, REF(0)));
    MUST(tarn_mutex_unlock(SEG, m));
    MUST(tarn_commit(SEG));
    mark(l);
    MUST(tarn_alloc_into(SEG, REF(4), 40));
}
static void readers(struct lab *l)
{
    MUST(tarn_read_begin(SEG));
    MUST(tarn_retire_from(SEG, REF(0)));
    mark(l);
    MUST(tarn_read_end(SEG));
    MUST(tarn_alloc_into(SEG, REF(5), 40));
}

/* ---- taking part ---- */
static void leave_and_come(struct lab *l)
{
    MUST(tarn_thread_detach(SEG));
    MUST(tarn_thread_attach(SEG));
}
static void leave(struct lab *l)
{
    MUST(tarn_thread_detach(SEG));
}

/* ---- names ---- */
struct thing {
    uint64_t a, b;
};
static void find_or_make(struct lab *l)
{
    struct thing *t;
    MUST(tarn_object(SEG, "thing", struct thing, &t));
    mark(l);
    MUST(tarn_object(SEG, "thing", struct thing, &t));
}
static void bind(struct lab *l)
{
    struct tarn_type type = TARN_TYPE(struct thing);
    MUST(tarn_bind(SEG, "bound", &type, R->ref[0]));
}
static void unbind(struct lab *l)
{
    struct tarn_type type = TARN_TYPE(struct thing);
    MUST(tarn_bind(SEG, "bound", &type, R->ref[0]));
    mark(l);
    MUST(tarn_unbind(SEG, "bound", 0));
}
static void thing_there(struct lab *l)
{
    struct thing *t;
    MUST(tarn_object(SEG, "thing", struct thing, &t));
}
static void unbind_object(struct lab *l)
{
    MUST(tarn_unbind(SEG, "thing", 1));
}

/* ---- maps ---- */
static void put(struct lab *l, const char *key, const char *value)
{
    MUST(tarn_map_put(l->map, key, strlen(key), value, strlen(value)));
}
static void map_put(struct lab *l)
{
    put(l, "one", "1");
    mark(l);
    put(l, "one", "another value, of another size");
    mark(l);
    put(l, "two", "2");
}
static void entries(struct lab *l)
{
    uint64_t sum;
    put(l, "one", "1");
    put(l, "two", "2");
    MUST(tarn_map_add(l->map, "sum", 3, 5, &sum));
    MUST(tarn_map_put64(l->numbers, 1, 10));
    MUST(tarn_map_put64(l->numbers, 2, 20));
}
static void map_change(struct lab *l)
{
    uint64_t sum;
    MUST(tarn_map_remove(l->map, "one", 3));
    mark(l);
    MUST(tarn_map_add(l->map, "sum", 3, 6, &sum));
    mark(l);
    MUST(tarn_map_add64(l->numbers, 1, 7, &sum));
    mark(l);
    MUST(tarn_map_put64(l->numbers, 3, 30));
    mark(l);
    MUST(tarn_map_remove64(l->numbers, 2));
}
static void map_section(struct lab *l)
{
    uint64_t sum;
    MUST(tarn_begin(SEG));
    MUST(tarn_map_remove(l->map, "one", 3));
    put(l, "three", "3");
    MUST(tarn_map_add(l->map, "sum", 3, 6, &sum));
    MUST(tarn_map_add64(l->numbers, 1, 7, &sum));
    MUST(tarn_map_put64(l->numbers, 3, 30));
    set(l, 0, 1);
}
static void map_commit(struct lab *l)
{
    map_section(l);
    MUST(tarn_commit(SEG));
}
static void map_abort(struct lab *l)
{
    map_section(l);
    MUST(tarn_abort(SEG));
}
/* As full as a bucket can be without having been split; of the next 14, one splits it: some at their home line, most likely, are not. */
static void full_bucket(struct lab *l)
{
    for (uint64_t i = 0; i < 43; i++)
        MUST(tarn_map_put64(l->numbers, i, i));
}
static void map_split(struct lab *l)
{
    for (uint64_t i = 60; i < 74; i++) {
        MUST(tarn_map_put64(l->numbers, i, i));
        mark(l);
    }
}
/* The section has written in the bucket before it is full. */
static void map_overflow(struct lab *l)
{
    MUST(tarn_begin(SEG));
    for (uint64_t i = 60; i < 74; i++)
        MUST(tarn_map_put64(l->numbers, i, i));
    MUST(tarn_abort(SEG));
    MUST(tarn_map_put64(l->numbers, 80, 1));
}
static void map_make(struct lab *l)
{
    tarn_map *map;
    MUST(tarn_map_open(SEG, "third", TARN_CREATE, &map));
    tarn_map_close(map);
}

const struct operation operations[] = {
    {"mutex lock, unlock", OP_DIRTY, NULL, NULL, lock_unlock},
    {"mutex two, crossed", OP_DIRTY, NULL, NULL, lock_two},
    {"mutex unlock, sleepers", OP_DIRTY, NULL, sleepers, lock_unlock},
    {"mutex dirty, consistent", OP_DIRTY, dirty, NULL, lock_dirty},
    {"mutex dirty, in a section", OP_DIRTY, dirty, NULL, dirty_in_section},
    {"mutex try, timed", OP_DIRTY, NULL, driver_holds, try_and_timed},
    {"mutex timed, sleeps", OP_DIRTY | OP_FEW, NULL, driver_holds, timed_sleep},
    {"mutex circle", OP_DIRTY, NULL, driver_waits, circle},
    {"section two words", 0, NULL, NULL, two_words},
    {"section three", 0, NULL, NULL, three_sections},
    {"section abort", 0, NULL, NULL, aborted},
    {"section nested", 0, NULL, NULL, nested},
    {"section nested abort", 0, NULL, NULL, nested_abort},
    {"section lock outlives", OP_DIRTY, NULL, NULL, lock_outlives},
    {"section kept lock", OP_MUST_DIRTY, keep_from_section, NULL, kept},
    {"section kept, deferred", OP_MUST_DIRTY, keep, NULL, kept_deferred},
    {"section lock again", 0, NULL, NULL, lock_again},
    {"section long log", OP_FEW, big_block, NULL, long_log},
    {"section long log abort", OP_FEW, big_block, NULL, long_log_abort},
    {"section log padding", OP_FEW, big_block, NULL, log_padding},
    {"section many locks", OP_FEW, big_block, NULL, many_locks},
    {"heap alloc_into", 0, NULL, NULL, alloc_into},
    {"heap free_from", 0, some_blocks, NULL, free_from},
    {"heap retire_from", 0, some_blocks, NULL, retire_from},
    {"heap remote free", 0, NULL, drivers_blocks, remote_free},
    {"heap section commit", 0, some_blocks, NULL, section_heap_commit},
    {"heap section abort", 0, some_blocks, NULL, section_heap_abort},
    {"heap runs", OP_FEW, NULL, NULL, runs},
    {"heap run in a section", OP_FEW, NULL, NULL, run_in_section},
    {"heap refill", OP_FEW, NULL, NULL, refill},
    {"heap lock in a block", 0, some_blocks, NULL, lock_in_block},
    {"heap readers", 0, some_blocks, NULL, readers},
    {"list insert", 0, three_members, NULL, list_insert},
    {"list insert into an empty one", 0, NULL, NULL, list_insert_empty},
    {"list remove", 0, three_members, NULL, list_remove},
    {"list in a section", OP_FEW, three_members, NULL, list_in_section},
    {"list aborted", OP_FEW, three_members, NULL, list_aborted},
    {"list to another", OP_FEW, three_members, NULL, list_to_another},
    {"list to another, aborted", OP_FEW, three_members, NULL, list_to_another_aborted},
    {"list mistaken", OP_FEW, three_members, NULL, list_mistaken},
    {"segment grow", OP_FEW | OP_GROWS, NULL, NULL, grow},
    {"segment limit", OP_FEW | OP_GROWS, NULL, NULL, limit},
    {"thread leave", OP_LEAVES, some_blocks, NULL, leave},
    {"thread leave and come", OP_LEAVES, some_blocks, NULL, leave_and_come},
    {"name find or make", 0, NULL, NULL, find_or_make},
    {"name bind", 0, some_blocks, NULL, bind},
    {"name unbind", 0, some_blocks, NULL, unbind},
    {"name unbind object", 0, thing_there, NULL, unbind_object},
    {"map put", OP_MAPS, NULL, NULL, map_put},
    {"map change", OP_MAPS, entries, NULL, map_change},
    {"map section commit", OP_MAPS, entries, NULL, map_commit},
    {"map section abort", OP_MAPS, entries, NULL, map_abort},
    {"map split", OP_MAPS | OP_FEW, full_bucket, NULL, map_split},
    {"map overflow", OP_MAPS | OP_FEW, full_bucket, NULL, map_overflow},
    {"map make", OP_MAPS | OP_FEW, NULL, NULL, map_make},
};
const int operations_count = sizeof operations / sizeof *operations;

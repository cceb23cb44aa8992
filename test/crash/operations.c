/* operations.c - what CRASHLAB steps through: every public call that changes a segment, its slow paths made likely by the set-up. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "operations.h"
#include "participant/participant.h"
#include "sync/sync.h"

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

static void nested_lock(struct lab *l)
{
    struct timespec long_ago = {0, 0};
    MUST(tarn_mutex_lock_nested(SEG, &R->lock[0]));
    MUST(tarn_mutex_try_nested(SEG, &R->lock[0]));
    MUST(tarn_mutex_timed_nested(SEG, &R->lock[0], &long_ago));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}

/* ---- the other objects of synchronisation ---- */
static const struct timespec past = {0, 0};
static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 5000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static void read_unlock(struct lab *l)
{
    MUST(tarn_rwlock_read(SEG, &R->rwlock));
    MUST(tarn_rwlock_read(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
}
/* So many that the fast way is granted. */
static void many_reads(struct lab *l)
{
    for (int i = 0; i < 80; i++) {
        MUST(tarn_rwlock_read(SEG, &R->rwlock));
        MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    }
    if (!R->rwlock.fast)
        lab_fail("the fast way was not granted");
}
static void drivers_many_reads(struct lab *l)
{
    many_reads(l);
}
static void writer_waits(struct lab *l)
{
    R->rwlock.drain = 1;
}
static void write_unlock(struct lab *l)
{
    MUST(tarn_rwlock_write(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
}
static void driver_reads(struct lab *l)
{
    MUST(tarn_rwlock_read(SEG, &R->rwlock));
}
static void driver_writes(struct lab *l)
{
    MUST(tarn_rwlock_write(SEG, &R->rwlock));
}
static void write_in_vain(struct lab *l)
{
    struct timespec t = soon();
    MUST_BE(-EBUSY, tarn_rwlock_write_try(SEG, &R->rwlock));
    MUST_BE(-ETIMEDOUT, tarn_rwlock_write_timed(SEG, &R->rwlock, &t));
    MUST(tarn_rwlock_read_try(SEG, &R->rwlock));
    MUST_BE(-EBUSY, tarn_rwlock_upgrade_try(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
}
static void writers_first(struct lab *l)
{
    R->rwlock.flags = TARN_RWLOCK_WRITERS;
}
static void read_in_vain(struct lab *l)
{
    struct timespec t = soon();
    MUST_BE(-EBUSY, tarn_rwlock_read_try(SEG, &R->rwlock));
    MUST_BE(-ETIMEDOUT, tarn_rwlock_read_timed(SEG, &R->rwlock, &t));
}
static void up_and_down(struct lab *l)
{
    MUST(tarn_rwlock_write(SEG, &R->rwlock));
    MUST(tarn_rwlock_downgrade(SEG, &R->rwlock));
    MUST(tarn_rwlock_upgrade_try(SEG, &R->rwlock));
    MUST(tarn_rwlock_downgrade(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
}
static void rwlock_dirty(struct lab *l)
{
    R->rwlock.owner = ID_DIRTY;
}
static void mend_rwlock(struct lab *l)
{
    MUST_BE(TARN_RECOVERED, tarn_rwlock_read(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    MUST_BE(TARN_RECOVERED, tarn_rwlock_write(SEG, &R->rwlock));
    MUST(tarn_rwlock_consistent(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
}
static void rwlock_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_rwlock_read(SEG, &R->rwlock));
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    MUST(tarn_rwlock_read(SEG, &R->rwlock));
    set(l, 0, 1);
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    MUST(tarn_commit(SEG));
    mark(l);
    MUST(tarn_begin(SEG));
    MUST(tarn_rwlock_write(SEG, &R->rwlock));
    set(l, 0, 2);
    set(l, 1, 2);
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    MUST(tarn_commit(SEG));
    mark(l);
    MUST(tarn_begin(SEG));
    MUST(tarn_rwlock_write(SEG, &R->rwlock));
    set(l, 0, 3);
    MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
    MUST(tarn_abort(SEG));
}
static void waiter_left(struct lab *l)
{
    R->condition.waiting = R->condition.turn << 1 | 1;
}
static void signal_and_broadcast(struct lab *l)
{
    MUST(tarn_condition_signal(SEG, &R->condition));
    MUST(tarn_condition_broadcast(SEG, &R->condition));
    MUST(tarn_condition_signal(SEG, &R->condition));
}
static void condition_wait(struct lab *l)
{
    struct timespec t = soon();
    MUST(tarn_mutex_lock(SEG, &R->lock[0]));
    MUST_BE(-ETIMEDOUT, tarn_condition_timed(SEG, &R->condition, &R->lock[0], &t));
    MUST(tarn_mutex_unlock(SEG, &R->lock[0]));
}
static void semaphore_all(struct lab *l)
{
    struct timespec t = soon();
    MUST(tarn_semaphore_post(SEG, &R->semaphore));
    mark(l);
    MUST(tarn_semaphore_post_many(SEG, &R->semaphore, 2));
    mark(l);
    MUST(tarn_semaphore_wait(SEG, &R->semaphore));
    mark(l);
    MUST(tarn_semaphore_try(SEG, &R->semaphore));
    mark(l);
    MUST(tarn_semaphore_timed(SEG, &R->semaphore, &past));
    mark(l);
    MUST_BE(-ETIMEDOUT, tarn_semaphore_timed(SEG, &R->semaphore, &t));
}
static void semaphore_sleepers(struct lab *l)
{
    R->semaphore.word = 0x80000000u;
}
static void semaphore_post(struct lab *l)
{
    MUST(tarn_semaphore_post(SEG, &R->semaphore));
    mark(l);
    MUST(tarn_semaphore_wait(SEG, &R->semaphore));
}
static void some_units(struct lab *l)
{
    MUST(tarn_held_set(SEG, &R->held, 5));
}
static void take_give(struct lab *l)
{
    MUST(tarn_held_take(SEG, &R->held, 2));
    MUST(tarn_held_try(SEG, &R->held, 3));
    MUST_BE(-EAGAIN, tarn_held_try(SEG, &R->held, 1));
    MUST(tarn_held_give(SEG, &R->held, 4));
    MUST(tarn_held_give(SEG, &R->held, 1));
}
static void some_units_taken(struct lab *l)
{
    some_units(l);
    MUST(tarn_held_take(SEG, &R->held, 3));
}
/* The driver has some: of what is there, the subject's are for a while fewer. */
static void driver_takes(struct lab *l)
{
    MUST(tarn_held_take(SEG, &R->held, 1));
}
static void take_in_vain(struct lab *l)
{
    struct timespec t = soon();
    MUST_BE(-ETIMEDOUT, tarn_held_timed(SEG, &R->held, 5, &t));
    MUST(tarn_held_set(SEG, &R->held, 7));
    mark(l);
    MUST(tarn_held_timed(SEG, &R->held, 1, &past));
    MUST(tarn_held_give(SEG, &R->held, 1));
}
static void give_all(struct lab *l)
{
    MUST(tarn_held_give(SEG, &R->held, 3));
}
static void barrier_alone(struct lab *l)
{
    MUST(tarn_barrier_join(SEG, &R->barrier));
    MUST_BE(TARN_LAST, tarn_barrier_wait(SEG, &R->barrier));
    MUST_BE(TARN_LAST, tarn_barrier_wait(SEG, &R->barrier));
    MUST(tarn_barrier_leave(SEG, &R->barrier));
}
static void driver_joins(struct lab *l)
{
    MUST(tarn_barrier_join(SEG, &R->barrier));
}
static void barrier_in_vain(struct lab *l)
{
    struct timespec t = soon();
    MUST_BE(-ETIMEDOUT, tarn_barrier_timed(SEG, &R->barrier, &t));
    MUST(tarn_barrier_reset(SEG, &R->barrier));
    MUST(tarn_barrier_leave(SEG, &R->barrier));
}
static int run_once(tarn *seg, void *arg)
{
    struct lab *l = arg;
    (void)seg;
    MUST(tarn_begin(SEG));
    set(l, 0, R->word[0] + 1);
    MUST(tarn_commit(SEG));
    mark(l);
    return 0;
}
static void once(struct lab *l)
{
    MUST(tarn_once_run(SEG, &R->once, run_once, l));
    MUST(tarn_once_run(SEG, &R->once, run_once, l));
}
static void events(struct lab *l)
{
    struct timespec t = soon();
    MUST(tarn_event_set(SEG, &R->event));
    mark(l);
    MUST(tarn_event_wait(SEG, &R->event));
    MUST(tarn_event_reset(SEG, &R->event));
    mark(l);
    MUST(tarn_event_set(SEG, &R->automatic));
    mark(l);
    MUST(tarn_event_try(SEG, &R->automatic));
    mark(l);
    MUST_BE(-ETIMEDOUT, tarn_event_timed(SEG, &R->automatic, &t));
}
static void automatic(struct lab *l)
{
    MUST(tarn_event_init(SEG, &R->automatic, TARN_EVENT_AUTOMATIC));
}
static void event_sleepers(struct lab *l)
{
    R->event.word |= 0x80000000u;
    R->automatic.word |= 0x80000000u;
}
static void event_told(struct lab *l)
{
    MUST(tarn_event_signal(SEG, &R->event, SIGCONT));
    MUST(tarn_event_set(SEG, &R->event));
    mark(l);
    MUST(tarn_event_signal(SEG, &R->event, 0));
    MUST(tarn_event_reset(SEG, &R->event));
}
static void wait_any(struct lab *l)
{
    struct tarn_awaited a[3] = {{.kind = TARN_EVENT, .event = &R->automatic},
                                {.kind = TARN_SEMAPHORE, .semaphore = &R->semaphore},
                                {.kind = TARN_EVENT, .event = &R->event}};
    struct timespec t = soon();
    uint32_t index = 9;
    MUST_BE(-ETIMEDOUT, tarn_wait_any(SEG, a, 3, &t, &index));
    MUST(tarn_semaphore_post(SEG, &R->semaphore));
    mark(l);
    MUST(tarn_wait_any(SEG, a, 3, NULL, &index));
    if (index != 1)
        lab_fail("not the one that came");
}
static void made(struct lab *l)
{
    MUST(tarn_rwlock_init(SEG, &R->rwlock, TARN_RWLOCK_WRITERS));
    MUST(tarn_semaphore_init(SEG, &R->semaphore, 3));
    mark(l);
    MUST(tarn_barrier_init(SEG, &R->barrier, 2, TARN_BARRIER_DROP));
}
static void all_gone(struct lab *l)
{
    MUST(tarn_rwlock_fini(SEG, &R->rwlock));
    MUST(tarn_condition_fini(SEG, &R->condition));
    MUST(tarn_barrier_fini(SEG, &R->barrier));
    MUST(tarn_semaphore_fini(SEG, &R->semaphore));
    MUST(tarn_event_fini(SEG, &R->event));
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
static void grow_by(struct lab *l)
{
    MUST(tarn_grow(SEG, 8192));
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

const struct operation core_operations[] = {
    {"mutex lock, unlock", OP_DIRTY, NULL, NULL, lock_unlock},
    {"mutex two, crossed", OP_DIRTY, NULL, NULL, lock_two},
    {"mutex unlock, sleepers", OP_DIRTY, NULL, sleepers, lock_unlock},
    {"mutex dirty, consistent", OP_DIRTY, dirty, NULL, lock_dirty},
    {"mutex dirty, in a section", OP_DIRTY, dirty, NULL, dirty_in_section},
    {"mutex try, timed", OP_DIRTY, NULL, driver_holds, try_and_timed},
    {"mutex timed, sleeps", OP_DIRTY | OP_FEW, NULL, driver_holds, timed_sleep},
    {"mutex circle", OP_DIRTY, NULL, driver_waits, circle},
    {"mutex nested", OP_DIRTY, NULL, NULL, nested_lock},
    {"rwlock read", 0, NULL, NULL, read_unlock},
    {"rwlock read, fast", 0, many_reads, NULL, read_unlock},
    {"rwlock read, fast, writer waits", 0, many_reads, writer_waits, read_unlock},
    {"rwlock write", OP_DIRTY, NULL, NULL, write_unlock},
    {"rwlock write, after fast readers", OP_DIRTY, NULL, drivers_many_reads, write_unlock},
    {"rwlock write in vain", OP_DIRTY | OP_FEW, NULL, driver_reads, write_in_vain},
    {"rwlock writers first, in vain", OP_DIRTY | OP_FEW, writers_first, driver_reads, write_in_vain},
    {"rwlock read in vain", OP_FEW, NULL, driver_writes, read_in_vain},
    {"rwlock up and down", OP_DIRTY, NULL, NULL, up_and_down},
    {"rwlock dirty", OP_DIRTY, rwlock_dirty, NULL, mend_rwlock},
    {"rwlock in a section", 0, NULL, NULL, rwlock_section},
    {"condition signal, broadcast", 0, NULL, waiter_left, signal_and_broadcast},
    {"condition timed", OP_DIRTY | OP_FEW, NULL, NULL, condition_wait},
    {"semaphore", OP_FEW, NULL, NULL, semaphore_all},
    {"semaphore post, sleepers", 0, NULL, semaphore_sleepers, semaphore_post},
    {"held take, give", OP_FEW, some_units, NULL, take_give},
    {"held give, the driver has some", OP_FEW, some_units_taken, driver_takes, give_all},
    {"held take in vain", OP_FEW, some_units, driver_takes, take_in_vain},
    {"barrier alone", OP_FEW, NULL, NULL, barrier_alone},
    {"barrier in vain", OP_FEW, NULL, driver_joins, barrier_in_vain},
    {"once", 0, NULL, NULL, once},
    {"event", OP_FEW, automatic, event_sleepers, events},
    {"event, told by a signal", 0, NULL, NULL, event_told},
    {"wait for any", OP_FEW, automatic, NULL, wait_any},
    {"objects made", 0, NULL, NULL, made},
    {"objects destroyed", 0, NULL, NULL, all_gone},
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
    {"segment grow, asked for", OP_FEW | OP_GROWS, NULL, NULL, grow_by},
    {"segment limit", OP_FEW | OP_GROWS, NULL, NULL, limit},
    {"thread leave", OP_LEAVES, some_blocks, NULL, leave},
    {"thread leave and come", OP_LEAVES, some_blocks, NULL, leave_and_come},
    {"name find or make", 0, NULL, NULL, find_or_make},
    {"name bind", 0, some_blocks, NULL, bind},
    {"name unbind", 0, some_blocks, NULL, unbind},
    {"name unbind object", 0, thing_there, NULL, unbind_object},
    {0},
};

const struct operation *const operation_tables[] = {core_operations,  map_operations,  coll_operations,
                                                    heap_operations,  tree_operations, call_operations,
                                                    topic_operations,

                                                    ring_operations,  mq_operations,   NULL};

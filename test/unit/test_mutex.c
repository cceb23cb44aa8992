/* test_mutex.c - the mutex by its public contract, in one process: every result, who may do what, the protocol of TARN_RECOVERED, and what
 * happens when there is no room for one more. Dead holders are threads that end with the lock held. */
#include "helper.h"
#include "arena.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>

static tarn *seg;
static struct arena *a;
static struct tarn_options options;

static int set_up(void **state)
{
    (void)state;
    alarm(60);
    options = tiny(8);
    a = arena_open("anon:", &options, &seg);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    int e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    alarm(0);
    return e;
}

/* ---- what other threads do ---- */

static void *try_it(void *lock) /* and give it back */
{
    long e = tarn_mutex_try(seg, lock);
    if (e >= 0)
        check(tarn_mutex_unlock(seg, lock) == 0);
    return (void *)e;
}
static void *unlock_it(void *lock)
{
    return (void *)(long)tarn_mutex_unlock(seg, lock);
}
static void *mend_it(void *lock)
{
    return (void *)(long)tarn_mutex_consistent(seg, lock);
}
static void *die_with_it(void *lock)
{
    return (void *)(long)tarn_mutex_lock(seg, lock);
}
static void *mend_and_die(void *lock)
{
    long e = tarn_mutex_lock(seg, lock);
    check(tarn_mutex_consistent(seg, lock) == 0);
    return (void *)e;
}
static void *mend_in_section_and_die(void *lock)
{
    long e = tarn_mutex_lock(seg, lock);
    check(tarn_begin(seg) == 0 && tarn_mutex_consistent(seg, lock) == 0);
    return (void *)e;
}
static long other_tries(tarn_mutex *m)
{
    return in_thread(try_it, m);
}

/* A thread that holds lock 0 until it is told. */
static volatile int holds, release;
static void *hold(void *lock)
{
    check(tarn_mutex_lock(seg, lock) >= 0);
    reach(&holds, 1);
    await(&release, 1);
    check(tarn_mutex_unlock(seg, lock) == 0);
    return NULL;
}
static pthread_t holder(tarn_mutex *m)
{
    pthread_t t;
    holds = release = 0;
    assert_int_equal(pthread_create(&t, NULL, hold, m), 0);
    await(&holds, 1);
    return t;
}
static void let_go(pthread_t t)
{
    reach(&release, 1);
    assert_int_equal(pthread_join(t, NULL), 0);
}

/* ---- results ---- */

static void taken_and_given_back(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0], zero = {0, 0};
    struct timespec later = from_now(60000);
    assert_memory_equal(m, &zero, sizeof zero);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_not_equal(m->owner, 0);
    assert_int_equal(other_tries(m), -EBUSY);
    assert_int_equal(other_tries(&a->lock[1]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_memory_equal(m, &zero, sizeof zero);
    assert_int_equal(other_tries(m), 0);
    assert_int_equal(tarn_mutex_try(seg, m), 0);
    assert_int_equal(other_tries(m), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_mutex_timed(seg, m, &later), 0);
    assert_int_equal(other_tries(m), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(other_tries(m), 0);
}

static void in_any_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(tarn_mutex_lock(seg, &a->lock[i]), 0);
    for (unsigned i = 0; i < 12; i++) {
        unsigned k = i * 5 % 12;
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[k]), 0);
        assert_int_equal(other_tries(&a->lock[k]), 0);
        if (i < 11)
            assert_int_equal(other_tries(&a->lock[(i + 1) * 5 % 12]), -EBUSY);
    }
}

static void ones_own_is_a_deadlock(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0];
    struct timespec later = from_now(60000), past = {0, 0};
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), -EDEADLK);
    assert_int_equal(tarn_mutex_timed(seg, m, &later), -EDEADLK);
    assert_int_equal(tarn_mutex_timed(seg, m, &past), -EDEADLK);
    assert_int_equal(tarn_mutex_try(seg, m), -EDEADLK);
    assert_int_equal(other_tries(m), -EBUSY); /* the refusals took nothing away */
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), -EPERM); /* nor did they count */
    assert_int_equal(other_tries(m), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), -EDEADLK);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
}

static void not_ones_own_is_not_permitted(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0], elsewhere = {0, 0};
    assert_int_equal(tarn_mutex_unlock(seg, m), -EPERM); /* nobody's */
    assert_int_equal(tarn_mutex_consistent(seg, m), -EPERM);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_equal(in_thread(unlock_it, m), -EPERM); /* another's */
    assert_int_equal(in_thread(mend_it, m), -EPERM);
    assert_int_equal(other_tries(m), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[1]), -EPERM); /* while holding another one */
    assert_true(tarn_mutex_unlock(seg, &elsewhere) < 0);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0); /* of a clean one: nothing */
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_mutex_consistent(seg, m), -EPERM);
    assert_int_equal(other_tries(m), 0);
}

static void places_are_judged(void **state)
{
    (void)state;
    struct timespec later = from_now(60000);
    struct tarn_stat s = stat_of(seg);
    tarn_mutex on_stack[1] = {{0, 0}};
    char *first = (char *)a - tarn_ref_of(seg, a), *m = (char *)&a->lock[0];
    void *bad[] = {NULL,
                   on_stack,
                   m + 1,
                   m + 2,
                   m + 4,
                   m + 7,
                   first + (1ull << 46),
                   first - 8,
                   (void *)8,
                   (void *)(~(uintptr_t)7),
                   (void *)(1ull << 47)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tarn_mutex_lock(seg, bad[i]), -EINVAL);
        assert_int_equal(tarn_mutex_try(seg, bad[i]), -EINVAL);
        assert_int_equal(tarn_mutex_timed(seg, bad[i], &later), -EINVAL);
        assert_true(tarn_error()[0] != 0);
        assert_true(tarn_mutex_unlock(seg, bad[i]) < 0);
    }
    assert_int_equal(on_stack[0].owner, 0);
    /* Within there are the library's own zones, and holes that are not committed. */
    uint64_t refused = 0;
    for (uint64_t ref = 4096; ref < s.limit; ref += 4096)
        if (!tarn_ptr(seg, ref, 8)) {
            assert_int_equal(tarn_mutex_try(seg, (tarn_mutex *)(void *)(first + ref)), -EINVAL);
            assert_int_equal(tarn_mutex_lock(seg, (tarn_mutex *)(void *)(first + ref)), -EINVAL);
            refused++;
        }
    assert_true(refused > 0);
}

/* ---- deadlines ---- */

static void deadlines(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0];
    struct timespec past[] = {{0, 0}, {0, 1}, {-1, 0}, {INT64_MIN, 999999999}, from_now(0)};
    struct timespec malformed[] = {
        {1, -1}, {1, 1000000000}, {INT64_MAX, INT64_MAX}, {INT64_MAX, -1}, {0, INT64_MIN}};
    struct timespec soon = from_now(20), never = {INT64_MAX, 999999999};
    pthread_t t = holder(m);
    for (size_t i = 0; i < sizeof past / sizeof *past; i++)
        assert_int_equal(tarn_mutex_timed(seg, m, &past[i]), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_mutex_timed(seg, m, &malformed[i]), -EINVAL);
    assert_int_equal(tarn_mutex_timed(seg, m, &soon), -ETIMEDOUT);
    struct timespec now = from_now(0);
    assert_true(now.tv_sec > soon.tv_sec || (now.tv_sec == soon.tv_sec && now.tv_nsec >= soon.tv_nsec));
    assert_int_equal(tarn_mutex_unlock(seg, m), -EPERM); /* it did not get it behind our back */
    reach(&release, 1);
    assert_int_equal(tarn_mutex_timed(seg, m, &never), 0);
    let_go(t);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) { /* who need not wait, cannot be late */
        assert_int_equal(tarn_mutex_timed(seg, m, &past[i]), 0);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    }
}

/* After a time-out, others still wake each other. */
static void *wait_for_it(void *lock)
{
    long e = tarn_mutex_lock(seg, lock);
    check(tarn_mutex_unlock(seg, lock) == 0);
    return (void *)e;
}
static void *time_out(void *lock)
{
    struct timespec soon = from_now(5);
    return (void *)(long)tarn_mutex_timed(seg, lock, &soon);
}
static void the_late_lose_no_wake_up(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0];
    for (int round = 0; round < 10; round++) {
        pthread_t t = holder(m), waiter[4];
        void *result;
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&waiter[i], NULL, i % 2 ? time_out : wait_for_it, m), 0);
        for (int i = 1; i < 4; i += 2) {
            assert_int_equal(pthread_join(waiter[i], &result), 0);
            assert_int_equal((long)result, -ETIMEDOUT);
        }
        let_go(t);
        for (int i = 0; i < 4; i += 2) {
            assert_int_equal(pthread_join(waiter[i], &result), 0);
            assert_int_equal((long)result, 0);
        }
    }
}

static void on_signal(int signal)
{
    (void)signal;
}
static void signals_do_not_end_a_wait(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal}, old;
    pthread_t t = holder(&a->lock[0]), waiter;
    void *result;
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0); /* without SA_RESTART */
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_it, &a->lock[0]), 0);
    for (int i = 0; i < 20; i++) {
        usleep(1000);
        assert_int_equal(pthread_kill(waiter, SIGUSR1), 0);
    }
    let_go(t);
    assert_int_equal(pthread_join(waiter, &result), 0);
    assert_int_equal((long)result, 0);
    sigaction(SIGUSR1, &old, NULL);
}

/* ---- dead holders ---- */

static void the_dirty_protocol(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0];
    struct timespec later = from_now(60000);
    struct tarn_stat s = stat_of(seg);
    assert_int_equal(in_thread(die_with_it, m), 0);
    assert_int_equal(tarn_mutex_try(seg, m), TARN_RECOVERED);
    assert_int_equal(stat_of(seg).recovered, s.recovered + 1);
    assert_int_equal(other_tries(m), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0); /* not mended: the next one is told too */
    assert_int_equal(other_tries(m), TARN_RECOVERED);
    assert_int_equal(in_thread(die_with_it, m), TARN_RECOVERED); /* and dies of it */
    assert_int_equal(tarn_mutex_timed(seg, m, &later), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(in_thread(mend_and_die, m), TARN_RECOVERED); /* mended, but dead before it unlocked */
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock(seg, m), -EDEADLK);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(m->owner, 0);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(other_tries(m), 0);
    assert_int_equal(stat_of(seg).recovered, s.recovered + 3);
}

static void mended_in_a_section(void **state)
{
    (void)state;
    tarn_mutex *m = &a->lock[0];
    assert_int_equal(in_thread(die_with_it, m), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_abort(seg), 0); /* then it was not */
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(in_thread(mend_in_section_and_die, m), TARN_RECOVERED); /* nor then */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_abort(seg), 0); /* the unlock stands, the mending does not */
    assert_int_equal(other_tries(m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(other_tries(m), 0);
}

/* In a section: what it took there is clean, and what it had before is not. */
static void *die_in_section(void *first)
{
    tarn_mutex *before = first, *inside = before + 1, *given = before + 2, *dirty = before + 3;
    check(tarn_mutex_lock(seg, before) == 0);
    check(tarn_mutex_lock(seg, given) == 0);
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, inside) == 0);
    check(tarn_mutex_lock(seg, dirty) == TARN_RECOVERED);
    check(tarn_mutex_unlock(seg, given) == 0);
    return NULL;
}
static void death_in_a_section(void **state)
{
    (void)state;
    tarn_mutex *m = a->lock;
    struct tarn_stat s;
    assert_int_equal(in_thread(die_with_it, &m[3]), 0);
    in_thread(die_in_section, m);
    s = stat_of(seg);
    assert_int_equal(s.dead, 1);
    assert_int_equal(other_tries(&m[1]), 0);              /* taken inside: as it was */
    assert_int_equal(other_tries(&m[0]), TARN_RECOVERED); /* taken before */
    assert_int_equal(other_tries(&m[2]), TARN_RECOVERED); /* taken before, its unlock not yet in effect */
    assert_int_equal(other_tries(&m[3]), TARN_RECOVERED); /* taken inside, and dirty before */
    assert_int_equal(stat_of(seg).undone, s.undone + 1);
}

/* ---- taking part ---- */

static void who_holds_does_not_leave(void **state)
{
    (void)state;
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_thread_detach(seg), -EBUSY);
    assert_int_equal(tarn_close(seg), -EBUSY);
    assert_says("lock");
    assert_int_equal(other_tries(&a->lock[0]), -EBUSY); /* nothing was done */
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_thread_detach(seg), 0);
    assert_int_equal(tarn_thread_detach(seg), 0); /* takes no part */
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), -EPERM);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0); /* takes part again */
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    pthread_t t = holder(&a->lock[0]);
    assert_int_equal(tarn_close(seg), -EBUSY);
    assert_says("thread");
    assert_int_equal(tarn_mutex_try(seg, &a->lock[0]), -EBUSY); /* still open, still held */
    let_go(t);
}

static void *attach(void *arg)
{
    (void)arg;
    return (void *)(long)tarn_thread_attach(seg);
}
static void only_so_many(void **state)
{
    tear_down(state);
    options = tiny(1);
    a = arena_open("anon:", &options, &seg);
    alarm(60);
    assert_int_equal(tarn_thread_attach(seg), 0);
    assert_int_equal(tarn_thread_attach(seg), 0);
    assert_int_equal(in_thread(attach, NULL), -EUSERS);
    assert_int_equal(other_tries(&a->lock[0]), -EUSERS);
    assert_int_equal(a->lock[0].owner, 0);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_thread_detach(seg), 0);
    assert_int_equal(in_thread(attach, NULL), 0);
    assert_int_equal(in_thread(attach, NULL), 0); /* the one before has left by ending */
    assert_int_equal(stat_of(seg).participants, 0);
    assert_int_equal(stat_of(seg).most, 1);
    assert_int_equal(in_thread(die_with_it, &a->lock[0]), 0); /* full of the dead, that is not full */
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
}

static void readers_take_no_lock(void **state)
{
    (void)state;
    tarn *reader;
    struct timespec later = from_now(60000);
    skip_on_sysv("no descriptor to open a second handle by");
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    tarn_mutex *m = tarn_ptr(reader, tarn_ref_of(seg, &a->lock[0]), sizeof *m);
    assert_non_null(m);
    assert_int_equal(tarn_mutex_lock(reader, m), -EROFS);
    assert_int_equal(tarn_mutex_try(reader, m), -EROFS);
    assert_int_equal(tarn_mutex_timed(reader, m, &later), -EROFS);
    assert_true(tarn_mutex_unlock(reader, m) < 0);
    assert_int_equal(tarn_thread_attach(reader), -EROFS);
    assert_int_equal(tarn_begin(reader), -EROFS);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(a->lock[0].owner, 0);
}

/* ---- as many as there is room for ---- */

static unsigned lock_until_full(int *ret_error)
{
    unsigned n = 0;
    while (n < LOCKS && (*ret_error = tarn_mutex_lock(seg, &a->lock[n])) == 0)
        n++;
    return n;
}
static void no_room_for_another(void **state)
{
    (void)state;
    int e = 0;
    fill(seg, a);
    unsigned n = lock_until_full(&e);
    assert_int_equal(e, -ENOSPC);
    assert_in_range(n, 4, LOCKS - 1);
    assert_says("lock");
    assert_int_equal(other_tries(&a->lock[n]), 0); /* the refused one is free */
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[n]), -EPERM);
    assert_int_equal(other_tries(&a->lock[n - 1]), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[n]), 0); /* one goes, one comes */
    for (unsigned i = 1; i <= n; i++)
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[i]), 0);
    empty(seg, a);
    for (unsigned i = 0; i < LOCKS; i++) /* and with memory, all */
        assert_int_equal(tarn_mutex_lock(seg, &a->lock[i]), 0);
    assert_int_equal(other_tries(&a->lock[LOCKS - 1]), -EBUSY);
    for (unsigned i = 0; i < LOCKS; i++)
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[i]), 0);
}

static void no_room_for_another_in_a_section(void **state)
{
    (void)state;
    int e = 0;
    fill(seg, a);
    assert_int_equal(tarn_begin(seg), 0);
    a->word[0] = 1;
    assert_int_equal(tarn_save(seg, &a->word[0], 8), 0);
    a->word[0] = 2;
    unsigned n = lock_until_full(&e);
    assert_int_equal(e, -ENOSPC);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 1);
    assert_int_equal(other_tries(&a->lock[0]), 0);      /* put off, and now in effect */
    assert_int_equal(other_tries(&a->lock[1]), -EBUSY); /* not unlocked: stays held */
    for (unsigned i = 1; i < n; i++)
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[i]), 0);
    empty(seg, a);
}

static void *die_with_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < LOCKS; i++)
        check(tarn_mutex_lock(seg, &a->lock[i]) == 0);
    return NULL;
}
static void all_locks_of_the_dead_come_back(void **state)
{
    (void)state;
    in_thread(die_with_all, NULL);
    assert_int_equal(tarn_recover(seg), 1);
    assert_int_equal(tarn_recover(seg), 0);
    for (unsigned i = 0; i < LOCKS; i++) {
        assert_int_equal(tarn_mutex_lock(seg, &a->lock[i]), TARN_RECOVERED);
        assert_int_equal(tarn_mutex_consistent(seg, &a->lock[i]), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[i]), 0);
    }
    assert_int_equal(other_tries(&a->lock[LOCKS - 1]), 0);
}

/* ---- what nobody sees from outside ---- */

/* A sleeper's membarrier reaches only processes that asked for it; who did not would lose wake-ups, once in a great while. */
static void the_kernel_knows_this_process(void **state)
{
    enum { GET_REGISTRATIONS = 1 << 9 }; /* since Linux 6.3 */
    long known = syscall(SYS_membarrier, GET_REGISTRATIONS, 0, 0);
    (void)state;
    if (known < 0)
        skip();
    assert_true(known & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

/* A hostile writer's slots: they name no lock that could be given up, and are gone, or ordinary ones, when the section has ended. */
static void slots_that_name_nothing(void **state)
{
    const uint64_t no_place = (1ull << 40), kinds[] = {0, SLOT_READ, SLOT_WRITE, SLOT_UNITS, SLOT_MEMBER};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool lock = SLOT_KIND(kinds[i]) != SLOT_UNITS && SLOT_KIND(kinds[i]) != SLOT_MEMBER;
        assert_int_equal(tarn_begin(seg), 0);
        for (int n = 0; n < 2; n++)
            assert_int_equal(tarn_mutex_lock(seg, &a->lock[n]), 0);
        uint64_t *slot = self_last->slot;
        assert_int_equal(slot[1] & SLOT_OFFSET, tarn_ref_of(seg, &a->lock[1]));
        slot[1] = no_place | kinds[i] | SLOT_SECTION | SLOT_DEFER;
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
        assert_int_equal(tarn_commit(seg), 0);
        assert_int_equal(slot[0], 0);
        assert_int_equal(slot[1], lock ? 0 : no_place | kinds[i]);
        slot[1] = 0;
        a->lock[1].owner = 0;
        assert_int_equal(other_tries(&a->lock[0]), 0);
    }
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(taken_and_given_back),
        with_segment(in_any_order),
        with_segment(ones_own_is_a_deadlock),
        with_segment(not_ones_own_is_not_permitted),
        with_segment(places_are_judged),
        with_segment(deadlines),
        with_segment(the_late_lose_no_wake_up),
        with_segment(signals_do_not_end_a_wait),
        with_segment(the_dirty_protocol),
        with_segment(mended_in_a_section),
        with_segment(death_in_a_section),
        with_segment(who_holds_does_not_leave),
        with_segment(only_so_many),
        with_segment(readers_take_no_lock),
        with_segment(no_room_for_another),
        with_segment(no_room_for_another_in_a_section),
        with_segment(all_locks_of_the_dead_come_back),
        with_segment(the_kernel_knows_this_process),
        with_segment(slots_that_name_nothing),
    };
    return cmocka_run_group_tests_name("mutex", tests, NULL, NULL);
}

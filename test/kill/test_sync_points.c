/* test_sync_points.c - wake-ups that could be lost, and a signal that could go astray, between two instructions: threads are held up at chosen stores, and
 * before they sleep.
 *
 * Built with TARN_KILL_POINTS, where kill_now holds its thread up instead; the linker puts os_futex_wait_any between. The cap is off: what is lost is
 * a hang, and the alarm ends it. */
#include "helper.h"
#include "arena.h"
#include "room.h"

#include "os/futex.h"
#include "sync/sync.h"

static tarn *seg;
static struct room *r;
static struct actor reader, first, second;
static volatile int held_up, go_on, about_to_sleep, may_sleep;

__thread int kill_countdown;
static __thread bool waits_before_sleep;

/* The reader who leaves, between his store to drain and the one to his slot. */
void kill_now(void)
{
    kill_countdown = 1;
    if (load32(&r->rwlock[0].drain))
        return;
    kill_countdown = 0;
    reach(&held_up, 1);
    await(&go_on, 1);
}

/* No test of two threads meets the few nanoseconds in which a store is not yet seen: so the barriers are counted, where there must be one. */
static __thread int barriers, barriers_before_sleep;
int __real_os_membarrier(void);
int __wrap_os_membarrier(void);
int __wrap_os_membarrier(void)
{
    barriers++;
    return __real_os_membarrier();
}

int __real_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);
int __wrap_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);
int __wrap_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until)
{
    if (wait[0].word == &r->rwlock[0].drain)
        barriers_before_sleep = barriers;
    if (waits_before_sleep && wait[0].word == &r->rwlock[0].drain) {
        waits_before_sleep = false;
        reach(&about_to_sleep, 1);
        await(&may_sleep, 1);
    }
    return __real_os_futex_wait_any(wait, n, until);
}

static long read_it(void *w)
{
    return tarn_rwlock_read(seg, w);
}
static long leave_slowly(void *w)
{
    kill_countdown = 1;
    long e = tarn_rwlock_unlock(seg, w);
    kill_countdown = 0;
    return e;
}
static long write_it(void *w)
{
    long e = tarn_rwlock_write(seg, w);
    check(tarn_rwlock_unlock(seg, w) == 0);
    return e;
}
static long write_late(void *w)
{
    waits_before_sleep = true;
    return write_it(w);
}

/* The first writer sleeps; the reader takes drain back; the second writer sets it, still sees the reader, and is about to sleep when the reader's slot goes and
 * his wake-up reaches the first one only. */
static void a_reader_leaves_between(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    assert_int_equal(tell(&reader, read_it, w), 0);
    ask(&first, write_it, w);
    await_waiting(seg, w, 1);
    usleep(20000);
    ask(&reader, leave_slowly, w);
    await(&held_up, 1);
    ask(&second, write_late, w);
    await(&about_to_sleep, 1);
    reach(&go_on, 1);
    assert_int_equal(answer(&reader), 0);
    assert_int_equal(answer(&first), 0);
    reach(&may_sleep, 1);
    assert_int_equal(answer(&second), 0);
}

static long write_counted(void *w)
{
    barriers = 0;
    check(write_it(w) == 0);
    return barriers;
}
static long write_asleep(void *w)
{
    barriers = barriers_before_sleep = 0;
    check(write_it(w) == 0);
    return barriers_before_sleep;
}
static void the_barriers_of_a_writer(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    for (int i = 0; i < 5000 && !w->fast; i++) {
        assert_int_equal(tarn_rwlock_read(seg, w), 0);
        assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    }
    assert_true(w->fast); /* readers come the quick way now: whose slots may not be seen yet */
    assert_true(tell(&first, write_counted, w) >= 1);
    assert_int_equal(w->fast, 0);
    assert_int_equal(tell(&first, write_counted, w), 0); /* and one for nothing would be dear */
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(w->fast, 0);
    ask(&first, write_asleep, w);
    await_waiting(seg, w, 1);
    usleep(20000);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_true(answer(&first) >= 1); /* between drain and the last look at who reads */
}

/* Who meets nobody makes no system call: neither before anybody slept, nor after. */
static __thread int wakes;
int __real_os_futex_wake(uint32_t *word, int n);
int __wrap_os_futex_wake(uint32_t *word, int n);
int __wrap_os_futex_wake(uint32_t *word, int n)
{
    wakes++;
    return __real_os_futex_wake(word, n);
}
static long lock_it(void *m)
{
    return tarn_mutex_lock(seg, m);
}
static long unlock_it(void *m)
{
    return tarn_mutex_unlock(seg, m);
}
static long unread_it(void *w)
{
    return tarn_rwlock_unlock(seg, w);
}
static long lock_alone(void *m)
{
    wakes = barriers = 0;
    check(tarn_mutex_lock(seg, m) == 0 && tarn_mutex_unlock(seg, m) == 0);
    return wakes + barriers;
}
static long read_alone(void *w)
{
    wakes = barriers = 0;
    check(tarn_rwlock_read(seg, w) == 0 && tarn_rwlock_unlock(seg, w) == 0);
    return wakes + barriers;
}
static long write_alone(void *w)
{
    wakes = barriers = 0;
    check(tarn_rwlock_write(seg, w) == 0 && tarn_rwlock_unlock(seg, w) == 0);
    return wakes + barriers;
}
static long others_alone(void *unused)
{
    (void)unused;
    wakes = barriers = 0;
    check(tarn_semaphore_post(seg, &r->semaphore[0]) == 0 && tarn_semaphore_wait(seg, &r->semaphore[0]) == 0);
    check(tarn_semaphore_post_many(seg, &r->semaphore[0], 2) == 0 &&
          tarn_semaphore_try(seg, &r->semaphore[0]) == 0);
    check(tarn_condition_signal(seg, &r->condition[0]) == 0 &&
          tarn_condition_broadcast(seg, &r->condition[0]) == 0);
    check(tarn_event_set(seg, &r->event[1]) == 0 && tarn_event_wait(seg, &r->event[1]) == 0);
    check(tarn_event_reset(seg, &r->event[1]) == 0);
    check(tarn_held_set(seg, &r->held[0], 2) == 0 && tarn_held_take(seg, &r->held[0], 1) == 0);
    check(tarn_held_give(seg, &r->held[0], 1) == 0);
    return wakes + barriers;
}
static long wait_for_it(void *m)
{
    check(tarn_mutex_lock(seg, m) == 0);
    long e = tarn_condition_wait(seg, &r->condition[1], m);
    check(tarn_mutex_unlock(seg, m) == 0);
    return e;
}
static long signal_it(void *c)
{
    wakes = barriers = 0;
    check(tarn_condition_signal(seg, c) == 0);
    return wakes + barriers;
}
static void who_meets_nobody_calls_nobody(void **state)
{
    (void)state;
    tarn_mutex *m = &r->mutex[0];
    tarn_rwlock *w = &r->rwlock[0];
    for (int round = 0; round < 3; round++) {
        assert_int_equal(tell(&first, lock_alone, m), 0);
        assert_int_equal(tell(&first, read_alone, w), 0);
        assert_int_equal(tell(&first, write_alone, w), 0);
        assert_int_equal(tell(&first, others_alone, NULL), 0);

        assert_int_equal(tell(&reader, lock_it, m), 0);
        ask(&second, lock_it, m);
        await_waiting(seg, m, 1);
        assert_int_equal(tell(&reader, unlock_it, m), 0);
        assert_int_equal(answer(&second), 0);
        assert_int_equal(tell(&second, unlock_it, m), 0);
        (void)tell(&first, lock_alone, m); /* it may find a sleeper's mark, and wakes nobody, once */

        assert_int_equal(tell(&reader, read_it, w), 0);
        ask(&second, write_it, w);
        await_waiting(seg, w, 1);
        assert_int_equal(tell(&reader, unread_it, w), 0);
        assert_int_equal(answer(&second), 0);
        (void)tell(&first, write_alone, w);

        ask(&second, wait_for_it, m);
        await_waiting(seg, &r->condition[1], 1);
        assert_true(tell(&first, signal_it, &r->condition[1]) >= 1);
        assert_int_equal(answer(&second), 0);
        (void)tell(&first, signal_it, &r->condition[1]); /* it learns that nobody sleeps any more */
        assert_int_equal(tell(&first, signal_it, &r->condition[1]), 0);
    }
}

/* Who is to be told leaves just before his process is held. */
static bool leaves_first;
static volatile sig_atomic_t heard;
static long leave_it(void *unused)
{
    (void)unused;
    return tarn_thread_detach(seg);
}
int __real_os_process_open(uint32_t pid);
int __wrap_os_process_open(uint32_t pid);
int __wrap_os_process_open(uint32_t pid)
{
    if (leaves_first)
        check(tell(&reader, leave_it, NULL) == 0);
    return __real_os_process_open(pid);
}
static long listen_to(void *v)
{
    return tarn_event_signal(seg, v, SIGUSR1);
}
static void hear(int number)
{
    heard = number;
}
static void who_has_left_is_not_told(void **state)
{
    (void)state;
    struct sigaction act_on = {.sa_handler = hear}, before;
    tarn_event *v = &r->event[0];
    sigaction(SIGUSR1, &act_on, &before);
    for (int leaves = 0; leaves < 2; leaves++) {
        heard = 0;
        leaves_first = leaves;
        assert_int_equal(tell(&reader, listen_to, v), 0);
        assert_int_equal(tarn_event_set(seg, v), 0);
        for (int i = 0; i < (leaves ? 5 : 1000) && !heard; i++)
            usleep(1000);
        assert_int_equal(heard, leaves ? 0 : SIGUSR1);
        assert_int_equal(tarn_event_reset(seg, v), 0);
    }
    leaves_first = false;
    sigaction(SIGUSR1, &before, NULL);
}

static int set_up(void **state)
{
    (void)state;
    struct tarn_options options = tiny(8);
    alarm(20);
    mutex_cap_off = true;
    r = room_open("anon:", &options, &seg);
    engage(&reader);
    engage(&first);
    engage(&second);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    dismiss(&reader);
    dismiss(&first);
    dismiss(&second);
    return tarn_close(seg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reader_leaves_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_barriers_of_a_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_meets_nobody_calls_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_left_is_not_told, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sync_points", tests, NULL, NULL);
}

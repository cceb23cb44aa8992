/* test_sync_points.c - wake-ups that could be lost between two instructions: threads are held up at chosen stores, and before they sleep.
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

int __real_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);
int __wrap_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);
int __wrap_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until)
{
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
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(a_reader_leaves_between, set_up, tear_down)};
    return cmocka_run_group_tests_name("sync_points", tests, NULL, NULL);
}

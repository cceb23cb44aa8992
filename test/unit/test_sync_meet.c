/* test_sync_meet.c - the objects at which participants meet, by their public contract, in one process: condition, semaphore, held semaphore, barrier,
 * event, and waiting for one of several. Others are actors (room.h); a dead one is an actor dismissed with what it holds.
 *
 * The cap is off: a wake-up that is lost is a hang, which the alarm ends. */
#include "helper.h"
#include "arena.h"
#include "room.h"

#include "sync/sync.h"

enum { ACTORS = 5 };
static tarn *seg;
static struct room *r;
static struct actor actor[ACTORS];
static struct tarn_options options;

static int set_up(void **state)
{
    (void)state;
    alarm(60);
    mutex_cap_off = true;
    options = tiny(8);
    options.limit = 512 << 10;
    r = room_open("anon:", &options, &seg);
    for (int i = 0; i < ACTORS; i++)
        engage(&actor[i]);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    for (int i = 0; i < ACTORS; i++)
        dismiss(&actor[i]);
    int e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    alarm(0);
    return e;
}

static const struct timespec past = {0, 0};
static const struct timespec malformed[] = {{1, -1}, {1, 1000000000}, {INT64_MAX, INT64_MAX}, {0, INT64_MIN}};

/* An actor dies: it is dismissed, another takes its place. */
static void dies(struct actor *a)
{
    dismiss(a);
    engage(a);
}

#define ACTS(name, expression)                                                                               \
    static long name(void *x)                                                                                \
    {                                                                                                        \
        struct timespec a_moment = from_now(20);                                                             \
        (void)x, (void)a_moment;                                                                             \
        return expression;                                                                                   \
    }
ACTS(lock_it, tarn_mutex_lock(seg, x))
ACTS(unlock_it, tarn_mutex_unlock(seg, x))
ACTS(detach_it, tarn_thread_detach(seg))
ACTS(begin_it, tarn_begin(seg))
ACTS(semaphore_wait, tarn_semaphore_wait(seg, x))
ACTS(semaphore_try, tarn_semaphore_try(seg, x))
ACTS(semaphore_timed, tarn_semaphore_timed(seg, x, &a_moment))
ACTS(event_wait, tarn_event_wait(seg, x))
ACTS(event_timed, tarn_event_timed(seg, x, &a_moment))
ACTS(event_try, tarn_event_try(seg, x))
ACTS(barrier_wait, tarn_barrier_wait(seg, x))
ACTS(barrier_timed, tarn_barrier_timed(seg, x, &a_moment))
ACTS(barrier_join, tarn_barrier_join(seg, x))
ACTS(barrier_leave, tarn_barrier_leave(seg, x))
ACTS(take_1, tarn_held_take(seg, x, 1))
ACTS(take_2, tarn_held_take(seg, x, 2))
ACTS(take_3, tarn_held_take(seg, x, 3))
ACTS(try_1, tarn_held_try(seg, x, 1))
ACTS(take_2_timed, tarn_held_timed(seg, x, 2, &a_moment))
ACTS(give_1, tarn_held_give(seg, x, 1))
ACTS(give_2, tarn_held_give(seg, x, 2))

/* ---- condition ---- */

static long wait_for_stage(void *arg) /* arg: 1 + the stage */
{
    long result = 0;
    check(tarn_mutex_lock(seg, &r->mutex[0]) == 0);
    while (r->word[0] < (uint64_t)(uintptr_t)arg)
        if ((result = tarn_condition_wait(seg, &r->condition[0], &r->mutex[0])) != 0)
            break;
    check(tarn_mutex_unlock(seg, &r->mutex[0]) == 0); /* held again, whatever it said */
    return result;
}
static long wait_until(void *long_)
{
    struct timespec t = from_now(long_ ? 1000 : 30);
    int e;
    check(tarn_mutex_lock(seg, &r->mutex[0]) == 0);
    while ((e = tarn_condition_timed(seg, &r->condition[0], &r->mutex[0], &t)) == 0)
        ;
    check(tarn_mutex_unlock(seg, &r->mutex[0]) >= 0);
    return e;
}
static void set_stage(uint64_t n)
{
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), 0);
    r->word[0] = n;
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
}

static void signals_and_broadcasts(void **state)
{
    (void)state;
    tarn_condition *c = &r->condition[0];
    assert_int_equal(tarn_condition_signal(seg, c), 0);
    assert_int_equal(tarn_condition_broadcast(seg, c), 0);
    for (int i = 0; i < ACTORS; i++)
        ask(&actor[i], wait_for_stage, (void *)1);
    await_waiting(seg, c, ACTORS);
    set_stage(1);
    for (int n = 1; n <= ACTORS; n++) { /* one signal, one waiter */
        int back = 0;
        assert_int_equal(tarn_condition_signal(seg, c), 0);
        while (waiting_for(seg, c) != (uint32_t)(ACTORS - n))
            usleep(500);
        usleep(3000);
        for (int i = 0; i < ACTORS; i++)
            back += answered(&actor[i]);
        assert_int_equal(back, n);
    }
    for (int i = 0; i < ACTORS; i++)
        assert_int_equal(answer(&actor[i]), 0);
    for (int i = 0; i < ACTORS; i++)
        ask(&actor[i], wait_for_stage, (void *)2);
    await_waiting(seg, c, ACTORS);
    set_stage(2);
    assert_int_equal(tarn_condition_broadcast(seg, c), 0);
    for (int i = 0; i < ACTORS; i++)
        assert_int_equal(answer(&actor[i]), 0);
    /* a signal before the wait is nothing */
    assert_int_equal(tarn_condition_signal(seg, c), 0);
    assert_int_equal(tell(&actor[0], wait_until, NULL), -ETIMEDOUT);
    /* in a section it is allowed */
    ask(&actor[0], wait_for_stage, (void *)3);
    await_waiting(seg, c, 1);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_save(seg, &r->word[0], 8), 0);
    r->word[0] = 3;
    assert_int_equal(tarn_condition_signal(seg, c), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(answer(&actor[0]), 0);
}

static void a_condition_is_picky(void **state)
{
    (void)state;
    tarn_condition *c = &r->condition[0];
    tarn_mutex *m = &r->mutex[0];
    struct timespec later = from_now(60000);
    assert_int_equal(tarn_condition_wait(seg, c, m), -EPERM);
    assert_int_equal(tarn_condition_timed(seg, c, m, &later), -EPERM);
    assert_int_equal(tell(&actor[0], lock_it, m), 0);
    assert_int_equal(tarn_condition_wait(seg, c, m), -EPERM); /* another's */
    assert_int_equal(tell(&actor[0], unlock_it, m), 0);
    assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    assert_int_equal(tarn_condition_wait(seg, c, m), -EPERM);
    assert_int_equal(tarn_condition_timed(seg, c, m, &past), -EPERM);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_condition_timed(seg, c, m, &past), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_condition_timed(seg, c, m, &malformed[i]), -EINVAL);
    assert_int_equal(tarn_condition_timed(seg, c, m, NULL), -EINVAL);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0); /* still held */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_equal(tarn_condition_wait(seg, c, m), -EPERM);
    assert_int_equal(tarn_condition_timed(seg, c, m, &past), -EPERM);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_commit(seg), 0);
}

static void the_mutex_of_the_dead(void **state)
{
    (void)state;
    tarn_condition *c = &r->condition[0];
    tarn_mutex *m = &r->mutex[0];
    ask(&actor[0], wait_for_stage, (void *)1);
    await_waiting(seg, c, 1);
    assert_int_equal(tell(&actor[1], lock_it, m), 0);
    dies(&actor[1]);
    assert_int_equal(tarn_condition_signal(seg, c), 0);
    assert_int_equal(answer(&actor[0]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    /* the time over, too */
    ask(&actor[0], wait_until, &actor[0]); /* long enough for the other to lock it meanwhile, on a busy machine, too */
    await_waiting(seg, c, 1);
    assert_int_equal(tell(&actor[1], lock_it, m), 0);
    usleep(1200000);
    dies(&actor[1]);
    assert_int_equal(answer(&actor[0]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
}

static void destroyed_conditions(void **state)
{
    (void)state;
    tarn_condition *c = &r->condition[0];
    for (int i = 0; i < 3; i++)
        ask(&actor[i], wait_for_stage, (void *)1);
    await_waiting(seg, c, 3);
    assert_int_equal(tarn_condition_fini(seg, c), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answer(&actor[i]), -EIDRM);
    assert_int_equal(tell(&actor[0], wait_for_stage, (void *)1), -EIDRM);
    assert_int_equal(tarn_condition_signal(seg, c), -EIDRM);
    assert_int_equal(tarn_condition_broadcast(seg, c), -EIDRM);
    memset(c, 0, sizeof *c);
    assert_int_equal(tarn_condition_signal(seg, c), 0);
}

/* Producers and consumers: what goes in comes out. */
enum { PRODUCE = 20000 };
static long consume(void *unused)
{
    long n = 0;
    (void)unused;
    for (;;) {
        check(tarn_mutex_lock(seg, &r->mutex[0]) == 0);
        while (r->word[1] == 0 && !r->word[2])
            check(tarn_condition_wait(seg, &r->condition[1], &r->mutex[0]) == 0);
        bool end = r->word[1] == 0;
        if (!end)
            r->word[1]--, n++;
        check(tarn_mutex_unlock(seg, &r->mutex[0]) == 0);
        if (end)
            return n;
        check(tarn_condition_signal(seg, &r->condition[2]) == 0);
    }
}
static void produced_is_consumed(void **state)
{
    (void)state;
    long sum = 0;
    for (int i = 0; i < 3; i++)
        ask(&actor[i], consume, NULL);
    for (int i = 0; i < PRODUCE; i++) {
        assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), 0);
        while (r->word[1] >= 4)
            assert_int_equal(tarn_condition_wait(seg, &r->condition[2], &r->mutex[0]), 0);
        r->word[1]++;
        assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
        assert_int_equal(tarn_condition_signal(seg, &r->condition[1]), 0);
    }
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), 0);
    r->word[2] = 1;
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_condition_broadcast(seg, &r->condition[1]), 0);
    for (int i = 0; i < 3; i++)
        sum += answer(&actor[i]);
    assert_int_equal(sum, PRODUCE);
}

/* ---- semaphore ---- */

static uint32_t units_of(const tarn_semaphore *s)
{
    uint32_t n = 777;
    assert_int_equal(tarn_semaphore_units(seg, s, &n), 0);
    return n;
}

static void units_are_counted(void **state)
{
    (void)state;
    tarn_semaphore *s = &r->semaphore[0];
    struct timespec later = from_now(60000);
    assert_int_equal(units_of(s), 0);
    assert_int_equal(tarn_semaphore_try(seg, s), -EAGAIN);
    assert_int_equal(tarn_semaphore_timed(seg, s, &past), -ETIMEDOUT);
    assert_int_equal(tell(&actor[0], semaphore_timed, s), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_semaphore_timed(seg, s, &malformed[i]), -EINVAL);
    assert_int_equal(tarn_semaphore_timed(seg, s, NULL), -EINVAL);
    assert_int_equal(tarn_semaphore_post(seg, s), 0);
    assert_int_equal(tarn_semaphore_post_many(seg, s, 4), 0);
    assert_int_equal(units_of(s), 5);
    assert_int_equal(tarn_semaphore_wait(seg, s), 0);
    assert_int_equal(tarn_semaphore_try(seg, s), 0);
    assert_int_equal(tarn_semaphore_timed(seg, s, &later), 0);
    assert_int_equal(tarn_semaphore_timed(seg, s, &past), 0);
    assert_int_equal(units_of(s), 1);
    assert_int_equal(tarn_semaphore_post_many(seg, s, 0), -EINVAL);
    assert_int_equal(tarn_semaphore_post_many(seg, s, TARN_SEMAPHORE_MOST), -EOVERFLOW);
    assert_int_equal(tarn_semaphore_post_many(seg, s, UINT32_MAX), -EOVERFLOW);
    assert_int_equal(tarn_semaphore_post_many(seg, s, TARN_SEMAPHORE_MOST - 1), 0);
    assert_int_equal(units_of(s), TARN_SEMAPHORE_MOST);
    assert_int_equal(tarn_semaphore_post(seg, s), -EOVERFLOW);
    assert_int_equal(tarn_semaphore_wait(seg, s), 0);
    assert_int_equal(tarn_semaphore_post(seg, s), 0);
    assert_int_equal(units_of(s), TARN_SEMAPHORE_MOST);
    assert_int_equal(tarn_semaphore_init(seg, s, TARN_SEMAPHORE_MOST + 1), -EINVAL);
    assert_int_equal(tarn_semaphore_init(seg, s, 3), 0);
    assert_int_equal(units_of(s), 3);
    /* who ends his part takes his unit with him */
    assert_int_equal(tell(&actor[0], semaphore_wait, s), 0);
    dies(&actor[0]);
    assert_int_equal(units_of(s), 2);
}

static void posts_wake_as_many(void **state)
{
    (void)state;
    tarn_semaphore *s = &r->semaphore[0];
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < ACTORS; i++)
            ask(&actor[i], semaphore_wait, s);
        await_waiting(seg, s, ACTORS);
        if (way)
            assert_int_equal(tarn_semaphore_post_many(seg, s, ACTORS - 1), 0);
        else
            for (int i = 0; i < ACTORS - 1; i++)
                assert_int_equal(tarn_semaphore_post(seg, s), 0);
        await_waiting(seg, s, 1);
        assert_int_equal(units_of(s), 0);
        assert_int_equal(tarn_semaphore_post(seg, s), 0);
        for (int i = 0; i < ACTORS; i++)
            assert_int_equal(answer(&actor[i]), 0);
        assert_int_equal(units_of(s), 0);
    }
    /* who gives up swallows nothing */
    for (int round = 0; round < 20; round++) {
        ask(&actor[0], semaphore_timed, s);
        ask(&actor[1], semaphore_wait, s);
        usleep(19000 + (useconds_t)round * 100);
        assert_int_equal(tarn_semaphore_post(seg, s), 0);
        if (answer(&actor[0]) == 0)
            assert_int_equal(tarn_semaphore_post(seg, s), 0);
        assert_int_equal(answer(&actor[1]), 0);
        assert_int_equal(units_of(s), 0);
    }
}

enum { PASSES = 60000 };
static long pass_units(void *unused)
{
    (void)unused;
    for (int i = 0; i < PASSES; i++) {
        check(tarn_semaphore_wait(seg, &r->semaphore[1]) == 0);
        check(tarn_semaphore_post(seg, &r->semaphore[2]) == 0);
    }
    return 0;
}
static long pass_back(void *unused)
{
    (void)unused;
    for (int i = 0; i < PASSES; i++) {
        check(tarn_semaphore_wait(seg, &r->semaphore[2]) == 0);
        check(tarn_semaphore_post(seg, &r->semaphore[1]) == 0);
    }
    return 0;
}
static void no_unit_is_lost(void **state)
{
    (void)state;
    assert_int_equal(tarn_semaphore_init(seg, &r->semaphore[1], 3), 0);
    for (int i = 0; i < 4; i++)
        ask(&actor[i], i % 2 ? pass_back : pass_units, NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(answer(&actor[i]), 0);
    assert_int_equal(units_of(&r->semaphore[1]) + units_of(&r->semaphore[2]), 3);
}

static void destroyed_semaphores(void **state)
{
    (void)state;
    tarn_semaphore *s = &r->semaphore[0];
    for (int i = 0; i < 3; i++)
        ask(&actor[i], semaphore_wait, s);
    await_waiting(seg, s, 3);
    assert_int_equal(tarn_semaphore_fini(seg, s), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answer(&actor[i]), -EIDRM);
    assert_int_equal(tarn_semaphore_wait(seg, s), -EIDRM);
    assert_int_equal(tarn_semaphore_try(seg, s), -EIDRM);
    assert_int_equal(tarn_semaphore_timed(seg, s, &past), -EIDRM);
    assert_int_equal(tarn_semaphore_post(seg, s), -EIDRM);
    assert_int_equal(tarn_semaphore_post_many(seg, s, 2), -EIDRM);
    assert_int_equal(tarn_semaphore_init(seg, s, 1), 0);
    assert_int_equal(tarn_semaphore_wait(seg, s), 0);
}

/* ---- held semaphore ---- */

static uint32_t available(const tarn_held *h, uint32_t want_units)
{
    uint32_t n = 777, units = 777;
    assert_int_equal(tarn_held_state(seg, h, &n, &units), 0);
    assert_int_equal(units, want_units);
    return n;
}

static void held_units(void **state)
{
    (void)state;
    tarn_held *h = &r->held[0];
    struct timespec later = from_now(60000);
    assert_int_equal(available(h, 0), 0);
    assert_int_equal(tarn_held_try(seg, h, 1), -EAGAIN);
    assert_int_equal(tarn_held_timed(seg, h, 1, &past), -ETIMEDOUT);
    assert_int_equal(tarn_held_set(seg, h, TARN_SEMAPHORE_MOST + 1), -EINVAL);
    assert_int_equal(tarn_held_set(seg, h, 5), 0);
    assert_int_equal(available(h, 5), 5);
    assert_int_equal(tarn_held_take(seg, h, 0), -EINVAL);
    assert_int_equal(tarn_held_try(seg, h, 1024), -EINVAL);
    assert_int_equal(tarn_held_timed(seg, h, 1024, &later), -EINVAL);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_held_timed(seg, h, 1, &malformed[i]), -EINVAL);
    assert_int_equal(tarn_held_give(seg, h, 1), -EPERM);
    assert_int_equal(tarn_held_take(seg, h, 2), 0);
    assert_int_equal(tell(&actor[0], take_2, h), 0);
    assert_int_equal(available(h, 5), 1);
    assert_int_equal(tarn_held_try(seg, h, 2), -EAGAIN);
    assert_int_equal(tell(&actor[1], take_2_timed, h), -ETIMEDOUT);
    assert_int_equal(available(h, 5), 1); /* together or not at all */
    assert_int_equal(tarn_held_timed(seg, h, 1, &past), 0);
    assert_int_equal(tarn_held_give(seg, h, 4), -EPERM);
    assert_int_equal(tarn_held_give(seg, h, 3), 0);
    assert_int_equal(tarn_held_give(seg, h, 1), -EPERM);
    assert_int_equal(tell(&actor[0], give_1, h), 0);
    assert_int_equal(available(h, 5), 4);
    assert_int_equal(tell(&actor[0], give_2, h), -EPERM);
    dies(&actor[0]); /* with one */
    assert_int_equal(tarn_held_take(seg, h, 5), 0);
    assert_int_equal(available(h, 5), 0);
    ask(&actor[0], take_3, h);
    ask(&actor[1], take_2, h);
    await_waiting(seg, h, 2);
    assert_int_equal(tarn_held_give(seg, h, 2), 0);
    assert_int_equal(answer(&actor[1]), 0); /* there is enough for him */
    assert_int_equal(tarn_held_give(seg, h, 3), 0);
    assert_int_equal(answer(&actor[0]), 0);
    assert_int_equal(available(h, 5), 0);
    assert_int_equal(tell(&actor[0], give_2, h), 0);
    assert_int_equal(tell(&actor[0], give_1, h), 0);
    assert_int_equal(tell(&actor[1], give_2, h), 0);
    assert_int_equal(available(h, 5), 5);
}

static void the_dead_give_back(void **state)
{
    (void)state;
    tarn_held *h = &r->held[0];
    assert_int_equal(tarn_held_set(seg, h, 3), 0);
    for (int round = 0; round < 5; round++) {
        assert_int_equal(tell(&actor[0], take_2, h), 0);
        assert_int_equal(tell(&actor[0], take_1, h), 0);
        ask(&actor[1], take_1, h);
        ask(&actor[2], take_2, h);
        await_waiting(seg, h, 2);
        dies(&actor[0]); /* while they sleep */
        assert_int_equal(answer(&actor[1]), 0);
        assert_int_equal(answer(&actor[2]), 0);
        assert_int_equal(available(h, 3), 0);
        assert_int_equal(tell(&actor[2], give_2, h), 0);
        if (round % 2)
            assert_int_equal(tell(&actor[1], give_1, h), 0);
        else
            dies(&actor[1]);
        assert_true(tarn_recover(seg) >= 0);
        assert_int_equal(available(h, 3), 3);
    }
    /* leaving with units: they come back */
    assert_int_equal(tell(&actor[0], take_2, h), 0);
    long e = tell(&actor[0], detach_it, NULL);
    assert_true(e == 0 || e == -EBUSY);
    if (e)
        dies(&actor[0]);
    assert_true(tarn_recover(seg) >= 0);
    assert_int_equal(available(h, 3), 3);
}

static void units_set_anew(void **state)
{
    (void)state;
    tarn_held *h = &r->held[0];
    assert_int_equal(tarn_held_set(seg, h, 4), 0);
    assert_int_equal(tell(&actor[0], take_3, h), 0);
    assert_int_equal(tarn_held_set(seg, h, 2), 0); /* less than what is taken */
    assert_int_equal(available(h, 2), 0);
    assert_int_equal(tarn_held_try(seg, h, 1), -EAGAIN);
    assert_int_equal(tell(&actor[0], give_1, h), 0);
    assert_int_equal(available(h, 2), 0); /* 2 taken, of 2 */
    assert_int_equal(tarn_held_try(seg, h, 1), -EAGAIN);
    ask(&actor[1], take_1, h);
    await_waiting(seg, h, 1);
    assert_int_equal(tarn_held_set(seg, h, 3), 0);
    assert_int_equal(answer(&actor[1]), 0);
    assert_int_equal(available(h, 3), 0);
    dies(&actor[0]);
    dies(&actor[1]);
    assert_true(tarn_recover(seg) >= 0);
    assert_int_equal(available(h, 3), 3);
    /* more than 1023, in several takes */
    assert_int_equal(tarn_held_set(seg, h, 3000), 0);
    assert_int_equal(tarn_held_take(seg, h, 1023), 0);
    assert_int_equal(tarn_held_take(seg, h, 1023), 0);
    assert_int_equal(tarn_held_try(seg, h, 954), 0);
    assert_int_equal(available(h, 3000), 0);
    assert_int_equal(tarn_held_try(seg, h, 1), -EAGAIN);
    assert_int_equal(tarn_held_give(seg, h, 3001), -EPERM);
    assert_int_equal(tarn_held_give(seg, h, 1500), 0);
    assert_int_equal(tell(&actor[0], take_3, h), 0);
    assert_int_equal(available(h, 3000), 1497);
    assert_int_equal(tarn_held_give(seg, h, 1500), 0);
    dies(&actor[0]);
    assert_true(tarn_recover(seg) >= 0);
    assert_int_equal(available(h, 3000), 3000);
    assert_int_equal(tarn_held_set(seg, h, TARN_SEMAPHORE_MOST), 0);
    assert_int_equal(available(h, TARN_SEMAPHORE_MOST), TARN_SEMAPHORE_MOST);
}

static volatile int most_at_once;
static long use_units(void *arg)
{
    static int taken;
    unsigned random = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 30000; i++) {
        uint32_t n = 1 + (uint32_t)rand_r(&random) % 3;
        check(tarn_held_take(seg, &r->held[1], n) == 0);
        int now = __atomic_add_fetch(&taken, (int)n, __ATOMIC_SEQ_CST);
        if (now > most_at_once)
            most_at_once = now;
        __atomic_sub_fetch(&taken, (int)n, __ATOMIC_SEQ_CST);
        if (n == 3 && i % 2) {
            check(tarn_held_give(seg, &r->held[1], 1) == 0);
            check(tarn_held_give(seg, &r->held[1], 2) == 0);
        } else
            check(tarn_held_give(seg, &r->held[1], n) == 0);
    }
    return 0;
}
static void never_more_than_there_are(void **state)
{
    (void)state;
    most_at_once = 0;
    assert_int_equal(tarn_held_set(seg, &r->held[1], 4), 0);
    for (int i = 0; i < ACTORS; i++)
        ask(&actor[i], use_units, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < ACTORS; i++)
        assert_int_equal(answer(&actor[i]), 0);
    assert_in_range(most_at_once, 1, 4);
    assert_int_equal(available(&r->held[1], 4), 4);
}

/* Set up and down while others take and give: no call minds, and at the end all are there. */
static long take_and_give(void *unused)
{
    (void)unused;
    for (int i = 0; i < 60000; i++)
        if (i % 2) {
            check(tarn_held_take(seg, &r->held[2], 1) == 0);
            check(tarn_held_give(seg, &r->held[2], 1) == 0);
        } else {
            int e = tarn_held_try(seg, &r->held[2], 2);
            check(e == 0 || e == -EAGAIN);
            check(e || tarn_held_give(seg, &r->held[2], 2) == 0);
        }
    return 0;
}
static void set_meanwhile(void **state)
{
    (void)state;
    assert_int_equal(tarn_held_set(seg, &r->held[2], 9), 0);
    for (int i = 0; i < 3; i++)
        ask(&actor[i], take_and_give, NULL);
    for (uint32_t n = 0; !answered(&actor[0]) || !answered(&actor[1]) || !answered(&actor[2]); n++)
        assert_int_equal(tarn_held_set(seg, &r->held[2], n % 2 ? 9 : 1), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answer(&actor[i]), 0);
    assert_int_equal(tarn_held_set(seg, &r->held[2], 9), 0);
    assert_int_equal(available(&r->held[2], 9), 9);
    assert_int_equal(tarn_held_try(seg, &r->held[2], 9), 0);
    assert_int_equal(tarn_held_give(seg, &r->held[2], 9), 0);
}

/* ---- barrier ---- */

static struct tarn_barrier_state state_of(const tarn_barrier *b)
{
    struct tarn_barrier_state s = {77, 77, 77, 77, 77};
    assert_int_equal(tarn_barrier_state(seg, b, &s), 0);
    return s;
}

static void turns(void **state)
{
    (void)state;
    tarn_barrier *b = &r->barrier[0];
    assert_int_equal(tarn_barrier_init(seg, b, options.participants + 1, 0), -EINVAL);
    assert_int_equal(tarn_barrier_init(seg, b, 3, 2), -EINVAL);
    assert_int_equal(tarn_barrier_init(seg, b, 3, 0), 0);
    uint32_t turn = state_of(b).turn;
    for (int round = 0; round < 50; round++) {
        ask(&actor[0], barrier_wait, b);
        ask(&actor[1], barrier_wait, b);
        if (round % 10 == 0) {
            await_waiting(seg, b, 2);
            assert_int_equal(state_of(b).members, round ? 3 : 2);
            assert_int_equal(state_of(b).arrived, 2);
            assert_false(answered(&actor[0]) || answered(&actor[1]));
        }
        long mine = tarn_barrier_wait(seg, b), one = answer(&actor[0]), two = answer(&actor[1]);
        assert_int_equal(mine + one + two, TARN_LAST); /* one of them, the others 0 */
        if (round % 10 == 0)
            assert_int_equal(mine, TARN_LAST);
        assert_int_not_equal(state_of(b).turn, turn);
        turn = state_of(b).turn;
        assert_int_equal(state_of(b).arrived, 0);
        assert_int_equal(state_of(b).parties, 3);
        assert_int_equal(state_of(b).members, 3);
    }
    assert_int_equal(tell(&actor[2], barrier_wait, b), -EUSERS);
    assert_int_equal(tell(&actor[2], barrier_join, b), -EUSERS);
    assert_int_equal(tell(&actor[2], barrier_leave, b), -EPERM);
    ask(&actor[0], barrier_wait, b);
    await_waiting(seg, b, 1);
    assert_int_equal(tarn_barrier_timed(seg, b, &past), -ETIMEDOUT);
    assert_int_equal(state_of(b).arrived, 1);
    assert_int_equal(state_of(b).members, 3); /* a member still */
    assert_int_equal(tell(&actor[1], barrier_timed, b), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_barrier_timed(seg, b, &malformed[i]), -EINVAL);
    ask(&actor[1], barrier_wait, b);
    await_waiting(seg, b, 2);
    assert_int_equal(tarn_barrier_leave(seg, b), 0); /* one less of the parties: the others go on */
    assert_true(answer(&actor[0]) >= 0 && answer(&actor[1]) >= 0);
    assert_int_equal(state_of(b).parties, 2);
    assert_int_equal(tell(&actor[0], barrier_leave, b), 0);
    assert_int_equal(tell(&actor[0], barrier_leave, b), -EPERM);
    assert_int_equal(tell(&actor[1], barrier_wait, b), TARN_LAST);
    assert_int_equal(tell(&actor[1], barrier_leave, b), 0);
}

static void whoever_comes(void **state)
{
    (void)state;
    tarn_barrier *b = &r->barrier[0]; /* zeroed */
    assert_int_equal(state_of(b).parties, 0);
    assert_int_equal(tarn_barrier_wait(seg, b), TARN_LAST); /* alone */
    assert_int_equal(tell(&actor[0], barrier_join, b), 0);
    assert_int_equal(tell(&actor[1], barrier_join, b), 0);
    assert_int_equal(tell(&actor[1], barrier_join, b) <= 0, true); /* is one already */
    assert_int_equal(state_of(b).members, 3);
    ask(&actor[0], barrier_wait, b);
    await_waiting(seg, b, 1);
    ask(&actor[1], barrier_wait, b);
    await_waiting(seg, b, 2);
    assert_int_equal(state_of(b).arrived, 2);
    assert_int_equal(tarn_barrier_wait(seg, b), TARN_LAST);
    assert_int_equal(answer(&actor[0]), 0);
    assert_int_equal(answer(&actor[1]), 0);
    ask(&actor[0], barrier_wait, b);
    ask(&actor[1], barrier_wait, b);
    await_waiting(seg, b, 2);
    assert_int_equal(tarn_barrier_leave(seg, b), 0);
    assert_true(answer(&actor[0]) >= 0 && answer(&actor[1]) >= 0);
    assert_int_equal(state_of(b).members, 2);
    assert_int_equal(tell(&actor[0], barrier_leave, b), 0);
    assert_int_equal(tell(&actor[1], barrier_leave, b), 0);
    assert_int_equal(state_of(b).members, 0);
}

static void a_death_breaks_it(void **state)
{
    (void)state;
    tarn_barrier *b = &r->barrier[0];
    assert_int_equal(tarn_barrier_init(seg, b, 3, 0), 0);
    for (int arrived = 0; arrived < 2; arrived++) {
        assert_int_equal(tell(&actor[0], barrier_join, b), 0);
        ask(&actor[1], barrier_wait, b);
        await_waiting(seg, b, 1);
        if (arrived)
            assert_int_equal(tell(&actor[0], barrier_timed, b), -ETIMEDOUT);
        dies(&actor[0]);
        assert_int_equal(answer(&actor[1]), -EOWNERDEAD);
        assert_int_equal(tell(&actor[1], barrier_wait, b), -EOWNERDEAD);
        assert_int_equal(tarn_barrier_wait(seg, b), -EOWNERDEAD);
        assert_int_equal(tarn_barrier_timed(seg, b, &past), -EOWNERDEAD);
        assert_int_equal(state_of(b).broken, 1);
        assert_int_equal(tarn_barrier_reset(seg, b), 0);
        assert_int_equal(state_of(b).broken, 0);
        assert_int_equal(state_of(b).parties, 3);
        ask(&actor[1], barrier_wait, b);
        await_waiting(seg, b, 1);
        ask(&actor[2], barrier_wait, b);
        await_waiting(seg, b, 2);
        assert_int_equal(tarn_barrier_wait(seg, b), TARN_LAST);
        assert_int_equal(answer(&actor[1]), 0);
        assert_int_equal(answer(&actor[2]), 0);
        ask(&actor[1], barrier_wait, b);
        await_waiting(seg, b, 1);
        assert_int_equal(tarn_barrier_reset(seg, b), 0); /* who waits is told */
        assert_int_equal(answer(&actor[1]), -EOWNERDEAD);
        assert_int_equal(state_of(b).broken, 0);
        assert_int_equal(tell(&actor[1], barrier_leave, b), 0);
        assert_int_equal(tell(&actor[2], barrier_leave, b), 0);
        assert_int_equal(tarn_barrier_leave(seg, b), 0);
        assert_int_equal(tarn_barrier_init(seg, b, 3, 0), 0);
    }
}

static void or_the_others_go_on(void **state)
{
    (void)state;
    tarn_barrier *b = &r->barrier[0];
    for (uint32_t parties = 0; parties <= 4; parties += 4) {
        assert_int_equal(tarn_barrier_init(seg, b, parties, TARN_BARRIER_DROP), 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(tell(&actor[i], barrier_join, b), 0);
        for (int i = 0; i < 3; i++)
            ask(&actor[i], barrier_wait, b);
        await_waiting(seg, b, 3);
        dies(&actor[3]); /* whom they wait for */
        for (int i = 0; i < 3; i++)
            assert_true(answer(&actor[i]) >= 0);
        assert_int_equal(state_of(b).broken, 0);
        assert_int_equal(state_of(b).members, 3);
        ask(&actor[0], barrier_wait, b);
        ask(&actor[1], barrier_wait, b);
        await_waiting(seg, b, 2);
        assert_int_equal(tell(&actor[2], barrier_wait, b), TARN_LAST);
        assert_int_equal(answer(&actor[0]), 0);
        assert_int_equal(answer(&actor[1]), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(tell(&actor[i], barrier_leave, b), 0);
    }
}

static void destroyed_barriers(void **state)
{
    (void)state;
    tarn_barrier *b = &r->barrier[0];
    assert_int_equal(tarn_barrier_init(seg, b, 3, 0), 0);
    ask(&actor[0], barrier_wait, b);
    ask(&actor[1], barrier_wait, b);
    await_waiting(seg, b, 2);
    assert_int_equal(tarn_barrier_fini(seg, b), 0);
    assert_int_equal(answer(&actor[0]), -EIDRM);
    assert_int_equal(answer(&actor[1]), -EIDRM);
    assert_int_equal(tarn_barrier_wait(seg, b), -EIDRM);
    assert_int_equal(tarn_barrier_join(seg, b), -EIDRM);
    assert_int_equal(tarn_barrier_reset(seg, b), -EIDRM);
}

static uint64_t arrivals[ACTORS];
static long many_turns(void *arg)
{
    long last = 0;
    for (uint64_t n = 1; n <= 3000; n++) {
        __atomic_store_n((uint64_t *)arg, n, __ATOMIC_RELEASE);
        int e = tarn_barrier_wait(seg, &r->barrier[1]);
        check(e == 0 || e == TARN_LAST);
        last += e == TARN_LAST;
        for (int i = 0; i < ACTORS; i++) {
            uint64_t others = __atomic_load_n(&arrivals[i], __ATOMIC_ACQUIRE);
            check(others == n || others == n + 1); /* nobody is behind, nobody a turn ahead */
        }
    }
    return last;
}
static void nobody_is_ahead(void **state)
{
    (void)state;
    long last = 0;
    assert_int_equal(tarn_barrier_init(seg, &r->barrier[1], ACTORS, 0), 0);
    for (int i = 0; i < ACTORS; i++)
        ask(&actor[i], many_turns, &arrivals[i]);
    for (int i = 0; i < ACTORS; i++)
        last += answer(&actor[i]);
    assert_int_equal(last, 3000);
}

/* ---- event ---- */

static int is_set(const tarn_event *v)
{
    int set = 77;
    assert_int_equal(tarn_event_state(seg, v, &set), 0);
    return set;
}

static void manual_events(void **state)
{
    (void)state;
    tarn_event *v = &r->event[0];
    assert_int_equal(is_set(v), 0);
    assert_int_equal(tarn_event_try(seg, v), -EAGAIN);
    assert_int_equal(tarn_event_timed(seg, v, &past), -ETIMEDOUT);
    assert_int_equal(tell(&actor[0], event_timed, v), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_event_timed(seg, v, &malformed[i]), -EINVAL);
    for (int i = 0; i < ACTORS; i++)
        ask(&actor[i], event_wait, v);
    await_waiting(seg, v, ACTORS);
    assert_int_equal(tarn_event_set(seg, v), 0);
    for (int i = 0; i < ACTORS; i++)
        assert_int_equal(answer(&actor[i]), 0);
    assert_int_equal(tarn_event_set(seg, v), 0); /* also where it is so already */
    assert_int_equal(is_set(v), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tarn_event_wait(seg, v), 0);
        assert_int_equal(tarn_event_try(seg, v), 0);
        assert_int_equal(tarn_event_timed(seg, v, &past), 0);
    }
    assert_int_equal(tarn_event_reset(seg, v), 0);
    assert_int_equal(tarn_event_reset(seg, v), 0);
    assert_int_equal(is_set(v), 0);
    assert_int_equal(tarn_event_try(seg, v), -EAGAIN);
}

static void automatic_events(void **state)
{
    (void)state;
    tarn_event *v = &r->event[0];
    assert_int_equal(tarn_event_init(seg, v, 2), -EINVAL);
    assert_int_equal(tarn_event_init(seg, v, TARN_EVENT_AUTOMATIC), 0);
    for (int i = 0; i < ACTORS; i++)
        ask(&actor[i], event_wait, v);
    await_waiting(seg, v, ACTORS);
    for (int n = 1; n <= ACTORS; n++) {
        int through = 0;
        assert_int_equal(tarn_event_set(seg, v), 0);
        await_waiting(seg, v, (uint32_t)(ACTORS - n));
        for (int i = 0; i < ACTORS; i++)
            through += answered(&actor[i]);
        assert_int_equal(through, n); /* one for each time */
        assert_int_equal(is_set(v), 0);
    }
    for (int i = 0; i < ACTORS; i++)
        assert_int_equal(answer(&actor[i]), 0);
    assert_int_equal(tarn_event_set(seg, v), 0);
    assert_int_equal(tarn_event_set(seg, v), 0); /* set is set */
    assert_int_equal(tell(&actor[0], event_try, v), 0);
    assert_int_equal(tell(&actor[0], event_try, v), -EAGAIN);
    assert_int_equal(tarn_event_set(seg, v), 0);
    assert_int_equal(tarn_event_wait(seg, v), 0);
    assert_int_equal(tarn_event_set(seg, v), 0);
    assert_int_equal(tarn_event_reset(seg, v), 0);
    assert_int_equal(tarn_event_try(seg, v), -EAGAIN);
    for (int round = 0; round < 20; round++) { /* who gives up swallows nothing */
        ask(&actor[0], event_timed, v);
        ask(&actor[1], event_wait, v);
        usleep(19000 + (useconds_t)round * 100);
        assert_int_equal(tarn_event_set(seg, v), 0);
        if (answer(&actor[0]) == 0)
            assert_int_equal(tarn_event_set(seg, v), 0);
        assert_int_equal(answer(&actor[1]), 0);
        assert_int_equal(is_set(v), 0);
    }
}

static void destroyed_events(void **state)
{
    (void)state;
    tarn_event *v = &r->event[0];
    for (uint32_t flags = 0; flags < 2; flags++) {
        assert_int_equal(tarn_event_init(seg, v, flags), 0);
        for (int i = 0; i < 3; i++)
            ask(&actor[i], event_wait, v);
        await_waiting(seg, v, 3);
        assert_int_equal(tarn_event_fini(seg, v), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(answer(&actor[i]), -EIDRM);
        assert_int_equal(tarn_event_wait(seg, v), -EIDRM);
        assert_int_equal(tarn_event_try(seg, v), -EIDRM);
        assert_int_equal(tarn_event_timed(seg, v, &past), -EIDRM);
        assert_int_equal(tarn_event_set(seg, v), -EIDRM);
        assert_int_equal(tarn_event_reset(seg, v), -EIDRM);
        assert_int_equal(tarn_event_signal(seg, v, SIGUSR1), -EIDRM);
    }
}

static volatile sig_atomic_t signals;
static void count_signal(int number)
{
    (void)number;
    signals++;
}
static long listen_usr1(void *v)
{
    return tarn_event_signal(seg, v, SIGUSR1);
}
static long set_it(void *v)
{
    return tarn_event_set(seg, v);
}
/* They come when they come; the alarm bounds it. */
static void await_signals(int n)
{
    while (signals < n)
        usleep(500);
    usleep(2000); /* and one too many might */
    assert_int_equal(signals, n);
}
static void signals_are_sent(void **state)
{
    (void)state;
    tarn_event *v = &r->event[0];
    struct sigaction act_on = {.sa_handler = count_signal}, before;
    sigaction(SIGUSR1, &act_on, &before);
    signals = 0;
    assert_int_equal(tarn_event_signal(seg, v, 65), -EINVAL);
    assert_int_equal(tarn_event_signal(seg, v, -1), -EINVAL);
    assert_int_equal(tarn_event_set(seg, v), 0);
    assert_int_equal(signals, 0);
    assert_int_equal(tarn_event_signal(seg, v, SIGUSR1), 0);
    assert_int_equal(tell(&actor[0], listen_usr1, v), -EBUSY);
    assert_int_equal(tarn_event_reset(seg, v), 0);
    for (int n = 1; n <= 3; n++) {
        assert_int_equal(tell(&actor[0], set_it, v), 0);
        await_signals(n);
        assert_int_equal(tarn_event_reset(seg, v), 0);
    }
    assert_int_equal(tarn_event_signal(seg, v, 0), 0);
    assert_int_equal(tell(&actor[0], set_it, v), 0);
    assert_int_equal(signals, 3);
    assert_int_equal(tarn_event_reset(seg, v), 0);
    /* as long as the thread takes part: then another may listen */
    assert_int_equal(tell(&actor[0], listen_usr1, v), 0);
    assert_int_equal(tarn_event_signal(seg, v, SIGUSR1), -EBUSY);
    dies(&actor[0]);
    assert_int_equal(tarn_event_set(seg, v), 0);
    await_signals(3);
    assert_int_equal(tarn_event_signal(seg, v, SIGUSR1), 0);
    assert_int_equal(tarn_event_reset(seg, v), 0);
    assert_int_equal(tarn_event_set(seg, v), 0);
    await_signals(4);
    assert_int_equal(tarn_event_signal(seg, v, 0), 0);
    sigaction(SIGUSR1, &before, NULL);
}

/* ---- one of several ---- */

static long any_of_two(void *arg) /* event 0, semaphore 0: its index */
{
    struct tarn_awaited two[] = {{TARN_EVENT, .event = &r->event[0]},
                                 {TARN_SEMAPHORE, .semaphore = &r->semaphore[0]}};
    uint32_t index = 77;
    struct timespec t = from_now(20);
    int e = tarn_wait_any(seg, two, 2, arg ? &t : NULL, &index);
    check(e == 0 || index == 77);
    return e ? e : (long)index;
}

static void the_first_that_comes(void **state)
{
    (void)state;
    uint32_t index = 77;
    struct tarn_awaited all[TARN_AWAITED_MOST + 1];
    for (uint32_t i = 0; i < TARN_AWAITED_MOST + 1; i++)
        all[i] = i % 2 ? (struct tarn_awaited){TARN_SEMAPHORE, .semaphore = &r->semaphore[i / 2 % EACH]}
                       : (struct tarn_awaited){TARN_EVENT, .event = &r->event[i / 2 % EACH]};
    assert_int_equal(tarn_event_init(seg, &r->event[1], TARN_EVENT_AUTOMATIC), 0);
    assert_int_equal(tarn_wait_any(seg, all, 0, &past, &index), -EINVAL);
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST + 1, &past, &index), -EINVAL);
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST, &past, &index), -ETIMEDOUT);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(tarn_wait_any(seg, all, 2, &malformed[i], &index), -EINVAL);
    assert_int_equal(index, 77);
    assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[0]), 0);
    assert_int_equal(tarn_event_set(seg, &r->event[1]), 0);
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST, NULL, &index), 0);
    assert_int_equal(index, 1); /* of several, the first, */
    assert_int_equal(units_of(&r->semaphore[0]), 0);
    assert_int_equal(is_set(&r->event[1]), 1); /* and that one alone */
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST, &past, &index), 0);
    assert_int_equal(index, 2);
    assert_int_equal(is_set(&r->event[1]), 0);
    struct tarn_awaited bad = all[0];
    bad.kind = 3;
    assert_int_equal(tarn_wait_any(seg, &bad, 1, &past, &index), -EINVAL);
    tarn_event elsewhere = {0, 0, 0};
    bad = (struct tarn_awaited){TARN_EVENT, .event = &elsewhere};
    assert_int_equal(tarn_wait_any(seg, &bad, 1, &past, &index), -EINVAL);
    assert_int_equal(tell(&actor[0], any_of_two, (void *)1), -ETIMEDOUT);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_wait_any(seg, all, 2, &past, &index), -EPERM);
    assert_int_equal(tarn_commit(seg), 0);
    for (int second = 0; second < 2; second++) {
        assert_int_equal(tarn_event_init(seg, &r->event[0], TARN_EVENT_AUTOMATIC), 0);
        ask(&actor[0], any_of_two, NULL);
        usleep(10000);
        assert_int_equal(second ? tarn_semaphore_post(seg, &r->semaphore[0]) : tarn_event_set(seg, &r->event[0]), 0);
        assert_int_equal(answer(&actor[0]), second);
    }
    ask(&actor[0], any_of_two, NULL); /* one of them is destroyed */
    usleep(10000);
    assert_int_equal(tarn_semaphore_fini(seg, &r->semaphore[0]), 0);
    assert_int_equal(answer(&actor[0]), -EIDRM);
}

/* Two wait for {A, B}, both come: both get one. */
static void several_at_once(void **state)
{
    (void)state;
    assert_int_equal(tarn_event_init(seg, &r->event[0], TARN_EVENT_AUTOMATIC), 0);
    for (int round = 0; round < 2000; round++) {
        ask(&actor[0], any_of_two, NULL);
        ask(&actor[1], any_of_two, NULL);
        if (round % 4 == 0)
            usleep((useconds_t)round % 700);
        if (round % 2) {
            assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[0]), 0);
            assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
        } else {
            assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
            assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[0]), 0);
        }
        assert_int_equal(answer(&actor[0]) + answer(&actor[1]), 1);
        assert_int_equal(is_set(&r->event[0]) + (int)units_of(&r->semaphore[0]), 0);
    }
    /* some wait for one of two, others for one alone: who is passed over is not forgotten */
    for (int round = 0; round < 1000; round++) {
        ask(&actor[0], any_of_two, NULL);
        ask(&actor[1], semaphore_wait, &r->semaphore[0]);
        ask(&actor[2], event_wait, &r->event[0]);
        if (round % 3 == 0)
            usleep((useconds_t)round % 500);
        assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[0]), 0);
        assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
        long got = -1; /* two of the three are served; then the third is */
        while (answered(&actor[0]) + answered(&actor[1]) + answered(&actor[2]) < 2)
            usleep(50);
        usleep(round % 16 ? 0 : 300);
        if (!answered(&actor[1]))
            assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[0]), 0);
        else if (!answered(&actor[2]))
            assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
        else
            assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
        got = answer(&actor[0]);
        assert_in_range(got, 0, 1);
        assert_int_equal(answer(&actor[1]), 0);
        assert_int_equal(answer(&actor[2]), 0);
        assert_int_equal(is_set(&r->event[0]) + (int)units_of(&r->semaphore[0]), 0);
    }
}

/* ---- sections: what waits for another's act, and acts that are not undone ---- */

static void not_in_a_section(void **state)
{
    (void)state;
    assert_int_equal(tarn_semaphore_init(seg, &r->semaphore[0], 5), 0);
    assert_int_equal(tarn_held_set(seg, &r->held[0], 5), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_semaphore_wait(seg, &r->semaphore[0]), -EPERM);
    assert_int_equal(tarn_semaphore_timed(seg, &r->semaphore[0], &past), -EPERM);
    assert_int_equal(tarn_held_take(seg, &r->held[0], 1), -EPERM);
    assert_int_equal(tarn_held_timed(seg, &r->held[0], 1, &past), -EPERM);
    assert_int_equal(tarn_event_wait(seg, &r->event[0]), -EPERM);
    assert_int_equal(tarn_event_timed(seg, &r->event[0], &past), -EPERM);
    assert_int_equal(tarn_barrier_wait(seg, &r->barrier[0]), -EPERM);
    assert_int_equal(tarn_barrier_timed(seg, &r->barrier[0], &past), -EPERM);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(units_of(&r->semaphore[0]), 5);
    assert_int_equal(available(&r->held[0], 5), 5);
    assert_int_equal(state_of(&r->barrier[0]).members, 0);
    assert_int_equal(tarn_semaphore_wait(seg, &r->semaphore[0]), 0);
    assert_int_equal(tell(&actor[0], begin_it, NULL), 0);
    assert_int_equal(tell(&actor[0], semaphore_wait, &r->semaphore[0]), -EPERM);
    dies(&actor[0]);
    assert_int_equal(tell(&actor[0], semaphore_try, &r->semaphore[0]), 0);
    assert_int_equal(tell(&actor[0], try_1, &r->held[0]), 0);
}

/* ---- as many as there is room for ---- */

static void no_room_for_another(void **state)
{
    (void)state;
    struct {
        tarn_ref fill;
    } * chain;
    struct tarn_type type = {"chain", sizeof *chain, 0};
    void *at;
    unsigned n = 0;
    int e = 0;
    assert_int_equal(tarn_find_or_make(seg, "chain", &type, &at), 0);
    chain = at;
    assert_int_equal(tarn_held_set(seg, &r->held[0], 9), 0);
    tarn_ref *place = &chain->fill; /* as fill() */
    for (size_t size = 65536; size >= 16; size /= 2)
        while (tarn_alloc_into(seg, place, size) == 0)
            place = tarn_ptr(seg, *place, sizeof *place);
    while (n < LOCKS && (e = tarn_mutex_lock(seg, &r->mutex[n])) == 0)
        n++;
    assert_int_equal(e, -ENOSPC);
    assert_int_equal(tarn_mutex_lock_nested(seg, &r->mutex[n]), -ENOSPC);
    assert_int_equal(tarn_mutex_lock_nested(seg, &r->mutex[0]), 0); /* needs none */
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_rwlock_read(seg, &r->rwlock[0]), -ENOSPC);
    assert_int_equal(tarn_rwlock_read_try(seg, &r->rwlock[0]), -ENOSPC);
    assert_int_equal(tarn_rwlock_write(seg, &r->rwlock[0]), -ENOSPC);
    assert_int_equal(tarn_rwlock_write_try(seg, &r->rwlock[0]), -ENOSPC);
    assert_int_equal(tarn_held_take(seg, &r->held[0], 1), -ENOSPC);
    assert_int_equal(tarn_held_try(seg, &r->held[0], 1), -ENOSPC);
    assert_int_equal(tarn_barrier_join(seg, &r->barrier[0]), -ENOSPC);
    assert_int_equal(tarn_barrier_wait(seg, &r->barrier[0]), -ENOSPC);
    assert_int_equal(available(&r->held[0], 9), 9);
    assert_int_equal(state_of(&r->barrier[0]).members, 0);
    assert_int_equal(tell(&actor[0], take_3, &r->held[0]), 0); /* another has room */
    assert_int_equal(tell(&actor[0], barrier_wait, &r->barrier[0]), TARN_LAST);
    assert_int_equal(tell(&actor[0], barrier_leave, &r->barrier[0]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_rwlock_read(seg, &r->rwlock[0]), 0); /* one goes, one comes */
    assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
    for (unsigned i = 1; i < n; i++)
        assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[i]), 0);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(signals_and_broadcasts),
        with_segment(a_condition_is_picky),
        with_segment(the_mutex_of_the_dead),
        with_segment(destroyed_conditions),
        with_segment(produced_is_consumed),
        with_segment(units_are_counted),
        with_segment(posts_wake_as_many),
        with_segment(no_unit_is_lost),
        with_segment(destroyed_semaphores),
        with_segment(held_units),
        with_segment(the_dead_give_back),
        with_segment(units_set_anew),
        with_segment(never_more_than_there_are),
        with_segment(set_meanwhile),
        with_segment(turns),
        with_segment(whoever_comes),
        with_segment(a_death_breaks_it),
        with_segment(or_the_others_go_on),
        with_segment(destroyed_barriers),
        with_segment(nobody_is_ahead),
        with_segment(manual_events),
        with_segment(automatic_events),
        with_segment(destroyed_events),
        with_segment(signals_are_sent),
        with_segment(the_first_that_comes),
        with_segment(several_at_once),
        with_segment(not_in_a_section),
        with_segment(no_room_for_another),
    };
    return cmocka_run_group_tests_name("sync_meet", tests, NULL, NULL);
}

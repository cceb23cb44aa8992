/* test_sync_place.c - every call of the objects of synchronisation, on what is no object of the segment: private memory, a place that is not aligned, a
 * read-only attachment, bytes that nobody initialised. Each call returns, and says what is wrong. Calls that may wait have a deadline here; of
 * random bytes some are good objects, for which there may be nothing to come. */
#include "helper.h"
#include "arena.h"
#include "room.h"

static tarn *seg, *at; /* the segment; the handle that is used */
static struct room *r;
static struct tarn_options options;
static struct timespec until;

static int run_nothing(tarn *s, void *arg)
{
    (void)s, (void)arg;
    return 0;
}

enum kind { MUTEX, RWLOCK, CONDITION, SEMAPHORE, HELD, BARRIER, ONCE, EVENT, KINDS };
static const size_t size_of[KINDS] = {sizeof(tarn_mutex),     sizeof(tarn_rwlock), sizeof(tarn_condition),
                                      sizeof(tarn_semaphore), sizeof(tarn_held),   sizeof(tarn_barrier),
                                      sizeof(tarn_once),      sizeof(tarn_event)};

#define CALL(name, expression)                                                                               \
    static int name(void *x)                                                                                 \
    {                                                                                                        \
        return expression;                                                                                   \
    }
static struct tarn_rwlock_state rwlock_is;
static struct tarn_barrier_state barrier_is;
static uint32_t a_number, another;
static int an_int;
static struct tarn_awaited await_event(void *x)
{
    return (struct tarn_awaited){TARN_EVENT, .event = x};
}
static struct tarn_awaited await_semaphore(void *x)
{
    return (struct tarn_awaited){TARN_SEMAPHORE, .semaphore = x};
}
static int any_event(void *x)
{
    struct tarn_awaited a = await_event(x);
    return tarn_wait_any(at, &a, 1, &until, &a_number);
}
static int any_semaphore(void *x)
{
    struct tarn_awaited a = await_semaphore(x);
    return tarn_wait_any(at, &a, 1, &until, &a_number);
}
CALL(mutex_lock_nested, tarn_mutex_lock_nested(at, x))
CALL(mutex_try_nested, tarn_mutex_try_nested(at, x))
CALL(mutex_timed_nested, tarn_mutex_timed_nested(at, x, &until))
CALL(mutex_owner, tarn_mutex_owner(at, x, &a_number))
CALL(rwlock_read, tarn_rwlock_read(at, x))
CALL(rwlock_read_try, tarn_rwlock_read_try(at, x))
CALL(rwlock_read_timed, tarn_rwlock_read_timed(at, x, &until))
CALL(rwlock_write, tarn_rwlock_write(at, x))
CALL(rwlock_write_try, tarn_rwlock_write_try(at, x))
CALL(rwlock_write_timed, tarn_rwlock_write_timed(at, x, &until))
CALL(rwlock_unlock, tarn_rwlock_unlock(at, x))
CALL(rwlock_downgrade, tarn_rwlock_downgrade(at, x))
CALL(rwlock_upgrade_try, tarn_rwlock_upgrade_try(at, x))
CALL(rwlock_consistent, tarn_rwlock_consistent(at, x))
CALL(rwlock_init, tarn_rwlock_init(at, x, 0))
CALL(rwlock_fini, tarn_rwlock_fini(at, x))
CALL(rwlock_state, tarn_rwlock_state(at, x, &rwlock_is))
CALL(condition_wait, tarn_condition_wait(at, x, &r->mutex[0]))
CALL(condition_timed, tarn_condition_timed(at, x, &r->mutex[0], &until))
CALL(condition_signal, tarn_condition_signal(at, x))
CALL(condition_broadcast, tarn_condition_broadcast(at, x))
CALL(condition_fini, tarn_condition_fini(at, x))
CALL(semaphore_wait, tarn_semaphore_wait(at, x))
CALL(semaphore_try, tarn_semaphore_try(at, x))
CALL(semaphore_timed, tarn_semaphore_timed(at, x, &until))
CALL(semaphore_post, tarn_semaphore_post(at, x))
CALL(semaphore_post_many, tarn_semaphore_post_many(at, x, 2))
CALL(semaphore_units, tarn_semaphore_units(at, x, &a_number))
CALL(semaphore_init, tarn_semaphore_init(at, x, 1))
CALL(semaphore_fini, tarn_semaphore_fini(at, x))
CALL(held_take, tarn_held_take(at, x, 1))
CALL(held_try, tarn_held_try(at, x, 1))
CALL(held_timed, tarn_held_timed(at, x, 1, &until))
CALL(held_give, tarn_held_give(at, x, 1))
CALL(held_set, tarn_held_set(at, x, 2))
CALL(held_state, tarn_held_state(at, x, &a_number, &another))
CALL(barrier_wait, tarn_barrier_wait(at, x))
CALL(barrier_timed, tarn_barrier_timed(at, x, &until))
CALL(barrier_join, tarn_barrier_join(at, x))
CALL(barrier_leave, tarn_barrier_leave(at, x))
CALL(barrier_reset, tarn_barrier_reset(at, x))
CALL(barrier_init, tarn_barrier_init(at, x, 2, 0))
CALL(barrier_fini, tarn_barrier_fini(at, x))
CALL(barrier_state, tarn_barrier_state(at, x, &barrier_is))
CALL(once_run, (tarn_once_run)(at, x, run_nothing, NULL))
CALL(event_wait, tarn_event_wait(at, x))
CALL(event_try, tarn_event_try(at, x))
CALL(event_timed, tarn_event_timed(at, x, &until))
CALL(event_set, tarn_event_set(at, x))
CALL(event_reset, tarn_event_reset(at, x))
CALL(event_signal, tarn_event_signal(at, x, 0))
CALL(event_init, tarn_event_init(at, x, 0))
CALL(event_fini, tarn_event_fini(at, x))
CALL(event_state, tarn_event_state(at, x, &an_int))

/* waits: it may wait for ever, for what cannot come. looks: also on a read-only attachment. sees: it sees that bytes of ones are no object. */
static const struct call {
    const char *name;
    int (*run)(void *);
    enum kind kind;
    bool waits, looks, sees;
} calls[] = {
#define C(name, kind, waits, looks, sees)                                                                    \
    {                                                                                                        \
#name, name, kind, waits, looks, sees                                                                \
    }
    /* A condition of ones is one that somebody may wait for. A mutex is judged by its holder. */
    C(mutex_lock_nested, MUTEX, true, false, false),
    C(mutex_try_nested, MUTEX, false, false, false),
    C(mutex_timed_nested, MUTEX, false, false, false),
    C(mutex_owner, MUTEX, false, true, false),
    C(rwlock_read, RWLOCK, true, false, true),
    C(rwlock_read_try, RWLOCK, false, false, true),
    C(rwlock_read_timed, RWLOCK, false, false, true),
    C(rwlock_write, RWLOCK, true, false, true),
    C(rwlock_write_try, RWLOCK, false, false, true),
    C(rwlock_write_timed, RWLOCK, false, false, true),
    C(rwlock_unlock, RWLOCK, false, false, true),
    C(rwlock_downgrade, RWLOCK, false, false, true),
    C(rwlock_upgrade_try, RWLOCK, false, false, true),
    C(rwlock_consistent, RWLOCK, false, false, true),
    C(rwlock_init, RWLOCK, false, false, false),
    C(rwlock_fini, RWLOCK, false, false, false),
    C(rwlock_state, RWLOCK, false, true, false),
    C(condition_wait, CONDITION, true, false, false),
    C(condition_timed, CONDITION, false, false, false),
    C(condition_signal, CONDITION, false, false, false),
    C(condition_broadcast, CONDITION, false, false, false),
    C(condition_fini, CONDITION, false, false, false),
    C(semaphore_wait, SEMAPHORE, true, false, true),
    C(semaphore_try, SEMAPHORE, false, false, true),
    C(semaphore_timed, SEMAPHORE, false, false, true),
    C(semaphore_post, SEMAPHORE, false, false, true),
    C(semaphore_post_many, SEMAPHORE, false, false, true),
    C(semaphore_units, SEMAPHORE, false, true, false),
    C(semaphore_init, SEMAPHORE, false, false, false),
    C(semaphore_fini, SEMAPHORE, false, false, false),
    C(any_semaphore, SEMAPHORE, false, false, true),
    C(held_take, HELD, true, false, true),
    C(held_try, HELD, false, false, true),
    C(held_timed, HELD, false, false, true),
    C(held_give, HELD, false, false, true),
    C(held_set, HELD, false, false, true),
    C(held_state, HELD, false, true, false),
    C(barrier_wait, BARRIER, true, false, true),
    C(barrier_timed, BARRIER, false, false, true),
    C(barrier_join, BARRIER, false, false, true),
    C(barrier_leave, BARRIER, false, false, true),
    C(barrier_reset, BARRIER, false, false, true),
    C(barrier_init, BARRIER, false, false, false),
    C(barrier_fini, BARRIER, false, false, false),
    C(barrier_state, BARRIER, false, true, false),
    C(once_run, ONCE, true, false, true),
    C(event_wait, EVENT, true, false, true),
    C(event_try, EVENT, false, false, true),
    C(event_timed, EVENT, false, false, true),
    C(event_set, EVENT, false, false, true),
    C(event_reset, EVENT, false, false, true),
    C(event_signal, EVENT, false, false, true),
    C(event_init, EVENT, false, false, false),
    C(event_fini, EVENT, false, false, false),
    C(event_state, EVENT, false, true, false),
    C(any_event, EVENT, false, false, true),
#undef C
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Who does not hold it is told that, whatever else is wrong. */
static bool for_holders(const struct call *c)
{
    return c->run == rwlock_unlock || c->run == rwlock_downgrade || c->run == rwlock_upgrade_try ||
           c->run == rwlock_consistent || c->run == held_give || c->run == barrier_leave;
}

static void *object_of(enum kind k)
{
    void *const first[KINDS] = {&r->mutex[1], &r->rwlock[0],  &r->condition[0], &r->semaphore[0],
                                &r->held[0],  &r->barrier[0], &r->once[0],      &r->event[0]};
    return first[k];
}

static int set_up(void **state)
{
    (void)state;
    alarm(100);
    options = tiny(8);
    r = room_open("anon:", &options, &seg);
    at = seg;
    until = (struct timespec){0, 0};
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

static void elsewhere(void **state)
{
    (void)state;
    uint64_t on_stack[32];
    char *base = tarn_base(seg);
    tarn_ref end = tarn_ref_of(seg, r) & ~4095ull; /* of what is committed here */
    while (tarn_ptr(seg, end, 8))
        end += 4096;
    for (int i = 0; i < CALLS; i++) {
        char *o = object_of(calls[i].kind);
        void *bad[] = {NULL,
                       on_stack,
                       o + 4,
                       o + 1,
                       base,
                       base - 64,
                       (void *)8,
                       (void *)(~(uintptr_t)7),
                       base + end,
                       base + end - 8,
                       base + (1ull << 46)};
        memset(on_stack, 0, sizeof on_stack);
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            if (bad[b] == base + end - 8 && size_of[calls[i].kind] == 8)
                continue; /* there is room for it */
            int e = calls[i].run(bad[b]);
            if (e != -EINVAL)
                fail_msg("%s, place %zu: %d, not -EINVAL", calls[i].name, b, e);
        }
        for (int w = 0; w < 32; w++)
            assert_int_equal(on_stack[w], 0);
    }
}

static void the_mutex_of_a_condition(void **state)
{
    (void)state;
    tarn_mutex on_stack = {0, 0};
    assert_int_equal(tarn_condition_wait(seg, &r->condition[0], &on_stack), -EINVAL);
    assert_int_equal(tarn_condition_timed(seg, &r->condition[0], NULL, &until), -EINVAL);
    assert_int_equal(
        tarn_condition_wait(seg, &r->condition[0], (tarn_mutex *)(void *)((char *)&r->mutex[0] + 4)), -EINVAL);
}

/* In a child, which has the segment read-only and nothing else. */
static int fd_of;
static void look_only(void *arg)
{
    tarn_ref ref[KINDS];
    (void)arg;
    for (int k = 0; k < KINDS; k++)
        ref[k] = tarn_ref_of(seg, object_of(k));
    fd_of = dup(tarn_fd(seg));
    check(fd_of >= 0 && tarn_close(seg) == 0);
    check(tarn_open_fd(fd_of, TARN_RDONLY, &at) == 0);
    r = tarn_ptr(at, ref[MUTEX] - offsetof(struct room, mutex[1]), sizeof *r);
    check(r);
    for (int i = 0; i < CALLS; i++) {
        int e = calls[i].run(tarn_ptr(at, ref[calls[i].kind], size_of[calls[i].kind]));
        bool good = calls[i].looks ? e == 0 : e == -EROFS || (e == -EPERM && for_holders(&calls[i]));
        if (!good)
            fprintf(stderr, "%s: %d on a read-only attachment\n", calls[i].name, e);
        check(good);
    }
    check(rwlock_is.readers == 0 && barrier_is.members == 0 && an_int == 0);
    check(tarn_set_deadlock(at, 1) < 0);
    check(tarn_close(at) == 0);
}
static void read_only(void **state)
{
    (void)state;
    assert_int_equal(in_child(look_only, NULL), 0);
}

static struct tarn_rwlock_state was;
static long write_it(void *w)
{
    return tarn_rwlock_write(seg, w);
}
/* What others do is seen there. */
static void look_at_it(void *arg)
{
    tarn_ref w = tarn_ref_of(seg, &r->rwlock[0]), s = tarn_ref_of(seg, &r->semaphore[0]),
             h = tarn_ref_of(seg, &r->held[0]), m = tarn_ref_of(seg, &r->mutex[0]);
    uint32_t owner = 0;
    (void)arg;
    fd_of = dup(tarn_fd(seg));
    check(fd_of >= 0 && tarn_close(seg) == 0 && tarn_open_fd(fd_of, TARN_RDONLY, &at) == 0);
    check(tarn_rwlock_state(at, tarn_ptr(at, w, sizeof(tarn_rwlock)), &was) == 0);
    check(was.writer && !was.readers && !was.dirty);
    check(tarn_semaphore_units(at, tarn_ptr(at, s, 8), &a_number) == 0 && a_number == 3);
    check(tarn_held_state(at, tarn_ptr(at, h, sizeof(tarn_held)), &a_number, &another) == 0);
    check(a_number == 4 && another == 6);
    check(tarn_mutex_owner(at, tarn_ptr(at, m, sizeof(tarn_mutex)), &owner) == 0 && owner);
    check(owner != was.writer);
}
static void read_only_sees(void **state)
{
    (void)state;
    struct actor a;
    engage(&a);
    assert_int_equal(tell(&a, write_it, &r->rwlock[0]), 0);
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_semaphore_init(seg, &r->semaphore[0], 3), 0);
    assert_int_equal(tarn_held_set(seg, &r->held[0], 6), 0);
    assert_int_equal(tarn_held_take(seg, &r->held[0], 2), 0);
    assert_int_equal(in_child(look_at_it, NULL), 0);
    assert_int_equal(tarn_held_give(seg, &r->held[0], 2), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
    dismiss(&a);
    assert_int_equal(tarn_recover(seg), 1);
}

/* ---- bytes that nobody initialised ---- */

static uint32_t seed;
static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8 ^ seed << 20;
}

/* In a child, so that what it came to hold goes with it. */
static void on_ones(void *arg)
{
    (void)arg;
    check(tarn_mutex_lock(seg, &r->mutex[0]) == 0);
    for (int i = 0; i < CALLS; i++) {
        void *o = object_of(calls[i].kind);
        if (calls[i].waits && !calls[i].sees)
            continue;
        memset(o, 0xff, size_of[calls[i].kind]);
        int e = calls[i].run(o);
        if (calls[i].sees && e != -EUCLEAN && e != -EIDRM && e != -EPERM) {
            fprintf(stderr, "%s of ones: %d (%s)\n", calls[i].name, e, tarn_error());
            check(false);
        }
        memset(o, 0, size_of[calls[i].kind]);
    }
}
static void ones(void **state)
{
    (void)state;
    assert_int_equal(in_child(on_ones, NULL), 0);
    assert_true(tarn_recover(seg) >= 0);
    assert_true(tarn_mutex_lock(seg, &r->mutex[0]) >= 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
}

struct counts {
    uint32_t rounds, damaged[CALLS];
};
static void on_random(void *arg)
{
    struct counts *c = arg;
    alarm(90);
    for (int i = 0; i < CALLS; i++) {
        for (uint32_t n = 0; n < 60; n++) {
            unsigned char *o = object_of(calls[i].kind);
            size_t size = size_of[calls[i].kind];
            if (tarn_mutex_lock(seg, &r->mutex[0]) == -EDEADLK)
                (void)0;                      /* of the round before */
            for (size_t b = 0; b < size; b++) /* all of it, or sparse bytes among zeros */
                o[b] = n % 2 == 0 || next_random() % 6 == 0 ? (unsigned char)next_random() : 0;
            until = from_now(1);
            if (calls[i].waits)
                continue; /* the timed kind of the call is another in the table */
            int e = calls[i].run(o);
            c->damaged[i] += e == -EUCLEAN || e == -EIDRM;
            bool good = e >= 0 || e == -EUCLEAN || e == -EIDRM || e == -EAGAIN || e == -EBUSY || e == -ETIMEDOUT ||
                        e == -EPERM || e == -EOWNERDEAD || e == -EUSERS || e == -EOVERFLOW || e == -EDEADLK;
            if (!good)
                fprintf(stderr, "%s: %d: %s\n", calls[i].name, e, tarn_error());
            check(good);
            c->rounds++;
        }
        memset(object_of(calls[i].kind), 0, size_of[calls[i].kind]);
    }
    _exit(7); /* with what it came to hold, of objects that are none */
}
static void random_bytes(void **state)
{
    struct counts *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_true(c != MAP_FAILED);
    for (int round = 0; round < 4; round++) {
        seed = 12345u + (uint32_t)round;
        int status = in_child(on_random, c);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
            fail_msg("round %d: status %#x", round, (unsigned)status);
        assert_true(tarn_recover(seg) >= 0);
    }
    for (int i = 0; i < CALLS; i++)
        if ((calls[i].sees || calls[i].kind == CONDITION) && !calls[i].waits && !c->damaged[i] &&
            calls[i].kind != ONCE && calls[i].run != condition_fini && !for_holders(&calls[i]))
            fail_msg("%s never saw that random bytes are no object", calls[i].name);
    munmap(c, sizeof *c);
}

/* Those that wait, on random bytes: in threads of a child that go on living; the calls whose object is bad must return. */
static void *one_wait(void *arg)
{
    const struct call *call = arg;
    (void)tarn_mutex_lock(seg, &r->mutex[0]);
    (void)call->run(object_of(call->kind));
    return NULL;
}
static void waits_on_ones(void *arg)
{
    (void)arg;
    alarm(20);
    for (int i = 0; i < CALLS; i++)
        if (calls[i].waits && calls[i].sees) {
            memset(object_of(calls[i].kind), 0xff, size_of[calls[i].kind]);
            pthread_t t;
            check(pthread_create(&t, NULL, one_wait, (void *)(uintptr_t)&calls[i]) == 0);
            check(pthread_join(t, NULL) == 0);
            memset(object_of(calls[i].kind), 0, size_of[calls[i].kind]);
        }
}
static void none_waits_for_nothing(void **state)
{
    (void)state;
    assert_int_equal(in_child(waits_on_ones, NULL), 0);
    assert_true(tarn_recover(seg) >= 0);
}

/* Zeroed bytes are a good one of each, and so they are again after all that. */
static void zeros(void **state)
{
    (void)state;
    assert_int_equal(tarn_rwlock_write(seg, &r->rwlock[3]), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[3]), 0);
    assert_int_equal(tarn_condition_signal(seg, &r->condition[3]), 0);
    assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[3]), 0);
    assert_int_equal(tarn_semaphore_try(seg, &r->semaphore[3]), 0);
    assert_int_equal(tarn_held_try(seg, &r->held[3], 1), -EAGAIN);
    assert_int_equal(tarn_barrier_wait(seg, &r->barrier[3]), TARN_LAST);
    assert_int_equal(tarn_barrier_leave(seg, &r->barrier[3]), 0);
    assert_int_equal(tarn_once_run(seg, &r->once[3], run_nothing, NULL), 0);
    assert_int_equal(tarn_event_try(seg, &r->event[3]), -EAGAIN);
    assert_int_equal(tarn_event_set(seg, &r->event[3]), 0);
    assert_int_equal(tarn_event_try(seg, &r->event[3]), 0);
}

/* As many participants as the segment was made for. */
static long attach_it(void *unused)
{
    (void)unused;
    return tarn_thread_attach(seg);
}
static void one_too_many(void **state)
{
    struct actor a;
    tear_down(state);
    options = tiny(1);
    r = room_open("anon:", &options, &seg);
    at = seg;
    alarm(100);
    assert_int_equal(tarn_thread_detach(seg), 0);
    engage(&a);
    assert_int_equal(tell(&a, attach_it, NULL), 0);
    for (int i = 0; i < CALLS; i++) {
        int e = calls[i].run(object_of(calls[i].kind));
        bool good = calls[i].looks ? e == 0 : e == -EUSERS || e == -EPERM;
        if (!good)
            fail_msg("%s: %d, not -EUSERS", calls[i].name, e);
    }
    dismiss(&a);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(elsewhere),
        with_segment(the_mutex_of_a_condition),
        with_segment(read_only),
        with_segment(read_only_sees),
        with_segment(ones),
        with_segment(random_bytes),
        with_segment(none_waits_for_nothing),
        with_segment(zeros),
        with_segment(one_too_many),
    };
    return cmocka_run_group_tests_name("sync_place", tests, NULL, NULL);
}

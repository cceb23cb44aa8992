/* test_channel.c - what all channels share: making and opening, seats and the seats of the dead, watching, checking, unbinding, one descriptor for many. */
#include "helper.h"

#include <poll.h>
#include <time.h>

#include "channel/layout.h"
#include "segment/segment.h"
#include "sync/sync.h"
#include "tarn/channel.h"

static tarn *seg;
static volatile int *told; /* shared with children */
static const struct timespec past = {0, 0};

static int begin(void **state)
{
    (void)state;
    alarm(60);
    mutex_cap_off = false;
    return tarn_open("memfd:c", TARN_CREATE, NULL, &seg);
}
static int finish(void **state)
{
    (void)state;
    return tarn_close(seg);
}
static tarn_call *opened(const char *name, unsigned role)
{
    static const struct tarn_channel_options small = {.size = sizeof small, .capacity = 8, .parties = 3};
    tarn_call *c;
    assert_int_equal(tarn_call_open(seg, name, TARN_CREATE | role, &small, &c), 0);
    return c;
}
static struct tarn_channel_stat stat_channel(const char *name)
{
    struct tarn_channel_stat stat;
    assert_int_equal(tarn_channel_stat(seg, name, &stat), 0);
    return stat;
}

/* ---- making ---- */

static void wrong_options(void **state)
{
    static const struct tarn_channel_options wrong[] = {
        {.size = 0},
        {.size = sizeof *wrong - 4},
        {.size = sizeof *wrong, .reserved = {0, 0, 1}},
        {.size = sizeof *wrong, .capacity = (1u << 30) + 1},
        {.size = sizeof *wrong, .capacity = UINT32_MAX},
        {.size = sizeof *wrong, .message = (1u << 30) + 1},
        {.size = sizeof *wrong, .message = UINT32_MAX},
        {.size = sizeof *wrong, .parties = 4097},
        {.size = sizeof *wrong, .parties = UINT32_MAX},
        {.size = sizeof *wrong, .flags = 1},
        {.size = sizeof *wrong, .number = 1},
        {.size = sizeof *wrong, .capacity = 1u << 21},
    };
    tarn_call *c;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(tarn_call_open(seg, "c", TARN_CREATE | TARN_SEND, &wrong[i], &c), -EINVAL);
        assert_int_equal(tarn_call_open(seg, "c", 0, NULL, &c), -ENOENT); /* nothing was made */
    }
    assert_clean(seg);
}

static void defaults_and_roundings(void **state)
{
    static const struct {
        uint32_t asked, is;
    } capacity[] = {{0, 1024}, {1, 8}, {8, 8}, {9, 16}, {1000, 1024}, {1025, 2048}};
    (void)state;
    for (size_t i = 0; i < sizeof capacity / sizeof *capacity; i++) {
        struct tarn_channel_options o = {.size = sizeof o, .capacity = capacity[i].asked, .message = 8};
        tarn_call *c;
        assert_int_equal(tarn_call_open(seg, "c", TARN_CREATE, &o, &c), 0);
        assert_int_equal(stat_channel("c").capacity, capacity[i].is);
        assert_int_equal(tarn_call_close(c), 0);
        assert_int_equal(tarn_call_open(seg, "c", TARN_CREATE, NULL, &c), 0); /* as it is */
        assert_int_equal(stat_channel("c").capacity, capacity[i].is);
        assert_int_equal(tarn_call_close(c), 0);
        assert_int_equal(tarn_unbind(seg, "c", 1), 0);
    }
    assert_int_equal(tarn_call_close(opened("d", TARN_SEND)), 0);
    assert_int_equal(stat_channel("d").message, 64);
    assert_int_equal(stat_channel("d").parties, 3);
    assert_clean(seg);
}

static void too_large_for_the_segment(void **state)
{
    static const struct tarn_channel_options huge = {
        .size = sizeof huge, .capacity = 1 << 20, .message = 1u << 30, .parties = 4096};
    tarn_call *c;
    int e;
    (void)state;
    e = tarn_call_open(seg, "c", TARN_CREATE | TARN_SEND, &huge, &c);
    assert_true(e == -ENOSPC || e == -ENOMEM || e == -E2BIG || e == -EINVAL);
    assert_int_equal(tarn_call_open(seg, "c", 0, NULL, &c), -ENOENT);
    assert_clean(seg);
}

static void of_another_type(void **state)
{
    struct tarn_channel_stat stat;
    uint32_t seen = 0;
    tarn_queue *queue;
    tarn_call *c;
    (void)state;
    assert_int_equal(tarn_object(seg, "queue", tarn_queue, &queue), 0);
    assert_int_equal(tarn_call_open(seg, "queue", TARN_CREATE | TARN_SEND, NULL, &c), -EPROTO);
    assert_int_equal(tarn_channel_stat(seg, "queue", &stat), -EPROTO);
    assert_says("no channel");
    assert_int_equal(tarn_channel_watch(seg, "queue", &seen, &past), -EPROTO);
    assert_int_equal(tarn_channel_parties(seg, "queue", NULL, NULL), -EPROTO);
}

static int count(const struct tarn_party *p, void *n)
{
    assert_int_equal(p->alive, 1);
    ++*(int *)n;
    return 0;
}
static void read_only(void **state)
{
    tarn_call *c = opened("c", TARN_SEND), *looks;
    tarn *reader;
    struct tarn_channel_stat stat;
    uint32_t seen = 0;
    int n = 0;
    (void)state;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_call_open(reader, "c", TARN_SEND, NULL, &looks), -EROFS);
    assert_int_equal(tarn_call_open(reader, "c", TARN_RECEIVE, NULL, &looks), -EROFS);
    assert_int_equal(tarn_call_open(reader, "c", TARN_CREATE, NULL, &looks), -EROFS);
    assert_int_equal(tarn_call_open(reader, "c", 0, NULL, &looks), 0);
    assert_int_equal(tarn_call_ask(looks, 0, NULL, 0, NULL, 0, NULL), -EROFS);
    assert_int_equal(tarn_call_next_try(looks, NULL), -EROFS);
    assert_int_equal(tarn_channel_stat(reader, "c", &stat), 0);
    assert_int_equal(stat.senders, 1);
    assert_int_equal(tarn_channel_parties(reader, "c", count, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(tarn_channel_watch(reader, "c", &seen, &past), -EROFS);
    assert_int_equal(tarn_call_close(looks), 0);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_call_close(c), 0);
}

/* ---- seats ---- */

static void no_seat(void **state)
{
    tarn_call *c[3], *more, *looks;
    (void)state;
    for (int i = 0; i < 3; i++)
        c[i] = opened("c", i ? TARN_SEND : TARN_RECEIVE);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &more), -EUSERS);
    assert_says("3 parties");
    assert_int_equal(tarn_call_open(seg, "c", 0, NULL, &looks), 0); /* takes none */
    assert_int_equal(tarn_call_close(c[1]), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &c[1]), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tarn_call_close(c[i]), 0);
    assert_int_equal(tarn_call_close(looks), 0);
}

static pid_t sitting(int seats, bool receive)
{
    pid_t p;
    *told = 0;
    p = fork_child();
    if (p == 0) {
        alarm(60);
        for (int i = 0; i < seats; i++) {
            tarn_call *c;
            check(tarn_call_open(seg, "c", receive ? TARN_RECEIVE : TARN_SEND, NULL, &c) == 0);
        }
        *told = 1;
        for (;;)
            pause();
    }
    while (!*told)
        usleep(1000);
    return p;
}
static void end_it(pid_t p)
{
    int status;
    kill(p, SIGKILL);
    assert_int_equal(waitpid(p, &status, 0), p);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void seats_of_the_dead(void **state)
{
    tarn_call *c = opened("c", TARN_SEND), *more;
    (void)state;
    for (uint32_t i = 1; i <= 10; i++) {
        pid_t p = sitting(2, i & 1);
        assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &more), -EUSERS);
        end_it(p);
        assert_int_equal(stat_channel("c").deaths, 2 * (i - 1));
        assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &more), 0);
        assert_int_equal(stat_channel("c").deaths, 2 * i);
        assert_int_equal(stat_channel("c").senders, 2);
        assert_int_equal(stat_channel("c").receivers, 0);
        assert_int_equal(tarn_call_close(more), 0);
    }
    assert_int_equal(tarn_call_close(c), 0);
    assert_clean(seg);
}

static void *leaves_without_a_word(void *unused)
{
    tarn_call *c;
    (void)unused;
    check(tarn_call_open(seg, "c", TARN_SEND, NULL, &c) == 0);
    (void)tarn_thread_detach(seg);
    return c;
}
static void a_thread_ends_with_its_seat(void **state)
{
    tarn_call *c = opened("c", TARN_RECEIVE);
    uint32_t seen = stat_channel("c").changes;
    pthread_t t;
    void *its;
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, leaves_without_a_word, NULL), 0);
    assert_int_equal(pthread_join(t, &its), 0);
    assert_int_equal(stat_channel("c").senders, 1);
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, &past), 0);
    assert_int_equal(stat_channel("c").senders, 0);
    assert_int_equal(tarn_call_close(its), 0); /* no thread's any more: the handle alone goes */
    assert_int_equal(tarn_call_close(c), 0);
}

static void watched(void **state)
{
    tarn_call *c = opened("c", TARN_SEND);
    uint32_t seen = stat_channel("c").changes;
    pid_t p = sitting(1, true);
    (void)state;
    mutex_cap_off = true; /* it is woken, or it hangs */
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, NULL), 0);
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, &past), -ETIMEDOUT);
    *told = 0;
    pid_t killer = fork_child();
    if (killer == 0) {
        usleep(50000);
        kill(p, SIGKILL);
        _exit(0);
    }
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, NULL), 0);
    assert_int_equal(stat_channel("c").receivers, 0);
    assert_int_equal(stat_channel("c").deaths, 1);
    assert_int_equal(waitpid(p, NULL, 0), p);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_int_equal(tarn_call_close(c), 0);
}

/* Nobody has a seat, so it may be unbound and made anew under who watches. */
static void *makes_it_anew(void *unused)
{
    tarn_call *c;
    (void)unused;
    usleep(30000);
    check(tarn_unbind(seg, "c", 1) == 0);
    check(tarn_call_open(seg, "c", TARN_CREATE, NULL, &c) == 0);
    check(tarn_call_close(c) == 0);
    (void)tarn_thread_detach(seg);
    return NULL;
}
static void unbound_under_who_watches(void **state)
{
    uint32_t seen;
    pthread_t t;
    int e;
    (void)state;
    assert_int_equal(tarn_call_close(opened("c", TARN_SEND)), 0);
    seen = stat_channel("c").changes;
    assert_int_equal(pthread_create(&t, NULL, makes_it_anew, NULL), 0);
    e = tarn_channel_watch(seg, "c", &seen, NULL);
    assert_true(e == -ESTALE || e == -ENOENT);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_clean(seg);
}

/* A participant that was stopped while it had the lock of the seats: who waits until a time comes back, and looks at it all the same. */
static void a_stopped_one_has_the_lock(void **state)
{
    static const struct tarn_type type = {CALL_TYPE_NAME, sizeof(struct channel), CHANNEL_VERSION};
    tarn_call *c = opened("c", TARN_RECEIVE);
    struct tarn_request r;
    struct timespec t;
    tarn_ref ref;
    pid_t dead, p;
    (void)state;
    assert_int_equal(tarn_find(seg, "c", &type, &ref), 0);
    dead = sitting(1, false);
    *told = 0;
    p = fork_child();
    if (p == 0) {
        check(tarn_mutex_lock(seg, &((struct channel *)at_offset(seg, ref))->lock) == 0);
        *told = 1;
        for (;;)
            pause();
    }
    while (!*told)
        usleep(1000);
    kill(p, SIGSTOP);
    end_it(dead);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += 1;
    assert_int_equal(tarn_call_next_timed(c, &r, &t), -ETIMEDOUT);
    assert_int_equal(stat_channel("c").senders, 1); /* it could not be cleared */
    end_it(p);
    for (int i = 0; i < 1000 && stat_channel("c").senders; i++) {
        t = os_deadline(20);
        (void)tarn_call_next_timed(c, &r, &t);
    }
    assert_int_equal(stat_channel("c").senders, 0);
    assert_int_equal(tarn_call_close(c), 0);
}

/* ---- damage ---- */

static int count_damage(const struct tarn_damage *d, void *n)
{
    (void)d;
    ++*(int *)n;
    return 0;
}
static void damaged_shapes(void **state)
{
    static const struct tarn_type type = {CALL_TYPE_NAME, sizeof(struct channel), CHANNEL_VERSION};
    static const uint32_t values[] = {0, 3, 7, 64, 0x7fffffff, 0x80000000, UINT32_MAX};
    struct channel *c;
    struct channel_shape saved;
    struct tarn_channel_stat stat;
    tarn_call *call;
    tarn_ref ref;
    (void)state;
    assert_int_equal(tarn_call_close(opened("c", TARN_SEND)), 0);
    assert_int_equal(tarn_find(seg, "c", &type, &ref), 0);
    c = (void *)at_offset(seg, ref);
    saved = c->shape;
    for (size_t word = 0; word < sizeof saved / 4; word++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            int n = 0;
            bool same;
            memcpy((char *)&c->shape + 4 * word, &values[v], 4);
            same = !memcmp(&c->shape, &saved, sizeof saved) || (word > 4 && word < 8) ||
                   word >= 14 ||                                /* of other kinds; reserved */
                   (word == 1 && values[v] && values[v] <= 64); /* as many lines */
            (void)tarn_check(seg, count_damage, &n);
            if (!same) {
                assert_true(n > 0);
                assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &call), -EUCLEAN);
                assert_int_equal(tarn_channel_stat(seg, "c", &stat), -EUCLEAN);
                assert_int_equal(tarn_channel_parties(seg, "c", count, &n), -EUCLEAN);
                assert_true(tarn_unbind(seg, "c", 1) < 0);
            }
            c->shape = saved;
        }
    ((struct channel_seat *)at_offset(seg, saved.body))[1].id = UINT32_MAX;
    int n = 0;
    (void)tarn_check(seg, count_damage, &n);
    assert_true(n > 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &call), 0); /* which clears it */
    assert_int_equal(tarn_call_close(call), 0);
    assert_clean(seg);
}

/* ---- one descriptor ---- */

static bool readable(int fd, int ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, ms) == 1;
}
static void many_in_one(void **state)
{
    enum { MANY = 5 };
    tarn_call *client[MANY], *server[MANY];
    struct tarn_request r;
    tarn_poll *poll, *other;
    int fd, other_fd;
    (void)state;
    mutex_cap_off = true;
    tarn_poll_close(NULL);
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    for (int i = 0; i < MANY; i++) {
        char name[8] = {'c', (char)('0' + i)};
        client[i] = opened(name, TARN_SEND);
        server[i] = opened(name, TARN_RECEIVE);
        assert_int_equal(tarn_call_poll(server[i], poll), 0);
    }
    assert_false(readable(fd, 20));
    for (int i = 0; i < 20; i++) {
        void *at;
        uint64_t id;
        int found = 0;
        assert_int_equal(tarn_call_loan_try(client[i % MANY], 0, &at, &id), 0);
        assert_int_equal(tarn_call_begin(client[i % MANY], id, 0, 0), 0);
        assert_true(readable(fd, 20000));
        assert_int_equal(tarn_poll_clear(poll), 0);
        for (int k = 0; k < MANY; k++)
            if (tarn_call_next_try(server[k], &r) == 0) {
                found += 1 + (k != i % MANY);
                assert_int_equal(tarn_call_fail(server[k], r.id, -1), 0);
            }
        assert_int_equal(found, 1);
        assert_int_equal(tarn_call_end(client[i % MANY], id), 0);
    }
    assert_int_equal(tarn_close(seg), -EBUSY);
    /* closed handles are out of it, in any order; the descriptor goes first or last */
    assert_int_equal(tarn_call_close(server[2]), 0);
    assert_int_equal(tarn_poll_open(seg, &other, &other_fd), 0);
    assert_int_equal(tarn_call_poll(server[0], other), -EEXIST);
    assert_int_equal(tarn_call_poll(client[0], other), 0);
    tarn_poll_close(poll);
    assert_int_equal(tarn_call_poll(server[0], other), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(tarn_call_close(client[i]), 0);
        if (i != 2)
            assert_int_equal(tarn_call_close(server[i]), 0);
    }
    tarn_poll_close(other);
    assert_clean(seg);
}

static void more_than_a_descriptor_has(void **state)
{
    tarn_call *c[TARN_POLL_MOST + 1], *looks;
    tarn_poll *poll;
    tarn *elsewhere;
    int fd;
    (void)state;
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    for (unsigned i = 0; i <= TARN_POLL_MOST; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        c[i] = opened(name, TARN_RECEIVE);
        assert_int_equal(tarn_call_poll(c[i], poll), i < TARN_POLL_MOST ? 0 : -ENOSPC);
    }
    assert_int_equal(tarn_call_close(c[7]), 0);
    assert_int_equal(tarn_call_poll(c[TARN_POLL_MOST], poll), 0);
    assert_int_equal(tarn_call_open(seg, "c7", 0, NULL, &looks), 0);
    assert_int_equal(tarn_call_poll(looks, poll), -EBADF);
    assert_int_equal(tarn_call_close(looks), 0);
    tarn_poll_close(poll);
    assert_int_equal(tarn_open("anon:", TARN_CREATE, NULL, &elsewhere), 0);
    assert_int_equal(tarn_poll_open(elsewhere, &poll, &fd), 0);
    assert_int_equal(tarn_call_poll(c[0], poll), -EINVAL);
    tarn_poll_close(poll);
    assert_int_equal(tarn_close(elsewhere), 0);
    for (unsigned i = 0; i <= TARN_POLL_MOST; i++)
        if (i != 7)
            assert_int_equal(tarn_call_close(c[i]), 0);
}

/* ---- ... that tells of parties, too ---- */

static void come_and_die(void)
{
    pid_t child = fork_child();
    if (child == 0) {
        tarn_call *c;
        check(tarn_call_open(seg, "d", TARN_SEND, NULL, &c) == 0);
        kill(getpid(), SIGKILL);
    }
    assert_true(child > 0);
    while (waitpid(child, NULL, 0) < 0)
        ;
}
static void told_once(tarn_poll *poll, int fd)
{
    assert_true(readable(fd, 20000));
    assert_int_equal(tarn_poll_clear(poll), 0);
    assert_false(readable(fd, 20));
}
static void parties_in_it(void **state)
{
    tarn_call *one = opened("c", TARN_SEND), *two = opened("d", TARN_SEND), *other;
    struct tarn_channel_stat st;
    tarn_poll *poll;
    int fd;
    (void)state;
    mutex_cap_off = true;
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    assert_int_equal(tarn_call_poll(one, poll), 0);
    assert_int_equal(tarn_call_poll(two, poll), 0);
    other = opened("d", TARN_RECEIVE); /* nobody has asked for it */
    assert_false(readable(fd, 20));
    assert_int_equal(tarn_poll_parties(poll, 1), 0);
    assert_false(readable(fd, 20));
    assert_int_equal(tarn_call_close(other), 0);
    told_once(poll, fd);
    other = opened("d", TARN_RECEIVE);
    told_once(poll, fd);
    come_and_die();
    assert_true(readable(fd, 20000)); /* it came; that it died is told with it, or later */
    do {
        assert_int_equal(tarn_poll_clear(poll), 0);
        assert_int_equal(tarn_channel_stat(seg, "d", &st), 0);
    } while (st.deaths == 0 && readable(fd, 20000));
    assert_int_equal(st.deaths, 1);
    assert_int_equal(tarn_call_close(one), 0); /* another takes its place in the descriptor, with what was seen of it */
    assert_int_equal(tarn_poll_clear(poll), 0);
    assert_false(readable(fd, 20));
    assert_int_equal(tarn_call_close(other), 0);
    told_once(poll, fd);
    assert_int_equal(tarn_poll_parties(poll, 0), 0);
    other = opened("d", TARN_RECEIVE);
    assert_false(readable(fd, 20));
    assert_int_equal(tarn_call_close(other), 0);
    tarn_poll_close(poll);
    assert_int_equal(tarn_call_close(two), 0);
    assert_clean(seg);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(wrong_options),
        T(defaults_and_roundings),
        T(too_large_for_the_segment),
        T(of_another_type),
        T(read_only),
        T(no_seat),
        T(seats_of_the_dead),
        T(a_thread_ends_with_its_seat),
        T(watched),
        T(unbound_under_who_watches),
        T(a_stopped_one_has_the_lock),
        T(damaged_shapes),
        T(many_in_one),
        T(parties_in_it),
        T(more_than_a_descriptor_has),
    };
    told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED || cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}

/* test_mq.c - the message queue: each call's results, a random walk beside a model, laps with chunks in hand, deaths with messages in hand, hostile bytes. */
#include "helper.h"

#include <poll.h>
#include <sys/time.h>
#include <time.h>

#include "chance.h"
#include "channel/check.h"
#include "channel/mq.h"

static tarn *seg;

static int open_segment(void **state)
{
    (void)state;
    return tarn_open("memfd:mq", TARN_CREATE, NULL, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

static tarn_mq *made(const char *name, uint32_t capacity, uint32_t message, uint32_t levels, uint32_t flags,
                     unsigned role)
{
    struct tarn_channel_options o = {
        .size = sizeof o, .capacity = capacity, .message = message, .number = levels, .flags = flags, .parties = 6};
    tarn_mq *mq = NULL;
    assert_int_equal(tarn_mq_open(seg, name, TARN_CREATE | role, &o, &mq), 0);
    return mq;
}
static tarn_mq *opened(const char *name, unsigned role)
{
    tarn_mq *mq = NULL;
    assert_int_equal(tarn_mq_open(seg, name, role, NULL, &mq), 0);
    return mq;
}
static void assert_whole(tarn_mq *mq)
{
    const char *fault = channel_fault(&mq->party, true);
    if (fault)
        fail_msg("%s", fault);
}
static struct tarn_channel_stat stat_named(const char *name)
{
    struct tarn_channel_stat stat;
    assert_int_equal(tarn_channel_stat(seg, name, &stat), 0);
    return stat;
}
static struct timespec in_ms(long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* ---- each call ---- */

static void *by_another(void *mq)
{
    char c = 1;
    return (void *)(intptr_t)tarn_mq_send_try(mq, 0, &c, 1);
}

static void inherited(void *mq)
{
    char c = 1;
    check(tarn_mq_send_try(mq, 0, &c, 1) == -EPERM);
    check(tarn_mq_close(mq) == 0); /* its copy of the handle */
}
static void *leaves_it(void *unused)
{
    tarn_mq *mq;
    (void)unused;
    check(tarn_mq_open(seg, "each", TARN_SEND, NULL, &mq) == 0);
    return mq; /* and ends */
}

static void each_call(void **state)
{
    (void)state;
    tarn_mq *mq, *looks, *sender = made("each", 4, 24, 2, 0, TARN_SEND), *receiver = opened("each", TARN_RECEIVE);
    char text[64] = "";
    size_t size = 77;
    void *loan = NULL, *message = NULL;
    struct timespec past = {1, 0}, bad = {0, 1000000000}, soon;

    /* as it is asked for, and found */
    assert_int_equal(stat_named("each").capacity, 4);
    assert_int_equal(stat_named("each").message, 24);
    assert_string_equal(stat_named("each").kind, "mq");
    assert_int_equal(tarn_mq_open(seg, "none", TARN_SEND, NULL, &mq), -ENOENT);
    assert_int_equal(tarn_mq_open(seg, "each", 0x80000, NULL, &mq), -EINVAL);
    struct tarn_channel_options o = {.size = sizeof o, .number = 9};
    assert_int_equal(tarn_mq_open(seg, "none", TARN_CREATE | TARN_SEND, &o, &mq), -EINVAL);
    assert_says("priorities");
    o = (struct tarn_channel_options){.size = sizeof o, .flags = 6};
    assert_int_equal(tarn_mq_open(seg, "none", TARN_CREATE | TARN_SEND, &o, &mq), -EINVAL);
    o = (struct tarn_channel_options){.size = sizeof o, .message = 1u << 30};
    assert_int_equal(tarn_mq_open(seg, "none", TARN_CREATE | TARN_SEND, &o, &mq), -EINVAL);
    uint64_t *other;
    assert_int_equal(tarn_object(seg, "other", uint64_t, &other), 0);
    assert_int_equal(tarn_mq_open(seg, "other", TARN_SEND, NULL, &mq), -EPROTO);

    /* empty */
    assert_int_equal(tarn_mq_receive_try(receiver, text, sizeof text, &size), -EAGAIN);
    assert_says("empty");
    assert_int_equal(tarn_mq_take_try(receiver, &message, &size), -EAGAIN);
    assert_int_equal(tarn_mq_receive_timed(receiver, text, sizeof text, &size, &past), -ETIMEDOUT);
    assert_says("each");
    soon = in_ms(20);
    assert_int_equal(tarn_mq_take_timed(receiver, &message, &size, &soon), -ETIMEDOUT);
    assert_int_equal(tarn_mq_receive_timed(receiver, text, sizeof text, &size, &bad), -EINVAL);
    assert_int_equal(size, 77);

    /* bad messages */
    assert_int_equal(tarn_mq_send(sender, 0, text, 25), -EMSGSIZE);
    assert_says("24");
    assert_int_equal(tarn_mq_send(sender, 2, text, 1), -EINVAL);
    assert_says("priority 2");
    assert_int_equal(tarn_mq_send_timed(sender, 0, text, 1, &bad), -EINVAL);
    assert_int_equal(tarn_mq_loan(sender, 25, &loan), -EMSGSIZE);
    assert_int_equal(tarn_mq_send(receiver, 0, text, 1), -EBADF);
    assert_int_equal(tarn_mq_receive(sender, text, 1, &size), -EBADF);
    assert_int_equal(tarn_mq_loan(receiver, 1, &loan), -EBADF);
    assert_int_equal(tarn_mq_take(sender, &message, &size), -EBADF);

    /* who may */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mq_send_try(sender, 0, text, 1), -EPERM);
    assert_int_equal(tarn_mq_receive(receiver, text, 1, &size), -EPERM);
    assert_int_equal(tarn_abort(seg), 0);
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, by_another, sender), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, -EPERM);
    assert_int_equal(in_child(inherited, sender), 0);
    assert_int_equal(stat_named("each").senders, 1);
    assert_int_equal(pthread_create(&thread, NULL, leaves_it, NULL), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal(tarn_mq_close(result), 0);
    assert_int_equal(tarn_mq_close(opened("each", TARN_SEND)), 0); /* who comes clears its seat */
    assert_int_equal(stat_named("each").senders, 1);
    assert_int_equal(stat_named("each").deaths, 1);
    looks = opened("each", 0);
    assert_int_equal(tarn_mq_send(looks, 0, text, 1), -EBADF);
    assert_int_equal(tarn_mq_close(looks), 0);
    tarn *reader;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_mq_open(reader, "each", TARN_SEND, NULL, &mq), -EROFS);
    assert_int_equal(tarn_mq_open(reader, "each", 0, NULL, &looks), 0);
    assert_int_equal(tarn_mq_send(looks, 0, text, 1), -EROFS);
    assert_int_equal(tarn_mq_close(looks), 0);
    struct tarn_channel_stat stat;
    assert_int_equal(tarn_channel_stat(reader, "each", &stat), 0);
    assert_int_equal(tarn_close(reader), 0);

    /* sizes, and the order of priorities */
    assert_int_equal(tarn_mq_send(sender, 0, "low", 4), 0);
    assert_int_equal(tarn_mq_send(sender, 1, NULL, 0), 0);
    assert_int_equal(tarn_mq_send(sender, 1, "high, and 24 bytes long", 24), 0);
    assert_int_equal(stat_named("each").waiting, 3);
    assert_int_equal(tarn_mq_receive(receiver, text, sizeof text, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(tarn_mq_receive_try(receiver, text, 23, &size), -EMSGSIZE);
    assert_says("24 bytes");
    assert_int_equal(tarn_mq_receive_try(receiver, text, 24, &size), 0);
    assert_string_equal(text, "high, and 24 bytes long");
    assert_int_equal(tarn_mq_receive_try(receiver, text, 4, NULL), 0);
    assert_string_equal(text, "low");
    assert_int_equal(stat_named("each").waiting, 0);
    assert_int_equal(stat_named("each").sent, 3);
    assert_int_equal(stat_named("each").received, 3);

    /* full: of each priority */
    for (int i = 0; i < 4; i++)
        assert_int_equal(tarn_mq_send_try(sender, 0, &i, sizeof i), 0);
    assert_int_equal(tarn_mq_send_try(sender, 0, text, 1), -EAGAIN);
    assert_says("full");
    assert_int_equal(tarn_mq_send_timed(sender, 0, text, 1, &past), -ETIMEDOUT);
    soon = in_ms(20);
    assert_int_equal(tarn_mq_send_timed(sender, 0, text, 1, &soon), -ETIMEDOUT);
    assert_int_equal(tarn_mq_send_try(sender, 1, "up", 3), 0);
    assert_int_equal(tarn_mq_receive_try(receiver, text, sizeof text, &size), 0);
    assert_string_equal(text, "up");
    for (int i = 0; i < 4; i++) {
        int k = -1;
        assert_int_equal(tarn_mq_receive_try(receiver, &k, sizeof k, &size), 0);
        assert_int_equal(k, i);
    }

    /* in place */
    assert_int_equal(tarn_mq_loan(sender, 8, &loan), 0);
    assert_int_equal((uintptr_t)loan % 16, 0);
    assert_int_equal(tarn_mq_send_loan(sender, 0, (char *)loan + 1, 8), -EINVAL);
    assert_int_equal(tarn_mq_send_loan(sender, 0, loan, 25), -EMSGSIZE);
    assert_int_equal(tarn_mq_close(sender), -EBUSY);
    strcpy(loan, "in place");
    assert_int_equal(tarn_mq_send_loan(sender, 0, loan, 9), 0);
    assert_int_equal(tarn_mq_send_loan(sender, 0, loan, 9), -EINVAL);
    assert_int_equal(tarn_mq_take(receiver, &message, &size), 0);
    assert_int_equal(size, 9);
    assert_string_equal(message, "in place");
    unsigned priority = 77;
    assert_int_equal(tarn_mq_priority(receiver, (char *)message + 8, &priority), -EINVAL);
    assert_int_equal(tarn_mq_priority(sender, message, &priority), -EBADF);
    assert_int_equal(priority, 77);
    assert_int_equal(tarn_mq_priority(receiver, message, &priority), 0);
    assert_int_equal(priority, 0);
    void *high;
    assert_int_equal(tarn_mq_send(sender, 1, "up", 3), 0);
    assert_int_equal(tarn_mq_take(receiver, &high, NULL), 0);
    assert_int_equal(tarn_mq_priority(receiver, high, &priority), 0);
    assert_int_equal(priority, 1);
    assert_int_equal(tarn_mq_release(receiver, high), 0);
    assert_int_equal(tarn_mq_priority(receiver, high, &priority), -EINVAL);
    assert_says("has taken");
    assert_int_equal(tarn_mq_priority(receiver, message, &priority), 0);
    assert_int_equal(priority, 0);
    assert_int_equal(tarn_mq_close(receiver), -EBUSY);
    assert_says("1 loans");
    assert_int_equal(tarn_mq_release(sender, message), -EINVAL);
    assert_int_equal(tarn_mq_release(receiver, (char *)message + 8), -EINVAL);
    assert_int_equal(tarn_mq_release(receiver, message), 0);
    assert_int_equal(tarn_mq_release(receiver, message), -EINVAL);
    assert_int_equal(tarn_mq_release(receiver, NULL), -EINVAL);
    assert_int_equal(tarn_mq_loan(sender, 8, &loan), 0);
    assert_int_equal(tarn_mq_release(sender, loan), 0); /* not to be sent */
    assert_int_equal(tarn_mq_receive_try(receiver, text, sizeof text, &size), -EAGAIN);

    /* in hand at most */
    void *loans[TARN_MQ_IN_HAND], *one;
    for (unsigned i = 0; i < TARN_MQ_IN_HAND; i++)
        assert_int_equal(tarn_mq_loan(sender, 1, &loans[i]), 0);
    assert_int_equal(tarn_mq_loan(sender, 1, &one), -ENOBUFS);
    assert_whole(sender);
    for (unsigned i = TARN_MQ_IN_HAND; i--;)
        assert_int_equal(tarn_mq_release(sender, loans[i]), 0);
    assert_int_equal(tarn_mq_close(NULL), 0);
    assert_whole(sender);

    /* more parties than fit */
    tarn_mq *more[4];
    for (int i = 0; i < 4; i++)
        more[i] = opened("each", TARN_SEND | TARN_RECEIVE);
    assert_int_equal(tarn_mq_open(seg, "each", TARN_SEND, NULL, &mq), -EUSERS);
    assert_says("6 parties");
    for (int i = 0; i < 4; i++)
        assert_int_equal(tarn_mq_close(more[i]), 0);
    assert_int_equal(tarn_unbind(seg, "each", 1), -EBUSY);
    assert_int_equal(tarn_mq_close(sender), 0);
    assert_int_equal(tarn_mq_close(receiver), 0);
    assert_int_equal(tarn_unbind(seg, "each", 1), 0);
}

/* ---- who is there, and a descriptor ---- */

struct seen {
    int count;
    struct tarn_party party[4];
};
static int note_party(const struct tarn_party *p, void *arg)
{
    struct seen *seen = arg;
    assert_true(seen->count < 4);
    seen->party[seen->count++] = *p;
    return 0;
}

static void parties_and_poll(void **state)
{
    (void)state;
    tarn_mq *sender = made("poll", 4, 8, 2, 0, TARN_SEND), *receiver = opened("poll", TARN_RECEIVE);
    tarn_poll *watched;
    struct seen seen = {0};
    uint64_t n = 5;
    int fd;
    assert_int_equal(tarn_mq_send(sender, 0, &n, 8), 0);
    assert_int_equal(tarn_mq_send(sender, 1, &n, 8), 0);
    assert_int_equal(tarn_channel_parties(seg, "poll", note_party, &seen), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.party[0].role, TARN_SEND);
    assert_int_equal(seen.party[0].messages, 2);
    assert_int_equal(seen.party[0].behind, 0);
    assert_int_equal(seen.party[0].alive, 1);
    assert_int_equal(seen.party[0].tid, gettid());
    assert_int_equal(seen.party[1].role, TARN_RECEIVE);
    assert_int_equal(seen.party[1].messages, 0);
    assert_int_equal(seen.party[1].behind, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tarn_mq_receive(receiver, &n, 8, NULL), 0);

    assert_int_equal(tarn_poll_open(seg, &watched, &fd), 0);
    assert_int_equal(tarn_mq_poll(receiver, watched), 0);
    assert_int_equal(tarn_mq_poll(receiver, watched), -EEXIST);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20), 0);
    assert_int_equal(tarn_mq_send(sender, 1, &n, 8), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(tarn_mq_receive_try(receiver, &n, 8, NULL), 0);
    assert_int_equal(tarn_poll_clear(watched), 0);
    assert_int_equal(poll(&p, 1, 20), 0);
    assert_int_equal(tarn_mq_close(receiver), 0);

    /* and when there is room, of the priority that was refused */
    for (int i = 0; i < 4; i++)
        assert_int_equal(tarn_mq_send_try(sender, 1, &n, 8), 0);
    assert_int_equal(tarn_mq_send_try(sender, 1, &n, 8), -EAGAIN);
    assert_int_equal(tarn_mq_poll(sender, watched), 0);
    assert_int_equal(poll(&p, 1, 20), 0);
    receiver = opened("poll", TARN_RECEIVE);
    assert_int_equal(tarn_mq_receive_try(receiver, &n, 8, NULL), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(tarn_mq_send_try(sender, 1, &n, 8), 0);
    tarn_poll_close(watched);
    assert_int_equal(tarn_mq_close(receiver), 0);
    assert_int_equal(tarn_mq_close(sender), 0);
    assert_int_equal(tarn_unbind(seg, "poll", 1), 0);
}

/* ---- beside a model ---- */

enum { LEVELS = 3, MOST = 8, HANDLES = 4 };

struct model {
    uint32_t queue[LEVELS][MOST];
    int count[LEVELS];
};

/* Of a size that follows from the number, filled with it. */
static size_t write_message(char *to, uint32_t number, size_t most)
{
    size_t size = 4 + number % (most - 3);
    memcpy(to, &number, 4);
    for (size_t i = 4; i < size; i++)
        to[i] = (char)(number + i);
    return size;
}
static uint32_t read_message(const char *from, size_t size, size_t most)
{
    uint32_t number;
    char should[4096];
    memcpy(&number, from, 4);
    assert_int_equal(size, write_message(should, number, most));
    assert_memory_equal(from, should, size);
    return number;
}

static void pop_model(struct model *m, uint32_t number)
{
    for (int level = LEVELS; level--;)
        if (m->count[level]) {
            assert_int_equal(m->queue[level][0], number);
            memmove(&m->queue[level][0], &m->queue[level][1], sizeof(uint32_t) * (MOST - 1));
            m->count[level]--;
            return;
        }
    fail_msg("a message came, and none was there");
}

static void walk(size_t most)
{
    struct model m = {0};
    tarn_mq *mq[HANDLES] = {made("walk", MOST, (uint32_t)most, LEVELS, 0, TARN_SEND | TARN_RECEIVE)};
    void *loan[HANDLES][TARN_MQ_IN_HAND] = {0}, *taken[HANDLES][TARN_MQ_IN_HAND] = {0};
    char body[4096];
    uint32_t number = 0;
    for (int i = 1; i < HANDLES; i++)
        mq[i] = opened("walk", TARN_SEND | TARN_RECEIVE);
    for (int step = 0; step < 60000; step++) {
        unsigned h = chance(HANDLES), level = chance(LEVELS), k = chance(3);
        size_t size;
        int e;
        switch (chance(6)) {
        case 0:
            size = write_message(body, number + 1, most);
            e = tarn_mq_send_try(mq[h], level, body, size);
            if (m.count[level] == MOST) {
                assert_int_equal(e, -EAGAIN);
                break;
            }
            assert_int_equal(e, 0);
            m.queue[level][m.count[level]++] = ++number;
            break;
        case 1:
            if (loan[h][k])
                break;
            assert_int_equal(tarn_mq_loan_try(mq[h], most, &loan[h][k]), 0);
            memset(loan[h][k], 0x5a, most);
            break;
        case 2:
            if (!loan[h][k])
                break;
            if (chance(8) == 0) {
                assert_int_equal(tarn_mq_release(mq[h], loan[h][k]), 0);
                loan[h][k] = NULL;
                break;
            }
            size = write_message(loan[h][k], number + 1, most);
            e = tarn_mq_send_loan_try(mq[h], level, loan[h][k], size);
            assert_int_equal(e, m.count[level] == MOST ? -EAGAIN : 0);
            if (e == 0) {
                m.queue[level][m.count[level]++] = ++number;
                loan[h][k] = NULL;
            }
            break;
        case 3:
            e = tarn_mq_receive_try(mq[h], body, sizeof body, &size);
            if (e == 0)
                pop_model(&m, read_message(body, size, most));
            else {
                assert_int_equal(e, -EAGAIN);
                assert_int_equal(m.count[0] + m.count[1] + m.count[2], 0);
            }
            break;
        case 4:
            if (taken[h][k])
                break;
            e = tarn_mq_take_try(mq[h], &taken[h][k], &size);
            if (e == 0)
                pop_model(&m, read_message(taken[h][k], size, most));
            else
                assert_int_equal(m.count[0] + m.count[1] + m.count[2], 0);
            break;
        default:
            if (!taken[h][k])
                break;
            assert_int_equal(tarn_mq_release(mq[h], taken[h][k]), 0);
            taken[h][k] = NULL;
        }
        if (step % 64 == 0) {
            assert_whole(mq[0]);
            assert_int_equal(stat_named("walk").waiting, m.count[0] + m.count[1] + m.count[2]);
            assert_int_equal(stat_named("walk").sent, number);
        }
    }
    for (int h = 0; h < HANDLES; h++) {
        for (int k = 0; k < 3; k++) {
            if (loan[h][k])
                assert_int_equal(tarn_mq_release(mq[h], loan[h][k]), 0);
            if (taken[h][k])
                assert_int_equal(tarn_mq_release(mq[h], taken[h][k]), 0);
        }
        assert_int_equal(tarn_mq_close(mq[h]), 0);
    }
    tarn_mq *looks = opened("walk", 0);
    assert_whole(looks);
    for (uint32_t i = 0; i < looks->q.count; i++) /* nobody is there, so nothing is anybody's */
        assert_true(MQ_WHAT(*mq_word_at(&looks->q, i)) != MQ_OWNED &&
                    MQ_WHAT(*mq_word_at(&looks->q, i)) != MQ_TAKEN);
    assert_int_equal(tarn_mq_close(looks), 0);
    assert_int_equal(tarn_unbind(seg, "walk", 1), 0);
}
static void walks(void **state)
{
    (void)state;
    walk(8);
    walk(64);
    walk(500);
}

/* Who keeps a message or a loan holds up nobody, for however many laps. */
static void slow_ones(void **state)
{
    (void)state;
    tarn_mq *mq = made("slow", 4, 8, 1, 0, TARN_SEND | TARN_RECEIVE),
            *slow = opened("slow", TARN_SEND | TARN_RECEIVE);
    void *loan, *message;
    uint64_t n;
    size_t size;
    assert_int_equal(tarn_mq_loan(slow, 8, &loan), 0);
    n = 4711;
    assert_int_equal(tarn_mq_send(mq, 0, &n, 8), 0);
    assert_int_equal(tarn_mq_take(slow, &message, &size), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        for (uint64_t k = 0; k < 4; k++) {
            n = i * 4 + k;
            assert_int_equal(tarn_mq_send_try(mq, 0, &n, 8), 0);
        }
        assert_int_equal(tarn_mq_send_try(mq, 0, &n, 8), -EAGAIN);
        for (uint64_t k = 0; k < 4; k++) {
            assert_int_equal(tarn_mq_receive_try(mq, &n, 8, &size), 0);
            assert_int_equal(n, i * 4 + k);
        }
    }
    assert_int_equal(*(uint64_t *)message, 4711);
    assert_int_equal(tarn_mq_release(slow, message), 0);
    assert_int_equal(tarn_mq_release(slow, loan), 0);
    assert_whole(mq);
    assert_int_equal(tarn_mq_close(slow), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "slow", 1), 0);
}

/* A handle that was idle for many laps finds its place; and one that comes new. */
static void late_ones(void **state)
{
    (void)state;
    tarn_mq *mq = made("late", 4, 8, 1, 0, TARN_SEND | TARN_RECEIVE),
            *late = opened("late", TARN_SEND | TARN_RECEIVE);
    uint64_t n, sent = 0, got = 0;
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 7; k++) {
            assert_int_equal(tarn_mq_send_try(mq, 0, &sent, 8), 0);
            sent++;
            assert_int_equal(tarn_mq_receive_try(mq, &n, 8, NULL), 0);
            assert_int_equal(n, got++);
        }
        tarn_mq *other = i & 1 ? late : opened("late", TARN_SEND | TARN_RECEIVE);
        if (i % 5)
            store64(&mq->q.shared->head[0], 4), store64(&mq->q.shared->tail[0], 4); /* hints that are long behind */
        assert_int_equal(tarn_mq_send_try(other, 0, &sent, 8), 0);
        sent++;
        assert_int_equal(tarn_mq_receive_try(other, &n, 8, NULL), 0);
        assert_int_equal(n, got++);
        if (other != late)
            assert_int_equal(tarn_mq_close(other), 0);
        assert_int_equal(stat_named("late").sent, sent);
    }
    assert_int_equal(tarn_mq_close(late), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "late", 1), 0);
}

/* What is told of how far all are, now and then: who comes later begins to look there. */
static void hints(void **state)
{
    tarn_mq *mq = made("hints", 64, 8, 1, 0, TARN_SEND | TARN_RECEIVE);
    const uint64_t begin = load64(&mq->q.shared->tail[0]);
    uint64_t body = 1;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(tarn_mq_send_try(mq, 0, &body, 8), 0);
        assert_int_equal(tarn_mq_receive_try(mq, &body, 8, NULL), 0);
        assert_in_range(load64(&mq->q.shared->tail[0]), begin + (uint64_t)(i < 16 ? 0 : i - 16),
                        begin + (uint64_t)i + 1);
        assert_in_range(load64(&mq->q.shared->head[0]), begin + (uint64_t)(i < 16 ? 0 : i - 16),
                        begin + (uint64_t)i + 1);
    }
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "hints", 1), 0);
}

/* ---- two handles of one thread ---- */

/* Who closes one gives nothing back of the other, though they have one identity: here a chunk that the first got with its last message, and let go, is the other's loan. */
static void two_handles(void **state)
{
    tarn_mq *first = made("two", 1, 8, 1, 0, TARN_SEND | TARN_RECEIVE), *second = opened("two", TARN_SEND), *third;
    uint64_t body = 0;
    uint32_t chunk;
    void *loan, *its, *thirds;
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(tarn_mq_send_try(first, 0, &i, 8), 0);
        assert_int_equal(tarn_mq_receive_try(first, &body, 8, NULL), 0);
    }
    assert_int_not_equal(first->spare, 0);
    chunk = first->spare - 1;
    assert_int_equal(tarn_mq_loan_try(first, 8, &loan), 0);
    assert_int_equal(tarn_mq_release(first, loan), 0);
    second->cursor = chunk;
    assert_int_equal(tarn_mq_loan_try(second, 8, &its), 0);
    assert_ptr_equal(its, loan);
    assert_int_equal(tarn_mq_close(first), 0);
    assert_whole(second);
    third = opened("two", TARN_SEND);
    third->cursor = chunk;
    assert_int_equal(tarn_mq_loan_try(third, 8, &thirds), 0);
    assert_ptr_not_equal(thirds, its);
    assert_int_equal(tarn_mq_release(third, thirds), 0);
    assert_int_equal(tarn_mq_send_loan_try(second, 0, its, 8), 0);
    assert_int_equal(tarn_mq_close(third), 0);
    assert_int_equal(tarn_mq_close(second), 0);
    assert_int_equal(tarn_unbind(seg, "two", 1), 0);
}

/* ---- deaths ---- */

struct dying {
    uint32_t flags;
    int takes, loans;
};

static void takes_and_dies(void *arg)
{
    struct dying *d = arg;
    tarn_mq *mq;
    void *message;
    size_t size;
    check(tarn_mq_open(seg, "deaths", TARN_SEND | TARN_RECEIVE, NULL, &mq) == 0);
    for (int i = 0; i < d->takes; i++)
        check(tarn_mq_take(mq, &message, &size) >= 0);
    for (int i = 0; i < d->loans; i++)
        check(tarn_mq_loan(mq, 8, &message) == 0);
    kill(getpid(), SIGKILL);
}

static void with_in_hand(uint32_t flags)
{
    struct dying d = {flags, 3, 2};
    tarn_mq *mq = made("deaths", 4, 8, 2, flags, TARN_SEND | TARN_RECEIVE), *other;
    uint64_t n = 0;
    struct timespec soon;
    for (int round = 0; round < 20; round++) {
        for (n = 0; n < 4; n++)
            assert_int_equal(tarn_mq_send(mq, n & 1, &n, 8), 0);           /* 0, 2 low; 1, 3 high */
        assert_int_equal(WTERMSIG(in_child(takes_and_dies, &d)), SIGKILL); /* with 1, 3, 0 */
        if (!(flags & TARN_MQ_AT_MOST_ONCE)) {
            static const uint64_t should[] = {1, 3, 0};
            for (int i = 0; i < 3; i++) {
                n = 9;
                other = i == 1 ? opened("deaths", TARN_RECEIVE) : mq; /* who joins clears too */
                soon = in_ms(5000);
                /* what is there and was not in a dead hand comes without a wait, before the dead one is noticed; so notice him */
                if (i == 0) {
                    uint32_t seen = stat_named("deaths").changes - (stat_named("deaths").changes ? 1 : 0);
                    while (stat_named("deaths").deaths < (uint32_t)round + 1) {
                        seen = stat_named("deaths").changes;
                        assert_int_equal(tarn_channel_watch(seg, "deaths", &seen, &soon), 0);
                    }
                }
                assert_int_equal(tarn_mq_receive_timed(other, &n, 8, NULL, &soon), TARN_RECOVERED);
                assert_int_equal(n, should[i]);
                if (other != mq)
                    assert_int_equal(tarn_mq_close(other), 0);
            }
        }
        soon = in_ms(5000);
        assert_int_equal(tarn_mq_receive_timed(mq, &n, 8, NULL, &soon), 0);
        assert_int_equal(n, 2);
        soon = in_ms(30);
        assert_int_equal(tarn_mq_receive_timed(mq, &n, 8, NULL, &soon), -ETIMEDOUT); /* it clears, at the latest */
        assert_whole(mq);
    }
    assert_int_equal(stat_named("deaths").deaths, 20);
    assert_int_equal(stat_named("deaths").lost, flags & TARN_MQ_AT_MOST_ONCE ? 60 : 0);
    assert_int_equal(stat_named("deaths").again, flags & TARN_MQ_AT_MOST_ONCE ? 0 : 60);
    for (uint32_t i = 0; i < mq->q.count; i++) /* none was left in a dead hand */
        assert_true(MQ_WHAT(*mq_word_at(&mq->q, i)) != MQ_TAKEN &&
                    (MQ_WHAT(*mq_word_at(&mq->q, i)) != MQ_OWNED || i + 1 == mq->spare));
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "deaths", 1), 0);
}
static void deaths(void **state)
{
    (void)state;
    with_in_hand(0);
    with_in_hand(TARN_MQ_AT_MOST_ONCE);
}

/* ---- the dead left so much that no chunk is loose ---- */

static void takes_seven_and_dies(void *unused)
{
    struct dying d = {0, TARN_MQ_IN_HAND, 0};
    (void)unused;
    takes_and_dies(&d);
}
static void waits_for_a_chunk(void *level)
{
    tarn_mq *mq;
    uint64_t n = 77;
    check(tarn_mq_open(seg, "deaths", TARN_SEND, NULL, &mq) == 0);
    check(tarn_mq_send(mq, *(unsigned *)level, &n, 8) == 0);
    check(tarn_mq_close(mq) == 0);
}
static void no_chunk(void **state)
{
    (void)state;
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .message = 8, .number = 8, .parties = 2};
    tarn_mq *mq;
    void *loan;
    uint64_t n, sent = 0, got = 0, again = 0;
    int e = 0, status;
    unsigned level = 0;
    assert_int_equal(tarn_mq_open(seg, "deaths", TARN_CREATE | TARN_SEND | TARN_RECEIVE, &o, &mq), 0);
    for (unsigned i = 0; i < 8; i++) { /* what is of a higher priority comes before what the dead left */
        for (n = 0; n < TARN_MQ_IN_HAND; n++, sent++)
            assert_int_equal(tarn_mq_send_try(mq, i, &n, 8), 0);
        assert_int_equal(WTERMSIG(in_child(takes_seven_and_dies, NULL)), SIGKILL);
    }
    assert_true(channel_clear_dead(&mq->party) <= 1);
    assert_int_equal(stat_named("deaths").again, 8 * TARN_MQ_IN_HAND);
    for (uint64_t i = 0; (e = tarn_mq_send_try(mq, level, &n, 8)) == 0; i++, sent++)
        level = (unsigned)(i + 1) / 8 % 8;
    assert_int_equal(e, -EAGAIN);
    assert_true(sent < 8 * TARN_MQ_IN_HAND + 8 * 8); /* there are places */
    assert_int_equal(tarn_mq_loan_try(mq, 8, &loan), -EAGAIN);
    assert_says("chunks");
    assert_whole(mq);
    struct timespec soon = in_ms(20);
    assert_int_equal(tarn_mq_loan_timed(mq, 8, &loan, &soon), -ETIMEDOUT);
    mutex_cap_off = true; /* a wake-up that is lost is a hang */
    for (int i = 0; i < 5; i++) {
        pid_t child = fork_child();
        level = 7;
        if (child == 0) {
            alarm(20);
            waits_for_a_chunk(&level);
            _exit(0);
        }
        usleep(20000);
        assert_int_equal(tarn_mq_receive_try(mq, &n, 8, NULL), TARN_RECOVERED);
        again++;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        sent++;
    }
    mutex_cap_off = false;
    unsigned of_level[8] = {[7] = (unsigned)again}, last = 7;
    while ((e = tarn_mq_take_try(mq, &loan, NULL)) >= 0) {
        unsigned priority = 77;
        assert_int_equal(tarn_mq_priority(mq, loan, &priority), 0);
        assert_true(priority <= last);
        last = priority;
        of_level[last] += (unsigned)e; /* TARN_RECOVERED is 1 */
        e ? again++ : got++;
        assert_int_equal(tarn_mq_release(mq, loan), 0);
    }
    assert_int_equal(again, 8 * TARN_MQ_IN_HAND);
    assert_int_equal(got + again, sent);
    for (int i = 0; i < 8; i++)
        assert_int_equal(of_level[i], TARN_MQ_IN_HAND);
    assert_whole(mq);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "deaths", 1), 0);
}

/* Nobody sleeps: who receives all the time, or looks all the time, notices it; and a descriptor does. */
static void noticed(void **state)
{
    (void)state;
    struct dying d = {0, 1, 0};
    tarn_mq *mq = made("deaths", 4, 8, 1, 0, TARN_SEND | TARN_RECEIVE);
    tarn_poll *watched;
    uint64_t n = 7, got = 0;
    int e, fd;
    /* looks */
    assert_int_equal(tarn_mq_send(mq, 0, &n, 8), 0);
    assert_int_equal(WTERMSIG(in_child(takes_and_dies, &d)), SIGKILL);
    while ((e = tarn_mq_receive_try(mq, &got, 8, NULL)) == -EAGAIN)
        usleep(100); /* the alarm ends it */
    assert_int_equal(e, TARN_RECOVERED);
    assert_int_equal(got, 7);
    /* receives */
    assert_int_equal(tarn_mq_send(mq, 0, &n, 8), 0);
    assert_int_equal(WTERMSIG(in_child(takes_and_dies, &d)), SIGKILL);
    do {
        n++;
        assert_int_equal(tarn_mq_send(mq, 0, &n, 8), 0);
        assert_true((e = tarn_mq_receive(mq, &got, 8, NULL)) >= 0);
    } while (e == 0);
    assert_int_equal(got, 7);
    assert_int_equal(tarn_mq_receive_try(mq, &got, 8, NULL), 0); /* the last one */
    /* is told by a descriptor */
    assert_int_equal(tarn_poll_open(seg, &watched, &fd), 0);
    assert_int_equal(tarn_mq_poll(mq, watched), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(tarn_mq_send(mq, 0, &n, 8), 0);
    assert_int_equal(WTERMSIG(in_child(takes_and_dies, &d)), SIGKILL);
    assert_int_equal(tarn_poll_clear(watched), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    struct tarn_channel_stat stat = stat_named("deaths");
    assert_int_equal(stat.waiting, 1);
    assert_int_equal(stat.deaths, 3);
    assert_int_equal(tarn_mq_receive_try(mq, &got, 8, NULL), TARN_RECOVERED);
    tarn_poll_close(watched);
    assert_whole(mq);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "deaths", 1), 0);
}

/* The peer's fault: kill an idle consumer, restart it, and the next senders go on. */
static void waits_and_dies(void *arg)
{
    tarn_mq *mq;
    uint64_t n;
    (void)arg;
    check(tarn_mq_open(seg, "idle", TARN_RECEIVE, NULL, &mq) == 0);
    alarm(0);
    struct itimerval soon = {.it_value = {0, 20000}};
    signal(SIGALRM, SIG_DFL);
    setitimer(ITIMER_REAL, &soon, NULL); /* ends it, asleep */
    tarn_mq_receive(mq, &n, 8, NULL);
    _exit(1);
}
static void idle_consumer(void **state)
{
    (void)state;
    tarn_mq *mq = made("idle", 4, 8, 1, 0, TARN_SEND | TARN_RECEIVE);
    uint64_t n;
    for (int round = 0; round < 10; round++) {
        assert_int_equal(WTERMSIG(in_child(waits_and_dies, NULL)), SIGALRM);
        for (uint64_t i = 0; i < 4; i++)
            assert_int_equal(tarn_mq_send_try(mq, 0, &i, 8), 0);
        for (uint64_t i = 0; i < 4; i++) {
            assert_int_equal(tarn_mq_receive_try(mq, &n, 8, NULL), 0);
            assert_int_equal(n, i);
        }
    }
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "idle", 1), 0);
}

/* ---- two that wait for each other ---- */

static void *echoes(void *unused)
{
    tarn_mq *in, *out;
    uint64_t n = 0;
    size_t size;
    (void)unused;
    check(tarn_mq_open(seg, "there", TARN_RECEIVE, NULL, &in) == 0 &&
          tarn_mq_open(seg, "back", TARN_SEND, NULL, &out) == 0);
    while (n != UINT64_MAX) {
        check(tarn_mq_receive(in, &n, 8, &size) == 0 && size == 8);
        check(tarn_mq_send(out, 0, &n, 8) == 0);
    }
    check(tarn_mq_close(in) == 0 && tarn_mq_close(out) == 0);
    return NULL;
}
static void to_and_fro(void **state)
{
    (void)state;
    tarn_mq *out = made("there", 1, 8, 1, 0, TARN_SEND), *in = made("back", 1, 8, 1, 0, TARN_RECEIVE);
    pthread_t thread;
    uint64_t n;
    assert_int_equal(pthread_create(&thread, NULL, echoes, NULL), 0);
    for (uint64_t i = 0; i <= 2000; i++) {
        uint64_t v = i == 2000 ? UINT64_MAX : i;
        assert_int_equal(tarn_mq_send(out, 0, &v, 8), 0);
        if (i % 100 == 0)
            usleep(200); /* past the looks: it sleeps */
        assert_int_equal(tarn_mq_receive(in, &n, 8, NULL), 0);
        assert_int_equal(n, v);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(tarn_mq_close(out), 0);
    assert_int_equal(tarn_mq_close(in), 0);
    assert_int_equal(tarn_unbind(seg, "there", 1), 0);
    assert_int_equal(tarn_unbind(seg, "back", 1), 0);
}

/* ---- not sent ---- */

static void lets_go_and_dies(void *other)
{
    tarn_mq *mq = opened("full", TARN_SEND);
    void *loan;
    check(tarn_mq_loan_try(mq, 8, &loan) == 0);
    check(tarn_mq_send_loan_try(mq, 0, loan, 8) == -EAGAIN);
    check(tarn_mq_release(mq, loan) == 0);
    if (other)
        check(tarn_mq_close(mq) == 0);
    else
        raise(SIGKILL);
}
/* A loan that found no room, and was let go, is loose, however its party ends: also where it never sent anything, so that the seat has no stamp. */
static void unsent(void **state)
{
    (void)state;
    tarn_mq *mq = made("full", 2, 8, 1, 0, TARN_SEND | TARN_RECEIVE);
    uint32_t loose = 0, now = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(tarn_mq_send_try(mq, 0, "x", 1), 0);
    for (uint32_t i = 0; i < mq->q.count; i++)
        loose += *mq_word_at(&mq->q, i) == MQ_LOOSE;
    for (int i = 0; i < 6; i++) {
        if (i % 2)
            assert_true(WIFSIGNALED(in_child(lets_go_and_dies, NULL)));
        else
            assert_int_equal(in_child(lets_go_and_dies, mq), 0);
        assert_int_equal(channel_clear_dead(&mq->party), i % 2);
        assert_whole(mq);
    }
    for (uint32_t i = 0; i < mq->q.count; i++)
        now += *mq_word_at(&mq->q, i) == MQ_LOOSE;
    assert_int_equal(now, loose);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "full", 1), 0);
}

/* ---- hostile bytes ---- */

static void hostile(void *unused)
{
    char body[200];
    size_t size;
    void *message;
    (void)unused;
    for (int round = 0; round < 3000; round++) {
        tarn_mq *mq;
        struct timespec soon = in_ms(0);
        char name[16];
        snprintf(name, sizeof name, "bad%d", round);
        struct tarn_channel_options o = {
            .size = sizeof o, .capacity = 8, .message = round % 2 ? 8 : 100, .number = 1 + round % 3, .parties = 2};
        check(tarn_mq_open(seg, name, TARN_CREATE | TARN_SEND | TARN_RECEIVE, &o, &mq) == 0);
        for (int i = 0; i < 5; i++)
            check(tarn_mq_send_try(mq, 0, body, 8) == 0);
        check(tarn_mq_take(mq, &message, &size) == 0);
        for (uint32_t n = 1 + chance(40); n--;) {
            uint64_t *at = chance(4) == 0 ? mq->party.channel->own : mq->q.entries,
                     most = at == mq->party.channel->own ? 24 : mq_entries_bytes(&mq->party.shape) / 8;
            if (chance(4) == 0)
                at = (uint64_t *)(void *)mq->q.chunks, most = mq->q.count * mq->q.stride / 8;
            if (chance(8) == 0)
                at = mq->party.seat->own, most = 11;
            uint64_t v = chance_word();
            at[chance((uint32_t)most)] = chance(3) ? v : v % 64;
        }
        for (int i = 0; i < 12; i++) {
            int e = tarn_mq_send_try(mq, 0, body, mq->q.most);
            check(e == 0 || e == -EAGAIN || e == -EUCLEAN);
            e = tarn_mq_receive_try(mq, body, sizeof body, &size);
            check((e >= 0 && size <= mq->q.most) || e == -EAGAIN || e == -EUCLEAN);
            if ((e = tarn_mq_take_timed(mq, &message, &size, &soon)) >= 0) {
                check(size <= mq->q.most);
                memset(message, 1, size);
                check(tarn_mq_release(mq, message) == 0);
            }
            check(e >= 0 || e == -ETIMEDOUT || e == -EUCLEAN || e == -ENOBUFS);
        }
        struct tarn_channel_stat stat;
        check(tarn_channel_stat(seg, name, &stat) == 0);
        struct tarn_channel_sizes sizes = {.at = {chance(40), chance(40)}};
        check(tarn_channel_sizes(seg, name, &sizes) == 0 && sizes.messages <= 3 * 8 &&
              sizes.bytes <= sizes.messages * mq->q.most);
        channel_close(&mq->party); /* whatever is in hand */
        check(tarn_unbind(seg, name, 1) == 0);
    }
}
static void hostile_bytes(void **state)
{
    (void)state;
    assert_int_equal(in_child(hostile, NULL), 0);
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call),     cmocka_unit_test(parties_and_poll),
        cmocka_unit_test(walks),         cmocka_unit_test(slow_ones),
        cmocka_unit_test(late_ones),     cmocka_unit_test(deaths),
        cmocka_unit_test(noticed),       cmocka_unit_test(no_chunk),
        cmocka_unit_test(idle_consumer), cmocka_unit_test(two_handles),
        cmocka_unit_test(hints),         cmocka_unit_test(to_and_fro),
        cmocka_unit_test(unsent),        cmocka_unit_test(hostile_bytes),
    };
    alarm(50);
    return cmocka_run_group_tests(tests, open_segment, close_segment);
}

/* channel_calls.h - for tests that stand beside a call: a channel of each kind, in its own state, and each call of it, as a function without arguments; and the doorbell that
 * somebody, of whom there is only the mark, sleeps at. */
#ifndef TARN_TEST_CHANNEL_CALLS_H
#define TARN_TEST_CHANNEL_CALLS_H

#include "helper.h"

#include "channel/check.h"
#include "channel/mq.h"
#include "channel/ring.h"
#include "channel/topic.h"

static tarn *seg;
static char name[16];
static struct self *self;

/* Said when the call has ended: to jump out of it would leave all that it holds. */
static const char *wrong;

static inline void is_wrong(const char *what)
{
    wrong = wrong ? wrong : what;
}
static inline void new_name(void)
{
    static int number;
    snprintf(name, sizeof name, "c%d", number++);
}
static inline struct tarn_channel_options shaped(uint32_t capacity, uint32_t message, uint32_t parties,
                                                 uint32_t flags)
{
    return (struct tarn_channel_options){.size = sizeof(struct tarn_channel_options),
                                         .capacity = capacity,
                                         .message = message,
                                         .parties = parties,
                                         .flags = flags};
}

/* ---- who sleeps ---- */

static struct doorbell *bell;
static uint32_t marked;
static const struct party *waits;
static inline bool rung(void)
{
    return load32(&bell->sleepers) != marked;
}
/* ---- ring ---- */

static tarn_ring *out, *in;
static const uint64_t numbers[4] = {1, 2, 3, 4};

static inline void open_ring(uint32_t capacity, uint32_t message, uint32_t flags)
{
    const struct tarn_channel_options o = shaped(capacity, message, 3, flags);
    new_name();
    assert_int_equal(tarn_ring_open(seg, name, TARN_CREATE | TARN_SEND, &o, &out), 0);
    assert_int_equal(tarn_ring_open(seg, name, TARN_RECEIVE, NULL, &in), 0);
}
static inline void close_ring(void)
{
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_ring_close(in), 0);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}
static inline void ring_send(void)
{
    assert_int_equal(tarn_ring_send(out, numbers, 8), 0);
}
static inline void ring_send_slow(void)
{
    assert_int_equal(tarn_ring_send(out, numbers, 5), 0);
}
static inline void ring_send_many(void)
{
    size_t n;
    assert_int_equal(tarn_ring_send_many(out, numbers, 8, 2, &n), 0);
}
static inline void ring_send_loan(void)
{
    assert_int_equal(tarn_ring_send_loan(out, 8), 0);
}
static inline void ring_receive(void)
{
    uint64_t got;
    assert_int_equal(tarn_ring_receive(in, &got, 8, NULL), 0);
}
static inline void ring_receive_many(void)
{
    uint64_t got[2];
    size_t n;
    assert_int_equal(tarn_ring_receive_many(in, got, 8, 2, NULL, &n), 0);
}
static inline void ring_let_go(void)
{
    assert_int_equal(tarn_ring_release(in), 0);
}
static inline void ring_fill(void)
{
    while (tarn_ring_send_try(out, numbers, 8) == 0)
        ;
}

/* ---- message queue ---- */

static tarn_mq *mq, *other;
static void *taken, *loan;

static inline void open_mq(uint32_t capacity, uint32_t message)
{
    const struct tarn_channel_options o = shaped(capacity, message, 2, 0);
    new_name();
    assert_int_equal(tarn_mq_open(seg, name, TARN_CREATE | TARN_SEND | TARN_RECEIVE, &o, &mq), 0);
}
/* With no call under way its seat names what the handle has, and nothing else. */
static inline void names_are_right(const tarn_mq *of)
{
    for (int i = 0; i < MQ_HANDS; i++)
        assert_int_equal(load32(&of->seat->hand[i]), i < (int)TARN_MQ_IN_HAND ? of->hand[i].chunk : 0);
    assert_int_equal(load32(&of->seat->spare), of->spare);
}
static inline void close_mq(void)
{
    names_are_right(mq);
    assert_null(channel_fault(&mq->party, true));
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}
static inline void mq_send(void)
{
    assert_int_equal(tarn_mq_send(mq, 0, numbers, 8), 0);
}
static inline void mq_send_loan(void)
{
    assert_int_equal(tarn_mq_send_loan(mq, 0, loan, 8), 0);
}
static inline void mq_receive(void)
{
    char body[100];
    assert_true(tarn_mq_receive(mq, body, sizeof body, NULL) >= 0);
}
static inline void mq_take(void)
{
    assert_int_equal(tarn_mq_take(mq, &taken, NULL), 0);
}
static inline void mq_release(void)
{
    assert_int_equal(tarn_mq_release(mq, taken), 0);
}

/* No chunk is loose: those that are in no hand have come back from one who left. Then one is let go, which who wants a loan waits for. */
static inline void no_chunk_is_loose(void *loans[TARN_MQ_IN_HAND])
{
    void *others;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(tarn_mq_open(seg, name, TARN_RECEIVE, NULL, &other), 0);
        other->seen = load64(&other->q.shared->made); /* it takes the new one, not one that came back */
        mq_send();
        assert_int_equal(tarn_mq_take(other, &taken, NULL), 0);
        channel_close(&other->party);
    }
    for (uint32_t i = 0; i < TARN_MQ_IN_HAND; i++)
        assert_int_equal(tarn_mq_loan(mq, 8, &loans[i]), 0);
    mq->seen = load64(&mq->q.shared->made);
    for (int i = 0; i < 2; i++) { /* it has a spare, and the entry a chunk that was received */
        mq_send();
        mq_receive();
    }
    assert_int_equal(tarn_mq_open(seg, name, TARN_SEND, NULL, &other), 0);
    while (tarn_mq_loan_try(other, 8, &others) == 0)
        ;
    for (uint32_t i = 0; i < mq->q.count; i++)
        assert_int_not_equal(load64(mq_word_at(&mq->q, i)), MQ_LOOSE);
}
/* ---- call ---- */

enum { CALLS = 8, FOR_ROOM = 2 }; /* call.c: with TARN_SEND, a client waits for a slot */
static tarn_call *client, *server;
static const struct party *of_client, *of_server; /* the first member of each */
static uint64_t id[CALLS];
static struct tarn_request request;

static inline void open_call(int asked, int taken_of_them)
{
    const struct tarn_channel_options o = shaped(CALLS, 8, 2, 0);
    void *at;
    new_name();
    assert_int_equal(tarn_call_open(seg, name, TARN_CREATE | TARN_SEND, &o, &client), 0);
    assert_int_equal(tarn_call_open(seg, name, TARN_RECEIVE, NULL, &server), 0);
    of_client = (const struct party *)client;
    of_server = (const struct party *)server;
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(tarn_call_loan(client, 8, &at, &id[i]), 0);
    for (int i = 0; i < asked; i++)
        assert_int_equal(tarn_call_begin(client, id[i], 0, 8), 0);
    for (int i = 0; i < taken_of_them; i++)
        assert_int_equal(tarn_call_next(server, &request), 0);
}
static inline void close_call(void)
{
    if (server) /* it may have left */
        channel_close((struct party *)server);
    channel_close((struct party *)client);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}
static inline void call_ask(void)
{
    assert_int_equal(tarn_call_begin(client, id[0], 0, 8), 0);
}
static inline void call_ask_in_vain(void)
{
    assert_int_equal(tarn_call_begin(client, id[0], 0, 8), -EUCLEAN);
}
static inline void call_next(void)
{
    assert_int_equal(tarn_call_next(server, &request), 0);
}
static inline void call_answer(void)
{
    assert_int_equal(tarn_call_answer(server, request.id, numbers, 8), 0);
}
static inline void call_fail(void)
{
    assert_int_equal(tarn_call_fail(server, request.id, -ENODATA), 0);
}
static inline void call_fail_late(void)
{
    assert_int_equal(tarn_call_fail(server, request.id, -ENODATA), -ECANCELED);
}
static inline void call_end(void)
{
    assert_int_equal(tarn_call_end(client, id[0]), 0);
}
static inline void call_cancel(void)
{
    assert_int_equal(tarn_call_cancel(client, id[0]), 0);
}

/* ---- topic ---- */

static tarn_topic *publisher, *subscriber;

static inline void open_topic(bool full_and_held)
{
    const struct tarn_channel_options o = shaped(2, 8, 3, 0);
    new_name();
    assert_int_equal(tarn_topic_open(seg, name, TARN_CREATE | TARN_SEND, &o, &publisher), 0);
    assert_int_equal(tarn_topic_open(seg, name, TARN_RECEIVE, NULL, &subscriber), 0);
    if (full_and_held) {
        assert_int_equal(tarn_topic_hold(subscriber, 3600000), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(tarn_topic_send_try(publisher, numbers, 8), 0);
    }
}
static inline void close_topic(void)
{
    assert_int_equal(tarn_topic_close(publisher), 0);
    assert_int_equal(tarn_topic_close(subscriber), 0);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}
static inline void topic_send(void)
{
    assert_int_equal(tarn_topic_send_try(publisher, numbers, 8), 0);
}
static inline void topic_send_held(void)
{
    assert_int_equal(tarn_topic_send_try(publisher, numbers, 8), -EAGAIN);
}
static inline void topic_receive(void)
{
    uint64_t got;
    assert_int_equal(tarn_topic_receive_try(subscriber, &got, 8, NULL), 0);
}
static inline void topic_seek(void)
{
    assert_int_equal(tarn_topic_seek(subscriber, 0), 0);
}
static inline void topic_let_go(void)
{
    assert_int_equal(tarn_topic_hold(subscriber, 0), 0);
}

/* Without the cap: a wake-up that is lost is a hang. */
static inline int open_segment(void **state)
{
    int e;
    (void)state;
    alarm(60);
    mutex_cap_off = true;
    e = tarn_open("memfd:channels", TARN_CREATE, NULL, &seg);
    return e ? e : !(self = self_of(seg, &e));
}
static inline int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

#endif

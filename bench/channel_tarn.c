/* bench/channel_tarn.c - ours: ring, message queue, topic, call.
 *
 * SPDX-License-Identifier: MIT */
#include <tarn/channel.h>

#include "channel.h"
#include "core.h"

static struct tarn_channel_options shape(size_t size)
{
    return (struct tarn_channel_options){.size = sizeof(struct tarn_channel_options),
                                         .capacity = CHANNEL_CAPACITY,
                                         .message = (uint32_t)size,
                                         .parties = 16};
}

static void *segment(size_t size)
{
    (void)size;
    return core_segment(4 << 20);
}
static void destroy(void *seg)
{
    core_close(seg);
}

/* ---- ring ------------------------------------------------------------------------------------------------------------ */

static void *ring_enter_of(void *seg, int role, size_t size)
{
    struct tarn_channel_options o = shape(size);
    tarn_ring *ring;
    core_good(tarn_ring_open(seg, "ring", TARN_CREATE | (role == SENDER ? TARN_SEND : TARN_RECEIVE), &o, &ring),
              "tarn_ring_open");
    return ring;
}
static void *ring_enter_8(void *seg, int role)
{
    return ring_enter_of(seg, role, 8);
}
static void *ring_enter_64(void *seg, int role)
{
    return ring_enter_of(seg, role, 64);
}
static void ring_leave(void *seg, void *ring)
{
    (void)seg;
    core_good(tarn_ring_close(ring), "tarn_ring_close");
}
static inline bool ring_send(void *ring, const void *message, size_t size)
{
    return tarn_ring_send_try(ring, message, size) == 0;
}
static inline bool ring_receive(void *ring, void *message, size_t size)
{
    size_t got;
    return tarn_ring_receive_try(ring, message, size, &got) == 0 && got == size;
}
static inline uint64_t ring_send_batch(void *ring, const void *messages, uint64_t n)
{
    size_t count = 0;
    return tarn_ring_send_many_try(ring, messages, 8, n, &count) == 0 ? count : 0;
}
static inline uint64_t ring_receive_batch(void *ring, void *messages, uint64_t n)
{
    size_t count = 0;
    return tarn_ring_receive_many_try(ring, messages, 8, n, NULL, &count) == 0 ? count : 0;
}
static inline bool ring_send_sleeping(void *ring, const void *message)
{
    return core_good(tarn_ring_send(ring, message, 8), "tarn_ring_send") == 0;
}
static inline bool ring_receive_sleeping(void *ring, void *message)
{
    size_t got;
    return core_good(tarn_ring_receive(ring, message, 8, &got), "tarn_ring_receive") == 0;
}

#define LANE lane_ring_8
#define LANE_NAME "tarn"
#define LANE_MAKE segment
#define LANE_DESTROY destroy
#define LANE_ENTER ring_enter_8
#define LANE_LEAVE ring_leave
#define LANE_SEND(handle, message, n) ring_send(handle, message, 8)
#define LANE_RECEIVE(handle, message, n) ring_receive(handle, message, 8)
#include "channel_loops.h"

#define LANE lane_ring_64
#define LANE_NAME "tarn"
#define LANE_SIZE 64
#define LANE_MAKE segment
#define LANE_DESTROY destroy
#define LANE_ENTER ring_enter_64
#define LANE_LEAVE ring_leave
#define LANE_SEND(handle, message, n) ring_send(handle, message, 64)
#define LANE_RECEIVE(handle, message, n) ring_receive(handle, message, 64)
#include "channel_loops.h"

#define LANE lane_ring_batch_8
#define LANE_NAME "tarn"
#define LANE_MAKE segment
#define LANE_DESTROY destroy
#define LANE_ENTER ring_enter_8
#define LANE_LEAVE ring_leave
#define LANE_SEND(handle, message, n) ring_send_batch(handle, message, n)
#define LANE_RECEIVE(handle, message, n) ring_receive_batch(handle, message, n)
#define LANE_BATCH CHANNEL_BATCH
#include "channel_loops.h"

#define LANE lane_ring_sleep_8
#define LANE_NAME "tarn"
#define LANE_MAKE segment
#define LANE_DESTROY destroy
#define LANE_ENTER ring_enter_8
#define LANE_LEAVE ring_leave
#define LANE_SEND(handle, message, n) ring_send_sleeping(handle, message)
#define LANE_RECEIVE(handle, message, n) ring_receive_sleeping(handle, message)
#include "channel_loops.h"

/* ---- message queue --------------------------------------------------------------------------------------------------- */

static void *mq_enter(void *seg, int role)
{
    struct tarn_channel_options o = shape(8);
    tarn_mq *mq;
    core_good(tarn_mq_open(seg, "mq", TARN_CREATE | (role == SENDER ? TARN_SEND : TARN_RECEIVE), &o, &mq),
              "tarn_mq_open");
    return mq;
}
static void mq_leave(void *seg, void *mq)
{
    (void)seg;
    core_good(tarn_mq_close(mq), "tarn_mq_close");
}
static inline bool mq_send(void *mq, const void *message)
{
    return tarn_mq_send_try(mq, 0, message, 8) == 0;
}
static inline bool mq_receive(void *mq, void *message)
{
    size_t got;
    return tarn_mq_receive_try(mq, message, 8, &got) == 0 && got == 8;
}

#define LANE lane_mq_8
#define LANE_NAME "tarn"
#define LANE_MAKE segment
#define LANE_DESTROY destroy
#define LANE_ENTER mq_enter
#define LANE_LEAVE mq_leave
#define LANE_SEND(handle, message, n) mq_send(handle, message)
#define LANE_RECEIVE(handle, message, n) mq_receive(handle, message)
#include "channel_loops.h"

/* ---- topic: what it loses a flow would find; so rallies, and a fan of its own ------------------------------------------------ */

static void *topic_enter_of(void *seg, int role, size_t size, uint32_t capacity)
{
    struct tarn_channel_options o = shape(size);
    tarn_topic *topic;
    o.capacity = capacity;
    core_good(tarn_topic_open(seg, "topic",
                              TARN_CREATE | (role == SENDER ? TARN_SEND : TARN_RECEIVE | TARN_TOPIC_HISTORY),
                              &o, &topic),
              "tarn_topic_open");
    return topic;
}
static void *topic_enter_64(void *seg, int role)
{
    return topic_enter_of(seg, role, 64, 64);
}
static void *topic_enter_64k(void *seg, int role)
{
    return topic_enter_of(seg, role, 65536, 4);
}
static void topic_leave(void *seg, void *topic)
{
    (void)seg;
    core_good(tarn_topic_close(topic), "tarn_topic_close");
}
static inline bool topic_send(void *topic, const void *message)
{
    return tarn_topic_send_try(topic, message, 64) == 0;
}
static inline bool topic_receive(void *topic, void *message)
{
    struct tarn_topic_news news;
    if (tarn_topic_receive_try(topic, message, 64, &news) < 0)
        return false;
    if (news.lost)
        bench_die("a subscriber who is up to date lost a message");
    return true;
}

#define LANE lane_topic_64
#define LANE_NAME "tarn"
#define LANE_SIZE 64
#define LANE_MAKE segment
#define LANE_DESTROY destroy
#define LANE_ENTER topic_enter_64
#define LANE_LEAVE topic_leave
#define LANE_SEND(handle, message, n) topic_send(handle, message)
#define LANE_RECEIVE(handle, message, n) topic_receive(handle, message)
#include "channel_loops.h"

/* 64 KiB, written and read where they lie. */
static inline void topic_send_64k(void *topic, uint64_t ball)
{
    void *body;
    core_good(tarn_topic_loan(topic, 65536, &body), "tarn_topic_loan");
    channel_body_write(body, 65536, ball);
    core_good(tarn_topic_send_loan(topic, body, 65536), "tarn_topic_send_loan");
}
static inline void topic_receive_64k(void *topic, uint64_t ball)
{
    struct tarn_topic_news news;
    const void *body;
    while (tarn_topic_take_try(topic, &body, &news) < 0)
        ;
    channel_body_read(body, 65536, ball, "tarn");
    core_good(tarn_topic_release(topic, body), "tarn_topic_release");
}
static inline void topic_round_64k(void *out, void *in, int side, uint64_t number)
{
    channel_toss(out, in, side, number, topic_send_64k, topic_receive_64k);
}
static void topic_rally_64k(void *out, void *in, struct rally *r, int side)
{
    channel_rounds(r, side, out, in, topic_round_64k);
}

const struct lane lane_topic_64k = {.name = "tarn",
                                    .size = 65536,
                                    .make = segment,
                                    .destroy = destroy,
                                    .enter = topic_enter_64k,
                                    .leave = topic_leave,
                                    .rally = topic_rally_64k};

/* One publishes, all others subscribe, and hold it back: each gets every message, in order. */
static void *fan_enter(void *seg, int role)
{
    tarn_topic *topic = topic_enter_64(seg, role);
    if (role == RECEIVER)
        core_good(tarn_topic_hold(topic, 60000), "tarn_topic_hold");
    return topic;
}
static void fan_produce(void *topic, struct traffic *t, int who)
{
    uint64_t n = 0, message[8] = {0};
    while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
        message[0] = n + 1;
        while (tarn_topic_send_try(topic, message, sizeof message) < 0)
            channel_rest(t->crowded);
        n++;
    }
    t->side[who].sent = n;
    __atomic_store_n(&t->side[who].done, 1, __ATOMIC_RELEASE);
}
static void fan_consume(void *topic, struct traffic *t, int who)
{
    uint64_t message[8], n = 0, sum = 0;
    while (!__atomic_load_n(&t->side[0].done, __ATOMIC_ACQUIRE) || n < t->side[0].sent) {
        struct tarn_topic_news news;
        if (tarn_topic_receive_try(topic, message, sizeof message, &news) < 0) {
            channel_rest(t->crowded);
            continue;
        }
        if (message[0] != n + 1 || news.lost)
            bench_die("message %llu came after %llu", (unsigned long long)message[0], (unsigned long long)n);
        n++;
        sum += message[0];
    }
    t->side[who].received = n;
    t->sum[who][0] =
        who == t->senders ? sum : 0; /* each has it whole: one stands for all, and each has looked at the order */
}
const struct lane lane_topic_fan = {.name = "tarn",
                                    .size = 64,
                                    .make = segment,
                                    .destroy = destroy,
                                    .enter = fan_enter,
                                    .leave = topic_leave,
                                    .produce = fan_produce,
                                    .consume = fan_consume};

/* ---- call: side 0 asks, side 1 answers; each looks all the time --------------------------------------------------------- */

static void *call_enter(void *seg, int role)
{
    struct tarn_channel_options o = shape(64);
    tarn_call *call;
    core_good(tarn_call_open(seg, "call", TARN_CREATE | (role == SENDER ? TARN_SEND : TARN_RECEIVE), &o, &call),
              "tarn_call_open");
    return call;
}
static void call_leave(void *seg, void *call)
{
    (void)seg;
    core_good(tarn_call_close(call), "tarn_call_close");
}

static inline void call_ask(tarn_call *call, uint64_t question)
{
    uint64_t answer = 0;
    size_t size = 0;
    core_good(tarn_call_ask(call, 0, &question, sizeof question, &answer, sizeof answer, &size),
              "tarn_call_ask");
    if (size != 8 || answer != bench_mix(question))
        bench_die("call %llu was answered wrongly", (unsigned long long)question);
}
static inline void call_serve(tarn_call *call)
{
    struct tarn_request request;
    uint64_t answer;
    while (tarn_call_next_try(call, &request) < 0)
        ;
    answer = bench_mix(*(const uint64_t *)request.at);
    core_good(tarn_call_answer(call, request.id, &answer, sizeof answer), "tarn_call_answer");
}
/* Side 0 is client by lane 0, which is `out` to it and `in` to side 1. */
static inline void call_round(void *out, void *in, int side, uint64_t number)
{
    if (side == 0)
        call_ask(out, number);
    else
        call_serve(in);
}
static void call_rally(void *out, void *in, struct rally *r, int side)
{
    channel_rounds(r, side, out, in, call_round);
}

const struct lane lane_call_8 = {.name = "tarn",
                                 .size = 8,
                                 .make = segment,
                                 .destroy = destroy,
                                 .enter = call_enter,
                                 .leave = call_leave,
                                 .rally = call_rally};

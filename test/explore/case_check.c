/* case_check.c - tarn_check's look at a channel beside those who use it: whoever is in the midst of what, or has died there, a single look finds nothing. */
#include <errno.h>

#include "channel/check.h"
#include "channel/mq.h"
#include "channel/ring.h"
#include "channel/topic.h"
#include "explore.h"

static tarn_ring *out, *in;
static tarn_mq *mq[PEOPLE];
static tarn_topic *topic[PEOPLE];
static tarn_call *call[PEOPLE], *drivers;
static struct party seen;

/* The last one looks; the others have their hands full. */
static bool is_looker(int p)
{
    return p == world.people - 1;
}
static void look(void)
{
    const char *wrong = channel_fault(&seen, false);
    must_be(!wrong, wrong ? wrong : "");
}
static void looks_at(int p)
{
    MUST(channel_look(seg_of(p), "c", &seen));
}
/* Whoever died is cleared by who joins. */
static const char *then_cleared(void)
{
    struct party p, by;
    MUST(channel_look(seg_of(DRIVER), "c", &p));
    by = p;
    by.self = self_if(seg_of(DRIVER));
    by.id = by.self->id;
    channel_clear_dead(&by);
    return channel_fault(&p, !anyone_died()); /* of a send that a living one did not end, the seat tells more */
}

/* ---- ring ---- */

static void make_ring(uint32_t capacity, uint32_t message, uint32_t flags)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = capacity, .message = message, .parties = 3, .flags = flags};
    tarn_ring *r;
    MUST(tarn_ring_open(seg_of(DRIVER), "c", TARN_CREATE, &o, &r));
    MUST(tarn_ring_close(r));
}
static void ring_of_slots(void)
{
    make_ring(4, 16, 0);
}
static void ring_of_bytes(void)
{
    make_ring(128, 16, TARN_RING_BYTES);
}
static void both_ends(int p)
{
    if (is_looker(p)) {
        looks_at(p);
        return;
    }
    MUST(tarn_ring_open(seg_of(p), "c", TARN_SEND, NULL, &out));
    MUST(tarn_ring_open(seg_of(p), "c", TARN_RECEIVE, NULL, &in));
}
static void through_a_ring(int p)
{
    const void *message;
    uint64_t word[2] = {1, 1};
    size_t size;
    if (is_looker(p)) {
        look();
        return;
    }
    for (int i = 0; i < 6; i++) { /* of bytes, the last one begins anew */
        MUST(tarn_ring_send_try(out, word, 16));
        if (i == 2) { /* the first two stay there */
            MUST(tarn_ring_take_try(in, &message, &size));
            MUST(tarn_ring_release(in));
        }
        if (i > 1)
            MUST(tarn_ring_receive_try(in, word, 16, &size));
    }
}
static void one_comes(int p)
{
    if (is_looker(p)) {
        looks_at(p);
        return;
    }
    MUST(tarn_ring_open(seg_of(p), "c", TARN_SEND, NULL, &out));
    MUST(tarn_ring_send_try(out, "x", 1));
    MUST(tarn_ring_close(out));
}
static void come_and_go(int p)
{
    if (is_looker(p)) {
        look();
        return;
    }
    MUST(tarn_ring_open(seg_of(p), "c", TARN_RECEIVE, NULL, &in));
    MUST(tarn_ring_close(in));
    MUST(tarn_ring_open(seg_of(p), "c", TARN_SEND, NULL, &out));
    MUST(tarn_ring_close(out));
}

/* ---- message queue ---- */

static void queue_of_one(void)
{
    const struct tarn_channel_options o = {.size = sizeof o, .capacity = 1, .message = 8, .parties = 3};
    tarn_mq *m;
    MUST(tarn_mq_open(seg_of(DRIVER), "c", TARN_CREATE, &o, &m));
    MUST(tarn_mq_close(m));
}
static void opens_mq(int p)
{
    if (is_looker(p))
        looks_at(p);
    else
        MUST(tarn_mq_open(seg_of(p), "c", TARN_SEND | TARN_RECEIVE, NULL, &mq[p]));
}
static void through_a_queue(int p)
{
    uint64_t word = 1;
    void *message;
    if (is_looker(p)) {
        look();
        return;
    }
    (void)tarn_mq_send_try(mq[p], 0, &word, 8);
    if (p)
        (void)tarn_mq_receive_try(mq[p], &word, 8, NULL);
    else if (tarn_mq_take_try(mq[p], &message, NULL) == 0)
        MUST(tarn_mq_release(mq[p], message));
}
static void again_and_again(int p)
{
    uint64_t word = 1;
    void *message;
    if (is_looker(p)) {
        look();
        return;
    }
    for (int i = 0; i < 2; i++) { /* each other send finds no room */
        (void)tarn_mq_send_try(mq[p], 0, &word, 8);
        (void)tarn_mq_send_try(mq[p], 0, &word, 8);
        if (i)
            MUST(tarn_mq_receive_try(mq[p], &word, 8, NULL));
        else {
            MUST(tarn_mq_take_try(mq[p], &message, NULL));
            MUST(tarn_mq_release(mq[p], message));
        }
    }
}
static void mq_hands_full(int p)
{
    uint64_t word = 1;
    void *message;
    opens_mq(p);
    if (p)
        return;
    MUST(tarn_mq_send_try(mq[0], 0, &word, 8));
    MUST(tarn_mq_take_try(mq[0], &message, NULL));
    MUST(tarn_mq_loan_try(mq[0], 8, &message));
    MUST(tarn_mq_send_try(mq[0], 0, &word, 8));
}
static void clear_a_queue(int p)
{
    if (is_looker(p))
        look();
    else
        channel_clear_dead(&mq[p]->party);
}

/* ---- topic ---- */

static void topic_of_one(void)
{
    const struct tarn_channel_options o = {.size = sizeof o, .capacity = 1, .message = 8, .parties = 3, .number = 1};
    tarn_topic *t;
    MUST(tarn_topic_open(seg_of(DRIVER), "c", TARN_CREATE, &o, &t));
    MUST(tarn_topic_close(t));
}
static void opens_topic(int p)
{
    if (is_looker(p))
        looks_at(p);
    else
        MUST(tarn_topic_open(seg_of(p), "c", TARN_SEND | TARN_RECEIVE, NULL, &topic[p]));
}
static void through_a_topic(int p)
{
    const void *message;
    void *loan;
    uint64_t word = 1;
    if (is_looker(p)) {
        look();
        return;
    }
    MUST(tarn_topic_send(topic[p], &word, 8));
    if (p == 0 && tarn_topic_take_try(topic[p], &message, NULL) == 0)
        MUST(tarn_topic_release(topic[p], message));
    MUST(tarn_topic_loan(topic[p], 8, &loan));
    MUST(p ? tarn_topic_drop_loan(topic[p], loan) : tarn_topic_send_loan(topic[p], loan, 8));
}
static void topic_hands_full(int p)
{
    uint64_t word = 1;
    void *loan;
    opens_topic(p);
    if (p)
        return;
    MUST(tarn_topic_send(topic[0], &word, 8));
    MUST(tarn_topic_loan(topic[0], 8, &loan));
    MUST(tarn_topic_hold(topic[0], 1000));
}
static void clear_a_topic(int p)
{
    if (is_looker(p))
        look();
    else
        channel_clear_dead(&topic[p]->party);
}

/* ---- call ---- */

static void make_call(void)
{
    static const struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .message = 8, .parties = 4};
    tarn_call *c;
    MUST(tarn_call_open(seg_of(DRIVER), "c", TARN_CREATE, &o, &c));
    MUST(tarn_call_close(c));
}
static void opens_call(int p)
{
    if (is_looker(p))
        looks_at(p);
    else
        MUST(tarn_call_open(seg_of(p), "c", p ? TARN_RECEIVE : TARN_SEND, NULL, &call[p]));
}
static void begin(tarn_call *c, unsigned flags, uint64_t *ret_id)
{
    void *at;
    MUST(tarn_call_loan_try(c, 8, &at, ret_id));
    MUST(tarn_call_begin(c, *ret_id, flags, 8));
}
static void through_a_call(int p)
{
    struct tarn_request r;
    const void *at;
    uint64_t id;
    size_t size;
    if (is_looker(p))
        look();
    else if (p == 0) {
        begin(call[0], 0, &id);
        MUST(tarn_call_cancel(call[0], id));
        begin(call[0], 0, &id);
        if (tarn_call_wait_try(call[0], id, &at, &size) == 0)
            MUST(tarn_call_end(call[0], id));
    } else if (tarn_call_next_try(call[p], &r) == 0)
        (void)tarn_call_answer(call[p], r.id, "yes", 3);
}
/* 0 is a server who has both of the driver's calls in hand. */
static void call_hands_full(int p)
{
    struct tarn_request r;
    if (is_looker(p)) {
        looks_at(p);
        return;
    }
    MUST(tarn_call_open(seg_of(p), "c", TARN_RECEIVE, NULL, &call[p]));
    for (int i = 0; p == 0 && i < 2; i++)
        MUST(tarn_call_next_try(call[p], &r));
}
static void make_call_with_driver(void)
{
    uint64_t id;
    make_call();
    MUST(tarn_call_open(seg_of(DRIVER), "c", TARN_SEND, NULL, &drivers));
    begin(drivers, TARN_CALL_REPEATABLE, &id);
    begin(drivers, 0, &id);
}
static void clear_a_call(int p)
{
    struct party by;
    if (is_looker(p)) {
        look();
        return;
    }
    by = *(struct party *)(void *)call[p];
    channel_clear_dead(&by);
}

const struct test_case check_cases[] = {
    {"check, a ring of slots", 2, 3, 4, 0, ring_of_slots, both_ends, through_a_ring, then_cleared},
    {"check, a ring of bytes", 2, 3, 4, 0, ring_of_bytes, both_ends, through_a_ring, then_cleared},
    {"check, who comes and goes", 2, 2, 4, 0, ring_of_slots, one_comes, come_and_go, then_cleared},
    {"check, a queue", 2, 3, 4, 0, queue_of_one, opens_mq, again_and_again, then_cleared},
    {"check, two at a queue", 3, 1, 2, 0, queue_of_one, opens_mq, through_a_queue, then_cleared},
    {"check, a queue is cleared", 3, 2, 3, CASE_DEAD_FIRST, queue_of_one, mq_hands_full, clear_a_queue, then_cleared},
    {"check, a topic", 3, 1, 2, 0, topic_of_one, opens_topic, through_a_topic, then_cleared},
    {"check, a topic is cleared", 3, 2, 3, CASE_DEAD_FIRST, topic_of_one, topic_hands_full, clear_a_topic,
     then_cleared},
    {"check, a call", 3, 2, 3, 0, make_call, opens_call, through_a_call, then_cleared},
    {"check, a call is cleared", 3, 2, 3, CASE_DEAD_FIRST, make_call_with_driver, call_hands_full,
     clear_a_call, then_cleared},
    {0},
};

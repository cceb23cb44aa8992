/* test_sizes.c - tarn_channel_sizes, of each kind of channel: at each look what was sent since the one before, beside a log of it. (What it makes of hostile bytes: each kind's own test.) */
#include "helper.h"

#include "channel/channel.h"

enum { LOG = 1 << 14, LEVELS = 3 };

static tarn *seg;
static uint32_t rolls = 9;

static int open_segment(void **state)
{
    (void)state;
    return tarn_open("memfd:sizes", TARN_CREATE, NULL, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    return tarn_close(seg);
}

static uint32_t roll(uint32_t sides)
{
    rolls = rolls * 1664525 + 1013904223;
    return (rolls >> 8) % sides;
}

/* Sizes of all that was sent, of each level; and how many were when it was looked at last. */
struct log {
    uint32_t size[LEVELS][LOG];
    uint64_t sent[LEVELS], seen[LEVELS];
};
static struct log *l;

static uint64_t bytes_from(unsigned level, uint64_t first)
{
    uint64_t n = 0;
    for (; first < l->sent[level]; first++)
        n += l->size[level][first];
    return n;
}

/* Of each level the last `kept` at most are told, to the byte. Returns how many were missed. */
static uint64_t assert_told(struct tarn_channel_sizes *s, uint64_t kept)
{
    uint64_t messages = 0, bytes = 0, missed = 0;
    assert_int_equal(tarn_channel_sizes(seg, "c", s), 0);
    for (unsigned i = 0; i < LEVELS; i++) {
        uint64_t since = l->sent[i] - l->seen[i], told = since < kept ? since : kept;
        messages += told;
        missed += since - told;
        bytes += bytes_from(i, l->sent[i] - told);
        l->seen[i] = l->sent[i];
    }
    assert_int_equal(s->messages, messages);
    assert_int_equal(s->missed, missed);
    assert_int_equal(s->bytes, bytes);
    return missed;
}

static void log_sent(unsigned level, uint32_t size)
{
    l->size[level][l->sent[level]++] = size;
}

static int begin(void **state)
{
    (void)state;
    l = calloc(1, sizeof *l);
    return open_segment(state);
}
static int end(void **state)
{
    free(l);
    return close_segment(state);
}

/* ---- ring ---- */

static void ring_walk(uint32_t capacity, uint32_t most, uint32_t flags)
{
    struct tarn_channel_options o = {
        .size = sizeof o, .capacity = capacity, .message = most, .flags = flags, .parties = 2};
    struct tarn_channel_sizes s = {0};
    uint64_t missed = 0, exact = 0;
    char text[512] = {0};
    tarn_ring *out, *in;
    memset(l, 0, sizeof *l);
    assert_int_equal(tarn_ring_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &out), 0);
    assert_int_equal(tarn_ring_open(seg, "c", TARN_RECEIVE, NULL, &in), 0);
    for (int turn = 0; turn < 3000; turn++) {
        uint32_t size = roll(most + 1);
        if (roll(2) && tarn_ring_send_try(out, text, size) == 0)
            log_sent(0, size);
        else
            (void)tarn_ring_receive_try(in, text, sizeof text, NULL);
        if (roll(turn < 1500 ? 10 : 200))
            continue;
        if (!flags) {
            missed += assert_told(&s, capacity);
            exact++;
            continue;
        }
        /* of bytes: all that were sent since, or, when the sender has come round, none */
        uint64_t since = l->sent[0] - l->seen[0];
        assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
        assert_int_equal(s.messages + s.missed, since);
        assert_int_equal(s.bytes, s.missed ? 0 : bytes_from(0, l->seen[0]));
        if (turn < 1500) /* some ten of up to most bytes, and a skip, have room */
            exact += !s.missed;
        missed += s.missed;
        l->seen[0] = l->sent[0];
    }
    assert_true(missed && exact > 50);
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_ring_close(in), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);
}
static void ring(void **state)
{
    (void)state;
    ring_walk(32, 8, 0); /* seven in a line */
    ring_walk(32, 13, 0);
    ring_walk(32, 24, 0);
    ring_walk(32, 200, 0);
    ring_walk(1024, 30, TARN_RING_BYTES);
    ring_walk(4096, 500, TARN_RING_BYTES);
}

/* ---- message queue ---- */

static void mq(void **state)
{
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 16, .message = 40, .number = LEVELS};
    struct tarn_channel_sizes s = {0};
    uint64_t missed = 0;
    char text[64] = {0};
    tarn_mq *q;
    (void)state;
    assert_int_equal(tarn_mq_open(seg, "c", TARN_CREATE | TARN_SEND | TARN_RECEIVE, &o, &q), 0);
    for (int turn = 0; turn < 5000; turn++) {
        unsigned level = roll(LEVELS);
        uint32_t size = roll(41);
        if (roll(2) && tarn_mq_send_try(q, level, text, size) == 0)
            log_sent(level, size);
        else
            (void)tarn_mq_receive_try(q, text, sizeof text, NULL);
        if (roll(turn < 2500 ? 10 : 200) == 0)
            missed += assert_told(&s, 16);
    }
    assert_true(missed);
    assert_int_equal(tarn_mq_close(q), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);
}

/* ---- topic ---- */

static void topic(void **state)
{
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 16, .message = 40};
    struct tarn_channel_sizes s = {0};
    uint64_t missed = 0;
    char text[64] = {0};
    tarn_topic *t;
    (void)state;
    assert_int_equal(tarn_topic_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &t), 0);
    for (int turn = 0; turn < 3000; turn++) {
        uint32_t size = roll(41);
        assert_int_equal(tarn_topic_send(t, text, size), 0);
        log_sent(0, size);
        if (roll(turn < 1500 ? 10 : 100) == 0)
            missed += assert_told(&s, 16);
    }
    assert_true(missed);
    assert_int_equal(tarn_topic_close(t), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);
}

/* ---- call: what lies in its slots stands for all ---- */

static void ask(tarn_call *client, tarn_call *server, uint32_t size)
{
    struct tarn_request r;
    const void *response;
    uint64_t id;
    void *at;
    size_t got;
    assert_int_equal(tarn_call_loan_try(client, size, &at, &id), 0);
    assert_int_equal(tarn_call_begin(client, id, 0, size), 0);
    assert_int_equal(tarn_call_next_try(server, &r), 0);
    assert_int_equal(tarn_call_answer(server, r.id, "abc", 3), 0);
    assert_int_equal(tarn_call_wait_try(client, id, &response, &got), 0);
    assert_int_equal(tarn_call_end(client, id), 0);
}
static void call(void **state)
{
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .message = 100};
    struct tarn_channel_sizes s = {0};
    tarn_call *client, *server;
    uint64_t id, id2;
    void *at;
    (void)state;
    assert_int_equal(tarn_call_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &client), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &server), 0);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages + s.missed, 0);
    for (int i = 0; i < 3; i++)
        ask(client, server, 70);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 3);
    assert_int_equal(s.bytes, 210);
    /* two at once, in two slots */
    assert_int_equal(tarn_call_loan_try(client, 20, &at, &id), 0);
    assert_int_equal(tarn_call_begin(client, id, 0, 20), 0);
    assert_int_equal(tarn_call_loan_try(client, 20, &at, &id2), 0);
    assert_int_equal(tarn_call_begin(client, id2, 0, 20), 0);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 2);
    assert_int_equal(s.bytes, 40);
    assert_int_equal(tarn_call_cancel(client, id), 0);
    assert_int_equal(tarn_call_cancel(client, id2), 0);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages + s.missed, 0);
    assert_int_equal(tarn_call_next_try(server, &(struct tarn_request){0}), -EAGAIN); /* both slots are free */
    ask(client, server, 70);
    assert_int_equal(tarn_call_loan_try(client, 10, &at, &id), 0);
    ask(client, server, 20);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0); /* a loan's slot says nothing */
    assert_int_equal(s.messages, 2);
    assert_int_equal(s.bytes, 40);
    assert_int_equal(tarn_call_cancel(client, id), 0);
    assert_int_equal(tarn_call_close(client), 0);
    assert_int_equal(tarn_call_close(server), 0);
}

/* ---- of any ---- */

/* More at once than are looked at; who looks is attached read-only, too; a channel made anew; and what is none. */
static void bounds(void **state)
{
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 2 * SIZES_MOST, .message = 8};
    struct tarn_channel_sizes s = {0};
    tarn_ring *out;
    tarn *reader;
    (void)state;
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), -ENOENT);
    assert_int_equal(tarn_ring_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &out), 0);
    for (int i = 0; i < SIZES_MOST + 10; i++) {
        assert_int_equal(tarn_ring_send_try(out, "12345678", i % 9), 0);
        log_sent(0, i % 9);
    }
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_channel_sizes(reader, "c", &s), 0);
    assert_int_equal(tarn_close(reader), 0);
    memset(&s, 0, sizeof s);
    assert_int_equal(assert_told(&s, SIZES_MOST), 10);
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);
    assert_int_equal(tarn_ring_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &out), 0);
    assert_int_equal(tarn_ring_send_try(out, "1", 1), 0);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0); /* it was looked at further than it is: from here on */
    assert_int_equal(s.messages + s.missed, 0);
    assert_int_equal(tarn_ring_send_try(out, "123", 3), 0);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.bytes, 3);
    assert_int_equal(tarn_ring_close(out), 0);
}

/* Who looks while the sender comes round finds another's words where a message was. */
static void overtaken(void **state)
{
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 64, .message = 16, .number = 1};
    struct tarn_channel_sizes s = {0};
    struct party look;
    tarn_ring *out;
    tarn_mq *q;
    (void)state;
    assert_int_equal(
        tarn_ring_open(seg, "c", TARN_CREATE | TARN_SEND,
                       &(struct tarn_channel_options){.size = sizeof o, .capacity = 64, .message = 8}, &out),
        0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(tarn_ring_send_try(out, "1234", 4), 0);
    assert_int_equal(channel_look(seg, "c", &look), 0);
    memset(look.slots + 64, 0xff, 8); /* the second line, of seven */
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 43);
    assert_int_equal(s.missed, 7);
    assert_int_equal(s.bytes, 43 * 4);
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);

    memset(&s, 0, sizeof s);
    assert_int_equal(tarn_mq_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &q), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(tarn_mq_send_try(q, 0, "1234", 4), 0);
    assert_int_equal(channel_look(seg, "c", &look), 0);
    look.channel->own[0] = look.channel->own[8] = 64 + 40; /* the hints: head, too, for what is looked at is behind it */
    ((uint64_t *)(void *)look.slots)[20] = 0;
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 49);
    assert_int_equal(s.missed, 1);
    assert_int_equal(s.bytes, 49 * 4);
    assert_int_equal(tarn_mq_close(q), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);

    o = (struct tarn_channel_options){.size = sizeof o, .capacity = 1024, .message = 100, .flags = TARN_RING_BYTES};
    memset(&s, 0, sizeof s);
    assert_int_equal(tarn_ring_open(seg, "c", TARN_CREATE | TARN_SEND, &o, &out), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(tarn_ring_send_try(out, "1234", 4), 0);
    s.at[1] = 1; /* the first record has another number than what is looked for */
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 0);
    assert_int_equal(s.missed, 4);
    assert_int_equal(tarn_ring_send_try(out, "12345", 5), 0);
    assert_int_equal(tarn_channel_sizes(seg, "c", &s), 0);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.bytes, 5);
    assert_int_equal(tarn_ring_close(out), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {T(ring), T(mq), T(topic), T(call), T(bounds), T(overtaken)};
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_ring.c - the ring: each call's results; random walks beside a model, over every kind of shape, with ends that come and go; laps that turn round;
 * threads that wait for each other; descriptors; what others see; hostile bytes. */
#include "helper.h"

#include <poll.h>

#include "chance.h"
#include "channel/ring.h"

enum { MOST_BYTES = 4096 };

static tarn *seg;

static int open_segment(void **state)
{
    struct tarn_options options = {.size = sizeof options, .limit = 64 << 20};
    (void)state;
    alarm(100);
    return tarn_open("memfd:ring", TARN_CREATE, &options, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

static struct tarn_channel_options shaped(uint32_t capacity, uint32_t message, uint32_t flags)
{
    return (struct tarn_channel_options){.size = sizeof(struct tarn_channel_options),
                                         .capacity = capacity,
                                         .message = message,
                                         .parties = 4,
                                         .flags = flags};
}

static tarn_ring *opened(const char *name, unsigned role)
{
    tarn_ring *r;
    assert_int_equal(tarn_ring_open(seg, name, role, NULL, &r), 0);
    return r;
}
static void both(const char *name, struct tarn_channel_options options, tarn_ring **out, tarn_ring **in)
{
    assert_int_equal(tarn_ring_open(seg, name, TARN_CREATE | TARN_SEND, &options, out), 0);
    *in = opened(name, TARN_RECEIVE);
}
static void away(const char *name, tarn_ring *out, tarn_ring *in)
{
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_ring_close(in), 0);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}
static struct tarn_channel_stat stat_of_ring(const char *name)
{
    struct tarn_channel_stat s;
    assert_int_equal(tarn_channel_stat(seg, name, &s), 0);
    return s;
}
static struct timespec in_ms(int ms)
{
    return os_deadline((unsigned)ms);
}

/* ---- each call ---- */

static void each_call(void **state)
{
    (void)state;
    tarn_ring *out, *in, *other = NULL;
    char text[64] = "";
    size_t size = 77, n = 77;
    void *place;
    const void *seen;
    both("calls", shaped(4, 16, 0), &out, &in);
    assert_int_equal(tarn_ring_receive_try(in, text, sizeof text, &size), -EAGAIN);
    assert_int_equal(size, 77);
    assert_int_equal(tarn_ring_send(out, "one", 3), 0);
    assert_int_equal(tarn_ring_send_try(out, "2 is long enough", 16), 0);
    assert_int_equal(tarn_ring_send_timed(out, "", 0, &(struct timespec){0, 0}), 0);
    assert_int_equal(tarn_ring_loan_try(out, 12, &place), 0);
    assert_int_equal((uintptr_t)place % 8, 0);
    memcpy(place, "four", 4);
    assert_int_equal(tarn_ring_send_loan(out, 4), 0);
    assert_int_equal(tarn_ring_send_try(out, "5", 1), -EAGAIN);
    assert_says("full");
    assert_int_equal(tarn_ring_loan_try(out, 1, &place), -EAGAIN);
    assert_int_equal(tarn_ring_send_many_try(out, "5", 1, 1, &n), -EAGAIN);
    assert_int_equal(stat_of_ring("calls").waiting, 4);
    assert_int_equal(tarn_ring_receive(in, text, sizeof text, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(text, "one", 3);
    assert_int_equal(tarn_ring_receive_try(in, text, 15, &size), -EMSGSIZE);
    assert_says("larger than the room of 15");
    assert_int_equal(tarn_ring_take(in, &seen, &size), 0);
    assert_int_equal(size, 16);
    assert_memory_equal(seen, "2 is long enough", 16);
    assert_int_equal(tarn_ring_release(in), 0);
    assert_int_equal(tarn_ring_receive_timed(in, text, 0, &size, &(struct timespec){0, 0}), 0);
    assert_int_equal(size, 0);
    assert_int_equal(tarn_ring_take_try(in, &seen, &size), 0);
    assert_int_equal(size, 4);
    assert_memory_equal(seen, "four", 4);
    assert_int_equal(tarn_ring_release(in), 0);
    assert_int_equal(tarn_ring_take_try(in, &seen, &size), -EAGAIN);
    assert_says("empty");
    /* many */
    size_t sizes[8];
    assert_int_equal(tarn_ring_send_many(out, "aabbccddeeff", 2, 6, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(tarn_ring_receive_many_try(in, text, 8, 3, sizes, &n), 0);
    assert_int_equal(n, 3);
    assert_memory_equal(text + 16, "cc", 2);
    assert_int_equal(sizes[2], 2);
    assert_int_equal(tarn_ring_receive_many(in, text, 8, 3, NULL, &n), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(text, "dd", 2);
    assert_int_equal(tarn_ring_receive_many_try(in, text, 8, 3, NULL, &n), -EAGAIN);
    /* the second does not fit: the first comes, and then it says so */
    assert_int_equal(tarn_ring_send(out, "x", 1), 0);
    assert_int_equal(tarn_ring_send(out, "yyyy", 4), 0);
    assert_int_equal(tarn_ring_receive_many(in, text, 2, 3, NULL, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(tarn_ring_receive_many(in, text, 2, 3, NULL, &n), -EMSGSIZE);
    /* in hand */
    assert_int_equal(tarn_ring_take(in, &seen, &size), 0);
    assert_int_equal(tarn_ring_take(in, &seen, &size), -EBUSY);
    assert_says("release it first");
    assert_int_equal(tarn_ring_receive_try(in, text, sizeof text, &size), -EBUSY);
    assert_int_equal(tarn_ring_receive_many_try(in, text, 8, 3, NULL, &n), -EBUSY);
    assert_int_equal(tarn_ring_close(in), -EBUSY);
    assert_says("in hand");
    assert_int_equal(tarn_ring_release(in), 0);
    assert_int_equal(tarn_ring_release(in), -EINVAL);
    assert_says("nothing of \"calls\" is in hand");
    assert_int_equal(tarn_ring_loan(out, 5, &place), 0);
    assert_int_equal(tarn_ring_loan(out, 5, &place), -EBUSY);
    assert_int_equal(tarn_ring_send(out, "x", 1), -EBUSY);
    assert_int_equal(tarn_ring_send(out, "x2345678", 8), -EBUSY);
    assert_says("send or drop it first");
    assert_int_equal(tarn_ring_send_many(out, "x", 1, 1, &n), -EBUSY);
    assert_int_equal(tarn_ring_close(out), -EBUSY);
    assert_int_equal(tarn_ring_send_loan(out, 6), -EMSGSIZE);
    assert_says("6 bytes of a loan of 5");
    assert_int_equal(tarn_ring_drop_loan(out), 0);
    assert_int_equal(tarn_ring_drop_loan(out), -EINVAL);
    assert_int_equal(tarn_ring_send_loan(out, 0), -EINVAL);
    assert_int_equal(stat_of_ring("calls").waiting, 0);
    /* what cannot be */
    assert_int_equal(tarn_ring_send(out, text, 17), -EMSGSIZE);
    assert_says("takes up to 16");
    assert_int_equal(tarn_ring_send_try(out, text, SIZE_MAX), -EMSGSIZE);
    assert_int_equal(tarn_ring_loan(out, 17, &place), -EMSGSIZE);
    assert_int_equal(tarn_ring_send_many(out, text, 17, 1, &n), -EMSGSIZE);
    assert_int_equal(tarn_ring_send_many(out, text, 1, 0, &n), -EINVAL);
    assert_int_equal(tarn_ring_receive_many(in, text, 1, 0, NULL, &n), -EINVAL);
    assert_int_equal(tarn_ring_receive_timed(in, text, 1, &n, &(struct timespec){0, 1000000000}), -EINVAL);
    assert_int_equal(tarn_ring_receive_timed(in, text, 1, &n, NULL), -EINVAL);
    assert_int_equal(tarn_ring_receive_timed(in, text, 1, &n, &(struct timespec){0, 0}), -ETIMEDOUT);
    assert_says("tarn_ring_receive_timed: the ring \"calls\" got no message in time");
    assert_int_equal(tarn_ring_take_timed(in, &seen, &n, &(struct timespec){0, 0}), -ETIMEDOUT);
    assert_int_equal(tarn_ring_receive_many_timed(in, text, 1, 1, NULL, &n, &(struct timespec){0, 0}), -ETIMEDOUT);
    struct timespec soon = in_ms(3);
    assert_int_equal(tarn_ring_receive_timed(in, text, 1, &n, &soon), -ETIMEDOUT);
    assert_int_equal(tarn_ring_send(in, "x", 1), -EBADF);
    assert_int_equal(tarn_ring_send(in, "x2345678", 8), -EBADF);
    assert_says("not opened with TARN_SEND");
    assert_int_equal(tarn_ring_receive(out, text, 8, &n), -EBADF);
    assert_int_equal(tarn_ring_release(out), -EBADF);
    assert_int_equal(tarn_ring_send_loan(in, 0), -EBADF);
    assert_int_equal(tarn_ring_open(seg, "calls", TARN_SEND, NULL, &other), -EBUSY);
    assert_says("has its sender");
    assert_int_equal(tarn_ring_open(seg, "calls", TARN_RECEIVE, NULL, &other), -EBUSY);
    assert_int_equal(tarn_ring_open(seg, "calls", TARN_RECEIVE | TARN_SEND, NULL, &other), -EINVAL);
    assert_int_equal(tarn_ring_open(seg, "calls", 1u << 20, NULL, &other), -EINVAL);
    assert_int_equal(tarn_ring_open(seg, "nothing", TARN_RECEIVE, NULL, &other), -ENOENT);
    assert_null(other);
    tarn_map *map;
    assert_int_equal(tarn_map_open(seg, "map", TARN_CREATE, &map), 0);
    assert_int_equal(tarn_ring_open(seg, "map", TARN_RECEIVE, NULL, &other), -EPROTO);
    tarn_map_close(map);
    assert_int_equal(tarn_unbind(seg, "map", 1), 0);
    assert_int_equal(tarn_unbind(seg, "calls", 1), -EBUSY);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_ring_send(out, "x", 1), -EPERM);
    assert_int_equal(tarn_ring_send(out, "x2345678", 8), -EPERM);
    assert_int_equal(tarn_ring_receive_try(in, text, 8, &n), -EPERM);
    assert_int_equal(tarn_ring_open(seg, "calls", TARN_RECEIVE, NULL, &other), -EPERM);
    assert_int_equal(tarn_abort(seg), 0);
    /* to look only */
    other = opened("calls", 0);
    assert_int_equal(tarn_ring_send(other, "x2345678", 8), -EBADF);
    assert_int_equal(tarn_ring_receive(other, text, 8, &n), -EBADF);
    assert_int_equal(tarn_ring_close(other), 0);
    assert_int_equal(tarn_ring_close(NULL), 0);
    away("calls", out, in);
}

static void shapes_refused(void **state)
{
    static const struct {
        struct tarn_channel_options o;
        const char *says;
    } bad[] = {
        {{.size = 8}, "the options of a ring"},
        {{.size = sizeof bad[0].o, .reserved = {0, 1}}, "reserved"},
        {{.size = sizeof bad[0].o, .flags = 2}, "flags 0x2"},
        {{.size = sizeof bad[0].o, .number = 3}, "number 3"},
        {{.size = sizeof bad[0].o, .message = (1u << 30) + 1}, "2^30"},
        {{.size = sizeof bad[0].o, .capacity = (1u << 30) + 1}, "2^30"},
        {{.size = sizeof bad[0].o, .parties = 5000}, "5000 parties"},
        {{.size = sizeof bad[0].o, .flags = TARN_RING_BYTES, .capacity = 32, .message = 1}, "at least 64"},
        {{.size = sizeof bad[0].o, .flags = TARN_RING_BYTES, .capacity = 64, .message = 25}, "half of it"},
    };
    (void)state;
    tarn_ring *r = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tarn_ring_open(seg, "bad", TARN_CREATE | TARN_SEND, &bad[i].o, &r), -EINVAL);
        assert_says(bad[i].says);
    }
    const struct tarn_channel_options large = shaped(1u << 30, 1u << 30, 0);
    assert_int_equal(tarn_ring_open(seg, "bad", TARN_CREATE | TARN_SEND, &large, &r), -EINVAL);
    assert_says("cannot be had");
    assert_null(r);
    assert_int_equal(tarn_ring_open(seg, "bad", 0, NULL, &r), -ENOENT);
}

static void read_only(void **state)
{
    (void)state;
    tarn *reader;
    tarn_ring *out, *in, *r = NULL;
    struct tarn_channel_stat s;
    char text[8];
    both("looked at", shaped(8, 8, 0), &out, &in);
    assert_int_equal(tarn_ring_send(out, "x", 1), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_ring_open(reader, "looked at", TARN_SEND, NULL, &r), -EROFS);
    assert_int_equal(tarn_ring_open(reader, "looked at", 0, NULL, &r), 0);
    assert_int_equal(tarn_ring_send(r, "x", 1), -EROFS);
    assert_int_equal(tarn_ring_receive_try(r, text, 8, NULL), -EROFS);
    assert_int_equal(tarn_channel_stat(reader, "looked at", &s), 0);
    assert_int_equal(s.waiting, 1);
    assert_int_equal(tarn_ring_close(r), 0);
    assert_int_equal(tarn_close(reader), 0);
    away("looked at", out, in);
}

static int one_party(const struct tarn_party *p, void *arg)
{
    struct tarn_party *at = arg;
    at[p->role == TARN_RECEIVE] = *p;
    return 0;
}
static void what_others_see(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, TARN_RING_BYTES};
    for (int k = 0; k < 2; k++) {
        tarn_ring *out, *in;
        struct tarn_party p[2] = {0};
        struct tarn_channel_stat s;
        both("seen", shaped(256, 8, flags[k]), &out, &in);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 3; i++) {
                assert_int_equal(tarn_ring_send(out, "12345678", 8), 0);
                if (i)
                    assert_int_equal(tarn_ring_receive(in, (char[8]){0}, 8, NULL), 0);
            }
            if (round == 1) { /* positions go on, counts of a party begin anew */
                assert_int_equal(tarn_ring_close(out), 0);
                assert_int_equal(tarn_ring_close(in), 0);
                out = opened("seen", TARN_SEND);
                in = opened("seen", TARN_RECEIVE);
            }
        }
        s = stat_of_ring("seen");
        assert_string_equal(s.kind, "ring");
        assert_int_equal(s.capacity, 256);
        assert_int_equal(s.message, 8);
        assert_int_equal(s.parties, 4);
        assert_int_equal(s.senders, 1);
        assert_int_equal(s.receivers, 1);
        assert_int_equal(s.sent, 9);
        assert_int_equal(s.received, 6);
        assert_int_equal(s.waiting, 3);
        assert_int_equal(s.deaths, 0);
        assert_int_equal(tarn_channel_parties(seg, "seen", one_party, p), 0);
        assert_int_equal(p[0].messages, 3);
        assert_int_equal(p[1].messages, 2);
        assert_int_equal(p[0].behind, 0);
        assert_int_equal(p[1].behind, 3);
        assert_int_equal(p[1].alive, 1);
        away("seen", out, in);
    }
}

/* ---- beside a model ---- */

struct model {
    uint32_t first, count; /* messages numbered from first on are there */
    uint32_t size[MOST_BYTES];
    uint32_t limit, capacity;
    bool bytes;
};

static void fill(char *at, uint32_t number, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        at[i] = (char)(number * 31 + i * 7);
}
static void assert_filled(const char *at, uint32_t number, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        assert_int_equal(at[i], (char)(number * 31 + i * 7));
}

/* A size, often at an edge. */
static uint32_t some_size(const struct model *m)
{
    uint32_t k = chance(8);
    return k == 0 ? m->limit : k == 1 ? 0 : k == 2 && m->limit >= 8 ? 8 : chance(m->limit + 1);
}
static void put(struct model *m, uint32_t size)
{
    m->size[(m->first + m->count++) % MOST_BYTES] = size;
}

/* Refused: of slots, exactly when it is full. Of bytes, an empty one takes anything, and one with room for it wherever it begins takes it. */
static void assert_may_be_full(const struct model *m, uint32_t size)
{
    uint64_t used = 0;
    if (!m->bytes) {
        assert_int_equal(m->count, m->capacity);
        return;
    }
    for (uint32_t i = 0; i < m->count; i++)
        used += record_bytes(m->size[(m->first + i) % MOST_BYTES]);
    assert_true(m->count > 0);
    assert_true(used + 2 * record_bytes(size) + m->limit + 16 > m->capacity);
}

static void step_out(struct model *m, tarn_ring **out, const char *name)
{
    static char text[8 * MOST_BYTES];
    uint32_t size = some_size(m), next = m->first + m->count, count = 1 + chance(20);
    size_t n = 0;
    void *place;
    int e;
    switch (chance(5)) {
    case 0:
    case 1:
        fill(text, next, size);
        e = tarn_ring_send_try(*out, text, size);
        if (e == 0)
            put(m, size);
        break;
    case 2:
        e = tarn_ring_loan_try(*out, size, &place);
        if (e == 0) {
            memset(place, 0xee, size);
            if (chance(4) == 0) {
                assert_int_equal(tarn_ring_drop_loan(*out), 0);
                break;
            }
            if (size)
                size -= chance(size);
            fill(place, next, size);
            assert_int_equal(tarn_ring_send_loan(*out, size), 0);
            put(m, size);
        }
        break;
    case 3:
        if ((size_t)count * size > sizeof text)
            return;
        for (uint32_t i = 0; i < count; i++)
            fill(text + (size_t)i * size, next + i, size);
        e = tarn_ring_send_many_try(*out, text, size, count, &n);
        for (size_t i = 0; i < n; i++)
            put(m, size);
        if (e == 0 && n < count)
            assert_may_be_full(m, size);
        break;
    default:
        if (chance(4))
            return;
        assert_int_equal(tarn_ring_close(*out), 0);
        *out = opened(name, TARN_SEND);
        return;
    }
    assert_true(e == 0 || e == -EAGAIN);
    if (e)
        assert_may_be_full(m, size);
}

static void step_in(struct model *m, tarn_ring **in, const char *name)
{
    static char text[8 * MOST_BYTES];
    uint32_t expected = m->size[m->first % MOST_BYTES], count = 1 + chance(20);
    size_t size = 0, sizes[32], n = 0;
    const void *seen;
    int e;
    switch (chance(5)) {
    case 0:
    case 1:
        e = tarn_ring_receive_try(*in, text, sizeof text, &size);
        seen = text;
        break;
    case 2:
        e = tarn_ring_take_try(*in, &seen, &size);
        if (e == 0)
            assert_int_equal((uintptr_t)seen % 8, 0);
        break;
    case 3: {
        uint32_t room = chance(2) ? m->limit : m->limit == 8 ? 8 : some_size(m);
        if ((size_t)room * count > sizeof text)
            return;
        e = tarn_ring_receive_many_try(*in, text, room, count, sizes, &n);
        assert_true(e == 0 || (e == -EAGAIN && !m->count) || (e == -EMSGSIZE && expected > room));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(sizes[i], m->size[m->first % MOST_BYTES]);
            assert_filled(text + i * room, m->first, (uint32_t)sizes[i]);
            m->first++;
            m->count--;
        }
        if (e == 0 && n < count && m->count)
            assert_true(m->size[m->first % MOST_BYTES] > room);
        return;
    }
    default:
        if (chance(4))
            return;
        assert_int_equal(tarn_ring_close(*in), 0);
        *in = opened(name, TARN_RECEIVE);
        return;
    }
    assert_int_equal(e, m->count ? 0 : -EAGAIN);
    if (e)
        return;
    assert_int_equal(size, expected);
    assert_filled(seen, m->first, expected);
    if (seen != text)
        assert_int_equal(tarn_ring_release(*in), 0);
    m->first++;
    m->count--;
}

static void walk(struct tarn_channel_options options, int steps)
{
    static struct model m;
    tarn_ring *out, *in;
    both("walk", options, &out, &in);
    m = (struct model){.limit = options.message, .capacity = options.capacity, .bytes = options.flags};
    for (int i = 0; i < steps; i++) {
        bool fills = i / 500 % 2; /* full for a while, and empty for a while */
        if (chance(5) < (fills ? 3u : 2u))
            step_out(&m, &out, "walk");
        else
            step_in(&m, &in, "walk");
        if (chance(50) == 0) {
            struct tarn_channel_stat s = stat_of_ring("walk");
            assert_int_equal(s.waiting, m.count);
            assert_int_equal(s.received, m.first);
            assert_int_equal(s.sent, m.first + m.count);
        }
    }
    assert_int_equal(stat_of_ring("walk").lost, 0);
    away("walk", out, in);
}

static void slots_beside_a_model(void **state)
{
    static const uint32_t capacity[] = {1, 2, 4, 8, 64, 1024};
    static const uint32_t message[] = {1, 7, 8, 9, 16, 17, 24, 25, 55, 56, 57, 64, 65, 100, 1000};
    (void)state;
    for (size_t c = 0; c < sizeof capacity / sizeof *capacity; c++)
        for (size_t k = 0; k < sizeof message / sizeof *message; k++)
            walk(shaped(capacity[c], message[k], 0), 3000);
}

static void bytes_beside_a_model(void **state)
{
    static const uint32_t capacity[] = {64, 128, 256, 1024, 8192};
    (void)state;
    for (size_t c = 0; c < sizeof capacity / sizeof *capacity; c++)
        for (uint32_t size = 1; size <= capacity[c] / 2 - 8; size = size * 2 + 1)
            walk(shaped(capacity[c], size, TARN_RING_BYTES), 3000);
    for (size_t c = 0; c < sizeof capacity / sizeof *capacity; c++)
        walk(shaped(capacity[c], capacity[c] / 2 - 8, TARN_RING_BYTES), 6000);
}

/* From any position an empty ring takes the longest message. */
static void longest_record_anywhere(void **state)
{
    (void)state;
    static char text[504], back[504];
    tarn_ring *out, *in;
    size_t size;
    both("longest", shaped(1024, 504, TARN_RING_BYTES), &out, &in);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t small = i % 70;
        fill(text, i, 504);
        assert_int_equal(tarn_ring_send_try(out, text, 504), 0);
        assert_int_equal(tarn_ring_receive_try(in, back, 504, &size), 0);
        assert_int_equal(size, 504);
        assert_memory_equal(text, back, 504);
        assert_int_equal(tarn_ring_send_try(out, text, small), 0);
        assert_int_equal(tarn_ring_receive_try(in, back, 504, &size), 0);
        assert_int_equal(size, small);
    }
    away("longest", out, in);
}

/* The laps' 30 bits turn round; positions do not. */
static void laps_turn_round(void **state)
{
    (void)state;
    static const uint32_t message[] = {8, 16, 100};
    for (int k = 0; k < 3; k++) {
        tarn_ring *out, *in;
        struct ring_shape shape;
        uint64_t at;
        both("laps", shaped(8, message[k], 0), &out, &in);
        shape = out->shape;
        at = ((uint64_t)RING_LAP_MASK - 2) * shape.lines * shape.each + 1;
        for (uint64_t i = 0; i < shape.lines; i++) /* what the lap before left there; in the first, what this one did */
            *ring_word(out->party.slots + i * shape.line) =
                ((uint64_t)RING_LAP_MASK - 1 - (i != 0)) << RING_LAP_SHIFT | 1ull << RING_COUNT_SHIFT;
        out->ends->tail = out->ends->head = at;
        assert_int_equal(tarn_ring_close(out), 0);
        assert_int_equal(tarn_ring_close(in), 0);
        out = opened("laps", TARN_SEND);
        in = opened("laps", TARN_RECEIVE);
        assert_int_equal(tarn_ring_receive_try(in, (char[128]){0}, 128, NULL), -EAGAIN);
        for (uint64_t i = 0; i < 7 * shape.lines * shape.each; i++) {
            uint64_t got = 0;
            assert_int_equal(tarn_ring_send_try(out, &i, 8), 0);
            if (i < 5)
                continue;
            assert_int_equal(tarn_ring_receive_try(in, &got, 8, NULL), 0);
            assert_int_equal(got, i - 5);
            if (i % 11 == 0) {
                assert_int_equal(tarn_ring_close(out), 0);
                assert_int_equal(tarn_ring_close(in), 0);
                out = opened("laps", TARN_SEND);
                in = opened("laps", TARN_RECEIVE);
            }
        }
        assert_int_equal(stat_of_ring("laps").waiting, 5);
        away("laps", out, in);
    }
}

/* ---- threads that wait for each other ---- */

enum { NUMBERS = 20000 };
struct passing {
    const char *name;
    int style; /* 0: copies, 1: in place, 2: many */
    int result;
};

static int send_number(tarn_ring *r, int style, uint64_t i)
{
    void *place;
    size_t n;
    if (style == 0)
        return tarn_ring_send(r, &i, sizeof i);
    if (style == 2)
        return tarn_ring_send_many(r, &i, sizeof i, 1, &n);
    int e = tarn_ring_loan(r, sizeof i, &place);
    if (e)
        return e;
    memcpy(place, &i, sizeof i);
    return tarn_ring_send_loan(r, sizeof i);
}

static void *producer(void *arg)
{
    struct passing *p = arg;
    tarn_ring *r;
    p->result = tarn_ring_open(seg, p->name, TARN_SEND, NULL, &r);
    for (uint64_t i = 0; i < NUMBERS && p->result == 0; i++) {
        if (i % 4000 == 3999)
            usleep(3000); /* the receiver sleeps */
        p->result = send_number(r, p->style, i);
    }
    if (p->result == 0)
        p->result = tarn_ring_close(r);
    tarn_thread_detach(seg);
    return NULL;
}

static void threads_wait(void **state)
{
    (void)state;
    for (int k = 0; k < 6; k++) {
        struct passing p = {.name = "passing", .style = k / 2};
        const struct tarn_channel_options o = k % 2 ? shaped(64, 8, TARN_RING_BYTES) : shaped(4, 8, 0);
        tarn_ring *in;
        pthread_t thread;
        assert_int_equal(tarn_ring_open(seg, "passing", TARN_CREATE | TARN_RECEIVE, &o, &in), 0);
        assert_int_equal(pthread_create(&thread, NULL, producer, &p), 0);
        for (uint64_t i = 0; i < NUMBERS; i++) {
            uint64_t number = NUMBERS;
            const void *seen;
            size_t size = 0, n = 1;
            if (i % 5000 == 4999)
                usleep(3000); /* the sender sleeps */
            if (p.style == 1) {
                assert_int_equal(tarn_ring_take(in, &seen, &size), 0);
                memcpy(&number, seen, 8);
                assert_int_equal(tarn_ring_release(in), 0);
            } else if (p.style == 0)
                assert_int_equal(tarn_ring_receive(in, &number, 8, &size), 0);
            else
                assert_int_equal(tarn_ring_receive_many(in, &number, 8, 1, &size, &n), 0);
            assert_int_equal(size, 8);
            assert_int_equal(number, i);
        }
        pthread_join(thread, NULL);
        assert_int_equal(p.result, 0);
        assert_int_equal(tarn_ring_close(in), 0);
        assert_int_equal(tarn_unbind(seg, "passing", 1), 0);
    }
}

static void *use_others_handle(void *arg)
{
    tarn_ring *r = arg;
    return (void *)(intptr_t)tarn_ring_send(r, "12345678", 8);
}
static void child_uses_it(void *arg)
{
    tarn_ring **r = arg;
    char text[8];
    check(tarn_ring_send(r[0], "12345678", 8) == -EPERM);
    check(tarn_ring_receive_try(r[1], text, 8, NULL) == -EPERM);
    check(tarn_ring_close(r[0]) == 0); /* its copy: the seat stays the parent's */
}
static void *leave_it_open(void *arg)
{
    tarn_ring **r = arg;
    void *place;
    if (tarn_ring_open(seg, "left", TARN_SEND, NULL, r) || tarn_ring_loan(*r, 8, &place))
        return (void *)1;
    return NULL;
}
static void other_threads(void **state)
{
    (void)state;
    tarn_ring *out, *in, *left;
    pthread_t thread;
    void *result;
    both("others", shaped(4, 8, 0), &out, &in);
    pthread_create(&thread, NULL, use_others_handle, out);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, -EPERM);
    assert_int_equal(in_child(child_uses_it, (tarn_ring *[]){out, in}), 0);
    assert_int_equal(tarn_ring_send(out, "12345678", 8), 0);
    assert_int_equal(tarn_ring_receive_try(in, (char[8]){0}, 8, NULL), 0);
    away("others", out, in);
    /* who ends with a loan in hand makes room for the next; the handle is freed by whoever likes */
    both("left", shaped(4, 8, 0), &out, &in);
    assert_int_equal(tarn_ring_close(out), 0);
    pthread_create(&thread, NULL, leave_it_open, &left);
    pthread_join(thread, &result);
    assert_null(result);
    out = opened("left", TARN_SEND);
    assert_int_equal(tarn_ring_close(left), 0);
    assert_int_equal(tarn_ring_receive_try(in, (char[8]){0}, 8, NULL), -EAGAIN);
    assert_int_equal(tarn_ring_send(out, "12345678", 8), 0);
    assert_int_equal(tarn_ring_receive_try(in, (char[8]){0}, 8, NULL), 0);
    assert_int_equal(stat_of_ring("left").deaths, 1);
    away("left", out, in);
}

static void descriptors(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, TARN_RING_BYTES};
    for (int k = 0; k < 2; k++) {
        tarn_ring *out, *in;
        tarn_poll *news, *room;
        int news_fd, room_fd, sent = 0;
        both("watched", shaped(64, 8, flags[k]), &out, &in);
        assert_int_equal(tarn_poll_open(seg, &news, &news_fd), 0);
        assert_int_equal(tarn_poll_open(seg, &room, &room_fd), 0);
        assert_int_equal(tarn_ring_poll(in, news), 0);
        assert_int_equal(tarn_ring_poll(in, news), -EEXIST);
        struct pollfd f = {.fd = news_fd, .events = POLLIN}, g = {.fd = room_fd, .events = POLLIN};
        assert_int_equal(poll(&f, 1, 20), 0);
        assert_int_equal(tarn_ring_send(out, "x", 1), 0);
        assert_int_equal(poll(&f, 1, 20000), 1);
        assert_int_equal(tarn_ring_receive_try(in, (char[8]){0}, 8, NULL), 0);
        assert_int_equal(tarn_poll_clear(news), 0);
        assert_int_equal(poll(&f, 1, 20), 0);
        while (tarn_ring_send_try(out, "12345678", 8) == 0)
            sent++;
        assert_int_equal(sent, flags[k] ? 3 : 64); /* of 64 bytes, 8 are for the end */
        assert_int_equal(poll(&f, 1, 20000), 1);
        assert_int_equal(tarn_ring_poll(out, room), 0);
        assert_int_equal(poll(&g, 1, 20), 0);
        while (tarn_ring_receive_try(in, (char[8]){0}, 8, NULL) == 0)
            ;
        assert_int_equal(poll(&g, 1, 20000), 1);
        tarn_poll_close(news);
        tarn_poll_close(room);
        away("watched", out, in);
    }
}

/* ---- hostile bytes ---- */

/* Whatever stands there: an end with a clear answer, nothing outside touched (the sanitizers' build sees it), and no loop without end. */
static void assert_answers(int e)
{
    if (e != 0 && e != -EAGAIN && e != -EUCLEAN && e != -EMSGSIZE)
        fail_msg("%d: %s", e, tarn_error());
}
static void spoil(const struct channel_shape *shape, struct channel *c, char *slots)
{
    static const uint64_t odd[] = {
        0, 1, 7, 0xff, 1u << 31, RING_SKIP, RING_USED, RING_USED | RING_SKIP, 1ull << 33, ~0ull};
    struct ring_ends *ends = (struct ring_ends *)(void *)c->own;
    uint64_t v = odd[chance(10)] ^ (chance(2) ? (uint64_t)chance(1u << 24) << chance(41) : 0);
    uint64_t bytes = shape->bytes - shape->slots;
    switch (chance(6)) {
    case 0: ends->head += v; break;
    case 1: ends->tail += v; break;
    case 2: ends->sent = v; break;
    default: memcpy(slots + chance((uint32_t)(bytes / 8)) * 8, &v, 8); break;
    }
}

static void hostile_bytes(void **state)
{
    (void)state;
    static const struct {
        uint32_t capacity, message, flags;
    } shape[] = {
        {8, 8, 0}, {4, 16, 0}, {2, 100, 0}, {1, 1, 0}, {64, 24, TARN_RING_BYTES}, {256, 50, TARN_RING_BYTES}};
    for (int i = 0; i < 6000; i++) {
        const int k = (int)chance(6);
        char text[20 * 128] = "", name[] = "hostile";
        const struct tarn_channel_options o = shaped(shape[k].capacity, shape[k].message, shape[k].flags);
        tarn_ring *out = NULL, *in = NULL;
        struct tarn_channel_stat s;
        struct tarn_channel_sizes sizes = {.at = {chance(40), chance(10)}};
        struct tarn_party p[2];
        size_t size;
        const void *seen;
        struct party look;
        both(name, o, &out, &in);
        assert_int_equal(channel_look(seg, name, &look), 0);
        for (int step = 0; step < 20; step++) {
            if (chance(3) == 0)
                spoil(&look.shape, look.channel, look.slots);
            if (out)
                assert_answers(tarn_ring_send_try(out, text, chance(shape[k].message + 1)));
            if (out && chance(3) == 0)
                assert_answers(tarn_ring_send_many_try(out, text, 1 + chance(shape[k].message), 20, &size));
            if (in && chance(2))
                assert_answers(tarn_ring_receive_try(in, text, sizeof text, &size));
            else if (in && chance(2))
                assert_answers(tarn_ring_receive_many_try(in, text, 128, 20, NULL, &size));
            else if (in && tarn_ring_take_try(in, &seen, &size) == 0) {
                assert_true((const char *)seen >= look.slots &&
                            (const char *)seen + size <= look.slots + look.shape.bytes - look.shape.slots);
                assert_int_equal(tarn_ring_release(in), 0);
            }
            if (in) {
                struct timespec soon = in_ms(0);
                assert_true(tarn_ring_receive_timed(in, text, sizeof text, &size, &soon) != -EAGAIN);
            }
            assert_int_equal(tarn_channel_stat(seg, name, &s), 0);
            assert_int_equal(tarn_channel_sizes(seg, name, &sizes), 0);
            assert_true(sizes.messages <= SIZES_MOST && sizes.bytes <= sizes.messages * shape[k].message);
            assert_int_equal(tarn_channel_parties(seg, name, one_party, p), 0);
            if (chance(5) == 0) {
                tarn_ring_close(out);
                tarn_ring_close(in);
                out = in = NULL;
                if (tarn_ring_open(seg, name, TARN_SEND, NULL, &out))
                    assert_says("damaged");
                if (tarn_ring_open(seg, name, TARN_RECEIVE, NULL, &in))
                    assert_says("damaged");
            }
        }
        tarn_ring_close(out);
        tarn_ring_close(in);
        assert_int_equal(tarn_unbind(seg, name, 1), 0);
    }
}

/* One word at a time, and the call that meets it says so. */
static void damaged_words(void **state)
{
    (void)state;
    tarn_ring *out, *in, *other = NULL;
    const void *seen;
    char text[64];
    size_t size;
    both("words", shaped(8, 16, 0), &out, &in);
    assert_int_equal(tarn_ring_send(out, "0123456789abcdef", 16), 0);
    uint64_t *control = ring_word(in->line), was = *control;
    *control = was + 1; /* 17 bytes */
    assert_int_equal(tarn_ring_take_try(in, &seen, &size), -EUCLEAN);
    assert_says("the ring \"words\" is damaged");
    assert_int_equal(tarn_ring_receive_try(in, text, 64, &size), -EUCLEAN);
    assert_int_equal(tarn_ring_close(in), 0);
    in = opened("words", TARN_RECEIVE);
    *control = was + (4ull << RING_COUNT_SHIFT); /* five in a line of three */
    assert_int_equal(tarn_ring_receive_try(in, text, 64, &size), -EUCLEAN);
    *control = was;
    assert_int_equal(tarn_ring_receive_try(in, text, 64, &size), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(tarn_ring_send_try(out, "x", 1), 0);
    out->ends->head = 12; /* more than was sent: the sender needs room, and looks */
    assert_int_equal(tarn_ring_send_try(out, "x", 1), -EUCLEAN);
    out->ends->head = UINT64_MAX; /* released before it was sent */
    assert_int_equal(tarn_ring_send_try(out, "x", 1), -EUCLEAN);
    out->ends->head = 1;
    assert_int_equal(tarn_ring_send_try(out, "x", 1), -EAGAIN);
    away("words", out, in);
    both("words", shaped(128, 16, TARN_RING_BYTES), &out, &in);
    assert_int_equal(tarn_ring_send(out, "0123456789abcdef", 16), 0);
    assert_int_equal(tarn_ring_close(in), 0);
    out->ends->head = 4; /* no record begins there */
    assert_int_equal(tarn_ring_open(seg, "words", TARN_RECEIVE, NULL, &other), -EUCLEAN);
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_ring_open(seg, "words", TARN_SEND, NULL, &other), -EUCLEAN);
    assert_null(other);
    assert_int_equal(stat_of_ring("words").senders + stat_of_ring("words").receivers, 0);
    struct party look;
    assert_int_equal(channel_look(seg, "words", &look), 0);
    ((struct ring_ends *)(void *)look.channel->own)->head = 0;
    in = opened("words", TARN_RECEIVE);
    assert_int_equal(tarn_ring_receive_try(in, text, 64, &size), 0);
    assert_int_equal(size, 16);
    out = opened("words", TARN_SEND);
    away("words", out, in);
}

/* tail is told once a line, or with each record: whoever opens it to send begins to look there. */
static void tail_follows(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= TARN_RING_BYTES; flags += TARN_RING_BYTES) {
        const struct tarn_channel_options o = {
            .size = sizeof o, .capacity = 64, .message = 8, .parties = 2, .flags = flags};
        tarn_ring *out, *in;
        uint64_t text = 1;
        size_t size;
        assert_int_equal(tarn_ring_open(seg, "tail", TARN_CREATE | TARN_SEND, &o, &out), 0);
        assert_int_equal(tarn_ring_open(seg, "tail", TARN_RECEIVE, NULL, &in), 0);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(tarn_ring_send_try(out, &text, 8), 0);
            assert_in_range(out->at - load64(&out->ends->tail), 0, flags ? 0 : 6);
            assert_int_equal(tarn_ring_receive_try(in, &text, 8, &size), 0);
        }
        assert_int_equal(tarn_ring_close(out), 0);
        assert_int_equal(tarn_ring_close(in), 0);
        assert_int_equal(tarn_unbind(seg, "tail", 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tail_follows),         cmocka_unit_test(each_call),
        cmocka_unit_test(shapes_refused),       cmocka_unit_test(read_only),
        cmocka_unit_test(what_others_see),      cmocka_unit_test(slots_beside_a_model),
        cmocka_unit_test(bytes_beside_a_model), cmocka_unit_test(longest_record_anywhere),
        cmocka_unit_test(laps_turn_round),      cmocka_unit_test(threads_wait),
        cmocka_unit_test(other_threads),        cmocka_unit_test(descriptors),
        cmocka_unit_test(hostile_bytes),        cmocka_unit_test(damaged_words),
    };
    return cmocka_run_group_tests(tests, open_segment, close_segment);
}

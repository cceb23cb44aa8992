/* operations_ring.c - for CRASHLAB: the ring, of slots and of bytes. The subject has both ends; what the oracle sees of it is in oracle_ring.c. */
#include <string.h>

#include "operations.h"
#include "tarn/channel.h"

static tarn_ring *out, *in;

static struct tarn_channel_options shaped(uint32_t capacity, uint32_t message, uint32_t flags)
{
    return (struct tarn_channel_options){.size = sizeof(struct tarn_channel_options),
                                         .capacity = capacity,
                                         .message = message,
                                         .parties = 3,
                                         .flags = flags};
}

static void send(uint64_t number, size_t size)
{
    uint64_t text[8] = {number, number + 1, number + 2, number + 3};
    MUST(tarn_ring_send(out, text, size));
}
static void receive(void)
{
    uint64_t text[8];
    size_t size;
    MUST(tarn_ring_receive(in, text, sizeof text, &size));
}

/* Some have gone through it before, so that lines, or the end, are passed. */
static void ready(struct lab *l, struct tarn_channel_options options, int before, int there)
{
    MUST(tarn_ring_open(SEG, "ring", TARN_CREATE | TARN_SEND, &options, &out));
    MUST(tarn_ring_open(SEG, "ring", TARN_RECEIVE, NULL, &in));
    for (int i = 0; i < before; i++) {
        send(1, 8);
        receive();
    }
    for (int i = 0; i < there; i++)
        send(50 + (uint64_t)i, 8);
}
static void small_ones(struct lab *l)
{
    ready(l, shaped(8, 8, 0), 5, 0);
}
static void small_ones_there(struct lab *l)
{
    ready(l, shaped(8, 8, 0), 5, 7);
}
static void at_a_line(struct lab *l)
{
    ready(l, shaped(8, 8, 0), 7, 0);
    MUST(tarn_ring_close(out)); /* who opens it knows of all the room there is: so all four go with one store */
    MUST(tarn_ring_open(SEG, "ring", TARN_SEND, NULL, &out));
}
static void large_ones(struct lab *l)
{
    ready(l, shaped(2, 64, 0), 1, 0);
}
static void in_bytes(struct lab *l)
{
    ready(l, shaped(128, 40, TARN_RING_BYTES), 4, 0);
}
static void in_bytes_there(struct lab *l)
{
    ready(l, shaped(128, 40, TARN_RING_BYTES), 5, 4);
}

static void make(struct lab *l)
{
    const struct tarn_channel_options options = shaped(4, 8, 0);
    MUST(tarn_ring_open(SEG, "ring", TARN_CREATE | TARN_SEND, &options, &out));
    mark(l);
    send(3, 8);
    mark(l);
    MUST(tarn_ring_close(out));
    MUST(tarn_ring_open(SEG, "ring", TARN_SEND, NULL, &out));
    send(4, 8);
}
static void sends(struct lab *l)
{
    for (uint64_t i = 0; i < 4; i++) {
        send(10 + i, i & 1 ? 8 : 5);
        mark(l);
    }
    receive();
}
static void sends_large(struct lab *l)
{
    send(10, 32);
    mark(l);
    send(20, 29);
    mark(l);
    receive();
    mark(l);
    send(30, 8);
}
static void sends_many(struct lab *l)
{
    const uint64_t text[4] = {10, 11, 12, 13};
    size_t n;
    (void)l;
    MUST(tarn_ring_send_many(out, text, 8, 4, &n));
}
static void loans(struct lab *l)
{
    void *place;
    MUST(tarn_ring_loan(out, 40, &place));
    memset(place, 0x11, 40);
    MUST(tarn_ring_send_loan(out, 40));
    mark(l);
    MUST(tarn_ring_loan(out, 24, &place));
    memset(place, 0x22, 24);
    MUST(tarn_ring_drop_loan(out));
    MUST(tarn_ring_loan(out, 16, &place));
    memset(place, 0x33, 16);
    MUST(tarn_ring_send_loan(out, 8));
}
static void receives(struct lab *l)
{
    const void *seen;
    size_t size, n;
    uint64_t text[6];
    receive();
    mark(l);
    MUST(tarn_ring_take(in, &seen, &size));
    MUST(tarn_ring_release(in));
    mark(l);
    MUST(tarn_ring_receive_many(in, text, 8, 6, NULL, &n));
}
static void closes(struct lab *l)
{
    const void *seen;
    size_t size;
    MUST(tarn_ring_close(out));
    MUST(tarn_ring_take(in, &seen, &size));
    MUST(tarn_ring_release(in));
    mark(l);
    MUST(tarn_ring_close(in));
    MUST(tarn_ring_open(SEG, "ring", TARN_RECEIVE, NULL, &in));
    receive();
}
static void unbinds(struct lab *l)
{
    MUST(tarn_ring_close(out));
    MUST(tarn_ring_close(in));
    MUST(tarn_unbind(SEG, "ring", 1));
}

const struct operation ring_operations[] = {
    {"ring make", OP_FEW, NULL, NULL, make},
    {"ring send", 0, small_ones, NULL, sends},
    {"ring send, large", 0, large_ones, NULL, sends_large},
    {"ring send, bytes", 0, in_bytes, NULL, sends_large},
    {"ring send many", 0, at_a_line, NULL, sends_many},
    {"ring send many, bytes", 0, in_bytes, NULL, sends_many},
    {"ring loan", 0, large_ones, NULL, loans},
    {"ring loan, bytes", 0, in_bytes, NULL, loans},
    {"ring receive", 0, small_ones_there, NULL, receives},
    {"ring receive, bytes", 0, in_bytes_there, NULL, receives},
    {"ring close", OP_FEW, small_ones_there, NULL, closes},
    {"ring unbind", OP_FEW, in_bytes_there, NULL, unbinds},
    {0},
};

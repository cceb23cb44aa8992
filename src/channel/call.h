/* channel/call.h - a call channel's words, and where they are. docs/channel.md, 'Call', has the states and the orders of stores. For call.c and call_check.c
 * alone: its names are short.
 *
 * struct call_slot (layout.h) lives in the segment; struct tarn_call is private, and its thread's. */
#ifndef TARN_CHANNEL_CALL_H
#define TARN_CHANNEL_CALL_H

#include "channel/channel.h"

/* ---- a slot's word ---- */

enum state { FREE, OPEN, ASKED, TAKEN, ANSWERED, FAILED, CANCELLED, DROPPED };
#define WORD(turn, state, seat) ((uint64_t)(turn) << 19 | (uint64_t)(state) << 16 | (uint64_t)(seat))
#define TURN(w) ((w) >> 19)
#define STATE(w) ((enum state)((w) >> 16 & 7))
#define SEAT(w) ((uint32_t)((w)&0xffff))
#define AFTER(w) WORD(TURN(w) + 1, FREE, 0)

#define CALL_FAR 0x80000000u /* in flags: the response stands in its own lines */
#define ORDER_SLOT 0xffffffull

/* Words of struct channel.own, each in a line of its own, and of a seat. */
enum { TAIL = 0, HEAD = 8 };
enum {
    BELL = 0 /* a doorbell, of a client */,
    REDO = 8,
    ASKING = 9 /* a client's slot + 1 that may not be in the order yet */
};

struct tarn_call {
    struct party party;
    uint32_t seat;    /* its number + 1 */
    uint32_t hint;    /* the slot to try first */
    uint32_t waiting; /* slot + 1 of the call that is waited for */
    uint32_t open;    /* calls begun or loaned, and requests in hand: not ended */
    uint32_t idle;    /* tries that found nothing */
};

/* What is wrong with one: see struct channel_class. */
int call_check(struct channel_check *c);

/* ---- layout: the order, 2 x capacity words; then the slots ---- */

static inline uint64_t lines(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
static inline uint64_t order_length(const struct party *p)
{
    return 2ull * p->shape.capacity;
}
static inline uint64_t area(const struct party *p) /* of a large request, or response */
{
    return lines(p->shape.size);
}
static inline uint64_t slot_bytes(uint64_t size)
{
    return sizeof(struct call_slot) + 2 * lines(size);
}
static inline uint64_t *order_at(const struct party *p, uint64_t position)
{
    return (uint64_t *)(void *)p->slots + (position & (order_length(p) - 1));
}
static inline struct call_slot *slot_at(const struct party *p, uint32_t i)
{
    return (struct call_slot *)(void *)(p->slots + order_length(p) * 8 + i * slot_bytes(p->shape.size));
}

#endif

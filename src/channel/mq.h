/* channel/mq.h - the message queue's shape, and the words of its entries and chunks. docs/channel.md has the orders of stores and the equations.
 *
 * struct mq is private: what follows from a shape that was checked. All that is read from the segment is masked, or compared with it, before it is used. */
#ifndef TARN_CHANNEL_MQ_H
#define TARN_CHANNEL_MQ_H

#include "channel/channel.h"

struct mq {
    uint64_t *entries; /* [level][position & mask] */
    char *chunks;
    struct mq_shared *shared;
    uint64_t stride; /* of chunks */
    uint64_t mask;   /* capacity - 1 */
    uint32_t count;  /* of chunks */
    uint32_t levels;
    uint32_t most;                                      /* bytes of a message */
    uint8_t capacity_bits, chunk_bits, lap_shift, body; /* body: where it begins in a chunk */
};

/* A handle: its thread's. What is in hand is here, too, for the segment's word on it may be anything. */
struct mq_hand {
    uint32_t chunk; /* + 1; 0: none */
    uint32_t size;  /* of a message */
    bool loan;
};
struct tarn_mq {
    struct party party;
    struct mq q;
    struct mq_seat *seat;
    uint32_t spare; /* + 1; 0: none */
    uint32_t cursor;
    uint32_t glances; /* counts receives: now and then one looks at a seat */
    uint32_t wants; /* level of the send that was refused last; MQ_LEVELS: a loan. Also read by a descriptor's thread */
    uint64_t seen; /* `made`, when nothing of what came back was there any more. The same */
    uint64_t tail[MQ_LEVELS], head[MQ_LEVELS]; /* as the hints */
    struct mq_hand hand[MQ_HANDS];
};

/* What is behind the seats of such a shape: bytes of the entries, and of all. The shape has been through the class's `bytes`. */
uint64_t mq_entries_bytes(const struct channel_shape *shape);
void mq_of(const struct party *p, struct mq *ret_q);

/* ---- a chunk's word ---- */

enum { MQ_LOOSE, MQ_OWNED, MQ_TAKEN, MQ_SENT, MQ_FREE, MQ_AGAIN };
#define MQ_WHAT(w) ((unsigned)((w)&7))
#define MQ_ID(w) ((uint32_t)((w) >> 33)) /* of OWNED, TAKEN: 31 bits */
#define MQ_SIZE(w) ((uint32_t)((w) >> 3) & 0x3fffffffu)
#define MQ_ORDER(w) ((uint32_t)((w) >> 33)) /* of AGAIN */
static inline uint64_t mq_owned(uint32_t id)
{
    return (uint64_t)id << 33 | MQ_OWNED;
}
static inline uint64_t mq_taken(uint32_t id, uint32_t size)
{
    return (uint64_t)id << 33 | (uint64_t)size << 3 | MQ_TAKEN;
}
static inline uint64_t mq_sent(unsigned level, uint64_t position)
{
    return position << 6 | level << 3 | MQ_SENT;
}
static inline uint64_t mq_free(unsigned level, uint64_t position)
{
    return position << 6 | level << 3 | MQ_FREE;
}
#define MQ_LEVEL(w) ((unsigned)((w) >> 3) & 7) /* of SENT, FREE */
#define MQ_POSITION(w) ((w) >> 6)
/* Which of two that came again is first: 31 bits, the highest level and then the lowest position. */
#define MQ_ORDER_BITS 28
static inline uint32_t mq_order(unsigned level, uint64_t position)
{
    return level << MQ_ORDER_BITS | ((uint32_t)position & ((1u << MQ_ORDER_BITS) - 1));
}
static inline uint64_t mq_again(uint32_t size, uint32_t order)
{
    return (uint64_t)order << 33 | (uint64_t)size << 3 | MQ_AGAIN;
}

/* ---- an entry: {lap, size, chunk} ---- */

static inline uint64_t mq_entry(const struct mq *q, uint64_t position, uint32_t size, uint32_t chunk)
{
    return position >> q->capacity_bits << q->lap_shift | (uint64_t)size << q->chunk_bits | chunk;
}
static inline uint32_t mq_entry_chunk(const struct mq *q, uint64_t e)
{
    return (uint32_t)(e & ((1ull << q->chunk_bits) - 1));
}
static inline uint32_t mq_entry_size(const struct mq *q, uint64_t e)
{
    uint32_t size = (uint32_t)((e & ((1ull << q->lap_shift) - 1)) >> q->chunk_bits);
    return size < q->most ? size : q->most;
}
/* Laps that the entry is ahead of the position's: -1: the position is not claimed; 0: it is; more: it was, and others since. */
static inline int64_t mq_ahead(const struct mq *q, uint64_t e, uint64_t position)
{
    return (int64_t)(e - (position >> q->capacity_bits << q->lap_shift)) >> q->lap_shift;
}

static inline uint64_t *mq_entry_at(const struct mq *q, unsigned level, uint64_t position)
{
    return &q->entries[((uint64_t)level << q->capacity_bits) + (position & q->mask)];
}
static inline uint64_t *mq_word_at(const struct mq *q, uint32_t chunk)
{
    return &((struct mq_chunk *)(void *)(q->chunks + chunk * q->stride))->word;
}
static inline char *mq_body_at(const struct mq *q, uint32_t chunk)
{
    return q->chunks + chunk * q->stride + q->body;
}
static inline struct mq_seat *mq_seat_of(struct channel_seat *seat)
{
    return (struct mq_seat *)(void *)seat->own;
}

/* What is wrong with its words: see channel/check.h. */
int mq_check(struct channel_check *c);

#endif

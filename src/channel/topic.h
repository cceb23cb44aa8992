/* channel/topic.h - the inside of a topic: entries, chunks, who may write one, publishing and reading. docs/channel.md
 *
 *     a chunk may be taken  <=>  FREE, or PUBLISHED(p) and entry[p % capacity] != {p, it};  and no pin names it, looked at after it was taken
 * struct topic_words, topic_seat, topic_chunk (layout.h) live in the segment; struct topic_view is private, worked out of a checked shape, and so is struct
 * tarn_topic, which belongs to the thread that opened it. Commit points: the swap of an entry (topic_publish), the stores of at and of pin (topic_calls.c). */
#ifndef TARN_CHANNEL_TOPIC_H
#define TARN_CHANNEL_TOPIC_H

#include <string.h>

#include "channel/channel.h"

enum { TOPIC_SPARES = 8, TOPIC_HOLD_MOST = 3600000 /* ms */ };

struct topic_view {
    struct topic_words *words;
    uint64_t *entries;
    char *chunks;
    uint64_t mask; /* capacity - 1 */
    uint64_t stride;
    uint32_t count; /* of chunks */
    uint32_t body;  /* offset in a chunk */
    uint32_t size;  /* of a message, at most */
    uint32_t hand;
};

struct tarn_topic {
    struct party party; /* first */
    struct topic_view view;
    struct topic_seat *mine;                              /* NULL: it only looks */
    uint32_t index;                                       /* of its seat */
    bool takes;                                           /* takers says so */
    uint32_t held;                                        /* loans and taken messages in hand */
    uint32_t pin[TOPIC_HAND_MOST], loan[TOPIC_HAND_MOST]; /* as in the seat */
    /* publisher */
    uint32_t making; /* chunk + 1 that it owns */
    uint32_t scan;   /* where to look for the next one */
    uint32_t spares; /* chunks that may be free by now: hints, the oldest first */
    uint32_t spare[TOPIC_SPARES];
    uint64_t holding; /* as seen when `least` was */
    uint64_t least;   /* positions below it are awaited by nobody who holds */
    uint64_t messages, sent;
    /* subscriber */
    uint64_t at;
    uint64_t lost, told; /* since it subscribed; what it was told of that */
    bool holds;
};

void topic_view_of(const struct party *p, struct topic_view *ret);
int topic_damaged(const struct tarn_topic *t);
/* What is wrong with its words: see channel/check.h. */
int topic_check(struct channel_check *c);

/* ---- entries ---- */

#define TOPIC_POSITION_MASK (~0ull >> TOPIC_CHUNK_BITS)

static inline uint64_t entry_make(uint64_t position, uint32_t chunk)
{
    return position << TOPIC_CHUNK_BITS | chunk;
}
static inline bool entry_is(uint64_t entry, uint64_t position)
{
    return (entry >> TOPIC_CHUNK_BITS) == (position & TOPIC_POSITION_MASK);
}
static inline uint32_t entry_chunk(uint64_t entry)
{
    return (uint32_t)(entry & TOPIC_CHUNKS_MOST);
}
static inline uint64_t *entry_at(const struct topic_view *v, uint64_t position)
{
    return &v->entries[position & v->mask];
}
static inline uint64_t topic_capacity(const struct topic_view *v)
{
    return v->mask + 1;
}

static inline struct topic_chunk *chunk_at(const struct topic_view *v, uint32_t chunk)
{
    return (struct topic_chunk *)(void *)(v->chunks + chunk * v->stride);
}
static inline void *chunk_body(const struct topic_view *v, uint32_t chunk)
{
    return v->chunks + chunk * v->stride + v->body;
}

/* The true position of the next message. False: no entry leads there, for a while or for ever. */
bool topic_next(const struct topic_view *v, uint64_t *ret_next);

/* There is a message at p. Only upwards: who was slow changes nothing. */
static inline void topic_advance(const struct topic_view *v, uint64_t p)
{
    uint64_t next = p;
    for (int i = 0; i < 100 && (int64_t)(p + 1 - next) > 0; i++)
        if (swap64(&v->words->next, &next, p + 1))
            return;
}

/* ---- publishing: topic.c ---- */

/* Own a chunk in seat.making. 0, -EUCLEAN. */
int topic_make(struct tarn_topic *t);
/* The same if this one may be had: it was evicted by the caller. */
void topic_make_of(struct tarn_topic *t, uint32_t chunk);
/* The owned chunk, which is filled, becomes the next message. 0; -EAGAIN: held back; -EUCLEAN. */
int topic_publish(struct tarn_topic *t, uint32_t chunk);
/* Does a holding subscriber await what publishing at p would evict? *ret_expiry (NULL: nothing): when the first of their limits ends, CLOCK_MONOTONIC. */
bool topic_held_back(struct tarn_topic *t, uint64_t p, uint64_t *ret_expiry);
/* Count anew who holds: the publishers look at the cursors again. */
void topic_holding_changed(const struct party *p);

/* ---- reading ---- */

/* Is the message of this entry, position p, whole in the copy that was just made of it? */
static inline bool topic_still(const struct topic_view *v, uint64_t p, uint64_t entry)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return load64(entry_at(v, p)) == entry ||
           load64(&chunk_at(v, entry_chunk(entry))->word) == (TOPIC_PUBLISHED | p);
}

/* Copy what may be written meanwhile: topic_still says whether it was. */
#if defined __SANITIZE_THREAD__ && !defined TARN_EXPLORED
void topic_copy(void *to, const void *from, size_t n);
#else
static inline void topic_copy(void *to, const void *from, size_t n)
{
    if (n)
        memcpy(to, from, n);
}
#endif

#endif

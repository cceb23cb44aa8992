/* channel/ring.h - the two ends of a ring: where the next message stands, and the stores that send or release it. docs/channel.md
 *
 * struct ring_ends (layout.h) lives in the segment; struct tarn_ring is private, and belongs to the thread that opened it. An end knows its position, place and
 * lap by itself; of the other's words it reads one, when what it knew of it is used up. Commit points: ring_flush, ring_release. */
#ifndef TARN_CHANNEL_RING_H
#define TARN_CHANNEL_RING_H

#include <string.h>

#include "channel/channel.h"

enum { RING_LINE = 64, RING_BODY = 56, RING_HEADER = 8 };
enum { RING_QUICK_LEAST = 8, RING_QUICK_MOST = 64 };
enum { RING_SLIP = 6, RING_STREAM = 8 }; /* pauses; looks */

/* What follows from a shape. */
struct ring_shape {
    bool bytes;
    uint32_t each;   /* messages in a line */
    uint32_t stride; /* bytes from one to the next */
    uint32_t width;  /* bits of a size in the control word */
    uint64_t line;   /* bytes of a line */
    uint64_t lines;
    uint64_t capacity;
    uint32_t size; /* of a message, at most */
};

struct tarn_ring {
    struct party party;
    struct ring_shape shape;
    struct ring_ends *ends;
    /* what a quick call looks at */
    uint64_t quick_send,
        quick_receive; /* a size s may go the quick way if s - RING_QUICK_LEAST is below; 0: none may: something is in hand, a ring of bytes, a segment without membarrier,
                                           the other role */
    uint64_t at;       /* position of the next message */
    uint64_t free;     /* sender: head as read last, + capacity: what is below may be written */
    uint64_t seen;     /* receiver, slots: what is below is there, as read last, in this line */
    char *line;        /* slots: the line in which the next message stands, */
    uint64_t line_at;  /* ... the position of its first, */
    uint64_t line_end; /* ... and the one behind its last */
    uint64_t control;  /* of the line; receiver: as read last */
    uint64_t size_mask; /* of a size in it */
    uint64_t ones;      /* size * this: all sizes of a line */
    uint64_t lap;       /* shifted to where it stands in a control word */
    uint32_t looks;     /* receiver: that found nothing, since one found something */
    bool streams;       /* receiver: the last look found something almost at once */
    /* bytes */
    uint64_t messages; /* by this party */
    uint64_t sent;     /* since the ring was made; sender */
    uint64_t next;     /* receiver: position behind the message that was looked at last */
    uint64_t received,
        next_received; /* the same in messages since the ring was made: of the one before, and of that one */
    uint64_t skip; /* sender: what ring_room said is left unused before the message; a loan's too, however small it is sent */
    uint64_t *first, header; /* sender: what the flush stores, and where; NULL: nothing */
    bool hand;               /* a loan, or a message taken, is in hand */
    size_t hand_size;        /* of the loan */
};

/* As a receiver would begin, but for its seat: party is set. 0, -EUCLEAN. */
int ring_at_head(struct tarn_ring *r);
void ring_shape_of(const struct channel_shape *shape, struct ring_shape *ret);
int ring_damaged(const struct tarn_ring *r);
/* The record at this position. Its size; *ret_header: 0: there is none yet. false: it is none that can be. */
bool ring_record_there(const struct party *p, const struct ring_shape *shape, uint64_t at,
                       uint64_t *ret_header, uint64_t *ret_bytes);
static inline struct ring_ends *ends_of(const struct party *p)
{
    return (struct ring_ends *)(void *)p->channel->own;
}
/* What is wrong with its words: see channel/check.h. */
int ring_check(struct channel_check *c);

static inline uint64_t record_bytes(uint64_t size)
{
    return RING_HEADER + ((size + 7) & ~7ull);
}

/* A copy of 8 to 64 bytes, without a call. */
static inline __attribute__((always_inline)) void ring_copy_quick(char *to, const char *from, size_t n)
{
    struct two {
        uint64_t a, b;
    } v;
    uint64_t w;
    if (n == 8) {
        __builtin_memcpy(&w, from, 8);
        __builtin_memcpy(to, &w, 8);
        return;
    }
    if (n <= 16) {
        __builtin_memcpy(&w, from, 8);
        __builtin_memcpy(to, &w, 8);
        __builtin_memcpy(&w, from + n - 8, 8);
        __builtin_memcpy(to + n - 8, &w, 8);
        return;
    }
    for (size_t i = 0; i + 16 < n; i += 16) {
        __builtin_memcpy(&v, from + i, 16);
        __builtin_memcpy(to + i, &v, 16);
    }
    __builtin_memcpy(&v, from + n - 16, 16);
    __builtin_memcpy(to + n - 16, &v, 16);
}
static inline void ring_copy(void *to, const void *from, size_t n)
{
    if (n - RING_QUICK_LEAST <= RING_QUICK_MOST - RING_QUICK_LEAST)
        ring_copy_quick(to, from, n);
    else if (n)
        memcpy(to, from, n);
}

/* A whole line's messages of 8 bytes, or some of them. */
static inline void ring_copy_words(char *to, const char *from, uint64_t n)
{
    if (n == RING_BODY / 8)
        __builtin_memcpy(to, from, RING_BODY);
    else
        for (uint64_t k = 0; k < n; k++)
            __builtin_memcpy(to + 8 * k, from + 8 * k, 8);
}

static inline uint64_t ring_quick(const struct ring_shape *shape)
{
    uint64_t most = shape->size < RING_QUICK_MOST ? shape->size : RING_QUICK_MOST;
    return shape->bytes || most < RING_QUICK_LEAST ? 0 : most - RING_QUICK_LEAST + 1;
}

static inline void ring_set_quick(struct tarn_ring *r)
{
    uint64_t quick = r->hand || r->party.seg->exchange_unlock ? 0 : ring_quick(&r->shape);
    *(r->party.role == TARN_SEND ? &r->quick_send : &r->quick_receive) = quick;
}

/* ---- slots ---- */

static inline uint64_t *ring_word(char *at)
{
    return (uint64_t *)(void *)at;
}

static inline void ring_next_line(struct tarn_ring *r)
{
    r->line += r->shape.line;
    if (TARN_RARE(r->line == r->party.slots + r->shape.lines * r->shape.line)) {
        r->line = r->party.slots;
        r->lap += 1ull << RING_LAP_SHIFT;
    }
    r->line_at = r->line_end;
    r->line_end += r->shape.each;
    r->control = r->lap;
}

static inline bool ring_line_ends(const struct tarn_ring *r)
{
    return r->at == r->line_end;
}

/* Of the message at position at. */
static inline char *ring_place(const struct tarn_ring *r, uint64_t at)
{
    return r->line + RING_HEADER + (at - r->line_at) * r->shape.stride;
}
static inline uint32_t ring_shift(const struct tarn_ring *r, uint64_t at)
{
    return (uint32_t)(at - r->line_at) * r->shape.width;
}

/* ---- the sender's end ---- */

/* Is there room for more than `free` says? 0, -EAGAIN; -EUCLEAN: head is none that can be. */
static inline int ring_look_at_head(struct tarn_ring *r)
{
    uint64_t head = load64(&r->ends->head);
    if (TARN_RARE(r->at - head > r->shape.capacity))
        return -EUCLEAN;
    if (head + r->shape.capacity == r->free)
        return -EAGAIN;
    r->free = head + r->shape.capacity;
    return 0;
}

/* Where the next message may be written, of size bytes at most. 0, -EAGAIN, -EUCLEAN. */
static inline int ring_room(struct tarn_ring *r, uint64_t size, void **ret_message)
{
    if (!r->shape.bytes) {
        int e;
        if (TARN_RARE(r->at == r->free) && (e = ring_look_at_head(r)))
            return e;
        *ret_message = ring_place(r, r->at);
        return 0;
    } else {
        uint64_t need = record_bytes(size), at = r->at & (r->shape.capacity - 1), skip = 0;
        if (at + need > r->shape.capacity)
            skip = r->shape.capacity - at;
        if (TARN_RARE(r->free - r->at < skip + need + RING_HEADER)) {
            int e = ring_look_at_head(r);
            if (e || r->free - r->at < skip + need + RING_HEADER)
                return e ? e : -EAGAIN;
        }
        r->skip = skip;
        *ret_message = r->party.slots + (skip ? 0 : at) + RING_HEADER;
        return 0;
    }
}

/* The message that stands where ring_room said is one; nobody sees it yet. A line that is full must be flushed before the next. */
static inline void ring_put_slot(struct tarn_ring *r, uint64_t size)
{
    r->control += 1ull << RING_COUNT_SHIFT | size << ring_shift(r, r->at);
    r->at++;
}
void ring_put_record(struct tarn_ring *r, uint64_t size);
static inline void ring_put(struct tarn_ring *r, uint64_t size)
{
    if (!r->shape.bytes)
        ring_put_slot(r, size);
    else
        ring_put_record(r, size);
}

/* What was put is sent. */
static inline __attribute__((always_inline)) void ring_flush_slots(struct tarn_ring *r)
{
    store64(ring_word(r->line), r->control);
    if (ring_line_ends(r)) {
        ring_next_line(r);
        store64(&r->ends->tail, r->at);
    }
}
static inline void ring_flush(struct tarn_ring *r)
{
    if (!r->shape.bytes)
        ring_flush_slots(r);
    else {
        store64(r->first, r->header);
        r->first = NULL;
        store64(&r->ends->sent, r->sent); /* before tail: where tail is the truth, this is too */
        store64(&r->ends->tail, r->at);
        store64(&r->party.seat->messages, r->messages);
    }
}

/* ---- the receiver's end ---- */

int ring_front_bytes(struct tarn_ring *r, const void **ret_message, uint64_t *ret_size);

/* What is there of the line, now? 0, -EAGAIN, -EUCLEAN. A receiver who is level with the sender, and gets what was just written, takes the line from under
 * his hands each time; so in a stream he looks a little later, and finds more. */
static inline int ring_look_at_line(struct tarn_ring *r)
{
    uint64_t control;
    uint32_t there;
    if (r->streams && r->at != r->line_at) {
        for (int i = 0; i < RING_SLIP; i++)
            os_pause();
        r->streams = false;
    }
    control = load64(ring_word(r->line));
    there = control >> RING_COUNT_SHIFT & RING_COUNT_MASK;
    if ((control ^ r->lap) >> RING_LAP_SHIFT || there <= r->at - r->line_at) {
        r->looks += r->looks < RING_STREAM;
        return -EAGAIN;
    }
    if (TARN_RARE(there > r->shape.each))
        return -EUCLEAN;
    r->streams = r->looks < RING_STREAM;
    r->looks = 0;
    r->control = control;
    r->seen = r->line_at + there;
    return 0;
}

static inline uint64_t ring_size(const struct tarn_ring *r)
{
    return r->control >> ring_shift(r, r->at) & r->size_mask;
}

/* The next message, if it is there. 0, -EAGAIN, -EUCLEAN. */
static inline int ring_front(struct tarn_ring *r, const void **ret_message, uint64_t *ret_size)
{
    int e;
    if (TARN_RARE(r->shape.bytes))
        return ring_front_bytes(r, ret_message, ret_size);
    if (r->at == r->seen && (e = ring_look_at_line(r)))
        return e;
    *ret_size = ring_size(r);
    if (TARN_RARE(*ret_size > r->shape.size))
        return -EUCLEAN;
    *ret_message = ring_place(r, r->at);
    return 0;
}

/* Behind the one that ring_front gave; it is still there if the receiver dies. */
static inline __attribute__((always_inline)) void ring_next_slot(struct tarn_ring *r)
{
    r->at++;
    if (ring_line_ends(r))
        ring_next_line(r);
}
static inline void ring_next(struct tarn_ring *r)
{
    if (!r->shape.bytes)
        ring_next_slot(r);
    else {
        r->messages++;
        r->received = r->next_received;
        r->at = r->next;
    }
}

/* What is before is the sender's again. */
static inline void ring_release(struct tarn_ring *r)
{
    if (r->shape.bytes)
        store64(&r->ends->received, r->received); /* before head: of an empty ring it is the truth */
    store64(&r->ends->head, r->at);
    if (r->shape.bytes)
        store64(&r->party.seat->messages, r->messages);
}

#endif

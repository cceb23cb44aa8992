/* channel/ring.h - the two ends of a ring: where the next message stands, and the stores that send or release it. docs/channel.md
 *
 * struct ring_ends (layout.h) lives in the segment; struct tarn_ring is private, and belongs to the thread that opened it. An end knows its position, place and
 * lap by itself; of the other's words it reads one, when what it knew of it is used up. Commit points: ring_flush, ring_release. */
#ifndef TARN_CHANNEL_RING_H
#define TARN_CHANNEL_RING_H

#include <string.h>

#include "channel/channel.h"

enum { RING_LINE = 64, RING_BODY = 56, RING_HEADER = 8 };

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
    /* where it is */
    uint64_t at;      /* position of the next message */
    uint64_t free;    /* sender: head as read last, + capacity: what is below may be written */
    uint64_t control; /* of the line; receiver: as read last */
    uint64_t lap;     /* shifted to where it stands in a control word */
    char *line;
    uint32_t index;    /* in the line */
    uint32_t there;    /* receiver: messages in the line, as read last */
    uint64_t messages; /* by this party */
    uint64_t sent;     /* sender, bytes: messages since the ring was made */
    uint64_t next;     /* receiver, bytes: position behind the message that was looked at last */
    uint64_t *first, header; /* sender, bytes: what the flush stores, and where; NULL: nothing */
    bool hand;               /* a loan, or a message taken, is in hand */
    size_t hand_size;        /* of the loan */
};

void ring_shape_of(const struct channel_shape *shape, struct ring_shape *ret);
int ring_damaged(const struct tarn_ring *r);

static inline uint64_t record_bytes(uint64_t size)
{
    return RING_HEADER + ((size + 7) & ~7ull);
}

/* A copy without a call for what is small. */
static inline void ring_copy(void *to, const void *from, size_t n)
{
    struct two {
        uint64_t a, b;
    };
    const char *f = from;
    char *t = to;
    if (n == 8) {
        uint64_t v;
        __builtin_memcpy(&v, f, 8);
        __builtin_memcpy(t, &v, 8);
    } else if (n > 64 || n < 8) {
        memcpy(t, f, n);
    } else if (n <= 16) {
        uint64_t v, w;
        __builtin_memcpy(&v, f, 8);
        __builtin_memcpy(&w, f + n - 8, 8);
        __builtin_memcpy(t, &v, 8);
        __builtin_memcpy(t + n - 8, &w, 8);
    } else {
        struct two v;
        for (size_t i = 0; i + 16 < n; i += 16) {
            __builtin_memcpy(&v, f + i, 16);
            __builtin_memcpy(t + i, &v, 16);
        }
        __builtin_memcpy(&v, f + n - 16, 16);
        __builtin_memcpy(t + n - 16, &v, 16);
    }
}

/* ---- slots ---- */

static inline void ring_next_line(struct tarn_ring *r)
{
    r->index = 0;
    r->there = 0;
    r->line += r->shape.line;
    if (TARN_RARE(r->line == r->party.slots + r->shape.lines * r->shape.line)) {
        r->line = r->party.slots;
        r->lap += 1ull << RING_LAP_SHIFT;
    }
    r->control = r->lap;
}

static inline void *ring_slot(const struct tarn_ring *r)
{
    return r->line + RING_HEADER + r->index * r->shape.stride;
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
        *ret_message = ring_slot(r);
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
        *ret_message = r->party.slots + (skip ? 0 : at) + RING_HEADER;
        return 0;
    }
}

static inline uint64_t record_header(uint64_t number, uint64_t bits)
{
    return number << 32 | bits;
}

/* The message that stands where ring_room said is one; nobody sees it yet. A line that is full must be flushed before the next. */
static inline void ring_put(struct tarn_ring *r, uint64_t size)
{
    r->messages++;
    if (!r->shape.bytes) {
        r->control += 1ull << RING_COUNT_SHIFT | size << r->index * r->shape.width;
        r->index++;
        r->at++;
    } else {
        uint64_t need = record_bytes(size), mask = r->shape.capacity - 1, at = r->at & mask;
        uint64_t header = record_header(r->sent, RING_USED | size);
        bool skips = at + need > r->shape.capacity;
        uint64_t behind = skips ? need : (at + need) & mask;
        store64((uint64_t *)(void *)(r->party.slots + behind), 0);
        if (skips) {
            store64((uint64_t *)(void *)r->party.slots, header);
            header = record_header(r->sent, RING_USED | RING_SKIP | (r->shape.capacity - at));
            r->at += r->shape.capacity - at;
        }
        r->at += need;
        r->sent++;
        if (r->first)
            store64((uint64_t *)(void *)(r->party.slots + at), header);
        else {
            r->first = (uint64_t *)(void *)(r->party.slots + at);
            r->header = header;
        }
    }
}

/* What was put is sent. */
static inline void ring_flush(struct tarn_ring *r)
{
    if (!r->shape.bytes) {
        store64((uint64_t *)(void *)r->line, r->control);
        store64(&r->party.seat->messages, r->messages);
        if (r->index == r->shape.each) {
            ring_next_line(r);
            store64(&r->ends->tail, r->at);
        }
    } else {
        store64(r->first, r->header);
        r->first = NULL;
        store64(&r->ends->sent, r->sent); /* before tail: where tail is the truth, this is too */
        store64(&r->ends->tail, r->at);
        store64(&r->party.seat->messages, r->messages);
    }
}

/* ---- the receiver's end ---- */

int ring_front_bytes(struct tarn_ring *r, const void **ret_message, uint64_t *ret_size);

/* The next message, if it is there. 0, -EAGAIN, -EUCLEAN. */
static inline int ring_front(struct tarn_ring *r, const void **ret_message, uint64_t *ret_size)
{
    uint64_t size;
    if (TARN_RARE(r->shape.bytes))
        return ring_front_bytes(r, ret_message, ret_size);
    if (r->index >= r->there) {
        uint64_t control = load64((uint64_t *)(void *)r->line);
        uint32_t there = control >> RING_COUNT_SHIFT & RING_COUNT_MASK;
        if ((control ^ r->lap) >> RING_LAP_SHIFT || there <= r->index)
            return -EAGAIN;
        if (TARN_RARE(there > r->shape.each))
            return -EUCLEAN;
        r->control = control;
        r->there = there;
    }
    size = r->control >> r->index * r->shape.width & ((1ull << r->shape.width) - 1);
    if (TARN_RARE(size > r->shape.size))
        return -EUCLEAN;
    *ret_message = ring_slot(r);
    *ret_size = size;
    return 0;
}

/* Behind the one that ring_front gave; it is still there if the receiver dies. */
static inline void ring_next(struct tarn_ring *r)
{
    r->messages++;
    if (!r->shape.bytes) {
        r->at++;
        if (++r->index == r->shape.each)
            ring_next_line(r);
    } else
        r->at = r->next;
}

/* What is before is the sender's again. */
static inline void ring_release(struct tarn_ring *r)
{
    store64(&r->ends->head, r->at);
    store64(&r->party.seat->messages, r->messages);
}

#endif

/* bench/heap_loops.h - the loops of heap.h, for one contender. Before it is included, there are
 *   static inline void block_alloc(struct heap *h, unsigned place, size_t size);
 *   static inline void block_free(struct heap *h, unsigned place);
 * and HEAP_KIND, the name of its struct heap_kind, and HEAP_NAME, a string; without them there is none. Included once a file.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

#define HEAP_LOOP static __attribute__((unused))

BENCH_INLINE unsigned char *block_at(struct heap *h, unsigned place)
{
    return (unsigned char *)(h->base + h->place[place]);
}
static inline void loop_alloc(void *heap, unsigned slot, size_t size)
{
    block_alloc(heap, slot, size);
}
static inline void loop_free(void *heap, unsigned slot)
{
    block_free(heap, slot);
}
static inline unsigned char *loop_at(void *heap, unsigned slot, size_t size)
{
    (void)size;
    return block_at(heap, slot);
}

HEAP_LOOP void batch_alloc(struct heap *h, const struct batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        block_alloc(h, i, b->size[i]);
        churn_mark(block_at(h, i), b->size[i], i);
    }
}
HEAP_LOOP void batch_free(struct heap *h, const struct batch *b)
{
    for (unsigned j = 0; j < b->n; j++) {
        unsigned i = b->order[j];
        churn_check(block_at(h, i), b->size[i], i);
        block_free(h, i);
    }
}

HEAP_LOOP void ring_fill(struct heap *h, struct churn *c)
{
    churn_fill(c, h, loop_alloc, loop_at);
}
HEAP_LOOP void ring_churn(struct heap *h, struct churn *c, uint64_t n)
{
    churn_run(c, h, n, loop_alloc, loop_free, loop_at);
}
HEAP_LOOP void ring_empty(struct heap *h, struct churn *c)
{
    churn_empty(c, h, loop_free, loop_at);
}

HEAP_LOOP void rand_fill(struct heap *h, struct churnrand *c)
{
    for (unsigned slot = 0; slot < CHURN_RING; slot++) {
        size_t size = c->size[slot % CHURN_SIZES];
        block_alloc(h, slot, size);
        churn_mark(block_at(h, slot), size, slot);
        c->number[slot] = slot;
    }
    c->next = CHURN_RING;
}
HEAP_LOOP void rand_churn(struct heap *h, struct churnrand *c, uint64_t n)
{
    for (uint64_t number = c->next, end = number + n; number != end; number++) {
        c->random = c->random * 6364136223846793005u + 1442695040888963407u;
        unsigned slot = (unsigned)((c->random >> 32) * CHURN_RING >> 32);
        size_t old = c->size[c->number[slot] % CHURN_SIZES], size = c->size[number % CHURN_SIZES];
        churn_check(block_at(h, slot), old, c->number[slot]);
        block_free(h, slot);
        block_alloc(h, slot, size);
        churn_mark(block_at(h, slot), size, number);
        c->number[slot] = number;
    }
    c->next += n;
}
HEAP_LOOP void rand_empty(struct heap *h, struct churnrand *c)
{
    for (unsigned slot = 0; slot < CHURN_RING; slot++) {
        churn_check(block_at(h, slot), c->size[c->number[slot] % CHURN_SIZES], c->number[slot]);
        block_free(h, slot);
    }
}

/* At most n blocks, until *stop. What is in the ring then, the next run finds there. */
HEAP_LOOP uint64_t produce(struct heap *h, struct pipe *p, uint64_t n, const int *stop)
{
    uint64_t head = p->head, tail = __atomic_load_n(&p->tail, __ATOMIC_ACQUIRE), start = head;
    const uint16_t *size = p->size;
    for (; head - start < n && (head % 16 || !__atomic_load_n(stop, __ATOMIC_RELAXED)); head++) {
        unsigned place = (unsigned)(head % PIPE_RING);
        size_t bytes = size[head % CHURN_SIZES];
        while (head - tail == PIPE_RING) {
            tail = __atomic_load_n(&p->tail, __ATOMIC_ACQUIRE);
            if (head - tail < PIPE_RING)
                break;
            if (__atomic_load_n(stop, __ATOMIC_RELAXED))
                return head - start;
            __builtin_ia32_pause();
        }
        block_alloc(h, place, bytes);
        churn_mark(block_at(h, place), bytes, head);
        __atomic_store_n(&p->head, head + 1, __ATOMIC_RELEASE);
    }
    return head - start;
}
HEAP_LOOP uint64_t consume(struct heap *h, struct pipe *p, uint64_t n, const int *stop)
{
    uint64_t tail = p->tail, head = __atomic_load_n(&p->head, __ATOMIC_ACQUIRE), start = tail;
    const uint16_t *size = p->size;
    for (; tail - start < n && (tail % 16 || !__atomic_load_n(stop, __ATOMIC_RELAXED)); tail++) {
        unsigned place = (unsigned)(tail % PIPE_RING);
        while (head == tail) {
            head = __atomic_load_n(&p->head, __ATOMIC_ACQUIRE);
            if (head != tail)
                break;
            if (__atomic_load_n(stop, __ATOMIC_RELAXED))
                return tail - start;
            __builtin_ia32_pause();
        }
        churn_check(block_at(h, place), size[tail % CHURN_SIZES], tail);
        block_free(h, place);
        __atomic_store_n(&p->tail, tail + 1, __ATOMIC_RELEASE);
    }
    return tail - start;
}

#ifdef HEAP_KIND
const struct heap_kind HEAP_KIND = {HEAP_NAME, batch_alloc, batch_free, ring_fill, ring_churn, ring_empty,
                                    rand_fill, rand_churn,  rand_empty, produce,   consume};
#endif

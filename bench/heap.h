/* bench/heap.h - bench-heap: the identical work for heaps, and who does it. The patterns stand in heap_loops.h, which each contender's file
 * includes after it has said how it allocates and frees; so each has loops of its own, with direct calls.
 *
 * A block's place is a word: a ref in the segment, or a pointer. Its first and last 8 bytes are written when it is made, and
 * checked before it is freed.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include "work.h"

#include <tarn.h>

/* Where blocks are allocated, and who has them. Peers use `place` and `base` only; of theirs, base is 0. */
struct heap {
    uint64_t *place;
    uintptr_t base;
    tarn *seg;
    struct limit_heap *limit;
};

#define BATCH_LEAST 16u
#define BATCH_MOST 512u

/* n blocks, then freed in another order */
struct batch {
    unsigned n;
    const uint16_t *size;
    const uint32_t *order;
    double alloc_ns, free_ns; /* of a block, of the last run */
};

/* A random one of CHURN_RING blocks is replaced. */
struct churnrand {
    uint64_t random, next;
    const uint16_t *size;
    uint64_t number[CHURN_RING];
};

#define PIPE_RING 1024u

/* One allocates, the other frees: Lamport's ring. In memory that both share; blocks are handed over one by one. */
struct pipe {
    uint64_t head __attribute__((aligned(128))); /* blocks made */
    uint64_t tail __attribute__((aligned(128))); /* blocks freed */
    const uint16_t *size __attribute__((aligned(128)));
};

struct heap_kind {
    const char *name;
    void (*batch_alloc)(struct heap *h, const struct batch *b);
    void (*batch_free)(struct heap *h, const struct batch *b);
    void (*churn_fill)(struct heap *h, struct churn *c);
    void (*churn)(struct heap *h, struct churn *c, uint64_t n);
    void (*churn_empty)(struct heap *h, struct churn *c);
    void (*rand_fill)(struct heap *h, struct churnrand *c);
    void (*rand)(struct heap *h, struct churnrand *c, uint64_t n);
    void (*rand_empty)(struct heap *h, struct churnrand *c);
    uint64_t (*produce)(struct heap *h, struct pipe *p, uint64_t n, const int *stop);
    uint64_t (*consume)(struct heap *h, struct pipe *p, uint64_t n, const int *stop);
};
extern const struct heap_kind heap_tarn, heap_tarn_retire, heap_tarn_section, heap_mimalloc, heap_jemalloc;
extern const struct heap_kind heap_limit; /* free lists without lock: of one thread */
extern const struct heap_kind heap_ring; /* no heap at all: each place has its block; for what the ring costs */
struct limit_heap *heap_limit_open(void);
void heap_limit_close(struct limit_heap *l);

/* Documented settings that keep memory once it was had, so that a second pass finds it warm. Before its first use. */
void heap_mimalloc_keep(void);

#endif

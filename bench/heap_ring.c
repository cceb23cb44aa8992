/* bench/heap_ring.c - the limit of handing blocks over: the ring alone, each of its places with a block for ever.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

static unsigned char blocks[PIPE_RING][CHURN_MOST] __attribute__((aligned(64)));

BENCH_INLINE void block_alloc(struct heap *h, unsigned place, size_t size)
{
    (void)size;
    h->place[place] = (uintptr_t)blocks[place % PIPE_RING];
}
BENCH_INLINE void block_free(struct heap *h, unsigned place)
{
    h->place[place] = 0;
}
#define HEAP_KIND heap_ring
#define HEAP_NAME "limit"
#include "heap_loops.h"

/* bench/heap_tarn_retire.c - the same with tarn_retire_from: a block is handed out again only when nobody who reads can have it any more.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

BENCH_INLINE void block_alloc(struct heap *h, unsigned place, size_t size)
{
    int e = tarn_alloc_into(h->seg, &h->place[place], size);
    if (__builtin_expect(e, 0))
        bench_die("tarn_alloc_into: %s (%d)", tarn_error(), e);
}
BENCH_INLINE void block_free(struct heap *h, unsigned place)
{
    int e = tarn_retire_from(h->seg, &h->place[place]);
    if (__builtin_expect(e, 0))
        bench_die("tarn_retire_from: %s (%d)", tarn_error(), e);
}
#define HEAP_KIND heap_tarn_retire
#define HEAP_NAME "tarn"
#include "heap_loops.h"

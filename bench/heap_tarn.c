/* bench/heap_tarn.c - tarn_alloc_into and tarn_free_from: each block has its ref stored where a crash finds it. The segment is one with
 * `uninitialized`, so blocks come as they are, as other heaps' do.
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
    int e = tarn_free_from(h->seg, &h->place[place]);
    if (__builtin_expect(e, 0))
        bench_die("tarn_free_from: %s (%d)", tarn_error(), e);
}
#define HEAP_KIND heap_tarn
#define HEAP_NAME "tarn"
#include "heap_loops.h"

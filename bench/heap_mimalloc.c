/* bench/heap_mimalloc.c - mimalloc, by its own names.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

#include <mimalloc.h>

void heap_mimalloc_keep(void)
{
    mi_option_set(mi_option_allow_decommit, 0);
    mi_option_set(mi_option_page_reset, 0);
}

BENCH_INLINE void block_alloc(struct heap *h, unsigned place, size_t size)
{
    void *at = mi_malloc(size);
    if (__builtin_expect(!at, 0))
        bench_die("mi_malloc: no memory");
    h->place[place] = (uintptr_t)at;
}
BENCH_INLINE void block_free(struct heap *h, unsigned place)
{
    mi_free((void *)h->place[place]);
}
#define HEAP_KIND heap_mimalloc
#define HEAP_NAME "mimalloc"
#include "heap_loops.h"

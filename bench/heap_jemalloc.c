/* bench/heap_jemalloc.c - jemalloc. Debian's has no prefix: it is this program's malloc and free, called directly, as the others are.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

#include <stdlib.h>

extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1"; /* keep memory: a second pass finds it warm */

BENCH_INLINE void block_alloc(struct heap *h, unsigned place, size_t size)
{
    void *at = malloc(size);
    if (__builtin_expect(!at, 0))
        bench_die("malloc: no memory");
    h->place[place] = (uintptr_t)at;
}
BENCH_INLINE void block_free(struct heap *h, unsigned place)
{
    free((void *)h->place[place]);
}
#define HEAP_KIND heap_jemalloc
#define HEAP_NAME "jemalloc"
#include "heap_loops.h"

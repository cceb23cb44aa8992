/* bench/heap_limit.c - the limit: free lists of sizes, in one piece of memory faulted in beforehand. Left out: any lock, so it is one
 * thread's; merging, giving back, growth; any check of what is freed; and whatever a crash asks for.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

#include <sys/mman.h>

#define PIECE (384ull << 20)
#define CHUNK 65536u
#define CLASSES 32u

struct limit_heap {
    unsigned char *list[CLASSES]; /* of free blocks, through their first 8 bytes */
    unsigned char *next[CLASSES], *end[CLASSES], *fresh;
    uint16_t size[CLASSES];
    unsigned char class_of_size[65];           /* by 16 bytes */
    unsigned char class_of[PIECE / CHUNK + 1]; /* by chunk of the piece */
};

struct limit_heap *heap_limit_open(void)
{
    struct limit_heap *l = bench_shared(PIECE);
    l->fresh = (unsigned char *)l + (sizeof *l + CHUNK - 1) / CHUNK * CHUNK;
    for (unsigned c = 0; c < CLASSES; c++) /* 16, 32 .. 128, then 8 steps a doubling */
        l->size[c] = (uint16_t)(c < 8 ? 16 * (c + 1) : (9 + c % 8) << (c / 8 + 3));
    for (unsigned i = 0, c = 0; i <= 64; i++) {
        c += l->size[c] < i * 16;
        l->class_of_size[i] = (unsigned char)c;
    }
    return l;
}
void heap_limit_close(struct limit_heap *l)
{
    munmap(l, PIECE);
}

static __attribute__((noinline)) unsigned char *more(struct limit_heap *l, unsigned class)
{
    unsigned char *at = l->next[class];
    if (!at || (size_t)(l->end[class] - at) < l->size[class]) {
        at = l->fresh;
        if (at + CHUNK > (unsigned char *)l + PIECE)
            bench_die("limit: its piece is used up");
        l->end[class] = l->fresh = at + CHUNK;
        l->class_of[(at - (unsigned char *)l) / CHUNK] = (unsigned char)class;
    }
    l->next[class] = at + l->size[class];
    return at;
}

BENCH_INLINE void block_alloc(struct heap *h, unsigned place, size_t size)
{
    struct limit_heap *l = h->limit;
    unsigned class = l->class_of_size[(size + 15) / 16];
    unsigned char *at = l->list[class];
    if (__builtin_expect(!at, 0))
        at = more(l, class);
    else
        memcpy(&l->list[class], at, 8);
    h->place[place] = (uintptr_t)at;
}
BENCH_INLINE void block_free(struct heap *h, unsigned place)
{
    struct limit_heap *l = h->limit;
    unsigned char *at = (unsigned char *)h->place[place];
    unsigned class = l->class_of[(at - (unsigned char *)l) / CHUNK];
    memcpy(at, &l->list[class], 8);
    l->list[class] = at;
}
#define HEAP_KIND heap_limit
#define HEAP_NAME "limit"
#include "heap_loops.h"

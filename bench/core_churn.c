/* bench/core_churn.c - alloc_into and free_from: a ring of 10,000 live blocks of 16 to 1,024 bytes, the oldest freed, one
 * allocated; and Boost's rbtree_best_fit in a managed segment. The time is a pair's: one freed, one allocated.
 *
 * core.churn: in a segment made with `uninitialized`, so blocks come as they are on both sides; core.churn_cleared: in a default one, where tarn
 * zeroes each. Each of tarn's has its ref stored where a crash finds it; a crash in Boost's leaves the heap's mutex locked for ever. Beside that
 * the work is the same (work.h). Both rings lie in shared memory, and both
 * find a block by adding its offset to an address, unchecked: Boost by its offset_ptr, tarn's side by what a ref is by definition.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS 100000u
#define BOOST_BYTES (32u << 20)
#define TARN_BYTES (16u << 20)

struct heap {
    tarn *seg;
    tarn_ref *ring;      /* in the segment */
    unsigned char *base; /* where its first byte is, here */
    struct churn churn;
};

static inline void heap_alloc(void *state, unsigned slot, size_t size)
{
    struct heap *h = state;
    int e = tarn_alloc_into(h->seg, &h->ring[slot], size);
    if (__builtin_expect(e, 0))
        bench_die("tarn_alloc_into: %s (%d)", tarn_error(), e);
}
static inline void heap_free(void *state, unsigned slot)
{
    struct heap *h = state;
    int e = tarn_free_from(h->seg, &h->ring[slot]);
    if (__builtin_expect(e, 0))
        bench_die("tarn_free_from: %s (%d)", tarn_error(), e);
}
static inline unsigned char *heap_at(void *state, unsigned slot, size_t size)
{
    struct heap *h = state;
    (void)size;
    return h->base + h->ring[slot];
}

static double tarn_sample(void *state)
{
    struct heap *h = state;
    uint64_t start = bench_now();
    churn_run(&h->churn, h, PAIRS, heap_alloc, heap_free, heap_at);
    return (double)(bench_now() - start) / PAIRS;
}

struct boost {
    struct peer_boost_heap *heap;
    struct churn churn;
};

static double boost_sample(void *state)
{
    struct boost *b = state;
    uint64_t start = bench_now();
    peer_boost_heap_churn(b->heap, &b->churn, PAIRS);
    return (double)(bench_now() - start) / PAIRS;
}

static uint64_t allocated(tarn *seg)
{
    struct tarn_stat stat;
    core_good(tarn_stat(seg, &stat), "tarn_stat");
    return stat.allocated;
}

static void compare(const char *figure, bool uninitialized)
{
    bench_pin(0);
    uint16_t *sizes = calloc(CHURN_SIZES, sizeof *sizes);
    if (!sizes)
        bench_die("no memory");
    for (uint64_t i = 0; i < CHURN_SIZES; i++)
        sizes[i] = (uint16_t)(CHURN_LEAST + bench_mix(i + 1) % (CHURN_MOST - CHURN_LEAST + 1));
    struct heap ours = {.seg = core_segment_with(TARN_BYTES, uninitialized), .churn = {.size = sizes}};
    struct boost boost = {.heap = peer_boost_heap_open(BOOST_BYTES), .churn = {.size = sizes}};
    ours.ring = core_block(ours.seg, CHURN_RING * sizeof *ours.ring);
    memset(ours.ring, 0, CHURN_RING * sizeof *ours.ring);
    ours.base = (unsigned char *)ours.ring - tarn_ref_of(ours.seg, ours.ring);
    uint64_t before = allocated(ours.seg);
    churn_fill(&ours.churn, &ours, heap_alloc, heap_at);
    struct contender me = {"tarn", tarn_sample, &ours}, peer = {"boost", boost_sample, &boost};
    for (int i = 0; i < 5; i++) { /* until both heaps have found their shape */
        tarn_sample(&ours);
        boost_sample(&boost);
    }
    struct outcome o;
    bench_compare(figure, "ns", &me, &peer, 1, bench_reps(21), false, &o);
    if (allocated(ours.seg) <= before)
        bench_die("core.churn: tarn_stat does not see the blocks");
    for (unsigned slot = 0; slot < CHURN_RING; slot++)
        if (tarn_ptr(ours.seg, ours.ring[slot], CHURN_LEAST) != heap_at(&ours, slot, CHURN_LEAST))
            bench_die("core.churn: the ref in slot %u is not where it should be", slot);
    churn_empty(&ours.churn, &ours, heap_free, heap_at);
    if (allocated(ours.seg) != before)
        bench_die("core.churn: %llu bytes were allocated, and %llu are at the end",
                  (unsigned long long)before, (unsigned long long)allocated(ours.seg));
    peer_boost_heap_close(boost.heap);
    core_close(ours.seg);
    free(sizes);
}

void core_churn(void)
{
    compare("core.churn", true);
}
void core_churn_cleared(void)
{
    compare("core.churn_cleared", false);
}

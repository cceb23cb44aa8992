/* bench/heap_tarn_section.c - tarn_alloc and tarn_free in sections of 64 pairs: each saves the place, frees the block, allocates one, and stores
 * its ref there; all 64 happen at once, or none.
 *
 * SPDX-License-Identifier: MIT */
#include "heap.h"

#define PAIRS 64u

static inline void good(int e, const char *what)
{
    if (__builtin_expect(e, 0))
        bench_die("%s: %s (%d)", what, tarn_error(), e);
}
BENCH_INLINE void block_alloc(struct heap *h, unsigned place, size_t size)
{
    tarn_ref ref;
    good(tarn_alloc(h->seg, size, &ref), "tarn_alloc");
    h->place[place] = ref;
}
BENCH_INLINE void block_free(struct heap *h, unsigned place)
{
    good(tarn_save(h->seg, &h->place[place], 8), "tarn_save");
    good(tarn_free(h->seg, h->place[place]), "tarn_free");
    h->place[place] = 0;
}
#include "heap_loops.h"

static void section_churn(struct heap *h, struct churn *c, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += PAIRS) {
        good(tarn_begin(h->seg), "tarn_begin");
        ring_churn(h, c, n - i < PAIRS ? n - i : PAIRS);
        good(tarn_commit(h->seg), "tarn_commit");
    }
}
static void section_fill(struct heap *h, struct churn *c)
{
    heap_tarn.churn_fill(h, c);
}
static void section_empty(struct heap *h, struct churn *c)
{
    heap_tarn.churn_empty(h, c);
}
const struct heap_kind heap_tarn_section = {
    .name = "tarn", .churn_fill = section_fill, .churn = section_churn, .churn_empty = section_empty};

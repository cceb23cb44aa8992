/* case_resize.c - a run that grows or shrinks where it is, while others claim the spans behind it. */
#include <errno.h>

#include "explore.h"
#include "heap/heap.h"

enum { SPAN = 4096, RUN_REF = 0, BEHIND = 1, REST_REFS = 3 }; /* participant p claims for ref p */
enum { GREW, CLAIMED };                                       /* ghosts: it had so many spans in the end */

/* Participant 0 has a run of `spans`, then as many spans behind it as `free`, and all other memory. */
static void prepare_run(size_t spans, int free)
{
    tarn *seg = seg_of(0);
    int filled = REST_REFS;
    MUST(tarn_alloc_into(seg, &root()->ref[RUN_REF], spans * SPAN));
    for (int i = 0; i < free; i++)
        MUST(tarn_alloc_into(seg, &root()->ref[BEHIND + i], SPAN));
    for (size_t n = 8; n; n /= 2)
        while (filled < ROOT_REFS && tarn_alloc_into(seg, &root()->ref[filled], n * SPAN) == 0)
            filled++;
    must_be(filled < ROOT_REFS, "memory is not full");
    for (int i = 0; i < free; i++) {
        *(uint64_t *)tarn_ptr(seg, root()->ref[BEHIND + i] + SPAN - 8, 8) = 55; /* what came to a run was somebody's */
        MUST(tarn_free_from(seg, &root()->ref[BEHIND + i]));
    }
    *(uint64_t *)tarn_ptr(seg, root()->ref[RUN_REF], 8) = 77;
}

/* Whose bytes these are is written into the last word; the owner finds it there, and no other's. */
static void sign(int p, tarn_ref ref, size_t spans)
{
    shared_write(tarn_ptr(seg_of(p), ref + spans * SPAN - 8, 8), 100 + (uint64_t)p);
    must_be(shared_read(tarn_ptr(seg_of(p), ref + spans * SPAN - 8, 8)) == 100 + (uint64_t)p,
            "two have the same span");
}

/* 1 looks first at the second of the two free spans, 2 at the first. */
static void prepare_growth(int p)
{
    if (p == 0)
        prepare_run(1, 2);
    if (p == 1) {
        MUST(tarn_alloc_into(seg_of(1), &root()->ref[1], SPAN));
        MUST(tarn_free_from(seg_of(1), &root()->ref[1]));
    }
}
static void grow_or_claim(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        int e = tarn_realloc_into(seg, &root()->ref[RUN_REF], 3 * SPAN, 0);
        must_be(e == 0 || e == -ENOSPC, "it failed otherwise");
        if (e)
            return;
        ghost[GREW] = 1;
        must_be(shared_read(tarn_ptr(seg, root()->ref[RUN_REF] + 3 * SPAN - 8, 8)) == 0,
                "what came to it is not zero");
        sign(0, root()->ref[RUN_REF], 3);
        return;
    }
    if (tarn_alloc_into(seg, &root()->ref[p], SPAN) == 0) {
        ghost[CLAIMED] = 1;
        sign(p, root()->ref[p], 1);
    }
}
static const char *no_span_lost(void)
{
    struct tarn_heap_stats t;
    MUST(tarn_heap_stats(seg_of(DRIVER), &t));
    return t.spans_other ? "a span is left half-made" : NULL;
}
static const char *run_is_whole(void)
{
    tarn *seg = seg_of(DRIVER);
    uint64_t size = tarn_block_size(seg, root()->ref[RUN_REF]);
    if (*(uint64_t *)tarn_ptr(seg, root()->ref[RUN_REF], 8) != 77)
        return "the run's bytes are lost";
    if (root()->ref[1] && ghost[CLAIMED] && !died(1) &&
        *(uint64_t *)tarn_ptr(seg, root()->ref[1] + SPAN - 8, 8) != 101)
        return "the claimant's bytes are lost";
    if (died(0) || died(1))
        return size == SPAN || size == 3 * SPAN ? no_span_lost() : "the run has a length that nobody asked for";
    if (size != (ghost[GREW] ? 3 : 1) * SPAN)
        return "the run has not the length that was told";
    return ghost[GREW] || ghost[CLAIMED] ? no_span_lost() : "neither got what both might have had";
}

static void prepare_shrinking(int p)
{
    if (p == 0)
        prepare_run(3, 0);
}
static void shrink_or_claim(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        MUST(tarn_realloc_into(seg, &root()->ref[RUN_REF], SPAN, 0));
        sign(0, root()->ref[RUN_REF], 1);
        return;
    }
    if (tarn_alloc_into(seg, &root()->ref[p], SPAN) == 0) {
        ghost[CLAIMED] = 1;
        sign(p, root()->ref[p], 1);
    }
}
static const char *run_is_short(void)
{
    tarn *seg = seg_of(DRIVER);
    uint64_t size = tarn_block_size(seg, root()->ref[RUN_REF]);
    if (size != SPAN && !(died(0) && size == 3 * SPAN))
        return "the run has a length that nobody asked for";
    if (*(uint64_t *)tarn_ptr(seg, root()->ref[RUN_REF], 8) != 77)
        return "the run's bytes are lost";
    return no_span_lost();
}

const struct test_case resize_cases[] = {
    {"run grows beside a claim", 2, 3, 4, 0, NULL, prepare_growth, grow_or_claim, run_is_whole},
    {"run grows beside two claims", 3, 1, 3, 0, NULL, prepare_growth, grow_or_claim, no_span_lost},
    {"run shrinks beside a claim", 2, 3, 4, 0, NULL, prepare_shrinking, shrink_or_claim, run_is_short},
    {0},
};

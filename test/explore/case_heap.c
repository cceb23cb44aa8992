/* case_heap.c - blocks freed by others than their span's owner, and blocks that readers stand on. */
#include "explore.h"
#include "heap/heap.h"

enum {
    BLOCK = 512,
    IN_SPAN = 8,
    MORE = IN_SPAN
}; /* blocks of that size in a span; root's ref for another one */

/* Participant 0 fills a span of its own. */
static void fill(int p)
{
    if (p == 0)
        for (int i = 0; i < IN_SPAN; i++)
            MUST(tarn_alloc_into(seg_of(p), &root()->ref[i], BLOCK));
}
/* 1 frees four of them, while 0 wants another one, and takes back what it finds. */
static void remote(int p)
{
    if (p == 0) {
        MUST(tarn_alloc_into(seg_of(p), &root()->ref[MORE], BLOCK));
        return;
    }
    for (int i = 0; i < 4; i++)
        MUST(tarn_free_from(seg_of(p), &root()->ref[i]));
}
static const char *four_gone(void)
{
    if (died(0) || died(1))
        return NULL; /* blocks are accounted for anyway */
    for (int i = 0; i < 4; i++)
        if (root()->ref[i])
            return "a free was lost";
    return root()->ref[MORE] ? NULL : "an allocation was lost";
}

/* Both free blocks of the third, who does nothing but take them back. */
static void remote_three(int p)
{
    if (p == 0) {
        MUST(tarn_alloc_into(seg_of(p), &root()->ref[MORE], BLOCK));
        return;
    }
    for (int i = 2 * p - 2; i < 2 * p; i++)
        MUST(tarn_free_from(seg_of(p), &root()->ref[i]));
}

/* Memory is full, so that 0 must wait out the grace of what it retired; 1 reads it meanwhile. */
static void fill_all(int p)
{
    int filled = MORE + 1;
    if (p)
        return;
    fill(p);
    *(uint64_t *)tarn_ptr(seg_of(p), root()->ref[0], 8) = root()->ref[0];
    for (size_t spans = 8; spans; spans /= 2)
        while (filled < ROOT_REFS && tarn_alloc_into(seg_of(p), &root()->ref[filled], spans * 4096) == 0)
            filled++;
    must_be(filled < ROOT_REFS, "memory is not full");
}
static void retire_and_read(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        MUST(tarn_retire_from(seg, &root()->ref[0]));
        (void)tarn_alloc_into(seg, &root()->ref[MORE], BLOCK);
        return;
    }
    MUST(tarn_read_begin(seg));
    uint64_t ref = shared_read(&root()->ref[0]);
    if (ref)
        must_be(shared_read(tarn_ptr(seg, ref, 8)) == ref, "a block was reused under a reader");
    MUST(tarn_read_end(seg));
}

/* 2 starts an epoch of its own meanwhile. */
static void retire_read_advance(int p)
{
    if (p == 2)
        (void)epoch_advance(self_if(seg_of(p)));
    else
        retire_and_read(p);
}

/* A span that is half full: 0 takes and gives back blocks of it by the fast paths, while 1 frees and retires others of it. */
static void fill_half(int p)
{
    if (p == 0)
        for (int i = 0; i < IN_SPAN / 2; i++)
            MUST(tarn_alloc_into(seg_of(p), &root()->ref[i], BLOCK));
}
static void local_and_remote(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        MUST(tarn_alloc_into(seg, &root()->ref[MORE], BLOCK));
        MUST(tarn_free_from(seg, &root()->ref[0]));
        MUST(tarn_alloc_into(seg, &root()->ref[0], BLOCK));
        return;
    }
    MUST(tarn_free_from(seg, &root()->ref[1]));
    MUST(tarn_retire_from(seg, &root()->ref[2]));
}
static const char *local_is_done(void)
{
    struct root *r = root();
    if (!died(0) && (!r->ref[0] || !r->ref[MORE]))
        return "an allocation was lost";
    return !died(1) && (r->ref[1] || r->ref[2]) ? "a free was lost" : NULL;
}

/* 0 retires one after the other, and takes back what it remembers, while 1 frees another. */
static void retire_in_turn(int p)
{
    if (p == 0)
        for (int i = 0; i < 3; i++)
            MUST(tarn_retire_from(seg_of(p), &root()->ref[i]));
    else
        MUST(tarn_free_from(seg_of(p), &root()->ref[3]));
}

const struct test_case heap_cases[] = {
    {"retired and taken back", 2, 3, 4, 0, NULL, fill_half, retire_in_turn, NULL},
    {"local allocation", 2, 3, 4, 0, NULL, fill_half, local_and_remote, local_is_done},
    {"remote free", 2, 3, 4, 0, NULL, fill, remote, four_gone},
    {"remote free, three", 3, 2, 3, 0, NULL, fill, remote_three, NULL},
    {"retire under a reader", 2, 3, 4, 0, NULL, fill_all, retire_and_read, NULL},
    {"retire under a reader, exchanged", 2, 3, 4, CASE_EXCHANGE, NULL, fill_all, retire_and_read, NULL},
    {"retire under a reader, two reclaim", 3, 4, 5, CASE_NO_DEATH, NULL, fill_all, retire_read_advance, NULL},
    {0},
};

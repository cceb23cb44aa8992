/* case_heap.c - blocks freed by others than their span's owner, and blocks that readers stand on. */
#include "explore.h"
#include "heap/heap.h"

enum { BLOCK = 512, IN_SPAN = 7 }; /* blocks of that size in a span of 4096 bytes: with R bytes within */

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
        MUST(tarn_alloc_into(seg_of(p), &root()->ref[7], BLOCK));
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
    return root()->ref[7] ? NULL : "an allocation was lost";
}

/* Both free blocks of the third, who does nothing but take them back. */
static void remote_three(int p)
{
    if (p == 0) {
        MUST(tarn_alloc_into(seg_of(p), &root()->ref[7], BLOCK));
        return;
    }
    for (int i = 2 * p - 2; i < 2 * p; i++)
        MUST(tarn_free_from(seg_of(p), &root()->ref[i]));
}

/* Memory is full, so that 0 must wait out the grace of what it retired; 1 reads it meanwhile. */
static void fill_all(int p)
{
    static const int big[] = {40, 8, 4, 2, 1};
    int filled = 1;
    if (p)
        return;
    MUST(tarn_alloc_into(seg_of(p), &root()->ref[0], BLOCK));
    *(uint64_t *)tarn_ptr(seg_of(p), root()->ref[0], 8) = root()->ref[0];
    for (unsigned i = 0; i < sizeof big / sizeof *big && filled < 7; i++)
        while (filled < 7 && tarn_alloc_into(seg_of(p), &root()->ref[filled], (size_t)big[i] * 4096) == 0)
            filled++;
    for (int i = filled; i < 7; i++)
        (void)tarn_alloc_into(seg_of(p), &root()->ref[i], BLOCK);
}
static void retire_and_read(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        MUST(tarn_retire_from(seg, &root()->ref[0]));
        (void)tarn_alloc_into(seg, &root()->ref[7], BLOCK);
        return;
    }
    MUST(tarn_read_begin(seg));
    uint64_t ref = shared_read(&root()->ref[0]);
    if (ref)
        must_be(shared_read(tarn_ptr(seg, ref, 8)) == ref, "a block was reused under a reader");
    MUST(tarn_read_end(seg));
}

const struct test_case heap_cases[] = {
    {"remote free", 2, 2, 3, 0, NULL, fill, remote, four_gone},
    {"remote free, three", 3, 1, 2, 0, NULL, fill, remote_three, NULL},
    {"retire under a reader", 2, 3, 4, 0, NULL, fill_all, retire_and_read, NULL},
    {0},
};

/* operations_heap.c - blocks of another size, aligned blocks: in place, moved, in sections, another's, and where the segment grows. */
#include <string.h>

#include "heap/table.h"
#include "operations.h"

/* Each byte, so that the oracle sees what was copied; the last ones are zeros again in what is larger. */
static void filled(struct lab *l, int i, size_t size)
{
    MUST(tarn_alloc_into(SEG, REF(i), size));
    memset(tarn_ptr(SEG, R->ref[i], size), 0x40 + i, tarn_block_size(SEG, R->ref[i]));
}
static void blocks(struct lab *l)
{
    filled(l, 0, 100);
    filled(l, 1, 40);
    filled(l, 2, 300);
}
static void moves(struct lab *l)
{
    MUST(tarn_realloc_into(SEG, REF(0), 400, 0));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(1), 200, TARN_REALLOC_RETIRE));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(2), 16, 0));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(2), 9, 0));  /* is what it is */
    MUST(tarn_realloc_into(SEG, REF(3), 64, 0)); /* there was none */
}
static void drivers(struct lab *l)
{
    filled(l, 6, 80);
    filled(l, 7, 80);
    filled(l, 8, 9000);
}
static void moves_anothers(struct lab *l)
{
    MUST(tarn_realloc_into(SEG, REF(6), 200, 0));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(7), 200, TARN_REALLOC_RETIRE));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(8), 20000, 0)); /* another's run does not grow in place */
}
static void a_run(struct lab *l)
{
    filled(l, 0, 9000);
}
/* The last spans are others' meanwhile, or behind what is committed. */
static void stays(struct lab *l, size_t size)
{
    tarn_ref was = R->ref[0];
    MUST(tarn_realloc_into(SEG, REF(0), size, 0));
#ifndef FAILING_H /* there, the segment may not have grown */
    if (R->ref[0] != was)
        lab_fail("a run moved that had room where it was");
#endif
    (void)was;
}
static void run_in_place(struct lab *l)
{
    stays(l, 20000);
    mark(l);
    stays(l, 12288);
    mark(l);
    stays(l, 4097);
    mark(l);
    stays(l, 16384);
}
static void run_moves(struct lab *l)
{
    MUST(tarn_realloc_into(SEG, REF(0), 6000, TARN_REALLOC_RETIRE)); /* readers may look at its end */
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(0), 200, 0));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(0), 9000, 0));
}
static void neighbour(struct lab *l)
{
    filled(l, 9, 4096);
}
static void run_beside(struct lab *l)
{
    MUST(tarn_realloc_into(SEG, REF(0), 20000, 0));
    mark(l);
    MUST(tarn_free_from(SEG, REF(9)));
    mark(l);
    MUST(tarn_realloc_into(SEG, REF(0), 30000, 0));
}
/* The run is at the end of what is committed. */
static void run_at_the_end(struct lab *l)
{
    uint32_t spans = spans_committed(SEG), left = spans;
    while (left && !load64(&span_at(SEG, left - 1)->word))
        left--;
    filled(l, 0, (size_t)(spans - left) * 4096);
}
static void run_grows_it(struct lab *l)
{
    stays(l, tarn_block_size(SEG, R->ref[0]) + 8000);
}
static void section(struct lab *l)
{
    tarn_ref b;
    MUST(tarn_begin(SEG));
    MUST(tarn_realloc(SEG, R->ref[0], 400, 0, &b));
    MUST(tarn_save(SEG, REF(0), 8));
    R->ref[0] = b;
    memset(tarn_ptr(SEG, b, 400), 9, 400);
    MUST(tarn_realloc_into(SEG, REF(0), 500, 0)); /* what it has allocated itself */
    MUST(tarn_realloc_into(SEG, REF(1), 45, 0));
    MUST(tarn_realloc_into(SEG, REF(2), 5000, TARN_REALLOC_RETIRE));
    MUST(tarn_realloc_into(SEG, REF(2), 9000, 0)); /* a run, too, moves in a section */
    MUST(tarn_realloc(SEG, 0, 24, 0, &b));
    MUST(tarn_save(SEG, REF(3), 8));
    R->ref[3] = b;
}
static void section_commits(struct lab *l)
{
    section(l);
    MUST(tarn_commit(SEG));
}
static void section_aborts(struct lab *l)
{
    section(l);
    MUST(tarn_abort(SEG));
}
/* One word is left of the record's log (192): there must be room for two, or nothing happens. */
static void section_long_log(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc_into(SEG, REF(3), 24)); /* three words */
    for (int i = 0; i < 93; i++) {
        MUST(tarn_save(SEG, &R->word[i % 3], 8));
        R->word[i % 3] = (uint64_t)i;
    }
    MUST(tarn_realloc_into(SEG, REF(0), 300, 0)); /* two, and these two */
    MUST(tarn_commit(SEG));
}
static void aligned(struct lab *l)
{
    static const size_t to[] = {64, 256, 512, 4096};
    tarn_ref b;
    for (int i = 0; i < 4; i++) {
        MUST(tarn_alloc_aligned_into(SEG, REF(i), 100, to[i]));
        if (R->ref[i] % to[i])
            lab_fail("it is not aligned");
        mark(l);
    }
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc_aligned(SEG, 30, 128, &b));
    MUST(tarn_save(SEG, REF(4), 8));
    R->ref[4] = b;
    MUST(tarn_commit(SEG));
}

const struct operation heap_operations[] = {
    {"realloc moves", 0, blocks, NULL, moves},
    {"realloc moves another's", OP_FEW, NULL, drivers, moves_anothers},
    {"realloc of a run, in place", OP_FEW, a_run, NULL, run_in_place},
    {"realloc of a run, moved", OP_FEW, a_run, NULL, run_moves},
    {"realloc of a run, beside another's", OP_FEW, a_run, neighbour, run_beside},
    {"realloc of a run, growing", OP_FEW | OP_GROWS, run_at_the_end, NULL, run_grows_it},
    {"realloc in a section", OP_FEW, blocks, NULL, section_commits},
    {"realloc in a section, aborted", OP_FEW, blocks, NULL, section_aborts},
    {"realloc in a section, long log", OP_FEW, blocks, NULL, section_long_log},
    {"alloc aligned", OP_FEW, NULL, NULL, aligned},
    {0},
};

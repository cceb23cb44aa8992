/* case_epoch.c - grace by the contract of epoch_advance alone, without the heap: two who start epochs, and a reader. */
#include "explore.h"
#include "participant/participant.h"

enum {
    REF,
    BLOCK
}; /* root's words: what leads to the block, 0 once it is retired; and the block: 1, 0 once it is used for something else */

static void linked(void)
{
    root()->word[REF] = root()->word[BLOCK] = 1;
}

/* 0 retires the block, and uses it again when its grace is over; 1 reads it; 2 starts an epoch of its own meanwhile, as one does who waits for the
 * grace of another block. */
static void retire_read_advance(int p)
{
    struct self *s = self_if(seg_of(p));
    if (p == 0) {
        uint64_t seen;
        bool over = false;
        shared_write(&root()->word[REF], 0);
        seen = epoch_seen(s->seg);
        for (int i = 0; i < 2 && !over; i++)
            over = epoch_advance(s) > seen;
        if (over)
            shared_write(&root()->word[BLOCK], 0);
    } else if (p == 1) {
        MUST(tarn_read_begin(seg_of(p)));
        if (shared_read(&root()->word[REF]))
            must_be(shared_read(&root()->word[BLOCK]) == 1, "a block was used again under a reader");
        MUST(tarn_read_end(seg_of(p)));
    } else
        (void)epoch_advance(s);
}

const struct test_case epoch_cases[] = {
    {"grace, two reclaim", 3, 4, 5, CASE_NO_DEATH, linked, NULL, retire_read_advance, NULL},
    {"grace, two reclaim, exchanged", 3, 3, 4, CASE_NO_DEATH | CASE_EXCHANGE, linked, NULL,
     retire_read_advance, NULL},
    {0},
};

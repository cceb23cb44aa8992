/* case_section.c - sections: all of one happens or nothing, locks last to its end, circles of waiters end. */
#include <errno.h>

#include "explore.h"

enum { DONE_BY }; /* ghost[DONE_BY + p]: p's section is committed, as far as p knows */

static void hundred(void)
{
    root()->word[0] = root()->word[1] = 50;
}

static void move(int p, uint64_t amount)
{
    tarn *seg = seg_of(p);
    uint64_t a, b;
    MUST(tarn_save(seg, &root()->word[0], 8));
    a = shared_read(&root()->word[0]);
    shared_write(&root()->word[0], a - amount);
    MUST(tarn_save(seg, &root()->word[1], 8));
    b = shared_read(&root()->word[1]);
    must_be(a + b == 100, "a section saw half of another");
    shared_write(&root()->word[1], b + amount);
}

static void lock_in_section(int p, int lock)
{
    must_be(tarn_mutex_lock(seg_of(p), &root()->lock[lock]) == 0,
            "a lock failed, or came dirty from a section");
}

static void transfer(int p)
{
    tarn *seg = seg_of(p);
    MUST(tarn_begin(seg));
    lock_in_section(p, 0);
    move(p, (uint64_t)p + 1);
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
    MUST(tarn_commit(seg));
    ghost[DONE_BY + p] = 1;
}

static void transfer_or_abort(int p)
{
    tarn *seg = seg_of(p);
    if (p != 1) {
        transfer(p);
        return;
    }
    MUST(tarn_begin(seg));
    lock_in_section(p, 0);
    move(p, 7);
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
    MUST(tarn_abort(seg));
}

/* What was committed is there, and nothing else; of a dead one, perhaps. */
static const char *sums(void)
{
    uint64_t least = 50, maybe = 0;
    for (int p = 0; p < PEOPLE; p++) {
        if (ghost[DONE_BY + p])
            least += (uint64_t)p + 1;
        else if (died(p))
            maybe = (uint64_t)p + 1;
    }
    if (root()->word[0] + root()->word[1] != 100)
        return "half a section happened";
    if (root()->word[1] != least && root()->word[1] != least + maybe)
        return "a section was lost, or happened though it was aborted";
    return NULL;
}

/* Two locks, in crossed order: whoever would close the circle is told, and comes again. */
static void crossed(int p)
{
    tarn *seg = seg_of(p);
    for (int tries = 0; tries < 4; tries++) {
        int e;
        MUST(tarn_begin(seg));
        lock_in_section(p, p);
        e = tarn_mutex_lock(seg, &root()->lock[1 - p]);
        if (e == -EDEADLK) {
            MUST(tarn_mutex_unlock(seg, &root()->lock[p]));
            MUST(tarn_abort(seg));
            continue;
        }
        must_be(e == 0, "a lock failed, or came dirty from a section");
        move(p, (uint64_t)p + 1);
        MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
        MUST(tarn_mutex_unlock(seg, &root()->lock[1]));
        MUST(tarn_commit(seg));
        ghost[DONE_BY + p] = 1;
        return;
    }
}

/* Blocks come and go in sections. */
static void one_each(int p)
{
    MUST(tarn_alloc_into(seg_of(p), &root()->ref[p], 40));
}
static void change_blocks(int p)
{
    tarn *seg = seg_of(p);
    MUST(tarn_begin(seg));
    lock_in_section(p, 0);
    MUST(tarn_alloc_into(seg, &root()->ref[2 + p], 40));
    MUST(tarn_free_from(seg, &root()->ref[1 - p])); /* the other's */
    move(p, (uint64_t)p + 1);
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
    MUST(tarn_commit(seg));
    ghost[DONE_BY + p] = 1;
}
static const char *blocks_and_sums(void)
{
    for (int p = 0; p < 2; p++)
        if (ghost[DONE_BY + p] && (root()->ref[1 - p] || !root()->ref[2 + p]))
            return "a committed allocation or free is gone";
    return sums();
}

const struct test_case section_cases[] = {
    {"section, two", 2, 3, 4, CASE_ALIKE, hundred, NULL, transfer, sums},
    {"section, one aborts", 2, 3, 4, 0, hundred, NULL, transfer_or_abort, sums},
    {"section, three", 3, 2, 2, CASE_ALIKE, hundred, NULL, transfer, sums},
    {"section, circle", 2, 3, 4, 0, hundred, NULL, crossed, sums},
    {"section, blocks", 2, 3, 4, 0, hundred, one_each, change_blocks, blocks_and_sums},
    {0},
};

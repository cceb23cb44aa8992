/* case_mutex.c - the mutex: nobody shares it, nobody waits for the dead, and a death is told to who comes next. */
#include <errno.h>

#include "explore.h"

enum { INSIDE, TAKEN, LEAVING, DIRTY };

/* In the lock: ghost[INSIDE] says who. A death there must be told to the next, one on the way out may be. */
static void enters(int p, int result)
{
    uint64_t before = ghost[INSIDE];
    must_be(result >= 0, "a lock failed");
    if (before) {
        must_be(died((int)before - 1) || ghost[LEAVING], "two holders");
        must_be(result == TARN_RECOVERED || ghost[LEAVING], "a death within was not told");
        must_be(result == 0 || died((int)before - 1), "a lock came dirty that nobody died with");
        ghost[LEAVING] = 0;
    } else
        must_be(result == 0, "a lock came dirty that nobody died with");
    ghost[INSIDE] = (uint64_t)p + 1;
}

static void count(void)
{
    shared_write(&root()->word[0], shared_read(&root()->word[0]) + 1);
    ghost[TAKEN]++;
}

static void finish(int p, int e)
{
    if (e == TARN_RECOVERED) {
        shared_write(&root()->word[0], ghost[TAKEN]);
        MUST(tarn_mutex_consistent(seg_of(p), &root()->lock[0]));
    }
    count();
    ghost[LEAVING] = 1;
    MUST(tarn_mutex_unlock(seg_of(p), &root()->lock[0]));
    if (ghost[INSIDE] == (uint64_t)p + 1)
        ghost[INSIDE] = ghost[LEAVING] = 0;
}

static void lock_count_unlock(int p)
{
    int e = tarn_mutex_lock(seg_of(p), &root()->lock[0]);
    enters(p, e);
    finish(p, e);
}

static void twice(int p)
{
    lock_count_unlock(p);
    lock_count_unlock(p);
}

/* Who comes in time counts; who does not, gives up, and must wake who would else sleep on. */
static void in_time(int p)
{
    static const struct timespec soon = {.tv_sec = 1};
    int e;
    if (p != 1) {
        lock_count_unlock(p);
        return;
    }
    may_be_late(p);
    e = tarn_mutex_timed(seg_of(p), &root()->lock[0], &soon);
    if (e == -ETIMEDOUT)
        return;
    enters(p, e);
    finish(p, e);
}

static void try_it(int p)
{
    int e = tarn_mutex_try(seg_of(p), &root()->lock[0]);
    if (e == -EBUSY)
        return;
    enters(p, e);
    finish(p, e);
}
static void one_tries(int p)
{
    if (p == 1)
        try_it(p);
    else
        lock_count_unlock(p);
}

static const char *all_counted(void)
{
    uint64_t n = root()->word[0];
    if (n != ghost[TAKEN] && !(anyone_died() && n + 1 == ghost[TAKEN]))
        return "a count was lost";
    return NULL;
}

const struct test_case mutex_cases[] = {
    {"mutex, two", 2, 3, 4, CASE_ALIKE, NULL, NULL, lock_count_unlock, all_counted},
    {"mutex, two, twice", 2, 3, 4, CASE_ALIKE, NULL, NULL, twice, all_counted},
    {"mutex, three", 3, 2, 3, CASE_ALIKE, NULL, NULL, lock_count_unlock, all_counted},
    {"mutex, timed", 3, 2, 2, 0, NULL, NULL, in_time, all_counted},
    {"mutex, two, exchanged", 2, 3, 4, CASE_ALIKE | CASE_EXCHANGE, NULL, NULL, lock_count_unlock, all_counted},
    {"mutex, try", 2, 3, 4, 0, NULL, NULL, one_tries, all_counted},
    {0},
};

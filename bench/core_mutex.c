/* bench/core_mutex.c - lock and unlock, alone and by two processes.
 *
 * alone: lock, add one, unlock, nobody else; a second, sleeping thread is in the process. two.0ns, two.100ns: two processes on two
 * cpus, each in a loop: lock, change three words, unlock, then nothing or 100 ns of own work. The rate is both sides' together, and
 * the share is the slower side's part of it, for a lock can win by letting one side keep it. Every kind of lock lies in one cache
 * line with its words; lost additions are found at the end of each measurement.
 *
 * best_shared is the one of pthread process-shared, pthread robust and Boost beside which tarn looks worst in this run.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#include <pthread.h>
#include <stdio.h>

#define ALONE_TURNS 300000u
#define DUEL_NS 30000000u
#define SHARES 4096

/* ---- tarn's side ---------------------------------------------------------------------------------------------------- */

static tarn *seg;

static inline int lock(void *at)
{
    return tarn_mutex_lock(seg, at);
}
static inline int unlock(void *at)
{
    return tarn_mutex_unlock(seg, at);
}
static void make(struct guarded *g)
{
    memset(g, 0, sizeof *g);
}
static void alone(struct guarded *g, uint64_t n)
{
    guarded_alone(g, n, lock, unlock);
}
static uint64_t both(struct guarded *g, const int *stop, unsigned turns)
{
    return guarded_both(g, stop, turns, lock, unlock);
}

static const struct lock_kind tarn_kind = {"tarn", make, alone, both};

/* ---- alone ---------------------------------------------------------------------------------------------------------- */

struct trial { /* one contender of one figure */
    const struct lock_kind *kind;
    struct guarded *g;
    unsigned turns;       /* of own work */
    double share[SHARES]; /* per cent, of each sample */
    int shares;
};

static double alone_sample(void *state)
{
    struct trial *t = state;
    t->g->word[0] = 0;
    t->kind->alone(t->g, ALONE_TURNS / 10);
    uint64_t start = bench_now();
    t->kind->alone(t->g, ALONE_TURNS);
    uint64_t end = bench_now();
    if (t->g->word[0] != ALONE_TURNS + ALONE_TURNS / 10)
        bench_die("mutex.alone: %s counted to %llu", t->kind->name, (unsigned long long)t->g->word[0]);
    return (double)(end - start) / ALONE_TURNS;
}

static pthread_mutex_t asleep = PTHREAD_MUTEX_INITIALIZER;

static void *sleeper(void *arg)
{
    pthread_mutex_lock(&asleep); /* until the end */
    pthread_mutex_unlock(&asleep);
    return arg;
}

static struct contender contender(struct trial *t, const struct lock_kind *kind, double (*sample)(void *),
                                  struct guarded *at)
{
    t->kind = kind;
    t->g = at;
    t->shares = 0;
    kind->make(at);
    return (struct contender){.name = kind->name, .sample = sample, .state = t};
}

static void run_alone(const char *figure, struct guarded *ours, struct guarded *theirs)
{
    static const struct lock_kind *const kinds[] = {&peer_pthread_private, &peer_pthread_shared,
                                                    &peer_pthread_robust, &peer_boost_mutex};
    static struct trial trial[5];
    struct contender peers[4], me = contender(&trial[4], &tarn_kind, alone_sample, ours);
    for (int i = 0; i < 4; i++)
        peers[i] = contender(&trial[i], kinds[i], alone_sample, &theirs[i]);
    pthread_t thread;
    pthread_mutex_lock(&asleep);
    if (pthread_create(&thread, NULL, sleeper, NULL))
        bench_die("no thread");
    struct outcome o;
    bench_compare(figure, "ns", &me, peers, 4, bench_reps(21), false, &o);
    pthread_mutex_unlock(&asleep);
    pthread_join(thread, NULL);
}

/* ---- two ------------------------------------------------------------------------------------------------------------ */

static void two_enter(void *state, int side)
{
    struct trial *t = state;
    (void)side;
    if (t->kind == &tarn_kind)
        core_good(tarn_thread_attach(seg), "tarn_thread_attach");
    static const int at_once = 1;
    t->kind->both(t->g, &at_once, 0); /* nothing, but its code is there */
}
static uint64_t two_run(void *state, int side, const int *stop)
{
    struct trial *t = state;
    (void)side;
    return t->kind->both(t->g, stop, t->turns);
}
static void two_leave(void *state)
{
    struct trial *t = state;
    if (t->kind == &tarn_kind)
        core_good(tarn_thread_detach(seg), "tarn_thread_detach");
}

static double two_sample(void *state)
{
    struct trial *t = state;
    struct duel duel = {.enter = two_enter, .run = two_run, .leave = two_leave, .state = t};
    uint64_t ops[2];
    memset(t->g->word, 0, sizeof t->g->word);
    double ns = bench_duel(&duel, DUEL_NS, ops);
    uint64_t sum = ops[0] + ops[1], less = ops[0] < ops[1] ? ops[0] : ops[1];
    const uint64_t *word = t->g->word;
    if (word[0] != sum || word[1] != 2 * sum || word[2] != 3 * sum)
        bench_die("mutex.two: %s lost additions: %llu %llu %llu of %llu", t->kind->name,
                  (unsigned long long)word[0], (unsigned long long)word[1], (unsigned long long)word[2],
                  (unsigned long long)sum);
    if (t->shares < SHARES && sum)
        t->share[t->shares++] = 100.0 * (double)less / (double)sum;
    return (double)sum / ns * 1e3; /* Mops/s */
}

/* Returns the slower side's share, in per cent. */
static double run_two(const char *figure, double work_ns, struct guarded *ours, struct guarded *theirs)
{
    static const struct lock_kind *const kinds[] = {&peer_pthread_shared, &peer_pthread_robust, &peer_boost_mutex};
    static struct trial trial[4];
    char name[100];
    struct contender peers[3], me = contender(&trial[3], &tarn_kind, two_sample, ours);
    for (int i = 0; i < 3; i++)
        peers[i] = contender(&trial[i], kinds[i], two_sample, &theirs[i]);
    for (int i = 0; i < 4; i++)
        trial[i].turns = work_ns > 0 ? bench_work_turns(work_ns) : 0;
    struct outcome o;
    bench_compare(figure, "Mops/s", &me, peers, 3, bench_reps(15), true, &o);
    int best = 0;
    for (int i = 1; i < 3; i++)
        best = o.ratio[i] < o.ratio[best] ? i : best;
    bench_print_ratio(figure, "best_shared", o.ratio[best], o.spread[best]);
    for (int i = 0; i < 3; i++)
        bench_note("%s: %s: the slower side's share is %.1f %%", figure, peers[i].name,
                   bench_quantile(trial[i].share, trial[i].shares, 0.5));
    double share = bench_quantile(trial[3].share, trial[3].shares, 0.5);
    snprintf(name, sizeof name, "%s.share", figure);
    bench_print(name, share, "%");
    return share;
}

/* The figures' names begin with core or with sync. */
void core_mutex(const char *prefix)
{
    char alone[40], none[40], some[40], least[40], two[40];
    snprintf(alone, sizeof alone, "%s.mutex.alone", prefix);
    snprintf(two, sizeof two, "%s.mutex.two", prefix);
    snprintf(none, sizeof none, "%s.mutex.two.0ns", prefix);
    snprintf(some, sizeof some, "%s.mutex.two.100ns", prefix);
    snprintf(least, sizeof least, "%s.mutex.two.share_min", prefix);
    seg = core_segment(1 << 20);
    struct guarded *ours = core_block(seg, sizeof *ours), *theirs = bench_shared(4 * sizeof *theirs);
    bench_pin(0);
    if (bench_wanted(alone))
        run_alone(alone, ours, theirs);
    if (bench_wanted(two)) {
        bool all = bench_wanted(least);
        double share[2] = {100, 100};
        if (all || bench_wanted(none))
            share[0] = run_two(none, 0, ours, theirs);
        if (all || bench_wanted(some))
            share[1] = run_two(some, 100, ours, theirs);
        if (all)
            bench_print(least, share[0] < share[1] ? share[0] : share[1], "%");
    }
    core_close(seg);
}

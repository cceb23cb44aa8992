/* bench/pair.c - statistics, the round trip of a cache line, and comparison by paired repetitions.
 *
 * Absolute times drift with the host's clock, neighbours and modes; the ratio of two measurements next to each other drifts far
 * less. So every peer has a measurement of ours right beside each of its own, and what is compared is the median of these ratios.
 * A pair that was disturbed in its middle is not found out, unless cache lines are watched: medians and quartiles have to do.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In one mode of a host the round trip varies by a third or so; between two modes by a factor of 3 to 10. */
#define SAME_MODE 2.0

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *values, int n, double q)
{
    if (n <= 0)
        bench_die("a quantile of nothing");
    qsort(values, (size_t)n, sizeof *values, by_size);
    int rank = (int)(q * n);
    if (q == 0.5 && n % 2 == 0)
        return (values[n / 2 - 1] + values[n / 2]) / 2;
    return values[rank < n ? rank : n - 1];
}

/* ---- the round trip of a line --------------------------------------------------------------------------------------- */

#define CHUNKS 41
#define TRIPS 100

struct ball {
    uint64_t at __attribute__((aligned(128))); /* even: with side 0 */
    double ns __attribute__((aligned(128)));   /* by side 0: a round trip */
};

/* The median of short stretches: one in which a side was off its cpu does not count. */
static uint64_t play(void *state, int side, const int *stop)
{
    struct ball *ball = (struct ball *)state;
    double took[CHUNKS];
    (void)stop;
    for (uint64_t chunk = 0, at = 0; chunk < CHUNKS; chunk++) {
        uint64_t start = bench_now();
        for (int i = 0; i < TRIPS; i++, at += 2) {
            if (side == 0)
                __atomic_store_n(&ball->at, at + 1, __ATOMIC_RELEASE);
            while (__atomic_load_n(&ball->at, __ATOMIC_ACQUIRE) != at + (side == 0 ? 2 : 1))
                ;
            if (side == 1)
                __atomic_store_n(&ball->at, at + 2, __ATOMIC_RELEASE);
        }
        took[chunk] = (double)(bench_now() - start) / TRIPS;
    }
    if (side == 0)
        ball->ns = bench_quantile(took, CHUNKS, 0.5);
    return CHUNKS * TRIPS;
}

double bench_line_ns(void)
{
    static struct ball *ball;
    if (!ball)
        ball = (struct ball *)bench_shared(sizeof *ball);
    ball->at = 0;
    uint64_t ops[2];
    struct duel duel = {.run = play, .state = ball};
    bench_duel(&duel, 0, ops);
    return ball->ns;
}

/* ---- pairs ---------------------------------------------------------------------------------------------------------- */

static double sample(const char *figure, const struct contender *c)
{
    double value = c->sample(c->state);
    if (!(value > 0))
        bench_die("%s: %s measured %g", figure, c->name, value);
    return value;
}

/* One pair, in this order or the other. Returns whether the host stayed in one mode. */
static bool one_pair(const char *figure, const struct contender *ours, const struct contender *peer,
                     bool swapped, bool lines, double ret[2])
{
    double least = 0, most = 0;
    for (int half = 0; half < 3; half++) {
        if (lines) {
            double ns = bench_line_ns();
            least = half == 0 || ns < least ? ns : least;
            most = half == 0 || ns > most ? ns : most;
        }
        if (half < 2)
            ret[half ^ swapped] = sample(figure, half ^ swapped ? peer : ours);
    }
    return !lines || most <= SAME_MODE * least;
}

void bench_pairs(const char *figure, const struct contender *ours, const struct contender *peers, int count,
                 int reps, bool lines, struct outcome *ret_outcome)
{
    if (count > BENCH_PEERS || count < 1)
        bench_die("%s: %d peers", figure, count);
    double *mine = (double *)calloc((size_t)(reps * count), sizeof(double));
    double *values = (double *)calloc((size_t)(reps * count * 2), sizeof(double));
    if (!mine || !values)
        bench_die("no memory");
    int dropped = 0, kept = 0;
    for (int i = -1; i < count; i++) /* warm up: caches, pages, predictors */
        sample(figure, i < 0 ? ours : &peers[i]);
    for (int rep = 0; rep < reps; rep++) {
        for (int i = 0; i < count; i++) {
            double pair[2];
            while (!one_pair(figure, ours, &peers[i], rep & 1, lines, pair)) {
                if (++dropped > 3 * reps * count)
                    bench_die("%s: the host flips between its modes all the time: %d pairs dropped, %d kept",
                              figure, dropped, kept);
            }
            mine[kept++] = pair[0];
            values[(i * 2) * reps + rep] = pair[1];
            values[(i * 2 + 1) * reps + rep] = pair[0] / pair[1];
        }
    }
    if (dropped)
        bench_note("%s: %d pairs dropped, for the host changed its mode in them", figure, dropped);
    ret_outcome->ours = bench_quantile(mine, kept, 0.5);
    for (int i = 0; i < count; i++) {
        double *ratios = &values[(i * 2 + 1) * reps];
        ret_outcome->peer[i] = bench_quantile(&values[i * 2 * reps], reps, 0.5);
        ret_outcome->ratio[i] = bench_quantile(ratios, reps, 0.5);
        ret_outcome->spread[i] = bench_quantile(ratios, reps, 0.75) - bench_quantile(ratios, reps, 0.25);
    }
    free(mine);
    free(values);
}

void bench_compare(const char *figure, const char *unit, const struct contender *ours,
                   const struct contender *peers, int count, int reps, bool lines, struct outcome *ret_outcome)
{
    bench_pairs(figure, ours, peers, count, reps, lines, ret_outcome);
    bench_print(figure, ret_outcome->ours, unit);
    for (int i = 0; i < count; i++) {
        bench_note("%s: %s %.4g %s", figure, peers[i].name, ret_outcome->peer[i], unit);
        bench_print_ratio(figure, peers[i].name, ret_outcome->ratio[i], ret_outcome->spread[i]);
    }
}

/* bench/harness.h - what every benchmark rests on: options, clocks, pinning, two processes on two cpus, statistics, printing,
 * and comparison by paired repetitions.
 *
 * What is printed on stdout, and nothing else is:
 *     figure VALUE unit                   a median
 *     figure/peer VALUE ratio SPREAD      the median of the ratios of pairs, ours over the peer's, and the distance of their
 *                                         quartiles. Times over times: below 1 is faster; rates over rates: above 1 is faster.
 * The peers' own medians and remarks go to stderr.
 *
 * A benchmark checks its own results, and calls bench_die (exit 1) on a wrong one. Everything here is for one thread of one
 * process, but for what says that it forks. Children die with their parent. Nothing gets a name in a file system, so nothing is
 * left behind, however the program ends.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options and life ----------------------------------------------------------------------------------------------- */

/* Reads the command line: [FIGURE-PREFIX...] [--quick] [--reps N] [--entries N] [--help]. figures: NULL-terminated, what --help lists; a prefix
 * that fits none of them is refused (exit 2). Arms a watchdog: a benchmark that hangs is a failure. */
void bench_start(int argc, char **argv, const char *name, const char *const *figures);

/* Is any figure that begins like this wanted? So a part of the program can be left out. */
bool bench_wanted(const char *figure);
/* Is it wanted itself, or a ratio of it? (A figure whose name merely goes on, as x.insert_max after x.insert, is another one.) */
bool bench_wanted_itself(const char *figure);
bool bench_quick(void);
/* Repetitions: as --reps says, or `usual`, or fewer of them with --quick. */
int bench_reps(int usual);
/* Of how many entries: as --entries says, or `usual`, or `quick` with --quick. */
uint64_t bench_entries(uint64_t usual, uint64_t quick);
/* Figures that begin with `usual` are printed with `actual` in its place: they were measured at another size than their name says.
 * Prefixes on the command line, and all calls here, say the usual. Both live as long as the program; four of them at most. */
void bench_rename(const char *usual, const char *actual);
/* The watchdog comes after so many seconds from now. */
void bench_watchdog(unsigned seconds);

void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- clocks, cpus, memory, children --------------------------------------------------------------------------------- */

static inline uint64_t bench_now(void) /* ns, the same clock in all processes */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
void bench_sleep(uint64_t ns);

/* Pin the calling thread to the n-th of the cpus that the program was started on. */
void bench_pin(int n);
int bench_cpus(void);

/* Zeroed memory that forked children share; nameless; faulted in. */
void *bench_shared(size_t size);
/* Fault in the whole pages around these bytes, for writing. */
void bench_populate(void *address, size_t size);

/* A forked child that dies with its parent; 0 in the child. */
pid_t bench_fork(void);
/* Wait for it; anything but exit status 0, or death by `signal` if that is not 0, is bench_die. */
void bench_join(pid_t child, int signal, const char *what);

/* Instructions of one turn, by single steps of a forked child: run(state, 2 n) less run(state, n), over n. 0: this machine does not
 * let a process trace its child. */
double bench_instructions(void (*run)(void *state, size_t n), void *state, size_t n);

/* Own work between two operations: a chain of multiplications, calibrated at the first call. Turns for so many ns. */
unsigned bench_work_turns(double ns);
static inline void bench_work(unsigned turns)
{
    uint64_t x = 3;
    for (unsigned i = 0; i < turns; i++)
        __asm__ volatile("imul %0, %0" : "+r"(x));
}

/* A random-looking 64-bit number for each number; a bijection. (splitmix64's finisher: Steele, Lea and Flood, 2014.) */
static inline uint64_t bench_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* ---- two processes at once ------------------------------------------------------------------------------------------ */

/* Each side is forked and pinned to a cpu of its own. enter: attach and warm up, before the common start; run: until *stop is
 * set, and returns how many operations it did; leave: before the end. enter and leave may be NULL. */
struct duel {
    void (*enter)(void *state, int side);
    uint64_t (*run)(void *state, int side, const int *stop);
    void (*leave)(void *state);
    void *state;
};
/* Runs it for so many ns. Returns the ns that it took; *ret_ops are both sides' counts. Forks. */
double bench_duel(const struct duel *duel, uint64_t ns, uint64_t ret_ops[2]);

/* The round trip of a cache line between two cpus, in ns, now: hosts flip between a fast and a slow mode of moving them. Forks. */
double bench_line_ns(void);

/* ---- statistics, printing ------------------------------------------------------------------------------------------- */

/* The q-th quantile (0 to 1) of n numbers, which are sorted for it: the nearest rank. */
double bench_quantile(double *values, int n, double q);

void bench_print(const char *figure, double value, const char *unit);
void bench_print_ratio(const char *figure, const char *peer, double ratio, double spread);

/* ---- pairs ---------------------------------------------------------------------------------------------------------- */

#define BENCH_PEERS 6

struct contender {
    const char *name;
    double (*sample)(void *state); /* measures once, checks, and returns a time per operation, or a rate */
    void *state;
};
struct outcome {
    double ours;                                                       /* median of all samples */
    double peer[BENCH_PEERS], ratio[BENCH_PEERS], spread[BENCH_PEERS]; /* medians; distance of the quartiles */
};
/* For each repetition and each peer: ours and the peer's next to each other, the order changing from one to the next. lines: the
 * figure depends on moving cache lines between cpus: their round trip is measured before, between and after, and a pair in which
 * it is not the same all the time is dropped and taken again. */
void bench_pairs(const char *figure, const struct contender *ours, const struct contender *peers, int count,
                 int reps, bool lines, struct outcome *ret_outcome);
/* The same, and print the figure and all ratios. */
void bench_compare(const char *figure, const char *unit, const struct contender *ours,
                   const struct contender *peers, int count, int reps, bool lines, struct outcome *ret_outcome);

#ifdef __cplusplus
}
#endif
#endif

/* bench/harness.c - options, clocks, pinning, shared memory, children, two processes at once, printing. See harness.h.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHDOG_SECONDS 900
#define RENAMED 4

static struct {
    const char *name;
    const char **prefix;
    int prefixes, reps, renamed;
    bool quick;
    uint64_t entries;
    const char *usual[RENAMED], *actual[RENAMED];
    int cpus, cpu[CPU_SETSIZE];
} bench;

/* ---- options and life ----------------------------------------------------------------------------------------------- */

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bench-%s: ", bench.name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(stdout);
    _exit(1); /* also in a forked child, whose copies of the parent's buffers are not to be written */
}

void bench_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("# ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void usage(FILE *to, const char *const *figures)
{
    fprintf(to,
            "usage: bench-%s [FIGURE-PREFIX...] [--quick] [--reps N] [--entries N]\n\n"
            "Measures, beside peers, and prints `figure VALUE unit` and `figure/peer VALUE ratio spread`.\n"
            "  --quick      fewer repetitions: under a minute, and less exact\n"
            "  --reps N     N repetitions of each pair\n"
            "  --entries N  of maps and trees: so many, and their figures are named after it\n\n"
            "figures:\n",
            bench.name);
    for (; *figures; figures++)
        fprintf(to, "  %s\n", *figures);
}

static void hung(int signal)
{
    (void)signal;
    static const char text[] = "bench: hangs, or takes far too long: ended by its watchdog\n";
    if (write(2, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(1);
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void find_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        bench_die("sched_getaffinity: %s", strerror(errno));
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            bench.cpu[bench.cpus++] = i;
}

void bench_start(int argc, char **argv, const char *name, const char *const *figures)
{
    bench.name = name;
    bench.prefix = (const char **)calloc((size_t)argc + 1, sizeof *bench.prefix);
    for (int i = 1; bench.prefix && i < argc; i++) {
        char *end;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            usage(stdout, figures);
            exit(0);
        } else if (!strcmp(argv[i], "--quick")) {
            bench.quick = true;
        } else if (!strcmp(argv[i], "--reps") && i + 1 < argc) {
            long reps = strtol(argv[++i], &end, 10);
            if (*end || reps < 1 || reps > 1000) {
                fprintf(stderr, "bench-%s: --reps takes 1 to 1000, not %s\n", name, argv[i]);
                exit(2);
            }
            bench.reps = (int)reps;
        } else if (!strcmp(argv[i], "--entries") && i + 1 < argc) {
            unsigned long long n = strtoull(argv[++i], &end, 10);
            if (*end || n < 10000 || n > 1000000000) {
                fprintf(stderr, "bench-%s: --entries takes 10000 to 1000000000, not %s\n", name, argv[i]);
                exit(2);
            }
            bench.entries = n;
        } else if (argv[i][0] == '-') {
            usage(stderr, figures);
            exit(2);
        } else {
            bench.prefix[bench.prefixes++] = argv[i];
        }
    }
    for (int i = 0; i < bench.prefixes; i++) {
        bool fits = false;
        for (const char *const *f = figures; *f; f++)
            fits |= begins(*f, bench.prefix[i]) || begins(bench.prefix[i], *f);
        if (!fits) {
            fprintf(stderr, "bench-%s: no figure begins with %s; --help lists them\n", name, bench.prefix[i]);
            exit(2);
        }
    }
    find_cpus();
    double load;
    if (getloadavg(&load, 1) == 1 && load > 0.7)
        bench_note("others are at work on this machine (load %.1f): what needs two cpus, or counts "
                   "microseconds, will be off",
                   load);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, hung);
    alarm(WATCHDOG_SECONDS);
}

bool bench_wanted(const char *figure)
{
    bool wanted = bench.prefixes == 0;
    for (int i = 0; i < bench.prefixes; i++)
        wanted |= begins(figure, bench.prefix[i]) || begins(bench.prefix[i], figure);
    return wanted;
}

bool bench_wanted_itself(const char *figure)
{
    bool wanted = bench.prefixes == 0;
    for (int i = 0; i < bench.prefixes; i++)
        wanted |= begins(figure, bench.prefix[i]) ||
                  (begins(bench.prefix[i], figure) && bench.prefix[i][strlen(figure)] == '/');
    return wanted;
}

bool bench_quick(void)
{
    return bench.quick;
}

int bench_reps(int usual)
{
    if (bench.reps)
        return bench.reps;
    if (bench.quick)
        return usual / 4 > 3 ? usual / 4 : 3;
    return usual;
}

uint64_t bench_entries(uint64_t usual, uint64_t quick)
{
    return bench.entries ? bench.entries : bench.quick ? quick : usual;
}

void bench_rename(const char *usual, const char *actual)
{
    if (bench.renamed == RENAMED)
        bench_die("more than %d other names", RENAMED);
    bench.usual[bench.renamed] = usual;
    bench.actual[bench.renamed++] = actual;
}

void bench_watchdog(unsigned seconds)
{
    alarm(seconds);
}

/* Printed is what was asked for: a figure that a prefix merely leads to, as core.mutex.two for core.mutex.two.0ns, is not. */
static bool printed(const char *line)
{
    bool wanted = bench.prefixes == 0;
    for (int i = 0; i < bench.prefixes; i++)
        wanted |= begins(line, bench.prefix[i]);
    return wanted;
}

/* The name under which it is printed, in two parts. */
static const char *renamed(const char *figure, const char **ret_rest)
{
    for (int i = 0; i < bench.renamed; i++)
        if (begins(figure, bench.usual[i])) {
            *ret_rest = figure + strlen(bench.usual[i]);
            return bench.actual[i];
        }
    *ret_rest = figure;
    return "";
}

void bench_print(const char *figure, double value, const char *unit)
{
    const char *rest, *first = renamed(figure, &rest);
    if (printed(figure))
        printf("%s%s %.4g %s\n", first, rest, value, unit);
}

void bench_print_ratio(const char *figure, const char *peer, double ratio, double spread)
{
    char line[200];
    snprintf(line, sizeof line, "%s/%s", figure, peer);
    const char *rest, *first = renamed(line, &rest);
    if (printed(line))
        printf("%s%s %.3f ratio %.3f\n", first, rest, ratio, spread);
}

/* ---- clocks, cpus, memory, children --------------------------------------------------------------------------------- */

void bench_sleep(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
        ;
}

int bench_cpus(void)
{
    return bench.cpus;
}

void bench_pin(int n)
{
    cpu_set_t set;
    if (n >= bench.cpus)
        bench_die("this needs %d cpus, and there are %d", n + 1, bench.cpus);
    CPU_ZERO(&set);
    CPU_SET(bench.cpu[n], &set);
    if (sched_setaffinity(0, sizeof set, &set))
        bench_die("cannot pin to cpu %d: %s", bench.cpu[n], strerror(errno));
}

void bench_populate(void *address, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)address & ~(page - 1);
    uintptr_t end = ((uintptr_t)address + size + page - 1) & ~(page - 1);
    if (madvise((void *)first, end - first, MADV_POPULATE_WRITE))
        bench_die("cannot fault in %zu bytes: %s", size, strerror(errno));
}

void *bench_shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        bench_die("cannot map %zu shared bytes: %s", size, strerror(errno));
    bench_populate(at, size);
    return at;
}

pid_t bench_fork(void)
{
    fflush(stdout);
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        bench_die("fork: %s", strerror(errno));
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return child;
}

void bench_join(pid_t child, int signal, const char *what)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            bench_die("waitpid: %s", strerror(errno));
    if (signal ? !WIFSIGNALED(status) || WTERMSIG(status) != signal : !WIFEXITED(status) || WEXITSTATUS(status))
        bench_die("%s ended with %s %d", what, WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

unsigned bench_work_turns(double ns)
{
    static double turn;
    if (turn == 0) {
        for (int i = 0; i < 20; i++) { /* the quickest: what disturbs only ever adds */
            uint64_t start = bench_now();
            bench_work(20000);
            double took = (double)(bench_now() - start) / 20000;
            turn = i == 0 || took < turn ? took : turn;
        }
    }
    return (unsigned)(ns / turn + 0.5);
}

/* ---- two processes at once ------------------------------------------------------------------------------------------ */

struct stage { /* in memory that both sides and the parent share */
    int ready[2];
    int go __attribute__((aligned(128)));
    int stop __attribute__((aligned(128)));
    uint64_t ops[2] __attribute__((aligned(128)));
};

static void __attribute__((noreturn)) be_side(const struct duel *duel, struct stage *stage, int side)
{
    bench_pin(side);
    if (duel->enter)
        duel->enter(duel->state, side);
    __atomic_store_n(&stage->ready[side], 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stage->go, __ATOMIC_ACQUIRE))
        ;
    stage->ops[side] = duel->run(duel->state, side, &stage->stop);
    if (duel->leave)
        duel->leave(duel->state);
    _exit(0);
}

static bool all_ready(struct stage *stage, const pid_t *side)
{
    for (int i = 0; i < 2; i++)
        if (!__atomic_load_n(&stage->ready[i], __ATOMIC_ACQUIRE)) {
            siginfo_t info = {0};
            if (waitid(P_PID, (id_t)side[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
                bench_die("side %d ended before it began", i);
            return false;
        }
    return true;
}

double bench_duel(const struct duel *duel, uint64_t ns, uint64_t ret_ops[2])
{
    static struct stage *stage;
    if (!stage)
        stage = (struct stage *)bench_shared(sizeof *stage);
    memset(stage, 0, sizeof *stage);
    pid_t side[2];
    for (int i = 0; i < 2; i++)
        if ((side[i] = bench_fork()) == 0)
            be_side(duel, stage, i);
    while (!all_ready(stage, side))
        bench_sleep(50000);
    uint64_t start = bench_now();
    __atomic_store_n(&stage->go, 1, __ATOMIC_RELEASE);
    if (ns)
        bench_sleep(ns);
    uint64_t end = bench_now();
    __atomic_store_n(&stage->stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        bench_join(side[i], 0, "a side of a duel");
        ret_ops[i] = stage->ops[i];
    }
    return (double)(end - start);
}

/* bench/core_handover.c - from the SIGKILL of a lock's holder until the one who sleeps for the lock runs.
 *
 * Three processes: the killer (this one) and the sleeper on one cpu, each holder on the other. A holder is forked, touches 64 MiB
 * of its own, takes the lock, says so, and pauses; the sleeper is then sent for the lock; when the kernel shows it asleep, and
 * a millisecond or two later, so that no time-out that is short at first helps, the holder is killed. The time is from just
 * before kill() to just after the lock call's return; that has to say that the holder died.
 *
 * halting_: the cpus may halt; else a spinner of idle priority on each keeps them from it, for to wake a halted virtual cpu is
 * the host's affair, and can cost a millisecond. Every fifth kill is of the holder of a robust pthread mutex, the peer.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESIDENT (64u << 20)
#define KILLS 5000
#define HALTING_KILLS 1500
#define PEER_EVERY 5
#define BLOCKS 10 /* of kills: the ratio is the median of the ratios of their medians */

enum kind { TARN, ROBUST, KINDS };

/* In memory that all processes share. */
struct meeting {
    unsigned char robust[64] __attribute__((aligned(64)));
    uint64_t guarded[KINDS]; /* number of the last holder, by the holder */
    uint64_t ran;            /* by the sleeper: when it had the lock */
    uint64_t seen;           /* by the sleeper: what was guarded */
    int entering;            /* by the sleeper: it is about to lock */
};

struct scene {
    tarn *seg;
    tarn_mutex *mutex;
    struct meeting *meet;
    pid_t sleeper, spinner[2];
    int call[2], answer[2]; /* pipes, to the sleeper and back: the kind of lock, or -1 to end; a byte when it has been had */
    uint64_t kills;
};

/* 0, or 1 if the last holder died, and then the lock is made consistent. */
static int take(struct scene *s, enum kind kind)
{
    if (kind == ROBUST)
        return peer_robust_lock(s->meet->robust);
    return core_good(tarn_mutex_lock(s->seg, s->mutex), "tarn_mutex_lock");
}
static void give(struct scene *s, enum kind kind, int died)
{
    if (kind == ROBUST) {
        peer_robust_unlock(s->meet->robust);
        return;
    }
    if (died)
        core_good(tarn_mutex_consistent(s->seg, s->mutex), "tarn_mutex_consistent");
    core_good(tarn_mutex_unlock(s->seg, s->mutex), "tarn_mutex_unlock");
}

static void send_byte(int fd, signed char byte)
{
    if (write(fd, &byte, 1) != 1)
        bench_die("a pipe is gone: %s", strerror(errno));
}
static signed char receive(int fd)
{
    signed char byte;
    ssize_t n;
    while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        bench_die("core.handover: the other side is gone");
    return byte;
}

/* ---- the sleeper ---------------------------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) sleep_and_run(struct scene *s)
{
    bench_pin(0);
    core_good(tarn_thread_attach(s->seg), "tarn_thread_attach");
    for (int kind; (kind = receive(s->call[0])) >= 0;) {
        __atomic_store_n(&s->meet->entering, 1, __ATOMIC_RELEASE);
        int died = take(s, (enum kind)kind);
        s->meet->ran = bench_now();
        if (died != 1)
            bench_die("core.handover: the sleeper was not told that the holder died: %d", died);
        s->meet->seen = s->meet->guarded[kind];
        give(s, (enum kind)kind, died);
        send_byte(s->answer[1], 1);
    }
    core_good(tarn_thread_detach(s->seg), "tarn_thread_detach");
    _exit(0);
}

/* Is the process asleep, and not just off its cpu? */
static bool is_asleep(pid_t pid)
{
    char path[40], text[300];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *end = strrchr(text, ')');
    if (!end)
        bench_die("core.handover: cannot see the sleeper in %s", path);
    return end[2] == 'S';
}

/* ---- a holder, and its end ------------------------------------------------------------------------------------------ */

static void __attribute__((noreturn)) hold(struct scene *s, enum kind kind)
{
    bench_pin(1);
    char *mine = mmap(NULL, RESIDENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mine == MAP_FAILED)
        bench_die("no %u bytes", RESIDENT);
    bench_populate(mine, RESIDENT);
    if (take(s, kind))
        bench_die("core.handover: the lock was left marked");
    s->meet->guarded[kind] = s->kills;
    send_byte(s->answer[1], 0);
    for (;;)
        pause();
}

/* One kill; us until the sleeper ran. */
static double one_kill(struct scene *s, enum kind kind)
{
    s->kills++;
    pid_t holder = bench_fork();
    if (holder == 0)
        hold(s, kind);
    if (receive(s->answer[0]) != 0)
        bench_die("core.handover: the sleeper ran before it was called");
    __atomic_store_n(&s->meet->entering, 0, __ATOMIC_RELEASE);
    send_byte(s->call[1], (signed char)kind);
    while (!__atomic_load_n(&s->meet->entering, __ATOMIC_ACQUIRE) || !is_asleep(s->sleeper))
        bench_sleep(100000);
    bench_sleep(1000000 + bench_mix(s->kills) % 1500000);
    uint64_t start = bench_now();
    if (kill(holder, SIGKILL))
        bench_die("kill: %s", strerror(errno));
    if (receive(s->answer[0]) != 1)
        bench_die("core.handover: a holder spoke twice");
    bench_join(holder, SIGKILL, "a holder");
    if (s->meet->seen != s->kills || s->meet->ran < start)
        bench_die("core.handover: the sleeper had the lock of holder %llu, or before its death, not of %llu",
                  (unsigned long long)s->meet->seen, (unsigned long long)s->kills);
    return (double)(s->meet->ran - start) / 1e3;
}

/* ---- spinners ------------------------------------------------------------------------------------------------------- */

static void start_spinners(struct scene *s)
{
    for (int i = 0; i < 2; i++) {
        if ((s->spinner[i] = bench_fork()) > 0)
            continue;
        bench_pin(i);
        struct sched_param zero = {0};
        if (sched_setscheduler(0, SCHED_IDLE, &zero))
            bench_die("cannot have idle priority: %s", strerror(errno));
        for (;;)
            __asm__ volatile("" ::: "memory");
    }
}
static void stop_spinners(struct scene *s)
{
    for (int i = 0; i < 2; i++) {
        kill(s->spinner[i], SIGKILL);
        bench_join(s->spinner[i], SIGKILL, "a spinner");
    }
}

/* ---- figures -------------------------------------------------------------------------------------------------------- */

static void spin_figures(struct scene *s, int kills)
{
    double *us = calloc((size_t)kills, sizeof *us), *theirs = calloc((size_t)kills, sizeof *theirs), ratio[BLOCKS];
    if (!us || !theirs)
        bench_die("no memory");
    start_spinners(s);
    int n = 0, m = 0;
    for (int block = 0; block < BLOCKS; block++) {
        int n0 = n, m0 = m;
        for (int i = 0; i < kills / BLOCKS; i++) {
            us[n++] = one_kill(s, TARN);
            if (i % PEER_EVERY == 0)
                theirs[m++] = one_kill(s, ROBUST);
        }
        ratio[block] = bench_quantile(&us[n0], n - n0, 0.5) / bench_quantile(&theirs[m0], m - m0, 0.5);
    }
    stop_spinners(s);
    bench_print("core.handover.p50_us", bench_quantile(us, n, 0.5), "us");
    bench_note("core.handover: of %d kills p90 %.1f, p99 %.1f, longest %.1f us; robust p50 %.1f, p99 %.1f, "
               "longest %.1f us",
               n, bench_quantile(us, n, 0.9), bench_quantile(us, n, 0.99), bench_quantile(us, n, 1),
               bench_quantile(theirs, m, 0.5), bench_quantile(theirs, m, 0.99), bench_quantile(theirs, m, 1));
    bench_print_ratio("core.handover.p50_us", "pthread_robust", bench_quantile(ratio, BLOCKS, 0.5),
                      bench_quantile(ratio, BLOCKS, 0.75) - bench_quantile(ratio, BLOCKS, 0.25));
    bench_print("core.handover.p999_us", bench_quantile(us, n, 0.999), "us");
    free(us);
    free(theirs);
}

static void halting_figures(struct scene *s, int kills)
{
    double *us = calloc((size_t)kills, sizeof *us);
    if (!us)
        bench_die("no memory");
    for (int i = 0; i < kills; i++)
        us[i] = one_kill(s, TARN);
    bench_print("core.handover.halting_p50_us", bench_quantile(us, kills, 0.5), "us");
    bench_print("core.handover.halting_p999_us", bench_quantile(us, kills, 0.999), "us");
    free(us);
}

void core_handover(void)
{
    bench_pin(0);
    struct scene s = {.seg = core_segment(1 << 20), .meet = bench_shared(sizeof *s.meet)};
    s.mutex = core_block(s.seg, sizeof *s.mutex);
    peer_robust_make(s.meet->robust);
    if (pipe(s.call) || pipe(s.answer))
        bench_die("pipe: %s", strerror(errno));
    if ((s.sleeper = bench_fork()) == 0)
        sleep_and_run(&s);
    if (bench_wanted("core.handover.p50_us") || bench_wanted("core.handover.p999_us"))
        spin_figures(&s, bench_quick() ? KILLS / 20 : KILLS);
    if (bench_wanted("core.handover.halting_p"))
        halting_figures(&s, bench_quick() ? HALTING_KILLS / 20 : HALTING_KILLS);
    send_byte(s.call[1], -1);
    bench_join(s.sleeper, 0, "the sleeper");
    for (int i = 0; i < 2; i++) {
        close(s.call[i]);
        close(s.answer[i]);
    }
    core_close(s.seg);
}

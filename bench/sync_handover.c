/* bench/sync_handover.c - from the SIGKILL of a mutex's holder until the first of N who sleep for it runs.
 *
 * The sleepers are threads of one process, pinned with the killer to one cpu; each holder is a process on the other, with 64 MiB of its own resident. When
 * the holder has the mutex, the sleepers are sent for it; once they have slept some milliseconds, the holder is killed. The time is from just before kill()
 * to just after the first lock call that returns: it has to say that the holder died. Spinners of idle priority keep both cpus from halting. The peer
 * is a robust pthread mutex: with one sleeper in turn, so that both have as many kills to show their longest in, else every fifth kill.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESIDENT (64u << 20)

struct meeting { /* shared by all processes */
    unsigned char robust[64] __attribute__((aligned(64)));
    uint64_t ran;     /* when the first one had it; 0: nobody yet */
    uint32_t arrived; /* threads about to lock */
    uint32_t done;    /* threads that have had it, and given it up */
    uint32_t round;   /* whoever waits for more than he has seen goes for the mutex */
    uint32_t robust_round, over;
    uint32_t held, told;
};

static tarn *seg;
static tarn_mutex *mutex;
static struct meeting *meet;

static void next_round(void)
{
    __atomic_fetch_add(&meet->round, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &meet->round, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void *sleeper(void *arg)
{
    uint32_t seen = 0;
    core_good(tarn_thread_attach(seg), "tarn_thread_attach");
    for (;;) {
        bool robust;
        int died;
        uint64_t now, none = 0;
        while (__atomic_load_n(&meet->round, __ATOMIC_ACQUIRE) == seen) /* asleep: a thousand who poll take a cpu */
            syscall(SYS_futex, &meet->round, FUTEX_WAIT, seen, NULL, NULL, 0);
        if (__atomic_load_n(&meet->over, __ATOMIC_ACQUIRE))
            break;
        seen++;
        robust = __atomic_load_n(&meet->robust_round, __ATOMIC_ACQUIRE);
        __atomic_fetch_add(&meet->arrived, 1, __ATOMIC_SEQ_CST);
        died = robust ? peer_robust_lock(meet->robust) : core_good(tarn_mutex_lock(seg, mutex), "tarn_mutex_lock");
        now = bench_now();
        if (__atomic_compare_exchange_n(&meet->ran, &none, now, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            meet->told = died == 1;
        if (robust)
            peer_robust_unlock(meet->robust);
        else {
            if (died)
                core_good(tarn_mutex_consistent(seg, mutex), "tarn_mutex_consistent");
            core_good(tarn_mutex_unlock(seg, mutex), "tarn_mutex_unlock");
        }
        __atomic_fetch_add(&meet->done, 1, __ATOMIC_SEQ_CST);
    }
    core_good(tarn_thread_detach(seg), "tarn_thread_detach");
    return arg;
}

static void __attribute__((noreturn)) sleepers(int n)
{
    pthread_t *thread = calloc((size_t)n, sizeof *thread);
    pthread_attr_t small;
    bench_pin(0);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    for (int i = 0; i < n; i++)
        if (pthread_create(&thread[i], &small, sleeper, NULL))
            bench_die("no thread %d", i);
    for (int i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    _exit(0);
}

static void __attribute__((noreturn)) hold(bool robust)
{
    bench_pin(1);
    char *mine = mmap(NULL, RESIDENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mine == MAP_FAILED)
        bench_die("no %u bytes", RESIDENT);
    bench_populate(mine, RESIDENT);
    if (robust ? peer_robust_lock(meet->robust) : core_good(tarn_mutex_lock(seg, mutex), "tarn_mutex_lock"))
        bench_die("sync.handover: the lock was left marked");
    __atomic_store_n(&meet->held, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

static double one_kill(int n, bool robust)
{
    meet->held = meet->arrived = meet->done = meet->told = 0;
    meet->ran = 0;
    meet->robust_round = robust;
    pid_t holder = bench_fork();
    if (holder == 0)
        hold(robust);
    while (!__atomic_load_n(&meet->held, __ATOMIC_ACQUIRE))
        bench_sleep(100000);
    next_round();
    while (__atomic_load_n(&meet->arrived, __ATOMIC_ACQUIRE) != (uint32_t)n)
        bench_sleep(1000000);
    bench_sleep(3000000 + 200000u * (unsigned)n);
    if (__atomic_load_n(&meet->ran, __ATOMIC_ACQUIRE))
        bench_die("sync.handover: somebody had the lock before the holder's death");
    uint64_t start = bench_now();
    if (kill(holder, SIGKILL))
        bench_die("kill: %s", strerror(errno));
    while (__atomic_load_n(&meet->done, __ATOMIC_ACQUIRE) != (uint32_t)n)
        bench_sleep(1000000);
    bench_join(holder, SIGKILL, "a holder");
    if (!meet->told || meet->ran < start)
        bench_die("sync.handover: the first who had it was not told that the holder died");
    return (double)(meet->ran - start) / 1e3;
}

static void spin(pid_t spinner[2])
{
    for (int i = 0; i < 2; i++)
        if ((spinner[i] = bench_fork()) == 0) {
            struct sched_param zero = {0};
            bench_pin(i);
            if (sched_setscheduler(0, SCHED_IDLE, &zero))
                bench_die("cannot have idle priority: %s", strerror(errno));
            for (;;)
                __asm__ volatile("" ::: "memory");
        }
}

static void with(int n, int kills)
{
    struct tarn_options o = {.size = sizeof o, .initial = 1 << 20, .participants = (uint32_t)n + 8};
    double *us = calloc((size_t)kills, sizeof *us), *theirs = calloc((size_t)kills, sizeof *theirs);
    char figure[40];
    pid_t all, spinner[2];
    int m = 0;
    if (!us || !theirs)
        bench_die("no memory");
    core_good(tarn_open("anon:", TARN_CREATE, &o, &seg), "tarn_open");
    mutex = core_block(seg, sizeof *mutex);
    memset(meet, 0, sizeof *meet);
    alarm(600); /* the harness's watchdog: thousands of processes of 64 MiB take their time */
    peer_robust_make(meet->robust);
    if ((all = bench_fork()) == 0)
        sleepers(n);
    spin(spinner);
    for (int i = 0; i < kills; i++) {
        us[i] = one_kill(n, false);
        if (n == 1 || i % 5 == 0)
            theirs[m++] = one_kill(n, true);
    }
    for (int i = 0; i < 2; i++) {
        kill(spinner[i], SIGKILL);
        bench_join(spinner[i], SIGKILL, "a spinner");
    }
    __atomic_store_n(&meet->over, 1, __ATOMIC_RELEASE);
    next_round();
    bench_join(all, 0, "the sleepers");
    double p50 = bench_quantile(us, kills, 0.5), p999 = bench_quantile(us, kills, 0.999);
    snprintf(figure, sizeof figure, "sync.handover.w%d_p50_us", n);
    bench_print(figure, p50, "us");
    bench_print_ratio(figure, "pthread_robust", p50 / bench_quantile(theirs, m, 0.5), 0);
    if (n == 1) {
        bench_print("sync.handover.p999_us", p999, "us");
        bench_print_ratio("sync.handover.p999_us", "pthread_robust", p999 / bench_quantile(theirs, m, 0.999), 0);
    }
    core_close(seg);
    free(us);
    free(theirs);
}

void sync_handover(void)
{
    bench_pin(0);
    meet = bench_shared(sizeof *meet);
    if (bench_wanted("sync.handover.w1_p50_us") || bench_wanted("sync.handover.p999_us"))
        with(1, bench_quick() ? 100 : 2000);
    if (bench_wanted("sync.handover.w10_p50_us"))
        with(10, bench_quick() ? 30 : 200);
    if (bench_wanted("sync.handover.w1000_p50_us"))
        with(1000, bench_quick() ? 3 : 21);
}

/* hammer_mutex.c - the mutex under random SIGKILLs, with the cap off: a lost wake-up is a hang, not a delay.
 *
 * Rounds that end in quiet: in each, workers take locks (nested, sometimes in sections), some are killed, in twos and threes, at random moments,
 * or kill themselves by a timer while they are at it; in some rounds a killed one's place is taken again at once. At the end of a round everybody alive must have
 * finished, every lock be free, and every lock that is not dirty guard exact counts. Checked: no two holders, no lost count, no hang, TARN_RECOVERED
 * whenever counts are torn. Built with TARN_KILL_POINTS (and the library's sources) workers also die at chosen stores.
 * usage: hammer_mutex WORKERS LOCKS SECONDS [SEED] */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "participant/participant.h"
#include "sync/sync.h"

enum { WORKERS = 8, LOCKS = 4 };

static struct guarded {
    tarn_mutex lock;
    uint64_t holder, count, pad[5];
} * lock; /* in the segment */

static struct shared {
    uint64_t mine[WORKERS][LOCKS];
    uint64_t recovered, operations;
    uint32_t round, done[WORKERS];
    char fault[200];
} * shared;

static tarn *seg;
static int workers, locks;
static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}
static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void spin_ns(uint64_t n)
{
    for (uint64_t t = now_ns(); now_ns() - t < n;)
        ;
}
#define FAULT(...)                                                                                           \
    do {                                                                                                     \
        if (!shared->fault[0])                                                                               \
            snprintf(shared->fault, sizeof shared->fault, __VA_ARGS__);                                      \
        _exit(9);                                                                                            \
    } while (0)

static uint64_t sum(int l)
{
    uint64_t s = 0;
    for (int w = 0; w < workers; w++)
        s += shared->mine[w][l];
    return s;
}

static void use(int w, int l, bool nest)
{
    struct guarded *g = &lock[l];
    uint32_t h;
    int died = tarn_mutex_lock(seg, &g->lock);
    if (died < 0)
        FAULT("lock: %d %s", died, tarn_error());
    if (died) {
        shared->recovered++;
        g->count = sum(l);
        g->holder = 0;
        if (rnd(4) && tarn_mutex_consistent(seg, &g->lock))
            FAULT("consistent: %s", tarn_error());
    }
    if (g->holder)
        FAULT("two holders of %d: %d and %d", l, (int)g->holder, w + 1);
    if (g->count != sum(l))
        FAULT("count of %d lost: %llu of %llu", l, (unsigned long long)g->count, (unsigned long long)sum(l));
    *(volatile uint64_t *)&g->holder = (uint64_t)w + 1;
    compiler_barrier();
    shared->mine[w][l]++;
    compiler_barrier();
    h = rnd(16);
    if (h == 0)
        usleep(30);
    else if (h < 4)
        spin_ns(rnd(30000));
    if (nest && l + 1 < locks)
        use(w, l + 1 + (int)rnd((uint32_t)(locks - l - 1)), rnd(2));
    g->count++;
    compiler_barrier();
    if (g->holder != (uint64_t)w + 1)
        FAULT("another holder of %d: %d in the place of %d", l, (int)g->holder, w + 1);
    *(volatile uint64_t *)&g->holder = 0;
    compiler_barrier();
    if (tarn_mutex_unlock(seg, &g->lock))
        FAULT("unlock: %s", tarn_error());
}

static void timed_try(int l)
{
    struct timespec t;
    int e;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)rnd(40000);
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    e = tarn_mutex_timed(seg, &lock[l].lock, &t);
    if (e == -ETIMEDOUT)
        return;
    if (e < 0)
        FAULT("timed: %s", tarn_error());
    if (e && lock[l].holder) {
        lock[l].count = sum(l);
        lock[l].holder = 0;
    }
    if (e) {
        lock[l].count = sum(l);
        tarn_mutex_consistent(seg, &lock[l].lock);
    }
    if (tarn_mutex_unlock(seg, &lock[l].lock))
        FAULT("unlock: %s", tarn_error());
}

static void wait_round(uint32_t before)
{
    while (load32(&shared->round) == before)
        syscall(SYS_futex, &shared->round, FUTEX_WAIT, before, NULL, NULL, 0);
}

#ifdef TARN_KILL_POINTS
__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}

/* At the n-th store of an order of stores: more of these are in slow paths than of random moments. */
static void plan_own_death(void)
{
    kill_countdown = rnd(2) && rnd((uint32_t)workers) < 2 ? 1 + (int)rnd(rnd(2) ? 40 : 150) : 0;
}
static void no_death(void)
{
    kill_countdown = 0;
}
#else
/* The kernel itself kills, some microseconds from now, wherever we are then. */
static void plan_own_death(void)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value = {0, 1 + (long)rnd(rnd(2) ? 60000 : 600000)}};
    timer_t timer;
    if (rnd((uint32_t)workers) == 0 && timer_create(CLOCK_MONOTONIC, &e, &timer) == 0)
        timer_settime(timer, 0, &when, NULL);
}
static void no_death(void) {}
#endif

static pid_t spawn(int w)
{
    static uint32_t n;
    uint32_t s = seed * 31 + ++n * 2654435761u + 7, before = shared->round;
    pid_t p;
    if (shared->done[w] != before)
        before--; /* born into the round */
    p = fork();
    if (p)
        return p;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    seed = s | 1;
    if (tarn_thread_attach(seg))
        FAULT("attach: %s", tarn_error());
    for (;;) {
        wait_round(before);
        before = load32(&shared->round);
        plan_own_death();
        for (uint32_t i = 1 + rnd(6); i; i--) {
            if (rnd(8) == 0)
                timed_try((int)rnd((uint32_t)locks));
            else
                use(w, (int)rnd((uint32_t)locks), rnd(3) == 0);
            shared->operations++;
            if (rnd(4) == 0)
                spin_ns(rnd(20000));
        }
        no_death();
        __atomic_store_n(&shared->done[w], before, __ATOMIC_SEQ_CST);
    }
}

static void show(const pid_t *pid)
{
    for (int l = 0; l < locks; l++)
        printf("  lock %d: owner %08x waiters %08x\n", l, lock[l].lock.owner, lock[l].lock.waiters);
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        printf("  record %u: state %u tid %u generation %u liveness %08x recoverer %x slots %llx %llx\n", i,
               r->state, r->tid, r->generation, *(uint32_t *)(void *)r->liveness, r->recoverer,
               (unsigned long long)record_slots(r)[0], (unsigned long long)record_slots(r)[1]);
    }
    for (int w = 0; w < workers; w++)
        printf("  worker %d: pid %d done %d\n", w, pid[w], shared->done[w] == shared->round);
}

static int end_of_round(const pid_t *pid)
{
    tarn_recover(seg);
    for (int l = 0; l < locks; l++) {
        uint32_t o = lock[l].lock.owner;
        if (o & ~ID_DIRTY || (!(o & ID_DIRTY) && (lock[l].holder || lock[l].count != sum(l)))) {
            printf("FAULT lock %d: owner %x holder %d count %llu of %llu\n", l, o, (int)lock[l].holder,
                   (unsigned long long)lock[l].count, (unsigned long long)sum(l));
            show(pid);
            return 1;
        }
    }
    return 0;
}

/* Until everybody alive has finished the round. 0; 1: a fault; 2: a hang. */
static int finish_round(pid_t *pid, long *kills)
{
    for (uint64_t t = now_ns();;) {
        int status, left = 0;
        for (pid_t p; (p = waitpid(-1, &status, WNOHANG)) > 0;)
            for (int w = 0; w < workers; w++)
                if (pid[w] == p) {
                    if (!WIFSIGNALED(status)) {
                        printf("FAULT %s (status %x)\n", shared->fault, status);
                        show(pid);
                        return 1;
                    }
                    pid[w] = 0;
                    ++*kills;
                }
        for (int w = 0; w < workers; w++) {
            if (!pid[w] && load32(&shared->done[w]) != shared->round && shared->round % 4 == 0 && rnd(8) == 0)
                pid[w] = spawn(w); /* not in every round: a newcomer recovers the dead, and so hides a lost wake-up */
            left += pid[w] && load32(&shared->done[w]) != shared->round;
        }
        if (!left)
            return 0;
        if (now_ns() - t > 20000000000ull) {
            printf("HANG\n");
            show(pid);
            return 2;
        }
        usleep(20);
    }
}

static int hammer(int seconds)
{
    pid_t pid[WORKERS] = {0};
    uint64_t end = now_ns() + (uint64_t)seconds * 1000000000u;
    long kills = 0, rounds = 0;
    int e = 0;
    for (int w = 0; w < workers; w++)
        pid[w] = spawn(w);
    while (now_ns() < end && !e) {
        int victims = (int)rnd(4);
        __atomic_fetch_add(&shared->round, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &shared->round, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
        spin_ns(rnd(300000));
        for (int v = (int)rnd((uint32_t)workers); victims--; v = (v + 1) % workers)
            if (pid[v])
                kill(pid[v], SIGKILL); /* neighbours, at once */
        e = finish_round(pid, &kills);
        rounds++;
        if (!e)
            e = end_of_round(pid);
        for (int w = 0; w < workers && !e; w++)
            if (!pid[w]) {
                shared->done[w] = shared->round;
                pid[w] = spawn(w);
            }
    }
    for (int w = 0; w < workers; w++)
        if (pid[w])
            kill(pid[w], SIGKILL);
    while (wait(NULL) > 0)
        ;
    printf("%s: %d workers, %d locks: %ld rounds, %llu uses, %ld kills, %llu dirty\n", e ? "FAILED" : "ok",
           workers, locks, rounds, (unsigned long long)shared->operations, kills,
           (unsigned long long)shared->recovered);
    return e || !kills || !shared->recovered;
}

int main(int c, char **v)
{
    struct tarn_options o = {.size = sizeof o, .initial = 64 << 10, .limit = 1 << 20, .participants = WORKERS + 4};
    void *address;
    if (c < 4)
        return fprintf(stderr, "usage: hammer_mutex WORKERS LOCKS SECONDS [SEED [URL]]\n"), 2;
    workers = atoi(v[1]);
    locks = atoi(v[2]);
    seed = c > 4 ? (uint32_t)atoi(v[4]) : (uint32_t)now_ns() | 1;
    if (workers < 2 || workers > WORKERS || locks < 1 || locks > LOCKS)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %u\n", seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mutex_cap_off = !getenv("TARN_TEST_CAP");
    if (tarn_open(c > 5 ? v[5] : "memfd:hammer", TARN_CREATE, &o, &seg) || tarn_thread_attach(seg)) /* of URLs without a name */
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    /* without names and heap: the locks lie in the last span, which nobody claims here */
    address = seg->base + seg->geometry.zone[ZONE_DATA] + committed_of(seg) - 4096;
    lock = address;
    return hammer(atoi(v[3]));
}

/* death.c - how a worker dies: when it is planned, and what the log says of it before. See soak.h.
 *
 * Whoever is about to die is marked first, so that what he held is known to be a dead one's: by himself, by who sets the timer, or by the controller. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

#ifdef TARN_KILL_POINTS
#include "os/futex.h"
#endif

char *program;
int shared_fd = -1;

enum death {
    NONE,
    BY_KILL,
    BY_EXIT,
    BY_SEGV,
    BY_ABORT,
    BY_TERM,
    BY_EXEC,
    BY_EXEC_OF_THREAD,
    BY_END_OF_THREAD
};

static __thread enum death death;
static __thread uint32_t death_after; /* moments */
static timer_t timer;
static bool timer_made;

/* Never later than it was: an incarnation may go on after a death, by exec, or in its other threads. */
void mark_dying(struct log *l, uint64_t when)
{
    if (l->dying == l->incarnation && l->dying_ns <= when)
        return;
    l->dying_ns = when;
    barrier_();
    l->dying = l->incarnation;
    barrier_();
}

static void mark_all(uint64_t when)
{
    if (guest)
        mark_dying(me.log, when);
    else
        for (unsigned t = 0; t < THREADS; t++)
            mark_dying(&shared->log[me.slot / LANE * LANE + t], when);
}

void *exec_again(void *unused)
{
    char slot[16], fd[16];
    char *argv[] = {program, (char *)"--again", slot, fd, NULL};
    (void)unused;
    snprintf(slot, sizeof slot, "%u", me.slot / LANE * LANE);
    snprintf(fd, sizeof fd, "%d", shared_fd);
    execv("/proc/self/exe", argv);
    violation("exec: %m");
}

/* The thread that execs takes part, too, with a lock held, if that can be. */
static void *exec_of_thread(void *slot)
{
    be((unsigned)(uintptr_t)slot);
    (void)tarn_thread_attach(segment);
    me.log->soils_as = me.log->incarnation;
    me.log->soils |= 1;
    (void)tarn_mutex_try(segment, &root->counter[0].lock);
    return exec_again(NULL);
}

static void die(void)
{
    pthread_t other;
    if (death == BY_END_OF_THREAD) {
        if (me.slot % LANE == 0 || guest)
            return;
        mark_dying(me.log, now_ns());
        me.log->active = 2;
        pthread_exit(NULL);
    }
    if (guest && (death == BY_EXEC || death == BY_EXEC_OF_THREAD))
        death = BY_EXIT;
    mark_all(now_ns());
    __atomic_fetch_or(guest ? &me.log->ends : &shared->log[me.slot / LANE * LANE].ends,
                      death == BY_SEGV    ? 1u << SIGSEGV
                      : death == BY_ABORT ? 1u << SIGABRT
                      : death == BY_TERM  ? 1u << SIGTERM
                                          : 0,
                      __ATOMIC_SEQ_CST); /* two threads of a process may be about to end it */
    switch (death) {
    case BY_EXIT: _exit(3);
    case BY_SEGV: raise(SIGSEGV); break;
    case BY_ABORT: abort();
    case BY_TERM: raise(SIGTERM); break;
    case BY_EXEC: exec_again(NULL); break;
    case BY_EXEC_OF_THREAD:
        if (pthread_create(&other, NULL, exec_of_thread, (void *)(uintptr_t)me.slot) == 0)
            for (;;)
                pause();
        break;
    default: break;
    }
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

#ifdef TARN_KILL_POINTS
/* The library's sources are built with points behind each store of an order of stores: at the n-th from now on. */
__thread int kill_countdown;
void kill_now(void)
{
    mark_all(now_ns());
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}
static void kill_at_point(void)
{
    kill_countdown = 1 + (int)chance(2u << chance(9));
}
#else
static int kill_countdown;
static void kill_at_point(void) {}
#endif

void moment(void)
{
    if (death_after && --death_after == 0)
        die();
}

static void kill_later(uint32_t us)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value = {us / 1000000, us % 1000000 * 1000}};
    if (!timer_made && timer_create(CLOCK_MONOTONIC, &e, &timer) != 0)
        return;
    timer_made = true;
    mark_all(now_ns() + us * 1000ull);
    timer_settime(timer, 0, &when, NULL);
}

/* How this user of the slot ends, if the controller does not see to it. */
void plan_death(void)
{
    uint32_t r = chance(1000);
    death = NONE;
    death_after = 0;
    if (r < 450) {
        if (r < 400)
            kill_at_point();
        return;
    }
    if (r < 800 && me.slot % LANE == 0) {
        kill_later(20 + (20u << chance(9)) + chance(40));
        return;
    }
    death = r < 900   ? BY_KILL
            : r < 930 ? BY_EXIT
            : r < 945 ? BY_SEGV
            : r < 955 ? BY_ABORT
            : r < 965 ? BY_TERM
            : r < 975 ? BY_EXEC
            : r < 980 ? BY_EXEC_OF_THREAD
                      : BY_END_OF_THREAD;
    if (shared->cap_off && (death == BY_EXEC_OF_THREAD || (death == BY_EXEC && me.slot % LANE)))
        death = BY_EXIT; /* only the cap finds a thread that was not its process's first and execs */
    if (SANITIZED && death == BY_SEGV)
        death = BY_TERM;
    death_after = 1 + chance(2u << chance(9));
}

void no_death(void)
{
    struct itimerspec never = {0};
    if (timer_made)
        timer_settime(timer, 0, &never, NULL);
    death_after = 0;
    kill_countdown = 0;
}

void child_lives(void)
{
    death_after = 0;
    kill_countdown = 0;
    timer_made = false;
}

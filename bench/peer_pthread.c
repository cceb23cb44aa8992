/* bench/peer_pthread.c - glibc's mutexes: private, process-shared, robust.
 *
 * A private one is measured with a second, sleeping thread in the process (core_mutex.c has it): glibc leaves out its atomic
 * instructions otherwise, which no program with threads would see.
 *
 * SPDX-License-Identifier: MIT */
#include "peers.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct guarded *)0)->lock),
               "a mutex fits before the words");

static void make(void *memory, int shared, int robust)
{
    pthread_mutexattr_t a;
    int e = pthread_mutexattr_init(&a);
    e = e ? e : pthread_mutexattr_setpshared(&a, shared);
    e = e ? e : pthread_mutexattr_setrobust(&a, robust);
    e = e ? e : pthread_mutex_init(memory, &a);
    if (e)
        bench_die("pthread_mutex_init: %s", strerror(e));
}
static void make_private(struct guarded *g)
{
    make(g->lock, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_STALLED);
}
static void make_shared(struct guarded *g)
{
    make(g->lock, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_STALLED);
}
static void make_robust(struct guarded *g)
{
    make(g->lock, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST);
}

static inline int lock(void *at)
{
    return pthread_mutex_lock(at);
}
static inline int unlock(void *at)
{
    return pthread_mutex_unlock(at);
}
static void alone(struct guarded *g, uint64_t n)
{
    guarded_alone(g, n, lock, unlock);
}
static uint64_t both(struct guarded *g, const int *stop, unsigned turns)
{
    return guarded_both(g, stop, turns, lock, unlock);
}

const struct lock_kind peer_pthread_private = {"pthread_private", make_private, alone, both};
const struct lock_kind peer_pthread_shared = {"pthread_shared", make_shared, alone, both};
const struct lock_kind peer_pthread_robust = {"pthread_robust", make_robust, alone, both};

void peer_robust_make(void *memory)
{
    make(memory, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST);
}

int peer_robust_lock(void *memory)
{
    int e = pthread_mutex_lock(memory);
    if (e == EOWNERDEAD)
        return pthread_mutex_consistent(memory) ? -1 : 1;
    if (e)
        bench_die("pthread_mutex_lock, robust: %s", strerror(e));
    return 0;
}

void peer_robust_unlock(void *memory)
{
    int e = pthread_mutex_unlock(memory);
    if (e)
        bench_die("pthread_mutex_unlock, robust: %s", strerror(e));
}

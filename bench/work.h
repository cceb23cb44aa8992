/* bench/work.h - the identical work: loops that tarn and its peers are put into. The operations are passed as functions, and
 * everything is inlined where it is used, so each contender gets a loop of its own with direct calls.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "harness.h"

#include <string.h>

#define BENCH_INLINE static inline __attribute__((always_inline, unused))

/* ---- locks ---------------------------------------------------------------------------------------------------------- */

/* A lock and what it guards, in one cache line, as users have it. In shared memory; the words are changed under the lock only. */
struct guarded {
    unsigned char lock[40] __attribute__((aligned(64)));
    uint64_t word[3];
};

typedef int (*lock_call)(void *lock); /* 0, or the peer's own complaint */

BENCH_INLINE void guarded_alone(struct guarded *g, uint64_t n, lock_call lock, lock_call unlock)
{
    for (uint64_t i = 0; i < n; i++) {
        if (__builtin_expect(lock(g->lock), 0))
            bench_die("alone: lock failed");
        g->word[0]++;
        if (__builtin_expect(unlock(g->lock), 0))
            bench_die("alone: unlock failed");
    }
}

BENCH_INLINE uint64_t guarded_both(struct guarded *g, const int *stop, unsigned turns, lock_call lock,
                                   lock_call unlock)
{
    uint64_t n = 0;
    for (; !__atomic_load_n(stop, __ATOMIC_RELAXED); n++) {
        if (__builtin_expect(lock(g->lock), 0))
            bench_die("both: lock failed");
        g->word[0]++;
        g->word[1] += 2;
        g->word[2] += 3;
        if (__builtin_expect(unlock(g->lock), 0))
            bench_die("both: unlock failed");
        if (turns)
            bench_work(turns);
    }
    return n;
}

/* ---- churn ---------------------------------------------------------------------------------------------------------- */

/* A ring of live blocks: the oldest is freed, one is allocated. Each has its first and last 8 bytes written when it is made,
 * and checked before it is freed. Block number s has size[s mod SIZES] bytes and lies in slot s mod RING. */
#define CHURN_RING 10000u
#define CHURN_SIZES 65536u
#define CHURN_LEAST 16u
#define CHURN_MOST 1024u

struct churn {
    uint64_t next;        /* number of the next block */
    const uint16_t *size; /* CHURN_SIZES of them */
};

typedef void (*churn_alloc)(void *heap, unsigned slot, size_t size);
typedef void (*churn_free)(void *heap, unsigned slot);
typedef unsigned char *(*churn_at)(void *heap, unsigned slot, size_t size);

BENCH_INLINE void churn_mark(unsigned char *at, size_t size, uint64_t number)
{
    uint64_t last = ~number;
    memcpy(at, &number, 8);
    memcpy(at + size - 8, &last, 8);
}
BENCH_INLINE void churn_check(const unsigned char *at, size_t size, uint64_t number)
{
    uint64_t first, last;
    memcpy(&last, at + size - 8, 8);
    memcpy(&first, at, 8);
    if (__builtin_expect(last != ~number || first != number, 0))
        bench_die("churn: block %llu of %zu bytes has other contents", (unsigned long long)number, size);
}

/* Fill the ring, when it is new. */
BENCH_INLINE void churn_fill(struct churn *c, void *heap, churn_alloc alloc, churn_at at)
{
    for (unsigned slot = 0; slot < CHURN_RING; slot++) {
        size_t size = c->size[slot % CHURN_SIZES];
        alloc(heap, slot, size);
        churn_mark(at(heap, slot, size), size, slot);
    }
    c->next = CHURN_RING;
}
BENCH_INLINE void churn_run(struct churn *c, void *heap, uint64_t n, churn_alloc alloc, churn_free release,
                            churn_at at)
{
    unsigned slot = (unsigned)(c->next % CHURN_RING);
    for (uint64_t number = c->next, end = number + n; number != end; number++) {
        size_t old = c->size[(number - CHURN_RING) % CHURN_SIZES], size = c->size[number % CHURN_SIZES];
        churn_check(at(heap, slot, old), old, number - CHURN_RING);
        release(heap, slot);
        alloc(heap, slot, size);
        churn_mark(at(heap, slot, size), size, number);
        slot = slot + 1 == CHURN_RING ? 0 : slot + 1;
    }
    c->next += n;
}
/* Free all, at the end. */
BENCH_INLINE void churn_empty(struct churn *c, void *heap, churn_free release, churn_at at)
{
    for (unsigned i = 0; i < CHURN_RING; i++) {
        uint64_t number = c->next - CHURN_RING + i;
        unsigned slot = (unsigned)(number % CHURN_RING);
        size_t size = c->size[number % CHURN_SIZES];
        churn_check(at(heap, slot, size), size, number);
        release(heap, slot);
    }
    c->next = 0;
}

#endif

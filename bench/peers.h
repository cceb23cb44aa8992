/* bench/peers.h - the peers: other libraries doing the same work. Each is one struct of functions or one noun with open, run
 * and close; each checks itself. All memory is nameless and shared, as if other processes used it too.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "harness.h"
#include "work.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- locks ---------------------------------------------------------------------------------------------------------- */

/* Measured loops over one kind of lock, on a struct guarded (work.h) in memory that both sides share. */
struct lock_kind {
    const char *name;
    void (*make)(struct guarded *g);
    void (*alone)(struct guarded *g, uint64_t n);                         /* lock, add one, unlock */
    uint64_t (*both)(struct guarded *g, const int *stop, unsigned turns); /* three words, then own work */
};
extern const struct lock_kind peer_pthread_private, peer_pthread_shared, peer_pthread_robust, peer_boost_mutex;

/* The robust mutex, for who dies holding it. lock: 0, or 1 if the last holder died; then it is made consistent. */
void peer_robust_make(void *memory);
int peer_robust_lock(void *memory);
void peer_robust_unlock(void *memory);

/* ---- sections ------------------------------------------------------------------------------------------------------- */

/* libpmemobj. Its flushing is switched off by the environment, which it reads before main: call this first. May exec. */
void peer_pmemobj_environment(char **argv);
struct peer_pmemobj;
struct peer_pmemobj *peer_pmemobj_open(void);
/* n transactions, each adds two words and changes them: to the number of the transaction, and its complement */
void peer_pmemobj_run(struct peer_pmemobj *p, uint64_t n);
void peer_pmemobj_close(struct peer_pmemobj *p);

/* ---- heaps ---------------------------------------------------------------------------------------------------------- */

struct peer_boost_heap;
struct peer_boost_heap *peer_boost_heap_open(size_t size);
void peer_boost_heap_churn(struct peer_boost_heap *h, struct churn *c, uint64_t n);
void peer_boost_heap_close(struct peer_boost_heap *h);

/* ---- maps ----------------------------------------------------------------------------------------------------------- */

struct peer_boost_map;
struct peer_boost_map *peer_boost_map_open(size_t size);
void peer_boost_map_put(struct peer_boost_map *m, uint64_t key, uint64_t value);
/* Look up each key; returns the sum of the values. A key that is not there is bench_die. */
uint64_t peer_boost_map_sum(struct peer_boost_map *m, const uint64_t *keys, size_t n);
void peer_boost_map_close(struct peer_boost_map *m);

#ifdef __cplusplus
}
#endif
#endif

/* bench/peer_boost.cc - Boost.Interprocess: its mutex, and its default allocator (rbtree_best_fit, with its mutex).
 *
 * The managed segment lies in a nameless shared mapping in place of a named object: the algorithm, the locks and the index are
 * those of managed_shared_memory, and nothing is left in /dev/shm. Built without Boost's asserts.
 *
 * SPDX-License-Identifier: MIT */
#include "peers.h"

#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>

#include <new>
#include <sys/mman.h>

namespace bi = boost::interprocess;

/* ---- mutex ---------------------------------------------------------------------------------------------------------- */

static_assert(sizeof(bi::interprocess_mutex) <= sizeof(guarded::lock), "a mutex fits before the words");

static void make(guarded *g)
{
    new (g->lock) bi::interprocess_mutex;
}
static inline int lock(void *at)
{
    static_cast<bi::interprocess_mutex *>(at)->lock();
    return 0;
}
static inline int unlock(void *at)
{
    static_cast<bi::interprocess_mutex *>(at)->unlock();
    return 0;
}
static void alone(guarded *g, uint64_t n)
{
    guarded_alone(g, n, lock, unlock);
}
static uint64_t both(guarded *g, const int *stop, unsigned turns)
{
    return guarded_both(g, stop, turns, lock, unlock);
}

extern const lock_kind peer_boost_mutex = {"boost", make, alone, both};

/* ---- heap ----------------------------------------------------------------------------------------------------------- */

using segment = bi::basic_managed_external_buffer<char, bi::rbtree_best_fit<bi::mutex_family>, bi::iset_index>;

struct peer_boost_heap {
    void *memory;
    size_t size;
    segment seg;
    bi::offset_ptr<unsigned char> *ring; /* in the segment */
    size_t free_at_first;
    bool filled = false;
    peer_boost_heap(void *m, size_t s) : memory(m), size(s), seg(bi::create_only, m, s)
    {
        ring = seg.construct<bi::offset_ptr<unsigned char>>(bi::anonymous_instance)[CHURN_RING]();
        free_at_first = seg.get_free_memory();
    }
};

static inline void heap_alloc(void *heap, unsigned slot, size_t size)
{
    auto *h = static_cast<peer_boost_heap *>(heap);
    h->ring[slot] = static_cast<unsigned char *>(h->seg.allocate(size)); /* throws when full */
}
static inline void heap_free(void *heap, unsigned slot)
{
    auto *h = static_cast<peer_boost_heap *>(heap);
    h->seg.deallocate(h->ring[slot].get());
    h->ring[slot] = nullptr;
}
static inline unsigned char *heap_at(void *heap, unsigned slot, size_t)
{
    return static_cast<peer_boost_heap *>(heap)->ring[slot].get();
}

peer_boost_heap *peer_boost_heap_open(size_t size)
{
    return new peer_boost_heap(bench_shared(size), size);
}

void peer_boost_heap_churn(peer_boost_heap *h, churn *c, uint64_t n)
{
    if (!h->filled)
        churn_fill(c, h, heap_alloc, heap_at);
    h->filled = true;
    churn_run(c, h, n, heap_alloc, heap_free, heap_at);
}

/* Frees all, and checks that all is free. (The churn is private to who runs it, so it is emptied by address here.) */
void peer_boost_heap_close(peer_boost_heap *h)
{
    for (unsigned slot = 0; h->filled && slot < CHURN_RING; slot++)
        heap_free(h, slot);
    if (h->seg.get_free_memory() != h->free_at_first || !h->seg.check_sanity())
        bench_die("Boost's heap is not what it was");
    munmap(h->memory, h->size);
    delete h;
}

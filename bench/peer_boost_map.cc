/* bench/peer_boost_map.cc - boost::unordered_map in a managed segment, guarded by one interprocess_mutex: what the manual of
 * Boost.Interprocess shows for a map that processes share.
 *
 * SPDX-License-Identifier: MIT */
#include "peers.h"

#include <boost/functional/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>

#include <functional>
#include <sys/mman.h>

namespace bi = boost::interprocess;

using segment = bi::basic_managed_external_buffer<char, bi::rbtree_best_fit<bi::mutex_family>, bi::iset_index>;
using entry = std::pair<const uint64_t, uint64_t>;
using place = bi::allocator<entry, segment::segment_manager>;
using table = boost::unordered_map<uint64_t, uint64_t, boost::hash<uint64_t>, std::equal_to<uint64_t>, place>;

struct peer_boost_map {
    void *memory;
    size_t size;
    segment seg;
    bi::interprocess_mutex *lock; /* both in the segment */
    table *entries;
    peer_boost_map(void *m, size_t s) : memory(m), size(s), seg(bi::create_only, m, s)
    {
        lock = seg.construct<bi::interprocess_mutex>(bi::anonymous_instance)();
        entries = seg.construct<table>(bi::anonymous_instance)(
            0u, boost::hash<uint64_t>(), std::equal_to<uint64_t>(), place(seg.get_segment_manager()));
    }
};

peer_boost_map *peer_boost_map_open(size_t size)
{
    return new peer_boost_map(bench_shared(size), size);
}

void peer_boost_map_put(peer_boost_map *m, uint64_t key, uint64_t value)
{
    bi::scoped_lock<bi::interprocess_mutex> guard(*m->lock);
    (*m->entries)[key] = value;
}

uint64_t peer_boost_map_sum(peer_boost_map *m, const uint64_t *keys, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        bi::scoped_lock<bi::interprocess_mutex> guard(*m->lock);
        auto found = m->entries->find(keys[i]);
        if (found == m->entries->end())
            bench_die("Boost's map has lost a key");
        sum += found->second;
    }
    return sum;
}

void peer_boost_map_close(peer_boost_map *m)
{
    munmap(m->memory, m->size);
    delete m;
}

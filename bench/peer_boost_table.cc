/* bench/peer_boost_table.cc - boost::unordered_map, and Boost.Interprocess's map, in a managed segment, guarded by one
 * interprocess_mutex that each operation takes: what the manual of Boost.Interprocess shows for a map that processes share. A scan or a walk takes it once, from seek to end.
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <boost/functional/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>

#include <functional>
#include <memory>
#include <sys/mman.h>

namespace bi = boost::interprocess;

namespace
{

constexpr size_t bytes_per_entry = 112;

using segment = bi::basic_managed_external_buffer<char, bi::rbtree_best_fit<bi::mutex_family>, bi::iset_index>;
using place = bi::allocator<std::pair<const uint64_t, uint64_t>, segment::segment_manager>;
using guard = bi::scoped_lock<bi::interprocess_mutex>;

struct hash_map : boost::unordered_map<uint64_t, uint64_t, boost::hash<uint64_t>, std::equal_to<uint64_t>, place> {
    explicit hash_map(const place &p)
        : unordered_map(0u, boost::hash<uint64_t>(), std::equal_to<uint64_t>(), p)
    {
    }
};
struct tree_map : bi::map<uint64_t, uint64_t, std::less<uint64_t>, place> {
    explicit tree_map(const place &p) : map(std::less<uint64_t>(), p) {}
};

template <class M> struct shared : table_defaults {
    size_t room;
    void *memory;
    std::unique_ptr<segment> seg;
    bi::interprocess_mutex *lock; /* both in the segment */
    M *entries;
    explicit shared(size_t n)
        : room((n * bytes_per_entry + (16u << 20)) & ~size_t(4095)), memory(bench_shared(room))
    {
        seg = std::make_unique<segment>(bi::create_only, memory, room);
        lock = seg->template construct<bi::interprocess_mutex>(bi::anonymous_instance)();
        entries = seg->template construct<M>(bi::anonymous_instance)(place(seg->get_segment_manager()));
    }
    ~shared()
    {
        seg.reset();
        munmap(memory, room);
    }
    static shared &of(void *t)
    {
        return *static_cast<shared *>(t);
    }
    uint64_t size()
    {
        return entries->size();
    }
    static void put(void *t, uint64_t key, uint64_t value)
    {
        guard held(*of(t).lock);
        (*of(t).entries)[key] = value;
    }
    static bool find(void *t, uint64_t key, uint64_t *ret_value)
    {
        guard held(*of(t).lock);
        auto found = of(t).entries->find(key);
        if (found == of(t).entries->end())
            return false;
        *ret_value = found->second;
        return true;
    }
    static bool erase(void *t, uint64_t key)
    {
        guard held(*of(t).lock);
        return of(t).entries->erase(key);
    }
};

struct shared_tree : shared<tree_map> {
    using shared::shared;
    struct cursor {
        tree_map &m;
        guard held;
        tree_map::iterator at;
        explicit cursor(void *t) : m(*of(t).entries), held(*of(t).lock, bi::defer_lock), at(m.end()) {}
        bool show(uint64_t *ret_key, uint64_t *ret_value)
        {
            if (at == m.end())
                return false;
            *ret_key = at->first;
            *ret_value = at->second;
            return true;
        }
        bool seek(uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
        {
            if (held)
                held.unlock();
            held.lock();
            at = m.lower_bound(from);
            return show(ret_key, ret_value);
        }
        bool next(uint64_t *ret_key, uint64_t *ret_value)
        {
            ++at;
            return show(ret_key, ret_value);
        }
    };
};

} // namespace

extern "C" {
extern const table_kind peer_boost_hash = numbers<shared<hash_map>>::kind("boost_mutex", false);
extern const table_kind peer_boost_tree = ordered<shared_tree>::kind("boost_mutex", false);
}

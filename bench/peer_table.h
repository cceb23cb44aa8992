/* bench/peer_table.h - a C++ class with one operation a function becomes a contender: its loops (work_table.h), and its struct of
 * functions (table.h).
 *
 * The class is made from the number of entries, and has static functions put, find, erase of one key (void *: the object), and
 * size() and end_of_loop() (what waits for the end of a transaction).
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_TABLE_H
#define BENCH_PEER_TABLE_H

#include "work_table.h"

#include <new>
#include <string_view>

/* What a class has that knows nothing of it. */
struct table_defaults {
    void end_of_loop() {}
};

/* An allocator of the C++ library's kind that counts what is asked of it, for all tables of type T together; else as std::allocator. */
template <class T, class Tag> struct counting {
    using value_type = T;
    template <class U> struct rebind {
        using other = counting<U, Tag>;
    };
    counting() = default;
    template <class U> counting(const counting<U, Tag> &) {}
    T *allocate(size_t n)
    {
        Tag::asked += n * sizeof(T);
        return static_cast<T *>(::operator new(n * sizeof(T)));
    }
    void deallocate(T *p, size_t n)
    {
        Tag::asked -= n * sizeof(T);
        ::operator delete(p);
    }
    template <class U> bool operator==(const counting<U, Tag> &) const
    {
        return true;
    }
    template <class U> bool operator!=(const counting<U, Tag> &) const
    {
        return false;
    }
};

template <class T> struct opened {
    static void *open(size_t entries)
    {
        return new T(entries);
    }
    static void close(void *t)
    {
        delete static_cast<T *>(t);
    }
    static uint64_t count(void *t)
    {
        return static_cast<T *>(t)->size();
    }
    static void end(void *t)
    {
        static_cast<T *>(t)->end_of_loop();
    }
};

template <class T> struct numbers : opened<T> {
    static void insert(void *t, const uint64_t *key, size_t n)
    {
        table_insert(t, key, n, T::put);
        opened<T>::end(t);
    }
    static uint64_t hits(void *t, const uint64_t *key, size_t n)
    {
        uint64_t sum = table_hits(t, key, n, T::find);
        opened<T>::end(t);
        return sum;
    }
    static size_t misses(void *t, const uint64_t *key, size_t n)
    {
        size_t missed = table_misses(t, key, n, T::find);
        opened<T>::end(t);
        return missed;
    }
    static size_t erase(void *t, const uint64_t *key, size_t n)
    {
        size_t erased = table_erase(t, key, n, T::erase);
        opened<T>::end(t);
        return erased;
    }
    static constexpr table_kind kind(const char *name, bool in_heap)
    {
        table_kind k{};
        k.name = name;
        k.in_heap = in_heap;
        k.open = opened<T>::open;
        k.close = opened<T>::close;
        k.insert = insert;
        k.hits = hits;
        k.misses = misses;
        k.erase = erase;
        k.count = opened<T>::count;
        return k;
    }
};

/* The same of one that is ordered: it has a type `cursor`, and seek and next on it. */
template <class T> struct ordered : numbers<T> {
    static uint64_t scan(void *t, const uint64_t *from, size_t n, size_t length)
    {
        typename T::cursor at(t);
        return table_scan(t, &at, from, n, length, T::seek, T::next);
    }
    static uint64_t walk(void *t, uint64_t *ret_count)
    {
        typename T::cursor at(t);
        return table_walk(t, &at, ret_count, T::seek, T::next);
    }
    static constexpr table_kind kind(const char *name, bool in_heap)
    {
        table_kind k = numbers<T>::kind(name, in_heap);
        k.scan = scan;
        k.walk = walk;
        return k;
    }
};

template <class T> struct strings : opened<T> {
    static void insert(void *t, const text *key, size_t n)
    {
        text_insert(t, key, n, T::put);
        opened<T>::end(t);
    }
    static uint64_t hits(void *t, const text *key, size_t n)
    {
        uint64_t sum = text_hits(t, key, n, T::find);
        opened<T>::end(t);
        return sum;
    }
    static size_t misses(void *t, const text *key, size_t n)
    {
        size_t missed = text_misses(t, key, n, T::find);
        opened<T>::end(t);
        return missed;
    }
    static size_t erase(void *t, const text *key, size_t n)
    {
        size_t erased = text_erase(t, key, n, T::erase);
        opened<T>::end(t);
        return erased;
    }
    static constexpr text_kind kind(const char *name, bool in_heap)
    {
        text_kind k{};
        k.name = name;
        k.in_heap = in_heap;
        k.open = opened<T>::open;
        k.close = opened<T>::close;
        k.insert = insert;
        k.hits = hits;
        k.misses = misses;
        k.erase = erase;
        k.count = opened<T>::count;
        return k;
    }
};

/* ---- containers of the standard library's interface ---- */

template <class M> struct container : table_defaults {
    M m;
    static M &of(void *t)
    {
        return static_cast<container *>(t)->m;
    }
    uint64_t size()
    {
        return m.size();
    }
};
template <class M> struct number_container : container<M> {
    explicit number_container(size_t) {}
    static void put(void *t, uint64_t key, uint64_t value)
    {
        container<M>::of(t)[key] = value;
    }
    static bool find(void *t, uint64_t key, uint64_t *ret_value)
    {
        M &m = container<M>::of(t);
        auto found = m.find(key);
        if (found == m.end())
            return false;
        *ret_value = found->second;
        return true;
    }
    static bool erase(void *t, uint64_t key)
    {
        return container<M>::of(t).erase(key);
    }
};
template <class M> struct ordered_container : number_container<M> {
    using number_container<M>::number_container;
    struct cursor {
        typename M::iterator at, end;
        explicit cursor(void *t) : at(container<M>::of(t).end()), end(at) {}
        bool show(uint64_t *ret_key, uint64_t *ret_value)
        {
            if (at == end)
                return false;
            *ret_key = at->first;
            *ret_value = at->second;
            return true;
        }
    };
    static bool seek(void *t, void *c, uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
    {
        auto *at = static_cast<cursor *>(c);
        at->at = container<M>::of(t).lower_bound(from);
        return at->show(ret_key, ret_value);
    }
    static bool next(void *c, uint64_t *ret_key, uint64_t *ret_value)
    {
        auto *at = static_cast<cursor *>(c);
        ++at->at;
        return at->show(ret_key, ret_value);
    }
};
/* Keys are std::string, which the container owns; looked up by string_view, of which nothing is copied. */
template <class M, class View = std::string_view> struct text_container : container<M> {
    explicit text_container(size_t) {}
    static void put(void *t, const char *at, size_t size, uint64_t value)
    {
        container<M>::of(t)[typename M::key_type(at, size)] = value;
    }
    static bool find(void *t, const char *at, size_t size, uint64_t *ret_value)
    {
        M &m = container<M>::of(t);
        auto found = m.find(View(at, size));
        if (found == m.end())
            return false;
        *ret_value = found->second;
        return true;
    }
    static bool erase(void *t, const char *at, size_t size)
    {
        M &m = container<M>::of(t);
        auto found = m.find(View(at, size));
        if (found == m.end())
            return false;
        m.erase(found);
        return true;
    }
};

#endif

/* bench/table_class.h - the identical work on maps and trees: loops, and how a C++ class with one operation a function becomes a contender by
 * them, with its struct of functions (table.h). Each class gets loops of its own, with direct calls.
 *
 * The class is made from the number of entries, and has size(), static functions put, find and erase of one key (a uint64_t, or a
 * std::string_view), and what table_defaults has. An ordered one has also a struct cursor, made from the object, with seek (the first
 * not below) and next.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_TABLE_CLASS_H
#define BENCH_TABLE_CLASS_H

#include "table.h"

#include <cstring>
#include <new>
#include <string_view>

/* What a class has that knows nothing of it. */
struct table_defaults {
    void end_of_loop() {}       /* what waits for the end of a transaction */
    static void *inner(void *t) /* what put, find and erase are given, from the object: found once a loop */
    {
        return t;
    }
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

/* ---- keys of both kinds, as the operations have them ---- */

inline uint64_t operand(uint64_t key)
{
    return key;
}
inline std::string_view operand(const text &key)
{
    return std::string_view(key.at, key.size);
}
inline uint64_t value_of(uint64_t key)
{
    return table_value(key);
}
inline uint64_t value_of(const text &key)
{
    return text_value(&key);
}
[[noreturn]] inline void die_missing(uint64_t key)
{
    bench_die("key %#llx is not there", (unsigned long long)key);
}
[[noreturn]] inline void die_missing(const text &key)
{
    bench_die("%.*s is not there", (int)key.size, key.at);
}

/* ---- loops ---- */

template <class T, class Key, class Kind> struct loops {
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
    static void insert(void *t, const Key *key, size_t n)
    {
        void *table = T::inner(t);
        for (size_t i = 0; i < n; i++)
            T::put(table, operand(key[i]), value_of(key[i]));
        static_cast<T *>(t)->end_of_loop();
    }
    static uint64_t hits(void *t, const Key *key, size_t n)
    {
        void *table = T::inner(t);
        uint64_t sum = 0, value;
        for (size_t i = 0; i < n; i++) {
            if (__builtin_expect(!T::find(table, operand(key[i]), &value), 0))
                die_missing(key[i]);
            sum += value;
        }
        static_cast<T *>(t)->end_of_loop();
        return sum;
    }
    static size_t misses(void *t, const Key *key, size_t n)
    {
        void *table = T::inner(t);
        size_t missed = 0;
        uint64_t value;
        for (size_t i = 0; i < n; i++)
            missed += !T::find(table, operand(key[i]), &value);
        static_cast<T *>(t)->end_of_loop();
        return missed;
    }
    static size_t erase(void *t, const Key *key, size_t n)
    {
        void *table = T::inner(t);
        size_t erased = 0;
        for (size_t i = 0; i < n; i++)
            erased += T::erase(table, operand(key[i]));
        static_cast<T *>(t)->end_of_loop();
        return erased;
    }
    static constexpr Kind kind(const char *name, bool in_heap)
    {
        Kind k{};
        k.name = name;
        k.in_heap = in_heap;
        k.open = open;
        k.close = close;
        k.insert = insert;
        k.hits = hits;
        k.misses = misses;
        k.erase = erase;
        k.count = count;
        return k;
    }
};
template <class T> using numbers = loops<T, uint64_t, table_kind>;
template <class T> using strings = loops<T, text, text_kind>;

template <class T> struct ordered : numbers<T> {
    static uint64_t scan(void *t, const uint64_t *from, size_t n, size_t length)
    {
        typename T::cursor at(t);
        uint64_t sum = 0, key, last, value;
        for (size_t i = 0; i < n; i++) {
            if (!at.seek(from[i], &key, &value) || key != from[i])
                bench_die("a scan does not begin at its key, %#llx", (unsigned long long)from[i]);
            sum += value;
            for (size_t j = 1; j < length; j++) {
                last = key;
                if (__builtin_expect(!at.next(&key, &value) || key <= last, 0))
                    bench_die("a scan ends, or goes back, after %zu entries", j);
                sum += value;
            }
        }
        return sum;
    }
    static uint64_t walk(void *t, uint64_t *ret_count)
    {
        typename T::cursor at(t);
        uint64_t sum = 0, count = 0, key, last = 0, value;
        for (bool there = at.seek(0, &key, &value); there; there = at.next(&key, &value)) {
            if (__builtin_expect(key <= last && count, 0))
                bench_die("a walk goes back after %llu entries", (unsigned long long)count);
            last = key;
            count++;
            sum += value;
        }
        *ret_count = count;
        return sum;
    }
    static constexpr table_kind kind(const char *name, bool in_heap)
    {
        table_kind k = numbers<T>::kind(name, in_heap);
        k.scan = scan;
        k.walk = walk;
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
        M &m;
        typename M::iterator at, end;
        explicit cursor(void *t) : m(container<M>::of(t)), at(m.end()), end(at) {}
        bool show(uint64_t *ret_key, uint64_t *ret_value)
        {
            if (at == end)
                return false;
            *ret_key = at->first;
            *ret_value = at->second;
            return true;
        }
        bool seek(uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
        {
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
/* Keys are std::string, which the container owns; looked up by string_view, of which nothing is copied. */
template <class M, class View = std::string_view> struct text_container : container<M> {
    explicit text_container(size_t) {}
    static void put(void *t, std::string_view key, uint64_t value)
    {
        container<M>::of(t)[typename M::key_type(key)] = value;
    }
    static bool find(void *t, std::string_view key, uint64_t *ret_value)
    {
        M &m = container<M>::of(t);
        auto found = m.find(View(key.data(), key.size()));
        if (found == m.end())
            return false;
        *ret_value = found->second;
        return true;
    }
    static bool erase(void *t, std::string_view key)
    {
        M &m = container<M>::of(t);
        auto found = m.find(View(key.data(), key.size()));
        if (found == m.end())
            return false;
        m.erase(found);
        return true;
    }
};

#endif

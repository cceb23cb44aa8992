/* bench/tree_limit.cc - limit of an ordered map: a sorted array of keys and one of values beside it. No peer: it cannot be changed once it is
 * sorted, is not shared, not locked, and survives nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <algorithm>
#include <stdlib.h>

namespace
{

struct sorted : table_defaults {
    uint64_t *key, *value; /* sorted by settle, which makes the values: they follow from the keys */
    size_t n = 0, room;
    explicit sorted(size_t entries)
        : key((uint64_t *)malloc(entries * sizeof *key)), value((uint64_t *)malloc(entries * sizeof *value)),
          room(entries)
    {
        if (!key || !value)
            bench_die("no memory");
    }
    ~sorted()
    {
        free(key);
        free(value);
    }
    uint64_t size()
    {
        return n;
    }
    static void put(void *table, uint64_t key, uint64_t value)
    {
        auto *t = static_cast<sorted *>(table);
        if (t->n == t->room || value != table_value(key))
            bench_die("the sorted array is full, or this is no value for it");
        t->key[t->n++] = key;
    }
    static bool erase(void *, uint64_t)
    {
        bench_die("the sorted array cannot be changed");
    }
    static void settle(void *table)
    {
        auto *t = static_cast<sorted *>(table);
        std::sort(t->key, t->key + t->n);
        for (size_t i = 0; i < t->n; i++)
            t->value[i] = table_value(t->key[i]);
    }
    /* Without branches, since one would guess wrong every other time; both places that may be next are fetched ahead. */
    size_t first_from(uint64_t from) const
    {
        const uint64_t *at = key;
        for (size_t left = n, half; left > 1; left -= half) {
            half = left / 2;
            __builtin_prefetch(&at[(left - half) / 2 - 1]);
            __builtin_prefetch(&at[half + (left - half) / 2 - 1]);
            at += (at[half - 1] < from) * half;
        }
        return (size_t)(at - key) + (n && *at < from);
    }
    static bool find(void *table, uint64_t key, uint64_t *ret_value)
    {
        auto *t = static_cast<sorted *>(table);
        size_t at = t->first_from(key);
        if (at == t->n || t->key[at] != key)
            return false;
        *ret_value = t->value[at];
        return true;
    }
    struct cursor {
        const sorted *t;
        size_t at = 0;
        explicit cursor(void *table) : t(static_cast<sorted *>(table)) {}
        bool show(uint64_t *ret_key, uint64_t *ret_value)
        {
            if (at == t->n)
                return false;
            *ret_key = t->key[at];
            *ret_value = t->value[at];
            return true;
        }
        bool seek(uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
        {
            at = t->first_from(from);
            return show(ret_key, ret_value);
        }
        bool next(uint64_t *ret_key, uint64_t *ret_value)
        {
            at++;
            return show(ret_key, ret_value);
        }
    };
};

constexpr table_kind fixed(table_kind k)
{
    k.fixed = true;
    k.settle = sorted::settle;
    return k;
}

} // namespace

extern "C" {
extern const table_kind limit_tree_numbers = fixed(ordered<sorted>::kind("limit", true));
}

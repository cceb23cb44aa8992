/* bench/work_table.h - the identical work on maps and trees: loops into which each contender's operations are put. Everything is
 * inlined where it is used, so each contender gets loops of its own with direct calls.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_WORK_TABLE_H
#define BENCH_WORK_TABLE_H

#include "table.h"
#include "work.h"

typedef void (*table_put)(void *table, uint64_t key, uint64_t value);
typedef bool (*table_find)(void *table, uint64_t key, uint64_t *ret_value);
typedef bool (*table_remove)(void *table, uint64_t key);
typedef bool (*table_seek)(void *table, void *cursor, uint64_t from, uint64_t *ret_key,
                           uint64_t *ret_value); /* the first not below */
typedef bool (*table_next)(void *cursor, uint64_t *ret_key, uint64_t *ret_value);
typedef void (*text_put)(void *table, const char *at, size_t size, uint64_t value);
typedef bool (*text_find)(void *table, const char *at, size_t size, uint64_t *ret_value);
typedef bool (*text_remove)(void *table, const char *at, size_t size);

BENCH_INLINE void table_insert(void *table, const uint64_t *key, size_t n, table_put put)
{
    for (size_t i = 0; i < n; i++)
        put(table, key[i], table_value(key[i]));
}
BENCH_INLINE uint64_t table_hits(void *table, const uint64_t *key, size_t n, table_find find)
{
    uint64_t sum = 0, value;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_expect(!find(table, key[i], &value), 0))
            bench_die("key %#llx is not there", (unsigned long long)key[i]);
        sum += value;
    }
    return sum;
}
BENCH_INLINE size_t table_misses(void *table, const uint64_t *key, size_t n, table_find find)
{
    size_t missed = 0;
    uint64_t value;
    for (size_t i = 0; i < n; i++)
        missed += !find(table, key[i], &value);
    return missed;
}
BENCH_INLINE size_t table_erase(void *table, const uint64_t *key, size_t n, table_remove remove)
{
    size_t erased = 0;
    for (size_t i = 0; i < n; i++)
        erased += remove(table, key[i]);
    return erased;
}
BENCH_INLINE uint64_t table_scan(void *table, void *cursor, const uint64_t *from, size_t n, size_t length,
                                 table_seek seek, table_next next)
{
    uint64_t sum = 0, key, last, value;
    for (size_t i = 0; i < n; i++) {
        if (!seek(table, cursor, from[i], &key, &value) || key != from[i])
            bench_die("a scan does not begin at its key, %#llx", (unsigned long long)from[i]);
        sum += value;
        for (size_t j = 1; j < length; j++) {
            last = key;
            if (__builtin_expect(!next(cursor, &key, &value) || key <= last, 0))
                bench_die("a scan ends, or goes back, after %zu entries", j);
            sum += value;
        }
    }
    return sum;
}
BENCH_INLINE uint64_t table_walk(void *table, void *cursor, uint64_t *ret_count, table_seek seek, table_next next)
{
    uint64_t sum = 0, count = 0, key, last = 0, value;
    for (bool there = seek(table, cursor, 0, &key, &value); there; there = next(cursor, &key, &value)) {
        if (__builtin_expect(key <= last && count, 0))
            bench_die("a walk goes back after %llu entries", (unsigned long long)count);
        last = key;
        count++;
        sum += value;
    }
    *ret_count = count;
    return sum;
}

BENCH_INLINE void text_insert(void *table, const struct text *key, size_t n, text_put put)
{
    for (size_t i = 0; i < n; i++)
        put(table, key[i].at, key[i].size, text_value(&key[i]));
}
BENCH_INLINE uint64_t text_hits(void *table, const struct text *key, size_t n, text_find find)
{
    uint64_t sum = 0, value;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_expect(!find(table, key[i].at, key[i].size, &value), 0))
            bench_die("%.*s is not there", (int)key[i].size, key[i].at);
        sum += value;
    }
    return sum;
}
BENCH_INLINE size_t text_misses(void *table, const struct text *key, size_t n, text_find find)
{
    size_t missed = 0;
    uint64_t value;
    for (size_t i = 0; i < n; i++)
        missed += !find(table, key[i].at, key[i].size, &value);
    return missed;
}
BENCH_INLINE size_t text_erase(void *table, const struct text *key, size_t n, text_remove remove)
{
    size_t erased = 0;
    for (size_t i = 0; i < n; i++)
        erased += remove(table, key[i].at, key[i].size);
    return erased;
}

#endif

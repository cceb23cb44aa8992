/* bench/tree_limit.c - limit of an ordered map: a sorted array of keys and one of values beside it. No peer: it cannot be changed once it is
 * sorted, is not shared, not locked, and survives nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "work_table.h"

#include <stdlib.h>

struct sorted {
    uint64_t *key, *value; /* sorted by settle, which makes the values: they follow from the keys */
    size_t n, room;
};

static void *open_sorted(size_t entries)
{
    struct sorted *t = (struct sorted *)malloc(sizeof *t);
    if (!t)
        bench_die("no memory");
    *t = (struct sorted){.room = entries};
    t->key = (uint64_t *)malloc(entries * sizeof *t->key);
    t->value = (uint64_t *)malloc(entries * sizeof *t->value);
    if (!t->key || !t->value)
        bench_die("no memory");
    return t;
}
static void close_sorted(void *table)
{
    struct sorted *t = (struct sorted *)table;
    free(t->key);
    free(t->value);
    free(t);
}
static void put(void *table, uint64_t key, uint64_t value)
{
    struct sorted *t = (struct sorted *)table;
    if (t->n == t->room || value != table_value(key))
        bench_die("the sorted array is full, or this is no value for it");
    t->key[t->n++] = key;
}
static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}
static void settle(void *table)
{
    struct sorted *t = (struct sorted *)table;
    qsort(t->key, t->n, sizeof *t->key, by_value);
    for (size_t i = 0; i < t->n; i++)
        t->value[i] = table_value(t->key[i]);
}
/* Without branches, since one would guess wrong every other time; both places that may be next are fetched ahead. */
static inline size_t first_from(const struct sorted *t, uint64_t key)
{
    const uint64_t *at = t->key;
    for (size_t n = t->n, half; n > 1; n -= half) {
        half = n / 2;
        __builtin_prefetch(&at[(n - half) / 2 - 1]);
        __builtin_prefetch(&at[half + (n - half) / 2 - 1]);
        at += (at[half - 1] < key) * half;
    }
    return (size_t)(at - t->key) + (t->n && *at < key);
}
static bool find(void *table, uint64_t key, uint64_t *ret_value)
{
    struct sorted *t = (struct sorted *)table;
    size_t at = first_from(t, key);
    if (at == t->n || t->key[at] != key)
        return false;
    *ret_value = t->value[at];
    return true;
}

struct place {
    const struct sorted *t;
    size_t at;
};
static bool show(const struct place *p, uint64_t *ret_key, uint64_t *ret_value)
{
    if (p->at == p->t->n)
        return false;
    *ret_key = p->t->key[p->at];
    *ret_value = p->t->value[p->at];
    return true;
}
static bool seek(void *table, void *cursor, uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
{
    struct sorted *t = (struct sorted *)table;
    struct place *p = (struct place *)cursor;
    *p = (struct place){t, first_from(t, from)};
    return show(p, ret_key, ret_value);
}
static bool next(void *cursor, uint64_t *ret_key, uint64_t *ret_value)
{
    struct place *p = (struct place *)cursor;
    p->at++;
    return show(p, ret_key, ret_value);
}

static void insert(void *t, const uint64_t *key, size_t n)
{
    table_insert(t, key, n, put);
}
static uint64_t hits(void *t, const uint64_t *key, size_t n)
{
    return table_hits(t, key, n, find);
}
static size_t misses(void *t, const uint64_t *key, size_t n)
{
    return table_misses(t, key, n, find);
}
static uint64_t scan(void *t, const uint64_t *from, size_t n, size_t length)
{
    struct place at;
    return table_scan(t, &at, from, n, length, seek, next);
}
static uint64_t walk(void *t, uint64_t *ret_count)
{
    struct place at;
    return table_walk(t, &at, ret_count, seek, next);
}
static uint64_t count(void *t)
{
    return ((struct sorted *)t)->n;
}
const struct table_kind limit_tree_numbers = {
    .name = "limit",
    .in_heap = true,
    .fixed = true,
    .open = open_sorted,
    .close = close_sorted,
    .insert = insert,
    .settle = settle,
    .hits = hits,
    .misses = misses,
    .count = count,
    .scan = scan,
    .walk = walk,
};

/* bench/tree_limit.c - limit of an ordered map: a sorted array of keys and one of values beside it. No peer: it cannot be changed once it is
 * sorted, is not shared, not locked, and survives nothing. Searched without branches (a branch would guess wrong every other time).
 *
 * SPDX-License-Identifier: MIT */
#include "work_table.h"

#include <stdlib.h>

struct pair {
    uint64_t key, value;
};
struct sorted {
    struct pair *pair; /* sorted by settle */
    size_t n, room;
};

static void *open_sorted(size_t entries)
{
    struct sorted *t = (struct sorted *)malloc(sizeof *t);
    if (!t)
        bench_die("no memory");
    *t = (struct sorted){.room = entries};
    t->pair = (struct pair *)malloc(entries * sizeof *t->pair);
    if (!t->pair)
        bench_die("no memory");
    return t;
}
static void close_sorted(void *table)
{
    struct sorted *t = (struct sorted *)table;
    free(t->pair);
    free(t);
}
static void put(void *table, uint64_t key, uint64_t value)
{
    struct sorted *t = (struct sorted *)table;
    if (t->n == t->room)
        bench_die("the sorted array is full");
    t->pair[t->n++] = (struct pair){key, value};
}
static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct pair *)a)->key, y = ((const struct pair *)b)->key;
    return (x > y) - (x < y);
}
static void settle(void *table)
{
    struct sorted *t = (struct sorted *)table;
    qsort(t->pair, t->n, sizeof *t->pair, by_key);
}
static inline const struct pair *first_from(const struct sorted *t, uint64_t key)
{
    const struct pair *at = t->pair;
    for (size_t n = t->n; n > 1;) {
        size_t half = n / 2;
        at += (at[half - 1].key < key) * half; /* a conditional move */
        n -= half;
    }
    return t->n ? at + (at->key < key) : at;
}
static bool find(void *table, uint64_t key, uint64_t *ret_value)
{
    struct sorted *t = (struct sorted *)table;
    const struct pair *at = first_from(t, key);
    if (at == t->pair + t->n || at->key != key)
        return false;
    *ret_value = at->value;
    return true;
}

struct place {
    const struct pair *at, *end;
};
static bool show(const struct place *p, uint64_t *ret_key, uint64_t *ret_value)
{
    if (p->at == p->end)
        return false;
    *ret_key = p->at->key;
    *ret_value = p->at->value;
    return true;
}
static bool seek(void *table, void *cursor, uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
{
    struct sorted *t = (struct sorted *)table;
    struct place *p = (struct place *)cursor;
    *p = (struct place){first_from(t, from), t->pair + t->n};
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

/* bench/map_tarn.c - tarn's map as a contender: in a nameless segment, committed and faulted in beforehand.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "tables.h"
#include "work_table.h"

#include <errno.h>
#include <stdlib.h>

#define NUMBER_BYTES                                                                                         \
    64u /* of segment for an entry: ample. Is it too little, the segment grows, and the pages are paid for */
#define TEXT_BYTES 192u

struct tarn_table {
    tarn *seg;
    tarn_map *map;
};

static struct tarn_table *open_with(uint64_t initial, unsigned kind)
{
    struct tarn_table *t = (struct tarn_table *)calloc(1, sizeof *t);
    if (!t)
        bench_die("no memory");
    t->seg = core_segment(initial);
    struct tarn_stat st;
    core_good(tarn_stat(t->seg, &st), "tarn_stat");
    if (initial)
        bench_populate(tarn_base(t->seg), st.total);
    core_good(tarn_map_open(t->seg, "bench", TARN_CREATE | kind, &t->map), "tarn_map_open");
    return t;
}
static void close_it(void *table)
{
    struct tarn_table *t = (struct tarn_table *)table;
    tarn_map_close(t->map);
    core_close(t->seg);
    free(t);
}
static uint64_t count(void *table)
{
    uint64_t n;
    core_good(tarn_map_count(((struct tarn_table *)table)->map, &n), "tarn_map_count");
    return n;
}

void *map_tarn_sight(void *table, size_t *ret_size)
{
    struct tarn_table *t = (struct tarn_table *)table;
    struct tarn_stat st;
    core_good(tarn_stat(t->seg, &st), "tarn_stat");
    *ret_size = st.total;
    return tarn_base(t->seg);
}

double map_tarn_committed(const struct keys *keys)
{
    struct tarn *seg;
    struct tarn_stat before, after;
    tarn_map *map;
    core_good(tarn_open("anon:", TARN_CREATE, NULL, &seg), "tarn_open");
    core_good(tarn_stat(seg, &before), "tarn_stat");
    core_good(tarn_map_open(seg, "bench", TARN_CREATE | TARN_MAP_U64, &map), "tarn_map_open");
    for (size_t i = 0; i < keys->n; i++)
        core_good(tarn_map_put64(map, keys->key[i], table_value(keys->key[i])), "tarn_map_put64");
    core_good(tarn_stat(seg, &after), "tarn_stat");
    tarn_map_close(map);
    core_close(seg);
    return (double)(after.total - before.total);
}

/* ---- numbers ---- */

static void *open_numbers(size_t entries)
{
    return open_with(entries * NUMBER_BYTES + (4u << 20), TARN_MAP_U64);
}
static void put(void *map, uint64_t key, uint64_t value)
{
    if (__builtin_expect(tarn_map_put64((tarn_map *)map, key, value), 0))
        bench_die("tarn_map_put64: %s", tarn_error());
}
static bool find(void *map, uint64_t key, uint64_t *ret_value)
{
    int e = tarn_map_get64((tarn_map *)map, key, ret_value);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_map_get64: %s", tarn_error());
    return !e;
}
static bool remove_one(void *map, uint64_t key)
{
    int e = tarn_map_remove64((tarn_map *)map, key);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_map_remove64: %s", tarn_error());
    return !e;
}
static void insert(void *t, const uint64_t *key, size_t n)
{
    table_insert(((struct tarn_table *)t)->map, key, n, put);
}
static uint64_t hits(void *t, const uint64_t *key, size_t n)
{
    return table_hits(((struct tarn_table *)t)->map, key, n, find);
}
static size_t misses(void *t, const uint64_t *key, size_t n)
{
    return table_misses(((struct tarn_table *)t)->map, key, n, find);
}
static size_t erase(void *t, const uint64_t *key, size_t n)
{
    return table_erase(((struct tarn_table *)t)->map, key, n, remove_one);
}
const struct table_kind tarn_map_numbers = {
    .name = "tarn",
    .open = open_numbers,
    .close = close_it,
    .insert = insert,
    .hits = hits,
    .misses = misses,
    .erase = erase,
    .count = count,
};

/* ---- texts ---- */

static void *open_texts(size_t entries)
{
    return open_with(entries * TEXT_BYTES + (4u << 20), 0);
}
static void put_text(void *map, const char *at, size_t size, uint64_t value)
{
    if (__builtin_expect(tarn_map_put((tarn_map *)map, at, size, &value, sizeof value), 0))
        bench_die("tarn_map_put: %s", tarn_error());
}
static bool find_text(void *map, const char *at, size_t size, uint64_t *ret_value)
{
    int e = tarn_map_get((tarn_map *)map, at, size, ret_value, sizeof *ret_value, NULL);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_map_get: %s", tarn_error());
    return !e;
}
static bool remove_text(void *map, const char *at, size_t size)
{
    int e = tarn_map_remove((tarn_map *)map, at, size);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_map_remove: %s", tarn_error());
    return !e;
}
static void insert_texts(void *t, const struct text *key, size_t n)
{
    text_insert(((struct tarn_table *)t)->map, key, n, put_text);
}
static uint64_t hits_texts(void *t, const struct text *key, size_t n)
{
    return text_hits(((struct tarn_table *)t)->map, key, n, find_text);
}
static size_t misses_texts(void *t, const struct text *key, size_t n)
{
    return text_misses(((struct tarn_table *)t)->map, key, n, find_text);
}
static size_t erase_texts(void *t, const struct text *key, size_t n)
{
    return text_erase(((struct tarn_table *)t)->map, key, n, remove_text);
}
const struct text_kind tarn_map_texts = {
    .name = "tarn",
    .open = open_texts,
    .close = close_it,
    .insert = insert_texts,
    .hits = hits_texts,
    .misses = misses_texts,
    .erase = erase_texts,
    .count = count,
};

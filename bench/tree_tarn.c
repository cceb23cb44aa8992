/* bench/tree_tarn.c - tarn's tree as a contender: in a nameless segment, committed and faulted in beforehand.
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
    tarn_tree *tree;
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
    core_good(tarn_tree_open(t->seg, "bench", TARN_CREATE | kind, &t->tree), "tarn_tree_open");
    return t;
}
static void close_it(void *table)
{
    struct tarn_table *t = (struct tarn_table *)table;
    tarn_tree_close(t->tree);
    core_close(t->seg);
    free(t);
}
static uint64_t count(void *table)
{
    uint64_t n;
    core_good(tarn_tree_count(((struct tarn_table *)table)->tree, &n), "tarn_tree_count");
    return n;
}

void *tree_tarn_sight(void *table, size_t *ret_size)
{
    struct tarn_table *t = (struct tarn_table *)table;
    struct tarn_stat st;
    core_good(tarn_stat(t->seg, &st), "tarn_stat");
    *ret_size = st.total;
    return tarn_base(t->seg);
}

double tree_tarn_committed(const struct keys *keys)
{
    struct tarn *seg;
    struct tarn_stat before, after;
    tarn_tree *tree;
    core_good(tarn_open("anon:", TARN_CREATE, NULL, &seg), "tarn_open");
    core_good(tarn_stat(seg, &before), "tarn_stat");
    core_good(tarn_tree_open(seg, "bench", TARN_CREATE | TARN_TREE_U64, &tree), "tarn_tree_open");
    for (size_t i = 0; i < keys->n; i++)
        core_good(tarn_tree_put64(tree, keys->key[i], table_value(keys->key[i])), "tarn_tree_put64");
    core_good(tarn_stat(seg, &after), "tarn_stat");
    tarn_tree_close(tree);
    core_close(seg);
    return (double)(after.total - before.total);
}

/* ---- numbers ---- */

static void *open_numbers(size_t entries)
{
    return open_with(entries * NUMBER_BYTES + (4u << 20), TARN_TREE_U64);
}
static void put(void *tree, uint64_t key, uint64_t value)
{
    if (__builtin_expect(tarn_tree_put64((tarn_tree *)tree, key, value), 0))
        bench_die("tarn_tree_put64: %s", tarn_error());
}
static bool find(void *tree, uint64_t key, uint64_t *ret_value)
{
    int e = tarn_tree_get64((tarn_tree *)tree, key, ret_value);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_tree_get64: %s", tarn_error());
    return !e;
}
static bool remove_one(void *tree, uint64_t key)
{
    int e = tarn_tree_remove64((tarn_tree *)tree, key);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_tree_remove64: %s", tarn_error());
    return !e;
}
static void insert(void *t, const uint64_t *key, size_t n)
{
    table_insert(((struct tarn_table *)t)->tree, key, n, put);
}
static uint64_t hits(void *t, const uint64_t *key, size_t n)
{
    return table_hits(((struct tarn_table *)t)->tree, key, n, find);
}
static size_t misses(void *t, const uint64_t *key, size_t n)
{
    return table_misses(((struct tarn_table *)t)->tree, key, n, find);
}
static size_t erase(void *t, const uint64_t *key, size_t n)
{
    return table_erase(((struct tarn_table *)t)->tree, key, n, remove_one);
}
/* The cursor is the caller's, so a scan makes none. */
static bool next(void *cursor, uint64_t *ret_key, uint64_t *ret_value)
{
    int e = tarn_tree_next64((tarn_tree_cursor *)cursor, ret_key, ret_value);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_tree_next64: %s", tarn_error());
    return !e;
}
static bool seek(void *tree, void *cursor, uint64_t from, uint64_t *ret_key, uint64_t *ret_value)
{
    (void)tree;
    if (__builtin_expect(tarn_tree_seek64((tarn_tree_cursor *)cursor, from, TARN_TREE_LOWER), 0))
        bench_die("tarn_tree_seek64: %s", tarn_error());
    return next(cursor, ret_key, ret_value);
}
static tarn_tree_cursor *cursor_of(void *t)
{
    tarn_tree_cursor *cursor;
    core_good(tarn_tree_cursor_open(((struct tarn_table *)t)->tree, &cursor), "tarn_tree_cursor_open");
    return cursor;
}
static uint64_t scan(void *t, const uint64_t *from, size_t n, size_t length)
{
    tarn_tree_cursor *cursor = cursor_of(t);
    uint64_t sum = table_scan(t, cursor, from, n, length, seek, next);
    tarn_tree_cursor_close(cursor);
    return sum;
}
static uint64_t walk(void *t, uint64_t *ret_count)
{
    tarn_tree_cursor *cursor = cursor_of(t);
    uint64_t sum = table_walk(t, cursor, ret_count, seek, next);
    tarn_tree_cursor_close(cursor);
    return sum;
}
const struct table_kind tarn_tree_numbers = {
    .name = "tarn",
    .open = open_numbers,
    .close = close_it,
    .insert = insert,
    .hits = hits,
    .misses = misses,
    .erase = erase,
    .count = count,
    .scan = scan,
    .walk = walk,
};

/* ---- texts ---- */

static void *open_texts(size_t entries)
{
    return open_with(entries * TEXT_BYTES + (4u << 20), 0);
}
static void put_text(void *tree, const char *at, size_t size, uint64_t value)
{
    if (__builtin_expect(tarn_tree_put((tarn_tree *)tree, at, size, &value, sizeof value), 0))
        bench_die("tarn_tree_put: %s", tarn_error());
}
static bool find_text(void *tree, const char *at, size_t size, uint64_t *ret_value)
{
    int e = tarn_tree_get((tarn_tree *)tree, at, size, ret_value, sizeof *ret_value, NULL);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_tree_get: %s", tarn_error());
    return !e;
}
static bool remove_text(void *tree, const char *at, size_t size)
{
    int e = tarn_tree_remove((tarn_tree *)tree, at, size);
    if (__builtin_expect(e && e != -ENOENT, 0))
        bench_die("tarn_tree_remove: %s", tarn_error());
    return !e;
}
static void insert_texts(void *t, const struct text *key, size_t n)
{
    text_insert(((struct tarn_table *)t)->tree, key, n, put_text);
}
static uint64_t hits_texts(void *t, const struct text *key, size_t n)
{
    return text_hits(((struct tarn_table *)t)->tree, key, n, find_text);
}
static size_t misses_texts(void *t, const struct text *key, size_t n)
{
    return text_misses(((struct tarn_table *)t)->tree, key, n, find_text);
}
static size_t erase_texts(void *t, const struct text *key, size_t n)
{
    return text_erase(((struct tarn_table *)t)->tree, key, n, remove_text);
}
const struct text_kind tarn_tree_texts = {
    .name = "tarn",
    .open = open_texts,
    .close = close_it,
    .insert = insert_texts,
    .hits = hits_texts,
    .misses = misses_texts,
    .erase = erase_texts,
    .count = count,
};

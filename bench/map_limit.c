/* bench/map_limit.c - limits of a hash map: open addressing, sized beforehand for twice the entries, half full. No peers: nothing here
 * grows, is shared, is locked, or survives anything, and what is erased leaves its slot taken. The numbers 0 and all ones cannot be keys.
 *
 * SPDX-License-Identifier: MIT */
#include "work_table.h"

#include <stdlib.h>

#define FREE UINT64_C(0)
#define GONE UINT64_MAX

/* ---- numbers: key and value in the slot ---- */

struct slot {
    uint64_t key, value;
};
struct open_table {
    struct slot *slot;
    uint64_t slots, count;
};

static void *open_numbers(size_t entries)
{
    struct open_table *t = (struct open_table *)malloc(sizeof *t);
    if (!t)
        bench_die("no memory");
    t->count = 0;
    t->slots = entries * 2;
    t->slot = (struct slot *)malloc(t->slots * sizeof *t->slot);
    if (!t->slot)
        bench_die("no memory");
    memset(t->slot, 0, t->slots * sizeof *t->slot);
    return t;
}
static void close_numbers(void *table)
{
    struct open_table *t = (struct open_table *)table;
    free(t->slot);
    free(t);
}
/* The slot that has the key, or the free one at which the search ends. */
static inline struct slot *slot_of(struct open_table *t, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t i = (uint64_t)(((unsigned __int128)hash * t->slots) >> 64);
    while (t->slot[i].key != key && t->slot[i].key != FREE)
        i = i + 1 == t->slots ? 0 : i + 1;
    return &t->slot[i];
}
static void put(void *table, uint64_t key, uint64_t value)
{
    struct open_table *t = (struct open_table *)table;
    struct slot *s = slot_of(t, key);
    t->count += s->key == FREE;
    s->key = key;
    s->value = value;
}
static bool find(void *table, uint64_t key, uint64_t *ret_value)
{
    struct slot *s = slot_of((struct open_table *)table, key);
    *ret_value = s->value;
    return s->key != FREE;
}
static bool remove_one(void *table, uint64_t key)
{
    struct open_table *t = (struct open_table *)table;
    struct slot *s = slot_of(t, key);
    if (s->key == FREE)
        return false;
    s->key = GONE;
    t->count--;
    return true;
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
static size_t erase(void *t, const uint64_t *key, size_t n)
{
    return table_erase(t, key, n, remove_one);
}
static uint64_t count(void *t)
{
    return ((struct open_table *)t)->count;
}
const struct table_kind limit_map_numbers = {
    .name = "limit",
    .in_heap = true,
    .open = open_numbers,
    .close = close_numbers,
    .insert = insert,
    .hits = hits,
    .misses = misses,
    .erase = erase,
    .count = count,
};

/* ---- texts: in the slot a hash beside the offset of {value, size, bytes} ---- */

struct text_slot {
    uint32_t hash, offset; /* 8-byte units from the first byte of `bytes`; 0: free; 1: was erased */
};
struct text_table {
    struct text_slot *slot;
    uint64_t slots, count;
    uint64_t *bytes;
    uint64_t used; /* 8-byte units */
};

static void *open_texts(size_t entries)
{
    struct text_table *t = (struct text_table *)malloc(sizeof *t);
    if (!t)
        bench_die("no memory");
    *t = (struct text_table){.slots = entries * 2, .used = 2};
    t->slot = (struct text_slot *)malloc(t->slots * sizeof *t->slot);
    t->bytes = (uint64_t *)malloc(entries * 64 + 64);
    if (!t->slot || !t->bytes)
        bench_die("no memory");
    memset(t->slot, 0, t->slots * sizeof *t->slot);
    return t;
}
static void close_texts(void *table)
{
    struct text_table *t = (struct text_table *)table;
    free(t->slot);
    free(t->bytes);
    free(t);
}
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
/* Texts of 8 bytes or more: a word at a time, the last one ending where the text ends. */
static inline uint64_t hash_of(const char *at, size_t size)
{
    uint64_t hash = size, word;
    for (size_t i = 0; i + 8 < size; i += 8) {
        memcpy(&word, at + i, 8);
        hash = fold(hash ^ word, UINT64_C(0x9e3779b97f4a7c15));
    }
    memcpy(&word, at + size - 8, 8);
    return fold(hash ^ word, UINT64_C(0xd1342543de82ef95));
}
static inline struct text_slot *text_slot_of(struct text_table *t, const char *at, size_t size, uint64_t hash)
{
    uint64_t i = (uint64_t)(((unsigned __int128)hash * t->slots) >> 64);
    for (;; i = i + 1 == t->slots ? 0 : i + 1) {
        struct text_slot *s = &t->slot[i];
        if (s->offset == 0)
            return s;
        const uint64_t *entry = &t->bytes[s->offset];
        if (s->hash == (uint32_t)hash && s->offset != 1 && entry[1] == size && memcmp(entry + 2, at, size) == 0)
            return s;
    }
}
static void put_text(void *table, const char *at, size_t size, uint64_t value)
{
    struct text_table *t = (struct text_table *)table;
    uint64_t hash = hash_of(at, size);
    struct text_slot *s = text_slot_of(t, at, size, hash);
    if (s->offset == 0) {
        *s = (struct text_slot){(uint32_t)hash, (uint32_t)t->used};
        t->bytes[t->used + 1] = size;
        memcpy(&t->bytes[t->used + 2], at, size);
        t->used += 2 + (size + 7) / 8;
        t->count++;
    }
    t->bytes[s->offset] = value;
}
static bool find_text(void *table, const char *at, size_t size, uint64_t *ret_value)
{
    struct text_table *t = (struct text_table *)table;
    struct text_slot *s = text_slot_of(t, at, size, hash_of(at, size));
    if (s->offset == 0)
        return false;
    *ret_value = t->bytes[s->offset];
    return true;
}
static bool remove_text(void *table, const char *at, size_t size)
{
    struct text_table *t = (struct text_table *)table;
    struct text_slot *s = text_slot_of(t, at, size, hash_of(at, size));
    if (s->offset == 0)
        return false;
    s->offset = 1;
    t->count--;
    return true;
}
static void insert_texts(void *t, const struct text *key, size_t n)
{
    text_insert(t, key, n, put_text);
}
static uint64_t hits_texts(void *t, const struct text *key, size_t n)
{
    return text_hits(t, key, n, find_text);
}
static size_t misses_texts(void *t, const struct text *key, size_t n)
{
    return text_misses(t, key, n, find_text);
}
static size_t erase_texts(void *t, const struct text *key, size_t n)
{
    return text_erase(t, key, n, remove_text);
}
static uint64_t count_texts(void *t)
{
    return ((struct text_table *)t)->count;
}
const struct text_kind limit_map_texts = {
    .name = "limit",
    .open = open_texts,
    .close = close_texts,
    .insert = insert_texts,
    .hits = hits_texts,
    .misses = misses_texts,
    .erase = erase_texts,
    .count = count_texts,
};

/* bench/table.h - maps and trees at work: what a contender is, the keys that all of them get, and the comparisons that bench-map and
 * bench-tree share.
 *
 * u64: random 64-bit keys, values likewise, in an order of their own; looked up, and erased, in another order. str: random texts of
 * 10 to 40 bytes, values of 8 bytes, looked up by pointer and length; the texts to look up lie one after the other in that order, so
 * reading them costs all contenders little, and each contender has its own copy of what it holds.
 *
 * Memory is faulted in beforehand for everybody: a segment of tarn, or of Boost, is made as large as it will be, and every page of it
 * written; a private table's heap is malloc's, grown, written and given back to malloc (table_warm_heap); LMDB's file is filled and its
 * mapping populated. So nobody's insertion pays for pages. What anybody pays for growing inside that memory counts.
 *
 * What one process does alone is timed by the time that it had a cpu: nobody sleeps in it, and what others do on the machine counts
 * less. Two processes at once are timed by the clock on the wall.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include "harness.h"

#ifdef __cplusplus
extern "C" {
#endif

struct text {
    const char *at;
    uint32_t size, number; /* the how manieth it is: its value follows from it */
};

static inline uint64_t table_value(uint64_t key)
{
    return key * 3 + 1;
}
static inline uint64_t text_value(const struct text *text)
{
    return text->number * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* A map or tree of 64-bit numbers. Loops over many keys, so that each contender has a loop of its own (table_class.h). What fails,
 * or is not there and ought to be, is bench_die. */
struct table_kind {
    const char *name;
    bool in_heap;                  /* private memory, from malloc */
    void *(*open)(size_t entries); /* empty, of room for so many */
    void (*close)(void *table);
    void (*insert)(void *table, const uint64_t *key, size_t n);   /* or replace */
    uint64_t (*hits)(void *table, const uint64_t *key, size_t n); /* sum of the values */
    size_t (*misses)(void *table, const uint64_t *key, size_t n); /* how many are not there */
    size_t (*erase)(void *table, const uint64_t *key, size_t n);  /* how many were there */
    uint64_t (*count)(void *table);
    void (*settle)(void *table); /* after the insertions, not timed; or NULL */
    uint64_t (*bytes)(void);     /* what its kind has asked for and not given back; or NULL */
    bool fixed;                  /* a limit: its insertion and erasure are no such */
    /* Ordered ones: from each of n keys that are there, `length` entries, whose keys ascend; sum of the values. */
    uint64_t (*scan)(void *table, const uint64_t *from, size_t n, size_t length);
    uint64_t (*walk)(void *table, uint64_t *ret_count); /* all, ascending; sum of the values */
};
/* The same of texts. */
struct text_kind {
    const char *name;
    bool in_heap;
    void *(*open)(size_t entries);
    void (*close)(void *table);
    void (*insert)(void *table, const struct text *key, size_t n);
    uint64_t (*hits)(void *table, const struct text *key, size_t n);
    size_t (*misses)(void *table, const struct text *key, size_t n);
    size_t (*erase)(void *table, const struct text *key, size_t n);
    uint64_t (*count)(void *table);
};

extern const struct table_kind tarn_map_numbers, limit_map_numbers, peer_absl_map, peer_std_hash,
    peer_glib_hash, peer_boost_hash;
extern const struct text_kind tarn_map_texts, limit_map_texts, peer_absl_map_texts, peer_std_hash_texts,
    peer_glib_hash_texts;
extern const struct table_kind tarn_tree_numbers, limit_tree_numbers, peer_absl_tree, peer_std_tree,
    peer_boost_tree, peer_lmdb_numbers;
extern const struct text_kind tarn_tree_texts, peer_absl_tree_texts, peer_lmdb_texts;

/* A figure's name says of how many entries: "map.u64_10m" becomes "map.u64_1m" in print, if it is of a million. */
void table_rename(const char *prefix, const char *kind, size_t usual, size_t actual);

/* ---- keys ----------------------------------------------------------------------------------------------------------- */

struct keys { /* in memory that children share, so that a fork makes nobody's pages copied */
    size_t n, looks;
    uint64_t *key;   /* [n], in the order of the insertions */
    uint64_t *look;  /* [n], the same in another order: look-ups take the first `looks`, erasure all */
    uint64_t *sum;   /* [looks + 1] sum of the values of look[0 .. i) */
    uint64_t *other; /* [looks], not there */
    /* for what is ordered, or NULL */
    uint64_t *sorted;    /* [n] */
    uint64_t *rank_sum;  /* [n + 1] sum of the values of sorted[0 .. i) */
    uint64_t *scan_from; /* [scans] keys with enough behind them */
    uint64_t *scan_sum;  /* [scans + 1] sum of the values of the first i scans */
    size_t scans;
};
struct texts {
    size_t n;
    struct text *key, *look, *other; /* [n] each; look: the same in another order, and with bytes of its own */
    uint64_t *sum;                   /* [n + 1] sum of the values of look[0 .. i) */
};
#define TABLE_LOOKS 2000000u
#define TABLE_SCAN 100u

void keys_make(struct keys *k, size_t n, bool ordered);
void keys_free(struct keys *k);
void texts_make(struct texts *t, size_t n);
void texts_free(struct texts *t);

/* malloc's heap has at least so many bytes free in one piece, every page of which was written; malloc gives none back, and maps
 * nothing apart. */
void table_warm_heap(size_t bytes);
#define TABLE_HEAP_PER_ENTRY 80u
#define TEXT_HEAP_PER_ENTRY 160u

/* ---- comparisons ---------------------------------------------------------------------------------------------------- */

/* Ours beside one peer. `figure` is the prefix, as "map.u64_10m"; ours is printed if `first`, else only the ratio. For each of the
 * repetitions both are filled from empty, a slice of the keys in one and the same slice in the other, and erased again likewise; in
 * the last of them, when both are full, the look-ups are compared, in slices, and so are scans and walks, if both have them.
 * What is left out is what is not wanted, and of a fixed peer what it does not do. */
void table_compare(const char *figure, const struct table_kind *ours, const struct table_kind *peer,
                   const struct keys *keys, int reps, bool first);
void text_compare(const char *figure, const struct text_kind *ours, const struct text_kind *const *peers,
                  int count, const struct texts *texts, int reps, const char *best);

/* Bytes for each entry, beside the peer's. `committed` is what a segment's making of it took. */
void table_compare_bytes(const char *figure, double committed, const struct table_kind *peer,
                         const struct keys *keys);
/* Every insertion on the clock, which is asked of the kernel and adds some 0.2 us to each. Returns the longest, in us;
 * *ret_p9999: 9,999 of 10,000 took so many us or less. */
double table_longest(const struct table_kind *kind, const struct keys *keys, double *ret_p9999);
/* Instructions of a hit in a full table, by single steps, beside the peer's. */
void table_compare_instructions(const char *figure, const struct table_kind *ours,
                                const struct table_kind *peer, const struct keys *keys);

/* Two processes at once, and one: rates in Mops/s, of the same table, which all see at `base` and whose pages they fault in. */
struct table_sides {
    const struct table_kind *kind;
    void *table;
    const struct keys *keys;
    void *base;
    size_t size;
};
void table_two(const char *figure, const struct table_sides *sides, bool write, int reps);

#ifdef __cplusplus
}
#endif
#endif

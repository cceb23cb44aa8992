/* collection/map.h - the parts of the map, for its own files, unbind and check. The public calls are in tarn.h.
 *
 * Writers take the lock of a key's bucket in a section, for as long as that lasts, and change words that they saved, one store each:
 * so an undo is physical, and another's section never stands on words that may be undone. Structure (a sibling, an overflow bucket, a chunk
 * of the directory) is published by heap_publish, at once and for good. A bucket is split only by a section that took its lock just now, so no
 * entry of an open section's log points into slots that move.
 * Lock order: names, buckets of ascending prefix, directory. A section of the caller's may break it, and then gets -EDEADLK. */
#ifndef TARN_MAP_H
#define TARN_MAP_H

#include <errno.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "collection/layout.h"
#include "heap/heap.h"
#include "os/error.h"
#include "participant/again.h"
#include "sync/sync.h"

/* A process's handle: private memory. What is marked (learned) is stored by any of its threads (map_learn), with one and the same value
 * or a greater one; the rest is fixed once made. */
struct tarn_map {
    tarn *seg;
    struct map *map;
    uint64_t ref, seed;
    bool u64;
    /* for quick look-ups, map_read.c */
    const void *quick64, *quick_bytes; /* seg, if look-ups of this kind may be quick here; else what no thread's seg is */
    const uint64_t *epoch;             /* the participants' */
    char *data;                        /* where data space begins in this process */
    uint64_t zone;                     /* its offset */
    uint64_t bucket_most,
        entry_most; /* (learned) bytes from there on: a bucket (an entry) that begins no later is committed */
    uint64_t index; /* (learned) 2^depth - 1 of the directory; after the chunks up to there are known */
    uint64_t chunk[MAP_DEPTH_MOST + 1]; /* (learned) where directory entry 0 stood, if it were in the same array as those of chunk k */
};

/* A key, hashed. */
struct key {
    uint64_t hash, number; /* number: of a u64 map */
    const void *bytes;
    uint64_t size;
};

/* A bucket that is the right one for a hash as of `link`. */
struct where {
    struct bucket *bucket;
    uint64_t ref, link, lines;
};

/* A slot found: its place, and the word that was there. */
struct hit {
    uint64_t *slot, word;
};

#define CHAIN_MOST 40u /* buckets in an overflow chain: each has twice the lines of the one before */

static inline uint64_t hash_number(uint64_t seed, uint64_t x)
{
    /* a bijection: numbers never collide in all bits (D. Stafford's 13th variant of Murmur3's finalizer) */
    x ^= seed;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}
static inline uint64_t hash_bytes(uint64_t seed, const void *key, uint64_t size)
{
    return XXH3_64bits_withSeed(key, size, seed);
}
static inline uint64_t low_bits(unsigned n)
{
    return n < 64 ? (1ull << n) - 1 : ~0ull;
}
/* A hash's home line; the other lines follow it, in a circle. */
static inline uint64_t home_line(uint64_t hash, uint64_t lines)
{
    return (hash >> 41 & 0xff) * lines >> 8;
}
static inline uint64_t slot_word(uint64_t hash, uint64_t entry)
{
    return hash >> 49 << 49 | entry;
}
static inline uint64_t *slots_of(const struct bucket *b)
{
    return (uint64_t *)(b + 1);
}
static inline bool is_right(uint64_t hash, uint64_t prefix, unsigned depth)
{
    return !((hash ^ prefix) & low_bits(depth));
}

static inline bool map_block(const struct tarn *seg, uint64_t ref, uint64_t size)
{
    return !(ref & 15) && in_data(seg, ref, size);
}
bool bucket_is_whole(const struct tarn *seg, uint64_t ref, uint64_t lines);
#define LINES_FEW                                                                                            \
    63u /* a bucket of more is looked up in the heap's tables: it must not claim what is not its own */

/* The bucket at ref with all its lines, or NULL. */
static inline struct bucket *bucket_at(const struct tarn *seg, uint64_t ref, uint64_t *ret_lines)
{
    struct bucket *b;
    uint64_t lines;
    if (TARN_RARE(!map_block(seg, ref, sizeof *b)))
        return NULL;
    b = at_offset(seg, ref);
    lines = __atomic_load_n(&b->lines, __ATOMIC_RELAXED);
    if (TARN_RARE(lines - 1 >= LINES_FEW) && !bucket_is_whole(seg, ref, lines))
        return NULL;
    if (TARN_RARE(!in_data(seg, ref, 64 * (1 + lines))))
        return NULL;
    *ret_lines = lines;
    return b;
}

/* The directory's entry i, or NULL: damaged. */
static inline uint64_t *directory_at(const struct tarn *seg, struct map *map, uint64_t i)
{
    unsigned k = i ? 64 - (unsigned)__builtin_clzll(i) : 0;
    uint64_t first = k ? 1ull << (k - 1) : 0, chunk = load64(&map->chunk[k]), at = chunk + 8 * (i - first);
    return TARN_RARE(chunk & 7 || !in_data(seg, at, 8)) ? NULL : at_offset(seg, at);
}

/* Is the entry at ref that of this key? 1, 0, or -EUCLEAN. */
static inline int entry_is(const tarn_map *m, uint64_t ref, const struct key *k, bool u64)
{
    if (u64) {
        const struct entry_u64 *e = at_offset(m->seg, ref);
        if (TARN_RARE(!map_block(m->seg, ref, sizeof *e)))
            return -EUCLEAN;
        return __atomic_load_n(&e->key, __ATOMIC_RELAXED) == k->number;
    }
    const struct entry_bytes *e = at_offset(m->seg, ref);
    uint64_t value;
    if (TARN_RARE(!map_block(m->seg, ref, sizeof *e)))
        return -EUCLEAN;
    if (__atomic_load_n(&e->key_size, __ATOMIC_RELAXED) != k->size)
        return 0;
    value = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
    if (TARN_RARE(!in_data(m->seg, ref, sizeof *e + value + k->size)))
        return -EUCLEAN;
    return !memcmp((const char *)(e + 1) + value, k->bytes, k->size);
}

/* Bit i: slot i of the line has this tag. Without branches: where in a line a key stands cannot be predicted, and a wrong guess would
 * keep the next look-up's cache misses from overlapping with this one's. What is found is loaded again, as one word. */
static inline unsigned line_match(const uint64_t *slot, uint64_t tag)
{
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const __m128i *v = (const __m128i *)slot;
    __m128i want = _mm_set1_epi32((int)tag), low, high;
    __m128 a = _mm_castsi128_ps(_mm_loadu_si128(v)), b = _mm_castsi128_ps(_mm_loadu_si128(v + 1));
    __m128 c = _mm_castsi128_ps(_mm_loadu_si128(v + 2)), d = _mm_castsi128_ps(_mm_loadu_si128(v + 3));
    low = _mm_cmpeq_epi32(_mm_srli_epi32(_mm_castps_si128(_mm_shuffle_ps(a, b, 0xdd)), 17), want); /* the words' upper halves */
    high = _mm_cmpeq_epi32(_mm_srli_epi32(_mm_castps_si128(_mm_shuffle_ps(c, d, 0xdd)), 17), want);
    return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128()));
#else
    unsigned mask = 0;
    for (unsigned i = 0; i < 8; i++)
        mask |= (unsigned)(SLOT_TAG(__atomic_load_n(&slot[i], __ATOMIC_RELAXED)) == tag) << i;
    return mask;
#endif
}

/* Look through one bucket's slots. skip: SLOT_MOVES to pass over what belongs to the sibling, else 0. 1, 0, -EUCLEAN. */
static inline int bucket_scan(const tarn_map *m, const struct bucket *b, uint64_t lines, uint64_t skip,
                              const struct key *k, bool u64, struct hit *ret_hit)
{
    uint64_t line = home_line(k->hash, lines), tag = k->hash >> 49;
    for (uint64_t n = 0; n < lines; n++) {
        uint64_t *slot = slots_of(b) + line * 8;
        for (unsigned mask = line_match(slot, tag); mask; mask &= mask - 1) {
            uint64_t *at = slot + __builtin_ctz(mask), w = load64(at); /* pairs with the store of a filled entry's slot */
            int e;
            if (TARN_RARE(SLOT_TAG(w) != tag || !w || w & skip))
                continue;
            e = entry_is(m, w & MAP_REF, k, u64);
            if (TARN_RARE(e == 0))
                continue;
            ret_hit->slot = at;
            ret_hit->word = w;
            return e;
        }
        if (++line == lines)
            line = 0;
    }
    return 0;
}

/* Retire a block of the map when the open section commits. heap_free would look through the whole log for a second free of it, which the
 * bucket's lock rules out; whether it is a block at all is checked when the free is applied. 0, -ENOSPC. */
int map_retire_block(struct self *s, uint64_t ref);

/* ---- map_read.c ---- */

/* Make ready for quick look-ups, as far as that is allowed here. Of a handle that is being made. */
void map_quicken(tarn_map *m);

/* ---- map_bucket.c: where a hash belongs; structure ---- */

/* The bucket of a hash. 0, or -EUCLEAN without a sentence. Takes no lock. */
int map_descend(const tarn_map *m, uint64_t hash, struct where *ret_where);
/* The rest of map_descend where the directory's hint was not the bucket. */
/* The same by one hint, without asking the directory again: 1: it is stale. */
int map_follow(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *ret_where);
int map_descend_from(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *ret_where);

/* The same for hot paths: inline as long as the directory leads to the bucket at once. */
static inline int map_descend_fast(const tarn_map *m, uint64_t hash, struct where *w)
{
    uint64_t depth = load64(&m->map->depth), ref;
    const uint64_t *hint;
    if (TARN_RARE(depth > MAP_DEPTH_MOST ||
                  !(hint = directory_at(m->seg, m->map, hash & low_bits((unsigned)depth)))))
        return -EUCLEAN;
    ref = load64(hint) & MAP_REF;
    __builtin_prefetch(slots_of(at_offset(m->seg, ref)) + 8 * home_line(hash, MAP_LINES)); /* beside the header's line */
    w->bucket = bucket_at(m->seg, ref, &w->lines);
    if (TARN_RARE(!w->bucket))
        return -EUCLEAN;
    w->ref = ref;
    w->link = load64(&w->bucket->link);
    if (TARN_RARE(!is_right(hash, __atomic_load_n(&w->bucket->prefix, __ATOMIC_RELAXED), LINK_DEPTH(w->link))))
        return map_descend_from(m, hash, ref, w);
    return 0;
}

/* In an open section: the bucket of a hash, locked until that ends, cleaned. *ret_fresh: its lock was taken by this call. */
int map_take(struct self *s, tarn_map *m, uint64_t hash, struct where *ret_where, bool *ret_fresh);
/* Split a bucket whose lock was taken just now. 1: done; 0: it is not to be split; or -ENOSPC and kin. */
int map_split(struct self *s, tarn_map *m, struct where *w);
/* Is that free slot outside the hash's home line, in a bucket so full that it should rather be split? */
bool map_crowded(const struct where *w, uint64_t hash, const uint64_t *slot);
/* A free slot for the hash: in the bucket itself, or in its overflow chain too, which may have to grow. 1, 0: none; or -ENOSPC and kin. */
enum room { FIRST_ONLY, CHAIN, CHAIN_GROW };
int map_free_slot(struct self *s, tarn_map *m, const struct where *w, uint64_t hash, enum room room,
                  uint64_t **ret_slot);
/* In its own section, at its end: retire a chain of overflow buckets that is empty. */
int map_unchain(struct self *s, tarn_map *m, struct bucket *b);
/* The hash of the entry in a slot word. 0, -EUCLEAN. */
int map_hash_of(const tarn_map *m, uint64_t word, uint64_t *ret_hash);

/* ---- map_each.c ---- */

/* The words of one bucket's chain as they were at one moment. Private memory, reused. */
struct snapshot {
    uint64_t *word, count, room;
    uint64_t *set, set_room; /* by open addressing, of what must not be there twice */
    uint64_t twin;           /* a word of a key that another has too, which was dropped; or 0 */
    uint64_t steps; /* words looked at since the walk began: hostile bytes must not keep it for ever (see steps_most) */
    struct where where;
};
void snapshot_free(struct snapshot *p);
/* Have two entries the same key? Every length is checked. */
bool map_same_key(const tarn_map *m, uint64_t a, uint64_t b);
int map_snapshot(const tarn_map *m, uint64_t hash, struct snapshot *ret);
/* A key that was removed and put again while the words were read can have been seen in both its slots: it is left there once. 0, -ENOMEM,
 * -EUCLEAN. */
int map_drop_twins(const tarn_map *m, struct snapshot *p);
/* reverse(prefix) + 2^(64 - depth): where the next bucket begins, in the order of reversed hashes. 0: there is none. */
uint64_t map_after(const struct where *w);
static inline uint64_t reverse64(uint64_t x)
{
    x = (x >> 1 & 0x5555555555555555ull) | (x & 0x5555555555555555ull) << 1;
    x = (x >> 2 & 0x3333333333333333ull) | (x & 0x3333333333333333ull) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0full) | (x & 0x0f0f0f0f0f0f0f0full) << 4;
    return __builtin_bswap64(x);
}

/* ---- map_check.c, for unbind and tarn_check ---- */

/* What is wrong with a map, and what it reaches: `block` is called once for each block but the root, with the bytes it must have; `owner` for each
 * mutex. Takes no lock, writes nothing; bounded whatever the bytes. What is in motion may be reported: look twice. 0, -ENOMEM. */
struct map_checker {
    void (*damage)(uint64_t ref, const char *what, void *arg);
    void (*block)(uint64_t ref, uint64_t size, void *arg);
    void (*owner)(const tarn_mutex *mutex, void *arg);
    void *arg;
};
int map_check(struct tarn *seg, uint64_t root, const struct map_checker *k);
/* In the section that unbinds it: retire the whole map, root included. Who changes it meanwhile is waited for; who comes later gets -ESTALE. */
int map_retire(struct self *s, uint64_t root);

#endif

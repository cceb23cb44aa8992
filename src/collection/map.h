/* collection/map.h - the parts of the map, for its own files, unbind and check. The public calls are in tarn.h.
 *
 * Writers take the lock of a key's bucket in a section, for as long as that lasts, and change words that they saved, one store each:
 * so an undo is physical, and another's section never stands on words that may be undone. The tag is the truth of a slot: a slot is filled
 * before its tag is stored, and only the tag is cleared when the key is removed. Structure (a sibling, an overflow bucket, a segment
 * of the directory) is published by heap_publish, at once and for good. A bucket is split only by a section that took its lock just now, so no
 * entry of an open section's log points into slots that move.
 * Lock order: names, buckets of ascending prefix, directory. A section of the caller's may break it, and then gets -EDEADLK. */
#ifndef TARN_MAP_H
#define TARN_MAP_H

#include <errno.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "collection/layout.h"
#include "collection/check.h"
#include "heap/heap.h"
#include "os/error.h"
#include "participant/again.h"
#include "sync/sync.h"

/* Where segments of the directory stand in this process; each is learned once, and stays. */
struct map_segments {
    struct map_segments *before; /* the smaller one that it took the place of: another thread may still look at it */
    uint64_t room;
    const uint64_t *at[];
};

/* A process's handle: private memory. What is marked (learned) is stored by any of its threads (map_learn), with one and the same value
 * or a greater one; the rest is fixed once made. */
struct tarn_map {
    tarn *seg;
    struct map *map;
    uint64_t ref, seed, multiplier;
    bool u64;
    uint64_t quarter[MAP_QUARTERS]; /* quarter_slots */
    uint64_t ref_mask; /* MAP_REF, but for the bits below 64: a constant that needs no register */
    int (*get64)(tarn_map *map, uint64_t key, uint64_t *ret_value); /* as quick as the machine can */
    int (*get)(tarn_map *map, const void *key, size_t key_size, void *value, size_t room, size_t *ret_size);
    /* for quick look-ups, map_read.c */
    const void *quick_numbers; /* as this: changes of numbers */
    const void *quick_bytes; /* seg, if look-ups of byte strings may be quick here; else what no thread's seg is */
    const uint64_t *epoch;                        /* the participants' */
    char *base;                                   /* where the segment begins in this process */
    uint64_t zone;                                /* the data space's offset */
    uint64_t bucket_most, slots_most, entry_most; /* (learned) offsets: what begins no later is committed */
    uint64_t index; /* (learned) 2^n - 1: entries up to there are filled, and their segments known */
    struct map_segments *segments; /* (learned) */
    uint32_t learning;             /* by one thread at a time */
};

/* A key, hashed. */
struct key {
    uint64_t hash;
    const void *bytes; /* of a byte map */
    uint64_t size;
};

/* A bucket that is the right one for a hash as of `link`. */
struct where {
    struct bucket *bucket;
    uint64_t ref, link;
};

/* A slot: in a bucket or in one of its chain. */
struct place {
    struct bucket *bucket;
    struct pairs *slots;
    unsigned part, at;
};
static inline struct slot *place_slot(const struct place *p)
{
    return &p->slots->at[p->part][p->at];
}
/* The ref of a part's slots, of those at `slots`. */
static inline uint64_t part_slots(uint64_t slots, unsigned part)
{
    return slots + part * (MAP_SLOTS * sizeof(struct slot));
}
static inline uint64_t *place_tags(const struct place *p)
{
    return &p->bucket->tags[p->part].word[p->at / 8];
}

#define CHAIN_MOST 256u /* overflow buckets: no search is longer */

/* ---- hashes ---- */

/* A bijection, so that the hash is as good as the number, and never alike in all bits. The product's upper bits depend on all of the number's, and on the map's
 * secrets (multiply-shift: Dietzfelbinger and others, 1997); they become the lower ones, the index; the second makes the upper ones, the tag. */
#define HASH_SPREAD 0x9e3779b97f4a7c15ull
#define HASH_SPREAD_INVERSE 0xf1de83e19937733dull
static inline uint64_t hash_number(uint64_t seed, uint64_t multiplier, uint64_t x)
{
    return __builtin_bswap64((x ^ seed) * multiplier) * HASH_SPREAD;
}
static inline uint64_t number_hashed(uint64_t seed, uint64_t multiplier, uint64_t x)
{
    uint64_t inverse = multiplier; /* right in 3 bits, and in twice as many after each step */
    for (int i = 0; i < 5; i++)
        inverse *= 2 - multiplier * inverse;
    return __builtin_bswap64(x * HASH_SPREAD_INVERSE) * inverse ^ seed;
}
static inline uint64_t hash_bytes(uint64_t seed, const void *key, uint64_t size)
{
    return XXH3_64bits_withSeed(key, size, seed);
}
static inline uint64_t low_bits(unsigned n)
{
    return n < 64 ? (1ull << n) - 1 : ~0ull;
}
static inline unsigned part_of(uint64_t hash)
{
    return hash >> 52 & 3;
}
static inline unsigned tag_byte(uint64_t hash)
{
    return (uint8_t)(hash >> 54);
}
static inline unsigned tag_of(uint64_t hash)
{
    unsigned tag = tag_byte(hash);
    return tag + (tag < 1);
}
static inline unsigned quarter_of(uint64_t hash)
{
    return (unsigned)(hash >> 62);
}
/* The slots of a quarter. */
static inline uint64_t quarter_slots(unsigned quarter)
{
    return 0x3fffull << MAP_QUARTER * quarter;
}
/* Where a key of the hash can be, in a part with that head. */
static inline __attribute__((always_inline)) uint64_t slots_for(const tarn_map *m, uint64_t head, uint64_t hash)
{
    return m->quarter[hash >> 62] | -(head >> (hash >> 62) & 1);
}
/* Of some free slots, the one for a key of the hash. */
static inline unsigned slot_for(uint64_t free, uint64_t hash)
{
    uint64_t best = free & quarter_slots(quarter_of(hash));
    return (unsigned)__builtin_ctzll(best ? best : free);
}
static inline bool is_away(unsigned at, uint64_t hash)
{
    return !(quarter_slots(quarter_of(hash)) >> at & 1);
}
/* What a slot says while it is stored over: no hash that is looked for in that part. */
static inline uint64_t no_hash(uint64_t hash)
{
    return ~hash;
}
static inline bool is_right(uint64_t hash, uint64_t prefix, unsigned depth)
{
    return !((hash ^ prefix) & low_bits(depth));
}
/* ---- buckets ---- */

static inline bool map_block(const struct tarn *seg, uint64_t ref, uint64_t size)
{
    return !(ref & 15) && in_data(seg, ref, size);
}
/* The bucket at ref, or NULL. */
static inline struct bucket *bucket_at(const struct tarn *seg, uint64_t ref)
{
    return TARN_RARE(ref & 63 || !in_data(seg, ref, sizeof(struct bucket))) ? NULL : at_offset(seg, ref);
}
/* The bucket's slots, or NULL. */
static inline struct pairs *slots_of(const struct tarn *seg, const struct bucket *b)
{
    uint64_t ref = __atomic_load_n(&b->slots, __ATOMIC_RELAXED);
    return TARN_RARE(ref & 63 || !in_data(seg, ref, sizeof(struct pairs))) ? NULL : at_offset(seg, ref);
}

/* Bit s: slot s of the part has this tag (0: is free). Without branches: where in a line a key stands cannot be predicted. */
static inline __attribute__((always_inline)) uint64_t part_match(const struct tags *t, unsigned tag)
{
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const __m128i *v = (const __m128i *)(const void *)t;
    __m128i want = _mm_set1_epi8((char)tag);
    uint64_t a = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(v), want));
    uint64_t b = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(v + 1), want));
    uint64_t c = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(v + 2), want));
    uint64_t d = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(v + 3), want));
    compiler_barrier();
    return (a | b << 16 | c << 32 | d << 48) >> 8;
#elif defined(__ARM_NEON) && defined(__aarch64__) && defined(__AARCH64EL__) && !defined(__SANITIZE_THREAD__)
    const uint8_t *v = (const uint8_t *)t;
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t want = vdupq_n_u8((uint8_t)tag), a, b, c, d;
    a = vandq_u8(vceqq_u8(vld1q_u8(v), want), bit);
    b = vandq_u8(vceqq_u8(vld1q_u8(v + 16), want), bit);
    c = vandq_u8(vceqq_u8(vld1q_u8(v + 32), want), bit);
    d = vandq_u8(vceqq_u8(vld1q_u8(v + 48), want), bit);
    a = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    a = vpaddq_u8(a, a);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return vgetq_lane_u64(vreinterpretq_u64_u8(a), 0) >> 8;
#else
    uint64_t mask = 0, all = tag * 0x0101010101010101ull, low = 0x7f7f7f7f7f7f7f7full;
    for (unsigned i = 0; i < 7; i++) {
        uint64_t x = __atomic_load_n(&t->word[i], __ATOMIC_ACQUIRE) ^ all;
        x = ~(((x & low) + low) | x | low); /* 0x80 in each byte that was 0 */
        mask |= (x * 0x0002040810204081ull >> 56) << 8 * i;
    }
    return mask;
#endif
}
static inline uint64_t part_free(const struct tags *t)
{
    return part_match(t, 0);
}
static inline uint64_t part_used(const struct tags *t)
{
    return part_match(t, 0) ^ low_bits(MAP_SLOTS);
}
static inline unsigned tag_at(const struct tags *t, unsigned at)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __atomic_load_n((const uint8_t *)t->word + at, __ATOMIC_ACQUIRE);
#else
    return load64(&t->word[at / 8]) >> 8 * (at % 8) & 0xff;
#endif
}
static inline uint64_t tag_bits(unsigned tag, unsigned at)
{
    return (uint64_t)tag << 8 * (at % 8);
}

/* Is an aligned load of 16 bytes one access on this machine? (A variable for tests.) */
extern bool map_pairs_whole;
#if defined(__x86_64__) && (!defined(__SANITIZE_THREAD__) || defined(TARN_EXPLORED))
#define MAP_PAIRS 1
static inline struct slot pair_whole(const struct slot *at)
{
    __m128i v;
#ifdef TARN_EXPLORED
    v = _mm_load_si128((const __m128i *)(const void *)at);
#else
    __asm__ volatile("movdqa %1, %0" : "=x"(v) : "m"(*at));
#endif
    return (struct slot){(uint64_t)_mm_cvtsi128_si64(v), (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v))};
}
#else
#define MAP_PAIRS 0
#endif

/* What a slot says at one moment. b: the first bucket of its chain. false: it is being stored over just now. Where no load takes both
 * words at once, `reuse` and two looks at the hash tell (docs/map.md, 'Readers'). */
static inline bool pair_load(const struct bucket *b, const struct slot *at, struct slot *ret)
{
#if MAP_PAIRS
    if (!TARN_RARE(!map_pairs_whole)) {
        *ret = pair_whole(at);
        return true;
    }
#endif
    uint64_t count = load64(&b->reuse), hash = load64(&at->hash), word = load64(&at->word);
    *ret = (struct slot){hash, word};
    return load64(&at->hash) == hash && load64(&b->reuse) == count;
}

/* ---- the directory ---- */

/* Where the ref of segment n stands; *ret_bad: nowhere, damaged. NULL: there is no such table yet. */
static inline uint64_t *segment_place(const struct tarn *seg, struct map *map, uint64_t n, bool *ret_bad)
{
    unsigned k = n < MAP_SEGMENTS ? 0 : 60 - (unsigned)__builtin_clzll(n);
    uint64_t first = k ? (uint64_t)MAP_SEGMENTS << (k - 1) : 0, table;
    if (!k)
        return &map->segment[n];
    table = k < MAP_TABLES ? load64(&map->table[k]) : 0;
    if (!table)
        return NULL;
    if (table & 7 || !in_data(seg, table, first * 8)) {
        *ret_bad = true;
        return NULL;
    }
    return (uint64_t *)at_offset(seg, table) + (n - first);
}

/* The directory's entry i; NULL: there is none yet, or *ret_bad. */
static inline uint64_t *entry_at(const struct tarn *seg, struct map *map, uint64_t i, bool *ret_bad)
{
    const uint64_t *place = segment_place(seg, map, i >> MAP_SEGMENT_SHIFT, ret_bad);
    uint64_t ref = place ? load64(place) : 0;
    if (!ref)
        return i < MAP_FIRST ? &map->first[i] : NULL;
    if (TARN_RARE(ref & 7 || !in_data(seg, ref, 8 * MAP_SEGMENT))) {
        *ret_bad = true;
        return NULL;
    }
    return (uint64_t *)at_offset(seg, ref) + (i & (MAP_SEGMENT - 1));
}

/* ---- entries of byte maps ---- */

/* Is the entry at ref that of this key? 1, 0, or -EUCLEAN. */
static inline int entry_is(const tarn_map *m, uint64_t ref, const struct key *k)
{
    const struct entry_bytes *e = at_offset(m->seg, ref & MAP_REF);
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

/* Retire a block of the map when the open section commits. heap_free would look through the whole log for a second free of it, which the
 * bucket's lock rules out; whether it is a block at all is checked when the free is applied. 0, -ENOSPC. */
int map_retire_block(struct self *s, uint64_t ref);

/* ---- map_read.c ---- */

/* Of a handle that is being made. First, before there is a map: its private memory. 0, -ENOMEM. Then, with all else set: make ready for quick
 * look-ups, as far as that is allowed here. */
int map_prepare(tarn_map *m);
void map_quicken(tarn_map *m);
void map_forget(tarn_map *m); /* its memory, but for the handle's own */
/* What quick look-ups, and first guesses at a bucket, may rely on from now on. */
void map_learn(tarn_map *m);
static inline uint64_t learned(const uint64_t *word)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    return *word; /* as an atomic load, gcc would give it an instruction of its own */
#else
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
#endif
}
/* The entry that the directory, as far as this process knows it, has for the hash. */
static inline uint64_t map_guess(const tarn_map *m, uint64_t hash, uint64_t *ret_index)
{
    uint64_t index = *ret_index = learned(&m->index), i = hash & index;
    const struct map_segments *known = __atomic_load_n(&m->segments, __ATOMIC_ACQUIRE);
    const uint64_t *segment =
        __atomic_load_n(&known->at[i >> MAP_SEGMENT_SHIFT], __ATOMIC_RELAXED); /* index came after it */
    return load64(&segment[i & (MAP_SEGMENT - 1)]);
}

/* ---- map_bucket.c: where a hash belongs; structure ---- */

/* The bucket of a hash. 0, or -EUCLEAN without a sentence. Takes no lock. */
int map_descend(const tarn_map *m, uint64_t hash, struct where *ret_where);
/* The same by one hint, without asking the directory again: 1: it is stale. */
int map_follow(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *ret_where);

/* In an open section: the bucket of a hash, locked until that ends, cleaned. *ret_fresh: its lock was taken by this call. */
int map_take(struct self *s, tarn_map *m, uint64_t hash, struct where *ret_where, bool *ret_fresh);
/* Split a bucket whose lock was taken just now. 1: done; 0: it is not to be split; or -ENOSPC and kin. */
int map_split(struct self *s, tarn_map *m, struct where *w);
/* A free slot for the hash: in the bucket itself, or in its overflow chain too, which may have to grow. 1, 0: none; or -ENOSPC and kin. */
enum room { FIRST_ONLY, CHAIN, CHAIN_GROW };
int map_free_slot(struct self *s, tarn_map *m, const struct where *w, uint64_t hash, enum room room,
                  struct place *ret_place);
/* In its own section, at its end: retire a chain of overflow buckets that is empty. */
int map_unchain(struct self *s, tarn_map *m, struct bucket *b);
/* The hash of an entry's key. 0, -EUCLEAN. */
int map_hash_of(const tarn_map *m, uint64_t ref, uint64_t *ret_hash);

/* ---- map_each.c ---- */

/* The keys of one bucket's chain as they were at one moment. Private memory, reused. */
struct snapshot {
    struct slot *pair;
    uint64_t count, room;
    uint64_t *set, set_room; /* by open addressing: 1 + the numbers of pairs */
    uint64_t twin;           /* the hash of a key that is there twice, one of which was dropped; or 0 */
    uint64_t unsaid;         /* keys in another quarter than their own, of which the head says nothing */
    uint64_t strays;         /* tags of slots that are not of this part, or this bucket */
    uint64_t steps; /* slots looked at since the walk began: hostile bytes must not keep it for ever (see steps_most) */
    struct where where;
};
void snapshot_free(struct snapshot *p);
int map_snapshot(const tarn_map *m, uint64_t hash, struct snapshot *ret);
/* A key that was removed and put again while the slots were read can have been seen in both, and one that is folded from the chain twice:
 * it is left there once. 0, -ENOMEM, -EUCLEAN. */
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
int map_check(struct tarn *seg, uint64_t root, const struct collection_checker *k);
/* In the section that unbinds it: retire the whole map, root included. Who changes it meanwhile is waited for; who comes later gets -ESTALE. */
int map_retire(struct self *s, uint64_t root);

#endif

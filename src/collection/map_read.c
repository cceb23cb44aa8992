/* collection/map_read.c - reading a map without a lock.
 *
 * A quick look-up finds a key in its bucket: pin, directory entry, tags, slot, unpin, some hundred instructions and two cache lines that are
 * not at hand, so that several look-ups wait for memory at one time; that a key is not there, it finds by the tags alone. Whatever else there may
 * be, and whatever looks wrong, is left to the ordinary look-up, which begins anew.
 * Writable attachment: the reader pins (as tarn_read_begin), so what it reaches is not reused until it is done. Read-only attachment: it
 * copies, and the copy is good if the epoch moved by less than two meanwhile (docs/crash-core.md, 'Grace'); else again, some 50 ms, then -EAGAIN.
 * Found: the slot had a tag, and said hash and word at one moment; an entry behind it cannot change but for an 8-byte value, which is read by one load.
 * Not found: after the tags were read, the part's depth (or the bucket's link) says still that the key would be there. Keys move within a
 * chain only from overflow buckets to the first one, which is therefore looked at again, last.
 * Readers may see what an open section has stored, never half of it. */
#include <stdlib.h>

#include "collection/map.h"

#define SPLITS_MOST 1000

bool map_pairs_whole;

#if MAP_PAIRS
__attribute__((constructor)) static void look_at_machine(void)
{
    map_pairs_whole = __builtin_cpu_supports("avx"); /* there, Intel and AMD say, aligned 16 bytes are loaded at once */
}
#endif

/* What is wanted of a found key. */
struct want {
    void *value;
    uint64_t room, size;
};

/* Copy the value of the entry at ref, if that is the key's. 1, 0, -EUCLEAN. */
static inline int copy_entry(const tarn_map *m, uint64_t ref, const struct key *k, struct want *want)
{
    const struct entry_bytes *e = at_offset(m->seg, ref & MAP_REF);
    int is = entry_is(m, ref, k);
    if (is != 1)
        return is;
    uint64_t size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED),
             n = size < want->room ? size : want->room, v;
    if (TARN_RARE(!in_data(m->seg, ref, sizeof *e + size + k->size)))
        return -EUCLEAN;
    if (size == 8) {
        v = __atomic_load_n((const uint64_t *)(e + 1), __ATOMIC_ACQUIRE);
        if (n)
            memcpy(want->value, &v, n);
    } else if (n)
        memcpy(want->value, e + 1, n);
    want->size = size;
    return 1;
}

/* Is it, after the slot was read? A number that was removed, and is being put again in the same slot, is not there before its tag is. */
static inline __attribute__((always_inline)) bool tag_still_there(const struct tags *t, unsigned at, uint64_t hash)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return tag_at(t, at) == tag_of(hash);
}

/* Look through one bucket's part; first: its chain's first bucket. 1: copied; 0, -EUCLEAN. */
static inline int search_part(const tarn_map *m, const struct bucket *first, const struct bucket *b,
                              const struct key *k, struct want *want)
{
    unsigned part = part_of(k->hash);
    uint64_t mask = part_match(&b->tags[part], tag_of(k->hash));
    const struct pairs *slots = mask ? slots_of(m->seg, b) : NULL; /* read after a tag was there */
    struct slot pair;
    if (mask && !slots)
        return -EUCLEAN;
    for (; mask; mask &= mask - 1) {
        const struct slot *slot = &slots->at[part][__builtin_ctzll(mask)];
        int e;
        for (int i = 0; !pair_load(first, slot, &pair); i++)
            if (i == SPLITS_MOST)
                return -EUCLEAN; /* writers cannot be so quick */
        if (pair.hash != k->hash)
            continue;
        if (m->u64) {
            if (!tag_still_there(&b->tags[part], (unsigned)__builtin_ctzll(mask), k->hash))
                continue; /* removed, and perhaps about to be put again */
            memcpy(want->value, &pair.word, 8);
            return 1;
        }
        e = copy_entry(m, pair.word, k, want);
        if (e)
            return e;
    }
    return 0;
}

/* A chain, then its first bucket again, to which keys may have moved from the chain. 1, 0, -EUCLEAN. */
static __attribute__((noinline)) int search_chain(const tarn_map *m, const struct where *w, uint64_t ref,
                                                  const struct key *k, struct want *want)
{
    int e = 0;
    for (unsigned n = 0; ref && !e; n++) {
        const struct bucket *b = bucket_at(m->seg, ref);
        if (!b || n > CHAIN_MOST)
            return -EUCLEAN;
        ref = load64(&b->overflow);
        e = search_part(m, w->bucket, b, k, want);
    }
    return e ? e : search_part(m, w->bucket, w->bucket, k, want);
}

/* Find the key and copy its value, pinned or to be validated. 1, 0, -EUCLEAN. */
static int search(const tarn_map *m, const struct key *k, struct want *want)
{
    struct where w;
    for (int i = 0; i < SPLITS_MOST; i++) {
        uint64_t overflow;
        int e = map_descend(m, k->hash, &w);
        if (e < 0)
            return e;
        overflow = load64(&w.bucket->overflow);
        e = search_part(m, w.bucket, w.bucket, k, want);
        if (!e && overflow)
            e = search_chain(m, &w, overflow, k, want);
        if (e)
            return e;
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the tags were read before the link is, again */
        if (__atomic_load_n(&w.bucket->link, __ATOMIC_RELAXED) == w.link)
            return 0;
    }
    return -EUCLEAN;
}

/* Without a pin: what was read counts only if nothing can have been reused. */
static __attribute__((noinline)) int get_readonly(const tarn_map *m, const struct key *k, struct want *want)
{
    int e;
    for (struct again a = {0}; again_look(m->seg, &a);) {
        e = search(m, k, want);
        if (again_is_good(m->seg, &a))
            return e;
    }
    return again_given_up();
}

static __attribute__((noinline)) int not_found(const tarn_map *m, int e)
{
    if (e == 0)
        return fail_constant(-ENOENT, "the map has no such key");
    if (e == -EUCLEAN)
        return fail(e, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)m->ref);
    return e;
}

static int get(const tarn_map *m, const struct key *k, struct want *want)
{
    struct self *s;
    int e = 0;
    if (m->seg->readonly)
        e = get_readonly(m, k, want);
    else {
        s = self_of(m->seg, &e);
        if (!s)
            return e;
        epoch_pin(s);
        e = search(m, k, want);
        epoch_unpin(s);
    }
    return e == 1 ? 0 : not_found(m, e);
}

/* ---- what a handle has learned ---- */

/* Room for the segments up to number n - 1. NULL: no memory. */
static struct map_segments *segments_room(tarn_map *m, uint64_t n)
{
    struct map_segments *now = m->segments, *more;
    uint64_t room = now ? now->room : 4;
    if (now && n <= room)
        return now;
    while (room < n)
        room *= 2;
    more = calloc(1, sizeof *more + room * sizeof more->at[0]);
    if (!more)
        return NULL;
    more->room = room;
    more->before = now;
    for (uint64_t i = 0; now && i < now->room; i++)
        more->at[i] = now->at[i];
    return more;
}

/* Segments are never moved, and committed memory stays so. Threads of this process may be at it at the same time: one learns, the others go the
 * ordinary way. */
void map_learn(tarn_map *m)
{
    uint64_t committed = committed_of(m->seg), filled = load64(&m->map->filled), index, n;
    struct map_segments *known;
    uint64_t end = m->zone + committed;
    if (TARN_RARE(learned(&m->entry_most) != end - 16 && committed >= sizeof(struct pairs))) {
        __atomic_store_n(&m->bucket_most, end - sizeof(struct bucket), __ATOMIC_RELAXED);
        __atomic_store_n(&m->slots_most, end - sizeof(struct pairs), __ATOMIC_RELAXED);
        __atomic_store_n(&m->entry_most, end - 16, __ATOMIC_RELAXED);
    }
    if (filled - 1 >= 1ull << MAP_DEPTH_MOST)
        return; /* damaged: the ordinary look-up will say so */
    index = (1ull << (63 - __builtin_clzll(filled))) - 1;
    if (load64(&m->map->buckets) < (index / 2 + 1) / 32 * 33)
        index /= 2; /* of the deepest there are few yet: a smaller directory is worth more */
    if (index <= learned(&m->index) || __atomic_exchange_n(&m->learning, 1, __ATOMIC_ACQUIRE))
        return;
    n = (index >> MAP_SEGMENT_SHIFT) + 1;
    known = 8 * n <= committed ? segments_room(m, n) : NULL;
    for (uint64_t i = 0; known && i < n; i++) {
        bool bad = false;
        const uint64_t *entry = entry_at(m->seg, m->map, i << MAP_SEGMENT_SHIFT, &bad);
        if (bad || !entry || (index >= MAP_FIRST && entry == m->map->first))
            known = known == m->segments ? NULL : (free(known), NULL); /* damaged, too */
        else
            __atomic_store_n(&known->at[i], entry, __ATOMIC_RELEASE);
    }
    if (known) {
        __atomic_store_n(&m->segments, known, __ATOMIC_RELEASE);
        __atomic_store_n(&m->index, index, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&m->learning, 0, __ATOMIC_RELEASE);
}

void map_forget(tarn_map *m)
{
    for (struct map_segments *now = m->segments, *before; now; now = before) {
        before = now->before;
        free(now);
    }
}

/* ---- the ordinary look-up, as calls ---- */

static __attribute__((noinline)) int get_bytes(tarn_map *map, const void *key, size_t key_size, void *value,
                                               size_t room, size_t *ret_size)
{
    struct key k = {.bytes = key, .size = key_size};
    struct want want = {.value = value, .room = room};
    int e;
    if (TARN_RARE(map->u64))
        return fail(-EPROTO, "the map is one of 64-bit numbers: use tarn_map_get64");
    if (TARN_RARE(key_size - 1 >= 65535 || !key))
        return fail(-EINVAL, "a map's key is 1 to 65535 bytes, not %zu", key_size);
    map_learn(map);
    k.hash = hash_bytes(map->seed, key, key_size);
    e = get(map, &k, &want);
    if (e == 0 && ret_size)
        *ret_size = want.size;
    return e;
}

static __attribute__((noinline)) int get_number(tarn_map *map, uint64_t hash, uint64_t *ret_value)
{
    uint64_t value;
    struct key k = {.hash = hash};
    struct want want = {.value = &value};
    int e;
    if (TARN_RARE(!map->u64))
        return fail(-EPROTO, "the map is one of bytes: use tarn_map_get");
    map_learn(map);
    e = get(map, &k, &want);
    if (e == 0)
        *ret_value = value;
    return e;
}

static int get64_ordinary(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    return get_number(map, hash_number(map->seed, map->multiplier, key), ret_value);
}

/* ---- quick look-ups ---- */

/* The part that the directory has for the hash; false: damaged. Why a bucket's header is not looked at: docs/map.md, 'Readers'. What lies before the data
 * space is mapped too, so one bound is enough. */
static inline __attribute__((always_inline)) bool quick_part(const tarn_map *m, uint64_t hash, uint64_t *ret_entry,
                                                             uint64_t *ret_index, const struct tags **ret)
{
    uint64_t entry = map_guess(m, hash, ret_index), ref = entry & m->ref_mask;
    *ret_entry = entry;
    *ret = (const struct tags *)(m->base + ref + (hash >> 46 & 0xc0) + 64);
    return !TARN_RARE(ref > learned(&m->bucket_most));
}
/* Do the part's slots stand in what is committed? Asked after a tag was there. */
static inline __attribute__((always_inline)) bool quick_slots(const tarn_map *m, uint64_t head,
                                                              const struct slot **ret)
{
    uint64_t ref = head & m->ref_mask;
    *ret = (const struct slot *)(m->base + ref);
    return !TARN_RARE(ref > learned(&m->slots_most));
}

/* Would a key of this hash be in this part, where the head that was `looked` at said, and in no chain? Asked after tags and slots were read: a key that left them left its mark here before. The entry's
 * bucket has the prefix that the index has in the entry's depth; where that is more than the index has bits, they are 0. */
static inline __attribute__((always_inline)) bool pair_is_there(uint64_t index, uint64_t entry,
                                                                const struct tags *part, uint64_t looked,
                                                                uint64_t hash)
{
    uint64_t head;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    head = load64(&part->head);
    return head == looked && HEAD_UPPER(head) == LINK_DEPTH(entry) &&
           !(hash & ~index & low_bits(LINK_DEPTH(entry)));
}

/* The calling thread's self if it may look quickly, else NULL. */
static inline struct self *quick_self(const void *quick)
{
    struct self *s = self_last;
    return TARN_RARE(!s || s->seg != quick) ? NULL : s;
}

/* Copy the value, if the entry is the key's: 0 with its size; 1: it is not; -1: something is wrong. */
static inline int quick_copy(const tarn_map *m, uint64_t ref, const struct key *k, struct want *want)
{
    uint64_t size, most = learned(&m->entry_most), word;
    const struct entry_bytes *e;
    if (TARN_RARE(ref > most || ref & 15))
        return -1;
    e = (const struct entry_bytes *)(m->base + ref);
    if (__atomic_load_n(&e->key_size, __ATOMIC_RELAXED) != k->size)
        return 1;
    size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
    if (sizeof *e + size + k->size > most + 16 - ref)
        return -1;
    if (memcmp((const char *)(e + 1) + size, k->bytes, k->size))
        return 1;
    if (size == 8) {
        word = load64((const uint64_t *)(e + 1));
        if (want->room >= 8)
            memcpy(want->value, &word, 8);
        else if (want->room)
            memcpy(want->value, &word, want->room);
    } else if (size && want->room)
        memcpy(want->value, e + 1, size < want->room ? size : want->room);
    want->size = size;
    return 0;
}

#define QUICK(name) name##_plain
#define QUICK_FOR
#define QUICK_MATCH(part, tag) part_match(part, tag)
#include "collection/map_quick.h"

/* The same, with wider instructions where the machine has them. */
#if MAP_PAIRS && !defined(TARN_EXPLORED)
#define QUICK_FOR __attribute__((target("avx2,bmi,bmi2")))
QUICK_FOR static inline __attribute__((always_inline)) uint64_t match_avx2(const struct tags *part, unsigned tag)
{
    __m256i want = _mm256_set1_epi8((char)tag);
    uint64_t low = (unsigned)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_load_si256((const __m256i *)(const void *)part), want));
    uint64_t high = (unsigned)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_load_si256((const __m256i *)(const void *)part + 1), want));
    compiler_barrier();
    return (low | high << 32) >> 8;
}
#define QUICK(name) name##_avx2
#define QUICK_MATCH(part, tag) match_avx2(part, tag)
#include "collection/map_quick.h"
#define QUICK_FOR __attribute__((target("avx512bw,bmi,bmi2")))
QUICK_FOR static inline __attribute__((always_inline)) uint64_t match_avx512(const struct tags *part, unsigned tag)
{
    uint64_t mask;
    /* A register above 15 needs no vzeroupper, and none of the frame that gcc makes for wide ones. */
    __asm__ volatile("vpbroadcastb %1, %%zmm16\n\tvpcmpeqb %2, %%zmm16, %%k1\n\tkmovq %%k1, %0"
                     : "=r"(mask)
                     : "r"(tag), "m"(*part)
                     : "xmm16", "k1", "memory");
    return mask >> 8;
}
#define QUICK(name) name##_avx512
#define QUICK_MATCH(part, tag) match_avx512(part, tag)
#include "collection/map_quick.h"
#endif

int tarn_map_get64(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    return map->get64(map, key, ret_value);
}

int tarn_map_get(tarn_map *map, const void *key, size_t key_size, void *value, size_t room, size_t *ret_size)
{
    return map->get(map, key, key_size, value, room, ret_size);
}

int map_prepare(tarn_map *m)
{
    m->segments = segments_room(m, 1);
    return m->segments ? 0 : -ENOMEM;
}

void map_quicken(tarn_map *m)
{
    bool may = !m->seg->readonly && !m->seg->exchange_unlock; /* a pin is a plain store */
    m->quick_numbers = may && m->u64 ? (void *)m->seg : (void *)m;
    m->quick_bytes = may && !m->u64 ? (void *)m->seg : (void *)m;
    m->get64 = get64_plain;
    m->get = get_plain;
#if MAP_PAIRS && !defined(TARN_EXPLORED)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2")) {
        m->get64 = get64_avx512;
        m->get = get_avx512;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        m->get64 = get64_avx2;
        m->get = get_avx2;
    }
#endif
    if (!m->u64 || (MAP_PAIRS && !map_pairs_whole))
        m->get64 = get64_ordinary;
    m->ref_mask = MAP_REF ^ 63;
    for (unsigned q = 0; q < MAP_QUARTERS; q++)
        m->quarter[q] = quarter_slots(q);
    m->zone = m->seg->geometry.zone[ZONE_DATA];
    m->base = m->seg->base;
    m->epoch = &participants_of(m->seg)->epoch;
    m->segments->at[0] = m->map->first;
    map_learn(m);
}

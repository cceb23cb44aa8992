/* collection/map_read.c - reading a map without a lock.
 *
 * A quick look-up finds an entry in its home line: pin, directory entry, slots, entry, unpin, some hundred instructions and three cache lines that are
 * not at hand, so that several look-ups wait for memory at one time. Whatever else there may be, and whatever looks wrong, is left to the
 * ordinary look-up, which begins anew.
 * Writable attachment: the reader pins (as tarn_read_begin), so what it reaches is not reused until it is done. Read-only attachment: it
 * copies, and the copy is good if the epoch moved by less than two meanwhile (docs/crash-core.md, 'Grace'); else again, some 50 ms, then -EAGAIN.
 * Found: the slot's word was there, and the entry behind it cannot change but for an 8-byte value, which is read by one load.
 * Not found: the bucket's link is the same as before the slots were read, so none of them had moved to a sibling. Words move within a
 * chain only from overflow buckets to the first one, which is therefore looked at again, last.
 * Readers may see what an open section has stored, never half of it. */
#include "collection/map.h"

#define SPLITS_MOST 1000

/* What is wanted of a found entry. */
struct want {
    void *value;
    uint64_t room, size;
};

/* Search a chain, then its first bucket again, to which words may have moved from the chain, or in it to their home line. 1, 0,
 * -EUCLEAN. */
static __attribute__((noinline)) int chain_search(const tarn_map *m, const struct where *w, uint64_t ref,
                                                  uint64_t skip, const struct key *k, bool u64, struct hit *h)
{
    uint64_t lines;
    const struct bucket *b;
    int e = 0;
    for (unsigned n = 0; ref && !e; n++) {
        b = bucket_at(m->seg, ref, &lines);
        if (!b || n > CHAIN_MOST)
            return -EUCLEAN;
        ref = load64(&b->overflow);
        e = bucket_scan(m, b, lines, skip, k, u64, h);
    }
    if (e)
        return e;
    b = bucket_at(m->seg, w->ref, &lines);
    return b ? bucket_scan(m, b, lines, skip, k, u64, h) : -EUCLEAN;
}

/* Find the key, pinned or to be validated. 1, 0, -EUCLEAN. */
static inline int search(const tarn_map *m, const struct key *k, bool u64, struct hit *h)
{
    struct where w;
    for (int i = 0; i < SPLITS_MOST; i++) {
        uint64_t overflow, skip;
        int e = map_descend_fast(m, k->hash, &w);
        if (TARN_RARE(e < 0))
            return e;
        skip = w.link & LINK_CLEANING ? SLOT_MOVES : 0;
        overflow = load64(&w.bucket->overflow);
        e = bucket_scan(m, w.bucket, w.lines, skip, k, u64, h);
        if (e)
            return e;
        if (TARN_RARE(overflow || w.link & LINK_CLEANING)) {
            e = chain_search(m, &w, overflow, skip, k, u64, h);
            if (e)
                return e;
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the slots were read before the link is, again */
        if (__atomic_load_n(&w.bucket->link, __ATOMIC_RELAXED) == w.link)
            return 0;
    }
    return -EUCLEAN;
}

/* Copy the value of a found entry. 0, -EUCLEAN. */
static inline int copy_value(const tarn_map *m, uint64_t word, const struct key *k, bool u64, struct want *want)
{
    uint64_t ref = word & MAP_REF, v;
    if (u64) {
        v = __atomic_load_n(&((const struct entry_u64 *)at_offset(m->seg, ref))->value, __ATOMIC_ACQUIRE);
        memcpy(want->value, &v, 8);
        return 0;
    }
    const struct entry_bytes *e = at_offset(m->seg, ref);
    uint64_t size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED), n = size < want->room ? size : want->room;
    if (TARN_RARE(!in_data(m->seg, ref, sizeof *e + size + k->size)))
        return -EUCLEAN;
    if (size == 8) {
        v = __atomic_load_n((const uint64_t *)(e + 1), __ATOMIC_ACQUIRE);
        if (n)
            memcpy(want->value, &v, n);
    } else if (n)
        memcpy(want->value, e + 1, n);
    want->size = size;
    return 0;
}

static inline int search_and_copy(const tarn_map *m, const struct key *k, bool u64, struct want *want)
{
    struct hit h;
    int e = search(m, k, u64, &h);
    if (e == 1)
        return copy_value(m, h.word, k, u64, want) ? -EUCLEAN : 1;
    return e;
}

/* Without a pin: what was read counts only if nothing can have been reused. */
static __attribute__((noinline)) int get_readonly(const tarn_map *m, const struct key *k, bool u64,
                                                  struct want *want)
{
    int e;
    for (struct again a = {0}; again_look(m->seg, &a);) {
        e = search_and_copy(m, k, u64, want);
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

static inline int get(const tarn_map *m, const struct key *k, bool u64, struct want *want)
{
    struct self *s;
    int e = 0;
    if (TARN_RARE(m->seg->readonly))
        e = get_readonly(m, k, u64, want);
    else {
        s = self_of(m->seg, &e);
        if (TARN_RARE(!s))
            return e;
        epoch_pin(s);
        e = search_and_copy(m, k, u64, want);
        epoch_unpin(s);
    }
    return e == 1 ? 0 : not_found(m, e);
}

/* A word of the handle that map_learn may be storing. As an atomic load, gcc would give it an instruction of its own. */
static inline uint64_t learned(const uint64_t *word)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    return *word;
#else
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
#endif
}

/* What quick look-ups may rely on from now on: chunks of the directory are never moved, and committed memory stays so. Threads of this process
 * may be at it at the same time. */
static void map_learn(tarn_map *m)
{
    uint64_t committed = committed_of(m->seg), depth = load64(&m->map->depth);
    if (TARN_RARE(learned(&m->entry_most) != committed - 16 && committed >= 64 * (1 + MAP_LINES))) {
        __atomic_store_n(&m->bucket_most, committed - 64 * (1 + MAP_LINES), __ATOMIC_RELAXED);
        __atomic_store_n(&m->entry_most, committed - 16, __ATOMIC_RELAXED);
    }
    if (TARN_RARE(depth <= MAP_DEPTH_MOST && (1ull << depth) - 1 > learned(&m->index))) {
        for (unsigned k = 0; k <= depth; k++) {
            uint64_t first = k ? 1ull << (k - 1) : 0, n = k ? first : 1, ref = load64(&m->map->chunk[k]);
            if (ref & 7 || !in_data(m->seg, ref, 8 * n))
                return; /* damaged: the ordinary look-up will say so */
            __atomic_store_n(&m->chunk[k], (uintptr_t)at_offset(m->seg, ref) - 8 * first, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&m->index, (1ull << depth) - 1, __ATOMIC_RELEASE);
    }
}

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
    e = get(map, &k, false, &want);
    if (e == 0 && ret_size)
        *ret_size = want.size;
    return e;
}

static __attribute__((noinline)) int get_number(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    uint64_t value;
    struct key k = {.hash = hash_number(map->seed, key), .number = key};
    struct want want = {.value = &value};
    int e;
    if (TARN_RARE(!map->u64))
        return fail(-EPROTO, "the map is one of bytes: use tarn_map_get");
    map_learn(map);
    e = get(map, &k, true, &want);
    if (e == 0)
        *ret_value = value;
    return e;
}

/* ---- quick look-ups ---- */

void map_quicken(tarn_map *m)
{
    const uint64_t *hint = directory_at(m->seg, m->map, 0);
    bool may = !m->seg->readonly && !m->seg->exchange_unlock && hint;
    if (may)
        m->chunk[0] = (uintptr_t)hint;
    m->quick64 = may && m->u64 ? (void *)m->seg : (void *)m;
    m->quick_bytes = may && !m->u64 ? (void *)m->seg : (void *)m;
    m->zone = m->seg->geometry.zone[ZONE_DATA];
    m->data = at_offset(m->seg, m->zone);
    m->epoch = &participants_of(m->seg)->epoch;
    map_learn(m);
}

/* Of the line's first slot whose upper 16 bits are those of `upper`: 1 + its index twice; 0: none. Without branches (see line_match). */
static inline uint64_t first_match(const uint64_t *slot, uint64_t upper)
{
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const __m128i *v = (const __m128i *)slot;
    __m128i want = _mm_shuffle_epi32(_mm_cvtsi64_si128((int64_t)upper), 0x55), low, high;
    __m128 a = _mm_castsi128_ps(_mm_loadu_si128(v)), b = _mm_castsi128_ps(_mm_loadu_si128(v + 1));
    __m128 c = _mm_castsi128_ps(_mm_loadu_si128(v + 2)), d = _mm_castsi128_ps(_mm_loadu_si128(v + 3));
    low = _mm_cmpeq_epi16(_mm_castps_si128(_mm_shuffle_ps(a, b, 0xdd)),
                          want); /* the words' upper halves, of which the upper halves count */
    high = _mm_cmpeq_epi16(_mm_castps_si128(_mm_shuffle_ps(c, d, 0xdd)), want);
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high)) & 0xaaaa;
    return mask ? (unsigned)__builtin_ctz(mask) : 0;
#else
    unsigned mask = 0;
    for (unsigned i = 0; i < 8; i++)
        mask |= (unsigned)(__atomic_load_n(&slot[i], __ATOMIC_RELAXED) >> 48 == upper >> 48) << (2 * i + 1);
    return mask ? (unsigned)__builtin_ctz(mask) : 0;
#endif
}

/* Where, from the data space's beginning on, the entry stands that may be the hash's. Why a bucket's header is not looked at: docs/map.md,
 * 'Readers'. Every bucket has MAP_LINES lines at least; if it has more, the key may not be in this one. Refs are multiples of 16: one that is
 * not, which only damage makes, is taken for the one before. */
static inline __attribute__((always_inline)) bool quick_find(const tarn_map *m, uint64_t hash, uint64_t *ret_at)
{
    uint64_t upper = hash >> 49 << 49; /* of the slot's word: {tag, no MOVES} */
    uint64_t i = hash & learned(&m->index),
             line = ((hash >> 41 & 0xff) * (64 * MAP_LINES) >> 8) & ~63ull /* home_line, in bytes */, at, found;
    unsigned k = 63u ^ (unsigned)__builtin_clzll(2 * i + 1);
    const uint64_t *slot;
    at = (load64((const uint64_t *)(learned(&m->chunk[k]) + 8 * i)) - m->zone) & ~15ull;
    if (TARN_RARE(at > learned(&m->bucket_most)))
        return false;
    slot = (const uint64_t *)(m->data + at + line + sizeof(struct bucket));
    found = first_match(slot, upper);
    if (TARN_RARE(!found))
        return false;
    at = ((load64((const uint64_t *)((const char *)slot + 4 * found - 4)) ^ upper) - m->zone) &
         ~15ull;                                 /* pairs with the store of a filled entry's slot */
    if (TARN_RARE(at > learned(&m->entry_most))) /* so it is, too, if the word has changed */
        return false;
    *ret_at = at;
    return true;
}

static inline __attribute__((always_inline)) bool quick_number(const tarn_map *m, uint64_t key,
                                                               const struct entry_u64 **ret_entry)
{
    uint64_t at;
    if (!quick_find(m, hash_number(m->seed, key), &at))
        return false;
    *ret_entry = (const struct entry_u64 *)(m->data + at);
    return __atomic_load_n(&(*ret_entry)->key, __ATOMIC_RELAXED) == key;
}

/* The calling thread's self if it may look quickly, else NULL. */
static inline struct self *quick_self(const void *quick)
{
    struct self *s = self_last;
    return TARN_RARE(!s || s->seg != quick) ? NULL : s;
}

static __attribute__((noinline)) int get_number_pinned(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    const struct entry_u64 *e;
    if (!quick_number(map, key, &e))
        return get_number(map, key, ret_value);
    *ret_value = load64(&e->value);
    return 0;
}

/* Here the pin is not counted in read_depth: nothing else happens in this thread until it ends, or until the ordinary look-up makes it its own. */
int tarn_map_get64(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    struct self *s = quick_self(map->quick64);
    struct record *r;
    const struct entry_u64 *e;
    if (TARN_RARE(!s))
        return get_number(map, key, ret_value);
    if (TARN_RARE(s->read_depth))
        return get_number_pinned(map, key, ret_value);
    r = s->record;
    store64(&r->epoch, 1 + load64(map->epoch)); /* pairs with the membarrier of epoch_advance */
    if (TARN_RARE(!quick_number(map, key, &e)))
        return get_number(map, key, ret_value);
    *ret_value = load64(&e->value);
    store64(&r->epoch, 0);
    return 0;
}

/* Copy the value, if the entry is the key's: 0 with its size, else 1. */
static inline int quick_copy(const tarn_map *m, uint64_t at, const struct key *k, struct want *want)
{
    const struct entry_bytes *e = (const struct entry_bytes *)(m->data + at);
    uint64_t size, end = learned(&m->entry_most) + 16, word;
    if (__atomic_load_n(&e->key_size, __ATOMIC_RELAXED) != k->size)
        return 1;
    size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
    if (sizeof *e + size + k->size > end - at || memcmp((const char *)(e + 1) + size, k->bytes, k->size))
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

int tarn_map_get(tarn_map *map, const void *key, size_t key_size, void *value, size_t room, size_t *ret_size)
{
    struct self *s = quick_self(map->quick_bytes);
    struct key k = {.bytes = key, .size = key_size};
    struct want want = {.value = value, .room = room};
    uint64_t at;
    if (TARN_RARE(!s || !key || key_size - 1 >= 65535))
        return get_bytes(map, key, key_size, value, room, ret_size);
    if (!s->read_depth)
        store64(&s->record->epoch, 1 + load64(map->epoch));
    if (TARN_RARE(!quick_find(map, hash_bytes(map->seed, key, key_size), &at) || quick_copy(map, at, &k, &want)))
        return get_bytes(map, key, key_size, value, room, ret_size);
    if (!s->read_depth)
        store64(&s->record->epoch, 0);
    if (ret_size)
        *ret_size = want.size;
    return 0;
}

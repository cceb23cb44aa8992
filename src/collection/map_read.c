/* collection/map_read.c - reading a map without a lock.
 *
 * Writable attachment: the reader pins (as tarn_read_begin), so what it reaches is not reused until it is done. Read-only attachment: it
 * copies, and the copy is good if the epoch moved by less than two meanwhile (docs/crash-core.md, 'Grace'); else again, some 50 ms, then -EAGAIN.
 * Found: the slot's word was there, and the entry behind it cannot change but for an 8-byte value, which is read by one load.
 * Not found: the bucket's link is the same as before the slots were read, so none of them had moved to a sibling. Words move within a
 * chain only from overflow buckets to the first one, which is therefore looked at again, last.
 * Readers may see what an open section has stored, never half of it. */
#include <time.h>

#include "collection/map.h"

#define TRIES 64
#define SPLITS_MOST 1000

/* What is wanted of a found entry. */
struct want {
    void *value;
    uint64_t room, size;
};

static inline void pin(struct self *s)
{
    uint64_t epoch;
    if (s->read_depth++)
        return;
    epoch = 1 + epoch_now(s->seg);
    if (TARN_RARE(s->seg->exchange_unlock))
        __atomic_exchange_n(&s->record->epoch, epoch, __ATOMIC_SEQ_CST);
    else
        store64(&s->record->epoch, epoch); /* pairs with the membarrier of epoch_advance */
}
static inline void unpin(struct self *s)
{
    if (--s->read_depth == 0)
        store64(&s->record->epoch, 0);
}

/* Search a chain, then its first bucket again. 1, 0, -EUCLEAN. */
static __attribute__((noinline)) int chain_search(const tarn_map *m, const struct where *w, uint64_t ref, uint64_t skip, const struct key *k,
                                                  bool u64, struct hit *h)
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
        if (TARN_RARE(overflow)) {
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
static __attribute__((noinline)) int get_readonly(const tarn_map *m, const struct key *k, bool u64, struct want *want)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = epoch_now(m->seg);
        int e = search_and_copy(m, k, u64, want);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (epoch_now(m->seg) - before < 2)
            return e;
        if (i > 4) {
            struct timespec t = {.tv_nsec = i < 16 ? 50 * 1000 : 1000 * 1000};
            nanosleep(&t, NULL);
        }
    }
    return fail(-EAGAIN, "memory was being reused each of the %d times this read-only attachment looked: try again", TRIES);
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
        pin(s);
        e = search_and_copy(m, k, u64, want);
        unpin(s);
    }
    return e == 1 ? 0 : not_found(m, e);
}

int tarn_map_get(tarn_map *map, const void *key, size_t key_size, void *value, size_t room, size_t *ret_size)
{
    struct key k = {.bytes = key, .size = key_size};
    struct want want = {.value = value, .room = room};
    int e;
    if (TARN_RARE(map->u64))
        return fail(-EPROTO, "the map is one of 64-bit numbers: use tarn_map_get64");
    if (TARN_RARE(key_size - 1 >= 65535 || !key))
        return fail(-EINVAL, "a map's key is 1 to 65535 bytes, not %zu", key_size);
    k.hash = hash_bytes(map->seed, key, key_size);
    e = get(map, &k, false, &want);
    if (e == 0 && ret_size)
        *ret_size = want.size;
    return e;
}

int tarn_map_get64(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    uint64_t value;
    struct key k = {.hash = hash_number(map->seed, key), .number = key};
    struct want want = {.value = &value};
    int e;
    if (TARN_RARE(!map->u64))
        return fail(-EPROTO, "the map is one of bytes: use tarn_map_get");
    e = get(map, &k, true, &want);
    if (e == 0)
        *ret_value = value;
    return e;
}

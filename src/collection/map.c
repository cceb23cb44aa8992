/* collection/map.c - the map's calls that open it and change it.
 *
 * Rests on names (the root is a named object of type {"tarn_map", sizeof(struct map), MAP_VERSION}), sections, the mutex, the heap.
 * A change is a section of its own, or part of the caller's. Its steps are stores of single saved words: a slot (insert, replace, remove) or an
 * 8-byte value in its entry; entries are allocated and retired in the section. So the section's commit is the commit point of all.
 * After an error other than -ENOENT the caller's section should be aborted: what one call had begun when memory ran out is doomed, so that its
 * commit would be refused (-ECANCELED). A section that puts very many keys into a small map fills overflow chains, which are
 * slow: a bucket that a section wrote in cannot split before that ends. */
#include <stdlib.h>
#include <sys/random.h>

#include "collection/map.h"
#include "name/name.h"

#define KEY_MOST 65535u
#define VALUE_MOST (1u << 30)

/* ---- open ---- */

static const struct tarn_type map_type = {MAP_TYPE_NAME, sizeof(struct map), MAP_VERSION};

/* A new root, zeroed and in an open section, becomes an empty map: one bucket, one directory entry. */
static int map_fill(struct self *s, uint64_t block, void *arg)
{
    struct map *map = at_offset(s->seg, block);
    uint64_t chunk, bucket;
    struct bucket *b;
    int e = heap_alloc(s, 8, true, &chunk);
    if (e < 0 || (e = heap_alloc(s, 64 * (1 + MAP_LINES), true, &bucket)) < 0)
        return e;
    if (getrandom(&map->seed, sizeof map->seed, 0) != sizeof map->seed)
        return fail(-EIO, "the system gives no random numbers (getrandom), which seed the map's hash");
    b = at_offset(s->seg, bucket);
    b->lines = MAP_LINES;
    *(uint64_t *)at_offset(s->seg, chunk) = bucket;
    map->kind = *(const uint32_t *)arg;
    map->buckets = 1;
    map->chunk[0] = chunk;
    return 0;
}

static int find_or_make(tarn *seg, const char *name, unsigned flags, tarn_map *m)
{
    uint32_t kind = flags & TARN_MAP_U64 ? MAP_KIND_U64 : MAP_KIND_BYTES;
    uint64_t ref = 0;
    struct map *map;
    int e = tarn_find(seg, name, &map_type, &ref);
    if (e == -ENOENT && flags & TARN_CREATE) {
        struct self *s = self_of(seg, &e);
        if (!s)
            return e;
        e = name_make(s, name, &map_type, map_fill, &kind, &ref);
    }
    if (e < 0)
        return e;
    map = at_offset(seg, ref & MAP_REF);
    if (!map_block(seg, ref, sizeof *map) || map->kind > MAP_KIND_U64)
        return fail(-EUCLEAN, "\"%s\" is bound to a damaged map: run tarn check", name);
    if (map->kind != kind && (flags & TARN_MAP_U64 || flags & TARN_CREATE))
        return fail(-EPROTO, "\"%s\" is a map of %s, not of %s", name, map->kind ? "64-bit numbers" : "bytes",
                    kind ? "64-bit numbers" : "bytes");
    *m = (tarn_map){.seg = seg, .map = map, .ref = ref, .seed = map->seed, .u64 = map->kind == MAP_KIND_U64};
    map_quicken(m);
    return 0;
}

int tarn_map_open(tarn *seg, const char *name, unsigned flags, tarn_map **ret_map)
{
    tarn_map *m;
    int e;
    if (flags & ~(TARN_CREATE | TARN_MAP_U64))
        return fail(-EINVAL, "tarn_map_open: flags %#x are not of TARN_CREATE, TARN_MAP_U64", flags);
    m = malloc(sizeof *m); /* first: without it no map is made */
    if (!m)
        return fail(-ENOMEM, "no memory for a map's handle");
    e = find_or_make(seg, name, flags, m);
    if (e < 0)
        free(m);
    else
        *ret_map = m;
    return e;
}

void tarn_map_close(tarn_map *map)
{
    free(map);
}

/* ---- a change, as a section or in one ---- */

/* What a call has begun cannot stand: the whole section must not commit. */
static int doom(struct self *s, int e)
{
    s->doomed = 1;
    return e;
}

/* Find the key in the chain of a bucket whose lock is held. 1, 0, -EUCLEAN. */
static inline int chain_find(const tarn_map *m, const struct where *w, const struct key *k, bool u64,
                             struct hit *ret_hit)
{
    const struct bucket *b = w->bucket;
    uint64_t lines = b->lines;
    for (unsigned n = 0; n <= CHAIN_MOST; n++) {
        uint64_t skip = w->link & LINK_CLEANING ? SLOT_MOVES : 0, ref;
        int e = bucket_scan(m, b, lines, skip, k, u64, ret_hit);
        if (e)
            return e;
        ref = b->overflow;
        if (!ref)
            return 0;
        b = bucket_at(m->seg, ref, &lines);
        if (!b)
            return -EUCLEAN;
    }
    return -EUCLEAN;
}

static int damaged(const tarn_map *m, const struct where *w)
{
    return fail(-EUCLEAN, "the map at ref %#llx is damaged in the bucket at ref %#llx: run tarn check",
                (unsigned long long)m->ref, (unsigned long long)w->ref);
}

/* Lock the key's bucket and find the key. 1, 0, or a failure. */
static inline int take_and_find(struct self *s, tarn_map *m, const struct key *k, bool u64, struct where *w,
                                bool *ret_fresh, struct hit *h)
{
    int e = map_take(s, m, k->hash, w, ret_fresh);
    if (TARN_RARE(e < 0))
        return e;
    e = chain_find(m, w, k, u64, h);
    return TARN_RARE(e < 0) ? damaged(m, w) : e;
}

/* A free slot for a key that is not there: split while the bucket is full (or crowded) and may be split, else an overflow bucket. On return w is the
 * key's bucket, locked. 0, or a failure. */
static int make_room(struct self *s, tarn_map *m, const struct key *k, struct where *w, bool fresh,
                     uint64_t **ret_slot)
{
    for (;;) {
        int e = map_free_slot(s, m, w, k->hash, fresh ? FIRST_ONLY : CHAIN, ret_slot);
        bool found = e == 1;
        if (found && !(fresh && TARN_RARE(map_crowded(w, k->hash, *ret_slot))))
            return 0;
        if (e >= 0 && fresh) {
            e = map_split(s, m, w);
            if (e == 1) {
                struct bucket *was = w->bucket;
                if (is_right(k->hash, was->prefix, LINK_DEPTH(w->link))) {
                    fresh = !(w->link & LINK_CLEANING);
                    continue;
                }
                e = map_take(s, m, k->hash, w, &fresh);
                if (e < 0)
                    return e;
                continue;
            }
            if (found && e != -EUCLEAN)
                return 0; /* it only would have been better */
        }
        if (e < 0)
            return e;
        e = map_free_slot(s, m, w, k->hash, CHAIN_GROW, ret_slot);
        return e < 0 ? e : 0;
    }
}

/* Store one 8-byte word, saved. */
static inline int store_saved(struct self *s, uint64_t *word, uint64_t value)
{
    if (TARN_RARE(log_save(s, offset_of(s->seg, word), 1)))
        return log_is_full();
    store64(word, value);
    return 0;
}

/* A filled entry in the open section. */
static inline int entry_make(struct self *s, const struct key *k, const void *value, uint64_t size, bool u64,
                             uint64_t *ret_entry)
{
    int e;
    if (u64) {
        struct entry_u64 *n;
        e = heap_alloc(s, sizeof *n, false, ret_entry);
        if (TARN_RARE(e < 0))
            return e;
        n = at_offset(s->seg, *ret_entry);
        n->key = k->number;
        memcpy(&n->value, value, 8);
    } else {
        struct entry_bytes *n;
        e = heap_alloc(s, sizeof *n + size + k->size, false, ret_entry);
        if (TARN_RARE(e < 0))
            return e;
        n = at_offset(s->seg, *ret_entry);
        n->key_size = (uint32_t)k->size;
        n->value_size = (uint32_t)size;
        if (size)
            memcpy(n + 1, value, size);
        memcpy((char *)(n + 1) + size, k->bytes, k->size);
    }
    return 0;
}

static inline int insert(struct self *s, tarn_map *m, const struct key *k, struct where *w, bool fresh,
                         const void *value, uint64_t size, bool u64)
{
    uint64_t *slot, entry;
    int e = make_room(s, m, k, w, fresh, &slot);
    if (TARN_RARE(e < 0))
        return e;
    if (TARN_RARE(log_save(s, offset_of(s->seg, slot), 1)))
        return log_is_full();
    e = entry_make(s, k, value, size, u64, &entry);
    if (TARN_RARE(e < 0))
        return e;
    store64(slot, slot_word(k->hash, entry));
    return 0;
}

/* The value of an entry, if it is 8 bytes: stored over in place. NULL: any other size. */
static inline uint64_t *value8(const tarn_map *m, uint64_t word, bool u64)
{
    if (u64)
        return &((struct entry_u64 *)at_offset(m->seg, word & MAP_REF))->value;
    struct entry_bytes *e = at_offset(m->seg, word & MAP_REF);
    return e->value_size == 8 ? (uint64_t *)(e + 1) : NULL;
}

/* Another entry in the slot of the old one. */
static int replace(struct self *s, const tarn_map *m, const struct key *k, const struct hit *h,
                   const void *value, uint64_t size)
{
    uint64_t entry;
    int e;
    if (log_save(s, offset_of(m->seg, h->slot), 1))
        return log_is_full();
    e = entry_make(s, k, value, size, false, &entry);
    if (e < 0)
        return e;
    e = map_retire_block(s, h->word & MAP_REF);
    if (e < 0)
        return doom(s, e);
    store64(h->slot, slot_word(k->hash, entry));
    return 0;
}

static inline int put(tarn_map *m, const struct key *k, const void *value, uint64_t size, bool u64)
{
    struct where w;
    struct hit h;
    bool fresh, own;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (TARN_RARE(!s))
        return e;
    own = !s->depth;
    section_begin(s);
    e = take_and_find(s, m, k, u64, &w, &fresh, &h);
    if (e == 1) {
        uint64_t *word = size == 8 ? value8(m, h.word, u64) : NULL, v;
        if (word) {
            memcpy(&v, value, 8);
            e = store_saved(s, word, v);
        } else
            e = replace(s, m, k, &h, value, size);
    } else if (e == 0)
        e = insert(s, m, k, &w, fresh, value, size, u64);
    if (TARN_RARE(e >= 0 && own && w.bucket->overflow))
        e = map_unchain(s, m, w.bucket);
    return section_end(s, e);
}

static inline int add(tarn_map *m, const struct key *k, uint64_t add, uint64_t *ret_sum, bool u64)
{
    struct where w;
    struct hit h;
    bool fresh;
    uint64_t sum = add, *word;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (TARN_RARE(!s))
        return e;
    section_begin(s);
    e = take_and_find(s, m, k, u64, &w, &fresh, &h);
    if (e == 1) {
        word = value8(m, h.word, u64);
        if (word) {
            sum += *word;
            e = store_saved(s, word, sum);
        } else
            e = fail(-EINVAL, "tarn_map_add: the key's value is not of 8 bytes");
    } else if (e == 0)
        e = insert(s, m, k, &w, fresh, &sum, 8, u64);
    e = section_end(s, e);
    if (e >= 0 && ret_sum)
        *ret_sum = sum;
    return e;
}

static inline int take_out(tarn_map *m, const struct key *k, bool u64)
{
    struct where w;
    struct hit h;
    bool fresh;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (TARN_RARE(!s))
        return e;
    section_begin(s);
    e = take_and_find(s, m, k, u64, &w, &fresh, &h);
    if (e == 1) {
        e = store_saved(s, h.slot, 0);
        if (e == 0) {
            e = map_retire_block(s, h.word & MAP_REF);
            if (e < 0)
                doom(s, e);
        }
    } else if (e == 0)
        e = fail_constant(-ENOENT, "the map has no such key");
    return section_end(s, e);
}

/* ---- public ---- */

static int wrong_kind(const tarn_map *m)
{
    return fail(-EPROTO, "the map is one of %s: use the calls %s", m->u64 ? "64-bit numbers" : "bytes",
                m->u64 ? "that end in 64" : "without 64");
}

static inline int key_of_bytes(const tarn_map *m, const void *key, size_t size, struct key *ret_key)
{
    if (TARN_RARE(m->u64))
        return wrong_kind(m);
    if (TARN_RARE(size - 1 >= KEY_MOST || !key))
        return fail(-EINVAL, "a map's key is 1 to %u bytes, not %zu", KEY_MOST, size);
    *ret_key = (struct key){.hash = hash_bytes(m->seed, key, size), .bytes = key, .size = size};
    return 0;
}
static inline struct key key_of_number(const tarn_map *m, uint64_t key)
{
    return (struct key){.hash = hash_number(m->seed, key), .number = key};
}

int tarn_map_put(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size)
{
    struct key k;
    int e = key_of_bytes(map, key, key_size, &k);
    if (e < 0)
        return e;
    if (size > VALUE_MOST || (size && !value))
        return fail(-EINVAL, "a map's value is 0 to %u bytes, not %zu", VALUE_MOST, size);
    return put(map, &k, value, size, false);
}

int tarn_map_add(tarn_map *map, const void *key, size_t key_size, uint64_t number, uint64_t *ret_sum)
{
    struct key k;
    int e = key_of_bytes(map, key, key_size, &k);
    return e < 0 ? e : add(map, &k, number, ret_sum, false);
}

int tarn_map_remove(tarn_map *map, const void *key, size_t key_size)
{
    struct key k;
    int e = key_of_bytes(map, key, key_size, &k);
    return e < 0 ? e : take_out(map, &k, false);
}

int tarn_map_put64(tarn_map *map, uint64_t key, uint64_t value)
{
    struct key k = key_of_number(map, key);
    return TARN_RARE(!map->u64) ? wrong_kind(map) : put(map, &k, &value, 8, true);
}

int tarn_map_add64(tarn_map *map, uint64_t key, uint64_t number, uint64_t *ret_sum)
{
    struct key k = key_of_number(map, key);
    return TARN_RARE(!map->u64) ? wrong_kind(map) : add(map, &k, number, ret_sum, true);
}

int tarn_map_remove64(tarn_map *map, uint64_t key)
{
    struct key k = key_of_number(map, key);
    return TARN_RARE(!map->u64) ? wrong_kind(map) : take_out(map, &k, true);
}

/* collection/map.c - the map's calls that open it and change it.
 *
 * Rests on names (the root is a named object of type {"tarn_map", sizeof(struct map), MAP_VERSION}), sections, the mutex, the heap.
 * A change is a section of its own, or part of the caller's. Its steps are stores of single saved words: a word of tags (insert, remove), the word of a slot
 * (replace), an 8-byte value; entries are allocated and retired in the section. So the section's commit is the commit point of all.
 * After an error other than -ENOENT the caller's section should be aborted: what one call had begun when memory ran out is doomed, so that its
 * commit would be refused (-ECANCELED). A section that puts very many keys into a small map fills overflow chains, which are
 * slow: a bucket that a section wrote in cannot split before that ends. */
#include <stdlib.h>
#include <sys/random.h>

#include "collection/entry.h"
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
    uint64_t bucket, slots;
    struct bucket *b;
    int e = heap_alloc(s, sizeof(struct pairs), true, &slots);
    if (e < 0 || (e = heap_alloc(s, sizeof(struct bucket), true, &bucket)) < 0)
        return e;
    if (getrandom(&map->seed, sizeof map->seed, 0) != sizeof map->seed ||
        getrandom(&map->multiplier, sizeof map->multiplier, 0) != sizeof map->multiplier)
        return fail(-EIO, "the system gives no random numbers (getrandom), which seed the map's hash");
    b = at_offset(s->seg, bucket);
    b->slots = slots;
    for (unsigned p = 0; p < MAP_PARTS; p++)
        b->tags[p].head = HEAD_WORD(0, part_slots(slots, p));
    map->multiplier |= 1;
    map->kind = *(const uint32_t *)arg;
    map->filled = map->buckets = 1;
    map->first[0] = LINK_WORD(0, 0, bucket);
    return 0;
}

static int open_or_make(tarn *seg, const char *name, unsigned flags, tarn_map *m)
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
    *m = (tarn_map){.seg = seg,
                    .map = map,
                    .ref = ref,
                    .seed = map->seed,
                    .multiplier = map->multiplier,
                    .u64 = map->kind == MAP_KIND_U64,
                    .segments = m->segments};
    map_quicken(m);
    return 0;
}

int tarn_map_open(tarn *seg, const char *name, unsigned flags, tarn_map **ret_map)
{
    tarn_map *m;
    int e;
    if (flags & ~(TARN_CREATE | TARN_MAP_U64))
        return fail(-EINVAL, "tarn_map_open: flags %#x are not of TARN_CREATE, TARN_MAP_U64", flags);
    m = calloc(1, sizeof *m); /* first: without it no map is made */
    if (!m || map_prepare(m) < 0) {
        free(m);
        return fail(-ENOMEM, "no memory for a map's handle");
    }
    e = open_or_make(seg, name, flags, m);
    if (e < 0)
        tarn_map_close(m);
    else
        *ret_map = m;
    return e;
}

void tarn_map_close(tarn_map *map)
{
    if (map)
        map_forget(map);
    free(map);
}

/* ---- a change, as a section or in one ---- */

/* Find the key in the chain of a bucket whose lock is held. 1, 0, -EUCLEAN. */
static inline int chain_find(const tarn_map *m, const struct where *w, const struct key *k, struct place *ret)
{
    struct bucket *b = w->bucket;
    unsigned part = part_of(k->hash), tag = tag_of(k->hash);
    for (unsigned n = 0; n <= CHAIN_MOST; n++) {
        uint64_t ref;
        uint64_t mask = part_match(&b->tags[part], tag);
        struct pairs *slots = mask ? slots_of(m->seg, b) : NULL;
        if (TARN_RARE(mask && !slots))
            return -EUCLEAN;
        for (; mask; mask &= mask - 1) {
            unsigned at = (unsigned)__builtin_ctzll(mask);
            const struct slot *slot = &slots->at[part][at];
            int e = slot->hash == k->hash ? m->u64 ? 1 : entry_is(m, slot->word, k) : 0;
            if (e) {
                *ret = (struct place){b, slots, part, at};
                return e;
            }
        }
        ref = b->overflow;
        if (!TARN_RARE(ref))
            return 0;
        b = bucket_at(m->seg, ref);
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
static inline int take_and_find(struct self *s, tarn_map *m, const struct key *k, struct where *w,
                                bool *ret_fresh, struct place *at)
{
    int e = map_take(s, m, k->hash, w, ret_fresh);
    if (TARN_RARE(e < 0))
        return e;
    e = chain_find(m, w, k, at);
    return TARN_RARE(e < 0) ? damaged(m, w) : e;
}

#define SPLITS_MOST 4 /* by one insert: the first makes room, but for keys that agree in more bits */

/* A free slot for a key that is not there: split while the part is full and may be split, else an overflow bucket. On return w is the
 * key's bucket, locked. 0, or a failure. */
static int make_room(struct self *s, tarn_map *m, const struct key *k, struct where *w, bool *fresh,
                     struct place *ret)
{
    for (int splits = 0;; splits++) {
        int e = map_free_slot(s, m, w, k->hash, *fresh && splits < SPLITS_MOST ? FIRST_ONLY : CHAIN, ret);
        if (e)
            return e < 0 ? e : 0;
        e = *fresh && splits < SPLITS_MOST ? map_split(s, m, w) : 0;
        if (e == 1) {
            if (!is_right(k->hash, w->bucket->prefix, LINK_DEPTH(w->link)))
                e = map_take(s, m, k->hash, w, fresh);
            if (e < 0)
                return e;
            continue;
        }
        if (e == -EUCLEAN)
            return e;
        e = map_free_slot(s, m, w, k->hash, CHAIN_GROW, ret);
        return e < 0 ? e : 0;
    }
}

/* A slot that this section may have freed keeps what an undo of that needs. Undone, newest first, it is stored over in the same order
 * as here: the count, the tag, no hash, the word, the hash. */
static __attribute__((noinline)) int save_slot(struct self *s, const struct where *w, struct slot *slot,
                                               uint64_t hash, uint64_t *tags)
{
    int e;
    if ((e = section_save(s, &slot->hash, 1)) < 0 || (e = section_save(s, &slot->word, 1)) < 0)
        return e;
    store64(&w->bucket->reuse, w->bucket->reuse + 1);
    store64(&slot->hash, no_hash(hash));
    if ((e = section_save(s, &slot->hash, 1)) < 0 || (e = section_save(s, tags, 1)) < 0)
        return e;
    return log_word(s, LOG_WORD(offset_of(s->seg, &w->bucket->reuse), LOG_COUNT)) ? log_is_full() : 0;
}

/* A key's slot is of another quarter than its own: the head says so before there is anything to be found. */
static inline void say_away(uint64_t *head, unsigned at, uint64_t hash)
{
    if (is_away(at, hash) && !(*head & HEAD_AWAY(quarter_of(hash))))
        store64(head, *head | HEAD_AWAY(quarter_of(hash)));
}

/* Fill a free slot: its tag, last, makes it the key's. */
static inline int fill(struct self *s, const struct where *w, const struct place *to, bool fresh,
                       uint64_t hash, uint64_t word)
{
    struct slot *slot = place_slot(to);
    uint64_t *tags = place_tags(to), *head = &w->bucket->tags[to->part].head;
    int e;
    if (TARN_RARE(to->bucket != w->bucket && !(*head & HEAD_CHAINED)))
        store64(head, *head | HEAD_CHAINED); /* before there is anything to be found */
    say_away(head, to->at, hash);
    if (TARN_RARE(!fresh)) {
        e = save_slot(s, w, slot, hash, tags);
        if (e < 0)
            return e;
    } else {
        e = section_save(s, tags, 1);
        if (TARN_RARE(e < 0))
            return e;
        store64(&w->bucket->reuse, w->bucket->reuse + 1);
        store64(&slot->hash, no_hash(hash));
    }
    store64(&slot->word, word);
    store64(&slot->hash, hash);
    store64(tags, *tags | tag_bits(tag_of(hash), to->at));
    return 0;
}

/* value: NULL for zeros. */
static inline int insert(struct self *s, tarn_map *m, const struct key *k, struct where *w, bool fresh,
                         const void *value, uint64_t size)
{
    struct place to;
    uint64_t word = 0;
    int e = make_room(s, m, k, w, &fresh, &to);
    if (TARN_RARE(e < 0))
        return e;
    if (!m->u64) {
        e = entry_make(s, k->bytes, k->size, value, size, &word);
        if (TARN_RARE(e < 0))
            return e;
    } else if (value)
        memcpy(&word, value, 8);
    e = fill(s, w, &to, fresh, k->hash, word);
    return TARN_RARE(e < 0) ? section_doom(s, e) : e;
}

/* The value of a key, if it is 8 bytes: stored over in place. NULL: any other size. */
static inline uint64_t *value8(const tarn_map *m, const struct place *at)
{
    struct slot *slot = place_slot(at);
    struct entry_bytes *e;
    if (m->u64)
        return &slot->word;
    e = at_offset(m->seg, slot->word); /* checked, when the key was compared */
    return e->value_size == 8 ? (uint64_t *)(e + 1) : NULL;
}

/* Another value for a key that is there: stored over, or another entry in its slot. */
static inline int replace(struct self *s, const tarn_map *m, const struct key *k, const struct place *at,
                          const void *value, uint64_t size)
{
    uint64_t *word = size == 8 ? value8(m, at) : NULL, entry, v;
    int e;
    if (word) {
        memcpy(&v, value, 8);
        return section_store(s, word, v);
    }
    word = &place_slot(at)->word;
    e = entry_make(s, k->bytes, k->size, value, size,
                   &entry); /* before the word is saved: so an undo puts that back before it retires the new entry */
    if (e < 0)
        return e;
    if ((e = section_save(s, word, 1)) < 0 || (e = map_retire_block(s, *word)) < 0)
        return section_doom(s, e);
    store64(word, entry);
    return 0;
}

/* What a key must be for a value to be put: anything, not there, there, or there with the value `old`. */
enum how { PUT, INSERT, REPLACE, REPLACE_IF };
struct old {
    const void *value;
    uint64_t size;
};

static int key_is_there(void)
{
    return fail_constant(-EEXIST, "the map has such a key");
}
static int no_key(void)
{
    return fail_constant(-ENOENT, "the map has no such key");
}
static int value_differs(void)
{
    return fail_constant(-EAGAIN, "the key's value is another one: read it, and try again");
}

static bool has_value(const tarn_map *m, const struct place *at, const struct old *old)
{
    const struct entry_bytes *e;
    if (m->u64)
        return !memcmp(&place_slot(at)->word, old->value, 8);
    e = at_offset(m->seg, place_slot(at)->word);
    return e->value_size == old->size && (!old->size || !memcmp(e + 1, old->value, old->size));
}

static inline int put(tarn_map *m, const struct key *k, const void *value, uint64_t size, enum how how,
                      const struct old *old)
{
    struct where w;
    struct place at;
    bool fresh, own;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (TARN_RARE(!s))
        return e;
    own = !s->depth;
    section_begin(s);
    e = take_and_find(s, m, k, &w, &fresh, &at);
    if (e == 1)
        e = how == INSERT                                  ? key_is_there()
            : how == REPLACE_IF && !has_value(m, &at, old) ? value_differs()
                                                           : replace(s, m, k, &at, value, size);
    else if (e == 0)
        e = how >= REPLACE ? no_key() : insert(s, m, k, &w, fresh, value, size);
    if (TARN_RARE(e >= 0 && own && w.bucket->overflow))
        e = map_unchain(s, m, w.bucket);
    return section_end(s, e);
}

static inline int add(tarn_map *m, const struct key *k, uint64_t add, uint64_t *ret_sum)
{
    struct where w;
    struct place at;
    bool fresh;
    uint64_t sum = add, *word;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (TARN_RARE(!s))
        return e;
    section_begin(s);
    e = take_and_find(s, m, k, &w, &fresh, &at);
    if (e == 1) {
        word = value8(m, &at);
        if (word) {
            sum += *word;
            e = section_store(s, word, sum);
        } else
            e = fail(-EINVAL, "tarn_map_add: the key's value is not of 8 bytes");
    } else if (e == 0)
        e = insert(s, m, k, &w, fresh, &sum, 8);
    e = section_end(s, e);
    if (e >= 0 && ret_sum)
        *ret_sum = sum;
    return e;
}

/* The value of a key, which is made if it is not there. */
static int find_or_make(tarn_map *m, const struct key *k, uint64_t size, void *value, uint64_t room,
                        uint64_t *ret_size, int *ret_made)
{
    struct where w;
    struct place at;
    bool fresh, made = false;
    const void *from = NULL;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (!s)
        return e;
    section_begin(s);
    e = take_and_find(s, m, k, &w, &fresh, &at);
    if (e == 0) {
        made = true;
        e = insert(s, m, k, &w, fresh, NULL, size);
    } else if (e == 1 && m->u64) {
        from = &place_slot(&at)->word;
        size = 8;
        e = 0;
    } else if (e == 1) {
        const struct entry_bytes *n = at_offset(m->seg, place_slot(&at)->word);
        from = n + 1;
        size = n->value_size;
        e = in_data(m->seg, place_slot(&at)->word, sizeof *n + size) ? 0 : damaged(m, &w);
    }
    if (e >= 0) { /* under the lock */
        uint64_t n = size < room ? size : room;
        if (n && made)
            memset(value, 0, n);
        else if (n)
            memcpy(value, from, n);
    }
    e = section_end(s, e);
    if (e >= 0) {
        *ret_size = size;
        if (ret_made)
            *ret_made = made;
    }
    return e;
}

static inline int take_out(tarn_map *m, const struct key *k)
{
    struct where w;
    struct place at;
    bool fresh;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    if (TARN_RARE(!s))
        return e;
    section_begin(s);
    e = take_and_find(s, m, k, &w, &fresh, &at);
    if (e == 1) {
        uint64_t *tags = place_tags(&at);
        e = section_store(s, tags, *tags & ~tag_bits(0xff, at.at));
        if (e == 0 && !m->u64) {
            e = map_retire_block(s, place_slot(&at)->word);
            if (e < 0)
                section_doom(s, e);
        }
    } else if (e == 0)
        e = fail_constant(-ENOENT, "the map has no such key");
    return section_end(s, e);
}

/* ---- numbers, one at a time ---- */

/* A change of one number outside a section is one store, of a word of tags or of a slot's word: no log. The bucket is locked for it,
 * in the way of an inner lock. Whatever else there may be (a full part, a chain, a split under way, somebody who has the lock) is left to the
 * section of its own: these return 1, and nothing has happened. */
struct brief {
    struct self *s;
    struct bucket *bucket;
    struct tags *part;
    struct slot *slots;
    uint64_t hash, *slot;
    unsigned at;
};

static inline __attribute__((always_inline)) void brief_end(struct brief *b)
{
    mutex_leave_brief(b->s, &b->bucket->lock, b->slot);
}

/* The bucket of a number, locked, and where the number stands in it. 1: it is there; 0: it is not; or negative: the ordinary way. */
static inline __attribute__((always_inline)) int brief_begin(tarn_map *m, uint64_t key, struct brief *b)
{
    uint64_t hash = hash_number(m->seed, m->multiplier, key), index, entry = map_guess(m, hash, &index),
             ref = entry & m->ref_mask, mask, head;
    struct self *s = self_last;
    struct bucket *bucket = (struct bucket *)(m->base + ref);
    struct tags *part = (struct tags *)((char *)bucket->tags + (hash >> 46 & 0xc0));
    if (TARN_RARE(!s || s->seg != m->quick_numbers || s->depth || ref - m->zone > learned(&m->bucket_most) - m->zone))
        return -1;
    __builtin_prefetch(bucket, 1);
    __builtin_prefetch(part, 1);
    if (!s->read_depth) /* until it is known, under the lock, that the map is not unbound: see map_take */
        store64(&s->record->epoch, 1 + load64(m->epoch));
    b->slot = mutex_take_brief(s, &bucket->lock);
    if (!s->read_depth)
        store64(&s->record->epoch, 0);
    if (TARN_RARE(!b->slot))
        return -1;
    b->s = s;
    b->bucket = bucket;
    b->part = part;
    b->hash = hash;
    head = part->head;
    ref = head & m->ref_mask;
    b->slots = (struct slot *)(m->base + ref);
    if (TARN_RARE(load64(&m->map->state) == MAP_GONE || bucket->link & LINK_CLEANING || bucket->overflow ||
                  ref - m->zone > learned(&m->slots_most) - m->zone ||
                  !is_right(hash, bucket->prefix, LINK_DEPTH(bucket->link)))) {
        brief_end(b);
        return -1;
    }
    for (mask = part_match(part, tag_of(hash)) & slots_for(m, head, hash); mask; mask &= mask - 1) {
        b->at = (unsigned)__builtin_ctzll(mask);
        if (b->slots[b->at].hash == hash)
            return 1;
    }
    return 0;
}

static inline uint64_t *brief_tags(const struct brief *b)
{
    return &b->part->word[b->at / 8];
}

/* Put a number that is not there. 1: there is no room. */
static inline int brief_fill(struct brief *b, uint64_t value)
{
    struct slot *slot;
    uint64_t free = part_free(b->part);
    if (TARN_RARE(!free))
        return 1;
    b->at = slot_for(free, b->hash);
    slot = &b->slots[b->at];
    say_away(&b->part->head, b->at, b->hash);
    store64(&b->bucket->reuse, b->bucket->reuse + 1);
    store64(&slot->hash, no_hash(b->hash));
    store64(&slot->word, value);
    store64(&slot->hash, b->hash);
    store64(brief_tags(b), *brief_tags(b) | tag_bits(tag_of(b->hash), b->at)); /* commit */
    return 0;
}

static inline int brief_put(tarn_map *m, uint64_t key, uint64_t value, enum how how, uint64_t old)
{
    struct brief b;
    int e = brief_begin(m, key, &b);
    if (TARN_RARE(e < 0))
        return 1;
    if (e) {
        e = how == INSERT                                    ? key_is_there()
            : how == REPLACE_IF && b.slots[b.at].word != old ? value_differs()
                                                             : 0;
        if (e == 0)
            store64(&b.slots[b.at].word, value); /* commit */
    } else
        e = how >= REPLACE ? no_key() : brief_fill(&b, value);
    brief_end(&b);
    return e;
}

static inline int brief_add(tarn_map *m, uint64_t key, uint64_t number, uint64_t *ret_sum)
{
    struct brief b;
    int e = brief_begin(m, key, &b);
    if (TARN_RARE(e < 0))
        return 1;
    if (e) {
        *ret_sum = b.slots[b.at].word + number;
        store64(&b.slots[b.at].word, *ret_sum); /* commit */
        e = 0;
    } else {
        *ret_sum = number;
        e = brief_fill(&b, number);
    }
    brief_end(&b);
    return e;
}

static inline int brief_remove(tarn_map *m, uint64_t key)
{
    struct brief b;
    int e = brief_begin(m, key, &b);
    if (TARN_RARE(e < 0))
        return 1;
    if (e)
        store64(brief_tags(&b), *brief_tags(&b) & ~tag_bits(0xff, b.at)); /* commit */
    brief_end(&b);
    return e ? 0 : fail_constant(-ENOENT, "the map has no such key");
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
    return (struct key){.hash = hash_number(m->seed, m->multiplier, key)};
}

static int put_bytes(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size,
                     enum how how, const struct old *old)
{
    struct key k;
    int e = key_of_bytes(map, key, key_size, &k);
    if (e < 0)
        return e;
    if (size > VALUE_MOST || (size && !value) || (old && old->size && !old->value))
        return fail(-EINVAL, "a map's value is 0 to %u bytes, not %zu", VALUE_MOST, size);
    return put(map, &k, value, size, how, old);
}

int tarn_map_put(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size)
{
    return put_bytes(map, key, key_size, value, size, PUT, NULL);
}

int tarn_map_insert(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size)
{
    return put_bytes(map, key, key_size, value, size, INSERT, NULL);
}

int tarn_map_replace(tarn_map *map, const void *key, size_t key_size, const void *value, size_t size)
{
    return put_bytes(map, key, key_size, value, size, REPLACE, NULL);
}

int tarn_map_replace_if(tarn_map *map, const void *key, size_t key_size, const void *old, size_t old_size,
                        const void *value, size_t size)
{
    const struct old was = {old, old_size};
    return put_bytes(map, key, key_size, value, size, REPLACE_IF, &was);
}

int tarn_map_find_or_make(tarn_map *map, const void *key, size_t key_size, size_t size, void *value,
                          size_t room, size_t *ret_size, int *ret_made)
{
    struct key k;
    uint64_t is;
    int e = key_of_bytes(map, key, key_size, &k);
    if (e < 0)
        return e;
    if (size > VALUE_MOST || (room && !value))
        return fail(-EINVAL, "a map's value is 0 to %u bytes, not %zu", VALUE_MOST, size);
    e = find_or_make(map, &k, size, value, room, &is, ret_made);
    if (e >= 0 && ret_size)
        *ret_size = is;
    return e;
}

int tarn_map_add(tarn_map *map, const void *key, size_t key_size, uint64_t number, uint64_t *ret_sum)
{
    struct key k;
    int e = key_of_bytes(map, key, key_size, &k);
    return e < 0 ? e : add(map, &k, number, ret_sum);
}

int tarn_map_remove(tarn_map *map, const void *key, size_t key_size)
{
    struct key k;
    int e = key_of_bytes(map, key, key_size, &k);
    return e < 0 ? e : take_out(map, &k);
}

static inline int put_number(tarn_map *map, uint64_t key, uint64_t value, enum how how, uint64_t old)
{
    int e = brief_put(map, key, value, how, old);
    if (!TARN_RARE(e == 1))
        return e;
    const struct old was = {&old, 8};
    struct key k = key_of_number(map, key);
    return TARN_RARE(!map->u64) ? wrong_kind(map) : put(map, &k, &value, 8, how, &was);
}

int tarn_map_put64(tarn_map *map, uint64_t key, uint64_t value)
{
    return put_number(map, key, value, PUT, 0);
}

int tarn_map_insert64(tarn_map *map, uint64_t key, uint64_t value)
{
    return put_number(map, key, value, INSERT, 0);
}

int tarn_map_replace64(tarn_map *map, uint64_t key, uint64_t value)
{
    return put_number(map, key, value, REPLACE, 0);
}

int tarn_map_replace_if64(tarn_map *map, uint64_t key, uint64_t old, uint64_t value)
{
    return put_number(map, key, value, REPLACE_IF, old);
}

int tarn_map_find_or_make64(tarn_map *map, uint64_t key, uint64_t *ret_value, int *ret_made)
{
    struct key k = key_of_number(map, key);
    uint64_t size;
    return !map->u64 ? wrong_kind(map) : find_or_make(map, &k, 8, ret_value, 8, &size, ret_made);
}

int tarn_map_add64(tarn_map *map, uint64_t key, uint64_t number, uint64_t *ret_sum)
{
    uint64_t sum;
    if (!TARN_RARE(brief_add(map, key, number, &sum))) {
        if (ret_sum)
            *ret_sum = sum;
        return 0;
    }
    struct key k = key_of_number(map, key);
    return TARN_RARE(!map->u64) ? wrong_kind(map) : add(map, &k, number, ret_sum);
}

int tarn_map_remove64(tarn_map *map, uint64_t key)
{
    int e = brief_remove(map, key);
    if (!TARN_RARE(e == 1))
        return e;
    struct key k = key_of_number(map, key);
    return TARN_RARE(!map->u64) ? wrong_kind(map) : take_out(map, &k);
}

/* ---- many ---- */

enum {
    AHEAD = 16,
    FEW = 4096
}; /* pairs whose lines are fetched together; as many need no room made beforehand */

static void fetch(const tarn_map *m, uint64_t hash)
{
    uint64_t index, ref = map_guess(m, hash, &index) & (MAP_REF ^ 63);
    const struct bucket *b = (const struct bucket *)(m->base + ref);
    if (ref > learned(&m->bucket_most))
        return;
    __builtin_prefetch(b, 1);
    __builtin_prefetch(&b->tags[part_of(hash)], 1);
}

/* Split buckets until all of them together have room for so many keys: each split is a section of its own. In an open section, not at all. What there is no
 * memory for is left to the puts. */
static void make_ready(tarn_map *m, uint64_t keys)
{
    unsigned depth = 0;
    int e = 0;
    struct self *s = self_of(m->seg, &e);
    uint64_t at = 0;
    while (keys >> depth > MAP_PARTS * MAP_SLOTS * 3 / 4 && depth < MAP_DEPTH_MOST)
        depth++;
    if (!s || s->depth || keys < FEW)
        return;
    do {
        struct where w;
        bool fresh, split = false;
        section_begin(s);
        e = map_take(s, m, reverse64(at), &w, &fresh);
        if (e >= 0 && LINK_DEPTH(w.link) < depth)
            split = map_split(s, m, &w) == 1;
        e = section_end(s, e);
        if (e >= 0 && !split) /* else once more: it may be shallow yet */
            at = map_after(&w);
    } while (e >= 0 && at);
}

int tarn_map_put_many(tarn_map *map, const struct tarn_map_pair *pairs, size_t count, size_t *ret_done)
{
    size_t i;
    int e = 0;
    if (!map->u64)
        make_ready(map, count);
    for (i = 0; i < count && e >= 0; i++) {
        for (size_t j = i; i % AHEAD == 0 && j < count && j < i + AHEAD && !map->u64; j++)
            if (pairs[j].key && pairs[j].key_size - 1 < KEY_MOST)
                fetch(map, hash_bytes(map->seed, pairs[j].key, pairs[j].key_size));
        e = tarn_map_put(map, pairs[i].key, pairs[i].key_size, pairs[i].value, pairs[i].size);
    }
    if (ret_done)
        *ret_done = e < 0 ? i - 1 : i;
    return e < 0 ? e : 0;
}

int tarn_map_put_many64(tarn_map *map, const uint64_t *keys, const uint64_t *values, size_t count, size_t *ret_done)
{
    size_t i;
    int e = 0;
    if (map->u64)
        make_ready(map, count);
    for (i = 0; i < count && e >= 0; i++) {
        for (size_t j = i; i % AHEAD == 0 && j < count && j < i + AHEAD; j++)
            fetch(map, hash_number(map->seed, map->multiplier, keys[j]));
        e = tarn_map_put64(map, keys[i], values[i]);
    }
    if (ret_done)
        *ret_done = e < 0 ? i - 1 : i;
    return e < 0 ? e : 0;
}

/* collection/map_bucket.c - the map's structure: finding a hash's bucket, splitting, cleaning up after a split, the directory.
 *
 * Commit points. A split: the store of {depth + 1, CLEANING, sibling} in the old bucket's link (heap_publish): before it the sibling is a free block;
 * after it, all who come to the old bucket see where to go on. Then, all of it repeatable: the parts' depth is stored; tags of what
 * moved are zeroed; an overflow chain is folded into the bucket; the directory's entries are led to the sibling; CLEANING is cleared, one store. Whoever
 * takes the lock of a bucket that is CLEANING (its splitter died, or the directory could not grow) does that first. Until the tags are zeroed nobody changes
 * the sibling, since writers come to it only over a bucket that they have cleaned, or by a directory entry: so what the old bucket still
 * shows of moved keys is what the sibling says (docs/map.md, 'Readers').
 * A bucket does not split while it is CLEANING. Its sibling may; therefore a directory entry is only ever led to a bucket of a greater
 * prefix (of those that fit an index, the greater was born later).
 * The directory has room for an index as soon as `depth` says so: entries that are not there, or 0, are those of the index without its top bit. A split
 * stores the entries of its own, and copies some more of them up, so that all of the next depth are there soon (`filled`).
 * Buckets are never merged, nor freed before the map is. */
#include <sched.h>

#include "collection/map.h"
#include "name/layout.h"

#define TRIES 1000 /* hints that led astray one after the other: a split each */
#define HOPS_MOST 64
#define DIRECTORY_SHARE 16 /* directory entries a bucket, at most: against keys made to collide */
#define FILL 64            /* directory entries that one split copies up */

/* ---- finding ---- */

/* Along the siblings from the bucket at ref. 0, 1: the hint is stale, ask the directory again; -EUCLEAN. */
int map_follow(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *w)
{
    for (unsigned hops = 0; hops < HOPS_MOST; hops++) {
        uint64_t link, prefix;
        struct bucket *b = bucket_at(m->seg, ref);
        unsigned depth;
        if (!b)
            return -EUCLEAN;
        link = load64(&b->link);
        prefix = __atomic_load_n(&b->prefix, __ATOMIC_RELAXED);
        depth = LINK_DEPTH(link);
        if (depth > MAP_DEPTH_MOST)
            return -EUCLEAN;
        if (is_right(hash, prefix, depth)) {
            *w = (struct where){b, ref, link};
            return 0;
        }
        ref = link & MAP_REF;
        if (!depth || !ref || !is_right(hash, prefix, depth - 1))
            return 1;
    }
    return -EUCLEAN;
}

/* The directory's hint for a hash. 0: damaged. */
static uint64_t hint_for(const tarn_map *m, uint64_t hash)
{
    uint64_t depth = load64(&m->map->depth), i;
    bool bad = false;
    if (depth > MAP_DEPTH_MOST)
        return 0;
    for (i = hash & low_bits((unsigned)depth);; i ^= 1ull << (63 - __builtin_clzll(i))) {
        const uint64_t *entry = entry_at(m->seg, m->map, i, &bad);
        uint64_t e = entry ? load64(entry) : 0;
        if (e || bad || !i)
            return bad ? 0 : e & MAP_REF;
    }
}

int map_descend(const tarn_map *m, uint64_t hash, struct where *w)
{
    int e = 1;
    for (int i = 0; e == 1 && i < TRIES; i++) {
        if (i > 10)
            sched_yield();
        e = map_follow(m, hash, hint_for(m, hash), w);
    }
    return e == 1 ? -EUCLEAN : e;
}

int map_hash_of(const tarn_map *m, uint64_t ref, uint64_t *ret_hash)
{
    const struct entry_bytes *e = at_offset(m->seg, ref & MAP_REF);
    uint64_t keys, values;
    if (!map_block(m->seg, ref, sizeof *e))
        return -EUCLEAN;
    keys = __atomic_load_n(&e->key_size, __ATOMIC_RELAXED);
    values = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
    if (!in_data(m->seg, ref, sizeof *e + values + keys))
        return -EUCLEAN;
    *ret_hash = hash_bytes(m->seed, (const char *)(e + 1) + values, keys);
    return 0;
}

static int damaged(const tarn_map *m, uint64_t ref)
{
    return fail(-EUCLEAN, "the map at ref %#llx is damaged at ref %#llx: run tarn check",
                (unsigned long long)m->ref, (unsigned long long)ref);
}

int map_retire_block(struct self *s, uint64_t ref)
{
    if (TARN_RARE(log_word(s, LOG_WORD(ref, LOG_RETIRE))))
        return log_is_full();
    return 0;
}

/* ---- chains ---- */

/* The next bucket of a chain, or NULL at its end; *ret_bad if there is one that cannot be. */
static struct bucket *chain_next(const tarn_map *m, const struct bucket *b, bool *ret_bad)
{
    uint64_t ref = load64(&b->overflow);
    struct bucket *next;
    if (!ref)
        return NULL;
    next = bucket_at(m->seg, ref);
    *ret_bad = !next;
    return next;
}

static bool is_empty(const struct bucket *b)
{
    uint64_t any = 0;
    for (unsigned p = 0; p < MAP_PARTS; p++)
        for (unsigned i = 0; i < 7; i++)
            any |= b->tags[p].word[i];
    return !any;
}

/* An empty bucket's slots, where it has none yet: its maker died, or had no memory for them. */
static int slots_make(struct self *s, struct bucket *b)
{
    struct fresh f;
    int e;
    if (b->slots)
        return 0;
    e = heap_pick(s, sizeof(struct pairs), &f);
    if (e < 0)
        return e;
    heap_publish(s, &f, &b->slots, f.block);
    return 0;
}

/* The bucket behind *link, which is made, empty, if there is none. 0, or a failure. */
static int chain_make(struct self *s, uint64_t *link, struct bucket **ret)
{
    struct fresh f;
    if (!*link) {
        int e = heap_pick(s, sizeof **ret, &f);
        if (e < 0)
            return e;
        heap_publish(s, &f, link, f.block);
    }
    *ret = bucket_at(s->seg, *link);
    return *ret ? slots_make(s, *ret) : -EUCLEAN;
}

int map_free_slot(struct self *s, tarn_map *m, const struct where *w, uint64_t hash, enum room room,
                  struct place *ret)
{
    struct bucket *b = w->bucket, *last = b;
    unsigned n = 0, part = part_of(hash);
    bool bad = false;
    int e;
    for (; b; b = chain_next(m, b, &bad), n++) {
        uint64_t free = part_free(&b->tags[part]);
        if (n > CHAIN_MOST)
            return damaged(m, w->ref);
        if (free && (n == 0 || b->slots)) {
            *ret = (struct place){b, slots_of(s->seg, b), part, slot_for(free, hash)};
            return ret->slots ? 1 : damaged(m, w->ref);
        }
        if (room == FIRST_ONLY)
            return 0;
        if (n == 0 || b->slots)
            last = b;
    }
    if (bad)
        return damaged(m, w->ref);
    if (room != CHAIN_GROW)
        return 0;
    if (n > CHAIN_MOST - 1)
        return fail(-ENOSPC,
                    "a section put too many keys into one bucket of the map: commit in smaller sections");
    e = chain_make(s, &last->overflow, &b);
    if (e < 0)
        return e == -EUCLEAN ? damaged(m, w->ref) : e;
    *ret = (struct place){b, slots_of(s->seg, b), part, 0};
    return ret->slots ? 1 : damaged(m, w->ref);
}

int map_unchain(struct self *s, tarn_map *m, struct bucket *b)
{
    struct bucket *empty[CHAIN_MOST + 1];
    unsigned n = 0;
    bool bad = false;
    for (struct bucket *o = chain_next(m, b, &bad); o; o = chain_next(m, o, &bad)) {
        if (!is_empty(o) || n > CHAIN_MOST)
            return 0;
        empty[n++] = o;
    }
    if (!n || bad)
        return 0;
    int e = log_save(s, offset_of(s->seg, &b->overflow), 1);
    if (e < 0)
        return fail(e, "no memory for the log of a section that changes a map");
    store64(&b->overflow, 0);
    while (n-- && e >= 0) {
        e = empty[n]->slots ? map_retire_block(s, empty[n]->slots) : 0;
        if (e >= 0)
            e = map_retire_block(s, offset_of(s->seg, empty[n]));
    }
    return e;
}

/* ---- cleaning ---- */

/* Store a key into a free slot, its tag last. Where nothing is saved: in a split. `first` counts. */
static void fill_slot(struct bucket *first, const struct place *to, const struct slot *pair)
{
    struct slot *slot = place_slot(to);
    uint64_t *head = &first->tags[to->part].head;
    if (to->bucket == first && is_away(to->at, pair->hash))
        store64(head, *head | HEAD_AWAY(quarter_of(pair->hash)));
    store64(&first->reuse, first->reuse + 1);
    store64(&slot->hash, no_hash(pair->hash));
    store64(&slot->word, pair->word);
    store64(&slot->hash, pair->hash);
    store64(place_tags(to), *place_tags(to) | tag_bits(tag_of(pair->hash), to->at));
}

/* Keys of the chain's other buckets into free slots of the first: stored there before their tags are zeroed here, while readers look at
 * the first bucket last. After a death in between, a key that stands in both is only taken out here. */
static void fold(const tarn_map *m, struct bucket *b)
{
    struct pairs *to = slots_of(m->seg, b);
    bool bad = false;
    unsigned n = 0;
    for (struct bucket *o = chain_next(m, b, &bad); o && n <= CHAIN_MOST; o = chain_next(m, o, &bad), n++) {
        const struct pairs *from = slots_of(m->seg, o);
        for (unsigned p = 0; from && to && p < MAP_PARTS; p++)
            for (uint64_t used = part_used(&o->tags[p]); used; used &= used - 1) {
                unsigned at = (unsigned)__builtin_ctzll(used);
                struct slot pair = from->at[p][at];
                bool there = false;
                uint64_t free, *tags = &o->tags[p].word[at / 8];
                for (uint64_t same = part_match(&b->tags[p], tag_of(pair.hash)); same; same &= same - 1) {
                    const struct slot *x = &to->at[p][__builtin_ctzll(same)];
                    there |= x->hash == pair.hash && (m->u64 || x->word == pair.word);
                }
                free = part_free(&b->tags[p]);
                if (!there && !free)
                    break;
                if (!there)
                    fill_slot(b, &(struct place){b, to, p, slot_for(free, pair.hash)}, &pair);
                store64(tags, *tags & ~tag_bits(0xff, at));
            }
    }
}

/* Bytes 0xff where the hash bit is set. */
static inline uint64_t with_bit(const struct slot *slot, unsigned bit)
{
    uint64_t x = 0;
    for (unsigned k = 0; k < 8; k++)
        x |= (-(slot[k].hash >> bit & 1) & 0xff) << 8 * k;
    return x;
}

/* Of a part's used slots, those whose keys are of another quarter. Without branches. */
static uint64_t slots_away(const struct slot *slots, uint64_t used)
{
    uint64_t here = 0;
    for (unsigned q = 0; q < MAP_QUARTERS; q++)
        for (unsigned k = q * MAP_QUARTER; k < (q + 1) * MAP_QUARTER; k++)
            here |= (uint64_t)(quarter_of(slots[k].hash) == q) << k;
    return used & ~here;
}
/* What a part's head must say of these. */
static uint64_t away_of(const struct slot *slots, uint64_t away)
{
    uint64_t said = 0;
    for (; away; away &= away - 1)
        said |= HEAD_AWAY(quarter_of(slots[__builtin_ctzll(away)].hash));
    return said;
}

/* The tags of keys that are the sibling's: zeroed. Slots cannot be changed by others. */
static void clear_moved(struct bucket *b, const struct pairs *slots, unsigned bit)
{
    for (unsigned p = 0; p < MAP_PARTS; p++)
        for (unsigned i = 0; i < 7; i++) {
            uint64_t was = b->tags[p].word[i], keep = ~with_bit(&slots->at[p][8 * i], bit);
            if (was & ~keep)
                store64(&b->tags[p].word[i], was & keep);
        }
}

/* ---- the directory ---- */

/* Entry i, made if need be. The directory's lock is held. */
static int entry_make(struct self *s, tarn_map *m, uint64_t i, uint64_t **ret)
{
    struct map *map = m->map;
    uint64_t n = i >> MAP_SEGMENT_SHIFT, *place;
    struct fresh f;
    bool bad = false;
    int e;
    *ret = entry_at(s->seg, map, i, &bad);
    if (bad)
        return damaged(m, m->ref);
    if (*ret)
        return 0;
    place = segment_place(s->seg, map, n, &bad);
    if (bad)
        return damaged(m, m->ref);
    if (!place) {
        unsigned k = 60 - (unsigned)__builtin_clzll(n);
        if (k >= MAP_TABLES)
            return damaged(m, m->ref);
        e = heap_pick(s, 8ull * MAP_SEGMENTS << (k - 1), &f);
        if (e < 0)
            return e;
        heap_publish(s, &f, &map->table[k], f.block);
        place = segment_place(s->seg, map, n, &bad);
        if (!place)
            return damaged(m, m->ref);
    }
    e = heap_pick(s, 8 * MAP_SEGMENT, &f);
    if (e < 0)
        return e;
    if (n == 0)
        memcpy(at_offset(s->seg, f.block), map->first, sizeof map->first);
    compiler_barrier();
    heap_publish(s, &f, place, f.block);
    *ret = entry_at(s->seg, map, i, &bad);
    return *ret ? 0 : damaged(m, m->ref);
}

/* Copy some entries up. What cannot be done now, for want of memory, the next split does. */
static void directory_fill(struct self *s, tarn_map *m)
{
    struct map *map = m->map;
    uint64_t from = map->filled, i, end = 1ull << map->depth;
    end = end < from + FILL ? end : from + FILL;
    if (!from || from >= end)
        return;
    for (i = from; i < end; i++) {
        unsigned top = 63 - (unsigned)__builtin_clzll(i);
        const uint64_t *lower;
        uint64_t *entry;
        bool bad = false;
        if (i > from && !(i & (MAP_SEGMENT - 1)))
            break; /* at most one segment is made at a time */
        lower = entry_at(s->seg, map, i ^ 1ull << top, &bad);
        if (!lower || entry_make(s, m, i, &entry))
            break;
        if (!*entry && LINK_DEPTH(*lower) > top)
            break; /* damaged: who split that bucket led this entry */
        if (!*entry)
            store64(entry, *lower);
    }
    store64(&map->filled, i);
}

/* The directory's entries of the sibling's part lead to it, and those of b's own part say its new depth. The directory's lock is held. */
static int directory_lead(struct self *s, tarn_map *m, const struct where *w)
{
    struct map *map = m->map;
    unsigned depth = LINK_DEPTH(w->link);
    uint64_t sibling = LINK_WORD(depth, 0, w->link & MAP_REF), b = LINK_WORD(depth, 0, w->ref), *entry;
    uint64_t prefix = w->bucket->prefix | 1ull << (depth - 1), end;
    int e;
    if (map->depth > MAP_DEPTH_MOST)
        return damaged(m, m->ref);
    e = entry_make(s, m, prefix, &entry);
    if (e < 0)
        return e;
    if (map->depth < depth)
        store64(&map->depth, depth);
    end = 1ull << map->depth;
    for (uint64_t i = prefix; i < end; i += 1ull << depth) {
        const struct bucket *now;
        bool bad = false;
        entry = entry_at(s->seg, map, i, &bad);
        if (bad)
            return damaged(m, m->ref);
        if (!entry || (i != prefix && !*entry))
            continue; /* the lower one is asked */
        now = !*entry || (*entry & MAP_REF) == w->ref ? NULL : bucket_at(s->seg, *entry & MAP_REF);
        if (!now || now->prefix < prefix)
            store64(entry, sibling);
    }
    for (uint64_t i = w->bucket->prefix; i < end; i += 1ull << depth) {
        bool bad = false;
        entry = entry_at(s->seg, map, i, &bad);
        if (entry && (*entry & MAP_REF) == w->ref)
            store64(entry, b);
    }
    directory_fill(s, m);
    map->buckets++;
    return 0;
}

/* What the head of a bucket's part has to say of keys that are not the sibling's. */
static uint64_t staying_away(const struct bucket *b, const struct pairs *slots, unsigned p, unsigned bit)
{
    uint64_t away = slots_away(slots->at[p], part_used(&b->tags[p]));
    for (uint64_t rest = away; rest; rest &= rest - 1)
        away ^= (slots->at[p][__builtin_ctzll(rest)].hash >> bit & 1) << __builtin_ctzll(rest);
    return away_of(slots->at[p], away);
}

/* What is left to do after a split. The bucket's lock is held. fresh: this section has written nothing in it. 0: done; a failure leaves the
 * bucket as it was, CLEANING and usable. */
static int clean(struct self *s, tarn_map *m, struct where *w, bool fresh)
{
    struct bucket *b = w->bucket;
    unsigned depth = LINK_DEPTH(w->link), n = 0;
    const struct pairs *slots = slots_of(m->seg, b);
    bool bad = false;
    int e;
    if (depth - 1 >= MAP_DEPTH_MOST)
        return damaged(m, w->ref);
    for (unsigned p = 0; p < MAP_PARTS; p++) { /* before any tag is zeroed: so who misses a key knows */
        uint64_t keep = HEAD_AWAY_ALL | (b->overflow ? HEAD_CHAINED : 0);
        uint64_t head = HEAD_WORD(depth, part_slots(b->slots, p)) | (b->tags[p].head & keep);
        if (fresh && slots) /* else an undo may put keys back that are not seen now */
            head &= ~HEAD_AWAY_ALL | staying_away(b, slots, p, depth - 1);
        if (b->tags[p].head != head)
            store64(&b->tags[p].head, head);
    }
    for (struct bucket *o = b; o && n <= CHAIN_MOST; o = chain_next(m, o, &bad), n++) {
        slots = o->slots ? slots_of(m->seg, o) : NULL;
        if (slots)
            clear_moved(o, slots, depth - 1);
    }
    if (fresh && b->overflow)
        fold(m, b);
    if (b->spare)
        store64(&b->spare, 0); /* the sibling's, as are these: */
    if (b->new_slots)
        store64(&b->new_slots, 0);
    e = mutex_lock_inner(s, &m->map->directory);
    if (e < 0)
        return e;
    e = directory_lead(s, m, w);
    mutex_unlock_inner(s, &m->map->directory);
    if (e < 0)
        return e;
    w->link &= ~LINK_CLEANING;
    store64(&b->link, w->link);
    return 0;
}

/* ---- splitting ---- */

/* May the directory become that deep? Keys made to collide must not fill the memory with it. */
static bool may_deepen(const struct map *map, unsigned depth)
{
    return depth <= MAP_DEPTH_MOST &&
           (depth <= load64(&map->depth) || 1ull << depth <= DIRECTORY_SHARE * load64(&map->buckets) + 1024);
}

/* Keys of a part of a bucket that is still a free block go to their own quarters, as far as there is room. */
static void bring_home(struct bucket *b, struct slot *slots, unsigned p)
{
    uint64_t away = slots_away(slots, part_used(&b->tags[p])), left = 0;
    for (; away; away &= away - 1) {
        unsigned from = (unsigned)__builtin_ctzll(away), quarter = quarter_of(slots[from].hash), to;
        uint64_t free = part_free(&b->tags[p]) & quarter_slots(quarter);
        if (!free) {
            left |= HEAD_AWAY(quarter);
            continue;
        }
        to = (unsigned)__builtin_ctzll(free);
        slots[to].hash = slots[from].hash;
        slots[to].word = slots[from].word;
        b->tags[p].word[to / 8] |= tag_bits(tag_at(&b->tags[p], from), to);
        b->tags[p].word[from / 8] &= ~tag_bits(0xff, from);
    }
    b->tags[p].head |= left;
}

/* Of a bucket without a chain: the sibling has the keys with that bit of their hash set, each where it stood, or in its own quarter. */
static void move(const struct bucket *b, const struct pairs *from, struct bucket *sibling, struct pairs *to,
                 unsigned bit)
{
    memcpy(to, from, sizeof *to);
    for (unsigned p = 0; p < MAP_PARTS; p++)
        for (unsigned i = 0; i < 7; i++)
            sibling->tags[p].word[i] = b->tags[p].word[i] & with_bit(&from->at[p][8 * i], bit);
    for (unsigned p = 0; p < MAP_PARTS; p++)
        bring_home(sibling, to->at[p], p);
}

/* Room for what moves of a chain, beyond one sibling: empty buckets that hang from b->spare until the sibling is published, with whatever a dead splitter left
 * there. 0, or -ENOSPC, -EUCLEAN. */
static int spares(struct self *s, tarn_map *m, struct bucket *b, unsigned bit)
{
    unsigned most = 0, n = 0;
    bool bad = false;
    for (unsigned p = 0; p < MAP_PARTS; p++) {
        unsigned count = 0, hops = 0;
        for (const struct bucket *o = b; o; o = chain_next(m, o, &bad), hops++) {
            const struct pairs *slots = o->slots ? slots_of(m->seg, o) : NULL;
            if (hops > CHAIN_MOST)
                return -EUCLEAN;
            for (uint64_t used = slots ? part_used(&o->tags[p]) : 0; used; used &= used - 1)
                count += slots->at[p][__builtin_ctzll(used)].hash >> bit & 1;
        }
        most = count > most ? count : most;
    }
    if (bad)
        return -EUCLEAN;
    for (uint64_t *link = &b->spare; *link || (n + 1) * MAP_SLOTS < most; n++) {
        struct bucket *o;
        int e = chain_make(s, link, &o);
        if (e < 0)
            return e;
        if (n > CHAIN_MOST)
            return -EUCLEAN;
        memset(o->tags, 0, sizeof o->tags);
        compiler_barrier();
        link = &o->overflow;
    }
    return 0;
}

/* The keys of b's chain that move into the sibling, which is still a free block, and b's spares behind it. */
static void move_chain(const tarn_map *m, const struct bucket *b, struct bucket *sibling, unsigned bit)
{
    bool bad = false;
    sibling->overflow = b->spare;
    for (const struct bucket *o = b; o; o = chain_next(m, o, &bad)) {
        const struct pairs *from = o->slots ? slots_of(m->seg, o) : NULL;
        for (unsigned p = 0; from && p < MAP_PARTS; p++)
            for (uint64_t used = part_used(&o->tags[p]); used; used &= used - 1) {
                const struct slot *pair = &from->at[p][__builtin_ctzll(used)];
                if (!(pair->hash >> bit & 1))
                    continue;
                for (struct bucket *to = sibling; to; to = chain_next(m, to, &bad)) {
                    uint64_t free = part_free(&to->tags[p]);
                    struct pairs *slots = slots_of(m->seg, to);
                    if (!free || !slots)
                        continue;
                    fill_slot(sibling, &(struct place){to, slots, p, slot_for(free, pair->hash)}, pair);
                    if (to != sibling)
                        sibling->tags[p].head |= HEAD_CHAINED;
                    break;
                }
            }
    }
}

int map_split(struct self *s, tarn_map *m, struct where *w)
{
    struct bucket *b = w->bucket, *sibling;
    unsigned depth = LINK_DEPTH(w->link);
    const struct pairs *from = slots_of(s->seg, b);
    struct pairs *to;
    struct fresh f;
    int e = 0;
    if (w->link & LINK_CLEANING || !may_deepen(m->map, depth + 1))
        return 0;
    if (!b->new_slots) {
        e = heap_pick(s, sizeof *to, &f);
        if (e < 0)
            return e;
        heap_publish(s, &f, &b->new_slots, f.block);
    }
    to = b->new_slots & 63 || !in_data(s->seg, b->new_slots, sizeof *to) ? NULL : at_offset(s->seg, b->new_slots);
    if (b->overflow || b->spare)
        e = spares(s, m, b, depth);
    if (!from || !to || e == -EUCLEAN)
        return damaged(m, w->ref);
    if (e < 0 || (e = heap_pick(s, sizeof *sibling, &f)) < 0)
        return e;
    sibling = at_offset(s->seg, f.block);
    sibling->prefix = b->prefix | 1ull << depth;
    sibling->link = (uint64_t)(depth + 1) << 56; /* no flags, no sibling of its own */
    sibling->slots = b->new_slots;
    if (b->overflow || b->spare)
        move_chain(m, b, sibling, depth);
    else
        move(b, from, sibling, to, depth);
    for (unsigned p = 0; p < MAP_PARTS; p++)
        sibling->tags[p].head |= HEAD_WORD(depth + 1, part_slots(b->new_slots, p));
    compiler_barrier();
    w->link = LINK_WORD(depth + 1, LINK_CLEANING, f.block);
    heap_publish(s, &f, &b->link, w->link);
    (void)clean(s, m, w, true); /* what it could not do, the next holder does */
    return 1;
}

/* ---- taking ---- */

/* Marked by an unbind: which may be under way yet, and be undone; its section holds the names' lock. */
static int map_gone(struct self *s, const tarn_map *m)
{
    const struct name_zone *z = (const struct name_zone *)at_offset(s->seg, s->seg->geometry.zone[ZONE_NAME]);
    if (load32(&z->lock.owner) & ~ID_DIRTY)
        return fail(-EDEADLK, "the map at ref %#llx is being unbound just now: abort, and try again",
                    (unsigned long long)m->ref);
    if (load64(&m->map->state) != MAP_GONE)
        return fail(-EDEADLK, "the map at ref %#llx was being unbound, and that was undone: abort, and try again",
                    (unsigned long long)m->ref);
    return fail(-ESTALE, "the map was unbound and its memory given back");
}

/* A bucket whose key's way leads on to its sibling, is CLEANING: nobody changes that before the old one is cleaned. It is locked for so long
 * only. */
static int clean_on_the_way(struct self *s, tarn_map *m, struct where *w)
{
    bool held = mutex_held(s, &w->bucket->lock);
    int e = held ? 0 : mutex_lock_inner(s, &w->bucket->lock);
    if (e < 0)
        return e;
    w->link = load64(&w->bucket->link);
    if (w->link & LINK_CLEANING && load64(&m->map->state) != MAP_GONE)
        (void)clean(s, m, w, !held);
    if (!held)
        mutex_unlock_inner(s, &w->bucket->lock);
    return 0;
}

/* As map_follow, for who is going to change the bucket. 0, 1; -EUCLEAN without a sentence, or another failure. */
static int follow_to_change(struct self *s, tarn_map *m, uint64_t hash, uint64_t ref, struct where *w)
{
    for (unsigned hops = 0; hops < HOPS_MOST; hops++) {
        struct bucket *b = bucket_at(m->seg, ref);
        unsigned depth;
        if (!b)
            return -EUCLEAN;
        *w = (struct where){b, ref, load64(&b->link)};
        depth = LINK_DEPTH(w->link);
        if (depth > MAP_DEPTH_MOST)
            return -EUCLEAN;
        if (is_right(hash, b->prefix, depth))
            return 0;
        if (TARN_RARE(w->link & LINK_CLEANING)) {
            int e = clean_on_the_way(s, m, w);
            if (e < 0)
                return e;
            depth = LINK_DEPTH(w->link);
        }
        ref = w->link & MAP_REF;
        if (!depth || !ref || !is_right(hash, b->prefix, depth - 1))
            return 1;
    }
    return -EUCLEAN;
}

static int take_pinned(struct self *s, tarn_map *m, uint64_t hash, struct where *w, bool *ret_fresh)
{
    uint64_t index, guess = map_guess(m, hash, &index);
    for (int i = 0; i < TRIES; i++) {
        bool fresh = true;
        int e = follow_to_change(s, m, hash, i ? hint_for(m, hash) : guess & MAP_REF, w);
        if (TARN_RARE(e == 1)) { /* the hint is stale */
            map_learn(m);
            if (i > 10)
                sched_yield();
            continue;
        }
        if (TARN_RARE(e < 0))
            return e == -EUCLEAN ? damaged(m, m->ref) : e;
        if (mutex_held(s, &w->bucket->lock))
            fresh = false;
        else {
            e = mutex_lock_to_the_end(s, &w->bucket->lock); /* never comes dirty: only sections take it */
            if (TARN_RARE(e < 0))
                return e;
        }
        if (TARN_RARE(load64(&m->map->state) == MAP_GONE))
            return map_gone(s, m);
        w->link = load64(&w->bucket->link);
        if (TARN_RARE(w->link & LINK_CLEANING))
            (void)clean(s, m, w, fresh);
        if (is_right(hash, w->bucket->prefix, LINK_DEPTH(w->link))) {
            *ret_fresh = fresh;
            return 0;
        }
    }
    return damaged(m, m->ref);
}

/* Pinned from the descent until it is known, under the bucket's lock, that the map is not unbound: from there on whoever unbinds it waits for that
 * lock. Until then the bucket may be retired, and must not become something else. */
int map_take(struct self *s, tarn_map *m, uint64_t hash, struct where *w, bool *ret_fresh)
{
    epoch_pin(s);
    int e = take_pinned(s, m, hash, w, ret_fresh);
    epoch_unpin(s);
    return e;
}

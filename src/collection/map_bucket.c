/* collection/map_bucket.c - the map's structure: finding a hash's bucket, splitting, cleaning up after a split, the directory.
 *
 * Commit points. A split: the store of {depth + 1, CLEANING, sibling} in the old bucket's link (heap_publish): before it the sibling is a free block;
 * after it, all who come to the old bucket see where to go on. What moves is marked in its slots (SLOT_MOVES) before that store, and
 * the marks count only from that store on, while CLEANING is set. Then, all of it repeatable: the marked slots are zeroed; an overflow chain is
 * folded into the bucket; the directory's entries are led to the sibling; CLEANING is cleared, one store. Whoever takes the lock of a bucket that is
 * CLEANING (its splitter died, or the directory could not grow) does that first. Marks, and not a second look at the keys: the sibling's
 * entries may have been removed, and their blocks reused, before the cleaning is done. The splitter also takes words to their home line, where
 * quick look-ups find them.
 * A bucket does not split while it is CLEANING, so every hint leads to it or to its newest sibling. A sibling may split meanwhile; therefore a
 * directory entry is only ever led to a bucket of a greater prefix (of those that fit an index, the greater was born later).
 * The directory doubles by one chunk: the chunk, filled with the lower half's entries, is published; then depth is stored.
 * Buckets are never merged, nor freed before the map is. */
#include <sched.h>

#include "collection/map.h"
#include "name/layout.h"

#define TRIES 1000 /* hints that led astray one after the other: a split each */
#define HOPS_MOST 64
#define CROWD                                                                                                \
    44 /* keys among 56 slots from which on a bucket is split rather than a key put beside its home line */
#define DIRECTORY_SHARE 64 /* directory entries a bucket, at most: against keys made to collide */

bool bucket_is_whole(const struct tarn *seg, uint64_t ref, uint64_t lines)
{
    uint64_t size;
    return lines - 1 < 1ull << 36 && heap_state((struct tarn *)seg, ref, &size) != BLOCK_NONE &&
           64 * (1 + lines) <= size;
}

/* ---- finding ---- */

/* Along the siblings from the bucket at ref. 0, 1: the hint is stale, ask the directory again; -EUCLEAN. */
static int follow(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *w)
{
    for (unsigned hops = 0; hops < HOPS_MOST; hops++) {
        uint64_t lines, link, prefix;
        struct bucket *b = bucket_at(m->seg, ref, &lines);
        unsigned depth;
        if (!b)
            return -EUCLEAN;
        link = load64(&b->link);
        prefix = __atomic_load_n(&b->prefix, __ATOMIC_RELAXED);
        depth = LINK_DEPTH(link);
        if (depth > MAP_DEPTH_MOST)
            return -EUCLEAN;
        if (is_right(hash, prefix, depth)) {
            *w = (struct where){b, ref, link, lines};
            return 0;
        }
        ref = link & MAP_REF;
        if (!depth || !ref || !is_right(hash, prefix, depth - 1))
            return 1;
    }
    return -EUCLEAN;
}

int map_follow(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *w)
{
    return follow(m, hash, ref, w);
}

int map_descend_from(const tarn_map *m, uint64_t hash, uint64_t ref, struct where *w)
{
    int e = follow(m, hash, ref, w);
    for (int i = 0; e == 1 && i < TRIES; i++) {
        const uint64_t *hint;
        uint64_t depth = load64(&m->map->depth);
        if (i > 10)
            sched_yield();
        hint = depth > MAP_DEPTH_MOST ? NULL : directory_at(m->seg, m->map, hash & low_bits((unsigned)depth));
        if (!hint)
            return -EUCLEAN;
        e = follow(m, hash, load64(hint), w);
    }
    return e == 1 ? -EUCLEAN : e;
}

int map_descend(const tarn_map *m, uint64_t hash, struct where *w)
{
    uint64_t depth = load64(&m->map->depth);
    const uint64_t *hint =
        depth > MAP_DEPTH_MOST ? NULL : directory_at(m->seg, m->map, hash & low_bits((unsigned)depth));
    return hint ? map_descend_from(m, hash, load64(hint), w) : -EUCLEAN;
}

int map_hash_of(const tarn_map *m, uint64_t word, uint64_t *ret_hash)
{
    uint64_t ref = word & MAP_REF;
    if (m->u64) {
        const struct entry_u64 *e = at_offset(m->seg, ref);
        if (!map_block(m->seg, ref, sizeof *e))
            return -EUCLEAN;
        *ret_hash = hash_number(m->seed, e->key);
    } else {
        const struct entry_bytes *e = at_offset(m->seg, ref);
        uint64_t keys, values;
        if (!map_block(m->seg, ref, sizeof *e))
            return -EUCLEAN;
        keys = __atomic_load_n(&e->key_size, __ATOMIC_RELAXED);
        values = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
        if (!in_data(m->seg, ref, sizeof *e + values + keys))
            return -EUCLEAN;
        *ret_hash = hash_bytes(m->seed, (const char *)(e + 1) + values, keys);
    }
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
static struct bucket *chain_next(const tarn_map *m, const struct bucket *b, uint64_t *ret_lines, bool *ret_bad)
{
    uint64_t ref = load64(&b->overflow);
    struct bucket *next;
    if (!ref)
        return NULL;
    next = bucket_at(m->seg, ref, ret_lines);
    *ret_bad = !next;
    return next;
}

static uint64_t *free_in(struct bucket *b, uint64_t lines, uint64_t hash)
{
    uint64_t line = home_line(hash, lines);
    for (uint64_t n = 0; n < lines; n++) {
        uint64_t *slot = slots_of(b) + line * 8;
        for (unsigned i = 0; i < 8; i++)
            if (!slot[i])
                return &slot[i];
        if (++line == lines)
            line = 0;
    }
    return NULL;
}

/* Make an empty overflow bucket at the chain's end. The bucket is filled while it is free, and linked by one store, for good. */
static int chain_grow(struct self *s, struct bucket *last, uint64_t lines, uint64_t prefix, struct bucket **ret_new)
{
    struct fresh f;
    struct bucket *b;
    int e = heap_pick(s, 64 * (1 + lines), &f);
    if (e < 0 && lines > MAP_LINES) {
        lines = MAP_LINES;
        e = heap_pick(s, 64 * (1 + lines), &f);
    }
    if (e < 0)
        return e;
    b = at_offset(s->seg, f.block);
    b->lines = lines;
    b->prefix = prefix;
    heap_publish(s, &f, &last->overflow, f.block);
    *ret_new = b;
    return 0;
}

int map_free_slot(struct self *s, tarn_map *m, const struct where *w, uint64_t hash, enum room room,
                  uint64_t **ret_slot)
{
    struct bucket *b = w->bucket, *last = b;
    uint64_t lines = b->lines, most = lines;
    unsigned n = 0;
    bool bad = false;
    for (; b; b = chain_next(m, b, &lines, &bad), n++) {
        *ret_slot = free_in(b, lines, hash);
        if (*ret_slot)
            return 1;
        if (room == FIRST_ONLY)
            return 0;
        if (n > CHAIN_MOST)
            return damaged(m, w->ref);
        most = lines > most ? lines : most;
        last = b;
    }
    if (bad)
        return damaged(m, w->ref);
    if (room != CHAIN_GROW)
        return 0;
    if (n > CHAIN_MOST - 1)
        return fail(-ENOSPC,
                    "a section put too many keys into one bucket of the map: commit in smaller sections");
    int e = chain_grow(s, last, most * 2 + 1, w->bucket->prefix, &b);
    if (e < 0)
        return e;
    *ret_slot = free_in(b, b->lines, hash);
    return 1;
}

int map_unchain(struct self *s, tarn_map *m, struct bucket *b)
{
    uint64_t ref[CHAIN_MOST + 1], lines;
    unsigned n = 0;
    bool bad = false;
    for (struct bucket *o = chain_next(m, b, &lines, &bad), *before = b; o;
         before = o, o = chain_next(m, o, &lines, &bad)) {
        for (uint64_t i = 0; i < lines * 8; i++)
            if (slots_of(o)[i])
                return 0;
        if (n > CHAIN_MOST)
            return 0;
        ref[n++] = before->overflow;
    }
    if (!n || bad)
        return 0;
    int e = log_save(s, offset_of(s->seg, &b->overflow), 1);
    if (e < 0)
        return fail(e, "no memory for the log of a section that changes a map");
    store64(&b->overflow, 0);
    while (n && e >= 0)
        e = map_retire_block(s, ref[--n]);
    return e;
}

/* ---- cleaning ---- */

/* Words of the chain's other buckets into free slots of the first: stored there before they are zeroed here, while readers look at
 * the first bucket last. After a death in between, a word that stands in both is only zeroed. */
static void fold(tarn_map *m, struct bucket *b)
{
    uint64_t lines;
    bool bad = false;
    unsigned n = 0;
    for (struct bucket *o = chain_next(m, b, &lines, &bad); o && n <= CHAIN_MOST;
         o = chain_next(m, o, &lines, &bad), n++)
        for (uint64_t i = 0; i < lines * 8; i++) {
            uint64_t *from = &slots_of(o)[i], w = *from, hash = w & ~(SLOT_MOVES | MAP_REF), *to = NULL;
            bool there = false;
            if (!w)
                continue;
            for (uint64_t j = 0; j < b->lines * 8 && !there; j++)
                there = slots_of(b)[j] == w;
            if (!there) {
                if (map_hash_of(m, w, &hash))
                    continue;
                to = free_in(b, b->lines, hash);
                if (!to)
                    return;
                store64(to, w);
            }
            store64(from, 0);
        }
}

/* Words that were put into another line because their home line was full go home, where a quick look-up finds them: stored there before
 * they are zeroed here, and only once while the bucket is CLEANING, since readers then look through it twice. So only the splitter moves
 * words; who cleans after its death (move: false) only zeroes what stands in both places. */
static void go_home(const tarn_map *m, struct bucket *b, bool move)
{
    for (uint64_t i = 0; i < b->lines * 8; i++) {
        uint64_t *from = &slots_of(b)[i], w = *from, hash, *home, *to = NULL;
        if (!w || map_hash_of(m, w, &hash) || home_line(hash, b->lines) == i / 8)
            continue;
        home = slots_of(b) + 8 * home_line(hash, b->lines);
        for (unsigned j = 0; j < 8 && !(to && *to == w); j++)
            if (home[j] == w || (move && !home[j]))
                to = &home[j];
        if (!to)
            continue;
        if (*to != w)
            store64(to, w);
        store64(from, 0);
    }
}

/* One chunk more. The directory's lock is held. */
static int directory_grow(struct self *s, tarn_map *m)
{
    struct map *map = m->map;
    uint64_t depth = map->depth, n = 1ull << depth, *to;
    struct fresh f;
    bool there = load64(&map->chunk[depth + 1]) !=
                 0; /* linked by one who died before he stored depth: nobody has read it */
    if (there) {
        if (!in_data(s->seg, map->chunk[depth + 1], n * 8))
            return damaged(m, map->chunk[depth + 1]);
        to = at_offset(s->seg, map->chunk[depth + 1]);
    } else {
        int e = heap_pick(s, n * 8, &f);
        if (e < 0)
            return e;
        to = at_offset(s->seg, f.block);
    }
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t *hint = directory_at(s->seg, map, i);
        if (!hint) {
            if (!there)
                heap_unpick(s, &f);
            return damaged(m, map->chunk[0]);
        }
        to[i] = load64(hint);
    }
    if (!there)
        heap_publish(s, &f, &map->chunk[depth + 1], f.block);
    store64(&map->depth, depth + 1);
    return 0;
}

/* Lead the directory's entries of the sibling's part to it. The directory's lock is held. */
static int directory_lead(struct self *s, tarn_map *m, const struct where *w)
{
    struct map *map = m->map;
    unsigned depth = LINK_DEPTH(w->link);
    uint64_t ref = w->link & MAP_REF, lines, prefix = w->bucket->prefix | 1ull << (depth - 1);
    if (map->depth > MAP_DEPTH_MOST)
        return damaged(m, m->ref);
    while (map->depth < depth) {
        int e = directory_grow(s, m);
        if (e < 0)
            return e;
    }
    for (uint64_t i = prefix; i < 1ull << map->depth; i += 1ull << depth) {
        uint64_t *hint = directory_at(s->seg, map, i);
        const struct bucket *now;
        if (!hint)
            return damaged(m, map->chunk[0]);
        now = *hint == w->ref ? NULL : bucket_at(s->seg, *hint, &lines);
        if (!now || now->prefix < prefix)
            store64(hint, ref);
    }
    map->buckets++;
    return 0;
}

/* What is left to do after a split. The bucket's lock is held. fresh: this section has written nothing in it; splitter: it has just split
 * it. 0: done; a failure leaves the bucket as it was, CLEANING and usable. */
static int clean(struct self *s, tarn_map *m, struct where *w, bool fresh, bool splitter)
{
    struct bucket *b = w->bucket;
    uint64_t lines = b->lines;
    bool bad = false;
    unsigned n = 0;
    int e;
    for (struct bucket *o = b; o && n <= CHAIN_MOST; o = chain_next(m, o, &lines, &bad), n++)
        for (uint64_t i = 0; i < lines * 8; i++)
            if (slots_of(o)[i] & SLOT_MOVES)
                store64(&slots_of(o)[i], 0);
    if (fresh && b->overflow)
        fold(m, b);
    else if (fresh)
        go_home(m, b, splitter);
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

/* Mark what moves with bit `depth` of its hash set, and take the marks off what stays. Returns how many move, or -EUCLEAN. */
static int64_t mark(tarn_map *m, struct bucket *b, unsigned depth)
{
    uint64_t lines = b->lines, hash;
    int64_t count = 0;
    bool bad = false;
    unsigned n = 0;
    for (uint64_t i = 0; i < lines * 8; i++)
        __builtin_prefetch(at_offset(m->seg, slots_of(b)[i] & MAP_REF));
    for (struct bucket *o = b; o; o = chain_next(m, o, &lines, &bad), n++) {
        if (n > CHAIN_MOST)
            return -EUCLEAN;
        for (uint64_t i = 0; i < lines * 8; i++) {
            uint64_t *slot = &slots_of(o)[i], w = *slot, as;
            if (!w)
                continue;
            if (map_hash_of(m, w, &hash))
                return -EUCLEAN;
            as = hash >> depth & 1 ? w | SLOT_MOVES : w & ~SLOT_MOVES;
            if (as != w)
                store64(slot, as);
            count += hash >> depth & 1;
        }
    }
    return bad ? -EUCLEAN : count;
}

/* The marked words of b's chain into the sibling, which is still a free block. */
static void move(tarn_map *m, const struct bucket *b, struct bucket *sibling)
{
    uint64_t lines = b->lines, hash;
    bool bad = false;
    for (const struct bucket *o = b; o; o = chain_next(m, o, &lines, &bad))
        for (uint64_t i = 0; i < lines * 8; i++) {
            uint64_t w = slots_of(o)[i], *to;
            if (w & SLOT_MOVES && !map_hash_of(m, w, &hash) && (to = free_in(sibling, sibling->lines, hash)))
                *to = w & ~SLOT_MOVES;
        }
}

bool map_crowded(const struct where *w, uint64_t hash, const uint64_t *slot)
{
    const struct bucket *b = w->bucket;
    uint64_t line = (uint64_t)(slot - slots_of(b)) / 8, count = 0;
    if (line == home_line(hash, b->lines))
        return false;
    for (uint64_t i = 0; i < b->lines * 8; i++)
        count += slots_of(b)[i] != 0;
    return 56 * count >= CROWD * 8 * b->lines;
}

/* May the directory become that deep? Keys made to collide must not fill the memory with it. */
static bool may_deepen(const struct map *map, unsigned depth)
{
    return depth <= MAP_DEPTH_MOST &&
           (depth <= load64(&map->depth) || 1ull << depth <= DIRECTORY_SHARE * load64(&map->buckets) + 1024);
}

int map_split(struct self *s, tarn_map *m, struct where *w)
{
    struct bucket *b = w->bucket, *sibling;
    unsigned depth = LINK_DEPTH(w->link);
    uint64_t lines = MAP_LINES;
    struct fresh f;
    int64_t moving;
    int e;
    if (w->link & LINK_CLEANING || !may_deepen(m->map, depth + 1))
        return 0;
    moving = mark(m, b, depth);
    if (moving < 0)
        return damaged(m, w->ref);
    while (lines * 8 < (uint64_t)moving) /* after a chain: one sibling with room for all */
        lines = lines * 2 + 1;
    e = heap_pick(s, 64 * (1 + lines), &f);
    if (e < 0)
        return e;
    sibling = at_offset(s->seg, f.block);
    sibling->lines = lines;
    sibling->prefix = b->prefix | 1ull << depth;
    sibling->link = (uint64_t)(depth + 1) << 56; /* no flags, no sibling of its own */
    move(m, b, sibling);
    w->link = LINK_WORD(depth + 1, LINK_CLEANING, f.block);
    heap_publish(s, &f, &b->link, w->link);
    (void)clean(s, m, w, true, true); /* what it could not do, the next holder does */
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

static int take_pinned(struct self *s, tarn_map *m, uint64_t hash, struct where *w, bool *ret_fresh)
{
    for (int i = 0; i < TRIES; i++) {
        int e = map_descend_fast(m, hash, w);
        bool fresh = true;
        if (TARN_RARE(e < 0))
            return damaged(m, m->ref);
        if (mutex_held(s, &w->bucket->lock))
            fresh = false;
        else {
            e = mutex_lock_in(s, &w->bucket->lock); /* never comes dirty: only sections take it */
            if (TARN_RARE(e < 0))
                return e;
            mutex_release(s, &w->bucket->lock); /* put off to the end of the section */
        }
        if (TARN_RARE(load64(&m->map->state) == MAP_GONE))
            return map_gone(s, m);
        w->link = load64(&w->bucket->link);
        if (TARN_RARE(w->link & LINK_CLEANING))
            (void)clean(s, m, w, fresh, false);
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

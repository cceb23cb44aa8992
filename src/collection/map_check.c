/* collection/map_check.c - a whole map looked at, or given back.
 *
 * map_check believes nothing, takes no lock, and reports what it sees; while others work that may be in motion, so its caller looks again.
 * It reads slots and entries without a pin: each length is checked before it is followed.
 * map_retire runs in the section that unbinds the map's name; that section's commit gives all blocks back. It passes through every bucket's
 * lock once, after the map was marked MAP_GONE, so no section that changes the map is under way afterwards. Handles that others still
 * have are useless then (-ESTALE, until the memory is used for something else): as with any named object, close them first. */
#include <stdlib.h>

#include "collection/map.h"

static bool handle_for(struct tarn *seg, uint64_t root, tarn_map *ret)
{
    struct map *map;
    if (!map_block(seg, root, sizeof *map))
        return false;
    map = at_offset(seg, root);
    *ret = (tarn_map){.seg = seg,
                      .map = map,
                      .ref = root,
                      .seed = map->seed,
                      .multiplier = map->multiplier,
                      .u64 = map->kind == MAP_KIND_U64};
    return true;
}

/* ---- check ---- */

/* The blocks of the directory. */
static void check_segments(const tarn_map *m, unsigned depth, const struct collection_checker *k)
{
    uint64_t n = (1ull << depth) > MAP_SEGMENT ? 1ull << (depth - MAP_SEGMENT_SHIFT) : 1,
             filled = load64(&m->map->filled);
    if (!filled || filled > 1ull << depth)
        k->damage(m->ref, "a map's directory: it is filled beyond its depth", k->arg);
    if (8 * n > committed_of(m->seg)) {
        k->damage(m->ref, "a map's directory: it is larger than all that is committed", k->arg);
        return;
    }
    for (unsigned i = 1; i < MAP_TABLES; i++) {
        uint64_t table = load64(&m->map->table[i]), size = 8ull * MAP_SEGMENTS << (i - 1);
        if (table && (table & 7 || !in_data(m->seg, table, size)))
            k->damage(m->ref, "a map's directory: a table is not in the data space", k->arg);
        else if (table)
            k->block(table, size, k->arg);
    }
    for (uint64_t i = 0; i < n || i < MAP_SEGMENTS; i++) {
        bool bad = false;
        const uint64_t *place = segment_place(m->seg, m->map, i, &bad);
        uint64_t segment = place ? load64(place) : 0;
        if (segment && (segment & 7 || !in_data(m->seg, segment, 8 * MAP_SEGMENT)))
            k->damage(m->ref, "a map's directory: a segment is not in the data space", k->arg);
        else if (segment)
            k->block(segment, 8 * MAP_SEGMENT, k->arg);
    }
}

enum { ASTRAY_MOST = 16 }; /* then a directory is damaged enough */

static void check_entries(const tarn_map *m, unsigned depth, const struct collection_checker *k)
{
    uint64_t filled = load64(&m->map->filled);
    struct where w;
    int astray = 0;
    if (8ull << depth > 64 * committed_of(m->seg))
        return; /* reported with the segments */
    for (uint64_t i = 0; i < 1ull << depth && astray < ASTRAY_MOST; i++) {
        bool bad = false;
        const uint64_t *entry = entry_at(m->seg, m->map, i, &bad);
        const struct bucket *b;
        uint64_t ref;
        if (!entry && !bad && i >= filled) {
            i |= MAP_SEGMENT - 1; /* all of a segment that is not there yet */
            continue;
        }
        ref = entry ? load64(entry) & MAP_REF : 0;
        if (!ref && entry && i >= filled)
            continue;
        b = bucket_at(m->seg, ref);
        if (!b || b->prefix & ~i) { /* a prefix that fits i has no bits that i has not */
            k->damage(entry ? offset_of(m->seg, entry) : m->ref,
                      "a map's directory: an entry leads to no bucket of its index", k->arg);
            astray++;
        } else if (map_follow(m, i, ref, &w)) { /* 1, too: who checks looks again at what was in motion */
            k->damage(offset_of(m->seg, entry), "a map's directory: an entry leads astray", k->arg);
            astray++;
        }
    }
}

static void check_chain(const tarn_map *m, const struct where *w, uint64_t ref, bool head,
                        const struct collection_checker *k)
{
    for (unsigned n = 0; ref; n++) {
        const struct bucket *b = bucket_at(m->seg, ref);
        if (!b || n > CHAIN_MOST) {
            k->damage(w->ref, "a map's bucket: its overflow chain leads astray", k->arg);
            return;
        }
        k->block(ref, sizeof *b, k->arg);
        if (load64(&b->slots))
            k->block(load64(&b->slots), sizeof(struct pairs), k->arg);
        for (unsigned p = 0; head && p < MAP_PARTS; p++)
            if (part_used(&b->tags[p]) && !(load64(&w->bucket->tags[p].head) & HEAD_CHAINED))
                k->damage(w->ref, "a map's bucket: a part does not say that it has keys in the overflow chain",
                          k->arg);
        ref = load64(&b->overflow);
    }
}

static void check_bucket(const tarn_map *m, const struct snapshot *p, const struct collection_checker *k)
{
    const struct where *w = &p->where;
    bool cleaning = w->link & LINK_CLEANING;
    k->block(w->ref, sizeof *w->bucket, k->arg);
    k->block(load64(&w->bucket->slots), sizeof(struct pairs), k->arg);
    k->owner(&w->bucket->lock, k->arg);
    check_chain(m, w, load64(&w->bucket->overflow), true, k);
    if (!cleaning) {
        check_chain(m, w, load64(&w->bucket->spare), false, k);
        if (load64(&w->bucket->new_slots))
            k->block(load64(&w->bucket->new_slots), sizeof(struct pairs), k->arg);
    }
    for (unsigned i = 0; i < MAP_PARTS && !cleaning; i++)
        if ((load64(&w->bucket->tags[i].head) & ~(HEAD_CHAINED | HEAD_AWAY_ALL)) !=
            HEAD_WORD(LINK_DEPTH(w->link), part_slots(w->bucket->slots, i)))
            k->damage(w->ref, "a map's bucket: a part's head has another depth, or other slots", k->arg);
    if (p->unsaid)
        k->damage(w->ref, "a map's bucket: a part does not say that a key stands in another quarter than its own",
                  k->arg);
    if (p->strays && !cleaning)
        k->damage(w->ref, "a map's bucket: a slot has a key of another tag, part or bucket", k->arg);
}

/* Bytes of the entry, as it says; 0: it cannot be. */
static uint64_t entry_size(const tarn_map *m, uint64_t ref)
{
    const struct entry_bytes *e = at_offset(m->seg, ref & MAP_REF);
    uint64_t size = sizeof *e + (uint64_t)e->key_size + e->value_size;
    return in_data(m->seg, ref, size) && e->key_size ? size : 0;
}

static void check_keys(const tarn_map *m, const struct snapshot *p, const struct collection_checker *k)
{
    for (uint64_t i = 0; i < p->count && !m->u64; i++) {
        uint64_t ref = p->pair[i].word, hash, size;
        if (!map_block(m->seg, ref, 16) || !(size = entry_size(m, ref)) || map_hash_of(m, ref, &hash)) {
            k->damage(p->where.ref, "a map's bucket: a slot leads to no entry", k->arg);
            continue;
        }
        k->block(ref, size, k->arg);
        if (hash != p->pair[i].hash)
            k->damage(ref, "a map's entry: its key is not the one its slot was made for", k->arg);
    }
}

int map_check(struct tarn *seg, uint64_t root, const struct collection_checker *k)
{
    struct snapshot p = {0};
    uint64_t depth, at = 0, next;
    tarn_map m;
    int e = 0;
    if (!handle_for(seg, root, &m)) {
        k->damage(root, "a map: it is not in the data space", k->arg);
        return 0;
    }
    depth = load64(&m.map->depth);
    if (depth > MAP_DEPTH_MOST || m.map->kind > MAP_KIND_U64) {
        k->damage(root, "a map: its kind or its directory's depth cannot be", k->arg);
        return 0;
    }
    k->owner(&m.map->directory, k->arg);
    check_segments(&m, (unsigned)depth, k);
    check_entries(&m, (unsigned)depth, k);
    do {
        e = map_snapshot(&m, reverse64(at), &p);
        if (e == -EUCLEAN)
            k->damage(root, "a map: its directory does not lead to a bucket for every hash", k->arg);
        if (e)
            break;
        check_bucket(&m, &p, k);
        e = map_drop_twins(&m, &p);
        if (p.twin && !(p.where.link & LINK_CLEANING))
            k->damage(p.where.ref, "a map's bucket: a key is there twice", k->arg);
        if (e == -EUCLEAN)
            k->damage(root, "a map: it has more keys than there is memory", k->arg);
        if (e)
            break;
        check_keys(&m, &p, k);
        next = map_after(&p.where);
        if (next && next <= at)
            break; /* changed under our eyes: the next look tells */
        at = next;
    } while (at);
    snapshot_free(&p);
    return e == -ENOMEM ? e : 0;
}

/* ---- giving back ---- */

static int retire_chain(struct self *s, const tarn_map *m, uint64_t ref)
{
    int e = 0;
    for (unsigned n = 0; e >= 0 && ref && n <= CHAIN_MOST; n++) {
        const struct bucket *b = bucket_at(m->seg, ref);
        if (!b)
            return -EUCLEAN;
        e = b->slots ? map_retire_block(s, b->slots) : 0;
        if (e >= 0)
            e = map_retire_block(s, ref);
        ref = b->overflow;
    }
    return e;
}

static int retire_bucket(struct self *s, tarn_map *m, struct snapshot *p, uint64_t hash)
{
    int e = map_descend(m, hash, &p->where);
    if (e == 0)
        e = mutex_lock_inner(s, &p->where.bucket->lock); /* after whoever is changing it */
    if (e < 0)
        return e;
    mutex_unlock_inner(s, &p->where.bucket->lock);
    e = map_snapshot(m, hash, p);
    if (e == 0)
        e = map_drop_twins(m, p);
    for (uint64_t i = 0; e >= 0 && i < p->count && !m->u64; i++)
        e = map_retire_block(s, p->pair[i].word);
    if (e >= 0)
        e = retire_chain(s, m, p->where.bucket->overflow);
    if (e >= 0 && !(p->where.link & LINK_CLEANING))
        e = retire_chain(s, m, p->where.bucket->spare);
    if (e >= 0 && !(p->where.link & LINK_CLEANING) && p->where.bucket->new_slots)
        e = map_retire_block(s, p->where.bucket->new_slots);
    if (e >= 0)
        e = map_retire_block(s, p->where.bucket->slots);
    return e < 0 ? e : map_retire_block(s, p->where.ref);
}

static int retire_directory(struct self *s, const tarn_map *m)
{
    uint64_t depth = m->map->depth,
             n = depth > MAP_SEGMENT_SHIFT && depth <= MAP_DEPTH_MOST ? 1ull << (depth - MAP_SEGMENT_SHIFT) : 1;
    int e = 0;
    for (uint64_t i = 0; e >= 0 && i < n; i++) {
        bool bad = false;
        const uint64_t *place = segment_place(s->seg, m->map, i, &bad);
        if (place && *place)
            e = map_retire_block(s, *place);
        else if (!place)
            i |= MAP_SEGMENTS - 1; /* no table has less */
    }
    for (unsigned i = 1; e >= 0 && i < MAP_TABLES; i++)
        if (m->map->table[i])
            e = map_retire_block(s, m->map->table[i]);
    return e;
}

int map_retire(struct self *s, uint64_t root)
{
    struct snapshot p = {0};
    uint64_t at = 0, next;
    tarn_map m;
    int e;
    if (heap_state(s->seg, root, NULL) != BLOCK_ALLOCATED || !handle_for(s->seg, root, &m) ||
        m.map->kind > MAP_KIND_U64 || load64(&m.map->state) == MAP_GONE)
        return fail(-EUCLEAN, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)root);
    e = log_save(s, offset_of(s->seg, &m.map->state), 1);
    if (e < 0)
        return fail(e, "no memory for the log of the section that removes a map");
    store64(&m.map->state, MAP_GONE);
    do {
        e = retire_bucket(s, &m, &p, reverse64(at));
        next = e < 0 ? 0 : map_after(&p.where);
        if (e == -EUCLEAN || (next && next <= at))
            e = fail(-EUCLEAN, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)root);
        at = next;
    } while (e >= 0 && at);
    snapshot_free(&p);
    if (e >= 0)
        e = retire_directory(s, &m);
    return e < 0 ? e : map_retire_block(s, root);
}

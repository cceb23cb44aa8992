/* collection/map_check.c - a whole map looked at, or given back.
 *
 * map_check believes nothing, takes no lock, and reports what it sees; while others work that may be in motion, so its caller looks again.
 * It reads entries without a pin: each length is checked before it is followed.
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
    *ret = (tarn_map){.seg = seg, .map = map, .ref = root, .seed = map->seed, .u64 = map->kind == MAP_KIND_U64};
    return true;
}

/* ---- check ---- */

static void check_chunks(const tarn_map *m, unsigned depth, const struct map_checker *k)
{
    for (unsigned i = 0; i < MAP_CHUNKS; i++) {
        uint64_t chunk = load64(&m->map->chunk[i]), size = i ? 8ull << (i - 1) : 8;
        if (chunk && (chunk & 7 || !in_data(m->seg, chunk, size)))
            k->damage(m->ref, "a map's directory: a chunk is not in the data space", k->arg);
        else if (chunk && i > depth + 1)
            k->damage(m->ref, "a map's directory: a chunk that its depth does not reach", k->arg);
        else if (chunk)
            k->block(chunk, size, k->arg);
        else if (i <= depth)
            k->damage(m->ref, "a map's directory: a chunk is missing", k->arg);
    }
}

enum { ASTRAY_MOST = 16 }; /* then a directory is damaged enough */

static void check_hints(const tarn_map *m, unsigned depth, const struct map_checker *k)
{
    struct where w;
    uint64_t lines;
    int astray = 0;
    if (8ull << depth > committed_of(m->seg)) {
        k->damage(m->ref, "a map's directory: it is larger than all that is committed", k->arg);
        return;
    }
    for (uint64_t i = 0; i < 1ull << depth; i++) {
        const uint64_t *hint = directory_at(m->seg, m->map, i);
        const struct bucket *b;
        if (!hint)
            return; /* reported with the chunks */
        b = bucket_at(m->seg, load64(hint), &lines);
        if (!b || b->prefix & ~i) /* a prefix that fits i has no bits that i has not */
            k->damage(offset_of(m->seg, hint), "a map's directory: an entry leads to no bucket of its index",
                      k->arg);
        else if (map_follow(m, i, load64(hint), &w)) { /* 1, too: who checks looks again at what was in motion */
            k->damage(offset_of(m->seg, hint), "a map's directory: an entry leads astray", k->arg);
            if (++astray == ASTRAY_MOST)
                return;
        }
    }
}

static void check_chain(const tarn_map *m, const struct where *w, const struct map_checker *k)
{
    uint64_t ref = load64(&w->bucket->overflow), lines;
    k->block(w->ref, 64 * (1 + w->lines), k->arg);
    k->owner(&w->bucket->lock, k->arg);
    for (unsigned n = 0; ref; n++) {
        const struct bucket *b = bucket_at(m->seg, ref, &lines);
        if (!b || n > CHAIN_MOST) {
            k->damage(w->ref, "a map's bucket: its overflow chain leads astray", k->arg);
            return;
        }
        k->block(ref, 64 * (1 + lines), k->arg);
        ref = load64(&b->overflow);
    }
}

/* Bytes of the entry, as it says; 0: it cannot be. */
static uint64_t entry_size(const tarn_map *m, uint64_t ref)
{
    const struct entry_bytes *e = at_offset(m->seg, ref);
    uint64_t size = m->u64 ? sizeof(struct entry_u64) : sizeof *e + (uint64_t)e->key_size + e->value_size;
    return in_data(m->seg, ref, size) && (m->u64 || e->key_size) ? size : 0;
}

static void check_entries(const tarn_map *m, const struct snapshot *p, const struct map_checker *k)
{
    for (uint64_t i = 0; i < p->count; i++) {
        uint64_t w = p->word[i], ref = w & MAP_REF, hash, size;
        if (!map_block(m->seg, ref, 16) || !(size = entry_size(m, ref)) || map_hash_of(m, w, &hash)) {
            k->damage(p->where.ref, "a map's bucket: a slot leads to no entry", k->arg);
            continue;
        }
        k->block(ref, size, k->arg);
        if (hash >> 49 != SLOT_TAG(w))
            k->damage(ref, "a map's entry: its key is not the one its slot was made for", k->arg);
        else if (!is_right(hash, p->where.bucket->prefix, LINK_DEPTH(p->where.link)))
            k->damage(ref, "a map's entry: it is in another key's bucket", k->arg);
    }
}

int map_check(struct tarn *seg, uint64_t root, const struct map_checker *k)
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
    check_chunks(&m, (unsigned)depth, k);
    check_hints(&m, (unsigned)depth, k);
    do {
        e = map_snapshot(&m, reverse64(at), &p);
        if (e == -EUCLEAN)
            k->damage(root, "a map: its directory does not lead to a bucket for every hash", k->arg);
        if (e)
            break;
        check_chain(&m, &p.where, k);
        check_entries(&m, &p, k);
        e = map_drop_twins(&m, &p);
        if (p.twin)
            k->damage(p.twin & MAP_REF, "a map's entry: its key is there twice", k->arg);
        if (e == -EUCLEAN)
            k->damage(root, "a map: it has more words than there is memory", k->arg);
        if (e)
            break;
        next = map_after(&p.where);
        if (next && next <= at)
            break; /* changed under our eyes: the next look tells */
        at = next;
    } while (at);
    snapshot_free(&p);
    return e == -ENOMEM ? e : 0;
}

/* ---- giving back ---- */

static int retire_bucket(struct self *s, tarn_map *m, struct snapshot *p, uint64_t hash)
{
    uint64_t ref, lines;
    int e = map_descend(m, hash, &p->where);
    if (e == 0)
        e = mutex_lock_inner(s, &p->where.bucket->lock); /* after whoever is changing it */
    if (e < 0)
        return e;
    mutex_unlock_inner(s, &p->where.bucket->lock);
    e = map_snapshot(m, hash, p);
    for (uint64_t i = 0; e >= 0 && i < p->count; i++)
        e = map_retire_block(s, p->word[i] & MAP_REF);
    if (e < 0)
        return e;
    ref = p->where.bucket->overflow;
    for (unsigned n = 0; e >= 0 && ref && n <= CHAIN_MOST; n++) {
        const struct bucket *b = bucket_at(m->seg, ref, &lines);
        if (!b)
            return -EUCLEAN;
        e = map_retire_block(s, ref);
        ref = b->overflow;
    }
    return e < 0 ? e : map_retire_block(s, p->where.ref);
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
    for (unsigned i = 0; e >= 0 && i < MAP_CHUNKS; i++)
        if (m.map->chunk[i])
            e = map_retire_block(s, m.map->chunk[i]);
    return e < 0 ? e : map_retire_block(s, root);
}

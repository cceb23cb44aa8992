/* collection/map_each.c - all entries of a map, while it changes.
 *
 * Buckets are visited in the order of their reversed prefixes: each holds one interval of reversed hashes, and a split cuts an interval in
 * two, so from the end of one bucket's interval the next bucket begins, whatever split meanwhile (as Redis's SCAN does). A bucket's slots are copied,
 * overflow buckets before the first one (keys move in that direction only), and count if its link is then unchanged: so every key that is there
 * throughout is in exactly one copy; a key removed and put again meanwhile is shown once at most. Entries are then copied, under the same pin (or
 * validated by the epoch, as in map_read.c), and shown without pin or lock: the callback may do anything. */
#include <stdlib.h>
#include <time.h>

#include "collection/map.h"

#define SPLITS_MOST 1000

uint64_t map_after(const struct where *w)
{
    unsigned depth = LINK_DEPTH(w->link);
    return depth ? reverse64(w->bucket->prefix) + (1ull << (64 - depth)) : 0;
}

void snapshot_free(struct snapshot *p)
{
    free(p->pair);
    free(p->set);
    *p = (struct snapshot){0};
}

/* A walk looks at each slot of a map some few times, and at all that is committed 64 times at the most. */
static uint64_t steps_most(const tarn_map *m)
{
    return (1u << 20) + 8 * committed_of(m->seg);
}

static int pair_add(struct snapshot *p, const struct slot *pair)
{
    if (p->count == p->room) {
        uint64_t room = p->room ? p->room * 2 : MAP_PARTS * MAP_SLOTS;
        struct slot *more = realloc(p->pair, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        p->pair = more;
        p->room = room;
    }
    p->pair[p->count++] = *pair;
    return 0;
}

/* A slot's pair, and its tag of that moment: what an undo leaves in a slot whose tag was read before it may look like an entry. false: it is being stored over. */
static bool pair_and_tag(const struct bucket *first, const struct tags *t, unsigned at,
                         const struct slot *slot, struct slot *ret_pair, unsigned *ret_tag)
{
    uint64_t count = load64(&first->reuse);
    if (!pair_load(first, slot, ret_pair))
        return false;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    *ret_tag = tag_at(t, at);
    return load64(&first->reuse) == count;
}

/* 0, -EUCLEAN, -ENOMEM. What is the sibling's, or is being stored over, is passed over. */
static int pairs_add(const tarn_map *m, struct snapshot *p, const struct bucket *b)
{
    uint64_t prefix = __atomic_load_n(&p->where.bucket->prefix, __ATOMIC_RELAXED);
    struct slot pair;
    p->steps += MAP_PARTS * MAP_SLOTS;
    if (p->steps > steps_most(m))
        return -EUCLEAN;
    for (unsigned part = 0; part < MAP_PARTS; part++) {
        uint64_t used = part_used(&b->tags[part]);
        const struct pairs *slots = used ? slots_of(m->seg, b) : NULL;
        if (used && !slots)
            return -EUCLEAN;
        for (; used; used &= used - 1) {
            unsigned at = (unsigned)__builtin_ctzll(used), tag;
            int e;
            for (int i = 0;
                 !pair_and_tag(p->where.bucket, &b->tags[part], at, &slots->at[part][at], &pair, &tag); i++)
                if (i == SPLITS_MOST)
                    return -EUCLEAN;
            if (part_of(pair.hash) != part || !is_right(pair.hash, prefix, LINK_DEPTH(p->where.link)) ||
                tag != tag_of(pair.hash))
                p->strays++;
            else {
                p->unsaid += b == p->where.bucket && is_away(at, pair.hash) &&
                             !(load64(&b->tags[part].head) & HEAD_AWAY(quarter_of(pair.hash)));
                e = pair_add(p, &pair);
                if (e)
                    return e;
            }
        }
    }
    return 0;
}

/* 0, 1: the bucket split meanwhile; -EUCLEAN, -ENOMEM. */
static int snapshot_once(const tarn_map *m, uint64_t hash, struct snapshot *p)
{
    uint64_t ref;
    int e = map_descend(m, hash, &p->where);
    p->count = p->strays = p->unsaid = 0;
    if (e < 0)
        return e;
    ref = load64(&p->where.bucket->overflow);
    for (unsigned n = 0; ref && e == 0; n++) {
        const struct bucket *b = bucket_at(m->seg, ref);
        if (!b || n > CHAIN_MOST)
            return -EUCLEAN;
        ref = load64(&b->overflow);
        e = pairs_add(m, p, b);
    }
    if (e == 0)
        e = pairs_add(m, p, p->where.bucket);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return e ? e : load64(&p->where.bucket->link) != p->where.link;
}

int map_snapshot(const tarn_map *m, uint64_t hash, struct snapshot *p)
{
    int e = 1;
    for (int i = 0; e == 1 && i < SPLITS_MOST; i++)
        e = snapshot_once(m, hash, p);
    return e == 1 ? -EUCLEAN : e;
}

/* ---- twins ---- */

/* Have two entries the same key? Every length is checked. */
static bool same_key(const tarn_map *m, uint64_t a, uint64_t b)
{
    const struct entry_bytes *x = at_offset(m->seg, a & MAP_REF), *y = at_offset(m->seg, b & MAP_REF);
    uint64_t size;
    if (!map_block(m->seg, a, sizeof *x) || !map_block(m->seg, b, sizeof *y))
        return false;
    /* Each length is read once: without a pin the block may become something else between a check and its use. */
    size = __atomic_load_n(&x->key_size, __ATOMIC_RELAXED);
    uint64_t x_value = __atomic_load_n(&x->value_size, __ATOMIC_RELAXED),
             y_value = __atomic_load_n(&y->value_size, __ATOMIC_RELAXED);
    return size == __atomic_load_n(&y->key_size, __ATOMIC_RELAXED) &&
           in_data(m->seg, a, sizeof *x + size + x_value) && in_data(m->seg, b, sizeof *y + size + y_value) &&
           !memcmp((const char *)(x + 1) + x_value, (const char *)(y + 1) + y_value, size);
}

static bool is_twin(const tarn_map *m, const struct slot *a, const struct slot *b)
{
    return a->hash == b->hash && (m->u64 || a->word == b->word || same_key(m, a->word, b->word));
}

int map_drop_twins(const tarn_map *m, struct snapshot *p)
{
    uint64_t kept = 0, room = p->set_room ? p->set_room : 512;
    p->twin = 0;
    while (room < 2 * p->count)
        room *= 2;
    if (room > p->set_room) {
        uint64_t *more = realloc(p->set, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        p->set = more;
        p->set_room = room;
    }
    memset(p->set, 0, p->set_room * sizeof *p->set);
    for (uint64_t i = 0; i < p->count; i++) {
        uint64_t at = p->pair[i].hash >> 32, *number; /* the bits below may be all the same */
        bool twin = false;
        for (; *(number = &p->set[at & (p->set_room - 1)]) && !twin; at++) {
            twin = is_twin(m, &p->pair[*number - 1], &p->pair[i]);
            if (p->steps++ > steps_most(m))
                return -EUCLEAN;
        }
        if (twin) {
            p->twin = p->pair[i].hash;
            continue;
        }
        p->pair[kept++] = p->pair[i];
        *number = kept;
    }
    p->count = kept;
    return 0;
}

/* ---- private copies of a bucket's entries ---- */

/* {key size, value size}, value, key; each copy begins at a multiple of 8. */
struct copies {
    char *bytes;
    uint64_t used, room;
};
struct copy_head {
    uint64_t key_size, value_size;
};

static char *copies_room(struct copies *c, uint64_t size)
{
    uint64_t need = c->used + (size + 7) / 8 * 8;
    if (need > c->room) {
        uint64_t room = need > 2 * c->room ? need : 2 * c->room;
        char *more = realloc(c->bytes, room);
        if (!more)
            return NULL;
        c->bytes = more;
        c->room = room;
    }
    char *at = c->bytes + c->used;
    c->used = need;
    return at;
}

static int copy_entry(const tarn_map *m, const struct slot *pair, struct copies *c)
{
    struct copy_head head = {8, 8};
    const struct entry_bytes *e = m->u64 ? NULL : at_offset(m->seg, pair->word & MAP_REF);
    char *to;
    uint64_t value = pair->word, number = number_hashed(m->seed, m->multiplier, pair->hash);
    if (!m->u64) {
        if (!map_block(m->seg, pair->word, sizeof *e))
            return -EUCLEAN;
        head.key_size = __atomic_load_n(&e->key_size, __ATOMIC_RELAXED);
        head.value_size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
        if (!in_data(m->seg, pair->word, sizeof *e + head.value_size + head.key_size))
            return -EUCLEAN;
    }
    to = copies_room(c, sizeof head + head.value_size + head.key_size);
    if (!to)
        return -ENOMEM;
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    if (!m->u64 && head.value_size == 8)
        value = load64((const uint64_t *)(e + 1));
    if (head.value_size == 8)
        memcpy(to, &value, 8);
    else if (head.value_size)
        memcpy(to, e + 1, head.value_size);
    memcpy(to + head.value_size, m->u64 ? (const char *)&number : (const char *)(e + 1) + head.value_size,
           head.key_size);
    return 0;
}

/* The bucket's keys, and, unless c is NULL, copies of its entries. 0, -EUCLEAN, -ENOMEM. */
static int copy_bucket(const tarn_map *m, uint64_t hash, struct snapshot *p, struct copies *c)
{
    int e = map_snapshot(m, hash, p);
    if (e == 0)
        e = map_drop_twins(m, p);
    if (c)
        c->used = 0;
    for (uint64_t i = 0; c && e == 0 && i < p->count; i++)
        e = copy_entry(m, &p->pair[i], c);
    return e;
}

static int copy_validated(const tarn_map *m, uint64_t hash, struct snapshot *p, struct copies *c)
{
    for (struct again a = {0}; again_look(m->seg, &a);) {
        int e = copy_bucket(m, hash, p, c);
        if (again_is_good(m->seg, &a))
            return e;
    }
    return again_given_up();
}

static int copy_pinned(const tarn_map *m, uint64_t hash, struct snapshot *p, struct copies *c)
{
    int e;
    if (m->seg->readonly)
        return copy_validated(m, hash, p, c);
    e = tarn_read_begin(m->seg);
    if (e < 0)
        return e;
    e = copy_bucket(m, hash, p, c);
    tarn_read_end(m->seg);
    return e;
}

/* ---- walks ---- */

/* Visit every bucket from *at on, or one: c gets its entries' copies, p its keys; then `visit`. */
static int walk_from(const tarn_map *m, uint64_t *at, bool all, struct snapshot *p, struct copies *c,
                     int (*visit)(void *arg), void *arg)
{
    uint64_t next;
    int e;
    do {
        e = copy_pinned(m, reverse64(*at), p, c);
        if (e == -EUCLEAN)
            fail(e, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)m->ref);
        else if (e == -ENOMEM)
            fail(e, "no memory for the copies of a map's bucket");
        if (e == 0)
            e = visit(arg);
        if (e == 0) {
            next = map_after(&p->where);
            if (next && next <= *at)
                e = fail(-EUCLEAN, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)m->ref);
            *at = next;
        }
    } while (e == 0 && *at && all);
    return e;
}

static int walk(const tarn_map *m, struct snapshot *p, struct copies *c, int (*visit)(void *arg), void *arg)
{
    uint64_t at = 0;
    return walk_from(m, &at, true, p, c, visit, arg);
}

struct count {
    struct snapshot p;
    uint64_t entries;
};
static int count_keys(void *arg)
{
    struct count *c = arg;
    c->entries += c->p.count;
    return 0;
}

int tarn_map_count(tarn_map *map, uint64_t *ret_count)
{
    struct count c = {0};
    int e = walk(map, &c.p, NULL, count_keys, &c);
    snapshot_free(&c.p);
    if (e == 0)
        *ret_count = c.entries;
    return e;
}

struct show {
    struct copies c;
    int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg);
    void *arg;
};
static int show_copies(void *arg)
{
    struct show *w = arg;
    int e = 0;
    for (uint64_t at = 0; at < w->c.used && e == 0;) {
        struct copy_head head;
        const char *value = w->c.bytes + at + sizeof head;
        memcpy(&head, w->c.bytes + at, sizeof head);
        e = w->each(value + head.value_size, head.key_size, value, head.value_size, w->arg);
        at += (sizeof head + head.key_size + head.value_size + 7) / 8 * 8;
    }
    return e;
}

int tarn_map_each(tarn_map *map,
                  int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg),
                  void *arg)
{
    struct show w = {.each = each, .arg = arg};
    struct snapshot p = {0};
    int e = walk(map, &p, &w.c, show_copies, &w);
    snapshot_free(&p);
    free(w.c.bytes);
    return e;
}

int tarn_map_next(tarn_map *map, uint64_t *cursor,
                  int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg),
                  void *arg)
{
    struct show w = {.each = each, .arg = arg};
    struct snapshot p = {0};
    int e = walk_from(map, cursor, false, &p, &w.c, show_copies, &w);
    snapshot_free(&p);
    free(w.c.bytes);
    return e;
}

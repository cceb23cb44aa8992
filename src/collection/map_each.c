/* collection/map_each.c - all entries of a map, while it changes.
 *
 * Buckets are visited in the order of their reversed prefixes: each holds one interval of reversed hashes, and a split cuts an interval in
 * two, so from the end of one bucket's interval the next bucket begins, whatever split meanwhile (as Redis's SCAN does). A bucket's words are copied,
 * overflow buckets before the first one (words move in that direction only), a CLEANING one twice (in it, words go to their home line once),
 * and count if its link is then unchanged: so every entry that is there throughout is in exactly one copy; a key removed and put again meanwhile
 * is shown once at most. Its entries are then copied, under the same pin (or validated by the epoch, as in map_read.c), and shown without pin
 * or lock: the callback may do anything. */
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
    free(p->word);
    free(p->set);
    *p = (struct snapshot){0};
}

/* A walk looks at each word of a map some few times, and at all that is committed 64 times at the most. */
static uint64_t steps_most(const tarn_map *m)
{
    return (1u << 20) + 8 * committed_of(m->seg);
}

/* An empty set for the words of this snapshot. */
static bool set_clear(struct snapshot *p, uint64_t most)
{
    uint64_t room = 128;
    while (room < 2 * most)
        room *= 2;
    if (room > p->set_room) {
        uint64_t *more = realloc(p->set, room * sizeof *more);
        if (!more)
            return false;
        p->set = more;
        p->set_room = room;
    }
    memset(p->set, 0, p->set_room * sizeof *p->set);
    return true;
}

/* The place of key number `key` (not 0) in the set, or an empty one. */
static uint64_t *set_place(struct snapshot *p, uint64_t key)
{
    uint64_t at = key * 0x9e3779b97f4a7c15ull >> 20;
    while (p->set[at & (p->set_room - 1)] && p->set[at & (p->set_room - 1)] != key) {
        at++;
        p->steps++;
    }
    return &p->set[at & (p->set_room - 1)];
}

/* 0, -ENOMEM. once: a word that is there already is just moving, from the overflow chain into the bucket or in it to its home line. */
static int word_add(struct snapshot *p, uint64_t w, bool once)
{
    if (once) {
        if (p->count * 2 >= p->set_room) { /* greater, with all that is there */
            if (!set_clear(p, 2 * p->count + 64))
                return -ENOMEM;
            for (uint64_t i = 0; i < p->count; i++)
                *set_place(p, p->word[i]) = p->word[i];
        }
        uint64_t *place = set_place(p, w);
        if (*place == w)
            return 0;
        *place = w;
    }
    if (p->count == p->room) {
        uint64_t room = p->room ? p->room * 2 : 64, *more = realloc(p->word, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        p->word = more;
        p->room = room;
    }
    p->word[p->count++] = w;
    return 0;
}

static int words_add(const tarn_map *m, struct snapshot *p, const struct bucket *b, uint64_t lines, bool once)
{
    uint64_t skip = p->where.link & LINK_CLEANING ? SLOT_MOVES : 0;
    int e = 0;
    p->steps += lines * 8;
    if (p->steps > steps_most(m))
        return -EUCLEAN;
    for (uint64_t i = 0; i < lines * 8 && e == 0; i++) {
        uint64_t w = load64(&slots_of(b)[i]);
        if (w && !(w & skip))
            e = word_add(p, w & ~SLOT_MOVES, once);
    }
    return e;
}

/* 0, 1: the bucket split meanwhile; -EUCLEAN, -ENOMEM. */
static int snapshot_once(const tarn_map *m, uint64_t hash, struct snapshot *p)
{
    uint64_t ref, lines;
    bool once;
    int e = map_descend(m, hash, &p->where);
    p->count = 0;
    if (e < 0)
        return e;
    ref = load64(&p->where.bucket->overflow);
    once = ref != 0 || p->where.link & LINK_CLEANING;
    if (once && !set_clear(p, 0))
        return -ENOMEM;
    for (unsigned n = 0; ref && e == 0; n++) {
        const struct bucket *b = bucket_at(m->seg, ref, &lines);
        if (!b || n > CHAIN_MOST)
            return -EUCLEAN;
        ref = load64(&b->overflow);
        e = words_add(m, p, b, lines, once);
    }
    if (e == 0)
        e = words_add(m, p, p->where.bucket, p->where.lines, once);
    if (e == 0 && p->where.link & LINK_CLEANING)
        e = words_add(m, p, p->where.bucket, p->where.lines, true);
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

/* ---- private copies of a bucket's entries ---- */

bool map_same_key(const tarn_map *m, uint64_t a, uint64_t b)
{
    const struct entry_bytes *x = at_offset(m->seg, a), *y = at_offset(m->seg, b);
    uint64_t size;
    if (!map_block(m->seg, a, 16) || !map_block(m->seg, b, 16))
        return false;
    if (m->u64)
        return ((const struct entry_u64 *)x)->key == ((const struct entry_u64 *)y)->key;
    /* Each length is read once: without a pin the block may become something else between a check and its use. */
    size = __atomic_load_n(&x->key_size, __ATOMIC_RELAXED);
    uint64_t x_value = __atomic_load_n(&x->value_size, __ATOMIC_RELAXED),
             y_value = __atomic_load_n(&y->value_size, __ATOMIC_RELAXED);
    return size == __atomic_load_n(&y->key_size, __ATOMIC_RELAXED) &&
           in_data(m->seg, a, sizeof *x + size + x_value) && in_data(m->seg, b, sizeof *y + size + y_value) &&
           !memcmp((const char *)(x + 1) + x_value, (const char *)(y + 1) + y_value, size);
}

enum { FEW = 64 }; /* words that are compared each with each */

static bool is_twin(const tarn_map *m, uint64_t a, uint64_t b)
{
    return SLOT_TAG(a) == SLOT_TAG(b) && map_same_key(m, a & MAP_REF, b & MAP_REF);
}

/* Of many words those are compared whose keys have one hash; the set then holds their numbers. */
int map_drop_twins(const tarn_map *m, struct snapshot *p)
{
    uint64_t kept = 0, hash;
    p->twin = 0;
    if (p->count > FEW && !set_clear(p, p->count))
        return -ENOMEM;
    for (uint64_t i = 0; i < p->count; i++) {
        bool twin = false;
        if (p->count <= FEW) {
            for (uint64_t j = 0; j < kept && !twin; j++)
                twin = is_twin(m, p->word[j], p->word[i]);
        } else if (map_hash_of(m, p->word[i], &hash) == 0) {
            uint64_t at = hash >> 20;
            for (; p->set[at & (p->set_room - 1)] && !twin; at++, p->steps++)
                twin = is_twin(m, p->word[p->set[at & (p->set_room - 1)] - 1], p->word[i]);
            if (!twin)
                p->set[at & (p->set_room - 1)] = kept + 1;
            if (p->steps > steps_most(m))
                return -EUCLEAN;
        }
        if (twin)
            p->twin = p->word[i];
        else
            p->word[kept++] = p->word[i];
    }
    p->count = kept;
    return 0;
}

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

static int copy_entry(const tarn_map *m, uint64_t ref, struct copies *c)
{
    struct copy_head head = {8, 8};
    const void *from;
    char *to;
    uint64_t value;
    if (!map_block(m->seg, ref, 16))
        return -EUCLEAN;
    if (m->u64)
        from = &((const struct entry_u64 *)at_offset(m->seg, ref))->value;
    else {
        const struct entry_bytes *e = at_offset(m->seg, ref);
        head.key_size = __atomic_load_n(&e->key_size, __ATOMIC_RELAXED);
        head.value_size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
        from = e + 1;
        if (!in_data(m->seg, ref, sizeof *e + head.value_size + head.key_size))
            return -EUCLEAN;
    }
    to = copies_room(c, sizeof head + head.value_size + head.key_size);
    if (!to)
        return -ENOMEM;
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    if (head.value_size == 8) {
        value = load64(from);
        memcpy(to, &value, 8);
    } else if (head.value_size)
        memcpy(to, from, head.value_size);
    if (m->u64)
        memcpy(to + 8, at_offset(m->seg, ref), 8);
    else
        memcpy(to + head.value_size, (const char *)from + head.value_size, head.key_size);
    return 0;
}

/* The bucket's words, and, unless c is NULL, copies of its entries. 0, -EUCLEAN, -ENOMEM. */
static int copy_bucket(const tarn_map *m, uint64_t hash, struct snapshot *p, struct copies *c)
{
    int e = map_snapshot(m, hash, p);
    if (e == 0)
        e = map_drop_twins(m, p);
    if (c)
        c->used = 0;
    for (uint64_t i = 0; c && e == 0 && i < p->count; i++)
        e = copy_entry(m, p->word[i] & MAP_REF, c);
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

/* Visit every bucket: c gets its entries' copies, p its words; then `visit`. */
static int walk(const tarn_map *m, struct snapshot *p, struct copies *c, int (*visit)(void *arg), void *arg)
{
    uint64_t at = 0, next;
    int e;
    do {
        e = copy_pinned(m, reverse64(at), p, c);
        if (e == -EUCLEAN)
            fail(e, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)m->ref);
        else if (e == -ENOMEM)
            fail(e, "no memory for the copies of a map's bucket");
        if (e == 0)
            e = visit(arg);
        if (e == 0) {
            next = map_after(&p->where);
            if (next && next <= at)
                e = fail(-EUCLEAN, "the map at ref %#llx is damaged: run tarn check", (unsigned long long)m->ref);
            at = next;
        }
    } while (e == 0 && at);
    return e;
}

struct count {
    struct snapshot p;
    uint64_t entries;
};
static int count_words(void *arg)
{
    struct count *c = arg;
    c->entries += c->p.count;
    return 0;
}

int tarn_map_count(tarn_map *map, uint64_t *ret_count)
{
    struct count c = {0};
    int e = walk(map, &c.p, NULL, count_words, &c);
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

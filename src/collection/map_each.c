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
#define TRIES 64
#define SAME_MOST                                                                                            \
    4096u /* words looked back upon for one that is there twice: more are only where keys were made to collide, or bytes are hostile */

uint64_t map_after(const struct where *w)
{
    unsigned depth = LINK_DEPTH(w->link);
    return depth ? reverse64(w->bucket->prefix) + (1ull << (64 - depth)) : 0;
}

static bool word_add(struct snapshot *p, uint64_t w, bool chained)
{
    for (uint64_t i = p->count > SAME_MOST ? p->count - SAME_MOST : 0; chained && i < p->count; i++)
        if (p->word[i] == w)
            return true; /* just moving, from the overflow chain into the bucket or in it to its home line */
    if (p->count == p->room) {
        uint64_t room = p->room ? p->room * 2 : 64, *more = realloc(p->word, room * sizeof *more);
        if (!more)
            return false;
        p->word = more;
        p->room = room;
    }
    p->word[p->count++] = w;
    return true;
}

static int words_add(struct snapshot *p, const struct bucket *b, uint64_t lines, bool chained)
{
    uint64_t skip = p->where.link & LINK_CLEANING ? SLOT_MOVES : 0;
    for (uint64_t i = 0; i < lines * 8; i++) {
        uint64_t w = load64(&slots_of(b)[i]);
        if (w && !(w & skip) && !word_add(p, w & ~SLOT_MOVES, chained))
            return -ENOMEM;
    }
    return 0;
}

/* 0, 1: the bucket split meanwhile; -EUCLEAN, -ENOMEM. */
static int snapshot_once(const tarn_map *m, uint64_t hash, struct snapshot *p)
{
    uint64_t ref, lines;
    bool chained;
    int e = map_descend(m, hash, &p->where);
    p->count = 0;
    if (e < 0)
        return e;
    ref = load64(&p->where.bucket->overflow);
    chained = ref != 0 || p->where.link & LINK_CLEANING;
    for (unsigned n = 0; ref && e == 0; n++) {
        const struct bucket *b = bucket_at(m->seg, ref, &lines);
        if (!b || n > CHAIN_MOST)
            return -EUCLEAN;
        ref = load64(&b->overflow);
        e = words_add(p, b, lines, false);
    }
    if (e == 0)
        e = words_add(p, p->where.bucket, p->where.lines, chained);
    if (e == 0 && p->where.link & LINK_CLEANING)
        e = words_add(p, p->where.bucket, p->where.lines, true);
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

/* A key that was removed and put again while the words were read can have been seen in both its slots: it is shown once. */
static void drop_twins(const tarn_map *m, struct snapshot *p)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < p->count; i++) {
        bool twin = false;
        for (uint64_t j = kept > SAME_MOST ? kept - SAME_MOST : 0; j < kept && !twin; j++)
            twin = SLOT_TAG(p->word[j]) == SLOT_TAG(p->word[i]) &&
                   map_same_key(m, p->word[j] & MAP_REF, p->word[i] & MAP_REF);
        if (!twin)
            p->word[kept++] = p->word[i];
    }
    p->count = kept;
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
        drop_twins(m, p);
    if (c)
        c->used = 0;
    for (uint64_t i = 0; c && e == 0 && i < p->count; i++)
        e = copy_entry(m, p->word[i] & MAP_REF, c);
    return e;
}

static int copy_validated(const tarn_map *m, uint64_t hash, struct snapshot *p, struct copies *c)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = epoch_now(m->seg);
        int e = copy_bucket(m, hash, p, c);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (epoch_now(m->seg) - before < 2)
            return e;
        if (i > 4) {
            struct timespec t = {.tv_nsec = i < 16 ? 50 * 1000 : 1000 * 1000};
            nanosleep(&t, NULL);
        }
    }
    return fail(-EAGAIN, "memory was being reused each of the %d times this read-only attachment looked: try again",
                TRIES);
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
    free(c.p.word);
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
    free(p.word);
    free(w.c.bytes);
    return e;
}

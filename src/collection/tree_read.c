/* collection/tree_read.c - reading a tree without a lock: look-ups, cursors, walks.
 *
 * A leaf is read as one picture of a moment: right, version, order; then keys, values; then right and version again, and if one has changed, anew. A slot
 * gets another entry only after version has risen (also by undo), so what was read of the order's slots belongs together; a link that is as before
 * says that no entry had gone to the right meanwhile. No word is ever 'being written'.
 * Writable attachment: the reader pins, so what it reaches is not reused until it is done. Read-only attachment: it copies, and the copy is good if the
 * epoch moved by less than two meanwhile; else again, some 50 ms, then -EAGAIN.
 * A cursor copies leaf by leaf into private memory, and shows copies, without pin or lock. */
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "collection/tree.h"

#define LOOKS_MOST (1u << 20) /* at one leaf that changes under one's eyes */
#define BATCH_LEAVES 16u      /* copied at a time, at most */
#define BATCH (BATCH_LEAVES * 15u)

static int not_found(const tarn_tree *t, int e)
{
    if (e == 0)
        return fail_constant(-ENOENT, "the tree has no such key");
    return e == -EUCLEAN ? tree_damaged(t) : e;
}

/* What is the same before and after it was looked at. */
struct picture {
    uint64_t right, version, order;
};
static inline struct picture picture_of(const struct node *n)
{
    struct picture p;
    p.right = load64(&n->right);
    p.version = load64(&n->version);
    p.order = load64(&n->order);
    return p;
}
static inline bool is_as_it_was(const struct node *n, const struct picture *p)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the entries were read before the two are, again */
    return load64(&n->right) == p->right && word_of(&n->version) == p->version; /* undo stores version, then right */
}

/* ---- one key ---- */

struct want {
    void *value;
    uint64_t room, size;
};

static int copy_value(const tarn_tree *t, uint64_t word, struct want *want)
{
    struct entry_view v;
    uint64_t n, number;
    if (!entry_view(t, word, &v))
        return -EUCLEAN;
    n = v.value_size < want->room ? v.value_size : want->room;
    if (v.value_size == 8) {
        number = load64((const uint64_t *)(uintptr_t)v.value);
        if (n)
            memcpy(want->value, &number, n);
    } else if (n)
        memcpy(want->value, v.value, n);
    want->size = v.value_size;
    return 0;
}

/* Pinned, or to be validated. 1, 0, -EUCLEAN. */
static inline int search(const tarn_tree *t, const struct tree_key *k, struct want *want)
{
    struct spot p;
    if (TARN_RARE(tree_find(NULL, (tarn_tree *)t, k, 0, TREE_AT, &p)))
        return -EUCLEAN;
    for (unsigned look = 0; look < LOOKS_MOST; look++) {
        struct picture was = picture_of(p.node);
        struct node *next = NULL;
        bool same, bad = false;
        uint64_t word = 0;
        int rank = tree_rank(t, p.node, was.order, k, &same);
        if (rank >= 0 && same)
            word = load64(&node_refs(p.node, LEAF_ROOM)[order_slot(was.order, (unsigned)rank)]);
        else if (rank == (int)order_count(was.order))
            next = tree_beyond(t, k, was.right, TREE_AT, &bad);
        if (TARN_RARE(!is_as_it_was(p.node, &was)))
            continue;
        if (TARN_RARE(rank < 0 || bad))
            return -EUCLEAN;
        if (same) {
            if (!t->u64)
                return copy_value(t, word, want) ? -EUCLEAN : 1;
            memcpy(want->value, &word, 8);
            return 1;
        }
        if (!next)
            return 0;
        if (TARN_RARE(node_level(next) || !is_above(t, next, p.node)))
            return -EUCLEAN;
        p = (struct spot){next, was.right & NODE_REF};
    }
    return -EUCLEAN;
}

static __attribute__((noinline)) int get_readonly(const tarn_tree *t, const struct tree_key *k, struct want *want)
{
    for (struct again a = {0}; again_look(t->seg, &a);) {
        int e = search(t, k, want);
        if (again_is_good(t->seg, &a))
            return e;
    }
    return again_given_up();
}

static inline int get(const tarn_tree *t, const struct tree_key *k, struct want *want)
{
    struct self *s;
    int e = 0;
    if (TARN_RARE(t->seg->readonly))
        e = get_readonly(t, k, want);
    else {
        s = self_of(t->seg, &e);
        if (TARN_RARE(!s))
            return e;
        epoch_pin(s);
        e = search(t, k, want);
        epoch_unpin(s);
    }
    return e == 1 ? 0 : not_found(t, e);
}

int tarn_tree_get(tarn_tree *tree, const void *key, size_t key_size, void *value, size_t room, size_t *ret_size)
{
    struct tree_key k = {.bytes = key, .size = key_size};
    struct want want = {.value = value, .room = room};
    int e;
    if (TARN_RARE(tree->u64))
        return fail(-EPROTO, "the tree is one of 64-bit numbers: use tarn_tree_get64");
    if (TARN_RARE(key_size - 1 >= 65535 || !key))
        return fail(-EINVAL, "a tree's key is 1 to 65535 bytes, not %zu", key_size);
    k.head = head_of(tree, key, key_size);
    e = get(tree, &k, &want);
    if (e == 0 && ret_size)
        *ret_size = want.size;
    return e;
}

static __attribute__((noinline)) int get_number(tarn_tree *tree, uint64_t key, uint64_t *ret_value)
{
    struct tree_key k = {.head = key};
    uint64_t value;
    struct want want = {.value = &value, .room = 8};
    int e;
    if (TARN_RARE(!tree->u64))
        return fail(-EPROTO, "the tree is one of bytes: use tarn_tree_get");
    tree_learn(tree);
    e = get(tree, &k, &want);
    if (e == 0)
        *ret_value = value;
    return e;
}

/* Bits 2 * i: slot i has this key. */
static inline unsigned slots_with(const uint64_t *keys, uint64_t key)
{
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const __m128i *v = (const __m128i *)keys;
    __m128i want = _mm_set1_epi64x((int64_t)key), m[4];
    unsigned mask;
    for (int i = 0; i < 4; i++)
        m[i] = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(v + 2 * i), want),
                               _mm_cmpeq_epi32(_mm_loadu_si128(v + 2 * i + 1), want));
    mask = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(m[0], m[1])) |
           (unsigned)_mm_movemask_epi8(_mm_packs_epi16(m[2], m[3])) << 16;
    return mask & mask >> 1 & 0x15555555; /* both halves of a key; slot 15 is none */
#else
    unsigned mask = 0;
    for (unsigned i = 0; i < 15; i++)
        mask |= (unsigned)(word_of(&keys[i]) == key) << 2 * i;
    return mask;
#endif
}

/* Is the slot among the first `count` of the order? */
static inline bool order_has(uint64_t order, unsigned slot)
{
    uint64_t x = order >> 4 ^ slot * 0x0111111111111111ull,
             zero = (x - 0x0111111111111111ull) & ~x & 0x0888888888888888ull;
    return zero && (unsigned)__builtin_ctzll(zero) / 4 < order_count(order);
}

/* Found at once, as nearly always: else the ordinary look-up begins anew. */
static inline __attribute__((always_inline)) bool quick_value(const tarn_tree *t, uint64_t key, uint64_t *ret_value)
{
    const struct node *n = tree_quick(t, key);
    uint64_t version, order, value;
    unsigned mask;
    if (TARN_RARE(!n))
        return false;
    version = load64(&n->version);
    order = load64(&n->order);
    mask = slots_with(node_keys(n), key);
    if (TARN_RARE(!mask))
        return false;
    value = load64(&node_refs(n, LEAF_ROOM)[__builtin_ctz(mask) / 2]);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* key and value were read before the version is, again */
    if (TARN_RARE(!order_has(order, (unsigned)__builtin_ctz(mask) / 2) || word_of(&n->version) != version))
        return false;
    *ret_value = value;
    return true;
}

int tarn_tree_get64(tarn_tree *tree, uint64_t key, uint64_t *ret_value)
{
    struct self *s = self_last;
    struct record *r;
    if (TARN_RARE(!s || s->seg != tree->quick || s->read_depth))
        return get_number(tree, key, ret_value);
    r = s->record;
    store64(&r->epoch, 1 + load64(tree->epoch)); /* pairs with the membarrier of epoch_advance */
    if (TARN_RARE(!quick_value(tree, key, ret_value)))
        return get_number(tree, key, ret_value); /* the pin becomes its own */
    store64(&r->epoch, 0);
    return 0;
}

/* ---- cursors ---- */

/* A place between entries. */
struct bound {
    enum { BEFORE_ALL, AT_KEY, BEHIND_ALL } where;
    bool after; /* AT_KEY: behind the key; else before it */
    struct tree_key key;
    char *bytes; /* the key's; private memory, `room` of it */
    uint64_t room;
};

struct item {
    uint64_t key, value; /* numbers; or where they begin in `bytes` */
    uint64_t key_size, size;
};

struct tarn_tree_cursor {
    tarn_tree *tree;
    struct bound low, high; /* what was copied is all that was there between these two */
    struct bound spare;
    unsigned count, at; /* items; the cursor stands before item `at` */
    unsigned leaves;    /* to copy next time */
    char *bytes, *prefix;
    uint64_t used, room, prefix_size;
    bool counting; /* only how many there are */
    bool lost;     /* for want of memory it stands nowhere */
    struct item item[BATCH];
};

static int no_memory(void)
{
    return fail(-ENOMEM, "no memory for copies of a tree's entries");
}

static int bound_set(struct bound *b, const tarn_tree *t, uint64_t head, const void *bytes, uint64_t size, bool after)
{
    if (!t->u64 && size > b->room) {
        char *more = realloc(b->bytes, size);
        if (!more)
            return -ENOMEM;
        b->bytes = more;
        b->room = size;
    }
    if (!t->u64 && size)
        memcpy(b->bytes, bytes, size);
    b->key = (struct tree_key){.head = head, .bytes = b->bytes, .size = t->u64 ? 0 : size};
    b->where = AT_KEY;
    b->after = after;
    return 0;
}

/* The low key of a node. */
static int bound_at(struct bound *b, const tarn_tree *t, const struct node *n)
{
    struct tree_key low = low_key(t, n);
    if (is_leftmost(t, n)) {
        b->where = BEFORE_ALL;
        return 0;
    }
    return !t->u64 && !low.size ? -EUCLEAN : bound_set(b, t, low.head, low.bytes, low.size, false);
}

/* Does a walk that came from `from` go on? Only damage has it go in a circle. */
static bool goes_on(const tarn_tree *t, const struct bound *from, const struct bound *to, bool forward)
{
    int c;
    if (to->where != AT_KEY || from->where != AT_KEY)
        return !forward || to->where != BEFORE_ALL; /* of a chain that leads back to the first */
    if (to->key.head != from->key.head)
        return (to->key.head > from->key.head) == forward;
    c = t->u64 ? 0 : compare_bytes(t, &to->key, from->bytes, from->key.size);
    return forward ? c > 0 : c < 0 || (c == 0 && from->after);
}

static int bound_copy(struct bound *b, const tarn_tree *t, const struct bound *from)
{
    int e = bound_set(b, t, from->key.head, from->bytes, from->key.size, from->after);
    b->where = from->where;
    return e;
}

static int copy_bytes(tarn_tree_cursor *c, uint64_t ref, struct item *i)
{
    struct entry_view v;
    uint64_t size, number;
    if (!entry_view(c->tree, ref, &v))
        return -EUCLEAN;
    size = (v.key_size + v.value_size + 15) & ~7ull;
    if (c->used + size > c->room) {
        uint64_t room = c->used + size > 2 * c->room ? c->used + size : 2 * c->room;
        char *more = realloc(c->bytes, room);
        if (!more)
            return -ENOMEM;
        c->bytes = more;
        c->room = room;
    }
    *i = (struct item){c->used + v.value_size, c->used, v.key_size, v.value_size};
    if (v.value_size == 8) {
        number = load64((const uint64_t *)(uintptr_t)v.value);
        memcpy(c->bytes + i->value, &number, 8);
    } else
        memcpy(c->bytes + i->value, v.value, v.value_size);
    memcpy(c->bytes + i->key, v.key, v.key_size);
    c->used += size;
    return 0;
}

/* Entries [from, to) of a leaf behind those there are. 0, -EUCLEAN, -ENOMEM. */
static inline int copy_entries(tarn_tree_cursor *c, const struct node *n, uint64_t order, unsigned from, unsigned to)
{
    const uint64_t *key = node_keys(n), *ref = node_refs(n, LEAF_ROOM);
    struct item *i = &c->item[c->count];
    int e = 0;
    if (c->counting) {
        c->count += to - from;
        return 0;
    }
    for (; from < to && e == 0; from++, i++) {
        unsigned slot = order_slot(order, from);
        if (c->tree->u64) {
            i->key = word_of(&key[slot]);
            i->value = word_of(&ref[slot]);
        } else
            e = copy_bytes(c, load64(&ref[slot]), i);
        c->count += e == 0;
    }
    return e;
}

static int first_leaf(const tarn_tree *t, struct node **ret_node)
{
    *ret_node = node_at(t, load64(&t->tree->first) & NODE_REF);
    return *ret_node && !node_level(*ret_node) ? 0 : -EUCLEAN;
}

/* The last leaf there is, or one left of it. */
static int last_leaf(const tarn_tree *t, struct node **ret_node)
{
    struct node *n = node_at(t, load64(&t->tree->root) & NODE_REF);
    for (unsigned l = n ? node_level(n) : 0; n && l && l <= TREE_LEVELS; l--) {
        unsigned count = NODE_COUNT(load64(&n->right)), room = t->room;
        if (count - 1 >= room)
            return -EUCLEAN;
        n = node_at(t, load64(&node_refs(n, room)[count - 1]));
        if (!n || node_level(n) != l - 1)
            return -EUCLEAN;
    }
    *ret_node = n;
    return n && !node_level(n) ? 0 : -EUCLEAN;
}

static int next_leaf(const tarn_tree *t, uint64_t right, struct node **ret_node)
{
    *ret_node = node_at(t, right & NODE_REF);
    return *ret_node && !node_level(*ret_node) ? 0 : -EUCLEAN;
}

/* So many of a leaf's entries are its own: while it is being split, those that move are in both. -EUCLEAN. */
static inline int own_entries(const tarn_tree *t, const struct node *n, const struct picture *p)
{
    unsigned count = order_count(p->order);
    const struct node *next;
    struct tree_key low;
    bool same;
    if (!(p->right & NODE_REF) || !count)
        return (int)count;
    next = node_at(t, p->right & NODE_REF);
    if (TARN_RARE(!next))
        return -EUCLEAN;
    if (word_of(&node_keys(n)[order_slot(p->order, count - 1)]) < word_of(&next->low))
        return (int)count;
    low = low_key(t, next);
    return tree_rank(t, n, p->order, &low, &same);
}

/* What follows c->high: entries into the items, and where they end into c->spare. */
static int copy_forward(tarn_tree_cursor *c)
{
    struct bound *end = &c->spare;
    const tarn_tree *t = c->tree;
    const struct tree_key *k = c->high.where == AT_KEY ? &c->high.key : NULL;
    struct node *n;
    struct spot p;
    unsigned leaves = 0, ahead;
    const uint64_t *next_ref;
    int e = 0;
    n = t->u64 ? tree_quick_ahead(t, k ? k->head : 0, &next_ref, &ahead) : NULL;
    if (n) /* all that will be looked at is fetched at once */
        for (unsigned i = 0; i < ahead && i < c->leaves + 1; i++)
            prefetch_leaf(at_offset(t->seg, word_of(&next_ref[i]) & NODE_REF));
    else {
        tree_learn((tarn_tree *)t);
        e = k ? tree_find(NULL, (tarn_tree *)t, k, 0, TREE_AT, &p) : first_leaf(t, &n);
        if (e)
            return -EUCLEAN;
        if (k)
            n = p.node;
    }
    c->count = c->at = 0;
    c->used = 0;
    for (unsigned look = 0; look < LOOKS_MOST; look++) {
        struct picture was = picture_of(n);
        unsigned before = c->count;
        uint64_t used = c->used;
        struct node *next = NULL;
        bool same = false, bad = false;
        int rank = 0, to = own_entries(t, n, &was);
        prefetch_leaf(at_offset(t->seg, was.right & NODE_REF));
        if (k) {
            rank = tree_rank(t, n, was.order, k, &same);
            if (rank >= to)
                next = tree_beyond(t, k, was.right, TREE_AT, &bad);
            rank += rank >= 0 && same && c->high.after;
        }
        if (rank < 0 || to < 0 || bad)
            e = -EUCLEAN;
        else
            e = next || rank >= to ? 0 : copy_entries(c, n, was.order, (unsigned)rank, (unsigned)to);
        if (!is_as_it_was(n, &was)) {
            c->count = before;
            c->used = used;
            if (e != -ENOMEM)
                continue;
        }
        if (e)
            return e;
        if (next) {
            if (node_level(next) || !is_above(t, next, n))
                return -EUCLEAN;
            n = next;
            continue;
        }
        k = NULL;
        if (!(was.right & NODE_REF)) {
            end->where = BEHIND_ALL;
            return 0;
        }
        e = next_leaf(t, was.right, &n);
        if (e)
            return e;
        if (++leaves >= c->leaves && c->count)
            return bound_at(end, t, n);
        if (c->count + 15 > BATCH && !c->counting)
            return bound_at(end, t, n);
    }
    return -EUCLEAN;
}

/* What is before c->low: the entries of one leaf, and where they begin into c->spare. */
static int copy_backward(tarn_tree_cursor *c)
{
    struct bound *begin = &c->spare;
    const tarn_tree *t = c->tree;
    const struct tree_key *k = c->low.where == AT_KEY ? &c->low.key : NULL;
    enum aim aim = c->low.after ? TREE_AT : TREE_BELOW;
    struct node *n;
    struct spot p;
    int e = 0;
    c->count = c->at = 0;
    c->used = 0;
    if (k && t->u64 && !k->head && aim == TREE_BELOW) {
        begin->where = BEFORE_ALL;
        return 0;
    }
    e = k ? tree_find(NULL, (tarn_tree *)t, k, 0, aim, &p) : last_leaf(t, &n);
    if (e)
        return -EUCLEAN;
    if (k)
        n = p.node;
    for (unsigned look = 0; look < LOOKS_MOST; look++) {
        struct picture was = picture_of(n);
        unsigned to = order_count(was.order);
        struct node *next = NULL;
        bool same = false, bad = false, on = false;
        int rank = (int)to;
        if (k) {
            rank = tree_rank(t, n, was.order, k, &same);
            if (rank == (int)to)
                next = tree_beyond(t, k, was.right, aim, &bad);
            rank += rank >= 0 && same && c->low.after;
        } else
            on = was.right & NODE_REF;
        c->count = 0;
        c->used = 0;
        e = rank < 0 || bad ? -EUCLEAN : next || on ? 0 : copy_entries(c, n, was.order, 0, (unsigned)rank);
        if (!is_as_it_was(n, &was) && e != -ENOMEM)
            continue;
        if (e)
            return e;
        if (next || on) {
            e = next_leaf(t, was.right, &n);
            if (e)
                return e;
            continue;
        }
        c->at = c->count;
        return bound_at(begin, t, n);
    }
    return -EUCLEAN;
}

/* Copy, pinned or validated. */
static int copy_on(tarn_tree_cursor *c, bool forward)
{
    struct tarn *seg = c->tree->seg;
    struct self *s;
    int e = 0;
    if (seg->readonly) {
        for (struct again a = {0}; again_look(seg, &a);) {
            e = forward ? copy_forward(c) : copy_backward(c);
            if (e == -ENOMEM || again_is_good(seg, &a))
                return e;
        }
        return again_given_up();
    }
    s = self_of(seg, &e);
    if (!s)
        return e;
    epoch_pin(s);
    e = forward ? copy_forward(c) : copy_backward(c);
    epoch_unpin(s);
    return e;
}

/* One, since that may be all that is wanted; then some; then many. */
static unsigned more_leaves(unsigned leaves)
{
    return leaves < 4 ? 4 : leaves < 7 ? leaves + 1 : BATCH_LEAVES;
}

static int go_on(tarn_tree_cursor *c, bool forward)
{
    struct bound *from = forward ? &c->high : &c->low, *behind = forward ? &c->low : &c->high, was = *behind;
    int e = copy_on(c, forward);
    if (e == 0 && TARN_RARE(!goes_on(c->tree, from, &c->spare, forward)))
        e = -EUCLEAN;
    c->leaves = forward ? more_leaves(c->leaves) : 1;
    if (e == 0) {
        memcpy(behind, from, sizeof was);
        memcpy(from, &c->spare, sizeof was);
        memcpy(&c->spare, &was, sizeof was);
        return 0;
    }
    c->count = c->at = 0; /* it stands where it stood */
    c->lost = bound_copy(behind, c->tree, from) < 0;
    return e == -EUCLEAN ? tree_damaged(c->tree) : e == -ENOMEM ? no_memory() : e;
}

/* The next item, or the one before; NULL: there is none (-ENOENT), or a failure. */
static struct item *step(tarn_tree_cursor *c, bool forward, int *ret_error)
{
    *ret_error = -ENOENT;
    if (c->lost) {
        *ret_error = no_memory();
        return NULL;
    }
    for (;;) {
        if (forward ? c->at < c->count : c->at > 0)
            return &c->item[forward ? c->at++ : --c->at];
        if (forward ? c->high.where == BEHIND_ALL : c->low.where == BEFORE_ALL)
            return NULL;
        int e = go_on(c, forward);
        if (e) {
            *ret_error = e;
            return NULL;
        }
    }
}

/* ---- public ---- */

static void cursor_start(tarn_tree_cursor *c, tarn_tree *t)
{
    memset(c, 0, offsetof(struct tarn_tree_cursor, item));
    c->tree = t;
    c->leaves = 1;
}
static void cursor_stop(tarn_tree_cursor *c)
{
    free(c->low.bytes);
    free(c->high.bytes);
    free(c->spare.bytes);
    free(c->bytes);
    free(c->prefix);
}

int tarn_tree_cursor_open(tarn_tree *tree, tarn_tree_cursor **ret_cursor)
{
    tarn_tree_cursor *c = malloc(sizeof *c);
    if (!c)
        return fail(-ENOMEM, "no memory for a tree's cursor");
    cursor_start(c, tree);
    *ret_cursor = c;
    return 0;
}

void tarn_tree_cursor_close(tarn_tree_cursor *cursor)
{
    if (!cursor)
        return;
    cursor_stop(cursor);
    free(cursor);
}

static void stand(tarn_tree_cursor *c)
{
    c->count = c->at = 0;
    c->leaves = 1;
    c->prefix_size = 0;
    c->lost = false;
}

void tarn_tree_seek_first(tarn_tree_cursor *cursor)
{
    stand(cursor);
    cursor->low.where = cursor->high.where = BEFORE_ALL;
}

void tarn_tree_seek_last(tarn_tree_cursor *cursor)
{
    stand(cursor);
    cursor->low.where = cursor->high.where = BEHIND_ALL;
}

static int seek(tarn_tree_cursor *c, uint64_t head, const void *bytes, uint64_t size, unsigned to)
{
    if (to > TARN_TREE_UPPER)
        return fail(-EINVAL, "tarn_tree_seek: %u is not TARN_TREE_LOWER, nor TARN_TREE_UPPER", to);
    stand(c);
    c->lost = bound_set(&c->low, c->tree, head, bytes, size, to == TARN_TREE_UPPER) < 0 ||
              bound_copy(&c->high, c->tree, &c->low) < 0;
    return c->lost ? no_memory() : 0;
}

int tarn_tree_seek(tarn_tree_cursor *cursor, const void *key, size_t key_size, unsigned to)
{
    if (cursor->tree->u64)
        return fail(-EPROTO, "the tree is one of 64-bit numbers: use tarn_tree_seek64");
    if (key_size - 1 >= 65535 || !key)
        return fail(-EINVAL, "a tree's key is 1 to 65535 bytes, not %zu", key_size);
    return seek(cursor, head_of(cursor->tree, key, key_size), key, key_size, to);
}

int tarn_tree_seek64(tarn_tree_cursor *cursor, uint64_t key, unsigned to)
{
    if (!cursor->tree->u64)
        return fail(-EPROTO, "the tree is one of bytes: use tarn_tree_seek");
    return seek(cursor, key, NULL, 0, to);
}

int tarn_tree_seek_prefix(tarn_tree_cursor *cursor, const void *prefix, size_t size)
{
    char *more;
    int e;
    if (cursor->tree->compare)
        return fail(
            -EINVAL,
            "tarn_tree_seek_prefix: in an order of the user's, keys of one prefix need not stand together");
    e = tarn_tree_seek(cursor, prefix, size, TARN_TREE_LOWER);
    if (e)
        return e;
    more = realloc(cursor->prefix, size);
    if (!more) {
        cursor->lost = true;
        return no_memory();
    }
    memcpy(more, prefix, size);
    cursor->prefix = more;
    cursor->prefix_size = size;
    return 0;
}

static int show(tarn_tree_cursor *c, bool forward, struct tarn_tree_entry *ret)
{
    int e;
    const struct item *i = step(c, forward, &e);
    if (!i)
        return e == -ENOENT ? fail_constant(e, "the tree has no entry in that direction") : e;
    if (c->tree->u64) {
        *ret = (struct tarn_tree_entry){&i->key, 8, &i->value, 8};
        return 0;
    }
    if (c->prefix_size && (i->key_size < c->prefix_size || memcmp(c->bytes + i->key, c->prefix, c->prefix_size))) {
        c->at = (unsigned)(i - c->item) + !forward; /* it stays on this side */
        return fail_constant(-ENOENT, "the tree has no further key of that prefix");
    }
    *ret = (struct tarn_tree_entry){c->bytes + i->key, i->key_size, c->bytes + i->value, i->size};
    return 0;
}

int tarn_tree_next(tarn_tree_cursor *cursor, struct tarn_tree_entry *ret_entry)
{
    return show(cursor, true, ret_entry);
}
int tarn_tree_previous(tarn_tree_cursor *cursor, struct tarn_tree_entry *ret_entry)
{
    return show(cursor, false, ret_entry);
}

static __attribute__((noinline)) int show64(tarn_tree_cursor *c, bool forward, uint64_t *ret_key, uint64_t *ret_value)
{
    struct tarn_tree_entry entry;
    int e;
    if (!c->tree->u64)
        return fail(-EPROTO, "the tree is one of bytes: use tarn_tree_next, tarn_tree_previous");
    e = show(c, forward, &entry);
    if (e)
        return e;
    *ret_key = *(const uint64_t *)entry.key;
    if (ret_value)
        *ret_value = *(const uint64_t *)entry.value;
    return 0;
}

int tarn_tree_next64(tarn_tree_cursor *cursor, uint64_t *ret_key, uint64_t *ret_value)
{
    const struct item *i = &cursor->item[cursor->at];
    if (TARN_RARE(cursor->at >= cursor->count || !cursor->tree->u64))
        return show64(cursor, true, ret_key, ret_value);
    cursor->at++;
    *ret_key = i->key;
    if (ret_value)
        *ret_value = i->value;
    return 0;
}
int tarn_tree_previous64(tarn_tree_cursor *cursor, uint64_t *ret_key, uint64_t *ret_value)
{
    return show64(cursor, false, ret_key, ret_value);
}

int tarn_tree_count(tarn_tree *tree, uint64_t *ret_count)
{
    tarn_tree_cursor *c;
    uint64_t count = 0;
    int e = tarn_tree_cursor_open(tree, &c);
    if (e)
        return e;
    c->counting = true;
    while (e == 0 && c->high.where != BEHIND_ALL) {
        e = go_on(c, true);
        count += e ? 0 : c->count;
    }
    tarn_tree_cursor_close(c);
    if (e == 0)
        *ret_count = count;
    return e;
}

int tarn_tree_each(tarn_tree *tree,
                   int (*each)(const void *key, size_t key_size, const void *value, size_t size, void *arg),
                   void *arg)
{
    tarn_tree_cursor *c;
    struct tarn_tree_entry entry;
    int e = tarn_tree_cursor_open(tree, &c);
    if (e)
        return e;
    while (e == 0) {
        e = show(c, true, &entry);
        if (e == -ENOENT) {
            e = 0;
            break;
        }
        if (e == 0)
            e = each(entry.key, entry.key_size, entry.value, entry.size, arg);
    }
    tarn_tree_cursor_close(c);
    return e;
}

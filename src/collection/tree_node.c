/* collection/tree_node.c - the tree's structure: finding a key's node, splitting, leading to new nodes from above, unlinking empty ones.
 *
 * Commit points. A leaf's split: the section's commit; before it an undo takes the sibling away again, which its lock has kept for this section.
 * An inner node's split: the store of its `right` {count, ref} (heap_publish): that ends its entries and links the sibling, at once. A new entry of an
 * inner node, or one less: each store in between leaves entries that lead to their node or to one left of it. Unlinking: the store of the left
 * neighbour's `right` (heap_drop), after the entry above is gone. The root: one store.
 * What a death leaves half done: a node that no inner node leads to (whoever comes by the link, and may write, mends it), entries of an inner node
 * twice (whoever has its lock next), NODE_LEAVING (the same). */
#include <sched.h>

#include "collection/tree.h"
#include "name/name.h"

/* ---- small things ---- */

int tree_damaged(const tarn_tree *t)
{
    return fail(-EUCLEAN, "the tree at ref %#llx is damaged: run tarn check", (unsigned long long)t->ref);
}

static bool try_inner(struct self *s, tarn_mutex *m)
{
    return !mutex_held(s, m) && mutex_take(s, m, SLOT_INNER, MUTEX_TRY, NULL) >= 0;
}

unsigned tree_room(const struct tarn *seg, bool u64)
{
    uint64_t room = (seg->geometry.span_size / 8 - sizeof(struct node) - (u64 ? 0 : 64)) / 16;
    return room < INNER_ROOM ? (unsigned)room : INNER_ROOM;
}

void tree_learn(tarn_tree *t)
{
    uint64_t committed = committed_of(t->seg), inner;
    inner = node_size(t->room, 0) > LEAF_BYTES ? node_size(t->room, 0) : LEAF_BYTES;
    if (committed < inner || tree_learned(&t->leaf_most) == committed - LEAF_BYTES)
        return;
    __atomic_store_n(&t->inner_most, committed - inner, __ATOMIC_RELAXED);
    __atomic_store_n(&t->leaf_most, committed - LEAF_BYTES, __ATOMIC_RELAXED);
}

void node_make(struct node *n, unsigned level, unsigned room, const struct tree_key *low)
{
    n->level = (uint16_t)level;
    n->room = (uint16_t)room;
    n->low = low->head;
    n->low_size = (uint32_t)low->size;
    if (low->size)
        memcpy((char *)(n + 1) + 16ull * room, low->bytes, low->size);
}

static bool is_loading(struct self *s, const tarn_tree *t)
{
    return TARN_RARE(load32(&t->tree->loader.owner) & ~ID_DIRTY) && !mutex_held(s, &t->tree->loader);
}

/* Whose lock is held: what its last holder, who died, meant by LEAVING, or whether the load is undone in which it was made. Not while one is under way:
 * it may be that one. */
static bool is_alive(struct self *s, const tarn_tree *t, const struct spot *p)
{
    if (TARN_RARE(p->node->state == NODE_LEAVING) && (p->node->level || !is_loading(s, t)))
        store64(&p->node->state, heap_state(s->seg, p->ref, NULL) == BLOCK_ALLOCATED ? NODE_ALIVE : NODE_GONE);
    return p->node->state == NODE_ALIVE;
}

/* ---- ranks ---- */

/* So many of an inner node's entries are for nodes whose low key is at most the key (TREE_BELOW: below it). */
static inline unsigned inner_rank(const tarn_tree *t, const struct node *n, unsigned room, unsigned count,
                                  const struct tree_key *k, enum aim aim)
{
    const uint64_t *key = node_keys(n), *ref = node_refs(n, room);
    unsigned from, to;
    if (t->u64)
        return aim == TREE_BELOW ? (k->head ? up_to(key, count, k->head - 1) : 0) : up_to(key, count, k->head);
    to = up_to(key, count, k->head);
    from = k->head ? up_to(key, to, k->head - 1) : 0;
    while (from < to) { /* the same head: the whole keys tell */
        unsigned middle = from + (to - from) / 2;
        const struct node *child = node_at(t, word_of(&ref[middle]));
        if (child && compare_low(t, k, child) >= (aim == TREE_AT ? 0 : 1))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

int tree_rank(const tarn_tree *t, const struct node *n, uint64_t order, const struct tree_key *k, bool *ret_same)
{
    const uint64_t *key = node_keys(n), *ref = node_refs(n, LEAF_ROOM);
    unsigned count = order_count(order), rank = 0, to = count;
    if (t->u64) {
        for (unsigned i = 0; i < count; i++)
            rank += word_of(&key[order_slot(order, i)]) < k->head;
        *ret_same = rank < count && word_of(&key[order_slot(order, rank)]) == k->head;
        return (int)rank;
    }
    *ret_same = false;
    while (rank < to) {
        unsigned middle = rank + (to - rank) / 2, slot = order_slot(order, middle);
        uint64_t head = word_of(&key[slot]);
        int c = k->head < head ? -1 : 1;
        if (head == k->head) {
            struct entry_view v;
            if (!entry_view(t, load64(&ref[slot]), &v))
                return -EUCLEAN;
            c = compare_bytes(t, k, v.key, v.key_size);
        }
        if (!c)
            *ret_same = true;
        if (c > 0)
            rank = middle + 1;
        else
            to = middle;
    }
    return (int)rank;
}

/* ---- finding ---- */

static void pass(struct self *s, tarn_tree *t, const struct spot *p)
{
    bool alive;
    if (!try_inner(s, &p->node->lock)) /* a leaf may have been born in a section that is still open */
        return;
    alive = is_alive(s, t, p);
    mutex_unlock_inner(s, &p->node->lock);
    if (alive)
        tree_adopt(s, t, p);
}

/* The next node of a level, if the key belongs to the right. 1, 0, -EUCLEAN. */
static inline int move_right(struct self *s, tarn_tree *t, const struct tree_key *k, uint64_t right,
                             unsigned level, enum aim aim, struct spot *p)
{
    bool bad = false;
    struct node *next = tree_beyond(t, k, right, aim, &bad);
    if (TARN_RARE(bad || (next && (node_level(next) != level || !is_above(t, next, p->node)))))
        return -EUCLEAN;
    if (!next)
        return 0;
    *p = (struct spot){next, right & NODE_REF};
    if (s)
        pass(s, t, p);
    return 1;
}

static inline void prefetch_node(const void *node, unsigned level)
{
    const char *at = node;
    for (unsigned i = 0; i < (level ? 1 : 5); i++)
        __builtin_prefetch(at + 64 * i);
    if (level) {
        __builtin_prefetch(at + 64 * 4);
        __builtin_prefetch(at + 64 * 8);
        __builtin_prefetch(at + 64 * 12);
    }
}

/* From the node at *p downward. 0, 1: begin again; -EUCLEAN. */
static inline int descend(struct self *s, tarn_tree *t, const struct tree_key *k, unsigned level,
                          enum aim aim, struct spot *p)
{
    unsigned l = node_level(p->node), hops = 0;
    int e;
    while (l > level) {
        struct node *n = p->node;
        uint64_t w = load64(&n->right), ref;
        unsigned room = t->room, count = NODE_COUNT(w), i;
        if (TARN_RARE(count - 1 >= room))
            return -EUCLEAN;
        i = inner_rank(t, n, room, count, k, aim);
        if (TARN_RARE(i == count && w & NODE_REF)) {
            e = move_right(s, t, k, w, l, aim, p);
            if (e < 0 || ++hops > HOPS_MOST)
                return -EUCLEAN;
            if (e)
                continue;
        }
        if (TARN_RARE(!i))
            return 1;
        ref = load64(&node_refs(n, room)[i - 1]);
        prefetch_node(at_offset(t->seg, ref & NODE_REF), l - 1);
        n = node_at(t, ref);
        if (TARN_RARE(!n || node_level(n) != l - 1))
            return -EUCLEAN;
        if (TARN_RARE(compare_low(t, k, n) < (aim == TREE_AT ? 0 : 1)))
            return 1; /* entries were moved under our eyes */
        *p = (struct spot){n, ref};
        l--;
    }
    for (; level; hops++) {
        e = move_right(s, t, k, load64(&p->node->right), level, aim, p);
        if (e < 0 || hops > HOPS_MOST)
            return -EUCLEAN;
        if (!e)
            break;
    }
    return 0;
}

int tree_find(struct self *s, tarn_tree *t, const struct tree_key *k, unsigned level, enum aim aim,
              struct spot *ret_spot)
{
    for (unsigned i = 0; i < TREE_TRIES; i++) {
        uint64_t root = load64(&t->tree->root) & NODE_REF;
        struct spot p = {node_at(t, root), root};
        int e;
        if (TARN_RARE(!p.node || node_level(p.node) > TREE_LEVELS))
            return -EUCLEAN;
        if (TARN_RARE(node_level(p.node) < level))
            return 1;
        e = descend(s, t, k, level, aim, &p);
        if (TARN_RARE(e < 0))
            return e;
        if (e == 0) {
            *ret_spot = p;
            return 0;
        }
    }
    return -EUCLEAN;
}

/* ---- entries of an inner node, whose lock is held ---- */

static void close_gap(const tarn_tree *t, struct node *p, unsigned i)
{
    uint64_t *key = node_keys(p), *ref = node_refs(p, t->room), w = p->right;
    unsigned count = NODE_COUNT(w);
    for (; i + 1 < count; i++) {
        store64(&key[i], key[i + 1]);
        store64(&ref[i], ref[i + 1]);
    }
    store64(&p->right, (uint64_t)(count - 1) << 48 | (w & NODE_REF));
}

static void inner_remove(const tarn_tree *t, struct node *p, unsigned i)
{
    store64(&p->order, 1);
    close_gap(t, p, i);
    store64(&p->order, 0);
}

static void inner_insert(const tarn_tree *t, struct node *p, unsigned i, uint64_t head, uint64_t to)
{
    uint64_t *key = node_keys(p), *ref = node_refs(p, t->room), w = p->right;
    unsigned count = NODE_COUNT(w), from = i < count ? count - 1 : count;
    store64(&key[count], i < count ? key[from] : head);
    store64(&ref[count], i < count ? ref[from] : to);
    if (i < count)
        store64(&p->order, 1);
    store64(&p->right, (uint64_t)(count + 1) << 48 | (w & NODE_REF));
    if (i == count)
        return;
    for (; from > i; from--) {
        store64(&ref[from], ref[from - 1]);
        store64(&key[from], key[from - 1]);
    }
    store64(&ref[i], to);
    store64(&key[i], head);
    store64(&p->order, 0);
}

/* Put right what a dead holder left: an entry twice, or with the key of the next one. */
static void inner_mend(const tarn_tree *t, struct node *p)
{
    uint64_t *key = node_keys(p), *ref = node_refs(p, t->room);
    for (unsigned i = 0; i < NODE_COUNT(p->right); i++) {
        const struct node *child;
        if (i && ref[i] == ref[i - 1]) {
            close_gap(t, p, i--);
            continue;
        }
        child = node_at(t, ref[i]);
        if (child && key[i] != child->low)
            store64(&key[i], child->low);
    }
    store64(&p->order, 0);
}

/* The inner node of that level for a key, with its lock, if it can be had. 1; 0: not; -1: there is no such level. */
static int take_inner(struct self *s, tarn_tree *t, const struct tree_key *k, unsigned level, bool try,
                      struct spot *p)
{
    for (unsigned i = 0; i < TREE_TRIES; i++) {
        bool bad = false;
        int e = tree_find(NULL, t, k, level, TREE_AT, p);
        if (e)
            return e == 1 ? -1 : 0;
        if (try ? !try_inner(s, &p->node->lock) : mutex_lock_inner(s, &p->node->lock) < 0)
            return 0;
        if (load64(&t->tree->state) != TREE_GONE && NODE_COUNT(p->node->right) - 1 < t->room) {
            if (is_alive(s, t, p) && !tree_beyond(t, k, load64(&p->node->right), TREE_AT, &bad) && !bad) {
                if (TARN_RARE(p->node->order))
                    inner_mend(t, p->node);
                return 1;
            }
        } else
            i = TREE_TRIES;
        mutex_unlock_inner(s, &p->node->lock);
    }
    return 0;
}

/* ---- leading to new nodes ---- */

/* Entry `at` of a full node's entries with one more put in at i. */
static uint64_t merged(const uint64_t *word, unsigned at, unsigned i, uint64_t more)
{
    return at < i ? word[at] : at == i ? more : word[at - 1];
}

/* Split a full inner node, with an entry for `child` at i. Its lock is held. The sibling is filled while it is free. */
static int inner_split(struct self *s, const tarn_tree *t, struct node *p, unsigned i,
                       const struct spot *child, struct spot *ret_new)
{
    uint64_t *key = node_keys(p), *ref = node_refs(p, t->room), w = p->right;
    unsigned count = NODE_COUNT(w), room = t->room, half = (count + 1) / 2;
    const struct node *first;
    struct tree_key low;
    struct fresh f;
    struct node *n;
    int e;
    if (i == count && !(w & NODE_REF))
        half = count; /* ascending: leave it full */
    first = node_at(t, merged(ref, half, i, child->ref));
    if (!first)
        return -EUCLEAN;
    low = low_key(t, first);
    e = heap_pick(s, node_size(room, low.size), &f);
    if (e < 0)
        return e;
    n = at_offset(s->seg, f.block);
    node_make(n, p->level, room, &low);
    for (unsigned a = half; a <= count; a++) {
        node_keys(n)[a - half] = merged(key, a, i, child->node->low);
        node_refs(n, room)[a - half] = merged(ref, a, i, child->ref);
    }
    n->right = (uint64_t)(count + 1 - half) << 48 | (w & NODE_REF);
    n->state = NODE_ALIVE;
    heap_publish(s, &f, &p->right, (uint64_t)(i < half ? half - 1 : half) << 48 | f.block);
    if (i < half)
        inner_insert(t, p, i, child->node->low, child->ref);
    *ret_new = (struct spot){n, f.block};
    return 1;
}

/* A root above the present one, which is of the child's level. 1: look again; 0. */
static int grow_root(struct self *s, tarn_tree *t, const struct spot *child, unsigned level)
{
    struct fresh f;
    struct node *root, *n;
    unsigned room = t->room;
    int e = mutex_lock_inner(s, &t->tree->lock);
    if (e < 0)
        return 0;
    root = node_at(t, t->tree->root & NODE_REF);
    if (root && root->level >= level)
        e = 1;
    else if (root && root->level == level - 1 && child->node->state == NODE_ALIVE &&
             t->tree->state != TREE_GONE && level <= TREE_LEVELS && heap_pick(s, node_size(room, 0), &f) == 0) {
        n = at_offset(s->seg, f.block);
        node_make(n, level, room, &(struct tree_key){0});
        node_keys(n)[1] = child->node->low;
        node_refs(n, room)[0] = t->tree->root & NODE_REF;
        node_refs(n, room)[1] = child->ref;
        n->right = 2ull << 48;
        n->state = NODE_ALIVE;
        heap_publish(s, &f, &t->tree->root, f.block);
    }
    mutex_unlock_inner(s, &t->tree->lock);
    return e;
}

/* 1: the node above was split, and there is *ret_new to be led to. */
static int adopt(struct self *s, tarn_tree *t, const struct spot *child, struct spot *ret_new)
{
    struct tree_key low = low_key(t, child->node);
    unsigned level = child->node->level + 1u;
    for (unsigned tries = 0; tries < TREE_TRIES; tries++) {
        struct spot p;
        int e = take_inner(s, t, &low, level, false, &p);
        if (e == -1) {
            if (!grow_root(s, t, child, level))
                return 0;
            continue;
        }
        if (e != 1)
            return 0;
        if (child->node->state == NODE_ALIVE) { /* set and cleared under this very lock */
            unsigned count = NODE_COUNT(p.node->right), room = t->room,
                     i = inner_rank(t, p.node, room, count, &low, TREE_AT);
            if (i && node_refs(p.node, room)[i - 1] == child->ref)
                e = 0;
            else if (count < room)
                inner_insert(t, p.node, i, child->node->low, child->ref);
            else
                e = inner_split(s, t, p.node, i, child, ret_new) == 1 ? 2 : 0;
        }
        mutex_unlock_inner(s, &p.node->lock);
        return e == 2;
    }
    return 0;
}

void tree_adopt(struct self *s, tarn_tree *t, const struct spot *born)
{
    struct spot child = *born, next;
    while (child.node->level < TREE_LEVELS && adopt(s, t, &child, &next))
        child = next;
}

void tree_adopt_all(struct self *s, tarn_tree *t, uint64_t from)
{
    for (unsigned i = 0; from && i < HOPS_MOST; i++) {
        struct spot p = {node_at(t, from), from};
        if (!p.node)
            return;
        pass(s, t, &p);
        from = load64(&p.node->right) & NODE_REF;
    }
}

/* ---- taking a leaf ---- */

/* Is the key surely not to the right, because there is a greater one here? */
static inline bool is_below_last(const tarn_tree *t, const struct node *n, const struct tree_key *k)
{
    uint64_t order = load64(&n->order), last;
    if (!order_count(order))
        return false;
    last = word_of(&node_keys(n)[order_slot(order, order_count(order) - 1)]);
    return k->head < last || (t->u64 && k->head == last);
}

int tree_gone(struct self *s, const tarn_tree *t)
{
    if (load32(&name_zone_of(s->seg)->lock.owner) & ~ID_DIRTY)
        return fail(-EDEADLK, "the tree at ref %#llx is being unbound just now: abort, and try again",
                    (unsigned long long)t->ref);
    if (load64(&t->tree->state) != TREE_GONE)
        return fail(-EDEADLK, "the tree at ref %#llx was being unbound, and that was undone: abort, and try again",
                    (unsigned long long)t->ref);
    return fail(-ESTALE, "the tree was unbound and its memory given back");
}

/* 0; 1: begin again; or a failure. Pinned. */
static int take_pinned(struct self *s, tarn_tree *t, const struct tree_key *k, struct spot *p, bool *ret_fresh)
{
    bool bad = false;
    int e;
    p->node = t->u64 ? tree_quick(t, k->head) : NULL;
    p->ref = offset_of(t->seg, p->node);
    if (TARN_RARE(!p->node)) {
        tree_learn(t);
        if (tree_find(s, t, k, 0, TREE_AT, p))
            return -EUCLEAN;
    }
    if (is_loading(s, t))
        return (e = mutex_lock_to_the_end(s, &t->tree->loader)) < 0 ? e : 1;
    for (unsigned hops = 0; hops < HOPS_MOST; hops++) {
        bool fresh = !mutex_held(s, &p->node->lock);
        if (!is_below_last(t, p->node, k)) {
            e = move_right(s, t, k, load64(&p->node->right), 0, TREE_AT, p);
            if (TARN_RARE(e < 0))
                return e;
            if (TARN_RARE(e))
                continue;
        }
        if (fresh && (e = mutex_lock_to_the_end(s, &p->node->lock)) < 0)
            return e;
        if (TARN_RARE(load64(&t->tree->state) == TREE_GONE))
            return tree_gone(s, t);
        if (is_loading(s, t)) {
            e = mutex_lock_to_the_end(s, &t->tree->loader);
            return e < 0 ? e : 1;
        }
        if (TARN_RARE(!is_alive(s, t, p)))
            return 1;
        *ret_fresh = fresh;
        if (is_below_last(t, p->node, k) || (!tree_beyond(t, k, load64(&p->node->right), TREE_AT, &bad) && !bad))
            return 0;
        if (bad)
            return -EUCLEAN;
    }
    return -EUCLEAN;
}

/* Pinned until it is known, under the leaf's lock, that the leaf is alive: it stays so while the lock is held, and its neighbour to the right does. */
int tree_take(struct self *s, tarn_tree *t, const struct tree_key *k, struct spot *p, bool *ret_fresh)
{
    int e = 1;
    for (unsigned i = 0; e == 1 && i < TREE_TRIES; i++) {
        epoch_pin(s);
        e = take_pinned(s, t, k, p, ret_fresh);
        epoch_unpin(s);
    }
    return e == 1 || e == -EUCLEAN ? tree_damaged(t) : e;
}

/* ---- splitting a leaf ---- */

struct tree_key tree_between(const tarn_tree *t, const struct tree_key *a, const struct tree_key *b)
{
    struct tree_key k = *b;
    if (t->u64 || t->compare)
        return k;
    for (k.size = 0; k.size < a->size && k.size < b->size;) {
        if (((const char *)a->bytes)[k.size] != ((const char *)b->bytes)[k.size])
            break;
        k.size++;
    }
    k.size += k.size < b->size;
    k.head = head_of(t, k.bytes, k.size);
    return k;
}

int tree_key_at(const tarn_tree *t, const struct node *n, unsigned slot, struct tree_key *ret_key)
{
    struct entry_view v;
    ret_key->head = node_keys(n)[slot];
    ret_key->size = 0;
    ret_key->bytes = NULL;
    if (t->u64)
        return 0;
    if (!entry_view(t, node_refs(n, LEAF_ROOM)[slot], &v))
        return -EUCLEAN;
    ret_key->bytes = v.key;
    ret_key->size = v.key_size;
    return 0;
}

int tree_split(struct self *s, tarn_tree *t, const struct tree_key *k, struct spot *leaf, bool *fresh,
               struct spot *ret_born)
{
    struct node *n = leaf->node, *b;
    uint64_t order = n->order, ref, born = 0;
    unsigned count = order_count(order), half = (count + 1) / 2;
    struct tree_key left, first = *k, low;
    bool same;
    int e = tree_rank(t, n, order, k, &same);
    if (e < 0)
        return tree_damaged(t);
    if ((unsigned)e == count && !(n->right & NODE_REF))
        half = count; /* ascending: leave it full */
    if (tree_key_at(t, n, order_slot(order, half - 1), &left) ||
        (half < count && tree_key_at(t, n, order_slot(order, half), &first)))
        return tree_damaged(t);
    low = tree_between(t, &left, &first);
    e = heap_alloc(s, node_size(LEAF_ROOM, low.size), true, &ref);
    if (e < 0)
        return e;
    b = at_offset(s->seg, ref);
    node_make(b, 0, LEAF_ROOM, &low);
    for (unsigned i = half; i < count; i++) {
        node_keys(b)[i - half] = node_keys(n)[order_slot(order, i)];
        node_refs(b, LEAF_ROOM)[i - half] = node_refs(n, LEAF_ROOM)[order_slot(order, i)];
        born++;
    }
    b->order = ORDER_EMPTY | born;
    b->right = n->right;
    e = mutex_lock_to_the_end(s, &b->lock);
    if (e < 0)
        return section_doom(s, e);
    /* Undo takes the newest first: entries back, a new version, link back, and at last it was never born. The version tells a reader that saw the link
     * as it was, then the entries without those that moved, and now the link as it was. */
    if (log_save(s, offset_of(s->seg, &b->state), 1) || log_save(s, offset_of(s->seg, &n->right), 1) ||
        log_word(s, LOG_WORD(offset_of(s->seg, &n->version), LOG_COUNT)) ||
        log_save(s, offset_of(s->seg, &n->order), 1))
        return section_doom(s, log_is_full());
    store64(&b->state, NODE_ALIVE);
    store64(&n->right, ref);
    store64(&n->order, (order & ~15ull) | half);
    *ret_born = (struct spot){b, ref};
    if (compare_low(t, k, b) >= 0) {
        *leaf = *ret_born;
        *fresh = true; /* nothing of it outlives an undo */
    } else
        *fresh = false; /* slots of what moved are what an undo brings back */
    return 0;
}

/* ---- unlinking ---- */

static bool is_empty(const struct node *n)
{
    return n->level ? NODE_COUNT(n->right) == 1 : !order_count(n->order);
}

/* The node whose right neighbour it is. */
static bool left_of(tarn_tree *t, const struct spot *x, struct spot *p)
{
    struct tree_key low = low_key(t, x->node);
    if (tree_find(NULL, t, &low, x->node->level, TREE_BELOW, p))
        return false;
    for (unsigned i = 0; i < TREE_TRIES; i++) {
        uint64_t right = load64(&p->node->right) & NODE_REF;
        struct node *next;
        if (right == x->ref)
            return true;
        next = right ? node_at(t, right) : NULL;
        if (!next || node_level(next) != x->node->level || compare_low(t, &low, next) <= 0)
            return false;
        *p = (struct spot){next, right};
    }
    return false;
}

static bool drop(struct self *s, tarn_tree *t, const struct spot *x);

/* The node's entry above goes, and from then on nobody makes a new one. Locks of the node and its left neighbour are held. */
static bool lead_away(struct self *s, tarn_tree *t, const struct spot *x, const struct tree_key *low)
{
    struct spot p;
    unsigned i, count;
    bool lone;
    int e = take_inner(s, t, low, x->node->level + 1u, true, &p);
    if (e == -1) { /* no level above: whoever makes one does it under this lock */
        const struct node *root;
        if (!try_inner(s, &t->tree->lock))
            return false;
        root = node_at(t, t->tree->root & NODE_REF);
        lone = root && root->level == x->node->level;
        if (lone)
            store64(&x->node->state, NODE_LEAVING);
        mutex_unlock_inner(s, &t->tree->lock);
        return lone;
    }
    if (e != 1)
        return false;
    count = NODE_COUNT(p.node->right);
    for (i = 0; i < count && node_refs(p.node, t->room)[i] != x->ref; i++)
        ;
    if (i == 0) { /* the first of its entries stays, unless the whole node goes */
        mutex_unlock_inner(s, &p.node->lock);
        return count == 1 && drop(s, t, &p) && lead_away(s, t, x, low);
    }
    if (i < count)
        inner_remove(t, p.node, i);
    store64(&x->node->state, NODE_LEAVING);
    mutex_unlock_inner(s, &p.node->lock);
    return true;
}

/* Unlink an empty leaf, or an inner node of one child, to which from then on only links lead. */
static bool drop(struct self *s, tarn_tree *t, const struct spot *x)
{
    struct tree_key low = low_key(t, x->node);
    struct spot left;
    bool done = false;
    if (is_leftmost(t, x->node) || !left_of(t, x, &left) || !try_inner(s, &left.node->lock))
        return false;
    if (try_inner(s, &x->node->lock)) {
        uint64_t right = load64(&left.node->right);
        if (load64(&t->tree->state) != TREE_GONE && is_alive(s, t, &left) && is_alive(s, t, x) &&
            (right & NODE_REF) == x->ref && is_empty(x->node) && lead_away(s, t, x, &low)) {
            heap_drop(s, &left.node->right, (right & ~NODE_REF) | (x->node->right & NODE_REF), x->ref);
            store64(&x->node->state, NODE_GONE);
            done = true;
        }
        mutex_unlock_inner(s, &x->node->lock);
    }
    mutex_unlock_inner(s, &left.node->lock);
    return done;
}

/* Is the key's lowest inner node down to one child, an empty leaf? */
static bool lone_empty(tarn_tree *t, const struct tree_key *k, struct spot *ret_leaf)
{
    struct spot p;
    if (tree_find(NULL, t, k, 1, TREE_AT, &p) || NODE_COUNT(load64(&p.node->right)) != 1)
        return false;
    ret_leaf->ref = load64(node_refs(p.node, t->room));
    ret_leaf->node = node_at(t, ret_leaf->ref);
    return ret_leaf->node && node_level(ret_leaf->node) == 0 && !order_count(load64(&ret_leaf->node->order));
}

/* A root of one child, alone on its level, is none. */
static bool shrink_root(struct self *s, tarn_tree *t)
{
    struct spot p = {.ref = load64(&t->tree->root) & NODE_REF};
    uint64_t right;
    bool done = false;
    p.node = node_at(t, p.ref);
    if (!p.node || !node_level(p.node) || load64(&p.node->right) != 1ull << 48 || !try_inner(s, &t->tree->lock))
        return false;
    if (try_inner(s, &p.node->lock)) {
        if (p.node->order && NODE_COUNT(p.node->right) - 1 < t->room)
            inner_mend(t, p.node);
        right = load64(&p.node->right);
        if (load64(&t->tree->state) != TREE_GONE && is_alive(s, t, &p) &&
            (t->tree->root & NODE_REF) == p.ref && right == 1ull << 48) {
            store64(&p.node->state, NODE_LEAVING);
            heap_drop(s, &t->tree->root, node_refs(p.node, t->room)[0], p.ref);
            store64(&p.node->state, NODE_GONE);
            done = true;
        }
        mutex_unlock_inner(s, &p.node->lock);
    }
    mutex_unlock_inner(s, &t->tree->lock);
    return done;
}

void tree_tidy(struct self *s, tarn_tree *t, const struct spot *leaf)
{
    struct spot x = *leaf;
    while (drop(s, t, &x)) {
        struct tree_key low = low_key(t, x.node);
        if (!lone_empty(t, &low, &x))
            break;
    }
    while (shrink_root(s, t))
        ;
}

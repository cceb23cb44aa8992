/* collection/tree_check.c - a whole tree looked at, or given back.
 *
 * tree_check believes nothing, takes no lock, and reports what it sees, level by level from the top; while others work that may be in motion, so its caller
 * looks again. In an order of the user's it does not know the order, and looks at all else.
 * tree_retire runs in the section that unbinds the tree's name; that section's commit gives all blocks back. It passes through every node's lock once,
 * after the tree was marked TREE_GONE, so nobody changes the tree afterwards. Handles that others still have are useless then (-ESTALE, until
 * the memory is used for something else). */
#include "collection/tree.h"

static bool handle_for(struct tarn *seg, uint64_t root, tarn_tree *ret)
{
    struct tree *tree;
    if (!tree_block(seg, root, sizeof *tree))
        return false;
    tree = at_offset(seg, root);
    *ret = (tarn_tree){.seg = seg, .tree = tree, .ref = root, .u64 = tree->kind == TREE_KIND_U64};
    ret->room = tree_room(seg, ret->u64);
    return true;
}

/* More nodes than there can be: a circle. */
static uint64_t nodes_most(const struct tarn *seg)
{
    return committed_of(seg) / sizeof(struct node) + 1;
}

/* The leftmost node of the level below; 0: there is none. */
static uint64_t below(const tarn_tree *t, const struct node *n)
{
    return node_level(n) ? load64(node_refs(n, t->room)) : 0;
}

/* ---- check ---- */

struct checking {
    tarn_tree t;
    const struct collection_checker *k;
    bool ordered; /* this process knows the order */
};

static void check_inner(const struct checking *c, const struct node *n, uint64_t ref)
{
    unsigned room = c->t.room, count = NODE_COUNT(load64(&n->right)), level = node_level(n);
    const uint64_t *key = node_keys(n), *to = node_refs(n, room);
    if (count - 1 >= room) {
        c->k->damage(ref, "a tree's inner node: it has no entries, or more than it has room for", c->k->arg);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t head = load64(&key[i]);
        const struct node *child = node_at(&c->t, load64(&to[i]));
        if (!child || node_level(child) != level - 1)
            c->k->damage(ref, "a tree's inner node: an entry leads to no node of the level below", c->k->arg);
        else if (load64(&child->state) == NODE_GONE)
            c->k->damage(ref, "a tree's inner node: an entry leads to a node that was unlinked", c->k->arg);
        else if (word_of(&child->low) > head)
            c->k->damage(ref, "a tree's inner node: an entry leads to a node right of it", c->k->arg);
        else if (i && head < word_of(&key[i - 1]))
            c->k->damage(ref, "a tree's inner node: its entries are not in order", c->k->arg);
    }
}

/* The key of an entry, reported as a block. */
static bool check_entry(const struct checking *c, uint64_t head, uint64_t ref, uint64_t leaf, struct tree_key *ret_key)
{
    struct entry_view v;
    *ret_key = (struct tree_key){.head = head};
    if (c->t.u64)
        return true;
    if (!entry_view(&c->t, ref, &v) || v.key_size - 1 >= 65535) {
        c->k->damage(leaf, "a tree's leaf: a slot leads to no entry", c->k->arg);
        return false;
    }
    c->k->block(ref, sizeof(struct entry_bytes) + v.key_size + v.value_size, c->k->arg);
    ret_key->bytes = v.key;
    ret_key->size = v.key_size;
    if (head != (c->ordered ? head_of(&c->t, v.key, v.key_size) : 0))
        c->k->damage(ref, "a tree's entry: its key is not the one its slot was made for", c->k->arg);
    return true;
}

/* While a leaf is being split, or that is undone, what moves is in both halves: it is looked at in the right one. */
static bool is_moving(const struct checking *c, const struct node *n, unsigned slot, const struct node *next)
{
    uint64_t key = load64(&node_keys(n)[slot]), ref = load64(&node_refs(n, LEAF_ROOM)[slot]), order;
    if (!next || !mutex_in_hand(c->t.seg, &n->lock))
        return false;
    order = load64(&next->order);
    for (unsigned i = 0; i < order_count(order); i++)
        if (load64(&node_keys(next)[order_slot(order, i)]) == key &&
            (c->t.u64 || load64(&node_refs(next, LEAF_ROOM)[order_slot(order, i)]) == ref))
            return true;
    return false;
}

static void check_leaf(const struct checking *c, const struct node *n, uint64_t ref, const struct node *next)
{
    uint64_t order = load64(&n->order);
    unsigned count = (unsigned)order & 15, seen = 0;
    struct tree_key before = {0}, k;
    for (unsigned i = 0; i < 15; i++)
        seen |= 1u << order_slot(order, i);
    if (count > LEAF_SLOTS || seen != 0x7fff) {
        c->k->damage(ref, "a tree's leaf: its order is none", c->k->arg);
        return;
    }
    for (unsigned i = 0; i < count; i++, before = k) {
        unsigned slot = order_slot(order, i);
        if (is_moving(c, n, slot, next))
            return;
        if (!check_entry(c, load64(&node_keys(n)[slot]), load64(&node_refs(n, LEAF_ROOM)[slot]), ref, &k))
            return;
        if (!c->ordered)
            continue;
        if (i &&
            (k.head < before.head ||
             (k.head == before.head && (c->t.u64 || compare_bytes(&c->t, &k, before.bytes, before.size) <= 0))))
            c->k->damage(ref, "a tree's leaf: its keys are not in order", c->k->arg);
        else if (compare_low(&c->t, &k, n) < 0)
            c->k->damage(ref, "a tree's leaf: a key belongs to the left of it", c->k->arg);
        else if (next && compare_low(&c->t, &k, next) >= 0)
            c->k->damage(ref, "a tree's leaf: a key belongs to the right of it", c->k->arg);
    }
}

/* All nodes of a level, from its leftmost. false: what is below cannot be looked at. */
static bool check_level(const struct checking *c, uint64_t ref, unsigned level)
{
    const tarn_tree *t = &c->t;
    for (uint64_t i = 0; ref; i++) {
        const struct node *n = node_at(t, ref), *next = NULL;
        uint64_t right;
        if (!n || node_level(n) != level || i > nodes_most(t->seg)) {
            c->k->damage(ref, "a tree: a node is none, or its level goes in a circle", c->k->arg);
            return i != 0;
        }
        c->k->block(ref, node_size(room_of(t, level), __atomic_load_n(&n->low_size, __ATOMIC_RELAXED)), c->k->arg);
        c->k->owner(&n->lock, c->k->arg);
        if (load64(&n->state) - 1 > NODE_LEAVING - 1)
            c->k->damage(ref, "a tree's node: it is linked, and gone", c->k->arg);
        if (!i && !is_leftmost(t, n))
            c->k->damage(ref, "a tree: the first node of a level is not for the least keys", c->k->arg);
        right = load64(&n->right) & NODE_REF;
        if (right && (next = node_at(t, right))) {
            if (is_leftmost(t, next) || (c->ordered && !is_above(t, next, n))) {
                c->k->damage(right, "a tree's node: its keys are not above those of the one to its left",
                             c->k->arg);
                return true;
            }
        }
        if (level)
            check_inner(c, n, ref);
        else
            check_leaf(c, n, ref, next);
        ref = right;
    }
    return true;
}

int tree_check(struct tarn *seg, uint64_t root, const struct collection_checker *k)
{
    struct checking c = {.k = k};
    const struct node *n;
    uint64_t ref;
    if (!handle_for(seg, root, &c.t)) {
        k->damage(root, "a tree: it is not in the data space", k->arg);
        return 0;
    }
    if (c.t.tree->kind > TREE_KIND_U64) {
        k->damage(root, "a tree: its kind cannot be", k->arg);
        return 0;
    }
    c.ordered = c.t.u64 || !c.t.tree->compare;
    k->owner(&c.t.tree->lock, k->arg);
    k->owner(&c.t.tree->loader, k->arg);
    ref = load64(&c.t.tree->root) & NODE_REF;
    n = node_at(&c.t, ref);
    if (!n || node_level(n) > TREE_LEVELS) {
        k->damage(root, "a tree: its root is no node", k->arg);
        return 0;
    }
    for (unsigned level = node_level(n);; level--) {
        if (!check_level(&c, ref, level))
            return 0;
        n = node_at(&c.t, ref);
        if (!level || !n || node_level(n) != level)
            break;
        ref = below(&c.t, n);
    }
    if (ref != load64(&c.t.tree->first))
        k->damage(root, "a tree: its first leaf is not the one that its root leads to", k->arg);
    return 0;
}

/* ---- giving back ---- */

static int retire_block(struct self *s, uint64_t ref)
{
    return log_word(s, LOG_WORD(ref, LOG_RETIRE)) ? log_is_full() : 0;
}

/* After whoever is changing what it guards. */
static int pass_through(struct self *s, tarn_mutex *m)
{
    int e = mutex_lock_inner(s, m);
    if (e < 0)
        return e;
    mutex_unlock_inner(s, m);
    return 0;
}

static int retire_level(struct self *s, const tarn_tree *t, uint64_t ref, unsigned level)
{
    int e = 0;
    for (uint64_t i = 0; ref && e == 0; i++) {
        struct node *n = node_at(t, ref);
        if (!n || node_level(n) != level || i > nodes_most(s->seg))
            return -EUCLEAN;
        e = pass_through(s, &n->lock);
        for (unsigned a = 0; e == 0 && !level && !t->u64 && a < order_count(n->order); a++)
            e = retire_block(s, node_refs(n, LEAF_ROOM)[order_slot(n->order, a)]);
        if (e == 0)
            e = retire_block(s, ref);
        ref = load64(&n->right) & NODE_REF;
    }
    return e;
}

int tree_retire(struct self *s, uint64_t root)
{
    tarn_tree t;
    uint64_t ref;
    int e;
    if (heap_state(s->seg, root, NULL) != BLOCK_ALLOCATED || !handle_for(s->seg, root, &t) ||
        t.tree->kind > TREE_KIND_U64 || load64(&t.tree->state) == TREE_GONE)
        return fail(-EUCLEAN, "the tree at ref %#llx is damaged: run tarn check", (unsigned long long)root);
    e = log_save(s, offset_of(s->seg, &t.tree->state), 1);
    if (e < 0)
        return fail(e, "no memory for the log of the section that removes a tree");
    store64(&t.tree->state, TREE_GONE);
    e = pass_through(s, &t.tree->lock);
    ref = load64(&t.tree->root) & NODE_REF;
    while (e == 0 && ref) {
        const struct node *n = node_at(&t, ref);
        e = n && node_level(n) <= TREE_LEVELS ? retire_level(s, &t, ref, node_level(n)) : -EUCLEAN;
        ref = n ? below(&t, n) : 0;
    }
    if (e == -EUCLEAN)
        return tree_damaged(&t);
    return e < 0 ? e : retire_block(s, root);
}

/* collection/tree_load.c - many entries in ascending order, put in behind all others, in one section.
 *
 * Leaves are filled one after the other as blocks of that section, which nobody sees; then one saved store links the first of them to what was the last
 * leaf. From there to the commit others may read them, but not write in them: the section holds the tree's loader, at which writers wait. So an undo
 * takes back nobody else's work. Inner nodes are told after the commit; if that is cut short, by whoever comes by. */
#include "collection/tree.h"

struct load {
    tarn_tree *t;
    struct self *s;
    struct spot leaf; /* the last one: there already, or new */
    struct node *was; /* the last one that was there */
    uint64_t first;   /* new leaf; 0: none yet */
    bool fresh;
    struct tree_key last; /* its bytes are the entry's */
};

static int load_key(const tarn_tree *t, const struct tarn_tree_entry *e, struct tree_key *k)
{
    *k = (struct tree_key){0};
    if (t->u64) {
        if (e->key_size != 8 || e->size != 8 || !e->key || !e->value)
            return fail(-EINVAL, "tarn_tree_load: an entry of a tree of 64-bit numbers is two of 8 bytes");
        memcpy(&k->head, e->key, 8);
        return 0;
    }
    if (e->key_size - 1 >= 65535 || !e->key || e->size > 1u << 30 || (e->size && !e->value))
        return fail(-EINVAL, "tarn_tree_load: a key is 1 to 65535 bytes, not %zu, a value at most 2^30, not %zu",
                    e->key_size, e->size);
    *k = (struct tree_key){.head = head_of(t, e->key, e->key_size), .bytes = e->key, .size = e->key_size};
    return 0;
}

static bool key_is_above(const tarn_tree *t, const struct tree_key *k, const struct tree_key *last)
{
    if (k->head != last->head)
        return k->head > last->head;
    return !t->u64 && compare_bytes(t, k, last->bytes, last->size) > 0;
}

/* A new leaf behind the last one. */
static int leaf_more(struct load *l, const struct tree_key *k)
{
    struct tree_key low = tree_between(l->t, &l->last, k);
    struct node *n;
    uint64_t ref;
    int e = heap_alloc(l->s, node_size(LEAF_ROOM, low.size), true, &ref);
    if (e < 0)
        return e;
    n = at_offset(l->s->seg, ref);
    node_make(n, 0, LEAF_ROOM, &low);
    n->order = ORDER_EMPTY;
    n->state = NODE_LEAVING; /* its block's state tells: alive if this section commits */
    if (l->first)
        l->leaf.node->right = ref;
    else
        l->first = ref;
    l->leaf = (struct spot){n, ref};
    return 0;
}

static int load_one(struct load *l, const struct tree_key *k, const struct tarn_tree_entry *e)
{
    struct node *n = l->leaf.node;
    uint64_t word;
    unsigned count;
    int error;
    if (order_count(n->order) == LEAF_SLOTS && (error = leaf_more(l, k)) < 0)
        return error;
    n = l->leaf.node;
    error = tree_value_word(l->s, l->t, k, e->value, e->size, &word);
    if (error < 0)
        return error;
    count = order_count(n->order);
    l->last = *k;
    if (!l->t->u64) {
        struct entry_view v;
        if (!entry_view(l->t, word, &v))
            return tree_damaged(l->t);
        l->last.bytes = v.key;
    }
    if (n == l->was)
        return tree_leaf_insert(l->s, n, l->fresh, count, k->head, word);
    node_keys(n)[order_slot(n->order, count)] = k->head;
    node_refs(n, LEAF_ROOM)[order_slot(n->order, count)] = word;
    n->order++;
    return 0;
}

/* The leaf behind whose entries the first key belongs, locked. 1: it is the last leaf; 0: only empty ones follow; or a failure. */
static int load_begin(struct load *l, const struct tree_key *k)
{
    const struct node *n;
    bool same;
    int e = tree_take(l->s, l->t, k, &l->leaf, &l->fresh), rank;
    if (e < 0)
        return e;
    l->was = l->leaf.node;
    rank = tree_rank(l->t, l->was, l->was->order, k, &same);
    if (rank < 0)
        return tree_damaged(l->t);
    for (n = l->was; n && !same && rank == (int)order_count(n->order); rank = 0) {
        if (!(n->right & NODE_REF))
            break;
        n = node_at(l->t, n->right & NODE_REF);
    }
    if (!n)
        return tree_damaged(l->t);
    if (same || rank != (int)order_count(n->order))
        return fail(-EINVAL,
                    "tarn_tree_load: the tree has a key that is not less than the first one to be loaded");
    if (n != l->was)
        return 0;
    if (rank && tree_key_at(l->t, n, order_slot(n->order, order_count(n->order) - 1), &l->last))
        return tree_damaged(l->t);
    e = mutex_lock_to_the_end(l->s, &l->t->tree->loader); /* as all do, with the leaf taken before */
    return e < 0 ? e : 1;
}

/* The first entry is at hand; the others follow. */
static int load_all(struct load *l, struct tarn_tree_entry *entry, struct tree_key *k,
                    int (*next)(struct tarn_tree_entry *ret_entry, void *arg), void *arg)
{
    int e = load_begin(l, k);
    if (e == 0)
        e = fail(-EAGAIN, "tarn_tree_load: the tree ends in leaves that others have just emptied: try again");
    while (e >= 0) {
        e = load_one(l, k, entry);
        if (e < 0)
            break;
        memset(entry, 0, sizeof *entry);
        e = next(entry, arg);
        if (e <= 0)
            break;
        e = load_key(l->t, entry, k);
        if (e == 0 && !key_is_above(l->t, k, &l->last))
            e = fail(-EINVAL, "tarn_tree_load: a key is not greater than the one before it");
    }
    if (e < 0 || !l->first)
        return e;
    if (log_save(l->s, offset_of(l->s->seg, &l->was->right), 1))
        return log_is_full();
    store64(&l->was->right, l->first);
    return 0;
}

int tarn_tree_load(tarn_tree *tree, int (*next)(struct tarn_tree_entry *ret_entry, void *arg), void *arg)
{
    struct tarn_tree_entry entry = {0};
    struct tree_key k;
    struct load l = {.t = tree};
    int e = 0;
    struct self *s = l.s = self_of(tree->seg, &e);
    if (!s)
        return e;
    if (s->depth)
        return fail(-EPERM, "tarn_tree_load: it is a section of its own, and one is open");
    e = next(&entry, arg);
    if (e <= 0 || (e = load_key(tree, &entry, &k)) < 0)
        return e;
    section_begin(s);
    e = load_all(&l, &entry, &k, next, arg);
    epoch_pin(s);
    e = section_end(s, e);
    if (e == 0 && l.first)
        tree_adopt_all(s, tree, l.first);
    epoch_unpin(s);
    return e;
}

/* collection/tree.c - the ordered map's calls that open it and change it.
 *
 * Rests on names (the root is a named object of type {"tarn_tree", sizeof(struct tree), TREE_VERSION}), sections, the mutex, the heap.
 * A change is a section of its own, or part of the caller's. Its steps are stores of single saved words: a leaf's order (insert, remove), a value, or the
 * ref of an entry; so the section's commit is the commit point of all. What inner nodes are to be told is told after it, where the section was the
 * call's own; else by whoever comes by next.
 * After an error other than -ENOENT and -EEXIST the caller's section should be aborted: what one call had begun when memory ran out is doomed. */
#include <pthread.h>
#include <stdlib.h>

#include "collection/entry.h"
#include "collection/tree.h"
#include "name/name.h"

#define KEY_MOST 65535u
#define VALUE_MOST (1u << 30)

/* ---- orders of the user's ---- */

enum { ORDERS = 64 };
static struct {
    uint32_t id;
    tree_compare *compare;
} orders[ORDERS];
static unsigned orders_count; /* both under the lock */
static pthread_mutex_t orders_lock = PTHREAD_MUTEX_INITIALIZER;

static tree_compare *order_of(uint32_t id)
{
    tree_compare *found = NULL;
    pthread_mutex_lock(&orders_lock);
    for (unsigned i = 0; i < orders_count; i++)
        if (orders[i].id == id)
            found = orders[i].compare;
    pthread_mutex_unlock(&orders_lock);
    return found;
}

int tarn_tree_compare_register(uint32_t id,
                               int (*compare)(const void *a, size_t a_size, const void *b, size_t b_size))
{
    int e = 0;
    if (!id || !compare)
        return fail(-EINVAL, "tarn_tree_compare_register: an order has a number above 0, and a function");
    pthread_mutex_lock(&orders_lock);
    for (unsigned i = 0; i < orders_count && !e; i++)
        if (orders[i].id == id)
            e = orders[i].compare == compare ? 1 : -EEXIST;
    if (!e && orders_count == ORDERS)
        e = -ENOSPC;
    if (!e) {
        orders[orders_count].id = id;
        orders[orders_count++].compare = compare;
    }
    pthread_mutex_unlock(&orders_lock);
    if (e == -EEXIST)
        return fail(e, "order %u is registered in this process already, with another function", id);
    if (e == -ENOSPC)
        return fail(e, "%u orders are registered in this process, the most", (unsigned)ORDERS);
    return 0;
}

/* ---- open ---- */

static const struct tarn_type tree_type = {TREE_TYPE_NAME, sizeof(struct tree), TREE_VERSION};

struct asked {
    uint32_t kind, compare;
};

/* A new root, zeroed and in an open section, becomes an empty tree: one leaf. */
static int tree_fill(struct self *s, uint64_t block, void *arg)
{
    const struct asked *asked = arg;
    struct tree *tree = at_offset(s->seg, block);
    uint64_t leaf;
    struct node *n;
    int e = heap_alloc(s, node_size(LEAF_ROOM, 0), true, &leaf);
    if (e < 0)
        return e;
    n = at_offset(s->seg, leaf);
    node_make(n, 0, LEAF_ROOM, &(struct tree_key){0});
    n->order = ORDER_EMPTY;
    n->state = NODE_ALIVE;
    tree->kind = asked->kind;
    tree->compare = asked->compare;
    tree->root = tree->first = leaf;
    return 0;
}

static const char *kind_name(uint32_t kind)
{
    return kind == TREE_KIND_U64 ? "64-bit numbers" : "bytes";
}

static int find_or_make(tarn *seg, const char *name, unsigned flags, const uint32_t *compare, tarn_tree *t)
{
    struct asked asked = {flags & TARN_TREE_U64 ? TREE_KIND_U64 : TREE_KIND_BYTES, compare ? *compare : 0};
    uint64_t ref = 0;
    struct tree *tree;
    tree_compare *order = NULL;
    uint32_t kind, id;
    int e;
    if (flags & ~(TARN_CREATE | TARN_TREE_U64))
        return fail(-EINVAL, "tarn_tree_open: flags %#x are not of TARN_CREATE, TARN_TREE_U64", flags);
    if (asked.compare && asked.kind == TREE_KIND_U64)
        return fail(-EINVAL, "tarn_tree_open_ordered: 64-bit numbers have their own order");
    if (asked.compare && !order_of(asked.compare))
        return fail(-ENOTSUP, "order %u is not registered in this process: call tarn_tree_compare_register first",
                    asked.compare);
    e = tarn_find(seg, name, &tree_type, &ref);
    if (e == -ENOENT && flags & TARN_CREATE) {
        struct self *s = self_of(seg, &e);
        if (!s)
            return e;
        e = name_make(s, name, &tree_type, tree_fill, &asked, &ref);
    }
    if (e < 0)
        return e;
    tree = at_offset(seg, ref & NODE_REF);
    if (!tree_block(seg, ref, sizeof *tree) || (kind = tree->kind) > TREE_KIND_U64)
        return fail(-EUCLEAN, "\"%s\" is bound to a damaged tree: run tarn check", name);
    id = tree->compare;
    if (kind != asked.kind && flags & (TARN_TREE_U64 | TARN_CREATE))
        return fail(-EPROTO, "\"%s\" is a tree of %s, not of %s", name, kind_name(kind), kind_name(asked.kind));
    if (compare && id != *compare)
        return fail(-EPROTO, "\"%s\" is a tree of order %u, not %u", name, id, *compare);
    if (id && kind == TREE_KIND_BYTES && !(order = order_of(id)))
        return fail(-ENOTSUP,
                    "\"%s\" is a tree of order %u, which is not registered in this process: call "
                    "tarn_tree_compare_register first",
                    name, id);
    *t = (tarn_tree){.seg = seg, .tree = tree, .ref = ref, .compare = order, .u64 = kind == TREE_KIND_U64};
    t->room = tree_room(seg, t->u64);
    t->zone = seg->geometry.zone[ZONE_DATA];
    t->data = at_offset(seg, t->zone);
    t->epoch = &participants_of(seg)->epoch;
    t->quick = t->u64 && !seg->readonly && !seg->exchange_unlock ? (void *)seg : (void *)t;
    tree_learn(t);
    return 0;
}

static int open_tree(tarn *seg, const char *name, unsigned flags, const uint32_t *compare, tarn_tree **ret_tree)
{
    tarn_tree *t = malloc(sizeof *t); /* first: without it no tree is made */
    int e;
    if (!t)
        return fail(-ENOMEM, "no memory for a tree's handle");
    e = find_or_make(seg, name, flags, compare, t);
    if (e < 0)
        free(t);
    else
        *ret_tree = t;
    return e;
}

int tarn_tree_open(tarn *seg, const char *name, unsigned flags, tarn_tree **ret_tree)
{
    return open_tree(seg, name, flags, NULL, ret_tree);
}

int tarn_tree_open_ordered(tarn *seg, const char *name, unsigned flags, uint32_t compare, tarn_tree **ret_tree)
{
    return open_tree(seg, name, flags, &compare, ret_tree);
}

void tarn_tree_close(tarn_tree *tree)
{
    free(tree);
}

/* ---- a change, as a section or in one ---- */

/* A word for a value: the number, or the ref of a new entry. */
int tree_value_word(struct self *s, const tarn_tree *t, const struct tree_key *k, const void *value,
                    uint64_t size, uint64_t *ret_word)
{
    if (!t->u64)
        return entry_make(s, k->bytes, k->size, value, size, ret_word);
    memcpy(ret_word, value, 8);
    return 0;
}

/* Put an entry at place `rank` of a leaf that has room. fresh: no slot of it was given up in this section. */
int tree_leaf_insert(struct self *s, struct node *n, bool fresh, unsigned rank, uint64_t head, uint64_t word)
{
    uint64_t order = n->order;
    unsigned slot = order_slot(order, order_count(order));
    uint64_t *key = &node_keys(n)[slot], *value = &node_refs(n, LEAF_ROOM)[slot];
    if (TARN_RARE(!fresh) &&
        (log_save(s, offset_of(s->seg, key), 1) || log_save(s, offset_of(s->seg, value), 1) ||
         log_word(s, LOG_WORD(offset_of(s->seg, &n->version), LOG_COUNT)))) /* undone after the order is, and before those two */
        return log_is_full();
    if (TARN_RARE(log_save(s, offset_of(s->seg, &n->order), 1)))
        return log_is_full();
    store64(&n->version, n->version + 1); /* who has the order of before sees this before he sees what follows */
    store64(key, head);
    store64(value, word);
    store64(&n->order, order_insert(order, rank));
    return 0;
}

static int insert(struct self *s, tarn_tree *t, const struct tree_key *k, struct spot *leaf, bool fresh,
                  int rank, const void *value, uint64_t size, struct spot *ret_born)
{
    uint64_t word;
    bool same;
    int e;
    if (order_count(leaf->node->order) == LEAF_SLOTS) {
        e = tree_split(s, t, k, leaf, &fresh, ret_born);
        if (e < 0)
            return e;
        rank = tree_rank(t, leaf->node, leaf->node->order, k, &same);
        if (rank < 0)
            return section_doom(s, tree_damaged(t));
    }
    e = tree_value_word(s, t, k, value, size, &word);
    if (e < 0) /* a split may stand: it changes nothing that a user sees */
        return e;
    e = tree_leaf_insert(s, leaf->node, fresh, (unsigned)rank, k->head, word);
    return e < 0 ? section_doom(s, e) : 0;
}

static int replace(struct self *s, tarn_tree *t, const struct tree_key *k, struct node *n, int rank,
                   const void *value, uint64_t size)
{
    uint64_t *word = &node_refs(n, LEAF_ROOM)[order_slot(n->order, (unsigned)rank)], entry, v;
    struct entry_view old;
    int e;
    if (t->u64) {
        memcpy(&v, value, 8);
        return section_store(s, word, v);
    }
    if (!entry_view(t, *word, &old))
        return tree_damaged(t);
    if (size == 8 && old.value_size == 8) {
        memcpy(&v, value, 8);
        return section_store(s, (uint64_t *)(uintptr_t)old.value, v);
    }
    e = entry_make(s, k->bytes, k->size, value, size,
                   &entry); /* before the word is saved: undo takes it off the tree first, then retires it */
    if (e < 0)
        return e;
    if (log_save(s, offset_of(s->seg, word), 1) || log_word(s, LOG_WORD(*word, LOG_RETIRE)))
        return section_doom(s, log_is_full());
    store64(word, entry);
    return 0;
}

enum how { PUT, INSERT, REPLACE };

static inline int change(tarn_tree *t, const struct tree_key *k, const void *value, uint64_t size, enum how how)
{
    struct spot leaf, born = {0};
    bool fresh, same, own;
    int e = 0, rank;
    struct self *s = self_of(t->seg, &e);
    if (TARN_RARE(!s))
        return e;
    own = !s->depth;
    section_begin(s);
    e = tree_take(s, t, k, &leaf, &fresh);
    if (TARN_RARE(e < 0))
        return section_end(s, e);
    rank = tree_rank(t, leaf.node, leaf.node->order, k, &same);
    if (TARN_RARE(rank < 0))
        e = tree_damaged(t);
    else if (same)
        e = how == INSERT ? fail_constant(-EEXIST, "the tree has such a key already")
                          : replace(s, t, k, leaf.node, rank, value, size);
    else
        e = how == REPLACE ? fail_constant(-ENOENT, "the tree has no such key")
                           : insert(s, t, k, &leaf, fresh, rank, value, size, &born);
    if (TARN_RARE(own && e == 0 && born.ref)) {
        epoch_pin(s); /* the new node may be unlinked again as soon as its lock is free */
        e = section_end(s, e);
        if (e == 0)
            tree_adopt(s, t, &born);
        epoch_unpin(s);
        return e;
    }
    return section_end(s, e);
}

static inline int take_out(tarn_tree *t, const struct tree_key *k)
{
    struct spot leaf;
    bool fresh, same, own, empty;
    int e = 0, rank;
    struct self *s = self_of(t->seg, &e);
    if (TARN_RARE(!s))
        return e;
    own = !s->depth;
    section_begin(s);
    e = tree_take(s, t, k, &leaf, &fresh);
    if (TARN_RARE(e < 0))
        return section_end(s, e);
    rank = tree_rank(t, leaf.node, leaf.node->order, k, &same);
    if (TARN_RARE(rank < 0))
        e = tree_damaged(t);
    else if (!same)
        e = fail_constant(-ENOENT, "the tree has no such key");
    else {
        uint64_t order = leaf.node->order,
                 word = node_refs(leaf.node, LEAF_ROOM)[order_slot(order, (unsigned)rank)];
        e = section_store(s, &leaf.node->order, order_remove(order, (unsigned)rank));
        if (e == 0 && !t->u64 && TARN_RARE(log_word(s, LOG_WORD(word, LOG_RETIRE))))
            e = section_doom(s, log_is_full());
    }
    empty = !order_count(leaf.node->order);
    if (TARN_RARE(own && empty && (e == 0 || e == -ENOENT))) {
        epoch_pin(s);
        e = section_end(s, e);
        if (e == 0 || e == -ENOENT)
            tree_tidy(s, t, &leaf);
        epoch_unpin(s);
        return e;
    }
    return section_end(s, e);
}

/* ---- public ---- */

static int wrong_kind(const tarn_tree *t)
{
    return fail(-EPROTO, "the tree is one of %s: use the calls %s", kind_name(t->u64),
                t->u64 ? "that end in 64" : "without 64");
}

static inline int key_of_bytes(const tarn_tree *t, const void *key, size_t size, struct tree_key *ret_key)
{
    if (TARN_RARE(t->u64))
        return wrong_kind(t);
    if (TARN_RARE(size - 1 >= KEY_MOST || !key))
        return fail(-EINVAL, "a tree's key is 1 to %u bytes, not %zu", KEY_MOST, size);
    *ret_key = (struct tree_key){.head = head_of(t, key, size), .bytes = key, .size = size};
    return 0;
}

static int change_bytes(tarn_tree *t, const void *key, size_t key_size, const void *value, size_t size, enum how how)
{
    struct tree_key k;
    int e = key_of_bytes(t, key, key_size, &k);
    if (e < 0)
        return e;
    if (size > VALUE_MOST || (size && !value))
        return fail(-EINVAL, "a tree's value is 0 to %u bytes, not %zu", VALUE_MOST, size);
    return change(t, &k, value, size, how);
}

int tarn_tree_put(tarn_tree *tree, const void *key, size_t key_size, const void *value, size_t size)
{
    return change_bytes(tree, key, key_size, value, size, PUT);
}
int tarn_tree_insert(tarn_tree *tree, const void *key, size_t key_size, const void *value, size_t size)
{
    return change_bytes(tree, key, key_size, value, size, INSERT);
}
int tarn_tree_replace(tarn_tree *tree, const void *key, size_t key_size, const void *value, size_t size)
{
    return change_bytes(tree, key, key_size, value, size, REPLACE);
}
int tarn_tree_remove(tarn_tree *tree, const void *key, size_t key_size)
{
    struct tree_key k;
    int e = key_of_bytes(tree, key, key_size, &k);
    return e < 0 ? e : take_out(tree, &k);
}

int tarn_tree_put64(tarn_tree *tree, uint64_t key, uint64_t value)
{
    return TARN_RARE(!tree->u64) ? wrong_kind(tree)
                                 : change(tree, &(struct tree_key){.head = key}, &value, 8, PUT);
}
int tarn_tree_insert64(tarn_tree *tree, uint64_t key, uint64_t value)
{
    return TARN_RARE(!tree->u64) ? wrong_kind(tree)
                                 : change(tree, &(struct tree_key){.head = key}, &value, 8, INSERT);
}
int tarn_tree_replace64(tarn_tree *tree, uint64_t key, uint64_t value)
{
    return TARN_RARE(!tree->u64) ? wrong_kind(tree)
                                 : change(tree, &(struct tree_key){.head = key}, &value, 8, REPLACE);
}
int tarn_tree_remove64(tarn_tree *tree, uint64_t key)
{
    return TARN_RARE(!tree->u64) ? wrong_kind(tree) : take_out(tree, &(struct tree_key){.head = key});
}

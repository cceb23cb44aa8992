/* collection/tree.h - the parts of the ordered map, for its own files, unbind and check. The public calls are in tarn.h; docs/tree.md says why it is
 * right.
 *
 * Leaves hold the entries and are the truth; inner nodes are hints: each entry leads to its node, or to one left of it, and from there the links to the
 * right lead on. Writers take a leaf's lock in a section, for as long as that lasts, and change saved words, one store each. A leaf's split is part of
 * that section: the sibling is born in it and locked by it. Inner nodes change after that, by single stores under inner locks, for good.
 * Lock order: names, leaves left to right, loader, inner nodes upward and left to right, the tree's lock. Who takes leaves in another order tries only.
 */
#ifndef TARN_TREE_H
#define TARN_TREE_H

#include <errno.h>
#include <string.h>

#include "collection/layout.h"
#include "collection/check.h"
#include "heap/heap.h"
#include "os/error.h"
#include "participant/again.h"
#include "sync/sync.h"

typedef int tree_compare(const void *a, size_t a_size, const void *b, size_t b_size);

/* A process's handle: private memory. What is marked (learned) is stored by any of its threads, with one and the same value or a greater one; the rest
 * is fixed once made. */
struct tarn_tree {
    tarn *seg;
    struct tree *tree;
    uint64_t ref;
    tree_compare *compare; /* NULL: bytes, then length */
    bool u64;
    uint32_t room; /* of its inner nodes; the same in all processes */
    /* for the quick way down, of a tree of numbers; docs/tree.md */
    const void *quick;     /* seg, if look-ups may be quick here; else what no thread's seg is */
    const uint64_t *epoch; /* the participants' */
    char *data;            /* where data space begins in this process */
    uint64_t zone;         /* its offset */
    uint64_t inner_most,
        leaf_most; /* (learned) bytes from there on: an inner node (a leaf) that begins no later is committed */
};

struct tree_key {
    uint64_t head; /* a number: the key itself */
    const void *bytes;
    uint64_t size;
};

/* A node found. */
struct spot {
    struct node *node;
    uint64_t ref;
};

#define TREE_TRIES 1000u
#define HOPS_MOST (1u << 24) /* nodes passed on one level */

static inline bool tree_block(const struct tarn *seg, uint64_t ref, uint64_t size)
{
    return !(ref & 15) && in_data(seg, ref, size);
}
static inline uint64_t *node_keys(const struct node *n)
{
    return (uint64_t *)(n + 1);
}
/* All inner nodes of a tree have one size. */
static inline unsigned room_of(const tarn_tree *t, unsigned level)
{
    return level ? t->room : LEAF_ROOM;
}
static inline uint64_t *node_refs(const struct node *n, unsigned room)
{
    return (uint64_t *)(n + 1) + room;
}
static inline unsigned node_room(const struct node *n)
{
    return __atomic_load_n(&n->room, __ATOMIC_RELAXED);
}
static inline unsigned node_level(const struct node *n)
{
    return __atomic_load_n(&n->level, __ATOMIC_RELAXED);
}
static inline uint64_t node_size(unsigned room, uint64_t low_size)
{
    return sizeof(struct node) + 16ull * room + low_size;
}
static inline uint64_t word_of(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* The node at ref with all its words and its low key, or NULL. */
static inline struct node *node_at(const tarn_tree *t, uint64_t ref)
{
    struct node *n;
    unsigned room;
    if (TARN_RARE(!tree_block(t->seg, ref, sizeof *n)))
        return NULL;
    n = at_offset(t->seg, ref);
    room = room_of(t, node_level(n));
    if (TARN_RARE(node_room(n) != room ||
                  !in_data(t->seg, ref, node_size(room, __atomic_load_n(&n->low_size, __ATOMIC_RELAXED)))))
        return NULL;
    return n;
}

/* Entries in the order of a leaf, and where they stand. */
static inline unsigned order_count(uint64_t order)
{
    unsigned n = (unsigned)order & 15;
    return n < LEAF_SLOTS ? n : LEAF_SLOTS;
}
static inline unsigned order_slot(uint64_t order, unsigned i)
{
    return (unsigned)(order >> (4 * i + 4)) & 15;
}

#define ORDER_EMPTY 0xedcba98765432100ull
/* One more, in the first free slot, at place i; one less. */
static inline uint64_t order_insert(uint64_t order, unsigned i)
{
    unsigned count = (unsigned)order & 15, slot = order_slot(order, count);
    uint64_t body = order >> 4, low = (1ull << 4 * i) - 1, all = (1ull << 4 * (count + 1)) - 1;
    body = (body & low) | (uint64_t)slot << 4 * i | (body & (all >> 4) & ~low) << 4 | (body & ~all);
    return body << 4 | (count + 1);
}
static inline uint64_t order_remove(uint64_t order, unsigned i)
{
    unsigned count = (unsigned)order & 15, slot = order_slot(order, i);
    uint64_t body = order >> 4, low = (1ull << 4 * i) - 1, all = (1ull << 4 * count) - 1;
    body = (body & low) | (body & all & ~(low << 4 | 15)) >> 4 | (uint64_t)slot << 4 * (count - 1) | (body & ~all);
    return body << 4 | (count - 1);
}

/* ---- comparing ---- */

static inline uint64_t head_of(const tarn_tree *t, const void *bytes, uint64_t size)
{
    uint64_t head = 0;
    if (t->compare)
        return 0;
    if (size >= 8) {
        memcpy(&head, bytes, 8);
        return __builtin_bswap64(head);
    }
    for (uint64_t i = 0; i < size; i++)
        head |= (uint64_t)((const unsigned char *)bytes)[i] << (56 - 8 * i);
    return head;
}

static inline int compare_bytes(const tarn_tree *t, const struct tree_key *k, const void *bytes, uint64_t size)
{
    int c;
    if (t->compare)
        return t->compare(k->bytes, k->size, bytes, size);
    c = memcmp(k->bytes, bytes, k->size < size ? k->size : size);
    return c ? c : k->size < size ? -1 : k->size > size;
}

/* The low key of a node: what is read of it once is checked, so its bytes are committed memory, whatever they are. */
static inline struct tree_key low_key(const tarn_tree *t, const struct node *n)
{
    struct tree_key k = {.head = word_of(&n->low)};
    unsigned room = room_of(t, node_level(n));
    if (t->u64)
        return k;
    k.size = __atomic_load_n(&n->low_size, __ATOMIC_RELAXED);
    k.bytes = (const char *)(n + 1) + 16ull * room;
    if (TARN_RARE(k.size > 65535 || !in_data(t->seg, offset_of(t->seg, n), node_size(room, k.size))))
        k.size = 0;
    return k;
}
/* The key and the low key of a node. */
static inline int compare_low(const tarn_tree *t, const struct tree_key *k, const struct node *n)
{
    uint64_t low = word_of(&n->low);
    struct tree_key other;
    if (k->head != low)
        return k->head < low ? -1 : 1;
    if (t->u64)
        return 0;
    other = low_key(t, n);
    return other.size ? compare_bytes(t, k, other.bytes, other.size) : 1;
}
/* Is the low key of one above that of the other? So it is along all links. */
static inline bool is_above(const tarn_tree *t, const struct node *n, const struct node *left)
{
    struct tree_key low;
    if (t->u64)
        return word_of(&n->low) > word_of(&left->low);
    low = low_key(t, n);
    return low.size && compare_low(t, &low, left) > 0;
}
static inline bool is_leftmost(const tarn_tree *t, const struct node *n)
{
    return t->u64 ? !word_of(&n->low) : !__atomic_load_n(&n->low_size, __ATOMIC_RELAXED);
}

struct entry_view {
    const char *key, *value;
    uint64_t key_size, value_size;
};
static inline bool entry_view(const tarn_tree *t, uint64_t ref, struct entry_view *v)
{
    const struct entry_bytes *e;
    if (TARN_RARE(!tree_block(t->seg, ref, sizeof *e)))
        return false;
    e = at_offset(t->seg, ref);
    v->key_size = __atomic_load_n(&e->key_size, __ATOMIC_RELAXED);
    v->value_size = __atomic_load_n(&e->value_size, __ATOMIC_RELAXED);
    if (TARN_RARE(!in_data(t->seg, ref, sizeof *e + v->value_size + v->key_size)))
        return false;
    v->value = (const char *)(e + 1);
    v->key = v->value + v->value_size;
    return true;
}

/* So many of n ascending words are at most `most`. Without branches that depend on them. */
static inline unsigned up_to(const uint64_t *word, unsigned n, uint64_t most)
{
    unsigned at = 0;
    while (n > 1) {
        unsigned half = n / 2;
        at += word_of(&word[at + half - 1]) <= most ? half : 0;
        n -= half;
    }
    return at + (n && word_of(&word[at]) <= most);
}

/* ---- tree_node.c: finding, structure ---- */

/* Entries for which an inner node has room: what the largest small block holds, with a low key of some bytes. */
unsigned tree_room(const struct tarn *seg, bool u64);
/* What quick ways down may rely on from now on. */
void tree_learn(tarn_tree *t);

/* A learned word. As an atomic load, gcc would give it an instruction of its own. */
static inline uint64_t tree_learned(const uint64_t *word)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    return *word;
#else
    return __atomic_load_n(word, __ATOMIC_RELAXED);
#endif
}

#define LEAF_BYTES (sizeof(struct node) + 16 * LEAF_ROOM)

/* The leaf of a number, or one left of it (ahead: and where the refs of the leaves stand that most likely follow), as tree_find finds it; NULL: whatever is not the usual, tree_find has to look. All that is followed lies in
 * committed memory, whatever the bytes: inner nodes have one size here. Pinned, or to be validated. */
static inline __attribute__((always_inline)) struct node *tree_quick_ahead(const tarn_tree *t, uint64_t key,
                                                                           const uint64_t **ret_next,
                                                                           unsigned *ret_more)
{
    uint64_t at = (load64(&t->tree->root) & NODE_REF) - t->zone;
    const struct node *n;
    unsigned level;
    if (TARN_RARE(at > tree_learned(&t->inner_most)))
        return NULL;
    n = (const struct node *)(t->data + at);
    level = node_level(n);
    if (TARN_RARE(level - 1 >= TREE_LEVELS))
        return NULL;
    do {
        uint64_t w = load64(&n->right);
        unsigned count = NODE_COUNT(w), i;
        const uint64_t *words = node_keys(n);
        if (TARN_RARE(count > t->room))
            return NULL;
        i = up_to(words, count, key);
        if (TARN_RARE(i - 1 >= count - !!(w & NODE_REF))) /* none, or the last one, and there is a node to the right */
            return NULL;
        at = load64(&words[t->room + i - 1]) - t->zone;
        *ret_next = &words[t->room + i];
        *ret_more = count - i;
        if (TARN_RARE(at > tree_learned(--level ? &t->inner_most : &t->leaf_most)))
            return NULL;
        n = (const struct node *)(t->data + at);
        for (unsigned line = 0; line < (level ? sizeof *n + 8 * INNER_ROOM : LEAF_BYTES); line += 64)
            __builtin_prefetch((const char *)n + line);
        if (TARN_RARE(at & 15 || word_of(&n->low) > key)) /* entries were moved under our eyes */
            return NULL;
    } while (level);
    return TARN_RARE(node_level(n) || node_room(n) != LEAF_ROOM) ? NULL : (struct node *)n;
}
static inline struct node *tree_quick(const tarn_tree *t, uint64_t key)
{
    const uint64_t *next;
    unsigned more;
    return tree_quick_ahead(t, key, &next, &more);
}
static inline void prefetch_leaf(const void *leaf)
{
    for (unsigned line = 0; line < LEAF_BYTES; line += 64)
        __builtin_prefetch((const char *)leaf + line);
}

/* How to look for a key: the node it belongs to, or the one in which the greatest key below it may be. */
enum aim { TREE_AT, TREE_BELOW };

/* The node of that level. Takes no lock. s: whoever comes by a link that no inner node has, and may write, puts it in; NULL: not. At level 0 the
 * right one may still be to the right (tree_beyond). 0; 1: there is no such level; -EUCLEAN without a sentence. Pinned, or to be validated. */
int tree_find(struct self *s, tarn_tree *t, const struct tree_key *k, unsigned level, enum aim aim,
              struct spot *ret_spot);
/* Does the key belong to the right of a leaf, with this `right`? The next node, or NULL; *ret_bad: it cannot be. */
static inline struct node *tree_beyond(const tarn_tree *t, const struct tree_key *k, uint64_t right,
                                       enum aim aim, bool *ret_bad)
{
    struct node *next;
    if (!(right & NODE_REF))
        return NULL;
    next = node_at(t, right & NODE_REF);
    if (TARN_RARE(!next)) {
        *ret_bad = true;
        return NULL;
    }
    return compare_low(t, k, next) >= (aim == TREE_AT ? 0 : 1) ? next : NULL;
}
/* Of a leaf's entries so many are less than the key; *ret_same: the one at that place is equal. -EUCLEAN. */
int tree_rank(const tarn_tree *t, const struct node *n, uint64_t order, const struct tree_key *k, bool *ret_same);

/* In an open section: the leaf of a key, locked until that ends. *ret_fresh: its lock was taken by this call. Unpinned before and after. */
int tree_take(struct self *s, tarn_tree *t, const struct tree_key *k, struct spot *ret_leaf, bool *ret_fresh);
/* In it: split a full leaf into which a key is to come: *leaf becomes the one for it, *ret_born the new one. 0, -ENOSPC and kin. */
int tree_split(struct self *s, tarn_tree *t, const struct tree_key *k, struct spot *leaf, bool *fresh,
               struct spot *ret_born);
/* The key in a slot of a leaf whose lock is held. 0, -EUCLEAN. */
int tree_key_at(const tarn_tree *t, const struct node *n, unsigned slot, struct tree_key *ret_key);
/* A key between two: at most the second, above the first. */
struct tree_key tree_between(const tarn_tree *t, const struct tree_key *a, const struct tree_key *b);
/* After the section, pinned since before its end: lead to a new node from above. A failure is harmless. */
void tree_adopt(struct self *s, tarn_tree *t, const struct spot *born);
/* The same for all leaves from this one on. */
void tree_adopt_all(struct self *s, tarn_tree *t, uint64_t from);
/* The same: an empty leaf is unlinked, and what then leads to nothing. Only tries. */
void tree_tidy(struct self *s, tarn_tree *t, const struct spot *leaf);
/* Fill in a node that nobody else sees yet. */
void node_make(struct node *n, unsigned level, unsigned room, const struct tree_key *low);
int tree_damaged(const tarn_tree *t);
int tree_gone(struct self *s, const tarn_tree *t);

/* ---- tree.c ---- */

/* In an open section: a word for a value: the number, or the ref of a new entry. */
int tree_value_word(struct self *s, const tarn_tree *t, const struct tree_key *k, const void *value,
                    uint64_t size, uint64_t *ret_word);
/* Put an entry at place `rank` of a leaf that has room. fresh: no slot of it was given up in this section. */
int tree_leaf_insert(struct self *s, struct node *n, bool fresh, unsigned rank, uint64_t head, uint64_t word);

/* ---- tree_check.c, for unbind and tarn_check: as map_check, map_retire ---- */
int tree_check(struct tarn *seg, uint64_t root, const struct collection_checker *k);
int tree_retire(struct self *s, uint64_t root);

#endif

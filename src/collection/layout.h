/* collection/layout.h - the map in the segment: a root under a name, a directory in chunks, buckets, entries. (The list's words are public: tarn.h.)
 *
 * Each is a block of the heap, and is never moved. Invariants, where no participant is inside a change:
 *     directory entry i stands in chunk k = bits of i: entry i - 2^(k-1) (k = 0: i = 0 alone), and 2^depth entries are in use
 *     bucket b holds the keys of which   hash & (2^depth(b) - 1) == prefix(b);   prefix(b) < 2^depth(b)
 *     the intervals [reverse(prefix), reverse(prefix) + 2^(64 - depth)) of all buckets cover [0, 2^64) once
 *     directory entry i leads, over siblings, to the bucket of i; it is a hint: never of another prefix than i's low bits
 *     a bucket that is not CLEANING: depth(b) <= depth, and every directory entry of its sibling's part leads to that or beyond it
 *     slot == {tag(hash), ref of entry} or 0; a key has one slot in its bucket and that one's overflow chain
 * Who changes what is in map.h. */
#ifndef TARN_COLLECTION_LAYOUT_H
#define TARN_COLLECTION_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "tarn.h"

#define MAP_TYPE_NAME "tarn_map"
#define MAP_VERSION 1u
#define MAP_DEPTH_MOST 40u /* hash bits used as index; above them stand those for the home line and the tag */
#define MAP_CHUNKS 48u
#define MAP_LINES 7u /* lines of slots in an ordinary bucket: 512 bytes with its header */
#define MAP_KIND_BYTES 0u
#define MAP_KIND_U64 1u
#define MAP_GONE 1u

#define MAP_REF 0x0000ffffffffffffull
/* A bucket's link word: {depth:8, cleaning:1, 0:7, ref of the newest sibling:48} */
#define LINK_CLEANING (1ull << 55)
#define LINK_DEPTH(w) ((unsigned)((w) >> 56))
#define LINK_WORD(depth, flags, ref) ((uint64_t)(depth) << 56 | (flags) | (ref))
/* A slot word: {tag:15, moves:1, ref of the entry:48} */
#define SLOT_MOVES                                                                                           \
    (1ull << 48) /* belongs to the sibling; counts only while the bucket's link says CLEANING */
#define SLOT_TAG(w) ((w) >> 49)

/* The named object. */
struct map {
    /* line 0: read by all, hardly ever written */
    uint32_t kind; /* written before it is named */
    uint32_t reserved0;
    uint64_t seed;  /* of the hash; the same */
    uint64_t depth; /* of the directory: whoever holds `directory`, after the chunk is there */
    uint64_t state; /* 0, or MAP_GONE: unbound and retired; whoever holds the names' lock, in a section */
    uint64_t reserved1[4];
    uint64_t chunk[MAP_CHUNKS]; /* refs; whoever holds `directory` */
    /* line 7 */
    tarn_mutex directory; /* an inner lock: over depth, chunk, buckets, and directory entries */
    uint64_t buckets;     /* about as many as there are: a hint that limits the directory */
    uint64_t reserved2[6];
};
_Static_assert(sizeof(struct map) == 512, "map layout");
_Static_assert(offsetof(struct map, directory) == 448, "map layout");

/* A header line, then lines of 8 slot words. An overflow bucket is the same, without lock, link and prefix. */
struct bucket {
    tarn_mutex lock;   /* held to the end of the section that changes anything here or in an entry */
    uint64_t link;     /* its holder: one store commits a split, one ends the cleaning */
    uint64_t prefix;   /* written before it is published */
    uint64_t overflow; /* ref of the next bucket of this chain; the lock's holder */
    uint64_t lines;    /* of slots; written before it is published */
    uint64_t reserved[3];
};
_Static_assert(sizeof(struct bucket) == 64, "bucket layout");

/* Entries. Written before they are reached, and immutable then, but for a value of 8 bytes, which is stored over in a section of the bucket's
 * holder. */
struct entry_u64 {
    uint64_t key, value;
};
_Static_assert(sizeof(struct entry_u64) == 16, "entry layout");
struct entry_bytes {
    uint32_t key_size, value_size;
    /* the value; behind it the key */
};
_Static_assert(sizeof(struct entry_bytes) == 8, "entry layout");

/* ---- trees: docs/tree.md has the equations, tree.h who changes what ---- */
#define TREE_TYPE_NAME "tarn_tree"
#define TREE_VERSION 1u
#define TREE_KIND_BYTES 0u
#define TREE_KIND_U64 1u
#define TREE_GONE 1u
#define TREE_LEVELS 40u

/* The named object. */
struct tree {
    uint32_t kind;    /* written before it is named */
    uint32_t compare; /* the same: id of the order; 0: bytes, then length */
    uint64_t root;    /* ref of a node, the leftmost of its level; whoever holds `lock` */
    uint64_t first;   /* ref of the leftmost leaf; written before it is named */
    uint64_t state;   /* 0, or TREE_GONE: as the map's */
    tarn_mutex loader; /* held to the end of the section that loads many entries: others do not change leaves meanwhile */
    tarn_mutex lock; /* an inner lock: over root */
    uint64_t reserved[2];
};
_Static_assert(sizeof(struct tree) == 64, "tree layout");

/* A node: this line; then `room` keys and `room` refs (leaf: values, or refs of entries), 8 bytes each; then the low key's low_size bytes. A key's
 * 8 bytes here are a number, or the first bytes of a byte string as a number (its head), or 0 where an order of the user's counts. */
struct node {
    tarn_mutex lock; /* a leaf's: held to the end of the section that changes anything here or in an entry; else an inner lock */
    uint64_t right; /* {inner node: count:16, ref of the next node of this level:48}; its holder */
    uint64_t order; /* leaf: {slot of entry 14:4 ... slot of entry 0:4, count:4}; its holder, in a section. Inner node: not 0 while entries are moved */
    uint64_t version;  /* leaf: one more before a slot gets another entry; also by undo */
    uint64_t low;      /* head of the least key that may be here; fixed */
    uint16_t level;    /* 0: leaf; fixed */
    uint16_t room;     /* fixed */
    uint32_t low_size; /* fixed; byte strings: 0 is less than every key */
    uint64_t state;    /* NODE_...; its holder */
    uint64_t reserved;
};
_Static_assert(sizeof(struct node) == 64, "tree layout");
#define NODE_GONE 0u /* not born, or unlinked */
#define NODE_ALIVE 1u
#define NODE_LEAVING 2u /* is being unlinked, or made by a load: gone if its block is retired, else alive */
#define NODE_REF 0x0000ffffffffffffull
#define NODE_COUNT(w) ((unsigned)((w) >> 48))
#define LEAF_ROOM 16u
#ifndef LEAF_SLOTS /* fewer for test/explore */
#define LEAF_SLOTS 15u
#endif
#ifndef INNER_ROOM /* at most; the same */
#define INNER_ROOM 124u
#endif

/* Lists: all words are written by whoever has the list's lock, in a section, or by his recoverer; the equations are in docs/list.md. */
#define LIST_TYPE_NAME "tarn_list"
_Static_assert(sizeof(tarn_link) == 24 && offsetof(tarn_link, list) == 16, "link layout");
_Static_assert(sizeof(tarn_list) == 48 && offsetof(tarn_list, ends) == 8 && offsetof(tarn_list, moves) == 32,
               "list layout");

#endif

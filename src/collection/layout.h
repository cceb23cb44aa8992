/* collection/layout.h - the map in the segment: a root under a name, a directory in segments, buckets, entries. (The list's words are public: tarn.h.)
 *
 * Each is a block of the heap, and is never moved. Invariants, where no participant is inside a change:
 *     directory entry i: a bucket whose prefix is i's low bits up to the depth that the entry says; 0: look at the entry without i's top bit
 *     entries below `filled` are not 0
 *     bucket b holds the keys of which   hash & (2^depth(b) - 1) == prefix(b);   prefix(b) < 2^depth(b)
 *     the intervals [reverse(prefix), reverse(prefix) + 2^(64 - depth)) of all buckets cover [0, 2^64) once
 *     a bucket that is not CLEANING: each of its parts' heads has its depth, and every directory entry of its newest sibling's part leads
 *         to that or beyond it
 *     it stands in the slots of quarter(hash), or its part's head says `away` for that
 *     tag s of part p is tag(hash) of the key in slot s, part(hash) == p, or 0: free, whatever the slot says; a key has one slot in its
 *         bucket and that one's overflow chain
 * Who changes what is in map.h. */
#ifndef TARN_COLLECTION_LAYOUT_H
#define TARN_COLLECTION_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "tarn.h"

#define MAP_TYPE_NAME "tarn_map"
#define MAP_VERSION 3u
#define MAP_DEPTH_MOST                                                                                       \
    32u /* hash bits used as index; above them stand those for the part, the tag and the quarter */
#define MAP_PARTS 4u
#define MAP_SLOTS 56u /* in a part */
#define MAP_KIND_BYTES 0u
#define MAP_KIND_U64 1u
#define MAP_GONE 1u

/* A directory entry: {depth of the bucket when it was stored:8, 0:8, ref of the bucket:48}. A segment of them is a block of 8 KiB. */
#define MAP_FIRST 32u /* entries in the root */
#define MAP_SEGMENT_SHIFT 10u
#define MAP_SEGMENT (1u << MAP_SEGMENT_SHIFT)
#define MAP_SEGMENTS 16u /* refs of segments in the root */
#define MAP_TABLES 19u   /* table k > 0: refs of segments [16 * 2^(k-1), 16 * 2^k) */

#define MAP_REF 0x0000ffffffffffffull
/* A bucket's link word: {depth:8, cleaning:1, 0:7, ref of the newest sibling:48} */
#define LINK_CLEANING (1ull << 55)
#define LINK_DEPTH(w) ((unsigned)((w) >> 56))
#define LINK_WORD(depth, flags, ref) ((uint64_t)(depth) << 56 | (flags) | (ref))
#define MAP_QUARTERS 4u
#define MAP_QUARTER 14u /* slots of a part in which a key stands if it can */
/* A part's head: {chained:1, 0:1, depth:6, 0:8, ref of the part's slots:42, 0:2, away:4}. Its upper byte is that of a directory entry that is up to
 * date. away, bit q: a key of quarter q may stand in another one of this part. */
#define HEAD_CHAINED (1ull << 63) /* the overflow chain may have keys of this part */
#define HEAD_WORD(depth, slots) ((uint64_t)(depth) << 56 | (slots))
#define HEAD_AWAY(quarter) (1ull << (quarter))
#define HEAD_AWAY_ALL ((1ull << MAP_QUARTERS) - 1)
#define HEAD_UPPER(w) ((unsigned)((w) >> 56))

/* The named object. */
struct map {
    /* line 0: read by all, hardly ever written */
    uint32_t kind; /* written before it is named */
    uint32_t reserved0;
    uint64_t seed;  /* of the hash; the same */
    uint64_t depth; /* of the deepest bucket that the directory has an entry for: whoever holds `directory` */
    uint64_t filled; /* the same; it only rises */
    uint64_t state;  /* 0, or MAP_GONE: unbound and retired; whoever holds the names' lock, in a section */
    uint64_t multiplier; /* of the hash of numbers, odd: as seed */
    uint64_t reserved1[2];
    uint64_t segment[MAP_SEGMENTS]; /* refs; whoever holds `directory`. 0: none yet; of segment 0 then `first` is there */
    uint64_t table[MAP_TABLES]; /* refs of more such words; [0] is not used */
    uint64_t reserved2[5];
    uint64_t first[MAP_FIRST]; /* entries 0 to 31, until there is a segment 0 */
    tarn_mutex directory; /* an inner lock: over depth, filled, segment, table, buckets, and directory entries */
    uint64_t buckets;     /* about as many as there are: a hint that limits the directory */
    uint64_t reserved3[6];
};
_Static_assert(sizeof(struct map) == 704, "map layout");
_Static_assert(offsetof(struct map, first) == 384 && offsetof(struct map, directory) == 640, "map layout");

/* A key: its hash (of a number it is a bijection), and the number's value, or the ref of struct entry_bytes. Counts only if it has a tag. */
struct slot {
    uint64_t hash, word;
};
_Static_assert(sizeof(struct slot) == 16, "slot layout");
struct pairs {
    struct slot at[MAP_PARTS][MAP_SLOTS]; /* its bucket's holder */
};
_Static_assert(sizeof(struct pairs) == 3584, "slots layout");
struct tags {
    uint64_t head;    /* its bucket's holder */
    uint64_t word[7]; /* the same. Slot s's tag is byte s: bits 8 * (s % 8) of word s / 8 */
};
_Static_assert(sizeof(struct tags) == 64, "tags layout");
/* A header line, and a line of tags for each part: so all tags stand close together, and the slots elsewhere. An overflow bucket is the same, with nothing
 * in its header but `overflow` and `slots`. */
struct bucket {
    tarn_mutex lock;   /* held to the end of the section that changes anything here or in an entry */
    uint64_t link;     /* its holder: one store commits a split, one ends the cleaning */
    uint64_t overflow; /* ref of the next bucket of this chain; the lock's holder */
    uint64_t slots;  /* ref; written before it is published (of an overflow bucket: afterwards; 0: not yet) */
    uint64_t reuse;  /* the holder: counts slots about to be stored over, in the whole chain */
    uint64_t prefix; /* written before it is published */
    uint64_t new_slots; /* the holder: the sibling's slots, while a split is prepared. While CLEANING they are the sibling's */
    uint64_t spare; /* the same: buckets for the sibling's chain */
    struct tags tags[MAP_PARTS];
};
_Static_assert(sizeof(struct bucket) == 320 && offsetof(struct bucket, tags) == 64, "bucket layout");

/* Entries of byte strings. Written before they are reached, and immutable then, but for a value of 8 bytes, which is stored over in a section of the
 * bucket's holder. */
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

/* Vectors: written by whoever has the lock, in a section, or by his recoverer; but for `changing`, `turns` and `high`, which no undo takes back.
 * docs/vector.md */
#define VECTOR_TYPE_NAME "tarn_vector"
#define VECTOR_FIRST 8u /* elements in chunk 0 */
_Static_assert(sizeof(tarn_vector) == 64 + 8 * TARN_VECTOR_CHUNKS && offsetof(tarn_vector, chunk) == 64,
               "vector layout");

/* Byte strings: `block` by one store of whoever has the lock; a block by who makes it, before it is reached. docs/bytes.md */
#define BYTES_TYPE_NAME "tarn_bytes"
#define BYTES_MOST (1u << 30)
_Static_assert(sizeof(tarn_bytes) == 16 && offsetof(tarn_bytes, block) == 8, "bytes layout");
struct bytes_block {
    uint64_t size;
    /* then the bytes */
};
_Static_assert(sizeof(struct bytes_block) == 8, "bytes layout");

/* Queues and stacks: written by whoever has the lock, in a section, or by his recoverer; but for `turns`, which no undo takes back. docs/queue.md */
#define QUEUE_TYPE_NAME "tarn_queue"
#define STACK_TYPE_NAME "tarn_stack"
_Static_assert(sizeof(tarn_node) == 16, "node layout");
_Static_assert(sizeof(tarn_queue) == 64 && offsetof(tarn_queue, first) == 8 && offsetof(tarn_queue, turns) == 32,
               "queue layout");
_Static_assert(sizeof(tarn_stack) == 32 && offsetof(tarn_stack, first) == 8 && offsetof(tarn_stack, turns) == 24,
               "stack layout");

#endif

/* collection/layout.h - the map in the segment: a root under a name, a directory in segments, buckets, entries. (The list's words are public: tarn.h.)
 *
 * Each is a block of the heap, and is never moved. Invariants, where no participant is inside a change:
 *     directory entry i leads to a bucket whose prefix is i's low bits up to some length; 0: look at the entry without i's top bit
 *     entries below `filled` are not 0
 *     bucket b holds the keys of which   hash & (2^depth(b) - 1) == prefix(b);   prefix(b) < 2^depth(b)
 *     the intervals [reverse(prefix), reverse(prefix) + 2^(64 - depth)) of all buckets cover [0, 2^64) once
 *     a bucket that is not CLEANING: every directory entry of its newest sibling's part leads to that or beyond it, and each of
 *         its parts has its depth and prefix
 *     tag s of part p is tag(hash) of the key in slot s, part(hash) == p, or 0: free, whatever the slot says; a key has one slot in its
 *         bucket and that one's overflow chain
 * Who changes what is in map.h. */
#ifndef TARN_COLLECTION_LAYOUT_H
#define TARN_COLLECTION_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "tarn.h"

#define MAP_TYPE_NAME "tarn_map"
#define MAP_VERSION 2u
#define MAP_DEPTH_MOST 32u /* hash bits used as index; above them stand those for the part and the tag */
#define MAP_PARTS 4u
#define MAP_SLOTS 59u /* in a part */
#define MAP_KIND_BYTES 0u
#define MAP_KIND_U64 1u
#define MAP_GONE 1u

/* Directory entries are 32 bits: a bucket's ref, divided by its size. A segment of them is a block of 8 KiB. */
#define MAP_FIRST 64u /* entries in the root */
#define MAP_SEGMENT_SHIFT 11u
#define MAP_SEGMENT (1u << MAP_SEGMENT_SHIFT)
#define MAP_SEGMENTS 16u /* refs of segments in the root */
#define MAP_TABLES 18u   /* table k > 0: refs of segments [16 * 2^(k-1), 16 * 2^k) */
#define MAP_BUCKET 4096u
#define MAP_BUCKET_SHIFT 12u

#define MAP_REF 0x0000ffffffffffffull
/* A bucket's link word: {depth:8, cleaning:1, 0:7, ref of the newest sibling:48} */
#define LINK_CLEANING (1ull << 55)
#define LINK_DEPTH(w) ((unsigned)((w) >> 56))
#define LINK_WORD(depth, flags, ref) ((uint64_t)(depth) << 56 | (flags) | (ref))
/* The first word of a part's line: {tags 2, 1, 0: 24, chained:1, 0:1, depth:6, prefix:32}; byte k of the line is bits 8 * (k % 8) of word k / 8. */
#define PART_PREFIX(w) ((uint32_t)(w))
#define PART_DEPTH(w) ((unsigned)((w) >> 32 & 63))
#define PART_CHAINED (1ull << 39) /* the overflow chain may have keys of this part */
#define PART_HEAD 0x000000ffffffffffull
#define PART_TAGS_AT 5u /* the byte of slot 0's tag */

/* The named object. */
struct map {
    /* line 0: read by all, hardly ever written */
    uint32_t kind; /* written before it is named */
    uint32_t reserved0;
    uint64_t seed;  /* of the hash; the same */
    uint64_t depth; /* of the deepest bucket that the directory has an entry for: whoever holds `directory` */
    uint64_t filled; /* the same; it only rises */
    uint64_t state;  /* 0, or MAP_GONE: unbound and retired; whoever holds the names' lock, in a section */
    uint64_t reserved1[3];
    uint64_t segment[MAP_SEGMENTS]; /* refs; whoever holds `directory`. 0: none yet; of segment 0 then `first` is there */
    uint64_t table[MAP_TABLES]; /* refs of more such words; [0] is not used */
    uint64_t reserved2[6];
    uint32_t first[MAP_FIRST]; /* entries 0 to 63, until there is a segment 0 */
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
struct tags {
    uint64_t word[8];
};
/* One page: a header line, a line of tags for each part, the parts' slots. An overflow bucket is the same, with nothing in its header but `overflow`,
 * and nothing in its lines but tags. */
struct bucket {
    tarn_mutex lock;   /* held to the end of the section that changes anything here or in an entry */
    uint64_t link;     /* its holder: one store commits a split, one ends the cleaning */
    uint64_t overflow; /* ref of the next bucket of this chain; the lock's holder */
    uint64_t spare; /* the same: buckets for the sibling's chain, while a split is prepared. While CLEANING they are the sibling's */
    uint64_t reuse; /* the same: counts slots about to be stored over, in the whole chain */
    uint64_t prefix; /* written before it is published */
    uint64_t reserved[2];
    struct tags tags[MAP_PARTS];            /* its lock's holder */
    struct slot slot[MAP_PARTS][MAP_SLOTS]; /* the same */
};
_Static_assert(sizeof(struct bucket) == MAP_BUCKET && offsetof(struct bucket, tags) == 64, "bucket layout");

/* Entries of byte strings. Written before they are reached, and immutable then, but for a value of 8 bytes, which is stored over in a section of the
 * bucket's holder. */
struct entry_bytes {
    uint32_t key_size, value_size;
    /* the value; behind it the key */
};
_Static_assert(sizeof(struct entry_bytes) == 8, "entry layout");

/* Lists: all words are written by whoever has the list's lock, in a section, or by his recoverer; the equations are in docs/list.md. */
#define LIST_TYPE_NAME "tarn_list"
_Static_assert(sizeof(tarn_link) == 24 && offsetof(tarn_link, list) == 16, "link layout");
_Static_assert(sizeof(tarn_list) == 48 && offsetof(tarn_list, ends) == 8 && offsetof(tarn_list, moves) == 32,
               "list layout");

#endif

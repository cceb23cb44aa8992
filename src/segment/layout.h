/* segment/layout.h - the segment's header: what two builds may disagree on, and the words that the segment floor changes.
 *
 * Lives in the segment, in its first page. The stamp (all before `committed`) is written once, before anybody can see the
 * segment, and never again. A segment is laid out, page aligned, as
 *
 *     header | participants | names | side tables, side_size bytes a span | data, span_size bytes a span
 *
 * Committed are the first three zones, wholly, and of the last two as much as `committed` says.
 *     committed % span_size == 0;  committed <= limit;  committed never shrinks */
#ifndef TARN_SEGMENT_LAYOUT_H
#define TARN_SEGMENT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define SEGMENT_MAGIC 0x0a0d6e7261740a1aull /* \x1a \n t a r n \r \n: a text-mode copy is seen */
#define SEGMENT_VERSION 1u
#define SEGMENT_BYTE_ORDER 0x01020304u

enum segment_option { /* bits of segment_header.options */
                      SEGMENT_EXCHANGE_UNLOCK = 1,
                      SEGMENT_UNINITIALIZED = 2 /* users' blocks are not cleared */
};

enum segment_zone { ZONE_PARTICIPANT, ZONE_NAME, ZONE_SIDE, ZONE_DATA, ZONES };

struct segment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t byte_order;
    uint32_t word_size; /* sizeof(void *) of the maker */
    uint32_t page_size;
    uint32_t options;       /* enum segment_option */
    uint32_t span_size;     /* bytes, power of two */
    uint32_t record_size;   /* bytes, power of two */
    uint32_t records;       /* participants at one time, and one kept for who must recover first */
    uint32_t side_size;     /* bytes of side table a span */
    uint32_t liveness_size; /* sizeof(pthread_mutex_t) of the maker */
    uint64_t limit;         /* bytes of data space it may become */
    uint64_t zone[ZONES]; /* offsets, page aligned; the same that any build computes from the fields above */
    uint64_t created;     /* seconds since 1970 */
    uint8_t uuid[16];
    uint8_t boot[16]; /* boot id at creation: for file: (later) */
    char backing[8];
    uint64_t device, inode; /* of a file: (later), else 0 */
    uint64_t reserved[12];
    uint64_t sum; /* of all bytes before: FNV-1a, 64 bits. Against accidents only */

    /* line 4: changed by whoever grows, by compare-and-swap */
    uint64_t committed __attribute__((aligned(64))); /* bytes of data space */
    uint64_t reserved_grow[7];
    /* line 5: changed by tarn_unlink; by recoverers (counts, by atomic adds) */
    uint32_t unlinked __attribute__((aligned(64)));
    uint32_t clean;     /* clean mark of file: (later) */
    uint64_t recovered; /* participants recovered since creation */
    uint64_t undone;    /* open sections found and undone */
    uint64_t reserved_end[5];
};
_Static_assert(sizeof(struct segment_header) == 384, "header layout");
_Static_assert(offsetof(struct segment_header, zone) == 56, "header layout");
_Static_assert(offsetof(struct segment_header, sum) == 248, "header layout");
_Static_assert(offsetof(struct segment_header, committed) == 256, "header layout");

#endif

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
#define SEGMENT_VERSION 4u
#define SEGMENT_BYTE_ORDER 0x01020304u

enum segment_option { /* bits of segment_header.options */
                      SEGMENT_EXCHANGE_UNLOCK = 1,
                      SEGMENT_UNINITIALIZED = 2, /* users' blocks are not cleared */
                      SEGMENT_SAME_ADDRESS = 4,  /* mapped at `address`, or not at all */
                      SEGMENT_LOCKED = 8,        /* kept in memory by whoever attaches it */
                      SEGMENT_DUMPED = 16,       /* in core dumps, too */
                      SEGMENT_PREFAULTED = 32,   /* mapped page by page when it is attached */
                      SEGMENT_COPY_ON_WRITE = 64, /* of a file: may lie where writing over something needs room */
                      SEGMENT_HUGE = 128, /* data space is to be mapped by huge pages, where the kernel can */
                      SEGMENT_HUGE_RESERVED = 256 /* all of it is huge pages; never both */
};

/* When a segment ends by itself */
enum segment_lifetime { LIFETIME_UNLINKED, LIFETIME_USERS, LIFETIME_CREATOR, LIFETIMES };

/* How a file stands on the disk. A number beyond these is TENURE_CLOSING with the closer's mark above it */
enum tenure_state {
    TENURE_IN_USE,  /* and the disk knows it */
    TENURE_CLEAN,   /* all of it is on the disk, or will be before anything else is */
    TENURE_CLOSING, /* somebody who saw no other writer brings it to the disk, to call it clean */
    TENURE_OPENING  /* was clean, and will be changed once the disk knows */
};

enum segment_zone { ZONE_PARTICIPANT, ZONE_NAME, ZONE_SIDE, ZONE_DATA, ZONES };

struct segment_header {
    uint64_t magic; /* stored last by the maker: until then it is 0, and this no segment */
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
    uint64_t address;  /* SEGMENT_SAME_ADDRESS: where it is mapped; else 0 */
    uint32_t lifetime; /* enum segment_lifetime */
    uint32_t named;    /* 1: it has, or had, a name to be found by */
    /* the process that made it: for LIFETIME_CREATOR */
    uint64_t creator_start; /* clock ticks since boot */
    uint64_t creator_namespace;
    uint32_t creator_pid; /* in that PID namespace */
    uint32_t build_id_size; /* bytes of build_id; 0: the program that made it has none, or a tarn before there was this field */
    char backing[8];
    uint8_t build_id[32]; /* of the program that made it: its first bytes, and zeros */
    uint64_t reserved[7];
    uint64_t sum; /* of all bytes before: FNV-1a, 64 bits. Against accidents only */

    /* line 4: changed by whoever grows, by compare-and-swap */
    uint64_t committed __attribute__((aligned(64))); /* bytes of data space */
    uint64_t growth_limit; /* bytes of data space beyond which nobody grows it, if not 0: by tarn_set_limit, one store */
    uint64_t reserved_grow[6];
    /* line 5: changed by tarn_unlink; by recoverers (counts, by atomic adds) */
    uint32_t unlinked __attribute__((aligned(64)));
    uint32_t reserved1;
    uint64_t recovered; /* participants recovered since creation */
    uint64_t undone;    /* open sections found and undone */
    uint64_t reserved_end[5];
    /* line 6: the tenure of a file: on which boot, as which file it was last put right; its only opener writes */
    uint8_t boot[16] __attribute__((aligned(64)));
    uint64_t device, inode;
    uint64_t clean; /* enum tenure_state: by compare-and-swap, whoever opens or leaves it; TENURE_CLEAN: nobody has written since all was on the disk */
    uint64_t righting; /* whose putting right began: a sum of boot, device and inode, by who has the door; 0: nobody's */
    uint64_t uncounted; /* 1: somebody could write in this tenure whom no byte lock shows, so nobody knows who is the last; by him, by exchange */
    uint64_t reserved_tenure;
    /* line 7: the robust mutex of those who make System V shared memory into a segment: of constant image, see backing/sysv.c */
    uint64_t door[5] __attribute__((aligned(64)));
    uint64_t reserved_door[3];
};
_Static_assert(sizeof(struct segment_header) == 512, "header layout");
_Static_assert(offsetof(struct segment_header, zone) == 56, "header layout");
_Static_assert(offsetof(struct segment_header, sum) == 248, "header layout");
_Static_assert(offsetof(struct segment_header, committed) == 256, "header layout");
_Static_assert(offsetof(struct segment_header, boot) == 384, "header layout");
_Static_assert(offsetof(struct segment_header, door) == 448, "header layout");

#endif

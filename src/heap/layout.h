/* heap/layout.h - side tables: what is known of each span of data space. The truth about a block is here, and nowhere else:
 *
 *   F bit (the span's owner writes)   1: free
 *   R byte (who frees it writes)      counts only while F is 0.  0: allocated (or scratch of an open section, whose log lists it);
 *                                     1 to 127: freed; 128 to 255: retired (limbo), by participant index with code
 *                                     1 + index % 127
 *
 * A span's table is side_size bytes: struct span, then F words (one bit a block), as many aged words (the owner's hint: blocks
 * whose R it saw set), then, at the next multiple of 64, R bytes; if those do not fit, R bytes stand at the end of the span. */
#ifndef TARN_HEAP_LAYOUT_H
#define TARN_HEAP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* A span's word: {identity:32, argument:28, state:4}; 0: nobody's. Changed by compare-and-swap; it describes itself. */
#define SPAN_FREE 0u
#define SPAN_INIT 1u  /* being made or taken apart: nobody's if its owner is gone */
#define SPAN_SMALL 2u /* argument: size class */
#define SPAN_RUN 3u /* argument: spans of this run, of which it is the first; one block (F bit 0, R byte 0) */
#define SPAN_REST                                                                                            \
    4u /* argument: distance back to the run's first span. Nobody's if that is no run that covers it */
#define SPAN_WORD(id, argument, state) ((uint64_t)(id) | (uint64_t)(argument) << 32 | (uint64_t)(state) << 60)
#define SPAN_OWNER(w) ((uint32_t)(w))
#define SPAN_ARGUMENT(w) ((uint32_t)((w) >> 32) & 0x0fffffffu)
#define SPAN_STATE(w) ((unsigned)((w) >> 60))

/* All but `word` are the owner's notes: hints, which die with it, and which it checks before it follows them. An index is that of a
 * span + 1; 0 ends a list. */
struct span {
    uint64_t word;
    uint64_t aged_at;        /* 1 + the epoch in which the aged words were noted; 0: they say nothing */
    uint32_t next_open;      /* list of its spans of this class with free blocks that are in no cache */
    uint32_t is_open;        /* it is in that list */
    uint32_t next, previous; /* list of its spans of this class (of its runs) */
    uint64_t reserved[4];
    /* then the table */
};
_Static_assert(sizeof(struct span) == 64, "span layout");

#define BLOCK_RETIRED 0x80u /* in an R byte */

#endif

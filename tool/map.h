/* map.h - tarn map: the parts of a segment's data space, and two pictures of them. */
#ifndef TARN_TOOL_MAP_H
#define TARN_TOOL_MAP_H

#include "tool.h"

struct part {
    struct tarn_span span;
    uint32_t pid;       /* its owner's, or 0 */
    unsigned size_rank; /* of spans of small blocks: 0 for the smallest size that there is */
    size_t named;       /* named objects that begin in it */
    const char *object; /* one of them, or NULL */
};

struct map {
    const char *url;
    struct tarn_stat stat;
    struct part *parts;
    size_t count;
    unsigned sizes; /* of small blocks that there are, and which, by rank */
    uint64_t block_sizes[TARN_HEAP_CLASSES];
};

/* A letter for some spans, and what the letters mean. */
void map_draw(const struct map *m, unsigned width);
/* The same as an SVG image. */
void map_draw_svg(const struct map *m);

/* Of pictures: in how many cells so many spans are drawn, with so many spans in each. */
struct grid {
    uint64_t spans_a_cell, cells;
};
struct grid map_grid(const struct map *m, uint64_t most);
/* What a cell shows: the part that has most of it; *ret_shares, of its bytes in blocks, in thousandths. NULL: there is none. */
struct shares {
    unsigned allocated, limbo, free, nobodys;
};
const struct part *map_cell(const struct map *m, struct grid g, uint64_t cell, struct shares *ret);
const char *map_kind(const struct part *p);

#endif

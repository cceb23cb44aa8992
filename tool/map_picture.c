/* map_picture.c - the data space as letters, or as an SVG image. Of a cell the part that has most of its bytes is shown. See map.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "map.h"

enum { LINES = 24, SVG_COLUMNS = 64, SVG_ROWS = 64, CELL = 14 };

/* ---- cells ---- */

struct grid map_grid(const struct map *m, uint64_t most)
{
    struct grid g = {1, m->stat.spans};
    if (m->stat.spans > most) {
        g.spans_a_cell = (m->stat.spans + most - 1) / most;
        g.cells = (m->stat.spans + g.spans_a_cell - 1) / g.spans_a_cell;
    }
    return g;
}

static uint64_t common(uint64_t from, uint64_t to, const struct part *p, uint64_t base)
{
    uint64_t begin = p->span.ref - base, end = begin + p->span.size;
    from = begin > from ? begin : from;
    to = end < to ? end : to;
    return from < to ? to - from : 0;
}

/* The part in which a byte of the data space lies; parts are in order, and without gaps. */
static size_t part_at(const struct map *m, uint64_t at)
{
    size_t low = 0, high = m->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(m->parts[middle].span.ref - m->parts[0].span.ref <= at ? &low : &high) = middle;
    }
    return low;
}

const struct part *map_cell(const struct map *m, struct grid g, uint64_t cell, struct shares *ret)
{
    uint64_t size = g.spans_a_cell * m->stat.span_size, from = cell * size, to = from + size, most = 0, all = 0;
    double allocated = 0, limbo = 0, nobodys = 0;
    const struct part *best = NULL;
    *ret = (struct shares){0};
    for (size_t k = m->count ? part_at(m, from) : 0; k < m->count; k++) {
        const struct part *p = &m->parts[k];
        uint64_t n = common(from, to, p, m->parts[0].span.ref);
        if (!n)
            break;
        all += n;
        if (n > most) {
            most = n;
            best = p;
        }
        if (p->span.blocks) {
            allocated += (double)n * p->span.allocated / p->span.blocks;
            limbo += (double)n * p->span.limbo / p->span.blocks;
        } else
            nobodys += (double)n;
    }
    if (all) {
        ret->allocated = (unsigned)(allocated * 1000 / (double)all);
        ret->limbo = (unsigned)(limbo * 1000 / (double)all);
        ret->nobodys = (unsigned)(nobodys * 1000 / (double)all);
        ret->free = 1000 - ret->allocated - ret->limbo - ret->nobodys;
    }
    return best;
}

const char *map_kind(const struct part *p)
{
    static const char *const name[] = {"nobody's", "small", "run", "unfinished"};
    return p->span.kind < sizeof name / sizeof *name ? name[p->span.kind] : "unknown";
}

static const char *owner_is(const struct part *p)
{
    static const char *const name[] = {"", "", ", its owner is dead and not recovered yet", ", its owner has gone"};
    return p->span.owner_state < sizeof name / sizeof *name ? name[p->span.owner_state] : "";
}

/* ---- letters ---- */

static char letter(const struct part *p)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (p->span.kind == TARN_SPAN_FREE)
        return '.';
    if (p->span.kind == TARN_SPAN_SMALL)
        return p->size_rank < sizeof letters - 1 ? letters[p->size_rank] : '*';
    if (p->span.kind == TARN_SPAN_RUN)
        return p->span.allocated ? '#' : p->span.limbo ? '~' : '+';
    return '?';
}

static const char *amount(uint64_t n, char to[static 16])
{
    char unit;
    double x = in_units(n, &unit);
    snprintf(to, 16, unit == 'B' ? "%.0f%c" : "%.1f%c", x, unit);
    return to;
}

struct sum {
    uint64_t bytes, spans, blocks, allocated, free, limbo;
};

static struct sum sum_of(const struct map *m, char sign)
{
    struct sum s = {0};
    for (size_t k = 0; k < m->count; k++) {
        const struct part *p = &m->parts[k];
        if (letter(p) != sign)
            continue;
        s.bytes += p->span.size;
        s.spans += p->span.size / m->stat.span_size;
        s.blocks += p->span.blocks;
        s.allocated += p->span.allocated;
        s.free += p->span.free;
        s.limbo += p->span.limbo;
    }
    return s;
}

static void legend(const struct map *m)
{
    static const struct {
        char sign;
        const char *means;
    } others[] = {{'#', "runs: blocks of whole spans"},
                  {'~', "runs in limbo: freed or retired, and not free yet"},
                  {'+', "runs that are free, and their owners'"},
                  {'?', "being made or taken apart"},
                  {'.', "nobody's"}};
    char a[16], b[16];
    for (unsigned r = 0; r < m->sizes; r++) {
        struct part p = {.span = {.kind = TARN_SPAN_SMALL}, .size_rank = r};
        struct sum s = sum_of(m, letter(&p));
        printf("  %c  blocks of %s: %s, %" PRIu64 " allocated, %" PRIu64 " free, %" PRIu64 " in limbo\n",
               letter(&p), amount(m->block_sizes[r], a), amount(s.bytes, b), s.allocated, s.free, s.limbo);
    }
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        struct sum s = sum_of(m, others[k].sign);
        if (s.spans)
            printf("  %c  %s: %s\n", others[k].sign, others[k].means, amount(s.bytes, a));
    }
}

static uint64_t largest_hole(const struct map *m)
{
    uint64_t most = 0;
    for (size_t k = 0; k < m->count; k++)
        if (m->parts[k].span.kind == TARN_SPAN_FREE && m->parts[k].span.size > most)
            most = m->parts[k].span.size;
    return most;
}

static void summary(const struct map *m)
{
    char a[16], b[16];
    uint64_t other[4] = {0}, own = m->stat.total - m->stat.data;
    for (size_t k = 0; k < m->count; k++)
        other[m->parts[k].span.owner_state & 3] += m->parts[k].span.size;
    printf("data space: %s in %" PRIu64 " spans of %u bytes; ", amount(m->stat.data, a), m->stat.spans,
           m->stat.span_size);
    printf("the segment's own tables: %s; it may become %s\n", amount(own, a), amount(m->stat.growth, b));
    printf("allocated %s, ", amount(m->stat.allocated, a));
    printf("free in blocks %s, in limbo %s, ", amount(m->stat.free_bytes, a), amount(m->stat.limbo, b));
    printf("largest part that is nobody's %s\n", amount(largest_hole(m), a));
    if (other[TARN_OWNER_DEAD])
        printf("of participants that died and are not recovered yet: %s\n", amount(other[TARN_OWNER_DEAD], a));
    if (other[TARN_OWNER_ORPHANED])
        printf("of participants that have gone, to be adopted: %s\n", amount(other[TARN_OWNER_ORPHANED], a));
}

void map_draw(const struct map *m, unsigned width)
{
    struct grid g = map_grid(m, (uint64_t)width * LINES);
    struct shares shares;
    summary(m);
    printf("one sign is %" PRIu64 " span%s\n", g.spans_a_cell, g.spans_a_cell == 1 ? "" : "s");
    for (uint64_t cell = 0; cell < g.cells; cell++) {
        const struct part *p = map_cell(m, g, cell, &shares);
        if (cell % width == 0)
            printf("%s%#12" PRIx64 "  ", cell ? "\n" : "",
                   m->parts[0].span.ref + cell * g.spans_a_cell * m->stat.span_size);
        putchar(p ? letter(p) : ' ');
    }
    puts(g.cells ? "" : "nothing is committed yet");
    legend(m);
}

/* ---- SVG ---- */

/* Other people's names: what XML would take for its own, or must not have, is shown as ? */
static void put_xml(const char *text)
{
    char *shown = harmless(text);
    for (const char *c = shown ? shown : "?"; *c; c++)
        switch (*c) {
        case '<': fputs("&lt;", stdout); break;
        case '>': fputs("&gt;", stdout); break;
        case '&': fputs("&amp;", stdout); break;
        case '"': fputs("&quot;", stdout); break;
        default: putchar(*c);
        }
    free(shown);
}

static void bar(unsigned x, unsigned y, unsigned from, unsigned share, const char *fill)
{
    double height = share * (CELL - 2) / 1000.0, top = y + 1 + (1000 - from - share) * (CELL - 2) / 1000.0;
    if (share)
        printf("<rect x=\"%u\" y=\"%.2f\" width=\"%d\" height=\"%.2f\" fill=\"%s\"/>", x + 1, top, CELL - 2,
               height, fill);
}

static const char *colour(const struct map *m, const struct part *p, char to[static 40])
{
    if (p->span.kind == TARN_SPAN_SMALL)
        snprintf(to, 40, "hsl(%u,60%%,45%%)", 200 + (m->sizes > 1 ? p->size_rank * 130 / (m->sizes - 1) : 0));
    else
        snprintf(to, 40, "%s", p->span.kind == TARN_SPAN_RUN ? "hsl(140,50%,38%)" : "hsl(0,0%,60%)");
    return to;
}

static void title(const struct part *p, const struct shares *s)
{
    char a[16];
    printf("<title>%#" PRIx64 ": %s", p->span.ref, map_kind(p));
    if (p->span.kind == TARN_SPAN_SMALL)
        printf(", blocks of %s", amount(p->span.block_size, a));
    printf(", %s; %u.%u%% allocated, %u.%u%% in limbo", amount(p->span.size, a), s->allocated / 10,
           s->allocated % 10, s->limbo / 10, s->limbo % 10);
    if (p->span.owner)
        printf("; participant %#x", p->span.owner);
    if (p->pid)
        printf(" (pid %u)", p->pid);
    printf("%s", owner_is(p));
    if (p->object) {
        fputs("; ", stdout);
        put_xml(p->object);
        if (p->named > 1)
            printf(" and %zu more", p->named - 1);
    }
    puts("</title>");
}

static void svg_cell(const struct map *m, struct grid g, uint64_t cell, unsigned top)
{
    struct shares s;
    char fill[40];
    const struct part *p = map_cell(m, g, cell, &s);
    unsigned x = (unsigned)(cell % SVG_COLUMNS) * CELL, y = top + (unsigned)(cell / SVG_COLUMNS) * CELL;
    if (!p)
        return;
    colour(m, p, fill);
    printf("<g>");
    title(p, &s);
    printf("<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"%s\" fill-opacity=\"0.15\" "
           "stroke=\"%s\"/>",
           x + 1, y + 1, CELL - 2, CELL - 2, p->span.kind == TARN_SPAN_FREE ? "#fff" : fill,
           p->span.kind == TARN_SPAN_FREE           ? "#ccc"
           : p->span.owner_state == TARN_OWNER_DEAD ? "#c00"
                                                    : fill);
    if (p->span.kind == TARN_SPAN_OTHER)
        bar(x, y, 0, 1000, fill);
    bar(x, y, 0, s.allocated, fill);
    bar(x, y, s.allocated, s.limbo, "#e80");
    puts("</g>");
}

static unsigned svg_text(unsigned y, const char *fill, const char *text)
{
    if (fill)
        printf("<rect x=\"2\" y=\"%u\" width=\"10\" height=\"10\" fill=\"%s\"/>", y - 9, fill);
    printf("<text x=\"%d\" y=\"%u\">%s</text>\n", fill ? 18 : 2, y, text);
    return y + 16;
}

static void svg_legend(const struct map *m, unsigned y)
{
    char text[160], a[16], b[16], fill[40];
    for (unsigned r = 0; r < m->sizes; r++) {
        struct part p = {.span = {.kind = TARN_SPAN_SMALL}, .size_rank = r};
        struct sum s = sum_of(m, letter(&p));
        snprintf(text, sizeof text, "blocks of %s: %s, %" PRIu64 " of %" PRIu64 " allocated",
                 amount(m->block_sizes[r], a), amount(s.bytes, b), s.allocated, s.blocks);
        y = svg_text(y, colour(m, &p, fill), text);
    }
    y = svg_text(y, "hsl(140,50%,38%)", "runs: blocks of whole spans");
    y = svg_text(y, "#e80", "in limbo: freed or retired, and not free yet");
    y = svg_text(y, "hsl(0,0%,60%)", "being made or taken apart");
    y = svg_text(y, "#c00", "a frame of this colour: of a dead participant that is not recovered yet");
    svg_text(y, "#ccc", "a frame of this colour: nobody's");
}

void map_draw_svg(const struct map *m)
{
    struct grid g = map_grid(m, (uint64_t)SVG_COLUMNS * SVG_ROWS);
    char text[200], a[16], b[16];
    unsigned rows = (unsigned)((g.cells + SVG_COLUMNS - 1) / SVG_COLUMNS), top = 48, end = top + rows * CELL + 24;
    printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" font-family=\"sans-serif\" "
           "font-size=\"12\">\n",
           SVG_COLUMNS * CELL + 2, end + (m->sizes + 5) * 16);
    puts("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
    fputs("<text x=\"2\" y=\"16\" font-weight=\"bold\">", stdout);
    put_xml(m->url);
    puts("</text>");
    snprintf(text, sizeof text,
             "%s of data space, %s allocated; a square is %" PRIu64
             " span%s of %u bytes, filled as far as it is allocated",
             amount(m->stat.data, a), amount(m->stat.allocated, b), g.spans_a_cell,
             g.spans_a_cell == 1 ? "" : "s", m->stat.span_size);
    svg_text(34, NULL, text);
    for (uint64_t cell = 0; cell < g.cells; cell++)
        svg_cell(m, g, cell, top);
    svg_legend(m, end);
    puts("</svg>");
}

/* cmd_map.c - tarn map: how a segment is filled, part by part, as a picture of letters, a list, or an SVG image. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "listing.h"
#include "map.h"
#include "participants.h"

#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT

enum { REF, SIZE, KIND, BLOCK, BLOCKS, ALLOCATED, FREE, LIMBO, OWNER, PID, STATE, NAMED, OBJECT, COLUMNS };
static const struct column columns[COLUMNS] = {
    [REF] = {"REF", T | J | R, 0, "where it begins"},
    [SIZE] = {"SIZE", T | J | R, 0, "bytes"},
    [KIND] = {"KIND", T | J,
              0, "small: of blocks of one size; run: one block; nobody's; unfinished: being made or taken apart"},
    [BLOCK] = {"BLOCK", T | J | R, 0, "bytes of a block"},
    [BLOCKS] = {"BLOCKS", T | J | R, 0, "how many; and of these:"},
    [ALLOCATED] = {"ALLOCATED", T | J | R, 0, "allocated"},
    [FREE] = {"FREE", T | J | R, 0, "free"},
    [LIMBO] = {"LIMBO", T | J | R, 0, "freed or retired, and not free yet"},
    [OWNER] = {"OWNER", J | R, 0, "the participant that alone hands out its blocks"},
    [PID] = {"PID", T | J | R, 0, "its process, as its PID namespace has it"},
    [STATE] = {"STATE", T | J, 0,
               "of the owner: live; dead, and not recovered yet; gone: who next needs memory adopts it"},
    [NAMED] = {"NAMED", J | R, 0, "how many named objects begin in it"},
    [OBJECT] = {"OBJECT", T | J, 0, "one of them"},
};

/* ---- what is gathered ---- */

struct gathered {
    struct map m;
    struct tarn_participant *persons;
    struct members names;
    size_t persons_count;
};

static int add_part(const struct tarn_span *s, void *arg)
{
    struct map *m = &((struct gathered *)arg)->m;
    struct part *p = one_more(&m->parts, &m->count, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->span = *s;
    return 0;
}

static int add_person(const struct tarn_participant *p, void *arg)
{
    struct gathered *g = arg;
    struct tarn_participant *at = one_more(&g->persons, &g->persons_count, sizeof *at);
    if (!at)
        return -ENOMEM;
    *at = *p;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void rank_sizes(struct map *m)
{
    for (size_t k = 0; k < m->count; k++) {
        const struct tarn_span *s = &m->parts[k].span;
        unsigned r = 0;
        while (r < m->sizes && m->block_sizes[r] != s->block_size)
            r++;
        if (s->kind == TARN_SPAN_SMALL && r == m->sizes && r < TARN_HEAP_CLASSES)
            m->block_sizes[m->sizes++] = s->block_size;
    }
    qsort(m->block_sizes, m->sizes, sizeof *m->block_sizes, by_size);
    for (size_t k = 0; k < m->count; k++)
        while (m->parts[k].span.kind == TARN_SPAN_SMALL && m->parts[k].size_rank + 1 < m->sizes &&
               m->block_sizes[m->parts[k].size_rank] != m->parts[k].span.block_size)
            m->parts[k].size_rank++;
}

static void put_together(struct gathered *g)
{
    size_t n = 0;
    rank_sizes(&g->m);
    for (size_t k = 0; k < g->m.count; k++) {
        struct part *p = &g->m.parts[k];
        for (size_t i = 0; i < g->persons_count; i++)
            if (g->persons[i].id == p->span.owner)
                p->pid = g->persons[i].pid;
        for (; n < g->names.names_count && g->names.names[n].ref < p->span.ref + p->span.size; n++)
            if (g->names.names[n].ref >= p->span.ref && !p->named++)
                p->object = g->names.names[n].name;
    }
}

static int gather(const struct command *c, tarn *seg, struct gathered *g)
{
    int e = tarn_stat(seg, &g->m.stat), names;
    if (e == 0)
        e = tarn_spans(seg, add_part, g);
    if (e == 0)
        e = tarn_participants(seg, add_person, g);
    names = e == 0 ? names_of(seg, &g->names) : 0;
    if (names == -EUCLEAN) /* the rest is told without them */
        failed(c, names);
    if (e == -ENOMEM || names == -ENOMEM) {
        complain(c->name, "no memory for a list");
        return REFUSED;
    }
    if (e < 0 || (names < 0 && names != -EUCLEAN))
        return failed(c, e < 0 ? e : names);
    g->m.stat.spans = 0; /* those that were seen: it may have grown since */
    for (size_t k = 0; k < g->m.count; k++)
        g->m.stat.spans += g->m.parts[k].span.size / g->m.stat.span_size;
    g->m.stat.data = g->m.stat.spans * g->m.stat.span_size;
    put_together(g);
    return names < 0 ? WRONG : DONE;
}

static void forget(struct gathered *g)
{
    members_free(&g->names);
    free(g->persons);
    free(g->m.parts);
}

/* ---- the list ---- */

static void cell_of_blocks(const struct tarn_span *s, unsigned column, struct cell *c)
{
    if (!s->blocks)
        return;
    switch (column) {
    case BLOCK: cell_bytes(c, s->block_size); break;
    case BLOCKS: cell_number(c, s->blocks); break;
    case ALLOCATED: cell_number(c, s->allocated); break;
    case FREE: cell_number(c, s->free); break;
    case LIMBO: cell_number(c, s->limbo); break;
    }
}

static void cell_of(const void *row, unsigned column, void *context, struct cell *c)
{
    static const char *const state[] = {NULL, "live", "dead", "gone"};
    const struct part *p = row;
    (void)context;
    cell_of_blocks(&p->span, column, c);
    switch (column) {
    case REF: cell_reference(c, p->span.ref); break;
    case SIZE: cell_bytes(c, p->span.size); break;
    case KIND: cell_text(c, map_kind(p)); break;
    case OWNER: cell_reference(c, p->span.owner); break;
    case PID:
        if (p->pid)
            cell_number(c, p->pid);
        break;
    case STATE: cell_text(c, p->span.owner_state < 4 ? state[p->span.owner_state] : NULL); break;
    case NAMED: cell_number(c, p->named); break;
    case OBJECT: cell_text(c, p->object); break;
    }
}

static bool list(struct listing *l, const struct map *m)
{
    const void **rows = malloc((m->count + 1) * sizeof *rows);
    if (!rows)
        return false;
    for (size_t k = 0; k < m->count; k++)
        rows[k] = &m->parts[k];
    listing_begin(l);
    listing_print(l, "parts", rows, m->count);
    listing_end(l);
    free(rows);
    return true;
}

/* ---- the command ---- */

/* Letters in a line: of the terminal's width, with room for the ref, a multiple of 16. */
static unsigned width(void)
{
    struct winsize w;
    unsigned columns_there = 80;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col)
        columns_there = w.ws_col;
    unsigned most = columns_there > 16 + 14 ? (columns_there - 14) / 16 * 16 : 16;
    return most > 128 ? 128 : most;
}

enum { SVG = 256, LIST };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"list", no_argument, NULL, LIST},
                                      {"svg", no_argument, NULL, SVG},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell_of};
    struct gathered g = {0};
    bool listed = false, svg = false;
    int option, status = DONE;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        svg |= option == SVG;
        listed |= option != SVG;
        listing_option(&l, option, &status);
    }
    if (svg && listed)
        return misused(c, "--svg is a picture: without options of a list, please");
    if (!(g.m.url = only_url(c, argc, argv)))
        return USAGE;
    if ((listed && !listing_ready(&l, &status)) || !attach(c, g.m.url, &seg, &status))
        return status;
    status = gather(c, seg, &g);
    if (status == DONE || status == WRONG) {
        if (svg)
            map_draw_svg(&g.m);
        else if (!listed)
            map_draw(&g.m, width());
        else if (!list(&l, &g.m)) {
            complain(c->name, "no memory for a list");
            status = REFUSED;
        }
    }
    forget(&g);
    tarn_close(seg);
    return status;
}

const struct command cmd_map = {
    .name = "map",
    .arguments = "[--list | --svg] [OPTION...] URL",
    .summary = "tell how a segment is filled: sizes of blocks, runs, limbo, holes, whose they are",
    .help = "      --list           a line a part; so do the options below\n"
            "      --svg            an image, on stdout\n" LISTING_HELP
            "URL is posix:/NAME, sysv:KEY or file:PATH, or for a segment without a name /proc/PID/fd/N or "
            "fd:N. It is attached "
            "read-only.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

/* cmd_top.c - tarn top: shared memory live: what grows, who waits, what dies. Its screen is top_screen.c, what it shows top.c. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "top.h"
#include "wait.h"

enum {
    SIZE,
    RES,
    GROWTH,
    ATT,
    PART,
    DEAD,
    DEATHS,
    RECOV,
    WAITS,
    LOCKS,
    UNDONE,
    SWAP,
    KIND,
    MODE,
    OWNER,
    MADE_BY,
    NAME,
    COLUMNS
};
#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT
static const struct column columns[COLUMNS] = {
    [SIZE] = {"SIZE", T | J | R, 0, "bytes"},
    [RES] = {"RES", T | J | R, 0, "bytes in memory"},
    [GROWTH] = {"GROWTH", T | J | R, 0, "of that, bytes a second (where it is not known, of SIZE)"},
    [ATT] = {"ATT", T | J | R,
             0, "attached: System V: the kernel's count; else processes that have it, of those that could be read"},
    [PART] = {"PART", T | J | R, 0, "of segments of ours: who takes part"},
    [DEAD] = {"DEAD", T | J | R, 0, "... of them dead, and not recovered yet"},
    [DEATHS] = {"DEATHS", T | J | R, 0, "... deaths a second"},
    [RECOV] = {"RECOV", T | J | R, 0, "... recoveries a second"},
    [WAITS] = {"WAITS", T | J | R, 0, "... who waits now, for a lock or the like"},
    [LOCKS] = {"LOCKS", J | R, 0, "... locks held now"},
    [UNDONE] = {"UNDONE", J | R, 0, "... open sections that were undone, since it was made"},
    [SWAP] = {"SWAP", J | R, 0, "bytes swapped out"},
    [KIND] = {"KIND", J, 0, "as tarn ls has it"},
    [MODE] = {"MODE", J, 0, "permission bits"},
    [OWNER] = {"OWNER", J, 0, "its owner's name"},
    [MADE_BY] = {"MADE-BY", T | J, 0, "what made it, as tarn ls has it"},
    [NAME] = {"NAME", T | J, 0, "as tarn ls has it"},
};

/* ---- cells ---- */

static void cell_rate(struct cell *c, bool known, double rate)
{
    if (!known)
        return;
    c->kind = CELL_REAL;
    c->real = rate;
}

static void cell_growth(struct cell *c, const struct top_row *r)
{
    static const char unit[] = "BKMGTPE";
    double n = fabs(r->growth);
    unsigned k = 0;
    if (!r->grown)
        return;
    for (; n >= 1000 && k < 6; k++)
        n /= 1024;
    cell_rate(c, true, r->growth);
    snprintf(c->room, sizeof c->room,
             n < 0.5 ? "0"
             : k     ? "%s%.1f%c"
                     : "%s%.0f%c",
             r->growth < 0 ? "-" : "+", n, unit[k]);
    c->text = c->room;
}

static void cell_inside(struct cell *c, const struct inside *i, uint64_t number)
{
    if (i->known)
        cell_number(c, number);
}

static void cell_of_segment(struct cell *c, const struct top_row *r, unsigned column)
{
    const struct inside *i = &r->inside;
    switch (column) {
    case PART: cell_inside(c, i, i->participants); break;
    case DEAD: cell_inside(c, i, i->dead); break;
    case WAITS: cell_inside(c, i, i->waits); break;
    case LOCKS: cell_inside(c, i, i->locks); break;
    case UNDONE: cell_inside(c, i, i->undone); break;
    case DEATHS: cell_rate(c, r->counted, r->deaths); break;
    case RECOV: cell_rate(c, r->counted, r->recoveries); break;
    }
}

static void cell(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct top_row *r = row;
    const struct object *o = r->object;
    struct top *t = context;
    switch (column) {
    case SIZE: cell_bytes(c, o->size); break;
    case RES: cell_bytes(c, o->resident); break;
    case SWAP: cell_bytes(c, o->swapped); break;
    case GROWTH: cell_growth(c, r); break;
    case ATT:
        cell_number(c, o->kind == OBJECT_SYSV && o->attaches != UNKNOWN ? o->attaches : o->processes);
        break;
    case KIND: cell_text(c, kind_name(o->kind)); break;
    case MODE:
        if (o->known)
            cell_format(c, "%04o", o->mode);
        break;
    case OWNER: cell_text(c, o->known ? machine_user(t->m, o->uid) : NULL); break;
    case MADE_BY: cell_text(c, maker_name(o->maker)); break;
    case NAME: cell_text(c, o->name); break;
    default: cell_of_segment(c, r, column);
    }
}

/* ---- batch ---- */

const void **top_sorted(const struct top *t, const struct listing *l)
{
    const void **rows = malloc((t->count + 1) * sizeof *rows);
    for (size_t k = 0; rows && k < t->count; k++)
        rows[k] = &t->rows[k];
    if (rows && l->sorted >= 0)
        listing_sort(l, rows, t->count);
    return rows;
}

static void rest(uint64_t until)
{
    for (uint64_t now = now_ns(); !stopped && now < until; now = now_ns()) {
        uint64_t left = until - now;
        nanosleep(&(struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)},
                  NULL);
    }
}

static int batch(const struct top_request *r)
{
    struct top t = {0};
    int status = DONE;
    for (uint64_t turn = 0; !stopped && (!r->count || turn < r->count); turn++) {
        const void **rows = NULL;
        if (turn)
            rest(t.at + r->interval);
        r->l->context = &t;
        if (stopped)
            break;
        if (!top_look(&t) || !(rows = top_sorted(&t, r->l))) {
            complain(r->c->name, "no look at /proc: %s", strerror(errno));
            status = REFUSED;
            break;
        }
        if (turn)
            listing_gap(r->l);
        listing_begin(r->l);
        listing_print(r->l, "objects", rows, t.count);
        listing_end(r->l);
        free(rows);
        if (!turn)
            complain_of_unread(r->c, t.m);
        if (fflush(stdout))
            break;
    }
    top_free(&t);
    return status;
}

/* ---- the command ---- */

static const struct option names[] = {{"delay", required_argument, NULL, 'd'},
                                      {"iterations", required_argument, NULL, 'n'},
                                      {"batch", no_argument, NULL, 'b'},
                                      {"json", no_argument, NULL, 'J'},
                                      {"raw", no_argument, NULL, OPTION_RAW},
                                      {"output", required_argument, NULL, 'o'},
                                      {"sort", required_argument, NULL, OPTION_SORT},
                                      {"bytes", no_argument, NULL, OPTION_BYTES},
                                      {"no-headings", no_argument, NULL, OPTION_NO_HEADINGS},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static bool parse_delay(const char *text, uint64_t *ret)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0.1 && seconds <= 3600))
        return false;
    *ret = (uint64_t)(seconds * 1e9);
    return true;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell, .sort = "RES"};
    struct top_request r = {.c = c, .l = &l, .interval = 2000000000};
    bool in_batch = false;
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":hd:n:bJo:", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        if (option == 'd' && !parse_delay(optarg, &r.interval))
            return misused(c, "-d %s: it is a number of seconds from 0.1 to 3600", optarg);
        if (option == 'n' && (!parse_number(optarg, 10, UINT64_MAX, &r.count) || !r.count))
            return misused(c, "-n %s: it is a number of looks from 1 on", optarg);
        in_batch |= option == 'b';
        if (option != 'b')
            listing_option(&l, option == OPTION_BYTES ? 'b' : option, &status);
    }
    if (argc > optind)
        return misused(c, "\"%s\": it takes no URL; tarn who tells of one", argv[optind]);
    if (!listing_ready(&l, &status))
        return status;
    stop_by_signals();
    if (in_batch || l.json || l.raw || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return batch(&r);
    return top_screen(&r);
}

const struct command cmd_top = {
    .name = "top",
    .arguments =
        "[-d SECONDS] [-n LOOKS] [-b] [-J | --raw] [--bytes] [-o COLUMNS] [--sort COLUMN] [--no-headings]",
    .summary = "show shared memory live: what grows, who waits, what dies",
    .help =
        "  -d, --delay SECONDS  look so often, from 0.1 on (default 2)\n"
        "  -n, --iterations N   end after so many looks\n"
        "  -b, --batch          as text, one list a look; so it is too if stdin or stdout is no terminal\n"
        "  -J, --json           in batch, as JSON: one object a look\n"
        "      --raw            in batch, for scripts, as tarn ls has it\n"
        "      --bytes          sizes in bytes, not rounded\n"
        "  -o, --output COLUMNS these, parted by commas; +COLUMNS: also these; all: all\n"
        "      --sort COLUMN    by this one (default RES), numbers from the largest down; -COLUMN: the other "
        "way\n"
        "      --no-headings    no headings\n"
        "Keys: < and > another column to sort by, or its letter (s e g a p d w n), r the other way round;\n"
        "arrows and pages; blank: look now; ? help; q ends.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

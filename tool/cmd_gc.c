/* cmd_gc.c - tarn gc: remove what provably nobody uses, after a question. What may go, and how it goes: unused.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listing.h"
#include "machine.h"
#include "unused.h"

enum column_number { ACTION, KIND, ID, SIZE, RES, OWNER, MADE_BY, CREATED, USED, NAME, WHY, COLUMNS };
#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT
static const struct column columns[COLUMNS] = {
    [ACTION] = {"ACTION", T | J, 0, "removed; remove: it would be; kept; failed: it could not be removed"},
    [KIND] = {"KIND", J, 0, "sysv or posix"},
    [ID] = {"ID", J, 0, "as tarn ls has it"},
    [SIZE] = {"SIZE", T | J | R, 0, "bytes"},
    [RES] = {"RES", T | J | R, 0, "bytes in memory"},
    [OWNER] = {"OWNER", T | J, 0, "its owner's name"},
    [MADE_BY] = {"MADE-BY", J, 0, "what program or library made it"},
    [CREATED] = {"CREATED", J, 0, "when it was made; of System V: or set anew"},
    [USED] = {"USED", J, 0, "when it was last attached, detached, opened or written"},
    [NAME] = {"NAME", T | J, 0, "as tarn ls has it"},
    [WHY] = {"WHY", T | J, 0, "why it goes, or stays"},
};

/* An object, and what becomes of it. */
struct row {
    const struct object *object;
    struct verdict verdict;
    const char *action;
    char why[160];
};

struct request {
    struct unused_rules rules;
    bool dry, yes, verbose;
};

struct collection {
    struct machine *m;
    struct row *rows;
    size_t count, going;
};

/* ---- cells ---- */

static void cell(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct row *r = row;
    const struct object *o = r->object;
    switch (column) {
    case ACTION: cell_text(c, r->action); break;
    case KIND: cell_text(c, kind_name(o->kind)); break;
    case ID: cell_text(c, object_id(o, c->room)); break;
    case SIZE: cell_bytes(c, o->size); break;
    case RES: cell_bytes(c, o->resident); break;
    case OWNER: cell_text(c, machine_user(context, o->uid)); break;
    case MADE_BY: cell_text(c, maker_name(o->maker)); break;
    case CREATED: cell_time(c, o->created); break;
    case USED: cell_time(c, o->used); break;
    case NAME: cell_text(c, o->name); break;
    case WHY: cell_text(c, *r->why ? r->why : r->verdict.why); break;
    }
}

/* ---- which ---- */

static bool judge_all(const struct request *r, struct collection *all)
{
    struct machine *m = all->m;
    struct survey *survey = survey_new(m);
    if (!survey)
        return false;
    all->rows = calloc(m->objects_count + 1, sizeof *all->rows);
    for (size_t k = 0; all->rows && k < m->objects_count; k++) {
        const struct object *o = &m->objects[k];
        if (o->kind != OBJECT_SYSV && o->kind != OBJECT_POSIX)
            continue;
        struct row *row = &all->rows[all->count++];
        row->object = o;
        unused_judge(survey, o, &r->rules, &row->verdict);
        row->action = row->verdict.goes ? "remove" : "kept";
        all->going += row->verdict.goes;
    }
    survey_free(survey);
    return all->rows;
}

static bool print(const struct listing *l, const struct collection *all, bool verbose)
{
    const void **rows = malloc((all->count + 1) * sizeof *rows);
    size_t count = 0;
    if (!rows)
        return false;
    for (size_t k = 0; k < all->count; k++)
        if (verbose || all->rows[k].verdict.goes)
            rows[count++] = &all->rows[k];
    listing_begin(l);
    if (count || l->json)
        listing_print(l, "objects", rows, count);
    listing_end(l);
    free(rows);
    return true;
}

/* ---- the removal ---- */

/* What somebody uses by now stays, and that is as it should be; what another has removed is gone. */
static int remove_all(struct collection *all)
{
    int status = DONE;
    for (size_t k = 0; k < all->count; k++) {
        struct row *row = &all->rows[k];
        if (!row->verdict.goes)
            continue;
        int error = unused_remove(row->object, &row->verdict, row->why);
        bool kept = error == -EBUSY || error == -ESTALE;
        row->action = !error || error == -ENOENT ? "removed" : kept ? "kept" : "failed";
        if (error && error != -ENOENT && !kept)
            status = REFUSED;
    }
    return status;
}

/* After the table that was asked about: what came otherwise. */
static void tell_the_rest(const struct command *c, const struct collection *all)
{
    for (size_t k = 0; k < all->count; k++) {
        const struct row *row = &all->rows[k];
        if (*row->why && strcmp(row->action, "removed") != 0)
            complain(c->name, "%s: %s: %s", row->object->name, row->action, row->why);
    }
}

static int collect(const struct request *r, const struct listing *l, struct collection *all)
{
    bool ask = !r->dry && !r->yes && all->going, good = true;
    int status = DONE;
    if (ask) {
        good = print(l, all, r->verbose);
        if (!good || !agreed(all->going == 1 ? "Remove it?" : "Remove them?"))
            return good ? DONE : REFUSED;
    }
    if (!r->dry)
        status = remove_all(all);
    if (ask)
        tell_the_rest(l->command, all);
    else
        good = print(l, all, r->verbose);
    return good ? status : REFUSED;
}

static int run_on(const struct request *r, struct listing *l)
{
    struct collection all = {.m = look_at_machine(l->command, LOOK_ALL | l->needs)};
    if (!all.m)
        return REFUSED;
    l->context = all.m;
    const char *blind = unused_blind(all.m, &r->rules);
    int status = REFUSED;
    if (!judge_all(r, &all))
        complain(l->command->name, "no memory for a list");
    else
        status = collect(r, l, &all);
    if (blind) {
        complain(l->command->name, "nothing is called unused: %s", blind);
        complain_of_unread(l->command, all.m);
        status = REFUSED;
    }
    free(all.rows);
    machine_free(all.m);
    return status;
}

/* ---- arguments ---- */

enum { OPTION_OLDER = 0x3000, OPTION_ALONE };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"dry-run", no_argument, NULL, 'n'},
                                      {"yes", no_argument, NULL, 'y'},
                                      {"verbose", no_argument, NULL, 'v'},
                                      {"force", no_argument, NULL, 'f'},
                                      {"older-than", required_argument, NULL, OPTION_OLDER},
                                      {"alone", no_argument, NULL, OPTION_ALONE},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static bool take(const struct command *c, int option, struct request *r, struct listing *l, int *ret_status)
{
    switch (option) {
    case 'n': r->dry = true; break;
    case 'y': r->yes = true; break;
    case 'v': r->verbose = true; break;
    case 'f': r->rules.force = true; break;
    case OPTION_ALONE: r->rules.alone = true; break;
    case OPTION_OLDER:
        if (parse_period(optarg, &r->rules.older))
            break;
        *ret_status =
            misused(c, "--older-than %s: it is a number of seconds, or one with m, h or d behind it", optarg);
        return false;
    default: listing_option(l, option, ret_status); break;
    }
    return true;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell};
    struct request r = {.rules.older = 3600};
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":hnyvf" LISTING_LETTERS, names, &status)) >= 0)
        if (option == ENDED || !take(c, option, &r, &l, &status))
            return status;
    if (argc > optind)
        return misused(c, "\"%s\": it takes no URL; tarn rm removes one", argv[optind]);
    if (!listing_ready(&l, &status))
        return status;
    if (!r.dry && !r.yes && (!isatty(0) || l.json || l.raw))
        return misused(c, isatty(0) ? "-J and --raw ask nothing: say --yes, or --dry-run"
                                    : "there is no terminal to ask on: say --yes, or --dry-run");
    return run_on(&r, &l);
}

const struct command cmd_gc = {
    .name = "gc",
    .arguments = "[-n | -y] [-v] [-f] [--older-than PERIOD] [--alone] " LISTING_ARGUMENTS,
    .summary = "remove shared memory that provably nobody uses",
    .help =
        "  -n, --dry-run        only tell what would be removed\n"
        "  -y, --yes            ask nothing\n"
        "  -v, --verbose        list also what stays, and why\n"
        "  -f, --force          also what somebody might open again, and what nobody knows the maker of;\n"
        "                       never what is in use\n"
        "      --older-than PERIOD  only what has lain idle for so long: seconds, or with m, h, d (default "
        "1h);\n"
        "                       segments of tarn that are over go at once\n"
        "      --alone          nobody outside of this PID namespace shares the memory (in "
        "containers)\n" LISTING_HELP "System V ids and POSIX objects go if nobody has them, their maker is "
        "dead, and its habits are known.\n"
        "All processes must be visible (root); else nothing is removed, and the status is 3.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

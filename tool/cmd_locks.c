/* cmd_locks.c - tarn locks: which locks are held in segments of ours, by whom, and who waits for whom. */
#include <stdlib.h>
#include <string.h>

#include "listing.h"
#include "locks.h"

#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT

/* ---- locks ---- */

enum {
    LOCK,
    OBJECT,
    KIND,
    NUMBER,
    HELD,
    PARTICIPANT,
    PID,
    TID,
    NSPID,
    NSTID,
    COMMAND,
    STATE,
    SINCE,
    SECTION,
    DEFERRED,
    DIRTY,
    WAITERS,
    NAME,
    COLUMNS
};
static const struct column columns[COLUMNS] = {
    [LOCK] = {"LOCK", T | J | R, 0, "its ref"},
    [OBJECT] = {"OBJECT", T | J, 0, "the named object that it is in, and where in it"},
    [KIND] = {"KIND", T | J,
              0, "mutex; inner: of the library's own; read, write: a rwlock; units: of a held semaphore; member: of a barrier"},
    [NUMBER] = {"NUMBER", T | J | R, 0, "how often it is held; units; of a member 1 if it has arrived, else 0"},
    [HELD] = {"HELD", T | J, 0,
              "yes; moving: inside the call that takes or gives it; unsure: the lock says otherwise"},
    [PARTICIPANT] = {"PARTICIPANT", T | J | R, 0, "whose it is: its number in the segment"},
    [PID] = {"PID", T | J | R, 0, "its process; of a dead one, as its PID namespace had it"},
    [TID] = {"TID", J | R, 0, "its thread, likewise"},
    [NSPID] = {"NSPID", J | R, 0, "its process, as its PID namespace has it"},
    [NSTID] = {"NSTID", J | R, 0, "its thread, as its PID namespace has it"},
    [COMMAND] = {"COMMAND", T | J, 0, "its process, by name"},
    [STATE] = {"STATE", T | J, 0, "live; stopped; dead, and not recovered yet; unknown from here"},
    [SINCE] = {"SINCE", J, 0, "when it began to take part; when it took the lock nobody notes"},
    [SECTION] = {"SECTION", J, 0, "was it taken in the section that is open?"},
    [DEFERRED] = {"DEFERRED", J, 0, "is it unlocked in that section, and held until its end?"},
    [DIRTY] = {"DIRTY", J, 0, "did its last holder die with it, and is it not consistent yet?"},
    [WAITERS] = {"WAITERS", T | J | R, 0, "how many wait for this one to give it up"},
    [NAME] = {"NAME", J, 0, "of the segment; shown if there are several"},
};

struct row {
    const struct inside_locks *in;
    const struct tarn_lock *lock;
};

/* One row is printed after the other, and a cell's text is copied by then. */
static char name_room[320];

static void cell_name(struct cell *c, const struct inside_locks *in, tarn_ref ref)
{
    cell_text(c, *name_at(&in->members, ref, name_room) ? name_room : NULL);
}

static void cell_truth(struct cell *c, bool truth)
{
    c->kind = CELL_TRUTH;
    c->number = truth;
}

static void cell_of_member(const struct member *p, unsigned column, struct machine *m, struct cell *c)
{
    if (!p)
        return;
    switch (column) {
    case PID: cell_number(c, p->pid ? p->pid : p->told.pid); break;
    case TID: cell_number(c, p->tid ? p->tid : p->told.tid); break;
    case COMMAND: cell_text(c, p->pid ? pid_command(m, p->pid) : NULL); break;
    case STATE: cell_text(c, member_state(p)); break;
    case SINCE: cell_time(c, (int64_t)(p->told.since / 1000000000)); break;
    }
}

static void cell_waiters(const struct row *r, struct cell *c)
{
    size_t count;
    waiters_of(&r->in->members, r->lock->id, r->lock->ref, &count);
    cell_number(c, count);
}

static void cell_of_lock(const void *at, unsigned column, void *context, struct cell *c)
{
    const struct row *r = at;
    const struct tarn_lock *l = r->lock;
    switch (column) {
    case LOCK: cell_reference(c, l->ref); break;
    case OBJECT: cell_name(c, r->in, l->ref); break;
    case KIND: cell_text(c, lock_kind(l->kind)); break;
    case NUMBER: cell_number(c, l->number); break;
    case HELD: cell_text(c, !l->held ? "unsure" : l->moving ? "moving" : "yes"); break;
    case PARTICIPANT: cell_reference(c, l->id); break;
    case NSPID: cell_number(c, l->pid); break;
    case NSTID: cell_number(c, l->tid); break;
    case SECTION: cell_truth(c, l->section); break;
    case DEFERRED: cell_truth(c, l->deferred); break;
    case DIRTY: cell_truth(c, l->dirty); break;
    case WAITERS: cell_waiters(r, c); break;
    case NAME: cell_text(c, r->in->object->name); break;
    }
    cell_of_member(member_of(&r->in->members, l->id), column, context, c);
}

/* ---- who waits ---- */

enum {
    W_LOCK,
    W_OBJECT,
    W_WHAT,
    W_ID,
    W_PID,
    W_TID,
    W_COMMAND,
    W_STATE,
    W_TIMED,
    W_HOLDER,
    W_HOLDER_PID,
    W_HOLDER_COMMAND,
    W_HOLDER_STATE,
    W_CIRCLE,
    W_NAME,
    W_COLUMNS
};
static const struct column wait_columns[W_COLUMNS] = {
    [W_LOCK] = {"LOCK", T | J | R, 0, "ref of what it waits for"},
    [W_OBJECT] = {"OBJECT", T | J, 0, "the named object that it is in, and where in it"},
    [W_WHAT] = {"WHAT", T | J, 0, "mutex or rwlock; readers, units, members; act: of nobody in particular"},
    [W_ID] = {"PARTICIPANT", T | J | R, 0, "who waits: its number in the segment"},
    [W_PID] = {"PID", T | J | R, 0, "its process"},
    [W_TID] = {"TID", J | R, 0, "its thread"},
    [W_COMMAND] = {"COMMAND", T | J, 0, "its process, by name"},
    [W_STATE] = {"STATE", J, 0, "as of a holder"},
    [W_TIMED] = {"TIMED", J, 0, "does it give up by itself?"},
    [W_HOLDER] = {"HOLDER", T | J | R, 0, "for whom"},
    [W_HOLDER_PID] = {"HOLDER-PID", T | J | R, 0, "its process"},
    [W_HOLDER_COMMAND] = {"HOLDER-COMMAND", J, 0, "its process, by name"},
    [W_HOLDER_STATE] = {"HOLDER-STATE", T | J, 0, "live; stopped; dead, and not recovered yet; unknown from here"},
    [W_CIRCLE] = {"CIRCLE", T | J | R, 0, "number of the circle that both are in"},
    [W_NAME] = {"NAME", J, 0, "of the segment; shown if there are several"},
};

struct wait_row {
    const struct inside_locks *in;
    const struct tarn_waiting *wait;
};

static void cell_of_sides(const struct wait_row *r, unsigned column, struct machine *m, struct cell *c)
{
    const struct members *l = &r->in->members;
    const struct member *p = member_of(l, r->wait->id), *h = member_of(l, r->wait->holder);
    switch (column) {
    case W_PID: cell_of_member(p, PID, m, c); break;
    case W_TID: cell_of_member(p, TID, m, c); break;
    case W_COMMAND: cell_of_member(p, COMMAND, m, c); break;
    case W_STATE: cell_of_member(p, STATE, m, c); break;
    case W_HOLDER_PID: cell_of_member(h, PID, m, c); break;
    case W_HOLDER_COMMAND: cell_of_member(h, COMMAND, m, c); break;
    case W_HOLDER_STATE: cell_of_member(h, STATE, m, c); break;
    }
}

static void cell_of_wait(const void *at, unsigned column, void *context, struct cell *c)
{
    const struct wait_row *r = at;
    const struct tarn_waiting *w = r->wait;
    switch (column) {
    case W_LOCK: cell_reference(c, w->ref); break;
    case W_OBJECT: cell_name(c, r->in, w->ref); break;
    case W_WHAT: cell_text(c, w->what); break;
    case W_ID: cell_reference(c, w->id); break;
    case W_TIMED: cell_truth(c, w->timed); break;
    case W_HOLDER: cell_reference(c, w->holder); break;
    case W_CIRCLE:
        if (w->circle)
            cell_number(c, w->circle);
        break;
    case W_NAME: cell_text(c, r->in->object->name); break;
    default: cell_of_sides(r, column, context, c);
    }
}

/* ---- circles ---- */

enum { C_CIRCLE, C_LENGTH, C_TIMED, C_STORY, C_NAME, C_COLUMNS };
static const struct column circle_columns[C_COLUMNS] = {
    [C_CIRCLE] = {"CIRCLE", T | J | R, 0, "its number in the segment"},
    [C_LENGTH] = {"LENGTH", T | J | R, 0, "participants in it"},
    [C_TIMED] = {"TIMED", T | J | R, 0, "of them, those who give up by themselves"},
    [C_STORY] = {"STORY", T | J, 0, "the circle as a sentence"},
    [C_NAME] = {"NAME", J, 0, "of the segment; shown if there are several"},
};

static void cell_of_circle(const void *at, unsigned column, void *context, struct cell *c)
{
    const struct circle *r = at;
    (void)context;
    switch (column) {
    case C_CIRCLE: cell_number(c, r->number); break;
    case C_LENGTH: cell_number(c, r->length); break;
    case C_TIMED: cell_number(c, r->timed); break;
    case C_STORY: cell_text(c, r->story); break;
    case C_NAME: cell_text(c, r->object->name); break;
    }
}

/* ---- which segments ---- */

struct sight {
    struct machine *m;
    struct inside_locks *in;
    size_t count, closed; /* segments that could not be looked into */
};

static bool add_segment(const struct command *c, struct sight *k, const struct object *o, bool asked, int *status)
{
    int one;
    struct inside_locks *in;
    for (size_t n = 0; n < k->count; n++)
        if (k->in[n].object == o)
            return true;
    if (!(in = one_more(&k->in, &k->count, sizeof *in)))
        return false;
    in->object = o;
    if (!members_of(asked ? c : NULL, k->m, o, &in->members, &one)) {
        members_free(&in->members);
        k->count--;
        k->closed += !asked;
        *status = asked && one > *status ? one : *status;
        return true;
    }
    return find_circles(in, k->m);
}

static bool add_named(const struct command *c, struct sight *k, const char *text, int *status)
{
    uint32_t *index;
    size_t count;
    bool exists, good = machine_find(k->m, text, &index, &count, &exists);
    if (!good)
        return false;
    for (size_t n = 0; good && n < count; n++)
        good = add_segment(c, k, &k->m->objects[index[n]], true, status);
    free(index);
    if (good && !count) {
        complain(c->name,
                 exists ? "%s: nobody is seen to have it, and no URL leads to it"
                        : "%s: there is none; tarn ls tells names",
                 text);
        *status = WRONG > *status ? WRONG : *status;
    }
    return good;
}

static bool look(const struct command *c, struct sight *k, char **urls, int count, int *status)
{
    bool good = true;
    for (int n = 0; good && n < count; n++)
        good = add_named(c, k, urls[n], status);
    for (size_t n = 0; good && !count && n < k->m->objects_count; n++)
        if (k->m->objects[n].maker == MADE_TARN)
            good = add_segment(c, k, &k->m->objects[n], false, status);
    return good;
}

/* ---- printing ---- */

struct request {
    bool waits, graph, dot;
    struct listing locks, waiting, circles;
};

static void *rows_of(size_t count, size_t size, const void ***ret_rows)
{
    void *all = malloc((count + 1) * size);
    *ret_rows = malloc((count + 1) * sizeof **ret_rows);
    for (size_t k = 0; all && *ret_rows && k < count; k++)
        (*ret_rows)[k] = (char *)all + k * size;
    return *ret_rows ? all : NULL;
}

static bool print_locks(const struct listing *l, const struct sight *k)
{
    size_t count = 0, n = 0;
    const void **rows;
    for (size_t s = 0; s < k->count; s++)
        count += k->in[s].members.locks_count;
    struct row *all = rows_of(count, sizeof *all, &rows);
    if (!all)
        return false;
    for (size_t s = 0; s < k->count; s++)
        for (size_t i = 0; i < k->in[s].members.locks_count; i++)
            if (is_had(&k->in[s].members.locks[i]))
                all[n++] = (struct row){&k->in[s], &k->in[s].members.locks[i]};
    listing_print(l, "locks", rows, n);
    free(rows);
    free(all);
    return true;
}

static size_t count_waits(const struct sight *k)
{
    size_t count = 0;
    for (size_t s = 0; s < k->count; s++)
        count += k->in[s].members.waits_count;
    return count;
}

static bool print_waits(const struct listing *l, const struct sight *k)
{
    size_t n = 0;
    const void **rows;
    struct wait_row *all = rows_of(count_waits(k), sizeof *all, &rows);
    if (!all)
        return false;
    for (size_t s = 0; s < k->count; s++)
        for (size_t i = 0; i < k->in[s].members.waits_count; i++)
            all[n++] = (struct wait_row){&k->in[s], &k->in[s].members.waits[i]};
    listing_print(l, "waits", rows, n);
    free(rows);
    free(all);
    return true;
}

static bool print_circles(const struct listing *l, const struct sight *k, bool always)
{
    size_t count = 0, n = 0;
    for (size_t s = 0; s < k->count; s++)
        count += k->in[s].circles_count;
    if (!count && !always)
        return true;
    const void **rows = malloc((count + 1) * sizeof *rows);
    if (!rows)
        return false;
    for (size_t s = 0; s < k->count; s++)
        for (size_t i = 0; i < k->in[s].circles_count; i++)
            rows[n++] = &k->in[s].circles[i];
    listing_gap(l);
    listing_print(l, "circles", rows, n);
    free(rows);
    return true;
}

/* A table of waits, and one of circles, if there are any; JSON has all three lists. */
static bool print_lists(const struct request *r, const struct sight *k)
{
    const struct listing *l = &r->locks;
    bool good = true;
    listing_begin(l);
    if (!r->waits || l->json)
        good = print_locks(l, k);
    if (good && (r->waits || l->json || (count_waits(k) && !l->raw))) {
        if (!r->waits)
            listing_gap(l);
        good = print_waits(&r->waiting, k);
    }
    if (good && !l->raw)
        good = print_circles(&r->circles, k, l->json);
    listing_end(l);
    return good;
}

static bool print(struct request *r, const struct sight *k)
{
    if (r->dot)
        print_dot(k->in, k->count, k->m);
    else if (r->graph)
        for (size_t n = 0; n < k->count; n++)
            print_graph(&k->in[n], k->m, k->count > 1);
    else
        return print_lists(r, k);
    return true;
}

static void forget(struct sight *k)
{
    for (size_t n = 0; n < k->count; n++) {
        circles_free(&k->in[n]);
        members_free(&k->in[n].members);
    }
    free(k->in);
    machine_free(k->m);
}

/* ---- the command ---- */

static int answer(const struct command *c, struct request *r, char **urls, int count)
{
    struct sight k = {.m = look_at_machine(c, LOOK_ALL)};
    int status = DONE;
    if (!k.m)
        return REFUSED;
    r->locks.context = r->waiting.context = k.m;
    bool good = look(c, &k, urls, count, &status);
    if (k.count > 1 || !count) {
        listing_also(&r->locks, NAME);
        listing_also(&r->waiting, W_NAME);
        listing_also(&r->circles, C_NAME);
    }
    if (good && (k.count || !count))
        good = print(r, &k);
    if (!good) {
        complain(c->name, "no memory for a list");
        status = REFUSED;
    }
    if (k.closed)
        complain(c->name, "%zu segments could not be looked into: damaged, without a way to them, or not to be read by this user",
                 k.closed);
    complain_of_unread(c, k.m);
    forget(&k);
    return status;
}

enum { OPTION_WAITS = 0x3000, OPTION_GRAPH, OPTION_DOT };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"waits", no_argument, NULL, OPTION_WAITS},
                                      {"graph", no_argument, NULL, OPTION_GRAPH},
                                      {"dot", no_argument, NULL, OPTION_DOT},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static bool arguments(const struct command *c, int argc, char **argv, struct request *r, int *status)
{
    struct listing *l = &r->locks;
    int option;
    while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, status)) >= 0) {
        if (option == ENDED)
            return false;
        r->waits |= option == OPTION_WAITS;
        r->graph |= option == OPTION_GRAPH;
        r->dot |= option == OPTION_DOT;
        listing_option(l, option, status);
    }
    if (r->graph + r->dot + r->waits > 1 ||
        ((r->graph || r->dot) && (l->json || l->raw || l->bytes || l->bare || l->output || l->sort))) {
        *status = misused(c, "--graph, --dot, --waits, or a list: one of them");
        return false;
    }
    return true;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct request r = {.locks = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell_of_lock}};
    int status = DONE;
    if (!arguments(c, argc, argv, &r, &status))
        return status;
    r.waiting = r.circles = r.locks;
    r.waiting.columns = wait_columns;
    r.waiting.count = W_COLUMNS;
    r.waiting.cell = cell_of_wait;
    r.circles.columns = circle_columns;
    r.circles.count = C_COLUMNS;
    r.circles.cell = cell_of_circle;
    r.circles.output = r.circles.sort = NULL;
    struct listing *not_named = r.waits ? &r.locks : &r.waiting;
    not_named->output = not_named->sort = NULL;
    if (!listing_ready(&r.locks, &status) || !listing_ready(&r.waiting, &status) ||
        !listing_ready(&r.circles, &status))
        return status;
    return answer(c, &r, argv + optind, argc - optind);
}

const struct command cmd_locks = {
    .name = "locks",
    .arguments = "[--waits | --graph | --dot] " LISTING_ARGUMENTS " [URL...]",
    .summary = "tell which locks are held, by whom, and who waits for whom",
    .help =
        "      --waits          only who waits; -o and --sort are for that list\n"
        "      --graph          who has what, and who waits for it, as text; circles in words\n"
        "      --dot            the same for Graphviz: tarn locks --dot | dot -Tsvg\n" LISTING_HELP
        "A URL is posix:/NAME, sysv:KEY, file:PATH, or any other name, or id, that tarn ls prints; a path, "
        "also "
        "/proc/PID/fd/N; fd:N. Without\n"
        "one: all segments of tarn that can be looked into. They are attached read-only, and no lock is "
        "taken.\n"
        "Who waits is listed with LOCK OBJECT WHAT PARTICIPANT PID TID COMMAND STATE TIMED HOLDER HOLDER-PID "
        "HOLDER-COMMAND\n"
        "HOLDER-STATE CIRCLE NAME; circles with CIRCLE LENGTH TIMED STORY NAME.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

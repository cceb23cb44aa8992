/* cmd_who.c - tarn who: which processes map an object or have it open, where and with which rights; of our own segments, who takes part. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "listing.h"
#include "machine.h"
#include "participants.h"

#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT

/* ---- uses ---- */

enum {
    PID,
    NSPID,
    USER,
    RIGHTS,
    ADDRESS,
    END,
    SIZE,
    OFFSET,
    RES,
    HUGE_BYTES,
    FD,
    STATE,
    COMMAND,
    KIND,
    ID,
    NAME,
    COLUMNS
};
static const struct column columns[COLUMNS] = {
    [PID] = {"PID", T | J | R, 0, "the process, as it is seen from here"},
    [NSPID] = {"NSPID", T | J | R, 0, "its number in its own PID namespace, if that is another"},
    [USER] = {"USER", T | J, 0, "whose rights it has"},
    [RIGHTS] = {"RIGHTS", T | J, 0,
                "of the mapping: read, write, execute, shared or private; of a descriptor: read, write"},
    [ADDRESS] = {"ADDRESS", T | J | R, 0, "of the mapping's first byte"},
    [END] = {"END", J | R, 0, "of the first byte behind it"},
    [SIZE] = {"SIZE", T | J | R, 0, "bytes mapped"},
    [OFFSET] = {"OFFSET", J | R, 0, "of its first byte in the object"},
    [RES] = {"RES", R, LOOK_SMAPS, "bytes of the mapping that this process has touched and that are in memory; dear"},
    [HUGE_BYTES] = {"HUGE", R, LOOK_SMAPS, "bytes of it mapped by huge pages; dear"},
    [FD] = {"FD", T | J | R, 0, "number of the descriptor, if it is not a mapping"},
    [STATE] = {"STATE", J, 0, "of the process: live, stopped or zombie"},
    [COMMAND] = {"COMMAND", T | J, 0, "its name"},
    [KIND] = {"KIND", J, 0, "of the object, as tarn ls has it"},
    [ID] = {"ID", J, 0, "of the object, as tarn ls has it"},
    [NAME] = {"NAME", J, 0, "of the object; shown if there are several"},
};

static void cell_address(struct cell *c, uint64_t address)
{
    c->kind = CELL_NUMBER;
    c->number = address;
    snprintf(c->room, sizeof c->room, "%" PRIx64, address);
    c->text = c->room;
}

static void cell_pids(struct cell *c, uint32_t pid)
{
    struct identity i;
    if (process_identity(pid, &i) && i.count > 1)
        cell_number(c, i.pids[i.count - 1]);
}

static void cell_user(struct cell *c, struct machine *m, uint32_t pid)
{
    struct identity i;
    if (process_identity(pid, &i))
        cell_text(c, machine_user(m, i.uid));
}

static void cell_process_state(struct cell *c, uint32_t pid)
{
    char state;
    int64_t since;
    if (process_state(pid, 0, &state, &since))
        cell_text(c, state == 'T' || state == 't' ? "stopped" : state == 'Z' ? "zombie" : "live");
}

static void cell_rights(struct cell *c, const struct use *u)
{
    cell_format(c, "%c%c%c%s", u->read ? 'r' : '-', u->write ? 'w' : '-', u->execute ? 'x' : '-',
                u->fd >= 0  ? ""
                : u->shared ? "s"
                            : "p");
}

static void cell_of_process(const struct process *p, unsigned column, struct machine *m, struct cell *c)
{
    switch (column) {
    case PID: cell_number(c, p->pid); break;
    case NSPID: cell_pids(c, p->pid); break;
    case USER: cell_user(c, m, p->pid); break;
    case STATE: cell_process_state(c, p->pid); break;
    case COMMAND: cell_text(c, process_command(m, &m->processes[p - m->processes])); break;
    }
}

static void cell_of_mapping(const struct use *u, unsigned column, struct cell *c)
{
    if (u->fd >= 0)
        return;
    switch (column) {
    case ADDRESS: cell_address(c, u->start); break;
    case END: cell_address(c, u->end); break;
    case SIZE: cell_bytes(c, u->end - u->start); break;
    case OFFSET: cell_number(c, u->offset); break;
    case RES: cell_bytes(c, u->resident); break;
    case HUGE_BYTES: cell_bytes(c, u->huge); break;
    }
}

static void cell_of_object(const struct object *o, unsigned column, struct cell *c)
{
    switch (column) {
    case KIND: cell_text(c, kind_name(o->kind)); break;
    case NAME: cell_text(c, o->name); break;
    case ID: cell_text(c, object_id(o, c->room)); break;
    }
}

static void cell_of_use(const void *row, unsigned column, void *context, struct cell *c)
{
    struct machine *m = context;
    const struct use *u = row;
    if (column == RIGHTS)
        cell_rights(c, u);
    if (column == FD && u->fd >= 0)
        cell_number(c, (uint64_t)u->fd);
    cell_of_mapping(u, column, c);
    cell_of_object(&m->objects[u->object], column, c);
    cell_of_process(&m->processes[u->process], column, m, c);
}

/* ---- participants ---- */

enum {
    P_ID,
    P_PID,
    P_TID,
    P_NSPID,
    P_NSTID,
    P_STATE,
    P_STARTED,
    P_SINCE,
    P_SECTION,
    P_LOCKS,
    P_HOLDS,
    P_WAITS,
    P_WHAT,
    P_HOLDER,
    P_TIMED,
    P_CIRCLE,
    P_CLAIMLESS,
    P_COMMAND,
    P_NAME,
    P_COLUMNS
};
static const struct column participant_columns[P_COLUMNS] = {
    [P_ID] = {"PARTICIPANT", T | J | R, 0, "its number in the segment"},
    [P_PID] = {"PID", T | J | R, 0, "its process; of a dead one, as its PID namespace had it"},
    [P_TID] = {"TID", T | J | R, 0, "its thread, likewise"},
    [P_NSPID] = {"NSPID", J | R, 0, "its process, as its PID namespace has it"},
    [P_NSTID] = {"NSTID", J | R, 0, "its thread, as its PID namespace has it"},
    [P_STATE] = {"STATE", T | J, 0, "live; stopped; dead, and not recovered yet; unknown from here"},
    [P_STARTED] = {"STARTED", J, 0, "when its thread was started"},
    [P_SINCE] = {"SINCE", T | J, 0, "when it began to take part"},
    [P_SECTION] = {"SECTION", T | J, 0, "is a section open?"},
    [P_LOCKS] = {"LOCKS", T | J | R, 0, "how many locks it holds"},
    [P_HOLDS] = {"HOLDS", T | J, 0, "which: tarn locks tells more"},
    [P_WAITS] = {"WAITS-FOR", T | J | R, 0, "ref of what it waits for"},
    [P_WHAT] = {"WHAT", J, 0, "what that is"},
    [P_HOLDER] = {"HOLDER", T | J | R, 0, "the participant it waits for"},
    [P_TIMED] = {"TIMED", J, 0, "does it give up by itself?"},
    [P_CIRCLE] = {"CIRCLE", J | R, 0, "number of the circle of waiting participants that it is in"},
    [P_CLAIMLESS] = {"CLAIMLESS", J, 0, "is it judged by PID namespace, thread and start time alone?"},
    [P_COMMAND] = {"COMMAND", T | J, 0, "its thread's process, by name"},
    [P_NAME] = {"NAME", J, 0, "of the segment"},
};

static void cell_truth(struct cell *c, bool truth)
{
    c->kind = CELL_TRUTH;
    c->number = truth;
}

static void cell_of_waits(const struct member *p, unsigned column, struct cell *c)
{
    const struct tarn_waiting *w = &p->waits;
    if (column == P_WAITS)
        cell_reference(c, w->id ? w->ref : p->told.waits);
    if (!w->id)
        return;
    switch (column) {
    case P_WHAT: cell_text(c, w->what); break;
    case P_HOLDER: cell_reference(c, w->holder); break;
    case P_TIMED: cell_truth(c, w->timed); break;
    case P_CIRCLE:
        if (w->circle)
            cell_number(c, w->circle);
        break;
    }
}

static void cell_of_thread(const struct member *p, unsigned column, struct machine *m, struct cell *c)
{
    switch (column) {
    case P_PID: cell_number(c, p->pid ? p->pid : p->told.pid); break;
    case P_TID: cell_number(c, p->tid ? p->tid : p->told.tid); break;
    case P_NSPID: cell_number(c, p->told.pid); break;
    case P_NSTID: cell_number(c, p->told.tid); break;
    case P_STATE: cell_text(c, member_state(p)); break;
    case P_STARTED: cell_time(c, p->since); break;
    case P_COMMAND: cell_text(c, p->pid ? pid_command(m, p->pid) : NULL); break;
    }
}

static void cell_of_participant(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct member *p = row;
    switch (column) {
    case P_ID: cell_reference(c, p->told.id); break;
    case P_SECTION: cell_truth(c, p->told.section_open); break;
    case P_SINCE: cell_time(c, (int64_t)(p->told.since / 1000000000)); break;
    case P_LOCKS: cell_number(c, p->told.locks_held); break;
    case P_HOLDS: cell_text(c, p->holds); break;
    case P_CLAIMLESS: cell_truth(c, p->told.claimless); break;
    case P_NAME: cell_text(c, p->object->name); break;
    }
    cell_of_waits(p, column, c);
    cell_of_thread(p, column, context, c);
}

/* ---- which uses ---- */

struct choice {
    struct machine *m;
    const void **uses; /* of struct use */
    size_t uses_count;
    const struct object **objects;
    size_t objects_count;
};

static bool add_uses(struct choice *ch, const struct object *o, uint32_t pid)
{
    const void **uses = realloc(ch->uses, (ch->uses_count + o->uses + 1) * sizeof *uses);
    if (!uses)
        return false;
    ch->uses = uses;
    for (size_t k = 0; k < o->uses; k++) {
        const struct use *u = &ch->m->uses[o->first_use + k];
        if (!pid || ch->m->processes[u->process].pid == pid)
            ch->uses[ch->uses_count++] = u;
    }
    return true;
}

static bool add_object(struct choice *ch, const struct object *o)
{
    for (size_t k = 0; k < ch->objects_count; k++)
        if (ch->objects[k] == o)
            return true;
    const struct object **objects = realloc(ch->objects, (ch->objects_count + 1) * sizeof *objects);
    if (!objects)
        return false;
    ch->objects = objects;
    ch->objects[ch->objects_count++] = o;
    return add_uses(ch, o, 0);
}

/* All that one process has: its uses, in the order of objects; no participants. */
static int choose_process(const struct command *c, struct choice *ch, uint32_t pid)
{
    char state;
    int64_t since;
    const struct process *p = machine_process(ch->m, pid);
    if (!process_state(pid, 0, &state, &since)) {
        complain(c->name, "there is no process %u", pid);
        return WRONG;
    }
    if (p && p->unread) {
        complain(c->name, "process %u may not be looked at", pid);
        return REFUSED;
    }
    for (size_t k = 0; k < ch->m->objects_count; k++)
        if (!ch->m->objects[k].device_file && !add_uses(ch, &ch->m->objects[k], pid)) {
            complain(c->name, "no memory for a list");
            return REFUSED;
        }
    return DONE;
}

static int choose_object(const struct command *c, struct choice *ch, const char *text)
{
    uint32_t *index;
    size_t count;
    bool exists, good = machine_find(ch->m, text, &index, &count, &exists);
    for (size_t k = 0; good && k < count; k++)
        good = add_object(ch, &ch->m->objects[index[k]]);
    if (!good) {
        complain(c->name, "no memory for a list");
        return REFUSED;
    }
    free(index);
    if (exists)
        return DONE;
    complain(c->name, "%s: there is none; tarn ls tells names", text);
    return WRONG;
}

/* ---- the command ---- */

struct request {
    uint32_t pid; /* or URLs */
    bool participants;
    char **urls;
    int count;
};

/* Of System V that nobody maps no bytes could be read: whoever named it lets us attach it. */
static bool is_segment(const struct object *o)
{
    return o->maker == MADE_TARN ||
           (o->kind == OBJECT_SYSV && !o->uses && o->key && look_by_attaching(o) == MADE_TARN);
}

static bool move_members(struct members *from, struct members *to)
{
    struct member *list = realloc(to->list, (to->count + from->count + 1) * sizeof *list);
    if (!list)
        return false;
    to->list = list;
    for (size_t k = 0; k < from->count; k++) {
        to->list[to->count] = from->list[k];
        to->list[to->count++].holds = holds_text(from, from->list[k].told.id);
    }
    return true;
}

static int gather_members(const struct command *c, struct choice *ch, struct members *ret)
{
    int status = DONE;
    for (size_t k = 0; k < ch->objects_count; k++) {
        struct members of = {0};
        int worse = DONE;
        if (is_segment(ch->objects[k])) {
            members_of(c, ch->m, ch->objects[k], &of, &worse);
            if (!move_members(&of, ret))
                worse = REFUSED;
        }
        members_free(&of);
        status = worse > status ? worse : status;
    }
    return status;
}

static bool print_members(const struct listing *l, const struct members *members)
{
    const void **rows = malloc((members->count + 1) * sizeof *rows);
    if (!rows)
        return false;
    for (size_t k = 0; k < members->count; k++)
        rows[k] = &members->list[k];
    listing_print(l, "participants", rows, members->count);
    free(rows);
    return true;
}

static int print(const struct request *r, struct listing *uses, struct listing *parts, struct choice *ch)
{
    struct members members = {0};
    int status = r->pid ? DONE : gather_members(uses->command, ch, &members);
    listing_begin(uses);
    if (!r->participants)
        listing_print(uses, "uses", ch->uses, ch->uses_count);
    if (r->participants || uses->json || (members.count && !uses->raw)) {
        if (!r->participants)
            listing_gap(uses);
        if (!print_members(parts, &members))
            status = REFUSED;
    }
    listing_end(uses);
    members_free(&members);
    return status;
}

static int choose(const struct command *c, const struct request *r, struct choice *ch)
{
    int status = DONE;
    if (r->pid)
        return choose_process(c, ch, r->pid);
    for (int k = 0; k < r->count; k++) {
        int one = choose_object(c, ch, r->urls[k]);
        status = one > status ? one : status;
    }
    return status;
}

/* Files may be mapped by many who do not share them: looked at only if one may be meant. */
static unsigned what_to_look_at(const struct request *r)
{
    static const char *const memory[] = {"posix:", "sysv:", "shmid:", "memfd:", "anon:"};
    unsigned what = LOOK_ALL;
    for (int k = 0; k < r->count; k++) {
        bool file = true;
        for (size_t n = 0; n < sizeof memory / sizeof *memory; n++)
            file &= strncmp(r->urls[k], memory[n], strlen(memory[n])) != 0;
        what |= file ? LOOK_PRIVATE : 0;
    }
    return what;
}

static int answer(const struct command *c, const struct request *r, struct listing *uses, struct listing *parts)
{
    struct choice ch = {.m = look_at_machine(c, what_to_look_at(r) | uses->needs)};
    if (!ch.m)
        return REFUSED;
    uses->context = parts->context = ch.m;
    int status = choose(c, r, &ch);
    if (r->pid || ch.objects_count > 1)
        listing_also(uses, NAME);
    if (ch.objects_count > 1)
        listing_also(parts, P_NAME);
    if (status == DONE || ch.objects_count) {
        int printed = print(r, uses, parts, &ch);
        status = printed > status ? printed : status;
        complain_of_unread(c, ch.m);
    }
    free(ch.uses);
    free(ch.objects);
    machine_free(ch.m);
    return status;
}

enum { OPTION_PARTICIPANTS = 0x3000, OPTION_PID };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"participants", no_argument, NULL, OPTION_PARTICIPANTS},
                                      {"pid", required_argument, NULL, OPTION_PID},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static bool is_pid(const struct command *c, const char *text, uint32_t *ret, int *ret_status)
{
    uint64_t pid;
    if (!parse_number(text, 10, INT32_MAX, &pid) || !pid) {
        *ret_status = misused(c, "--pid %s: it is the number of a process", text);
        return false;
    }
    *ret = (uint32_t)pid;
    return true;
}

static bool arguments(const struct command *c, int argc, char **argv, struct request *r, struct listing *l,
                      int *ret_status)
{
    int option;
    while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, ret_status)) >= 0) {
        if (option == ENDED || (option == OPTION_PID && !is_pid(c, optarg, &r->pid, ret_status)))
            return false;
        if (option == OPTION_PARTICIPANTS)
            r->participants = true;
        else if (option != OPTION_PID)
            listing_option(l, option, ret_status);
    }
    r->urls = argv + optind;
    r->count = argc - optind;
    const char *wrong = r->pid && r->count     ? "--pid, or URLs: one of them"
                        : !r->pid && !r->count ? "no URL: say which object, by a name of tarn ls, or --pid P"
                        : r->pid && r->participants ? "--participants: of which segment?"
                                                    : NULL;
    if (wrong)
        *ret_status = misused(c, "%s", wrong);
    return !wrong;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct listing uses = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell_of_use};
    struct request r = {0};
    int status = DONE;
    if (!arguments(c, argc, argv, &r, &uses, &status))
        return status;
    struct listing parts = uses, *not_named = r.participants ? &uses : &parts;
    parts.columns = participant_columns;
    parts.count = P_COLUMNS;
    parts.cell = cell_of_participant;
    not_named->output = not_named->sort = NULL;
    if (!listing_ready(&uses, &status) || !listing_ready(&parts, &status))
        return status;
    return answer(c, &r, &uses, &parts);
}

const struct command cmd_who = {
    .name = "who",
    .arguments = "[--participants] " LISTING_ARGUMENTS " URL... | --pid P",
    .summary = "tell who maps shared memory, or has it open, where and with which rights",
    .help = "      --pid P          what this process has\n"
            "      --participants   of a segment: only who takes part; -o and --sort are for that "
            "list\n" LISTING_HELP "A URL is posix:/NAME, sysv:KEY, file:PATH, or any other name, or id, that "
            "tarn ls prints; a path, also "
            "/proc/PID/fd/N; fd:N.\n"
            "Of segments of tarn also the participants are listed: PARTICIPANT PID TID NSPID NSTID STATE "
            "STARTED SINCE SECTION\n"
            "LOCKS HOLDS WAITS-FOR WHAT HOLDER TIMED CIRCLE CLAIMLESS COMMAND NAME.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

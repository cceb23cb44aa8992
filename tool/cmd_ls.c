/* cmd_ls.c - tarn ls: all shared memory of this machine, whoever made it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "listing.h"
#include "machine.h"

enum column_number {
    KIND,
    ID,
    KEY,
    SIZE,
    RES,
    SWAP,
    HUGE_BYTES,
    MODE,
    OWNER,
    UID,
    GID,
    PROCS,
    NATTCH,
    AGE,
    CREATED,
    IDLE,
    USED,
    MADE_BY,
    TOLD_BY,
    CPID,
    LPID,
    CREATOR,
    COMMAND,
    STATE,
    WHERE,
    PATH,
    NAME,
    COLUMNS
};

#define PROCESSES (LOOK_MAPS | LOOK_DESCRIPTORS)
#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT
static const struct column columns[COLUMNS] = {
    [KIND] = {"KIND", J, 0, "sysv, posix, memfd, file, huge (of hugetlbfs), anon (for children by fork)"},
    [ID] = {"ID", J, 0, "who it is: System V's id, or device and inode as in /proc/PID/maps"},
    [KEY] = {"KEY", J, 0, "of System V; none: private"},
    [SIZE] = {"SIZE", T | J | R, 0, "bytes"},
    [RES] = {"RES", T | J | R, 0, "bytes in memory"},
    [SWAP] = {"SWAP", J | R, 0, "bytes swapped out"},
    [HUGE_BYTES] = {"HUGE", R, PROCESSES | LOOK_SMAPS, "bytes in huge pages; dear: page tables are walked"},
    [MODE] = {"MODE", T | J, 0, "permission bits"},
    [OWNER] = {"OWNER", T | J, 0, "its owner's name"},
    [UID] = {"UID", J | R, 0, "its owner's number"},
    [GID] = {"GID", J | R, 0, "its group's number"},
    [PROCS] = {"PROCS", T | J | R, PROCESSES, "processes that map it or have it open, of those that could be read"},
    [NATTCH] = {"NATTCH", J | R, 0, "of System V: attaches, by the kernel's count"},
    [AGE] = {"AGE", T | R, 0, "since it was made"},
    [CREATED] = {"CREATED", J, 0, "when it was made; of System V: or set anew"},
    [IDLE] = {"IDLE", R, 0, "since it was last attached, detached, opened or written"},
    [USED] = {"USED", J, 0, "the time of that"},
    [MADE_BY] = {"MADE-BY", T | J, PROCESSES | LOOK_INSIDE, "what program or library made it"},
    [TOLD_BY] = {"TOLD-BY", J,
                 PROCESSES | LOOK_INSIDE, "what tells that: its name, its bytes, a process that has it (user), or size, mode and owner (shape)"},
    [CPID] = {"CPID", J | R, 0, "of System V: the process that made it"},
    [LPID] = {"LPID", J | R, 0, "of System V: the process that attached or detached it last"},
    [CREATOR] = {"CREATOR", J, 0, "of System V: live, or dead (also if another process has its number)"},
    [COMMAND] = {"COMMAND", J, 0, "of System V: name of the process that made it, if it lives"},
    [STATE] = {"STATE", T | J, 0, "deleted: its name is gone, or it goes with its last user; locked: in memory"},
    [WHERE] = {"WHERE", J | R, 0, "a process in the IPC or mount namespace it belongs to, if that is not ours"},
    [PATH] = {"PATH", J, 0, "the file, as it is reached from here"},
    [NAME] = {"NAME", T | J, 0, "its URL, or a name that tarn who takes"},
};

/* ---- cells ---- */

static void cell_since(struct cell *c, const struct machine *m, int64_t time)
{
    if (time <= 0)
        return;
    c->kind = CELL_PERIOD;
    c->number = m->now > time ? (uint64_t)(m->now - time) : 0;
}

static void cell_pid(struct cell *c, uint32_t pid)
{
    if (pid && pid != UNKNOWN32)
        cell_number(c, pid);
}

static void cell_creator(struct cell *c, struct machine *m, const struct object *o, bool command)
{
    static const char *const word[] = {NULL, "live", "dead"};
    enum life life = creator_life(m, o);
    cell_text(c, !command ? word[life] : life == LIFE_LIVE ? pid_command(m, o->creator) : NULL);
}

static void cell_state(struct cell *c, const struct object *o)
{
    if (o->deleted || o->locked)
        cell_text(c, !o->locked ? "deleted" : o->deleted ? "deleted,locked" : "locked");
}

static void cell_of_sysv(const struct object *o, unsigned column, struct machine *m, struct cell *c)
{
    if (o->kind != OBJECT_SYSV)
        return;
    switch (column) {
    case KEY:
        if (o->key)
            cell_format(c, "%#x", o->key);
        break;
    case NATTCH:
        if (o->attaches != UNKNOWN)
            cell_number(c, o->attaches);
        break;
    case CPID: cell_pid(c, o->creator); break;
    case LPID: cell_pid(c, o->last); break;
    case CREATOR:
    case COMMAND: cell_creator(c, m, o, column == COMMAND); break;
    }
}

/* What is not told of an object that nobody may look at */
static void cell_of_known(const struct object *o, unsigned column, struct machine *m, struct cell *c)
{
    if (!o->known)
        return;
    switch (column) {
    case MODE: cell_format(c, "%04o", o->mode); break;
    case OWNER: cell_text(c, machine_user(m, o->uid)); break;
    case UID: cell_number(c, o->uid); break;
    case GID: cell_number(c, o->gid); break;
    }
}

static void cell_of_memory(const struct object *o, unsigned column, struct cell *c)
{
    static const char *const told[] = {NULL, "name", "bytes", "user", "shape"};
    switch (column) {
    case SIZE: cell_bytes(c, o->size); break;
    case RES: cell_bytes(c, o->resident); break;
    case SWAP: cell_bytes(c, o->swapped); break;
    case HUGE_BYTES: cell_bytes(c, o->huge); break;
    case PROCS: cell_number(c, o->processes); break;
    case MADE_BY: cell_text(c, maker_name(o->maker)); break;
    case TOLD_BY: cell_text(c, told[o->evidence]); break;
    case STATE: cell_state(c, o); break;
    }
}

static void cell(const void *row, unsigned column, void *context, struct cell *c)
{
    struct machine *m = context;
    const struct object *o = row;
    switch (column) {
    case KIND: cell_text(c, kind_name(o->kind)); return;
    case NAME: cell_text(c, o->name); return;
    case PATH: cell_text(c, o->path); return;
    case ID: cell_text(c, object_id(o, c->room)); return;
    case WHERE: cell_pid(c, o->elsewhere); return;
    case AGE: cell_since(c, m, o->created); return;
    case CREATED: cell_time(c, o->created); return;
    case IDLE: cell_since(c, m, o->used); return;
    case USED: cell_time(c, o->used); return;
    default: break;
    }
    cell_of_memory(o, column, c);
    cell_of_known(o, column, m, c);
    cell_of_sysv(o, column, m, c);
}

/* ---- which objects ---- */

struct choice {
    bool all;
    unsigned kinds; /* bits; 0: all */
};

static bool choose_kinds(const struct command *c, const char *text, unsigned *kinds, int *ret_status)
{
    for (size_t n; text; text = text[n] ? text + n + 1 : NULL) {
        unsigned kind = 0;
        n = strcspn(text, ",");
        while (kind < OBJECT_KINDS && (strncmp(kind_name(kind), text, n) != 0 || kind_name(kind)[n]))
            kind++;
        if (kind == OBJECT_KINDS) {
            *ret_status = misused(c, "\"%.*s\" is no kind: sysv, posix, memfd, file, huge, anon", (int)n, text);
            return false;
        }
        *kinds |= 1u << kind;
    }
    return true;
}

static unsigned kinds_need(unsigned kinds)
{
    unsigned look = LOOK_ELSEWHERE;
    if (!kinds || kinds & 1u << OBJECT_SYSV)
        look |= LOOK_SYSV;
    if (!kinds || kinds & ~(1u << OBJECT_SYSV))
        look |= LOOK_FILES | PROCESSES; /* what is deleted is known by who has it only */
    return look;
}

/* Files that are only read by all who share them are libraries' tables and the like. */
static bool chosen(const struct object *o, const struct choice *choice)
{
    return !o->device_file && (!choice->kinds || choice->kinds & 1u << o->kind) &&
           (o->writable || (choice->all && o->shared));
}

static int by_name(const void *a, const void *b)
{
    const struct object *x = *(const struct object *const *)a, *y = *(const struct object *const *)b;
    int order = x->kind != y->kind       ? (int)x->kind - (int)y->kind
                : x->kind == OBJECT_SYSV ? 0
                                         : strcmp(x->name, y->name);
    return order ? order : x < y ? -1 : 1;
}

static void print(struct listing *l, const struct machine *m, const struct choice *choice)
{
    const void **rows = malloc((m->objects_count + 1) * sizeof *rows);
    size_t count = 0;
    if (!rows) {
        complain(l->command->name, "no memory for a list");
        return;
    }
    for (size_t k = 0; k < m->objects_count; k++)
        if (chosen(&m->objects[k], choice))
            rows[count++] = &m->objects[k];
    qsort(rows, count, sizeof *rows, by_name);
    listing_begin(l);
    listing_print(l, "objects", rows, count);
    listing_end(l);
    free(rows);
}

enum { OPTION_KIND = 0x3000 };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"all", no_argument, NULL, 'a'},
                                      {"kind", required_argument, NULL, OPTION_KIND},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell};
    struct choice choice = {0};
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":ha" LISTING_LETTERS, names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        if (option == 'a')
            choice.all = true;
        else if (option == OPTION_KIND && !choose_kinds(c, optarg, &choice.kinds, &status))
            return status;
        else
            listing_option(&l, option, &status);
    }
    if (argc > optind)
        return misused(c, "\"%s\": it takes no URL; tarn who tells of one", argv[optind]);
    if (!listing_ready(&l, &status))
        return status;
    struct machine *m = look_at_machine(c, kinds_need(choice.kinds) | l.needs);
    if (!m)
        return REFUSED;
    l.context = m;
    print(&l, m, &choice);
    complain_of_unread(c, m);
    machine_free(m);
    return DONE;
}

const struct command cmd_ls = {
    .name = "ls",
    .arguments = "[-a] [--kind KIND,...] " LISTING_ARGUMENTS,
    .summary = "list all shared memory of this machine, whoever made it",
    .help = "  -a, --all            also files that are mapped shared to be read only\n"
            "      --kind KIND,...  only these: sysv, posix, memfd, file, huge, anon\n" LISTING_HELP,
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

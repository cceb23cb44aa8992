/* cmd_translate.c - tarn translate: from a ref of a segment to a frame of memory, in each process that maps it; and what an access would do there.
 *
 * The library translates (tarn_translate_process). What it cannot know of another process, and is the page's rather than the process's, this process's own
 * read-only mapping tells: whether the page is in memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listing.h"
#include "machine.h"

#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT

enum {
    PID,
    COMMAND,
    REF,
    ADDRESS,
    OFFSET,
    START,
    END,
    RIGHTS,
    PAGE_BYTES,
    PAGE,
    FRAME,
    NODE,
    MAPPED,
    RESIDENT,
    EXCLUSIVE,
    SHARED,
    COMMITTED,
    SWAPPED,
    HUGE_PAGE,
    DIRTY,
    SOFT_DIRTY,
    ON_READ,
    ON_WRITE,
    UNTOLD,
    PATH,
    COLUMNS
};
static const struct column columns[COLUMNS] = {
    [PID] = {"PID", T | J | R, 0, "the process, as it is seen from here"},
    [COMMAND] = {"COMMAND", T | J, 0, "its name"},
    [REF] = {"REF", J | R, 0, "offset in the segment: the same for all"},
    [ADDRESS] = {"ADDRESS", T | J | R, 0, "virtual address, in this process"},
    [OFFSET] = {"OFFSET", J | R, 0, "in the object that is mapped"},
    [START] = {"START", J | R, 0, "of the mapping's first byte"},
    [END] = {"END", J | R, 0, "of the first byte behind it"},
    [RIGHTS] = {"RIGHTS", T | J, 0, "of the mapping: read, write, execute, shared or private"},
    [PAGE_BYTES] = {"PAGE-SIZE", T | J | R, 0, "of the mapping's pages"},
    [PAGE] = {"PAGE", T | J | R, 0, "virtual page number: address divided by page size"},
    [FRAME] = {"FRAME", T | J | R, 0, "physical frame number, of the smallest pages; told to CAP_SYS_ADMIN alone"},
    [NODE] = {"NODE", T | J | R, 0, "NUMA node that the frame is of"},
    [MAPPED] = {"MAPPED", T | J, 0, "does the page table lead to a frame?"},
    [RESIDENT] = {"RESIDENT", T | J, 0, "is it in memory, whoever has it mapped?"},
    [EXCLUSIVE] = {"EXCLUSIVE", J, 0, "has no other page table the frame?"},
    [SHARED] = {"SHARED", J, 0, "do others see what is written?"},
    [COMMITTED] = {"COMMITTED", J, 0, "is it within what the segment has?"},
    [SWAPPED] = {"SWAPPED", J, 0, "is it in the swap?"},
    [HUGE_PAGE] = {"HUGE", J, 0, "is it mapped by an entry greater than the smallest page's?"},
    [DIRTY] = {"DIRTY", J, 0, "has the frame what the disk, or the swap, has not? Told to CAP_SYS_ADMIN alone"},
    [SOFT_DIRTY] = {"SOFT-DIRTY", J, 0, "was it written by this process since clear_refs was told?"},
    [ON_READ] = {"READ", T | J,
                 0, "what a read would do now: nothing, minor or major fault, SIGBUS, SIGSEGV; with ?: at worst"},
    [ON_WRITE] = {"WRITE", T | J, 0, "what a write would do"},
    [UNTOLD] = {"UNTOLD", J, 0, "which of the columns the kernel did not tell"},
    [PATH] = {"PATH", J, 0, "what is mapped, as /proc/PID/maps calls it"},
};

struct row {
    uint32_t pid;
    struct tarn_translation t;
};
struct rows {
    struct machine *m;
    struct row *list;
    size_t count;
};

/* ---- cells ---- */

static void cell_hex(struct cell *c, uint64_t number)
{
    cell_number(c, number);
    snprintf(c->room, sizeof c->room, "%" PRIx64, number);
    c->text = c->room;
}

static void cell_told(struct cell *c, const struct tarn_translation *t, uint32_t known, uint64_t truth)
{
    if (!(t->known & known))
        return;
    c->kind = CELL_TRUTH;
    c->number = truth;
}

static void cell_access(struct cell *c, uint32_t what, bool known)
{
    static const char *const names[] = {"nothing", "minor", "major", "SIGBUS", "SIGSEGV"};
    if (what < sizeof names / sizeof *names)
        cell_format(c, "%s%s", names[what], known ? "" : "?");
}

static void cell_untold(struct cell *c, uint32_t known)
{
    static const struct {
        uint32_t bit;
        const char *names;
    } all[] = {{TARN_KNOWN_PAGE, "PAGE-SIZE,PAGE"},
               {TARN_KNOWN_FRAME, "FRAME"},
               {TARN_KNOWN_NODE, "NODE"},
               {TARN_KNOWN_MAPPED, "MAPPED,EXCLUSIVE"},
               {TARN_KNOWN_RESIDENT, "RESIDENT"},
               {TARN_KNOWN_SWAPPED, "SWAPPED"},
               {TARN_KNOWN_HUGE, "HUGE"},
               {TARN_KNOWN_DIRTY, "DIRTY"},
               {TARN_KNOWN_SOFT_DIRTY, "SOFT-DIRTY"}};
    static char text[160]; /* a cell's text is copied before the next is made */
    size_t n = 0;
    *text = 0;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (!(known & all[k].bit))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? "," : "", all[k].names);
    cell_text(c, n ? text : NULL);
}

static void cell_of_place(const struct tarn_translation *t, unsigned column, struct cell *c)
{
    switch (column) {
    case REF: cell_number(c, t->ref); break;
    case ADDRESS: cell_hex(c, t->address); break;
    case OFFSET: cell_number(c, t->offset); break;
    case START: cell_hex(c, t->start); break;
    case END: cell_hex(c, t->end); break;
    case RIGHTS:
        cell_format(c, "%c%c%c%c", t->rights & TARN_PROT_READ ? 'r' : '-', t->rights & TARN_PROT_WRITE ? 'w' : '-',
                    t->rights & TARN_PROT_EXEC ? 'x' : '-', t->shared ? 's' : 'p');
        break;
    case SHARED: cell_told(c, t, TARN_KNOWN_MAPPING, t->shared); break;
    case COMMITTED: cell_told(c, t, TARN_KNOWN_MAPPING, t->committed); break;
    case PATH: cell_text(c, *t->path ? t->path : NULL); break;
    }
}

static void cell_of_page(const struct tarn_translation *t, unsigned column, struct cell *c)
{
    switch (column) {
    case PAGE_BYTES:
        if (t->known & TARN_KNOWN_PAGE)
            cell_bytes(c, t->page_size);
        break;
    case PAGE:
        if (t->known & TARN_KNOWN_PAGE)
            cell_hex(c, t->page);
        break;
    case FRAME:
        if (t->known & TARN_KNOWN_FRAME)
            cell_hex(c, t->frame);
        break;
    case NODE:
        if (t->known & TARN_KNOWN_NODE)
            cell_number(c, (uint64_t)t->node);
        break;
    case MAPPED: cell_told(c, t, TARN_KNOWN_MAPPED, t->mapped); break;
    case EXCLUSIVE: cell_told(c, t, TARN_KNOWN_MAPPED, t->exclusive); break;
    case RESIDENT: cell_told(c, t, TARN_KNOWN_RESIDENT, t->resident); break;
    case SWAPPED: cell_told(c, t, TARN_KNOWN_SWAPPED, t->swapped); break;
    case HUGE_PAGE: cell_told(c, t, TARN_KNOWN_HUGE, t->huge); break;
    case DIRTY: cell_told(c, t, TARN_KNOWN_DIRTY, t->dirty); break;
    case SOFT_DIRTY: cell_told(c, t, TARN_KNOWN_SOFT_DIRTY, t->soft_dirty); break;
    }
}

static void cell_of(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct row *r = row;
    const struct rows *all = context;
    switch (column) {
    case PID: cell_number(c, r->pid); break;
    case COMMAND: cell_text(c, pid_command(all->m, r->pid)); break;
    case ON_READ: cell_access(c, r->t.on_read, r->t.known & TARN_KNOWN_READ); break;
    case ON_WRITE: cell_access(c, r->t.on_write, r->t.known & TARN_KNOWN_WRITE); break;
    case UNTOLD: cell_untold(c, r->t.known); break;
    }
    cell_of_place(&r->t, column, c);
    cell_of_page(&r->t, column, c);
}

/* ---- one process ---- */

/* Where the row is silent and this process's own look is not. Own: of a mapping to read only. */
static void add_own(struct tarn_translation *t, const struct tarn_translation *own)
{
    const uint32_t both = TARN_KNOWN_READ | TARN_KNOWN_WRITE;
    t->ref = own->ref;
    t->committed = own->committed;
    if (!(t->known & TARN_KNOWN_RESIDENT) && own->known & TARN_KNOWN_RESIDENT) {
        t->resident = own->resident;
        t->known |= TARN_KNOWN_RESIDENT;
    }
    if (!(t->known & TARN_KNOWN_MAPPED) || t->mapped || (t->known & both) == both || !t->shared ||
        t->rights & TARN_PROT_NONE)
        return;
    /* Not in its page table: what it finds is what we would find, were it not in ours */
    t->on_read = own->on_read == TARN_ACCESS_NOTHING ? TARN_ACCESS_MINOR : own->on_read;
    t->known = (t->known & ~both) | (own->known & TARN_KNOWN_READ);
    if (t->rights & TARN_PROT_WRITE) {
        t->on_write = t->on_read;
        t->known |= t->known & TARN_KNOWN_READ ? TARN_KNOWN_WRITE : 0;
    } else
        t->known |= TARN_KNOWN_WRITE; /* SIGSEGV */
}

static int add_use(const struct command *c, struct rows *rows, const struct use *u,
                   const struct tarn_translation *own)
{
    struct tarn_translation t;
    uint32_t pid = rows->m->processes[u->process].pid;
    int e = tarn_translate_process(pid, u->start + (own->offset - u->offset), &t);
    if (e == -EFAULT || e == -ESRCH || (e == 0 && t.offset != own->offset))
        return DONE; /* gone meanwhile */
    if (e < 0)
        return failed(c, e);
    struct row *r = one_more(&rows->list, &rows->count, sizeof *r);
    if (!r) {
        complain(c->name, "no memory for a list");
        return REFUSED;
    }
    add_own(&t, own);
    *r = (struct row){.pid = pid, .t = t};
    return DONE;
}

static bool covers(const struct use *u, uint64_t offset)
{
    return u->fd < 0 && offset >= u->offset && offset - u->offset < u->end - u->start;
}

static int gather(const struct command *c, struct rows *rows, const char *url, uint32_t pid,
                  const struct tarn_translation *own)
{
    uint32_t *index;
    size_t count;
    bool exists;
    int status = DONE;
    if (!machine_find(rows->m, url, &index, &count, &exists)) {
        complain(c->name, "no memory for a list");
        return REFUSED;
    }
    for (size_t k = 0; k < count; k++) {
        const struct object *o = &rows->m->objects[index[k]];
        for (size_t n = 0; n < o->uses; n++) {
            const struct use *u = &rows->m->uses[o->first_use + n];
            uint32_t who = rows->m->processes[u->process].pid;
            if (!covers(u, own->offset) || (pid ? who != pid : who == (uint32_t)getpid()))
                continue;
            int one = add_use(c, rows, u, own);
            status = one > status ? one : status;
        }
    }
    free(index);
    return status;
}

/* ---- the command ---- */

struct request {
    const char *url, *what;
    uint32_t pid; /* 0: all */
};

/* A ref by its number, in any base of C; or a name. */
static int find_ref(const struct command *c, tarn *seg, const char *what, tarn_ref *ret)
{
    if (parse_number(what, 0, UINT64_MAX, ret))
        return DONE;
    int e = tarn_find(seg, what, NULL, ret);
    if (e == -ENOENT || e == -EINVAL) {
        complain(c->name,
                 "%s: no ref (a number of bytes), and no name in this segment; tarn info tells names", what);
        return WRONG;
    }
    return e < 0 ? failed(c, e) : DONE;
}

static void complain_of_untold(const struct command *c, const struct rows *rows)
{
    size_t untold = 0;
    for (size_t k = 0; k < rows->count; k++)
        untold += rows->list[k].t.mapped && !(rows->list[k].t.known & TARN_KNOWN_FRAME);
    if (untold)
        complain(c->name, "frames, and whether they are dirty, are told to CAP_SYS_ADMIN alone: of %zu they are missing",
                 untold);
}

static bool print(struct listing *l, struct rows *rows)
{
    const void **list = malloc((rows->count + 1) * sizeof *list);
    if (!list)
        return false;
    for (size_t k = 0; k < rows->count; k++)
        list[k] = &rows->list[k];
    l->context = rows;
    listing_begin(l);
    listing_print(l, "translations", list, rows->count);
    listing_end(l);
    free(list);
    return true;
}

static int look(const struct command *c, const struct request *r, tarn *seg, struct rows *rows)
{
    struct tarn_translation own;
    tarn_ref ref;
    int status = find_ref(c, seg, r->what, &ref);
    if (status != DONE)
        return status;
    int e = tarn_translate_ref(seg, ref, &own);
    if (e == -EINVAL)
        e = -ENOENT; /* the URL is right, and has no such ref */
    if (e < 0)
        return failed(c, e);
    if (!(rows->m = look_at_machine(c, LOOK_ALL | LOOK_PRIVATE)))
        return REFUSED;
    status = gather(c, rows, r->url, r->pid, &own);
    if (status != DONE || !r->pid || rows->count)
        return status;
    const struct process *p = machine_process(rows->m, r->pid);
    complain(c->name, p && p->unread ? "process %u may not be looked at" : "process %u does not map that", r->pid);
    return p && p->unread ? REFUSED : WRONG;
}

static int answer(const struct command *c, const struct request *r, struct listing *l)
{
    struct rows rows = {0};
    int status;
    tarn *seg;
    if (!attach(c, r->url, &seg, &status))
        return status;
    status = look(c, r, seg, &rows);
    if (rows.m && (status == DONE || rows.count)) {
        if (!print(l, &rows))
            status = REFUSED;
        if (!r->pid)
            complain_of_unread(c, rows.m);
        complain_of_untold(c, &rows);
    }
    free(rows.list);
    machine_free(rows.m);
    tarn_close(seg);
    return status;
}

enum { OPTION_PID = 0x3000 };
static const struct option names[] = {
    LISTING_OPTIONS, {"pid", required_argument, NULL, OPTION_PID}, {"help", no_argument, NULL, 'h'}, {0}};

static bool arguments(const struct command *c, int argc, char **argv, struct request *r, struct listing *l,
                      int *ret_status)
{
    int option;
    uint64_t pid;
    while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, ret_status)) >= 0) {
        if (option == ENDED)
            return false;
        if (option != OPTION_PID) {
            listing_option(l, option, ret_status);
            continue;
        }
        if (!parse_number(optarg, 10, INT32_MAX, &pid) || !pid) {
            *ret_status = misused(c, "--pid %s: it is the number of a process", optarg);
            return false;
        }
        r->pid = (uint32_t)pid;
    }
    switch (argc - optind) {
    case 0:
        *ret_status = misused(c, "no URL: say of which segment, and then a ref or a name in it");
        return false;
    case 1: *ret_status = misused(c, "%s: and what in it? A ref, or a name", argv[optind]); return false;
    case 2: break;
    default: *ret_status = misused(c, "\"%s\" is one argument too many", argv[optind + 2]); return false;
    }
    r->url = argv[optind];
    r->what = argv[optind + 1];
    return listing_ready(l, ret_status);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell_of};
    struct request r = {0};
    int status = DONE;
    return arguments(c, argc, argv, &r, &l, &status) ? answer(c, &r, &l) : status;
}

const struct command cmd_translate = {
    .name = "translate",
    .arguments = "[--pid P] " LISTING_ARGUMENTS " URL REF|NAME",
    .summary = "tell where a ref is, in each process: address, page, frame, and what an access would do",
    .help = "      --pid P          in this process only\n" LISTING_HELP
            "URL is posix:/NAME, sysv:KEY or file:PATH, or for a segment without a name "
            "/proc/PID/fd/N or fd:N. It is attached read-only. REF\n"
            "is a number of bytes from its beginning, also 0x...; NAME that of an object in it.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

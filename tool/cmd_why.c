/* cmd_why.c - tarn why: the flight recorder's story. Who died when, holding what; what was undone; who recovered it, and how quickly; what failed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "listing.h"
#include "participants.h"

#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT

enum {
    WHEN,
    PARTICIPANT,
    PID,
    TID,
    THREAD,
    EVENT,
    STORY,
    OTHER,
    OTHER_PID,
    REF,
    OBJECT,
    FROM,
    TO,
    US,
    HELD,
    WORDS,
    SECTION,
    ERROR,
    TIMES,
    TEXT,
    NUMBER,
    COLUMNS
};
static const struct column columns[COLUMNS] = {
    [WHEN] = {"WHEN", T | J | R, 0, "date and time, to the microsecond; in JSON and --raw ns since 1970"},
    [PARTICIPANT] = {"PARTICIPANT", T | J | R, 0, "whose event it is"},
    [PID] = {"PID", T | J | R, 0, "its process, as its PID namespace had it, if that is still known"},
    [TID] = {"TID", J | R, 0, "its thread, likewise"},
    [THREAD] = {"THREAD", J, 0, "the thread's name, likewise"},
    [EVENT] = {"EVENT", J, 0, "attach, leave, abandon, grow, held, recover, lock or error"},
    [STORY] = {"STORY", T, 0, "the event as a sentence"},
    [OTHER] = {"OTHER", J | R, 0, "of held, recover: the participant that died"},
    [OTHER_PID] = {"OTHER-PID", J | R, 0, "its process"},
    [REF] = {"REF", J | R, 0, "of held, lock: the lock"},
    [OBJECT] = {"OBJECT", J, 0, "the named object that it is in, and where in it"},
    [FROM] = {"FROM", J | R, 0, "of grow: bytes of data space before"},
    [TO] = {"TO", J | R, 0, "of grow: and after"},
    [US] = {"US", J | R, 0, "of recover: how long it took, in microseconds"},
    [HELD] = {"HELD", J | R, 0, "of recover: how many locks and the like the dead one held"},
    [WORDS] = {"WORDS", J | R, 0, "of recover: words in the log of its section"},
    [SECTION] = {"SECTION", J, 0, "of recover: was its section undone or finished?"},
    [ERROR] = {"ERROR", J, 0, "of error: its name"},
    [TIMES] = {"TIMES", J | R, 0, "of error: how often in a row"},
    [TEXT] = {"TEXT", J, 0, "of error: the beginning of what was said"},
    [NUMBER] = {"NUMBER", J | R, 0, "counts the events of one place"},
};

/* ---- what is gathered ---- */

struct person { /* of an attach event */
    uint32_t id, pid, tid;
    char thread[40];
};
struct story {
    struct tarn_trace *traces;
    size_t traces_count;
    struct person *persons;
    size_t persons_count;
    struct members names;
};

static struct person *person_of(const struct story *s, uint32_t id)
{
    for (size_t k = s->persons_count; k-- > 0;)
        if (s->persons[k].id == id)
            return &s->persons[k];
    return NULL;
}

static int add_person(struct story *s, uint32_t id, uint32_t pid, uint32_t tid, const char *thread)
{
    struct person *p = person_of(s, id);
    if (!p && !(p = one_more(&s->persons, &s->persons_count, sizeof *p)))
        return -ENOMEM;
    *p = (struct person){.id = id, .pid = pid, .tid = tid};
    snprintf(p->thread, sizeof p->thread, "%s", thread);
    return 0;
}

static int add_trace(const struct tarn_trace *t, void *arg)
{
    struct story *s = arg;
    struct tarn_trace *at = one_more(&s->traces, &s->traces_count, sizeof *at);
    if (!at)
        return -ENOMEM;
    *at = *t;
    if (t->kind == TARN_TRACE_ATTACH)
        return add_person(s, t->participant, t->pid, t->tid, t->text);
    return t->other && !person_of(s, t->other) ? add_person(s, t->other, t->pid, 0, "") : 0;
}

/* Who is there now, and came so long ago that the event is written over. */
static int add_participant(const struct tarn_participant *p, void *arg)
{
    struct story *s = arg;
    return person_of(s, p->id) ? 0 : add_person(s, p->id, p->pid, p->tid, "");
}

static void forget(struct story *s)
{
    members_free(&s->names);
    free(s->persons);
    free(s->traces);
}

/* ---- cells ---- */

static const char *event_name(uint32_t kind)
{
    static const char *const name[] = {"none", "attach",  "leave", "abandon", "grow",
                                       "held", "recover", "lock",  "error"};
    return kind < sizeof name / sizeof *name ? name[kind] : "unknown";
}

static void cell_when(struct cell *c, uint64_t ns)
{
    time_t second = (time_t)(ns / 1000000000);
    struct tm tm;
    char date[32];
    cell_number(c, ns);
    if (!localtime_r(&second, &tm) || !strftime(date, sizeof date, "%F %T", &tm))
        return; /* the number will do */
    snprintf(c->room, sizeof c->room, "%s.%06u", date, (unsigned)(ns / 1000 % 1000000));
    c->text = c->room;
}

static const char *error_name(int error, char room[16])
{
    const char *name = strerrorname_np(-error);
    snprintf(room, 16, "%d", error);
    return name ? name : room;
}

static void tell_lock(const struct story *s, tarn_ref ref, char *to, size_t room)
{
    char object[320];
    if (*name_at(&s->names, ref, object))
        snprintf(to, room, "%s (%#" PRIx64 ")", object, ref);
    else
        snprintf(to, room, "%#" PRIx64, ref);
}

static void tell_recovery(const struct tarn_trace *t, char *to, size_t room)
{
    int n = snprintf(to, room, "recovered %#x (pid %u) in %u us", t->other, t->pid, t->microseconds);
    if (t->section_open)
        n += snprintf(to + n, room - (size_t)n, "; its section was undone, %u words of log", t->words);
    if (t->section_committed)
        n += snprintf(to + n, room - (size_t)n, "; its section was finished");
    if (t->held)
        snprintf(to + n, room - (size_t)n, "; it held %u", t->held);
}

static void tell(const struct story *s, const struct tarn_trace *t, char *to, size_t room)
{
    char lock[400], error[16];
    tell_lock(s, t->ref, lock, sizeof lock);
    switch (t->kind) {
    case TARN_TRACE_ATTACH:
        snprintf(to, room, "came: process %u, thread %u, \"%s\"", t->pid, t->tid, t->text);
        break;
    case TARN_TRACE_LEAVE: snprintf(to, room, "left"); break;
    case TARN_TRACE_ABANDON:
        snprintf(to, room, "its thread ended with something held or open: as a death");
        break;
    case TARN_TRACE_GROW:
        snprintf(to, room, "made the data space greater: %" PRIu64 " bytes, before %" PRIu64, t->to, t->from);
        break;
    case TARN_TRACE_HELD:
        snprintf(to, room, "found %#x (pid %u) dead: it %s %s", t->other, t->pid,
                 t->want ? "was taking, or giving up," : "held", lock);
        break;
    case TARN_TRACE_RECOVER: tell_recovery(t, to, room); break;
    case TARN_TRACE_LOCK: snprintf(to, room, "was told TARN_RECOVERED at %s", lock); break;
    case TARN_TRACE_ERROR:
        snprintf(to, room, "%s%s: %s%s", t->times > 1 ? "again and again, last " : "",
                 error_name(t->error, error), t->text, strlen(t->text) == 32 ? "..." : "");
        break;
    default: snprintf(to, room, "an event of kind %u, which this tarn does not know", t->kind);
    }
}

static void cell_of_person(const struct person *p, unsigned column, struct cell *c)
{
    if (!p)
        return;
    switch (column) {
    case PID: cell_number(c, p->pid); break;
    case TID:
        if (p->tid)
            cell_number(c, p->tid);
        break;
    case THREAD: cell_text(c, *p->thread ? p->thread : NULL); break;
    }
}

static void cell_of_death(const struct tarn_trace *t, unsigned column, struct cell *c)
{
    bool recover = t->kind == TARN_TRACE_RECOVER;
    if (!recover && t->kind != TARN_TRACE_HELD)
        return;
    switch (column) {
    case OTHER: cell_reference(c, t->other); break;
    case OTHER_PID: cell_number(c, t->pid); break;
    case US:
        if (recover)
            cell_number(c, t->microseconds);
        break;
    case HELD:
        if (recover)
            cell_number(c, t->held);
        break;
    case WORDS:
        if (recover)
            cell_number(c, t->words);
        break;
    case SECTION: cell_text(c, t->section_open ? "undone" : t->section_committed ? "finished" : NULL); break;
    }
}

static void cell_of_error(const struct tarn_trace *t, unsigned column, struct cell *c)
{
    char room[16];
    if (t->kind != TARN_TRACE_ERROR)
        return;
    switch (column) {
    case ERROR: cell_format(c, "%s", error_name(t->error, room)); break;
    case TIMES: cell_number(c, t->times); break;
    case TEXT: cell_text(c, t->text); break;
    }
}

static void cell_of_growth(const struct tarn_trace *t, unsigned column, struct cell *c)
{
    if (t->kind == TARN_TRACE_GROW && (column == FROM || column == TO))
        cell_bytes(c, column == FROM ? t->from : t->to);
}

/* One row is printed after the other, and a cell's text is copied by then. */
static char sentence[1024];

static void cell_of(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct tarn_trace *t = row;
    const struct story *s = context;
    switch (column) {
    case WHEN: cell_when(c, t->when); break;
    case PARTICIPANT: cell_reference(c, t->participant); break;
    case EVENT: cell_text(c, event_name(t->kind)); break;
    case REF: cell_reference(c, t->ref); break;
    case NUMBER: cell_number(c, t->number); break;
    case STORY:
        tell(s, t, sentence, sizeof sentence);
        cell_text(c, sentence);
        break;
    case OBJECT: cell_text(c, t->ref && *name_at(&s->names, t->ref, sentence) ? sentence : NULL); break;
    }
    cell_of_person(person_of(s, t->participant), column, c);
    cell_of_death(t, column, c);
    cell_of_error(t, column, c);
    cell_of_growth(t, column, c);
}

/* ---- the command ---- */

static int by_time(const void *a, const void *b)
{
    const struct tarn_trace *x = *(const struct tarn_trace *const *)a, *y = *(const struct tarn_trace *const *)b;
    if (x->when != y->when)
        return x->when < y->when ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int gather(const struct command *c, tarn *seg, struct story *s)
{
    int e = tarn_why(seg, add_trace, s);
    if (e == 0)
        e = tarn_participants(seg, add_participant, s);
    if (e == 0)
        e = names_of(seg, &s->names);
    if (e == -EUCLEAN) { /* damaged names: the story is told without the rest of them */
        failed(c, e);
        return WRONG;
    }
    if (e == -ENOMEM)
        complain(c->name, "no memory for a list");
    return e == 0 ? DONE : e == -ENOMEM ? REFUSED : failed(c, e);
}

static bool print(struct listing *l, struct story *s)
{
    const void **rows = malloc((s->traces_count + 1) * sizeof *rows);
    if (!rows)
        return false;
    for (size_t k = 0; k < s->traces_count; k++)
        rows[k] = &s->traces[k];
    qsort(rows, s->traces_count, sizeof *rows, by_time);
    l->context = s;
    listing_begin(l);
    listing_print(l, "events", rows, s->traces_count);
    listing_end(l);
    free(rows);
    return true;
}

static const struct option names[] = {LISTING_OPTIONS, {"help", no_argument, NULL, 'h'}, {0}};

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell_of};
    struct story s = {0};
    int option, status = DONE;
    const char *url;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        listing_option(&l, option, &status);
    }
    if (!(url = only_url(c, argc, argv)))
        return USAGE;
    if (!listing_ready(&l, &status) || !attach(c, url, &seg, &status))
        return status;
    status = gather(c, seg, &s);
    if (status != REFUSED && !print(&l, &s))
        status = REFUSED;
    forget(&s);
    tarn_close(seg);
    return status;
}

const struct command cmd_why = {
    .name = "why",
    .arguments = LISTING_ARGUMENTS " URL",
    .summary = "tell what happened: who came, died holding what, was recovered; what failed",
    .help = LISTING_HELP "URL is posix:/NAME, sysv:KEY or file:PATH, or for a segment without a name "
                         "/proc/PID/fd/N or fd:N. It is attached "
                         "read-only.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

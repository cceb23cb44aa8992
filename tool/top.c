/* top.c - looks, and what changed between two of them, see top.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "participants.h"
#include "top.h"
#include "wait.h"

enum { PATIENCE = 5, MOST_WAITERS = 4096 }; /* PATIENCE: s for a look into segments */

/* ---- into a segment ---- */

static int add_locks(const struct tarn_participant *p, void *arg)
{
    ((struct inside *)arg)->locks += p->locks_held;
    return 0;
}

struct waiters {
    uint8_t seen[(MOST_WAITERS + 7) / 8 * 2];
    uint32_t count;
};

/* Who waits for several is told several times. */
static int add_waiter(const struct tarn_waiting *w, void *arg)
{
    struct waiters *all = arg;
    uint32_t bit = w->id % (sizeof all->seen * 8);
    all->count += !(all->seen[bit / 8] >> bit % 8 & 1);
    all->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
    return 0;
}

static struct inside look_inside(const struct machine *m, const struct object *o)
{
    struct inside i = {0};
    struct tarn_stat s;
    struct waiters waiters = {0};
    tarn *seg = open_quietly(m, o);
    if (!seg)
        return i;
    i.known = tarn_stat(seg, &s) == 0 && tarn_participants(seg, add_locks, &i) == 0 &&
              tarn_who_waits(seg, add_waiter, &waiters) == 0;
    tarn_close(seg);
    if (!i.known)
        return i;
    i.participants = s.participants;
    i.dead = s.dead;
    i.waits = waiters.count;
    i.recovered = s.recovered;
    i.undone = s.undone;
    return i;
}

static void child(const struct top *t, size_t from, int to)
{
    signal(SIGALRM, SIG_DFL);
    alarm(PATIENCE);
    for (size_t k = from; k < t->count; k++)
        if (t->rows[k].object->maker == MADE_TARN) {
            struct inside i = look_inside(t->m, t->rows[k].object);
            if (write(to, &i, sizeof i) != (ssize_t)sizeof i)
                break;
        }
    _exit(0);
}

/* From a row on; the row behind the last one that was told of. */
static size_t ask_child(struct top *t, size_t from)
{
    int ends[2];
    pid_t pid;
    size_t k = from;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return t->count;
    if ((pid = fork()) == 0)
        child(t, from, ends[1]);
    close(ends[1]);
    for (; pid > 0 && k < t->count; k++) {
        ssize_t n = 0;
        if (t->rows[k].object->maker != MADE_TARN)
            continue;
        while ((n = read(ends[0], &t->rows[k].inside, sizeof t->rows[k].inside)) < 0 && errno == EINTR)
            ;
        if (n != (ssize_t)sizeof t->rows[k].inside) {
            t->rows[k].inside = (struct inside){0};
            break;
        }
    }
    close(ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 ? k : t->count;
}

/* Whoever is at the row at which a child died is not looked into, and the next child goes on behind it. */
static void look_into_segments(struct top *t)
{
    for (size_t k = 0; k < t->count; k++)
        if (t->rows[k].object->maker == MADE_TARN)
            k = ask_child(t, k);
    t->closed = 0;
    for (size_t k = 0; k < t->count; k++)
        t->closed += t->rows[k].object->maker == MADE_TARN && !t->rows[k].inside.known;
}

/* ---- changes ---- */

struct before {
    uint64_t device, inode;
    int64_t created;
    bool sysv, known;
    uint64_t size, resident, recovered, deaths;
};

static struct before as_before(const struct top_row *r)
{
    const struct object *o = r->object;
    return (struct before){.device = o->device,
                           .inode = o->inode,
                           .created = o->kind == OBJECT_SYSV ? 0 : o->created, /* of System V it may be set anew */
                           .sysv = o->kind == OBJECT_SYSV,
                           .known = r->inside.known,
                           .size = o->size,
                           .resident = o->resident,
                           .recovered = r->inside.recovered,
                           .deaths = r->inside.recovered + r->inside.dead};
}

static int by_identity(const void *a, const void *b)
{
    const struct before *x = a, *y = b;
    return x->sysv != y->sysv       ? x->sysv - y->sysv
           : x->device != y->device ? (x->device < y->device ? -1 : 1)
           : x->inode != y->inode   ? (x->inode < y->inode ? -1 : 1)
                                    : 0;
}

static void compare(const struct top *t, struct top_row *r)
{
    struct before now = as_before(r);
    const struct before *was =
        !t->before_count ? NULL : bsearch(&now, t->before, t->before_count, sizeof now, by_identity);
    double seconds = (double)(t->at - t->before_at) / 1e9;
    if (!was || was->created != now.created || seconds <= 0)
        return;
    bool resident = was->resident != UNKNOWN && now.resident != UNKNOWN;
    r->grown = true;
    r->growth = resident ? ((double)now.resident - (double)was->resident) / seconds
                         : ((double)now.size - (double)was->size) / seconds;
    r->counted = was->known && now.known;
    r->deaths = now.deaths > was->deaths ? (double)(now.deaths - was->deaths) / seconds : 0;
    r->recoveries = now.recovered > was->recovered ? (double)(now.recovered - was->recovered) / seconds : 0;
}

static bool remember(struct top *t)
{
    struct before *b = calloc(t->count + 1, sizeof *b);
    if (!b)
        return false;
    for (size_t k = 0; k < t->count; k++)
        b[k] = as_before(&t->rows[k]);
    qsort(b, t->count, sizeof *b, by_identity);
    free(t->before);
    t->before = b;
    t->before_count = t->count;
    t->before_at = t->at;
    return true;
}

/* ---- a look ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct top_row *)a)->object->name, ((const struct top_row *)b)->object->name);
}

bool top_look(struct top *t)
{
    struct machine *m;
    struct top_row *rows;
    if ((t->m && !remember(t)) || !(m = machine_look(LOOK_ALL)))
        return false;
    if (!(rows = calloc(m->objects_count + 1, sizeof *rows))) {
        machine_free(m);
        return false;
    }
    machine_free(t->m);
    free(t->rows);
    t->m = m;
    t->rows = rows;
    t->count = 0;
    t->at = now_ns();
    for (size_t k = 0; k < m->objects_count; k++)
        if (!m->objects[k].device_file && m->objects[k].writable)
            rows[t->count++].object = &m->objects[k];
    qsort(rows, t->count, sizeof *rows, by_name);
    look_into_segments(t);
    for (size_t k = 0; k < t->count; k++)
        compare(t, &rows[k]);
    return true;
}

void top_free(struct top *t)
{
    machine_free(t->m);
    free(t->rows);
    free(t->before);
    *t = (struct top){0};
}

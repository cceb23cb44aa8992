/* participants.c - who takes part in a segment, see participants.h.
 *
 * A record tells pid and tid of the participant's own PID namespace. Of the processes that map the segment, that one is meant whose innermost pid is the
 * record's; where two are, of different namespaces, the one that has such a thread. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "participants.h"

struct gathering {
    const struct machine *m;
    const struct object *object;
    struct members *to;
    size_t first; /* of this object, in to->list */
};

static int add(const struct tarn_participant *p, void *arg)
{
    struct gathering *g = arg;
    struct member *more = realloc(g->to->list, (g->to->count + 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    g->to->list = more;
    more[g->to->count++] = (struct member){.object = g->object, .told = *p};
    return 0;
}

static int add_waiting(const struct tarn_waiting *w, void *arg)
{
    struct gathering *g = arg;
    for (size_t k = g->first; k < g->to->count; k++)
        if (g->to->list[k].told.id == w->id && !g->to->list[k].waits.id)
            g->to->list[k].waits = *w;
    return 0;
}

/* ---- the process ---- */

static uint32_t innermost(const struct identity *i, uint32_t pid)
{
    return i->count ? i->pids[i->count - 1] : pid;
}

/* The thread of a process whose innermost id is tid, as we see it; 0: none. */
static uint32_t thread_of(uint32_t pid, uint32_t tid)
{
    char path[48];
    uint32_t found = 0;
    snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        struct identity i;
        uint32_t seen = (uint32_t)atoi(e->d_name);
        if (isdigit((unsigned char)e->d_name[0]) && process_identity(seen, &i) && innermost(&i, seen) == tid)
            found = seen;
    }
    if (d)
        closedir(d);
    return found;
}

static bool is_process_of(struct member *p, uint32_t pid)
{
    struct identity i;
    if (!process_identity(pid, &i) || innermost(&i, pid) != p->told.pid)
        return false;
    uint32_t tid = i.count > 1 ? thread_of(pid, p->told.tid) : p->told.tid;
    if (!tid || !process_state(pid, tid, &p->state, &p->since))
        return false;
    p->pid = pid;
    p->tid = tid;
    return true;
}

/* Who maps it; else, where mappings could not be read, the process of that number. A dead one's number may be another's now. */
static void find_process(const struct machine *m, struct member *p)
{
    const struct object *o = p->object;
    if (p->told.state == 'd')
        return;
    for (size_t k = 0; k < o->uses; k++)
        if (is_process_of(p, m->processes[m->uses[o->first_use + k].process].pid))
            return;
    const struct process *unread = machine_process(m, p->told.pid);
    if (unread && unread->unread)
        is_process_of(p, p->told.pid);
}

const char *member_state(const struct member *p)
{
    if (p->told.state != 'l')
        return p->told.state == 'd' ? "dead" : "unknown";
    return p->state == 'T' || p->state == 't' ? "stopped" : "live";
}

/* ---- the segment ---- */

bool way_to(const struct machine *m, const struct object *o, char *to, size_t size)
{
    int n = -1;
    if (o->kind == OBJECT_SYSV)
        return o->key && !o->elsewhere && snprintf(to, size, "%s", o->name) < (int)size;
    if (o->path)
        n = snprintf(to, size, "%s", o->elsewhere ? o->path : o->name);
    for (size_t k = 0; n < 0 && k < o->uses; k++) {
        const struct use *u = &m->uses[o->first_use + k];
        uint32_t pid = m->processes[u->process].pid;
        if (u->fd >= 0)
            n = snprintf(to, size, "/proc/%u/fd/%d", pid, u->fd);
    }
    for (size_t k = 0; n < 0 && k < o->uses; k++) {
        const struct use *u = &m->uses[o->first_use + k];
        n = snprintf(to, size, "/proc/%u/map_files/%llx-%llx", m->processes[u->process].pid,
                     (unsigned long long)u->start, (unsigned long long)u->end);
    }
    return n >= 0 && (size_t)n < size;
}

tarn *open_quietly(const struct machine *m, const struct object *o)
{
    char way[4352];
    tarn *seg = NULL;
    int error = -ENOENT, fd;
    if (!way_to(m, o, way, sizeof way))
        return NULL;
    if (!is_descriptor(way))
        error = tarn_open(way, TARN_RDONLY | TARN_FOREIGN, NULL, &seg);
    else if ((fd = open(way, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) >= 0) {
        error = tarn_open_fd(fd, TARN_RDONLY | TARN_FOREIGN, &seg);
        close(fd);
    }
    return error == 0 ? seg : NULL;
}

bool is_reachable(const struct machine *m, const struct object *o)
{
    char way[4352];
    return way_to(m, o, way, sizeof way);
}

bool members_of(const struct command *c, struct machine *m, const struct object *o, struct members *add_to,
                int *ret_status)
{
    struct gathering g = {m, o, add_to, add_to->count};
    char way[4352];
    tarn *seg;
    if (!way_to(m, o, way, sizeof way)) {
        complain(c->name, "%s: no URL leads to it, so who takes part is not told", o->name);
        *ret_status = REFUSED;
        return false;
    }
    if (!attach(c, way, &seg, ret_status))
        return false;
    int error = tarn_participants(seg, add, &g);
    if (error == 0)
        error = tarn_who_waits(seg, add_waiting, &g);
    if (error < 0)
        *ret_status = failed(c, error);
    tarn_close(seg);
    for (size_t k = g.first; k < add_to->count; k++)
        find_process(m, &add_to->list[k]);
    return error >= 0;
}

void members_free(struct members *l)
{
    free(l->list);
    *l = (struct members){0};
}

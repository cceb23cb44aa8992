/* participants.c - who takes part in a segment, see participants.h.
 *
 * A record tells pid and tid of the participant's own PID namespace. Of the processes that map the segment, that one is meant whose innermost pid is the
 * record's; where two are, of different namespaces, the one that has such a thread. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "participants.h"

enum { MOST_ROWS = 1 << 18 }; /* of one kind, of one segment */

/* ---- what the library tells; in a child ---- */

struct gathering {
    const struct object *object;
    struct members to;
    bool cut; /* something was left out */
};

static int add(const struct tarn_participant *p, void *arg)
{
    struct gathering *g = arg;
    struct member *at = one_more(&g->to.list, &g->to.count, sizeof *at);
    if (!at)
        return -ENOMEM;
    *at = (struct member){.object = g->object, .told = *p};
    return 0;
}

/* Longer than any list is: the rest is not told. */
static void *add_row(struct gathering *g, void *array, size_t *count, size_t size, int *ret_error)
{
    void *at = NULL;
    *ret_error = 1;
    if (*count == MOST_ROWS)
        g->cut = true;
    else if (!(at = one_more(array, count, size)))
        *ret_error = -ENOMEM;
    return at;
}

static int add_lock(const struct tarn_lock *l, void *arg)
{
    struct gathering *g = arg;
    int error;
    struct tarn_lock *at = add_row(g, &g->to.locks, &g->to.locks_count, sizeof *at, &error);
    if (!at)
        return error;
    *at = *l;
    return 0;
}

static int add_waiting(const struct tarn_waiting *w, void *arg)
{
    struct gathering *g = arg;
    int error;
    struct tarn_waiting *at = add_row(g, &g->to.waits, &g->to.waits_count, sizeof *at, &error);
    if (!at)
        return error;
    *at = *w;
    return 0;
}

static int add_name(const struct tarn_name *n, void *arg)
{
    struct gathering *g = arg;
    int error;
    struct named *at = add_row(g, &g->to.names, &g->to.names_count, sizeof *at, &error);
    if (!at)
        return error;
    at->ref = n->ref;
    at->size = n->type.size;
    snprintf(at->name, sizeof at->name, "%s", n->name);
    return 0;
}

/* Damaged lists are told as far as they went, and damaged names are missing. */
static int gather(tarn *seg, struct gathering *g)
{
    int error = tarn_participants(seg, add, g), locks, waits, names;
    if (error < 0)
        return error;
    locks = tarn_locks(seg, add_lock, g);
    waits = tarn_who_waits(seg, add_waiting, g);
    names = tarn_names(seg, add_name, g);
    g->cut |= locks == -EUCLEAN || names == -EUCLEAN;
    return locks < 0 && locks != -EUCLEAN   ? locks
           : waits < 0                      ? waits
           : names < 0 && names != -EUCLEAN ? names
                                            : 0;
}

/* ---- between child and parent ---- */

struct piece {
    void *array; /* the address of its pointer */
    size_t *count, size;
};
enum { PIECES = 4 };
static void pieces_of(struct members *l, struct piece ret[PIECES])
{
    ret[0] = (struct piece){&l->list, &l->count, sizeof *l->list};
    ret[1] = (struct piece){&l->locks, &l->locks_count, sizeof *l->locks};
    ret[2] = (struct piece){&l->waits, &l->waits_count, sizeof *l->waits};
    ret[3] = (struct piece){&l->names, &l->names_count, sizeof *l->names};
}

static bool tell_parent(int fd, struct members *l)
{
    struct piece piece[PIECES];
    bool good = true;
    pieces_of(l, piece);
    for (int k = 0; good && k < PIECES; k++)
        good = write_all(fd, piece[k].count, sizeof *piece[k].count) &&
               write_all(fd, *(void **)piece[k].array, *piece[k].count * piece[k].size);
    return good;
}

/* Pointers in it are of the parent before the fork, or of the library's constant words: they are good here, too. */
static bool hear_members(int fd, void *to)
{
    struct members *add_to = to;
    struct piece piece[PIECES];
    pieces_of(add_to, piece);
    for (int k = 0; k < PIECES; k++) {
        size_t more, size = piece[k].size, had = *piece[k].count;
        void **array = piece[k].array, *grown;
        if (!read_all(fd, &more, sizeof more) || more > MOST_ROWS ||
            !(grown = realloc(*array, (had + more + 1) * size)))
            return false;
        *array = grown;
        if (!read_all(fd, (char *)grown + had * size, more * size))
            return false;
        *piece[k].count += more;
    }
    return true;
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
    if (o->path) /* of a file by its path: it may be a posix: segment of another directory, which file: takes for a copy */
        n = snprintf(to, size, "%s", o->elsewhere || o->kind == OBJECT_FILE ? o->path : o->name);
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

/* ---- a child that looks ---- */

bool write_all(int fd, const void *from, size_t size)
{
    for (const char *at = from; size;) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}
bool read_all(int fd, void *to, size_t size)
{
    for (char *at = to; size;) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static int look(const struct command *c, const struct machine *m, const struct object *o, tell_inside *tell, int to)
{
    char way[4352];
    tarn *seg = NULL;
    int status = REFUSED;
    if (!c)
        seg = open_quietly(m, o);
    else if (!way_to(m, o, way, sizeof way))
        complain(c->name, "%s: no URL leads to it, so what is in it is not told", o->name);
    else
        (void)attach(c, way, &seg, &status);
    return seg ? tell(c, seg, o, to) : status;
}

bool look_by_child(const struct command *c, const struct machine *m, const struct object *o,
                   tell_inside *tell, hear_inside *hear, void *arg, int *ret_status)
{
    int ends[2] = {-1, -1}, ended = 0;
    pid_t child;
    *ret_status = REFUSED;
    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
        if (c)
            complain(c->name, "%s: no process to look at it: %s", o->name, strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (child == 0)
        _exit(look(c, m, o, tell, ends[1]));
    close(ends[1]);
    bool good = hear(ends[0], arg);
    close(ends[0]);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    *ret_status = WIFEXITED(ended) ? WEXITSTATUS(ended) : REFUSED;
    if (WIFSIGNALED(ended) && c)
        complain(c->name, "%s: it was cut off, or taken away, while it was looked at (%s)", o->name,
                 strsignal(WTERMSIG(ended)));
    return good && *ret_status == DONE;
}

static int tell_members(const struct command *c, tarn *seg, const struct object *o, int to)
{
    struct gathering g = {.object = o};
    int error = gather(seg, &g);
    if (error < 0)
        return c ? failed(c, error) : REFUSED;
    if (g.cut && c)
        complain(c->name, "%s: its lists are damaged, or longer than %d: not all of it is told", o->name, MOST_ROWS);
    return tell_parent(to, &g.to) ? DONE : REFUSED;
}

/* ---- in order ---- */

static int by_holder(const void *a, const void *b)
{
    const struct tarn_waiting *x = a, *y = b;
    return x->holder != y->holder ? (x->holder < y->holder ? -1 : 1)
           : x->ref != y->ref     ? (x->ref < y->ref ? -1 : 1)
                                  : (x->id > y->id) - (x->id < y->id);
}
static int by_ref(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return (x->ref > y->ref) - (x->ref < y->ref);
}
static int by_participant(const void *a, const void *b)
{
    const struct tarn_lock *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : (x->ref > y->ref) - (x->ref < y->ref);
}

/* Members are told in the order of their places, the low half of an id. */
static struct member *find_member(struct member *list, size_t count, uint32_t id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((list[middle].told.id & 0xffff) < (id & 0xffff))
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && list[low].told.id == id ? &list[low] : NULL;
}

static void put_in_order(struct members *l, size_t first, size_t first_wait)
{
    for (size_t k = first_wait; k < l->waits_count; k++) {
        struct member *p = find_member(l->list + first, l->count - first, l->waits[k].id);
        if (p && !p->waits.id)
            p->waits = l->waits[k];
    }
    if (l->locks_count)
        qsort(l->locks, l->locks_count, sizeof *l->locks, by_participant);
    if (l->waits_count)
        qsort(l->waits, l->waits_count, sizeof *l->waits, by_holder);
    if (l->names_count)
        qsort(l->names, l->names_count, sizeof *l->names, by_ref);
}

int names_of(tarn *seg, struct members *ret)
{
    struct gathering g = {0};
    int e = tarn_names(seg, add_name, &g);
    *ret = g.to;
    put_in_order(ret, 0, 0);
    return g.cut ? 0 : e;
}

bool members_of(const struct command *c, struct machine *m, const struct object *o, struct members *add_to,
                int *ret_status)
{
    size_t first = add_to->count, first_wait = add_to->waits_count;
    bool good = look_by_child(c, m, o, tell_members, hear_members, add_to, ret_status);
    put_in_order(add_to, first, first_wait);
    for (size_t k = first; k < add_to->count; k++)
        find_process(m, &add_to->list[k]);
    return good;
}

void members_free(struct members *l)
{
    for (size_t k = 0; k < l->count; k++)
        free(l->list[k].holds);
    free(l->list);
    free(l->locks);
    free(l->waits);
    free(l->names);
    *l = (struct members){0};
}

/* ---- of one segment ---- */

const struct member *member_of(const struct members *l, uint32_t id)
{
    return find_member(l->list, l->count, id);
}

const char *lock_kind(uint32_t kind)
{
    static const char *const name[] = {"unknown", "mutex", "inner", "read", "write", "units", "member"};
    return name[kind < sizeof name / sizeof *name ? kind : 0];
}

const struct tarn_lock *locks_of(const struct members *l, uint32_t id, size_t *ret_count)
{
    size_t low = 0, high = l->locks_count, end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->locks[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < l->locks_count && l->locks[end].id == id; end++)
        ;
    *ret_count = end - low;
    return l->locks + low;
}

const struct tarn_waiting *waiters_of(const struct members *l, uint32_t holder, tarn_ref ref, size_t *ret_count)
{
    const struct tarn_waiting key = {.holder = holder, .ref = ref};
    size_t low = 0, high = l->waits_count, end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_holder(&l->waits[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low;
         end < l->waits_count && l->waits[end].holder == holder && (!ref || l->waits[end].ref == ref); end++)
        ;
    *ret_count = end - low;
    return l->waits + low;
}

const char *name_at(const struct members *l, tarn_ref ref, char to[static 320])
{
    size_t low = 0, high = l->names_count;
    *to = 0;
    while (low < high) { /* the first behind it */
        size_t middle = low + (high - low) / 2;
        if (l->names[middle].ref <= ref)
            low = middle + 1;
        else
            high = middle;
    }
    const struct named *n = low ? &l->names[low - 1] : NULL;
    if (n && ref - n->ref < n->size)
        snprintf(to, 320, ref == n->ref ? "%s" : "%s + %" PRIu64, n->name, ref - n->ref);
    return to;
}

char *holds_text(const struct members *l, uint32_t id)
{
    enum { FEW = 4 };
    size_t count, size, told = 0, had = 0;
    const struct tarn_lock *lock = locks_of(l, id, &count);
    char *text = NULL, name[320];
    FILE *f = open_memstream(&text, &size);
    for (size_t k = 0; f && k < count; k++) {
        if (!is_had(&lock[k]) || ++had > FEW)
            continue;
        fprintf(f, "%s%s ", told++ ? ", " : "", lock_kind(lock[k].kind));
        if (*name_at(l, lock[k].ref, name))
            fputs(name, f);
        else
            fprintf(f, "%#" PRIx64, lock[k].ref);
    }
    if (f && had > told)
        fprintf(f, " and %zu more", had - told);
    if (f && fclose(f) == 0 && had)
        return text;
    free(text);
    return NULL;
}

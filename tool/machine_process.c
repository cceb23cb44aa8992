/* machine_process.c - who maps what, and who has what open, from /proc, process by process, in one pass.
 *
 * All of a process is read below one descriptor of its directory, so that it is one process's whatever becomes of its number. A process whose first
 * thread has ended has its mappings below another of its threads. A mapping is an object's if it is shared, or of what is shared memory by its kind. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "inventory.h"

enum { KERNEL_THREAD = 0x200000 }; /* of the flags in /proc/PID/stat */

struct visit {
    struct inventory *i;
    uint32_t pid;
    int directory; /* of /proc/PID, or of /proc/PID/task/TID */
    bool entered;  /* it is in the list of processes */
    uint64_t ipc, mount;
    const struct place *place; /* of the last device looked up */
    uint64_t device;
};

/* A line of maps. path: as the kernel writes it, without " (deleted)". */
struct mapping {
    uint64_t start, end, offset, device, inode;
    char rights[5];
    char *path;
    bool deleted;
};

/* ---- the list of processes ---- */

static struct process *enter(struct visit *v)
{
    struct machine *m = v->i->m;
    if (v->entered)
        return &m->processes[m->processes_count - 1];
    struct process *p =
        add_one(v->i, (void **)&m->processes, &m->processes_count, &v->i->processes_room, sizeof *p);
    if (!p)
        return NULL;
    v->entered = true;
    *p = (struct process){.pid = v->pid, .ipc = v->ipc, .mount = v->mount};
    if (v->i->what & LOOK_ELSEWHERE)
        p->pid_ns = namespace_inode(v->directory, "ns/pid");
    return p;
}

/* ---- objects ---- */

static bool is_foreign(const struct visit *v)
{
    return v->mount && v->mount != v->i->own_mount;
}

static const struct place *place(struct visit *v, uint64_t device)
{
    if (v->device != device || !v->place) {
        v->device = device;
        v->place = place_of(v->i, device);
    }
    return v->place;
}

/* The kind that a file is of by its place and path alone; OBJECT_FILE if it is nothing better. */
static enum object_kind kind_of(const struct place *p, const char *path)
{
    switch (p ? p->kind : PLACE_OTHER) {
    case PLACE_MEMORY:
    case PLACE_MEMORY_HUGE:
        return strncmp(path, "/SYSV", 5) == 0     ? OBJECT_SYSV
               : strncmp(path, "/memfd:", 7) == 0 ? OBJECT_MEMFD
                                                  : OBJECT_ANON;
    case PLACE_HUGE: return OBJECT_HUGE;
    case PLACE_SHM: {
        size_t n = strlen(p->path);
        bool below = strncmp(path, p->path, n) == 0 && path[n] == '/';
        return below && !strchr(path + n + 1, '/') ? OBJECT_POSIX : OBJECT_FILE;
    }
    default: return OBJECT_FILE;
    }
}

static void name_object(struct visit *v, struct object *o, const char *path)
{
    struct inventory *i = v->i;
    const struct place *p = place(v, o->device);
    struct statx x;
    switch (o->kind) {
    case OBJECT_SYSV: name_sysv(i, o); return;
    case OBJECT_MEMFD: o->name = keep(i, "memfd:%s", path + 7); return;
    case OBJECT_ANON: o->name = keep(i, "anon:%llu", (unsigned long long)o->inode); return;
    case OBJECT_POSIX:
        if (!p->elsewhere) {
            o->name = keep(i, "posix:%s", path + strlen(p->path));
            return;
        }
        break;
    default: break;
    }
    bool here = !is_foreign(v) ||
                (file_stat(AT_FDCWD, path, true, &x) && x.stx_ino == o->inode && file_device(&x) == o->device);
    o->elsewhere = here ? 0 : p && p->elsewhere ? p->elsewhere : v->pid;
    o->name = here ? keep(i, "file:%s", path) : keep(i, "/proc/%u/root%s", o->elsewhere, path);
}

/* A file system may tell statx another device than mappings have (overlay, btrfs): then the inode alone has to do. */
static bool same_file(const struct object *o, const struct statx *x)
{
    return x->stx_ino == o->inode && (file_device(x) == o->device || (!x->stx_dev_major && !major(o->device)));
}

/* Tries one way to a file that nothing is known of yet. false: it does not lead there. */
static bool learn(struct visit *v, struct object *o, const char *path)
{
    struct statx x;
    if (!file_stat(v->directory, path, true, &x) || !same_file(o, &x))
        return false;
    if (!S_ISREG(x.stx_mode)) {
        o->device_file = o->known = true;
        return true;
    }
    learn_place(v->i, o->device, v->directory, path);
    fill_object(v->i, o, &x, v->directory, path);
    return true;
}

static void way_to_mapped(const struct mapping *map, char to[static 64])
{
    snprintf(to, 64, "map_files/%llx-%llx", (unsigned long long)map->start, (unsigned long long)map->end);
}

/* The list of System V ids multiplies the pages of huge ones twice (Linux 6.18 does). */
static void learn_huge_id(struct visit *v, struct object *o, const struct mapping *map)
{
    char way[64];
    struct statx x;
    const struct place *p = place(v, map->device);
    way_to_mapped(map, way);
    if (!p || p->kind != PLACE_MEMORY_HUGE || !file_stat(v->directory, way, true, &x) || x.stx_ino != map->inode)
        return;
    o->page_size = x.stx_blksize;
    o->huge = o->resident = x.stx_blocks * 512;
}

/* ---- the path of a mapped file ---- */

/* Below the root of the process; NULL: no memory. */
static char *below_root(const char *path)
{
    char *rooted;
    return asprintf(&rooted, "root%s", path) < 0 ? NULL : rooted;
}

static bool leads_to(const struct visit *v, const struct object *o, const char *path)
{
    struct statx x;
    char *rooted = below_root(path);
    bool leads = rooted && file_stat(v->directory, rooted, false, &x) && same_file(o, &x);
    free(rooted);
    return leads;
}

/* A file that was made without a name and got one later is "#INODE" to the kernel. */
static char *search_directory(const struct visit *v, const struct object *o, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *end, *found = NULL, *rooted = slash[1] == '#' ? below_root(path) : NULL;
    if (!rooted || strtoull(slash + 2, &end, 10) != o->inode || *end) {
        free(rooted);
        return NULL;
    }
    *strrchr(rooted, '/') = 0;
    int fd = openat(v->directory, rooted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; d && !found && (e = readdir(d));)
        if (e->d_ino == o->inode && asprintf(&found, "%.*s/%s", (int)(slash - path), path, e->d_name) < 0)
            found = NULL;
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    free(rooted);
    return found;
}

static char *with_newlines(const char *path)
{
    char *copy = strdup(path), *to = copy;
    for (; copy && *path; path++) {
        bool escaped = strncmp(path, "\\012", 4) == 0;
        *to++ = escaped ? '\n' : *path;
        path += escaped ? 3 : 0;
    }
    if (copy)
        *to = 0;
    return copy;
}

/* The path that leads to the file now, in memory of its own; NULL: none is known, as of a deleted one. */
static char *find_path(const struct visit *v, const struct object *o, const struct mapping *map)
{
    char *candidate[4] = {strdup(map->path), with_newlines(map->path), NULL, search_directory(v, o, map->path)};
    char *found = NULL;
    if (map->deleted && asprintf(&candidate[2], "%s (deleted)", map->path) < 0)
        candidate[2] = NULL;
    for (unsigned k = 0; k < 4; k++) {
        if (!found && candidate[k] && leads_to(v, o, candidate[k]))
            found = candidate[k];
        else
            free(candidate[k]);
    }
    return found;
}

static void learn_file(struct visit *v, struct object *o, const struct mapping *map, bool told)
{
    char *path = find_path(v, o, map), *rooted = path ? below_root(path) : NULL;
    if (path && rooted && (told || learn(v, o, rooted))) {
        name_object(v, o, path);
        o->path = o->elsewhere ? o->name : keep(v->i, "%s", path);
    } else if (!told && map->deleted)
        o->deleted = true;
    free(path);
    free(rooted);
}

static void learn_mapped(struct visit *v, struct object *o, const struct mapping *map)
{
    char way[64];
    way_to_mapped(map, way);
    bool told = learn(v, o, way);
    if (o->kind != OBJECT_MEMFD && o->kind != OBJECT_ANON && !o->device_file)
        learn_file(v, o, map, told);
}

/* ---- mappings ---- */

static bool parse(char *line, struct mapping *ret)
{
    char *at = line;
    ret->start = strtoull(at, &at, 16);
    if (*at++ != '-')
        return false;
    ret->end = strtoull(at, &at, 16);
    if (*at++ != ' ' || strlen(at) < 6)
        return false;
    memcpy(ret->rights, at, 4);
    ret->rights[4] = 0;
    at += 5;
    ret->offset = strtoull(at, &at, 16);
    unsigned major = (unsigned)strtoul(at, &at, 16);
    if (*at++ != ':')
        return false;
    ret->device = makedev(major, (unsigned)strtoul(at, &at, 16));
    ret->inode = strtoull(at, &at, 10);
    while (*at == ' ')
        at++;
    size_t n = strlen(at);
    ret->deleted = n > 10 && strcmp(at + n - 10, " (deleted)") == 0;
    if (ret->deleted)
        at[n - 10] = 0;
    ret->path = at;
    return true;
}

static bool wanted(struct visit *v, const struct mapping *map)
{
    if (map->path[0] != '/' || strncmp(map->path, "/[aio]", 6) == 0)
        return false;
    const struct place *p = place(v, map->device);
    bool memory = p && p->kind != PLACE_OTHER && p->kind != PLACE_TMPFS;
    return map->rights[3] == 's' || memory || v->i->what & LOOK_PRIVATE;
}

static struct object *object_of(struct visit *v, uint64_t device, uint64_t inode, const char *path)
{
    enum object_kind kind = kind_of(place(v, device), path);
    bool new;
    if (kind == OBJECT_SYSV)
        device = v->ipc ? v->ipc : v->i->own_ipc;
    struct object *o = find_object(v->i, kind, device, inode, &new);
    if (o && new) {
        if (kind == OBJECT_SYSV) { /* of no list: removed since, or from a namespace that was left */
            o->elsewhere = device == v->i->own_ipc ? 0 : v->pid;
            o->key = (uint32_t)strtoul(path + 5, NULL, 16);
        }
        name_object(v, o, path);
    }
    return o;
}

/* Without the file, what is mapped of it tells the least that it has. */
static void note_extent(struct object *o, const struct mapping *map)
{
    uint64_t end = map->offset + (map->end - map->start);
    if (!o->known && o->size < end)
        o->size = end;
}

static struct use *add_mapping(struct visit *v, const struct mapping *map)
{
    struct object *o = object_of(v, map->device, map->inode, map->path);
    if (!o || !enter(v))
        return NULL;
    bool shared = map->rights[3] == 's';
    if (o->kind == OBJECT_SYSV)
        learn_huge_id(v, o, map);
    else if (!o->known)
        learn_mapped(v, o, map);
    note_extent(o, map);
    o->shared |= shared;
    o->writable |= shared && map->rights[1] == 'w';
    struct use *u = add_use(v->i, o);
    if (u) {
        u->start = map->start;
        u->end = map->end;
        u->offset = map->offset;
        u->read = map->rights[0] == 'r';
        u->write = map->rights[1] == 'w';
        u->execute = map->rights[2] == 'x';
        u->shared = shared;
    }
    return u;
}

/* "Rss:      12 kB", of smaps */
static void add_detail(struct use *u, const char *line)
{
    static const char *const huge[] = {"ShmemPmdMapped:", "FilePmdMapped:"};
    static const char *const hugetlb[] = {"Shared_Hugetlb:", "Private_Hugetlb:"};
    const char *colon = strchr(line, ':');
    uint64_t bytes = colon ? strtoull(colon + 1, NULL, 10) * 1024 : 0;
    if (strncmp(line, "Rss:", 4) == 0)
        u->resident += bytes;
    for (unsigned k = 0; k < 2; k++) {
        bool whole = strncmp(line, hugetlb[k], strlen(hugetlb[k])) == 0;
        if (whole || strncmp(line, huge[k], strlen(huge[k])) == 0)
            u->huge += bytes;
        if (whole)
            u->resident += bytes;
    }
}

/* Lines that begin with a small letter or a digit are mappings, with a capital details of the last one. */
static bool read_mappings(struct visit *v, int fd)
{
    struct lines l;
    struct mapping map;
    bool any = false, detailed = v->i->what & LOOK_SMAPS;
    size_t last = 0; /* its use, + 1: the array may move */
    lines_begin(&l, fd);
    for (char *line; (line = next_line(&l));) {
        if (isupper((unsigned char)*line)) {
            if (last)
                add_detail(&v->i->m->uses[last - 1], line);
            continue;
        }
        any = true;
        last = 0;
        if (!parse(line, &map) || !wanted(v, &map))
            continue;
        struct use *u = add_mapping(v, &map);
        if (u && detailed) {
            u->resident = u->huge = 0;
            last = v->i->m->uses_count;
        }
    }
    return any;
}

/* ---- descriptors ---- */

static bool may_be_memory(struct visit *v, const char *target)
{
    if (strncmp(target, "/memfd:", 7) == 0)
        return true;
    for (size_t k = 0; k < v->i->places_count; k++) {
        const struct place *p = &v->i->places[k];
        if (p->path && strncmp(target, p->path, strlen(p->path)) == 0)
            return true;
    }
    return false;
}

/* Links of /proc/PID/fd have the rights of the descriptor as their mode. */
static void add_descriptor(struct visit *v, int table, const char *number, char *target)
{
    struct statx x, link;
    char way[32];
    if (!file_stat(table, number, true, &x) || !S_ISREG(x.stx_mode))
        return;
    const struct place *p = place(v, file_device(&x));
    if (!p || p->kind == PLACE_OTHER || p->kind == PLACE_TMPFS || !file_stat(table, number, false, &link))
        return;
    size_t n = strlen(target);
    if (x.stx_nlink == 0 && n > 10 && strcmp(target + n - 10, " (deleted)") == 0)
        target[n - 10] = 0;
    struct object *o = object_of(v, file_device(&x), x.stx_ino, target);
    if (!o || !enter(v))
        return;
    snprintf(way, sizeof way, "fd/%.10s", number);
    if (!o->known)
        fill_object(v->i, o, &x, v->directory, way);
    struct use *u = add_use(v->i, o);
    if (!u)
        return;
    u->fd = atoi(number);
    u->read = link.stx_mode & S_IRUSR;
    u->write = link.stx_mode & S_IWUSR;
    u->shared = true;
}

static bool read_descriptors(struct visit *v)
{
    char target[4096];
    int table = openat(v->directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = table >= 0 ? fdopendir(table) : NULL;
    if (!d) {
        int error = errno;
        if (table >= 0)
            close(table);
        return error != EACCES && error != EPERM;
    }
    for (struct dirent *e; (e = readdir(d));) {
        ssize_t n =
            isdigit((unsigned char)e->d_name[0]) ? readlinkat(table, e->d_name, target, sizeof target - 1) : 0;
        if (n <= 0 || target[0] != '/')
            continue;
        target[n] = 0;
        if (may_be_memory(v, target))
            add_descriptor(v, table, e->d_name, target);
    }
    closedir(d);
    return true;
}

/* ---- processes ---- */

/* A kernel thread, or one that has ended, all its threads with it, and is not waited for yet */
static bool has_no_memory(int directory)
{
    char text[1024], state;
    unsigned flags;
    long threads;
    int fd = openat(directory, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return true; /* gone */
    text[n] = 0;
    const char *at = strrchr(text, ')');
    if (!at || sscanf(at, ") %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state,
                      &flags, &threads) != 3)
        return false;
    return flags & KERNEL_THREAD || (state == 'Z' && threads <= 1);
}

enum seen { SEEN, EMPTY, FORBIDDEN };

static enum seen see_mappings(struct visit *v)
{
    int fd = openat(v->directory, v->i->what & LOOK_SMAPS ? "smaps" : "maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES || errno == EPERM ? FORBIDDEN : EMPTY;
    bool any = read_mappings(v, fd);
    close(fd);
    return any ? SEEN : EMPTY;
}

/* Before the mappings are read, so that objects of its namespaces are known then. */
static void see_elsewhere(struct visit *v)
{
    struct inventory *i = v->i;
    v->ipc = namespace_inode(v->directory, "ns/ipc");
    v->mount = namespace_inode(v->directory, "ns/mnt");
    if (v->ipc && v->ipc != i->own_ipc && i->what & LOOK_SYSV &&
        !seen_before(i, &i->ipcs, &i->ipcs_count, &i->ipcs_room, v->ipc))
        look_at_sysv_elsewhere(i, v->ipc, v->pid, v->directory);
    if (is_foreign(v) && !seen_before(i, &i->mounts, &i->mounts_count, &i->mounts_room, v->mount))
        look_at_files_elsewhere(i, v->pid, v->directory);
}

static enum seen see(struct visit *v)
{
    enum seen seen = SEEN;
    if (v->i->what & LOOK_ELSEWHERE)
        see_elsewhere(v);
    v->place = NULL;
    if (v->i->what & LOOK_MAPS)
        seen = see_mappings(v);
    if (seen == SEEN && v->i->what & LOOK_DESCRIPTORS && !read_descriptors(v))
        seen = FORBIDDEN;
    if (seen == SEEN)
        enter(v);
    return seen;
}

/* The first thread has ended, or it is a kernel thread: what its other threads have, if there are any. */
static void see_other_threads(struct visit *v)
{
    int fd = openat(v->directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    enum seen seen = EMPTY;
    for (struct dirent *e; seen == EMPTY && (e = readdir(d));) {
        if (!isdigit((unsigned char)e->d_name[0]) || (uint32_t)atoi(e->d_name) == v->pid)
            continue;
        struct visit other = *v;
        other.directory = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (other.directory < 0)
            continue;
        seen = see(&other);
        v->entered = other.entered;
        close(other.directory);
    }
    closedir(d);
}

static void unreadable(struct visit *v, bool is)
{
    struct process *p = is ? enter(v) : NULL;
    if (!p)
        return;
    p->unread = true;
    v->i->m->unread++;
}

static void visit(struct inventory *i, int proc, const char *number)
{
    struct visit v = {.i = i, .pid = (uint32_t)atoi(number)};
    v.directory = openat(proc, number, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (v.directory < 0) {
        unreadable(&v, errno == EACCES || errno == EPERM);
        return;
    }
    enum seen seen = see(&v);
    if (seen == EMPTY)
        see_other_threads(&v);
    unreadable(&v, seen == FORBIDDEN && !has_no_memory(v.directory));
    close(v.directory);
}

void look_at_processes(struct inventory *i)
{
    DIR *d = opendir("/proc");
    if (!d)
        return;
    uint32_t self = (uint32_t)getpid();
    for (struct dirent *e; !i->failed && (e = readdir(d));)
        if (isdigit((unsigned char)e->d_name[0]) && (uint32_t)atoi(e->d_name) != self)
            visit(i, dirfd(d), e->d_name);
    closedir(d);
}

/* ---- one process, later ---- */

struct process *machine_process(const struct machine *m, uint32_t pid)
{
    size_t low = 0, high = m->processes_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (m->processes[middle].pid == pid)
            return &m->processes[middle];
        if (m->processes[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The beginning of a file below /proc/PID, as text. */
static bool read_text(uint32_t pid, uint32_t tid, const char *file, char *to, size_t size)
{
    char path[64];
    if (tid)
        snprintf(path, sizeof path, "/proc/%u/task/%u/%s", pid, tid, file);
    else
        snprintf(path, sizeof path, "/proc/%u/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, to, size - 1) : -1;
    if (fd >= 0)
        close(fd);
    to[n > 0 ? n : 0] = 0;
    return n > 0;
}

const char *process_command(struct machine *m, struct process *p)
{
    char text[64];
    if (p->command)
        return p->command;
    if (read_text(p->pid, 0, "comm", text, sizeof text))
        text[strlen(text) - 1] = 0;
    p->command = keep(m->inventory, "%s", text);
    return p->command;
}

bool process_identity(uint32_t pid, struct identity *ret)
{
    char text[4096];
    *ret = (struct identity){0};
    if (!read_text(pid, 0, "status", text, sizeof text))
        return false;
    const char *uid = strstr(text, "\nUid:"), *ids = strstr(text, "\nNSpid:");
    if (uid)
        sscanf(uid, "\nUid: %*u %u", &ret->uid);
    if (!ids)
        return uid;
    char *at = (char *)ids + 7;
    while (ret->count < 8 && (*at == '\t' || *at == ' '))
        ret->pids[ret->count++] = (uint32_t)strtoul(at, &at, 10);
    return uid;
}

static int64_t boot_time(void)
{
    static int64_t seconds;
    struct timespec now, up;
    if (!seconds && clock_gettime(CLOCK_REALTIME, &now) == 0 && clock_gettime(CLOCK_BOOTTIME, &up) == 0)
        seconds = (now.tv_sec * 1000 + now.tv_nsec / 1000000 - up.tv_sec * 1000 - up.tv_nsec / 1000000) / 1000;
    return seconds;
}

/* pid (comm) state and further fields; comm may have anything in it, also ')' */
bool process_state(uint32_t pid, uint32_t tid, char *ret_state, int64_t *ret_since)
{
    char text[1024];
    unsigned long long start;
    const char *at = read_text(pid, tid, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!at || sscanf(at, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                      ret_state, &start) != 2)
        return false;
    *ret_since = boot_time() + (int64_t)(start / (unsigned long long)sysconf(_SC_CLK_TCK));
    return true;
}

static const struct lately *lately(struct machine *m, uint32_t pid)
{
    struct lately *l = &m->inventory->lately[pid % 64];
    char state;
    if (l->read && l->pid == pid)
        return l;
    *l = (struct lately){.pid = pid, .read = true};
    l->lives = process_state(pid, 0, &state, &l->since) && state != 'Z' && state != 'X';
    if (l->lives && read_text(pid, 0, "comm", l->command, sizeof l->command))
        l->command[strlen(l->command) - 1] = 0;
    return l;
}

enum life creator_life(struct machine *m, const struct object *o)
{
    if (o->kind != OBJECT_SYSV || o->creator == 0 || o->creator == UNKNOWN32)
        return LIFE_UNKNOWN;
    const struct lately *l = lately(m, o->creator);
    return l->lives && l->since <= o->created + 2 ? LIFE_LIVE : LIFE_DEAD;
}

const char *pid_command(struct machine *m, uint32_t pid)
{
    const struct lately *l = lately(m, pid);
    return l->lives ? l->command : NULL;
}

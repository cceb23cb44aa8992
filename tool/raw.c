/* raw.c - any object by its name, see raw.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "participants.h"
#include "raw.h"

int refused(const struct command *c, const char *name, const char *could_not, int error)
{
    complain(c->name, "%s: %s: %s%s", name, could_not, strerror(error),
             error == ELOOP ? " (a symbolic link is not followed)" : "");
    return error == ENOENT || error == EEXIST || error == EIDRM || error == ESRCH ? WRONG : REFUSED;
}

/* ---- names ---- */

bool posix_path(const struct command *c, const char *url, char *to, size_t size, int *ret_status)
{
    const char *name = url + 6; /* posix: */
    if (name[0] != '/' || !name[1] || strchr(name + 1, '/') || !strcmp(name, "/.") || !strcmp(name, "/..")) {
        *ret_status = misused(c, "the name of a POSIX object is posix:/name, with that slash and no other");
        return false;
    }
    if ((size_t)snprintf(to, size, "%s%s", posix_directory(), name) < size)
        return true;
    *ret_status = misused(c, "the name is too long");
    return false;
}

bool sysv_key(const struct command *c, const char *url, int *ret_key, int *ret_status)
{
    uint64_t key;
    if (parse_number(url + 5, 0, UINT32_MAX, &key) && key) {
        *ret_key = (int)(uint32_t)key;
        return true;
    }
    *ret_status =
        misused(c, "a System V key is a number from 1 on, as sysv:5678 or sysv:0x162e; an id is shmid:N");
    return false;
}

/* ---- System V ---- */

static bool stat_sysv(struct raw *r)
{
    struct shmid_ds d;
    if (shmctl(r->id, IPC_STAT, &d) < 0)
        return false;
    r->size = d.shm_segsz;
    r->mode = d.shm_perm.mode & 0777;
    r->uid = d.shm_perm.uid;
    r->gid = d.shm_perm.gid;
    r->inode = (uint64_t)r->id;
    return true;
}

/* IPC_STAT wants the right to read; who may not has the line of /proc. */
static bool list_sysv(struct raw *r)
{
    FILE *f = fopen("/proc/sysvipc/shm", "re");
    char line[512];
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        unsigned long long size;
        int id;
        found = sscanf(line, "%*d %d %o %llu %*d %*d %*d %u %u", &id, &r->mode, &size, &r->uid, &r->gid) == 5 &&
                id == r->id;
        r->size = size;
    }
    if (f)
        fclose(f);
    r->mode &= 0777;
    r->inode = (uint64_t)r->id;
    return found;
}

static bool open_sysv(const struct command *c, enum raw_for what, struct raw *r, int *ret_status)
{
    if (!stat_sysv(r) && (what != RAW_RIGHTS || errno != EACCES || !list_sysv(r))) {
        *ret_status = refused(c, r->name, "cannot be looked at", errno == EINVAL ? ENOENT : errno);
        return false;
    }
    if (what == RAW_RIGHTS)
        return true;
    void *at = shmat(r->id, NULL, what == RAW_WRITE ? 0 : SHM_RDONLY);
    if (at == (void *)-1) {
        *ret_status = refused(c, r->name, "cannot be attached", errno == EINVAL ? EIDRM : errno);
        return false;
    }
    r->at = at;
    return true;
}

/* ---- files, and what is like them ---- */

/* Links of /proc that lead to a file itself, not to a name of it */
static bool is_magic(const char *path)
{
    int end = 0;
    sscanf(path, "/proc/%*[0-9]/fd/%*[0-9]%n", &end);
    if (!end)
        sscanf(path, "/proc/self/fd/%*[0-9]%n", &end);
    if (!end)
        sscanf(path, "/proc/%*[0-9]/map_files/%*[0-9a-f]-%*[0-9a-f]%n", &end);
    return end && !path[end];
}

static bool take_stat(const struct command *c, struct raw *r, int *ret_status)
{
    struct stat s;
    if (fstat(r->fd, &s) < 0) {
        *ret_status = refused(c, r->name, "cannot be looked at", errno);
        return false;
    }
    if (!S_ISREG(s.st_mode)) {
        *ret_status = refused(c, r->name, S_ISLNK(s.st_mode) ? "not opened" : "is no memory and no file",
                              S_ISLNK(s.st_mode)   ? ELOOP
                              : S_ISDIR(s.st_mode) ? EISDIR
                                                   : EINVAL);
        return false;
    }
    r->size = (uint64_t)s.st_size;
    r->mode = s.st_mode & 0777;
    r->uid = s.st_uid;
    r->gid = s.st_gid;
    r->device = s.st_dev;
    r->inode = s.st_ino;
    return true;
}

static int open_flags(enum raw_for what, const char *path)
{
    int flags = what == RAW_RIGHTS ? O_PATH : what == RAW_READ ? O_RDONLY : O_RDWR;
    return flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (is_magic(path) ? 0 : O_NOFOLLOW);
}

static bool open_path(const struct command *c, const char *path, enum raw_for what, struct raw *r, int *ret_status)
{
    r->fd = open(path, open_flags(what, path));
    if (r->fd < 0) {
        *ret_status = refused(c, r->name, "cannot be opened", errno);
        return false;
    }
    return take_stat(c, r, ret_status);
}

static bool open_inherited(const struct command *c, enum raw_for what, struct raw *r, int *ret_status)
{
    uint64_t number;
    int flags;
    if (!parse_number(r->name + 3, 10, INT_MAX, &number) || (flags = fcntl((int)number, F_GETFL)) < 0) {
        *ret_status = misused(c, "%s: it is fd:N, with the number of an inherited descriptor", r->name);
        return false;
    }
    if (what == RAW_WRITE && (flags & O_ACCMODE) != O_RDWR) {
        *ret_status = refused(c, r->name, "cannot be written", EBADF);
        return false;
    }
    r->fd = fcntl((int)number, F_DUPFD_CLOEXEC, 3);
    return r->fd >= 0 ? take_stat(c, r, ret_status)
                      : (*ret_status = refused(c, r->name, "not opened", errno), false);
}

/* ---- what only the machine's tables tell: memfds by their label, deleted objects, identities ---- */

static bool ambiguous(const struct command *c, const struct raw *r, size_t count, int *ret_status)
{
    complain(c->name,
             "%s: there are %zu of that name: say one's ID, or /proc/PID/fd/N (tarn ls -o ID,NAME; tarn who)",
             r->name, count);
    *ret_status = WRONG;
    return false;
}

/* The address of the only object of that name, by way of whoever has it. */
static bool find_address(const struct command *c, struct raw *r, int *ret_status)
{
    struct machine *m = look_at_machine(c, LOOK_SYSV | LOOK_FILES | LOOK_MAPS | LOOK_DESCRIPTORS | LOOK_ELSEWHERE);
    uint32_t *index = NULL;
    size_t count = 0;
    bool exists, good = false;
    *ret_status = REFUSED;
    if (!m || !machine_find(m, r->name, &index, &count, &exists))
        good = false;
    else if (count > 1)
        good = ambiguous(c, r, count, ret_status);
    else if (!count)
        *ret_status = refused(c, r->name, "not found (tarn ls tells names)", ENOENT);
    else {
        const struct object *o = &m->objects[index[0]];
        if (o->kind == OBJECT_SYSV && !o->elsewhere)
            good = snprintf(r->address, sizeof r->address, "shmid:%llu", (unsigned long long)o->inode) > 0;
        else
            good = way_to(m, o, r->address, sizeof r->address);
        *ret_status = good ? DONE : refused(c, r->name, "no way leads to it from here", EACCES);
    }
    free(index);
    machine_free(m);
    return good;
}

/* ---- opening ---- */

static bool open_address(const struct command *c, const char *url, enum raw_for what, struct raw *r, int *ret_status)
{
    char path[4352];
    uint64_t id;
    int key;
    if (strncmp(url, "sysv:", 5) == 0) {
        if (!sysv_key(c, url, &key, ret_status))
            return false;
        r->id = shmget(key, 0, 0);
        if (r->id >= 0)
            return open_sysv(c, what, r, ret_status);
        *ret_status = refused(c, r->name, "not found", errno);
        return false;
    }
    if (strncmp(url, "shmid:", 6) == 0 && parse_number(url + 6, 10, INT_MAX, &id)) {
        r->id = (int)id;
        return open_sysv(c, what, r, ret_status);
    }
    if (strncmp(url, "fd:", 3) == 0)
        return open_inherited(c, what, r, ret_status);
    if (strncmp(url, "posix:", 6) == 0)
        return posix_path(c, url, path, sizeof path, ret_status) && open_path(c, path, what, r, ret_status);
    return open_path(c, strncmp(url, "file:", 5) == 0 ? url + 5 : url, what, r, ret_status);
}

static bool starts(const char *url, const char *with)
{
    return strncmp(url, with, strlen(with)) == 0;
}

/* Does the name itself lead to it? Else somebody is asked for who has it. */
static bool leads(const char *url)
{
    char path[4352];
    struct stat s;
    if (starts(url, "posix:/") && !strchr(url + 7, '/'))
        snprintf(path, sizeof path, "%s%s", posix_directory(), url + 6);
    else if (starts(url, "file:"))
        snprintf(path, sizeof path, "%s", url + 5);
    else
        return starts(url, "sysv:") || (starts(url, "shmid:") && !strchr(url, '@')) || starts(url, "fd:") ||
               url[0] == '/' || starts(url, "posix:");
    return lstat(path, &s) == 0 || errno != ENOENT;
}

bool raw_open(const struct command *c, const char *name, enum raw_for what, struct raw *ret, int *ret_status)
{
    *ret = (struct raw){.name = name, .fd = -1, .id = -1};
    bool good = leads(name) ? (size_t)snprintf(ret->address, sizeof ret->address, "%s", name) < sizeof ret->address
                            : find_address(c, ret, ret_status);
    if (good && open_address(c, ret->address, what, ret, ret_status))
        return true;
    raw_close(ret);
    return false;
}

void raw_close(struct raw *r)
{
    if (r->fd >= 0)
        close(r->fd);
    if (r->at)
        shmdt(r->at);
    r->fd = -1;
    r->at = NULL;
}

bool raw_same(const struct raw *a, const struct raw *b)
{
    return (a->fd < 0) == (b->fd < 0) && a->device == b->device && a->inode == b->inode;
}

/* ---- ours ---- */

bool raw_is_segment(const struct raw *r)
{
    char first[8];
    unsigned char there = 0;
    if (r->at) /* a hole would be filled by a look at it */
        return r->size >= sizeof first && mincore(r->at, sizeof first, &there) == 0 && there & 1 && is_tarn(r->at);
    return pread(r->fd, first, sizeof first, 0) == (ssize_t)sizeof first && is_tarn(first);
}

static bool can_attach(const struct machine *m, const struct object *o)
{
    tarn *seg = open_quietly(m, o);
    if (seg)
        tarn_close(seg);
    return seg;
}

static void count(const struct command *c, struct machine *m, const struct object *o, struct taking *ret)
{
    struct members members = {0};
    int status;
    ret->known = members_of(c, m, o, &members, &status);
    ret->all = members.count;
    for (size_t k = 0; k < members.count; k++)
        ret->running += strcmp(member_state(&members.list[k]), "live") == 0 ||
                        strcmp(member_state(&members.list[k]), "unknown") == 0;
    members_free(&members);
}

struct taking raw_taking(const struct command *c, const struct raw *r)
{
    struct taking t = {0};
    struct machine *m = NULL;
    uint32_t *index = NULL;
    size_t found = 0;
    bool exists;
    if (raw_is_segment(r) && (m = look_at_machine(c, LOOK_ALL & ~LOOK_INSIDE)) &&
        machine_find(m, r->address, &index, &found, &exists) && found && can_attach(m, &m->objects[index[0]]))
        count(c, m, &m->objects[index[0]], &t);
    free(index);
    machine_free(m);
    return t;
}

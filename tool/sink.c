/* sink.c - where raw bytes go: making it, and giving it its name when it is whole, or taking it away. See transfer.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transfer.h"

/* ---- a new file ---- */

static bool split(const struct command *c, const char *path, char *directory, size_t size, struct sink *s,
                  int *ret_status)
{
    const char *slash = strrchr(path, '/'), *entry = slash ? slash + 1 : path;
    int n = snprintf(directory, size, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (*entry && strcmp(entry, ".") && strcmp(entry, "..") && n > 0 && (size_t)n < size &&
        (size_t)snprintf(s->entry, sizeof s->entry, "%s", entry) < sizeof s->entry)
        return true;
    *ret_status = misused(c, "%s: no name that a file can have", s->name);
    return false;
}

/* Without a name where the file system can, so that a kill leaves nothing; else under a temporary one */
static int open_nameless(struct sink *s)
{
    int fd = openat(s->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    snprintf(s->temporary, sizeof s->temporary, ".tarn-copy-%d", (int)getpid());
    fd = openat(s->directory, s->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        s->temporary[0] = 0;
    return fd;
}

bool sink_new_file(const struct command *c, const char *name, const char *path, uint32_t mode, bool replace,
                   struct sink *ret, int *ret_status)
{
    char directory[4352];
    struct stat there;
    *ret = (struct sink){
        .name = name, .kind = SINK_FILE, .fresh = true, .replace = replace, .mode = mode, .fd = -1, .id = -1};
    if (!split(c, path, directory, sizeof directory, ret, ret_status))
        return false;
    ret->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ret->directory < 0) {
        *ret_status = refused(c, name, "cannot be made", errno);
        return false;
    }
    if (!replace && fstatat(ret->directory, ret->entry, &there, AT_SYMLINK_NOFOLLOW) == 0)
        *ret_status = refused(c, name, "not made (see --overwrite)", EEXIST);
    else if ((ret->fd = open_nameless(ret)) < 0)
        *ret_status = refused(c, name, "cannot be made", errno);
    if (ret->fd < 0)
        close(ret->directory);
    return ret->fd >= 0;
}

static int link_to(const struct sink *s, const char *name)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", s->fd);
    return linkat(AT_FDCWD, self, s->directory, name, AT_SYMLINK_FOLLOW);
}

static int give_name(struct sink *s)
{
    if (fchmod(s->fd, s->mode) < 0)
        return -1;
    if (!s->temporary[0] && !s->replace)
        return link_to(s, s->entry);
    if (!s->temporary[0]) {
        char name[sizeof s->temporary];
        snprintf(name, sizeof name, ".tarn-copy-%d", (int)getpid());
        if (link_to(s, name) < 0)
            return -1;
        memcpy(s->temporary, name, sizeof name);
    }
    int error = renameat2(s->directory, s->temporary, s->directory, s->entry, s->replace ? 0 : RENAME_NOREPLACE);
    if (error == 0)
        s->temporary[0] = 0;
    return error;
}

/* ---- new System V shared memory ---- */

static bool not_got(const struct command *c, const char *url, uint64_t size, int error, int *ret_status)
{
    if (error == EINVAL)
        complain(c->name, "%s: %" PRIu64 " bytes are none, or more than System V memory may have (kernel.shmmax)",
                 url, size);
    else if (error == ENOSPC)
        complain(c->name, "%s: no more System V memory may be made: kernel.shmmni ids or kernel.shmall pages are in use",
                 url);
    else
        *ret_status = refused(c, url, error == EEXIST ? "not made (see --overwrite)" : "cannot be made", error);
    if (error == EINVAL || error == ENOSPC)
        *ret_status = REFUSED;
    return false;
}

static bool set_mode(int id, uint32_t mode)
{
    struct shmid_ds d = {.shm_perm = {.uid = geteuid(), .gid = getegid(), .mode = (unsigned short)mode}};
    return shmctl(id, IPC_SET, &d) == 0;
}

/* Whoever finds the key meanwhile may not attach it, unless he is root. */
bool sink_new_sysv(const struct command *c, const char *url, uint64_t size, uint32_t mode, struct sink *ret,
                   int *ret_status)
{
    int key;
    *ret = (struct sink){.name = url, .kind = SINK_MEMORY, .fresh = true, .mode = mode, .fd = -1, .directory = -1};
    if (!sysv_key(c, url, &key, ret_status))
        return false;
    ret->id = shmget(key, size, IPC_CREAT | IPC_EXCL | 0600);
    if (ret->id < 0)
        return not_got(c, url, size, errno, ret_status);
    void *at = shmat(ret->id, NULL, 0);
    if (at == (void *)-1 || !set_mode(ret->id, 0)) {
        *ret_status = refused(c, url, "cannot be attached", errno);
        shmctl(ret->id, IPC_RMID, NULL);
        return false;
    }
    ret->at = at;
    return true;
}

/* ---- what is there already ---- */

void sink_of(const struct raw *r, struct sink *ret)
{
    *ret = (struct sink){.name = r->name,
                         .kind = r->at ? SINK_MEMORY : SINK_FILE,
                         .fd = r->fd,
                         .at = r->at,
                         .id = r->id,
                         .directory = -1};
}

/* In a regular file that ends where we begin, holes may be left */
void sink_of_stream(const char *name, int fd, struct sink *ret)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    *ret = (struct sink){.name = name, .kind = SINK_STREAM, .fd = fd, .id = -1, .directory = -1};
    ret->skipping = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flags >= 0 && !(flags & O_APPEND) &&
                    lseek(fd, 0, SEEK_CUR) == st.st_size;
}

/* ---- the end ---- */

static int finish(struct sink *s)
{
    if (s->kind == SINK_FILE && s->fresh)
        return give_name(s);
    if (s->kind == SINK_MEMORY && s->fresh)
        return set_mode(s->id, s->mode) ? 0 : -1;
    if (s->kind == SINK_STREAM && s->skipping)
        return ftruncate(s->fd, lseek(s->fd, 0, SEEK_CUR));
    return 0;
}

bool sink_end(const struct command *c, struct sink *s, bool whole, int *ret_status)
{
    bool good = whole && finish(s) == 0;
    if (whole && !good)
        *ret_status = refused(c, s->name, "not made", errno);
    if (!s->fresh)
        return good;
    if (s->temporary[0])
        unlinkat(s->directory, s->temporary, 0);
    if (s->at) {
        shmdt(s->at);
        if (!good)
            shmctl(s->id, IPC_RMID, NULL);
    }
    if (s->fd >= 0)
        close(s->fd);
    if (s->directory >= 0)
        close(s->directory);
    return good;
}

/* ---- where load and cp put it ---- */

static bool open_old(const struct command *c, struct target *t, const struct raw *from, struct sink *ret,
                     int *ret_status)
{
    if (!raw_open(c, t->url, RAW_WRITE, &t->old, ret_status))
        return false;
    *ret_status = REFUSED;
    if (from && raw_same(from, &t->old))
        complain(c->name, "%s: is the same object", t->url);
    else if (t->sized && t->size != t->old.size) {
        complain(c->name, "%s: has %" PRIu64 " bytes, not %" PRIu64, t->url, t->old.size, t->size);
        *ret_status = WRONG;
    } else if (raw_taking(c, &t->old).all)
        complain(c->name, "%s: is a segment in which somebody takes part (tarn who); not overwritten", t->url);
    else {
        t->size = t->old.size;
        sink_of(&t->old, ret);
        return true;
    }
    raw_close(&t->old);
    return false;
}

int target_mode(const struct command *c, const char *value, struct target *t)
{
    uint64_t mode;
    if (!parse_number(value, 8, 0777, &mode))
        return misused(c, "--mode %s: it is permission bits in octal, as 0600 or 660", value);
    t->mode = (uint32_t)mode;
    return DONE;
}

bool target_open(const struct command *c, struct target *t, const struct raw *from, struct sink *ret, int *ret_status)
{
    char path[4352];
    bool good;
    t->old = (struct raw){.fd = -1, .id = -1};
    if (t->overwrite)
        good = open_old(c, t, from, ret, ret_status);
    else if (strncmp(t->url, "posix:", 6) == 0)
        good = posix_path(c, t->url, path, sizeof path, ret_status) &&
               sink_new_file(c, t->url, path, t->mode, false, ret, ret_status);
    else if (strncmp(t->url, "file:", 5) == 0)
        good = sink_new_file(c, t->url, t->url + 5, t->mode, false, ret, ret_status);
    else if (strncmp(t->url, "sysv:", 5) == 0 && t->sized)
        good = sink_new_sysv(c, t->url, t->size, t->mode, ret, ret_status);
    else {
        *ret_status =
            strncmp(t->url, "sysv:", 5) == 0
                ? misused(c, "%s: System V memory has its size from the beginning: say --size", t->url)
                : misused(c, "%s: a new object is posix:/NAME, sysv:KEY or file:PATH; others can be overwritten",
                          t->url);
        good = false;
    }
    if (good)
        ret->commit = t->commit;
    return good;
}

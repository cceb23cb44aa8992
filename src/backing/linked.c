/* backing/linked.c - files in a directory that get their name when they are whole: what posix: and file: have in common.
 *
 * A name appears complete: the file is made without a name (O_TMPFILE), and one link, which fails if the name is there, publishes
 * it. That link is the commit point; a maker who dies before it leaves nothing, for the kernel drops a file without a name.
 *
 * Where O_TMPFILE or /proc is missing, the file has a temporary name until then: LINKED_TEMPORARY and 16 digits. Its maker holds a byte
 * lock on it, which the kernel drops at its death; each maker first removes the temporary files of this user that nobody holds.
 *     maker:   create exclusively; byte lock; look whether the name still leads to it, else again; ...; link; unlink; unlock
 *     sweeper: open; byte lock (held: leave it); look whether the name still leads to it; unlink
 * The lock orders the two looks: a file that its maker goes on with cannot be swept while it is being made.
 *
 * It does not touch what is not its own: openers do not follow symbolic links, nor wait on a FIFO. */
#include "backing/linked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool linked_without_tmpfile;

/* For *at calls, or, with O_RDONLY, for reading. */
static int open_directory(const struct linked *at, int flags)
{
    int fd = open(at->directory, flags | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(errno == ENOENT || errno == ENOTDIR ? at->no_directory_error : -errno,
                    "%s:%s: its directory, %s: %s: %s", at->scheme, at->url_name, at->directory, strerror(errno),
                    errno == EACCES ? "ask its owner for the right to search it" : at->no_directory);
    return fd;
}

/* ---- making, with a temporary name ---- */

static bool leads_to(int dir, const char *name, int fd)
{
    struct stat at, of;
    return fstatat(dir, name, &at, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &of) == 0 &&
           at.st_dev == of.st_dev && at.st_ino == of.st_ino;
}

static void sweep_one(int dir, const char *name)
{
    struct stat st;
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        os_byte_lock(fd, OS_BYTE_MAKER) == 0 && leads_to(dir, name, fd))
        unlinkat(dir, name, 0);
    close(fd);
}

/* In a directory that is not ours alone somebody's own file may begin so. */
static bool is_temporary(const char *name)
{
    size_t prefix = strlen(LINKED_TEMPORARY);
    return strncmp(name, LINKED_TEMPORARY, prefix) == 0 && strlen(name) == prefix + 16 &&
           strspn(name + prefix, "0123456789abcdef") == 16;
}

/* Remove what makers who died left. Trouble here is not the caller's: what stays is swept next time. */
static void sweep(const struct linked *at)
{
    int fd = open_directory(at, O_RDONLY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(d));)
        if (is_temporary(entry->d_name))
            sweep_one(fd, entry->d_name);
    closedir(d);
}

static int create_temporary(const struct linked *at, int dir, struct making *ret)
{
    sweep(at);
    for (;;) {
        uint64_t random = 0;
        int error = os_random(&random, sizeof random);
        if (error < 0)
            return fail(error, "no random bytes for a temporary name: %s", strerror(-error));
        snprintf(ret->temporary, sizeof ret->temporary, LINKED_TEMPORARY "%016llx", (unsigned long long)random);
        ret->object.fd = openat(dir, ret->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (ret->object.fd < 0 && (errno == EEXIST || errno == EINTR))
            continue;
        if (ret->object.fd < 0)
            return -errno;
        error = os_byte_lock(ret->object.fd, OS_BYTE_MAKER);
        if (error == 0 && leads_to(dir, ret->temporary, ret->object.fd))
            return 0;
        if (error < 0 && error != -EAGAIN) {
            unlinkat(dir, ret->temporary, 0);
            close(ret->object.fd);
            return error;
        }
        close(ret->object.fd); /* a sweeper was quicker than our lock; it removes the file, so take another */
    }
}

/* ---- making ---- */

static bool can_link(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return access(path, F_OK) == 0;
}

static int create_nameless(int dir)
{
    int fd;
    if (linked_without_tmpfile)
        return -EOPNOTSUPP;
    do
        fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) /* EISDIR, EINVAL: a kernel or file system that does not know it */
        return errno == EISDIR || errno == EINVAL || errno == ENOENT ? -EOPNOTSUPP : -errno;
    if (!can_link(fd)) {
        close(fd);
        return -EOPNOTSUPP;
    }
    return fd;
}

int linked_create(const struct linked *at, struct making *ret)
{
    int dir = open_directory(at, O_PATH);
    if (dir < 0)
        return dir;
    int error = create_nameless(dir);
    *ret = (struct making){.object = {.fd = error, .shm = -1}};
    if (error == -EOPNOTSUPP)
        error = create_temporary(at, dir, ret);
    close(dir);
    if (error == -EROFS)
        return fail(error, "%s:%s: no file can be made in %s: its file system is mounted read-only: mount it writable, or take another",
                    at->scheme, at->url_name, at->directory);
    return error < 0 ? fail(error, "%s:%s: no file can be made in %s: %s", at->scheme, at->url_name,
                            at->directory, strerror(-error))
                     : 0;
}

int linked_publish(const struct linked *at, struct making *m)
{
    char path[32];
    int dir = open_directory(at, O_PATH), error = 0;
    if (dir < 0)
        return dir;
    snprintf(path, sizeof path, "/proc/self/fd/%d", m->object.fd);
    if (m->temporary[0] ? linkat(dir, m->temporary, dir, at->entry, 0)
                        : linkat(AT_FDCWD, path, dir, at->entry, AT_SYMLINK_FOLLOW))
        error = -errno;
    if (error == 0 && m->temporary[0]) {
        unlinkat(dir, m->temporary, 0);
        os_byte_unlock(m->object.fd, OS_BYTE_MAKER);
        m->temporary[0] = 0;
    }
    close(dir);
    if (error < 0 && error != -EEXIST)
        return fail(error, "%s:%s: the name cannot be made in %s: %s", at->scheme, at->url_name,
                    at->directory, strerror(-error));
    return error;
}

void linked_discard(const struct linked *at, struct making *m)
{
    int dir = m->temporary[0] ? open_directory(at, O_PATH) : -1;
    if (dir >= 0) {
        unlinkat(dir, m->temporary, 0);
        close(dir);
    }
    close(m->object.fd);
}

/* ---- by name ---- */

int linked_look(const struct linked *at, struct facts *ret)
{
    struct stat st;
    int dir = open_directory(at, O_PATH);
    if (dir < 0)
        return dir;
    int error = fstatat(dir, at->entry, &st, AT_SYMLINK_NOFOLLOW) != 0 ? -errno : 0;
    close(dir);
    if (error < 0 && error != -ENOENT)
        return fail(error, "%s:%s: cannot be looked at in %s: %s", at->scheme, at->url_name, at->directory,
                    strerror(-error));
    if (error == 0)
        *ret = descriptor_facts_of(&st);
    return error;
}

/* Why it could not be opened, in words. */
static int not_opened(const struct linked *at, bool readonly, int error)
{
    struct facts f;
    switch (error) {
    case -EACCES:
        if (linked_look(at, &f) < 0)
            break;
        return fail(error, "%s:%s: no permission to %s it: owner %u, group %u, mode %04o; this process is user %u",
                    at->scheme, at->url_name, readonly ? "read" : "write", f.uid, f.gid, f.mode, geteuid());
    case -ELOOP:
        return fail(-EPROTO, "%s:%s: a symbolic link, no segment; it is not followed", at->scheme, at->url_name);
    case -EISDIR:
    case -ENXIO:
    case -ENODEV:
        return fail(-EPROTO, "%s:%s: a directory, socket or device, no segment", at->scheme, at->url_name);
    case -EROFS:
        return fail(error, "%s:%s: its file system is mounted read-only: say TARN_RDONLY, or mount it writable",
                    at->scheme, at->url_name);
    default: break;
    }
    return fail(error, "%s:%s: cannot be opened in %s: %s", at->scheme, at->url_name, at->directory,
                strerror(-error));
}

int linked_open(const struct linked *at, bool readonly, struct object *ret)
{
    int dir = open_directory(at, O_PATH), fd;
    if (dir < 0)
        return dir;
    do
        fd = openat(dir, at->entry, (readonly ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    int error = fd < 0 ? -errno : 0;
    close(dir);
    if (error < 0)
        return error == -ENOENT ? error : not_opened(at, readonly, error);
    *ret = (struct object){.fd = fd, .shm = -1};
    return 0;
}

int linked_flush(const struct linked *at)
{
    int dir = open_directory(at, O_RDONLY);
    if (dir < 0)
        return dir;
    int error = os_flush(dir, true);
    close(dir);
    return error < 0 ? fail(error, "%s:%s: its directory, %s, cannot be brought to the disk: %s", at->scheme,
                            at->url_name, at->directory, strerror(-error))
                     : 0;
}

int linked_unlink(const struct linked *at)
{
    int dir = open_directory(at, O_PATH);
    if (dir < 0)
        return dir;
    int error = unlinkat(dir, at->entry, 0) != 0 ? -errno : 0;
    close(dir);
    if (error == -EPERM) /* the kernel's word for another's file in a sticky directory */
        error = -EACCES;
    if (error < 0)
        return fail(error, "%s:%s: the name cannot be removed from %s: %s", at->scheme, at->url_name,
                    at->directory, strerror(-error));
    return 0;
}

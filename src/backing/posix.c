/* backing/posix.c - posix:/name, the objects of shm_open: files of a tmpfs at /dev/shm.
 *
 * A name appears complete: the file is made without a name (O_TMPFILE), and one link, which fails if the name is there, publishes
 * it. That link is the commit point; a maker who dies before it leaves nothing, for the kernel drops a file without a name.
 *
 * Where O_TMPFILE or /proc is missing, the file has a temporary name until then: TEMPORARY and 16 digits. Its maker holds a byte
 * lock on it, which the kernel drops at its death; each maker first removes the temporary files of this user that nobody holds.
 *     maker:   create exclusively; byte lock; look whether the name still leads to it, else again; ...; link; unlink; unlock
 *     sweeper: open; byte lock (held: leave it); look whether the name still leads to it; unlink
 * The lock orders the two looks: a file that its maker goes on with cannot be swept while it is being made.
 *
 * The directory is glibc's constant. A process that is not setuid may name another by TARN_SHM_DIR, for tests; both makers and
 * openers must. It does not touch what is not its own: openers do not follow symbolic links, nor wait on a FIFO. */
#include "backing/backing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#define TEMPORARY ".tarn-"

bool posix_without_tmpfile;

static const char *directory(void)
{
    const char *named = secure_getenv("TARN_SHM_DIR");
    return named && *named ? named : "/dev/shm";
}

/* For *at calls, or, with O_RDONLY, for reading. */
static int open_directory(int flags)
{
    int fd = open(directory(), flags | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(-errno == -ENOENT || -errno == -ENOTDIR ? -ENOSYS : -errno,
                    "the directory of POSIX shared memory, %s: %s: mount a tmpfs there, or use memfd:",
                    directory(), strerror(errno));
    return fd;
}

static int posix_check(const char *url, const char *name)
{
    if (name[0] != '/')
        return fail(-EINVAL, "\"%.300s\": the name of a POSIX object begins with a slash: posix:/name", url);
    name++;
    if (!*name)
        return fail(-EINVAL, "\"%s\": no name after posix:/", url);
    if (strchr(name, '/'))
        return fail(-EINVAL, "\"%.300s\": the name of a POSIX object has no slash but its first", url);
    if (strlen(name) > NAME_MAX)
        return fail(-ENAMETOOLONG, "\"%.40s...\": the name has %zu bytes, and may have %d", url, strlen(name),
                    NAME_MAX);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0)
        return fail(-EINVAL, "\"%.300s\": ., .. and names with %s in front are not for segments", url, TEMPORARY);
    return 0;
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

/* Remove what makers who died left. Trouble here is not the caller's: what stays is swept next time. */
static void sweep(void)
{
    int fd = open_directory(O_RDONLY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(d));)
        if (strncmp(entry->d_name, TEMPORARY, strlen(TEMPORARY)) == 0)
            sweep_one(fd, entry->d_name);
    closedir(d);
}

static int create_temporary(int dir, struct making *ret)
{
    sweep();
    for (;;) {
        uint64_t random = 0;
        int error = os_random(&random, sizeof random);
        if (error < 0)
            return fail(error, "no random bytes for a temporary name: %s", strerror(-error));
        snprintf(ret->temporary, sizeof ret->temporary, TEMPORARY "%016llx", (unsigned long long)random);
        ret->fd = openat(dir, ret->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (ret->fd < 0 && (errno == EEXIST || errno == EINTR))
            continue;
        if (ret->fd < 0)
            return -errno;
        error = os_byte_lock(ret->fd, OS_BYTE_MAKER);
        if (error == 0 && leads_to(dir, ret->temporary, ret->fd))
            return 0;
        if (error < 0 && error != -EAGAIN) {
            unlinkat(dir, ret->temporary, 0);
            close(ret->fd);
            return error;
        }
        close(ret->fd); /* a sweeper was quicker than our lock; it removes the file, so take another */
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
    if (posix_without_tmpfile)
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

static int posix_create(const char *name, struct making *ret)
{
    int dir = open_directory(O_PATH);
    if (dir < 0)
        return dir;
    int error = create_nameless(dir);
    *ret = (struct making){.fd = error};
    if (error == -EOPNOTSUPP)
        error = create_temporary(dir, ret);
    close(dir);
    return error < 0
               ? fail(error, "posix:%s: no file can be made in %s: %s", name, directory(), strerror(-error))
               : 0;
}

static int posix_publish(const char *name, struct making *m)
{
    char path[32];
    int dir = open_directory(O_PATH), error = 0;
    if (dir < 0)
        return dir;
    snprintf(path, sizeof path, "/proc/self/fd/%d", m->fd);
    if (m->temporary[0] ? linkat(dir, m->temporary, dir, name + 1, 0)
                        : linkat(AT_FDCWD, path, dir, name + 1, AT_SYMLINK_FOLLOW))
        error = -errno;
    if (error == 0 && m->temporary[0]) {
        unlinkat(dir, m->temporary, 0);
        os_byte_unlock(m->fd, OS_BYTE_MAKER);
        m->temporary[0] = 0;
    }
    close(dir);
    if (error < 0 && error != -EEXIST)
        return fail(error, "posix:%s: the name cannot be made in %s: %s", name, directory(), strerror(-error));
    return error;
}

static void posix_discard(struct making *m)
{
    int dir = m->temporary[0] ? open_directory(O_PATH) : -1;
    if (dir >= 0) {
        unlinkat(dir, m->temporary, 0);
        close(dir);
    }
    close(m->fd);
}

/* ---- by name ---- */

static int posix_look(const char *name, struct stat *ret)
{
    int dir = open_directory(O_PATH);
    if (dir < 0)
        return dir;
    int error = fstatat(dir, name + 1, ret, AT_SYMLINK_NOFOLLOW) != 0 ? -errno : 0;
    close(dir);
    if (error < 0 && error != -ENOENT)
        return fail(error, "posix:%s: cannot be looked at in %s: %s", name, directory(), strerror(-error));
    return error;
}

/* Why it could not be opened, in words. */
static int not_opened(const char *name, bool readonly, int error)
{
    struct stat st;
    switch (error) {
    case -EACCES:
        if (posix_look(name, &st) < 0)
            break;
        return fail(error, "posix:%s: no permission to %s it: owner %u, group %u, mode %04o; this process is user %u",
                    name, readonly ? "read" : "write", st.st_uid, st.st_gid, st.st_mode & 07777, geteuid());
    case -ELOOP: return fail(-EPROTO, "posix:%s: a symbolic link, no segment; it is not followed", name);
    case -EISDIR:
    case -ENXIO:
    case -ENODEV: return fail(-EPROTO, "posix:%s: a directory, socket or device, no segment", name);
    default: break;
    }
    return fail(error, "posix:%s: cannot be opened in %s: %s", name, directory(), strerror(-error));
}

static int posix_open(const char *name, bool readonly, int *ret_fd)
{
    int dir = open_directory(O_PATH), fd;
    if (dir < 0)
        return dir;
    do
        fd = openat(dir, name + 1, (readonly ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    int error = fd < 0 ? -errno : 0;
    close(dir);
    if (error < 0)
        return error == -ENOENT ? error : not_opened(name, readonly, error);
    *ret_fd = fd;
    return 0;
}

static int posix_unlink(const char *name)
{
    int dir = open_directory(O_PATH);
    if (dir < 0)
        return dir;
    int error = unlinkat(dir, name + 1, 0) != 0 ? -errno : 0;
    close(dir);
    if (error == -EPERM) /* the kernel's word for another's file in a sticky directory */
        error = -EACCES;
    if (error < 0)
        return fail(error, "posix:%s: the name cannot be removed from %s: %s", name, directory(), strerror(-error));
    return 0;
}

const struct backing posix_backing = {
    .name = "posix",
    .named = true,
    .check = posix_check,
    .create = posix_create,
    .publish = posix_publish,
    .discard = posix_discard,
    .open = posix_open,
    .look = posix_look,
    .unlink = posix_unlink,
    .commit = os_commit,
};

/* backing/file.c - file:PATH, segments in files that survive the machine. All that is not about paths and file systems is in linked.c.
 *
 * A path that does not begin with a slash is taken from the working directory at the time of the call; a handle remembers the whole one.
 * Symbolic links are followed on the way to the directory, as everywhere, but not at its end.
 *
 * Not every file system will do. A network's, or a program's (FUSE), shows other machines' writes late or never, and knows nothing of
 * processes that die there. One that writes over nothing (btrfs, ZFS) may find no room for a page that was committed long ago: that is a SIGBUS,
 * and so it must be asked for. What is mounted read-only can be attached read-only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backing/linked.h"

static const char *entry_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int place(const char *path, struct linked *ret)
{
    const char *entry = entry_of(path);
    size_t length = (size_t)(entry - path);
    *ret = (struct linked){.scheme = "file",
                           .url_name = path,
                           .entry = entry,
                           .no_directory = "make it first, or say another",
                           .no_directory_error = -ENOENT};
    if (length >= sizeof ret->directory)
        return fail(-ENAMETOOLONG, "file:%.40s...: its directory has %zu bytes, and may have %zu", path,
                    length, sizeof ret->directory - 1);
    if (length == 0)
        strcpy(ret->directory, ".");
    else
        memcpy(ret->directory, path, length);
    return 0;
}

static int file_check(const char *url, const char *path)
{
    const char *entry = entry_of(path);
    if (!*path)
        return fail(-EINVAL, "\"%s\": no path after file:", url);
    if (strlen(path) >= PATH_MAX)
        return fail(-ENAMETOOLONG, "\"%.40s...\": the path has %zu bytes, and may have %d", url, strlen(path),
                    PATH_MAX - 1);
    if (!*entry)
        return fail(-EINVAL, "\"%.300s\": it ends with a slash, and a segment is a file: file:%.300sname",
                    url, path);
    if (strlen(entry) > NAME_MAX)
        return fail(-ENAMETOOLONG, "\"%.40s...\": the file's name has %zu bytes, and may have %d", url,
                    strlen(entry), NAME_MAX);
    if (strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0 ||
        strncmp(entry, LINKED_TEMPORARY, strlen(LINKED_TEMPORARY)) == 0)
        return fail(-EINVAL, "\"%.300s\": ., .. and names with %s in front are not for segments", url,
                    LINKED_TEMPORARY);
    return 0;
}

static int file_whole(const char *path, char **ret_url)
{
    char *directory = *path == '/' ? strdup("") : getcwd(NULL, 0), *url = NULL;
    if (!directory)
        return errno == ENOMEM
                   ? fail(-ENOMEM, "file:%s: no memory for its path", path)
                   : fail(-errno, "file:%s: the working directory that it is taken from is not there: %s",
                          path, strerror(errno));
    const char *between = *path == '/' || directory[strlen(directory) - 1] == '/' ? "" : "/";
    int length = asprintf(&url, "file:%s%s%s", directory, between, path);
    free(directory);
    if (length < 0)
        return fail(-ENOMEM, "file:%s: no memory for its path", path);
    *ret_url = url;
    return 0;
}

int file_judge(const char *what, int fd, bool copies)
{
    enum os_kept kept;
    const char *name;
    int error = os_kept(fd, &kept, &name);
    if (error < 0)
        return fail(error, "%s: its file system cannot be asked what it is: %s", what, strerror(-error));
    if (kept == OS_KEPT_REMOTE)
        return fail(-EOPNOTSUPP, "%s: its file system is %s, which is not this machine's kernel's alone: take a directory on a disk of this machine",
                    what, name);
    if (kept == OS_KEPT_COPIED && !copies)
        return fail(-EOPNOTSUPP,
                    "%s: its file system is %s, where a page that is written over may find no room (SIGBUS): "
                    "make it elsewhere, or with "
                    "options.copy_on_write",
                    what, name);
    return 0;
}

static int file_create(const char *path, const struct demand *demand, struct making *ret)
{
    struct linked at;
    char what[64];
    int error = place(path, &at);
    if (error < 0 || (error = linked_create(&at, ret)) < 0)
        return error;
    snprintf(what, sizeof what, strlen(path) < 50 ? "file:%s" : "file:%.45s...", path);
    error = file_judge(what, ret->object.fd, demand->copy_on_write);
    if (error < 0)
        linked_discard(&at, ret);
    return error;
}

/* On the disk before it has its name: a power loss may leave the name only together with a header that says how things stand. */
static int file_publish(const char *path, struct making *m)
{
    struct linked at;
    int error = place(path, &at);
    if (error < 0)
        return error;
    if ((error = os_flush(m->object.fd, false)) < 0)
        return fail(error, "file:%s: it cannot be brought to the disk: %s", path, strerror(-error));
    return linked_publish(&at, m);
}

static void file_discard(const char *path, struct making *m)
{
    struct linked at;
    if (place(path, &at) == 0)
        linked_discard(&at, m);
}

static int file_open(const char *path, bool readonly, struct object *ret)
{
    struct linked at;
    int error = place(path, &at);
    return error < 0 ? error : linked_open(&at, readonly, ret);
}

static int file_look(const char *path, struct facts *ret)
{
    struct linked at;
    int error = place(path, &at);
    return error < 0 ? error : linked_look(&at, ret);
}

static int file_unlink(const char *path, const struct object *it)
{
    (void)it; /* no call of the kernel removes a name only if it leads to a given file */
    struct linked at;
    int error = place(path, &at);
    return error < 0 ? error : linked_unlink(&at);
}

static int file_flush(const char *path)
{
    struct linked at;
    int error = place(path, &at);
    return error < 0 ? error : linked_flush(&at);
}

const struct backing file_backing = {
    .name = "file",
    .named = true,
    .durable = true,
    .keeping = &descriptor_keeping,
    .whole = file_whole,
    .check = file_check,
    .create = file_create,
    .publish = file_publish,
    .discard = file_discard,
    .open = file_open,
    .look = file_look,
    .unlink = file_unlink,
    .flush = file_flush,
};

/* backing/posix.c - posix:/name, the objects of shm_open: files of a tmpfs at /dev/shm. All that is not about names is in linked.c.
 *
 * The directory is glibc's constant. A process that is not setuid may name another by TARN_SHM_DIR, for tests; both makers and
 * openers must. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backing/linked.h"

static int place(const char *name, struct linked *ret)
{
    const char *named = secure_getenv("TARN_SHM_DIR");
    *ret = (struct linked){.scheme = "posix",
                           .url_name = name,
                           .entry = name + 1,
                           .no_directory = "mount a tmpfs there for POSIX shared memory, or use memfd:",
                           .no_directory_error = -ENOSYS};
    int n = snprintf(ret->directory, sizeof ret->directory, "%s", named && *named ? named : "/dev/shm");
    return (size_t)n < sizeof ret->directory
               ? 0
               : fail(-ENAMETOOLONG, "TARN_SHM_DIR has %d bytes, and may have %zu", n, sizeof ret->directory - 1);
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
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strncmp(name, LINKED_TEMPORARY, strlen(LINKED_TEMPORARY)) == 0)
        return fail(-EINVAL, "\"%.300s\": ., .. and names with %s in front are not for segments", url,
                    LINKED_TEMPORARY);
    return 0;
}

static int posix_create(const char *name, const struct demand *demand, struct making *ret)
{
    struct linked at;
    int error = place(name, &at);
    (void)demand;
    return error < 0 ? error : linked_create(&at, ret);
}

static int posix_publish(const char *name, struct making *m)
{
    struct linked at;
    int error = place(name, &at);
    return error < 0 ? error : linked_publish(&at, m);
}

static void posix_discard(const char *name, struct making *m)
{
    struct linked at;
    if (place(name, &at) == 0)
        linked_discard(&at, m);
}

static int posix_open(const char *name, bool readonly, struct object *ret)
{
    struct linked at;
    int error = place(name, &at);
    return error < 0 ? error : linked_open(&at, readonly, ret);
}

static int posix_look(const char *name, struct facts *ret)
{
    struct linked at;
    int error = place(name, &at);
    return error < 0 ? error : linked_look(&at, ret);
}

static int posix_unlink(const char *name, const struct object *it)
{
    (void)it; /* no call of the kernel removes a name only if it leads to a given file */
    struct linked at;
    int error = place(name, &at);
    return error < 0 ? error : linked_unlink(&at);
}

const struct backing posix_backing = {
    .name = "posix",
    .named = true,
    .keeping = &descriptor_keeping,
    .check = posix_check,
    .create = posix_create,
    .publish = posix_publish,
    .discard = posix_discard,
    .open = posix_open,
    .look = posix_look,
    .unlink = posix_unlink,
};

/* backing/memfd.c - memfd: and anon:, memory files without a name. Others get them by descriptor, or by fork.
 *
 * They lie in the kernel's own mount, so the size of /dev/shm is no limit to them. Publishing seals them: from then on nobody, not
 * even a hostile holder of the descriptor, can take bytes away from under the others. */
#include "backing/backing.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#define LABEL_MOST 249 /* the kernel's: NAME_MAX less "memfd:" */

static int memfd_check(const char *url, const char *name)
{
    if (!*name)
        return fail(-EINVAL, "\"%s\": no label after memfd:", url);
    if (strlen(name) > LABEL_MOST)
        return fail(-ENAMETOOLONG, "\"%.40s...\": the label has %zu bytes, and a memfd's may have %d", url,
                    strlen(name), LABEL_MOST);
    return 0;
}

static int anon_check(const char *url, const char *name)
{
    return *name ? fail(-EINVAL, "\"%.300s\": anon: takes no name; for a label, say memfd:label", url) : 0;
}

static int create(const char *label, bool huge, struct making *ret)
{
    int fd = huge ? os_memfd_huge(label) : os_memfd(label);
    if (fd < 0)
        return fail(fd, "memfd \"%s\" cannot be made: %s", label, strerror(-fd));
    *ret = (struct making){.object = {.fd = fd, .shm = -1}};
    return 0;
}

static int memfd_create_file(const char *name, const struct demand *demand, struct making *ret)
{
    return create(name, demand->huge, ret);
}

static int anon_create_file(const char *name, const struct demand *demand, struct making *ret)
{
    (void)name;
    return create("tarn", demand->huge, ret);
}

static int memfd_publish(const char *name, struct making *m)
{
    int error = os_seal(m->object.fd);
    return error < 0 ? fail(error, "memfd \"%s\" cannot be sealed against shrinking: %s", name, strerror(-error))
                     : 0;
}

static void memfd_discard(const char *name, struct making *m)
{
    (void)name;
    close(m->object.fd);
}

const struct backing memfd_backing = {
    .name = "memfd",
    .huge = true,
    .keeping = &descriptor_keeping,
    .check = memfd_check,
    .create = memfd_create_file,
    .publish = memfd_publish,
    .discard = memfd_discard,
};

const struct backing anon_backing = {
    .name = "anon",
    .huge = true,
    .keeping = &descriptor_keeping,
    .check = anon_check,
    .create = anon_create_file,
    .publish = memfd_publish,
    .discard = memfd_discard,
};

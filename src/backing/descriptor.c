/* backing/descriptor.c - bytes kept in a file, which the handle has a descriptor of: of a tmpfs, a disk, or of no file system that anybody sees.
 *
 * Committing is the file system's promise (fallocate), made by whoever has a descriptor, for everybody. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backing/backing.h"

struct facts descriptor_facts_of(const struct stat *st)
{
    return (struct facts){.device = st->st_dev,
                          .inode = st->st_ino,
                          .size = (uint64_t)st->st_size,
                          .mode = st->st_mode & 07777,
                          .uid = st->st_uid,
                          .maker_uid = st->st_uid,
                          .gid = st->st_gid,
                          .links = (uint32_t)st->st_nlink,
                          .bytes = S_ISREG(st->st_mode)};
}

static int facts(const struct object *o, struct facts *ret)
{
    struct stat st;
    if (fstat(o->fd, &st) != 0)
        return -errno;
    *ret = descriptor_facts_of(&st);
    return 0;
}

static int64_t read_bytes(const struct object *o, void *to, size_t size, uint64_t offset)
{
    return os_read_at(o->fd, to, size, offset);
}

static int map(const struct object *o, uint64_t offset, uint64_t size, const struct os_place *p, void **ret_at)
{
    return os_map(o->fd, offset, size, p, ret_at);
}

static void unmap(void *at, uint64_t offset, uint64_t size)
{
    (void)offset;
    os_unmap(at, size);
}

static int commit(const struct object *o, void *base, uint64_t offset, uint64_t size)
{
    uint64_t page = os_pages_of(o->fd);
    (void)base;
    if (page) { /* a file of huge pages ends with a whole one, or its last part is not there */
        size = (offset + size + page - 1) / page * page - offset / page * page;
        offset = offset / page * page;
    }
    return os_commit(o->fd, offset, size);
}

static int set_mode(const struct object *o, uint32_t mode)
{
    return fchmod(o->fd, mode) != 0 ? -errno : 0;
}

static int set_owner(const struct object *o, uint32_t uid, uint32_t gid)
{
    return fchown(o->fd, uid, gid) != 0 ? -errno : 0;
}

static void close_object(struct object *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

const struct keeping descriptor_keeping = {
    .facts = facts,
    .read = read_bytes,
    .map = map,
    .unmap = unmap,
    .commit = commit,
    .set_mode = set_mode,
    .set_owner = set_owner,
    .close = close_object,
};

/* backing/sysv.c - sysv:KEY and sysv:private: System V shared memory, which has neither descriptors nor a link step.
 *
 * A key leads to the memory from shmget on, while it is all zero. So a segment is whole when its first word is not 0, and until then nobody
 * opens it; whoever may make it does so, alone: inside a robust mutex in the memory itself, which must not need a maker of its own. Its image is constant:
 * all zero but for the kind, so that anybody may store that at any time (os_robust_kind). Should the maker die, the next one begins again from the
 * start: all that makers write before the first word is the same, or is seen by nobody.
 *     maker:  shmget; map; kind; lock; look: first word 0, else out; fill; first word (the commit point); unlock
 *
 * Somebody else's zeroed memory of the same key is never adopted. What says that it is ours, before anything stands in it, is what shmget is given: the
 * creator's user, and the size, whose last twelve bits are the sum of all that makers must agree on (the pages are the same).
 *
 * The mutex knows its holder by thread id: two makers of one key in two PID namespaces that happen to have one id may be in it both.
 * sysv:private is marked for removal before it is whole, so it goes with its last user; a maker killed between shmget and
 * that leaves an id that only ipcrm takes away: there is no other way with System V. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backing/backing.h"

#define PAGE_BITS 12u /* of the size that the sum may take: pages are no smaller anywhere */

uint32_t sysv_patience = 10000; /* ms for another maker */

/* ---- names ---- */

static int32_t key_of(const char *name)
{
    return (int32_t)(uint32_t)strtoull(name, NULL, 0);
}

static int sysv_check(const char *url, const char *name)
{
    bool hex = name[0] == '0' && (name[1] == 'x' || name[1] == 'X');
    const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789", *from = hex ? name + 2 : name;
    size_t length = strspn(from, digits);
    if (!length || from[length] || (!hex && name[0] == '0' && length > 1))
        return fail(-EINVAL, "\"%.300s\": a key is a number, as 5678 or 0x162e, or the word private", url);
    if (length > 10 || strtoull(name, NULL, 0) > UINT32_MAX)
        return fail(-EINVAL, "\"%.300s\": a key has 32 bits", url);
    if (strtoull(name, NULL, 0) == OS_SHM_PRIVATE)
        return fail(-EINVAL, "\"%s\": 0 is the key of those that have none: say sysv:private", url);
    return 0;
}

static int private_check(const char *url, const char *name)
{
    return strcmp(name, "private") != 0 ? fail(-EINVAL, "\"%.300s\": say sysv:private", url) : 0;
}

/* ---- the memory ---- */

static struct facts facts_of(int id, const struct os_shm *s)
{
    uint64_t page = os_page_size();
    return (struct facts){.device = OS_SHM_DEVICE,
                          .inode = (uint64_t)id,
                          .size = (s->size + page - 1) / page * page,
                          .mode = s->mode,
                          .uid = s->uid,
                          .maker_uid = s->creator_uid,
                          .gid = s->gid,
                          .links = !s->removed,
                          .bytes = true};
}

static int facts(const struct object *o, struct facts *ret)
{
    struct os_shm s;
    int error = os_shm_stat(o->shm, &s);
    if (error == 0)
        *ret = facts_of(o->shm, &s);
    return error;
}

static int64_t read_bytes(const struct object *o, void *to, size_t size, uint64_t offset)
{
    const struct os_place place = {.dumped = true};
    struct facts f;
    void *base;
    int error = facts(o, &f);
    if (error < 0 || (error = os_shm_map(o->shm, &place, &base)) < 0)
        return error;
    if (offset > f.size)
        offset = f.size;
    if (size > f.size - offset)
        size = f.size - offset;
    memcpy(to, (const char *)base + offset, size);
    os_shm_unmap(base);
    return (int64_t)size;
}

static int map(const struct object *o, uint64_t offset, uint64_t size, const struct os_place *p, void **ret_at)
{
    struct os_place place = *p;
    struct facts f;
    void *base;
    int error = facts(o, &f);
    if (error < 0)
        return error;
    if (offset > f.size || size > f.size - offset)
        return -EINVAL;
    if (place.private)
        return -EOPNOTSUPP;
    if (place.address)
        place.address = (char *)place.address - offset;
    if ((error = os_shm_map(o->shm, &place, &base)) < 0)
        return error;
    *ret_at = (char *)base + offset;
    return 0;
}

static void unmap(void *at, uint64_t offset, uint64_t size)
{
    (void)size;
    os_shm_unmap((char *)at - offset);
}

/* There is no fallocate here: the pages are made by touching them. */
static int commit(const struct object *o, void *base, uint64_t offset, uint64_t size)
{
    uint64_t page = os_page_size(), from = offset / page * page, end = (offset + size + page - 1) / page * page;
    (void)o;
    int error = os_populate((char *)base + from, end - from, true);
    return error == -EINVAL ? -EOPNOTSUPP : error == -EFAULT ? -ENOMEM : error;
}

static int set_mode(const struct object *o, uint32_t mode)
{
    return os_shm_set(o->shm, &mode, NULL, NULL);
}

static int set_owner(const struct object *o, uint32_t uid, uint32_t gid)
{
    return os_shm_set(o->shm, NULL, uid == UINT32_MAX ? NULL : &uid, gid == UINT32_MAX ? NULL : &gid);
}

static void close_object(struct object *o)
{
    o->shm = -1;
}

const struct keeping sysv_keeping = {
    .facts = facts,
    .read = read_bytes,
    .map = map,
    .unmap = unmap,
    .commit = commit,
    .set_mode = set_mode,
    .set_owner = set_owner,
    .close = close_object,
};

/* ---- what is under a key ---- */

static int first_word(int id, uint64_t *ret)
{
    const struct object o = {.fd = -1, .shm = id};
    int64_t got = read_bytes(&o, ret, sizeof *ret, 0);
    return got < 0 ? (int)got : got == sizeof *ret ? 0 : -EPROTO;
}

static int no_right(const char *name, int id, int error, const char *verb)
{
    struct os_shm s;
    if ((error == -EACCES || error == -EPERM) && os_shm_listed(id, &s) == 0)
        return fail(-EACCES,
                    "sysv:%s: no permission to %s it: owner %u, group %u, mode %04o; this process is user %u",
                    name, verb, s.uid, s.gid, s.mode, geteuid());
    return fail(error == -EPERM ? -EACCES : error, "sysv:%s: id %d: it cannot be %s: %s", name, id,
                strcmp(verb, "remove") == 0 ? "removed" : "attached", strerror(-error));
}

static bool is_gone(int error)
{
    return error == -EIDRM || error == -EINVAL;
}

/* The id of what is whole. */
static int find(const char *name, int *ret_id)
{
    uint64_t word;
    int id, error = os_shm_find(key_of(name), &id);
    if (error < 0)
        return error == -ENOENT ? error
                                : fail(error, "sysv:%s: cannot be looked for: %s", name, strerror(-error));
    if ((error = first_word(id, &word)) < 0)
        return is_gone(error) ? -ENOENT : no_right(name, id, error, "read");
    if (!word)
        return -ENOENT;
    *ret_id = id;
    return 0;
}

static int sysv_open(const char *name, bool readonly, struct object *ret)
{
    int id, error = find(name, &id);
    if (error < 0)
        return error;
    /* It is asked again when it is mapped; but a handle that this process has already, or inherited, is not mapped again. */
    if (!readonly && (error = os_shm_may_write(key_of(name))) < 0)
        return is_gone(error) || error == -ENOENT ? -ENOENT : no_right(name, id, error, "write");
    *ret = (struct object){.fd = -1, .shm = id};
    return 0;
}

static int open_plain(const char *name, bool readonly, struct object *ret)
{
    struct os_shm s;
    int id, error = os_shm_find(key_of(name), &id);
    (void)readonly;
    if (error == 0)
        error = os_shm_stat(id, &s);
    if (error < 0)
        return error == -ENOENT || is_gone(error) ? -ENOENT : no_right(name, id, error, "read");
    *ret = (struct object){.fd = -1, .shm = id};
    return 0;
}

static int sysv_look(const char *name, struct facts *ret)
{
    struct os_shm s;
    int id, error = find(name, &id);
    if (error < 0)
        return error;
    if ((error = os_shm_stat(id, &s)) < 0)
        return is_gone(error) ? -ENOENT : no_right(name, id, error, "read");
    *ret = facts_of(id, &s);
    return 0;
}

static int sysv_unlink(const char *name, const struct object *it)
{
    struct os_shm s;
    int id = it ? it->shm : -1, error = it ? 0 : os_shm_find(key_of(name), &id);
    if (it && os_shm_stat(id, &s) == 0 && s.removed)
        return -EAGAIN;
    if (error == 0)
        error = os_shm_remove(id);
    return error < 0 ? no_right(name, id, error, "remove") : 0;
}

/* ---- making ---- */

/* The same number of pages, and the sum in the last bits. */
static uint64_t told_size(const struct demand *d)
{
    if (d->plain)
        return d->size;
    return d->size - (1u << PAGE_BITS) + 1 + (d->sum & ((1u << PAGE_BITS) - 1));
}

static int not_created(const char *name, uint64_t size, int error)
{
    uint64_t most = os_shm_limit("shmmax"), all = os_shm_limit("shmall"), ids = os_shm_limit("shmmni");
    uint64_t used_ids = 0, used = 0, pages = size / os_page_size() + 1; /* size is no whole number of pages */
    if (error == -EINVAL && size > most)
        return fail(-ENOSPC, "sysv:%s: its limit needs %llu bytes, and kernel.shmmax is %llu: make it with a smaller limit, or raise that",
                    name, (unsigned long long)size, (unsigned long long)most);
    if (error == -ENOSPC && os_shm_used(&used_ids, &used) == 0 && used_ids < ids)
        return fail(error, "sysv:%s: its limit needs %llu pages, and kernel.shmall lets all segments together have %llu, of which %llu are taken: make it with a smaller limit, remove some (ipcs -m), or raise that",
                    name, (unsigned long long)pages, (unsigned long long)all, (unsigned long long)used);
    if (error == -ENOSPC)
        return fail(error, "sysv:%s: kernel.shmmni, %llu segments, is used up: remove some (ipcs -m), or raise that",
                    name, (unsigned long long)ids);
    return fail(error, "sysv:%s: %llu bytes cannot be made: %s", name, (unsigned long long)size, strerror(-error));
}

/* There is something under the key that is not whole. Ours to make, if it was begun for the same. */
static int adopt(const char *name, uint64_t size, struct making *ret)
{
    struct os_shm s;
    uint64_t word;
    int id, error = os_shm_find(key_of(name), &id);
    if (error < 0)
        return error == -ENOENT ? -EAGAIN
                                : fail(error, "sysv:%s: cannot be looked for: %s", name, strerror(-error));
    if ((error = first_word(id, &word)) < 0 || (error = os_shm_stat(id, &s)) < 0)
        return is_gone(error) ? -EAGAIN : no_right(name, id, error, "read");
    if (word)
        return -EEXIST;
    if (s.size != size || s.creator_uid != geteuid() || s.uid != geteuid())
        return fail(
            -EPROTO,
            "sysv:%s: id %d has this key, is all zero (%llu bytes, of user %u), and was not begun for such a "
            "segment: it is somebody else's, or of other options: take another key, or remove it (ipcrm -m "
            "%d)",
            name, id, (unsigned long long)s.size, s.creator_uid, id);
    *ret = (struct making){.object = {.fd = -1, .shm = id}};
    return 0;
}

static int create_at(const char *name, int32_t key, const struct demand *d, struct making *ret)
{
    uint64_t size = told_size(d);
    int id, error = os_shm_create(key, size, d->mode | (d->huge ? OS_SHM_HUGE : 0), &id);
    if (error == -EEXIST)
        return d->plain ? error : adopt(name, size, ret);
    if (error < 0)
        return not_created(name, size, error);
    *ret = (struct making){.object = {.fd = -1, .shm = id}, .fresh = true};
    return 0;
}

static int sysv_create(const char *name, const struct demand *d, struct making *ret)
{
    return create_at(name, key_of(name), d, ret);
}

static int private_create(const char *name, const struct demand *d, struct making *ret)
{
    return create_at(name, OS_SHM_PRIVATE, d, ret);
}

static int sysv_enter(const char *name, struct making *m, void *base, pthread_mutex_t *door)
{
    const uint64_t *first = base;
    struct timespec until;
    struct os_shm s;
    m->fresh = false; /* from here on others may be making it */
    if (__atomic_load_n(first, __ATOMIC_ACQUIRE))
        return -EEXIST;
    os_robust_kind(door); /* harms nobody who is in it */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += sysv_patience / 1000;
    until.tv_nsec += sysv_patience % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    int error = -pthread_mutex_timedlock(door, &until);
    if (error == -EOWNERDEAD)
        error = -pthread_mutex_consistent(door);
    if (error < 0)
        return fail(error == -ETIMEDOUT ? -EBUSY : error,
                    "sysv:%s: another process is making it, and does not come on (%s): is it stopped?", name,
                    strerror(-error));
    error = __atomic_load_n(first, __ATOMIC_ACQUIRE) ? -EEXIST : 0;
    if (error == 0 && (os_shm_stat(m->object.shm, &s) < 0 || s.removed))
        error = -EAGAIN;
    if (error < 0)
        pthread_mutex_unlock(door);
    else
        m->door = door;
    return error;
}

static int private_enter(const char *name, struct making *m, void *base, pthread_mutex_t *door)
{
    (void)name;
    (void)base;
    (void)door;
    int error = os_shm_remove(m->object.shm);
    return error < 0 ? fail(error, "sysv:private: cannot be marked for removal: %s", strerror(-error)) : 0;
}

static int sysv_publish(const char *name, struct making *m)
{
    (void)name;
    if (m->door)
        pthread_mutex_unlock(m->door);
    m->door = NULL;
    return 0;
}

/* Who gives up in the midst removes it, for what it began is of use to nobody; who is waiting to make it finds it removed, and begins anew. */
static void sysv_discard(const char *name, struct making *m)
{
    if (m->door || m->fresh)
        (void)os_shm_remove(m->object.shm);
    (void)sysv_publish(name, m);
}

const struct backing sysv_backing = {
    .name = "sysv",
    .named = true,
    .huge = true,
    .keeping = &sysv_keeping,
    .check = sysv_check,
    .create = sysv_create,
    .enter = sysv_enter,
    .publish = sysv_publish,
    .discard = sysv_discard,
    .open = sysv_open,
    .open_plain = open_plain,
    .look = sysv_look,
    .unlink = sysv_unlink,
};

const struct backing sysv_private_backing = {
    .name = "sysv",
    .huge = true,
    .keeping = &sysv_keeping,
    .check = private_check,
    .create = private_create,
    .enter = private_enter,
    .publish = sysv_publish,
    .discard = sysv_discard,
};

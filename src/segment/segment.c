/* segment/segment.c - the process's handles: their list, their mapping, fork, and the end of them.
 *
 * One lock, `lock`, orders all openings, closings and forks of the process; it is taken before any other lock of the library. A
 * fork waits for it, so that the child finds the list whole. In the child, each floor's `child` is called from the atfork handler:
 * there the mapping and the descriptors are the parent's too, and what says 'I' in private memory must be forgotten. A child made
 * by raw clone or vfork runs no handlers: it may only exec or _exit.
 *
 * Floors attach from the lowest up, and close and unmap from the highest down; the lowest, whose close ends the thread's
 * participation, thus refuses or acts last. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/os.h"
#include "os/probe.h"
#include "segment/guard.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tarn *handles;
static _Atomic uint32_t generation;

/* ---- fork ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
    for (struct tarn *seg = handles; seg; seg = seg->next) {
        for (const struct floor *const *f = tarn_floors; *f; f++)
            if ((*f)->fork)
                (*f)->fork(seg);
        lifetime_fork(seg);
    }
    guard_fork();
}

static void after_fork_parent(void)
{
    guard_parent();
    for (struct tarn *seg = handles; seg; seg = seg->next) {
        for (const struct floor *const *f = tarn_floors; *f; f++)
            if ((*f)->parent)
                (*f)->parent(seg);
        lifetime_parent(seg);
    }
    pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    guard_child();
    atomic_fetch_add(&generation, 1);
    for (struct tarn *seg = handles; seg; seg = seg->next) {
        for (const struct floor *const *f = tarn_floors; *f; f++)
            if ((*f)->child)
                (*f)->child(seg);
        lifetime_child(seg);
        tenure_child(seg);
    }
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

uint32_t process_generation(void)
{
    return atomic_load(&generation);
}

/* ---- the list ---- */

void handles_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
}

void handles_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

struct tarn *handle_find(const struct facts *f, const struct attaching *how, const uint8_t uuid[16])
{
    for (struct tarn *seg = handles; seg; seg = seg->next)
        if (seg->device == f->device && seg->inode == f->inode && seg->readonly == how->readonly &&
            !seg->private && !seg->raw && memcmp(header_of(seg)->uuid, uuid, 16) == 0)
            return seg;
    return NULL;
}

void handle_list(struct tarn *seg)
{
    seg->next = handles;
    handles = seg;
    PROBE(open, seg, handle_name(seg), seg->base);
}

static void handle_unlist(struct tarn *seg)
{
    struct tarn **at = &handles;
    while (*at && *at != seg)
        at = &(*at)->next;
    if (!*at)
        return;
    PROBE(close, seg, handle_name(seg));
    *at = seg->next;
}

const char *handle_name(const struct tarn *seg)
{
    return seg->url ? seg->url : "the segment behind the descriptor";
}

/* ---- one handle ---- */

int place_failed(const char *what, uint64_t size, const struct facts *f, const struct attaching *how, int error)
{
    if (error == -EADDRINUSE || error == -EBUSY || error == -EUCLEAN || (error == -EINVAL && !how->raw))
        return error; /* said */
    if (error == -EEXIST)
        return place_taken(what, how->address, size);
    uint64_t most = os_process_limit(RLIMIT_AS);
    if (error == -ENOMEM && most != UINT64_MAX)
        return fail(error,
                    "%s: no address space: its limit needs %llu bytes, and RLIMIT_AS of this process is "
                    "%llu: make it with a "
                    "smaller limit, or raise RLIMIT_AS",
                    what, (unsigned long long)size, (unsigned long long)most);
    if (error == -ENOMEM)
        return fail(error, "%s: no %llu bytes of address space (or too many mappings): make it with a smaller limit",
                    what, (unsigned long long)size);
    if (error == -EACCES) /* of shared memory it is asked only now */
        return fail(error, "%s: no permission to %s it: owner %u, group %u, mode %04o; this process is user %u",
                    what, how->readonly ? "read" : "write", f->uid, f->gid, f->mode, geteuid());
    return fail(error == -EPERM ? -EACCES : error, "%s: cannot be mapped: %s", what, strerror(-error));
}

struct tarn *handle_new(const char *what, const struct backing *backing)
{
    struct tarn *seg = calloc(1, sizeof *seg);
    char *url = backing ? strdup(what) : NULL;
    if (!seg || (backing && !url)) {
        free(seg);
        free(url);
        return NULL;
    }
    *seg = (struct tarn){.object = {-1, -1},
                         .backing = backing,
                         .url = url,
                         .opens = 1,
                         .claim_fd = -1,
                         .user = -1,
                         .user_weak = -1,
                         .heir = -1,
                         .creator_fd = -1};
    return seg;
}

int handle_map(const char *what, const struct object *o, const struct geometry *g,
               const struct attaching *how, const struct backing *backing, struct tarn **ret)
{
    const struct keeping *keeping = backing ? backing->keeping : &descriptor_keeping;
    struct facts f;
    void *base;
    int error = keeping->facts(o, &f);
    if (error < 0)
        return fail(error, "%s: %s", what, strerror(-error));
    struct tarn *seg = handle_new(what, backing);
    if (!seg)
        return fail(-ENOMEM, "%s: no memory for a handle", what);
    error = place_map(what, o, g, &f, how, keeping, &base);
    if (error < 0) {
        free(seg->url);
        free(seg);
        return place_failed(what, g->end, &f, how, error);
    }
    seg->base = base;
    seg->geometry = *g;
    seg->readonly = how->readonly;
    seg->executable = how->executable;
    seg->exchange_unlock = g->options & SEGMENT_EXCHANGE_UNLOCK;
    seg->uninitialized = g->options & SEGMENT_UNINITIALIZED;
    seg->object = *o;
    seg->keeping = how->private ? &private_keeping : keeping;
    seg->device = f.device;
    seg->inode = f.inode;
    seg->durable = backing && backing->durable && !how->private;
    seg->private = seg->claimless = how->private; /* nobody else is in it: byte locks are for others */
    seg->no_growth = how->no_growth;
    if (how->private)
        seg->backed = g->limit;
    guard_mapped(seg);
    *ret = seg;
    return 0;
}

/* The first `count` floors, highest first. */
static void unmap_floors(struct tarn *seg, int count)
{
    while (count-- > 0)
        if (tarn_floors[count]->unmap)
            tarn_floors[count]->unmap(seg);
}

static int count_floors(void)
{
    int count = 0;
    while (tarn_floors[count])
        count++;
    return count;
}

int handle_attach(struct tarn *seg)
{
    for (int i = 0; tarn_floors[i]; i++) {
        int error = tarn_floors[i]->attach ? tarn_floors[i]->attach(seg) : 0;
        if (error < 0) {
            unmap_floors(seg, i);
            return error;
        }
    }
    return 0;
}

void handle_detach(struct tarn *seg)
{
    unmap_floors(seg, count_floors());
}

void handle_free(struct tarn *seg)
{
    guard_unmapped(seg);
    if (seg->raw)
        raw_unmap(seg);
    else
        seg->keeping->unmap(seg->base, 0, seg->geometry.end);
    lifetime_unmapped(seg);
    seg->keeping->close(&seg->object);
    free(seg->url);
    free(seg);
}

/* ---- the end ---- */

static int close_last(struct tarn *seg)
{
    tenure_settle(seg);
    for (int i = count_floors(); i-- > 0;) {
        int error = tarn_floors[i]->close ? tarn_floors[i]->close(seg) : 0;
        if (error < 0)
            return error;
    }
    lifetime_leave(seg);
    int error = tenure_leave(seg);
    handle_unlist(seg);
    handle_detach(seg);
    handle_free(seg);
    return error;
}

static int close_one(tarn *seg)
{
    if (!seg)
        return 0;
    int error = 0;
    handles_lock();
    if (seg->opens > 1)
        seg->opens--;
    else
        error = close_last(seg);
    handles_unlock();
    return error;
}

int tarn_close(tarn *seg)
{
    int cancel = os_cancel_off(), e = close_one(seg);
    os_cancel_restore(cancel);
    return e;
}

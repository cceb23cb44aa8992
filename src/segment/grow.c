/* segment/grow.c - more data space, for everybody, without asking anybody.
 *
 * The whole of the limit is mapped by each process from the start, so growth is the backing's commitment and one word:
 *     side tables of the new spans committed; data committed; committed: old -> new by compare-and-swap (the commit point)
 * A kill before the swap leaves memory that the file has and nobody uses: the next growth finds it committed already. Racing
 * growers may each commit; one publishes, the others look again. Commitment is fallocate, so a full file system is an error here
 * and never a signal later; the control group is looked at beforehand, since its refusal is no error but a kill.
 *
 * It does not shrink, and it touches none of the new bytes. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "os/os.h"

#define STEP_MOST (UINT64_C(64) << 20)

/* ---- committing, in words ---- */

static int no_room(const char *what, const struct object *o, bool huge, uint64_t size)
{
    uint64_t room = 0, total = 0;
    if (huge)
        return fail(-ENOSPC, "%s: no room for %llu more bytes: it is made of huge pages of %llu bytes, of which %llu bytes are free: raise vm.nr_hugepages",
                    what, (unsigned long long)size, (unsigned long long)os_huge_page(),
                    (unsigned long long)os_huge_free());
    if (o->fd >= 0 && os_room(o->fd, &room, &total) == 0 && total)
        return fail(-ENOSPC,
                    "%s: no room for %llu more bytes: the file system that holds it has %llu bytes, %llu of "
                    "them free: make that bigger, "
                    "or the segment smaller",
                    what, (unsigned long long)size, (unsigned long long)total, (unsigned long long)room);
    return fail(-ENOSPC, "%s: no room for %llu more bytes in the kernel's own memory file system", what,
                (unsigned long long)size);
}

int commit_range(const char *what, const struct tarn *seg, uint64_t offset, uint64_t size)
{
    bool huge = seg->geometry.options & SEGMENT_HUGE_RESERVED;
    int error = size == 0 ? 0 : seg->keeping->commit(&seg->object, seg->base, offset, size);
    if (huge && error == -ENOMEM)
        error = -ENOSPC;
    switch (error) {
    case 0: return 0;
    case -ENOSPC: return no_room(what, &seg->object, huge, size);
    case -EDQUOT:
        return fail(-ENOSPC, "%s: no room for %llu more bytes: this user's quota is used up", what,
                    (unsigned long long)size);
    case -ENOMEM:
        return fail(error, "%s: the kernel has no memory for %llu more bytes", what, (unsigned long long)size);
    case -EFBIG:
        return fail(
            -ENOSPC, "%s: it would become %llu bytes long, and RLIMIT_FSIZE of this process is %llu: raise that",
            what, (unsigned long long)(offset + size), (unsigned long long)os_process_limit(RLIMIT_FSIZE));
    case -EPERM: return fail(-ENOSPC, "%s: sealed against growing", what);
    case -EOPNOTSUPP:
        return fail(
            error,
            seg->object.fd >= 0
                ? "%s: its file system cannot commit memory beforehand (fallocate)"
                : "%s: this kernel cannot commit memory beforehand: MADV_POPULATE_WRITE came with Linux 5.14",
            what);
    default:
        return fail(error, "%s: %llu bytes cannot be committed: %s", what, (unsigned long long)size,
                    strerror(-error));
    }
}

int cgroup_allows(const char *what, uint64_t size)
{
    uint64_t room = os_cgroup_room(size);
    return size <= room
               ? 0
               : fail(-ENOMEM, "%s: %llu more bytes are more than this process's control group has left (%llu): raise its memory limit",
                      what, (unsigned long long)size, (unsigned long long)room);
}

/* ---- what may be touched ---- */

/* A hostile writer's `committed` would have us touch what is not there. The file's size is asked only when the word is beyond all that was
 * seen before; files only grow (memfds are sealed; who truncates a POSIX object harms everybody, as tarn.h says). */
uint64_t committed_checked(const struct tarn *seg, uint64_t committed)
{
    uint64_t data = seg->geometry.zone[ZONE_DATA], backed = __atomic_load_n(&seg->backed, __ATOMIC_RELAXED);
    struct facts f;
    if (committed > seg->geometry.limit)
        committed = seg->geometry.limit;
    if (committed > backed && seg->keeping->facts(&seg->object, &f) == 0 && f.size > data + backed) {
        backed = f.size - data;
        if (seg->object.fd < 0 && !seg->private && backed > committed)
            backed = committed; /* shared memory has its full size from the start, whatever of it is there */
        __atomic_store_n((uint64_t *)&seg->backed, backed, __ATOMIC_RELAXED);
    }
    return committed < backed ? committed : backed;
}

/* ---- growing ---- */

static uint64_t whole_spans(const struct tarn *seg, uint64_t bytes)
{
    uint64_t span = seg->geometry.span_size;
    return (bytes + span - 1) / span * span;
}

static int commit_spans(struct tarn *seg, uint64_t from, uint64_t bytes)
{
    const struct geometry *g = &seg->geometry;
    uint64_t side = g->zone[ZONE_SIDE] + (from >> g->span_shift) * g->side_size;
    uint64_t side_bytes = (bytes >> g->span_shift) * g->side_size;
    int error = cgroup_allows(handle_name(seg), bytes + side_bytes);
    if (error == 0)
        error = commit_range(handle_name(seg), seg, side, side_bytes);
    return error < 0 ? error : commit_range(handle_name(seg), seg, g->zone[ZONE_DATA] + from, bytes);
}

/* Some more than asked, so that a growing segment asks seldom. */
static uint64_t generous(const struct tarn *seg, uint64_t from, uint64_t need, uint64_t limit)
{
    uint64_t step = from / 8 < STEP_MOST ? from / 8 : STEP_MOST, left = limit - from;
    step = whole_spans(seg, step > need ? step : need);
    return step < left ? step : left;
}

/* Is there a limit before `goal`? *ret_limit: what it may become now. */
static int check_limits(const struct tarn *seg, uint64_t old, uint64_t bytes, uint64_t *ret_limit)
{
    uint64_t most = seg->geometry.limit, set = growth_limit_of(seg);
    if (bytes > most - old)
        return fail(
            -ENOSPC, "%s: its limit: %llu bytes of data space, of which %llu are in use, and %llu more were asked: make it anew with a greater limit",
            handle_name(seg), (unsigned long long)most, (unsigned long long)old, (unsigned long long)bytes);
    if (no_growth(seg))
        return fail(-ENOSPC, "%s: %llu bytes of data space are in use, and it was received without the right to grow: another process must, that has it",
                    handle_name(seg), (unsigned long long)old);
    if (old > set || bytes > set - old)
        return fail(-ENOSPC, "%s: tarn_set_limit has stopped its growth at %llu bytes of data space, of which %llu are in use, and %llu more were asked: it may be set anew, up to %llu",
                    handle_name(seg), (unsigned long long)set, (unsigned long long)old,
                    (unsigned long long)bytes, (unsigned long long)most);
    *ret_limit = set;
    return 0;
}

static int grow(struct tarn *seg, uint64_t bytes)
{
    const struct geometry *g = &seg->geometry;
    uint64_t *committed = &header_of(seg)->committed, old = __atomic_load_n(committed, __ATOMIC_ACQUIRE),
             goal, limit;
    int error;
    if (seg->raw)
        return raw_refused(seg, "tarn_grow");
    if (seg->readonly)
        return fail(-EROFS, "%s: attached read-only: it does not grow from here", handle_name(seg));
    if (old > g->limit || old % g->span_size)
        return fail(-EUCLEAN, "%s: damaged: it says that %llu bytes are committed", handle_name(seg),
                    (unsigned long long)old);
    if ((error = check_limits(seg, old, bytes, &limit)) < 0)
        return error;
    goal = old + whole_spans(seg, bytes);
    while (old < goal) {
        if ((error = check_limits(seg, old, goal - old, &limit)) < 0) /* it may have been set meanwhile */
            return error;
        uint64_t need = goal - old, step = generous(seg, old, need, limit);
        error = commit_spans(seg, old, step);
        if (error < 0 && step > need)
            error = commit_spans(seg, old, step = need);
        if (error < 0)
            return error;
        uint64_t found = old;
        if (__atomic_compare_exchange_n(committed, &found, old + step, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
            place_make_huge(seg, old, old + step);
            if (g->options & SEGMENT_PREFAULTED)
                (void)place_populate(handle_name(seg), seg, old, step); /* without, it is only slower */
            for (const struct floor *const *f = tarn_floors; *f; f++)
                if ((*f)->grown)
                    (*f)->grown(seg, old, old + step);
            return 0;
        }
        if (found < old || found > g->limit || found % g->span_size)
            return fail(-EUCLEAN, "%s: damaged: its committed bytes went from %llu to %llu", handle_name(seg),
                        (unsigned long long)old, (unsigned long long)found);
        old = found; /* another grew it */
    }
    return 0;
}

int segment_grow(struct tarn *seg, uint64_t bytes)
{
    int cancel = os_cancel_off(), e = grow(seg, bytes);
    os_cancel_restore(cancel);
    return e;
}

int tarn_grow(tarn *seg, uint64_t bytes)
{
    return bytes ? segment_grow(seg, bytes) : 0;
}

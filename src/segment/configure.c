/* segment/configure.c - what may change later: mode and owner, which the kernel keeps, and how far it may grow.
 *
 * All else is stamped (docs/segment.md has the table). Mode and owner are the object's own, so nothing in the segment says them; who has it
 * attached keeps it, whatever they become. The limit of growth is one word that any writable attachment may store: growers read it anew at
 * each step (grow.c), as something that a hostile writer may have stored. A growth that has read it before may still end. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"

static bool owner_of(const struct tarn *seg, struct facts *ret)
{
    struct os_shm s;
    if (seg->keeping->facts(&seg->object, ret) == 0)
        return true;
    if (seg->object.fd >= 0 || os_shm_listed(seg->object.shm, &s) < 0)
        return false;
    *ret = (struct facts){.mode = s.mode, .uid = s.uid, .gid = s.gid};
    return true;
}

/* Only the owner, or root, may change what the kernel keeps: so say who that is. */
static int not_set(const struct tarn *seg, const char *of, int error)
{
    struct facts f;
    if (error == -EPERM && owner_of(seg, &f))
        return fail(
            error,
            "%s: its %s cannot be set by user %u: it belongs to user %u, group %u (mode %04o), and that "
            "user or root must do it",
            handle_name(seg), of, geteuid(), f.uid, f.gid, f.mode);
    return fail(error, "%s: its %s cannot be set: %s", handle_name(seg), of, strerror(-error));
}

int tarn_set_mode(tarn *seg, uint32_t mode)
{
    if (mode & ~0777u)
        return fail(-EINVAL, "%s: mode %#o: only permission bits may stand there", handle_name(seg), mode);
    int error = seg->keeping->set_mode(&seg->object, mode);
    return error < 0 ? not_set(seg, "mode", error) : 0;
}

int tarn_set_owner(tarn *seg, uint32_t uid, uint32_t gid)
{
    int error = seg->keeping->set_owner(&seg->object, uid, gid);
    return error < 0 ? not_set(seg, "owner", error) : 0;
}

/* Whole spans, or no limit but the stamp's. */
uint64_t growth_limit_of(const struct tarn *seg)
{
    const struct geometry *g = &seg->geometry;
    uint64_t limit = __atomic_load_n(&header_of(seg)->growth_limit, __ATOMIC_RELAXED);
    return limit && limit < g->limit ? limit / g->span_size * g->span_size : g->limit;
}

int tarn_set_limit(tarn *seg, uint64_t bytes)
{
    const struct geometry *g = &seg->geometry;
    if (seg->raw)
        return raw_refused(seg, "tarn_set_limit");
    if (seg->readonly)
        return fail(-EROFS, "%s: attached read-only: its limit is not set from here", handle_name(seg));
    if (no_growth(seg))
        return fail(-EPERM, "%s: it was received without the right to grow: its limit is not set from here",
                    handle_name(seg));
    if (bytes > g->limit)
        return fail(-EINVAL, "%s: a limit of %llu bytes, and it was made with %llu, which is stamped: make it anew with a greater one",
                    handle_name(seg), (unsigned long long)bytes, (unsigned long long)g->limit);
    bytes = (bytes + g->span_size - 1) / g->span_size * g->span_size;
    __atomic_store_n(&header_of(seg)->growth_limit, bytes, __ATOMIC_SEQ_CST);
    kill_point();
    return 0;
}

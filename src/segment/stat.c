/* segment/stat.c - what a segment is now, whether its name still leads here, and removing the name.
 *
 * The name is the truth: tarn_current looks where it leads. The mark `unlinked` in the header is for those who have no name, having
 * attached by descriptor; tarn_unlink sets it once the file has no name left, so a mark is never early. Should the unlinker die
 * before it marks, the file's count of names says the same. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

/* Did it have a name, and has none now? Memory files never count any. */
static bool lost_name(const struct tarn *seg)
{
    const struct segment_header *h = header_of(seg);
    struct facts f;
    if (__atomic_load_n(&h->unlinked, __ATOMIC_RELAXED))
        return true;
    return h->named && seg->keeping->facts(&seg->object, &f) == 0 && f.links == 0;
}

/* ... though nobody has come to remove its name. */
static int ended(const struct tarn *seg)
{
    return lifetime_over(seg)
               ? fail(-ESTALE, "%s: its creator has ended or closed it, and it with him", handle_name(seg))
               : 0;
}

int tarn_current(tarn *seg)
{
    struct facts f;
    struct url url;
    if (seg->raw)
        return raw_refused(seg, "tarn_current");
    handles_lock(); /* a second open may be giving it a URL */
    const char *name = seg->url;
    handles_unlock();
    if (name && url_parse(name, &url) == 0 && url.backing->named) {
        int error = url.backing->look(url.name, &f);
        if (error == -ENOENT)
            return fail(-ESTALE,
                        "%s: its name was removed; this segment is only still there for those who have it", name);
        if (error < 0)
            return error;
        if (f.device != seg->device || f.inode != seg->inode)
            return fail(-ESTALE,
                        "%s: the name leads to another segment now: close this one, and open it again", name);
        return ended(seg);
    }
    if (lost_name(seg))
        return fail(-ESTALE, "%s: its name was removed", handle_name(seg));
    return ended(seg);
}

int tarn_stat(tarn *seg, struct tarn_stat *ret_stat)
{
    const struct geometry *g = &seg->geometry;
    const struct segment_header *h = header_of(seg);
    struct tarn_stat s = {0};
    struct facts f;
    int error = seg->keeping->facts(&seg->object, &f);
    if (error < 0)
        return fail(error, "%s: %s", handle_name(seg), strerror(-error));
    if (seg->raw) {
        if (seg->backing)
            memcpy(s.backing, seg->backing->name, strlen(seg->backing->name));
        s.mode = f.mode;
        s.uid = f.uid;
        s.gid = f.gid;
        s.total = s.limit = seg->raw_length;
        *ret_stat = s;
        return 0;
    }
    s.address = g->address;
    memcpy(s.uuid, h->uuid, sizeof s.uuid);
    memcpy(s.backing, h->backing, sizeof s.backing - 1);
    s.version = SEGMENT_VERSION;
    s.options = g->options;
    s.huge = g->options & SEGMENT_HUGE_RESERVED ? TARN_HUGE_RESERVED
             : g->options & SEGMENT_HUGE        ? TARN_HUGE_TRANSPARENT
                                                : 0;
    s.mode = f.mode;
    s.uid = f.uid;
    s.gid = f.gid;
    s.unlinked = lost_name(seg);
    s.data = committed_of(seg);
    s.spans = s.data >> g->span_shift;
    s.total = g->zone[ZONE_SIDE] + s.spans * g->side_size + s.data;
    s.limit = g->zone[ZONE_SIDE] + (uint64_t)g->spans * g->side_size + g->limit;
    s.most = g->records - 1;
    s.span_size = g->span_size;
    s.record_size = g->record_size;
    s.recovered = __atomic_load_n(&h->recovered, __ATOMIC_RELAXED);
    s.undone = __atomic_load_n(&h->undone, __ATOMIC_RELAXED);
    s.created = h->created;
    s.lifetime = seg->lifetime;
    s.creator = h->creator_pid;
    s.build_id_size = h->build_id_size <= sizeof s.build_id ? h->build_id_size : 0;
    memcpy(s.build_id, h->build_id, s.build_id_size);
    uint64_t growth = growth_limit_of(seg);
    s.growth = g->zone[ZONE_SIDE] + (growth >> g->span_shift) * g->side_size + growth;
    for (const struct floor *const *floor = tarn_floors; *floor; floor++)
        if ((*floor)->stat)
            (*floor)->stat(seg, &s);
    *ret_stat = s;
    return 0;
}

/* ---- removing the name ---- */

/* What is under the name is a segment, whatever its state: also a damaged one may be removed. */
static int check_segment(const char *what, const struct keeping *keeping, const struct object *o,
                         struct segment_header *ret)
{
    struct segment_header h = {0};
    struct facts f;
    *ret = h;
    if (keeping->facts(o, &f) < 0 || !f.bytes)
        return fail(-EPROTO, "%s: there is something under this name which is no segment; it was left alone", what);
    int64_t got = keeping->read(o, &h, sizeof h, 0);
    if (got < 0 || !stamp_is_ours(&h, got))
        return fail(-EPROTO,
                    "%s: there is something under this name which is no tarn segment; it was left alone", what);
    *ret = h;
    return 0;
}

/* Shared memory needs no mark: the kernel has one. */
void mark_unlinked(const struct object *o)
{
    static const uint32_t yes = 1;
    struct facts f;
    if (o->fd >= 0 && descriptor_keeping.facts(o, &f) == 0 && f.links == 0)
        os_write_at(o->fd, &yes, sizeof yes, offsetof(struct segment_header, unlinked));
}

/* Of what ends by itself, with its gate: who ends it must not find a newer one when he comes to unlink (lifetime.c, L3). A stopped one is not waited for
 * for long. -EAGAIN: while we came to the gate it went. */
static int pass_gate(const char *what, const struct url *u, const struct object *o, const struct segment_header *h)
{
    struct facts f;
    if (h->lifetime == LIFETIME_UNLINKED || lifetime_gate(what, o, false) < 0)
        return 0;
    return u->backing->keeping->facts(o, &f) == 0 && lifetime_leads(u, &f) ? 0 : -EAGAIN;
}

static int unlink_once(const char *what, const struct url *u)
{
    struct segment_header h;
    struct object o;
    int error = u->backing->open(u->name, false, &o);
    if (error == -EACCES) /* its mode may keep its owner from writing, not from removing it */
        error = u->backing->open(u->name, true, &o);
    if (error < 0)
        return error == -ENOENT ? fail(error, "%s: there is none", what) : error;
    if ((error = check_segment(what, u->backing->keeping, &o, &h)) == 0 &&
        (error = pass_gate(what, u, &o, &h)) == 0 && (error = u->backing->unlink(u->name, &o)) == 0)
        mark_unlinked(&o);
    if (error < 0 && lifetime_gone(&o)) /* another was quicker */
        error = -EAGAIN;
    u->backing->keeping->close(&o);
    return error;
}

static int unlink_url(const char *url)
{
    struct url u;
    int error = url_parse(url, &u);
    if (error < 0)
        return error;
    if (!u.backing->named)
        return fail(-EINVAL, "%s: it has no name to remove", url);
    for (int tries = 0; (error = unlink_once(url, &u)) == -EAGAIN && tries < 100; tries++)
        ;
    return error == -EAGAIN ? fail(-EBUSY, "%s: it comes and goes", url) : error;
}

static int unlink_raw(const char *url)
{
    struct url u;
    int error = url_parse(url, &u);
    if (error < 0)
        return error;
    return u.backing->named ? u.backing->unlink(u.name, NULL) : fail(-EINVAL, "%s: it has no name to remove", url);
}

int tarn_unlink_raw(const char *url)
{
    int cancel = os_cancel_off(), e = unlink_raw(url);
    os_cancel_restore(cancel);
    return e;
}

int tarn_unlink(const char *url)
{
    int cancel = os_cancel_off(), e = unlink_url(url);
    os_cancel_restore(cancel);
    return e;
}

/* segment/raw.c - TARN_RAW: any object's bytes, mapped as they are. Nothing is promised but the mapping.
 *
 * The handle has the bytes at `raw`, and at `base` a stretch of zeros that cannot be written, in which every other call finds a segment of no
 * size: so none takes the object's bytes for a header. All calls that would look there refuse it besides, by the name of what it is. Who truncates the
 * object makes SIGBUS of the rest, and nobody's death is noticed. */
#include "segment/lifecycle.h"

#include "segment/guard.h"

#include <errno.h>
#include <string.h>

#define ZEROS (UINT64_C(1) << 20)

int raw_refused(const struct tarn *seg, const char *call)
{
    return seg->raw
               ? fail(-EINVAL, "%s: %s was attached with TARN_RAW: it is bytes, and has nothing of a segment",
                      call, handle_name(seg))
               : 0;
}

static struct os_place place_of(const struct attaching *how)
{
    uint32_t p = how->raw_protection;
    if (!p)
        p = TARN_PROT_READ | (how->readonly ? 0 : TARN_PROT_WRITE);
    return (struct os_place){.address = how->address,
                             .writable = p & TARN_PROT_WRITE,
                             .executable = p & TARN_PROT_EXEC,
                             .unreadable = p & TARN_PROT_NONE,
                             .private = how->private,
                             .dumped = true};
}

static int check_protection(const char *what, const struct attaching *how)
{
    uint32_t p = how->raw_protection;
    if (p & ~(TARN_PROT_READ | TARN_PROT_WRITE | TARN_PROT_EXEC | TARN_PROT_NONE) ||
        (p & TARN_PROT_NONE && p != TARN_PROT_NONE))
        return fail(-EINVAL, "%s: options.raw_protection is %#x: of TARN_PROT_READ, _WRITE and _EXEC, or TARN_PROT_NONE alone",
                    what, p);
    if (p & TARN_PROT_WRITE && how->readonly)
        return fail(-EINVAL, "%s: TARN_RDONLY, and TARN_PROT_WRITE among options.raw_protection", what);
    return 0;
}

/* [offset, offset + length), checked against the object's size; length 0: to its end. */
static int range_of(const char *what, const struct facts *f, const struct attaching *how, uint64_t *ret_length)
{
    uint64_t offset = how->raw_offset, length = how->raw_length;
    if (offset > f->size || length > f->size - offset || (!length && offset == f->size))
        return fail(-EINVAL, "%s: it has %llu bytes, and %llu from byte %llu on were asked for", what,
                    (unsigned long long)f->size, (unsigned long long)length, (unsigned long long)offset);
    *ret_length = length ? length : f->size - offset;
    return 0;
}

int raw_attach(const char *what, struct object *o, const struct attaching *how, const struct backing *backing,
               struct tarn **ret_seg)
{
    const struct keeping *keeping = backing ? backing->keeping : &descriptor_keeping;
    struct os_place place = place_of(how);
    const struct os_place zeros = {.dumped = true};
    uint64_t length = 0, from = how->raw_offset / os_page_size() * os_page_size(), within = how->raw_offset - from;
    struct facts f;
    void *at, *base;
    struct tarn *seg;
    int error = check_protection(what, how);
    if (error < 0)
        return error;
    if ((error = keeping->facts(o, &f)) < 0)
        return fail(error, "%s: %s", what, strerror(-error));
    if (!f.bytes)
        return fail(-EPROTO, "%s: not a regular file: it has no bytes to be mapped", what);
    if ((error = range_of(what, &f, how, &length)) < 0)
        return error;
    if ((error = keeping->map(o, from, within + length, &place, &at)) < 0)
        return place_failed(what, within + length, &f, how, error);
    if ((error = os_map_zero(ZEROS, &zeros, &base)) < 0 || !(seg = handle_new(what, backing))) {
        keeping->unmap(at, from, within + length);
        if (error == 0)
            os_unmap(base, ZEROS);
        return fail(-ENOMEM, "%s: no memory for a handle", what);
    }
    seg->base = base;
    seg->readonly = true;
    seg->raw = (char *)at + within;
    seg->raw_length = length;
    seg->raw_offset = how->raw_offset;
    seg->object = *o;
    seg->keeping = keeping;
    seg->device = f.device;
    seg->inode = f.inode;
    guard_mapped(seg);
    *ret_seg = seg;
    return handle_attach(seg);
}

void raw_unmap(struct tarn *seg)
{
    uint64_t within = seg->raw_offset % os_page_size();
    seg->keeping->unmap(seg->raw - within, seg->raw_offset - within, within + seg->raw_length);
    os_unmap(seg->base, ZEROS);
}

/* ---- making a plain object ---- */

/* -EEXIST, without a sentence: it is there. */
int raw_make(const char *what, const struct url *url, uint32_t mode, const struct attaching *how, struct object *ret)
{
    const struct backing *b = url->backing;
    const struct demand demand = {
        .size = how->raw_offset + how->raw_length, .mode = mode, .copy_on_write = true, .plain = true};
    struct making making;
    int error;
    if (!how->raw_length)
        return fail(-EINVAL, "%s: options.raw_length is 0: so many bytes are to be made", what);
    if ((error = b->create(url->name, &demand, &making)) < 0)
        return error;
    if (making.object.fd >= 0 && (error = os_commit(making.object.fd, 0, demand.size)) < 0)
        fail(error, "%s: %llu bytes cannot be committed: %s", what, (unsigned long long)demand.size,
             strerror(-error));
    else if ((error = b->keeping->set_mode(&making.object, mode)) < 0)
        fail(error, "%s: its mode cannot be set to %04o: %s", what, mode, strerror(-error));
    else
        error = b->publish(url->name, &making);
    if (error < 0) {
        b->discard(url->name, &making);
        return error;
    }
    *ret = making.object;
    return 0;
}

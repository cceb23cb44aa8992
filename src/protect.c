/* protect.c - tarn_protect: which pages may have rights of their own, and what they are called. At the top because it must know what is anybody's own.
 *
 * Rights are a page's, so all that lies on a page has them. Taken from a page is what the mapping gives only if every byte of it belongs to an allocated
 * block of a user, or to none: the library's own (tables, locks of structures, logs, names) is never protected, so nothing that it does for itself
 * faults. What is given out or freed later loses its rights (segment/guard.c); what others free behind this process's back, and use for something else, does not: that
 * is for the caller to prevent, as any use of freed memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "heap/heap.h"
#include "object.h"
#include "segment/guard.h"
#include "segment/lifecycle.h"

#define RIGHTS (TARN_PROT_READ | TARN_PROT_WRITE)

struct range {
    struct tarn *seg;
    uint64_t from, to;    /* whole pages */
    const uint64_t *ours; /* check_ours */
    uint64_t bits;
    struct guard_name *names;
    uint32_t count;
};

/* ---- what lies there ---- */

static int check_block(uint64_t offset, uint64_t size, enum block_state state, void *arg)
{
    const struct range *r = arg;
    uint64_t bit = (offset - r->seg->geometry.zone[ZONE_DATA]) / 16;
    (void)size;
    if (state != BLOCK_ALLOCATED)
        return fail(-EPERM,
                    "what lies at ref %#llx, on the same pages, is no allocated block: free memory, or a "
                    "table of the heap; "
                    "blocks have their pages for themselves if tarn_alloc_aligned makes them, of whole pages",
                    (unsigned long long)offset);
    if (bit >= r->bits || r->ours[bit / 64] >> bit % 64 & 1)
        return fail(-EPERM, "the block at ref %#llx is the library's own: of a collection, a channel, a name or a log",
                    (unsigned long long)offset);
    return 0;
}

static int check_payload(struct range *r)
{
    uint64_t *ours;
    int e = check_ours(r->seg, &ours, &r->bits);
    if (e < 0)
        return e;
    r->ours = ours;
    e = heap_within(r->seg, r->from, r->to, check_block, r);
    free(ours);
    if (e == 0 && slot_points_into(r->seg, r->from, r->to - r->from))
        e = fail(-EBUSY, "a lock lies in it that somebody holds, or waits for");
    return e;
}

/* ---- what it is called ---- */

static bool add_name(struct range *r, uint64_t ref, uint64_t size, const char *name)
{
    struct guard_name *more = realloc(r->names, (r->count + 1) * sizeof *more);
    if (!more)
        return false;
    r->names = more;
    more += r->count++;
    *more = (struct guard_name){.ref = ref, .size = size};
    memcpy(more->name, name, strnlen(name, sizeof more->name - 1));
    return true;
}

static int take_name(const struct tarn_name *n, void *arg)
{
    struct range *r = arg;
    return n->ref < r->to && n->ref + n->type.size > r->from && !add_name(r, n->ref, n->type.size, n->name)
               ? -ENOMEM
               : 0;
}

/* ---- the call ---- */

static int check_rights(const tarn *seg, uint32_t rights, unsigned flags)
{
    if (flags & ~TARN_PROTECT_WIDEN)
        return fail(-EINVAL, "tarn_protect: flags %#x: only TARN_PROTECT_WIDEN may stand there", flags);
    if (rights != TARN_PROT_NONE && (!rights || rights & ~RIGHTS))
        return fail(-EINVAL, "tarn_protect: rights %#x: TARN_PROT_NONE, TARN_PROT_READ, or TARN_PROT_WRITE, which is both",
                    rights);
    if (rights & TARN_PROT_WRITE && seg->readonly)
        return fail(-EROFS, "tarn_protect: %s is attached read-only: nothing of it can be written",
                    handle_name(seg));
    return 0;
}

static int find_pages(struct range *r, tarn_ref ref, size_t size, unsigned flags)
{
    uint64_t page = r->seg->geometry.page, has = 0;
    if (!size && heap_state(r->seg, ref, &has) != BLOCK_ALLOCATED)
        return fail(-EINVAL,
                    "tarn_protect: ref %#llx is not the beginning of an allocated block: say how many bytes",
                    (unsigned long long)ref);
    size = size ? size : has;
    if (!in_data(r->seg, ref, size))
        return fail(-EINVAL, "tarn_protect: %zu bytes at ref %#llx are not in the segment's committed data",
                    size, (unsigned long long)ref);
    r->from = ref / page * page;
    r->to = (ref + size + page - 1) / page * page;
    if ((r->from != ref || r->to != ref + size) && !(flags & TARN_PROTECT_WIDEN))
        return fail(-EINVAL,
                    "tarn_protect: %zu bytes at ref %#llx are not whole pages of %llu bytes, and rights are "
                    "pages': what else lies on them would have them, "
                    "too; TARN_PROTECT_WIDEN means that, and tarn_alloc_aligned makes blocks of whole pages",
                    size, (unsigned long long)ref, (unsigned long long)page);
    return 0;
}

static int protect(struct range *r, uint32_t rights)
{
    int e = check_payload(r);
    if (e == 0 && tarn_names(r->seg, take_name, r) == -ENOMEM)
        e = fail(-ENOMEM, "no memory for names"); /* other errors: it is told without them */
    if (e == 0 && (e = guard_set(r->seg, r->from, r->to, rights, r->names, r->count)) < 0)
        e = fail(e, "%s: pages' rights cannot be set: %s (each range with rights of its own takes up to two of this process's mappings, vm.max_map_count)",
                 handle_name(r->seg), strerror(-e));
    return e;
}

int tarn_protect(tarn *seg, tarn_ref ref, size_t size, uint32_t rights, unsigned flags)
{
    struct range r = {.seg = seg};
    int e = seg->raw ? raw_refused(seg, "tarn_protect") : check_rights(seg, rights, flags);
    if (e < 0 || (e = find_pages(&r, ref, size, flags)) < 0)
        return e;
    int cancel = os_cancel_off();
    if (rights & TARN_PROT_WRITE)
        rights = RIGHTS;
    if (rights == guard_widest(seg)) /* given back: whatever lies there now */
        guard_drop(seg, r.from, r.to - r.from);
    else if (size || add_name(&r, ref, r.to - ref, ""))
        e = protect(&r, rights);
    else
        e = fail(-ENOMEM, "no memory for a name");
    free(r.names);
    os_cancel_restore(cancel);
    return e;
}

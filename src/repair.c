/* repair.c - tarn_repair: a file that was in use when the machine stopped, made one that opens again. At the top because it knows all floors.
 *
 * What it may count on is little: each page of the file is as it was at some time, not all at the same. So nothing that is read is believed, and what
 * comes out is sound in structure at best; no value is vouched for. It is alone (segment/tenure.c), and may be killed anywhere and run again.
 *     the dead are recovered (records_all_dead); names are mended; chains of extents; locks of our own objects; then tarn_check judges
 * It mends what can lose nothing that could still be reached, and reports the rest: a map whose directory leads astray, a block that two things
 * use, a block that is free and reached. */
#include <errno.h>

#include "heap/heap.h"
#include "object.h"
#include "os/os.h"
#include "segment/lifecycle.h"

struct repair {
    struct tarn *seg;
    int (*each)(const struct tarn_damage *d, void *arg);
    void *arg;
    enum object_lock lock; /* of the object that is looked at */
    int stopped;           /* what `each` returned, if not 0 */
    int failed;
};

static void mended(uint64_t ref, const char *what, void *arg)
{
    struct repair *p = arg;
    struct tarn_damage d = {.ref = ref, .what = what};
    if (p->each && !p->stopped)
        p->stopped = p->each(&d, p->arg);
}

/* A link to what the heap does not know as a block of that size is no link. Chains are no circles: records_all_dead has seen to it. */
static void mend_extents(struct repair *p, uint64_t *link)
{
    uint64_t need = extent_size(&p->seg->geometry), size;
    while (*link) {
        uint64_t at = *link;
        if (!in_data(p->seg, at, need) || at % 8 || heap_state(p->seg, at, &size) != BLOCK_ALLOCATED || size < need) {
            store64(link, 0);
            mended(at, "mended: a record's chain of extents led to no block of its own: cut", p);
            return;
        }
        link = &((struct extent *)at_offset(p->seg, at))->next;
    }
}

/* ---- locks of our own objects ---- */

/* What an inner one guards changes by sections and single stores only. Who takes one that users take is told that somebody died with it. */
static void free_lock(const tarn_mutex *m, void *arg)
{
    struct repair *p = arg;
    uint64_t offset = offset_of(p->seg, m);
    uint32_t id = load32(&m->owner) & ~ID_DIRTY;
    if (!id || !in_data(p->seg, offset, sizeof *m) || fate_quick(p->seg, id) != GONE)
        return;
    store32((uint32_t *)at_offset(p->seg, offset), p->lock == LOCK_USERS ? ID_DIRTY : 0); /* its owner is its first word */
    mended(offset, "mended: a lock was held by nobody: freed", p);
}

static void ignore_damage(uint64_t ref, const char *what, void *arg)
{
    (void)ref;
    (void)what;
    (void)arg;
}
static void ignore_block(uint64_t ref, uint64_t size, void *arg)
{
    (void)ref;
    (void)size;
    (void)arg;
}

static void ignore_entry(uint64_t block, void *arg)
{
    (void)block;
    (void)arg;
}

static void mend_object(const struct name_copy *n, void *arg)
{
    struct repair *p = arg;
    const struct collection_checker k = {
        .damage = ignore_damage, .block = ignore_block, .member = ignore_entry, .owner = free_lock, .arg = p};
    p->lock = object_lock_of(n);
    if (object_check(p->seg, n, &k) < 0)
        p->failed = -ENOMEM;
}

/* ---- all ---- */

static int mend_all(struct repair *p)
{
    const struct name_checker names = {
        .damage = ignore_damage, .entry = ignore_entry, .object = mend_object, .arg = p};
    name_mend(p->seg, mended, p);
    for (uint32_t i = 0; i < p->seg->geometry.records; i++) {
        mend_extents(p, &record_at(p->seg, i)->log_more);
        mend_extents(p, &record_at(p->seg, i)->held_more);
    }
    int error = name_check(p->seg, &names);
    if (error < 0)
        return error;
    if (p->failed)
        return fail(p->failed, "no memory to look at what is named");
    return p->stopped;
}

static int repair_url(const char *url, int (*each)(const struct tarn_damage *d, void *arg), void *arg)
{
    struct repair p = {.each = each, .arg = arg};
    int found = repair_open(url, &p.seg);
    if (found < 0)
        return found;
    found = mend_all(&p);
    if (found == 0)
        found = tarn_check(p.seg, each, arg);
    if (found == 0)
        found = tenure_mark(p.seg);
    handle_detach(p.seg);
    handle_free(p.seg);
    return found;
}

int tarn_repair(const char *url, int (*each)(const struct tarn_damage *d, void *arg), void *arg)
{
    int cancel = os_cancel_off(), e = repair_url(url, each, arg);
    os_cancel_restore(cancel);
    return e;
}

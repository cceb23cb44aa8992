/* repair.c - tarn_repair: a file that was in use when the machine stopped, made one that opens again. At the top because it knows all floors.
 *
 * What it may count on is little: each page of the file is as it was at some time, not all at the same. So nothing that is read is believed, and what
 * comes out is sound in structure at best; no value is vouched for. It is alone (segment/tenure.c), and may be killed anywhere and run again.
 *     the dead are recovered (records_all_dead); names are mended; chains of extents; locks of collections; then tarn_check judges
 * It mends what can lose nothing that could still be reached, and reports the rest: a map whose directory leads astray, a block that two things
 * use, a block that is free and reached. */
#include <errno.h>
#include <string.h>

#include "collection/list.h"
#include "collection/map.h"
#include "collection/tree.h"
#include "name/name.h"
#include "os/os.h"
#include "segment/lifecycle.h"

struct repair {
    struct tarn *seg;
    int (*each)(const struct tarn_damage *d, void *arg);
    void *arg;
    int stopped; /* what `each` returned, if not 0 */
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

/* ---- locks of collections ---- */

static void free_lock(const tarn_mutex *m, uint32_t as, struct repair *p)
{
    uint64_t offset = offset_of(p->seg, m);
    uint32_t id = load32(&m->owner) & ~ID_DIRTY;
    if (!id || !in_data(p->seg, offset, sizeof *m) || fate_quick(p->seg, id) != GONE)
        return;
    store32((uint32_t *)at_offset(p->seg, offset), as); /* its owner is its first word */
    mended(offset, "mended: a collection's lock was held by nobody: freed", p);
}

/* What a map's or a tree's guards, changes by sections and single stores only. */
static void free_own(const tarn_mutex *m, void *arg)
{
    free_lock(m, 0, arg);
}
/* A lock that users take, too: they are told that somebody died with it. */
static void free_users(const tarn_mutex *m, void *arg)
{
    free_lock(m, ID_DIRTY, arg);
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
    static const struct {
        const char *type;
        uint64_t size;
        void (*check)(struct tarn *seg, uint64_t ref, const struct collection_checker *k);
    } of[] = {{LIST_TYPE_NAME, sizeof(tarn_list), list_check},
              {VECTOR_TYPE_NAME, sizeof(tarn_vector), vector_check},
              {BYTES_TYPE_NAME, sizeof(tarn_bytes), bytes_check},
              {QUEUE_TYPE_NAME, sizeof(tarn_queue), queue_check},
              {STACK_TYPE_NAME, sizeof(tarn_stack), stack_check}};
    struct repair *p = arg;
    struct collection_checker k = {
        .damage = ignore_damage, .block = ignore_block, .member = ignore_entry, .owner = free_own, .arg = p};
    if ((!strcmp(n->type, MAP_TYPE_NAME) && n->size == sizeof(struct map) && map_check(p->seg, n->ref, &k) < 0) ||
        (!strcmp(n->type, TREE_TYPE_NAME) && n->size == sizeof(struct tree) && tree_check(p->seg, n->ref, &k) < 0))
        p->failed = -ENOMEM;
    k.owner = free_users;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (!strcmp(n->type, of[i].type) && n->size == of[i].size)
            of[i].check(p->seg, n->ref, &k);
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
        return fail(p->failed, "no memory to look at maps and trees");
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

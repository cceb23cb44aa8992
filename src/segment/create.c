/* segment/create.c - making a segment: options into a plan, a plan into an object, the object under its name.
 *
 * Order: object; mapped; memory committed; mode; stamp and the floors' first words; this process attached; the stamp's first word; name. The name is
 * the commit point (of System V the first word, inside a lock among makers: there the name is given before): before it nobody sees anything, and
 * whatever stops us leaves nothing (see the backings). The mode is set on the file itself, for the umask is not to apply to what was asked
 * for. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <string.h>

#include "os/os.h"

#define INITIAL (UINT64_C(1) << 20)
#define LIMIT (UINT64_C(16) << 30)
#define MODE 0600u
#define PARTICIPANTS 64u
#define RECORD_SIZE 8192u
#define SPAN_SIZE 65536u

/* The caller's struct may be a later, longer one: what we do not know must be zero. */
static int check_size(const struct tarn_options *o)
{
    if (o->size < sizeof *o)
        return fail(-EINVAL, "options.size is %zu, and sizeof(struct tarn_options) %zu: set it", o->size,
                    sizeof *o);
    if (o->size > os_page_size())
        return fail(-E2BIG, "options.size is %zu: more than any version of tarn has", o->size);
    for (size_t i = sizeof *o; i < o->size; i++)
        if (((const char *)o)[i])
            return fail(-E2BIG,
                        "options: byte %zu is set, and this tarn (" TARN_VERSION
                        ") knows %zu: a later one is needed",
                        i, sizeof *o);
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++)
        if (o->reserved[i])
            return fail(-EINVAL, "options.reserved[%zu] is not 0: zero the struct first", i);
    return 0;
}

static int check_values(const struct tarn_options *o)
{
    if (o->mode & ~0777u)
        return fail(-EINVAL, "options.mode is %#o, and only permission bits may stand there", o->mode);
    if (o->participants > 4096)
        return fail(-EINVAL, "options.participants is %u, and may be 1 to 4096", o->participants);
    if (o->limit && (o->limit < 65536 || o->limit > UINT64_C(1) << 46))
        return fail(-EINVAL, "options.limit is %llu, and may be 64 KiB to 2^46", (unsigned long long)o->limit);
    if (o->exchange_unlock > 1)
        return fail(-EINVAL, "options.exchange_unlock is %u, and may be 0 or 1", o->exchange_unlock);
    if (o->uninitialized > 1)
        return fail(-EINVAL, "options.uninitialized is %u, and may be 0 or 1", o->uninitialized);
    if (o->lifetime >= LIFETIMES)
        return fail(-EINVAL, "options.lifetime is %u, and may be TARN_UNTIL_UNLINKED, TARN_UNTIL_UNUSED or TARN_UNTIL_CREATOR",
                    o->lifetime);
    if (o->same_address > 1 || o->locked > 1 || o->dumped > 1 || o->prefault > 1)
        return fail(-EINVAL, "options.same_address, locked, dumped and prefault are %u, %u, %u and %u, and may be 0 or 1",
                    o->same_address, o->locked, o->dumped, o->prefault);
    if ((uintptr_t)o->address % os_page_size())
        return fail(-EINVAL, "options.address is %p, and must be a multiple of a page, %zu bytes", o->address,
                    os_page_size());
    if (o->huge > TARN_HUGE_RESERVED)
        return fail(-EINVAL, "options.huge is %u, and may be 0, TARN_HUGE_TRANSPARENT or TARN_HUGE_RESERVED",
                    o->huge);
    if (o->numa > TARN_NUMA_PREFER || !o->numa != !o->nodes)
        return fail(-EINVAL, "options.numa is %u, and nodes %#llx: one of TARN_NUMA_BIND, _INTERLEAVE and _PREFER with one node or more, or both 0",
                    o->numa, (unsigned long long)o->nodes);
    if (o->copy_on_write > 1)
        return fail(-EINVAL, "options.copy_on_write is %u, and may be 0 or 1", o->copy_on_write);
    return 0;
}

static uint64_t whole(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) / unit * unit;
}

int plan_make(const struct tarn_options *options, struct plan *ret)
{
    static const struct tarn_options none = {.size = sizeof none};
    const struct tarn_options *o = options ? options : &none;
    int error = check_size(o);
    if (error < 0 || (error = check_values(o)) < 0)
        return error;
    struct plan p = {.mode = o->mode ? o->mode : MODE, .lifetime = o->lifetime, .numa = o->numa, .nodes = o->nodes};
    struct geometry *g = &p.geometry;
    g->span_size = o->span_size ? o->span_size : SPAN_SIZE;
    g->record_size = o->record_size ? o->record_size : RECORD_SIZE;
    g->records = (o->participants ? o->participants : PARTICIPANTS) + 1; /* one is kept for who must recover first */
    g->limit = whole(o->limit ? o->limit : LIMIT, g->span_size);
    g->options =
        (o->exchange_unlock ? SEGMENT_EXCHANGE_UNLOCK : 0u) | (o->uninitialized ? SEGMENT_UNINITIALIZED : 0u);
    g->options |= o->copy_on_write ? SEGMENT_COPY_ON_WRITE : 0u;
    g->options |= (o->same_address ? SEGMENT_SAME_ADDRESS : 0u) | (o->locked ? SEGMENT_LOCKED : 0u) |
                  (o->dumped ? SEGMENT_DUMPED : 0u) | (o->prefault ? SEGMENT_PREFAULTED : 0u);
    g->options |= o->huge == TARN_HUGE_RESERVED ? SEGMENT_HUGE_RESERVED : o->huge ? SEGMENT_HUGE : 0u;
    g->address = o->same_address ? (uintptr_t)o->address : 0;
    if ((error = geometry_compute(g)) < 0)
        return error;
    if (o->initial > g->limit)
        return fail(-EINVAL, "options.initial is %llu, and limit %llu", (unsigned long long)o->initial,
                    (unsigned long long)g->limit);
    p.initial = whole(o->initial ? o->initial : INITIAL, g->span_size);
    if (p.initial > g->limit)
        p.initial = g->limit;
    *ret = p;
    return 0;
}

/* Header, participants and names wholly; side tables and data as far as they are wanted now. */
static int commit_zones(const char *what, const struct tarn *seg, const struct plan *plan)
{
    const struct geometry *g = &plan->geometry;
    uint64_t side = (uint64_t)g->side_size * (plan->initial >> g->span_shift);
    int error = cgroup_allows(what, g->zone[ZONE_SIDE] + side + plan->initial);
    if (error < 0 || (error = commit_range(what, seg, 0, g->zone[ZONE_SIDE])) < 0 ||
        (error = commit_range(what, seg, g->zone[ZONE_SIDE], side)) < 0)
        return error;
    return commit_range(what, seg, g->zone[ZONE_DATA], plan->initial);
}

static int fill(const char *what, struct tarn *seg, const struct url *url, const struct plan *plan)
{
    struct segment_header *h = header_of(seg);
    int error = os_random(h->uuid, sizeof h->uuid);
    if (error < 0)
        return fail(error, "%s: no random bytes for its uuid: %s", what, strerror(-error));
    lifetime_stamp(h, plan->lifetime);
    if ((error = lifetime_create(what, seg)) < 0)
        return error;
    stamp_write(h, &seg->geometry, url->backing);
    __atomic_store_n(&h->committed, plan->initial, __ATOMIC_RELEASE);
    for (const struct floor *const *f = tarn_floors; *f; f++)
        if ((*f)->create)
            (*f)->create(seg);
    return tenure_create(what, seg);
}

/* What makers of one segment must agree on, as a number. */
static uint32_t sum_of(const struct plan *plan)
{
    const struct geometry *g = &plan->geometry;
    uint64_t sum = SEGMENT_VERSION;
    const uint64_t all[] = {g->span_size, g->record_size, g->records, g->limit,
                            g->options,   plan->initial,  plan->mode, plan->lifetime};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sum = (sum ^ all[i]) * UINT64_C(0x9e3779b97f4a7c15) ^ sum >> 29;
    return (uint32_t)(sum >> 32);
}

/* In an object that is mapped, and that nobody sees yet. */
static int furnish(const char *what, const struct url *url, const struct plan *plan, struct tarn *seg)
{
    int error = plan->numa ? place_on_nodes(what, seg, plan->numa, plan->nodes) : 0;
    if (error < 0 || (error = commit_zones(what, seg, plan)) < 0)
        return error;
    if ((error = seg->keeping->set_mode(&seg->object, plan->mode)) < 0)
        return fail(error, "%s: its mode cannot be set to %04o: %s", what, plan->mode, strerror(-error));
    if ((error = fill(what, seg, url, plan)) < 0 || (error = place_settle(what, seg)) < 0 ||
        (error = handle_attach(seg)) < 0)
        return error;
    place_make_huge(seg, 0, plan->initial);
    stamp_publish(header_of(seg));
    return 0;
}

/* A same-address segment's maker takes any address that is free here, unless it was told one. */
static int map_fresh(const char *what, const struct object *o, const struct plan *plan,
                     const struct attaching *how, const struct backing *b, struct tarn **ret)
{
    struct geometry g = plan->geometry;
    bool choose = g.options & SEGMENT_SAME_ADDRESS && !g.address;
    int error;
    for (int tries = 0; tries < 64; tries++) {
        if (choose && (error = place_choose(what, &g)) < 0)
            return error;
        error = handle_map(what, o, &g, how, b, ret);
        if (!choose || error != -EADDRINUSE)
            break;
    }
    return error;
}

static int make_as(const char *what, const struct url *url, const struct plan *plan,
                   const struct attaching *how, struct tarn **ret_seg)
{
    const struct backing *b = url->backing;
    const struct demand demand = {.size = plan->geometry.end,
                                  .mode = plan->mode,
                                  .sum = sum_of(plan),
                                  .copy_on_write = plan->geometry.options & SEGMENT_COPY_ON_WRITE,
                                  .huge = plan->geometry.options & SEGMENT_HUGE_RESERVED};
    struct making making;
    struct tarn *seg = NULL;
    bool attached = false;
    int error = b->create(url->name, &demand, &making);
    if (error < 0)
        return error;
    error = map_fresh(what, &making.object, plan, how, b, &seg);
    if (error < 0 && lifetime_gone(&making.object)) /* another made it whole meanwhile, and it has ended */
        error = -EAGAIN;
    if (error == 0)
        user_enter(seg);
    if (error == 0 && b->enter)
        error = b->enter(url->name, &making, seg->base, (pthread_mutex_t *)(void *)header_of(seg)->door);
    if (error == 0) {
        error = furnish(what, url, plan, seg);
        attached = error == 0;
    }
    if (error == 0)
        error = b->publish(url->name, &making);
    if (error == 0) {
        *ret_seg = seg;
        return 0;
    }
    b->discard(url->name, &making); /* while it is mapped: the door is in it */
    if (seg) {
        seg->object = (struct object){-1, -1}; /* closed */
        if (attached)
            handle_detach(seg);
        handle_free(seg);
    }
    return error;
}

/* ---- huge pages that the machine keeps, if it has them ---- */

/* What it takes at first, in whole pages of that size: the zones before side tables, and what is committed of both others. */
static bool has_huge(const struct plan *plan)
{
    const struct geometry *g = &plan->geometry;
    uint64_t page = g->page, side = g->zone[ZONE_SIDE] + (uint64_t)g->side_size * (plan->initial >> g->span_shift);
    uint64_t first = (side + page - 1) / page * page,
             last = (g->zone[ZONE_DATA] + plan->initial + page - 1) / page * page;
    uint64_t from = g->zone[ZONE_DATA] / page * page;
    return os_huge_free() >= first + (last - (from > first ? from : first));
}

static int without_huge(struct plan *plan)
{
    plan->geometry.options = (plan->geometry.options & ~(uint32_t)SEGMENT_HUGE_RESERVED) | SEGMENT_HUGE;
    return geometry_compute(&plan->geometry);
}

/* Others may take them first, or this process may not have any: then all is begun anew. */
int segment_make(const char *what, const struct url *url, const struct plan *plan,
                 const struct attaching *how, struct tarn **ret_seg)
{
    struct plan p = *plan;
    bool huge = p.geometry.options & SEGMENT_HUGE_RESERVED;
    int error;
    if (huge && !(url->backing->huge && has_huge(&p))) {
        huge = false;
        if ((error = without_huge(&p)) < 0)
            return error;
    }
    error = make_as(what, url, &p, how, ret_seg);
    if (huge && (error == -ENOSPC || error == -ENOMEM || error == -EPERM || error == -EACCES || error == -ENOSYS) &&
        without_huge(&p) == 0)
        error = make_as(what, url, &p, how, ret_seg);
    return error;
}

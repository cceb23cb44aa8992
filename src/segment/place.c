/* segment/place.c - where and how a segment is mapped: anywhere, at an address, at the one it records, or as a private copy; kept in memory; mapped
 * page by page beforehand.
 *
 * Nothing is ever mapped over something else: an address that is taken is an error that names who is there. What a segment records is not the
 * opener's choice, so nor is it mapped where the stack may still grow: that would end the process later.
 *
 * Same-address segments get an address at random, in a range where on 64-bit Linux nothing else goes by itself: above the heap of a program that is
 * loaded low, below where position-independent programs are loaded (0x55...), and far below mmap's own range, the stack and the vdso
 * (0x7f...). AddressSanitizer's shadow and MemorySanitizer's leave that range to programs; ThreadSanitizer's does not, and a process under it is refused.
 * Random, so that two such segments seldom want the same place.
 *
 * A private copy is a private mapping of the file up to what is committed (of System V: a copy), and memory of this process's own behind it. Growth
 * there is only the process's word for it. It is made while nobody has the segment attached for writing; who comes later writes into pages that this process has not
 * written yet, and those may be seen here. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/futex.h"

#define SAME_FROM UINT64_C(0x510000000000)
#define SAME_TO UINT64_C(0x550000000000)
#define SAME_UNIT (UINT64_C(2) << 20)
#define LOOKERS_WAIT 500u /* ms */

/* ---- addresses ---- */

int place_choose(const char *what, struct geometry *g)
{
    uint64_t random = 0, room = SAME_TO - SAME_FROM;
    int error = os_random(&random, sizeof random);
    if (error < 0)
        return fail(error, "%s: no random bytes for its address: %s", what, strerror(-error));
    if (g->end > room / 2)
        return fail(-EINVAL, "%s: its limit needs %llu bytes, and a same-address segment may have %llu", what,
                    (unsigned long long)g->end, (unsigned long long)room / 2);
    g->address = SAME_FROM + random % ((room - g->end) / SAME_UNIT) * SAME_UNIT;
    return 0;
}

int place_taken(const char *what, const void *address, uint64_t size)
{
    char neighbour[300];
    os_neighbour(address, size, neighbour, sizeof neighbour);
    return fail(-EADDRINUSE, "%s: %llu bytes at %p are wanted, and this process has something there already: %s",
                what, (unsigned long long)size, address, *neighbour ? neighbour : "(not to be seen)");
}

/* ---- private copies ---- */

static int private_facts(const struct object *o, struct facts *ret)
{
    return (o->fd >= 0 ? &descriptor_keeping : &sysv_keeping)->facts(o, ret);
}
static int64_t private_read(const struct object *o, void *to, size_t size, uint64_t offset)
{
    return (o->fd >= 0 ? &descriptor_keeping : &sysv_keeping)->read(o, to, size, offset);
}
static void private_unmap(void *at, uint64_t offset, uint64_t size)
{
    (void)offset;
    os_unmap(at, size);
}
static int private_commit(const struct object *o, void *base, uint64_t offset, uint64_t size)
{
    (void)o;
    (void)base;
    (void)offset;
    (void)size;
    return 0;
}
static int private_set_mode(const struct object *o, uint32_t mode)
{
    (void)o;
    (void)mode;
    return -EROFS;
}
static int private_set_owner(const struct object *o, uint32_t uid, uint32_t gid)
{
    (void)o;
    (void)uid;
    (void)gid;
    return -EROFS;
}
static void private_close(struct object *o)
{
    (o->fd >= 0 ? &descriptor_keeping : &sysv_keeping)->close(o);
}

const struct keeping private_keeping = {
    .facts = private_facts,
    .read = private_read,
    .unmap = private_unmap,
    .commit = private_commit,
    .set_mode = private_set_mode,
    .set_owner = private_set_owner,
    .close = private_close,
};

/* Of shared memory the kernel tells how many have it, and not what for. Who only looks what it is, or copies it, is gone in a moment. */
static bool has_writers(const struct object *o)
{
    struct timespec end = os_deadline(LOOKERS_WAIT);
    struct os_shm s;
    if (o->fd < 0) {
        while (os_shm_stat(o->shm, &s) == 0 && s.attached > 0) {
            if (os_passed(&end))
                return true;
            usleep(200);
        }
        return false;
    }
    return os_byte_range_holder(o->fd, OS_BYTE_USER, OS_USERS, false) == F_WRLCK;
}

/* Bytes of data space that are there to be copied. */
static int committed_now(const char *what, const struct object *o, const struct geometry *g,
                         const struct facts *f, uint64_t *ret)
{
    uint64_t committed = 0;
    int64_t got = private_read(o, &committed, sizeof committed, offsetof(struct segment_header, committed));
    if (got != sizeof committed || committed > g->limit || committed % g->span_size ||
        f->size < g->zone[ZONE_DATA] + committed)
        return fail(-EUCLEAN, "%s: damaged: what it says is committed is not there", what);
    *ret = committed;
    return 0;
}

static int copy_zones(const struct object *o, char *base, const struct geometry *g, uint64_t committed)
{
    uint64_t side = g->zone[ZONE_SIDE] + (committed >> g->span_shift) * g->side_size, data = g->zone[ZONE_DATA];
    int64_t got = private_read(o, base, side, 0);
    if (got == (int64_t)side)
        got = private_read(o, base + data, committed, data) == (int64_t)committed ? 0 : -EIO;
    return got < 0 ? (int)got : 0;
}

static int private_map(const char *what, const struct object *o, const struct geometry *g,
                       const struct facts *f, const struct os_place *place, void **ret_base)
{
    uint64_t committed = 0;
    void *base;
    int error;
    if (has_writers(o))
        return fail(-EBUSY,
                    "%s: others have it attached for writing: a private copy would be of many moments", what);
    if ((error = committed_now(what, o, g, f, &committed)) < 0 || (error = os_map_zero(g->end, place, &base)) < 0)
        return error;
    error = o->fd >= 0 && !(g->options & SEGMENT_HUGE_RESERVED)
                ? os_map_over(o->fd, base, g->zone[ZONE_DATA] + committed, place)
                : copy_zones(o, base, g, committed);
    if (error < 0) {
        os_unmap(base, g->end);
        return error;
    }
    *ret_base = base;
    return 0;
}

/* ---- mapping ---- */

/* Huge pages need an address that is a multiple of theirs. Somebody else may take the room that was found; without any it is mapped anywhere. */
static int map_aligned(const struct object *o, const struct geometry *g, struct os_place *place,
                       const struct keeping *keeping, void **ret_base)
{
    uint64_t unit = os_huge_page();
    int error = -EEXIST;
    for (int tries = 0; tries < 16 && error == -EEXIST && unit; tries++) {
        place->address = os_room_for(g->end, unit);
        if (!place->address)
            break;
        error = keeping->map(o, 0, g->end, place, ret_base);
    }
    place->address = NULL;
    return error == 0 ? 0 : keeping->map(o, 0, g->end, place, ret_base);
}

int place_map(const char *what, const struct object *o, const struct geometry *g, const struct facts *f,
              const struct attaching *how, const struct keeping *keeping, void **ret_base)
{
    struct os_place place = {.address = how->address,
                             .writable = !how->readonly,
                             .executable = how->executable,
                             .private = how->private,
                             .dumped = g->options & SEGMENT_DUMPED,
                             .page = g->page};
    if (g->options & SEGMENT_HUGE_RESERVED && (uintptr_t)how->address % g->page)
        return fail(-EINVAL, "%s: it is made of pages of %llu bytes, and address %p is no multiple of that",
                    what, (unsigned long long)g->page, how->address);
    if (g->address) {
        if (how->address && (uintptr_t)how->address != g->address)
            return fail(-EINVAL, "%s: it is mapped at %#llx by everybody, and address %p was asked for", what,
                        (unsigned long long)g->address, how->address);
        place.address = (void *)(uintptr_t)g->address;
        if (os_stack_grows_into(place.address, g->end))
            return fail(-EADDRINUSE,
                        "%s: %llu bytes at %p are wanted, and there this process's stack is, or will grow",
                        what, (unsigned long long)g->end, place.address);
    }
    if (o->shm >= 0 && !how->private && f->size < g->end)
        return fail(-EUCLEAN,
                    "%s: truncated, or an image of another backing's segment: it has %llu bytes, wants %llu, "
                    "and System V memory cannot grow",
                    what, (unsigned long long)f->size, (unsigned long long)g->end);
    int error;
    if (how->private)
        error = private_map(what, o, g, f, &place, ret_base);
    else if (g->options & SEGMENT_HUGE && !place.address)
        error = map_aligned(o, g, &place, keeping, ret_base);
    else
        error = keeping->map(o, 0, g->end, &place, ret_base);
    return error == -EEXIST ? place_taken(what, place.address, g->end) : error;
}

/* ---- after that ---- */

static int lock_memory(const char *what, const struct tarn *seg)
{
    uint64_t most = os_process_limit(RLIMIT_MEMLOCK);
    int error = os_lock_memory(seg->base, seg->geometry.end);
    if (error < 0)
        return fail(error == -ENOSYS ? error : -ENOMEM, "%s: its memory is to be locked, and this process may not lock %llu bytes (%s; RLIMIT_MEMLOCK is %llu): raise that, or make it with a smaller limit",
                    what, (unsigned long long)seg->geometry.end, strerror(-error), (unsigned long long)most);
    return 0;
}

int place_populate(const char *what, const struct tarn *seg, uint64_t from, uint64_t bytes)
{
    const struct geometry *g = &seg->geometry;
    uint64_t page = os_page_size(), data = g->zone[ZONE_DATA] + from;
    uint64_t side = from ? g->zone[ZONE_SIDE] + (from >> g->span_shift) * g->side_size
                         : 0; /* at first with all before it */
    uint64_t side_end = g->zone[ZONE_SIDE] + ((from + bytes) >> g->span_shift) * g->side_size;
    side = side / page * page;
    int error = os_populate(seg->base + side, (side_end - side + page - 1) / page * page, !seg->readonly);
    if (error == 0 && bytes)
        error = os_populate(seg->base + data, bytes, !seg->readonly);
    return error < 0 ? fail(error, "%s: its pages cannot be mapped beforehand: %s", what, strerror(-error)) : 0;
}

/* Where data space can be mapped by huge pages: from the first whole one on, so that nothing else is in them. */
static uint64_t first_huge(const struct tarn *seg, uint64_t unit)
{
    return (seg->geometry.zone[ZONE_DATA] + unit - 1) / unit * unit;
}

void place_make_huge(const struct tarn *seg, uint64_t from, uint64_t to)
{
    uint64_t unit = seg->geometry.options & SEGMENT_HUGE ? os_huge_page() : 0,
             data = seg->geometry.zone[ZONE_DATA];
    if (!unit || (uintptr_t)seg->base % unit)
        return;
    uint64_t first = first_huge(seg, unit), begin = (data + from) / unit * unit, end = (data + to) / unit * unit;
    if (begin < first)
        begin = first;
    if (begin < end)
        os_make_huge(seg->base + begin, end - begin);
}

static void wish_huge(const struct tarn *seg)
{
    uint64_t unit = os_huge_page(), first = unit ? first_huge(seg, unit) : 0;
    if (unit && first < seg->geometry.end)
        os_wish_huge(seg->base + first, seg->geometry.end - first);
}

int place_on_nodes(const char *what, const struct tarn *seg, uint32_t numa, uint64_t nodes)
{
    static const int modes[] = {[TARN_NUMA_BIND] = 2, [TARN_NUMA_INTERLEAVE] = 3, [TARN_NUMA_PREFER] = 1};
    int error = seg->object.fd >= 0 && !os_in_memory(seg->object.fd)
                    ? -EOPNOTSUPP
                    : os_place_on_nodes(seg->base, seg->geometry.end, modes[numa], nodes);
    if (error == -EOPNOTSUPP)
        return fail(error, "%s: the pages of a file on a disk are taken where the kernel likes: options.numa is for memory",
                    what);
    if (error == -EINVAL)
        return fail(error, "%s: options.nodes is %#llx, and this process may use none, or not all, of these nodes of the machine",
                    what, (unsigned long long)nodes);
    return error < 0 ? fail(error, "%s: its memory cannot be placed on nodes: %s", what, strerror(-error)) : 0;
}

int place_settle(const char *what, struct tarn *seg)
{
    uint32_t options = seg->geometry.options;
    int error = 0;
    if (seg->private) /* of this process alone: whoever took part is dead to it */
        for (const struct floor *const *f = tarn_floors; *f; f++)
            if ((*f)->all_dead)
                (*f)->all_dead(seg);
    if (options & SEGMENT_HUGE && !seg->private)
        wish_huge(seg);
    if (options & SEGMENT_LOCKED && !seg->private)
        error = lock_memory(what, seg);
    if (error == 0 && options & SEGMENT_PREFAULTED)
        error = place_populate(what, seg, 0, committed_of(seg));
    return error;
}

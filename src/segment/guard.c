/* segment/guard.c - the table of what tarn_protect has taken from pages of this process. See guard.h.
 *
 * One table for all segments of the process, in chunks that are never freed, under one lock. A signal handler reads it without: each entry has a
 * count that is odd while it changes. Three kinds of entries: a mapping (of a handle), a guard (pages with rights of their own; those of one
 * segment never overlap), a label (an object's name, where pages are guarded).
 * A page's rights follow from the table: the guard's, or while somebody has lifted them, or there is none, the mapping's. What mprotect cannot do for lack of
 * mappings (vm.max_map_count) leaves a page with more rights than the table says, never with fewer. */
#include "segment/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "segment/lifecycle.h"

enum kind { KIND_NONE, KIND_MAPPING, KIND_GUARD, KIND_LABEL };

struct entry {
    uint32_t turn; /* odd: it is being written */
    uint32_t kind; /* enum kind */
    struct tarn *seg;
    uintptr_t at, end; /* addresses */
    uint64_t ref;      /* of the first byte */
    uint32_t rights;
    char name[GUARD_NAME];
};
enum { CHUNK = 32 };
struct chunk {
    struct entry entry[CHUNK];
    struct chunk *next; /* stored once */
};
static struct chunk table;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the table ---- */

static struct chunk *next_of(const struct chunk *c)
{
    return __atomic_load_n(&c->next, __ATOMIC_ACQUIRE);
}

/* The entry behind e (NULL: the first); NULL: there is none. */
static struct entry *after(struct entry *e, struct chunk **at)
{
    if (!e) {
        *at = &table;
        return table.entry;
    }
    if (e + 1 < (*at)->entry + CHUNK)
        return e + 1;
    *at = next_of(*at);
    return *at ? (*at)->entry : NULL;
}
#define each_entry(e, c) (struct entry *e = after(NULL, &(c)); e; e = after(e, &(c)))

static void put(struct entry *e, const struct entry *now)
{
    uint32_t turn = e->turn;
    __atomic_store_n(&e->turn, turn + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy((char *)e + sizeof turn, (const char *)now + sizeof turn, sizeof *e - sizeof turn);
    __atomic_store_n(&e->turn, turn + 2, __ATOMIC_RELEASE);
}

static void clear(struct entry *e)
{
    static const struct entry none;
    put(e, &none);
}

/* So many free ones, from now until the lock is given up. */
static bool reserve(uint32_t count)
{
    struct chunk *c, *last = &table;
    for
        each_entry(e, c)
        {
            count -= e->kind == KIND_NONE && count;
            last = c;
        }
    while (count) {
        struct chunk *more = calloc(1, sizeof *more);
        if (!more)
            return false;
        __atomic_store_n(&last->next, more, __ATOMIC_RELEASE);
        last = more;
        count -= count < CHUNK ? count : CHUNK;
    }
    return true;
}

static void add(const struct entry *now)
{
    struct chunk *c;
    for
        each_entry(e, c) if (e->kind == KIND_NONE)
        {
            put(e, now);
            return;
        }
}

static bool overlaps(const struct entry *e, uintptr_t at, uintptr_t end)
{
    return e->at < end && at < e->end;
}

static uintptr_t address_of(const struct tarn *seg, uint64_t offset)
{
    return (uintptr_t)seg->base + offset;
}

/* ---- rights ---- */

uint32_t guard_widest(const struct tarn *seg)
{
    return TARN_PROT_READ | (seg->readonly ? 0 : TARN_PROT_WRITE);
}

static int apply(const struct tarn *seg, uintptr_t at, uintptr_t end, uint32_t rights)
{
    return os_protect((void *)at, end - at, rights & (TARN_PROT_READ | TARN_PROT_WRITE),
                      rights & TARN_PROT_WRITE, // NOLINT: an address
                      seg->executable && !(rights & TARN_PROT_NONE));
}

static bool is_lifted(const struct tarn *seg)
{
    return __atomic_load_n(&seg->lifts, __ATOMIC_SEQ_CST);
}

/* All guards of the segment: as they are to be now. */
static void apply_all(const struct tarn *seg)
{
    struct chunk *c;
    for
        each_entry(e, c) if (e->kind == KIND_GUARD && e->seg == seg)(void)
            apply(seg, e->at, e->end, seg->lifts ? guard_widest(seg) : e->rights);
}

static void count_guards(struct tarn *seg)
{
    struct chunk *c;
    uint32_t count = 0;
    for
        each_entry(e, c) count += e->kind == KIND_GUARD && e->seg == seg;
    __atomic_store_n(&seg->guards, count, __ATOMIC_SEQ_CST);
}

/* A guard with another's rest. */
static void put_part(struct entry *to, const struct entry *was, uintptr_t at, uintptr_t end)
{
    struct entry part = *was;
    part.ref += at - was->at;
    part.at = at;
    part.end = end;
    if (to)
        put(to, &part);
    else
        add(&part);
}

/* No guard of the segment is within [at, end) any more; a free entry is reserved, for one that is parted. */
static void cut(const struct tarn *seg, uintptr_t at, uintptr_t end)
{
    struct chunk *c;
    for
        each_entry(e, c)
        {
            if (e->kind != KIND_GUARD || e->seg != seg || !overlaps(e, at, end))
                continue;
            struct entry was = *e;
            if (was.at < at && was.end > end)
                put_part(NULL, &was, end, was.end);
            if (was.at < at)
                put_part(e, &was, was.at, at);
            else if (was.end > end)
                put_part(e, &was, end, was.end);
            else
                clear(e);
        }
}

static bool is_guarded(const struct tarn *seg, uintptr_t at, uintptr_t end)
{
    struct chunk *c;
    for
        each_entry(e, c) if (e->kind == KIND_GUARD && e->seg == seg && overlaps(e, at, end)) return true;
    return false;
}

/* Labels of what is guarded no more, and those that [at, end) is to have anew. */
static void drop_labels(const struct tarn *seg, uintptr_t at, uintptr_t end)
{
    struct chunk *c;
    for
        each_entry(e, c) if (e->kind == KIND_LABEL && e->seg == seg &&
                             ((e->at >= at && e->end <= end) || !is_guarded(seg, e->at, e->end))) clear(e);
}

static void add_label(struct tarn *seg, const struct guard_name *n)
{
    struct entry e = {.kind = KIND_LABEL,
                      .seg = seg,
                      .at = address_of(seg, n->ref),
                      .end = address_of(seg, n->ref + n->size),
                      .ref = n->ref};
    memcpy(e.name, n->name, sizeof e.name);
    add(&e);
}

static int set(struct tarn *seg, uint64_t from, uint64_t to, uint32_t rights, const struct guard_name *names,
               uint32_t count)
{
    const struct entry guard = {.kind = KIND_GUARD,
                                .seg = seg,
                                .at = address_of(seg, from),
                                .end = address_of(seg, to),
                                .ref = from,
                                .rights = rights};
    int error;
    if (!reserve(2 + count))
        return -ENOMEM;
    __atomic_add_fetch(&seg->guards, 1, __ATOMIC_SEQ_CST); /* first: whoever lifts from now on waits for the lock */
    error = is_lifted(seg) ? 0 : apply(seg, guard.at, guard.end, rights);
    if (error < 0) {
        (void)apply(seg, guard.at, guard.end, guard_widest(seg));
        apply_all(seg);
        count_guards(seg);
        return error;
    }
    cut(seg, guard.at, guard.end);
    drop_labels(seg, guard.at, guard.end);
    if (rights != guard_widest(seg)) {
        add(&guard);
        for (uint32_t i = 0; i < count; i++)
            add_label(seg, &names[i]);
    }
    count_guards(seg);
    return 0;
}

int guard_set(struct tarn *seg, uint64_t from, uint64_t to, uint32_t rights, const struct guard_name *names,
              uint32_t count)
{
    pthread_mutex_lock(&lock);
    int error = set(seg, from, to, rights, names, count);
    pthread_mutex_unlock(&lock);
    return error;
}

/* ---- for the floors above ---- */

/* A guard that cannot be parted for lack of memory is given up whole. */
static void drop(struct tarn *seg, uintptr_t at, uintptr_t end)
{
    struct chunk *c;
    bool parts = reserve(1);
    for
        each_entry(e, c)
        {
            if (e->kind != KIND_GUARD || e->seg != seg || !overlaps(e, at, end))
                continue;
            if (!parts || apply(seg, e->at > at ? e->at : at, e->end < end ? e->end : end, guard_widest(seg)) < 0) {
                (void)apply(seg, e->at, e->end, guard_widest(seg));
                clear(e);
            }
        }
    cut(seg, at, end);
    drop_labels(seg, at, end);
    count_guards(seg);
}

void guard_drop(struct tarn *seg, uint64_t offset, uint64_t size)
{
    uint64_t page = seg->geometry.page;
    uintptr_t at = address_of(seg, offset / page * page),
              end = address_of(seg, (offset + size + page - 1) / page * page);
    pthread_mutex_lock(&lock);
    if (is_guarded(seg, at, end))
        drop(seg, at, end);
    pthread_mutex_unlock(&lock);
}

int guard_refuses(struct tarn *seg, uint64_t offset, uint64_t size)
{
    struct chunk *c;
    uint64_t where = 0;
    bool found = false;
    pthread_mutex_lock(&lock);
    for
        each_entry(e, c) if (e->kind == KIND_GUARD && e->seg == seg && !(e->rights & TARN_PROT_WRITE) &&
                             overlaps(e, address_of(seg, offset), address_of(seg, offset + size)))
        {
            where = e->ref;
            found = true;
        }
    pthread_mutex_unlock(&lock);
    return found ? fail(-EACCES, "%llu bytes at ref %#llx are not to be written by this process: tarn_protect has said so of the pages from ref %#llx on",
                        (unsigned long long)size, (unsigned long long)offset, (unsigned long long)where)
                 : 0;
}

void guard_apply(struct tarn *seg)
{
    pthread_mutex_lock(&lock);
    apply_all(seg);
    pthread_mutex_unlock(&lock);
}

/* ---- the process's handles ---- */

void guard_mapped(struct tarn *seg)
{
    struct entry e = {.kind = KIND_MAPPING, .seg = seg, .at = (uintptr_t)(seg->raw ? seg->raw : seg->base)};
    e.end = e.at + (seg->raw ? seg->raw_length : seg->geometry.end);
    e.ref = seg->raw ? seg->raw_offset : 0;
    if (seg->url)
        memcpy(e.name, seg->url, strnlen(seg->url, sizeof e.name - 1));
    pthread_mutex_lock(&lock);
    if (reserve(1)) /* else faults in it are not told */
        add(&e);
    pthread_mutex_unlock(&lock);
}

void guard_unmapped(struct tarn *seg)
{
    struct chunk *c;
    pthread_mutex_lock(&lock);
    for
        each_entry(e, c) if (e->kind != KIND_NONE && e->seg == seg) clear(e);
    pthread_mutex_unlock(&lock);
}

void guard_fork(void)
{
    pthread_mutex_lock(&lock);
}

void guard_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* Pages have the parent's rights, but who had lifted them is not here. */
void guard_child(void)
{
    struct chunk *c;
    pthread_mutex_init(&lock, NULL);
    for
        each_entry(e, c) if (e->kind == KIND_MAPPING && e->seg->lifts)
        {
            e->seg->lifts = 0;
            apply_all(e->seg);
        }
}

/* ---- for a signal handler ---- */

static bool read_entry(const struct entry *e, uintptr_t address, struct entry *ret)
{
    for (int tries = 0; tries < 1000; tries++) {
        uint32_t turn = __atomic_load_n(&e->turn, __ATOMIC_ACQUIRE);
        if (turn & 1)
            continue;
        memcpy(ret, e, sizeof *ret);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&e->turn, __ATOMIC_RELAXED) == turn)
            return ret->kind != KIND_NONE && address >= ret->at && address < ret->end;
    }
    return false; /* who changes it was interrupted by this very signal */
}

bool guard_find(uintptr_t address, struct guard_found *ret)
{
    struct chunk *c;
    bool found = false;
    memset(ret, 0, sizeof *ret);
    for
        each_entry(e, c)
        {
            struct entry now;
            if (!read_entry(e, address, &now))
                continue;
            found = true;
            if (now.kind == KIND_MAPPING) {
                ret->ref = now.ref + (address - now.at);
                memcpy(ret->url, now.name, sizeof ret->url);
            } else if (now.kind == KIND_GUARD) {
                ret->is_guarded = true;
                ret->rights = now.rights;
            } else if (!ret->is_named || (!ret->name[0] && now.name[0])) {
                ret->is_named = true;
                ret->object = now.ref;
                memcpy(ret->name, now.name, sizeof ret->name);
            }
        }
    return found;
}

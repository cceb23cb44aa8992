/* segment/translate.c - tarn_translate: from a ref to a frame, and what an access would do.
 *
 * Three sources, none of which touches the page: the mapping (/proc/PID/smaps), the entry in the page table (pagemap), and what is behind the
 * mapping (the backing's size; whether the page is in memory). From these follows what the kernel would do at an access; where a source is
 * silent, the worst that can be is told, without the bit that says it is known. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <string.h>

/* What is behind a mapping. */
struct behind {
    bool size_told, memory_told, memory; /* memory: of no disk */
    uint64_t size;
    int fd;         /* by which holes can be seen; -1: none */
    bool committed; /* what is there was committed: it never lacks room */
};

/* Is a page of the segment committed? The tables of spans that are not there yet are not. */
static bool is_committed(const struct tarn *seg, uint64_t offset)
{
    const struct geometry *g = &seg->geometry;
    uint64_t committed = committed_of(seg);
    if (offset < g->zone[ZONE_SIDE])
        return true;
    if (offset < g->zone[ZONE_DATA])
        return offset - g->zone[ZONE_SIDE] < (committed >> g->span_shift) * g->side_size;
    return offset - g->zone[ZONE_DATA] < committed;
}

/* ---- what is known ---- */

static void take_mapping(struct tarn_translation *t, const struct os_mapping *m)
{
    t->start = m->start;
    t->end = m->end;
    t->device = m->device;
    t->inode = m->inode;
    t->rights =
        (m->read ? TARN_PROT_READ : 0) | (m->write ? TARN_PROT_WRITE : 0) | (m->execute ? TARN_PROT_EXEC : 0);
    if (!t->rights)
        t->rights = TARN_PROT_NONE;
    t->shared = m->shared;
    t->known |= TARN_KNOWN_MAPPING;
    memcpy(t->path, m->path, sizeof t->path);
    if (!m->told)
        return;
    t->page_size = (uint32_t)m->page_size;
    t->page = t->address / m->page_size;
    t->known |= TARN_KNOWN_PAGE;
    if (m->huge_page || !m->huge) {
        t->huge = m->huge_page;
        t->known |= TARN_KNOWN_HUGE;
    }
}

static void take_page(struct tarn_translation *t, const struct os_page *p)
{
    t->mapped = p->present;
    t->exclusive = p->exclusive;
    t->soft_dirty = p->soft_dirty_told && p->soft_dirty;
    t->known |= TARN_KNOWN_MAPPED | (p->soft_dirty_told ? TARN_KNOWN_SOFT_DIRTY : 0);
    if (p->present) {
        t->resident = 1;
        t->known |= TARN_KNOWN_RESIDENT | TARN_KNOWN_SWAPPED;
    }
    if (p->swapped) {
        t->swapped = 1;
        t->known |= TARN_KNOWN_RESIDENT | TARN_KNOWN_SWAPPED;
    }
    if (p->frame) {
        t->frame = p->frame;
        t->known |= TARN_KNOWN_FRAME;
    }
    if (p->dirty_told) {
        t->dirty = p->dirty;
        t->known |= TARN_KNOWN_DIRTY;
    }
    if (p->huge_told && !(t->known & TARN_KNOWN_HUGE)) {
        t->huge = p->huge;
        t->known |= TARN_KNOWN_HUGE;
    }
}

static void take_node(struct tarn_translation *t, uint32_t pid)
{
    int node = t->mapped ? os_page_node(pid, t->address) : -ENOENT;
    t->node = node >= 0 ? node : -1;
    t->known |= node >= 0 ? TARN_KNOWN_NODE : 0;
}

static void take_swap(struct tarn_translation *t)
{
    if (!(t->known & TARN_KNOWN_SWAPPED) && ((t->known & TARN_KNOWN_RESIDENT && t->resident) || !os_swaps()))
        t->known |= TARN_KNOWN_SWAPPED;
}

/* Of a page that this process has not mapped: is it in memory all the same? */
static void take_cached(struct tarn_translation *t, const struct behind *b, bool believed)
{
    int cached, hole;
    if (t->known & TARN_KNOWN_RESIDENT)
        return;
    cached = os_page_cached((const void *)(uintptr_t)t->address);
    if (cached < 0 || (cached && !believed))
        return;
    t->resident = (uint8_t)cached;
    t->known |= TARN_KNOWN_RESIDENT;
    if (cached || !b->memory || b->fd < 0 || !os_swaps() || (hole = os_page_is_hole(b->fd, t->offset)) < 0)
        return;
    t->swapped = !hole;
    t->known |= TARN_KNOWN_SWAPPED;
}

/* ---- what an access would do ---- */

static void both(struct tarn_translation *t, uint32_t what, bool known)
{
    t->on_read = t->on_write = what;
    t->known |= known ? TARN_KNOWN_READ | TARN_KNOWN_WRITE : 0;
}

static void write_is(struct tarn_translation *t, uint32_t what, bool known)
{
    t->on_write = what;
    t->known = (t->known & ~TARN_KNOWN_WRITE) | (known ? TARN_KNOWN_WRITE : 0);
}

/* The page table has it. A write may still be told of first: to copy the page, or to mark it as written. */
static void judge_mapped(struct tarn_translation *t, const struct behind *b, bool of_file)
{
    bool clean = t->known & TARN_KNOWN_SOFT_DIRTY && !t->soft_dirty;
    both(t, TARN_ACCESS_NOTHING, true);
    if (!t->shared && (of_file || !t->exclusive))
        write_is(t, TARN_ACCESS_MINOR, true);
    else if (t->shared && b->memory_told && !b->memory) /* what a disk is to have is marked at the first write */
        write_is(t, TARN_ACCESS_MINOR, false);
    else if (clean)
        write_is(t, TARN_ACCESS_MINOR, true);
    else if (t->shared && !b->memory_told)
        write_is(t, TARN_ACCESS_MINOR, false);
}

/* What the kernel has to read from a disk first is a major fault to it, also where it turns out to be nothing. */
static void judge_absent(struct tarn_translation *t, const struct behind *b, bool of_file)
{
    bool in_memory = (b->memory_told && b->memory) || !of_file;
    if (t->resident)
        both(t, TARN_ACCESS_MINOR, true);
    else if (!in_memory)
        both(t, TARN_ACCESS_MAJOR, t->known & TARN_KNOWN_RESIDENT);
    else if (t->swapped || !(t->known & TARN_KNOWN_SWAPPED))
        both(t, TARN_ACCESS_MAJOR, t->swapped);
    else if (b->committed || !of_file)
        both(t, TARN_ACCESS_MINOR, true);
    else
        both(t, TARN_ACCESS_SIGBUS, false); /* or a minor fault: the file system may be full */
}

static bool is_beyond(const struct tarn_translation *t, const struct behind *b)
{
    uint64_t unit = t->page_size ? t->page_size : os_page_size();
    return b->size_told && t->offset / unit >= (b->size + unit - 1) / unit;
}

static void judge(struct tarn_translation *t, const struct behind *b, const struct os_page *p)
{
    bool of_file = t->shared || t->inode; /* or of shared memory, which the kernel keeps as a file */
    if (!(t->known & TARN_KNOWN_MAPPING)) {
        both(t, TARN_ACCESS_SIGSEGV, false);
        return;
    }
    if (of_file && is_beyond(t, b))
        both(t, TARN_ACCESS_SIGBUS, true);
    else if (!(t->known & TARN_KNOWN_MAPPED) || (of_file && !b->size_told && !t->mapped))
        both(t, b->size_told ? TARN_ACCESS_MAJOR : TARN_ACCESS_SIGBUS, false);
    else if (t->mapped)
        judge_mapped(t, b, p->file);
    else
        judge_absent(t, b, of_file);
    if (t->rights == TARN_PROT_NONE) /* a machine that executes what it may not read is not asked here */
        both(t, TARN_ACCESS_SIGSEGV, true);
    else if (!(t->rights & TARN_PROT_WRITE))
        write_is(t, TARN_ACCESS_SIGSEGV, true);
}

/* ---- this process's ---- */

static int translate(tarn *seg, uint64_t at, struct tarn_translation *ret)
{
    struct tarn_translation t = {.address = at, .node = -1};
    struct behind b = {.fd = seg->object.fd, .memory_told = true, .memory = seg->object.fd < 0};
    struct os_mapping m;
    struct os_page p = {0};
    struct facts f;
    b.size_told = seg->keeping->facts(&seg->object, &f) == 0;
    b.size = b.size_told ? f.size : 0;
    b.memory = b.memory || os_in_memory(b.fd);
    t.ref = seg->raw ? 0 : at - (uintptr_t)seg->base;
    t.offset = seg->raw ? at - (uintptr_t)seg->raw + seg->raw_offset : t.ref;
    b.committed = !seg->raw && is_committed(seg, t.ref);
    t.committed = seg->raw ? t.offset < b.size : b.committed;
    if (os_mapping_of(0, at, &m) == 0)
        take_mapping(&t, &m);
    if (os_page_of(0, at, &p) == 0)
        take_page(&t, &p);
    take_node(&t, 0);
    take_cached(&t, &b, !seg->readonly || (b.size_told && f.uid == geteuid()) || geteuid() == 0);
    take_swap(&t);
    judge(&t, &b, &p);
    *ret = t;
    return 0;
}

static uint64_t mapped_bytes(const struct tarn *seg, const char **ret_first)
{
    *ret_first = seg->raw ? seg->raw : seg->base;
    return seg->raw ? seg->raw_length : seg->geometry.end;
}

int tarn_translate(tarn *seg, const void *address, struct tarn_translation *ret_translation)
{
    const char *first;
    uint64_t size = mapped_bytes(seg, &first);
    if ((uintptr_t)address - (uintptr_t)first >= size)
        return fail(-EINVAL, "%s: %p is not in it: it is mapped at %p, %llu bytes", handle_name(seg), address,
                    (const void *)first, (unsigned long long)size);
    int cancel = os_cancel_off(), e = translate(seg, (uintptr_t)address, ret_translation);
    os_cancel_restore(cancel);
    return e;
}

int tarn_translate_ref(tarn *seg, tarn_ref ref, struct tarn_translation *ret_translation)
{
    if (seg->raw)
        return raw_refused(seg, "tarn_translate_ref");
    if (ref >= seg->geometry.end)
        return fail(-EINVAL, "%s: ref %#llx is beyond its limit, %#llx", handle_name(seg),
                    (unsigned long long)ref, (unsigned long long)seg->geometry.end);
    return tarn_translate(seg, seg->base + ref, ret_translation);
}

/* ---- any process's ---- */

static int refuse_process(uint32_t pid, uint64_t address, int error)
{
    int process;
    switch (error) {
    case -EFAULT:
        return fail(error, "process %u has nothing mapped at %#llx", pid, (unsigned long long)address);
    case -EACCES:
    case -EPERM:
        return fail(-EACCES,
                    "process %u may not be looked at: it is another user's, or has more rights than this one",
                    pid);
    case -ENOENT:
    case -ESRCH:
        process = os_process_open(pid);
        if (process >= 0)
            close(process);
        return process == -ESRCH
                   ? fail(-ESRCH, "there is no process %u", pid)
                   : fail(-ENOSYS, "there is no /proc, which alone tells of another process's memory");
    default: return fail(error, "the mappings of process %u cannot be read: %s", pid, strerror(-error));
    }
}

static int translate_process(uint32_t pid, uint64_t address, struct tarn_translation *ret)
{
    struct tarn_translation t = {.address = address, .node = -1};
    struct behind b = {.fd = -1};
    struct os_mapping m;
    struct os_page p = {0};
    int error = os_mapping_of(pid, address, &m);
    if (error < 0)
        return refuse_process(pid, address, error);
    take_mapping(&t, &m);
    t.offset = m.offset + (address - m.start);
    b.size_told = b.memory_told = (m.shared || m.inode) && os_mapped_file(pid, &m, &b.size, &b.memory) == 0;
    t.committed = b.size_told && t.offset < b.size;
    if (os_page_of(pid, address, &p) == 0)
        take_page(&t, &p);
    take_node(&t, pid);
    take_swap(&t);
    judge(&t, &b, &p);
    *ret = t;
    return 0;
}

int tarn_translate_process(uint32_t pid, uint64_t address, struct tarn_translation *ret_translation)
{
    if (!pid)
        return fail(-EINVAL, "a process's number is 1 or more");
    int cancel = os_cancel_off(), e = translate_process(pid, address, ret_translation);
    os_cancel_restore(cancel);
    return e;
}

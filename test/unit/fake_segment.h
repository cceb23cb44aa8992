/* fake_segment.h - a segment in private memory with participants made by hand, for tests on the library's internals: all in one thread,
 * so every participant's calls can be interleaved at will, and each may be declared dead.
 *
 * It is committed to its limit, so it cannot grow. Places for refs (`root`) are in the names' zone, where sections may write. */
#ifndef TARN_TEST_FAKE_SEGMENT_H
#define TARN_TEST_FAKE_SEGMENT_H

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap/table.h"

#define FAKES 6
#define ROOTS 256

struct fake {
    struct tarn seg;
    uint64_t *root;
    struct self self[FAKES];
    struct heap_cache cache[FAKES];
};

/* Participant i takes part (again): a new identity, empty caches. */
static inline struct self *fake_join(struct fake *f, uint32_t i)
{
    struct self *s = &f->self[i];
    struct record *r = record_at(&f->seg, i);
    memset(s, 0, sizeof *s);
    memset(&f->cache[i], 0, sizeof f->cache[i]);
    s->seg = &f->seg;
    s->id = ID_MAKE(r->generation, i);
    s->record = r;
    s->slot = record_slots(r);
    s->code = 1 + i % 127;
    s->log_at = record_log(&f->seg, r);
    s->log_room = f->seg.geometry.log_words;
    s->heap = &f->cache[i];
    r->liveness[0] = (uint32_t)gettid(); /* locked, as far as others can see */
    r->state = RECORD_TAKEN;
    return s;
}
/* As after a SIGKILL: nothing changes but the liveness word. */
static inline void fake_kill(struct fake *f, uint32_t i)
{
    record_at(&f->seg, i)->liveness[0] = FUTEX_OWNER_DIED;
}

static inline struct fake *fake_make(uint32_t span_size, uint64_t limit)
{
    struct fake *f = aligned_alloc(64, (sizeof *f + 63) / 64 * 64);
    struct geometry *g = &f->seg.geometry;
    memset(f, 0, sizeof *f);
    *g = (struct geometry){.span_size = span_size, .limit = limit, .record_size = 2048, .records = FAKES};
    if (geometry_compute(g) < 0)
        abort();
    f->seg.object = (struct object){-1, -1};
    f->seg.backed = limit;
    f->seg.exchange_unlock = true; /* a fence will do: it is one process */
    f->seg.base = mmap(NULL, g->end, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->seg.base == MAP_FAILED)
        abort();
    header_of(&f->seg)->committed = limit;
    participants_of(&f->seg)->epoch = 1;
    f->root = at_offset(&f->seg, g->zone[ZONE_NAME]);
    return f;
}
static inline void fake_free(struct fake *f)
{
    for (int i = 0; i < FAKES; i++) {
        free(f->self[i].freed);
        free(f->self[i].log_extent);
    }
    munmap(f->seg.base, f->seg.geometry.end);
    free(f);
}

/* What is wrong with the heap, if the refs at root[0..ROOTS) are all that reach a block: C3, C10 of docs/crash-core.md; or NULL. */
struct fake_count {
    uint64_t allocated, limbo, free_blocks;
};
static inline int fake_count_block(uint64_t offset, uint64_t size, enum block_state state, void *arg)
{
    struct fake_count *c = arg;
    (void)offset;
    (void)size;
    *(state == BLOCK_FREE ? &c->free_blocks : state == BLOCK_LIMBO ? &c->limbo : &c->allocated) += 1;
    return 0;
}
static inline const char *fake_fault(struct fake *f, struct fake_count *ret_count)
{
    struct fake_count c = {0};
    uint64_t named = 0;
    for (uint32_t i = 0; i < ROOTS; i++) {
        uint64_t ref = f->root[i];
        if (!ref)
            continue;
        switch (heap_state(&f->seg, ref, NULL)) {
        case BLOCK_NONE: return "a ref names no block";
        case BLOCK_FREE: return "a free block is named";
        case BLOCK_LIMBO: return "a block in limbo is named";
        case BLOCK_ALLOCATED: break;
        }
        for (uint32_t j = 0; j < i; j++)
            if (f->root[j] == ref)
                return "a block is named twice";
        named++;
    }
    heap_walk(&f->seg, fake_count_block, &c);
    if (ret_count)
        *ret_count = c;
    if (c.allocated != named)
        return c.allocated > named ? "a block is allocated and not named: leaked" : "more refs than blocks";
    return heap_check(&f->seg, NULL, NULL) ? "heap_check finds damage" : NULL;
}

#endif

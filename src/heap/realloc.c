/* heap/realloc.c - blocks of another size, and blocks that are aligned.
 *
 * A block stays where it is if its class, or its number of spans, is what is asked for. A run of one's own becomes longer or shorter in place, by
 * one store of its first span's word, outside sections only: inside, it could not be undone. All else moves: another block is filled while it
 * is free, and takes the old one's place by the stores of heap_exchange, or in the section's log.
 * While a run changes, the intent says so (HAND): spans that have left it, or are about to join it, are REST without a run. A death leaves these
 * to adoption, as it does those of a run half-made. docs/heap.md, 'Another size'.
 * The caller keeps the block from others meanwhile, as he keeps its place; who reads it without a lock reads the old one, if that is retired. */
#include <errno.h>
#include <string.h>

#include "heap/table.h"
#include "segment/guard.h"

static int refuse_size(const struct tarn *seg, uint64_t size)
{
    return fail(-EINVAL, "a block cannot be made %llu bytes: sizes are 1 to %llu in this segment",
                (unsigned long long)size, (unsigned long long)heap_most(seg));
}

static int find_block(struct tarn *seg, uint64_t ref, uint64_t size, struct block *b)
{
    if (size - 1 >= heap_most(seg))
        return refuse_size(seg, size);
    if (!block_find(seg, ref, b) || !block_is_allocated(b))
        return fail(-EINVAL, "ref %llu is not the beginning of an allocated block", (unsigned long long)ref);
    return guarded(seg) ? guard_refuses(seg, b->offset, b->size) : 0;
}

static uint32_t spans_for(const struct geometry *g, uint64_t size)
{
    return (uint32_t)((size + g->span_size - 1) >> g->span_shift);
}
static bool is_small(const struct geometry *g, uint64_t size)
{
    return size <= g->span_size / 8;
}

/* Is the block what would be taken for this size? */
static bool fits(const struct geometry *g, const struct block *b, uint64_t size)
{
    if (is_small(g, size))
        return b->class == class_at(g, class_of_size(size));
    return block_is_run(b) && spans_for(g, size) == SPAN_ARGUMENT(b->word);
}

/* Into the new block, which nobody has yet: the old one's bytes, as far as they go, and zeros. */
static void fill(const struct tarn *seg, const struct block *old, uint64_t block, uint64_t size)
{
    uint64_t keep = old->size < size ? old->size : size;
    memcpy(at_offset(seg, block), at_offset(seg, old->offset), keep);
    if (!seg->uninitialized)
        memset((char *)at_offset(seg, block) + keep, 0, size - keep);
}

/* ---- runs, in place ---- */

static uint64_t *word_at(const struct tarn *seg, uint32_t index)
{
    return &span_at(seg, index)->word;
}

static void set_length(struct self *s, const struct block *b, uint32_t n)
{
    store64(word_at(s->seg, b->span), SPAN_WORD(s->id, n, SPAN_RUN)); /* commit */
}

/* An adopted run's spans may have been its first owner's: each is known by its distance. */
static void shorten(struct self *s, const struct block *b, uint32_t n)
{
    store64(&s->record->intent, b->offset | INTENT_HAND);
    set_length(s, b, n);
    for (uint32_t d = n; d < SPAN_ARGUMENT(b->word); d++) {
        uint64_t *word = word_at(s->seg, b->span + d), w = load64(word);
        if (SPAN_STATE(w) == SPAN_REST && SPAN_ARGUMENT(w) == d)
            swap64(word, &w, 0);
    }
    store64(&s->record->intent, 0);
}

/* So many free spans, adjoining, anywhere. */
static bool room_elsewhere(const struct tarn *seg, uint32_t n)
{
    uint32_t have = 0, spans = spans_committed(seg);
    for (uint32_t i = 0; i < spans && have < n; i++)
        have = load64(word_at(seg, i)) ? 0 : have + 1;
    return have == n;
}

/* Are the spans behind the run free, up to n in all? If it is only for the end of what is committed, the segment grows, but not where the run
 * can be moved into what is committed: else the last run would drive it on and on. */
static bool room_behind(struct self *s, const struct block *b, uint32_t n)
{
    struct tarn *seg = s->seg;
    uint32_t d = SPAN_ARGUMENT(b->word), spans = spans_committed(seg);
    while (d < n && b->span + d < spans && !load64(word_at(seg, b->span + d)))
        d++;
    if (d == n)
        return true;
    return b->span + d == spans && !room_elsewhere(seg, n) &&
           segment_grow(seg, (uint64_t)(n - d) << seg->geometry.span_shift) == 0;
}

/* 0 -> {me, INIT}, those behind the run, up to n in all; or none. */
static bool claim_behind(struct self *s, const struct block *b, uint32_t n)
{
    uint32_t had = SPAN_ARGUMENT(b->word);
    if (n > spans_committed(s->seg) - b->span)
        return false;
    for (uint32_t d = had; d < n; d++) {
        uint64_t none = 0;
        if (swap64(word_at(s->seg, b->span + d), &none, SPAN_WORD(s->id, 0, SPAN_INIT)))
            continue;
        while (d-- > had)
            store64(word_at(s->seg, b->span + d), 0);
        return false;
    }
    return true;
}

static bool lengthen(struct self *s, const struct block *b, uint32_t n)
{
    struct tarn *seg = s->seg;
    uint32_t had = SPAN_ARGUMENT(b->word);
    bool claimed;
    if (!room_behind(s, b, n))
        return false;
    store64(&s->record->intent, b->offset | INTENT_HAND);
    claimed = claim_behind(s, b, n);
    if (claimed) {
        for (uint32_t d = had; d < n; d++)
            store64(word_at(seg, b->span + d), SPAN_WORD(s->id, d, SPAN_REST));
        if (guarded(seg))
            guard_drop(seg, span_offset(seg, b->span + had), (uint64_t)(n - had) << seg->geometry.span_shift);
        if (!seg->uninitialized)
            memset(at_offset(seg, span_offset(seg, b->span + had)), 0,
                   (uint64_t)(n - had) << seg->geometry.span_shift);
        set_length(s, b, n);
    }
    store64(&s->record->intent, 0);
    return claimed;
}

/* Is it done? */
static bool changed_in_place(struct self *s, const struct block *b, uint64_t size, unsigned kind)
{
    const struct geometry *g = &s->seg->geometry;
    uint32_t n = spans_for(g, size);
    if (!block_is_run(b) || SPAN_OWNER(b->word) != s->id || is_small(g, size))
        return false;
    if (n > SPAN_ARGUMENT(b->word))
        return lengthen(s, b, n);
    if (kind != LOG_FREE) /* readers may look at what it would give back */
        return false;
    shorten(s, b, n);
    return true;
}

/* ---- moves ---- */

int heap_realloc(struct self *s, uint64_t block, uint64_t size, unsigned kind, uint64_t *ret_block)
{
    struct block b;
    uint64_t to, has = 0;
    int e;
    if (!block)
        return heap_alloc(s, size, !s->seg->uninitialized, ret_block);
    if ((e = find_block(s->seg, block, size, &b)))
        return e;
    if (s->frees && log_frees(s, block))
        return fail(-EINVAL, "ref %llu is freed by this section already", (unsigned long long)block);
    if (!fits(&s->seg->geometry, &b, size)) {
        if ((e = log_reserve(s, 2))) /* for both, so that the second cannot fail */
            return e;
        e = heap_alloc(s, size, false, &to);
        if (e && size > b.size)
            return e;
        if (!e) {
            heap_state(s->seg, to, &has);
            fill(s->seg, &b, to, has);
            log_word(s, LOG_WORD(block, kind));
            block = to;
        }
    }
    *ret_block = block;
    return 0;
}

/* In one step. */
static int move(struct self *s, uint64_t *place, const struct block *b, uint64_t size, unsigned kind)
{
    struct heap_cache *h;
    struct fresh f;
    int e = heap_pick_raw(s, size, &f);
    if (e)
        return size <= b->size ? 0 : e;
    fill(s->seg, b, f.block, f.size);
    heap_exchange(s, &f, place, f.block, b->offset, kind);
    h = cache_of(s);
    if (h->idle_runs)
        run_tidy(s, h);
    return 0;
}

int heap_realloc_into(struct self *s, uint64_t *place, uint64_t size, unsigned kind)
{
    struct tarn *seg = s->seg;
    uint64_t at = offset_of(seg, place), block, to;
    struct block b;
    int e;
    if (at & 7 || !in_writable(seg, at, 8))
        return fail(-EINVAL,
                    "the ref at %p is not where this segment keeps data, or not aligned to 8 (segment at %p)",
                    (void *)place, (void *)seg->base);
    block = load64(place);
    if (!block)
        return heap_alloc_into(s, place, size);
    if (s->journal) { /* part of the open section */
        if ((e = log_save(s, at, 1)) || (e = heap_realloc(s, block, size, kind, &to)))
            return e;
        if (to != block)
            store64(place, to);
        return 0;
    }
    if ((e = find_block(seg, block, size, &b)))
        return e;
    if (fits(&seg->geometry, &b, size) || changed_in_place(s, &b, size, kind))
        return 0;
    return move(s, place, &b, size, kind);
}

/* ---- alignment ---- */

/* Spans are aligned to a page at least, so a block of class k is aligned to whatever divides k's size; a run to a span. */
uint64_t heap_aligned_size(const struct tarn *seg, uint64_t size, uint64_t alignment)
{
    const struct geometry *g = &seg->geometry;
    if (!size || !is_small(g, size))
        return size;
    for (uint32_t class = class_of_size(size); class < class_count(g); class ++)
        if (class_at(g, class)->size % alignment == 0)
            return class_at(g, class)->size;
    return g->span_size / 8 + 1;
}

/* ---- public ---- */

static int kind_of(unsigned flags, unsigned *ret_kind)
{
    if (flags & ~TARN_REALLOC_RETIRE)
        return fail(-EINVAL, "flags %#x: there is none but TARN_REALLOC_RETIRE", flags);
    *ret_kind = flags ? LOG_RETIRE : LOG_FREE;
    return 0;
}

static int check_alignment(uint64_t alignment)
{
    if (alignment && !(alignment & (alignment - 1)) && alignment <= 4096)
        return 0;
    return fail(-EINVAL, "blocks cannot be aligned to %llu: powers of two up to 4096 can be had",
                (unsigned long long)alignment);
}

static int no_section(const char *call)
{
    return fail(-EPERM, "%s: this thread has no section open here: call tarn_begin, or use %s_into", call, call);
}

int tarn_realloc(tarn *seg, tarn_ref ref, size_t size, unsigned flags, tarn_ref *ret_ref)
{
    unsigned kind = LOG_FREE;
    int e = kind_of(flags, &kind);
    struct self *s = e ? NULL : self_of(seg, &e);
    if (!s)
        return e;
    return s->journal ? heap_realloc(s, ref, size, kind, ret_ref) : no_section("tarn_realloc");
}

int tarn_realloc_into(tarn *seg, tarn_ref *place, size_t size, unsigned flags)
{
    unsigned kind = LOG_FREE;
    int e = kind_of(flags, &kind);
    struct self *s = e ? NULL : self_of(seg, &e);
    return s ? heap_realloc_into(s, place, size, kind) : e;
}

int tarn_alloc_aligned(tarn *seg, size_t size, size_t alignment, tarn_ref *ret_ref)
{
    int e = check_alignment(alignment);
    struct self *s = e ? NULL : self_of(seg, &e);
    if (!s)
        return e;
    if (!s->journal)
        return no_section("tarn_alloc_aligned");
    return heap_alloc(s, heap_aligned_size(seg, size, alignment), !seg->uninitialized, ret_ref);
}

int tarn_alloc_aligned_into(tarn *seg, tarn_ref *place, size_t size, size_t alignment)
{
    int e = check_alignment(alignment);
    struct self *s = e ? NULL : self_of(seg, &e);
    return s ? heap_alloc_into(s, place, heap_aligned_size(seg, size, alignment)) : e;
}

/* heap/walk.c - looking at the heap without changing it: blocks one by one, sums, and what is damaged.
 *
 * Takes no lock, follows no ref, and is bounded by the number of committed spans and their blocks, whatever the bytes say. Others work
 * meanwhile: each block is seen as it was at one instant, the whole is not. heap_check looks again before it calls a span damaged.
 * What a dead participant left half-made and adoption puts right (INIT, a REST without a run, R bytes under F bits) is no damage. */
#include <time.h>

#include "heap/table.h"

/* The class of a span that has blocks, and how many spans it goes on for. NULL: none. */
static const struct size_class *span_class(const struct tarn *seg, uint32_t index, uint32_t spans, uint64_t w,
                                           uint32_t *ret_length)
{
    const struct geometry *g = &seg->geometry;
    uint32_t argument = SPAN_ARGUMENT(w);
    *ret_length = 1;
    if (SPAN_STATE(w) == SPAN_SMALL && argument < class_count(g))
        return class_at(g, argument);
    if (SPAN_STATE(w) != SPAN_RUN || !argument || argument > spans - index)
        return NULL;
    *ret_length = argument;
    return class_at(g, RUN);
}

static enum block_state state_of(uint64_t f, uint8_t freed)
{
    return f & 1 ? BLOCK_FREE : freed ? BLOCK_LIMBO : BLOCK_ALLOCATED;
}

enum block_state heap_state(struct tarn *seg, uint64_t offset, uint64_t *ret_size)
{
    struct block b;
    if (!block_find(seg, offset, &b))
        return BLOCK_NONE;
    if (ret_size)
        *ret_size = b.size;
    return state_of(block_is_free(&b), block_freed(&b));
}

size_t tarn_block_size(tarn *seg, tarn_ref ref)
{
    uint64_t size = 0;
    return heap_state(seg, ref, &size) == BLOCK_ALLOCATED ? size : 0;
}

int heap_walk(struct tarn *seg,
              int (*each)(uint64_t offset, uint64_t size, enum block_state state, void *arg), void *arg)
{
    uint32_t spans = spans_committed(seg), length;
    for (uint32_t index = 0; index < spans; index += length) {
        const struct size_class *k = span_class(seg, index, spans, load64(&span_at(seg, index)->word), &length);
        uint64_t *f = free_words(span_at(seg, index)), from = span_offset(seg, index);
        uint64_t size = k && k->size ? k->size : (uint64_t)length << seg->geometry.span_shift;
        for (uint32_t i = 0; k && i < k->blocks; i++) {
            uint8_t freed = __atomic_load_n(freed_bytes(seg, index, k) + i, __ATOMIC_ACQUIRE);
            int e = each(from + i * size, size, state_of(load64(&f[i >> 6]) >> (i & 63), freed), arg);
            if (e)
                return e;
        }
    }
    return 0;
}

/* One span of small blocks: of [from, to) what is its. R bytes at its end are of no block. */
static int small_within(struct tarn *seg, uint32_t index, const struct size_class *k, uint64_t from, uint64_t to,
                        int (*each)(uint64_t offset, uint64_t size, enum block_state state, void *arg), void *arg)
{
    uint64_t begin = span_offset(seg, index), far = k->far ? begin + k->freed_at : UINT64_MAX;
    uint64_t first = from > begin ? (from - begin) / k->size : 0;
    for (uint64_t i = first; i < k->blocks && begin + i * k->size < to; i++) {
        struct block b;
        uint64_t at = begin + i * k->size;
        bool found = block_find(seg, at, &b);
        int e = each(at, k->size, found ? state_of(block_is_free(&b), block_freed(&b)) : BLOCK_NONE, arg);
        if (e)
            return e;
    }
    return far < to ? each(far, to - far, BLOCK_NONE, arg) : 0;
}

int heap_within(struct tarn *seg, uint64_t from, uint64_t to,
                int (*each)(uint64_t offset, uint64_t size, enum block_state state, void *arg), void *arg)
{
    const struct geometry *g = &seg->geometry;
    uint32_t spans = spans_committed(seg), length;
    while (from < to) {
        uint32_t index = (uint32_t)((from - g->zone[ZONE_DATA]) >> g->span_shift);
        uint64_t w = index < spans ? load64(&span_at(seg, index)->word) : 0, end = span_offset(seg, index + 1);
        int e;
        if (SPAN_STATE(w) == SPAN_REST && SPAN_ARGUMENT(w) && SPAN_ARGUMENT(w) <= index) {
            index -= SPAN_ARGUMENT(w);
            w = load64(&span_at(seg, index)->word);
        }
        const struct size_class *k = w ? span_class(seg, index, spans, w, &length) : NULL;
        if (k && k->size)
            e = small_within(seg, index, k, from, to < end ? to : end, each, arg);
        else if (k) {
            uint64_t begin = span_offset(seg, index), run_end = span_offset(seg, index + length), size = 0;
            enum block_state state = heap_state(seg, begin, &size);
            e = each(begin, size, run_end > from ? state : BLOCK_NONE, arg);
            end = run_end > end ? run_end : end;
        } else
            e = each(from, end - from, BLOCK_NONE, arg);
        if (e)
            return e;
        from = end;
    }
    return 0;
}

/* ---- sums ---- */

static int add_block(uint64_t offset, uint64_t size, enum block_state state, void *arg)
{
    struct tarn_stat *t = arg;
    (void)offset;
    *(state == BLOCK_FREE ? &t->free_bytes : state == BLOCK_LIMBO ? &t->limbo : &t->allocated) += size;
    return 0;
}

static void stat_(struct tarn *seg, struct tarn_stat *ret)
{
    uint32_t spans = spans_committed(seg);
    ret->data = (uint64_t)spans << seg->geometry.span_shift;
    ret->spans = spans;
    ret->spans_free = ret->allocated = ret->limbo = ret->free_bytes = 0;
    for (uint32_t i = 0; i < spans; i++)
        ret->spans_free += !load64(&span_at(seg, i)->word);
    heap_walk(seg, add_block, ret);
}

const struct floor heap_floor = {
    .name = "heap",
    .stat = stat_,
};
const size_t heap_cache_size = sizeof(struct heap_cache);

/* ---- damages ---- */

static const char *small_fault(struct tarn *seg, uint32_t index, uint32_t class)
{
    const struct size_class *k;
    uint64_t *f = free_words(span_at(seg, index));
    if (class >= class_count(&seg->geometry))
        return "span of small blocks: its size class does not exist";
    k = class_at(&seg->geometry, class);
    for (uint32_t w = 0; w < k->words; w++)
        if (load64(&f[w]) & ~word_mask(k, w))
            return "span of small blocks: blocks are marked free that it does not have";
    return NULL;
}

static const char *run_fault(struct tarn *seg, uint32_t index, uint32_t spans, uint32_t length)
{
    if (!length || length > spans - index)
        return "run: it ends beyond the committed spans";
    for (uint32_t d = 1; d < length; d++) {
        uint64_t w = load64(&span_at(seg, index + d)->word);
        if (SPAN_STATE(w) != SPAN_REST || SPAN_ARGUMENT(w) != d)
            return "run: a span within it belongs to something else";
    }
    if (load64(free_words(span_at(seg, index))) & ~1ull)
        return "run: blocks are marked free that it does not have";
    return NULL;
}

/* Is its owner, alive or dead, changing the length of the run that begins there? */
static bool changes_length(struct tarn *seg, uint32_t owner, uint64_t run)
{
    uint64_t intent = load64(&record_at(seg, ID_INDEX(owner))->intent);
    return INTENT_KIND(intent) == INTENT_HAND && INTENT_OFFSET(intent) == run;
}

/* A rest is in order if a run covers it, while its owner makes or unmakes that run, or changes its length, and once its owner is gone. It may be
 * an earlier owner's, of a run that was adopted. */
static const char *rest_fault(struct tarn *seg, uint32_t index, uint32_t owner, uint32_t distance)
{
    uint64_t w = distance && distance <= index ? load64(&span_at(seg, index - distance)->word) : 0;
    if (SPAN_STATE(w) == SPAN_RUN && SPAN_ARGUMENT(w) > distance)
        return NULL;
    if (SPAN_STATE(w) == SPAN_INIT && SPAN_OWNER(w) == owner)
        return NULL;
    if (SPAN_STATE(w) == SPAN_RUN && changes_length(seg, owner, span_offset(seg, index - distance)))
        return NULL;
    return fate_quick(seg, owner) == GONE ? NULL : "span: the rest of a run that is not there";
}

static const char *span_fault(struct tarn *seg, uint32_t index, uint32_t spans)
{
    uint64_t w = load64(&span_at(seg, index)->word);
    uint32_t owner = SPAN_OWNER(w), argument = SPAN_ARGUMENT(w);
    if (!w)
        return NULL;
    if (owner & ID_DIRTY || ID_INDEX(owner) >= seg->geometry.records)
        return "span: its owner is a participant that cannot be";
    switch (SPAN_STATE(w)) {
    case SPAN_INIT: return NULL;
    case SPAN_SMALL: return small_fault(seg, index, argument);
    case SPAN_RUN: return run_fault(seg, index, spans, argument);
    case SPAN_REST: return rest_fault(seg, index, owner, argument);
    default: return "span: its state does not exist";
    }
}

int heap_check(struct tarn *seg, int (*each)(const struct tarn_damage *d, void *arg), void *arg)
{
    const struct timespec nap = {0, 1000000};
    uint32_t spans = spans_committed(seg);
    int found = 0;
    for (uint32_t i = 0; i < spans; i++) {
        struct tarn_damage d = {.ref = span_offset(seg, i), .what = span_fault(seg, i, spans)};
        int e;
        if (!d.what)
            continue;
        if (found < 64)
            nanosleep(&nap, NULL); /* somebody may be at it; but do not dwell on hostile bytes */
        if (!(d.what = span_fault(seg, i, spans)))
            continue;
        found++;
        if (each && (e = each(&d, arg)))
            return e;
    }
    return found;
}

/* heap/alloc.c - handing blocks out.
 *
 * Blocks come from the class's private cache; that is filled from the F bits of one's own spans, when it is empty: what has F set is then in
 * no cache, but for blocks that were picked and not yet published, which are noted. Blocks are zeroed while they are still free.
 * Commit points: in a section its commit (log_word, then F = 0); alone the store of *place (intent, *place, F = 0, intent = 0).
 * No atomic instruction, no system call and no lock but in a refill. */
#include <errno.h>
#include <string.h>

#include "heap/table.h"
#include "segment/guard.h"

void cache_start(struct self *s, struct heap_cache *h)
{
    const struct geometry *g = &s->seg->geometry;
    for (uint32_t c = 0; c < class_count(g); c++) {
        const struct size_class *k = class_at(g, c);
        struct class_cache *q = &h->class[c];
        q->reciprocal = k->reciprocal;
        q->blocks = k->blocks;
        q->size = k->size;
        q->freed_at = (char *)freed_bytes(s->seg, 0, k);
        q->freed_step = k->far ? g->span_size : g->side_size;
    }
    for (uint32_t i = 0; i < SMALL_MOST / 16; i++)
        h->class_at_size[i] = (uint16_t)OWN_CLASS(heap_class_by_size[i + 1]);
    h->data = g->zone[ZONE_DATA];
    h->minus_free = (uint64_t)s->seg->base - INTENT_FREE;
    h->minus_alloc = (uint64_t)s->seg->base - INTENT_ALLOC;
    h->data_at = at_offset(s->seg, h->data);
    h->bits_at = bit_of(free_words(span_at(s->seg, 0)), 0);
    h->span_mask = g->span_size - 1;
    h->span_shift = (uint8_t)g->span_shift;
    h->side_size = g->side_size;
    h->clear = !s->seg->uninitialized;
    h->limbo.lost = limbo_is_shared(s->seg);
    h->small_most = g->span_size / 8;
    h->plain_most = h->clear || g->span_shift != SPAN_SHIFT_MOST ? 0 : h->small_most;
    h->begun = true;
    cache_look(s, h);
}

/* ---- refill ---- */

/* From one span. Returns whether all of its free blocks are in the cache now. */
static bool take_from(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    const struct size_class *k = class_at(&s->seg->geometry, class);
    struct class_cache *q = &h->class[class];
    uint64_t *f = free_words(span_at(s->seg, index)), from = span_offset(s->seg, index);
    uint8_t *freed = freed_bytes(s->seg, index, k);
    for (uint32_t w = 0; w < k->words; w++)
        for (uint64_t x = load64(&f[w]) & word_mask(k, w); x; x &= x - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(x);
            uint64_t b = from + i * k->size;
            if (h->picks && is_picked(h, b))
                continue;
            if (!cache_put(q, b, f, i))
                return false;
            if (guarded(s->seg)) /* freed by another process, behind our back: what is in a cache has no rights of its own */
                guard_drop(s->seg, b, k->size);
            __builtin_prefetch(at_offset(s->seg, b), 1, 2);
            __builtin_prefetch(at_offset(s->seg, b + k->size - 8), 1, 2);
            if (TARN_RARE(freed[i])) /* freed by another, and then by its owner, which is an error; F outranks R */
                store8(&freed[i], 0);
        }
    return true;
}

static bool take_open(struct self *s, struct heap_cache *h, uint32_t class)
{
    struct class_cache *q = &h->class[class];
    uint32_t link;
    while (q->used < CACHED_FULL && (link = span_mine(s, h->open[class], class))) {
        struct span *span = span_at(s->seg, link - 1);
        if (!take_from(s, h, link - 1, class))
            break; /* the rest is found when the cache is empty again */
        h->open[class] = span->next_open;
        span->is_open = 0;
        own_set(h, link - 1, OWN_CLASS(class), false);
    }
    for (uint32_t a = 0, z = cache_count(q); a + 1 < z; a++) { /* lowest address first */
        struct cached *low = &q->cached[a], *high = &q->cached[--z];
        uint64_t block = low->block, bit = low->bit;
        low->block = high->block;
        low->bit = high->bit;
        high->block = block;
        high->bit = bit;
    }
    return q->used;
}

__attribute__((noinline)) int cache_refill(struct self *s, struct heap_cache *h, uint32_t class)
{
    uint32_t index;
    int e;
    cache_look(s, h);
    if (h->idle_runs)
        run_tidy(s, h);
    if (take_open(s, h, class))
        return 0;
    h->refills++;
    if (h->limbo.tail != h->limbo.head && limbo_take(s, h) && (h->class[class].used || take_open(s, h, class)))
        return 0;
    reap_some(s, h, class);
    if (take_open(s, h, class))
        return 0;
    if (load32(&participants_of(s->seg)->orphans) && heap_adopt(s) && take_open(s, h, class))
        return 0;
    e = span_claim(s, h, 1, &index);
    if (!e) {
        cache_look(s, h);
        span_make_small(s, h, index, class);
    }
    return take_open(s, h, class) ? 0 : e;
}

/* ---- pick, publish ---- */

static int refuse_size(struct self *s, uint64_t size)
{
    return fail(-EINVAL, "a block of %llu bytes cannot be had: sizes are 1 to %llu in this segment",
                (unsigned long long)size, (unsigned long long)heap_most(s->seg));
}

static int pick_run(struct self *s, struct heap_cache *h, uint64_t size, struct fresh *ret)
{
    struct tarn *seg = s->seg;
    uint32_t shift = seg->geometry.span_shift, first, n;
    int e;
    if (size - 1 >= heap_most(seg))
        return refuse_size(s, size);
    n = (uint32_t)((size + seg->geometry.span_size - 1) >> shift);
    if (h->idle_runs)
        run_tidy(s, h);
    reap_some(s, h, RUN);
    e = span_claim(s, h, n, &first);
    if (e)
        return e;
    span_make_run(s, h, first, n);
    *ret = (struct fresh){.block = span_offset(seg, first),
                          .size = (uint64_t)n << shift,
                          .word = free_words(span_at(seg, first)),
                          .bit = 1};
    return 0;
}

static int pick(struct self *s, struct heap_cache *h, uint64_t size, struct fresh *ret)
{
    uint32_t class;
    int e;
    if (fail_now())
        return fail(-ENOSPC, "no block is to be had, because a test says so");
    if (TARN_RARE(h->picks == PICKED))
        return fail(-ENOSPC, "%u blocks were picked by this thread and not yet published", PICKED);
    if (TARN_RARE(size - 1 >= h->small_most)) {
        e = pick_run(s, h, size, ret);
    } else {
        struct class_cache *q;
        class = class_of_size(size);
        q = &h->class[class];
        e = TARN_RARE(!q->used) ? cache_refill(s, h, class) : 0;
        if (!e) {
            const struct cached *c;
            q->used -= sizeof *c;
            c = cache_end_of(q);
            ret->block = c->block;
            ret->size = q->size;
            ret->word = word_of(c->bit);
            ret->bit = 1ull << (c->bit & 63);
        }
    }
    if (!e) {
        h->picked[h->picks++] = ret->block;
        if (guarded(s->seg))
            guard_drop(s->seg, ret->block, ret->size);
    }
    return e;
}

static void forget_pick(struct heap_cache *h, uint64_t block)
{
    for (uint32_t i = h->picks; i-- > 0;)
        if (h->picked[i] == block) {
            h->picked[i] = h->picked[--h->picks];
            return;
        }
}

static int pick_cleared(struct self *s, uint64_t size, bool zero, struct fresh *ret_fresh)
{
    struct fresh f;
    int e = pick(s, cache_of(s), size, &f);
    if (e)
        return e;
    if (zero)
        memset(at_offset(s->seg, f.block), 0, f.size);
    *ret_fresh = f;
    return 0;
}

int heap_pick(struct self *s, uint64_t size, struct fresh *ret_fresh)
{
    return pick_cleared(s, size, true, ret_fresh);
}

int heap_pick_raw(struct self *s, uint64_t size, struct fresh *ret_fresh)
{
    return pick_cleared(s, size, false, ret_fresh);
}

void heap_unpick(struct self *s, const struct fresh *f)
{
    struct heap_cache *h = cache_of(s);
    struct block b;
    forget_pick(h, f->block);
    if (!block_find(s->seg, f->block, &b) || SPAN_OWNER(b.word) != s->id)
        return;
    if (block_is_run(&b)) {
        run_take_apart(s, h, b.span);
    } else {
        if (!cache_put(&h->class[SPAN_ARGUMENT(b.word)], f -> block, b.free_word - (b.index >> 6), b.index))
            span_open(s, h, b.span, SPAN_ARGUMENT(b.word));
    }
}

static inline void now_used(const struct fresh *f)
{
    store64(f->word, *f->word & ~f->bit);
}

void heap_publish(struct self *s, const struct fresh *f, uint64_t *place, uint64_t word)
{
    store64(&s->record->intent, offset_of(s->seg, place) | INTENT_ALLOC);
    store64(place, word); /* commit */
    now_used(f);
    store64(&s->record->intent, 0);
    forget_pick(cache_of(s), f->block);
}

void heap_exchange(struct self *s, const struct fresh *f, uint64_t *place, uint64_t word, uint64_t old, unsigned kind)
{
    struct block b;
    bool found = block_find(s->seg, old, &b) && block_is_allocated(&b); /* else: a hostile writer; what it named leaks */
    store64(&s->record->swap_old, found ? old : 0);
    store64(&s->record->intent, offset_of(s->seg, place) | INTENT_SWAP);
    store64(place, word); /* commit */
    now_used(f);
    if (found)
        block_set_state(s, &b, kind);
    store64(&s->record->intent, 0);
    forget_pick(cache_of(s), f->block);
}

void heap_replace(struct self *s, const struct fresh *f, uint64_t *place, uint64_t word, uint64_t old)
{
    heap_exchange(s, f, place, word, old, LOG_RETIRE);
}

void heap_drop(struct self *s, uint64_t *place, uint64_t word, uint64_t old)
{
    struct block b;
    bool found = block_find(s->seg, old, &b) && block_is_allocated(&b);
    store64(&s->record->swap_old, found ? old : 0);
    store64(&s->record->intent, offset_of(s->seg, place) | INTENT_SWAP);
    store64(place, word); /* commit */
    if (found)
        block_set_state(s, &b, LOG_RETIRE);
    store64(&s->record->intent, 0);
}

/* ---- allocation ---- */

int heap_alloc(struct self *s, uint64_t size, bool zero, uint64_t *ret_block)
{
    struct heap_cache *h = cache_of(s);
    struct fresh f;
    int e = pick(s, h, size, &f);
    if (TARN_RARE(e))
        return e;
    if (zero)
        memset(at_offset(s->seg, f.block), 0, f.size);
    e = log_word(s, LOG_WORD(f.block, LOG_ALLOC));
    if (TARN_RARE(e)) {
        heap_unpick(s, &f);
        return e;
    }
    now_used(&f);
    forget_pick(h, f.block);
    *ret_block = f.block;
    return 0;
}

static int refuse_place(struct self *s, const uint64_t *place)
{
    return fail(-EINVAL, "the ref at %p is not where this segment keeps data, or not aligned to 8 (segment at %p)",
                (const void *)place, (const void *)s->seg->base);
}

static __attribute__((noinline)) int alloc_into_slow(struct self *s, uint64_t *place, uint64_t size)
{
    uint64_t at = offset_of(s->seg, place), block;
    struct fresh f;
    int e;
    if (at & 7 || !in_writable(s->seg, at, 8))
        return refuse_place(s, place);
    if (load64(place))
        return fail(-EEXIST, "the place at offset %llu holds ref %llu: free that first, or it would be lost",
                    (unsigned long long)at, (unsigned long long)load64(place));
    if (s->journal) { /* part of the open section */
        if ((e = log_save(s, at, 1)) || (e = heap_alloc(s, size, !s->seg->uninitialized, &block)))
            return e;
        store64(place, block);
        return 0;
    }
    if ((e = pick_cleared(s, size, !s->seg->uninitialized, &f)))
        return e;
    heap_publish(s, &f, place, f.block);
    return 0;
}

/* The fast path: a small block that is in the cache, outside any section, at a place in what was committed when it last looked. False: nothing was
 * done. No call, no division, four stores in the segment (and zeros); docs/heap.md counts. `wide`, `clear`: constants, of h. */
static inline __attribute__((always_inline)) bool alloc_into_fast(struct self *s, struct heap_cache *h,
                                                                  uint64_t *place, uint64_t size, bool wide,
                                                                  bool clear)
{
    uint64_t last = size - 1, word, *f, *intent;
    struct class_cache *q;
    struct cached c;
    if (TARN_RARE(last >= (wide && !clear ? h->plain_most : h->small_most) ||
                  whole_part((uint64_t)((char *)place - h->data_at), 3) >= (wide ? h->wide_words : h->limit / 8)))
        return false;
    q = (struct class_cache *)((char *)h + h->class_at_size[last / 16]);
    if (TARN_RARE(!q->used || *place || (!wide && s->journal)))
        return false;
    q->used -= sizeof c;
    c = *cache_end_of(q);
    if (clear)
        memset(at_offset(s->seg, c.block), 0, q->size);
    compiler_barrier();
    intent = &s->record->intent;
    store64(intent, (uint64_t)place - h->minus_alloc);
    store64(place, c.block); /* commit: recovery goes on from here */
    f = word_of(c.bit);
    word = *f;
    bit_clear(&word, c.bit);
    store64(f, word);
    store64(intent, 0);
    return true;
}

int heap_alloc_into(struct self *s, uint64_t *place, uint64_t size)
{
    struct heap_cache *h = s->heap;
    if (h->clear ? alloc_into_fast(s, h, place, size, false, true)
                 : alloc_into_fast(s, h, place, size, false, false))
        return 0;
    return alloc_into_slow(s, place, size);
}

int heap_alloc_extent(struct self *s, uint64_t *place)
{
    struct fresh f;
    int e = heap_pick(s, extent_size(&s->seg->geometry), &f);
    if (e)
        return e;
    heap_publish(s, &f, place, f.block);
    return 0;
}

/* ---- public ---- */

int tarn_alloc(tarn *seg, size_t size, tarn_ref *ret_ref)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (TARN_RARE(!s))
        return e;
    if (TARN_RARE(!s->journal))
        return fail(
            -EPERM,
            "tarn_alloc: this thread has no section open here: call tarn_begin, or use tarn_alloc_into");
    return heap_alloc(s, size, !seg->uninitialized, ret_ref);
}

/* Off the fast path, so that this needs no stack: what calls functions. */
static __attribute__((noinline)) int alloc_into_start(tarn *seg, tarn_ref *place, size_t size)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return TARN_RARE(!s) ? e : heap_alloc_into(s, place, size);
}
static __attribute__((noinline)) int alloc_into_clear(struct self *s, tarn_ref *place, size_t size)
{
    return fast_cache(s)->clear && alloc_into_fast(s, fast_cache(s), place, size, true, true)
               ? 0
               : heap_alloc_into(s, place, size);
}

int tarn_alloc_into(tarn *seg, tarn_ref *place, size_t size)
{
    struct self *s = self_last;
    if (TARN_RARE(s->plain != seg))
        return alloc_into_start(seg, place, size);
    return alloc_into_fast(s, fast_cache(s), place, size, true, false) ? 0 : alloc_into_clear(s, place, size);
}

/* heap/free.c - taking blocks back: freed (handed out again at once) or retired (after a grace).
 *
 * A block of one's own span that is freed has its F bit set; any other, and any that is retired, gets an R byte with the code of who did
 * it, and its span's owner finds that in its own time (reap.c). Neither a list nor the block is written.
 * Commit points: in a section its commit, after which each free is applied with the block in hand (heap_free_block); alone the store of
 * the block's state (intent, state, *place = 0, intent = 0), from which recovery goes on.
 * A run of one's own is taken apart only when nothing has it in hand any more: at once by the one-step calls, by the next refill or claim
 * after a section. */
#include <errno.h>

#include "heap/table.h"
#include "segment/guard.h"

static int refuse_ref(uint64_t ref, const char *why)
{
    return fail(-EINVAL, "ref %llu %s", (unsigned long long)ref, why);
}

static int find_allocated(struct self *s, uint64_t ref, struct block *b)
{
    if (!block_find(s->seg, ref, b))
        return refuse_ref(ref, "is not the beginning of a block");
    if (!block_is_allocated(b))
        return refuse_ref(ref, "names a block that is not allocated: it was freed before");
    return 0;
}

/* The store that frees b, which is in hand. `h` may be NULL. */
static inline void set_state(struct self *s, struct heap_cache *h, const struct block *b, unsigned kind)
{
    uint32_t class = SPAN_ARGUMENT(b->word);
    if (guarded(s->seg))
        guard_drop(s->seg, b->offset, b->size);
    if (SPAN_OWNER(b->word) != s->id || kind != LOG_FREE) {
        store8(b->freed_byte, (uint8_t)(s->code | (kind == LOG_FREE ? 0 : BLOCK_RETIRED)));
        if (h && SPAN_OWNER(b->word) == s->id && !block_is_run(b))
            limbo_put(h, b->offset, b->index);
        return;
    }
    store64(b->free_word, *b->free_word | b->free_bit);
    if (!h)
        return;
    if (block_is_run(b)) {
        h->idle_runs++;
        return;
    }
    if (!cache_put(&h->class[class], b -> offset, b -> free_word - (b->index >> 6), b -> index))
        span_open(s, h, b->span, class);
}

void block_set_state(struct self *s, const struct block *b, unsigned kind)
{
    set_state(s, cache_if(s), b, kind);
}

/* ---- in a section ---- */

int heap_free(struct self *s, uint64_t block, unsigned kind)
{
    struct block b;
    int e = find_allocated(s, block, &b);
    if (e)
        return e;
    if (s->frees && log_frees(s, block))
        return refuse_ref(block, "is freed by this section already");
    return log_word(s, LOG_WORD(block, kind));
}

/* One free of a committed section: by its thread, or by who recovers it. Done already: F = 1 in a span of the dead's own, R set in any. */
void heap_free_block(struct self *s, uint64_t block, unsigned kind)
{
    struct block b;
    store64(&s->record->intent, block | INTENT_HAND);
    if (block_find(s->seg, block, &b) && block_is_allocated(&b))
        set_state(s, cache_if(s), &b, kind);
}

/* ---- in one step ---- */

static __attribute__((noinline)) int free_from_slow(struct self *s, uint64_t *place, unsigned kind)
{
    struct heap_cache *h = cache_of(s);
    uint64_t at = offset_of(s->seg, place), block;
    struct block b;
    int e;
    cache_look(s, h);
    if (at & 7 || !in_writable(s->seg, at, 8))
        return fail(-EINVAL,
                    "the ref at %p is not where this segment keeps data, or not aligned to 8 (segment at %p)",
                    (void *)place, (void *)s->seg->base);
    block = load64(place);
    if (s->journal) { /* part of the open section */
        if ((e = find_allocated(s, block, &b)) || (e = log_save(s, at, 1)) || (e = heap_free(s, block, kind)))
            return e;
        store64(place, 0);
        return 0;
    }
    if ((e = find_allocated(s, block, &b)))
        return e;
    store64(&s->record->intent, at | (kind == LOG_FREE ? INTENT_FREE : INTENT_RETIRE));
    set_state(s, h, &b, kind); /* commit */
    store64(place, 0);
    store64(&s->record->intent, 0);
    if (h->idle_runs)
        run_tidy(s, h);
    if (h->limbo.tail % LIMBO_BATCH == 0 && h->limbo.tail != h->limbo.head)
        limbo_take(s, h);
    return 0;
}

/* A block that the fast paths found. */
struct fast_block {
    struct class_cache *class;
    uint64_t span, index, bit;
};

/* The small block of one's own span whose ref is at *place, outside any section; false: it is none, or there is more to it. That its offset is a
 * block's is seen by the product's lower half being less than the reciprocal: class.c. `wide`: constant, of h. */
static inline __attribute__((always_inline)) bool fast_find(struct self *s, struct heap_cache *h,
                                                            const uint64_t *place, bool wide, struct fast_block *b)
{
    uint64_t from, product;
    if (TARN_RARE(whole_part((uint64_t)((char *)place - h->data_at), 3) >= (wide ? h->wide_words : h->limit / 8) ||
                  (!wide && s->journal)))
        return false;
    from = *place - h->data;
    if (TARN_RARE(from >= (wide ? h->wide_limit : h->limit_own)))
        return false;
    b->span = fast_span(h, from, wide);
    b->class = (struct class_cache *)((char *)h + h->span_class[b->span]);
    product = (wide ? (uint16_t)from : from & h->span_mask) * b->class->reciprocal;
    b->index = product >> 32;
    if (TARN_RARE((uint32_t)product >= (uint32_t)b->class->reciprocal || (uint32_t)b->index >= b->class->blocks))
        return false;
    b->bit = fast_bit(h, b->span, b->index, wide);
    return true;
}

/* The fast path of a free. False: nothing was done. */
static inline __attribute__((always_inline)) bool free_from_fast(struct self *s, struct heap_cache *h,
                                                                 uint64_t *place, bool wide)
{
    uint64_t now, *f, *intent;
    struct class_cache *q;
    struct fast_block b;
    if (!fast_find(s, h, place, wide, &b))
        return false;
    q = b.class;
    f = word_of(b.bit);
    now = *f;
    if (TARN_RARE(bit_set(&now, b.bit)))
        return false;
    if (q->used == CACHED_FULL) {
        if (TARN_RARE(!h->span_open[b.span]))
            return false;
    } else {
        struct cached *c = cache_end_of(q);
        compiler_barrier(); /* *place is read again: that is cheaper than to keep it in a callee-saved register */
        if (TARN_RARE(fast_freed(q, b.span)[b.index]))
            return false;
        c->block = *place;
        compiler_barrier(); /* no vector of the two: to make it takes longer than to store them */
        c->bit = b.bit;
        q->used += sizeof *c;
    }
    intent = &s->record->intent;
    store64(intent, (uint64_t)place - h->minus_free);
    store64(f, now); /* commit: recovery goes on from here */
    store64(place, 0);
    store64(intent, 0);
    return true;
}

/* The same to retire: only the R byte says so, and what was retired is remembered. */
static inline __attribute__((always_inline)) bool retire_from_fast(struct self *s, struct heap_cache *h,
                                                                   uint64_t *place, bool wide)
{
    struct limbo *l = &h->limbo;
    struct fast_block b;
    uint64_t *intent;
    uint8_t *freed;
    if (!fast_find(s, h, place, wide, &b))
        return false;
    freed = fast_freed(b.class, b.span) + b.index;
    if (TARN_RARE(*word_of(b.bit) >> (b.bit & 63) & 1 || *freed || l->lost ||
                  l->tail % LIMBO_BATCH == LIMBO_BATCH - 1 || l->tail - l->head == LIMBO))
        return false;
    l->block[l->tail++ % LIMBO] = CACHED_WORD(*place, b.index);
    intent = &s->record->intent;
    store64(intent, (uint64_t)place - h->minus_free + (INTENT_RETIRE - INTENT_FREE));
    store8(freed, (uint8_t)(s->code | BLOCK_RETIRED)); /* commit: recovery goes on from here */
    store64(place, 0);
    store64(intent, 0);
    return true;
}

int heap_free_from(struct self *s, uint64_t *place, unsigned kind)
{
    struct heap_cache *h = s->heap;
    if (!guarded(s->seg) &&
        (kind == LOG_FREE ? free_from_fast(s, h, place, false) : retire_from_fast(s, h, place, false)))
        return 0;
    return free_from_slow(s, place, kind);
}

/* ---- leaving ---- */

void heap_leave(struct self *s)
{
    struct heap_cache *h = cache_if(s);
    if (!h)
        return;
    h->picks = 0;
    reap_all(s, h, 0);
}

/* ---- public ---- */

static int free_in_section(tarn *seg, tarn_ref ref, unsigned kind, const char *call)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (TARN_RARE(!s))
        return e;
    if (TARN_RARE(!s->journal))
        return fail(-EPERM, "%s: this thread has no section open here: call tarn_begin, or use %s_from", call, call);
    return heap_free(s, ref, kind);
}

int tarn_free(tarn *seg, tarn_ref ref)
{
    return free_in_section(seg, ref, LOG_FREE, "tarn_free");
}
int tarn_retire(tarn *seg, tarn_ref ref)
{
    return free_in_section(seg, ref, LOG_RETIRE, "tarn_retire");
}

static __attribute__((noinline)) int free_from_start(tarn *seg, tarn_ref *place, unsigned kind)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return TARN_RARE(!s) ? e : heap_free_from(s, place, kind);
}

int tarn_free_from(tarn *seg, tarn_ref *place)
{
    struct self *s = self_last;
    if (TARN_RARE(s->plain != seg || guarded(seg)))
        return free_from_start(seg, place, LOG_FREE);
    return free_from_fast(s, fast_cache(s), place, true) ? 0 : heap_free_from(s, place, LOG_FREE);
}

int tarn_retire_from(tarn *seg, tarn_ref *place)
{
    struct self *s = self_last;
    if (TARN_RARE(s->plain != seg || guarded(seg)))
        return free_from_start(seg, place, LOG_RETIRE);
    return retire_from_fast(s, fast_cache(s), place, true) ? 0 : heap_free_from(s, place, LOG_RETIRE);
}

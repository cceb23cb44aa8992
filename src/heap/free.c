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
    struct class_cache *q;
    if (SPAN_OWNER(b->word) != s->id || kind != LOG_FREE) {
        store8(b->freed_byte, (uint8_t)(s->code | (kind == LOG_FREE ? 0 : BLOCK_RETIRED)));
        return;
    }
    store64(b->free_word, *b->free_word | b->free_bit);
    if (!h)
        return;
    if (block_is_run(b)) {
        h->idle_runs++;
        return;
    }
    q = &h->class[class];
    if (TARN_RARE(q->count == CACHED))
        span_open(s, h, b->span, class);
    else
        q->block[q->count++] = b->offset;
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
    return 0;
}

/* The fast path: a small block of one's own span, outside any section, into a cache with room (one that is not begun has no blocks: index
 * < blocks fails). */
static inline int free_from_fast(struct self *s, uint64_t *place)
{
    struct heap_cache *h = s->heap;
    struct tarn *seg = s->seg;
    const struct geometry *g = &seg->geometry;
    uint64_t data = g->zone[ZONE_DATA], at = offset_of(seg, place), committed = committed_of(seg), from, word,
             within, index, *f, bit;
    struct class_cache *q;
    struct span *span;
    if (TARN_RARE(at & 7 || at - data >= committed || s->journal))
        return free_from_slow(s, place, LOG_FREE);
    from = *place - data;
    if (TARN_RARE(from >= committed))
        return free_from_slow(s, place, LOG_FREE);
    span = span_at(seg, (uint32_t)(from >> g->span_shift));
    word = load64(&span->word);
    if (TARN_RARE(SPAN_OWNER(word) != s->id || SPAN_STATE(word) != SPAN_SMALL || SPAN_ARGUMENT(word) >= CLASSES))
        return free_from_slow(s, place, LOG_FREE);
    q = &h->class[SPAN_ARGUMENT(word)];
    within = from & (g->span_size - 1);
    index = within * q->reciprocal >> 32;
    f = free_words(span) + (index >> 6);
    bit = 1ull << (index & 63);
    if (TARN_RARE(q->count >= CACHED || index >= q->blocks || index * q->size != within || *f & bit ||
                  freed_bytes(seg, (uint32_t)(from >> g->span_shift), class_at(g, SPAN_ARGUMENT(word)))[index]))
        return free_from_slow(s, place, LOG_FREE);
    store64(&s->record->intent, at | INTENT_FREE);
    store64(f, *f | bit); /* commit: recovery goes on from here */
    store64(place, 0);
    store64(&s->record->intent, 0);
    q->block[q->count++] = data + from;
    return 0;
}

int heap_free_from(struct self *s, uint64_t *place, unsigned kind)
{
    return kind == LOG_FREE ? free_from_fast(s, place) : free_from_slow(s, place, kind);
}

/* ---- leaving ---- */

void heap_leave(struct self *s)
{
    struct heap_cache *h = cache_if(s);
    if (!h)
        return;
    h->picks = 0;
    reap_all(s, h, 0);
    h->id = 0;
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

int tarn_free_from(tarn *seg, tarn_ref *place)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return TARN_RARE(!s) ? e : free_from_fast(s, place);
}

int tarn_retire_from(tarn *seg, tarn_ref *place)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return TARN_RARE(!s) ? e : free_from_slow(s, place, LOG_RETIRE);
}

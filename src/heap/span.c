/* heap/span.c - spans and runs: whose they are, how one gets them, how they go back.
 *
 * A span's word is the truth, changed by compare-and-swap from 0 (claim) and from an owner who is gone (adoption), by its owner's plain
 * stores else. Commit points: claim of a small span: word = {me, SMALL}; of a run: the first word = {me, RUN}; given back: word = 0;
 * taken apart: the first word = {me, INIT}, from which on the rest is nobody's; adoption: the compare-and-swap.
 * The lists of one's own spans are threaded through struct span: hints, followed with checks, bounded by private counts, worth nothing
 * to anybody else, made anew by an adopter.
 * Not done: a shared index of free spans. Who looks for one reads side tables from its cursor on, so in a segment of n full spans each
 * round costs n cache misses; growth by an eighth keeps that to some 8 a span. */
#include <errno.h>

#include "heap/table.h"
#include "os/probe.h"
#include "segment/guard.h"

/* ---- lists of one's own ---- */

uint32_t span_mine(struct self *s, uint32_t link, uint32_t class)
{
    uint64_t w;
    if (!link || link - 1 >= spans_committed(s->seg))
        return 0;
    w = load64(&span_at(s->seg, link - 1)->word);
    if (SPAN_OWNER(w) != s->id)
        return 0;
    if (class == RUN)
        return SPAN_STATE(w) == SPAN_RUN ? link : 0;
    return SPAN_STATE(w) == SPAN_SMALL && SPAN_ARGUMENT(w) == class ? link : 0;
}

/* What says something of the span as it was; list_add and span_open write the rest. */
static void notes_clear(struct span *span)
{
    span->aged_at = 0;
    span->is_open = 0;
}

static void list_add(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    struct span *span = span_at(s->seg, index);
    uint32_t head = span_mine(s, h->own[class], class);
    span->previous = 0;
    span->next = head;
    if (head)
        span_at(s->seg, head - 1)->previous = index + 1;
    h->own[class] = index + 1;
    h->count[class]++;
}

void span_forget(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    struct span *span = span_at(s->seg, index);
    uint32_t next = span_mine(s, span->next, class), previous = span_mine(s, span->previous, class);
    if (next)
        span_at(s->seg, next - 1)->previous = previous;
    if (previous)
        span_at(s->seg, previous - 1)->next = next;
    if (h->own[class] == index + 1)
        h->own[class] = next;
    if (h->count[class])
        h->count[class]--;
}

void span_open(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    struct span *span = span_at(s->seg, index);
    if (span->is_open)
        return;
    own_set(h, index, OWN_CLASS(class), true);
    span->is_open = 1;
    span->next_open = h->open[class];
    h->open[class] = index + 1;
}

/* ---- making ---- */

void span_make_small(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    const struct size_class *k = class_at(&s->seg->geometry, class);
    struct span *span = span_at(s->seg, index);
    uint64_t *f = free_words(span);
    uint8_t *freed = freed_bytes(s->seg, index, k);
    if (guarded(s->seg))
        guard_drop(s->seg, span_offset(s->seg, index), s->seg->geometry.span_size);
    notes_clear(span);
    for (uint32_t i = 0; i < k->blocks; i++)
        freed[i] = 0;
    for (uint32_t w = 0; w < k->words; w++)
        f[w] = word_mask(k, w);
    store64(&span->word, SPAN_WORD(s->id, class, SPAN_SMALL));
    list_add(s, h, index, class);
    span_open(s, h, index, class);
}

void span_make_run(struct self *s, struct heap_cache *h, uint32_t first, uint32_t n)
{
    struct tarn *seg = s->seg;
    struct span *span = span_at(seg, first);
    for (uint32_t d = 1; d < n; d++)
        store64(&span_at(seg, first + d)->word, SPAN_WORD(s->id, d, SPAN_REST));
    notes_clear(span);
    free_words(span)[0] = 1;
    *freed_bytes(seg, first, class_at(&seg->geometry, RUN)) = 0;
    store64(&span->word, SPAN_WORD(s->id, n, SPAN_RUN));
    list_add(s, h, first, RUN);
}

/* ---- giving back ---- */

void span_give_back(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    own_set(h, index, 0, false);
    span_forget(s, h, index, class);
    store64(&span_at(s->seg, index)->word, 0);
}

/* The rest of a run that is mine and has become INIT. A word of another's in between (somebody found our rest without a run, and took
 * it) is left alone. */
static void rest_clear(struct self *s, uint32_t first, uint32_t n)
{
    uint32_t spans = spans_committed(s->seg);
    for (uint32_t d = 1; d < n && first + d < spans; d++) {
        uint64_t *word = &span_at(s->seg, first + d)->word, w = load64(word);
        if (SPAN_STATE(w) == SPAN_REST && SPAN_ARGUMENT(w) == d)
            swap64(word, &w, 0);
    }
    store64(&span_at(s->seg, first)->word, 0);
}

void run_take_apart(struct self *s, struct heap_cache *h, uint32_t first)
{
    struct span *span = span_at(s->seg, first);
    uint64_t w = load64(&span->word);
    if (SPAN_OWNER(w) != s->id || SPAN_STATE(w) != SPAN_RUN)
        return;
    span_forget(s, h, first, RUN);
    store64(&span->word, SPAN_WORD(s->id, 0, SPAN_INIT));
    rest_clear(s, first, SPAN_ARGUMENT(w));
}

void run_tidy(struct self *s, struct heap_cache *h)
{
    uint32_t link = span_mine(s, h->own[RUN], RUN);
    h->idle_runs = 0;
    for (uint32_t n = h->count[RUN]; link && n; n--) {
        struct span *span = span_at(s->seg, link - 1);
        uint32_t next = span_mine(s, span->next, RUN);
        if (load64(free_words(span)) & 1 && !is_picked(h, span_offset(s->seg, link - 1)))
            run_take_apart(s, h, link - 1);
        link = next;
    }
}

/* ---- claiming ---- */

/* 0 -> {me, INIT}, first to last; all, or none. */
static bool claim_words(struct self *s, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t none = 0;
        if (swap64(&span_at(s->seg, first + i)->word, &none, SPAN_WORD(s->id, 0, SPAN_INIT)))
            continue;
        while (i)
            store64(&span_at(s->seg, first + --i)->word, 0);
        return false;
    }
    return true;
}

static bool claim_between(struct self *s, uint32_t from, uint32_t to, uint32_t n, uint32_t *ret_first)
{
    uint32_t have = 0, step;
    for (uint32_t i = from; i < to; i += step) {
        uint64_t w = load64(&span_at(s->seg, i)->word);
        step = 1;
        if (w) {
            have = 0;
            if (SPAN_STATE(w) == SPAN_RUN && SPAN_ARGUMENT(w) && SPAN_ARGUMENT(w) < to - i)
                step = SPAN_ARGUMENT(w);
        } else if (++have == n) {
            if (claim_words(s, i + 1 - n, n)) {
                *ret_first = i + 1 - n;
                return true;
            }
            have = 0;
        }
    }
    return false;
}

static bool claim_committed(struct self *s, struct heap_cache *h, uint32_t n, uint32_t *ret_first)
{
    uint32_t spans = spans_committed(s->seg), cursor = h->cursor < spans ? h->cursor : 0;
    uint32_t wrapped = n < spans - cursor ? cursor + n - 1 : spans;
    if (!claim_between(s, cursor, spans, n, ret_first) && !claim_between(s, 0, wrapped, n, ret_first))
        return false;
    h->cursor = *ret_first + n;
    return true;
}

/* Free spans at the end of what is committed, n - 1 at most: growth adds to them. */
static uint32_t free_tail(struct tarn *seg, uint32_t spans, uint32_t n)
{
    uint32_t tail = 0;
    while (tail < n - 1 && tail < spans && !load64(&span_at(seg, spans - 1 - tail)->word))
        tail++;
    return tail;
}

#define MANY                                                                                                 \
    64u /* spans: so many tables are better mapped by one call than by a fault each page; without it, it is only slower */

static void map_tables(struct tarn *seg, uint32_t first, uint32_t n)
{
    uint64_t page = os_page_size(), from = offset_of(seg, span_at(seg, first)) / page * page;
    uint64_t to = (offset_of(seg, span_at(seg, first + n - 1)) + seg->geometry.side_size + page - 1) / page * page;
    (void)os_populate(at_offset(seg, from), to - from, true);
}

/* More room (the segment floor takes more than asked, if that can be had); then claim at its beginning. Others may be quicker, so a few
 * times. */
static int claim_grown(struct self *s, struct heap_cache *h, uint32_t n, uint32_t *ret_first)
{
    struct tarn *seg = s->seg;
    uint32_t shift = seg->geometry.span_shift;
    for (int tries = 0; tries < 64; tries++) {
        uint32_t spans = spans_committed(seg), tail = free_tail(seg, spans, n);
        int e = segment_grow(seg, (uint64_t)(n - tail) << shift);
        if (e)
            return e;
        h->cursor = spans - tail;
        if (n >= MANY)
            map_tables(seg, spans - tail, n);
        if (claim_committed(s, h, n, ret_first))
            return 0;
    }
    return fail(
        -ENOSPC,
        "other participants took every span that this one made by growing the segment, 64 times: try again");
}

/* Before the segment grows: are there empty spans of its own, of sizes that it used before, or full of what was retired? Looked for once
 * for every claim of half as many as it has: so a claim pays for looks at two spans, which costs about as much. */
#define CLAIMED_LEAST 64u
static bool gave_back(struct self *s, struct heap_cache *h)
{
    uint32_t own = 0;
    if (h->claimed < CLAIMED_LEAST)
        return false;
    for (uint32_t class = 0; class <= RUN; class ++)
        own += h->count[class];
    if (h->claimed < own / 2)
        return false;
    h->claimed = 0;
    reap_all(s, h, 1);
    return true;
}

static int claim(struct self *s, struct heap_cache *h, uint32_t n, uint32_t *ret_first)
{
    int e;
    h->claimed += n;
    if (claim_committed(s, h, n, ret_first))
        return 0;
    if (load32(&participants_of(s->seg)->orphans) && heap_adopt(s) && claim_committed(s, h, n, ret_first))
        return 0;
    if (gave_back(s, h) && claim_committed(s, h, n, ret_first))
        return 0;
    e = claim_grown(s, h, n, ret_first);
    if (!e)
        return 0;
    recover_all(s);
    heap_adopt(s);
    for (uint32_t keep = 2; keep-- > 0;) {
        reap_all(s, h, keep);
        if (claim_committed(s, h, n, ret_first))
            return 0;
    }
    return claim_grown(s, h, n, ret_first); /* again: its sentence names the limit */
}

int span_claim(struct self *s, struct heap_cache *h, uint32_t n, uint32_t *ret_first)
{
    int e = claim(s, h, n, ret_first);
    if (e == 0)
        PROBE(heap__claim, s->seg, s->id, *ret_first, n);
    return e;
}

/* ---- adoption ---- */

/* Its owner is gone, who died between any two stores. F outranks R. */
static void adopt_small(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class)
{
    const struct size_class *k = class_at(&s->seg->geometry, class);
    struct span *span = span_at(s->seg, index);
    uint64_t *f = free_words(span);
    uint8_t *freed = freed_bytes(s->seg, index, k);
    notes_clear(span);
    for (uint32_t i = 0; i < k->blocks; i++)
        if (f[i >> 6] >> (i & 63) & 1 && freed[i])
            store8(&freed[i], 0);
    list_add(s, h, index, class);
    span_open(s, h, index, class);
}

static void adopt_run(struct self *s, struct heap_cache *h, uint32_t first)
{
    struct span *span = span_at(s->seg, first);
    notes_clear(span);
    list_add(s, h, first, RUN);
    if (load64(free_words(span)) & 1)
        run_take_apart(s, h, first);
}

/* Is there a run that covers the span `distance` after its first? */
static bool run_covers(struct tarn *seg, uint32_t index, uint32_t distance)
{
    uint64_t w;
    if (!distance || distance > index)
        return false;
    w = load64(&span_at(seg, index - distance)->word);
    return SPAN_STATE(w) == SPAN_RUN && SPAN_ARGUMENT(w) > distance;
}

static uint32_t adopt_one(struct self *s, struct heap_cache *h, uint32_t index, uint64_t w)
{
    struct tarn *seg = s->seg;
    uint64_t *word = &span_at(seg, index)->word;
    uint32_t argument = SPAN_ARGUMENT(w);
    uint64_t mine = SPAN_WORD(s->id, argument, SPAN_STATE(w));
    switch (SPAN_STATE(w)) {
    case SPAN_SMALL:
        if (argument >= class_count(&seg->geometry) || !swap64(word, &w, mine))
            return 0;
        adopt_small(s, h, index, argument);
        return 1;
    case SPAN_RUN:
        if (!argument || argument > spans_committed(seg) - index || !swap64(word, &w, mine))
            return 0;
        adopt_run(s, h, index);
        return 1;
    case SPAN_INIT: return swap64(word, &w, 0);
    case SPAN_REST: return !run_covers(seg, index, argument) && swap64(word, &w, 0);
    default: return 0; /* no state of ours: check reports it */
    }
}

uint32_t heap_adopt(struct self *s)
{
    struct tarn *seg = s->seg;
    struct heap_cache *h = cache_of(s);
    uint32_t spans = spans_committed(seg), adopted = 0, last = s->id;
    bool gone = false;
    store32(&participants_of(seg)->orphans, 0); /* before the look: who leaves later sets it again */
    for (uint32_t i = 0; i < spans; i++) {
        uint64_t w = load64(&span_at(seg, i)->word);
        if (!w)
            continue;
        if (SPAN_OWNER(w) != last) {
            last = SPAN_OWNER(w);
            gone = last != s->id && fate_quick(seg, last) == GONE;
        }
        if (gone)
            adopted += adopt_one(s, h, i, w);
    }
    if (adopted)
        reap_all(s, h, 1); /* so that what was in limbo there, or empty, does not wait for this participant to need memory */
    return adopted;
}

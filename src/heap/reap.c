/* heap/reap.c - a span's owner takes back what was freed: R bytes become F bits.
 *
 * A block may be taken (F = 1, then R = 0; F outranks R, so a death in between leaves it free) if F = 0, R != 0, and
 *   - nobody has it in hand: who set R had set its intent before, so R is read first (acquire), then the intents of those whose code it is;
 *   - no held slot points into it;
 *   - if it was retired: its grace is over. The aged words hold what was seen retired by the epoch f in aged_at; it may be taken once
 *     epoch_advance() has returned more than f.
 * Both aged words and aged_at are the owner's, written and read by one thread; an adopter forgets them.
 * A line that others are freeing into is best left to them, so a span's bytes are taken only once they are many: half of its blocks freed,
 * or an eighth retired (those wait long enough). Not done: an inbox of spans that others freed into; spans are looked at in turn. */
#include <string.h>

#include "heap/table.h"

#define LOOK 4u       /* spans looked at in a refill */
#define LOOK_RUNS 8u  /* runs, at each claim of one */
#define ADVANCE 16u   /* refills between two advances of the epoch, each a membarrier */
#define PART_FREED 2u /* one in so many blocks of a span */
#define PART_RETIRED 8u

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "R bytes are looked at eight at a time");

/* Eight bytes' top bits, as the low eight bits */
static inline uint64_t top_bits(uint64_t x)
{
    return ((x & 0x8080808080808080ull) >> 7) * 0x0102040810204080ull >> 56;
}

/* Of up to 64 R bytes: which are set, and not `skip`, and which of these say retired. Bytes up to the next multiple of 8 may be read, and are
 * left out. */
static uint64_t freed_mask(const uint8_t *bytes, uint32_t n, uint8_t skip, uint64_t *ret_retired)
{
    uint64_t skips = skip * 0x0101010101010101ull;
    uint64_t set = 0, retired = 0;
    for (uint32_t i = 0; i < n; i += 8) {
        uint64_t x = load64((const uint64_t *)(bytes + i));
        if (!x)
            continue;
        uint64_t other = x ^ skips;
        other = skip ? ((other & 0x7f7f7f7f7f7f7f7full) + 0x7f7f7f7f7f7f7f7full) | other : ~0ull;
        set |= top_bits((((x & 0x7f7f7f7f7f7f7f7full) + 0x7f7f7f7f7f7f7f7full) | x) & other) << i;
        retired |= top_bits(x & other) << i;
    }
    if (n < 64) {
        set &= (1ull << n) - 1;
        retired &= (1ull << n) - 1;
    }
    *ret_retired = retired;
    return set;
}

/* The block about which r's recovery may yet ask, or 0. A value that changes meanwhile belongs to an operation that came later. */
static uint64_t in_hand(struct tarn *seg, struct record *r)
{
    uint64_t intent = load64(&r->intent), at = INTENT_OFFSET(intent);
    switch (INTENT_KIND(intent)) {
    case INTENT_FREE:
    case INTENT_RETIRE: return place_is_valid(seg, at) ? load64(at_offset(seg, at)) & REF_MASK : 0;
    case INTENT_SWAP: return load64(&r->swap_old);
    case INTENT_HAND: return at;
    default: return 0;
    }
}

static void leave_out(struct tarn *seg, uint32_t index, const struct size_class *k, uint64_t *take, uint64_t block)
{
    struct block b;
    if (block - span_offset(seg, index) < seg->geometry.span_size && block_find(seg, block, &b) && b.class == k)
        take[b.index >> 6] &= ~b.free_bit;
}

/* Take out of `take` what somebody has in hand, or a lock stands in. */
static void leave_in_use(struct tarn *seg, uint32_t index, const struct size_class *k, uint64_t *take,
                         const uint8_t *freed)
{
    const struct geometry *g = &seg->geometry;
    uint64_t codes[2] = {0, 0}, from = span_offset(seg, index), size = k->size;
    for (uint32_t w = 0; w < k->words; w++)
        for (uint64_t x = take[w]; x; x &= x - 1) {
            uint8_t code = __atomic_load_n(&freed[w * 64 + (uint32_t)__builtin_ctzll(x)], __ATOMIC_ACQUIRE) & 0x7f;
            codes[code >> 6] |= 1ull << (code & 63);
        }
    for (uint32_t i = 0; i < 2; i++)
        for (uint64_t x = codes[i]; x; x &= x - 1) {
            uint32_t code = i * 64 + (uint32_t)__builtin_ctzll(x);
            for (uint32_t p = code - 1; p < g->records; p += 127)
                leave_out(seg, index, k, take, in_hand(seg, record_at(seg, p)));
        }
    if (!size)
        size = (uint64_t)SPAN_ARGUMENT(load64(&span_at(seg, index)->word)) << g->span_shift;
    if (!slot_points_into(seg, from, k->size ? g->span_size : size))
        return;
    for (uint32_t w = 0; w < k->words; w++)
        for (uint64_t x = take[w]; x; x &= x - 1) {
            uint32_t bit = (uint32_t)__builtin_ctzll(x);
            if (slot_points_into(seg, from + (w * 64 + bit) * size, size))
                take[w] &= ~(1ull << bit);
        }
}

/* The owner's stores: limbo, or freed by others -> free. Returns how many. */
static uint32_t take_blocks(struct tarn *seg, uint32_t index, const struct size_class *k, uint64_t *take)
{
    uint64_t *f = free_words(span_at(seg, index));
    uint8_t *freed = freed_bytes(seg, index, k);
    uint32_t n = 0;
    leave_in_use(seg, index, k, take, freed);
    for (uint32_t w = 0; w < k->words; w++) {
        if (!take[w])
            continue;
        store64(&f[w], f[w] | take[w]);
        for (uint64_t x = take[w]; x; x &= x - 1)
            store8(&freed[w * 64 + (uint32_t)__builtin_ctzll(x)], 0);
        n += (uint32_t)__builtin_popcountll(take[w]);
    }
    return n;
}

/* Is the grace over of what was noted at epoch f? Advances the epoch if that has not been done for long. */
static bool grace_over(struct self *s, struct heap_cache *h, uint64_t f)
{
    if (h->safe <= f && h->refills - h->advanced >= ADVANCE) {
        h->safe = epoch_advance(s);
        h->advanced = h->refills;
    }
    return h->safe > f;
}

/* One span of one's own: take what can be taken and is worth it (all, if greedy); note what was retired. Returns how many blocks became
 * free; *ret_waiting: how many wait for their grace. */
static uint32_t collect(struct self *s, struct heap_cache *h, uint32_t index, const struct size_class *k,
                        bool greedy, uint32_t *ret_waiting)
{
    struct tarn *seg = s->seg;
    struct span *span = span_at(seg, index);
    uint64_t *f = free_words(span), *aged = aged_words(span, k), take[TABLE_WORDS_MOST], retired[TABLE_WORDS_MOST];
    uint8_t *freed = freed_bytes(seg, index, k);
    uint32_t ready = 0, waiting = 0;
    uint8_t skip = greedy || h->limbo.lost ? 0 : (uint8_t)(s->code | BLOCK_RETIRED); /* they are in h->limbo */
    bool old = span->aged_at && grace_over(s, h, span->aged_at - 1), aging = span->aged_at && !old;
    for (uint32_t w = 0; w < k->words; w++) {
        uint32_t n = k->blocks - w * 64;
        take[w] = freed_mask(freed + w * 64, n < 64 ? n : 64, skip, &retired[w]) & ~f[w];
        retired[w] &= take[w];
        take[w] &= ~retired[w];
        if (old) {
            take[w] |= retired[w] & aged[w];
            retired[w] &= ~aged[w];
        }
        ready += (uint32_t)__builtin_popcountll(take[w]);
        waiting += (uint32_t)__builtin_popcountll(retired[w]);
    }
    if (old)
        span->aged_at = 0;
    if (waiting && !aging && (greedy || waiting * PART_RETIRED >= k->blocks)) {
        uint64_t any = 0;
        leave_in_use(seg, index, k, retired,
                     freed); /* what is in hand may be found by new readers yet: its grace has not begun */
        for (uint32_t w = 0; w < k->words; w++)
            any |= aged[w] = retired[w];
        span->aged_at = any ? epoch_seen(seg) + 1 : 0; /* after the R bytes were seen */
    }
    *ret_waiting += waiting;
    if (!ready || !(greedy || old || ready * PART_FREED >= k->blocks))
        return 0;
    return take_blocks(seg, index, k, take);
}

/* ---- what it retired itself ---- */

void limbo_put(struct heap_cache *h, uint64_t block, uint32_t index)
{
    struct limbo *l = &h->limbo;
    if (l->lost)
        return;
    if (l->tail - l->head == LIMBO) { /* it does not come back for long: a reader is stopped. The spans' bytes say it all */
        limbo_forget(h);
        return;
    }
    l->block[l->tail++ % LIMBO] = CACHED_WORD(block, index);
}

/* One that it retired: limbo -> free, unless a lock stands in it, or its code is another's too, who has it in hand. */
static void limbo_take_one(struct self *s, struct heap_cache *h, uint64_t word, bool slots)
{
    struct tarn *seg = s->seg;
    uint64_t block = CACHED_BLOCK(word), span = (block - h->data) >> h->span_shift, *f;
    uint32_t index = CACHED_INDEX(word), own = span < OWN_SPANS ? h->span_class[span] : 0;
    struct class_cache *q = (struct class_cache *)((char *)h + own);
    uint8_t *freed;
    if (!own) /* found by its R byte */
        return;
    f = word_of(fast_bit(h, span, index, false));
    freed = fast_freed(q, span) + index;
    if (*f >> (index & 63) & 1 || __atomic_load_n(freed, __ATOMIC_ACQUIRE) != (s->code | BLOCK_RETIRED))
        return;
    for (uint32_t p = s->code - 1; p < seg->geometry.records; p += 127)
        if (p != ID_INDEX(s->id) && in_hand(seg, record_at(seg, p)) == block) {
            limbo_put(h, block, index);
            return;
        }
    if (slots && slot_points_into(seg, block, q->size)) {
        limbo_put(h, block, index); /* later */
        return;
    }
    store64(f, *f | 1ull << (index & 63));
    store8(freed, 0);
    if (!cache_put(q, block, f - (index >> 6), index))
        span_open(s, h, (uint32_t)span, (uint32_t)(own - OWN_CLASS(0)) / (uint32_t)sizeof *q);
}

/* Not when the last one was put there: its ref stood still. Now nothing is in this thread's hand, and its stores are seen. */
void limbo_stamp(struct self *s, struct limbo *l)
{
    for (; l->stamped != l->tail / LIMBO_BATCH * LIMBO_BATCH; l->stamped += LIMBO_BATCH)
        l->stamp[l->stamped / LIMBO_BATCH % (LIMBO / LIMBO_BATCH)] = epoch_seen(s->seg);
}

bool limbo_take(struct self *s, struct heap_cache *h)
{
    struct limbo *l = &h->limbo;
    const struct geometry *g = &s->seg->geometry;
    bool any = false, slots = false;
    uint32_t whole = l->tail / LIMBO_BATCH * LIMBO_BATCH;
    limbo_stamp(s, l);
    while (l->head != whole) {
        uint64_t stamp = l->stamp[l->head / LIMBO_BATCH % (LIMBO / LIMBO_BATCH)];
        if (h->safe <= stamp && l->advanced != l->tail / LIMBO_BATCH) { /* once for each batch */
            l->advanced = l->tail / LIMBO_BATCH;
            h->safe = epoch_advance(s);
            h->advanced = h->refills;
        }
        if (h->safe <= stamp)
            break;
        if (!any)
            slots = slot_points_into(s->seg, g->zone[ZONE_DATA], h->limit); /* after the grace; nearly always none */
        any = true;
        for (uint32_t i = 0; i < LIMBO_BATCH; i++)
            limbo_take_one(s, h, l->block[l->head++ % LIMBO], slots);
    }
    return any;
}

/* ---- looking for it ---- */

static void look_at_runs(struct self *s, struct heap_cache *h)
{
    uint32_t waiting = 0;
    h->refills++;
    for (uint32_t n = 0; n < LOOK_RUNS && n < h->count[RUN]; n++) {
        uint32_t link = span_mine(s, h->hand[RUN], RUN);
        if (!link)
            link = span_mine(s, h->own[RUN], RUN);
        if (!link)
            return;
        h->hand[RUN] = span_at(s->seg, link - 1)->next;
        if (collect(s, h, link - 1, class_at(&s->seg->geometry, RUN), true, &waiting))
            run_take_apart(s, h, link - 1);
    }
}

/* The next few spans of a class. Returns blocks that became free. */
static uint32_t look_at_some(struct self *s, struct heap_cache *h, uint32_t class, const struct size_class *k,
                             uint32_t *ret_waiting)
{
    uint32_t taken = 0;
    *ret_waiting = 0;
    for (uint32_t n = 0; n < LOOK && n < h->count[class]; n++) {
        uint32_t link = span_mine(s, h->hand[class], class), got;
        if (!link)
            link = span_mine(s, h->own[class], class);
        if (!link)
            break;
        h->hand[class] = span_at(s->seg, link - 1)->next;
        if ((got = collect(s, h, link - 1, k, false, ret_waiting)))
            span_open(s, h, link - 1, class);
        taken += got;
    }
    return taken;
}

void reap_some(struct self *s, struct heap_cache *h, uint32_t class)
{
    const struct size_class *k = class_at(&s->seg->geometry, class);
    uint32_t waiting = 0, from;
    if (class == RUN) {
        look_at_runs(s, h);
        return;
    }
    from = h->hand[class];
    if (look_at_some(s, h, class, k, &waiting) || waiting < CACHED)
        return;
    /* What is there is in limbo, and more than a refill. It does not pay to claim a span instead, again and again: end their grace. */
    epoch_advance(s);
    h->safe = epoch_advance(s);
    h->advanced = h->refills;
    h->hand[class] = from;
    look_at_some(s, h, class, k, &waiting);
}

static uint32_t collect_all(struct self *s, struct heap_cache *h)
{
    uint32_t waiting = 0;
    for (uint32_t class = 0; class <= RUN; class ++) {
        uint32_t link = span_mine(s, h->own[class], class);
        for (uint32_t n = h->count[class]; link && n; n--) {
            uint32_t next = span_mine(s, span_at(s->seg, link - 1)->next, class);
            collect(s, h, link - 1, class_at(&s->seg->geometry, class), true, &waiting);
            link = next;
        }
    }
    return waiting;
}

/* Is all of it free, and nothing spoken for? */
static bool span_is_idle(struct self *s, const struct heap_cache *h, uint32_t index, const struct size_class *k)
{
    uint64_t *f = free_words(span_at(s->seg, index)), from = span_offset(s->seg, index);
    for (uint32_t w = 0; w < k->words; w++)
        if (load64(&f[w]) != word_mask(k, w))
            return false;
    for (uint32_t i = 0; i < h->picks; i++)
        if (h->picked[i] - from < s->seg->geometry.span_size)
            return false;
    return true;
}

void reap_all(struct self *s, struct heap_cache *h, uint32_t keep)
{
    bool waits;
    limbo_forget(h);
    waits = collect_all(s, h);
    if (waits) {
        epoch_advance(s);
        h->safe = epoch_advance(s);
        waits = collect_all(s, h);
    }
    h->limbo.lost = waits || limbo_is_shared(s->seg);
    for (uint32_t class = 0; class < class_count(&s->seg->geometry); class ++) {
        uint32_t link = span_mine(s, h->own[class], class), kept = 0;
        h->class[class].used = 0; /* from here on, all with F = 1 are found through the list */
        h->open[class] = 0;
        for (uint32_t n = h->count[class]; link && n; n--) {
            struct span *span = span_at(s->seg, link - 1);
            uint32_t next = span_mine(s, span->next, class);
            span->is_open = 0;
            if (span_is_idle(s, h, link - 1, class_at(&s->seg->geometry, class)) && kept++ >= keep)
                span_give_back(s, h, link - 1, class);
            else
                span_open(s, h, link - 1, class);
            link = next;
        }
    }
    run_tidy(s, h);
}

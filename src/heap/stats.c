/* heap/stats.c - tarn_spans, tarn_heap_stats: what the heap's memory is used for.
 *
 * Takes no lock and writes nothing. Each span's word is read once, and what it says is checked; its F bits and R bytes are counted a word at a
 * time. So the work is that of one pass over the side tables of what is committed, whatever the bytes say. Whose spans are whose is judged by one
 * look at each record. Of one call:
 *     spans == spans_free + spans_other + run_spans + sum of class spans;    blocks == allocated + free + limbo, of each class */
#include <string.h>

#include "heap/table.h"

_Static_assert(CLASSES <= TARN_HEAP_CLASSES, "all classes are told");

#define RECORDS_MOST 4097u /* 4096 participants, and one record to spare */

struct owners {
    uint32_t count;
    uint32_t id[RECORDS_MOST]; /* by record: who has it, with ID_DIRTY if that one is dead; 0: nobody */
};

static void look_at_owners(struct tarn *seg, struct owners *o)
{
    o->count = seg->geometry.records < RECORDS_MOST ? seg->geometry.records : RECORDS_MOST;
    for (uint32_t i = 0; i < o->count; i++) {
        uint32_t id = ID_MAKE(load32(&record_at(seg, i)->generation), i);
        enum fate fate = fate_quick(seg, id);
        o->id[i] = fate == GONE ? 0 : fate == FALLEN ? id | ID_DIRTY : id;
    }
}

static uint32_t owner_state(const struct owners *o, uint32_t owner)
{
    uint32_t id = ID_INDEX(owner) < o->count ? o->id[ID_INDEX(owner)] : 0;
    if (id == owner)
        return TARN_OWNER_ALIVE;
    return id == (owner | ID_DIRTY) && !(owner & ID_DIRTY) ? TARN_OWNER_DEAD : TARN_OWNER_ORPHANED;
}

static uint32_t count(uint64_t bits)
{
    return (uint32_t)__builtin_popcountll(bits);
}

static void look_at_blocks(struct tarn *seg, uint32_t index, uint32_t class, struct tarn_span *s)
{
    const struct size_class *k = class_at(&seg->geometry, class);
    const uint64_t *f = free_words(span_at(seg, index));
    const uint8_t *freed = freed_bytes(seg, index, k);
    for (uint32_t w = 0; w < k->words; w++) {
        uint64_t has = load64(&f[w]) & word_mask(k, w), n = k->blocks - w * 64 < 64 ? k->blocks - w * 64 : 64;
        s->free += count(has);
        for (uint32_t i = 0; i < n; i++) /* F outranks R */
            s->limbo += __atomic_load_n(&freed[w * 64 + i], __ATOMIC_RELAXED) && !(has >> i & 1);
    }
    s->block_size = k->size;
    s->blocks = k->blocks;
    s->allocated = k->blocks - s->free - s->limbo;
}

static void look_at_run(struct tarn *seg, uint32_t index, uint32_t length, struct tarn_span *s)
{
    uint8_t freed = *freed_bytes(seg, index, class_at(&seg->geometry, RUN));
    s->block_size = s->size = (uint64_t)length << seg->geometry.span_shift;
    s->blocks = 1;
    *(load64(free_words(span_at(seg, index))) & 1 ? &s->free : freed ? &s->limbo : &s->allocated) = 1;
}

/* The span, or the run, that begins there. */
static struct tarn_span look_at_span(struct tarn *seg, uint32_t index, uint32_t spans, const struct owners *o)
{
    uint64_t w = load64(&span_at(seg, index)->word);
    uint32_t argument = SPAN_ARGUMENT(w);
    struct tarn_span s = {.ref = span_offset(seg, index), .size = seg->geometry.span_size, .owner = SPAN_OWNER(w)};
    if (!w)
        return s;
    s.owner_state = owner_state(o, s.owner);
    s.kind = TARN_SPAN_OTHER;
    if (SPAN_STATE(w) == SPAN_SMALL && argument < class_count(&seg->geometry)) {
        s.kind = TARN_SPAN_SMALL;
        look_at_blocks(seg, index, argument, &s);
    } else if (SPAN_STATE(w) == SPAN_RUN && argument && argument <= spans - index) {
        s.kind = TARN_SPAN_RUN;
        look_at_run(seg, index, argument, &s);
    }
    return s;
}

static int each_span(struct tarn *seg, int (*each)(const struct tarn_span *s, void *arg), void *arg)
{
    uint32_t spans = spans_committed(seg);
    struct owners owners;
    int e = 0;
    look_at_owners(seg, &owners);
    for (uint32_t i = 0; i < spans && !e;) {
        struct tarn_span s = look_at_span(seg, i, spans, &owners);
        i += (uint32_t)(s.size >> seg->geometry.span_shift);
        e = each(&s, arg);
    }
    return e;
}

/* ---- spans ---- */

struct merging {
    struct tarn_span last; /* size 0: none yet */
    int (*each)(const struct tarn_span *s, void *arg);
    void *arg;
};

static int merge(const struct tarn_span *s, void *arg)
{
    struct merging *m = arg;
    bool alike = m->last.size && s->kind == m->last.kind && s->owner == m->last.owner &&
                 s->owner_state == m->last.owner_state;
    if (alike && (s->kind == TARN_SPAN_FREE || s->kind == TARN_SPAN_OTHER)) {
        m->last.size += s->size;
        return 0;
    }
    struct tarn_span before = m->last;
    m->last = *s;
    return before.size ? m->each(&before, m->arg) : 0;
}

int tarn_spans(tarn *seg, int (*each)(const struct tarn_span *span, void *arg), void *arg)
{
    struct merging m = {.each = each, .arg = arg};
    if (seg->raw)
        return raw_refused(seg, "tarn_spans");
    int e = each_span(seg, merge, &m);
    return e || !m.last.size ? e : each(&m.last, arg);
}

/* ---- sums ---- */

static void add_run(const struct tarn_span *s, struct tarn_heap_stats *t)
{
    *(s->free ? &t->run_free : s->limbo ? &t->run_limbo : &t->run_allocated) += s->size;
    t->runs++;
    t->run_spans += s->size / t->span_size;
}

static void add_small(const struct tarn_span *s, struct tarn_heap_stats *t)
{
    struct tarn_heap_class *c = t->by_size;
    while (c->size != s->block_size)
        c++;
    c->spans++;
    c->blocks += s->blocks;
    c->free += s->free;
    c->limbo += s->limbo;
    c->allocated += s->allocated;
}

static int add_span(const struct tarn_span *s, void *arg)
{
    struct tarn_heap_stats *t = arg;
    t->spans += s->size / t->span_size;
    switch (s->kind) {
    case TARN_SPAN_FREE: t->spans_free++; break;
    case TARN_SPAN_SMALL: add_small(s, t); break;
    case TARN_SPAN_RUN: add_run(s, t); break;
    default: t->spans_other++;
    }
    if (s->owner_state == TARN_OWNER_DEAD)
        t->dead += s->size;
    if (s->owner_state == TARN_OWNER_ORPHANED)
        t->orphaned += s->size;
    return 0;
}

int tarn_heap_stats(tarn *seg, struct tarn_heap_stats *ret_stats)
{
    struct tarn_heap_stats t = {.span_size = seg->geometry.span_size, .classes = class_count(&seg->geometry)};
    if (seg->raw)
        return raw_refused(seg, "tarn_heap_stats");
    for (uint32_t c = 0; c < t.classes; c++)
        t.by_size[c].size = class_at(&seg->geometry, c)->size;
    each_span(seg, add_span, &t);
    t.allocated = t.run_allocated;
    t.free = t.run_free;
    t.limbo = t.run_limbo;
    for (uint32_t c = 0; c < t.classes; c++) {
        const struct tarn_heap_class *k = &t.by_size[c];
        t.allocated += k->allocated * k->size;
        t.free += k->free * k->size;
        t.limbo += k->limbo * k->size;
    }
    *ret_stats = t;
    return 0;
}

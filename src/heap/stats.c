/* heap/stats.c - tarn_heap_stats: what the heap's memory is used for.
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

static void add_owner(const struct owners *o, uint32_t owner, uint64_t bytes, struct tarn_heap_stats *t)
{
    uint32_t id = ID_INDEX(owner) < o->count ? o->id[ID_INDEX(owner)] : 0;
    if (id == owner)
        return;
    if (id == (owner | ID_DIRTY) && !(owner & ID_DIRTY))
        t->dead += bytes;
    else
        t->orphaned += bytes;
}

static uint32_t count(uint64_t bits)
{
    return (uint32_t)__builtin_popcountll(bits);
}

static void add_small(struct tarn *seg, uint32_t index, uint32_t class, struct tarn_heap_class *c)
{
    const struct size_class *k = class_at(&seg->geometry, class);
    const uint64_t *f = free_words(span_at(seg, index));
    const uint8_t *freed = freed_bytes(seg, index, k);
    uint64_t is_free = 0, limbo = 0;
    for (uint32_t w = 0; w < k->words; w++) {
        uint64_t has = load64(&f[w]) & word_mask(k, w), n = k->blocks - w * 64 < 64 ? k->blocks - w * 64 : 64;
        is_free += count(has);
        for (uint32_t i = 0; i < n; i++) /* F outranks R */
            limbo += __atomic_load_n(&freed[w * 64 + i], __ATOMIC_RELAXED) && !(has >> i & 1);
    }
    c->spans++;
    c->blocks += k->blocks;
    c->free += is_free;
    c->limbo += limbo;
    c->allocated += k->blocks - is_free - limbo;
}

static void add_run(struct tarn *seg, uint32_t index, uint32_t length, struct tarn_heap_stats *t)
{
    uint64_t bytes = (uint64_t)length << seg->geometry.span_shift;
    bool is_free = load64(free_words(span_at(seg, index))) & 1;
    uint8_t freed = *freed_bytes(seg, index, class_at(&seg->geometry, RUN));
    *(is_free ? &t->run_free : freed ? &t->run_limbo : &t->run_allocated) += bytes;
    t->runs++;
    t->run_spans += length;
}

/* Returns how many spans that was. */
static uint32_t add_span(struct tarn *seg, uint32_t index, const struct owners *o, struct tarn_heap_stats *t)
{
    uint64_t w = load64(&span_at(seg, index)->word);
    uint32_t argument = SPAN_ARGUMENT(w), length = 1;
    if (!w) {
        t->spans_free++;
        return 1;
    }
    if (SPAN_STATE(w) == SPAN_SMALL && argument < t->classes)
        add_small(seg, index, argument, &t->by_size[argument]);
    else if (SPAN_STATE(w) == SPAN_RUN && argument && argument <= t->spans - index)
        add_run(seg, index, length = argument, t);
    else
        t->spans_other++;
    add_owner(o, SPAN_OWNER(w), (uint64_t)length << seg->geometry.span_shift, t);
    return length;
}

int tarn_heap_stats(tarn *seg, struct tarn_heap_stats *ret_stats)
{
    struct tarn_heap_stats t = {0};
    struct owners owners;
    if (seg->raw)
        return raw_refused(seg, "tarn_heap_stats");
    t.span_size = seg->geometry.span_size;
    t.classes = class_count(&seg->geometry);
    t.spans = spans_committed(seg);
    look_at_owners(seg, &owners);
    for (uint32_t i = 0; i < t.spans;)
        i += add_span(seg, i, &owners, &t);
    t.allocated = t.run_allocated;
    t.free = t.run_free;
    t.limbo = t.run_limbo;
    for (uint32_t c = 0; c < t.classes; c++) {
        struct tarn_heap_class *k = &t.by_size[c];
        k->size = class_at(&seg->geometry, c)->size;
        t.allocated += k->allocated * k->size;
        t.free += k->free * k->size;
        t.limbo += k->limbo * k->size;
    }
    *ret_stats = t;
    return 0;
}

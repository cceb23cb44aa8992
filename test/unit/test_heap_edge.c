/* test_heap_edge.c - the heap's bounds, and what it keeps in private: on a segment in private memory.
 *
 * The segments here end where their zones do: behind the last side table stands the first block, which says whatever would do harm if it were taken for a
 * side table. What a participant keeps in private is compared with what docs/heap.md says of it ('What must hold'). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_segment.h"

#include <cmocka.h> /* last: it has a macro `fail` */

static uint32_t seed;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}
static void assert_none(const char *fault)
{
    assert_string_equal(fault ? fault : "none", "none");
}
#define assert_sound(f) assert_none(fake_fault(f, NULL))

static uint64_t data_of(struct fake *f)
{
    return f->seg.geometry.zone[ZONE_DATA];
}
static uint64_t span_word_of(struct fake *f, uint32_t span)
{
    return span_at(&f->seg, span)->word;
}
static uint32_t spans_taken(struct fake *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->seg.geometry.spans; i++)
        n += span_word_of(f, i) != 0;
    return n;
}
static enum block_state state_at(struct fake *f, uint64_t ref)
{
    return heap_state(&f->seg, ref, NULL);
}

/* ---- what is private ---- */

/* In a participant's lists of this class: how many spans, and how many of them are open; each is marked. */
static const char *lists_fault(struct fake *f, uint32_t p, uint32_t class, bool *open)
{
    struct heap_cache *h = &f->cache[p];
    struct self *s = &f->self[p];
    uint32_t n = 0, spans = f->seg.geometry.spans, mine = 0, link;
    for (uint32_t i = 0; i < spans; i++)
        mine += span_mine(s, i + 1, class) != 0;
    for (link = span_mine(s, h->own[class], class); link && n <= spans; n++)
        link = span_mine(s, span_at(&f->seg, link - 1)->next, class);
    if (n != mine || h->count[class] != mine)
        return "the list of its spans does not have them all";
    if (class == RUN)
        return NULL;
    for (link = span_mine(s, h->open[class], class), n = 0; link && n <= spans; n++) {
        open[link - 1] = true;
        link = span_mine(s, span_at(&f->seg, link - 1)->next_open, class);
    }
    return n > spans ? "the list of open spans has no end" : NULL;
}

static const char *cache_fault(struct fake *f, uint32_t p, uint32_t class)
{
    struct class_cache *q = &f->cache[p].class[class];
    for (uint32_t i = 0; i < cache_count(q); i++) {
        struct block b;
        if (!block_find(&f->seg, q->cached[i].block, &b) || SPAN_OWNER(b.word) != f->self[p].id ||
            b.class != class_at(&f->seg.geometry, class) ||
            q->cached[i].bit != bit_of(free_words(span_at(&f->seg, b.span)), b.index))
            return "a cache holds what is no block of it";
        if (!block_is_free(&b) || block_freed(&b))
            return "a cache holds a block that is not free";
        for (uint32_t j = 0; j < i; j++)
            if (q->cached[j].block == q->cached[i].block)
                return "a cache holds a block twice";
    }
    return NULL;
}

static const char *span_fault(struct fake *f, uint32_t p, uint32_t index, bool open)
{
    struct heap_cache *h = &f->cache[p];
    uint64_t w = span_word_of(f, index);
    uint32_t class = SPAN_ARGUMENT(w);
    bool own = SPAN_OWNER(w) == f->self[p].id && SPAN_STATE(w) == SPAN_SMALL;
    if (index >= OWN_SPANS)
        return NULL;
    if (h->span_class[index] != (own ? OWN_CLASS(class) : 0))
        return "it does not know whose a span is";
    if (h->span_open[index] != open)
        return "it does not know which spans are open";
    for (uint32_t k = 0; own && !open && !h->class[class].used && k < class_at(&f->seg.geometry, class)->words; k++)
        if (free_words(span_at(&f->seg, index))[k])
            return "a free block is in no cache and no open span";
    return NULL;
}

static const char *private_fault(struct fake *f, uint32_t p)
{
    struct heap_cache *h = &f->cache[p];
    bool *open = calloc(f->seg.geometry.spans, sizeof *open);
    const char *fault = lists_fault(f, p, RUN, NULL);
    for (uint32_t c = 0; c < class_count(&f->seg.geometry) && !fault; c++)
        if (!(fault = lists_fault(f, p, c, open)))
            fault = cache_fault(f, p, c);
    for (uint32_t i = 0; i < f->seg.geometry.spans && !fault; i++)
        fault = span_fault(f, p, i, open[i]);
    free(open);
    for (uint32_t n = h->limbo.head; n != h->limbo.tail && !fault; n++) {
        struct block b;
        if (!block_find(&f->seg, CACHED_BLOCK(h->limbo.block[n % LIMBO]), &b) || block_is_free(&b) ||
            block_freed(&b) != (f->self[p].code | BLOCK_RETIRED))
            fault = "it remembers as retired what is not, or no more";
    }
    return fault;
}

/* Refs at `place`, in data space, where the fast paths take them. */
static uint64_t *places(struct fake *f, struct self *s, uint32_t n)
{
    uint64_t *place;
    assert_int_equal(heap_alloc_into(s, &f->root[ROOTS - 1], n * 8), 0);
    place = at_offset(&f->seg, f->root[ROOTS - 1]);
    memset(place, 0, n * 8);
    return place;
}

/* Two who do anything, to their own blocks and each other's. */
static void private_matters_are_as_they_should(void **state)
{
    enum { PLACES = 200 };
    (void)state;
    for (uint32_t span_size = 4096; span_size <= 65536; span_size *= 16) {
        struct fake *f = fake_make(span_size, 256ull * span_size);
        struct self *s[2] = {fake_join(f, 1), fake_join(f, 2)};
        uint64_t *place = places(f, s[0], PLACES);
        seed = span_size;
        for (uint32_t i = 0; i < 40000; i++) {
            struct self *who = s[dice(3) == 0];
            uint64_t *at = &place[dice(PLACES)], size = dice(20) ? 1 + dice(600) : dice(3 * span_size) + 1;
            struct fresh fresh;
            if (*at)
                switch (dice(5)) {
                case 0:
                    assert_int_equal(heap_realloc_into(who, at, size, dice(2) ? LOG_FREE : LOG_RETIRE), 0);
                    break;
                case 1:
                case 2: assert_int_equal(heap_free_from(who, at, LOG_RETIRE), 0); break;
                default: assert_int_equal(heap_free_from(who, at, LOG_FREE), 0); break;
                }
            else if (dice(8)) {
                assert_int_equal(heap_alloc_into(who, at, size), 0);
                for (const char *p = at_offset(&f->seg, *at), *end = p + size; p < end; p++)
                    assert_true(*p == 0);
                memset(at_offset(&f->seg, *at), 0x55, tarn_block_size(&f->seg, *at));
            } else {
                assert_int_equal(heap_pick(who, size, &fresh), 0);
                if (dice(2))
                    heap_unpick(who, &fresh);
                else
                    heap_publish(who, &fresh, at, fresh.block);
            }
            if (dice(2000) == 0)
                reap_all(who, who->heap, dice(2));
            if (i % 50)
                continue;
            memcpy(f->root, place, PLACES * 8);
            assert_sound(f);
            for (uint32_t p = 1; p <= 2; p++)
                assert_none(private_fault(f, p));
        }
        fake_free(f);
    }
}

/* What the fast paths go by. With less they do nothing, and all is slow. */
static void fast_paths_know_the_segment(void **state)
{
    (void)state;
    for (uint32_t span_size = 4096; span_size <= 65536; span_size *= 2) {
        struct fake *f = fake_make(span_size, 32ull * span_size);
        struct self *s = fake_join(f, 1);
        struct heap_cache *h = &f->cache[1];
        bool wide = span_size == 65536;
        header_of(&f->seg)->committed = 16ull * span_size;
        assert_int_equal(heap_alloc_into(s, f->root, 16), 0);
        header_of(&f->seg)->committed = f->seg.geometry.limit;               /* another made it grow */
        assert_int_equal(heap_alloc_into(s, &f->root[1], span_size / 8), 0); /* a cache is empty: it looks */
        assert_true(h->limit == f->seg.geometry.limit && h->limit_own == h->limit);
        assert_true(h->wide_words == (wide ? h->limit / 8 : 0) && h->wide_limit == (wide ? h->limit : 0));
        fake_free(f);
    }
}

/* The slow path of a free looks at what is committed, that of an allocation notes a pick; the fast ones do neither. */
static void fast_paths_are_taken(void **state)
{
    (void)state;
    for (uint32_t span_size = 4096; span_size <= 65536; span_size *= 2) {
        struct fake *f = fake_make(span_size, 256ull * span_size);
        struct self *s = fake_join(f, 1);
        struct heap_cache *h = &f->cache[1];
        uint64_t *place = places(f, s, 4), limit = h->limit - 8;
        for (uint32_t c = 0; c < class_count(&f->seg.geometry); c++) {
            uint64_t size = class_at(&f->seg.geometry, c)->size;
            assert_int_equal(heap_alloc_into(s, &place[0], size), 0);
            h->limit = limit;
            h->picked[0] = 0;
            for (uint32_t i = 1; i < 4; i++)
                assert_int_equal(heap_alloc_into(s, &place[i], size), 0);
            assert_int_equal(heap_free_from(s, &place[1], LOG_FREE), 0);
            assert_int_equal(heap_free_from(s, &place[2], LOG_RETIRE), 0);
            assert_true(h->picked[0] == 0 && h->limit == limit);
            assert_int_equal(heap_free_from(s, &place[0], LOG_FREE), 0);
            assert_int_equal(heap_free_from(s, &place[3], LOG_FREE), 0);
        }
        assert_int_equal(heap_alloc_into(s, &place[0], span_size / 8 + 1), 0); /* larger than any class */
        assert_true(tarn_block_size(&f->seg, place[0]) == span_size);
        fake_free(f);
    }
}

/* ---- bounds ---- */

/* Filled to the last span, with a block at the beginning of data space that would be taken for the side table behind the last one. */
static struct fake *tight(uint64_t word)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *s = fake_join(f, 1);
    const struct geometry *g = &f->seg.geometry;
    uint64_t *first;
    assert_int_equal(g->zone[ZONE_DATA] - g->zone[ZONE_SIDE], (uint64_t)g->spans * g->side_size);
    assert_int_equal(heap_alloc_into(s, f->root, 4096), 0);
    assert_int_equal(f->root[0], data_of(f));
    first = at_offset(&f->seg, f->root[0]);
    memset(first, 0, 4096);
    first[0] = word;
    assert_ptr_equal(first, span_at(&f->seg, g->spans));
    return f;
}
static int count_blocks(uint64_t offset, uint64_t size, enum block_state state, void *arg)
{
    (void)offset;
    (void)size;
    (void)state;
    ++*(uint32_t *)arg;
    return 0;
}

static void nothing_behind_the_last_span_is_counted(void **state)
{
    struct fake *f = tight(SPAN_WORD(1, 0, SPAN_SMALL));
    uint64_t *behind = at_offset(&f->seg, f->root[0]);
    struct tarn_heap_stats t;
    struct tarn_stat stat;
    uint32_t blocks = 0;
    (void)state;
    assert_int_equal(heap_walk(&f->seg, count_blocks, &blocks), 0);
    assert_int_equal(blocks, 1);
    assert_int_equal(tarn_heap_stats(&f->seg, &t), 0);
    assert_true(t.spans_free == t.spans - 1 && t.runs == 1 && t.by_size[0].spans == 0);
    assert_int_equal(state_at(f, data_of(f) + f->seg.geometry.limit), BLOCK_NONE);
    assert_int_equal(state_at(f, data_of(f) + f->seg.geometry.limit + 16), BLOCK_NONE);
    *behind = 0;
    heap_floor.stat(&f->seg, &stat);
    assert_int_equal(stat.spans_free, stat.spans - 1);
    *behind = SPAN_WORD(1, 99, SPAN_SMALL);
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 0);
    fake_free(f);
}

static void nothing_behind_the_last_span_is_claimed(void **state)
{
    struct fake *f = tight(0);
    struct self *s = &f->self[1];
    uint64_t *behind = at_offset(&f->seg, f->root[0]), last;
    uint32_t n = 1;
    (void)state;
    while (heap_alloc_into(s, &f->root[n], n < 240 ? 4096 : 8192) == 0)
        n++;
    assert_int_equal(spans_taken(f), 256);
    assert_int_equal(*behind, 0);
    last = f->root[n - 1];
    assert_int_equal(heap_free_from(s, &f->root[n - 1], LOG_FREE), 0);
    assert_int_equal(heap_alloc_into(s, &f->root[n], 12288), -ENOSPC); /* two are left, and what is behind */
    assert_int_equal(heap_alloc_into(s, &f->root[n], 4096), 0);
    assert_int_equal(f->root[n], last);
    assert_int_equal(heap_realloc_into(s, &f->root[n], 12288, LOG_FREE), -ENOSPC);
    assert_int_equal(heap_realloc_into(s, &f->root[n], 8192, LOG_FREE), 0); /* to the very end, in place */
    assert_int_equal(f->root[n], last);
    assert_int_equal(*behind, 0);
    assert_sound(f);
    fake_free(f);
}

/* By adoption, and where a run is taken apart that says it is longer than it can be. */
static void nothing_behind_the_last_span_is_changed(void **state)
{
    struct fake *f = tight(SPAN_WORD(ID_MAKE(9, 3), 0, SPAN_INIT)); /* nobody's, by its looks */
    struct self *s = &f->self[1];
    uint64_t *behind = at_offset(&f->seg, f->root[0]), was = *behind;
    (void)state;
    heap_adopt(s);
    assert_int_equal(*behind, was);
    f->cache[1].cursor = 255;
    assert_int_equal(heap_alloc_into(s, &f->root[1], 4096), 0);
    assert_int_equal(f->root[1], data_of(f) + 255 * 4096);
    span_at(&f->seg, 255)->word = SPAN_WORD(s->id, 2, SPAN_RUN);
    *behind = was = SPAN_WORD(s->id, 1, SPAN_REST);
    run_take_apart(s, &f->cache[1], 255);
    assert_int_equal(*behind, was);
    assert_int_equal(span_word_of(f, 255), 0);
    fake_free(f);
}

/* One block that is all there is: it ends where everything does. */
static void a_run_to_the_end(void **state)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *s = fake_join(f, 1), *next;
    struct tarn_heap_stats t;
    uint32_t blocks = 0;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 1 << 20), 0);
    assert_int_equal(tarn_block_size(&f->seg, f->root[0]), 1 << 20);
    assert_int_equal(heap_walk(&f->seg, count_blocks, &blocks), 0);
    assert_int_equal(blocks, 1);
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 0);
    assert_int_equal(tarn_heap_stats(&f->seg, &t), 0);
    assert_true(t.runs == 1 && t.run_spans == 256 && t.spans_other == 0);
    heap_leave(s);
    s->record->generation++;
    next = fake_join(f, 2);
    assert_int_equal(heap_adopt(next), 1);
    assert_int_equal(heap_free_from(next, f->root, LOG_FREE), 0);
    assert_int_equal(spans_taken(f), 0);
    fake_free(f);
}

/* What is no block is refused on the fast paths too, wherever in the span it is; and a place that is no place. */
static void fast_paths_refuse(void **state)
{
    (void)state;
    for (uint32_t size = 16; size <= 512; size += size < 128 ? 16 : size / 8) {
        struct fake *f = fake_make(4096, 1 << 20);
        struct self *s = fake_join(f, 1);
        uint64_t committed = header_of(&f->seg)->committed = f->seg.geometry.limit / 2;
        uint64_t *place = places(f, s, 64), *end = at_offset(&f->seg, data_of(f) + committed), from;
        const struct size_class *k = class_at(&f->seg.geometry, class_of_size(size));
        assert_int_equal(heap_alloc_into(s, place, size), 0);
        from = *place / 4096 * 4096;
        assert_int_equal((from - data_of(f)) % 4096, 0);
        for (uint32_t i = 1; i < 64 && i < k->blocks; i++) /* all of the span's, of large ones */
            assert_int_equal(heap_alloc_into(s, &place[i], size), 0);
        for (uint32_t d = 0; d < 4096; d++) {
            uint64_t ref = from + d;
            if (d % k->size == 0 && d / k->size < k->blocks)
                continue;
            assert_int_equal(heap_free_from(s, &ref, LOG_FREE), -EINVAL); /* no place */
            f->root[0] = place[0];
            place[0] = ref;
            assert_int_equal(heap_free_from(s, place, LOG_FREE), -EINVAL);
            assert_int_equal(heap_free_from(s, place, LOG_RETIRE), -EINVAL);
            place[0] = f->root[0];
        }
        place[63] = 0;
        memcpy(f->root, place, 63 * 8);
        assert_int_equal(heap_alloc_into(s, end, size), -EINVAL);
        assert_int_equal(*end, 0);
        *end = place[0];
        assert_int_equal(heap_free_from(s, end, LOG_FREE), -EINVAL);
        assert_int_equal(state_at(f, place[0]), BLOCK_ALLOCATED);
        assert_int_equal(heap_check(&f->seg, NULL, NULL), 0);
        fake_free(f);
    }
}

/* It knows of the first 65,536 spans which are its own. */
static void more_spans_than_it_remembers(void **state)
{
    struct fake *f = fake_make(4096, 2ull * OWN_SPANS * 4096);
    struct self *s = fake_join(f, 1);
    uint64_t *place = places(f, s, 8);
    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(heap_alloc_into(s, &place[i], 16u << i), 0); /* the first spans are open */
    f->cache[1].cursor = OWN_SPANS;
    assert_int_equal(heap_alloc_into(s, &place[4], 512), 0);
    assert_int_equal(place[4], data_of(f) + (uint64_t)OWN_SPANS * 4096);
    assert_none(private_fault(f, 1));
    assert_int_equal(heap_free_from(s, &place[4], LOG_FREE), 0);
    assert_int_equal(heap_alloc_into(s, &place[4], 512), 0);
    assert_int_equal(heap_free_from(s, &place[4], LOG_RETIRE), 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(heap_free_from(s, &place[i], LOG_FREE), 0);
    assert_none(private_fault(f, 1));
    fake_free(f);
}

/* Which blocks there are in a span, and where what is said of them stands, is part of the layout: programs of different builds share it. A sum of
 * another value is another SEGMENT_VERSION. */
static void classes_are_the_layout(void **state)
{
    static const uint32_t side[] = {256, 256, 512, 512, 1024};
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    (void)state;
    for (uint32_t shift = SPAN_SHIFT_LEAST; shift <= SPAN_SHIFT_MOST; shift++) {
        const struct geometry g = {.span_size = 1u << shift, .span_shift = shift};
        assert_int_equal(heap_side_size(g.span_size), side[shift - SPAN_SHIFT_LEAST]);
        for (uint32_t c = 0; c <= RUN; c++) {
            const struct size_class *k = class_at(&g, c);
            const uint32_t shown[] = {k->size, k->blocks, k->words, k->freed_at, k->far};
            assert_true(c == RUN || !k->size == (c >= class_count(&g)));
            for (uint32_t i = 0; i < 5; i++)
                sum = (sum ^ shown[i]) * UINT64_C(0x100000001b3);
        }
    }
    assert_int_equal(sum, UINT64_C(0x5d06898d0a85dfe0));
}

/* ---- notes, and what they are worth ---- */

/* a fills a span of eight blocks. */
static void fill_span(struct self *a, uint64_t *place)
{
    for (int i = 0; i < 8; i++)
        assert_int_equal(heap_alloc_into(a, &place[i], 512), 0);
}

/* Retired, taken back, handed out, retired again under a reader: the first grace was for the first time. */
static void a_grace_is_for_once(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct fake *f = fake_make(4096, 1 << 16);
        struct self *a = fake_join(f, 1), *b = fake_join(f, 2), *who = own ? a : b;
        uint64_t was;
        fill_span(a, f->root);
        was = f->root[0];
        assert_int_equal(heap_free_from(who, f->root, LOG_RETIRE), 0);
        reap_all(a, a->heap, 1);
        assert_int_equal(state_at(f, was), BLOCK_FREE);
        assert_none(private_fault(f, 1));
        assert_int_equal(heap_alloc_into(a, f->root, 512), 0);
        assert_int_equal(f->root[0], was);
        b->record->epoch = 1 + epoch_now(&f->seg); /* a reader */
        assert_int_equal(heap_free_from(who, f->root, LOG_RETIRE), 0);
        for (int i = 0; i < 3; i++)
            reap_all(a, a->heap, 1);
        assert_int_equal(state_at(f, was), BLOCK_LIMBO);
        b->record->epoch = 0;
        reap_all(a, a->heap, 1);
        assert_int_equal(state_at(f, was), BLOCK_FREE);
        fake_free(f);
    }
}

/* A side table holds what its last owner noted. */
static void another_ones_notes_count_for_nothing(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t was, *aged;
    (void)state;
    epoch_advance(a);
    for (uint32_t i = 0; i < f->seg.geometry.spans; i++) {
        struct span *span = span_at(&f->seg, i);
        memset(span, 0xff, f->seg.geometry.side_size);
        span->word = 0;
        span->aged_at = 1; /* all is aged */
    }
    fill_span(a, f->root);
    was = f->root[0];
    aged = aged_words(span_at(&f->seg, (uint32_t)((was - data_of(f)) / 4096)),
                      class_at(&f->seg.geometry, class_of_size(512)));
    aged[0] = ~0ull;
    b->record->epoch = 1 + epoch_now(&f->seg);
    assert_int_equal(heap_free_from(b, f->root, LOG_RETIRE), 0);
    reap_all(a, a->heap, 1);
    assert_int_equal(state_at(f, was), BLOCK_LIMBO);
    assert_none(private_fault(f, 1));
    assert_int_equal(heap_alloc_into(a, &f->root[10], 5000), 0);
    assert_none(private_fault(f, 1));
    assert_sound(f);
    fake_free(f);
}

/* Of many spans, and many runs, each is looked at in its turn. */
static void all_spans_have_their_turn(void **state)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t was;
    uint32_t again = 0;
    (void)state;
    for (int i = 0; i < 12; i++)
        fill_span(a, &f->root[8 * i]);
    was = f->root[0] / 4096;
    for (int i = 0; i < 8; i++) /* of the one that it has had longest */
        assert_int_equal(heap_free_from(b, &f->root[i], LOG_FREE), 0);
    for (int i = 100; i < 140; i++) { /* five refills, of which each looks at four */
        assert_int_equal(heap_alloc_into(a, &f->root[i], 512), 0);
        again += f->root[i] / 4096 == was;
    }
    assert_int_equal(again, 8);
    for (int i = 150; i < 180; i++)
        assert_int_equal(heap_alloc_into(a, &f->root[i], 4096), 0);
    was = f->root[150];
    assert_int_equal(heap_free_from(b, &f->root[150], LOG_FREE), 0);
    for (int i = 180; i < 186; i++) /* each looks at eight */
        assert_int_equal(heap_alloc_into(a, &f->root[i], 4096), 0);
    assert_int_not_equal(state_at(f, was), BLOCK_LIMBO);
    assert_sound(f);
    fake_free(f);
}

/* Runs alone, retired again and again: no refill of small blocks gives occasion to advance the epoch. */
static void retired_runs_come_back(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct fake *f = fake_make(4096, 4 << 20);
        struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
        for (int i = 0; i < 300; i++) {
            assert_int_equal(heap_alloc_into(a, f->root, 8192), 0);
            assert_int_equal(heap_free_from(own ? a : b, f->root, LOG_RETIRE), 0);
            assert_true(spans_taken(f) <= 128);
        }
        assert_int_equal(f->cache[1].idle_runs, 0);
        fake_free(f);
    }
}

/* Spans are looked for from where the last one was found: what was given back since is left for the next round. */
static void spans_are_found_in_turn(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *a = fake_join(f, 1);
    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(heap_alloc_into(a, &f->root[i], 4096), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(heap_free_from(a, &f->root[i], LOG_FREE), 0);
    assert_int_equal(f->cache[1].idle_runs, 0); /* none is left for the next call to look for */
    for (int i = 8; i < 20; i++)
        assert_int_equal(heap_alloc_into(a, &f->root[i], 4096), 0);
    for (int i = 8; i < 20; i++)
        assert_int_equal(f->root[i], data_of(f) + (uint64_t)(i % 16) * 4096);
    fake_free(f);
}

/* All memory is a dead one's, who has given back everything: first it is recovered, and then its spans are adopted. */
static void a_dead_ones_spans_are_had_at_once(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *a = fake_join(f, 1), *b;
    (void)state;
    for (int i = 0; i < 16; i++)
        fill_span(a, &f->root[8 * i]);
    for (int i = 0; i < 128; i++)
        assert_int_equal(heap_free_from(a, &f->root[i], LOG_FREE), 0);
    assert_int_equal(spans_taken(f), 16);
    fake_kill(f, 1);
    b = fake_join(f, 2);
    assert_int_equal(heap_alloc_into(b, f->root, 16 * 4096), 0);
    assert_int_equal(participants_of(&f->seg)->orphans, 0); /* there is nothing more to adopt */
    assert_sound(f);
    fake_free(f);
}

/* What was picked and not published goes with who leaves. */
static void picks_go_with_who_leaves(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *a = fake_join(f, 1);
    struct fresh fresh;
    (void)state;
    assert_int_equal(heap_pick(a, 100, &fresh), 0);
    assert_int_equal(heap_pick(a, 4096, &fresh), 0);
    assert_int_equal(spans_taken(f), 2);
    heap_leave(a);
    assert_int_equal(spans_taken(f), 0);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_matters_are_as_they_should),
        cmocka_unit_test(fast_paths_know_the_segment),
        cmocka_unit_test(fast_paths_are_taken),
        cmocka_unit_test(nothing_behind_the_last_span_is_counted),
        cmocka_unit_test(nothing_behind_the_last_span_is_claimed),
        cmocka_unit_test(nothing_behind_the_last_span_is_changed),
        cmocka_unit_test(a_run_to_the_end),
        cmocka_unit_test(fast_paths_refuse),
        cmocka_unit_test(more_spans_than_it_remembers),
        cmocka_unit_test(classes_are_the_layout),
        cmocka_unit_test(a_grace_is_for_once),
        cmocka_unit_test(another_ones_notes_count_for_nothing),
        cmocka_unit_test(all_spans_have_their_turn),
        cmocka_unit_test(retired_runs_come_back),
        cmocka_unit_test(spans_are_found_in_turn),
        cmocka_unit_test(a_dead_ones_spans_are_had_at_once),
        cmocka_unit_test(picks_go_with_who_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

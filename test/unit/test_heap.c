/* test_heap.c - the heap's internals on a segment in private memory: classes, allocation, limbo, spans and runs, hostile bytes. What a
 * death leaves is in test_heap_kill.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_segment.h"

#include <cmocka.h> /* last: it has a macro `fail` */

static const uint32_t span_sizes[] = {4096, 8192, 16384, 32768, 65536};
#define EACH_SPAN_SIZE(i) for (size_t i = 0; i < sizeof span_sizes / sizeof *span_sizes; i++)

#define assert_sound(f, ret) assert_string_equal(fault_or_none(fake_fault(f, ret)), "none")
static const char *fault_or_none(const char *fault)
{
    return fault ? fault : "none";
}

/* ---- classes ---- */

static void reciprocals_are_exact(void **state)
{
    (void)state;
    EACH_SPAN_SIZE(n)
    {
        struct geometry g = {.span_size = span_sizes[n], .span_shift = (uint32_t)__builtin_ctz(span_sizes[n])};
        for (uint32_t c = 0; c < class_count(&g); c++) {
            const struct size_class *k = class_at(&g, c);
            for (uint32_t offset = 0; offset < g.span_size; offset++)
                if ((uint64_t)offset * k->reciprocal >> 32 != offset / k->size)
                    fail_msg("span %u, size %u, offset %u", g.span_size, k->size, offset);
        }
    }
}

static void classes_fit_their_spans(void **state)
{
    (void)state;
    EACH_SPAN_SIZE(n)
    {
        uint32_t span = span_sizes[n], table = heap_side_size(span) - (uint32_t)sizeof(struct span);
        struct geometry g = {.span_size = span, .span_shift = (uint32_t)__builtin_ctz(span)};
        assert_int_equal(class_at(&g, class_count(&g) - 1)->size, span / 8);
        for (uint32_t c = 0; c < class_count(&g); c++) {
            const struct size_class *k = class_at(&g, c);
            assert_true(k->blocks >= 8 && k->words == (k->blocks + 63) / 64 && k->words <= TABLE_WORDS_MOST);
            assert_true(k->words * 16 <= table && k->freed_at % 8 == 0 && k->size % 16 == 0);
            assert_true(k->size < 1024 || k->size % 64 == 0);
            if (k->far)
                assert_true(k->blocks * k->size <= k->freed_at && k->freed_at + (k->blocks + 7) / 8 * 8 <= span);
            else
                assert_true(k->words * 16 <= k->freed_at && k->freed_at + (k->blocks + 7) / 8 * 8 <= table);
            assert_true(k->blocks * (k->size + 2) + k->size >= span || k->blocks == table / 16 * 64); /* no block is forgotten */
        }
    }
}

static void sizes_waste_little(void **state)
{
    struct geometry g = {.span_size = 65536, .span_shift = 16};
    (void)state;
    for (uint32_t size = 1; size <= SMALL_MOST; size++) {
        uint32_t c = class_of_size(size), got = class_at(&g, c)->size;
        assert_true(got >= size && (c == 0 || class_at(&g, c - 1)->size < size));
        assert_true(size <= 128 ? got - size < 16 : (got - size) * 8 < size);
    }
}

/* ---- blocks ---- */

static uint32_t seed;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* Random sizes until there is no room; each block zeroed, filled with its own number, and found unharmed; then all freed. */
static void fill_and_empty(void **state)
{
    (void)state;
    EACH_SPAN_SIZE(n)
    {
        struct fake *f = fake_make(span_sizes[n], 64ull * span_sizes[n]);
        struct self *a = fake_join(f, 1);
        struct fake_count c;
        uint64_t size, limit = f->seg.geometry.limit;
        seed = span_sizes[n];
        for (int round = 0; round < 3; round++) {
            int e = 0;
            uint32_t made = 0;
            for (; made < ROOTS && !e; made++) {
                uint64_t want = 1 + dice(dice(4) ? 512 : 3 * span_sizes[n]);
                e = heap_alloc_into(a, &f->root[made], want);
                if (e)
                    break;
                assert_int_equal(heap_state(&f->seg, f->root[made], &size), BLOCK_ALLOCATED);
                assert_true(size >= want && f->root[made] % (size < 1024 ? 16 : 64) == 0);
                for (const char *p = at_offset(&f->seg, f->root[made]), *end = p + size; p < end; p++)
                    assert_int_equal(*p, 0);
                memset(at_offset(&f->seg, f->root[made]), (int)made + 1, size);
            }
            assert_true(e == 0 || e == -ENOSPC);
            assert_sound(f, NULL);
            for (uint32_t i = 0; i < made; i++) {
                heap_state(&f->seg, f->root[i], &size);
                for (const uint8_t *p = at_offset(&f->seg, f->root[i]), *end = p + size; p < end; p++)
                    assert_int_equal(*p, (uint8_t)(i + 1));
            }
            for (uint32_t i = 0; i < made; i++)
                assert_int_equal(heap_free_from(a, &f->root[i], i % 3 ? LOG_FREE : LOG_RETIRE), 0);
            assert_sound(f, &c);
            assert_int_equal(c.allocated, 0);
        }
        assert_int_equal(heap_alloc_into(a, f->root, limit), 0); /* all of it as one run: everything came back */
        assert_int_equal(heap_free_from(a, f->root, LOG_FREE), 0);
        assert_int_equal(heap_alloc_into(a, f->root, limit + 1), -EINVAL);
        fake_free(f);
    }
}

static void refusals(void **state)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t ref, size, far;
    (void)state;
    assert_int_equal(heap_alloc_into(a, f->root, 0), -EINVAL);
    assert_int_equal(heap_alloc_into(a, (uint64_t *)((char *)f->root + 4), 16), -EINVAL);
    assert_int_equal(heap_alloc_into(a, &size, 16), -EINVAL);
    assert_int_equal(heap_alloc_into(a, f->root, 100), 0);
    assert_int_equal(heap_alloc_into(a, f->root, 100), -EEXIST);
    ref = f->root[0];
    assert_int_equal(heap_state(&f->seg, ref, &size), BLOCK_ALLOCATED);
    assert_int_equal(size, 112);
    assert_int_equal(tarn_block_size(&f->seg, ref), 112);
    for (uint64_t d = 1; d < 112; d++) {
        f->root[1] = ref + d;
        assert_int_equal(heap_free_from(a, &f->root[1], LOG_FREE), -EINVAL);
        assert_int_equal(tarn_block_size(&f->seg, ref + d), 0);
    }
    f->root[1] = 0;
    assert_int_equal(heap_free_from(a, &f->root[1], LOG_FREE), -EINVAL);
    for (int retire = 0; retire < 2; retire++)
        for (int remote = 0; remote < 2; remote++) { /* twice is refused, whoever it was */
            struct self *s = remote ? b : a;
            unsigned kind = retire ? LOG_RETIRE : LOG_FREE;
            if (!f->root[0])
                assert_int_equal(heap_alloc_into(a, f->root, 100), 0);
            f->root[1] = f->root[0];
            assert_int_equal(heap_free_from(s, &f->root[0], kind), 0);
            assert_int_equal(f->root[0], 0);
            assert_int_equal(heap_free_from(a, &f->root[1], kind), -EINVAL);
            assert_int_equal(heap_free_from(b, &f->root[1], kind), -EINVAL);
            f->root[1] = 0;
        }
    assert_int_equal(heap_alloc_into(a, f->root, 5000), 0);
    far = f->root[0];
    f->root[1] = far + 4096; /* within a run */
    assert_int_equal(heap_free_from(a, &f->root[1], LOG_FREE), -EINVAL);
    f->root[1] = 0;
    assert_sound(f, NULL);
    fake_free(f);
}

/* ---- sections ---- */

static void sections(void **state)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t block, old;
    struct fake_count c;
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(heap_alloc_into(i < 2 ? a : b, &f->root[i], 300 + (uint64_t)i * 2000), 0);
    for (int commit = 0; commit < 2; commit++) {
        old = f->root[0];
        assert_int_equal(section_begin(a), 0);
        assert_int_equal(heap_alloc(a, 64, true, &block), 0);
        log_save(a, offset_of(&f->seg, &f->root[10]), 1);
        f->root[10] = block;
        assert_int_equal(heap_alloc_into(a, &f->root[11], 9000), 0);
        assert_int_equal(heap_free_from(a, &f->root[0], LOG_FREE), 0);
        assert_int_equal(f->root[0], 0);
        assert_int_equal(heap_free(a, old, LOG_RETIRE), -EINVAL); /* by this section already */
        assert_int_equal(heap_free_from(a, &f->root[3], LOG_FREE), 0);
        assert_int_equal(heap_state(&f->seg, old, NULL), BLOCK_ALLOCATED); /* until it commits */
        if (commit)
            assert_int_equal(section_commit(a), 0);
        else
            assert_int_equal(section_abort(a), 0);
        assert_sound(f, &c);
        assert_int_equal(c.allocated, 4);
        assert_int_equal(f->root[0], commit ? 0 : old);
        assert_int_equal(!f->root[10], !commit);
    }
    fake_free(f);
}

/* More allocations than the record's log holds: it grows by an extent in the middle of one. */
static void sections_outgrow_the_log(void **state)
{
    struct fake *f = fake_make(4096, 4 << 20);
    struct self *a = fake_join(f, 1);
    uint64_t n = f->seg.geometry.log_words + 100, block, extents = 0;
    struct fake_count c;
    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(section_begin(a), 0);
        for (uint64_t i = 0; i < n; i++)
            assert_int_equal(heap_alloc(a, extent_size(&f->seg.geometry), true, &block),
                             0); /* of the same class as the extent */
        section_abort(a);
        extents = 0; /* what the record reaches */
        for (uint64_t x = a->record->log_more; x; x = ((struct extent *)at_offset(&f->seg, x))->next)
            f->root[extents++] = x;
        assert_sound(f, &c);
        assert_int_equal(c.allocated, extents);
        memset(f->root, 0, extents * 8);
    }
    assert_int_equal(extents, 2);
    fake_free(f);
}

/* ---- others' frees, limbo ---- */

/* a fills one span with blocks of the largest class. */
static uint32_t fill_span(struct fake *f, struct self *a)
{
    uint32_t n = 0;
    while (n < 8)
        assert_int_equal(heap_alloc_into(a, &f->root[n++], f->seg.geometry.span_size / 8), 0);
    assert_int_equal(f->cache[ID_INDEX(a->id)].class[class_count(&f->seg.geometry) - 1].used, 0);
    return n;
}

static void owner_takes_what_others_freed(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    struct fake_count c;
    uint64_t was[8];
    (void)state;
    fill_span(f, a);
    memcpy(was, f->root, sizeof was);
    for (int i = 0; i < 4; i++)
        assert_int_equal(heap_free_from(b, &f->root[i], LOG_FREE), 0);
    assert_sound(f, &c);
    assert_int_equal(c.limbo, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(heap_alloc_into(a, &f->root[i], 512), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(f->root[i], was[i]); /* these, and no new span */
    fake_free(f);
}

static void nobody_takes_what_is_in_hand(void **state)
{
    (void)state;
    for (unsigned kind = INTENT_FREE; kind <= INTENT_HAND; kind++) {
        struct fake *f = fake_make(4096, 1 << 16);
        struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
        struct record *r = b->record;
        uint64_t held;
        fill_span(f, a);
        held = f->root[3];
        for (int i = 0; i < 8; i++)
            assert_int_equal(heap_free_from(b, &f->root[i],
                                            kind == INTENT_FREE || kind == INTENT_HAND ? LOG_FREE : LOG_RETIRE),
                             0);
        f->root[3] = held; /* b was stopped before *place = 0 */
        r->swap_old = held;
        r->intent = (kind == INTENT_SWAP   ? offset_of(&f->seg, &f->root[9])
                     : kind == INTENT_HAND ? held
                                           : offset_of(&f->seg, &f->root[3])) |
                    (unsigned)kind;
        reap_all(a, &f->cache[1], 1);
        for (int i = 0; i < 8; i++)
            assert_int_equal(heap_state(&f->seg, held + (uint64_t)(i - 3) * 512, NULL),
                             i == 3 ? BLOCK_LIMBO : BLOCK_FREE);
        r->intent = 0;
        reap_all(a, &f->cache[1], 1);
        assert_int_equal(heap_state(&f->seg, held, NULL), BLOCK_FREE);
        fake_free(f);
    }
}

static void nobody_takes_what_a_lock_stands_in(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t held;
    (void)state;
    fill_span(f, a);
    held = f->root[5];
    for (int i = 0; i < 8; i++)
        assert_int_equal(heap_free_from(b, &f->root[i], LOG_RETIRE), 0);
    b->record->slots_used = 1;
    b->slot[0] = (held + 504) | SLOT_WANT;
    reap_all(a, &f->cache[1], 1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(heap_state(&f->seg, held + (uint64_t)(i - 5) * 512, NULL),
                         i == 5 ? BLOCK_LIMBO : BLOCK_FREE);
    b->slot[0] = 0;
    reap_all(a, &f->cache[1], 1);
    assert_int_equal(heap_state(&f->seg, held, NULL), BLOCK_FREE);
    fake_free(f);
}

/* A reader's pin holds back what is retired while it reads, however short memory is; not what was freed. */
static void limbo_waits_for_readers(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t retired[4], other;
    (void)state;
    fill_span(f, a);
    memcpy(retired, f->root, sizeof retired);
    b->record->epoch = 1 + epoch_now(&f->seg);
    for (int i = 0; i < 8; i++)
        assert_int_equal(heap_free_from(i & 1 ? a : b, &f->root[i], i < 4 ? LOG_RETIRE : LOG_FREE), 0);
    for (int round = 0; round < 3; round++) {
        uint32_t n = 10;
        while (heap_alloc_into(a, &f->root[n], 16 + dice(600)) == 0)
            n++;
        for (int i = 0; i < 4; i++)
            assert_int_equal(heap_state(&f->seg, retired[i], NULL), BLOCK_LIMBO);
        assert_sound(f, NULL);
        while (n-- > 10)
            assert_int_equal(heap_free_from(a, &f->root[n], LOG_FREE), 0);
    }
    b->record->epoch = 0;
    reap_all(a, &f->cache[1], 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(heap_state(&f->seg, retired[i], &other), BLOCK_FREE);
    fake_free(f);
}

/* Retired again and again in little space: comes back by itself, without a shortage. */
static void limbo_comes_back(void **state)
{
    struct fake *f = fake_make(65536, 16 << 20);
    struct self *a = fake_join(f, 1);
    uint32_t spans;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        assert_int_equal(heap_alloc_into(a, f->root, 1000), 0);
        assert_int_equal(heap_free_from(a, f->root, LOG_RETIRE), 0);
    }
    spans = f->cache[1].count[class_of_size(1000)];
    if (spans > 100)
        fail_msg("%u spans for one block", spans);
    fake_free(f);
}

/* ---- spans and runs ---- */

/* Two hundred live blocks, replaced one by one for long: what is in limbo meanwhile stays a small multiple of what is remembered, or looked at
 * in a refill, whoever retires. The segment is so large that there is never a shortage. */
static void limbo_stays_bounded(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct fake *f = fake_make(4096, 64 << 20);
        struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
        uint32_t spans = 0;
        for (uint32_t i = 0; i < 100000; i++) {
            uint64_t *place = &f->root[i % 200];
            if (*place)
                assert_int_equal(heap_free_from(who ? b : a, place, LOG_RETIRE), 0);
            assert_int_equal(heap_alloc_into(a, place, 100 + i % 7 * 50), 0);
        }
        for (uint32_t i = 0; i < f->seg.geometry.spans; i++)
            spans += span_at(&f->seg, i)->word != 0;
        assert_in_range(spans, 1, 1000); /* of 16,384; live are about 15, and 4 * LIMBO_BATCH are 170 */
        assert_sound(f, NULL);
        fake_free(f);
    }
}

/* An error: a block that another freed, and then its owner. It is told, or the block is free; it is never handed out twice. */
static void freed_twice(void **state)
{
    (void)state;
    struct fake *f = fake_make(65536, 4 << 20);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    uint64_t again, *place;
    assert_int_equal(heap_alloc_into(a, &f->root[255], 4096), 0);
    place = at_offset(&f->seg, f->root[255]); /* in data space, where the fast path has its places */
    memset(place, 0, 4096);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(heap_alloc_into(a, &place[i], 320), 0);
    again = place[99];
    assert_int_equal(heap_free_from(b, &place[99], LOG_FREE), 0);
    for (uint32_t i = 0; i < 99; i++) /* its cache is full now */
        assert_int_equal(heap_free_from(a, &place[i], LOG_FREE), 0);
    place[99] = again;
    if (heap_free_from(a, &place[99], LOG_FREE))
        place[99] = 0;
    assert_sound(f, NULL);
    for (uint32_t i = 0; i < 204; i++)
        assert_int_equal(heap_alloc_into(a, &place[i], 320), 0);
    memcpy(f->root, place, 204 * 8);
    assert_sound(f, NULL);
    reap_all(a, a->heap, 0);
    assert_sound(f, NULL);
    fake_free(f);
}

static void picks_stay_theirs(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1);
    struct fresh fresh[PICKED + 1];
    struct fake_count c;
    uint32_t n;
    (void)state;
    for (n = 0; n < 12; n++)
        assert_int_equal(heap_pick(a, n % 8 == 7 ? 4097 : 512, &fresh[n]), 0); /* 11 small ones, a run */
    reap_all(a, &f->cache[1], 0); /* drops caches, gives back what it can */
    for (uint32_t i = 0; i < 60 && heap_alloc_into(a, &f->root[i], 512) == 0; i++)
        for (uint32_t k = 0; k < n; k++)
            assert_true(f->root[i] + 512 <= fresh[k].block || f->root[i] >= fresh[k].block + fresh[k].size);
    for (uint32_t k = 0; k < n; k++)
        if (k % 2)
            heap_publish(a, &fresh[k], &f->root[100 + k], fresh[k].block);
        else
            heap_unpick(a, &fresh[k]);
    assert_sound(f, &c);
    assert_int_equal(f->cache[1].picks, 0);
    for (n = 0; heap_pick(a, 16, &fresh[n]) == 0; n++)
        assert_true(n < PICKED);
    assert_int_equal(n, PICKED);
    fake_free(f);
}

static void replace_retires(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    struct fresh fresh;
    uint64_t old, tag = 5ull << 48;
    (void)state;
    assert_int_equal(heap_alloc_into(b, f->root, 100), 0);
    old = f->root[0];
    assert_int_equal(heap_pick(a, 200, &fresh), 0);
    heap_replace(a, &fresh, f->root, fresh.block | tag, old);
    assert_int_equal(heap_state(&f->seg, old, NULL), BLOCK_LIMBO);
    assert_int_equal(f->root[0], fresh.block | tag);
    assert_int_equal(heap_state(&f->seg, fresh.block, NULL), BLOCK_ALLOCATED);
    fake_free(f);
}

static int free_spans(struct fake *f)
{
    int n = 0;
    for (uint32_t i = 0; i < f->seg.geometry.spans; i++)
        n += !span_at(&f->seg, i)->word;
    return n;
}

static void runs_come_and_go(void **state)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    struct fresh fresh;
    (void)state;
    for (int how = 0; how < 5; how++) {
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(heap_alloc_into(a, &f->root[i], 4096 * 60), 0);
        assert_int_equal(free_spans(f), 16);
        assert_int_equal(heap_alloc_into(a, &f->root[5], 4096 * 17), -ENOSPC);
        assert_non_null(strstr(tarn_error(), "limit"));
        if (how == 4)
            section_begin(a);
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(heap_free_from(how & 1 ? b : a, &f->root[i], how & 2 ? LOG_RETIRE : LOG_FREE), 0);
        if (how == 4)
            section_commit(a);
        assert_int_equal(heap_alloc_into(a, &f->root[0], 1 << 20), 0); /* all: the runs were found and taken apart */
        assert_int_equal(heap_free_from(a, &f->root[0], LOG_FREE), 0);
        assert_int_equal(free_spans(f), 256);
    }
    assert_int_equal(heap_pick(a, 1 << 20, &fresh), 0);
    heap_unpick(a, &fresh);
    assert_int_equal(free_spans(f), 256);
    fake_free(f);
}

static void leaving_gives_back(void **state)
{
    struct fake *f = fake_make(4096, 1 << 20);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    struct fake_count c;
    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(heap_alloc_into(a, &f->root[i], 1 + dice(6000)), 0);
    for (uint32_t i = 0; i < 100; i++)
        if (i != 50)
            assert_int_equal(heap_free_from(i & 1 ? a : b, &f->root[i], i & 2 ? LOG_FREE : LOG_RETIRE), 0);
    heap_leave(a);
    a->record->generation++;
    a->record->state = RECORD_FREE;
    assert_sound(f, &c);
    assert_int_equal(c.allocated, 1);
    assert_true(free_spans(f) >= 250);
    participants_of(&f->seg)->orphans = 1;
    assert_true(heap_adopt(b) >= 1);
    assert_int_equal(heap_free_from(b, &f->root[50], LOG_FREE), 0);
    heap_leave(b);
    assert_int_equal(free_spans(f), 256);
    fake_free(f);
}

/* ---- hostile bytes ---- */

static void check_sees(void **state)
{
    struct fake *f = fake_make(4096, 1 << 16);
    struct self *a = fake_join(f, 1);
    uint64_t id = a->id;
    const struct {
        uint32_t at;
        uint64_t word;
    } bad[] = {
        {0, SPAN_WORD(id, 24, SPAN_SMALL)},       /* no such class */
        {0, SPAN_WORD(id, 17, SPAN_RUN)},         /* beyond the end */
        {0, SPAN_WORD(id, 0, SPAN_RUN)},          /* empty */
        {0, SPAN_WORD(id, 3, SPAN_RUN)},          /* over what is not its rest */
        {5, SPAN_WORD(id, 1, SPAN_REST)},         /* of no run */
        {5, SPAN_WORD(id, 9, SPAN_REST)},         /* from before the beginning */
        {0, SPAN_WORD(id, 0, 9)},                 /* no such state */
        {0, SPAN_WORD(FAKES + 1, 0, SPAN_SMALL)}, /* nobody */
        {0, SPAN_WORD(id | ID_DIRTY, 0, SPAN_INIT)},
    };
    (void)state;
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        span_at(&f->seg, bad[i].at)->word = bad[i].word;
        assert_int_equal(heap_check(&f->seg, NULL, NULL), 1);
        span_at(&f->seg, bad[i].at)->word = 0;
    }
    assert_int_equal(heap_alloc_into(a, f->root, 512), 0);
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 0);
    free_words(span_at(&f->seg, 0))[0] |= 1 << 8; /* it has 8 blocks */
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 1);
    fake_free(f);
}

/* Everything, on tables full of dice: no crash, no endless loop, nothing outside of the segment written (its neighbours are unmapped,
 * and the guard pages behind the zones are the zones' own ends). */
static void hostile_bytes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct fake *f = fake_make(4096, 1 << 17);
        struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
        const struct geometry *g = &f->seg.geometry;
        struct tarn_stat stat;
        struct fresh fresh;
        seed = round;
        for (uint32_t i = 0; i < 40; i++)
            heap_alloc_into(i & 1 ? a : b, &f->root[i], 1 + dice(5000));
        for (uint32_t i = 0; i < g->spans; i++) {
            uint64_t *side = (uint64_t *)span_at(&f->seg, i);
            uint32_t id = dice(3) ? dice(2) ? a->id : b->id : dice(9) | dice(3) << 16;
            if (dice(2))
                side[0] = SPAN_WORD(id, dice(3) ? dice(34) : dice(1 << 20), dice(6));
            for (uint32_t w = 1; w < g->side_size / 8; w++)
                if (dice(3) == 0)
                    side[w] = dice(2) ? dice(g->spans + 3)
                                      : (uint64_t)dice(1 << 24) << 40 ^ (uint64_t)dice(1 << 24) << 16 ^
                                            dice(1 << 16);
        }
        b->record->intent = (g->zone[dice(4)] + dice(1 << 16)) << dice(2) | dice(6);
        b->record->swap_old = g->zone[ZONE_DATA] + 16 * dice(1 << 13);
        participants_of(&f->seg)->orphans = 1;
        for (uint32_t i = 0; i < 60; i++) {
            uint64_t *place = &f->root[dice(50)], block;
            struct self *s = dice(2) ? a : b;
            if (dice(4) == 0)
                *place = g->zone[ZONE_DATA] + 16 * dice(1 << 13);
            switch (dice(6)) {
            case 0:
                *place = 0;
                heap_alloc_into(s, place, 1 + dice(6000));
                break;
            case 1: heap_free_from(s, place, LOG_FREE); break;
            case 2: heap_free_from(s, place, LOG_RETIRE); break;
            case 3:
                if (!heap_pick(s, 1 + dice(6000), &fresh))
                    heap_unpick(s, &fresh);
                break;
            case 4:
                section_begin(s);
                heap_alloc(s, 1 + dice(700), true, &block);
                heap_free_from(s, place, LOG_FREE);
                if (dice(2))
                    section_commit(s);
                else
                    section_abort(s);
                break;
            case 5: heap_recover_intent(s, s->record->intent); break;
            }
        }
        heap_adopt(a);
        heap_check(&f->seg, NULL, NULL);
        heap_floor.stat(&f->seg, &stat);
        heap_leave(a);
        heap_leave(b);
        fake_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reciprocals_are_exact),
        cmocka_unit_test(classes_fit_their_spans),
        cmocka_unit_test(sizes_waste_little),
        cmocka_unit_test(fill_and_empty),
        cmocka_unit_test(refusals),
        cmocka_unit_test(sections),
        cmocka_unit_test(sections_outgrow_the_log),
        cmocka_unit_test(owner_takes_what_others_freed),
        cmocka_unit_test(nobody_takes_what_is_in_hand),
        cmocka_unit_test(nobody_takes_what_a_lock_stands_in),
        cmocka_unit_test(limbo_waits_for_readers),
        cmocka_unit_test(limbo_comes_back),
        cmocka_unit_test(limbo_stays_bounded),
        cmocka_unit_test(freed_twice),
        cmocka_unit_test(picks_stay_theirs),
        cmocka_unit_test(replace_retires),
        cmocka_unit_test(runs_come_and_go),
        cmocka_unit_test(leaving_gives_back),
        cmocka_unit_test(check_sees),
        cmocka_unit_test(hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

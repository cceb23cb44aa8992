/* test_heap_size.c - blocks of another size (in place, moved, in sections, refused), aligned blocks, statistics: on a segment in private memory.
 * What a death leaves is in test_heap_kill.c and CRASHLAB. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_segment.h"

#include <cmocka.h> /* last: it has a macro `fail` */

static const uint32_t span_sizes[] = {4096, 8192, 16384, 32768, 65536};
#define EACH_SPAN_SIZE(i) for (size_t i = 0; i < sizeof span_sizes / sizeof *span_sizes; i++)

static void assert_sound(struct fake *f)
{
    const char *fault = fake_fault(f, NULL);
    assert_string_equal(fault ? fault : "none", "none");
}

static uint32_t seed;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static uint8_t *bytes(struct fake *f, uint64_t ref)
{
    return at_offset(&f->seg, ref);
}
static uint64_t size_of(struct fake *f, uint64_t ref)
{
    return tarn_block_size(&f->seg, ref);
}
static bool all_are(const uint8_t *p, uint64_t n, uint8_t value)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] != value)
            return false;
    return true;
}

/* ---- moved ---- */

/* Up and down at random, by two participants, of whom either may have made it; what it had is kept, what came to it is zero. */
static void any_size_to_any(void **state)
{
    (void)state;
    EACH_SPAN_SIZE(n)
    {
        struct fake *f = fake_make(span_sizes[n], 1024ull * span_sizes[n]);
        struct self *s[2] = {fake_join(f, 1), fake_join(f, 2)};
        uint32_t in_place = 0, moved = 0;
        seed = span_sizes[n];
        for (int i = 0; i < 3000; i++) {
            uint32_t k = dice(8);
            uint64_t *place = &f->root[k], was = *place, had = was ? size_of(f, was) : 0, now;
            uint64_t want = 1 + dice(dice(3) ? 2 * had + 64 : 5 * span_sizes[n]);
            if (want > 9ull * span_sizes[n] / 2)
                want = 9ull * span_sizes[n] / 2;
            assert_int_equal(heap_realloc_into(s[dice(2)], place, want, dice(4) ? LOG_FREE : LOG_RETIRE), 0);
            now = size_of(f, *place);
            assert_true(now >= want);
            assert_true(all_are(bytes(f, *place), had < now ? had : now, (uint8_t)(k + 1)));
            assert_true(now <= had || all_are(bytes(f, *place) + had, now - had, 0));
            memset(bytes(f, *place), (int)k + 1, now);
            in_place += *place == was;
            moved += was && *place != was;
            if (i % 50 == 0)
                assert_sound(f);
        }
        assert_true(in_place > 100 && moved > 100);
        for (uint32_t k = 0; k < 8; k++)
            assert_int_equal(heap_free_from(s[0], &f->root[k], LOG_FREE), 0);
        assert_sound(f);
        fake_free(f);
    }
}

static void same_class_stays(void **state)
{
    struct fake *f = fake_make(4096, 1 << 18);
    struct self *s = fake_join(f, 1);
    uint64_t was, ref;
    (void)state;
    assert_int_equal(heap_realloc_into(s, f->root, 100, LOG_FREE), 0); /* none was there */
    was = f->root[0];
    for (uint64_t size = 97; size <= 112; size++) {
        assert_int_equal(heap_realloc_into(s, f->root, size, LOG_FREE), 0);
        assert_int_equal(f->root[0], was);
    }
    section_begin(s);
    assert_int_equal(heap_realloc(s, was, 112, LOG_RETIRE, &ref), 0);
    assert_int_equal(ref, was);
    assert_int_equal(section_commit(s), 0);
    assert_sound(f);
    assert_int_equal(heap_realloc_into(s, f->root, 113, LOG_FREE), 0);
    assert_int_not_equal(f->root[0], was);
    assert_int_equal(heap_state(&f->seg, was, NULL), BLOCK_FREE);
    assert_int_equal(heap_alloc_into(s, &f->root[1], 512), 0); /* the largest that is small */
    was = f->root[1];
    assert_int_equal(heap_realloc_into(s, &f->root[1], 512, LOG_FREE), 0);
    assert_int_equal(f->root[1], was);
    was = f->root[0];
    assert_int_equal(heap_realloc_into(s, f->root, 300, LOG_RETIRE), 0);
    assert_int_equal(heap_state(&f->seg, was, NULL), BLOCK_LIMBO);
    fake_free(f);
}

/* ---- runs ---- */

static uint32_t run_spans(struct fake *f, uint64_t ref)
{
    return (uint32_t)(size_of(f, ref) / f->seg.geometry.span_size);
}

static void runs_in_place(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *s = fake_join(f, 1), *other = fake_join(f, 2);
    uint64_t was;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 3 * 4096), 0);
    was = f->root[0];
    memset(bytes(f, was), 7, 3 * 4096);
    memset(bytes(f, was) + 3 * 4096, 9, 4096);                                /* what somebody left there */
    assert_int_equal(heap_realloc_into(s, f->root, 4 * 4096, LOG_RETIRE), 0); /* growing harms no reader */
    assert_true(f->root[0] == was && run_spans(f, was) == 4);
    assert_true(all_are(bytes(f, was), 3 * 4096, 7) && all_are(bytes(f, was) + 3 * 4096, 4096, 0));
    assert_int_equal(heap_realloc_into(s, f->root, 2 * 4096, LOG_FREE), 0);
    assert_true(f->root[0] == was && run_spans(f, was) == 2);
    assert_sound(f);
    assert_int_equal(heap_alloc_into(other, &f->root[1], 13 * 4096), 0); /* all that is left, with what it gave back */
    assert_sound(f);
    assert_int_equal(heap_realloc_into(s, f->root, 3 * 4096, LOG_FREE), -ENOSPC); /* one is left, and not beside it */
    assert_true(f->root[0] == was && run_spans(f, was) == 2);
    assert_sound(f);
    fake_free(f);
}

/* Between its own beginning and another's run there is room for so much, and no more. */
static void runs_and_neighbours(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *s = fake_join(f, 1), *other = fake_join(f, 2);
    uint64_t was;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 4 * 4096), 0);
    was = f->root[0];
    assert_int_equal(heap_realloc_into(s, f->root, 2 * 4096, LOG_FREE), 0);
    assert_int_equal(heap_alloc_into(other, &f->root[2], 4096), 0);
    assert_int_equal(heap_alloc_into(other, &f->root[1], 4096), 0);
    assert_int_equal(f->root[1], was + 3 * 4096);
    assert_int_equal(heap_free_from(other, &f->root[2], LOG_FREE), 0);
    assert_int_equal(heap_realloc_into(s, f->root, 3 * 4096, LOG_FREE), 0);
    assert_int_equal(f->root[0], was);
    memset(bytes(f, was), 5, 3 * 4096);
    assert_int_equal(heap_realloc_into(s, f->root, 4 * 4096, LOG_FREE), 0);
    assert_int_not_equal(f->root[0], was); /* it moved: and the whole of it */
    assert_true(all_are(bytes(f, f->root[0]), 3 * 4096, 5) && all_are(bytes(f, f->root[0]) + 3 * 4096, 4096, 0));
    assert_int_equal(heap_state(&f->seg, was, NULL), BLOCK_NONE); /* taken apart at once */
    assert_sound(f);
    /* another's run is moved, also where there is room */
    was = f->root[1];
    assert_int_equal(heap_realloc_into(s, &f->root[1], 2 * 4096, LOG_FREE), 0);
    assert_int_not_equal(f->root[1], was);
    /* who may be read at its end does not shrink in place */
    was = f->root[0];
    assert_int_equal(heap_realloc_into(s, f->root, 2 * 4096, LOG_RETIRE), 0);
    assert_int_not_equal(f->root[0], was);
    assert_int_equal(heap_state(&f->seg, was, NULL), BLOCK_LIMBO);
    assert_sound(f);
    fake_free(f);
}

/* An adopted run's spans but the first are named after who is gone. */
static void adopted_runs(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *dead = fake_join(f, 1), *s;
    uint64_t was;
    (void)state;
    assert_int_equal(heap_alloc_into(dead, f->root, 5 * 4096), 0);
    was = f->root[0];
    fake_kill(f, 1);
    s = fake_join(f, 2);
    assert_int_equal(recover(s, dead->id), 0);
    heap_adopt(s);
    assert_int_equal(heap_realloc_into(s, f->root, 2 * 4096, LOG_FREE), 0);
    assert_int_equal(f->root[0], was);
    assert_sound(f);
    assert_int_equal(heap_realloc_into(s, f->root, 16 * 4096, LOG_FREE), 0); /* every span is free again */
    assert_int_equal(f->root[0], was);
    assert_sound(f);
    fake_free(f);
}

/* ---- failure ---- */

static void nothing_happens_on_failure(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *s = fake_join(f, 1);
    uint64_t was, small, ref = 77;
    uint32_t k = 10;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 2 * 4096), 0);
    assert_int_equal(heap_alloc_into(s, &f->root[1], 100), 0);
    while (heap_alloc_into(s, &f->root[k], 4096) == 0)
        k++;
    while (heap_alloc_into(s, &f->root[k], 112) == 0)
        k++;
    was = f->root[0];
    small = f->root[1];
    memset(bytes(f, was), 3, 2 * 4096);
    memset(bytes(f, small), 4, 112);
    assert_int_equal(heap_realloc_into(s, f->root, 3 * 4096, LOG_FREE), -ENOSPC);
    assert_int_equal(heap_realloc_into(s, &f->root[1], 113, LOG_FREE), -ENOSPC);
    section_begin(s);
    assert_int_equal(heap_realloc(s, was, 3 * 4096, LOG_FREE, &ref), -ENOSPC);
    assert_int_equal(heap_realloc_into(s, &f->root[1], 500, LOG_RETIRE), -ENOSPC);
    assert_int_equal(section_commit(s), 0);
    assert_true(ref == 77 && f->root[0] == was && f->root[1] == small);
    assert_true(all_are(bytes(f, was), 2 * 4096, 3) && all_are(bytes(f, small), 112, 4));
    assert_sound(f);
    /* smaller is never too much: where there is no memory for it, it stays */
    assert_int_equal(heap_realloc_into(s, &f->root[1], 16, LOG_FREE), 0);
    assert_int_equal(f->root[1], small);
    section_begin(s);
    assert_int_equal(heap_realloc(s, was, 4096, LOG_FREE, &ref), 0);
    assert_int_equal(ref, was);
    assert_int_equal(section_commit(s), 0);
    assert_int_equal(heap_realloc_into(s, f->root, 4096, LOG_FREE), 0);
    assert_true(f->root[0] == was && run_spans(f, was) == 1);
    assert_sound(f);
    fake_free(f);
}

/* A log of which one word is left, and no memory for more: the old block's entry does not fit, so the new one's is not written. */
static void log_without_room_for_both(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *s = fake_join(f, 1);
    uint64_t ref = 77, words;
    uint32_t k = 10;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 100), 0);
    assert_int_equal(heap_alloc_into(s, &f->root[1], 300), 0); /* there are more of these */
    while (heap_alloc_into(s, &f->root[k], 4096) == 0)
        k++;
    while (heap_alloc_into(s, &f->root[k], 512) == 0) /* an extent is of that size */
        k++;
    section_begin(s);
    words = f->seg.geometry.log_words;
    while (JOURNAL_WORDS(s->journal) < words - 1)
        assert_int_equal(log_word(s, LOG_WORD(0, 0)), 0);
    assert_int_equal(heap_realloc(s, f->root[0], 300, LOG_FREE, &ref), -ENOSPC);
    assert_int_equal(ref, 77);
    assert_int_equal(section_commit(s), 0);
    assert_sound(f);
    fake_free(f);
}

static void refusals(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *s = fake_join(f, 1);
    uint64_t ref, none = 0;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 100), 0);
    ref = f->root[0];
    assert_int_equal(heap_realloc_into(s, f->root, 0, LOG_FREE), -EINVAL);
    assert_int_equal(heap_realloc_into(s, f->root, 16 * 4096 + 1, LOG_FREE), -EINVAL);
    assert_int_equal(heap_realloc_into(s, f->root, UINT64_MAX, LOG_FREE), -EINVAL);
    assert_int_equal(heap_realloc_into(s, &none, 100, LOG_FREE), -EINVAL); /* not in the segment */
    assert_int_equal(heap_realloc_into(s, (uint64_t *)((char *)f->root + 4), 100, LOG_FREE), -EINVAL);
    f->root[1] = ref + 16;
    assert_int_equal(heap_realloc_into(s, &f->root[1], 50, LOG_FREE), -EINVAL);
    f->root[1] = 0;
    section_begin(s);
    assert_int_equal(heap_free(s, ref, LOG_FREE), 0);
    assert_int_equal(heap_realloc(s, ref, 300, LOG_FREE, &none), -EINVAL); /* freed by this section */
    section_abort(s);
    assert_int_equal(tarn_realloc_into(&f->seg, f->root, 50, 2), -EINVAL);
    assert_int_equal(tarn_alloc_aligned_into(&f->seg, &f->root[1], 50, 0), -EINVAL);
    assert_int_equal(tarn_alloc_aligned_into(&f->seg, &f->root[1], 50, 48), -EINVAL);
    assert_int_equal(tarn_alloc_aligned_into(&f->seg, &f->root[1], 50, 8192), -EINVAL);
    assert_true(f->root[0] == ref && f->root[1] == 0);
    assert_sound(f);
    fake_free(f);
}

/* ---- in sections ---- */

static void section_is_all_or_nothing(void **state)
{
    (void)state;
    for (int commit = 0; commit < 2; commit++) {
        struct fake *f = fake_make(4096, 32 * 4096);
        struct self *s = fake_join(f, 1);
        uint64_t was[3];
        for (int i = 0; i < 3; i++) {
            assert_int_equal(heap_alloc_into(s, &f->root[i], i == 2 ? 5000 : 100), 0);
            was[i] = f->root[i];
            memset(bytes(f, was[i]), i + 1, 100);
        }
        section_begin(s);
        assert_int_equal(heap_realloc_into(s, &f->root[0], 200, LOG_FREE), 0);
        assert_int_equal(heap_realloc_into(s, &f->root[0], 300, LOG_FREE), 0);
        assert_int_equal(heap_realloc_into(s, &f->root[1], 200, LOG_RETIRE), 0);
        assert_int_equal(heap_realloc_into(s, &f->root[2], 20000, LOG_FREE), 0);
        for (int i = 0; i < 3; i++) {
            assert_int_not_equal(f->root[i], was[i]);
            assert_true(all_are(bytes(f, f->root[i]), 100, (uint8_t)(i + 1)));
            assert_int_equal(heap_state(&f->seg, was[i], NULL), BLOCK_ALLOCATED);
        }
        if (commit)
            assert_int_equal(section_commit(s), 0);
        else
            assert_int_equal(section_abort(s), 0);
        for (int i = 0; i < 3; i++) {
            assert_true((f->root[i] == was[i]) == !commit);
            assert_true(all_are(bytes(f, f->root[i]), 100, (uint8_t)(i + 1)));
        }
        assert_sound(f);
        fake_free(f);
    }
}

/* ---- alignment ---- */

static void aligned_blocks(void **state)
{
    (void)state;
    EACH_SPAN_SIZE(n)
    {
        struct fake *f = fake_make(span_sizes[n], 64ull * span_sizes[n]);
        struct self *s = fake_join(f, 1);
        for (uint64_t to = 1; to <= 4096; to *= 2)
            for (uint64_t size = 1; size < 3 * span_sizes[n]; size += 1 + size / 3) {
                uint64_t ask = heap_aligned_size(&f->seg, size, to), has;
                for (uint32_t k = 0; k < 3; k++) {
                    assert_int_equal(heap_alloc_into(s, &f->root[k], ask), 0);
                    has = size_of(f, f->root[k]);
                    assert_true(has >= size && f->root[k] % to == 0);
                    assert_true(ask > span_sizes[n] / 8 || has - size < 16 || has - size < to ||
                                (has - size) * 8 < size);
                }
                for (uint32_t k = 0; k < 3; k++)
                    assert_int_equal(heap_free_from(s, &f->root[k], LOG_FREE), 0);
            }
        assert_int_equal(heap_aligned_size(&f->seg, 0, 64), 0); /* refused by who is asked for it */
        assert_sound(f);
        fake_free(f);
    }
}

/* ---- statistics ---- */

static int add_part(const struct tarn_span *s, void *arg)
{
    struct tarn_heap_stats *t = arg;
    assert_int_equal(s->blocks, s->allocated + s->free + s->limbo);
    assert_int_equal(s->ref, t->reserved[0]); /* no gap */
    t->reserved[0] = s->ref + s->size;
    t->spans += s->size / t->span_size;
    t->spans_free += s->kind == TARN_SPAN_FREE ? s->size / t->span_size : 0;
    t->runs += s->kind == TARN_SPAN_RUN;
    t->allocated += s->block_size * s->allocated;
    t->free += s->block_size * s->free;
    t->limbo += s->block_size * s->limbo;
    t->dead += s->owner_state == TARN_OWNER_DEAD ? s->size : 0;
    t->orphaned += s->owner_state == TARN_OWNER_ORPHANED ? s->size : 0;
    assert_true((s->owner_state == TARN_OWNER_NONE) == (s->kind == TARN_SPAN_FREE));
    return 0;
}

/* Part by part it is the same. */
static void assert_parts_add_up(struct fake *f, const struct tarn_heap_stats *t)
{
    struct tarn_heap_stats p = {.span_size = t->span_size, .reserved = {span_offset(&f->seg, 0)}};
    assert_int_equal(tarn_spans(&f->seg, add_part, &p), 0);
    assert_int_equal(p.spans, t->spans);
    assert_int_equal(p.spans_free, t->spans_free);
    assert_int_equal(p.runs, t->runs);
    assert_int_equal(p.allocated, t->allocated);
    assert_int_equal(p.free, t->free);
    assert_int_equal(p.limbo, t->limbo);
    assert_int_equal(p.dead, t->dead);
    assert_int_equal(p.orphaned, t->orphaned);
}

static void assert_adds_up(struct fake *f, struct tarn_heap_stats *ret)
{
    struct fake_count c = {0};
    uint64_t spans = 0, counts[3] = {0};
    struct tarn_heap_stats t;
    assert_int_equal(tarn_heap_stats(&f->seg, &t), 0);
    for (uint32_t i = 0; i < t.classes; i++) {
        const struct tarn_heap_class *k = &t.by_size[i];
        assert_int_equal(k->blocks, k->allocated + k->free + k->limbo);
        assert_true(i == 0 || k->size > t.by_size[i - 1].size);
        spans += k->spans;
        counts[0] += k->allocated;
        counts[1] += k->free;
        counts[2] += k->limbo;
    }
    assert_int_equal(t.spans, t.spans_free + t.spans_other + t.run_spans + spans);
    assert_int_equal(t.run_spans * t.span_size, t.run_allocated + t.run_free + t.run_limbo);
    heap_walk(&f->seg, fake_count_block, &c);
    assert_int_equal(c.allocated + c.free_blocks + c.limbo, counts[0] + counts[1] + counts[2] + t.runs);
    assert_in_range(c.limbo - counts[2], 0, t.runs);
    assert_parts_add_up(f, &t);
    *ret = t;
}

static void statistics(void **state)
{
    struct fake *f = fake_make(4096, 64 * 4096);
    struct self *a = fake_join(f, 1), *b = fake_join(f, 2);
    struct tarn_heap_stats t;
    uint32_t c = class_of_size(100);
    (void)state;
    assert_adds_up(f, &t);
    assert_int_equal(t.spans, 64);
    assert_int_equal(t.spans_free, 64);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(heap_alloc_into(a, &f->root[i], 100), 0);
    assert_int_equal(heap_alloc_into(b, &f->root[10], 3 * 4096), 0);
    assert_int_equal(heap_alloc_into(b, &f->root[11], 4096), 0);
    assert_int_equal(heap_free_from(b, &f->root[0], LOG_FREE), 0);
    assert_int_equal(heap_free_from(a, &f->root[1], LOG_RETIRE), 0);
    assert_int_equal(heap_free_from(a, &f->root[2], LOG_FREE), 0);
    assert_int_equal(heap_free_from(a, &f->root[11], LOG_RETIRE), 0);
    assert_adds_up(f, &t);
    assert_int_equal(t.by_size[c].size, 112);
    assert_int_equal(t.by_size[c].spans, 1);
    assert_int_equal(t.by_size[c].allocated, 7);
    assert_int_equal(t.by_size[c].limbo, 2);
    assert_int_equal(t.by_size[c].free, t.by_size[c].blocks - 9);
    assert_true(t.runs == 2 && t.run_spans == 4 && t.run_allocated == 3 * 4096 && t.run_limbo == 4096);
    assert_true(t.allocated == 7 * 112 + 3 * 4096 && t.limbo == 2 * 112 + 4096 && t.spans_free == 59);
    assert_true(t.dead == 0 && t.orphaned == 0);
    fake_kill(f, 2);
    assert_adds_up(f, &t);
    assert_true(t.dead == 4 * 4096 && t.orphaned == 0);
    assert_int_equal(recover(a, b->id), 0);
    assert_adds_up(f, &t);
    assert_true(t.dead == 0 && t.orphaned == 4 * 4096);
    heap_adopt(a);
    assert_adds_up(f, &t);
    assert_true(t.dead == 0 && t.orphaned == 0 && t.run_allocated == 3 * 4096);
    fake_free(f);
}

/* Whatever is in the tables, it adds up, and comes to its end. */
static void statistics_of_hostile_bytes(void **state)
{
    (void)state;
    EACH_SPAN_SIZE(n)
    {
        struct fake *f = fake_make(span_sizes[n], 64ull * span_sizes[n]);
        const struct geometry *g = &f->seg.geometry;
        struct tarn_heap_stats t;
        uint32_t owner = fake_join(f, 1)->id;
        seed = 5 + (uint32_t)n;
        for (int round = 0; round < 200; round++) {
            uint8_t *side = at_offset(&f->seg, g->zone[ZONE_SIDE]);
            for (uint64_t i = 0; i < (uint64_t)g->side_size * g->spans; i++)
                side[i] = (uint8_t)dice(256);
            for (uint32_t i = 0; i < g->spans && round % 2; i++) /* likelier ones */
                span_at(&f->seg, i)->word = SPAN_WORD(dice(2) ? owner : dice(70), dice(64), dice(6));
            assert_adds_up(f, &t);
        }
        fake_free(f);
    }
}

/* ---- the check ---- */

static void check_knows_who_changes_a_length(void **state)
{
    struct fake *f = fake_make(4096, 16 * 4096);
    struct self *s = fake_join(f, 1);
    uint32_t first;
    (void)state;
    assert_int_equal(heap_alloc_into(s, f->root, 3 * 4096), 0);
    first = (uint32_t)((f->root[0] - f->seg.geometry.zone[ZONE_DATA]) / 4096);
    assert_sound(f);
    span_at(&f->seg, first)->word = SPAN_WORD(s->id, 2, SPAN_RUN); /* between shrink's stores */
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 1);
    s->record->intent = f->root[0] | INTENT_HAND;
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 0);
    s->record->intent = (f->root[0] + 4096) | INTENT_HAND; /* another block */
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 1);
    s->record->intent = 0;
    fake_kill(f, 1);
    recover(fake_join(f, 2), s->id);
    assert_int_equal(heap_check(&f->seg, NULL, NULL), 0); /* its owner is gone: adoption's */
    heap_adopt(&f->self[2]);
    assert_int_equal(span_at(&f->seg, first + 2)->word, 0);
    fake_free(f);
}

/* ---- as a user calls it ---- */

struct places {
    tarn_ref at[4];
};

static void public_calls(void **state)
{
    struct tarn_options o = {.size = sizeof o, .initial = 1 << 20, .limit = 1 << 22};
    struct tarn_heap_stats t, same;
    struct places *p;
    tarn *seg, *reader;
    tarn_ref ref = 9;
    (void)state;
    for (uint32_t raw = 0; raw < 2; raw++) {
        ref = 9;
        o.uninitialized = raw;
        assert_int_equal(tarn_open("memfd:sizes", TARN_CREATE, &o, &seg), 0);
        assert_int_equal(tarn_object(seg, "places", struct places, &p), 0);
        assert_int_equal(tarn_realloc(seg, 0, 100, 0, &ref), -EPERM); /* no section */
        assert_int_equal(tarn_alloc_aligned(seg, 100, 64, &ref), -EPERM);
        assert_int_equal(ref, 9);
        assert_int_equal(tarn_alloc_aligned_into(seg, &p->at[0], 100, 4096), 0);
        assert_true(p->at[0] % 4096 == 0 && (uintptr_t)tarn_ptr(seg, p->at[0], 100) % 4096 == 0);
        assert_int_equal(tarn_alloc_aligned_into(seg, &p->at[0], 100, 4096), -EEXIST);
        memset(tarn_ptr(seg, p->at[0], 100), 6, 100);
        assert_int_equal(tarn_realloc_into(seg, &p->at[0], 200000, TARN_REALLOC_RETIRE), 0);
        assert_true(all_are(tarn_ptr(seg, p->at[0], 100), 100, 6));
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_alloc_aligned(seg, 5000, 2048, &ref), 0);
        assert_true(ref % 2048 == 0);
        assert_int_equal(tarn_realloc(seg, ref, 10, 0, &ref), 0);
        assert_int_equal(tarn_realloc(seg, ref, 10, 2, &ref), -EINVAL);
        assert_int_equal(tarn_abort(seg), 0);
        assert_int_equal(tarn_realloc_into(seg, &p->at[0], 1 << 23, 0), -EINVAL);
        assert_int_equal(tarn_realloc_into(seg, &p->at[0], 1 << 22, 0), -ENOSPC); /* all of it, and it is not alone */
        assert_true(all_are(tarn_ptr(seg, p->at[0], 100), 100, 6));
        assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
        assert_int_equal(tarn_heap_stats(seg, &t), 0);
        assert_int_equal(tarn_heap_stats(reader, &same), 0);
        assert_memory_equal(&t, &same, sizeof t);
        assert_int_equal(tarn_realloc_into(reader, &p->at[1], 100, 0), reader == seg ? 0 : -EROFS);
        assert_int_equal(tarn_close(reader), 0);
        assert_int_equal(tarn_close(seg), 0);
    }
}

/* The run is at the end of what is committed. Where just enough is free, it moves there; where a span is wanting, the segment grows behind it. */
static void grows_only_where_it_must(void **state)
{
    struct tarn_options o = {.size = sizeof o, .initial = 32 * 4096, .limit = 1 << 22, .span_size = 4096};
    struct tarn_heap_stats t;
    uint64_t before;
    (void)state;
    for (size_t hole = 4; hole <= 5; hole++) {
        struct places *p;
        tarn_ref was;
        tarn *seg;
        assert_int_equal(tarn_open("memfd:sizes", TARN_CREATE, &o, &seg), 0);
        assert_int_equal(tarn_object(seg, "places", struct places, &p), 0);
        assert_int_equal(tarn_alloc_into(seg, &p->at[0], hole * 4096), 0);
        assert_int_equal(tarn_alloc_into(seg, &p->at[1], 4096), 0); /* between them */
        assert_int_equal(tarn_heap_stats(seg, &t), 0);
        assert_int_equal(tarn_alloc_into(seg, &p->at[2], (t.spans_free - 4) * 4096), 0);
        assert_int_equal(tarn_alloc_into(seg, &p->at[3], 4 * 4096), 0); /* the last four */
        assert_int_equal(tarn_heap_stats(seg, &t), 0);
        assert_int_equal(t.spans_free, 0);
        before = t.spans;
        assert_int_equal(tarn_free_from(seg, &p->at[0]), 0);
        was = p->at[3];
        assert_int_equal(tarn_realloc_into(seg, &p->at[3], 5 * 4096, 0), 0);
        assert_int_equal(tarn_heap_stats(seg, &t), 0);
        assert_true((p->at[3] == was) == (hole == 4) && (t.spans > before) == (hole == 4));
        assert_int_equal(tarn_close(seg), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_to_any),
        cmocka_unit_test(same_class_stays),
        cmocka_unit_test(runs_in_place),
        cmocka_unit_test(runs_and_neighbours),
        cmocka_unit_test(adopted_runs),
        cmocka_unit_test(nothing_happens_on_failure),
        cmocka_unit_test(log_without_room_for_both),
        cmocka_unit_test(refusals),
        cmocka_unit_test(section_is_all_or_nothing),
        cmocka_unit_test(aligned_blocks),
        cmocka_unit_test(statistics),
        cmocka_unit_test(statistics_of_hostile_bytes),
        cmocka_unit_test(check_knows_who_changes_a_length),
        cmocka_unit_test(public_calls),
        cmocka_unit_test(grows_only_where_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

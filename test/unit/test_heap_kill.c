/* test_heap_kill.c - a death after every store of every heap operation, and after every store of its recovery.
 *
 * The operation runs under the processor's trap flag: after each instruction a signal handler compares the segment with its last image, and
 * keeps it if it changed. Each image is then taken for what a SIGKILL left: it is put back, participant DIES is declared dead, and
 *   - another recovers it and adopts what it left; what is reached must be as before or after one of the steps of the operation (all steps
 *     are in `legal`), and the heap's equations must hold: docs/crash-core.md C3, C5, C10;
 *   - the same, after the owner of other spans acted first: took all it could take, and allocated it;
 *   - the recovery is stepped through in turn, and the recoverer declared dead after each of its stores (of every image with TARN_SOAK set,
 *     else of some eight an operation).
 * usage: test_heap_kill [OPERATION...]. All in one process and one thread. CRASHLAB (test/crash) kills real processes, through the public calls. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_segment.h"

#include <cmocka.h> /* last: it has a macro `fail` */

#ifndef __x86_64__
int main(void)
{
    return 77; /* no trap flag here: skipped */
}
#else

enum { DIES = 1, LIVES, RECOVERS, RECOVERS_NEXT }; /* participants */
#define IMAGES 600u
#define OWN 0     /* roots: those of DIES */
#define OTHERS 64 /* of LIVES */

/* ---- stepping ---- */

struct film {
    char *image; /* IMAGES of them */
    uint32_t count;
};
static struct fake *world;
static struct film *filming;
static uint64_t film_size;

static char *image_at(const struct film *film, uint32_t i)
{
    return film->image + i * film_size;
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    struct film *film = filming;
    (void)signal;
    (void)info;
    (void)context;
    if (!film || film->count == IMAGES || memcmp(image_at(film, film->count - 1), world->seg.base, film_size) == 0)
        return;
    memcpy(image_at(film, film->count++), world->seg.base, film_size);
}

static void film_start(struct film *film)
{
    memcpy(image_at(film, 0), world->seg.base, film_size);
    film->count = 1;
    filming = film;
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}
static void film_stop(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
    filming = NULL;
}
static struct film film_make(void)
{
    struct film film = {.image = mmap(NULL, IMAGES * film_size, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)};
    assert_ptr_not_equal(film.image, MAP_FAILED);
    return film;
}

/* ---- what is legal ---- */

static uint64_t legal[64][ROOTS];
static uint32_t legals;
static bool marking;
static void mark(struct fake *f)
{
    if (marking)
        memcpy(legal[legals++], f->root, sizeof legal[0]);
}
static bool is_legal(struct fake *f)
{
    for (uint32_t i = 0; i < legals; i++)
        if (memcmp(legal[i], f->root, OTHERS * 8) == 0)
            return true;
    return false;
}

/* ---- judging ---- */

/* What LIVES may do before it notices: take all that it can, of its own spans, and hand it out. */
static void lives_acts(struct fake *f, const struct heap_cache *cache)
{
    struct self *s = &f->self[LIVES];
    f->cache[LIVES] = *cache;
    reap_all(s, &f->cache[LIVES], 1);
    for (uint32_t i = OTHERS + 32; i < ROOTS; i++)
        for (uint32_t c = 0; c < class_count(&f->seg.geometry) && !f->root[i]; c++)
            if (f->cache[LIVES].open[c] || f->cache[LIVES].class[c].used) {
                uint64_t size = class_at(&f->seg.geometry, c)->size;
                if (f->cache[LIVES].class[c].used || cache_refill(s, &f->cache[LIVES], c) == 0)
                    assert_int_equal(heap_alloc_into(s, &f->root[i], size), 0);
            }
}

/* The dead are recovered. Nothing is left half-done? */
static const char *verdict(struct fake *f, struct self *who)
{
    struct fake_count c;
    const char *fault;
    for (uint32_t i = 0; i < FAKES; i++) {
        struct record *r = record_at(&f->seg, i);
        if (r->state == RECORD_FREE && (r->journal || r->intent))
            return "a journal or intent is left";
    }
    heap_adopt(who);
    fault = fake_fault(f, NULL);
    if (fault)
        return fault;
    for (int i = 0; i < 2; i++) { /* C5 */
        reap_all(who, who->heap, 0);
        if (f->self[LIVES].id)
            reap_all(&f->self[LIVES], &f->cache[LIVES], 0);
    }
    fault = fake_fault(f, &c);
    if (fault)
        return fault;
    if (c.limbo)
        return "a block stays in limbo for ever";
    for (uint32_t i = 0; i < f->seg.geometry.spans; i++) {
        uint64_t w = span_at(&f->seg, i)->word;
        if (w && SPAN_STATE(w) == SPAN_REST) {
            uint64_t run = SPAN_ARGUMENT(w) <= i ? span_at(&f->seg, i - SPAN_ARGUMENT(w))->word : 0;
            if (SPAN_STATE(run) != SPAN_RUN || SPAN_ARGUMENT(run) <= SPAN_ARGUMENT(w))
                return "the rest of a run is left over";
        } else if (w && SPAN_OWNER(w) != who->id && SPAN_OWNER(w) != f->self[LIVES].id)
            return "a span is nobody's";
    }
    return NULL;
}

static const char *judge(struct fake *f, const char *image, const struct heap_cache *cache, bool lively)
{
    uint64_t others[ROOTS];
    struct self *who;
    memcpy(f->seg.base, image, film_size);
    fake_kill(f, DIES);
    if (lively)
        lives_acts(f, cache);
    else
        f->cache[LIVES] = *cache;
    memcpy(others, f->root, sizeof others);
    if (heap_check(&f->seg, NULL, NULL)) /* what a death left is no damage, also before it is put right */
        return "heap_check finds damage in what the dead one had in hand";
    who = fake_join(f, RECOVERS);
    if (recover(who, f->self[DIES].id) != 0)
        return "not recovered";
    if (!is_legal(f))
        return "half-done";
    if (memcmp(others + OTHERS, f->root + OTHERS, (ROOTS - OTHERS) * 8) != 0)
        return "another's refs changed";
    return verdict(f, who);
}

/* The recovery of the image, itself killed after every store. */
static const char *judge_recovery(struct fake *f, const char *image, const struct heap_cache *cache,
                                  struct film *second, uint32_t *ret_images)
{
    struct self *who;
    memcpy(f->seg.base, image, film_size);
    f->cache[LIVES] = *cache;
    fake_kill(f, DIES);
    who = fake_join(f, RECOVERS);
    film_start(second);
    recover(who, f->self[DIES].id);
    heap_adopt(who);
    film_stop();
    *ret_images += second->count;
    for (uint32_t i = 0; i < second->count; i++) {
        const char *fault;
        memcpy(f->seg.base, image_at(second, i), film_size);
        f->cache[LIVES] = *cache;
        fake_kill(f, RECOVERS);
        who = fake_join(f, RECOVERS_NEXT);
        recover_all(who);
        if (!is_legal(f))
            return "half-done, after a recoverer's death";
        if ((fault = verdict(f, who)))
            return fault;
    }
    return NULL;
}

/* ---- operations ---- */

struct operation {
    const char *name;
    void (*prepare)(struct fake *f, struct self *dies, struct self *lives);
    void (*run)(struct fake *f, struct self *dies);
};

#define MUST(call) do_must((call), #call)
static void do_must(int e, const char *what)
{
    if (e)
        fail_msg("%s: %d", what, e);
}

/* roots 0-5: blocks of DIES' spans; 6-11: of LIVES'; OTHERS on: LIVES' own */
static void blocks(struct fake *f, struct self *dies, struct self *lives)
{
    for (uint32_t i = 0; i < 6; i++) {
        MUST(heap_alloc_into(dies, &f->root[i], 400));
        MUST(heap_alloc_into(lives, &f->root[6 + i], 400));
        MUST(heap_alloc_into(lives, &f->root[OTHERS + i], 400));
    }
}
/* What it replaced last has been handed out again since. */
static void blocks_after_a_swap(struct fake *f, struct self *dies, struct self *lives)
{
    blocks(f, dies, lives);
    dies->record->swap_old = f->root[4];
}
static void allocate(struct fake *f, struct self *s)
{
    for (uint32_t i = 12; i < 15; i++, mark(f))
        MUST(heap_alloc_into(s, &f->root[i], 400 + i % 2 * 1000));
}
static void free_own(struct fake *f, struct self *s)
{
    for (uint32_t i = 0; i < 3; i++, mark(f))
        MUST(heap_free_from(s, &f->root[i], LOG_FREE));
}
static void free_others(struct fake *f, struct self *s)
{
    for (uint32_t i = 6; i < 10; i++, mark(f))
        MUST(heap_free_from(s, &f->root[i], i & 1 ? LOG_FREE : LOG_RETIRE));
}
static void retire_own(struct fake *f, struct self *s)
{
    for (uint32_t i = 0; i < 3; i++, mark(f))
        MUST(heap_free_from(s, &f->root[i], LOG_RETIRE));
}
static void replace(struct fake *f, struct self *s)
{
    struct fresh fresh;
    for (uint32_t i = 5; i < 7; i++, mark(f)) { /* an own block, another's */
        MUST(heap_pick(s, 200, &fresh));
        heap_replace(s, &fresh, &f->root[i], fresh.block, f->root[i]);
    }
    MUST(heap_pick(s, 200, &fresh));
    heap_publish(s, &fresh, &f->root[20], fresh.block);
    mark(f);
}
static void drop(struct fake *f, struct self *s)
{
    for (uint32_t i = 5; i < 7; i++, mark(f)) /* an own block, another's */
        heap_drop(s, &f->root[i], 0, f->root[i]);
}
static void runs(struct fake *f, struct self *s)
{
    MUST(heap_alloc_into(s, &f->root[12], 3 * 4096));
    mark(f);
    MUST(heap_free_from(s, &f->root[12], LOG_FREE));
    mark(f);
    MUST(heap_alloc_into(s, &f->root[13], 4096));
    mark(f);
}
static void own_and_others_runs(struct fake *f, struct self *dies, struct self *lives)
{
    MUST(heap_alloc_into(dies, &f->root[0], 2 * 4096));
    MUST(heap_alloc_into(lives, &f->root[1], 2 * 4096));
    MUST(heap_alloc_into(lives, &f->root[OTHERS], 4096));
}
static void retire_runs(struct fake *f, struct self *s)
{
    for (uint32_t i = 0; i < 2; i++, mark(f))
        MUST(heap_free_from(s, &f->root[i], LOG_RETIRE));
}
static void many_sizes(struct fake *f, struct self *s) /* new spans */
{
    for (uint32_t i = 12; i < 16; i++, mark(f))
        MUST(heap_alloc_into(s, &f->root[i], 16u << (i - 12)));
}
static void section_body(struct fake *f, struct self *s, bool with_run)
{
    uint64_t block;
    section_begin(s);
    MUST(log_save(s, offset_of(&f->seg, &f->root[30]), 2));
    MUST(heap_alloc(s, 100, true, &block));
    f->root[30] = block;
    MUST(heap_alloc_into(s, &f->root[32], with_run ? 4096 : 400));
    MUST(heap_free_from(s, &f->root[0], LOG_FREE));
    MUST(heap_free_from(s, &f->root[7], LOG_FREE));
    MUST(heap_free_from(s, &f->root[1], LOG_RETIRE));
    MUST(heap_free_from(s, &f->root[8], LOG_RETIRE));
    if (with_run)
        MUST(heap_free_from(s, &f->root[40], LOG_FREE));
}
static void section_commits(struct fake *f, struct self *s)
{
    section_body(f, s, false);
    section_commit(s);
    mark(f);
}
static void section_aborts(struct fake *f, struct self *s)
{
    section_body(f, s, false);
    section_abort(s);
    mark(f);
}
static void blocks_and_run(struct fake *f, struct self *dies, struct self *lives)
{
    blocks(f, dies, lives);
    MUST(heap_alloc_into(dies, &f->root[40], 5000));
}
static void section_with_runs(struct fake *f, struct self *s)
{
    section_body(f, s, true);
    section_commit(s);
    mark(f);
    MUST(heap_alloc_into(s, &f->root[41], 4096)); /* takes the run apart that the section freed */
    mark(f);
}
static void others_freed(struct fake *f, struct self *dies, struct self *lives)
{
    blocks(f, dies, lives);
    for (uint32_t i = 0; i < 4; i++)
        MUST(heap_free_from(lives, &f->root[i], i & 1 ? LOG_FREE : LOG_RETIRE));
    MUST(heap_alloc_into(dies, &f->root[4 + 8], 5000));
    MUST(heap_free_from(lives, &f->root[4 + 8], LOG_FREE));
}
static void reap(struct fake *f, struct self *s)
{
    reap_all(s, s->heap, 0);
    mark(f);
    MUST(heap_alloc_into(s, &f->root[0], 400));
    mark(f);
}
/* Sets R of the last block, which is free, of the span in which ref is. */
static void half_reaped(struct fake *f, uint64_t ref)
{
    const struct size_class *k = class_at(&f->seg.geometry, class_of_size(400));
    uint32_t index = (uint32_t)((ref - f->seg.geometry.zone[ZONE_DATA]) >> f->seg.geometry.span_shift),
             last = k->blocks - 1;
    assert_true(free_words(span_at(&f->seg, index))[0] >> last & 1);
    freed_bytes(&f->seg, index, k)[last] = 3;
}
/* LIVES is dead, too, and recovered: what it left is to be adopted, with all that a death leaves half-made. */
static void orphans(struct fake *f, struct self *dies, struct self *lives)
{
    struct self *then;
    uint64_t *word;
    blocks(f, dies, lives);
    MUST(heap_alloc_into(lives, &f->root[OTHERS + 20], 5000));
    MUST(heap_alloc_into(lives, &f->root[OTHERS + 21], 5000));
    MUST(heap_free_from(dies, &f->root[OTHERS + 21], LOG_FREE));
    MUST(heap_free_from(dies, &f->root[OTHERS], LOG_RETIRE));
    MUST(heap_free_from(lives, &f->root[OTHERS + 1], LOG_FREE));
    half_reaped(f, f->root[OTHERS + 5]); /* it died in a reap: F set, R not yet cleared */
    word = &span_at(&f->seg, f->seg.geometry.spans - 3)->word;
    *word = SPAN_WORD(lives->id, 0, SPAN_INIT); /* died claiming a run */
    span_at(&f->seg, f->seg.geometry.spans - 2)->word = SPAN_WORD(lives->id, 1, SPAN_REST);
    span_at(&f->seg, f->seg.geometry.spans - 1)->word = SPAN_WORD(lives->id, 0, SPAN_INIT);
    fake_kill(f, LIVES);
    then = fake_join(f, 5);
    recover(then, lives->id);
    record_at(&f->seg, 5)->state = RECORD_FREE;
    then->id = 0;
    lives->id = 0;
}
static void adopt(struct fake *f, struct self *s)
{
    heap_adopt(s);
    mark(f);
    MUST(heap_alloc_into(s, &f->root[20], 400));
    mark(f);
}
static void until_full(struct fake *f, struct self *s)
{
    int e = 0;
    for (uint32_t i = 12; !e && i < OTHERS; i++, mark(f))
        e = heap_alloc_into(s, &f->root[i], i & 1 ? 4096 : 300);
    assert_int_equal(e, -ENOSPC);
    MUST(heap_free_from(s, &f->root[13], LOG_RETIRE));
    mark(f);
    MUST(heap_alloc_into(s, &f->root[13], 4000));
    mark(f);
}
static void leave(struct fake *f, struct self *s)
{
    for (uint32_t i = 0; i < 6; i++, mark(f))
        MUST(heap_free_from(s, &f->root[i], i & 1 ? LOG_FREE : LOG_RETIRE));
    heap_leave(s);
}

/* Own and another's, freed and retired; each as long as before, or as long as after: not a ref alone. */
static void other_sizes(struct fake *f, struct self *s)
{
    for (uint32_t i = 4; i < 8; i++, mark(f))
        MUST(heap_realloc_into(s, &f->root[i], i == 5 ? 100 : 500, i & 1 ? LOG_RETIRE : LOG_FREE));
}
static void other_sizes_in_section(struct fake *f, struct self *s)
{
    section_begin(s);
    for (uint32_t i = 4; i < 8; i++)
        MUST(heap_realloc_into(s, &f->root[i], i == 5 ? 100 : 500, i & 1 ? LOG_RETIRE : LOG_FREE));
    section_commit(s);
    mark(f);
}
/* Roots do not change: that no span is lost, or in two runs, is what verdict() sees. */
static void runs_change_in_place(struct fake *f, struct self *s)
{
    MUST(heap_realloc_into(s, &f->root[0], 4 * 4096, LOG_FREE));
    MUST(heap_realloc_into(s, &f->root[0], 4096, LOG_FREE));
    mark(f);
    MUST(heap_realloc_into(s, &f->root[1], 3 * 4096, LOG_FREE)); /* another's: it moves */
    mark(f);
}
static void a_run_alone(struct fake *f, struct self *dies, struct self *lives)
{
    MUST(heap_alloc_into(lives, &f->root[1], 2 * 4096));
    MUST(heap_alloc_into(lives, &f->root[OTHERS], 4096));
    MUST(heap_alloc_into(dies, &f->root[0], 2 * 4096));
}

static const struct operation operations[] = {
    {"allocate", blocks, allocate},
    {"free own", blocks, free_own},
    {"free others'", blocks, free_others},
    {"retire own", blocks, retire_own},
    {"replace", blocks_after_a_swap, replace},
    {"drop", blocks_after_a_swap, drop},
    {"runs", blocks, runs},
    {"retire runs", own_and_others_runs, retire_runs},
    {"new spans", blocks, many_sizes},
    {"section commits", blocks, section_commits},
    {"section aborts", blocks, section_aborts},
    {"section with runs", blocks_and_run, section_with_runs},
    {"reap", others_freed, reap},
    {"adopt", orphans, adopt},
    {"until full", blocks, until_full},
    {"leave", blocks, leave},
    {"other sizes", blocks, other_sizes},
    {"other sizes, section", blocks, other_sizes_in_section},
    {"runs change in place", a_run_alone, runs_change_in_place},
};

static void prepare(const struct operation *o, struct heap_cache *ret_lives)
{
    struct fake *f = world;
    memset(f->seg.base, 0, film_size);
    memset(f->self, 0, sizeof f->self);
    header_of(&f->seg)->committed = f->seg.geometry.limit;
    participants_of(&f->seg)->epoch = 1;
    o->prepare(f, fake_join(f, DIES), fake_join(f, LIVES));
    *ret_lives = f->cache[LIVES];
}

static void step_through(const struct operation *o, struct film *first, struct film *second)
{
    struct heap_cache lives;
    struct self dies;
    uint32_t again = 0;
    uint32_t stride;
    prepare(o, &lives);
    legals = 0;
    marking = true;
    mark(world);
    o->run(world, &world->self[DIES]);
    marking = false;
    prepare(o, &lives);
    dies = world->self[DIES];
    film_start(first);
    o->run(world, &world->self[DIES]);
    film_stop();
    assert_true(first->count > 3 && first->count < IMAGES);
    stride = getenv("TARN_SOAK") ? 1 : 1 + first->count / 8; /* each trap is a signal: the recoveries of some images will do otherwise */
    for (uint32_t i = 0; i < first->count; i++) {
        const char *fault = NULL;
        for (int lively = 0; lively < 2 && !fault; lively++) {
            world->self[DIES] = dies;
            if (!lively || world->self[LIVES].id)
                fault = judge(world, image_at(first, i), &lives, lively);
        }
        world->self[DIES] = dies;
        if (!fault && i % stride == stride / 2)
            fault = judge_recovery(world, image_at(first, i), &lives, second, &again);
        if (fault)
            fail_msg("%s: image %u of %u: %s", o->name, i, first->count, fault);
    }
    print_message("%-20s %4u images, %6u of recovery\n", o->name, first->count, again);
}

static char **wanted; /* of the command line: operations; none: all */
static bool is_wanted(const char *name)
{
    for (char **w = wanted; *w; w++)
        if (!strcmp(*w, name))
            return true;
    return !*wanted;
}

static void killed_anywhere(void **state)
{
    uint32_t tried = 0;
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    struct film first, second;
    (void)state;
    world = fake_make(4096, 1 << 16);
    film_size = world->seg.geometry.end;
    first = film_make();
    second = film_make();
    sigaction(SIGTRAP, &action, NULL);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (is_wanted(operations[i].name)) {
            step_through(&operations[i], &first, &second);
            tried++;
        }
    assert_true(tried);
    munmap(first.image, IMAGES * film_size);
    munmap(second.image, IMAGES * film_size);
    fake_free(world);
}

int main(int n, char **v)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_anywhere)};
    wanted = v + (n > 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif

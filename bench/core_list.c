/* bench/core_list.c - a million members of a list, walked over the list by refs, and the same structs, in the same order, walked as an array. Both sum one
 * field of each; a member is 64 bytes. The list's members were allocated one after the other, as the array's are.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS 1000000u
#define WALKS 3u

struct member {
    uint64_t value;
    tarn_link link;
    uint64_t more[4];
};

struct walked {
    tarn *seg;
    tarn_list *list;
    struct member *array;
    uint64_t want;
};

static void check_sum(uint64_t sum, uint64_t want, const char *what)
{
    if (sum != want * WALKS)
        bench_die("core.list.walk: the %s's sum is %llu", what, (unsigned long long)sum);
}

static double list_sample(void *state)
{
    struct walked *w = state;
    uint64_t sum = 0, start = bench_now();
    for (unsigned i = 0; i < WALKS; i++) {
        struct tarn_walk walk = tarn_walk_of(w->seg);
        for (tarn_link *l = tarn_list_first(w->seg, w->list); l; l = tarn_walk_next(&walk, l))
            sum += TARN_MEMBER(l, struct member, link)->value;
    }
    uint64_t end = bench_now();
    check_sum(sum, w->want, "list");
    return (double)(end - start) / WALKS / MEMBERS;
}

static double array_sample(void *state)
{
    struct walked *w = state;
    uint64_t sum = 0, start = bench_now();
    for (unsigned i = 0; i < WALKS; i++)
        for (struct member *m = w->array; m < w->array + MEMBERS; m++)
            sum += *(volatile uint64_t *)&m->value; /* one load a member, as a list's walk has to do it */
    uint64_t end = bench_now();
    check_sum(sum, w->want, "array");
    return (double)(end - start) / WALKS / MEMBERS;
}

void core_list(void)
{
    bench_pin(0);
    struct walked w = {.seg = core_segment(128u << 20), .array = bench_shared(MEMBERS * sizeof(struct member))};
    w.list = core_block(w.seg, sizeof(tarn_list));
    for (uint64_t i = 0; i < MEMBERS; i++) {
        tarn_ref ref;
        core_good(tarn_begin(w.seg), "tarn_begin");
        core_good(tarn_alloc(w.seg, sizeof(struct member), &ref), "tarn_alloc");
        struct member *m = tarn_ptr(w.seg, ref, sizeof *m);
        m->value = w.array[i].value = bench_mix(i);
        w.want += m->value;
        core_good(tarn_list_insert_last(w.seg, w.list, &m->link), "tarn_list_insert_last");
        core_good(tarn_commit(w.seg), "tarn_commit");
    }
    struct contender me = {"tarn", list_sample, &w}, peer = {"array", array_sample, &w};
    struct outcome o;
    bench_compare("core.list.walk", "ns", &me, &peer, 1, bench_reps(15), false, &o);
    core_close(w.seg);
}

/* bench/core_section.c - a section over two words in two cache lines: begin, save and write each, commit; and libpmemobj's
 * transaction of the same, its flushing off.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#define TURNS 200000u
#define FIGURE "core.section.two_words"

struct words {
    tarn *seg;
    uint64_t *word; /* [0] and [8] */
    uint64_t count;
};

static inline int change(struct words *w, uint64_t to)
{
    int bad = tarn_begin(w->seg);
    bad |= tarn_save(w->seg, &w->word[0], 8);
    w->word[0] = to;
    bad |= tarn_save(w->seg, &w->word[8], 8);
    w->word[8] = ~to;
    return bad;
}

static double tarn_sample(void *state)
{
    struct words *w = state;
    uint64_t start = bench_now();
    for (unsigned i = 0; i < TURNS; i++) {
        int bad = change(w, ++w->count);
        bad |= tarn_commit(w->seg);
        if (__builtin_expect(bad, 0))
            core_good(bad, "a section");
    }
    uint64_t end = bench_now();
    core_good(change(w, 1), "a section"); /* is it a section at all? */
    core_good(tarn_abort(w->seg), "tarn_abort");
    if (w->word[0] != w->count || w->word[8] != ~w->count)
        bench_die("a section did not commit, or undo, as it should");
    return (double)(end - start) / TURNS;
}

static double pmemobj_sample(void *state)
{
    uint64_t start = bench_now();
    peer_pmemobj_run(state, TURNS);
    return (double)(bench_now() - start) / TURNS;
}

void core_section(void)
{
    bench_pin(0);
    struct words words = {.seg = core_segment(1 << 20)};
    words.word = core_block(words.seg, 128);
    struct contender me = {"tarn", tarn_sample, &words}, peer = {"pmemobj", pmemobj_sample, peer_pmemobj_open()};
    struct outcome o;
    bench_pairs(FIGURE, &me, &peer, 1, bench_reps(15), false, &o);
    bench_print(FIGURE "_ns", o.ours, "ns");
    bench_note(FIGURE ": pmemobj %.4g ns", o.peer[0]);
    bench_print_ratio(FIGURE, "pmemobj", o.ratio[0], o.spread[0]);
    peer_pmemobj_close(peer.state);
    core_close(words.seg);
}

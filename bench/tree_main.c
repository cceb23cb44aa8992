/* bench/tree_main.c - bench-tree: tarn's tree beside ordered maps of private memory, one that processes share under a mutex, and LMDB.
 *
 * insert: from empty, growing, in pages that are there. scan100: seek, then 100 entries, an entry; walk: all in order, an entry. hit2/one: the
 * rate of two processes that look up over that of one. How memory is prepared, and what is looked up: table.h. The limit is no peer: see
 * tree_limit.cc.
 *
 * Only tarn.h is used, and the shared library.
 *
 * SPDX-License-Identifier: MIT */
#include "tables.h"

static const char *const figures[] = {
    "tree.u64_10m.insert",  "tree.u64_10m.hit",
    "tree.u64_10m.miss",    "tree.u64_10m.scan100",
    "tree.u64_10m.walk",    "tree.u64_10m.erase",
    "tree.u64_10m.hit2",    "tree.u64_10m.hit_instructions",
    "tree.str_1m.insert",   "tree.str_1m.hit",
    "tree.str_1m.miss",     "tree.str_1m.erase",
    "tree.bytes_per_entry", NULL,
};

#define PREFIX "tree.u64_10m"

/* With nothing of size in private memory yet: forks copy no pages. */
static void two_processes(const struct keys *keys)
{
    if (!bench_wanted_itself(PREFIX ".hit2"))
        return;
    struct table_sides sides = {.kind = &tarn_tree_numbers, .keys = keys, .table = tarn_tree_numbers.open(keys->n)};
    tarn_tree_numbers.insert(sides.table, keys->key, keys->n);
    sides.base = tarn_table_sight(sides.table, &sides.size);
    table_two(PREFIX ".hit2", &sides, false, bench_reps(9));
    tarn_tree_numbers.close(sides.table);
}

int main(int argc, char **argv)
{
    const struct table_kind *ours = &tarn_tree_numbers;
    bench_start(argc, argv, "tree", figures);
    bench_watchdog(2400);
    bench_pin(0);
    size_t n = bench_entries(10000000, 1000000), texts_n = n < 1000000 ? n : 1000000;
    table_rename("tree.", "u64_", 10000000, n);
    table_rename("tree.", "str_", 1000000, texts_n);
    if (bench_wanted(PREFIX) || bench_wanted_itself("tree.bytes_per_entry")) {
        struct keys keys;
        keys_make(&keys, n, true);
        two_processes(&keys);
        table_compare(PREFIX, ours, &peer_absl_tree, &keys, bench_reps(3), true);
        table_compare(PREFIX, ours, &peer_lmdb_numbers, &keys, 1, false);
        table_compare(PREFIX, ours, &limit_tree_numbers, &keys, 1, false);
        table_compare(PREFIX, ours, &peer_boost_tree, &keys, 1, false);
        table_compare(PREFIX, ours, &peer_std_tree, &keys, 1, false);
        if (bench_wanted_itself("tree.bytes_per_entry"))
            table_compare_bytes("tree.bytes_per_entry", tarn_tree_committed(&keys), &peer_absl_tree, &keys);
        if (bench_wanted_itself(PREFIX ".hit_instructions"))
            table_compare_instructions(PREFIX ".hit_instructions", ours, &peer_absl_tree, &keys);
        keys_free(&keys);
    }
    if (bench_wanted("tree.str_1m")) {
        static const struct text_kind *const peers[] = {&peer_lmdb_texts, &peer_absl_tree_texts};
        struct texts texts;
        texts_make(&texts, texts_n);
        text_compare("tree.str_1m", &tarn_tree_texts, peers, 2, &texts, bench_reps(3), NULL);
        texts_free(&texts);
    }
    return 0;
}

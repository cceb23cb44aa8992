/* bench/map_main.c - bench-map: tarn's map beside hash maps of private memory, and beside one that processes share.
 *
 * insert: from empty, growing, in pages that are there. hit, miss, erase: see table.h. hit2/one, write2/one: the rate of two processes over that
 * of one; a writer puts keys again, erases others, and puts those back, one of each in turn. insert_max_us: the longest insertion, interrupts
 * of its cpu included. insert_max_lines: the most cache lines of the segment that one insertion
 * touches, growth included, counted in an instrumented build (map_lines.c). hit_instructions: by single steps; hit_lines: cache lines of
 * the segment, in the mean. A hit waits for those of its lines whose address came from another one: what these are is an argument, and
 * in docs/map.md. best_private: the quickest, in this run, of std, glib and absl. The limit is no peer: see map_limit.cc.
 *
 * Only tarn.h is used, and the shared library.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const figures[] = {
    "map.u64_10m.insert",        "map.u64_10m.hit",
    "map.u64_10m.miss",          "map.u64_10m.erase",
    "map.u64_10m.hit2",          "map.u64_10m.write2",
    "map.u64_10m.insert_max_us", "map.u64_10m.insert_max_lines",
    "map.u64_10m.hit_lines",     "map.u64_10m.hit_instructions",
    "map.str_1m.insert",         "map.str_1m.hit",
    "map.str_1m.miss",           "map.str_1m.erase",
    "map.bytes_per_entry",       NULL,
};

#define PREFIX "map.u64_10m"

/* Two numbers from the instrumented program that lies beside this one. */
static void lines(size_t n)
{
    char path[4096], entries[32], answer[256] = "";
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 32);
    double most, mean;
    int pipe_of[2];
    if (size <= 0 || pipe(pipe_of))
        bench_die("cannot find the own program, or no pipe");
    path[size] = 0;
    strcpy(strrchr(path, '/') + 1, "lines-map");
    snprintf(entries, sizeof entries, "%zu", n);
    pid_t child = bench_fork();
    if (child == 0) {
        dup2(pipe_of[1], 1);
        execl(path, path, entries, (char *)NULL);
        bench_die("cannot run %s", path);
    }
    close(pipe_of[1]);
    size = read(pipe_of[0], answer, sizeof answer - 1);
    close(pipe_of[0]);
    bench_join(child, 0, "lines-map");
    if (size <= 0 || sscanf(answer, "%lf %lf", &most, &mean) != 2)
        bench_die("lines-map says: %s", answer);
    bench_print(PREFIX ".insert_max_lines", most, "lines");
    bench_print(PREFIX ".hit_lines", mean, "lines");
}

/* With nothing of size in private memory yet: forks copy no pages. */
static void two_processes(const struct keys *keys)
{
    if (!bench_wanted_itself(PREFIX ".hit2") && !bench_wanted_itself(PREFIX ".write2"))
        return;
    struct table_sides sides = {.kind = &tarn_map_numbers, .keys = keys, .table = tarn_map_numbers.open(keys->n)};
    tarn_map_numbers.insert(sides.table, keys->key, keys->n);
    sides.base = tarn_table_sight(sides.table, &sides.size);
    table_two(PREFIX ".hit2", &sides, false, bench_reps(9));
    table_two(PREFIX ".write2", &sides, true, bench_reps(9));
    tarn_map_numbers.close(sides.table);
}

static void compare_numbers(const struct keys *keys)
{
    const struct table_kind *ours = &tarn_map_numbers;
    table_compare(PREFIX, ours, &peer_absl_map, keys, bench_reps(3), true);
    table_compare(PREFIX, ours, &limit_map_numbers, keys, 1, false);
    table_compare(PREFIX, ours, &peer_boost_hash, keys, 1, false);
    table_compare(PREFIX, ours, &peer_glib_hash, keys, 1, false);
    table_compare(PREFIX, ours, &peer_std_hash, keys, 1, false);
    if (bench_wanted_itself("map.bytes_per_entry"))
        table_compare_bytes("map.bytes_per_entry", tarn_map_committed(keys), &peer_absl_map, keys);
    if (bench_wanted_itself(PREFIX ".insert_max_us")) {
        double usual, usual_absl, most = table_longest(ours, keys, &usual);
        double most_absl = table_longest(&peer_absl_map, keys, &usual_absl);
        bench_print(PREFIX ".insert_max_us", most, "us");
        bench_note(PREFIX ".insert_max_us: absl %.4g us; 9,999 of 10,000 take %.4g us or less, absl's %.4g",
                   most_absl, usual, usual_absl);
        bench_print_ratio(PREFIX ".insert_max_us", "absl", most / most_absl, 0);
    }
    if (bench_wanted_itself(PREFIX ".hit_instructions"))
        table_compare_instructions(PREFIX ".hit_instructions", ours, &peer_absl_map, keys);
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "map", figures);
    bench_watchdog(2400);
    bench_pin(0);
    size_t n = bench_entries(10000000, 1000000), texts_n = n < 1000000 ? n : 1000000;
    table_rename("map.", "u64_", 10000000, n);
    table_rename("map.", "str_", 1000000, texts_n);
    if (bench_wanted_itself(PREFIX ".insert_max_lines") || bench_wanted_itself(PREFIX ".hit_lines"))
        lines(n);
    if (bench_wanted(PREFIX) || bench_wanted_itself("map.bytes_per_entry")) {
        struct keys keys;
        keys_make(&keys, n, false);
        two_processes(&keys);
        compare_numbers(&keys);
        keys_free(&keys);
    }
    if (bench_wanted("map.str_1m")) {
        static const struct text_kind *const peers[] = {&peer_std_hash_texts, &peer_glib_hash_texts,
                                                        &peer_absl_map_texts, &limit_map_texts};
        struct texts texts;
        texts_make(&texts, texts_n);
        text_compare("map.str_1m", &tarn_map_texts, peers, 4, &texts, bench_reps(3), "best_private");
        texts_free(&texts);
    }
    return 0;
}

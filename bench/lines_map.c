/* bench/lines_map.c - lines-map ENTRIES: cache lines of the segment that tarn's map touches. Prints the most that one insertion touches, and how
 * many a look-up that hits does in the mean; bench-map runs it. Lines of the participant's record, of the heap and of locks count as those of
 * the map do.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "lines/lines.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static const char *const figures[] = {"lines", NULL};

struct tally {
    uint64_t of[10000];
    uint64_t all, n;
    unsigned most;
};
static void tally(struct tally *t)
{
    unsigned taken = lines_taken();
    t->most = taken > t->most ? taken : t->most;
    t->all += taken;
    t->n++;
    t->of[taken < 10000 ? taken : 9999]++;
}
static void tell(const struct tally *t, const char *what)
{
    uint64_t below = 0;
    unsigned p999 = 0;
    while (p999 < 9999 && (below += t->of[p999]) * 1000 < t->n * 999)
        p999++;
    bench_note("%s: %.4g lines in the mean, %u or fewer in 999 of 1,000, at most %u", what,
               (double)t->all / (double)t->n, p999, t->most);
}

int main(int argc, char **argv)
{
    static struct tally insert, hit, miss, erase;
    struct keys keys;
    tarn_map *map;
    struct tarn_stat st;
    size_t n = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    bench_start(1, argv, "lines-map", figures);
    bench_watchdog(1200);
    if (n < 1000)
        bench_die("usage: lines-map ENTRIES");
    if (!lines_counted())
        bench_die("a probe that touches %u lines is counted as %u", PROBE_LINES, lines_taken());
    keys_make(&keys, n, false);
    tarn *seg = core_segment(n * 64 + (4u << 20));
    core_good(tarn_stat(seg, &st), "tarn_stat");
    core_good(tarn_map_open(seg, "bench", TARN_CREATE | TARN_MAP_U64, &map), "tarn_map_open");
    if (!lines_watch(tarn_base(seg), st.limit))
        bench_die("no memory for the lines of %llu bytes", (unsigned long long)st.limit);
    for (size_t i = 0; i < n; i++) {
        lines_mark();
        core_good(tarn_map_put64(map, keys.key[i], table_value(keys.key[i])), "tarn_map_put64");
        tally(&insert);
    }
    uint64_t value, sum = 0, count;
    for (size_t i = 0; i < keys.looks; i++) {
        lines_mark();
        core_good(tarn_map_get64(map, keys.look[i], &value), "tarn_map_get64");
        tally(&hit);
        sum += value;
        lines_mark();
        if (tarn_map_get64(map, keys.other[i], &value) == 0)
            bench_die("found a key that was never put in");
        tally(&miss);
    }
    core_good(tarn_map_count(map, &count), "tarn_map_count");
    if (sum != keys.sum[keys.looks] || count != n)
        bench_die("%llu entries, or other values", (unsigned long long)count);
    for (size_t i = 0; i < keys.looks; i++) {
        lines_mark();
        core_good(tarn_map_remove64(map, keys.look[i]), "tarn_map_remove64");
        tally(&erase);
    }
    tell(&insert, "insert");
    tell(&hit, "hit");
    tell(&miss, "miss");
    tell(&erase, "erase");
    printf("%u %.4f\n", insert.most, (double)hit.all / (double)hit.n);
    tarn_map_close(map);
    core_close(seg);
    keys_free(&keys);
    return 0;
}

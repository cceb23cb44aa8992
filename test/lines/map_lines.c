/* map_lines.c - how many cache lines one insert into a map touches: at most so many, growth included. usage: map_lines [ENTRIES]
 *
 * What is counted (lines.h) are the distinct lines of the segment (map, heap, side tables, the participant's record and log) that the library's own code
 * read or wrote in one tarn_map_put64. Not counted: private memory, what the kernel touches, and what the library would touch by wider
 * instructions (here it compares tags eight at a time, in the same lines). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lines.h"
#include "tarn.h"

#define MOST 1024u /* lines that one insert may touch */

static int die(const char *what)
{
    fprintf(stderr, "map_lines: %s: %s\n", what, tarn_error());
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000, sum = 0, x = 88172645463325252ull, v;
    unsigned most = 0;
    struct tarn_options o = {.size = sizeof o, .limit = (entries * 64 + (64 << 20)) >> 20 << 20};
    struct tarn_stat st;
    tarn *seg;
    tarn_map *map;
    alarm(3000);
    if (!lines_counted()) {
        fprintf(stderr, "map_lines: a probe that touches %u lines is counted as %u\n", PROBE_LINES, lines_taken());
        return 1;
    }
    if (tarn_open("anon:", TARN_CREATE, &o, &seg) < 0 ||
        tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &map) < 0 || tarn_stat(seg, &st) < 0)
        return die("cannot make a map");
    if (!lines_watch(tarn_base(seg), st.limit))
        return die("no memory");
    for (uint64_t i = 0; i < entries; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        lines_mark();
        if (tarn_map_put64(map, x, i) < 0)
            return die("tarn_map_put64");
        most = lines_taken() > most ? lines_taken() : most;
        sum += lines_taken();
    }
    if (tarn_map_count(map, &v) < 0 || v != entries || sum < 4 * entries)
        return die("the entries, or the lines, are not all there");
    printf("map.u64.insert_max_lines %u lines\nmap.u64.insert_mean_lines %.1f lines\n", most,
           (double)sum / (double)entries);
    tarn_map_close(map);
    tarn_close(seg);
    return most > MOST;
}

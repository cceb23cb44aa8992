/* operations_map.c - what CRASHLAB steps through of the map: each call, in a section and alone, and what happens to its structure. */
#include <errno.h>
#include <string.h>

#include "collection/map.h"
#include "operations.h"

/* ---- maps ---- */
static void put(struct lab *l, const char *key, const char *value)
{
    MUST(tarn_map_put(l->map, key, strlen(key), value, strlen(value)));
}
static void map_put(struct lab *l)
{
    put(l, "one", "1");
    mark(l);
    put(l, "one", "another value, of another size");
    mark(l);
    put(l, "two", "2");
}
static void entries(struct lab *l)
{
    uint64_t sum;
    put(l, "one", "1");
    put(l, "two", "2");
    MUST(tarn_map_add(l->map, "sum", 3, 5, &sum));
    MUST(tarn_map_put64(l->numbers, 1, 10));
    MUST(tarn_map_put64(l->numbers, 2, 20));
}
static void map_change(struct lab *l)
{
    uint64_t sum;
    MUST(tarn_map_remove(l->map, "one", 3));
    mark(l);
    MUST(tarn_map_add(l->map, "sum", 3, 6, &sum));
    mark(l);
    MUST(tarn_map_add64(l->numbers, 1, 7, &sum));
    mark(l);
    MUST(tarn_map_put64(l->numbers, 3, 30));
    mark(l);
    MUST(tarn_map_remove64(l->numbers, 2));
}
static void map_section(struct lab *l)
{
    uint64_t sum;
    MUST(tarn_begin(SEG));
    MUST(tarn_map_remove(l->map, "one", 3));
    put(l, "three", "3");
    MUST(tarn_map_add(l->map, "sum", 3, 6, &sum));
    MUST(tarn_map_add64(l->numbers, 1, 7, &sum));
    MUST(tarn_map_put64(l->numbers, 3, 30));
    set(l, 0, 1);
}
static void map_commit(struct lab *l)
{
    map_section(l);
    MUST(tarn_commit(SEG));
}
static void map_abort(struct lab *l)
{
    map_section(l);
    MUST(tarn_abort(SEG));
}
/* ---- structure ---- */

/* The next number from *i on whose hash has these low bits, and is of part 0. */
static uint64_t next_number(struct lab *l, uint64_t *i, uint64_t mask)
{
    for (;; ++*i) {
        uint64_t hash = hash_number(l->numbers->seed, l->numbers->multiplier, *i);
        if (!(hash & mask) && part_of(hash) == 0)
            return (*i)++;
    }
}
static uint64_t fill_part(struct lab *l, unsigned keys, uint64_t mask)
{
    uint64_t i = 0;
    while (keys--) {
        uint64_t k = next_number(l, &i, mask);
        MUST(tarn_map_put64(l->numbers, k, k));
    }
    return i;
}
/* As full as a part can be: the next number of that part splits the bucket. */
static void full_part(struct lab *l)
{
    fill_part(l, MAP_SLOTS, 0);
}
static uint64_t beyond(struct lab *l)
{
    uint64_t i = 0;
    for (unsigned n = 0; n < MAP_SLOTS; n++)
        next_number(l, &i, 0);
    return i;
}
static void split_alone(struct lab *l)
{
    uint64_t i = beyond(l), k;
    k = next_number(l, &i, 0);
    MUST(tarn_map_put64(l->numbers, k, k));
    mark(l);
    k = next_number(l, &i, 0);
    MUST(tarn_map_put64(l->numbers, k, k));
}
/* In a section that has not written in the bucket yet. */
static void split_in_section(struct lab *l)
{
    uint64_t i = beyond(l), k = next_number(l, &i, 0);
    MUST(tarn_begin(SEG));
    MUST(tarn_map_put64(l->numbers, k, k));
    MUST(tarn_map_remove64(l->numbers, k));
    k = next_number(l, &i, 0);
    MUST(tarn_map_put64(l->numbers, k, k));
    MUST(tarn_abort(SEG));
}
/* The section has written in the bucket before its part is full: it chains a bucket, and its undo leaves that empty. Then a put of one key retires it, and one
 * that finds the part full splits. */
static void map_overflow(struct lab *l)
{
    uint64_t i = beyond(l), j = 0, k = next_number(l, &j, 0);
    MUST(tarn_begin(SEG));
    MUST(tarn_map_put64(l->numbers, k, 1));
    k = next_number(l, &i, 0);
    MUST(tarn_map_put64(l->numbers, k, k));
    MUST(tarn_map_remove64(l->numbers, k));
    MUST(tarn_map_put64(l->numbers, k, k + 1));
    MUST(tarn_abort(SEG));
    MUST(tarn_map_put64(l->numbers, next_number(l, &j, 0), 1));
}
static void chained(struct lab *l)
{
    uint64_t i = beyond(l), j = 0;
    full_part(l);
    MUST(tarn_begin(SEG));
    MUST(tarn_map_put64(l->numbers, next_number(l, &j, 0), 1));
    for (int n = 0; n < 3; n++) {
        uint64_t k = next_number(l, &i, 0);
        MUST(tarn_map_put64(l->numbers, k, k));
    }
    MUST(tarn_commit(SEG));
}
/* A bucket with a chain is split, the chain folded into it, and then retired. */
static void map_fold(struct lab *l)
{
    uint64_t i = beyond(l), j = 0;
    for (int n = 0; n < 3; n++)
        next_number(l, &i, 0);
    MUST(tarn_map_put64(l->numbers, next_number(l, &i, 0), 1));
    mark(l);
    MUST(tarn_map_put64(l->numbers, next_number(l, &j, 0), 1));
}
/* Numbers that agree in six bits: splits one after the other, a chain, spare buckets for what moves, a segment of the directory. */
static void alike(struct lab *l)
{
    fill_part(l, MAP_SLOTS + 1, 0x3f);
}
static void map_deep(struct lab *l)
{
    uint64_t i = 0, k;
    for (unsigned n = 0; n < MAP_SLOTS + 1; n++)
        next_number(l, &i, 0x3f);
    for (int n = 0; n < 2; n++) {
        k = next_number(l, &i, 0x3f);
        MUST(tarn_map_put64(l->numbers, k, k));
        mark(l);
    }
}
/* As many in the sibling as do not fit without a chain of its own. */
static void alike_and_set(struct lab *l)
{
    uint64_t i = 0, n = 0, hash;
    MUST(tarn_begin(SEG));
    for (; n < MAP_SLOTS + 4; i++) {
        hash = hash_number(l->numbers->seed, l->numbers->multiplier, i);
        if (n && (!(hash & 1) || part_of(hash)))
            continue; /* the first is written, whatever it is, so the bucket is not split */
        MUST(tarn_map_put64(l->numbers, i, i));
        n++;
    }
    MUST(tarn_commit(SEG));
}
static void map_spare(struct lab *l)
{
    uint64_t i = 100000, hash;
    do
        hash = hash_number(l->numbers->seed, l->numbers->multiplier, ++i);
    while (!(hash & 1) || part_of(hash));
    MUST(tarn_map_put64(l->numbers, i, i));
}

/* ---- a quarter of a part is full ---- */

static uint64_t next_of_quarter(struct lab *l, uint64_t *i)
{
    for (;;) {
        uint64_t k = next_number(l, i, 0);
        if (quarter_of(hash_number(l->numbers->seed, l->numbers->multiplier, k)) == 0)
            return k;
    }
}
static void full_quarter(struct lab *l)
{
    uint64_t i = 0;
    for (unsigned n = 0; n < MAP_QUARTER; n++) {
        uint64_t k = next_of_quarter(l, &i);
        MUST(tarn_map_put64(l->numbers, k, k));
    }
}
/* The next ones stand in another, and its head says so: alone, and in a section. */
static void map_away(struct lab *l)
{
    uint64_t i = 0, k;
    for (unsigned n = 0; n < MAP_QUARTER; n++)
        next_of_quarter(l, &i);
    k = next_of_quarter(l, &i);
    MUST(tarn_map_put64(l->numbers, k, k));
    mark(l);
    MUST(tarn_map_remove64(l->numbers, k));
    mark(l);
    k = next_of_quarter(l, &i);
    MUST(tarn_begin(SEG));
    MUST(tarn_map_put64(l->numbers, k, k));
    MUST(tarn_commit(SEG));
}

/* ---- other calls ---- */

static void map_conditional(struct lab *l)
{
    int made;
    char value[16];
    uint64_t v;
    MUST(tarn_map_insert(l->map, "new", 3, "1", 1));
    mark(l);
    MUST_BE(-EEXIST, tarn_map_insert(l->map, "new", 3, "2", 1));
    MUST(tarn_map_replace(l->map, "one", 3, "of another size", 15));
    mark(l);
    MUST_BE(-ENOENT, tarn_map_replace(l->map, "none", 4, "2", 1));
    MUST(tarn_map_replace_if(l->map, "two", 3, "2", 1, "also of another size", 20));
    mark(l);
    MUST(tarn_map_find_or_make(l->map, "made", 4, 12, value, sizeof value, NULL, &made));
    mark(l);
    MUST(tarn_map_insert64(l->numbers, 3, 30));
    mark(l);
    MUST(tarn_map_replace64(l->numbers, 1, 11));
    mark(l);
    MUST(tarn_map_replace_if64(l->numbers, 2, 20, 21));
    mark(l);
    MUST(tarn_map_find_or_make64(l->numbers, 4, &v, &made));
}
static void map_many(struct lab *l)
{
    static const uint64_t keys[] = {3, 4, 5}, values[] = {30, 40, 50};
    static const struct tarn_map_pair pairs[] = {{"a", 1, "1", 1}, {"b", 1, "2", 1}};
    MUST(tarn_begin(SEG));
    MUST(tarn_map_put_many64(l->numbers, keys, values, 3, NULL));
    MUST(tarn_map_put_many(l->map, pairs, 2, NULL));
    MUST(tarn_commit(SEG));
    mark(l);
    MUST(tarn_map_put_many64(l->numbers, values, keys, 1, NULL));
    mark(l);
    MUST(tarn_map_put_many(l->map, &pairs[1], 1, NULL));
}
static void map_make(struct lab *l)
{
    tarn_map *map;
    MUST(tarn_map_open(SEG, "third", TARN_CREATE, &map));
    tarn_map_close(map);
}

const struct operation map_operations[] = {
    {"map put", OP_MAPS, NULL, NULL, map_put},
    {"map change", OP_MAPS, entries, NULL, map_change},
    {"map section commit", OP_MAPS, entries, NULL, map_commit},
    {"map section abort", OP_MAPS, entries, NULL, map_abort},
    {"map split", OP_MAPS | OP_FEW, full_part, NULL, split_alone},
    {"map split in a section", OP_MAPS | OP_FEW, full_part, NULL, split_in_section},
    {"map overflow", OP_MAPS | OP_FEW, full_part, NULL, map_overflow},
    {"map fold", OP_MAPS | OP_FEW, chained, NULL, map_fold},
    {"map deep", OP_MAPS | OP_FEW, alike, NULL, map_deep},
    {"map spare", OP_MAPS | OP_FEW, alike_and_set, NULL, map_spare},
    {"map away", OP_MAPS | OP_FEW, full_quarter, NULL, map_away},
    {"map conditional", OP_MAPS | OP_FEW, entries, NULL, map_conditional},
    {"map many", OP_MAPS | OP_FEW, entries, NULL, map_many},
    {"map make", OP_MAPS | OP_FEW, NULL, NULL, map_make},
    {0},
};

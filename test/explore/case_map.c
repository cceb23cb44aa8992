/* case_map.c - the map: readers take no lock and see values whole; writers exclude each other; a split loses nothing. */
#include "collection/map.h"
#include "explore.h"

static tarn_map *map[PEOPLE + 1], *numbers[PEOPLE + 1];

static void make(void)
{
    MUST(tarn_map_open(seg_of(DRIVER), "map", TARN_CREATE, &map[DRIVER]));
    MUST(tarn_map_open(seg_of(DRIVER), "numbers", TARN_CREATE | TARN_MAP_U64, &numbers[DRIVER]));
    MUST(tarn_map_put64(numbers[DRIVER], 1, 10));
    MUST(tarn_map_put(map[DRIVER], "key", 3, "aaaaaaaaaaaaaaaa", 16));
}
static void open_it(int p)
{
    MUST(tarn_map_open(seg_of(p), "map", 0, &map[p]));
    MUST(tarn_map_open(seg_of(p), "numbers", TARN_MAP_U64, &numbers[p]));
}

static void add_and_put(int p)
{
    MUST(tarn_map_add64(numbers[p], 1, 1, NULL));
    ghost[p] = 1;
}
static const char *sum_is_right(void)
{
    uint64_t v = 0, least = 10 + ghost[0] + ghost[1];
    if (tarn_map_get64(numbers[DRIVER], 1, &v))
        return "an entry is gone";
    return v == least || (anyone_died() && v == least + 1) ? NULL : "an addition was lost";
}

/* 0 replaces the value, 1 reads it. */
static void put_and_get(int p)
{
    char v[32];
    size_t n = 0;
    if (p == 0) {
        MUST(tarn_map_put(map[p], "key", 3, "bbbbbbbbbbbbbbbb", 16));
        return;
    }
    must_be(tarn_map_get(map[p], "key", 3, v, sizeof v, &n) == 0 && n == 16,
            "a key was not found that was there all the time");
    for (size_t i = 1; i < n; i++)
        must_be(v[i] == v[0], "a torn value");
}
static const char *value_is_whole(void)
{
    char v[32];
    size_t n = 0;
    if (tarn_map_get(map[DRIVER], "key", 3, v, sizeof v, &n) || n != 16)
        return "an entry is gone";
    if (!memcmp(v, "bbbbbbbbbbbbbbbb", 16) || (!memcmp(v, "aaaaaaaaaaaaaaaa", 16) && died(0)))
        return NULL;
    return "a value is torn, or was not put";
}

/* 0 removes a key and puts another, 1 puts a third. */
static void remove_and_put(int p)
{
    if (p == 0)
        MUST(tarn_map_remove64(numbers[p], 1));
    else
        MUST(tarn_map_put64(numbers[p], 2, 20));
    ghost[p] = 1;
}
static const char *removed_and_put(void)
{
    uint64_t v = 0, n = 0;
    int one = tarn_map_get64(numbers[DRIVER], 1, &v), two = tarn_map_get64(numbers[DRIVER], 2, &v);
    if ((ghost[0] && one != -ENOENT) || (ghost[1] && (two || v != 20)))
        return "a change of a map was lost";
    if ((!died(0) && one != -ENOENT) || (!died(1) && two))
        return "a change of a map was not made";
    if (tarn_map_count(numbers[DRIVER], &n) || n != (uint64_t)(one == 0) + (two == 0))
        return "a map's entries are not those that are found";
    return NULL;
}

/* As many numbers as the first bucket holds: the next one splits it. */
static uint64_t full;
static void make_full(void)
{
    tarn_map *scratch;
    MUST(tarn_map_open(seg_of(DRIVER), "scratch", TARN_CREATE | TARN_MAP_U64, &scratch));
    make();
    for (full = 0; scratch->map->depth == 0; full++) /* it has the same seed */
        MUST(tarn_map_put64(scratch, full + 2, full));
    full--;
    MUST(tarn_map_remove64(numbers[DRIVER], 1));
    for (uint64_t i = 0; i < full; i++)
        MUST(tarn_map_put64(numbers[DRIVER], i + 2, i));
    must_be(numbers[DRIVER]->map->depth == 0, "the map was split before its time");
}
static void split_and_get(int p)
{
    uint64_t v;
    if (p == 0) {
        MUST(tarn_map_put64(numbers[p], full + 2, full));
        ghost[p] = 1;
        return;
    }
    for (uint64_t i = 0; i < 3; i++)
        must_be(tarn_map_get64(numbers[p], i + 2, &v) == 0 && v == i,
                "a key was not found that was there all the time");
}
static void split_and_put(int p)
{
    if (p == 0)
        split_and_get(p);
    else
        MUST(tarn_map_put64(numbers[p], 2, 0));
}
static const char *all_there(void)
{
    uint64_t v, n;
    for (uint64_t i = 0; i < full; i++)
        if (tarn_map_get64(numbers[DRIVER], i + 2, &v) || v != i)
            return "a split lost an entry";
    if (ghost[0] && (tarn_map_get64(numbers[DRIVER], full + 2, &v) || v != full))
        return "an entry was lost";
    if (tarn_map_count(numbers[DRIVER], &n) || n < full || n > full + 1 || (!died(0) && n != full + 1))
        return "a split shows an entry twice, or not at all";
    return died(0) || numbers[DRIVER]->map->depth == 1 ? NULL : "no split was made";
}

/* Both make it, unless it is there. */
static void both_make(int p)
{
    uint64_t v = 9;
    int made = 7;
    MUST(tarn_map_find_or_make64(numbers[p], 5, &v, &made));
    must_be(v == 0 && (made == 0 || made == 1), "what was made is not zero");
    ghost[p] = 1 + (uint64_t)made;
}
static const char *made_once(void)
{
    uint64_t v = 9, made = (ghost[0] == 2) + (ghost[1] == 2);
    int e = tarn_map_get64(numbers[DRIVER], 5, &v);
    if ((ghost[0] || ghost[1]) && (e || v))
        return "what was made is not there";
    return made > 1 || (!made && !anyone_died()) ? "it was made twice, or by nobody" : NULL;
}

/* ---- a slot is stored over while somebody reads it ---- */

/* Two numbers of one part, one quarter and one tag, and with the map's first bucket empty but for them: they follow each other in one slot. */
static uint64_t other;
static void make_alike(void)
{
    make();
    const tarn_map *m = numbers[DRIVER];
    uint64_t first = hash_number(m->seed, m->multiplier, 1), hash;
    other = 1;
    do
        hash = hash_number(m->seed, m->multiplier, ++other);
    while (hash >> 52 != first >> 52);
}
/* Where no load takes both words of a slot at once. */
static void make_halves(void)
{
    map_pairs_whole = false;
    make_alike();
}
static void make_whole(void)
{
    map_pairs_whole = true;
    make_alike();
}
static void look_at_both(int p)
{
    uint64_t v = 0;
    int e = tarn_map_get64(numbers[p], 1, &v);
    must_be(e == -ENOENT || v == 10 || v == 11, "a number has another number's value");
    e = tarn_map_get64(numbers[p], other, &v);
    must_be(e == -ENOENT || v == 20, "a number has another number's value");
}
static void reuse_and_get(int p)
{
    if (p == 1) {
        look_at_both(p);
        return;
    }
    MUST(tarn_map_remove64(numbers[p], 1));
    MUST(tarn_map_put64(numbers[p], other, 20));
    MUST(tarn_map_remove64(numbers[p], other));
    MUST(tarn_map_put64(numbers[p], 1, 11));
    ghost[p] = 1;
}
static const char *reused(void)
{
    uint64_t v = 0, n = 0;
    int one = tarn_map_get64(numbers[DRIVER], 1, &v), two;
    if (ghost[0] && (one || v != 11))
        return "a number that was put is not there";
    if (one == 0 && v != 10 && v != 11)
        return "a number has another number's value";
    two = tarn_map_get64(numbers[DRIVER], other, &v);
    if (two == 0 && (v != 20 || one == 0))
        return "two numbers are in one slot";
    return tarn_map_count(numbers[DRIVER], &n) || n != (uint64_t)(one == 0) + (two == 0)
               ? "a slot is counted that is free"
               : NULL;
}
/* 0 removes a number and puts it again, into the same slot; what 1 has seen of that is so from then on, whoever dies. */
static void remake_and_get(int p)
{
    uint64_t v = 0;
    if (p == 0) {
        MUST(tarn_map_remove64(numbers[p], 1));
        MUST(tarn_map_put64(numbers[p], 1, 11));
        return;
    }
    if (tarn_map_get64(numbers[p], 1, &v) == 0) {
        must_be(v == 10 || v == 11, "a number has a value that it never had");
        ghost[p] = v == 11;
    }
}
static const char *remade(void)
{
    uint64_t v = 0;
    int e = tarn_map_get64(numbers[DRIVER], 1, &v);
    return ghost[1] && (e || v != 11) ? "a reader has seen what was not put" : NULL;
}
/* In a section, which is undone: what is in the slot is put back. */
static void undo_and_get(int p)
{
    if (p == 1) {
        look_at_both(p);
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    MUST(tarn_map_remove64(numbers[p], 1));
    MUST(tarn_map_put64(numbers[p], other, 20));
    MUST(tarn_abort(seg_of(p)));
}
static const char *undone(void)
{
    uint64_t v = 0, n = 0;
    if (tarn_map_get64(numbers[DRIVER], 1, &v) || v != 10 || tarn_map_get64(numbers[DRIVER], other, &v) != -ENOENT)
        return "a section was not undone";
    return tarn_map_count(numbers[DRIVER], &n) || n != 1 ? "a section was not undone" : NULL;
}

/* A walk while numbers are put whose section is undone, the second into a slot that was never used: what an undo leaves there is no entry. In the first part,
 * where an empty slot looks like one. */
static uint64_t in_first_part(uint64_t from)
{
    const tarn_map *m = numbers[DRIVER];
    while (part_of(hash_number(m->seed, m->multiplier, from)))
        from++;
    return from;
}
static int is_one_of_them(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    uint64_t k, v;
    (void)key_size, (void)size, (void)arg;
    memcpy(&k, key, 8);
    memcpy(&v, value, 8);
    must_be((k == 1 && v == 10) || (k > 1 && v == k && k == in_first_part(k)),
            "a walk shows an entry that is none");
    ghost[1] += k == 1;
    return 0;
}
static void undo_and_walk(int p)
{
    uint64_t one = in_first_part(2), two = in_first_part(one + 1);
    if (p == 1) {
        MUST(tarn_map_each(numbers[p], is_one_of_them, NULL));
        must_be(ghost[1] == 1, "a walk does not show an entry once that was there all the time");
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    MUST(tarn_map_put64(numbers[p], one, one));
    MUST(tarn_map_put64(numbers[p], two, two));
    MUST(tarn_abort(seg_of(p)));
}
static const char *none_left(void)
{
    uint64_t n = 0;
    return tarn_map_count(numbers[DRIVER], &n) || n != 1 ? "a section was not undone" : NULL;
}

/* ---- the sibling changes after a split ---- */

static void make_full_halves(void)
{
    map_pairs_whole = false;
    make_full();
}
static void make_full_whole(void)
{
    map_pairs_whole = true;
    make_full();
}
static uint64_t moved_one(const tarn_map *m)
{
    uint64_t i = 2;
    while (!(hash_number(m->seed, m->multiplier, i) & 1))
        i++;
    return i;
}
static void split_and_change(int p)
{
    uint64_t one = moved_one(numbers[p]), v = 0, done = ghost[0];
    if (p == 0) {
        MUST(tarn_map_put64(numbers[p], full + 2, full));
        MUST(tarn_map_put64(numbers[p], one, 777));
        ghost[p] = 1;
        return;
    }
    must_be(tarn_map_get64(numbers[p], one, &v) == 0, "a key was not found that was there all the time");
    must_be(v == 777 || (!done && v == one - 2), "an old value was found after the new one was put");
}
/* Both change one that moves; who has changed it sees that. */
static void split_and_see(int p)
{
    uint64_t one = moved_one(numbers[p]), v = 0;
    if (p == 0) {
        MUST(tarn_map_put64(numbers[p], full + 2, full));
        return;
    }
    MUST(tarn_map_put64(numbers[p], one, 777));
    ghost[0] = 1;
    must_be(tarn_map_get64(numbers[p], one, &v) == 0 && v == 777, "one's own change is not seen");
    MUST(tarn_map_remove64(numbers[p], one));
    must_be(tarn_map_get64(numbers[p], one, &v) == -ENOENT, "one's own removal is not seen");
    MUST(tarn_map_put64(numbers[p], one, 777));
    must_be(tarn_map_get64(numbers[p], one, &v) == 0 && v == 777, "one's own change is not seen");
}
static const char *is_seen(void)
{
    uint64_t v = 0, one = moved_one(numbers[DRIVER]);
    int e = tarn_map_get64(numbers[DRIVER], one, &v);
    if ((!died(1) && (e || v != 777)) || (e == 0 && v != 777 && v != one - 2))
        return "a change after a split was lost";
    return NULL;
}
static const char *is_changed(void)
{
    uint64_t v = 0, one = moved_one(numbers[DRIVER]);
    if (tarn_map_get64(numbers[DRIVER], one, &v) || (v != 777 && v != one - 2) || (ghost[0] && v != 777))
        return "a change after a split was lost";
    return NULL;
}

/* ---- a number stands in another quarter than its own ---- */

static uint64_t away;
static void make_quarter(void)
{
    make_whole();
    const tarn_map *m = numbers[DRIVER];
    uint64_t first = hash_number(m->seed, m->multiplier, 1);
    away = 1;
    for (unsigned n = 1; n <= MAP_QUARTER; n++) {
        uint64_t hash;
        do
            hash = hash_number(m->seed, m->multiplier, ++away);
        while (part_of(hash) != part_of(first) || quarter_of(hash) != quarter_of(first));
        if (n < MAP_QUARTER)
            MUST(tarn_map_put64(numbers[DRIVER], away, away));
    }
}
/* Who has seen it in any way finds it in the quick one. */
static void away_and_get(int p)
{
    uint64_t v = 0, n = 0;
    if (p == 0) {
        MUST(tarn_map_put64(numbers[p], away, away));
        ghost[0] = 1;
        return;
    }
    MUST(tarn_map_count(numbers[p], &n));
    must_be(n <= MAP_QUARTER || (tarn_map_get64(numbers[p], away, &v) == 0 && v == away),
            "what a walk counted is not found");
}
static const char *is_away_and_found(void)
{
    uint64_t v = 0, n = 0;
    int e = tarn_map_get64(numbers[DRIVER], away, &v);
    if ((ghost[0] || !died(0)) && (e || v != away))
        return "an entry in another quarter was lost";
    return tarn_map_count(numbers[DRIVER], &n) || n != MAP_QUARTER + (e == 0)
               ? "the quick look-up misses an entry"
               : NULL;
}

const struct test_case map_cases[] = {
    {"map, two add", 2, 3, 4, 0, make, open_it, add_and_put, sum_is_right},
    {"map, both make", 2, 3, 4, 0, make, open_it, both_make, made_once},
    {"map, put and get", 2, 3, 4, 0, make, open_it, put_and_get, value_is_whole},
    {"map, remove and put", 2, 3, 4, 0, make, open_it, remove_and_put, removed_and_put},
    {"map, split and get", 2, 3, 3, 0, make_full_whole, open_it, split_and_get, all_there},
    {"map, split and get, halves", 2, 3, 3, 0, make_full_halves, open_it, split_and_get, all_there},
    {"map, split and put", 2, 2, 3, 0, make_full_whole, open_it, split_and_put, all_there},
    {"map, split, change and get", 2, 3, 3, 0, make_full_whole, open_it, split_and_change, is_changed},
    {"map, split and see", 2, 2, 3, 0, make_full_whole, open_it, split_and_see, is_seen},
    {"map, reuse and get", 2, 3, 3, 0, make_whole, open_it, reuse_and_get, reused},
    {"map, reuse and get, halves", 2, 3, 3, 0, make_halves, open_it, reuse_and_get, reused},
    {"map, remake and get", 2, 3, 4, 0, make_whole, open_it, remake_and_get, remade},
    {"map, remake and get, halves", 2, 3, 3, 0, make_halves, open_it, remake_and_get, remade},
    {"map, undo and get", 2, 3, 3, 0, make_whole, open_it, undo_and_get, undone},
    {"map, undo and get, halves", 2, 3, 3, 0, make_halves, open_it, undo_and_get, undone},
    {"map, away and get", 2, 2, 3, 0, make_quarter, open_it, away_and_get, is_away_and_found},
    {"map, undo and walk", 2, 3, 3, 0, make_whole, open_it, undo_and_walk, none_left},
    {"map, undo and walk, halves", 2, 3, 3, 0, make_halves, open_it, undo_and_walk, none_left},
    {0},
};

/* bench/core_map.c - look-ups in a map of a million random 64-bit keys, each hits, in another order than they were put in; and
 * boost::unordered_map in a managed segment under its interprocess_mutex.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#include <errno.h>
#include <stdlib.h>

#define ENTRIES 1000000u
#define LOOKUPS 1000000u /* a repetition looks up every entry once, in another order than they came */
#define BOOST_BYTES (128u << 20)
#define TARN_BYTES (64u << 20)

static uint64_t key_of(uint64_t i)
{
    return bench_mix(i * 0x9e3779b97f4a7c15u + 77);
}
static uint64_t value_of(uint64_t key)
{
    return key * 3 + 1;
}

struct order { /* the keys in the order of the look-ups; each side goes round it */
    uint64_t *key;
    size_t next;
};
struct side {
    tarn_map *map;
    struct peer_boost_map *boost;
    struct order order;
};

static const uint64_t *next_keys(struct order *o, uint64_t *ret_sum)
{
    const uint64_t *keys = &o->key[o->next];
    *ret_sum = 0;
    for (size_t i = 0; i < LOOKUPS; i++)
        *ret_sum += value_of(keys[i]);
    o->next = (o->next + LOOKUPS) % ENTRIES;
    return keys;
}

static double tarn_sample(void *state)
{
    struct side *s = state;
    uint64_t want, sum = 0, start;
    const uint64_t *keys = next_keys(&s->order, &want);
    start = bench_now();
    for (size_t i = 0; i < LOOKUPS; i++) {
        uint64_t value;
        int e = tarn_map_get64(s->map, keys[i], &value);
        if (__builtin_expect(e, 0))
            bench_die("tarn_map_get64: %s (%d)", tarn_error(), e);
        sum += value;
    }
    uint64_t end = bench_now();
    if (sum != want)
        bench_die("core.map_get: tarn's map has other values");
    return (double)(end - start) / LOOKUPS;
}

static double boost_sample(void *state)
{
    struct side *s = state;
    uint64_t want, start;
    const uint64_t *keys = next_keys(&s->order, &want);
    start = bench_now();
    uint64_t sum = peer_boost_map_sum(s->boost, keys, LOOKUPS);
    uint64_t end = bench_now();
    if (sum != want)
        bench_die("core.map_get: Boost's map has other values");
    return (double)(end - start) / LOOKUPS;
}

static uint64_t *shuffled_keys(void)
{
    uint64_t *key = calloc(ENTRIES, sizeof *key);
    if (!key)
        bench_die("no memory");
    for (uint64_t i = 0; i < ENTRIES; i++)
        key[i] = key_of(i);
    for (uint64_t i = ENTRIES - 1; i > 0; i--) {
        uint64_t j = bench_mix(i + 123456789) % (i + 1), swap = key[i];
        key[i] = key[j];
        key[j] = swap;
    }
    return key;
}

void core_map(void)
{
    bench_pin(0);
    tarn *seg = core_segment(TARN_BYTES);
    uint64_t *keys = shuffled_keys(), count, value;
    struct side ours = {.order = {.key = keys}}, boost = {.order = {.key = keys}};
    core_good(tarn_map_open(seg, "bench", TARN_CREATE | TARN_MAP_U64, &ours.map), "tarn_map_open");
    boost.boost = peer_boost_map_open(BOOST_BYTES);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        core_good(tarn_map_put64(ours.map, key_of(i), value_of(key_of(i))), "tarn_map_put64");
        peer_boost_map_put(boost.boost, key_of(i), value_of(key_of(i)));
    }
    core_good(tarn_map_count(ours.map, &count), "tarn_map_count");
    if (count != ENTRIES || tarn_map_get64(ours.map, key_of(ENTRIES), &value) != -ENOENT)
        bench_die("core.map_get: %llu entries, not %u, or one that was never put in",
                  (unsigned long long)count, ENTRIES);
    struct contender me = {"tarn", tarn_sample, &ours}, peer = {"boost_mutex", boost_sample, &boost};
    for (unsigned i = 0; i < ENTRIES / LOOKUPS; i++) { /* once round: every page is there */
        tarn_sample(&ours);
        boost_sample(&boost);
    }
    struct outcome o;
    bench_compare("core.map_get", "ns", &me, &peer, 1, bench_reps(15), false, &o);
    tarn_map_close(ours.map);
    peer_boost_map_close(boost.boost);
    core_close(seg);
    free(keys);
}

/* test_map.c - the map in one process, against plain arrays: single operations, sections committed and aborted at random, growth, long chains in
 * one section, walks while it grows, memory that runs out, read-only attachments, and damaged bytes. */
#include "helper.h"

#include "collection/map.h"
#include "name/name.h"

#define KEYS 4096u

static tarn *seg;
static uint64_t seed = 88172645463325252ull;

static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

static int open_segment(void **state)
{
    struct tarn_options o = {.size = sizeof o, .limit = 256 << 20};
    (void)state;
    return tarn_open("anon:", TARN_CREATE, &o, &seg);
}
static int open_small(void **state)
{
    struct tarn_options o = {.size = sizeof o, .limit = 4 << 20};
    (void)state;
    return tarn_open("anon:", TARN_CREATE, &o, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    return tarn_close(seg);
}

/* ---- against a model ---- */

struct model {
    bool there;
    uint64_t value; /* of bytes maps: {size, seed} */
};
static struct model now[KEYS], before[KEYS];

static int see64(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    uint64_t k, v;
    assert_int_equal(key_size, 8);
    assert_int_equal(size, 8);
    memcpy(&k, key, 8);
    memcpy(&v, value, 8);
    assert_true(k < KEYS && now[k].there && now[k].value == v);
    ++*(uint64_t *)arg;
    return 0;
}

static void agree64(tarn_map *m)
{
    uint64_t count = 0, shown = 0, counted = 99, v;
    for (uint64_t k = 0; k < KEYS; k++) {
        int e = tarn_map_get64(m, k, &v);
        assert_int_equal(e, now[k].there ? 0 : -ENOENT);
        if (!e)
            assert_int_equal(v, now[k].value);
        count += now[k].there;
    }
    assert_int_equal(tarn_map_each(m, see64, &shown), 0);
    assert_int_equal(shown, count);
    assert_int_equal(tarn_map_count(m, &counted), 0);
    assert_int_equal(counted, count);
}

static void step64(tarn_map *m, uint64_t keys)
{
    uint64_t k = next_random() % keys, v = next_random(), sum;
    struct model *n = &now[k];
    switch (next_random() % 8) {
    case 0:
    case 1:
    case 2:
        assert_int_equal(tarn_map_put64(m, k, v), 0);
        *n = (struct model){true, v};
        break;
    case 3:
        assert_int_equal(tarn_map_add64(m, k, v, &sum), 0);
        *n = (struct model){true, (n->there ? n->value : 0) + v};
        assert_int_equal(sum, n->value);
        break;
    case 4:
    case 5:
        assert_int_equal(tarn_map_remove64(m, k), n->there ? 0 : -ENOENT);
        n->there = false;
        break;
    default:
        assert_int_equal(tarn_map_get64(m, k, &sum), n->there ? 0 : -ENOENT);
        if (n->there)
            assert_int_equal(sum, n->value);
    }
}

static void random_u64(void **state)
{
    tarn_map *m;
    (void)state;
    memset(now, 0, sizeof now);
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m), 0);
    for (int round = 0; round < 300; round++) {
        bool section = round % 3 != 0, aborts = next_random() % 2;
        int steps = (int)(next_random() % (round % 10 == 1 ? 2000 : 60));
        memcpy(before, now, sizeof now);
        if (section)
            assert_int_equal(tarn_begin(seg), 0);
        for (int i = 0; i < steps; i++)
            step64(m, 1 + (uint64_t)round * (KEYS - 1) / 300);
        if (section && aborts) {
            assert_int_equal(tarn_abort(seg), 0);
            memcpy(now, before, sizeof now);
        } else if (section)
            assert_int_equal(tarn_commit(seg), 0);
        if (round % 10 < 3)
            agree64(m);
        if (round % 50 == 1)
            assert_clean(seg);
    }
    agree64(m);
    assert_clean(seg);
    tarn_map_close(m);
    assert_int_equal(tarn_unbind(seg, "m", 1), 0);
    assert_clean(seg);
}

/* The bytes of a model's key and value */
static size_t key_bytes(uint64_t k, char *to)
{
    size_t n = 1 + (size_t)snprintf(to, 600, "key %llu ", (unsigned long long)k), m = k % 7 ? 0 : k % 400;
    memset(to + n, 'k', m);
    return n + m;
}
static size_t value_bytes(uint64_t v, char *to)
{
    size_t n = v % 3 ? v % 60 : v % 2 ? 8 : v % 3000;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(v * 31 + i);
    return n;
}
static void step_bytes(tarn_map *m)
{
    uint64_t k = next_random() % KEYS, v = next_random();
    struct model *n = &now[k];
    char key[1024], value[3000], got[3000];
    size_t keys = key_bytes(k, key), values, size = 0;
    switch (next_random() % 4) {
    case 0:
    case 1:
        assert_int_equal(tarn_map_put(m, key, keys, value, value_bytes(v, value)), 0);
        *n = (struct model){true, v};
        break;
    case 2:
        assert_int_equal(tarn_map_remove(m, key, keys), n->there ? 0 : -ENOENT);
        n->there = false;
        break;
    default:
        assert_int_equal(tarn_map_get(m, key, keys, got, sizeof got, &size), n->there ? 0 : -ENOENT);
        if (n->there) {
            values = value_bytes(n->value, value);
            assert_int_equal(size, values);
            assert_memory_equal(got, value, values);
        }
    }
}
struct shown {
    uint64_t count;
};
static int see_bytes(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    char k[1024], v[3000];
    unsigned long long i = KEYS;
    assert_int_equal(sscanf(key, "key %llu", &i), 1);
    assert_true(i < KEYS && now[i].there);
    assert_int_equal(key_size, key_bytes(i, k));
    assert_memory_equal(key, k, key_size);
    assert_int_equal(size, value_bytes(now[i].value, v));
    assert_memory_equal(value, v, size);
    ((struct shown *)arg)->count++;
    return 0;
}

static void random_bytes(void **state)
{
    tarn_map *m;
    struct shown s = {0};
    uint64_t count = 0;
    (void)state;
    memset(now, 0, sizeof now);
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE, &m), 0);
    for (int round = 0; round < 200; round++) {
        bool section = round % 3 != 0, aborts = next_random() % 2;
        memcpy(before, now, sizeof now);
        if (section)
            assert_int_equal(tarn_begin(seg), 0);
        for (int i = (int)(next_random() % 200); i; i--)
            step_bytes(m);
        if (section && aborts) {
            assert_int_equal(tarn_abort(seg), 0);
            memcpy(now, before, sizeof now);
        } else if (section)
            assert_int_equal(tarn_commit(seg), 0);
    }
    for (uint64_t k = 0; k < KEYS; k++)
        count += now[k].there;
    assert_int_equal(tarn_map_each(m, see_bytes, &s), 0);
    assert_int_equal(s.count, count);
    assert_clean(seg);
    tarn_map_close(m);
    assert_int_equal(tarn_unbind(seg, "m", 1), 0);
    assert_clean(seg);
}

/* ---- what each call promises ---- */

static void promises(void **state)
{
    tarn_map *m, *other, *n;
    char value[16] = "abcdefgh";
    uint64_t v = 5;
    size_t size = 77;
    struct thing {
        uint64_t x;
    } * t;
    (void)state;
    assert_int_equal(tarn_map_open(seg, "b", 0, &m), -ENOENT);
    assert_int_equal(tarn_map_open(seg, "b", 0x4000, &m), -EINVAL);
    assert_int_equal(tarn_map_open(seg, "b", TARN_CREATE, &m), 0);
    assert_int_equal(tarn_map_open(seg, "u", TARN_CREATE | TARN_MAP_U64, &n), 0);
    assert_int_equal(tarn_map_open(seg, "b", TARN_CREATE | TARN_MAP_U64, &other), -EPROTO);
    assert_int_equal(tarn_map_open(seg, "u", TARN_CREATE, &other), -EPROTO);
    assert_int_equal(tarn_object(seg, "t", struct thing, &t), 0);
    assert_int_equal(tarn_map_open(seg, "t", TARN_CREATE, &other), -EPROTO);
    assert_int_equal(tarn_map_open(seg, "b", 0, &other), 0);
    assert_int_equal(tarn_map_put(m, "", 0, "v", 1), -EINVAL);
    assert_int_equal(tarn_map_put(m, "k", 65536, "v", 1), -EINVAL);
    assert_int_equal(tarn_map_put(m, "k", 1, "v", (size_t)(1u << 30) + 1), -EINVAL);
    assert_int_equal(tarn_map_put64(m, 1, 2), -EPROTO);
    assert_int_equal(tarn_map_get64(m, 1, &v), -EPROTO);
    assert_int_equal(tarn_map_put(n, "k", 1, "v", 1), -EPROTO);
    assert_int_equal(tarn_map_put(m, "k", 1, NULL, 0), 0);
    assert_int_equal(tarn_map_get(other, "k", 1, NULL, 0, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(tarn_map_put(other, "k", 1, value, 8), 0);
    assert_int_equal(tarn_map_get(m, "k", 1, value, 3, &size), 0);
    assert_int_equal(size, 8);
    assert_int_equal(tarn_map_get(m, "K", 1, value, 3, &size), -ENOENT);
    assert_int_equal(tarn_map_put(m, "n", 1, "five!", 5), 0);
    assert_int_equal(tarn_map_add(m, "n", 1, 1, &v), -EINVAL);
    assert_int_equal(v, 5);
    assert_int_equal(tarn_map_add(m, "new", 3, 40, &v), 0);
    assert_int_equal(tarn_map_add(m, "new", 3, 2, &v), 0);
    assert_int_equal(v, 42);
    tarn_map_close(m);
    tarn_map_close(NULL);
    assert_int_equal(tarn_unbind(seg, "b", 1), 0);
    assert_int_equal(tarn_map_put(other, "k", 1, "v", 1), -ESTALE);
    tarn_map_close(other);
    tarn_map_close(n);
    assert_clean(seg);
}

static void conditional_puts(void **state)
{
    tarn_map *m, *n;
    uint64_t v = 5;
    size_t size = 77;
    int made = 7;
    char value[32];
    (void)state;
    assert_int_equal(tarn_map_open(seg, "b", TARN_CREATE, &m), 0);
    assert_int_equal(tarn_map_open(seg, "u", TARN_CREATE | TARN_MAP_U64, &n), 0);
    for (int in_section = 0; in_section < 2; in_section++) {
        if (in_section)
            assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_map_replace(m, "k", 1, "a", 1), -ENOENT);
        assert_int_equal(tarn_map_replace_if(m, "k", 1, "a", 1, "b", 1), -ENOENT);
        assert_int_equal(tarn_map_insert(m, "k", 1, "a", 1), 0);
        assert_int_equal(tarn_map_insert(m, "k", 1, "b", 1), -EEXIST);
        assert_int_equal(tarn_map_replace(m, "k", 1, "long value", 10), 0);
        assert_int_equal(tarn_map_replace_if(m, "k", 1, "long valuf", 10, "b", 1), -EAGAIN);
        assert_int_equal(tarn_map_replace_if(m, "k", 1, "long valu", 9, "b", 1), -EAGAIN);
        assert_int_equal(tarn_map_replace_if(m, "k", 1, "long value", 10, NULL, 0), 0);
        assert_int_equal(tarn_map_replace_if(m, "k", 1, NULL, 0, "12345678", 8), 0);
        assert_int_equal(tarn_map_replace_if(m, "k", 1, "12345678", 8, "abcdefgh", 8), 0);
        assert_int_equal(tarn_map_get(m, "k", 1, value, sizeof value, &size), 0);
        assert_true(size == 8 && !memcmp(value, "abcdefgh", 8));
        assert_int_equal(tarn_map_find_or_make(m, "k", 1, 20, value, sizeof value, &size, &made), 0);
        assert_true(size == 8 && !made && !memcmp(value, "abcdefgh", 8));
        assert_int_equal(tarn_map_find_or_make(m, "z", 1, 20, value, sizeof value, &size, &made), 0);
        assert_true(size == 20 && made && !memcmp(value, (char[20]){0}, 20));
        assert_int_equal(tarn_map_find_or_make(m, "z", 1, 3, value, 2, &size, &made), 0);
        assert_true(size == 20 && !made);
        assert_int_equal(tarn_map_find_or_make(m, "z", 1, 3, NULL, 2, &size, &made), -EINVAL);
        assert_int_equal(tarn_map_insert64(m, 1, 2), -EPROTO);

        assert_int_equal(tarn_map_replace64(n, 1, 2), -ENOENT);
        assert_int_equal(tarn_map_replace_if64(n, 1, 0, 2), -ENOENT);
        assert_int_equal(tarn_map_find_or_make64(n, 1, &v, &made), 0);
        assert_true(v == 0 && made);
        assert_int_equal(tarn_map_insert64(n, 1, 2), -EEXIST);
        assert_int_equal(tarn_map_replace_if64(n, 1, 3, 4), -EAGAIN);
        assert_int_equal(tarn_map_replace_if64(n, 1, 0, 4), 0);
        assert_int_equal(tarn_map_find_or_make64(n, 1, &v, &made), 0);
        assert_true(v == 4 && !made);
        assert_int_equal(tarn_map_replace64(n, 1, 9), 0);
        assert_int_equal(tarn_map_get64(n, 1, &v), 0);
        assert_int_equal(v, 9);
        assert_int_equal(tarn_map_insert64(n, 2, 3), 0);
        if (in_section) {
            assert_int_equal(tarn_abort(seg), 0);
            assert_int_equal(tarn_map_get64(n, 2, &v), -ENOENT);
            assert_int_equal(tarn_map_get(m, "z", 1, NULL, 0, NULL), -ENOENT);
        } else {
            assert_int_equal(tarn_map_remove64(n, 2), 0);
            assert_int_equal(tarn_map_remove64(n, 1), 0);
            assert_int_equal(tarn_map_remove(m, "z", 1), 0);
            assert_int_equal(tarn_map_remove(m, "k", 1), 0);
        }
    }
    tarn_map_close(m);
    tarn_map_close(n);
    assert_clean(seg);
}

static int count_one(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    uint64_t k, v;
    memcpy(&k, key, 8);
    memcpy(&v, value, 8);
    assert_true(key_size == 8 && size == 8 && v == k * 3);
    ++((uint8_t *)arg)[k];
    return 0;
}

/* Many at once, and a cursor that goes on while the map grows. */
static void many(void **state)
{
    enum { N = 30000 };
    static uint64_t keys[N], values[N];
    static struct tarn_map_pair pairs[N];
    static uint8_t seen[4 * N];
    tarn_map *m, *b;
    uint64_t cursor = 0, pieces = 0, count, grown = N;
    size_t done = 0;
    (void)state;
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m), 0);
    assert_int_equal(tarn_map_open(seg, "b", TARN_CREATE, &b), 0);
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = i;
        values[i] = i * 3;
        pairs[i] = (struct tarn_map_pair){&keys[i], 8, &values[i], 8};
    }
    assert_int_equal(tarn_map_put_many64(m, keys, values, N, &done), 0);
    assert_int_equal(done, N);
    assert_in_range(m->map->buckets, N / 236, N / 60);
    assert_int_equal(tarn_map_count(m, &count), 0);
    assert_int_equal(count, N);
    pairs[N - 1].key_size = 0;
    assert_int_equal(tarn_map_put_many(b, pairs, N, &done), -EINVAL);
    assert_int_equal(done, N - 1);
    assert_int_equal(tarn_map_count(b, &count), 0);
    assert_int_equal(count, N - 1);
    assert_int_equal(tarn_map_put_many64(b, keys, values, 1, &done), -EPROTO);
    assert_int_equal(done, 0);
    do {
        assert_int_equal(tarn_map_next(m, &cursor, count_one, seen), 0);
        for (int i = 0; i < 300 && grown < 4 * N; i++, grown++)
            assert_int_equal(tarn_map_put64(m, grown, grown * 3), 0);
        pieces++;
    } while (cursor);
    assert_in_range(pieces, N / 236, 4 * N / 60);
    for (uint64_t i = 0; i < 4 * N; i++)
        assert_true(seen[i] == 1 || (i >= N && !seen[i]));
    assert_clean(seg);
    tarn_map_close(m);
    tarn_map_close(b);
}

/* The same again, where no load takes both words of a slot at once. */
static int halves(void **state)
{
    map_pairs_whole = false;
    return open_segment(state);
}
static int whole(void **state)
{
    map_pairs_whole = true;
    return close_segment(state);
}

/* ---- growth ---- */

static int nothing(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    (void)key_size, (void)size, (void)arg;
    uint64_t k, v;
    memcpy(&k, key, 8);
    memcpy(&v, value, 8);
    return v == k * 3 ? 0 : -1;
}

static void growth(void **state)
{
    enum { N = 200000 };
    tarn_map *m;
    uint64_t v, count;
    (void)state;
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m), 0);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(tarn_map_put64(m, i, i * 3), 0);
    for (uint64_t i = 0; i < N; i++) {
        assert_int_equal(tarn_map_get64(m, i, &v), 0);
        assert_int_equal(v, i * 3);
        assert_int_equal(tarn_map_get64(m, N + i, &v), -ENOENT);
    }
    assert_int_equal(tarn_map_count(m, &count), 0);
    assert_int_equal(count, N);
    assert_int_equal(tarn_map_each(m, nothing, NULL), 0);
    assert_in_range(m->map->depth, 10, 13);
    assert_in_range(m->map->buckets, N / 236, N / 90);
    assert_in_range(m->map->filled, 1 << (m->map->depth - 1), 1 << m->map->depth);
    assert_clean(seg);
    for (uint64_t i = 0; i < N; i += 2)
        assert_int_equal(tarn_map_remove64(m, i), 0);
    assert_int_equal(tarn_map_count(m, &count), 0);
    assert_int_equal(count, N / 2);
    assert_clean(seg);
    tarn_map_close(m);
    assert_int_equal(tarn_unbind(seg, "m", 1), 0);
    assert_clean(seg);
}

/* One section fills overflow chains; single operations afterwards fold them into split buckets. */
static void chains(void **state)
{
    enum { N = 3000 };
    tarn_map *m;
    struct snapshot p = {0};
    uint64_t v, count, at = 0, chained = 0, limit;
    (void)state;
    for (int aborted = 1; aborted >= 0; aborted--) {
        assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m), 0);
        assert_int_equal(tarn_begin(seg), 0);
        for (uint64_t i = 0; i < N; i++)
            assert_int_equal(tarn_map_put64(m, i, i), 0);
        for (uint64_t i = 0; i < N; i += 10)
            assert_int_equal(tarn_map_remove64(m, i), 0);
        assert_int_equal(aborted ? tarn_abort(seg) : tarn_commit(seg), 0);
        assert_int_equal(tarn_map_count(m, &count), 0);
        assert_int_equal(count, aborted ? 0 : N - N / 10);
        assert_clean(seg);
        if (aborted)
            tarn_map_close(m);
    }
    for (uint64_t i = N; i < 40 * N; i++)
        assert_int_equal(tarn_map_put64(m, i, i), 0);
    for (uint64_t i = 0; i < 40 * N; i++) {
        assert_int_equal(tarn_map_get64(m, i, &v), i < N && i % 10 == 0 ? -ENOENT : 0);
        if (i >= N || i % 10)
            assert_int_equal(v, i);
    }
    limit = 0;
    do {
        assert_int_equal(map_snapshot(m, reverse64(at), &p), 0);
        chained += p.where.bucket->overflow != 0;
        at = map_after(&p.where);
    } while (at && ++limit < 100000);
    snapshot_free(&p);
    assert_int_equal(chained, 0);
    assert_clean(seg);
    tarn_map_close(m);
    assert_int_equal(tarn_unbind(seg, "m", 1), 0);
    assert_clean(seg);
}

/* Keys that all collide in their low bits: the directory must not grow with them without bound. */
static void colliding(void **state)
{
    tarn_map *m;
    uint64_t count, found = 0, v;
    (void)state;
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m), 0);
    for (uint64_t i = 0; found < 300; i++)
        if (!(hash_number(m->seed, m->multiplier, i) & low_bits(14))) {
            assert_int_equal(tarn_map_put64(m, i, i), 0);
            found++;
        }
    assert_in_range(m->map->depth, 8, 14);
    assert_int_equal(tarn_map_count(m, &count), 0);
    assert_int_equal(count, 300);
    for (uint64_t i = 0; found; i++)
        if (!(hash_number(m->seed, m->multiplier, i) & low_bits(14))) {
            assert_int_equal(tarn_map_get64(m, i, &v), 0);
            found--;
        }
    assert_clean(seg);
    tarn_map_close(m);
}

/* ---- walks while it changes ---- */

struct walk {
    tarn_map *m;
    uint64_t shown[1000], added;
};
static int grow_meanwhile(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    struct walk *w = arg;
    uint64_t k;
    (void)key_size, (void)value, (void)size;
    memcpy(&k, key, 8);
    if (k < 1000)
        w->shown[k]++;
    for (int i = 0; i < 20; i++)
        assert_int_equal(tarn_map_put64(w->m, 1000 + w->added++, 1), 0);
    return w->added > 60000 ? 7 : 0;
}
static void walk_while_growing(void **state)
{
    static struct walk w;
    int e;
    (void)state;
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &w.m), 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(tarn_map_put64(w.m, i, 1), 0);
    e = tarn_map_each(w.m, grow_meanwhile, &w);
    assert_true(e == 0 || e == 7);
    for (int i = 0; i < 1000; i++)
        assert_true(w.shown[i] <= 1 && (e == 7 || w.shown[i] == 1));
    tarn_map_close(w.m);
    assert_clean(seg);
}

/* ---- memory runs out; read-only; hostile ---- */

static void no_memory(void **state)
{
    tarn_map *m, *r;
    tarn *reader;
    static char big[4000];
    uint64_t n = 0, count, keys = 0;
    int e;
    (void)state;
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE, &m), 0);
    while ((e = tarn_map_put(m, &n, 8, big, n % sizeof big)) == 0)
        n++;
    assert_int_equal(e, -ENOSPC);
    assert_in_range(n, 500, 2200);
    assert_clean(seg);
    assert_int_equal(tarn_map_count(m, &count), 0);
    assert_int_equal(count, n);
    assert_int_equal(tarn_begin(seg), 0);
    while (keys < n && (e = tarn_map_remove(m, &keys, 8)) == 0)
        keys++;
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_map_count(m, &count), 0);
    assert_int_equal(count, n);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_map_open(reader, "m", 0, &r), 0);
    assert_int_equal(tarn_map_open(reader, "none", TARN_CREATE, &r), -EROFS);
    keys = 1;
    assert_int_equal(tarn_map_get(r, &keys, 8, big, sizeof big, NULL), 0);
    assert_int_equal(tarn_map_put(r, &keys, 8, big, 1), -EROFS);
    assert_int_equal(tarn_map_remove(r, &keys, 8), -EROFS);
    assert_int_equal(tarn_map_count(r, &count), 0);
    assert_int_equal(count, n);
    assert_int_equal(tarn_check(reader, print_damage, NULL), 0);
    tarn_map_close(r);
    assert_int_equal(tarn_close(reader), 0);
    for (keys = 0; keys < n; keys++)
        assert_int_equal(tarn_map_remove(m, &keys, 8), 0);
    tarn_map_close(m);
    assert_int_equal(tarn_unbind(seg, "m", 1), 0);
    assert_clean(seg);
}

static void any_failure(int e)
{
    assert_true(e == 0 || e == -ENOENT || e == -EUCLEAN || e == -ENOSPC || e == -EINVAL || e == -ENOMEM ||
                e == -ESTALE);
}
static int ignore(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    (void)key, (void)key_size, (void)value, (void)size, (void)arg;
    return 0;
}

/* Random words in a map's root, buckets and entries: every call returns. On a copy of the segment's words that is put back each round. */
static void hostile(void **state)
{
    tarn_map *m, damaged;
    uint64_t v, *ref, refs = 0, reported = 0, rounds = SANITIZED ? 200 : 600;
    struct snapshot p = {0};
    (void)state;
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &m), 0);
    for (uint64_t i = 0; i < 500; i++)
        assert_int_equal(tarn_map_put64(m, i, i), 0);
    ref = calloc(1000, 8);
    ref[refs++] = m->ref;
    for (uint64_t at = 0, first = 1; first || at; first = 0) {
        assert_int_equal(map_snapshot(m, reverse64(at), &p), 0);
        ref[refs++] = p.where.ref;
        at = map_after(&p.where);
    }
    snapshot_free(&p);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t r = ref[next_random() % refs], words = r == m->ref ? sizeof(struct map) / 8 : 40; /* a header and tags */
        uint64_t *at = (uint64_t *)tarn_ptr(seg, r, words * 8) +
                       next_random() % (round % 2 && words > 8 ? 8 : words),
                 was = *at;
        uint64_t x = next_random();
        int n;
        *at = round % 5 == 0   ? x
              : round % 5 == 1 ? x % (4 << 20)
              : round % 5 == 2 ? ref[x % refs]
              : round % 5 == 3 ? x << 48 | ref[x % refs]
                               : was ^ 1ull << x % 64;
        if (at == (uint64_t *)&((struct bucket *)at_offset(seg, r))->lock || at == (uint64_t *)&m->map->directory)
            *at = 0; /* a lock that is held by somebody alive is waited for: not what is tried here */
        n = tarn_check(seg, NULL, NULL);
        assert_true(n >= 0);
        reported += n > 0;
        damaged = *m;
        for (uint64_t i = 0; i < 40; i++)
            any_failure(tarn_map_get64(&damaged, next_random() % 600, &v));
        any_failure(tarn_map_each(&damaged, ignore, NULL));
        any_failure(tarn_map_count(&damaged, &v));
        *at = was;
    }
    assert_in_range(reported, rounds / 4, rounds);
    tarn_map_close(m);
    free(ref);
    assert_clean(seg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(promises, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_u64, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_bytes, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_u64, halves, whole),
        cmocka_unit_test_setup_teardown(conditional_puts, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(many, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(growth, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(chains, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(colliding, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(walk_while_growing, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(no_memory, open_small, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_small, close_segment),
    };
    alarm(200);
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}

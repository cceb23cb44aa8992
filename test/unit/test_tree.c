/* test_tree.c - the ordered map in one process, against a sorted array: single operations, sections committed and aborted at random, cursors from
 * any place in both directions, prefixes, orders of the user's, loads, memory that runs out or comes back, read-only attachments, damaged bytes. */
#include "helper.h"

#include "collection/tree.h"
#include "name/name.h"

#define KEYS 3000u
#define KEY_SIZE 40u
#define REVERSED 7u

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
    struct tarn_options o = {.size = sizeof o, .limit = 4 << 20, .span_size = 4096};
    (void)state;
    return tarn_open("anon:", TARN_CREATE, &o, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    return tarn_close(seg);
}

/* ---- the model: all keys there may be, in order, and which are there ---- */

struct model_key {
    uint64_t number;
    char bytes[KEY_SIZE];
    size_t size;
};
static struct model_key key[KEYS];
struct model {
    bool there;
    uint64_t value; /* of bytes: its size and what it is made of */
};
static struct model now[KEYS], before[KEYS];
static tarn_tree *tree;
static tarn_tree_cursor *cursor;
static bool u64;

static int plain(const void *a, size_t a_size, const void *b, size_t b_size)
{
    int c = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return c ? c : a_size < b_size ? -1 : a_size > b_size;
}
static int reversed(const void *a, size_t a_size, const void *b, size_t b_size)
{
    return -plain(a, a_size, b, b_size);
}

static int by_number(const void *a, const void *b)
{
    const struct model_key *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}
static int by_bytes(const void *a, const void *b)
{
    const struct model_key *x = a, *y = b;
    return plain(x->bytes, x->size, y->bytes, y->size);
}
static int by_bytes_reversed(const void *a, const void *b)
{
    return -by_bytes(a, b);
}

/* Numbers: some close together, some at the ends. Bytes: with long common beginnings, zeros, one being the beginning of the other. */
static void make_keys(int (*order)(const void *, const void *))
{
    static const char *const front[] = {"",      "a",       "aaaaaaa", "aaaaaaaa", "aaaaaaaaaaaaaaaaaaaa",
                                        "tarn/", "\xff\xff"};
    memset(now, 0, sizeof now);
    for (uint64_t i = 0; i < KEYS; i++) {
        struct model_key *k = &key[i];
        const char *f = front[i % 7];
        memset(k, 0, sizeof *k);
        k->number = i < 4 ? i : i < 8 ? ~0ull - i : i % 2 ? i * 3 : (i * 0x9e3779b97f4a7c15ull) | 1ull << 40;
        memcpy(k->bytes, f, strlen(f));
        k->size = strlen(f);
        if (i < 14) /* a number of zeros */
            k->size += 1 + i / 7;
        else
            k->size += (size_t)snprintf(k->bytes + k->size, 16, "%llu",
                                        (unsigned long long)(i / 7 * (i % 3 ? 1 : 977)));
    }
    qsort(key, KEYS, sizeof *key, order);
    for (uint64_t i = 1; i < KEYS; i++)
        assert_true(order(&key[i - 1], &key[i]) < 0);
}

static size_t value_bytes(uint64_t v, char *to)
{
    size_t size = v % 3 == 0 ? 8 : v % 200;
    memset(to, (int)(v >> 8), size);
    return size;
}

static int do_put(uint64_t i, uint64_t v)
{
    char bytes[256];
    return u64 ? tarn_tree_put64(tree, key[i].number, v)
               : tarn_tree_put(tree, key[i].bytes, key[i].size, bytes, value_bytes(v, bytes));
}
static int do_insert(uint64_t i, uint64_t v)
{
    char bytes[256];
    return u64 ? tarn_tree_insert64(tree, key[i].number, v)
               : tarn_tree_insert(tree, key[i].bytes, key[i].size, bytes, value_bytes(v, bytes));
}
static int do_replace(uint64_t i, uint64_t v)
{
    char bytes[256];
    return u64 ? tarn_tree_replace64(tree, key[i].number, v)
               : tarn_tree_replace(tree, key[i].bytes, key[i].size, bytes, value_bytes(v, bytes));
}
static int do_remove(uint64_t i)
{
    return u64 ? tarn_tree_remove64(tree, key[i].number) : tarn_tree_remove(tree, key[i].bytes, key[i].size);
}
static int do_seek(uint64_t i, unsigned bound)
{
    return u64 ? tarn_tree_seek64(cursor, key[i].number, bound)
               : tarn_tree_seek(cursor, key[i].bytes, key[i].size, bound);
}

static void is_value(uint64_t i, const void *value, size_t size)
{
    char want[256];
    if (u64) {
        assert_int_equal(size, 8);
        assert_memory_equal(value, &now[i].value, 8);
    } else {
        assert_int_equal(size, value_bytes(now[i].value, want));
        assert_memory_equal(value, want, size);
    }
}
static void is_entry(uint64_t i, const struct tarn_tree_entry *e)
{
    if (u64) {
        assert_int_equal(e->key_size, 8);
        assert_memory_equal(e->key, &key[i].number, 8);
    } else {
        assert_int_equal(e->key_size, key[i].size);
        assert_memory_equal(e->key, key[i].bytes, key[i].size);
    }
    is_value(i, e->value, e->size);
}

static uint64_t shown;
static int see(const void *k, size_t key_size, const void *value, size_t size, void *arg)
{
    struct tarn_tree_entry e = {k, key_size, value, size};
    (void)arg;
    while (shown < KEYS && !now[shown].there)
        shown++;
    assert_true(shown < KEYS);
    is_entry(shown++, &e);
    return 0;
}

/* Step from a place in the array, so many times this way and that, and see that both agree. */
static void walk_from(int64_t at, unsigned steps, unsigned turn)
{
    struct tarn_tree_entry e;
    bool forward = next_random() % 2;
    for (unsigned i = 0; i < steps; i++) {
        int result;
        if (next_random() % turn == 0)
            forward = !forward;
        result = forward ? tarn_tree_next(cursor, &e) : tarn_tree_previous(cursor, &e);
        if (forward) {
            while (at < KEYS && !now[at].there)
                at++;
            assert_int_equal(result, at < KEYS ? 0 : -ENOENT);
            if (!result)
                is_entry((uint64_t)at++, &e);
        } else {
            while (at > 0 && !now[at - 1].there)
                at--;
            assert_int_equal(result, at > 0 ? 0 : -ENOENT);
            if (!result)
                is_entry((uint64_t)--at, &e);
        }
    }
}

static void agree(void)
{
    uint64_t count = 0, counted = 99, v;
    char bytes[256];
    size_t size;
    for (uint64_t i = 0; i < KEYS; i++) {
        int e = u64 ? tarn_tree_get64(tree, key[i].number, &v)
                    : tarn_tree_get(tree, key[i].bytes, key[i].size, bytes, sizeof bytes, &size);
        assert_int_equal(e, now[i].there ? 0 : -ENOENT);
        if (!e)
            is_value(i, u64 ? (void *)&v : bytes, u64 ? 8 : size);
        count += now[i].there;
    }
    assert_int_equal(tarn_tree_count(tree, &counted), 0);
    assert_int_equal(counted, count);
    shown = 0;
    assert_int_equal(tarn_tree_each(tree, see, NULL), 0);
    while (shown < KEYS && !now[shown].there)
        shown++;
    assert_int_equal(shown, KEYS);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t at = next_random() % KEYS;
        unsigned bound = next_random() % 2;
        assert_int_equal(do_seek(at, bound), 0);
        walk_from((int64_t)at + bound, 40, 1 + i % 20);
    }
    tarn_tree_seek_first(cursor);
    walk_from(0, 30, 9);
    tarn_tree_seek_last(cursor);
    walk_from(KEYS, 30, 9);
    assert_clean(seg);
}

static void change_one(uint64_t span)
{
    uint64_t i = next_random() % span * (KEYS / span), v = next_random();
    int e;
    switch (next_random() % 7) {
    case 0:
    case 1: assert_int_equal(do_put(i, v), 0); break;
    case 2:
    case 3:
        e = do_insert(i, v);
        assert_int_equal(e, now[i].there ? -EEXIST : 0);
        if (e)
            return;
        break;
    case 4:
        e = do_replace(i, v);
        assert_int_equal(e, now[i].there ? 0 : -ENOENT);
        if (e)
            return;
        break;
    default:
        assert_int_equal(do_remove(i), now[i].there ? 0 : -ENOENT);
        now[i].there = false;
        return;
    }
    now[i] = (struct model){true, v};
}

static void at_random(unsigned rounds)
{
    static const uint64_t spans[] = {KEYS, KEYS / 10, KEYS / 100, 10};
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t span = spans[round % 4];
        unsigned steps = next_random() % 3 ? 1 + next_random() % 50 : 1 + next_random() % 2000;
        bool section = next_random() % 2, abort = next_random() % 2;
        if (section) {
            memcpy(before, now, sizeof now);
            assert_int_equal(tarn_begin(seg), 0);
        }
        for (unsigned i = 0; i < steps; i++)
            change_one(span);
        if (section && abort) {
            assert_int_equal(tarn_abort(seg), 0);
            memcpy(now, before, sizeof now);
        } else if (section)
            assert_int_equal(tarn_commit(seg), 0);
        if (round % 4 == 3)
            agree();
    }
    agree();
}

/* Down to nothing, in some order: the memory is what it was when the tree was new. */
static void take_all_out(unsigned way, uint64_t baseline)
{
    uint64_t order[KEYS];
    for (uint64_t i = 0; i < KEYS; i++)
        order[i] = way == 1 ? KEYS - 1 - i : i;
    for (uint64_t i = KEYS - 1; way == 2 && i; i--) {
        uint64_t j = next_random() % (i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_int_equal(do_remove(order[i]), now[order[i]].there ? 0 : -ENOENT);
        now[order[i]].there = false;
        if (i % (KEYS / 4) == 1)
            agree();
    }
    agree();
    assert_int_equal(tree->tree->root, tree->tree->first);
    assert_int_equal(stat_of(seg).allocated, baseline);
}

static void whole(unsigned flags, uint32_t order_id, int (*order)(const void *, const void *), unsigned rounds)
{
    uint64_t baseline;
    u64 = flags & TARN_TREE_U64;
    make_keys(order);
    if (order_id)
        assert_int_equal(tarn_tree_open_ordered(seg, "t", TARN_CREATE | flags, order_id, &tree), 0);
    else
        assert_int_equal(tarn_tree_open(seg, "t", TARN_CREATE | flags, &tree), 0);
    assert_int_equal(tarn_tree_cursor_open(tree, &cursor), 0);
    agree();
    assert_int_equal(tarn_begin(seg), 0); /* extents of the log stay with the record */
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(do_put(i, i), 0);
    assert_int_equal(tarn_abort(seg), 0);
    baseline = stat_of(seg).allocated;
    for (unsigned way = 0; way < 3; way++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t at = way == 0 ? i : way == 1 ? KEYS - 1 - i : i * 1009 % KEYS;
            assert_int_equal(do_insert(at, i), 0);
            now[at] = (struct model){true, i};
        }
        agree();
        take_all_out((way + 2) % 3, baseline);
    }
    at_random(rounds);
    take_all_out(2, baseline);
    at_random(4);
    tarn_tree_cursor_close(cursor);
    tarn_tree_close(tree);
    assert_int_equal(tarn_unbind(seg, "t", 1), 0);
    assert_clean(seg);
}

static void numbers(void **state)
{
    (void)state;
    whole(TARN_TREE_U64, 0, by_number, 32);
}
static void strings(void **state)
{
    (void)state;
    whole(0, 0, by_bytes, 32);
}
static void own_order(void **state)
{
    (void)state;
    assert_int_equal(tarn_tree_compare_register(REVERSED, reversed), 0);
    whole(0, REVERSED, by_bytes_reversed, 20);
}

/* ---- what tarn.h promises ---- */

static void promises(void **state)
{
    static char long_key[65536];
    struct tarn_tree_entry e;
    tarn_tree *t, *n, *o;
    tarn_tree_cursor *c;
    uint64_t k, v;
    char bytes[16];
    size_t size = 7;
    (void)state;
    assert_int_equal(tarn_tree_open(seg, "t", 0, &t), -ENOENT);
    assert_int_equal(tarn_tree_open(seg, "t", 4096, &t), -EINVAL);
    assert_int_equal(tarn_tree_open(seg, "t", TARN_CREATE, &t), 0);
    assert_int_equal(tarn_tree_open(seg, "n", TARN_CREATE | TARN_TREE_U64, &n), 0);
    assert_int_equal(tarn_tree_open(seg, "t", TARN_TREE_U64, &o), -EPROTO);
    assert_int_equal(tarn_tree_open(seg, "n", TARN_CREATE, &o), -EPROTO);
    assert_int_equal(tarn_tree_open(seg, "n", 0, &o), 0);
    tarn_tree_close(o);
    assert_int_equal(tarn_tree_open_ordered(seg, "o", TARN_CREATE, 99, &o), -ENOTSUP);
    assert_non_null(strstr(tarn_error(), "99"));
    assert_int_equal(tarn_tree_compare_register(0, plain), -EINVAL);
    assert_int_equal(tarn_tree_compare_register(8, NULL), -EINVAL);
    assert_int_equal(tarn_tree_compare_register(8, plain), 0);
    assert_int_equal(tarn_tree_compare_register(8, plain), 0);
    assert_int_equal(tarn_tree_compare_register(8, reversed), -EEXIST);
    assert_int_equal(tarn_tree_open_ordered(seg, "o", TARN_CREATE | TARN_TREE_U64, 8, &o), -EINVAL);
    assert_int_equal(tarn_tree_open_ordered(seg, "o", TARN_CREATE, 8, &o), 0);
    o->tree->compare = 98; /* as if another process had made it */
    tarn_tree_close(o);
    assert_int_equal(tarn_tree_open(seg, "o", 0, &o), -ENOTSUP);
    assert_non_null(strstr(tarn_error(), "order 98"));
    assert_int_equal(tarn_tree_open_ordered(seg, "o", 0, 8, &o), -EPROTO);
    assert_int_equal(tarn_unbind(seg, "o", 1), 0);

    assert_int_equal(tarn_tree_put(t, "", 0, "x", 1), -EINVAL);
    assert_int_equal(tarn_tree_put(t, long_key, sizeof long_key, "x", 1), -EINVAL);
    assert_int_equal(tarn_tree_put(t, "k", 1, NULL, 1), -EINVAL);
    assert_int_equal(tarn_tree_put(n, "k", 1, "x", 1), -EPROTO);
    assert_int_equal(tarn_tree_put64(t, 1, 1), -EPROTO);
    assert_int_equal(tarn_tree_get64(t, 1, &v), -EPROTO);
    assert_int_equal(tarn_tree_get(n, "k", 1, bytes, 1, NULL), -EPROTO);
    assert_int_equal(tarn_tree_replace(t, "k", 1, "x", 1), -ENOENT);
    assert_int_equal(tarn_tree_remove(t, "k", 1), -ENOENT);
    assert_int_equal(tarn_tree_insert(t, "k", 1, "abcdefghij", 10), 0);
    assert_int_equal(tarn_tree_insert(t, "k", 1, "y", 1), -EEXIST);
    memset(bytes, '-', sizeof bytes);
    assert_int_equal(tarn_tree_get(t, "k", 1, bytes, 4, &size), 0);
    assert_int_equal(size, 10);
    assert_memory_equal(bytes, "abcd--", 6);
    assert_int_equal(tarn_tree_put(t, long_key, sizeof long_key - 1, "x", 0), 0);
    assert_int_equal(tarn_tree_get(t, long_key, sizeof long_key - 1, bytes, 0, &size), 0);
    assert_int_equal(size, 0);
    for (k = 0; k < 100; k++) { /* low keys of all lengths */
        assert_int_equal(tarn_tree_put(t, long_key, 600 * k + 1, &k, 8), 0);
        assert_int_equal(tarn_tree_put64(n, k, k), 0);
    }
    assert_clean(seg);

    assert_int_equal(tarn_tree_cursor_open(t, &c), 0);
    assert_int_equal(tarn_tree_previous(c, &e), -ENOENT);
    assert_int_equal(tarn_tree_seek(c, "k", 1, 2), -EINVAL);
    assert_int_equal(tarn_tree_seek(c, "", 0, 0), -EINVAL);
    assert_int_equal(tarn_tree_seek64(c, 1, 0), -EPROTO);
    assert_int_equal(tarn_tree_next64(c, &k, &v), -EPROTO);
    assert_int_equal(tarn_tree_seek(c, "k", 1, TARN_TREE_LOWER), 0);
    assert_int_equal(tarn_tree_next(c, &e), 0);
    assert_memory_equal(e.key, "k", 1);
    assert_int_equal(tarn_tree_next(c, &e), -ENOENT);
    assert_int_equal(tarn_tree_put(t, "l", 1, "", 0), 0); /* it stood at the end */
    assert_int_equal(tarn_tree_seek_prefix(c, "k", 1), 0);
    assert_int_equal(tarn_tree_next(c, &e), 0);
    assert_int_equal(tarn_tree_next(c, &e), -ENOENT);
    assert_int_equal(tarn_tree_previous(c, &e), 0);
    assert_int_equal(tarn_tree_previous(c, &e), -ENOENT);
    tarn_tree_cursor_close(c);
    tarn_tree_cursor_close(NULL);

    assert_int_equal(tarn_unbind(seg, "n", 1), 0);
    assert_int_equal(tarn_tree_put64(n, 1, 1), -ESTALE);
    tarn_tree_close(t);
    tarn_tree_close(n);
    tarn_tree_close(NULL);
    assert_clean(seg);
}

/* Every prefix of some keys: by a cursor, and by looking at all keys. */
static void prefixes(void **state)
{
    struct tarn_tree_entry e;
    (void)state;
    u64 = false;
    make_keys(by_bytes);
    assert_int_equal(tarn_tree_open(seg, "t", TARN_CREATE, &tree), 0);
    assert_int_equal(tarn_tree_cursor_open(tree, &cursor), 0);
    for (uint64_t i = 0; i < KEYS; i++)
        if (i % 5) {
            now[i] = (struct model){true, i};
            assert_int_equal(do_put(i, i), 0);
        }
    for (uint64_t round = 0; round < 400; round++) {
        const struct model_key *k = &key[next_random() % KEYS];
        size_t size = 1 + next_random() % k->size;
        uint64_t seen = 0, want = 0;
        assert_int_equal(tarn_tree_seek_prefix(cursor, k->bytes, size), 0);
        for (uint64_t i = 0; i < KEYS; i++) {
            if (!now[i].there || key[i].size < size || memcmp(key[i].bytes, k->bytes, size))
                continue;
            want++;
            assert_int_equal(tarn_tree_next(cursor, &e), 0);
            is_entry(i, &e);
        }
        assert_int_equal(tarn_tree_next(cursor, &e), -ENOENT);
        while (tarn_tree_previous(cursor, &e) == 0)
            seen++;
        assert_int_equal(seen, want);
    }
    tarn_tree_cursor_close(cursor);
    tarn_tree_close(tree);
}

/* ---- loads ---- */

struct load {
    uint64_t at, end, fail_at, twice_at;
};
static int next_key(struct tarn_tree_entry *e, void *arg)
{
    static char value[256];
    struct load *l = arg;
    uint64_t i = l->at;
    if (l->at == l->fail_at)
        return -EOVERFLOW;
    if (l->at == l->end)
        return 0;
    l->at += i == l->twice_at ? 0 : 1;
    l->twice_at = i == l->twice_at ? ~0ull : l->twice_at;
    now[i] = (struct model){true, i * 31};
    *e = u64 ? (struct tarn_tree_entry){&key[i].number, 8, &now[i].value, 8}
             : (struct tarn_tree_entry){key[i].bytes, key[i].size, value, value_bytes(now[i].value, value)};
    return 1;
}
static void load_kind(unsigned flags, int (*order)(const void *, const void *))
{
    struct load l = {0, 0, ~0ull, ~0ull};
    uint64_t baseline, parts[] = {0, 1, 9, 15, 16, 40, 1000, 1001, KEYS - 1};
    u64 = flags & TARN_TREE_U64;
    make_keys(order);
    assert_int_equal(tarn_tree_open(seg, "t", TARN_CREATE | flags, &tree), 0);
    assert_int_equal(tarn_tree_cursor_open(tree, &cursor), 0);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        l.end = parts[i];
        assert_int_equal(tarn_tree_load(tree, next_key, &l), 0);
        agree();
    }
    memcpy(before, now, sizeof now);
    l = (struct load){100, KEYS, ~0ull, ~0ull};
    assert_int_equal(tarn_tree_load(tree, next_key, &l), -EINVAL); /* not above */
    l = (struct load){KEYS - 1, KEYS, ~0ull, KEYS - 1};
    assert_int_equal(tarn_tree_load(tree, next_key, &l), -EINVAL); /* twice */
    assert_int_equal(tarn_begin(seg), 0);
    l = (struct load){KEYS - 1, KEYS, ~0ull, ~0ull};
    assert_int_equal(tarn_tree_load(tree, next_key, &l), -EPERM);
    assert_int_equal(tarn_commit(seg), 0);
    memcpy(now, before, sizeof now);
    agree();
    for (uint64_t i = 500; i < KEYS; i++) {
        assert_int_equal(do_remove(i), now[i].there ? 0 : -ENOENT);
        now[i].there = false;
    }
    memcpy(before, now, sizeof now);
    l = (struct load){500, KEYS, KEYS - 3, ~0ull};
    assert_int_equal(tarn_tree_load(tree, next_key, &l), -EOVERFLOW);
    baseline = stat_of(seg).allocated; /* extents of the log stay with the record */
    l = (struct load){500, KEYS, KEYS - 3, ~0ull};
    assert_int_equal(tarn_tree_load(tree, next_key, &l), -EOVERFLOW);
    memcpy(now, before, sizeof now);
    agree();
    assert_int_equal(stat_of(seg).allocated, baseline);
    l = (struct load){500, KEYS, ~0ull, ~0ull};
    assert_int_equal(tarn_tree_load(tree, next_key, &l), 0);
    agree();
    at_random(8);
    tarn_tree_cursor_close(cursor);
    tarn_tree_close(tree);
}
static void load_numbers(void **state)
{
    (void)state;
    load_kind(TARN_TREE_U64, by_number);
}
static void load_strings(void **state)
{
    (void)state;
    load_kind(0, by_bytes);
}

/* ---- memory that runs out; read-only ---- */

static void no_memory(void **state)
{
    tarn_tree *t, *r;
    tarn_tree_cursor *c;
    struct tarn_tree_entry entry;
    tarn *reader;
    static char big[4000];
    uint64_t n = 0, count, keys = 0, seen = 0;
    int e;
    (void)state;
    assert_int_equal(tarn_tree_open(seg, "t", TARN_CREATE, &t), 0);
    while ((e = tarn_tree_put(t, &n, 8, big, n % sizeof big)) == 0)
        n++;
    assert_int_equal(e, -ENOSPC);
    assert_in_range(n, 500, 2200);
    assert_clean(seg);
    assert_int_equal(tarn_tree_count(t, &count), 0);
    assert_int_equal(count, n);
    assert_int_equal(tarn_begin(seg), 0);
    while (keys < n && (e = tarn_tree_remove(t, &keys, 8)) == 0)
        keys++;
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_tree_count(t, &count), 0);
    assert_int_equal(count, n);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_tree_open(reader, "t", 0, &r), 0);
    assert_int_equal(tarn_tree_open(reader, "none", TARN_CREATE, &r), -EROFS);
    keys = 1;
    assert_int_equal(tarn_tree_get(r, &keys, 8, big, sizeof big, NULL), 0);
    assert_int_equal(tarn_tree_put(r, &keys, 8, big, 1), -EROFS);
    assert_int_equal(tarn_tree_insert(r, &keys, 8, big, 1), -EROFS);
    assert_int_equal(tarn_tree_remove(r, &keys, 8), -EROFS);
    assert_int_equal(tarn_tree_count(r, &count), 0);
    assert_int_equal(count, n);
    assert_int_equal(tarn_tree_cursor_open(r, &c), 0);
    while (tarn_tree_next(c, &entry) == 0)
        seen++;
    while (tarn_tree_previous(c, &entry) == 0)
        seen++;
    assert_int_equal(seen, 2 * n);
    tarn_tree_cursor_close(c);
    assert_int_equal(tarn_check(reader, print_damage, NULL), 0);
    tarn_tree_close(r);
    assert_int_equal(tarn_close(reader), 0);
    for (keys = 0; keys < n; keys++)
        assert_int_equal(tarn_tree_remove(t, &keys, 8), 0);
    assert_int_equal(t->tree->root, t->tree->first);
    tarn_tree_close(t);
    assert_int_equal(tarn_unbind(seg, "t", 1), 0);
    assert_clean(seg);
}

/* ---- damaged bytes ---- */

static void any_failure(int e)
{
    assert_true(e == 0 || e == -ENOENT || e == -EUCLEAN || e == -ENOSPC || e == -EINVAL || e == -ENOMEM ||
                e == -ESTALE || e == -EDEADLK);
}
static int ignore(const void *k, size_t key_size, const void *value, size_t size, void *arg)
{
    (void)k, (void)key_size, (void)value, (void)size, (void)arg;
    return 0;
}

/* All nodes, from each level's leftmost. */
static unsigned all_nodes(tarn_tree *t, uint64_t *ref, unsigned most)
{
    unsigned n = 0;
    uint64_t down = t->tree->root;
    for (;;) {
        const struct node *left = node_at(t, down), *at = left;
        for (uint64_t r = down; r && n < most; r = at->right & NODE_REF) {
            at = node_at(t, r);
            assert_non_null(at);
            ref[n++] = r;
        }
        if (!left->level)
            return n;
        down = node_refs(left, t->room)[0];
    }
}

/* Random words in a tree's root, nodes and entries: every call that reads returns. The word is put back each round. */
static void hostile(void **state)
{
    static uint64_t ref[4000];
    uint64_t reported = 0, v, rounds = SANITIZED ? 700 : 2500;
    tarn_tree *kind[2];
    (void)state;
    check_pause_ns = 0;
    assert_int_equal(tarn_tree_open(seg, "n", TARN_CREATE | TARN_TREE_U64, &kind[0]), 0);
    assert_int_equal(tarn_tree_open(seg, "t", TARN_CREATE, &kind[1]), 0);
    for (uint64_t i = 0; i < 1500; i++) {
        char k[40];
        int n = snprintf(k, sizeof k, "a long beginning %u", (unsigned)i * 7 % 1500);
        assert_int_equal(tarn_tree_put64(kind[0], i * 7 % 1500, i), 0);
        assert_int_equal(tarn_tree_put(kind[1], k, (size_t)n, k, 8), 0);
    }
    for (unsigned which = 0; which < 2; which++) {
        tarn_tree *t = kind[which];
        unsigned refs = all_nodes(t, ref + 1, 3000) + 1;
        ref[0] = t->ref;
        for (unsigned i = 1, n = refs; which && i < n; i += 7)
            if (!node_at(t, ref[i])->level)
                ref[refs++] = node_refs(node_at(t, ref[i]), LEAF_ROOM)[order_slot(node_at(t, ref[i])->order, 0)];
        for (uint64_t round = 0; round < rounds; round++) {
            uint64_t r = ref[next_random() % refs], words = tarn_block_size(seg, r) / 8, x = next_random(), was;
            uint64_t *at =
                (uint64_t *)tarn_ptr(seg, r, words * 8) + next_random() % (round % 2 && words > 8 ? 8 : words);
            tarn_tree_cursor *c;
            struct tarn_tree_entry e;
            tarn_tree damaged;
            int n;
            was = *at;
            *at = round % 6 == 0   ? x
                  : round % 6 == 1 ? x % (4 << 20)
                  : round % 6 == 2 ? ref[x % refs]
                  : round % 6 == 3 ? x << 48 | ref[x % refs]
                  : round % 6 == 4 ? was + 1
                                   : was ^ 1ull << x % 64;
            if (at == (uint64_t *)&t->tree->loader || at == (uint64_t *)&t->tree->lock ||
                (r != t->ref && tarn_block_size(seg, r) > 300 && at == (uint64_t *)at_offset(seg, r)))
                *at = 0; /* a lock that is held by somebody alive is waited for: not what is tried here */
            n = tarn_check(seg, NULL, NULL);
            assert_true(n >= 0);
            reported += n > 0;
            damaged = *t;
            any_failure(tarn_tree_cursor_open(&damaged, &c));
            for (uint64_t i = 0; i < 30; i++) {
                char k[40];
                int size = snprintf(k, sizeof k, "a long beginning %u", (unsigned)(next_random() % 1600));
                any_failure(which ? tarn_tree_get(&damaged, k, (size_t)size, k, sizeof k, NULL)
                                  : tarn_tree_get64(&damaged, next_random() % 1600, &v));
                any_failure(which ? tarn_tree_seek(c, k, (size_t)size, (unsigned)i % 2)
                                  : tarn_tree_seek64(c, next_random() % 1600, (unsigned)i % 2));
                for (int j = 0; j < 20; j++)
                    any_failure(i % 3 ? tarn_tree_next(c, &e) : tarn_tree_previous(c, &e));
            }
            tarn_tree_cursor_close(c);
            if (round % 16 == 0) {
                any_failure(tarn_tree_each(&damaged, ignore, NULL));
                any_failure(tarn_tree_count(&damaged, &v));
            }
            *at = was;
        }
        assert_in_range(reported, rounds / 8, rounds * 2);
        tarn_tree_close(t);
    }
    assert_clean(seg);
}

/* Each leaf's right neighbour in turn is the first: whoever walks along is told, and does not walk for ever. */
static void circles(void **state)
{
    static uint64_t ref[1000];
    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        tarn_tree *t;
        uint64_t count;
        unsigned refs, leaves = 0;
        assert_int_equal(tarn_tree_open(seg, which ? "t" : "n", TARN_CREATE | (which ? 0 : TARN_TREE_U64), &t), 0);
        for (uint64_t i = 0; i < 1500; i++) {
            char k[40];
            int n = snprintf(k, sizeof k, "a long beginning %u", (unsigned)i * 7 % 1500);
            assert_int_equal(which ? tarn_tree_put(t, k, (size_t)n, k, 8) : tarn_tree_put64(t, i * 7 % 1500, i), 0);
        }
        refs = all_nodes(t, ref, 1000);
        for (unsigned i = 0; i < refs; i++) {
            struct node *n = node_at(t, ref[i]);
            const uint64_t right = n->right;
            tarn_tree_cursor *c;
            struct tarn_tree_entry e;
            int steps = 0, k;
            if (n->level || (SANITIZED && i % 4))
                continue;
            leaves++;
            n->right = (right & ~NODE_REF) | (t->tree->first & NODE_REF);
            assert_int_equal(tarn_tree_count(t, &count), -EUCLEAN);
            assert_int_equal(tarn_tree_each(t, ignore, NULL), -EUCLEAN);
            assert_int_equal(tarn_tree_cursor_open(t, &c), 0);
            while ((k = tarn_tree_next(c, &e)) == 0 && steps++ < 3000)
                ;
            assert_int_equal(k, -EUCLEAN);
            tarn_tree_cursor_close(c);
            n->right = right;
        }
        assert_true(leaves > 5);
        tarn_tree_close(t);
    }
    assert_clean(seg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(strings, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(own_order, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(promises, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(prefixes, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(circles, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(load_numbers, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(load_strings, open_small, close_segment),
        cmocka_unit_test_setup_teardown(no_memory, open_small, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_small, close_segment),
        cmocka_unit_test_setup_teardown(numbers, open_small, close_segment),
        cmocka_unit_test_setup_teardown(strings, open_small, close_segment),
    };
    alarm(200);
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}

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

static int print_damage(const struct tarn_damage *d, void *arg)
{
    (void)arg;
    print_error("damage at %#llx: %s\n", (unsigned long long)d->ref, d->what);
    return 0;
}
static void clean_now(void)
{
    uint64_t leaked = 1;
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
    assert_int_equal(tarn_leaked(seg, &leaked), 0);
    assert_int_equal(leaked, 0);
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
    static const char *const front[] = {"", "a", "aaaaaaa", "aaaaaaaa", "aaaaaaaaaaaaaaaaaaaa", "tarn/", "\xff\xff"};
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
            k->size += (size_t)snprintf(k->bytes + k->size, 16, "%llu", (unsigned long long)(i / 7 * (i % 3 ? 1 : 977)));
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
    return u64 ? tarn_tree_seek64(cursor, key[i].number, bound) : tarn_tree_seek(cursor, key[i].bytes, key[i].size, bound);
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
    clean_now();
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

static uint64_t allocated(void)
{
    struct tarn_stat s;
    assert_int_equal(tarn_stat(seg, &s), 0);
    return s.allocated;
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
    assert_int_equal(allocated(), baseline);
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
    baseline = allocated();
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
    clean_now();
}

static void numbers(void **state)
{
    (void)state;
    whole(TARN_TREE_U64, 0, by_number, 60);
}
static void strings(void **state)
{
    (void)state;
    whole(0, 0, by_bytes, 60);
}
static void own_order(void **state)
{
    (void)state;
    assert_int_equal(tarn_tree_compare_register(REVERSED, reversed), 0);
    whole(0, REVERSED, by_bytes_reversed, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(strings, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(own_order, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(numbers, open_small, close_segment),
        cmocka_unit_test_setup_teardown(strings, open_small, close_segment),
    };
    alarm(200);
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}

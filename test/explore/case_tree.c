/* case_tree.c - the tree, of three entries a leaf and three a node: readers take no lock, and see entries whole, each that is there throughout; splits
 * and unlinked nodes lose nothing. */
#include "collection/tree.h"
#include "explore.h"

static tarn_tree *tree[PEOPLE + 1];

static void add(int p, uint64_t key)
{
    MUST(tarn_tree_put64(tree[p], key, 10 * key));
}
static void make(const uint64_t *keys)
{
    MUST(tarn_tree_open(seg_of(DRIVER), "tree", TARN_CREATE | TARN_TREE_U64, &tree[DRIVER]));
    for (; *keys; keys++)
        add(DRIVER, *keys);
}
static void open_it(int p)
{
    MUST(tarn_tree_open(seg_of(p), "tree", TARN_TREE_U64, &tree[p]));
}

/* 1: it is there, and right; 0: it is not. */
static int look(int p, uint64_t key)
{
    uint64_t v = 0;
    int e = tarn_tree_get64(tree[p], key, &v);
    must_be(e == -ENOENT || (e == 0 && v == 10 * key), "a look-up failed, or found another entry's value");
    return e == 0;
}
static void there(int p, uint64_t key)
{
    must_be(look(p, key), "a key was not found that was there all the time");
}

/* At the end: the keys of `always`, those of `maybe` where somebody died in the midst of it, and no others, by look-ups and by walks. */
static const char *all_there(const uint64_t *always, const uint64_t *maybe)
{
    tarn_tree_cursor *c;
    uint64_t key, value, seen[32], count = 0, n = 0;
    for (; *always; always++, n++)
        if (!look(DRIVER, *always))
            return "an entry was lost";
    for (; *maybe; maybe++)
        n += (uint64_t)look(DRIVER, *maybe);
    if (tarn_tree_cursor_open(tree[DRIVER], &c))
        return "no cursor";
    for (; tarn_tree_next64(c, &key, &value) == 0 && count < 32; seen[count++] = key)
        if ((count && key <= seen[count - 1]) || value != 10 * key)
            return "a walk shows entries out of order, or torn";
    if (count != n)
        return "a walk shows an entry twice, or not at all";
    while (tarn_tree_previous64(c, &key, &value) == 0)
        if (!n || key != seen[--n])
            return "a walk backwards shows others";
    tarn_tree_cursor_close(c);
    return n ? "a walk backwards shows less" : NULL;
}
#define KEYS(...) ((const uint64_t[]){__VA_ARGS__, 0})
#define NONE ((const uint64_t[]){0})

/* 0 takes an entry out and puts another into its slot, 1 looks for both. */
static void make_two(void)
{
    make(KEYS(1, 3));
}
static void reuse(int p)
{
    if (p == 0) {
        MUST(tarn_tree_remove64(tree[p], 3));
        add(p, 2);
        return;
    }
    (void)look(p, 3);
    (void)look(p, 2);
    there(p, 1);
}
static const char *reused(void)
{
    if (!died(0) && (look(DRIVER, 3) || !look(DRIVER, 2)))
        return "a change was not made";
    return all_there(KEYS(1), KEYS(2, 3));
}
/* The same in a section that is undone. */
static void reuse_undone(int p)
{
    if (p) {
        reuse(p);
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    reuse(p);
    MUST(tarn_abort(seg_of(p)));
}
static const char *as_before(void)
{
    return look(DRIVER, 2) ? "an undone entry is there" : all_there(KEYS(1, 3), NONE);
}
/* ... while another walks. */
static void undone_and_walk(int p)
{
    tarn_tree_cursor *c;
    uint64_t key, value, last = 0, ones = 0;
    if (p == 0) {
        reuse_undone(p);
        return;
    }
    MUST(tarn_tree_cursor_open(tree[p], &c));
    for (; tarn_tree_next64(c, &key, &value) == 0; last = key) {
        must_be(key > last && value == 10 * key, "a walk shows entries out of order, or torn");
        ones += key == 1;
    }
    must_be(ones == 1, "a walk left out a key that was there all the time");
    tarn_tree_cursor_close(c);
}

/* A full leaf: 0 splits it. */
static void make_full(void)
{
    make(KEYS(2, 4, 6));
}
static void split_and_get(int p)
{
    if (p == 0) {
        add(p, 5);
        return;
    }
    there(p, 6);
    there(p, 2);
    (void)look(p, 5);
}
static void split_and_walk(int p)
{
    tarn_tree_cursor *c;
    uint64_t key, value, last = 0, seen = 0;
    if (p == 0) {
        add(p, 5);
        return;
    }
    MUST(tarn_tree_cursor_open(tree[p], &c));
    for (; tarn_tree_next64(c, &key, &value) == 0; last = key) {
        must_be(key > last && value == 10 * key, "a walk shows entries out of order, or torn");
        seen += key != 5;
    }
    must_be(seen == 3, "a walk left out a key that was there all the time");
    while (tarn_tree_previous64(c, &key, &value) == 0)
        seen += key != 5;
    must_be(seen == 6, "a walk backwards left out a key, or showed one twice");
    tarn_tree_cursor_close(c);
}
static void split_and_put(int p)
{
    add(p, p == 0 ? 5 : 3);
}
static const char *both_put(void)
{
    if ((!died(0) && !look(DRIVER, 5)) || (!died(1) && !look(DRIVER, 3)))
        return "an entry was lost";
    return all_there(KEYS(2, 4, 6), KEYS(3, 5));
}
static const char *one_put(void)
{
    if (!died(0) && !look(DRIVER, 5))
        return "an entry was lost";
    return all_there(KEYS(2, 4, 6), KEYS(5));
}
/* A split that is undone, with values and slots that it had changed before. */
static void split_undone(int p)
{
    if (p) {
        there(p, 6);
        there(p, 2);
        return;
    }
    MUST(tarn_begin(seg_of(p)));
    MUST(tarn_tree_remove64(tree[p], 4));
    add(p, 3);
    add(p, 5);
    MUST(tarn_abort(seg_of(p)));
}
static void split_undone_and_walk(int p)
{
    tarn_tree_cursor *c;
    uint64_t key, value, last = 0, seen = 0;
    if (p == 0) {
        split_undone(p);
        return;
    }
    MUST(tarn_tree_cursor_open(tree[p], &c));
    for (; tarn_tree_next64(c, &key, &value) == 0; last = key) {
        must_be(key > last && value == 10 * key, "a walk shows entries out of order, or torn");
        seen += key == 2 || key == 6;
    }
    must_be(seen == 2, "a walk left out a key that was there all the time");
    tarn_tree_cursor_close(c);
}
static void undone_and_put(int p)
{
    if (p == 0)
        split_undone(p);
    else
        add(p, 7);
}
static const char *undone(void)
{
    if (look(DRIVER, 3) || look(DRIVER, 5))
        return "an undone entry is there";
    return all_there(KEYS(2, 4, 6), KEYS(7));
}

/* Two leaves, of which the second has one entry: 0 takes it out, and unlinks the leaf. */
static void make_two_leaves(void)
{
    make(KEYS(2, 4, 6, 8));
}
static void unlink_and_put(int p)
{
    if (p == 0)
        MUST(tarn_tree_remove64(tree[p], 8));
    else
        add(p, 9);
}
static const char *unlinked_and_put(void)
{
    if ((!died(0) && look(DRIVER, 8)) || (!died(1) && !look(DRIVER, 9)))
        return "a change was lost";
    return all_there(KEYS(2, 4, 6), KEYS(8, 9));
}
static void unlink_and_walk(int p)
{
    tarn_tree_cursor *c;
    uint64_t key, value, sum = 0;
    if (p == 0) {
        MUST(tarn_tree_remove64(tree[p], 8));
        return;
    }
    MUST(tarn_tree_cursor_open(tree[p], &c));
    while (tarn_tree_next64(c, &key, &value) == 0)
        sum += value;
    must_be(sum == 120 || sum == 200, "a walk is not one of the tree before, or after");
    tarn_tree_cursor_close(c);
}
static const char *unlinked(void)
{
    if (!died(0) && look(DRIVER, 8))
        return "it is there still";
    return all_there(KEYS(2, 4, 6), KEYS(8));
}
/* 0 splits the first one: above, the entry of the second makes room. */
static void entry_moves(int p)
{
    if (p == 0) {
        add(p, 5);
        return;
    }
    there(p, 6);
    there(p, 8);
}
static const char *entry_moved(void)
{
    if (!died(0) && !look(DRIVER, 5))
        return "an entry was lost";
    return all_there(KEYS(2, 4, 6, 8), KEYS(5));
}
/* 0 makes a leaf, 1 empties and unlinks it, perhaps before it is led to from above. */
static void adopt_and_unlink(int p)
{
    if (p == 0) {
        add(p, 8);
        return;
    }
    if (tarn_tree_remove64(tree[p], 8) == -ENOENT)
        (void)tarn_tree_remove64(tree[p], 8);
}
static const char *perhaps_unlinked(void)
{
    return all_there(KEYS(2, 4, 6), KEYS(8));
}

/* Three leaves, all full, as many as a node above leads to: 0's split splits that one, too. */
static void make_full_node(void)
{
    make(KEYS(2, 4, 6, 8, 10, 12, 14, 16, 18));
}
static void node_and_get(int p)
{
    if (p == 0) {
        add(p, 5);
        return;
    }
    there(p, 6);
    there(p, 18);
}
static void node_and_put(int p)
{
    add(p, p == 0 ? 5 : 15);
}
static const char *node_split(void)
{
    if ((!died(0) && !look(DRIVER, 5)))
        return "an entry was lost";
    return all_there(KEYS(2, 4, 6, 8, 10, 12, 14, 16, 18), KEYS(5, 15));
}

/* A node of one leaf of one entry: both go, and the root above them. */
static void make_lone_node(void)
{
    make(KEYS(2, 4, 6, 8, 10, 12, 14, 16, 18, 20));
}
static void unlink_node_and_put(int p)
{
    if (p == 0)
        MUST(tarn_tree_remove64(tree[p], 20));
    else
        add(p, 21);
}
static void unlink_node_and_get(int p)
{
    if (p == 0) {
        MUST(tarn_tree_remove64(tree[p], 20));
        return;
    }
    (void)look(p, 20);
    there(p, 18);
}
static const char *node_unlinked(void)
{
    if ((!died(0) && look(DRIVER, 20)))
        return "it is there still";
    return all_there(KEYS(2, 4, 6, 8, 10, 12, 14, 16, 18), KEYS(20, 21));
}

/* 0 loads, 1 puts among what it loads. */
static int next_of_two(struct tarn_tree_entry *e, void *arg)
{
    uint64_t *at = arg; /* {left, key, value} */
    if (!at[0])
        return 0;
    at[1] = 8 + 2 * (2 - at[0]--);
    at[2] = 10 * at[1];
    *e = (struct tarn_tree_entry){&at[1], 8, &at[2], 8};
    return 1;
}
static void load_and_put(int p)
{
    uint64_t at[3] = {2};
    int e;
    if (p) {
        add(p, 9);
        return;
    }
    e = tarn_tree_load(tree[p], next_of_two, at);
    must_be(e == 0 || e == -EINVAL, "a load failed"); /* 9 may be there before */
    ghost[0] = e == 0;
}
static const char *loaded(void)
{
    if ((ghost[0] && !look(DRIVER, 8)) || look(DRIVER, 8) != look(DRIVER, 10))
        return "a load was lost, or made in part";
    if (!died(1) && !look(DRIVER, 9))
        return "an entry was lost";
    return all_there(KEYS(2, 4, 6), KEYS(8, 9, 10));
}

const struct test_case tree_cases[] = {
    {"tree, reuse and get", 2, 3, 4, 0, make_two, open_it, reuse, reused},
    {"tree, reuse undone and get", 2, 3, 4, 0, make_two, open_it, reuse_undone, as_before},
    {"tree, reuse undone and walk", 2, 3, 4, 0, make_two, open_it, undone_and_walk, as_before},
    {"tree, split and get", 2, 2, 4, 0, make_full, open_it, split_and_get, one_put},
    {"tree, split and walk", 2, 2, 3, 0, make_full, open_it, split_and_walk, one_put},
    {"tree, split and put", 2, 2, 3, 0, make_full, open_it, split_and_put, both_put},
    {"tree, split undone and get", 2, 3, 3, 0, make_full, open_it, split_undone, undone},
    {"tree, split undone and walk", 2, 3, 3, 0, make_full, open_it, split_undone_and_walk, undone},
    {"tree, split undone and put", 2, 2, 3, 0, make_full, open_it, undone_and_put, undone},
    {"tree, entry moves and get", 2, 3, 3, 0, make_two_leaves, open_it, entry_moves, entry_moved},
    {"tree, unlink and put", 2, 2, 3, 0, make_two_leaves, open_it, unlink_and_put, unlinked_and_put},
    {"tree, unlink and walk", 2, 3, 3, 0, make_two_leaves, open_it, unlink_and_walk, unlinked},
    {"tree, new leaf and unlink", 2, 2, 3, 0, make_full, open_it, adopt_and_unlink, perhaps_unlinked},
    {"tree, node split and get", 2, 2, 3, 0, make_full_node, open_it, node_and_get, node_split},
    {"tree, node split and put", 2, 1, 3, 0, make_full_node, open_it, node_and_put, node_split},
    {"tree, node unlinked and put", 2, 2, 3, 0, make_lone_node, open_it, unlink_node_and_put, node_unlinked},
    {"tree, node unlinked and get", 2, 2, 3, 0, make_lone_node, open_it, unlink_node_and_get, node_unlinked},
    {"tree, load and put", 2, 2, 3, 0, make_full, open_it, load_and_put, loaded},
    {0},
};

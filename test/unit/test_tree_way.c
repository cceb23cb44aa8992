/* test_tree_way.c - that the tree's hints are there: inner nodes lead to the leaf of a key, and the quick way down is taken.
 *
 * Without them every call finds what it looks for all the same, along the links; so no other test would miss them. */
#include "helper.h"

#include "collection/tree.h"

enum { KEYS = 4000 };

static tarn *seg;

static int open_segment(void **state)
{
    struct tarn_options o = {.size = sizeof o, .limit = 64 << 20};
    (void)state;
    alarm(100);
    return tarn_open("anon:", TARN_CREATE, &o, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

static tarn_tree *made(const char *name, unsigned flags)
{
    tarn_tree *t;
    assert_int_equal(tarn_tree_open(seg, name, TARN_CREATE | flags, &t), 0);
    return t;
}
static void ended(tarn_tree *t, const char *name)
{
    tarn_tree_close(t);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}

/* A key of the tree: a number, or its bytes, the greatest first */
static struct tree_key key_of(const tarn_tree *t, uint64_t i, uint64_t *bytes)
{
    if (t->u64)
        return (struct tree_key){.head = i};
    bytes[0] = 7; /* one head for all: whole keys are compared */
    bytes[1] = __builtin_bswap64(i);
    return (struct tree_key){.head = head_of(t, bytes, 16), .bytes = bytes, .size = 16};
}
static int put(tarn_tree *t, uint64_t i)
{
    uint64_t bytes[2];
    struct tree_key k = key_of(t, i, bytes);
    return t->u64 ? tarn_tree_put64(t, i, i) : tarn_tree_put(t, k.bytes, k.size, &i, 8);
}

/* Keys whose leaf inner nodes lead to, without a link of leaves on the way */
static int led_to(tarn_tree *t)
{
    int n = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t bytes[2];
        struct tree_key k = key_of(t, i, bytes);
        struct spot p;
        bool same = false;
        assert_int_equal(tree_find(NULL, t, &k, 0, TREE_AT, &p), 0);
        n += tree_rank(t, p.node, p.node->order, &k, &same) >= 0 && same;
    }
    return n;
}

/* Keys whose leaf is found the quick way; the others take the ordinary one. Those of an inner node's last leaf do, if there is a node to its right. */
static int quick(tarn_tree *t)
{
    int n = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        struct tree_key k = {.head = i};
        const struct node *leaf = tree_quick(t, i);
        bool same = false;
        n += leaf && tree_rank(t, leaf, leaf->order, &k, &same) >= 0 && same;
    }
    return n;
}

static void assert_levels(const tarn_tree *t, unsigned levels)
{
    const struct node *root = at_offset(seg, t->tree->root);
    assert_int_equal(root->level, levels);
}

/* Each put tells the level above of the leaf that it split off. */
static void puts_lead(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 6; way++) {
        tarn_tree *t = made("t", way < 3 ? TARN_TREE_U64 : 0), *other;
        for (uint64_t i = 0; i < KEYS; i++)
            assert_int_equal(put(t, way % 3 == 0 ? i : way % 3 == 1 ? KEYS - 1 - i : i * 1009 % KEYS), 0);
        assert_int_equal(led_to(t), KEYS);
        assert_levels(t, 2);
        if (way < 3) {
            uint64_t v;
            assert_int_equal(tarn_tree_get64(t, KEYS / 2, &v), 0); /* it may learn how much is committed */
            assert_in_range(quick(t), KEYS * 9 / 10, KEYS);
            other = made("t", TARN_TREE_U64);
            assert_int_equal(quick(other), quick(t));
            tarn_tree_close(other);
        }
        ended(t, "t");
    }
}

/* What a section split, nobody is told of before it ends; then whoever comes by and may write leads there from above. */
static void who_comes_by_leads(void **state)
{
    (void)state;
    for (unsigned u64 = 0; u64 < 2; u64++) {
        tarn_tree *t = made("t", u64 ? TARN_TREE_U64 : 0);
        assert_int_equal(tarn_begin(seg), 0);
        for (uint64_t i = 0; i < KEYS; i++)
            assert_int_equal(put(t, i * 1009 % KEYS), 0);
        assert_levels(t, 0);
        assert_int_equal(tarn_commit(seg), 0);
        assert_in_range(led_to(t), 1, 15);
        for (uint64_t i = 0; i < KEYS; i++)
            assert_int_equal(put(t, i), 0);
        assert_int_equal(led_to(t), KEYS);
        assert_levels(t, 2);
        ended(t, "t");
    }
}

static int next_number(struct tarn_tree_entry *e, void *arg)
{
    static uint64_t key;
    uint64_t *i = arg;
    if (*i == KEYS)
        return 0;
    key = (*i)++;
    *e = (struct tarn_tree_entry){&key, 8, &key, 8};
    return 1;
}

static void a_load_leads(void **state)
{
    (void)state;
    uint64_t next = 0, v;
    tarn_tree *t = made("t", TARN_TREE_U64);
    assert_int_equal(tarn_tree_load(t, next_number, &next), 0);
    assert_int_equal(led_to(t), KEYS);
    assert_int_equal(tarn_tree_get64(t, 1, &v), 0);
    assert_in_range(quick(t), KEYS * 9 / 10, KEYS);
    ended(t, "t");
}

/* What is not led to any more: nothing is left of a tree that was emptied from either end, or from the midst. */
static void removals_lead_away(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        tarn_tree *t = made("t", TARN_TREE_U64);
        uint64_t few = stat_of(seg).allocated;
        for (uint64_t i = 0; i < KEYS; i++)
            assert_int_equal(put(t, i), 0);
        for (uint64_t i = 0; i < KEYS; i++)
            assert_int_equal(tarn_tree_remove64(t, way == 0   ? i
                                                   : way == 1 ? KEYS - 1 - i
                                                              : (i + KEYS / 2) % KEYS),
                             0);
        assert_levels(t, 0);
        assert_int_equal(stat_of(seg).allocated, few);
        ended(t, "t");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(puts_lead, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(who_comes_by_leads, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(a_load_leads, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(removals_lead_away, open_segment, close_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

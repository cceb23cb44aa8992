/* operations_tree.c - what CRASHLAB steps through in trees: each call that changes one, splits of leaves and inner nodes, the root's growth and end,
 * nodes unlinked, loads; in sections of their own, and in such that commit or abort. */
#include <string.h>

#include "operations.h"
#include "collection/tree.h"

/* Two in a step, so that there is room between. */
static void numbers(struct lab *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        MUST(tarn_tree_put64(l->tree64, 2 * i, i));
}
static void drop(struct lab *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        MUST(tarn_tree_remove64(l->tree64, 2 * i));
}

static void put(struct lab *l)
{
    MUST(tarn_tree_put(l->tree, "one", 3, "1", 1));
    mark(l);
    MUST(tarn_tree_put(l->tree, "two", 3, "zwei", 4));
    mark(l);
    MUST(tarn_tree_put(l->tree, "one", 3, "another", 7));
    mark(l);
    MUST(tarn_tree_insert64(l->tree64, 1, 10));
    mark(l);
    MUST(tarn_tree_put64(l->tree64, 1, 11));
}
static void entries(struct lab *l)
{
    MUST(tarn_tree_put(l->tree, "one", 3, "1", 1));
    MUST(tarn_tree_put(l->tree, "two", 3, "12345678", 8));
    MUST(tarn_tree_put(l->tree, "three", 5, "drei", 4));
    MUST(tarn_tree_put64(l->tree64, 1, 10));
    MUST(tarn_tree_put64(l->tree64, 2, 20));
}
static void change(struct lab *l)
{
    MUST(tarn_tree_remove(l->tree, "one", 3));
    MUST(tarn_tree_replace(l->tree, "two", 3, "87654321", 8)); /* in place */
    MUST(tarn_tree_insert(l->tree, "four", 4, "vier", 4));     /* in the slot of "one", maybe */
    MUST(tarn_tree_put(l->tree, "three", 5, "three", 5));
    MUST(tarn_tree_remove(l->tree, "four", 4));
    MUST(tarn_tree_put(l->tree, "five", 4, "", 0));
    MUST(tarn_tree_replace64(l->tree64, 1, 11));
    MUST(tarn_tree_remove64(l->tree64, 2));
    MUST(tarn_tree_put64(l->tree64, 3, 30));
    MUST(tarn_tree_remove64(l->tree64, 1));
    MUST(tarn_tree_put64(l->tree64, 4, 40));
}
static void tree_change(struct lab *l)
{
    MUST(tarn_tree_remove(l->tree, "one", 3));
    mark(l);
    MUST(tarn_tree_replace(l->tree, "two", 3, "87654321", 8));
    mark(l);
    MUST(tarn_tree_insert(l->tree, "four", 4, "vier", 4));
    mark(l);
    MUST(tarn_tree_replace64(l->tree64, 1, 11));
    mark(l);
    MUST(tarn_tree_remove64(l->tree64, 2));
    mark(l);
    MUST(tarn_tree_put64(l->tree64, 3, 30));
}
static void tree_commit(struct lab *l)
{
    MUST(tarn_begin(SEG));
    change(l);
    MUST(tarn_commit(SEG));
}
static void tree_abort(struct lab *l)
{
    MUST(tarn_begin(SEG));
    change(l);
    MUST(tarn_abort(SEG));
}

/* One leaf, full: the next one splits it, and makes a root. */
static void full_leaf(struct lab *l)
{
    numbers(l, 0, LEAF_SLOTS);
}
static void split_leaf(struct lab *l)
{
    MUST(tarn_tree_put64(l->tree64, 5, 1));
    mark(l);
    MUST(tarn_tree_put64(l->tree64, 25, 1));
}
static void split_behind(struct lab *l)
{
    MUST(tarn_tree_put64(l->tree64, 1000, 1));
}
static void full_leaf_of_bytes(struct lab *l)
{
    char key[8] = "a/0";
    for (char c = 'a'; c < 'a' + (char)LEAF_SLOTS; c++) {
        key[2] = c;
        MUST(tarn_tree_put(l->tree, key, 3, key, 3));
    }
}
static void split_leaf_of_bytes(struct lab *l)
{
    MUST(tarn_tree_put(l->tree, "a/dd", 4, "x", 1));
}
/* It has written in the leaf before that is full: values, entries gone and new. */
static void section_splits(struct lab *l)
{
    MUST(tarn_begin(SEG));
    MUST(tarn_tree_put64(l->tree64, 4, 400));
    MUST(tarn_tree_put64(l->tree64, 26, 2600));
    MUST(tarn_tree_remove64(l->tree64, 8));
    MUST(tarn_tree_put64(l->tree64, 9, 900));
    MUST(tarn_tree_put64(l->tree64, 27, 2700));
    MUST(tarn_tree_remove64(l->tree64, 2));
    MUST(tarn_tree_remove64(l->tree64, 28));
    MUST(tarn_tree_put64(l->tree64, 1, 100));
    MUST(tarn_tree_put64(l->tree64, 3, 300));
    MUST(tarn_tree_put64(l->tree64, 29, 2900));
}
static void split_commit(struct lab *l)
{
    section_splits(l);
    MUST(tarn_commit(SEG));
    mark(l);
    MUST(tarn_tree_put64(l->tree64, 31, 1)); /* it comes by the link */
}
static void split_abort(struct lab *l)
{
    section_splits(l);
    MUST(tarn_abort(SEG));
    MUST(tarn_tree_put64(l->tree64, 6, 600));
}

/* As many leaves as their inner node has room for, all but full; then one is full. */
static uint64_t leaves_of_a_node(struct lab *l)
{
    return (l->seg->geometry.span_size / 8 - sizeof(struct node)) / 16;
}
static void full_inner(struct lab *l)
{
    numbers(l, 0, leaves_of_a_node(l) * LEAF_SLOTS); /* ascending: full leaves */
}
static void inner_split(struct lab *l)
{
    MUST(tarn_tree_put64(l->tree64, 101, 1));
    mark(l);
    MUST(tarn_tree_put64(l->tree64, 201, 1));
}
static void inner_split_behind(struct lab *l)
{
    MUST(tarn_tree_put64(l->tree64, 1u << 20, 1));
}

/* Three leaves, the middle one nearly empty. */
static void three_leaves(struct lab *l)
{
    numbers(l, 0, 3 * LEAF_SLOTS);
    drop(l, LEAF_SLOTS + 1, 2 * LEAF_SLOTS);
}
static void unlink_leaf(struct lab *l)
{
    drop(l, LEAF_SLOTS, LEAF_SLOTS + 1);
    mark(l);
    MUST(tarn_tree_put64(l->tree64, 2 * LEAF_SLOTS, 1));
}
/* Two leaves: with the second one the root goes. */
static void two_leaves(struct lab *l)
{
    numbers(l, 0, LEAF_SLOTS + 1);
}
static void a_root_that_goes(struct lab *l)
{
    two_leaves(l);
    l->root->old_root = l->tree64->tree->root;
}
static void end_of_root(struct lab *l)
{
    drop(l, LEAF_SLOTS, LEAF_SLOTS + 1);
}
/* The last leaf of an inner node, which goes with it; then there is one left above it, and that goes, too. */
static void two_inner(struct lab *l)
{
    full_inner(l);
    numbers(l, leaves_of_a_node(l) * LEAF_SLOTS, leaves_of_a_node(l) * LEAF_SLOTS + 1);
}
static void unlink_inner(struct lab *l)
{
    uint64_t last = leaves_of_a_node(l) * LEAF_SLOTS;
    drop(l, last, last + 1);
}
static void empty_in_section(struct lab *l)
{
    MUST(tarn_begin(SEG));
    drop(l, LEAF_SLOTS, LEAF_SLOTS + 1);
    MUST(tarn_commit(SEG));
    mark(l);
    if (tarn_tree_remove64(l->tree64, 2 * LEAF_SLOTS) == 0) /* there is none; but its leaf is empty */
        lab_fail("removed twice");
}

static int next_number(struct tarn_tree_entry *e, void *arg)
{
    static uint64_t number, value;
    uint64_t *left = arg;
    if (!*left)
        return 0;
    number = 1000 + 50 - --*left;
    value = number * 2;
    *e = (struct tarn_tree_entry){&number, 8, &value, 8};
    return 1;
}
static void load(struct lab *l)
{
    uint64_t left;
    MUST((left = 50, tarn_tree_load(l->tree64, next_number, &left)));
}
static int next_that_fails(struct tarn_tree_entry *e, void *arg)
{
    uint64_t *left = arg;
    return *left < 20 ? -1 : next_number(e, arg);
}
static void load_undone(struct lab *l)
{
    uint64_t left;
    MUST_BE(-1, (left = 50, tarn_tree_load(l->tree64, next_that_fails, &left)));
}

static void tree_make(struct lab *l)
{
    tarn_tree *tree;
    MUST(tarn_tree_open(SEG, "third", TARN_CREATE, &tree));
    tarn_tree_close(tree);
}
static void three_that_go(struct lab *l)
{
    three_leaves(l);
    l->root->collection[5] = 0;
}
static void tree_end(struct lab *l)
{
    MUST(tarn_unbind(SEG, "tree64", 1));
}

const struct operation tree_operations[] = {
    {"tree put", OP_TREES, NULL, NULL, put},
    {"tree change", OP_TREES, entries, NULL, tree_change},
    {"tree section commit", OP_TREES, entries, NULL, tree_commit},
    {"tree section abort", OP_TREES, entries, NULL, tree_abort},
    {"tree split", OP_TREES, full_leaf, NULL, split_leaf},
    {"tree split, bytes", OP_TREES, full_leaf_of_bytes, NULL, split_leaf_of_bytes},
    {"tree split, behind", OP_TREES, full_leaf, NULL, split_behind},
    {"tree split in a section, commit", OP_TREES, full_leaf, NULL, split_commit},
    {"tree split in a section, abort", OP_TREES, full_leaf, NULL, split_abort},
    {"tree inner split", OP_TREES | OP_FEW, full_inner, NULL, inner_split},
    {"tree inner split, behind", OP_TREES | OP_FEW, full_inner, NULL, inner_split_behind},
    {"tree unlink", OP_TREES, three_leaves, NULL, unlink_leaf},
    {"tree end of root", OP_TREES, a_root_that_goes, NULL, end_of_root},
    {"tree unlink inner", OP_TREES | OP_FEW, two_inner, NULL, unlink_inner},
    {"tree emptied in a section", OP_TREES, three_leaves, NULL, empty_in_section},
    {"tree load", OP_TREES | OP_FEW, entries, NULL, load},
    {"tree load, undone", OP_TREES | OP_FEW, entries, NULL, load_undone},
    {"tree make", OP_TREES | OP_FEW, NULL, NULL, tree_make},
    {"tree unbind", OP_TREES | OP_FEW, three_that_go, NULL, tree_end},
    {0},
};

/* oracle_coll.c - what the oracle sees of vectors, byte strings, queues and stacks, which operations_coll.c makes under names of their own. */
#include "collection/check.h"
#include "collection/tree.h"
#include "lab.h"
#include "participant/participant.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t chain_contents(tarn *seg, tarn_ref first, uint64_t count)
{
    uint64_t h = count;
    for (int n = 0; first && n < 20; n++) {
        const tarn_node *node = tarn_ptr(seg, first, 48);
        if (!node)
            return 1;
        h = mix(h, ((const uint64_t *)(const void *)node)[2]); /* the number; not where it is */
        first = node->next;
    }
    return h;
}

/* 0, unless it is one of the dead: a living one's section may stand open. */
static uint64_t dead_owner(tarn *seg, const tarn_mutex *m)
{
    uint32_t owner = m->owner;
    return owner && fate_of(seg, owner & ~ID_DIRTY) == ALIVE ? 0 : owner;
}

uint64_t coll_contents(tarn *seg)
{
    char text[200] = {0};
    tarn_ref ref;
    size_t size = 0;
    uint64_t h = 31;
    if (tarn_find(seg, "vector", NULL, &ref) == 0) {
        tarn_vector *v = at_offset(seg, ref);
        h = mix(mix(h, v->size), dead_owner(seg, &v->lock));
        for (uint64_t i = 0; i < v->size && i < 100; i++) {
            const uint64_t *at = tarn_vector_at(seg, v, i, v->element);
            for (unsigned k = 0; k < v->element / 8; k++)
                h = mix(h, at ? at[k] : 77);
        }
        h = mix(h, v->size ? v->element : 0);
    }
    if (tarn_find(seg, "bytes", NULL, &ref) == 0) {
        tarn_bytes *b = at_offset(seg, ref);
        h = mix(mix(h, dead_owner(seg, &b->lock)), (uint64_t)tarn_bytes_get(seg, b, text, sizeof text, &size));
        for (size_t i = 0; i < size && i < sizeof text; i++)
            h = mix(h, (unsigned char)text[i]);
    }
    if (tarn_find(seg, "queue", NULL, &ref) == 0) {
        tarn_queue *q = at_offset(seg, ref);
        h = mix(mix(h, dead_owner(seg, &q->lock)), chain_contents(seg, q->first, q->count));
    }
    if (tarn_find(seg, "stack", NULL, &ref) == 0) {
        tarn_stack *k = at_offset(seg, ref);
        h = mix(mix(h, dead_owner(seg, &k->lock)), chain_contents(seg, k->first, k->count));
    }
    return h;
}

/* ---- before anybody is recovered ---- */

static void note_damage(uint64_t ref, const char *what, void *arg)
{
    (void)ref;
    *(const char **)arg = what;
}
static void no_block(uint64_t ref, uint64_t size, void *arg)
{
    (void)ref, (void)size, (void)arg; /* of one in hand the state is not what it will be: judge looks at all of them */
}
static void no_member(uint64_t ref, void *arg)
{
    (void)ref, (void)arg;
}
static void no_owner(const tarn_mutex *m, void *arg)
{
    (void)m, (void)arg;
}

/* V2 of docs/vector.md, which holds at every instruction. */
static const char *judge_high(tarn *seg, const tarn_vector *v)
{
    if (v->size > v->high)
        return "a vector: size says so before high does";
    for (unsigned k = 0; k < TARN_VECTOR_CHUNKS; k++) {
        uint64_t first = (8ull << k) - 8, count = 8ull << k, i = v->high > first ? v->high - first : 0;
        const char *at = v->chunk[k] ? tarn_ptr(seg, v->chunk[k], count * v->element) : NULL;
        for (i *= v->element; at && i < count * v->element; i++)
            if (at[i])
                return "a vector: an element that was never there is not zeros";
    }
    return NULL;
}

/* Whoever waits for the lock of a root that is none any more must be told, or he makes entries where nobody looks. */
static const char *judge_root(tarn *seg, const struct root *root)
{
    const struct tree *tree = at_offset(seg, root->collection[5]);
    const struct node *old = at_offset(seg, root->old_root);
    return tree->root != root->old_root && old->state == NODE_ALIVE ? "a tree: what was the root is alive" : NULL;
}

/* By refs, not by names: whoever stands still in the midst may have the names' lock. */
const char *judge_coll(tarn *seg, const struct root *root)
{
    void (*const check[])(tarn *, uint64_t, const struct collection_checker *) = {vector_check, bytes_check,
                                                                                  queue_check, stack_check};
    const char *bad = NULL;
    const struct collection_checker k = {
        .damage = note_damage, .block = no_block, .member = no_member, .owner = no_owner, .arg = &bad};
    for (size_t i = 0; i < sizeof check / sizeof *check; i++)
        if (root->collection[i])
            check[i](seg, root->collection[i], &k);
    for (size_t i = sizeof check / sizeof *check; i < sizeof root->collection / sizeof *root->collection; i++)
        if (root->collection[i])
            tree_check(seg, root->collection[i], &k);
    if (!bad && root->old_root)
        bad = judge_root(seg, root);
    if (!bad && root->collection[0])
        bad = judge_high(seg, at_offset(seg, root->collection[0]));
    return bad;
}

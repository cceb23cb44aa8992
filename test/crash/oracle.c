/* oracle.c - is a recovered segment right? The equations of docs/crash-core.md, quiet part, and that what a user sees is one of the legal
 * contents: all of an operation, or nothing of it. */
#include <stdio.h>
#include <string.h>

#include "collection/list.h"
#include "collection/tree.h"
#include "heap/heap.h"
#include "lab.h"
#include "participant/participant.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t mix_bytes(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    while (n--)
        h = mix(h, *b++);
    return h;
}

static int add_name(const struct tarn_name *n, void *arg)
{
    uint64_t h = mix_bytes(1, n->name, strlen(n->name));
    h = mix_bytes(h, n->type.name, strlen(n->type.name));
    *(uint64_t *)arg += mix(mix(h, n->type.size), n->type.version);
    return 0;
}

static int add_entry(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    *(uint64_t *)arg += mix_bytes(mix_bytes(2, key, key_size), value, size);
    return 0;
}

static struct root *root_of(tarn *seg)
{
    struct tarn_type type = TARN_TYPE(struct root);
    tarn_ref ref;
    return tarn_find(seg, "root", &type, &ref) ? NULL : tarn_ptr(seg, ref, sizeof(struct root));
}

static uint64_t map_contents(tarn *seg, const char *name, unsigned flags)
{
    tarn_map *map;
    uint64_t sum = 0;
    if (tarn_map_open(seg, name, flags, &map))
        return 7;
    if (tarn_map_each(map, add_entry, &sum))
        sum = 11;
    tarn_map_close(map);
    return sum;
}

/* Inner nodes whose entries nobody was moving: each has the low key of its node, and leads there alone. So it is more than the hint that it must be. */
static bool hints_are_whole(const tarn_tree *t)
{
    const struct node *n = node_at(t, t->tree->root & NODE_REF), *first = n;
    while (n && n->level) {
        for (unsigned i = 0; i < NODE_COUNT(n->right) && !n->order; i++) {
            const struct node *child = node_at(t, node_refs(n, t->room)[i]);
            if (!child || node_keys(n)[i] != child->low ||
                (i && node_refs(n, t->room)[i - 1] == node_refs(n, t->room)[i]))
                return false;
        }
        n = n->right & NODE_REF ? node_at(t, n->right & NODE_REF) : node_at(t, node_refs(first, t->room)[0]);
        if (n && n->level != first->level)
            first = n;
    }
    return n;
}

/* Its entries forwards, then backwards: the same ones, in order, and each is found. */
static uint64_t tree_contents(tarn *seg, const char *name)
{
    enum { MOST = 4096 };
    static uint64_t seen[MOST];
    struct tarn_tree_entry e;
    tarn_tree *tree;
    tarn_tree_cursor *c;
    uint64_t h = 31, n = 0, value, count = 0;
    char last[16] = "";
    bool u64 = !strcmp(name, "tree64");
    if (tarn_tree_open(seg, name, u64 ? TARN_TREE_U64 : 0, &tree))
        return 37;
    if (tarn_tree_cursor_open(tree, &c))
        return 41;
    for (; tarn_tree_next(c, &e) == 0 && n < MOST; n++) {
        uint64_t number = 0;
        if (u64) {
            memcpy(&number, e.key, 8);
            if (tarn_tree_get64(tree, number, &value) || memcmp(&value, e.value, 8) ||
                (n && memcmp(last, &number, 8) == 0))
                h = 43;
            memcpy(&value, last, 8);
            if (n && number <= value)
                h = 47;
            memcpy(last, &number, 8);
        } else {
            size_t size = strnlen(last, sizeof last), most = size < e.key_size ? size : e.key_size;
            if (tarn_tree_get(tree, e.key, e.key_size, NULL, 0, NULL) || e.key_size > sizeof last)
                return 53;
            if (memcmp(last, e.key, most) > 0 || (memcmp(last, e.key, most) == 0 && size >= e.key_size))
                h = 59;
            memset(last, 0, sizeof last);
            memcpy(last, e.key, e.key_size);
        }
        seen[n] = mix_bytes(mix_bytes(2, e.key, e.key_size), e.value, e.size);
        h = mix(h, seen[n]);
    }
    if (tarn_tree_count(tree, &count) || count != n)
        h = 61;
    if (!hints_are_whole(tree))
        h = 73;
    while (tarn_tree_previous(c, &e) == 0)
        if (!n || mix_bytes(mix_bytes(2, e.key, e.key_size), e.value, e.size) != seen[--n])
            return 67;
    tarn_tree_cursor_close(c);
    tarn_tree_close(tree);
    return n ? 71 : h;
}

/* Its members' numbers forwards, then backwards: the same ones. */
static uint64_t list_contents(tarn *seg, tarn_list *list)
{
    uint64_t forwards = 13, backwards[LAB_REFS + 1], h = 13;
    int n = 0;
    for (tarn_link *l = tarn_list_last(seg, list); l; l = tarn_list_previous(seg, l)) {
        if (n > LAB_REFS)
            return 17;
        backwards[n++] = *(uint64_t *)(void *)((char *)l - LAB_LINK);
    }
    for (int i = n; i-- > 0;)
        h = mix(h, backwards[i]);
    for (tarn_link *l = tarn_list_first(seg, list); l && n-- > -2; l = tarn_list_next(seg, l))
        forwards = mix(forwards, *(uint64_t *)(void *)((char *)l - LAB_LINK));
    return n || forwards != h ? 19 : h;
}

/* What a user sees of the objects of synchronisation; not who has a lock, nor hints. */
static uint64_t sync_contents(tarn *seg, const struct root *root)
{
    uint32_t units, available, all;
    int set, automatic;
    uint64_t h = 23;
    if (tarn_semaphore_units(seg, &root->semaphore, &units) || tarn_held_state(seg, &root->held, &available, &all) ||
        tarn_event_state(seg, &root->event, &set) || tarn_event_state(seg, &root->automatic, &automatic))
        return 29;
    h = mix(mix(h, units), available);
    h = mix(mix(h, all), (uint64_t)set << 1 | (uint64_t)automatic);
    return mix(h, root->once.done);
}

uint64_t contents_of(tarn *seg, unsigned flags)
{
    const struct root *root = root_of(seg);
    uint64_t h = 3, names = 0;
    if (!root)
        return 5;
    for (int i = 0; i < LAB_WORDS; i++)
        h = mix(h, root->word[i]);
    for (int i = 0; i < LAB_REFS; i++) {
        size_t size = tarn_block_size(seg, root->ref[i]);
        const void *block = root->ref[i] ? tarn_ptr(seg, root->ref[i], size) : NULL;
        h = mix(h, size);
        if (block && size) { /* lists have links in the midst of theirs, which say where others are */
            h = mix_bytes(h, block, size < 16 ? size : 16);
            h = mix_bytes(h, (const char *)block + size - 8, 8);
        }
    }
    h = mix(h, list_contents(seg, (tarn_list *)&root->list));
    h = mix(h, sync_contents(seg, root));
    h = mix(h, list_contents(seg, (tarn_list *)&root->other));
    h = mix(h, coll_contents(seg));
    h = mix(h, ring_contents(seg));
    if (tarn_names(seg, add_name, &names))
        return 6;
    h = mix(h, names);
    h = mix(h, header_of(seg)->growth_limit);
    if (flags & OP_TREES)
        h = mix(mix(h, tree_contents(seg, "tree")), tree_contents(seg, "tree64"));
    if (flags & OP_TOPIC)
        h = mix(h, topic_contents(seg));
    if (flags & OP_MQ)
        h = mix(h, mq_contents(seg));
    if (flags & OP_MAPS) {
        h = mix(h, map_contents(seg, "map", 0));
        h = mix(h, map_contents(seg, "numbers", TARN_MAP_U64));
    }
    return h;
}

/* ---- lists that somebody has in hand ---- */

static void note_damage(uint64_t ref, const char *what, void *arg)
{
    (void)ref;
    *(const char **)arg = what;
}

static void note_owner(const tarn_mutex *m, void *arg)
{
    (void)m;
    (void)arg; /* locks_free looks at it, once all are recovered */
}

const char *judge_lists(tarn *seg, const struct root *root)
{
    const char *bad = NULL;
    const struct collection_checker k = {.damage = note_damage, .owner = note_owner, .arg = &bad};
    list_check(seg, tarn_ref_of(seg, &root->list), &k);
    list_check(seg, tarn_ref_of(seg, &root->other), &k);
    return bad ? bad : judge_coll(seg, root);
}

void note_readers(tarn *seg, struct readers *r)
{
    struct root *root = r->root ? at_offset(seg, r->root) : root_of(seg);
    if (!root)
        return;
    r->root = offset_of(seg, root);
    memset(r->list, 0, sizeof r->list);
    for (int k = 0; k < 2; k++) {
        tarn_list *list = k ? &root->other : &root->list;
        int rank = 0;
        r->moves[k] = list->moves;
        for (tarn_link *l = tarn_list_first(seg, list); l && rank <= LAB_REFS; l = tarn_list_next(seg, l), rank++)
            for (int i = 0; i < LAB_REFS; i++) {
                if (root->ref[i])
                    r->at[i] = root->ref[i] + LAB_LINK;
                if (r->at[i] != offset_of(seg, l))
                    continue;
                r->list[i] = k + 1;
                r->rank[i] = rank;
            }
    }
    for (int i = 0; i < LAB_REFS; i++)
        if (r->list[i]) {
            r->known[i] = true;
            memcpy(r->then[i], r->moves, sizeof r->moves);
        }
}

const char *judge_readers(tarn *seg, const struct readers *then)
{
    struct readers now = *then;
    note_readers(seg, &now);
    for (int i = 0; i < LAB_REFS; i++) {
        int k = now.list[i] - 1;
        if (k < 0 || now.at[i] != then->at[i])
            continue;
        if (then->known[i] && then->list[i] != now.list[i] && now.moves[k] == then->then[i][k])
            return "L4: a link that was in a list before was put into a list, and its moves is as it was";
        for (int j = 0; j < LAB_REFS; j++)
            if (then->list[i] == k + 1 && then->list[j] == k + 1 && now.list[j] == k + 1 &&
                (then->rank[i] < then->rank[j]) != (now.rank[i] < now.rank[j]) && now.moves[k] == then->moves[k])
                return "L4: one of two links was moved past the other, and moves is as it was";
    }
    return NULL;
}

/* L2: of links in blocks of 64 bytes, which other operations leave zeroed there */
static const char *links_quiet(tarn *seg, const struct root *root)
{
    struct readers now = {0};
    note_readers(seg, &now);
    for (int i = 0; i < LAB_REFS; i++)
        if (root->ref[i] && !now.list[i] && tarn_block_size(seg, root->ref[i]) == 64) {
            const tarn_link *link = at_offset(seg, root->ref[i] + LAB_LINK);
            if (link->previous || link->list)
                return "L2: a link in no list says that it is in one";
        }
    return NULL;
}

/* C4 */
static const char *records_quiet(tarn *seg)
{
    static char text[120];
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        uint32_t id = ID_MAKE(r->generation, i);
        if (r->recoverer && fate_of(seg, r->recoverer) == ALIVE)
            return "C6: a recoverer's word is left behind";
        if (r->state != RECORD_FREE && fate_of(seg, id) != ALIVE)
            return "C4: a dead participant is not recovered";
        if (r->state != RECORD_FREE)
            continue;
        if (r->journal || r->intent || r->epoch || r->waits) {
            snprintf(text, sizeof text,
                     "C4: record %u is free, with journal %llx, intent %llx, pin %llx, waits %llx", i,
                     (unsigned long long)r->journal, (unsigned long long)r->intent,
                     (unsigned long long)r->epoch, (unsigned long long)r->waits);
            return text;
        }
        struct slots w = slots_of_record(seg, r, r->slots_used);
        for (const uint64_t *slot; (slot = slot_next(&w));)
            if (*slot)
                return "C4: a free record has a held slot";
    }
    return NULL;
}

static const char *locks_free(tarn *seg, unsigned flags, const struct root *root)
{
    for (int i = 0; i < LAB_LOCKS; i++) {
        uint32_t o = root->lock[i].owner, id = o & ~ID_DIRTY;
        if (id && (ID_INDEX(id) != 0 || fate_of(seg, id) != ALIVE))
            return "C2: a lock is held by the dead";
        if (flags & OP_MUST_DIRTY && i == 0 && o != ID_DIRTY)
            return "C2: a lock is clean whose holder died with it, outside a section";
        if (o & ID_DIRTY && !(flags & OP_DIRTY) && !(flags & OP_MUST_DIRTY && i == 0))
            return "C2: a lock is dirty whose holder was in a section, or taking or leaving it";
    }
    if (root->list.lock.owner || root->other.lock.owner)
        return "C2: a list's lock is held by the dead, or dirty, though it is taken in sections only";
    return NULL;
}

/* Nothing of the dead is left in the objects, and the held semaphore's sum is right, or known not to be. */
static const char *objects_free(tarn *seg, unsigned flags, const struct root *root)
{
    const tarn_rwlock *l = &root->rwlock;
    const tarn_held *h = &root->held;
    struct tarn_barrier_state barrier;
    uint32_t ids[4] = {l->owner & ~ID_DIRTY, h->lock.owner & ~ID_DIRTY, root->barrier.lock.owner & ~ID_DIRTY,
                       root->once.lock.owner & ~ID_DIRTY};
    uint32_t available, units;
    for (int i = 0; i < 4; i++)
        if (ids[i] && (ID_INDEX(ids[i]) != 0 || fate_of(seg, ids[i]) != ALIVE))
            return "C2: an object's lock is held by the dead";
    if (l->owner & ID_DIRTY && !(flags & OP_DIRTY))
        return "C2: a rwlock is dirty whose writer was in a section, or taking or leaving it";
    if (h->lock.owner & ID_DIRTY || root->barrier.lock.owner & ID_DIRTY || root->once.lock.owner & ID_DIRTY)
        return "C2: an inner lock is dirty";
    tarn_held_state(seg, h, &available, &units);
    if (h->counted == h->deaths && h->available != available)
        return "held: available is not what the slots say";
    tarn_barrier_state(seg, &root->barrier, &barrier);
    if (barrier.members > 1 || barrier.arrived > 1)
        return "barrier: a member is dead";
    return NULL;
}

static int first_damage(const struct tarn_damage *damage, void *arg)
{
    snprintf(arg, 200, "check: %s (at %#llx)", damage->what, (unsigned long long)damage->ref);
    return 1;
}

/* A block that has a name besides is no leak, whoever else refers to it. */
struct named {
    const struct root *root;
    bool found[LAB_REFS];
};
static int note_named(const struct tarn_name *n, void *arg)
{
    struct named *k = arg;
    for (int i = 0; i < LAB_REFS; i++)
        k->found[i] |= k->root->ref[i] == n->ref;
    return 0;
}

/* C3: every block free, limbo, or allocated and reached exactly once */
static const char *blocks_accounted(tarn *seg, const struct root *root)
{
    static char text[200];
    uint64_t leaked = 0, mine = 0, size;
    struct named named = {.root = root};
    tarn_names(seg, note_named, &named);
    for (int i = 0; i < LAB_REFS; i++) {
        if (!root->ref[i])
            continue;
        if (heap_state(seg, root->ref[i], &size) != BLOCK_ALLOCATED)
            return "C3: a ref leads to a block that is not allocated";
        for (int k = 0; k < i; k++)
            if (root->ref[k] == root->ref[i])
                return "C3: a block is reached twice";
        mine += named.found[i] ? 0 : size;
    }
    if (tarn_check(seg, first_damage, text) != 0)
        return text;
    if (tarn_leaked(seg, &leaked) < 0)
        return "tarn_leaked failed";
    if (leaked != mine) {
        snprintf(text, sizeof text, "C3: %lld bytes allocated and not reached", (long long)(leaked - mine));
        return text;
    }
    return NULL;
}

const char *judge(tarn *seg, unsigned flags, const uint64_t *legal, int legal_count)
{
    const struct root *root = root_of(seg);
    const char *bad;
    uint64_t contents;
    if (!root)
        return "the named object is gone";
    if ((bad = records_quiet(seg)) || (bad = locks_free(seg, flags, root)) ||
        (bad = objects_free(seg, flags, root)) || (bad = blocks_accounted(seg, root)) ||
        (bad = links_quiet(seg, root)))
        return bad;
    contents = contents_of(seg, flags);
    for (int i = 0; i < legal_count; i++)
        if (legal[i] == contents)
            return flags & OP_MQ             ? judge_mq(seg)
                   : flags & OP_TOPIC        ? judge_topic(seg)
                   : (bad = judge_ring(seg)) ? bad
                                             : judge_call(seg);
    return "C1: contents are neither from before nor from after";
}

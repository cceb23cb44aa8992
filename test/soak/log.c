/* log.c - what was done to the segment, as written down outside of it; and the comparison of the two. See soak.h.
 *
 * A change is whole before `changes` counts it, and is counted before it is made. settle() may be interrupted and done again, since the list is
 * what it works from and is taken back last. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "soak.h"

#include "participant/participant.h"

struct shared *shared;
tarn *segment;
struct root *root;
tarn_map *numbers, *strings;
tarn_tree *leaves, *phrases;
__thread struct self_ me;

uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

uint32_t chance(uint32_t n)
{
    me.random += 0x9e3779b97f4a7c15ull;
    return (uint32_t)((mix(me.random) >> 32) * n >> 32);
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Slot SLOTS is the controller's own. */
void be(unsigned slot)
{
    me.slot = slot;
    me.log = &shared->log[slot % SLOTS];
}

/* ---- the log ---- */

void expect(unsigned item, uint64_t after)
{
    struct log *l = me.log;
    for (uint32_t i = 0; i < l->changes; i++)
        if (l->change[i].item == item) {
            l->change[i].after = after;
            barrier_();
            return;
        }
    l->change[l->changes] = (struct change){item, l->item[item], after};
    barrier_();
    l->changes++;
    barrier_();
}

uint64_t now_is(unsigned item)
{
    const struct log *l = me.log;
    for (uint32_t i = 0; i < l->changes; i++)
        if (l->change[i].item == item)
            return l->change[i].after;
    return l->item[item];
}

void settle(void)
{
    struct log *l = me.log;
    barrier_();
    for (uint32_t i = 0; i < l->changes; i++)
        l->item[l->change[i].item] = l->change[i].after;
    barrier_();
    l->changes = 0;
    barrier_();
    l->undone = 0;
    barrier_();
}

void drop(void)
{
    barrier_();
    me.log->changes = 0;
    barrier_();
    me.log->undone = 0;
    barrier_();
}

/* ---- contents ---- */

/* Of a large block only its ends and some words between: pages are dear. */
static size_t stride(size_t words, size_t i)
{
    return words > 512 && i >= 8 && i + 500 < words ? 499 : 1;
}

void fill(void *block, size_t size, uint64_t key)
{
    uint64_t *w = block;
    size_t words = size / 8;
    for (size_t i = 0; i < words; i += stride(words, i))
        w[i] = mix(key + i);
}

bool filled(const void *block, size_t size, uint64_t key)
{
    const uint64_t *w = block;
    size_t words = size / 8;
    for (size_t i = 0; i < words; i += stride(words, i))
        if (w[i] != mix(key + i))
            return false;
    return true;
}

bool zeroed(const void *block, size_t size)
{
    const uint64_t *w = block;
    size_t words = size / 8;
    for (size_t i = 0; i < words; i += stride(words, i))
        if (w[i])
            return false;
    return true;
}

uint64_t cell_key(unsigned slot, unsigned index, uint32_t mark)
{
    return mix((uint64_t)slot << 40 | (uint64_t)index << 32 | mark);
}
uint64_t string_filling(bool tree, unsigned slot, unsigned index, uint32_t mark)
{
    return cell_key(slot, (tree ? 200 : 100) + index, mark);
}
uint64_t number_key(unsigned slot, unsigned index)
{
    return (uint64_t)slot << 16 | index;
}
size_t string_key(char *to, unsigned slot, unsigned index)
{
    return (size_t)sprintf(to, "%u:%u:%.*s", slot, index, (int)(index % 5 * 12),
                           "a key may be long, and then it does not lie beside its hash");
}
void object_name(char *to, unsigned slot, unsigned index)
{
    sprintf(to, "slot %u, name %u", slot, index);
}

/* ---- what an item's number means ---- */

static const struct {
    unsigned first;
    const char *name;
} kinds[] = {{PART, "share of counter"},
             {PUTS, "puts of box"},
             {TAKES, "takes of box"},
             {WRITTEN, "share of rwlock"},
             {SHARED, "share of collections"},
             {CELL, "cell"},
             {MEMBER, "list member"},
             {KEY, "key of numbers"},
             {STRING, "key of strings"},
             {LEAF, "key of the tree of numbers"},
             {WORD, "key of the tree of strings"},
             {NAME, "name"},
             {HOT, "share of the hot key"},
             {ITEMS, ""}};

const char *item_name(unsigned item)
{
    static __thread char text[64];
    for (unsigned k = 0; item < ITEMS; k++)
        if (item < kinds[k + 1].first) {
            snprintf(text, sizeof text, "%s %u", kinds[k].name, item - kinds[k].first);
            return text;
        }
    return "?";
}

/* 0: empty. {size, mark}: a block of that size, filled so. */
static bool cell_holds(unsigned slot, unsigned i, uint64_t number)
{
    tarn_ref ref = root->area[slot].cell[i];
    size_t size = SIZE_OF(number);
    void *block;
    if (!number)
        return ref == 0;
    if (!ref || tarn_block_size(segment, ref) < size || !(block = tarn_ptr(segment, ref, size)))
        return false;
    return MARK_OF(number) == ANY_MARK || filled(block, size, cell_key(slot, i, MARK_OF(number)));
}

/* 0: there is none. n: it is in list n - 1. (That the list leads to it is for compare_lists.) */
static bool member_holds(unsigned slot, unsigned i, uint64_t number)
{
    tarn_ref ref = root->area[slot].member[i];
    struct member *m;
    if (!number)
        return ref == 0;
    if (!ref || tarn_block_size(segment, ref) < sizeof *m || !(m = tarn_ptr(segment, ref, sizeof *m)))
        return false;
    return m->list == number && m->slot == slot && m->index == i;
}

/* 0: the key is not there. Else: its value. In the map of numbers, or in the tree. */
static bool number_holds(bool tree, uint64_t key, uint64_t number)
{
    uint64_t value;
    int e = tree ? tarn_tree_get64(leaves, key, &value) : tarn_map_get64(numbers, key, &value);
    if (e && e != -ENOENT)
        violation("tarn_%s_get64: %d %s", tree ? "tree" : "map", e, tarn_error());
    return e ? number == 0 : value == number;
}

/* 0: the key is not there. {size, mark}: so long, and filled so. In the map of strings, or in the tree. */
static bool string_holds(bool tree, unsigned slot, unsigned i, uint64_t number)
{
    char key[128];
    uint64_t value[64];
    size_t size, length = string_key(key, slot, i);
    int e = tree ? tarn_tree_get(phrases, key, length, value, sizeof value, &size)
                 : tarn_map_get(strings, key, length, value, sizeof value, &size);
    if (e && e != -ENOENT)
        violation("tarn_%s_get: %d %s", tree ? "tree" : "map", e, tarn_error());
    if (e || !number)
        return e && !number;
    return size == SIZE_OF(number) && filled(value, size, string_filling(tree, slot, i, MARK_OF(number)));
}

/* 0, 1: is it bound? Name 0 is bound to what is in cell 0. */
static bool name_holds(unsigned slot, unsigned i, uint64_t number)
{
    char name[64];
    tarn_ref ref;
    object_name(name, slot, i);
    int e = tarn_find(segment, name, NULL, &ref);
    if (e && e != -ENOENT)
        violation("tarn_find: %d %s", e, tarn_error());
    if (e || !number)
        return e && !number;
    return i ? tarn_block_size(segment, ref) > 0 : ref == root->area[slot].cell[0];
}

bool item_holds(unsigned slot, unsigned item, uint64_t number)
{
    if (item < PUTS)
        return root->counter[item - PART].part[slot] == number;
    if (item < TAKES)
        return root->counter[item - PUTS].puts[slot] == number;
    if (item < WRITTEN)
        return root->counter[item - TAKES].takes[slot] == number;
    if (item < SHARED)
        return root->guarded[item - WRITTEN].written[slot] == number;
    if (item < CELL)
        return root->share[item - SHARED][slot] == number;
    if (item < MEMBER)
        return cell_holds(slot, item - CELL, number);
    if (item < KEY)
        return member_holds(slot, item - MEMBER, number);
    if (item < STRING)
        return number_holds(false, number_key(slot, item - KEY), number);
    if (item < LEAF)
        return string_holds(false, slot, item - STRING, number);
    if (item < WORD)
        return number_holds(true, number_key(slot, item - LEAF), number);
    if (item < NAME)
        return string_holds(true, slot, item - WORD, number);
    if (item < HOT)
        return name_holds(slot, item - NAME, number);
    return number_holds(false, number_key(slot, 1000), number);
}

void resolve(void)
{
    struct log *l = me.log;
    uint32_t befores = 0, afters = 0;
    if (!l->changes && !l->undone) /* it died in no section; else what it saved, another may be at putting back still, which no lock would tell us */
        return;
    int e = tarn_recover(segment);
    if (e < 0)
        violation("tarn_recover: %d %s", e, tarn_error());
    for (uint32_t i = 0; i < l->changes; i++) {
        const struct change *c = &l->change[i];
        befores += item_holds(me.slot, (unsigned)c->item, c->before);
        afters += item_holds(me.slot, (unsigned)c->item, c->after);
    }
    if (befores != l->changes && (l->undone || afters != l->changes)) {
        char text[300] = "";
        for (uint32_t i = 0; i < l->changes; i++) {
            const struct change *c = &l->change[i];
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, "; %s: %llx to %llx%s%s", item_name((unsigned)c->item),
                     (unsigned long long)c->before, (unsigned long long)c->after,
                     item_holds(me.slot, (unsigned)c->item, c->before) ? ", as before" : "",
                     item_holds(me.slot, (unsigned)c->item, c->after) ? ", as after" : "");
        }
        violation("slot %u died in '%s', which %s%s", me.slot, operation_name(l->what),
                  l->undone ? "had not come to its commit, and was not undone" : "happened in part", text);
    }
    if (befores == l->changes)
        drop();
    else
        settle();
}

/* ---- the whole ---- */

static void compare_items(void)
{
    for (unsigned s = 0; s < processes * LANE; s++)
        for (unsigned i = 0; i < ITEMS; i++)
            if (!item_holds(s, i, shared->log[s].item[i]))
                violation("slot %u: %s is not %llx, as the log has it", s, item_name(i),
                          (unsigned long long)shared->log[s].item[i]);
}

static void compare_counters(void)
{
    for (unsigned c = 0; c < COUNTERS; c++) {
        const struct counter *k = &root->counter[c];
        uint64_t total = 0, boxed = 0;
        bool dirty = k->lock.owner & ID_DIRTY;
        for (unsigned s = 0; s < SLOTS; s++) {
            total += k->part[s];
            boxed += k->puts[s] - k->takes[s];
        }
        if (k->lock.owner & ~ID_DIRTY)
            violation("counter %u: %#x holds its lock, and nobody is at work", c, k->lock.owner);
        if (!dirty && total != k->total)
            violation("counter %u: %llu, and its shares are %llu, and its lock is not dirty", c,
                      (unsigned long long)k->total, (unsigned long long)total);
        if (!dirty && shared->left_dirty[c])
            violation("counter %u: its lock was left dirty, and is clean", c);
        if (boxed != (k->box != 0))
            violation("box %u: %llu blocks were put there and not taken, and its ref is %#llx", c,
                      (unsigned long long)boxed, (unsigned long long)k->box);
        if (k->box && !filled(tarn_ptr(segment, k->box, k->box_size), k->box_size, k->box_mark))
            violation("box %u: its block holds something else", c);
    }
}

static void compare_lists(void)
{
    uint32_t seen[SLOTS][MEMBERS] = {0}, found = 0, logged = 0;
    for (unsigned l = 0; l < LISTS; l++) {
        char name[16];
        tarn_list *list;
        tarn_link *before = NULL;
        sprintf(name, "list %u", l);
        if (tarn_object(segment, name, tarn_list, &list))
            violation("%s: %s", name, tarn_error());
        for (tarn_link *link = tarn_list_first(segment, list); link;
             before = link, link = tarn_list_next(segment, link)) {
            const struct member *m = TARN_MEMBER(link, struct member, link);
            if (m->slot >= SLOTS || m->index >= MEMBERS || seen[m->slot][m->index]++)
                violation("%s: a member is there twice, or is none (slot %llu, %llu)", name,
                          (unsigned long long)m->slot, (unsigned long long)m->index);
            if (root->area[m->slot].member[m->index] != tarn_ref_of(segment, m) ||
                shared->log[m->slot].item[MEMBER + m->index] != l + 1)
                violation("%s: has a member that is not there by the log (slot %llu, %llu)", name,
                          (unsigned long long)m->slot, (unsigned long long)m->index);
            if (tarn_list_previous(segment, link) != before)
                violation("%s: does not lead back the way it came", name);
            found++;
        }
    }
    for (unsigned s = 0; s < SLOTS; s++)
        for (unsigned i = 0; i < MEMBERS; i++)
            logged += shared->log[s].item[MEMBER + i] != 0;
    if (found != logged)
        violation("the lists have %u members, and should have %u", found, logged);
}

static uint64_t logged(unsigned first, unsigned count)
{
    uint64_t n = 0;
    for (unsigned s = 0; s < SLOTS; s++)
        for (unsigned i = 0; i < count; i++)
            n += shared->log[s].item[first + i] != 0;
    return n;
}

/* So many entries, in order, both ways. */
static void compare_tree(tarn_tree *tree, const char *name, uint64_t want)
{
    struct tarn_tree_entry e;
    tarn_tree_cursor *c;
    uint64_t count = 0, n = 0, back = 0;
    char last[256] = "";
    size_t size = 0;
    if (tarn_tree_count(tree, &count) || count != want || tarn_tree_cursor_open(tree, &c))
        violation("the tree of %s has %llu keys, and should have %llu", name, (unsigned long long)count,
                  (unsigned long long)want);
    for (; tarn_tree_next(c, &e) == 0; n++) {
        char key[256];
        uint64_t number;
        memcpy(key, e.key, e.key_size);
        if (tree == leaves) { /* as bytes in their order */
            memcpy(&number, e.key, 8);
            number = __builtin_bswap64(number);
            memcpy(key, &number, 8);
        }
        int order = memcmp(last, key, size < e.key_size ? size : e.key_size);
        if (n && (order > 0 || (order == 0 && size >= e.key_size)))
            violation("the tree of %s is not in order at entry %llu", name, (unsigned long long)n);
        memcpy(last, key, size = e.key_size);
    }
    while (tarn_tree_previous(c, &e) == 0)
        back++;
    tarn_tree_cursor_close(c);
    if (n != want || back != want)
        violation("a walk of the tree of %s shows %llu entries, and back %llu, of %llu", name,
                  (unsigned long long)n, (unsigned long long)back, (unsigned long long)want);
}

static void compare_maps(void)
{
    uint64_t count, hot = 0, value = 0, want = logged(KEY, KEYS) + logged(HOT, 1);
    for (unsigned s = 0; s < SLOTS; s++)
        hot += shared->log[s].item[HOT];
    int e = tarn_map_get64(numbers, number_key(SLOTS, 0), &value);
    if ((e && e != -ENOENT) || value != hot)
        violation("the hot key is %llu (%d), and its shares are %llu", (unsigned long long)value, e,
                  (unsigned long long)hot);
    want += e == 0;
    if (tarn_map_count(numbers, &count) || count != want)
        violation("the map of numbers has %llu keys, and should have %llu", (unsigned long long)count,
                  (unsigned long long)want);
    want = logged(STRING, STRINGS);
    if (tarn_map_count(strings, &count) || count != want)
        violation("the map of strings has %llu keys, and should have %llu", (unsigned long long)count,
                  (unsigned long long)want);
    compare_tree(leaves, "numbers", logged(LEAF, LEAVES));
    compare_tree(phrases, "strings", logged(WORD, WORDS));
}

static int count_name(const struct tarn_name *n, void *arg)
{
    *(uint64_t *)arg += strncmp(n->name, "slot ", 5) == 0;
    return 0;
}

static void compare_names(void)
{
    uint64_t count = 0, want = logged(NAME, NAMES);
    int e = tarn_names(segment, count_name, &count);
    if (e || count != want)
        violation("%llu names are bound (%d), and should be %llu", (unsigned long long)count, e,
                  (unsigned long long)want);
}

static int tell_damage(const struct tarn_damage *d, void *arg)
{
    (void)arg;
    violation("tarn_check: at %#llx: %s", (unsigned long long)d->ref, d->what);
}

/* What the names do not reach is what our own refs lead to, and nothing else. */
static void compare_memory(void)
{
    uint64_t ours = 0, leaked;
    for (unsigned s = 0; s < SLOTS; s++) {
        for (unsigned i = 0; i < CELLS; i++)
            if (root->area[s].cell[i] && !(i == 0 && shared->log[s].item[NAME]))
                ours += tarn_block_size(segment, root->area[s].cell[i]);
        for (unsigned i = 0; i < MEMBERS; i++)
            if (root->area[s].member[i])
                ours += tarn_block_size(segment, root->area[s].member[i]);
    }
    for (unsigned c = 0; c < COUNTERS; c++)
        if (root->counter[c].box)
            ours += tarn_block_size(segment, root->counter[c].box);
    int e = tarn_leaked(segment, &leaked);
    if (e || leaked != ours)
        violation("%llu bytes are allocated that no name reaches (%d), and we have %llu",
                  (unsigned long long)leaked, e, (unsigned long long)ours);
}

void compare_all(void)
{
    int e = tarn_check(segment, tell_damage, NULL);
    if (e)
        violation("tarn_check: %d %s", e, tarn_error());
    compare_counters();
    compare_items();
    compare_lists();
    compare_collections();
    compare_maps();
    compare_names();
    compare_memory();
}

static uint64_t chain(uint64_t ref)
{
    uint64_t bytes = 0;
    for (; ref; ref = ((struct extent *)at_offset(segment, ref))->next)
        bytes += tarn_block_size(segment, ref);
    return bytes;
}

uint64_t extents(void)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < segment->geometry.records; i++) {
        const struct record *r = record_at(segment, i);
        bytes += chain(r->log_more) + chain(r->held_more);
    }
    return bytes;
}

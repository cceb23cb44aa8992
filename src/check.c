/* check.c - tarn_check and tarn_leaked: the whole segment looked at, from the names down. At the top because it knows all floors.
 *
 * Takes no lock, writes no byte of the segment, follows no ref that it has not checked; works on read-only attachments. What it remembers
 * is private: one bit for every 16 bytes of data space, for the blocks that it has reached.
 *     every block reached from names, maps, trees and records is allocated, large enough, and reached once (two names of one block excepted)
 *     every collection and channel is as its own check has it (object.h)
 *     every mutex that we know is free, or its owner is a participant that takes part (dead or alive)
 *     a record that is not taken holds nothing: journal idle, intent 0, slots 0, pin 0
 * While others work, one look sees things in motion (a block is unlinked here, and used again there). So what one whole look finds is
 * looked for again, after a pause, up to LOOKS times; only what every look found is reported. What a block of the user's own points to is
 * not known to it. At most FOUND_MOST damages are told apart; reading only a part of a damaged chain, it may call what hangs behind leaked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heap/heap.h"
#include "object.h"
#include "os/os.h"
#include "segment/guard.h"

#define LOOKS 4
#define FOUND_MOST 65536u

long check_pause_ns = 5 * 1000 * 1000;

struct found {
    uint64_t ref;
    const char *what;
    char name[64]; /* the first bytes of that of the object in which it is; "": in none */
};
struct found_list {
    struct found *at;
    uint32_t count, room;
};

struct look {
    struct tarn *seg;
    uint64_t *reached, bits; /* one for each 16 bytes of data space committed when the look began */
    struct found_list found;
    const char *name; /* of the object that is looked at, or NULL */
    bool ours;        /* only what the library has for itself is reached */
    int failed;       /* -ENOMEM */
};

/* ---- what a look finds ---- */

static void damage(uint64_t ref, const char *what, void *arg)
{
    struct look *l = arg;
    struct found_list *f = &l->found;
    if (f->count == FOUND_MOST)
        return;
    if (f->count == f->room) {
        uint32_t room = f->room ? f->room * 2 : 64;
        struct found *more = realloc(f->at, room * sizeof *more);
        if (!more) {
            l->failed = -ENOMEM;
            return;
        }
        f->at = more;
        f->room = room;
    }
    f->at[f->count] = (struct found){.ref = ref, .what = what};
    if (l->name)
        memcpy(f->at[f->count].name, l->name, strnlen(l->name, sizeof f->at->name - 1));
    f->count++;
}

/* Whether it was reached before; from now on it is. */
static bool reach(struct look *l, uint64_t ref)
{
    uint64_t bit = (ref - l->seg->geometry.zone[ZONE_DATA]) / 16, was;
    if (bit >= l->bits)
        return false; /* committed since the look began */
    was = l->reached[bit / 64] >> bit % 64 & 1;
    l->reached[bit / 64] |= 1ull << bit % 64;
    return was;
}

/* Is somebody, alive or dead, in the midst of a one-step operation with this block? Then its state and its reference may disagree. */
static bool in_hand(struct tarn *seg, uint64_t ref)
{
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        const struct record *r = record_at(seg, i);
        uint64_t intent = load64(&r->intent), place = INTENT_OFFSET(intent);
        if (!intent)
            continue;
        if (INTENT_KIND(intent) == INTENT_HAND ? place == ref
                                               : load64(&r->swap_old) == ref && INTENT_KIND(intent) == INTENT_SWAP)
            return true;
        if (INTENT_KIND(intent) != INTENT_HAND &&
            (in_writable(seg, place, 8) || place < seg->geometry.zone[ZONE_NAME]) &&
            place <= seg->geometry.end - 8 && (load64(at_offset(seg, place)) & MAP_REF) == ref)
            return true;
    }
    return false;
}

static void reach_block(uint64_t ref, uint64_t size, void *arg)
{
    struct look *l = arg;
    uint64_t has = 0;
    enum block_state state = heap_state(l->seg, ref, &has);
    if (state != BLOCK_ALLOCATED && in_hand(l->seg, ref))
        return;
    if (state == BLOCK_NONE)
        damage(ref, "no block of the heap begins where something leads to", l);
    else if (state != BLOCK_ALLOCATED)
        damage(ref, "a block that something leads to is free or in limbo", l);
    else if (has < size)
        damage(ref, "a block is smaller than what it is used for", l);
    else if (reach(l, ref))
        damage(ref, "a block is used twice", l);
}

static void check_owner(const tarn_mutex *m, void *arg)
{
    struct look *l = arg;
    uint32_t o = load32(&m->owner), id = o & ~ID_DIRTY;
    if (!id)
        return;
    if (ID_INDEX(id) >= l->seg->geometry.records || fate_quick(l->seg, id) == GONE)
        damage(offset_of(l->seg, m), "a mutex is owned by a participant that is not there", l);
}

/* ---- names, maps, records ---- */

static void on_entry(uint64_t block, void *arg)
{
    reach_block(block, sizeof(struct name_entry), arg);
}

/* A block in a queue or stack: perhaps none of the heap's, and whatever it is used for besides is its user's. */
static void on_member(uint64_t ref, void *arg)
{
    struct look *l = arg;
    if (!l->ours && heap_state(l->seg, ref, NULL) == BLOCK_ALLOCATED)
        reach(l, ref);
}

static void on_object(const struct name_copy *n, void *arg)
{
    struct look *l = arg;
    const struct collection_checker k = {
        .damage = damage, .block = reach_block, .member = on_member, .owner = check_owner, .arg = l};
    if (l->ours && !object_is_ours(n))
        return;
    if (heap_state(l->seg, n->ref, NULL) != BLOCK_ALLOCATED || reach(l, n->ref))
        return; /* reported with the name; a second name of it */
    l->name = n->name;
    if (object_check(l->seg, n, &k) < 0)
        l->failed = -ENOMEM;
    l->name = NULL;
}

static void check_extents(struct look *l, uint64_t ref)
{
    const struct geometry *g = &l->seg->geometry;
    for (uint64_t n = 0; ref; n++) {
        const struct extent *x;
        if (ref % 8 || !in_data(l->seg, ref, extent_size(g)) || n > committed_of(l->seg) / extent_size(g)) {
            damage(ref, "a record's chain of extents leads astray", l);
            return;
        }
        reach_block(ref, extent_size(g), l);
        x = at_offset(l->seg, ref);
        ref = load64(&x->next);
    }
}

static void check_record(struct look *l, uint32_t index)
{
    struct record *r = record_at(l->seg, index);
    uint64_t at = offset_of(l->seg, r);
    check_extents(l, load64(&r->log_more));
    check_extents(l, load64(&r->held_more));
    if (load32(&r->state) == RECORD_TAKEN)
        return;
    if (load32(&r->state) != RECORD_FREE)
        damage(at, "a record's state cannot be", l);
    else if (JOURNAL_STATE(load64(&r->journal)) != JOURNAL_IDLE || load64(&r->intent))
        damage(at, "a record that nobody has is inside an operation", l);
    else if (load64(&r->epoch))
        damage(at, "a record that nobody has holds back memory", l);
    for (uint32_t i = 0; i < l->seg->geometry.slots && load32(&r->state) == RECORD_FREE; i++)
        if (load64(&record_slots(r)[i]) && load32(&r->state) == RECORD_FREE) {
            damage(at, "a record that nobody has lists a lock", l);
            break;
        }
}

/* One look at everything but the heap's tables. 0, -ENOMEM. */
static int look_at_all(struct tarn *seg, struct look *l, bool ours)
{
    const struct name_checker names = {.damage = damage, .entry = on_entry, .object = on_object, .arg = l};
    int e;
    *l = (struct look){.seg = seg, .ours = ours, .bits = committed_of(seg) / 16};
    l->reached = calloc(l->bits / 64 + 1, 8);
    if (!l->reached)
        return fail(-ENOMEM, "no memory to check %llu bytes of data space", (unsigned long long)l->bits * 16);
    if (growth_limit_of(seg) != header_of(seg)->growth_limit && header_of(seg)->growth_limit)
        damage(offsetof(struct segment_header, growth_limit),
               "the limit of growth is no number of spans, or beyond the stamp's", l);
    check_owner(&name_zone_of(seg)->lock, l);
    e = name_check(seg, &names);
    for (uint32_t i = 0; i < seg->geometry.records; i++)
        check_record(l, i);
    return e < 0 ? e : l->failed ? fail(l->failed, "no memory for the list of damages") : 0;
}

static int look_once(struct tarn *seg, struct look *l, bool ours)
{
    guard_lift(seg);
    int e = look_at_all(seg, l, ours);
    guard_lower(seg);
    return e;
}

static void look_free(struct look *l)
{
    free(l->reached);
    free(l->found.at);
    l->reached = NULL;
    l->found = (struct found_list){0};
}

/* ---- several looks ---- */

static int by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->ref != y->ref)
        return x->ref < y->ref ? -1 : 1;
    return x->what < y->what ? -1 : x->what > y->what;
}

/* Keep in `all` only what the newer look found too. Both are sorted. */
static void keep_common(struct found_list *all, const struct found_list *newer)
{
    uint32_t n = 0;
    for (uint32_t i = 0, j = 0; i < all->count && j < newer->count;) {
        int c = by_place(&all->at[i], &newer->at[j]);
        if (c == 0)
            all->at[n++] = all->at[i++];
        else if (c < 0)
            i++;
        else
            j++;
    }
    all->count = n;
}

/* A name may be anything, and is printed by who is told. */
static int tell(const struct found *f, int (*each)(const struct tarn_damage *d, void *arg), void *arg)
{
    char name[sizeof f->name], text[256];
    struct tarn_damage d = {.ref = f->ref, .what = f->what};
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = f->name[i] && ((unsigned char)f->name[i] < ' ' || f->name[i] == 0x7f) ? '?' : f->name[i];
    if (f->name[0]) {
        snprintf(text, sizeof text, "in \"%s\": %s", name, f->what);
        d.what = text;
    }
    return each(&d, arg);
}

static int check_all(tarn *seg, int (*each)(const struct tarn_damage *d, void *arg), void *arg)
{
    struct found_list all = {0};
    if (seg->raw)
        return raw_refused(seg, "tarn_check");
    int found = heap_check(seg, each, arg), e = 0;
    if (found < 0)
        return found;
    for (int i = 0; i < LOOKS && (i == 0 || all.count) && e == 0; i++) {
        const struct timespec pause = {.tv_nsec = check_pause_ns};
        struct look l;
        if (i)
            nanosleep(&pause, NULL);
        e = look_once(seg, &l, false);
        if (e == 0 && l.found.count)
            qsort(l.found.at, l.found.count, sizeof *l.found.at, by_place);
        if (e == 0 && i == 0) {
            all = l.found;
            l.found = (struct found_list){0};
        } else if (e == 0)
            keep_common(&all, &l.found);
        look_free(&l);
    }
    for (uint32_t i = 0; i < all.count && e == 0; i++) {
        found++;
        if (each)
            e = tell(&all.at[i], each, arg);
    }
    free(all.at);
    return e ? e : found;
}

int tarn_check(tarn *seg, int (*each)(const struct tarn_damage *d, void *arg), void *arg)
{
    int cancel = os_cancel_off(), e = check_all(seg, each, arg);
    os_cancel_restore(cancel);
    return e;
}

/* ---- leaks ---- */

struct leaked {
    const struct look *l;
    uint64_t bytes;
};
static int add_leaked(uint64_t offset, uint64_t size, enum block_state state, void *arg)
{
    struct leaked *k = arg;
    uint64_t bit = (offset - k->l->seg->geometry.zone[ZONE_DATA]) / 16;
    if (state == BLOCK_ALLOCATED && bit < k->l->bits && !(k->l->reached[bit / 64] >> bit % 64 & 1))
        k->bytes += size;
    return 0;
}

int tarn_leaked(tarn *seg, uint64_t *ret_bytes)
{
    struct look l;
    struct leaked k = {.l = &l};
    if (seg->raw)
        return raw_refused(seg, "tarn_leaked");
    int e = look_once(seg, &l, false);
    if (e == 0)
        e = heap_walk(seg, add_leaked, &k);
    look_free(&l);
    if (e == 0)
        *ret_bytes = k.bytes;
    return e;
}

/* ---- what is the library's own ---- */

int check_ours(struct tarn *seg, uint64_t **ret_bits, uint64_t *ret_count)
{
    struct look l;
    int e = look_once(seg, &l, true);
    if (e == 0) {
        *ret_bits = l.reached;
        *ret_count = l.bits;
        l.reached = NULL;
    }
    look_free(&l);
    return e;
}

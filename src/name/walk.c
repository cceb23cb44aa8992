/* name/walk.c - all names: shown to a caller, or checked.
 *
 * tarn_names copies one chain at a time, each as it was at one moment (as finding does: name.c), and calls back from the
 * copies, with no lock held: a name stays in its chain, so none that is there throughout is missed or shown twice.
 * name_check takes no lock and believes nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "heap/heap.h"
#include "name/name.h"

#define DUPLICATES_MOST 4096 /* comparing more of one chain with each other would take too long */

/* A chain's copies. */
struct chain {
    uint64_t index, count, room;
    struct name_copy *copy;
};

/* 0, -EUCLEAN (perhaps because it changes), -ENOMEM. */
static int chain_read(struct tarn *seg, void *arg)
{
    struct chain *c = arg;
    uint64_t at = load64(&name_zone_of(seg)->head[c->index]), mark = 0, turn = 1;
    for (c->count = 0; at; c->count++) {
        if (c->count == turn) { /* a circle? (Brent) */
            mark = at;
            turn *= 2;
        } else if (at == mark)
            return -EUCLEAN;
        if (c->count == c->room) {
            uint64_t room = c->room ? c->room * 2 : 16;
            struct name_copy *more = realloc(c->copy, room * sizeof *more);
            if (!more)
                return -ENOMEM;
            c->copy = more;
            c->room = room;
        }
        if (name_copy_entry(seg, at, &c->copy[c->count], &at))
            return -EUCLEAN;
    }
    return 0;
}

int tarn_names(tarn *seg, int (*each)(const struct tarn_name *n, void *arg), void *arg)
{
    struct chain c = {0};
    int e = seg->raw ? raw_refused(seg, "tarn_names") : 0;
    for (c.index = 0; c.index < NAME_CHAINS && !e; c.index++) {
        e = name_read_quiet(seg, chain_read, &c);
        if (e == -EUCLEAN)
            fail(e, "chain %llu of the names is damaged: run tarn check", (unsigned long long)c.index);
        else if (e == -ENOMEM)
            fail(e, "no memory for the copies of %llu names", (unsigned long long)c.room);
        for (uint64_t i = 0; i < c.count && !e; i++) {
            const struct name_copy *n = &c.copy[i];
            struct tarn_name shown = {.name = n->name, .type = {n->type, n->size, n->version}, .ref = n->ref};
            e = each(&shown, arg);
        }
    }
    free(c.copy);
    return e;
}

/* ---- check ---- */

const char *name_entry_fault(struct tarn *seg, const struct name_copy *n, uint64_t chain)
{
    uint64_t hash = XXH3_64bits(n->name, strlen(n->name)), size;
    if (((const struct name_entry *)at_offset(seg, n->entry))->hash != hash)
        return "a name's entry has a hash that is not its name's";
    if (hash % NAME_CHAINS != chain)
        return "a name's entry is in another name's chain";
    if (!n->size)
        return "a name's type has size 0";
    if (heap_state(seg, n->entry, &size) != BLOCK_ALLOCATED)
        return "a name's entry is no allocated block";
    if (heap_state(seg, n->ref, &size) != BLOCK_ALLOCATED)
        return "a name is bound to what is no allocated block";
    if (size < n->size)
        return "a name is bound to a block smaller than its type";
    return NULL;
}

static int chain_check(struct tarn *seg, const struct name_checker *k, struct chain *c)
{
    int e = chain_read(seg, c);
    for (uint64_t i = 0; i < c->count; i++) {
        const struct name_copy *n = &c->copy[i];
        const char *fault = name_entry_fault(seg, n, c->index);
        if (fault)
            k->damage(n->entry, fault, k->arg);
        for (uint64_t j = 0; j < i && i < DUPLICATES_MOST; j++)
            if (!strcmp(c->copy[j].name, n->name)) {
                k->damage(n->entry, "a name is bound twice", k->arg);
                break;
            }
        k->entry(n->entry, k->arg);
        k->object(n, k->arg);
    }
    if (e == -EUCLEAN)
        k->damage(c->count ? c->copy[c->count - 1].entry
                           : seg->geometry.zone[ZONE_NAME] + offsetof(struct name_zone, head) + c->index * 8,
                  "a chain of names leads on to what is no entry, or round in a circle", k->arg);
    return e == -ENOMEM ? e : 0;
}

int name_check(struct tarn *seg, const struct name_checker *k)
{
    struct chain c = {0};
    int e = 0;
    for (c.index = 0; c.index < NAME_CHAINS && !e; c.index++)
        e = chain_check(seg, k, &c);
    free(c.copy);
    return e < 0 ? fail(e, "no memory for the copies of %llu names", (unsigned long long)c.room) : 0;
}

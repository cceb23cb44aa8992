/* collection/list.c - an intrusive, doubly linked list of refs: links stand in the user's own structs, and mean the same in every process.
 *
 * A circle through the list's own `ends`. A ref that leads there has its lowest bit set, so a walk ends at any list's end, and never takes that for a
 * member. Zeroed bytes are an empty list, and a link in none:
 *     member l:  next(previous(l)) == l == previous(next(l));  previous(l) != 0
 *     in none:   previous(l) == 0;  next(l) is 0, or what it was when l was taken out, for readers who stand on it
 * Changes are sections, of their own or part of the caller's, under the list's lock, which is held until that ends; all that they store was saved. Order:
 *     insert  link's next; link's previous; previous' next (from here on forward readers find it); next's previous
 *     remove  previous' next (from here on none finds it); next's previous; link's previous = 0
 * so that a forward reader, who takes no lock, always finds a whole list: also while a change is undone, newest store first. Commit point: the section's.
 *
 * A link that is inserted anew takes along the readers who stand on it; who walks to the end without a lock may then come to another list's end
 * (tarn_list_each sees that, and begins anew). Whoever frees a member's block, which readers may stand on, retires it. */
#include <stdlib.h>
#include <string.h>

#include "collection/list.h"
#include "heap/heap.h"
#include "participant/again.h"
#include "sync/sync.h"

#define END 1ull /* in a ref: of a list's ends */

static uint64_t end_of(const struct tarn *seg, const tarn_list *list)
{
    return offset_of(seg, &list->ends) | END;
}

/* Where a link's word leads, in this list; NULL: nowhere that can be. 0 is the list's own end, of a list that never had a member. */
static tarn_link *link_at(const struct tarn *seg, tarn_list *list, uint64_t word)
{
    if (!word || word == end_of(seg, list))
        return &list->ends;
    return word % 8 == 0 && in_data(seg, word, sizeof(tarn_link)) ? at_offset(seg, word) : NULL;
}

/* Does `link` stand between those two? For an empty list's ends, which may be zeros, it does too. */
static bool leads_to(uint64_t word, uint64_t wanted, uint64_t end)
{
    return word == wanted || (!word && wanted == end);
}

static uint64_t word_of(const struct tarn *seg, tarn_list *list, const tarn_link *link)
{
    return link == &list->ends ? end_of(seg, list) : offset_of(seg, link);
}

/* ---- changes ---- */

static int check_places(tarn *seg, const tarn_list *list, const tarn_link *link, const char *call)
{
    uint64_t at = offset_of(seg, list), of = offset_of(seg, link);
    if (seg->raw)
        return raw_refused(seg, call);
    if (at % 8 || !in_data(seg, at, sizeof *list))
        return fail(-EINVAL, "%s: %p is no list of this segment: it must lie in its memory, aligned to 8",
                    call, (const void *)list);
    if (of % 8 || !in_data(seg, of, sizeof *link) || link == &list->ends)
        return fail(-EINVAL, "%s: %p is no link of this segment: it must lie in its memory, aligned to 8, in the user's own struct",
                    call, (const void *)link);
    return 0;
}

static int damaged(const struct tarn *seg, const tarn_list *list)
{
    return fail(-EUCLEAN, "the list at %#llx is damaged: its links do not lead to each other: run tarn check",
                (unsigned long long)offset_of(seg, list));
}

/* The list's lock, in the open section, for as long as that lasts. */
static int take(struct self *s, tarn_list *list)
{
    if (mutex_held(s, &list->lock))
        return 0;
    int e = mutex_lock_in(s, &list->lock);
    if (e < 0)
        return e;
    return mutex_release(s, &list->lock); /* put off to the end of the section */
}

static int save(struct self *s, const uint64_t *word, uint64_t words)
{
    return log_save(s, offset_of(s->seg, word), words) ? log_is_full() : 0;
}

/* Between two neighbours, one of which is given: `after` it, or before. */
static int insert(struct self *s, tarn_list *list, tarn_link *link, tarn_link *at, bool after)
{
    const struct tarn *seg = s->seg;
    uint64_t me = offset_of(seg, link), stop = end_of(seg, list), here = word_of(seg, list, at);
    int e;
    if (load64(&link->previous))
        return fail(-EEXIST, "the link at %#llx is in a list already: take it out first", (unsigned long long)me);
    if (at != &list->ends && !load64(&at->previous))
        return fail(-ENOENT, "the link at %#llx, beside which another is to be put, is in no list",
                    (unsigned long long)here);
    tarn_link *other = link_at(seg, list, load64(after ? &at->next : &at->previous));
    tarn_link *previous = after ? at : other, *next = after ? other : at;
    if (!other || other == link || !leads_to(load64(after ? &next->previous : &previous->next), here, stop))
        return damaged(seg, list);
    /* its next is not saved: undone, it keeps where it led just now, for where it led before may be no member any more */
    e = save(s, &link->previous, 1);
    if (e < 0 || (e = save(s, &previous->next, 1)) < 0 || (e = save(s, &next->previous, 1)) < 0)
        return e;
    store64(&link->next, word_of(seg, list, next));
    store64(&link->previous, word_of(seg, list, previous));
    store64(&previous->next, me); /* pairs with the loads of forward readers */
    store64(&next->previous, me);
    return 0;
}

static int remove_link(struct self *s, tarn_list *list, tarn_link *link)
{
    const struct tarn *seg = s->seg;
    uint64_t me = offset_of(seg, link), previous_word = load64(&link->previous), next_word = load64(&link->next);
    int e;
    if (!previous_word)
        return fail(-ENOENT, "the link at %#llx is in no list", (unsigned long long)me);
    tarn_link *previous = link_at(seg, list, previous_word), *next = link_at(seg, list, next_word);
    if (!next_word || !previous || !next || load64(&previous->next) != me || load64(&next->previous) != me)
        return damaged(seg, list);
    if ((e = save(s, &previous->next, 1)) < 0 || (e = save(s, &next->previous, 1)) < 0 ||
        (e = save(s, &link->next, 2)) < 0) /* both: it may be put elsewhere in this section */
        return e;
    store64(&previous->next, next_word);
    store64(&next->previous, previous_word);
    store64(&link->previous, 0);
    return 0;
}

enum where { FIRST, LAST, AFTER, BEFORE, OUT };

static int change(tarn *seg, tarn_list *list, tarn_link *link, tarn_link *at, enum where where, const char *call)
{
    int e = check_places(seg, list, link, call);
    if (e == 0 && (where == AFTER || where == BEFORE))
        e = check_places(seg, list, at, call);
    struct self *s = e < 0 ? NULL : self_of(seg, &e);
    if (!s)
        return e;
    section_begin(s);
    e = take(s, list);
    if (e >= 0)
        e = where == OUT ? remove_link(s, list, link)
                         : insert(s, list, link, where == FIRST || where == LAST ? &list->ends : at,
                                  where == FIRST || where == AFTER);
    return section_end(s, e);
}

int tarn_list_insert_first(tarn *seg, tarn_list *list, tarn_link *link)
{
    return change(seg, list, link, NULL, FIRST, "tarn_list_insert_first");
}
int tarn_list_insert_last(tarn *seg, tarn_list *list, tarn_link *link)
{
    return change(seg, list, link, NULL, LAST, "tarn_list_insert_last");
}
int tarn_list_insert_after(tarn *seg, tarn_list *list, tarn_link *link, tarn_link *at)
{
    return change(seg, list, link, at, AFTER, "tarn_list_insert_after");
}
int tarn_list_insert_before(tarn *seg, tarn_list *list, tarn_link *link, tarn_link *at)
{
    return change(seg, list, link, at, BEFORE, "tarn_list_insert_before");
}
int tarn_list_remove(tarn *seg, tarn_list *list, tarn_link *link)
{
    return change(seg, list, link, NULL, OUT, "tarn_list_remove");
}

/* ---- walks ---- */

struct tarn_walk tarn_walk_of(tarn *seg)
{
    uint64_t committed = seg->raw ? 0 : committed_of(seg), from = seg->geometry.zone[ZONE_DATA];
    return (struct tarn_walk){.seg = seg,
                              .base = seg->base,
                              .from = from,
                              .size = committed > sizeof(tarn_link) ? committed - sizeof(tarn_link) + 1 : 0};
}

/* What the bounds of a walk do not hold: an end, or memory that was committed since. */
tarn_link *tarn_walk_follow(const struct tarn_walk *w, tarn_ref word)
{
    const struct tarn *seg = w->seg;
    if (!word || word % 8 || seg->raw || !in_data(seg, word, sizeof(tarn_link)))
        return NULL;
    return at_offset(seg, word);
}

static bool is_list(const struct tarn *seg, const tarn_list *list)
{
    uint64_t at = offset_of(seg, list);
    return !seg->raw && at % 8 == 0 && in_data(seg, at, sizeof *list);
}

tarn_link *tarn_list_first(tarn *seg, tarn_list *list)
{
    const struct tarn_walk w = tarn_walk_of(seg);
    return is_list(seg, list) ? tarn_walk_follow(&w, load64(&list->ends.next)) : NULL;
}

tarn_link *tarn_list_last(tarn *seg, tarn_list *list)
{
    const struct tarn_walk w = tarn_walk_of(seg);
    return is_list(seg, list) ? tarn_walk_follow(&w, load64(&list->ends.previous)) : NULL;
}

tarn_link *tarn_list_next(tarn *seg, const tarn_link *link)
{
    const struct tarn_walk w = tarn_walk_of(seg);
    return tarn_walk_next(&w, link);
}

tarn_link *tarn_list_previous(tarn *seg, const tarn_link *link)
{
    const struct tarn_walk w = tarn_walk_of(seg);
    return tarn_walk_follow(&w, load64(&link->previous));
}

/* ---- all members, without a lock ---- */

/* Copies of what a read-only attachment has seen, to be shown once they are known to be good. */
struct copies {
    char *bytes;
    uint64_t count, room;
};

static int copy_one(struct copies *c, const void *member, size_t size)
{
    if (c->count == c->room) {
        uint64_t room = c->room ? c->room * 2 : 64;
        char *more = realloc(c->bytes, room * size);
        if (!more)
            return fail(-ENOMEM, "no memory for copies of a list's %llu members", (unsigned long long)room);
        c->bytes = more;
        c->room = room;
    }
    memcpy(c->bytes + c->count++ * size, member, size);
    return 0;
}

struct showing {
    size_t before, size;
    int (*each)(void *member, void *arg);
    void *arg;
    struct copies *copies; /* NULL: members are shown themselves */
};

/* Once through. 1: a reader was led into another list. */
#define MINE 2 /* what the callback returned, if positive, is told from our own 1 by so much */

static int64_t walk(tarn *seg, tarn_list *list, const struct showing *show)
{
    uint64_t word = load64(&list->ends.next), stop = end_of(seg, list), most = committed_of(seg) / show->size,
             n = 0; /* members do not overlap */
    for (; word && word != stop; n++) {
        if (word & END || n > most) /* another's end; a circle, of hostile bytes or of a link that others put to and fro */
            return n > most ? damaged(seg, list) : 1;
        if (word % 8 || word < show->before || !in_data(seg, word - show->before, show->size))
            return damaged(seg, list);
        const tarn_link *link = at_offset(seg, word);
        char *member = (char *)at_offset(seg, word) - show->before;
        int64_t e = show->copies ? copy_one(show->copies, member, show->size) : 0;
        word = load64(&link->next); /* before it is shown: who is shown it may take it out */
        if (e == 0 && !show->copies)
            e = show->each(member, show->arg);
        if (e)
            return e > 0 ? e + MINE : e;
    }
    return word || n == 0 ? 0 : 1;
}

static int each_copied(tarn *seg, tarn_list *list, const struct showing *shown)
{
    struct copies c = {0};
    struct showing show = *shown;
    int64_t e = 1;
    show.copies = &c;
    for (struct again a = {0}; again_look(seg, &a);) {
        c.count = 0;
        e = walk(seg, list, &show);
        if (again_is_good(seg, &a) && e != 1)
            goto good;
    }
    e = again_given_up();
good:
    for (uint64_t i = 0; e == 0 && i < c.count; i++)
        e = show.each(c.bytes + i * show.size, show.arg);
    free(c.bytes);
    return (int)e;
}

int tarn_list_each(tarn *seg, tarn_list *list, size_t before, size_t size,
                   int (*each)(void *member, void *arg), void *arg)
{
    struct showing show = {.before = before, .size = size, .each = each, .arg = arg};
    if (seg->raw)
        return raw_refused(seg, "tarn_list_each");
    if (!is_list(seg, list))
        return fail(-EINVAL, "tarn_list_each: %p is no list of this segment", (void *)list);
    if (size < sizeof(tarn_link) || before > size - sizeof(tarn_link))
        return fail(-EINVAL, "tarn_list_each: a member of %zu bytes has no link at its byte %zu", size, before);
    if (seg->readonly)
        return each_copied(seg, list, &show);
    int error = 0;
    struct self *s = self_of(seg, &error);
    if (!s)
        return error;
    epoch_pin(s);
    int64_t e = walk(seg, list, &show);
    epoch_unpin(s);
    if (e == 1)
        return fail(-EAGAIN, "the list at %#llx: a member was put into another list while it was looked at: look again, or under its lock",
                    (unsigned long long)offset_of(seg, list));
    return e > MINE ? (int)(e - MINE) : (int)e;
}

/* ---- check ---- */

void list_check(struct tarn *seg, uint64_t ref, void (*damage)(uint64_t ref, const char *what, void *arg), void *arg)
{
    tarn_list *list = at_offset(seg, ref);
    uint64_t stop, most = committed_of(seg) / 16, before, word;
    if (!is_list(seg, list))
        return;
    stop = end_of(seg, list);
    before = stop;
    word = load64(&list->ends.next);
    for (uint64_t n = 0; word && word != stop; n++) {
        const tarn_link *link = link_at(seg, list, word);
        if (!link || n > most || load64(&link->previous) != before) {
            damage(ref, "a list: its links do not lead to each other", arg);
            return;
        }
        before = word;
        word = load64(&link->next);
    }
    if (!leads_to(load64(&list->ends.previous), before, stop) || (!word && before != stop))
        damage(ref, "a list: its last member is not the one before its end", arg);
}

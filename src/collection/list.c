/* collection/list.c - an intrusive, doubly linked list of refs: links stand in the user's own structs, and mean the same in every process.
 *
 * A circle through the list's own `ends`. A ref that leads there has its lowest bit set, so a walk ends at any list's end, and never takes that for a
 * member. Zeroed bytes are an empty list, and a link in none:
 *     member l of x:  next(previous(l)) == l == previous(next(l));  previous(l) != 0;  list(l) == x
 *     in none:        previous(l) == 0 == list(l);  next(l) is 0, or what it was when l was taken out, for readers who stand on it
 *     moves(x) grows whenever a link with next(l) != 0 enters x, by an insertion or by the undo of a removal, before next(l) is stored
 * Changes are sections, of their own or part of the caller's, under the list's lock, which is held until that ends; all that they store was saved. Order:
 *     insert  moves; link's next; link's previous; link's list; previous' next (from here on forward readers find it); next's previous
 *     remove  previous' next (from here on none finds it); next's previous; link's previous = 0; link's list = 0
 * so that a forward reader, who takes no lock, always finds a whole list: also while a change is undone, newest store first. Commit point: the section's.
 *
 * A link that is inserted anew takes along the readers who stand on it; who walks without a lock may then come to another list's end, or miss members
 * of this one (tarn_list_each sees both, and begins anew). Whoever frees a member's block, which readers may stand on, retires it. docs/list.md. */
#include <errno.h>
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
    return mutex_held(s, &list->lock) ? 0 : mutex_lock_to_the_end(s, &list->lock);
}

/* The link's own word says that it is in this list: under the list's lock that stays so. */
static int check_member(const struct tarn *seg, const tarn_list *list, const tarn_link *link, const char *is_to_be)
{
    uint64_t of = load64(&link->list), at = offset_of(seg, link), mine = offset_of(seg, list);
    if (of == mine)
        return 0;
    if (!of)
        return fail(-ENOENT, "the link at %#llx, %s, is in no list", (unsigned long long)at, is_to_be);
    return fail(-EINVAL, "the link at %#llx, %s, is in the list at %#llx, not in the one at %#llx: name the one that it is in",
                (unsigned long long)at, is_to_be, (unsigned long long)of, (unsigned long long)mine);
}

/* Between two neighbours, one of which is given: `after` it, or before. */
static int insert(struct self *s, tarn_list *list, tarn_link *link, tarn_link *at, bool after)
{
    const struct tarn *seg = s->seg;
    uint64_t me = offset_of(seg, link), stop = end_of(seg, list), here = word_of(seg, list, at);
    int e;
    if (load64(&link->previous) || load64(&link->list))
        return fail(-EEXIST, "the link at %#llx is in a list already: take it out first", (unsigned long long)me);
    if (at != &list->ends && (e = check_member(seg, list, at, "beside which another is to be put")) < 0)
        return e;
    tarn_link *other = link_at(seg, list, load64(after ? &at->next : &at->previous));
    tarn_link *previous = after ? at : other, *next = after ? other : at;
    if (!other || other == link || !leads_to(load64(after ? &next->previous : &previous->next), here, stop))
        return damaged(seg, list);
    /* its next is not saved: undone, it keeps where it led just now, for where it led before may be no member any more */
    e = section_save(s, &link->previous, 2); /* and its list */
    if (e < 0 || (e = section_save(s, &previous->next, 1)) < 0 || (e = section_save(s, &next->previous, 1)) < 0)
        return e;
    if (load64(&link->next)) /* it was in a list, so readers may stand on it, and are led here */
        store64(&list->moves, load64(&list->moves) + 1); /* not saved: an undo must not take it back */
    store64(&link->next, word_of(seg, list, next));
    store64(&link->previous, word_of(seg, list, previous));
    store64(&link->list, offset_of(seg, list));
    store64(&previous->next, me); /* pairs with the loads of forward readers */
    store64(&next->previous, me);
    return 0;
}

static int remove_link(struct self *s, tarn_list *list, tarn_link *link)
{
    const struct tarn *seg = s->seg;
    uint64_t me = offset_of(seg, link), previous_word = load64(&link->previous), next_word = load64(&link->next);
    int e = check_member(seg, list, link, "which is to be taken out");
    if (e < 0)
        return e;
    tarn_link *previous = link_at(seg, list, previous_word), *next = link_at(seg, list, next_word);
    if (!previous_word || !next_word || !previous || !next || load64(&previous->next) != me ||
        load64(&next->previous) != me)
        return damaged(seg, list);
    if ((e = section_save(s, &previous->next, 1)) < 0 || (e = section_save(s, &next->previous, 1)) < 0 ||
        (e = section_save(s, &link->next, 3)) < 0) /* all: it may be put elsewhere in this section */
        return e;
    /* the newest entry: its undo counts before it leads those back who stand on the link */
    if (log_word(s, LOG_WORD(offset_of(seg, &list->moves), LOG_COUNT)))
        return log_is_full();
    store64(&previous->next, next_word);
    store64(&next->previous, previous_word);
    store64(&link->previous, 0);
    store64(&link->list, 0);
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

/* Once through. ASTRAY: a reader was led elsewhere, or may have been. */
#define ASTRAY 1
#define MINE 2 /* what the callback returned, if positive, is told from our own 1 by so much */

static bool moved(const tarn_list *list, uint64_t moves)
{
    return load64(&list->moves) !=
           moves; /* loaded after the link that led here: pairs with the store in insert, and with the undo's */
}

static int64_t walk(tarn *seg, tarn_list *list, const struct showing *show, uint64_t *ret_shown)
{
    uint64_t moves = load64(&list->moves), word = load64(&list->ends.next), stop = end_of(seg, list),
             mine = offset_of(seg, list), most = committed_of(seg) / show->size, n = 0; /* members do not overlap */
    for (; word && word != stop; n++) {
        if (n > most) /* a circle, of hostile bytes or of a link that others put to and fro */
            return moved(list, moves) ? ASTRAY : damaged(seg, list);
        if (word & END)
            return ASTRAY; /* another list's */
        if (word % 8 || word < show->before || !in_data(seg, word - show->before, show->size))
            return damaged(seg, list);
        const tarn_link *link = at_offset(seg, word);
        char *member = (char *)at_offset(seg, word) - show->before;
        uint64_t of = load64(&link->list);
        word = load64(&link->next); /* before it is shown: who is shown it may take it out */
        if (moved(list, moves) || (of && of != mine))
            return ASTRAY;
        if (!of)
            continue; /* taken out since it was led to */
        int64_t e = show->copies ? copy_one(show->copies, member, show->size) : show->each(member, show->arg);
        ++*ret_shown;
        if (e)
            return e > 0 ? e + MINE : e;
    }
    return !word && n ? ASTRAY : 0; /* moves was looked at behind each next, so also behind the last */
}

static int each_copied(tarn *seg, tarn_list *list, const struct showing *shown)
{
    struct copies c = {0};
    struct showing show = *shown;
    uint64_t copied = 0;
    int64_t e = ASTRAY;
    show.copies = &c;
    for (struct again a = {0}; again_look(seg, &a);) {
        c.count = 0;
        e = walk(seg, list, &show, &copied);
        if (again_is_good(seg, &a) && e != ASTRAY)
            goto good;
    }
    e = again_given_up();
good:
    for (uint64_t i = 0; e == 0 && i < c.count; i++)
        e = show.each(c.bytes + i * show.size, show.arg);
    free(c.bytes);
    return (int)e;
}

#define TRIES 100 /* as long as none was shown */

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
    int64_t e = ASTRAY;
    uint64_t shown = 0;
    for (int i = 0; i < TRIES && e == ASTRAY && !shown; i++) {
        epoch_pin(s);
        e = walk(seg, list, &show, &shown);
        epoch_unpin(s);
    }
    if (e == ASTRAY)
        return fail(-EAGAIN, "the list at %#llx: members were moved while it was looked at: look again, or under its lock",
                    (unsigned long long)offset_of(seg, list));
    return e > MINE ? (int)(e - MINE) : (int)e;
}

/* ---- check ---- */

#define CHECK_TRIES 8 /* looks at a list in motion; after these it counts as whole, until the next check */

struct finding {
    const tarn_link *from, *to; /* to: NULL where from leads nowhere */
    uint64_t from_word, from_next, to_word, to_previous;
    const char *what;
};

/* Has a participant, alive or dead and not recovered, this list in hand? Then next is whole, and previous may lag behind. */
static bool in_hand(struct tarn *seg, const tarn_list *list)
{
    uint32_t id = load32(&list->lock.owner) & ~ID_DIRTY;
    return id && ID_INDEX(id) < seg->geometry.records && fate_quick(seg, id) != GONE;
}

static bool is_member(const struct tarn *seg, const tarn_list *list, const tarn_link *link)
{
    return link == &list->ends || load64(&link->list) == offset_of(seg, list);
}

/* Is there anything amiss between `from`, a member or the ends, and whatever it leads to? */
static bool amiss(struct tarn *seg, tarn_list *list, const tarn_link *from, struct finding *f)
{
    uint64_t stop = end_of(seg, list), next = load64(&from->next);
    tarn_link *to = link_at(seg, list, next);
    *f = (struct finding){.from = from, .to = to, .from_word = word_of(seg, list, from), .from_next = next};
    if (!to || (!next && from != &list->ends)) {
        f->what = "a list: a link leads where no member can be";
        return true;
    }
    f->to_previous = load64(&to->previous);
    f->to_word = load64(&to->list);
    if (to != &list->ends && f->to_word != offset_of(seg, list)) {
        f->what = "a list: a member says that it is in another";
        return true;
    }
    if (leads_to(f->to_previous, f->from_word, stop) || in_hand(seg, list))
        return false;
    f->what = "a list: its links do not lead to each other";
    return true;
}

/* Once through. false: it was in motion, or is good; true: damaged, so `f`. *ret_again: was in motion, look again. */
static bool look(struct tarn *seg, tarn_list *list, struct finding *f, bool *ret_again)
{
    uint64_t moves = load64(&list->moves), most = committed_of(seg) / sizeof(tarn_link), n = 0;
    const tarn_link *at = &list->ends;
    *ret_again = false;
    do {
        struct finding same;
        if (amiss(seg, list, at, f)) {
            /* the same words again, from a member: then nobody has led us here by moving it */
            bool still = is_member(seg, list, at) && amiss(seg, list, at, &same) && is_member(seg, list, at) &&
                         same.from_next == f->from_next && same.to_previous == f->to_previous &&
                         same.to_word == f->to_word && same.what == f->what;
            *ret_again = !still;
            return still;
        }
        at = f->to;
        if (n++ > most) {
            f->what = "a list: its members go in a circle";
            *ret_again = moved(list, moves);
            return !*ret_again;
        }
    } while (at != &list->ends);
    return false;
}

void list_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k)
{
    tarn_list *list = at_offset(seg, ref);
    bool again = true;
    if (!is_list(seg, list))
        return;
    k->owner(&list->lock, k->arg);
    for (int i = 0; i < CHECK_TRIES && again; i++) {
        struct finding f;
        if (look(seg, list, &f, &again))
            k->damage(ref, f.what, k->arg);
    }
}

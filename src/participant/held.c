/* participant/held.c - the list of locks held: slots in the record, then in extents.
 *
 * A slot is stored before its lock's owner word changes, and cleared after, so no instant of a death is blind. slots_used is raised before
 * the slot that needs it, and lowered only when those above are clear. */
#include <errno.h>

#include "os/futex.h"
#include "participant/participant.h"

bool slots_extent(struct slots *w)
{
    const struct geometry *g = &w->seg->geometry;
    uint64_t ref = load64(w->link);
    struct extent *x;
    if (!ref || ref % 8 || !in_data(w->seg, ref, extent_size(g)))
        return false;
    x = at_offset(w->seg, ref);
    w->at = (uint64_t *)(x + 1);
    w->here = extent_words(g);
    w->link = &x->next;
    return true;
}

static int extend(struct self *s)
{
    struct tarn *seg = s->seg;
    uint64_t *link = &s->record->held_more;
    for (uint64_t n = 0; *link; n++) {
        if (*link % 8 || !in_data(seg, *link, extent_size(&seg->geometry)) || n > SLOTS_MOST)
            return fail(-EUCLEAN, "the list of locks of participant %#x is damaged: run tarn check", s->id);
        link = &((struct extent *)at_offset(seg, *link))->next;
    }
    return tarn_recovery.alloc_extent(s, link);
}

/* The last slot there is of the first `used`, or NULL: so many are not there. */
static uint64_t *last_of(struct self *s, uint64_t used)
{
    struct slots w = slots_of_record(s->seg, s->record, used);
    uint64_t *slot, *last = NULL;
    while ((slot = slot_next(&w)))
        last = slot;
    return w.left ? NULL : last;
}

uint64_t *slot_free(struct self *s)
{
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    uint64_t *slot;
    while ((slot = slot_next(&w)))
        if (!*slot)
            return slot;
    if (s->slots_used >= SLOTS_MOST)
        return NULL;
    slot = last_of(s, s->slots_used + 1);
    if (!slot && (extend(s) || !(slot = last_of(s, s->slots_used + 1))))
        return NULL;
    s->slots_used++;
    store64(&s->record->slots_used, s->slots_used);
    return slot;
}

uint64_t *slot_find(struct self *s, uint64_t offset)
{
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    uint64_t *slot;
    while ((slot = slot_next(&w)) && (*slot & SLOT_OFFSET) != offset)
        ;
    return slot;
}

bool slot_points_into(struct tarn *seg, uint64_t from, uint64_t size)
{
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        struct slots w = slots_of_record(seg, r, load64(&r->slots_used));
        const uint64_t *slot;
        if (load32(&r->state) == RECORD_FREE)
            continue;
        while ((slot = slot_next(&w)))
            if ((load64(slot) & SLOT_OFFSET) - from < size)
                return true;
    }
    return false;
}

/* participant/held.c - the list of locks held: slots in the record, then in extents; and the bell.
 *
 * A slot is stored before its lock's owner word changes, and cleared after, so no instant of a death is blind. slots_used is raised before
 * the slot that needs it, and lowered only when those above are clear. */
#include <errno.h>

#include "os/futex.h"
#include "participant/participant.h"

uint64_t *slot_at(struct tarn *seg, struct record *r, uint64_t i)
{
    const struct geometry *g = &seg->geometry;
    uint64_t words = extent_words(g), ref;
    if (i < g->slots)
        return record_slots(r) + i;
    i -= g->slots;
    ref = load64(&r->held_more);
    for (uint64_t n = 0; ref && n <= g->spans; n++) {
        struct extent *x;
        if (ref % 8 || !in_data(seg, ref, extent_size(g)))
            return NULL;
        x = at_offset(seg, ref);
        if (i < words)
            return (uint64_t *)(x + 1) + i;
        i -= words;
        ref = load64(&x->next);
    }
    return NULL;
}

static int extend(struct self *s)
{
    struct tarn *seg = s->seg;
    uint64_t *link = &s->record->held_more;
    for (uint64_t n = 0; *link; n++) {
        if (*link % 8 || !in_data(seg, *link, extent_size(&seg->geometry)) || n > seg->geometry.spans)
            return fail(-EUCLEAN, "the list of locks of participant %#x is damaged: run tarn check", s->id);
        link = &((struct extent *)at_offset(seg, *link))->next;
    }
    return tarn_recovery.alloc_extent(s, link);
}

uint64_t *slot_free(struct self *s)
{
    uint64_t *slot;
    for (uint64_t i = 0; i < s->slots_used; i++) {
        slot = slot_at(s->seg, s->record, i);
        if (!slot)
            return NULL;
        if (!*slot)
            return slot;
    }
    slot = slot_at(s->seg, s->record, s->slots_used);
    if (!slot) {
        if (extend(s))
            return NULL;
        slot = slot_at(s->seg, s->record, s->slots_used);
        if (!slot)
            return NULL;
    }
    s->slots_used++;
    store64(&s->record->slots_used, s->slots_used);
    return slot;
}

uint64_t *slot_find(struct self *s, uint64_t offset)
{
    for (uint64_t i = 0; i < s->slots_used; i++) {
        uint64_t *slot = slot_at(s->seg, s->record, i);
        if (!slot)
            return NULL;
        if ((*slot & SLOT_OFFSET) == offset)
            return slot;
    }
    return NULL;
}

bool slot_points_into(struct tarn *seg, uint64_t from, uint64_t size)
{
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        uint64_t used = load64(&r->slots_used);
        if (load32(&r->state) == RECORD_FREE)
            continue;
        for (uint64_t k = 0; k < used; k++) {
            const uint64_t *slot = slot_at(seg, r, k);
            if (!slot)
                break;
            if ((load64(slot) & SLOT_OFFSET) - from < size)
                return true;
        }
    }
    return false;
}

void bell_arm(struct self *s)
{
    if (s->bell++ == 0 && s->robust_head)
        os_robust_pending(s->robust_head, &participants_of(s->seg)->bell);
}

void bell_disarm(struct self *s)
{
    if (--s->bell == 0 && s->robust_head)
        os_robust_pending(s->robust_head, NULL);
}

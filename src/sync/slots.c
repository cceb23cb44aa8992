/* sync/slots.c - what a held slot's end is, by what it holds: at a death (recovery's part), and at a section's end. */
#include "sync/sync.h"

void sync_free_slot(struct self *dead, uint64_t *slot, unsigned journal_state, uint32_t id)
{
    uint64_t v = load64(slot);
    switch (SLOT_KIND(v)) {
    case SLOT_READ: rwlock_free_reader(dead, slot, id); break;
    case SLOT_UNITS: held_free_units(dead, slot); break;
    case SLOT_MEMBER: barrier_free_member(dead, v); break;
    default: mutex_free_slot(dead, v, journal_state, id); /* a rwlock's writer is the owner of a mutex */
    }
}

void sync_end_slot(struct self *s, uint64_t *slot)
{
    switch (SLOT_KIND(load64(slot))) {
    case SLOT_READ: rwlock_end_reader(s, slot); break;
    case SLOT_UNITS:
    case SLOT_MEMBER:
        store64(slot, load64(slot) & (SLOT_OFFSET | SLOT_WHAT));
        break; /* never in a section: a hostile writer's */
    default: mutex_end_slot(s, slot);
    }
}

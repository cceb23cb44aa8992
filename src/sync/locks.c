/* sync/locks.c - who holds what: for people and tools. Without locks, bounded, whatever the bytes.
 *
 * What is held stands in the slots of who holds it (docs/sync.md, 'The rule of the others'); the object's own words are looked at where they say more. So this is a
 * walk over the records, and nobody who locks does anything for it. When a lock was taken nobody notes: that would be a clock in each lock. */
#include <errno.h>

#include "sync/sync.h"

enum { TRIES = 4 };

static uint32_t kind_of(uint64_t slot)
{
    switch (SLOT_KIND(slot)) {
    case SLOT_MUTEX: return slot & SLOT_INNER ? TARN_LOCK_INNER : TARN_LOCK_MUTEX;
    case SLOT_READ: return TARN_LOCK_READ;
    case SLOT_WRITE: return TARN_LOCK_WRITE;
    case SLOT_UNITS: return TARN_LOCK_UNITS;
    case SLOT_MEMBER: return TARN_LOCK_MEMBER;
    default: return 0;
    }
}

static bool lies_there(const struct tarn *seg, uint64_t slot)
{
    uint64_t offset = slot & SLOT_OFFSET;
    switch (SLOT_KIND(slot)) {
    case SLOT_MUTEX: return in_writable(seg, offset, sizeof(tarn_mutex));
    case SLOT_READ:
    case SLOT_WRITE: return in_data(seg, offset, sizeof(tarn_rwlock));
    case SLOT_UNITS: return in_data(seg, offset, sizeof(tarn_held));
    case SLOT_MEMBER: return in_data(seg, offset, sizeof(tarn_barrier));
    default: return false;
    }
}

/* Mutex and rwlock begin with the word that says who has them; that of a reader is his for a moment. */
static bool is_owned(struct tarn *seg, uint64_t slot, uint32_t id)
{
    uint64_t kind = SLOT_KIND(slot);
    return (kind == SLOT_MUTEX || kind == SLOT_READ || kind == SLOT_WRITE) && lies_there(seg, slot) &&
           (load32((uint32_t *)at_offset(seg, slot & SLOT_OFFSET)) & ~ID_DIRTY) == id;
}

/* Where both cannot be true at one time, one of them was read too late. */
static bool disagree(uint64_t slot, bool owned)
{
    return (SLOT_KIND(slot) == SLOT_MUTEX || SLOT_KIND(slot) == SLOT_WRITE) && !(slot & SLOT_WANT) && !owned;
}

/* The slot, with the owner word as it was at the same time, as far as can be seen. */
static uint64_t read_slot(struct tarn *seg, const uint64_t *slot, uint32_t id, bool *ret_owned)
{
    uint64_t v = load64(slot), again;
    *ret_owned = false;
    for (int tries = 0; v; tries++, v = again) {
        *ret_owned = is_owned(seg, v, id);
        again = load64(slot);
        if (tries == TRIES || (again == v && !disagree(v, *ret_owned)))
            break;
    }
    return v;
}

static uint32_t number_of(struct tarn *seg, uint64_t slot)
{
    const tarn_barrier *b = at_offset(seg, slot & SLOT_OFFSET);
    switch (SLOT_KIND(slot)) {
    case SLOT_UNITS: return SLOT_NUMBER(slot);
    case SLOT_MEMBER: return SLOT_NUMBER(slot) == BARRIER_ARRIVED(load32(&b->turn));
    default: return SLOT_NUMBER(slot) + 1;
    }
}

static bool is_held(uint64_t slot, bool owned)
{
    switch (SLOT_KIND(slot)) {
    case SLOT_READ: return owned || !(slot & SLOT_WANT);
    case SLOT_UNITS: return SLOT_NUMBER(slot) != 0;
    case SLOT_MEMBER: return true;
    default: return owned;
    }
}

/* false: there is nothing in it that can be told. */
static bool read_lock(struct tarn *seg, const uint64_t *slot, struct tarn_lock *lock)
{
    bool owned;
    uint64_t v = read_slot(seg, slot, lock->id, &owned);
    if (!v || !lies_there(seg, v))
        return false;
    lock->ref = v & SLOT_OFFSET;
    lock->kind = kind_of(v);
    lock->number = number_of(seg, v);
    lock->held = is_held(v, owned);
    lock->moving = (v & SLOT_WANT) != 0;
    lock->section = (v & SLOT_SECTION) != 0;
    lock->deferred = (v & SLOT_DEFER) != 0;
    lock->dirty = v & SLOT_DIRTY && !(v & SLOT_MEND);
    return true;
}

struct walk {
    struct tarn *seg;
    int (*each)(const struct tarn_lock *lock, void *arg);
    void *arg;
    uint64_t left; /* slots that may be looked at: as many as there is room for, if no two lists share an extent */
};

/* Of one participant. Once its record is another's, the rest is not its. */
static int tell_of(struct walk *w, uint32_t index)
{
    struct tarn *seg = w->seg;
    struct record *r = record_at(seg, index);
    uint32_t generation = load32(&r->generation);
    struct tarn_lock lock = {.id = ID_MAKE(generation, index), .pid = r->pid, .tid = r->tid};
    enum fate fate = fate_of(seg, lock.id);
    struct slots slots = slots_of_record(seg, r, load64(&r->slots_used));
    const uint64_t *slot;
    if (fate == GONE)
        return 0;
    lock.state = fate != ALIVE ? 'd' : fate_is_doubtful(seg, lock.id) ? 'u' : 'l';
    while (w->left && (slot = slot_next(&slots))) {
        int e;
        w->left--;
        if (!read_lock(seg, slot, &lock))
            continue;
        if (load32(&r->generation) != generation)
            break;
        if ((e = w->each(&lock, w->arg)))
            return e;
    }
    return 0;
}

int tarn_locks(tarn *seg, int (*each)(const struct tarn_lock *lock, void *arg), void *arg)
{
    const struct geometry *g = &seg->geometry;
    struct walk w = {.seg = seg, .each = each, .arg = arg};
    if (seg->raw)
        return raw_refused(seg, "tarn_locks");
    w.left = (uint64_t)g->records * g->slots + committed_of(seg) / 8 + 1;
    for (uint32_t i = 0; i < g->records; i++) {
        int e = tell_of(&w, i);
        if (e)
            return e;
    }
    return w.left ? 0 : fail(-EUCLEAN, "tarn_locks: the lists of locks are damaged: run tarn check");
}

/* sync/mutex.c - the mutex's quick half: two words, an unlock without an atomic instruction.
 *
 * lock:    slot = L, WANT; owner 0 -> me by compare-and-swap; slot = L
 * unlock:  slot = L, WANT; owner = 0; look at waiters; slot = 0
 * in a section, unlock only marks the slot (DEFER), and the section's end unlocks.
 * Slots are tested, not counted, and the dirty bit is branched on, not computed with: data handed from one lock to the next through
 * memory would cost half of the whole. mutex_slow.c waits, wakes and finds the dead. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

static int no_slot(struct self *s)
{
    return fail(-ENOSPC, "participant %#x holds %llu locks, and no memory is left to list more, or it has %u, the most: unlock some",
                s->id, (unsigned long long)s->slots_used, SLOTS_MOST);
}

static inline int take(struct self *s, tarn_mutex *m, uint64_t flags, enum mutex_wait how,
                       const struct timespec *until)
{
    uint64_t off = offset_of(s->seg, m), *slot = s->slot;
    uint32_t free = 0;
    if (TARN_RARE(*slot)) {
        slot = slot_free(s);
        if (!slot)
            return no_slot(s);
    }
    store64(slot, off | flags | SLOT_WANT);
    if (TARN_RARE(!__atomic_compare_exchange_n(&m->owner, &free, s->id, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        return mutex_take_slow(s, m, slot, flags, how, until);
    compiler_barrier();
    kill_point();
    store64(slot, off | flags);
    if (TARN_RARE(flags))
        s->section_slots = 1;
    return 0;
}

int mutex_take(struct self *s, tarn_mutex *m, uint64_t flags, enum mutex_wait how, const struct timespec *until)
{
    return take(s, m, flags, how, until);
}

/* The stores of an unlock that takes effect now; left: 0, or the dirty bit. */
static inline void unlock_now(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t off, uint32_t left)
{
    store64(slot, off | SLOT_WANT);
    if (TARN_RARE(__atomic_load_n(&m->waiters, __ATOMIC_RELAXED)))
        mutex_release_waited(s, m, left);
    else {
        if (TARN_RARE(s->seg->exchange_unlock))
            exchange32(&m->owner, left);
        else
            store32(&m->owner, left);
        /* This look may happen before the store is seen: hence the sleeper's membarrier. From the store on the memory may be gone: it is
         * read, and woken on, never written. */
        if (TARN_RARE(__atomic_load_n(&m->waiters, __ATOMIC_RELAXED)))
            mutex_wake_after_unlock(s, m);
    }
    store64(slot, 0);
}

static int not_held(const tarn_mutex *m, const char *call)
{
    return fail(-EPERM, "%s: this thread does not hold the mutex at %p (a forked child holds none of its parent's)",
                call, (const void *)m);
}

static __attribute__((noinline)) int release_slow(struct self *s, tarn_mutex *m)
{
    uint32_t o = __atomic_load_n(&m->owner, __ATOMIC_RELAXED);
    uint64_t off = offset_of(s->seg, m), *slot;
    if ((o & ~ID_DIRTY) != s->id || !(slot = slot_find(s, off)))
        return not_held(m, "tarn_mutex_unlock");
    if (s->depth && !(*slot & SLOT_INNER)) {
        if (*slot & SLOT_DEFER)
            return not_held(m, "tarn_mutex_unlock");
        store64(slot, *slot | SLOT_DEFER);
        s->section_slots = 1;
        return 0;
    }
    unlock_now(s, m, slot, off, o & ID_DIRTY);
    return 0;
}

static inline int release(struct self *s, tarn_mutex *m)
{
    uint64_t off = offset_of(s->seg, m), *slot = s->slot;
    if (TARN_RARE(*slot != off || s->depth)) /* no flags: it is ours, from outside a section, and clean */
        return release_slow(s, m);
    unlock_now(s, m, slot, off, 0);
    return 0;
}

int mutex_release(struct self *s, tarn_mutex *m)
{
    return release(s, m);
}

int mutex_lock_inner(struct self *s, tarn_mutex *m)
{
    int e = take(s, m, SLOT_INNER, MUTEX_WAIT, NULL);
    return e > 0 ? 0 : e;
}

void mutex_unlock_inner(struct self *s, tarn_mutex *m)
{
    (void)release_slow(s, m);
}

bool mutex_held(struct self *s, const tarn_mutex *m)
{
    return (__atomic_load_n(&m->owner, __ATOMIC_RELAXED) & ~ID_DIRTY) == s->id;
}

/* ---- recovery's part ---- */

void mutex_end_slot(struct self *s, uint64_t *slot)
{
    uint64_t v = load64(slot), off = v & SLOT_OFFSET;
    tarn_mutex *m = at_offset(s->seg, off);
    if (TARN_RARE(!in_writable(s->seg, off, sizeof *m))) { /* a hostile writer's */
        store64(slot, 0);
        return;
    }
    uint32_t o = __atomic_load_n(&m->owner, __ATOMIC_RELAXED);
    if (v & SLOT_DEFER) {
        if (v & SLOT_MEND) { /* before WANT takes the flag's place: a death must find it clean */
            store32(&m->owner, s->id);
            o = s->id;
        }
        unlock_now(s, m, slot, off, o & ID_DIRTY);
        return;
    }
    if (v & SLOT_MEND)
        store32(&m->owner, s->id);
    store64(slot, off | (v & SLOT_INNER) | (v & SLOT_MEND ? 0 : v & SLOT_DIRTY));
}

void mutex_free_slot(struct self *dead, uint64_t slot, unsigned journal_state, uint32_t id)
{
    struct tarn *seg = dead->seg;
    uint64_t off = slot & SLOT_OFFSET;
    bool open = journal_state == JOURNAL_OPEN, as_was;
    tarn_mutex *m = at_offset(seg, off);
    uint32_t o, left;
    if (!in_writable(seg, off, sizeof *m))
        return; /* damaged by a hostile writer */
    as_was = slot & (SLOT_WANT | SLOT_INNER) || (open ? slot & SLOT_SECTION : slot & SLOT_DEFER);
    o = load32(&m->owner);
    if ((o & ~ID_DIRTY) == id) {
        left = as_was ? o & ID_DIRTY : ID_DIRTY;
        if (!open && slot & SLOT_DEFER && slot & SLOT_MEND)
            left = 0;
        swap32(&m->owner, &o, left);
    }
    os_futex_wake(&m->waiters, 1); /* also where it was not his: waiters stays as it is */
}

/* ---- public ---- */

static int check_address(tarn *seg, const tarn_mutex *m, const char *call)
{
    uint64_t off = offset_of(seg, m);
    if (off % 8 || !in_data(seg, off, sizeof *m))
        return fail(-EINVAL, "%s: %p is no mutex of this segment: it must lie in its memory, aligned to 8",
                    call, (const void *)m);
    return 0;
}

static __attribute__((noinline)) int lock_any(tarn *seg, tarn_mutex *m)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (!s)
        return e;
    e = check_address(seg, m, "tarn_mutex_lock");
    return e ? e : take(s, m, s->slot_flags, MUTEX_WAIT, NULL);
}

/* Everything rare is a tail call, so that the rest needs no stack frame. */
int tarn_mutex_lock(tarn *seg, tarn_mutex *m)
{
    struct self *s = self_last;
    uint64_t off = offset_of(seg, m), *slot, taken;
    uint32_t free = 0;
    if (TARN_RARE(!s || s->seg != seg))
        return lock_any(seg, m);
    slot = s->slot;
    if (TARN_RARE(*slot || off & 7 ||
                  off - seg->geometry.zone[ZONE_DATA] >=
                      __atomic_load_n(&seg->backed, __ATOMIC_RELAXED))) /* backed: private, and there to be touched */
        return lock_any(seg, m);
    taken = off | s->slot_flags;
    store64(slot, taken | SLOT_WANT);
    if (TARN_RARE(!__atomic_compare_exchange_n(&m->owner, &free, s->id, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        return mutex_take_slow(s, m, slot, s->slot_flags, MUTEX_WAIT, NULL);
    compiler_barrier();
    kill_point();
    store64(slot, taken);
    if (TARN_RARE(s->slot_flags))
        s->section_slots = 1;
    return 0;
}

int tarn_mutex_try(tarn *seg, tarn_mutex *m)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (!s)
        return e;
    e = check_address(seg, m, "tarn_mutex_try");
    return e ? e : take(s, m, s->slot_flags, MUTEX_TRY, NULL);
}

int tarn_mutex_timed(tarn *seg, tarn_mutex *m, const struct timespec *until)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (!s)
        return e;
    e = check_address(seg, m, "tarn_mutex_timed");
    if (!e && (!until || until->tv_nsec < 0 || until->tv_nsec >= 1000000000))
        e = fail(-EINVAL, "tarn_mutex_timed: the deadline's nanoseconds must be 0 to 999,999,999");
    return e ? e : take(s, m, s->slot_flags, MUTEX_TIMED, until);
}

static __attribute__((noinline)) int unlock_any(tarn *seg, tarn_mutex *m)
{
    struct self *s = self_if(seg);
    int e = check_address(seg, m, "tarn_mutex_unlock");
    if (e)
        return e;
    return s ? release_slow(s, m) : not_held(m, "tarn_mutex_unlock");
}

int tarn_mutex_unlock(tarn *seg, tarn_mutex *m)
{
    struct self *s = self_last;
    if (TARN_RARE(!s || s->seg != seg || *s->slot != offset_of(seg, m) || s->depth))
        return unlock_any(seg, m);
    return release(s, m); /* its quick half: the same is true there */
}

int tarn_mutex_consistent(tarn *seg, tarn_mutex *m)
{
    struct self *s = self_if(seg);
    uint64_t *slot;
    int e = check_address(seg, m, "tarn_mutex_consistent");
    if (e)
        return e;
    if (!s || !mutex_held(s, m) || !(slot = slot_find(s, offset_of(seg, m))) || *slot & SLOT_DEFER)
        return not_held(m, "tarn_mutex_consistent");
    if (s->depth) {
        store64(slot, *slot | SLOT_MEND);
        s->section_slots = 1;
    } else {
        store32(&m->owner, s->id);
        store64(slot, *slot & ~SLOT_DIRTY);
    }
    return 0;
}

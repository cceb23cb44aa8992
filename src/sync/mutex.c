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

int no_slot(struct self *s)
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

static inline void unlock_now(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t during, uint64_t after,
                              uint32_t left)
{
    store64(slot, during);
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
    store64(slot, after);
}
void mutex_unlock_now(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t during, uint64_t after, uint32_t left)
{
    unlock_now(s, m, slot, during, after, left);
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
        if (SLOT_NUMBER(*slot)) { /* held more than once */
            store64(slot, *slot - SLOT_NUMBER_ONE);
            return 0;
        }
        store64(slot, *slot | SLOT_DEFER);
        s->section_slots = 1;
        return 0;
    }
    if (SLOT_NUMBER(*slot)) {
        store64(slot, *slot - SLOT_NUMBER_ONE);
        return 0;
    }
    unlock_now(s, m, slot, off | SLOT_WANT, 0, o & ID_DIRTY);
    return 0;
}

static inline int release(struct self *s, tarn_mutex *m)
{
    uint64_t off = offset_of(s->seg, m), *slot = s->slot;
    if (TARN_RARE(*slot != off || s->depth)) /* no flags: it is ours, from outside a section, and clean */
        return release_slow(s, m);
    unlock_now(s, m, slot, off | SLOT_WANT, 0, 0);
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
        unlock_now(s, m, slot, off | SLOT_WANT, 0, o & ID_DIRTY);
        return;
    }
    if (v & SLOT_MEND)
        store32(&m->owner, s->id);
    store64(slot, off | (v & (SLOT_INNER | SLOT_WHAT)) | (v & SLOT_MEND ? 0 : v & SLOT_DIRTY));
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
    return sync_there(seg, m, sizeof *m, call, "mutex");
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
    if (!e)
        e = sync_deadline(until, "tarn_mutex_timed");
    return e ? e : take(s, m, s->slot_flags, MUTEX_TIMED, until);
}

/* Held already: once more. false: it is not held. */
static bool nest(struct self *s, tarn_mutex *m, int *ret_result)
{
    uint64_t *slot;
    if (!mutex_held(s, m) || !(slot = slot_find(s, offset_of(s->seg, m))) || *slot & SLOT_DEFER)
        return false;
    if (SLOT_NUMBER(*slot) == SLOT_NUMBER_MOST) {
        *ret_result = fail(-EAGAIN, "the mutex at %#llx is locked %u times by this thread, the most",
                           (unsigned long long)offset_of(s->seg, m), SLOT_NUMBER_MOST + 1);
        return true;
    }
    store64(slot, *slot + SLOT_NUMBER_ONE);
    *ret_result =
        __atomic_load_n(&m->owner, __ATOMIC_RELAXED) & ID_DIRTY && !(*slot & SLOT_MEND) ? TARN_RECOVERED : 0;
    return true;
}

static int lock_nested(tarn *seg, tarn_mutex *m, enum mutex_wait how, const struct timespec *until, const char *call)
{
    int e = 0;
    struct self *s = sync_self(seg, m, sizeof *m, call, "mutex", &e);
    if (!s)
        return e;
    if (how == MUTEX_TIMED && (e = sync_deadline(until, call)))
        return e;
    return nest(s, m, &e) ? e : take(s, m, s->slot_flags, how, until);
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

int tarn_mutex_lock_nested(tarn *seg, tarn_mutex *m)
{
    return lock_nested(seg, m, MUTEX_WAIT, NULL, "tarn_mutex_lock_nested");
}
int tarn_mutex_try_nested(tarn *seg, tarn_mutex *m)
{
    return lock_nested(seg, m, MUTEX_TRY, NULL, "tarn_mutex_try_nested");
}
int tarn_mutex_timed_nested(tarn *seg, tarn_mutex *m, const struct timespec *until)
{
    return lock_nested(seg, m, MUTEX_TIMED, until, "tarn_mutex_timed_nested");
}

int tarn_mutex_owner(tarn *seg, const tarn_mutex *m, uint32_t *ret_id)
{
    int e = check_address(seg, m, "tarn_mutex_owner");
    if (!e)
        *ret_id = load32(&m->owner) & ~ID_DIRTY;
    return e;
}

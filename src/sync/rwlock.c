/* sync/rwlock.c - many readers or one writer; each recorded in its own held slot, so a dead reader is no reader any more.
 *
 *   owner, waiters  a mutex: its holder is the writer, or for a moment a reader on his way in
 *   fast            bit i: participants of index i mod 64 may come in to read without touching the lock
 *   slow            bit i: such a one may be reading, having come by the mutex. Changed by the owner only, like fast
 *   drain           a writer sleeps, until a reader leaves
 *
 * Who reads is what the slots say: reads(p, L) == some slot of p is {L, READ} without WANT. The bits only say where to look.
 *   read, fast:  slot = L, READ; then owner and fast are read: free and mine: it is read. Else slot = 0, drain looked at, and the slow way.
 *   read, slow:  slot = L, READ, WANT; owner = me, as a mutex; slow |= mine; slot = L, READ; owner = as it was, as a mutex
 *   write:       slot = L, WRITE, WANT; owner = me; slow |= fast, fast = 0 if there is one, and a membarrier;
 *                no slot of those in slow is {L, READ}: slow = 0; slot = L, WRITE
 *   leave:       slot = 0; drain is looked at
 * The fast reader's plain store and look pair with the writer's membarrier between taking owner and looking at slots: of the two one sees the other
 * (biased locking for readers, after BRAVO, D. Dice and A. Kogan; there the readers' table is shared and the writer waits for a count).
 * No owner, no grant: fast is given after so many slow reads in a row, and twice as many after each time that a writer had to take it back. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

enum { GRANT_FIRST = 64, LEVEL_MOST = 6, TRY_LOOKS = 2000 };
#define READS(w) ((w)&0xffffffu)
#define LEVEL(w) ((w) >> 24)
#define WHAT "rwlock"

static tarn_mutex *mutex_of(tarn_rwlock *l)
{
    return (tarn_mutex *)(void *)l; /* its first two words */
}
_Static_assert(offsetof(tarn_rwlock, owner) == offsetof(tarn_mutex, owner) &&
                   offsetof(tarn_rwlock, waiters) == offsetof(tarn_mutex, waiters),
               "a rwlock begins as a mutex does");

static inline uint64_t bit_of(const struct self *s)
{
    return 1ull << (ID_INDEX(s->id) % 64);
}

static bool is_damaged(const tarn_rwlock *l)
{
    return l->flags & ~(TARN_RWLOCK_WRITERS | SYNC_GONE) || l->drain > 1 || l->reserved;
}

/* ---- leaving ---- */

static __attribute__((noinline)) void read_done_waited(struct self *s, tarn_rwlock *l, uint64_t *slot)
{
    bell_arm(s);
    if (load64(slot)) {
        store32(&l->drain, 0); /* who waits sets it anew */
        store64(slot, 0);
    }
    os_futex_wake(&l->drain, INT32_MAX);
    bell_disarm(s);
}

/* A reader's slot is given up, and a writer who sleeps looks again. Once it is, the lock's memory may be gone: it is read, and woken on, never written. */
static inline void read_done(struct self *s, tarn_rwlock *l, uint64_t *slot)
{
    if (TARN_RARE(__atomic_load_n(&l->drain, __ATOMIC_RELAXED))) {
        read_done_waited(s, l, slot);
        return;
    }
    if (TARN_RARE(s->seg->exchange_unlock)) {
        __atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST);
        kill_point();
    } else
        store64(slot, 0);
    if (TARN_RARE(__atomic_load_n(&l->drain, __ATOMIC_RELAXED))) /* may happen before the store is seen: hence the writer's membarrier */
        read_done_waited(s, l, slot);
}

void rwlock_end_reader(struct self *s, uint64_t *slot)
{
    uint64_t v = load64(slot), off = v & SLOT_OFFSET;
    if (TARN_RARE(!in_data(s->seg, off, sizeof(tarn_rwlock)))) /* a hostile writer's */
        store64(slot, 0);
    else if (v & SLOT_DEFER)
        read_done(s, at_offset(s->seg, off), slot);
    else
        store64(slot, v & (SLOT_OFFSET | SLOT_WHAT));
}

/* He may have been on his way in, or out of a write: then owner is his, and comes back as it was. */
void rwlock_free_reader(struct self *dead, uint64_t *slot, uint32_t id)
{
    uint64_t off = load64(slot) & SLOT_OFFSET;
    tarn_rwlock *l = at_offset(dead->seg, off);
    uint32_t o;
    if (!in_data(dead->seg, off, sizeof *l))
        return;
    o = load32(&l->owner);
    if ((o & ~ID_DIRTY) == id)
        swap32(&l->owner, &o, o & ID_DIRTY);
    store64(slot, 0); /* now, for a writer who finds it still there sleeps until the recoverer's next wake-up */
    os_futex_wake(&l->waiters, 1);
    os_futex_wake(&l->drain, INT32_MAX);
}

/* ---- reading ---- */

/* The calling thread has the lock in some way already. true: *ret_result is the call's. */
static bool has_it(struct self *s, tarn_rwlock *l, bool write, int *ret_result)
{
    uint64_t *slot = slot_find(s, offset_of(s->seg, l)), v;
    uint32_t dirty;
    if (!slot)
        return false;
    v = *slot;
    dirty = load32(&l->owner) & ID_DIRTY;
    if (v & SLOT_DEFER && (SLOT_KIND(v) == SLOT_WRITE || !write)) { /* given up in this section, and wanted again: it is still there */
        store64(slot, v & ~SLOT_DEFER);
        *ret_result = dirty && !(v & SLOT_MEND) ? TARN_RECOVERED : 0;
    } else if (SLOT_KIND(v) == SLOT_READ && !write && SLOT_NUMBER(v) < SLOT_NUMBER_MOST) {
        store64(slot, v + SLOT_NUMBER_ONE);
        *ret_result = dirty ? TARN_RECOVERED : 0;
    } else if (SLOT_KIND(v) == SLOT_READ && !write)
        *ret_result = fail(-EAGAIN, "the rwlock at %#llx is held %u times by this thread, the most",
                           (unsigned long long)offset_of(s->seg, l), SLOT_NUMBER_MOST + 1);
    else
        *ret_result = fail(-EDEADLK, "the rwlock at %#llx is held by this thread already, to %s",
                           (unsigned long long)offset_of(s->seg, l), SLOT_KIND(v) == SLOT_READ ? "read" : "write");
    return true;
}

/* Owner is ours for a moment: be a reader, let it go. was: 0, or dirty. */
static int enter_as_owner(struct self *s, tarn_rwlock *l, uint64_t *slot, uint32_t was)
{
    uint64_t reading = offset_of(s->seg, l) | SLOT_READ | s->slot_flags;
    uint32_t reads = load32(&l->reads);
    if (!(l->slow & bit_of(s)))
        store64(&l->slow, l->slow | bit_of(s));
    if (READS(reads) + 1 >= (uint32_t)GRANT_FIRST << (LEVEL(reads) > LEVEL_MOST ? LEVEL_MOST : LEVEL(reads))) {
        if (!s->seg->exchange_unlock && !(l->fast & bit_of(s))) {
            __atomic_fetch_or(&l->fast, bit_of(s), __ATOMIC_SEQ_CST);
            kill_point();
            if (TARN_RARE(load32(&l->flags) & SYNC_GONE)) /* pairs with who destroys it: flags, then fast = 0 */
                store64(&l->fast, 0);
        }
    } else
        store32(&l->reads, reads + 1);
    if (s->slot_flags)
        s->section_slots = 1;
    mutex_unlock_now(s, mutex_of(l), slot, reading, reading, was);
    return was ? lock_recovered(s, l) : 0;
}

/* Is the owner a reader on his way in, as far as can be seen? */
static bool owner_reads(struct tarn *seg, tarn_rwlock *l, uint32_t owner)
{
    uint32_t id = owner & ~ID_DIRTY;
    return id && slot_of(seg, ID_INDEX(id), offset_of(seg, l), 7ull << 58, SLOT_READ);
}

static int read_slow(struct self *s, tarn_rwlock *l, enum mutex_wait how, const struct timespec *until,
                     const char *call)
{
    uint64_t *slot;
    uint32_t o;
    int e;
    if (is_damaged(l))
        return sync_damaged(s, l, call, WHAT);
    if (l->flags & SYNC_GONE)
        return sync_gone(s, l, call, WHAT);
    if (has_it(s, l, false, &e))
        return e;
    if (!(slot = slot_free(s)))
        return no_slot(s);
    store64(slot, offset_of(s->seg, l) | SLOT_READ | SLOT_WANT);
    for (int tries = 0;; tries++) {
        o = load32(&l->owner);
        if (!(o & ~ID_DIRTY)) {
            if (swap32(&l->owner, &o, s->id | o))
                return enter_as_owner(s, l, slot, o);
        } else if (how != MUTEX_TRY || tries > TRY_LOOKS ||
                   !owner_reads(s->seg, l, o)) /* one who only comes in to read keeps no reader out */
            break;
        os_pause();
    }
    e = mutex_take_slow(s, mutex_of(l), slot, SLOT_READ | SLOT_WANT, how, until);
    if (e < 0)
        return e;
    if (TARN_RARE(l->flags & SYNC_GONE)) {
        mutex_unlock_now(s, mutex_of(l), slot, offset_of(s->seg, l) | SLOT_READ | SLOT_WANT, 0,
                         load32(&l->owner) & ID_DIRTY);
        return sync_gone(s, l, call, WHAT);
    }
    return enter_as_owner(s, l, slot, load32(&l->owner) & ID_DIRTY);
}

static inline int read_lock(tarn *seg, tarn_rwlock *l, enum mutex_wait how, const struct timespec *until,
                            const char *call)
{
    int e = 0;
    struct self *s = sync_self(seg, l, sizeof *l, call, WHAT, &e);
    if (!s)
        return e;
    if (how == MUTEX_TIMED && (e = sync_deadline(until, call)))
        return e;
    return read_slow(s, l, how, until, call);
}

/* Taken back: a writer may have seen it. */
static __attribute__((noinline)) int read_after_all(struct self *s, tarn_rwlock *l, uint64_t *slot,
                                                    enum mutex_wait how)
{
    read_done(s, l, slot);
    return read_slow(s, l, how, NULL, how == MUTEX_TRY ? "tarn_rwlock_read_try" : "tarn_rwlock_read");
}

static inline int read_quick(tarn *seg, tarn_rwlock *l, enum mutex_wait how, const char *call)
{
    struct self *s = self_last;
    uint64_t off = offset_of(seg, l), *slot, in = off - seg->geometry.zone[ZONE_DATA], backed;
    if (TARN_RARE(!s || s->seg != seg))
        return read_lock(seg, l, how, NULL, call);
    slot = s->slot;
    backed = __atomic_load_n(&seg->backed, __ATOMIC_RELAXED);
    if (TARN_RARE(off & 7 || s->slot_flags || in >= backed || in + sizeof *l > backed) ||
        !(__atomic_load_n(&l->fast, __ATOMIC_RELAXED) & bit_of(s)))
        return read_lock(seg, l, how, NULL, call);
    if (TARN_RARE(*slot)) { /* it may be this very lock */
        if (slot_find(s, off) || !(slot = slot_free(s)))
            return read_lock(seg, l, how, NULL, call);
    } else if (TARN_RARE(s->slots_used > 4 && slot_find(s, off)))
        return read_lock(seg, l, how, NULL, call);
    else
        for (int i = 1; i < 4; i++)
            if (TARN_RARE((s->slot[i] & SLOT_OFFSET) == off))
                return read_lock(seg, l, how, NULL, call);
    store64(slot, off | SLOT_READ);
    /* These looks may happen before the store is seen: hence the writer's membarrier. */
    if (TARN_RARE(__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) ||
                  !(__atomic_load_n(&l->fast, __ATOMIC_ACQUIRE) & bit_of(s))))
        return read_after_all(s, l, slot, how);
    return 0;
}

int tarn_rwlock_read(tarn *seg, tarn_rwlock *l)
{
    return read_quick(seg, l, MUTEX_WAIT, "tarn_rwlock_read");
}
int tarn_rwlock_read_try(tarn *seg, tarn_rwlock *l)
{
    return read_quick(seg, l, MUTEX_TRY, "tarn_rwlock_read_try");
}
int tarn_rwlock_read_timed(tarn *seg, tarn_rwlock *l, const struct timespec *until)
{
    return read_lock(seg, l, MUTEX_TIMED, until, "tarn_rwlock_read_timed");
}

/* ---- writing ---- */

/* The index of somebody of `among` who reads, but for s himself; UINT32_MAX: nobody. */
static uint32_t reader_of(struct self *s, tarn_rwlock *l, uint64_t among)
{
    struct tarn *seg = s->seg;
    uint64_t off = offset_of(seg, l);
    for (; among; among &= among - 1)
        for (uint32_t i = (uint32_t)__builtin_ctzll(among); i < seg->geometry.records; i += 64)
            if (i != ID_INDEX(s->id) && slot_of(seg, i, off, 7ull << 58 | SLOT_WANT, SLOT_READ))
                return i;
    return UINT32_MAX;
}

/* Owner is ours: nobody comes in the fast way any more, and all who did can be seen. */
static void revoke(struct self *s, tarn_rwlock *l)
{
    uint64_t fast = load64(&l->fast);
    uint32_t level = LEVEL(load32(&l->reads));
    if (fast) {
        store64(&l->slow, l->slow | fast);
        store64(&l->fast, 0);
        if (level < LEVEL_MOST)
            level++;
        all_threads_barrier(s->seg); /* pairs with the fast reader's store to his slot */
    }
    if (l->reads != level << 24)
        store32(&l->reads, level << 24);
}

/* The slot by which that one reads; NULL: it does not. */
static const uint64_t *reading_slot(struct tarn *seg, tarn_rwlock *l, uint32_t reader)
{
    struct slots w = slots_of_record(seg, record_at(seg, reader), load64(&record_at(seg, reader)->slots_used));
    const uint64_t *slot;
    while ((slot = slot_next(&w))) {
        uint64_t v = load64(slot);
        if ((v & SLOT_OFFSET) == offset_of(seg, l) && (v & (7ull << 58 | SLOT_WANT)) == SLOT_READ)
            return slot;
    }
    return NULL;
}

/* Sleep until a reader leaves, or this one dies. A reader who saw drain set before this writer set it anew wakes once, after his slot is given up: that may be
 * before we sleep, and drain does not show it. So his slot is slept on, too; nobody wakes on it, but the kernel looks at it after it has listed us on drain. */
static void sleep_for_readers(struct self *s, tarn_rwlock *l, uint32_t reader, const struct timespec *until,
                              unsigned *cap)
{
    uint32_t *live = liveness_of(s->seg, reader), v = load32(live), id;
    const uint64_t *slot = reading_slot(s->seg, l, reader);
    uint32_t *half = (uint32_t *)(uintptr_t)slot;
    uint64_t what = slot ? load64(slot) : 0;
    int k;
    id = ID_MAKE(load32(&record_at(s->seg, reader)->generation), reader);
    if ((what & SLOT_OFFSET) != offset_of(s->seg, l) || (what & (7ull << 58 | SLOT_WANT)) != SLOT_READ)
        return; /* it has left, or left and wants it again: then it may sleep until we are through */
    if (fate_quick(s->seg, id) != ALIVE) {
        id = recover(s, id);
        if (!id)
            return;
        live = liveness_of(s->seg, ID_INDEX(id)), v = load32(live); /* a living recoverer: that one is watched */
        if (fate_quick(s->seg, id) != ALIVE)
            return;
    }
    struct os_wait wait[4 + 2] = {
        {&l->drain, 1}, {live, v}, {half, (uint32_t)what}, {half + 1, (uint32_t)(what >> 32)}};
    k = sleep_on_words(s, wait, 4, until, cap);
    if (k < 0 || k == 1)
        (void)recover(s, id);
    if (k >= 0)
        wake_next(&wait[1], 1);
}

static int write_given_up(struct self *s, tarn_rwlock *l, uint64_t *slot, bool owner, uint32_t reader, int error)
{
    uint64_t off = offset_of(s->seg, l);
    waits_for(s, 0);
    if (owner)
        mutex_unlock_now(s, mutex_of(l), slot, off | SLOT_WRITE | SLOT_WANT, 0, load32(&l->owner) & ID_DIRTY);
    else
        store64(slot, 0);
    bell_disarm(s);
    if (error == -EIDRM)
        return sync_gone(s, l, "tarn_rwlock_write", WHAT);
    if (error == -EDEADLK)
        return fail(error, "waiting for those who read under the rwlock at %#llx would close a circle of waiting participants: abort, and try again",
                    (unsigned long long)off);
    return fail(error, "the rwlock at %#llx %s: participant %#x reads under it", (unsigned long long)off,
                error == -EBUSY ? "is held" : "was not free in time",
                ID_MAKE(load32(&record_at(s->seg, reader)->generation), reader));
}

/* From its owner to its writer. 0, TARN_RECOVERED, -EBUSY, -ETIMEDOUT, -EDEADLK. */
static int drain_readers(struct self *s, tarn_rwlock *l, uint64_t *slot, enum mutex_wait how,
                         const struct timespec *until)
{
    uint64_t off = offset_of(s->seg, l), writing = off | SLOT_WRITE | s->slot_flags;
    unsigned cap = CAP_FIRST;
    bool owner = true;
    int look = 0;
    if (TARN_RARE(l->flags & SYNC_GONE)) {
        bell_arm(s);
        return write_given_up(s, l, slot, true, 0, -EIDRM);
    }
    revoke(s, l);
    if (TARN_RARE(l->slow)) {
        uint32_t reader;
        bell_arm(s);
        while ((reader = reader_of(s, l, load64(&l->slow) | load64(&l->fast))) != UINT32_MAX || !owner) {
            if (how == MUTEX_TRY)
                return write_given_up(s, l, slot, owner, reader, -EBUSY);
            if (reader == UINT32_MAX) { /* not the owner any more, and nobody reads: take it again, and look again */
                int e;
                waits_for(s, 0);
                bell_disarm(s);
                e = mutex_take_slow(s, mutex_of(l), slot, SLOT_WRITE | SLOT_WANT, how, until);
                if (e < 0)
                    return e;
                bell_arm(s);
                owner = true;
                revoke(s, l);
                continue;
            }
            if (look_again(&look))
                continue;
            if (owner && !(l->flags & TARN_RWLOCK_WRITERS)) { /* readers go before: do not keep them out while asleep */
                mutex_unlock_now(s, mutex_of(l), slot, off | SLOT_WRITE | SLOT_WANT,
                                 off | SLOT_WRITE | SLOT_WANT, load32(&l->owner) & ID_DIRTY);
                owner = false;
            }
            if (how == MUTEX_TIMED && os_passed(until))
                return write_given_up(s, l, slot, owner, reader, -ETIMEDOUT);
            waits_for(s, WAITS_READERS | off | (how == MUTEX_TIMED));
            store32(&l->drain, 1);
            all_threads_barrier(s->seg); /* of our own store, too: pairs with the plain store of a reader who leaves, before he looks at drain */
            if (TARN_RARE(__atomic_load_n(&l->flags, __ATOMIC_ACQUIRE) & SYNC_GONE))
                return write_given_up(s, l, slot, owner, reader, -EIDRM);
            reader = reader_of(s, l, load64(&l->slow) | load64(&l->fast));
            if (reader == UINT32_MAX)
                continue;
            if ((s->depth || s->seg->finds_deadlocks) && waits_in_a_circle(s, WAITS_READERS | off))
                return write_given_up(s, l, slot, owner, reader, -EDEADLK);
            sleep_for_readers(s, l, reader, how == MUTEX_TIMED ? until : NULL, &cap);
            look = 0;
        }
        waits_for(s, 0);
        store64(&l->slow, 0);
        bell_disarm(s);
    }
    if (s->slot_flags)
        s->section_slots = 1;
    if (load32(&l->owner) & ID_DIRTY) {
        store64(slot, writing | SLOT_DIRTY);
        return lock_recovered(s, l);
    }
    store64(slot, writing);
    return 0;
}

static int write_lock(tarn *seg, tarn_rwlock *l, enum mutex_wait how, const struct timespec *until, const char *call)
{
    int e = 0;
    struct self *s = sync_self(seg, l, sizeof *l, call, WHAT, &e);
    uint64_t *slot;
    uint32_t free = 0;
    if (!s)
        return e;
    if (how == MUTEX_TIMED && (e = sync_deadline(until, call)))
        return e;
    if (TARN_RARE(is_damaged(l)))
        return sync_damaged(s, l, call, WHAT);
    if (TARN_RARE(l->flags & SYNC_GONE))
        return sync_gone(s, l, call, WHAT);
    slot = s->slot;
    if (has_it(s, l, true, &e))
        return e;
    if (*slot && !(slot = slot_free(s)))
        return no_slot(s);
    store64(slot, offset_of(seg, l) | SLOT_WRITE | SLOT_WANT);
    if (TARN_RARE(!swap32(&l->owner, &free, s->id))) {
        e = mutex_take_slow(s, mutex_of(l), slot, SLOT_WRITE | SLOT_WANT, how, until);
        if (e < 0)
            return e;
    }
    return drain_readers(s, l, slot, how, until);
}

int tarn_rwlock_write(tarn *seg, tarn_rwlock *l)
{
    return write_lock(seg, l, MUTEX_WAIT, NULL, "tarn_rwlock_write");
}
int tarn_rwlock_write_try(tarn *seg, tarn_rwlock *l)
{
    return write_lock(seg, l, MUTEX_TRY, NULL, "tarn_rwlock_write_try");
}
int tarn_rwlock_write_timed(tarn *seg, tarn_rwlock *l, const struct timespec *until)
{
    return write_lock(seg, l, MUTEX_TIMED, until, "tarn_rwlock_write_timed");
}

/* ---- giving up, and between the two ---- */

static int not_held(const tarn_rwlock *l, const char *call, const char *how)
{
    return fail(-EPERM, "%s: this thread does not hold the rwlock at %p%s (a forked child holds none of its parent's)",
                call, (const void *)l, how);
}

static __attribute__((noinline)) int unlock_any(tarn *seg, tarn_rwlock *l)
{
    struct self *s = self_if(seg);
    uint64_t *slot, v, off = offset_of(seg, l);
    int e = sync_there(seg, l, sizeof *l, "tarn_rwlock_unlock", WHAT);
    if (e)
        return e;
    if (!s || !(slot = slot_find(s, off)))
        return not_held(l, "tarn_rwlock_unlock", "");
    v = *slot;
    if (v & SLOT_DEFER || (SLOT_KIND(v) != SLOT_READ && SLOT_KIND(v) != SLOT_WRITE))
        return not_held(l, "tarn_rwlock_unlock", "");
    if (SLOT_NUMBER(v)) {
        store64(slot, v - SLOT_NUMBER_ONE);
        return 0;
    }
    if (s->depth) {
        store64(slot, v | SLOT_DEFER);
        s->section_slots = 1;
        return 0;
    }
    if (SLOT_KIND(v) == SLOT_READ)
        read_done(s, l, slot);
    else
        mutex_unlock_now(s, mutex_of(l), slot, off | SLOT_WRITE | SLOT_WANT, 0, load32(&l->owner) & ID_DIRTY);
    return 0;
}

int tarn_rwlock_unlock(tarn *seg, tarn_rwlock *l)
{
    struct self *s = self_last;
    uint64_t off = offset_of(seg, l);
    if (TARN_RARE(!s || s->seg != seg || s->depth))
        return unlock_any(seg, l);
    if (*s->slot == (off | SLOT_READ)) {
        read_done(s, l, s->slot);
        return 0;
    }
    if (*s->slot == (off | SLOT_WRITE)) {
        mutex_unlock_now(s, mutex_of(l), s->slot, off | SLOT_WRITE | SLOT_WANT, 0, 0);
        return 0;
    }
    return unlock_any(seg, l);
}

/* Its slot, held in this way, and once only. NULL, with *ret_error. */
static uint64_t *held_as(tarn *seg, tarn_rwlock *l, uint64_t kind, const char *call, struct self **ret_self,
                         int *ret_error)
{
    struct self *s = *ret_self = self_if(seg);
    uint64_t *slot;
    *ret_error = sync_there(seg, l, sizeof *l, call, WHAT);
    if (*ret_error)
        return NULL;
    slot = s ? slot_find(s, offset_of(seg, l)) : NULL;
    if (!slot || SLOT_KIND(*slot) != kind || *slot & SLOT_DEFER) {
        *ret_error = not_held(l, call, kind == SLOT_READ ? " to read" : " to write");
        return NULL;
    }
    return slot;
}

int tarn_rwlock_downgrade(tarn *seg, tarn_rwlock *l)
{
    struct self *s;
    int e;
    uint64_t *slot = held_as(seg, l, SLOT_WRITE, "tarn_rwlock_downgrade", &s, &e);
    if (!slot)
        return e;
    if ((e = sync_in_section(s, "tarn_rwlock_downgrade")))
        return e;
    e = enter_as_owner(s, l, slot, load32(&l->owner) & ID_DIRTY);
    return e < 0 ? e : 0;
}

/* The id of a living participant who waits to write, asleep or not; 0: nobody. */
static uint32_t waiting_writer(struct self *s, tarn_rwlock *l)
{
    for (uint32_t i = 0; i < s->seg->geometry.records; i++) {
        uint32_t id = ID_MAKE(load32(&record_at(s->seg, i)->generation), i);
        if (i != ID_INDEX(s->id) &&
            slot_of(s->seg, i, offset_of(s->seg, l), 7ull << 58 | SLOT_WANT, SLOT_WRITE | SLOT_WANT) &&
            fate_quick(s->seg, id) == ALIVE)
            return id;
    }
    return 0;
}

int tarn_rwlock_upgrade_try(tarn *seg, tarn_rwlock *l)
{
    struct self *s;
    int e;
    uint64_t *slot = held_as(seg, l, SLOT_READ, "tarn_rwlock_upgrade_try", &s, &e), v;
    uint32_t o, reader, writer;
    if (!slot)
        return e;
    v = *slot;
    o = load32(&l->owner);
    if (SLOT_NUMBER(v))
        return fail(-EBUSY, "tarn_rwlock_upgrade_try: this thread holds the rwlock at %#llx more than once to read",
                    (unsigned long long)offset_of(seg, l));
    if (o & ~ID_DIRTY || !swap32(&l->owner, &o, s->id | o))
        return fail(-EBUSY, "tarn_rwlock_upgrade_try: participant %#x comes in, or waits to write", o & ~ID_DIRTY);
    if ((writer = waiting_writer(s, l))) { /* who is not its owner waits for us to leave, and would not see us become one */
        mutex_unlock_now(s, mutex_of(l), slot, v, v, o);
        return fail(-EBUSY, "tarn_rwlock_upgrade_try: participant %#x waits to write under the rwlock at %#llx",
                    writer, (unsigned long long)offset_of(seg, l));
    }
    revoke(s, l);
    reader = reader_of(s, l, l->slow);
    if (reader != UINT32_MAX) {
        mutex_unlock_now(s, mutex_of(l), slot, v, v, o);
        return fail(-EBUSY, "tarn_rwlock_upgrade_try: participant %#x reads, too",
                    ID_MAKE(load32(&record_at(seg, reader)->generation), reader));
    }
    store64(&l->slow, bit_of(s)); /* conservative: he does not read any more */
    /* Nobody sleeps on drain for us: who would has wanted to write since before owner was ours, and waiting_writer saw him. */
    store64(slot, (v & ~SLOT_KIND(v)) | SLOT_WRITE | (o ? SLOT_DIRTY : 0)); /* last: who dies before it has not written */
    return o ? TARN_RECOVERED : 0;
}

int tarn_rwlock_consistent(tarn *seg, tarn_rwlock *l)
{
    struct self *s;
    int e;
    uint64_t *slot = held_as(seg, l, SLOT_WRITE, "tarn_rwlock_consistent", &s, &e);
    if (!slot)
        return e;
    if (s->depth) {
        store64(slot, *slot | SLOT_MEND);
        s->section_slots = 1;
    } else {
        store32(&l->owner, s->id);
        store64(slot, *slot & ~SLOT_DIRTY);
    }
    return 0;
}

/* ---- the object ---- */

int tarn_rwlock_init(tarn *seg, tarn_rwlock *l, uint32_t flags)
{
    int e = 0;
    struct self *s = sync_self(seg, l, sizeof *l, "tarn_rwlock_init", WHAT, &e);
    if (!s)
        return e;
    if (flags & ~TARN_RWLOCK_WRITERS)
        return fail(-EINVAL, "tarn_rwlock_init: flags %#x: TARN_RWLOCK_WRITERS or 0", flags);
    *l = (tarn_rwlock){.flags = flags};
    return 0;
}

int tarn_rwlock_fini(tarn *seg, tarn_rwlock *l)
{
    int e = 0;
    struct self *s = sync_self(seg, l, sizeof *l, "tarn_rwlock_fini", WHAT, &e);
    if (!s)
        return e;
    bell_arm(s);
    __atomic_fetch_or(&l->flags, SYNC_GONE, __ATOMIC_SEQ_CST);
    store64(&l->fast, 0);
    store32(&l->drain, 0); /* who waits for readers sets it, and then looks at the flags */
    os_futex_wake(&l->drain, INT32_MAX);
    exchange32(&l->waiters, 0); /* so does who waits for its owner */
    os_futex_wake(&l->waiters, INT32_MAX);
    bell_disarm(s);
    return 0;
}

int tarn_rwlock_state(tarn *seg, const tarn_rwlock *l, struct tarn_rwlock_state *ret_state)
{
    struct tarn_rwlock_state state = {0};
    uint64_t off = offset_of(seg, l);
    uint32_t o;
    int e = sync_there(seg, l, sizeof *l, "tarn_rwlock_state", WHAT);
    if (e)
        return e;
    o = load32(&l->owner);
    state.dirty = (o & ID_DIRTY) != 0;
    o &= ~ID_DIRTY;
    for (uint32_t i = 0; i < seg->geometry.records; i++)
        if (slot_of(seg, i, off, 7ull << 58 | SLOT_WANT, SLOT_READ)) {
            state.reader = ID_MAKE(load32(&record_at(seg, i)->generation), i);
            state.readers++;
        }
    if (o && slot_of(seg, ID_INDEX(o), off, 7ull << 58 | SLOT_WANT, SLOT_WRITE))
        state.writer = o;
    *ret_state = state;
    return 0;
}

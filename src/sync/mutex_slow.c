/* sync/mutex_slow.c - the mutex's slow half: waiting, waking, and noticing deaths.
 *
 *   owner    0 free | {dirty, identity}. Only its holder stores it; only compare-and-swap takes it.
 *   waiters  0 | SLEEPERS. Set by who goes to sleep; cleared by the holder only, before he wakes.
 * A sleeper waits on four words at once: waiters as set, owner as seen, the owner's liveness word, the segment's two bells. It has issued a membarrier
 * between setting waiters and reading owner, so the unlocker's plain store and look cannot both miss (after Dekker's algorithm).
 * Whoever is in here has the bell armed: if it dies, a sleeper on the bell is woken, and wakes the rest.
 *
 * Invariant: while anybody sleeps on a mutex, either some living thread is in its slow path, or waiters is set and one sleeper watches the liveness
 * of the present owner. Hence: whoever acquires after sleeping, or sees waiters, clears it and wakes one, who sets it anew and watches the
 * new owner; who gives up (time-out, deadlock) wakes one; recovery wakes one for every slot.
 *
 * The cap, a time-out of the sleep that doubles from 1 to 50 ms, is the net under this: for readers who swallow wake-ups, and for deaths
 * that no liveness word shows. For that one sleeper with it is enough, the first: who set waiters where it was clear, or was woken. The others'
 * is 50 ms as well where few take part, and longer where many may: or else a thousand sleepers would take a whole cpu by looking. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

enum {
    LOOKS = SYNC_LOOKS, /* at the owner word before sleeping: about 2 us */
    HINT = 2,           /* after so many, ask the holder for a gap: its unlock will make a system call */
    QUIET = 16          /* pauses before each look until then; one pause after */
};

/* ms: the cap of who is not the first. For each participant that there may be 3/4, but from 50 (up to 66 participants) to 1000 */
static unsigned cap_of_others(const struct tarn *seg)
{
    unsigned ms = seg->geometry.records * 3 / 4;
    return ms < CAP_MOST ? CAP_MOST : ms < 1000 ? ms : 1000;
}

/* By the holder: somebody asleep, if any, shall look again; he sets waiters anew. */
static void pass(tarn_mutex *m)
{
    store32(&m->waiters, 0);
    os_futex_wake(&m->waiters, 1);
}

void mutex_release_waited(struct self *s, tarn_mutex *m, uint32_t left)
{
    bell_arm(s);
    store32(&m->waiters, 0);
    store32(&m->owner, left); /* the kernel has a fence before it looks for sleepers */
    os_futex_wake(&m->waiters, 1);
    bell_disarm(s);
}

void mutex_wake_after_unlock(struct self *s, tarn_mutex *m)
{
    bell_arm(s);
    os_futex_wake(&m->waiters, 1);
    bell_disarm(s);
}

/* ---- waiting ---- */

struct waiting {
    tarn_mutex *m;
    uint64_t *slot, flags;
    const struct timespec *until; /* MUTEX_TIMED */
    bool slept, first;
    unsigned cap; /* ms */
};

/* Taken, with owner as it was before (0, or dirty). */
static int taken(struct self *s, struct waiting *w, uint32_t was)
{
    if (w->slept || __atomic_load_n(&w->m->waiters, __ATOMIC_RELAXED))
        pass(w->m); /* one sleeper shall watch us */
    waits_for(s, 0);
    bell_disarm(s);
    store64(w->slot, (*w->slot & SLOT_OFFSET) | w->flags | (was & ID_DIRTY ? SLOT_DIRTY : 0));
    if (w->flags)
        s->section_slots = 1;
    return was & ID_DIRTY ? lock_recovered(s, w->m) : 0;
}

/* Who gives up passes on the wake-up that it may have swallowed. */
static int given_up(struct self *s, struct waiting *w, int error)
{
    waits_for(s, 0);
    if (w->slept || load32(&w->m->waiters))
        os_futex_wake(&w->m->waiters, 1);
    bell_disarm(s);
    store64(w->slot, 0);
    if (error == -EIDRM)
        return sync_gone(s, w->m, "waiting for it", "rwlock");
    if (error == -EDEADLK)
        return fail(error, "waiting for the mutex at %#llx would close a circle of waiting sections: abort, and try again",
                    (unsigned long long)offset_of(s->seg, w->m));
    if (error == -ETIMEDOUT)
        return fail(error, "the mutex at %#llx was not free in time: participant %#x has it",
                    (unsigned long long)offset_of(s->seg, w->m), load32(&w->m->owner) & ~ID_DIRTY);
    return fail(error, "the mutex at %#llx is held by participant %#x",
                (unsigned long long)offset_of(s->seg, w->m), load32(&w->m->owner) & ~ID_DIRTY);
}

/* It is ours already: unlocked in this section and wanted again, or a mistake. */
static int own_again(struct self *s, struct waiting *w, uint32_t owner)
{
    struct tarn *seg = s->seg;
    uint64_t off = *w->slot & SLOT_OFFSET, *old = NULL;
    store64(w->slot, 0);
    bell_disarm(s);
    old = slot_find(s, off);
    if (old && *old & SLOT_DEFER && s->depth) {
        store64(old, *old & ~SLOT_DEFER);
        return owner & ID_DIRTY && !(*old & SLOT_MEND) ? TARN_RECOVERED : 0;
    }
    return fail(-EDEADLK, "the mutex at %#llx is held by this thread already",
                (unsigned long long)offset_of(seg, w->m));
}

/* Sleep until something may have changed. x: owner as seen; who: whose life is watched. */
static void sleep_on(struct self *s, struct waiting *w, uint32_t x, uint32_t who)
{
    uint32_t *live = liveness_of(s->seg, ID_INDEX(who)), l = load32(live);
    struct os_wait wait[3 + 2] = {{&w->m->waiters, MUTEX_SLEEPERS}, {&w->m->owner, x}, {live, l}};
    unsigned others = cap_of_others(s->seg);
    int k;
    if (fate_quick(s->seg, who) != ALIVE) /* a doubtful one is waited for, whatever its word */
        return;
    k = sleep_on_words(s, wait, 3, w->until, w->first ? &w->cap : &others);
    if (k == 2 || k == -EOWNERDEAD || k == -ETIMEDOUT) /* at a time-out, with the second witness */
        (void)recover(s, who); /* also where this mutex is no longer his; nothing if he lives */
    if (k >= 0)
        wake_next(&wait[2], 1);
    if (k >= 0 || k == -EOWNERDEAD)
        w->slept = w->first = true;
}

/* Before a sleep: -EDEADLK, -ETIMEDOUT, -EBUSY, or 0. */
static int may_wait(struct self *s, struct waiting *w, enum mutex_wait how)
{
    if (how == MUTEX_TRY)
        return -EBUSY;
    if (how == MUTEX_TIMED && os_passed(w->until))
        return -ETIMEDOUT;
    waits_for(s, WAITS_OWNER | offset_of(s->seg, w->m) | (how == MUTEX_TIMED));
    return 0;
}

/* A rwlock's two words, and it was destroyed? */
static bool rwlock_is_gone(const tarn_mutex *m, uint64_t flags)
{
    return SLOT_KIND(flags) && load32(&((const tarn_rwlock *)(const void *)m)->flags) & SYNC_GONE;
}

int mutex_take_slow(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t flags, enum mutex_wait how,
                    const struct timespec *until)
{
    struct tarn *seg = s->seg;
    struct waiting w = {m, slot, flags, how == MUTEX_TIMED ? until : NULL, false, false, CAP_FIRST};
    int look = how == MUTEX_TRY ? LOOKS : 0, e;
    bell_arm(s);
    for (;;) {
        uint32_t x = load32(&m->owner), who = x & ~ID_DIRTY;
        if (!who) {
            if (swap32(&m->owner, &x, s->id | x))
                return taken(s, &w, x);
            continue;
        }
        if (who == s->id)
            return own_again(s, &w, x);
        if (look < LOOKS) { /* stay off the line for a while, then look once */
            for (int i = look < HINT ? QUIET : 1; i; i--)
                os_pause();
            if (++look == HINT) {
                w.first |= !load32(&m->waiters);
                store32(&m->waiters, MUTEX_SLEEPERS);
            }
            continue;
        }
        if (fate_quick(seg, who) != ALIVE) {
            uint32_t at_it;
            if (fate_quick(seg, who) == GONE) { /* it has left since; or nobody can ever free it: a hostile writer's, or damage */
                (void)swap32(&m->owner, &x, ID_DIRTY);
                continue;
            }
            at_it = recover(s, who);
            if (!at_it)
                continue;
            who = at_it; /* a living recoverer: watch that one */
        }
        e = may_wait(s, &w, how);
        if (e)
            return given_up(s, &w, e);
        w.first |= !exchange32(&m->waiters, MUTEX_SLEEPERS);
        all_threads_barrier(seg); /* pairs with the plain store of owner in unlock */
        if (load32(&m->owner) != x)
            continue;
        if (rwlock_is_gone(m, flags)) /* after waiters was set: tarn_rwlock_fini clears it when it has said so */
            return given_up(s, &w, -EIDRM);
        if ((flags & SLOT_SECTION || s->depth || seg->finds_deadlocks) && /* an inner lock's wait can close a section's circle, too */
            waits_in_a_circle(s, WAITS_OWNER | offset_of(seg, m)))
            return given_up(s, &w, -EDEADLK);
        sleep_on(s, &w, x, who);
        look = 0;
    }
}

/* sync/sync.h - what the objects of this floor share, and what floors above and recovery need of it. docs/sync.md has the protocols. */
#ifndef TARN_SYNC_H
#define TARN_SYNC_H

#include "participant/participant.h"

#ifndef SYNC_LOOKS    /* fewer for test/explore: each is a place to switch at */
#define SYNC_LOOKS 60 /* at a word before sleeping on it: about 2 us */
#endif
#define MUTEX_SLEEPERS 0x80000000u
#define SYNC_GONE 0x80000000u /* in an object's flags: it was destroyed */
#define BARRIER_ARRIVED(turn)                                                                                \
    (((turn)&0x1ffu) << 1 | 1u) /* the number in a member's slot: arrived in this turn */

/* How to wait */
enum mutex_wait { MUTEX_WAIT, MUTEX_TRY, MUTEX_TIMED };

/* ---- mutex.c ---- */

/* Take m. flags: s->slot_flags, or SLOT_INNER for a lock under which only single stores change things. 0, TARN_RECOVERED, -EDEADLK, -ENOSPC,
 * -EBUSY (MUTEX_TRY), -ETIMEDOUT. */
int mutex_take(struct self *s, tarn_mutex *m, uint64_t flags, enum mutex_wait how, const struct timespec *until);
static inline int mutex_lock_in(struct self *s, tarn_mutex *m)
{
    return mutex_take(s, m, s->slot_flags, MUTEX_WAIT, NULL);
}
/* Give it up: put off in a section. 0, -EPERM. */
int mutex_release(struct self *s, tarn_mutex *m);
/* Take m, which the thread does not have yet, in the open section, for as long as that lasts. 0, or a failure of mutex_take. */
static inline int mutex_lock_to_the_end(struct self *s, tarn_mutex *m)
{
    int e = mutex_lock_in(s, m);
    return TARN_RARE(e < 0) ? e : mutex_release(s, m);
}

/* The same for inner locks: never put off, never dirty. */
int mutex_lock_inner(struct self *s, tarn_mutex *m);
void mutex_unlock_inner(struct self *s, tarn_mutex *m);

/* An inner lock for a change of one store, if m is free at once and no section is open: whoever dies in between is one who dies in lock or
 * unlock. The slot, or NULL. */
static inline uint64_t *mutex_take_brief(struct self *s, tarn_mutex *m)
{
    uint64_t *slot = s->slot;
    uint32_t free = 0;
    if (TARN_RARE(*slot))
        return NULL;
    store64(slot, offset_of(s->seg, m) | SLOT_INNER | SLOT_WANT);
    if (!TARN_RARE(!__atomic_compare_exchange_n(&m->owner, &free, s->id, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        compiler_barrier();
        kill_point();
        return slot;
    }
    store64(slot, 0);
    return NULL;
}

/* The stores of an unlock that takes effect now. left: 0, or the dirty bit; during: what the slot says meanwhile, with WANT; after: what it says then. */
void mutex_unlock_now(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t during, uint64_t after, uint32_t left);

/* Was m taken just now in this section, by this thread, and not before? For who must know whether a section has written under it:
 * true if the calling thread holds m (put off or not). */
bool mutex_held(struct self *s, const tarn_mutex *m);

/* For the flight recorder: this lock came dirty. TARN_RECOVERED. */
int lock_recovered(struct self *s, const void *lock);

int no_slot(struct self *s); /* -ENOSPC, with the words for it */

/* ---- mutex_slow.c ---- */
int mutex_take_slow(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t flags, enum mutex_wait how,
                    const struct timespec *until);
void mutex_wake_after_unlock(struct self *s, tarn_mutex *m);
void mutex_release_waited(struct self *s, tarn_mutex *m, uint32_t left);

/* Gives up what mutex_take_brief took. */
static inline void mutex_leave_brief(struct self *s, tarn_mutex *m, uint64_t *slot)
{
    if (TARN_RARE(__atomic_load_n(&m->waiters, __ATOMIC_RELAXED) || s->seg->exchange_unlock)) {
        mutex_unlock_now(s, m, slot, *slot, 0, 0);
        return;
    }
    store32(&m->owner, 0);
    if (TARN_RARE(__atomic_load_n(&m->waiters, __ATOMIC_RELAXED))) /* as there */
        mutex_wake_after_unlock(s, m);
    store64(slot, 0);
}

/* ---- wait.c: for all who sleep ---- */

enum { CAP_FIRST = 1, CAP_MOST = 50 }; /* ms: a sleep's time-out, which doubles */

/* For tests: without the cap, one lost wake-up is a hang and not a delay. */
extern bool mutex_cap_off;

enum { SLEEP_MOST = 120 }; /* words that one may sleep on */
/* Sleep while each of the n words is as given, and nobody dies in a slow path. `wait` has room for two more. The caller has its bell armed. Returns
 * the index of the word woken; -EAGAIN: look again; -EOWNERDEAD: somebody died in a slow path; -ETIMEDOUT: the cap (*cap is doubled), or `until`. */
int sleep_on_words(struct self *s, struct os_wait *wait, int n, const struct timespec *until, unsigned *cap);

/* After a sleep on n liveness words, and after recovering: those which have changed since wake their next sleeper. A death, and a recovery, wake one only. */
void wake_next(const struct os_wait *lives, int n);

/* What the thread waits for, for the circles and for tools; 0: nothing. Stored only if it is another than before. */
void waits_for(struct self *s, uint64_t what);

/* Would the caller's waiting for `what` close a circle of living participants, none of whom gives up by itself? */
bool waits_in_a_circle(struct self *s, uint64_t what);
/* Who waiting participants of this kind wait for: one after the other, 0 at the end. *at begins at 0. */
uint32_t waited_for(struct tarn *seg, uint64_t what, uint32_t *at);

/* Is there a slot of this participant (0, of an index beyond the records) for that object that answers to mask and value? The whole slot, or 0. */
uint64_t slot_of(struct tarn *seg, uint32_t index, uint64_t offset, uint64_t mask, uint64_t value);
static inline uint32_t *liveness_of(struct tarn *seg, uint32_t index)
{
    return (uint32_t *)(void *)record_at(seg, index)->liveness;
}

/* The caller's self, where the object is one of this segment, aligned to 8. NULL, with *ret_error. what: "semaphore". */
struct self *sync_self(tarn *seg, const void *object, size_t size, const char *call, const char *what,
                       int *ret_error);
/* The same without taking part: for calls that only read. 0, -EINVAL. */
int sync_there(tarn *seg, const void *object, size_t size, const char *call, const char *what);
/* -EPERM in an open section: who waits there for somebody else's act waits for ever. */
int sync_in_section(struct self *s, const char *call);
/* -EINVAL for a deadline that is none. */
int sync_deadline(const struct timespec *until, const char *call);
/* -EUCLEAN */
int sync_damaged(struct self *s, const void *object, const char *call, const char *what);
/* -EIDRM */
int sync_gone(struct self *s, const void *object, const char *call, const char *what);

/* Pauses for a look: `look` counts them; false: it is time to sleep. */
static inline bool look_again(int *look)
{
    enum { FIRST = 2, QUIET = 16 };
    if (*look >= SYNC_LOOKS)
        return false;
    for (int i = *look < FIRST ? QUIET : 1; i; i--)
        os_pause();
    ++*look;
    return true;
}

/* ---- for tarn_wait_any: semaphore.c, event.c ---- */
#define SEMAPHORE_EMPTY 0x80000000u
/* 1: taken. 0: nothing there, and the word is marked as one sleeps on it (*ret_word; SEMAPHORE_EMPTY). Or negative. */
int semaphore_take_or_mark(struct self *s, tarn_semaphore *m, bool slept, const char *call);
int event_take_or_mark(struct self *s, tarn_event *v, bool slept, uint32_t *ret_word, const char *call);
/* The caller goes without, and may have swallowed a wake-up. */
void semaphore_pass(tarn_semaphore *m);
void event_pass(tarn_event *v);
bool event_is_automatic(const tarn_event *v);
bool event_mark_set(tarn_event *v, uint32_t *ret_word);

/* ---- recovery's part: see struct recovery ---- */
void sync_free_slot(struct self *dead, uint64_t *slot, unsigned journal_state, uint32_t id); /* slots.c */
void sync_end_slot(struct self *s, uint64_t *slot);
void mutex_free_slot(struct self *dead, uint64_t slot, unsigned journal_state, uint32_t id);
void mutex_end_slot(struct self *s, uint64_t *slot);
void rwlock_free_reader(struct self *dead, uint64_t *slot, uint32_t id);
void rwlock_end_reader(struct self *s, uint64_t *slot);
void held_free_units(struct self *dead, uint64_t *slot);
void barrier_free_member(struct self *dead, uint64_t slot);

#endif

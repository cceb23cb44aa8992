/* sync/sync.h - the mutex, for floors above and for recovery. The protocol is in docs/crash-core.md and at the top of mutex_slow.c. */
#ifndef TARN_SYNC_H
#define TARN_SYNC_H

#include "participant/participant.h"

#define MUTEX_SLEEPERS 0x80000000u

/* How to wait */
enum mutex_wait { MUTEX_WAIT, MUTEX_TRY, MUTEX_TIMED };

/* Take m. flags: s->slot_flags, or SLOT_INNER for a lock under which only single stores change things. 0, TARN_RECOVERED, -EDEADLK, -ENOSPC,
 * -EBUSY (MUTEX_TRY), -ETIMEDOUT. */
int mutex_take(struct self *s, tarn_mutex *m, uint64_t flags, enum mutex_wait how, const struct timespec *until);
static inline int mutex_lock_in(struct self *s, tarn_mutex *m)
{
    return mutex_take(s, m, s->slot_flags, MUTEX_WAIT, NULL);
}
/* Give it up: put off in a section. 0, -EPERM. */
int mutex_release(struct self *s, tarn_mutex *m);

/* The same for inner locks: never put off, never dirty. */
int mutex_lock_inner(struct self *s, tarn_mutex *m);
void mutex_unlock_inner(struct self *s, tarn_mutex *m);

/* Was m taken just now in this section, by this thread, and not before? For who must know whether a section has written under it:
 * true if the calling thread holds m (put off or not). */
bool mutex_held(struct self *s, const tarn_mutex *m);

/* mutex_slow.c */
int mutex_take_slow(struct self *s, tarn_mutex *m, uint64_t *slot, uint64_t flags, enum mutex_wait how,
                    const struct timespec *until);
void mutex_wake_after_unlock(struct self *s, tarn_mutex *m);
void mutex_release_waited(struct self *s, tarn_mutex *m, uint32_t left);

/* For tests: without the cap, one lost wake-up is a hang and not a delay. */
extern bool mutex_cap_off;

/* recovery's part: see struct recovery */
void mutex_free_slot(struct self *dead, uint64_t slot, unsigned journal_state, uint32_t id);
void mutex_end_slot(struct self *s, uint64_t *slot);

#endif

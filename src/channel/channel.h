/* channel/channel.h - what the four channels share: how one is made and opened, seats, sleeping and waking. docs/channel.md
 *
 * Two structs per concept: struct channel, struct channel_seat (layout.h) live in the segment; struct party is private, the first member of each
 * kind's handle, and belongs to the thread that opened it. */
#ifndef TARN_CHANNEL_CHANNEL_H
#define TARN_CHANNEL_CHANNEL_H

#include <errno.h>

#include "channel/layout.h"
#include "heap/heap.h"
#include "sync/sync.h"
#include "tarn/channel.h"

enum { SIZES_MOST = 4096 }; /* messages that tarn_channel_sizes looks at */

struct channel_class;
struct channel_check;

struct party {
    tarn *seg;
    struct self *self; /* of the thread that has the seat; NULL: it only looks */
    uint32_t id;       /* self's, when it took the seat */
    uint32_t role;
    struct channel *channel;
    struct channel_seat *seat; /* NULL: it only looks */
    struct channel_seat *seats;
    char *slots;
    struct channel_shape shape; /* checked: everything in it is within the body, and the body within the segment */
    uint64_t ref;               /* of the channel */
    const struct channel_class *class;
    tarn_poll *poll; /* in which it is watched, or NULL */
    bool reader;     /* it receives without a seat, from a read-only attachment: any thread may */
    char name[64];   /* its first bytes, for messages */
};

/* What a kind hands down. */
struct channel_class {
    const char *type; /* RING_TYPE_NAME, ... */
    const char *noun; /* "ring", ... */
    size_t handle;    /* bytes of the kind's handle, whose first member is struct party */
    /* Complete and check a shape: capacity, size, seats and flags are as asked for (0: default, which it fills in); the result is bytes behind the seats,
     * or 0: cannot be, said by fail(). Called by the creator, and by each who opens it (whose shape must come out as it is). */
    uint64_t (*bytes)(struct channel_shape *shape);
    /* In the creator's section: body and root are zeroed, shape is there. NULL: zeros are a good one. */
    void (*fill)(struct channel *c, char *slots);
    /* Give back whatever the seat of this dead or leaving party has in hand. Under the channel's lock, by anybody; single stores, repeatable after a
     * death at any of them. The identity is GONE, or the caller's own. NULL: it never has anything. */
    void (*give_back)(const struct party *by, struct channel_seat *seat);
    /* For parties and statistics, also of a read-only attachment, any bytes: messages behind. NULL: none. */
    uint64_t (*behind)(const struct party *looks, const struct channel_seat *seat);
    /* The same: messages sent and received by the party. NULL: seat.messages. */
    uint64_t (*messages)(const struct party *looks, const struct channel_seat *seat);
    void (*stat)(const struct party *looks, struct tarn_channel_stat *stat);
    /* For tarn_channel_sizes: counts are zeroed, `at` is as it was left, or anything. */
    void (*sizes)(const struct party *looks, struct tarn_channel_sizes *s);
    /* Is there something to receive (TARN_RECEIVE), or room to send (TARN_SEND)? Asked by the handle's own thread, before it sleeps, and of descriptors
     * by another: it reads words of the segment (seat.at, ...) and what of the handle never changes; changes nothing, waits for nobody. */
    bool (*ready)(const struct party *p, uint32_t role);
    /* What is rung when that becomes so, for descriptors. NULL: news, room. */
    struct doorbell *(*bell)(const struct party *p, uint32_t role);
    /* What is wrong with what the kind has in channel, seats and slots: see channel/check.h. 0, -ENOMEM. */
    int (*check)(struct channel_check *c);
};
extern const struct channel_class ring_class, mq_class, topic_class, call_class;

/* ---- opening ---- */

/* Find the channel, or, with TARN_CREATE, make it; and take a seat where flags have TARN_SEND or TARN_RECEIVE. most: parties of one role at a time, 0: as
 * many as there are seats. The handle, zeroed but for its party, which channel_close frees. Or NULL, with *ret_error: -ENOENT; -EPROTO; -EINVAL; -EUCLEAN; -EROFS;
 * -ENOMEM; -EUSERS: no seat is free; -EBUSY: `most` are there: the holder is named. */
void *channel_open(tarn *seg, const char *name, const struct channel_class *class, unsigned flags,
                   const struct tarn_channel_options *options, uint32_t most, const char *call, int *ret_error);
/* Leave: what is in hand is given back, and the handle is freed. Never fails; only by the thread that has the seat is it orderly, else it is a death. */
void channel_close(struct party *p);
/* Clear the seats of the dead and of those who have left the segment: they are recovered first. Returns how many. Doorbells are rung for each. */
int channel_clear_dead(struct party *p);
/* Is there one of whom the liveness word says so? */
bool parties_dead(const struct party *p);

/* The lock of the seats, an inner one, and the bell armed as long. 0, or a failure of mutex_take. */
int channel_lock(struct party *p, enum mutex_wait how);
void channel_unlock(struct party *p);

/* Is the seat the calling thread's? Else it is another thread's, or its parent's, or the handle only looks. */
static inline bool party_is_own(const struct party *p)
{
    const struct self *s = self_if(p->seg);
    return s && s == p->self && s->id == p->id;
}
/* May the calling thread use the handle so? The quick look: false may be wrong, where it used another segment meanwhile. */
static inline bool party_may(const struct party *p, uint32_t role)
{
    const struct self *s = self_last;
    if (TARN_RARE(s != p->self))
        return false;
    return !TARN_RARE(!s || s->id != p->id || s->depth || !(p->role & role));
}
int party_refused(const struct party *p, uint32_t role, enum mutex_wait how, const struct timespec *until,
                  const char *call);
/* 0, or why the thread may not: -EPERM (another thread's handle, a parent's, an open section), -EROFS, -EBADF (it has not that role); -EINVAL: how is
 * MUTEX_TIMED, and the deadline is none. Calls that do not wait say MUTEX_TRY. */
static inline __attribute__((always_inline)) int party_use(const struct party *p, uint32_t role,
                                                           enum mutex_wait how, const struct timespec *until,
                                                           const char *call)
{
    return TARN_RARE(!party_may(p, role) || how == MUTEX_TIMED) ? party_refused(p, role, how, until, call) : 0;
}

static inline struct channel_seat *seat_at(const struct party *p, uint32_t i)
{
    return &p->seats[i];
}

/* ---- sleeping and waking ---- */

/* After a store that somebody may wait for: wake who sleeps at the doorbell; n: 1, or INT32_MAX. Who sleeps has set `sleepers` and issued a membarrier
 * before his last look, so a plain load is enough here (pairs with channel_sleep). A caller who may die between that store and this call either has
 * the bell armed from before the store on, or whoever sleeps watches its liveness (channel_sleep does, of the first hundred seats). */
enum { DOORBELL_SLEEPERS = 1 };
void doorbell_wake(struct doorbell *d, int n);
static inline void doorbell_ring_quick(struct doorbell *d, int n) /* where the segment is known to need no fence here */
{
    compiler_barrier();
    if (TARN_RARE(load32(&d->sleepers) & DOORBELL_SLEEPERS))
        doorbell_wake(d, n);
}
static inline void doorbell_ring(const struct party *p, struct doorbell *d, int n)
{
    if (TARN_RARE(p->seg->exchange_unlock))
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    doorbell_ring_quick(d, n);
}
/* By who goes to sleep: the word to sleep on is then as the result. */
static inline uint32_t doorbell_mark(struct doorbell *d)
{
    uint32_t word = __atomic_fetch_or(&d->sleepers, DOORBELL_SLEEPERS, __ATOMIC_SEQ_CST) | DOORBELL_SLEEPERS;
    kill_point();
    return word;
}

/* The liveness words of the living parties but `me`, behind wait[0..n), up to `most` words in all. Returns how many there are then. *ret_dead is set if a
 * party is dead. */
int parties_watch(const struct party *p, uint32_t me, struct os_wait *wait, int n, int most, bool *ret_dead);

/* One wait:
 *     struct channel_wait w = channel_wait(p, &c->news, TARN_RECEIVE, how, until);
 *     while ((e = try it) == -EAGAIN && (e = channel_sleep(&w)) == 0)
 *         ;
 *     channel_wait_end(&w);
 * channel_sleep returns 0: look again (it looked a few times first, slept, or was woken; somebody may have died, whose seat is cleared then);
 * -EAGAIN (MUTEX_TRY), -ETIMEDOUT: without a sentence. The class's `ready` is asked for the role between marking and sleeping. */
struct channel_wait {
    struct party *p;
    struct doorbell *bell;
    enum mutex_wait how;
    const struct timespec *until;
    int look;
    unsigned cap;
    uint32_t role;
    bool armed, slept;
};
static inline struct channel_wait channel_wait(struct party *p, struct doorbell *bell, uint32_t role,
                                               enum mutex_wait how, const struct timespec *until)
{
    return (struct channel_wait){.p = p, .bell = bell, .role = role, .how = how, .until = until, .cap = CAP_FIRST};
}
int channel_sleep(struct channel_wait *w);
/* Woken ones who take what they were woken for, where a doorbell wakes one at a time, and whoever gives up, wake the next. */
void channel_wait_end(struct channel_wait *w);

/* Watch, in this descriptor, whether this handle can do what its role is (TARN_RECEIVE before TARN_SEND). The kind's tarn_KIND_poll. 0; -ENOSPC: TARN_POLL_MOST
 * are in it; -EINVAL: of another segment; -EEXIST; -EBADF: the handle only looks. channel_close takes it out of it. */
int channel_poll(struct party *p, tarn_poll *poll, const char *call);
void channel_poll_leave(struct party *p);

/* For `sizes`: of positions [*at, end), of which `kept` are there at most, the first to be looked at; the ones before are missed. *at = end. */
uint64_t channel_sizes_from(struct tarn_channel_sizes *s, uint64_t *at, uint64_t end, uint64_t kept);
/* Now, in ns: CLOCK_REALTIME, CLOCK_MONOTONIC. */
uint64_t channel_now(int clock);

/* ---- what a name is bound to: for object.c ---- */
struct collection_checker;
struct name_copy;
bool is_channel(const char *type, uint64_t size);
/* ret, zeroed, only looks. 0, -EUCLEAN. */
int channel_attach(struct tarn *seg, const struct name_copy *n, struct party *ret);
int channel_check(struct tarn *seg, const struct name_copy *n, const struct collection_checker *k); /* 0, -ENOMEM */
int channel_retire(struct self *s, const struct name_copy *n);

/* The channel of this name, of any kind, to look at. */
int channel_look(tarn *seg, const char *name, struct party *ret);

#endif

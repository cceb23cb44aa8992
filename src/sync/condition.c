/* sync/condition.c - wait until somebody says that something has changed. Two words, and no list of waiters.
 *
 *   turn     counted up by each signal and broadcast
 *   waiting  0 | the turn in which somebody began to wait last, and 1
 * wait:    bell armed; t = turn; waiting = t; the mutex is given up; sleep while turn == t; the mutex is taken; bell off
 * signal:  if waiting: bell armed; turn + 1; wake one (all); if nobody slept, waiting = 0 if it is still the same; bell off
 *
 * A signal wakes one who began before it. If that one dies before it has the mutex, its bell wakes all who sleep in the segment, and those of this
 * condition return as if they were signalled (as a condition's waiters may, at any time): so the one who should have had the signal sees what has
 * changed. Nothing a waiter leaves behind is waited for: a signaller writes two words and wakes. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

#define WHAT "condition"
#define IS_GONE 0xfffffffeu /* in waiting: destroyed; no turn and 1 is even */
#define WAITING(turn) ((turn) << 1 | 1u)

/* 0 signalled, or as if; -ETIMEDOUT; -EIDRM. The bell is armed. */
static int sleep_for_turn(struct self *s, tarn_condition *c, uint32_t t, const struct timespec *until)
{
    unsigned cap = CAP_FIRST;
    int look = 0;
    for (;;) {
        struct os_wait wait[1 + 2] = {{&c->turn, t}};
        int k;
        if (load32(&c->turn) != t)
            return load32(&c->waiting) == IS_GONE ? -EIDRM : 0;
        if (until && os_passed(until))
            return -ETIMEDOUT;
        if (look_again(&look))
            continue;
        k = sleep_on_words(s, wait, 1, until, &cap);
        if (k == -EOWNERDEAD)
            return 0;
    }
}

static int wait_for(tarn *seg, tarn_condition *c, tarn_mutex *m, const struct timespec *until, const char *call)
{
    int e = 0, result;
    struct self *s = sync_self(seg, c, sizeof *c, call, WHAT, &e);
    uint64_t *slot;
    uint32_t t, w;
    if (!s || (e = sync_in_section(s, call)) || (e = sync_there(seg, m, sizeof *m, call, "mutex")))
        return e;
    if (!mutex_held(s, m) || !(slot = slot_find(s, offset_of(seg, m))))
        return fail(-EPERM, "%s: this thread does not hold the mutex at %#llx", call,
                    (unsigned long long)offset_of(seg, m));
    if (SLOT_NUMBER(*slot))
        return fail(-EPERM, "%s: this thread holds the mutex at %#llx %u times, and would keep it", call,
                    (unsigned long long)offset_of(seg, m), SLOT_NUMBER(*slot) + 1);
    bell_arm(s);
    do {
        t = load32(&c->turn);
        w = load32(&c->waiting);
        if (w && !(w & 1)) {
            bell_disarm(s);
            return w == IS_GONE ? sync_gone(s, c, call, WHAT) : sync_damaged(s, c, call, WHAT);
        }
    } while (w != WAITING(t) && /* an older turn never takes a newer one's place: a signaller may be about to clear it */
             (load32(&c->turn) != t || !swap32(&c->waiting, &w, WAITING(t))));
    waits_for(s, WAITS_ACT | offset_of(seg, c) | (until != NULL));
    (void)mutex_release(s, m);
    result = sleep_for_turn(s, c, t, until);
    waits_for(s, 0);
    e = mutex_take(s, m, s->slot_flags, MUTEX_WAIT, NULL);
    bell_disarm(s);
    if (e)
        return e; /* TARN_RECOVERED is told, also after a time-out */
    if (result == -ETIMEDOUT)
        return fail(-ETIMEDOUT, "%s: nobody signalled the condition at %#llx in time", call,
                    (unsigned long long)offset_of(seg, c));
    if (result == -EIDRM)
        return sync_gone(s, c, call, WHAT);
    return 0;
}

int tarn_condition_wait(tarn *seg, tarn_condition *c, tarn_mutex *m)
{
    return wait_for(seg, c, m, NULL, "tarn_condition_wait");
}
int tarn_condition_timed(tarn *seg, tarn_condition *c, tarn_mutex *m, const struct timespec *until)
{
    int e = sync_deadline(until, "tarn_condition_timed");
    return e ? e : wait_for(seg, c, m, until, "tarn_condition_timed");
}

static int wake(tarn *seg, tarn_condition *c, int n, const char *call)
{
    int e = 0;
    struct self *s = self_last;
    uint64_t off = offset_of(seg, c);
    uint32_t w;
    if (!s || s->seg != seg || off & 7 ||
        off - seg->geometry.zone[ZONE_DATA] >= __atomic_load_n(&seg->backed, __ATOMIC_RELAXED)) {
        s = sync_self(seg, c, sizeof *c, call, WHAT, &e);
        if (!s)
            return e;
    }
    w = load32(&c->waiting);
    if (!w)
        return 0;
    if (TARN_RARE(!(w & 1)))
        return w == IS_GONE ? sync_gone(s, c, call, WHAT) : sync_damaged(s, c, call, WHAT);
    bell_arm(s);
    __atomic_fetch_add(&c->turn, 1, __ATOMIC_SEQ_CST);
    kill_point();
    if (os_futex_wake(&c->turn, n) < n)
        (void)swap32(&c->waiting, &w, 0); /* who began since stores another turn */
    bell_disarm(s);
    return 0;
}

int tarn_condition_signal(tarn *seg, tarn_condition *c)
{
    return wake(seg, c, 1, "tarn_condition_signal");
}
int tarn_condition_broadcast(tarn *seg, tarn_condition *c)
{
    return wake(seg, c, INT32_MAX, "tarn_condition_broadcast");
}

int tarn_condition_fini(tarn *seg, tarn_condition *c)
{
    int e = 0;
    struct self *s = sync_self(seg, c, sizeof *c, "tarn_condition_fini", WHAT, &e);
    if (!s)
        return e;
    bell_arm(s);
    store32(&c->waiting, IS_GONE);
    __atomic_fetch_add(&c->turn, 1, __ATOMIC_SEQ_CST);
    os_futex_wake(&c->turn, INT32_MAX);
    bell_disarm(s);
    return 0;
}

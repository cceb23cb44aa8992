/* sync/semaphore.c - the counting semaphore: its units belong to nobody, and a death neither takes nor gives one. One word.
 *
 *   word   {sleepers: 1, gone: 1, units: 30}
 * wait:  units > 0: units - 1 by compare-and-swap. Else sleepers is set, and it sleeps while word == {sleepers, 0 units}
 * post:  sleepers is not set: units + 1 by compare-and-swap, and nobody need be woken: a death behind it costs nobody, and no bell is armed.
 *        Else bell armed; units + n, and sleepers cleared, by compare-and-swap; one for each unit is woken; bell off
 * Who was asleep and takes a unit sets sleepers again, for others may sleep, and if units are left wakes one. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

#define WHAT "semaphore"
#define SLEEPERS SEMAPHORE_EMPTY /* as one sleeps on it: no unit */
#define IS_GONE 0x40000000u
#define UNITS(w) ((w)&0x3fffffffu)

/* A unit, if there is one: true. again: what to set besides. */
static inline bool take(tarn_semaphore *m, uint32_t again, uint32_t *ret_seen)
{
    uint32_t w = load32(&m->word);
    while (UNITS(w) && !(w & IS_GONE))
        if (swap32(&m->word, &w, (w - 1) | again)) {
            *ret_seen = w;
            return true;
        }
    *ret_seen = w;
    return false;
}

/* 1: a unit was taken. 0: none is there; the word is as one sleeps on it. Or a negative result. For tarn_wait_any, too. */
int semaphore_take_or_mark(struct self *s, tarn_semaphore *m, bool slept, const char *call)
{
    uint32_t w;
    if (m->reserved)
        return sync_damaged(s, m, call, WHAT);
    for (;;) {
        if (take(m, slept ? SLEEPERS : 0, &w)) {
            if (slept && UNITS(w) > 1)
                os_futex_wake(&m->word, 1);
            return 1;
        }
        if (w & IS_GONE)
            return sync_gone(s, m, call, WHAT);
        if (w == SLEEPERS || swap32(&m->word, &w, SLEEPERS))
            return 0;
    }
}

/* Somebody else shall look: the caller goes without, and may have swallowed a wake-up. */
void semaphore_pass(tarn_semaphore *m)
{
    if (UNITS(load32(&m->word)))
        os_futex_wake(&m->word, 1);
}

static int wait_for(tarn *seg, tarn_semaphore *m, enum mutex_wait how, const struct timespec *until,
                    const char *call)
{
    int e = 0, look = 0;
    unsigned cap = CAP_FIRST;
    struct self *s = sync_self(seg, m, sizeof *m, call, WHAT, &e);
    bool slept = false;
    uint32_t w;
    if (!s || (e = sync_in_section(s, call)))
        return e;
    if (how == MUTEX_TIMED && (e = sync_deadline(until, call)))
        return e;
    if (m->reserved)
        return sync_damaged(s, m, call, WHAT);
    if (take(m, 0, &w))
        return 0;
    if (how == MUTEX_TRY)
        return w & IS_GONE ? sync_gone(s, m, call, WHAT)
                           : fail(-EAGAIN, "%s: the semaphore at %#llx has no unit", call,
                                  (unsigned long long)offset_of(seg, m));
    bell_arm(s);
    waits_for(s, WAITS_ACT | offset_of(seg, m) | (how == MUTEX_TIMED));
    for (;;) {
        struct os_wait wait[1 + 2] = {{&m->word, SLEEPERS}};
        int k;
        if (look_again(&look)) {
            if (!UNITS(load32(&m->word)))
                continue;
            look = 0;
        }
        e = semaphore_take_or_mark(s, m, slept, call);
        if (e)
            break;
        if (how == MUTEX_TIMED && os_passed(until)) {
            e = fail(-ETIMEDOUT, "%s: the semaphore at %#llx had no unit in time", call,
                     (unsigned long long)offset_of(seg, m));
            if (slept)
                semaphore_pass(m);
            break;
        }
        k = sleep_on_words(s, wait, 1, how == MUTEX_TIMED ? until : NULL, &cap);
        slept |= k >= 0 || k == -EOWNERDEAD;
    }
    waits_for(s, 0);
    bell_disarm(s);
    return e < 0 ? e : 0;
}

static inline bool is_here(struct self *s, tarn *seg, const tarn_semaphore *m)
{
    uint64_t off = offset_of(seg, m);
    return s && s->seg == seg && !(off & 7) &&
           off - seg->geometry.zone[ZONE_DATA] < __atomic_load_n(&seg->backed, __ATOMIC_RELAXED);
}

int tarn_semaphore_wait(tarn *seg, tarn_semaphore *m)
{
    struct self *s = self_last;
    if (!TARN_RARE(!is_here(s, seg, m) || s->depth)) {
        uint32_t w = __atomic_load_n(&m->word, __ATOMIC_RELAXED);
        if (w - 1 < TARN_SEMAPHORE_MOST && swap32(&m->word, &w, w - 1)) /* units, and no flag */
            return 0;
    }
    return wait_for(seg, m, MUTEX_WAIT, NULL, "tarn_semaphore_wait");
}
int tarn_semaphore_try(tarn *seg, tarn_semaphore *m)
{
    return wait_for(seg, m, MUTEX_TRY, NULL, "tarn_semaphore_try");
}
int tarn_semaphore_timed(tarn *seg, tarn_semaphore *m, const struct timespec *until)
{
    return wait_for(seg, m, MUTEX_TIMED, until, "tarn_semaphore_timed");
}

static __attribute__((noinline)) int post_slow(tarn *seg, tarn_semaphore *m, uint32_t n)
{
    int e = 0;
    struct self *s = sync_self(seg, m, sizeof *m, "tarn_semaphore_post", WHAT, &e);
    uint32_t w;
    if (!s || (e = sync_in_section(s, "tarn_semaphore_post")))
        return e;
    if (m->reserved)
        return sync_damaged(s, m, "tarn_semaphore_post", WHAT);
    bell_arm(s);
    w = load32(&m->word);
    do {
        if (w & IS_GONE || n > TARN_SEMAPHORE_MOST - UNITS(w)) {
            bell_disarm(s);
            return w & IS_GONE
                       ? sync_gone(s, m, "tarn_semaphore_post", WHAT)
                       : fail(-EOVERFLOW,
                              "tarn_semaphore_post: the semaphore at %#llx has %u units, and may have %u",
                              (unsigned long long)offset_of(seg, m), UNITS(w), TARN_SEMAPHORE_MOST);
        }
    } while (!swap32(&m->word, &w, (w + n) & ~SLEEPERS));
    if (w & SLEEPERS)
        os_futex_wake(&m->word, (int)n);
    bell_disarm(s);
    return 0;
}

int tarn_semaphore_post(tarn *seg, tarn_semaphore *m)
{
    struct self *s = self_last;
    if (!TARN_RARE(!is_here(s, seg, m) || s->depth)) {
        uint32_t w = __atomic_load_n(&m->word, __ATOMIC_RELAXED);
        while (w < TARN_SEMAPHORE_MOST) /* no flag, and room */
            if (swap32(&m->word, &w, w + 1))
                return 0;
    }
    return post_slow(seg, m, 1);
}

int tarn_semaphore_post_many(tarn *seg, tarn_semaphore *m, uint32_t n)
{
    return n ? post_slow(seg, m, n) : fail(-EINVAL, "tarn_semaphore_post_many: 0 units");
}

int tarn_semaphore_units(tarn *seg, const tarn_semaphore *m, uint32_t *ret_units)
{
    int e = sync_there(seg, m, sizeof *m, "tarn_semaphore_units", WHAT);
    if (!e)
        *ret_units = UNITS(load32(&m->word));
    return e;
}

int tarn_semaphore_init(tarn *seg, tarn_semaphore *m, uint32_t units)
{
    int e = 0;
    struct self *s = sync_self(seg, m, sizeof *m, "tarn_semaphore_init", WHAT, &e);
    if (!s)
        return e;
    if (units > TARN_SEMAPHORE_MOST)
        return fail(-EINVAL, "tarn_semaphore_init: %u units: at most %u", units, TARN_SEMAPHORE_MOST);
    m->reserved = 0;
    store32(&m->word, units);
    return 0;
}

int tarn_semaphore_fini(tarn *seg, tarn_semaphore *m)
{
    int e = 0;
    struct self *s = sync_self(seg, m, sizeof *m, "tarn_semaphore_fini", WHAT, &e);
    if (!s)
        return e;
    bell_arm(s);
    store32(&m->word, IS_GONE); /* the kernel has a fence before it looks for sleepers */
    os_futex_wake(&m->word, INT32_MAX);
    bell_disarm(s);
    return 0;
}

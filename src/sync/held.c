/* sync/held.c - the held semaphore: its units are recorded with who has them, and come back when he dies. (System V's SEM_UNDO, made exact.)
 *
 *   available  units left: a sum that is kept, not the truth
 *   deaths     counted up when units came back by a death; counted: what it was when the sum was made from the slots
 *   lock       guards all but deaths, and the slots of this semaphore
 *   units      how many there are
 *   over       more are taken than there are (fewer were set): then what is given is counted anew, for the sum cannot say by how many
 *   sleepers   somebody sleeps
 * The truth is what the slots say:  available == units - sum over all slots {S, UNITS, n} of n, whenever nobody has the lock and
 *                                              counted == deaths.
 * take:   lock; slot = S, UNITS, n; available - n; unlock
 * give:   lock; slot = S, UNITS, n, WANT; available + n; slot = 0 (or less); unlock
 * death:  each slot of it: S, UNITS, 0; deaths + 1; those who sleep are woken; slot = 0. So nothing depends on where in take or give he died.
 * Whoever sleeps watches those who have units; every change wakes all who sleep, for each may want another number. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

#define WHAT "held semaphore"

static bool is_damaged(const tarn_held *h)
{
    return h->over > 1 || h->sleepers & 0x7fffffffu || h->units > TARN_SEMAPHORE_MOST;
}
/* Of what changes only under the lock, by who has it. */
static bool is_damaged_inside(const tarn_held *h)
{
    return h->counted == load32(&h->deaths) && h->available > h->units;
}

/* Of all participants; the lock is held, or the number is a guess. */
static uint64_t units_held(struct tarn *seg, uint64_t off)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        struct slots w;
        const uint64_t *slot;
        if (load32(&r->state) == RECORD_FREE)
            continue;
        w = slots_of_record(seg, r, load64(&r->slots_used));
        while ((slot = slot_next(&w))) {
            uint64_t v = load64(slot);
            if ((v & SLOT_OFFSET) == off && SLOT_KIND(v) == SLOT_UNITS)
                sum += SLOT_NUMBER(v);
        }
    }
    return sum;
}

static void count_again(struct tarn *seg, tarn_held *h)
{
    uint32_t deaths = load32(&h->deaths); /* first: one who dies meanwhile counts it up */
    uint64_t sum;
    if (h->counted == deaths)
        return;
    sum = units_held(seg, offset_of(seg, h));
    store32(&h->over, sum > h->units);
    store32(&h->available, sum < h->units ? h->units - (uint32_t)sum : 0);
    store32(&h->counted, deaths);
}

/* By who has the lock: something has changed. */
static void wake_all(tarn_held *h)
{
    if (!load32(&h->sleepers))
        return;
    store32(&h->sleepers, 0);
    os_futex_wake(&h->sleepers, INT32_MAX);
}

void held_free_units(struct self *dead, uint64_t *slot)
{
    uint64_t off = load64(slot) & SLOT_OFFSET;
    tarn_held *h = at_offset(dead->seg, off);
    if (!in_data(dead->seg, off, sizeof *h))
        return;
    store64(slot, off | SLOT_UNITS);
    __atomic_fetch_add(&h->deaths, 1, __ATOMIC_SEQ_CST); /* once too often does no harm */
    kill_point();
    os_futex_wake(&h->deaths, INT32_MAX);
}

/* A slot of this thread for n units more: NULL, with *ret_error. */
static uint64_t *slot_for(struct self *s, uint64_t off, uint32_t n, int *ret_error)
{
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    uint64_t *slot;
    while ((slot = slot_next(&w)))
        if ((*slot & SLOT_OFFSET) == off && SLOT_KIND(*slot) == SLOT_UNITS &&
            SLOT_NUMBER(*slot) + n <= SLOT_NUMBER_MOST)
            return slot;
    slot = slot_free(s);
    if (!slot)
        *ret_error = no_slot(s);
    return slot;
}

/* Sleep until something changes: with those watched who have units now. The lock is held, and given up. */
static int sleep_for_units(struct self *s, tarn_held *h, enum mutex_wait how, const struct timespec *until,
                           unsigned *cap)
{
    struct os_wait wait[SLEEP_MOST + 2] = {{&h->sleepers, 0x80000000u}, {&h->deaths, h->counted}};
    uint64_t what = WAITS_UNITS | offset_of(s->seg, h) | (how == MUTEX_TIMED);
    uint32_t at = 0, id, fallen = 0;
    int n = 2, k;
    store32(&h->sleepers, 0x80000000u);
    waits_for(s, what);
    while (n < SLEEP_MOST - 1 && (id = waited_for(s->seg, what, &at))) {
        uint32_t *live = liveness_of(s->seg, ID_INDEX(id)), v = load32(live);
        if (id == s->id)
            continue;
        if (fate_quick(s->seg, id) == ALIVE)
            wait[n++] = (struct os_wait){live, v};
        else
            fallen = id;
    }
    mutex_unlock_inner(s, &h->lock);
    if (fallen) {
        uint32_t *live, v;
        if (!(fallen = recover(s, fallen)))
            return -EAGAIN;
        live = liveness_of(s->seg, ID_INDEX(fallen)), v = load32(live); /* a living recoverer: that one is watched */
        if (fate_quick(s->seg, fallen) != ALIVE)
            return -EAGAIN;
        wait[n++] = (struct os_wait){live, v};
    }
    k = sleep_on_words(s, wait, n, how == MUTEX_TIMED ? until : NULL, cap);
    if (k >= 2 || k == -EOWNERDEAD || k == -ETIMEDOUT)
        recover_all(s);
    if (k >= 0)
        wake_next(&wait[2], n - 2);
    return k;
}

static int take(tarn *seg, tarn_held *h, uint32_t n, enum mutex_wait how, const struct timespec *until,
                const char *call)
{
    int e = 0;
    unsigned cap = CAP_FIRST;
    struct self *s = sync_self(seg, h, sizeof *h, call, WHAT, &e);
    uint64_t *slot = NULL, off = offset_of(seg, h);
    if (!s || (e = sync_in_section(s, call)))
        return e;
    if (how == MUTEX_TIMED && (e = sync_deadline(until, call)))
        return e;
    if (n < 1 || n > SLOT_NUMBER_MOST)
        return fail(-EINVAL, "%s: %u units: 1 to %u at a time", call, n, SLOT_NUMBER_MOST);
    bell_arm(s);
    for (;;) {
        if (is_damaged(h)) {
            e = sync_damaged(s, h, call, WHAT);
            break;
        }
        if ((e = mutex_lock_inner(s, &h->lock)) < 0)
            break;
        if (is_damaged_inside(h)) {
            e = sync_damaged(s, h, call, WHAT);
            mutex_unlock_inner(s, &h->lock);
            break;
        }
        count_again(seg, h);
        if (h->available >= n && (slot = slot_for(s, off, n, &e))) {
            store64(slot, (*slot ? *slot : off | SLOT_UNITS) + n * SLOT_NUMBER_ONE);
            store32(&h->available, h->available - n);
            wake_all(h); /* somebody else is to be watched now */
        }
        if (!slot && !e && how == MUTEX_TRY)
            e = fail(-EAGAIN, "%s: the semaphore at %#llx has %u units left, not %u", call,
                     (unsigned long long)off, h->available, n);
        if (!slot && !e && how == MUTEX_TIMED && os_passed(until))
            e = fail(-ETIMEDOUT, "%s: the semaphore at %#llx did not have %u units in time", call,
                     (unsigned long long)off, n);
        if (slot || e) {
            mutex_unlock_inner(s, &h->lock);
            break;
        }
        (void)sleep_for_units(s, h, how, until, &cap);
    }
    waits_for(s, 0);
    bell_disarm(s);
    return e;
}

int tarn_held_take(tarn *seg, tarn_held *h, uint32_t n)
{
    return take(seg, h, n, MUTEX_WAIT, NULL, "tarn_held_take");
}
int tarn_held_try(tarn *seg, tarn_held *h, uint32_t n)
{
    return take(seg, h, n, MUTEX_TRY, NULL, "tarn_held_try");
}
int tarn_held_timed(tarn *seg, tarn_held *h, uint32_t n, const struct timespec *until)
{
    return take(seg, h, n, MUTEX_TIMED, until, "tarn_held_timed");
}

/* How many of them this thread has. */
static uint64_t mine(struct self *s, uint64_t off)
{
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    const uint64_t *slot;
    uint64_t sum = 0;
    while ((slot = slot_next(&w)))
        if ((*slot & SLOT_OFFSET) == off && SLOT_KIND(*slot) == SLOT_UNITS)
            sum += SLOT_NUMBER(*slot);
    return sum;
}

int tarn_held_give(tarn *seg, tarn_held *h, uint32_t n)
{
    int e = 0;
    struct self *s = sync_self(seg, h, sizeof *h, "tarn_held_give", WHAT, &e);
    uint64_t off = offset_of(seg, h), *slot;
    struct slots w;
    bool over;
    if (!s || (e = sync_in_section(s, "tarn_held_give")))
        return e;
    if (is_damaged(h))
        return sync_damaged(s, h, "tarn_held_give", WHAT);
    if (n < 1 || n > mine(s, off))
        return fail(-EPERM, "tarn_held_give: %u units, and this thread has %llu of the semaphore at %#llx", n,
                    (unsigned long long)mine(s, off), (unsigned long long)off);
    bell_arm(s);
    if ((e = mutex_lock_inner(s, &h->lock)) < 0) {
        bell_disarm(s);
        return e;
    }
    if (is_damaged_inside(h)) {
        e = sync_damaged(s, h, "tarn_held_give", WHAT);
        mutex_unlock_inner(s, &h->lock);
        bell_disarm(s);
        return e;
    }
    count_again(seg, h);
    over = h->over;
    if (over)
        store32(&h->counted, load32(&h->deaths) - 1);
    w = slots_of_record(seg, s->record, s->slots_used);
    while (n && (slot = slot_next(&w))) {
        uint64_t v = *slot;
        uint32_t has = SLOT_NUMBER(v), some = has < n ? has : n;
        if ((v & SLOT_OFFSET) != off || SLOT_KIND(v) != SLOT_UNITS)
            continue;
        store64(slot, v | SLOT_WANT);
        if (!over)
            store32(&h->available, h->available + some);
        store64(slot, some == has ? 0 : v - some * SLOT_NUMBER_ONE);
        n -= some;
    }
    count_again(seg, h);
    wake_all(h);
    mutex_unlock_inner(s, &h->lock);
    bell_disarm(s);
    return 0;
}

int tarn_held_state(tarn *seg, const tarn_held *h, uint32_t *ret_available, uint32_t *ret_units)
{
    int e = sync_there(seg, h, sizeof *h, "tarn_held_state", WHAT);
    uint64_t sum;
    if (e)
        return e;
    sum = units_held(seg, offset_of(seg, h));
    *ret_units = h->units;
    *ret_available = sum < *ret_units ? *ret_units - (uint32_t)sum : 0;
    return 0;
}

int tarn_held_set(tarn *seg, tarn_held *h, uint32_t units)
{
    int e = 0;
    struct self *s = sync_self(seg, h, sizeof *h, "tarn_held_set", WHAT, &e);
    if (!s || (e = sync_in_section(s, "tarn_held_set")))
        return e;
    if (units > TARN_SEMAPHORE_MOST)
        return fail(-EINVAL, "tarn_held_set: %u units: at most %u", units, TARN_SEMAPHORE_MOST);
    if (is_damaged(h))
        return sync_damaged(s, h, "tarn_held_set", WHAT);
    bell_arm(s);
    if ((e = mutex_lock_inner(s, &h->lock)) == 0) {
        store32(&h->counted, load32(&h->deaths) - 1); /* first: whoever dies here leaves a sum to be made */
        store32(&h->available, 0);
        store32(&h->units, units);
        count_again(seg, h);
        wake_all(h);
        mutex_unlock_inner(s, &h->lock);
    }
    bell_disarm(s);
    return e;
}

/* sync/wait.c - what all who sleep share: the bell and the cap, the words for a bad call, and who waits for whom.
 *
 * Everybody in a slow path has the bell armed, and everybody asleep sleeps on it too. A death in a slow path, asleep or not, wakes one sleeper of the
 * segment, who wakes all on the second bell: each looks at its own words again. So no wake-up is lost with whom it woke. */
#include <errno.h>

#include "os/probe.h"
#include "participant/event.h"
#include "segment/guard.h"
#include "sync/sync.h"

bool mutex_cap_off;

int sleep_on_words(struct self *s, struct os_wait *wait, int n, const struct timespec *until, unsigned *cap)
{
    struct participants *shared = participants_of(s->seg);
    struct timespec capped;
    int k;
    /* The bell stands last: of several words woken the last is told, and its news must not be lost. */
    wait[n] = (struct os_wait){&shared->bell_all, 0};
    wait[n + 1] = (struct os_wait){&shared->bell, 0};
    if (!mutex_cap_off) {
        capped = os_deadline(*cap);
        if (!until || os_before(&capped, until))
            until = &capped;
    }
    PROBE(sleep, s->seg, s->id, s->record->waits);
    k = os_futex_wait_any(wait, n + 2, until);
    PROBE(wake, s->seg, s->id, k);
    if (k == -ENOSYS) {
        capped = os_deadline(CAP_FIRST);
        k = os_futex_wait(wait[0].word, wait[0].value, &capped);
    }
    if (k == n + 1)
        os_futex_wake(&shared->bell_all, INT32_MAX); /* everybody looks again, once */
    if (k >= n)
        return -EOWNERDEAD;
    if (k == -ETIMEDOUT)
        *cap = *cap * 2 < CAP_MOST ? *cap * 2 : CAP_MOST;
    return k;
}

void wake_next(const struct os_wait *lives, int n)
{
    for (int i = 0; i < n; i++)
        if (load32(lives[i].word) != lives[i].value)
            os_futex_wake(lives[i].word, 1);
}

void waits_for(struct self *s, uint64_t what)
{
    struct record *r = s->record;
    if (load64(&r->waits) == what)
        return;
    if (what)
        store64(&r->waits_count, r->waits_count + 1);
    store64(&r->waits, what);
}

int lock_recovered(struct self *s, const void *lock)
{
    PROBE(lock__recovered, s->seg, s->id, offset_of(s->seg, lock));
    event_note(s, TARN_TRACE_LOCK, offset_of(s->seg, lock), 0, NULL);
    return TARN_RECOVERED;
}

/* ---- who is waited for ---- */

uint64_t slot_of(struct tarn *seg, uint32_t index, uint64_t offset, uint64_t mask, uint64_t value)
{
    struct record *r = record_at(seg, index);
    struct slots w;
    const uint64_t *slot;
    if (index >= seg->geometry.records || load32(&r->state) == RECORD_FREE)
        return 0;
    w = slots_of_record(seg, r, load64(&r->slots_used));
    while ((slot = slot_next(&w))) {
        uint64_t v = load64(slot);
        if ((v & SLOT_OFFSET) == offset && (v & mask) == value)
            return v;
    }
    return 0;
}

uint32_t waited_for(struct tarn *seg, uint64_t what, uint32_t *at)
{
    uint64_t offset = what & SLOT_OFFSET, kind = WAITS_KIND(what);
    uint32_t id, turn;
    if (kind == WAITS_OWNER) {
        if ((*at)++ || !in_writable(seg, offset, sizeof(tarn_mutex)))
            return 0;
        id = load32((uint32_t *)at_offset(seg, offset)) & ~ID_DIRTY;
        return id && ID_INDEX(id) < seg->geometry.records ? id : 0;
    }
    if (kind != WAITS_READERS && kind != WAITS_UNITS && kind != WAITS_MEMBERS)
        return 0;
    if (kind == WAITS_MEMBERS && !in_data(seg, offset, sizeof(tarn_barrier)))
        return 0;
    turn = kind == WAITS_MEMBERS ? load32(&((tarn_barrier *)at_offset(seg, offset))->turn) : 0;
    while (*at < seg->geometry.records) {
        uint32_t index = (*at)++;
        uint64_t slot = kind == WAITS_READERS ? slot_of(seg, index, offset, 7ull << 58 | SLOT_WANT, SLOT_READ)
                        : kind == WAITS_UNITS ? slot_of(seg, index, offset, 7ull << 58, SLOT_UNITS)
                                              : slot_of(seg, index, offset, 7ull << 58, SLOT_MEMBER);
        if (!slot || (kind == WAITS_MEMBERS && SLOT_NUMBER(slot) == BARRIER_ARRIVED(turn)))
            continue;
        return ID_MAKE(load32(&record_at(seg, index)->generation), index);
    }
    return 0;
}

/* ---- circles ---- */

enum { BRANCHES_MOST = 16 };
struct search {
    struct self *s;
    uint64_t mark;
    uint32_t steps, most;
};

/* Does a chain of who waits for whom lead from `what` back to the caller, through living ones who cannot give up by themselves? */
static bool leads_back(struct search *q, uint64_t what, int branches)
{
    struct tarn *seg = q->s->seg;
    for (;;) {
        uint32_t at = 0, id;
        uint64_t only = 0;
        while ((id = waited_for(seg, what, &at))) {
            struct record *r = record_at(seg, ID_INDEX(id));
            uint64_t count, w;
            if (q->steps++ > q->most)
                return false;
            if (id == q->s->id) {
                if (what != load64(&q->s->record->waits) ||
                    WAITS_KIND(what) != WAITS_OWNER) { /* else it is asked about itself */
                    q->mark |= 1;
                    return true;
                }
                continue;
            }
            if (fate_quick(seg, id) != ALIVE)
                continue;
            count = load64(&r->waits_count);
            w = load64(&r->waits);
            if (load64(&r->waits_count) != count) /* another wait since: with it a circle might be seen that never was */
                continue;
            if (!w || w & 1 || WAITS_KIND(w) == WAITS_ACT || WAITS_KIND(w) == WAITS_UNITS) /* of units, any holder's will do */
                continue;
            q->mark = (q->mark ^ id ^ w << 20 ^ count << 7) * 0xff51afd7ed558ccdull;
            q->mark ^= q->mark >> 32;
            if (WAITS_KIND(what) == WAITS_OWNER) {
                only = w;
                break;
            }
            if (branches < BRANCHES_MOST && leads_back(q, w, branches + 1))
                return true;
        }
        if (!only)
            return false;
        what = only;
    }
}

static uint64_t look_for_circle(struct self *s, uint64_t what)
{
    struct search q = {s, 0x9e3779b97f4a7c15ull, 0, 4 * s->seg->geometry.records + 16};
    guard_lift(s->seg); /* it reads others' locks, wherever they lie */
    bool back = leads_back(&q, what, 0);
    guard_lower(s->seg);
    return back ? q.mark : 0;
}

bool waits_in_a_circle(struct self *s, uint64_t what)
{
    uint64_t first = look_for_circle(s, what);
    return first && look_for_circle(s, what) == first;
}

/* ---- a bad call ---- */

int sync_there(tarn *seg, const void *object, size_t size, const char *call, const char *what)
{
    uint64_t off = offset_of(seg, object);
    if (off % 8 || !in_data(seg, off, size))
        return fail(-EINVAL, "%s: %p is no %s of this segment: it must lie in its memory, aligned to 8", call,
                    object, what);
    return 0;
}

struct self *sync_self(tarn *seg, const void *object, size_t size, const char *call, const char *what, int *ret_error)
{
    struct self *s = self_of(seg, ret_error);
    if (!s)
        return NULL;
    *ret_error = sync_there(seg, object, size, call, what);
    return *ret_error ? NULL : s;
}

int sync_in_section(struct self *s, const char *call)
{
    if (!s->depth)
        return 0;
    return fail(-EPERM, "%s: a section is open, and nobody sees what it does before its end: commit or abort it first",
                call);
}

int sync_deadline(const struct timespec *until, const char *call)
{
    if (until && until->tv_nsec >= 0 && until->tv_nsec < 1000000000)
        return 0;
    return fail(-EINVAL, "%s: the deadline's nanoseconds must be 0 to 999,999,999", call);
}

int sync_damaged(struct self *s, const void *object, const char *call, const char *what)
{
    return fail(-EUCLEAN, "%s: what lies at %#llx is no %s, or a damaged one: zeroed bytes are a good one",
                call, (unsigned long long)offset_of(s->seg, object), what);
}

int sync_gone(struct self *s, const void *object, const char *call, const char *what)
{
    return fail(-EIDRM, "%s: the %s at %#llx was destroyed", call, what,
                (unsigned long long)offset_of(s->seg, object));
}

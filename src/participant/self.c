/* participant/self.c - a thread's private half of its record: found, made at first use, given up at the thread's end.
 *
 * Each thread has a list of its selves, one a segment, in thread-local storage; each self is a page of its own that a forked child
 * finds wiped, so a child never acts as its parent: there the id is 0, and the first call makes a new one.
 * A thread that ends with a lock held, a section open or a pin set is left for dead: the kernel flips its liveness word. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"
#include "os/probe.h"
#include "participant/claim.h"
#include "participant/event.h"
#include "participant/log.h"

/* The self of no segment: what it says is none. */
static struct self nobody = {.seg = (struct tarn *)&nobody, .plain = (struct tarn *)&nobody};
__thread struct self *self_last __attribute__((tls_model("initial-exec"))) = &nobody;
static __thread struct self *self_list __attribute__((tls_model("initial-exec")));

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static int thread_key_error;

static size_t self_bytes(void)
{
    return (sizeof(struct self) + 63) / 64 * 64 + (tarn_recovery.cache_size ? *tarn_recovery.cache_size : 0);
}

static void unlink_self(struct self *s)
{
    for (struct self **p = &self_list; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    if (self_last == s)
        self_last = &nobody;
    s->seg->selves--;
    log_forget(s);
    os_wipe_free(s, self_bytes());
}

/* Is there anything that only a death, or the caller, can end? */
static bool is_busy(const struct self *s)
{
    if (s->depth || s->read_depth)
        return true;
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    for (const uint64_t *slot; (slot = slot_next(&w));)
        if (*slot)
            return true;
    return false;
}

static void leave(struct self *s)
{
    if (tarn_recovery.leave)
        tarn_recovery.leave(s);
    record_leave(s);
    unlink_self(s);
}

static void thread_ends(void *unused)
{
    (void)unused;
    while (self_list) {
        struct self *s = self_list;
        if (!s->id) { /* a forked child's: wiped, with its link */
            self_list = NULL;
            self_last = &nobody;
            break;
        }
        if (is_busy(s)) {
            record_abandon(s);
            unlink_self(s);
        } else
            leave(s);
    }
}

static void make_key(void)
{
    thread_key_error = pthread_key_create(&thread_key, thread_ends);
}

struct self *self_if(struct tarn *seg)
{
    struct self *s = self_last;
    if (s->seg == seg && s->id)
        return s;
    if (self_list && !self_list->id)
        return NULL;
    for (s = self_list; s; s = s->next)
        if (s->seg == seg && s->id) {
            self_last = s;
            return s;
        }
    return NULL;
}

static int make_here(struct tarn *seg, struct self **ret_self)
{
    struct self *s;
    int e;
    pthread_once(&thread_once, make_key);
    if (thread_key_error)
        return fail(-ENOMEM, "this process has no thread-specific key left (%d): tarn needs one", thread_key_error);
    if (self_list && !self_list->id) { /* the parent's, wiped: forget them */
        os_wipe_free(self_list, self_bytes());
        self_list = NULL;
        self_last = &nobody;
    }
    s = os_wipe_page(self_bytes());
    if (!s)
        return fail(-ENOMEM, "no memory for a participant's private half (%zu bytes)", self_bytes());
    s->seg = s->plain = seg;
    s->heap = tarn_recovery.cache_size && *tarn_recovery.cache_size ? (char *)s + (sizeof *s + 63) / 64 * 64 : NULL;
    struct os_bell bell = os_bell(&participants_of(seg)->bell);
    s->pending = bell.pending;
    s->bell_entry = bell.entry;
    e = record_claim(s);
    if (e) {
        os_wipe_free(s, self_bytes());
        return e;
    }
    s->next = self_list;
    self_list = self_last = s;
    seg->selves++;
    pthread_setspecific(thread_key, s);
    *ret_self = s;
    return 0;
}

static int self_make(struct tarn *seg, struct self **ret_self)
{
    int cancel = os_cancel_off(), e = make_here(seg, ret_self);
    os_cancel_restore(cancel);
    return e;
}

struct self *self_slow(struct tarn *seg, int *ret_error)
{
    struct self *s = self_if(seg);
    int e;
    if (s)
        return s;
    if (seg->raw) {
        *ret_error = raw_refused(seg, "this call");
        return NULL;
    }
    if (seg->readonly) {
        *ret_error =
            fail(-EROFS, "the segment is attached read-only: open it without TARN_RDONLY to take part");
        return NULL;
    }
    e = self_make(seg, &s);
    if (e) {
        *ret_error = e;
        return NULL;
    }
    if (record_any_dead(seg))
        recover_all(s);
    return s;
}

int tarn_thread_attach(tarn *seg)
{
    int e = 0;
    return self_of(seg, &e) ? 0 : e;
}

int tarn_thread_detach(tarn *seg)
{
    struct self *s = self_if(seg);
    if (!s)
        return 0;
    if (is_busy(s))
        return fail(-EBUSY,
                    "this thread has a section open, a lock held or a reader's pin set: end that first");
    leave(s);
    return 0;
}

/* ---- the floor's part in the lifecycle ---- */

static uint64_t zone_size(const struct geometry *g)
{
    return sizeof(struct participants) + (uint64_t)g->records * g->record_size;
}

static int attach(struct tarn *seg)
{
    pthread_mutex_init(&seg->claim_lock, NULL);
    seg->claim_fd = -1;
    if (seg->readonly || seg->exchange_unlock)
        return 0;
    if (os_membarrier_register())
        return fail(-ENOSYS,
                    "this kernel has no global expedited membarrier, which this segment's unlock needs: "
                    "create it with exchange_unlock");
    return 0;
}

static int close_(struct tarn *seg)
{
    struct self *s = self_if(seg);
    if (s && is_busy(s))
        return fail(
            -EBUSY,
            "this thread has a section open, a lock held or a reader's pin set: end that before closing");
    if (seg->selves > (s ? 1u : 0u))
        return fail(-EBUSY, "%u other threads of this process still take part: end or detach them before closing",
                    (unsigned)seg->selves - (s ? 1 : 0));
    if (s)
        leave(s);
    return 0;
}

static void unmap(struct tarn *seg)
{
    if (seg->claim_fd >= 0)
        close(seg->claim_fd);
    seg->claim_fd = -1;
    pthread_mutex_destroy(&seg->claim_lock);
}

/* Between its opening and its store the claim descriptor would leak into the child, which could not close it: so no thread is claiming now. */
static void fork_(struct tarn *seg)
{
    pthread_mutex_lock(&seg->claim_lock);
}
static void parent(struct tarn *seg)
{
    pthread_mutex_unlock(&seg->claim_lock);
}

/* The parent's open file description must not live on here: its byte locks would outlive it. */
static void child(struct tarn *seg)
{
    if (seg->claim_fd >= 0)
        close(seg->claim_fd);
    seg->claim_fd = -1;
    seg->selves = 0;
    if (!seg->readonly && !seg->exchange_unlock)
        os_membarrier_register(); /* inherited, as far as is known; asked again, for an unregistered sleeper would miss wake-ups */
    pthread_mutex_init(&seg->claim_lock, NULL);
}

static void grown(struct tarn *seg, uint64_t from, uint64_t to)
{
    struct self *s = self_if(seg);
    PROBE(grow, seg, from, to);
    if (s)
        event_note(s, TARN_TRACE_GROW, from, to, NULL);
}

static int settle(struct tarn *seg)
{
    return record_any_dead(seg) ? tarn_recover(seg) : 0;
}

static void stat_(struct tarn *seg, struct tarn_stat *ret)
{
    ret->most = seg->geometry.records - 1;
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        if (load32(&r->state) == RECORD_FREE)
            continue;
        ret->participants++;
        ret->dead += fate_of(seg, ID_MAKE(load32(&r->generation), i)) == FALLEN;
    }
}

const struct floor participant_floor = {
    .name = "participants",
    .zone_size = zone_size,
    .zone = ZONE_PARTICIPANT,
    .create = records_create,
    .attach = attach,
    .close = close_,
    .unmap = unmap,
    .fork = fork_,
    .parent = parent,
    .child = child,
    .stat = stat_,
    .grown = grown,
    .settle = settle,
    .all_dead = records_all_dead,
};

int tarn_participants(tarn *seg, int (*each)(const struct tarn_participant *p, void *arg), void *arg)
{
    if (seg->raw)
        return raw_refused(seg, "tarn_participants");
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        struct tarn_participant p = {0};
        struct slots w = slots_of_record(seg, r, load64(&r->slots_used));
        uint32_t id = ID_MAKE(load32(&r->generation), i);
        enum fate fate = fate_of(seg, id);
        int e;
        if (fate == GONE)
            continue;
        p.id = id;
        p.pid = r->pid;
        p.tid = r->tid;
        p.state = fate != ALIVE ? 'd' : fate_is_doubtful(seg, id) ? 'u' : 'l';
        p.section_open = JOURNAL_STATE(load64(&r->journal)) == JOURNAL_OPEN;
        p.claimless = r->claimless != 0;
        p.since = load64(&r->since);
        p.waits = load64(&r->waits) & SLOT_OFFSET;
        for (const uint64_t *slot; (slot = slot_next(&w));) {
            uint64_t v = load64(slot);
            p.locks_held += v && !(v & SLOT_WANT);
        }
        e = each(&p, arg);
        if (e)
            return e;
    }
    return 0;
}

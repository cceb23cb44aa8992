/* participant/claim.c - who takes part, and who is dead.
 *
 * A record is claimed in this order: a byte lock on an open file description of this process alone (two claimants, also in two PID
 * namespaces, exclude each other; threads of one process by claim_lock), a second look, the liveness mutex, its waiters bit, the
 * fields, and at last state = taken. It is left in the reverse order, generation first. A record whose state is taken and whose liveness
 * word is not locked is dead. The byte lock is the second witness, for deaths that the robust list does not see (an exec by a thread
 * other than the leader). Where byte locks cannot be had (no /proc, or a reader's lock in the way) the record is claimless and judged
 * by PID namespace, thread id and start time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "os/probe.h"
#include "participant/claim.h"
#include "participant/event.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct record *)0)->liveness),
               "room for the liveness mutex");

static uint32_t *liveness_word(struct record *r)
{
    return (uint32_t *)(void *)r->liveness;
}
static pthread_mutex_t *liveness_mutex(struct record *r)
{
    return (pthread_mutex_t *)(void *)r->liveness;
}

bool liveness_locked(uint32_t word)
{
    return (word & FUTEX_TID_MASK) && !(word & FUTEX_OWNER_DIED);
}

void record_fresh_liveness(struct record *r)
{
    memset(r->liveness, 0, sizeof r->liveness);
    os_robust_init(liveness_mutex(r));
}

void records_create(struct tarn *seg)
{
    for (uint32_t i = 0; i < seg->geometry.records; i++)
        record_fresh_liveness(record_at(seg, i));
    participants_of(seg)->epoch = 1;
}

/* ---- fate ---- */

/* Does the thread of a claimless record run? 1, 0; -1: that cannot be known from here. */
static int claimless_runs(struct record *r)
{
    uint64_t began = load64(&r->start_time), namespace = os_pid_namespace(), start;
    uint32_t pid = load32(&r->pid), tid = load32(&r->tid);
    if (!began || !namespace || load64(&r->pid_namespace) != namespace)
        return -1;
    int cancel = os_cancel_off(), e = os_start_time(pid, tid, &start);
    os_cancel_restore(cancel);
    if (e == 0)
        return start == began;
    if (e == -ESRCH) /* a zombie */
        return 0;
    return tgkill((pid_t)pid, (pid_t)tid, 0) == 0 || errno != ESRCH ? -1 : 0;
}

/* Is a claimless record's thread alive? Without a byte lock the liveness word alone tells less. One that is locked may be of the dead (an exec): dead
 * on evidence only. One that is not: a claimant of another PID namespace, with the same thread id, who was killed while trying this
 * lock, would have flipped the word of the living; so it tells only while all are of one namespace, and else on evidence. */
static bool claimless_lives(struct tarn *seg, struct record *r, bool locked, bool witness)
{
    if (locked)
        return !witness || claimless_runs(r) != 0;
    return load32(&participants_of(seg)->mixed) && claimless_runs(r) != 0;
}

/* The generation is read again after the liveness word: a record that was left and claimed anew in between is nobody's we know. */
static enum fate judge(struct tarn *seg, uint32_t id, bool witness)
{
    uint32_t index = ID_INDEX(id);
    struct record *r;
    bool locked;
    if (index >= seg->geometry.records)
        return GONE;
    r = record_at(seg, index);
    if (load32(&r->generation) != ID_GENERATION(id) || load32(&r->state) == RECORD_FREE)
        return GONE;
    locked = liveness_locked(load32(liveness_word(r)));
    if (load32(&r->claimless))
        locked = claimless_lives(seg, r, locked, witness);
    else if (locked && witness && !seg->readonly)
        locked = os_byte_holder(seg->object.fd, index) != F_UNLCK;
    if (load32(&r->generation) != ID_GENERATION(id) || load32(&r->state) == RECORD_FREE)
        return GONE;
    return locked ? ALIVE : FALLEN;
}

bool fate_is_doubtful(struct tarn *seg, uint32_t id)
{
    struct record *r = record_at(seg, ID_INDEX(id));
    return !liveness_locked(load32(liveness_word(r))) && judge(seg, id, true) == ALIVE;
}

enum fate fate_quick(struct tarn *seg, uint32_t id)
{
    return judge(seg, id, false);
}
enum fate fate_of(struct tarn *seg, uint32_t id)
{
    return judge(seg, id, true);
}

bool record_any_dead(struct tarn *seg)
{
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        if (load32(&r->state) != RECORD_FREE && fate_quick(seg, ID_MAKE(load32(&r->generation), i)) == FALLEN)
            return true;
    }
    return false;
}

/* ---- claim ---- */

/* Under claim_lock: this process's own open file description for byte locks, or -1 for none to be had. */
static int claim_descriptor(struct tarn *seg)
{
    if (seg->claim_fd < 0 && !seg->claimless) {
        seg->claim_fd = os_reopen(seg->object.fd, O_RDWR | O_CLOEXEC);
        if (seg->claim_fd < 0)
            seg->claimless = true;
    }
    return seg->claim_fd;
}

/* Before the liveness word of a record without a byte lock is touched: see claimless_lives. */
static void note_namespace(struct tarn *seg)
{
    struct participants *shared = participants_of(seg);
    uint64_t mine = os_pid_namespace(), first = load64(&shared->pid_namespace);
    if (mine && !first && swap64(&shared->pid_namespace, &first, mine))
        return;
    if ((!mine || first != mine) && !load32(&shared->mixed))
        exchange32(&shared->mixed, 1);
}

static int lock_byte(struct tarn *seg, uint32_t index, bool *ret_claimless)
{
    int fd = claim_descriptor(seg), e = -ENOSYS;
    *ret_claimless = fd < 0;
    if (fd < 0)
        return 0;
    e = os_byte_lock(fd, index);
    if (e && os_byte_holder(fd, index) == F_RDLCK) { /* a reader's lock: it blocks nobody */
        *ret_claimless = true;
        return 0;
    }
    return e;
}

/* Before anybody takes it for a participant: whoever is one is in the flight recorder. */
static void note_attach(struct self *s)
{
    char name[16];
    store64(&s->record->since, os_clock());
    os_thread_name(name);
    PROBE(attach, s->seg, s->id, s->seg->url);
    event_note(s, TARN_TRACE_ATTACH, s->record->pid | (uint64_t)s->record->tid << 32, 0, name);
}

/* Under claim_lock. 0, or -EAGAIN: somebody has it. from_dead: also where its last user died; only for the spare, whose users hold nothing, and
 * which nobody could recover when all others are dead. */
static int claim_one(struct self *s, uint32_t index, bool from_dead)
{
    struct tarn *seg = s->seg;
    struct record *r = record_at(seg, index);
    uint64_t start = 0;
    bool claimless;
    int e;
    if ((load32(&r->state) != RECORD_FREE && !from_dead) || liveness_locked(load32(liveness_word(r))) ||
        lock_byte(seg, index, &claimless))
        return -EAGAIN;
    if (claimless)
        note_namespace(seg);
    if ((load32(&r->state) != RECORD_FREE && !from_dead) || liveness_locked(load32(liveness_word(r))))
        goto taken;
    os_robust_kind(liveness_mutex(r)); /* a hostile writer's may be of another */
    e = pthread_mutex_trylock(liveness_mutex(r));
    if (e == EOWNERDEAD)
        e = pthread_mutex_consistent(liveness_mutex(r));
    if (e)
        goto taken;
    if (load32(&r->state) != RECORD_FREE) {
        /* Liveness first, then the recoverer's word: who recovers it has stored that word, and looks at liveness again. One of us sees. */
        uint32_t at_it = load32(&r->recoverer);
        if (at_it && fate_of(seg, at_it) == ALIVE) {
            pthread_mutex_unlock(liveness_mutex(r));
            goto taken;
        }
    }
    /* Whose it is stands there before the new generation: with that, the dead one's process would make this one look dead to who judges by it. Who
     * still judges the one before may read these at any time. */
    (void)os_start_time((uint32_t)getpid(), (uint32_t)gettid(), &start);
    store32(&r->claimless, claimless);
    store32(&r->pid, (uint32_t)getpid());
    store32(&r->tid, (uint32_t)gettid());
    store64(&r->pid_namespace, os_pid_namespace());
    store64(&r->start_time, start);
    if (load32(&r->state) != RECORD_FREE)
        store32(&r->generation, (r->generation + 1) & 0x7fff); /* the dead one's recoverer words are nobody's from here on */
    __atomic_fetch_or(liveness_word(r), FUTEX_WAITERS, __ATOMIC_SEQ_CST); /* the kernel shall wake sleepers on it */
    store64(&r->journal, JOURNAL(JOURNAL_IDLE, 0));
    store64(&r->intent, 0);
    store64(&r->swap_old, 0);
    store64(&r->epoch, 0);
    store64(&r->waits, 0);
    store64(&r->slots_used, 4);
    s->record = r;
    s->id = ID_MAKE(r->generation, index);
    s->slot = record_slots(r);
    s->code = 1 + index % 127;
    s->slots_used = 4;
    s->log_at = record_log(seg, r);
    s->log_base = 0;
    s->log_room = seg->geometry.log_words;
    store32(&r->recoverer, 0);
    note_attach(s);
    store32(&r->state, RECORD_TAKEN);
    return 0;
taken:
    if (!claimless)
        os_byte_unlock(seg->claim_fd, index);
    return -EAGAIN;
}

static int claim_any(struct self *s)
{
    int e = -EUSERS;
    pthread_mutex_lock(&s->seg->claim_lock);
    for (uint32_t i = 0; e && i + 1 < s->seg->geometry.records; i++)
        if (claim_one(s, i, false) == 0)
            e = 0;
    pthread_mutex_unlock(&s->seg->claim_lock);
    return e;
}

/* A table full of dead: the last record is kept for who must recover them, and given back at once. */
static bool recover_from_spare(struct self *s)
{
    uint32_t spare = s->seg->geometry.records - 1;
    int e;
    bool dead = false, changed = false;
    for (uint32_t i = 0; i <= spare && !dead; i++) { /* with the second witness */
        enum fate fate = fate_of(s->seg, ID_MAKE(load32(&record_at(s->seg, i)->generation), i));
        dead = fate == FALLEN;
        changed |= fate == GONE && i < spare;
    }
    if (!dead)
        return changed; /* one was left, or recovered by another, while it was looked at: look again */
    pthread_mutex_lock(&s->seg->claim_lock);
    e = claim_one(s, spare, true);
    pthread_mutex_unlock(&s->seg->claim_lock);
    if (e == 0) {
        (void)recover_all(s);
        record_leave(s);
    }
    return true; /* look again: it is recovered, or somebody else is at it, from the spare or from a record of his own */
}

/* A record that is free, though claim_any did not get it: another has recovered it since, or its byte is still locked for a moment, by a
 * process on its way out (whose liveness goes before its files), or in a forked child that has not come to close the descriptor. */
static bool any_free(struct tarn *seg)
{
    for (uint32_t i = 0; i + 1 < seg->geometry.records; i++)
        if (load32(&record_at(seg, i)->state) == RECORD_FREE)
            return true;
    return false;
}

/* Full of the living is told at once; else it is tried again for about half a second, in growing steps. */
int record_claim(struct self *s)
{
    int e = claim_any(s);
    for (int tries = 0; e && tries < 200 && (recover_from_spare(s) || any_free(s->seg)); tries++) {
        e = claim_any(s);
        if (e)
            usleep(100u << (tries < 120 ? tries / 20 : 5));
    }
    if (e) {
        s->id = 0;
        return fail(
            e,
            "all %u participants that the segment was made for are taken and alive: detach some threads, or "
            "create it with more participants",
            s->seg->geometry.records - 1);
    }
    return 0;
}

void record_unlock_dead(struct record *r)
{
    uint32_t word = load32(liveness_word(r));
    if (liveness_locked(word))
        (void)swap32(liveness_word(r), &word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    /* The kernel woke one who slept on it, and there may be several, not all of them on something that a slot told of. Each who is
     * woken wakes the next (wake_next): where a thousand sleep, the first need not wait until all are woken. */
    os_futex_wake(liveness_word(r), 1);
    os_futex_wake(&r->generation, INT32_MAX); /* who saw that it is dead, and that another is at recovering it */
}

/* ---- leaving ---- */

/* Under claim_lock. */
static void unlock_byte(struct self *s)
{
    if (s->seg->claim_fd >= 0)
        os_byte_unlock(s->seg->claim_fd, ID_INDEX(s->id));
}

/* Generation first: an identity that has left is never valid again. Liveness last, or our stores would meet the next claimant's. All of it
 * under claim_lock: byte locks do not tell this process's threads apart, and one that claimed the record between our liveness and our byte
 * would lose the byte to us, and then look dead to the second witness. */
void record_leave(struct self *s)
{
    struct record *r = s->record;
    PROBE(leave, s->seg, s->id);
    event_note(s, TARN_TRACE_LEAVE, 0, 0, NULL);
    pthread_mutex_lock(&s->seg->claim_lock);
    store64(&r->epoch, 0);
    store32(&r->generation, (r->generation + 1) & 0x7fff);
    store32(&participants_of(s->seg)->orphans, 1); /* now its spans may be adopted; if we die before, our recoverer says so */
    store32(&r->state, RECORD_FREE);
    os_robust_kind(liveness_mutex(r));
    pthread_mutex_unlock(liveness_mutex(r));
    unlock_byte(s);
    pthread_mutex_unlock(&s->seg->claim_lock);
    s->id = 0;
}

/* Liveness is unlocked, and state stays taken: it is dead at once, for all to see, and the thread, which may run on for a while, has nothing
 * left in its robust list. Nobody claims the record before it is recovered. */
void record_abandon(struct self *s)
{
    event_note(s, TARN_TRACE_ABANDON, 0, 0, NULL);
    pthread_mutex_lock(&s->seg->claim_lock);
    os_robust_kind(liveness_mutex(s->record));
    pthread_mutex_unlock(liveness_mutex(s->record));
    unlock_byte(s);
    pthread_mutex_unlock(&s->seg->claim_lock);
    s->id = 0;
}

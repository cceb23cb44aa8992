/* participant/recover.c - putting right what a dead participant left: exclusive, repeatable, without recursion.
 *
 * The recoverer's word of a record is taken by compare-and-swap, with the recoverer's identity in it; if that one dies, the next recovers
 * it first, and then does the work again from its start. Everything done for the dead may be stopped after any store and done again.
 * The journal stays open (or committed) until the locks are free, for slots mean other things when it is idle. */
#include <errno.h>
#include <string.h>

#include "os/probe.h"
#include "participant/claim.h"
#include "participant/event.h"
#include "participant/log.h"
#include "segment/guard.h"

/* A self for the dead one's record, without caches. */
static void lend(struct self *dead, struct tarn *seg, uint32_t id)
{
    struct record *r = record_at(seg, ID_INDEX(id));
    memset(dead, 0, sizeof *dead);
    dead->id = id;
    dead->seg = seg;
    dead->record = r;
    dead->slot = record_slots(r);
    dead->code = 1 + ID_INDEX(id) % 127;
    dead->journal = load64(&r->journal);
    dead->log_at = record_log(seg, r);
    dead->log_room = seg->geometry.log_words;
}

/* Those with WANT last: a thread that asks for a lock it has already has two slots of it for a moment, and only the other one knows how
 * the lock is to come back. */
static void free_slots(struct self *dead, unsigned state)
{
    uint64_t used = load64(&dead->record->slots_used), *slot;
    for (int want = 0; want < 2; want++)
        for (struct slots w = slots_of_record(dead->seg, dead->record, used); (slot = slot_next(&w));) {
            uint64_t v = load64(slot);
            if (!v || !(v & SLOT_WANT) != !want)
                continue;
            tarn_recovery.free_slot(dead, slot, state, dead->id);
            store64(slot, 0);
        }
}

/* What the dead one held is noted before it is freed: the first few. Returns how many slots there are. */
static unsigned note_held(struct self *me, struct self *dead)
{
    enum { NOTED = 3 };
    uint64_t whose = dead->id | (uint64_t)load32(&dead->record->pid) << 32;
    struct slots w = slots_of_record(dead->seg, dead->record, load64(&dead->record->slots_used));
    unsigned n = 0;
    for (const uint64_t *slot; (slot = slot_next(&w));) {
        uint64_t v = load64(slot);
        if (v && n++ < NOTED)
            event_note(me, TARN_TRACE_HELD, v, whose, NULL);
    }
    return n;
}

static void note_recovered(struct self *me, const struct self *dead, uint64_t journal, unsigned held, uint64_t began)
{
    uint64_t us = (os_clock() - began) / 1000, words = JOURNAL_WORDS(journal);
    event_note(me, TARN_TRACE_RECOVER, dead->id | (uint64_t)load32(&dead->record->pid) << 32,
               EVENT_RECOVERY(us < UINT32_MAX ? us : UINT32_MAX, words < 0xfffff ? words : 0xfffff,
                              held < 0x3ff ? held : 0x3ff, JOURNAL_STATE(journal)),
               NULL);
}

static void put_right(struct self *me, uint32_t id)
{
    struct tarn *seg = me->seg;
    struct segment_header *h = header_of(seg);
    struct self dead;
    struct record *r;
    uint64_t intent, journal, began = os_clock();
    unsigned state, held;
    PROBE(recover__begin, seg, id, record_at(seg, ID_INDEX(id))->pid);
    guard_lift(seg); /* what the dead one changed is put right, whatever this process may do there */
    lend(&dead, seg, id);
    held = note_held(me, &dead);
    r = dead.record;
    intent = load64(&r->intent);
    journal = dead.journal;
    state = JOURNAL_STATE(journal);
    if (intent && INTENT_KIND(intent) != INTENT_HAND) {
        tarn_recovery.intent(&dead, intent);
        store64(&r->intent, 0);
    }
    if (state == JOURNAL_OPEN)
        log_undo(&dead);
    else if (state == JOURNAL_COMMITTED)
        log_apply(&dead);
    log_forget(&dead);
    free_slots(&dead, state);
    if (state == JOURNAL_OPEN)
        __atomic_fetch_add(&h->undone, 1, __ATOMIC_RELAXED);
    store64(&r->intent, 0);
    store64(&r->journal, JOURNAL(JOURNAL_IDLE, 0));
    store64(&r->epoch, 0);
    store64(&r->waits, 0);
    __atomic_fetch_add(&h->recovered, 1, __ATOMIC_RELAXED);
    note_recovered(me, &dead, journal, held, began);
    PROBE(recover__end, seg, id, state, JOURNAL_WORDS(journal), held);
    store32(&r->generation, (ID_GENERATION(id) + 1) & 0x7fff); /* first: an identity of the dead is never valid again */
    store32(&participants_of(seg)->orphans, 1);                /* now its spans may be adopted */
    record_unlock_dead(r);
    store32(&r->state, RECORD_FREE);
    guard_lower(seg);
}

/* Whom to recover so that x can be: x itself, or the dead one at the end of its chain of dead recoverers. 0: nobody, and *ret_who is
 * the living one who is at it. *ret_was: the recoverer's word to be replaced. */
static uint32_t first_of(struct self *me, uint32_t x, uint32_t *ret_was, uint32_t *ret_who)
{
    struct tarn *seg = me->seg;
    uint32_t y = x;
    for (uint32_t n = 0; n <= seg->geometry.records; n++) {
        uint32_t o = load32(&record_at(seg, ID_INDEX(y))->recoverer);
        enum fate fate;
        *ret_was = o;
        if (!o || o == me->id)
            return y;
        fate = fate_of(seg, o);
        if (fate == GONE)
            return y;
        if (fate == ALIVE) {
            *ret_who = o;
            return 0;
        }
        y = o;
    }
    return y; /* a hostile circle: anywhere is as good */
}

uint32_t recover(struct self *me, uint32_t id)
{
    struct tarn *seg = me->seg;
    uint32_t living = 0;
    id &= ~ID_DIRTY;
    bell_arm(me);
    /* Each turn ends one death, of at most as many as there are records; a hostile writer's can be more, and are left to the next call. */
    for (uint32_t turns = 0; turns < 4 * seg->geometry.records && fate_of(seg, id) == FALLEN; turns++) {
        uint32_t was, y = first_of(me, id, &was, &living), mine = me->id;
        struct record *r;
        if (!y)
            break;
        living = 0;
        r = record_at(seg, ID_INDEX(y));
        if (was != me->id && !swap32(&r->recoverer, &was, me->id))
            continue;
        if (fate_of(seg, y) == FALLEN) { /* look again: another may have been quicker */
            put_right(me, y);
            me->recovered++;
        }
        swap32(&r->recoverer, &mine, 0);
    }
    bell_disarm(me);
    return living;
}

/* ---- nobody lives: after a reboot, or in a copy ---- */

/* A chain of extents that leads astray, or round in a circle, ends where it does: else who walks it would walk long. What was behind is lost. */
static void cut_chain(struct tarn *seg, uint64_t *link)
{
    uint64_t most = committed_of(seg) / extent_size(&seg->geometry), mark = 0, turn = 1;
    for (uint64_t n = 0; *link; n++) {
        if (*link % 8 || *link == mark || n >= most || !in_data(seg, *link, extent_size(&seg->geometry))) {
            store64(link, 0);
            return;
        }
        if (n == turn) { /* Brent */
            mark = *link;
            turn *= 2;
        }
        link = &((struct extent *)at_offset(seg, *link))->next;
    }
}

/* Of a record that nobody has: nothing is in it, whatever was read from the disk. */
static void clear_record(struct tarn *seg, struct record *r)
{
    store64(&r->journal, JOURNAL(JOURNAL_IDLE, 0));
    store64(&r->intent, 0);
    store64(&r->epoch, 0);
    store64(&r->waits, 0);
    for (uint32_t i = 0; i < seg->geometry.slots; i++)
        if (record_slots(r)[i])
            store64(&record_slots(r)[i], 0);
}

/* Each is recovered by itself: put_right asks nobody who is alive, and is repeatable, so the order of dead recoverers and those they were at
 * makes no difference here. */
void records_all_dead(struct tarn *seg)
{
    struct self me = {.seg = seg};
    struct participants *shared = participants_of(seg);
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        record_fresh_liveness(r);
        cut_chain(seg, &r->log_more);
        cut_chain(seg, &r->held_more);
        if (load32(&r->state) != RECORD_FREE)
            put_right(&me, ID_MAKE(load32(&r->generation), i));
        clear_record(seg, r);
        store32(&r->recoverer, 0);
    }
    store32(&shared->bell, 0);
    store32(&shared->bell_all, 0);
    store64(&shared->pid_namespace, 0);
    store32(&shared->mixed, 0);
}

/* All that are dead now; *ret_busy: a record whose recovery a living participant is at, or UINT32_MAX. */
static int recover_those(struct self *me, uint32_t *ret_busy)
{
    struct tarn *seg = me->seg;
    uint32_t before = me->recovered;
    *ret_busy = UINT32_MAX;
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        uint32_t id = ID_MAKE(load32(&r->generation), i);
        if (load32(&r->state) == RECORD_FREE || fate_of(seg, id) != FALLEN)
            continue;
        if (recover(me, id))
            *ret_busy = i;
    }
    return (int)(me->recovered - before);
}

int recover_all(struct self *me)
{
    uint32_t busy;
    return recover_those(me, &busy);
}

/* Who asks for it wants it done when this returns: another's recovery is waited for, unless that one is stopped. */
int tarn_recover(tarn *seg)
{
    struct timespec end = os_deadline(10000);
    int e = 0, n = 0;
    struct self *s = self_of(seg, &e);
    if (!s)
        return e;
    for (;;) {
        struct timespec soon = os_deadline(1);
        uint32_t busy, *word, who;
        n += recover_those(s, &busy);
        if (busy == UINT32_MAX)
            return n;
        word = &record_at(seg, busy)->recoverer;
        who = load32(word);
        if (os_passed(&end))
            return fail(-EBUSY, "participant %#x is at recovering another, and does not come on: is its process stopped?",
                        who);
        if (who)
            (void)os_futex_wait(word, who, &soon); /* nobody wakes it: a pause of a millisecond */
    }
}

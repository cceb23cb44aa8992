/* sync/barrier.c - all wait for all, turn after turn; and a member who dies keeps nobody.
 *
 *   turn     {resets: 16, turns: 16}: counted up when all have arrived
 *   parties  so many must have joined before the first turn can end; 0: whoever has
 *   flags    DROP, an option: the dead are dropped. FORMED: members are missed no more, parties is past. BROKEN: a member died
 *   lock     guards all of it, and the slots of this barrier
 * Who is a member, and who has arrived, is what the slots say:
 *   members == {p alive: some slot of p is {B, MEMBER, n}},  arrived == {... n == ARRIVED(turn)}
 *   the turn ends when members == arrived, and |members| >= parties or FORMED
 * arrive:  lock; slot = B, MEMBER, ARRIVED(turn); all there: turn + 1, all are woken. unlock; else sleep while turn is the same
 * death:   of a member, whether or not he is recovered yet: BROKEN, or with DROP FORMED. Both are bits that are set, so twice is as good as once.
 * Whoever sleeps watches the living members who have not arrived; each of them who dies has all look again. */
#include <errno.h>

#include "os/futex.h"
#include "sync/sync.h"

#define WHAT "barrier"
#define FORMED 2u
#define BROKEN 4u

static bool is_damaged(const tarn_barrier *b)
{
    return b->flags & ~(TARN_BARRIER_DROP | FORMED | BROKEN | SYNC_GONE) || b->reserved[0] ||
           b->reserved[1] || b->reserved[2];
}

static void set_flag(tarn_barrier *b, uint32_t flag)
{
    __atomic_fetch_or(&b->flags, flag, __ATOMIC_SEQ_CST);
    kill_point();
}

static void lost_one(tarn_barrier *b)
{
    set_flag(b, load32(&b->flags) & TARN_BARRIER_DROP ? FORMED : BROKEN);
    os_futex_wake(&b->turn, INT32_MAX);
}

void barrier_free_member(struct self *dead, uint64_t slot)
{
    uint64_t off = slot & SLOT_OFFSET;
    if (in_data(dead->seg, off, sizeof(tarn_barrier)))
        lost_one(at_offset(dead->seg, off));
}

static bool is_dead(struct tarn *seg, uint32_t id)
{
    return fate_quick(seg, id) != ALIVE && fate_of(seg, id) != ALIVE;
}

/* A count of the members, and of those who have arrived. With the lock held; the words to sleep on may be had besides. */
struct roll {
    uint32_t members, arrived;
    struct os_wait *wait; /* NULL: none wanted */
    int words;
};

static void call_roll(struct self *s, tarn_barrier *b, struct roll *r)
{
    struct tarn *seg = s->seg;
    uint64_t off = offset_of(seg, b);
    uint32_t t = load32(&b->turn);
    r->members = r->arrived = 0;
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        uint32_t *live = liveness_of(seg, i), v = load32(live),
                 id = ID_MAKE(load32(&record_at(seg, i)->generation), i);
        uint64_t slot = slot_of(seg, i, off, 7ull << 58, SLOT_MEMBER);
        if (!slot)
            continue;
        if (is_dead(seg, id)) {
            lost_one(b);
            continue;
        }
        r->members++;
        if (SLOT_NUMBER(slot) == BARRIER_ARRIVED(t))
            r->arrived++;
        else if (r->wait && r->words < SLEEP_MOST)
            r->wait[r->words++] = (struct os_wait){live, v};
    }
}

/* With the lock held: the turn ends if all are there. */
static bool ends(struct self *s, tarn_barrier *b, struct roll *r)
{
    call_roll(s, b, r);
    if (load32(&b->flags) & BROKEN || r->arrived != r->members ||
        (r->members < b->parties && !(load32(&b->flags) & FORMED)))
        return false;
    store32(&b->turn, (b->turn & 0xffff0000u) | ((b->turn + 1) & 0xffffu));
    os_futex_wake(&b->turn, INT32_MAX);
    return true;
}

static uint64_t *my_slot(struct self *s, tarn_barrier *b)
{
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    uint64_t *slot, off = offset_of(s->seg, b);
    while ((slot = slot_next(&w)))
        if ((*slot & SLOT_OFFSET) == off && SLOT_KIND(*slot) == SLOT_MEMBER)
            break;
    return slot;
}

static int broken(struct self *s, const tarn_barrier *b, const char *call)
{
    return fail(-EOWNERDEAD, "%s: a member of the barrier at %#llx died: tarn_barrier_reset when those who are left can go on",
                call, (unsigned long long)offset_of(s->seg, b));
}

/* Lock it, for a call of a participant. */
static int enter(tarn *seg, tarn_barrier *b, const char *call, struct self **ret_self)
{
    int e = 0;
    struct self *s = *ret_self = sync_self(seg, b, sizeof *b, call, WHAT, &e);
    if (!s || (e = sync_in_section(s, call)))
        return e;
    if (is_damaged(b))
        return sync_damaged(s, b, call, WHAT);
    if (b->flags & SYNC_GONE)
        return sync_gone(s, b, call, WHAT);
    bell_arm(s);
    if ((e = mutex_lock_inner(s, &b->lock)) < 0)
        bell_disarm(s);
    return e;
}
static int leave(struct self *s, tarn_barrier *b, int result)
{
    mutex_unlock_inner(s, &b->lock);
    bell_disarm(s);
    return result;
}

/* With the lock held: this thread is a member. */
static int join(struct self *s, tarn_barrier *b, const char *call, uint64_t **ret_slot)
{
    struct roll r = {0};
    uint64_t *slot = my_slot(s, b);
    if (!slot) {
        call_roll(s, b, &r);
        if (b->parties && r.members >= b->parties && !(b->flags & FORMED))
            return fail(-EUSERS, "%s: the barrier at %#llx has its %u members already", call,
                        (unsigned long long)offset_of(s->seg, b), b->parties);
        if (!(slot = slot_free(s)))
            return no_slot(s);
        store64(slot, offset_of(s->seg, b) | SLOT_MEMBER);
    }
    *ret_slot = slot;
    return 0;
}

int tarn_barrier_join(tarn *seg, tarn_barrier *b)
{
    struct self *s;
    uint64_t *slot;
    int e = enter(seg, b, "tarn_barrier_join", &s);
    return e ? e : leave(s, b, join(s, b, "tarn_barrier_join", &slot));
}

/* Arrived, and not the last. The lock is held, and given up. 0, -EOWNERDEAD, -ETIMEDOUT, -EIDRM. */
static int wait_for_turn(struct self *s, tarn_barrier *b, uint64_t *slot, const struct timespec *until,
                         const char *call)
{
    uint32_t t = b->turn;
    unsigned cap = CAP_FIRST;
    for (;;) {
        struct os_wait wait[SLEEP_MOST + 2] = {{&b->turn, t}, {&b->flags, load32(&b->flags)}};
        struct roll r = {.wait = wait, .words = 2};
        int k = 0, e;
        if (b->flags & SYNC_GONE)
            return leave(s, b, sync_gone(s, b, call, WHAT));
        if ((b->turn ^ t) >> 16)
            return leave(s, b,
                         fail(-EOWNERDEAD, "%s: the barrier at %#llx was reset", call,
                              (unsigned long long)offset_of(s->seg, b)));
        if (b->turn != t)
            return leave(s, b, 0);
        if (ends(s, b, &r))
            return leave(s, b, 0);
        if (load32(&b->flags) & BROKEN || (until && os_passed(until))) {
            store64(slot, offset_of(s->seg, b) | SLOT_MEMBER); /* not arrived after all */
            if (b->flags & BROKEN)
                e = broken(s, b, call);
            else
                e = fail(-ETIMEDOUT, "%s: %u of %u members of the barrier at %#llx arrived in time", call,
                         r.arrived, r.members, (unsigned long long)offset_of(s->seg, b));
            return leave(s, b, e);
        }
        waits_for(s, WAITS_MEMBERS | offset_of(s->seg, b) | (until != NULL));
        mutex_unlock_inner(s, &b->lock);
        for (int look = 0; k == 0 && load32(&b->turn) == t;)
            if (!look_again(&look)) {
                k = sleep_on_words(s, wait, r.words, until, &cap);
                break;
            }
        waits_for(s, 0);
        if (k >= 2 || k == -EOWNERDEAD || k == -ETIMEDOUT)
            recover_all(s);
        if (k >= 0)
            wake_next(&wait[2], r.words - 2);
        if ((e = mutex_lock_inner(s, &b->lock)) < 0) {
            bell_disarm(s);
            return e;
        }
    }
}

static int wait_at(tarn *seg, tarn_barrier *b, const struct timespec *until, const char *call)
{
    struct self *s;
    struct roll r = {0};
    uint64_t *slot;
    int e = enter(seg, b, call, &s);
    if (e)
        return e;
    if (b->flags & BROKEN)
        return leave(s, b, broken(s, b, call));
    if ((e = join(s, b, call, &slot)) < 0)
        return leave(s, b, e);
    store64(slot, offset_of(seg, b) | SLOT_MEMBER | BARRIER_ARRIVED(b->turn) * SLOT_NUMBER_ONE);
    if (ends(s, b, &r))
        return leave(s, b, TARN_LAST);
    return wait_for_turn(s, b, slot, until, call);
}

int tarn_barrier_wait(tarn *seg, tarn_barrier *b)
{
    return wait_at(seg, b, NULL, "tarn_barrier_wait");
}
int tarn_barrier_timed(tarn *seg, tarn_barrier *b, const struct timespec *until)
{
    int e = sync_deadline(until, "tarn_barrier_timed");
    return e ? e : wait_at(seg, b, until, "tarn_barrier_timed");
}

int tarn_barrier_leave(tarn *seg, tarn_barrier *b)
{
    struct self *s;
    struct roll r = {0};
    uint64_t *slot;
    int e = enter(seg, b, "tarn_barrier_leave", &s);
    if (e)
        return e;
    if (!(slot = my_slot(s, b)))
        return leave(s, b,
                     fail(-EPERM, "tarn_barrier_leave: this thread is no member of the barrier at %#llx",
                          (unsigned long long)offset_of(seg, b)));
    if (b->parties) /* should he die between the two, he is a member who died */
        store32(&b->parties, b->parties - 1);
    store64(slot, 0);
    call_roll(s, b, &r);
    if (r.members)
        (void)ends(s, b, &r);
    return leave(s, b, 0);
}

int tarn_barrier_reset(tarn *seg, tarn_barrier *b)
{
    struct self *s;
    int e = enter(seg, b, "tarn_barrier_reset", &s);
    if (e)
        return e;
    recover_all(s);                        /* else the same dead would break it again */
    store32(&b->turn, b->turn + 0x10001u); /* nobody has arrived */
    __atomic_fetch_and(&b->flags, ~(BROKEN | FORMED), __ATOMIC_SEQ_CST);
    kill_point();
    os_futex_wake(&b->turn, INT32_MAX);
    return leave(s, b, 0);
}

int tarn_barrier_state(tarn *seg, const tarn_barrier *b, struct tarn_barrier_state *ret_state)
{
    struct tarn_barrier_state state = {0};
    int e = sync_there(seg, b, sizeof *b, "tarn_barrier_state", WHAT);
    if (e)
        return e;
    state.turn = load32(&b->turn);
    state.parties = b->parties;
    state.broken = (load32(&b->flags) & BROKEN) != 0;
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        uint64_t slot = slot_of(seg, i, offset_of(seg, b), 7ull << 58, SLOT_MEMBER);
        state.members += slot != 0;
        state.arrived += slot && SLOT_NUMBER(slot) == BARRIER_ARRIVED(state.turn);
    }
    *ret_state = state;
    return 0;
}

int tarn_barrier_init(tarn *seg, tarn_barrier *b, uint32_t parties, uint32_t flags)
{
    int e = 0;
    struct self *s = sync_self(seg, b, sizeof *b, "tarn_barrier_init", WHAT, &e);
    if (!s)
        return e;
    if (flags & ~TARN_BARRIER_DROP || parties >= seg->geometry.records) /* one is a spare */
        return fail(-EINVAL, "tarn_barrier_init: %u parties (of at most %u participants), flags %#x (TARN_BARRIER_DROP or 0)",
                    parties, seg->geometry.records - 1, flags);
    *b = (tarn_barrier){.parties = parties, .flags = flags};
    return 0;
}

int tarn_barrier_fini(tarn *seg, tarn_barrier *b)
{
    struct self *s;
    int e = enter(seg, b, "tarn_barrier_fini", &s);
    if (e)
        return e;
    set_flag(b, SYNC_GONE);
    store32(&b->turn, b->turn + 0x10001u);
    os_futex_wake(&b->turn, INT32_MAX);
    return leave(s, b, 0);
}

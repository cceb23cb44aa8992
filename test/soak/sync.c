/* sync.c - what a worker does with the objects of synchronisation other than the mutex, and what they must be at a standstill. See soak.h.
 *
 * Each has its rows in work.c. All waits are timed, but for those on locks whose holders wait for nothing that could wait for us: who waits outside a
 * section for one of these objects holds nothing, and in a section rwlocks come after the plain counters. What is compared:
 *
 *   rwlock          first == second == sum of written, for whoever is not told. Who reads and who writes is written outside the segment: no
 *                   writer beside anybody who was not told to die
 *   semaphore       units == those of the last standstill + posted - taken, but for what the calls in flight at a death may have done
 *   held semaphore  who has all units is the only one who has any; at a standstill all are there
 *   barrier         who comes through finds no member who has not moved since before he came; at a standstill nobody is a member, and it is
 *                   broken if a member died after the last reset
 *   once            made once, by one at a time, and never again after somebody was told that it is done
 *   event           an automatic one lets no more through than it was set
 *   condition       the mutex is held again, as if it had been locked
 * A waiter who is never woken is not seen here, as long as his time runs out. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker.h"

#include "participant/participant.h"

static __thread bool reads_it[RWLOCKS]; /* a rwlock that is held: to read */
static __thread unsigned deep[RWLOCKS]; /* so many times more */

void child_holds_none(void)
{
    memset(deep, 0, sizeof deep);
}

/* ---- rwlocks ---- */

static uint64_t written(const struct guarded *g)
{
    uint64_t sum = 0;
    for (unsigned s = 0; s < SLOTS; s++)
        sum += g->written[s];
    return sum;
}

/* It is ours: nobody writes but us, nobody reads if we write, and what it guards is whole unless somebody is told. */
static void look_at_guarded(unsigned r)
{
    const struct guarded *g = &root->guarded[r];
    unsigned c = COUNTERS + r;
    uint64_t writer = shared->holder[c], sum = written(g);
    if (writer && writer != (reads_it[r] ? 0 : my_name()) && !is_doomed(writer))
        violation("rwlock %u: slot %d writes, and slot %u %s", r, (int)(writer >> 32) - 1, me.slot,
                  reads_it[r] ? "reads" : "writes");
    for (unsigned s = 0; s < SLOTS && !reads_it[r]; s++) {
        uint64_t reader = __atomic_load_n(&shared->log[s].reads[r], __ATOMIC_RELAXED);
        if (reader && !is_doomed(reader))
            violation("rwlock %u: slot %u reads, and slot %u writes", r, s, me.slot);
    }
    if (!shared->left_dirty[c] && (g->first != sum || g->second != sum))
        violation("rwlock %u: %llu and %llu, and its shares are %llu, and nobody was told", r,
                  (unsigned long long)g->first, (unsigned long long)g->second, (unsigned long long)sum);
}

/* 0, or what stops a section. */
static int took_rwlock(unsigned r, bool reads, bool told)
{
    struct guarded *g = &root->guarded[r];
    unsigned c = COUNTERS + r;
    uint64_t sum, writer = shared->holder[c];
    if (writer && !is_doomed(writer))
        violation("rwlock %u: slot %d writes, and slot %u has it", r, (int)(writer >> 32) - 1, me.slot);
    held[c] = true;
    put_off[c] = mended[c] = false;
    reads_it[r] = reads;
    put(&me.log->reads[r], reads ? my_name() : 0);
    if (!reads)
        put(&shared->holder[c], my_name());
    is_told(c, told);
    look_at_guarded(r);
    me.log->came[DIRTY_RWLOCKS] += told;
    if (!told || reads)
        return 0;
    if (in_section)
        TRY(tarn_save(segment, &g->first, 2 * sizeof g->first));
    sum = written(g);
    put(&g->first, sum);
    moment();
    put(&g->second, sum);
    if (chance(4)) {
        WANT(tarn_rwlock_consistent(segment, &g->lock));
        if (in_section)
            mended[c] = true;
        else
            put(&shared->left_dirty[c], 0);
    }
    return 0;
}

static int ask_rwlock(unsigned r, bool reads, enum how how)
{
    tarn_rwlock *l = &root->guarded[r].lock;
    struct timespec until = soon(chance(how == TIMED ? 400 : 1));
    if (reads)
        return how == WAIT     ? tarn_rwlock_read(segment, l)
               : how == TRY_IT ? tarn_rwlock_read_try(segment, l)
                               : tarn_rwlock_read_timed(segment, l, &until);
    return how == WAIT     ? tarn_rwlock_write(segment, l)
           : how == TRY_IT ? tarn_rwlock_write_try(segment, l)
                           : tarn_rwlock_write_timed(segment, l, &until);
}

/* A writer of the first waits until nobody reads, which may never be. */
static enum how some_how(unsigned r, bool reads)
{
    return (enum how)(reads || r ? chance(3) : 1 + chance(2));
}

static int take_rwlock(unsigned r, bool reads, enum how how)
{
    unsigned c = COUNTERS + r;
    if (!in_section && !reads)
        may_soil(c);
    int e = ask_rwlock(r, reads, how);
    if ((e == -EBUSY && how == TRY_IT) || (e == -ETIMEDOUT && how == TIMED) ||
        (e == -EDEADLK && in_section) || is_full(e)) {
        soils_not(c);
        return e;
    }
    if (e < 0)
        violation("rwlock %u: %d %s", r, e, tarn_error());
    return took_rwlock(r, reads, e > 0);
}

void give_rwlock(unsigned r)
{
    unsigned c = COUNTERS + r;
    tarn_rwlock *l = &root->guarded[r].lock;
    for (; deep[r]; deep[r]--)
        WANT(tarn_rwlock_unlock(segment, l));
    look_at_guarded(r);
    if (in_section)
        put_off[c] = true;
    else {
        held[c] = false;
        put(reads_it[r] ? &me.log->reads[r] : &shared->holder[c], 0);
    }
    WANT(tarn_rwlock_unlock(segment, l));
    if (!in_section)
        soils_not(c);
}

bool let_go_of_rwlock(unsigned r)
{
    unsigned c = COUNTERS + r;
    if (!held[c] || !reads_it[r])
        return false;
    if (put_off[c])
        put(&me.log->reads[r], 0);
    return true;
}

/* Half of it, and the other half. */
static int write_some(unsigned r)
{
    struct guarded *g = &root->guarded[r];
    uint64_t d = 1 + chance(1000);
    if (in_section) {
        TRY(tarn_save(segment, &g->first, 2 * sizeof g->first));
        TRY(tarn_save(segment, &g->written[me.slot], 8));
    }
    expect(WRITTEN + r, now_is(WRITTEN + r) + d);
    put(&g->first, g->first + d);
    moment();
    put(&g->written[me.slot], g->written[me.slot] + d);
    moment();
    put(&g->second, g->second + d);
    return 0;
}

/* What is held already, once more: who was told is told again, until it is mended. */
static void again_rwlock(unsigned r, enum how how)
{
    unsigned c = COUNTERS + r;
    int e = ask_rwlock(r, reads_it[r], how), want = shared->left_dirty[c] && !mended[c];
    if (e != want)
        violation("rwlock %u, which is held to %s, again: %d, not %d %s", r, reads_it[r] ? "read" : "write",
                  e, want, e < 0 ? tarn_error() : "");
}

int step_rwlock(void)
{
    unsigned r = chance(RWLOCKS), c = COUNTERS + r;
    lowest = PLAIN;
    if (held[c] && put_off[c]) { /* it is still ours */
        again_rwlock(r, (enum how)chance(3));
        put_off[c] = false;
    } else if (!held[c]) {
        bool reads = chance(2);
        int e = take_rwlock(r, reads, some_how(r, reads));
        if (e == -EBUSY)
            return 0;
        if (e < 0) {
            (void)may_be(e);
            return e;
        }
    } else if (reads_it[r]) {
        again_rwlock(r, (enum how)chance(3));
        deep[r]++;
    }
    moment();
    if (!reads_it[r])
        TRY(write_some(r));
    if (chance(3) == 0)
        give(c);
    return 0;
}

static void upgrade(unsigned r)
{
    unsigned c = COUNTERS + r;
    may_soil(c);
    int e = tarn_rwlock_upgrade_try(segment, &root->guarded[r].lock);
    if (e == -EBUSY) {
        soils_not(c);
        return;
    }
    if (e < 0 || deep[r])
        violation("tarn_rwlock_upgrade_try: %d %s", e, tarn_error());
    me.log->came[UPGRADES]++;
    (void)took_rwlock(r, false, e > 0);
    moment();
    (void)write_some(r);
    settle();
}

static void downgrade(unsigned r)
{
    unsigned c = COUNTERS + r;
    put(&me.log->reads[r], my_name());
    put(&shared->holder[c], 0);
    WANT(tarn_rwlock_downgrade(segment, &root->guarded[r].lock));
    reads_it[r] = true;
    soils_not(c);
}

void op_read(void)
{
    unsigned r = chance(RWLOCKS);
    if (take_rwlock(r, true, some_how(r, true)) < 0)
        return;
    moment();
    for (unsigned n = chance(3) ? 0 : 1 + chance(3); n--; moment()) {
        again_rwlock(r, (enum how)chance(3));
        deep[r]++;
    }
    int e = chance(8) ? -EDEADLK : tarn_rwlock_write_try(segment, &root->guarded[r].lock);
    if (e != -EDEADLK)
        violation("rwlock %u, held to read, to write: %d", r, e);
    if (chance(4) == 0)
        upgrade(r);
    moment();
    give(COUNTERS + r);
    moment();
}

void op_write(void)
{
    unsigned r = chance(RWLOCKS);
    if (take_rwlock(r, false, some_how(r, false)) < 0)
        return;
    moment();
    (void)write_some(r);
    settle();
    moment();
    if (chance(3) == 0) {
        downgrade(r);
        moment();
    }
    give(COUNTERS + r);
    moment();
}

/* ---- conditions, and a mutex more than once ---- */

void op_condition(void)
{
    unsigned c = chance(PLAIN);
    struct counter *k = &root->counter[c];
    if (take(c, WAIT) < 0)
        return;
    uint64_t total = k->total;
    for (unsigned n = 1 + chance(3); n && k->total == total; n--) {
        struct timespec until = soon(chance(2000));
        held[c] = false;
        put(&shared->holder[c], 0);
        int e = tarn_condition_timed(segment, &root->added[c], &k->lock, &until);
        if (e < 0 && e != -ETIMEDOUT)
            violation("tarn_condition_timed: %d %s", e, tarn_error());
        uint64_t holder = shared->holder[c];
        if (holder && !is_doomed(holder))
            violation("two holders of counter %u: slot %d, and slot %u, who waited for a signal", c,
                      (int)(holder >> 32) - 1, me.slot);
        me.log->came[SIGNALLED] += e >= 0 && k->total != total;
        (void)took(c, e > 0);
        moment();
    }
    (void)add(c);
    settle();
    give(c);
}

void op_nested(void)
{
    unsigned c = chance(PLAIN), n = 1 + chance(3);
    tarn_mutex *m = &root->counter[c].lock;
    if (take(c, (enum how)chance(3)) < 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        struct timespec until = soon(chance(100));
        int e = chance(3)   ? tarn_mutex_lock_nested(segment, m)
                : chance(2) ? tarn_mutex_try_nested(segment, m)
                            : tarn_mutex_timed_nested(segment, m, &until);
        if (e != (int)shared->left_dirty[c])
            violation("counter %u: its lock, nested: %d, not %d", c, e, (int)shared->left_dirty[c]);
        moment();
    }
    (void)add(c);
    settle();
    while (n--) {
        WANT(tarn_mutex_unlock(segment, m));
        moment();
    }
    int e = tarn_mutex_try(segment, m);
    if (e != -EDEADLK)
        violation("counter %u: its lock was unlocked as often as it was nested, and is not held: %d", c, e);
    give(c);
}

/* ---- semaphores ---- */

static void units_begin(unsigned s, int32_t n)
{
    put(&me.log->units[s], (me.log->units[s] & ~0xffffffffull) | (uint32_t)n);
}
static void units_end(unsigned s, int32_t n)
{
    put(&me.log->units[s], ((me.log->units[s] >> 32) + (uint32_t)n) << 32);
}

/* Between the two stores it counts twice, which makes the comparison no stricter. */
void count_units(void)
{
    for (unsigned s = 0; s < SEMAPHORES; s++) {
        int32_t n = (int32_t)(uint32_t)me.log->units[s];
        if (n < 0)
            me.log->low[s] += (uint32_t)-n;
        else
            me.log->high[s] += (uint32_t)n;
        barrier_();
        units_end(s, 0);
    }
}

void op_semaphore(void)
{
    unsigned s = chance(SEMAPHORES), n = chance(3) ? 1 : 1 + chance(4);
    tarn_semaphore *m = &root->semaphore[s];
    struct timespec until = soon(chance(300));
    uint32_t units;
    int e;
    WANT(tarn_semaphore_units(segment, m, &units));
    if (chance(2) && units < 12) {
        units_begin(s, (int32_t)n);
        WANT(n == 1 ? tarn_semaphore_post(segment, m) : tarn_semaphore_post_many(segment, m, n));
        units_end(s, (int32_t)n);
    } else {
        units_begin(s, -1);
        e = n > 1 ? tarn_semaphore_try(segment, m) : tarn_semaphore_timed(segment, m, &until);
        units_end(s, e ? 0 : -1);
        if (e && e != (n > 1 ? -EAGAIN : -ETIMEDOUT))
            violation("taking a unit: %d %s", e, tarn_error());
    }
    moment();
}

/* ---- held semaphore ---- */

static void i_have(uint32_t n)
{
    put(&me.log->has, (uint64_t)n << 32 | me.log->incarnation);
}

static void nobody_else_has_any(void)
{
    for (unsigned s = 0; s < SLOTS; s++) {
        uint64_t has = __atomic_load_n(&shared->log[s].has, __ATOMIC_RELAXED);
        if (s != me.slot && has >> 32 && !is_doomed((uint64_t)(s + 1) << 32 | (uint32_t)has))
            violation("slot %u has all %u units, and slot %u has %u", me.slot, HELD_UNITS, s,
                      (unsigned)(has >> 32));
    }
}

void op_held(void)
{
    uint32_t n = chance(4) ? 1 + chance(3) : HELD_UNITS, part;
    enum how how = (enum how)(n == 1 ? chance(3) : 1 + chance(2));
    struct timespec until = soon(chance(400));
    int e = how == WAIT     ? tarn_held_take(segment, &root->held, n)
            : how == TRY_IT ? tarn_held_try(segment, &root->held, n)
                            : tarn_held_timed(segment, &root->held, n, &until);
    if ((e == -EAGAIN && how == TRY_IT) || (e == -ETIMEDOUT && how == TIMED) || is_full(e))
        return;
    if (e)
        violation("taking %u units: %d %s", n, e, tarn_error());
    i_have(n);
    moment();
    if (n == HELD_UNITS) {
        me.log->came[ALL_UNITS]++;
        nobody_else_has_any();
        e = tarn_held_try(segment, &root->held, 1);
        if (e != -EAGAIN)
            violation("one unit more than there are: %d", e);
        moment();
        nobody_else_has_any();
    }
    part = 1 + chance(n);
    i_have(n - part);
    WANT(tarn_held_give(segment, &root->held, part));
    moment();
    if (n == part)
        return;
    i_have(0);
    WANT(tarn_held_give(segment, &root->held, n - part));
    moment();
}

/* ---- barrier ---- */

#define IS_MEMBER 1u
#define IS_INSIDE 2u

static void i_am(unsigned b, uint32_t what)
{
    uint32_t was = (uint32_t)me.log->member[b];
    put(&me.log->member[b], (uint64_t)me.log->incarnation << 32 | (uint32_t)((was & ~3u) + 4) | what);
    put(&me.log->member_ns[b], now_ns());
}

/* A member who is not inside, and was in just this state before we came, has not arrived in the turn that ended: unless he is dead. */
static void all_arrived(unsigned b, const uint64_t *before)
{
    for (unsigned s = 0; s < SLOTS; s++)
        if (s != me.slot && (before[s] & (IS_MEMBER | IS_INSIDE)) == IS_MEMBER &&
            __atomic_load_n(&shared->log[s].member[b], __ATOMIC_SEQ_CST) == before[s] &&
            !is_doomed((uint64_t)(s + 1) << 32 | before[s] >> 32))
            violation("barrier %u: slot %u came through, and slot %u had not arrived", b, me.slot, s);
}

static void reset(unsigned b)
{
    uint64_t was = shared->reset_ns[b], now;
    __atomic_fetch_add(&shared->resets_begun[b], 1, __ATOMIC_SEQ_CST);
    WANT(tarn_barrier_reset(segment, &root->barrier[b]));
    now = now_ns();
    while (was < now && !__atomic_compare_exchange_n(&shared->reset_ns[b], &was, now, false, __ATOMIC_SEQ_CST,
                                                     __ATOMIC_SEQ_CST))
        ;
    __atomic_fetch_add(&shared->resets_ended[b], 1, __ATOMIC_SEQ_CST);
}

static bool has_others(unsigned b)
{
    for (unsigned s = 0; s < SLOTS; s++) {
        uint64_t member = __atomic_load_n(&shared->log[s].member[b], __ATOMIC_RELAXED);
        if (s != me.slot && member & IS_MEMBER && !is_doomed((uint64_t)(s + 1) << 32 | member >> 32))
            return true;
    }
    return false;
}

/* Where somebody is, if anywhere; else others are given a while to come. */
void op_barrier(void)
{
    unsigned b = chance(BARRIERS);
    uint64_t late = now_ns() + chance(1000) * 1000ull;
    if (!has_others(b) && has_others(!b))
        b = !b;
    uint64_t before[SLOTS];
    int e = tarn_barrier_join(segment, &root->barrier[b]);
    if (is_full(e))
        return;
    if (e)
        violation("tarn_barrier_join: %d %s", e, tarn_error());
    i_am(b, IS_MEMBER);
    while (!has_others(b) && now_ns() < late)
        usleep(20);
    for (unsigned n = 1 + chance(6); n--; moment()) {
        struct timespec until = soon(chance(3000));
        for (unsigned s = 0; s < SLOTS; s++)
            before[s] = __atomic_load_n(&shared->log[s].member[b], __ATOMIC_SEQ_CST);
        i_am(b, IS_MEMBER | IS_INSIDE);
        e = tarn_barrier_timed(segment, &root->barrier[b], &until);
        me.log->came[TURNS] += e == 0; /* not alone */
        me.log->came[BROKEN_BARRIERS] += e == -EOWNERDEAD;
        if (e == 0 || e == TARN_LAST)
            all_arrived(b, before);
        else if (e != -EOWNERDEAD && e != -ETIMEDOUT)
            violation("tarn_barrier_timed: %d %s", e, tarn_error());
        i_am(b, IS_MEMBER);
        if (e == -EOWNERDEAD)
            reset(b);
    }
    i_am(b, 0);
    WANT(tarn_barrier_leave(segment, &root->barrier[b]));
    moment();
}

/* ---- once ---- */

static int make(tarn *s, void *arg)
{
    unsigned o = *(unsigned *)arg;
    uint64_t *made = &root->once[o].made, in = shared->once_in[o];
    int e = -ECANCELED;
    if (in && !is_doomed(in))
        violation("once %u: slot %d is at it, and slot %u", o, (int)(in >> 32) - 1, me.slot);
    if (shared->once_ended[o])
        violation("once %u: it is done, and slot %u is to do it", o, me.slot);
    put(&shared->once_in[o], my_name());
    moment();
    if (*made) /* by one who died before he could say so */
        e = 0;
    else if (chance(8) == 0) {
        WANT(tarn_begin(s));
        e = tarn_save(s, made, 8);
        if (e == 0) {
            put(made, *made + 1);
            moment();
        } else if (is_full(e))
            e = -ECANCELED;
        WANT(e || chance(4) == 0 ? (e = -ECANCELED, tarn_abort(s)) : tarn_commit(s));
    }
    moment();
    put(&shared->once_in[o], 0);
    return e;
}

void op_once(void)
{
    unsigned o = chance(ONCES);
    int e = tarn_once_run(segment, &root->once[o].once, make, &o);
    if (e && e != -ECANCELED && !is_full(e))
        violation("tarn_once_run: %d %s", e, tarn_error());
    if (e == 0 && root->once[o].made != 1)
        violation("once %u: it is done, and was made %llu times", o, (unsigned long long)root->once[o].made);
    me.log->came[ONCES_DONE] += e == 0 && !shared->once_ended[o];
    if (e == 0)
        put(&shared->once_ended[o], 1);
    else if (shared->once_ended[o])
        e = tarn_once_run(segment, &root->once[o].once, make, &o); /* somebody else did it since: make says if not */
    moment();
}

/* ---- events ---- */

static void passed(void)
{
    uint64_t sets = 0, passes = 0;
    put(&me.log->passes, me.log->passes + 1);
    for (unsigned s = 0; s < SLOTS; s++) /* first: whoever comes through later may owe it to a later set */
        passes += __atomic_load_n(&shared->log[s].passes, __ATOMIC_SEQ_CST);
    for (unsigned s = 0; s < SLOTS; s++)
        sets += __atomic_load_n(&shared->log[s].sets, __ATOMIC_SEQ_CST);
    if (passes > sets)
        violation("the automatic event was set %llu times, and let %llu through", (unsigned long long)sets,
                  (unsigned long long)passes);
}

void op_event(void)
{
    bool automatic = chance(2), tries = chance(2);
    tarn_event *v = automatic ? &root->automatic : &root->manual;
    struct timespec until = soon(chance(300));
    int set;
    WANT(tarn_event_state(segment, v, &set));
    if (chance(2) && !set) {
        if (automatic)
            put(&me.log->sets, me.log->sets + 1);
        WANT(tarn_event_set(segment, v));
    } else if (chance(4) == 0)
        WANT(tarn_event_reset(segment, v));
    else {
        int e = tries ? tarn_event_try(segment, v) : tarn_event_timed(segment, v, &until);
        if (e && e != (tries ? -EAGAIN : -ETIMEDOUT))
            violation("waiting for an event: %d %s", e, tarn_error());
        if (e == 0 && automatic)
            passed();
    }
    moment();
}

void op_wait_any(void)
{
    struct tarn_awaited all[2 + SEMAPHORES] = {{TARN_EVENT, {.event = &root->manual}},
                                               {TARN_EVENT, {.event = &root->automatic}}};
    uint32_t n = 2 + SEMAPHORES, came = UINT32_MAX;
    struct timespec until = soon(chance(800));
    for (unsigned s = 0; s < SEMAPHORES; s++)
        all[2 + s] = (struct tarn_awaited){TARN_SEMAPHORE, {.semaphore = &root->semaphore[s]}};
    for (uint32_t i = n; i-- > 1;) {
        uint32_t j = chance(i + 1);
        struct tarn_awaited a = all[i];
        all[i] = all[j];
        all[j] = a;
    }
    n = 1 + chance(n);
    for (uint32_t i = 0; i < n; i++)
        if (all[i].kind == TARN_SEMAPHORE)
            units_begin((unsigned)(all[i].semaphore - root->semaphore), -1);
    int e = tarn_wait_any(segment, all, n, &until, &came);
    for (uint32_t i = 0; i < n; i++)
        if (all[i].kind == TARN_SEMAPHORE)
            units_end((unsigned)(all[i].semaphore - root->semaphore), e == 0 && came == i ? -1 : 0);
    if ((e && e != -ETIMEDOUT) || (e == 0 && came >= n))
        violation("tarn_wait_any: %d, %u of %u %s", e, came, n, e ? tarn_error() : "");
    me.log->came[AWAITED] += e == 0;
    if (e == 0 && all[came].kind == TARN_EVENT && all[came].event == &root->automatic)
        passed();
    moment();
}

/* ---- for all ---- */

int step_refused(void)
{
    uint32_t n;
    struct timespec until = soon(0);
    struct tarn_awaited a = {TARN_SEMAPHORE, {.semaphore = &root->semaphore[0]}};
    unsigned which = chance(7);
    int e = which == 0   ? tarn_semaphore_post(segment, &root->semaphore[0])
            : which == 1 ? tarn_semaphore_try(segment, &root->semaphore[0])
            : which == 2 ? tarn_held_try(segment, &root->held, 1)
            : which == 3 ? tarn_barrier_join(segment, &root->barrier[0])
            : which == 4 ? tarn_event_set(segment, &root->automatic)
            : which == 5 ? tarn_event_try(segment, &root->automatic)
                         : tarn_wait_any(segment, &a, 1, &until, &n);
    if (e != -EPERM)
        violation("what a section must not do (%u): %d", which, e);
    return 0;
}

static int see_waiting(const struct tarn_waiting *w, void *arg)
{
    ++*(unsigned *)arg;
    if (!w->id || !w->what || !w->what[0])
        violation("tarn_who_waits: participant %#x waits for nothing", w->id);
    return 0;
}

void op_who_waits(void)
{
    unsigned n = 0;
    WANT(tarn_who_waits(segment, see_waiting, &n));
}

/* ---- by the controller ---- */

void make_objects(void)
{
    WANT(tarn_rwlock_init(segment, &root->guarded[1].lock, TARN_RWLOCK_WRITERS));
    WANT(tarn_held_set(segment, &root->held, HELD_UNITS));
    WANT(tarn_barrier_init(segment, &root->barrier[1], 0, TARN_BARRIER_DROP));
    WANT(tarn_event_init(segment, &root->automatic, TARN_EVENT_AUTOMATIC));
}

static void compare_rwlocks(void)
{
    for (unsigned r = 0; r < RWLOCKS; r++) {
        const struct guarded *g = &root->guarded[r];
        struct tarn_rwlock_state state;
        uint64_t sum = written(g);
        WANT(tarn_rwlock_state(segment, &g->lock, &state));
        if (state.writer || state.readers || g->lock.owner & ~ID_DIRTY)
            violation("rwlock %u: %#x writes, %u read (%#x is one), owner %#x, and nobody is at work", r,
                      state.writer, state.readers, state.reader, g->lock.owner);
        if (!state.dirty && (g->first != sum || g->second != sum))
            violation("rwlock %u: %llu and %llu, and its shares are %llu, and it is not dirty", r,
                      (unsigned long long)g->first, (unsigned long long)g->second, (unsigned long long)sum);
        if (!state.dirty && shared->left_dirty[COUNTERS + r])
            violation("rwlock %u: was left dirty, and is clean", r);
    }
}

static void compare_semaphores(void)
{
    for (unsigned s = 0; s < SEMAPHORES; s++) {
        int64_t sum = (int64_t)shared->units[s], low, high;
        uint32_t units;
        for (unsigned i = 0; i < SLOTS; i++)
            sum += (int32_t)(shared->log[i].units[s] >> 32);
        low = high = sum;
        for (unsigned i = 0; i < SLOTS; i++) {
            struct log *l = &shared->log[i];
            low -= l->low[s];
            high += l->high[s];
            l->units[s] = l->low[s] = l->high[s] = 0;
        }
        WANT(tarn_semaphore_units(segment, &root->semaphore[s], &units));
        if (units < low || units > high)
            violation("semaphore %u: %u units, and by the log %lld to %lld", s, units, (long long)low,
                      (long long)high);
        shared->units[s] = units;
    }
}

static void compare_held(void)
{
    uint32_t available, units;
    WANT(tarn_held_state(segment, &root->held, &available, &units));
    if (available != units || units != HELD_UNITS)
        violation("held semaphore: %u of %u units are left, and nobody is at work", available, units);
    WANT(tarn_held_try(segment, &root->held, HELD_UNITS)); /* so says its own sum, too */
    WANT(tarn_held_give(segment, &root->held, HELD_UNITS));
}

static void compare_barriers(void)
{
    for (unsigned b = 0; b < BARRIERS; b++) {
        struct tarn_barrier_state state;
        WANT(tarn_barrier_state(segment, &root->barrier[b], &state));
        if (state.members || state.arrived)
            violation("barrier %u: %u members, %u arrived, and nobody is at work", b, state.members, state.arrived);
        if (state.broken && b)
            violation("barrier %u: broken, and it drops its dead", b);
        for (unsigned s = 0; s < SLOTS; s++) {
            const struct log *l = &shared->log[s];
            if (l->member[b] & IS_MEMBER && l->member[b] >> 32 == l->incarnation && b == 0 && !state.broken &&
                shared->resets_begun[b] == shared->resets_ended[b] && l->member_ns[b] > shared->reset_ns[b])
                violation("barrier %u: slot %u died as a member after the last reset, and it is whole", b, s);
        }
        shared->resets_begun[b] = shared->resets_ended[b] = 0;
        WANT(tarn_barrier_reset(segment, &root->barrier[b]));
        shared->reset_ns[b] = now_ns();
    }
}

static void compare_onces(void)
{
    for (unsigned o = 0; o < ONCES; o++) {
        const tarn_once *once = &root->once[o].once;
        if (once->lock.owner)
            violation("once %u: %#x is at it, and nobody is at work", o, once->lock.owner);
        if (root->once[o].made > 1 || (once->done && !root->once[o].made) || (shared->once_ended[o] && !once->done))
            violation("once %u: made %llu times, done %u, and %s was told so", o,
                      (unsigned long long)root->once[o].made, once->done,
                      shared->once_ended[o] ? "somebody" : "nobody");
    }
    memset(root->once, 0, sizeof root->once);
    memset(shared->once_in, 0, sizeof shared->once_in);
    memset(shared->once_ended, 0, sizeof shared->once_ended);
}

static void compare_events(void)
{
    int set;
    WANT(tarn_event_set(segment, &root->manual));
    WANT(tarn_event_try(segment, &root->manual));
    WANT(tarn_event_state(segment, &root->manual, &set));
    if (!set)
        violation("the manual event was set, and is not");
    WANT(tarn_event_set(segment, &root->automatic));
    WANT(tarn_event_try(segment, &root->automatic));
    WANT(tarn_event_state(segment, &root->automatic, &set));
    if (set)
        violation("the automatic event let one through, and is set");
    WANT(tarn_event_reset(segment, &root->manual));
    for (unsigned s = 0; s < SLOTS; s++)
        shared->log[s].sets = shared->log[s].passes = 0;
}

void compare_objects(void)
{
    unsigned n = 0;
    WANT(tarn_who_waits(segment, see_waiting, &n));
    if (n)
        violation("%u wait, and nobody is at work", n);
    compare_rwlocks();
    compare_semaphores();
    compare_held();
    compare_barriers();
    compare_onces();
    compare_events();
}

/* case_sync.c - the other objects of synchronisation: nobody is where another is, and nobody sleeps who should not.
 *
 * Who waits for what another gives may wait for ever if that one died before; `may_wait_if` has it that this is so, by the object's own words: a sleeper is left
 * where there is nothing for it. */
#include <errno.h>

#include "explore.h"
#include "sync/sync.h"

enum { MOST_READS = 64 }; /* in a row, and the next one comes in the fast way */

/* Who is left sleeps on this word of the object, and not on a lock. */
static bool all_sleep_on(const uint32_t *word)
{
    for (int p = 0; p < world.people; p++) {
        const struct person *w = &world.person[p];
        bool on = w->state != SLEEPING;
        for (uint32_t i = 0; i < w->words; i++)
            on |= w->word[i] == word;
        if (!on)
            return false;
    }
    return true;
}

/* Of each participant, in ghost[HOW + p] */
enum { HOW, IDLE = 0, WANTS, READS, WRITES, LEAVES };
enum { WRITTEN = HOW + PEOPLE };

/* ---- rwlock ---- */

/* Who comes in, and what it must be told: a writer died in it, and nobody has put it right since. */
static void comes_in(int p, int e, uint64_t how)
{
    bool must_tell = false, may_tell = false;
    must_be(e >= 0, "a lock failed");
    for (int i = 0; i < world.people; i++) {
        uint64_t other = ghost[HOW + i];
        if (i == p)
            continue;
        if (died(i)) {
            must_tell |= other == WRITES;
            may_tell |= other >= WRITES;
            continue;
        }
        must_be(other != WRITES, "somebody came in beside a writer");
        must_be(how == READS || other != READS, "a writer came in beside a reader");
    }
    must_be(e == TARN_RECOVERED || !must_tell, "a writer's death was not told");
    must_be(e == 0 || may_tell, "a lock came dirty that nobody died with");
    ghost[HOW + p] = how;
}

static void change(int p, int e)
{
    uint64_t v = shared_read(&root()->word[0]);
    if (e == TARN_RECOVERED) {
        MUST(tarn_rwlock_consistent(seg_of(p), &root()->rwlock));
        for (int i = 0; i < world.people; i++)
            if (died(i))
                ghost[HOW + i] = IDLE;
        v = ghost[WRITTEN];
    } else
        must_be(v == ghost[WRITTEN] && shared_read(&root()->word[1]) == v, "a writer finds a torn value");
    ghost[WRITTEN]++;
    shared_write(&root()->word[0], v + 1);
    shared_write(&root()->word[1], v + 1);
}

static void goes(int p)
{
    ghost[HOW + p] = ghost[HOW + p] == WRITES ? LEAVES : IDLE;
    MUST(tarn_rwlock_unlock(seg_of(p), &root()->rwlock));
    ghost[HOW + p] = IDLE;
}

static void writes(int p)
{
    int e = tarn_rwlock_write(seg_of(p), &root()->rwlock);
    comes_in(p, e, WRITES);
    change(p, e);
    goes(p);
}

static void looks(int e)
{
    uint64_t v = shared_read(&root()->word[0]);
    must_be(e == TARN_RECOVERED || shared_read(&root()->word[1]) == v, "a reader saw a torn value");
}
static void reads(int p)
{
    int e = tarn_rwlock_read(seg_of(p), &root()->rwlock);
    comes_in(p, e, READS);
    looks(e);
    goes(p);
}

static void write_and_read(int p)
{
    if (p == 0)
        writes(p);
    else
        reads(p);
}
static void write_and_read_twice(int p)
{
    write_and_read(p);
    if (p)
        reads(p);
}
static void write_twice_and_read(int p)
{
    write_and_read(p);
    if (p == 0)
        writes(p);
}
static void two_write(int p)
{
    if (p == 2)
        reads(p);
    else
        writes(p);
}

/* A reader who would go on as a writer. */
static void upgrade(int p)
{
    tarn *seg = seg_of(p);
    int e = tarn_rwlock_read(seg, &root()->rwlock);
    comes_in(p, e, READS);
    e = tarn_rwlock_upgrade_try(seg, &root()->rwlock);
    if (e != -EBUSY) {
        comes_in(p, e, WRITES);
        change(p, e);
    } else
        looks(TARN_RECOVERED);
    goes(p);
}
static void write_and_upgrade(int p)
{
    if (p == 0)
        writes(p);
    else
        upgrade(p);
}
static void read_and_upgrade(int p)
{
    if (p == 0)
        reads(p);
    else
        upgrade(p);
}

/* And a writer who goes on as a reader. */
static void downgrade(int p)
{
    int e;
    if (p) {
        writes(p);
        return;
    }
    e = tarn_rwlock_write(seg_of(p), &root()->rwlock);
    comes_in(p, e, WRITES);
    change(p, e);
    ghost[HOW + p] = LEAVES;
    MUST(tarn_rwlock_downgrade(seg_of(p), &root()->rwlock));
    comes_in(p, 0, READS);
    looks(0);
    goes(p);
}

/* 1 reads already; it leaves while 0 comes to write. */
static void reads_first(int p)
{
    if (p == 0)
        return;
    MUST(tarn_rwlock_read(seg_of(p), &root()->rwlock));
    ghost[HOW + p] = READS;
}
static void write_or_leave(int p)
{
    if (p == 0) {
        writes(p);
        return;
    }
    goes(p);
    shared_write(&root()->word[1 + p], 1); /* a place to switch at, once all of leaving is done */
}

static void prefer_writers(void)
{
    MUST(tarn_rwlock_init(seg_of(DRIVER), &root()->rwlock, TARN_RWLOCK_WRITERS));
}

/* Everybody but the writer has read often enough. */
static void read_often(int p)
{
    for (int i = 0; p && i < MOST_READS; i++) {
        MUST(tarn_rwlock_read(seg_of(p), &root()->rwlock));
        MUST(tarn_rwlock_unlock(seg_of(p), &root()->rwlock));
    }
    must_be(!p || root()->rwlock.fast >> ID_INDEX(self_if(seg_of(p))->id) & 1, "the fast way is not granted");
}

/* 0 dies as a writer. The next reader is one to whom the fast way is given, and whom that must tell, too. */
static void dies_writing(int p)
{
    if (p)
        return;
    MUST(tarn_rwlock_write(seg_of(p), &root()->rwlock));
    ghost[HOW + p] = WRITES;
    root()->rwlock.reads = MOST_READS - 1;
}
static void read_twice_or_mend(int p)
{
    if (p == 1) {
        reads(p);
        reads(p);
    } else
        writes(p);
}

/* 0 dies as a reader; while 1 recovers it, 2 waits for it to be gone. */
static void dies_reading(int p)
{
    if (p)
        return;
    MUST(tarn_rwlock_read(seg_of(p), &root()->rwlock));
    ghost[HOW + p] = READS;
}
static void recover_or_write(int p)
{
    if (p == 1)
        MUST(tarn_recover(seg_of(p)));
    else
        writes(p);
}

/* Nobody has it, in any way, and a writer comes in. */
static const char *rwlock_free(void)
{
    struct tarn_rwlock_state state;
    uint64_t n = root()->word[0];
    tarn *seg = seg_of(DRIVER);
    MUST(tarn_rwlock_state(seg, &root()->rwlock, &state));
    if (state.readers || state.writer)
        return "a rwlock is left taken";
    if (tarn_rwlock_write_try(seg, &root()->rwlock) < 0)
        return "a rwlock is not free at the end";
    if (n != ghost[WRITTEN] && !(anyone_died() && n + 1 == ghost[WRITTEN]))
        return "a change was lost";
    return NULL;
}

/* ---- condition: 0 has news, for one; the others wait for it ---- */

enum { NEWS = 0, HAD = 1 }; /* ghost[HAD + p]: p came back from its wait, and the news is its own affair */

static void lock_mutex(int p, int e)
{
    must_be(e == 0 || (e == TARN_RECOVERED && anyone_died()),
            "a lock failed, or came dirty of nobody's death");
    if (e)
        MUST(tarn_mutex_consistent(seg_of(p), &root()->lock[0]));
}
static void give_news(int p, uint64_t n, int (*wake)(tarn *, tarn_condition *))
{
    tarn *seg = seg_of(p);
    lock_mutex(p, tarn_mutex_lock(seg, &root()->lock[0]));
    shared_write(&root()->word[NEWS], n);
    MUST(wake(seg, &root()->condition));
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
}
static void wait_for_news(int p)
{
    tarn *seg = seg_of(p);
    uint64_t news;
    lock_mutex(p, tarn_mutex_lock(seg, &root()->lock[0]));
    while (!(news = shared_read(&root()->word[NEWS]))) {
        ghost[HAD + p] = 0;
        lock_mutex(p, tarn_condition_wait(seg, &root()->condition, &root()->lock[0]));
        ghost[HAD + p] = 1;
    }
    shared_write(&root()->word[NEWS], news - 1);
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
}
/* 0 has it three times, and tells when it has given the lock up. */
static void signal_outside(int p)
{
    tarn *seg = seg_of(p);
    for (int i = 0; i < 3; i++) {
        if (p) {
            wait_for_news(p);
            continue;
        }
        lock_mutex(p, tarn_mutex_lock(seg, &root()->lock[0]));
        shared_write(&root()->word[NEWS], shared_read(&root()->word[NEWS]) + 1);
        MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
        MUST(tarn_condition_signal(seg, &root()->condition));
    }
}
static void signal_one(int p)
{
    if (p)
        wait_for_news(p);
    else
        give_news(p, 1, tarn_condition_signal);
}
static void broadcast(int p)
{
    if (p)
        wait_for_news(p);
    else
        give_news(p, 2, tarn_condition_broadcast);
}

/* There is no news (more); or the one who had it died before it said so, or while it was the one to have it. */
static bool no_news_for_all(void)
{
    return all_sleep_on(&root()->condition.turn) &&
           (!root()->word[NEWS] || (died(0) && root()->condition.turn == 0));
}
static bool no_news(void)
{
    for (int p = 1; p < world.people; p++)
        if (died(p) && ghost[HAD + p])
            return all_sleep_on(&root()->condition.turn);
    return no_news_for_all();
}
static void may_lack_news(void)
{
    may_wait_if(no_news);
}
static void may_lack_news_for_all(void)
{
    may_wait_if(no_news_for_all);
}

/* ---- semaphore, event, both ---- */

enum { TAKEN, SET };

static bool no_unit(void)
{
    return all_sleep_on(&root()->semaphore.word) && (root()->semaphore.word & 0x3fffffffu) == 0;
}
static void may_lack_units(void)
{
    may_wait_if(no_unit);
}
static void take_unit(int p)
{
    MUST(tarn_semaphore_wait(seg_of(p), &root()->semaphore));
    ghost[TAKEN]++;
}
static void post(int p)
{
    ghost[SET]++;
    MUST(tarn_semaphore_post(seg_of(p), &root()->semaphore));
}
static void post_one(int p)
{
    if (p)
        take_unit(p);
    else
        post(p);
}
static void post_twice(int p)
{
    post_one(p);
    if (!p)
        post(p);
}
static void post_two(int p)
{
    if (p) {
        take_unit(p);
        return;
    }
    ghost[SET] += 2;
    MUST(tarn_semaphore_post_many(seg_of(p), &root()->semaphore, 2));
}
/* One more may be on its way with who died: posted, and not said; taken, and not said. */
static const char *units_agree(void)
{
    uint32_t units;
    uint64_t n = ghost[SET], least = ghost[TAKEN];
    MUST(tarn_semaphore_units(seg_of(DRIVER), &root()->semaphore, &units));
    if (units + ghost[TAKEN] > n)
        return "a unit too many was taken";
    if (died(0))
        return NULL;
    least += anyone_died();
    return units + least < n ? "a unit was lost" : NULL;
}

static bool not_set(void)
{
    return all_sleep_on(&root()->event.word) && !(root()->event.word & 1);
}
static void automatic(void)
{
    MUST(tarn_event_init(seg_of(DRIVER), &root()->event, TARN_EVENT_AUTOMATIC));
    may_wait_if(not_set);
}
static void manual(void)
{
    may_wait_if(not_set);
}
static void await(int p)
{
    MUST(tarn_event_wait(seg_of(p), &root()->event));
    ghost[TAKEN]++;
    must_be(ghost[TAKEN] <= ghost[SET] || !(root()->event.word & 2), "one set let two through");
}
static void set(int p)
{
    ghost[SET]++;
    MUST(tarn_event_set(seg_of(p), &root()->event));
}
static void set_once(int p)
{
    if (p)
        await(p);
    else
        set(p);
}
static void set_twice(int p)
{
    set_once(p);
    if (!p)
        set(p);
}

static bool neither(void)
{
    return no_unit() && (world.person[1].state != SLEEPING || !(root()->event.word & 1));
}
static void automatic_or_units(void)
{
    automatic();
    may_wait_if(neither);
}
/* 0 sets the one and posts the other; 1 waits for either, and 2 for the unit alone: it must not sleep while there is one. */
static void any(int p)
{
    struct tarn_awaited both[] = {{TARN_EVENT, {.event = &root()->event}},
                                  {TARN_SEMAPHORE, {.semaphore = &root()->semaphore}}};
    uint32_t which = 9;
    if (p == 0) {
        MUST(tarn_semaphore_post(seg_of(p), &root()->semaphore));
        MUST(tarn_event_set(seg_of(p), &root()->event));
    } else if (p == 1) {
        MUST(tarn_wait_any(seg_of(p), both, 2, NULL, &which));
        must_be(which < 2, "neither came");
    } else
        MUST(tarn_semaphore_wait(seg_of(p), &root()->semaphore));
}

/* ---- held semaphore: two units ---- */

static void two_units(void)
{
    MUST(tarn_held_set(seg_of(DRIVER), &root()->held, 2));
}
static void hold(int p, uint32_t n)
{
    uint64_t sum = n;
    MUST(tarn_held_take(seg_of(p), &root()->held, n));
    for (int i = 0; i < world.people; i++)
        sum += died(i) ? 0 : ghost[HOW + i];
    must_be(sum <= 2, "more units are held than there are");
    ghost[HOW + p] = n;
    shared_write(&root()->word[p], 1); /* a place to die */
    ghost[HOW + p] = 0;
    MUST(tarn_held_give(seg_of(p), &root()->held, n));
}
static void hold_both(int p)
{
    hold(p, 2);
}
static void has_both(int p)
{
    if (p == 0)
        MUST(tarn_held_take(seg_of(p), &root()->held, 2));
}
/* 0 has both from the beginning; each of the others shall get one. */
static void hold_some(int p)
{
    if (p)
        hold(p, 1);
    else
        MUST(tarn_held_give(seg_of(p), &root()->held, 2));
}
static void dies_with_both(int p)
{
    if (p == 0)
        MUST(tarn_held_take(seg_of(p), &root()->held, 2));
}
static void recover_or_hold(int p)
{
    if (p == 1)
        MUST(tarn_recover(seg_of(p)));
    else
        hold(p, 2);
}
/* 0 has given the unit, or set it, when 1 takes it: from then on the memory is 1's, who uses it for something else. */
static void one_unit(void)
{
    MUST(tarn_held_set(seg_of(DRIVER), &root()->held, 1));
}
static void one_is_taken(int p)
{
    if (p == 0)
        MUST(tarn_held_take(seg_of(p), &root()->held, 1));
}
static void take_the_memory(int p)
{
    uint64_t *after = (uint64_t *)(void *)&root()->held + sizeof(tarn_held) / 8 - 1;
    MUST(tarn_held_take(seg_of(p), &root()->held, 1));
    MUST(tarn_held_give(seg_of(p), &root()->held, 1));
    for (uint64_t *w = (uint64_t *)(void *)&root()->held; w <= after; w++)
        shared_write(w, ~0ull);
    for (uint64_t *w = (uint64_t *)(void *)&root()->held; w <= after; w++) {
        must_be(shared_read(w) == ~0ull, "a semaphore was written to that is no more");
        shared_write(w, 0); /* only that the end is quiet */
    }
}
static void give_it_away(int p)
{
    if (p == 0)
        MUST(tarn_held_give(seg_of(p), &root()->held, 1));
    else
        take_the_memory(p);
}
static void set_it_away(int p)
{
    if (p == 0)
        MUST(tarn_held_set(seg_of(p), &root()->held, 1));
    else
        take_the_memory(p);
}
static const char *two_are_there(void)
{
    tarn *seg = seg_of(DRIVER);
    uint32_t available, units;
    MUST(tarn_held_state(seg, &root()->held, &available, &units));
    if (available != 2 || units != 2)
        return "slots do not say that all units are there";
    if (tarn_held_try(seg, &root()->held, 2) < 0)
        return "not all units came back";
    return tarn_held_try(seg, &root()->held, 1) == -EAGAIN ? NULL : "more units came back than there are";
}

/* ---- destroyed while somebody waits: who is told, and sleeps no more ---- */

static void destroyed_semaphore(int p)
{
    if (p)
        must_be(tarn_semaphore_wait(seg_of(p), &root()->semaphore) == -EIDRM,
                "a wait was not told of the end");
    else
        MUST(tarn_semaphore_fini(seg_of(p), &root()->semaphore));
}
static void destroyed_event(int p)
{
    if (p)
        must_be(tarn_event_wait(seg_of(p), &root()->event) == -EIDRM, "a wait was not told of the end");
    else
        MUST(tarn_event_fini(seg_of(p), &root()->event));
}
static void destroyed_condition(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        MUST(tarn_condition_fini(seg, &root()->condition));
        return;
    }
    MUST(tarn_mutex_lock(seg, &root()->lock[0]));
    must_be(tarn_condition_wait(seg, &root()->condition, &root()->lock[0]) == -EIDRM,
            "a wait was not told of the end");
    MUST(tarn_mutex_unlock(seg, &root()->lock[0]));
}
/* 1 reads since before the beginning, and until 0 was told. */
static void destroyed_rwlock(int p)
{
    tarn *seg = seg_of(p);
    if (p) {
        MUST(tarn_rwlock_fini(seg, &root()->rwlock));
        MUST(tarn_semaphore_wait(seg, &root()->semaphore));
        goes(p);
    } else {
        must_be(tarn_rwlock_write(seg, &root()->rwlock) == -EIDRM, "a writer was not told of the end");
        MUST(tarn_semaphore_post(seg, &root()->semaphore));
    }
}

/* ---- a circle that never was ---- */

/* 0 has lock 0, and looks whether its waiting for lock 1 closes a circle. 1 has lock 1 and waits for lock 2, but never both at once; 2 has lock 2, and at last
 * waits for lock 0. The two do nothing else, so 1 stores the words of both, in an order in which they may come: two walks that took what they saw for one
 * moment would find the same circle twice. */
enum { NAME = 12 }; /* ghost[NAME + p]: its identity */

static uint64_t waits_for_lock(int i)
{
    return WAITS_OWNER | tarn_ref_of(seg_of(DRIVER), &root()->lock[i]);
}
static void owns(int i, uint64_t id)
{
    shared_write((uint64_t *)(void *)&root()->lock[i], id); /* owner; and waiters, 0 */
}
static void have_one_each(int p)
{
    ghost[NAME + p] = self_if(seg_of(p))->id;
    root()->lock[p].owner = (uint32_t)ghost[NAME + p];
}
static void walk_or_go_round(int p)
{
    struct self *s = self_if(seg_of(p));
    if (p == 0) {
        waits_for(s, waits_for_lock(1));
        must_be(!waits_in_a_circle(s, waits_for_lock(1)), "a circle was seen that never was");
        waits_for(s, 0);
        owns(0, 0);
    } else if (p == 1) {
        struct record *third = record_at(s->seg, ID_INDEX(ghost[NAME + 2]));
        owns(1, 0);
        waits_for(s, waits_for_lock(2));
        owns(2, 0);
        owns(2, s->id);
        waits_for(s, 0);
        owns(2, 0);
        owns(1, s->id);
        owns(2, ghost[NAME + 2]);
        shared_write(&third->waits_count, third->waits_count + 1);
        shared_write(&third->waits, waits_for_lock(0));
        owns(1, 0);
        waits_for(s, waits_for_lock(2));
        waits_for(s, 0); /* only that the end is quiet */
        shared_write(&third->waits, 0);
        owns(2, 0);
    }
}

/* 1 leaves, and 0, who has written when all have left, has the memory for something else. */
static void rwlock_for_something_else(int p)
{
    uint64_t *w = (uint64_t *)(void *)&root()->rwlock, *after = w + sizeof(tarn_rwlock) / 8;
    if (p) {
        goes(p);
        return;
    }
    MUST(tarn_rwlock_write(seg_of(p), &root()->rwlock));
    MUST(tarn_rwlock_unlock(seg_of(p), &root()->rwlock));
    for (; w < after; w++)
        shared_write(w, ~0ull);
    for (w = (uint64_t *)(void *)&root()->rwlock; w < after; w++) {
        must_be(shared_read(w) == ~0ull, "a rwlock was written to that is no more");
        shared_write(w, 0); /* only that the end is quiet */
    }
}
/* 1 comes to be given the fast way just when 0 destroys it; who comes after that is told. */
static void nearly_often(int p)
{
    if (p)
        root()->rwlock.reads = MOST_READS - 2;
}
static void destroyed_under_readers(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0) {
        MUST(tarn_rwlock_fini(seg, &root()->rwlock));
        ghost[WRITTEN] = 1;
        return;
    }
    for (int i = 0; i < 3; i++) {
        bool gone = ghost[WRITTEN];
        int e = tarn_rwlock_read(seg, &root()->rwlock);
        must_be(e == -EIDRM || (e == 0 && !gone), "a reader was not told of the end");
        if (e == 0)
            MUST(tarn_rwlock_unlock(seg, &root()->rwlock));
    }
}

/* ---- once, barrier ---- */

static int do_it(tarn *seg, void *who)
{
    int p = *(int *)who;
    (void)seg;
    for (int i = 0; i < world.people; i++)
        must_be(i == p || died(i) || ghost[HOW + i] != WRITES, "two do it at a time");
    must_be(!ghost[WRITTEN], "it was done already");
    ghost[HOW + p] = WRITES;
    shared_write(&root()->word[0], 0);
    shared_write(&root()->word[0], 7);
    ghost[HOW + p] = LEAVES;
    return 0;
}
static void do_once(int p)
{
    int who = p;
    MUST((tarn_once_run)(seg_of(p), &root()->once, do_it, &who));
    ghost[WRITTEN] = 1;
    ghost[HOW + p] = IDLE;
    must_be(shared_read(&root()->word[0]) == 7, "it is not done");
}

static void parties(void)
{
    MUST(tarn_barrier_init(seg_of(DRIVER), &root()->barrier, (uint32_t)world.people, 0));
}
static void parties_drop(void)
{
    MUST(tarn_barrier_init(seg_of(DRIVER), &root()->barrier, (uint32_t)world.people, TARN_BARRIER_DROP));
}
static void join(int p)
{
    MUST(tarn_barrier_join(seg_of(p), &root()->barrier));
}
static void meet(int p)
{
    int e;
    ghost[HOW + p] = 1;
    e = tarn_barrier_wait(seg_of(p), &root()->barrier);
    must_be(e >= 0 || (e == -EOWNERDEAD && anyone_died() && !(root()->barrier.flags & TARN_BARRIER_DROP)),
            "a barrier failed");
    for (int i = 0; e >= 0 && i < world.people; i++)
        must_be(died(i) || ghost[HOW + i], "somebody had not arrived");
    ghost[TAKEN + 8] += e == TARN_LAST;
    must_be(ghost[TAKEN + 8] <= 1, "two were the last");
    MUST(tarn_barrier_leave(seg_of(p), &root()->barrier));
}

const struct test_case sync_cases[] = {
    {"rwlock, writer and reader", 2, 3, 4, 0, NULL, NULL, write_and_read, rwlock_free},
    {"rwlock, writer and fast reader", 2, 3, 4, 0, NULL, read_often, write_and_read_twice, rwlock_free},
    {"rwlock, two writes and a fast reader", 2, 3, 4, 0, NULL, read_often, write_twice_and_read, rwlock_free},
    {"rwlock, that prefers writers", 2, 3, 4, 0, prefer_writers, read_often, write_and_read_twice, rwlock_free},
    {"rwlock, writer, two readers", 3, 2, 2, 0, NULL, NULL, write_and_read, rwlock_free},
    {"rwlock, writer, two fast readers", 3, 2, 2, 0, NULL, read_often, write_and_read, rwlock_free},
    {"rwlock, two writers, a reader", 3, 2, 2, 0, NULL, NULL, two_write, rwlock_free},
    {"rwlock, upgrade and writer", 2, 3, 4, 0, NULL, NULL, write_and_upgrade, rwlock_free},
    {"rwlock, upgrade and reader", 2, 3, 4, 0, NULL, read_often, read_and_upgrade, rwlock_free},
    {"rwlock, two upgrade", 2, 3, 4, CASE_ALIKE, NULL, NULL, upgrade, rwlock_free},
    {"rwlock, downgrade and writer", 2, 3, 4, 0, NULL, NULL, downgrade, rwlock_free},
    {"rwlock, a reader leaves", 2, 3, 4, 0, NULL, reads_first, write_or_leave, rwlock_free},
    {"rwlock, a reader leaves, exchanged", 2, 3, 4, CASE_EXCHANGE, NULL, reads_first, write_or_leave, rwlock_free},
    {"rwlock, a dead writer", 3, 2, 3, CASE_DEAD_FIRST, NULL, dies_writing, read_twice_or_mend, rwlock_free},
    {"rwlock, a dead reader", 3, 3, 4, CASE_DEAD_FIRST, NULL, dies_reading, recover_or_write, rwlock_free},
    {"condition, signals outside the lock", 2, 3, 4, CASE_NO_DEATH, NULL, NULL, signal_outside, NULL},
    {"condition, signal", 2, 3, 4, 0, may_lack_news, NULL, signal_one, NULL},
    {"condition, signal for one of two", 3, 2, 2, 0, may_lack_news, NULL, signal_one, NULL},
    {"condition, broadcast", 3, 2, 2, 0, may_lack_news_for_all, NULL, broadcast, NULL},
    {"semaphore, wait and post", 2, 3, 4, 0, may_lack_units, NULL, post_one, units_agree},
    {"semaphore, two wait, two posts", 3, 2, 3, 0, may_lack_units, NULL, post_twice, units_agree},
    {"semaphore, two wait, post of two", 3, 2, 3, 0, may_lack_units, NULL, post_two, units_agree},
    {"event, two wait", 3, 2, 3, 0, manual, NULL, set_once, NULL},
    {"event, automatic, two wait", 3, 2, 3, 0, automatic, NULL, set_twice, NULL},
    {"wait for any", 3, 2, 3, 0, automatic_or_units, NULL, any, NULL},
    {"held, gone when it is given", 2, 2, 3, CASE_NO_DEATH, one_unit, one_is_taken, give_it_away, NULL},
    {"held, gone when it is set", 2, 2, 3, CASE_NO_DEATH, NULL, NULL, set_it_away, NULL},
    {"held, two", 2, 3, 4, CASE_ALIKE, two_units, NULL, hold_both, two_are_there},
    {"held, three, nobody dies", 3, 2, 2, CASE_NO_DEATH, two_units, has_both, hold_some, two_are_there},
    {"held, three", 3, 1, 1, 0, two_units, has_both, hold_some, two_are_there},
    {"held, by the dead", 3, 3, 4, CASE_DEAD_FIRST, two_units, dies_with_both, recover_or_hold, two_are_there},
    {"rwlock, gone when it is left", 2, 3, 4, CASE_NO_DEATH, NULL, reads_first, rwlock_for_something_else, NULL},
    {"rwlock, destroyed under readers", 2, 3, 4, CASE_NO_DEATH, NULL, nearly_often, destroyed_under_readers, NULL},
    {"rwlock, destroyed", 2, 3, 4, CASE_NO_DEATH, NULL, reads_first, destroyed_rwlock, NULL},
    {"condition, destroyed", 2, 3, 4, CASE_NO_DEATH, NULL, NULL, destroyed_condition, NULL},
    {"semaphore, destroyed", 3, 2, 3, CASE_NO_DEATH, NULL, NULL, destroyed_semaphore, NULL},
    {"event, destroyed", 3, 2, 3, CASE_NO_DEATH, NULL, NULL, destroyed_event, NULL},
    {"circle, that never was", 3, 5, 6, CASE_NO_DEATH, NULL, have_one_each, walk_or_go_round, NULL},
    {"once, two", 2, 3, 4, CASE_ALIKE, NULL, NULL, do_once, NULL},
    {"once, three", 3, 2, 3, CASE_ALIKE, NULL, NULL, do_once, NULL},
    {"barrier, two", 2, 3, 4, CASE_ALIKE, parties, join, meet, NULL},
    {"barrier, three", 3, 2, 2, CASE_ALIKE | CASE_NO_DEATH, parties, join, meet, NULL},
    {"barrier, three, the dead are dropped", 3, 1, 1, CASE_ALIKE, parties_drop, join, meet, NULL},
    {0},
};

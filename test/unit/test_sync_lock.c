/* test_sync_lock.c - the objects that somebody holds, by their public contract, in one process: the mutex nested, its owner, the rwlock, once,
 * circles outside sections, and who waits. Other participants are actors (room.h); a dead one is an actor dismissed with what it holds. */
#include "helper.h"
#include "arena.h"
#include "room.h"

static tarn *seg;
static struct room *r;
static struct actor other, third;
static struct tarn_options options;

static int set_up(void **state)
{
    (void)state;
    alarm(60);
    options = tiny(8);
    options.limit = 512 << 10;
    r = room_open("anon:", &options, &seg);
    engage(&other);
    engage(&third);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    dismiss(&other);
    dismiss(&third);
    int e = tarn_set_deadlock(seg, 0);
    if (e == 0 && tarn_recover(seg) < 0)
        print_error("recover: %s\n", tarn_error());
    e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    alarm(0);
    return e;
}

static struct timespec soon_is, later_is;
static const struct timespec *soon(void)
{
    soon_is = from_now(20);
    return &soon_is;
}
static const struct timespec *later(void)
{
    later_is = from_now(60000);
    return &later_is;
}
static const struct timespec past = {0, 0};

#define ACTS(name, expression)                                                                               \
    static long name(void *x)                                                                                \
    {                                                                                                        \
        struct timespec a_moment = from_now(20);                                                             \
        (void)x, (void)a_moment;                                                                             \
        return expression;                                                                                   \
    }
ACTS(lock_it, tarn_mutex_lock(seg, x))
ACTS(try_lock, tarn_mutex_try(seg, x))
ACTS(unlock_it, tarn_mutex_unlock(seg, x))
ACTS(lock_nested, tarn_mutex_lock_nested(seg, x))
ACTS(read_it, tarn_rwlock_read(seg, x))
ACTS(read_try, tarn_rwlock_read_try(seg, x))
ACTS(read_timed, tarn_rwlock_read_timed(seg, x, &a_moment))
ACTS(write_it, tarn_rwlock_write(seg, x))
ACTS(write_try, tarn_rwlock_write_try(seg, x))
ACTS(write_timed, tarn_rwlock_write_timed(seg, x, &a_moment))
ACTS(rw_unlock, tarn_rwlock_unlock(seg, x))
ACTS(downgrade, tarn_rwlock_downgrade(seg, x))
ACTS(upgrade_try, tarn_rwlock_upgrade_try(seg, x))
ACTS(rw_consistent, tarn_rwlock_consistent(seg, x))
ACTS(rw_fini, tarn_rwlock_fini(seg, x))
ACTS(begin_it, tarn_begin(seg))
ACTS(commit_it, tarn_commit(seg))
ACTS(abort_it, tarn_abort(seg))
ACTS(detach_it, tarn_thread_detach(seg))

/* ---- the mutex, nested ---- */

static void nested_is_counted(void **state)
{
    (void)state;
    tarn_mutex *m = &r->mutex[0], *plain = &r->mutex[1];
    assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    assert_int_equal(tarn_mutex_try_nested(seg, m), 0);
    assert_int_equal(tarn_mutex_timed_nested(seg, m, &past), 0);
    assert_int_equal(tarn_mutex_lock(seg, m), -EDEADLK); /* who does not ask for it */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tell(&other, try_lock, m), -EBUSY);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    }
    assert_int_equal(tarn_mutex_unlock(seg, m), -EPERM);
    assert_int_equal(tell(&other, try_lock, m), 0);
    assert_int_equal(tarn_mutex_try_nested(seg, m), -EBUSY);
    assert_int_equal(tarn_mutex_timed_nested(seg, m, soon()), -ETIMEDOUT);
    assert_int_equal(tell(&other, unlock_it, m), 0);
    assert_int_equal(tarn_mutex_lock(seg, plain), 0); /* first plainly, then nested */
    assert_int_equal(tarn_mutex_lock_nested(seg, plain), 0);
    assert_int_equal(tarn_mutex_unlock(seg, plain), 0);
    assert_int_equal(tell(&other, try_lock, plain), -EBUSY);
    assert_int_equal(tarn_mutex_unlock(seg, plain), 0);
    assert_int_equal(tell(&other, try_lock, plain), 0);
    assert_int_equal(tell(&other, unlock_it, plain), 0);
}

static void nested_at_most_1024_times(void **state)
{
    (void)state;
    tarn_mutex *m = &r->mutex[0];
    for (int i = 0; i < 1024; i++)
        assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    assert_int_equal(tarn_mutex_lock_nested(seg, m), -EAGAIN);
    assert_int_equal(tarn_mutex_try_nested(seg, m), -EAGAIN);
    assert_int_equal(tarn_mutex_timed_nested(seg, m, later()), -EAGAIN);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    for (int i = 0; i < 1024; i++) {
        assert_int_equal(tell(&other, try_lock, m), -EBUSY);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    }
    assert_int_equal(tell(&other, try_lock, m), 0);
    assert_int_equal(tell(&other, unlock_it, m), 0);
}

static void nested_in_sections(void **state)
{
    (void)state;
    tarn_mutex *m = &r->mutex[0];
    for (int ends_by_abort = 0; ends_by_abort < 2; ends_by_abort++) {
        /* all of it in the section */
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
        assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
        assert_int_equal(tell(&other, try_lock, m), -EBUSY); /* put off */
        assert_int_equal(ends_by_abort ? tarn_abort(seg) : tarn_commit(seg), 0);
        assert_int_equal(tell(&other, try_lock, m), 0);
        assert_int_equal(tell(&other, unlock_it, m), 0);
        /* taken before it, and taken again in it */
        assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
        assert_int_equal(ends_by_abort ? tarn_abort(seg) : tarn_commit(seg), 0);
        assert_int_equal(tell(&other, try_lock, m), -EBUSY);
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
        assert_int_equal(tell(&other, try_lock, m), 0);
        assert_int_equal(tell(&other, unlock_it, m), 0);
    }
}

static long nest_twice(void *m)
{
    check(tarn_mutex_lock_nested(seg, m) == 0);
    return tarn_mutex_lock_nested(seg, m);
}
static void the_dead_had_nested(void **state)
{
    (void)state;
    tarn_mutex *m = &r->mutex[0];
    assert_int_equal(tell(&other, nest_twice, m), 0);
    dismiss(&other);
    assert_int_equal(tarn_mutex_lock_nested(seg, m), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock_nested(seg, m) >= 0, true);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tell(&third, try_lock, m), -EBUSY);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tell(&third, lock_nested, m), 0);
    assert_int_equal(tell(&third, unlock_it, m), 0);
    engage(&other);
}

struct find_self {
    uint32_t tid, id;
};
static int is_self(const struct tarn_participant *p, void *arg)
{
    struct find_self *f = arg;
    if (p->tid == f->tid)
        f->id = p->id;
    return 0;
}
static uint32_t my_id(void)
{
    struct find_self f = {.tid = (uint32_t)gettid()};
    check(tarn_thread_attach(seg) == 0 && tarn_participants(seg, is_self, &f) == 0 && f.id);
    return f.id;
}
static long other_id(void *unused)
{
    (void)unused;
    return my_id();
}

static void the_owner_is_told(void **state)
{
    (void)state;
    tarn_mutex *m = &r->mutex[0], on_stack = {0, 0};
    uint32_t id = 77;
    assert_int_equal(tarn_mutex_owner(seg, m, &id), 0);
    assert_int_equal(id, 0);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    assert_int_equal(tarn_mutex_owner(seg, m, &id), 0);
    assert_int_equal(id, my_id());
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tell(&other, lock_it, m), 0);
    long its = tell(&other, other_id, NULL);
    assert_int_equal(tarn_mutex_owner(seg, m, &id), 0);
    assert_int_equal(id, its);
    assert_int_not_equal(id, my_id());
    dismiss(&other);
    assert_int_equal(tarn_mutex_owner(seg, m, &id), 0);
    assert_int_equal(id, its); /* dead or alive */
    assert_int_equal(tarn_recover(seg), 1);
    assert_int_equal(tarn_mutex_owner(seg, m, &id), 0);
    assert_int_equal(id, 0); /* dirty, and nobody's */
    id = 77;
    assert_int_equal(tarn_mutex_owner(seg, &on_stack, &id), -EINVAL);
    assert_int_equal(tarn_mutex_owner(seg, (tarn_mutex *)(void *)((char *)m + 4), &id), -EINVAL);
    assert_int_equal(id, 77);
    engage(&other);
}

/* ---- rwlock ---- */

static struct tarn_rwlock_state state_of(const tarn_rwlock *w)
{
    struct tarn_rwlock_state s = {77, 77, 77, 77};
    assert_int_equal(tarn_rwlock_state(seg, w, &s), 0);
    return s;
}
#define assert_state(w, is_written, are_reading, is_dirty)                                                   \
    do {                                                                                                     \
        struct tarn_rwlock_state s_ = state_of(w);                                                           \
        assert_int_equal(s_.writer != 0, is_written);                                                        \
        assert_int_equal(s_.readers, are_reading);                                                           \
        assert_int_equal(s_.reader != 0, (are_reading) != 0);                                                \
        assert_int_equal(s_.dirty, is_dirty);                                                                \
    } while (0)

static void many_read_or_one_writes(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    assert_state(w, false, 0u, 0);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(state_of(w).reader, my_id());
    assert_int_equal(tell(&other, read_it, w), 0);
    assert_int_equal(tell(&third, read_try, w), 0);
    assert_state(w, false, 3u, 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), -EPERM);
    assert_int_equal(tell(&third, write_try, w), -EBUSY);
    assert_int_equal(tell(&third, write_timed, w), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&third, write_try, w), -EBUSY);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_int_equal(tell(&third, write_try, w), 0);
    assert_state(w, true, 0u, 0);
    assert_int_equal(state_of(w).writer, tell(&third, other_id, NULL));
    assert_int_equal(tarn_rwlock_read_try(seg, w), -EBUSY);
    assert_int_equal(tarn_rwlock_read_timed(seg, w, soon()), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_read_timed(seg, w, &past), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_write_try(seg, w), -EBUSY);
    assert_int_equal(tarn_rwlock_write_timed(seg, w, &past), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_unlock(seg, w), -EPERM);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_read_timed(seg, w, &past), 0); /* nothing to wait for */
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tarn_rwlock_write_timed(seg, w, &past), 0);
    assert_int_equal(tell(&other, read_timed, w), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_state(w, false, 0u, 0);
}

static void ones_own_rwlock(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    assert_int_equal(tarn_rwlock_write(seg, w), 0);
    assert_int_equal(tarn_rwlock_write(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_write_try(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_write_timed(seg, w, later()), -EDEADLK);
    assert_int_equal(tarn_rwlock_read(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_read_try(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_read_timed(seg, w, later()), -EDEADLK);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), -EPERM);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tarn_rwlock_write(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_write_try(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_write_timed(seg, w, later()), -EDEADLK);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&other, write_try, w), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
}

static void reads_are_counted(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    for (int i = 0; i < 1024; i++)
        assert_int_equal(i % 2 ? tarn_rwlock_read_try(seg, w) : tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tarn_rwlock_read(seg, w), -EAGAIN);
    assert_int_equal(tarn_rwlock_read_try(seg, w), -EAGAIN);
    assert_int_equal(tarn_rwlock_read_timed(seg, w, later()), -EAGAIN);
    assert_state(w, false, 1u, 0);
    for (int i = 0; i < 1023; i++)
        assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&other, write_try, w), -EBUSY);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), -EPERM);
    assert_int_equal(tell(&other, write_try, w), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
}

static void down_and_up(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    assert_int_equal(tarn_rwlock_downgrade(seg, w), -EPERM);
    assert_int_equal(tarn_rwlock_upgrade_try(seg, w), -EPERM);
    assert_int_equal(tarn_rwlock_write(seg, w), 0);
    assert_int_equal(tarn_rwlock_upgrade_try(seg, w), -EPERM);
    ask(&other, read_it, w);
    ask(&third, write_it, w);
    await_waiting(seg, w, 2);
    assert_int_equal(tarn_rwlock_downgrade(seg, w), 0);
    assert_int_equal(tarn_rwlock_downgrade(seg, w), -EPERM);
    assert_int_equal(answer(&other), 0); /* who waits to read comes in; */
    assert_false(answered(&third));      /* who waits to write does not */
    assert_state(w, false, 2u, 0);
    assert_int_equal(tarn_rwlock_upgrade_try(seg, w), -EBUSY);
    assert_state(w, false, 2u, 0); /* and it reads on */
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_false(answered(&third));
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(answer(&third), 0);
    assert_int_equal(tell(&third, downgrade, w), 0);
    assert_int_equal(tell(&third, upgrade_try, w), 0);
    assert_state(w, true, 0u, 0);
    assert_int_equal(tarn_rwlock_read_try(seg, w), -EBUSY);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_read(seg, w), 0); /* never written since: the quick kind of reading */
    assert_int_equal(tarn_rwlock_upgrade_try(seg, w), 0);
    assert_int_equal(tell(&other, read_try, w), -EBUSY);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_state(w, false, 0u, 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_rwlock_write(seg, w), 0);
    assert_int_equal(tarn_rwlock_downgrade(seg, w), -EPERM); /* a section is open */
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tell(&other, write_try, w), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
}

static void a_dead_reader_reads_no_more(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    for (int round = 0; round < 3; round++) {
        assert_int_equal(tell(&other, read_it, w), 0);
        if (round == 2)
            assert_int_equal(tell(&other, read_it, w), 0);
        if (round) {
            ask(&third, write_it, w); /* waits while he dies */
            await_waiting(seg, w, 1);
            dismiss(&other);
            assert_int_equal(answer(&third), 0); /* and is told nothing */
            assert_int_equal(tell(&third, rw_unlock, w), 0);
        } else {
            dismiss(&other);
            assert_int_equal(tarn_rwlock_write(seg, w), 0);
            assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
        }
        assert_state(w, false, 0u, 0);
        engage(&other);
    }
}

static void a_dead_writer_is_told(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    assert_int_equal(tell(&other, write_it, w), 0);
    ask(&third, read_it, w);
    await_waiting(seg, w, 1);
    dismiss(&other);
    engage(&other);
    assert_int_equal(answer(&third), TARN_RECOVERED);
    assert_int_equal(tell(&third, rw_consistent, w), -EPERM); /* a reader mends nothing */
    assert_state(w, false, 1u, 1);
    assert_int_equal(tarn_rwlock_read_try(seg, w), TARN_RECOVERED);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_write_try(seg, w), TARN_RECOVERED);
    assert_state(w, true, 0u, 1);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&third, read_timed, w), TARN_RECOVERED);
    assert_int_equal(tell(&third, upgrade_try, w), TARN_RECOVERED);
    assert_int_equal(tell(&third, downgrade, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_consistent(seg, w), -EPERM);
    assert_int_equal(tarn_rwlock_write(seg, w), TARN_RECOVERED);
    assert_int_equal(tarn_rwlock_consistent(seg, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_state(w, false, 0u, 0);
    assert_int_equal(tell(&third, read_it, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_write(seg, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
}

static void rwlock_in_sections(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    for (int aborts = 0; aborts < 2; aborts++)
        for (int writes = 0; writes < 2; writes++) {
            long (*take)(void *) = writes ? write_it : read_it;
            assert_int_equal(tell(&other, begin_it, NULL), 0);
            assert_int_equal(tell(&other, take, w), 0);
            assert_int_equal(tell(&other, rw_unlock, w), 0);
            assert_int_equal(tarn_rwlock_write_try(seg, w), -EBUSY); /* put off: two-phase */
            assert_int_equal(tarn_rwlock_read_try(seg, w), writes ? -EBUSY : 0);
            if (!writes)
                assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
            ask(&third, write_it, w);
            await_waiting(seg, w, 1);
            assert_int_equal(tell(&other, aborts ? abort_it : commit_it, NULL), 0);
            assert_int_equal(answer(&third), 0);
            assert_int_equal(tell(&third, rw_unlock, w), 0);
            assert_state(w, false, 0u, 0);
            assert_int_equal(tell(&other, begin_it, NULL), 0); /* not unlocked: stays held */
            assert_int_equal(tell(&other, take, w), 0);
            assert_int_equal(tell(&other, aborts ? abort_it : commit_it, NULL), 0);
            assert_int_equal(tarn_rwlock_write_try(seg, w), -EBUSY);
            assert_int_equal(tell(&other, rw_unlock, w), 0);
            assert_int_equal(tarn_rwlock_write_try(seg, w), 0);
            assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
        }
    /* again after a put-off unlock, in the same section */
    assert_int_equal(tarn_begin(seg), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tarn_rwlock_read(seg, w), 0);
        assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    }
    assert_int_equal(tell(&other, write_try, w), -EBUSY);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tell(&other, write_try, w), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    /* taken before it, given up in it */
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&other, write_try, w), -EBUSY);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tell(&other, write_try, w), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_state(w, false, 0u, 0);
}

/* A writer's death in his section: what he wrote is undone, and nobody is told. */
static long write_in_section(void *arg)
{
    tarn_rwlock *w = arg;
    uint64_t two = 2;
    check(tarn_begin(seg) == 0 && tarn_rwlock_write(seg, w) == 0);
    check(tarn_write(seg, &r->word[0], &two, sizeof two) == 0);
    return tarn_rwlock_unlock(seg, w);
}
static long dirty_in_section(void *arg) /* taken before it: that is not undone */
{
    check(tarn_rwlock_write(seg, arg) >= 0);
    return tarn_begin(seg);
}
static long mend_in_section(void *arg)
{
    check(tarn_begin(seg) == 0 && tarn_rwlock_write(seg, arg) == TARN_RECOVERED);
    return tarn_rwlock_consistent(seg, arg);
}
static void a_writer_dies_in_his_section(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    r->word[0] = 1;
    assert_int_equal(tell(&other, write_in_section, w), 0);
    dismiss(&other);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(r->word[0], 1);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    engage(&other);
    assert_int_equal(tell(&other, dirty_in_section, w), 0);
    dismiss(&other);
    assert_int_equal(tarn_rwlock_read(seg, w), TARN_RECOVERED);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    engage(&other);
    assert_int_equal(tell(&other, mend_in_section, w), 0); /* and dies before the commit */
    dismiss(&other);
    assert_int_equal(tarn_rwlock_write(seg, w), TARN_RECOVERED);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&third, mend_in_section, w), 0);
    assert_int_equal(tell(&third, abort_it, NULL), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_write(seg, w), TARN_RECOVERED);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&third, mend_in_section, w), 0);
    assert_int_equal(tell(&third, commit_it, NULL), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_write(seg, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    engage(&other);
}

static void who_is_preferred(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0], *plain = &r->rwlock[1];
    assert_int_equal(tarn_rwlock_init(seg, w, 2), -EINVAL);
    assert_int_equal(tarn_rwlock_init(seg, w, TARN_RWLOCK_WRITERS), 0);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    ask(&other, write_it, w);
    await_waiting(seg, w, 1);
    assert_int_equal(tell(&third, read_try, w), -EBUSY);
    assert_int_equal(tell(&third, read_timed, w), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);             /* who reads already is no new one */
    assert_int_equal(tarn_rwlock_upgrade_try(seg, w), -EBUSY); /* one waits to write */
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_false(answered(&other));
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_int_equal(tell(&third, read_try, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    /* a writer who gave up keeps nobody out */
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tell(&other, write_timed, w), -ETIMEDOUT);
    assert_int_equal(tell(&third, read_it, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    /* nor does one who died: here, whose thread gave up and left */
    assert_int_equal(tell(&other, detach_it, NULL), 0);
    assert_int_equal(tell(&third, read_it, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    /* the default: readers come in */
    assert_int_equal(tarn_rwlock_read(seg, plain), 0);
    ask(&other, write_it, plain);
    await_waiting(seg, plain, 1);
    assert_int_equal(tell(&third, read_try, plain), 0);
    assert_int_equal(tell(&third, rw_unlock, plain), 0);
    assert_false(answered(&other));
    assert_int_equal(tarn_rwlock_upgrade_try(seg, plain), -EBUSY); /* one waits to write, of this kind too */
    assert_int_equal(tarn_rwlock_unlock(seg, plain), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, rw_unlock, plain), 0);
}

/* Who waits is told at once; and how a holder goes on. */
static void destroyed_rwlocks(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    for (int way = 0; way < 3; way++) { /* read behind a writer, write behind a writer, write behind a reader */
        assert_int_equal(way < 2 ? tarn_rwlock_write(seg, w) : tarn_rwlock_read(seg, w), 0);
        ask(&other, way ? write_it : read_it, w);
        await_waiting(seg, w, 1);
        assert_int_equal(tell(&third, rw_fini, w), 0);
        assert_int_equal(tell(&third, read_it, w), -EIDRM); /* who comes is told at once */
        assert_int_equal(tell(&third, write_it, w), -EIDRM);
        assert_int_equal(tell(&third, read_try, w), -EIDRM);
        assert_int_equal(tell(&third, write_try, w), -EIDRM);
        assert_int_equal(tell(&third, read_timed, w), -EIDRM);
        assert_int_equal(tell(&third, write_timed, w), -EIDRM);
        assert_int_equal(answer(&other), -EIDRM); /* who waits need not wait for the holder's end */
        int e = tarn_rwlock_unlock(seg, w);       /* whatever it says, the thread holds it no more */
        assert_true(e == 0 || e == -EIDRM);
        assert_int_equal(tarn_rwlock_unlock(seg, w), -EPERM);
        assert_int_equal(tell(&other, rw_unlock, w), -EPERM);
        assert_int_equal(tarn_rwlock_init(seg, w, 0), 0);
        assert_int_equal(tell(&other, write_try, w), 0);
        assert_int_equal(tell(&other, rw_unlock, w), 0);
    }
}

/* ---- quick readers ---- */

static volatile int stop;
static volatile uint64_t pair[2]; /* what the lock guards: equal, unless somebody writes */
static uint64_t read_count[4];
static long read_much(void *arg)
{
    uint64_t n = 0, *count = arg;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        check(tarn_rwlock_read(seg, &r->rwlock[0]) == 0);
        uint64_t a = pair[0], b = pair[1];
        check(a == b);
        if (n % 16 == 0) {
            check(tarn_rwlock_read(seg, &r->rwlock[0]) == 0);
            check(pair[0] == a && pair[1] == a);
            check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
        }
        check(pair[0] == a);
        check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
        n++;
    }
    return (long)(*count = n);
}
static void write_once(void)
{
    assert_int_equal(tarn_rwlock_write(seg, &r->rwlock[0]), 0);
    uint64_t n = pair[0];
    assert_int_equal(n, pair[1]);
    pair[0] = n + 1;
    for (int i = 0; i < (int)(n % 64); i++)
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    pair[1] = n + 1;
    assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
}
static void readers_in_a_row_against_a_writer(void **state)
{
    (void)state;
    uint64_t writes = SANITIZED ? 2000 : 20000;
    struct timespec end = from_now(8000), now;
    pair[0] = pair[1] = 0;
    stop = 0;
    for (int flags = 0; flags < 2; flags++) {
        uint64_t done = 0;
        assert_int_equal(tarn_rwlock_init(seg, &r->rwlock[0], flags ? TARN_RWLOCK_WRITERS : 0), 0);
        reach(&stop, 0);
        ask(&other, read_much, &read_count[0]);
        ask(&third, read_much, &read_count[1]);
        for (now = from_now(0); done < writes && now.tv_sec < end.tv_sec; now = from_now(0)) {
            write_once();
            if (++done % 7 == 0) /* a row of reads between */
                usleep(done % 49 == 0 ? 300 : 1);
        }
        stop = 1;
        uint64_t n = (uint64_t)answer(&other) + (uint64_t)answer(&third);
        print_message("          flags %d: %llu writes, %llu reads\n", flags, (unsigned long long)done,
                      (unsigned long long)n);
        assert_true(n > 1000 && done > 100);
        end = from_now(8000);
    }
    assert_int_equal(pair[0], pair[1]);
    assert_state(&r->rwlock[0], false, 0u, 0);
}

/* One thread alone: 200,000 reads, a writer from another thread after each so many, and exact counts of who reads. */
static void counts_stay_exact(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    for (int i = 0; i < 200000; i++) {
        assert_int_equal(tarn_rwlock_read(seg, w), 0);
        if (i % 1000 == 0)
            assert_state(w, false, 1u, 0);
        if (i % 5000 == 4999)
            assert_int_equal(tell(&other, write_try, w), -EBUSY);
        assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
        if (i % 5000 == 2500) {
            assert_int_equal(tell(&other, write_try, w), 0);
            assert_int_equal(tarn_rwlock_read_try(seg, w), -EBUSY);
            assert_int_equal(tell(&other, rw_unlock, w), 0);
        }
    }
    assert_state(w, false, 0u, 0);
}

/* More locks read at a time than a record has room for. */
static void many_rwlocks_at_once(void **state)
{
    (void)state;
    enum { MANY = 400 };
    tarn_rwlock *all;
    (void)state;
    struct {
        tarn_rwlock w[MANY];
    } * many;
    struct tarn_type type = {"many", sizeof *many, 0};
    void *at;
    assert_int_equal(tarn_find_or_make(seg, "many", &type, &at), 0);
    many = at;
    all = many->w;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            assert_int_equal((i + round) % 3 ? tarn_rwlock_read(seg, &all[i]) : tarn_rwlock_write(seg, &all[i]), 0);
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(tell(&other, write_try, &all[i]), -EBUSY);
            assert_int_equal(tell(&other, read_try, &all[i]), (i + round) % 3 ? 0 : -EBUSY);
            if ((i + round) % 3)
                assert_int_equal(tell(&other, rw_unlock, &all[i]), 0);
        }
        for (int i = MANY - 1; i >= 0; i--) {
            assert_int_equal(tarn_rwlock_unlock(seg, &all[i]), 0);
            assert_int_equal(tell(&other, write_try, &all[i]), 0);
            assert_int_equal(tell(&other, rw_unlock, &all[i]), 0);
        }
    }
}

/* ---- once ---- */

static volatile int runs, may_end;
static int count_run(tarn *s, void *arg)
{
    check(s == seg);
    runs++;
    return arg ? *(int *)arg : 0;
}
static int slow_run(tarn *s, void *arg)
{
    (void)s, (void)arg;
    reach(&runs, runs + 1);
    await(&may_end, 1);
    return 0;
}
static int within(tarn *s, void *arg)
{
    runs++;
    return (tarn_once_run)(s, arg, count_run, NULL) == -EDEADLK ? 5 : -EIO;
}
static int die_in_it(tarn *s, void *arg)
{
    (void)s, (void)arg;
    runs++;
    pthread_exit(NULL);
}
static long run_slowly(void *o)
{
    return tarn_once_run(seg, (tarn_once *)o, slow_run, NULL);
}
static long run_counted(void *o)
{
    return tarn_once_run(seg, (tarn_once *)o, count_run, NULL);
}
static void *run_and_die(void *o)
{
    return (void *)(long)tarn_once_run(seg, (tarn_once *)o, die_in_it, NULL);
}

static void once_is_once(void **state)
{
    (void)state;
    int fails = -EXDEV;
    runs = may_end = 0;
    assert_int_equal(tarn_once_run(seg, &r->once[0], count_run, &fails), -EXDEV);
    assert_int_equal(tarn_once_run(seg, &r->once[0], count_run, &fails), -EXDEV);
    assert_int_equal(runs, 2);
    assert_int_equal(tarn_once_run(seg, &r->once[0], count_run, NULL), 0);
    assert_int_equal(tarn_once_run(seg, &r->once[0], count_run, &fails), 0);
    assert_int_equal((tarn_once_run)(seg, &r->once[0], count_run, &fails), 0);
    assert_int_equal(tell(&other, run_counted, &r->once[0]), 0);
    assert_int_equal(runs, 3);
    runs = 0; /* the others wait */
    ask(&other, run_slowly, &r->once[1]);
    await(&runs, 1);
    ask(&third, run_counted, &r->once[1]);
    usleep(20000);
    assert_false(answered(&third));
    reach(&may_end, 1);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(answer(&third), 0);
    assert_int_equal(runs, 1);
    runs = 0; /* from within */
    assert_true(tarn_once_run(seg, &r->once[2], within, &r->once[2]) >= 0);
    assert_int_equal(tarn_once_run(seg, &r->once[2], count_run, NULL), 0);
    assert_int_equal(runs, 1);
    runs = 0; /* he dies in it */
    in_thread(run_and_die, &r->once[3]);
    assert_int_equal(runs, 1);
    ask(&other, run_counted, &r->once[3]);
    assert_int_equal(tarn_once_run(seg, &r->once[3], count_run, NULL), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(runs, 2);
    assert_int_equal(tarn_once_run(seg, &r->once[3], count_run, NULL), 0);
    assert_int_equal(runs, 2);
}

/* ---- circles, and who waits ---- */

struct seen {
    struct tarn_waiting all[16];
    int n, stop_at;
};
static int see(const struct tarn_waiting *w, void *arg)
{
    struct seen *s = arg;
    if (s->n < 16)
        s->all[s->n++] = *w;
    return s->stop_at && s->n >= s->stop_at ? -7 : 0;
}

static void circles_outside_sections(void **state)
{
    (void)state;
    tarn_mutex *a = &r->mutex[0], *b = &r->mutex[1];
    struct seen s = {.n = 0};
    assert_int_equal(tarn_set_deadlock(seg, 1), 0);
    assert_int_equal(tarn_set_deadlock(seg, 2), -EINVAL);
    assert_int_equal(tarn_set_deadlock(seg, -1), -EINVAL);
    assert_int_equal(tarn_mutex_lock(seg, a), 0);
    assert_int_equal(tell(&other, lock_it, b), 0);
    ask(&other, lock_it, a);
    await_waiting(seg, a, 1);
    assert_int_equal(tarn_who_waits(seg, see, &s), 0);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.all[0].holder, my_id());
    assert_int_equal(s.all[0].pid, getpid());
    assert_int_equal(s.all[0].ref, tarn_ref_of(seg, a));
    assert_string_equal(s.all[0].what, "mutex or rwlock");
    assert_int_equal(s.all[0].circle, 0);
    assert_int_equal(s.all[0].timed, 0);
    assert_int_equal(s.all[0].dead, 0);
    assert_int_equal(tarn_mutex_lock(seg, b), -EDEADLK);
    assert_int_equal(tarn_mutex_lock_nested(seg, b), -EDEADLK);
    int e = tarn_mutex_timed(seg, b, soon()); /* who gives up by himself may be told at once, too */
    assert_true(e == -EDEADLK || e == -ETIMEDOUT);
    assert_int_equal(tarn_mutex_unlock(seg, a), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, unlock_it, a), 0);
    assert_int_equal(tell(&other, unlock_it, b), 0);
    /* through rwlocks: read by one, and written by the other */
    tarn_rwlock *v = &r->rwlock[0], *w = &r->rwlock[1];
    assert_int_equal(tarn_rwlock_write(seg, v), 0);
    assert_int_equal(tell(&other, write_it, w), 0);
    ask(&other, read_it, v);
    await_waiting(seg, v, 1);
    assert_int_equal(tarn_rwlock_write(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_read(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_unlock(seg, v), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, rw_unlock, v), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_int_equal(tarn_rwlock_read(seg, v), 0);
    assert_int_equal(tell(&other, read_it, w), 0);
    ask(&other, write_it, v);
    await_waiting(seg, v, 1);
    assert_int_equal(tarn_rwlock_write(seg, w), -EDEADLK);
    assert_int_equal(tarn_rwlock_unlock(seg, v), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, rw_unlock, v), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_int_equal(waiting_for(seg, v) + waiting_for(seg, w) + waiting_for(seg, a), 0);
}

static void who_waits_is_told(void **state)
{
    (void)state;
    tarn_rwlock *w = &r->rwlock[0];
    struct seen s = {.n = 0};
    assert_int_equal(tarn_who_waits(seg, see, &s), 0);
    assert_int_equal(s.n, 0);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tell(&third, read_it, w), 0);
    ask(&other, write_it, w);
    await_waiting(seg, w, 1);
    assert_int_equal(tarn_who_waits(seg, see, &s), 0);
    assert_int_equal(s.n, 2); /* one line for each of the readers */
    long third_id = tell(&third, other_id, NULL);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(s.all[i].what, "readers");
        assert_int_equal(s.all[i].ref, tarn_ref_of(seg, w));
        assert_true(s.all[i].holder == my_id() || s.all[i].holder == third_id);
    }
    assert_int_not_equal(s.all[0].holder, s.all[1].holder);
    s = (struct seen){.stop_at = 1};
    assert_int_equal(tarn_who_waits(seg, see, &s), -7);
    assert_int_equal(s.n, 1);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tell(&third, rw_unlock, w), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    s = (struct seen){.n = 0};
    assert_int_equal(tarn_who_waits(seg, see, &s), 0);
    assert_int_equal(s.n, 0);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(nested_is_counted),
        with_segment(nested_at_most_1024_times),
        with_segment(nested_in_sections),
        with_segment(the_dead_had_nested),
        with_segment(the_owner_is_told),
        with_segment(many_read_or_one_writes),
        with_segment(ones_own_rwlock),
        with_segment(reads_are_counted),
        with_segment(down_and_up),
        with_segment(a_dead_reader_reads_no_more),
        with_segment(a_dead_writer_is_told),
        with_segment(rwlock_in_sections),
        with_segment(a_writer_dies_in_his_section),
        with_segment(who_is_preferred),
        with_segment(destroyed_rwlocks),
        with_segment(readers_in_a_row_against_a_writer),
        with_segment(counts_stay_exact),
        with_segment(many_rwlocks_at_once),
        with_segment(once_is_once),
        with_segment(circles_outside_sections),
        with_segment(who_waits_is_told),
    };
    if (getenv("ONLY"))
        cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests_name("sync_lock", tests, NULL, NULL);
}

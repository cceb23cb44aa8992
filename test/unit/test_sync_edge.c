/* test_sync_edge.c - the edges of what is walked over and of what is allowed: behind the last record nothing is a record, whatever lies there; and the
 * greatest numbers are good ones. In one process, with a look into the segment. */
#include "helper.h"
#include "arena.h"
#include "room.h"

#include "participant/claim.h"
#include "sync/sync.h"

static tarn *seg;
static struct room *r;
static struct actor other;

static int set_up(void **state)
{
    (void)state;
    struct tarn_options options =
        tiny(7); /* and the spare one: eight records, behind which the zone's last page has room for a ninth */
    alarm(60);
    mutex_cap_off = true;
    r = room_open("anon:", &options, &seg);
    engage(&other);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    dismiss(&other);
    int e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    return e;
}

/* What lies behind the last record looks like one: of somebody alive, or dead, who has, reads and waits for things. */
static struct record *ninth(bool dead)
{
    uint32_t n = seg->geometry.records;
    struct record *q = record_at(seg, n);
    uint64_t *slot = record_slots(q);
    assert_int_equal(n, 8);
    assert_true((uint64_t)((char *)(q + 1) - seg->base) + seg->geometry.slots * 8 <= seg->geometry.zone[ZONE_NAME]);
    q->state = RECORD_TAKEN;
    q->generation = 1;
    *liveness_of(seg, n) = dead ? 0x40000000u : (uint32_t)gettid();
    q->slots_used = 5;
    slot[0] = tarn_ref_of(seg, &r->rwlock[0]) | SLOT_READ;
    slot[1] = tarn_ref_of(seg, &r->rwlock[1]) | SLOT_WRITE | SLOT_WANT;
    slot[4] = tarn_ref_of(seg, &r->rwlock[2]) | SLOT_WRITE;
    slot[2] = tarn_ref_of(seg, &r->held[0]) | SLOT_UNITS | SLOT_NUMBER_ONE;
    slot[3] = tarn_ref_of(seg, &r->barrier[0]) | SLOT_MEMBER;
    q->epoch = 1;
    q->waits = tarn_ref_of(seg, &r->semaphore[0]) | WAITS_ACT;
    return q;
}

static int count_one(const struct tarn_participant *p, void *n)
{
    (void)p;
    ++*(int *)n;
    return 0;
}

static void nobody_is_behind_the_last(void **state)
{
    (void)state;
    for (int dead = 0; dead < 2; dead++) {
        struct tarn_rwlock_state rwlock;
        struct tarn_barrier_state barrier;
        struct tarn_stat stat;
        uint32_t available, units;
        int n = 0;
        assert_int_equal(tarn_thread_attach(seg), 0);
        ninth(dead);
        assert_int_equal(tarn_participants(seg, count_one, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(tarn_stat(seg, &stat), 0);
        assert_int_equal(stat.participants, 1);
        assert_int_equal(stat.dead, 0);
        assert_false(record_any_dead(seg));
        assert_int_equal(tarn_recover(seg), 0);
        assert_int_equal(waiting_for(seg, &r->semaphore[0]), 0);
        assert_false(slot_points_into(seg, tarn_ref_of(seg, &r->rwlock[0]), sizeof r->rwlock[0]));
        participants_of(seg)->epoch += 10;
        assert_true(epoch_advance(self_last) >= 10); /* its pin holds nothing back */

        assert_int_equal(tarn_rwlock_state(seg, &r->rwlock[0], &rwlock), 0);
        assert_int_equal(rwlock.readers, 0);
        r->rwlock[2].owner = ID_MAKE(1, 8);
        assert_int_equal(tarn_rwlock_state(seg, &r->rwlock[2], &rwlock), 0);
        assert_int_equal(rwlock.writer, 0);
        r->rwlock[0].slow = 1ull << 8;
        assert_int_equal(tarn_rwlock_write_try(seg, &r->rwlock[0]), 0);
        assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
        assert_int_equal(tarn_rwlock_read(seg, &r->rwlock[1]), 0);
        assert_int_equal(tarn_rwlock_upgrade_try(seg, &r->rwlock[1]), 0);
        assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[1]), 0);

        assert_int_equal(tarn_held_set(seg, &r->held[0], 2), 0);
        assert_int_equal(tarn_held_state(seg, &r->held[0], &available, &units), 0);
        assert_int_equal(available, 2);
        assert_int_equal(tarn_held_try(seg, &r->held[0], 2), 0);
        assert_int_equal(tarn_held_give(seg, &r->held[0], 2), 0);

        assert_int_equal(tarn_barrier_init(seg, &r->barrier[0], 1, 0), 0);
        assert_int_equal(tarn_barrier_join(seg, &r->barrier[0]), 0);
        assert_int_equal(tarn_barrier_state(seg, &r->barrier[0], &barrier), 0);
        assert_int_equal(barrier.members, 1);
        assert_int_equal(tarn_barrier_wait(seg, &r->barrier[0]), TARN_LAST);
        assert_int_equal(tarn_barrier_leave(seg, &r->barrier[0]), 0);
    }
}

static int holders_of(const struct tarn_waiting *w, void *n)
{
    *(int *)n += w->holder != 0;
    return 0;
}
static void nor_waited_for(void **state)
{
    (void)state;
    uint64_t kinds[] = {
        WAITS_OWNER | tarn_ref_of(seg, &r->mutex[0]), WAITS_READERS | tarn_ref_of(seg, &r->rwlock[0]),
        WAITS_UNITS | tarn_ref_of(seg, &r->held[0]), WAITS_MEMBERS | tarn_ref_of(seg, &r->barrier[0])};
    assert_int_equal(tarn_thread_attach(seg), 0);
    ninth(false);
    r->mutex[0].owner = ID_MAKE(1, 8);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int n = 0;
        self_last->record->waits = kinds[i];
        assert_int_equal(tarn_who_waits(seg, holders_of, &n), 0);
        assert_int_equal(n, 0);
        self_last->record->waits = 0;
    }
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), TARN_RECOVERED); /* nobody can ever free it */
    assert_int_equal(tarn_mutex_consistent(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
}

/* The first byte behind what is there: to touch it would be a SIGBUS. The quick ways, too, of one who takes part. */
static void nothing_is_behind_memory(void **state)
{
    (void)state;
    char *end = seg->base + seg->geometry.zone[ZONE_DATA] + seg->backed;
    assert_int_equal(tarn_thread_attach(seg), 0);
    assert_true(seg->backed < seg->geometry.limit);
    for (int before = 0; before < 16; before += 8) { /* wholly behind it, or only its end */
        void *x = end - before;
        assert_int_equal(tarn_rwlock_read(seg, x), -EINVAL);
        assert_int_equal(tarn_rwlock_write(seg, x), -EINVAL);
        assert_int_equal(tarn_event_set(seg, x), -EINVAL);
        assert_int_equal(tarn_held_try(seg, x, 1), -EINVAL);
    }
    assert_int_equal(tarn_mutex_lock(seg, (void *)end), -EINVAL);
    assert_int_equal(tarn_semaphore_post(seg, (void *)end), -EINVAL);
    assert_int_equal(tarn_semaphore_wait(seg, (void *)end), -EINVAL);
    assert_int_equal(tarn_condition_signal(seg, (void *)end), -EINVAL);
    assert_int_equal(tarn_condition_broadcast(seg, (void *)end), -EINVAL);
}

/* ---- numbers ---- */

static volatile sig_atomic_t heard;
static void hear(int number)
{
    heard = number;
}
static long set_it(void *v)
{
    return tarn_event_set(seg, v);
}
static void the_first_signal_and_the_last(void **state)
{
    (void)state;
    const int numbers[] = {1, 64};
    tarn_event *v = &r->event[0];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int closed = 0; closed < 2; closed++) { /* also where the process is held by descriptor 0 */
            struct sigaction act_on = {.sa_handler = hear}, before;
            int kept = closed ? fcntl(0, F_DUPFD_CLOEXEC, 3) : -1;
            assert_int_equal(sigaction(numbers[i], &act_on, &before), 0);
            heard = 0;
            if (kept >= 0)
                close(0);
            int e = tarn_event_signal(seg, v, numbers[i]), f = tarn_event_set(seg, v);
            if (kept >= 0) {
                dup2(kept, 0);
                close(kept);
            }
            assert_int_equal(e, 0);
            assert_int_equal(f, 0);
            for (int n = 0; n < 1000 && !heard; n++)
                usleep(1000);
            assert_int_equal(heard, numbers[i]);
            assert_int_equal(tarn_event_reset(seg, v), 0);
            assert_int_equal(tarn_event_signal(seg, v, 0), 0);
            assert_int_equal(sigaction(numbers[i], &before, NULL), 0);
        }
    assert_int_equal(tell(&other, set_it, v), 0);
}

static void as_many_units_as_may_be(void **state)
{
    (void)state;
    tarn_semaphore *m = &r->semaphore[0];
    uint32_t units;
    assert_int_equal(tarn_semaphore_post_many(seg, m, TARN_SEMAPHORE_MOST), 0);
    assert_int_equal(tarn_semaphore_post(seg, m), -EOVERFLOW);
    assert_int_equal(tarn_semaphore_wait(seg, m), 0);
    assert_int_equal(tarn_semaphore_post(seg, m), 0);
    memset(m, 0xff, sizeof *m);
    assert_int_equal(tarn_semaphore_init(seg, m, TARN_SEMAPHORE_MOST), 0);
    assert_int_equal(tarn_semaphore_units(seg, m, &units), 0);
    assert_int_equal(units, TARN_SEMAPHORE_MOST);
    assert_int_equal(tarn_semaphore_try(seg, m), 0);
    assert_int_equal(tarn_held_set(seg, &r->held[0], TARN_SEMAPHORE_MOST), 0);
    assert_int_equal(tarn_held_try(seg, &r->held[0], 1023), 0); /* the most at a time, and of one slot */
    assert_int_equal(tarn_held_try(seg, &r->held[0], 1), 0);
    assert_int_equal(tarn_held_give(seg, &r->held[0], 1024), 0);
    assert_int_equal(tarn_held_state(seg, &r->held[0], &units, &units), 0);
    assert_int_equal(units, TARN_SEMAPHORE_MOST);
}

/* `over` where more are taken than there are, and only then. */
static void all_units_are_not_too_many(void **state)
{
    (void)state;
    tarn_held *h = &r->held[0];
    assert_int_equal(tarn_held_set(seg, h, 2), 0);
    assert_int_equal(tarn_held_try(seg, h, 2), 0);
    assert_int_equal(tarn_held_set(seg, h, 2), 0);
    assert_int_equal(h->over, 0);
    assert_int_equal(tarn_held_set(seg, h, 1), 0);
    assert_int_equal(h->over, 1);
    assert_int_equal(tarn_held_give(seg, h, 1), 0);
    assert_int_equal(h->over, 0);
    assert_int_equal(tarn_held_try(seg, h, 1), -EAGAIN);
    assert_int_equal(tarn_held_give(seg, h, 1), 0);
    assert_int_equal(tarn_held_try(seg, h, 1), 0);
    h->available = 2; /* more than there are: damage, seen by who has the lock, and given back */
    assert_int_equal(tarn_held_give(seg, h, 1), -EUCLEAN);
    assert_int_equal(tarn_held_try(seg, h, 1), -EUCLEAN);
    assert_true(at_rest());
    assert_int_equal(h->lock.owner, 0);
    h->available = 0;
    assert_int_equal(tarn_held_give(seg, h, 1), 0);
}

static void as_many_awaited_as_may_be(void **state)
{
    (void)state;
    struct tarn_awaited all[TARN_AWAITED_MOST + 1];
    uint32_t which;
    struct timespec past = {0, 0};
    for (uint32_t i = 0; i <= TARN_AWAITED_MOST; i++)
        all[i] = (struct tarn_awaited){TARN_EVENT, {.event = &r->event[i % 3]}};
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST + 1, &past, &which), -EINVAL);
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST, &past, &which), -ETIMEDOUT);
    all[TARN_AWAITED_MOST - 1].event = &r->event[3];
    assert_int_equal(tarn_event_set(seg, &r->event[3]), 0);
    assert_int_equal(tarn_wait_any(seg, all, TARN_AWAITED_MOST, &past, &which), 0);
    assert_int_equal(which, TARN_AWAITED_MOST - 1);
    assert_int_equal(tarn_wait_any(seg, all, 0, &past, &which), -EINVAL);
    assert_int_equal(tarn_wait_any(seg, all + TARN_AWAITED_MOST - 1, 1, &past, &which), 0);
}

static void as_many_parties_as_may_be(void **state)
{
    (void)state;
    assert_int_equal(tarn_barrier_init(seg, &r->barrier[0], 7, 0), 0);
    assert_int_equal(tarn_barrier_init(seg, &r->barrier[0], 8, 0), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_is_behind_the_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_behind_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_signal_and_the_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_units_as_may_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_units_are_not_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_awaited_as_may_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_parties_as_may_be, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sync_edge", tests, NULL, NULL);
}

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
    struct tarn_options options = tiny(7); /* and the spare one: eight records, behind which the zone's last page has room for a ninth */
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
    q->slots_used = 4;
    slot[0] = tarn_ref_of(seg, &r->rwlock[0]) | SLOT_READ;
    slot[1] = tarn_ref_of(seg, &r->rwlock[1]) | SLOT_WRITE | SLOT_WANT;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_is_behind_the_last, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sync_edge", tests, NULL, NULL);
}

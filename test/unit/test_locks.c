/* test_locks.c - tarn_locks: of each kind of lock all that is told, in one process; and that it ends, and tells nothing outside the segment, whatever the bytes.
 * Other participants are actors (room.h). Several processes: test/multi/test_sync.c; the command: test/tool/test_locks.py. */
#include "helper.h"
#include "arena.h"
#include "room.h"

static tarn *seg;
static struct room *r;
static struct actor other;
static struct tarn_options options;

static int set_up(void **state)
{
    (void)state;
    alarm(60);
    options = tiny(8);
    options.limit = 512 << 10;
    r = room_open("memfd:locks", &options, &seg);
    engage(&other);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    dismiss(&other);
    assert_true(tarn_recover(seg) >= 0);
    alarm(0);
    return tarn_close(seg);
}

#define ACTS(name, expression)                                                                               \
    static long name(void *x)                                                                                \
    {                                                                                                        \
        (void)x;                                                                                             \
        return expression;                                                                                   \
    }
ACTS(lock_it, tarn_mutex_lock(seg, x))
ACTS(unlock_it, tarn_mutex_unlock(seg, x))
ACTS(read_it, tarn_rwlock_read(seg, x))
ACTS(write_it, tarn_rwlock_write(seg, x))
ACTS(rw_unlock, tarn_rwlock_unlock(seg, x))
ACTS(take_two, tarn_held_take(seg, x, 2))
ACTS(give_two, tarn_held_give(seg, x, 2))
ACTS(arrive, tarn_barrier_wait(seg, x))
ACTS(leave_it, tarn_barrier_leave(seg, x))
ACTS(other_id, (long)self_last->id)

struct seen {
    struct tarn_lock all[32];
    int n, stop_at;
};
static int see(const struct tarn_lock *lock, void *arg)
{
    struct seen *s = arg;
    if (s->n < 32)
        s->all[s->n] = *lock;
    s->n++;
    return s->stop_at && s->n >= s->stop_at ? -7 : 0;
}
static struct seen look(tarn *at)
{
    struct seen s = {.n = 0};
    assert_int_equal(tarn_locks(at, see, &s), 0);
    return s;
}
static uint32_t my_id(void)
{
    return self_last->id;
}
static uint32_t the_others(void)
{
    return (uint32_t)tell(&other, other_id, NULL);
}

/* The only one of this participant at this place. */
static struct tarn_lock of(uint32_t id, const void *object)
{
    struct seen s = look(seg);
    struct tarn_lock found = {0};
    int n = 0;
    for (int i = 0; i < s.n; i++)
        if (s.all[i].id == id && s.all[i].ref == tarn_ref_of(seg, object)) {
            found = s.all[i];
            n++;
        }
    assert_int_equal(n, 1);
    return found;
}
/* A mark for each of what is 1 or not 1 */
static const char *marks(struct tarn_lock l)
{
    static char text[64];
    snprintf(text, sizeof text, "%c%u %u%s%s%s%s%s", l.state, l.kind, l.number, l.held ? " held" : "",
             l.moving ? " moving" : "", l.section ? " section" : "", l.deferred ? " deferred" : "",
             l.dirty ? " dirty" : "");
    return text;
}

static void mutexes(void **state)
{
    tarn_mutex *m = &r->mutex[0];
    (void)state;
    assert_int_equal(look(seg).n, 0);
    assert_int_equal(tarn_mutex_lock(seg, m), 0);
    struct tarn_lock l = of(my_id(), m);
    assert_string_equal(marks(l), "l1 1 held");
    assert_int_equal(l.pid, getpid());
    assert_int_equal(l.tid, gettid());
    assert_int_equal(tarn_mutex_lock_nested(seg, m), 0);
    assert_string_equal(marks(of(my_id(), m)), "l1 2 held");
    ask(&other, lock_it, m);
    await_waiting(seg, m, 1);
    struct seen s = look(seg);
    assert_int_equal(s.n, 2);
    l = s.all[s.all[0].id == my_id()];
    assert_string_equal(marks(l), "l1 1 moving"); /* who waits wants it, and does not have it */
    assert_int_equal(l.ref, tarn_ref_of(seg, m));
    assert_int_not_equal(l.tid, gettid());
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    assert_int_equal(answer(&other), 0);
    assert_string_equal(marks(of(the_others(), m)), "l1 1 held");
    assert_int_equal(look(seg).n, 1);
    assert_int_equal(tell(&other, unlock_it, m), 0);
    assert_int_equal(look(seg).n, 0);
}

static void in_sections(void **state)
{
    tarn_mutex *before = &r->mutex[0], *in = &r->mutex[1];
    (void)state;
    assert_int_equal(tarn_mutex_lock(seg, before), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, in), 0);
    assert_string_equal(marks(of(my_id(), before)), "l1 1 held");
    assert_string_equal(marks(of(my_id(), in)), "l1 1 held section");
    assert_int_equal(tarn_mutex_unlock(seg, in), 0);
    assert_int_equal(tarn_mutex_unlock(seg, before), 0);
    assert_string_equal(marks(of(my_id(), in)), "l1 1 held section deferred");
    assert_string_equal(marks(of(my_id(), before)), "l1 1 held deferred");
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(look(seg).n, 0);
}

static void rwlocks(void **state)
{
    tarn_rwlock *w = &r->rwlock[0];
    (void)state;
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    assert_int_equal(tell(&other, read_it, w), 0);
    assert_string_equal(marks(of(my_id(), w)), "l3 2 held");
    assert_string_equal(marks(of(the_others(), w)), "l3 1 held");
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    ask(&other, write_it, w);
    await_waiting(seg, w, 1);
    struct seen s = look(seg);
    assert_int_equal(s.n, 2);
    assert_string_equal(marks(s.all[s.all[0].id == my_id()]), "l4 1 moving");
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(answer(&other), 0);
    assert_string_equal(marks(of(the_others(), w)), "l4 1 held");
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    /* a writer who keeps readers out waits for those who read, and others for him */
    assert_int_equal(tarn_rwlock_init(seg, w, TARN_RWLOCK_WRITERS), 0);
    assert_int_equal(tarn_rwlock_read(seg, w), 0);
    ask(&other, write_it, w);
    await_waiting(seg, w, 1);
    s = look(seg);
    assert_int_equal(s.n, 2);
    assert_string_equal(marks(s.all[s.all[0].id == my_id()]), "l4 1 held moving");
    assert_int_equal(tarn_rwlock_unlock(seg, w), 0);
    assert_int_equal(answer(&other), 0);
    assert_int_equal(tell(&other, rw_unlock, w), 0);
    assert_int_equal(look(seg).n, 0);
}

static void units_and_members(void **state)
{
    tarn_held *h = &r->held[0];
    tarn_barrier *b = &r->barrier[0];
    (void)state;
    assert_int_equal(tarn_held_set(seg, h, 5), 0);
    assert_int_equal(tarn_held_take(seg, h, 3), 0);
    assert_int_equal(tell(&other, take_two, h), 0);
    assert_string_equal(marks(of(my_id(), h)), "l5 3 held");
    assert_string_equal(marks(of(the_others(), h)), "l5 2 held");
    assert_int_equal(tell(&other, give_two, h), 0);
    assert_int_equal(tarn_held_give(seg, h, 2), 0);
    assert_string_equal(marks(of(my_id(), h)), "l5 1 held");
    assert_int_equal(tarn_held_give(seg, h, 1), 0);
    assert_int_equal(look(seg).n, 0);
    assert_int_equal(tarn_barrier_join(seg, b), 0);
    assert_string_equal(marks(of(my_id(), b)), "l6 0 held");
    ask(&other, arrive, b);
    await_waiting(seg, b, 1);
    struct seen s = look(seg);
    assert_int_equal(s.n, 2);
    assert_string_equal(marks(s.all[s.all[0].id == my_id()]), "l6 1 held"); /* it has arrived */
    assert_int_equal(tarn_barrier_wait(seg, b), TARN_LAST);
    assert_int_equal(answer(&other), 0);
    assert_string_equal(marks(of(my_id(), b)), "l6 0 held"); /* another turn */
    assert_int_equal(tell(&other, leave_it, b), 0);
    assert_int_equal(tarn_barrier_leave(seg, b), 0);
    assert_int_equal(look(seg).n, 0);
}

static int look_within(tarn *at, void *arg)
{
    *(struct seen *)arg = look(at);
    return 0;
}
static void the_librarys_own(void **state)
{
    struct seen s;
    tarn_map *map;
    (void)state;
    assert_int_equal(tarn_once_run(seg, &r->once[0], look_within, &s), 0);
    assert_int_equal(s.n, 1);
    assert_string_equal(marks(s.all[0]), "l2 1 held");
    assert_int_equal(s.all[0].ref, tarn_ref_of(seg, &r->once[0].lock));
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &map), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_map_put64(map, 1, 1), 0);
    s = look(seg); /* the part of the map that it changed, until the section's end */
    assert_int_equal(s.n, 1);
    assert_string_equal(marks(s.all[0]), "l1 1 held section deferred");
    assert_non_null(tarn_ptr(seg, s.all[0].ref, sizeof(tarn_mutex)));
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(look(seg).n, 0);
    tarn_map_close(map);
}

/* What they held is told until they are recovered; then of who gets it, that it came dirty. */
static void the_dead(void **state)
{
    tarn_mutex *m = &r->mutex[0];
    tarn_rwlock *w = &r->rwlock[0];
    (void)state;
    assert_int_equal(tell(&other, lock_it, m), 0);
    assert_int_equal(tell(&other, write_it, w), 0);
    uint32_t id = the_others();
    dismiss(&other);
    assert_string_equal(marks(of(id, m)), "d1 1 held");
    assert_string_equal(marks(of(id, w)), "d4 1 held");
    assert_int_equal(tarn_recover(seg), 1);
    assert_int_equal(look(seg).n, 0);
    assert_int_equal(tarn_mutex_lock(seg, m), TARN_RECOVERED);
    assert_string_equal(marks(of(my_id(), m)), "l1 1 held dirty");
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_string_equal(marks(of(my_id(), m)), "l1 1 held");
    assert_int_equal(tarn_abort(seg), 0);
    assert_string_equal(marks(of(my_id(), m)), "l1 1 held dirty");
    assert_int_equal(tarn_mutex_consistent(seg, m), 0);
    assert_string_equal(marks(of(my_id(), m)), "l1 1 held");
    assert_int_equal(tarn_mutex_unlock(seg, m), 0);
    engage(&other);
}

static void calls(void **state)
{
    tarn *raw, *reader;
    struct seen s = {.stop_at = 1};
    (void)state;
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[0]), 0);
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[1]), 0);
    assert_int_equal(tarn_locks(seg, see, &s), -7);
    assert_int_equal(s.n, 1);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    s = look(reader);
    assert_int_equal(s.n, 2);
    assert_string_equal(marks(s.all[0]), "l1 1 held");
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RAW | TARN_RDONLY, &raw), 0);
    assert_int_equal(tarn_locks(raw, see, &s), -EINVAL);
    assert_int_equal(tarn_close(raw), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[1]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
}

/* More than the record has room for. */
static void many(void **state)
{
    int n = 0, most = (int)seg->geometry.slots + 40;
    (void)state;
    assert_true(most <= (int)LOCKS);
    for (int i = 0; i < most; i++)
        assert_int_equal(tarn_mutex_lock(seg, &r->mutex[i]), 0);
    n = look(seg).n;
    assert_int_equal(n, most);
    for (int i = 0; i < most; i++)
        assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[i]), 0);
    assert_int_equal(look(seg).n, 0);
}

/* ---- hostile bytes ---- */

/* A slot that claims what the mutex denies. */
static void claims(void **state)
{
    tarn_mutex *m = &r->mutex[0];
    (void)state;
    assert_int_equal(tarn_thread_attach(seg), 0);
    record_slots(self_last->record)[2] = tarn_ref_of(seg, m);
    assert_string_equal(marks(of(my_id(), m)), "l1 1");
    m->owner = my_id() | ID_DIRTY;
    assert_string_equal(marks(of(my_id(), m)), "l1 1 held");
    m->owner = 0;
    for (int kind = 0; kind < 8; kind++) { /* behind the end, before the beginning, wholly or in part; no such kind */
        uint64_t end = seg->geometry.zone[ZONE_DATA] + seg->backed;
        const uint64_t places[] = {
            0, 8, seg->geometry.zone[ZONE_PARTICIPANT], end - (kind ? 16 : 0), end, SLOT_OFFSET};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            record_slots(self_last->record)[2] = places[i] | (uint64_t)kind << 58;
            assert_int_equal(look(seg).n, 0);
        }
    }
    record_slots(self_last->record)[2] = 0;
    record_slots(record_at(seg, 3))[0] = tarn_ref_of(seg, &r->rwlock[0]) | SLOT_READ; /* nobody's record */
    record_at(seg, 3)->slots_used = 4;
    assert_int_equal(look(seg).n, 0);
    record_slots(record_at(seg, 3))[0] = 0;
}

struct bounds {
    uint64_t from, to;
    uint64_t n;
};
static int inside(const struct tarn_lock *lock, void *arg)
{
    struct bounds *b = arg;
    check(lock->ref % 8 == 0 && lock->ref >= b->from && lock->ref + 8 <= b->to);
    check(lock->kind >= TARN_LOCK_MUTEX && lock->kind <= TARN_LOCK_MEMBER && strchr("ldu", lock->state));
    check(lock->held <= 1 && lock->moving <= 1 && lock->number <= 1024);
    b->n++;
    return 0;
}

static uint64_t chance = 88172645463325252u;
static uint64_t any(void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    return chance ^= chance << 17;
}
/* Bytes of records that are anything, or nearly right: offsets of the segment with any flags, extents that are there. */
static void scribble(void)
{
    uint64_t data = seg->geometry.zone[ZONE_DATA];
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *q = record_at(seg, i);
        for (uint64_t *w = (uint64_t *)q; w < (uint64_t *)((char *)q + seg->geometry.record_size); w++)
            *w = any() % 4 ? (any() << 48 & ~SLOT_OFFSET) | ((data + any() % seg->backed) & ~7ull) : any();
        q->state = RECORD_TAKEN;
        q->generation &= any() % 8 ? 0x7fff : UINT32_MAX;
        if (any() % 2)
            *(uint32_t *)(void *)q->liveness = any() % 2 ? (uint32_t)gettid() : 0x40000000u;
        q->held_more = data + any() % seg->backed / 8 * 8;
    }
}
/* In a child, with a segment of its own, which is good for nothing afterwards. */
static void in_a_child(void (*run)(struct bounds *b))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        check(tarn_open("anon:", TARN_CREATE, &options, &seg) == 0 && tarn_check(seg, NULL, NULL) == 0);
        check(seg->backed);
        struct bounds b = {seg->geometry.zone[ZONE_NAME], seg->geometry.zone[ZONE_DATA] + seg->backed, 0};
        run(&b);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}
static uint64_t most_locks(void)
{
    return seg->geometry.records * seg->geometry.slots + seg->backed / 8 + 1;
}

static void scribbled(struct bounds *b)
{
    uint64_t shown = 0;
    for (int round = 0; round < 400; round++, shown += b->n) {
        b->n = 0;
        scribble();
        int e = tarn_locks(seg, inside, b);
        check(e == 0 || e == -EUCLEAN);
        check(b->n <= most_locks());
    }
    check(shown > 4000); /* it is not that all of it was refused */
}
static void any_bytes(void **state)
{
    (void)state;
    in_a_child(scribbled);
}

/* Everybody's list leads round in the same circle: each of its slots is told so often, and then it is given up. */
static void circle(struct bounds *b)
{
    uint64_t at = seg->geometry.zone[ZONE_DATA] + seg->backed / 2;
    struct extent *x = at_offset(seg, at);
    x->next = at;
    for (uint64_t i = 0; i < extent_words(&seg->geometry); i++)
        ((uint64_t *)(x + 1))[i] = at | SLOT_READ;
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *q = record_at(seg, i);
        q->state = RECORD_TAKEN;
        *(uint32_t *)(void *)q->liveness = (uint32_t)gettid();
        q->held_more = at;
        q->slots_used = UINT64_MAX;
    }
    check(tarn_locks(seg, inside, b) == -EUCLEAN);
    check(b->n > seg->backed / 16 && b->n <= most_locks());
}
static void one_circle_for_all(void **state)
{
    (void)state;
    in_a_child(circle);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(mutexes),
        with_segment(in_sections),
        with_segment(rwlocks),
        with_segment(units_and_members),
        with_segment(the_librarys_own),
        with_segment(the_dead),
        with_segment(calls),
        with_segment(many),
        with_segment(claims),
        with_segment(any_bytes),
        with_segment(one_circle_for_all),
    };
    return cmocka_run_group_tests_name("locks", tests, NULL, NULL);
}

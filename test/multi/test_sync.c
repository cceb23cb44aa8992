/* test_sync.c - the objects of synchronisation between processes at different addresses, which are killed and stopped.
 *
 * The cap is off: a wake-up that is lost is a hang, and the alarm of a test or of a child ends it. Children close what they inherited and open the segment
 * anew, each with another mapping before it. With TARN_TEST_SYSV the segment is one of System V's, with TARN_TEST_FILE a file. */
#include "helper.h"
#include "arena.h"
#include "room.h"

#include <sys/prctl.h>
#include <sys/shm.h>

#include "sync/sync.h"

enum { MOST = 8 };
static tarn *seg;
static struct room *r;
static tarn_ref room_at;
static const char *url = "posix:/sync";
static char sysv_url[32];
static struct tarn_options options;

static struct shared {
    volatile int at[MOST], go, stop;
    volatile int64_t result[MOST];
    volatile uint64_t got[MOST];
    volatile uintptr_t address[MOST];
} * shared;

/* It hangs: nothing is left behind all the same. */
static void too_long(int number)
{
    (void)number;
    if (sysv_url[0])
        shmctl(shmget((int32_t)strtol(sysv_url + 5, NULL, 10), 0, 0), IPC_RMID, NULL);
    remove_directory(NULL);
    signal(SIGALRM, SIG_DFL);
    raise(SIGALRM);
}

static int set_up(void **state)
{
    signal(SIGALRM, too_long);
    alarm(60);
    mutex_cap_off = true;
    if (getenv("TARN_TEST_SYSV")) {
        int32_t key = 0x64000000 + (int32_t)getpid() * 16 % 0x900000;
        while (shmget(key, 0, 0) >= 0 || errno != ENOENT)
            key += 0x1000;
        snprintf(sysv_url, sizeof sysv_url, "sysv:%d", key);
        url = sysv_url;
    }
    if (own_directory(state))
        return -1;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    options = tiny(16);
    options.limit = 512 << 10;
    r = room_open(url, &options, &seg);
    room_at = tarn_ref_of(seg, r);
    return shared == MAP_FAILED;
}
static pid_t child[MOST];
static int tear_down(void **state)
{
    for (int i = 0; i < MOST; i++)
        if (child[i] > 0) {
            kill(child[i], SIGKILL);
            waitpid(child[i], NULL, 0);
            child[i] = 0;
        }
    munmap(shared, sizeof *shared);
    int e = tarn_recover(seg);
    if (e >= 0)
        e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    tarn_unlink(url);
    alarm(0);
    return remove_directory(state) || e;
}

/* ---- children ---- */

static int me; /* in a child: its number */
static void spawn(int i, void (*run)(void))
{
    shared->at[i] = 0;
    shared->result[i] = 777;
    fflush(NULL);
    child[i] = fork();
    if (child[i] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGALRM, SIG_DFL);
        alarm(50);
        me = i;
        /* each at an address of its own, below the parent's, which is free with sanitizers, too */
        struct tarn_options o = {.size = sizeof o,
                                 .address = (char *)tarn_base(seg) - (uintptr_t)(i + 1) * (UINT64_C(64) << 30)};
        check(tarn_close(seg) == 0);
        check(tarn_open(url, 0, &o, &seg) == 0);
        r = tarn_ptr(seg, room_at, sizeof *r);
        check(r);
        shared->address[i] = (uintptr_t)r;
        run();
        _exit(0);
    }
    assert_true(child[i] > 0);
}
static void at(int stage)
{
    reach(&shared->at[me], stage);
}
static void await_at(int i, int stage)
{
    await(&shared->at[i], stage);
}
static void pauses(void)
{
    for (;;)
        pause();
}
static void end_by_kill(int i)
{
    int status = 0;
    kill(child[i], SIGKILL);
    assert_int_equal(waitpid(child[i], &status, 0), child[i]);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("child %d had ended by itself: %#x", i, (unsigned)status);
    child[i] = 0;
}
static void end_well(int i)
{
    int status = 0;
    assert_int_equal(waitpid(child[i], &status, 0), child[i]);
    child[i] = 0;
    assert_int_equal(status, 0);
}
static void told(int64_t result)
{
    shared->result[me] = result;
    at(9);
}
static int64_t answer_of(int i)
{
    await_at(i, 9);
    return shared->result[i];
}

/* ---- together ---- */

enum { TURNS = 3000 };
static int once_more(tarn *s, void *arg)
{
    (void)s, (void)arg;
    __atomic_fetch_add(&r->word[7], 1, __ATOMIC_SEQ_CST);
    return 0;
}
static void use_all(void)
{
    unsigned random = (unsigned)me;
    check(tarn_once_run(seg, &r->once[0], once_more, NULL) == 0);
    check(tarn_barrier_wait(seg, &r->barrier[0]) >= 0);
    for (int i = 0; i < TURNS; i++) {
        switch (rand_r(&random) % 5) {
        case 0:
            check(tarn_rwlock_write(seg, &r->rwlock[0]) == 0);
            r->word[0]++;
            r->word[1]++;
            shared->got[me]++;
            check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
            break;
        case 1:
            for (int k = 0; k < 40; k++) {
                check(tarn_rwlock_read(seg, &r->rwlock[0]) == 0);
                check(__atomic_load_n(&r->word[0], __ATOMIC_RELAXED) ==
                      __atomic_load_n(&r->word[1], __ATOMIC_RELAXED));
                check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
            }
            break;
        case 2:
            check(tarn_held_take(seg, &r->held[0], 2) == 0);
            check(__atomic_add_fetch(&r->word[2], 2, __ATOMIC_SEQ_CST) <= 5);
            __atomic_sub_fetch(&r->word[2], 2, __ATOMIC_SEQ_CST);
            check(tarn_held_give(seg, &r->held[0], 2) == 0);
            break;
        case 3:
            check(tarn_semaphore_wait(seg, &r->semaphore[0]) == 0);
            check(__atomic_add_fetch(&r->word[3], 1, __ATOMIC_SEQ_CST) <= 2);
            __atomic_sub_fetch(&r->word[3], 1, __ATOMIC_SEQ_CST);
            check(tarn_semaphore_post(seg, &r->semaphore[0]) == 0);
            break;
        default:
            check(tarn_event_wait(seg, &r->event[0]) == 0); /* automatic: one at a time */
            check(__atomic_add_fetch(&r->word[4], 1, __ATOMIC_SEQ_CST) == 1);
            __atomic_sub_fetch(&r->word[4], 1, __ATOMIC_SEQ_CST);
            check(tarn_event_set(seg, &r->event[0]) == 0);
        }
        if (i % 100 == 0)
            check(tarn_barrier_wait(seg, &r->barrier[0]) >= 0);
    }
    check(tarn_barrier_leave(seg, &r->barrier[0]) == 0);
}
static void between_processes(void **state)
{
    (void)state;
    uint64_t writes = 0;
    uint32_t n = 0, units = 0;
    assert_int_equal(tarn_barrier_init(seg, &r->barrier[0], 4, 0), 0);
    assert_int_equal(tarn_held_set(seg, &r->held[0], 5), 0);
    assert_int_equal(tarn_semaphore_init(seg, &r->semaphore[0], 2), 0);
    assert_int_equal(tarn_event_init(seg, &r->event[0], TARN_EVENT_AUTOMATIC), 0);
    assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
    for (int i = 0; i < 4; i++)
        spawn(i, use_all);
    for (int i = 0; i < 4; i++)
        end_well(i);
    for (int i = 0; i < 4; i++)
        writes += shared->got[i];
    assert_int_equal(r->word[0], writes);
    assert_int_equal(r->word[7], 1);
    assert_int_equal(tarn_held_state(seg, &r->held[0], &n, &units), 0);
    assert_int_equal(n, 5);
    assert_int_equal(tarn_semaphore_units(seg, &r->semaphore[0], &n), 0);
    assert_int_equal(n, 2);
    assert_int_not_equal(shared->address[0], shared->address[1]);
}

/* ---- rwlock ---- */

static bool reads_before, twice;
static void read_and_stay(void)
{
    for (int i = 0; reads_before && i < 3000; i++) {
        check(tarn_rwlock_read(seg, &r->rwlock[0]) == 0);
        check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
    }
    check(tarn_rwlock_read(seg, &r->rwlock[0]) == 0);
    if (twice)
        check(tarn_rwlock_read(seg, &r->rwlock[0]) == 0);
    at(1);
    pauses();
}
static void write_then_end(void)
{
    at(1);
    told(tarn_rwlock_write(seg, &r->rwlock[0]));
    check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
}
static void read_then_end(void)
{
    at(1);
    told(tarn_rwlock_read(seg, &r->rwlock[0]));
    check(tarn_rwlock_unlock(seg, &r->rwlock[0]) == 0);
}
static void killed_readers(void **state)
{
    (void)state;
    struct tarn_rwlock_state s;
    for (int way = 0; way < 8; way++) {
        reads_before = way & 1;
        twice = way & 2;
        assert_int_equal(tarn_rwlock_init(seg, &r->rwlock[0], way & 4 ? TARN_RWLOCK_WRITERS : 0), 0);
        spawn(0, read_and_stay);
        spawn(1, read_and_stay);
        await_at(0, 1);
        await_at(1, 1);
        spawn(2, write_then_end);
        spawn(3, write_then_end);
        await_waiting(seg, &r->rwlock[0], 2);
        end_by_kill(0);
        assert_int_not_equal(shared->at[2], 9);
        assert_int_not_equal(shared->at[3], 9);
        end_by_kill(1);
        assert_int_equal(answer_of(2), 0);
        assert_int_equal(answer_of(3), 0);
        end_well(2);
        end_well(3);
        assert_int_equal(tarn_rwlock_state(seg, &r->rwlock[0], &s), 0);
        assert_int_equal(s.readers + s.writer + s.dirty, 0);
    }
}

static void write_and_stay(void)
{
    check(tarn_rwlock_write(seg, &r->rwlock[0]) >= 0);
    at(1);
    pauses();
}
static void killed_writers(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        spawn(0, write_and_stay);
        await_at(0, 1);
        spawn(1, way & 1 ? read_then_end : write_then_end);
        spawn(2, way & 2 ? read_then_end : write_then_end);
        await_waiting(seg, &r->rwlock[0], 2);
        end_by_kill(0);
        assert_int_equal(answer_of(1), TARN_RECOVERED);
        assert_int_equal(answer_of(2), TARN_RECOVERED);
        end_well(1);
        end_well(2);
        assert_int_equal(tarn_rwlock_read(seg, &r->rwlock[0]), TARN_RECOVERED);
        assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
        assert_int_equal(tarn_rwlock_write(seg, &r->rwlock[0]), TARN_RECOVERED);
        assert_int_equal(tarn_rwlock_consistent(seg, &r->rwlock[0]), 0);
        assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
        assert_int_equal(tarn_rwlock_write(seg, &r->rwlock[0]), 0);
        assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
    }
    /* who waits to write, killed: his preference goes with him */
    assert_int_equal(tarn_rwlock_init(seg, &r->rwlock[0], TARN_RWLOCK_WRITERS), 0);
    assert_int_equal(tarn_rwlock_read(seg, &r->rwlock[0]), 0);
    spawn(0, write_then_end);
    await_waiting(seg, &r->rwlock[0], 1);
    spawn(1, read_then_end);
    await_waiting(seg, &r->rwlock[0], 2);
    end_by_kill(0);
    assert_int_equal(answer_of(1), 0);
    end_well(1);
    assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[0]), 0);
}

/* ---- victims at random: what was signalled, posted or set reaches who is left ---- */

static uint32_t seed = 1;
static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    return seed % n;
}
static void spin(uint32_t n)
{
    for (volatile uint32_t i = 0; i < n; i++)
        ;
}

static void consume(void)
{
    at(1);
    for (;;) {
        int e = tarn_mutex_lock(seg, &r->mutex[0]);
        check(e >= 0 && (e == 0 || tarn_mutex_consistent(seg, &r->mutex[0]) == 0));
        while (r->word[1] == 0) {
            e = tarn_condition_wait(seg, &r->condition[0], &r->mutex[0]);
            check(e >= 0 && (e == 0 || tarn_mutex_consistent(seg, &r->mutex[0]) == 0));
        }
        r->word[1]--; /* one store: whole, or not at all */
        check(tarn_mutex_unlock(seg, &r->mutex[0]) == 0);
    }
}
static void killed_condition_waiters(void **state)
{
    (void)state;
    enum { N = 5, ROUNDS = 250 };
    int kills = 0;
    for (int i = 0; i < N; i++)
        spawn(i, consume);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t m = 1 + rnd(N - 2);
        if (round % 2)
            while (waiting_for(seg, &r->condition[0]) < 2)
                usleep(100);
        int e = tarn_mutex_lock(seg, &r->mutex[0]);
        assert_true(e >= 0);
        if (e)
            assert_int_equal(tarn_mutex_consistent(seg, &r->mutex[0]), 0);
        r->word[1] += m;
        assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[0]), 0);
        for (uint32_t i = 0; i < m; i++)
            assert_int_equal(tarn_condition_signal(seg, &r->condition[0]), 0);
        spin(rnd(4) ? rnd(30000) : 0);
        uint32_t first = rnd(N), victims = rnd(3);
        for (uint32_t v = 0; v < victims; v++)
            kill(child[(first + v) % N], SIGKILL);
        while (__atomic_load_n(&r->word[1], __ATOMIC_RELAXED)) /* those left consume all of it; the alarm bounds it */
            usleep(50);
        for (uint32_t v = 0; v < victims; v++, kills++) {
            end_by_kill((int)((first + v) % N));
            spawn((int)((first + v) % N), consume);
        }
    }
    print_message("          %d kills\n", kills);
    assert_true(kills > 50);
}

static void take_units(void)
{
    at(1);
    for (;;) {
        check(tarn_semaphore_wait(seg, &r->semaphore[0]) == 0);
        shared->got[me]++;
    }
}
static void killed_semaphore_waiters(void **state)
{
    (void)state;
    enum { N = 5, ROUNDS = 250 };
    uint64_t kills = 0, posted = 0, got = 0;
    uint32_t units = 1;
    for (int i = 0; i < N; i++)
        spawn(i, take_units);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t m = 1 + rnd(N - 1);
        if (round % 2)
            while (waiting_for(seg, &r->semaphore[0]) < N - 1)
                usleep(100);
        posted += m;
        if (round % 3)
            assert_int_equal(tarn_semaphore_post_many(seg, &r->semaphore[0], m), 0);
        else
            for (uint32_t i = 0; i < m; i++)
                assert_int_equal(tarn_semaphore_post(seg, &r->semaphore[0]), 0);
        spin(rnd(4) ? rnd(30000) : 0);
        uint32_t first = rnd(N), victims = rnd(3);
        for (uint32_t v = 0; v < victims; v++)
            kill(child[(first + v) % N], SIGKILL);
        do
            assert_int_equal(tarn_semaphore_units(seg, &r->semaphore[0], &units), 0);
        while (units && usleep(50) == 0);
        for (uint32_t v = 0; v < victims; v++, kills++) {
            end_by_kill((int)((first + v) % N));
            spawn((int)((first + v) % N), take_units);
        }
    }
    while (waiting_for(seg, &r->semaphore[0]) < N)
        usleep(100);
    for (int i = 0; i < N; i++)
        got += shared->got[i];
    print_message("          %llu posted, %llu taken, %llu kills\n", (unsigned long long)posted,
                  (unsigned long long)got, (unsigned long long)kills);
    assert_true(got <= posted && posted - got <= kills); /* a victim's unit goes with him */
}

static void get_through(void)
{
    at(1);
    for (;;) {
        check(tarn_event_wait(seg, &r->event[0]) == 0);
        shared->got[me]++;
    }
}
/* They hear of each death, as likely as those whom it concerns; and must tell those. */
static void stand_by(void)
{
    at(1);
    (void)tarn_event_wait(seg, &r->event[1]);
}
static void killed_event_waiters(void **state)
{
    (void)state;
    enum { N = 2, BESIDE = 4, ROUNDS = 250 };
    int is_set;
    uint64_t sets = 0, kills = 0, got = 0;
    assert_int_equal(tarn_event_init(seg, &r->event[0], TARN_EVENT_AUTOMATIC), 0);
    for (int i = N; i < N + BESIDE; i++)
        spawn(i, stand_by);
    await_waiting(seg, &r->event[1], BESIDE);
    for (int i = 0; i < N; i++)
        spawn(i, get_through);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 4)
            await_waiting(seg, &r->event[0], N);
        int victim = (int)rnd(N);
        assert_int_equal(tarn_event_set(seg, &r->event[0]), 0);
        sets++;
        spin(rnd(4) ? rnd(20000) : 0);
        kill(child[victim], SIGKILL);
        do /* it got through with the one or the other */
            assert_int_equal(tarn_event_state(seg, &r->event[0], &is_set), 0);
        while (is_set && usleep(50) == 0);
        end_by_kill(victim);
        kills++;
        spawn(victim, get_through);
    }
    await_waiting(seg, &r->event[0], N);
    for (int i = 0; i < N; i++)
        got += shared->got[i];
    assert_true(got <= sets && sets - got <= kills);
    assert_true(got > 10);
}

/* ---- held units ---- */

static void hold_units(void)
{
    unsigned random = (unsigned)getpid();
    at(1);
    for (;;) {
        uint32_t n = 1 + (uint32_t)rand_r(&random) % 3;
        check(tarn_held_take(seg, &r->held[0], n) == 0);
        if (n == 3 && rand_r(&random) % 2) {
            check(tarn_held_give(seg, &r->held[0], 1) == 0);
            n--;
        }
        if (rand_r(&random) % 8 == 0)
            usleep(20);
        check(tarn_held_give(seg, &r->held[0], n) == 0);
    }
}
static void want_all(void)
{
    at(1);
    told(tarn_held_take(seg, &r->held[0], 4));
    check(tarn_held_give(seg, &r->held[0], 4) == 0);
}
static void killed_holders(void **state)
{
    (void)state;
    enum { N = 4, ROUNDS = 120 };
    uint32_t left = 0, units = 0;
    assert_int_equal(tarn_held_set(seg, &r->held[0], 4), 0);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++)
            spawn(i, hold_units);
        for (int i = 0; i < N; i++)
            await_at(i, 1);
        spawn(N, want_all); /* who takes all of them must come to his turn when the others are gone, whoever watches whom */
        await_at(N, 1);
        usleep(rnd(2000));
        for (int i = 0; i < N; i++)
            kill(child[i], SIGKILL);
        assert_int_equal(answer_of(N), 0);
        end_well(N);
        for (int i = 0; i < N; i++)
            end_by_kill(i);
        assert_true(tarn_recover(seg) >= 0);
        assert_int_equal(tarn_held_state(seg, &r->held[0], &left, &units), 0);
        assert_int_equal(left, 4);
        assert_int_equal(tarn_held_try(seg, &r->held[0], 4), 0); /* the sum that is kept says so, too */
        assert_int_equal(tarn_held_try(seg, &r->held[0], 1), -EAGAIN);
        assert_int_equal(tarn_held_give(seg, &r->held[0], 4), 0);
    }
}

/* ---- barrier ---- */

static void meet_and_tell(void)
{
    int e;
    check(tarn_barrier_join(seg, &r->barrier[0]) == 0);
    at(1);
    await(&shared->go, 1);
    while ((e = tarn_barrier_wait(seg, &r->barrier[0])) >= 0)
        shared->got[me]++;
    told(e);
}
static void join_and_stay(void)
{
    check(tarn_barrier_join(seg, &r->barrier[0]) == 0);
    at(1);
    pauses();
}
static void killed_members(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        /* asleep with one who never comes; in full swing; a waiter of them himself */
        assert_int_equal(tarn_barrier_init(seg, &r->barrier[0], 4, 0), 0);
        shared->go = 0;
        for (int i = 0; i < 3; i++)
            spawn(i, meet_and_tell);
        spawn(3, round % 3 ? meet_and_tell : join_and_stay);
        for (int i = 0; i < 4; i++)
            await_at(i, 1);
        reach(&shared->go, 1);
        if (round % 3 == 0)
            await_waiting(seg, &r->barrier[0], 3);
        else
            usleep(rnd(3000));
        end_by_kill(3);
        for (int i = 0; i < 3; i++)
            assert_int_equal(answer_of(i), -EOWNERDEAD);
        for (int i = 0; i < 3; i++)
            end_well(i);
        assert_int_equal(tarn_barrier_wait(seg, &r->barrier[0]), -EOWNERDEAD);
        assert_int_equal(tarn_thread_detach(seg) <= 0, true);
        memset(&r->barrier[0], 0, sizeof r->barrier[0]);
    }
}

static void turn_and_turn(void)
{
    check(tarn_barrier_join(seg, &r->barrier[1]) == 0);
    at(1);
    await(&shared->go, 1);
    while (!shared->stop) {
        check(tarn_barrier_wait(seg, &r->barrier[1]) >= 0);
        shared->got[me]++;
    }
    check(tarn_barrier_leave(seg, &r->barrier[1]) == 0);
}
static void dropped_members(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        assert_int_equal(tarn_barrier_init(seg, &r->barrier[1], round % 2 ? 5 : 0, TARN_BARRIER_DROP), 0);
        shared->go = shared->stop = 0;
        for (int i = 0; i < 5; i++)
            spawn(i, turn_and_turn);
        for (int i = 0; i < 5; i++)
            await_at(i, 1);
        reach(&shared->go, 1);
        for (int victim = 4; victim >= 2; victim--) {
            usleep(rnd(1500));
            end_by_kill(victim);
            uint64_t before = shared->got[0], other = shared->got[1];
            while (shared->got[0] < before + 20 || shared->got[1] < other + 20)
                usleep(100);
        }
        shared->stop = 1;
        end_well(0);
        end_well(1);
    }
}

/* ---- once ---- */

static int stay_in_it(tarn *s, void *arg)
{
    (void)s, (void)arg;
    at(1);
    pauses();
    return 0;
}
static void run_and_stay(void)
{
    (void)tarn_once_run(seg, &r->once[1], stay_in_it, NULL);
}
static void run_it(void)
{
    at(1);
    told(tarn_once_run(seg, &r->once[1], once_more, NULL));
}
static void killed_runners(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        memset(&r->once[1], 0, sizeof r->once[1]);
        r->word[7] = 0;
        spawn(0, run_and_stay);
        await_at(0, 1);
        for (int i = 1; i < 4; i++)
            spawn(i, run_it);
        for (int i = 1; i < 4; i++)
            await_at(i, 1);
        usleep(rnd(4000));
        assert_int_equal(r->word[7], 0);
        end_by_kill(0);
        for (int i = 1; i < 4; i++)
            assert_int_equal(answer_of(i), 0);
        for (int i = 1; i < 4; i++)
            end_well(i);
        assert_int_equal(r->word[7], 1);
    }
}

/* ---- the stopped, and circles ---- */

static void take_all_and_stay(void)
{
    check(tarn_mutex_lock(seg, &r->mutex[1]) >= 0 && tarn_rwlock_write(seg, &r->rwlock[1]) >= 0);
    check(tarn_rwlock_read(seg, &r->rwlock[2]) >= 0 && tarn_held_take(seg, &r->held[1], 2) == 0);
    at(1);
    pauses();
}
static void lock_1(void)
{
    told(tarn_mutex_lock(seg, &r->mutex[1]));
}
struct found {
    uint32_t id, waits, holder, circle;
    uint32_t pid; /* of whom */
};
static int find_pid(const struct tarn_participant *p, void *arg)
{
    struct found *f = arg;
    if (p->pid == f->pid)
        f->id = p->id;
    return 0;
}
static uint32_t id_of(pid_t pid)
{
    struct found f = {.pid = (uint32_t)pid};
    assert_int_equal(tarn_participants(seg, find_pid, &f), 0);
    assert_int_not_equal(f.id, 0);
    return f.id;
}
static int find_waiter(const struct tarn_waiting *w, void *arg)
{
    struct found *f = arg;
    if (w->pid == f->pid) {
        f->waits++;
        f->id = w->id;
        f->holder = w->holder;
        f->circle = w->circle;
    }
    return 0;
}
static struct found waiter_of(pid_t pid)
{
    struct found f = {.pid = (uint32_t)pid};
    assert_int_equal(tarn_who_waits(seg, find_waiter, &f), 0);
    return f;
}

static void the_stopped_are_waited_for(void **state)
{
    (void)state;
    struct timespec soon;
    assert_int_equal(tarn_held_set(seg, &r->held[1], 2), 0);
    spawn(0, take_all_and_stay);
    await_at(0, 1);
    kill(child[0], SIGSTOP);
    soon = from_now(30);
    assert_int_equal(tarn_mutex_timed(seg, &r->mutex[1], &soon), -ETIMEDOUT);
    assert_int_equal(tarn_mutex_timed_nested(seg, &r->mutex[1], &soon), -ETIMEDOUT);
    soon = from_now(30);
    assert_int_equal(tarn_rwlock_read_timed(seg, &r->rwlock[1], &soon), -ETIMEDOUT);
    soon = from_now(30);
    assert_int_equal(tarn_rwlock_write_timed(seg, &r->rwlock[1], &soon), -ETIMEDOUT);
    soon = from_now(30);
    assert_int_equal(tarn_rwlock_write_timed(seg, &r->rwlock[2], &soon), -ETIMEDOUT);
    soon = from_now(30);
    assert_int_equal(tarn_held_timed(seg, &r->held[1], 1, &soon), -ETIMEDOUT);
    assert_int_equal(tarn_rwlock_read_try(seg, &r->rwlock[2]), 0);
    assert_int_equal(tarn_rwlock_unlock(seg, &r->rwlock[2]), 0);
    spawn(1, lock_1);
    await_waiting(seg, &r->mutex[1], 1);
    struct found f = waiter_of(child[1]);
    assert_int_equal(f.waits, 1);
    assert_int_equal(f.holder, id_of(child[0]));
    assert_int_equal(f.id, id_of(child[1]));
    assert_int_equal(f.circle, 0);
    kill(child[0], SIGCONT);
    end_by_kill(0);
    assert_int_equal(answer_of(1), TARN_RECOVERED);
}

static bool finds;
static void lock_2_then_1(void)
{
    check(tarn_set_deadlock(seg, finds) == 0);
    check(tarn_mutex_lock(seg, &r->mutex[3]) >= 0);
    at(1);
    await(&shared->go, 1);
    int e = tarn_mutex_lock(seg, &r->mutex[2]);
    if (e == -EDEADLK)
        check(tarn_mutex_unlock(seg, &r->mutex[3]) == 0);
    told(e);
    pauses();
}
static void lock_1_then_2(void)
{
    check(tarn_mutex_lock(seg, &r->mutex[2]) >= 0);
    at(1);
    await(&shared->go, 1);
    told(tarn_mutex_lock(seg, &r->mutex[3]));
    pauses();
}
static void circles(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        finds = round == 0;
        shared->go = 0;
        spawn(0, lock_1_then_2);
        await_at(0, 1);
        spawn(1, lock_2_then_1);
        await_at(1, 1);
        reach(&shared->go, 1);
        if (finds) {
            /* the one that does not look may come last and close it; then the other sleeps on, and sees it at no later time */
            while (shared->at[1] != 9 && waiting_for(seg, &r->mutex[2]) + waiting_for(seg, &r->mutex[3]) < 2)
                usleep(200);
            if (shared->at[1] == 9) {
                assert_int_equal(answer_of(1), -EDEADLK);
                assert_int_equal(answer_of(0), 0);
            }
        } else {
            await_waiting(seg, &r->mutex[2], 1);
            await_waiting(seg, &r->mutex[3], 1);
            struct found one = waiter_of(child[0]), two = waiter_of(child[1]);
            assert_int_equal(one.waits, 1);
            assert_int_equal(two.waits, 1);
            assert_int_equal(one.circle, 1);
            assert_int_equal(two.circle, 1);
            assert_int_equal(one.holder, two.id);
            assert_int_equal(two.holder, one.id);
            assert_int_equal(one.id, id_of(child[0]));
            assert_int_equal(two.id, id_of(child[1]));
        }
        end_by_kill(0);
        end_by_kill(1);
        assert_true(tarn_recover(seg) >= 0);
    }
    /* in order: the one that looks comes last */
    finds = true;
    shared->go = 0;
    spawn(0, lock_1_then_2);
    await_at(0, 1);
    spawn(1, lock_2_then_1);
    await_at(1, 1);
    kill(child[1], SIGSTOP);
    waitpid(child[1], NULL, WUNTRACED);
    reach(&shared->go, 1);
    await_waiting(seg, &r->mutex[3], 1);
    kill(child[1], SIGCONT);
    assert_int_equal(answer_of(1), -EDEADLK);
    assert_true(answer_of(0) >= 0);
}

/* ---- who holds what ---- */

struct locks_of {
    uint32_t pid;
    int n, dead;
    struct tarn_lock lock[8];
};
static int of_pid(const struct tarn_lock *lock, void *arg)
{
    struct locks_of *of = arg;
    if (lock->pid == of->pid && of->n < 8) {
        of->dead += lock->state == 'd';
        of->lock[of->n++] = *lock;
    }
    return 0;
}
static struct locks_of locks_of(pid_t pid)
{
    struct locks_of of = {.pid = (uint32_t)pid};
    assert_int_equal(tarn_locks(seg, of_pid, &of), 0);
    return of;
}
static bool is_among(const struct locks_of *of, const void *object, uint32_t kind, uint32_t number, int held)
{
    for (int i = 0; i < of->n; i++) {
        const struct tarn_lock *l = &of->lock[i];
        if (l->ref == tarn_ref_of(seg, object) && l->kind == kind && l->number == number && l->held == held &&
            l->moving == !held)
            return true;
    }
    return false;
}
static void has_all(pid_t pid, int dead)
{
    struct locks_of of = locks_of(pid);
    assert_int_equal(of.n, 4);
    assert_int_equal(of.dead, dead ? 4 : 0);
    assert_true(is_among(&of, &r->mutex[1], TARN_LOCK_MUTEX, 1, 1));
    assert_true(is_among(&of, &r->rwlock[1], TARN_LOCK_WRITE, 1, 1));
    assert_true(is_among(&of, &r->rwlock[2], TARN_LOCK_READ, 1, 1));
    assert_true(is_among(&of, &r->held[1], TARN_LOCK_UNITS, 2, 1));
}
static void holders_are_told(void **state)
{
    (void)state;
    assert_int_equal(tarn_held_set(seg, &r->held[1], 2), 0);
    spawn(0, take_all_and_stay);
    await_at(0, 1);
    has_all(child[0], 0);
    kill(child[0], SIGSTOP);
    waitpid(child[0], NULL, WUNTRACED);
    has_all(child[0], 0); /* a stopped one lives */
    kill(child[0], SIGKILL);
    assert_int_equal(waitpid(child[0], NULL, 0), child[0]);
    has_all(child[0], 1);
    assert_int_equal(tarn_recover(seg), 1);
    assert_int_equal(locks_of(child[0]).n, 0);
    child[0] = 0;
    assert_int_equal(tarn_mutex_lock(seg, &r->mutex[1]), TARN_RECOVERED);
    struct locks_of mine = locks_of(getpid());
    assert_int_equal(mine.n, 1);
    assert_int_equal(mine.lock[0].dirty, 1);
    assert_int_equal(tarn_mutex_consistent(seg, &r->mutex[1]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &r->mutex[1]), 0);
}

static int links; /* of the circle */
static void lock_own_then_next(void)
{
    struct timespec late = from_now(100000);
    check(tarn_mutex_lock(seg, &r->mutex[4 + me]) >= 0);
    at(1);
    await(&shared->go, 1);
    told(tarn_mutex_timed(seg, &r->mutex[4 + (me + 1) % links], &late));
    pauses();
}
static void circles_are_told(void **state)
{
    (void)state;
    for (links = 2; links <= 3; links++) {
        shared->go = 0;
        for (int i = 0; i < links; i++) {
            spawn(i, lock_own_then_next);
            await_at(i, 1);
        }
        reach(&shared->go, 1);
        for (int i = 0; i < links; i++)
            await_waiting(seg, &r->mutex[4 + i], 1);
        for (int i = 0; i < links; i++) {
            struct locks_of of = locks_of(child[i]);
            struct found w = waiter_of(child[i]);
            assert_int_equal(of.n, 2);
            assert_true(is_among(&of, &r->mutex[4 + i], TARN_LOCK_MUTEX, 1, 1));
            assert_true(is_among(&of, &r->mutex[4 + (i + 1) % links], TARN_LOCK_MUTEX, 1, 0));
            assert_int_equal(w.circle, 1);
            assert_int_equal(w.holder, id_of(child[(i + 1) % links]));
        }
        end_by_kill(0); /* who waits for him gets it */
        assert_int_equal(answer_of(links - 1), TARN_RECOVERED);
        assert_int_equal(locks_of(child[links - 1]).n, 2);
        for (int i = 1; i < links; i++)
            end_by_kill(i);
        assert_true(tarn_recover(seg) >= 0);
    }
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(between_processes),
        with_segment(killed_readers),
        with_segment(killed_writers),
        with_segment(killed_condition_waiters),
        with_segment(killed_semaphore_waiters),
        with_segment(killed_event_waiters),
        with_segment(killed_holders),
        with_segment(killed_members),
        with_segment(dropped_members),
        with_segment(killed_runners),
        with_segment(the_stopped_are_waited_for),
        with_segment(circles),
        with_segment(holders_are_told),
        with_segment(circles_are_told),
    };
    if (getenv("ONLY"))
        cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}

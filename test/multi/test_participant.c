/* test_participant.c - participants in several processes, each with the segment at another address: deaths of every kind, what forks may
 * and may not do, records that come and go, processes that are stopped, other PID namespaces, circles.
 *
 * Steps of the children are counted in memory that they share with the parent by fork, outside the segment; an alarm bounds every wait. Nothing
 * is asserted of how long anything takes. Who recovers is always somebody: the parent, unless a test says otherwise. */
#include "helper.h"
#include "arena.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MOST 8u
#define NAMED "posix:/participants" /* on System V, where there is no descriptor to open it by */

static struct common {
    volatile int step[32], go[32];
    volatile int result[32];
    volatile uintptr_t address[32];
    volatile uint32_t living[4097]; /* by participant: 1 while somebody says that it is his */
    volatile pid_t pid[8];
} * common;

static tarn *seg;
static struct arena *a;
static struct tarn_options options;

static void open_for(uint32_t participants)
{
    options = tiny(participants);
    a = arena_open(on_sysv() ? NAMED : "memfd:participants", &options, &seg);
}
static int set_up(void **state)
{
    (void)state;
    alarm(100);
    memset((void *)common, 0, sizeof *common);
    open_for(MOST);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    uint64_t damages = (uint64_t)tarn_check(seg, NULL, NULL);
    if (damages)
        print_error("%llu damages\n", (unsigned long long)damages);
    int e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    if (on_sysv())
        e |= tarn_unlink(NAMED);
    alarm(0);
    return e || damages;
}

/* In a child: map something large, give the parent's handle up, put something where it was, and open by the descriptor, or by the key. */
static void elsewhere(void)
{
    int fd = on_sysv() ? -1 : dup(tarn_fd(seg));
    tarn_ref ref = tarn_ref_of(seg, a);
    char *old = (char *)a - ref;
    check(mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
    check((fd >= 0 || on_sysv()) && tarn_close(seg) == 0);
    check(mmap(old, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == old);
    check((on_sysv() ? tarn_open(NAMED, 0, NULL, &seg) : tarn_open_fd(fd, 0, &seg)) == 0);
    close(fd);
    a = tarn_ptr(seg, ref, sizeof *a);
    check(a && (char *)a - ref != old);
}

static pid_t start(void (*run)(int i), int i)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(90);
        elsewhere();
        common->address[i] = (uintptr_t)a;
        run(i);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}
static int status_of(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}
static void kill_it(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status = status_of(pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("it was to be killed, but ended with %#x", status);
}
static void for_ever(void)
{
    for (;;)
        pause();
}

/* Wait until as many participants sleep on the mutex. `waits` is announced by who waits in a section; else look at the waiters word. */
static void await_waiters(tarn_mutex *m)
{
    while (!__atomic_load_n(&m->waiters, __ATOMIC_ACQUIRE))
        usleep(500);
}

/* ---- children ---- */

static void hold(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    a->word[0] = 1; /* half of something */
    reach(&common->step[i], 1);
    for_ever();
}
static void hold_in_section(int i)
{
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[0]) == 0);
    for (int k = 0; k < 100; k++) {
        check(tarn_save(seg, &a->word[k], 8) == 0);
        a->word[k] = 1;
    }
    check(tarn_alloc_into(seg, &a->ref[0], 100) == 0);
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    reach(&common->step[i], 1);
    for_ever();
}
/* Waits for the lock, says what it got, and gives it back unmended when told to. */
static void wait_for_it(int i)
{
    common->result[i] = tarn_mutex_lock(seg, &a->lock[0]);
    reach(&common->step[i], 1);
    await(&common->go[i], 1);
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    check(tarn_close(seg) == 0);
}

/* ---- deaths ---- */

static void waiters_are_told(void **state)
{
    (void)state;
    pid_t holder = start(hold, 0), waiter[4];
    await(&common->step[0], 1);
    for (int i = 0; i < 4; i++)
        waiter[i] = start(wait_for_it, i + 1);
    await_waiters(&a->lock[0]);
    usleep(20000); /* so that most sleep; no matter if not */
    for (int i = 0; i < 5; i++)
        assert_int_equal(common->step[i], i == 0);
    kill_it(holder);
    for (int got = 0; got < 4; got++) { /* whoever got it: told; dies with it, or gives it back dirty */
        int who;
        for (;;) {
            for (who = 1; who <= 4 && common->step[who] != 1; who++)
                ;
            if (who <= 4)
                break;
            usleep(500);
        }
        assert_int_equal(common->result[who], TARN_RECOVERED);
        assert_int_equal(tarn_mutex_try(seg, &a->lock[0]), -EBUSY);
        int have = 0;
        for (int i = 1; i <= 4; i++)
            have += common->step[i] == 1;
        assert_int_equal(have, 1); /* one at a time */
        if (got % 2) {
            reach(&common->go[who], 1);
            assert_int_equal(status_of(waiter[who - 1]), 0);
        } else
            kill_it(waiter[who - 1]);
        common->step[who] = 9;
    }
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), TARN_RECOVERED);
    assert_int_equal(a->word[0], 1); /* nobody undid it: it was in no section */
    assert_int_equal(tarn_mutex_consistent(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    pid_t last = start(wait_for_it, 6);
    await(&common->step[6], 1);
    assert_int_equal(common->result[6], 0);
    reach(&common->go[6], 1);
    assert_int_equal(status_of(last), 0);
    assert_true(common->address[0] != (uintptr_t)a); /* it was mapped elsewhere */
}

static void sections_are_undone(void **state)
{
    (void)state;
    pid_t holder = start(hold_in_section, 0), waiter[3];
    await(&common->step[0], 1);
    for (int i = 0; i < 3; i++)
        waiter[i] = start(wait_for_it, i + 1);
    await_waiters(&a->lock[0]);
    kill_it(holder);
    for (int i = 0; i < 3; i++)
        reach(&common->go[i + 1], 1);
    int got = tarn_mutex_lock(seg, &a->lock[0]);
    if (got)
        fail_msg("%d; others %d %d %d", got, common->result[1], common->result[2], common->result[3]);
    for (int k = 0; k < 100; k++)
        assert_int_equal(a->word[k], 0);
    assert_int_equal(a->ref[0], 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of(waiter[i]), 0);
        assert_int_equal(common->result[i + 1], 0);
    }
    struct tarn_stat s = stat_of(seg);
    assert_int_equal(s.undone, 1);
    assert_int_equal(s.recovered, 1);
    assert_int_equal(s.dead, 0);
}

/* Ways to leave with lock 0 held. */
static void *exec_here(void *i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    reach(&common->step[(intptr_t)i], 1);
    execl("/bin/sleep", "sleep", "80", (char *)NULL);
    check(false);
    return NULL;
}
static void *only_exec(void *i)
{
    (void)i;
    execl("/bin/sleep", "sleep", "80", (char *)NULL);
    check(false);
    return NULL;
}
static void *hold_and_end(void *i)
{
    (void)i;
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    return NULL;
}
static void by_exit(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    reach(&common->step[i], 1);
    exit(0);
}
static void by__exit(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    reach(&common->step[i], 1);
    _exit(0);
}
static void by_fault(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    reach(&common->step[i], 1);
    raise(SIGKILL + 0 * i);
}
static void by_signal(int i)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(SIGSEGV, &plain, NULL);
    prctl(PR_SET_DUMPABLE, 0);
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    reach(&common->step[i], 1);
    raise(SIGSEGV);
}
static void by_thread_exit(int i)
{
    pthread_t t;
    check(pthread_create(&t, NULL, hold_and_end, NULL) == 0 && pthread_join(t, NULL) == 0);
    reach(&common->step[i], 1);
    for_ever(); /* the process lives on */
}
static void by_exec(int i)
{
    exec_here((void *)(intptr_t)i);
}
static void by_exec_of_another(int i) /* the leader holds it, and another thread execs */
{
    pthread_t t;
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    reach(&common->step[i], 1);
    check(pthread_create(&t, NULL, only_exec, NULL) == 0);
    for_ever();
}
static void by_exec_of_a_thread(int i) /* who is not the leader, holds it, and execs */
{
    pthread_t t;
    check(pthread_create(&t, NULL, exec_here, (void *)(intptr_t)i) == 0);
    for_ever();
}
static void by_exec_with_a_child(int i) /* the same; and a child that never touched the segment has all that is inherited */
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        for_ever();
    }
    common->pid[0] = child;
    by_exec_of_a_thread(i);
}

static void every_way_to_leave_is_noticed(void **state)
{
    (void)state;
    static void (*const way[])(int) = {
        by_exit, by__exit, by_fault, by_signal, by_thread_exit, by_exec, by_exec_of_another, by_exec_of_a_thread, by_exec_with_a_child};
    for (int i = 0; i < (int)(sizeof way / sizeof *way); i++) {
        pid_t pid = start(way[i], i);
        await(&common->step[i], 1);
        int e = tarn_mutex_lock(seg, &a->lock[0]); /* as long as it takes: the alarm is the bound */
        if (e != TARN_RECOVERED)
            fail_msg("way %d: %d", i, e);
        assert_int_equal(tarn_mutex_consistent(seg, &a->lock[0]), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
        kill(pid, SIGKILL);
        status_of(pid);
        if (common->pid[0])
            kill(common->pid[0], SIGKILL);
        common->pid[0] = 0;
    }
    tarn_recover(seg);
    assert_int_equal(stat_of(seg).participants, 1);
    assert_int_equal(stat_of(seg).dead, 0);
}

static void exit_without(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) == 0 && tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    (void)i;
    exit(0); /* neither close nor detach */
}
static void who_ends_without_closing_takes_no_room(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(status_of(start(exit_without, 0)), 0);
    tarn_recover(seg);
    assert_true(stat_of(seg).participants <= 1);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
}

static void *take_part(void *arg)
{
    unsigned n = (unsigned)(uintptr_t)arg;
    check(tarn_mutex_lock(seg, &a->lock[0]) == 0);
    a->word[0]++;
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    if (n % 3 == 0)
        check(tarn_thread_detach(seg) == 0);
    return NULL;
}
static void a_thousand_threads(void **state)
{
    (void)state;
    pthread_t t[MOST - 1];
    assert_int_equal(tarn_thread_attach(seg), 0);
    for (uintptr_t n = 0; n < 1001; n += MOST - 1) {
        for (uintptr_t i = 0; i < MOST - 1; i++)
            assert_int_equal(pthread_create(&t[i], NULL, take_part, (void *)(n + i)), 0);
        for (uintptr_t i = 0; i < MOST - 1; i++)
            assert_int_equal(pthread_join(t[i], NULL), 0);
    }
    assert_int_equal(a->word[0], 1001);
    struct tarn_stat s = stat_of(seg);
    assert_int_equal(s.participants, 1);
    assert_int_equal(s.recovered, 0); /* they left in good order */
}

/* ---- fork ---- */

static void in_the_fork(int held_by_thread)
{
    struct timespec past = {0, 0};
    uint64_t one = 1;
    check(tarn_mutex_unlock(seg, &a->lock[0]) == -EPERM);
    check(tarn_mutex_consistent(seg, &a->lock[0]) == -EPERM);
    check(tarn_commit(seg) == -EPERM);
    check(tarn_abort(seg) == -EPERM);
    check(tarn_save(seg, &a->word[0], 8) == -EPERM);
    check(tarn_write(seg, &a->word[0], &one, 8) == -EPERM);
    check(tarn_thread_detach(seg) == 0);               /* takes no part */
    check(tarn_mutex_try(seg, &a->lock[0]) == -EBUSY); /* another's, not its own: no -EDEADLK */
    check(tarn_mutex_timed(seg, &a->lock[0], &past) == -ETIMEDOUT);
    check(tarn_mutex_lock(seg, &a->lock[1]) == 0);
    check((a->lock[1].owner & 0xffff) != (a->lock[0].owner & 0xffff)); /* a participant of its own */
    check(tarn_mutex_unlock(seg, &a->lock[0]) == -EPERM);
    check(tarn_begin(seg) == 0);
    check(tarn_save(seg, &a->word[1], 8) == 0);
    a->word[1] = 5;
    check(tarn_commit(seg) == 0);
    check(tarn_commit(seg) == -EPERM);
    check(tarn_begin(seg) == 0);
    check(tarn_save(seg, &a->word[2], 8) == 0);
    a->word[2] = 5;
    (void)held_by_thread; /* and ends with its own section open, its own lock held */
}
static void *fork_within(void *arg)
{
    int status;
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    check(tarn_begin(seg) == 0);
    check(tarn_save(seg, &a->word[0], 8) == 0);
    a->word[0] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        in_the_fork(arg != NULL);
        _exit(0);
    }
    check(waitpid(pid, &status, 0) == pid && status == 0);
    check(tarn_mutex_lock(seg, &a->lock[1]) == TARN_RECOVERED); /* the child's death is the child's alone */
    check(tarn_mutex_consistent(seg, &a->lock[1]) == 0 && tarn_mutex_unlock(seg, &a->lock[1]) == 0);
    check(a->word[0] == 1 && a->word[1] == 5 && a->word[2] == 0);
    check(tarn_commit(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[0]) == -EDEADLK); /* still ours */
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    check(a->word[0] == 1);
    return NULL;
}
static void a_fork_has_nothing_of_its_parents(void **state)
{
    (void)state;
    fork_within(NULL);
    in_thread(fork_within, seg);
    assert_int_equal(stat_of(seg).participants, 1);
}

static void close_only(void *arg)
{
    (void)arg;
    check(tarn_close(seg) == 0);
}
static void a_fork_may_close(void **state)
{
    (void)state;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0);
    assert_int_equal(in_child(close_only, NULL), 0); /* though its parent could not now */
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
}

static void hold_and_fork(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        for_ever();
    }
    common->pid[i] = child;
    reach(&common->step[i], 1);
    for_ever();
}
static void a_fork_does_not_keep_its_parent_alive(void **state)
{
    (void)state;
    tear_down(state);
    alarm(100);
    open_for(1); /* so each needs the very record that the one before had */
    assert_int_equal(tarn_thread_detach(seg), 0);
    for (int i = 0; i < 4; i++) {
        pid_t pid = start(hold_and_fork, i);
        await(&common->step[i], 1);
        kill_it(pid);
    }
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(stat_of(seg).participants, 1);
    for (int i = 0; i < 4; i++)
        kill(common->pid[i], SIGKILL);
}

/* ---- records ---- */

static void take_part_for_ever(int i)
{
    common->result[i] = tarn_thread_attach(seg);
    reach(&common->step[i], 1);
    for_ever();
}
static void tables_fill_and_empty(void **state)
{
    (void)state;
    tear_down(state);
    alarm(100);
    open_for(4);
    assert_int_equal(tarn_thread_detach(seg), 0);
    for (int round = 0; round < 3; round++) {
        pid_t pid[5];
        memset((void *)common->step, 0, sizeof common->step);
        for (int i = 0; i < 4; i++)
            pid[i] = start(take_part_for_ever, i);
        for (int i = 0; i < 4; i++) {
            await(&common->step[i], 1);
            assert_int_equal(common->result[i], 0); /* also when full of the dead of the round before */
        }
        assert_int_equal(stat_of(seg).participants, 4);
        pid[4] = start(take_part_for_ever, 4); /* full of the living */
        await(&common->step[4], 1);
        assert_int_equal(common->result[4], -EUSERS);
        assert_int_equal(tarn_thread_attach(seg), -EUSERS);
        assert_says("4");
        assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), -EUSERS);
        for (int i = 0; i < 5; i++)
            kill_it(pid[i]);
        assert_int_equal(stat_of(seg).dead, 4);
        if (round == 1) {
            assert_int_equal(tarn_thread_attach(seg), 0);
            assert_int_equal(tarn_thread_detach(seg), 0);
        }
    }
}

static int find_me(const struct tarn_participant *p, void *tid)
{
    return p->tid == *(uint32_t *)tid ? (int)(p->id & 0xffff) : 0;
}
static void come_and_go(int i)
{
    uint32_t tid = (uint32_t)gettid();
    for (int n = 0; n < 150; n++) {
        int e = tarn_thread_attach(seg);
        check(e == 0 || e == -EUSERS);
        if (e)
            continue;
        check(tarn_mutex_lock(seg, &a->lock[i]) >= 0);
        uint32_t mine = a->lock[i].owner & 0xffff, free = 0;
        check(tarn_participants(seg, find_me, &tid) != 0);
        check(__atomic_compare_exchange_n(&common->living[mine], &free, tid, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
        if (n % 4 == 0)
            sched_yield();
        check(tarn_mutex_unlock(seg, &a->lock[i]) == 0);
        __atomic_store_n(&common->living[mine], 0, __ATOMIC_SEQ_CST);
        check(tarn_thread_detach(seg) == 0);
    }
}
static void racing_claims(void **state)
{
    (void)state;
    pid_t pid[8];
    tear_down(state);
    alarm(100);
    open_for(4); /* fewer than there are racers */
    assert_int_equal(tarn_thread_detach(seg), 0);
    for (int i = 0; i < 8; i++)
        pid[i] = start(come_and_go, i);
    for (int i = 0; i < 8; i++)
        assert_int_equal(status_of(pid[i]), 0);
    assert_int_equal(stat_of(seg).participants, 0);
}

/* ---- the stopped ---- */

static void hold_a_while(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[0]) == 0);
    a->word[0] = 1;
    reach(&common->step[i], 1);
    await(&common->step[i], 2);
    check(a->word[0] == 1 && (a->lock[0].owner & 0xffff)); /* still its own */
    a->word[0] = 2;
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    check(tarn_close(seg) == 0);
}
static void the_stopped_are_not_dead(void **state)
{
    (void)state;
    pid_t holder = start(hold_a_while, 0);
    int status;
    await(&common->step[0], 1);
    uint32_t owner = a->lock[0].owner;
    assert_int_equal(kill(holder, SIGSTOP), 0);
    assert_int_equal(waitpid(holder, &status, WUNTRACED), holder);
    assert_true(WIFSTOPPED(status));
    for (int i = 0; i < 3; i++) {
        struct timespec soon = from_now(60); /* beyond the cap */
        assert_int_equal(tarn_mutex_timed(seg, &a->lock[0], &soon), -ETIMEDOUT);
        assert_int_equal(tarn_recover(seg), 0);
        assert_int_equal(tarn_mutex_try(seg, &a->lock[0]), -EBUSY);
        assert_int_equal(a->lock[0].owner, owner);
        assert_int_equal(stat_of(seg).dead, 0);
    }
    pid_t waiter = start(wait_for_it, 1);
    await_waiters(&a->lock[0]);
    assert_int_equal(common->step[1], 0);
    reach(&common->step[0], 2);
    assert_int_equal(kill(holder, SIGCONT), 0);
    await(&common->step[1], 1);
    assert_int_equal(common->result[1], 0);
    assert_int_equal(a->word[0], 2);
    reach(&common->go[1], 1);
    assert_int_equal(status_of(waiter), 0);
    assert_int_equal(status_of(holder), 0);
}

/* ---- other PID namespaces ---- */

/* Number 1 of a new one: with lock i held, for ever. */
static void inside(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[i]) >= 0);
    common->result[i] = (int)gettid();
    reach(&common->step[i], 1);
    await(&common->step[i], 2);
    common->result[i] = tarn_mutex_lock(seg, &a->lock[7]); /* of one outside */
    reach(&common->step[i], 3);
    for_ever();
}
static void enter(int i)
{
    if (unshare(CLONE_NEWPID) != 0) {
        common->result[i] = -errno;
        reach(&common->step[i], 1);
        _exit(0);
    }
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(90);
        inside(i);
    }
    common->pid[i] = pid;
    for_ever();
}
static void hold_seven(int i)
{
    check(tarn_mutex_lock(seg, &a->lock[7]) == 0);
    reach(&common->step[i], 1);
    for_ever();
}
static pid_t start_inside(int i)
{
    pid_t pid = start(enter, i);
    await(&common->step[i], 1);
    return pid;
}
static void namespaces(void **state)
{
    (void)state;
    pid_t parent[3];
    skip_on_sysv("deaths in other namespaces are reported, not recovered (test_sysv)");
    parent[0] = start_inside(0);
    if (common->result[0] < 0) {
        status_of(parent[0]);
        print_message("skipped: no new PID namespace: %s\n", strerror(-common->result[0]));
        skip();
    }
    parent[1] = start_inside(1);
    assert_int_equal(common->result[0], 1); /* the same number twice */
    assert_int_equal(common->result[1], 1);
    assert_int_equal(tarn_recover(seg), 0); /* and nobody takes either for the other, or for dead */
    assert_int_equal(tarn_mutex_try(seg, &a->lock[0]), -EBUSY);
    assert_int_equal(tarn_mutex_try(seg, &a->lock[1]), -EBUSY);

    pid_t outside = start(hold_seven, 4); /* dies outside, recovered inside */
    await(&common->step[4], 1);
    kill_it(outside);
    reach(&common->step[1], 2);
    await(&common->step[1], 3);
    assert_int_equal(common->result[1], TARN_RECOVERED);

    kill_it(parent[0]); /* takes its child along */
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_mutex_try(seg, &a->lock[1]), -EBUSY); /* number 1 of the other one lives */
    assert_int_equal(tarn_mutex_try(seg, &a->lock[7]), -EBUSY);

    parent[2] = start_inside(2); /* a third number 1, in the record of the first */
    assert_int_equal(common->result[2], 1);
    assert_int_equal(tarn_mutex_try(seg, &a->lock[1]), -EBUSY);
    kill_it(parent[1]); /* dies inside one, recovered inside another */
    reach(&common->step[2], 2);
    await(&common->step[2], 3);
    assert_int_equal(common->result[2], TARN_RECOVERED);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[1]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[1]), 0);
    kill_it(parent[2]);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[7]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[7]), 0);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[2]), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[2]), 0);
}

/* ---- circles ---- */

static void meet(int i, int n) /* all n have come */
{
    reach(&common->step[i], 1);
    for (int k = 0; k < n; k++)
        await(&common->step[k], 1);
}
static void in_a_circle_of(int i, int n)
{
    check(tarn_begin(seg) == 0);
    check(tarn_save(seg, &a->word[i], 8) == 0);
    check(tarn_mutex_lock(seg, &a->lock[i]) == 0);
    a->word[i] = 1;
    meet(i, n);
    common->result[i] = tarn_mutex_lock(seg, &a->lock[(i + 1) % n]);
    check(common->result[i] == 0 || common->result[i] == -EDEADLK);
    check(tarn_mutex_unlock(seg, &a->lock[i]) == 0);
    if (common->result[i] == 0)
        check(tarn_mutex_unlock(seg, &a->lock[(i + 1) % n]) == 0);
    check(common->result[i] == 0 ? tarn_commit(seg) == 0 : tarn_abort(seg) == 0);
    check(tarn_close(seg) == 0);
}
static void circle_of_two(int i)
{
    in_a_circle_of(i, 2);
}
static void circle_of_five(int i)
{
    in_a_circle_of(i, 5);
}
static void circles_are_broken(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        int n = round % 2 ? 5 : 2, deadlocks = 0;
        pid_t pid[5];
        memset((void *)common, 0, sizeof *common);
        memset(a->word, 0, sizeof a->word);
        for (int i = 0; i < n; i++)
            pid[i] = start(n == 2 ? circle_of_two : circle_of_five, i);
        for (int i = 0; i < n; i++) {
            assert_int_equal(status_of(pid[i]), 0); /* that all end is the test */
            deadlocks += common->result[i] == -EDEADLK;
            assert_int_equal(a->word[i], common->result[i] == 0);
        }
        assert_true(deadlocks >= 1 && deadlocks < n);
    }
}

/* A chain that is no circle: 0 waits for 1, who waits for 2, who only takes his time. */
static void in_a_chain(int i)
{
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[i]) == 0);
    meet(i, 3);
    if (i == 2)
        usleep(120000);
    else
        common->result[i] = tarn_mutex_lock(seg, &a->lock[i + 1]);
    check(tarn_mutex_unlock(seg, &a->lock[i]) == 0);
    check(tarn_commit(seg) == 0);
    if (i < 2)
        check(tarn_mutex_unlock(seg, &a->lock[i + 1]) == 0);
    check(tarn_close(seg) == 0);
}
static void chains_are_no_circles(void **state)
{
    (void)state;
    pid_t pid[3];
    for (int i = 0; i < 3; i++)
        pid[i] = start(in_a_chain, i);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of(pid[i]), 0);
        assert_int_equal(common->result[i], 0);
    }
}

/* Number 0 waits with a time-out: until that is over there is no circle that nobody leaves, and 1 gets what it wants after it. */
static void gives_up(int i)
{
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[i]) == 0);
    meet(i, 2);
    if (i == 0) {
        struct timespec soon = from_now(150);
        common->result[0] = tarn_mutex_timed(seg, &a->lock[1], &soon);
        check(common->result[0] == -ETIMEDOUT || common->result[0] == -EDEADLK);
        check(tarn_abort(seg) == 0);
        check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    } else {
        common->result[1] = tarn_mutex_lock(seg, &a->lock[0]);
        check(common->result[1] == 0);
        check(tarn_commit(seg) == 0);
        check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
        check(tarn_mutex_unlock(seg, &a->lock[1]) == 0);
    }
    check(tarn_close(seg) == 0);
}
/* ... and then waits without one: now it is a circle, and one of them must be told, whoever came first. */
static void gives_up_and_comes_again(int i)
{
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[i]) == 0);
    meet(i, 2);
    int e = -ETIMEDOUT;
    if (i == 0) {
        struct timespec soon = from_now(80);
        e = tarn_mutex_timed(seg, &a->lock[1], &soon);
    }
    if (e == -ETIMEDOUT)
        e = tarn_mutex_lock(seg, &a->lock[1 - i]);
    common->result[i] = e;
    check(e == 0 || e == -EDEADLK);
    check(tarn_mutex_unlock(seg, &a->lock[i]) == 0);
    if (!e)
        check(tarn_mutex_unlock(seg, &a->lock[1 - i]) == 0);
    check(tarn_abort(seg) == 0);
    check(tarn_close(seg) == 0);
}
static void who_gives_up_makes_no_circle(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        pid_t pid[2];
        memset((void *)common, 0, sizeof *common);
        for (int i = 0; i < 2; i++)
            pid[i] = start(round % 2 ? gives_up_and_comes_again : gives_up, i);
        for (int i = 0; i < 2; i++)
            assert_int_equal(status_of(pid[i]), 0);
        if (round % 2)
            assert_true((common->result[0] == -EDEADLK) + (common->result[1] == -EDEADLK) == 1);
    }
}

/* Threads come and go in records that threads of the same process have just left, holding the lock for longer than sleepers' caps: nobody
 * alive may look dead, so nobody may be told of a death. (Byte locks do not tell the threads of a process apart.) */
static void *lock_and_leave(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1500; i++) {
        check(tarn_mutex_lock(seg, &a->lock[0]) == 0);
        a->word[0]++;
        if (i % 300 == 0)
            usleep(30000);
        check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
        check(tarn_thread_detach(seg) == 0);
    }
    return NULL;
}
static void threads_that_come_and_go(int i)
{
    pthread_t thread[3];
    (void)i;
    for (int k = 0; k < 3; k++)
        check(pthread_create(&thread[k], NULL, lock_and_leave, NULL) == 0);
    for (int k = 0; k < 3; k++)
        check(pthread_join(thread[k], NULL) == 0);
}
static void who_comes_where_another_left_lives(void **state)
{
    (void)state;
    pid_t pid[2];
    for (int i = 0; i < 2; i++)
        pid[i] = start(threads_that_come_and_go, i);
    for (int i = 0; i < 2; i++)
        assert_int_equal(status_of(pid[i]), 0);
    assert_int_equal(a->word[0], 2 * 3 * 1500);
    assert_int_equal(stat_of(seg).recovered, 0);
}

/* One of a circle that would be, is killed: the others end. */
static void die_in_a_circle(int i)
{
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[i]) == 0);
    meet(i, 2);
    if (i == 0)
        for_ever();
    common->result[i] = tarn_mutex_lock(seg, &a->lock[0]);
    check(tarn_abort(seg) == 0);
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0 && tarn_mutex_unlock(seg, &a->lock[1]) == 0);
    check(tarn_close(seg) == 0);
}
static void the_dead_are_in_no_circle(void **state)
{
    (void)state;
    pid_t pid[2];
    for (int i = 0; i < 2; i++)
        pid[i] = start(die_in_a_circle, i);
    await_waiters(&a->lock[0]);
    kill_it(pid[0]);
    assert_int_equal(status_of(pid[1]), 0);
    assert_int_equal(common->result[1], 0);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(waiters_are_told),
        with_segment(sections_are_undone),
        with_segment(every_way_to_leave_is_noticed),
        with_segment(who_ends_without_closing_takes_no_room),
        with_segment(a_thousand_threads),
        with_segment(a_fork_has_nothing_of_its_parents),
        with_segment(a_fork_may_close),
        with_segment(a_fork_does_not_keep_its_parent_alive),
        with_segment(tables_fill_and_empty),
        with_segment(racing_claims),
        with_segment(the_stopped_are_not_dead),
        with_segment(namespaces),
        with_segment(circles_are_broken),
        with_segment(chains_are_no_circles),
        with_segment(who_gives_up_makes_no_circle),
        with_segment(who_comes_where_another_left_lives),
        with_segment(the_dead_are_in_no_circle),
    };
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (common == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests_name("participant", tests, own_directory, remove_directory);
}

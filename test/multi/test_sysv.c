/* test_sysv.c - what System V has of its own: keys, making under a lock that needs no maker, memory of the same key that is somebody else's, deaths judged by
 * PID namespace, thread id and start time. Keys are of this process, and what is under them is removed whatever happens. */
#include "helper.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>

#include "os/os.h"
#include "participant/participant.h"

static char url[64];
static int32_t key;

static const struct tarn_options small = {
    .size = sizeof small, .initial = 128 << 10, .limit = 1 << 20, .participants = 4, .record_size = 2048};

static void remove_key(void)
{
    int id = shmget(key, 0, 0);
    if (id >= 0)
        shmctl(id, IPC_RMID, NULL);
}

static int set_up(void **state)
{
    static int32_t count;
    (void)state;
    key = 0x63000000 + (int32_t)getpid() * 16 % 0x900000 + count++;
    while (shmget(key, 0, 0) >= 0 || errno != ENOENT) /* somebody has it: it is not ours to remove */
        key += 0x1000;
    snprintf(url, sizeof url, "sysv:%d", key);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    remove_key();
    return 0;
}

static void assert_says(const char *part)
{
    if (!strstr(tarn_error(), part))
        fail_msg("\"%s\" does not say \"%s\"", tarn_error(), part);
}

/* ---- the linker puts these between: a maker dies at the n-th of his steps ---- */

static int steps_to_death = -1;
static void step(void)
{
    if (steps_to_death >= 0 && steps_to_death-- == 0)
        raise(SIGKILL);
}
int __real_os_shm_create(int32_t k, uint64_t size, uint32_t mode, int *ret_id);
int __wrap_os_shm_create(int32_t k, uint64_t size, uint32_t mode, int *ret_id);
int __wrap_os_shm_create(int32_t k, uint64_t size, uint32_t mode, int *ret_id)
{
    step();
    int e = __real_os_shm_create(k, size, mode, ret_id);
    step();
    return e;
}
int __real_os_populate(void *at, uint64_t size, bool writable);
int __wrap_os_populate(void *at, uint64_t size, bool writable);
int __wrap_os_populate(void *at, uint64_t size, bool writable)
{
    step();
    int e = __real_os_populate(at, size, writable);
    step();
    return e;
}
int __real_os_random(void *to, size_t size);
int __wrap_os_random(void *to, size_t size);
int __wrap_os_random(void *to, size_t size)
{
    step();
    return __real_os_random(to, size);
}
void __real_os_robust_init(pthread_mutex_t *m);
void __wrap_os_robust_init(pthread_mutex_t *m);
void __wrap_os_robust_init(pthread_mutex_t *m) /* of each record, in the midst of filling */
{
    step();
    __real_os_robust_init(m);
}
int __real_os_membarrier_register(void);
int __wrap_os_membarrier_register(void);
int __wrap_os_membarrier_register(void) /* when it is attached: just before the first word */
{
    step();
    int e = __real_os_membarrier_register();
    step();
    return e;
}

/* ---- keys ---- */

static void keys_are_judged(void **state)
{
    (void)state;
    static const char *const bad[] = {"sysv:",       "sysv:0",        "sysv:0x0",         "sysv:x12",
                                      "sysv:12x",    "sysv:-1",       "sysv:0x",          "sysv: 1",
                                      "sysv:1 ",     "sysv:012",      "sysv:0x100000000", "sysv:4294967296",
                                      "sysv:privat", "sysv:private ", "sysv:+5",          "sysv:5.0"};
    tarn *seg, *same;
    char hex[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tarn_open(bad[i], TARN_CREATE, &small, &seg), -EINVAL);
        assert_int_equal(tarn_unlink(bad[i]), -EINVAL);
    }
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
    assert_int_equal(tarn_unlink(url), -ENOENT);
    assert_int_equal(tarn_open("sysv:private", 0, NULL, &seg), -EINVAL);
    assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &seg), 0);
    assert_int_equal(tarn_fd(seg), -1);
    snprintf(hex, sizeof hex, "sysv:0x%X", (unsigned)key);
    assert_int_equal(tarn_open(hex, 0, NULL, &same), 0);
    assert_ptr_equal(seg, same);
    assert_int_equal(tarn_close(same), 0);
    assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &same), -EEXIST);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_int_equal(tarn_open(url, 0, NULL, &same), -ENOENT);
    assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &same), 0); /* another, beside the old one */
    assert_ptr_not_equal(seg, same);
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_says("another segment");
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_close(same), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

/* ---- making ---- */

static void of_racing_makers_one_wins(void **state)
{
    (void)state;
    enum { MAKERS = 6 };
    for (int round = 0; round < (SANITIZED ? 20 : 100); round++) {
        pid_t child[MAKERS];
        int status, made = 0;
        for (int i = 0; i < MAKERS; i++)
            if ((child[i] = fork()) == 0) {
                tarn *seg;
                bool exclusive = i % 2;
                int e = tarn_open(url, TARN_CREATE | (exclusive ? TARN_EXCL : 0), &small, &seg), *n;
                if (exclusive && e == -EEXIST)
                    _exit(1);
                check(e == 0);
                check(tarn_object(seg, "n", int, &n) == 0);
                __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
                check(tarn_close(seg) == 0);
                _exit(exclusive ? 2 : 0);
            }
        for (int i = 0; i < MAKERS; i++) {
            assert_int_equal(waitpid(child[i], &status, 0), child[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 2);
            made += WEXITSTATUS(status) == 2;
        }
        assert_true(made <= 1);
        tarn *seg;
        int *n;
        assert_int_equal(tarn_open(url, 0, NULL, &seg), 0);
        assert_int_equal(tarn_object(seg, "n", int, &n), 0);
        assert_int_equal(*n, MAKERS / 2 + made); /* all the same memory */
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
    }
}

/* Killed at each step of making: nobody sees it half-made, and the next maker makes it whole. */
static void makers_who_die_leave_nothing(void **state)
{
    (void)state;
    int kills = 0, half_made = 0, status = 0;
    for (int steps = 0;; steps++) {
        pid_t child = fork();
        if (child == 0) {
            tarn *mine;
            steps_to_death = steps;
            check(tarn_open(url, TARN_CREATE, &small, &mine) == 0);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(status, 0);
            break;
        }
        kills++;
        half_made += shmget(key, 0, 0) >= 0;
        tarn *seg;
        struct tarn_stat s;
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
        assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), -ENOENT);
        if (steps % 2) /* with others beside it */
            for (int k = 0; k < 2; k++)
                if (fork() == 0) {
                    check(tarn_open(url, TARN_CREATE, &small, &seg) == 0);
                    _exit(0);
                }
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
        while (wait(&status) > 0)
            assert_int_equal(status, 0);
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_int_equal(s.data, 128 << 10);
        assert_int_equal(tarn_thread_attach(seg), 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
        assert_true(steps < 200);
    }
    assert_true(kills >= 10 && half_made >= 8); /* else the steps were not where they should be */
    assert_int_equal(tarn_unlink(url), 0);
}

/* What was begun with some options is not taken over by who wants others. */
static void other_options_are_not_adopted(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    struct tarn_options other = small;
    tarn *seg;
    if (child == 0) {
        steps_to_death = 2; /* after shmget, before all is there */
        (void)tarn_open(url, TARN_CREATE, &small, &seg);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    other.participants = 5;
    assert_int_equal(tarn_open(url, TARN_CREATE, &other, &seg), -EPROTO);
    assert_says("of other options");
    other = small;
    other.mode = 0660;
    assert_int_equal(tarn_open(url, TARN_CREATE, &other, &seg), -EPROTO);
    assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

/* Zeroed memory of somebody else: of the same number of pages, or of the very same size but another's; never written to. */
static void others_memory_is_left_alone(void **state)
{
    (void)state;
    tarn *seg;
    struct shmid_ds ds;
    assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
    uint64_t end = seg->geometry.end;
    int id = shmget(key, 0, 0);
    assert_int_equal(shmctl(id, IPC_STAT, &ds), 0);
    uint64_t told = ds.shm_segsz;
    assert_true(told <= end && told > end - 4096);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
    for (int kind = 0; kind < 4; kind++) {
        uint64_t size = kind == 0 ? end : kind == 1 ? told - 1 : kind == 2 ? told : 4096;
        id = shmget(key, size, IPC_CREAT | IPC_EXCL | 0666);
        assert_true(id >= 0);
        if (kind == 2) { /* our size, by chance; but given to another user */
            if (geteuid() != 0) {
                shmctl(id, IPC_RMID, NULL);
                continue;
            }
            assert_int_equal(shmctl(id, IPC_STAT, &ds), 0);
            ds.shm_perm.uid = 65534;
            assert_int_equal(shmctl(id, IPC_SET, &ds), 0);
        }
        const char *at = shmat(id, NULL, SHM_RDONLY);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), -EPROTO);
        assert_says("somebody else's");
        assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &seg), -EPROTO);
        assert_int_equal(tarn_unlink(url), -ENOENT);
        for (uint64_t i = 0; i < size; i++)
            assert_int_equal(at[i], 0);
        shmdt(at);
        char *w = shmat(id, NULL, 0);
        w[9] = 1; /* not even zeros, with the first word 0 */
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), -EPROTO);
        w[0] = 'x';
        int refused = kind == 2 ? -EACCES : -EPROTO;
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), refused);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), refused);
        assert_int_equal(tarn_unlink(url), -EPROTO);
        shmdt(w);
        assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    }
}

static void removed_by_a_stranger(void **state)
{
    (void)state;
    tarn *seg, *next;
    int *n;
    assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
    remove_key();
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_int_equal(tarn_object(seg, "n", int, &n), 0); /* it goes on, for who has it */
    assert_int_equal(tarn_grow(seg, 65536), 0);
    assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &next), 0);
    assert_int_equal(tarn_close(next), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

static int count_ids(void)
{
    struct shm_info info;
    shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
    return info.used_ids;
}

static void private_ones_go_with_their_last_user(void **state)
{
    (void)state;
    int status;
    if (unshare(CLONE_NEWIPC) != 0) /* alone, so that ids can be counted; of this process, from here on */
        skip();
    for (int killed = 0; killed < 2; killed++) {
        tarn *seg;
        int *n;
        assert_int_equal(tarn_open("sysv:private", TARN_CREATE, &small, &seg), 0);
        assert_int_equal(tarn_current(seg), 0);
        assert_int_equal(tarn_object(seg, "n", int, &n), 0);
        pid_t child = fork();
        if (child == 0) {
            *n = 5;
            if (killed)
                raise(SIGKILL);
            check(tarn_close(seg) == 0);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(*n, 5);
        assert_int_equal(count_ids(), 1);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(count_ids(), 0);
    }
}

static void limits_are_named(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        tarn *seg;
        FILE *f = unshare(CLONE_NEWIPC) == 0 ? fopen("/proc/sys/kernel/shmmni", "w") : NULL;
        if (!f || fprintf(f, "1\n") < 0 || fclose(f) != 0)
            _exit(77);
        check(tarn_open(url, TARN_CREATE, &small, &seg) == 0);
        check(tarn_open("sysv:private", TARN_CREATE, &small, &seg) == -ENOSPC &&
              strstr(tarn_error(), "shmmni"));
        f = fopen("/proc/sys/kernel/shmmax", "w");
        check(f && fprintf(f, "65536\n") > 0 && fclose(f) == 0);
        check(tarn_unlink(url) == 0);
        check(tarn_open("sysv:private", TARN_CREATE, &small, &seg) == -ENOSPC &&
              strstr(tarn_error(), "shmmax"));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

/* ---- deaths ---- */

struct locked {
    tarn_mutex lock;
    int value;
};

/* A child with the lock, which waits to be killed. */
static pid_t holder(tarn *seg, struct locked *l, bool in_namespace)
{
    int ready[2], tell[2]; /* a pipe each: a pid and a byte in one could come in either order, and a wrong pid would be killed */
    char c;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(tell), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a test that failed */
        if (in_namespace) {
            if (unshare(CLONE_NEWPID) != 0)
                _exit(77);
            pid_t inner = fork(); /* the first of a PID namespace */
            if (inner > 0) {
                int status;
                prctl(PR_SET_CHILD_SUBREAPER, 1);
                check(write(tell[1], &inner, sizeof inner) == sizeof inner);
                waitpid(inner, &status, 0);
                _exit(0);
            }
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        }
        check(tarn_mutex_lock(seg, &l->lock) == 0);
        l->value = 1;
        check(write(ready[1], "x", 1) == 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    close(tell[1]);
    pid_t told = child;
    if (in_namespace && read(tell[0], &told, sizeof told) != sizeof told)
        told = -1;
    if (told > 0)
        assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(tell[0]);
    return told;
}

static int note_state(const struct tarn_participant *p, void *arg)
{
    if (p->pid != (uint32_t)getpid())
        *(char *)arg = p->state;
    return 0;
}

static void the_dead_are_noticed(void **state)
{
    (void)state;
    for (int mixed = 0; mixed < 2; mixed++) {
        tarn *seg;
        struct locked *l;
        int status;
        assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &seg), 0);
        assert_int_equal(tarn_object(seg, "l", struct locked, &l), 0);
        pid_t child = holder(seg, l, false);
        if (mixed)
            participants_of(seg)->mixed = 1; /* as if somebody of another namespace had come: evidence is asked for */
        char seen = 0;
        assert_int_equal(tarn_participants(seg, note_state, &seen), 0);
        assert_int_equal(seen, 'l');
        assert_int_equal(tarn_mutex_try(seg, &l->lock), -EBUSY);
        assert_int_equal(kill(child, SIGKILL), 0);
        /* not reaped yet: a zombie is dead */
        assert_int_equal(tarn_mutex_lock(seg, &l->lock), TARN_RECOVERED);
        assert_int_equal(tarn_mutex_consistent(seg, &l->lock), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &l->lock), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
    }
}

/* Killed in another PID namespace: reported there and here, and not recovered from here. That one of its own recovers it is not tried. */
static void other_namespaces_report(void **state)
{
    (void)state;
    tarn *seg;
    struct locked *l;
    struct timespec soon;
    assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &seg), 0);
    assert_int_equal(tarn_object(seg, "l", struct locked, &l), 0);
    pid_t other = holder(seg, l, true);
    if (other <= 0) {
        tarn_close(seg);
        tarn_unlink(url);
        skip();
    }
    assert_int_equal(participants_of(seg)->mixed, 1);
    assert_int_equal(kill(other, SIGKILL), 0);
    char seen = 0;
    for (int i = 0; i < 2000 && seen != 'u'; i++) {
        struct timespec moment = {0, 1000000};
        nanosleep(&moment, NULL);
        assert_int_equal(tarn_participants(seg, note_state, &seen), 0);
    }
    assert_int_equal(seen, 'u');
    assert_true(tarn_recover(seg) == 0); /* not ours to recover */
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_nsec += 50000000;
    if (soon.tv_nsec >= 1000000000) {
        soon.tv_nsec -= 1000000000;
        soon.tv_sec++;
    }
    assert_int_equal(tarn_mutex_timed(seg, &l->lock, &soon), -ETIMEDOUT);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

/* Ended from outside, as by a time-out: nothing is left all the same. */
static pid_t whole;
static void on_end(int number)
{
    if (getpid() == whole)
        remove_key();
    _exit(128 + number);
}

int main(void)
{
    whole = getpid();
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGALRM, on_end);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_racing_makers_one_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(makers_who_die_leave_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_options_are_not_adopted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_memory_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removed_by_a_stranger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_dead_are_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_namespaces_report, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_ones_go_with_their_last_user, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

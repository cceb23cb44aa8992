/* test_sysv.c - what System V has of its own: keys, making under a lock that needs no maker, memory of the same key that is somebody else's, deaths judged by
 * PID namespace, thread id and start time. Keys are of this process, and what is under them is removed whatever happens. */
#include "helper.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>

#include "backing/backing.h"
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
    alarm(60);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    alarm(0);
    remove_key();
    return 0;
}

/* ---- the linker puts these between: a maker dies at the n-th of his steps ---- */

static int steps_to_death = -1, death = SIGKILL;
static void step(void)
{
    if (steps_to_death >= 0 && steps_to_death-- == 0)
        raise(death);
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

/* Called before, and after, the n-th mapping from now on. */
static int maps_to_hook;
static void (*before_map)(void), (*after_map)(void);
int __real_os_shm_map(int id, const struct os_place *place, void **ret_base);
int __wrap_os_shm_map(int id, const struct os_place *place, void **ret_base);
int __wrap_os_shm_map(int id, const struct os_place *place, void **ret_base)
{
    bool now = maps_to_hook && --maps_to_hook == 0;
    if (now && before_map)
        before_map();
    int e = __real_os_shm_map(id, place, ret_base);
    if (now && after_map)
        after_map();
    return e;
}

/* Of this id nobody seems to be alone with it, and nobody seems to have company. */
static int crowded_id = -1;
/* Until then, what is under the key is removed and made anew, by another process, whenever the opener, who has it mapped, looks at it. */
static uint64_t renewed_until;
static int renewals, asks[2], says[2];
static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
int __real_os_shm_stat(int id, struct os_shm *ret);
int __wrap_os_shm_stat(int id, struct os_shm *ret);
int __wrap_os_shm_stat(int id, struct os_shm *ret)
{
    int e = __real_os_shm_stat(id, ret);
    if (e == 0 && id == crowded_id)
        ret->attached = 1;
    if (e == 0 && ret->attached == 2 && now_ms() < renewed_until) { /* by its maker, and by us */
        char c = 0;
        if (shmctl(id, IPC_RMID, NULL) != 0 || write(asks[1], &c, 1) != 1 || read(says[0], &c, 1) != 1)
            abort();
        renewals++;
        e = __real_os_shm_stat(id, ret);
    }
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

/* All of it, whatever it is: to be freed. */
static char *bytes_of(int id, size_t *ret_size)
{
    struct shmid_ds ds;
    assert_int_equal(shmctl(id, IPC_STAT, &ds), 0);
    void *at = shmat(id, NULL, SHM_RDONLY);
    assert_true(at != (void *)-1);
    char *copy = malloc(ds.shm_segsz);
    assert_non_null(copy);
    memcpy(copy, at, ds.shm_segsz);
    assert_int_equal(shmdt(at), 0);
    *ret_size = ds.shm_segsz;
    return copy;
}

/* What was begun with some options is not taken over by who wants others, nor is a byte of it changed. */
static void other_options_are_not_adopted(void **state)
{
    (void)state;
    static const int steps[] = {1, 2, 5}; /* after shmget; before all is there; in the midst of filling */
    int status, filled = 0;
    tarn *seg;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct tarn_options other = small;
        size_t size, again;
        pid_t child = fork();
        if (child == 0) {
            steps_to_death = steps[i];
            (void)tarn_open(url, TARN_CREATE, &small, &seg);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int id = shmget(key, 0, 0);
        char *before = bytes_of(id, &size), *after;
        for (size_t k = 0; k < size; k++)
            filled += before[k] != 0;
        other.participants = 5;
        assert_int_equal(tarn_open(url, TARN_CREATE, &other, &seg), -EPROTO);
        assert_says("of other options");
        other = small;
        other.mode = 0660;
        assert_int_equal(tarn_open(url, TARN_CREATE, &other, &seg), -EPROTO);
        assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &other, &seg), -EPROTO);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
        assert_int_equal(shmget(key, 0, 0), id);
        after = bytes_of(id, &again);
        assert_int_equal(size, again);
        assert_memory_equal(before, after, size);
        free(before);
        free(after);
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
        assert_int_equal(shmget(key, 0, 0), id);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
    }
    assert_true(filled > 0); /* else there was nothing that could have changed */
}

/* A maker who is stopped inside the door is waited for, but not for ever; nothing of his is touched, and he may go on. */
static void the_stopped_are_waited_for_a_while(void **state)
{
    (void)state;
    uint32_t patience = sysv_patience;
    assert_in_range(patience, 1000, 60000); /* of those who do not ask for less */
    for (int killed = 0; killed < 2; killed++) {
        tarn *seg;
        int status, *n;
        size_t size, again;
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            steps_to_death = 5;
            death = SIGSTOP;
            check(tarn_open(url, TARN_CREATE, &small, &seg) == 0);
            check(tarn_object(seg, "n", int, &n) == 0);
            *n = 42;
            check(tarn_close(seg) == 0);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, WUNTRACED), child);
        assert_true(WIFSTOPPED(status));
        int id = shmget(key, 0, 0);
        char *before = bytes_of(id, &size), *after;
        sysv_patience = 1;
        for (int i = 0; i < 3; i++) {
            assert_int_equal(tarn_open(url, i == 1 ? TARN_CREATE | TARN_EXCL : TARN_CREATE, &small, &seg), -EBUSY);
            assert_says("stopped");
            assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
            sysv_patience = 30u << i;
        }
        assert_int_equal(shmget(key, 0, 0), id); /* who gave up has not removed it */
        after = bytes_of(id, &again);
        assert_int_equal(size, again);
        const size_t door = offsetof(struct segment_header, door); /* where those who wait say so */
        memset(before + door, 0, sizeof(pthread_mutex_t));
        memset(after + door, 0, sizeof(pthread_mutex_t));
        assert_memory_equal(before, after, size);
        free(before);
        free(after);
        assert_int_equal(kill(child, killed ? SIGKILL : SIGCONT), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        sysv_patience = patience;
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
        assert_int_equal(shmget(key, 0, 0), id);
        assert_int_equal(tarn_object(seg, "n", int, &n), 0);
        assert_int_equal(*n, killed ? 0 : 42);
        assert_int_equal(killed ? WTERMSIG(status) : status, killed ? SIGKILL : 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
    }
}

/* Makers in a race, one of them or all killed at any moment: there is one segment or none, whole or not to be seen, and who comes next has it. */
static void makers_killed_at_random(void **state)
{
    (void)state;
    enum { MAKERS = 3 };
    struct timespec now, end;
    unsigned seed = 11;
    int rounds = 0, unseen = 0, half = 0, made = 0;
    long spread = 200000; /* ns; widened or narrowed until about half of them come to the end */
    clock_gettime(CLOCK_MONOTONIC, &end);
    time_t least = end.tv_sec + 12; /* a slow machine takes longer to see all of it */
    end.tv_sec += 3;
    do {
        pid_t child[MAKERS];
        int status, line[2], ended = 0;
        struct tarn_stat s, first = {0};
        struct timespec pause = {0, rand_r(&seed) % spread};
        bool all = rand_r(&seed) % 2;
        tarn *seg, *reader;
        assert_int_equal(pipe(line), 0);
        for (int i = 0; i < MAKERS; i++)
            if ((child[i] = fork()) == 0) {
                char c;
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(line[1]);
                check(read(line[0], &c, 1) == 0);
                check(tarn_open(url, TARN_CREATE, &small, &seg) == 0);
                check(tarn_thread_attach(seg) == 0 && tarn_close(seg) == 0);
                _exit(0);
            }
        close(line[0]);
        close(line[1]); /* off they go */
        nanosleep(&pause, NULL);
        for (int i = 0; i < (all ? MAKERS : 1); i++)
            assert_int_equal(kill(child[i], SIGKILL), 0);
        for (int i = 0; i < (all ? MAKERS : 1); i++) {
            assert_int_equal(waitpid(child[i], &status, 0), child[i]);
            assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            ended += status == 0;
        }
        spread = ended ? spread - spread / 8 : spread + spread / 16;
        spread = spread < 20000 ? 20000 : spread > 100000000 ? 100000000 : spread;
        int e = tarn_open(url, TARN_RDONLY, NULL, &reader);
        if (e == 0) {
            made++;
            assert_int_equal(tarn_stat(reader, &first), 0);
            assert_int_equal(tarn_close(reader), 0);
        } else {
            assert_int_equal(e, -ENOENT);
            unseen++;
            half += all && shmget(key, 0, 0) >= 0;
        }
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0); /* besides those who live */
        for (int i = all ? MAKERS : 1; i < MAKERS; i++) {
            assert_int_equal(waitpid(child[i], &status, 0), child[i]);
            assert_int_equal(status, 0);
        }
        assert_int_equal(tarn_stat(seg, &s), 0);
        if (e == 0)
            assert_memory_equal(s.uuid, first.uuid, sizeof s.uuid);
        assert_int_equal(tarn_current(seg), 0); /* the key leads to this one, and so to no other */
        assert_int_equal(tarn_thread_attach(seg), 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
        assert_int_equal(shmget(key, 0, 0), -1);
        rounds++;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (made && unseen && half)
            least = end.tv_sec;
    } while (now.tv_sec < least && rounds < 100000);
    print_message("%d rounds: %d found whole, %d not to be seen, %d of them half-made\n", rounds, made,
                  unseen, half);
    assert_true(made > 0 && unseen > 0 && half > 0); /* else the kills were not where they should be */
}

/* ---- removing ---- */

static int planted;
static void plant_in_its_place(void)
{
    remove_key();
    planted = shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600);
}

/* Between the look at it and its removal it goes, and something else comes under the key. */
static void removal_is_of_what_was_looked_at(void **state)
{
    (void)state;
    for (int users = 0; users < 2; users++) /* nobody has it: it is gone at once; or it is removed only by name */
        for (int way = 0; way < 3; way++) {
            tarn *seg;
            struct shmid_ds ds;
            assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &seg), 0);
            if (!users)
                assert_int_equal(tarn_close(seg), 0);
            before_map = way == 0 ? remove_key : NULL; /* the second look, at its header */
            after_map = way == 1 ? remove_key : way == 2 ? plant_in_its_place : NULL;
            maps_to_hook = 2;
            assert_int_equal(tarn_unlink(url), -ENOENT); /* another was quicker */
            assert_int_equal(maps_to_hook, 0);
            if (way == 2) {
                assert_int_equal(shmctl(planted, IPC_STAT, &ds), 0);
                assert_int_equal(shmget(key, 0, 0), planted);
                remove_key();
            }
            if (users)
                assert_int_equal(tarn_close(seg), 0);
            assert_int_equal(shmget(key, 0, 0), -1);
        }
    before_map = after_map = NULL;
}

#define STRANGER 65534u

static void make_and_give(void *size)
{
    struct shmid_ds ds;
    check(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    int id = shmget(key, *(uint64_t *)size, IPC_CREAT | IPC_EXCL | 0666);
    check(id >= 0 && shmctl(id, IPC_STAT, &ds) == 0);
    ds.shm_perm.uid = 0;
    ds.shm_perm.gid = 0;
    check(shmctl(id, IPC_SET, &ds) == 0);
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
    for (int kind = 0; kind < 5; kind++) {
        uint64_t size = kind == 0 ? end : kind == 1 ? told - 1 : kind == 3 ? 4096 : told;
        if (kind == 4) { /* our size, and ours; but made by another user, who has given it to us and keeps his rights */
            if (geteuid() != 0)
                continue;
            assert_int_equal(in_child(make_and_give, &size), 0);
            id = shmget(key, 0, 0);
            assert_int_equal(shmctl(id, IPC_STAT, &ds), 0);
            assert_true(ds.shm_perm.uid == 0 && ds.shm_perm.cuid == STRANGER);
        } else {
            id = shmget(key, size, IPC_CREAT | IPC_EXCL | 0666);
        }
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
        int refused = kind == 2 || kind == 4 ? -EACCES : -EPROTO;
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), refused);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), refused);
        assert_int_equal(tarn_unlink(url), -EPROTO);
        shmdt(w);
        assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    }
}

/* A whole segment, made by another user and given to us: he may still write all of it, and so it is his. */
static void make_whole_and_give(void *lifetime)
{
    struct tarn_options o = small;
    struct shmid_ds ds;
    tarn *seg;
    o.lifetime = *(uint32_t *)lifetime;
    check(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    check(tarn_open(url, TARN_CREATE, &o, &seg) == 0);
    int id = shmget(key, 0, 0);
    check(id >= 0 && shmctl(id, IPC_STAT, &ds) == 0);
    ds.shm_perm.uid = 0;
    ds.shm_perm.gid = 0;
    check(shmctl(id, IPC_SET, &ds) == 0);
    check(shmat(id, NULL, 0) != (void *)-1);
}
static void open_a_gift(void *unused)
{
    tarn *seg;
    (void)unused;
    check(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    check(tarn_open(url, 0, NULL, &seg) == 0);
    check(tarn_close(seg) == 0);
}
static void gifts_are_not_accepted(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    for (uint32_t lifetime = TARN_UNTIL_UNLINKED; lifetime <= TARN_UNTIL_CREATOR; lifetime++) {
        struct tarn_options o = small;
        struct shmid_ds ds;
        tarn *seg;
        o.lifetime = lifetime;
        assert_int_equal(in_child(make_whole_and_give, &lifetime), 0);
        int id = shmget(key, 0, 0);
        assert_int_equal(shmctl(id, IPC_STAT, &ds), 0);
        assert_true(ds.shm_perm.uid == 0 && ds.shm_perm.cuid == STRANGER);
        if (lifetime == TARN_UNTIL_UNLINKED) {
            assert_int_equal(tarn_open(url, 0, NULL, &seg), -EACCES);
            assert_says("made by user 65534");
            assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), -EACCES);
            assert_int_equal(tarn_open(url, TARN_CREATE, &o, &seg), -EACCES);
            assert_int_equal(tarn_open(url, TARN_FOREIGN, NULL, &seg), 0);
            assert_int_equal(tarn_close(seg), 0);
        } else { /* it has ended, and is not ours to sweep by the way */
            assert_int_equal(tarn_open(url, TARN_CREATE, &o, &seg), -EACCES);
            assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &o, &seg), -EEXIST);
        }
        assert_int_equal(shmget(key, 0, 0), id);
        assert_int_equal(tarn_unlink(url), 0);
        /* the other way round: root's, given away, is root's as well */
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), 0);
        assert_int_equal(tarn_set_owner(seg, STRANGER, STRANGER), 0);
        assert_int_equal(in_child(open_a_gift, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
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

static bool id_is_gone(int id)
{
    struct shmid_ds ds;
    return shmctl(id, IPC_STAT, &ds) < 0 && (errno == EINVAL || errno == EIDRM);
}

/* Killed, all of them: the last one's end is the memory's. */
static void private_ones_go_with_their_last_user_killed(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        int told[2], ready[2], status; /* a pipe each */
        char c;
        struct {
            int id;
            pid_t other;
        } first;
        assert_int_equal(pipe(told), 0);
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            tarn *seg;
            int *n;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            check(tarn_open("sysv:private", TARN_CREATE, &small, &seg) == 0);
            check(tarn_object(seg, "n", int, &n) == 0);
            first.id = seg->object.shm;
            first.other = fork();
            if (first.other == 0) {
                alarm(60);
                check(tarn_begin(seg) == 0 && tarn_save(seg, n, sizeof *n) == 0); /* in the midst of something */
                check(write(ready[1], "x", 1) == 1);
                for (;;)
                    pause();
            }
            check(write(told[1], &first, sizeof first) == sizeof first);
            for (;;)
                pause();
        }
        close(told[1]);
        close(ready[1]);
        assert_int_equal(read(told[0], &first, sizeof first), sizeof first);
        assert_int_equal(read(ready[0], &c, 1), 1);
        close(told[0]);
        close(ready[0]);
        assert_false(id_is_gone(first.id));
        pid_t one = order ? first.other : child, last = order ? child : first.other;
        assert_int_equal(kill(one, SIGKILL), 0);
        if (one == child)
            assert_int_equal(waitpid(child, &status, 0), child);
        assert_false(id_is_gone(first.id)); /* the other one has it */
        assert_int_equal(kill(last, SIGKILL), 0);
        if (last == child)
            assert_int_equal(waitpid(child, &status, 0), child);
        for (int i = 0; i < 5000 && !id_is_gone(first.id); i++)
            usleep(1000); /* the grandchild is somebody else's to reap */
        assert_true(id_is_gone(first.id));
    }
}

/* Its maker killed at each step: only between shmget and the mark an id is left, and no call of System V's closes that gap. */
static void private_makers_killed(void *unused)
{
    int status = -1, kills = 0, left = 0;
    (void)unused;
    if (unshare(CLONE_NEWIPC) != 0)
        _exit(77);
    for (int steps = 0; status != 0; steps++) {
        pid_t child = fork();
        if (child == 0) {
            tarn *seg;
            steps_to_death = steps;
            check(tarn_open("sysv:private", TARN_CREATE, &small, &seg) == 0);
            _exit(0);
        }
        check(waitpid(child, &status, 0) == child);
        check(status == 0 || WIFSIGNALED(status));
        kills += status != 0;
        int ids = count_ids();
        if (ids) { /* right behind shmget: the first step behind it */
            struct shmid_ds ds;
            left++;
            check(ids == 1 && steps == 1);
            for (int i = 0; i < 16; i++) {
                int id = shmctl(i, SHM_STAT, &ds);
                if (id >= 0)
                    check(ds.shm_nattch == 0 && shmctl(id, IPC_RMID, NULL) == 0);
            }
            check(count_ids() == 0);
        }
        check(steps < 200);
    }
    check(kills >= 8 && left == 1);
}
static void private_makers_leave_nothing_once_marked(void **state)
{
    (void)state;
    int status = in_child(private_makers_killed, NULL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void set_limit(const char *name, uint64_t value)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    FILE *f = fopen(path, "w");
    check(f && fprintf(f, "%llu\n", (unsigned long long)value) > 0 && fclose(f) == 0);
}

static void leave_whole(void *unused)
{
    struct tarn_options o = small;
    tarn *seg;
    (void)unused;
    o.lifetime = TARN_UNTIL_UNUSED;
    check(tarn_open(url, TARN_CREATE, &o, &seg) == 0);
}
static void __attribute__((noreturn)) renew(void)
{
    struct tarn_options o = small;
    tarn *seg, *was = NULL;
    char c;
    alarm(60);
    close(asks[1]);
    o.lifetime = TARN_UNTIL_UNUSED;
    while (read(asks[0], &c, 1) == 1) {
        check(tarn_open(url, TARN_CREATE, &o, &seg) == 0);
        check(!was || tarn_close(was) == 0);
        was = seg;
        check(write(says[1], &c, 1) == 1);
    }
    check(tarn_close(was) == 0);
    _exit(0);
}
/* As long as it is another each time, the others come on, and so will we. */
static void what_comes_and_goes_is_waited_for(void **state)
{
    (void)state;
    tarn *seg;
    char c = 0;
    int status;
    pid_t pid;
    assert_int_equal(pipe(asks) | pipe(says), 0);
    if ((pid = fork()) == 0)
        renew();
    assert_int_equal(write(asks[1], &c, 1), 1);
    assert_int_equal(read(says[0], &c, 1), 1);
    renewed_until = now_ms() + 2500;
    if (tarn_open(url, 0, NULL, &seg) < 0)
        fail_msg("%s", tarn_error());
    assert_true(now_ms() >= renewed_until);
    renewed_until = 0;
    assert_true(renewals > 1);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    close(asks[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(asks[0]), close(says[0]), close(says[1]);
}

/* Several who come at once, where the last user was killed, have it mapped by turns, just to look: each may find somebody there before he maps it, and
 * nobody once he has. */
static void openers_do_not_keep_each_other_out(void **state)
{
    (void)state;
    struct tarn_options o = small;
    tarn *seg;
    int left, now;
    o.lifetime = TARN_UNTIL_UNUSED;
    assert_int_equal(in_child(leave_whole, NULL), 0);
    assert_int_equal(os_shm_find(key, &left), 0);
    crowded_id = left;
    if (tarn_open(url, TARN_CREATE, &o, &seg) < 0)
        fail_msg("%s", tarn_error());
    crowded_id = -1;
    assert_int_equal(os_shm_find(key, &now), 0);
    assert_int_not_equal(now, left);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(os_shm_find(key, &now), -ENOENT);
}

static void limits_are_named(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        tarn *seg, *other;
        static const char *const urls[] = {NULL, "sysv:private"};
        uint64_t pages;
        FILE *f = unshare(CLONE_NEWIPC) == 0 ? fopen("/proc/sys/kernel/shmmni", "w") : NULL;
        if (!f || fprintf(f, "1\n") < 0 || fclose(f) != 0)
            _exit(77);
        check(tarn_open(url, TARN_CREATE, &small, &seg) == 0);
        check(tarn_open("sysv:private", TARN_CREATE, &small, &other) == -ENOSPC);
        check(strstr(tarn_error(), "shmmni, 1 segments") && !strstr(tarn_error(), "shmall"));
        check(count_ids() == 1);
        set_limit("shmmni", 4096);
        pages = (seg->geometry.end + 4095) / 4096;
        for (int i = 0; i < 2; i++) {
            const char *to = urls[i] ? urls[i] : url;
            if (i == 0) { /* the one there is goes on, whatever the limits are now */
                set_limit("shmall", 1);
                check(tarn_grow(seg, 65536) == 0);
                check(tarn_close(seg) == 0 && tarn_unlink(url) == 0 && count_ids() == 0);
            }
            set_limit("shmall", pages - 1);
            check(tarn_open(to, TARN_CREATE, &small, &seg) == -ENOSPC);
            check(strstr(tarn_error(), "kernel.shmall") && !strstr(tarn_error(), "shmmni"));
            check(tarn_open(to, TARN_CREATE | TARN_EXCL, &small, &seg) == -ENOSPC);
            check(count_ids() == 0);    /* nothing is left */
            set_limit("shmall", pages); /* what is said to be needed is enough */
            check(tarn_open(to, TARN_CREATE, &small, &seg) == 0);
            check(tarn_open("sysv:1", TARN_CREATE, &small, &other) == -ENOSPC &&
                  strstr(tarn_error(), "kernel.shmall"));
            check(count_ids() == 1);
            check(tarn_close(seg) == 0 && (i || tarn_unlink(to) == 0) && count_ids() == 0);
            set_limit("shmmax", 65536);
            check(tarn_open(to, TARN_CREATE, &small, &seg) == -ENOSPC);
            check(strstr(tarn_error(), "shmmax is 65536"));
            check(count_ids() == 0);
            set_limit("shmmax", 1 << 30);
        }
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

/* Killed in another PID namespace: reported there and here, and not recovered from here. */
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

/* Inside a PID namespace of its own, with a /proc of its own, for the evidence is there: number 1, who has a child take the lock, kills it when told to, and recovers it when told to. */
struct insider {
    struct locked *l;
    tarn *seg;
    int from[2], to[2];
    bool reaped;
};
static void tell(int pipe_end, char c)
{
    check(write(pipe_end, &c, 1) == 1);
}
static char hear(int pipe_end)
{
    char c;
    check(read(pipe_end, &c, 1) == 1);
    return c;
}
static void number_one(const struct insider *in)
{
    int ready[2], status;
    char seen = 0;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, NULL) != 0)
        _exit(77);
    check(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        check(tarn_begin(in->seg) == 0);
        check(tarn_mutex_lock(in->seg, &in->l->lock) == 0);
        check(tarn_save(in->seg, &in->l->value, sizeof in->l->value) == 0);
        in->l->value = 99;
        tell(ready[1], 'x');
        for (;;)
            pause();
    }
    hear(ready[0]);
    tell(in->to[1], 'l');
    check(hear(in->from[0]) == 'k');
    check(kill(child, SIGKILL) == 0);
    if (in->reaped)
        check(waitpid(child, &status, 0) == child);
    else /* it stays a zombie */
        check(waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0);
    check(tarn_participants(in->seg, note_state, &seen) == 0); /* of its own namespace: dead, not unknown */
    tell(in->to[1], seen);
    check(hear(in->from[0]) == 'r');
    check(tarn_mutex_lock(in->seg, &in->l->lock) ==
          0); /* it died in a section: the lock comes back clean, and what was changed as it was */
    check(in->l->value == 7);
    in->l->value = 8;
    check(tarn_mutex_unlock(in->seg, &in->l->lock) == 0);
    check(tarn_close(in->seg) == 0);
    tell(in->to[1], 'd');
    _exit(0);
}
static void ones_own_namespace_recovers(void **state)
{
    (void)state;
    for (int reaped = 0; reaped < 2; reaped++) {
        struct insider in = {.reaped = reaped};
        int status;
        assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &in.seg), 0);
        assert_int_equal(tarn_object(in.seg, "l", struct locked, &in.l), 0);
        in.l->value = 7;
        assert_int_equal(pipe(in.from), 0);
        assert_int_equal(pipe(in.to), 0);
        pid_t outer = fork();
        if (outer == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            alarm(60);
            if (unshare(CLONE_NEWPID) != 0)
                _exit(77);
            pid_t first = fork();
            if (first == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                number_one(&in);
            }
            check(first > 0 && waitpid(first, &status, 0) == first);
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
        }
        close(in.to[1]);
        char c;
        if (read(in.to[0], &c, 1) != 1) {
            assert_int_equal(waitpid(outer, &status, 0), outer);
            tarn_close(in.seg);
            tarn_unlink(url);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                skip();
            fail_msg("the inside ended: %#x", status);
        }
        assert_int_equal(write(in.from[1], "k", 1), 1);
        assert_int_equal(hear(in.to[0]), 'd'); /* seen from inside: dead */
        char seen = 0;
        for (int i = 0; i < 3; i++) { /* from outside: reported, not recovered, however often it is asked for */
            struct timespec soon;
            clock_gettime(CLOCK_MONOTONIC, &soon);
            soon.tv_nsec += 20000000;
            if (soon.tv_nsec >= 1000000000)
                soon.tv_nsec -= 1000000000, soon.tv_sec++;
            assert_int_equal(tarn_participants(in.seg, note_state, &seen), 0);
            assert_int_equal(seen, 'u');
            assert_int_equal(tarn_recover(in.seg), 0);
            assert_int_equal(tarn_mutex_try(in.seg, &in.l->lock), -EBUSY);
            assert_int_equal(tarn_mutex_timed(in.seg, &in.l->lock, &soon), -ETIMEDOUT);
            assert_int_equal(in.l->value, 99);
        }
        assert_int_equal(write(in.from[1], "r", 1), 1);
        assert_int_equal(hear(in.to[0]), 'd');
        assert_int_equal(tarn_mutex_lock(in.seg, &in.l->lock), 0);
        assert_int_equal(in.l->value, 8);
        assert_int_equal(tarn_mutex_unlock(in.seg, &in.l->lock), 0);
        assert_int_equal(waitpid(outer, &status, 0), outer);
        assert_int_equal(status, 0);
        seen = 0;
        assert_int_equal(tarn_participants(in.seg, note_state, &seen), 0);
        assert_int_equal(seen, 0); /* nobody is left but this one */
        assert_int_equal(tarn_check(in.seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(in.seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
        close(in.from[0]), close(in.from[1]), close(in.to[0]);
    }
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
        cmocka_unit_test_setup_teardown(the_stopped_are_waited_for_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(makers_killed_at_random, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removal_is_of_what_was_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_memory_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gifts_are_not_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removed_by_a_stranger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_and_goes_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(openers_do_not_keep_each_other_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_dead_are_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_namespaces_report, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ones_own_namespace_recovers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_ones_go_with_their_last_user_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_makers_leave_nothing_once_marked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_ones_go_with_their_last_user, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_lifetime.c - segments that end with their last user, or with their creator: in good order, killed, forked, in races, kept by the hostile; of every
 * backing that has names. */
#include "helper.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "os/os.h"
#include "segment/segment.h"

static char file_url[128], sysv_url[32];
static const char *urls[] = {"posix:/mortal", file_url, sysv_url};
#define URLS (sizeof urls / sizeof *urls)
#define IS_SYSV(url) (strncmp((url), "sysv:", 5) == 0)

static struct tarn_options ending(uint32_t lifetime)
{
    return (struct tarn_options){.size = sizeof(struct tarn_options),
                                 .initial = 128 << 10,
                                 .limit = 1 << 20,
                                 .participants = 8,
                                 .record_size = 2048,
                                 .lifetime = lifetime};
}

static int set_up(void **state)
{
    int e = own_directory(state);
    snprintf(file_url, sizeof file_url, "file:%s/mortal-file", own_path);
    snprintf(sysv_url, sizeof sysv_url, "sysv:0x%x", 0x6d000000u | (uint32_t)(getpid() & 0xffffff));
    return e;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < URLS; i++)
        (void)tarn_unlink(urls[i]);
    return remove_directory(state);
}

static tarn *make(const char *url, uint32_t lifetime)
{
    struct tarn_options o = ending(lifetime);
    tarn *seg = NULL;
    int e = tarn_open(url, TARN_CREATE | TARN_EXCL, &o, &seg);
    if (e < 0)
        fail_msg("%s: %s", url, tarn_error());
    return seg;
}

/* Whatever is under the name, looked at without the library's door. */
static bool name_is_there(const char *url)
{
    char path[160];
    int id;
    if (IS_SYSV(url))
        return os_shm_find((int32_t)(uint32_t)strtoull(url + 5, NULL, 0), &id) == 0;
    if (strncmp(url, "file:", 5) == 0)
        return access(url + 5, F_OK) == 0;
    snprintf(path, sizeof path, "%s/%s", own_path, url + strlen("posix:/"));
    return access(path, F_OK) == 0;
}

static void uuid_of(tarn *seg, uint8_t uuid[16])
{
    struct tarn_stat s;
    assert_int_equal(tarn_stat(seg, &s), 0);
    memcpy(uuid, s.uuid, 16);
}

/* A child that does `run` and then waits to be ended; returns when it has said that it is ready. */
static pid_t start(void (*run)(void *arg), void *arg)
{
    int line[2];
    char c;
    fflush(NULL);
    assert_int_equal(pipe(line), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        close(line[0]);
        run(arg);
        check(write(line[1], "r", 1) == 1);
        close(line[1]);
        for (;;)
            pause();
    }
    close(line[1]);
    assert_int_equal(read(line[0], &c, 1), 1);
    close(line[0]);
    return pid;
}

static void end_by(pid_t pid, int signal_number)
{
    int status;
    assert_int_equal(kill(pid, signal_number), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* ---- until unused ---- */

static void the_last_to_close_removes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        tarn *seg = make(urls[i], TARN_UNTIL_UNUSED), *again, *reader;
        struct tarn_stat s;
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_int_equal(s.lifetime, TARN_UNTIL_UNUSED);
        assert_int_equal(s.creator, getpid());
        assert_int_equal(tarn_open(urls[i], 0, NULL, &again), 0);
        assert_ptr_equal(again, seg);
        assert_int_equal(tarn_open(urls[i], TARN_RDONLY, NULL, &reader), 0);
        assert_int_equal(tarn_close(again), 0);
        assert_true(name_is_there(urls[i]));
        assert_int_equal(tarn_close(seg), 0);
        assert_true(name_is_there(urls[i])); /* who reads it uses it */
        assert_int_equal(tarn_current(reader), 0);
        assert_int_equal(tarn_close(reader), 0);
        assert_false(name_is_there(urls[i]));
        assert_int_equal(tarn_open(urls[i], 0, NULL, &again), -ENOENT);
    }
}

/* One that does not end does not end. */
static void others_stay(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        tarn *seg = make(urls[i], TARN_UNTIL_UNLINKED);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_open(urls[i], 0, NULL, &seg), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
    struct tarn_options o = ending(3);
    tarn *seg;
    assert_int_equal(tarn_open("posix:/mortal", TARN_CREATE, &o, &seg), -EINVAL);
    assert_non_null(strstr(tarn_error(), "options.lifetime"));
}

static void make_unused(void *arg)
{
    struct tarn_options o = ending(TARN_UNTIL_UNUSED);
    tarn *seg;
    check(tarn_open(arg, TARN_CREATE, &o, &seg) == 0);
    check(tarn_thread_attach(seg) == 0);
}

static void the_next_to_come_does_it_for_the_killed(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        char *url = (char *)(uintptr_t)urls[i];
        struct tarn_options o = ending(TARN_UNTIL_UNUSED);
        uint8_t first[16], second[16];
        tarn *seg;
        for (unsigned flags = 0; flags < 4; flags++) { /* each way to come */
            pid_t pid = start(make_unused, url);
            assert_int_equal(tarn_open(url, 0, NULL, &seg), 0); /* while it lives */
            uuid_of(seg, first);
            assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &o, &seg), -EEXIST);
            end_by(pid, SIGKILL); /* not the last: we have it */
            assert_int_equal(tarn_current(seg), 0);
            int status = in_child(make_unused, url); /* comes, and goes without closing */
            assert_int_equal(status, 0);
            /* now we too go like the killed: nobody closes */
            pid = start(make_unused, url);
            assert_int_equal(tarn_close(seg), 0);
            assert_true(name_is_there(url));
            end_by(pid, SIGKILL);
            assert_true(name_is_there(url));
            if (flags == 0)
                assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
            else if (flags == 1)
                assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), -ENOENT);
            else {
                assert_int_equal(tarn_open(url, flags == 2 ? TARN_CREATE : TARN_CREATE | TARN_EXCL, &o, &seg), 0);
                uuid_of(seg, second);
                assert_memory_not_equal(first, second, 16);
                assert_int_equal(tarn_close(seg), 0);
            }
            assert_false(name_is_there(url));
        }
        pid_t pid = start(make_unused, url);
        end_by(pid, SIGKILL);
        assert_int_equal(tarn_unlink(url), 0); /* tarn rm */
        assert_false(name_is_there(url));
    }
}

static void close_it(void *arg)
{
    check(tarn_current(arg) == 0);
    check(tarn_close(arg) == 0);
}

static void stay(void *arg)
{
    (void)arg;
}

static void forked_children_use_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        tarn *seg = make(urls[i], TARN_UNTIL_UNUSED), *again;
        assert_int_equal(in_child(close_it, seg), 0); /* the child's end is not the parent's */
        assert_true(name_is_there(urls[i]));
        assert_int_equal(tarn_open(urls[i], 0, NULL, &again), 0);
        assert_int_equal(tarn_close(again), 0);
        pid_t pid = start(stay, NULL); /* nor the parent's the child's */
        assert_int_equal(tarn_close(seg), 0);
        assert_true(name_is_there(urls[i]));
        assert_int_equal(tarn_open(urls[i], 0, NULL, &seg), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_true(name_is_there(urls[i]));
        end_by(pid, SIGKILL);
        assert_int_equal(tarn_open(urls[i], 0, NULL, &seg), -ENOENT);
        assert_false(name_is_there(urls[i]));
    }
}

/* ---- races ---- */

static int wait_all(const pid_t *pid, int count)
{
    int status, bad = 0;
    for (int i = 0; i < count; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        bad |= status;
    }
    return bad;
}

static void of_two_last_closers_one_removes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++)
        for (int round = 0; round < 40; round++) {
            int line[2], ready[2];
            pid_t pid[2];
            char c;
            assert_int_equal(pipe(line), 0);
            assert_int_equal(pipe(ready), 0);
            for (int k = 0; k < 2; k++)
                if ((pid[k] = fork()) == 0) {
                    struct tarn_options o = ending(TARN_UNTIL_UNUSED);
                    tarn *seg;
                    alarm(60);
                    close(line[1]);
                    check(tarn_open(urls[i], TARN_CREATE, &o, &seg) == 0);
                    check(write(ready[1], "r", 1) == 1);
                    check(read(line[0], &c, 1) == 0);
                    check(tarn_close(seg) == 0);
                    _exit(0);
                }
            close(line[0]);
            for (int k = 0; k < 2; k++)
                assert_int_equal(read(ready[0], &c, 1), 1);
            close(line[1]); /* now */
            assert_int_equal(wait_all(pid, 2), 0);
            assert_false(name_is_there(urls[i]));
            close(ready[0]);
            close(ready[1]);
        }
}

struct seen {
    tarn_mutex lock;
    uint64_t count;
};

/* While somebody has it attached, the name leads to it: so all who are there at one time are in one segment. Of System V, but for who opens it between the
 * last closer's look and his removal: that one is told by tarn_current. */
static void come_and_go(const char *url, unsigned seed, int rounds, bool *ret_lost)
{
    struct tarn_options o = ending(TARN_UNTIL_UNUSED);
    for (int i = 0; i < rounds; i++) {
        struct seen *seen;
        tarn *seg;
        check(tarn_open(url, TARN_CREATE, &o, &seg) == 0);
        check(tarn_object(seg, "seen", struct seen, &seen) == 0);
        check(tarn_mutex_lock(seg, &seen->lock) >= 0);
        seen->count++;
        check(tarn_mutex_unlock(seg, &seen->lock) == 0);
        if (rand_r(&seed) % 4 == 0)
            sched_yield();
        int error = tarn_current(seg);
        check(error == 0 || (error == -ESTALE && IS_SYSV(url)));
        *ret_lost |= error != 0;
        check(tarn_check(seg, NULL, NULL) == 0);
        check(tarn_close(seg) == 0);
    }
}

static void openers_and_closers_race(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        pid_t pid[4];
        for (unsigned k = 0; k < 4; k++)
            if ((pid[k] = fork()) == 0) {
                bool lost = false;
                alarm(110);
                come_and_go(urls[i], k + 1, i == 1 ? 40 : 150, &lost);
                _exit(0);
            }
        assert_int_equal(wait_all(pid, 4), 0);
        assert_false(name_is_there(urls[i]));
    }
}

/* The same, and they are killed all the time. */
static void and_are_killed(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        struct timespec pause = {0, 0};
        pid_t pid[4];
        unsigned seed = 5;
        for (int k = 0; k < 4; k++)
            pid[k] = 0;
        for (int kills = 0; kills < 60; kills++) {
            int k = kills % 4;
            if (pid[k])
                end_by(pid[k], SIGKILL);
            if ((pid[k] = fork()) == 0) {
                bool lost = false;
                alarm(110);
                come_and_go(urls[i], (unsigned)kills + 1, 1 << 30, &lost);
                _exit(0);
            }
            pause.tv_nsec = 500000 + rand_r(&seed) % 8000000;
            nanosleep(&pause, NULL);
        }
        for (int k = 0; k < 4; k++) { /* whoever failed a check has ended by himself */
            int status;
            assert_int_equal(kill(pid[k], SIGKILL), 0);
            assert_int_equal(waitpid(pid[k], &status, 0), pid[k]);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        tarn *seg;
        assert_int_equal(tarn_open(urls[i], 0, NULL, &seg), -ENOENT);
        if (IS_SYSV(urls[i]) && name_is_there(urls[i])) { /* a maker was killed, of which the next maker takes over */
            seg = make(urls[i], TARN_UNTIL_UNUSED);
            assert_int_equal(tarn_close(seg), 0);
        }
        assert_false(name_is_there(urls[i]));
    }
}

/* ---- until its creator's end ---- */

static void make_creators(void *arg)
{
    struct tarn_options o = ending(TARN_UNTIL_CREATOR);
    tarn *seg;
    check(tarn_open(arg, TARN_CREATE | TARN_EXCL, &o, &seg) == 0);
    check(tarn_current(seg) == 0);
}

static void use_it(tarn *seg)
{
    struct seen *seen;
    assert_int_equal(tarn_object(seg, "seen", struct seen, &seen), 0);
    assert_true(tarn_mutex_lock(seg, &seen->lock) >= 0);
    seen->count++;
    assert_int_equal(tarn_mutex_unlock(seg, &seen->lock), 0);
}

static void it_ends_with_its_creator(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        char *url = (char *)(uintptr_t)urls[i];
        tarn *seg, *other;
        pid_t pid = start(make_creators, url);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), 0);
        assert_int_equal(tarn_current(seg), 0);
        use_it(seg);
        end_by(pid, SIGKILL);
        assert_true(name_is_there(url));
        assert_int_equal(tarn_current(seg), -ESTALE); /* though nobody has removed it */
        assert_non_null(strstr(tarn_error(), "creator"));
        use_it(seg); /* who has it goes on */
        assert_int_equal(tarn_open(url, 0, NULL, &other), -ENOENT);
        assert_false(name_is_there(url));
        struct tarn_options o = ending(TARN_UNTIL_CREATOR);
        assert_int_equal(tarn_open(url, TARN_CREATE, &o, &other), 0); /* a newer one */
        assert_ptr_not_equal(other, seg);
        assert_int_equal(tarn_current(seg), -ESTALE);
        assert_int_equal(tarn_current(other), 0);
        assert_int_equal(tarn_close(seg), 0); /* which the old one's users do not touch */
        assert_int_equal(tarn_current(other), 0);
        assert_int_equal(tarn_close(other), 0); /* our own creation ends */
        assert_false(name_is_there(url));
    }
}

static void others_closing_is_not_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        char *url = (char *)(uintptr_t)urls[i];
        tarn *seg;
        pid_t pid = start(make_creators, url);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(tarn_open(url, k == 1 ? TARN_RDONLY : 0, NULL, &seg), 0);
            assert_int_equal(tarn_close(seg), 0);
            assert_true(name_is_there(url));
        }
        end_by(pid, SIGKILL);
        assert_int_equal(tarn_unlink(url), 0);
    }
}

static void open_and_go(void *arg)
{
    tarn *seg;
    check(tarn_open(arg, 0, NULL, &seg) == 0);
    check(tarn_close(seg) == 0);
}

static void close_inherited(void *arg)
{
    check(tarn_close(arg) == 0);
}

/* A child that came about without the C library's handlers keeps its parent's descriptions. */
static pid_t raw_child(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        alarm(60);
        for (;;)
            pause();
    }
    return pid;
}

static void make_and_leave_children(void *arg)
{
    pid_t *child = ((void **)arg)[1];
    make_creators(((void **)arg)[0]);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        for (;;)
            pause();
    }
    child[0] = pid;
    child[1] = raw_child();
}

static void a_creators_children_keep_nothing_alive(void **state)
{
    (void)state;
    pid_t *child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(child, MAP_FAILED);
    for (size_t i = 0; i < URLS; i++) {
        char *url = (char *)(uintptr_t)urls[i];
        tarn *seg;
        tarn *mine = make(url, TARN_UNTIL_CREATOR);
        assert_int_equal(in_child(close_inherited, mine), 0); /* nor do they end it */
        assert_int_equal(in_child(open_and_go, url), 0);
        assert_int_equal(tarn_current(mine), 0);
        assert_int_equal(tarn_close(mine), 0);
        assert_false(name_is_there(url));
        void *both[] = {url, child};
        pid_t pid = start(make_and_leave_children, both);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), 0);
        end_by(pid, SIGKILL);
        assert_int_equal(tarn_current(seg), -ESTALE);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
        assert_false(name_is_there(url));
        assert_int_equal(kill(child[0], SIGKILL), 0); /* they are orphans: not ours to wait for */
        assert_int_equal(kill(child[1], SIGKILL), 0);
    }
    munmap(child, 4096);
}

static void make_and_exec(void *arg)
{
    make_creators(arg);
    if (fork() == 0) { /* says that all is ready, in its parent's place: exec tells nothing */
        struct timespec moment = {0, 50000000};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        nanosleep(&moment, NULL);
        return;
    }
    execl("/bin/sleep", "sleep", "60", (char *)NULL);
    _exit(1);
}

static void an_exec_is_its_creators_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) { /* of System V it is not seen: tarn.h says so */
        char *url = (char *)(uintptr_t)urls[i];
        tarn *seg;
        pid_t pid = start(make_and_exec, url);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -ENOENT);
        end_by(pid, SIGKILL);
    }
}

/* In another PID namespace, where a process id means another process, or none: locks tell, ids do not. Of System V nothing does, so it stays. */
static void across_namespaces(void *arg)
{
    int ready[2], end[2], status;
    char c;
    const char *url = arg;
    tarn *seg, *other;
    check(pipe(ready) == 0 && pipe(end) == 0);
    if (unshare(CLONE_NEWPID) != 0)
        _exit(77);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        close(end[1]);
        make_creators(arg);
        check(write(ready[1], "r", 1) == 1);
        (void)!read(end[0], &c, 1);
        _exit(0); /* without closing */
    }
    check(read(ready[0], &c, 1) == 1);
    check(tarn_open(url, 0, NULL, &seg) == 0);
    check(tarn_current(seg) == 0); /* though its creator's id is 1, and began at another time */
    close(end[1]);
    check(waitpid(pid, &status, 0) == pid && status == 0);
    if (IS_SYSV(url)) {
        check(tarn_current(seg) == 0);
        check(tarn_close(seg) == 0);
        check(tarn_unlink(url) == 0);
    } else {
        check(tarn_current(seg) == -ESTALE);
        check(tarn_open(url, 0, NULL, &other) == -ENOENT);
        check(tarn_close(seg) == 0);
    }
    check(!name_is_there(url));
}

static void creators_in_other_namespaces(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        int status = in_child(across_namespaces, (void *)(uintptr_t)urls[i]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            print_message("no PID namespace can be made here\n");
            skip();
        }
        assert_int_equal(status, 0);
    }
}

/* ---- the hostile, who may only read ---- */

/* Read locks on every byte that there is. */
static void lock_all_for_reading(void *arg)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    int fd = open(arg, O_RDONLY);
    check(fd >= 0);
    check(fcntl(fd, F_OFD_SETLK, &lock) == 0 || errno == EAGAIN);
}

static void readers_locks_neither_keep_nor_end(void **state)
{
    (void)state;
    char path[160];
    snprintf(path, sizeof path, "%s/mortal", own_path);
    tarn *seg, *other;
    pid_t pid = start(make_creators, (void *)(uintptr_t)urls[0]);
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = ((off_t)1 << 40) + OS_BYTE_CREATOR, .l_len = 1};
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), -1); /* the creator's is for writing */
    assert_int_equal(tarn_open(urls[0], 0, NULL, &seg), 0);
    end_by(pid, SIGKILL);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0); /* as if it lived */
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_int_equal(tarn_open(urls[0], 0, NULL, &other), -ENOENT);
    assert_int_equal(tarn_close(seg), 0);
    close(fd);

    seg = make(urls[0], TARN_UNTIL_UNUSED); /* all bytes: nobody else gets one for writing */
    pid = start(lock_all_for_reading, path);
    assert_int_equal(tarn_close(seg), 0);
    assert_true(name_is_there(urls[0])); /* a reader that stays is a user */
    assert_int_equal(tarn_open(urls[0], 0, NULL, &seg), 0);
    pid_t second = start(make_unused, (void *)(uintptr_t)urls[0]);
    end_by(pid, SIGKILL);
    assert_int_equal(tarn_close(seg), 0); /* the other writer had no byte but a reader's: it counts */
    assert_true(name_is_there(urls[0]));
    assert_int_equal(tarn_open(urls[0], 0, NULL, &seg), 0);
    end_by(second, SIGKILL);
    assert_int_equal(tarn_close(seg), 0);
    assert_false(name_is_there(urls[0]));
}

/* At the gate for ever: everything goes on. */
static void a_reader_at_the_gate_stops_nobody(void **state)
{
    (void)state;
    char path[160];
    snprintf(path, sizeof path, "%s/mortal", own_path);
    tarn *seg = make(urls[0], TARN_UNTIL_UNUSED), *reader;
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = ((off_t)1 << 40) + OS_BYTE_END, .l_len = 1};
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_int_equal(tarn_open(urls[0], TARN_RDONLY, NULL, &reader), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open(urls[0], 0, NULL, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_close(reader), 0);
    assert_false(name_is_there(urls[0]));
    close(fd);
}

/* Who is stopped while he opens or ends it is not waited for for ever, and nothing is done over his head. */
static void a_stopped_ender_is_named(void **state)
{
    (void)state;
    char path[160];
    snprintf(path, sizeof path, "%s/mortal", own_path);
    tarn *seg = make(urls[0], TARN_UNTIL_UNUSED), *other;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(os_byte_lock(fd, OS_BYTE_END), 0);
    assert_int_equal(tarn_open(urls[0], TARN_RDONLY, NULL, &other), -EBUSY);
    assert_non_null(strstr(tarn_error(), "stopped"));
    assert_int_equal(tarn_close(seg), 0);
    assert_true(name_is_there(urls[0]));
    close(fd);
    assert_int_equal(tarn_open(urls[0], 0, NULL, &other), -ENOENT);
    assert_false(name_is_there(urls[0]));
}

/* ---- without a name ---- */

static void make_nameless(void *arg)
{
    struct tarn_options o = ending(TARN_UNTIL_CREATOR);
    int *sockets = arg;
    tarn *seg;
    check(tarn_open("memfd:mortal", TARN_CREATE, &o, &seg) == 0);
    check(tarn_send(seg, sockets[1], 0) == 0);
}

static void what_has_no_name_stays_with_its_holders(void **state)
{
    (void)state;
    struct tarn_options o = ending(TARN_UNTIL_UNUSED);
    int sockets[2];
    tarn *seg;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &o, &seg), 0);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open("sysv:private", TARN_CREATE, &o, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t pid = start(make_nameless, sockets);
    assert_int_equal(tarn_receive(sockets[0], 0, &seg), 0);
    assert_int_equal(tarn_current(seg), 0);
    end_by(pid, SIGKILL);
    assert_int_equal(tarn_current(seg), -ESTALE);
    use_it(seg);
    assert_int_equal(tarn_close(seg), 0);
    close(sockets[0]);
    close(sockets[1]);
}

/* On its way it has a user. */
static void what_is_under_way_is_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int sockets[2];
        tarn *seg = make(urls[i], TARN_UNTIL_UNUSED), *came;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        assert_int_equal(tarn_send(seg, sockets[1], i ? TARN_RDONLY : 0), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_true(name_is_there(urls[i]));
        assert_int_equal(tarn_receive(sockets[0], 0, &came), 0);
        assert_int_equal(tarn_current(came), 0);
        assert_int_equal(tarn_open(urls[i], TARN_RDONLY, NULL, &seg), 0); /* and its name is known now */
        assert_int_equal(tarn_close(seg), 0);
        assert_true(name_is_there(urls[i]));
        assert_int_equal(tarn_send(came, sockets[1], 0), 0);
        assert_int_equal(tarn_close(came), 0);
        assert_true(name_is_there(urls[i]));
        close(sockets[0]); /* never read */
        close(sockets[1]);
        assert_int_equal(tarn_open(urls[i], 0, NULL, &seg), -ENOENT);
        assert_false(name_is_there(urls[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_to_close_removes_it),
        cmocka_unit_test(others_stay),
        cmocka_unit_test(the_next_to_come_does_it_for_the_killed),
        cmocka_unit_test(forked_children_use_it),
        cmocka_unit_test(of_two_last_closers_one_removes_it),
        cmocka_unit_test(openers_and_closers_race),
        cmocka_unit_test(and_are_killed),
        cmocka_unit_test(it_ends_with_its_creator),
        cmocka_unit_test(others_closing_is_not_its_end),
        cmocka_unit_test(a_creators_children_keep_nothing_alive),
        cmocka_unit_test(an_exec_is_its_creators_end),
        cmocka_unit_test(creators_in_other_namespaces),
        cmocka_unit_test(readers_locks_neither_keep_nor_end),
        cmocka_unit_test(a_reader_at_the_gate_stops_nobody),
        cmocka_unit_test(a_stopped_ender_is_named),
        cmocka_unit_test(what_has_no_name_stays_with_its_holders),
        cmocka_unit_test(what_is_under_way_is_used),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

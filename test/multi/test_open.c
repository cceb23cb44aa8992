/* test_open.c - several processes: races of makers, makers who die, file systems that fill, permissions, growth seen by all. */
#include "helper.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>

#include "backing/linked.h"
#include "os/os.h"
#include "segment/segment.h"

static const struct tarn_options small = {
    .size = sizeof small, .initial = 128 << 10, .limit = 1 << 20, .participants = 2, .record_size = 2048};

#define RACERS 8

/* ---- races ---- */

struct report {
    int result;
    uint8_t uuid[16];
};

/* Wait until all are at the line, which is when the last holder of the pipe's other end lets it go. */
static void start_together(int line[2])
{
    char c;
    close(line[1]);
    check(read(line[0], &c, 1) == 0);
}

static void race_once(const char *url, unsigned flags, struct report report[RACERS])
{
    int line[2], results[2];
    pid_t pid[RACERS];
    assert_int_equal(pipe(line), 0);
    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < RACERS; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            struct report r = {0};
            struct tarn_stat s;
            tarn *seg;
            alarm(60);
            start_together(line);
            r.result = tarn_open(url, flags, &small, &seg);
            if (r.result == 0) {
                check(tarn_stat(seg, &s) == 0);
                check(s.data == 128 << 10);
                check(*(char *)tarn_ptr(seg, seg->geometry.zone[ZONE_DATA], s.data) == 0);
                memcpy(r.uuid, s.uuid, sizeof r.uuid);
                check(tarn_close(seg) == 0);
            }
            check(write(results[1], &r, sizeof r) == sizeof r);
            _exit(0);
        }
    }
    close(line[0]);
    close(line[1]);
    for (int i = 0; i < RACERS; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
        assert_int_equal(read(results[0], &report[i], sizeof *report), sizeof *report);
    }
    close(results[0]);
    close(results[1]);
}

static void of_racing_makers_one_wins(void **state)
{
    (void)state;
    struct report report[RACERS];
    for (int round = 0; round < 40; round++) {
        linked_without_tmpfile = round % 2;
        bool exclusive = round % 4 > 1;
        int won = 0;
        race_once("posix:/race", exclusive ? TARN_CREATE | TARN_EXCL : TARN_CREATE, report);
        for (int i = 0; i < RACERS; i++) {
            won += report[i].result == 0;
            if (!exclusive)
                assert_memory_equal(report[i].uuid, report[0].uuid, 16);
            else if (report[i].result != 0)
                assert_int_equal(report[i].result, -EEXIST);
        }
        assert_int_equal(won, exclusive ? 1 : RACERS);
        assert_int_equal(names_there(false), 1);
        assert_int_equal(tarn_unlink("posix:/race"), 0);
    }
    linked_without_tmpfile = false;
}

/* Makers and unlinkers at once: whoever opens gets a whole one, whatever comes and goes. */
static void come_and_go(void *arg)
{
    (void)arg;
    for (int i = 0; i < 60; i++) {
        tarn *seg;
        struct tarn_stat s;
        check(tarn_open("posix:/comes", TARN_CREATE, &small, &seg) == 0);
        check(tarn_stat(seg, &s) == 0 && s.data == 128 << 10);
        int error = tarn_unlink("posix:/comes");
        check(error == 0 || error == -ENOENT);
        error = tarn_current(seg);
        check(error == -ESTALE || error == 0); /* 0: it is a segment that another made meanwhile, and we had opened */
        check(tarn_close(seg) == 0);
    }
}

static void names_may_come_and_go(void **state)
{
    (void)state;
    for (int hidden = 0; hidden < 2; hidden++) {
        pid_t pid[4];
        linked_without_tmpfile = hidden;
        for (int i = 0; i < 4; i++)
            if ((pid[i] = fork()) == 0) {
                alarm(60);
                come_and_go(NULL);
                _exit(0);
            }
        for (int i = 0; i < 4; i++) {
            int status;
            assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
            assert_int_equal(status, 0);
        }
        names_there(true);
    }
    linked_without_tmpfile = false;
}

/* ---- makers who die ---- */

static void make_for_ever(void)
{
    for (;;) {
        tarn *seg;
        check(tarn_open("posix:/dies", TARN_CREATE | TARN_EXCL, &small, &seg) == 0);
        check(tarn_close(seg) == 0);
        check(tarn_unlink("posix:/dies") == 0);
    }
}

static void kill_one_maker(unsigned *seed, long spread)
{
    int status;
    struct timespec pause = {0, 100000 + rand_r(seed) % spread};
    pid_t pid = fork();
    if (pid == 0) {
        make_for_ever();
        _exit(1);
    }
    nanosleep(&pause, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void makers_who_die_leave_nothing(void **state)
{
    (void)state;
    unsigned seed = 7;
    int found = 0;
    long spread = 1500000; /* ns: widened until makers come so far, however slow the machine is */
    for (int round = 0; round < 200; round++) {
        linked_without_tmpfile = round % 2;
        kill_one_maker(&seed, spread);
        if (found * 8 < round && spread < 100000000)
            spread += spread / 4;
        tarn *seg;
        struct tarn_stat s;
        int error = tarn_open("posix:/dies", 0, NULL, &seg);
        if (error == 0) { /* died with the name made: then it is whole */
            found++;
            assert_int_equal(tarn_stat(seg, &s), 0);
            assert_int_equal(s.data, 128 << 10);
            assert_int_equal(tarn_close(seg), 0);
            assert_int_equal(tarn_unlink("posix:/dies"), 0);
        } else {
            assert_int_equal(error, -ENOENT);
        }
        if (linked_without_tmpfile || on_sysv()) { /* the next maker cleans; of System V, he goes on under the same key */
            const char *next = on_sysv() ? "posix:/dies" : "posix:/next";
            assert_true(names_there(false) <= 1);
            assert_int_equal(tarn_open(next, TARN_CREATE, &small, &seg), 0);
            assert_int_equal(tarn_close(seg), 0);
            assert_int_equal(tarn_unlink(next), 0);
        }
        assert_int_equal(names_there(false), 0);
    }
    assert_in_range(found, 1, 199); /* else the kills were not where they should be */
    linked_without_tmpfile = false;
}

/* ---- file systems that fill ---- */

/* In a child: a tmpfs of this size, seen by it alone, is where POSIX objects go. False: this machine does not let us. */
static bool private_tmpfs(const char *size)
{
    char options[64];
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    snprintf(options, sizeof options, "size=%s,mode=0777", size);
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", own_path, "tmpfs", 0, options) == 0;
}

#define SKIPPED 77

static void touch(struct tarn *seg, bool write_too)
{
    const struct geometry *g = &seg->geometry;
    uint64_t data = committed_of(seg), side = (data >> g->span_shift) * g->side_size;
    for (uint64_t at = 0; at < g->zone[ZONE_SIDE] + side; at += 4096)
        ((volatile char *)seg->base)[at] += 0;
    for (uint64_t at = g->zone[ZONE_DATA]; at < g->zone[ZONE_DATA] + data; at += 4096) {
        if (write_too)
            ((volatile char *)seg->base)[at] = 1;
        else
            (void)((volatile char *)seg->base)[at];
    }
}

static void full_at_creation(void *arg)
{
    (void)arg;
    if (!private_tmpfs("512k"))
        _exit(SKIPPED);
    tarn *seg;
    for (int hidden = 0; hidden < 2; hidden++) {
        linked_without_tmpfile = hidden;
        check(tarn_open("posix:/full", TARN_CREATE, NULL, &seg) == -ENOSPC);
        check(strstr(tarn_error(), "524288 bytes")); /* the limit is named */
        check(names_in(own_path, "", false) == 0);
        check(tarn_open("posix:/full", TARN_CREATE, &small, &seg) == 0); /* nothing was left of the other */
        touch(seg, true);
        check(tarn_close(seg) == 0);
        check(tarn_unlink("posix:/full") == 0);
    }
}

static void full_at_growth(void *arg)
{
    (void)arg;
    if (!private_tmpfs("6500k"))
        _exit(SKIPPED);
    struct tarn_options o = {.size = sizeof o, .limit = 64 << 20, .participants = 4};
    tarn *seg, *reader;
    check(tarn_open("posix:/full", TARN_CREATE, &o, &seg) == 0);
    check(tarn_open("posix:/full", TARN_RDONLY, NULL, &reader) == 0);
    int error, count = 0;
    while ((error = segment_grow(seg, 256 << 10)) == 0)
        check(++count < 100);
    check(error == -ENOSPC && strstr(tarn_error(), "6656000 bytes"));
    while ((error = segment_grow(seg, 1)) == 0)
        check(++count < 200);
    check(error == -ENOSPC);
    uint64_t room, total;
    check(os_room(tarn_fd(seg), &room, &total) == 0);
    check(room < 65536 + 16384); /* to the last span, though the generous steps did not fit */
    touch(seg, true);            /* no SIGBUS in what was handed out */
    const struct geometry *g = &reader->geometry;
    for (uint64_t at = g->zone[ZONE_DATA]; at < g->zone[ZONE_DATA] + committed_of(reader); at += 4096)
        check(reader->base[at] == 1);
    check(tarn_close(reader) == 0);
    check(tarn_close(seg) == 0);
}

/* Makers who together want more than there is: each has the segment that one of them published, or an error that says why; what the
 * losers took is given back. (That one wins is likely, and not promised.) */
static void crowded(void *arg)
{
    (void)arg;
    if (!private_tmpfs("1m"))
        _exit(SKIPPED);
    int line[2];
    pid_t pid[RACERS];
    check(pipe(line) == 0);
    struct tarn_options o = small;
    o.initial = 512 << 10;
    for (int i = 0; i < RACERS; i++)
        if ((pid[i] = fork()) == 0) {
            tarn *seg;
            alarm(60);
            start_together(line);
            int error = tarn_open("posix:/crowd", TARN_CREATE, &o, &seg);
            _exit(error == 0 ? 0 : error == -ENOSPC ? 2 : 1);
        }
    close(line[0]);
    close(line[1]);
    int had = 0;
    for (int i = 0; i < RACERS; i++) {
        int status;
        check(waitpid(pid[i], &status, 0) == pid[i]);
        check(WIFEXITED(status) && WEXITSTATUS(status) != 1);
        had += WEXITSTATUS(status) == 0;
    }
    check(names_in(own_path, "", false) == (had > 0));
    tarn *seg;
    check(tarn_open("posix:/crowd", TARN_CREATE, &o, &seg) == 0);
}

static void containers_default(void *arg)
{
    (void)arg;
    if (!private_tmpfs("64m"))
        _exit(SKIPPED);
    tarn *seg;
    check(tarn_open("memfd:big", TARN_CREATE, NULL, &seg) == 0);
    check(segment_grow(seg, 80 << 20) == 0); /* not bounded by /dev/shm */
    touch(seg, false);
    check(tarn_close(seg) == 0);
    check(tarn_open("posix:/big", TARN_CREATE, NULL, &seg) == 0);
    touch(seg, true);
    check(tarn_close(seg) == 0);
}

static void in_namespace(void (*run)(void *arg))
{
    int status = in_child(run, NULL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

static void a_full_file_system_is_an_error_at_creation(void **state)
{
    (void)state;
    skip_on_sysv("its memory is of no file system that could be full");
    in_namespace(full_at_creation);
}

static void a_full_file_system_is_an_error_at_growth(void **state)
{
    (void)state;
    skip_on_sysv("its memory is of no file system that could be full");
    in_namespace(full_at_growth);
}

static void crowds_do_not_keep_each_other_out_for_good(void **state)
{
    (void)state;
    skip_on_sysv("its memory is of no file system that could be full");
    in_namespace(crowded);
}

static void defaults_fit_a_container(void **state)
{
    (void)state;
    in_namespace(containers_default);
}

/* ---- permissions ---- */

static const uid_t stranger = 65533;

static void as_stranger(void *arg)
{
    tarn *seg;
    int fd = *(int *)arg;
    check(setgid(stranger) == 0 && setuid(stranger) == 0);
    check(tarn_open("posix:/roots", 0, NULL, &seg) == -EACCES);
    check(strstr(tarn_error(), "owner 0") && strstr(tarn_error(), "0600"));
    check(tarn_open("posix:/roots", TARN_RDONLY, NULL, &seg) == -EACCES);
    check(tarn_open("posix:/roots", TARN_CREATE, &small, &seg) == -EACCES);
    check(tarn_unlink("posix:/roots") == -EACCES);
    check(tarn_open("posix:/readable", 0, NULL, &seg) == -EACCES);
    check(tarn_open("posix:/readable", TARN_RDONLY, NULL, &seg) == 0); /* of root, and readable */
    check(tarn_close(seg) == 0);
    check(tarn_unlink("posix:/readable") == -EACCES);
    if (!on_sysv()) {
        check(tarn_open_fd(fd, 0, &seg) == 0); /* root's, handed over */
        check(tarn_close(seg) == 0);
    }
    check(tarn_open("posix:/strangers", TARN_CREATE, &small, &seg) == 0);
    check(tarn_close(seg) == 0);
}

static void as_another(void *arg)
{
    tarn *seg;
    (void)arg;
    check(setgid(stranger - 1) == 0 && setuid(stranger - 1) == 0);
    check(tarn_open("posix:/wide", 0, NULL, &seg) == -EACCES); /* may open the file, but will not */
    check(strstr(tarn_error(), "65533") && strstr(tarn_error(), "0666"));
    check(tarn_open("posix:/wide", TARN_RDONLY, NULL, &seg) == -EACCES);
}

static void make_wide(void *arg)
{
    tarn *seg;
    struct tarn_options o = small;
    (void)arg;
    o.mode = 0666;
    check(setgid(stranger) == 0 && setuid(stranger) == 0);
    check(tarn_open("posix:/wide", TARN_CREATE, &o, &seg) == 0);
}

static void strangers_are_kept_out(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    tarn *seg, *other;
    struct tarn_options o = small;
    assert_int_equal(chmod(own_path, 01777), 0);
    assert_int_equal(tarn_open("posix:/roots", TARN_CREATE, &small, &seg), 0);
    o.mode = 0644;
    assert_int_equal(tarn_open("posix:/readable", TARN_CREATE, &o, &other), 0);
    int fd = tarn_fd(seg);
    assert_int_equal(in_child(as_stranger, &fd), 0);
    assert_int_equal(tarn_open("posix:/strangers", 0, NULL, &seg), -EACCES); /* nor does root walk into others' */
    assert_int_equal(in_child(make_wide, NULL), 0);
    assert_int_equal(in_child(as_another, NULL), 0);
    names_there(true);
    assert_int_equal(chmod(own_path, 0700), 0);
}

/* ---- growth, handing over, fork ---- */

/* Until its limit stops it. */
static void grow_racing(void)
{
    tarn *seg;
    int error;
    uint64_t last = 0;
    check(tarn_open("posix:/grows", 0, NULL, &seg) == 0);
    for (;;) {
        uint64_t before = committed_of(seg);
        check(before >= last); /* it never shrinks */
        last = before;
        if ((error = segment_grow(seg, 65536)) != 0)
            break;
        check(committed_of(seg) >= before + 65536);
        touch(seg, false);
    }
    check(error == -ENOSPC && committed_of(seg) == seg->geometry.limit);
}

static void race_to_the_limit(void)
{
    pid_t pid[4];
    for (int i = 0; i < 4; i++)
        if ((pid[i] = fork()) == 0) {
            alarm(60);
            grow_racing();
            _exit(0);
        }
    int bad = 0;
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        bad |= status;
    }
    assert_int_equal(bad, 0);
}

static void growth_needs_nobodys_cooperation(void **state)
{
    (void)state;
    struct tarn_options o = {.size = sizeof o, .initial = 65536, .limit = 8 << 20, .participants = 8};
    for (int round = 0; round < 10; round++) {
        tarn *seg;
        assert_int_equal(tarn_open("posix:/grows", TARN_CREATE, &o, &seg), 0);
        uint64_t last = seg->geometry.zone[ZONE_DATA] + seg->geometry.limit - 1;
        assert_null(tarn_ptr(seg, last, 1));
        race_to_the_limit();
        char *byte = tarn_ptr(seg, last, 1); /* we did nothing, and it is there */
        assert_non_null(byte);
        *byte = 5;
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink("posix:/grows"), 0);
    }
}

static void receive_and_write(void *arg)
{
    int socket = *(int *)arg, fd;
    char byte, control[CMSG_SPACE(sizeof fd)];
    struct iovec io = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    tarn *seg;
    check(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    check(c && c->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    check(tarn_open_fd(fd, 0, &seg) == 0);
    close(fd);
    check(tarn_current(seg) == 0);
    check(segment_grow(seg, 65536) == 0);
    uint64_t last = seg->geometry.zone[ZONE_DATA] + committed_of(seg) - 8;
    *(uint64_t *)tarn_ptr(seg, last, 8) = 42;
    check(tarn_close(seg) == 0);
}

static void descriptors_are_handed_over(void **state)
{
    (void)state;
    skip_on_sysv("no descriptor (test_pass hands an id over)");
    int sockets[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t pid = fork(); /* before the segment is there, so it comes by the socket alone */
    if (pid == 0) {
        alarm(60);
        receive_and_write(&sockets[1]);
        _exit(0);
    }
    tarn *seg;
    assert_int_equal(tarn_open("memfd:handed", TARN_CREATE, &small, &seg), 0);
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec io = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    int fd = tarn_fd(seg);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    assert_int_equal(sendmsg(sockets[0], &message, 0), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    uint64_t *last = tarn_ptr(seg, seg->geometry.zone[ZONE_DATA] + committed_of(seg) - 8, 8);
    assert_non_null(last);
    assert_int_equal(*last, 42);
    assert_int_equal(committed_of(seg), (128 + 64) << 10);
    assert_int_equal(tarn_close(seg), 0);
    close(sockets[0]);
    close(sockets[1]);
}

static void close_in_child(void *arg)
{
    tarn *seg = arg, *again;
    check(process_generation() == 1);
    if (!on_sysv()) {
        check(tarn_open_fd(tarn_fd(seg), 0, &again) == 0 && again == seg); /* the list came along */
        check(tarn_close(again) == 0);
    }
    *(char *)tarn_ptr(seg, seg->geometry.zone[ZONE_DATA], 1) = 9;
    check(tarn_close(seg) == 0);
}

static void a_child_closes_for_itself(void **state)
{
    (void)state;
    tarn *seg;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &small, &seg), 0);
    assert_int_equal(in_child(close_in_child, seg), 0);
    assert_int_equal(process_generation(), 0);
    assert_int_equal(*(char *)tarn_ptr(seg, seg->geometry.zone[ZONE_DATA], 1), 9);
    assert_int_equal(tarn_close(seg), 0);
}

static void *open_and_close(void *arg)
{
    for (int i = 0; i < 200; i++) {
        tarn *seg, *reader;
        if (tarn_open("posix:/shared", TARN_CREATE, &small, &seg) != 0)
            return arg;
        if (tarn_open("posix:/shared", TARN_RDONLY, NULL, &reader) != 0)
            return arg;
        if (!tarn_ptr(reader, seg->geometry.zone[ZONE_DATA], 8) || tarn_close(reader) != 0 || tarn_close(seg) != 0)
            return arg;
    }
    return NULL;
}

static void open_in_child(void *arg)
{
    check(open_and_close(arg) == NULL); /* a lock that the fork left taken would hang here */
}

static void threads_open_and_close_while_others_fork(void **state)
{
    (void)state;
    pthread_t thread[3];
    void *result;
    int failed = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, open_and_close, &failed), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(in_child(open_in_child, &failed), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_null(result);
    }
    assert_int_equal(tarn_unlink("posix:/shared"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_racing_makers_one_wins),
        cmocka_unit_test(names_may_come_and_go),
        cmocka_unit_test(makers_who_die_leave_nothing),
        cmocka_unit_test(a_full_file_system_is_an_error_at_creation),
        cmocka_unit_test(a_full_file_system_is_an_error_at_growth),
        cmocka_unit_test(crowds_do_not_keep_each_other_out_for_good),
        cmocka_unit_test(defaults_fit_a_container),
        cmocka_unit_test(strangers_are_kept_out),
        cmocka_unit_test(growth_needs_nobodys_cooperation),
        cmocka_unit_test(descriptors_are_handed_over),
        cmocka_unit_test(a_child_closes_for_itself),
        cmocka_unit_test(threads_open_and_close_while_others_fork),
    };
    return cmocka_run_group_tests(tests, own_directory, remove_directory);
}

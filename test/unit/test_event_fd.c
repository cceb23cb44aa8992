/* test_event_fd.c - an event as a descriptor: each set can be polled for, once; it ends in good order. */
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <tarn.h>

static tarn *seg;
static tarn_event *event;

static int begin(void **state)
{
    (void)state;
    alarm(60);
    return tarn_open("anon:", TARN_CREATE, NULL, &seg) || tarn_object(seg, "event", tarn_event, &event);
}
static int end(void **state)
{
    (void)state;
    return tarn_close(seg);
}

static uint64_t come(int fd, int ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    uint64_t n = 0;
    if (poll(&p, 1, ms) == 1)
        assert_int_equal(read(fd, &n, sizeof n), sizeof n);
    return n;
}

static void automatic_is_counted(void **state)
{
    int fd;
    (void)state;
    assert_int_equal(tarn_event_init(seg, event, TARN_EVENT_AUTOMATIC), 0);
    assert_int_equal(tarn_event_descriptor(seg, event, &fd), 0);
    assert_int_equal(come(fd, 20), 0);
    for (int i = 0; i < 50; i++) {
        int status;
        pid_t p = fork();
        if (p == 0)
            _exit(tarn_event_set(seg, event) != 0);
        assert_int_equal(waitpid(p, &status, 0), p);
        assert_int_equal(status, 0);
        assert_int_equal(come(fd, 20000), 1);
    }
    assert_int_equal(tarn_event_try(seg, event), -EAGAIN); /* all taken */
    assert_int_equal(tarn_close(seg), -EBUSY);             /* its thread takes part */
    assert_int_equal(tarn_event_descriptor_close(seg, fd), 0);
    assert_int_equal(tarn_event_descriptor_close(seg, fd), -EBADF);
}

static void manual_comes_once_a_set(void **state)
{
    int fd, set;
    (void)state;
    assert_int_equal(tarn_event_set(seg, event), 0);
    assert_int_equal(tarn_event_descriptor(seg, event, &fd), 0); /* set before: it comes too */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(come(fd, 20000), 1);
        assert_int_equal(come(fd, 10), 0);
        assert_int_equal(tarn_event_state(seg, event, &set), 0);
        assert_int_equal(set, 1); /* nobody took it */
        assert_int_equal(tarn_event_reset(seg, event), 0);
        while (!(__atomic_load_n(&event->word, __ATOMIC_RELAXED) >>
                 31))    /* its thread has not seen that, and marked it as one who sleeps: */
            usleep(100); /* a reset and a set at once may be seen as nothing */
        assert_int_equal(tarn_event_set(seg, event), 0);
    }
    assert_int_equal(tarn_event_descriptor_close(seg, fd), 0);
}

static void destroyed_is_readable(void **state)
{
    int fd;
    (void)state;
    assert_int_equal(tarn_event_descriptor(seg, event, &fd), 0);
    assert_int_equal(tarn_event_fini(seg, event), 0);
    assert_int_equal(come(fd, 20000), 1);
    assert_int_equal(tarn_event_try(seg, event), -EIDRM);
    assert_int_equal(tarn_event_descriptor_close(seg, fd), 0);
}

static void no_record_is_left(void **state)
{
    struct tarn_options o = {.size = sizeof o, .participants = 1};
    tarn *small;
    tarn_event *e;
    int fd = -7;
    (void)state;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &o, &small), 0);
    assert_int_equal(tarn_object(small, "event", tarn_event, &e), 0);
    assert_int_equal(tarn_event_descriptor(small, e, &fd), -EUSERS);
    assert_int_equal(fd, -7);
    assert_int_equal(tarn_close(small), 0);
}

/* Where it is descriptor 0; and exec closes all that is made for it. */
static int left_by_exec(void)
{
    int n = 0;
    for (int i = 0; i < 1024; i++) {
        int flags = fcntl(i, F_GETFD);
        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}
static void descriptor_0_is_one(void **state)
{
    int kept = fcntl(0, F_DUPFD_CLOEXEC, 3), fd = -1, e, f, before, open;
    uint64_t n = 0;
    (void)state;
    close(0);
    before = left_by_exec();
    e = tarn_event_descriptor(seg, event, &fd);
    open = left_by_exec() - before;
    if (e == 0 && tarn_event_set(seg, event) == 0)
        n = come(fd, 20000);
    e |= tarn_event_descriptor_close(seg, fd);
    f = fcntl(0, F_GETFD);
    if (kept >= 0) {
        dup2(kept, 0);
        close(kept);
    }
    assert_int_equal(e, 0);
    assert_int_equal(fd, 0);
    assert_int_equal(n, 1);
    assert_int_equal(f, -1);
    assert_int_equal(open, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(automatic_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(manual_comes_once_a_set, begin, end),
        cmocka_unit_test_setup_teardown(destroyed_is_readable, begin, end),
        cmocka_unit_test_setup_teardown(descriptor_0_is_one, begin, end),
        cmocka_unit_test(no_record_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_review.c - what a hostile review found once, kept from coming back. Built with the library's sources and kill points at every store. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"
#include "participant/participant.h"

__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}

static volatile int *common;

static int status_of(pid_t p)
{
    int status = -1;
    waitpid(p, &status, 0);
    return status;
}

static pid_t child(void (*run)(tarn *, int), tarn *seg, int arg)
{
    pid_t p = fork();
    if (p == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        run(seg, arg);
        _exit(0);
    }
    return p;
}
static void hold_section(tarn *seg, int unused)
{
    (void)unused;
    if (tarn_begin(seg))
        _exit(1);
    *common = 1;
    for (;;)
        pause();
}
static void attach_until(tarn *seg, int point)
{
    kill_countdown = point;
    if (tarn_thread_attach(seg))
        _exit(1);
}

/* A table full of dead, and whoever comes to recover them killed at every store: the next comer gets in all the same. */
static void a_dead_recoverer_of_a_full_table(void **state)
{
    int killed = 0;
    (void)state;
    for (int point = 1; point < 40; point++) {
        struct tarn_options o = {.size = sizeof o, .participants = 1};
        tarn *seg;
        pid_t p;
        assert_int_equal(tarn_open("anon:", TARN_CREATE, &o, &seg), 0);
        *common = 0;
        p = child(hold_section, seg, 0);
        while (!*common)
            usleep(100);
        kill(p, SIGKILL);
        status_of(p);
        killed += WIFSIGNALED(status_of(child(attach_until, seg, point)));
        assert_int_equal(status_of(child(attach_until, seg, 0)), 0);
        assert_int_equal(tarn_close(seg), 0);
    }
    assert_true(killed > 10);
}

static void unbind_the_map(tarn *seg, int unused)
{
    (void)unused;
    usleep(100000);
    if (tarn_unbind(seg, "m", 1))
        _exit(1);
}
static void change_and_find(tarn *seg, int unused)
{
    tarn_map *map;
    tarn_ref ref;
    int e;
    (void)unused;
    if (tarn_map_open(seg, "m", TARN_MAP_U64, &map) || tarn_begin(seg) || tarn_map_put64(map, 1, 77))
        _exit(1);
    usleep(300000);
    e = tarn_find(seg, "x", NULL, &ref);
    if (e != 0 && e != -EDEADLK)
        _exit(2);
    _exit(tarn_abort(seg) ? 3 : 0);
}

/* The names' lock and a bucket's, each wanted by who has the other: one is told, nobody hangs. */
static void an_unbind_and_a_section_end(void **state)
{
    tarn *seg;
    tarn_map *map;
    pid_t a, b;
    void *x;
    struct tarn_type type = {"int", 4, 0};
    (void)state;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, NULL, &seg), 0);
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &map), 0);
    for (uint64_t i = 0; i < 500; i++)
        assert_int_equal(tarn_map_put64(map, i, i), 0);
    assert_int_equal(tarn_find_or_make(seg, "x", &type, &x), 0);
    a = child(unbind_the_map, seg, 0);
    b = child(change_and_find, seg, 0);
    assert_int_equal(status_of(b), 0);
    assert_int_equal(status_of(a), 0);
    tarn_map_close(map);
    assert_int_equal(tarn_close(seg), 0);
}

static void *attach_cancelled(void *seg)
{
    pthread_cancel(pthread_self());
    return tarn_thread_attach(seg) == 0 ? seg : NULL; /* comes back: it is no cancellation point */
}
static void nothing_is_a_cancellation_point(void **state)
{
    tarn *seg;
    pthread_t t;
    void *result;
    (void)state;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, NULL, &seg), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&t, NULL, attach_cancelled, seg), 0);
        assert_int_equal(pthread_join(t, &result), 0);
        assert_ptr_equal(result, seg);
    }
    assert_int_equal(tarn_close(seg), 0);
}

static tarn_mutex *held;
static void *end_with_lock(void *seg)
{
    return tarn_mutex_lock(seg, held) == 0 ? seg : NULL;
}
/* A thread that ends with a lock held is dead at once, by its liveness word alone, and nothing of it is in glibc's list when the segment goes. */
static void who_ends_badly_is_dead_at_once(void **state)
{
    tarn *seg, *other;
    pthread_t t;
    void *result, *at;
    struct tarn_type type = {"lock", sizeof(tarn_mutex), 0};
    (void)state;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, NULL, &seg), 0);
    assert_int_equal(tarn_find_or_make(seg, "lock", &type, &at), 0);
    held = at;
    assert_int_equal(pthread_create(&t, NULL, end_with_lock, seg), 0);
    assert_int_equal(pthread_join(t, &result), 0);
    assert_ptr_equal(result, seg);
    assert_int_equal(tarn_mutex_try(seg, held), TARN_RECOVERED);
    assert_int_equal(tarn_mutex_unlock(seg, held), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open("anon:", TARN_CREATE, NULL, &other), 0);
    assert_int_equal(tarn_thread_attach(other), 0);
    assert_int_equal(tarn_close(other), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_recoverer_of_a_full_table),
        cmocka_unit_test(an_unbind_and_a_section_end),
        cmocka_unit_test(nothing_is_a_cancellation_point),
        cmocka_unit_test(who_ends_badly_is_dead_at_once),
    };
    common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

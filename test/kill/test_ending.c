/* test_ending.c - segments that end by themselves, whose last user, creator, opener or maker is killed at every store and every step of closing, of ending
 * it for the dead, and of making it anew. Whoever comes next finds none, whole or half: and what is made then is whole, and everybody's. */
#include "helper.h"

#include "os/futex.h"
#include "os/os.h"
#include "segment/segment.h"

__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}

static char file_url[128], sysv_url[32];
static const char *urls[] = {"posix:/ends", file_url, sysv_url};
#define URLS (sizeof urls / sizeof *urls)
#define IS_SYSV(url) (strncmp((url), "sysv:", 5) == 0)

static int set_up(void **state)
{
    int e = own_directory(state);
    snprintf(file_url, sizeof file_url, "file:%s/ends-file", own_path);
    snprintf(sysv_url, sizeof sysv_url, "sysv:0x%x", 0x6e000000u | (uint32_t)(getpid() & 0xffffff));
    return e;
}

static int tear_down(void **state)
{
    int id;
    if (os_shm_find((int32_t)(uint32_t)strtoull(sysv_url + 5, NULL, 0), &id) == 0)
        (void)os_shm_remove(id);
    return remove_directory(state);
}

struct run {
    const char *url;
    uint32_t lifetime;
    int points; /* 0: not killed */
};

static struct tarn_options ending(uint32_t lifetime)
{
    return (struct tarn_options){.size = sizeof(struct tarn_options),
                                 .initial = 64 << 10,
                                 .limit = 64 << 10,
                                 .participants = 4,
                                 .record_size = 2048,
                                 .lifetime = lifetime};
}

static tarn *make(const struct run *r)
{
    struct tarn_options o = ending(r->lifetime);
    tarn *seg;
    check(tarn_open(r->url, TARN_CREATE, &o, &seg) == 0);
    return seg;
}

/* Makes it, and is killed at the n-th point of closing it. */
static void killed_closing(void *arg)
{
    struct run *r = arg;
    tarn *seg = make(r);
    check(tarn_thread_attach(seg) == 0);
    kill_countdown = r->points;
    check(tarn_close(seg) == 0);
    kill_countdown = 0;
}

/* Leaves it without closing. */
static void dies(void *arg)
{
    (void)make(arg);
}

/* Comes when its last user is dead, and is killed at the n-th point of that. */
static void killed_coming(void *arg)
{
    struct run *r = arg;
    tarn *seg;
    kill_countdown = r->points;
    int e = tarn_open(r->url, 0, NULL, &seg);
    kill_countdown = 0;
    check(e == -ENOENT);
}

/* The same, and makes it anew. */
static void killed_making(void *arg)
{
    struct run *r = arg;
    struct tarn_options o = ending(r->lifetime);
    tarn *seg;
    kill_countdown = r->points;
    check(tarn_open(r->url, TARN_CREATE, &o, &seg) == 0);
    kill_countdown = 0;
    check(tarn_current(seg) == 0);
}

static bool was_killed(int status)
{
    assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    return status != 0;
}

static void assert_over(const struct run *r)
{
    tarn *seg, *reader;
    int e = tarn_open(r->url, TARN_RDONLY, NULL, &seg);
    if (e != -ENOENT)
        fail_msg("%s, lifetime %u, point %d: %d: %s", r->url, r->lifetime, r->points, e, tarn_error());
    seg = make(r);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_open(r->url, TARN_RDONLY, NULL, &reader), 0);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open(r->url, 0, NULL, &seg), -ENOENT);
}

/* Every point, from the first until it is not reached any more. */
static void at_every_point(void (*run)(void *arg), bool after_death)
{
    for (size_t i = 0; i < URLS; i++)
        for (uint32_t lifetime = TARN_UNTIL_UNUSED; lifetime <= TARN_UNTIL_CREATOR; lifetime++) {
            struct run r = {.url = urls[i], .lifetime = lifetime};
            int killed = 0;
            bool again = true;
            for (r.points = 1; again; r.points++) {
                assert_in_range(r.points, 1, 400);
                if (after_death)
                    assert_int_equal(in_child(dies, &r), 0);
                again = was_killed(in_child(run, &r));
                killed += again;
                assert_over(&r);
            }
            assert_true(killed >= (IS_SYSV(urls[i]) ? 1 : 3));
        }
}

static void the_last_to_close(void **state)
{
    (void)state;
    at_every_point(killed_closing, false);
}

static void the_next_to_come(void **state)
{
    (void)state;
    at_every_point(killed_coming, true);
}

static void the_next_to_make(void **state)
{
    (void)state;
    at_every_point(killed_making, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_to_close),
        cmocka_unit_test(the_next_to_come),
        cmocka_unit_test(the_next_to_make),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

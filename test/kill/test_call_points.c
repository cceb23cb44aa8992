/* test_call_points.c - call under deaths at each store of the library: of who asks, takes back, waits, ends; of who takes, answers, fails; of who joins and leaves;
 * and of who clears a dead one's seat, which is killed at a store, too, before the last one does. After each: every call has its right end, once; all slots are free.
 *
 * Built with TARN_KILL_POINTS. The parent has a client and a server; the victim is a child with the other side. */
#include "helper.h"

#include "participant/participant.h"
#include "tarn/channel.h"

__thread int kill_countdown;
void kill_now(void);
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}

enum { CAPACITY = 8, MESSAGE = 80, CALLS = 3 };

static tarn *seg;
static tarn_call *client, *server;
static const struct timespec past = {0, 0};
static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = CAPACITY, .message = MESSAGE, .parties = 8};

static struct common {
    volatile int ready, go; /* the victim is about to begin; it may */
    uint64_t id[CALLS];     /* of the victim's calls */
} * common;

/* ---- bodies that are known again ---- */

static size_t size_of(int i)
{
    static const size_t size[CALLS] = {16, 32, MESSAGE};
    return size[i % CALLS];
}
static void fill(void *to, int i, int round, char what)
{
    memset(to, what + i, size_of(i));
    memcpy(to, &round, sizeof round);
}
static bool is(const void *at, size_t size, int i, int round, char what)
{
    char want[MESSAGE];
    fill(want, i, round, what);
    return size == size_of(i) && !memcmp(at, want, size);
}
static uint64_t asked(tarn_call *c, int i, int round)
{
    void *at;
    uint64_t id;
    check(tarn_call_loan(c, size_of(i), &at, &id) == 0);
    fill(at, i, round, 'a');
    check(tarn_call_begin(c, id, i & 1 ? TARN_CALL_REPEATABLE : 0, size_of(i)) == 0);
    return id;
}
static int which(const struct tarn_request *r)
{
    for (int i = 0; i < CALLS; i++)
        if (r->size == size_of(i))
            return i;
    return -1;
}
static int answer(tarn_call *s, const struct tarn_request *r, int round)
{
    char body[MESSAGE];
    int i = which(r);
    check(i >= 0 && is(r->at, r->size, i, round, 'a')); /* whole, also when it is done again */
    fill(body, i, round, 'p');
    return tarn_call_answer(s, r->id, body, size_of(i));
}

/* ---- victims: what they do before they may die, and then ---- */

struct victim {
    const char *name;
    bool serves;
    void (*before)(tarn_call *c, int round);
    void (*then)(tarn_call *c, int round);
};

static void ask_all(tarn_call *c, int round)
{
    for (int i = 0; i < CALLS; i++)
        common->id[i] = asked(c, i, round);
}
static void take_back(tarn_call *c, int round)
{
    (void)round;
    for (int i = 0; i < CALLS; i++)
        check(tarn_call_cancel(c, common->id[i]) == 0);
}
static void wait_and_end(tarn_call *c, int round)
{
    for (int i = 0; i < CALLS; i++) {
        const void *at;
        size_t size;
        int e = tarn_call_wait_try(c, common->id[i], &at, &size);
        check(e == -EAGAIN || (e == 0 && is(at, size, i, round, 'p')));
        check(e == -EAGAIN || tarn_call_end(c, common->id[i]) == 0);
    }
}
static void nothing(tarn_call *c, int round)
{
    (void)c;
    (void)round;
}
static struct tarn_request in_hand[CALLS];
static void take_all(tarn_call *c, int round)
{
    (void)round;
    for (int i = 0; i < CALLS; i++)
        check(tarn_call_next(c, &in_hand[i]) == 0);
}
static void answer_all(tarn_call *c, int round)
{
    for (int i = 0; i < CALLS; i++) {
        int e = answer(c, &in_hand[i], round);
        check(e == 0 || e == -ECANCELED);
    }
}
static void fail_all(tarn_call *c, int round)
{
    (void)round;
    for (int i = 0; i < CALLS; i++)
        check(tarn_call_fail(c, in_hand[i].id, -ENODATA) <= 0);
}
static void take_and_answer(tarn_call *c, int round)
{
    take_all(c, round);
    answer_all(c, round);
}
static void close_it(tarn_call *c, int round)
{
    (void)round;
    check(tarn_call_close(c) == 0);
}
static void open_another(tarn_call *c, int round)
{
    (void)c;
    (void)round;
    check(tarn_call_open(seg, "c", TARN_SEND, NULL, &c) == 0);
}

static const struct victim victims[] = {
    {"asks", false, nothing, ask_all},
    {"takes back", false, ask_all, take_back},
    {"waits and ends", false, ask_all, wait_and_end},
    {"takes", true, nothing, take_all},
    {"answers", true, take_all, answer_all},
    {"fails", true, take_all, fail_all},
    {"takes and answers", true, nothing, take_and_answer},
    {"leaves", false, nothing, close_it},
    {"joins", false, nothing, open_another},
};

/* Die at the n-th store; it ended by itself if there are not so many. */
static pid_t begin_victim(const struct victim *v, int round, int n)
{
    pid_t p;
    common->ready = common->go = 0;
    p = fork_child();
    if (p == 0) {
        tarn_call *c;
        alarm(60);
        check(tarn_call_open(seg, "c", v->serves ? TARN_RECEIVE : TARN_SEND, NULL, &c) == 0);
        v->before(c, round);
        common->ready = 1;
        while (!common->go)
            usleep(100);
        kill_countdown = n;
        v->then(c, round);
        kill_countdown = 0;
        _exit(0);
    }
    while (!common->ready && kill(p, 0) == 0 && waitpid(p, NULL, WNOHANG) == 0)
        usleep(100);
    return p;
}
/* Was it killed? */
static bool end_victim(pid_t p)
{
    int status;
    assert_int_equal(waitpid(p, &status, 0), p);
    assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    return WIFSIGNALED(status);
}

/* Clears the dead, and dies at its n-th store. */
static void killed_clearer(int n)
{
    pid_t p = fork_child();
    if (p == 0) {
        struct tarn_channel_stat stat;
        alarm(60);
        check(tarn_channel_stat(seg, "c", &stat) == 0);
        check(tarn_thread_attach(seg) == 0);
        kill_countdown = n;
        (void)tarn_channel_watch(seg, "c", &stat.changes, &past);
        kill_countdown = 0;
        _exit(0);
    }
    (void)end_victim(p);
}

static void cleared(uint32_t senders, uint32_t receivers)
{
    struct tarn_channel_stat stat;
    uint32_t seen;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(tarn_channel_stat(seg, "c", &stat), 0);
        seen = stat.changes;
        (void)tarn_channel_watch(seg, "c", &seen, &past);
        assert_int_equal(tarn_channel_stat(seg, "c", &stat), 0);
        if (stat.senders == senders && stat.receivers == receivers)
            return;
        usleep(1000);
    }
    fail_msg("%u senders, %u receivers are left", stat.senders, stat.receivers);
}

static void all_free(void)
{
    struct tarn_request r;
    uint64_t id[CAPACITY], more;
    void *at;
    while (tarn_call_next_try(server, &r) == 0)
        fail_msg("a request is there that nobody asks");
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(tarn_call_loan_try(client, 1, &at, &id[i]), 0);
    assert_int_equal(tarn_call_loan_try(client, 1, &at, &more), -EAGAIN);
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(tarn_call_cancel(client, id[i]), 0);
}

/* The victim was a client: whatever of it is there is served, or thrown away. */
static void after_a_client(int round)
{
    struct tarn_request r;
    while (tarn_call_next_try(server, &r) == 0)
        (void)answer(server, &r, round);
    cleared(1, 1);
    while (tarn_call_next_try(server, &r) == 0)
        fail_msg("a request of a client that was cleared");
    all_free();
}

/* The victim was a server. */
static void after_a_server(int round, const uint64_t *id, bool killed)
{
    struct tarn_request r;
    cleared(1, 1);
    while (tarn_call_next_try(server, &r) == 0)
        assert_int_equal(answer(server, &r, round), 0);
    for (int i = 0; i < CALLS; i++) {
        const void *at;
        size_t size;
        int e = tarn_call_wait_try(client, id[i], &at, &size);
        if (e == 0) {
            assert_true(is(at, size, i, round, 'p'));
            assert_int_equal(tarn_call_end(client, id[i]), 0);
        } else if (e != -ENODATA)
            assert_true(e == -EOWNERDEAD && !(i & 1) && killed); /* and a repeatable one is answered, whoever dies */
    }
    all_free();
}

static bool one_death(const struct victim *v, int round, int n, int clearer)
{
    uint64_t id[CALLS];
    struct tarn_request r;
    struct tarn_channel_stat stat;
    uint32_t changes;
    bool killed;
    pid_t p;
    for (int i = 0; v->serves && i < CALLS; i++)
        id[i] = asked(client, i, round);
    p = begin_victim(v, round, n);
    assert_int_equal(common->ready, 1);
    if (v->before == ask_all)
        for (int i = 0; i < (v->then == take_back ? 1 : CALLS - 1); i++) { /* of several, some are in hand or answered */
            assert_int_equal(tarn_call_next_try(server, &r), 0);
            if (v->then != take_back)
                assert_int_equal(answer(server, &r, round), 0);
        }
    assert_int_equal(tarn_channel_stat(seg, "c", &stat), 0);
    changes = stat.changes;
    common->go = 1;
    killed = end_victim(p);
    if (clearer)
        killed_clearer(clearer);
    if (v->then == take_back) {
        int e;
        cleared(1, 1);
        assert_int_equal(tarn_call_cancelled(server, r.id), 1);
        e = answer(server, &r, round);
        assert_int_equal(e, -ECANCELED);
    }
    if (v->serves)
        after_a_server(round, id, true);
    else
        after_a_client(round);
    assert_int_equal(tarn_channel_stat(seg, "c", &stat), 0);
    assert_int_not_equal(stat.changes, changes); /* whoever watched was told, also if it died between its seat and its saying so */
    return killed;
}

static void deaths_of(const struct victim *v)
{
    int round = 0, points = 0;
    assert_int_equal(tarn_open("memfd:c", TARN_CREATE, NULL, &seg), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_CREATE | TARN_SEND, &options, &client), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &server), 0);
    for (int n = 1; one_death(v, ++round, n, 0); n++)
        points++;
    /* ... and the one who clears it, at another store each time */
    for (int n = 1; n <= points; n += 1 + points / 12)
        for (int m = 1 + n % 3; m < 100; m += 3)
            (void)one_death(v, ++round, n, m);
    print_message("%s: %d points\n", v->name, points);
    assert_true(points >= 2);
    assert_clean(seg);
    assert_int_equal(tarn_call_close(client), 0);
    assert_int_equal(tarn_call_close(server), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0);
    assert_clean(seg);
    assert_int_equal(tarn_close(seg), 0);
}

static void each(void **state)
{
    alarm(110);
    deaths_of(*state);
}

int main(void)
{
    enum { VICTIMS = sizeof victims / sizeof *victims };
    struct CMUnitTest tests[VICTIMS];
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < VICTIMS; i++)
        tests[i] = (struct CMUnitTest){victims[i].name, each, NULL, NULL, (void *)(uintptr_t)&victims[i]};
    return common == MAP_FAILED || cmocka_run_group_tests_name("call_points", tests, NULL, NULL);
}

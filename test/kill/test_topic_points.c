/* test_topic_points.c - a party of a topic is killed, or stopped, behind each store of each call; and so is who clears the seat of a dead one.
 *
 * Whatever it was: others publish and receive at once, three times round, before anybody has noticed (a stopped one is never noticed); a message that was sent is there once, one in hand is not
 * there; and whoever opens the topic next clears the seat, and every chunk is in an entry, somebody's, or free. */
#include "helper.h"

#include "os/futex.h"
#include "topic.h"

static bool stops;
__thread int kill_countdown;
void kill_now(void)
{
    raise(stops ? SIGSTOP : SIGKILL);
}

enum { CAPACITY = 4, MOST_POINTS = 400 };
static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = CAPACITY, .message = 64, .parties = 5, .number = 2};

struct root {
    uint32_t done; /* the call came back */
};
struct message {
    uint64_t number, of_child, same[6];
};

static tarn *seg;
static struct root *root;
static tarn_topic *publisher, *subscriber; /* the parent's */
static uint64_t last;                      /* number published by the parent */

static void fill(struct message *m, uint64_t number, bool of_child)
{
    m->number = number;
    m->of_child = of_child;
    for (int i = 0; i < 6; i++)
        m->same[i] = number * 0x9e3779b97f4a7c15ull;
}
static void assert_whole(const struct message *m, size_t size)
{
    assert_int_equal(size, sizeof *m);
    for (int i = 0; i < 6; i++)
        assert_int_equal(m->same[i], m->number * 0x9e3779b97f4a7c15ull);
}

/* ---- the child's ---- */

static struct child {
    int n;
    tarn *seg;
    struct root *root;
    tarn_topic *t;
    struct message *loan;
    const struct message *taken;
    uint64_t from; /* of the parent's numbers: this one is received next */
} c;

static void child_open(unsigned flags)
{
    check(tarn_topic_open(c.seg, "t", flags, NULL, &c.t) == 0);
}
static void nothing(void) {}
static void has_both(void)
{
    child_open(TARN_SEND | TARN_RECEIVE | TARN_TOPIC_HISTORY);
}
static void has_sent(void)
{
    struct message m;
    has_both();
    fill(&m, 7, true);
    check(tarn_topic_send(c.t, &m, sizeof m) == 0);
}
static void has_loan(void)
{
    has_both();
    check(tarn_topic_loan(c.t, sizeof *c.loan, (void **)&c.loan) == 0);
    fill(c.loan, 7, true);
}
static void has_taken(void)
{
    has_both();
    check(tarn_topic_take_try(c.t, (const void **)&c.taken, NULL) == 0);
}
static void has_all(void)
{
    has_taken();
    check(tarn_topic_loan(c.t, sizeof *c.loan, (void **)&c.loan) == 0);
    check(tarn_topic_hold(c.t, 30) == 0);
}
static void holds(void)
{
    has_both();
    check(tarn_topic_hold(c.t, 30) == 0);
}

static void does_open(void)
{
    child_open(TARN_SEND | TARN_RECEIVE);
}
static void does_send(void)
{
    struct message m;
    fill(&m, 7, true);
    check(tarn_topic_send(c.t, &m, sizeof m) == 0);
}
static void does_loan(void)
{
    check(tarn_topic_loan(c.t, sizeof *c.loan, (void **)&c.loan) == 0);
}
static void does_send_loan(void)
{
    check(tarn_topic_send_loan(c.t, c.loan, sizeof *c.loan) == 0);
}
static void does_drop_loan(void)
{
    check(tarn_topic_drop_loan(c.t, c.loan) == 0);
}
static void is_received(const struct message *m)
{
    check(m->of_child || m->number >= c.from);
    for (int i = 0; i < 6; i++)
        check(m->same[i] == m->number * 0x9e3779b97f4a7c15ull);
}
static void does_receive(void)
{
    struct message m;
    check(tarn_topic_receive_try(c.t, &m, sizeof m, NULL) == 0);
    is_received(&m);
}
static void does_take(void)
{
    check(tarn_topic_take_try(c.t, (const void **)&c.taken, NULL) == 0);
    is_received(c.taken);
}
static void does_release(void)
{
    is_received(c.taken);
    check(tarn_topic_release(c.t, c.taken) == 0);
}
static void does_seek(void)
{
    check(tarn_topic_seek(c.t, 2) == 0);
}
static void does_hold(void)
{
    check(tarn_topic_hold(c.t, 30) == 0);
}
static void does_close(void)
{
    check(tarn_topic_close(c.t) == 0);
}
static void does_all(void)
{
    does_send();
    does_receive();
    does_release();
    does_drop_loan();
    check(tarn_topic_close(c.t) == 0);
}

/* The parent's, just before: everything that the child might evict is pinned. */
static const void *pinned[2];
static void pin_two(void)
{
    assert_int_equal(tarn_topic_seek(subscriber, CAPACITY), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tarn_topic_take_try(subscriber, &pinned[i], NULL), 0);
    assert_int_equal(tarn_topic_seek(subscriber, 0), 0);
}
/* One with everything in hand has died there already. */
static void one_is_dead(void)
{
    pid_t dead = fork_child();
    if (dead == 0) {
        check(tarn_open_fd(tarn_fd(seg), 0, &c.seg) == 0);
        has_all();
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(dead, NULL, 0), dead);
}

static const struct call {
    const char *name;
    void (*before)(void); /* the parent */
    void (*ready)(void);  /* the child */
    void (*does)(void);
    int sends; /* messages of the child's if it comes back */
} calls[] = {
    {"open", NULL, nothing, does_open, 0},
    {"open, and clear a dead one", one_is_dead, nothing, does_open, 0},
    {"send", NULL, has_both, does_send, 1},
    {"send again", NULL, has_sent, does_send, 2},
    {"send over pins", pin_two, has_sent, does_send, 2},
    {"loan", NULL, has_both, does_loan, 0},
    {"send loan", NULL, has_loan, does_send_loan, 1},
    {"drop loan", NULL, has_loan, does_drop_loan, 0},
    {"receive", NULL, has_both, does_receive, 0},
    {"receive, holding", NULL, holds, does_receive, 0},
    {"take", NULL, has_both, does_take, 0},
    {"release", NULL, has_taken, does_release, 0},
    {"seek", NULL, has_both, does_seek, 0},
    {"seek, holding", NULL, holds, does_seek, 0},
    {"hold", NULL, has_both, does_hold, 0},
    {"close", NULL, has_sent, does_close, 1},
    {"close, holding", NULL, holds, does_close, 0},
    {"all", NULL, has_all, does_all, 1},
};

/* ---- the parent's ---- */

static void publish(void)
{
    struct message m;
    fill(&m, ++last, false);
    assert_int_equal(tarn_topic_send(publisher, &m, sizeof m), 0);
}

/* Receive all that is there: how many are of the child; the parent's own are in order, up to the last. */
static int received(uint64_t *after)
{
    struct message m;
    struct tarn_topic_news news;
    int of_child = 0, e;
    while ((e = tarn_topic_receive_try(subscriber, &m, sizeof m, &news)) == 0) {
        assert_whole(&m, news.size);
        assert_int_equal(news.lost, 0);
        if (!m.of_child)
            assert_int_equal(m.number, ++*after);
        of_child += (int)m.of_child;
    }
    assert_int_equal(e, -EAGAIN);
    assert_int_equal(*after, last);
    return of_child;
}

static int ones_seen(const struct tarn_party *p, void *arg)
{
    (void)p;
    ++*(int *)arg;
    return 0;
}

/* True: it was killed, or stopped, at that point; else there is none such. */
static bool at_point(const struct call *call, int n)
{
    uint64_t after;
    int status, of_child = 0, left = 0;
    bool at;
    uint32_t seen = 0;
    tarn_topic *third;
    const char *wrong;
    for (int i = 0; i < CAPACITY; i++)
        publish();
    assert_int_equal(tarn_topic_seek(subscriber, 0), 0);
    after = last;
    if (call->before)
        call->before();
    root->done = 0;
    pid_t child = fork_child();
    if (child == 0) {
        alarm(60);
        check(tarn_open_fd(tarn_fd(seg), 0, &c.seg) == 0 && tarn_object(c.seg, "root", struct root, &c.root) == 0);
        c.from = last - CAPACITY + 1;
        call->ready();
        kill_countdown = n;
        call->does();
        kill_countdown = 0;
        store32(&c.root->done, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    at = stops ? WIFSTOPPED(status) : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!at && status)
        fail_msg("%s, point %d: it ended so: %#x", call->name, n, (unsigned)status);
    for (int i = 0; i < 3 * CAPACITY; i++) { /* nobody waits for it */
        publish();
        of_child += received(&after);
    }
    for (int i = 0; i < 2; i++)
        if (pinned[i]) {
            assert_int_equal(tarn_topic_release(subscriber, pinned[i]), 0);
            pinned[i] = NULL;
        }
    if (stops && at) {
        assert_int_equal(kill(child, SIGCONT), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status)
            fail_msg("%s, stopped at point %d: %#x", call->name, n, (unsigned)status);
        of_child += received(&after);
    }
    assert_int_equal(root->done, status == 0);
    assert_true(of_child == call->sends || (status && of_child == call->sends - 1));
    assert_int_equal(tarn_channel_watch(seg, "t", &seen, NULL), 0); /* the dead one's seat is cleared */
    wrong = topic_census(seg, "t");
    if (wrong)
        fail_msg("%s, point %d: %s", call->name, n, wrong);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_SEND, NULL, &third), 0);
    assert_int_equal(tarn_channel_parties(seg, "t", ones_seen, &left), 0);
    assert_int_equal(left, 3);
    assert_int_equal((uint32_t)publisher->view.words->holding, 0);
    wrong = topic_census(seg, "t");
    if (wrong)
        fail_msg("%s, point %d: %s", call->name, n, wrong);
    assert_int_equal(tarn_topic_close(third), 0);
    return at;
}

static void each_call(void **state)
{
    const struct call *call = *state;
    struct tarn_options o = {.size = sizeof o, .initial = 256 << 10, .participants = 8};
    int n = 1;
    assert_int_equal(tarn_open("memfd:points", TARN_CREATE, &o, &seg), 0);
    assert_int_equal(tarn_object(seg, "root", struct root, &root), 0);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_CREATE | TARN_SEND, &options, &publisher), 0);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_RECEIVE, NULL, &subscriber), 0);
    while (n < MOST_POINTS && at_point(call, n))
        n++;
    print_message("%s: %d points\n", call->name, n - 1);
    assert_true(n > 1 && n < MOST_POINTS);
    assert_int_equal(tarn_topic_close(publisher), 0);
    assert_int_equal(tarn_topic_close(subscriber), 0);
    assert_clean(seg);
    assert_int_equal(tarn_close(seg), 0);
}

int main(void)
{
    enum { CALLS = sizeof calls / sizeof *calls };
    struct CMUnitTest tests[CALLS];
    int e = 0;
    alarm(170);
    for (int i = 0; i < CALLS; i++)
        tests[i] = (struct CMUnitTest){calls[i].name, each_call, NULL, NULL, (void *)(uintptr_t)&calls[i]};
    e = cmocka_run_group_tests_name("killed", tests, NULL, NULL);
    stops = true;
    return cmocka_run_group_tests_name("stopped", tests, NULL, NULL) + e;
}

/* test_mq_deaths.c - the message queue: a party dies behind each store of each call, and then who clears its seat dies behind each store of that.
 *
 * For each n, and each m: a child is killed behind the n-th store of its call; another one, which opens the queue and so clears the dead one's seat, behind the m-th of that; then a
 * third one comes. Every chunk must be where it belongs (Q1), what was sent come once, and be told and counted if it was in the dead one's hand. */
#include "helper.h"

#include "channel/check.h"
#include "channel/mq.h"

__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}

static tarn *seg;
static char name[16];

static tarn_mq *opened(unsigned flags)
{
    static const struct tarn_channel_options o = {.size = sizeof o, .capacity = 2, .message = 100, .parties = 4};
    tarn_mq *mq = NULL;
    check(tarn_mq_open(seg, name, flags, &o, &mq) == 0);
    return mq;
}
static void send(tarn_mq *mq, uint64_t number)
{
    check(tarn_mq_send_try(mq, 0, &number, 8) == 0);
}
static uint64_t receive(tarn_mq *mq, int *ret_e)
{
    uint64_t body[13] = {0};
    *ret_e = tarn_mq_receive_try(mq, body, sizeof body, NULL);
    return body[0];
}

/* ---- the calls: there is 1; then perhaps 2 ---- */

static tarn_mq *mine;
static void *taken, *loan;

static void with_one(void)
{
    mine = opened(TARN_SEND | TARN_RECEIVE);
    send(mine, 1);
}
/* Several laps, so that what it gets is a chunk that was received. */
static void with_one_later(void)
{
    int e;
    mine = opened(TARN_SEND | TARN_RECEIVE);
    for (int i = 0; i < 5; i++) {
        send(mine, 9);
        check(receive(mine, &e) == 9 && e == 0);
    }
    send(mine, 1);
}
static void sends(void)
{
    uint64_t number = 2;
    check(tarn_mq_send(mine, 0, &number, 8) == 0);
}
static void with_loan(void)
{
    with_one_later();
    check(tarn_mq_loan_try(mine, 8, &loan) == 0);
    *(uint64_t *)loan = 2;
}
static void sends_loan(void)
{
    check(tarn_mq_send_loan_try(mine, 0, loan, 8) == 0);
}
static void with_loan_and_spare(void)
{
    void *other;
    with_loan();
    check(tarn_mq_loan_try(mine, 8, &other) == 0);
    check(tarn_mq_release(mine, other) == 0);
}
static void loans(void)
{
    check(tarn_mq_loan_try(mine, 8, &loan) == 0);
    check(tarn_mq_release(mine, loan) == 0);
}
static void receives(void)
{
    int e;
    check(receive(mine, &e) == 1 && e == 0);
}
static void with_large(void)
{
    uint64_t body[13] = {1};
    mine = opened(TARN_SEND | TARN_RECEIVE);
    check(tarn_mq_send_try(mine, 0, body, 100) == 0);
}
static void takes(void)
{
    check(tarn_mq_take_try(mine, &taken, NULL) == 0);
    check(tarn_mq_release(mine, taken) == 0);
}
static void takes_and_keeps(void)
{
    void *again;
    check(tarn_mq_take_try(mine, &taken, NULL) == 0);
    check(tarn_mq_loan_try(mine, 8, &again) == 0);
}
static void closes(void)
{
    check(tarn_mq_close(mine) == 0);
}

static const struct call {
    const char *name;
    void (*before)(void);
    void (*run)(void);
    bool sends, receives;
} calls[] = {
    {"send", with_one, sends, true, false},
    {"send, later", with_one_later, sends, true, false},
    {"send a loan", with_loan, sends_loan, true, false},
    {"send a loan, with a spare", with_loan_and_spare, sends_loan, true, false},
    {"loan, release", with_one, loans, false, false},
    {"receive", with_one, receives, false, true},
    {"receive, large", with_large, receives, false, true},
    {"take, release", with_one, takes, false, true},
    {"take", with_one, takes_and_keeps, false, true},
    {"close", with_one_later, closes, false, false},
};

/* ---- a death, and another ---- */

struct plan {
    const struct call *call;
    int n, m;
};
static void dies(void *arg)
{
    const struct plan *p = arg;
    p->call->before();
    kill_countdown = p->n;
    p->call->run();
    kill_countdown = 0;
    if (p->n == 1000) /* the last one: with what it has in hand then */
        kill_now();
}
static void clears(void *arg)
{
    const struct plan *p = arg;
    kill_countdown = p->m;
    mine = opened(TARN_RECEIVE);
    kill_countdown = 0;
    closes();
}

/* Whether it was killed. */
static bool killed(int status)
{
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(status, 0);
    return false;
}

static void judge(const struct plan *p)
{
    tarn_mq *mq = opened(TARN_SEND | TARN_RECEIVE);
    const char *fault = channel_fault(&mq->party, true);
    struct tarn_channel_stat stat;
    uint64_t number, got = 0;
    int e, again = 0;
    if (fault)
        fail_msg("%s, death at %d, then at %d: %s", p->call->name, p->n, p->m, fault);
    for (uint64_t should = 1; (number = receive(mq, &e)) && e >= 0; should = number + 1, got |= 1u << number) {
        again += e == TARN_RECOVERED;
        if (number < should || number > 2)
            fail_msg("%s, death at %d, then at %d: %llu came", p->call->name, p->n, p->m,
                     (unsigned long long)number);
    }
    assert_int_equal(tarn_channel_stat(seg, name, &stat), 0);
    if ((!(got & 2) && !p->call->receives) || (got & 4 && !p->call->sends) || stat.again != (unsigned)again ||
        stat.lost || stat.waiting)
        fail_msg("%s, death at %d, then at %d: came %llx, %d again, counted %llu", p->call->name, p->n, p->m,
                 (unsigned long long)got, again, (unsigned long long)stat.again);
    for (int i = 0; i < 20; i++) {
        send(mq, 3);
        assert_int_equal(receive(mq, &e), 3);
    }
    assert_null(channel_fault(&mq->party, true));
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}

static void each_death(const struct call *call)
{
    static int number;
    int points = 0, clearings = 0;
    for (int n = 1;; n++) {
        bool at_end = false;
        for (int m = 1;; m++) {
            struct plan p = {call, n, m};
            snprintf(name, sizeof name, "mq%d", number++);
            assert_int_equal(tarn_mq_close(opened(TARN_CREATE)), 0);
            at_end = !killed(in_child(dies, &p));
            if (at_end) {
                p.n = 1000;
                assert_int_equal(tarn_unbind(seg, name, 1), 0);
                assert_int_equal(tarn_mq_close(opened(TARN_CREATE)), 0);
                assert_true(killed(in_child(dies, &p)));
            }
            bool cleared = !killed(in_child(clears, &p));
            judge(&p);
            clearings++;
            if (cleared)
                break;
        }
        points++;
        if (at_end)
            break;
    }
    print_message("%s: %d deaths, %d clearings\n", call->name, points, clearings);
    assert_true(points > 1 && clearings > 3 * points);
}

static void every_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        each_death(&calls[i]);
}

static int open_segment(void **state)
{
    (void)state;
    alarm(110);
    return tarn_open("memfd:mq", TARN_CREATE, NULL, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_call)};
    return cmocka_run_group_tests(tests, open_segment, close_segment);
}

/* test_mq_multi.c - the message queue between processes at different addresses, which are killed and stopped.
 *
 * Churn: senders number what they send, receivers note what they got, outside the segment; both are killed all the time, and started anew. Checked, whoever was killed:
 *   what a sender knew was sent came: once; or more often, but told as TARN_RECOVERED, and no more of these than a dead hand can have had
 *   what was in a dead sender's hand came once, or not at all
 *   a receiver that copies may have died before it noted one; at most one for each death
 *   of one sender and priority, messages come to each receiver in order; and whole
 *   in the end everybody ends, nothing is there any more, and every chunk is where it belongs (Q1)
 * The cap is off: a wake-up that is lost is a hang, and the alarm ends it. With TARN_KILL_POINTS (test/kill) they also die at chosen stores. */
#include "helper.h"

#include <time.h>

#include "channel/mq.h"

enum { SENDERS = 3, RECEIVERS = 3, WORKERS = SENDERS + RECEIVERS, NUMBERS = 1 << 20, CAPACITY = 16 };
enum { STOPS = UINT32_MAX }; /* a number: the receiver ends */

static const char *url = "posix:/mq";

struct message {
    uint32_t sender, number;
    uint64_t rest[1];
};

static struct shared {
    uint32_t begun[SENDERS], sent[SENDERS]; /* the last one that it began to send, and that it knew was sent */
    uint32_t deaths[WORKERS];
    volatile int stop;
    uint8_t got[SENDERS][NUMBERS], again[SENDERS][NUMBERS];
    uintptr_t address[WORKERS];
} * shared;

static struct setting {
    uint32_t levels, flags, size;
    bool take, loan;
} setting;

static uint32_t seed;
static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

#ifdef TARN_KILL_POINTS
__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}
static void plan_own_death(void)
{
    if (!kill_countdown && rnd(300) == 0 && !shared->stop)
        kill_countdown = 1 + (int)rnd(rnd(2) ? 10 : 60);
}
static void no_death(void)
{
    kill_countdown = 0;
}
#else
static void plan_own_death(void) {}
static void no_death(void) {}
#endif

static void fill(struct message *m, uint32_t sender, uint32_t number)
{
    m->sender = sender;
    m->number = number;
    for (uint32_t i = 0; i < (setting.size - 8) / 8; i++)
        m->rest[i] = ((uint64_t)number << 20) + i;
}

/* ---- the two kinds of worker ---- */

static void enter(int me, unsigned role, tarn **ret_seg, tarn_mq **ret_mq)
{
    seed = (uint32_t)getpid() * 2654435761u | 1;
    alarm(100);
    check(mmap(NULL, (size_t)(1 + rnd(64)) << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    check(tarn_open(url, 0, NULL, ret_seg) == 0);
    check(tarn_mq_open(*ret_seg, "churn", role, NULL, ret_mq) == 0);
    shared->address[me] = (uintptr_t)tarn_base(*ret_seg);
}
static void leave(tarn *seg, tarn_mq *mq)
{
    no_death();
    check(tarn_mq_close(mq) == 0);
    check(tarn_close(seg) == 0);
    _exit(0);
}

static void sends(int me)
{
    union {
        struct message m;
        char bytes[4096];
    } body;
    tarn *seg;
    tarn_mq *mq;
    enter(me, TARN_SEND, &seg, &mq);
    while (!shared->stop && shared->begun[me] + 1 < NUMBERS) {
        plan_own_death();
        uint32_t number = ++shared->begun[me];
        int e;
        if (setting.loan) {
            void *loan;
            check(tarn_mq_loan(mq, setting.size, &loan) == 0);
            fill(loan, (uint32_t)me, number);
            e = tarn_mq_send_loan(mq, number % setting.levels, loan, setting.size);
        } else {
            fill(&body.m, (uint32_t)me, number);
            e = tarn_mq_send(mq, number % setting.levels, &body, setting.size);
        }
        check(e == 0);
        shared->sent[me] = number;
        if (rnd(64) == 0)
            usleep(rnd(100));
    }
    leave(seg, mq);
}

static void receives(int me)
{
    union {
        struct message m;
        char bytes[4096];
    } body;
    uint32_t last[SENDERS][MQ_LEVELS] = {{0}};
    tarn *seg;
    tarn_mq *mq;
    enter(me, TARN_RECEIVE, &seg, &mq);
    for (;;) {
        plan_own_death();
        void *at = &body;
        size_t size = 0;
        int e = setting.take ? tarn_mq_take(mq, &at, &size) : tarn_mq_receive(mq, &body, sizeof body, &size);
        const struct message *m = at;
        struct message should[4096 / sizeof(struct message)];
        check(e >= 0);
        check(size == setting.size);
        uint32_t sender = m->sender, number = m->number;
        if (number == STOPS)
            no_death(); /* else another one would have to be told */
        else {
            check(sender < SENDERS && number < NUMBERS);
            fill(should, sender, number);
            check(memcmp(at, should, size) == 0);
            if (e == 0) {
                check(number > last[sender][number % setting.levels]);
                last[sender][number % setting.levels] = number;
            }
            __atomic_fetch_add(e ? &shared->again[sender][number] : &shared->got[sender][number], 1,
                               __ATOMIC_SEQ_CST);
        }
        if (setting.take)
            check(tarn_mq_release(mq, at) == 0);
        if (number == STOPS)
            break;
        if (rnd(64) == 0)
            usleep(rnd(100));
    }
    leave(seg, mq);
}

static pid_t start(int me)
{
    pid_t child = fork_child();
    if (child == 0) {
        if (me < SENDERS)
            sends(me);
        receives(me);
    }
    return child;
}

/* Who was killed is started anew; who ended, ended well. */
static void buried(pid_t *child, int i, int status)
{
    if (WIFEXITED(status)) {
        assert_int_equal(status, 0);
        assert_true(shared->stop);
        child[i] = 0;
        return;
    }
    assert_int_equal(WTERMSIG(status), SIGKILL);
    shared->deaths[i]++;
    child[i] = start(i);
}
static void bury(pid_t *child)
{
    int status;
    for (int i = 0; i < WORKERS; i++)
        if (child[i] && waitpid(child[i], &status, WNOHANG) == child[i])
            buried(child, i, status);
}
/* Until those of [from, to) have ended: they may wait for any of the others, who was killed just now. */
static void let_end(pid_t *child, int from, int to)
{
    for (int i = from; i < to;) {
        int status, k = 0;
        pid_t p;
        if (!child[i]) {
            i++;
            continue;
        }
        p = waitpid(-1, &status, 0);
        while (k < WORKERS && child[k] != p)
            k++;
        assert_true(k < WORKERS);
        buried(child, k, status);
    }
}

static uint64_t sent(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < SENDERS; i++)
        sum += __atomic_load_n(&shared->sent[i], __ATOMIC_RELAXED);
    return sum;
}

/* ---- churn ---- */

static void churn(struct setting how, unsigned rounds)
{
    struct tarn_channel_options o = {.size = sizeof o,
                                     .capacity = CAPACITY,
                                     .message = how.size,
                                     .number = how.levels,
                                     .flags = how.flags,
                                     .parties = WORKERS + 4};
    pid_t child[WORKERS];
    tarn *seg;
    tarn_mq *mq;
    uint64_t twice = 0, missing = 0, deaths[2] = {0}, sum = 0;
    struct tarn_channel_stat stat;
    setting = how;
    memset(shared, 0, sizeof *shared);
    assert_int_equal(tarn_open(url, TARN_CREATE, NULL, &seg), 0);
    assert_int_equal(tarn_mq_open(seg, "churn", TARN_CREATE, &o, &mq), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_close(seg), 0);
    for (int i = 0; i < WORKERS; i++)
        child[i] = start(i);
    for (unsigned round = 0; round < rounds; round++) {
        usleep(rnd(3000));
#ifndef TARN_KILL_POINTS
        kill(child[rnd(WORKERS)], SIGKILL);
#endif
        bury(child);
    }
    while (sent() < 1000) { /* on a slow machine nobody lived long enough */
        usleep(1000);
        bury(child);
    }
    shared->stop = 1;
    let_end(child, 0, SENDERS);
    {
        union {
            struct message m;
            char bytes[4096];
        } body;
        int e;
        assert_int_equal(tarn_open(url, 0, NULL, &seg), 0);
        assert_int_equal(tarn_mq_open(seg, "churn", TARN_SEND | TARN_RECEIVE, NULL, &mq), 0);
        fill(&body.m, 0, STOPS);
        for (int k = 0; k < RECEIVERS;) { /* as many words to stop as there are receivers */
            struct timespec soon;
            clock_gettime(CLOCK_MONOTONIC, &soon);
            soon.tv_sec++;
            e = tarn_mq_send_timed(mq, 0, &body, setting.size, &soon);
            assert_true(e == 0 || e == -ETIMEDOUT);
            k += e == 0;
            bury(child);
        }
    }
    let_end(child, SENDERS, WORKERS);
    /* what the dead had, and nobody has received since */
    for (;;) {
        union {
            struct message m;
            char bytes[4096];
        } body;
        size_t size;
        struct timespec past = {1, 0};
        int e = tarn_mq_receive_timed(mq, &body, sizeof body, &size, &past);
        if (e == -ETIMEDOUT && channel_clear_dead(&mq->party))
            continue;
        if (e == -ETIMEDOUT)
            break;
        assert_true(e >= 0);
        if (body.m.number != STOPS)
            (e ? shared->again : shared->got)[body.m.sender][body.m.number]++;
    }
    for (int i = 0; i < WORKERS; i++)
        deaths[i >= SENDERS] += shared->deaths[i];
    for (int s = 0; s < SENDERS; s++)
        for (uint32_t n = 1; n <= shared->begun[s]; n++) {
            unsigned got = shared->got[s][n], again = shared->again[s][n];
            sum += got + again;
            assert_true(got <= 1);
            twice += got + again > 1 ? got + again - 1 : 0;
            /* begun and not known to be sent: the last one before each death of its sender */
            missing += got + again == 0;
        }
    assert_int_equal(tarn_channel_stat(seg, "churn", &stat), 0);
    print_message("%llu received, deaths %llu + %llu, missing %llu, twice %llu, again %llu, lost %llu\n",
                  (unsigned long long)sum, (unsigned long long)deaths[0], (unsigned long long)deaths[1],
                  (unsigned long long)missing, (unsigned long long)twice, (unsigned long long)stat.again,
                  (unsigned long long)stat.lost);
    assert_true(sum > 100);
    assert_int_equal(stat.waiting, 0);
    assert_int_equal(stat.senders, 1);
    /* missing: a dead sender's last; with copies, and at most once, also what a dead receiver had */
    assert_true(missing <= deaths[0] + (setting.take && !setting.flags ? 0 : deaths[1]));
    assert_true(twice <= stat.again);
    assert_true(stat.again + stat.lost <= deaths[1]);
    if (setting.flags)
        assert_int_equal(stat.again, 0);
    else
        assert_int_equal(stat.lost, 0);
    const char *fault = mq_fault(&mq->party);
    if (fault)
        fail_msg("%s", fault);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "churn", 1), 0);
    assert_clean(seg);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

static unsigned rounds(void)
{
    const char *r = getenv("TARN_TEST_ROUNDS");
    return r ? (unsigned)atoi(r) : 400;
}

static void takes(void **state)
{
    (void)state;
    churn((struct setting){.levels = 1, .size = 16, .take = true}, rounds());
}
static void copies(void **state)
{
    (void)state;
    churn((struct setting){.levels = 3, .size = 64}, rounds());
}
static void loans(void **state)
{
    (void)state;
    churn((struct setting){.levels = 2, .size = 1000, .take = true, .loan = true}, rounds());
}
static void large_copies(void **state)
{
    (void)state;
    churn((struct setting){.levels = 1, .size = 1000}, rounds());
}
static void at_most_once(void **state)
{
    (void)state;
    churn((struct setting){.levels = 1, .size = 200, .flags = TARN_MQ_AT_MOST_ONCE, .take = true}, rounds());
}

/* ---- who is stopped ---- */

#ifndef TARN_KILL_POINTS
/* Stopped anywhere, whole processes, for as long as it takes the others to send and receive many laps. The cap is on: a stopped one who was woken wakes nobody. */
static void nobody_waits_for_the_stopped(void **state)
{
    (void)state;
    struct tarn_channel_options o = {.size = sizeof o, .capacity = CAPACITY, .message = 16, .parties = WORKERS + 4};
    pid_t child[WORKERS];
    tarn *seg;
    tarn_mq *mq;
    setting = (struct setting){.levels = 1, .size = 16};
    mutex_cap_off = false;
    memset(shared, 0, sizeof *shared);
    assert_int_equal(tarn_open(url, TARN_CREATE, NULL, &seg), 0);
    assert_int_equal(tarn_mq_open(seg, "churn", TARN_CREATE, &o, &mq), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_close(seg), 0);
    for (int i = 0; i < WORKERS; i++)
        child[i] = start(i);
    for (int i = 0; i < WORKERS; i++) /* who is stopped while it joins has the lock that the others need for that */
        while (!__atomic_load_n(&shared->address[i], __ATOMIC_ACQUIRE))
            usleep(500);
    for (unsigned round = 0; round < 40; round++) {
        uint32_t before[SENDERS];
        int i = (int)rnd(SENDERS), k = SENDERS + (int)rnd(RECEIVERS);
        kill(child[i], SIGSTOP);
        kill(child[k], SIGSTOP);
        usleep(2000);
        memcpy(before, shared->sent, sizeof before);
        for (int s = 0; s < SENDERS; s++)
            while (s != i && __atomic_load_n(&shared->sent[s], __ATOMIC_ACQUIRE) < before[s] + 3 * CAPACITY)
                usleep(500); /* the alarm ends it */
        kill(child[i], SIGCONT);
        kill(child[k], SIGCONT);
    }
    shared->stop = 1;
    for (int i = 0; i < WORKERS; i++) {
        int status;
        if (i == SENDERS) {
            struct message m;
            assert_int_equal(tarn_open(url, 0, NULL, &seg), 0);
            assert_int_equal(tarn_mq_open(seg, "churn", TARN_SEND, NULL, &mq), 0);
            fill(&m, 0, STOPS);
            for (int k = 0; k < RECEIVERS; k++)
                assert_int_equal(tarn_mq_send(mq, 0, &m, sizeof m), 0);
        }
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_int_equal(status, 0);
    }
    for (int s = 0; s < SENDERS; s++)
        for (uint32_t n = 1; n <= shared->sent[s]; n++)
            assert_int_equal(shared->got[s][n], 1);
    int elsewhere = 0;
    for (int i = 1; i < WORKERS; i++)
        elsewhere += shared->address[i] != shared->address[0];
    assert_true(elsewhere > 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_unbind(seg, "churn", 1), 0);
    assert_clean(seg);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
    mutex_cap_off = true;
}
#endif

static void too_long(int number)
{
    (void)number;
    remove_directory(NULL);
    signal(SIGALRM, SIG_DFL);
    raise(SIGALRM);
}
static int set_up(void **state)
{
    signal(SIGALRM, too_long);
    alarm(110);
    seed = (uint32_t)getpid() | 1;
    mutex_cap_off = true;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || own_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes),
        cmocka_unit_test(copies),
        cmocka_unit_test(loans),
        cmocka_unit_test(large_copies),
        cmocka_unit_test(at_most_once),
#ifndef TARN_KILL_POINTS
        cmocka_unit_test(nobody_waits_for_the_stopped),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, remove_directory);
}

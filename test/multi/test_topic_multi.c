/* test_topic_multi.c - topics under several processes, at different addresses, which are killed at random moments.
 *
 * Each publisher has a number in the segment, which it counts up before it sends: so its successor goes on behind what it may have had in hand. A witness, who holds publishers back and is
 * never killed, sees all messages: of each publisher's numbers in order, none twice, and missing at most one for each time that one was killed. Whoever
 * subscribes sees whole messages only, in order, and is told how many it missed. */
#include "helper.h"

#include "chance.h"
#include "topic.h"
#include "sync/sync.h"

enum { PUBLISHERS = 3, WORDS_MOST = 24, CAPACITY = 16 };

struct root {
    uint64_t number[PUBLISHERS]; /* counted up before it is sent */
    uint64_t sent[PUBLISHERS];   /* what came back from sending */
    uint64_t seen[PUBLISHERS];   /* by the witness: the last */
    uint64_t missing[PUBLISHERS];
    uint64_t received[4];
    uint32_t stop;
};

struct message {
    uint64_t publisher, number;
    uint64_t more[WORDS_MOST]; /* as many as follow from the number */
};

static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = CAPACITY, .message = sizeof(struct message), .parties = 10, .number = 2};

static tarn *seg;
static struct root *root;

static void open_it(unsigned flags)
{
    check(tarn_open("posix:/topic", flags, NULL, &seg) == 0);
    check(tarn_object(seg, "root", struct root, &root) == 0);
}
static tarn_topic *topic(unsigned flags)
{
    tarn_topic *t = NULL;
    check(tarn_topic_open(seg, "topic", flags, &options, &t) == 0);
    return t;
}

/* ---- messages ---- */

static size_t size_of(uint64_t publisher, uint64_t number)
{
    return offsetof(struct message, more) + (number * 7 + publisher) % (WORDS_MOST + 1) * 8;
}
static size_t make(struct message *m, uint64_t publisher, uint64_t number)
{
    size_t size = size_of(publisher, number);
    m->publisher = publisher;
    m->number = number;
    for (size_t i = 0; i < (size - offsetof(struct message, more)) / 8; i++)
        m->more[i] = (number + i) * 0x9e3779b97f4a7c15ull ^ publisher;
    return size;
}
static bool is_whole(const struct message *m, size_t size)
{
    struct message good;
    return size >= 16 && m->publisher < PUBLISHERS && make(&good, m->publisher, m->number) == size &&
           memcmp(m, &good, size) == 0;
}

struct seen {
    uint64_t last[PUBLISHERS], sequence;
    bool began;
};
/* In order, whole, and all but what was said to be lost. */
static void see(struct seen *s, const struct message *m, const struct tarn_topic_news *news)
{
    check(is_whole(m, news->size));
    check(!s->began || news->sequence == s->sequence + 1 + news->lost);
    check(m->number > s->last[m->publisher]);
    s->last[m->publisher] = m->number;
    s->sequence = news->sequence;
    s->began = true;
}

/* ---- what they do ---- */

static void publish_for_ever(unsigned who, bool loans)
{
    tarn_topic *t = topic(TARN_SEND);
    while (!load32(&root->stop)) {
        struct message m, *at = &m;
        uint64_t number = root->number[who] + 1;
        store64(&root->number[who], number);
        if (loans && number % 3) {
            check(tarn_topic_loan(t, sizeof m, (void **)&at) == 0);
            check(tarn_topic_send_loan(t, at, make(at, who, number)) == 0);
        } else
            check(tarn_topic_send(t, at, make(at, who, number)) == 0);
        store64(&root->sent[who], number);
        if (number % 64 == 0) { /* a loan that comes to nothing */
            check(tarn_topic_loan(t, 8, (void **)&at) == 0);
            memset(at, 0xff, sizeof m);
            check(tarn_topic_drop_loan(t, at) == 0);
        }
        if (number % 500 == 0) {
            check(tarn_topic_close(t) == 0);
            t = topic(TARN_SEND);
        }
    }
    check(tarn_topic_close(t) == 0);
}

static void copy_for_ever(int mine, bool holds)
{
    tarn_topic *t = topic(TARN_RECEIVE | (mine % 2 ? TARN_TOPIC_HISTORY : 0));
    struct seen seen = {.began = false};
    struct tarn_topic_news news;
    struct message m;
    if (holds)
        check(tarn_topic_hold(t, 20) == 0); /* and stopped ones are overrun */
    for (uint64_t i = 0; !load32(&root->stop); i++) {
        struct timespec soon = os_deadline(20);
        int e = tarn_topic_receive_timed(t, &m, sizeof m, &news, &soon);
        check(e == 0 || e == -ETIMEDOUT);
        if (e == 0) {
            see(&seen, &m, &news);
            store64(&root->received[mine], root->received[mine] + 1);
        }
        if (i % 100 == 0 && tarn_topic_latest(t, &m, sizeof m, &news) == 0)
            check(is_whole(&m, news.size));
    }
    check(tarn_topic_close(t) == 0);
}

static void take_for_ever(int mine)
{
    tarn_topic *t = topic(TARN_RECEIVE);
    struct seen seen = {.began = false};
    const struct message *hand[2] = {NULL, NULL};
    size_t size[2] = {0, 0};
    for (uint64_t i = 0; !load32(&root->stop); i++) {
        struct timespec soon = os_deadline(20);
        struct tarn_topic_news news;
        int k = i % 2, e;
        if (hand[k]) {
            check(is_whole(hand[k], size[k])); /* still, whatever was published meanwhile */
            check(tarn_topic_release(t, hand[k]) == 0);
            hand[k] = NULL;
        }
        e = tarn_topic_take_timed(t, (const void **)&hand[k], &news, &soon);
        check(e == 0 || e == -ETIMEDOUT);
        if (e)
            continue;
        see(&seen, hand[k], &news);
        size[k] = news.size;
        store64(&root->received[mine], root->received[mine] + 1);
    }
    for (int k = 0; k < 2; k++)
        check(!hand[k] || tarn_topic_release(t, hand[k]) == 0);
    check(tarn_topic_close(t) == 0);
}

static void read_for_ever(void)
{
    tarn *reader;
    tarn_topic *t;
    struct seen seen = {.began = false};
    struct message m;
    struct tarn_topic_news news;
    check(tarn_open("posix:/topic", TARN_RDONLY, NULL, &reader) == 0);
    check(tarn_topic_open(reader, "topic", TARN_RECEIVE, NULL, &t) == 0);
    while (!load32(&root->stop)) {
        struct timespec soon = os_deadline(20);
        int e = tarn_topic_receive_timed(t, &m, sizeof m, &news, &soon);
        check(e == 0 || e == -ETIMEDOUT);
        if (e == 0)
            see(&seen, &m, &news);
        e = tarn_topic_latest(t, &m, sizeof m, &news);
        check(e == 0 || e == -ENOENT || e == -EAGAIN);
        check(e || is_whole(&m, news.size));
    }
    check(tarn_topic_close(t) == 0);
}

/* Never killed; publishers wait for it, so it sees all. */
static void witness(int ready)
{
    tarn_topic *t = topic(TARN_RECEIVE);
    struct seen seen = {.began = false};
    struct tarn_topic_news news;
    struct message m;
    check(tarn_topic_hold(t, 60000) == 0);
    check(write(ready, "", 1) == 1);
    for (int e = 0; !(load32(&root->stop) && e == -ETIMEDOUT);) {
        struct timespec soon = os_deadline(100);
        uint64_t before;
        e = tarn_topic_receive_timed(t, &m, sizeof m, &news, &soon);
        check(e == 0 || e == -ETIMEDOUT);
        if (e)
            continue;
        check(news.lost == 0);
        before = m.publisher < PUBLISHERS ? seen.last[m.publisher] : 0;
        see(&seen, &m, &news);
        root->missing[m.publisher] += m.number - before - 1;
        root->seen[m.publisher] = m.number;
    }
    check(tarn_topic_close(t) == 0);
}

/* ---- random deaths ---- */

enum { ROLES = 8, WITNESS = 7 };
static pid_t begin(int role, int ready)
{
    pid_t child = fork_child();
    if (child != 0)
        return child;
    alarm(100);
    open_it(0);
    if (role < PUBLISHERS)
        publish_for_ever((unsigned)role, role != 1);
    else if (role == 3 || role == 4)
        copy_for_ever(role - 3, role == 4);
    else if (role == 5)
        take_for_ever(2);
    else if (role == 6)
        read_for_ever();
    else
        witness(ready);
    _exit(0);
}

static int none_but(const struct tarn_party *p, void *arg)
{
    (void)p;
    ++*(int *)arg;
    return 0;
}

static void killed_at_random(void **state)
{
    (void)state;
    const int kills = SANITIZED                    ? 60
                      : getenv("TARN_TEST_ROUNDS") ? atoi(getenv("TARN_TEST_ROUNDS")) * 100
                                                   : 200;
    pid_t child[ROLES];
    int pipes[2], status, killed[ROLES] = {0}, left = 0;
    struct tarn_options o = {.size = sizeof o, .initial = 1 << 20, .limit = 4 << 20, .participants = 16};
    chance_from(3);
    char byte;
    const char *wrong;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(tarn_open("posix:/topic", TARN_CREATE | TARN_EXCL, &o, &seg), 0);
    assert_int_equal(tarn_object(seg, "root", struct root, &root), 0);
    tarn_topic *look = topic(TARN_CREATE);
    child[WITNESS] = begin(WITNESS, pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    for (int i = 0; i < WITNESS; i++)
        child[i] = begin(i, -1);
    for (int i = 0; i < kills; i++) {
        int role = (int)chance(WITNESS);
        struct timespec moment = {0, 1000000 + chance(8000000)};
        nanosleep(&moment, NULL);
        if (i % 10 == 3) { /* one that stands still is no death, and the others go on; but for what it holds, up to the limit */
            assert_int_equal(kill(child[role], SIGSTOP), 0);
            nanosleep(&moment, NULL);
            assert_int_equal(kill(child[role], SIGCONT), 0);
            continue;
        }
        assert_int_equal(kill(child[role], SIGKILL), 0);
        assert_int_equal(waitpid(child[role], &status, 0), child[role]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("role %d ended by itself: %#x", role, (unsigned)status);
        killed[role]++;
        child[role] = begin(role, -1);
    }
    store32(&root->stop, 1);
    for (int i = 0; i < ROLES; i++) {
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        print_message("publisher %d: %llu numbers, killed %d times, %llu missing\n", i,
                      (unsigned long long)root->number[i], killed[i], (unsigned long long)root->missing[i]);
        assert_in_range(root->seen[i], root->sent[i],
                        root->number[i]); /* the last one killed may have sent what it did not note */
        assert_true(root->missing[i] <= (uint64_t)killed[i]);
        assert_true(root->number[i] > 100);
    }
    for (int i = 0; i < 3; i++)
        assert_true(root->received[i] > 100);
    /* Whoever comes next finds everything in order. */
    tarn_topic *last = topic(TARN_SEND);
    assert_int_equal(tarn_topic_close(last), 0);
    assert_int_equal(tarn_channel_parties(seg, "topic", none_but, &left), 0);
    assert_int_equal(left, 0);
    wrong = topic_census(seg, "topic");
    if (wrong)
        fail_msg("%s", wrong);
    assert_int_equal(tarn_topic_close(look), 0);
    assert_clean(seg);
    assert_int_equal(tarn_unbind(seg, "topic", 1), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/topic"), 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- waiting, without the net ---- */

enum { ROUNDS = 3000 };

static void set_up_pair(uint32_t exchange)
{
    struct tarn_options o = {.size = sizeof o, .exchange_unlock = exchange};
    assert_int_equal(tarn_open("posix:/topic", TARN_CREATE | TARN_EXCL, &o, &seg), 0);
    assert_int_equal(tarn_object(seg, "root", struct root, &root), 0);
}
static void tear_down_pair(void)
{
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/topic"), 0);
}
static tarn_topic *named(const char *name, unsigned flags)
{
    struct tarn_channel_options o = options;
    tarn_topic *t = NULL;
    o.capacity = 4;
    check(tarn_topic_open(seg, name, flags, &o, &t) == 0);
    return t;
}

/* Two who send in turn; a third listens to both. Whoever misses a wake-up sleeps for ever. */
static void there_and_back(void **state)
{
    int status;
    pid_t child[2];
    set_up_pair(*state != NULL); /* also in a segment where who rings has a fence, and who sleeps no membarrier */
    tarn_topic *there = named("there", TARN_CREATE | TARN_SEND), *back = named("back", TARN_CREATE | TARN_RECEIVE);
    mutex_cap_off = true;
    for (int k = 0; k < 2; k++)
        if ((child[k] = fork_child()) == 0) {
            alarm(50);
            seg = NULL;
            open_it(0);
            mutex_cap_off = true;
            tarn_topic *in = named("there", TARN_RECEIVE | TARN_TOPIC_HISTORY),
                       *out = k ? NULL : named("back", TARN_SEND);
            uint64_t n;
            check(tarn_topic_hold(in, 50000) == 0);
            __atomic_fetch_add(&root->received[0], 1, __ATOMIC_SEQ_CST);
            for (uint64_t i = 0; i < ROUNDS; i++) {
                check(tarn_topic_receive(in, &n, 8, NULL) == 0 && n == i);
                check(!out || tarn_topic_send(out, &n, 8) == 0);
            }
            _exit(0);
        }
    while (load64(&root->received[0]) < 2)
        usleep(1000);
    for (uint64_t i = 0, n; i < ROUNDS; i++) {
        assert_int_equal(tarn_topic_send(there, &i, 8), 0);
        assert_int_equal(tarn_topic_receive(back, &n, 8, NULL), 0);
        assert_int_equal(n, i);
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(waitpid(child[k], &status, 0), child[k]);
        assert_int_equal(status, 0);
    }
    mutex_cap_off = false;
    assert_int_equal(tarn_topic_close(there), 0);
    assert_int_equal(tarn_topic_close(back), 0);
    tear_down_pair();
}

/* A publisher waits for a holder who is killed, and one waits for one who stands still: until the limit. */
static void holders_that_go(void **state)
{
    (void)state;
    int status;
    set_up_pair(0);
    tarn_topic *t = named("t", TARN_CREATE | TARN_SEND);
    for (int round = 0; round < 10; round++) {
        uint64_t n = 0, before = load64(&root->received[0]), start;
        pid_t child = fork_child();
        bool killed = round % 2;
        if (child == 0) {
            alarm(50);
            open_it(0);
            tarn_topic *in = named("t", TARN_RECEIVE);
            check(tarn_topic_hold(in, killed ? 600000 : 50) == 0);
            __atomic_fetch_add(&root->received[0], 1, __ATOMIC_SEQ_CST);
            pause();
        }
        while (load64(&root->received[0]) == before)
            usleep(1000);
        for (int i = 0; i < 4; i++)
            assert_int_equal(tarn_topic_send_try(t, &n, 8), 0);
        assert_int_equal(tarn_topic_send_try(t, &n, 8), -EAGAIN);
        if (killed) {
            pid_t killer = fork_child();
            if (killer == 0) {
                usleep(20000);
                kill(child, SIGKILL);
                _exit(0);
            }
            assert_int_equal(tarn_topic_send(t, &n, 8), 0);
            assert_int_equal(waitpid(killer, &status, 0), killer);
        } else {
            start = channel_now(CLOCK_MONOTONIC);
            kill(child, SIGSTOP);
            for (int i = 0; i < 100; i++)
                assert_int_equal(tarn_topic_send(t, &n, 8), 0); /* the limit counts once, while it does not move */
            assert_true(channel_now(CLOCK_MONOTONIC) - start < 5000000000ull);
            kill(child, SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    assert_int_equal(tarn_topic_close(t), 0);
    tear_down_pair();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        {"there_and_back, exchange", there_and_back, NULL, NULL, own_path},
        cmocka_unit_test(holders_that_go),
        cmocka_unit_test(killed_at_random),
    };
    alarm(110);
    return cmocka_run_group_tests(tests, own_directory, remove_directory);
}

/* test_topic.c - the topic in one process: what each call does and refuses, being overrun, history, loans and messages in place, holding back, read-only subscribers, a random
 * walk beside a model, the turn of positions, hostile bytes. After each case every chunk is one of: in an entry, owned by a seat, or free. */
#include "helper.h"

#include "chance.h"
#include "topic.h"

static tarn *seg;
static const struct tarn_channel_options small = {
    .size = sizeof small, .capacity = 8, .message = 40, .parties = 4, .number = 2};

static void assert_chunks(const char *name)
{
    tarn_ref ref;
    const char *wrong = tarn_find(seg, name, NULL, &ref) ? NULL : topic_census(seg, name);
    if (wrong)
        fail_msg("%s", wrong);
}

static int open_segment(void **state)
{
    (void)state;
    return tarn_open("memfd:topic", TARN_CREATE, NULL, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    assert_chunks("t");
    assert_clean(seg);
    return tarn_close(seg);
}

static tarn_topic *opened(unsigned flags)
{
    tarn_topic *t = NULL;
    if (tarn_topic_open(seg, "t", flags | TARN_CREATE, &small, &t))
        fail_msg("%s", tarn_error());
    return t;
}
static void send_number(tarn_topic *t, uint64_t n)
{
    assert_int_equal(tarn_topic_send(t, &n, sizeof n), 0);
}
static void gets(tarn_topic *t, uint64_t number, uint64_t lost)
{
    struct tarn_topic_news news = {.sequence = 77};
    uint64_t got = 99;
    if (tarn_topic_receive_try(t, &got, sizeof got, &news))
        fail_msg("%s", tarn_error());
    assert_int_equal(got, number);
    assert_int_equal(news.sequence, number);
    assert_int_equal(news.lost, lost);
    assert_int_equal(news.size, 8);
}
static void gets_nothing(tarn_topic *t)
{
    uint64_t got = 99;
    assert_int_equal(tarn_topic_receive_try(t, &got, sizeof got, NULL), -EAGAIN);
    assert_int_equal(got, 99);
}
static struct timespec in_ms(long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static uint64_t ms_now(void)
{
    return channel_now(CLOCK_MONOTONIC) / 1000000;
}

/* ---- each call ---- */

static void to_all(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *q = opened(TARN_SEND), *a = opened(TARN_RECEIVE), *b, *both;
    uint64_t before = channel_now(CLOCK_MONOTONIC), got;
    struct tarn_topic_news news;
    gets_nothing(a);
    send_number(p, 0);
    send_number(q, 1);
    b = opened(TARN_RECEIVE); /* late: nothing of what was before */
    send_number(p, 2);
    gets(a, 0, 0);
    gets(a, 1, 0);
    gets(b, 2, 0);
    gets_nothing(b);
    gets(a, 2, 0);
    gets_nothing(a);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_SEND, NULL, &both), -EUSERS);
    assert_says("seats for 4 parties");
    assert_int_equal(tarn_topic_close(b), 0);
    both = opened(TARN_SEND | TARN_RECEIVE);
    send_number(both, 3);
    gets(both, 3, 0);
    assert_int_equal(tarn_topic_receive(a, &got, 8, &news), 0);
    assert_true(news.sent_ns >= before && news.sent_ns <= channel_now(CLOCK_MONOTONIC));
    /* none of 0 bytes, and one of all */
    char all[40], is[40];
    memset(all, 7, sizeof all);
    assert_int_equal(tarn_topic_send(p, NULL, 0), 0);
    assert_int_equal(tarn_topic_send(p, all, sizeof all), 0);
    assert_int_equal(tarn_topic_receive(a, NULL, 0, &news), 0);
    assert_int_equal(news.size, 0);
    assert_int_equal(tarn_topic_receive(a, is, sizeof is, &news), 0);
    assert_int_equal(news.size, 40);
    assert_memory_equal(is, all, 40);
    for (tarn_topic **t = (tarn_topic *[]){p, q, a, both, NULL}; *t; t++)
        assert_int_equal(tarn_topic_close(*t), 0);
    assert_int_equal(tarn_topic_close(NULL), 0);
}

static void refusals(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a = opened(TARN_RECEIVE), *look, *none = NULL;
    struct tarn_channel_options o = small;
    struct tarn_topic_news news;
    const void *message;
    char bytes[64] = "what is sent";
    void *loan, *other, *third;
    struct timespec bad = {0, 1000000000}, past = {1, 0};
    assert_int_equal(tarn_topic_open(seg, "nowhere", TARN_SEND, NULL, &none), -ENOENT);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_TOPIC_HISTORY | TARN_SEND, NULL, &none), -EINVAL);
    assert_says("TARN_TOPIC_HISTORY");
    assert_int_equal(tarn_topic_open(seg, "t", 0x100000, NULL, &none), -EINVAL);
    o.flags = 1;
    assert_int_equal(tarn_topic_open(seg, "u", TARN_CREATE, &o, &none), -EINVAL);
    assert_says("flags");
    o = small, o.number = 7;
    assert_int_equal(tarn_topic_open(seg, "u", TARN_CREATE, &o, &none), -EINVAL);
    assert_says("1 to 6");
    o = small, o.capacity = 1 << 24;
    assert_int_equal(tarn_topic_open(seg, "u", TARN_CREATE, &o, &none), -EINVAL);
    assert_says("too many");
    tarn_mutex *mutex;
    assert_int_equal(tarn_object(seg, "mutex", tarn_mutex, &mutex), 0);
    assert_int_equal(tarn_topic_open(seg, "mutex", TARN_SEND, NULL, &none), -EPROTO);
    assert_null(none);
    /* roles */
    assert_int_equal(tarn_topic_open(seg, "t", 0, NULL, &look), 0);
    assert_int_equal(tarn_topic_send(a, bytes, 8), -EBADF);
    assert_int_equal(tarn_topic_send(look, bytes, 8), -EBADF);
    assert_int_equal(tarn_topic_loan(a, 8, &loan), -EBADF);
    assert_int_equal(tarn_topic_receive_try(p, bytes, 8, NULL), -EBADF);
    assert_int_equal(tarn_topic_take_try(look, &message, NULL), -EBADF);
    assert_int_equal(tarn_topic_seek(p, 0), -EBADF);
    assert_int_equal(tarn_topic_hold(p, 10), -EBADF);
    assert_int_equal(tarn_topic_latest(look, bytes, 8, NULL), -ENOENT);
    /* sizes */
    assert_int_equal(tarn_topic_send(p, bytes, 41), -EMSGSIZE);
    assert_says("takes 40 at most");
    assert_int_equal(tarn_topic_loan(p, 41, &loan), -EMSGSIZE);
    assert_int_equal(tarn_topic_send(p, bytes, 12), 0);
    assert_int_equal(tarn_topic_receive(a, bytes, 11, &news), -EMSGSIZE);
    assert_says("12 bytes");
    assert_int_equal(news.size, 12);
    assert_int_equal(tarn_topic_latest(look, bytes, 11, &news), -EMSGSIZE);
    assert_int_equal(tarn_topic_receive(a, bytes, 12, &news), 0); /* it stayed */
    /* time */
    assert_int_equal(tarn_topic_receive_timed(a, bytes, 12, NULL, &bad), -EINVAL);
    assert_int_equal(tarn_topic_receive_timed(a, bytes, 12, NULL, NULL), -EINVAL);
    assert_int_equal(tarn_topic_take_timed(a, &message, NULL, &past), -ETIMEDOUT);
    assert_int_equal(tarn_topic_receive_timed(a, bytes, 12, NULL, &past), -ETIMEDOUT);
    assert_says("in time");
    assert_int_equal(tarn_topic_send_timed(p, bytes, 12, &bad), -EINVAL);
    assert_int_equal(tarn_topic_send_timed(p, bytes, 12, &past), 0); /* it need not wait */
    /* in hand */
    assert_int_equal(tarn_topic_loan(p, 40, &loan), 0);
    assert_int_equal(tarn_topic_loan(p, 40, &other), 0);
    assert_ptr_not_equal(loan, other);
    assert_int_equal(tarn_topic_loan(p, 40, &third), -EBUSY);
    assert_says("2 loans");
    assert_int_equal(tarn_topic_close(p), -EBUSY);
    assert_int_equal(tarn_topic_send_loan(p, bytes, 8), -EINVAL);
    assert_int_equal(tarn_topic_send_loan(p, loan, 41), -EMSGSIZE);
    assert_int_equal(tarn_topic_send_loan_timed(p, loan, 40, &bad), -EINVAL);
    assert_int_equal(tarn_topic_drop_loan(p, loan), 0);
    assert_int_equal(tarn_topic_drop_loan(p, loan), -EINVAL);
    assert_int_equal(tarn_topic_send_loan(p, loan, 8), -EINVAL);
    assert_int_equal(tarn_topic_send_loan_try(p, other, 8), 0);
    assert_int_equal(tarn_topic_send_loan(p, other, 8), -EINVAL);
    assert_int_equal(tarn_topic_take(a, &message, NULL), 0);
    assert_int_equal(tarn_topic_close(a), -EBUSY);
    assert_says("in hand");
    assert_int_equal(tarn_topic_release(a, bytes), -EINVAL);
    assert_int_equal(tarn_topic_release(a, message), 0);
    assert_int_equal(tarn_topic_release(a, message), -EINVAL);
    assert_says("released before");
    assert_int_equal(tarn_topic_hold(a, 3600001), -EINVAL);
    /* in a section */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_topic_send_try(p, bytes, 8), -EPERM);
    assert_int_equal(tarn_topic_receive_try(a, bytes, 12, NULL), -EPERM);
    assert_int_equal(tarn_topic_take(a, &message, NULL), -EPERM);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_SEND, NULL, &none), -EPERM);
    assert_int_equal(tarn_topic_latest(p, bytes, 12, &news), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_unbind(seg, "t", 1), -EBUSY);
    assert_int_equal(tarn_topic_close(p), 0);
    assert_int_equal(tarn_topic_close(a), 0);
    assert_int_equal(tarn_topic_close(look), 0);
    assert_int_equal(tarn_unbind(seg, "t", 1), 0);
}

static void *by_another(void *arg)
{
    tarn_topic *t = arg;
    uint64_t n = 5;
    int bad = tarn_topic_send(t, &n, 8) != -EPERM || tarn_topic_receive_try(t, &n, 8, NULL) != -EPERM;
    bad |= tarn_topic_latest(t, &n, 8, NULL) != 0 || n != 0; /* that one anybody may */
    return (void *)(intptr_t)bad;
}
static void of_another(void *arg)
{
    uint64_t n = 5;
    check(tarn_topic_send(arg, &n, 8) == -EPERM && tarn_topic_latest(arg, &n, 8, NULL) == 0 && n == 0);
    check(tarn_topic_close(arg) == 0);
}
static void another_thread(void **state)
{
    (void)state;
    tarn_topic *t = opened(TARN_SEND | TARN_RECEIVE);
    pthread_t thread;
    void *bad;
    send_number(t, 0);
    assert_int_equal(pthread_create(&thread, NULL, by_another, t), 0);
    assert_int_equal(pthread_join(thread, &bad), 0);
    assert_null(bad);
    assert_int_equal(in_child(of_another, t), 0);
    gets(t, 0, 0);
    send_number(t, 1);
    gets(t, 1, 0);
    assert_int_equal(tarn_topic_close(t), 0);
}

/* ---- slow, late ---- */

static void overrun_and_told(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a = opened(TARN_RECEIVE), *b = opened(TARN_RECEIVE);
    struct tarn_channel_stat stat;
    uint64_t got;
    for (uint64_t i = 0; i < 8; i++)
        send_number(p, i);
    gets(a, 0, 0); /* all eight are there */
    for (uint64_t i = 8; i < 21; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_receive(a, &got, 8, NULL), 0); /* 1 to 12 are gone; nobody is told */
    assert_int_equal(got, 13);
    gets(a, 14, 12);
    gets(a, 15, 0);
    gets(b, 13, 13);
    for (uint64_t i = 21; i < 24; i++)
        send_number(p, i);
    gets(a, 16, 0);
    gets(b, 16, 2);
    assert_int_equal(tarn_channel_stat(seg, "t", &stat), 0);
    assert_string_equal(stat.kind, "topic");
    assert_int_equal(stat.sent, 24);
    assert_int_equal(stat.received, 7);
    assert_int_equal(stat.lost, 12 + 15);
    assert_int_equal(stat.waiting, 8);
    assert_int_equal(stat.senders, 1);
    assert_int_equal(stat.receivers, 2);
    for (tarn_topic **t = (tarn_topic *[]){p, a, b, NULL}; *t; t++)
        assert_int_equal(tarn_topic_close(*t), 0);
}

static int see_party(const struct tarn_party *p, void *arg)
{
    struct tarn_party *parties = arg;
    int i = 0;
    while (parties[i].participant)
        i++;
    parties[i] = *p;
    return 0;
}
static void history(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a, *b;
    struct tarn_party parties[5] = {{0}};
    a = opened(TARN_RECEIVE | TARN_TOPIC_HISTORY); /* of nothing */
    gets_nothing(a);
    for (uint64_t i = 0; i < 3; i++)
        send_number(p, i);
    b = opened(TARN_RECEIVE | TARN_TOPIC_HISTORY);
    gets(b, 0, 0);
    assert_int_equal(tarn_topic_seek(b, 1), 0);
    gets(b, 2, 0);
    assert_int_equal(tarn_topic_seek(b, UINT64_MAX), 0);
    gets(b, 0, 0);
    for (uint64_t i = 3; i < 30; i++)
        send_number(p, i);
    assert_int_equal(tarn_channel_parties(seg, "t", see_party, parties), 0);
    assert_int_equal(parties[0].role, TARN_SEND);
    assert_int_equal(parties[0].messages, 30);
    assert_int_equal(parties[0].behind, 0);
    assert_int_equal(parties[2].messages, 3);
    assert_int_equal(parties[1].behind, 8); /* that are there */
    assert_int_equal(tarn_topic_seek(a, 100), 0);
    gets(a, 22, 0); /* what is passed over is not lost */
    assert_int_equal(tarn_topic_seek(a, 3), 0);
    gets(a, 27, 0);
    assert_int_equal(tarn_topic_seek(a, 0), 0);
    gets_nothing(a);
    gets(b, 22, 21);
    for (tarn_topic **t = (tarn_topic *[]){p, a, b, NULL}; *t; t++)
        assert_int_equal(tarn_topic_close(*t), 0);
}

static void latest(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *look = opened(0);
    struct tarn_topic_news news;
    uint64_t got;
    assert_int_equal(tarn_topic_latest(look, &got, 8, &news), -ENOENT);
    for (uint64_t i = 0; i < 20; i++) {
        send_number(p, i);
        assert_int_equal(tarn_topic_latest(i % 2 ? p : look, &got, 8, &news), 0);
        assert_int_equal(got, i);
        assert_int_equal(news.sequence, i);
    }
    assert_int_equal(tarn_topic_close(p), 0);
    assert_int_equal(tarn_topic_latest(look, &got, 8, NULL), 0); /* its sender is gone */
    assert_int_equal(got, 19);
    assert_int_equal(tarn_topic_close(look), 0);
}

/* ---- in place ---- */

static void in_place(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a = opened(TARN_RECEIVE), *b = opened(TARN_RECEIVE);
    struct tarn_topic_news news;
    const uint64_t *one, *two, *of_b;
    const void *more;
    uint64_t got[5];
    void *loan;
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(tarn_topic_loan(p, 40, &loan), 0);
        assert_int_equal((uintptr_t)loan % 64, 0);
        for (int k = 0; k < 5; k++)
            ((uint64_t *)loan)[k] = i * 100 + (uint64_t)k;
        assert_int_equal(tarn_topic_send_loan(p, loan, 40), 0);
    }
    assert_int_equal(tarn_topic_take(a, (const void **)&one, &news), 0);
    assert_int_equal(news.sequence, 0);
    assert_int_equal(news.size, 40);
    assert_int_equal(tarn_topic_take(a, (const void **)&two, NULL), 0);
    assert_int_equal(tarn_topic_take(a, &more, NULL), -EBUSY);
    assert_int_equal(tarn_topic_receive(a, got, sizeof got, &news), 0); /* copying needs no hand */
    assert_int_equal(got[4], 204);
    assert_int_equal(tarn_topic_take(b, (const void **)&of_b, NULL), 0);
    assert_ptr_equal(of_b, one); /* no copy */
    /* However much is published, by several, they stay as they are. */
    tarn_topic *q = opened(TARN_SEND);
    for (uint64_t i = 4; i < 400; i++)
        send_number(i % 3 ? p : q, i);
    for (int k = 0; k < 5; k++) {
        assert_int_equal(one[k], k);
        assert_int_equal(two[k], 100 + k);
    }
    assert_int_equal(tarn_topic_release(a, one), 0); /* b has it still */
    assert_int_equal(tarn_topic_close(q), 0);
    q = opened(TARN_SEND | TARN_RECEIVE | TARN_TOPIC_HISTORY);
    assert_int_equal(tarn_topic_take(q, &more, NULL), 0); /* one who takes, and leaves: the others' pins count still */
    assert_int_equal(tarn_topic_release(q, more), 0);
    assert_int_equal(tarn_topic_close(q), 0);
    q = opened(TARN_SEND);
    for (int i = 0; i < 20; i++) { /* whoever lends two looks for a chunk everywhere */
        void *other;
        assert_int_equal(tarn_topic_loan(i % 2 ? p : q, 40, &loan), 0);
        assert_int_equal(tarn_topic_loan(i % 2 ? p : q, 40, &other), 0);
        memset(loan, 0xee, 40);
        memset(other, 0xee, 40);
        assert_int_equal(tarn_topic_drop_loan(i % 2 ? p : q, other), 0);
        assert_int_equal(tarn_topic_drop_loan(i % 2 ? p : q, loan), 0);
    }
    for (uint64_t i = 400; i < 600; i++)
        send_number(i % 3 ? p : q, i);
    assert_int_equal(of_b[4], 4);
    assert_int_equal(two[4], 104);
    gets(a, 592, 589);
    assert_int_equal(tarn_topic_take(a, (const void **)&one, &news), 0);
    assert_int_equal(*one, 593);
    for (uint64_t i = 600; i < 602; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_release(a, two), 0);
    assert_int_equal(tarn_topic_release(a, one), 0);
    assert_int_equal(tarn_topic_release(b, of_b), 0);
    assert_chunks("t");
    for (tarn_topic **t = (tarn_topic *[]){p, q, a, b, NULL}; *t; t++)
        assert_int_equal(tarn_topic_close(*t), 0);
}

/* Everything that may be in hand is: there is still a chunk for each. */
static void all_in_hand(void **state)
{
    (void)state;
    tarn_topic *t[4];
    const void *taken[4];
    void *loan[4];
    for (int i = 0; i < 4; i++)
        t[i] = opened(TARN_SEND | TARN_RECEIVE);
    for (uint64_t round = 0; round < 50; round++) {
        send_number(t[round % 4], round * 5);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(tarn_topic_take_try(t[i], &taken[i], NULL), 0);
            assert_int_equal(*(const uint64_t *)taken[i], round * 5);
            assert_int_equal(tarn_topic_loan(t[i], 8, &loan[i]), 0);
            *(uint64_t *)loan[i] = round * 5 + 1 + (uint64_t)i;
        }
        for (int i = 0; i < 4; i++)
            assert_int_equal(tarn_topic_send_loan(t[i], loan[i], 8), 0);
        for (uint64_t k = 0; k < 20; k++) /* copies besides: it goes all round */
            assert_int_equal(tarn_topic_send(t[k % 4], &k, 8), 0);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(*(const uint64_t *)taken[i], round * 5);
            assert_int_equal(tarn_topic_release(t[i], taken[i]), 0);
            assert_int_equal(tarn_topic_seek(t[i], 0), 0);
        }
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(tarn_topic_close(t[i]), 0);
}

/* More seats than the bits that say who takes: two of them share one. */
static void many_seats(void **state)
{
    (void)state;
    enum { SEATS = 70 };
    struct tarn_channel_options o = small;
    tarn_topic *t[SEATS], *p;
    const uint64_t *first, *last;
    o.parties = SEATS + 1, o.capacity = 2;
    for (int i = 0; i < SEATS; i++)
        assert_int_equal(tarn_topic_open(seg, "t", TARN_CREATE | TARN_RECEIVE, &o, &t[i]), 0);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_SEND, NULL, &p), 0);
    send_number(p, 0);
    assert_int_equal(tarn_topic_take(t[1], (const void **)&first, NULL), 0);
    send_number(p, 1);
    assert_int_equal(tarn_topic_seek(t[65], 1), 0);
    assert_int_equal(tarn_topic_take(t[65], (const void **)&last, NULL), 0);
    assert_int_equal(tarn_topic_release(t[1], first), 0);
    assert_int_equal(tarn_topic_close(t[1]), 0); /* and the other's pins count still */
    for (uint64_t i = 2; i < 500; i++)
        send_number(p, i);
    assert_int_equal(*last, 1);
    assert_int_equal(tarn_topic_release(t[65], last), 0);
    for (int i = 0; i < SEATS; i++)
        assert_int_equal(i == 1 ? 0 : tarn_topic_close(t[i]), 0);
    assert_int_equal(tarn_topic_close(p), 0);
}

/* ---- a flood: one message is kept, and it is overwritten quicker than it can be copied ---- */

enum { LARGE = 256 << 10 };
static uint32_t flood_ends;
static void *flood(void *arg) /* of each message the first word and the last, which a copy reaches much later */
{
    tarn_topic *p;
    uint64_t *message;
    (void)arg;
    check(tarn_topic_open(seg, "t", TARN_SEND, NULL, &p) == 0);
    for (uint64_t n = 0; !load32(&flood_ends); n++) {
        check(tarn_topic_loan(p, LARGE, (void **)&message) == 0);
        __atomic_store_n(&message[0], n, __ATOMIC_RELAXED);
        __atomic_store_n(&message[LARGE / 8 - 1], n, __ATOMIC_RELAXED);
        check(tarn_topic_send_loan(p, message, LARGE) == 0);
    }
    check(tarn_topic_close(p) == 0);
    return NULL;
}
static void assert_all(const uint64_t *message, uint64_t n)
{
    assert_int_equal(message[0], n);
    assert_int_equal(message[LARGE / 8 - 1], n);
}
static void flooded_by_another(void **state)
{
    (void)state;
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 1, .message = LARGE, .parties = 3, .number = 2};
    struct tarn_topic_news news;
    tarn_topic *a, *r, *b;
    uint64_t *copy = malloc(LARGE), last = 0;
    const void *taken;
    pthread_t thread;
    tarn *reader;
    assert_int_equal(tarn_topic_open(seg, "t", TARN_CREATE | TARN_RECEIVE, &o, &a), 0);
    assert_int_equal(tarn_topic_open(seg, "t", TARN_RECEIVE, NULL, &b), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_topic_open(reader, "t", TARN_RECEIVE, NULL, &r), 0);
    flood_ends = 0;
    assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
    for (int i = 0; i < (SANITIZED ? 50 : 300); i++) {
        if (tarn_topic_receive(a, copy, LARGE, &news)) /* it comes to an end, whatever they do */
            fail_msg("%s", tarn_error());
        assert_all(copy, news.sequence);
        assert_true(i == 0 || news.sequence == last + 1 + news.lost);
        last = news.sequence;
        assert_int_equal(tarn_topic_take(b, &taken, &news), 0);
        assert_all(taken, news.sequence);
        int e = tarn_topic_receive_try(r, copy, LARGE, &news);
        assert_true(e == 0 || e == -EAGAIN);
        if (e == 0)
            assert_all(copy, news.sequence);
        e = tarn_topic_latest(r, copy, LARGE, &news);
        assert_true(e == 0 || e == -EAGAIN);
        if (e == 0)
            assert_all(copy, news.sequence);
        assert_int_equal(tarn_topic_release(b, taken), 0);
    }
    store32(&flood_ends, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(tarn_topic_close(a), 0);
    assert_int_equal(tarn_topic_close(b), 0);
    assert_int_equal(tarn_topic_close(r), 0);
    assert_int_equal(tarn_close(reader), 0);
    free(copy);
}

/* ---- holding back ---- */

static void holding(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a = opened(TARN_RECEIVE);
    struct timespec soon;
    struct tarn_topic_news news;
    uint64_t n = 8, got, start;
    void *loan;
    assert_int_equal(tarn_topic_hold(a, 100000), 0);
    for (uint64_t i = 0; i < 8; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_send_try(p, &n, 8), -EAGAIN);
    assert_says("holds publishers back");
    assert_int_equal(tarn_topic_loan(p, 8, &loan), 0);
    *(uint64_t *)loan = 8;
    assert_int_equal(tarn_topic_send_loan_try(p, loan, 8), -EAGAIN);
    soon = in_ms(30), start = ms_now();
    assert_int_equal(tarn_topic_send_timed(p, &n, 8, &soon), -ETIMEDOUT);
    assert_true(ms_now() >= start + 29);
    gets(a, 0, 0);
    assert_int_equal(tarn_topic_send_loan_try(p, loan, 8), 0); /* it was in hand still */
    n = 9;
    assert_int_equal(tarn_topic_send_try(p, &n, 8), -EAGAIN);
    for (uint64_t i = 1; i < 9; i++)
        gets(a, i, 0);
    for (uint64_t i = 9; i < 17; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_send_try(p, &n, 8), -EAGAIN);
    /* The limit: overrun, and told; then it holds again. */
    assert_int_equal(tarn_topic_hold(a, 40), 0);
    start = ms_now();
    send_number(p, 17); /* it was found stuck before, and the shorter limit may be over already */
    assert_true(ms_now() < start + 5000);
    start = ms_now();
    send_number(p, 18); /* and so at once */
    send_number(p, 19);
    gets(a, 12, 3);
    for (uint64_t i = 13; i < 20; i++)
        gets(a, i, 0);
    for (uint64_t i = 20; i < 28; i++)
        send_number(p, i);
    start = ms_now();
    assert_int_equal(tarn_topic_send_try(p, &n, 8), -EAGAIN);
    send_number(p, 28);
    assert_true(ms_now() >= start + 39 && ms_now() < start + 5000);
    gets(a, 21, 1);
    /* Another that looks back, holds from there. */
    assert_int_equal(tarn_topic_hold(a, 100000), 0);
    for (uint64_t i = 22; i < 29; i++)
        gets(a, i, 0);
    send_number(p, 29);
    assert_int_equal(tarn_topic_seek(a, UINT64_MAX), 0);
    assert_int_equal(tarn_topic_send_try(p, &n, 8), -EAGAIN);
    tarn_topic *b = opened(TARN_RECEIVE);
    assert_int_equal(tarn_topic_hold(b, 100000), 0);
    assert_int_equal(tarn_topic_hold(a, 0), 0); /* it lets go */
    for (uint64_t i = 30; i < 38; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_send_try(p, &n, 8), -EAGAIN);
    assert_int_equal(tarn_topic_close(b), 0); /* and so it does */
    send_number(p, 38);
    assert_int_equal(tarn_topic_receive(a, &got, 8, &news), 0);
    assert_int_equal(got, 31);
    assert_int_equal(tarn_topic_close(a), 0);
    /* Nobody waits for himself. */
    tarn_topic *both = opened(TARN_SEND | TARN_RECEIVE);
    assert_int_equal(tarn_topic_hold(both, 100000), 0);
    for (uint64_t i = 39; i < 60; i++)
        assert_int_equal(tarn_topic_send_try(both, &i, 8), 0);
    assert_int_equal(tarn_topic_close(both), 0);
    assert_int_equal(tarn_topic_close(p), 0);
}

/* ---- read-only ---- */

static void read_only(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *r, *look, *no;
    tarn *reader;
    struct tarn_topic_news news;
    const void *message;
    uint64_t got;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    for (uint64_t i = 0; i < 3; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_open(reader, "t", TARN_SEND, NULL, &no), -EROFS);
    assert_int_equal(tarn_topic_open(reader, "t", TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &r), 0);
    assert_int_equal(tarn_topic_open(reader, "t", 0, NULL, &look), 0);
    assert_int_equal(tarn_topic_send(r, &got, 8), -EROFS);
    assert_int_equal(tarn_topic_take_try(r, &message, NULL), -EROFS);
    assert_int_equal(tarn_topic_release(r, &got), -EROFS);
    assert_int_equal(tarn_topic_hold(r, 5), -EROFS);
    assert_int_equal(tarn_topic_receive_try(look, &got, 8, NULL), -EROFS);
    gets(r, 0, 0);
    assert_int_equal(tarn_topic_latest(look, &got, 8, NULL), 0);
    assert_int_equal(got, 2);
    gets(r, 1, 0);
    gets(r, 2, 0);
    gets_nothing(r);
    for (uint64_t i = 3; i < 20; i++)
        send_number(p, i);
    gets(r, 12, 9);
    assert_int_equal(tarn_topic_seek(r, 0), 0);
    struct timespec soon = in_ms(20);
    uint64_t start = ms_now();
    assert_int_equal(tarn_topic_receive_timed(r, &got, 8, &news, &soon), -ETIMEDOUT);
    assert_true(ms_now() >= start + 19);
    send_number(p, 20);
    assert_int_equal(tarn_topic_receive(r, &got, 8, &news), 0);
    assert_int_equal(got, 20);
    assert_int_equal(tarn_topic_close(r), 0);
    assert_int_equal(tarn_topic_close(look), 0);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_topic_close(p), 0);
}

/* ---- beside a model ---- */

enum { PARTIES = 4, HAND = 2, CAPACITY = 8 };
struct model {
    uint64_t next, value[CAPACITY];
    struct {
        tarn_topic *t;
        uint64_t at, lost;
        const uint64_t *taken[HAND];
        uint64_t has[HAND];
        uint64_t *loan[HAND];
        int held;
    } party[PARTIES];
};

static void model_sent(struct model *m, uint64_t value)
{
    m->value[m->next++ % CAPACITY] = value;
}
/* What party i is about to get. False: nothing. */
static bool model_front(struct model *m, int i, uint64_t *ret_value)
{
    if (m->next - m->party[i].at > CAPACITY) {
        m->party[i].lost += m->next - CAPACITY - m->party[i].at;
        m->party[i].at = m->next - CAPACITY;
    }
    if (m->party[i].at == m->next)
        return false;
    *ret_value = m->value[m->party[i].at % CAPACITY];
    return true;
}
static void model_news(struct model *m, int i, const struct tarn_topic_news *news)
{
    assert_int_equal(news->sequence, m->party[i].at++);
    assert_int_equal(news->lost, m->party[i].lost);
    m->party[i].lost = 0;
}

static void step_sender(struct model *m, int i, int what, uint64_t value)
{
    tarn_topic *t = m->party[i].t;
    int k = 0;
    while (k < HAND && m->party[i].loan[k])
        k++;
    if (what == 0) {
        assert_int_equal(tarn_topic_send(t, &value, 8), 0);
        model_sent(m, value);
    } else if (what == 1) {
        void *loan;
        int e = tarn_topic_loan(t, 40, &loan);
        assert_int_equal(e, m->party[i].held == HAND ? -EBUSY : 0);
        if (e == 0) {
            memset(loan, 0xee, 40);
            m->party[i].loan[k] = loan;
            m->party[i].held++;
        }
    } else {
        k = (int)(value % HAND);
        uint64_t *loan = m->party[i].loan[k];
        if (!loan)
            return;
        *loan = value;
        m->party[i].loan[k] = NULL;
        m->party[i].held--;
        if (what == 2) {
            assert_int_equal(tarn_topic_send_loan(t, loan, 8), 0);
            model_sent(m, value);
        } else
            assert_int_equal(tarn_topic_drop_loan(t, loan), 0);
    }
}
static void step_subscriber(struct model *m, int i, int what, uint64_t value)
{
    tarn_topic *t = m->party[i].t;
    struct tarn_topic_news news;
    uint64_t got, is = 0;
    int k = 0, e;
    while (k < HAND && m->party[i].taken[k])
        k++;
    if (what == 0) {
        e = tarn_topic_receive_try(t, &got, 8, &news);
        assert_int_equal(e, model_front(m, i, &is) ? 0 : -EAGAIN);
        if (e == 0) {
            assert_int_equal(got, is);
            model_news(m, i, &news);
        }
    } else if (what == 1) {
        const void *message;
        e = tarn_topic_take_try(t, &message, &news);
        if (m->party[i].held == HAND) {
            assert_int_equal(e, -EBUSY);
            return;
        }
        assert_int_equal(e, model_front(m, i, &is) ? 0 : -EAGAIN);
        if (e == 0) {
            model_news(m, i, &news);
            m->party[i].taken[k] = message;
            m->party[i].has[k] = is;
            m->party[i].held++;
        }
    } else if (what == 2) {
        k = (int)(value % HAND);
        if (!m->party[i].taken[k])
            return;
        assert_int_equal(tarn_topic_release(t, m->party[i].taken[k]), 0);
        m->party[i].taken[k] = NULL;
        m->party[i].held--;
    } else if (value % 8 == 0) {
        uint64_t back = value / 8 % 10, there = m->next < CAPACITY ? m->next : CAPACITY;
        model_front(m, i, &is); /* a loss is noticed by receiving alone; seeking forgets it */
        m->party[i].lost = 0;
        assert_int_equal(tarn_topic_receive_try(t, &got, 8, &news), m->party[i].at == m->next ? -EAGAIN : 0);
        assert_int_equal(tarn_topic_seek(t, back), 0);
        m->party[i].at = m->next - (back < there ? back : there);
    }
}

static void random_walk(void **state)
{
    (void)state;
    static struct model m;
    memset(&m, 0, sizeof m);
    for (int i = 0; i < PARTIES; i++)
        m.party[i].t = opened(TARN_SEND | TARN_RECEIVE);
    for (int round = 0; round < (SANITIZED ? 20000 : 200000); round++) {
        int i = (int)chance(PARTIES), what = (int)chance(4);
        uint64_t value = chance_bits();
        if (chance(5) < 2)
            step_sender(&m, i, what, value);
        else
            step_subscriber(&m, i, what, value);
        for (int k = 0; k < HAND; k++)
            for (int j = 0; j < PARTIES; j++)
                assert_true(!m.party[j].taken[k] || *m.party[j].taken[k] == m.party[j].has[k]);
        if (round % 1000 == 0)
            assert_chunks("t");
    }
    assert_true(m.next > (SANITIZED ? 2000 : 20000));
    for (int i = 0; i < PARTIES; i++) {
        for (int k = 0; k < HAND; k++) {
            if (m.party[i].taken[k])
                assert_int_equal(tarn_topic_release(m.party[i].t, m.party[i].taken[k]), 0);
            if (m.party[i].loan[k])
                assert_int_equal(tarn_topic_drop_loan(m.party[i].t, m.party[i].loan[k]), 0);
        }
        assert_int_equal(tarn_topic_close(m.party[i].t), 0);
    }
}

/* Over the turn of the 40 bits of positions in entries. */
static void positions_turn(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a;
    const uint64_t begin = (1ull << 40) - 20;
    struct tarn_topic_news news;
    const void *taken;
    uint64_t got;
    for (uint64_t i = 0; i < 8; i++) {
        p->view.entries[i] = entry_make(begin + i - 8 + (8 - begin % 8) % 8, (uint32_t)i);
        assert_int_equal((begin + i + (8 - begin % 8) % 8) % 8, i);
    }
    p->view.words->next = begin + (8 - begin % 8) % 8;
    a = opened(TARN_RECEIVE);
    for (uint64_t i = p->view.words->next; i < (1ull << 40) + 30; i++) {
        send_number(p, i);
        assert_int_equal(tarn_topic_latest(p, &got, 8, &news), 0);
        assert_int_equal(news.sequence, i);
        if (i % 2) {
            assert_int_equal(tarn_topic_receive_try(a, &got, 8, &news), 0);
            assert_int_equal(got, i - 1);
            assert_int_equal(tarn_topic_take_try(a, &taken, &news), 0);
            assert_int_equal(news.sequence, i);
            assert_int_equal(*(const uint64_t *)taken, i);
            assert_int_equal(tarn_topic_release(a, taken), 0);
        }
    }
    assert_int_equal(tarn_topic_seek(a, 8), 0);
    for (uint64_t i = 0; i < 12; i++)
        send_number(p, (1ull << 40) + 30 + i);
    gets(a, (1ull << 40) + 34, 12);
    assert_int_equal(tarn_topic_close(a), 0);
    assert_int_equal(tarn_topic_close(p), 0);
}

/* ---- hostile bytes ---- */

static void hostile_bytes(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a = opened(TARN_RECEIVE | TARN_TOPIC_HISTORY), *look = opened(0), *late;
    struct topic_view v = p->view;
    struct tarn_channel_stat stat;
    struct tarn_channel_sizes sizes;
    struct tarn_party parties[5];
    size_t bytes = (size_t)(v.chunks - (char *)v.entries) + v.count * v.stride;
    char *good = malloc(bytes), buffer[64];
    struct topic_words words;
    struct tarn_topic_news news;
    const void *taken;
    void *loan;
    for (uint64_t i = 0; i < 11; i++)
        send_number(p, i);
    memcpy(good, v.entries, bytes);
    words = *v.words;
    const uint32_t making = p->making;
    for (int round = 0; round < (SANITIZED ? 300 : 3000); round++) {
        const uint64_t odd[] = {
            0, ~0ull, 1ull << 63, 1ull << 62, (1ull << 62) + 77, entry_make(5, 0xffffff), words.next + 5};
        uint64_t *word[] = {&v.words->next,
                            &v.words->holding,
                            &v.words->takers,
                            &v.entries[chance(8)],
                            &chunk_at(&v, chance(v.count))->word,
                            &p->mine->claim,
                            &a->mine->stuck_since};
        for (int i = 0; i < 1 + round % 3; i++)
            *word[chance(7)] = chance(3) ? odd[chance(7)] : chance_word();
        chunk_at(&v, chance(v.count))->size = chance_bits() * 3;
        memset(buffer, 0x5a, sizeof buffer);
        /* whatever they say: no crash, no hang, nothing behind `room` */
        int e = tarn_topic_send_try(p, buffer, 8);
        assert_true(e == 0 || e == -EUCLEAN || e == -EAGAIN);
        e = tarn_topic_receive_try(a, buffer, 40, &news);
        assert_true(e == 0 || e == -EUCLEAN || e == -EAGAIN);
        assert_true(e || news.size <= 40);
        e = tarn_topic_latest(look, buffer, 40, &news);
        assert_true(e == 0 || e == -EUCLEAN || e == -EAGAIN || e == -ENOENT);
        for (int i = 40; i < 64; i++)
            assert_int_equal(buffer[i], 0x5a);
        e = tarn_topic_take_try(a, &taken, &news);
        assert_true(e == 0 || e == -EUCLEAN || e == -EAGAIN);
        if (e == 0) {
            assert_in_range((uintptr_t)taken, (uintptr_t)v.chunks, (uintptr_t)v.entries + bytes - 40);
            assert_int_equal(tarn_topic_release(a, taken), 0);
        }
        e = tarn_topic_loan(p, 8, &loan);
        assert_true(e == 0 || e == -EUCLEAN);
        if (e == 0) {
            assert_in_range((uintptr_t)loan, (uintptr_t)v.chunks, (uintptr_t)v.entries + bytes - 40);
            e = tarn_topic_send_loan_try(p, loan, 8);
            assert_true(e == 0 || e == -EUCLEAN || e == -EAGAIN);
            assert_true(e == 0 || tarn_topic_drop_loan(p, loan) == 0);
        }
        e = tarn_topic_seek(a, 3);
        assert_true(e == 0 || e == -EUCLEAN);
        assert_int_equal(tarn_channel_stat(seg, "t", &stat), 0);
        sizes = (struct tarn_channel_sizes){0};
        assert_int_equal(tarn_channel_sizes(seg, "t", &sizes), 0);
        assert_true(sizes.messages <= SIZES_MOST && sizes.bytes <= sizes.messages * stat.message);
        memset(parties, 0, sizeof parties);
        assert_int_equal(tarn_channel_parties(seg, "t", see_party, parties), 0);
        e = tarn_topic_open(seg, "t", TARN_RECEIVE | TARN_SEND, NULL, &late);
        assert_true(e == 0 || e == -EUCLEAN);
        if (e == 0)
            assert_int_equal(tarn_topic_close(late), 0);
        memcpy(v.entries, good, bytes);
        *v.words = words;
        p->making = making; /* what it knows is of other bytes */
        p->mine->making = making;
        a->at = words.next - 8;
    }
    free(good);
    for (tarn_topic **t = (tarn_topic *[]){p, a, look, NULL}; *t; t++)
        assert_int_equal(tarn_topic_close(*t), 0);
}

/* ---- a descriptor ---- */

static bool readable(int fd)
{
    uint64_t n;
    for (int i = 0; i < 200; i++) {
        if (read(fd, &n, sizeof n) == 8)
            return true;
        usleep(1000);
    }
    return false;
}
static void in_a_poll(void **state)
{
    (void)state;
    tarn_topic *p = opened(TARN_SEND), *a = opened(TARN_RECEIVE);
    tarn_poll *poll, *room;
    int fd, room_fd;
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    assert_int_equal(tarn_poll_open(seg, &room, &room_fd), 0);
    assert_int_equal(tarn_topic_poll(a, poll), 0);
    assert_int_equal(tarn_topic_poll(a, poll), -EEXIST);
    uint64_t n;
    usleep(5000);
    assert_int_equal(read(fd, &n, 8), -1);
    send_number(p, 0);
    assert_true(readable(fd));
    gets(a, 0, 0);
    assert_int_equal(tarn_topic_hold(a, 100000), 0);
    for (uint64_t i = 1; i < 9; i++)
        send_number(p, i);
    assert_int_equal(tarn_topic_poll(p, room), 0);
    usleep(5000);
    assert_int_equal(read(room_fd, &n, 8), -1);
    gets(a, 1, 0);
    assert_true(readable(room_fd));
    assert_int_equal(tarn_topic_close(a), 0);
    assert_int_equal(tarn_topic_close(p), 0);
    tarn_poll_close(poll);
    tarn_poll_close(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(to_all, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(refusals, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(another_thread, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(overrun_and_told, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(history, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(latest, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(in_place, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(all_in_hand, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(many_seats, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(flooded_by_another, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(holding, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(read_only, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_walk, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(positions_turn, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(hostile_bytes, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(in_a_poll, open_segment, close_segment),
    };
    alarm(55);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

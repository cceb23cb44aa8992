/* case_topic.c - the topic: messages come once, in one order and whole, what is pinned stays as it is, nobody sleeps who has something to receive, and a death costs
 * what was in hand. At each end every chunk is in an entry, somebody's, or free. */
#include <errno.h>

#include "../topic.h"
#include "explore.h"

static tarn_topic *topic[PEOPLE];
enum { GOT = 12 }; /* ghost[p]: messages that p's sends came back with; ghost[GOT + p]: received */

struct message {
    uint64_t word[2];
};

static void make(uint32_t capacity)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = capacity, .message = sizeof(struct message), .parties = 4, .number = 1};
    tarn_topic *t;
    MUST(tarn_topic_open(seg_of(DRIVER), "topic", TARN_CREATE, &o, &t));
    MUST(tarn_topic_close(t));
}
static void keeps_one(void)
{
    make(1);
}
static void keeps_two(void)
{
    make(2);
}

static void opens(int p, unsigned flags)
{
    MUST(tarn_topic_open(seg_of(p), "topic", flags, NULL, &topic[p]));
}
static void send(int p, uint64_t number)
{
    const struct message m = {{number, number}};
    MUST(tarn_topic_send(topic[p], &m, sizeof m));
    ghost[p]++;
}
static void is_right(int p, const struct message *m, const struct tarn_topic_news *news)
{
    must_be(m->word[0] == m->word[1] && news->size == sizeof *m, "half of a message was received");
    must_be(news->sequence >= ghost[GOT + p], "a message was received twice");
    ghost[GOT + p] = news->sequence + 1;
}
static int receive_try(int p)
{
    struct message m;
    struct tarn_topic_news news;
    int e = tarn_topic_receive_try(topic[p], &m, sizeof m, &news);
    must_be(e == 0 || e == -EAGAIN, "a message was not to be had");
    if (e == 0)
        is_right(p, &m, &news);
    return e;
}
static void receive(int p)
{
    struct message m;
    struct tarn_topic_news news;
    MUST(tarn_topic_receive(topic[p], &m, sizeof m, &news));
    is_right(p, &m, &news);
}

static uint64_t published(void)
{
    struct party p;
    struct topic_view v;
    uint64_t next = 77;
    MUST(channel_look(seg_of(DRIVER), "topic", &p));
    topic_view_of(&p, &v);
    must_be(topic_next(&v, &next), "no entry leads on from next");
    return next;
}

/* All that was sent is there, and at most one more of each who died. Then the seats of the dead are cleared. */
static const char *all_in_place(void)
{
    uint64_t next = published(), sent = 0, died_ = 0;
    tarn_topic *t;
    const char *wrong;
    for (int p = 0; p < world.people; p++) {
        sent += ghost[p];
        died_ += died(p);
    }
    if (next < sent || next > sent + died_)
        return "a message was lost, or is there twice";
    MUST(tarn_topic_open(seg_of(DRIVER), "topic", TARN_SEND, NULL, &t));
    wrong = topic_census(seg_of(DRIVER), "topic");
    MUST(tarn_topic_close(t));
    return wrong;
}

/* ---- publishing ---- */

static void both(int p)
{
    opens(p, p == 2 ? TARN_RECEIVE : TARN_SEND);
}
static void two_publish(int p)
{
    send(p, 10 + (uint64_t)p);
}
static const char *both_are_there(void)
{
    struct message m;
    struct tarn_topic_news news;
    tarn_topic *t;
    uint64_t seen[2] = {0, 0};
    MUST(tarn_topic_open(seg_of(DRIVER), "topic", TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &t));
    while (tarn_topic_receive_try(t, &m, sizeof m, &news) == 0) {
        if (m.word[0] != m.word[1] || m.word[0] - 10 > 1 || seen[m.word[0] - 10]++)
            return "a message is there twice, or half";
    }
    MUST(tarn_topic_close(t));
    for (int p = 0; p < 2; p++)
        if (ghost[p] && !seen[p])
            return "a message was lost";
    return all_in_place();
}

/* One by one in place of what another reads. */
static void one_subscribes(int p)
{
    opens(p, p == 1 ? TARN_RECEIVE | TARN_TOPIC_HISTORY : TARN_SEND);
    if (p == 0)
        send(p, 1);
}
static void publish_and_copy(int p)
{
    if (p == 0) {
        send(p, 2);
        send(p, 3);
        return;
    }
    receive_try(p);
    receive_try(p);
}
static void publish_and_take(int p)
{
    const struct message *m;
    struct tarn_topic_news news;
    if (p == 0) {
        send(p, 2);
        send(p, 3);
        send(p, 4);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (tarn_topic_take_try(topic[p], (const void **)&m, &news))
            continue;
        uint64_t first = shared_read(&m->word[0]), second = shared_read(&m->word[1]);
        must_be(first == second && shared_read(&m->word[0]) == first && first == news.sequence + 1,
                "a message changed under who reads it in place");
        ghost[GOT + p] = news.sequence + 1;
        MUST(tarn_topic_release(topic[p], m));
    }
}
static void two_publish_and_take(int p)
{
    const struct message *m;
    if (p != 1) {
        send(p, 10 + (uint64_t)p);
        return;
    }
    if (tarn_topic_take_try(topic[p], (const void **)&m, NULL))
        return;
    uint64_t first = shared_read(&m->word[0]);
    must_be(shared_read(&m->word[1]) == first && shared_read(&m->word[0]) == first,
            "a message changed under who reads it in place");
    MUST(tarn_topic_release(topic[p], m));
}

/* ---- sleeping ---- */

/* Who sleeps has received all that is there. */
static bool nothing_for_sleepers(void)
{
    uint64_t next = published();
    for (int p = 0; p < world.people; p++)
        if (world.person[p].state == SLEEPING && ghost[GOT + p] < next)
            return false;
    return true;
}
static void two_subscribe(int p)
{
    opens(p, p ? TARN_RECEIVE : TARN_SEND);
}
static void keeps_two_for_sleepers(void)
{
    make(2);
    may_wait_if(nothing_for_sleepers);
}
static void publish_and_wait(int p)
{
    if (p == 0) {
        send(p, 1);
        return;
    }
    receive(p);
    if (p == 1)
        receive(p); /* there is no second one */
}

static void one_holds(int p)
{
    opens(p, p ? TARN_RECEIVE : TARN_SEND);
    if (p)
        MUST(tarn_topic_hold(topic[p], 1000));
}
static void keeps_one_for_sleepers(void)
{
    make(1);
    may_wait_if(nothing_for_sleepers);
    time_stands();
}
static void publish_held_back(int p)
{
    for (int i = 0; i < 2; i++) {
        if (p == 0)
            send(p, (uint64_t)i);
        else
            receive(p);
        must_be(p == 0 || ghost[GOT + p] == (uint64_t)i + 1,
                "a message was lost to who holds publishers back");
    }
}

/* ---- clearing ---- */

static void one_has_hands_full(int p)
{
    void *message;
    opens(p, p ? TARN_SEND : TARN_SEND | TARN_RECEIVE);
    if (p)
        return;
    MUST(tarn_topic_loan(topic[p], sizeof(struct message), &message));
    send(p, 1); /* behind it: else `making` names the loan, too */
    MUST(tarn_topic_take_try(topic[p], (const void **)&message, NULL) == -EBUSY ? 0 : -1);
    MUST(tarn_topic_hold(topic[p], 1000));
}
static void publish_or_clear(int p)
{
    struct party by = topic[p]->party;
    if (p == 1)
        channel_clear_dead(&by);
    else
        send(p, 2);
}

const struct test_case topic_cases[] = {
    {"topic, two publish", 2, 3, 4, CASE_ALIKE, keeps_two, both, two_publish, both_are_there},
    {"topic, publish and copy", 2, 4, 5, 0, keeps_one, one_subscribes, publish_and_copy, all_in_place},
    {"topic, publish and take", 2, 4, 5, 0, keeps_one, one_subscribes, publish_and_take, all_in_place},
    {"topic, two publish and one takes", 3, 2, 3, 0, keeps_one, one_subscribes, two_publish_and_take, all_in_place},
    {"topic, two wait", 3, 1, 2, 0, keeps_two_for_sleepers, two_subscribe, publish_and_wait, all_in_place},
    {"topic, held back", 2, 3, 4, 0, keeps_one_for_sleepers, one_holds, publish_held_back, all_in_place},
    {"topic, publish and clear", 3, 3, 4, CASE_DEAD_FIRST, keeps_one, one_has_hands_full, publish_or_clear,
     all_in_place},
    {0},
};

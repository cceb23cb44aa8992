/* case_mq.c - the message queue: each message comes to one, whole and in order; nobody sleeps who has something to receive, or room; a death costs what was in hand, and
 * that comes again. At each end every chunk is where it belongs (Q1). */
#include <errno.h>

#include "channel/check.h"
#include "channel/mq.h"
#include "explore.h"

static tarn_mq *mq[PEOPLE];
enum {
    SENT = 0,
    GOT = 8,
    LAST = 16,
    ANY = 20
}; /* ghost: [SENT + n], [GOT + n]: calls that came back with message n; [LAST + p]: the last one that came to p;
                                           * [ANY]: 1: of several senders, in any order */
enum { MESSAGES = 8 };

struct message { /* its number twice, so that a half one shows */
    uint64_t word[2];
};

static void make(uint32_t capacity)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = capacity, .message = sizeof(struct message), .parties = 4};
    tarn_mq *m;
    MUST(tarn_mq_open(seg_of(DRIVER), "mq", TARN_CREATE, &o, &m));
    MUST(tarn_mq_close(m));
}
static void opens(int p, unsigned role)
{
    MUST(tarn_mq_open(seg_of(p), "mq", role, NULL, &mq[p]));
}
static void send(int p, uint64_t number)
{
    const struct message m = {{number, number}};
    MUST(tarn_mq_send(mq[p], 0, &m, sizeof m));
    ghost[SENT + number]++;
}
static void came(int p, const struct message *m, int e)
{
    must_be(m->word[0] == m->word[1] && m->word[0] < MESSAGES, "half of a message was received");
    must_be(e == TARN_RECOVERED || !ghost[GOT + m->word[0]], "a message was received twice");
    must_be(e == TARN_RECOVERED || ghost[ANY] || m->word[0] > ghost[LAST + p], "messages came out of order");
    ghost[GOT + m->word[0]]++;
    ghost[LAST + p] = e == TARN_RECOVERED ? ghost[LAST + p] : m->word[0];
}
static void receive(int p)
{
    struct message m = {{77, 78}};
    size_t size = 0;
    int e = tarn_mq_receive(mq[p], &m, sizeof m, &size);
    must_be(e >= 0 && size == sizeof m, "a message was not to be had");
    came(p, &m, e);
}
static bool receive_try(int p)
{
    struct message m = {{77, 78}};
    int e = tarn_mq_receive_try(mq[p], &m, sizeof m, NULL);
    must_be(e >= 0 || e == -EAGAIN, "a message was not to be had");
    if (e >= 0)
        came(p, &m, e);
    return e >= 0;
}

/* The dead are cleared, and what is there is received: each message that was sent came once; or not at all, to one who died with it. */
static const char *all_came(void)
{
    uint64_t missing = 0, dead = 0, received = 0;
    struct tarn_channel_stat stat;
    struct message m;
    const char *wrong;
    tarn_mq *d;
    int e;
    MUST(tarn_mq_open(seg_of(DRIVER), "mq", TARN_RECEIVE, NULL, &d));
    wrong = channel_fault(&d->party, true);
    if (wrong)
        return wrong;
    while ((e = tarn_mq_receive_try(d, &m, sizeof m, NULL)) >= 0) {
        if (m.word[0] != m.word[1] || m.word[0] >= MESSAGES)
            return "half of a message is there";
        if (e == 0 && ghost[GOT + m.word[0]])
            return "a message is there that was received";
        if (m.word[0] <= received && e == 0 && !ghost[ANY])
            return "messages are there out of order";
        received = m.word[0];
        ghost[GOT + m.word[0]]++;
    }
    for (int p = 0; p < world.people; p++)
        dead += died(p);
    for (int n = 0; n < MESSAGES; n++)
        missing += ghost[SENT + n] && !ghost[GOT + n];
    MUST(tarn_channel_stat(seg_of(DRIVER), "mq", &stat));
    MUST(tarn_mq_close(d));
    return missing > dead || stat.waiting ? "a message was lost"
           : stat.again > dead            ? "more came again than died"
                                          : NULL;
}

static bool nothing_for_sleepers(void)
{
    struct tarn_channel_stat stat;
    MUST(tarn_channel_stat(seg_of(DRIVER), "mq", &stat));
    for (int p = 0; p < world.people; p++)
        if (world.person[p].state == SLEEPING &&
            (mq[p]->party.role & TARN_RECEIVE ? stat.waiting > 0 : stat.waiting < stat.capacity))
            return false;
    return true;
}
static void one_place(void)
{
    make(1);
    may_wait_if(nothing_for_sleepers);
}
static void two_places(void)
{
    make(2);
    may_wait_if(nothing_for_sleepers);
}

/* ---- senders ---- */

/* Each has a spare, as after a while. */
static void sender_and_receiver(int p)
{
    struct message m = {{0, 0}};
    opens(p, TARN_SEND | TARN_RECEIVE);
    MUST(tarn_mq_send_try(mq[p], 0, &m, sizeof m));
    MUST(tarn_mq_receive_try(mq[p], &m, sizeof m, NULL));
}
static void two_send(int p)
{
    send(p, 1 + (uint64_t)p);
}
static const char *in_any_order(void)
{
    struct message m;
    tarn_mq *d;
    uint64_t seen[3] = {0, 0, 0};
    const char *wrong;
    MUST(tarn_mq_open(seg_of(DRIVER), "mq", TARN_RECEIVE, NULL, &d));
    wrong = channel_fault(&d->party, true);
    while (!wrong && tarn_mq_receive_try(d, &m, sizeof m, NULL) == 0)
        if (m.word[0] != m.word[1] || m.word[0] - 1 > 1 || seen[m.word[0]]++)
            wrong = "a message is there twice, or half";
    for (int p = 0; p < 2; p++)
        if (!wrong && ghost[SENT + 1 + p] && !seen[1 + p])
            wrong = "a message was lost";
    MUST(tarn_mq_close(d));
    return wrong;
}
/* The chunk that is next is nobody's, and neither has one. */
static void without_spares(int p)
{
    struct message m = {{0, 0}};
    void *message;
    opens(p, TARN_SEND | TARN_RECEIVE);
    if (p)
        return;
    for (int i = 0; i < 2; i++) {
        MUST(tarn_mq_send_try(mq[p], 0, &m, sizeof m));
        MUST(tarn_mq_take_try(mq[p], &message, NULL));
        MUST(tarn_mq_release(mq[p], message));
    }
    MUST(tarn_mq_loan_try(mq[p], 1, &message));
    MUST(tarn_mq_release(mq[p], message));
}

/* ---- receivers ---- */

static void two_are_there(int p)
{
    opens(p, TARN_SEND | TARN_RECEIVE);
    if (p == 0) {
        send(p, 1);
        send(p, 2);
    }
}
static void two_receive(int p)
{
    if (p == 1 && receive_try(p))
        send(p, 3); /* in the place of the first */
    receive_try(p);
}
static void take_and_receive(int p)
{
    const struct message *m;
    int e;
    if (p == 1) {
        two_receive(p);
        return;
    }
    e = tarn_mq_take_try(mq[p], (void **)&m, NULL);
    if (e < 0)
        return;
    const struct message first = {{shared_read(&m->word[0]), shared_read(&m->word[1])}};
    must_be(shared_read(&m->word[0]) == first.word[0], "a message changed under who has it in hand");
    came(p, &first, e);
    MUST(tarn_mq_release(mq[p], m));
}

/* ---- both ---- */

static void one_sends(int p)
{
    opens(p, p ? TARN_RECEIVE : TARN_SEND);
}
static void to_and_fro(int p)
{
    for (uint64_t i = 1; i <= 2; i++)
        if (p == 0)
            send(p, i);
        else
            receive(p);
}
static void two_wait(int p)
{
    if (p == 0) {
        send(p, 1);
        send(p, 2);
    } else
        receive(p);
}
static void one_receives(int p)
{
    opens(p, p == 2 ? TARN_RECEIVE : TARN_SEND);
}
static void two_wait_for_room(int p)
{
    ghost[ANY] = 1;
    if (p == 2) {
        receive(p);
        receive(p);
    } else
        send(p, 1 + (uint64_t)p);
}

/* ---- clearing ---- */

static void two_that_come(void) /* to whoever waits */
{
    make(2);
}
/* 0 dies with a message, a loan, and a spare in hand. */
static void one_has_hands_full(int p)
{
    void *message;
    opens(p, p ? TARN_RECEIVE : TARN_SEND | TARN_RECEIVE);
    if (p)
        return;
    send(p, 1);
    MUST(tarn_mq_take_try(mq[p], &message, NULL));
    MUST(tarn_mq_loan_try(mq[p], 1, &message));
    send(p, 2);
}
static void clear_and_receive(int p)
{
    if (p == 1)
        channel_clear_dead(&mq[p]->party);
    else {
        receive(p);
        receive(p);
    }
}

static const char *both_came(void) /* though one was in a dead hand */
{
    const char *wrong = all_came();
    if (wrong || died(1) || died(2))
        return wrong;
    return !ghost[GOT + 1] || !ghost[GOT + 2] ? "a message was lost with who had it in hand" : NULL;
}

const struct test_case mq_cases[] = {
    {"mq, two send", 2, 3, 4, 0, two_places, sender_and_receiver, two_send, in_any_order},
    {"mq, two send without a chunk", 2, 3, 4, 0, two_places, without_spares, two_send, in_any_order},
    {"mq, two receive", 2, 3, 4, 0, two_places, two_are_there, two_receive, all_came},
    {"mq, take and receive", 2, 3, 4, 0, two_places, two_are_there, take_and_receive, all_came},
    {"mq, to and fro", 2, 2, 4, 0, one_place, one_sends, to_and_fro, all_came},
    {"mq, two wait", 3, 0, 2, 0, two_places, one_sends, two_wait, all_came},
    {"mq, two wait for room", 3, 0, 2, 0, one_place, one_receives, two_wait_for_room, all_came},
    {"mq, clear and receive", 3, 2, 4, CASE_DEAD_FIRST, two_that_come, one_has_hands_full, clear_and_receive,
     both_came},
    {0},
};

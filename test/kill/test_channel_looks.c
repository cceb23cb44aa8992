/* test_channel_looks.c - what others may see of a channel while a party is in a call: built with kill points, at each of which an onlooker looks in place of a death.
 *
 * He looks behind each store, for whoever calls may be stopped there as long as you like:
 *     a doorbell was rung  =>  what it tells of is there;  and it is rung before the call ends
 *     that is there, and the doorbell was not rung yet  =>  who rings has armed the segment's bell (not of rings and topics: who sleeps there watches the parties)
 *     a seat is taken  =>  its fields are stored;  its id changes under the lock, and so does `holding`
 *     a death was told by `changes`  =>  it was counted;  a bell is rung when the lock is free: who is woken only tries to take it
 *     a request that is asked is in the order, or noted as one that is to be
 *     no count of tarn_channel_stat is below 0, and of what was sent and received none goes back
 * Or he is another who is first, or gives back what a dead one had, while we come to that: then nothing is left named, taken or marked. */
#include "channel_calls.h"

static void (*onlooker)(void);
static int looks;

__thread int kill_countdown;
void kill_now(void);
void kill_now(void)
{
    looks++;
    onlooker();
    kill_countdown = 1;
}

static void lock_is_told(const tarn_mutex *lock)
{
    if (load32(&lock->owner) && !self->bell)
        is_wrong("the lock is held, and who dies now is not noticed");
}
static void looked_at(void (*look)(void), void (*call)(void))
{
    const uint32_t armed = self->bell;
    looks = 0;
    wrong = NULL;
    onlooker = look;
    kill_countdown = 1;
    call();
    kill_countdown = 0;
    onlooker = NULL;
    if (wrong)
        fail_msg("%s: %s", name, wrong);
    assert_true(looks > 0);
    assert_int_equal(self->bell, armed);
}

/* ---- doorbells: somebody sleeps at one, by his mark; `waits` would see whether what he waits for is there ---- */

static uint32_t role;
static bool arms;       /* the one who calls */
static bool under_lock; /* it is rung by who clears a seat, for one whom that concerns alone */

static bool is_ready(void)
{
    return waits->class->ready(waits, role);
}
static void look_at_bell(void)
{
    if (rung() && !is_ready())
        is_wrong("the bell is rung, and nothing is there");
    if (rung() && !under_lock && load32(&waits->channel->lock.owner))
        is_wrong("the bell is rung, and who is woken may not clear a dead one's seat: the lock is held");
    if (arms && !rung() && is_ready() && !self->bell)
        is_wrong("what somebody waits for is there, and who dies now is not noticed");
}

/* In the call, something comes to be there. */
static void bell_is_rung(const struct party *p, struct doorbell *d, uint32_t asks, bool by_arming,
                         void (*call)(void))
{
    waits = p;
    role = asks;
    arms = by_arming;
    bell = d;
    assert_false(is_ready());
    marked = doorbell_mark(d);
    looked_at(look_at_bell, call);
    assert_true(is_ready());
    assert_true(rung() && !(load32(&d->sleepers) & DOORBELL_SLEEPERS));
}

/* ---- ring ---- */

static void ring_bells(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= TARN_RING_BYTES; flags += TARN_RING_BYTES) {
        void (*const sends[])(void) = {ring_send, ring_send_slow, ring_send_many, ring_send_loan};
        void (*const receives[])(void) = {ring_receive, ring_receive_many, ring_let_go};
        for (size_t i = 0; i < sizeof sends / sizeof *sends; i++) {
            void *place;
            open_ring(flags ? 128 : 8, 8, flags);
            if (sends[i] == ring_send_loan)
                assert_int_equal(tarn_ring_loan(out, 8, &place), 0);
            bell_is_rung(&in->party, &in->party.channel->news, TARN_RECEIVE, false, sends[i]);
            if (sends[i] == ring_send_loan)
                assert_false(out->hand);
            close_ring();
        }
        for (size_t i = 0; i < sizeof receives / sizeof *receives; i++) {
            const void *seen;
            size_t size;
            open_ring(flags ? 128 : 8, 8, flags);
            ring_fill();
            if (receives[i] == ring_let_go)
                assert_int_equal(tarn_ring_take(in, &seen, &size), 0);
            bell_is_rung(&out->party, &out->party.channel->room, TARN_SEND, false, receives[i]);
            close_ring();
        }
    }
}

/* ---- message queue ---- */

static void mq_news(void **state)
{
    (void)state;
    open_mq(2, 8);
    bell_is_rung(&mq->party, &mq->party.channel->news, TARN_RECEIVE, true, mq_send);
    mq_receive();
    assert_int_equal(tarn_mq_loan(mq, 8, &loan), 0);
    bell_is_rung(&mq->party, &mq->party.channel->news, TARN_RECEIVE, true, mq_send_loan);
    close_mq();
}

/* It is full, so that what is received makes room. */
static void mq_room(void **state)
{
    void (*const receives[])(void) = {mq_receive, mq_take};
    (void)state;
    for (size_t large = 0; large < 2; large++)
        for (size_t i = 0; i < sizeof receives / sizeof *receives; i++) {
            char body[100] = "";
            open_mq(2, 100);
            while (tarn_mq_send_try(mq, 0, body, large ? 100 : 8) == 0)
                ;
            bell_is_rung(&mq->party, &mq->party.channel->room, TARN_SEND, true, receives[i]);
            if (receives[i] == mq_take)
                mq_release();
            close_mq();
        }
}

static void mq_chunks(void **state)
{
    void (*const lets_go[])(void) = {mq_release, mq_send_loan};
    (void)state;
    for (size_t i = 0; i < sizeof lets_go / sizeof *lets_go; i++) {
        void *loans[TARN_MQ_IN_HAND];
        open_mq(1, 8);
        no_chunk_is_loose(loans);
        taken = loan = loans[0];
        mq->wants = MQ_LEVELS; /* as of who could not have a loan */
        bell_is_rung(&mq->party, &mq->party.channel->room, TARN_SEND, true, lets_go[i]);
        for (uint32_t k = 1; k < TARN_MQ_IN_HAND; k++)
            assert_int_equal(tarn_mq_release(mq, loans[k]), 0);
        channel_close(&other->party);
        close_mq();
    }
}

/* Another claims the only chunk that is loose, where we have named it: then we name none, and sleep. */
static uint64_t *only;
static void steals(void)
{
    if (load32(&other->seat->spare) && load64(only) == MQ_LOOSE)
        *only = mq_owned(ID_MAKE(1, 1000));
}
static void claims_none(void)
{
    assert_int_equal(tarn_mq_send_try(other, 0, numbers, 8), -EAGAIN);
}
static void mq_claims(void **state)
{
    void *loans[TARN_MQ_IN_HAND];
    (void)state;
    open_mq(1, 8);
    no_chunk_is_loose(loans);
    only = mq_word_at(&mq->q, mq->hand[0].chunk - 1);
    assert_int_equal(tarn_mq_release(mq, loans[0]), 0);
    looked_at(steals, claims_none);
    assert_int_equal(*only, mq_owned(ID_MAKE(1, 1000)));
    assert_int_equal(load32(&other->seat->spare), 0);
    assert_false(other->party.class->ready(&other->party, TARN_SEND));
    *only = MQ_LOOSE;
    for (uint32_t k = 1; k < TARN_MQ_IN_HAND; k++)
        assert_int_equal(tarn_mq_release(mq, loans[k]), 0);
    channel_close(&other->party);
    close_mq();
}

/* ... or has the place, or the message, first. */
static void sends_first(void)
{
    if (load64(mq_word_at(&mq->q, mq->spare - 1)) == load64(&mq->seat->stamp) && other) {
        tarn_mq *by = other;
        other = NULL;
        if (tarn_mq_send_try(by, 0, numbers, 8))
            is_wrong("the other one cannot send");
    }
}
static void sends_none(void)
{
    assert_int_equal(tarn_mq_send_try(mq, 0, numbers, 8), -EAGAIN);
}
static void receives_first(void)
{
    if (load32(&mq->seat->hand[0]) && other) {
        uint64_t got;
        tarn_mq *by = other;
        other = NULL;
        if (tarn_mq_receive_try(by, &got, 8, NULL))
            is_wrong("the other one cannot receive");
    }
}
static void takes_none(void)
{
    assert_int_equal(tarn_mq_take_try(mq, &taken, NULL), -EAGAIN);
}
static void mq_races(void **state)
{
    tarn_mq *second;
    (void)state;
    open_mq(1, 8);
    assert_int_equal(tarn_mq_open(seg, name, TARN_SEND | TARN_RECEIVE, NULL, &second), 0);
    for (int i = 0; i < 2; i++) { /* it has a spare */
        mq_send();
        mq_receive();
    }
    other = second;
    looked_at(sends_first, sends_none);
    assert_null(other);
    assert_null(channel_fault(&mq->party, true));
    names_are_right(mq);
    other = second;
    looked_at(receives_first, takes_none);
    assert_null(other);
    assert_null(channel_fault(&mq->party, true));
    names_are_right(mq);
    mq_send(); /* in a place whose message is in a hand still: it gets no chunk, and has none */
    mq_take();
    mq_send();
    names_are_right(mq);
    mq_release();
    mq_receive();
    /* what came again is looked for until it is had, and then no more */
    mq_send();
    assert_int_equal(tarn_mq_take(second, &taken, NULL), 0);
    channel_close(&second->party);
    mq_receive();
    assert_int_equal(tarn_mq_receive_try(mq, &(uint64_t){0}, 8, NULL), -EAGAIN);
    assert_int_equal(mq->seen, load64(&mq->q.shared->made));
    close_mq();
}

/* Of who died before his message had its place, and whose clearer died before the seat was free: the chunk that he would have got stays where it is, for who claims the place
 * may be about to get it. */
static void mq_send_of_the_dead(void **state)
{
    tarn_mq *dead;
    struct party by;
    uint64_t p;
    uint32_t had;
    (void)state;
    open_mq(2, 8);
    by = mq->party;
    by.id = ID_MAKE(1, 1000);
    assert_int_equal(tarn_mq_open(seg, name, TARN_SEND | TARN_RECEIVE, NULL, &dead), 0);
    assert_int_equal(tarn_mq_send(dead, 0, numbers, 8), 0);
    p = dead->tail[0];
    had = mq_entry_chunk(&mq->q, load64(mq_entry_at(&mq->q, 0, p)));
    dead->seat->sends = dead->spare;
    dead->seat->gets = had + 1;
    dead->seat->stamp = *mq_word_at(&mq->q, dead->spare - 1) = mq_sent(0, p);
    for (int i = 0; i < 2; i++) {
        mq->party.class->give_back(&by, dead->party.seat);
        assert_int_equal(load64(mq_word_at(&mq->q, dead->spare - 1)), MQ_LOOSE);
        assert_int_equal(load64(mq_word_at(&mq->q, had)), mq_free(0, p - 2));
    }
    channel_close(&dead->party);
    close_mq();
}

/* ---- call ---- */

static void server_leaves(void)
{
    channel_close((struct party *)server);
    server = NULL;
}

static void call_bells(void **state)
{
    struct doorbell *news, *room, *answers;
    (void)state;
    open_call(0, 0);
    news = &of_client->channel->news;
    bell_is_rung(of_server, news, TARN_RECEIVE, true, call_ask);
    close_call();
    for (int fails = 0; fails < 2; fails++) {
        open_call(1, 1);
        answers = of_client->class->bell(of_client, TARN_SEND);
        bell_is_rung(of_client, answers, TARN_SEND, true, fails ? call_fail : call_answer);
        room = &of_client->channel->room;
        bell_is_rung(of_client, room, TARN_SEND | FOR_ROOM, true, call_end);
        close_call();
    }
    open_call(1, 0);
    bell_is_rung(of_client, &of_client->channel->room, TARN_SEND | FOR_ROOM, true, call_cancel);
    close_call();
    open_call(1, 1);
    call_cancel();
    bell_is_rung(of_client, &of_client->channel->room, TARN_SEND | FOR_ROOM, true, call_fail_late);
    close_call();
    open_call(1, 1);
    under_lock = true;
    bell_is_rung(of_client, of_client->class->bell(of_client, TARN_SEND), TARN_SEND, true, server_leaves);
    under_lock = false;
    close_call();
    open_call(0, 0); /* the order is damaged: it seems to be a lap behind */
    of_client->channel->own[0] = of_client->channel->own[8] = 2 * CALLS;
    bell_is_rung(of_client, &of_client->channel->room, TARN_SEND | FOR_ROOM, true, call_ask_in_vain);
    close_call();
    open_call(2, 0); /* the second one is dropped, and stands behind the first */
    assert_int_equal(tarn_call_cancel(client, id[1]), 0);
    bell_is_rung(of_client, &of_client->channel->room, TARN_SEND | FOR_ROOM, false, call_next);
    close_call();
}

/* A request that is asked is in the order, or noted in a seat as one that is to be: docs/channel.md, K1. */
enum { ASKED = 2, REDO = 8, ASKING = 9 }; /* call.c: states of a slot, words of a seat */
static uint64_t *word_of_slot(uint32_t i)
{
    return (uint64_t *)(void *)(of_client->slots + 16ull * CALLS + i * (64ull + 2 * 64));
}
static bool is_in_order(uint32_t i)
{
    const uint64_t *order = (const uint64_t *)(const void *)of_client->slots;
    for (int k = 0; k < 2 * CALLS; k++)
        if ((order[k] & 0xffffff) == i + 1)
            return true;
    return false;
}
static void look_at_order(void)
{
    for (uint32_t i = 0; i < CALLS; i++) {
        bool noted = is_in_order(i);
        for (uint32_t k = 0; k < of_client->shape.seats; k++)
            noted |= seat_at(of_client, k)->own[REDO] == i + 1 || seat_at(of_client, k)->own[ASKING] == i + 1;
        if ((*word_of_slot(i) >> 16 & 7) == ASKED && !noted)
            is_wrong("a request is asked, and nobody would find it");
    }
}
static void give_back_servers(void)
{
    of_server->class->give_back(of_client, of_server->seat);
}
static uint64_t entries(void)
{
    struct tarn_channel_stat stat;
    assert_int_equal(tarn_channel_stat(seg, name, &stat), 0);
    return stat.sent;
}
/* Of a server that died with a request in hand; and that died, where who cleared its seat died before the request was in the order again. However many die who clear it after that,
 * the order does not fill. */
static void call_order(void **state)
{
    (void)state;
    for (int half_done = 0; half_done < 2; half_done++) {
        open_call(0, 0);
        assert_int_equal(tarn_call_begin(client, id[0], TARN_CALL_REPEATABLE, 8), 0);
        assert_int_equal(tarn_call_next(server, &request), 0);
        if (half_done) {
            of_server->seat->own[REDO] = 1;
            *word_of_slot(0) = (*word_of_slot(0) & ~0x7ffffull) | (uint64_t)ASKED << 16 |
                               (uint64_t)(of_client->seat - of_client->seats + 1);
        }
        assert_int_equal(entries(), 1);
        looked_at(look_at_order, give_back_servers);
        for (int i = 0; i < 3 * CALLS; i++)
            give_back_servers();
        assert_true(is_in_order(0));
        assert_int_equal(entries(), 2);
        close_call();
    }
    open_call(0, 0);
    looked_at(look_at_order, call_ask);
    close_call();
}

/* ---- topic ---- */

static void topic_bells(void **state)
{
    void (*const lets[])(void) = {topic_receive, topic_seek, topic_let_go};
    (void)state;
    open_topic(false);
    bell_is_rung(&subscriber->party, &subscriber->party.channel->news, TARN_RECEIVE, false, topic_send);
    close_topic();
    for (size_t i = 0; i < sizeof lets / sizeof *lets; i++) {
        open_topic(true);
        bell_is_rung(&publisher->party, &publisher->party.channel->room, TARN_SEND, false, lets[i]);
        close_topic();
    }
}

/* `holding` is counted under the lock; how long a subscriber is in the way is told from when it was first. */
static uint64_t holding;
static void look_at_holding(void)
{
    const struct topic_view *v = &publisher->view;
    const struct topic_seat *s = subscriber->mine;
    if (load64(&v->words->holding) != holding && !load32(&publisher->party.channel->lock.owner))
        is_wrong("who holds was counted without the lock");
    if (load64(&s->stuck_at) && !load64(&s->stuck_since))
        is_wrong("a subscriber is in the way since ever");
    lock_is_told(&publisher->party.channel->lock);
    holding = load64(&v->words->holding);
}
/* Who is overrun has moved, whether he can take what is there or not: publishers see where he is. */
static void topic_overrun(void **state)
{
    char little[4];
    (void)state;
    open_topic(false);
    for (int i = 0; i < 5; i++)
        topic_send();
    assert_int_equal(tarn_topic_receive_try(subscriber, little, sizeof little, NULL), -EMSGSIZE);
    assert_int_equal(subscriber->at, 3);
    assert_int_equal(load64(&subscriber->party.seat->at), 3);
    topic_receive();
    close_topic();
}
static void topic_holders(void **state)
{
    void (*const calls[])(void) = {topic_send_held, topic_seek, topic_let_go};
    (void)state;
    open_topic(true);
    holding = load64(&publisher->view.words->holding);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        looked_at(look_at_holding, calls[i]);
    assert_int_not_equal(load64(&subscriber->mine->stuck_at), 0);
    close_topic();
    open_topic(true);
    channel_close(&subscriber->party);
    assert_int_equal((uint32_t)load64(&publisher->view.words->holding), 0);
    assert_int_equal(tarn_topic_close(publisher), 0);
    assert_int_equal(tarn_unbind(seg, name, 1), 0);
}

/* Publishers overwrite whatever a subscriber is about to read: he gives up, or copies it pinned, and pins nothing then. */
static int overwrites;
static void overwrite(void)
{
    for (int i = 0; i < 2; i++)
        topic_send();
}
static void overwrites_pinned(void)
{
    if (load32(&subscriber->mine->pin[0]))
        overwrite();
}
static void overwrites_some(void)
{
    if (overwrites-- > 0)
        overwrite();
}
static void topic_take_in_vain(void)
{
    const void *message;
    assert_int_equal(tarn_topic_take_try(subscriber, &message, NULL), -EAGAIN);
}
static void topic_pins(void **state)
{
    (void)state;
    open_topic(false);
    topic_send();
    looked_at(overwrites_pinned, topic_take_in_vain);
    assert_int_equal(load32(&subscriber->mine->pin[0]), 0);
    overwrite();
    overwrites = 4; /* of two stores each time that he is overrun: three times, so that he does not copy before he pins */
    looked_at(overwrites_some, topic_receive);
    assert_true(overwrites < 0);
    assert_true(subscriber->takes);
    assert_int_equal(load32(&subscriber->mine->pin[0]), 0);
    close_topic();
}

/* ---- counts ---- */

static int party_is_sane(const struct tarn_party *p, void *unused)
{
    (void)unused;
    if (p->messages > 1000 || p->lost > 1000 || p->behind > 1000)
        is_wrong("a party's count is none");
    return 0;
}
static uint64_t sent, received;
static void look_at_counts(void)
{
    struct tarn_channel_stat stat;
    if (tarn_channel_stat(seg, name, &stat) || stat.sent > 1000 || stat.received > 1000 ||
        stat.waiting > stat.capacity)
        is_wrong("a count of the channel's is none");
    if (stat.sent < sent || stat.received < received)
        is_wrong("what was sent, or received, is not so any more");
    sent = stat.sent;
    received = stat.received;
    (void)tarn_channel_parties(seg, name, party_is_sane, NULL);
}
static void counts(void **state)
{
    void (*const of_ring[])(void) = {ring_send, ring_send, ring_receive, ring_receive};
    void (*const of_topic[])(void) = {topic_send, topic_send, topic_receive,
                                      topic_send, topic_send, topic_receive};
    void (*const of_call[])(void) = {call_ask, call_next, call_answer, call_end};
    (void)state;
    sent = received = 0;
    open_ring(128, 8, TARN_RING_BYTES);
    for (int i = 0; i < 40; i++) /* also at the end, and round it */
        looked_at(look_at_counts, of_ring[i % 4]);
    close_ring();
    sent = received = 0;
    open_topic(false);
    for (size_t i = 0; i < sizeof of_topic / sizeof *of_topic; i++)
        looked_at(look_at_counts, of_topic[i]);
    close_topic();
    sent = received = 0;
    open_call(0, 0);
    for (size_t i = 0; i < sizeof of_call / sizeof *of_call; i++)
        looked_at(look_at_counts, of_call[i]);
    close_call();
}

/* ---- seats ---- */

static struct party watched;
static uint32_t was[8], changes, deaths, seats_changed;
static bool dies;

static void look_at_seats(void)
{
    const struct channel *c = watched.channel;
    const bool told = load32(&c->changes) != changes;
    for (uint32_t i = 0; i < watched.shape.seats; i++) {
        const struct channel_seat *seat = seat_at(&watched, i);
        uint32_t now = load32(&seat->id);
        if (now != was[i] && !load32(&c->lock.owner))
            is_wrong("a seat has changed without the lock");
        if (now && (!seat->role || !seat->since))
            is_wrong("a seat is taken, and does not say since when, or as what");
        seats_changed += now != was[i];
        was[i] = now;
    }
    if (seats_changed && !told && load32(&c->unsaid) != (dies ? 2 : 1))
        is_wrong("a seat has changed, and who dies now has told nobody");
    if (told && !seats_changed)
        is_wrong("it is told that a seat has changed, which is to come");
    if (told && dies && load32(&c->deaths) == deaths)
        is_wrong("a death is told, and not counted");
    lock_is_told(&c->lock);
    if (seats_changed && bell && !rung() && !self->bell)
        is_wrong("a seat has changed, and that who dies now has rung nobody is not noticed");
    if (bell && rung() && load32(&c->lock.owner))
        is_wrong("who slept is woken, and may not clear another seat: the lock is held");
}
static void seats_are_looked_at(bool by_death, struct doorbell *d, void (*call)(void))
{
    assert_int_equal(channel_look(seg, name, &watched), 0);
    changes = load32(&watched.channel->changes);
    deaths = load32(&watched.channel->deaths);
    seats_changed = 0;
    dies = by_death;
    for (uint32_t i = 0; i < watched.shape.seats; i++)
        was[i] = load32(&seat_at(&watched, i)->id);
    if ((bell = d))
        marked = doorbell_mark(bell);
    looked_at(look_at_seats, call);
    assert_int_equal(seats_changed, 1);
    assert_int_equal(load32(&watched.channel->unsaid), 0);
    assert_int_equal(load32(&watched.channel->changes), changes + 1);
    assert_int_equal(load32(&watched.channel->deaths), deaths + by_death);
    if (bell)
        assert_true(rung());
}

static void joins(void)
{
    assert_int_equal(tarn_mq_open(seg, name, TARN_RECEIVE, NULL, &other), 0);
}
static void leaves(void)
{
    assert_int_equal(tarn_mq_close(other), 0);
}
static void clears(void)
{
    assert_int_equal(channel_clear_dead(&mq->party), 1);
}
static void in_a_child(void *arg)
{
    (void)arg;
    if (tarn_mq_open(seg, name, TARN_RECEIVE, NULL, &other) == 0)
        kill(getpid(), SIGKILL);
}
static void dies_in_a_child(void)
{
    assert_int_equal(WTERMSIG(in_child(in_a_child, NULL)), SIGKILL);
}

static void seats(void **state)
{
    (void)state;
    open_mq(2, 8);
    seats_are_looked_at(false, NULL, joins);
    seats_are_looked_at(false, &mq->party.channel->news, leaves);
    joins();
    seats_are_looked_at(false, &mq->party.channel->room, leaves);
    dies_in_a_child();
    seats_are_looked_at(true, &mq->party.channel->news, clears);
    dies_in_a_child();
    seats_are_looked_at(true, &mq->party.channel->room, clears);
    close_mq();
}

/* Who clears a seat dies when it is free, and has told nobody: whoever comes next does, and what he says is said before it counts as said. */
static void look_at_unsaid(void)
{
    if (!load32(&watched.channel->unsaid) && load32(&watched.channel->changes) == changes)
        is_wrong("it counts as said, and was not");
    lock_is_told(&watched.channel->lock);
}
static void unsaid(void)
{
    assert_int_equal(channel_clear_dead(&mq->party), 0);
}
static void what_the_dead_did_not_say(void **state)
{
    (void)state;
    open_mq(2, 8);
    watched = mq->party;
    for (uint32_t what = 1; what <= 2; what++) {
        changes = load32(&watched.channel->changes);
        deaths = load32(&watched.channel->deaths);
        watched.channel->unsaid = what;
        looked_at(look_at_unsaid, unsaid);
        assert_int_equal(load32(&watched.channel->changes), changes + 1);
        assert_int_equal(load32(&watched.channel->deaths), deaths + (what == 2));
        assert_int_equal(load32(&watched.channel->unsaid), 0);
    }
    close_mq();
}

/* Another clears the dead one's seat while we come to that. */
static void clears_first(void)
{
    for (uint32_t i = 0; i < watched.shape.seats; i++)
        if (!load32(&watched.channel->lock.owner) && load32(&seat_at(&watched, i)->id) != mq->party.id)
            seat_at(&watched, i)->id = 0;
}
static void clears_none(void)
{
    assert_int_equal(channel_clear_dead(&mq->party), 0);
}
/* ... or has the lock: who only tries to take it leaves nothing behind. */
static void another_clears(void **state)
{
    (void)state;
    open_mq(2, 8);
    watched = mq->party;
    dies_in_a_child();
    deaths = load32(&watched.channel->deaths);
    looked_at(clears_first, clears_none);
    assert_int_equal(load32(&watched.channel->deaths), deaths);
    bell_arm(self);
    assert_int_equal(mutex_lock_inner(self, &watched.channel->lock), 0);
    watched.channel->unsaid = 1;
    assert_int_equal(channel_clear_dead(&mq->party), 0);
    assert_int_equal(self->bell, 1);
    watched.channel->unsaid = 0;
    mutex_unlock_inner(self, &watched.channel->lock);
    bell_disarm(self);
    close_mq();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_bells),
        cmocka_unit_test(mq_news),
        cmocka_unit_test(mq_room),
        cmocka_unit_test(mq_chunks),
        cmocka_unit_test(mq_claims),
        cmocka_unit_test(mq_races),
        cmocka_unit_test(mq_send_of_the_dead),
        cmocka_unit_test(call_bells),
        cmocka_unit_test(call_order),
        cmocka_unit_test(topic_bells),
        cmocka_unit_test(topic_holders),
        cmocka_unit_test(topic_overrun),
        cmocka_unit_test(topic_pins),
        cmocka_unit_test(counts),
        cmocka_unit_test(seats),
        cmocka_unit_test(what_the_dead_did_not_say),
        cmocka_unit_test(another_clears),
    };
    return cmocka_run_group_tests(tests, open_segment, close_segment);
}

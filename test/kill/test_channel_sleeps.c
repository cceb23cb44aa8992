/* test_channel_sleeps.c - who goes to sleep at a channel: the linker puts his barrier, his sleep and others' wakes into our hands.
 *
 * What he waits for comes to be there in his barrier, from one who read the doorbell before it was marked: he must see it, and not sleep. Or it comes when he sleeps, and he is rung. No
 * test of two threads meets these few nanoseconds. */
#include <poll.h>

#include "channel_calls.h"

static void (*lets)(void);
static bool in_barrier;        /* lets, in the barrier; else in the sleep */
static __thread bool emulated; /* this thread's sleeps are */
static int sleeps, barriers;   /* barriers behind the mark, since the last sleep */
static int wakes;

static void let_silently(void)
{
    uint32_t word = load32(&bell->sleepers);
    void (*let)(void) = lets;
    lets = NULL;
    let();
    store32(&bell->sleepers, word);
    wakes = 0;
}

/* Of a descriptor's thread. */
static volatile bool is_watched, watcher_sleeps, watcher_wakes;
static const char *volatile watcher_wrong;
static __thread bool watcher_barrier;

int __real_os_membarrier(void);
int __wrap_os_membarrier(void);
int __wrap_os_membarrier(void)
{
    if (emulated) {
        if (!(load32(&bell->sleepers) & DOORBELL_SLEEPERS))
            is_wrong("a barrier before the doorbell is marked");
        barriers++;
        if (in_barrier && lets)
            let_silently();
    }
    if (is_watched && load32(&bell->sleepers) & DOORBELL_SLEEPERS)
        watcher_barrier = true;
    return __real_os_membarrier();
}

int __real_os_futex_wake(uint32_t *word, int n);
int __wrap_os_futex_wake(uint32_t *word, int n);
int __wrap_os_futex_wake(uint32_t *word, int n)
{
    wakes += emulated && word == &bell->sleepers;
    if (is_watched && word == &bell->sleepers && self_if(seg) != self)
        watcher_wakes = true;
    return __real_os_futex_wake(word, n);
}

static uint32_t *changes_watched; /* by this thread */

int __real_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);
int __wrap_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);
int __wrap_os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until)
{
    void (*let)(void) = lets;
    if (changes_watched) {
        if (wait[0].word != changes_watched || wait[0].value != load32(changes_watched))
            is_wrong("a watch of other words");
        if (!self->bell)
            is_wrong("a watch without the segment's bell");
        if (sleeps++ || !let)
            is_wrong("a watch that does not end");
        else
            let();
        return 0;
    }
    for (int i = 0; is_watched && i < n; i++)
        if (wait[i].word == &bell->sleepers) {
            if (!watcher_barrier)
                watcher_wrong = "no barrier between the mark and the sleep";
            if (!self_if(seg)->bell)
                watcher_wrong = "a sleep without the segment's bell";
            watcher_barrier = false;
            watcher_sleeps = true;
        }
    if (!emulated)
        return __real_os_futex_wait_any(wait, n, until);
    if (!barriers)
        is_wrong("no barrier before a sleep");
    if (!self->bell)
        is_wrong("a sleep without the segment's bell");
    if (n < 4 || wait[0].word != &bell->sleepers || wait[0].value != load32(&bell->sleepers) ||
        wait[1].word != &waits->channel->changes || wait[1].value != load32(&waits->channel->changes))
        is_wrong("a sleep on other words");
    if (sleeps++ || in_barrier || !let) {
        is_wrong("a sleep, and what it waits for is there");
        __atomic_fetch_add(&bell->sleepers, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    barriers = 0;
    lets = NULL;
    let();
    if (!rung())
        is_wrong("who sleeps is not rung");
    return 0;
}

static void one_sleeps(const struct party *p, struct doorbell *d, bool by_barrier, void (*let)(void),
                       void (*call)(void))
{
    const uint32_t armed = self->bell;
    waits = p;
    bell = d;
    marked = load32(&d->sleepers) | DOORBELL_SLEEPERS;
    lets = let;
    in_barrier = by_barrier;
    sleeps = barriers = wakes = 0;
    wrong = NULL;
    emulated = true;
    call();
    emulated = false;
    if (wrong)
        fail_msg("%s: %s", name, wrong);
    assert_null(lets);
    assert_int_equal(sleeps, !by_barrier);
    assert_int_equal(self->bell, armed);
    assert_int_equal(load64(&self->record->waits), 0);
}

static void topic_send_slowly(void)
{
    assert_int_equal(tarn_topic_send(publisher, numbers, 8), 0);
}
static void topic_receive_slowly(void)
{
    uint64_t got;
    assert_int_equal(tarn_topic_receive(subscriber, &got, 8, NULL), 0);
}
static void mq_loan(void)
{
    assert_int_equal(tarn_mq_loan(other, 8, &loan), 0);
}
static void call_wait(void)
{
    const void *at;
    size_t size;
    assert_int_equal(tarn_call_wait(client, id[0], &at, &size), 0);
}
static void call_loan(void)
{
    void *at;
    assert_int_equal(tarn_call_loan(client, 8, &at, &id[0]), 0);
}

static void sleepers(void **state)
{
    (void)state;
    if (seg->exchange_unlock)
        skip(); /* there is no membarrier */
    for (int by_barrier = 0; by_barrier < 2; by_barrier++) {
        void *loans[TARN_MQ_IN_HAND];
        for (uint32_t flags = 0; flags <= TARN_RING_BYTES; flags += TARN_RING_BYTES) {
            open_ring(flags ? 128 : 8, 8, flags);
            one_sleeps(&in->party, &in->party.channel->news, by_barrier, ring_send, ring_receive);
            ring_fill();
            one_sleeps(&out->party, &out->party.channel->room, by_barrier, ring_receive, ring_send);
            close_ring();
        }
        open_mq(2, 8);
        one_sleeps(&mq->party, &mq->party.channel->news, by_barrier, mq_send, mq_receive);
        while (tarn_mq_send_try(mq, 0, numbers, 8) == 0)
            ;
        one_sleeps(&mq->party, &mq->party.channel->room, by_barrier, mq_receive, mq_send);
        close_mq();
        open_mq(1, 8); /* and a loan, of who cannot send: there is a message */
        no_chunk_is_loose(loans);
        mq_send();
        taken = loans[0];
        one_sleeps(&other->party, &mq->party.channel->room, by_barrier, mq_release, mq_loan);
        for (uint32_t k = 1; k < TARN_MQ_IN_HAND; k++)
            assert_int_equal(tarn_mq_release(mq, loans[k]), 0);
        channel_close(&other->party);
        close_mq();
        open_topic(false);
        one_sleeps(&subscriber->party, &subscriber->party.channel->news, by_barrier, topic_send,
                   topic_receive_slowly);
        close_topic();
        open_topic(true);
        one_sleeps(&publisher->party, &publisher->party.channel->room, by_barrier, topic_receive, topic_send_slowly);
        close_topic();
        open_call(0, 0);
        one_sleeps(of_server, &of_server->channel->news, by_barrier, call_ask, call_next);
        one_sleeps(of_client, of_client->class->bell(of_client, TARN_SEND), by_barrier, call_answer, call_wait);
        one_sleeps(of_client, &of_client->channel->room, by_barrier, call_end, call_loan);
        close_call();
    }
}

/* Of several who sleep at a doorbell one is woken: who takes what he was woken for, and leaves more, wakes the next. What comes when he has looked last comes in his barrier. */
static void let_two(void)
{
    mq_send();
    lets = mq_send;
    in_barrier = true;
}
static void the_next_one(void **state)
{
    (void)state;
    if (seg->exchange_unlock)
        skip();
    open_mq(4, 8);
    one_sleeps(&mq->party, &mq->party.channel->news, false, let_two, mq_receive);
    assert_int_equal(wakes, 1);
    mq_receive();
    one_sleeps(&mq->party, &mq->party.channel->news, false, mq_send, mq_receive);
    assert_int_equal(wakes, 1); /* its own */
    close_mq();
}

static tarn_mq *second;
static void joins(void)
{
    assert_int_equal(tarn_mq_open(seg, name, TARN_SEND, NULL, &second), 0);
}
static void watcher(void **state)
{
    uint32_t seen;
    (void)state;
    open_mq(2, 8);
    seen = load32(&mq->party.channel->changes);
    lets = joins;
    wrong = NULL;
    sleeps = 0;
    changes_watched = &mq->party.channel->changes;
    assert_int_equal(tarn_channel_watch(seg, name, &seen, NULL), 0);
    changes_watched = NULL;
    if (wrong)
        fail_msg("%s", wrong);
    assert_int_equal(sleeps, 1);
    assert_int_equal(seen, load32(&mq->party.channel->changes));
    assert_int_equal(self->bell, 0);
    assert_int_equal(load64(&self->record->waits), 0);
    assert_int_equal(tarn_mq_close(second), 0);
    close_mq();
}

/* A descriptor's thread sleeps as a waiter of what is in it; it is told of what is put into it; and who is woken in place of another wakes that one. */
static void until_it_sleeps(void)
{
    while (!watcher_sleeps)
        usleep(1000);
    if (watcher_wrong)
        fail_msg("%s", watcher_wrong);
}
static void descriptor(void **state)
{
    tarn_poll *many;
    struct pollfd fd = {.events = POLLIN};
    (void)state;
    if (seg->exchange_unlock)
        skip();
    open_mq(2, 8);
    bell = &mq->party.channel->news;
    assert_int_equal(tarn_poll_open(seg, &many, &fd.fd), 0);
    is_watched = true;
    usleep(10000); /* else it may see what is put into it before it sleeps: then less is seen */
    assert_int_equal(tarn_mq_poll(mq, many), 0);
    for (int i = 0; i < 3 || !watcher_wakes; i++) { /* it may be about to sleep only, when it is rung */
        until_it_sleeps();
        assert_int_equal(poll(&fd, 1, 0), 0);
        watcher_sleeps = false;
        mq_send();
        assert_int_equal(poll(&fd, 1, -1), 1);
        mq_receive();
        assert_int_equal(tarn_poll_clear(many), 0);
    }
    until_it_sleeps();
    is_watched = false;
    tarn_poll_close(many);
    close_mq();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleepers),
        cmocka_unit_test(the_next_one),
        cmocka_unit_test(watcher),
        cmocka_unit_test(descriptor),
    };
    return cmocka_run_group_tests(tests, open_segment, close_segment);
}

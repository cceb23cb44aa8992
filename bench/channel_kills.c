/* bench/channel_kills.c - channel.*.under_kills: what remains of the rate while every 10 ms one party is killed, and one that was forked before takes over.
 *
 * A role has one active process and one that stands by: it has the segment attached, and opens the channel when it is told to. The killer kills the active
 * one of one role after the other, tells the standby, and forks the next. Both rates are taken by the same processes; in one of the two nobody is killed. Messages are
 * numbered by their sender's life and checked for being whole; what may be lost or come twice is the promise's and the fuzz's matter, not this one's.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/channel.h>

#include "channel.h"
#include "core.h"

enum { ROLES = 4, KILL_EVERY_NS = 10000000 };

struct kind {
    const char *figure;
    int senders, receivers;
    void *(*open)(tarn *seg, bool sends); /* NULL: the predecessor is not gone yet */
    void (*send)(void *handle, uint64_t number);
    bool (*receive)(void *handle); /* true: one came; waits a little */
};

struct stage {
    int active[ROLES]; /* the number of the life that is to work */
    int stop;
    uint64_t received[ROLES] __attribute__((aligned(128))); /* by all lives, as far as they were told */
};

static struct stage *stage;

static struct tarn_channel_options options(void)
{
    return (struct tarn_channel_options){
        .size = sizeof(struct tarn_channel_options), .capacity = CHANNEL_CAPACITY, .message = 64, .parties = 16};
}
static struct timespec soon(void)
{
    uint64_t at = bench_now() + 2000000;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
}
static bool retry(int e)
{
    return e == -EBUSY || e == -EUSERS || e == -EDEADLK;
}

struct message {
    uint64_t number, again;
};
static void whole(const struct message *m)
{
    if (m->again != bench_mix(m->number))
        bench_die("a torn message");
}
static struct message message_of(uint64_t number)
{
    return (struct message){number, bench_mix(number)};
}

/* ---- the kinds ------------------------------------------------------------------------------------------------------- */

static void *ring_open(tarn *seg, bool sends)
{
    struct tarn_channel_options o = options();
    tarn_ring *ring;
    int e = tarn_ring_open(seg, "ring", TARN_CREATE | (sends ? TARN_SEND : TARN_RECEIVE), &o, &ring);
    return retry(e) ? NULL : (core_good(e, "tarn_ring_open"), ring);
}
static void ring_send(void *ring, uint64_t number)
{
    struct message m = message_of(number);
    struct timespec until;
    while (tarn_ring_send_try(ring, &m, sizeof m) < 0) {
        until = soon();
        if (tarn_ring_send_timed(ring, &m, sizeof m, &until) == 0 || __atomic_load_n(&stage->stop, __ATOMIC_RELAXED))
            break;
    }
}
static bool ring_receive(void *ring)
{
    struct message m;
    struct timespec until;
    size_t size;
    if (tarn_ring_receive_try(ring, &m, sizeof m, &size) < 0) {
        until = soon();
        if (tarn_ring_receive_timed(ring, &m, sizeof m, &size, &until) < 0)
            return false;
    }
    whole(&m);
    return true;
}

static void *mq_open(tarn *seg, bool sends)
{
    struct tarn_channel_options o = options();
    tarn_mq *mq;
    int e = tarn_mq_open(seg, "mq", TARN_CREATE | (sends ? TARN_SEND : TARN_RECEIVE), &o, &mq);
    return retry(e) ? NULL : (core_good(e, "tarn_mq_open"), mq);
}
static void mq_send(void *mq, uint64_t number)
{
    struct message m = message_of(number);
    struct timespec until;
    while (tarn_mq_send_try(mq, 0, &m, sizeof m) < 0) {
        until = soon();
        if (tarn_mq_send_timed(mq, 0, &m, sizeof m, &until) == 0 || __atomic_load_n(&stage->stop, __ATOMIC_RELAXED))
            break;
    }
}
static bool mq_receive(void *mq)
{
    struct message m;
    struct timespec until;
    size_t size;
    if (tarn_mq_receive_try(mq, &m, sizeof m, &size) < 0) {
        until = soon();
        if (tarn_mq_receive_timed(mq, &m, sizeof m, &size, &until) < 0)
            return false;
    }
    whole(&m);
    return true;
}

static void *topic_open(tarn *seg, bool sends)
{
    struct tarn_channel_options o = options();
    tarn_topic *topic;
    int e = tarn_topic_open(seg, "topic", TARN_CREATE | (sends ? TARN_SEND : TARN_RECEIVE), &o, &topic);
    if (retry(e))
        return NULL;
    core_good(e, "tarn_topic_open");
    if (!sends)
        core_good(tarn_topic_hold(topic, 1000), "tarn_topic_hold"); /* else the rate would be that of losing */
    return topic;
}
static void topic_send(void *topic, uint64_t number)
{
    struct message m = message_of(number);
    struct timespec until;
    while (tarn_topic_send_try(topic, &m, sizeof m) < 0) {
        until = soon();
        if (tarn_topic_send_timed(topic, &m, sizeof m, &until) == 0 ||
            __atomic_load_n(&stage->stop, __ATOMIC_RELAXED))
            break;
    }
}
static bool topic_receive(void *topic)
{
    struct message m;
    struct timespec until;
    struct tarn_topic_news news;
    if (tarn_topic_receive_try(topic, &m, sizeof m, &news) < 0) {
        until = soon();
        if (tarn_topic_receive_timed(topic, &m, sizeof m, &news, &until) < 0)
            return false;
    }
    whole(&m);
    return true;
}

static void *call_open(tarn *seg, bool sends)
{
    struct tarn_channel_options o = options();
    tarn_call *call;
    int e = tarn_call_open(seg, "call", TARN_CREATE | (sends ? TARN_SEND : TARN_RECEIVE), &o, &call);
    return retry(e) ? NULL : (core_good(e, "tarn_call_open"), call);
}
static void call_send(void *call, uint64_t number)
{
    struct message m = message_of(number), answer;
    struct timespec until = soon();
    size_t size;
    if (tarn_call_ask_timed(call, 0, &m, sizeof m, &answer, sizeof answer, &size, &until) == 0 &&
        (size != sizeof answer || answer.number != ~number))
        bench_die("call %llu was answered wrongly", (unsigned long long)number);
}
static bool call_receive(void *call)
{
    struct tarn_request request;
    struct timespec until;
    struct message m;
    if (tarn_call_next_try(call, &request) < 0) {
        until = soon();
        if (tarn_call_next_timed(call, &request, &until) < 0)
            return false;
    }
    memcpy(&m, request.at, sizeof m);
    whole(&m);
    m.number = ~m.number;
    return tarn_call_answer(call, request.id, &m, sizeof m) == 0;
}

static const struct kind kinds[] = {
    {"channel.spsc.under_kills", 1, 1, ring_open, ring_send, ring_receive},
    {"channel.mpmc.under_kills", 2, 2, mq_open, mq_send, mq_receive},
    {"channel.topic.under_kills", 1, 1, topic_open, topic_send, topic_receive},
    {"channel.call.under_kills", 1, 1, call_open, call_send, call_receive},
};

/* ---- lives ----------------------------------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) live(const struct kind *k, tarn *seg, int role, int life)
{
    bool sends = role < k->senders;
    void *handle;
    bench_pin((sends ? role : role - k->senders + 1) % bench_cpus());
    core_good(tarn_thread_attach(seg), "tarn_thread_attach");
    while (__atomic_load_n(&stage->active[role], __ATOMIC_ACQUIRE) != life)
        bench_sleep(50000);
    while (!(handle = k->open(seg, sends)))
        ;
    for (uint64_t n = 1; !__atomic_load_n(&stage->stop, __ATOMIC_RELAXED); n++)
        if (sends)
            k->send(handle, n);
        else if (k->receive(handle))
            __atomic_store_n(&stage->received[role], stage->received[role] + 1, __ATOMIC_RELAXED);
    _exit(0); /* which is a death, too: nothing is looked at after it */
}

static double rate(const struct kind *k, uint64_t ns, bool kills)
{
    struct tarn_options o = {.size = sizeof o, .initial = 4 << 20, .participants = 128};
    int roles = k->senders + k->receivers, life[ROLES] = {0};
    pid_t working[ROLES], standby[ROLES];
    uint64_t start, next, total = 0;
    tarn *seg;
    core_good(tarn_open("anon:", TARN_CREATE, &o, &seg), "tarn_open");
    memset(stage, 0, sizeof *stage);
    for (int i = 0; i < roles; i++) {
        stage->active[i] = 1;
        life[i] = 1;
        if ((working[i] = bench_fork()) == 0)
            live(k, seg, i, 1);
        if ((standby[i] = bench_fork()) == 0)
            live(k, seg, i, 2);
    }
    for (int i = k->senders; i < roles; i++)
        while (!__atomic_load_n(&stage->received[i], __ATOMIC_RELAXED))
            bench_sleep(100000);
    memset(stage->received, 0, sizeof stage->received);
    start = bench_now();
    next = start + KILL_EVERY_NS;
    for (int turn = 0; bench_now() - start < ns; turn++, next += KILL_EVERY_NS) {
        uint64_t now = bench_now();
        int i = turn % roles;
        if (now < next)
            bench_sleep(next - now);
        if (!kills)
            continue;
        kill(working[i], SIGKILL);
        __atomic_store_n(&stage->active[i], ++life[i], __ATOMIC_RELEASE);
        bench_join(working[i], SIGKILL, k->figure);
        working[i] = standby[i];
        if ((standby[i] = bench_fork()) == 0)
            live(k, seg, i, life[i] + 1);
    }
    ns = bench_now() - start;
    for (int i = 0; i < roles; i++)
        total += __atomic_load_n(&stage->received[i], __ATOMIC_RELAXED);
    __atomic_store_n(&stage->stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < roles; i++) {
        kill(standby[i], SIGKILL);
        bench_join(standby[i], SIGKILL, k->figure);
        bench_join(working[i], 0, k->figure);
    }
    core_good(tarn_recover(seg), "tarn_recover");
    core_close(seg);
    if (!total)
        bench_die("%s: nothing came", k->figure);
    return (double)total * 1e9 / (double)ns;
}

/* The rate with kills over the rate without, one after the other, the order changing. */
static double ratio(void *state, int repetition)
{
    const struct kind *k = state;
    uint64_t ns = bench_quick() ? 200000000 : 500000000;
    bool kills_first = repetition & 1;
    double first = rate(k, ns, kills_first), second = rate(k, ns, !kills_first);
    return kills_first ? first / second : second / first;
}

void channel_kills(void)
{
    if (!stage)
        stage = bench_shared(sizeof *stage);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bench_wanted(kinds[i].figure))
            bench_print(kinds[i].figure, channel_median(ratio, (void *)&kinds[i]), "ratio");
}

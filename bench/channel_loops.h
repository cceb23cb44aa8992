/* bench/channel_loops.h - the loops that drive a lane, for one kind of it and one size of message. Included several times.
 *
 *     #define LANE lane_ring_8          the struct lane that is defined here
 *     #define LANE_NAME "tarn"
 *     #define LANE_MAKE ring_make       a function
 *     #define LANE_SEND(handle, message, n)     whether it was sent: inline, waits for nothing (in a rally that sleeps, it waits)
 *     #define LANE_RECEIVE(handle, message, n)  whether one came
 * and, where they are not as below:
 *     #define LANE_SIZE 64              bytes of a message, constant
 *     #define LANE_BATCH 32             messages that one SEND and one RECEIVE move at most: of n, they return how many
 *     #define LANE_DESTROY, LANE_ENTER, LANE_LEAVE   functions
 *
 * SPDX-License-Identifier: MIT */
#include "channel.h"

#ifndef LANE_SIZE
#define LANE_SIZE 8
#endif
#ifndef LANE_BATCH
#define LANE_BATCH 1
#endif
#ifndef LANE_DESTROY
#define LANE_DESTROY NULL
#endif
#ifndef LANE_ENTER
#define LANE_ENTER NULL
#endif
#ifndef LANE_LEAVE
#define LANE_LEAVE NULL
#endif

#define LANE_JOIN_(a, b) a##_##b
#define LANE_JOIN(a, b) LANE_JOIN_(a, b)
#define LANE_PART(name) LANE_JOIN(LANE, name)
#define LANE_WORDS (LANE_SIZE / 8)

static void LANE_PART(produce)(void *handle, struct traffic *t, int who)
{
    uint64_t message[LANE_BATCH * LANE_WORDS], n = 0;
    while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 64; i += LANE_BATCH) {
            uint64_t left = LANE_BATCH;
            for (uint64_t b = 0; b < LANE_BATCH; b++)
                for (uint64_t w = 0; w < LANE_WORDS; w++)
                    message[b * LANE_WORDS + w] = channel_word(who, n + b + 1) + w;
            while (left) {
                uint64_t sent = (uint64_t)LANE_SEND(handle, message + (LANE_BATCH - left) * LANE_WORDS, left);
                left -= sent;
                if (!sent)
                    channel_rest(t->crowded);
            }
            n += LANE_BATCH;
        }
    }
    t->side[who].sent = n;
    __atomic_store_n(&t->side[who].done, 1, __ATOMIC_RELEASE);
}

/* All that was sent has been received, by all receivers together. */
static bool LANE_PART(all_came)(struct traffic *t)
{
    uint64_t sent = 0, received = 0;
    for (int i = 0; i < t->senders; i++) {
        if (!__atomic_load_n(&t->side[i].done, __ATOMIC_ACQUIRE))
            return false;
        sent += t->side[i].sent;
    }
    for (int i = t->senders; i < t->senders + t->receivers; i++)
        received += __atomic_load_n(&t->side[i].received, __ATOMIC_ACQUIRE);
    return sent == received;
}

static void LANE_PART(consume)(void *handle, struct traffic *t, int who)
{
    uint64_t message[LANE_BATCH * LANE_WORDS], n = 0, last[CHANNEL_SIDES] = {0}, sum[CHANNEL_SIDES] = {0};
    for (;;) {
        uint64_t came = (uint64_t)LANE_RECEIVE(handle, message, (uint64_t)LANE_BATCH);
        for (uint64_t b = 0; b < came; b++) {
            uint64_t from = message[b * LANE_WORDS] >> 56, number = message[b * LANE_WORDS] << 8 >> 8;
            if (from >= (uint64_t)t->senders || number <= last[from] ||
                (t->receivers == 1 && number != last[from] + 1))
                bench_die("%s: message %llu of sender %llu came after %llu", LANE_NAME, (unsigned long long)number,
                          (unsigned long long)from, (unsigned long long)last[from % CHANNEL_SIDES]);
            for (uint64_t w = 1; w < LANE_WORDS; w++)
                if (message[b * LANE_WORDS + w] != message[b * LANE_WORDS] + w)
                    bench_die("%s: word %llu of message %llu is another's", LANE_NAME, (unsigned long long)w,
                              (unsigned long long)number);
            last[from] = number;
            sum[from] += number;
        }
        n += came;
        if (came) {
            if (__atomic_load_n(&t->stop, __ATOMIC_RELAXED))
                __atomic_store_n(&t->side[who].received, n, __ATOMIC_RELEASE);
            continue;
        }
        if (__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
            __atomic_store_n(&t->side[who].received, n, __ATOMIC_RELEASE);
            if (LANE_PART(all_came)(t))
                break;
        }
        channel_rest(t->crowded);
    }
    for (int i = 0; i < t->senders; i++)
        t->sum[who][i] = sum[i];
}

/* One ball: written and read whole at each side, in one place that stays where it is. */
static uint64_t LANE_PART(ball)[LANE_WORDS * LANE_BATCH];

CHANNEL_INLINE void LANE_PART(send)(void *out, uint64_t ball)
{
    uint64_t *message = LANE_PART(ball);
    for (uint64_t w = 0; w < LANE_WORDS; w++)
        message[w] = ball + w;
    while (!LANE_SEND(out, message, (uint64_t)1))
        ;
}
CHANNEL_INLINE void LANE_PART(receive)(void *in, uint64_t ball)
{
    uint64_t *message = LANE_PART(ball), wrong = 0;
    while (!LANE_RECEIVE(in, message, (uint64_t)1))
        ;
    for (uint64_t w = 0; w < LANE_WORDS; w++)
        wrong |= message[w] ^ (ball + w);
    if (wrong)
        bench_die("%s: round %llu brought another message", LANE_NAME, (unsigned long long)ball / 2);
}
CHANNEL_INLINE void LANE_PART(round)(void *out, void *in, int side, uint64_t number)
{
    channel_toss(out, in, side, number, LANE_PART(send), LANE_PART(receive));
}
static void LANE_PART(rally)(void *out, void *in, struct rally *r, int side)
{
    channel_rounds(r, side, out, in, LANE_PART(round));
}

const struct lane LANE = {LANE_NAME,  LANE_SIZE,          LANE_MAKE,          LANE_DESTROY,    LANE_ENTER,
                          LANE_LEAVE, LANE_PART(produce), LANE_PART(consume), LANE_PART(rally)};

#undef LANE_WORDS
#undef LANE_PART
#undef LANE_JOIN
#undef LANE_JOIN_
#undef LANE
#undef LANE_NAME
#undef LANE_SIZE
#undef LANE_MAKE
#undef LANE_DESTROY
#undef LANE_ENTER
#undef LANE_LEAVE
#undef LANE_SEND
#undef LANE_RECEIVE
#undef LANE_BATCH

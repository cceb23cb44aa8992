/* bench/channel.h - bench-channel: lanes that carry messages between processes, ours and the peers', all driven by the same loops.
 *
 * A lane's kind includes channel_loops.h behind its own ways to send and to receive, so that the loops have no call between messages that the
 * kind does not make itself.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include "harness.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SENDER = 1, RECEIVER = 2 };
enum { CHANNEL_CAPACITY = 1024, CHANNEL_BATCH = 32, CHANNEL_SIDES = 10 };

/* In memory that all share. Senders number their messages from 1. */
struct traffic {
    int go __attribute__((aligned(128)));
    int stop, senders, receivers;
    bool crowded; /* more processes than cpus: who has nothing to do yields */
    struct {
        int ready, done;
        uint64_t sent, received;
    } side[CHANNEL_SIDES] __attribute__((aligned(128)));
    uint64_t sum[CHANNEL_SIDES][CHANNEL_SIDES] __attribute__((aligned(128))); /* [receiver][sender]: of numbers */
};

/* A ball to and fro: rounds counted from 1, and timed in so many parts. */
enum { RALLY_PARTS = 64 };
struct rally {
    uint64_t part; /* rounds of each */
    double ns;     /* the median of a round's time, by side 0 */
};

struct lane {
    const char *name;
    size_t size;                             /* bytes of a message: 8 or 64, or more */
    void *(*make)(size_t size);              /* before the processes are forked */
    void (*destroy)(void *lane);             /* NULL: nothing to do */
    void *(*enter)(void *lane, int role);    /* in each; what the loops are given. NULL: the lane itself */
    void (*leave)(void *lane, void *handle); /* NULL: nothing to do */
    void (*produce)(void *handle, struct traffic *t, int who);
    void (*consume)(void *handle, struct traffic *t, int who);
    void (*rally)(void *out, void *in, struct rally *r, int side);
};

/* ns a message, with so many of each on all cpus; checked: nothing lost, nothing twice, in order. */
double channel_flow(const struct lane *lane, int senders, int receivers, uint64_t ns);
/* ns a round trip over two lanes, each side on a cpu of its own. rounds: a multiple of RALLY_PARTS. */
double channel_rally(const struct lane *lane, uint64_t rounds);
/* The median of repetitions: as bench_reps says of 7, 64 at most. */
double channel_median(double (*sample)(void *state, int repetition), void *state);

/* The rate of a kind of channel while one of its parties is killed every 10 ms and a standby, forked beforehand, takes over, over the rate undisturbed. */
void channel_kills(void);

/* What a lane's rally is: one side's rounds, all in one place, counted and timed. `round` is inlined. */
#define CHANNEL_INLINE static inline __attribute__((always_inline))
CHANNEL_INLINE void channel_rounds(struct rally *r, int side, void *out, void *in,
                                   void (*round)(void *out, void *in, int side, uint64_t number))
{
    double took[RALLY_PARTS];
    uint64_t number = 0;
    for (int part = 0; part < RALLY_PARTS; part++) {
        uint64_t start = bench_now();
        for (uint64_t i = 0; i < r->part; i++)
            round(out, in, side, ++number);
        took[part] = (double)(bench_now() - start) / (double)r->part;
    }
    if (side == 0)
        r->ns = bench_quantile(took, RALLY_PARTS, 0.5);
}
/* A round of it: side 0 sends one, side 1 sends another back. */
CHANNEL_INLINE void channel_toss(void *out, void *in, int side, uint64_t number,
                                 void (*send)(void *out, uint64_t ball), void (*receive)(void *in, uint64_t ball))
{
    for (uint64_t half = 0; half < 2; half++)
        if (half == (uint64_t)side)
            send(out, 2 * number + half);
        else
            receive(in, 2 * number + half);
}

/* What a message says in each of its words. */
static inline uint64_t channel_word(int who, uint64_t number)
{
    return (uint64_t)(unsigned)who << 56 | number;
}
void channel_rest(bool crowded);

/* A big message, written whole where it lies, and read whole. */
static inline void channel_body_write(uint64_t *body, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size / 8; i++)
        body[i] = number + i;
}
static inline void channel_body_read(const uint64_t *body, size_t size, uint64_t number, const char *name)
{
    uint64_t wrong = 0;
    for (size_t i = 0; i < size / 8; i++)
        wrong |= body[i] ^ (number + i);
    if (wrong)
        bench_die("%s: message %llu is another", name, (unsigned long long)number);
}

extern const struct lane lane_ring_8, lane_ring_64, lane_ring_batch_8, lane_ring_sleep_8;
extern const struct lane lane_mq_8;
extern const struct lane lane_topic_64, lane_topic_64k, lane_topic_fan;
extern const struct lane lane_call_8;
extern const struct lane lane_lamport_8, lane_lines_8, lane_lines_64, lane_futex_8, lane_bare_64k;
extern const struct lane lane_rte_8, lane_rte_64, lane_rte_batch_8, lane_rte_mpmc_8;
extern const struct lane lane_ck_mpmc_8;
extern const struct lane lane_boost_mq_8, lane_zmq_8;

#ifdef __cplusplus
}
#endif
#endif

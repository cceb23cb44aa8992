/* bench/channel_main.c - bench-channel: ring, message queue, topic and call beside bare cache lines and futexes, DPDK, Concurrency Kit, Boost and ZeroMQ.
 *
 * Only tarn.h and tarn/channel.h are used, and the shared library. Capacity 1,024 where nothing else is said.
 *
 * SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "channel.h"

#define FLOW_NS (bench_quick() ? 60000000u : 200000000u)
#define ROUNDS 64000u
#define SLEEP_ROUNDS 3200u

struct setting {
    const struct lane *lane;
    int senders, receivers;
    uint64_t rounds; /* of a rally; 0: a flow */
};

static double sample(void *state)
{
    const struct setting *s = state;
    return s->rounds ? channel_rally(s->lane, s->rounds)
                     : channel_flow(s->lane, s->senders, s->receivers, FLOW_NS);
}

static void compare(const char *figure, const struct setting *ours, const struct setting *peers, int count)
{
    struct contender me = {ours->lane->name, sample, (void *)ours}, them[BENCH_PEERS];
    struct outcome outcome;
    if (!bench_wanted(figure))
        return;
    for (int i = 0; i < count; i++)
        them[i] = (struct contender){peers[i].lane->name, sample, (void *)&peers[i]};
    bench_compare(figure, "ns", &me, them, count, bench_reps(7), true, &outcome);
}

/* Without a peer. */
static double again(void *state, int repetition)
{
    (void)repetition;
    return sample(state);
}
static double again_rate(void *state, int repetition)
{
    return 1e9 / again(state, repetition);
}
static void alone(const char *figure, const char *unit, const struct setting *ours, bool rate)
{
    if (bench_wanted(figure))
        bench_print(figure, channel_median(rate ? again_rate : again, (void *)ours), unit);
}

static const char *const figures[] = {"channel.rtt.8B",
                                      "channel.rtt.64B",
                                      "channel.rtt_sleep.8B",
                                      "channel.spsc.8B",
                                      "channel.spsc_batch.8B",
                                      "channel.spsc.64B",
                                      "channel.mpmc.8B",
                                      "channel.queue.8B",
                                      "channel.topic.rtt.64B_ns",
                                      "channel.topic.64K",
                                      "channel.topic.fan8",
                                      "channel.call.rtt",
                                      "channel.spsc.under_kills",
                                      "channel.mpmc.under_kills",
                                      "channel.topic.under_kills",
                                      "channel.call.under_kills",
                                      NULL};

int main(int argc, char **argv)
{
    bench_start(argc, argv, "channel", figures);
    compare("channel.rtt.8B", &(struct setting){&lane_ring_8, 1, 1, ROUNDS},
            &(struct setting){&lane_lines_8, 1, 1, ROUNDS}, 1);
    compare("channel.rtt.64B", &(struct setting){&lane_ring_64, 1, 1, ROUNDS},
            &(struct setting){&lane_lines_64, 1, 1, ROUNDS}, 1);
    compare("channel.rtt_sleep.8B", &(struct setting){&lane_ring_sleep_8, 1, 1, SLEEP_ROUNDS},
            &(struct setting){&lane_futex_8, 1, 1, SLEEP_ROUNDS}, 1);
    compare("channel.spsc.8B", &(struct setting){&lane_ring_8, 1, 1, 0},
            (struct setting[]){{&lane_lamport_8, 1, 1, 0}, {&lane_rte_8, 1, 1, 0}}, 2);
    compare("channel.spsc_batch.8B", &(struct setting){&lane_ring_batch_8, 1, 1, 0},
            &(struct setting){&lane_rte_batch_8, 1, 1, 0}, 1);
    compare("channel.spsc.64B", &(struct setting){&lane_ring_64, 1, 1, 0},
            &(struct setting){&lane_rte_64, 1, 1, 0}, 1);
    compare("channel.mpmc.8B", &(struct setting){&lane_mq_8, 2, 2, 0},
            (struct setting[]){{&lane_ck_mpmc_8, 2, 2, 0}, {&lane_rte_mpmc_8, 2, 2, 0}}, 2);
    compare("channel.queue.8B", &(struct setting){&lane_mq_8, 1, 1, 0},
            (struct setting[]){{&lane_boost_mq_8, 1, 1, 0}, {&lane_zmq_8, 1, 1, 0}}, 2);
    alone("channel.topic.rtt.64B_ns", "ns", &(struct setting){&lane_topic_64, 1, 1, ROUNDS}, false);
    compare("channel.topic.64K", &(struct setting){&lane_topic_64k, 1, 1, 1280},
            &(struct setting){&lane_bare_64k, 1, 1, 1280}, 1);
    alone("channel.topic.fan8", "messages/s", &(struct setting){&lane_topic_fan, 1, 8, 0}, true);
    compare("channel.call.rtt", &(struct setting){&lane_call_8, 1, 1, ROUNDS},
            &(struct setting){&lane_lines_8, 1, 1, ROUNDS}, 1);
    channel_kills();
    return 0;
}

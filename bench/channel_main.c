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

static const char *const figures[] = {"channel.call.rtt", NULL};

int main(int argc, char **argv)
{
    bench_start(argc, argv, "channel", figures);
    compare("channel.call.rtt", &(struct setting){&lane_call_8, 1, 1, ROUNDS},
            &(struct setting){&lane_lines_8, 1, 1, ROUNDS}, 1);
    return 0;
}

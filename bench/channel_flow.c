/* bench/channel_flow.c - processes that send and receive over one lane, or to and fro over two.
 *
 * SPDX-License-Identifier: MIT */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"

void channel_rest(bool crowded)
{
    if (crowded)
        sched_yield();
#ifdef __x86_64__
    else
        __builtin_ia32_pause();
#endif
}

static void *enter(const struct lane *lane, void *at, int role)
{
    return lane->enter ? lane->enter(at, role) : at;
}
static void leave(const struct lane *lane, void *at, void *handle)
{
    if (lane->leave)
        lane->leave(at, handle);
}

static void __attribute__((noreturn)) be(const struct lane *lane, void *at, struct traffic *t, int who)
{
    bool sends = who < t->senders;
    void *handle;
    bench_pin(sends ? who % bench_cpus() : (who - t->senders + 1) % bench_cpus());
    handle = enter(lane, at, sends ? SENDER : RECEIVER);
    __atomic_store_n(&t->side[who].ready, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&t->go, __ATOMIC_ACQUIRE))
        channel_rest(t->crowded);
    (sends ? lane->produce : lane->consume)(handle, t, who);
    leave(lane, at, handle);
    _exit(0);
}

/* Each number of each sender came once, so far as sums can tell. */
static uint64_t check(const struct lane *lane, const struct traffic *t)
{
    uint64_t all = 0;
    for (int i = 0; i < t->senders; i++) {
        uint64_t n = t->side[i].sent, sum = 0;
        for (int k = t->senders; k < t->senders + t->receivers; k++)
            sum += t->sum[k][i];
        if (sum != n * (n + 1) / 2)
            bench_die("%s: sender %d sent 1 to %llu, and the numbers received do not add up to it",
                      lane->name, i, (unsigned long long)n);
        all += n;
    }
    return all;
}

double channel_flow(const struct lane *lane, int senders, int receivers, uint64_t ns)
{
    static struct traffic *t;
    void *at = lane->make(lane->size);
    pid_t child[CHANNEL_SIDES];
    uint64_t start, n;
    double took;
    if (!t)
        t = bench_shared(sizeof *t);
    memset(t, 0, sizeof *t);
    t->senders = senders;
    t->receivers = receivers;
    t->crowded = senders + receivers > bench_cpus();
    for (int i = 0; i < senders + receivers; i++)
        if ((child[i] = bench_fork()) == 0)
            be(lane, at, t, i);
    for (int i = 0; i < senders + receivers; i++)
        while (!__atomic_load_n(&t->side[i].ready, __ATOMIC_ACQUIRE))
            bench_sleep(100000);
    start = bench_now();
    __atomic_store_n(&t->go, 1, __ATOMIC_RELEASE);
    bench_sleep(ns);
    __atomic_store_n(&t->stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < senders + receivers; i++)
        bench_join(child[i], 0, lane->name);
    took = (double)(bench_now() - start);
    n = check(lane, t);
    if (lane->destroy)
        lane->destroy(at);
    return took / (double)n;
}

double channel_rally(const struct lane *lane, uint64_t rounds)
{
    static struct rally *r;
    void *at[2] = {lane->make(lane->size), lane->make(lane->size)};
    pid_t child[2];
    double ns;
    if (!r)
        r = bench_shared(sizeof *r);
    *r = (struct rally){.part = rounds / RALLY_PARTS};
    for (int side = 0; side < 2; side++)
        if ((child[side] = bench_fork()) == 0) {
            void *out, *in;
            bench_pin(side);
            out = enter(lane, at[side], SENDER);
            in = enter(lane, at[!side], RECEIVER);
            lane->rally(out, in, r, side);
            leave(lane, at[side], out);
            leave(lane, at[!side], in);
            _exit(0);
        }
    for (int side = 0; side < 2; side++)
        bench_join(child[side], 0, lane->name);
    ns = r->ns;
    for (int i = 0; i < 2 && lane->destroy; i++)
        lane->destroy(at[i]);
    return ns;
}

double channel_median(double (*sample)(void *state, int repetition), void *state)
{
    double value[64];
    int reps = bench_reps(7) < 64 ? bench_reps(7) : 64;
    for (int i = 0; i < reps; i++)
        value[i] = sample(state, i);
    return bench_quantile(value, reps, 0.5);
}

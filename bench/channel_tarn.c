/* bench/channel_tarn.c - ours: call. Ring, message queue and topic follow.
 *
 * SPDX-License-Identifier: MIT */
#include <tarn/channel.h>

#include "channel.h"
#include "core.h"

static const struct tarn_channel_options usual = {
    .size = sizeof usual, .capacity = CHANNEL_CAPACITY, .message = 64, .parties = 16};

static void *segment(size_t size)
{
    (void)size;
    return core_segment(1 << 20);
}
static void destroy(void *seg)
{
    core_close(seg);
}

/* ---- call: side 0 asks, side 1 answers; each looks all the time --------------------------------------------------------- */

static void *call_enter(void *seg, int role)
{
    tarn_call *call;
    core_good(tarn_call_open(seg, "call", TARN_CREATE | (role == SENDER ? TARN_SEND : TARN_RECEIVE), &usual, &call),
              "tarn_call_open");
    return call;
}
static void call_leave(void *seg, void *call)
{
    (void)seg;
    core_good(tarn_call_close(call), "tarn_call_close");
}

/* Side 0 is client by lane 0, which is `out` to it and `in` to side 1. */
static void call_rally(void *out, void *in, struct rally *r, int side)
{
    tarn_call *call = side == 0 ? out : in;
    double took[64];
    uint64_t number = 0;
    for (uint64_t c = 0; c < r->rounds / r->chunk; c++) {
        uint64_t start = bench_now();
        for (uint64_t i = 0; i < r->chunk; i++) {
            uint64_t question = ++number, answer = 0;
            size_t size = 0;
            if (side == 0) {
                core_good(tarn_call_ask(call, 0, &question, sizeof question, &answer, sizeof answer, &size),
                          "tarn_call_ask");
                if (size != 8 || answer != bench_mix(question))
                    bench_die("call %llu was answered wrongly", (unsigned long long)number);
            } else {
                struct tarn_request request;
                while (tarn_call_next_try(call, &request) < 0)
                    ;
                answer = bench_mix(*(const uint64_t *)request.at);
                core_good(tarn_call_answer(call, request.id, &answer, sizeof answer), "tarn_call_answer");
            }
        }
        took[c % 64] = (double)(bench_now() - start) / (double)r->chunk;
    }
    if (side == 0)
        r->ns = bench_quantile(took, 64, 0.5);
}

const struct lane lane_call_8 = {.name = "tarn",
                                 .size = 8,
                                 .make = segment,
                                 .destroy = destroy,
                                 .enter = call_enter,
                                 .leave = call_leave,
                                 .rally = call_rally};

/* oracle_ring.c - what the oracle sees of the ring "ring" of operations_ring.c. */
#include <string.h>

#include "channel/ring.h"
#include "lab.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

/* The messages not released, as a receiver would find them, who changes nothing. */
uint64_t ring_contents(tarn *seg)
{
    struct tarn_channel_stat stat;
    struct tarn_ring r = {0};
    tarn_ref ref;
    uint64_t h = 41;
    if (tarn_find(seg, "ring", NULL, &ref))
        return 0;
    if (channel_look(seg, "ring", &r.party) || tarn_channel_stat(seg, "ring", &stat))
        return 43;
    if (ring_at_head(&r))
        return 47;
    h = mix(mix(h, stat.sent), stat.received);
    for (uint64_t i = 0; i < 1000; i++) {
        const void *message;
        uint64_t size, first = 0;
        int e = ring_front(&r, &message, &size);
        if (e)
            return e == -EAGAIN && i == stat.waiting ? h : 53;
        memcpy(&first, message, size < 8 ? size : 8);
        h = mix(mix(h, first), size);
        ring_next(&r);
    }
    return 59;
}

/* All dead are recovered: both ends can be opened; what is there comes; and as much goes in as a ring has room for, and comes out again. */
const char *judge_ring(tarn *seg)
{
    char text[64] = "";
    struct tarn_channel_stat stat;
    tarn_ring *out, *in;
    tarn_ref ref;
    uint64_t n = 0, size, number = 0;
    if (tarn_find(seg, "ring", NULL, &ref))
        return NULL;
    if (tarn_ring_open(seg, "ring", TARN_SEND, NULL, &out) ||
        tarn_ring_open(seg, "ring", TARN_RECEIVE, NULL, &in) || tarn_channel_stat(seg, "ring", &stat))
        return "a ring cannot be opened";
    while (tarn_ring_receive_try(in, text, sizeof text, &size) == 0)
        n++;
    if (n != stat.waiting)
        return "a ring has not the messages that it says it has";
    for (n = 0; tarn_ring_send_try(out, &n, 8) == 0;)
        n++;
    if (n != (in->shape.bytes ? in->shape.capacity / 16 - 1 : in->shape.capacity) &&
        n != in->shape.capacity / 16 - 2) /* of bytes, with a skip */
        return "a ring has lost room";
    for (uint64_t i = 0; i < n; i++)
        if (tarn_ring_receive_try(in, &number, 8, &size) || number != i)
            return "a ring does not pass on its messages";
    if (tarn_channel_stat(seg, "ring", &stat) || stat.waiting || stat.senders != 1 || stat.receivers != 1)
        return "a seat of a ring is a dead one's";
    return tarn_ring_close(out) || tarn_ring_close(in) ? "a ring cannot be closed" : NULL;
}

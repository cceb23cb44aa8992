/* oracle_topic.c - what the oracle sees of the topic "topic" of operations_topic.c. */
#include "../topic.h"
#include "lab.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

/* The messages that are kept, by position, number and size. */
uint64_t topic_contents(tarn *seg)
{
    struct party p;
    struct topic_view v;
    uint64_t next, h = 37;
    tarn_ref ref;
    if (tarn_find(seg, "topic", NULL, &ref))
        return 0;
    if (channel_look(seg, "topic", &p))
        return 41;
    topic_view_of(&p, &v);
    if (!topic_next(&v, &next))
        return 43;
    for (uint64_t i = next < topic_capacity(&v) ? 0 : next - topic_capacity(&v); i < next; i++) {
        uint64_t e = *entry_at(&v, i);
        if (!entry_is(e, i) || entry_chunk(e) >= v.count)
            return 47;
        h = mix(mix(h, i), *(uint64_t *)chunk_body(&v, entry_chunk(e)));
        h = mix(h, chunk_at(&v, entry_chunk(e))->size);
    }
    return mix(h, next);
}

/* All dead are recovered: somebody opens it, and then everything is in its place; and a message goes its way. */
const char *judge_topic(tarn *seg)
{
    const uint64_t sent = 1000;
    uint64_t got = 0;
    tarn_topic *t;
    const char *wrong;
    tarn_ref ref;
    if (tarn_find(seg, "topic", NULL, &ref))
        return NULL;
    if (tarn_topic_open(seg, "topic", TARN_SEND | TARN_RECEIVE, NULL, &t))
        return "a topic cannot be opened";
    wrong = topic_census(seg, "topic");
    if (!wrong && (tarn_topic_send_try(t, &sent, 8) || tarn_topic_receive_try(t, &got, 8, NULL) || got != sent))
        wrong = "a topic does not pass on a message";
    if (!wrong)
        wrong = topic_census(seg, "topic");
    return tarn_topic_close(t) ? "a topic cannot be closed" : wrong;
}

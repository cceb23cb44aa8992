/* topic.h - for tests: every chunk of a topic is one of: in an entry, owned by a seat that is taken and says so, or free. T1 to T6 of docs/channel.md,
 * while nobody is at it. */
#ifndef TARN_TEST_TOPIC_H
#define TARN_TEST_TOPIC_H

#include "channel/topic.h"

static inline bool topic_seat_says(const struct party *p, uint64_t word, uint32_t chunk)
{
    uint32_t i = (uint32_t)word;
    const struct topic_seat *s;
    if (word >> 32 != TOPIC_LOANED >> 32 || i >= p->shape.seats || !seat_at(p, i)->id)
        return false;
    s = (struct topic_seat *)(void *)seat_at(p, i)->own;
    for (int k = 0; k < TOPIC_HAND_MOST; k++)
        if (s->loan[k] == chunk + 1)
            return true;
    return s->making == chunk + 1;
}

/* NULL, or what is wrong. */
static inline const char *topic_census(tarn *seg, const char *name)
{
    struct party p;
    struct topic_view v;
    uint32_t owned[128] = {0}, named = 0;
    uint64_t next;
    if (channel_look(seg, name, &p) < 0)
        return "there is no such topic";
    topic_view_of(&p, &v);
    if (!topic_next(&v, &next))
        return "no entry leads on from next";
    for (uint64_t i = 0; i < topic_capacity(&v); i++)
        if (!entry_is(*entry_at(&v, next - 1 - i), next - 1 - i))
            return "an entry does not name its position";
    for (uint32_t c = 0; c < v.count; c++) {
        uint64_t word = chunk_at(&v, c)->word, entry = 0;
        uint32_t in = 0;
        for (uint64_t i = 0; i < topic_capacity(&v); i++)
            if (entry_chunk(v.entries[i]) == c) {
                entry = v.entries[i];
                in++;
            }
        if (in > 1)
            return "two entries name a chunk";
        named += in;
        if (word & TOPIC_LOANED) {
            if (!topic_seat_says(&p, word, c))
                return "a chunk is owned by a seat that does not say so: leaked";
            owned[word % 128]++;
        } else if (in && word != TOPIC_FREE && !entry_is(entry, word & ~TOPIC_PUBLISHED))
            return "a chunk says that it is another message than its entry";
        else if (in && word == TOPIC_FREE &&
                 entry >> TOPIC_CHUNK_BITS < (TOPIC_POSITION_MASK & (0 - topic_capacity(&v))))
            return "a message's chunk is free";
    }
    if (named != topic_capacity(&v))
        return "an entry names no chunk";
    for (uint32_t i = 0; i < p.shape.seats; i++) {
        const struct topic_seat *s = (struct topic_seat *)(void *)seat_at(&p, i)->own;
        if (owned[i % 128] > v.hand + 1)
            return "a seat owns more than it may";
        for (int k = 0; k < TOPIC_HAND_MOST; k++)
            if (!seat_at(&p, i)->id && (s->pin[k] || s->loan[k] || s->making || s->hold))
                return "a free seat has something in hand";
    }
    return NULL;
}

#endif

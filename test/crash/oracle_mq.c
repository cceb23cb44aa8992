/* oracle_mq.c - what the oracle sees of the message queue "mq" of operations_mq.c. */
#include <stdlib.h>

#include "channel/check.h"
#include "channel/mq.h"
#include "lab.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static int by_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The order of a message in somebody's hand, dead or alive; its seat has it. */
static uint32_t order_in_hand(const struct party *p, uint32_t chunk, uint32_t id)
{
    for (uint32_t i = 0; i < p->shape.seats; i++)
        for (int k = 0; k < MQ_HANDS && seat_at(p, i)->id == id; k++)
            if (mq_seat_of(seat_at(p, i))->hand[k] == chunk + 1)
                return mq_seat_of(seat_at(p, i))->order[k];
    return UINT32_MAX;
}

/* The messages that are there or in a hand, in their order. */
uint64_t mq_contents(tarn *seg)
{
    struct party p;
    struct mq q;
    uint64_t has[256], h = 41;
    size_t n = 0;
    tarn_ref ref;
    if (tarn_find(seg, "mq", NULL, &ref))
        return 0;
    if (channel_look(seg, "mq", &p))
        return 43;
    mq_of(&p, &q);
    for (uint32_t i = 0; i < q.count && n < 256; i++) {
        uint64_t w = *mq_word_at(&q, i), order;
        switch (MQ_WHAT(w)) {
        case MQ_SENT: { /* or is it to be? */
            uint64_t e = *mq_entry_at(&q, MQ_LEVEL(w) & 1, MQ_POSITION(w));
            if (mq_ahead(&q, e, MQ_POSITION(w)) || mq_entry_chunk(&q, e) != i)
                continue;
            order = mq_order(MQ_LEVEL(w), MQ_POSITION(w));
            break;
        }
        case MQ_AGAIN: order = MQ_ORDER(w); break;
        case MQ_TAKEN: order = order_in_hand(&p, i, MQ_ID(w)); break;
        default: continue;
        }
        has[n++] = order << 32 | *(uint64_t *)(void *)mq_body_at(&q, i);
    }
    qsort(has, n, sizeof *has, by_order);
    for (size_t i = 0; i < n; i++)
        h = mix(h, has[i]);
    return h;
}

/* All dead are recovered: somebody opens it, which clears their seats; then everything is in its place, nothing is in a dead hand, and messages go their way. */
const char *judge_mq(tarn *seg)
{
    const uint64_t sent = 1000;
    uint64_t got[13] = {0}, before, n = 0;
    tarn_mq *mq;
    const char *wrong;
    tarn_ref ref;
    if (tarn_find(seg, "mq", NULL, &ref))
        return NULL;
    before = mq_contents(seg);
    if (tarn_mq_open(seg, "mq", TARN_SEND | TARN_RECEIVE, NULL, &mq))
        return "a message queue cannot be opened";
    wrong = channel_fault(&mq->party, true);
    if (!wrong && mq_contents(seg) != before)
        wrong = "a message was lost with a dead party, or came twice";
    while (!wrong && n < 100 && tarn_mq_receive_try(mq, got, sizeof got, NULL) >= 0)
        n++;
    for (uint64_t i = 0; !wrong && i < 20; i++)
        if (tarn_mq_send_try(mq, i & 1, &sent, 8) || tarn_mq_receive_try(mq, got, sizeof got, NULL) || *got != sent)
            wrong = "a message queue does not pass on a message";
    if (!wrong)
        wrong = channel_fault(&mq->party, true);
    return tarn_mq_close(mq) ? "a message queue cannot be closed" : wrong;
}

/* channel/mq_check.c - what tarn_check asks of a message queue. Its words and Q1 to Q4: docs/channel.md
 *
 * At each instant, of a chunk whose word is
 *     SENT(p):  the entry of p names it;  or a seat says that this is the send under way
 *     FREE(p):  the entry of p names it;  or a seat says that it is got by the send under way at p + capacity
 *     OWNED(id), TAKEN(id):  a seat of that participant names it (asked of the dead and the gone alone: the living's names move)
 * A word SENT(p) or FREE(p) is never again what it was once it has changed. So who looks at word, entry, seats, entry and word, and finds the same word, has had it all the
 * time: a send that the first look at the entry found under way is told of by the seat, or has come to its place before the second. */
#include "channel/check.h"
#include "channel/mq.h"

enum { SUSPECTS = 64, POSITION_BITS = 58 };

struct suspect {
    uint64_t word;
    uint32_t chunk;
    bool named;
};

struct look {
    struct channel_check *c;
    struct mq q;
    uint32_t count;
    bool again;                       /* a chunk is AGAIN */
    struct suspect suspect[SUSPECTS]; /* in the order of chunks */
};

/* ---- entries ---- */

struct level {
    const struct mq *q;
    unsigned level;
};
static int64_t ahead(void *of, uint64_t position)
{
    const struct level *l = of;
    return mq_ahead(l->q, load64(mq_entry_at(l->q, l->level, position)), position);
}

static void check_level(struct look *l, unsigned level)
{
    const struct mq *q = &l->q;
    struct level of = {q, level};
    uint64_t tail = load64(&q->shared->tail[level]), head = load64(&q->shared->head[level]);
    uint64_t from = tail > head ? tail : head, end = from;
    if (tail <= q->mask)
        check_damage(l->c, &q->shared->tail[level], "a message queue's tail is before its first message");
    else if (head <= q->mask)
        check_damage(l->c, &q->shared->head[level], "a message queue's head is before its first message");
    else if (from >> POSITION_BITS || !places_in_order(from, q->mask + 1, ahead, &of, &end))
        check_damage(
            l->c, mq_entry_at(q, level, end), "a place of a message queue was never claimed, though its tail, its head or a place behind it was");
    for (uint64_t i = 0; i <= q->mask && !check_enough(l->c); i++) {
        const uint64_t *entry = mq_entry_at(q, level, i);
        uint64_t e = load64(entry), size = (e & ((1ull << q->lap_shift) - 1)) >> q->chunk_bits;
        if (mq_entry_chunk(q, e) >= q->count)
            check_damage(l->c, entry, "a place of a message queue has a chunk that is none");
        else if (size > q->most)
            check_damage(l->c, entry, "a message of a message queue is larger than it can be");
    }
}

/* ---- chunks ---- */

static const char *impossible(const struct look *l, uint64_t w)
{
    const struct mq *q = &l->q;
    switch (MQ_WHAT(w)) {
    case MQ_LOOSE: return w ? "a loose chunk of a message queue is something else besides" : NULL;
    case MQ_OWNED:
        return w == mq_owned(MQ_ID(w)) && check_is_id(l->c, MQ_ID(w))
                   ? NULL
                   : "a chunk of a message queue is nobody's that can be";
    case MQ_TAKEN:
        if (MQ_SIZE(w) > q->most)
            return "a message in a hand is larger than it can be";
        return check_is_id(l->c, MQ_ID(w)) ? NULL : "a chunk of a message queue is nobody's that can be";
    case MQ_SENT:
    case MQ_FREE:
        return MQ_LEVEL(w) < q->levels ? NULL : "a chunk of a message queue is of a priority that is none";
    case MQ_AGAIN:
        return MQ_SIZE(w) <= q->most && MQ_ORDER(w) >> MQ_ORDER_BITS < q->levels
                   ? NULL
                   : "a message that came back is larger than it can be, or of no priority";
    default: return "a chunk's word is none that a message queue has";
    }
}

/* Is it the message at the place that it says? */
static bool in_its_place(const struct mq *q, uint32_t chunk, uint64_t w)
{
    uint64_t e = load64(mq_entry_at(q, MQ_LEVEL(w), MQ_POSITION(w)));
    return mq_ahead(q, e, MQ_POSITION(w)) == 0 && mq_entry_chunk(q, e) == chunk;
}
static bool is_somebodys(uint64_t w)
{
    return MQ_WHAT(w) == MQ_OWNED || MQ_WHAT(w) == MQ_TAKEN;
}

static struct suspect *suspect_of(struct look *l, uint32_t name)
{
    uint32_t low = 0, high = l->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->suspect[middle].chunk < name - 1)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->count && l->suspect[low].chunk == name - 1 ? &l->suspect[low] : NULL;
}
static void named_as_own(struct look *l, uint32_t name, uint32_t id)
{
    struct suspect *s = name ? suspect_of(l, name) : NULL;
    if (s && is_somebodys(s->word) && MQ_ID(s->word) == id)
        s->named = true;
}

/* What this seat says of them. */
static void ask_seat(struct look *l, struct channel_seat *seat)
{
    const struct mq_seat *has = mq_seat_of(seat);
    uint32_t id = load32(&seat->id), sends = load32(&has->sends), gets = load32(&has->gets);
    uint64_t stamp = load64(&has->stamp);
    struct suspect *s;
    if (!id)
        return;
    if (!l->c->still) { /* else there is no send under way, and these are of the last one */
        if (sends && (s = suspect_of(l, sends)) && s->word == stamp)
            s->named = true;
        if (gets && (s = suspect_of(l, gets)) && MQ_WHAT(s->word) == MQ_FREE &&
            mq_sent(MQ_LEVEL(s->word), MQ_POSITION(s->word) + l->q.mask + 1) == stamp)
            s->named = true;
        named_as_own(l, sends, id);
        named_as_own(l, gets, id);
    }
    named_as_own(l, load32(&has->spare), id);
    for (int i = 0; i < MQ_HANDS; i++)
        named_as_own(l, load32(&has->hand[i]), id);
}
static void ask_seats(struct look *l)
{
    for (uint32_t i = 0; i < l->c->p->shape.seats; i++)
        ask_seat(l, seat_at(l->c->p, i));
}

static void judge(struct look *l)
{
    ask_seats(l);
    for (uint32_t i = 0; i < l->count; i++) {
        struct suspect *s = &l->suspect[i];
        s->named |= !is_somebodys(s->word) && in_its_place(&l->q, s->chunk, s->word);
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const struct suspect *s = &l->suspect[i];
        const uint64_t *word = mq_word_at(&l->q, s->chunk);
        if (s->named || load64(word) != s->word)
            continue;
        check_damage(l->c, word,
                     is_somebodys(s->word)
                         ? "a chunk of a message queue is somebody's who does not name it"
                         : "a chunk is sent or free at a place of a message queue that is another's");
    }
    l->count = 0;
}

static void check_chunk(struct look *l, uint32_t chunk)
{
    const uint64_t *word = mq_word_at(&l->q, chunk);
    uint64_t w = load64(word);
    const char *what = impossible(l, w);
    l->again |= MQ_WHAT(w) == MQ_AGAIN;
    if (what)
        check_damage(l->c, word, what);
    else if (is_somebodys(w) ? check_at_rest(l->c, MQ_ID(w))
                             : (MQ_WHAT(w) == MQ_SENT || MQ_WHAT(w) == MQ_FREE) && !in_its_place(&l->q, chunk, w))
        l->suspect[l->count++] = (struct suspect){.word = w, .chunk = chunk};
    if (l->count == SUSPECTS)
        judge(l);
}

/* ---- what parties say, and what they share ---- */

static void check_seat(struct look *l, struct channel_seat *seat)
{
    const struct mq *q = &l->q;
    const struct mq_seat *has = mq_seat_of(seat);
    uint64_t stamp = load64(&has->stamp);
    bool good =
        load32(&has->sends) <= q->count && load32(&has->gets) <= q->count && load32(&has->spare) <= q->count;
    for (int i = 0; i < MQ_HANDS; i++)
        good = good && load32(&has->hand[i]) <= q->count && load32(&has->order[i]) >> MQ_ORDER_BITS < q->levels;
    if (!good)
        check_damage(l->c, has,
                     "a party of a message queue has a chunk in hand, or a message's place, that is none");
    if (stamp && (MQ_WHAT(stamp) != MQ_SENT || MQ_LEVEL(stamp) >= q->levels))
        check_damage(l->c, &has->stamp, "a party of a message queue sends to a place that is none");
}

static void check_shared(struct look *l)
{
    const struct mq_shared *shared = l->q.shared;
    uint64_t intent = load64(&shared->intent), made = load64(&shared->made);
    if (intent && ((uint32_t)intent - 1 >= l->q.count || !check_is_id(l->c, (uint32_t)(intent >> 32))))
        check_damage(l->c, &shared->intent, "a message of the dead is being counted that is none");
    if (l->again && !intent && !made)
        check_damage(l->c, &shared->made, "a message came back from the dead, and nobody is told");
    if (load64(&shared->mixed) > 1)
        check_damage(l->c, &shared->mixed, "whether somebody found no chunk is neither yes nor no");
}

int mq_check(struct channel_check *c)
{
    struct look l = {.c = c};
    mq_of(c->p, &l.q);
    for (unsigned level = 0; level < l.q.levels; level++)
        check_level(&l, level);
    for (uint32_t i = 0; i < l.q.count && !check_enough(c); i++)
        check_chunk(&l, i);
    judge(&l);
    for (uint32_t i = 0; i < c->p->shape.seats && !check_enough(c); i++)
        if (load32(&seat_at(c->p, i)->id))
            check_seat(&l, seat_at(c->p, i));
    check_shared(&l);
    return 0;
}

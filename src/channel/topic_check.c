/* channel/topic_check.c - what tarn_check asks of a topic. Its words and T1 to T6: docs/channel.md
 *
 * At each instant
 *     entries name the last `capacity` positions before the true next one, each at its place;  true next - 1 <= next <= true next
 *     the chunk of the entry {p, c}, where p was published, is PUBLISHED(p), or LOANED to a seat whose claim is p
 *     a chunk PUBLISHED(p):  p < true next, and the entry of p names it or a later position
 *     a chunk LOANED(seat):  that seat names it (asked of the dead and of free seats alone: the living's names move)
 *     a seat with a pin is among the takers;  a free seat names nothing */
#include "channel/check.h"
#include "channel/topic.h"

struct look {
    struct channel_check *c;
    struct topic_view v;
};

static struct topic_seat *seat_of(const struct look *l, uint32_t i)
{
    return (struct topic_seat *)(void *)seat_at(l->c->p, i)->own;
}

/* How far what an entry names is from this position; a position's 40 bits are enough for that. */
static int64_t distance(uint64_t entry, uint64_t position)
{
    return (int64_t)(((entry >> TOPIC_CHUNK_BITS) - position) << TOPIC_CHUNK_BITS) >> TOPIC_CHUNK_BITS;
}
static int64_t ahead(void *of, uint64_t position)
{
    const struct topic_view *v = of;
    int64_t n = distance(load64(entry_at(v, position)), position);
    return n & (int64_t)v->mask ? -1 : n / (int64_t)topic_capacity(v);
}

/* ---- entries ---- */

/* The entry of this position, or of one a lap later. It changes seldom: if it is the same at the end, it was all the time, and its chunk was nobody's but its publisher's. */
static void check_entry(struct look *l, uint64_t position)
{
    const struct topic_view *v = &l->v;
    const uint64_t *entry = entry_at(v, position);
    uint64_t e = load64(entry), p = position + (uint64_t)distance(e, position), w;
    uint32_t chunk = entry_chunk(e), i;
    const uint64_t *word;
    bool sent;
    if (chunk >= v->count) {
        check_damage(l->c, entry, "an entry of a topic has a chunk that is none");
        return;
    }
    if ((int64_t)p < 0)
        return; /* before the first message: its chunk may be anybody's */
    word = &chunk_at(v, chunk)->word;
    w = load64(word);
    i = (uint32_t)w;
    sent = w == (TOPIC_LOANED | i) ? i < l->c->p->shape.seats && load64(&seat_of(l, i)->claim) == p
                                   : w == (TOPIC_PUBLISHED | p);
    if (!sent && load64(word) == w && load64(entry) == e)
        check_damage(l->c, entry, "an entry of a topic has a chunk that is none of its message");
}

static void check_entries(struct look *l)
{
    const struct topic_view *v = &l->v;
    uint64_t from = load64(&v->words->next), end;
    if (!places_in_order(from, topic_capacity(v), ahead, &l->v, &end)) {
        check_damage(
            l->c, entry_at(v, end), "an entry of a topic names no position that can be there, as far as its next one and the others say");
        return;
    }
    if ((int64_t)(load64(&v->words->next) + 1 - end) < 0)
        check_damage(l->c, &v->words->next, "a topic's next position is behind what was published");
    for (uint64_t at = end - topic_capacity(v); at != end && !check_enough(l->c); at++)
        check_entry(l, at);
}

/* ---- chunks ---- */

static const char *check_published(struct look *l, uint32_t chunk, uint64_t p)
{
    const struct topic_view *v = &l->v;
    uint64_t behind = load64(&v->words->next) - p, e;
    int64_t n;
    if ((int64_t)behind < 0)
        return "a chunk of a topic is of a message that was not published";
    if (behind >> (63 - TOPIC_CHUNK_BITS)) /* it was pinned for so long that an entry does not tell */
        return NULL;
    e = load64(entry_at(v, p));
    n = distance(e, p);
    return n < 0 || (n == 0 && entry_chunk(e) != chunk)
               ? "a chunk of a topic is of a message whose entry is another's"
               : NULL;
}

static bool names(const struct topic_seat *s, uint32_t name)
{
    bool found = load32(&s->making) == name; /* first: from there it goes into a loan */
    for (int i = 0; i < TOPIC_HAND_MOST; i++)
        found |= load32(&s->loan[i]) == name;
    return found;
}

/* Where nobody is who may have it in motion. */
static const char *check_loaned(struct look *l, uint32_t chunk, uint64_t w)
{
    const struct party *p = l->c->p;
    struct seats_mark mark = seats_mark(p);
    uint32_t i = (uint32_t)w, id;
    if (w != (TOPIC_LOANED | i) || i >= p->shape.seats)
        return "a chunk's word is none that a topic has";
    id = load32(&seat_at(p, i)->id);
    if ((id && !check_at_rest(l->c, id)) || names(seat_of(l, i), chunk + 1) ||
        load64(&chunk_at(&l->v, chunk)->word) != w)
        return NULL;
    return load32(&seat_at(p, i)->id) == id && (id || seats_still(p, mark))
               ? "a chunk of a topic is lent to a seat that does not have it"
               : NULL;
}

static void check_chunk(struct look *l, uint32_t chunk)
{
    const struct topic_chunk *at = chunk_at(&l->v, chunk);
    uint64_t w = load64(&at->word);
    const char *what = w & TOPIC_PUBLISHED ? check_published(l, chunk, w & ~TOPIC_PUBLISHED)
                       : w != TOPIC_FREE   ? check_loaned(l, chunk, w)
                                           : NULL;
    if (what)
        check_damage(l->c, &at->word, what);
    if (load32(&at->size) > l->v.size)
        check_damage(l->c, &at->size, "a message of a topic is larger than it can be");
}

/* ---- seats ---- */

static void check_seat(struct look *l, uint32_t i)
{
    struct seats_mark mark = seats_mark(l->c->p);
    const struct channel_seat *seat = seat_at(l->c->p, i);
    const struct topic_seat *s = seat_of(l, i);
    const struct topic_words *words = l->v.words;
    uint32_t id = load32(&seat->id), count = l->v.count, making = load32(&s->making), any = making;
    uint64_t at = load64(&seat->at), claim = load64(&s->claim), next = load64(&words->next) + 1;
    bool good = making <= count;
    for (int k = 0; k < TOPIC_HAND_MOST; k++) {
        uint32_t loan = load32(&s->loan[k]), pin = load32(&s->pin[k]);
        good = good && loan <= count && pin <= count;
        any |= loan | pin;
        if (id && pin && !(load64(&words->takers) >> i % 64 & 1) && load32(&s->pin[k]) == pin &&
            seats_still(l->c->p, mark))
            check_damage(l->c, &s->pin[k], "a message of a topic is in a hand, and publishers do not look there");
    }
    if (!id) {
        if (any && load32(&seat->id) == 0 && seats_still(l->c->p, mark))
            check_damage(l->c, s, "a free seat of a topic has a chunk in hand");
        return;
    }
    if (!good)
        check_damage(l->c, s, "a party of a topic has a chunk in hand that is none");
    if (load32(&s->hold) > TOPIC_HOLD_MOST)
        check_damage(l->c, &s->hold, "a subscriber of a topic holds publishers back for longer than may be");
    if ((int64_t)(next - at) < 0)
        check_damage(l->c, &seat->at, "a subscriber of a topic is beyond what was published");
    if ((int64_t)(next - claim) < 0)
        check_damage(l->c, &s->claim, "a publisher of a topic is beyond what was published");
}

int topic_check(struct channel_check *c)
{
    struct look l = {.c = c};
    const struct topic_words *words;
    topic_view_of(c->p, &l.v);
    words = l.v.words;
    check_entries(&l);
    for (uint32_t i = 0; i < l.v.count && !check_enough(c); i++)
        check_chunk(&l, i);
    for (uint32_t i = 0; i < c->p->shape.seats && !check_enough(c); i++)
        check_seat(&l, i);
    if ((uint32_t)load64(&words->holding) > c->p->shape.seats)
        check_damage(c, &words->holding, "more subscribers of a topic hold publishers back than there are seats");
    if (c->p->shape.seats < 64 && load64(&words->takers) >> c->p->shape.seats)
        check_damage(c, &words->takers, "a seat that there is not takes a topic's messages in place");
    return 0;
}

/* channel/topic.c - the topic as an object: its shape, owning chunks, publishing, holding back, what a death leaves. docs/channel.md
 *
 *     entry[i]: p -> p + capacity, by one swap that claims, publishes and evicts
 *     a chunk's word: FREE or PUBLISHED(evicted) -> LOANED(seat) -> PUBLISHED(p) or FREE
 * Nobody waits for another here: a swap that fails means that another one has published. */
#include "channel/topic.h"

enum { HAND_DEFAULT = 2, SWEEPS_MOST = 64, TRIES_MOST = 100000 };

int topic_damaged(const struct tarn_topic *t)
{
    return fail(-EUCLEAN, "the topic \"%s\" is damaged: run tarn check", t->party.name);
}

/* ---- shape ---- */

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t body_offset(const struct channel_shape *shape)
{
    return shape->size <= 32 ? 32 : 64;
}
static uint64_t entries_bytes(const struct channel_shape *shape)
{
    return round_up((uint64_t)shape->capacity * 8, 64);
}
static uint64_t chunk_bytes(const struct channel_shape *shape)
{
    return round_up(body_offset(shape) + (uint64_t)shape->size, 64);
}

static uint64_t topic_bytes(struct channel_shape *shape)
{
    uint64_t chunks;
    if (shape->flags) {
        fail(-EINVAL, "a topic has no flags: options.flags is %#x", shape->flags);
        return 0;
    }
    if (!shape->number[0])
        shape->number[0] = HAND_DEFAULT;
    if (shape->number[0] > TOPIC_HAND_MOST) {
        fail(-EINVAL, "a topic with %u messages in hand (options.number): 1 to %d", shape->number[0],
             TOPIC_HAND_MOST);
        return 0;
    }
    chunks = shape->capacity + (uint64_t)shape->seats * (shape->number[0] + 1);
    if (chunks >= TOPIC_CHUNKS_MOST) {
        fail(-EINVAL, "a topic of %u messages and %u parties: too many", shape->capacity, shape->seats);
        return 0;
    }
    shape->number[1] = (uint32_t)chunks;
    return entries_bytes(shape) + chunks * chunk_bytes(shape);
}

void topic_view_of(const struct party *p, struct topic_view *ret)
{
    const struct channel_shape *shape = &p->shape;
    *ret = (struct topic_view){.words = (struct topic_words *)(void *)p->channel->own,
                               .entries = (uint64_t *)(void *)p->slots,
                               .chunks = p->slots + entries_bytes(shape),
                               .mask = shape->capacity - 1,
                               .stride = chunk_bytes(shape),
                               .count = shape->number[1],
                               .body = body_offset(shape),
                               .size = shape->size,
                               .hand = shape->number[0]};
}

static struct topic_seat *topic_seat(struct channel_seat *seat)
{
    return (struct topic_seat *)(void *)seat->own;
}

/* Before the first message each entry names one that never was, a capacity earlier. */
static void fill(struct channel *c, char *slots)
{
    uint64_t *entries = (uint64_t *)(void *)slots, capacity = c->shape.capacity;
    for (uint64_t i = 0; i < capacity; i++)
        entries[i] = entry_make(i - capacity, (uint32_t)i);
}

bool topic_next(const struct topic_view *v, uint64_t *ret_next)
{
    uint64_t n = load64(&v->words->next);
    for (uint64_t i = 0; i < topic_capacity(v) + TRIES_MOST; i++) {
        uint64_t e = load64(entry_at(v, n));
        if (entry_is(e, n))
            n++;
        else if (entry_is(e, n - topic_capacity(v))) {
            *ret_next = n;
            return true;
        } else
            n = load64(&v->words->next); /* it was overtaken */
    }
    return false;
}

/* ---- owning a chunk ---- */

/* Does a seat read it in place? Looked at after the chunk was taken: who pins it now sees that it was evicted (pairs with tarn_topic_take). */
static bool is_pinned(const struct tarn_topic *t, uint32_t chunk)
{
    uint64_t takers = __atomic_load_n(&t->view.words->takers, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; takers && i < t->party.shape.seats; i++) {
        const struct topic_seat *seat = topic_seat(seat_at(&t->party, i));
        if (!(takers >> i % 64 & 1))
            continue;
        for (int k = 0; k < TOPIC_HAND_MOST; k++)
            if (__atomic_load_n(&seat->pin[k], __ATOMIC_SEQ_CST) == chunk + 1)
                return true;
    }
    return false;
}

/* Own this chunk, if nobody needs it. It is in seat.making before it is owned, so that it is found after a death. */
static bool own(struct tarn_topic *t, uint32_t chunk)
{
    const struct topic_view *v = &t->view;
    struct topic_chunk *c = chunk_at(v, chunk);
    uint64_t word = load64(&c->word), was = word;
    if (word & TOPIC_PUBLISHED) {
        uint64_t p = word & ~TOPIC_PUBLISHED;
        if (__atomic_load_n(entry_at(v, p), __ATOMIC_SEQ_CST) == entry_make(p, chunk))
            return false;
    } else if (word != TOPIC_FREE)
        return false;
    store32(&t->mine->making, chunk + 1);
    if (!swap64(&c->word, &was, TOPIC_LOANED | t->index))
        return false;
    if (TARN_RARE(is_pinned(t, chunk))) {
        store64(&c->word, word);
        return false;
    }
    t->making = chunk + 1;
    return true;
}

int topic_make(struct tarn_topic *t)
{
    if (t->making)
        return 0;
    for (uint32_t i = 0; i < t->spares; i++)
        if (own(t, t->spare[i])) {
            t->spares--;
            memmove(&t->spare[i], &t->spare[i + 1], (t->spares - i) * sizeof *t->spare);
            return 0;
        }
    /* by T6 one is free, unless others took it meanwhile */
    for (uint64_t i = 0; i < (uint64_t)t->view.count * SWEEPS_MOST; i++) {
        uint32_t chunk = t->scan;
        t->scan = chunk + 1 < t->view.count ? chunk + 1 : 0;
        if (own(t, chunk))
            return 0;
    }
    return topic_damaged(t);
}

void topic_make_of(struct tarn_topic *t, uint32_t chunk)
{
    if (TARN_RARE(chunk >= t->view.count))
        return; /* it says nothing that can be */
    if (!t->making && own(t, chunk)) {
        char *at = (char *)chunk_at(&t->view, chunk);
        for (uint32_t i = 64; i < 256 && i < t->view.stride; i += 64)
            __builtin_prefetch(at + i, 1);
        return;
    }
    if (t->spares == TOPIC_SPARES)
        memmove(t->spare, t->spare + 1, --t->spares * sizeof *t->spare);
    t->spare[t->spares++] = chunk;
}

/* ---- publishing ---- */

int topic_publish(struct tarn_topic *t, uint32_t chunk)
{
    const struct topic_view *v = &t->view;
    struct topic_words *words = v->words;
    uint64_t capacity = topic_capacity(v), p = load64(&words->next), e;
    for (uint64_t i = 0;; i++) {
        uint64_t *entry = entry_at(v, p);
        if (TARN_RARE(i == capacity + TRIES_MOST))
            return topic_damaged(t);
        e = load64(entry);
        if (TARN_RARE(!entry_is(e, p - capacity))) {
            if (entry_is(e, p)) /* of one who has not counted it up, or died before he could */
                topic_advance(v, p++);
            else
                p = load64(&words->next);
            continue;
        }
        if (TARN_RARE((uint32_t)load64(&words->holding)) && topic_held_back(t, p, NULL))
            return -EAGAIN;
        store64(&t->mine->claim, p);
        if (swap64(entry, &e, entry_make(p, chunk)))
            break;
    }
    if (t->making == chunk + 1)
        t->making = 0;
    store64(&chunk_at(v, chunk)->word, TOPIC_PUBLISHED | p);
    topic_advance(v, p);
    store64(&t->mine->sent, ++t->sent);
    doorbell_ring(&t->party, &t->party.channel->news, INT32_MAX);
    topic_make_of(t, entry_chunk(e));
    return 0;
}

/* ---- holding back ---- */

/* Is it in the way longer than it may be? From the first publisher on who found it so; mark: the caller is one. */
static bool is_stuck(struct topic_seat *seat, uint64_t at, uint32_t hold, uint64_t now, bool mark,
                     uint64_t *ret_expiry)
{
    uint64_t most = now + hold * 1000000ull, expiry = most;
    if (load64(&seat->stuck_at) == at + 1)
        expiry = load64(&seat->stuck_since) + hold * 1000000ull;
    else if (mark) {
        store64(&seat->stuck_since, now);
        store64(&seat->stuck_at, at + 1);
    }
    *ret_expiry = expiry < most ? expiry : most;
    return now >= *ret_expiry;
}

/* The subscribers that await what publishing at p would evict. The result: when the first of their limits ends; UINT64_MAX: there are none. *ret_least: positions
 * below it need not be looked at again until `holding` changes. */
static uint64_t in_the_way(const struct party *party, const struct topic_view *v, uint32_t me, uint64_t p,
                           bool mark, uint64_t *ret_least)
{
    uint64_t evicts = p - topic_capacity(v), now = 0, first = UINT64_MAX;
    *ret_least = UINT64_MAX;
    for (uint32_t i = 0; i < party->shape.seats; i++) {
        struct channel_seat *seat = seat_at(party, i);
        struct topic_seat *s = topic_seat(seat);
        uint32_t hold = load32(&s->hold), id = load32(&seat->id);
        uint64_t at = load64(&seat->at), expiry;
        if (!hold || !id || i == me)
            continue;
        if (at <= evicts) {
            if (ID_INDEX(id) >= party->seg->geometry.records || fate_quick(party->seg, id) != ALIVE)
                continue; /* its seat is yet to be cleared */
            if (!now)
                now = channel_now(CLOCK_MONOTONIC);
            if (is_stuck(s, at, hold, now, mark, &expiry))
                at = evicts + 1; /* not in the way of this one; it is looked at again for the next */
            else if (expiry < first)
                first = expiry;
        }
        if (at < *ret_least)
            *ret_least = at;
    }
    return first;
}

bool topic_held_back(struct tarn_topic *t, uint64_t p, uint64_t *ret_expiry)
{
    uint64_t holding = load64(&t->view.words->holding), first;
    if (p < topic_capacity(&t->view) || (holding == t->holding && p - topic_capacity(&t->view) < t->least))
        return false;
    first = in_the_way(&t->party, &t->view, t->index, p, true, &t->least);
    t->holding = holding;
    if (ret_expiry)
        *ret_expiry = first;
    return first != UINT64_MAX;
}

void topic_holding_changed(const struct party *p)
{
    struct topic_words *words = (struct topic_words *)(void *)p->channel->own;
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->shape.seats; i++)
        n += load32(&seat_at(p, i)->id) && load32(&topic_seat(seat_at(p, i))->hold);
    store64(&words->holding, ((load64(&words->holding) >> 32) + 1) << 32 | n);
}

/* ---- what a seat leaves ---- */

static void give_back_chunk(const struct topic_view *v, uint32_t seat, uint64_t claim, uint32_t *named)
{
    uint32_t chunk = load32(named) - 1;
    if (chunk < v->count && load64(&chunk_at(v, chunk)->word) == (TOPIC_LOANED | seat))
        store64(&chunk_at(v, chunk)->word,
                load64(entry_at(v, claim)) == entry_make(claim, chunk) ? TOPIC_PUBLISHED | claim : TOPIC_FREE);
    if (chunk + 1)
        store32(named, 0);
}

static void give_back(const struct party *by, struct channel_seat *seat)
{
    struct topic_view v;
    struct topic_seat *s = topic_seat(seat);
    uint32_t index = (uint32_t)(seat - by->seats);
    uint64_t claim = load64(&s->claim);
    topic_view_of(by, &v);
    claim &= ~(TOPIC_PUBLISHED | TOPIC_LOANED);
    give_back_chunk(&v, index, claim, &s->making);
    for (int i = 0; i < TOPIC_HAND_MOST; i++) {
        give_back_chunk(&v, index, claim, &s->loan[i]);
        if (load32(&s->pin[i]))
            store32(&s->pin[i], 0);
    }
    if (load32(&s->hold) || (uint32_t)load64(&v.words->holding)) { /* or somebody died between the two stores */
        store32(&s->hold, 0);
        topic_holding_changed(by);
    }
    if (by->shape.seats <= 64) {
        __atomic_fetch_and(&v.words->takers, ~(1ull << index), __ATOMIC_SEQ_CST);
        kill_point();
    }
}

/* ---- what others see ---- */

static uint64_t behind(const struct party *looks, const struct channel_seat *seat)
{
    struct topic_view v;
    uint64_t next;
    topic_view_of(looks, &v);
    if (!(seat->role & TARN_RECEIVE) || !topic_next(&v, &next) || next < seat->at)
        return 0;
    next -= seat->at;
    return next < topic_capacity(&v) ? next : topic_capacity(&v);
}

static uint64_t messages(const struct party *looks, const struct channel_seat *seat)
{
    (void)looks;
    return seat->messages + ((const struct topic_seat *)(const void *)seat->own)->sent;
}

static void stat(const struct party *looks, struct tarn_channel_stat *stat)
{
    struct topic_view v;
    topic_view_of(looks, &v);
    if (!topic_next(&v, &stat->sent))
        return;
    stat->waiting = stat->sent < topic_capacity(&v) ? stat->sent : topic_capacity(&v);
    for (uint32_t i = 0; i < looks->shape.seats; i++) {
        struct channel_seat *seat = seat_at(looks, i);
        if (!load32(&seat->id))
            continue;
        stat->received += load64(&seat->messages);
        stat->lost += load64(&seat->lost);
    }
}

static void sizes(const struct party *looks, struct tarn_channel_sizes *s)
{
    struct topic_view v;
    uint64_t next;
    topic_view_of(looks, &v);
    if (!topic_next(&v, &next))
        return;
    for (uint64_t p = channel_sizes_from(s, &s->at[0], next, topic_capacity(&v)); p < next; p++) {
        uint64_t e = load64(entry_at(&v, p));
        uint32_t size =
            entry_is(e, p) && entry_chunk(e) < v.count ? load32(&chunk_at(&v, entry_chunk(e))->size) : 0;
        if (!entry_is(e, p) || !topic_still(&v, p, e)) {
            s->missed++;
            continue;
        }
        s->messages++;
        s->bytes += size < v.size ? size : v.size;
    }
}

static bool ready(const struct party *p, uint32_t role)
{
    struct topic_view v;
    uint64_t at = load64(&p->seat->at), least;
    topic_view_of(p, &v);
    if (role == TARN_RECEIVE)
        return !entry_is(load64(entry_at(&v, at)), at - topic_capacity(&v));
    if (!(uint32_t)load64(&v.words->holding) || !topic_next(&v, &at))
        return true;
    return at < topic_capacity(&v) ||
           in_the_way(p, &v, (uint32_t)(p->seat - p->seats), at, false, &least) == UINT64_MAX;
}

#if defined __SANITIZE_THREAD__ && !defined TARN_EXPLORED
/* A copy of what others may write meanwhile, which is thrown away then. */
__attribute__((no_sanitize("thread"), noinline)) void topic_copy(void *to, const void *from, size_t n)
{
    const volatile char *f = from;
    volatile char *t = to;
    while (n--)
        *t++ = *f++;
}
#endif

const struct channel_class topic_class = {.type = TOPIC_TYPE_NAME,
                                          .noun = "topic",
                                          .handle = sizeof(struct tarn_topic),
                                          .bytes = topic_bytes,
                                          .fill = fill,
                                          .give_back = give_back,
                                          .behind = behind,
                                          .messages = messages,
                                          .stat = stat,
                                          .sizes = sizes,
                                          .ready = ready,
                                          .check = topic_check};

/* channel/mq_give.c - the message queue's shape, what is given back of a dead or leaving party, and what others see of it. docs/channel.md
 *
 *     giving back, under the channel's lock:  first the count under way; then the send under way, of which the chunk's own word says whether it was sent;
 *     then each chunk that the seat names, and whose word says that it is that one's
 * Every step is repeatable: whoever clears the seat after a death in here does all of it again. */
#include <string.h>

#include "channel/mq.h"

enum { SIZE_MOST = (1 << 30) - 1, CHUNK_ENTRY_BITS = 44, PER_SEAT = MQ_HANDS + 2 };

/* ---- shape ---- */

static unsigned bits_for(uint64_t most)
{
    unsigned n = 1;
    while (most >> n)
        n++;
    return n;
}

static uint64_t stride_of(const struct channel_shape *shape)
{
    uint64_t size = shape->size;
    if (size <= 8)
        return 16;
    return size <= 96 ? (16 + size + 15) & ~15ull : (16 + size + 63) & ~63ull;
}

uint64_t mq_entries_bytes(const struct channel_shape *shape)
{
    return ((uint64_t)shape->number[0] * shape->capacity * 8 + 127) & ~127ull;
}

static uint64_t bytes(struct channel_shape *shape)
{
    uint64_t chunks;
    if (!shape->number[0])
        shape->number[0] = 1;
    if (shape->number[0] > MQ_LEVELS)
        return fail(-EINVAL, "a message queue with %u priorities: 1 to %d", shape->number[0], MQ_LEVELS), 0;
    if (shape->flags & ~TARN_MQ_AT_MOST_ONCE)
        return fail(-EINVAL, "a message queue with flags %#x: TARN_MQ_AT_MOST_ONCE or 0", shape->flags), 0;
    if (shape->size > SIZE_MOST)
        return fail(-EINVAL, "a message queue of messages of %u bytes: at most 2^30 - 1", shape->size), 0;
    chunks = (uint64_t)shape->number[0] * shape->capacity + (uint64_t)PER_SEAT * shape->seats;
    if (chunks > UINT32_MAX / 2 || bits_for(chunks) + bits_for(shape->size) > CHUNK_ENTRY_BITS)
        return fail(-EINVAL, "a message queue of %llu messages of %u bytes is too large",
                    (unsigned long long)chunks, shape->size),
               0;
    shape->number[1] = (uint32_t)chunks;
    return mq_entries_bytes(shape) + chunks * stride_of(shape);
}

void mq_of(const struct party *p, struct mq *ret_q)
{
    const struct channel_shape *shape = &p->shape;
    unsigned chunk_bits = bits_for(shape->number[1]);
    *ret_q = (struct mq){.entries = (uint64_t *)(void *)p->slots,
                         .chunks = p->slots + mq_entries_bytes(shape),
                         .shared = (struct mq_shared *)(void *)p->channel->own,
                         .stride = stride_of(shape),
                         .mask = shape->capacity - 1,
                         .count = shape->number[1],
                         .levels = shape->number[0],
                         .most = shape->size,
                         .capacity_bits = (uint8_t)__builtin_ctz(shape->capacity),
                         .chunk_bits = (uint8_t)chunk_bits,
                         .lap_shift = (uint8_t)(chunk_bits + bits_for(shape->size)),
                         .body = shape->size <= 8 ? 8 : 16};
}

/* Lap 0 was received: each entry has a chunk, which whoever claims its place in lap 1 gets. */
static void fill(struct channel *c, char *slots)
{
    const struct party p = {.channel = c, .shape = c->shape, .slots = slots};
    struct mq q;
    mq_of(&p, &q);
    for (unsigned level = 0; level < q.levels; level++) {
        q.shared->tail[level] = q.shared->head[level] = q.mask + 1;
        for (uint64_t i = 0; i <= q.mask; i++) {
            uint32_t chunk = (uint32_t)(level * (q.mask + 1) + i);
            *mq_entry_at(&q, level, i) = mq_entry(&q, i, 0, chunk);
            *mq_word_at(&q, chunk) = mq_free(level, i);
        }
    }
}

/* ---- giving back ---- */

/* The chunk that a seat names, or NULL. */
static uint64_t *named(const struct mq *q, uint32_t name)
{
    return name - 1 < q->count ? mq_word_at(q, name - 1) : NULL;
}

/* Is the message of this stamp, in this chunk, claimed a place? Asked while the chunk's word is the stamp: nobody has taken it since. */
static bool was_sent(const struct mq *q, uint64_t stamp, uint32_t name)
{
    uint64_t e;
    if (MQ_LEVEL(stamp) >= q->levels)
        return false;
    e = load64(mq_entry_at(q, MQ_LEVEL(stamp), MQ_POSITION(stamp)));
    return mq_ahead(q, e, MQ_POSITION(stamp)) == 0 && mq_entry_chunk(q, e) == name - 1;
}

static void give_back_send(const struct mq *q, struct mq_seat *seat, uint32_t id)
{
    uint32_t sends = load32(&seat->sends), gets = load32(&seat->gets);
    uint64_t stamp = load64(&seat->stamp), owned = mq_owned(id), w;
    uint64_t *chunk = named(q, sends), *got = named(q, gets);
    bool sent;
    if (!chunk)
        return;
    w = load64(chunk);
    sent = w == stamp ? was_sent(q, stamp, sends) : w != owned;
    if (sent && got) {
        w = load64(got);
        if (w == owned || w == mq_free(MQ_LEVEL(stamp), MQ_POSITION(stamp) - q->mask - 1))
            swap64(got, &w, MQ_LOOSE);
    }
    if (!sent && w == stamp)
        store64(chunk, owned); /* it is still one that the seat names, and is given back as such */
    store32(&seat->sends, 0);  /* before the chunk is let go: after that its word does not tell any more */
}

/* Count a message of the dead, and let it go, exactly once. */
static void finish_count(const struct party *by, const struct mq *q)
{
    uint64_t intent = load64(&q->shared->intent), *chunk = named(q, (uint32_t)intent), w;
    uint32_t id = (uint32_t)(intent >> 32);
    bool lost = by->shape.flags & TARN_MQ_AT_MOST_ONCE;
    if (!intent)
        return;
    store64(lost ? &by->channel->lost : &by->channel->again, load64(&q->shared->target));
    w = chunk ? load64(chunk) : 0;
    if (MQ_WHAT(w) == MQ_TAKEN && MQ_ID(w) == id) {
        uint64_t order = 0;
        for (uint32_t i = 0; i < by->shape.seats; i++) { /* it has been in one hand alone */
            const struct channel_seat *s = seat_at(by, i);
            const struct mq_seat *seat = (const struct mq_seat *)(const void *)s->own;
            for (int k = 0; k < MQ_HANDS && load32(&s->id) == id; k++)
                if (load32(&seat->hand[k]) == (uint32_t)intent)
                    order = load32(&seat->order[k]);
        }
        swap64(chunk, &w, lost ? MQ_LOOSE : mq_again(MQ_SIZE(w), order & 0x7fffffffu));
    }
    if (!lost)
        store64(&q->shared->made, load64(&q->shared->made) + 1);
    store64(&q->shared->intent, 0);
}

static void give_back_chunk(const struct party *by, const struct mq *q, uint32_t name, uint32_t id)
{
    uint64_t *chunk = named(q, name), w = chunk ? load64(chunk) : 0;
    if (w == mq_owned(id))
        swap64(chunk, &w, MQ_LOOSE);
    else if (MQ_WHAT(w) == MQ_TAKEN && MQ_ID(w) == id) {
        const uint64_t *count = by->shape.flags & TARN_MQ_AT_MOST_ONCE ? &by->channel->lost : &by->channel->again;
        store64(&q->shared->target, load64(count) + 1);
        store64(&q->shared->intent, (uint64_t)id << 32 | name);
        finish_count(by, q);
    }
}

static void give_back(const struct party *by, struct channel_seat *seat)
{
    struct mq q;
    struct mq_seat *has = mq_seat_of(seat);
    uint32_t id = load32(&seat->id);
    mq_of(by, &q);
    finish_count(by, &q);
    if (id != by->id) /* who leaves is in no send; what its last one got may be in its thread's other handle's hand by now, and have the same word */
        give_back_send(&q, has, id);
    give_back_chunk(by, &q, load32(&has->spare), id);
    for (int i = 0; i < MQ_HANDS; i++)
        give_back_chunk(by, &q, load32(&has->hand[i]), id);
}

/* ---- what others see ---- */

/* Messages of a level from the hint on: n of them at most. *ret_tail: the first position that is not claimed. */
static uint64_t count_sent(const struct mq *q, unsigned level, uint64_t n, uint64_t *ret_tail)
{
    uint64_t found = 0, p = load64(&q->shared->head[level]);
    for (uint64_t look = 0; look <= 2 * q->mask + 2 && found < n; look++) {
        uint64_t e = load64(mq_entry_at(q, level, p));
        int64_t ahead = mq_ahead(q, e, p);
        uint32_t chunk = mq_entry_chunk(q, e);
        if (ahead < 0 || chunk >= q->count)
            break;
        if (ahead > 0) {
            p += ((uint64_t)ahead - 1) * (q->mask + 1) + 1;
            continue;
        }
        found += load64(mq_word_at(q, chunk)) == mq_sent(level, p);
        p++;
    }
    *ret_tail = p;
    return found;
}

/* Up to n that came again. */
static uint64_t count_again(const struct mq *q, uint64_t n)
{
    uint64_t found = 0;
    for (uint32_t i = 0; i < q->count && found < n; i++)
        found += MQ_WHAT(load64(mq_word_at(q, i))) == MQ_AGAIN;
    return found;
}

static uint64_t waiting(const struct mq *q, uint64_t *ret_sent)
{
    uint64_t n = load64(&q->shared->made) ? count_again(q, UINT64_MAX) : 0, tail;
    *ret_sent = 0;
    for (unsigned level = 0; level < q->levels; level++) {
        n += count_sent(q, level, UINT64_MAX, &tail);
        *ret_sent += tail - q->mask - 1;
    }
    return n;
}

static uint64_t behind(const struct party *looks, const struct channel_seat *seat)
{
    struct mq q;
    uint64_t sent;
    mq_of(looks, &q);
    return seat->role & TARN_RECEIVE ? waiting(&q, &sent) : 0;
}

static void stat(const struct party *looks, struct tarn_channel_stat *stat)
{
    struct mq q;
    mq_of(looks, &q);
    stat->waiting = waiting(&q, &stat->sent);
    stat->received = stat->sent - stat->waiting;
}

static void sizes(const struct party *looks, struct tarn_channel_sizes *s)
{
    struct mq q;
    mq_of(looks, &q);
    for (unsigned level = 0; level < q.levels; level++) {
        uint64_t tail, *at = &s->at[level];
        count_sent(&q, level, UINT64_MAX, &tail);
        if (*at <= q.mask) /* the first position */
            *at = q.mask + 1;
        for (uint64_t p = channel_sizes_from(s, at, tail, q.mask + 1); p < tail; p++) {
            uint64_t e = load64(mq_entry_at(&q, level, p));
            if (mq_ahead(&q, e, p)) {
                s->missed++;
                continue;
            }
            s->messages++;
            s->bytes += mq_entry_size(&q, e);
        }
    }
}

/* Could a place of the level be claimed? */
static bool has_place(const struct mq *q, unsigned level)
{
    uint64_t p = load64(&q->shared->tail[level]);
    for (uint64_t look = 0; look <= 2 * q->mask + 2; look++) {
        uint64_t e = load64(mq_entry_at(q, level, p));
        int64_t ahead = mq_ahead(q, e, p);
        uint32_t chunk = mq_entry_chunk(q, e);
        if (ahead < -1 || chunk >= q->count)
            return true; /* damaged: whoever sends is told */
        if (ahead == -1)
            return load64(mq_word_at(q, chunk)) != mq_sent(level, p - q->mask - 1);
        p += (uint64_t)ahead * (q->mask + 1) + 1;
    }
    return true;
}

static bool ready(const struct party *p, uint32_t role)
{
    const tarn_mq *mq = (const tarn_mq *)p; /* its first member */
    struct mq q = mq->q;
    uint64_t tail;
    if (role == TARN_RECEIVE) {
        for (unsigned level = 0; level < q.levels; level++)
            if (count_sent(&q, level, 1, &tail))
                return true;
        return load64(&q.shared->made) != __atomic_load_n(&mq->seen, __ATOMIC_RELAXED) && count_again(&q, 1);
    }
    uint32_t level = __atomic_load_n(&mq->wants, __ATOMIC_RELAXED);
    if (level < q.levels && !has_place(&q, level))
        return false;
    if (level < q.levels && load32(&mq->seat->spare))
        return true;
    for (uint32_t i = 0; i < q.count; i++)
        if (load64(mq_word_at(&q, i)) == MQ_LOOSE)
            return true;
    return false;
}

const struct channel_class mq_class = {.type = MQ_TYPE_NAME,
                                       .noun = "message queue",
                                       .handle = sizeof(struct tarn_mq),
                                       .bytes = bytes,
                                       .fill = fill,
                                       .give_back = give_back,
                                       .behind = behind,
                                       .stat = stat,
                                       .sizes = sizes,
                                       .ready = ready,
                                       .check = mq_check};

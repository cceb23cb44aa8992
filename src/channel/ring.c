/* channel/ring.c - the ring as an object: its shape, how far its ends are, opening and closing, what others see of it. docs/channel.md
 *
 *     head <= ends.tail <= true tail <= head + capacity
 *     true tail: behind the last of an unbroken run of messages from head on
 * Nothing here changes a message: an end that opens looks for its position, and has it. The calls stand in ring_calls.c. */
#include "channel/ring.h"

enum { BYTES_LEAST = 64 };
/* ---- shapes ---- */

void ring_shape_of(const struct channel_shape *shape, struct ring_shape *ret)
{
    uint32_t stride = (shape->size + 7) & ~7u;
    *ret = (struct ring_shape){.bytes = shape->flags & TARN_RING_BYTES,
                               .capacity = shape->capacity,
                               .size = shape->size,
                               .stride = stride,
                               .each = stride > RING_BODY ? 1 : RING_BODY / stride,
                               .line = stride > RING_BODY ? (uint64_t)stride + RING_HEADER : RING_LINE};
    ret->width = RING_SIZES / ret->each;
    ret->lines = (ret->capacity + 2 * (uint64_t)ret->each - 2) / ret->each;
}

static uint64_t ring_bytes(struct channel_shape *shape)
{
    struct ring_shape r;
    if (shape->flags & ~TARN_RING_BYTES || shape->number[0])
        return fail(0, "a ring with flags %#x and number %u: TARN_RING_BYTES or 0, and 0", shape->flags,
                    shape->number[0]);
    ring_shape_of(shape, &r);
    if (!r.bytes)
        return r.lines * r.line;
    if (r.capacity < BYTES_LEAST || record_bytes(r.size) > r.capacity / 2)
        return fail(0,
                    "a ring of %llu bytes (at least %d, rounded up to a power of two) takes messages of up "
                    "to half of it, less 8, and not "
                    "of %u",
                    (unsigned long long)r.capacity, BYTES_LEAST, r.size);
    return r.capacity;
}

int ring_damaged(const struct tarn_ring *r)
{
    return fail(-EUCLEAN, "the ring \"%s\" is damaged: what stands in it cannot have been sent", r->party.name);
}

/* ---- where the ends are ---- */

struct place {
    char *line;
    uint64_t lap; /* shifted */
    uint32_t index;
};
static struct place place_of(const struct party *p, const struct ring_shape *shape, uint64_t at)
{
    uint64_t line = at / shape->each;
    return (struct place){.line = p->slots + line % shape->lines * shape->line,
                          .lap = (line / shape->lines + 1) << RING_LAP_SHIFT,
                          .index = (uint32_t)(at % shape->each)};
}

/* Messages in the line of this position, of its lap. */
static uint32_t there(const struct ring_shape *shape, const struct place *place)
{
    uint64_t control = load64((uint64_t *)(void *)place->line);
    uint32_t n = control >> RING_COUNT_SHIFT & RING_COUNT_MASK;
    if ((control ^ place->lap) >> RING_LAP_SHIFT)
        return 0;
    return n < shape->each ? n : shape->each;
}

bool ring_record_there(const struct party *p, const struct ring_shape *shape, uint64_t at,
                       uint64_t *ret_header, uint64_t *ret_bytes)
{
    uint64_t off = at & (shape->capacity - 1), header;
    uint32_t size;
    if (off % RING_HEADER)
        return false;
    *ret_header = header = load64((uint64_t *)(void *)(p->slots + off));
    size = header & RING_SIZE_MASK;
    if (!header)
        return true;
    if (!(header & RING_USED))
        return false;
    *ret_bytes = header & RING_SKIP ? size : record_bytes(size);
    return header & RING_SKIP ? size == shape->capacity - off && off
                              : size <= shape->size && off + *ret_bytes <= shape->capacity;
}

/* The true tail, looked for from `from` on, which is at most that. Bounded; of damaged bytes anything between head and head + capacity. */
static uint64_t tail_from(const struct party *p, const struct ring_shape *shape, uint64_t from, uint64_t most,
                          uint64_t *sent)
{
    while (from < most) {
        if (!shape->bytes) {
            struct place place = place_of(p, shape, from);
            uint32_t n = there(shape, &place);
            if (n > place.index)
                from += n - place.index;
            if (n < shape->each)
                break;
        } else {
            uint64_t header, bytes;
            if (!ring_record_there(p, shape, from, &header, &bytes) || !header)
                break;
            from += bytes;
            if (!(header & RING_SKIP))
                *sent += (uint64_t)(int32_t)((uint32_t)(header >> 32) + 1 - (uint32_t)*sent);
        }
    }
    return from < most ? from : most;
}

static uint64_t record_header(uint64_t number, uint64_t bits)
{
    return number << 32 | bits;
}

void ring_put_record(struct tarn_ring *r, uint64_t size)
{
    uint64_t need = record_bytes(size), mask = r->shape.capacity - 1;
    uint64_t *at = ring_word(r->party.slots + (r->at & mask));
    uint64_t header = record_header(r->sent, RING_USED | size);
    store64(ring_word(r->party.slots + ((r->at + r->skip + need) & mask)), 0);
    if (r->skip) {
        store64(ring_word(r->party.slots), header);
        header = record_header(r->sent, RING_USED | RING_SKIP | r->skip);
    }
    r->at += r->skip + need;
    r->sent++;
    r->messages++;
    if (r->first)
        store64(at, header);
    else {
        r->first = at;
        r->header = header;
    }
}

int ring_front_bytes(struct tarn_ring *r, const void **ret_message, uint64_t *ret_size)
{
    uint64_t at = r->at, header, bytes;
    if (!ring_record_there(&r->party, &r->shape, at, &header, &bytes))
        return -EUCLEAN;
    if (!header)
        return -EAGAIN;
    if (header & RING_SKIP) {
        at += bytes;
        if (!ring_record_there(&r->party, &r->shape, at, &header, &bytes) || !header || header & RING_SKIP)
            return -EUCLEAN;
    }
    *ret_message = r->party.slots + (at & (r->shape.capacity - 1)) + RING_HEADER;
    *ret_size = header & RING_SIZE_MASK;
    r->next = at + bytes;
    r->next_received = r->received + (uint64_t)(int32_t)((uint32_t)(header >> 32) + 1 - (uint32_t)r->received);
    return 0;
}

/* Where both are, for anybody. */
static void find_ends(const struct party *p, const struct ring_shape *shape, uint64_t *ret_head,
                      uint64_t *ret_tail, uint64_t *ret_sent)
{
    const struct ring_ends *ends = ends_of(p);
    uint64_t tail = load64(&ends->tail), sent = load64(&ends->sent), head = load64(&ends->head);
    if (tail - head > shape->capacity) /* released before tail said so */
        tail = head;
    *ret_head = head;
    *ret_tail = tail_from(p, shape, tail, head + shape->capacity, &sent);
    *ret_sent = !shape->bytes ? *ret_tail : *ret_tail == head ? load64(&ends->received) : sent;
}

/* Messages that are there, and how many were sent at all. */
static uint64_t waiting(const struct party *p, uint64_t *ret_sent)
{
    struct ring_shape shape;
    uint64_t head, tail, header, bytes;
    ring_shape_of(&p->shape, &shape);
    find_ends(p, &shape, &head, &tail, ret_sent);
    if (!shape.bytes)
        return tail - head;
    if (head == tail || !ring_record_there(p, &shape, head, &header, &bytes) || !header)
        return 0;
    return (uint32_t)((uint32_t)*ret_sent - (uint32_t)(header >> 32));
}

static uint64_t ring_behind(const struct party *looks, const struct channel_seat *seat)
{
    uint64_t sent;
    return seat->role & TARN_RECEIVE ? waiting(looks, &sent) : 0;
}

static uint64_t ring_messages(const struct party *looks, const struct channel_seat *seat)
{
    struct ring_shape shape;
    uint64_t head, tail, sent;
    if (looks->shape.flags & TARN_RING_BYTES || !seat->own[2])
        return seat->messages;
    ring_shape_of(&looks->shape, &shape);
    find_ends(looks, &shape, &head, &tail, &sent);
    return (seat->role == TARN_SEND ? tail : head) - (seat->own[2] - 1);
}

static void ring_stat(const struct party *looks, struct tarn_channel_stat *stat)
{
    stat->waiting = waiting(looks, &stat->sent);
    stat->received = stat->sent - stat->waiting;
}

/* What was released stays as it was until the sender comes round, which the number in a record's header tells. */
static void sizes_of_records(const struct party *p, const struct ring_shape *shape, uint64_t tail,
                             uint64_t sent, struct tarn_channel_sizes *s)
{
    uint64_t at = s->at[0], number = s->at[1], header, bytes, most = number + SIZES_MOST;
    s->at[0] = tail;
    s->at[1] = sent;
    if (number > sent)
        return;
    while (tail - at - 1 < shape->capacity && number < most &&
           ring_record_there(p, shape, at, &header, &bytes) && header && header >> 32 == (uint32_t)number) {
        at += bytes;
        if (header & RING_SKIP)
            continue;
        number++;
        s->messages++;
        s->bytes += header & RING_SIZE_MASK;
    }
    if (number < sent)
        s->missed = sent - number;
}

static void ring_sizes(const struct party *p, struct tarn_channel_sizes *s)
{
    struct ring_shape shape;
    uint64_t head, tail, sent;
    ring_shape_of(&p->shape, &shape);
    find_ends(p, &shape, &head, &tail, &sent);
    if (shape.bytes) {
        sizes_of_records(p, &shape, tail, sent, s);
        return;
    }
    for (uint64_t at = channel_sizes_from(s, &s->at[0], tail, shape.capacity); at < tail; at++) {
        struct place place = place_of(p, &shape, at);
        uint64_t control = load64(ring_word(place.line));
        uint32_t size = (uint32_t)(control >> place.index * shape.width & ((1ull << shape.width) - 1));
        if ((control ^ place.lap) >> RING_LAP_SHIFT) {
            s->missed++; /* the sender has come round */
            continue;
        }
        s->messages++;
        s->bytes += size < shape.size ? size : shape.size;
    }
}

/* Damage is something to receive, and room: the call says so. */
static bool ring_ready(const struct party *p, uint32_t role)
{
    struct ring_shape shape;
    uint64_t head, tail, sent, need, off;
    ring_shape_of(&p->shape, &shape);
    if (role == TARN_RECEIVE) {
        head = load64(&ends_of(p)->head);
        if (shape.bytes)
            return load64((uint64_t *)(void *)(p->slots + (head & (shape.capacity - 1) & ~7ull))) != 0;
        struct place place = place_of(p, &shape, head);
        return there(&shape, &place) > place.index;
    }
    find_ends(p, &shape, &head, &tail, &sent);
    if (!shape.bytes)
        return tail - head < shape.capacity;
    need = load64(&p->seat->own[1]);
    need = record_bytes(need && need - 1 < shape.size ? need - 1 : shape.size);
    off = tail & (shape.capacity - 1);
    return tail - head + (off + need > shape.capacity ? shape.capacity - off : 0) + need + RING_HEADER <=
           shape.capacity;
}

/* Under the lock. A receiver's message in hand is received again; the count of these is stored so that doing it twice counts once. */
static void ring_give_back(const struct party *by, struct channel_seat *seat)
{
    uint64_t hand = load64(&seat->own[0]);
    if (!(seat->role & TARN_RECEIVE) || !hand)
        return;
    if (hand - 1 != load64(&ends_of(by)->head))
        return; /* it was released */
    if (!load64(&seat->own[1]))
        store64(&seat->own[1], load64(&by->channel->again) + 1);
    store64(&by->channel->again, load64(&seat->own[1]));
}

const struct channel_class ring_class = {.type = RING_TYPE_NAME,
                                         .noun = "ring",
                                         .handle = sizeof(struct tarn_ring),
                                         .bytes = ring_bytes,
                                         .give_back = ring_give_back,
                                         .behind = ring_behind,
                                         .messages = ring_messages,
                                         .stat = ring_stat,
                                         .sizes = ring_sizes,
                                         .ready = ring_ready,
                                         .check = ring_check};

/* ---- opening and closing ---- */

static void begin_at(struct tarn_ring *r, uint64_t at)
{
    const struct place place = place_of(&r->party, &r->shape, at);
    r->at = r->seen = at;
    r->line = place.line;
    r->line_at = at - place.index;
    r->line_end = r->line_at + r->shape.each;
    r->control = r->lap = place.lap;
    r->size_mask = (1ull << r->shape.width) - 1;
    for (uint32_t i = 0; i < r->shape.each; i++)
        r->ones |= 1ull << i * r->shape.width;
}

int ring_at_head(struct tarn_ring *r)
{
    ring_shape_of(&r->party.shape, &r->shape);
    r->ends = ends_of(&r->party);
    r->received = load64(&r->ends->received);
    begin_at(r, load64(&r->ends->head));
    return r->shape.bytes && r->at % RING_HEADER ? ring_damaged(r) : 0;
}

/* 0, -EUCLEAN. */
static int ring_at_tail(struct tarn_ring *r)
{
    uint64_t head, tail, n;
    ring_shape_of(&r->party.shape, &r->shape);
    r->ends = ends_of(&r->party);
    find_ends(&r->party, &r->shape, &head, &tail, &r->sent);
    r->free = head + r->shape.capacity;
    begin_at(r, tail);
    n = r->at - r->line_at;
    if (!r->shape.bytes && n) { /* the sizes of those that are there */
        r->control = load64(ring_word(r->line));
        if ((r->control ^ r->lap) >> RING_LAP_SHIFT || (r->control >> RING_COUNT_SHIFT & RING_COUNT_MASK) != n)
            return ring_damaged(r);
    }
    return r->shape.bytes && (r->at | head) % RING_HEADER ? ring_damaged(r) : 0;
}

/* 0, -EUCLEAN. */
static int take_position(struct tarn_ring *r)
{
    int e = r->party.role == TARN_SEND ? ring_at_tail(r) : ring_at_head(r);
    if (e)
        return e;
    store64(&r->party.seat->own[2], 1 + r->at);
    ring_set_quick(r);
    return 0;
}

int tarn_ring_open(tarn *seg, const char *name, unsigned flags, const struct tarn_channel_options *options,
                   tarn_ring **ret_ring)
{
    const unsigned both = TARN_SEND | TARN_RECEIVE;
    struct tarn_ring *r;
    int e;
    if ((flags & both) == both)
        return fail(-EINVAL, "tarn_ring_open: TARN_SEND or TARN_RECEIVE: each is a handle of its own");
    r = channel_open(seg, name, &ring_class, flags, options, 1, "tarn_ring_open", &e);
    if (!r)
        return e;
    if (r->party.seat && (e = take_position(r))) {
        channel_close(&r->party);
        return e;
    }
    *ret_ring = r;
    return 0;
}

int tarn_ring_close(tarn_ring *ring)
{
    if (!ring)
        return 0;
    if (ring->hand && party_is_own(&ring->party))
        return fail(-EBUSY, "tarn_ring_close: a %s of \"%s\" is in hand: %s it first",
                    ring->party.role == TARN_SEND ? "loan" : "message", ring->party.name,
                    ring->party.role == TARN_SEND ? "send or drop" : "release");
    channel_close(&ring->party);
    return 0;
}

int tarn_ring_poll(tarn_ring *ring, tarn_poll *poll)
{
    return channel_poll(&ring->party, poll, "tarn_ring_poll");
}

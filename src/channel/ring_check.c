/* channel/ring_check.c - what tarn_check asks of a ring. Its words and R1 to R4: docs/channel.md
 *
 * At each instant, of slots: lines are begun in order, each anew only when all of it was released, and all before the last one are full; of bytes: from head on there are
 * whole records, numbered one after the other, up to a word of 0. The true tail is behind the last message; tail, sent and head are at most that, and head at most a capacity behind.
 * What stands before head is the sender's, who may be at it: a record counts if head was not beyond it when it had been read. */
#include "channel/check.h"
#include "channel/ring.h"

struct look {
    struct channel_check *c;
    struct ring_shape shape;
    uint64_t end; /* behind the last message that was seen */
    bool ended;   /* that is known */
};

/* ---- slots ---- */

static uint64_t control_of(const struct look *l, uint64_t index)
{
    return load64((uint64_t *)(void *)(l->c->p->slots + index * l->shape.line));
}
static uint32_t count_of(uint64_t control)
{
    return control >> RING_COUNT_SHIFT & RING_COUNT_MASK;
}

/* Laps that a line was filled beyond that of this number. Below 0 are lines before the first: those that were never used have a word of 0. */
static int64_t ahead(void *of, uint64_t number)
{
    struct look *l = of;
    int64_t lines = (int64_t)l->shape.lines, index = ((int64_t)number % lines + lines) % lines;
    uint64_t lap = (uint64_t)(((int64_t)number - index) / lines) + 1, control = control_of(l, (uint64_t)index), end;
    int64_t laps = (int32_t)(((uint32_t)(control >> RING_LAP_SHIFT) - (uint32_t)lap) << 2) >> 2;
    if (!control)
        return (int64_t)number < 0 ? 0 : -1;
    end = (number + (uint64_t)laps * l->shape.lines) * l->shape.each + count_of(control);
    if (laps > 0 && (int64_t)(end - l->end) > 0)
        l->end = end;
    return laps - (count_of(control) != l->shape.each);
}

static const char *line_fault(const struct look *l, uint64_t control)
{
    const struct ring_shape *shape = &l->shape;
    uint32_t count = count_of(control);
    uint64_t sizes = control & ((1ull << RING_SIZES) - 1), mask = (1ull << shape->width) - 1;
    if (count > shape->each || (control && !count))
        return "a line of a ring has more messages than it has room for, or none";
    for (uint32_t i = 0; i < count; i++, sizes >>= shape->width)
        if ((sizes & mask) > shape->size)
            return "a message of a ring is larger than it can be";
    return sizes ? "a line of a ring has the size of a message that is not there" : NULL;
}

/* tail and head were read before. */
static void check_lines(struct look *l, uint64_t tail, uint64_t head)
{
    const struct party *p = l->c->p;
    uint64_t lines = l->shape.lines, end;
    l->end = head - head % l->shape.each;
    for (uint64_t i = 0; i < lines && !check_enough(l->c); i++) {
        const char *what = line_fault(l, control_of(l, i));
        if (what)
            check_damage(l->c, p->slots + i * l->shape.line, what);
    }
    if (tail % l->shape.each)
        check_damage(l->c, &ends_of(p)->tail, "a ring's tail is not where a line begins");
    /* ... and all before the last one that was begun are full. */
    if (!places_in_order(head / l->shape.each, lines, ahead, l, &end) ||
        (l->end && !places_in_order((l->end - 1) / l->shape.each, lines, ahead, l, &end)))
        check_damage(l->c, p->slots + ((int64_t)end < 0 ? end + lines : end) % lines * l->shape.line,
                     "a line of a ring was not filled, though its head or a line behind it says so");
    l->ended = true;
}

/* ---- bytes ---- */

/* Goes through the records once. `tail` and what is in `before` were read before. */
static void check_records(struct look *l, uint64_t tail, uint64_t head, const struct ring_ends *before)
{
    const struct party *p = l->c->p;
    const struct ring_ends *ends = ends_of(p);
    uint64_t at = head, header, steps = l->shape.capacity / RING_HEADER + 64;
    uint32_t next = 0;
    bool numbered = false, skipped = false;
    for (; steps; steps--) {
        uint64_t bytes = 0;
        bool good = ring_record_there(p, &l->shape, at, &header, &bytes);
        uint64_t now = load64(&ends->head);
        const char *word = p->slots + (at & (l->shape.capacity - 1) & ~7ull);
        if ((int64_t)(now - at) > 0) { /* it was released meanwhile */
            at = now;
            numbered = skipped = false;
            continue;
        }
        if (!good || (skipped && (!header || header & RING_SKIP)) ||
            at + bytes - now > l->shape.capacity - RING_HEADER) {
            check_damage(l->c, word, "what stands in a ring is no record that can have been sent");
            return;
        }
        if (!header)
            break;
        if ((int64_t)(tail - at) > 0 && (int64_t)(tail - at - bytes) < 0)
            check_damage(l->c, &ends->tail, "a ring's tail is within a record");
        skipped = header & RING_SKIP;
        if (numbered && next != (uint32_t)(header >> 32))
            check_damage(l->c, word, "the records of a ring are not numbered one after the other");
        if (at == head && (int32_t)((uint32_t)before->received - (uint32_t)(header >> 32)) < 0)
            check_damage(l->c, &ends->received, "a ring has more messages released than its receiver has received");
        next = (uint32_t)(header >> 32) + !skipped;
        numbered = true;
        at += bytes;
    }
    if (!steps)
        return; /* the receiver is quicker */
    l->end = at;
    l->ended = true;
    if (numbered &&
        ((int32_t)((uint32_t)before->sent - next) > 0 || (int32_t)((uint32_t)before->received - next) > 0))
        check_damage(l->c, (int32_t)((uint32_t)before->sent - next) > 0 ? &ends->sent : &ends->received,
                     "more messages of a ring were counted than were sent");
}

/* ---- seats ---- */

static void check_seat(struct look *l, const struct channel_seat *seat)
{
    const struct ring_ends *ends = ends_of(l->c->p);
    uint64_t hand = load64(&seat->own[0]), began = load64(&seat->own[2]), head = load64(&ends->head);
    if (hand && load64(&seat->own[0]) == hand && (int64_t)(head - (hand - 1)) < 0) /* what was taken last may be long released */
        check_damage(l->c, &seat->own[0], "a message of a ring is in a hand that cannot have it");
    if (began && (int64_t)(head + l->shape.capacity - (began - 1)) < 0)
        check_damage(l->c, &seat->own[2], "a party of a ring began beyond what was sent");
}

/* One sender, one receiver. */
static void check_seats(struct look *l)
{
    const struct party *p = l->c->p;
    struct seats_mark mark = seats_mark(p);
    uint32_t both = TARN_SEND | TARN_RECEIVE, there = 0;
    const struct channel_seat *wrong = NULL;
    for (uint32_t i = 0; i < p->shape.seats && !check_enough(l->c); i++) {
        const struct channel_seat *seat = seat_at(p, i);
        uint32_t role = load32(&seat->role) & both;
        uint64_t wants = load64(&seat->own[1]);
        if (!load32(&seat->id))
            continue;
        check_seat(l, seat);
        if (role & there || role == both)
            wrong = seat;
        if (role == TARN_SEND && wants > 1ull + l->shape.size && seats_still(p, mark))
            check_damage(l->c, &seat->own[1], "a sender of a ring waits for room for more than a message may have");
        there |= role;
    }
    if (wrong && seats_still(p, mark))
        check_damage(l->c, &wrong->role, "a ring has two senders, or two receivers");
}

/* ---- all ---- */

int ring_check(struct channel_check *c)
{
    struct look l = {.c = c};
    const struct ring_ends *ends = ends_of(c->p);
    struct ring_ends before = {.tail = load64(&ends->tail), .sent = load64(&ends->sent)};
    uint32_t found = c->found;
    ring_shape_of(&c->p->shape, &l.shape);
    before.head = load64(&ends->head);
    before.received = load64(&ends->received);
    if (l.shape.bytes && (before.tail | before.head) % RING_HEADER)
        check_damage(c, before.tail % RING_HEADER ? &ends->tail : &ends->head,
                     "a ring's end is where no record begins");
    else if (l.shape.bytes)
        check_records(&l, before.tail, before.head, &before);
    else
        check_lines(&l, before.tail, before.head);
    if (found == c->found && l.ended) {
        if ((int64_t)(l.end - before.head) < 0)
            check_damage(c, &ends->head, "a ring's head is beyond what was sent");
        if ((int64_t)(l.end - before.tail) < 0)
            check_damage(c, &ends->tail, "a ring's tail is beyond what was sent");
        if ((int64_t)(l.end - load64(&ends->head)) > (int64_t)l.shape.capacity)
            check_damage(c, &ends->head, "a ring's head is further behind than the ring is long");
    }
    check_seats(&l);
    return 0;
}

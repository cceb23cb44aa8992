/* channel/call_check.c - what tarn_check asks of a call channel. Its words and K1 to K4: docs/channel.md, 'Call'
 *
 * At each instant
 *     places of the order are filled in order, up to tail or one more, and passed by in order, up to head or one more
 *     a slot's word says a seat where its state has one, and that seat is taken; its client, sizes, flags and error are such as that state has
 *     a slot that is ASKED or DROPPED is named in the order, or a seat says that it is about to be
 * A word of a slot is never again what it was, but where a request is done again, in the midst of clearing a seat; there the last two are not asked. */
#include <stdlib.h>

#include "channel/call.h"
#include "channel/check.h"

struct look {
    struct channel_check *c;
    const struct party *p;
    struct seats_mark mark;
    uint64_t *asked; /* of each slot: its word, if an entry is yet to be found; else 0, which no such word is */
};

/* ---- the order ---- */

/* Laps that this place was filled, or passed by, beyond that of the position. */
static int64_t laps_at(const struct look *l, uint64_t position, bool filled)
{
    uint64_t e = load64(order_at(l->p, position));
    uint64_t lap = (uint64_t)((int64_t)position >> __builtin_ctzll(order_length(l->p)));
    return (int64_t)((e >> 24) - (filled && e & ORDER_SLOT ? 0 : 1) - lap);
}
static int64_t filled(void *of, uint64_t position)
{
    return laps_at(of, position, true);
}
static int64_t passed(void *of, uint64_t position)
{
    return laps_at(of, position, false);
}

static void check_end(struct look *l, const uint64_t *end, int64_t (*ahead)(void *of, uint64_t position),
                      const char *place_fault, const char *end_fault)
{
    uint64_t seen;
    if (!places_in_order(load64(end), order_length(l->p), ahead, l, &seen))
        check_damage(l->c, order_at(l->p, seen), place_fault);
    else if ((int64_t)(load64(end) + 1 - seen) < 0)
        check_damage(l->c, end, end_fault);
}

static void check_order(struct look *l)
{
    const uint64_t *own = l->p->channel->own;
    for (uint64_t i = 0; i < order_length(l->p) && !check_enough(l->c); i++)
        if ((load64(order_at(l->p, i)) & ORDER_SLOT) > l->p->shape.capacity)
            check_damage(l->c, order_at(l->p, i), "the order of requests names a slot that there is not");
    check_end(l, &own[TAIL],
              filled, "a place in the order of requests was never filled, though its tail or a place behind it says so",
              "the tail of the order of requests is behind what was asked");
    check_end(
        l, &own[HEAD], passed,
        "a place in the order of requests was never passed by, though its head or a place behind it says so",
        "the head of the order of requests is behind what was passed by");
}

/* ---- slots ---- */

/* Whose seat the word says; 0: none. */
static bool has_seat(uint64_t w)
{
    return STATE(w) != FREE && STATE(w) != DROPPED;
}
static bool seat_is_free(const struct look *l, uint32_t seat)
{
    return load32(&seat_at(l->p, seat - 1)->id) == 0;
}

/* What a slot in this state says besides. */
static const char *fields_fault(const struct look *l, const struct call_slot *slot, uint64_t w)
{
    uint32_t size = l->p->shape.size, client = load32(&slot->client), flags = load32(&slot->flags);
    uint32_t response = load32(&slot->response);
    int32_t error = __atomic_load_n(&slot->error, __ATOMIC_ACQUIRE);
    enum state state = STATE(w);
    if (state == FREE || state == OPEN)
        return NULL;
    if (client - 1 >= l->p->shape.seats ||
        ((state == ASKED || state == ANSWERED || state == FAILED) && client != SEAT(w)))
        return "a call is of a client that cannot have it";
    if ((state == ASKED || state == TAKEN) && load32(&slot->request) > size)
        return "a request is larger than it can be";
    if (state == ANSWERED && response > (flags & CALL_FAR ? size : size < CALL_SMALL ? size : CALL_SMALL))
        return "a response is larger than it can be, or than its place";
    if (state == FAILED && (error > -1 || error < -4095))
        return "a call has failed with an error that is none";
    if (flags & ~(TARN_CALL_REPEATABLE | CALL_FAR))
        return "a call has flags that there are not";
    return NULL;
}

static void check_slot(struct look *l, uint32_t i)
{
    struct call_slot *slot = slot_at(l->p, i);
    uint64_t w = load64(&slot->word);
    const char *what = NULL;
    if (has_seat(w) ? SEAT(w) - 1 >= l->p->shape.seats : SEAT(w) != 0) {
        check_damage(l->c, slot, "a call is in a state that it cannot have with that seat");
        return;
    }
    what = fields_fault(l, slot, w);
    if (!what && ((has_seat(w) && seat_is_free(l, SEAT(w))) ||
                  (STATE(w) == TAKEN && seat_is_free(l, load32(&slot->client)))))
        what = seats_still(l->p, l->mark) ? "a call is somebody's whose seat is free" : NULL;
    if (what && load64(&slot->word) == w)
        check_damage(l->c, slot, what);
    l->asked[i] = STATE(w) == ASKED || STATE(w) == DROPPED ? w : 0;
}

/* ---- slots that are to be found in the order ---- */

static void found(struct look *l, uint64_t name)
{
    if (name - 1 < l->p->shape.capacity)
        l->asked[name - 1] = 0;
}

/* About to be put there, by who asks, or by who clears a seat, or has died in that. */
static void ask_seats(struct look *l)
{
    for (uint32_t i = 0; i < l->p->shape.seats; i++) {
        const struct channel_seat *seat = seat_at(l->p, i);
        if (load32(&seat->id) == 0)
            continue;
        found(l, load64(&seat->own[ASKING]));
        found(l, load64(&seat->own[REDO]));
    }
}

/* The notes first: what none says is there already, and is passed by only when its word has changed. */
static void check_asked(struct look *l)
{
    ask_seats(l);
    for (uint64_t i = 0; i < order_length(l->p); i++)
        found(l, load64(order_at(l->p, i)) & ORDER_SLOT);
    for (uint32_t i = 0; i < l->p->shape.capacity && !check_enough(l->c); i++) {
        const struct call_slot *slot = slot_at(l->p, i);
        if (l->asked[i] && load64(&slot->word) == l->asked[i] && seats_still(l->p, l->mark))
            check_damage(l->c, slot,
                         STATE(l->asked[i]) == ASKED
                             ? "a request is not in the order, so no server finds it"
                             : "a request that was taken back is not in the order, so nobody frees it");
    }
}

/* ---- all ---- */

static void check_seat(struct look *l, const struct channel_seat *seat)
{
    if (load64(&seat->own[ASKING]) > l->p->shape.capacity || load64(&seat->own[REDO]) > l->p->shape.capacity)
        check_damage(l->c, &seat->own[REDO], "a party of a call channel is at a call that there is not");
}

int call_check(struct channel_check *c)
{
    struct look l = {.c = c, .p = c->p, .mark = seats_mark(c->p)};
    l.asked = calloc(c->p->shape.capacity, sizeof *l.asked);
    if (!l.asked)
        return -ENOMEM;
    check_order(&l);
    for (uint32_t i = 0; i < c->p->shape.capacity && !check_enough(c); i++)
        check_slot(&l, i);
    check_asked(&l);
    for (uint32_t i = 0; i < c->p->shape.seats && !check_enough(c); i++)
        if (load32(&seat_at(c->p, i)->id))
            check_seat(&l, seat_at(c->p, i));
    free(l.asked);
    return 0;
}

/* channel/call.c - request and response. Layout, states, equations and orders of stores: docs/channel.md, 'Call'.
 *
 * Whose a call is, is decided by compare-and-swap of its slot's word, and nothing else; the order only says which to look at next. Nobody holds
 * a lock but who clears a seat, and nobody waits for a stopped one. */
#include <string.h>

#include "channel/call.h"

/* Of a slot's word that others change meanwhile: each change is a step on of its call, or a death. More of them are no protocol of ours. */
enum { TRIES = 1000 };

#define ID_SLOT(id) ((uint32_t)((id)&0xffffff))
#define ID_TURN(id) ((id) >> 24) /* 40 bits of it */
#define TURN_ID_MASK ((1ull << 40) - 1)

/* ---- layout --------------------------------------------------------------------------------------------------------- */

static char *request_at(const struct party *p, struct call_slot *slot, uint64_t size)
{
    (void)p;
    return size <= CALL_SMALL ? slot->small : (char *)(slot + 1);
}
static char *response_far(const struct party *p, struct call_slot *slot)
{
    return (char *)(slot + 1) + area(p);
}

static uint64_t bytes(struct channel_shape *shape)
{
    if (shape->flags)
        return fail(-EINVAL, "a call channel has no flags: %#x", shape->flags), 0;
    if (shape->capacity > 1 << 20 || shape->number[0])
        return fail(-EINVAL, "a call channel has at most 2^20 calls in flight, and no number"), 0;
    if (shape->capacity < 8)
        shape->capacity = 8; /* the order is whole lines */
    return 16ull * shape->capacity + shape->capacity * slot_bytes(shape->size);
}

/* ---- the order ------------------------------------------------------------------------------------------------------ */

static void move_on(uint64_t *hint, uint64_t from)
{
    (void)swap64(hint, &from, from + 1);
}

/* The word of the slot that is named by the entry at a place of the order, as it was while the entry was there: who was held up here does not take
 * another call for this one. 0: none, or the entry has gone. */
static uint64_t word_at(const struct party *p, uint64_t place, uint64_t entry)
{
    uint32_t i = (uint32_t)(entry & ORDER_SLOT) - 1;
    uint64_t w = i < p->shape.capacity ? load64(&slot_at(p, i)->word) : 0;
    return w && load64(order_at(p, place)) == entry ? w : 0;
}
/* ... if it still is to be served. */
static uint64_t asked_at(const struct party *p, uint64_t place, uint64_t entry)
{
    uint64_t w = word_at(p, place, entry);
    return STATE(w) == ASKED ? w : 0;
}

/* The entry at the head has served, or never will. A slot that was dropped is free with it: first, for without an entry nobody would find it. */
static void pass_by(const struct party *p, uint64_t head, uint64_t entry)
{
    uint32_t i = (uint32_t)(entry & ORDER_SLOT) - 1;
    uint64_t w = word_at(p, head, entry);
    bool freed = STATE(w) == DROPPED && swap64(&slot_at(p, i)->word, &w, AFTER(w));
    (void)swap64(order_at(p, head), &entry, (head / order_length(p) + 1) << 24);
    move_on(&p->channel->own[HEAD], head);
    if (freed)
        doorbell_ring(p, &p->channel->room, 1);
}

/* Entries at the head whose call is not to be served are passed by. Returns the first place that is not so; UINT64_MAX: the words make no sense. */
static uint64_t first_in_order(const struct party *p)
{
    uint64_t n = order_length(p);
    for (uint64_t tries = 0; tries < 2 * n + 64; tries++) {
        uint64_t h = load64(&p->channel->own[HEAD]), e = load64(order_at(p, h)), lap = h / n;
        if (e >> 24 == lap && (!(e & ORDER_SLOT) || asked_at(p, h, e)))
            return h;
        if (e >> 24 < lap)
            return UINT64_MAX;
        if (e >> 24 == lap)
            pass_by(p, h, e);
        else
            move_on(&p->channel->own[HEAD], h);
    }
    return UINT64_MAX;
}

/* 0; -EAGAIN: full of others' calls that wait; -EUCLEAN */
static int put_in_order(const struct party *p, uint32_t slot)
{
    uint64_t *tail = &p->channel->own[TAIL], n = order_length(p);
    int full = 0; /* looked for what is at its head: a walk itself */
    for (uint64_t tries = 0; tries < 2 * n + 64; tries++) {
        uint64_t t = load64(tail), *at = order_at(p, t), e = load64(at), lap = t / n;
        if (e >> 24 < lap) { /* the last lap's is there still */
            uint64_t h = first_in_order(p);
            if (h == UINT64_MAX)
                return -EUCLEAN;
            if (t - h >= n)
                return -EAGAIN;
            if (++full == TRIES)
                return -EUCLEAN;
            continue;
        }
        if (e >> 24 == lap && !(e & ORDER_SLOT) && swap64(at, &e, e | (slot + 1))) {
            move_on(tail, t);
            return 0;
        }
        if (e >> 24 > lap || e & ORDER_SLOT)
            move_on(tail, t);
    }
    return -EUCLEAN;
}

static bool in_order(const struct party *p, uint32_t slot)
{
    for (uint64_t i = 0, n = order_length(p); i < n; i++)
        if ((load64(order_at(p, i)) & ORDER_SLOT) == slot + 1)
            return true;
    return false;
}

/* ---- dead and leaving ones ------------------------------------------------------------------------------------------ */

static void wake_client(const struct party *p, uint32_t seat)
{
    if (seat - 1 < p->shape.seats)
        doorbell_ring(p, (struct doorbell *)(void *)&seat_at(p, seat - 1)->own[BELL], INT32_MAX);
}

/* Into the order again, if its word is that still. Noted in the seat of the dead one first: whoever comes after a dead clearer does it again. Who clears the seat
 * rings when that is done. */
static bool redo(const struct party *p, struct channel_seat *seat, uint32_t i, uint64_t w)
{
    struct call_slot *slot = slot_at(p, i);
    bool done;
    store64(&seat->own[REDO], i + 1);
    done = swap64(&slot->word, &w, WORD(TURN(w), ASKED, load32(&slot->client) & 0xffff));
    if (done)
        (void)put_in_order(p, i); /* there is room: docs/channel.md, K2 */
    store64(&seat->own[REDO], 0);
    return done;
}

/* What the word says is to end with the seat. false: it changed meanwhile, look again. */
static bool give_back_one(const struct party *p, struct channel_seat *seat, uint32_t me, uint32_t i)
{
    struct call_slot *slot = slot_at(p, i);
    struct channel *c = p->channel;
    uint64_t w = load64(&slot->word);
    uint32_t client = load32(&slot->client) & 0xffff;
    bool mine = SEAT(w) == me;
    if (seat->role & TARN_RECEIVE) {
        if (!mine || (STATE(w) != TAKEN && STATE(w) != CANCELLED))
            return true;
        if (STATE(w) == CANCELLED)
            return swap64(&slot->word, &w, AFTER(w));
        if (load32(&slot->flags) & TARN_CALL_REPEATABLE) {
            store64(&c->again, c->again + 1);
            return redo(p, seat, i, w);
        }
        store64(&c->lost, c->lost + 1);
        __atomic_store_n(&slot->error, -EOWNERDEAD, __ATOMIC_RELEASE);
        if (!swap64(&slot->word, &w, WORD(TURN(w), FAILED, client)))
            return false;
        wake_client(p, client);
        return true;
    }
    if (STATE(w) == TAKEN)
        return client != me || swap64(&slot->word, &w, WORD(TURN(w), CANCELLED, SEAT(w)));
    if (!mine || STATE(w) == FREE || STATE(w) == CANCELLED)
        return true;
    /* Without an entry, as where its client died before that, nobody would find a dropped one. An entry that is passed by meanwhile changed the word. */
    return swap64(&slot->word, &w,
                  STATE(w) == ASKED && (load64(&seat->own[ASKING]) != i + 1 || in_order(p, i))
                      ? WORD(TURN(w), DROPPED, 0)
                      : AFTER(w));
}

static void give_back(const struct party *p, struct channel_seat *seat)
{
    uint32_t me = (uint32_t)(seat - p->seats) + 1;
    uint64_t again = load64(&seat->own[REDO]);
    if (again && again - 1 < p->shape.capacity) {
        (void)put_in_order(p, (uint32_t)again - 1); /* once too often is a stale entry */
        store64(&seat->own[REDO], 0);
    }
    for (uint32_t i = 0; i < p->shape.capacity; i++)
        for (int tries = 0; !give_back_one(p, seat, me, i) && tries < TRIES; tries++)
            ;
}

/* ---- looking -------------------------------------------------------------------------------------------------------- */

static bool settled(const struct party *p, uint32_t i, uint32_t me)
{
    uint64_t w = load64(&slot_at(p, i)->word);
    return (STATE(w) == ANSWERED || STATE(w) == FAILED) && SEAT(w) == me;
}

static bool dropped_at_head(const struct party *p)
{
    uint64_t e = load64(order_at(p, load64(&p->channel->own[HEAD])));
    uint32_t i = (uint32_t)(e & ORDER_SLOT) - 1;
    return i < p->shape.capacity && STATE(load64(&slot_at(p, i)->word)) == DROPPED;
}

/* Of what a client waits for, besides TARN_SEND, any response: */
enum { FOR_ONE = 1, FOR_ROOM = 2 };

static bool ready(const struct party *p, uint32_t role)
{
    const struct tarn_call *call = (const struct tarn_call *)p;
    if (role & TARN_RECEIVE) {
        uint64_t h = load64(&p->channel->own[HEAD]), e = load64(order_at(p, h));
        return e >> 24 != h / order_length(p) || e & ORDER_SLOT;
    }
    if (role & FOR_ONE)
        return settled(p, call->waiting - 1, call->seat);
    if (role & FOR_ROOM && dropped_at_head(p))
        return true;
    for (uint32_t i = 0; i < p->shape.capacity; i++)
        if (role & FOR_ROOM ? STATE(load64(&slot_at(p, i)->word)) == FREE : settled(p, i, call->seat))
            return true;
    return false;
}

/* What a client's descriptor waits for is a response. */
static struct doorbell *bell(const struct party *p, uint32_t role)
{
    return role & TARN_RECEIVE ? &p->channel->news : (struct doorbell *)(void *)&p->seat->own[BELL];
}

static uint64_t behind(const struct party *p, const struct channel_seat *seat)
{
    uint64_t n = 0;
    for (uint32_t i = 0; seat->role & TARN_RECEIVE && i < p->shape.capacity; i++)
        n += STATE(load64(&slot_at(p, i)->word)) == ASKED;
    return n;
}

static void stat(const struct party *p, struct tarn_channel_stat *stat)
{
    const struct channel_seat any = {.role = TARN_RECEIVE};
    stat->sent = load64(&p->channel->own[TAIL]);
    stat->received = load64(&p->channel->own[HEAD]);
    stat->waiting = behind(p, &any);
}

/* Of requests that are over nothing is left but their slots. */
static void sizes(const struct party *p, struct tarn_channel_sizes *s)
{
    uint64_t tail = load64(&p->channel->own[TAIL]), used = 0, bytes = 0;
    uint64_t asked = tail - channel_sizes_from(s, &s->at[0], tail, SIZES_MOST);
    for (uint32_t i = 0; asked && i < p->shape.capacity; i++) {
        const struct call_slot *slot = slot_at(p, i);
        uint64_t w = load64(&slot->word);
        uint32_t size = load32(&slot->request);
        if (STATE(w) == OPEN || (STATE(w) == FREE && !TURN(w)))
            continue;
        used++;
        bytes += size < p->shape.size ? size : p->shape.size;
    }
    if (!used) {
        s->missed += asked;
        return;
    }
    s->messages = asked;
    s->bytes = bytes * asked / used;
}

const struct channel_class call_class = {.type = CALL_TYPE_NAME,
                                         .noun = "call channel",
                                         .handle = sizeof(struct tarn_call),
                                         .bytes = bytes,
                                         .give_back = give_back,
                                         .behind = behind,
                                         .stat = stat,
                                         .sizes = sizes,
                                         .ready = ready,
                                         .bell = bell,
                                         .check = call_check};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

int tarn_call_open(tarn *seg, const char *name, unsigned flags, const struct tarn_channel_options *options,
                   tarn_call **ret_call)
{
    tarn_call *call;
    int e;
    if ((flags & (TARN_SEND | TARN_RECEIVE)) == (TARN_SEND | TARN_RECEIVE))
        return fail(-EINVAL,
                    "tarn_call_open: TARN_SEND or TARN_RECEIVE: who is client and server opens it twice");
    call = channel_open(seg, name, &call_class, flags, options, 0, "tarn_call_open", &e);
    if (!call)
        return e;
    if (call->party.seat)
        call->seat = (uint32_t)(call->party.seat - call->party.seats) + 1;
    *ret_call = call;
    return 0;
}

int tarn_call_close(tarn_call *call)
{
    if (!call)
        return 0;
    if (call->open && party_is_own(&call->party))
        return fail(-EBUSY, "tarn_call_close: \"%s\" has %u %s: end or cancel them first", call->party.name,
                    call->open,
                    call->party.role & TARN_SEND ? "calls that are not ended" : "requests not answered");
    channel_close(&call->party);
    return 0;
}

int tarn_call_poll(tarn_call *call, tarn_poll *poll)
{
    return channel_poll(&call->party, poll, "tarn_call_poll");
}

/* Who never sleeps notices the dead, too: each so many times that it finds nothing. */
static bool clear_now_and_then(tarn_call *call)
{
    enum { OFTEN = 16 };
    return ++call->idle % OFTEN == 0 && parties_dead(&call->party) && channel_clear_dead(&call->party);
}

/* ---- clients -------------------------------------------------------------------------------------------------------- */

static uint64_t id_of(uint32_t i, uint64_t w)
{
    return (TURN(w) & TURN_ID_MASK) << 24 | i;
}

/* The slot of a call of this handle in one of these states; its word. NULL: none; said. */
static struct call_slot *slot_of_id(tarn_call *call, uint64_t id, uint64_t *ret_word, const char *name)
{
    const struct party *p = &call->party;
    uint32_t i = ID_SLOT(id);
    if (i < p->shape.capacity) {
        struct call_slot *slot = slot_at(p, i);
        uint64_t w = load64(&slot->word);
        bool mine = SEAT(w) == call->seat || (STATE(w) == TAKEN && load32(&slot->client) == call->seat);
        if ((TURN(w) & TURN_ID_MASK) == ID_TURN(id) && STATE(w) != FREE && mine) {
            *ret_word = w;
            return slot;
        }
    }
    fail(-EINVAL, "%s: %#llx is no call of this handle on \"%s\" that is not ended", name,
         (unsigned long long)id, p->name);
    return NULL;
}

static int loan_free(tarn_call *call, uint32_t *ret_i, uint64_t *ret_word)
{
    const struct party *p = &call->party;
    for (uint32_t n = 0, i = call->hint; n < p->shape.capacity; n++, i = i + 1 < p->shape.capacity ? i + 1 : 0) {
        struct call_slot *slot = slot_at(p, i);
        uint64_t w = load64(&slot->word);
        if (STATE(w) != FREE || !swap64(&slot->word, &w, WORD(TURN(w), OPEN, call->seat)))
            continue;
        call->hint = *ret_i = i;
        *ret_word = WORD(TURN(w), OPEN, call->seat);
        call->open++;
        return 0;
    }
    return -EAGAIN;
}

static int loan_now(tarn_call *call, uint32_t *ret_i, uint64_t *ret_word)
{
    int e = loan_free(call, ret_i, ret_word);
    if (TARN_RARE(e == -EAGAIN) && first_in_order(&call->party) != UINT64_MAX) /* dropped ones may be free now */
        e = loan_free(call, ret_i, ret_word);
    return e;
}

static int loan(tarn_call *call, size_t size, enum mutex_wait how, const struct timespec *until,
                uint32_t *ret_i, uint64_t *ret_word, const char *name)
{
    struct party *p = &call->party;
    struct channel_wait w;
    int e = party_use(&call->party, TARN_SEND, how, until, name);
    if (e)
        return e;
    if (TARN_RARE(size > p->shape.size))
        return fail(-EMSGSIZE, "%s: a request of %zu bytes, and \"%s\" has room for %u", name, size, p->name,
                    p->shape.size);
    e = loan_now(call, ret_i, ret_word);
    if (e == -EAGAIN && how == MUTEX_TRY && clear_now_and_then(call))
        e = loan_now(call, ret_i, ret_word);
    if (TARN_RARE(e == -EAGAIN)) {
        w = channel_wait(p, &p->channel->room, TARN_SEND | FOR_ROOM, how, until);
        while (e == -EAGAIN && (e = channel_sleep(&w)) == 0)
            e = loan_now(call, ret_i, ret_word);
        channel_wait_end(&w);
    }
    if (e == -EAGAIN || e == -ETIMEDOUT)
        return fail(e, "%s: all %u calls of \"%s\" are in flight", name, p->shape.capacity, p->name);
    return e;
}

static int loan_public(tarn_call *call, size_t size, enum mutex_wait how, const struct timespec *until,
                       void **ret_at, uint64_t *ret_id, const char *name)
{
    uint32_t i;
    uint64_t w;
    int e = loan(call, size, how, until, &i, &w, name);
    if (e == 0) {
        struct call_slot *slot = slot_at(&call->party, i);
        store32(&slot->request, (uint32_t)size);
        *ret_at = request_at(&call->party, slot, size);
        *ret_id = id_of(i, w);
    }
    return e;
}
int tarn_call_loan(tarn_call *call, size_t size, void **ret_at, uint64_t *ret_id)
{
    return loan_public(call, size, MUTEX_WAIT, NULL, ret_at, ret_id, "tarn_call_loan");
}
int tarn_call_loan_try(tarn_call *call, size_t size, void **ret_at, uint64_t *ret_id)
{
    return loan_public(call, size, MUTEX_TRY, NULL, ret_at, ret_id, "tarn_call_loan_try");
}
int tarn_call_loan_timed(tarn_call *call, size_t size, void **ret_at, uint64_t *ret_id, const struct timespec *until)
{
    return loan_public(call, size, MUTEX_TIMED, until, ret_at, ret_id, "tarn_call_loan_timed");
}

/* The slot is OPEN, its request is whole. */
static int ask(tarn_call *call, uint32_t i, uint64_t w, unsigned flags)
{
    struct party *p = &call->party;
    struct call_slot *slot = slot_at(p, i);
    int e;
    store32(&slot->client, call->seat);
    store32(&slot->flags, flags);
    bell_arm(p->self);
    store64(&p->seat->own[ASKING], i + 1);
    store64(&slot->word, w = WORD(TURN(w), ASKED, call->seat)); /* commit point */
    e = put_in_order(p, i);
    store64(&p->seat->own[ASKING], 0);
    if (TARN_RARE(e < 0) && swap64(&slot->word, &w, AFTER(w))) { /* else it was found by a stale entry */
        call->open--;
        doorbell_ring(p, &p->channel->room, 1);
        bell_disarm(p->self);
        return e == -EUCLEAN
                   ? fail(e, "the order of requests of \"%s\" makes no sense: run tarn check", p->name)
                   : fail(e, "the order of requests of \"%s\" is full: its servers do not come on", p->name);
    }
    doorbell_ring(p, &p->channel->news, 1);
    bell_disarm(p->self);
    store64(&p->seat->messages, p->seat->messages + 1);
    return 0;
}

int tarn_call_begin(tarn_call *call, uint64_t id, unsigned flags, size_t size)
{
    struct call_slot *slot;
    uint64_t w;
    int e = party_use(&call->party, TARN_SEND, MUTEX_TRY, NULL, "tarn_call_begin");
    if (e)
        return e;
    if (flags & ~TARN_CALL_REPEATABLE)
        return fail(-EINVAL, "tarn_call_begin: flags %#x: TARN_CALL_REPEATABLE or 0", flags);
    slot = slot_of_id(call, id, &w, "tarn_call_begin");
    if (!slot)
        return -EINVAL;
    if (STATE(w) != OPEN || size > load32(&slot->request) || size > call->party.shape.size)
        return fail(-EINVAL, "tarn_call_begin: %#llx is asked already, or was loaned for less than %zu bytes",
                    (unsigned long long)id, size);
    /* A smaller one may belong where small ones stand. */
    if (size <= CALL_SMALL && load32(&slot->request) > CALL_SMALL)
        memcpy(slot->small, slot + 1, size);
    store32(&slot->request, (uint32_t)size);
    return ask(call, ID_SLOT(id), w, flags);
}

/* 0, with the slot's word; -EAGAIN: not answered; -EUCLEAN: it is another's, which nobody else could make it */
static inline int look(const struct call_slot *slot, uint64_t turn, uint64_t *ret_word)
{
    *ret_word = load64(&slot->word);
    if (STATE(*ret_word) == ANSWERED || STATE(*ret_word) == FAILED)
        return 0;
    return TARN_RARE(TURN(*ret_word) != turn) ? -EUCLEAN : -EAGAIN;
}

static int wait_for(tarn_call *call, struct call_slot *slot, uint32_t i, enum mutex_wait how,
                    const struct timespec *until, uint64_t *ret_word)
{
    struct party *p = &call->party;
    struct channel_wait wait;
    const uint64_t turn = TURN(*ret_word);
    int e = look(slot, turn, ret_word);
    if (e == -EAGAIN && how == MUTEX_TRY && clear_now_and_then(call))
        e = look(slot, turn, ret_word);
    if (e != -EAGAIN || how == MUTEX_TRY)
        return e;
    call->waiting = i + 1;
    wait = channel_wait(p, (struct doorbell *)(void *)&p->seat->own[BELL], TARN_SEND | FOR_ONE, how, until);
    while (e == -EAGAIN && (e = channel_sleep(&wait)) == 0)
        e = look(slot, turn, ret_word);
    channel_wait_end(&wait);
    return e;
}

static void end(tarn_call *call, struct call_slot *slot, uint64_t w)
{
    struct party *p = &call->party;
    call->open--;
    bell_arm(p->self);
    store64(&slot->word, AFTER(w));
    doorbell_ring(p, &p->channel->room, 1);
    bell_disarm(p->self);
}

static int foreign(const tarn_call *call, const char *name)
{
    return fail(-EUCLEAN, "%s: a call of \"%s\" was changed by somebody else: run tarn check", name,
                call->party.name);
}

/* The call has failed: it is ended, and its client told. */
static int failed(tarn_call *call, struct call_slot *slot, uint64_t w, const char *name)
{
    int error = __atomic_load_n(&slot->error, __ATOMIC_RELAXED);
    if (error > -1 || error < -4095 || error == -EAGAIN || error == -ETIMEDOUT)
        error = -EUCLEAN;
    end(call, slot, w);
    if (error == -EOWNERDEAD)
        return fail(error, "%s: the server that had the request to \"%s\" died, or closed, before it answered",
                    name, call->party.name);
    return fail(error, "%s: the server of \"%s\" answered with error %d", name, call->party.name, error);
}

static const char *response_at(const struct party *p, struct call_slot *slot, size_t *ret_size)
{
    uint32_t size = load32(&slot->response);
    bool far = load32(&slot->flags) & CALL_FAR;
    if (size > p->shape.size || (!far && size > CALL_SMALL))
        size = 0; /* hostile */
    *ret_size = size;
    return far ? response_far(p, slot) : slot->small;
}

static int ask_and_wait(tarn_call *call, unsigned flags, const void *request, size_t size, void *response,
                        size_t room, size_t *ret_size, enum mutex_wait how, const struct timespec *until,
                        const char *name)
{
    struct party *p = &call->party;
    struct call_slot *slot;
    const char *from;
    uint64_t w, id;
    uint32_t i;
    size_t has;
    int e;
    if (TARN_RARE(flags & ~TARN_CALL_REPEATABLE))
        return fail(-EINVAL, "%s: flags %#x: TARN_CALL_REPEATABLE or 0", name, flags);
    e = loan(call, size, how, until, &i, &w, name);
    if (TARN_RARE(e < 0))
        return e;
    id = id_of(i, w);
    slot = slot_at(p, i);
    store32(&slot->request, (uint32_t)size);
    if (size)
        memcpy(request_at(p, slot, size), request, size);
    e = ask(call, i, w, flags);
    if (TARN_RARE(e < 0))
        return e;
    e = wait_for(call, slot, i, how, until, &w);
    if (TARN_RARE(e < 0)) {
        int f = tarn_call_cancel(call, id);
        return f < 0 || e != -ETIMEDOUT
                   ? e == -ETIMEDOUT ? f : foreign(call, name)
                   : fail(-ETIMEDOUT, "%s: no server of \"%s\" answered in time: the request was taken back",
                          name, p->name);
    }
    if (TARN_RARE(STATE(w) == FAILED))
        return failed(call, slot, w, name);
    from = response_at(p, slot, &has);
    if (has && room)
        memcpy(response, from, has < room ? has : room);
    if (ret_size)
        *ret_size = has;
    end(call, slot, w);
    return 0;
}
int tarn_call_ask(tarn_call *call, unsigned flags, const void *request, size_t size, void *response,
                  size_t room, size_t *ret_size)
{
    return ask_and_wait(call, flags, request, size, response, room, ret_size, MUTEX_WAIT, NULL, "tarn_call_ask");
}
int tarn_call_ask_timed(tarn_call *call, unsigned flags, const void *request, size_t size, void *response,
                        size_t room, size_t *ret_size, const struct timespec *until)
{
    return ask_and_wait(call, flags, request, size, response, room, ret_size, MUTEX_TIMED, until,
                        "tarn_call_ask_timed");
}

static int wait_public(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size,
                       enum mutex_wait how, const struct timespec *until, const char *name)
{
    struct call_slot *slot;
    uint64_t w;
    int e = party_use(&call->party, TARN_SEND, how, until, name);
    if (e)
        return e;
    slot = slot_of_id(call, id, &w, name);
    if (!slot)
        return -EINVAL;
    if (STATE(w) == OPEN)
        return fail(-EINVAL, "%s: %#llx is a loan that was not asked yet: tarn_call_begin", name,
                    (unsigned long long)id);
    e = wait_for(call, slot, ID_SLOT(id), how, until, &w);
    if (e == -EUCLEAN) {
        call->open--;
        return foreign(call, name);
    }
    if (e < 0)
        return fail(e, "%s: call %#llx of \"%s\" is not answered", name, (unsigned long long)id, call->party.name);
    if (STATE(w) == FAILED)
        return failed(call, slot, w, name);
    *ret_at = response_at(&call->party, slot, ret_size);
    return 0;
}
int tarn_call_wait(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size)
{
    return wait_public(call, id, ret_at, ret_size, MUTEX_WAIT, NULL, "tarn_call_wait");
}
int tarn_call_wait_try(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size)
{
    return wait_public(call, id, ret_at, ret_size, MUTEX_TRY, NULL, "tarn_call_wait_try");
}
int tarn_call_wait_timed(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size,
                         const struct timespec *until)
{
    return wait_public(call, id, ret_at, ret_size, MUTEX_TIMED, until, "tarn_call_wait_timed");
}

int tarn_call_end(tarn_call *call, uint64_t id)
{
    struct call_slot *slot;
    uint64_t w;
    int e = party_use(&call->party, TARN_SEND, MUTEX_TRY, NULL, "tarn_call_end");
    if (e)
        return e;
    slot = slot_of_id(call, id, &w, "tarn_call_end");
    if (!slot)
        return -EINVAL;
    if (STATE(w) != ANSWERED && STATE(w) != FAILED)
        return fail(-EINVAL, "tarn_call_end: call %#llx of \"%s\" is not answered: tarn_call_cancel takes it back",
                    (unsigned long long)id, call->party.name);
    end(call, slot, w);
    return 0;
}

int tarn_call_cancel(tarn_call *call, uint64_t id)
{
    struct party *p = &call->party;
    struct call_slot *slot;
    uint64_t w;
    int e = party_use(&call->party, TARN_SEND, MUTEX_TRY, NULL, "tarn_call_cancel");
    if (e)
        return e;
    slot = slot_of_id(call, id, &w, "tarn_call_cancel");
    if (!slot)
        return -EINVAL;
    bell_arm(p->self);
    for (int tries = 0; !swap64(&slot->word, &w,
                                STATE(w) == TAKEN   ? WORD(TURN(w), CANCELLED, SEAT(w))
                                : STATE(w) == ASKED ? WORD(TURN(w), DROPPED, 0)
                                                    : AFTER(w));
         tries++) /* a server took it, or answered, or its death was noticed */
        if (tries == TRIES || (TURN(w) & TURN_ID_MASK) != ID_TURN(id)) {
            bell_disarm(p->self);
            call->open--;
            return fail(-EUCLEAN, "tarn_call_cancel: a call of \"%s\" was changed by somebody else: run tarn check",
                        p->name);
        }
    doorbell_ring(p, &p->channel->room, 1);
    bell_disarm(p->self);
    call->open--;
    return 0;
}

/* ---- servers -------------------------------------------------------------------------------------------------------- */

static int next_now(tarn_call *call, struct tarn_request *ret)
{
    const struct party *p = &call->party;
    uint64_t *head = &p->channel->own[HEAD], n = order_length(p);
    for (uint64_t tries = 0; tries < 2 * n + 64; tries++) {
        uint64_t h = load64(head), e = load64(order_at(p, h)), lap = h / n, w;
        bool mine = false;
        uint32_t i = (uint32_t)(e & ORDER_SLOT) - 1;
        if (e >> 24 == lap && !(e & ORDER_SLOT))
            return -EAGAIN;
        if (e >> 24 < lap)
            return -EUCLEAN;
        if (e >> 24 == lap) {
            if ((w = asked_at(p, h, e)))
                mine = swap64(&slot_at(p, i)->word, &w, WORD(TURN(w), TAKEN, call->seat));
            pass_by(p, h, e);
        } else
            move_on(head, h);
        if (mine) {
            struct call_slot *slot = slot_at(p, i);
            if (TARN_RARE(load32(&p->channel->room.sleepers))) /* dropped ones that stood behind it are room */
                (void)first_in_order(p);
            uint32_t size = load32(&slot->request);
            uint32_t client = load32(&slot->client) - 1;
            if (size > p->shape.size)
                size = 0; /* hostile */
            *ret = (struct tarn_request){.id = id_of(i, w),
                                         .at = request_at(p, slot, size),
                                         .size = size,
                                         .flags = load32(&slot->flags) & TARN_CALL_REPEATABLE,
                                         .client = client < p->shape.seats ? load32(&seat_at(p, client)->id) : 0};
            call->open++;
            return 0;
        }
    }
    return -EAGAIN;
}

static int next(tarn_call *call, struct tarn_request *ret, enum mutex_wait how, const struct timespec *until,
                const char *name)
{
    struct party *p = &call->party;
    struct channel_wait w;
    int e = party_use(&call->party, TARN_RECEIVE, how, until, name);
    if (e)
        return e;
    e = next_now(call, ret);
    if (e == -EAGAIN && how == MUTEX_TRY && clear_now_and_then(call))
        e = next_now(call, ret);
    if (e == -EAGAIN && how != MUTEX_TRY) {
        w = channel_wait(p, &p->channel->news, TARN_RECEIVE, how, until);
        while (e == -EAGAIN && (e = channel_sleep(&w)) == 0)
            e = next_now(call, ret);
        channel_wait_end(&w);
    }
    if (e == -EUCLEAN)
        return fail(e, "%s: the order of requests of \"%s\" makes no sense: run tarn check", name, p->name);
    if (e < 0)
        return fail(e, "%s: there is no request at \"%s\"", name, p->name);
    store64(&p->seat->messages, p->seat->messages + 1);
    return 0;
}
int tarn_call_next(tarn_call *call, struct tarn_request *ret_request)
{
    return next(call, ret_request, MUTEX_WAIT, NULL, "tarn_call_next");
}
int tarn_call_next_try(tarn_call *call, struct tarn_request *ret_request)
{
    return next(call, ret_request, MUTEX_TRY, NULL, "tarn_call_next_try");
}
int tarn_call_next_timed(tarn_call *call, struct tarn_request *ret_request, const struct timespec *until)
{
    return next(call, ret_request, MUTEX_TIMED, until, "tarn_call_next_timed");
}

/* The slot of a request that this server has in hand, or had until its client took it back. */
static struct call_slot *in_hand(tarn_call *call, uint64_t id, uint64_t *ret_word, const char *name)
{
    uint32_t i = ID_SLOT(id);
    if (i < call->party.shape.capacity) {
        struct call_slot *slot = slot_at(&call->party, i);
        uint64_t w = *ret_word = load64(&slot->word);
        if ((TURN(w) & TURN_ID_MASK) == ID_TURN(id) && SEAT(w) == call->seat &&
            (STATE(w) == TAKEN || STATE(w) == CANCELLED))
            return slot;
    }
    fail(-EINVAL, "%s: %#llx is no request that this handle on \"%s\" has in hand", name,
         (unsigned long long)id, call->party.name);
    return NULL;
}

int tarn_call_room(tarn_call *call, uint64_t id, void **ret_at)
{
    struct call_slot *slot;
    uint64_t w;
    int e = party_use(&call->party, TARN_RECEIVE, MUTEX_TRY, NULL, "tarn_call_room");
    if (e)
        return e;
    slot = in_hand(call, id, &w, "tarn_call_room");
    if (!slot)
        return -EINVAL;
    *ret_at = response_far(&call->party, slot);
    return 0;
}

int tarn_call_cancelled(tarn_call *call, uint64_t id)
{
    uint64_t w;
    int e = party_use(&call->party, TARN_RECEIVE, MUTEX_TRY, NULL, "tarn_call_cancelled");
    if (e)
        return e;
    return in_hand(call, id, &w, "tarn_call_cancelled") ? STATE(w) == CANCELLED : -EINVAL;
}

static int settle(tarn_call *call, struct call_slot *slot, uint64_t w, enum state state, const char *name)
{
    struct party *p = &call->party;
    uint32_t client = load32(&slot->client) & 0xffff;
    call->open--;
    bell_arm(p->self);
    for (int tries = 0;
         STATE(w) == TAKEN && tries < TRIES && !swap64(&slot->word, &w, WORD(TURN(w), state, client)); tries++)
        ;
    if (TARN_RARE(STATE(w) == CANCELLED)) {
        store64(&slot->word, AFTER(w));
        doorbell_ring(p, &p->channel->room, 1);
        bell_disarm(p->self);
        return fail(-ECANCELED, "%s: the client of this request to \"%s\" took it back, or died", name, p->name);
    }
    wake_client(p, client);
    bell_disarm(p->self);
    return 0;
}

int tarn_call_answer(tarn_call *call, uint64_t id, const void *response, size_t size)
{
    const struct party *p = &call->party;
    struct call_slot *slot;
    uint64_t w;
    uint32_t flags;
    bool far;
    int e = party_use(&call->party, TARN_RECEIVE, MUTEX_TRY, NULL, "tarn_call_answer");
    if (e)
        return e;
    slot = in_hand(call, id, &w, "tarn_call_answer");
    if (!slot)
        return -EINVAL;
    if (TARN_RARE(size > p->shape.size))
        return fail(-EMSGSIZE, "tarn_call_answer: a response of %zu bytes, and \"%s\" has room for %u", size,
                    p->name, p->shape.size);
    /* A request that may have to be done again stays whole. */
    far = size > CALL_SMALL || response == response_far(p, slot) || load32(&slot->flags) & TARN_CALL_REPEATABLE;
    if (!far && size)
        memmove(slot->small, response, size); /* over the request, which may be where it comes from */
    else if (size && response != response_far(p, slot))
        memmove(response_far(p, slot), response, size);
    store32(&slot->response, (uint32_t)size);
    flags = load32(&slot->flags) & ~CALL_FAR;
    store32(&slot->flags, far ? flags | CALL_FAR : flags);
    return settle(call, slot, w, ANSWERED, "tarn_call_answer");
}

int tarn_call_fail(tarn_call *call, uint64_t id, int error)
{
    struct call_slot *slot;
    uint64_t w;
    int e = party_use(&call->party, TARN_RECEIVE, MUTEX_TRY, NULL, "tarn_call_fail");
    if (e)
        return e;
    if (error > -1 || error < -4095 || error == -EAGAIN || error == -ETIMEDOUT)
        return fail(-EINVAL, "tarn_call_fail: %d is no error, -4095 to -1, or one that says that the call is under way still",
                    error);
    slot = in_hand(call, id, &w, "tarn_call_fail");
    if (!slot)
        return -EINVAL;
    __atomic_store_n(&slot->error, error, __ATOMIC_RELEASE);
    return settle(call, slot, w, FAILED, "tarn_call_fail");
}

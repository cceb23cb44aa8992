/* channel/ring_calls.c - sending and receiving by a ring. docs/channel.md
 *
 * Each call is one try, inline, and behind it, out of line, what says why it was refused, waits, and tries again. Commit points are those of ring.h;
 * the doorbell is rung behind them, and who dies in between is watched by who sleeps there. */
#include "channel/ring.h"

/* A try, for the slow way. */
struct act {
    int (*once)(struct tarn_ring *r, const struct act *a);
    const char *call;
    uint32_t role;
    const void *from;
    void *to;
    const void **ret_place;
    size_t size;  /* of a message; room for one */
    size_t count; /* of messages */
    size_t *sizes, *ret;
};

static inline struct doorbell *bell_of(const struct tarn_ring *r, uint32_t role)
{
    return role == TARN_RECEIVE ? &r->party.channel->news : &r->party.channel->room;
}

static __attribute__((noinline)) int failed(const struct tarn_ring *r, const struct act *a, int e)
{
    bool send = a->role == TARN_SEND;
    switch (e) {
    case -EAGAIN: return fail_constant(e, send ? "the ring is full" : "the ring is empty");
    case -ETIMEDOUT:
        return fail(e, "%s: the ring \"%s\" %s in time", a->call, r->party.name,
                    send ? "had no room" : "got no message");
    case -EUCLEAN: return ring_damaged(r);
    case -EMSGSIZE:
        return send ? fail(e, "%s: a message of %zu bytes: the ring \"%s\" takes up to %u", a->call, a->size,
                           r->party.name, r->shape.size)
                    : fail(e, "%s: the next message of \"%s\" is larger than the room of %zu bytes: it stays there",
                           a->call, r->party.name, a->size);
    case -EBUSY:
        return fail(e, "%s: a %s of \"%s\" is in hand: %s it first", a->call, send ? "loan" : "message",
                    r->party.name, send ? "send or drop" : "release");
    default: return e;
    }
}

/* Why not at once, and then until it is done, or time is up. */
static __attribute__((noinline)) int in_time(struct tarn_ring *r, const struct act *a, enum mutex_wait how,
                                             const struct timespec *until)
{
    struct party *p = &r->party;
    struct channel_wait w;
    int e = party_refused(p, a->role, a->call);
    if (e || (how == MUTEX_TIMED && (e = sync_deadline(until, a->call))))
        return e;
    if (!a->count)
        return fail(-EINVAL, "%s: 0 messages", a->call);
    if (r->hand)
        return failed(r, a, -EBUSY);
    if (a->role == TARN_SEND && a->size > r->shape.size)
        return failed(r, a, -EMSGSIZE);
    e = a->once(r, a);
    if (e != -EAGAIN || how == MUTEX_TRY)
        return e ? failed(r, a, e) : 0;
    if (a->role == TARN_SEND)
        store64(&p->seat->own[1], 1 + a->size);
    w = channel_wait(p, bell_of(r, a->role), a->role, how, until);
    while ((e = channel_sleep(&w)) == 0 && (e = a->once(r, a)) == -EAGAIN)
        ;
    w.slept = false; /* all who sleep at these bells are woken at once */
    channel_wait_end(&w);
    if (a->role == TARN_SEND)
        store64(&p->seat->own[1], 0);
    return e ? failed(r, a, e) : 0;
}

static inline bool may(const struct tarn_ring *r, uint32_t role)
{
    return !TARN_RARE(!party_may(&r->party, role) || r->hand);
}

static inline int enter(struct tarn_ring *r, const struct act *a, enum mutex_wait how, const struct timespec *until)
{
    if (may(r, a->role) && !TARN_RARE(a->role == TARN_SEND && a->size > r->shape.size) && !TARN_RARE(!a->count)) {
        int e = a->once(r, a);
        if (e == 0)
            return 0;
        if (e == -EAGAIN && how == MUTEX_TRY)
            return failed(r, a, e);
    }
    return in_time(r, a, how, until);
}

/* ---- send ---- */

static inline void ring_news(const struct tarn_ring *r)
{
    doorbell_ring(&r->party, &r->party.channel->news, INT32_MAX);
}

static inline int send_once(struct tarn_ring *r, const struct act *a)
{
    void *place;
    int e = ring_room(r, a->size, &place);
    if (e)
        return e;
    ring_copy(place, a->from, a->size);
    ring_put(r, a->size);
    ring_flush(r);
    ring_news(r);
    return 0;
}

int tarn_ring_send(tarn_ring *ring, const void *message, size_t size)
{
    const struct act a = {
        .once = send_once, .call = __func__, .role = TARN_SEND, .from = message, .size = size, .count = 1};
    return enter(ring, &a, MUTEX_WAIT, NULL);
}
int tarn_ring_send_try(tarn_ring *ring, const void *message, size_t size)
{
    const struct act a = {
        .once = send_once, .call = __func__, .role = TARN_SEND, .from = message, .size = size, .count = 1};
    return enter(ring, &a, MUTEX_TRY, NULL);
}
int tarn_ring_send_timed(tarn_ring *ring, const void *message, size_t size, const struct timespec *until)
{
    const struct act a = {
        .once = send_once, .call = __func__, .role = TARN_SEND, .from = message, .size = size, .count = 1};
    return enter(ring, &a, MUTEX_TIMED, until);
}

static int send_many_once(struct tarn_ring *r, const struct act *a)
{
    const char *from = a->from;
    size_t n = 0;
    int e = 0;
    for (; n < a->count; n++) {
        void *place;
        e = ring_room(r, a->size, &place);
        if (e)
            break;
        ring_copy(place, from + n * a->size, a->size);
        ring_put(r, a->size);
        if (!r->shape.bytes && r->index == r->shape.each)
            ring_flush(r);
    }
    if (!n)
        return e;
    if (r->shape.bytes || r->index)
        ring_flush(r);
    ring_news(r);
    *a->ret = n;
    return 0;
}

#define MANY_SEND                                                                                            \
    {                                                                                                        \
        .once = send_many_once, .call = __func__, .role = TARN_SEND, .from = messages, .size = size,         \
        .count = count, .ret = ret_count                                                                     \
    }
int tarn_ring_send_many(tarn_ring *ring, const void *messages, size_t size, size_t count, size_t *ret_count)
{
    const struct act a = MANY_SEND;
    return enter(ring, &a, MUTEX_WAIT, NULL);
}
int tarn_ring_send_many_try(tarn_ring *ring, const void *messages, size_t size, size_t count, size_t *ret_count)
{
    const struct act a = MANY_SEND;
    return enter(ring, &a, MUTEX_TRY, NULL);
}
int tarn_ring_send_many_timed(tarn_ring *ring, const void *messages, size_t size, size_t count, size_t *ret_count,
                              const struct timespec *until)
{
    const struct act a = MANY_SEND;
    return enter(ring, &a, MUTEX_TIMED, until);
}

/* ---- loans ---- */

static inline int loan_once(struct tarn_ring *r, const struct act *a)
{
    int e = ring_room(r, a->size, a->to);
    if (e)
        return e;
    r->hand = true;
    r->hand_size = a->size;
    return 0;
}

#define LOAN                                                                                                 \
    {                                                                                                        \
        .once = loan_once, .call = __func__, .role = TARN_SEND, .to = ret_message, .size = size, .count = 1  \
    }
int tarn_ring_loan(tarn_ring *ring, size_t size, void **ret_message)
{
    const struct act a = LOAN;
    return enter(ring, &a, MUTEX_WAIT, NULL);
}
int tarn_ring_loan_try(tarn_ring *ring, size_t size, void **ret_message)
{
    const struct act a = LOAN;
    return enter(ring, &a, MUTEX_TRY, NULL);
}
int tarn_ring_loan_timed(tarn_ring *ring, size_t size, void **ret_message, const struct timespec *until)
{
    const struct act a = LOAN;
    return enter(ring, &a, MUTEX_TIMED, until);
}

/* 0, or why what is in hand may not be given away. */
static inline int hand_refused(const struct tarn_ring *r, uint32_t role, const char *call)
{
    int e;
    if (TARN_RARE(!party_may(&r->party, role)) && (e = party_refused(&r->party, role, call)))
        return e;
    return TARN_RARE(!r->hand) ? fail(-EINVAL, "%s: nothing of \"%s\" is in hand", call, r->party.name) : 0;
}

int tarn_ring_send_loan(tarn_ring *ring, size_t size)
{
    int e = hand_refused(ring, TARN_SEND, __func__);
    if (e)
        return e;
    if (TARN_RARE(size > ring->hand_size))
        return fail(-EMSGSIZE, "%s: %zu bytes of a loan of %zu", __func__, size, ring->hand_size);
    ring->hand = false;
    ring_put(ring, size);
    ring_flush(ring);
    ring_news(ring);
    return 0;
}

int tarn_ring_drop_loan(tarn_ring *ring)
{
    int e = hand_refused(ring, TARN_SEND, __func__);
    if (e == 0)
        ring->hand = false;
    return e;
}

/* ---- receive ---- */

static inline void ring_room_again(const struct tarn_ring *r)
{
    doorbell_ring(&r->party, &r->party.channel->room, INT32_MAX);
}

static inline int receive_once(struct tarn_ring *r, const struct act *a)
{
    const void *message;
    uint64_t size;
    int e = ring_front(r, &message, &size);
    if (e)
        return e;
    if (TARN_RARE(size > a->size))
        return -EMSGSIZE;
    ring_copy(a->to, message, size);
    ring_next(r);
    ring_release(r);
    ring_room_again(r);
    if (a->ret)
        *a->ret = size;
    return 0;
}

#define RECEIVE                                                                                              \
    {                                                                                                        \
        .once = receive_once, .call = __func__, .role = TARN_RECEIVE, .to = buffer, .size = room, .count = 1, \
        .ret = ret_size                                                                                      \
    }
int tarn_ring_receive(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size)
{
    const struct act a = RECEIVE;
    return enter(ring, &a, MUTEX_WAIT, NULL);
}
int tarn_ring_receive_try(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size)
{
    const struct act a = RECEIVE;
    return enter(ring, &a, MUTEX_TRY, NULL);
}
int tarn_ring_receive_timed(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size, const struct timespec *until)
{
    const struct act a = RECEIVE;
    return enter(ring, &a, MUTEX_TIMED, until);
}

static int receive_many_once(struct tarn_ring *r, const struct act *a)
{
    char *to = a->to;
    size_t n = 0;
    int e = 0;
    for (; n < a->count; n++) {
        const void *message;
        uint64_t size;
        e = ring_front(r, &message, &size);
        if (e)
            break;
        if (TARN_RARE(size > a->size)) {
            e = -EMSGSIZE;
            break;
        }
        ring_copy(to + n * a->size, message, size);
        if (a->sizes)
            a->sizes[n] = size;
        ring_next(r);
    }
    if (!n)
        return e;
    ring_release(r);
    ring_room_again(r);
    *a->ret = n;
    return 0;
}

#define MANY_RECEIVE                                                                                         \
    {                                                                                                        \
        .once = receive_many_once, .call = __func__, .role = TARN_RECEIVE, .to = buffer, .size = room,       \
        .count = count, .sizes = sizes, .ret = ret_count                                                     \
    }
int tarn_ring_receive_many(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes, size_t *ret_count)
{
    const struct act a = MANY_RECEIVE;
    return enter(ring, &a, MUTEX_WAIT, NULL);
}
int tarn_ring_receive_many_try(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes,
                               size_t *ret_count)
{
    const struct act a = MANY_RECEIVE;
    return enter(ring, &a, MUTEX_TRY, NULL);
}
int tarn_ring_receive_many_timed(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes,
                                 size_t *ret_count, const struct timespec *until)
{
    const struct act a = MANY_RECEIVE;
    return enter(ring, &a, MUTEX_TIMED, until);
}

/* ---- in place ---- */

static inline int take_once(struct tarn_ring *r, const struct act *a)
{
    uint64_t size;
    const void *message;
    int e = ring_front(r, &message, &size);
    if (e)
        return e;
    store64(&r->party.seat->own[0], 1);
    r->hand = true;
    *a->ret_place = message;
    *a->ret = size;
    return 0;
}

#define TAKE                                                                                                 \
    {                                                                                                        \
        .once = take_once, .call = __func__, .role = TARN_RECEIVE, .ret_place = ret_message, .count = 1,     \
        .ret = ret_size                                                                                      \
    }
int tarn_ring_take(tarn_ring *ring, const void **ret_message, size_t *ret_size)
{
    const struct act a = TAKE;
    return enter(ring, &a, MUTEX_WAIT, NULL);
}
int tarn_ring_take_try(tarn_ring *ring, const void **ret_message, size_t *ret_size)
{
    const struct act a = TAKE;
    return enter(ring, &a, MUTEX_TRY, NULL);
}
int tarn_ring_take_timed(tarn_ring *ring, const void **ret_message, size_t *ret_size, const struct timespec *until)
{
    const struct act a = TAKE;
    return enter(ring, &a, MUTEX_TIMED, until);
}

int tarn_ring_release(tarn_ring *ring)
{
    int e = hand_refused(ring, TARN_RECEIVE, __func__);
    if (e)
        return e;
    ring->hand = false;
    ring_next(ring);
    ring_release(ring);
    store64(&ring->party.seat->own[0], 0);
    ring_room_again(ring);
    return 0;
}

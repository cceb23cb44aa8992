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

static int is_full(void)
{
    return fail_constant(-EAGAIN, "the ring is full");
}
static int is_empty(void)
{
    return fail_constant(-EAGAIN, "the ring is empty");
}

static __attribute__((noinline)) int failed(const struct tarn_ring *r, const struct act *a, int e)
{
    bool send = a->role == TARN_SEND;
    switch (e) {
    case -EAGAIN: return send ? is_full() : is_empty();
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
    int e = party_use(p, a->role, how, until, a->call);
    if (e)
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

/* May the thread use the ring so, with nothing in its hand? */
static inline bool may(const struct tarn_ring *r, uint32_t role)
{
    return !TARN_RARE(!party_may(&r->party, role) || r->hand);
}
/* ... the quick way, behind a look at quick_send or quick_receive, that are 0 for the other role and with something in hand? */
static inline __attribute__((always_inline)) bool is_mine(const struct tarn_ring *r)
{
    const struct self *s = self_last;
    return !TARN_RARE(s != r->party.self) && !TARN_RARE(s->id != r->party.id) && !TARN_RARE(s->depth);
}

/* ---- send ---- */

static inline void ring_news(const struct tarn_ring *r)
{
    doorbell_ring(&r->party, &r->party.channel->news, INT32_MAX);
}

static inline int send_now(struct tarn_ring *r, const void *message, size_t size)
{
    void *place;
    int e = ring_room(r, size, &place);
    if (e)
        return e;
    ring_copy(place, message, size);
    ring_put(r, size);
    ring_flush(r);
    ring_news(r);
    return 0;
}
static int send_act(struct tarn_ring *r, const struct act *a)
{
    return send_now(r, a->from, a->size);
}

static __attribute__((noinline)) int send_slow(struct tarn_ring *r, const void *message, size_t size,
                                               enum mutex_wait how, const struct timespec *until, const char *call)
{
    if (may(r, TARN_SEND) && size <= r->shape.size) {
        int e = send_now(r, message, size);
        if (e == 0)
            return 0;
        if (e == -EAGAIN && how == MUTEX_TRY)
            return is_full();
    }
    const struct act a = {
        .once = send_act, .call = call, .role = TARN_SEND, .from = message, .size = size, .count = 1};
    return in_time(r, &a, how, until);
}

/* What is large or small, or of a ring of bytes, goes the other way. */
static inline __attribute__((always_inline)) bool send_quick(struct tarn_ring *r, const void *message, size_t size)
{
    uint64_t at = r->at, i;
    if (TARN_RARE(size - RING_QUICK_LEAST >= r->quick_send) || TARN_RARE(at == r->free) || !is_mine(r))
        return false;
    i = at - r->line_at;
    ring_copy_quick(r->line + RING_HEADER + i * r->shape.stride, message, size);
    r->control += 1ull << RING_COUNT_SHIFT | size << (uint32_t)i * r->shape.width;
    r->at = at + 1;
    ring_flush_slots(r);
    doorbell_ring_quick(&r->party.channel->news, INT32_MAX);
    return true;
}

int tarn_ring_send(tarn_ring *ring, const void *message, size_t size)
{
    return send_quick(ring, message, size) ? 0 : send_slow(ring, message, size, MUTEX_WAIT, NULL, __func__);
}
int tarn_ring_send_try(tarn_ring *ring, const void *message, size_t size)
{
    return send_quick(ring, message, size) ? 0 : send_slow(ring, message, size, MUTEX_TRY, NULL, __func__);
}
int tarn_ring_send_timed(tarn_ring *ring, const void *message, size_t size, const struct timespec *until)
{
    return send_quick(ring, message, size) ? 0 : send_slow(ring, message, size, MUTEX_TIMED, until, __func__);
}

/* As many of these as there is room for in the line go into it, with one store of its control word. 0, -EAGAIN, -EUCLEAN. */
static int send_line(struct tarn_ring *r, const char *from, size_t size, size_t count, size_t *ret_n)
{
    uint64_t n = r->line_end - r->at, i = r->at - r->line_at;
    char *to = r->line + RING_HEADER + i * r->shape.stride;
    int e;
    if (TARN_RARE(r->at == r->free) && (e = ring_look_at_head(r)))
        return e;
    n = n < count ? n : count;
    n = n < r->free - r->at ? n : r->free - r->at;
    if (size == 8 && r->shape.stride == 8)
        ring_copy_words(to, from, n);
    else
        for (uint64_t k = 0; k < n; k++)
            ring_copy(to + k * r->shape.stride, from + k * size, size);
    r->control += n << RING_COUNT_SHIFT | (size * (r->ones & ~(~0ull << n * r->shape.width))) << i * r->shape.width;
    r->at += n;
    ring_flush_slots(r);
    *ret_n = n;
    return 0;
}

/* As many as there is room for. */
static int send_many_now(struct tarn_ring *r, const char *from, size_t size, size_t count, size_t *ret_count)
{
    size_t n = 0;
    int e = 0;
    while (n < count && !e) {
        size_t more = 0;
        void *place;
        if (!r->shape.bytes)
            e = send_line(r, from + n * size, size, count - n, &more);
        else if ((e = ring_room(r, size, &place)) == 0) {
            ring_copy(place, from + n * size, size);
            ring_put(r, size);
            more = 1;
        }
        n += more;
    }
    if (!n)
        return e;
    if (r->shape.bytes)
        ring_flush(r);
    ring_news(r);
    *ret_count = n;
    return 0;
}
static int send_many_act(struct tarn_ring *r, const struct act *a)
{
    return send_many_now(r, a->from, a->size, a->count, a->ret);
}

static int send_many(struct tarn_ring *r, const void *messages, size_t size, size_t count, size_t *ret_count,
                     enum mutex_wait how, const struct timespec *until, const char *call)
{
    const struct act a = {.once = send_many_act,
                          .call = call,
                          .role = TARN_SEND,
                          .from = messages,
                          .size = size,
                          .count = count,
                          .ret = ret_count};
    if (may(r, TARN_SEND) && size <= r->shape.size && count) {
        int e = send_many_now(r, messages, size, count, ret_count);
        if (e == 0)
            return 0;
        if (e == -EAGAIN && how == MUTEX_TRY)
            return is_full();
    }
    return in_time(r, &a, how, until);
}

int tarn_ring_send_many(tarn_ring *ring, const void *messages, size_t size, size_t count, size_t *ret_count)
{
    return send_many(ring, messages, size, count, ret_count, MUTEX_WAIT, NULL, __func__);
}
int tarn_ring_send_many_try(tarn_ring *ring, const void *messages, size_t size, size_t count, size_t *ret_count)
{
    return send_many(ring, messages, size, count, ret_count, MUTEX_TRY, NULL, __func__);
}
int tarn_ring_send_many_timed(tarn_ring *ring, const void *messages, size_t size, size_t count,
                              size_t *ret_count, const struct timespec *until)
{
    return send_many(ring, messages, size, count, ret_count, MUTEX_TIMED, until, __func__);
}

/* ---- loans ---- */

static inline void in_hand(struct tarn_ring *r, size_t size)
{
    r->hand = true;
    r->hand_size = size;
    ring_set_quick(r);
}
static inline void out_of_hand(struct tarn_ring *r)
{
    r->hand = false;
    ring_set_quick(r);
}

/* 0, or why what is in hand may not be given away. */
static inline int hand_refused(const struct tarn_ring *r, uint32_t role, const char *call)
{
    int e = party_use(&r->party, role, MUTEX_TRY, NULL, call);
    if (e)
        return e;
    return TARN_RARE(!r->hand) ? fail(-EINVAL, "%s: nothing of \"%s\" is in hand", call, r->party.name) : 0;
}

static int loan_act(struct tarn_ring *r, const struct act *a)
{
    int e = ring_room(r, a->size, a->to);
    if (e == 0)
        in_hand(r, a->size);
    return e;
}
static int loan(struct tarn_ring *r, size_t size, void **ret_message, enum mutex_wait how,
                const struct timespec *until, const char *call)
{
    const struct act a = {
        .once = loan_act, .call = call, .role = TARN_SEND, .to = ret_message, .size = size, .count = 1};
    if (may(r, TARN_SEND) && size <= r->shape.size && loan_act(r, &a) == 0)
        return 0;
    return in_time(r, &a, how, until);
}

int tarn_ring_loan(tarn_ring *ring, size_t size, void **ret_message)
{
    return loan(ring, size, ret_message, MUTEX_WAIT, NULL, __func__);
}
int tarn_ring_loan_try(tarn_ring *ring, size_t size, void **ret_message)
{
    return loan(ring, size, ret_message, MUTEX_TRY, NULL, __func__);
}
int tarn_ring_loan_timed(tarn_ring *ring, size_t size, void **ret_message, const struct timespec *until)
{
    return loan(ring, size, ret_message, MUTEX_TIMED, until, __func__);
}

int tarn_ring_send_loan(tarn_ring *ring, size_t size)
{
    int e = hand_refused(ring, TARN_SEND, __func__);
    if (e)
        return e;
    if (TARN_RARE(size > ring->hand_size))
        return fail(-EMSGSIZE, "%s: %zu bytes of a loan of %zu", __func__, size, ring->hand_size);
    out_of_hand(ring);
    ring_put(ring, size);
    ring_flush(ring);
    ring_news(ring);
    return 0;
}

int tarn_ring_drop_loan(tarn_ring *ring)
{
    int e = hand_refused(ring, TARN_SEND, __func__);
    if (e == 0)
        out_of_hand(ring);
    return e;
}

/* ---- receive ---- */

static inline void ring_released(const struct tarn_ring *r)
{
    doorbell_ring(&r->party, &r->party.channel->room, INT32_MAX);
}

static inline int receive_now(struct tarn_ring *r, void *buffer, size_t room, size_t *ret_size)
{
    const void *message;
    uint64_t size;
    int e = ring_front(r, &message, &size);
    if (e)
        return e;
    if (TARN_RARE(size > room))
        return -EMSGSIZE;
    ring_copy(buffer, message, size);
    ring_next(r);
    ring_release(r);
    ring_released(r);
    if (ret_size)
        *ret_size = size;
    return 0;
}
static int receive_act(struct tarn_ring *r, const struct act *a)
{
    return receive_now(r, a->to, a->size, a->ret);
}

/* The three forms of a call. */
struct manner {
    enum mutex_wait how;
    const char *call;
};

static __attribute__((noinline)) int receive_slow(struct tarn_ring *r, void *buffer, size_t room, size_t *ret_size,
                                                  const struct timespec *until, const struct manner *manner)
{
    if (may(r, TARN_RECEIVE)) {
        int e = receive_now(r, buffer, room, ret_size);
        if (e == 0)
            return 0;
        if (e == -EAGAIN && manner->how == MUTEX_TRY)
            return is_empty();
    }
    const struct act a = {.once = receive_act,
                          .call = manner->call,
                          .role = TARN_RECEIVE,
                          .to = buffer,
                          .size = room,
                          .count = 1,
                          .ret = ret_size};
    return in_time(r, &a, manner->how, until);
}

/* One that was seen in the line. false: the other way. */
static inline __attribute__((always_inline)) bool receive_seen(struct tarn_ring *r, void *buffer, size_t room,
                                                               size_t *ret_size)
{
    uint64_t at = r->at, i = at - r->line_at;
    uint64_t size = r->control >> (uint32_t)i * r->shape.width & r->size_mask;
    if (TARN_RARE(size - RING_QUICK_LEAST >= r->quick_receive) || TARN_RARE(size > room))
        return false;
    ring_copy_quick(buffer, r->line + RING_HEADER + i * r->shape.stride, size);
    if (ret_size)
        *ret_size = size;
    r->at = ++at;
    store64(&r->ends->head, at);
    if (at == r->line_end)
        ring_next_line(r);
    doorbell_ring_quick(&r->party.channel->room, INT32_MAX);
    return true;
}

static __attribute__((noinline)) int receive_look(struct tarn_ring *r, void *buffer, size_t room, size_t *ret_size,
                                                  const struct timespec *until, const struct manner *manner)
{
    int e = ring_look_at_line(r);
    if (e == 0 && receive_seen(r, buffer, room, ret_size))
        return 0;
    return e == -EAGAIN && manner->how == MUTEX_TRY ? is_empty()
                                                    : receive_slow(r, buffer, room, ret_size, until, manner);
}

static inline __attribute__((always_inline)) int receive(struct tarn_ring *r, void *buffer, size_t room,
                                                         size_t *ret_size, const struct timespec *until,
                                                         const struct manner *manner)
{
    if (!TARN_RARE(!r->quick_receive) && is_mine(r)) {
        if (TARN_RARE(r->at == r->seen))
            return receive_look(r, buffer, room, ret_size, until, manner);
        if (receive_seen(r, buffer, room, ret_size))
            return 0;
    }
    return receive_slow(r, buffer, room, ret_size, until, manner);
}

int tarn_ring_receive(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size)
{
    static const struct manner waits = {MUTEX_WAIT, "tarn_ring_receive"};
    return receive(ring, buffer, room, ret_size, NULL, &waits);
}
int tarn_ring_receive_try(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size)
{
    static const struct manner tries = {MUTEX_TRY, "tarn_ring_receive_try"};
    return receive(ring, buffer, room, ret_size, NULL, &tries);
}
int tarn_ring_receive_timed(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size,
                            const struct timespec *until)
{
    static const struct manner timed = {MUTEX_TIMED, "tarn_ring_receive_timed"};
    return receive(ring, buffer, room, ret_size, until, &timed);
}

/* Of the line's, those seen: if all have 8 bytes and the caller's room is that, at once. How many; 0: one by one. */
static inline size_t receive_words(struct tarn_ring *r, char *to, size_t room, size_t count)
{
    uint64_t n = r->seen - r->at, i = r->at - r->line_at;
    n = n < count ? n : count;
    if (room != 8 || r->shape.stride != 8 ||
        ((r->control >> i * r->shape.width) ^ 8 * r->ones) & ~(~0ull << n * r->shape.width))
        return 0;
    ring_copy_words(to, r->line + RING_HEADER + i * 8, n);
    r->at += n;
    if (ring_line_ends(r))
        ring_next_line(r);
    return n;
}

/* As many as are there. */
static int receive_many_now(struct tarn_ring *r, char *to, size_t room, size_t count, size_t *sizes, size_t *ret_count)
{
    size_t n = 0;
    int e = 0;
    while (n < count) {
        const void *message;
        uint64_t size, words;
        if (!r->shape.bytes) {
            if (r->at == r->seen && (e = ring_look_at_line(r)))
                break;
            words = receive_words(r, to + n * room, room, count - n);
            for (size_t k = 0; TARN_RARE(sizes != NULL) && k < words; k++)
                sizes[n + k] = 8;
            n += words;
            if (words)
                continue;
        }
        e = ring_front(r, &message, &size);
        if (!e && TARN_RARE(size > room))
            e = -EMSGSIZE;
        if (e)
            break;
        ring_copy(to + n * room, message, size);
        if (sizes)
            sizes[n] = size;
        ring_next(r);
        n++;
    }
    if (!n)
        return e;
    ring_release(r);
    ring_released(r);
    *ret_count = n;
    return 0;
}
static int receive_many_act(struct tarn_ring *r, const struct act *a)
{
    return receive_many_now(r, a->to, a->size, a->count, a->sizes, a->ret);
}

static int receive_many(struct tarn_ring *r, void *buffer, size_t room, size_t count, size_t *sizes,
                        size_t *ret_count, enum mutex_wait how, const struct timespec *until, const char *call)
{
    const struct act a = {.once = receive_many_act,
                          .call = call,
                          .role = TARN_RECEIVE,
                          .to = buffer,
                          .size = room,
                          .count = count,
                          .sizes = sizes,
                          .ret = ret_count};
    if (may(r, TARN_RECEIVE) && count) {
        int e = receive_many_now(r, buffer, room, count, sizes, ret_count);
        if (e == 0)
            return 0;
        if (e == -EAGAIN && how == MUTEX_TRY)
            return is_empty();
    }
    return in_time(r, &a, how, until);
}

int tarn_ring_receive_many(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes, size_t *ret_count)
{
    return receive_many(ring, buffer, room, count, sizes, ret_count, MUTEX_WAIT, NULL, __func__);
}
int tarn_ring_receive_many_try(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes,
                               size_t *ret_count)
{
    return receive_many(ring, buffer, room, count, sizes, ret_count, MUTEX_TRY, NULL, __func__);
}
int tarn_ring_receive_many_timed(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes,
                                 size_t *ret_count, const struct timespec *until)
{
    return receive_many(ring, buffer, room, count, sizes, ret_count, MUTEX_TIMED, until, __func__);
}

/* ---- in place ---- */

static int take_act(struct tarn_ring *r, const struct act *a)
{
    uint64_t size;
    const void *message;
    int e = ring_front(r, &message, &size);
    if (e)
        return e;
    store64(&r->party.seat->own[0], 1 + r->at);
    in_hand(r, size);
    *a->ret_place = message;
    *a->ret = size;
    return 0;
}
static int take(struct tarn_ring *r, const void **ret_message, size_t *ret_size, enum mutex_wait how,
                const struct timespec *until, const char *call)
{
    const struct act a = {
        .once = take_act, .call = call, .role = TARN_RECEIVE, .ret_place = ret_message, .count = 1, .ret = ret_size};
    if (may(r, TARN_RECEIVE) && take_act(r, &a) == 0)
        return 0;
    return in_time(r, &a, how, until);
}

int tarn_ring_take(tarn_ring *ring, const void **ret_message, size_t *ret_size)
{
    return take(ring, ret_message, ret_size, MUTEX_WAIT, NULL, __func__);
}
int tarn_ring_take_try(tarn_ring *ring, const void **ret_message, size_t *ret_size)
{
    return take(ring, ret_message, ret_size, MUTEX_TRY, NULL, __func__);
}
int tarn_ring_take_timed(tarn_ring *ring, const void **ret_message, size_t *ret_size, const struct timespec *until)
{
    return take(ring, ret_message, ret_size, MUTEX_TIMED, until, __func__);
}

int tarn_ring_release(tarn_ring *ring)
{
    int e = hand_refused(ring, TARN_RECEIVE, __func__);
    if (e)
        return e;
    out_of_hand(ring);
    ring_next(ring);
    ring_release(ring); /* seat.own[0] names a position that head is behind, from here on: nothing is in hand */
    ring_released(ring);
    return 0;
}

/* channel/mq.c - the message queue: many to many, each message to one, by priority. docs/channel.md has its words, the orders of stores and the equations.
 *
 *     send:     the body, into a chunk of one's own; at the first place p that is not claimed:  entry: -> {lap, size, chunk}  by compare-and-swap (commit)
 *     receive:  at the first place p that is not received:  chunk.word: SENT(p) -> FREE(p), or TAKEN(me)  by compare-and-swap (commit)
 * Neither has anything for others to wait for between claim and commit. tail and head are hints; each handle has its own, and publishes every sixteenth.
 * Places are found in order: who looks at one that is claimed, or received, goes on to the next, which it may do whoever is stopped where.
 * The bell is armed from before the commit until who sleeps is woken. mq_give.c gives back what a dead party had. */
#include <string.h>

#include "channel/mq.h"

enum { PUBLISH = 16, AHEAD = 4 }; /* AHEAD: places */
enum { GLANCE = 16 };             /* receives between two looks whether a party is dead */
enum { COPIED_MOST = 64 };        /* bytes of a message that are copied before it is taken */
enum { OWN_HAND = TARN_MQ_IN_HAND };
_Static_assert(OWN_HAND == MQ_HANDS - 1, "one hand is for receives that copy");

/* For the ways that most messages go: a copy of a few bytes, without a wait. */
#define QUICK inline __attribute__((always_inline))

/* ---- words ---- */

/* This line will be written here soon. */
static inline void soon_written(const void *at)
{
#ifdef __x86_64__
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

/* A hint goes up. Two at a time may leave the lower one: both are true. */
static inline void publish(uint64_t *hint, uint64_t position)
{
    if (position % PUBLISH == 0 && load64(hint) < position)
        store64(hint, position);
}
static inline uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int damaged(const tarn_mq *mq, const char *call)
{
    return fail(-EUCLEAN, "%s: the message queue \"%s\" is damaged: run tarn check", call, mq->party.name);
}

/* A walk's steps, at most, whatever the words say. */
static inline uint64_t steps_most(const struct mq *q)
{
    return 2 * q->mask + 1024;
}

/* Up to 64 bytes, word by word: others may look at them, and throw away what they saw. */
static inline void small_write(char *body, const void *from, size_t size)
{
    uint64_t w;
    if (size == 8) {
        memcpy(&w, from, 8);
        __atomic_store_n((uint64_t *)(void *)body, w, __ATOMIC_RELAXED);
        return;
    }
    for (size_t i = 0; i < size; i += 8) {
        w = 0;
        memcpy(&w, (const char *)from + i, size - i < 8 ? size - i : 8);
        __atomic_store_n((uint64_t *)(void *)(body + i), w, __ATOMIC_RELAXED);
    }
}
static inline void small_read(uint64_t *to, const char *body, size_t size)
{
    for (size_t i = 0; i < size; i += 8)
        to[i / 8] = __atomic_load_n((const uint64_t *)(const void *)(body + i), __ATOMIC_RELAXED);
}

/* ---- bells ---- */

static inline void ring_news(tarn_mq *mq)
{
    doorbell_ring(&mq->party, &mq->party.channel->news, 1);
}
/* One is woken, unless what was given may be of no use to him: of several levels each waits for its own, and some for a place, others for a chunk. */
static inline void ring_room(tarn_mq *mq)
{
    bool all = mq->q.levels > 1 || load64(&mq->q.shared->mixed);
    doorbell_ring(&mq->party, &mq->party.channel->room, all ? INT32_MAX : 1);
}

/* ---- chunks ---- */

/* A loose chunk is claimed, which the seat's word `name` names before. Near the place that is next there may be one. 1 + its number, or 0. */
static __attribute__((noinline)) uint32_t claim(tarn_mq *mq, uint32_t *name, unsigned level)
{
    const struct mq *q = &mq->q;
    uint64_t owned = mq_owned(mq->party.id);
    for (uint64_t i = 0; i < (uint64_t)q->count + AHEAD; i++) {
        uint64_t loose = MQ_LOOSE, e;
        uint32_t chunk;
        if (i < AHEAD) {
            e = load64(mq_entry_at(q, level, mq->tail[level] + i));
            chunk = mq_entry_chunk(q, e);
        } else {
            chunk = mq->cursor;
            mq->cursor = chunk + 1 < q->count ? chunk + 1 : 0;
        }
        if (chunk >= q->count || load64(mq_word_at(q, chunk)) != MQ_LOOSE)
            continue;
        store32(name, chunk + 1);
        if (swap64(mq_word_at(q, chunk), &loose, owned))
            return chunk + 1;
    }
    store32(name, 0);
    if (!load64(&q->shared->mixed))
        store64(&q->shared->mixed, 1); /* before it sleeps */
    return 0;
}

/* ---- sending ---- */

/* The chunk stays what it was. If the seat went on saying that it sends it, who clears the seat would take it, once it was let go, for one that was sent, or for an unsent one. */
static inline int not_sent(tarn_mq *mq, int e)
{
    store32(&mq->seat->sends, 0);
    return e;
}

/* The chunk, which the seat names as its spare or in a hand, is sent. 0; -EAGAIN: full; -EUCLEAN. Then it is as before. */
static QUICK int commit(tarn_mq *mq, unsigned level, uint32_t name, uint32_t size, const char *call)
{
    const struct mq *q = &mq->q;
    struct mq_seat *seat = mq->seat;
    uint64_t *word = mq_word_at(q, name - 1), *hint = &q->shared->tail[level];
    uint64_t t = later(mq->tail[level], load64(hint)), owned = mq_owned(mq->party.id);
    store32(&seat->sends, name);
    for (uint64_t step = steps_most(q); step; step--) {
        uint64_t *entry = mq_entry_at(q, level, t), e = load64(entry), stamp = mq_sent(level, t), w, soon;
        int64_t ahead = mq_ahead(q, e, t);
        uint32_t had = mq_entry_chunk(q, e);
        bool gets;
        if (ahead != -1) {
            if (TARN_RARE(ahead < -1))
                return not_sent(mq, damaged(mq, call));
            t += (uint64_t)ahead * (q->mask + 1) + 1;
            continue;
        }
        if (TARN_RARE(had >= q->count))
            return not_sent(mq, damaged(mq, call));
        soon = mq_entry_chunk(q, __atomic_load_n(mq_entry_at(q, level, t + AHEAD), __ATOMIC_RELAXED));
        if (soon < q->count)
            soon_written(mq_word_at(q, (uint32_t)soon));
        w = load64(mq_word_at(q, had));
        if (w == mq_sent(level, t - q->mask - 1)) {
            mq->tail[level] = t;
            return not_sent(mq, -EAGAIN);
        }
        gets = w == mq_free(level, t - q->mask - 1);
        store32(&seat->gets, gets ? had + 1 : 0);
        store64(&seat->stamp, stamp);
        store64(word, stamp);
        if (TARN_RARE(!swap64(entry, &e, mq_entry(q, t, size, name - 1)))) {
            store64(word, owned);
            continue; /* the entry is looked at again */
        }
        if (gets) {
            store64(mq_word_at(q, had), owned);
            if (TARN_RARE(mq->spare && mq->spare != name)) { /* a loan was sent */
                store64(mq_word_at(q, had), MQ_LOOSE);
                ring_room(mq);
            } else {
                mq->spare = had + 1;
                store32(&seat->spare, had + 1);
            }
        } else if (mq->spare == name) {
            mq->spare = 0;
            store32(&seat->spare, 0);
        }
        mq->tail[level] = t + 1;
        publish(hint, t + 1);
        mq->party.seat->messages++;
        return 0;
    }
    return not_sent(mq, -EAGAIN);
}

/* What is to be sent: a copy, or the loan in this hand. */
struct parcel {
    unsigned level;
    const void *message; /* NULL: a loan, or no bytes */
    size_t size;
    struct mq_hand *loan; /* NULL: a copy */
};

static QUICK int send_quick(tarn_mq *mq, const struct parcel *s, const char *call)
{
    int e;
    uint32_t name;
    bell_arm(mq->party.self);
    if (s->loan)
        name = s->loan->chunk;
    else {
        if (TARN_RARE(!mq->spare) && !(mq->spare = claim(mq, &mq->seat->spare, s->level))) {
            bell_disarm(mq->party.self);
            return -EAGAIN;
        }
        name = mq->spare;
        if (s->size <= COPIED_MOST)
            small_write(mq_body_at(&mq->q, name - 1), s->message, s->size);
        else
            memcpy(mq_body_at(&mq->q, name - 1), s->message, s->size);
    }
    e = commit(mq, s->level, name, (uint32_t)s->size, call);
    if (e == 0) {
        if (s->loan) {
            s->loan->chunk = 0;
            store32(&mq->seat->hand[s->loan - mq->hand], 0);
        }
        ring_news(mq);
    }
    bell_disarm(mq->party.self);
    return e;
}

static __attribute__((noinline)) int send_once(tarn_mq *mq, const struct parcel *s, const char *call)
{
    return send_quick(mq, s, call);
}

static __attribute__((noinline)) int send_slow(tarn_mq *mq, const struct parcel *s, enum mutex_wait how,
                                               const struct timespec *until, const char *call)
{
    struct channel_wait w;
    int e;
    __atomic_store_n(&mq->wants, s->level, __ATOMIC_RELAXED);
    if (how == MUTEX_TRY)
        return fail_constant(-EAGAIN, "the message queue is full: receive from it, or wait");
    w = channel_wait(&mq->party, &mq->party.channel->room, TARN_SEND, how, until);
    while ((e = send_once(mq, s, call)) == -EAGAIN && (e = channel_sleep(&w)) == 0)
        ;
    channel_wait_end(&w);
    return e == -ETIMEDOUT ? fail(e, "%s: the message queue \"%s\" was full all the time", call, mq->party.name)
                           : e;
}

static int bad_parcel(tarn_mq *mq, const struct parcel *s, const char *call)
{
    if (s->level >= mq->q.levels)
        return fail(-EINVAL, "%s: priority %u: \"%s\" has 0 to %u", call, s->level, mq->party.name,
                    mq->q.levels - 1);
    return fail(-EMSGSIZE, "%s: a message of %zu bytes: \"%s\" has messages of at most %u", call, s->size,
                mq->party.name, mq->q.most);
}

static QUICK int send_copy(tarn_mq *mq, unsigned priority, const void *message, size_t size,
                           enum mutex_wait how, const struct timespec *until, const char *call)
{
    const struct parcel s = {.level = priority, .message = message, .size = size};
    int e = party_use(&mq->party, TARN_SEND, how, until, call);
    if (TARN_RARE(e))
        return e;
    if (TARN_RARE(priority >= mq->q.levels || size > mq->q.most))
        return bad_parcel(mq, &s, call);
    e = how == MUTEX_TIMED ? send_once(mq, &s, call) : send_quick(mq, &s, call);
    return TARN_RARE(e == -EAGAIN) ? send_slow(mq, &s, how, until, call) : e;
}

int tarn_mq_send(tarn_mq *mq, unsigned priority, const void *message, size_t size)
{
    return send_copy(mq, priority, message, size, MUTEX_WAIT, NULL, "tarn_mq_send");
}
int tarn_mq_send_try(tarn_mq *mq, unsigned priority, const void *message, size_t size)
{
    return send_copy(mq, priority, message, size, MUTEX_TRY, NULL, "tarn_mq_send_try");
}
int tarn_mq_send_timed(tarn_mq *mq, unsigned priority, const void *message, size_t size, const struct timespec *until)
{
    return send_copy(mq, priority, message, size, MUTEX_TIMED, until, "tarn_mq_send_timed");
}

/* ---- in hand ---- */

/* The hand that has this message, of this handle. */
static struct mq_hand *hand_of(tarn_mq *mq, const void *message)
{
    const struct mq *q = &mq->q;
    uint64_t at = (uint64_t)((uintptr_t)message - (uintptr_t)mq_body_at(q, 0));
    if (at % q->stride || at / q->stride >= q->count)
        return NULL;
    for (int i = 0; i < OWN_HAND; i++)
        if (mq->hand[i].chunk == at / q->stride + 1)
            return &mq->hand[i];
    return NULL;
}

static int free_hand(const tarn_mq *mq, const char *call)
{
    for (int i = 0; i < OWN_HAND; i++)
        if (!mq->hand[i].chunk)
            return i;
    return fail(-ENOBUFS, "%s: %u loans and messages of \"%s\" are in hand: send or release one first", call,
                TARN_MQ_IN_HAND, mq->party.name);
}

static inline void let_go(tarn_mq *mq, int i)
{
    bell_arm(mq->party.self);
    store64(mq_word_at(&mq->q, mq->hand[i].chunk - 1), MQ_LOOSE);
    mq->hand[i].chunk = 0;
    store32(&mq->seat->hand[i], 0);
    ring_room(mq);
    bell_disarm(mq->party.self);
}

int tarn_mq_release(tarn_mq *mq, const void *message)
{
    struct mq_hand *hand;
    int e = party_use(&mq->party, TARN_SEND | TARN_RECEIVE, MUTEX_TRY, NULL, "tarn_mq_release");
    if (e)
        return e;
    hand = hand_of(mq, message);
    if (!hand)
        return fail(-EINVAL, "tarn_mq_release: %p is no message or loan of \"%s\" in this handle's hand",
                    message, mq->party.name);
    let_go(mq, (int)(hand - mq->hand));
    return 0;
}

int tarn_mq_priority(tarn_mq *mq, const void *message, unsigned *ret_priority)
{
    const struct mq_hand *hand;
    int e = party_use(&mq->party, TARN_RECEIVE, MUTEX_TRY, NULL, "tarn_mq_priority");
    if (e)
        return e;
    hand = hand_of(mq, message);
    if (!hand || hand->loan)
        return fail(-EINVAL, "tarn_mq_priority: %p is no message of \"%s\" that this handle has taken",
                    message, mq->party.name);
    *ret_priority = load32(&mq->seat->order[hand - mq->hand]) >> MQ_ORDER_BITS & (MQ_LEVELS - 1);
    return 0;
}

/* ---- loans ---- */

static int loan_once(tarn_mq *mq, int i)
{
    uint32_t name = mq->spare;
    if (name) {
        store32(&mq->seat->hand[i], name);
        mq->spare = 0;
        store32(&mq->seat->spare, 0);
    } else if (!(name = claim(mq, &mq->seat->hand[i], 0)))
        return -EAGAIN;
    mq->hand[i] = (struct mq_hand){.chunk = name, .loan = true};
    return 0;
}

static int loan(tarn_mq *mq, size_t size, void **ret_message, enum mutex_wait how,
                const struct timespec *until, const char *call)
{
    const struct parcel s = {.size = size};
    int e = party_use(&mq->party, TARN_SEND, how, until, call), i;
    if (e)
        return e;
    if (size > mq->q.most)
        return bad_parcel(mq, &s, call);
    if ((i = free_hand(mq, call)) < 0)
        return i;
    e = loan_once(mq, i);
    if (e == -EAGAIN && how == MUTEX_TRY)
        return fail_constant(e, "all chunks of the message queue are in use: receive from it, or wait");
    if (e == -EAGAIN) {
        struct channel_wait w = channel_wait(&mq->party, &mq->party.channel->room, TARN_SEND, how, until);
        __atomic_store_n(&mq->wants, MQ_LEVELS, __ATOMIC_RELAXED);
        while ((e = loan_once(mq, i)) == -EAGAIN && (e = channel_sleep(&w)) == 0)
            ;
        channel_wait_end(&w);
        if (e == -ETIMEDOUT)
            return fail(e, "%s: all chunks of \"%s\" were in use all the time", call, mq->party.name);
    }
    if (e == 0)
        *ret_message = mq_body_at(&mq->q, mq->hand[i].chunk - 1);
    return e;
}

int tarn_mq_loan(tarn_mq *mq, size_t size, void **ret_message)
{
    return loan(mq, size, ret_message, MUTEX_WAIT, NULL, "tarn_mq_loan");
}
int tarn_mq_loan_try(tarn_mq *mq, size_t size, void **ret_message)
{
    return loan(mq, size, ret_message, MUTEX_TRY, NULL, "tarn_mq_loan_try");
}
int tarn_mq_loan_timed(tarn_mq *mq, size_t size, void **ret_message, const struct timespec *until)
{
    return loan(mq, size, ret_message, MUTEX_TIMED, until, "tarn_mq_loan_timed");
}

static int send_loan(tarn_mq *mq, unsigned priority, const void *message, size_t size, enum mutex_wait how,
                     const struct timespec *until, const char *call)
{
    struct parcel s = {.level = priority, .size = size};
    int e = party_use(&mq->party, TARN_SEND, how, until, call);
    if (e)
        return e;
    s.loan = hand_of(mq, message);
    if (!s.loan || !s.loan->loan)
        return fail(-EINVAL, "%s: %p is no loan of \"%s\" in this handle's hand", call, message, mq->party.name);
    if (priority >= mq->q.levels || size > mq->q.most)
        return bad_parcel(mq, &s, call);
    e = send_once(mq, &s, call);
    return e == -EAGAIN ? send_slow(mq, &s, how, until, call) : e;
}

int tarn_mq_send_loan(tarn_mq *mq, unsigned priority, void *message, size_t size)
{
    return send_loan(mq, priority, message, size, MUTEX_WAIT, NULL, "tarn_mq_send_loan");
}
int tarn_mq_send_loan_try(tarn_mq *mq, unsigned priority, void *message, size_t size)
{
    return send_loan(mq, priority, message, size, MUTEX_TRY, NULL, "tarn_mq_send_loan_try");
}
int tarn_mq_send_loan_timed(tarn_mq *mq, unsigned priority, void *message, size_t size, const struct timespec *until)
{
    return send_loan(mq, priority, message, size, MUTEX_TIMED, until, "tarn_mq_send_loan_timed");
}

/* ---- receiving ---- */

/* Where a message goes: copied, to `to`, or into a hand. */
struct basket {
    void *to;
    size_t room;
    int hand;      /* for one that is not small, or comes again */
    bool take;     /* it stays in the hand */
    uint32_t size; /* of what came */
};

static int too_large(const tarn_mq *mq, uint32_t size, const struct basket *b, const char *call)
{
    return fail(-EMSGSIZE, "%s: the next message of \"%s\" has %u bytes, and there is room for %zu: it stays there",
                call, mq->party.name, size, b->room);
}

/* The chunk is claimed from word w, which says that it has a message, into the hand; copied and let go, unless it stays there. False: another was first. */
static bool claim_message(tarn_mq *mq, uint32_t chunk, uint64_t w, uint32_t size, uint32_t order, struct basket *b)
{
    const struct mq *q = &mq->q;
    store32(&mq->seat->order[b->hand], order);
    store32(&mq->seat->hand[b->hand], chunk + 1);
    if (!swap64(mq_word_at(q, chunk), &w, mq_taken(mq->party.id, size))) {
        store32(&mq->seat->hand[b->hand], 0);
        return false;
    }
    b->size = size;
    mq->hand[b->hand] = (struct mq_hand){.chunk = chunk + 1, .size = size};
    mq->party.seat->messages++;
    if (b->take)
        ring_room(mq); /* its place can be claimed */
    else {
        if (size)
            memcpy(b->to, mq_body_at(q, chunk), size);
        let_go(mq, b->hand);
    }
    return true;
}

/* Is the party of one seat dead? Each in its turn: else, where nobody ever sleeps, what it has in hand would wait for the next who joins. */
static __attribute__((noinline)) int glance(tarn_mq *mq)
{
    struct party *p = &mq->party;
    uint32_t id = load32(&seat_at(p, mq->glances / GLANCE % p->shape.seats)->id);
    if (!id || id == p->id || ID_INDEX(id) >= p->seg->geometry.records || fate_quick(p->seg, id) == ALIVE)
        return 0;
    return channel_clear_dead(p);
}

/* The next one of a level. */
static QUICK int receive_level(tarn_mq *mq, unsigned level, struct basket *b, const char *call)
{
    const struct mq *q = &mq->q;
    uint64_t *hint = &q->shared->head[level], p = later(mq->head[level], load64(hint));
    for (uint64_t step = steps_most(q); step; step--) {
        uint64_t e = load64(mq_entry_at(q, level, p)), w, copied[COPIED_MOST / 8];
        int64_t ahead = mq_ahead(q, e, p);
        uint32_t chunk = mq_entry_chunk(q, e), size = mq_entry_size(q, e);
        if (ahead != 0) {
            if (ahead == -1) {
                mq->head[level] = p;
                return -EAGAIN;
            }
            if (TARN_RARE(ahead < -1))
                return damaged(mq, call);
            p += ((uint64_t)ahead - 1) * (q->mask + 1) + 1; /* what is a whole lap behind was received */
            continue;
        }
        if (TARN_RARE(chunk >= q->count))
            return damaged(mq, call);
        w = load64(mq_word_at(q, chunk));
        if (w != mq_sent(level, p)) {
            p++;
            continue;
        }
        if (TARN_RARE(size > b->room)) {
            mq->head[level] = p;
            return too_large(mq, size, b, call);
        }
        if (b->take || size > COPIED_MOST) {
            if (!claim_message(mq, chunk, w, size, mq_order(level, p), b))
                continue;
        } else {
            if (size == 8)
                copied[0] =
                    __atomic_load_n((const uint64_t *)(const void *)mq_body_at(q, chunk), __ATOMIC_RELAXED);
            else
                small_read(copied, mq_body_at(q, chunk), size);
            if (TARN_RARE(!swap64(mq_word_at(q, chunk), &w, mq_free(level, p))))
                continue;
            if (size == 8)
                memcpy(b->to, copied, 8);
            else if (size)
                memcpy(b->to, copied, size);
            b->size = size;
            mq->party.seat->messages++;
            ring_room(mq);
        }
        mq->head[level] = p + 1;
        publish(hint, p + 1);
        return 0;
    }
    return -EAGAIN;
}

/* The first of those that came back from the dead, of this level or a higher one. -EAGAIN: there is none; *ret_any: but of a lower one. */
static int receive_again(tarn_mq *mq, unsigned level, struct basket *b, bool *ret_any, const char *call)
{
    const struct mq *q = &mq->q;
    for (int again = 0; again < 1000; again++) {
        uint32_t best = UINT32_MAX;
        uint64_t best_word = 0;
        *ret_any = false;
        for (uint32_t i = 0; i < q->count; i++) {
            uint64_t w = load64(mq_word_at(q, i));
            uint32_t order = MQ_ORDER(w), best_order = MQ_ORDER(best_word);
            if (MQ_WHAT(w) != MQ_AGAIN)
                continue;
            *ret_any = true;
            if (order >> MQ_ORDER_BITS < level)
                continue;
            if (best == UINT32_MAX || order >> MQ_ORDER_BITS > best_order >> MQ_ORDER_BITS ||
                (order >> MQ_ORDER_BITS == best_order >> MQ_ORDER_BITS &&
                 (order - best_order) & 1u << (MQ_ORDER_BITS - 1))) {
                best = i;
                best_word = w;
            }
        }
        if (best == UINT32_MAX)
            return -EAGAIN;
        uint32_t size = MQ_SIZE(best_word) < q->most ? MQ_SIZE(best_word) : q->most;
        if (size > b->room)
            return too_large(mq, size, b, call);
        if (claim_message(mq, best, best_word, size, MQ_ORDER(best_word), b))
            return TARN_RECOVERED;
    }
    return -EAGAIN;
}

static __attribute__((noinline)) int receive_levels(tarn_mq *mq, struct basket *b, const char *call)
{
    uint64_t made = load64(&mq->q.shared->made);
    bool again = made != mq->seen;
    int e = -EAGAIN;
    for (unsigned level = mq->q.levels; level-- && e == -EAGAIN;) {
        if (TARN_RARE(again)) {
            bool any;
            e = receive_again(mq, level, b, &any, call);
            again = any;
            if (e != -EAGAIN)
                break;
            if (!any)
                __atomic_store_n(&mq->seen, made, __ATOMIC_RELAXED);
        }
        e = receive_level(mq, level, b, call);
    }
    return e;
}

static QUICK int receive_quick(tarn_mq *mq, struct basket *b, const char *call)
{
    int e;
    if (TARN_RARE(++mq->glances % GLANCE == 0))
        glance(mq);
    bell_arm(mq->party.self);
    if (TARN_RARE(mq->q.levels > 1 || load64(&mq->q.shared->made) != mq->seen))
        e = receive_levels(mq, b, call);
    else
        e = receive_level(mq, 0, b, call);
    bell_disarm(mq->party.self);
    return e;
}
static __attribute__((noinline)) int receive_once(tarn_mq *mq, struct basket *b, const char *call)
{
    return receive_quick(mq, b, call);
}

static __attribute__((noinline)) int receive_slow(tarn_mq *mq, struct basket *b, enum mutex_wait how,
                                                  const struct timespec *until, const char *call)
{
    struct channel_wait w;
    int e;
    if (how == MUTEX_TRY) {
        mq->glances += GLANCE;
        if (glance(mq) && (e = receive_once(mq, b, call)) != -EAGAIN)
            return e;
        return fail_constant(-EAGAIN, "the message queue is empty");
    }
    w = channel_wait(&mq->party, &mq->party.channel->news, TARN_RECEIVE, how, until);
    while ((e = receive_once(mq, b, call)) == -EAGAIN && (e = channel_sleep(&w)) == 0)
        ;
    channel_wait_end(&w);
    return e == -ETIMEDOUT ? fail(e, "%s: the message queue \"%s\" was empty all the time", call, mq->party.name)
                           : e;
}

static QUICK int receive(tarn_mq *mq, struct basket *b, enum mutex_wait how, const struct timespec *until,
                         const char *call)
{
    int e = party_use(&mq->party, TARN_RECEIVE, how, until, call);
    if (TARN_RARE(e))
        return e;
    if (b->take && (b->hand = free_hand(mq, call)) < 0)
        return b->hand;
    e = b->take || how == MUTEX_TIMED ? receive_once(mq, b, call) : receive_quick(mq, b, call);
    return TARN_RARE(e == -EAGAIN) ? receive_slow(mq, b, how, until, call) : e;
}

static QUICK int receive_copy(tarn_mq *mq, void *to, size_t room, size_t *ret_size, enum mutex_wait how,
                              const struct timespec *until, const char *call)
{
    struct basket b = {.to = to, .room = room, .hand = OWN_HAND};
    int e = receive(mq, &b, how, until, call);
    if (e >= 0 && ret_size)
        *ret_size = b.size;
    return e;
}

int tarn_mq_receive(tarn_mq *mq, void *to, size_t room, size_t *ret_size)
{
    return receive_copy(mq, to, room, ret_size, MUTEX_WAIT, NULL, "tarn_mq_receive");
}
int tarn_mq_receive_try(tarn_mq *mq, void *to, size_t room, size_t *ret_size)
{
    return receive_copy(mq, to, room, ret_size, MUTEX_TRY, NULL, "tarn_mq_receive_try");
}
int tarn_mq_receive_timed(tarn_mq *mq, void *to, size_t room, size_t *ret_size, const struct timespec *until)
{
    return receive_copy(mq, to, room, ret_size, MUTEX_TIMED, until, "tarn_mq_receive_timed");
}

static int take(tarn_mq *mq, void **ret_message, size_t *ret_size, enum mutex_wait how,
                const struct timespec *until, const char *call)
{
    struct basket b = {.take = true, .room = SIZE_MAX};
    int e = receive(mq, &b, how, until, call);
    if (e >= 0) {
        *ret_message = mq_body_at(&mq->q, mq->hand[b.hand].chunk - 1);
        if (ret_size)
            *ret_size = b.size;
    }
    return e;
}

int tarn_mq_take(tarn_mq *mq, void **ret_message, size_t *ret_size)
{
    return take(mq, ret_message, ret_size, MUTEX_WAIT, NULL, "tarn_mq_take");
}
int tarn_mq_take_try(tarn_mq *mq, void **ret_message, size_t *ret_size)
{
    return take(mq, ret_message, ret_size, MUTEX_TRY, NULL, "tarn_mq_take_try");
}
int tarn_mq_take_timed(tarn_mq *mq, void **ret_message, size_t *ret_size, const struct timespec *until)
{
    return take(mq, ret_message, ret_size, MUTEX_TIMED, until, "tarn_mq_take_timed");
}

/* ---- opening, closing ---- */

int tarn_mq_open(tarn *seg, const char *name, unsigned flags, const struct tarn_channel_options *options,
                 tarn_mq **ret_mq)
{
    int e;
    tarn_mq *mq = channel_open(seg, name, &mq_class, flags, options, 0, "tarn_mq_open", &e);
    if (!mq)
        return e;
    mq_of(&mq->party, &mq->q);
    if (mq->party.seat)
        mq->seat = mq_seat_of(mq->party.seat);
    mq->cursor = (mq->party.id & 0xffff) % mq->q.count;
    *ret_mq = mq;
    return 0;
}

int tarn_mq_close(tarn_mq *mq)
{
    uint32_t held = 0;
    if (!mq)
        return 0;
    for (int i = 0; i < OWN_HAND; i++)
        held += mq->hand[i].chunk != 0;
    if (held && party_is_own(&mq->party))
        return fail(-EBUSY, "tarn_mq_close: %u loans and messages of \"%s\" are in hand: send or release them first",
                    held, mq->party.name);
    channel_close(&mq->party);
    return 0;
}

int tarn_mq_poll(tarn_mq *mq, tarn_poll *poll)
{
    return channel_poll(&mq->party, poll, "tarn_mq_poll");
}

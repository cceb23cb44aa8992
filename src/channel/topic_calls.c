/* channel/topic_calls.c - what users call on a topic: opening, sending, receiving, taking in place, looking at the latest. docs/channel.md
 *
 * Commit points: sending: the swap of the entry (topic_publish); receiving and taking: seat.at + 1; releasing: pin = 0. A subscriber pins, and then looks at
 * the entry again; who owns the chunk later looks at the pins after that (is_pinned). */
#include "channel/topic.h"

enum { COPIES_MOST = 3, PINS_MOST = 1000 };
enum { PAUSE_FIRST = 20000, PAUSE_MOST = 5000000 }; /* ns, of readers */

/* ---- opening ---- */

static int start(struct tarn_topic *t, unsigned flags)
{
    uint64_t next;
    t->party.reader = flags & TARN_RECEIVE && !t->party.seat;
    if (t->party.seat) {
        t->index = (uint32_t)(t->party.seat - t->party.seats);
        t->mine = (struct topic_seat *)(void *)t->party.seat->own;
        t->scan = (uint32_t)topic_capacity(&t->view) + t->index * (t->view.hand + 1);
    }
    if (!topic_next(&t->view, &next))
        return topic_damaged(t);
    t->at = next;
    if (flags & TARN_TOPIC_HISTORY)
        t->at -= next < topic_capacity(&t->view) ? next : topic_capacity(&t->view);
    if (t->party.seat)
        store64(&t->party.seat->at, t->at);
    return 0;
}

int tarn_topic_open(tarn *seg, const char *name, unsigned flags, const struct tarn_channel_options *options,
                    tarn_topic **ret_topic)
{
    struct tarn_topic *t;
    unsigned asked = flags & ~TARN_TOPIC_HISTORY;
    int e;
    if (flags & TARN_TOPIC_HISTORY && !(flags & TARN_RECEIVE))
        return fail(-EINVAL, "tarn_topic_open: TARN_TOPIC_HISTORY is for subscribers: say TARN_RECEIVE, too");
    if (seg->readonly && asked == TARN_RECEIVE)
        asked = 0; /* it only looks, as far as others can tell */
    t = channel_open(seg, name, &topic_class, asked, options, 0, "tarn_topic_open", &e);
    if (!t)
        return e;
    topic_view_of(&t->party, &t->view);
    if ((e = start(t, flags))) {
        channel_close(&t->party);
        return e;
    }
    *ret_topic = t;
    return 0;
}

int tarn_topic_close(tarn_topic *t)
{
    if (!t)
        return 0;
    if (t->held && party_is_own(&t->party))
        return fail(-EBUSY, "tarn_topic_close: %u loans or taken messages of \"%s\" are in hand: send, drop or release them first",
                    t->held, t->party.name);
    channel_close(&t->party);
    return 0;
}

static int too_large(const struct tarn_topic *t, size_t size, const char *call)
{
    return fail(-EMSGSIZE, "%s: a message of %zu bytes: \"%s\" takes %u at most", call, size, t->party.name,
                t->view.size);
}

/* Which of these chunks begins there; -1: none. */
static int in_hand(const struct tarn_topic *t, const uint32_t *list, const void *message)
{
    for (int i = 0; i < TOPIC_HAND_MOST; i++)
        if (list[i] && chunk_body(&t->view, list[i] - 1) == message)
            return i;
    return -1;
}

static int free_hand(const struct tarn_topic *t, const uint32_t *list, const char *call)
{
    for (int i = 0; i < TOPIC_HAND_MOST && t->held < t->view.hand; i++)
        if (!list[i])
            return i;
    return fail(-EBUSY, "%s: %u loans and taken messages of \"%s\" are in hand, as many as may be: send or release one first",
                call, t->held, t->party.name);
}

/* ---- sending ---- */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

/* Held back: wait until that is over, or until the first limit is. */
static int wait_for_room(struct tarn_topic *t, enum mutex_wait how, const struct timespec *until, const char *call)
{
    struct channel_wait w = channel_wait(&t->party, &t->party.channel->room, TARN_SEND, how, until);
    struct timespec limit;
    uint64_t next, expiry;
    int e;
    for (;;) {
        if (!topic_next(&t->view, &next)) {
            e = topic_damaged(t);
            break;
        }
        e = 0;
        if (!topic_held_back(t, next, &expiry))
            break;
        limit = timespec_of(expiry);
        w.until = until && !os_before(&limit, until) ? until : &limit;
        e = channel_sleep(&w);
        if (e == -ETIMEDOUT && w.until == &limit && !(until && os_passed(until)))
            e = 0;
        if (e)
            break;
    }
    w.slept = false; /* all are woken */
    channel_wait_end(&w);
    if (e == -EAGAIN)
        return fail_constant(-EAGAIN, "a subscriber holds publishers back");
    return e == -ETIMEDOUT ? fail(e, "%s: a subscriber of \"%s\" holds publishers back", call, t->party.name) : e;
}

static int publish(struct tarn_topic *t, uint32_t chunk, enum mutex_wait how, const struct timespec *until,
                   const char *call)
{
    int e;
    while ((e = topic_publish(t, chunk)) == -EAGAIN && (e = wait_for_room(t, how, until, call)) == 0)
        ;
    return e;
}

/* The chunk, whose body is written, is to say the rest. */
static void label(struct tarn_topic *t, uint32_t chunk, size_t size)
{
    struct topic_chunk *c = chunk_at(&t->view, chunk);
    /* who copies an older message that was here reads them meanwhile */
    __atomic_store_n(&c->size, (uint32_t)size, __ATOMIC_RELAXED);
    __atomic_store_n(&c->sent_ns, channel_now(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
}

static inline int send(struct tarn_topic *t, const void *message, size_t size, enum mutex_wait how,
                       const struct timespec *until, const char *call)
{
    uint32_t chunk;
    int e = party_use(&t->party, TARN_SEND, how, until, call);
    if (TARN_RARE(e))
        return e;
    if (TARN_RARE(size > t->view.size))
        return too_large(t, size, call);
    if (TARN_RARE((uint32_t)load64(&t->view.words->holding)) && (e = wait_for_room(t, how, until, call)))
        return e; /* before it is copied */
    if (TARN_RARE(!t->making) && (e = topic_make(t)))
        return e;
    chunk = t->making - 1;
    if (size)
        memcpy(chunk_body(&t->view, chunk), message, size);
    label(t, chunk, size);
    return publish(t, chunk, how, until, call);
}

int tarn_topic_send(tarn_topic *t, const void *message, size_t size)
{
    return send(t, message, size, MUTEX_WAIT, NULL, __func__);
}
int tarn_topic_send_try(tarn_topic *t, const void *message, size_t size)
{
    return send(t, message, size, MUTEX_TRY, NULL, __func__);
}
int tarn_topic_send_timed(tarn_topic *t, const void *message, size_t size, const struct timespec *until)
{
    return send(t, message, size, MUTEX_TIMED, until, __func__);
}

/* ---- loans ---- */

int tarn_topic_loan(tarn_topic *t, size_t size, void **ret_message)
{
    uint32_t chunk;
    int i, e = party_use(&t->party, TARN_SEND, MUTEX_TRY, NULL, __func__);
    if (e)
        return e;
    if (size > t->view.size)
        return too_large(t, size, __func__);
    i = free_hand(t, t->loan, __func__);
    if (i < 0)
        return i;
    e = topic_make(t);
    if (e)
        return e;
    chunk = t->making - 1;
    store32(&t->mine->loan[i], chunk + 1); /* making names it, too, until it names the next one */
    t->loan[i] = chunk + 1;
    t->making = 0;
    t->held++;
    *ret_message = chunk_body(&t->view, chunk);
    return 0;
}

/* The seat may name a chunk that is not its own any more: whose it is, its word says. */
static void end_loan(struct tarn_topic *t, int i)
{
    t->loan[i] = 0;
    t->held--;
}

static int no_loan(const struct tarn_topic *t, const char *call, const void *message)
{
    return fail(-EINVAL, "%s: %p is no loan of \"%s\" that is in hand", call, message, t->party.name);
}

static int send_loan(struct tarn_topic *t, void *message, size_t size, enum mutex_wait how,
                     const struct timespec *until, const char *call)
{
    int i, e = party_use(&t->party, TARN_SEND, how, until, call);
    if (e)
        return e;
    i = in_hand(t, t->loan, message);
    if (i < 0)
        return no_loan(t, call, message);
    if (size > t->view.size)
        return too_large(t, size, call);
    label(t, t->loan[i] - 1, size);
    e = publish(t, t->loan[i] - 1, how, until, call);
    if (e == 0)
        end_loan(t, i);
    return e;
}

int tarn_topic_send_loan(tarn_topic *t, void *message, size_t size)
{
    return send_loan(t, message, size, MUTEX_WAIT, NULL, __func__);
}
int tarn_topic_send_loan_try(tarn_topic *t, void *message, size_t size)
{
    return send_loan(t, message, size, MUTEX_TRY, NULL, __func__);
}
int tarn_topic_send_loan_timed(tarn_topic *t, void *message, size_t size, const struct timespec *until)
{
    return send_loan(t, message, size, MUTEX_TIMED, until, __func__);
}

int tarn_topic_drop_loan(tarn_topic *t, void *message)
{
    int i, e = party_use(&t->party, TARN_SEND, MUTEX_TRY, NULL, __func__);
    if (e)
        return e;
    i = in_hand(t, t->loan, message);
    if (i < 0)
        return no_loan(t, __func__, message);
    store64(&chunk_at(&t->view, t->loan[i] - 1)->word, TOPIC_FREE);
    topic_make_of(t, t->loan[i] - 1);
    end_loan(t, i);
    return 0;
}

/* ---- receiving ---- */

/* What it wants is gone: on to the oldest that is there, or, after so many tries in a row, to a newer one. */
static int overrun(struct tarn_topic *t, int tries)
{
    uint64_t next, keep = topic_capacity(&t->view) >> (tries < 40 ? tries : 40);
    if (!topic_next(&t->view, &next) || next - t->at > UINT64_MAX / 2)
        return topic_damaged(t);
    keep = keep ? keep : 1;
    if (next - t->at <= keep)
        return 0;
    t->lost += next - keep - t->at;
    t->at = next - keep;
    if (t->mine) {
        store64(&t->party.seat->at, t->at);
        store64(&t->party.seat->lost, t->lost);
    }
    return 0;
}

/* The entry of the next message. 1: it is there; 0: look again; -EAGAIN, -EUCLEAN. */
static inline int front(struct tarn_topic *t, int tries, uint64_t *ret_entry)
{
    uint64_t e = load64(entry_at(&t->view, t->at));
    if (TARN_RARE(!entry_is(e, t->at)))
        return entry_is(e, t->at - topic_capacity(&t->view)) ? -EAGAIN : overrun(t, tries);
    if (TARN_RARE(entry_chunk(e) >= t->view.count))
        return topic_damaged(t);
    *ret_entry = e;
    return 1;
}

static inline void received(struct tarn_topic *t)
{
    t->at++;
    if (t->mine) {
        store64(&t->party.seat->at, t->at);
        store64(&t->party.seat->messages, ++t->messages);
        if (TARN_RARE(t->holds))
            doorbell_ring(&t->party, &t->party.channel->room, INT32_MAX);
    }
}

static inline struct tarn_topic_news news_of(const struct tarn_topic *t, uint64_t position,
                                             const struct topic_chunk *c)
{
    uint32_t size = __atomic_load_n(&c->size, __ATOMIC_RELAXED);
    return (struct tarn_topic_news){.sequence = position,
                                    .sent_ns = __atomic_load_n(&c->sent_ns, __ATOMIC_RELAXED),
                                    .size = size < t->view.size ? size : t->view.size};
}

static inline void tell(struct tarn_topic *t, const struct tarn_topic_news *news, struct tarn_topic_news *ret_news)
{
    if (!ret_news)
        return;
    *ret_news = *news;
    ret_news->lost = t->lost - t->told;
    t->told = t->lost;
}

static int no_room(const struct tarn_topic *t, const struct tarn_topic_news *news, size_t room, const char *call)
{
    return fail(-EMSGSIZE, "%s: message %llu of \"%s\" has %zu bytes, and there is room for %zu", call,
                (unsigned long long)news->sequence, t->party.name, news->size, room);
}

/* From here on the message of this entry stays as it is, if it is still there. */
static bool pin(struct tarn_topic *t, int i, uint64_t entry)
{
    if (TARN_RARE(!t->takes)) {
        __atomic_fetch_or(&t->view.words->takers, 1ull << t->index % 64, __ATOMIC_SEQ_CST);
        kill_point();
        t->takes = true;
    }
    exchange32(&t->mine->pin[i], entry_chunk(entry) + 1); /* pairs with is_pinned */
    if (__atomic_load_n(entry_at(&t->view, t->at), __ATOMIC_SEQ_CST) == entry)
        return true;
    store32(&t->mine->pin[i], 0);
    return false;
}

/* Publishers overwrite what is copied: pin it first. -EAGAIN: not now. */
static int receive_pinned(struct tarn_topic *t, void *buffer, size_t room, struct tarn_topic_news *ret_news,
                          const char *call)
{
    int i = 0;
    while (i < TOPIC_HAND_MOST && t->pin[i])
        i++;
    if (!t->mine || t->held >= t->view.hand || i == TOPIC_HAND_MOST)
        return -EAGAIN;
    for (int tries = 0; tries < PINS_MOST; tries++) {
        struct tarn_topic_news news;
        uint64_t entry = 0;
        int e = front(t, tries, &entry);
        if (e < 0)
            return e;
        if (e == 0 || !pin(t, i, entry))
            continue;
        news = news_of(t, t->at, chunk_at(&t->view, entry_chunk(entry)));
        if (news.size <= room)
            topic_copy(buffer, chunk_body(&t->view, entry_chunk(entry)), news.size);
        store32(&t->mine->pin[i], 0);
        tell(t, &news, ret_news);
        if (news.size > room)
            return no_room(t, &news, room, call);
        received(t);
        return 0;
    }
    return -EAGAIN;
}

static inline int receive_try(struct tarn_topic *t, void *buffer, size_t room,
                              struct tarn_topic_news *ret_news, const char *call)
{
    for (int tries = 0; tries < COPIES_MOST; tries++) {
        struct tarn_topic_news news;
        uint64_t entry = 0;
        int e = front(t, tries, &entry);
        if (e < 0)
            return e;
        if (e == 0)
            continue;
        news = news_of(t, t->at, chunk_at(&t->view, entry_chunk(entry)));
        if (news.size <= room)
            topic_copy(buffer, chunk_body(&t->view, entry_chunk(entry)), news.size);
        if (TARN_RARE(!topic_still(&t->view, t->at, entry)))
            continue;
        tell(t, &news, ret_news);
        if (TARN_RARE(news.size > room))
            return no_room(t, &news, room, call);
        received(t);
        return 0;
    }
    return receive_pinned(t, buffer, room, ret_news, call);
}

static int take_try(struct tarn_topic *t, const void **ret_message, struct tarn_topic_news *ret_news,
                    const char *call)
{
    int e, i = free_hand(t, t->pin, call);
    if (i < 0)
        return i;
    for (int tries = 0; tries < PINS_MOST; tries++) {
        struct tarn_topic_news news;
        uint64_t entry = 0;
        e = front(t, tries, &entry);
        if (e < 0)
            return e;
        if (e == 0 || !pin(t, i, entry))
            continue;
        t->pin[i] = entry_chunk(entry) + 1;
        t->held++;
        news = news_of(t, t->at, chunk_at(&t->view, entry_chunk(entry)));
        *ret_message = chunk_body(&t->view, entry_chunk(entry));
        tell(t, &news, ret_news);
        received(t);
        return 0;
    }
    return -EAGAIN;
}

/* ---- waiting for a message ---- */

/* A reader marks no doorbell: it looks, and then pauses, and longer each time. */
static int reader_pause(int *look, uint64_t *pause, enum mutex_wait how, const struct timespec *until)
{
    struct timespec t = timespec_of(*pause);
    if (how == MUTEX_TRY)
        return -EAGAIN;
    if (until && os_passed(until))
        return -ETIMEDOUT;
    if (look_again(look))
        return 0;
    if (until) {
        uint64_t now = channel_now(CLOCK_MONOTONIC);
        struct timespec end = timespec_of(now + *pause);
        if (os_before(until, &end))
            end = *until;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
    } else
        nanosleep(&t, NULL);
    *pause = *pause * 2 < PAUSE_MOST ? *pause * 2 : PAUSE_MOST;
    return 0;
}

/* What is wanted: a copy, or (message given) the place. */
struct want {
    void *buffer;
    size_t room;
    const void **message;
    struct tarn_topic_news *news;
    const char *call;
};

static inline int attempt(struct tarn_topic *t, const struct want *w)
{
    return w->message ? take_try(t, w->message, w->news, w->call)
                      : receive_try(t, w->buffer, w->room, w->news, w->call);
}

static int wait_for_news(struct tarn_topic *t, const struct want *want, enum mutex_wait how,
                         const struct timespec *until)
{
    int e = -EAGAIN;
    if (t->party.reader) {
        uint64_t pause = PAUSE_FIRST;
        int look = 0;
        while (e == -EAGAIN && (e = reader_pause(&look, &pause, how, until)) == 0)
            e = attempt(t, want);
    } else {
        struct channel_wait w = channel_wait(&t->party, &t->party.channel->news, TARN_RECEIVE, how, until);
        while (e == -EAGAIN && (e = channel_sleep(&w)) == 0)
            e = attempt(t, want);
        w.slept = false; /* all are woken */
        channel_wait_end(&w);
    }
    if (e == -EAGAIN)
        return fail_constant(-EAGAIN, "no message is there");
    return e == -ETIMEDOUT ? fail(e, "%s: nothing was published on \"%s\" in time", want->call, t->party.name) : e;
}

static inline int get(struct tarn_topic *t, const struct want *want, enum mutex_wait how,
                      const struct timespec *until)
{
    int e = party_use(&t->party, TARN_RECEIVE, how, until, want->call);
    if (TARN_RARE(e))
        return e;
    e = attempt(t, want);
    return TARN_RARE(e == -EAGAIN) ? wait_for_news(t, want, how, until) : e;
}

int tarn_topic_receive(tarn_topic *t, void *buffer, size_t room, struct tarn_topic_news *ret_news)
{
    const struct want want = {buffer, room, NULL, ret_news, __func__};
    return get(t, &want, MUTEX_WAIT, NULL);
}
int tarn_topic_receive_try(tarn_topic *t, void *buffer, size_t room, struct tarn_topic_news *ret_news)
{
    const struct want want = {buffer, room, NULL, ret_news, __func__};
    return get(t, &want, MUTEX_TRY, NULL);
}
int tarn_topic_receive_timed(tarn_topic *t, void *buffer, size_t room, struct tarn_topic_news *ret_news,
                             const struct timespec *until)
{
    const struct want want = {buffer, room, NULL, ret_news, __func__};
    return get(t, &want, MUTEX_TIMED, until);
}

static int reader_takes(const struct tarn_topic *t, const char *call)
{
    return t->party.reader
               ? fail(-EROFS, "%s: the segment of \"%s\" is attached read-only, which allows copying alone",
                      call, t->party.name)
               : 0;
}

int tarn_topic_take(tarn_topic *t, const void **ret_message, struct tarn_topic_news *ret_news)
{
    const struct want want = {NULL, 0, ret_message, ret_news, __func__};
    int e = reader_takes(t, __func__);
    return e ? e : get(t, &want, MUTEX_WAIT, NULL);
}
int tarn_topic_take_try(tarn_topic *t, const void **ret_message, struct tarn_topic_news *ret_news)
{
    const struct want want = {NULL, 0, ret_message, ret_news, __func__};
    int e = reader_takes(t, __func__);
    return e ? e : get(t, &want, MUTEX_TRY, NULL);
}
int tarn_topic_take_timed(tarn_topic *t, const void **ret_message, struct tarn_topic_news *ret_news,
                          const struct timespec *until)
{
    const struct want want = {NULL, 0, ret_message, ret_news, __func__};
    int e = reader_takes(t, __func__);
    return e ? e : get(t, &want, MUTEX_TIMED, until);
}

int tarn_topic_release(tarn_topic *t, const void *message)
{
    int i, e = reader_takes(t, __func__);
    if (e || (e = party_use(&t->party, TARN_RECEIVE, MUTEX_TRY, NULL, __func__)))
        return e;
    i = in_hand(t, t->pin, message);
    if (i < 0)
        return fail(-EINVAL, "tarn_topic_release: %p is no message of \"%s\" that is in hand: it was not taken, or was released before",
                    message, t->party.name);
    store32(&t->mine->pin[i], 0);
    t->pin[i] = 0;
    t->held--;
    return 0;
}

/* ---- looking, seeking, holding ---- */

int tarn_topic_latest(tarn_topic *t, void *buffer, size_t room, struct tarn_topic_news *ret_news)
{
    for (int tries = 0; tries < PINS_MOST; tries++) {
        struct tarn_topic_news news;
        uint64_t next, entry = 0;
        if (!topic_next(&t->view, &next))
            return topic_damaged(t);
        if (next-- == 0)
            return fail_constant(-ENOENT, "nothing was published yet");
        entry = load64(entry_at(&t->view, next));
        if (!entry_is(entry, next))
            continue;
        if (entry_chunk(entry) >= t->view.count)
            return topic_damaged(t);
        news = news_of(t, next, chunk_at(&t->view, entry_chunk(entry)));
        if (news.size <= room)
            topic_copy(buffer, chunk_body(&t->view, entry_chunk(entry)), news.size);
        if (!topic_still(&t->view, next, entry))
            continue;
        if (ret_news)
            *ret_news = news;
        return news.size > room ? no_room(t, &news, room, __func__) : 0;
    }
    return fail(-EAGAIN,
                "tarn_topic_latest: publishers on \"%s\" overwrite messages quicker than they can be copied",
                t->party.name);
}

/* Publishers are to look at the cursors of who holds. */
static int tell_publishers(struct tarn_topic *t)
{
    int e;
    bell_arm(t->party.self);
    e = channel_lock(&t->party, MUTEX_WAIT);
    if (e == 0) {
        topic_holding_changed(&t->party);
        channel_unlock(&t->party);
        doorbell_ring(&t->party, &t->party.channel->room, INT32_MAX);
    }
    bell_disarm(t->party.self);
    return e;
}

int tarn_topic_seek(tarn_topic *t, uint64_t back)
{
    uint64_t next, most;
    int e = party_use(&t->party, TARN_RECEIVE, MUTEX_TRY, NULL, __func__);
    if (e)
        return e;
    if (!topic_next(&t->view, &next))
        return topic_damaged(t);
    most = next < topic_capacity(&t->view) ? next : topic_capacity(&t->view);
    t->at = next - (back < most ? back : most);
    if (t->mine)
        store64(&t->party.seat->at, t->at);
    return t->holds ? tell_publishers(t) : 0;
}

int tarn_topic_hold(tarn_topic *t, uint32_t limit)
{
    int e;
    if (t->party.reader)
        return fail(-EROFS, "tarn_topic_hold: the segment of \"%s\" is attached read-only: it can hold up nobody",
                    t->party.name);
    e = party_use(&t->party, TARN_RECEIVE, MUTEX_TRY, NULL, __func__);
    if (e)
        return e;
    if (limit > TOPIC_HOLD_MOST)
        return fail(-EINVAL, "tarn_topic_hold: a limit of %u ms: at most %d", limit, TOPIC_HOLD_MOST);
    store32(&t->mine->hold, limit);
    t->holds = limit;
    return tell_publishers(t);
}

int tarn_topic_poll(tarn_topic *t, tarn_poll *poll)
{
    return channel_poll(&t->party, poll, __func__);
}

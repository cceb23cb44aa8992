/* test_channel_check.c - tarn_check of channels: each kind of word, damaged, is told, with the channel's name; beside those who send and receive at full speed no single look finds
 * anything (the explorer's case_check.c has every interleaving of small cases). */
#include "helper.h"

#include "channel/call.h"
#include "channel/check.h"
#include "channel/mq.h"
#include "channel/ring.h"
#include "channel/topic.h"

static tarn *seg, *readonly;
static struct party p; /* looks at the channel "jobs" */

static int begin(void **state)
{
    (void)state;
    alarm(55);
    check_pause_ns = 0; /* nobody is at work */
    assert_int_equal(tarn_open("memfd:check", TARN_CREATE, NULL, &seg), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &readonly), 0);
    return 0;
}
static int finish(void **state)
{
    (void)state;
    assert_int_equal(tarn_close(readonly), 0);
    return tarn_close(seg);
}

/* ---- what is told ---- */

struct expected {
    const char *part;
    int found, told;
};
static int tell(const struct tarn_damage *d, void *arg)
{
    struct expected *e = arg;
    e->told++;
    e->found += strncmp(d->what, "in \"jobs\": ", 11) == 0 && strstr(d->what, e->part);
    return 0;
}
static void told(const char *part)
{
    struct expected e = {.part = part}, again = {.part = part};
    int n = tarn_check(seg, tell, &e);
    assert_int_equal(n, e.told);
    if (!e.found) {
        tarn_check(seg, print_damage, NULL);
        fail_msg("\"%s\" is not told, but %d other damages", part, e.told);
    }
    n = tarn_check(readonly, tell, &again);
    assert_int_equal(n, e.told);
    assert_int_equal(again.found, e.found);
}
/* The word is another for a while. */
static void told64(const void *at, uint64_t value, const char *part)
{
    uint64_t was;
    memcpy(&was, at, 8);
    assert_int_not_equal(was, value);
    memcpy((void *)(uintptr_t)at, &value, 8);
    told(part);
    memcpy((void *)(uintptr_t)at, &was, 8);
}
static void told32(const void *at, uint32_t value, const char *part)
{
    uint32_t was;
    memcpy(&was, at, 4);
    assert_int_not_equal(was, value);
    memcpy((void *)(uintptr_t)at, &value, 4);
    told(part);
    memcpy((void *)(uintptr_t)at, &was, 4);
}
static void nothing_is_told(void)
{
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
    assert_int_equal(tarn_check(readonly, print_damage, NULL), 0);
}

/* A child has done it, and is dead; its seat is there still. */
static void dies(void *run)
{
    ((void (*)(void))(uintptr_t)run)();
    raise(SIGKILL);
}
static void dead_one(void (*run)(void))
{
    assert_true(WIFSIGNALED(in_child(dies, (void *)(uintptr_t)run)));
    assert_true(tarn_recover(seg) >= 0);
}
static struct channel_seat *seat_of(unsigned role, bool alive)
{
    for (uint32_t i = 0; i < p.shape.seats; i++) {
        struct channel_seat *s = seat_at(&p, i);
        if (s->id && s->role & role && (fate_of(seg, s->id) == ALIVE) == alive)
            return s;
    }
    fail();
    return NULL;
}
static uint32_t nobody(void) /* the identity of one who has left */
{
    return ID_MAKE(record_at(seg, 5)->generation + 3, 5);
}

/* ---- what all have ---- */

static void what_all_have(const struct channel_seat *taken)
{
    told32(&p.channel->gone, 2, "unbound");
    told32(&p.channel->unsaid, 3, "of the seats");
    told32(&p.channel->lock, nobody(), "a mutex is owned by a participant that is not there");
    told32(&p.channel->shape.capacity, 3, "shape");
    told32(&taken->id, 0x7fffffff, "a participant that cannot be");
    told32(&taken->role, 0, "role");
    told32(&taken->role, 8, "role");
}

/* ---- ring ---- */

static const struct tarn_channel_options eight = {.size = sizeof eight, .capacity = 8, .message = 8, .parties = 4};
static void takes_from_the_ring(void)
{
    tarn_ring *in;
    const void *message;
    size_t size;
    uint64_t word;
    check(tarn_ring_open(seg, "jobs", TARN_RECEIVE, NULL, &in) == 0);
    for (int i = 0; i < 5; i++)
        check(tarn_ring_receive_try(in, &word, 8, NULL) == 0);
    check(tarn_ring_take_try(in, &message, &size) == 0);
}

static void ring_of_slots(void **state)
{
    (void)state;
    tarn_ring *out;
    assert_int_equal(tarn_ring_open(seg, "jobs", TARN_CREATE | TARN_SEND, &eight, &out), 0);
    assert_int_equal(channel_look(seg, "jobs", &p), 0);
    struct ring_ends *ends = ends_of(&p);
    uint64_t *line[2] = {ring_word(p.slots), ring_word(p.slots + RING_LINE)}; /* of seven messages */
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(tarn_ring_send_try(out, &i, 8), 0);
    dead_one(takes_from_the_ring);
    nothing_is_told();
    const struct channel_seat *sender = seat_of(TARN_SEND, true), *receiver = seat_of(TARN_RECEIVE, false);
    what_all_have(sender);
    told64(&ends->head, 9, "head is beyond");
    told64(&ends->head, 77, "not filled");
    told64(&ends->tail, 14, "tail is beyond");
    told64(&ends->tail, 3, "not where a line begins");
    told64(line[0], 0, "not filled");
    told64(line[0], *line[0] - (1ull << RING_COUNT_SHIFT), "size of a message that is not there");
    told64(line[0], *line[0] - (1ull << RING_LAP_SHIFT), "not filled");
    told64(line[0], *line[0] + (1ull << RING_LAP_SHIFT), "not filled"); /* the other one is not as far */
    told64(line[0], *line[0] + 1, "larger than it can be");
    told64(line[1], 1ull << RING_LAP_SHIFT, "or none");
    told64(line[1], *line[1] | 0x80, "size of a message that is not there");
    told64(&receiver->own[0], ends->head + 2, "in a hand that cannot have it");
    told64(&receiver->own[2], 100, "began beyond");
    told64(&sender->own[1], 10, "more than a message may have");
    told32(&receiver->role, TARN_SEND, "two senders");
    nothing_is_told();
    tarn_ring *in;
    assert_int_equal(tarn_ring_open(seg, "jobs", TARN_RECEIVE, NULL, &in), 0);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(tarn_ring_receive_try(in, &(uint64_t){0}, 8, NULL), 0);
        assert_int_equal(tarn_ring_send_try(out, &i, 8), 0);
    }
    nothing_is_told();
    told64(&ends->head, ends->head - 7, "further behind");
    told64(&ends->head, 0, "further behind");
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_ring_close(in), 0);
}

static void takes_a_record(void)
{
    tarn_ring *in;
    const void *message;
    size_t size;
    check(tarn_ring_open(seg, "jobs", TARN_RECEIVE, NULL, &in) == 0);
    for (int i = 0; i < 3; i++) {
        check(tarn_ring_take_try(in, &message, &size) == 0);
        check(i == 2 || tarn_ring_release(in) == 0);
    }
}
static void ring_of_bytes(void **state)
{
    (void)state;
    static const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = 128, .message = 24, .parties = 4, .flags = TARN_RING_BYTES};
    tarn_ring *out;
    assert_int_equal(tarn_ring_open(seg, "jobs", TARN_CREATE | TARN_SEND, &o, &out), 0);
    assert_int_equal(channel_look(seg, "jobs", &p), 0);
    struct ring_ends *ends = ends_of(&p);
    uint64_t *header = ring_word(p.slots + 64); /* of the third record */
    for (int i = 0; i < 3; i++)
        assert_int_equal(tarn_ring_send_try(out, "012345678901234567890123", 24), 0);
    dead_one(takes_a_record);
    assert_int_equal(tarn_ring_send_try(out, "012345678901234567890123", 24), 0); /* up to the end */
    assert_int_equal(tarn_ring_send_try(out, "01234567", 8), 0);
    nothing_is_told();
    assert_int_equal(ends->head, 64);
    assert_int_equal(ends->tail, 144);
    told64(&ends->head, 68, "no record begins");
    told64(&ends->tail, 70, "no record begins");
    told64(&ends->head, 152, "no record that can have been sent");
    told64(&ends->tail, 104, "within a record");
    told64(&ends->tail, 152, "tail is beyond");
    told64(&ends->sent, 6, "more messages of a ring were counted");
    told64(&ends->received, 6, "more messages of a ring were counted");
    told64(&ends->received, 1, "more messages released");
    told64(header, *header + 80, "no record");
    told64(header, *header & ~(uint64_t)RING_USED, "no record");
    told64(header, *header | RING_SKIP, "no record");
    told64(header + 4, header[4] + (1ull << 32), "not numbered");
    told64(ring_word(p.slots + 16), 0x1234, "no record"); /* behind the last one */
    told64(&seat_of(TARN_RECEIVE, false)->own[0], 100, "in a hand that cannot have it");
    nothing_is_told();
    assert_int_equal(tarn_ring_close(out), 0);
}
/* The end of the ring is left unused. */
static void ring_with_a_skip(void **state)
{
    (void)state;
    static const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = 128, .message = 40, .parties = 4, .flags = TARN_RING_BYTES};
    tarn_ring *out;
    assert_int_equal(tarn_ring_open(seg, "jobs", TARN_CREATE | TARN_SEND, &o, &out), 0);
    assert_int_equal(channel_look(seg, "jobs", &p), 0);
    tarn_ring *in;
    assert_int_equal(tarn_ring_open(seg, "jobs", TARN_RECEIVE, NULL, &in), 0);
    char text[40] = "";
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tarn_ring_send_try(out, text, 40), 0);
        assert_int_equal(tarn_ring_receive_try(in, text, 40, NULL), 0);
    }
    assert_int_equal(tarn_ring_send_try(out, text, 40), 0);
    uint64_t *skip = ring_word(p.slots + 96), *first = ring_word(p.slots);
    assert_true(*skip & RING_SKIP);
    nothing_is_told();
    told64(skip, *skip - 8, "no record");
    told64(first, 0, "no record");
    told64(first, (*first & ~(uint64_t)RING_SIZE_MASK) | RING_SKIP | 128, "no record");
    told64(first, *first + (1ull << 32), "not numbered");
    assert_int_equal(tarn_ring_close(out), 0);
    assert_int_equal(tarn_ring_close(in), 0);
}

/* ---- message queue ---- */

static void takes_from_the_queue(void)
{
    tarn_mq *mq;
    void *message;
    check(tarn_mq_open(seg, "jobs", TARN_SEND | TARN_RECEIVE, NULL, &mq) == 0);
    check(tarn_mq_take_try(mq, &message, NULL) >= 0);
    check(tarn_mq_loan_try(mq, 8, &message) == 0);
    check(tarn_mq_send_try(mq, 1, "eight by", 8) == 0);
}
static void queue(void **state)
{
    (void)state;
    static const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = 4, .message = 16, .parties = 4, .number = 2};
    struct mq q;
    uint64_t *taken, *owned, *loose = NULL, *sent = NULL, *freed = NULL;
    tarn_mq *mq;
    assert_int_equal(tarn_mq_open(seg, "jobs", TARN_CREATE | TARN_SEND | TARN_RECEIVE, &o, &mq), 0);
    assert_int_equal(channel_look(seg, "jobs", &p), 0);
    mq_of(&p, &q);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(tarn_mq_send_try(mq, 0, "abcd", 4), 0);
        if (i < 4)
            assert_int_equal(tarn_mq_receive_try(mq, (char[16]){0}, 16, NULL), 0);
    }
    dead_one(takes_from_the_queue);
    assert_int_equal(channel_clear_dead(&mq->party), 1);
    assert_int_equal(tarn_mq_receive_try(mq, (char[16]){0}, 16, NULL), 0);
    assert_int_equal(tarn_mq_receive_try(mq, (char[16]){0}, 16, NULL), TARN_RECOVERED);
    dead_one(takes_from_the_queue);
    nothing_is_told();
    const struct channel_seat *dead = seat_of(TARN_RECEIVE, false);
    const struct mq_seat *has = (const struct mq_seat *)(const void *)dead->own;
    what_all_have(seat_of(TARN_SEND, true));
    /* chunks */
    taken = mq_word_at(&q, has->hand[0] - 1);
    owned = mq_word_at(&q, has->hand[1] - 1);
    assert_int_equal(MQ_WHAT(*taken), MQ_TAKEN);
    assert_int_equal(MQ_WHAT(*owned), MQ_OWNED);
    for (uint32_t i = 0; i < q.count; i++) {
        uint64_t *w = mq_word_at(&q, i);
        loose = *w == MQ_LOOSE ? w : loose;
        sent = MQ_WHAT(*w) == MQ_SENT ? w : sent;
        freed = MQ_WHAT(*w) == MQ_FREE ? w : freed;
    }
    assert_true(loose && sent && freed);
    told64(loose, 6, "word is none");
    told64(loose, 8, "something else besides");
    told64(loose, mq_owned(nobody()), "does not name it");
    told64(loose, mq_owned(dead->id), "does not name it");
    told64(loose, mq_owned(0x7fff), "nobody's that can be");
    told64(loose, mq_owned(dead->id) | 64, "nobody's that can be");
    told64(loose, mq_taken(nobody(), 4), "does not name it");
    told64(loose, mq_taken(0x7fff, 4), "nobody's that can be");
    told64(taken, mq_taken(dead->id, 17), "larger than it can be");
    told64(loose, mq_sent(0, 5), "another's");
    told64(loose, mq_sent(1, 1000), "another's");
    told64(loose, mq_free(1, 2), "another's");
    told64(loose, mq_free(3, 2), "priority that is none");
    told64(sent, mq_sent(MQ_LEVEL(*sent), MQ_POSITION(*sent) + 4), "another's");
    told64(freed, mq_free(MQ_LEVEL(*freed), MQ_POSITION(*freed) - 4), "another's");
    told64(loose, mq_again(17, 0), "came back");
    told64(loose, mq_again(4, mq_order(2, 1)), "came back");
    uint64_t was = *loose;
    *loose = mq_again(4, mq_order(1, 1));
    told64(&q.shared->made, 0, "nobody is told");
    *loose = was;
    /* entries, hints */
    for (unsigned level = 0; level < 2; level++) {
        uint64_t *tail = &q.shared->tail[level], *head = &q.shared->head[level];
        uint64_t *entry = mq_entry_at(&q, level, 4), e = *entry;
        told64(tail, *tail + 16, "never claimed");
        told64(head, *head + 16, "never claimed");
        told64(tail, 0, "before its first");
        told64(head, 3, "before its first");
        told64(tail, 1ull << 63, "never claimed");
        told64(entry, e | ((1ull << q.chunk_bits) - 1), "chunk that is none");
        told64(entry, mq_entry(&q, 0, 17, mq_entry_chunk(&q, e)) | (e >> q.lap_shift << q.lap_shift),
               "larger than it can be");
        told64(entry, e - (1ull << q.lap_shift), "never claimed");
        told64(entry, e + (2ull << q.lap_shift), "never claimed"); /* the others are not as far */
    }
    /* seats, and what they share */
    told32(&has->hand[0], q.count + 1, "that is none");
    told32(&has->hand[0], 0, "does not name it");
    told32(&has->hand[1], 0, "does not name it");
    told32(&has->order[0], 7u << MQ_ORDER_BITS, "that is none");
    told32(&has->spare, UINT32_MAX, "that is none");
    told32(&has->gets, q.count + 1, "that is none");
    told32(&has->sends, q.count + 1, "that is none");
    told64(&has->stamp, mq_sent(2, 5), "sends to a place that is none");
    told64(&has->stamp, mq_free(0, 5), "sends to a place that is none");
    told64(&q.shared->intent, (uint64_t)dead->id << 32, "being counted");
    told64(&q.shared->intent, 0xffffull << 32 | 1, "being counted");
    told64(&q.shared->mixed, 2, "neither yes nor no");
    nothing_is_told();
    assert_int_equal(tarn_mq_close(mq), 0);
}

/* ---- topic ---- */

static void has_of_the_topic(void)
{
    tarn_topic *t;
    const void *message;
    void *loan;
    check(tarn_topic_open(seg, "jobs", TARN_SEND | TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &t) == 0);
    check(tarn_topic_take_try(t, &message, NULL) == 0);
    check(tarn_topic_loan(t, 8, &loan) == 0);
    check(tarn_topic_hold(t, 5) == 0);
    check(tarn_topic_send_try(t, "eight by", 8) == 0);
}
static void topic(void **state)
{
    (void)state;
    static const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = 4, .message = 16, .parties = 4, .number = 3};
    tarn_topic *t;
    assert_int_equal(tarn_topic_open(seg, "jobs", TARN_CREATE | TARN_SEND, &o, &t), 0);
    assert_int_equal(channel_look(seg, "jobs", &p), 0);
    struct topic_view v = t->view;
    uint64_t next;
    for (int i = 0; i < 7; i++)
        assert_int_equal(tarn_topic_send(t, "abcd", 4), 0);
    dead_one(has_of_the_topic);
    nothing_is_told();
    const struct channel_seat *dead = seat_of(TARN_RECEIVE, false);
    const struct topic_seat *has = (const struct topic_seat *)(const void *)dead->own;
    what_all_have(dead);
    next = v.words->next;
    assert_int_equal(next, 8);
    told64(&v.words->next, next - 2, "behind what was published");
    told64(&v.words->next, next + 1, "names no position");
    told64(&v.words->next, 0, "behind what was published");
    told64(&v.words->holding, 5, "more subscribers");
    told64(&v.words->takers, v.words->takers | 16, "a seat that there is not");
    told64(&v.words->takers, 0, "publishers do not look there");
    /* entries */
    uint64_t *entry = entry_at(&v, 6), e = *entry;
    uint32_t chunk = entry_chunk(e);
    told64(entry, entry_make(6, v.count), "chunk that is none");
    told64(entry, entry_make(2, chunk), "names no position");
    told64(entry, entry_make(10, chunk), "names no position"); /* the others are not as far */
    told64(entry, entry_make(5, chunk), "names no position");
    told64(entry, entry_make(6, entry_chunk(*entry_at(&v, 5))), "none of its message");
    told64(&chunk_at(&v, chunk)->word, TOPIC_FREE, "none of its message");
    told64(&chunk_at(&v, entry_chunk(*entry_at(&v, 5)))->word, TOPIC_LOANED | t->index,
           "none of its message"); /* its claim is 6 */
    told64(&chunk_at(&v, chunk)->word, TOPIC_PUBLISHED | 2, "none of its message");
    told64(&chunk_at(&v, chunk)->word, TOPIC_PUBLISHED | 5, "whose entry is another's");
    told64(&chunk_at(&v, chunk)->word, TOPIC_PUBLISHED | 9, "not published");
    told64(&chunk_at(&v, chunk)->word, TOPIC_PUBLISHED | TOPIC_LOANED | 6, "not published");
    /* other chunks */
    uint32_t loan = has->loan[0] - 1, free = v.count - 1;
    assert_int_equal(chunk_at(&v, loan)->word, TOPIC_LOANED | (uint64_t)(dead - p.seats));
    told64(&chunk_at(&v, loan)->word, TOPIC_LOANED | 4, "word is none");
    told64(&chunk_at(&v, loan)->word, TOPIC_LOANED | 1ull << 40, "word is none");
    told64(&chunk_at(&v, loan)->word, 1, "word is none");
    told64(&chunk_at(&v, loan)->word, TOPIC_LOANED | 3, "does not have it"); /* a free seat */
    told32(&has->loan[0], 0, "does not have it");
    assert_int_equal(chunk_at(&v, free)->word, TOPIC_FREE);
    told64(&chunk_at(&v, free)->word, TOPIC_LOANED | (uint64_t)(dead - p.seats), "does not have it");
    told32(&chunk_at(&v, free)->size, 17, "larger than it can be");
    /* seats */
    told32(&has->making, v.count + 1, "that is none");
    told32(&has->loan[2], v.count + 1, "that is none");
    told32(&has->pin[5], v.count + 1, "that is none");
    told32(&has->hold, 3600001, "for longer than may be");
    told64(&dead->at, 10, "beyond what was published");
    told64(&has->claim, 77, "beyond what was published");
    struct topic_seat *idle = (struct topic_seat *)(void *)seat_at(&p, 3)->own;
    assert_int_equal(seat_at(&p, 3)->id, 0);
    told32(&idle->making, 2, "a free seat");
    told32(&idle->pin[1], 2, "a free seat");
    nothing_is_told();
    assert_int_equal(tarn_topic_close(t), 0);
}

/* ---- call ---- */

static void serves(void)
{
    tarn_call *server;
    struct tarn_request r;
    check(tarn_call_open(seg, "jobs", TARN_RECEIVE, NULL, &server) == 0);
    for (int i = 0; i < 4; i++) {
        check(tarn_call_next_try(server, &r) == 0);
        if (i < 2)
            check((i ? tarn_call_fail(server, r.id, -EIO) : tarn_call_answer(server, r.id, "yes", 3)) == 0);
    }
}
static void call(void **state)
{
    (void)state;
    static const struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .message = 100, .parties = 4};
    tarn_call *client;
    assert_int_equal(tarn_call_open(seg, "jobs", TARN_CREATE | TARN_SEND, &o, &client), 0);
    assert_int_equal(channel_look(seg, "jobs", &p), 0);
    uint64_t id[7], *own = p.channel->own;
    struct call_slot *in[8] = {0}; /* a slot in each state */
    void *at;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(tarn_call_loan_try(client, 40, &at, &id[i]), 0);
        assert_int_equal(tarn_call_begin(client, id[i], 0, 40), 0);
    }
    assert_int_equal(tarn_call_loan_try(client, 40, &at, &id[6]), 0);
    dead_one(serves);
    assert_int_equal(tarn_call_cancel(client, id[3]), 0);
    assert_int_equal(tarn_call_cancel(client, id[5]), 0);
    for (uint32_t i = 0; i < 8; i++)
        in[STATE(slot_at(&p, i)->word)] = slot_at(&p, i);
    for (int i = 0; i < 8; i++)
        assert_non_null(in[i]);
    nothing_is_told();
    const struct channel_seat *server = seat_of(TARN_RECEIVE, false), *mine = seat_of(TARN_SEND, true);
    what_all_have(mine);
    /* the order */
    told64(&own[TAIL], 7, "never filled");
    told64(&own[TAIL], 4, "tail of the order of requests is behind");
    told64(&own[HEAD], 5, "never passed by");
    told64(&own[HEAD], 2, "head of the order of requests is behind");
    told64(&own[HEAD], 1ull << 62, "never passed by");
    told64(order_at(&p, 5), *order_at(&p, 5) + 20, "names a slot that there is not");
    told64(order_at(&p, 5), 0, "never filled");
    told64(order_at(&p, 5), 3ull << 24, "never filled"); /* the others are not as far */
    told64(order_at(&p, 1), 2, "never passed by");
    told64(order_at(&p, 4), *order_at(&p, 5), "no server finds it");
    told64(order_at(&p, 5), *order_at(&p, 4), "nobody frees it");
    /* words */
    uint64_t asked = in[ASKED]->word;
    told64(in[FREE], in[FREE]->word | 1, "cannot have with that seat");
    told64(in[DROPPED], in[DROPPED]->word | 1, "cannot have with that seat");
    told64(in[OPEN], WORD(5, OPEN, 0), "cannot have with that seat");
    told64(in[OPEN], WORD(5, OPEN, 5), "cannot have with that seat");
    told64(in[ANSWERED], WORD(5, ANSWERED, 0xffff), "cannot have with that seat");
    told64(in[OPEN], WORD(5, OPEN, 4), "whose seat is free");
    told64(in[TAKEN], WORD(5, TAKEN, 4), "whose seat is free");
    told64(in[CANCELLED], WORD(5, CANCELLED, 3), "whose seat is free");
    told64(in[ASKED], WORD(TURN(asked), ASKED, (uint32_t)(server - p.seats) + 1), "client that cannot have it");
    told64(in[FREE], WORD(9, ASKED, client->seat), "client that cannot have it");
    /* what goes with them */
    told32(&in[TAKEN]->client, 5, "client that cannot have it");
    told32(&in[TAKEN]->client, 4, "whose seat is free");
    told32(&in[FAILED]->client, 2, "client that cannot have it");
    told32(&in[ASKED]->request, 101, "request is larger");
    told32(&in[TAKEN]->request, UINT32_MAX, "request is larger");
    told32(&in[ANSWERED]->response, 33, "response is larger");
    told32(&in[FAILED]->error, 0, "error that is none");
    told32(&in[FAILED]->error, 1u << 31, "error that is none");
    told32(&in[ASKED]->flags, 0x40, "flags");
    /* seats */
    told64(&mine->own[ASKING], 9, "at a call that there is not");
    told64(&server->own[REDO], UINT64_MAX, "at a call that there is not");
    nothing_is_told();
    for (int i = 0; i < 7; i++)
        if (i != 3 && i != 5)
            (void)(tarn_call_cancel(client, id[i]) && tarn_call_end(client, id[i]));
    assert_int_equal(tarn_call_close(client), 0);
}

/* ---- names ---- */

static int first_text(const struct tarn_damage *d, void *to)
{
    snprintf(to, 300, "%s", d->what);
    return 1;
}
/* What a terminal would do something else with is not printed. */
static void strange_names(void **state)
{
    (void)state;
    char text[300] = "", name[200];
    tarn_ring *r;
    memset(name, 'x', sizeof name);
    memcpy(name, "\033[2J\t\177", 6);
    name[sizeof name - 1] = 0;
    assert_int_equal(tarn_ring_open(seg, name, TARN_CREATE, &eight, &r), 0);
    r->party.channel->gone = 7;
    assert_int_equal(tarn_check(seg, first_text, text), 1);
    assert_int_equal(strncmp(text, "in \"?[2J??xxx", 13), 0);
    assert_non_null(strstr(text, "x\": whether the channel was unbound"));
    r->party.channel->gone = 0;
    assert_int_equal(tarn_ring_close(r), 0);
    assert_clean(seg);
}

/* ---- hostile bytes: each look ends, and soon, though each word is wrong ---- */

static int count_damage(const struct tarn_damage *d, void *n)
{
    (void)d;
    ++*(uint64_t *)n;
    return 0;
}
static void all_wrong(void **state)
{
    (void)state;
    const uint64_t values[] = {~0ull,
                               1,
                               2,
                               3,
                               4,
                               5,
                               0x8000000000000000u,
                               0x4000000000000000u,
                               0x0000000500000001u,
                               0x1000000012345u,
                               mq_sent(0, 3),
                               TOPIC_PUBLISHED | 3,
                               WORD(3, ASKED, 1)};
    static const struct tarn_channel_options o = {.size = sizeof o, .capacity = 16384, .message = 8, .parties = 4096};
    const char *const name[] = {"ring", "mq", "topic", "call"};
    tarn_ring *r;
    tarn_mq *m;
    tarn_topic *t;
    tarn_call *c;
    assert_int_equal(tarn_ring_open(seg, name[0], TARN_CREATE, &o, &r), 0);
    assert_int_equal(tarn_mq_open(seg, name[1], TARN_CREATE, &o, &m), 0);
    assert_int_equal(tarn_topic_open(seg, name[2], TARN_CREATE, &o, &t), 0);
    assert_int_equal(tarn_call_open(seg, name[3], TARN_CREATE, &o, &c), 0);
    for (int k = 0; k < 4; k++) {
        struct party look;
        char *body, *saved;
        uint64_t own[24];
        assert_int_equal(channel_look(seg, name[k], &look), 0);
        body = (char *)look.seats;
        saved = malloc(look.shape.bytes);
        memcpy(saved, body, look.shape.bytes);
        memcpy(own, look.channel->own, sizeof own);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            uint64_t n = 0;
            for (uint64_t i = 0; i + 8 <= look.shape.bytes; i += 8)
                memcpy(body + i, &values[v], 8);
            for (int i = 0; i < 24; i++)
                look.channel->own[i] = values[v] * (v % 2);
            assert_true(tarn_check(seg, count_damage, &n) >= 0);
            assert_true(n > 0);
        }
        memcpy(body, saved, look.shape.bytes);
        memcpy(look.channel->own, own, sizeof own);
        free(saved);
    }
    nothing_is_told();
    assert_int_equal(tarn_ring_close(r), 0);
    assert_int_equal(tarn_mq_close(m), 0);
    assert_int_equal(tarn_topic_close(t), 0);
    assert_int_equal(tarn_call_close(c), 0);
}

/* ---- beside the living: each single look finds nothing ---- */

static volatile int stop;
static volatile uint64_t turns;

static void *sends(void *unused)
{
    tarn_ring *slots, *bytes;
    tarn_mq *mq;
    tarn_topic *topic_;
    tarn_call *client;
    uint64_t word[2] = {1, 1};
    (void)unused;
    check(tarn_ring_open(seg, "slots", TARN_SEND, NULL, &slots) == 0);
    check(tarn_ring_open(seg, "bytes", TARN_SEND, NULL, &bytes) == 0);
    check(tarn_mq_open(seg, "mq", TARN_SEND | TARN_RECEIVE, NULL, &mq) == 0);
    check(tarn_topic_open(seg, "topic", TARN_SEND, NULL, &topic_) == 0);
    check(tarn_call_open(seg, "call", TARN_SEND, NULL, &client) == 0);
    for (uint64_t i = 0; !stop; turns = ++i) {
        void *at;
        uint64_t id;
        const void *answer;
        size_t size;
        (void)tarn_ring_send_try(slots, word, 8);
        (void)tarn_ring_send_try(bytes, word, i % 17);
        (void)tarn_mq_send_try(mq, i % 2, word, 8);
        if (tarn_mq_loan_try(mq, 8, &at) == 0 && tarn_mq_send_loan_try(mq, 0, at, 8))
            check(tarn_mq_release(mq, at) == 0);
        check(tarn_topic_send(topic_, word, 8) == 0);
        if (tarn_topic_loan(topic_, 8, &at) == 0)
            check((i % 2 ? tarn_topic_send_loan(topic_, at, 8) : tarn_topic_drop_loan(topic_, at)) == 0);
        if (tarn_call_loan_try(client, 8, &at, &id) == 0) {
            check(tarn_call_begin(client, id, i % 2, 8) == 0);
            if (tarn_call_wait_try(client, id, &answer, &size) == 0)
                check(tarn_call_end(client, id) == 0);
            else if (tarn_call_cancel(client, id))
                _exit(1);
        }
        if (i % 64 == 0) {
            check(tarn_mq_close(mq) == 0);
            check(tarn_mq_open(seg, "mq", TARN_SEND | TARN_RECEIVE, NULL, &mq) == 0);
            check(tarn_call_close(client) == 0);
            check(tarn_call_open(seg, "call", TARN_SEND, NULL, &client) == 0);
        }
    }
    check(!tarn_ring_close(slots) && !tarn_ring_close(bytes) && !tarn_mq_close(mq) &&
          !tarn_topic_close(topic_) && !tarn_call_close(client));
    return NULL;
}
static void *receives(void *unused)
{
    tarn_ring *slots, *bytes;
    tarn_mq *mq;
    tarn_topic *topic_;
    tarn_call *server;
    struct tarn_request r;
    (void)unused;
    check(tarn_ring_open(seg, "slots", TARN_RECEIVE, NULL, &slots) == 0);
    check(tarn_ring_open(seg, "bytes", TARN_RECEIVE, NULL, &bytes) == 0);
    check(tarn_mq_open(seg, "mq", TARN_RECEIVE, NULL, &mq) == 0);
    check(tarn_topic_open(seg, "topic", TARN_RECEIVE, NULL, &topic_) == 0);
    check(tarn_call_open(seg, "call", TARN_RECEIVE, NULL, &server) == 0);
    for (uint64_t i = 0; !stop; i++) {
        const void *message;
        void *mine;
        char text[64];
        size_t size;
        if (i % 3 == 0 && tarn_ring_take_try(slots, &message, &size) == 0)
            check(tarn_ring_release(slots) == 0);
        (void)tarn_ring_receive_try(slots, text, 64, NULL);
        if (i % 3 == 0 && tarn_ring_take_try(bytes, &message, &size) == 0)
            check(tarn_ring_release(bytes) == 0);
        (void)tarn_ring_receive_try(bytes, text, 64, NULL);
        if (tarn_mq_take_try(mq, &mine, NULL) >= 0)
            check(tarn_mq_release(mq, mine) == 0);
        (void)tarn_mq_receive_try(mq, text, 64, NULL);
        if (tarn_topic_take_try(topic_, &message, NULL) == 0)
            check(tarn_topic_release(topic_, message) == 0);
        (void)tarn_topic_receive_try(topic_, text, 64, NULL);
        if (tarn_call_next_try(server, &r) == 0)
            (void)tarn_call_answer(server, r.id, "xxxx", 4);
        if (i % 100 == 0) {
            check(tarn_topic_close(topic_) == 0);
            check(tarn_topic_open(seg, "topic", TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &topic_) == 0);
            check(tarn_ring_close(slots) == 0);
            check(tarn_ring_open(seg, "slots", TARN_RECEIVE, NULL, &slots) == 0);
        }
    }
    check(!tarn_ring_close(slots) && !tarn_ring_close(bytes) && !tarn_mq_close(mq) &&
          !tarn_topic_close(topic_) && !tarn_call_close(server));
    return NULL;
}

static void beside_the_living(void **state)
{
    (void)state;
    static const char *const name[] = {"slots", "bytes", "mq", "topic", "call"};
    struct tarn_channel_options o = {.size = sizeof o, .capacity = 8, .message = 16, .parties = 6};
    struct party look[5];
    pthread_t thread[2];
    tarn_ring *r;
    tarn_mq *m;
    tarn_topic *t;
    tarn_call *c;
    assert_int_equal(tarn_ring_open(seg, "slots", TARN_CREATE, &o, &r), 0);
    assert_int_equal(tarn_ring_close(r), 0);
    assert_int_equal(tarn_call_open(seg, "call", TARN_CREATE, &o, &c), 0);
    assert_int_equal(tarn_call_close(c), 0);
    o.number = 2;
    assert_int_equal(tarn_mq_open(seg, "mq", TARN_CREATE, &o, &m), 0);
    assert_int_equal(tarn_mq_close(m), 0);
    assert_int_equal(tarn_topic_open(seg, "topic", TARN_CREATE, &o, &t), 0);
    assert_int_equal(tarn_topic_close(t), 0);
    o = (struct tarn_channel_options){
        .size = sizeof o, .capacity = 256, .message = 16, .parties = 6, .flags = TARN_RING_BYTES};
    assert_int_equal(tarn_ring_open(seg, "bytes", TARN_CREATE, &o, &r), 0);
    assert_int_equal(tarn_ring_close(r), 0);
    for (int k = 0; k < 5; k++)
        assert_int_equal(channel_look(k % 2 ? readonly : seg, name[k], &look[k]), 0);
    stop = 0;
    turns = 0;
    assert_int_equal(pthread_create(&thread[0], NULL, sends, NULL), 0);
    assert_int_equal(pthread_create(&thread[1], NULL, receives, NULL), 0);
    for (int i = 0; turns < (SANITIZED ? 3000 : 50000); i++)
        for (int k = 0; k < 5; k++) {
            const char *wrong = channel_fault(&look[k], false);
            if (wrong)
                fail_msg("%s, look %d: %s", name[k], i, wrong);
        }
    stop = 1;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (int k = 0; k < 5; k++) {
        const char *wrong = channel_fault(&look[k], true);
        if (wrong)
            fail_msg("%s, at the end: %s", name[k], wrong);
    }
    assert_clean(seg);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(ring_of_slots), T(ring_of_bytes), T(ring_with_a_skip),  T(queue), T(topic), T(call),
        T(strange_names), T(all_wrong),     T(beside_the_living),
    };
    return cmocka_run_group_tests_name("channel_check", tests, NULL, NULL);
}

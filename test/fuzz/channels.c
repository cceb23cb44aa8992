/* channels.c - of fuzz_image: channels in good images, and what is tried with damaged ones: looked at, opened, sent to, received from, asked, answered, closed. A result is one that
 * the header knows, and what is handed out lies in the segment; else the child ends itself, which its parent tells of. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel/layout.h"
#include "fuzz.h"
#include "name/name.h"
#include "tarn/channel.h"

enum { SLOTS, BYTES, MQ, TOPIC, CALL, MESSAGE = 40 };
static const char *const name[FUZZ_CHANNELS] = {"ring", "ring of bytes", "mq", "topic", "call"};

/* ---- good ones ---- */

static const struct tarn_channel_options options[FUZZ_CHANNELS] = {
    {.size = sizeof *options, .capacity = 8, .message = 16, .parties = 3},
    {.size = sizeof *options, .capacity = 256, .message = MESSAGE, .parties = 3, .flags = TARN_RING_BYTES},
    {.size = sizeof *options, .capacity = 4, .message = MESSAGE, .parties = 3, .number = 2},
    {.size = sizeof *options, .capacity = 4, .message = MESSAGE, .parties = 3, .number = 2},
    {.size = sizeof *options, .capacity = 8, .message = MESSAGE, .parties = 3},
};

struct ends {
    tarn_ring *out[2], *in[2];
    tarn_mq *mq;
    tarn_topic *topic;
    tarn_call *client, *server;
};

static void open_all(tarn *seg, unsigned flags, struct ends *e)
{
    for (int k = 0; k < 2; k++) {
        must(tarn_ring_open(seg, name[k], flags | TARN_SEND, &options[k], &e->out[k]), name[k]);
        must(tarn_ring_open(seg, name[k], flags | TARN_RECEIVE, &options[k], &e->in[k]), name[k]);
    }
    must(tarn_mq_open(seg, name[MQ], flags | TARN_SEND | TARN_RECEIVE, &options[MQ], &e->mq), "mq");
    must(tarn_topic_open(seg, name[TOPIC], flags | TARN_SEND | TARN_RECEIVE, &options[TOPIC], &e->topic),
         "topic");
    must(tarn_call_open(seg, name[CALL], flags | TARN_SEND, &options[CALL], &e->client), "call");
    must(tarn_call_open(seg, name[CALL], flags | TARN_RECEIVE, &options[CALL], &e->server), "call");
}

/* Something of each is sent, received, and in hand. */
static void fill(struct ends *e)
{
    static const char text[MESSAGE] = "a message";
    const void *seen;
    void *loan;
    size_t size;
    char buffer[MESSAGE];
    struct tarn_request r;
    uint64_t id;
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < 2; k++) {
            must(tarn_ring_send_try(e->out[k], text, k ? (size_t)(9 * i % MESSAGE) : 16), "send");
            if (i < 3)
                must(tarn_ring_receive_try(e->in[k], buffer, sizeof buffer, NULL), "receive");
        }
        must(tarn_mq_send_try(e->mq, i % 2, text, (size_t)(MESSAGE - i)), "send"); /* a bit more is too much */
        if (i < 3)
            must(tarn_mq_receive_try(e->mq, buffer, sizeof buffer, NULL), "receive");
        must(tarn_topic_send_try(e->topic, text, (size_t)(MESSAGE - i)), "send");
        must(tarn_call_loan_try(e->client, (size_t)(7 * i), &loan, &id), "loan");
        must(tarn_call_begin(e->client, id, i % 2, (size_t)(7 * i)), "begin");
        if (i > 2)
            continue;
        must(tarn_call_next_try(e->server, &r), "next");
        if (i == 0)
            must(tarn_call_answer(e->server, r.id, text, MESSAGE), "answer");
        if (i == 1)
            must(tarn_call_cancel(e->client, id), "cancel");
    }
    for (int k = 0; k < 2; k++)
        must(tarn_ring_take_try(e->in[k], &seen, &size), "take");
    must(tarn_mq_take_try(e->mq, &loan, NULL), "take");
    must(tarn_mq_loan_try(e->mq, 8, &loan), "loan");
    must(tarn_topic_hold(e->topic, 1), "hold");
    must(tarn_topic_seek(e->topic, 2), "seek");
    must(tarn_topic_take_try(e->topic, &seen, NULL), "take");
    must(tarn_topic_loan(e->topic, 8, &loan), "loan");
}

static void close_all(struct ends *e)
{
    for (int k = 0; k < 2; k++) {
        must(tarn_ring_close(e->out[k]), "close");
        must(tarn_ring_close(e->in[k]), "close");
    }
    must(tarn_mq_close(e->mq), "close");
    must(tarn_topic_close(e->topic), "close");
    must(tarn_call_close(e->client), "close");
    must(tarn_call_close(e->server), "close");
}

void furnish_channels(tarn *seg, bool dead)
{
    struct ends e;
    int status;
    pid_t p;
    open_all(seg, TARN_CREATE, &e);
    if (!dead) { /* who has left the segment leaves his seats as they are */
        fill(&e);
        must(tarn_thread_detach(seg), "detach");
        close_all(&e);
        return;
    }
    close_all(&e);
    p = fork();
    if (p == 0) {
        open_all(seg, 0, &e);
        fill(&e);
        raise(SIGKILL);
    }
    if (p < 0 || waitpid(p, &status, 0) != p || !WIFSIGNALED(status))
        exit(2);
}

static struct channel *channel(tarn *seg, int which)
{
    tarn_ref ref;
    return tarn_find(seg, name[which], NULL, &ref) == 0 && ref % 8 == 0
               ? tarn_ptr(seg, ref, sizeof(struct channel))
               : NULL;
}

void channel_words(tarn *seg, unsigned which, uint64_t first[CHANNEL_PARTS], uint64_t last[CHANNEL_PARTS])
{
    const struct channel *c = channel(seg, (int)which);
    first[0] = tarn_ref_of(seg, c) / 8;
    last[0] = first[0] + sizeof *c / 8;
    first[1] = c->shape.body / 8;
    last[1] = first[2] = first[3] = (c->shape.body + c->shape.slots) / 8;
    last[2] = (c->shape.body + c->shape.bytes) / 8;
    last[3] = first[3] + 16;
}

/* ---- damaged ones ---- */

/* An end with a clear answer. */
static int orderly(int e)
{
    static const int known[] = {EAGAIN, EUCLEAN,  ETIMEDOUT, EBUSY,      EUSERS, ENOENT, EPROTO,
                                EINVAL, EMSGSIZE, ENOSPC,    ENOMEM,     EROFS,  EBADF,  EPERM,
                                ESTALE, ENOBUFS,  ECANCELED, EOWNERDEAD, EEXIST, EDEADLK};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (e == -known[i])
            return e;
    if (e >= 0)
        return e;
    fprintf(stderr, "a call ended with %d: %s\n", e, tarn_error());
    abort();
}
/* All of it is the segment's, and may be touched. */
static void inside(tarn *seg, const void *at, size_t size)
{
    uint64_t ref = tarn_ref_of(seg, at);
    volatile const char *bytes = at;
    if (size > MESSAGE || !ref || !in_data(seg, ref, size ? size : 1)) {
        fprintf(stderr, "%zu bytes at %#llx were handed out\n", size, (unsigned long long)ref);
        abort();
    }
    if (size)
        (void)(bytes[0] + bytes[size - 1]);
}

static int see_party(const struct tarn_party *p, void *n)
{
    *(uint64_t *)n += p->messages + p->behind;
    return 0;
}

/* A read-only attachment, which subscribes without a seat. */
void read_channels(tarn *seg)
{
    char buffer[MESSAGE];
    struct tarn_topic_news news;
    tarn_topic *topic;
    for (int k = 0; k < FUZZ_CHANNELS; k++) {
        struct tarn_channel_stat stat;
        uint64_t n = 0;
        orderly(tarn_channel_stat(seg, name[k], &stat));
        orderly(tarn_channel_parties(seg, name[k], see_party, &n));
    }
    if (orderly(tarn_topic_open(seg, name[TOPIC], 0, NULL, &topic)) == 0) {
        orderly(tarn_topic_latest(topic, buffer, sizeof buffer, &news));
        tarn_topic_close(topic);
    }
    if (orderly(tarn_topic_open(seg, name[TOPIC], TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &topic)))
        return;
    for (int i = 0; i < 6; i++)
        if (orderly(tarn_topic_receive_try(topic, buffer, sizeof buffer, &news)) == 0 && news.size > sizeof buffer)
            abort();
    tarn_topic_close(topic);
}

/* What takes its lock would wait for ever. */
static bool locked(tarn *seg, int which)
{
    const struct channel *c = channel(seg, which);
    return !c || held_for_ever(seg, c->lock.owner);
}

static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 20000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* Now and then a descriptor's thread looks at it, too. */
static tarn_poll *polled(tarn *seg)
{
    tarn_poll *poll;
    int fd;
    return rnd(24) == 0 && orderly(tarn_poll_open(seg, &poll, &fd)) == 0 ? poll : NULL;
}

static void use_ring(tarn *seg, int which)
{
    char text[MESSAGE * 8] = "";
    struct timespec until = soon();
    tarn_ring *out = NULL, *in = NULL;
    tarn_poll *poll = polled(seg);
    const void *seen;
    void *loan;
    size_t size, most = options[which].message;
    if (orderly(tarn_ring_open(seg, name[which], TARN_SEND, NULL, &out)) == 0 && poll)
        orderly(tarn_ring_poll(out, poll));
    if (orderly(tarn_ring_open(seg, name[which], TARN_RECEIVE, NULL, &in)) == 0 && poll)
        orderly(tarn_ring_poll(in, poll));
    for (int i = 0; i < 12; i++) {
        if (out) {
            orderly(tarn_ring_send_try(out, text, rnd(most + 1)));
            orderly(tarn_ring_send_many_try(out, text, rnd(most + 1), 3, &size));
            if (orderly(tarn_ring_loan_try(out, most, &loan)) == 0) {
                inside(seg, loan, most);
                memset(loan, 1, most);
                orderly(rnd(2) ? tarn_ring_send_loan(out, rnd(most + 1)) : tarn_ring_drop_loan(out));
            }
            if (i == 7)
                orderly(tarn_ring_send_timed(out, text, most, &until));
        }
        if (in && orderly(tarn_ring_take_try(in, &seen, &size)) == 0) {
            inside(seg, seen, size);
            orderly(tarn_ring_release(in));
        }
        if (in && orderly(tarn_ring_receive_try(in, text, MESSAGE, &size)) == 0 && size > MESSAGE)
            abort();
        if (in && i % 3 == 0)
            orderly(tarn_ring_receive_many_try(in, text, MESSAGE, 8, NULL, &size));
        if (in && i == 8)
            orderly(tarn_ring_receive_timed(in, text, MESSAGE, &size, &until));
    }
    if (!locked(seg, which)) {
        tarn_ring_close(out);
        tarn_ring_close(in);
    }
    tarn_poll_close(poll);
}

static void use_mq(tarn *seg)
{
    char text[MESSAGE] = "";
    struct timespec until = soon();
    tarn_mq *mq;
    void *message;
    size_t size;
    tarn_poll *poll = polled(seg);
    if (orderly(tarn_mq_open(seg, name[MQ], TARN_SEND | TARN_RECEIVE, NULL, &mq)) == 0) {
        if (poll)
            orderly(tarn_mq_poll(mq, poll));
        for (int i = 0; i < 12; i++) {
            orderly(tarn_mq_send_try(mq, (unsigned)rnd(2), text, rnd(sizeof text + 1)));
            if (orderly(tarn_mq_take_try(mq, &message, &size)) >= 0) {
                inside(seg, message, size);
                if (rnd(4))
                    orderly(tarn_mq_release(mq, message));
            }
            if (orderly(tarn_mq_receive_try(mq, text, sizeof text, &size)) >= 0 && size > sizeof text)
                abort();
            if (orderly(tarn_mq_loan_try(mq, sizeof text, &message)) == 0) {
                inside(seg, message, sizeof text);
                memset(message, 1, sizeof text);
                if (orderly(tarn_mq_send_loan_try(mq, (unsigned)rnd(2), message, rnd(sizeof text + 1))) && rnd(2))
                    orderly(tarn_mq_release(mq, message));
            }
            if (i == 7)
                orderly(rnd(2) ? tarn_mq_send_timed(mq, 0, text, 8, &until)
                               : tarn_mq_receive_timed(mq, text, sizeof text, &size, &until));
        }
        if (!locked(seg, MQ))
            orderly(tarn_mq_close(mq));
    }
    tarn_poll_close(poll);
}

static void use_topic(tarn *seg)
{
    char text[MESSAGE] = "";
    struct timespec until = soon();
    struct tarn_topic_news news;
    tarn_topic *topic;
    const void *seen;
    void *loan;
    tarn_poll *poll = polled(seg);
    if (orderly(tarn_topic_open(seg, name[TOPIC], TARN_SEND | TARN_RECEIVE | (rnd(2) ? TARN_TOPIC_HISTORY : 0),
                                NULL, &topic)) == 0) {
        if (poll)
            orderly(tarn_topic_poll(topic, poll));
        for (int i = 0; i < 12; i++) {
            orderly(tarn_topic_send_try(topic, text, rnd(sizeof text + 1)));
            if (orderly(tarn_topic_take_try(topic, &seen, &news)) == 0) {
                inside(seg, seen, news.size);
                if (rnd(4))
                    orderly(tarn_topic_release(topic, seen));
            }
            if (orderly(tarn_topic_receive_try(topic, text, sizeof text, &news)) == 0 && news.size > sizeof text)
                abort();
            if (orderly(tarn_topic_loan(topic, sizeof text, &loan)) == 0) {
                inside(seg, loan, sizeof text);
                memset(loan, 1, sizeof text);
                if (orderly(tarn_topic_send_loan_try(topic, loan, rnd(sizeof text + 1))))
                    orderly(tarn_topic_drop_loan(topic, loan));
            }
            if (i == 5 && !locked(seg, TOPIC))
                orderly(rnd(2) ? tarn_topic_hold(topic, (uint32_t)rnd(3)) : tarn_topic_seek(topic, rnd(9)));
            if (i == 7)
                orderly(rnd(2) ? tarn_topic_send_timed(topic, text, 8, &until)
                               : tarn_topic_receive_timed(topic, text, sizeof text, &news, &until));
        }
        if (!locked(seg, TOPIC))
            orderly(tarn_topic_close(topic));
    }
    tarn_poll_close(poll);
}

static void use_call(tarn *seg)
{
    char text[MESSAGE] = "";
    struct timespec until = soon();
    tarn_call *client = NULL, *server = NULL;
    struct tarn_request r;
    const void *answer;
    void *at;
    uint64_t id;
    size_t size;
    tarn_poll *poll = polled(seg);
    if (orderly(tarn_call_open(seg, name[CALL], TARN_SEND, NULL, &client)) == 0 && poll)
        orderly(tarn_call_poll(client, poll));
    if (orderly(tarn_call_open(seg, name[CALL], TARN_RECEIVE, NULL, &server)) == 0 && poll)
        orderly(tarn_call_poll(server, poll));
    for (int i = 0; i < 12; i++) {
        bool asked = false;
        if (client && orderly(tarn_call_loan_try(client, rnd(sizeof text + 1), &at, &id)) == 0) {
            inside(seg, at, 0);
            asked = orderly(tarn_call_begin(client, id, (unsigned)rnd(2), rnd(8))) == 0;
        }
        if (server && orderly(tarn_call_next_try(server, &r)) == 0) {
            inside(seg, r.at, r.size);
            orderly(tarn_call_cancelled(server, r.id));
            if (orderly(tarn_call_room(server, r.id, &at)) == 0)
                inside(seg, at, sizeof text);
            if (rnd(4))
                orderly(rnd(4) ? tarn_call_answer(server, r.id, text, rnd(sizeof text + 1))
                               : tarn_call_fail(server, r.id, -EINVAL));
        }
        if (asked && tarn_call_wait_try(client, id, &answer, &size) == 0) { /* else the server's error, which may be any */
            inside(seg, answer, size);
            if (rnd(4))
                orderly(tarn_call_end(client, id));
        } else if (asked && rnd(2))
            orderly(tarn_call_cancel(client, id));
        if (client && i == 7)
            tarn_call_ask_timed(client, 0, text, 9, text, sizeof text, &size, &until);
        if (server && i == 8)
            orderly(tarn_call_next_timed(server, &r, &until));
    }
    if (!locked(seg, CALL)) {
        orderly(tarn_call_close(client));
        orderly(tarn_call_close(server));
    }
    tarn_poll_close(poll);
}

void use_channels(tarn *seg)
{
    static const struct timespec past = {0, 0};
    for (int k = 0; k < FUZZ_CHANNELS; k++) {
        uint32_t seen = (uint32_t)rnd(3);
        if (locked(seg, k))
            continue;
        if (k < MQ)
            use_ring(seg, k);
        else if (k == MQ)
            use_mq(seg);
        else if (k == TOPIC)
            use_topic(seg);
        else
            use_call(seg);
        orderly(tarn_channel_watch(seg, name[k], &seen, &past));
        if (rnd(8) == 0 && !locked(seg, k) && !held_for_ever(seg, name_zone_of(seg)->lock.owner))
            orderly(tarn_unbind(seg, name[k], 1));
    }
}

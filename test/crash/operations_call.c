/* operations_call.c - for CRASHLAB: request and response. The subject is a client, a server, or both; the driver is the other side. What the oracle wants of it is in oracle_call.c. */
#include <errno.h>
#include <string.h>

#include "operations.h"

static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = 8, .message = CALL_BODY_MOST, .parties = 4};
static const struct timespec past = {0, 0};
static tarn_call *client, *server;
static uint64_t id[3];
static struct tarn_request request[3];

static void ask(struct lab *l, int i, unsigned flags)
{
    void *at;
    (void)l;
    MUST(tarn_call_loan(client, call_body_size(i), &at, &id[i]));
    call_body(at, i, REQUEST);
    MUST(tarn_call_begin(client, id[i], flags, call_body_size(i)));
}
static void ask_three(struct lab *l)
{
    ask(l, 0, TARN_CALL_REPEATABLE);
    ask(l, 1, 0);
    ask(l, 2, TARN_CALL_REPEATABLE);
}
static void answer(struct lab *l, int i)
{
    char body[CALL_BODY_MOST];
    (void)l;
    call_body(body, i, ANSWER);
    MUST(tarn_call_answer(server, request[i].id, body, call_body_size(i)));
}
static void take(struct lab *l, int i)
{
    (void)l;
    MUST(tarn_call_next_try(server, &request[i]));
}
static void a_client(struct lab *l)
{
    MUST(tarn_call_open(SEG, "call", TARN_CREATE | TARN_SEND, &options, &client));
}
static void a_server(struct lab *l)
{
    MUST(tarn_call_open(SEG, "call", TARN_CREATE | TARN_RECEIVE, &options, &server));
}
static void both(struct lab *l)
{
    a_client(l);
    a_server(l);
}

/* ---- the subject's before, the driver's ---- */

static void has_asked(struct lab *l)
{
    a_client(l);
    ask_three(l);
}
static void asks(struct lab *l) /* the driver */
{
    a_client(l);
    ask_three(l);
}
static void answers(struct lab *l) /* the driver */
{
    a_server(l);
    for (int i = 0; i < 3; i++)
        take(l, i);
    answer(l, 0);
    MUST(tarn_call_fail(server, request[1].id, -ENODATA));
}
static void both_with_calls(struct lab *l)
{
    both(l);
    ask_three(l);
    take(l, 0);
    take(l, 1);
    answer(l, 0);
}

/* ---- stepped ---- */

static void call_make(struct lab *l)
{
    void *at;
    a_client(l);
    mark(l);
    MUST(tarn_call_loan(client, 10, &at, &id[0]));
    MUST(tarn_call_cancel(client, id[0]));
    MUST(tarn_call_close(client));
}
static void call_ask(struct lab *l)
{
    ask_three(l);
    MUST(tarn_call_cancel(client, id[0]));
    MUST_BE(-ETIMEDOUT, tarn_call_ask_timed(client, 0, "x", 0, NULL, 0, NULL, &past));
    ask(l, 0, 0);
}
static void call_wait(struct lab *l)
{
    const void *at;
    size_t size;
    (void)l;
    MUST(tarn_call_wait_try(client, id[0], &at, &size));
    MUST(tarn_call_end(client, id[0]));
    MUST_BE(-ENODATA, tarn_call_wait_try(client, id[1], &at, &size));
    MUST(tarn_call_cancel(client, id[2])); /* which the driver has in hand */
}
static void call_serve(struct lab *l)
{
    void *room;
    take(l, 0);
    answer(l, 0);
    take(l, 1);
    take(l, 2);
    MUST(tarn_call_room(server, request[2].id, &room));
    call_body(room, 2, ANSWER);
    MUST(tarn_call_answer(server, request[2].id, room, call_body_size(2)));
    MUST(tarn_call_fail(server, request[1].id, -ENODATA));
}
static void call_taken_back(struct lab *l)
{
    const void *at;
    size_t size;
    MUST(tarn_call_cancel(client, id[1]));
    MUST_BE(1, tarn_call_cancelled(server, request[1].id));
    MUST_BE(-ECANCELED, tarn_call_fail(server, request[1].id, -1));
    MUST(tarn_call_wait_try(client, id[0], &at, &size));
    MUST(tarn_call_end(client, id[0]));
    MUST(tarn_call_cancel(client, id[2]));
    MUST(tarn_call_close(server));
    MUST(tarn_call_close(client));
    (void)l;
}
static void call_unbind(struct lab *l)
{
    MUST(tarn_call_close(client));
    MUST(tarn_unbind(SEG, "call", 1));
}

const struct operation call_operations[] = {
    {"call make", OP_FEW, NULL, NULL, call_make},
    {"call ask", OP_FEW, a_client, NULL, call_ask},
    {"call ask, a server there", OP_FEW, a_client, a_server, call_ask},
    {"call wait, end", OP_FEW, has_asked, answers, call_wait},
    {"call next, answer", OP_FEW, a_server, asks, call_serve},
    {"call taken back, closed", OP_FEW, both_with_calls, NULL, call_taken_back},
    {"call unbind", OP_FEW, a_client, NULL, call_unbind},
    {0},
};

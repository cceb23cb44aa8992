/* case_call.c - request and response: each call has its own answer, whoever dies; a repeatable one is answered while a server lives; nobody sleeps who has something to do;
 * at each end all slots are free, and a call goes its way. */
#include <errno.h>

#include "channel/channel.h"
#include "explore.h"

enum { CAPACITY = 8 };
/* ghost[DONE_ + p]: client p's call returned; ghost[TOOK + p], ghost[p]: server p has that client's in hand (+ 1), answered it */
enum { DONE_ = 12, TOOK = 16 };

static tarn_call *call[PEOPLE];
static uint64_t asked; /* by one who prepares */

static void make(void)
{
    static const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = CAPACITY, .message = 8, .parties = 5};
    tarn_call *c;
    MUST(tarn_call_open(seg_of(DRIVER), "call", TARN_CREATE, &o, &c));
    MUST(tarn_call_close(c));
}
static tarn_call *drivers;
static uint64_t drivers_id[2];
static void opens_driver(void)
{
    MUST(tarn_call_open(seg_of(DRIVER), "call", TARN_SEND, NULL, &drivers));
}
static void opens(int p, unsigned role)
{
    MUST(tarn_call_open(seg_of(p), "call", role, NULL, &call[p]));
}
/* Of run, the id is the caller's: static memory is not taken back. */
static uint64_t begin(int p, int i, unsigned flags)
{
    uint64_t one;
    uint64_t body = 100 + (uint64_t)p * 10 + (uint64_t)i;
    void *at;
    MUST(tarn_call_loan(call[p], 8, &at, &one));
    shared_write(at, body);
    MUST(tarn_call_begin(call[p], one, flags, 8));
    return one;
}
static void ask(int p, unsigned flags)
{
    uint64_t body = 100 + (uint64_t)p, got = 0;
    size_t size = 0;
    int e = tarn_call_ask(call[p], flags, &body, 8, &got, 8, &size);
    must_be(e == 0 || e == -EOWNERDEAD, "a call failed");
    must_be(e == 0 || (anyone_died() && !flags),
            "a server died that did not, or the call was to be done again");
    must_be(e || (size == 8 && got == ~body), "a call got another's answer");
    ghost[DONE_ + p] = 1;
}
static int answer(int p, const struct tarn_request *r)
{
    uint64_t body;
    int e;
    must_be(r->size == 8, "half of a request");
    body = shared_read(r->at);
    must_be(body >= 100 && body < 130, "a request that nobody asked");
    body = ~body;
    e = tarn_call_answer(call[p], r->id, &body, 8);
    must_be(e == 0 || e == -ECANCELED, "an answer failed");
    return e;
}
static void serve_one(int p)
{
    struct tarn_request r;
    MUST(tarn_call_next(call[p], &r));
    ghost[TOOK + p] = 1 + shared_read(r.at) - 100; /* whose */
    (void)answer(p, &r);
    ghost[TOOK + p] = 0;
    ghost[p] = 1;
}

/* The seats of the dead are cleared by who opens it. Then nothing waits but what the living have begun, and every slot can be had. */
static const char *all_free(void)
{
    tarn_call *c, *s;
    struct tarn_request r;
    uint64_t one, all[CAPACITY];
    void *at;
    const void *got;
    size_t size;
    int left = 0;
    MUST(tarn_call_open(seg_of(DRIVER), "call", TARN_SEND, NULL, &c));
    MUST(tarn_call_open(seg_of(DRIVER), "call", TARN_RECEIVE, NULL, &s));
    while (tarn_call_next_try(s, &r) == 0) { /* of one who sleeps, for whom nobody is left */
        left++;
        MUST(tarn_call_fail(s, r.id, -1));
    }
    for (int i = 0; i < CAPACITY - left; i++)
        if (tarn_call_loan_try(c, 8, &at, &all[i]))
            return "a slot is not free";
    for (int i = 0; i < CAPACITY - left; i++)
        MUST(tarn_call_cancel(c, all[i]));
    MUST(tarn_call_loan_try(c, 8, &at, &one));
    MUST(tarn_call_begin(c, one, 0, 8));
    if (tarn_call_next_try(s, &r) || r.size != 8)
        return "a request is not in the order";
    MUST(tarn_call_answer(s, r.id, r.at, 8));
    if (tarn_call_wait_try(c, one, &got, &size))
        return "an answer did not come";
    MUST(tarn_call_end(c, one));
    MUST(tarn_call_close(c));
    MUST(tarn_call_close(s));
    return NULL;
}

/* ---- a client and a server ---- */

/* A client whose server died with its request in hand is told. */
static bool alone(void)
{
    for (int p = 1; p < world.people; p++)
        if (died(p) && ghost[TOOK + p] && world.person[ghost[TOOK + p] - 1].state == SLEEPING)
            return false;
    return anyone_died();
}
static void make_for_two(void)
{
    make();
    may_wait_if(alone);
}
static void client_and_server(int p)
{
    opens(p, p ? TARN_RECEIVE : TARN_SEND);
}
static void ask_and_serve(int p)
{
    p ? serve_one(p) : ask(p, 0);
}
static const char *both_done(void)
{
    if (!anyone_died() && (!ghost[DONE_] || !ghost[1]))
        return "a call did not come to its end";
    return all_free();
}

static void take_back_and_serve(int p)
{
    struct tarn_request r;
    if (p == 0) {
        MUST(tarn_call_cancel(call[p], begin(p, 0, 0)));
        MUST(tarn_call_cancel(call[p], begin(p, 0, 0)));
    } else
        for (int i = 0; i < 2; i++)
            if (tarn_call_next_try(call[p], &r) == 0)
                (void)answer(p, &r);
}

/* ---- two clients ---- */

static void two_clients(int p)
{
    opens(p, p == 2 ? TARN_RECEIVE : TARN_SEND);
}
static void two_ask(int p)
{
    if (p < 2)
        ask(p, 0);
    else {
        serve_one(p);
        serve_one(p);
    }
}
static const char *each_has_its_own(void)
{
    if (!anyone_died() && (!ghost[DONE_] || !ghost[DONE_ + 1]))
        return "a call did not come to its end";
    return all_free();
}

/* ---- two servers: of what is to be done again one must have answered, if it lives ---- */

static bool nothing_to_serve(void)
{
    return died(0) || ghost[DONE_] || (died(1) && ghost[2]) || (died(2) && ghost[1]);
}
static void make_for_servers(void)
{
    make();
    may_wait_if(nothing_to_serve);
}
static void two_servers(int p)
{
    opens(p, p ? TARN_RECEIVE : TARN_SEND);
}
static void ask_again_and_serve(int p)
{
    p ? serve_one(p) : ask(p, TARN_CALL_REPEATABLE);
}

/* ---- a dead server has the driver's two calls in hand: one is done again, one failed, also when who clears its seat dies ---- */

static void make_with_two_calls(void)
{
    make();
    opens_driver();
    for (int i = 0; i < 2; i++) {
        uint64_t body = 100 + (uint64_t)i;
        void *at;
        MUST(tarn_call_loan(drivers, 8, &at, &drivers_id[i]));
        *(uint64_t *)at = body;
        MUST(tarn_call_begin(drivers, drivers_id[i], i ? 0 : TARN_CALL_REPEATABLE, 8));
    }
}
static void servers(int p)
{
    struct tarn_request r;
    opens(p, TARN_RECEIVE);
    for (int i = 0; p == 0 && i < 2; i++)
        MUST(tarn_call_next_try(call[p], &r));
}
static void clear_and_serve(int p)
{
    struct tarn_request r;
    struct party by = *(struct party *)(void *)call[p];
    channel_clear_dead(&by);
    if (p == 2 && tarn_call_next_try(call[p], &r) == 0)
        (void)answer(p, &r);
}
static const char *one_again_one_lost(void)
{
    tarn_call *s;
    struct tarn_request r;
    const void *got;
    size_t size;
    MUST(tarn_call_open(seg_of(DRIVER), "call", TARN_RECEIVE, NULL, &s));
    while (tarn_call_next_try(s, &r) == 0) {
        uint64_t body;
        body = *(const uint64_t *)r.at;
        if (body != 100)
            return "what is done again is not what was asked";
        body = ~body;
        MUST(tarn_call_answer(s, r.id, &body, 8));
    }
    MUST(tarn_call_close(s));
    if (tarn_call_wait_try(drivers, drivers_id[0], &got, &size) || size != 8 || *(const uint64_t *)got != ~100ull)
        return "a call that may be done again was not answered";
    MUST(tarn_call_end(drivers, drivers_id[0]));
    if (tarn_call_wait_try(drivers, drivers_id[1], &got, &size) != -EOWNERDEAD)
        return "a client was not told that its server died";
    return all_free();
}

/* ---- a client takes back what a dead one had, while its seat is cleared ---- */

static void one_call(int p)
{
    opens(p, p == 1 ? TARN_SEND : TARN_RECEIVE);
    if (p == 1)
        asked = begin(p, 0, 0);
}
static void take_cancel_clear(int p)
{
    struct tarn_request r;
    struct party by = *(struct party *)(void *)call[p];
    if (p == 0) {
        if (tarn_call_next_try(call[p], &r) == 0)
            (void)answer(p, &r);
    } else if (p == 1)
        MUST(tarn_call_cancel(call[p], asked));
    else
        channel_clear_dead(&by);
}

const struct test_case call_cases[] = {
    {"call, ask and serve", 2, 3, 4, 0, make_for_two, client_and_server, ask_and_serve, both_done},
    {"call, take back and serve", 2, 3, 4, 0, make, client_and_server, take_back_and_serve, all_free},
    {"call, two clients", 3, 0, 1, 0, make_for_two, two_clients, two_ask, each_has_its_own},
    {"call, two servers", 3, 0, 1, 0, make_for_servers, two_servers, ask_again_and_serve, all_free},
    {"call, a dead server", 3, 2, 3, CASE_DEAD_FIRST, make_with_two_calls, servers, clear_and_serve,
     one_again_one_lost},
    {"call, cancel and clear", 3, 2, 3, 0, make, one_call, take_cancel_clear, all_free},
    {0},
};

/* test_call.c - request and response, as include/tarn/channel.h and docs/channel.md say: each result, each error, bad input, bytes that make no sense,
 * descriptors, deaths. One process, with threads and forked children that are killed. */
#include "helper.h"

#include <poll.h>
#include <time.h>

#include "channel/layout.h"
#include "segment/segment.h"
#include "sync/sync.h"
#include "tarn/channel.h"

enum { CAPACITY = 8, MESSAGE = 200 };

static tarn *seg;
static tarn_call *client, *server;
static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = CAPACITY, .message = MESSAGE, .parties = 6};

static int begin(void **state)
{
    (void)state;
    alarm(60);
    mutex_cap_off = false;
    return tarn_open("anon:", TARN_CREATE, NULL, &seg) ||
           tarn_call_open(seg, "c", TARN_CREATE | TARN_SEND, &options, &client) ||
           tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &server);
}
static int finish(void **state)
{
    (void)state;
    return tarn_call_close(client) || tarn_call_close(server) || tarn_close(seg);
}

static struct timespec in_ms(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms * 1000000l;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static const struct timespec past = {0, 0}, bad = {0, 1000000000};

static uint64_t asked(tarn_call *c, unsigned flags, const void *bytes, size_t size)
{
    void *at;
    uint64_t id;
    assert_int_equal(tarn_call_loan_try(c, size, &at, &id), 0);
    memcpy(at, bytes, size);
    assert_int_equal(tarn_call_begin(c, id, flags, size), 0);
    return id;
}
static struct tarn_request taken(void)
{
    struct tarn_request r;
    assert_int_equal(tarn_call_next_try(server, &r), 0);
    return r;
}
/* All slots are free: as many loans as there are, and no more. */
static void assert_all_free(tarn_call *c)
{
    uint64_t id[CAPACITY], more;
    void *at;
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(tarn_call_loan_try(c, 1, &at, &id[i]), 0);
    assert_int_equal(tarn_call_loan_try(c, 1, &at, &more), -EAGAIN);
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(tarn_call_cancel(c, id[i]), 0);
}

/* ---- semantics ---- */

static void every_size_both_ways(void **state)
{
    static const size_t sizes[] = {0, 1, 31, 32, 33, 64, MESSAGE - 1, MESSAGE};
    char out[MESSAGE], in[MESSAGE];
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            for (int way = 0; way < 4; way++) { /* copied or in place; repeatable or not */
                struct tarn_request r;
                const void *got;
                void *room;
                size_t size;
                uint64_t id;
                memset(out, (int)(1 + i), sizeof out);
                memset(in, (int)(101 + j), sizeof in);
                id = asked(client, way & 2 ? TARN_CALL_REPEATABLE : 0, out, sizes[i]);
                assert_int_equal(tarn_call_wait_try(client, id, &got, &size), -EAGAIN);
                r = taken();
                assert_int_equal(r.size, sizes[i]);
                assert_int_equal(r.flags, way & 2 ? TARN_CALL_REPEATABLE : 0);
                assert_memory_equal(r.at, out, sizes[i]);
                if (way & 1) {
                    assert_int_equal(tarn_call_room(server, r.id, &room), 0);
                    memset(room, 0xee, MESSAGE);
                    assert_memory_equal(r.at, out, sizes[i]); /* the room is not the request's */
                    memcpy(room, in, sizes[j]);
                    assert_int_equal(tarn_call_answer(server, r.id, room, sizes[j]), 0);
                } else
                    assert_int_equal(tarn_call_answer(server, r.id, in, sizes[j]), 0);
                assert_int_equal(tarn_call_wait(client, id, &got, &size), 0);
                assert_int_equal(size, sizes[j]);
                assert_memory_equal(got, in, size);
                assert_int_equal(tarn_call_wait_try(client, id, &got, &size), 0); /* as often as one likes */
                assert_int_equal(tarn_call_end(client, id), 0);
                assert_int_equal(tarn_call_end(client, id), -EINVAL);
            }
    assert_all_free(client);
}

/* A request that is where its answer comes from. */
static void an_echo_from_the_request(void **state)
{
    static const size_t sizes[] = {5, 32, 33, MESSAGE};
    char out[MESSAGE];
    (void)state;
    for (size_t i = 0; i < MESSAGE; i++)
        out[i] = (char)i;
    for (size_t i = 0; i < 8; i++) {
        const void *got;
        size_t size;
        uint64_t id = asked(client, i & 1 ? TARN_CALL_REPEATABLE : 0, out, sizes[i / 2]);
        struct tarn_request r = taken();
        assert_int_equal(tarn_call_answer(server, r.id, r.at, r.size), 0);
        assert_int_equal(tarn_call_wait_try(client, id, &got, &size), 0);
        assert_int_equal(size, sizes[i / 2]);
        assert_memory_equal(got, out, size);
        assert_int_equal(tarn_call_end(client, id), 0);
    }
}

/* Loaned large and asked small, and the reverse is refused. */
static void less_than_was_loaned(void **state)
{
    (void)state;
    for (size_t loaned = 30; loaned < 36; loaned++)
        for (size_t size = 28; size < 38; size++) {
            void *at;
            uint64_t id;
            struct tarn_request r;
            assert_int_equal(tarn_call_loan_try(client, loaned, &at, &id), 0);
            memset(at, 7, loaned);
            if (size > loaned) {
                assert_int_equal(tarn_call_begin(client, id, 0, size), -EINVAL);
                assert_int_equal(tarn_call_cancel(client, id), 0);
                continue;
            }
            assert_int_equal(tarn_call_begin(client, id, 0, size), 0);
            assert_int_equal(tarn_call_begin(client, id, 0, size), -EINVAL);
            r = taken();
            assert_int_equal(r.size, size);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(((const char *)r.at)[i], 7);
            assert_int_equal(tarn_call_fail(server, r.id, -ENODATA), 0);
            assert_int_equal(tarn_call_wait_try(client, id, (const void **)&at, &size), -ENODATA);
            assert_int_equal(tarn_call_end(client, id), -EINVAL); /* it is ended */
        }
    assert_all_free(client);
}

static void in_the_order_in_which_they_came(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        uint64_t id[CAPACITY];
        int n = 1 + round % CAPACITY;
        for (int i = 0; i < n; i++)
            id[i] = asked(client, 0, &i, sizeof i);
        for (int i = 0; i < n; i++) {
            struct tarn_request r = taken();
            assert_memory_equal(r.at, &i, sizeof i);
            assert_int_equal(tarn_call_answer(server, r.id, &i, sizeof i), 0);
        }
        for (int i = n; i-- > 0;) {
            const void *at;
            size_t size;
            assert_int_equal(tarn_call_wait_try(client, id[i], &at, &size), 0);
            assert_memory_equal(at, &i, sizeof i);
            assert_int_equal(tarn_call_end(client, id[i]), 0);
        }
    }
}

static void all_slots_in_use(void **state)
{
    uint64_t id[CAPACITY], more;
    struct timespec t = in_ms(20);
    void *at;
    (void)state;
    for (int i = 0; i < CAPACITY; i++)
        id[i] = asked(client, 0, "x", 1);
    assert_int_equal(tarn_call_loan_try(client, 1, &at, &more), -EAGAIN);
    assert_says("in flight");
    assert_int_equal(tarn_call_loan_timed(client, 1, &at, &more, &past), -ETIMEDOUT);
    assert_int_equal(tarn_call_loan_timed(client, 1, &at, &more, &t), -ETIMEDOUT);
    assert_int_equal(tarn_call_ask_timed(client, 0, "x", 1, NULL, 0, NULL, &past), -ETIMEDOUT);
    assert_int_equal(tarn_call_cancel(client, id[0]), 0);
    assert_int_equal(tarn_call_loan_try(client, 1, &at, &id[0]), 0);
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(tarn_call_cancel(client, id[i]), 0);
    assert_all_free(client);
}

/* One request waits, for no server comes; others are taken back again and again. They keep their places until the first has been taken, and no more than that: the
 * order does not fill, and then all room is there. */
static void many_taken_back_while_one_waits(void **state)
{
    struct tarn_request r;
    const void *at;
    size_t size;
    (void)state;
    for (int round = 0; round < 10; round++) {
        uint64_t first = asked(client, 0, "first", 5), last;
        for (int i = 0; i < 5 * CAPACITY; i++)
            assert_int_equal(tarn_call_ask_timed(client, 0, "late", 4, NULL, 0, NULL, &past), -ETIMEDOUT);
        r = taken();
        assert_memory_equal(r.at, "first", 5);
        last = asked(client, 0, "last", 4);
        assert_int_equal(tarn_call_fail(server, r.id, -1), 0);
        r = taken();
        assert_memory_equal(r.at, "last", 4);
        assert_int_equal(tarn_call_fail(server, r.id, -1), 0);
        assert_int_equal(tarn_call_next_try(server, &r), -EAGAIN);
        assert_int_equal(tarn_call_wait_try(client, first, &at, &size), -1);
        assert_int_equal(tarn_call_wait_try(client, last, &at, &size), -1);
        assert_all_free(client);
    }
}

/* Loans taken back, calls taken back before they were begun and while they are at it: whatever the order. */
static void taken_back_at_each_state(void **state)
{
    struct tarn_request r;
    const void *at;
    size_t size;
    uint64_t id;
    (void)state;
    id = asked(client, 0, "x", 1);
    assert_int_equal(tarn_call_cancel(client, id), 0);
    assert_int_equal(tarn_call_cancel(client, id), -EINVAL);
    assert_int_equal(tarn_call_wait_try(client, id, &at, &size), -EINVAL);
    assert_int_equal(tarn_call_next_try(server, &r), -EAGAIN); /* never seen */
    for (int way = 0; way < 3; way++) {
        id = asked(client, 0, "x", 1);
        r = taken();
        assert_int_equal(tarn_call_cancelled(server, r.id), 0);
        assert_int_equal(tarn_call_cancel(client, id), 0);
        assert_int_equal(tarn_call_cancelled(server, r.id), 1);
        if (way == 0)
            assert_int_equal(tarn_call_answer(server, r.id, "y", 1), -ECANCELED);
        if (way == 1)
            assert_int_equal(tarn_call_fail(server, r.id, -5), -ECANCELED);
        if (way == 2) {
            assert_int_equal(tarn_call_answer(server, r.id, "y", MESSAGE + 1), -EMSGSIZE); /* in hand still */
            assert_int_equal(tarn_call_answer(server, r.id, "y", 1), -ECANCELED);
        }
        assert_int_equal(tarn_call_cancelled(server, r.id), -EINVAL);
    }
    id = asked(client, 0, "x", 1);
    r = taken();
    assert_int_equal(tarn_call_answer(server, r.id, "y", 1), 0);
    assert_int_equal(tarn_call_cancel(client, id), 0); /* answered already: gone all the same */
    assert_int_equal(tarn_call_end(client, id), -EINVAL);
    assert_all_free(client);
}

/* ---- errors ---- */

static void bad_input(void **state)
{
    struct tarn_request r = {0}, none = {0};
    const void *at = &r;
    void *room = &r;
    size_t size = 77;
    uint64_t id = 99;
    tarn_call *other = client;
    (void)state;
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND | TARN_RECEIVE, NULL, &other), -EINVAL);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND | 1u << 30, NULL, &other), -EINVAL);
    assert_int_equal(tarn_call_open(seg, "none", TARN_SEND, NULL, &other), -ENOENT);
    assert_ptr_equal(other, client);
    assert_int_equal(tarn_call_close(NULL), 0);
    /* sizes, flags, deadlines */
    assert_int_equal(tarn_call_loan(client, MESSAGE + 1, &room, &id), -EMSGSIZE);
    assert_says("200");
    assert_int_equal(tarn_call_ask(client, 0, "x", MESSAGE + 1, NULL, 0, NULL), -EMSGSIZE);
    assert_int_equal(tarn_call_ask(client, 2, "x", 1, NULL, 0, NULL), -EINVAL);
    assert_int_equal(tarn_call_ask_timed(client, 0, "x", 1, NULL, 0, NULL, &bad), -EINVAL);
    assert_int_equal(tarn_call_ask_timed(client, 0, "x", 1, NULL, 0, NULL, NULL), -EINVAL);
    assert_int_equal(tarn_call_loan_timed(client, 1, &room, &id, &bad), -EINVAL);
    assert_int_equal(tarn_call_next_timed(server, &r, &bad), -EINVAL);
    assert_int_equal(tarn_call_next_timed(server, &r, &past), -ETIMEDOUT);
    assert_int_equal(tarn_call_next_try(server, &r), -EAGAIN);
    assert_memory_equal(&r, &none, sizeof r);
    assert_int_equal(id, 99);
    /* what is not there */
    for (uint64_t i = 0; i < 3; i++) {
        static const uint64_t ids[] = {0, CAPACITY, UINT64_MAX};
        assert_int_equal(tarn_call_begin(client, ids[i], 0, 0), -EINVAL);
        assert_int_equal(tarn_call_wait(client, ids[i], &at, &size), -EINVAL);
        assert_int_equal(tarn_call_wait_timed(client, ids[i], &at, &size, &past), -EINVAL);
        assert_int_equal(tarn_call_end(client, ids[i]), -EINVAL);
        assert_int_equal(tarn_call_cancel(client, ids[i]), -EINVAL);
        assert_int_equal(tarn_call_room(server, ids[i], &room), -EINVAL);
        assert_int_equal(tarn_call_answer(server, ids[i], NULL, 0), -EINVAL);
        assert_int_equal(tarn_call_fail(server, ids[i], -1), -EINVAL);
        assert_int_equal(tarn_call_cancelled(server, ids[i]), -EINVAL);
    }
    /* a loan, and not yet a call */
    assert_int_equal(tarn_call_loan_try(client, 10, &room, &id), 0);
    assert_int_equal(tarn_call_wait_try(client, id, &at, &size), -EINVAL);
    assert_int_equal(tarn_call_end(client, id), -EINVAL);
    assert_int_equal(tarn_call_begin(client, id, 4, 1), -EINVAL);
    assert_int_equal(tarn_call_begin(client, id, 0, 11), -EINVAL);
    assert_int_equal(tarn_call_close(client), -EBUSY);
    assert_int_equal(tarn_call_begin(client, id, 0, 10), 0);
    /* under way */
    assert_int_equal(tarn_call_close(client), -EBUSY);
    assert_int_equal(tarn_call_end(client, id), -EINVAL);
    assert_int_equal(tarn_call_wait_timed(client, id, &at, &size, &past), -ETIMEDOUT);
    assert_int_equal(tarn_call_wait_timed(client, id, &at, &size, &bad), -EINVAL);
    r = taken();
    assert_int_equal(tarn_call_close(server), -EBUSY);
    assert_int_equal(tarn_call_answer(server, r.id, NULL, MESSAGE + 1), -EMSGSIZE);
    assert_int_equal(tarn_call_fail(server, r.id, 0), -EINVAL);
    assert_int_equal(tarn_call_fail(server, r.id, 5), -EINVAL);
    assert_int_equal(tarn_call_fail(server, r.id, -4096), -EINVAL);
    assert_int_equal(tarn_call_fail(server, r.id, -EAGAIN), -EINVAL); /* of the client's own call they would */
    assert_int_equal(tarn_call_fail(server, r.id, -ETIMEDOUT), -EINVAL); /* say that it is under way still */
    assert_int_equal(tarn_call_fail(server, r.id, -4095), 0);
    assert_int_equal(tarn_call_fail(server, r.id, -1), -EINVAL);
    assert_int_equal(tarn_call_room(server, r.id, &room), -EINVAL);
    assert_int_equal(tarn_call_close(client), -EBUSY);
    assert_int_equal(tarn_call_wait(client, id, &at, &size), -4095);
    assert_ptr_equal(at, &r);
    assert_int_equal(size, 77);
}

static void the_other_role(void **state)
{
    struct tarn_request r;
    const void *at;
    void *room;
    size_t size;
    uint64_t id;
    tarn_call *looks;
    (void)state;
    assert_int_equal(tarn_call_next_try(client, &r), -EBADF);
    assert_int_equal(tarn_call_room(client, 0, &room), -EBADF);
    assert_int_equal(tarn_call_answer(client, 0, NULL, 0), -EBADF);
    assert_int_equal(tarn_call_fail(client, 0, -1), -EBADF);
    assert_int_equal(tarn_call_cancelled(client, 0), -EBADF);
    assert_int_equal(tarn_call_loan_try(server, 1, &room, &id), -EBADF);
    assert_int_equal(tarn_call_begin(server, 0, 0, 0), -EBADF);
    assert_int_equal(tarn_call_wait_try(server, 0, &at, &size), -EBADF);
    assert_int_equal(tarn_call_end(server, 0), -EBADF);
    assert_int_equal(tarn_call_cancel(server, 0), -EBADF);
    assert_int_equal(tarn_call_ask(server, 0, NULL, 0, NULL, 0, NULL), -EBADF);
    assert_int_equal(tarn_call_open(seg, "c", 0, NULL, &looks), 0);
    assert_int_equal(tarn_call_ask(looks, 0, NULL, 0, NULL, 0, NULL), -EBADF);
    assert_int_equal(tarn_call_next_try(looks, &r), -EBADF);
    assert_int_equal(tarn_call_close(looks), 0);
}

static void two_handles_have_nothing_in_common(void **state)
{
    tarn_call *c2, *s2;
    const void *at;
    void *room;
    size_t size;
    uint64_t id = asked(client, 0, "x", 1);
    struct tarn_request r = taken();
    (void)state;
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &c2), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &s2), 0);
    assert_int_equal(tarn_call_wait_try(c2, id, &at, &size), -EINVAL);
    assert_int_equal(tarn_call_cancel(c2, id), -EINVAL);
    assert_int_equal(tarn_call_answer(s2, r.id, "y", 1), -EINVAL);
    assert_int_equal(tarn_call_room(s2, r.id, &room), -EINVAL);
    assert_int_equal(tarn_call_close(c2), 0);
    assert_int_equal(tarn_call_close(s2), 0);
    assert_int_equal(tarn_call_answer(server, r.id, "y", 1), 0);
    assert_int_equal(tarn_call_end(client, id), 0);
}

static void in_a_section(void **state)
{
    struct tarn_request r;
    const void *at;
    void *room;
    size_t size;
    uint64_t id = asked(client, 0, "x", 1), ref;
    tarn_call *c;
    (void)state;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_call_ask(client, 0, "x", 1, NULL, 0, NULL), -EPERM);
    assert_int_equal(tarn_call_loan_try(client, 1, &room, &id), -EPERM);
    assert_int_equal(tarn_call_wait_try(client, id, &at, &size), -EPERM);
    assert_int_equal(tarn_call_cancel(client, id), -EPERM);
    assert_int_equal(tarn_call_end(client, id), -EPERM);
    assert_int_equal(tarn_call_next_try(server, &r), -EPERM);
    assert_int_equal(tarn_call_open(seg, "new", TARN_CREATE | TARN_SEND, NULL, &c), -EPERM);
    assert_int_equal(tarn_channel_watch(seg, "c", &(uint32_t){0}, &past), -EPERM);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_find(seg, "new", NULL, &ref), -ENOENT);
    assert_int_equal(tarn_call_cancel(client, id), 0);
}

static void *another_thread(void *unused)
{
    struct tarn_request r;
    uint64_t id;
    void *at;
    (void)unused;
    return (void *)(uintptr_t)(tarn_call_next_try(server, &r) == -EPERM &&
                               tarn_call_loan_try(client, 1, &at, &id) == -EPERM &&
                               tarn_call_ask(client, 0, "x", 1, NULL, 0, NULL) == -EPERM);
}
static void of_the_thread_that_opened_it(void **state)
{
    pthread_t t;
    void *so;
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, another_thread, NULL), 0);
    assert_int_equal(pthread_join(t, &so), 0);
    assert_non_null(so);
    assert_all_free(client);
}

/* Whoever leaves the segment, and comes again, is another: its handles are an other's, and can be closed whatever they have in hand. */
static void come_again(void **state)
{
    uint64_t id;
    void *at;
    (void)state;
    assert_int_equal(tarn_call_loan_try(client, 1, &at, &id), 0);
    assert_int_equal(tarn_call_close(client), -EBUSY);
    assert_int_equal(tarn_thread_detach(seg), 0);
    assert_int_equal(tarn_thread_attach(seg), 0);
    assert_int_equal(tarn_call_cancel(client, id), -EPERM);
    assert_int_equal(tarn_call_close(client), 0);
    assert_int_equal(tarn_call_close(server), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &client), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &server), 0);
    assert_all_free(client);
}

static void a_child_has_none_of_it(void *fd)
{
    struct tarn_request r;
    tarn_poll *poll = fd;
    check(tarn_call_next_try(server, &r) == -EPERM);
    check(tarn_call_ask(client, 0, "x", 1, NULL, 0, NULL) == -EPERM);
    check(tarn_call_poll(client, poll) == -EPERM);
    check(tarn_poll_clear(poll) == -EPERM);
    tarn_poll_close(poll);
    check(tarn_call_close(client) == 0);
    check(tarn_call_close(server) == 0);
}
static void forked(void **state)
{
    tarn_poll *poll;
    int fd;
    uint64_t id = asked(client, 0, "x", 1);
    struct tarn_request r;
    (void)state;
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    assert_int_equal(tarn_call_poll(server, poll), 0);
    assert_int_equal(in_child(a_child_has_none_of_it, poll), 0);
    r = taken(); /* the seats are there */
    assert_int_equal(tarn_call_answer(server, r.id, "y", 1), 0);
    assert_int_equal(tarn_call_end(client, id), 0);
    tarn_poll_close(poll);
}

/* ---- waiting ---- */

static void *serve(void *count)
{
    tarn_call *s;
    uint64_t sum = 0;
    check(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &s) == 0);
    for (intptr_t i = 0; i < (intptr_t)count; i++) {
        struct tarn_request r;
        uint64_t x;
        check(tarn_call_next(s, &r) == 0 && r.size == 8);
        memcpy(&x, r.at, 8);
        sum += x;
        x = ~x;
        check(tarn_call_answer(s, r.id, &x, 8) == 0);
    }
    check(tarn_call_close(s) == 0);
    (void)tarn_thread_detach(seg);
    return (void *)(uintptr_t)sum;
}
static void *ask_many(void *count)
{
    tarn_call *c;
    check(tarn_call_open(seg, "c", TARN_SEND, NULL, &c) == 0);
    for (uint64_t i = 1; i <= (uintptr_t)count; i++) {
        uint64_t x = 0;
        size_t size = 0;
        check(tarn_call_ask(c, 0, &i, 8, &x, 8, &size) == 0);
        check(size == 8 && x == ~i);
    }
    check(tarn_call_close(c) == 0);
    (void)tarn_thread_detach(seg);
    return NULL;
}
/* Without the cap a wake-up that is lost is a hang. */
static void two_clients_two_servers(void **state)
{
    enum { EACH = 2000 };
    pthread_t t[4];
    uint64_t sum = 0;
    (void)state;
    mutex_cap_off = true;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, i & 1 ? ask_many : serve, (void *)(uintptr_t)EACH), 0);
    for (int i = 0; i < 4; i++) {
        void *r;
        assert_int_equal(pthread_join(t[i], &r), 0);
        sum += (uintptr_t)r;
    }
    assert_int_equal(sum, 2ull * EACH * (EACH + 1) / 2);
    assert_all_free(client);
}

static void *ask_for_room(void *unused)
{
    tarn_call *c;
    void *at;
    uint64_t id;
    (void)unused;
    check(tarn_call_open(seg, "c", TARN_SEND, NULL, &c) == 0);
    check(tarn_call_loan(c, 1, &at, &id) == 0);
    check(tarn_call_cancel(c, id) == 0);
    check(tarn_call_close(c) == 0);
    (void)tarn_thread_detach(seg);
    return NULL;
}
/* By who ends, who takes back, and the server of one that was taken back. */
static void who_makes_room_wakes(void **state)
{
    (void)state;
    mutex_cap_off = true;
    for (int way = 0; way < 4; way++) {
        uint64_t id[CAPACITY];
        struct tarn_request r;
        pthread_t t;
        for (int i = 0; i < CAPACITY; i++)
            id[i] = asked(client, 0, "x", 1);
        if (way == 3) /* behind one that waits: its room is there when that is taken */
            assert_int_equal(tarn_call_cancel(client, id[1]), 0);
        else
            r = taken();
        if (way == 2)
            assert_int_equal(tarn_call_cancel(client, id[0]), 0);
        assert_int_equal(pthread_create(&t, NULL, ask_for_room, NULL), 0);
        usleep(50000);
        if (way == 0)
            assert_int_equal(tarn_call_cancel(client, id[1]), 0);
        if (way == 3) {
            r = taken();
            assert_int_equal(pthread_join(t, NULL), 0);
        }
        assert_int_equal(tarn_call_answer(server, r.id, "y", 1), way == 2 ? -ECANCELED : 0);
        if (way != 2)
            assert_int_equal(tarn_call_end(client, id[0]), 0);
        if (way != 3)
            assert_int_equal(pthread_join(t, NULL), 0);
        for (int i = 1; i < CAPACITY; i++)
            if ((way != 0 && way != 3) || i != 1)
                assert_int_equal(tarn_call_cancel(client, id[i]), 0);
        assert_all_free(client);
    }
}

static void response_larger_than_asked_for(void **state)
{
    pthread_t t;
    uint64_t x = 5;
    unsigned char half[4] = {0};
    size_t size = 0;
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, serve, (void *)2), 0);
    assert_int_equal(tarn_call_ask(client, 0, &x, 8, half, 3, &size), 0);
    assert_int_equal(size, 8);
    assert_memory_equal(half, "\xfa\xff\xff\0", 4);
    assert_int_equal(tarn_call_ask(client, 0, &x, 8, NULL, 0, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
}

static int readable(int fd, int ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, ms);
}

/* ---- deaths ---- */

static volatile int *told; /* shared with children */

static pid_t other(void (*run)(void))
{
    pid_t p;
    *told = 0;
    p = fork_child();
    if (p == 0) {
        alarm(60);
        run();
        *told = 1;
        for (;;)
            pause();
    }
    while (!*told)
        usleep(1000);
    return p;
}
static void kill_it(pid_t p)
{
    int status;
    kill(p, SIGKILL);
    assert_int_equal(waitpid(p, &status, 0), p);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
static tarn_call *of_child(unsigned role)
{
    tarn_call *c;
    check(tarn_call_open(seg, "c", role, NULL, &c) == 0);
    return c;
}
static void take_one(void)
{
    struct tarn_request r;
    check(tarn_call_next(of_child(TARN_RECEIVE), &r) == 0);
}
static void one_in_each_state(void)
{
    tarn_call *c = of_child(TARN_SEND);
    void *at;
    uint64_t id;
    for (int i = 0; i < 4; i++) {
        check(tarn_call_loan(c, 1, &at, &id) == 0);
        check(i == 3 || tarn_call_begin(c, id, 0, 1) == 0);
    }
}

static void a_server_dies(void **state)
{
    const void *at;
    size_t size;
    struct tarn_request r;
    struct tarn_channel_stat stat;
    (void)state;
    mutex_cap_off = true;
    for (int way = 0; way < 2; way++) { /* the client sleeps, or looks */
        uint64_t id = asked(client, 0, "x", 1);
        kill_it(other(take_one));
        if (way == 0)
            assert_int_equal(tarn_call_wait(client, id, &at, &size), -EOWNERDEAD);
        else {
            int e, tries = 0;
            while ((e = tarn_call_wait_try(client, id, &at, &size)) == -EAGAIN && tries++ < 1000)
                usleep(1000);
            assert_int_equal(e, -EOWNERDEAD);
        }
        assert_int_equal(tarn_call_end(client, id), -EINVAL);
    }
    for (int way = 0; way < 2; way++) {
        uint64_t id = asked(client, TARN_CALL_REPEATABLE, "again", 5);
        int tries = 0;
        kill_it(other(take_one));
        if (way == 0)
            assert_int_equal(tarn_call_next(server, &r), 0);
        else {
            int e;
            while ((e = tarn_call_next_try(server, &r)) == -EAGAIN && tries++ < 1000)
                usleep(1000);
            assert_int_equal(e, 0);
        }
        assert_memory_equal(r.at, "again", 5);
        assert_int_equal(r.flags, TARN_CALL_REPEATABLE);
        assert_int_equal(tarn_call_answer(server, r.id, "y", 1), 0);
        assert_int_equal(tarn_call_wait(client, id, &at, &size), 0);
        assert_int_equal(tarn_call_end(client, id), 0);
    }
    assert_int_equal(tarn_channel_stat(seg, "c", &stat), 0);
    assert_int_equal(stat.lost, 2);
    assert_int_equal(stat.again, 2);
    assert_int_equal(stat.deaths, 4);
    assert_all_free(client);
}

/* A server that came only after the client had fallen asleep, or the descriptor's thread had. */
static pid_t comes_takes_and_dies(void)
{
    pid_t p = fork_child();
    if (p == 0) {
        alarm(60);
        usleep(50000);
        take_one();
        usleep(50000); /* at its work, and in no call of ours */
        raise(SIGKILL);
    }
    return p;
}
static void a_server_comes_and_dies(void **state)
{
    const void *at;
    size_t size;
    tarn_poll *poll;
    int fd;
    uint64_t id = asked(client, 0, "x", 1);
    pid_t p;
    (void)state;
    mutex_cap_off = true;
    p = comes_takes_and_dies();
    assert_int_equal(tarn_call_wait(client, id, &at, &size), -EOWNERDEAD);
    assert_int_equal(waitpid(p, NULL, 0), p);
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    assert_int_equal(tarn_call_poll(client, poll), 0);
    id = asked(client, 0, "x", 1);
    p = comes_takes_and_dies();
    assert_int_equal(readable(fd, 20000), 1);
    assert_int_equal(tarn_call_wait_try(client, id, &at, &size), -EOWNERDEAD);
    assert_int_equal(waitpid(p, NULL, 0), p);
    tarn_poll_close(poll);
}

static void a_client_dies(void **state)
{
    struct tarn_request r[2], none;
    uint64_t id[CAPACITY];
    void *at;
    int e = 0, n = 0;
    (void)state;
    for (int round = 0; round < 3 * CAPACITY; round++) {
        pid_t p = other(one_in_each_state);
        r[0] = taken();
        r[1] = taken();
        assert_int_equal(tarn_call_answer(server, r[0].id, "y", 1), 0);
        kill_it(p);
        if (round & 1) { /* who sleeps for a request clears it, too */
            struct timespec t = in_ms(100);
            assert_int_equal(tarn_call_cancelled(server, r[1].id), 0);
            while ((e = tarn_call_next_timed(server, &none, &t)) == 0)
                (void)tarn_call_fail(server, none.id, -1); /* its third, before its seat was cleared */
            assert_int_equal(e, -ETIMEDOUT);
        } else { /* who tries, soon */
            for (n = 0, e = 0; n < CAPACITY - 1; n++)
                for (int tries = 0;
                     (e = tarn_call_loan_try(client, 1, &at, &id[n])) == -EAGAIN && tries < 1000; tries++)
                    usleep(1000);
            assert_int_equal(e, 0);
            while (n-- > 0)
                assert_int_equal(tarn_call_cancel(client, id[n]), 0);
        }
        assert_int_equal(tarn_call_cancelled(server, r[1].id), 1);
        assert_int_equal(tarn_call_answer(server, r[1].id, "y", 1), -ECANCELED);
        assert_int_equal(tarn_call_next_try(server, &none), -EAGAIN);
        assert_all_free(client);
    }
}

/* ---- descriptors ---- */

/* Without the cap: what the descriptor's thread misses it misses for ever. */
static void a_descriptor(void **state)
{
    tarn_poll *poll;
    struct tarn_request r;
    const void *at;
    size_t size;
    uint64_t id;
    int fd;
    (void)state;
    mutex_cap_off = true;
    assert_int_equal(tarn_poll_open(seg, &poll, &fd), 0);
    assert_int_equal(tarn_call_poll(client, poll), 0);
    assert_int_equal(tarn_call_poll(client, poll), -EEXIST);
    assert_int_equal(readable(fd, 20), 0);
    for (int i = 0; i < 30; i++) {
        id = asked(client, 0, "x", 1);
        assert_int_equal(readable(fd, i < 3 ? 20 : 0), 0); /* a request is nothing to a client */
        if (i & 1)
            usleep(2000);
        r = taken();
        assert_int_equal(tarn_call_answer(server, r.id, "y", 1), 0);
        assert_int_equal(readable(fd, 20000), 1); /* a response is */
        assert_int_equal(tarn_call_wait_try(client, id, &at, &size), 0);
        assert_int_equal(tarn_call_end(client, id), 0);
        assert_int_equal(tarn_poll_clear(poll), 0);
    }
    assert_int_equal(tarn_call_poll(server, poll), 0);
    assert_int_equal(readable(fd, 20), 0);
    id = asked(client, 0, "x", 1);
    assert_int_equal(readable(fd, 20000), 1);
    assert_int_equal(tarn_call_cancel(client, id), 0);
    assert_int_equal(tarn_call_next_try(server, &r), -EAGAIN);
    assert_int_equal(tarn_poll_clear(poll), 0);
    assert_int_equal(readable(fd, 20), 0);
    /* a death is news to who had a call there */
    id = asked(client, 0, "x", 1);
    kill_it(other(take_one));
    assert_int_equal(tarn_poll_clear(poll), 0);
    assert_int_equal(readable(fd, 20000), 1);
    for (int tries = 0; tarn_call_wait_try(client, id, &at, &size) == -EAGAIN && tries < 1000; tries++) {
        assert_int_equal(tarn_poll_clear(poll), 0);
        assert_int_equal(readable(fd, 20000), 1);
    }
    assert_int_equal(tarn_call_end(client, id), -EINVAL); /* it was told */
    tarn_poll_close(poll);
}

/* ---- looking ---- */

static int count_party(const struct tarn_party *p, void *arg)
{
    struct tarn_party *last = arg;
    if (p->role == TARN_RECEIVE)
        *last = *p;
    return 0;
}
static int stop_at_first(const struct tarn_party *p, void *arg)
{
    ++*(int *)arg;
    return 42 + (p->role == 0);
}
static void looked_at(void **state)
{
    struct tarn_channel_stat stat;
    struct tarn_party p = {0};
    uint64_t id = asked(client, 0, "x", 1), id2 = asked(client, 0, "x", 1);
    struct tarn_request r = taken();
    uint32_t seen;
    int n = 0;
    tarn_call *c;
    (void)state;
    assert_int_equal(tarn_channel_stat(seg, "c", &stat), 0);
    assert_string_equal(stat.kind, "call");
    assert_int_equal(stat.capacity, CAPACITY);
    assert_int_equal(stat.message, MESSAGE);
    assert_int_equal(stat.parties, 6);
    assert_int_equal(stat.senders, 1);
    assert_int_equal(stat.receivers, 1);
    assert_int_equal(stat.waiting, 1);
    assert_int_equal(stat.sent, 2);
    assert_int_equal(stat.received, 1);
    assert_int_equal(tarn_channel_parties(seg, "c", count_party, &p), 0);
    assert_int_equal(p.alive, 1);
    assert_int_equal(p.pid, getpid());
    assert_int_equal(p.messages, 1);
    assert_int_equal(p.behind, 1);
    assert_int_equal(tarn_channel_parties(seg, "c", stop_at_first, &n), 42);
    assert_int_equal(n, 1);
    assert_int_equal(tarn_channel_stat(seg, "none", &stat), -ENOENT);
    assert_int_equal(tarn_channel_parties(seg, "none", count_party, &p), -ENOENT);
    seen = stat.changes;
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, &past), -ETIMEDOUT);
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, &bad), -EINVAL);
    assert_int_equal(tarn_channel_watch(seg, "none", &seen, &past), -ENOENT);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &c), 0);
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, &past), 0);
    assert_int_not_equal(seen, stat.changes);
    assert_int_equal(tarn_call_close(c), 0);
    assert_int_equal(tarn_channel_watch(seg, "c", &seen, NULL), 0);
    assert_int_equal(tarn_call_answer(server, r.id, NULL, 0), 0);
    assert_int_equal(tarn_call_end(client, id), 0);
    assert_int_equal(tarn_call_cancel(client, id2), 0);
}

/* ---- bytes that make no sense ---- */

static struct channel *raw_channel(void)
{
    static const struct tarn_type type = {CALL_TYPE_NAME, sizeof(struct channel), CHANNEL_VERSION};
    tarn_ref ref;
    assert_int_equal(tarn_find(seg, "c", &type, &ref), 0);
    return (void *)at_offset(seg, ref);
}

/* Every 8 bytes of the root behind its shape, of two seats, of the order, and of two slots, each with several values: calls return, in time, and stay in bounds. */
static void hostile_bytes(void **state)
{
    static const uint64_t values[] = {0,
                                      1,
                                      UINT64_MAX,
                                      0x8000000000000000u,
                                      0x7fffffff,
                                      0xffffffff00000000u,
                                      0x0000000100070001u,
                                      0x90003,
                                      0x20001,
                                      0x40001,
                                      0x30002};
    struct channel *c = raw_channel();
    char *body = (char *)at_offset(seg, c->shape.body), *slots = body + c->shape.slots + 16 * CAPACITY;
    size_t slot = 64 + 2 * 256;
    struct {
        char *at;
        size_t words;
    } part[] = {
        {(char *)c + 136, 47}, {body, 32}, {body + c->shape.slots, 2 * CAPACITY}, {slots, 8}, {slots + slot, 8}};
    char *saved = malloc(c->shape.bytes), root_saved[sizeof *c];
    (void)state;
    check_pause_ns = 0; /* nobody is at work */
    for (int stage = 0; stage < 3; stage++)
        for (size_t i = 0; i < sizeof part / sizeof *part; i++)
            for (size_t w = 0; w < part[i].words; w++)
                for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                    struct timespec soon = in_ms(1);
                    struct tarn_request r = {0};
                    const void *at = NULL;
                    void *room;
                    size_t size = 0;
                    uint64_t id, id2 = 0;
                    uint32_t seen = 0;
                    struct tarn_channel_sizes sizes = {0};
                    struct tarn_channel_stat stat;
                    struct tarn_party party;
                    tarn_call *c2, *s2;
                    bool two;
                    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &c2), 0);
                    assert_int_equal(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &s2), 0);
                    memcpy(saved, body, c->shape.bytes);
                    memcpy(root_saved, c, sizeof *c);
                    two = tarn_call_loan_try(c2, 40, &room, &id) == 0;
                    assert_true(two);
                    if (stage)
                        assert_int_equal(tarn_call_begin(c2, id, v & 1, 20), 0);
                    if (stage > 1)
                        assert_int_equal(tarn_call_next_try(s2, &r), 0);
                    memcpy(part[i].at + 8 * w, &values[v], 8);
                    if (!stage)
                        tarn_call_begin(c2, id, 0, 30);
                    if (stage < 2 && tarn_call_next_try(s2, &r) == 0) {
                        assert_true(r.size <= MESSAGE && (char *)r.at >= slots &&
                                    (char *)r.at + r.size <= slots + CAPACITY * slot);
                        tarn_call_cancelled(s2, r.id);
                    }
                    if (tarn_call_room(s2, r.id, &room) == 0)
                        assert_true((char *)room >= slots && (char *)room + MESSAGE <= slots + CAPACITY * slot);
                    tarn_call_answer(s2, r.id, "xxxx", 4);
                    if (tarn_call_wait_timed(c2, id, &at, &size, v % 5 ? &past : &soon) == 0)
                        assert_true(size <= MESSAGE && (char *)at >= slots &&
                                    (char *)at + size <= slots + CAPACITY * slot);
                    tarn_call_cancel(c2, id);
                    tarn_call_end(c2, id);
                    if (tarn_call_loan_timed(c2, 1, &room, &id2, &past) == 0)
                        tarn_call_cancel(c2, id2);
                    tarn_call_ask_timed(c2, 0, "x", 1, saved + c->shape.bytes - 8, 0, NULL, &past);
                    tarn_call_next_timed(s2, &r, &past);
                    (void)tarn_channel_stat(seg, "c", &stat);
                    if (tarn_channel_sizes(seg, "c", &sizes) == 0)
                        assert_true(sizes.messages <= 4096 && sizes.bytes <= sizes.messages * MESSAGE);
                    (void)tarn_channel_parties(seg, "c", count_party, &party);
                    if (v == 2)
                        (void)tarn_channel_watch(seg, "c", &seen, &past);
                    (void)tarn_check(seg, NULL, NULL);
                    /* as it was, but for what the two had: they go with their handles */
                    memcpy(body, saved, c->shape.bytes);
                    memcpy((char *)c + 136, root_saved + 136, sizeof *c - 136);
                    free(c2);
                    free(s2);
                    for (int k = 2; k < 4; k++)
                        memset(body + 128 * k, 0, 4);
                }
    free(saved);
    assert_all_free(client);
}

static void a_foreign_order(void **state)
{
    struct channel *c = raw_channel();
    uint64_t *order = (uint64_t *)(void *)((char *)at_offset(seg, c->shape.body) + c->shape.slots), id;
    struct tarn_request r;
    void *at;
    (void)state;
    c->own[8] = 5ull << 40; /* head: laps ahead of all entries */
    assert_int_equal(tarn_call_next_try(server, &r), -EUCLEAN);
    assert_int_equal(tarn_call_next(server, &r), -EUCLEAN);
    assert_says("makes no sense");
    c->own[0] = 7ull << 40;
    assert_int_equal(tarn_call_loan_try(client, 1, &at, &id), 0);
    assert_int_equal(tarn_call_begin(client, id, 0, 1), -EUCLEAN);
    assert_int_equal(tarn_call_cancel(client, id), -EINVAL); /* it is ended */
    c->own[0] = c->own[8] = 0;
    memset(order, 0, 16 * CAPACITY);
    assert_all_free(client);
}

static void unbound_while_open(void **state)
{
    tarn_call *looks;
    (void)state;
    assert_int_equal(tarn_unbind(seg, "c", 1), -EBUSY);
    assert_says("open");
    assert_int_equal(tarn_call_close(client), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), -EBUSY);
    assert_int_equal(tarn_call_close(server), 0);
    assert_clean(seg);
    assert_int_equal(tarn_call_open(seg, "c", 0, NULL, &looks), 0);
    assert_int_equal(tarn_unbind(seg, "c", 1), 0); /* who only looks holds up nobody */
    assert_int_equal(tarn_call_close(looks), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_SEND, NULL, &client), -ENOENT);
    assert_clean(seg);
    assert_int_equal(tarn_call_open(seg, "c", TARN_CREATE | TARN_SEND, &options, &client), 0);
    assert_int_equal(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &server), 0);
    assert_all_free(client);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        T(every_size_both_ways),
        T(an_echo_from_the_request),
        T(less_than_was_loaned),
        T(in_the_order_in_which_they_came),
        T(all_slots_in_use),
        T(many_taken_back_while_one_waits),
        T(taken_back_at_each_state),
        T(bad_input),
        T(the_other_role),
        T(two_handles_have_nothing_in_common),
        T(in_a_section),
        T(of_the_thread_that_opened_it),
        T(come_again),
        T(forked),
        T(two_clients_two_servers),
        T(who_makes_room_wakes),
        T(response_larger_than_asked_for),
        T(a_server_dies),
        T(a_server_comes_and_dies),
        T(a_client_dies),
        T(a_descriptor),
        T(looked_at),
        T(hostile_bytes),
        T(a_foreign_order),
        T(unbound_while_open),
    };
    told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED || cmocka_run_group_tests_name("call", tests, NULL, NULL);
}

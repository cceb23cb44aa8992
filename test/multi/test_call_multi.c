/* test_call_multi.c - call under several processes at different addresses, which are killed and stopped at random moments. Every request has a number, and every body says whose
 * it is: each call that returns has the right answer; a repeatable one is answered, whoever dies; one that is not is done once, or its client told; nobody hangs;
 * at the end all slots are free and nobody has a seat.
 *
 * The parent never opens the segment, so each child maps it where it likes. What must outlive a killed one lies in `all`. */
#include "helper.h"

#include <time.h>

#include "chance.h"
#include "tarn/channel.h"

#define URL "posix:/call"
enum {
    CLIENTS = 3,
    SERVERS = 3,
    EACH = CLIENTS + SERVERS,
    CAPACITY = 16,
    MESSAGE = 300,
    NUMBERS = 1 << 14,
    FLIGHT = 4
};

static struct all {
    volatile uint32_t next[CLIENTS];           /* number of its next request */
    volatile uint32_t begun[CLIENTS][NUMBERS]; /* of each request: servers that began with it */
    volatile uint64_t answered, lost, late, back, failed, served, refused, lived[EACH];
    volatile uintptr_t address[EACH];
    volatile uint32_t stop, ready;
} * all;

static tarn *seg;
static tarn_call *call;
static struct timespec in_us(long us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += us * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* ---- bodies: client, number, flags, length, and bytes that follow from these ---- */

struct body {
    uint32_t client, number, flags, size;
    unsigned char bytes[MESSAGE - 16];
};
static size_t fill(struct body *b, uint32_t client, uint32_t number, uint32_t flags, uint32_t size)
{
    *b = (struct body){.client = client, .number = number, .flags = flags, .size = size};
    memset(b->bytes, (int)(number * 7 + client + flags), size);
    return 16 + size;
}
static bool is_body(const void *at, size_t size, struct body *ret)
{
    struct body want;
    if (size < 16 || size > MESSAGE)
        return false;
    memcpy(ret, at, 16);
    if (ret->size != size - 16)
        return false;
    fill(&want, ret->client, ret->number, ret->flags, ret->size);
    return !memcmp(&want, at, size);
}
enum { RESPONSE = 0x100 }; /* in flags */
static uint32_t size_of_response(const struct body *b)
{
    return (b->number * 13 + b->client) % 3 ? b->number % 16 : b->number % (MESSAGE - 16);
}
static bool is_to_fail(const struct body *b)
{
    return b->number % 11 == 3;
}

static void take_part(uint32_t who, unsigned role)
{
    static const struct tarn_channel_options options = {
        .size = sizeof options, .capacity = CAPACITY, .message = MESSAGE, .parties = 12};
    chance_from(who * 4194304 + (uint32_t)getpid());
    (void)mmap(NULL, (1 + chance(64)) << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(tarn_open(URL, TARN_CREATE, NULL, &seg) == 0);
    while (tarn_call_open(seg, "c", TARN_CREATE | role, &options, &call) < 0)
        usleep(1000); /* no seat: the dead are not known to be so yet */
    all->address[who] = (uintptr_t)tarn_base(seg);
    all->lived[who]++;
}
static void leave(void)
{
    check(tarn_call_close(call) == 0);
    check(tarn_close(seg) == 0);
}

/* ---- clients ---- */

/* What a call of this number returned. */
static void judge(uint32_t client, uint32_t number, unsigned flags, int e, const void *at, size_t size)
{
    struct body b = {.client = client, .number = number};
    uint32_t begun = all->begun[client][number % NUMBERS];
    if (e == 0) {
        check(!is_to_fail(&b));
        check(is_body(at, size, &b));
        check(b.client == client && b.number == number && b.flags & RESPONSE && b.size == size_of_response(&b));
        check(flags || begun == 1);
        all->answered++;
    } else if (e == -EOWNERDEAD) {
        check(!flags && begun <= 1);
        all->lost++;
    } else if (e == -ENODATA) {
        check(is_to_fail(&b));
        all->failed++;
    } else
        check(e == -ETIMEDOUT);
}
static uint32_t new_number(uint32_t client)
{
    uint32_t number = all->next[client];
    all->begun[client][(number + NUMBERS / 2) % NUMBERS] = 0;
    all->next[client] = number + 1;
    return number;
}
static uint32_t any_size(void)
{
    return chance(2) ? chance(17) : chance(MESSAGE - 16);
}

static void ask_one(uint32_t client)
{
    struct body b, response;
    uint32_t number = new_number(client);
    unsigned flags = chance(2);
    size_t got = 0, size = fill(&b, client, number, flags, any_size());
    bool timed = chance(4) == 0;
    struct timespec until = in_us(chance(2000));
    int e = timed ? tarn_call_ask_timed(call, flags, &b, size, &response, sizeof response, &got, &until)
                  : tarn_call_ask(call, flags, &b, size, &response, sizeof response, &got);
    check(e != -ETIMEDOUT || timed);
    judge(client, number, flags, e, &response, got);
    if (e == -ETIMEDOUT)
        all->late++;
}
/* Several at a time; some are taken back. */
static void ask_several(uint32_t client)
{
    uint64_t id[FLIGHT];
    uint32_t number[FLIGHT], n = 0;
    unsigned flags[FLIGHT];
    for (; n < FLIGHT; n++) {
        struct body b;
        void *at;
        size_t size;
        struct timespec until = in_us(5000); /* for all might have some, and wait for more */
        int e;
        flags[n] = chance(2);
        number[n] = new_number(client);
        size = fill(&b, client, number[n], flags[n], any_size());
        e = tarn_call_loan_timed(call, MESSAGE, &at, &id[n], &until);
        if (e == -ETIMEDOUT)
            break;
        check(e == 0);
        memcpy(at, &b, size);
        check(tarn_call_begin(call, id[n], flags[n], size) == 0);
    }
    while (n-- > 0) {
        const void *at;
        size_t size;
        int e;
        if (chance(8) == 0) {
            check(tarn_call_cancel(call, id[n]) == 0);
            all->back++;
            continue;
        }
        e = tarn_call_wait(call, id[n], &at, &size);
        judge(client, number[n], flags[n], e, at, size);
        if (e == 0)
            check(tarn_call_end(call, id[n]) == 0);
    }
}
static void run_client(uint32_t client)
{
    take_part(client, TARN_SEND);
    while (!(all->stop & 1))
        chance(3) ? ask_one(client) : ask_several(client);
    leave();
}

/* ---- servers ---- */

static void answer_it(const struct tarn_request *r)
{
    struct body b, response;
    void *room = &response;
    int e;
    check(is_body(r->at, r->size, &b));
    check(b.client < CLIENTS && b.flags == r->flags);
    __atomic_fetch_add(&all->begun[b.client][b.number % NUMBERS], 1, __ATOMIC_SEQ_CST);
    if (chance(64) == 0)
        usleep(chance(3000));
    if (is_to_fail(&b))
        e = tarn_call_fail(call, r->id, -ENODATA);
    else {
        size_t size;
        if (chance(2))
            check(tarn_call_room(call, r->id, &room) == 0);
        size = fill(&response, b.client, b.number, RESPONSE, size_of_response(&b));
        if (room != &response)
            memcpy(room, &response, size);
        e = tarn_call_answer(call, r->id, room, size);
    }
    check(e == 0 || e == -ECANCELED);
    all->served++;
    all->refused += e != 0;
}
static void run_server(uint32_t who)
{
    take_part(who, TARN_RECEIVE);
    while (!(all->stop & 2)) {
        struct tarn_request r, second;
        struct timespec until = in_us(20000);
        int e = tarn_call_next_timed(call, &r, &until);
        check(e == 0 || e == -ETIMEDOUT);
        if (e)
            continue;
        if (chance(4) == 0 && tarn_call_next_try(call, &second) == 0)
            answer_it(&second);
        answer_it(&r);
    }
    leave();
}

static pid_t start(uint32_t who)
{
    pid_t p = fork_child();
    if (p == 0) {
        alarm(90);
        who < CLIENTS ? run_client(who) : run_server(who);
        _exit(0);
    }
    return p;
}

/* ---- the end ---- */

static void all_is_free(void *arg)
{
    tarn_call *c;
    struct tarn_channel_stat stat;
    struct tarn_request r;
    void *at;
    uint64_t id, leaked = 1;
    (void)arg;
    check(tarn_open(URL, 0, NULL, &seg) == 0);
    check(tarn_call_open(seg, "c", TARN_RECEIVE, NULL, &call) == 0);
    check(tarn_call_open(seg, "c", TARN_SEND, NULL, &c) == 0);
    check(tarn_call_next_try(call, &r) == -EAGAIN);
    for (int i = 0; i < CAPACITY; i++)
        check(tarn_call_loan_try(c, 1, &at, &id) == 0);
    check(tarn_call_loan_try(c, 1, &at, &id) == -EAGAIN);
    check(tarn_channel_stat(seg, "c", &stat) == 0);
    check(stat.senders == 1 && stat.receivers == 1 && stat.waiting == 0);
    check(tarn_check(seg, print_damage, NULL) == 0);
    check(tarn_leaked(seg, &leaked) == 0 && leaked == 0);
}
static bool ended_well(pid_t p)
{
    int status = -1;
    return waitpid(p, &status, 0) == p && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void killed_and_stopped(void **state)
{
    enum { ROUNDS = SANITIZED ? 80 : 250 };
    const char *rounds = getenv("TARN_TEST_ROUNDS");
    pid_t p[EACH];
    uintptr_t first = 0;
    bool elsewhere = false;
    (void)state;
    if (on_memfd())
        skip();
    alarm(100);
    memset(all, 0, sizeof *all);
    chance_from(1);
    for (uint32_t i = 0; i < EACH; i++)
        p[i] = start(i);
    for (int round = rounds ? atoi(rounds) : ROUNDS; round; round--) {
        uint32_t who = chance(EACH);
        int status;
        usleep(500 + chance(4000));
        if (round % 8 == 0) { /* stopped: nobody else is held up, as the others' progress at the end says */
            kill(p[who], SIGSTOP);
            usleep(chance(20000));
            if (chance(2)) {
                kill(p[who], SIGCONT);
                continue;
            }
        }
        kill(p[who], SIGKILL);
        assert_int_equal(waitpid(p[who], &status, 0), p[who]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* no check of its failed */
        p[who] = start(who);
    }
    usleep(50000);
    all->stop = 1;
    for (uint32_t i = 0; i < CLIENTS; i++)
        assert_true(ended_well(p[i]));
    all->stop = 3;
    for (uint32_t i = CLIENTS; i < EACH; i++)
        assert_true(ended_well(p[i]));
    assert_int_equal(in_child(all_is_free, NULL), 0);
    for (uint32_t i = 0; i < EACH; i++) {
        assert_true(all->lived[i] > 0);
        elsewhere |= first && all->address[i] != first;
        first = all->address[i];
    }
    assert_true(elsewhere);
    print_message(
        "%lu answered, %lu lost, %lu late, %lu taken back, %lu failed, %lu served, %lu of them for nobody\n",
        (unsigned long)all->answered, (unsigned long)all->lost, (unsigned long)all->late, (unsigned long)all->back,
        (unsigned long)all->failed, (unsigned long)all->served, (unsigned long)all->refused);
    assert_true(all->answered > 100 && all->failed > 0 && all->back > 0);
    tarn_unlink(URL);
}

/* ---- a stopped one ---- */

static void reached(uint32_t what)
{
    while (all->ready < what)
        usleep(500);
}
static void takes_and_is_stopped(void)
{
    struct tarn_request r;
    take_part(CLIENTS, TARN_RECEIVE);
    all->ready = 1;
    check(tarn_call_next(call, &r) == 0);
    all->ready = 2;
    raise(SIGSTOP);
    answer_it(&r);
    leave();
}
static void asks_and_is_stopped(void)
{
    struct body b;
    void *at;
    uint64_t id[3];
    take_part(0, TARN_SEND);
    for (int i = 0; i < 3; i++) {
        check(tarn_call_loan(call, MESSAGE, &at, &id[i]) == 0);
        fill(&b, 0, new_number(0), 0, 10);
        memcpy(at, &b, 26);
        check(i == 2 || tarn_call_begin(call, id[i], 0, 26) == 0);
    }
    all->ready++;
    raise(SIGSTOP);
    leave();
}
static void waits_until_a_time(void)
{
    struct body b;
    struct timespec until;
    take_part(1, TARN_SEND);
    reached(1);
    until = in_us(100000);
    fill(&b, 1, new_number(1), 0, 10);
    check(tarn_call_ask_timed(call, 0, &b, 26, NULL, 0, NULL, &until) == -ETIMEDOUT);
    leave();
}
static void asks_a_hundred(void)
{
    take_part(2, TARN_SEND);
    for (int i = 0; i < 100; i++) {
        struct body b, response;
        size_t got = 0;
        uint32_t number = new_number(2);
        size_t size = fill(&b, 2, number, 0, 5);
        int e = tarn_call_ask(call, 0, &b, size, &response, sizeof response, &got);
        judge(2, number, 0, e, &response, got);
    }
    leave();
}
static pid_t run(void (*f)(void))
{
    pid_t p = fork_child();
    if (p == 0) {
        alarm(60);
        f();
        _exit(0);
    }
    return p;
}
static void awaited_stop(pid_t p)
{
    int status;
    assert_int_equal(waitpid(p, &status, WUNTRACED), p);
    assert_true(WIFSTOPPED(status));
}

static void a_stopped_one_holds_up_nobody(void **state)
{
    pid_t server, other, client, late;
    (void)state;
    if (on_memfd())
        skip();
    alarm(100);
    memset(all, 0, sizeof *all);
    server = run(takes_and_is_stopped);
    reached(1);
    late = run(waits_until_a_time); /* its call is what the server stops with */
    awaited_stop(server);
    assert_true(ended_well(late));
    client = run(asks_and_is_stopped);
    awaited_stop(client);
    other = start(CLIENTS + 1);
    assert_true(ended_well(run(asks_a_hundred)));
    assert_true(ended_well(run(asks_a_hundred)));
    kill(server, SIGCONT); /* it is told that nobody wants its answer */
    assert_true(ended_well(server));
    assert_int_equal(all->refused, 1);
    kill(client, SIGKILL);
    assert_int_equal(waitpid(client, NULL, 0), client);
    all->stop = 3;
    assert_true(ended_well(other));
    assert_int_equal(in_child(all_is_free, NULL), 0);
    tarn_unlink(URL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_one_holds_up_nobody),
        cmocka_unit_test(killed_and_stopped),
    };
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return all == MAP_FAILED || cmocka_run_group_tests_name("call_multi", tests, own_directory, remove_directory);
}

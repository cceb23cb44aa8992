/* test_ring_multi.c - rings between processes at different addresses, of which one after the other is killed at a random moment, or stopped for a while.
 *
 * A message says its number, and its size and bytes follow from it. What a call had sent when it returned is received; what a call had received when it
 * returned is not received again; in between, each message comes in order, whole, and no more of them twice than one call had in hand. Both ends sleep
 * now and then; the cap is off, so a wake-up that is lost is a hang, and an alarm ends it. */
#include "helper.h"

#include <time.h>

#include "chance.h"
#include "sync/sync.h"
#include "tarn/channel.h"

#define URL "posix:/ring"
enum { KILLS = 120, MOST = 256, BATCH = 8 };

static const struct form {
    uint32_t capacity, message, flags;
} forms[] = {{64, 8, 0}, {4, 8, 0}, {16, 24, 0}, {8, 200, 0}, {1024, 200, TARN_RING_BYTES}};
enum { FORMS = sizeof forms / sizeof *forms };

static struct shared {
    volatile uint64_t sent, received; /* by calls that returned */
    volatile uint64_t twice;          /* received again */
    volatile uint64_t last;           /* number of the message that says it is the end; ~0: none yet */
    volatile uintptr_t address[2];
    volatile int stop;
} * shared;

static const struct form *form;
static tarn *seg;

static size_t size_of(uint64_t number)
{
    return form->message == 8 ? 8 : 8 + number * 11 % (form->message - 7);
}
static void write_message(char *at, uint64_t number)
{
    memcpy(at, &number, 8);
    for (size_t i = 8; i < size_of(number); i++)
        at[i] = (char)(number * 3 + i);
}
static bool message_is(const char *at, size_t size, uint64_t number)
{
    char want[MOST];
    write_message(want, number);
    return size == size_of(number) && !memcmp(at, want, size);
}

/* Its own mapping, at an address of its own, whatever the parent had. */
static tarn_ring *arrive(int side)
{
    struct tarn_options o = {.size = sizeof o, .address = (void *)((uintptr_t)(0x2000 + side * 0x1000) << 32)};
    struct tarn_channel_stat s;
    tarn_ring *r;
    uint64_t now, known;
    chance_from((uint32_t)getpid());
    check(tarn_close(seg) == 0); /* what was inherited */
    check(tarn_open(URL, 0, SANITIZED || on_memfd() ? NULL : &o, &seg) == 0);
    shared->address[side] = (uintptr_t)tarn_base(seg);
    check(tarn_ring_open(seg, "ring", side ? TARN_RECEIVE : TARN_SEND, NULL, &r) == 0);
    check(tarn_channel_stat(seg, "ring", &s) == 0);
    now = side ? s.received : s.sent;
    known = side ? shared->received : shared->sent;
    check(now >= known && now <= known + BATCH);
    if (side)
        shared->received = now;
    else
        shared->sent = now;
    return r;
}
static void leave(tarn_ring *r)
{
    check(tarn_ring_close(r) == 0);
    check(tarn_close(seg) == 0);
}

static void nap(void)
{
    if (chance(300) == 0)
        usleep(300);
}

static void send_all(void)
{
    tarn_ring *r = arrive(0);
    char text[BATCH * MOST];
    uint64_t n;
    while (!shared->stop) {
        size_t count = 1;
        void *place;
        n = shared->sent;
        nap();
        switch (chance(3)) {
        case 0:
            write_message(text, n);
            check(tarn_ring_send(r, text, size_of(n)) == 0);
            break;
        case 1:
            check(tarn_ring_loan(r, form->message, &place) == 0);
            write_message(place, n);
            check(tarn_ring_send_loan(r, size_of(n)) == 0);
            break;
        default: /* as many as are of one size */
            while (count < BATCH && size_of(n + count) == size_of(n))
                count++;
            for (size_t i = 0; i < count; i++)
                write_message(text + i * size_of(n), n + i);
            check(tarn_ring_send_many(r, text, size_of(n), count, &count) == 0);
            break;
        }
        shared->sent = n + count;
    }
    n = shared->sent;
    shared->last = n;
    write_message(text, n);
    check(tarn_ring_send(r, text, size_of(n)) == 0);
    leave(r);
}

static void receive_all(void)
{
    tarn_ring *r = arrive(1);
    char text[BATCH * MOST];
    for (uint64_t n = shared->received; n != shared->last + 1;) {
        size_t count = 1, sizes[BATCH];
        const void *seen;
        struct timespec soon = os_deadline(20);
        int e = 0;
        nap();
        switch (chance(4)) {
        case 0: check(tarn_ring_receive(r, text, MOST, sizes) == 0); break;
        case 1:
            check(tarn_ring_take(r, &seen, sizes) == 0);
            check(message_is(seen, sizes[0], n));
            memcpy(text, seen, sizes[0]);
            check(tarn_ring_release(r) == 0);
            break;
        case 2: check(tarn_ring_receive_many(r, text, MOST, BATCH, sizes, &count) == 0); break;
        default:
            e = tarn_ring_receive_timed(r, text, MOST, sizes, &soon);
            check(e == 0 || e == -ETIMEDOUT);
            break;
        }
        for (size_t i = 0; i < count && e == 0; i++, n++)
            check(message_is(text + i * MOST, sizes[i], n));
        shared->received = n;
    }
    leave(r);
}

static pid_t start(int side)
{
    pid_t p = fork_child();
    if (p == 0) {
        alarm(60);
        (side ? receive_all : send_all)();
        _exit(0);
    }
    assert_true(p > 0);
    return p;
}

static void assert_ends(pid_t p, int expected)
{
    int status = -1;
    while (waitpid(p, &status, 0) < 0 && errno == EINTR)
        ;
    if (expected ? !WIFSIGNALED(status) || WTERMSIG(status) != expected : status != 0)
        fail_msg("a child ended with %#x", (unsigned)status);
}

static void churn(const struct form *f)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = f->capacity, .message = f->message, .parties = 4, .flags = f->flags};
    struct tarn_options options = {.size = sizeof options, .limit = 1 << 20, .participants = 8};
    struct tarn_channel_stat s;
    tarn_ring *r;
    pid_t side[2];
    form = f;
    *shared = (struct shared){.last = ~0ull - 1};
    assert_int_equal(tarn_open(URL, TARN_CREATE, &options, &seg), 0);
    assert_int_equal(tarn_ring_open(seg, "ring", TARN_CREATE, &o, &r), 0);
    assert_int_equal(tarn_ring_close(r), 0);
    side[0] = start(0);
    side[1] = start(1);
    for (int i = 0; i < KILLS; i++) {
        int k = (int)chance(2);
        usleep(200 + chance(6000));
        if (chance(8) == 0) { /* a stopped one is not dead: the other waits */
            kill(side[!k], SIGSTOP);
            usleep(2000);
            kill(side[!k], SIGCONT);
        }
        kill(side[k], SIGKILL);
        assert_ends(side[k], SIGKILL);
        side[k] = start(k);
    }
    usleep(5000);
    shared->stop = 1;
    assert_ends(side[0], 0);
    assert_ends(side[1], 0);
    assert_int_equal(tarn_channel_stat(seg, "ring", &s), 0);
    assert_int_equal(s.sent, shared->last + 1);
    assert_int_equal(s.received, s.sent);
    assert_int_equal(s.waiting + s.senders + s.receivers, 0);
    assert_true(s.sent > KILLS);
    assert_true(s.again <= KILLS && s.deaths <= KILLS && s.deaths > KILLS / 4);
    assert_true(shared->address[0] != shared->address[1] || SANITIZED || on_memfd());
    assert_int_equal(tarn_unbind(seg, "ring", 1), 0);
    assert_clean(seg);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(URL), 0);
}

static void killed_at_random(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++)
        churn(&forms[f]);
}

static void too_long(int number)
{
    remove_directory(NULL);
    signal(number, SIG_DFL);
    raise(number);
}

static int set_up(void **state)
{
    if (!on_sysv())
        signal(SIGALRM, too_long);
    alarm(100);
    chance_from((uint32_t)getpid());
    mutex_cap_off = true;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || own_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_random)};
    return cmocka_run_group_tests(tests, set_up, remove_directory);
}

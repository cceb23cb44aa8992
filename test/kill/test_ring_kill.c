/* test_ring_kill.c - senders and receivers of a ring who are killed at the first store, at the second, ... of all that they do: open, send or receive in each
 * way, close. The other end lives, and mostly sleeps; the next one goes on where the last one died.
 *
 * Built with TARN_KILL_POINTS. The cap is off: a wake-up that is lost is a hang, and the alarm ends it. A message says its number, which is its position:
 * so each end can tell what is missing, torn, or there twice. */
#include "helper.h"

#include "channel/channel.h"

__thread int kill_countdown;
static bool stops;
void kill_now(void)
{
    kill(getpid(), stops ? SIGSTOP : SIGKILL);
}

enum { MOST = 128 };
enum style { COPY, MANY, IN_PLACE, STYLES };
struct form {
    uint32_t capacity, message, flags;
};
static const struct form forms[] = {{4, 8, 0}, {8, 12, 0}, {2, 100, 0}, {256, 60, TARN_RING_BYTES}};
enum { FORMS = sizeof forms / sizeof *forms };

static struct shared {
    volatile uint64_t done; /* messages sent, or received, by calls that returned */
    volatile int points, surviving;
} * shared;
static tarn *seg;
static uint64_t again; /* taken by one who died, and received by the next */

static int set_up(void **state)
{
    struct tarn_options options = {.size = sizeof options, .limit = 1 << 20, .participants = 8};
    (void)state;
    alarm(100);
    mutex_cap_off = true;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || tarn_open("anon:", TARN_CREATE, &options, &seg);
}
static int tear_down(void **state)
{
    (void)state;
    tarn_recover(seg);
    assert_clean(seg);
    return tarn_close(seg);
}

/* ---- messages ---- */

static size_t size_of(const struct form *f, uint64_t number)
{
    return 8 + number * 7 % (f->message - 7);
}
static void write_message(char *at, size_t size, uint64_t number)
{
    memcpy(at, &number, 8);
    for (size_t i = 8; i < size; i++)
        at[i] = (char)(number + i);
}
static bool message_is(const struct form *f, const char *at, size_t size, uint64_t number, bool any_size)
{
    uint64_t n;
    memcpy(&n, at, 8);
    for (size_t i = 8; i < size; i++)
        if (at[i] != (char)(number + i))
            return false;
    return n == number && (any_size || size == size_of(f, number));
}

static tarn_ring *opened(unsigned role)
{
    tarn_ring *r;
    check(tarn_ring_open(seg, "ring", role, NULL, &r) == 0);
    return r;
}
static struct tarn_channel_stat stat_now(void)
{
    struct tarn_channel_stat s;
    check(tarn_channel_stat(seg, "ring", &s) == 0);
    return s;
}

/* `count` messages from this number on. */
static void send_some(tarn_ring *r, const struct form *f, enum style style, uint64_t number, uint64_t count)
{
    char text[3 * MOST];
    void *place;
    size_t n, size;
    for (uint64_t i = 0; i < count; number++, i++) {
        size = size_of(f, number);
        if (style == MANY) { /* all of one size: two at once, and what comes of it */
            size = 8;
            write_message(text, 8, number);
            write_message(text + 8, 8, number + 1);
            check(tarn_ring_send_many(r, text, 8, 2, &n) == 0);
            number += n - 1;
        } else if (style == COPY) {
            write_message(text, size, number);
            check(tarn_ring_send(r, text, size) == 0);
        } else {
            check(tarn_ring_loan(r, f->message, &place) == 0);
            write_message(place, size, number);
            check(tarn_ring_send_loan(r, size) == 0);
        }
        shared->done = number + 1;
    }
}
static void receive_some(tarn_ring *r, const struct form *f, enum style style, uint64_t number,
                         uint64_t count, bool any_size)
{
    char text[3 * MOST];
    const void *seen;
    size_t n = 1, sizes[3];
    for (uint64_t i = 0; i < count; i++) {
        if (style == MANY)
            check(tarn_ring_receive_many(r, text, MOST, 3, sizes, &n) == 0);
        else if (style == COPY)
            check(tarn_ring_receive(r, text, MOST, sizes) == 0);
        else {
            check(tarn_ring_take(r, &seen, sizes) == 0);
            memcpy(text, seen, *sizes);
            check(tarn_ring_release(r) == 0);
        }
        for (size_t k = 0; k < n; k++, number++)
            check(message_is(f, text + k * MOST, sizes[k], number, any_size));
        shared->done = number;
    }
}

/* ---- who dies ---- */

static void sender_dies(const struct form *f, enum style style, int point)
{
    tarn_ring *r;
    usleep(300); /* the receiver sleeps by now */
    kill_countdown = point;
    r = opened(TARN_SEND);
    send_some(r, f, style, stat_now().sent, 5);
    check(tarn_ring_close(r) == 0);
    tarn_thread_detach(seg);
    kill_countdown = 0;
}
static void receiver_dies(const struct form *f, enum style style, int point)
{
    tarn_ring *r;
    usleep(300);
    kill_countdown = point;
    r = opened(TARN_RECEIVE);
    receive_some(r, f, style, stat_now().received, 4, false);
    check(tarn_ring_close(r) == 0);
    tarn_thread_detach(seg);
    kill_countdown = 0;
}

/* One after the other, each dies a store later, until one does not; and then one who says that it is the end. */
static void die_one_by_one(bool sends, const struct form *f, enum style style)
{
    int status, point = 0;
    pid_t p;
    do {
        uint64_t done = shared->done, now;
        point++;
        p = fork_child();
        if (p == 0) {
            alarm(60);
            (sends ? sender_dies : receiver_dies)(f, style, point);
            _exit(0);
        }
        check(waitpid(p, &status, 0) == p && (WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : status == 0));
        if (point % 2) /* the other half of them is recovered by the next one, who dies in it */
            check(tarn_recover(seg) >= 0 && tarn_thread_detach(seg) == 0);
        /* What returned is so; of what did not return at most one call is. */
        now = sends ? stat_now().sent : stat_now().received;
        done = shared->done;
        check(now >= done && now <= done + (style == MANY ? sends ? 2 : 3 : 1));
        shared->done = now;
    } while (WIFSIGNALED(status));
    shared->points = point;
}

static void run(bool sends, const struct form *f, enum style style)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = f->capacity, .message = f->message, .parties = 3, .flags = f->flags};
    tarn_ring *r;
    pid_t p;
    int status;
    uint64_t number = 0, end;
    assert_int_equal(tarn_ring_open(seg, "ring", TARN_CREATE | (sends ? TARN_RECEIVE : TARN_SEND), &o, &r), 0);
    shared->done = 0;
    shared->points = 0;
    p = fork_child();
    if (p == 0) {
        alarm(90);
        die_one_by_one(sends, f, style);
        if (sends) {
            tarn_ring *last = opened(TARN_SEND);
            send_some(last, f, COPY, stat_now().sent, 1);
            end = ~0ull;
            check(tarn_ring_send(last, &end, 8) == 0);
            check(tarn_ring_close(last) == 0);
        } else {
            tarn_ring *last = opened(TARN_RECEIVE);
            shared->surviving = 1;
            for (number = stat_now().received;; number++) {
                char text[MOST];
                size_t size;
                check(tarn_ring_receive(last, text, MOST, &size) == 0);
                memcpy(&end, text, 8);
                if (end == ~0ull)
                    break;
                check(message_is(f, text, size, number, false));
            }
            check(tarn_ring_close(last) == 0);
        }
        _exit(0);
    }
    shared->surviving = 0;
    for (;; number++) {
        char text[MOST];
        size_t size = size_of(f, number);
        if (sends) {
            assert_int_equal(tarn_ring_receive(r, text, MOST, &size), 0);
            memcpy(&end, text, 8);
            if (end == ~0ull)
                break;
            if (!message_is(f, text, size, number, true))
                fail_msg("message %llu is %llu", (unsigned long long)number, (unsigned long long)end);
        } else {
            end = shared->surviving ? ~0ull : number;
            write_message(text, size, number);
            memcpy(text, &end, 8);
            assert_int_equal(tarn_ring_send(r, text, size), 0);
            if (end == ~0ull)
                break;
        }
    }
    while (waitpid(p, &status, 0) < 0)
        ;
    assert_int_equal(status, 0);
    assert_true(shared->points > 20);
    assert_int_equal(stat_now().waiting, 0);
    assert_int_equal(stat_now().senders + stat_now().receivers, 1);
    if (sends || style != IN_PLACE)
        assert_int_equal(stat_now().again, 0);
    again += stat_now().again;
    assert_true(stat_now().deaths > 10 && stat_now().deaths < (uint32_t)shared->points);
    assert_int_equal(tarn_ring_close(r), 0);
    assert_int_equal(tarn_unbind(seg, "ring", 1), 0);
}

static void senders_die(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++)
        for (int style = 0; style < STYLES; style++)
            run(true, &forms[f], (enum style)style);
}
static void receivers_die(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++)
        for (int style = 0; style < STYLES; style++)
            run(false, &forms[f], (enum style)style);
    assert_true(again > 0);
}

/* ---- another is at recovering who died, and was stopped at one store after the other: who opens the ring waits for him, and who sleeps at it is woken ---- */

static pid_t child_does(void (*what)(void))
{
    pid_t p = fork_child();
    if (p == 0) {
        alarm(60);
        what();
        _exit(0);
    }
    assert_true(p > 0);
    return p;
}
static void opens(void)
{
    tarn_ring *r;
    check(tarn_ring_open(seg, "ring", TARN_RECEIVE, NULL, &r) == 0);
    check(tarn_ring_close(r) == 0);
}
static void opens_and_dies(void)
{
    tarn_ring *r;
    check(tarn_ring_open(seg, "ring", TARN_RECEIVE, NULL, &r) == 0);
    kill(getpid(), SIGKILL);
}
static int stopped_at;
static void recovers(void)
{
    stops = true;
    kill_countdown = stopped_at;
    check(tarn_recover(seg) >= 0);
    kill_countdown = 0;
}
static void watches(void)
{
    struct party p;
    uint32_t seen;
    check(channel_look(seg, "ring", &p) == 0);
    seen = load32(&p.channel->changes);
    check(tarn_channel_watch(seg, "ring", &seen, NULL) == 0);
}
static bool sleeps(pid_t p)
{
    char name[64], state = '?';
    FILE *f;
    snprintf(name, sizeof name, "/proc/%d/stat", (int)p);
    f = fopen(name, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
    fclose(f);
    return state == 'S' || state == 'Z';
}

static void recovery_is_waited_for(void **state)
{
    const struct tarn_channel_options o = {.size = sizeof o, .capacity = 4, .message = 8, .parties = 4};
    tarn_ring *r;
    int met = 0, status;
    (void)state;
    assert_int_equal(tarn_ring_open(seg, "ring", TARN_CREATE, &o, &r), 0);
    assert_int_equal(tarn_ring_close(r), 0);
    for (stopped_at = 1;; stopped_at++) {
        pid_t recoverer, p;
        assert_int_equal(waitpid(child_does(opens_and_dies), &status, 0) > 0 && WIFSIGNALED(status), 1);
        recoverer = child_does(recovers);
        assert_int_equal(waitpid(recoverer, &status, WUNTRACED), recoverer);
        if (!WIFSTOPPED(status)) { /* it came to its end */
            assert_int_equal(status, 0);
            break;
        }
        met++;
        p = child_does(stopped_at % 2 ? opens : watches);
        for (int i = 0; i < 2000 && !sleeps(p); i++)
            usleep(1000);
        usleep(1000);
        assert_int_equal(kill(recoverer, SIGCONT), 0);
        assert_int_equal(waitpid(recoverer, &status, 0), recoverer);
        assert_int_equal(status, 0);
        assert_int_equal(waitpid(p, &status, 0), p);
        if (status)
            fail_msg("stopped at store %d, the other ended with %#x", stopped_at, (unsigned)status);
        child_does(opens);
        assert_true(wait(&status) > 0 && status == 0);
        assert_int_equal(stat_now().receivers, 0);
    }
    assert_true(met > 10);
    child_does(opens);
    assert_true(wait(&status) > 0 && status == 0);
    assert_int_equal(tarn_unbind(seg, "ring", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(recovery_is_waited_for),
                                       cmocka_unit_test(senders_die), cmocka_unit_test(receivers_die)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

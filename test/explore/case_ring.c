/* case_ring.c - the ring: messages come whole, in order and once, however its ends meet; nobody sleeps who has something to receive, or room; and who follows a
 * dead one goes on where that one was. */
#include <errno.h>

#include "channel/ring.h"
#include "explore.h"

static tarn_ring *ring[PEOPLE];
enum { SENT = 0, GOT = 1 }; /* ghost: messages that sends came back with; received by calls that came back */
enum { NUMBERS = 3 };

struct message { /* its number twice, so that a half one shows */
    uint64_t word[2];
};

static void make(uint32_t capacity, uint32_t message, uint32_t flags)
{
    const struct tarn_channel_options o = {
        .size = sizeof o, .capacity = capacity, .message = message, .parties = 3, .flags = flags};
    tarn_ring *r;
    MUST(tarn_ring_open(seg_of(DRIVER), "ring", TARN_CREATE, &o, &r));
    MUST(tarn_ring_close(r));
}

static void opens(int p, unsigned role)
{
    MUST(tarn_ring_open(seg_of(p), "ring", role, NULL, &ring[p]));
}
static struct tarn_channel_stat stat_now(int p)
{
    struct tarn_channel_stat s;
    MUST(tarn_channel_stat(seg_of(p), "ring", &s));
    return s;
}

static void is_right(const void *message, size_t size, uint64_t number)
{
    struct message m = {{77, 77}};
    memcpy(&m, message, size < sizeof m ? size : sizeof m);
    must_be(size == sizeof m && m.word[0] == m.word[1], "half of a message was received");
    must_be(m.word[0] == number, "a message was lost, or came twice");
}

static void send(int p)
{
    const struct message m = {{ghost[SENT], ghost[SENT]}};
    MUST(tarn_ring_send(ring[p], &m, sizeof m));
    ghost[SENT]++;
}
static void receive(int p)
{
    struct message m;
    size_t size;
    MUST(tarn_ring_receive(ring[p], &m, sizeof m, &size));
    is_right(&m, size, ghost[GOT]);
    ghost[GOT]++;
}

/* Those that are there still, as a receiver would find them; and no call that came back is undone. */
static const char *in_order(void)
{
    struct tarn_channel_stat s = stat_now(DRIVER);
    struct tarn_ring r = {0};
    uint64_t dead = anyone_died();
    const void *message;
    uint64_t size, number = s.received;
    int e;
    if (s.sent < ghost[SENT] || s.sent > ghost[SENT] + dead)
        return "a message was sent and is not there, or the other way";
    if (s.received < ghost[GOT] || s.received > ghost[GOT] + dead || s.received > s.sent)
        return "a message was received and is there, or the other way";
    MUST(channel_look(seg_of(DRIVER), "ring", &r.party));
    MUST(ring_at_head(&r));
    for (; (e = ring_front(&r, &message, &size)) == 0; ring_next(&r))
        is_right(message, size, number++);
    return e != -EAGAIN || number != s.sent ? "what is there is not what was sent" : NULL;
}

/* ---- both ends ---- */

static bool nothing_for_sleepers(void)
{
    uint64_t waiting = stat_now(DRIVER).waiting;
    for (int p = 0; p < world.people; p++)
        if (world.person[p].state == SLEEPING && (p ? waiting > 0 : waiting == 0))
            return false;
    return true;
}
static void slots_of_three(void) /* two lines of three places, and room for two messages */
{
    make(2, sizeof(struct message), 0);
    may_wait_if(nothing_for_sleepers);
}
static void slots_of_one(void)
{
    make(1, 60, 0);
    may_wait_if(nothing_for_sleepers);
}
static void bytes(void) /* room for two messages, and for one where the end is in the way */
{
    make(64, sizeof(struct message), TARN_RING_BYTES);
    may_wait_if(nothing_for_sleepers);
}
static void one_sends(int p)
{
    opens(p, p ? TARN_RECEIVE : TARN_SEND);
}
static void to_and_fro(int p)
{
    for (int i = 0; i < NUMBERS; i++)
        if (p == 0)
            send(p);
        else
            receive(p);
}
static void in_place(int p)
{
    for (int i = 0; i < 2; i++) {
        const struct message *seen;
        uint64_t *place;
        size_t size;
        if (p == 0) {
            if (tarn_ring_loan_try(ring[p], sizeof *seen, (void **)&place))
                continue;
            shared_write(&place[0], ghost[SENT]);
            shared_write(&place[1], ghost[SENT]);
            MUST(tarn_ring_send_loan(ring[p], sizeof *seen));
            ghost[SENT]++;
        } else {
            if (tarn_ring_take_try(ring[p], (const void **)&seen, &size))
                continue;
            const struct message m = {{shared_read(&seen->word[0]), shared_read(&seen->word[1])}};
            is_right(&m, size, ghost[GOT]);
            must_be(shared_read(&seen->word[0]) == ghost[GOT], "a message changed under who has it in hand");
            MUST(tarn_ring_release(ring[p]));
            ghost[GOT]++;
        }
    }
}
static void many(int p)
{
    struct message m[NUMBERS];
    size_t n = 0, sizes[NUMBERS];
    if (p == 0) {
        for (uint64_t i = 0; i < 2; i++)
            m[i] = (struct message){{ghost[SENT] + i, ghost[SENT] + i}};
        MUST(tarn_ring_send_many(ring[p], m, sizeof *m, 2, &n));
        ghost[SENT] += n;
    } else if (tarn_ring_receive_many_try(ring[p], m, sizeof *m, 2, sizes, &n) == 0) {
        for (size_t i = 0; i < n; i++)
            is_right(&m[i], sizes[i], ghost[GOT] + i);
        ghost[GOT] += n;
    }
}
static const char *many_in_order(void)
{
    struct tarn_channel_stat s = stat_now(DRIVER);
    if (anyone_died()) { /* of two, one or both may have gone before the call came back */
        ghost[SENT] = s.sent - ghost[SENT] == 2 ? s.sent : ghost[SENT];
        ghost[GOT] = s.received - ghost[GOT] == 2 ? s.received : ghost[GOT];
    }
    return in_order();
}

/* ---- the next one ---- */

/* 0 sent one, and died; the next one sends, while it is received. */
static void one_has_sent(int p)
{
    if (p == 2)
        return;
    one_sends(p);
    if (p == 0)
        send(p);
}
static void slots_of_two(void)
{
    make(4, sizeof(struct message), 0);
}
static void bytes_of_four(void)
{
    make(128, sizeof(struct message), TARN_RING_BYTES);
}
static void next_sends(int p)
{
    if (p == 2) {
        opens(p, TARN_SEND);
        send(p);
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct message m;
        size_t size;
        if (tarn_ring_receive_try(ring[p], &m, sizeof m, &size))
            continue;
        is_right(&m, size, ghost[GOT]);
        ghost[GOT]++;
    }
}

const struct test_case ring_cases[] = {
    {"ring, send and receive", 2, 3, 5, 0, slots_of_three, one_sends, to_and_fro, in_order},
    {"ring, without membarrier", 2, 3, 4, CASE_EXCHANGE, slots_of_three, one_sends, to_and_fro, in_order},
    {"ring, one place", 2, 2, 5, 0, slots_of_one, one_sends, to_and_fro, in_order},
    {"ring, bytes", 2, 2, 4, 0, bytes, one_sends, to_and_fro, in_order},
    {"ring, in place", 2, 7, 9, 0, slots_of_three, one_sends, in_place, in_order},
    {"ring, bytes in place", 2, 6, 8, 0, bytes, one_sends, in_place, in_order},
    {"ring, many", 2, 8, 12, 0, slots_of_three, one_sends, many, many_in_order},
    {"ring, many in bytes", 2, 7, 10, 0, bytes, one_sends, many, many_in_order},
    {"ring, the next one", 3, 4, 5, CASE_DEAD_FIRST, slots_of_two, one_has_sent, next_sends, in_order},
    {"ring, the next one in bytes", 3, 3, 4, CASE_DEAD_FIRST, bytes_of_four, one_has_sent, next_sends, in_order},
    {0},
};

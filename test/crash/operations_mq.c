/* operations_mq.c - for CRASHLAB: the message queue. The subject sends and receives; the driver has sent before it, and has a message and a loan in hand all the while.
 * What the oracle sees of queues is in oracle_mq.c. */
#include "channel/mq.h"
#include "operations.h"

static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = 4, .message = 100, .parties = 4, .number = 2};
static tarn_mq *mq, *dies, *drivers;
static void *taken, *loan;

static void send(struct lab *l, unsigned level, uint64_t number, size_t size)
{
    uint64_t body[13] = {number};
    (void)l;
    MUST(tarn_mq_send_try(mq, level, body, size));
}
static void set_up(struct lab *l)
{
    MUST(tarn_mq_open(SEG, "mq", TARN_CREATE | TARN_SEND | TARN_RECEIVE, &options, &mq));
}
static void with_messages(struct lab *l)
{
    set_up(l);
    for (uint64_t i = 1; i < 4; i++)
        send(l, i & 1, i, i == 3 ? 100 : 8);
}
static void with_hand(struct lab *l)
{
    with_messages(l);
    MUST(tarn_mq_take_try(mq, &taken, NULL));
    MUST(tarn_mq_loan_try(mq, 100, &loan));
    *(uint64_t *)loan = 50;
}
/* Another party of the subject's, with messages, a loan and a spare in hand. */
static void with_two_hands(struct lab *l)
{
    uint64_t number = 60;
    void *other;
    with_messages(l);
    MUST(tarn_mq_open(SEG, "mq", TARN_SEND | TARN_RECEIVE, NULL, &dies));
    MUST(tarn_mq_take_try(dies, &taken, NULL));
    MUST(tarn_mq_take_try(dies, &other, NULL));
    MUST(tarn_mq_loan_try(dies, 8, &loan));
    *(uint64_t *)loan = 61;
    MUST(tarn_mq_send_try(dies, 0, &number, 8));
}
/* No room, and nothing was ever sent by it. */
static void with_none_free(struct lab *l)
{
    uint64_t number = 80;
    set_up(l);
    MUST(tarn_mq_open(SEG, "mq", TARN_SEND, NULL, &dies));
    while (tarn_mq_send_try(dies, 0, &number, 8) == 0)
        number++;
}
static void that_goes(struct lab *l)
{
    MUST(tarn_mq_open(SEG, "mq", TARN_CREATE, &options, &mq));
}

/* The driver's. */
static void drivers_part(struct lab *l)
{
    uint64_t number = 70, body[13];
    void *of_driver;
    MUST(tarn_mq_open(SEG, "mq", TARN_SEND | TARN_RECEIVE, NULL, &drivers));
    MUST(tarn_mq_send_try(drivers, 1, &number, 8));
    MUST(tarn_mq_receive_try(drivers, body, sizeof body, NULL));
    MUST(tarn_mq_take_try(drivers, &of_driver, NULL));
    MUST(tarn_mq_loan_try(drivers, 8, &of_driver));
    *(uint64_t *)of_driver = 71;
}

static void mq_make(struct lab *l)
{
    MUST(tarn_mq_open(SEG, "mq", TARN_CREATE | TARN_SEND, &options, &mq));
    mark(l);
    send(l, 0, 5, 8);
    mark(l);
    MUST(tarn_mq_close(mq));
}
static void mq_send(struct lab *l)
{
    uint64_t body[13];
    for (uint64_t i = 10; i < 13; i++) {
        send(l, 0, i, 8 * (i - 9));
        mark(l);
    }
    MUST(tarn_mq_receive_try(mq, body, sizeof body, NULL));
    mark(l);
    MUST(tarn_mq_receive_try(mq, body, sizeof body, NULL));
    mark(l);
    for (uint64_t i = 13; i < 16; i++) { /* in the next lap: with the chunks that were received */
        MUST(tarn_mq_send(mq, 1, &i, 8));
        mark(l);
    }
}
static void mq_loan(struct lab *l)
{
    void *other;
    MUST(tarn_mq_loan(mq, 8, &other));
    *(uint64_t *)other = 20;
    MUST(tarn_mq_send_loan(mq, 0, loan, 100));
    mark(l);
    send(l, 1, 22, 8);
    mark(l);
    MUST(tarn_mq_send_loan(mq, 1, other, 8));
    mark(l);
    MUST(tarn_mq_loan_try(mq, 8, &other));
    *(uint64_t *)other = 23;
    MUST(tarn_mq_release(mq, other));
}
static void mq_full(struct lab *l)
{
    void *other;
    MUST(tarn_mq_loan_try(mq, 8, &other));
    MUST_BE(-EAGAIN, tarn_mq_send_loan_try(mq, 0, other, 8));
    MUST(tarn_mq_release(mq, other));
    mark(l);
    MUST(tarn_mq_close(mq));
}
static void mq_receive(struct lab *l)
{
    uint64_t body[13];
    while (tarn_mq_receive_try(mq, body, sizeof body, NULL) >= 0) /* small and large */
        mark(l);
    MUST(tarn_mq_release(mq, taken));
}
static void mq_take(struct lab *l)
{
    void *other;
    MUST(tarn_mq_take(mq, &other, NULL));
    MUST(tarn_mq_release(mq, taken));
    mark(l);
    MUST(tarn_mq_release(mq, other));
}
/* What a death leaves to others: here by the same thread's other handle, as whoever clears its seat does it. */
static void mq_back(struct lab *l)
{
    uint64_t body[13];
    channel_close(&dies->party);
    mark(l);
    for (int i = 0; i < 2; i++) {
        MUST_BE(TARN_RECOVERED, tarn_mq_receive_try(mq, body, sizeof body, NULL));
        mark(l);
    }
    send(l, 0, 30, 8);
}
static void mq_unbind(struct lab *l)
{
    MUST(tarn_unbind(SEG, "mq", 1));
}

const struct operation mq_operations[] = {
    {"mq make", OP_MQ | OP_FEW, NULL, NULL, mq_make},
    {"mq send", OP_MQ | OP_FEW, with_messages, drivers_part, mq_send},
    {"mq loan", OP_MQ | OP_FEW, with_hand, NULL, mq_loan},
    {"mq full", OP_MQ | OP_FEW, with_none_free, NULL, mq_full},
    {"mq receive", OP_MQ | OP_FEW, with_hand, NULL, mq_receive},
    {"mq take", OP_MQ | OP_FEW, with_hand, NULL, mq_take},
    {"mq of the dead", OP_MQ | OP_FEW, with_two_hands, NULL, mq_back},
    {"mq unbind", OP_MQ | OP_FEW, that_goes, NULL, mq_unbind},
    {0},
};

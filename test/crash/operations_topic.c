/* operations_topic.c - for CRASHLAB: the topic. The subject publishes and subscribes; the driver has published before it, and reads one message in place all the while. What
 * the oracle sees of topics is in oracle_topic.c. */
#include "operations.h"

static const struct tarn_channel_options options = {
    .size = sizeof options, .capacity = 4, .message = 40, .parties = 4, .number = 2};
static tarn_topic *topic, *drivers;
static const void *taken, *of_driver;
static void *loan;

static void set_up(struct lab *l)
{
    MUST(tarn_topic_open(SEG, "topic", TARN_CREATE | TARN_SEND | TARN_RECEIVE | TARN_TOPIC_HISTORY, &options,
                         &topic));
}
static void send(struct lab *l, uint64_t number)
{
    (void)l;
    MUST(tarn_topic_send(topic, &number, sizeof number));
}
static void with_messages(struct lab *l)
{
    set_up(l);
    for (uint64_t i = 1; i < 4; i++)
        send(l, i);
}
static void with_hand(struct lab *l)
{
    with_messages(l);
    MUST(tarn_topic_take_try(topic, &taken, NULL));
    MUST(tarn_topic_loan(topic, 40, &loan));
    *(uint64_t *)loan = 50;
}
static void with_holder(struct lab *l)
{
    with_messages(l);
    MUST(tarn_topic_hold(topic, 20));
}

/* The driver's. */
static void publishes(struct lab *l)
{
    uint64_t number = 70;
    MUST(tarn_topic_open(SEG, "topic", TARN_SEND | TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &drivers));
    MUST(tarn_topic_take_try(drivers, &of_driver, NULL));
    for (int i = 0; i < 2; i++, number++)
        MUST(tarn_topic_send(drivers, &number, 8));
}

static void topic_make(struct lab *l)
{
    MUST(tarn_topic_open(SEG, "topic", TARN_CREATE | TARN_SEND, &options, &topic));
    mark(l);
    send(l, 5);
    mark(l);
    MUST(tarn_topic_close(topic));
}
static void topic_send(struct lab *l)
{
    for (uint64_t i = 10; i < 13; i++) { /* what it evicts the driver pins */
        send(l, i);
        mark(l);
    }
}
static void topic_loan(struct lab *l)
{
    void *other;
    MUST(tarn_topic_loan(topic, 40, &loan));
    MUST(tarn_topic_loan(topic, 8, &other));
    *(uint64_t *)loan = 20;
    *(uint64_t *)other = 21;
    MUST(tarn_topic_send_loan(topic, loan, 40));
    mark(l);
    send(l, 22);
    mark(l);
    MUST(tarn_topic_drop_loan(topic, other));
}
static void topic_receive(struct lab *l)
{
    uint64_t got;
    (void)l;
    MUST(tarn_topic_receive_try(topic, &got, 8, NULL));
    MUST(tarn_topic_take_try(topic, &taken, NULL));
    MUST(tarn_topic_receive_try(topic, &got, 8, NULL));
    MUST(tarn_topic_release(topic, taken));
}
static void topic_hold(struct lab *l)
{
    MUST(tarn_topic_hold(topic, 500));
    MUST(tarn_topic_seek(topic, 2));
    MUST(tarn_topic_hold(topic, 0));
    send(l, 30);
}
static void topic_close(struct lab *l)
{
    (void)l;
    MUST(tarn_topic_drop_loan(topic, loan));
    MUST(tarn_topic_release(topic, taken));
    MUST(tarn_topic_close(topic));
}
static void topic_hand(struct lab *l)
{
    MUST(tarn_topic_send_loan(topic, loan, 8));
    mark(l);
    MUST(tarn_topic_release(topic, taken));
    MUST(tarn_topic_take_try(topic, &taken, NULL));
}
static void topic_unbind(struct lab *l)
{
    MUST(tarn_topic_close(topic));
    MUST(tarn_unbind(SEG, "topic", 1));
}

const struct operation topic_operations[] = {
    {"topic make", OP_TOPIC | OP_FEW, NULL, NULL, topic_make},
    {"topic send", OP_TOPIC, with_messages, publishes, topic_send},
    {"topic loan", OP_TOPIC, with_messages, publishes, topic_loan},
    {"topic receive", OP_TOPIC, with_messages, publishes, topic_receive},
    {"topic receive, holding", OP_TOPIC, with_holder, publishes, topic_receive},
    {"topic hold", OP_TOPIC, with_messages, publishes, topic_hold},
    {"topic hand", OP_TOPIC, with_hand, publishes, topic_hand},
    {"topic close", OP_TOPIC, with_hand, publishes, topic_close},
    {"topic unbind", OP_TOPIC | OP_FEW, with_messages, NULL, topic_unbind},
    {NULL, 0, NULL, NULL, NULL},
};

/* cmd_hz.c - tarn hz: how much goes through the channels of a segment, live.
 *
 * Read-only. Of every channel the counters are looked at; a topic is subscribed to besides, for sizes and for the time from send to receive. A read-only subscriber
 * looks once in a millisecond, so that is what its times are exact to. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum { COUNT = 256, INTERVAL };
enum { CHANNELS_MOST = 256, SAMPLES = 1 << 14, DRAIN = 4096, HEADER_EVERY = 20 };

static const struct option names[] = {{"count", required_argument, NULL, COUNT},
                                      {"interval", required_argument, NULL, INTERVAL},
                                      {"json", no_argument, NULL, 'J'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

struct channel {
    char name[256];
    struct tarn_channel_stat was, now;
    tarn_topic *topic;
    char *buffer;
    /* of this interval */
    uint64_t messages, bytes, lost, delays;
    uint64_t delay[SAMPLES]; /* ns */
};

struct watch {
    tarn *seg;
    const char *only; /* NULL: all */
    struct channel *channel[CHANNELS_MOST];
    int count;
    bool no_memory;
};

/* ---- which ---- */

static int on_name(const struct tarn_name *n, void *arg)
{
    struct watch *w = arg;
    struct tarn_channel_stat stat;
    struct channel *c;
    if (w->count == CHANNELS_MOST || (w->only && strcmp(w->only, n->name)) ||
        tarn_channel_stat(w->seg, n->name, &stat) < 0)
        return 0;
    c = calloc(1, sizeof *c);
    if (!c || !(c->buffer = malloc((size_t)stat.message + 1))) {
        free(c);
        w->no_memory = true;
        return 1;
    }
    snprintf(c->name, sizeof c->name, "%s", n->name);
    c->was = stat;
    if (!strcmp(stat.kind, "topic") && tarn_topic_open(w->seg, c->name, TARN_RECEIVE, NULL, &c->topic) < 0)
        c->topic = NULL;
    w->channel[w->count++] = c;
    return 0;
}

static void forget(struct watch *w)
{
    for (int i = 0; i < w->count; i++) {
        tarn_topic_close(w->channel[i]->topic);
        free(w->channel[i]->buffer);
        free(w->channel[i]);
    }
}

/* ---- one interval ---- */

static bool drain(struct channel *c)
{
    int n = 0;
    for (; n < DRAIN; n++) {
        struct tarn_topic_news news;
        uint64_t now;
        if (tarn_topic_receive_try(c->topic, c->buffer, c->was.message, &news) < 0)
            break;
        now = now_ns();
        c->messages++;
        c->bytes += news.size;
        c->lost += news.lost;
        if (now > news.sent_ns)
            c->delay[c->delays++ % SAMPLES] = now - news.sent_ns;
    }
    return n > 0;
}

static void pass(struct watch *w, uint64_t until)
{
    while (!stopped && now_ns() < until) {
        bool any = false;
        for (int i = 0; i < w->count; i++)
            if (w->channel[i]->topic)
                any |= drain(w->channel[i]);
        if (!any)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t quantile(const struct channel *c, double q)
{
    uint64_t n = c->delays < SAMPLES ? c->delays : SAMPLES;
    return n ? c->delay[(uint64_t)(q * (double)(n - 1))] : 0;
}

static void print_header(void)
{
    printf("%-24s %-5s %7s %12s %10s %10s %10s %10s %8s %7s\n", "CHANNEL", "KIND", "PARTIES", "MESSAGES/S",
           "BYTES", "P50 US", "P99 US", "LOST", "WAITING", "DEATHS");
}

static void print_row(const struct channel *c, double rate)
{
    printf("%-24.24s %-5s %3u:%-3u %12.1f ", c->name, c->now.kind, c->now.senders, c->now.receivers, rate);
    if (c->messages)
        printf("%10.0f %10.1f %10.1f ", (double)c->bytes / (double)c->messages,
               (double)quantile(c, 0.5) / 1e3, (double)quantile(c, 0.99) / 1e3);
    else
        printf("%10s %10s %10s ", "-", "-", "-");
    printf("%10" PRIu64 " %8" PRIu64 " %7u\n", c->lost + c->now.lost, c->now.waiting, c->now.deaths);
}

static void print_object(const struct channel *c, double rate)
{
    putchar('{');
    json_message("channel", c->name, strlen(c->name));
    printf(", \"kind\": \"%s\", \"senders\": %u, \"receivers\": %u, \"rate\": %.1f, \"messages\": %" PRIu64
           ", \"bytes\": %" PRIu64,
           c->now.kind, c->now.senders, c->now.receivers, rate, c->messages, c->bytes);
    if (c->messages)
        printf(", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64, quantile(c, 0.5), quantile(c, 0.99));
    printf(", \"lost\": %" PRIu64 ", \"waiting\": %" PRIu64 ", \"deaths\": %u}\n", c->lost + c->now.lost,
           c->now.waiting, c->now.deaths);
}

static void tell(tarn *seg, struct channel *c, double seconds, bool json)
{
    double rate;
    if (tarn_channel_stat(seg, c->name, &c->now) < 0) /* it was unbound */
        c->now = c->was;
    rate = (double)(c->now.sent - c->was.sent) / seconds;
    qsort(c->delay, c->delays < SAMPLES ? c->delays : SAMPLES, sizeof *c->delay, by_size);
    json ? print_object(c, rate) : print_row(c, rate);
    c->was = c->now;
    c->messages = c->bytes = c->lost = c->delays = 0;
}

static int watch(struct watch *w, uint64_t interval, uint64_t count, bool json)
{
    for (uint64_t turn = 0; (!count || turn < count) && !stopped; turn++) {
        uint64_t from = now_ns();
        double seconds;
        pass(w, from + interval * 1000000);
        seconds = (double)(now_ns() - from) / 1e9;
        if (stopped && seconds < 0.05)
            break;
        if (!json && turn % HEADER_EVERY == 0)
            print_header();
        for (int i = 0; i < w->count; i++)
            tell(w->seg, w->channel[i], seconds, json);
        if (fflush(stdout))
            break;
    }
    return DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    uint64_t interval = 1000, count = 0;
    struct watch w = {0};
    bool json = false;
    int option, e, status = DONE;
    while ((option = next_option(c, argc, argv, ":hJ", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        json |= option == 'J';
        if (option == COUNT)
            status = take_count(c, "--count", optarg, "looks", UINT64_MAX, &count);
        else if (option == INTERVAL)
            status = take_ms(c, "--interval", optarg, 10, HOUR_MS, &interval);
        if (status != DONE)
            return status;
    }
    if (argc - optind == 2)
        w.only = argv[optind + 1];
    else if (argc - optind != 1)
        return url_and_name(c, argc, argv, 0, NULL);
    stop_by_signals();
    if (!attach(c, argv[optind], &w.seg, &status))
        return status;
    e = tarn_names(w.seg, on_name, &w);
    if (e < 0)
        status = failed(c, e);
    else if (w.no_memory) {
        complain(c->name, "no memory for the channels' messages");
        status = REFUSED;
    } else if (!w.count) {
        if (w.only)
            complain(c->name, "there is no channel \"%s\" in %s", w.only, argv[optind]);
        else
            complain(c->name, "there is no channel in %s", argv[optind]);
        status = WRONG;
    } else
        status = watch(&w, interval, count, json);
    forget(&w);
    tarn_close(w.seg);
    return status;
}

const struct command cmd_hz = {
    .name = "hz",
    .arguments = "[OPTION...] URL [NAME]",
    .summary = "tell how much goes through a channel, or all, each second",
    .help = "  --interval MS       look so often (default 1000)\n"
            "  --count N           end after so many looks\n"
            "  -J, --json          one object a line, for each channel and look\n"
            "Of topics the size of messages is told, and the time from send to receive (exact to a "
            "millisecond), and how many\n"
            "were lost to this command; of other kinds the rate alone, for to receive from them would be to "
            "take away.\n",
    .run = run,
};

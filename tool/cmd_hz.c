/* cmd_hz.c - tarn hz: how much goes through the channels of a segment, live.
 *
 * Read-only, so that nobody is held up, and nobody's message taken. About once in a millisecond each channel is looked at: what its counters say, how large the messages are that
 * were sent since, and how many wait. When a message was sent is told by topics alone, to whoever subscribes, which is done besides. What can be told of all kinds is
 * the mean time from send to receive, by Little's law ('A proof for the queuing formula L = lambda W', 1961): how many wait, on the average over the looks, by how many
 * are received in a second. The looks are at random times, lest they keep step with those who send. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "message.h"

enum { COUNT = 256, INTERVAL };
enum { CHANNELS_MOST = 256, SAMPLES = 1 << 14, DRAIN = 4096, HEADER_EVERY = 20 };
enum { LOOK_NS = 1000000, LOOKS_SHARE = 10 }; /* looks take a tenth of the time at most */

static const struct option names[] = {{"count", required_argument, NULL, COUNT},
                                      {"interval", required_argument, NULL, INTERVAL},
                                      {"json", no_argument, NULL, 'J'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

struct channel {
    char name[256];
    uint64_t ref;
    bool there; /* seen in this look at the names */
    struct tarn_channel_stat was, now;
    struct tarn_channel_sizes sizes;
    tarn_topic *topic; /* subscribed, for delays; else NULL */
    char *buffer;
    /* of this interval */
    uint64_t sized, bytes;  /* messages whose size was seen */
    uint64_t looks, sights; /* the sum of those that waited, at each look */
    uint64_t behind;        /* at the last look */
    uint64_t missed, delays;
    uint64_t delay[SAMPLES]; /* ns */
};

struct watch {
    const struct command *command;
    tarn *seg;
    const char *url, *only; /* NULL: all */
    struct channel *channel[CHANNELS_MOST];
    int count;
    bool no_memory, too_many;
};

/* ---- which ---- */

static void forget(struct watch *w, int i)
{
    struct channel *c = w->channel[i];
    tarn_topic_close(c->topic);
    free(c->buffer);
    free(c);
    w->channel[i] = w->channel[--w->count];
}

static void meet(struct watch *w, const struct tarn_name *n, const struct tarn_channel_stat *stat)
{
    struct channel *c;
    if (w->count == CHANNELS_MOST) {
        w->too_many = true;
        return;
    }
    c = calloc(1, sizeof *c);
    if (!c || !(c->buffer = malloc((size_t)stat->message + 1))) {
        free(c);
        w->no_memory = true;
        return;
    }
    snprintf(c->name, sizeof c->name, "%s", n->name);
    c->ref = n->ref;
    c->there = true;
    c->was = c->now = *stat;
    tarn_channel_sizes(w->seg, c->name, &c->sizes); /* what was before is not told */
    if (!strcmp(stat->kind, "topic") && tarn_topic_open(w->seg, c->name, TARN_RECEIVE, NULL, &c->topic) < 0)
        c->topic = NULL;
    w->channel[w->count++] = c;
}

static int on_name(const struct tarn_name *n, void *arg)
{
    struct watch *w = arg;
    struct tarn_channel_stat stat;
    if ((w->only && strcmp(w->only, n->name)) || tarn_channel_stat(w->seg, n->name, &stat) < 0)
        return 0;
    for (int i = 0; i < w->count; i++) {
        struct channel *c = w->channel[i];
        if (!strcmp(c->name, n->name) && c->ref == n->ref && !strcmp(c->now.kind, stat.kind) &&
            stat.sent >= c->now.sent) {
            c->there = true;
            return 0;
        }
    }
    meet(w, n, &stat); /* one of the name that was there before was another, and goes */
    return w->no_memory;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct channel *const *)a)->name, (*(struct channel *const *)b)->name);
}

/* Those that came are met, those that went are forgotten. DONE, or a status after a complaint. */
static int look_at_names(struct watch *w)
{
    int e;
    for (int i = 0; i < w->count; i++)
        w->channel[i]->there = false;
    if ((e = tarn_names(w->seg, on_name, w)) < 0)
        return failed(w->command, e);
    if (w->no_memory) {
        complain(w->command->name, "no memory for the channels' messages");
        return REFUSED;
    }
    for (int i = w->count; i--;)
        if (!w->channel[i]->there)
            forget(w, i);
    qsort(w->channel, (size_t)w->count, sizeof *w->channel, by_name);
    if (w->count)
        return DONE;
    if (w->only)
        return no_channel(w->command, w->url, w->only);
    complain(w->command->name, "there is no channel in %s", w->url);
    return WRONG;
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
        c->missed += news.lost;
        if (now > news.sent_ns)
            c->delay[c->delays++ % SAMPLES] = now - news.sent_ns;
    }
    return n > 0;
}

static int most_behind(const struct tarn_party *p, void *arg)
{
    uint64_t *most = arg;
    if (p->behind > *most)
        *most = p->behind;
    return 0;
}

/* What waits in a topic is its history; what tells is how far the last of its subscribers is behind. */
static void look(struct watch *w, struct channel *c)
{
    struct tarn_channel_stat stat;
    uint64_t behind = 0;
    if (tarn_channel_stat(w->seg, c->name, &stat) < 0 || stat.sent < c->now.sent) /* it was unbound */
        return;
    c->now = stat;
    if (tarn_channel_sizes(w->seg, c->name, &c->sizes) == 0) {
        c->sized += c->sizes.messages;
        c->bytes += c->sizes.bytes;
    }
    if (!strcmp(stat.kind, "topic"))
        (void)tarn_channel_parties(w->seg, c->name, most_behind, &behind);
    else
        behind = stat.waiting;
    c->looks++;
    c->sights += behind;
    c->behind = behind;
}

/* When the next look is to be: at a random time, one millisecond from now on the average. */
static uint64_t next_look(uint64_t took)
{
    uint64_t mean = took * LOOKS_SHARE > LOOK_NS ? took * LOOKS_SHARE : LOOK_NS;
    return now_ns() + mean / 2 + mean * (uint64_t)(rand() & 0x3ff) / 0x400;
}

static void pass(struct watch *w, uint64_t until)
{
    for (uint64_t now, next = 0; !stopped && (now = now_ns()) < until;) {
        bool any = false;
        for (int i = 0; i < w->count; i++)
            if (w->channel[i]->topic)
                any |= drain(w->channel[i]);
        if (now >= next) {
            for (int i = 0; i < w->count; i++)
                look(w, w->channel[i]);
            next = next_look(now_ns() - now);
        }
        if (!any)
            sleep_until(next < until ? next : until);
    }
    for (int i = 0; i < w->count; i++)
        look(w, w->channel[i]);
}

/* ---- what is told ---- */

struct told {
    double seconds, rate, waiting; /* waiting: on the average */
    uint64_t sent, received;
    double wait;  /* ns from send to receive; below 0: it cannot be told */
    bool at_most; /* `wait` is one that would have been seen once */
};

static uint64_t difference(uint64_t now, uint64_t was)
{
    return now > was ? now - was : 0; /* of a topic those who left have taken their counts with them */
}

static void work_out(const struct channel *c, double seconds, struct told *t)
{
    uint64_t left;
    *t = (struct told){.seconds = seconds,
                       .sent = difference(c->now.sent, c->was.sent),
                       .received = difference(c->now.received, c->was.received),
                       .waiting = c->looks ? (double)c->sights / (double)c->looks : 0,
                       .at_most = !c->sights,
                       .wait = -1};
    t->rate = (double)t->sent / seconds;
    left = strcmp(c->now.kind, "topic") ? t->received : c->now.receivers ? t->sent : 0;
    if (left && c->looks)
        t->wait = (t->at_most ? 1.0 / (double)c->looks : t->waiting) * seconds * 1e9 / (double)left;
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
    printf("%-24s %-5s %7s %11s %9s %10s %9s %9s %8s %7s %6s %6s\n", "CHANNEL", "KIND", "PARTIES",
           "MESSAGES/S", "BYTES", "WAIT US", "P50 US", "P99 US", "BEHIND", "LOST", "AGAIN", "DEATHS");
}

/* So many columns of a name, which is not let loose on the terminal. */
static void print_name(const char *name, int columns)
{
    mbstate_t state = {0};
    const char *end = name + strlen(name);
    while (name < end && columns > 0) {
        wchar_t c;
        size_t n = mbrtowc(&c, name, (size_t)(end - name), &state);
        bool good = n < (size_t)-2 && iswprint((wint_t)c) && wcwidth(c) > 0;
        if (good && wcwidth(c) > columns)
            break;
        if (good)
            fwrite(name, 1, n, stdout);
        else
            putchar('?');
        if (n >= (size_t)-2) {
            memset(&state, 0, sizeof state);
            n = 1;
        }
        columns -= good ? wcwidth(c) : 1;
        name += n;
    }
    printf("%*s", columns, "");
}

static void print_us(const char *before, bool told, double ns, int columns)
{
    char text[32] = "-";
    if (told)
        snprintf(text, sizeof text, "%s%.1f", before, ns / 1e3);
    printf(" %*s", columns, text);
}

static void print_row(const struct channel *c, const struct told *t)
{
    print_name(c->name, 24);
    printf(" %-5s %3u:%-3u %11.1f ", c->now.kind, c->now.senders, c->now.receivers, t->rate);
    if (c->sized)
        printf("%9.0f", (double)c->bytes / (double)c->sized);
    else
        printf("%9s", "-");
    print_us(t->at_most ? "<" : "~", t->wait >= 0, t->wait, 10);
    print_us("", c->delays, (double)quantile(c, 0.5), 9);
    print_us("", c->delays, (double)quantile(c, 0.99), 9);
    printf(" %8" PRIu64 " %7" PRIu64 " %6" PRIu64 " %6u\n", c->behind, c->now.lost, c->now.again, c->now.deaths);
}

static void print_object(const struct channel *c, const struct told *t)
{
    putchar('{');
    json_message("channel", c->name, strlen(c->name));
    printf(", \"kind\": \"%s\", \"capacity\": %u, \"largest\": %u, \"senders\": %u, \"receivers\": %u",
           c->now.kind, c->now.capacity, c->now.message, c->now.senders, c->now.receivers);
    printf(", \"seconds\": %.6f, \"rate\": %.1f, \"total\": %" PRIu64 ", \"sent\": %" PRIu64
           ", \"received\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"bytes\": %" PRIu64,
           t->seconds, t->rate, c->now.sent, t->sent, t->received, c->sized, c->bytes);
    printf(", \"waiting\": %" PRIu64 ", \"behind\": %" PRIu64 ", \"looks\": %" PRIu64
           ", \"behind_mean\": %.3f",
           c->now.waiting, c->behind, c->looks, t->waiting);
    if (t->wait >= 0)
        printf(", \"%s\": %.0f", t->at_most ? "wait_below_ns" : "wait_ns", t->wait);
    if (c->delays)
        printf(", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64, quantile(c, 0.5), quantile(c, 0.99));
    printf(", \"missed\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"again\": %" PRIu64 ", \"deaths\": %u}\n",
           c->missed, c->now.lost, c->now.again, c->now.deaths);
}

static void tell(struct channel *c, double seconds, bool json)
{
    struct told t;
    work_out(c, seconds, &t);
    qsort(c->delay, c->delays < SAMPLES ? c->delays : SAMPLES, sizeof *c->delay, by_size);
    json ? print_object(c, &t) : print_row(c, &t);
    c->was = c->now;
    c->sized = c->bytes = c->looks = c->sights = c->missed = c->delays = 0;
}

static int watch(struct watch *w, uint64_t interval, uint64_t count, bool json)
{
    int status = DONE;
    for (uint64_t turn = 0; (!count || turn < count) && !stopped; turn++) {
        uint64_t from = now_ns();
        double seconds;
        if ((status = look_at_names(w)) != DONE)
            break;
        pass(w, from + interval * 1000000);
        seconds = (double)(now_ns() - from) / 1e9;
        if (stopped && seconds < 0.05)
            break;
        if (!json && turn % HEADER_EVERY == 0)
            print_header();
        for (int i = 0; i < w->count; i++)
            tell(w->channel[i], seconds, json);
        if (fflush(stdout))
            break;
    }
    if (w->too_many)
        complain(w->command->name,
                 "there are more than %d channels, of which some were not looked at: name one", CHANNELS_MOST);
    while (w->count)
        forget(w, 0);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    uint64_t interval = 1000, count = 0;
    struct watch w = {.command = c};
    bool json = false;
    int option, status = DONE;
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
    w.url = argv[optind];
    stop_by_signals();
    stop_with_reader();
    if (!attach(c, w.url, &w.seg, &status))
        return status;
    status = watch(&w, interval, count, json);
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
            "WAIT US: the mean time from send to receive, worked out of how many wait and how many come; < : "
            "fewer than can be seen. P50 US, P99 US: of topics, as this\n"
            "command has their messages, which looks once in a millisecond. BEHIND: messages that wait; of a "
            "topic, for the last of its subscribers.\n"
            "LOST, AGAIN, DEATHS: since it was made.\n",
    .run = run,
};

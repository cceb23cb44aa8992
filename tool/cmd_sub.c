/* cmd_sub.c - tarn sub: messages of a topic to stdout. The segment is attached read-only: whoever publishes does not notice. With --take also
 * those of a ring or a queue, as its receiver. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "message.h"

enum { COUNT = 256, TIMEOUT, HISTORY, LATEST, TAKE };

static const struct option names[] = {
    {"count", required_argument, NULL, COUNT}, {"timeout", required_argument, NULL, TIMEOUT},
    {"history", no_argument, NULL, HISTORY},   {"latest", no_argument, NULL, LATEST},
    {"take", no_argument, NULL, TAKE},         {"json", no_argument, NULL, 'J'},
    {"raw", no_argument, NULL, 'r'},           {"prefixed", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},          {0}};

struct wanted {
    uint64_t count, timeout; /* 0: no end; ms */
    bool history, latest, take;
    enum form form;
};

static int take(const struct command *c, int option, const char *value, struct wanted *w)
{
    switch (option) {
    case HISTORY: w->history = true; return DONE;
    case LATEST: w->latest = true; return DONE;
    case TAKE: w->take = true; return DONE;
    case 'J': w->form = JSON_LINES; return DONE;
    case 'r': w->form = RAW; return DONE;
    case 'p': w->form = PREFIXED; return DONE;
    case COUNT: return take_count(c, "--count", value, "messages", UINT64_MAX, &w->count);
    default: return take_ms(c, "--timeout", value, 1, DAY_MS, &w->timeout);
    }
}

static int latest(const struct command *c, struct port *p, const struct wanted *w)
{
    struct tarn_topic_news news;
    int e = tarn_topic_latest(p->topic, p->buffer, p->stat.message, &news);
    if (e < 0)
        return failed(c, e) == REFUSED && e == -EAGAIN ? REFUSED : WRONG;
    write_message(w->form, &(struct message){p->buffer, news.size, -1, &news});
    return DONE;
}

static int subscribe(const struct command *c, struct port *p, const struct wanted *w)
{
    uint64_t lost = 0;
    int status = DONE, e;
    for (uint64_t n = 0; status == DONE && (!w->count || n < w->count); n++) {
        struct message m;
        e = port_receive(p, deadline(w->timeout), &m);
        if (e == -EINTR)
            break;
        if (e == -ETIMEDOUT) {
            complain(c->name, "no message came to \"%s\" within %" PRIu64 " ms", p->name, w->timeout);
            status = WRONG;
        } else if (e < 0)
            status = port_failed(p, e);
        else {
            write_message(w->form, &m);
            lost += p->news.lost;
            if (fflush(stdout)) /* whoever reads us has gone */
                break;
            if ((e = port_done(p)) < 0)
                status = failed(c, e);
        }
    }
    if (lost)
        complain(c->name,
                 "%" PRIu64 " messages were lost: this command was slower than the topic's history is long", lost);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct wanted w = {0};
    int option, status = DONE;
    static struct port p; /* with a message in hand it cannot be closed: that goes to another when we have ended */
    while ((option = next_option(c, argc, argv, ":hJrp", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &w)) != DONE)
            return status;
    if (w.latest && (w.history || w.count || w.timeout))
        return misused(c,
                       "--latest prints one message, now: without --history, --count and --timeout, please");
    if (w.take && (w.latest || w.history))
        return misused(c, "--take is for rings and queues, which keep no history");
    if ((status = url_and_name(c, argc, argv, 0, NULL)) != DONE)
        return status;
    stop_by_signals();
    stop_with_reader();
    if (!port_open(c, argv[optind], argv[optind + 1], TARN_RECEIVE | (w.history ? TARN_TOPIC_HISTORY : 0),
                   w.take, NULL, &p, &status))
        return status;
    status = w.latest ? latest(c, &p, &w) : subscribe(c, &p, &w);
    port_close(&p);
    return status;
}

const struct command cmd_sub = {
    .name = "sub",
    .arguments = "[OPTION...] URL NAME",
    .summary = "print the messages of a topic as they come",
    .help =
        "  --count N           end after so many\n"
        "  --timeout MS        end, with status 1, if none comes for so long\n"
        "  --history           begin with the oldest message that is kept\n"
        "  --latest            print the message sent last, and end\n"
        "  --take              from a ring or a message queue: what is printed, its receivers do not get\n"
        "  -J, --json          one object a line, with sequence number, time and messages lost\n"
        "  -r, --raw           nothing but the messages' bytes\n"
        "  -p, --prefixed      4 bytes of size, least significant first, stand before each message\n",
    .run = run,
};

/* cmd_pub.c - tarn pub: messages from stdin into a topic. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "message.h"

enum { CREATE = 256, MESSAGE, CAPACITY, PARTIES, EVERY };

static const struct option names[] = {{"create", no_argument, NULL, CREATE},
                                      {"message", required_argument, NULL, MESSAGE},
                                      {"capacity", required_argument, NULL, CAPACITY},
                                      {"parties", required_argument, NULL, PARTIES},
                                      {"every", required_argument, NULL, EVERY},
                                      {"json", no_argument, NULL, 'J'},
                                      {"raw", no_argument, NULL, 'r'},
                                      {"prefixed", no_argument, NULL, 'p'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

struct wanted {
    struct tarn_channel_options options;
    bool create, shaped;
    enum form form;
    uint64_t every; /* ms */
};

static int take(const struct command *c, int option, const char *value, struct wanted *w)
{
    uint64_t n;
    switch (option) {
    case CREATE: w->create = true; return DONE;
    case 'J': w->form = JSON_LINES; return DONE;
    case 'r': w->form = RAW; return DONE;
    case 'p': w->form = PREFIXED; return DONE;
    case EVERY: return take_ms(c, "--every", value, 0, HOUR_MS, &w->every);
    case MESSAGE:
        if (take_size(c, "--message", value, 1, 1 << 30, &n) != DONE)
            return USAGE;
        w->options.message = (uint32_t)n;
        break;
    case CAPACITY:
        if (take_count(c, "--capacity", value, "messages", 1 << 30, &n) != DONE)
            return USAGE;
        w->options.capacity = (uint32_t)n;
        break;
    default:
        if (take_count(c, "--parties", value, "publishers and subscribers", 4096, &n) != DONE)
            return USAGE;
        w->options.parties = (uint32_t)n;
    }
    w->shaped = true;
    return DONE;
}

static int not_sent(const struct source *s, const struct port *p, int e)
{
    if (e == -EINVAL && s->form == JSON_LINES) /* a priority that the queue has not */
        return source_refused(s, "%s", tarn_error()) - 1;
    return e == -EINTR ? DONE : port_failed(p, e);
}

static int publish(struct source *s, struct port *p, uint64_t every)
{
    struct message m;
    int got = 0, e;
    while (!stopped && (got = read_message(s, &m)) == 1) {
        if ((e = port_send(p, &m)) < 0)
            return not_sent(s, p, e);
        if (every)
            sleep_until(deadline(every));
    }
    return stopped || !got ? DONE : got - 1;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct wanted w = {.options = {.size = sizeof w.options, .message = 1024, .capacity = 64}};
    int option, status = DONE;
    struct source s;
    struct port p;
    while ((option = next_option(c, argc, argv, ":hJrp", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &w)) != DONE)
            return status;
    if (w.shaped && !w.create)
        return misused(c, "--message, --capacity and --parties are for a topic that is made: with --create");
    if ((status = url_and_name(c, argc, argv, 0, NULL)) != DONE)
        return status;
    stop_by_signals();
    if (!port_open(c, argv[optind], argv[optind + 1], TARN_SEND, false, w.create ? &w.options : NULL, &p, &status))
        return status;
    s = (struct source){.command = c, .form = w.form, .priorities = p.mq, .most = p.stat.message};
    status = publish(&s, &p, w.every);
    source_close(&s);
    port_close(&p);
    return status;
}

const struct command cmd_pub = {
    .name = "pub",
    .arguments = "[OPTION...] URL NAME",
    .summary = "send each line of the input as a message to a topic, ring or queue",
    .help = "  --create            make the segment and the topic, where they are not there, with\n"
            "    --message BYTES   the largest message (default 1K)\n"
            "    --capacity N      messages kept (default 64)\n"
            "    --parties N       publishers and subscribers at one time (default 32)\n"
            "  -J, --json          each line is an object, as tarn sub -J prints it\n"
            "  -r, --raw           the whole input is one message\n"
            "  -p, --prefixed      4 bytes of size, least significant first, stand before each message\n"
            "  --every MS          wait so long after each message\n",
    .run = run,
};

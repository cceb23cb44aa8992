/* cmd_replay.c - tarn replay: a recording into a topic, with the gaps that its messages had; or to stdout, as tarn pub -J takes it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "recording.h"

enum { SPEED = 256, CREATE, LIST };

static const struct option names[] = {{"speed", required_argument, NULL, SPEED},
                                      {"create", no_argument, NULL, CREATE},
                                      {"list", no_argument, NULL, LIST},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static void tell(const struct command *c, const struct recording *r, uint64_t messages, bool last)
{
    uint64_t done, all;
    recording_progress(r, &done, &all);
    fprintf(stderr, "\rtarn %s: %" PRIu64 " messages, %3.0f %% of the file%s", c->name, messages,
            all ? 100.0 * (double)done / (double)all : 100.0, last ? "\n" : "");
}

/* A gap that no recorder has seen has no end. */
static uint64_t later(uint64_t at, double gap)
{
    return at < NEVER / 2 && gap < (double)(NEVER / 2) ? at + (uint64_t)gap : NEVER;
}

static int replay(const struct command *c, struct port *p, struct recording *r, char *bytes, uint32_t most,
                  double speed)
{
    bool terminal = isatty(STDERR_FILENO);
    uint64_t at = now_ns(), told = at, messages = 0;
    struct recorded head;
    int status = DONE, e, got = 1;
    while (!stopped && status == DONE && (got = recording_read(r, &head, bytes, most)) == 1) {
        if (speed > 0) {
            at = later(at, (double)head.gap / speed);
            sleep_until(at);
        }
        if (stopped)
            break;
        e = port_send(p, &(struct message){bytes, head.size, 0, NULL});
        if (e < 0 && e != -EINTR)
            status = port_failed(p, e);
        messages += e == 0;
        if (terminal && now_ns() - told > SECOND_NS / 4) {
            told = now_ns();
            tell(c, r, messages, false);
        }
    }
    if (terminal)
        tell(c, r, messages, true);
    return status == DONE && got < 0 && !stopped ? WRONG : status;
}

static int list(struct recording *r, char *bytes, uint32_t most)
{
    struct recorded head;
    int got = 1;
    while (!stopped && (got = recording_read(r, &head, bytes, most)) == 1) {
        printf("{\"sequence\": %" PRIu64 ", \"after_ns\": %" PRIu64 ", ", head.sequence, head.gap);
        json_body(bytes, head.size);
        if (ferror(stdout))
            break;
    }
    return got < 0 ? WRONG : DONE;
}

struct wanted {
    double speed;
    bool create, list;
};

static int take(const struct command *c, int option, const char *value, struct wanted *w)
{
    char *end;
    switch (option) {
    case CREATE: w->create = true; return DONE;
    case LIST: w->list = true; return DONE;
    default:
        w->speed = strtod(value, &end);
        return end != value && !*end && w->speed >= 0 && w->speed <= 1e9
                   ? DONE
                   : misused(c, "--speed %s: it is a factor, as 1 or 2.5; 0: without waiting", value);
    }
}

/* The topic is as the recording's was, where it is to be made. */
static int replay_to(const struct command *c, char **argv, const struct wanted *w, struct recording *r,
                     char *bytes, uint32_t most)
{
    struct tarn_channel_options options = {.size = sizeof options, .capacity = 64, .message = most ? most : 1};
    struct port p;
    int status;
    if (!port_open(c, argv[0], argv[1], TARN_SEND, false, w->create ? &options : NULL, &p, &status))
        return status;
    status = replay(c, &p, r, bytes, most, w->speed);
    port_close(&p);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct wanted w = {.speed = 1};
    int option, status = DONE;
    struct recording *r;
    uint32_t most = 0;
    char name[256], *bytes;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &w)) != DONE)
            return status;
    if (w.list && (w.create || w.speed != 1))
        return misused(c, "--list sends nothing: without --create and --speed, please");
    if (w.list && argc - optind != 1)
        return misused(c, "--list wants one argument: the FILE");
    if (!w.list && (status = url_and_name(c, argc, argv, 1, "FILE to replay")) != DONE)
        return status;
    stop_by_signals();
    r = recording_open(c, argv[argc - 1], false, &most, name, &status);
    if (!r)
        return status;
    bytes = malloc((size_t)most + 1);
    if (!bytes) {
        complain(c->name, "no memory for a message of %u bytes", most);
        status = REFUSED;
    } else
        status = w.list ? list(r, bytes, most) : replay_to(c, argv + optind, &w, r, bytes, most);
    recording_close(r);
    free(bytes);
    return status;
}

const struct command cmd_replay = {
    .name = "replay",
    .arguments = "[OPTION...] URL NAME FILE | --list FILE",
    .summary = "send the messages of a recording to a topic, with the gaps that they had",
    .help = "  --speed FACTOR      so much faster; 0: without waiting (default 1)\n"
            "  --create            make the segment and the topic, where they are not there, as the "
            "recording's was\n"
            "  --list              print them instead, as tarn sub -J does, with the ns since the one before "
            "each\n",
    .run = run,
};

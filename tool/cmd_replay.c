/* cmd_replay.c - tarn replay: a recording into a topic, with the gaps that its messages had. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recording.h"

enum { SPEED = 256, CREATE };

static const struct option names[] = {{"speed", required_argument, NULL, SPEED},
                                      {"create", no_argument, NULL, CREATE},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static void tell(const struct command *c, const struct recording *r, uint64_t messages, bool last)
{
    uint64_t done, all;
    recording_progress(r, &done, &all);
    fprintf(stderr, "\rtarn %s: %" PRIu64 " messages, %3.0f %% of the file%s", c->name, messages,
            all ? 100.0 * (double)done / (double)all : 100.0, last ? "\n" : "");
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
            at += (uint64_t)((double)head.gap / speed);
            sleep_until(at);
        }
        if (stopped)
            break;
        e = port_send(p, bytes, head.size);
        if (e < 0 && e != -EINTR)
            status = failed(c, e);
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

static int run(const struct command *c, int argc, char **argv)
{
    struct tarn_channel_options options = {.size = sizeof options, .capacity = 64};
    double speed = 1;
    bool create = false;
    int option, status = DONE;
    struct recording *r;
    struct port p;
    uint32_t most = 0;
    char name[256], *end, *bytes;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        create |= option == CREATE;
        if (option == SPEED) {
            speed = strtod(optarg, &end);
            if (end == optarg || *end || !(speed >= 0) || speed > 1e9)
                return misused(c, "--speed %s: it is a factor, as 1 or 2.5; 0: without waiting", optarg);
        }
    }
    if ((status = url_and_name(c, argc, argv, 1, "FILE to replay")) != DONE)
        return status;
    stop_by_signals();
    r = recording_open(c, argv[optind + 2], false, &most, name);
    if (!r)
        return WRONG;
    options.message = most ? most : 1;
    bytes = malloc((size_t)most + 1);
    if (!bytes) {
        complain(c->name, "no memory for a message of %u bytes", most);
        recording_close(r);
        return REFUSED;
    }
    if (port_open(c, argv[optind], argv[optind + 1], TARN_SEND, false, create ? &options : NULL, &p, &status)) {
        status = replay(c, &p, r, bytes, most, speed);
        port_close(&p);
    }
    recording_close(r);
    free(bytes);
    return status;
}

const struct command cmd_replay = {
    .name = "replay",
    .arguments = "[OPTION...] URL NAME FILE",
    .summary = "send the messages of a recording to a topic, with the gaps that they had",
    .help = "  --speed FACTOR      so much faster; 0: without waiting (default 1)\n"
            "  --create            make the segment and the topic, where they are not there, as the "
            "recording's was\n",
    .run = run,
};

/* cmd_record.c - tarn record: a topic's messages, with their times, into a file. The segment is attached read-only. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recording.h"

enum { COUNT = 256, TIMEOUT, HISTORY };

static const struct option names[] = {{"count", required_argument, NULL, COUNT},
                                      {"timeout", required_argument, NULL, TIMEOUT},
                                      {"history", no_argument, NULL, HISTORY},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

struct totals {
    uint64_t messages, bytes, lost;
};

static void tell(const struct command *c, const struct totals *t, bool last)
{
    fprintf(stderr, "\rtarn %s: %" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64 " lost%s", c->name,
            t->messages, t->bytes, t->lost, last ? "\n" : "");
}

static int record(const struct command *c, struct port *p, struct recording *r, uint64_t count, uint64_t timeout)
{
    struct totals t = {0};
    uint64_t before = 0, flushed = now_ns();
    bool terminal = isatty(STDERR_FILENO);
    int status = DONE, e;
    while (status == DONE && (!count || t.messages < count)) {
        struct message m;
        struct recorded head;
        bool flush = now_ns() - flushed > SECOND_NS;
        e = port_receive(p, deadline(timeout), &m);
        if (e == -EINTR || e == -ETIMEDOUT)
            break;
        if (e < 0) {
            status = failed(c, e);
            break;
        }
        head = (struct recorded){before && m.news->sent_ns > before ? m.news->sent_ns - before : 0,
                                 m.news->sequence, (uint32_t)m.size};
        before = m.news->sent_ns;
        if (!recording_write(r, &head, m.bytes, flush))
            status = REFUSED;
        t.messages++;
        t.bytes += m.size;
        t.lost += m.news->lost;
        if (flush) {
            flushed = now_ns();
            if (terminal)
                tell(c, &t, false);
        }
    }
    if (terminal)
        tell(c, &t, true);
    if (t.lost)
        complain(c->name, "%" PRIu64 " messages are not in the recording: it was slower than the topic's history is long",
                 t.lost);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    uint64_t count = 0, timeout = 0;
    bool history = false;
    int option, status = DONE;
    struct recording *r;
    struct port p;
    char name[256];
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        history |= option == HISTORY;
        if (option == COUNT)
            status = take_count(c, "--count", optarg, "messages", UINT64_MAX, &count);
        else if (option == TIMEOUT)
            status = take_ms(c, "--timeout", optarg, 1, DAY_MS, &timeout);
        if (status != DONE)
            return status;
    }
    if ((status = url_and_name(c, argc, argv, 1, "FILE to record to")) != DONE)
        return status;
    stop_by_signals();
    if (!port_open(c, argv[optind], argv[optind + 1], TARN_RECEIVE | (history ? TARN_TOPIC_HISTORY : 0),
                   false, NULL, &p, &status))
        return status;
    snprintf(name, sizeof name, "%s", p.name);
    r = recording_open(c, argv[optind + 2], true, &p.stat.message, name);
    status = r ? record(c, &p, r, count, timeout) : REFUSED;
    if (!recording_close(r) && status == DONE)
        status = REFUSED;
    port_close(&p);
    return status;
}

const struct command cmd_record = {
    .name = "record",
    .arguments = "[OPTION...] URL NAME FILE",
    .summary = "write the messages of a topic, with their times, to a file",
    .help = "  --count N           end after so many\n"
            "  --timeout MS        end if none comes for so long\n"
            "  --history           begin with the oldest message that is kept\n"
            "Ends with ctrl-C; the file is good up to the last second also if this command is killed. tarn "
            "replay sends it.\n",
    .run = run,
};

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
    uint64_t before; /* when the last one was sent */
};

static void tell(const struct command *c, const struct totals *t, bool last)
{
    fprintf(stderr, "\rtarn %s: %" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64 " lost%s", c->name,
            t->messages, t->bytes, t->lost, last ? "\n" : "");
}

struct wanted {
    uint64_t count, timeout; /* 0: no end; ms */
    bool history;
};

/* What came is in the file within a second, whether or not more comes. */
static bool flush(const struct command *c, struct recording *r, const struct totals *t)
{
    if (isatty(STDERR_FILENO))
        tell(c, t, false);
    return recording_flush(r);
}

static bool write_one(struct recording *r, const struct message *m, struct totals *t)
{
    const struct tarn_topic_news *news = m->news;
    struct recorded head = {.sequence = news->sequence, .size = (uint32_t)m->size};
    if (t->messages && news->sent_ns > t->before)
        head.gap = news->sent_ns - t->before;
    t->before = news->sent_ns;
    t->messages++;
    t->bytes += m->size;
    t->lost += news->lost;
    return recording_write(r, &head, m->bytes);
}

static int record(struct port *p, struct recording *r, const struct wanted *w)
{
    struct totals t = {0};
    uint64_t end = deadline(w->timeout), flush_at = NEVER;
    int e = 0;
    bool good = true;
    while (good && (!w->count || t.messages < w->count)) {
        struct message m;
        e = port_receive(p, end < flush_at ? end : flush_at, &m);
        if (e == 0) {
            good = write_one(r, &m, &t);
            end = deadline(w->timeout);
            flush_at = flush_at == NEVER ? now_ns() + SECOND_NS : flush_at;
        } else if (e != -ETIMEDOUT || now_ns() >= end)
            break;
        if (good && now_ns() >= flush_at) {
            good = flush(p->command, r, &t);
            flush_at = NEVER;
        }
    }
    if (isatty(STDERR_FILENO))
        tell(p->command, &t, true);
    if (t.lost)
        complain(p->command->name,
                 "%" PRIu64
                 " messages are not in the recording: it was slower than the topic's history is long",
                 t.lost);
    return !good ? REFUSED : e == 0 || e == -EINTR || e == -ETIMEDOUT ? DONE : port_failed(p, e);
}

static int take(const struct command *c, int option, const char *value, struct wanted *w)
{
    switch (option) {
    case HISTORY: w->history = true; return DONE;
    case COUNT: return take_count(c, "--count", value, "messages", UINT64_MAX, &w->count);
    default: return take_ms(c, "--timeout", value, 1, DAY_MS, &w->timeout);
    }
}

static int run(const struct command *c, int argc, char **argv)
{
    struct wanted w = {0};
    int option, status = DONE;
    struct recording *r;
    struct port p;
    char name[256];
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &w)) != DONE)
            return status;
    if ((status = url_and_name(c, argc, argv, 1, "FILE to record to")) != DONE)
        return status;
    stop_by_signals();
    if (!port_open(c, argv[optind], argv[optind + 1], TARN_RECEIVE | (w.history ? TARN_TOPIC_HISTORY : 0),
                   false, NULL, &p, &status))
        return status;
    snprintf(name, sizeof name, "%s", p.name);
    r = recording_open(c, argv[optind + 2], true, &p.stat.message, name, &status);
    if (r)
        status = record(&p, r, &w);
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

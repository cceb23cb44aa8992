/* port.c - a channel of any kind that carries messages one way, as one thing to send to, or to receive from.
 *
 * Who only receives from a topic attaches read-only: it needs no right to write, takes no seat, and can hold up nobody. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "message.h"

volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = number;
}

void stop_by_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal}, was;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    if (sigaction(SIGHUP, NULL, &was) == 0 && was.sa_handler != SIG_IGN) /* nohup */
        sigaction(SIGHUP, &a, NULL);
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct timespec after_ms(uint64_t ms)
{
    uint64_t at = now_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
}

/* Waiting is in pieces of this, so that a signal is noticed. */
enum { PIECE_MS = 100 };

static bool passed(const struct timespec *until)
{
    return until && now_ns() >= (uint64_t)until->tv_sec * 1000000000 + (uint64_t)until->tv_nsec;
}

int url_and_name(const struct command *c, int argc, char **argv, int more, const char *what_more)
{
    if (argc - optind == 2 + more)
        return DONE;
    if (argc - optind > 2 + more)
        return misused(c, "\"%s\" is one argument too many", argv[optind + 2 + more]);
    if (argc == optind)
        return misused(c, "no URL: say which segment, as posix:/name");
    if (argc - optind == 1)
        return misused(c, "no NAME: say which channel of %s; tarn info tells its names", argv[optind]);
    return misused(c, "no %s", what_more);
}

static int open_channel(struct port *p, unsigned flags, const struct tarn_channel_options *create)
{
    const char *kind = p->stat.kind;
    if (!strcmp(kind, "ring"))
        return tarn_ring_open(p->seg, p->name, flags & ~TARN_CREATE, NULL, &p->ring);
    if (!strcmp(kind, "mq"))
        return tarn_mq_open(p->seg, p->name, flags & ~TARN_CREATE, NULL, &p->mq);
    return tarn_topic_open(p->seg, p->name, flags, create, &p->topic);
}

static bool right_kind(const struct command *c, const struct port *p, unsigned role, bool take)
{
    if (!strcmp(p->stat.kind, "topic"))
        return !take ||
               (complain(c->name, "\"%s\" is a topic: nothing is taken away from it; without --take, please",
                         p->name),
                false);
    if (strcmp(p->stat.kind, "ring") && strcmp(p->stat.kind, "mq")) {
        complain(c->name, "\"%s\" is a %s channel: tarn call asks its servers", p->name, p->stat.kind);
        return false;
    }
    if (role == TARN_SEND || take)
        return true;
    complain(c->name, "\"%s\" is a %s: what this command would print, its receivers would never get; only tarn sub --take does that",
             p->name, strcmp(p->stat.kind, "ring") ? "message queue" : "ring");
    return false;
}

static bool opened(const struct command *c, struct port *p, unsigned role, bool take,
                   const struct tarn_channel_options *create, int *ret_status)
{
    int e = tarn_channel_stat(p->seg, p->name, &p->stat);
    if (e == -ENOENT && create)
        strcpy(p->stat.kind, "topic");
    else if (e < 0) {
        *ret_status = failed(c, e);
        return false;
    }
    if (!right_kind(c, p, role & (TARN_SEND | TARN_RECEIVE), take)) {
        *ret_status = WRONG;
        return false;
    }
    if ((e = open_channel(p, (create ? TARN_CREATE : 0) | role, create)) < 0 ||
        (e = tarn_channel_stat(p->seg, p->name, &p->stat)) < 0) {
        *ret_status = failed(c, e);
        return false;
    }
    p->buffer = malloc((size_t)p->stat.message + 1);
    if (!p->buffer) {
        complain(c->name, "no memory for a message of %u bytes", p->stat.message);
        *ret_status = REFUSED;
    }
    return p->buffer != NULL;
}

bool port_open(const struct command *c, const char *url, const char *name, unsigned role, bool take,
               const struct tarn_channel_options *create, struct port *p, int *ret_status)
{
    int e;
    memset(p, 0, sizeof *p);
    p->name = name;
    p->readonly = role & TARN_RECEIVE && !take;
    if (p->readonly) {
        if (!attach(c, url, &p->seg, ret_status))
            return false;
    } else if ((e = tarn_open(url, create ? TARN_CREATE : 0, NULL, &p->seg)) < 0) {
        *ret_status = failed(c, e);
        return false;
    }
    if (opened(c, p, role, take, create, ret_status))
        return true;
    port_close(p);
    return false;
}

void port_close(struct port *p)
{
    tarn_topic_close(p->topic);
    tarn_ring_close(p->ring);
    tarn_mq_close(p->mq);
    free(p->buffer);
    tarn_close(p->seg);
}

int port_send(struct port *p, const char *bytes, size_t size)
{
    int e = -ETIMEDOUT;
    while (e == -ETIMEDOUT && !stopped) {
        struct timespec soon = after_ms(PIECE_MS);
        e = p->ring ? tarn_ring_send_timed(p->ring, bytes, size, &soon)
            : p->mq ? tarn_mq_send_timed(p->mq, 0, bytes, size, &soon)
                    : tarn_topic_send_timed(p->topic, bytes, size, &soon);
    }
    return e == -ETIMEDOUT ? -EINTR : e;
}

int port_receive(struct port *p, const struct timespec *until, size_t *ret_size, struct tarn_topic_news *ret_news)
{
    int e = -ETIMEDOUT;
    while (e == -ETIMEDOUT && !stopped) {
        struct timespec soon = after_ms(PIECE_MS);
        if (passed(until))
            return -ETIMEDOUT;
        memset(ret_news, 0, sizeof *ret_news);
        e = p->ring ? tarn_ring_receive_timed(p->ring, p->buffer, p->stat.message, &ret_news->size, &soon)
            : p->mq ? tarn_mq_receive_timed(p->mq, p->buffer, p->stat.message, &ret_news->size, &soon)
                    : tarn_topic_receive_timed(p->topic, p->buffer, p->stat.message, ret_news, &soon);
    }
    if (e >= 0)
        *ret_size = ret_news->size;
    return e == -ETIMEDOUT ? -EINTR : e < 0 ? e : 0;
}

/* port.c - a channel of any kind that carries messages one way, as one thing to send to, or to receive from.
 *
 * Who only receives from a topic attaches read-only: it needs no right to write, takes no seat, and can hold up nobody. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

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

int no_channel(const struct command *c, const char *url, const char *name)
{
    complain(c->name, "there is no channel \"%s\" in %s: tarn info tells its names%s", name, url,
             c == &cmd_pub || c == &cmd_replay ? ", and --create would make a topic" : "");
    return WRONG;
}

static int not_opened(const struct port *p, int e, const struct tarn_channel_options *create)
{
    if (e == -ENOENT)
        return no_channel(p->command, p->url, p->name);
    if (!create || (e != -EINVAL && e != -E2BIG && e != -ENOSPC && e != -ENOMEM))
        return failed(p->command, e);
    complain(p->command->name, "%s; the topic was to be for %u messages of up to %u bytes", tarn_error(),
             create->capacity, create->message);
    return status_of(e);
}

static int same_name(const struct tarn_name *n, void *arg)
{
    struct port *p = arg;
    if (strcmp(n->name, p->name))
        return 0;
    p->ref = n->ref;
    return 1;
}

static bool opened(const struct command *c, struct port *p, unsigned role, bool take,
                   const struct tarn_channel_options *create, int *ret_status)
{
    int e = tarn_channel_stat(p->seg, p->name, &p->stat);
    if (e == -ENOENT && create)
        strcpy(p->stat.kind, "topic");
    else if (e < 0) {
        *ret_status = not_opened(p, e, NULL);
        return false;
    }
    if (!right_kind(c, p, role & (TARN_SEND | TARN_RECEIVE), take)) {
        *ret_status = WRONG;
        return false;
    }
    if ((e = open_channel(p, (create ? TARN_CREATE : 0) | role, create)) < 0 ||
        (e = tarn_channel_stat(p->seg, p->name, &p->stat)) < 0 || (e = tarn_names(p->seg, same_name, p)) < 0) {
        *ret_status = not_opened(p, e, create);
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
    *p = (struct port){.command = c, .url = url, .name = name, .readonly = role & TARN_RECEIVE && !take};
    if (!(p->readonly ? attach(c, url, &p->seg, ret_status)
                      : attach_as(c, url, create ? TARN_CREATE : 0, &p->seg, ret_status)))
        return false;
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

/* Nothing moves: is it for a reason that will not pass by itself? Each is said once. 0, or -ESTALE. */
static int look_around(struct port *p, bool sends)
{
    struct tarn_channel_stat stat;
    struct port now = {.name = p->name};
    if (!p->told_removed && tarn_current(p->seg) == -ESTALE) {
        p->told_removed = true;
        complain(p->command->name, "%s was removed meanwhile: who has it keeps it, but one that is made anew is another: then start again",
                 p->url);
    }
    if (p->readonly && tarn_names(p->seg, same_name, &now) >= 0 &&
        now.ref != p->ref) { /* who has a seat keeps it from being unbound */
        complain(p->command->name, "\"%s\" was removed from %s, or made anew", p->name, p->url);
        return -ESTALE;
    }
    if (sends && !p->told_alone && tarn_channel_stat(p->seg, p->name, &stat) == 0 && !stat.receivers) {
        p->told_alone = true;
        complain(p->command->name, "\"%s\" is full, and nobody receives from it: waiting", p->name);
    }
    return 0;
}

/* One piece of waiting is over. */
static int after_piece(struct port *p, bool sends, int e)
{
    return e == -ETIMEDOUT && look_around(p, sends) < 0 ? -ESTALE : e;
}

int port_failed(const struct port *p, int error)
{
    return error == -ESTALE ? WRONG : failed(p->command, error);
}

int port_send(struct port *p, const struct message *m)
{
    int e = -ETIMEDOUT;
    while (goes_on(NEVER, &e)) {
        struct timespec soon = next_piece(NEVER);
        e = p->ring ? tarn_ring_send_timed(p->ring, m->bytes, m->size, &soon)
            : p->mq ? tarn_mq_send_timed(p->mq, (unsigned)m->priority, m->bytes, m->size, &soon)
                    : tarn_topic_send_timed(p->topic, m->bytes, m->size, &soon);
        e = after_piece(p, true, e);
    }
    return e;
}

/* A message queue's, where it lies. */
static int take_from_queue(struct port *p, struct message *ret, const struct timespec *until)
{
    unsigned priority;
    void *at;
    int e = tarn_mq_take_timed(p->mq, &at, &ret->size, until);
    if (e < 0)
        return e;
    p->hand = ret->bytes = at;
    e = tarn_mq_priority(p->mq, at, &priority);
    ret->priority = (int)priority;
    return e;
}

static int take_from_ring(struct port *p, struct message *ret, const struct timespec *until)
{
    const void *at;
    int e = tarn_ring_take_timed(p->ring, &at, &ret->size, until);
    if (e == 0)
        p->hand = ret->bytes = at;
    return e;
}

static int receive_from_topic(struct port *p, struct message *ret, const struct timespec *until)
{
    int e = tarn_topic_receive_timed(p->topic, p->buffer, p->stat.message, &p->news, until);
    ret->bytes = p->buffer;
    ret->size = p->news.size;
    ret->news = &p->news;
    return e;
}

int port_receive(struct port *p, uint64_t until, struct message *ret)
{
    int e = -ETIMEDOUT;
    while (goes_on(until, &e)) {
        struct timespec soon = next_piece(until);
        *ret = (struct message){.priority = -1};
        memset(&p->news, 0, sizeof p->news);
        e = p->ring ? take_from_ring(p, ret, &soon)
            : p->mq ? take_from_queue(p, ret, &soon)
                    : receive_from_topic(p, ret, &soon);
        e = after_piece(p, false, e);
    }
    return e;
}

int port_done(struct port *p)
{
    const void *at = p->hand;
    p->hand = NULL;
    return !at ? 0 : p->ring ? tarn_ring_release(p->ring) : tarn_mq_release(p->mq, at);
}

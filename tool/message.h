/* message.h - what pub, sub, call, hz, record and replay share: channels as ports, and messages as lines, raw bytes, length-prefixed, or JSON.
 *
 * A port is whatever kind of channel the name is: a topic, a ring, a message queue. */
#ifndef TARN_TOOL_MESSAGE_H
#define TARN_TOOL_MESSAGE_H

#include <tarn/channel.h>

#include "tool.h"
#include "wait.h"

/* ---- message.c, json.c: how messages are written ---- */
enum form { LINES, RAW, PREFIXED, JSON_LINES };

struct message {
    const char *bytes;
    size_t size;
    int priority;                       /* of a message queue's; -1: of another channel's */
    const struct tarn_topic_news *news; /* of a topic's that was received; NULL: nothing more is known of it */
};

/* What stdin is read as. */
struct source {
    const struct command *command;
    enum form form;
    bool priorities; /* the channel has such */
    uint32_t most;   /* bytes of a message */
    uint64_t number; /* of the message read last, from 1 on; of lines and JSON its line's */
    char *room;      /* its bytes, and what they were made of */
    size_t room_size;
};

/* The next message of stdin: its bytes live until the next call. 1; 0: the end; or a status + 1, after a complaint. */
int read_message(struct source *s, struct message *ret);
void source_close(struct source *s);
/* Complain of the line that was read; WRONG + 1. */
int source_refused(const struct source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One to stdout. */
void write_message(enum form form, const struct message *m);

/* What message.c does for JSON_LINES; s->room has the line. */
int json_read(struct source *s, size_t length, struct message *ret);
void json_write(const struct message *m);
/* The rest of a message's object, whose first members are printed: size, and text or base64. */
void json_body(const char *bytes, size_t size);

/* ---- port.c ---- */

struct port {
    const struct command *command;
    tarn *seg;
    const char *url, *name;
    uint64_t ref; /* of the channel */
    bool told_removed, told_alone;
    struct tarn_channel_stat stat;
    bool readonly;
    tarn_topic *topic; /* one of these */
    tarn_ring *ring;
    tarn_mq *mq;
    char *buffer;                /* of stat.message bytes */
    struct tarn_topic_news news; /* of the message received last */
    const void *hand; /* a ring's or a queue's message that was received, and is not taken away yet */
};

/* Attach, and open the channel of this name: to send (create: a topic is made, with these options, if it is not there), or to receive: from a topic; with `take`
 * also from a ring or a queue, where who receives takes away. true; else *ret_status, after a complaint. */
bool port_open(const struct command *c, const char *url, const char *name, unsigned role, bool take,
               const struct tarn_channel_options *create, struct port *ret, int *ret_status);
void port_close(struct port *p);
/* Send, or receive, until it is done, or `stopped`, or until the deadline: 0; -EINTR; -ETIMEDOUT; -ESTALE, said: the
 * channel is no more; or the library's error. What is received lives until the next
 * call, or until port_done: then it is taken away from a ring or a queue. Who ends before that has not had it, and another will. */
int port_send(struct port *p, const struct message *m);
int port_receive(struct port *p, uint64_t until, struct message *ret);
int port_done(struct port *p);

/* The status that such an error means, said. */
int port_failed(const struct port *p, int error);

/* "there is no channel NAME in URL", and what to do; WRONG. */
int no_channel(const struct command *c, const char *url, const char *name);
/* URL and NAME, and `more` further arguments, or USAGE after a complaint. */
int url_and_name(const struct command *c, int argc, char **argv, int more, const char *what_more);

#endif

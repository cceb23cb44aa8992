/* message.h - what pub, sub, call, hz, record and replay share: channels as ports, and messages as lines, raw bytes, length-prefixed, or JSON.
 *
 * A port is whatever kind of channel the name is: a topic, a ring, a message queue. */
#ifndef TARN_TOOL_MESSAGE_H
#define TARN_TOOL_MESSAGE_H

#include <tarn/channel.h>

#include "tool.h"

/* ---- message.c: how messages are written ---- */
enum form { LINES, RAW, PREFIXED, JSON_LINES };

/* The next message of stdin: its bytes, which live until the next call. 1; 0: the end; or a status, after a complaint. */
int read_message(const struct command *c, enum form form, uint32_t most, const char **ret, size_t *ret_size);
/* One to stdout. news: NULL: nothing is known about it. */
void write_message(enum form form, const char *bytes, size_t size, const struct tarn_topic_news *news);

/* ---- port.c ---- */

struct port {
    tarn *seg;
    const char *name;
    struct tarn_channel_stat stat;
    bool readonly;
    tarn_topic *topic; /* one of these */
    tarn_ring *ring;
    tarn_mq *mq;
    char *buffer; /* of stat.message bytes */
};

/* Attach, and open the channel of this name: to send (create: a topic is made, with these options, if it is not there), or to receive: from a topic; with `take`
 * also from a ring or a queue, where who receives takes away. true; else *ret_status, after a complaint. */
bool port_open(const struct command *c, const char *url, const char *name, unsigned role, bool take,
               const struct tarn_channel_options *create, struct port *ret, int *ret_status);
void port_close(struct port *p);
/* Send, or receive into p->buffer (of what is no topic, news has the size alone), until it is done, or `stopped`, or until (NULL: for ever): 0; -EINTR; -ETIMEDOUT; or the library's error. */
int port_send(struct port *p, const char *bytes, size_t size);
int port_receive(struct port *p, const struct timespec *until, size_t *ret_size, struct tarn_topic_news *ret_news);

/* URL and NAME, and `more` further arguments, or USAGE after a complaint. */
int url_and_name(const struct command *c, int argc, char **argv, int more, const char *what_more);

#endif

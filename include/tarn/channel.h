/* tarn/channel.h - messages between processes through a segment: ring, message queue, topic, call. Include it besides tarn.h.
 *
 * A channel is a named object, of fixed capacity, made by whoever comes first. Who uses it takes a *seat* in it, as a sender or a receiver, by opening
 * it: from then on the handle is the opening *thread's*, for it is a thread that is a participant, and that can die. All that a party has in hand
 * (a loan, a message received and not released) is seen by the others, and given back when it dies, without its doing anything.
 * - `_try` never waits: -EAGAIN. `_timed` waits until an absolute time of CLOCK_MONOTONIC: -ETIMEDOUT, at once if that is past. The plain call waits
 *   for as long as it takes; it spins for some microseconds first. All of them are -EPERM in an open section, for nobody sees what that does before its end.
 * - A message sent is there until it is received, whoever is killed. A message in the sender's hand when he is killed was never sent. What happens to one in
 *   a killed receiver's hand is said at each kind.
 * - A read-only attachment can look (parties, statistics, and topics), and nothing else: -EROFS.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TARN_CHANNEL_H
#define TARN_CHANNEL_H

#include <tarn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what all have in common ------------------------------------------------------------------------------------------ */

/* flags of the open calls, besides TARN_CREATE: as what. One, both where the kind allows it, or none: to look only. */
#define TARN_SEND 0x1000u    /* producer, publisher, client */
#define TARN_RECEIVE 0x2000u /* consumer, subscriber, server */

/* How a channel is to be, for who makes it; who finds it made takes it as it is. Zeros are defaults. */
struct tarn_channel_options {
    size_t size;       /* of this struct */
    uint32_t capacity; /* messages (byte ring: bytes), rounded up to a power of two; 0: 1,024. At most 2^30 */
    uint32_t message;  /* bytes of a message at most; 0: 64. At most 2^30 */
    uint32_t parties;  /* seats; 0: 32. At most 4,096 */
    uint32_t flags;    /* of the kind */
    uint32_t number;   /* of the kind: priorities of a message queue, ... */
    uint32_t reserved[3];
};

/* tarn_channel_parties - call back for each party of the channel of this name, of any kind, also from a read-only attachment: a snapshot, without a lock.
 * The callback's result other than 0 ends the walk and is returned. -ENOENT, -EPROTO: the name is no channel. */
struct tarn_party {
    uint32_t participant; /* see tarn_participants */
    uint32_t role;        /* TARN_SEND, TARN_RECEIVE */
    uint32_t pid;         /* in its own PID namespace */
    uint32_t tid;
    int alive;         /* 0: it died, and its seat was not cleared yet */
    uint64_t since;    /* ns of CLOCK_REALTIME */
    uint64_t messages; /* sent and received */
    uint64_t lost;     /* missed */
    uint64_t behind;   /* messages that are there for it, and not yet received; of a sender 0 */
};
TARN_API int tarn_channel_parties(tarn *seg, const char *name,
                                  int (*each)(const struct tarn_party *p, void *arg), void *arg);

/* tarn_channel_stat - the channel of this name: what it is, and how it is. As tarn_channel_parties. */
struct tarn_channel_stat {
    char kind[16]; /* "ring", "mq", "topic", "call" */
    uint32_t capacity, message, parties;
    uint32_t senders, receivers; /* seats taken */
    uint32_t changes;            /* counts joins, leaves and deaths: see tarn_channel_watch */
    uint32_t deaths;
    uint64_t sent, received; /* since it was made */
    uint64_t waiting;        /* messages that are there */
    uint64_t lost, again;    /* with dead receivers; given to another after one's death */
};
TARN_API int tarn_channel_stat(tarn *seg, const char *name, struct tarn_channel_stat *ret_stat);

/* tarn_channel_watch - wait until somebody joins, leaves or dies: until `changes` is another than *seen, which is then set to it. Clears the seats of the
 * dead. until: NULL: for ever. 0; -ETIMEDOUT; -ENOENT; -EPERM: in a section. */
TARN_API int tarn_channel_watch(tarn *seg, const char *name, uint32_t *seen, const struct timespec *until);

/* ---- one descriptor for many channels, for poll and epoll -------------------------------------------------------------------- */

/* A descriptor that is readable when something can be done at one of the channels in it. Private memory; any thread may use it. */
typedef struct tarn_poll tarn_poll;
#define TARN_POLL_MOST 64u

/* tarn_poll_open - *ret_fd is an eventfd, non-blocking, closed by exec. A thread is started for it, which blocks all signals and takes part in the segment until
 * tarn_poll_close; before that tarn_close is -EBUSY. A forked child has the descriptor, not the thread. 0; -ENOMEM, -EMFILE, -ENFILE, -EAGAIN as the system says. */
TARN_API int tarn_poll_open(tarn *seg, tarn_poll **ret_poll, int *ret_fd);
/* tarn_poll_close - all that were added are out of it, and the descriptor is closed. NULL is accepted. */
TARN_API void tarn_poll_close(tarn_poll *poll);
/* tarn_poll_clear - instead of read: the descriptor is not readable any more, and will be when there is something to do; call it, then try every channel
 * until -EAGAIN. Between the time that it became readable and this call, senders are not held up by it at all. 0; -EPERM: a forked child's. */
TARN_API int tarn_poll_clear(tarn_poll *poll);

/* ---- topic: each message to all subscribers -------------------------------------------------------------------------------
 *
 * Any number publish, any number subscribe, each at its own speed. The last `capacity` messages are kept. Nobody waits for anybody: a subscriber who falls behind by
 * more than that loses the oldest, and is told how many; unless it has asked that publishers wait for it (tarn_topic_hold). All see the messages in one order,
 * numbered from 0. A killed publisher costs the message that it had not published, a killed subscriber nothing.
 *
 * Read-only attachments can subscribe, too, by copying: they hold no seat, and can hold up nobody; waiting, they look again after a pause of up to 5 ms.
 *
 * options: capacity: messages kept; message; parties; number: loans and taken messages that one party may have in hand, 1 to 6, 0: 2; flags: 0. Memory is taken for
 * capacity + parties * (number + 1) messages: for large ones, say few parties.
 *
 * Common results: -EPERM: another thread's handle, or an open section; -EBADF: not opened for that; -EROFS: the segment is attached read-only;
 * -EUCLEAN: the topic is damaged. Of the _try calls -EAGAIN; of the _timed ones -ETIMEDOUT, and -EINVAL for a deadline that is none. */

/* A flag of tarn_topic_open, for subscribers: begin with the oldest message that is kept, and not with the next one published. See tarn_topic_seek. */
#define TARN_TOPIC_HISTORY 0x4000u

typedef struct tarn_topic tarn_topic;

/* What comes with a message. */
struct tarn_topic_news {
    uint64_t sequence; /* the first one published has 0 */
    uint64_t sent_ns;  /* when it was sent, or lent: CLOCK_MONOTONIC */
    uint64_t lost;     /* messages that this subscriber has missed since it was told last */
    size_t size;
};

/* tarn_topic_open - the topic of this name. flags: TARN_SEND to publish, TARN_RECEIVE to subscribe, both, or neither: to look (tarn_topic_latest). With TARN_CREATE it is
 * made if it is not there. The handle is the calling thread's. 0; -ENOENT; -EPROTO: another type; -EINVAL: options or flags that cannot be; -EUSERS: no seat is free;
 * -ENOMEM; -ENOSPC; -EROFS; -EPERM: in a section; -EUCLEAN. */
TARN_API int tarn_topic_open(tarn *seg, const char *name, unsigned flags,
                             const struct tarn_channel_options *options, tarn_topic **ret_topic);
/* tarn_topic_close - the seat is free for another. NULL is accepted. 0; -EBUSY: a loan or a taken message is in hand, and nothing was done. By another
 * thread than the handle's, once that one has ended. */
TARN_API int tarn_topic_close(tarn_topic *topic);

/* tarn_topic_send - publish a copy of size bytes (0 and more). Waits only for subscribers that hold publishers back, as long as they may; the _try call, then, is -EAGAIN.
 * 0; -EMSGSIZE: more than the topic takes. */
TARN_API int tarn_topic_send(tarn_topic *topic, const void *message, size_t size);
TARN_API int tarn_topic_send_try(tarn_topic *topic, const void *message, size_t size);
TARN_API int tarn_topic_send_timed(tarn_topic *topic, const void *message, size_t size,
                                   const struct timespec *until);

/* tarn_topic_loan - *ret_message is a place for a message of up to size bytes, aligned to 64 (to 32, where messages have at most 32), with anything in it: to be written
 * in place, and published by tarn_topic_send_loan, or given back by tarn_topic_drop_loan. Waits for nobody. 0; -EMSGSIZE; -EBUSY: as many as may be are in hand. */
TARN_API int tarn_topic_loan(tarn_topic *topic, size_t size, void **ret_message);
/* tarn_topic_send_loan - publish its first size bytes; from then on it is not the caller's. 0; -EMSGSIZE: size is more than the topic takes; -EINVAL: this is no loan in hand. With an
 * error it is still in hand. */
TARN_API int tarn_topic_send_loan(tarn_topic *topic, void *message, size_t size);
TARN_API int tarn_topic_send_loan_try(tarn_topic *topic, void *message, size_t size);
TARN_API int tarn_topic_send_loan_timed(tarn_topic *topic, void *message, size_t size, const struct timespec *until);
/* tarn_topic_drop_loan - it is not published. 0; -EINVAL: this is no loan in hand. */
TARN_API int tarn_topic_drop_loan(tarn_topic *topic, void *message);

/* tarn_topic_receive - the next message is copied to buffer. *ret_news: NULL is accepted, and then what was lost is told the next time. 0; -EMSGSIZE: it has more than
 * `room` bytes, ret_news->size in all, and is still the next one. _try, on a read-only attachment: -EAGAIN also if publishers were too quick for a copy. */
TARN_API int tarn_topic_receive(tarn_topic *topic, void *buffer, size_t room, struct tarn_topic_news *ret_news);
TARN_API int tarn_topic_receive_try(tarn_topic *topic, void *buffer, size_t room, struct tarn_topic_news *ret_news);
TARN_API int tarn_topic_receive_timed(tarn_topic *topic, void *buffer, size_t room,
                                      struct tarn_topic_news *ret_news, const struct timespec *until);

/* tarn_topic_take - the next message, to be read in place; until tarn_topic_release it stays as it is, however much is published meanwhile. Several may be in hand, and are
 * released in any order. 0; -EBUSY: as many as may be are in hand; -EROFS. */
TARN_API int tarn_topic_take(tarn_topic *topic, const void **ret_message, struct tarn_topic_news *ret_news);
TARN_API int tarn_topic_take_try(tarn_topic *topic, const void **ret_message, struct tarn_topic_news *ret_news);
TARN_API int tarn_topic_take_timed(tarn_topic *topic, const void **ret_message,
                                   struct tarn_topic_news *ret_news, const struct timespec *until);
/* tarn_topic_release - 0; -EINVAL: this was not taken, or was released before. */
TARN_API int tarn_topic_release(tarn_topic *topic, const void *message);

/* tarn_topic_latest - copy the message published last, whatever this handle has received; by any thread, with a handle of any role, also on a read-only attachment. news->lost
 * is 0. 0; -ENOENT: nothing was published yet; -EMSGSIZE: see tarn_topic_receive; -EAGAIN: publishers were too quick for a copy, many times. */
TARN_API int tarn_topic_latest(tarn_topic *topic, void *buffer, size_t room, struct tarn_topic_news *ret_news);

/* tarn_topic_seek - go on with the last `back` messages, or as many as there are: 0: with the next one published; UINT64_MAX: with the oldest one kept. What is passed over
 * does not count as lost. 0. */
TARN_API int tarn_topic_seek(tarn_topic *topic, uint64_t back);

/* tarn_topic_hold - from now on publishers wait, rather than overwrite what this subscriber has not received; but if it does not move for `limit` ms while one waits, it
 * loses the oldest, as others do, until it moves again. 0: they do not wait. At most 3,600,000. A handle does not hold itself back. 0; -EINVAL; -EROFS. */
TARN_API int tarn_topic_hold(tarn_topic *topic, uint32_t limit);

/* tarn_topic_poll - let this descriptor watch whether something is to be received, or (of who only publishes) whether nobody holds it back. 0; -ENOSPC, -EINVAL,
 * -EEXIST, -EBADF: see tarn_poll_open. */
TARN_API int tarn_topic_poll(tarn_topic *topic, tarn_poll *poll);

#ifdef __cplusplus
}
#endif

#endif

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

/* ---- message queue: many to many, each message to one -------------------------------------------------------------------------- */

/* Any number of producers and consumers; each message is received by one of them, those of the highest priority first, and of one priority in the order in
 * which they were sent. Nobody waits for a party that is slow, stopped or dead, whatever it has in hand. A consumer that dies with a message in hand: another
 * one gets it, as TARN_RECOVERED (at least once); or, if it was made TARN_MQ_AT_MOST_ONCE, nobody does. struct tarn_channel_stat counts both. What a consumer
 * has received, copied or released, it alone has had. */
typedef struct tarn_mq tarn_mq;

#define TARN_MQ_AT_MOST_ONCE 1u /* options.flags */
#define TARN_MQ_IN_HAND 7u      /* loans and messages not yet released that a handle may have at a time */

/* tarn_mq_open - the queue of this name. flags: TARN_CREATE; TARN_SEND, TARN_RECEIVE, or both, or none: to look. options, for who makes it: capacity is
 * of each priority; number: priorities, 1 to 8, 0: 1; flags: TARN_MQ_AT_MOST_ONCE; message: at most 2^30 - 1. Its memory: capacity * priorities + 10 * parties messages.
 * 0; -ENOENT; -EPROTO: the name is another object; -EINVAL; -EROFS; -EUSERS: all seats are taken; -EUCLEAN; -EPERM: in a section; -ENOSPC, -ENOMEM. */
TARN_API int tarn_mq_open(tarn *seg, const char *name, unsigned flags,
                          const struct tarn_channel_options *options, tarn_mq **ret_mq);
/* tarn_mq_close - leave. NULL is accepted. -EBUSY: a loan or a message is in hand: nothing is done. By another thread than its own (which has ended, or
 * in a forked child) the handle's memory is freed, and the seat is cleared as that of a dead one. */
TARN_API int tarn_mq_close(tarn_mq *mq);

/* tarn_mq_send - send a copy of size bytes. priority: 0 to number - 1. 0; -EAGAIN (_try: it is full), -ETIMEDOUT (_timed); -EMSGSIZE: larger than the queue's limit;
 * -EINVAL: no such priority, or deadline; -EBADF: not opened to send; -EPERM: in a section, or another thread's handle; -EUCLEAN: damaged. */
TARN_API int tarn_mq_send(tarn_mq *mq, unsigned priority, const void *message, size_t size);
TARN_API int tarn_mq_send_try(tarn_mq *mq, unsigned priority, const void *message, size_t size);
TARN_API int tarn_mq_send_timed(tarn_mq *mq, unsigned priority, const void *message, size_t size,
                                const struct timespec *until);

/* tarn_mq_receive - copy the next message, of at most room bytes, to `to`, and its size to *ret_size (NULL: not wanted): with that it is released. 0;
 * TARN_RECOVERED: somebody had it before, and died; -EAGAIN (_try: there is none), -ETIMEDOUT; -EMSGSIZE: it is larger than room, and stays; -EINVAL: no
 * deadline; -EBADF, -EPERM, -EUCLEAN. */
TARN_API int tarn_mq_receive(tarn_mq *mq, void *to, size_t room, size_t *ret_size);
TARN_API int tarn_mq_receive_try(tarn_mq *mq, void *to, size_t room, size_t *ret_size);
TARN_API int tarn_mq_receive_timed(tarn_mq *mq, void *to, size_t room, size_t *ret_size,
                                   const struct timespec *until);

/* tarn_mq_take - the next message where it lies, the caller's until tarn_mq_release. *ret_message is aligned to 16 (8 where the limit is 8). As tarn_mq_receive;
 * and -ENOBUFS: TARN_MQ_IN_HAND are in hand. */
TARN_API int tarn_mq_take(tarn_mq *mq, void **ret_message, size_t *ret_size);
TARN_API int tarn_mq_take_try(tarn_mq *mq, void **ret_message, size_t *ret_size);
TARN_API int tarn_mq_take_timed(tarn_mq *mq, void **ret_message, size_t *ret_size, const struct timespec *until);
/* tarn_mq_release - done with a message taken; or a loan that is not to be sent. In any order. -EINVAL: it is not in this handle's hand. */
TARN_API int tarn_mq_release(tarn_mq *mq, const void *message);

/* tarn_mq_loan - room for a message of size bytes, to be written in place. Its bytes are any. 0; -EAGAIN (_try: nothing is free), -ETIMEDOUT; -EMSGSIZE;
 * -ENOBUFS: TARN_MQ_IN_HAND are in hand; -EINVAL: no deadline; -EBADF, -EPERM, -EUCLEAN. */
TARN_API int tarn_mq_loan(tarn_mq *mq, size_t size, void **ret_message);
TARN_API int tarn_mq_loan_try(tarn_mq *mq, size_t size, void **ret_message);
TARN_API int tarn_mq_loan_timed(tarn_mq *mq, size_t size, void **ret_message, const struct timespec *until);
/* tarn_mq_send_loan - send it; from then on it is not the caller's. size: of the message, at most the queue's limit. Results as tarn_mq_send; -EINVAL: it is no loan of
 * this handle. When it fails it stays a loan. */
TARN_API int tarn_mq_send_loan(tarn_mq *mq, unsigned priority, void *message, size_t size);
TARN_API int tarn_mq_send_loan_try(tarn_mq *mq, unsigned priority, void *message, size_t size);
TARN_API int tarn_mq_send_loan_timed(tarn_mq *mq, unsigned priority, void *message, size_t size,
                                     const struct timespec *until);
/* tarn_mq_poll - have poll's descriptor tell when this handle can receive, or else send (the last priority that was refused). docs at tarn_poll_open.
 * 0; -ENOSPC, -EINVAL, -EEXIST, -EBADF. */
TARN_API int tarn_mq_poll(tarn_mq *mq, tarn_poll *poll);

#ifdef __cplusplus
}
#endif

#endif

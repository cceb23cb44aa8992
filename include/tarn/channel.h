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

/* tarn_channel_sizes - how large messages are, for who looks at the channel of this name again and again: of those sent since the call before with this struct, how many could
 * be looked at, with their bytes, and how many were gone already, or more than 4,096 at once. Zeroed for the first call. Looks at what senders leave, so they do nothing for it; of a call channel it
 * is the requests whose slots were not used again that stand for all. As tarn_channel_parties. */
struct tarn_channel_sizes {
    uint64_t messages, bytes, missed;
    uint64_t at[8]; /* how far was looked: not the caller's */
};
TARN_API int tarn_channel_sizes(tarn *seg, const char *name, struct tarn_channel_sizes *sizes);

/* tarn_channel_watch - wait until somebody joins, leaves or dies: until `changes` is another than *seen, which is then set to it. Clears the seats of the
 * dead. until: NULL: for ever. 0; -ETIMEDOUT; -ENOENT; -ESTALE: it was unbound and made anew meanwhile; -EROFS; -EPERM: in a section. */
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
/* tarn_poll_parties - on: not 0: from now on the descriptor becomes readable also when somebody joins, leaves or dies at a channel in it (`changes` of tarn_channel_stat tells
 * at which, tarn_channel_parties who is there). What changes after tarn_poll_clear makes it readable again. 0; -EPERM: a forked child's. */
TARN_API int tarn_poll_parties(tarn_poll *poll, int on);

/* ---- call: a request, and its response -------------------------------------------------------------------------------- */

/* Clients (TARN_SEND) ask, servers (TARN_RECEIVE) answer; each request goes to one server, in the order in which they came; which server does not matter.
 * capacity: calls in flight, of all clients together, at least 8, at most 2^20; message: bytes of a request, and of a response, at most. A request that was taken back keeps its
 * place, and its room, until those that were before it have been taken.
 * - A server that dies, or closes, with a request in hand: its client is told at once (-EOWNERDEAD); or, if the request was marked repeatable, it goes to another
 *   server, also if the dead one had done all of it but answer.
 * - A client that dies, or closes, takes its requests back: those not begun are never seen, the response to the others goes nowhere, and its slots are free.
 * (Birrell and Nelson, 'Implementing remote procedure calls', 1984.) */
typedef struct tarn_call tarn_call; /* one party's handle: private memory, of the thread that opened it */

#define TARN_CALL_REPEATABLE 1u /* may be done again, by another server, if the one that was at it died */

/* tarn_call_open - the call channel of this name; TARN_CREATE makes it, options as it is to be. With TARN_SEND, TARN_RECEIVE, or neither, to look only. 0; -ENOENT;
 * -EPROTO: the name is something else; -EUSERS: no seat; -ENOSPC; -EROFS; -EINVAL; -EUCLEAN: damaged. */
TARN_API int tarn_call_open(tarn *seg, const char *name, unsigned flags,
                            const struct tarn_channel_options *options, tarn_call **ret_call);
/* tarn_call_close - what it has in hand ends as by a death. NULL is accepted. 0; -EBUSY: of a client: a call is begun and not ended (tarn_call_end, tarn_call_cancel); of a
 * server: a request is not answered; nothing is done then. */
TARN_API int tarn_call_close(tarn_call *call);

/* tarn_call_ask, _timed - one call: begin it, wait, copy the response (at most `room` bytes; *ret_size, which may be NULL, is its whole size), end it. 0; -EMSGSIZE: the
 * request is larger than the channel's messages; -EOWNERDEAD: the server died; -ETIMEDOUT: it is taken back; else what the server said by tarn_call_fail. */
TARN_API int tarn_call_ask(tarn_call *call, unsigned flags, const void *request, size_t size, void *response,
                           size_t room, size_t *ret_size);
TARN_API int tarn_call_ask_timed(tarn_call *call, unsigned flags, const void *request, size_t size,
                                 void *response, size_t room, size_t *ret_size, const struct timespec *until);

/* The same in steps, for several at a time. *ret_id names the call until it is ended, to its own client.
 * tarn_call_loan, _try, _timed - room for a request, which is written in place: size bytes at *ret_at. Waits while all slots are in use: -EAGAIN, -ETIMEDOUT.
 * tarn_call_begin - the request that was loaned is asked: its first `size` bytes. -EINVAL: not a loan of this handle, or larger than it.
 * tarn_call_wait, _try, _timed - wait for the response: *ret_at, *ret_size, in place, until tarn_call_end. Results as tarn_call_ask's; after any but 0, -EAGAIN and
 *   -ETIMEDOUT the call is ended. After -ETIMEDOUT it is still under way: wait again, or cancel it.
 * tarn_call_end - the response is not looked at any more. -EINVAL: there is none.
 * tarn_call_cancel - a loan, or a call under way, is taken back. A server that has it is told by tarn_call_cancelled, and when it answers. */
TARN_API int tarn_call_loan(tarn_call *call, size_t size, void **ret_at, uint64_t *ret_id);
TARN_API int tarn_call_loan_try(tarn_call *call, size_t size, void **ret_at, uint64_t *ret_id);
TARN_API int tarn_call_loan_timed(tarn_call *call, size_t size, void **ret_at, uint64_t *ret_id,
                                  const struct timespec *until);
TARN_API int tarn_call_begin(tarn_call *call, uint64_t id, unsigned flags, size_t size);
TARN_API int tarn_call_wait(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size);
TARN_API int tarn_call_wait_try(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size);
TARN_API int tarn_call_wait_timed(tarn_call *call, uint64_t id, const void **ret_at, size_t *ret_size,
                                  const struct timespec *until);
TARN_API int tarn_call_end(tarn_call *call, uint64_t id);
TARN_API int tarn_call_cancel(tarn_call *call, uint64_t id);

/* A server's request in hand, in place, until it is answered. */
struct tarn_request {
    uint64_t id;
    const void *at;
    size_t size;
    unsigned flags;  /* TARN_CALL_REPEATABLE */
    uint32_t client; /* its participant */
};
/* tarn_call_next, _try, _timed - the next request, of any client. 0; -EAGAIN; -ETIMEDOUT. A server may have several in hand.
 * tarn_call_room - where a response may be written in place: room for the channel's largest.
 * tarn_call_answer - the response: copied, unless `response` is what tarn_call_room gave. 0; -EMSGSIZE; -ECANCELED: the client took it back, or died: it is in hand
 *   no more; -EINVAL: not in hand.
 * tarn_call_fail - instead of a response: the client's call returns `error`, -4095 to -1, but not -EAGAIN nor -ETIMEDOUT, which would tell it to wait on. As tarn_call_answer.
 * tarn_call_cancelled - 1: the client of this request in hand is not interested any more; 0: it is; -EINVAL. */
TARN_API int tarn_call_next(tarn_call *call, struct tarn_request *ret_request);
TARN_API int tarn_call_next_try(tarn_call *call, struct tarn_request *ret_request);
TARN_API int tarn_call_next_timed(tarn_call *call, struct tarn_request *ret_request, const struct timespec *until);
TARN_API int tarn_call_room(tarn_call *call, uint64_t id, void **ret_at);
TARN_API int tarn_call_answer(tarn_call *call, uint64_t id, const void *response, size_t size);
TARN_API int tarn_call_fail(tarn_call *call, uint64_t id, int error);
TARN_API int tarn_call_cancelled(tarn_call *call, uint64_t id);

/* tarn_call_poll - let the descriptor be readable when there is a request (server), or a response, a failure too (client). See tarn_poll_open. 0; -EEXIST: it is in one
 * already; -ENOSPC: TARN_POLL_MOST are in it; -EBADF: the handle only looks; -EINVAL: of another segment; -EPERM: another thread's handle, or a forked child's. */
TARN_API int tarn_call_poll(tarn_call *call, tarn_poll *poll);
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
/* ---- ring: one sender, one receiver ------------------------------------------------------------------------------------
 *
 * Messages come in the order sent, each once. A killed sender's successor goes on where he was. What a killed receiver had not released (with the copying
 * calls: what they had not returned with) is received again by his successor; what he had released never is.
 *
 * Common results: -EPERM: another thread's handle, or an open section; -EBADF: not opened for that; -EROFS: the segment is attached read-only;
 * -EUCLEAN: the ring is damaged. Of the _try calls -EAGAIN: it is full, or empty; of the _timed ones -ETIMEDOUT, and -EINVAL for a deadline that is none. */

/* options.flags: a ring of bytes. Its capacity is bytes (at least 64), and a message may have any length up to options.message (0: 64), which is at most
 * capacity / 2 - 8; a message takes 8 bytes besides its own, rounded up to 8. Without it each message has a place of the same size. */
#define TARN_RING_BYTES 1u

typedef struct tarn_ring tarn_ring;

/* tarn_ring_open - the ring of this name. flags: TARN_SEND or TARN_RECEIVE, or neither: to look; with TARN_CREATE it is made if it is not there. The handle
 * is the calling thread's. 0; -ENOENT; -EPROTO: another type; -EINVAL: options or flags that cannot be; -EBUSY: it has its sender, or its receiver, and that one lives; -ENOMEM;
 * -ENOSPC; -EROFS; -EPERM: in a section; -EUCLEAN. */
TARN_API int tarn_ring_open(tarn *seg, const char *name, unsigned flags,
                            const struct tarn_channel_options *options, tarn_ring **ret_ring);
/* tarn_ring_close - the seat is free for another. NULL is accepted. 0; -EBUSY: a loan or a taken message is in hand, and nothing was done. By another
 * thread than the handle's, once that one has ended. */
TARN_API int tarn_ring_close(tarn_ring *ring);

/* tarn_ring_send - a copy of size bytes (0 and more) is sent. 0; -EMSGSIZE: more than the ring takes; -EBUSY: a loan is in hand. */
TARN_API int tarn_ring_send(tarn_ring *ring, const void *message, size_t size);
TARN_API int tarn_ring_send_try(tarn_ring *ring, const void *message, size_t size);
TARN_API int tarn_ring_send_timed(tarn_ring *ring, const void *message, size_t size, const struct timespec *until);

/* tarn_ring_receive - the next message is copied to buffer, and released. *ret_size: its size; NULL is accepted. 0; -EMSGSIZE: it has more than `room` bytes, and stays;
 * -EBUSY: a taken one is in hand. */
TARN_API int tarn_ring_receive(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size);
TARN_API int tarn_ring_receive_try(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size);
TARN_API int tarn_ring_receive_timed(tarn_ring *ring, void *buffer, size_t room, size_t *ret_size,
                                     const struct timespec *until);

/* tarn_ring_send_many - of `count` messages of `size` bytes each, one behind the other, as many are sent as there is room for: at least one. *ret_count: how many. Not
 * all or none: who is killed in it has sent the first few. As tarn_ring_send. count 0: -EINVAL. */
TARN_API int tarn_ring_send_many(tarn_ring *ring, const void *messages, size_t size, size_t count,
                                 size_t *ret_count);
TARN_API int tarn_ring_send_many_try(tarn_ring *ring, const void *messages, size_t size, size_t count,
                                     size_t *ret_count);
TARN_API int tarn_ring_send_many_timed(tarn_ring *ring, const void *messages, size_t size, size_t count,
                                       size_t *ret_count, const struct timespec *until);

/* tarn_ring_receive_many - up to `count` messages, as many as are there: at least one. Message i is copied to buffer + i * room, and sizes[i] is its size (sizes: NULL
 * is accepted). *ret_count: how many. Released all together, at the end. One that has more than `room` bytes ends the run; as the first it is -EMSGSIZE. count 0: -EINVAL. */
TARN_API int tarn_ring_receive_many(tarn_ring *ring, void *buffer, size_t room, size_t count, size_t *sizes,
                                    size_t *ret_count);
TARN_API int tarn_ring_receive_many_try(tarn_ring *ring, void *buffer, size_t room, size_t count,
                                        size_t *sizes, size_t *ret_count);
TARN_API int tarn_ring_receive_many_timed(tarn_ring *ring, void *buffer, size_t room, size_t count,
                                          size_t *sizes, size_t *ret_count, const struct timespec *until);

/* tarn_ring_loan - *ret_message is the place of the next message, of up to size bytes, aligned to 8, with anything in it: to be written in place. Until
 * tarn_ring_send_loan, or tarn_ring_drop_loan, it is the caller's, who sends nothing else meanwhile. 0; -EMSGSIZE; -EBUSY: a loan is in hand. */
TARN_API int tarn_ring_loan(tarn_ring *ring, size_t size, void **ret_message);
TARN_API int tarn_ring_loan_try(tarn_ring *ring, size_t size, void **ret_message);
TARN_API int tarn_ring_loan_timed(tarn_ring *ring, size_t size, void **ret_message, const struct timespec *until);
/* tarn_ring_send_loan - its first size bytes are sent. 0; -EINVAL: no loan is in hand; -EMSGSIZE: size is more than was asked for. Waits for nothing. */
TARN_API int tarn_ring_send_loan(tarn_ring *ring, size_t size);
/* tarn_ring_drop_loan - it is not sent. 0; -EINVAL: no loan is in hand. */
TARN_API int tarn_ring_drop_loan(tarn_ring *ring);

/* tarn_ring_take - the next message, to be read in place, aligned to 8, until tarn_ring_release. 0; -EBUSY: one is in hand. */
TARN_API int tarn_ring_take(tarn_ring *ring, const void **ret_message, size_t *ret_size);
TARN_API int tarn_ring_take_try(tarn_ring *ring, const void **ret_message, size_t *ret_size);
TARN_API int tarn_ring_take_timed(tarn_ring *ring, const void **ret_message, size_t *ret_size,
                                  const struct timespec *until);
/* tarn_ring_release - the taken message's place is the sender's again. 0; -EINVAL: none is in hand. Waits for nothing. */
TARN_API int tarn_ring_release(tarn_ring *ring);

/* tarn_ring_poll - let this descriptor watch whether something is to be received, or (a sender's) whether there is room for a message of any size. 0; -ENOSPC, -EINVAL,
 * -EEXIST, -EBADF: see tarn_poll_open. */
TARN_API int tarn_ring_poll(tarn_ring *ring, tarn_poll *poll);
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
/* tarn_mq_priority - of a message taken, and not yet released. 0; -EINVAL: it is none of this handle's; -EBADF, -EPERM. */
TARN_API int tarn_mq_priority(tarn_mq *mq, const void *message, unsigned *ret_priority);
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

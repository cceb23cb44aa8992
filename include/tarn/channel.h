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

#ifdef __cplusplus
}
#endif

#endif

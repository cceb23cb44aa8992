/* channel/layout.h - what all four channels have in the segment: a root under the channel's name, and its body: the seats of its parties, then slots.
 *
 * The root is a block of fixed size, so that names may tell what it is; the body's size is its creator's choice. Both are made in one section,
 * with the name. Everything said once (`shape`) is copied by whoever opens it, checked, and never read again. docs/channel.md */
#ifndef TARN_CHANNEL_LAYOUT_H
#define TARN_CHANNEL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "tarn.h"

#define CHANNEL_VERSION 1u
#define RING_TYPE_NAME "tarn_ring"
#define MQ_TYPE_NAME "tarn_mq"
#define TOPIC_TYPE_NAME "tarn_topic"
#define CALL_TYPE_NAME "tarn_call"

/* Written by its creator, before anybody sees it. */
struct channel_shape {
    uint32_t capacity;  /* messages: a power of two (ring of bytes: bytes) */
    uint32_t size;      /* bytes of a message at most */
    uint32_t seats;     /* parties at most */
    uint32_t flags;     /* TARN_CHANNEL_... that were asked for at creation, and the kind's own */
    uint32_t number[4]; /* the kind's own: priorities, chunks, ... */
    uint64_t body;      /* ref */
    uint64_t bytes;     /* of the body */
    uint64_t slots; /* offset in the body of what the kind has there, a multiple of 128; before it are the seats */
    uint64_t reserved[9];
};
_Static_assert(sizeof(struct channel_shape) == 128, "channel layout");

/* Somebody sleeps until it is rung, or nobody does. */
struct doorbell {
    uint32_t sleepers; /* 1: whoever rings is to wake; stored by who goes to sleep; cleared by who rings */
    uint32_t reserved[15];
};
_Static_assert(sizeof(struct doorbell) == 64, "channel layout");

struct channel {
    struct channel_shape shape; /* lines 0 and 1 */
    /* line 2: the seats */
    tarn_mutex lock;  /* inner: who takes, leaves or clears a seat has it */
    uint32_t changes; /* a futex: counted up when a party has joined, left or died */
    uint32_t deaths;
    uint32_t gone;   /* 1: it was unbound; set in the section that does so */
    uint32_t unsaid; /* under the lock, while a seat's id changes: 1, 2 (a death): `changes` is to be counted up. Who dies there is spoken for by the next */
    uint64_t lost;   /* messages lost with who had them in hand, by all parties */
    uint64_t again;  /* messages given to another, because who had them in hand died */
    uint64_t reserved2[3];
    struct doorbell news; /* line 3: rung when there is something to receive */
    struct doorbell room; /* line 4: ... when there is room to send */
    uint64_t own[24];     /* lines 5 to 7: the kind's; each line has one kind of writer */
};
_Static_assert(sizeof(struct channel) == 512, "channel layout");
_Static_assert(offsetof(struct channel, lock) == 128, "channel layout");
_Static_assert(offsetof(struct channel, gone) == 144, "channel layout");
_Static_assert(offsetof(struct channel, news) == 192, "channel layout");
_Static_assert(offsetof(struct channel, own) == 320, "channel layout");

/* One party: a participant in a role. Two lines, which its own thread writes, and who clears it after its death. A seat is taken by the store of id,
 * after all else; it is free by the same store, after whatever it held was given back. */
struct channel_seat {
    uint32_t id;       /* of the participant; 0: free */
    uint32_t role;     /* TARN_SEND, TARN_RECEIVE */
    uint64_t since;    /* ns, CLOCK_REALTIME */
    uint64_t messages; /* sent and received */
    uint64_t lost;     /* that it was told it missed */
    uint64_t at; /* position in the channel: of the next message it will send or receive; where the kind has such */
    uint64_t own[11]; /* the kind's */
};
_Static_assert(sizeof(struct channel_seat) == 128, "channel layout");

/* ---- call. Body: the order in which requests came, then a slot for each call in flight -------------------------------- */

#define CALL_SMALL                                                                                           \
    32u /* bytes of a request, and of a response that is copied, that stand in the slot's first line */

/* word: {turn:45, state:3, seat + 1:16}; what each state means, and who may change it: docs/channel.md. */
struct call_slot {
    uint64_t word;
    uint32_t request, response; /* bytes; each side's, before the word says so */
    uint32_t client;            /* its seat + 1; the client's, before ASKED */
    uint32_t flags;             /* TARN_CALL_REPEATABLE, CALL_FAR; the client's, then the server's */
    int32_t error;              /* of a call that failed; 0: none */
    uint32_t reserved;
    char small[CALL_SMALL];
    /* then, each rounded up to whole lines: a large request; a large response */
};
_Static_assert(sizeof(struct call_slot) == 64, "call layout");

#endif

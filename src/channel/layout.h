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
    uint32_t sleepers; /* a futex: {rings that woke: 31, somebody sleeps: 1}; the bit is set by who goes to sleep; who rings counts one up, which clears it */
    uint32_t reserved[15];
};
_Static_assert(sizeof(struct doorbell) == 64, "channel layout");

struct channel {
    struct channel_shape shape; /* lines 0 and 1 */
    /* line 2: the seats */
    tarn_mutex lock;  /* inner: who takes, leaves or clears a seat has it */
    uint32_t changes; /* a futex: counted up when a party has joined, left or died */
    uint32_t deaths;
    uint32_t gone; /* 1: it was unbound; set in the section that does so */
    uint32_t reserved1;
    uint64_t lost;  /* messages lost with who had them in hand, by all parties */
    uint64_t again; /* messages given to another, because who had them in hand died */
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

/* ---- message queue: tarn_mq. docs/channel.md has the orders of stores ---- */

#define MQ_LEVELS 8 /* at most */
#define MQ_HANDS 8  /* chunks in a seat's hand: its user's, and one for a receive that copies */

/* struct channel's own, of a message queue. */
struct mq_shared {
    uint64_t tail[MQ_LEVELS]; /* hints, by anybody: all positions before are claimed */
    uint64_t head[MQ_LEVELS]; /* ... all positions before are received */
    uint64_t made;   /* counts messages that came back from the dead; under the lock, as what follows */
    uint64_t intent; /* {identity, chunk + 1}: one of the dead's that is being counted; 0: none */
    uint64_t target; /* what the count will be */
    uint64_t mixed;  /* 1: somebody found no chunk, once: not all who wait for room wait for the same */
    uint64_t reserved[4];
};
_Static_assert(sizeof(struct mq_shared) == 192, "channel layout");

/* A seat's own: its thread's, and whose who clears it. Chunks are told as 1 + their number; 0: none. */
struct mq_seat {
    uint32_t hand[MQ_HANDS];  /* loans, and messages received */
    uint32_t order[MQ_HANDS]; /* of a message received: {level, position's low bits} */
    uint64_t stamp;           /* of the send under way: the word of its chunk, SENT(level, position) */
    uint32_t sends;           /* its chunk */
    uint32_t gets;            /* the chunk that it gets for it, or none */
    uint32_t spare;           /* the chunk for the next one */
    uint32_t reserved;
};
_Static_assert(sizeof(struct mq_seat) == 88, "channel layout");

/* Behind the entries: chunks of {word; body, at 8 or 16}. */
struct mq_chunk {
    uint64_t word; /* whose it is, and what is in it */
};
_Static_assert(sizeof(struct mq_chunk) == 8, "channel layout");

#endif

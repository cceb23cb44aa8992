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
    uint64_t messages; /* sent and received (topic: received) */
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
/* ---- topic ---- */

/* struct channel's own words. */
struct topic_words {
    /* publishers */
    uint64_t next; /* at most the true position of the next message; only upwards, by compare-and-swap */
    uint64_t reserved1[7];
    /* under the lock, or seldom */
    uint64_t holding; /* {changes: 32, seats that hold: 32}; under the lock */
    uint64_t takers;  /* bit i: seats i modulo 64 may have pins; or-ed in by each, cleared under the lock */
    uint64_t reserved2[14];
};
_Static_assert(sizeof(struct topic_words) == 192, "channel layout");
_Static_assert(sizeof(struct topic_words) == sizeof((struct channel){0}.own), "channel layout");
_Static_assert(offsetof(struct topic_words, holding) == 64, "channel layout");

#define TOPIC_HAND_MOST 6 /* loans and taken messages of a party */

/* struct channel_seat's own words: its own thread's, and who clears it. Chunks are named by index + 1. */
struct topic_seat {
    uint64_t claim;  /* the position that it tried to publish last */
    uint32_t making; /* chunk that it owns, or tries to, to send from */
    uint32_t hold;   /* ms that publishers wait for it; `holding` counts it */
    uint64_t sent;
    /* its second line */
    uint32_t pin[TOPIC_HAND_MOST];  /* chunks that it reads in place, or is about to */
    uint32_t loan[TOPIC_HAND_MOST]; /* chunks that it writes in place, or is about to */
    uint64_t stuck_at;              /* by publishers: at + 1 when it was found in the way */
    uint64_t stuck_since;           /* ... and when: ns, CLOCK_MONOTONIC */
};
_Static_assert(sizeof(struct topic_seat) == 88, "channel layout");
_Static_assert(sizeof(struct topic_seat) == sizeof((struct channel_seat){0}.own), "channel layout");

/* Entries, 8 bytes each: {position modulo 2^40: 40, chunk: 24}. By compare-and-swap of publishers. */
#define TOPIC_CHUNK_BITS 24
#define TOPIC_CHUNKS_MOST ((1u << TOPIC_CHUNK_BITS) - 1)

/* Its body follows at 32 or 64 bytes. Its owner's. */
struct topic_chunk {
    uint64_t word; /* who may write: TOPIC_FREE, TOPIC_LOANED | seat, TOPIC_PUBLISHED | position */
    uint64_t sent_ns;
    uint32_t size;
    uint32_t reserved[3];
};
_Static_assert(sizeof(struct topic_chunk) == 32, "channel layout");
#define TOPIC_FREE 0u
#define TOPIC_LOANED (1ull << 62)
#define TOPIC_PUBLISHED (1ull << 63)
/* ---- ring ---- */

/* struct channel's own words. */
struct ring_ends {
    /* the sender's line */
    uint64_t tail; /* position: at most that of the next message */
    uint64_t sent; /* ring of bytes: messages up to tail */
    uint64_t reserved1[6];
    /* the receiver's line */
    uint64_t head;     /* position of the first message not released: the truth */
    uint64_t received; /* ring of bytes: messages up to head, or one call's more */
    uint64_t reserved2[6];
    uint64_t reserved3[8];
};
_Static_assert(sizeof(struct ring_ends) == sizeof((struct channel){0}.own), "channel layout");
_Static_assert(sizeof(struct ring_ends) == 192, "channel layout");

/* The control word of a line: {lap: 30, count: 3, sizes: 31}. The sender's. */
#define RING_LAP_SHIFT 34
#define RING_LAP_MASK 0x3fffffffu
#define RING_COUNT_SHIFT 31
#define RING_COUNT_MASK 7u
#define RING_SIZES 31u

/* The header of a record: {number: 32, used: 1, skip: 1, size: 30}. The sender's. */
#define RING_USED 0x80000000u
#define RING_SKIP 0x40000000u
#define RING_SIZE_MASK 0x3fffffffu
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

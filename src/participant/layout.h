/* participant/layout.h - the crash core's words in the segment: a shared page, then one record a participant.
 *
 * docs/crash-core.md has the orders of stores. Who may write is said of each field: "its thread" is the participant's own, or,
 * after its death, whoever is its recoverer. */
#ifndef TARN_PARTICIPANT_LAYOUT_H
#define TARN_PARTICIPANT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* Identities: {generation:15, index + 1:16}. In a mutex's owner word bit 31 is its dirty bit. 0 is nobody. */
#define ID_DIRTY 0x80000000u
#define ID_GENERATION(id) ((id) >> 16 & 0x7fffu)
#define ID_INDEX(id) (((id)&0xffffu) - 1)
#define ID_MAKE(generation, index) (((generation)&0x7fffu) << 16 | ((index) + 1))

/* A held slot: offset of a mutex (below 2^48, a multiple of 8) and flags; 0 is a free slot. */
#define SLOT_WANT 1ull    /* inside lock or unlock: after a death the lock is as it was */
#define SLOT_DEFER 2ull   /* unlocked in the open section: takes effect when that ends */
#define SLOT_SECTION 4ull /* taken in the open section */
#define SLOT_INNER                                                                                           \
    (1ull << 62) /* guards single-store changes only: after a death the lock is as it was; never put off */
#define SLOT_MEND (1ull << 63) /* made consistent in the open section: effective at its commit */
#define SLOT_DIRTY                                                                                           \
    (1ull << 61) /* came dirty, and is not made consistent yet: a hint for its unlock, which then looks at the owner word */
#define SLOT_OFFSET 0x0000fffffffffff8ull
/* What is held: bits 58 to 60; and a number, bits 48 to 57: how often more it is held than once, or what the kind says. */
#define SLOT_MUTEX 0ull          /* also an object's inner lock */
#define SLOT_READ (1ull << 58)   /* a rwlock, to read; with WANT it does not count yet */
#define SLOT_WRITE (2ull << 58)  /* ... to write */
#define SLOT_UNITS (3ull << 58)  /* of a held semaphore; the number: how many */
#define SLOT_MEMBER (4ull << 58) /* of a barrier; the number: of the turn in which it arrived last */
#define SLOT_KIND(v) ((v)&7ull << 58)
#define SLOT_NUMBER(v) ((unsigned)((v) >> 48 & 0x3ff))
#define SLOT_NUMBER_ONE (1ull << 48)
#define SLOT_NUMBER_MOST 1023u
#define SLOT_WHAT (7ull << 58 | 0x3ffull << 48) /* kind and number */

/* What a participant waits for: the object's offset, 1 if it gives up by itself, and in bits 58 to 60 what it is: */
#define WAITS_OWNER 0ull           /* a mutex's owner, or who has a rwlock to write */
#define WAITS_READERS (1ull << 58) /* those who have a rwlock to read */
#define WAITS_UNITS (2ull << 58)   /* those who have units of a held semaphore */
#define WAITS_MEMBERS (3ull << 58) /* the members of a barrier who have not arrived */
#define WAITS_ACT (4ull << 58)     /* somebody's act: nobody in particular */
#define WAITS_KIND(v) ((v)&7ull << 58)

/* The journal word: {state:2, log words in use:62}. Its store commits. */
#define JOURNAL_IDLE 0u
#define JOURNAL_OPEN 1u
#define JOURNAL_COMMITTED 2u /* and the log's frees are being applied, newest first */
#define JOURNAL(state, words) ((uint64_t)(words) << 2 | (state))
#define JOURNAL_STATE(j) ((unsigned)((j)&3))
#define JOURNAL_WORDS(j) ((j) >> 2)

/* The log is read backwards. Its entries end with a word {offset:48, kind:16}; a kind below 0x8000 is a number n of words saved
 * from that offset on, which stand before it (offset 0: padding). Kinds of one word: */
#define LOG_ALLOC 0x8000u  /* the block at offset was allocated in this section */
#define LOG_FREE 0x8001u   /* ... is to be freed if it commits */
#define LOG_RETIRE 0x8002u /* ... retired */
#define LOG_COUNT                                                                                            \
    0x8003u /* 1 is to be added to the word at offset if it is undone; a recoverer after a dead one may add it again */
#define LOG_WORD(offset, kind) ((uint64_t)(offset) | (uint64_t)(kind) << 48)
#define LOG_OFFSET(w) ((w)&0x0000ffffffffffffull)
#define LOG_KIND(w) ((unsigned)((w) >> 48))

/* The intent: {offset of a ref or block, kind in the low three bits}. One block whose state and reference may disagree, which
 * its span's owner therefore leaves alone. */
#define INTENT_ALLOC 1u /* *offset = block; block's state; intent = 0 */
#define INTENT_FREE 2u  /* block's state; *offset = 0; intent = 0 */
#define INTENT_RETIRE 3u
#define INTENT_SWAP 4u /* *offset = new block; its state; state of swap_old (retired); intent = 0 */
#define INTENT_HAND                                                                                          \
    5u /* offset: the block that a committed section's log has at its end, to be freed; or a run of its own, whose length it changes */
#define INTENT_KIND(w) ((unsigned)((w)&7))
#define INTENT_OFFSET(w) ((w)&0x0000fffffffffff8ull)

enum record_state { RECORD_FREE = 0, RECORD_TAKEN = 1 };

struct record {
    /* line 0: its thread writes at every operation; owners of spans read intent, swap_old */
    uint64_t journal;
    uint64_t intent;
    uint64_t swap_old;    /* of INTENT_SWAP: the block replaced */
    uint64_t epoch;       /* 0, or 1 + the epoch in which it began to read: its pin */
    uint64_t slots_used;  /* 1 + the highest held slot used since it was last quiet: others look no further */
    uint64_t waits;       /* what it waits for: WAITS_...; 0: nothing */
    uint64_t waits_count; /* counts its waits */
    uint64_t reserved0;
    /* line 1: the liveness word and what others write */
    uint64_t liveness[5]; /* a robust process-shared pthread mutex: its futex word is the first 4 bytes */
    uint32_t state;       /* enum record_state: its claimant, its thread, its recoverer */
    uint32_t generation;  /* 15 bits, the same */
    uint32_t recoverer;   /* id of who recovers it, by compare-and-swap */
    uint32_t claimless;   /* no byte lock behind it: judged by the fields below */
    uint64_t reserved1;
    /* line 2: written at claim */
    uint32_t pid; /* in pid_namespace */
    uint32_t tid;
    uint64_t start_time;    /* of the thread, as /proc/PID/task/TID/stat has it, in clock ticks */
    uint64_t pid_namespace; /* inode */
    uint64_t log_more;      /* ref of the next extent of the log, or 0; stays with the record */
    uint64_t held_more;     /* ref of the next extent of held slots */
    uint64_t since;         /* when it was claimed, in ns since 1970 */
    uint64_t reserved2[2];
    /* line 3 */
    uint64_t events; /* how many were noted in this record, by all who have had it: its thread */
    uint64_t reserved3[7];
    /* then: uint64_t slot[geometry.slots]; uint64_t log[geometry.log_words]; struct event event[geometry.events], up to record_size */
};
_Static_assert(sizeof(struct record) == 256, "record layout");
_Static_assert(offsetof(struct record, liveness) == 64, "record layout");
_Static_assert(offsetof(struct record, pid) == 128, "record layout");

/* An event: the n-th that was noted in a record is at n % geometry.events. Its thread writes it, `what` 0 first, and whole last; it stays when the record
 * is somebody else's, until it is written over. */
struct event {
    uint64_t what; /* {n:24, kind:8, id:32}; 0: none, or one that is being written, or whose writer died */
    uint64_t when; /* ns since 1970 */
    uint64_t a, b; /* event.h: what they are, by kind */
    uint64_t text[4];
};
_Static_assert(sizeof(struct event) == 64, "event layout");
#define EVENT_WHAT(n, kind, id) (((uint64_t)(n)&0xffffff) << 40 | (uint64_t)(kind) << 32 | (id))
#define EVENT_NUMBER(w) ((uint32_t)((w) >> 40))
#define EVENT_KIND(w) ((unsigned)((w) >> 32) & 0xff)
#define EVENT_ID(w) ((uint32_t)(w))

/* More log words, or more held slots: a block of the heap of extent_size bytes, linked by one store, kept. */
struct extent {
    uint64_t next; /* ref, or 0 */
    uint64_t reserved;
    /* then words up to the block's end */
};
_Static_assert(sizeof(struct extent) == 16, "extent layout");

/* The first words of the participants' zone. */
struct participants {
    uint32_t bell __attribute__((aligned(128))); /* 0 for ever: the kernel wakes a sleeper on it when a thread in a slow path dies */
    uint32_t bell_all; /* 0 for ever: who was woken on the bell wakes all sleepers on this one, who wake nobody */
    uint64_t pid_namespace; /* of the first claimant of a claimless record, who stores it by compare-and-swap */
    uint32_t mixed; /* 1: one of another namespace (or of an unknown one) came, before it touched a liveness word */
    uint32_t reserved0[11];
    uint64_t epoch __attribute__((aligned(64))); /* counted up by reclaimers; read-only attachments validate by it */
    uint32_t orphans;                            /* hint: spans of the departed may be there */
    uint32_t reserved1[13];
    uint64_t reserved2[16];
};
_Static_assert(sizeof(struct participants) == 256, "participants layout");
_Static_assert(offsetof(struct participants, pid_namespace) == 8, "participants layout");
_Static_assert(offsetof(struct participants, epoch) == 64, "participants layout");

#endif

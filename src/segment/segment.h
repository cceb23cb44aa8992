/* segment/segment.h - one process's handle on a segment, and what a floor above hands down to the lifecycle.
 *
 * struct tarn is private memory. `geometry` is copied from the stamp once, after it was checked, so nothing that a hostile
 * writer changes later changes a bound. Process-wide state (the list of handles) is under the lock in segment.c. */
#ifndef TARN_SEGMENT_H
#define TARN_SEGMENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tarn.h"
#include "os/error.h" /* fail() */
#include "os/os.h"
#include "segment/layout.h"

#define TARN_RARE(c) __builtin_expect(!!(c), 0)
/* The compiler keeps stores on both sides in order. Against a kill that is all there is to do: see docs/crash-core.md. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")

struct backing;
struct keeping;
struct self;

/* What the stamp says, checked, in this process. */
struct geometry {
    uint64_t zone[ZONES]; /* offsets */
    uint64_t limit;       /* bytes of data space at most */
    uint64_t end;         /* zone[ZONE_DATA] + limit, in whole pages: bytes that are mapped */
    uint64_t page;        /* bytes of a page of its memory */
    uint32_t span_size, span_shift, spans, side_size; /* spans: at most */
    uint32_t record_size, records;
    uint32_t slots;     /* held slots within a record */
    uint32_t log_words; /* log words within a record */
    uint32_t events;    /* events of the flight recorder within a record, a power of two */
    uint32_t options;
    uint64_t address; /* of same-address segments; else 0 */
};

struct tarn {
    char *base;                                    /* where this process has it; fixed */
    struct geometry geometry;                      /* fixed */
    bool readonly, exchange_unlock, uninitialized; /* fixed */
    uint32_t guards; /* how many ranges of pages have rights of their own (guard.c); atomic, written under its lock */
    uint32_t lifts;                /* how many have lifted those for a while; atomic */
    bool executable;               /* fixed */
    bool finds_deadlocks;          /* tarn_set_deadlock: of this process's waits outside sections, too */
    struct object object;          /* a descriptor, or an id; fixed */
    const struct keeping *keeping; /* fixed: what can be done with it */
    const struct backing *backing; /* fixed; NULL: opened by descriptor */
    char *url;                     /* as opened, or NULL */
    uint64_t device, inode;        /* of the object: two opens of one segment share one handle */
    int user;                      /* the byte that says it is attached (users.c); -1: none; fixed */
    bool durable;                  /* it survives the machine: tenure.c; fixed once it is attached */
    bool no_growth; /* it came without the right to grow; atomic: another open of it may bring the right */
    int user_weak; /* as `user`, but a reader's lock, of a writer whom readers' locks kept from his own; -1: none */
    bool user_shared; /* a forked child has the same open file description, so its byte is not this process's to give up */
    int heir, heir_user,
        heir_weak; /* between fork and its handlers: the child's open file description, its bytes; -1 else */
    uint32_t lifetime;    /* enum segment_lifetime; fixed once it is attached */
    bool heir_came;       /* in a child's handlers: it took its heir over */
    bool creator, leaves; /* it ends with this process; it is being closed. lifetime.c; under the list's lock */
    int creator_fd; /* an open file description of this process alone, with the creator's byte; -1: none */
    bool private;   /* a copy of this process's own: place.c; fixed */
    char *raw;      /* TARN_RAW: the bytes, and base is of nothing (raw.c); else NULL; fixed */
    uint64_t raw_length, raw_offset;
    uint64_t backed;   /* bytes of data space that the file was seen to have; only rises */
    uint32_t opens;    /* counted handles; under the list's lock */
    struct tarn *next; /* in the process's list; under its lock */

    /* the participant floor's */
    pthread_mutex_t claim_lock; /* orders this process's threads in claiming and leaving records */
    int claim_fd; /* an open file description of this process alone, for byte locks; -1: not yet, or none */
    _Atomic uint32_t selves; /* threads of this process that take part */
    bool claimless; /* no byte locks to be had: records are judged by pid namespace, tid and start time */
};

static inline struct segment_header *header_of(const struct tarn *seg)
{
    return (struct segment_header *)seg->base;
}
/* May this handle make it grow? */
static inline bool no_growth(const struct tarn *seg)
{
    return __atomic_load_n(&seg->no_growth, __ATOMIC_RELAXED);
}
/* Bytes of data space that it may become now: whole spans, at most the stamp's limit, whatever is in the header. configure.c */
uint64_t growth_limit_of(const struct tarn *seg);
/* committed as read, less what is beyond the limit, or beyond what the backing really has. grow.c */
uint64_t committed_checked(const struct tarn *seg, uint64_t committed);
/* Bytes of data space that may be touched; read anew at each call, never trusted beyond what the backing has. Pairs with grow's release. */
static inline uint64_t committed_of(const struct tarn *seg)
{
    uint64_t c = __atomic_load_n(&header_of(seg)->committed, __ATOMIC_ACQUIRE);
    return TARN_RARE(c > __atomic_load_n(&seg->backed, __ATOMIC_RELAXED)) ? committed_checked(seg, c) : c;
}
static inline uint64_t offset_of(const struct tarn *seg, const void *p)
{
    return (uint64_t)((const char *)p - seg->base);
}
static inline void *at_offset(const struct tarn *seg, uint64_t offset)
{
    return seg->base + offset;
}
/* Are these bytes within the committed data space? */
static inline bool in_data(const struct tarn *seg, uint64_t offset, uint64_t size)
{
    uint64_t from = offset - seg->geometry.zone[ZONE_DATA], committed = committed_of(seg);
    return offset >= seg->geometry.zone[ZONE_DATA] && from <= committed && size <= committed - from;
}
/* ... or in the names' zone: where a section may write */
static inline bool in_writable(const struct tarn *seg, uint64_t offset, uint64_t size)
{
    const uint64_t *zone = seg->geometry.zone;
    return in_data(seg, offset, size) ||
           (offset >= zone[ZONE_NAME] && offset <= zone[ZONE_SIDE] && size <= zone[ZONE_SIDE] - offset);
}

/* One floor's part in the lifecycle. All may be NULL. Filled in once, in src/floors.c, lowest first. */
struct floor {
    const char *name;
    uint64_t (*zone_size)(const struct geometry *g); /* bytes, of zone `zone` */
    enum segment_zone zone;
    void (*create)(struct tarn *seg); /* fresh, zeroed, nobody sees it yet */
    int (*attach)(struct tarn *seg);  /* this process has mapped it */
    int (*close)(struct tarn *seg);   /* asked before unmapping: -EBUSY refuses, and nothing is done */
    void (*unmap)(struct tarn *seg);  /* it will be unmapped now */
    void (*fork)(struct tarn *seg); /* this process forks: nothing of the floor's may be half-done meanwhile */
    void (*parent)(struct tarn *seg); /* it has forked */
    void (*child)(struct tarn *seg);  /* in a forked child, in the atfork handler, instead of `parent` */
    void (*stat)(struct tarn *seg, struct tarn_stat *ret);
    void (*grown)(struct tarn *seg, uint64_t from, uint64_t to); /* bytes of data space: this thread has published that */
    /* of what survives the machine: */
    int (*settle)(struct tarn *seg); /* asked of who seems to be the last to leave: put right what the dead left, if it can be */
    void (*all_dead)(struct tarn *seg); /* nobody else is in it, and none of those who took part is alive: put right what they left. Repeatable */
};
extern const struct floor *const tarn_floors[]; /* ends with NULL; src/floors.c */
uint32_t tarn_side_size(uint32_t span_size); /* bytes of side table a span, by its size: the heap's; src/floors.c */

/* ---- segment.c, open.c: lifecycle; grow.c ---- */

/* -EINVAL with a sentence, if it was attached with TARN_RAW; else 0. raw.c */
int raw_refused(const struct tarn *seg, const char *call);

/* Fill the computed fields from limit, span_size, record_size, records, options. 0, or -EINVAL with tarn_error naming the field. */
int geometry_compute(struct geometry *g);

/* Commit at least `bytes` more of data space (rounded up; more if it is cheap), for everybody. 0, -ENOSPC (limit, or backing: named).
 * Any participant, any time; no lock: racing callers each commit, one publishes. Commit point: the compare-and-swap of
 * header.committed, after the backing has committed side tables and data. */
int segment_grow(struct tarn *seg, uint64_t bytes);

/* For tests: how long tarn_check waits before it looks again at what it found. */
extern long check_pause_ns;

/* The n-th fork of this process counts up: a private thing that remembers another number belongs to the parent. */
uint32_t process_generation(void);

#endif

/* participant/participant.h - the crash core: records and liveness, sections and the log, recovery.
 *
 * Two structs per concept: struct record (layout.h) lives in the segment; struct self is a thread's private half of it, in a page
 * that a forked child finds wiped (MADV_WIPEONFORK): there `id` is 0, and the child's thread gets a record of its own.
 * Higher floors hand recovery down in struct recovery: this floor knows neither heap nor mutex. */
#ifndef TARN_PARTICIPANT_H
#define TARN_PARTICIPANT_H

#include "os/futex.h"
#include "participant/layout.h"
#include "segment/segment.h"

struct self {
    uint32_t id;         /* identity; 0: wiped, or not taking part */
    uint32_t slot_flags; /* SLOT_SECTION in a section, else 0: or-ed into the slots of locks taken now */
    uint64_t journal;    /* what the journal word is: only its thread writes it */
    struct record *record;
    uint64_t *slot; /* record's held slots, the first geometry.slots of them */
    struct tarn *seg;
    struct tarn *plain; /* seg while no section is open here, else no segment: one comparison for both */
    uint32_t depth;     /* of nested sections */
    uint32_t doomed;    /* an inner one was aborted */
    uint32_t frees;     /* LOG_FREE and LOG_RETIRE entries in the log */
    uint32_t read_depth;
    uint32_t code; /* 1 + index % 127: what it writes into the R byte of a block it frees */
    uint64_t *freed; /* blocks freed in this section, by open addressing: a second free is seen without reading the log */
    uint32_t freed_room;    /* words of it, a power of two; 0: none yet, the log is read */
    uint32_t section_slots; /* slots with SECTION, DEFER or MEND: the end pass has something to do */
    uint64_t slots_used;    /* record->slots_used */
    uint32_t bell;          /* nested bell_arm */
    uint32_t recovered;     /* how many it has recovered */
    bool refused;           /* the last save, because this process may not write there: tarn_error says it */
    void *volatile *pending; /* list_op_pending in glibc's robust list head of this thread; NULL: it has none. See bell_arm */
    void *bell_entry; /* what is stored there */
    /* the log: words [log_base, log_base + log_room) are at log_at; log_extent: refs of its extents so far seen, first to last (log.c) */
    uint64_t *log_at, log_base, log_room;
    uint64_t *log_extent;
    uint32_t log_extents, log_extent_room;
    struct self *next; /* of the same thread, other segments */
    void *heap;        /* the heap's caches: private memory, in the same mapping (see recovery.cache_size).
                               * NULL in a self lent to a recoverer: it has no caches, and its spans are nobody else's yet */
};

/* ---- words ---- */
static inline uint64_t load64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline uint32_t load32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
/* A store that is one of an order of stores: release for live readers, and a compiler barrier for the order against a kill. */
static inline void store64(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
    compiler_barrier();
    kill_point();
}
static inline void store32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
    compiler_barrier();
    kill_point();
}
static inline void store8(uint8_t *p, uint8_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
    compiler_barrier();
    kill_point();
}
static inline bool swap32(uint32_t *p, uint32_t *expected, uint32_t v)
{
    bool ok = __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    kill_point();
    return ok;
}
static inline bool swap64(uint64_t *p, uint64_t *expected, uint64_t v)
{
    bool ok = __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    kill_point();
    return ok;
}
static inline uint32_t exchange32(uint32_t *p, uint32_t v)
{
    uint32_t was = __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
    compiler_barrier();
    kill_point();
    return was;
}

/* The calling thread's self in the segment, taking part if it does not yet. NULL, with *ret_error (-EUSERS, -EROFS, -ENOMEM). */
extern __thread struct self *self_last __attribute__((tls_model("initial-exec"))); /* never NULL */
struct self *self_slow(struct tarn *seg, int *ret_error);
static inline struct self *self_of(struct tarn *seg, int *ret_error)
{
    struct self *s = self_last;
    if (TARN_RARE(s->seg != seg)) /* in a forked child seg is wiped too */
        return self_slow(seg, ret_error);
    return s;
}
/* The calling thread's self if it takes part already, else NULL. */
struct self *self_if(struct tarn *seg);

/* ---- records ---- */
static inline struct participants *participants_of(const struct tarn *seg)
{
    return (struct participants *)(seg->base + seg->geometry.zone[ZONE_PARTICIPANT]);
}
static inline struct record *record_at(const struct tarn *seg, uint32_t index)
{
    return (struct record *)(seg->base + seg->geometry.zone[ZONE_PARTICIPANT] + sizeof(struct participants) +
                             (uint64_t)index * seg->geometry.record_size);
}
static inline uint64_t *record_slots(struct record *r)
{
    return (uint64_t *)(r + 1);
}
static inline uint64_t *record_log(const struct tarn *seg, struct record *r)
{
    return record_slots(r) + seg->geometry.slots;
}

/* What is known of an identity. GONE: its record has been recovered, or left, since. */
enum fate { GONE, ALIVE, FALLEN };
enum fate fate_of(struct tarn *seg, uint32_t id);
/* Its liveness word says that it is dead, but it is of another PID namespace and has no second witness: it counts as alive until somebody of its own
 * comes. */
bool fate_is_doubtful(struct tarn *seg, uint32_t id);
/* The same by liveness word and generation alone, without the second witness: for hot paths. */
enum fate fate_quick(struct tarn *seg, uint32_t id);

/* ---- recovery ---- */

/* Recover the participant if it is FALLEN, and dead recoverers first. Returns 0 when it is recovered, lives, or is gone; else the
 * identity of the living participant who is at it. Commit points: docs/crash-core.md. */
uint32_t recover(struct self *me, uint32_t id);
/* All that are dead now. Returns how many. */
int recover_all(struct self *me);

/* What higher floors do for it. `dead` is lent to the recoverer: a self whose record is the dead one's. Each is repeatable:
 * it may be stopped after any store, and run again from its start. */
struct recovery {
    void (*intent)(struct self *dead, uint64_t intent);    /* heap: roll the one-step operation forward */
    void (*undo_alloc)(struct self *dead, uint64_t block); /* heap: retire an allocation undone */
    void (*free_block)(struct self *dead, uint64_t block, unsigned kind); /* heap: one committed free, if not done yet */
    void (*free_slot)(struct self *dead, uint64_t *slot, unsigned journal_state,
                      uint32_t id);                   /* sync: release what a dead one held */
    void (*end_slot)(struct self *s, uint64_t *slot); /* sync: what a slot becomes when the section has ended */
    int (*alloc_extent)(struct self *s, uint64_t *place); /* heap: alloc_into, outside the section, zeroed */
    const size_t *cache_size;      /* heap: bytes of private caches in each self; NULL: none */
    void (*leave)(struct self *s); /* heap: it leaves in good order */
};
extern const struct recovery tarn_recovery; /* src/floors.c */

/* ---- the bell ---- */

/* From here on, if this thread dies, the kernel wakes a sleeper on the segment's bell, who wakes the rest. No glibc robust mutex may
 * be touched until bell_disarm. */
static inline void bell_arm(struct self *s)
{
    if (s->bell++ == 0 && s->pending)
        os_bell_store(s->pending, s->bell_entry);
    compiler_barrier();
}
static inline void bell_disarm(struct self *s)
{
    compiler_barrier();
    if (--s->bell == 0 && s->pending)
        os_bell_store(s->pending, NULL);
}

/* ---- the log, for floors above: an open section appends ---- */

/* One word of the kinds LOG_ALLOC, LOG_FREE, LOG_RETIRE, LOG_COUNT. 0, or -ENOSPC. */
int log_word(struct self *s, uint64_t word);
/* Room for so many of these (a few), so that the next log_word calls cannot fail. 0, -ENOSPC. */
int log_reserve(struct self *s, uint64_t words);
/* Is block listed to be freed in the open section already? Quick for many frees, as long as there is private memory. */
bool log_frees(struct self *s, uint64_t block);
/* Save n words at offset, which the caller has checked. 0, -ENOSPC. */
int log_save(struct self *s, uint64_t offset, uint64_t words);
/* tarn_begin, tarn_commit, tarn_abort without the look-up of self. */
int section_begin(struct self *s);
int section_commit(struct self *s);
int section_abort(struct self *s);
/* The end of a call that is a section of its own, or part of the open one: e < 0 undoes it, if it is its own, and is returned. */
int section_end(struct self *s, int e);
int log_is_full(void); /* -ENOSPC, with the words for it; -EACCES, if that was why the last save failed */
/* log_save of words at that address, with the words for its failure. */
static inline int section_save(struct self *s, const void *from, uint64_t words)
{
    return TARN_RARE(log_save(s, offset_of(s->seg, from), words)) ? log_is_full() : 0;
}
/* Save a word, and store it. */
static inline int section_store(struct self *s, uint64_t *word, uint64_t value)
{
    int e = section_save(s, word, 1);
    if (e == 0)
        store64(word, value);
    return e;
}
/* What a call has begun cannot stand: the whole section must not commit. Returns e. */
static inline int section_doom(struct self *s, int e)
{
    s->doomed = 1;
    return e;
}

/* Bytes of an extent (a block of the heap), and the words in it. */
static inline uint32_t extent_size(const struct geometry *g)
{
    return g->span_size / 8 < 4096 ? g->span_size / 8 : 4096;
}
static inline uint32_t extent_words(const struct geometry *g)
{
    return (extent_size(g) - (uint32_t)sizeof(struct extent)) / 8;
}

/* ---- held slots ---- */

#define SLOTS_MOST                                                                                           \
    65536u /* locks that one participant may hold; whatever a record says, no walk looks at more */

/* A walk over a record's held slots, in it and then in its extents: `used` of them, as the record says, or as its own thread knows.
 *     for (struct slots w = slots_of_record(seg, r, used); (slot = slot_next(&w));)
 * It ends early where a chain is damaged, or goes in a circle. */
struct slots {
    const struct tarn *seg;
    uint64_t *at;   /* the next one */
    uint64_t here;  /* left in this array */
    uint64_t left;  /* left at all */
    uint64_t *link; /* to the next extent */
};
static inline struct slots slots_of_record(const struct tarn *seg, struct record *r, uint64_t used)
{
    return (struct slots){.seg = seg,
                          .at = record_slots(r),
                          .here = seg->geometry.slots,
                          .left = used < SLOTS_MOST ? used : SLOTS_MOST,
                          .link = &r->held_more};
}
bool slots_extent(struct slots *w); /* the next extent; false: none */
static inline uint64_t *slot_next(struct slots *w)
{
    if (!w->left || (TARN_RARE(!w->here) && !slots_extent(w)))
        return NULL;
    w->left--;
    w->here--;
    return w->at++;
}
/* A free slot, or the slot of this offset; NULL: none (free: and no memory for an extent). */
uint64_t *slot_free(struct self *s);
uint64_t *slot_find(struct self *s, uint64_t offset);
/* Does any held slot of any participant point into [from, from + size)? Such a block does not leave limbo. */
bool slot_points_into(struct tarn *seg, uint64_t from, uint64_t size);

/* ---- readers ---- */

/* Start a new epoch. Returns the newest epoch e such that all who read now began after it: a block that all saw freed when the epoch was
 * f may be handed out again if f < e (see docs/crash-core.md, 'Grace'). */
uint64_t epoch_advance(struct self *s);
/* That f, for what the calling thread has freed itself, or seen freed: its own stores are seen by all before it looks. */
uint64_t epoch_seen(const struct tarn *seg);
static inline uint64_t epoch_now(const struct tarn *seg)
{
    return __atomic_load_n(&participants_of(seg)->epoch, __ATOMIC_ACQUIRE);
}
/* What is retired from here on stays as it is until unpin. Nests. */
static inline void epoch_pin(struct self *s)
{
    uint64_t pin;
    if (s->read_depth++)
        return;
    pin = 1 + epoch_now(s->seg);
    if (TARN_RARE(s->seg->exchange_unlock))
        __atomic_exchange_n(&s->record->epoch, pin, __ATOMIC_SEQ_CST);
    else
        store64(&s->record->epoch, pin); /* pairs with the membarrier of epoch_advance */
}
static inline void epoch_unpin(struct self *s)
{
    if (--s->read_depth == 0)
        store64(&s->record->epoch, 0);
}
/* Orders the pins and unlocks of all other threads, that used plain stores, before what this thread reads from here on. */
void all_threads_barrier(struct tarn *seg);

extern const struct floor participant_floor;

#endif

/* soak.h - processes doing everything at random to one segment, and dying; a log outside the segment says what must be there.
 *
 * soak.c   the controller: makes segments, forks workers, kills, stops and continues them, has rounds come to a standstill
 * work.c   what a worker does: one table of operations {name, weight, function}, and one of the steps of a section
 * sync.c   what it does with the objects of synchronisation other than the mutex, and what they must be at a standstill
 * coll.c   what it does with the vector, the byte string, the queue and the stack
 * death.c  how it dies; life.c: how it comes, stands still and leaves
 * log.c    what was done: the log, and the comparison of a segment with it
 *
 * Each slot of the log is one thread's at a time. What only the thread of slot s changes is an *item* of s: a number in the log
 * says what it must be in the segment. Before an operation, each item that it changes is listed with the number before and after;
 * afterwards the list is taken back. So an operation in flight at a death has happened if all its items hold their numbers of after, and has
 * not if all hold those of before; anything else is a violation. What all change (counters, boxes, lists, maps) is made so that each slot's share
 * is an item, and that the shares add up to the whole, under the lock that guards it. */
#ifndef SOAK_H
#define SOAK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tarn.h"

#ifndef __has_feature
#define __has_feature(f) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED true /* which takes much address space, and SIGSEGV for itself */
#else
#define SANITIZED false
#endif

enum {
    PROCESSES = 8,      /* most */
    THREADS = 3,        /* of a process, most */
    LANE = THREADS + 1, /* slots of a process: its threads, and a child that one of them forks */
    SLOTS = PROCESSES * LANE,
    PLAIN = 4,    /* counters whose locks are also taken outside sections, in ascending order */
    COUNTERS = 8, /* the others: in sections only, in any order */
    CELLS = 8,
    MEMBERS = 8,
    KEYS = 24,
    STRINGS = 12,
    LEAVES = 40, /* keys of the tree of numbers */
    WORDS = 20,  /* ... of strings */
    NAMES = 3,
    LISTS = 3,
    RWLOCKS = 2,                /* the second with TARN_RWLOCK_WRITERS */
    LOCKS = COUNTERS + RWLOCKS, /* those that a death may leave dirty */
    SEMAPHORES = 2,
    HELD_UNITS = 6,
    BARRIERS = 2, /* the second drops its dead */
    ONCES = 8,
    SHARES = 2,   /* of coll.c */
    CHANGES = 24, /* of one operation, most */
};

/* Items: the first of each kind. What their numbers mean: see item_holds. */
enum {
    PART = 0,
    PUTS = PART + COUNTERS,
    TAKES = PUTS + COUNTERS,
    WRITTEN = TAKES + COUNTERS,
    SHARED = WRITTEN + RWLOCKS,
    CELL = SHARED + SHARES,
    MEMBER = CELL + CELLS,
    KEY = MEMBER + MEMBERS,
    STRING = KEY + KEYS,
    LEAF = STRING + STRINGS,
    WORD = LEAF + LEAVES,
    NAME = WORD + WORDS,
    HOT = NAME + NAMES,
    ITEMS
};

/* What shows that the objects of sync.c are used as they are meant to be: see log.came. */
enum { UPGRADES, DIRTY_RWLOCKS, SIGNALLED, ALL_UNITS, TURNS, BROKEN_BARRIERS, ONCES_DONE, AWAITED, CAME };

/* ---- in the segment ---- */

struct counter {
    tarn_mutex lock;
    uint64_t total;              /* == sum of part; may be torn if the lock comes with TARN_RECOVERED */
    tarn_ref box;                /* a block that one slot put there, and another takes and frees */
    uint64_t box_size, box_mark; /* what it is filled with */
    uint64_t part[SLOTS], puts[SLOTS], takes[SLOTS];
};
struct guarded { /* by a rwlock */
    tarn_rwlock lock;
    uint64_t first, second; /* == sum of written, both; may be torn if the lock comes with TARN_RECOVERED */
    uint64_t written[SLOTS];
};
struct root {
    struct counter counter[COUNTERS];
    struct guarded guarded[RWLOCKS];
    tarn_condition added[PLAIN]; /* of the counters' locks */
    tarn_semaphore semaphore[SEMAPHORES];
    tarn_held held;
    tarn_barrier barrier[BARRIERS];
    struct {
        tarn_once once;
        uint64_t made;
    } once[ONCES]; /* fresh each round */
    tarn_event manual, automatic;
    uint64_t share[SHARES][SLOTS]; /* what each slot put into the collections of coll.c, less what it took */
    struct {
        tarn_ref cell[CELLS], member[MEMBERS];
    } area[SLOTS];
};
struct member {
    tarn_link link;
    uint64_t list, slot, index;
};

/* ---- outside of it: shared, and there as long as the controller is ---- */

struct change {
    uint64_t item, before, after;
};

struct log { /* written by the slot's thread; by the controller when that is dead or stands still */
    uint32_t incarnation; /* counts the users of the slot */
    uint32_t dying;       /* the incarnation that is to die, */
    uint64_t dying_ns;    /* from this time on. By the controller, too */
    uint64_t reaped_ns;   /* when the controller was told that `reaped`, an incarnation, is dead */
    uint32_t reaped;
    pid_t pid;
    uint64_t child; /* of the last slot of a lane: {incarnation:32, pid:32, 0 as long as it has not said}; see say_who */
    uint32_t active;   /* 1: a thread works here; 2: it has ended, and is to be joined */
    uint32_t parked;   /* the standstill that it keeps */
    uint32_t changes;  /* of `change` that count */
    uint32_t undone;   /* 1: in a section that has not come to its commit: if it dies, nothing has happened */
    uint32_t soils;    /* bits of locks that its death may leave dirty, */
    uint32_t soils_as; /* that of this incarnation */
    uint32_t ends;     /* the signals that its threads are about to raise: bits */
    uint32_t what;     /* the operation it is at, */
    uint64_t since_ms; /* since when */
    uint64_t item[ITEMS];
    struct change change[CHANGES];
    uint64_t reads[RWLOCKS]; /* who reads under it: as holder */
    uint64_t units[SEMAPHORES]; /* {posted and not taken: 32, what the call in flight would add to that: 32} since the last standstill */
    uint32_t low[SEMAPHORES], high[SEMAPHORES]; /* of the dead: units that their last calls may have taken, or posted */
    uint64_t has;                               /* {units of the held semaphore: 32, incarnation: 32} */
    uint64_t member[BARRIERS];                  /* {incarnation: 32, a count: 30, in a wait: 1, member: 1} */
    uint64_t member_ns[BARRIERS];               /* when it was so */
    uint64_t sets, passes; /* of the automatic event, since the last standstill: begun; done */
    uint64_t operations, waits, waited_ns, longest_ns, latest_ns, aborted, full, circles, read_only, forked, execs;
    uint64_t came[CAME];     /* what of sync.c came about */
    uint64_t wait_below[24]; /* how many of the waits took less than 2^n us */
};

enum phase { RUN, STAND, TEAR_DOWN, LEAVE };

struct shared {
    uint64_t seed;
    uint32_t turn;  /* counts the changes of phase: workers sleep on it */
    uint32_t phase; /* enum phase */
    uint32_t round, life;
    uint32_t stops, stopped; /* SIGSTOPs so far; stopped now */
    uint32_t cap_off, same_address;
    char url[256];
    uint32_t url_is_anonymous; /* no URL leads to it */
    int segment_fd;            /* for an exec'ed worker, where no URL leads to it; else -1 */
    uint64_t holder[LOCKS];    /* who has the lock (to write): {slot + 1, incarnation}, or 0; by its holder */
    uint64_t left_dirty[LOCKS]; /* 1: the next must be told; by its holder */
    uint32_t soiled[LOCKS];     /* deaths that may have left the lock dirty */
    uint32_t told[LOCKS];       /* how often it was found so */
    uint64_t units[SEMAPHORES]; /* at the last standstill */
    uint64_t resets_begun[BARRIERS], resets_ended[BARRIERS], reset_ns[BARRIERS]; /* of workers; when the last one ended */
    uint64_t once_in[ONCES], once_ended[ONCES]; /* who runs it: as holder; 1: somebody was told that it is done */
    uint32_t fault_taken;
    char fault[400];
    struct log log[SLOTS];
};

extern struct shared *shared;
extern tarn *segment;
extern struct root *root;
extern tarn_map *numbers, *strings;
extern tarn_tree *leaves, *phrases;
extern unsigned processes;

/* The calling thread: which slot's items it changes, and its stream of random numbers. */
struct self_ {
    unsigned slot;
    struct log *log;
    uint64_t random;
};
extern __thread struct self_ me;

/* ---- small things ---- */

uint64_t mix(uint64_t x);
uint32_t chance(uint32_t n); /* 0 to n - 1 */
uint64_t now_ns(void);
uint64_t now_ms(void); /* coarse, cheap */
#define barrier_() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Says what is wrong, stops for ever; the controller keeps the segment's image. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- log.c ---- */

void be(unsigned slot); /* from now on this thread works for that slot */
void expect(unsigned item, uint64_t after);
uint64_t now_is(unsigned item); /* with the changes in flight */
void settle(void);              /* they have happened */
void drop(void);                /* they have not */

/* A number of a cell or string: {size:32, mark:32}; a mark of ANY_MARK is not compared. */
#define ANY_MARK 0xffffffffu
#define SIZED(size, mark) ((uint64_t)(size) << 32 | (mark))
#define SIZE_OF(number) ((size_t)((number) >> 32))
#define MARK_OF(number) ((uint32_t)(number))
void fill(void *block, size_t size, uint64_t key);
bool filled(const void *block, size_t size, uint64_t key);
bool zeroed(const void *block, size_t size);
uint64_t cell_key(unsigned slot, unsigned index, uint32_t mark);
uint64_t string_filling(bool tree, unsigned slot, unsigned index, uint32_t mark); /* of the value of a key of strings */
uint64_t number_key(unsigned slot, unsigned index);
size_t string_key(char *to, unsigned slot, unsigned index);
void object_name(char *to, unsigned slot, unsigned index);

bool item_holds(unsigned slot, unsigned item, uint64_t number);
const char *item_name(unsigned item);
void resolve(void);     /* what the last user of my slot had in flight; all dead are recovered first */
void compare_all(void); /* at a standstill: the whole segment with the whole log */
void compare_objects(void); /* ... those of sync.c. Afterwards they are as they are to be at a round's beginning */
uint64_t extents(void); /* bytes of log and slots that stay with the records */

/* ---- work.c, death.c, life.c ---- */

const char *operation_name(unsigned n);
void work(unsigned slot, bool guest); /* a worker's thread, until the end */
void mark_dying(struct log *l, uint64_t when);
bool say_who(struct log *child, uint32_t incarnation, pid_t pid);
void open_maps(void);
void tear_down(void); /* everything of my slot */
void empty_boxes(void);
int open_segment(unsigned flags, tarn **ret);
void make_objects(void);                                     /* of sync.c, in a new segment */
void compare_collections(void), take_down_collections(void); /* coll.c */
extern char *program;                                        /* to exec */
extern int shared_fd;

#endif

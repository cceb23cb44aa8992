/* explore.h - the explorer: the real library under a scheduler of ours, that switches at its shared accesses.
 *
 * docs/proof.md says what is explored and what is not. Between the explorer's own files and the cases.
 *   machine.c  participants as coroutines, memory whose every store can be taken back, store buffers
 *   tsan.c     what the compiler calls at each access: __tsan_*
 *   os.c       the kernel: futexes, the robust list, byte locks, the membarrier
 *   search.c   all interleavings, deaths and delays, states remembered by hash
 *   case_*.c   what the participants do; a case is a row in a table of its file */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tarn.h"

/* In all of the program these names lead to the hooks (clang makes such calls of its own, in the library), but not in the explorer's own files. */
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);
#define memcpy __real_memcpy
#define memmove __real_memmove
#define memset __real_memset

enum {
    PEOPLE = 3, /* participants of a case, at most; person PEOPLE is the driver, who sets up and judges */
    DRIVER = PEOPLE,
    WORDS = 6,  /* of one futex_waitv */
    BUFFER = 6, /* stores that one participant may delay */
    GHOSTS = 24
};

/* ---- cases ---- */

enum { ROOT_REFS = 14, ROOT_WORDS = 8, ROOT_LOCKS = 3, ROOT_LINK = 16 };
struct root { /* the named object "root" */
    tarn_ref ref[ROOT_REFS];
    uint64_t word[ROOT_WORDS];
    tarn_mutex lock[ROOT_LOCKS];
    tarn_list list;
    tarn_rwlock rwlock;
    tarn_condition condition;
    tarn_semaphore semaphore;
    tarn_held held;
    tarn_barrier barrier;
    tarn_once once;
    tarn_event event;
};

enum {
    CASE_NO_DEATH = 1,    /* nobody dies */
    CASE_UNJOINED = 2,    /* the participants do not take part yet when they begin */
    CASE_DEAD_FIRST = 4,  /* participant 0 has died after its `prepare`, and never runs */
    CASE_ALIKE = 8,       /* all do the same, and it matters to nobody who is who */
    CASE_SLOW_FILES = 16, /* byte locks of the dead go some time after all else: for claims */
    CASE_FEW = 32,        /* the segment has records for the driver and two others, and the spare */
    CASE_SOAK = 64,       /* in soak only */
    CASE_EXCHANGE = 128   /* a segment in which unlock is an exchange */
};

struct test_case {
    const char *name;
    int people, preemptions, soak; /* preemptions in check, and in soak */
    unsigned flags;
    void (*setup)(void);        /* by the driver */
    void (*prepare)(int p);     /* by each participant, before anything is explored; NULL: nothing */
    void (*run)(int p);         /* explored */
    const char *(*judge)(void); /* by the driver, at each end: NULL, or what is wrong. The dead are recovered */
};
extern const struct test_case *const case_tables[]; /* each ends with a row without a name; the last is NULL */

/* The caller's own handle, and its view of the root. */
tarn *seg_of(int p);
struct root *root(void);
/* By a case, in run: an access that is shared, and so a place to switch or to die. */
uint64_t shared_read(const uint64_t *word);
void shared_write(uint64_t *word, uint64_t value);
/* What the explorer knows and the participants do not: not shared, never switched at, taken back like everything else. */
extern uint64_t *ghost; /* [GHOSTS] */
bool died(int p);
bool anyone_died(void);
/* By a case, in run: from here on a time-out of p's may come at any time. */
void may_be_late(int p);
/* By a case, in setup: who sleeps when nobody can go on is right to do so if `f` says it, as where what he waits for was never given. */
void may_wait_if(bool (*f)(void));
/* By a case, in setup: time-outs never come. */
void time_stands(void);
/* In run and in judge: it must be so. */
void must_be(bool so, const char *what);
#define MUST(call) must_be((call) >= 0, #call " failed")

/* ---- machine.c ---- */

enum state { READY, SLEEPING, PAUSED, DONE, DEAD };
enum access { ACCESS_START, ACCESS_READ, ACCESS_WRITE, ACCESS_CHANGE, ACCESS_KERNEL };

struct delayed { /* a store that its own participant sees, and others do not yet */
    char *at;
    uint64_t value, under; /* under: what it hides, while its participant runs */
    uint32_t size, pad;
};

struct person {
    void *sp;
    uint32_t state, access; /* what it is about to do */
    const void *at;
    uint32_t *word[WORDS]; /* it sleeps on, or slept until it was woken */
    uint32_t words, woken, asleep_since, unused;
    uint32_t *pending; /* of its robust list */
    uint32_t delays;
    uint32_t bell, files;  /* of a dead one: what the kernel has yet to do */
    uint16_t timed, late;  /* it waits until a time; that has come */
    uint64_t private_hash; /* of its stack and thread-local words, while it does not run */
    uint64_t heap_used;
    int64_t byte;                   /* 1 + index of the record byte that it has locked; 0: none */
    struct delayed delayed[BUFFER]; /* `delays` of them; behind all else: what is not in use is not hashed */
};

/* All that is not memory: copied whole into a snapshot, and hashed. */
struct world {
    struct person person[PEOPLE + 1];
    uint64_t ghost[GHOSTS];
    int32_t running; /* -1: nobody */
    int32_t people, deaths_left, died;
    const char *wrong;
};
extern struct world world;
extern int budget; /* preemptions left: not part of the state */
extern int buffer_most;
extern bool (*may_wait)(void); /* NULL: nobody may */
extern bool never_late;        /* see time_stands */
extern bool exploring;         /* false: accesses are neither switched at nor taken back */

void machine_begin(const struct test_case *c); /* all are about to begin */
void machine_run(int p);                       /* until its next access, or until it sleeps or ends */
void machine_wipe(int p);
void machine_leave(int p, uint32_t keep); /* p, that runs, is switched away from, with its `keep` last stores delayed */
void machine_drain(int p, uint32_t count);        /* its oldest stores are seen by all; not while it runs */
void machine_alone(void (*f)(void *), void *arg); /* by the driver, and taken back */
void machine_as(int p, void (*f)(int p));         /* in set-up, as participant p */
uint64_t machine_hash(void);
void machine_agrees(void); /* the memory is what the hooks say it is; else a violation */

/* So far nobody else has written this word: so p, reading it, need not be switched away from. False once it turned out wrong. */
bool only_ours(int p, const void *at);
extern bool switch_everywhere; /* it is switched away from nevertheless: slower, to see that nothing is lost by that */
bool learned_more(void); /* somebody else has written such a word since this was last asked */

/* Take back all stores since the mark. */
size_t undo_mark(void);
void undo_to(size_t mark);
size_t snapshot_size(void);
void snapshot_take(char *to);
void snapshot_restore(const char *from);

/* By hooks, on a participant's stack. */
bool is_shared(const void *at);
bool is_tracked(const void *at); /* shared, or private memory that is taken back */
void point(enum access access, const void *at);
void put(void *at, const void *from, size_t n); /* a store that is seen at once */
void delay(void *at, uint64_t value, uint32_t size);
void fence(void);
void native_write(void *at, size_t n); /* a plain store follows */
void settle(void);                     /* it has happened */
void *private_alloc(size_t n);
void private_free(void *p);
bool is_private(const void *p);
void give_way(enum state s); /* sleep, pause or end: until somebody makes it READY */
void violation(const char *what);

/* ---- os.c ---- */

void kernel_kill(int p, bool slow_files);
void kernel_bury(int p);   /* the next thing that a death brings, after the first */
void kernel_changed(void); /* somebody stored something: those who pause look again */

/* ---- search.c ---- */

struct outcome {
    uint64_t states, ends;
    const char *wrong;
};
struct outcome search(const struct test_case *c, int preemptions, bool trace);

#endif

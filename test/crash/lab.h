/* lab.h - CRASHLAB: what a kill at every instruction of the real, optimised library leaves, and whether it is put right.
 *
 * One driver process an operation. It owns two small segments: S, in which the subject works, and I, into which it copies what a kill would
 * leave. In both the driver is participant 0: bystander in S, recoverer in I. The subject (participant 1) is a forked child that is single-stepped
 * through the operation; a second child (participant 2) is stepped through recoveries. */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tarn.h"
#include "tarn/channel.h"

enum { LAB_REFS = 12, LAB_WORDS = 12, LAB_LOCKS = 4, LAB_MARKS = 64 };

/* The named object "root" of a laboratory segment. */
struct root {
    tarn_ref ref[LAB_REFS];
    uint64_t word[LAB_WORDS];
    tarn_mutex lock[LAB_LOCKS];
    tarn_list list, other; /* their members: blocks of ref, a number first, the link at LAB_LINK */
    tarn_rwlock rwlock;
    tarn_condition condition;
    tarn_semaphore semaphore;
    tarn_held held;
    tarn_barrier barrier;
    tarn_once once;
    tarn_event event, automatic;
    tarn_ref collection[6]; /* the named objects of operations_coll.c, and two trees; 0: not there, or about to go */
    tarn_ref old_root; /* of tree64: a root of one child, which the operation does away with; 0: none */
};
enum { LAB_LINK = 16 };

/* The subject's view of its segment. */
struct lab {
    tarn *seg;
    struct root *root;
    tarn_map *map, *numbers;  /* of operations that use maps: opened by their set-up */
    tarn_tree *tree, *tree64; /* ... that use trees */
};

enum {
    OP_DIRTY = 1,      /* a lock is held outside a section: it may come back dirty */
    OP_MAPS = 2,       /* the maps "map" and "numbers" are there */
    OP_LEAVES = 4,     /* the subject may have left by itself: nothing to recover */
    OP_FEW = 8,        /* long: fewer of its images are used for kills in recovery */
    OP_GROWS = 16,     /* half of the data space is not committed yet */
    OP_TOPIC = 128,    /* the topic "topic" is there, or may be */
    OP_MQ = 256,       /* the message queue "mq" is there, or may be */
    OP_TREES = 64,     /* the trees "tree" and "tree64" are there */
    OP_MUST_DIRTY = 32 /* lock 0 is held outside a section all the time: it must come back dirty */
};

struct operation {
    const char *name;
    unsigned flags;
    void (*setup)(struct lab *l); /* the subject's, before it is stepped; NULL: none */
    void (*other)(struct lab *l); /* the driver's, in S, after that */
    void (*run)(struct lab *l);   /* stepped. mark() between states that are legal by themselves */
};
/* A table each file operations*.c, ended by a name of NULL; all of them, ended by NULL. */
extern const struct operation core_operations[], map_operations[], coll_operations[], heap_operations[],
    topic_operations[], mq_operations[], tree_operations[], ring_operations[], call_operations[];
extern const struct operation *const operation_tables[];

/* By the subject, in run: the present contents are a legal outcome. */
void mark(struct lab *l);
/* Abort the laboratory: a set-up failed. */
void lab_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#ifndef MUST /* failing.h has another */
#define MUST(call)                                                                                           \
    do {                                                                                                     \
        int must_ = (call);                                                                                  \
        if (must_ < 0)                                                                                       \
            lab_fail("%s:%d: %s: %d: %s", __FILE__, __LINE__, #call, must_, tarn_error());                   \
    } while (0)
#define MUST_BE(result, call)                                                                                \
    do {                                                                                                     \
        int was_ = (call);                                                                                   \
        if (was_ != (result))                                                                                \
            lab_fail("%s:%d: %s: %d, not %d: %s", __FILE__, __LINE__, #call, was_, result, tarn_error());    \
    } while (0)
#endif

/* ---- lab.c, for deaths.c ---- */

enum { STEPS_MOST = 400000, IMAGES_MOST = 20000 };

/* Shared between a driver and its children. */
struct lab_shared {
    volatile int done;
    int legal_count;
    uint64_t legal[LAB_MARKS];
    bool marking;
    char what[400];
};
extern struct lab_shared *shared;

struct counts {
    long points, recoveries, kills, violations;
};
extern struct driver {
    const struct operation *op;
    struct lab live, image; /* S and I */
    uint64_t size;          /* bytes of a segment */
    char *pristine, *previous;
    char **images;
    struct readers *readers; /* and those of each image */
    long *image_step;        /* the step before which each was taken */
    int images_count;
    uint64_t *trace; /* instruction pointers */
    long trace_count;
    struct counts counts;
} d;

void install(tarn *seg, const char *from, int keep);
void violation(const char *where, long step, const char *what);
pid_t subject(bool traced);
void reap(pid_t p);
bool run_to(pid_t p, long n);

/* ---- deaths.c ---- */

void deaths_prepare(void); /* in the subject: ready to die in other ways */
void pass_stopped_at(long n);
void pass_other_deaths(void);

/* ---- oracle.c ---- */

/* A number for what a user can see: words, blocks by their contents, names, maps. Not who owns a span, nor where a block is. */
uint64_t contents_of(tarn *seg, unsigned flags);
/* Are the lists whole as far as tarn_check may say so, also where a participant stands, or died, half-way? NULL, or what is not. */
const char *judge_lists(tarn *seg, const struct root *root);
/* Readers without a lock, one on each link since it was last in a list: are they told, by moves, that it was moved under them? */
struct readers {
    uint64_t root, at[LAB_REFS]; /* where the links are */
    uint64_t moves[2];           /* of the lists, now */
    int list[LAB_REFS];          /* 0: in none now; 1, 2: in which */
    int rank[LAB_REFS];
    bool known[LAB_REFS];       /* it was in a list */
    uint64_t then[LAB_REFS][2]; /* moves at the last moment when it was */
};
/* Go on to now. */
void note_readers(tarn *seg, struct readers *r);
/* And from then to now? NULL, or which is not. */
const char *judge_readers(tarn *seg, const struct readers *then);
/* Is everything in order once all dead are recovered? NULL, or what is not. legal: the numbers that contents may have. */
const char *judge(tarn *seg, unsigned flags, const uint64_t *legal, int legal_count);

/* ---- oracle_coll.c ---- */
uint64_t coll_contents(tarn *seg);                          /* part of contents_of */
const char *judge_coll(tarn *seg, const struct root *root); /* part of judge_lists */

/* ---- oracle_topic.c ---- */
uint64_t topic_contents(tarn *seg); /* part of contents_of */
const char *judge_topic(tarn *seg); /* part of judge; it publishes */

/* ---- oracle_ring.c ---- */
uint64_t ring_contents(tarn *seg); /* part of contents_of */
const char *judge_ring(tarn *seg); /* part of judge; it sends and receives */

/* ---- oracle_mq.c ---- */
uint64_t mq_contents(tarn *seg); /* part of contents_of */
const char *judge_mq(tarn *seg); /* part of judge; it sends and receives */

/* ---- oracle_call.c ---- */
enum { CALL_BODY_MOST = 60 };
size_t call_body_size(int i); /* of body i, 0 to 2 */
void call_body(void *to, int i, char what);
enum { REQUEST = 'a', ANSWER = 'p' };
const char *judge_call(tarn *seg); /* part of judge; it calls */

#endif

/* worker.h - what the files of a worker share: work.c, sync.c, death.c, life.c. See soak.h. */
#ifndef WORKER_H
#define WORKER_H

#include "soak.h"

extern tarn_list *lists[LISTS];
extern __thread bool guest; /* forked by a worker; its slot is the last of the lane */

static inline void put(uint64_t *to, uint64_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
    barrier_();
}

#define WANT(call)                                                                                           \
    do {                                                                                                     \
        int want_ = (call);                                                                                  \
        if (want_)                                                                                           \
            violation("%s: %d %s", #call, want_, tarn_error());                                              \
    } while (0)

/* ---- death.c ---- */

void moment(void); /* a good one to die, if it is to be now */
void plan_death(void);
void no_death(void);
void child_lives(void); /* a forked child: nothing of its parent's is planned for it */
void *exec_again(void *unused);

/* ---- work.c: locks. Those from COUNTERS on are rwlocks. ---- */

enum how { WAIT, TRY_IT, TIMED };

extern __thread bool in_section;
extern __thread bool held[LOCKS], put_off[LOCKS],
    mended[LOCKS];               /* by this thread; its unlock put off; made consistent in this section */
extern __thread unsigned lowest; /* plain counter that may be waited for yet */

struct timespec soon(uint32_t us);
bool may_be(int e); /* what stops a section, and is no fault */
bool is_full(int e);
uint64_t my_name(void);
bool is_doomed(uint64_t holder);
void may_soil(unsigned c);
void soils_not(unsigned c);
void is_told(unsigned c, bool told); /* the lock c is held */
int take(unsigned c, enum how how);
int took(unsigned c, bool told);
void give(unsigned c);
int add(unsigned c);

/* In a step: go on, or have the section aborted. */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        int try_ = (call);                                                                                   \
        if (try_ < 0 && !may_be(try_))                                                                       \
            violation("%s: %d %s", #call, try_, tarn_error());                                               \
        if (try_ < 0)                                                                                        \
            return try_;                                                                                     \
    } while (0)

/* ---- sync.c ---- */

void give_rwlock(unsigned r);
bool let_go_of_rwlock(unsigned r); /* true: it was held to read, and its death cannot soil it */
void child_holds_none(void);
void count_units(void); /* of the dead one whose slot is now mine */
int step_rwlock(void), step_refused(void);
void op_read(void), op_write(void), op_condition(void), op_nested(void), op_semaphore(void), op_held(void),
    op_barrier(void), op_once(void), op_event(void), op_wait_any(void), op_who_waits(void);

/* ---- coll.c ---- */

void open_collections(void);
int step_vector(void), step_chain(void), step_note(void);
void op_note(void), op_elements(void), look_at_collections(tarn *reader);

/* ---- work.c ---- */

void count_soiled(void); /* of the dead one whose slot is now mine */
void verify_cell(unsigned i);
void one_operation(void);     /* at random */
void wait_for_child(int how); /* 0, or WNOHANG */

#endif

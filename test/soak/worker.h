/* worker.h - what the files of a worker share: work.c, death.c, life.c. See soak.h. */
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

/* ---- work.c ---- */

void count_soiled(void); /* of the dead one whose slot is now mine */
void verify_cell(unsigned i);
void one_operation(void);     /* at random */
void wait_for_child(int how); /* 0, or WNOHANG */

#endif

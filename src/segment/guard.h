/* segment/guard.h - rights of pages, narrower than the mapping's, for this process (tarn_protect): which they are, and how the library gets by.
 *
 * Floors above ask before they hand such memory out or write there: guard_drop, guard_refuses; and what must read or write whatever it finds (recovery, undo, a
 * check) stands between guard_lift and guard_lower. `from`, `to`: offsets in the segment, whole pages. Any thread; the lock is the innermost. */
#ifndef TARN_GUARD_H
#define TARN_GUARD_H

#include "segment/segment.h"

enum { GUARD_NAME = 64 };
struct guard_name { /* of an object in the range, as whoever protected it knew it */
    uint64_t ref, size;
    char name[GUARD_NAME]; /* "": it has none */
};

static inline bool guarded(const struct tarn *seg)
{
    return TARN_RARE(__atomic_load_n(&seg->guards, __ATOMIC_RELAXED));
}

/* Of TARN_PROT_: what the mapping gives, and tarn_protect may take. */
uint32_t guard_widest(const struct tarn *seg);
/* 0, -ENOMEM (of memory, or of mappings; a part may have the new rights, and none is noted). */
int guard_set(struct tarn *seg, uint64_t from, uint64_t to, uint32_t rights, const struct guard_name *names,
              uint32_t count);
/* What lies there is freed, or handed out: the pages' rights are the mapping's again. */
void guard_drop(struct tarn *seg, uint64_t offset, uint64_t size);
/* -EACCES, with a sentence, if this process may not write there now; else 0. */
int guard_refuses(struct tarn *seg, uint64_t offset, uint64_t size);

/* Between the two no page has less than the mapping gives, whoever calls tarn_protect meanwhile. Nests. */
void guard_apply(struct tarn *seg);
static inline void guard_lift(struct tarn *seg)
{
    __atomic_add_fetch(&seg->lifts, 1, __ATOMIC_SEQ_CST);
    if (TARN_RARE(__atomic_load_n(&seg->guards, __ATOMIC_SEQ_CST))) /* pairs with set() in guard.c: it counts, and then looks at lifts */
        guard_apply(seg);
}
static inline void guard_lower(struct tarn *seg)
{
    if (__atomic_sub_fetch(&seg->lifts, 1, __ATOMIC_SEQ_CST) == 0 &&
        TARN_RARE(__atomic_load_n(&seg->guards, __ATOMIC_SEQ_CST)))
        guard_apply(seg);
}

/* Of the process's handles, for whoever is told of a fault: under the lock of handles. */
void guard_mapped(struct tarn *seg);
void guard_unmapped(struct tarn *seg);
void guard_fork(void);
void guard_parent(void);
void guard_child(void);

/* What is known of an address, for a signal handler: takes no lock. false: it is in nothing of ours. */
struct guard_found {
    uint64_t ref;    /* of the address; of TARN_RAW the offset */
    bool is_guarded; /* by tarn_protect */
    uint32_t rights; /* then; of TARN_PROT_ */
    bool is_named;   /* object, name: what the ref lies in */
    uint64_t object; /* its ref */
    char name[GUARD_NAME];
    char url[GUARD_NAME]; /* of the segment, cut; "": opened by descriptor */
};
bool guard_find(uintptr_t address, struct guard_found *ret);

#endif

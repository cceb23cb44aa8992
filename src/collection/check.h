/* collection/check.h - what tarn_check asks of each collection; and, of those that have no header of their own, what tarn_unbind does. */
#ifndef TARN_COLLECTION_CHECK_H
#define TARN_COLLECTION_CHECK_H

#include "collection/layout.h"
#include "participant/participant.h"

/* What is wrong with the one at ref, if anything: calls back. Bounded, whatever the bytes; takes no lock. A change that a living, stopped or dead
 * participant has in hand is no damage. */
struct collection_checker {
    void (*damage)(uint64_t ref, const char *what, void *arg);
    void (*block)(uint64_t ref, uint64_t size, void *arg); /* a block of its own */
    void (*member)(uint64_t ref, void *arg); /* a block of the user's, if one begins there, that is in it */
    void (*owner)(const tarn_mutex *mutex, void *arg);
    void *arg;
};
void vector_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k);
void bytes_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k);
void queue_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k);
void stack_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k);

/* In the open section: its blocks are retired, and then the one at ref. 0, -ENOSPC, -EDEADLK, -EINVAL. */
int vector_retire(struct self *s, uint64_t ref);
int bytes_retire(struct self *s, uint64_t ref);

/* Has a participant, alive or dead and not recovered, this mutex? */
static inline bool mutex_in_hand(struct tarn *seg, const tarn_mutex *m)
{
    uint32_t id = load32(&m->owner) & ~ID_DIRTY;
    return id && fate_quick(seg, id) != GONE;
}

/* Does it lie where users' memory is? */
static inline bool is_there(const struct tarn *seg, const void *object, size_t size)
{
    uint64_t at = offset_of(seg, object);
    return !seg->raw && at % 8 == 0 && in_data(seg, at, size);
}

#endif

/* participant/again.h - reading without a pin: what a read-only attachment does, that can announce nothing.
 *
 * It looks again and again, some 50 ms long, until nothing that it read can have been reused meanwhile (docs/crash-core.md, 'Grace'):
 *     for (struct again a = {0}; again_look(seg, &a);) { copy; if (again_is_good(seg, &a)) return ...; } return again_given_up(); */
#ifndef TARN_PARTICIPANT_AGAIN_H
#define TARN_PARTICIPANT_AGAIN_H

#include "participant/participant.h"

struct again {
    uint64_t epoch;
    int tries;
};
bool again_look(const struct tarn *seg, struct again *a);
static inline bool again_is_good(const struct tarn *seg, const struct again *a)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what was copied was read before the epoch is */
    return epoch_now(seg) - a->epoch < 2;
}
int again_given_up(void); /* -EAGAIN */

#endif

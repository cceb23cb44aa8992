/* participant/epoch.c - readers without locks: pins, and the grace that reclaimers wait for.
 *
 * A reader's pin is a plain store, made before it looks; the reclaimer's membarrier makes it visible. (After quiescent-state and epoch
 * reclamation: K. Fraser, 'Practical lock-freedom', 2004.) Where membarrier cannot be had, pins are stored by an exchange. The dead hold
 * nothing back; the stopped do, and tarn_participants shows them. */
#include <errno.h>
#include <time.h>

#include "os/futex.h"
#include "participant/again.h"

void all_threads_barrier(struct tarn *seg)
{
    if (seg->exchange_unlock)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    else
        os_membarrier();
}

/* Else, while a store of ours is not seen yet, another may start the next epoch, and a reader who pins that one still find what we have taken away. */
uint64_t epoch_seen(const struct tarn *seg)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return epoch_now(seg);
}

uint64_t epoch_advance(struct self *s)
{
    struct tarn *seg = s->seg;
    uint64_t least = __atomic_add_fetch(&participants_of(seg)->epoch, 1, __ATOMIC_SEQ_CST) - 1;
    all_threads_barrier(seg); /* pairs with the pins of tarn_read_begin */
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        uint64_t pin = load64(&r->epoch);
        if (pin && pin - 1 < least && fate_quick(seg, ID_MAKE(load32(&r->generation), i)) == ALIVE)
            least = pin - 1;
    }
    return least;
}

int tarn_read_begin(tarn *seg)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    if (TARN_RARE(!s))
        return e;
    epoch_pin(s);
    return 0;
}

int tarn_read_end(tarn *seg)
{
    struct self *s = self_if(seg);
    if (TARN_RARE(!s || !s->read_depth))
        return fail(-EPERM, "tarn_read_end: this thread has not called tarn_read_begin here");
    epoch_unpin(s);
    return 0;
}

/* ---- without a pin ---- */

#define TRIES 64

bool again_look(const struct tarn *seg, struct again *a)
{
    if (a->tries > 5) {
        struct timespec t = {.tv_nsec = a->tries <= 16 ? 50 * 1000 : 1000 * 1000};
        nanosleep(&t, NULL);
    }
    a->epoch = epoch_now(seg);
    return a->tries++ < TRIES;
}

int again_given_up(void)
{
    return fail(-EAGAIN, "memory was being reused each of the %d times this read-only attachment looked: try again",
                TRIES);
}

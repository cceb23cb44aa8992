/* channel/check.h - what tarn_check asks of a channel, beside those who use it: what the four kinds share. docs/channel.md, 'What tarn_check looks at'
 *
 * Private memory only. A check takes no lock, writes nothing, follows no number that it has not compared with the shape, and ends whatever the bytes. What it
 * calls damage is so at each single look: of words that living parties change it says what holds between any two of their stores, having read first what lags
 * behind what it reads later; and whose a chunk or a call is, only where nobody is who could be changing that. */
#ifndef TARN_CHANNEL_CHECK_H
#define TARN_CHANNEL_CHECK_H

#include "channel/channel.h"
#include "collection/check.h"

struct channel_check {
    const struct party *p; /* it only looks; its shape is checked, and it has a name */
    const struct collection_checker *k;
    uint32_t found; /* damages of this channel so far */
    bool still;     /* for tests: nobody is in a call, so what the living have is as it says, too */
};

/* It is looked for no more: hostile bytes would have each of a million words looked for among thousands of seats. */
static inline bool check_enough(const struct channel_check *c)
{
    enum { ENOUGH = 1000 };
    return c->found >= ENOUGH;
}
static inline void check_damage(struct channel_check *c, const void *at, const char *what)
{
    c->found++;
    c->k->damage(offset_of(c->p->seg, at), what, c->k->arg);
}

/* Does nobody change any more what this participant has but who clears its seat? */
static inline bool check_at_rest(const struct channel_check *c, uint32_t id)
{
    return c->still || fate_quick(c->p->seg, id) != ALIVE;
}
static inline bool check_is_id(const struct channel_check *c, uint32_t id)
{
    return id && ID_INDEX(id) < c->p->seg->geometry.records;
}

/* As long as seats_still says so, nobody has joined, left or been cleared, and nobody was in the midst of that. (One who dies in the midst, and whose lock is freed, all between the
 * two looks, is missed: the next look of tarn_check has another mark.) */
struct seats_mark {
    uint32_t changes;
    bool free; /* the lock was */
};
static inline struct seats_mark seats_mark(const struct party *p)
{
    bool free = !load32(&p->channel->lock.owner);
    return (struct seats_mark){.changes = load32(&p->channel->changes), .free = free};
}
static inline bool seats_still(const struct party *p, struct seats_mark m)
{
    return m.free && !load32(&p->channel->lock.owner) && load32(&p->channel->changes) == m.changes;
}

/* Positions are taken in order, each place again a lap later. Is every place as far as it must be, where all positions below `from` have been taken, and all
 * below the highest one that was seen? ahead: laps that the place of this position is ahead of it, -1: behind it. *ret_end: behind the highest one; or the position that is not
 * taken. Everything that `from` was read from was read before. */
bool places_in_order(uint64_t from, uint64_t capacity, int64_t (*ahead)(void *of, uint64_t position),
                     void *of, uint64_t *ret_end);

/* For tests: the first thing that is wrong with the channel, or NULL. still: nobody is in a call, and no dead one is to be cleared. */
const char *channel_fault(const struct party *p, bool still);

#endif

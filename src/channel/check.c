/* channel/check.c - tarn_check's look at a channel: its root, its lock, its seats; then the kind's own look at the rest. docs/channel.md, 'What tarn_check looks at' */
#include "channel/check.h"

#include <string.h>

#include "name/name.h"

enum { LAPS_MOST = 1 << 30 }; /* hints lag behind by a lap or two */

/* One turn round. False: *end is the position that is not taken; else it goes up to behind the highest one. */
static bool one_turn(uint64_t from, uint64_t capacity, int64_t (*ahead)(void *of, uint64_t position),
                     void *of, uint64_t *end)
{
    for (uint64_t at = from - capacity; at != from; at++) {
        int64_t laps = ahead(of, at);
        uint64_t last = at + (uint64_t)laps * capacity + 1;
        if (laps < 0 || laps > LAPS_MOST) {
            *end = at;
            return false;
        }
        if ((int64_t)(last - *end) > 0)
            *end = last;
    }
    return true;
}

bool places_in_order(uint64_t from, uint64_t capacity, int64_t (*ahead)(void *of, uint64_t position),
                     void *of, uint64_t *ret_end)
{
    *ret_end = from;
    return one_turn(from, capacity, ahead, of, ret_end) && one_turn(*ret_end, capacity, ahead, of, ret_end);
}

/* ---- what all have ---- */

static void check_seat(struct channel_check *c, const struct channel_seat *seat)
{
    struct seats_mark mark = seats_mark(c->p);
    uint32_t id = load32(&seat->id), role = load32(&seat->role);
    if (id && !check_is_id(c, id))
        check_damage(c, &seat->id, "a seat is taken by a participant that cannot be");
    else if (id && (!role || role & ~(TARN_SEND | TARN_RECEIVE)) && load32(&seat->id) == id &&
             seats_still(c->p, mark))
        check_damage(c, &seat->role, "a seat has a role that is none");
}

static int look(struct channel_check *c)
{
    const struct channel *channel = c->p->channel;
    if (load32(&channel->gone) > 1)
        check_damage(c, &channel->gone, "whether the channel was unbound is neither yes nor no");
    if (load32(&channel->unsaid) > 2)
        check_damage(c, &channel->unsaid, "what is to be said of the seats is nothing that can be");
    for (uint32_t i = 0; i < c->p->shape.seats && !check_enough(c); i++)
        check_seat(c, seat_at(c->p, i));
    return c->p->class->check(c);
}

int channel_check(struct tarn *seg, const struct name_copy *n, const struct collection_checker *k)
{
    struct party p = {0};
    struct channel_check c = {.p = &p, .k = k};
    if (in_data(seg, n->ref, sizeof(struct channel)) && n->ref % 8 == 0)
        k->owner(&((struct channel *)at_offset(seg, n->ref))->lock, k->arg);
    if (channel_attach(seg, n, &p)) {
        k->damage(n->ref, "the shape of a channel is none that can be, or its body is not there", k->arg);
        return 0;
    }
    k->block(p.shape.body, p.shape.bytes, k->arg);
    return look(&c);
}

/* ---- for tests ---- */

static void first_fault(uint64_t ref, const char *what, void *arg)
{
    const char **first = arg;
    (void)ref;
    if (!*first)
        *first = what;
}

const char *channel_fault(const struct party *p, bool still)
{
    const char *first = NULL;
    const struct collection_checker k = {.damage = first_fault, .arg = &first};
    struct channel_check c = {.p = p, .k = &k, .still = still};
    return look(&c) < 0 ? "no memory to look at it" : first;
}

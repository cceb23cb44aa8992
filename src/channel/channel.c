/* channel/channel.c - what the four channels share: making and opening one, seats, and the clearing of dead ones. docs/channel.md
 *
 *     seat taken  <=>  seat.id != 0;  its fields were stored before, and whatever it held was given back before id is 0 again
 * Both stores are made under the channel's lock, an inner one: only single stores change what it guards, so a death leaves it as it was. Commit points:
 * of joining and leaving, the store of seat.id; of making, the section's in which the name is bound.
 * A dead party's seat is cleared by whoever next joins, waits or watches; its record is recovered first, so nothing of it is half-done below this floor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/channel.h"
#include "name/name.h"
#include "os/probe.h"

enum { SEATS_DEFAULT = 32, SEATS_MOST = 4096, CAPACITY_DEFAULT = 1024, MESSAGE_DEFAULT = 64 };
enum { MOST = 1 << 30 };

static const struct channel_class *const classes[] = {&ring_class, &mq_class, &topic_class, &call_class, NULL};

static const struct channel_class *class_of_type(const char *type)
{
    for (int i = 0; classes[i]; i++)
        if (!strcmp(type, classes[i]->type))
            return classes[i];
    return NULL;
}

uint64_t channel_now(int clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- shapes ---- */

static uint64_t seats_bytes(const struct channel_shape *shape)
{
    return (uint64_t)shape->seats * sizeof(struct channel_seat);
}

/* What the shape makes of the rest of itself; else 0, with the words. */
static int complete(const struct channel_class *class, struct channel_shape *shape)
{
    uint64_t bytes;
    if (shape->seats - 1 >= SEATS_MOST)
        return fail(-EINVAL, "a %s for %u parties: 1 to %d", class->noun, shape->seats, SEATS_MOST);
    if (shape->capacity > MOST || shape->size > MOST)
        return fail(-EINVAL, "a %s of %u messages of %u bytes: each at most 2^30", class->noun,
                    shape->capacity, shape->size);
    bytes = class->bytes(shape);
    if (!bytes)
        return -EINVAL;
    shape->slots = seats_bytes(shape);
    shape->bytes = shape->slots + bytes;
    return 0;
}

static int shape_asked(const struct channel_class *class, const struct tarn_channel_options *o,
                       struct channel_shape *ret)
{
    static const struct tarn_channel_options defaults = {.size = sizeof defaults};
    if (!o)
        o = &defaults;
    if (o->size != sizeof *o || o->reserved[0] || o->reserved[1] || o->reserved[2])
        return fail(-EINVAL,
                    "the options of a %s are %zu bytes, and not %zu with reserved ones zero: zero them, "
                    "and set size",
                    class->noun, sizeof *o, o->size);
    *ret = (struct channel_shape){.capacity = o->capacity ? o->capacity : CAPACITY_DEFAULT,
                                  .size = o->message ? o->message : MESSAGE_DEFAULT,
                                  .seats = o->parties ? o->parties : SEATS_DEFAULT,
                                  .flags = o->flags,
                                  .number = {o->number}};
    while (ret->capacity <= MOST && ret->capacity & (ret->capacity - 1))
        ret->capacity += ret->capacity & -ret->capacity;
    return complete(class, ret);
}

/* Is this, as read once, the shape of one of that class, within the segment? */
static bool shape_good(struct tarn *seg, const struct channel_class *class, const struct channel_shape *shape)
{
    struct channel_shape again = *shape;
    uint64_t has;
    return shape->capacity && !(shape->capacity & (shape->capacity - 1)) && shape->size &&
           complete(class, &again) == 0 && !memcmp(&again, shape, sizeof again) && shape->body % 64 == 0 &&
           in_data(seg, shape->body, shape->bytes) && heap_state(seg, shape->body, &has) == BLOCK_ALLOCATED &&
           has >= shape->bytes;
}

/* ---- making ---- */

struct making {
    const struct channel_class *class;
    struct channel_shape shape;
};

static int make(struct self *s, uint64_t block, void *arg)
{
    struct making *m = arg;
    struct channel *c = at_offset(s->seg, block);
    int e = heap_alloc(s, heap_aligned_size(s->seg, m->shape.bytes, 64), true, &m->shape.body);
    if (e < 0)
        return e;
    c->shape = m->shape;
    if (m->class->fill)
        m->class->fill(c, (char *)at_offset(s->seg, m->shape.body) + m->shape.slots);
    return 0;
}

static int find_or_make(tarn *seg, const char *name, const struct channel_class *class, unsigned flags,
                        const struct tarn_channel_options *options, uint64_t *ret_ref)
{
    const struct tarn_type type = {class->type, sizeof(struct channel), CHANNEL_VERSION};
    struct making m = {.class = class};
    struct self *s;
    int e = tarn_find(seg, name, &type, ret_ref);
    if (e != -ENOENT || !(flags & TARN_CREATE))
        return e;
    e = shape_asked(class, options, &m.shape);
    if (e < 0 || !(s = self_of(seg, &e)))
        return e;
    return name_make(s, name, &type, make, &m, ret_ref);
}

static int attach(tarn *seg, const char *name, const struct channel_class *class, uint64_t ref, struct party *p)
{
    struct channel *c = at_offset(seg, ref);
    if (!in_data(seg, ref, sizeof *c) || ref % 8)
        return fail(-EUCLEAN, "\"%s\" is bound to a damaged %s: run tarn check", name, class->noun);
    memcpy(&p->shape, &c->shape, sizeof p->shape);
    if (!shape_good(seg, class, &p->shape))
        return fail(-EUCLEAN, "\"%s\" is bound to a damaged %s: run tarn check", name, class->noun);
    p->seg = seg;
    p->class = class;
    p->channel = c;
    p->ref = ref;
    p->seats = at_offset(seg, p->shape.body);
    p->slots = (char *)p->seats + p->shape.slots;
    memcpy(p->name, name, strnlen(name, sizeof p->name - 1)); /* the rest is zeroed */
    return 0;
}

/* ---- seats ---- */

static void count_change(struct channel *c)
{
    __atomic_fetch_add(&c->changes, 1, __ATOMIC_SEQ_CST);
    kill_point();
}
static void changed(struct party *p, bool death)
{
    struct channel *c = p->channel;
    if (death)
        store32(&c->deaths, load32(&c->deaths) + 1); /* before: who sees that a party died finds it counted */
    count_change(c);
    os_futex_wake(&c->changes, INT32_MAX);
}

/* Who waits may have waited for what the seat had. */
static void ring_all(struct party *p)
{
    doorbell_ring(p, &p->channel->news, INT32_MAX);
    doorbell_ring(p, &p->channel->room, INT32_MAX);
}

/* Under the lock. */
static void seat_changes(struct party *p, struct channel_seat *seat, uint32_t id, bool death)
{
    store32(&p->channel->unsaid, death ? 2 : 1);
    store32(&seat->id, id);
    changed(p, death);
    store32(&p->channel->unsaid, 0);
}

static void clear_seat(struct party *p, struct channel_seat *seat, bool death)
{
    PROBE(channel__leave, p->seg, p->name, seat->id, seat->role, death);
    if (p->class->give_back)
        p->class->give_back(p, seat);
    seat_changes(p, seat, 0, death);
}

static bool is_dead(struct party *p, uint32_t id)
{
    enum fate fate = fate_of(p->seg, id);
    if (fate == FALLEN && recover(p->self, id)) /* a living one is at it: its seat is cleared another time */
        return false;
    return fate != ALIVE;
}

int channel_lock(struct party *p, enum mutex_wait how)
{
    int e;
    bell_arm(p->self);
    e = mutex_take(p->self, &p->channel->lock, SLOT_INNER, how, NULL);
    if (e >= 0)
        return 0;
    bell_disarm(p->self);
    return e;
}
void channel_unlock(struct party *p)
{
    mutex_unlock_inner(p->self, &p->channel->lock);
    bell_disarm(p->self);
}

/* What somebody did to a seat, and died before he said so. */
static void say_unsaid(struct party *p, enum mutex_wait how)
{
    uint32_t what;
    if (!load32(&p->channel->unsaid) || channel_lock(p, how))
        return;
    what = load32(&p->channel->unsaid);
    if (what) {
        changed(p, what == 2);
        store32(&p->channel->unsaid, 0);
    }
    channel_unlock(p);
}

static int clear_dead(struct party *p, enum mutex_wait how)
{
    int n = 0;
    say_unsaid(p, how);
    for (uint32_t i = 0; i < p->shape.seats; i++) {
        struct channel_seat *seat = seat_at(p, i);
        uint32_t id = load32(&seat->id);
        if (!id || (ID_INDEX(id) < p->seg->geometry.records && !is_dead(p, id)))
            continue;
        bell_arm(p->self);
        if (channel_lock(p, how) == 0) {
            if (load32(&seat->id) == id) {
                clear_seat(p, seat, true);
                n++;
            }
            channel_unlock(p);
            ring_all(p);
        }
        bell_disarm(p->self);
    }
    return n;
}

/* Who has the lock is at the same, or at one seat, and rings when it is done; dies, and its bell is rung; or was stopped, and must not hold up who waits until a time. */
int channel_clear_dead(struct party *p)
{
    return clear_dead(p, MUTEX_TRY);
}

/* Under the lock: a seat for the caller. */
static int sit_down(struct party *p, uint32_t most)
{
    struct channel_seat *free = NULL;
    uint32_t same = 0, who = 0;
    for (uint32_t i = 0; i < p->shape.seats; i++) {
        struct channel_seat *seat = seat_at(p, i);
        uint32_t id = load32(&seat->id);
        if (!id)
            free = free ? free : seat;
        else if (seat->role & p->role) {
            same++;
            who = id;
        }
    }
    if (load32(&p->channel->gone))
        return fail(-ESTALE, "the %s \"%s\" was unbound: open it again", p->class->noun, p->name);
    if (most && same >= most)
        return fail(-EBUSY, "the %s \"%s\" has its %s: participant %#x. It makes room by closing, or dying",
                    p->class->noun, p->name, p->role == TARN_SEND ? "sender" : "receiver", who);
    if (!free)
        return fail(-EUSERS, "the %s \"%s\" has seats for %u parties, and all are taken", p->class->noun,
                    p->name, p->shape.seats);
    memset((char *)free + sizeof free->id, 0, sizeof *free - sizeof free->id);
    free->role = p->role;
    free->since = channel_now(CLOCK_REALTIME);
    PROBE(channel__join, p->seg, p->name, p->id, p->role);
    seat_changes(p, free, p->id, false);
    p->seat = free;
    return 0;
}

static int seat_wanted(struct party *p, uint32_t most)
{
    int e;
    (void)clear_dead(p, MUTEX_WAIT);
    e = channel_lock(p, MUTEX_WAIT);
    if (e == 0) {
        e = sit_down(p, most);
        channel_unlock(p);
    }
    return e;
}

/* Is there a seat of a dead one, whose recovery another is at? Then sleep until that is done, or its time is up. */
static bool seat_comes(struct party *p, const struct timespec *end)
{
    struct os_wait wait[1 + 2];
    unsigned cap = CAP_FIRST;
    for (uint32_t i = 0; i < p->shape.seats; i++) {
        uint32_t id = load32(&seat_at(p, i)->id);
        enum fate fate = id && ID_INDEX(id) < p->seg->geometry.records ? fate_of(p->seg, id) : ALIVE;
        if (fate == ALIVE)
            continue;
        if (fate == FALLEN) {
            wait[0] = (struct os_wait){&record_at(p->seg, ID_INDEX(id))->generation, ID_GENERATION(id)};
            bell_arm(p->self);
            (void)sleep_on_words(p->self, wait, 1, end, &cap); /* if who is at it dies, his bell is rung */
            bell_disarm(p->self);
        }
        return true;
    }
    return false;
}

static int join(struct party *p, uint32_t most)
{
    const struct timespec end = os_deadline(10000);
    for (;;) {
        int e = seat_wanted(p, most);
        if ((e != -EBUSY && e != -EUSERS) || !seat_comes(p, &end))
            return e;
        if (os_passed(&end))
            return fail(e,
                        "the %s \"%s\" has seats of the dead, and who is at recovering them does not come "
                        "on: is that "
                        "process stopped?",
                        p->class->noun, p->name);
    }
}

/* p is zeroed. 0, or as channel_open. */
static int find_and_join(tarn *seg, const char *name, const struct channel_class *class, unsigned flags,
                         const struct tarn_channel_options *options, uint32_t most, struct party *p)
{
    uint64_t ref = 0;
    int e = 0;
    if (flags & ~(TARN_CREATE | TARN_SEND | TARN_RECEIVE))
        return fail(-EINVAL, "opening a %s: flags %#x are not of TARN_CREATE, TARN_SEND, TARN_RECEIVE",
                    class->noun, flags);
    p->role = flags & (TARN_SEND | TARN_RECEIVE);
    if (seg->readonly && flags)
        return fail(-EROFS, "opening the %s \"%s\": the segment is attached read-only, which allows looking alone",
                    class->noun, name);
    if (p->role) {
        p->self = self_of(seg, &e);
        if (!p->self || (e = sync_in_section(p->self, "opening a channel")))
            return e;
        p->id = p->self->id;
        epoch_pin(p->self); /* until it has its seat: who unbinds it meanwhile gives its memory to nobody else */
    }
    e = find_or_make(seg, name, class, flags, options, &ref);
    if (e == 0)
        e = attach(seg, name, class, ref, p);
    if (p->role) {
        if (e == 0)
            e = join(p, most);
        epoch_unpin(p->self);
    }
    return e;
}

void *channel_open(tarn *seg, const char *name, const struct channel_class *class, unsigned flags,
                   const struct tarn_channel_options *options, uint32_t most, const char *call, int *ret_error)
{
    struct party *p = calloc(1, class->handle);
    int e = p ? find_and_join(seg, name, class, flags, options, most, p)
              : fail(-ENOMEM, "%s: no memory for a handle", call);
    if (e == 0)
        return p;
    free(p);
    *ret_error = e;
    return NULL;
}

static void leave(struct party *p)
{
    bell_arm(p->self);
    if (channel_lock(p, MUTEX_WAIT) == 0) {
        if (load32(&p->seat->id) == p->id)
            clear_seat(p, p->seat, false);
        channel_unlock(p);
    }
    ring_all(p);
    bell_disarm(p->self);
}

void channel_close(struct party *p)
{
    channel_poll_leave(p);
    if (party_is_own(p)) /* else its seat is cleared when the one who has it is seen to be gone */
        leave(p);
    free(p);
}

static int bad_deadline(const struct timespec *until, const char *call)
{
    return until ? sync_deadline(until, call) : fail(-EINVAL, "%s: no deadline is given", call);
}

int party_refused(const struct party *p, uint32_t role, enum mutex_wait how, const struct timespec *until,
                  const char *call)
{
    if (p->reader && role == TARN_RECEIVE)
        return how == MUTEX_TIMED ? bad_deadline(until, call) : 0;
    if (!(p->role & role))
        return p->seg->readonly ? fail(-EROFS, "%s: the segment of \"%s\" is attached read-only", call, p->name)
                                : fail(-EBADF, "%s: this handle on \"%s\" was not opened with %s", call,
                                       p->name, role == TARN_SEND ? "TARN_SEND" : "TARN_RECEIVE");
    if (!party_is_own(p))
        return fail(-EPERM, "%s: the handle on \"%s\" belongs to the thread that opened it, and not to this one",
                    call, p->name);
    if (p->self->depth)
        return fail(-EPERM,
                    "%s: a section is open, and nobody sees what it does before its end: commit or abort it "
                    "first",
                    call);
    return how == MUTEX_TIMED ? bad_deadline(until, call) : 0;
}

/* ---- looking ---- */

int channel_look(tarn *seg, const char *name, struct party *ret)
{
    int e = -EPROTO;
    memset(ret, 0, sizeof *ret);
    for (int i = 0; classes[i] && e == -EPROTO; i++) {
        const struct tarn_type type = {classes[i]->type, sizeof(struct channel), CHANNEL_VERSION};
        uint64_t ref;
        e = tarn_find(seg, name, &type, &ref);
        if (e == 0)
            e = attach(seg, name, classes[i], ref, ret);
    }
    return e == -EPROTO ? fail(-EPROTO, "\"%s\" is no channel", name) : e;
}

int tarn_channel_parties(tarn *seg, const char *name, int (*each)(const struct tarn_party *p, void *arg), void *arg)
{
    struct party p;
    int e = channel_look(seg, name, &p);
    for (uint32_t i = 0; e == 0 && i < p.shape.seats; i++) {
        struct channel_seat seat;
        struct tarn_party out;
        const struct record *r;
        memcpy(&seat, seat_at(&p, i), sizeof seat);
        if (!seat.id || ID_INDEX(seat.id) >= seg->geometry.records)
            continue;
        r = record_at(seg, ID_INDEX(seat.id));
        out = (struct tarn_party){.participant = seat.id,
                                  .role = seat.role,
                                  .alive = fate_of(seg, seat.id) == ALIVE,
                                  .since = seat.since,
                                  .messages = p.class->messages ? p.class->messages(&p, &seat) : seat.messages,
                                  .lost = seat.lost,
                                  .behind = p.class->behind ? p.class->behind(&p, &seat) : 0};
        if (out.alive) {
            out.pid = load32(&r->pid);
            out.tid = load32(&r->tid);
        }
        e = each(&out, arg);
    }
    return e;
}

int tarn_channel_stat(tarn *seg, const char *name, struct tarn_channel_stat *ret_stat)
{
    struct party p;
    struct tarn_channel_stat stat = {0};
    int e = channel_look(seg, name, &p);
    if (e < 0)
        return e;
    snprintf(stat.kind, sizeof stat.kind, "%s", p.class->type + 5); /* behind "tarn_" */
    stat.capacity = p.shape.capacity;
    stat.message = p.shape.size;
    stat.parties = p.shape.seats;
    for (uint32_t i = 0; i < p.shape.seats; i++) {
        uint32_t role = load32(&seat_at(&p, i)->id) ? load32(&seat_at(&p, i)->role) : 0;
        stat.senders += !!(role & TARN_SEND);
        stat.receivers += !!(role & TARN_RECEIVE);
    }
    stat.changes = load32(&p.channel->changes);
    stat.deaths = load32(&p.channel->deaths);
    stat.lost = load64(&p.channel->lost);
    stat.again = load64(&p.channel->again);
    if (p.class->stat)
        p.class->stat(&p, &stat);
    *ret_stat = stat;
    return 0;
}

uint64_t channel_sizes_from(struct tarn_channel_sizes *s, uint64_t *at, uint64_t end, uint64_t kept)
{
    uint64_t most = kept < SIZES_MOST ? kept : SIZES_MOST, from = *at < end ? *at : end;
    *at = end;
    if (end - from <= most)
        return from;
    s->missed += end - most - from;
    return end - most;
}

int tarn_channel_sizes(tarn *seg, const char *name, struct tarn_channel_sizes *sizes)
{
    struct party p;
    int e = channel_look(seg, name, &p);
    if (e < 0)
        return e;
    sizes->messages = sizes->bytes = sizes->missed = 0;
    p.class->sizes(&p, sizes);
    return 0;
}

/* ---- by name: check, unbind ---- */

bool is_channel(const char *type, uint64_t size)
{
    return class_of_type(type) && size == sizeof(struct channel);
}

int channel_attach(struct tarn *seg, const struct name_copy *n, struct party *ret)
{
    return attach(seg, n->name, class_of_type(n->type), n->ref, ret);
}

/* In the open section. */
int channel_retire(struct self *s, const struct name_copy *n)
{
    struct party p = {.self = s};
    int e = channel_attach(s->seg, n, &p);
    if (e < 0 || (e = mutex_lock_to_the_end(s, &p.channel->lock)) < 0)
        return e;
    for (uint32_t i = 0; i < p.shape.seats; i++) {
        uint32_t id = load32(&seat_at(&p, i)->id);
        if (id && ID_INDEX(id) < s->seg->geometry.records && fate_of(s->seg, id) == ALIVE)
            return fail(-EBUSY, "participant %#x has the %s open: it must close it first", id, p.class->noun);
    }
    if ((e = log_save(s, offset_of(s->seg, &p.channel->gone), 1)))
        return log_is_full();
    store32(&p.channel->gone, 1);
    e = heap_free(s, p.shape.body, LOG_RETIRE);
    return e < 0 ? e : heap_free(s, n->ref, LOG_RETIRE);
}

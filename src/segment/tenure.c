/* segment/tenure.c - segments that survive the machine: is what lies there whole, and whose are its participants?
 *
 * The tenure says on which boot, and as which file, a segment was last put right: boot id, device, inode, in the header's line 6. If they are ours,
 * its participants are of this boot, and the dead among them are recovered like any others. If they are another's (a reboot, a copy), all
 * its participants are dead whatever their liveness words say, and `clean` tells whether the bytes are whole:
 *     clean != TENURE_CLEAN, or a righting of neither nobody nor us: refused, until tarn_repair
 *     else a single opener, who has the door (a byte lock), puts it right
 *
 * Orders of stores, and why each (docs/segment.md argues the interleavings):
 *     put right: righting = us; ON THE DISK; everything of the dead; uncounted = 0; device; inode; boot (the last word that makes the tenure ours is
 *                the commit point); then as open; righting = 0
 *     open:      user byte (or uncounted = 1); clean: CLEAN -> OPENING; ON THE DISK; OPENING -> IN_USE. Or CLOSING -> IN_USE at once, for the
 *                disk knows of no clean one
 *     close:     what is dead is recovered; user byte given up; IN_USE, or another's CLOSING -> CLOSING of mine; look: no other user, nobody
 *                uncounted, else back to IN_USE; ALL ON THE DISK; CLOSING of mine -> CLEAN; ON THE DISK
 *     repair:    alone; tenure = nobody's; look again; clean = OPENING; ON THE DISK; everything of the dead, and mending; ALL ON THE DISK; uncounted = 0;
 *                righting = 0; clean = CLEAN; device; inode; boot; ON THE DISK
 *     T1  if the disk says CLEAN with a tenure that is not ours, nothing was written after all of it was on the disk, but by rightings that stored theirs
 *     T2  while anybody may write, neither disk nor memory says CLEAN, or he is still in `open`
 * Words that change together are 512 bytes of a page, which is one sector of a disk.
 *
 * It does not protect from who writes with a descriptor of the file, nor from a disk that lies about what it has. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"

#define DOOR_WAIT 5000u /* ms for another who is at the door */

/* ---- words ---- */

struct tenure {
    uint64_t boot[2], device, inode;
};

static void put(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    kill_point();
}

static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static bool swap(uint64_t *word, uint64_t from, uint64_t to)
{
    bool done = __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    kill_point();
    return done;
}

static uint64_t *boot_words(struct segment_header *h)
{
    return (uint64_t *)(void *)h->boot;
}

static struct tenure ours(uint64_t device, uint64_t inode)
{
    struct tenure t = {.device = device, .inode = inode};
    os_boot_id((uint8_t *)(void *)t.boot);
    return t;
}

/* Of a live header, or of a private copy. */
static bool is_ours(const struct segment_header *h, const struct tenure *t)
{
    const uint64_t *boot = (const uint64_t *)(const void *)h->boot;
    return (t->boot[0] | t->boot[1]) && get(&boot[0]) == t->boot[0] && get(&boot[1]) == t->boot[1] &&
           get(&h->device) == t->device && get(&h->inode) == t->inode;
}

/* For `righting`: not 0. */
static uint64_t sum_of(const struct tenure *t)
{
    const uint64_t words[] = {t->boot[0], t->boot[1], t->device, t->inode};
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        sum = (sum ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    return sum | 1;
}

static bool is_closing(uint64_t state)
{
    return (state & 0xff) == TENURE_CLOSING;
}

static void store_tenure(struct segment_header *h, const struct tenure *t)
{
    put(&h->device, t->device);
    put(&h->inode, t->inode);
    put(&boot_words(h)[0], t->boot[0]);
    put(&boot_words(h)[1], t->boot[1]);
}

static int flush(const char *what, const struct tarn *seg)
{
    int error = os_flush(seg->object.fd, false);
    kill_point();
    return error < 0 ? fail(error, "%s: it cannot be brought to the disk: %s", what, strerror(-error)) : 0;
}

static void pause_a_moment(void)
{
    const struct timespec moment = {.tv_nsec = 1000 * 1000};
    nanosleep(&moment, NULL);
}

static void tell_all_dead(struct tarn *seg)
{
    for (const struct floor *const *f = tarn_floors; *f; f++)
        if ((*f)->all_dead)
            (*f)->all_dead(seg);
}

/* ---- may it be attached? ---- */

bool tenure_durable(const struct segment_header *h, const struct backing *backing)
{
    /* Also what was found by descriptor; and a copy of another backing's, once it was repaired as a file. */
    return (backing && backing->durable) || strncmp(h->backing, file_backing.name, sizeof h->backing) == 0 ||
           h->inode || h->device;
}

static int refused(const char *what, const struct segment_header *h)
{
    if (!tenure_durable(h, NULL))
        return fail(-EUCLEAN,
                    "%s: was made by %.*s: and not as a file: open it as that, in its own directory, or by a "
                    "descriptor; a copy of one is "
                    "made a file by tarn check --repair",
                    what, (int)sizeof h->backing, h->backing);
    return fail(-EUCLEAN,
                "%s: was in use when the machine stopped or when it was copied: run tarn check --repair", what);
}

/* Its bytes are whole, though its tenure is another's. */
static bool is_whole(const struct segment_header *h, const struct tenure *t)
{
    uint64_t righting = get(&h->righting);
    return get(&h->clean) == TENURE_CLEAN && (!righting || righting == sum_of(t));
}

int tenure_admit(const char *what, const struct object *o, const struct facts *f,
                 const struct segment_header *h, const struct attaching *how, const struct backing *backing)
{
    if (o->fd < 0 || !tenure_durable(h, backing))
        return 0;
    struct tenure t = ours(f->device, f->inode);
    int error = file_judge(what, o->fd, how->readonly || h->options & SEGMENT_COPY_ON_WRITE);
    if (error < 0)
        return error;
    if (how->readonly)
        return is_ours(h, &t) || is_whole(h, &t) ? 0 : refused(what, h);
    if (!(t.boot[0] | t.boot[1]))
        return fail(-ENOSYS, "%s: this boot's id cannot be read, by which a file is told from what it was before: mount /proc",
                    what);
    return 0;
}

int tenure_create(const char *what, struct tarn *seg)
{
    if (!seg->durable)
        return 0;
    struct segment_header *h = header_of(seg);
    struct tenure t = ours(seg->device, seg->inode);
    if (!(t.boot[0] | t.boot[1]))
        return fail(-ENOSYS, "%s: this boot's id cannot be read, by which a file is told from what it was before: mount /proc",
                    what);
    store_tenure(h, &t);
    if (seg->user < 0)
        put(&h->uncounted, 1);
    return 0;
}

/* ---- open ---- */

/* The tenure is ours. From here on the disk does not call it clean. */
static int open_clean(const char *what, struct tarn *seg)
{
    struct segment_header *h = header_of(seg);
    if (seg->user < 0)
        put(&h->uncounted, 1);
    for (uint64_t state; (state = get(&h->clean)) != TENURE_IN_USE;) {
        if (is_closing(state)) { /* no disk calls it clean, and its closer will see that he is not to */
            swap(&h->clean, state, TENURE_IN_USE);
        } else if (state != TENURE_OPENING) {
            swap(&h->clean, state, TENURE_OPENING);
        } else {
            int error = flush(what, seg);
            if (error < 0)
                return error;
            swap(&h->clean, TENURE_OPENING, TENURE_IN_USE);
        }
    }
    return 0;
}

/* Openers that wait, or come and see that they must, are no users for longer than a moment. */
static bool others_stay(const struct tarn *seg, unsigned ms)
{
    struct timespec end = os_deadline(ms);
    while (user_others(seg, false)) {
        if (os_passed(&end))
            return true;
        pause_a_moment();
    }
    return false;
}

static int door_open(const char *what, struct tarn *seg)
{
    struct timespec end = os_deadline(DOOR_WAIT);
    int error;
    while ((error = os_byte_lock(seg->object.fd, OS_BYTE_DOOR)) == -EAGAIN) {
        if (os_byte_holder(seg->object.fd, OS_BYTE_DOOR) == F_RDLCK)
            return fail(-EBUSY,
                        "%s: it is to be put right after a reboot or a copy, and somebody who may only read "
                        "it has a read lock on its door "
                        "(byte lock): end that one",
                        what);
        if (os_passed(&end))
            return fail(-EBUSY, "%s: another process is at putting it right after a reboot or a copy, and does not come on: is it stopped?",
                        what);
        pause_a_moment();
    }
    return error < 0 ? fail(error, "%s: its door cannot be locked: %s", what, strerror(-error)) : 0;
}

static int busy(const char *what)
{
    return fail(-EBUSY, "%s: somebody has it attached for writing, and it must be alone to be put right: end that one, or wait",
                what);
}

/* By who has the door. */
static int put_right(const char *what, struct tarn *seg, const struct tenure *t)
{
    struct segment_header *h = header_of(seg);
    if (is_ours(h, t))
        return 0; /* another was quicker */
    if (!is_whole(h, t))
        return refused(what, h);
    if (others_stay(seg, DOOR_WAIT))
        return busy(what);
    put(&h->righting, sum_of(t));
    int error = flush(what, seg);
    if (error < 0)
        return error;
    tell_all_dead(seg);
    put(&h->uncounted, 0);
    store_tenure(h, t);
    return 0;
}

/* Its user byte is given up before the wait, or of those who wait each would be in the way of the one who has the door. */
static int enter_foreign(const char *what, struct tarn *seg, const struct tenure *t)
{
    bool counted = seg->user >= 0;
    user_leave(seg);
    int error = door_open(what, seg);
    if (error < 0)
        return error;
    if (counted)
        user_enter(seg);
    error = put_right(what, seg, t);
    if (error == 0)
        error = open_clean(what, seg);
    if (error == 0 && get(&header_of(seg)->righting) == sum_of(t))
        put(&header_of(seg)->righting, 0);
    os_byte_unlock(seg->object.fd, OS_BYTE_DOOR);
    return error;
}

/* Alone in it from here on: the door stays ours, and its tenure nobody's, so that everybody else comes to the door. */
static int enter_for_repair(const char *what, struct tarn *seg)
{
    struct segment_header *h = header_of(seg);
    struct tenure was = {.boot = {get(&boot_words(h)[0]), get(&boot_words(h)[1])},
                         .device = get(&h->device),
                         .inode = get(&h->inode)};
    static const struct tenure nobody;
    int error = door_open(what, seg);
    if (error < 0)
        return error;
    struct tenure now = ours(seg->device, seg->inode);
    if (others_stay(seg, 500))
        return busy(what);
    if (is_ours(h, &now) && get(&h->uncounted))
        return fail(-EBUSY, "%s: it may be attached for writing by somebody whom no byte lock shows: after the next reboot that is known",
                    what);
    store_tenure(h, &nobody);
    if (user_others(seg, false)) { /* somebody came meanwhile, and had seen it as his */
        store_tenure(h, &was);
        return busy(what);
    }
    put(&h->clean, TENURE_OPENING);
    if ((error = flush(what, seg)) < 0)
        return error;
    tell_all_dead(seg);
    return 0;
}

int tenure_enter(const char *what, struct tarn *seg, const struct attaching *how)
{
    if (!seg->durable || seg->readonly)
        return 0;
    struct tenure t = ours(seg->device, seg->inode);
    if (how->repair)
        return enter_for_repair(what, seg);
    if (is_ours(header_of(seg), &t))
        return open_clean(what, seg);
    return enter_foreign(what, seg, &t);
}

int tenure_mark(struct tarn *seg)
{
    struct segment_header *h = header_of(seg);
    struct tenure t = ours(seg->device, seg->inode);
    int error = flush(handle_name(seg), seg);
    if (error < 0)
        return error;
    put(&h->uncounted, 0);
    put(&h->righting, 0);
    put(&h->clean, TENURE_CLEAN);
    store_tenure(h, &t);
    return flush(handle_name(seg), seg);
}

/* ---- close ---- */

static bool is_mine(struct tarn *seg)
{
    struct tenure t = ours(seg->device, seg->inode);
    return seg->durable && !seg->readonly && is_ours(header_of(seg), &t);
}

void tenure_settle(struct tarn *seg)
{
    if (!is_mine(seg) || user_others(seg, false))
        return;
    for (const struct floor *const *f = tarn_floors; *f; f++)
        if ((*f)->settle)
            (void)(*f)->settle(seg); /* else whoever puts it right after a reboot does it */
}

int tenure_leave(struct tarn *seg)
{
    struct segment_header *h = header_of(seg);
    struct facts f;
    uint64_t mark = 0, state;
    if (!is_mine(seg) || seg->keeping->facts(&seg->object, &f) < 0 || f.links == 0)
        return 0; /* no name leads to it: nobody will look */
    user_leave(seg);
    if (os_random(&mark, sizeof mark) < 0)
        return 0;
    mark = mark << 8 | TENURE_CLOSING;
    do {
        state = get(&h->clean);
        if (state != TENURE_IN_USE && !is_closing(state))
            return 0;                        /* somebody opens it */
    } while (!swap(&h->clean, state, mark)); /* another closer's look may have met us: it is for the last one to look */
    if (get(&h->uncounted) || user_others(seg, false)) {
        swap(&h->clean, mark, TENURE_IN_USE);
        return 0;
    }
    put(&h->righting, 0);
    int error = flush(handle_name(seg), seg);
    if (error < 0) {
        swap(&h->clean, mark, TENURE_IN_USE);
        return error;
    }
    return swap(&h->clean, mark, TENURE_CLEAN) ? flush(handle_name(seg), seg) : 0;
}

/* The parent's open file description must not be the child's too: neither would see that the other is there. */
void tenure_child(struct tarn *seg)
{
    if (!seg->durable || seg->readonly)
        return;
    if (seg->heir_came) {
        seg->heir_came = false; /* lifetime.c has done it */
    } else {
        int own = os_reopen(seg->object.fd, O_RDWR);
        seg->user = -1;
        if (own >= 0) {
            if (dup3(own, seg->object.fd, O_CLOEXEC) >= 0)
                user_enter(seg);
            close(own);
        }
    }
    if (is_mine(seg))
        (void)open_clean(handle_name(seg), seg); /* the parent may have called it clean since the fork */
}

/* ---- on the disk ---- */

static int flush_all(struct tarn *seg)
{
    struct url url;
    if (!seg->durable)
        return 0;
    int error = os_flush(seg->object.fd, true);
    if (error < 0)
        return fail(error, "%s: it cannot be brought to the disk: %s", handle_name(seg), strerror(-error));
    handles_lock(); /* a second open may be giving it a URL */
    const char *name = seg->url;
    handles_unlock();
    if (name && url_parse(name, &url) == 0 && url.backing->flush)
        error = url.backing->flush(url.name);
    return error;
}

int tarn_flush(tarn *seg)
{
    if (seg->raw)
        return raw_refused(seg, "tarn_flush");
    int cancel = os_cancel_off(), e = flush_all(seg);
    os_cancel_restore(cancel);
    return e;
}

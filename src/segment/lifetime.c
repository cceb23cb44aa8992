/* segment/lifetime.c - segments that end by themselves: with their last user, or with their creator. Those that end when they are unlinked do nothing here.
 *
 * Ending is the removal of the name, by whoever comes to it: the last user or the creator as they close in good order; if they were killed, the next who
 * would open it finds that it has ended, removes it, and goes on as if it had never been there. Nothing else is done to it: who has it attached, or a
 * descriptor of it, goes on, and tarn_current says -ESTALE. No word of the segment says that it has ended, so nothing can be left half-said.
 *
 * Files. Users are the byte locks of users.c; the creator has OS_BYTE_CREATOR, of an open file description that forked children close. Only a lock for
 * writing is the creator's: a reader's neither keeps it alive nor ends it. A child that did not come to close the description (raw clone) would keep it
 * alive, so where the PID namespace is the creator's, its process is looked for, too. All that decides is inside OS_BYTE_END, the gate:
 *     open:   gate (a reader: with others); ended? then out; user byte; does the name lead here? else again; gate given up
 *     close:  user byte given up; any other user? else END IT
 *     end it: gate, alone; ended? does the name lead here? unlink (the commit point); gate given up
 *     L1  the last two closers: each gives up its byte before it looks, so at least one sees nobody
 *     L2  an opener has its byte and the name before the gate of who ends it, who then sees a user; or after, and then finds no name, or ended
 *     L3  who removes the name has the gate of what it leads to, tarn_unlink too; so between his look and his unlink nobody else can have removed it, and
 *         nobody made a newer one
 * The gate is the kernel's: it is given up by the dead. Its holder may be stopped: then the others are -EBUSY, after a while. A hostile reader may keep the
 * gate locked for reading for ever: after a moment all go on without it; then L2 and L3 hold but for the time between two system calls. (L3
 * also fails for who removes the file by other means than tarn: the kernel has no call that removes a name only if it leads to a given file.)
 *
 * System V has no locks. The kernel counts who has it mapped, and an id is never another segment's, so nothing newer is ever removed:
 *     open:   nobody has it mapped? then it has ended; map; it is mapped by nobody else? remove the id; it is removed? then again
 *     close:  unmap; nobody has it mapped? remove the id
 * Whoever looks at its first word has it mapped for some microseconds; so `nobody` is what any of a few looks sees. Two who open it between the last
 * closer's look and his removal take each other for users, and are left with one that is removed: tarn_current says so. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"

#define READERS_WAIT 50u /* ms for readers at the gate, who are there for a moment only, if they are honest */
#define ENDERS_WAIT 2000u
#define LOOKS 4 /* at shared memory */

static void pause_for(long ns)
{
    const struct timespec moment = {.tv_nsec = ns};
    nanosleep(&moment, NULL);
}

/* ---- has it ended? ---- */

/* own: of this process. */
static bool mapped_by_nobody(int shm, uint32_t own)
{
    struct os_shm s;
    for (int i = 0; i < LOOKS; i++) {
        if (i)
            pause_for(250 * 1000);
        if (os_shm_stat(shm, &s) < 0)
            return false;
        if (s.attached <= own)
            return true;
    }
    return false;
}

static bool creator_gone(const struct object *o, const struct segment_header *h)
{
    uint64_t space = os_pid_namespace();
    if (o->fd >= 0 && os_byte_range_holder(o->fd, OS_BYTE_CREATOR, 1, false) == F_UNLCK)
        return true;
    return space && space == h->creator_namespace && h->creator_start &&
           os_process_gone(h->creator_pid, h->creator_start);
}

/* By who is no user of it; a private copy of its header. */
static bool has_ended(const struct object *o, const struct segment_header *h)
{
    switch (h->lifetime) {
    case LIFETIME_USERS:
        return o->fd >= 0 ? os_byte_range_holder(o->fd, OS_BYTE_USER, OS_USERS, true) == F_UNLCK
                          : mapped_by_nobody(o->shm, 0);
    case LIFETIME_CREATOR: return creator_gone(o, h);
    default: return false;
    }
}

bool lifetime_over(const struct tarn *seg)
{
    const struct segment_header *h = header_of(seg);
    return seg->lifetime == LIFETIME_CREATOR && !seg->creator && creator_gone(&seg->object, h);
}

bool lifetime_gone(const struct object *o)
{
    struct os_shm s;
    int error = o->fd < 0 && o->shm >= 0 ? os_shm_stat(o->shm, &s) : 0;
    return error == -EINVAL || error == -EIDRM;
}

/* ---- the gate ---- */

int lifetime_gate(const char *what, const struct object *o, bool readonly)
{
    struct timespec readers = os_deadline(READERS_WAIT), enders = os_deadline(ENDERS_WAIT);
    if (o->fd < 0)
        return 0;
    for (;;) {
        int error = readonly ? os_byte_lock_read(o->fd, OS_BYTE_END) : os_byte_lock(o->fd, OS_BYTE_END);
        if (error != -EAGAIN)
            return 0; /* or it cannot be locked, and so by nobody */
        if (os_byte_holder(o->fd, OS_BYTE_END) == F_RDLCK ? os_passed(&readers) : os_passed(&enders))
            break;
        pause_for(500 * 1000);
    }
    if (os_byte_holder(o->fd, OS_BYTE_END) == F_RDLCK)
        return 0;
    return fail(-EBUSY, "%s: another process is about to end it or to open it, and does not come on: is it stopped?",
                what);
}

void lifetime_ungate(const struct object *o)
{
    if (o->fd >= 0)
        os_byte_unlock(o->fd, OS_BYTE_END);
}

/* ---- ending it ---- */

bool lifetime_leads(const struct url *url, const struct facts *f)
{
    struct facts now;
    return url->backing->look(url->name, &now) == 0 && now.device == f->device && now.inode == f->inode;
}

/* Behind the gate. force: its creator says that it has. */
static int end_it(const struct url *url, const struct object *o, const struct facts *f,
                  const struct segment_header *h, bool force)
{
    if (!force && !has_ended(o, h))
        return -EEXIST;
    kill_point();
    if (!lifetime_leads(url, f))
        return -ENOENT;
    kill_point();
    int error = o->fd < 0 ? os_shm_remove(o->shm) : url->backing->unlink(url->name, o);
    if (error < 0 && lifetime_gone(o))
        return 0;               /* another was quicker */
    if (o->fd < 0 && error < 0) /* a file's backing has said it */
        error = fail(error == -EPERM ? -EACCES : error, "%s:%s: it has ended, and its id %d cannot be removed: %s",
                     url->backing->name, url->name, o->shm, strerror(-error));
    kill_point();
    if (error == 0)
        mark_unlinked(o);
    kill_point();
    return error;
}

/* What is there: -EEXIST if it is none that ends. */
static int read_header(const struct url *url, const struct object *o, struct facts *ret_facts,
                       struct segment_header *ret)
{
    const struct keeping *k = url->backing->keeping;
    memset(ret, 0, sizeof *ret);
    if (k->facts(o, ret_facts) < 0 || !ret_facts->bytes || k->read(o, ret, sizeof *ret, 0) != sizeof *ret)
        return -EEXIST;
    return stamp_is_ours(ret, sizeof *ret) && ret->version == SEGMENT_VERSION && ret->sum == stamp_sum(ret) &&
                   ret->lifetime != LIFETIME_UNLINKED
               ? 0
               : -EEXIST;
}

/* only: the segment that this is about, or NULL: whichever the name leads to. */
static int sweep(const char *what, const struct url *url, const struct tarn *only, bool foreign)
{
    struct segment_header h;
    struct object o;
    struct facts f;
    int error = url->backing->open(url->name, false, &o);
    if (error == -EACCES) /* of a mode that keeps its owner from writing it, not from removing it */
        error = url->backing->open(url->name, true, &o);
    if (error < 0)
        return error;
    error = read_header(url, &o, &f, &h);
    if (error == 0 && is_foreign(&f) && !foreign)
        error = -EEXIST;
    if (error == 0 && only && (f.device != only->device || f.inode != only->inode || h.lifetime != only->lifetime))
        error = -EEXIST;
    if (error == 0 && (error = lifetime_gate(what, &o, false)) == 0)
        error = end_it(url, &o, &f, &h, only && only->creator);
    url->backing->keeping->close(&o);
    return error;
}

int lifetime_sweep(const char *what, const struct url *url, bool foreign)
{
    return sweep(what, url, NULL, foreign);
}

/* ---- making ---- */

void lifetime_stamp(struct segment_header *h, uint32_t lifetime)
{
    uint64_t start = 0;
    h->lifetime = lifetime;
    h->creator_pid = (uint32_t)getpid();
    h->creator_namespace = os_pid_namespace();
    if (os_start_time(h->creator_pid, h->creator_pid, &start) == 0)
        h->creator_start = start;
}

int lifetime_create(const char *what, struct tarn *seg)
{
    seg->lifetime = header_of(seg)->lifetime;
    if (seg->lifetime != LIFETIME_CREATOR)
        return 0;
    seg->creator = true;
    if (seg->object.fd < 0)
        return header_of(seg)->creator_start && header_of(seg)->creator_namespace
                   ? 0
                   : fail(-ENOSYS, "%s: it cannot be kept until its creator's end: that is told by /proc, which is not there",
                          what);
    seg->creator_fd = os_reopen(seg->object.fd, O_RDWR); /* else children share the lock, and the process is looked for */
    int error = os_byte_lock(seg->creator_fd >= 0 ? seg->creator_fd : seg->object.fd, OS_BYTE_CREATOR);
    return error < 0 ? fail(error, "%s: it cannot be kept until its creator's end: its byte cannot be locked: %s",
                            what, strerror(-error))
                     : 0;
}

/* ---- opening ---- */

bool lifetime_ended(const struct object *o, const struct segment_header *h)
{
    return h->lifetime == LIFETIME_CREATOR && creator_gone(o, h);
}

int lifetime_admit(const char *what, const struct object *o, const struct segment_header *h,
                   const struct attaching *how, const struct backing *backing)
{
    if (h->lifetime == LIFETIME_UNLINKED || !backing || !backing->named)
        return 0;
    int error = lifetime_gate(what, o, how->readonly);
    return error < 0 ? error : has_ended(o, h) ? -ENOENT : 0;
}

/* Nobody else has it mapped: then it has ended, and is removed here and now. Were it left to who finds it mapped by nobody at all, several who come at once
 * might each keep the others from that, by having it mapped to look. */
static int check_shm(const struct tarn *seg, const struct segment_header *h)
{
    struct os_shm s;
    if (os_shm_stat(seg->object.shm, &s) < 0 || s.removed)
        return -EAGAIN;
    if (h->lifetime != LIFETIME_USERS || !mapped_by_nobody(seg->object.shm, 1))
        return 0;
    kill_point();
    (void)os_shm_remove(seg->object.shm);
    return -EAGAIN;
}

int lifetime_enter(struct tarn *seg, const struct segment_header *h, const struct attaching *how)
{
    const struct facts f = {.device = seg->device, .inode = seg->inode};
    struct url url;
    int error = 0;
    seg->lifetime = h->lifetime;
    if (!how->shared && !how->private) /* a private copy is no use of it */
        user_enter(seg);
    if (h->lifetime == LIFETIME_UNLINKED || !seg->backing || !seg->backing->named)
        return 0;
    if (seg->object.fd < 0)
        return how->private ? 0 : check_shm(seg, h);
    if (url_parse(seg->url, &url) < 0 || !lifetime_leads(&url, &f))
        error = -EAGAIN;
    lifetime_ungate(&seg->object);
    return error;
}

/* ---- closing ---- */

/* Its name, if it is known, and if this handle's end may be the segment's. */
static bool may_end(const struct tarn *seg, struct url *ret_url)
{
    if (seg->lifetime == LIFETIME_CREATOR ? !seg->creator : seg->lifetime != LIFETIME_USERS || seg->user_shared)
        return false;
    return seg->url && !seg->private && url_parse(seg->url, ret_url) == 0 && ret_url->backing->named;
}

void lifetime_leave(struct tarn *seg)
{
    struct url url;
    if (!may_end(seg, &url))
        return;
    if (seg->object.fd < 0 && !seg->creator) {
        seg->leaves = true; /* who has it mapped is its user: see lifetime_unmapped */
        return;
    }
    user_end(seg);
    kill_point();
    if (seg->creator || !user_others(seg, true))
        (void)sweep(handle_name(seg), &url, seg, true); /* what this one cannot do is left to the next to come */
}

void lifetime_unmapped(struct tarn *seg)
{
    if (seg->leaves && mapped_by_nobody(seg->object.shm, 0)) {
        kill_point();
        (void)os_shm_remove(seg->object.shm);
    }
    if (seg->creator_fd >= 0)
        close(seg->creator_fd);
    seg->creator_fd = -1;
}

/* ---- fork ----
 *
 * A child shares its parent's open file description, and with it the byte that says it is a user: were it given up by one of the two, it would be
 * for both. So the parent, before it forks, opens one for the child, with a byte of its own, and closes it afterwards; the child puts
 * it in the place of the other. At no time is the child nobody. */

void lifetime_fork(struct tarn *seg)
{
    if (seg->lifetime != LIFETIME_USERS || seg->object.fd < 0 || (seg->user < 0 && seg->user_weak < 0))
        return;
    seg->heir = os_reopen(seg->object.fd, seg->readonly ? O_RDONLY : O_RDWR);
    if (seg->heir < 0 || user_hold(seg->heir, seg->readonly, &seg->heir_user, &seg->heir_weak) < 0)
        seg->user_shared = true; /* neither ends it from now on: the next to come does */
}

void lifetime_parent(struct tarn *seg)
{
    if (seg->heir >= 0)
        close(seg->heir);
    seg->heir = -1;
}

void lifetime_child(struct tarn *seg)
{
    seg->heir_came = false;
    if (seg->heir >= 0 && !seg->user_shared && dup3(seg->heir, seg->object.fd, O_CLOEXEC) >= 0) {
        seg->user = seg->heir_user;
        seg->user_weak = seg->heir_weak;
        seg->heir_came = true;
    } else if (seg->heir >= 0)
        seg->user_shared = true;
    lifetime_parent(seg);
    if (seg->creator_fd >= 0)
        close(seg->creator_fd);
    seg->creator_fd = -1;
    seg->creator = false;
}

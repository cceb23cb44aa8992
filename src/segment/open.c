/* segment/open.c - tarn_open, tarn_open_fd: from a URL or a descriptor to a handle.
 *
 * Whatever is found is judged before it is mapped: something with bytes, of this user or root; then a private copy of its header, and its
 * size against that. After mapping, the stamp there must be the same bytes. Racing creators each make a whole segment; the
 * backing's publish lets one win, and the others open that one: a round is repeated only because somebody made or removed the
 * name meanwhile. All under the lock of handles, so two threads of a process never map one segment twice.
 *
 * Open by nature: whoever may write a POSIX object may truncate it between the look and the first touch. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"

#define PATIENCE 2000u      /* ms for a name under which segments end and begin: with one of them, */
#define PATIENCE_ALL 20000u /* and with all of them */

/* ---- what is there ---- */

/* May this be a segment of ours at all? */
static int check_object(const char *what, const struct facts *f, const struct attaching *how)
{
    if (!f->bytes)
        return fail(-EPROTO, "%s: no segment: not a regular file", what);
    bool given = f->uid == geteuid() || f->uid == 0; /* by a maker who keeps his rights on it */
    if (is_foreign(f) && !how->foreign)
        return fail(-EACCES,
                    "%s: it %s user %u (mode %04o), and this process is user %u: only segments of "
                    "one's own or "
                    "root's are attached, unless TARN_FOREIGN is said",
                    what, given ? "was made by" : "belongs to", given ? f->maker_uid : f->uid, f->mode,
                    geteuid());
    return 0;
}

static int map_checked(const char *what, const struct object *o, const struct segment_header *h,
                       const struct geometry *g, const struct attaching *how, const struct backing *backing,
                       struct tarn **ret)
{
    struct tarn *seg;
    int error = lifetime_admit(what, o, h, how, backing);
    if (error < 0 || (error = handle_map(what, o, g, how, backing, &seg)) < 0)
        return error;
    seg->durable = o->fd >= 0 && tenure_durable(h, backing) && !how->private;
    if (memcmp(h, seg->base, offsetof(struct segment_header, committed)) != 0)
        error = fail(-EUCLEAN, "%s: damaged: its stamp changed while it was opened", what);
    else if ((error = lifetime_enter(seg, h, how)) < 0)
        ; /* said, or for the caller to say */
    else if ((error = handle_attach(seg)) == 0 &&
             ((error = tenure_enter(what, seg, how)) < 0 || (error = place_settle(what, seg)) < 0))
        handle_detach(seg);
    if (error < 0) {
        seg->object = (struct object){-1, -1}; /* the caller's still */
        handle_free(seg);
        return error;
    }
    *ret = seg;
    return 0;
}

/* A handle, new or counted up, on the object, which is taken over if it succeeds. */
static int attach(const char *what, struct object *o, const struct attaching *how,
                  const struct backing *backing, struct tarn **ret_seg)
{
    const struct keeping *keeping = backing ? backing->keeping : &descriptor_keeping;
    struct attaching reading = *how; /* a private copy writes nothing of it */
    struct facts f;
    struct segment_header h = {0};
    struct geometry g;
    int error = keeping->facts(o, &f);
    reading.readonly |= how->private;
    if (error < 0)
        return fail(error, "%s: %s", what, strerror(-error));
    if ((error = check_object(what, &f, how)) < 0)
        return error;
    int64_t got = keeping->read(o, &h, sizeof h, 0);
    if (got < 0)
        return fail((int)got, "%s: its header cannot be read: %s", what, strerror((int)-got));
    if ((error = keeping->facts(o, &f)) < 0) /* again: it may have grown since, and its size must be no older than its header */
        return fail(error, "%s: %s", what, strerror(-error));
    if ((error = stamp_check(what, &h, got, f.size, &g)) < 0 ||
        (error = tenure_admit(what, o, &f, &h, &reading, backing)) < 0)
        return error;
    if (how->uuid && memcmp(how->uuid, h.uuid, sizeof h.uuid) != 0)
        return fail(-ESTALE, "%s: it is another segment than the one that was sent", what);
    if (backing && backing->named && lifetime_ended(o, &h))
        return -ENOENT;
    struct tarn *seg = how->repair || how->private ? NULL : handle_find(&f, how, h.uuid);
    if (!seg) {
        if ((error = map_checked(what, o, &h, &g, how, backing, &seg)) < 0)
            return error;
        if (!how->repair)
            handle_list(seg);
    } else if (how->address && how->address != seg->base) {
        return fail(-EBUSY, "%s: this process has it attached already, at %p, and asked for %p", what,
                    (void *)seg->base, how->address);
    } else {
        if (backing && backing->named && !seg->url &&
            (seg->url = strdup(what))) /* it was opened by descriptor; now its name is known */
            seg->backing = backing;
        if (!how->no_growth)
            __atomic_store_n(&seg->no_growth, false, __ATOMIC_RELAXED);
        seg->opens++;
        keeping->close(o);
    }
    *ret_seg = seg;
    return 0;
}

/* ---- by URL ---- */

/* What tarn_open was asked. Private memory. */
struct asked {
    const char *what;
    struct url url;
    unsigned flags;
    struct plan plan;
    struct attaching how;
};

/* -ENOENT: there is none. -EAGAIN: it changes under our hands; *ret_which tells what was found from what was found before. */
static int open_once(const struct asked *a, uint64_t *ret_which, struct tarn **ret_seg)
{
    const struct backing *b = a->url.backing;
    struct object o = {-1, -1};
    struct facts f;
    bool readonly = a->how.readonly || a->how.private;
    int error = a->how.raw && b->open_plain ? b->open_plain(a->url.name, readonly, &o)
                                            : b->open(a->url.name, readonly, &o);
    if (error < 0)
        return error;
    if (o.shm >= 0)
        *ret_which = (uint64_t)o.shm;
    else if (b->keeping->facts(&o, &f) == 0)
        *ret_which = f.inode;
    if (a->how.raw)
        error = raw_attach(a->what, &o, &a->how, b, ret_seg);
    else
        error = attach(a->what, &o, &a->how, b, ret_seg);
    if (error == 0) {
        if (a->how.raw)
            handle_list(*ret_seg);
        return 0;
    }
    if (lifetime_gone(&o))
        error = -EAGAIN;
    b->keeping->close(&o);
    if (error != -ENOENT || a->how.raw)
        return error;
    error = lifetime_sweep(a->what, &a->url, a->how.foreign); /* it has ended by itself */
    if (error == -EEXIST)
        return -EAGAIN;
    return error < 0 && a->flags & TARN_CREATE ? error : -ENOENT;
}

static int open_existing(const struct asked *a, struct tarn **ret_seg)
{
    struct timespec end = os_deadline(PATIENCE), last = os_deadline(PATIENCE_ALL);
    uint64_t was = UINT64_MAX, which = UINT64_MAX;
    int error;
    while ((error = open_once(a, &which, ret_seg)) == -EAGAIN && !os_passed(&last)) {
        if (which != was) /* others come on: on a busy machine each of our looks may take as long as one of theirs lives */
            end = os_deadline(PATIENCE);
        else if (os_passed(&end))
            break;
        was = which;
        usleep(500);
    }
    return error == -EAGAIN ? fail(-EBUSY, "%s: it comes and goes", a->what) : error;
}

static bool there(const struct asked *a)
{
    struct facts f;
    return a->url.backing->named && a->url.backing->look(a->url.name, &f) == 0;
}

static int make_raw(const struct asked *a, struct tarn **ret_seg)
{
    struct object o;
    int error = raw_make(a->what, &a->url, a->plan.mode, &a->how, &o);
    if (error < 0)
        return error;
    error = raw_attach(a->what, &o, &a->how, a->url.backing, ret_seg);
    if (o.shm >= 0 && !a->url.backing->named)
        (void)os_shm_remove(o.shm); /* nobody finds it: it goes with its last user */
    if (error < 0)
        a->url.backing->keeping->close(&o);
    return error;
}

static int make(const struct asked *a, struct tarn **ret_seg)
{
    int error = a->how.raw ? make_raw(a, ret_seg) : segment_make(a->what, &a->url, &a->plan, &a->how, ret_seg);
    if (error == 0)
        handle_list(*ret_seg);
    return error;
}

static int open_or_make(const struct asked *a, struct tarn **ret_seg)
{
    for (bool crowded = false;;) {
        int error = a->url.backing->named ? open_existing(a, ret_seg) : -ENOENT;
        if (error != -ENOENT)
            return error;
        error = make(a, ret_seg);
        if (error == -EEXIST || error == -EAGAIN)
            continue; /* another maker was quicker; or gave up */
        /* Many makers at once may fill the last memory with what only one of them will publish. */
        if ((error != -ENOSPC && error != -ENOMEM) || crowded || !there(a))
            return error;
        crowded = true;
    }
}

static int make_exclusively(const struct asked *a, struct tarn **ret_seg)
{
    int error;
    do
        error = !a->how.raw && there(a) && lifetime_sweep(a->what, &a->url, a->how.foreign) != 0
                    ? -EEXIST
                    : make(a, ret_seg);
    while (error == -EAGAIN);
    return error == -EEXIST ? fail(error, "%s: it is there already, and TARN_EXCL was said", a->what) : error;
}

static int check_flags(const char *what, const struct url *url, unsigned flags)
{
    if (flags & ~(TARN_CREATE | TARN_EXCL | TARN_RDONLY | TARN_FOREIGN | TARN_PRIVATE | TARN_EXEC | TARN_RAW))
        return fail(-EINVAL, "%s: flags %#x: unknown ones among them", what, flags);
    if ((flags & TARN_EXCL) && !(flags & TARN_CREATE))
        return fail(-EINVAL, "%s: TARN_EXCL goes with TARN_CREATE only", what);
    if ((flags & (TARN_RDONLY | TARN_PRIVATE)) && (flags & TARN_CREATE))
        return fail(-EINVAL, "%s: TARN_RDONLY and TARN_PRIVATE do not go with TARN_CREATE", what);
    if ((flags & TARN_RDONLY) && (flags & TARN_PRIVATE))
        return fail(-EINVAL,
                    "%s: TARN_PRIVATE is for writing into one's own copy, and TARN_RDONLY for not writing", what);
    if (!url->backing->named && !(flags & TARN_CREATE))
        return fail(-EINVAL, "%s: has no name to be found by: say TARN_CREATE, or attach its descriptor by tarn_open_fd",
                    what);
    return 0;
}

static struct attaching attaching_of(unsigned flags, const struct tarn_options *o)
{
    struct attaching how = {.readonly = flags & TARN_RDONLY,
                            .foreign = flags & TARN_FOREIGN,
                            .private = flags & TARN_PRIVATE,
                            .executable = flags & TARN_EXEC,
                            .raw = flags & TARN_RAW};
    if (o) {
        how.address = o->address;
        how.raw_offset = o->raw_offset;
        how.raw_length = o->raw_length;
        how.raw_protection = o->raw_protection;
    }
    return how;
}

/* With a name that means the same later: *ret_whole is to be freed. */
static int parse_whole(const char *url, struct url *ret_url, char **ret_whole)
{
    int error = url_parse(url, ret_url);
    if (error < 0 || !ret_url->backing->whole)
        return error;
    error = ret_url->backing->whole(ret_url->name, ret_whole);
    return error < 0 ? error : url_parse(*ret_whole, ret_url);
}

static int open_whole(const char *url, unsigned flags, const struct tarn_options *options, char **whole,
                      tarn **ret_seg)
{
    struct asked a = {.what = url, .flags = flags};
    struct tarn *seg = NULL;
    int error = parse_whole(url, &a.url, whole);
    if (*whole)
        a.what = url = *whole;
    if (error < 0 || (error = check_flags(url, &a.url, flags)) < 0 || (error = plan_make(options, &a.plan)) < 0)
        return error;
    a.how = attaching_of(flags, options); /* which have been checked */
    handles_lock();
    if (flags & TARN_EXCL)
        error = make_exclusively(&a, &seg);
    else if (flags & TARN_CREATE)
        error = open_or_make(&a, &seg);
    else if ((error = open_existing(&a, &seg)) == -ENOENT)
        fail(error, "%s: there is none; TARN_CREATE would make it", url);
    handles_unlock();
    if (error == 0)
        *ret_seg = seg;
    return error;
}

static int open_any(const char *url, unsigned flags, const struct tarn_options *options, tarn **ret_seg)
{
    char *whole = NULL;
    int error = open_whole(url, flags, options, &whole, ret_seg);
    free(whole);
    return error;
}

int repair_open(const char *url, struct tarn **ret_seg)
{
    struct asked a = {.what = url, .how = {.repair = true}};
    int error = url_parse(url, &a.url);
    if (error < 0)
        return error;
    if (!a.url.backing->durable)
        return fail(-EINVAL,
                    "%s: there is nothing to repair in what ends with the machine: only file: survives", url);
    handles_lock();
    error = open_existing(&a, ret_seg);
    handles_unlock();
    return error == -ENOENT ? fail(error, "%s: there is none", url) : error;
}

int tarn_open(const char *url, unsigned flags, const struct tarn_options *options, tarn **ret_seg)
{
    int cancel = os_cancel_off(), e = open_any(url, flags, options, ret_seg);
    os_cancel_restore(cancel);
    return e;
}

/* ---- by descriptor ---- */

/* A descriptor of our own, and a description of its own too: byte locks go by description, and by one for reading only what tarn_fd passes on
 * cannot write. Where the kernel will not open the file anew (no /proc, or a file this user could not open), the caller's is shared. */
static int own_descriptor(const char *what, int fd, bool readonly, bool *ret_shared)
{
    int mode = fcntl(fd, F_GETFL), own;
    if (mode < 0)
        return fail(-errno, "%s: %s", what, strerror(errno));
    if (mode & O_PATH)
        return fail(-EBADF, "%s: made with O_PATH: nothing can be read by it", what);
    if ((mode & O_ACCMODE) == O_WRONLY || (!readonly && (mode & O_ACCMODE) != O_RDWR))
        return fail(-EACCES, "%s: it was opened %s: say %s", what,
                    (mode & O_ACCMODE) == O_WRONLY ? "for writing only" : "read-only",
                    (mode & O_ACCMODE) == O_WRONLY ? "O_RDWR when opening it" : "TARN_RDONLY");
    *ret_shared = false;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (own = os_reopen(fd, readonly ? O_RDONLY : O_RDWR)) >= 0)
        return own;
    *ret_shared = true;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return own < 0 ? fail(-errno, "%s: cannot be duplicated: %s", what, strerror(errno)) : own;
}

int attach_descriptor(const char *what, int fd, struct attaching *how, struct tarn **ret_seg)
{
    struct object own = {.fd = own_descriptor(what, fd, how->readonly || how->private, &how->shared), .shm = -1};
    struct tarn *seg;
    if (own.fd < 0)
        return own.fd;
    handles_lock();
    int error = how->raw ? raw_attach(what, &own, how, NULL, &seg) : attach(what, &own, how, NULL, &seg);
    if (error == 0 && how->raw)
        handle_list(seg);
    handles_unlock();
    if (error < 0) {
        descriptor_keeping.close(&own);
        return error;
    }
    *ret_seg = seg;
    return 0;
}

int attach_shm(const char *what, int id, const struct attaching *how, struct tarn **ret_seg)
{
    struct object o = {.fd = -1, .shm = id};
    struct tarn *seg;
    handles_lock();
    int error = attach(what, &o, how, &sysv_private_backing, &seg);
    handles_unlock();
    if (error == 0)
        *ret_seg = seg;
    return error;
}

static int open_descriptor(int fd, unsigned flags, tarn **ret_seg)
{
    char what[40];
    struct attaching how = attaching_of(flags, NULL);
    snprintf(what, sizeof what, "descriptor %d", fd);
    if (flags & ~(TARN_RDONLY | TARN_FOREIGN | TARN_PRIVATE | TARN_EXEC | TARN_RAW) ||
        (flags & TARN_RDONLY && flags & TARN_PRIVATE))
        return fail(-EINVAL, "%s: flags %#x: TARN_RDONLY or TARN_PRIVATE, TARN_EXEC, TARN_FOREIGN and TARN_RAW may stand there",
                    what, flags);
    return attach_descriptor(what, fd, &how, ret_seg);
}

int tarn_open_fd(int fd, unsigned flags, tarn **ret_seg)
{
    int cancel = os_cancel_off(), e = open_descriptor(fd, flags, ret_seg);
    os_cancel_restore(cancel);
    return e;
}

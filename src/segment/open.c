/* segment/open.c - tarn_open, tarn_open_fd: from a URL or a descriptor to a handle.
 *
 * Whatever is found is judged before it is mapped: a regular file, of this user or root; then a private copy of its header, and the
 * file's size against that. After mapping, the stamp there must be the same bytes. Racing creators each make a whole segment; the
 * backing's publish lets one win, and the others open that one: a round is repeated only because somebody made or removed the
 * name meanwhile. All under the lock of handles, so two threads of a process never map one segment twice.
 *
 * Open by nature: whoever may write a POSIX object may truncate it between the look and the first touch. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

/* ---- what is there ---- */

/* May this file be a segment of ours at all? */
static int check_file(const char *what, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return fail(-EPROTO, "%s: no segment: not a regular file", what);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return fail(-EACCES,
                    "%s: it belongs to user %u (mode %04o), and this process is user %u: only segments of "
                    "one's own or root's are "
                    "attached",
                    what, st->st_uid, st->st_mode & 07777, geteuid());
    return 0;
}

static int map_checked(const char *what, int fd, const struct segment_header *h, const struct geometry *g,
                       bool readonly, const struct backing *backing, struct tarn **ret)
{
    struct tarn *seg;
    int error = handle_map(what, fd, g, readonly, backing, &seg);
    if (error < 0)
        return error;
    if (memcmp(h, seg->base, offsetof(struct segment_header, committed)) != 0)
        error = fail(-EUCLEAN, "%s: damaged: its stamp changed while it was opened", what);
    else
        error = handle_attach(seg);
    if (error < 0) {
        seg->fd = -1;
        handle_free(seg);
        return error;
    }
    *ret = seg;
    return 0;
}

/* A handle, new or counted up, on the file. The descriptor is taken over if it succeeds. */
static int attach(const char *what, int fd, bool readonly, const struct backing *backing, struct tarn **ret_seg)
{
    struct stat st;
    struct segment_header h = {0};
    struct geometry g;
    if (fstat(fd, &st) != 0)
        return fail(-errno, "%s: %s", what, strerror(errno));
    int error = check_file(what, &st);
    if (error < 0)
        return error;
    int64_t got = os_read_at(fd, &h, sizeof h, 0);
    if (got < 0)
        return fail((int)got, "%s: its header cannot be read: %s", what, strerror((int)-got));
    if (fstat(fd, &st) != 0) /* again: it may have grown since, and its size must be no older than its header */
        return fail(-errno, "%s: %s", what, strerror(errno));
    if ((error = stamp_check(what, &h, got, (uint64_t)st.st_size, &g)) < 0)
        return error;
    struct tarn *seg = handle_find(&st, readonly, h.uuid);
    if (!seg) {
        if ((error = map_checked(what, fd, &h, &g, readonly, backing, &seg)) < 0)
            return error;
        handle_list(seg);
    } else {
        if (backing && !seg->url && (seg->url = strdup(what))) /* it was opened by descriptor; now its name is known */
            seg->backing = backing;
        seg->opens++;
        close(fd);
    }
    *ret_seg = seg;
    return 0;
}

/* ---- by URL ---- */

static int open_existing(const char *what, const struct url *url, bool readonly, struct tarn **ret_seg)
{
    int fd, error = url->backing->open(url->name, readonly, &fd);
    if (error < 0)
        return error;
    if ((error = attach(what, fd, readonly, url->backing, ret_seg)) < 0)
        close(fd);
    return error;
}

static bool there(const struct url *url)
{
    struct stat st;
    return url->backing->named && url->backing->look(url->name, &st) == 0;
}

static int make(const char *what, const struct url *url, const struct plan *plan, struct tarn **ret_seg)
{
    int error = segment_make(what, url, plan, ret_seg);
    if (error == 0)
        handle_list(*ret_seg);
    return error;
}

static int open_or_make(const char *what, const struct url *url, const struct plan *plan, struct tarn **ret_seg)
{
    for (bool crowded = false;;) {
        int error = url->backing->named ? open_existing(what, url, false, ret_seg) : -ENOENT;
        if (error != -ENOENT)
            return error;
        error = make(what, url, plan, ret_seg);
        if (error == -EEXIST)
            continue; /* another maker was quicker */
        /* Many makers at once may fill the last memory with what only one of them will publish. */
        if ((error != -ENOSPC && error != -ENOMEM) || crowded || !there(url))
            return error;
        crowded = true;
    }
}

static int make_exclusively(const char *what, const struct url *url, const struct plan *plan, struct tarn **ret_seg)
{
    int error = there(url) ? -EEXIST : make(what, url, plan, ret_seg);
    return error == -EEXIST ? fail(error, "%s: it is there already, and TARN_EXCL was said", what) : error;
}

static int check_flags(const char *what, const struct url *url, unsigned flags)
{
    if (flags & ~(TARN_CREATE | TARN_EXCL | TARN_RDONLY))
        return fail(-EINVAL, "%s: flags %#x: unknown ones among them", what, flags);
    if ((flags & TARN_EXCL) && !(flags & TARN_CREATE))
        return fail(-EINVAL, "%s: TARN_EXCL goes with TARN_CREATE only", what);
    if ((flags & TARN_RDONLY) && (flags & TARN_CREATE))
        return fail(-EINVAL, "%s: TARN_RDONLY does not go with TARN_CREATE", what);
    if (!url->backing->named && !(flags & TARN_CREATE))
        return fail(-EINVAL, "%s: has no name to be found by: say TARN_CREATE, or attach its descriptor by tarn_open_fd",
                    what);
    return 0;
}

static int open_any(const char *url, unsigned flags, const struct tarn_options *options, tarn **ret_seg)
{
    struct url u;
    struct plan plan;
    struct tarn *seg = NULL;
    int error = url_parse(url, &u);
    if (error < 0 || (error = check_flags(url, &u, flags)) < 0 || (error = plan_make(options, &plan)) < 0)
        return error;
    handles_lock();
    if (flags & TARN_EXCL)
        error = make_exclusively(url, &u, &plan, &seg);
    else if (flags & TARN_CREATE)
        error = open_or_make(url, &u, &plan, &seg);
    else if ((error = open_existing(url, &u, flags & TARN_RDONLY, &seg)) == -ENOENT)
        fail(error, "%s: there is none; TARN_CREATE would make it", url);
    handles_unlock();
    if (error == 0)
        *ret_seg = seg;
    return error;
}

int tarn_open(const char *url, unsigned flags, const struct tarn_options *options, tarn **ret_seg)
{
    int cancel = os_cancel_off(), e = open_any(url, flags, options, ret_seg);
    os_cancel_restore(cancel);
    return e;
}

/* ---- by descriptor ---- */

/* A descriptor of our own. For reading only it is a description of its own too, so that what tarn_fd passes on cannot write; where the
 * kernel will not open the file anew (no /proc, or a file this user could not open), the caller's is shared. */
static int own_descriptor(const char *what, int fd, bool readonly)
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
    if (readonly && (mode & O_ACCMODE) != O_RDONLY && (own = os_reopen(fd, O_RDONLY)) >= 0)
        return own;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return own < 0 ? fail(-errno, "%s: cannot be duplicated: %s", what, strerror(errno)) : own;
}

static int open_descriptor(int fd, unsigned flags, tarn **ret_seg)
{
    char what[40];
    struct tarn *seg;
    snprintf(what, sizeof what, "descriptor %d", fd);
    if (flags & ~TARN_RDONLY)
        return fail(-EINVAL, "%s: flags %#x: only TARN_RDONLY may stand there", what, flags);
    int own = own_descriptor(what, fd, flags & TARN_RDONLY);
    if (own < 0)
        return own;
    handles_lock();
    int error = attach(what, own, flags & TARN_RDONLY, NULL, &seg);
    handles_unlock();
    if (error < 0) {
        close(own);
        return error;
    }
    *ret_seg = seg;
    return 0;
}

int tarn_open_fd(int fd, unsigned flags, tarn **ret_seg)
{
    int cancel = os_cancel_off(), e = open_descriptor(fd, flags, ret_seg);
    os_cancel_restore(cancel);
    return e;
}

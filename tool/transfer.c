/* transfer.c - raw bytes from here to there, see transfer.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "transfer.h"
#include "wait.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PIECE = 1 << 20, GRAIN = 4096 };

static const char zeros[PIECE];

/* ---- where it comes from ---- */

/* Bytes of all System V memory that are swapped out; UINT64_MAX: not known */
static uint64_t swapped(int id)
{
    FILE *f = fopen("/proc/sysvipc/shm", "re");
    char line[512];
    uint64_t found = UINT64_MAX;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long swap;
        int other;
        if (sscanf(line, "%*d %d %*o %*u %*d %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &other, &swap) == 2 &&
            other == id)
            found = swap;
    }
    if (f)
        fclose(f);
    return found;
}

/* To read a hole of mapped memory is to fill it. Root reads the file behind it instead; others ask which pages are there, and believe it as long as nothing is
 * swapped out. */
static void find_holes(const struct raw *r, struct origin *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (r->size + page - 1) / page;
    char path[96];
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)(uintptr_t)r->at,
             (unsigned long)((uintptr_t)r->at + pages * page));
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd >= 0) {
        s->own_fd = true;
        return;
    }
    bool swapping = swapped(r->id) != 0;
    s->there = malloc(pages);
    if (!s->there || swapping || mincore(r->at, pages * page, s->there) < 0 || swapped(r->id) != 0) {
        free(s->there);
        s->there = NULL;
    }
}

void source_of(const struct raw *r, struct origin *ret)
{
    *ret = (struct origin){.name = r->name, .fd = r->fd, .at = r->at, .sized = true, .size = r->size};
    if (r->at)
        find_holes(r, ret);
}

bool source_of_fd(const struct command *c, const char *name, int fd, struct origin *ret, int *ret_status)
{
    struct stat s;
    *ret = (struct origin){.name = name, .fd = fd};
    if (fstat(fd, &s) < 0 || S_ISDIR(s.st_mode)) {
        *ret_status = refused(c, name, "cannot be read", S_ISDIR(s.st_mode) ? EISDIR : errno);
        return false;
    }
    off_t start = S_ISREG(s.st_mode) ? lseek(fd, 0, SEEK_CUR) : -1;
    if (start < 0)
        return true;
    ret->sized = true;
    ret->start = (uint64_t)start;
    ret->size = s.st_size > start ? (uint64_t)(s.st_size - start) : 0;
    return true;
}

void source_end(struct origin *s)
{
    free(s->there);
    if (s->own_fd)
        close(s->fd);
}

/* From which byte on is data, and how far? false: none. */
static bool next_there(const struct origin *s, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = (s->size + page - 1) / page, k = at / page;
    while (s->there && k < pages && !(s->there[k] & 1))
        k++;
    if (k == pages)
        return false;
    *ret_from = k * page > at ? k * page : at;
    while (k < pages && (!s->there || s->there[k] & 1))
        k++;
    *ret_to = k * page < s->size ? k * page : s->size;
    return true;
}

static bool next_data(const struct origin *s, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
    if (at >= s->size)
        return false;
    if (s->fd < 0)
        return next_there(s, at, ret_from, ret_to);
    off_t from = lseek(s->fd, (off_t)(s->start + at), SEEK_DATA), to;
    if (from < 0 && errno == ENXIO)
        return false;
    if (from < 0 || (to = lseek(s->fd, from, SEEK_HOLE)) < 0) { /* it cannot tell */
        *ret_from = at;
        *ret_to = s->size;
        return true;
    }
    *ret_from = (uint64_t)from - s->start;
    *ret_to = (uint64_t)to - s->start < s->size ? (uint64_t)to - s->start : s->size;
    return *ret_from < s->size;
}

/* ---- a transfer ---- */

struct work {
    const struct command *c;
    struct origin *from;
    struct sink *to;
    char *piece;
    uint64_t began, told; /* ns */
    bool telling;         /* on a terminal */
    int status;
};

static bool fails(struct work *w, const char *name, const char *could_not, int error)
{
    if (w->telling && w->told)
        fputs("\r\033[K", stderr);
    w->told = 0;
    w->status = refused(w->c, name, could_not, error);
    return false;
}

static const char *rounded(uint64_t bytes, char to[static 16])
{
    char unit;
    double n = in_units(bytes, &unit);
    snprintf(to, 16, unit == 'B' ? "%.0f%c" : "%.1f%c", n, unit);
    return to;
}

static bool no_room(struct work *w, int error)
{
    struct statfs f;
    char all[16], left[16], more[96] = "";
    if (error == ENOSPC && w->to->kind != SINK_MEMORY && fstatfs(w->to->fd, &f) == 0)
        snprintf(more, sizeof more, "no room: its file system has %s, and %s left",
                 rounded((uint64_t)f.f_blocks * (uint64_t)f.f_bsize, all),
                 rounded((uint64_t)f.f_bavail * (uint64_t)f.f_bsize, left));
    else
        snprintf(more, sizeof more, "cannot be written");
    return fails(w, w->to->name, more, error);
}

static bool interrupted(struct work *w)
{
    if (!stopped)
        return false;
    fails(w, w->to->name,
          w->to->fresh                 ? "not made"
          : w->to->kind == SINK_STREAM ? "not whole"
                                       : "overwritten in part",
          EINTR);
    return true;
}

static void tell(struct work *w, uint64_t done, bool end)
{
    char a[16], b[16], per[16];
    uint64_t now = now_ns(), tenths = (now - w->began) / 100000000;
    if (!w->telling || (end ? !w->told : now - w->began < 1000000000 || now - w->told < 200000000))
        return;
    w->told = now;
    if (end)
        fputs("\r\033[K", stderr);
    else if (w->from->sized)
        fprintf(stderr, "\r\033[K%s of %s, %u%%, %s/s", rounded(done, a), rounded(w->from->size, b),
                (unsigned)((double)done / (double)w->from->size * 100), rounded(done * 10 / tenths, per));
    else
        fprintf(stderr, "\r\033[K%s, %s/s", rounded(done, a), rounded(done * 10 / tenths, per));
    fflush(stderr);
}

/* ---- writing ---- */

static bool write_file(struct work *w, const char *bytes, uint64_t size, uint64_t offset)
{
    while (size && !interrupted(w)) {
        ssize_t n = w->to->kind == SINK_STREAM ? write(w->to->fd, bytes, size)
                                               : pwrite(w->to->fd, bytes, size, (off_t)offset);
        if (n < 0 && errno != EINTR)
            return no_room(w, errno);
        if (n > 0) {
            bytes += n;
            size -= (uint64_t)n;
            offset += (uint64_t)n;
        }
    }
    return !size;
}

/* The pages are made before they are written, so that none is missing with a SIGBUS */
static bool populate(struct work *w, uint64_t offset, uint64_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = offset / page * page;
    uint64_t end = (offset + size + page - 1) / page * page;
    int error = 0;
    while ((error = madvise(w->to->at + from, end - from, MADV_POPULATE_WRITE) < 0 ? errno : 0) == EINTR ||
           error == EAGAIN)
        if (interrupted(w))
            return false;
    if (error && error != EINVAL) /* EINVAL: Linux before 5.14 */
        return fails(w, w->to->name, "no memory for it", error == EFAULT ? ENOMEM : error);
    return true;
}

static bool put_data(struct work *w, const char *bytes, uint64_t size, uint64_t offset)
{
    if (w->to->kind != SINK_MEMORY)
        return write_file(w, bytes, size, offset);
    if (!populate(w, offset, size))
        return false;
    memcpy(w->to->at + offset, bytes, size);
    return true;
}

/* Memory with something in it becomes a hole, if it can. */
static bool punch(struct work *w, uint64_t size, uint64_t offset)
{
    if (w->to->commit)
        return false;
    if (w->to->kind == SINK_FILE)
        return fallocate(w->to->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) == 0;
    return offset % GRAIN == 0 && size % GRAIN == 0 && madvise(w->to->at + offset, size, MADV_REMOVE) == 0;
}

static bool put_zeros(struct work *w, uint64_t size, uint64_t offset)
{
    if (w->to->fresh)
        return true;
    if (w->to->kind == SINK_STREAM && w->to->skipping)
        return lseek(w->to->fd, (off_t)size, SEEK_CUR) >= 0 || no_room(w, errno);
    if (w->to->kind != SINK_STREAM && punch(w, size, offset))
        return true;
    for (uint64_t n; size; size -= n, offset += n) {
        n = size < PIECE ? size : PIECE;
        if (interrupted(w) || !put_data(w, zeros, n, offset))
            return false;
    }
    return true;
}

/* Pages of zeros are left out. */
static bool put(struct work *w, const char *bytes, uint64_t size, uint64_t offset)
{
    uint64_t done = 0;
    while (done < size) {
        uint64_t at = done, n;
        bool zero = false;
        for (; at < size; at += n) {
            n = size - at < GRAIN ? size - at : GRAIN;
            bool this = memcmp(bytes + at, zeros, n) == 0;
            if (at > done && this != zero)
                break;
            zero = this;
        }
        if (zero ? !put_zeros(w, at - done, offset + done) : !put_data(w, bytes + done, at - done, offset + done))
            return false;
        done = at;
    }
    return true;
}

/* ---- reading ---- */

/* What can be had, up to size: -1 after a complaint */
static int64_t get(struct work *w, uint64_t size, uint64_t offset)
{
    uint64_t done = 0;
    while (done < size) {
        if (interrupted(w))
            return -1;
        ssize_t n = w->from->sized ? pread(w->from->fd, w->piece + done, size - done,
                                           (off_t)(w->from->start + offset + done))
                                   : read(w->from->fd, w->piece + done, size - done);
        if (n < 0 && errno != EINTR)
            return fails(w, w->from->name, "cannot be read", errno), -1;
        if (n == 0)
            break;
        done += n > 0 ? (uint64_t)n : 0;
    }
    return (int64_t)done;
}

static bool copy_data(struct work *w, uint64_t from, uint64_t to)
{
    for (uint64_t n; from < to; from += n) {
        n = to - from < PIECE ? to - from : PIECE;
        if (interrupted(w))
            return false;
        if (w->from->fd >= 0) {
            int64_t got = get(w, n, from);
            if (got >= 0 && (uint64_t)got < n)
                return fails(w, w->from->name, "became smaller meanwhile", EIO);
            if (got < 0)
                return false;
        }
        if (!put(w, w->from->fd >= 0 ? w->piece : w->from->at + from, n, from))
            return false;
        tell(w, from + n, false);
    }
    return true;
}

static bool copy_sized(struct work *w)
{
    uint64_t done = 0, from, to;
    while (next_data(w->from, done, &from, &to)) {
        if ((from > done && !put_zeros(w, from - done, done)) || !copy_data(w, from, to))
            return false;
        done = to;
    }
    return done == w->from->size || put_zeros(w, w->from->size - done, done);
}

static bool copy_stream(struct work *w, uint64_t exactly, uint64_t *ret_size)
{
    uint64_t done = 0;
    int64_t n;
    while ((n = get(w, PIECE, 0)) > 0) {
        if ((uint64_t)n > exactly - done)
            return fails(w, w->from->name, "has more bytes than it was said to have", EFBIG);
        if (!put(w, w->piece, (uint64_t)n, done))
            return false;
        done += (uint64_t)n;
        tell(w, done, false);
    }
    *ret_size = done;
    return n == 0;
}

/* ---- room ---- */

static bool reserve(struct work *w, uint64_t from, uint64_t to)
{
    if (w->to->kind == SINK_MEMORY) {
        for (uint64_t n; from < to; from += n) {
            n = to - from < 64u * PIECE ? to - from : 64u * PIECE;
            if (interrupted(w) || !populate(w, from, n))
                return false;
        }
        return true;
    }
    int error;
    do
        error = fallocate(w->to->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) < 0 ? errno : 0;
    while (error == EINTR && !stopped);
    return !interrupted(w) && (!error || (error == EOPNOTSUPP && !w->to->commit) || no_room(w, error));
}

/* Of what is overwritten nothing is, unless there is room for all of it. */
static bool reserve_first(struct work *w, uint64_t size)
{
    uint64_t at = 0, from, to;
    if (w->to->kind == SINK_STREAM || !size)
        return true;
    if (w->to->commit)
        return reserve(w, 0, size);
    if (w->to->fresh || !w->from->sized)
        return true;
    for (; next_data(w->from, at, &from, &to); at = to)
        if (!reserve(w, from, to))
            return false;
    return true;
}

static bool copy(struct work *w, uint64_t exactly)
{
    uint64_t size = w->from->sized ? w->from->size : exactly;
    bool known = size != UINT64_MAX;
    w->piece = malloc(PIECE);
    if (!w->piece)
        return fails(w, w->to->name, "no memory for its bytes", ENOMEM);
    if (w->from->sized && exactly < w->from->size)
        return fails(w, w->from->name, "has more bytes than it was said to have", EFBIG);
    if (known && !reserve_first(w, exactly != UINT64_MAX ? exactly : size))
        return false;
    if (w->from->sized ? !copy_sized(w) : !copy_stream(w, exactly, &size))
        return false;
    if (!w->to->fresh && exactly != UINT64_MAX && size < exactly)
        return fails(w, w->from->name, "has fewer bytes than what it overwrote in part", ENODATA);
    if (exactly != UINT64_MAX && size < exactly && !put_zeros(w, exactly - size, size))
        return false;
    size = exactly != UINT64_MAX ? exactly : size;
    if (w->to->fresh && w->to->kind == SINK_FILE && ftruncate(w->to->fd, (off_t)size) < 0)
        return no_room(w, errno);
    return known || !w->to->commit || !size || w->to->kind == SINK_STREAM || reserve(w, 0, size);
}

int transfer(const struct command *c, struct origin *from, struct sink *to, uint64_t exactly)
{
    struct work w = {
        .c = c, .from = from, .to = to, .began = now_ns(), .telling = isatty(STDERR_FILENO), .status = DONE};
    bool whole = copy(&w, exactly);
    if (whole && interrupted(&w))
        whole = false;
    tell(&w, from->size, true);
    free(w.piece);
    sink_end(c, to, whole, &w.status);
    return w.status;
}

/* machine_file.c - shared memory that is a file: /dev/shm, with the directories in it, hugetlbfs; and what the kernel tells of any file.
 *
 * On tmpfs and hugetlbfs allocated blocks are memory, resident or swapped. What is swapped is asked (cachestat) where anything is, for that takes a descriptor.
 * Directories are followed by descriptor, without links, on one device, eight deep. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "inventory.h"

enum { TMPFS = 0x01021994, HUGETLBFS = 0x958458f6, DEEPEST = 8 };

/* ---- what the kernel tells ---- */

bool file_stat(int directory, const char *path, bool follow, struct statx *ret)
{
    int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | (follow ? 0 : AT_SYMLINK_NOFOLLOW);
    return statx(directory, path, flags, STATX_BASIC_STATS | STATX_BTIME, ret) == 0;
}

uint64_t file_device(const struct statx *x)
{
    return makedev(x->stx_dev_major, x->stx_dev_minor);
}

const struct place *learn_place(struct inventory *i, uint64_t device, int directory, const char *path)
{
    const struct place *p = place_of(i, device);
    struct statfs s;
    if (p)
        return p;
    int fd = openat(directory, path, O_PATH | O_CLOEXEC);
    bool told = fd >= 0 && fstatfs(fd, &s) == 0;
    if (fd >= 0)
        close(fd);
    enum place_kind kind = !told                             ? PLACE_OTHER
                           : s.f_type == TMPFS               ? PLACE_TMPFS
                           : (unsigned)s.f_type == HUGETLBFS ? PLACE_HUGE
                                                             : PLACE_OTHER;
    return told ? add_place(i, kind, device, NULL, 0) : NULL;
}

/* Of glibc and kernel headers older than the call (Linux 6.5). */
struct cachestat_result {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static bool cached_pages(int directory, const char *path, uint64_t *ret_pages)
{
    const uint64_t whole[2] = {0, 0};
    struct cachestat_result r;
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    bool told = syscall(451, fd, whole, &r, 0) == 0;
    close(fd);
    *ret_pages = r.cached;
    return told;
}

static void fill_memory(const struct inventory *i, struct object *o, const struct statx *x, int directory,
                        const char *path)
{
    uint64_t blocks = x->stx_blocks * 512, pages;
    if (!i->m->swapping || !blocks) {
        o->resident = blocks;
        o->swapped = 0;
    } else if (cached_pages(directory, path, &pages)) {
        o->resident = pages * o->page_size < blocks ? pages * o->page_size : blocks;
        o->swapped = blocks - o->resident;
    }
}

static int64_t latest(const struct statx *x)
{
    int64_t a = x->stx_atime.tv_sec, m = x->stx_mtime.tv_sec, c = x->stx_ctime.tv_sec;
    return a > m ? (a > c ? a : c) : m > c ? m : c;
}

void fill_object(struct inventory *i, struct object *o, const struct statx *x, int directory, const char *path)
{
    const struct place *p = place_of(i, o->device);
    enum place_kind kind = p ? p->kind : PLACE_OTHER;
    o->known = true;
    o->size = x->stx_size;
    o->mode = x->stx_mode & 07777;
    o->uid = o->creator_uid = x->stx_uid;
    o->gid = x->stx_gid;
    o->created = x->stx_mask & STATX_BTIME ? x->stx_btime.tv_sec : 0;
    o->used = latest(x);
    o->deleted = x->stx_nlink == 0 && o->kind != OBJECT_MEMFD && o->kind != OBJECT_ANON;
    if (kind == PLACE_HUGE || kind == PLACE_MEMORY_HUGE) {
        o->page_size = x->stx_blksize;
        o->huge = o->resident = x->stx_blocks * 512;
        o->swapped = 0;
    } else if (kind != PLACE_OTHER)
        fill_memory(i, o, x, directory, path);
}

/* ---- directories ---- */

struct walk {
    struct inventory *i;
    struct place place; /* a copy: the list of them may move */
};

static void name_file(struct inventory *i, struct object *o, const struct place *p, const char *where,
                      const char *entry)
{
    if (p->elsewhere) {
        o->name = o->path = keep(i, "/proc/%u/root%s/%s", p->elsewhere, where, entry);
        return;
    }
    o->path = keep(i, "%s/%s", where, entry);
    o->name = o->kind == OBJECT_POSIX ? keep(i, "posix:/%s", entry) : keep(i, "file:%s", o->path);
}

static void walk(const struct walk *w, int fd, const char *where, unsigned depth);

static void add_entry(const struct walk *w, int fd, const char *where, const char *entry, unsigned depth)
{
    struct statx x;
    bool new;
    if (!file_stat(fd, entry, false, &x) || file_device(&x) != w->place.device)
        return;
    if (S_ISDIR(x.stx_mode) && depth < DEEPEST) {
        int below = openat(fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            walk(w, below, keep(w->i, "%s/%s", where, entry), depth + 1);
    } else if (S_ISREG(x.stx_mode)) {
        enum object_kind kind = w->place.kind == PLACE_HUGE ? OBJECT_HUGE
                                : depth                     ? OBJECT_FILE
                                                            : OBJECT_POSIX;
        struct object *o = find_object(w->i, kind, w->place.device, x.stx_ino, &new);
        if (!o || !new) /* another link to it */
            return;
        o->elsewhere = w->place.elsewhere;
        o->shared = o->writable = true;
        name_file(w->i, o, &w->place, where, entry);
        fill_object(w->i, o, &x, fd, entry);
    }
}

/* Closes fd. */
static void walk(const struct walk *w, int fd, const char *where, unsigned depth)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            (e->d_type == DT_REG || e->d_type == DT_DIR || e->d_type == DT_UNKNOWN))
            add_entry(w, fd, where, e->d_name, depth);
    closedir(d);
}

/* A directory that is a place of its own: known from here on, and listed if wanted. */
static void add_directory(struct inventory *i, enum place_kind kind, int fd, const char *path,
                          uint32_t elsewhere, bool listed)
{
    struct stat s;
    if (fd < 0)
        return;
    const struct place *p =
        fstat(fd, &s) < 0 || place_of(i, s.st_dev) ? NULL : add_place(i, kind, s.st_dev, path, elsewhere);
    if (p && listed)
        walk(&(struct walk){i, *p}, fd, path, 0);
    else
        close(fd);
}

static int open_directory(int at, const char *path)
{
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

const char *posix_directory(void)
{
    const char *named = secure_getenv("TARN_SHM_DIR");
    return named && *named ? named : "/dev/shm";
}

static void look_at_posix(struct inventory *i)
{
    char *real = realpath(posix_directory(), NULL);
    if (real)
        add_directory(i, PLACE_SHM, open_directory(AT_FDCWD, real), keep(i, "%s", real), 0, i->what & LOOK_FILES);
    free(real);
}

void mount_unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        unsigned c;
        if (*text == '\\' && sscanf(text + 1, "%3o", &c) == 1) {
            *to++ = (char)c;
            text += 3;
        } else
            *to++ = *text;
    }
    *to = 0;
}

/* A /proc that keeps others' processes from whoever is not root. */
static bool hides(const char *line)
{
    return geteuid() != 0 && strstr(line, " /proc ") && strstr(line, " - proc ") &&
           (strstr(line, "hidepid=2") || strstr(line, "hidepid=4") || strstr(line, "hidepid=invisible") ||
            strstr(line, "hidepid=ptraceable"));
}

/* 36 35 98:0 /root /mount/point options... - type source options */
static void look_at_mounts(struct inventory *i)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    struct lines l;
    if (fd < 0)
        return;
    lines_begin(&l, fd);
    for (char *line; (line = next_line(&l));) {
        i->m->hidden |= hides(line);
        if (!strstr(line, " - hugetlbfs "))
            continue;
        char *at = line;
        for (unsigned field = 0; field < 4 && at; field++)
            at = strchr(at + (field != 0), ' ');
        char *end = at ? strchr(at + 1, ' ') : NULL;
        if (!end)
            continue;
        *end = 0;
        mount_unescape(at + 1);
        add_directory(i, PLACE_HUGE, open_directory(AT_FDCWD, at + 1), keep(i, "%s", at + 1), 0,
                      i->what & LOOK_FILES);
    }
    close(fd);
}

void look_at_files(struct inventory *i)
{
    look_at_posix(i);
    look_at_mounts(i);
}

void look_at_files_elsewhere(struct inventory *i, uint32_t pid, int process)
{
    add_directory(i, PLACE_SHM, open_directory(process, "root/dev/shm"), "/dev/shm", pid, i->what & LOOK_FILES);
}

/* program.c - which program made a segment: by its build id, which is stamped, among the processes that may run it, and among debugging files.
 *
 * A program of another build id may have other types of the same names, so it is never taken unasked. Process ids are only where to look: one that is
 * another's by now runs something else. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"

struct hunt {
    const struct show *s;
    int fd;
    char *file;
    unsigned looked, forbidden, foreign; /* processes: that were looked at; may not be; run a program of another user's */
};

static void id_text(const uint8_t *id, size_t size, char to[static 65])
{
    *to = 0;
    for (size_t k = 0; k < size; k++)
        sprintf(to + 2 * k, "%02x", id[k]);
}

static int open_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

static bool has_id(int fd, const uint8_t *id, size_t size)
{
    uint8_t theirs[32];
    return size && program_build_id(fd, theirs, sizeof theirs) == (int)size && memcmp(theirs, id, size) == 0;
}

/* The debugging information of a build id, where distributions put it. */
static char *debug_path(const uint8_t *id, size_t size)
{
    const char *top = getenv("TARN_DEBUG_DIR");
    char text[65], *path = NULL;
    id_text(id, size, text);
    if (size < 2 ||
        asprintf(&path, "%s/.build-id/%.2s/%s.debug", top && *top ? top : "/usr/lib/debug", text, text + 2) < 0)
        return NULL;
    return path;
}

/* In place of a stripped program: the same, with its types. */
static void prefer_debug_file(struct hunt *h, const uint8_t *id, size_t size)
{
    char *path = h->fd >= 0 && program_has_types(h->fd) ? NULL : debug_path(id, size);
    int fd = path ? open_file(path) : -1;
    if (fd >= 0 && has_id(fd, id, size)) {
        if (h->fd >= 0)
            close(h->fd);
        free(h->file);
        h->fd = fd;
        h->file = path;
        return;
    }
    if (fd >= 0)
        close(fd);
    free(path);
}

/* Debugging information may harm who reads it, so another user's is not looked into unasked, as another user's segment is not attached by programs. */
static bool is_foreign(int fd)
{
    struct stat st;
    return fstat(fd, &st) != 0 || (st.st_uid != 0 && st.st_uid != geteuid());
}

/* any: whichever program it runs. */
static void try_process(struct hunt *h, uint32_t pid, bool any)
{
    char path[64], link[4096];
    snprintf(path, sizeof path, "/proc/%u/exe", pid);
    int fd = open_file(path);
    if (fd < 0) {
        h->forbidden += errno == EACCES || errno == EPERM;
        return;
    }
    if (is_foreign(fd)) {
        h->foreign++;
        close(fd);
        return;
    }
    h->looked++;
    if (any ? !program_has_types(fd) : !has_id(fd, h->s->stat.build_id, h->s->stat.build_id_size)) {
        close(fd);
        return;
    }
    ssize_t n = readlink(path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    h->fd = fd;
    h->file = strdup(n > 0 ? link : path);
}

static void try_participants(struct hunt *h, bool any)
{
    const struct show *s = h->s;
    for (size_t k = 0; k < s->participants_count && h->fd < 0; k++)
        if ((any || s->participants[k].pid != s->stat.creator) &&
            (!k || s->participants[k].pid != s->participants[k - 1].pid))
            try_process(h, s->participants[k].pid, any);
}

/* tarn create has no structs to put into it: those of whoever takes part are meant. */
static void try_users_of_ours(struct hunt *h)
{
    const struct tarn_stat *st = &h->s->stat;
    int self = h->fd < 0 ? open_file("/proc/self/exe") : -1;
    if (self >= 0 && has_id(self, st->build_id, st->build_id_size))
        try_participants(h, true);
    if (self >= 0)
        close(self);
    if (self >= 0 && h->fd >= 0)
        complain(h->s->c->name, "%s: it was made by tarn create: types are those of a participant's program, %s",
                 h->s->url, h->file);
}

static int not_found(const struct hunt *h, int *ret_status)
{
    const struct tarn_stat *st = &h->s->stat;
    char text[65], *path = debug_path(st->build_id, st->build_id_size);
    id_text(st->build_id, st->build_id_size, text);
    complain(h->s->c->name,
             "%s: its maker's types are not to be had: it has build id %s, and that is neither process %u's, "
             "who made it, nor a participant's (%u were "
             "looked at, %u may not be, %u run another user's program, which is looked into only if you say "
             "it), and there is no %s. Say --elf FILE, with that program",
             h->s->url, text, st->creator, h->looked, h->forbidden, h->foreign, path ? path : "debugging file");
    free(path);
    *ret_status = WRONG;
    return -1;
}

static int find(struct hunt *h, int *ret_status)
{
    const struct show *s = h->s;
    const struct tarn_stat *st = &s->stat;
    if (!st->build_id_size) {
        complain(s->c->name, "%s: which program made it is not known: that one has no build id (readelf -n), or is of an older tarn. Say --elf FILE",
                 s->url);
        *ret_status = WRONG;
        return -1;
    }
    try_process(h, st->creator, false);
    try_participants(h, false);
    try_users_of_ours(h);
    if (h->fd < 0 || has_id(h->fd, st->build_id, st->build_id_size))
        prefer_debug_file(h, st->build_id, st->build_id_size);
    return h->fd < 0 ? not_found(h, ret_status) : h->fd;
}

/* The user says which: that it is another program than the one that made it he is told. */
static int take_given(struct hunt *h, int *ret_status)
{
    const struct show *s = h->s;
    uint8_t id[32];
    char theirs[65], ours[65];
    h->fd = open_file(s->elf);
    if (h->fd < 0) {
        complain(s->c->name, "--elf %s: cannot be read: %s", s->elf,
                 errno == EINVAL ? "it is no file" : strerror(errno));
        *ret_status = errno == EACCES ? REFUSED : WRONG;
        return -1;
    }
    h->file = strdup(s->elf);
    int n = program_build_id(h->fd, id, sizeof id);
    if (n > 0 && s->stat.build_id_size && !has_id(h->fd, s->stat.build_id, s->stat.build_id_size)) {
        id_text(id, (size_t)n, theirs);
        id_text(s->stat.build_id, s->stat.build_id_size, ours);
        complain(s->c->name, "%s: its build id is %s, and the segment was made by %s: types may have changed between them",
                 s->elf, theirs, ours);
    }
    if (n > 0)
        prefer_debug_file(h, id, (size_t)n);
    return h->fd;
}

int program_open(const struct show *s, char **ret_file, int *ret_status)
{
    struct hunt h = {.s = s, .fd = -1};
    int fd = s->elf ? take_given(&h, ret_status) : find(&h, ret_status);
    *ret_file = h.file;
    return fd;
}

/* torture_segments.c - see torture.h. Recovery and check are done in a child, with time: who damages a segment must not end the torture. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <dirent.h>

#include "machine.h"
#include "module.h"
#include "torture.h"
#include "wait.h"

/* ---- what is wrong ---- */

void wrong_add(struct wrong *w, const char *format, ...)
{
    char **at = one_more(&w->text, &w->count, sizeof *at);
    va_list list;
    va_start(list, format);
    if (at && vasprintf(at, format, list) < 0)
        *at = NULL;
    va_end(list);
}

void wrong_free(struct wrong *w)
{
    for (size_t k = 0; k < w->count; k++)
        free(w->text[k]);
    free(w->text);
    *w = (struct wrong){0};
}

/* ---- children ---- */

static char *text_of(int fd)
{
    enum { MOST = 65536 };
    char *text = malloc(MOST + 1);
    ssize_t n = text ? pread(fd, text, MOST, 0) : 0;
    if (n <= 0) {
        free(text);
        return NULL;
    }
    text[n] = 0;
    return text;
}

static int wait_until(pid_t pid, uint64_t until)
{
    int status;
    for (unsigned us = 200;; us = us < 10000 ? us * 2 : us) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if (stopped || now_ns() >= until || (got < 0 && errno != EINTR)) {
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
            return stopped ? -2 : -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    }
}

int run_apart(void (*work)(void *arg), void *arg, uint64_t ms, char **ret_output)
{
    int out = memfd_create("tarn-torture-output", MFD_CLOEXEC), status = -2;
    fflush(NULL);
    pid_t pid = out < 0 ? -1 : fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        setpgid(0, 0); /* so that all of it can be ended */
        for (int fd = 0; fd < 3; fd++)
            dup2(fd ? out : null, fd);
        if (null > 2)
            close(null);
        work(arg);
        fflush(NULL);
        _exit(0);
    }
    if (pid > 0)
        status = wait_until(pid, deadline(ms));
    *ret_output = out < 0 ? NULL : text_of(out);
    if (out >= 0)
        close(out);
    return status;
}

static void be_shell(void *arg)
{
    execl("/bin/sh", "sh", "-c", (const char *)arg, (char *)NULL);
    _exit(127);
}

int run_shell(const char *line, uint64_t ms, char **ret_output)
{
    return run_apart(be_shell, (void *)(uintptr_t)line, ms, ret_output);
}

/* ---- finding them ---- */

void segments_process(struct segments *s, int pid)
{
    uint32_t *at = one_more(&s->pids, &s->pids_count, sizeof *at);
    if (at)
        *at = (uint32_t)pid;
}

static bool begins_as_segment(int pid, uint64_t at)
{
    char first[8];
    struct iovec to = {first, sizeof first}, from = {(void *)(uintptr_t)at, sizeof first};
    return process_vm_readv(pid, &to, 1, &from, 1, 0) == (ssize_t)sizeof first && is_tarn(first);
}

/* A descriptor of a file without a name, by one of the process's. */
static int hold(int pid, uint64_t device, uint64_t inode)
{
    char path[300];
    struct stat is;
    int fd = -1;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && fd < 0 && (e = readdir(d));) {
        snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, e->d_name);
        if (stat(path, &is) == 0 && is.st_dev == device && is.st_ino == inode)
            fd = open(path, O_RDWR); /* to be inherited: it is the check's fd:N */
    }
    if (d)
        closedir(d);
    return fd;
}

/* A file that was made without a name, and got one later, is mapped under DIRECTORY/#INODE (deleted). Its name there, or NULL: it has none. */
static char *name_of(const struct mapped *m)
{
    char *directory = strdup(m->path), *slash = directory ? strrchr(directory, '/') : NULL, *name = NULL;
    struct stat is;
    if (slash)
        slash[slash == directory] = 0;
    DIR *d = slash && strncmp(m->path, "/memfd:", 7) != 0 ? opendir(directory) : NULL;
    for (struct dirent *e; d && !name && (e = readdir(d));)
        if (e->d_ino == m->inode && fstatat(dirfd(d), e->d_name, &is, AT_SYMLINK_NOFOLLOW) == 0 &&
            is.st_dev == m->device && is.st_ino == m->inode &&
            asprintf(&name, "%s/%s", slash == directory ? "" : directory, e->d_name) < 0)
            name = NULL;
    if (d)
        closedir(d);
    free(directory);
    return name;
}

/* One that its maker has not given its name yet goes away with him. */
static bool is_unfinished(int fd)
{
    struct tarn_stat stat = {0};
    tarn *seg;
    if (tarn_open_fd(fd, TARN_RDONLY | TARN_FOREIGN, &seg) < 0)
        return true;
    int e = tarn_stat(seg, &stat);
    tarn_close(seg);
    return e < 0 || (!stat.unlinked && strcmp(stat.backing, "memfd") != 0 && strcmp(stat.backing, "anon") != 0);
}

static char *url_of(struct segments *s, const struct mapped *m, int pid, int *ret_held)
{
    char *url = NULL, *shm = realpath(posix_directory(), NULL), *name = m->deleted ? name_of(m) : strdup(m->path);
    size_t length = shm ? strlen(shm) : 0;
    uint32_t key;
    int made = -1;
    *ret_held = -1;
    if (sscanf(m->path, "/SYSV%8" SCNx32, &key) == 1) {
        if (key)
            made = asprintf(&url, "sysv:0x%" PRIx32, key);
        else
            s->private ++;
    } else if (!name) {
        *ret_held = hold(pid, m->device, m->inode);
        if (*ret_held >= 0 && is_unfinished(*ret_held))
            close(*ret_held);
        else if (*ret_held >= 0)
            made = asprintf(&url, "fd:%d", *ret_held);
    } else if (length && strncmp(name, shm, length) == 0 && name[length] == '/' && !strchr(name + length + 1, '/'))
        made = asprintf(&url, "posix:%s", name + length);
    else
        made = asprintf(&url, "file:%s", name);
    free(name);
    free(shm);
    return made < 0 ? NULL : url;
}

static void add(struct segments *s, const struct mapped *m, int pid)
{
    for (size_t k = 0; k < s->count; k++)
        if (s->found[k].inode == m->inode && s->found[k].device == m->device)
            return;
    int held;
    char *url = url_of(s, m, pid, &held);
    struct found *f = NULL;
    for (size_t k = 0; url && held < 0 && k < s->count && !f; k++)
        if (strcmp(s->found[k].url, url) == 0) /* the same name, made anew */
            f = &s->found[k];
    if (f) {
        f->device = m->device;
        f->inode = m->inode;
        free(url);
    } else if (url && (f = one_more(&s->found, &s->count, sizeof *f)))
        *f = (struct found){.url = url, .device = m->device, .inode = m->inode, .held = held};
}

bool segments_add(struct segments *s, const char *url)
{
    struct found *f = one_more(&s->found, &s->count, sizeof *f);
    if (f)
        *f = (struct found){.url = strdup(url), .held = -1};
    return f && f->url;
}

void segments_look(struct segments *s, int pid)
{
    static struct mapped m;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps && mapped_next(maps, &m))
        if (m.shared && m.offset == 0 && begins_as_segment(pid, m.start))
            add(s, &m, pid);
    if (maps)
        fclose(maps);
}

/* ---- checking them ---- */

static int attach_found(const struct found *f, unsigned flags, tarn **ret_seg)
{
    return f->held >= 0 ? tarn_open_fd(f->held, flags | TARN_FOREIGN, ret_seg)
                        : tarn_open(f->url, flags | TARN_FOREIGN, NULL, ret_seg);
}

static const char *shown_url(const struct found *f)
{
    return f->held >= 0 ? "the segment without a name" : f->url;
}

static int say_damage(const struct tarn_damage *d, void *arg)
{
    printf("%s: damaged at %#" PRIx64 ": %s\n", shown_url(arg), d->ref, d->what);
    return 0;
}

/* In the child: a line for each fault. */
static void check_one(void *arg)
{
    struct found *f = arg;
    tarn *seg;
    int e = attach_found(f, 0, &seg);
    if (e == -ENOENT)
        return;
    if (e < 0) {
        printf("%s: cannot be opened afterwards: %s\n", shown_url(f), tarn_error());
        return;
    }
    if (tarn_recover(seg) < 0)
        printf("%s: recovery failed: %s\n", shown_url(f), tarn_error());
    if (tarn_check(seg, say_damage, f) < 0)
        printf("%s: tarn_check failed: %s\n", shown_url(f), tarn_error());
    if (tarn_close(seg) < 0)
        printf("%s: closing failed: %s\n", shown_url(f), tarn_error());
}

/* Is it there? And whose is it? */
static bool look_inside(struct segments *s, struct found *f)
{
    struct tarn_stat stat;
    tarn *seg;
    int e = attach_found(f, TARN_RDONLY, &seg);
    if (e == 0) {
        if (tarn_stat(seg, &stat) == 0) {
            f->made = false;
            for (size_t k = 0; k < s->pids_count; k++)
                f->made |= s->pids[k] == stat.creator;
        }
        tarn_close(seg);
    }
    return e != -ENOENT;
}

static void add_lines(struct wrong *w, char *text)
{
    for (char *line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n"))
        wrong_add(w, "%s", line);
}

size_t segments_check(struct segments *s, uint64_t ms, struct wrong *w)
{
    size_t there = 0;
    for (size_t k = 0; k < s->count && !stopped; k++) {
        struct found *f = &s->found[k];
        char *output = NULL;
        if (!look_inside(s, f))
            continue;
        there++;
        int status = run_apart(check_one, f, ms, &output);
        add_lines(w, output);
        if (status == -1)
            wrong_add(w, "%s: recovery and check had not ended after %" PRIu64 " s", shown_url(f), ms / 1000);
        else if (status > 0)
            wrong_add(w, "%s: recovery or check died of signal %d", shown_url(f), WTERMSIG(status));
        free(output);
    }
    return there;
}

/* ---- and away ---- */

void segments_remove(struct segments *s)
{
    size_t kept = 0;
    for (size_t k = 0; k < s->count; k++) {
        struct found *f = &s->found[k];
        if (f->held < 0) {
            look_inside(s, f);
            if (f->made)
                tarn_unlink(f->url);
            s->found[kept++] = *f;
            continue;
        }
        close(f->held);
        free(f->url);
    }
    s->count = kept;
}

void segments_free(struct segments *s)
{
    for (size_t k = 0; k < s->count; k++) {
        if (s->found[k].held >= 0)
            close(s->found[k].held);
        free(s->found[k].url);
    }
    free(s->found);
    free(s->pids);
}

/* doctor_system.c - what tarn doctor finds in /proc, /sys and /etc, and by asking file systems how full they are. All paths begin at doctor.root. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "doctor.h"
#include "mounts.h"

#define MIB (UINT64_C(1) << 20)
enum { NEARLY = 90, ALMOST = 98 }; /* percent */

/* ---- reading ---- */

static FILE *open_below(const struct doctor *d, const char *path)
{
    char *whole = make_text("%s%s", d->root, path);
    FILE *f = whole ? fopen(whole, "re") : NULL;
    free(whole);
    return f;
}

static bool read_text(const struct doctor *d, const char *path, char *to, size_t size)
{
    FILE *f = open_below(d, path);
    size_t n = f ? fread(to, 1, size - 1, f) : 0;
    if (f)
        fclose(f);
    to[n] = 0;
    return n > 0;
}

/* "max" and the like are UINT64_MAX. */
static bool read_number(const struct doctor *d, const char *path, uint64_t *ret)
{
    char text[64];
    if (!read_text(d, path, text, sizeof text))
        return false;
    *ret = text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
    return true;
}

/* The number behind a word that begins a line; 0: it is not there. */
static uint64_t number_behind(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, n) == 0)
            return strtoull(line + n, NULL, 10);
    }
    return 0;
}

static uint64_t memory(const struct doctor *d, const char *word)
{
    char text[8192];
    return read_text(d, "/proc/meminfo", text, sizeof text) ? number_behind(text, word) * 1024 : 0;
}

static unsigned percent(uint64_t part, uint64_t whole)
{
    return whole ? (unsigned)((double)part * 100 / (double)whole) : 0;
}

static enum severity by_fill(unsigned fill)
{
    return fill >= ALMOST ? ERROR : fill >= NEARLY ? WARNING : INFO;
}

/* ---- file systems ---- */

static bool holds_shared(const struct doctor *d, uint64_t device)
{
    for (size_t k = 0; d->m && k < d->m->objects_count; k++) {
        const struct object *o = &d->m->objects[k];
        if (o->device == device && o->kind != OBJECT_SYSV && o->writable && o->shared)
            return true;
    }
    return false;
}

static void find_full(struct doctor *d, const char *point, const struct statvfs *s, const char *word)
{
    char used[16], size[16];
    uint64_t bytes = s->f_blocks * s->f_frsize;
    unsigned fill = percent(s->f_blocks - s->f_bfree, s->f_blocks),
             files = percent(s->f_files - s->f_ffree, s->f_files);
    if (fill >= NEARLY)
        found(d, by_fill(fill), "tmpfs-full", point,
              make_text("mount -o remount,size=%" PRIu64 "K %s", bytes / 512, word), "%u%% of it is full, %s of %s: who writes to new pages then is killed by SIGBUS (tarn ls --sort RES tells what fills it)",
              fill, size_text((s->f_blocks - s->f_bfree) * s->f_frsize, used), size_text(bytes, size));
    if (files >= NEARLY)
        found(d, by_fill(files), "tmpfs-files", point,
              make_text("mount -o remount,nr_inodes=%" PRIu64 " %s", (uint64_t)s->f_files * 2, word),
              "%u%% of the files that it may have are there, %" PRIu64 " of %" PRIu64, files,
              (uint64_t)(s->f_files - s->f_ffree), (uint64_t)s->f_files);
}

static void find_small(struct doctor *d, const char *point, uint64_t bytes, const char *word)
{
    char size[16], whole[16];
    uint64_t all = memory(d, "MemTotal:") + memory(d, "SwapTotal:");
    if (bytes == 64 * MIB)
        found(d, WARNING, "container-shm", point, make_text("mount -o remount,size=1G %s", word),
              "it has the 64M that containers get unless they ask; from outside: docker run --shm-size=1g, "
              "or in Kubernetes an emptyDir "
              "of medium Memory");
    else if (all && bytes >= all)
        found(d, INFO, "tmpfs-beyond-memory", point, make_text("mount -o remount,size=50%% %s", word),
              "it may grow to %s, and memory and swap are %s: who fills it has processes killed",
              size_text(bytes, size), size_text(all, whole));
}

static void find_rights(struct doctor *d, const char *point, const char *path, const char *word)
{
    struct stat s;
    if (stat(path, &s) < 0 || (s.st_mode & 01777) == 01777)
        return;
    bool open = s.st_mode & 0002;
    found(d, open && !(s.st_mode & 01000) ? ERROR : WARNING, "shm-mode", point, make_text("chmod 1777 %s", word),
          open ? "its mode is %04o: without the sticky bit anybody may remove anybody's objects"
               : "its mode is %04o: not everybody may make POSIX objects",
          s.st_mode & 07777);
}

static void examine_mount(struct doctor *d, const struct mount *mount)
{
    bool main = strcmp(mount->point, "/dev/shm") == 0;
    struct statvfs s;
    char *path = make_text("%s%s", d->root, mount->point), *word = shell_word(mount->point);
    if (path && word && statvfs(path, &s) == 0 && s.f_blocks) {
        find_full(d, mount->point, &s, word);
        if (main) {
            find_small(d, mount->point, s.f_blocks * s.f_frsize, word);
            find_rights(d, mount->point, path, word);
        }
    }
    free(path);
    free(word);
}

static bool is_for_sharing(const struct doctor *d, const struct mount *mount)
{
    const char *base = strrchr(mount->point, '/');
    return mount->is_tmpfs && base && (strcasestr(base, "shm") || holds_shared(d, mount->device));
}

static void examine_mounts(struct doctor *d)
{
    size_t count = 0;
    bool main = false;
    FILE *f = open_below(d, "/proc/self/mountinfo");
    struct mount *list = f ? mounts_read(f, &count) : NULL;
    for (size_t k = 0; k < count; k++) {
        main |= list[k].is_tmpfs && strcmp(list[k].point, "/dev/shm") == 0;
        if (is_for_sharing(d, &list[k]))
            examine_mount(d, &list[k]);
    }
    if (f && !main)
        found(d, ERROR, "no-shm", "/dev/shm",
              make_text("mkdir -p /dev/shm && mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm"),
              "no tmpfs is mounted there: POSIX objects cannot be made, or are on a disk");
    if (f)
        fclose(f);
    mounts_free(list, count);
}

/* ---- System V ---- */

static bool count_ids(const struct doctor *d, uint64_t *ret_ids, uint64_t *ret_pages)
{
    FILE *f = open_below(d, "/proc/sysvipc/shm");
    char line[512];
    uint64_t size, page = (uint64_t)sysconf(_SC_PAGESIZE);
    *ret_ids = *ret_pages = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%*d %*d %*o %" SCNu64, &size) == 1) {
            ++*ret_ids;
            *ret_pages += (size + page - 1) / page;
        }
    if (f)
        fclose(f);
    return f;
}

static void examine_sysv(struct doctor *d)
{
    uint64_t ids, pages, most, all, largest, total = memory(d, "MemTotal:");
    char size[16], whole[16];
    if (!count_ids(d, &ids, &pages))
        return;
    if (read_number(d, "/proc/sys/kernel/shmmni", &most) && percent(ids, most) >= NEARLY)
        found(d, by_fill(percent(ids, most)), "shmmni", "kernel.shmmni",
              make_text("sysctl -w kernel.shmmni=%" PRIu64, most * 2),
              "%" PRIu64 " of %" PRIu64 " System V ids are there: then shmget fails with ENOSPC", ids, most);
    if (read_number(d, "/proc/sys/kernel/shmall", &all) && percent(pages, all) >= NEARLY)
        found(d, by_fill(percent(pages, all)), "shmall", "kernel.shmall",
              make_text("sysctl -w kernel.shmall=%" PRIu64, all * 2),
              "%" PRIu64 " of %" PRIu64 " pages of System V are given away: then shmget fails with ENOSPC",
              pages, all);
    if (read_number(d, "/proc/sys/kernel/shmmax", &largest) && (largest < 32 * MIB + 1 || largest < total / 4))
        found(d, largest <= 32 * MIB ? WARNING : INFO, "shmmax", "kernel.shmmax",
              make_text("sysctl -w kernel.shmmax=18446744073692774399"),
              "a System V id can have %s at most, and this machine has %s: larger ones are EINVAL",
              size_text(largest, size), size_text(total, whole));
}

/* ---- limits of processes ---- */

/* "Max open files   1024   4096   files"; unlimited: UINT64_MAX */
static bool limit_of(const char *text, const char *name, uint64_t *ret_soft, uint64_t *ret_hard)
{
    char soft[32], hard[32];
    const char *at = strstr(text, name);
    if (!at || sscanf(at + strlen(name), "%31s %31s", soft, hard) != 2)
        return false;
    *ret_soft = soft[0] == 'u' ? UINT64_MAX : strtoull(soft, NULL, 10);
    *ret_hard = hard[0] == 'u' ? UINT64_MAX : strtoull(hard, NULL, 10);
    return true;
}

static void examine_limits(struct doctor *d)
{
    char text[4096], size[16];
    uint64_t soft, hard, open = 0, most = 0;
    if (read_text(d, "/proc/self/limits", text, sizeof text)) {
        if (limit_of(text, "Max locked memory", &soft, &hard) && soft < 64 * MIB)
            found(
                d, INFO, "memlock", "RLIMIT_MEMLOCK", make_text("prlimit --pid $$ --memlock=unlimited"),
                "a process of this shell may lock %s: no more can be had of locked segments, SHM_LOCK, RDMA",
                size_text(soft, size));
        if (limit_of(text, "Max open files", &soft, &hard) && soft <= 1024)
            found(d, INFO, "nofile", "RLIMIT_NOFILE",
                  hard == UINT64_MAX ? make_text("ulimit -n 65536")
                  : hard > soft      ? make_text("ulimit -n %" PRIu64, hard)
                                     : make_text("prlimit --pid $$ --nofile=65536"),
                  "a process of this shell may have %" PRIu64 " descriptors: each mapped segment has one", soft);
    }
    if (read_text(d, "/proc/sys/fs/file-nr", text, sizeof text) &&
        sscanf(text, "%" SCNu64 " %*u %" SCNu64, &open, &most) == 2 && percent(open, most) >= NEARLY)
        found(d, by_fill(percent(open, most)), "file-max", "fs.file-max",
              make_text("sysctl -w fs.file-max=%" PRIu64, most * 2),
              "%" PRIu64 " of %" PRIu64 " files that the machine may have open are open", open, most);
}

/* ---- control groups ---- */

struct group {
    char *directory; /* as it is on the machine */
    bool first;      /* version 1 */
    uint64_t limit, used, shared;
};

static bool read_group(const struct doctor *d, struct group *g)
{
    char text[8192];
    char *limit = make_text("%s/%s", g->directory, g->first ? "memory.limit_in_bytes" : "memory.max");
    char *used = make_text("%s/%s", g->directory, g->first ? "memory.usage_in_bytes" : "memory.current");
    char *stat = make_text("%s/memory.stat", g->directory);
    bool told = limit && used && stat && read_number(d, limit, &g->limit) && read_number(d, used, &g->used);
    if (told && read_text(d, stat, text, sizeof text))
        g->shared = number_behind(text, g->first ? "total_shmem " : "shmem ");
    if (told && g->first && !g->shared)
        g->shared = number_behind(text, "shmem ");
    free(limit);
    free(used);
    free(stat);
    return told;
}

/* Behind "0::" or "N:memory:" */
static char *own_group(const struct doctor *d, bool *ret_first)
{
    char line[4096], *path = NULL;
    FILE *f = open_below(d, "/proc/self/cgroup");
    while (f && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *rest = list ? strchr(list + 1, ':') : NULL;
        if (!rest)
            continue;
        *rest++ = 0;
        rest[strcspn(rest, "\n")] = 0;
        bool first = strstr(list, "memory");
        if (first || (!list[1] && !path)) {
            free(path);
            path = strdup(rest);
            *ret_first = first;
        }
    }
    if (f)
        fclose(f);
    return path;
}

static void find_group(struct doctor *d, const struct group *g)
{
    char used[16], limit[16], shared[16];
    uint64_t total = memory(d, "MemTotal:");
    if (g->limit == UINT64_MAX || (total && g->limit >= total))
        return;
    unsigned fill = percent(g->used, g->limit);
    char *word = shell_word(g->directory);
    found(d, by_fill(fill), "cgroup-memory", g->directory,
          fill < NEARLY ? NULL
                        : make_text("echo %" PRIu64 " > %s/%s", g->limit * 2, word ? word : "",
                                    g->first ? "memory.limit_in_bytes" : "memory.max"),
          "this control group has %s of %s, and %s of it is shared memory: beyond that its processes are "
          "killed, however large /dev/shm is",
          size_text(g->used, used), size_text(g->limit, limit), size_text(g->shared, shared));
    free(word);
}

/* The tightest of the group and those around it. */
static void examine_groups(struct doctor *d)
{
    bool first = false;
    char *path = own_group(d, &first);
    struct group tightest = {.limit = UINT64_MAX};
    while (path) {
        char *end = strrchr(path, '/');
        struct group g = {make_text("/sys/fs/cgroup%s%s", first ? "/memory" : "", strcmp(path, "/") == 0 ? "" : path),
                          first, 0, 0, 0};
        if (g.directory && read_group(d, &g) && g.limit < tightest.limit) {
            free(tightest.directory);
            tightest = g;
        } else
            free(g.directory);
        if (!end || strcmp(path, "/") == 0)
            break;
        end[end == path] = 0;
    }
    if (tightest.directory)
        find_group(d, &tightest);
    free(tightest.directory);
    free(path);
}

/* ---- settings ---- */

/* The word in brackets of "always [madvise] never" */
static bool chosen(const struct doctor *d, const char *path, char *to, size_t size)
{
    char text[256], *open = read_text(d, path, text, sizeof text) ? strchr(text, '[') : NULL;
    char *end = open ? strchr(open, ']') : NULL;
    if (!end)
        return false;
    *end = 0;
    snprintf(to, size, "%s", open + 1);
    return true;
}

static void examine_huge_pages(struct doctor *d)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    char word[32];
    if (!chosen(d, path, word, sizeof word))
        return;
    if (strcmp(word, "force") == 0 || strcmp(word, "always") == 0)
        found(d, *word == 'f' ? WARNING : INFO, "huge-pages", path, make_text("echo advise > %s", path),
              "it is \"%s\": shared memory takes whole huge pages unasked, small objects too", word);
    else if (strcmp(word, "never") == 0 || strcmp(word, "deny") == 0)
        found(d, INFO, "huge-pages", path, make_text("echo advise > %s", path),
              "it is \"%s\": shared memory gets no huge pages, though a program asks by madvise", word);
}

static void examine_overcommit(struct doctor *d)
{
    uint64_t mode, given = memory(d, "Committed_AS:"), limit = memory(d, "CommitLimit:");
    char a[16], b[16];
    unsigned fill = percent(given, limit);
    if (!read_number(d, "/proc/sys/vm/overcommit_memory", &mode) || mode != 2)
        return;
    found(d, fill >= NEARLY ? by_fill(fill) : INFO, "overcommit", "vm.overcommit_memory",
          make_text("sysctl -w vm.overcommit_memory=0"), "it is 2: memory is promised up to %s, and %s is promised already; beyond that shmget, mmap and fork fail with ENOMEM",
          size_text(limit, a), size_text(given, b));
}

/* ---- systemd ---- */

static void read_setting(const struct doctor *d, const char *path, bool *removes)
{
    char line[512], value[16];
    FILE *f = open_below(d, path);
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, " RemoveIPC = %15s", value) == 1 || sscanf(line, " RemoveIPC=%15s", value) == 1)
            *removes = strcasecmp(value, "no") != 0 && strcasecmp(value, "false") != 0 &&
                       strcasecmp(value, "off") != 0 && strcmp(value, "0") != 0 &&
                       strcasecmp(value, "n") != 0 && strcasecmp(value, "f") != 0;
    if (f)
        fclose(f);
}

static int by_text(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_settings_in(const struct doctor *d, const char *directory, bool *removes)
{
    struct dirent **list;
    char *whole = make_text("%s%s", d->root, directory);
    int count = whole ? scandir(whole, &list, NULL, by_text) : -1;
    for (int k = 0; k < count; k++) {
        const char *dot = strrchr(list[k]->d_name, '.');
        char *path = dot && strcmp(dot, ".conf") == 0 ? make_text("%s/%s", directory, list[k]->d_name) : NULL;
        if (path)
            read_setting(d, path, removes);
        free(path);
        free(list[k]);
    }
    if (count >= 0)
        free(list);
    free(whole);
}

/* System users' and root's are left alone by it. */
static size_t objects_of_people(const struct doctor *d)
{
    size_t count = 0;
    for (size_t k = 0; d->m && k < d->m->objects_count; k++) {
        const struct object *o = &d->m->objects[k];
        count += (o->kind == OBJECT_SYSV || o->kind == OBJECT_POSIX) && !o->elsewhere && !o->deleted &&
                 o->uid >= 1000 && o->uid < 65534;
    }
    return count;
}

static void examine_logind(struct doctor *d)
{
    bool removes = true;
    char *running = make_text("%s/run/systemd/users", d->root);
    bool runs = running && access(running, F_OK) == 0;
    free(running);
    if (!runs)
        return;
    read_setting(d, "/usr/lib/systemd/logind.conf", &removes);
    read_setting(d, "/etc/systemd/logind.conf", &removes);
    read_settings_in(d, "/usr/lib/systemd/logind.conf.d", &removes);
    read_settings_in(d, "/run/systemd/logind.conf.d", &removes);
    read_settings_in(d, "/etc/systemd/logind.conf.d", &removes);
    size_t count = objects_of_people(d);
    if (removes)
        found(d, count ? WARNING : INFO, "remove-ipc", "/etc/systemd/logind.conf",
              make_text("mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\nRemoveIPC=no\\n' > "
                        "/etc/systemd/logind.conf.d/remove-ipc.conf && systemctl restart systemd-logind"),
              "RemoveIPC is yes: when a user who is no system user logs out, his shared memory is removed, "
              "also what services of his still use "
              "(%zu objects here are such users')",
              count);
}

void examine_system(struct doctor *d)
{
    examine_mounts(d);
    examine_sysv(d);
    examine_limits(d);
    examine_groups(d);
    examine_huge_pages(d);
    examine_overcommit(d);
    examine_logind(d);
}

/* bench/tool_main.c - bench-tool: how long tarn ls takes for 10,000 System V ids, beside lsipc, with the same columns and the same rows.
 *
 * They are made in an IPC namespace of its own, of a page each that nobody writes, so that no memory is used and nothing is left. A sample is from
 * fork to the end of the program, its output read through a pipe; each time all ids must be there, once. ls_10k.usual: tarn ls as it is usually called, which also
 * looks at all processes. Not permitted to make a namespace: exit 2.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDS = 10000 };
static unsigned count = IDS;
static uint64_t sum_of_ids;

static const char *const figures[] = {"tool.ls_10k", "tool.ls_10k.usual", NULL};

/* ---- ids ---- */

static void set_most(unsigned most)
{
    FILE *f = fopen("/proc/sys/kernel/shmmni", "w");
    if (!f || fprintf(f, "%u", most) < 0 || fclose(f) != 0)
        bench_die("kernel.shmmni cannot be set: %s", strerror(errno));
}

static void make_ids(void)
{
    if (unshare(CLONE_NEWIPC) < 0) {
        fprintf(stderr, "bench-tool: no IPC namespace of its own may be made (%s): run it as root\n",
                strerror(errno));
        exit(2);
    }
    set_most(count + 16);
    for (unsigned i = 0; i < count; i++) {
        int id = shmget((key_t)(0x74000000 + i), 4096, IPC_CREAT | IPC_EXCL | 0600);
        if (id < 0)
            bench_die("shmget, number %u: %s", i, strerror(errno));
        sum_of_ids += (unsigned)id;
    }
}

/* ---- programs ---- */

struct program {
    const char *const *arguments;
    bool only_ids, foreign; /* see check */
};

static pid_t start(const struct program *p, int *ret_from)
{
    int ends[2];
    if (pipe(ends) < 0)
        bench_die("pipe: %s", strerror(errno));
    pid_t pid = bench_fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(ends[1], STDOUT_FILENO);
        dup2(nothing, STDERR_FILENO);
        close(ends[0]);
        execvp(p->arguments[0], (char *const *)(uintptr_t)p->arguments);
        _exit(127);
    }
    close(ends[1]);
    *ret_from = ends[0];
    return pid;
}

static char output[8 << 20];

static size_t read_all(int from)
{
    size_t size = 0;
    for (ssize_t n; (n = read(from, output + size, sizeof output - 1 - size)) != 0; size += (size_t)n)
        if (n < 0)
            bench_die("read: %s", strerror(errno));
    output[size] = 0;
    return size;
}

/* Of ids alone, each with its number as the second word. What tarn ls finds by processes of other IPC namespaces, and says so of (WHERE), is none of ours. */
static void check(const struct program *p)
{
    uint64_t sum = 0;
    unsigned lines = 0;
    char *rest, *line = strtok_r(output, "\n", &rest);
    while ((line = strtok_r(NULL, "\n", &rest))) { /* without the headings */
        const char *id = strchr(line, ' '), *last = strrchr(line, ' ');
        if (p->foreign && last && strcmp(last, " -") != 0)
            continue;
        lines++;
        sum += id ? strtoull(id, NULL, 10) : 0;
    }
    if (p->only_ids ? lines != count || sum != sum_of_ids : lines < count)
        bench_die("%s: %u lines, ids that sum up to %llu; there are %u, of %llu", p->arguments[0], lines,
                  (unsigned long long)sum, count, (unsigned long long)sum_of_ids);
}

static double sample(void *state)
{
    const struct program *p = state;
    uint64_t begin = bench_now();
    int from;
    pid_t pid = start(p, &from);
    read_all(from);
    close(from);
    bench_join(pid, 0, p->arguments[0]);
    double us = (double)(bench_now() - begin) / 1000;
    check(p);
    return us;
}

/* ---- the tool beside this program ---- */

static const char *tarn_path(void)
{
    static char path[PATH_MAX + 16];
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    for (int i = 0; i < 2 && n > 0; i++) {
        path[n] = 0;
        n = strrchr(path, '/') ? strrchr(path, '/') - path : 0;
    }
    if (n <= 0)
        bench_die("/proc/self/exe: no path");
    strcpy(path + n, "/tool/tarn");
    if (access(path, X_OK) < 0)
        bench_die("%s: %s", path, strerror(errno));
    return path;
}

int main(int argc, char **argv)
{
    bench_start(argc, argv, "tool", figures);
    const char *tarn = tarn_path();
    const char *const ls[] = {tarn,
                              "ls",
                              "--kind",
                              "sysv",
                              "--raw",
                              "-o",
                              "KEY,ID,MODE,OWNER,SIZE,NATTCH,CREATED,CPID,LPID,COMMAND,WHERE",
                              NULL};
    const char *const usual[] = {tarn, "ls", NULL};
    const char *const lsipc[] = {
        "lsipc", "-m", "-b", "--raw", "-o", "KEY,ID,PERMS,OWNER,SIZE,NATTCH,CTIME,CPID,LPID,COMMAND", NULL};
    struct program ours = {ls, true, true}, as_usual = {usual, false, false}, peer = {lsipc, true, false};
    struct contender us = {"tarn", sample, &ours}, us_usual = {"tarn", sample, &as_usual},
                     them = {"lsipc", sample, &peer};
    struct outcome outcome;
    count = (unsigned)bench_entries(IDS, IDS);
    make_ids();
    if (bench_wanted_itself("tool.ls_10k"))
        bench_compare("tool.ls_10k", "us", &us, &them, 1, bench_reps(15), false, &outcome);
    if (bench_wanted_itself("tool.ls_10k.usual"))
        bench_compare("tool.ls_10k.usual", "us", &us_usual, &them, 1, bench_reps(15), false, &outcome);
    return 0;
}

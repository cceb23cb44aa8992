/* bench/core_lifecycle.c - the steps of a segment's life, on each backing.
 *
 * attach: tarn_open of a segment whose 1 GiB of data is committed, by a process that had it not. create: tarn_open that makes one, with
 * the defaults. grow: tarn_grow by 64 MiB, beside fallocate of as much on a memfd. fork:
 * fork and wait for a child that does nothing, with that 1 GiB attached and every page of it mapped, beside the same without. mutex.alone: on each
 * backing beside memfd.
 *
 * POSIX and System V segments, and the file, get names of this process; they are removed at the end, also by an end that was not planned.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIG (UINT64_C(1) << 30)
#define STEP (UINT64_C(64) << 20)
#define TURNS 300000u
#define FORKS 20
#define CREATIONS 10

enum { POSIX, SYSV, FILE_, MEMFD, ANON, BACKINGS };
static const char *const scheme[BACKINGS] = {"posix", "sysv", "file", "memfd", "anon"};
static char url[BACKINGS][256];
static pid_t maker;

/* ---- names ---- */

static void remove_all(void)
{
    if (getpid() != maker)
        return;
    for (int b = POSIX; b <= FILE_; b++)
        (void)tarn_unlink(url[b]);
}

static void name_all(void)
{
    static bool done;
    const char *directory = getenv("TMPDIR");
    if (done)
        return;
    done = true;
    maker = getpid();
    snprintf(url[POSIX], sizeof url[0], "posix:/tarn-bench-%d", (int)maker);
    snprintf(url[SYSV], sizeof url[0], "sysv:%u", 0x7a000000u + (unsigned)maker);
    snprintf(url[FILE_], sizeof url[0], "file:%s/tarn-bench-%d", directory ? directory : "/tmp", (int)maker);
    snprintf(url[MEMFD], sizeof url[0], "memfd:bench");
    snprintf(url[ANON], sizeof url[0], "anon:");
    atexit(remove_all);
}

/* A backing that the place we run at does not have is left out, and said. */
static tarn *open_on(int backing, unsigned flags, const struct tarn_options *options)
{
    tarn *seg;
    int e = tarn_open(url[backing], flags, options, &seg);
    if (e == 0)
        return seg;
    if (e != -EOPNOTSUPP && e != -EINVAL && e != -ENOSYS)
        bench_die("%s: %s (%d)", url[backing], tarn_error(), e);
    bench_note("%s is left out: %s", scheme[backing], tarn_error());
    return NULL;
}

static void must_have_memory(uint64_t bytes)
{
    struct sysinfo s;
    if (sysinfo(&s) != 0 || (s.freeram + s.bufferram) * (uint64_t)s.mem_unit < 2 * bytes)
        bench_die("this figure takes %llu MiB of memory, and fewer than twice as many are free",
                  (unsigned long long)(bytes >> 20));
}

/* ---- attach, fork ---- */

static void make_big(void)
{
    struct tarn_options o = {.size = sizeof o, .initial = BIG, .limit = 2 * BIG};
    must_have_memory(BIG);
    (void)tarn_unlink(url[POSIX]);
    core_good(tarn_close(open_on(POSIX, TARN_CREATE | TARN_EXCL, &o)), "tarn_close");
}

static double attach_once(void)
{
    struct tarn_stat s;
    tarn *seg;
    uint64_t start = bench_now();
    core_good(tarn_open(url[POSIX], 0, NULL, &seg), "tarn_open");
    uint64_t end = bench_now();
    core_good(tarn_stat(seg, &s), "tarn_stat");
    if (s.data != BIG)
        bench_die("core.attach_us: the segment has %llu bytes of data", (unsigned long long)s.data);
    core_good(tarn_close(seg), "tarn_close");
    return (double)(end - start) / 1000;
}

static void attach(void)
{
    enum { MOST = 1000 };
    static double us[MOST];
    int n = bench_quick() ? 50 : MOST;
    attach_once();
    for (int i = 0; i < n; i++)
        us[i] = attach_once();
    bench_print("core.attach_us", bench_quantile(us, n, 0.5), "us");
    bench_note("core.attach_us: 9 of 10 within %.4g us", bench_quantile(us, n, 0.9));
}

static double forks(void)
{
    uint64_t start = bench_now();
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(7);
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
            bench_die("core.fork: a child did not end as it should");
    }
    return (double)(bench_now() - start) / FORKS / 1000;
}

static void forks_warm(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    if (child < 0 || waitpid(child, &status, 0) != child)
        bench_die("core.fork: no child");
}

static double fork_with(void *unused)
{
    (void)unused;
    tarn *seg;
    struct tarn_stat s;
    uint64_t sum = 0;
    core_good(tarn_open(url[POSIX], 0, NULL, &seg), "tarn_open");
    core_good(tarn_stat(seg, &s), "tarn_stat");
    for (uint64_t at = s.limit; at > 0; at -= 4096) { /* every page has its entry in the page table */
        const volatile char *p = tarn_ptr(seg, at - 4096, 1);
        if (p) {
            (void)*p;
            sum += 4096;
        }
    }
    if (sum != s.data)
        bench_die("core.fork: only %llu bytes could be read", (unsigned long long)sum);
    forks_warm(); /* the first after so many pages were mapped: where page tables are shadowed by a hypervisor it takes 14 ms, with a plain
                     mapping too, and once only */
    double us = forks();
    core_good(tarn_close(seg), "tarn_close");
    return us;
}

static double fork_without(void *unused)
{
    (void)unused;
    forks_warm();
    return forks();
}

static void fork_beside(void)
{
    struct contender with = {"with", fork_with, NULL}, without = {"without", fork_without, NULL};
    struct outcome o;
    bench_pairs("core.fork", &with, &without, 1, bench_reps(11), false, &o);
    bench_print("core.fork_us", o.ours, "us");
    bench_print_ratio("core.fork", "without", o.ratio[0], o.spread[0]);
}

/* ---- create ---- */

static void create_on(int backing)
{
    double us[CREATIONS * 20];
    char figure[64];
    int n = CREATIONS * (bench_quick() ? 1 : 20);
    for (int i = 0; i < n; i++) {
        uint64_t start = bench_now();
        tarn *seg = open_on(backing, TARN_CREATE | TARN_EXCL, NULL);
        us[i] = (double)(bench_now() - start) / 1000;
        if (!seg)
            return;
        core_close(seg);
        if (backing <= FILE_)
            core_good(tarn_unlink(url[backing]), "tarn_unlink");
    }
    snprintf(figure, sizeof figure, "core.create_us.%s", scheme[backing]);
    bench_print(figure, bench_quantile(us, n, 0.5), "us");
}

/* ---- grow ---- */

static double grow_sample(void *unused)
{
    (void)unused;
    struct tarn_options o = {.size = sizeof o, .limit = 4 * STEP};
    struct tarn_stat before, after;
    tarn *seg;
    core_good(tarn_open("memfd:bench", TARN_CREATE, &o, &seg), "tarn_open");
    core_good(tarn_stat(seg, &before), "tarn_stat");
    uint64_t start = bench_now();
    core_good(tarn_grow(seg, STEP), "tarn_grow");
    uint64_t end = bench_now();
    core_good(tarn_stat(seg, &after), "tarn_stat");
    if (after.data != before.data + STEP)
        bench_die("core.grow: it grew by %llu bytes", (unsigned long long)(after.data - before.data));
    core_good(tarn_close(seg), "tarn_close");
    return (double)(end - start) / 1000;
}

static double fallocate_sample(void *unused)
{
    (void)unused;
    int fd = memfd_create("bench", MFD_CLOEXEC);
    if (fd < 0 || fallocate(fd, 0, 0, 1 << 20) != 0)
        bench_die("core.grow: no memfd: %s", strerror(errno));
    uint64_t start = bench_now();
    int e = fallocate(fd, 0, 1 << 20, (off_t)STEP);
    uint64_t end = bench_now();
    if (e)
        bench_die("core.grow: fallocate: %s", strerror(errno));
    close(fd);
    return (double)(end - start) / 1000;
}

static void grow(void)
{
    struct contender me = {"tarn", grow_sample, NULL}, peer = {"fallocate", fallocate_sample, NULL};
    struct outcome o;
    must_have_memory(2 * STEP);
    bench_pairs("core.grow", &me, &peer, 1, bench_reps(25), false, &o);
    bench_print("core.grow_us", o.ours, "us");
    bench_note("core.grow: fallocate %.4g us", o.peer[0]);
    bench_print_ratio("core.grow", "fallocate", o.ratio[0], o.spread[0]);
}

/* ---- a mutex on each ---- */

struct locked {
    tarn *seg;
    struct {
        tarn_mutex lock;
        uint64_t count;
    } * at;
};

static double alone_sample(void *state)
{
    struct locked *l = state;
    l->at->count = 0;
    uint64_t start = bench_now();
    for (unsigned i = 0; i < TURNS; i++) {
        int bad = tarn_mutex_lock(l->seg, &l->at->lock);
        l->at->count++;
        bad |= tarn_mutex_unlock(l->seg, &l->at->lock);
        if (__builtin_expect(bad, 0))
            core_good(bad, "a mutex");
    }
    uint64_t end = bench_now();
    if (l->at->count != TURNS)
        bench_die("core.mutex.alone: counted to %llu", (unsigned long long)l->at->count);
    return (double)(end - start) / TURNS;
}

static void mutex_on(int backing)
{
    struct locked mine, other;
    struct outcome o;
    char figure[64];
    snprintf(figure, sizeof figure, "core.mutex.alone.%s", scheme[backing]);
    if (!bench_wanted(figure) || !(mine.seg = open_on(backing, TARN_CREATE | TARN_EXCL, NULL)))
        return;
    other.seg = open_on(MEMFD, TARN_CREATE, NULL);
    mine.at = core_block(mine.seg, sizeof *mine.at);
    other.at = core_block(other.seg, sizeof *other.at);
    struct contender me = {scheme[backing], alone_sample, &mine}, peer = {"memfd", alone_sample, &other};
    bench_compare(figure, "ns", &me, &peer, 1, bench_reps(25), false, &o);
    core_close(mine.seg);
    core_close(other.seg);
    if (backing <= FILE_)
        core_good(tarn_unlink(url[backing]), "tarn_unlink");
}

/* ---- all ---- */

void core_lifecycle(void)
{
    bench_pin(0);
    name_all();
    if (bench_wanted("core.attach_us") || bench_wanted("core.fork")) {
        make_big();
        if (bench_wanted("core.attach_us"))
            attach();
        if (bench_wanted("core.fork"))
            fork_beside();
        core_good(tarn_unlink(url[POSIX]), "tarn_unlink");
    }
    if (bench_wanted("core.create_us"))
        for (int b = 0; b < BACKINGS; b++)
            create_on(b);
    if (bench_wanted("core.grow"))
        grow();
    for (int b = 0; b < BACKINGS; b++)
        if (b != MEMFD)
            mutex_on(b);
}

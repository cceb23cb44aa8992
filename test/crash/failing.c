/* failing.c - no memory: each of CRASHLAB's operations, with the n-th thing that may find no memory made to find none, for every n until there is no n-th.
 *
 * The library is built with TARN_FAIL_POINTS: picks of blocks (fail_now), commitments of the backing (os_commit, os_populate), a thread's private pages
 * (os_wipe_page) and malloc and its kin are counted, and the n-th fails, or, in a second pass, all from the n-th on until a call has failed.
 * Of a call that fails: it says -ENOSPC or -ENOMEM and why (tarn_error); what a user sees is as before it (contents_of: as CRASHLAB's oracle looks at it, in an open
 * section too), no damage (tarn_check), and nothing leaked (tarn_leaked). Then memory is there again: the same call succeeds, the operation goes on to
 * its end, and that is what it is without any failure, with all of the oracle's equations.
 * Each n is a process of its own, with a fresh segment: its first thread is participant 0, who plays CRASHLAB's driver; the subject is a second thread.
 * Not here: of the calls that CRASHLAB's table does not have, tarn_receive and tarn_repair. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing.h"

#include "heap/heap.h"
#include "lab.h"
#include "participant/participant.h"

enum { DATA = 128 << 10, CALLS = 64 };

/* ---- what fails ---- */

static bool watching;    /* the operation runs */
static __thread int off; /* in a judge: nothing is counted */
static __thread bool subject_thread;
static long points, fails_at; /* counted; the one that fails, 0: none */
static bool all_from_there;
static long fired;

static bool fails(void)
{
    if (!watching || off || !subject_thread)
        return false;
    points++;
    if (!fails_at || (all_from_there ? points < fails_at : points != fails_at))
        return false;
    fired++;
    return true;
}

bool fail_now(void)
{
    return fails();
}

#define WRAPPED(result, name, parameters, arguments, failure)                                                \
    result __real_##name parameters;                                                                         \
    result __wrap_##name parameters;                                                                         \
    result __wrap_##name parameters                                                                          \
    {                                                                                                        \
        return fails() ? (failure) : __real_##name arguments;                                                \
    }
WRAPPED(int, os_commit, (int fd, uint64_t offset, uint64_t size), (fd, offset, size), -ENOSPC)
WRAPPED(int, os_populate, (void *address, uint64_t size, bool writable), (address, size, writable), -ENOMEM)
WRAPPED(void *, os_wipe_page, (size_t size), (size), NULL)

/* The same in each process: some operations choose their keys by a map's seed, and what they leave is compared. */
ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags)
{
    static uint64_t state;
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)to)[i] = (unsigned char)(state >> 56);
    }
    return (ssize_t)size;
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}
void *failing_malloc(size_t n);
void *failing_calloc(size_t n, size_t size);
void *failing_realloc(void *p, size_t n);
char *failing_strdup(const char *s);
void *failing_malloc(size_t n)
{
    return fails() ? no_memory() : malloc(n);
}
void *failing_calloc(size_t n, size_t size)
{
    return fails() ? no_memory() : calloc(n, size);
}
void *failing_realloc(void *p, size_t n)
{
    return fails() ? no_memory() : realloc(p, n);
}
char *failing_strdup(const char *s)
{
    return fails() ? no_memory() : strdup(s);
}

/* ---- what is told ---- */

static struct told {       /* shared with the process that tries */
    long points, failures; /* counted; calls that failed */
    bool fired;
    uint32_t ends;     /* of the excuses: those that were needed */
    uint64_t contents; /* in the end */
    char what[400];
} * told;
static const struct operation *op;
static struct lab lab;
static char directory[64] = "/dev/shm/tarn-failing-XXXXXX"; /* of its own, for names */
static bool tight; /* what is committed at first is little, so that it grows in the midst of what it does */

static _Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void wrong(const char *format, ...)
{
    va_list a;
    va_start(a, format);
    vsnprintf(told->what, sizeof told->what, format, a);
    va_end(a);
    _exit(1);
}

void lab_fail(const char *format, ...)
{
    char text[200];
    va_list a;
    va_start(a, format);
    vsnprintf(text, sizeof text, format, a);
    va_end(a);
    wrong("the operation: %s", text);
}

void mark(struct lab *l)
{
    (void)l;
}

/* ---- calls ---- */

/* Operations that may come to another end, and each end is right. */
static const struct {
    const char *name, *why;
} ends[] = {
    {"realloc moves", "a block that is made smaller may stay as it is"},
    {"realloc of a run, moved", "the same"},
    {NULL, NULL},
};

static bool ends_otherwise(const char *name)
{
    for (size_t i = 0; ends[i].name; i++)
        if (!strcmp(ends[i].name, name))
            return told->ends |= 1u << i, true;
    return false;
}

/* Calls that are several operations, of which those before the failure stand, and which say how many. */
static bool does_a_part(const char *call)
{
    return !strncmp(call, "tarn_map_put_many", 17);
}

static int first_damage(const struct tarn_damage *t, void *arg)
{
    snprintf(arg, 200, "%s (at %#llx)", t->what, (unsigned long long)t->ref);
    return 1;
}

static uint64_t leaked_now(void)
{
    uint64_t bytes = 0;
    if (tarn_leaked(lab.seg, &bytes))
        wrong("tarn_leaked: %s", tarn_error());
    return bytes;
}

static int descriptors(void)
{
    int n = 0;
    DIR *d_ = opendir("/proc/self/fd");
    if (!d_)
        return 0;
    while (readdir(d_))
        n++;
    closedir(d_);
    return n;
}

struct failing failing_begin(const char *call, const char *file, int line)
{
    struct failing f = {.call = call,
                        .file = strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
                        .line = line,
                        .watched = watching && fails_at && subject_thread,
                        .fired_before = fired};
    if (f.watched && (!fired || all_from_there)) {
        off++;
        f.contents = contents_of(lab.seg, op->flags);
        f.leaked = leaked_now();
        f.descriptors = descriptors();
        off--;
    }
    return f;
}

static void judge_failure(const struct failing *f, int result)
{
    char damage[200] = "";
    uint64_t leaked;
    if (result != -ENOSPC && result != -ENOMEM)
        wrong("%s:%d: %s: %d (%s), where there was no memory", f->file, f->line, f->call, result, tarn_error());
    if (!*tarn_error())
        wrong("%s:%d: %s: %d, and tarn_error says nothing", f->file, f->line, f->call, result);
    if (!does_a_part(f->call) && contents_of(lab.seg, op->flags) != f->contents)
        wrong("%s:%d: %s failed (%s), and something has changed", f->file, f->line, f->call, tarn_error());
    if (tarn_check(lab.seg, first_damage, damage))
        wrong("%s:%d: %s failed, and left a damage: %s", f->file, f->line, f->call, damage);
    if (descriptors() != f->descriptors)
        wrong("%s:%d: %s failed, and there are %d descriptors, not %d", f->file, f->line, f->call,
              descriptors(), f->descriptors);
    leaked = leaked_now();
    if (leaked != f->leaked)
        wrong("%s:%d: %s failed, and %lld bytes are leaked", f->file, f->line, f->call,
              (long long)(leaked - f->leaked));
}

bool failing_again(const struct failing *f, int result, bool right)
{
    if (right)
        return false;
    if (!f->watched || fired == f->fired_before)
        wrong("%s:%d: %s: %d: %s%s", f->file, f->line, f->call, result, tarn_error(),
              fired ? " (and memory had been there again)" : "");
    off++;
    judge_failure(f, result);
    told->failures++;
    off--;
    fails_at = 0; /* there is memory again */
    return true;
}

/* ---- one try ---- */

static void make_segment(void)
{
    struct tarn_options o = {.size = sizeof o,
                             .initial = tight                  ? DATA / 8
                                        : op->flags & OP_GROWS ? DATA / 2
                                                               : DATA,
                             .limit = DATA,
                             .participants = 3,
                             .record_size = 2048,
                             .span_size = 4096};
    MUST(tarn_open("memfd:failing", TARN_CREATE, &o, &lab.seg));
    MUST(tarn_thread_attach(lab.seg));
    MUST(tarn_object(lab.seg, "root", struct root, &lab.root));
    if (op->flags & OP_TREES) {
        MUST(tarn_tree_open(lab.seg, "tree", TARN_CREATE, &lab.tree));
        MUST(tarn_tree_open(lab.seg, "tree64", TARN_CREATE | TARN_TREE_U64, &lab.tree64));
    }
    if (op->flags & OP_MAPS) {
        MUST(tarn_map_open(lab.seg, "map", TARN_CREATE, &lab.map));
        MUST(tarn_map_open(lab.seg, "numbers", TARN_CREATE | TARN_MAP_U64, &lab.numbers));
    }
}

static pthread_barrier_t turn;

static void *play_subject(void *arg)
{
    subject_thread = true;
    MUST(tarn_thread_attach(lab.seg));
    if (op->setup)
        op->setup(&lab);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* the driver has done its part */
    watching = true;
    op->run(&lab);
    watching = false;
    return arg;
}

static void try_it(uint64_t legal)
{
    struct rlimit most = {4ul << 30, 4ul << 30};
    pthread_t t;
    const char *bad;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(30);
    setrlimit(RLIMIT_AS, &most);
    make_segment();
    pthread_barrier_init(&turn, NULL, 2);
    if (pthread_create(&t, NULL, play_subject, NULL))
        wrong("no thread");
    pthread_barrier_wait(&turn);
    if (op->other)
        op->other(&lab);
    pthread_barrier_wait(&turn);
    pthread_join(t, NULL);
    told->points = points;
    told->fired = fired != 0;
    recover_all(self_if(lab.seg));
    heap_adopt(self_if(lab.seg));
    told->contents = contents_of(lab.seg, op->flags);
    if (!legal || (legal != told->contents && ends_otherwise(op->name)))
        legal = told->contents;
    bad = judge(lab.seg, op->flags, &legal, 1);
    if (bad)
        wrong("in the end: %s", bad);
    _exit(0);
}

/* In a process of its own. legal: what must be in the end; 0: whatever it is. */
static bool in_process(uint64_t legal)
{
    int status;
    pid_t p;
    memset(told, 0, sizeof *told);
    fflush(NULL);
    p = fork();
    if (p == 0)
        try_it(legal);
    if (p < 0 || waitpid(p, &status, 0) != p)
        return false;
    if (status && !told->what[0])
        snprintf(told->what, sizeof told->what, "it ended by itself (status %#x)", status);
    return status == 0;
}

/* ---- what CRASHLAB's table does not have: readers, who say it if they cannot look; who makes segments, and opens them ---- */

static int no_damage(const struct tarn_damage *t, void *arg)
{
    return (void)t, (void)arg, 0;
}
static int no_name(const struct tarn_name *n, void *arg)
{
    return (void)n, (void)arg, 0;
}
static int no_waiter(const struct tarn_waiting *w, void *arg)
{
    return (void)w, (void)arg, 0;
}
static int no_entry(const void *k, size_t ks, const void *v, size_t vs, void *arg)
{
    return (void)k, (void)ks, (void)v, (void)vs, (void)arg, 0;
}
static int no_member(void *member, void *arg)
{
    return (void)member, (void)arg, 0;
}
static void entries(struct lab *l)
{
    for (uint64_t i = 0; i < 100; i++)
        MUST(tarn_map_put64(l->numbers, i, i));
    MUST(tarn_map_put(l->map, "key", 3, "value", 5));
}
static void look(struct lab *l)
{
    uint64_t n;
    tarn_map *map;
    MUST(tarn_check(l->seg, no_damage, NULL));
    MUST(tarn_leaked(l->seg, &n));
    MUST(tarn_names(l->seg, no_name, NULL));
    MUST(tarn_who_waits(l->seg, no_waiter, NULL));
    MUST(tarn_map_each(l->map, no_entry, NULL));
    MUST(tarn_map_each(l->numbers, no_entry, NULL));
    MUST(tarn_map_count(l->numbers, &n));
    MUST(tarn_list_each(l->seg, &l->root->list, LAB_LINK, 64, no_member, NULL));
    MUST(tarn_map_open(l->seg, "map", 0, &map));
    tarn_map_close(map);
}

/* Whole, or no name and no descriptor left: made again, it must not be there yet. */
static void one_of(const char *url, bool named)
{
    struct tarn_options o = {.size = sizeof o, .initial = 65536, .limit = 1 << 20, .span_size = 4096};
    tarn *other, *again;
    MUST(tarn_open(url, TARN_CREATE | (named ? TARN_EXCL : 0u), &o, &other));
    if (named)
        MUST(tarn_open(url, 0, NULL, &again));
    else
        MUST(tarn_fd(other) < 0 ? 0 : tarn_open_fd(tarn_fd(other), 0, &again));
    MUST(tarn_thread_attach(other));
    MUST(tarn_grow(other, 65536));
    if (named || tarn_fd(other) >= 0)
        MUST(tarn_close(again));
    MUST(tarn_close(other));
    if (named)
        MUST(tarn_unlink(url));
}
static void open_close(struct lab *l)
{
    char url[120];
    (void)l;
    snprintf(url, sizeof url, "file:%s/file", directory);
    one_of("posix:/other", true);
    one_of(url, true);
    one_of("memfd:other", false);
    one_of("anon:", false);
    one_of("sysv:private", false);
}
static void descriptor(struct lab *l)
{
    int fd;
    MUST(tarn_event_descriptor(l->seg, &l->root->event, &fd));
    MUST(tarn_event_descriptor_close(l->seg, fd));
}
static const struct operation others[] = {{"look", OP_MAPS, entries, NULL, look},
                                          {"open, close", 0, NULL, NULL, open_close},
                                          {"descriptor of an event", 0, NULL, NULL, descriptor},
                                          {0}};

/* ---- all ---- */

static long violations, all_points, all_failures;
static uint32_t ends_seen;

static void try_operation(const struct operation *o)
{
    uint64_t legal;
    long most, failures = 0, bad = 0;
    op = o;
    fails_at = 0;
    if (!in_process(0)) {
        printf("%-34s without any failure: %s\n", o->name, told->what);
        violations++;
        return;
    }
    legal = told->contents;
    most = told->points;
    for (int all = 0; all < 2; all++)
        for (fails_at = 1, all_from_there = all;; fails_at++) {
            bool right = in_process(legal);
            failures += told->failures;
            ends_seen |= told->ends;
            if (!right) {
                if (bad++ < 3)
                    printf("  VIOLATION %s%s, point %ld%s: %s\n", o->name, tight ? ", tight" : "", fails_at,
                           all ? " and all after it" : "", told->what);
                if (fails_at > 10000)
                    break;
            } else if (!told->fired)
                break;
        }
    printf("%-34s %-5s points %4ld  failed calls %4ld  violations %ld\n", o->name, tight ? "tight" : "", most,
           failures, bad);
    violations += bad;
    all_points += most;
    all_failures += failures;
}

static void remove_directory(void)
{
    DIR *all = opendir(directory);
    for (struct dirent *e; all && (e = readdir(all));)
        unlinkat(dirfd(all), e->d_name, 0);
    if (all)
        closedir(all);
    rmdir(directory);
}

int main(int n, char **v)
{
    const struct operation *const *table = operation_tables;
    int operations = 0;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!mkdtemp(directory) || setenv("TARN_SHM_DIR", directory, 1))
        return 2;
    for (bool last = false; !last; table++) {
        last = !*table;
        for (const struct operation *o = last ? others : *table; o->name; o++)
            for (int t = 0; t < 2; t++)
                if (n < 2 || strstr(o->name, v[1])) {
                    tight = t;
                    try_operation(o);
                    operations += !t;
                }
    }
    for (uint32_t i = 0; ends[i].name && n < 2; i++)
        if (!(ends_seen >> i & 1)) {
            printf("  VIOLATION %s is excused (%s), and always comes to the same end\n", ends[i].name, ends[i].why);
            violations++;
        }
    printf("FAILING operations=%d points=%ld failures=%ld violations=%ld\n", operations, all_points,
           all_failures, violations);
    remove_directory();
    return violations || !all_failures;
}

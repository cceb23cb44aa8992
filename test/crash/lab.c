/* lab.c - the instrument: see lab.h.
 *
 *   B  step the subject once through its operation; whenever the segment has changed, copy it, flip liveness words as the kernel does at a death
 *      (the robust list of the stepped thread is walked), recover the copy, and ask the oracle; recover again: nothing may change. Before that, and
 *      while the subject is only stopped, lists must pass for whole; and readers of lists are told of what is moved.
 *   D  for a sample of those images (all, with --all): a second child recovers it, stepped; at every change a kill of that one too.
 *   E  for a sample of instructions: the subject runs to it by a hardware breakpoint and is really SIGKILLed.
 *   F  for a sample of changes: the subject is stopped there by a breakpoint, a survivor meets it (deaths.c), and then it is really killed; the survivor
 *      must come to its end.
 *   G  at some instructions it dies in other ways: exec, by its thread or another one, thread exit, _exit, a fatal signal.
 * It ends with one line, CRASHLAB operations=N points=N recoveries=N kills=N violations=N; exit 1 if there was a violation or an operation
 * without any point. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap/heap.h"
#include "collection/tree.h"
#include "lab.h"
#include "participant/participant.h"

enum { DATA = 128 << 10 };

struct lab_shared *shared;
struct driver d;
static struct operation operations[400]; /* those of all tables */
static int operations_count;
static int recovery_sample = 20, kill_sample = 6, stop_sample = 100;
static bool quiet, namespaces;
static bool reported_only; /* a death in another PID namespace, where there is no descriptor: it is told, and put right by its own only */

void lab_fail(const char *format, ...)
{
    va_list a;
    va_start(a, format);
    fprintf(stderr, "crashlab: %s: ", d.op ? d.op->name : "");
    vfprintf(stderr, format, a);
    fprintf(stderr, "\n");
    va_end(a);
    _exit(3);
}

void mark(struct lab *l)
{
    if (!shared->marking)
        return;
    if (shared->legal_count >= LAB_MARKS)
        lab_fail("too many marks");
    shared->legal[shared->legal_count++] = contents_of(l->seg, d.op->flags);
}

/* ---- segments ---- */

static int laboratory;                           /* its process id, where it was started */
static const char *backed_by = "memfd:crashlab"; /* --on */

/* Of backings with names: a fresh one, which loses it at once. */
static void open_segment(struct lab *l, const struct tarn_options *o)
{
    static unsigned count;
    char url[256];
    bool named = strncmp(backed_by, "posix:", 6) == 0 || strncmp(backed_by, "file:", 5) == 0;
    snprintf(url, sizeof url, named ? "%s-%d-%d-%u" : "%s", backed_by, laboratory, (int)(d.op - operations),
             count++);
    MUST(tarn_open(url, TARN_CREATE, o, &l->seg));
    if (named)
        MUST(tarn_unlink(url));
}

static void make_segment(struct lab *l, uint64_t initial)
{
    struct tarn_options o = {
        .size = sizeof o, .initial = initial, .limit = DATA, .participants = 3, .record_size = 2048, .span_size = 4096};
    open_segment(l, &o);
    if (tarn_fd(l->seg) >= 0 && /* System V has its full size from the start */
        ftruncate(tarn_fd(l->seg), (off_t)l->seg->geometry.end)) /* what is not committed is copied and compared too */
        lab_fail("ftruncate: %s", strerror(errno));
    MUST(tarn_thread_attach(l->seg));
    MUST(tarn_object(l->seg, "root", struct root, &l->root));
    if (d.op->flags & OP_TREES) {
        MUST(tarn_tree_open(l->seg, "tree", TARN_CREATE, &l->tree));
        MUST(tarn_tree_open(l->seg, "tree64", TARN_CREATE | TARN_TREE_U64, &l->tree64));
        l->root->collection[4] = l->tree->ref;
        l->root->collection[5] = l->tree64->ref;
    }
    if (d.op->flags & OP_MAPS) {
        MUST(tarn_map_open(l->seg, "map", TARN_CREATE, &l->map));
        MUST(tarn_map_open(l->seg, "numbers", TARN_CREATE | TARN_MAP_U64, &l->numbers));
    }
}

static char *bytes_of(tarn *seg)
{
    return seg->base;
}

/* The driver's private caches are hints about bytes that are about to be replaced. */
static void forget_caches(tarn *seg)
{
    struct self *s = self_if(seg);
    memset(s->heap, 0, *tarn_recovery.cache_size);
    s->journal = load64(&s->record->journal);
    s->slots_used = load64(&s->record->slots_used);
    s->frees = s->depth = s->section_slots = 0;
    s->log_at = record_log(seg, s->record);
    s->log_base = 0;
    s->log_room = seg->geometry.log_words;
}

/* Replace a segment's bytes, but for the liveness mutex of participant 0 (the driver's own, in glibc's list) and the whole record of `keep`. */
void install(tarn *seg, const char *from, int keep)
{
    char *to = bytes_of(seg);
    uint64_t mine = offset_of(seg, record_at(seg, 0)->liveness),
             mine_end = mine + sizeof(((struct record *)0)->liveness);
    uint64_t skip = keep < 0 ? d.size : offset_of(seg, record_at(seg, (uint32_t)keep)),
             skip_end = keep < 0 ? d.size : skip + seg->geometry.record_size;
    memcpy(to, from, mine);
    memcpy(to + mine_end, from + mine_end, skip - mine_end);
    memcpy(to + skip_end, from + skip_end, d.size - skip_end);
    forget_caches(seg);
}

/* ---- what the kernel does at a death: exit_robust_list, on a copy ---- */

static void owner_died(pid_t tid, char *copy, uint64_t futex)
{
    uint64_t base = (uint64_t)(uintptr_t)bytes_of(d.live.seg);
    uint32_t *w;
    if (futex < base || futex + 4 > base + d.size)
        return;
    w = (uint32_t *)(void *)(copy + (futex - base));
    if ((*w & FUTEX_TID_MASK) == (uint32_t)tid)
        *w = (*w & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
}

static bool peek(pid_t pid, const void *from, void *to, size_t n)
{
    struct iovec l = {to, n}, r = {(void *)(uintptr_t)from, n};
    return process_vm_readv(pid, &l, 1, &r, 1, 0) == (ssize_t)n;
}

static void die_on_copy(pid_t pid, char *copy)
{
    struct robust_list_head head, *at;
    size_t size;
    uint64_t entry, pending;
    if (syscall(SYS_get_robust_list, pid, &at, &size) || !at || !peek(pid, at, &head, sizeof head))
        lab_fail("cannot read the robust list of the subject: %s", strerror(errno));
    entry = (uint64_t)(uintptr_t)head.list.next & ~1ull;
    pending = (uint64_t)(uintptr_t)head.list_op_pending & ~1ull;
    for (int n = 0; entry && entry != (uint64_t)(uintptr_t)at && n < 2048; n++) {
        uint64_t next;
        if (entry != pending)
            owner_died(pid, copy, entry + (uint64_t)head.futex_offset);
        if (!peek(pid, (void *)(uintptr_t)entry, &next, sizeof next))
            break;
        entry = next & ~1ull;
    }
    if (pending)
        owner_died(pid, copy, pending + (uint64_t)head.futex_offset);
}

/* ---- the oracle on an image ---- */

void violation(const char *where, long step, const char *what)
{
    d.counts.violations++;
    if (!shared->what[0])
        snprintf(shared->what, sizeof shared->what, "%s, step %ld: %s", where, step, what);
    if (d.counts.violations <= 3 && !quiet)
        fprintf(stderr, "  VIOLATION %s: %s, step %ld: %s\n", d.op->name, where, step, what);
}

/* The recoverer's whole work in segment I, by the driver. */
static void recover_image(void)
{
    struct self *s = self_if(d.image.seg);
    recover_all(s);
    heap_adopt(s);
}

static void examine(char *copy, const struct readers *readers, const char *where, long step)
{
    static char *once;
    const char *bad;
    if (reported_only)
        return;
    install(d.image.seg, copy, -1);
    bad = judge_lists(d.image.seg, at_offset(d.image.seg, offset_of(d.live.seg, d.live.root)));
    if (bad)
        violation(where, step, bad);
    recover_image();
    bad = judge_readers(d.image.seg, readers);
    if (!bad)
        bad = judge(d.image.seg, d.op->flags, shared->legal, shared->legal_count);
    if (bad) {
        violation(where, step, bad);
        return;
    }
    if (!once)
        once = malloc(d.size);
    memcpy(once, bytes_of(d.image.seg), d.size);
    recover_image();
    if (memcmp(once, bytes_of(d.image.seg), d.size)) {
        uint64_t at = 0;
        static char text[80];
        while (once[at] == bytes_of(d.image.seg)[at])
            at++;
        snprintf(text, sizeof text, "a second recovery changes byte %#llx", (unsigned long long)at);
        violation(where, step, text);
    }
}

/* ---- children ---- */

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static _Noreturn void wait_for_the_end(void)
{
    shared->done = 1;
    for (;;)
        raise(SIGSTOP);
}

static void child_begins(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, 0, 0))
        lab_fail("PTRACE_TRACEME: %s", strerror(errno));
}

/* The next forked child is thread 2 of a new PID namespace, whose first process only is there: it could not be stopped. */
static void next_child_apart(bool end_last)
{
    static pid_t first;
    int here = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (here < 0 || setns(here, CLONE_NEWPID) || unshare(CLONE_NEWPID)) /* anew: only once may be unshared from where one is */
        lab_fail("no PID namespace: %s", strerror(errno));
    close(here);
    if (first > 0 && end_last) {
        kill(first, SIGKILL);
        waitpid(first, NULL, 0);
    }
    first = (pid_t)syscall(SYS_fork);
    if (first == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
}

/* Fork the subject; returns when it is stopped before its operation. */
pid_t subject(bool traced)
{
    pid_t p;
    int status;
    shared->done = 0;
    if (namespaces)
        next_child_apart(true); /* the subject is thread 2, as the driver is in its own */
    p = fork();
    if (p < 0)
        lab_fail("fork: %s", strerror(errno));
    if (p == 0) {
        if (traced)
            child_begins();
        if (traced)
            deaths_prepare();
        MUST(tarn_thread_attach(d.live.seg));
        if (d.op->setup)
            d.op->setup(&d.live);
        raise(SIGSTOP);
        mark(&d.live);
        d.op->run(&d.live);
        mark(&d.live);
        if (traced || !shared->marking)
            wait_for_the_end();
        _exit(0);
    }
    if (waitpid(p, &status, WUNTRACED) != p || !WIFSTOPPED(status))
        lab_fail("the subject's set-up failed (status %#x)", status);
    if (d.op->other)
        d.op->other(&d.live);
    return p;
}

/* A child that takes part as participant 2, then is given `image`, and recovers it; adopt: and takes over the dead one's spans. */
static pid_t recoverer(const char *image, bool adopt)
{
    pid_t p;
    int status;
    shared->done = 0;
    install(d.live.seg, d.pristine, -1);
    p = fork();
    if (p < 0)
        lab_fail("fork: %s", strerror(errno));
    if (p == 0) {
        struct self *s;
        int e;
        child_begins();
        /* participant 1's place is the dead subject's: keep it from being taken */
        record_at(d.live.seg, 1)->state = RECORD_TAKEN;
        record_at(d.live.seg, 1)->liveness[0] = 1; /* looks alive */
        MUST(tarn_thread_attach(d.live.seg));
        s = self_of(d.live.seg, &e);
        if (ID_INDEX(s->id) != 2)
            lab_fail("the recoverer is participant %u", ID_INDEX(s->id));
        raise(SIGSTOP);
        recover_all(s);
        if (adopt)
            heap_adopt(s);
        wait_for_the_end();
    }
    if (waitpid(p, &status, WUNTRACED) != p || !WIFSTOPPED(status))
        lab_fail("the recoverer did not start (status %#x)", status);
    install(d.live.seg, image, 2);
    return p;
}

void reap(pid_t p)
{
    kill(p, SIGKILL);
    waitpid(p, NULL, 0);
}

/* One instruction. false: it is done. */
static bool step(pid_t p)
{
    int status, signal = 0;
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, p, 0, signal))
            lab_fail("PTRACE_SINGLESTEP: %s", strerror(errno));
        if (waitpid(p, &status, 0) != p || !WIFSTOPPED(status))
            lab_fail("the stepped child ended (status %#x)", status);
        if (WSTOPSIG(status) == SIGTRAP)
            return !shared->done;
        if (WSTOPSIG(status) != SIGCONT)
            lab_fail("the stepped child got signal %d", WSTOPSIG(status));
    }
}

static uint64_t instruction(pid_t p)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, p, offsetof(struct user, regs.rip), 0);
}

/* ---- the passes ---- */

static void learn_legal(void)
{
    int status;
    pid_t p;
    shared->marking = true;
    shared->legal_count = 0;
    p = subject(false);
    kill(p, SIGCONT);
    if (waitpid(p, &status, 0) != p || !WIFEXITED(status) || WEXITSTATUS(status))
        lab_fail("the operation failed when nobody disturbed it (status %#x)", status);
    shared->marking = false;
}

static void pass_points(void)
{
    struct readers readers = {0};
    char *copy = malloc(d.size);
    pid_t p;
    install(d.live.seg, d.pristine, -1);
    p = subject(true);
    memset(d.previous, 0, d.size);
    do {
        const char *bad;
        bool changed;
        if (d.trace_count >= STEPS_MOST)
            lab_fail("more than %d instructions", STEPS_MOST);
        d.trace[d.trace_count++] = instruction(p);
        d.counts.points++;
        changed = memcmp(d.previous, bytes_of(d.live.seg), d.size) != 0;
        if (!changed)
            continue;
        if (d.images_count < IMAGES_MOST)
            d.image_step[d.images_count] = d.trace_count - 1;
        memcpy(d.previous, bytes_of(d.live.seg), d.size);
        memcpy(copy, d.previous, d.size);
        bad = judge_readers(d.live.seg, &readers);
        note_readers(d.live.seg, &readers);
        if (!bad)
            bad = judge_lists(d.live.seg, d.live.root);
        if (bad)
            violation("stopped", d.trace_count - 1, bad);
        die_on_copy(p, copy);
        if (d.images_count < IMAGES_MOST) {
            d.readers[d.images_count] = readers;
            memcpy(d.images[d.images_count++] = malloc(d.size), copy, d.size);
        }
        examine(copy, &readers, "killed", d.trace_count - 1);
    } while (step(p));
    reap(p);
    free(copy);
}

/* images[n] with its recoverer killed at every change. */
static void pass_recovery_of(int n)
{
    struct readers readers = d.readers[n];
    char *copy = malloc(d.size);
    pid_t p = recoverer(d.images[n], n == d.images_count - 1 || recovery_sample == 0);
    long steps = 0;
    memset(d.previous, 0, d.size);
    do {
        const char *bad;
        steps++;
        d.counts.recoveries++;
        if (!memcmp(d.previous, bytes_of(d.live.seg), d.size))
            continue;
        memcpy(d.previous, bytes_of(d.live.seg), d.size);
        memcpy(copy, d.previous, d.size);
        die_on_copy(p, copy);
        bad = judge_readers(d.live.seg, &readers);
        if (bad)
            violation("while it is recovered", steps, bad);
        note_readers(d.live.seg, &readers);
        examine(copy, &readers, "killed, and its recoverer", steps);
        if (steps > STEPS_MOST)
            lab_fail("a recovery of more than %d instructions", STEPS_MOST);
    } while (step(p));
    reap(p);
    free(copy);
}

/* Run to the n-th step of the trace by a hardware breakpoint. false: it never came there. A repeated string instruction is many steps, but
 * the breakpoint stops at its first only. */
bool run_to(pid_t p, long n)
{
    long times = 1;
    int status;
    while (n && d.trace[n - 1] == d.trace[n])
        n--;
    for (long i = 0; i < n; i++)
        times += d.trace[i] == d.trace[n] && (i == 0 || d.trace[i - 1] != d.trace[i]);
    if (instruction(p) == d.trace[n])
        times--;
    if (ptrace(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[0]), d.trace[n]) ||
        ptrace(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[7]), 1))
        lab_fail("no hardware breakpoint: %s", strerror(errno));
    while (times--) {
        if (ptrace(PTRACE_CONT, p, 0, 0) || waitpid(p, &status, 0) != p)
            lab_fail("PTRACE_CONT: %s", strerror(errno));
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            return false;
    }
    return !shared->done;
}

static uint64_t record_sum(void)
{
    const uint64_t *w = (const uint64_t *)(const void *)record_at(d.live.seg, 1);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < d.live.seg->geometry.record_size / 8; i++)
        sum = (sum ^ w[i]) * 0x9e3779b97f4a7c15ull;
    return sum;
}

static int note_state(const struct tarn_participant *p, void *arg)
{
    if (ID_INDEX(p->id) == 1)
        *(char *)arg = p->state;
    return 0;
}

/* Nothing of it was touched: no recovery, and whoever asks is told. */
static void reported(long n)
{
    char state = 0;
    bool taken = load32(&record_at(d.live.seg, 1)->state) != RECORD_FREE;
    uint64_t before = record_sum(), after;
    recover_all(self_if(d.live.seg));
    after = record_sum();
    tarn_participants(d.live.seg, note_state, &state);
    if (before != after)
        violation("really killed, elsewhere", n, "the driver changed what only the dead one's namespace may");
    else if (state != (taken ? 'u' : 0))
        violation("really killed, elsewhere", n, "the death is not reported as unknown");
}

static void pass_kill_at(long n)
{
    pid_t p;
    struct self *s = self_if(d.live.seg);
    const char *bad;
    install(d.live.seg, d.pristine, -1);
    p = subject(true);
    alarm(20); /* a breakpoint that is never met: the driver ends, and says so by its signal */
    if (!run_to(p, n)) {
        alarm(0);
        reap(p);
        return;
    }
    alarm(0);
    reap(p);
    d.counts.kills++;
    if (reported_only) {
        reported(n);
        return;
    }
    recover_all(s);
    heap_adopt(s);
    bad = judge(d.live.seg, d.op->flags, shared->legal, shared->legal_count);
    if (bad)
        violation("really killed", n, bad);
}

static void drive(void)
{
    int few = d.op->flags & OP_FEW ? recovery_sample / 4 + 1 : recovery_sample;
    make_segment(&d.live, d.op->flags & OP_GROWS ? DATA / 2 : DATA);
    make_segment(&d.image, DATA);
    d.size = d.live.seg->geometry.end;
    d.pristine = malloc(d.size);
    d.previous = malloc(d.size);
    d.images = calloc(IMAGES_MOST, sizeof *d.images);
    d.image_step = calloc(IMAGES_MOST, sizeof *d.image_step);
    d.readers = calloc(IMAGES_MOST, sizeof *d.readers);
    d.trace = calloc(STEPS_MOST + 1, sizeof *d.trace);
    memcpy(d.pristine, bytes_of(d.live.seg), d.size);
    learn_legal();
    pass_points();
    for (int i = 0; i < d.images_count && !reported_only; i++)
        if (few <= 0 || d.images_count <= few || (long)i * few / d.images_count != (long)(i + 1) * few / d.images_count)
            pass_recovery_of(i);
    for (int i = 0; i < kill_sample; i++)
        pass_kill_at((long)i * (d.trace_count - 1) / kill_sample + (d.trace_count > 7 ? i % 7 : 0));
    if (!namespaces) {
        for (int i = 0; i < d.images_count; i++)
            if (stop_sample == 0 || d.images_count <= stop_sample ||
                (long)i * stop_sample / d.images_count != (long)(i + 1) * stop_sample / d.images_count)
                pass_stopped_at(d.image_step[i]);
        pass_other_deaths();
    }
}

/* ---- all operations, two drivers at a time ---- */

static void collect_operations(void)
{
    for (int t = 0; operation_tables[t]; t++)
        for (const struct operation *op = operation_tables[t]; op->name; op++) {
            if (operations_count == (int)(sizeof operations / sizeof *operations))
                lab_fail("more operations than there is room for");
            operations[operations_count++] = *op;
        }
}

static pid_t drive_in_child(const struct operation *op, int cpu, struct counts *ret)
{
    pid_t p;
    if (namespaces)
        next_child_apart(false);
    p = fork();
    if (p)
        return p;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(cpu);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    d.op = op;
    drive();
    *ret = d.counts;
    _exit(d.counts.violations != 0);
}

static void usage(void)
{
    printf("usage: crashlab [--all] [--images N] [--kills N] [--stops N] [--namespaces] [--on URL] [--list] "
           "[OPERATION...]\n"
           "  single-steps the library through each operation, and kills it at every instruction\n"
           "  --all       kill the recovery of every image, and many real kills (soak)\n"
           "  --images N  images of each operation whose recovery is killed too (default 20; 0: all)\n"
           "  --stops N   changes of each operation at which it is stopped, met by a survivor, and killed "
           "(default 100; 0: all)\n"
           "  --namespaces  the subject in a PID namespace of its own, with the driver's thread id\n"
           "  --on URL    what holds the segments: memfd:, anon:, sysv:private, or the beginning of a name, "
           "as file:/tmp/lab\n"
           "  --kills N   real SIGKILLs an operation (default 6)\n");
}

static bool wanted(const struct operation *op, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (strstr(op->name, *names))
            return true;
    return false;
}

int main(int c, char **v)
{
    struct counts total = {0}, *each;
    int n = 0, failed = 0, running = 0, next = 0, cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    struct {
        pid_t pid;
        int op;
    } slot[2] = {{0, 0}, {0, 0}};
    char **names = v + 1;
    collect_operations();
    for (; *names && **names == '-'; names++) {
        if (!strcmp(*names, "--all")) {
            recovery_sample = 0;
            kill_sample = 200;
            stop_sample = 0;
        } else if (!strcmp(*names, "--images") && names[1])
            recovery_sample = atoi(*++names);
        else if (!strcmp(*names, "--kills") && names[1])
            kill_sample = atoi(*++names);
        else if (!strcmp(*names, "--stops") && names[1])
            stop_sample = atoi(*++names);
        else if (!strcmp(*names, "--namespaces"))
            namespaces = true;
        else if (!strcmp(*names, "--on") && names[1])
            backed_by = *++names;
        else if (!strcmp(*names, "--list")) {
            for (int i = 0; i < operations_count; i++)
                printf("%s\n", operations[i].name);
            return 0;
        } else {
            usage();
            return strcmp(*names, "--help") ? 2 : 0;
        }
    }
    (void)c;
    laboratory = (int)getpid();
    if (namespaces && geteuid() != 0) {
        printf("crashlab: skipped: PID namespaces are root's to make\n");
        return 77;
    }
    reported_only = namespaces && strncmp(backed_by, "sysv:", 5) == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    each = mmap(NULL, sizeof *each * (size_t)operations_count, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    while (next < operations_count || running) {
        int status;
        pid_t p;
        for (int k = 0; k < 2 && next < operations_count; k++)
            if (!slot[k].pid) {
                while (next < operations_count && !wanted(&operations[next], names))
                    next++;
                if (next == operations_count)
                    break;
                slot[k].op = next;
                slot[k].pid = drive_in_child(&operations[next], k % cpus, &each[next]);
                next++, running++;
            }
        if (!running)
            break;
        p = wait(&status);
        for (int k = 0; k < 2; k++)
            if (slot[k].pid == p) {
                const struct counts *e = &each[slot[k].op];
                if (WIFSIGNALED(status))
                    printf("%s: the driver was killed by signal %d\n", operations[slot[k].op].name,
                           WTERMSIG(status));
                bool bad = status || !e->points || (!e->recoveries && !reported_only) ||
                           (reported_only && !e->kills);
                printf("%-28s points %6ld  in recovery %7ld  kills %3ld  violations %ld%s\n",
                       operations[slot[k].op].name, e->points, e->recoveries, e->kills, e->violations,
                       bad && !e->violations ? "  FAILED" : "");
                total.points += e->points;
                total.recoveries += e->recoveries;
                total.kills += e->kills;
                total.violations += e->violations;
                failed += bad;
                n++, running--;
                slot[k].pid = 0;
            }
    }
    printf("CRASHLAB operations=%d points=%ld recoveries=%ld kills=%ld violations=%ld\n", n, total.points,
           total.recoveries, total.kills, total.violations);
    return failed || total.violations || !n;
}

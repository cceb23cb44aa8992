/* deaths.c - CRASHLAB's other ends: stopped for a while, met by a survivor, and then killed; and deaths that are no SIGKILL.
 *
 * The survivor (participant 2) does everything that can meet the subject and changes nothing that a user sees: locks, objects, names, blocks, maps. It waits
 * where the subject is in its way, without the cap, so a wake-up that the subject's death should bring and does not is a hang. Its own end is an _exit with
 * nothing given back, which the driver recovers with the rest. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap/heap.h"
#include "lab.h"
#include "sync/sync.h"

#define SEG (l->seg)
#define R (l->root)

static bool drivers(const struct lab *l, uint32_t owner)
{
    (void)l;
    return (owner & ~ID_DIRTY) && ID_INDEX(owner & ~ID_DIRTY) == 0;
}

static int nothing(const struct tarn_name *n, void *arg)
{
    return (void)arg, n->ref == 1;
}
static int nobody(const struct tarn_waiting *w, void *arg)
{
    return (void)arg, w->id == 1u << 31;
}
static int no_damage(const struct tarn_damage *t, void *arg)
{
    return (void)t, (void)arg, 0;
}

/* Everything that may find the subject in its way. */
static void meet(struct lab *l)
{
    struct tarn_type type = TARN_TYPE(struct root);
    tarn_ref ref;
    char value[64];
    uint64_t n;
    int e;
    MUST(tarn_find(SEG, "root", &type, &ref));
    for (int i = 0; i < LAB_LOCKS; i++)
        if (!drivers(l, R->lock[i].owner)) {
            MUST(tarn_mutex_lock(SEG, &R->lock[i]));
            MUST(tarn_mutex_unlock(SEG, &R->lock[i]));
        }
    if (!drivers(l, R->rwlock.owner) && !(R->rwlock.flags & SYNC_GONE)) {
        bool driver_reads = slot_of(SEG, 0, offset_of(SEG, &R->rwlock), SLOT_KIND(~0ull) | SLOT_WANT, SLOT_READ);
        MUST(tarn_rwlock_read(SEG, &R->rwlock));
        MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
        if (!driver_reads) {
            MUST(tarn_rwlock_write(SEG, &R->rwlock));
            MUST(tarn_rwlock_unlock(SEG, &R->rwlock));
        }
    }
    e = tarn_held_try(SEG, &R->held, 1);
    if (e == 0)
        MUST(tarn_held_give(SEG, &R->held, 1));
    else if (e != -EAGAIN)
        lab_fail("tarn_held_try: %s", tarn_error());
    e = tarn_condition_broadcast(SEG, &R->condition);
    if (e && e != -EIDRM)
        lab_fail("tarn_condition_broadcast: %s", tarn_error());
    if (!R->once.done && !drivers(l, R->once.lock.owner)) { /* its runner may be stopped in it */
        MUST(mutex_lock_inner(self_if(SEG), &R->once.lock));
        mutex_unlock_inner(self_if(SEG), &R->once.lock);
    }
    e = tarn_find(SEG, "met", NULL, &ref);
    if (e != -ENOENT)
        lab_fail("a name that nobody bound: %d", e);
    MUST(tarn_object(SEG, "met", struct root, (struct root **)(void *)&ref));
    MUST(tarn_unbind(SEG, "met", 1));
    if (d.op->flags & OP_TREES) {
        MUST(tarn_tree_put(l->tree, "met", 3, "x", 1));
        e = tarn_tree_get(l->tree, "met", 3, value, sizeof value, NULL);
        if (e < 0)
            lab_fail("what was put is not there: %s", tarn_error());
        MUST(tarn_tree_remove(l->tree, "met", 3));
        if (tarn_find(SEG, "tree64", NULL, &ref) == 0) { /* it may have been unbound */
            MUST(tarn_tree_put64(l->tree64, 1ull << 40, 7));
            MUST(tarn_tree_get64(l->tree64, 1ull << 40, &n));
            MUST(tarn_tree_remove64(l->tree64, 1ull << 40));
        }
    }
    if (d.op->flags & OP_MAPS) {
        MUST(tarn_map_put(l->map, "met", 3, "x", 1));
        e = tarn_map_get(l->map, "met", 3, value, sizeof value, NULL);
        if (e < 0)
            lab_fail("what was put is not there: %s", tarn_error());
        MUST(tarn_map_remove(l->map, "met", 3));
        MUST(tarn_map_put64(l->numbers, 1ull << 40, 7));
        MUST(tarn_map_get64(l->numbers, 1ull << 40, &n));
        MUST(tarn_map_remove64(l->numbers, 1ull << 40));
    }
    MUST(tarn_begin(SEG));
    MUST(tarn_alloc(SEG, 100, &ref));
    MUST(tarn_abort(SEG));
    MUST(tarn_names(SEG, nothing, NULL));
    MUST(tarn_who_waits(SEG, nobody, NULL));
    (void)tarn_check(SEG, no_damage, NULL); /* it may see something half-done; it must come back */
}

static pid_t survivor(void)
{
    pid_t p = fork();
    if (p < 0)
        lab_fail("fork: %s", strerror(errno));
    if (p == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mutex_cap_off = true;
        MUST(tarn_thread_attach(d.live.seg));
        alarm(10);
        meet(&d.live);
        _exit(0);
    }
    return p;
}

static void judge_live(const char *where, long n)
{
    struct self *s = self_if(d.live.seg);
    const char *bad;
    recover_all(s);
    heap_adopt(s);
    bad = judge(d.live.seg, d.op->flags, shared->legal, shared->legal_count);
    if (bad)
        violation(where, n, bad);
}

void pass_stopped_at(long n)
{
    pid_t p, other;
    int status;
    struct timespec moment = {0, 500000};
    install(d.live.seg, d.pristine, -1);
    p = subject(true);
    alarm(20);
    if (!run_to(p, n)) {
        alarm(0);
        reap(p);
        return;
    }
    other = survivor();
    for (int i = 0; i < 4 && waitpid(other, &status, WNOHANG) == 0; i++)
        nanosleep(&moment, NULL); /* it comes to where it waits, mostly */
    reap(p);
    d.counts.kills++;
    while (waitpid(other, &status, 0) < 0 && errno == EINTR)
        ;
    alarm(0);
    if (WIFSIGNALED(status))
        violation("stopped, met, killed", n, "the survivor hangs, or crashed");
    else if (WEXITSTATUS(status))
        violation("stopped, met, killed", n, "a call of the survivor failed");
    else
        judge_live("stopped, met, killed", n);
}

/* ---- other deaths: by a signal that the subject is given where it stands ---- */

enum death {
    EXEC = SIGUSR1,
    EXEC_ELSEWHERE = SIGUSR2,
    THREAD_EXIT = SIGTTIN,
    EXIT = SIGTTOU,
    CHILD_EXIT = SIGURG,
    FATAL = SIGBUS
};
static bool with_helper; /* the subject has a second thread, which takes no part */
static int helper_pipe[2];

static void exec_true(void)
{
    char *const none[] = {NULL};
    execve("/bin/true", none, none);
    _exit(99);
}

static void *helper(void *arg)
{
    char byte;
    if (read(helper_pipe[0], &byte, 1) == 1)
        exec_true();
    return arg;
}

static void die(int how)
{
    pid_t p;
    switch (how) {
    case EXEC: exec_true(); break;
    case EXEC_ELSEWHERE:
        if (write(helper_pipe[1], "", 1) == 1)
            for (;;)
                pause();
        break;
    case THREAD_EXIT: syscall(SYS_exit, 0); break;
    case EXIT: _exit(0);
    case CHILD_EXIT: /* fork() itself may not be called here: its handlers wait for what this thread may hold */
        p = (pid_t)syscall(SYS_fork);
        if (p == 0)
            _exit(0);
        waitpid(p, NULL, 0);
        break;
    }
}

void deaths_prepare(void)
{
    static const int how[] = {EXEC, EXEC_ELSEWHERE, THREAD_EXIT, EXIT, CHILD_EXIT};
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++)
        signal(how[i], die);
    if (with_helper) {
        pthread_t thread;
        if (pipe(helper_pipe) || pthread_create(&thread, NULL, helper, NULL))
            lab_fail("no second thread: %s", strerror(errno));
    }
}

/* At step n, it ends in this way. CHILD_EXIT is no end: it goes on to the operation's. */
static void die_at(long n, enum death how, const char *name)
{
    pid_t p;
    int status;
    char where[80];
    install(d.live.seg, d.pristine, -1);
    with_helper = how == EXEC_ELSEWHERE || how == THREAD_EXIT;
    p = subject(true);
    with_helper = false;
    alarm(20);
    if (!run_to(p, n)) {
        alarm(0);
        reap(p);
        return;
    }
    ptrace(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[7]), 0);
    if (ptrace(PTRACE_CONT, p, 0, (long)how))
        lab_fail("PTRACE_CONT: %s", strerror(errno));
    for (;;) {
        struct timespec moment = {0, 200000};
        pid_t w = waitpid(p, &status, how == THREAD_EXIT ? WNOHANG : 0);
        int signal;
        if (w == 0) { /* the process lives on */
            struct record *r = record_at(d.live.seg, 1);
            if (fate_quick(d.live.seg, ID_MAKE(r->generation, 1)) != ALIVE)
                break;
            nanosleep(&moment, NULL);
            continue;
        }
        if (w != p)
            lab_fail("waitpid: %s", strerror(errno));
        if (!WIFSTOPPED(status))
            break;
        signal = WSTOPSIG(status);
        if (shared->done && signal == SIGSTOP) /* it came to its operation's end */
            break;
        ptrace(PTRACE_CONT, p, 0, signal == SIGTRAP ? 0 : signal);
    }
    alarm(0);
    if (how != THREAD_EXIT && WIFSTOPPED(status))
        reap(p);
    d.counts.kills++;
    snprintf(where, sizeof where, "died by %s", name);
    judge_live(where, n);
    if (how == THREAD_EXIT)
        reap(p);
}

void pass_other_deaths(void)
{
    static const struct {
        enum death how;
        const char *name;
    } kinds[] = {{EXEC, "exec"},
                 {EXIT, "_exit"},
                 {CHILD_EXIT, "SIGKILL, after a forked child's _exit"},
                 {FATAL, "a fatal signal"},
                 {THREAD_EXIT, "thread exit"},
                 {EXEC_ELSEWHERE, "another thread's exec"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int k = 0; k < 3; k++)
            die_at((long)(k * 6 + (int)i) * (d.trace_count - 1) / 18, kinds[i].how, kinds[i].name);
}

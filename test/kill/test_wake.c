/* test_wake.c - no wake-up is lost, wherever a thread stands in lock or unlock when others come, go, or when it dies. With the cap off.
 *
 * One child is single-stepped into a call, and stopped after each of its instructions in turn. There another does its part: where the stopped one was
 * unlocking, it locks, and goes to sleep; where it was locking, the holder unlocks. Then the stopped one goes on, or is killed, and all the others
 * must come to their ends: within seconds, or a wake-up was lost. A stepped locker that falls asleep is woken by the holder's unlock, and stepped on.
 * On segments whose unlock is a plain store, and on those where it is an exchange. Of the looks before a sleep only the first are stepped through.
 * It sleeps most of its time: every third instruction, others in each plan, or with TARN_SOAK every one. */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <time.h>

#include "helper.h"
#include "sync/sync.h"

enum { HOLDER, FIRST, SECOND, HELPERS };
enum call { REST, LOCK, UNLOCK, PASS }; /* PASS: lock, then unlock */
enum { EARLY = 150, MOST = 20000, PATIENCE = 5000 /* ms */ };

static struct shared {
    struct {
        volatile uint32_t call, begun, done;
        volatile int result;
    } of[HELPERS];
    volatile uint32_t stepped_done;
} * shared;
static tarn *seg;
static tarn_mutex *m;
static pid_t helper[HELPERS];

static void a_moment(void)
{
    struct timespec t = {.tv_nsec = 20000};
    nanosleep(&t, NULL);
}

static void help(int k)
{
    uint32_t seen = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mutex_cap_off = true;
    check(tarn_thread_attach(seg) == 0);
    for (;;) {
        while (shared->of[k].begun == seen)
            a_moment();
        seen = shared->of[k].begun;
        shared->of[k].result = 0;
        if (shared->of[k].call != UNLOCK)
            shared->of[k].result = tarn_mutex_lock(seg, m);
        if (shared->of[k].call != LOCK && shared->of[k].result >= 0)
            shared->of[k].result = tarn_mutex_unlock(seg, m);
        shared->of[k].done = seen;
    }
}

static void tell(int k, enum call call)
{
    shared->of[k].call = call;
    shared->of[k].begun++;
}
static bool has_done(int k)
{
    return shared->of[k].done == shared->of[k].begun;
}
static bool finished(volatile uint32_t *word, uint32_t value)
{
    struct timespec end = os_deadline(PATIENCE);
    while (*word != value)
        if (os_passed(&end))
            return false;
        else
            a_moment();
    return true;
}

/* Until it has done it, or sleeps in the kernel on several words. (Where that cannot be seen: for some time.) */
static void until_asleep(int k)
{
    struct timespec end = os_deadline(30);
    char path[40], line[64];
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)helper[k]);
    while (!has_done(k) && !os_passed(&end)) {
        FILE *f = fopen(path, "r");
        bool asleep = f && fgets(line, sizeof line, f) && atoi(line) == 449; /* futex_waitv */
        if (f)
            (void)fclose(f);
        if (asleep)
            return;
        a_moment();
    }
}

static pid_t stepped(enum call call)
{
    int status;
    pid_t p = fork();
    if (p == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mutex_cap_off = true;
        check(tarn_thread_attach(seg) == 0 && ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        if (call == UNLOCK)
            check(tarn_mutex_lock(seg, m) == 0);
        raise(SIGSTOP);
        if (call == UNLOCK)
            tarn_mutex_unlock(seg, m);
        else
            check(tarn_mutex_lock(seg, m) >= 0);
        shared->stepped_done = 1;
        if (call != UNLOCK)
            tarn_mutex_unlock(seg, m);
        for (;;) /* alive: its death would wake those whom it should have woken */
            pause();
    }
    if (waitpid(p, &status, WUNTRACED) != p || !WIFSTOPPED(status)) {
        kill(p, SIGKILL);
        return -1;
    }
    return p;
}

static uint64_t instruction(pid_t p)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, p, offsetof(struct user, regs.rip), 0);
}

/* To the barrier before a sleep, by a breakpoint: stepping through all the looks before would take too long. */
static bool run_to_barrier(pid_t p)
{
    void *at = (void *)all_threads_barrier;
    long was = ptrace(PTRACE_PEEKTEXT, p, at, 0);
    int status;
    return ptrace(PTRACE_POKETEXT, p, at, (was & ~0xffl) | 0xcc) == 0 && ptrace(PTRACE_CONT, p, 0, 0) == 0 &&
           waitpid(p, &status, 0) == p && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP &&
           ptrace(PTRACE_POKETEXT, p, at, was) == 0 &&
           ptrace(PTRACE_POKEUSER, p, offsetof(struct user, regs.rip), at) == 0;
}

/* One instruction. If it falls asleep in it, the holder is told to unlock, once. 0: it has ended, or sleeps for ever. */
static int step(pid_t p, bool *woken)
{
    bool call = (ptrace(PTRACE_PEEKTEXT, p, instruction(p), 0) & 0xffff) == 0x050f; /* only there it may sleep */
    struct timespec soon = os_deadline(5), end = os_deadline(PATIENCE);
    int status;
    if (ptrace(PTRACE_SINGLESTEP, p, 0, 0))
        return 0;
    while (waitpid(p, &status, call ? WNOHANG : 0) != p) {
        if (!*woken && os_passed(&soon)) {
            tell(HOLDER, UNLOCK);
            *woken = true;
        }
        if (os_passed(&end))
            return 0;
        a_moment();
    }
    return WIFSTOPPED(status);
}

struct plan {
    enum call call; /* of the stepped one */
    bool late;      /* locking: from the barrier on; else the first EARLY steps */
    bool sleeper;   /* one sleeps before */
    bool dies;
};

/* Returns NULL, or what is wrong. *ret_steps: how many were made, `at` or fewer; *ret_slept: it slept meanwhile. */
static const char *one(const struct plan *plan, int at, int *ret_steps, bool *ret_slept)
{
    const char *bad = NULL;
    bool woken = plan->call == UNLOCK;
    int n = 0;
    memset((void *)m, 0, sizeof *m);
    shared->stepped_done = 0;
    if (plan->call == LOCK) {
        tell(HOLDER, LOCK);
        if (!finished(&shared->of[HOLDER].done, shared->of[HOLDER].begun))
            return "the holder does not get it";
    }
    pid_t p = stepped(plan->call);
    if (p < 0)
        return "the stepped one did not begin";
    if (plan->sleeper) {
        tell(FIRST, PASS);
        until_asleep(FIRST);
    }
    if (plan->late && !run_to_barrier(p))
        bad = "it does not come to the barrier";
    while (n < at && !shared->stepped_done && step(p, &woken))
        n++;
    *ret_steps = n;
    *ret_slept = plan->call == LOCK && woken;
    if (plan->call == UNLOCK) {
        tell(SECOND, PASS);
        until_asleep(SECOND);
    } else if (!woken) {
        tell(HOLDER, UNLOCK);
        if (!finished(&shared->of[HOLDER].done, shared->of[HOLDER].begun))
            bad = "the holder's unlock does not end";
    }
    if (plan->dies)
        kill(p, SIGKILL);
    else if (ptrace(PTRACE_DETACH, p, 0, 0) == 0 && !finished(&shared->stepped_done, 1))
        bad = "the stepped one sleeps for ever";
    for (int k = 0; k < HELPERS && !bad; k++)
        if (!finished(&shared->of[k].done, shared->of[k].begun))
            bad = k == FIRST ? "who slept before sleeps for ever" : "who came meanwhile sleeps for ever";
        else if (shared->of[k].result < 0)
            bad = "a helper's call failed";
    kill(p, SIGKILL);
    waitpid(p, NULL, 0);
    return bad;
}

static void steps_of(const struct plan *plan, int first, int stride)
{
    int last = plan->late || plan->call == UNLOCK ? MOST : EARLY, at = first;
    bool slept = false;
    const char *bad = one(plan, last, &last, &slept);
    bool slept_in_all = slept;
    for (int steps; !bad && at < last; at += stride)
        bad = one(plan, at, &steps, &slept);
    if (bad)
        fail_msg("%s%s, %s%s, after step %d of %d: %s", plan->call == LOCK ? "lock" : "unlock",
                 plan->late ? " from the barrier on" : "", plan->dies ? "dies" : "goes on",
                 plan->sleeper ? ", one sleeps" : "", at, last, bad);
    assert_true(last > 10 && slept_in_all == plan->late); /* it did what this is about */
}

static void all_plans(uint32_t exchange)
{
    struct tarn_options o = {.size = sizeof o, .participants = 8, .exchange_unlock = exchange};
    int stride = getenv("TARN_SOAK") ? 1 : 3;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &o, &seg), 0);
    assert_int_equal(tarn_object(seg, "m", tarn_mutex, &m), 0);
    for (int k = 0; k < HELPERS; k++)
        if (!(helper[k] = fork()))
            help(k);
    for (int k = 0; k < 4; k++) {
        steps_of(&(struct plan){UNLOCK, false, k & 1, k & 2}, k % stride, stride);
        steps_of(&(struct plan){LOCK, false, k & 1, k & 2}, k % stride, stride);
        steps_of(&(struct plan){LOCK, true, k & 1, k & 2}, k % stride, stride);
    }
}
static void no_helpers(void)
{
    for (int k = 0; k < HELPERS; k++)
        if (helper[k] > 0) {
            kill(helper[k], SIGKILL);
            waitpid(helper[k], NULL, 0);
            helper[k] = 0;
        }
}
static int ends(void **state)
{
    (void)state;
    no_helpers();
    munmap(shared, sizeof *shared);
    return tarn_close(seg);
}

static void plain(void **state)
{
    (void)state;
    all_plans(0);
}
static void exchanged(void **state)
{
    (void)state;
    all_plans(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(plain, ends),
        cmocka_unit_test_teardown(exchanged, ends),
    };
    if (SANITIZED)
        return 77; /* its instructions are too many */
    alarm(150);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

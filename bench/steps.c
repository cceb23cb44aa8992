/* bench/steps.c - how many instructions a turn of work takes, counted by single steps. A virtual machine often shows no counters
 * of its processor; stepping needs none, disturbs no count, and is exact.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int next_stop(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            bench_die("waitpid: %s", strerror(errno));
    if (!WIFSTOPPED(status))
        bench_die("the child whose steps are counted ended (status %#x)", (unsigned)status);
    return WSTOPSIG(status);
}

/* From one SIGSTOP of the child to its next; 0 if it may not be traced. */
static uint64_t count_steps(void (*run)(void *state, size_t n), void *state, size_t n)
{
    pid_t child = bench_fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(7);
        run(state, n); /* what happens at the first turn only has happened: pages, bindings, a record of one's own */
        raise(SIGSTOP);
        run(state, n);
        raise(SIGSTOP);
        _exit(0);
    }
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WSTOPPED | WNOWAIT) < 0 && errno == EINTR)
        ;
    if (info.si_code == CLD_EXITED && info.si_status == 7) {
        waitpid(child, NULL, 0);
        return 0;
    }
    uint64_t steps = 0;
    int signal = next_stop(child);
    if (signal != SIGSTOP)
        bench_die("the child whose steps are counted stopped by signal %d", signal);
    for (;; steps++) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL))
            bench_die("ptrace: %s", strerror(errno));
        if ((signal = next_stop(child)) == SIGSTOP)
            break;
        if (signal != SIGTRAP)
            bench_die("the child whose steps are counted stopped by signal %d", signal);
    }
    if (ptrace(PTRACE_CONT, child, NULL, NULL))
        bench_die("ptrace: %s", strerror(errno));
    bench_join(child, 0, "the child whose steps were counted");
    return steps;
}

double bench_instructions(void (*run)(void *state, size_t n), void *state, size_t n)
{
    uint64_t once = count_steps(run, state, n), twice = once ? count_steps(run, state, 2 * n) : 0;
    if (twice < once)
        bench_die("%zu turns took %llu instructions, and twice as many %llu", n, (unsigned long long)once,
                  (unsigned long long)twice);
    return (double)(twice - once) / (double)n;
}

/* guard.c - a child that does what may end it, see guard.h: damaged debugging information under libdw; a segment that somebody truncates while it is read. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TAKES_ALL /* as much as there is */
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define TAKES_ALL
#endif

enum { DATA_MOST_MIB = 4096 };

static pid_t child;

/* Whoever ends the command ends the child. */
static void pass_on(int number)
{
    if (child > 0)
        kill(child, number);
}

static void bound(int resource, rlim_t most)
{
    struct rlimit l;
    if (getrlimit(resource, &l) == 0 && l.rlim_cur > most) {
        l.rlim_cur = most;
        setrlimit(resource, &l);
    }
}

static void confine(unsigned seconds)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    bound(RLIMIT_CORE, 0);
    bound(RLIMIT_CPU, seconds);
#ifndef TAKES_ALL
    bound(RLIMIT_DATA, (rlim_t)DATA_MOST_MIB << 20);
#endif
}

void guard_lift(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_CPU, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_CPU, &l);
    }
}

static int ended(const struct command *c, const char *what, int status)
{
    int number = WTERMSIG(status);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGPIPE || number == SIGKILL) {
        signal(number, SIG_DFL);
        raise(number);
        return REFUSED;
    }
    complain(c->name,
             "%s cannot be read to its end: %s. Its debugging information, or that of --elf, is damaged, or "
             "somebody cut the segment off meanwhile (tarn check "
             "tells)",
             what, number == SIGXCPU ? "it takes too long" : strsignal(number));
    return WRONG;
}

bool guard(const struct command *c, const char *what, unsigned seconds, int *ret_status)
{
    static const int passed[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction a = {.sa_handler = pass_on}, was[3];
    int status;
    for (unsigned k = 0; k < 3; k++)
        sigaction(passed[k], &a, &was[k]);
    child = fork();
    if (child <= 0) {
        for (unsigned k = 0; k < 3; k++)
            sigaction(passed[k], &was[k], NULL);
        if (child == 0)
            confine(seconds);
        return true; /* no child to be had: then without */
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) {
            *ret_status = REFUSED;
            return false;
        }
    *ret_status = ended(c, what, status);
    return false;
}

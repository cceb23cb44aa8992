/* main.c - the explorer: see explore.h. Ends with EXPLORER cases=N states=N violations=N; exit 1 if there was a violation. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explore.h"

#define TABLES                                                                                               \
    X(mutex_cases)                                                                                           \
    X(section_cases)                                                                                         \
    X(record_cases)                                                                                          \
    X(heap_cases)                                                                                            \
    X(list_cases)                                                                                            \
    X(map_cases)                                                                                             \
    X(name_cases)                                                                                            \
    X(sync_cases)                                                                                            \
    X(epoch_cases)                                                                                           \
    X(coll_cases)                                                                                            \
    X(resize_cases) X(tree_cases) X(topic_cases) X(ring_cases) X(mq_cases) X(call_cases) X(check_cases)
#define X(table) extern const struct test_case table[];
TABLES
#undef X
#define X(table) table,
const struct test_case *const case_tables[] = {TABLES NULL};
#undef X

/* Of the program with planted faults: which of them is on. 0: none */
int explore_fault;
#ifdef EXPLORE_FAULTS
#define X(number, name, what, delays) {name, what, delays},
static const struct {
    const char *name, *what;
    bool delays; /* only where stores are delayed */
} faults[] = {
#include "faults.inc"
};
#undef X
#endif

/* Each case runs in a process of its own, a job: a fresh segment, and nothing left. */
enum { JOBS_MOST = 64 };
static struct job {
    struct outcome outcome;
    char wrong[400];
    bool done;
    pid_t pid; /* 0: none runs here */
    const struct test_case *c;
    int preemptions;
    double seconds; /* of the processor */
} * jobs;           /* shared with them */

static bool start(struct job *j, const struct test_case *c, int preemptions, bool trace)
{
    *j = (struct job){.c = c, .preemptions = preemptions};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit most = {3ull << 30, 3ull << 30};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_AS, &most);
        j->outcome = search(c, preemptions, trace);
        if (j->outcome.wrong)
            snprintf(j->wrong, sizeof j->wrong, "%s", j->outcome.wrong);
        j->done = true;
        _exit(0);
    }
    j->pid = pid;
    return pid > 0;
}

/* Until any of them has ended; NULL: none runs. */
static struct job *ended(void)
{
    int status;
    struct rusage usage;
    pid_t pid = wait4(-1, &status, 0, &usage);
    for (struct job *j = jobs; pid > 0 && j < jobs + JOBS_MOST; j++) {
        if (j->pid != pid)
            continue;
        j->pid = 0;
        j->seconds = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                     (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
        if (!j->done)
            snprintf(j->wrong, sizeof j->wrong, "explorer: it ended by itself, by signal %d",
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return j;
    }
    return NULL;
}

static const struct test_case *find(const char *name)
{
    for (int t = 0; case_tables[t]; t++)
        for (const struct test_case *c = case_tables[t]; c->name; c++)
            if (!strcmp(c->name, name))
                return c;
    return NULL;
}

#ifdef EXPLORE_FAULTS
static bool explore(const struct test_case *c, int preemptions, bool trace)
{
    return start(jobs, c, preemptions, trace) && ended() && jobs->done;
}

static bool finds(const struct test_case *c, int preemptions, bool trace)
{
    return explore(c, preemptions, trace) && jobs->wrong[0] && strncmp(jobs->wrong, "explorer:", 9) != 0;
}

/* Each must be found, by its case, within the preemptions of check, or else of soak; and each such case is in order without it. */
static int try_faults(int only, bool trace)
{
    int tried = 0, missed = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct test_case *c = find(faults[i].name);
        bool found;
        if (only && only != (int)i + 1)
            continue;
        explore_fault = (int)i + 1;
        found = c && (finds(c, c->preemptions, trace) || (c->soak > c->preemptions && finds(c, c->soak, trace)));
        if (found && faults[i].delays) {
            int most = buffer_most;
            struct job was = *jobs;
            buffer_most = 0;
            found = explore(c, c->preemptions, false) && !jobs->wrong[0];
            buffer_most = most;
            *jobs = was;
        }
        tried++;
        missed += !found;
        printf("%2zu %-58s %-28s %9llu states %6.1f s  %s%s\n", i + 1, faults[i].what, faults[i].name,
               (unsigned long long)jobs->outcome.states, jobs->seconds, found ? "found: " : "NOT FOUND",
               found ? jobs->wrong : "");
    }
    printf("EXPLORER faults=%d missed=%d\n", tried, missed);
    return missed || !tried;
}
#endif

struct wish {
    const char *name; /* NULL: all */
    int preemptions;  /* -1: as the case has them */
    long jobs;
    bool soak, trace;
};

#ifndef EXPLORE_FAULTS
static struct totals {
    uint64_t cases, states, violations;
} totals;

static bool an_end(void)
{
    const struct job *j = ended();
    if (!j)
        return false;
    totals.cases++;
    totals.states += j->outcome.states;
    totals.violations += j->wrong[0] != 0;
    printf("%-30s %d people, %d preemptions: %9llu states %8llu ends %6.1f s  %s\n", j->c->name, j->c->people,
           j->preemptions, (unsigned long long)j->outcome.states, (unsigned long long)j->outcome.ends,
           j->seconds, j->wrong[0] ? j->wrong : "ok");
    return true;
}

static bool explore_one(const struct test_case *c, const struct wish *w, long *running)
{
    struct job *j = jobs;
    if ((w->name && strcmp(w->name, c->name)) || (c->flags & CASE_SOAK && !w->soak))
        return true;
    if (*running == w->jobs)
        *running -= an_end();
    while (j->pid)
        j++;
    if (!start(j, c, w->preemptions >= 0 ? w->preemptions : w->soak ? c->soak : c->preemptions, w->trace))
        return false;
    ++*running;
    return true;
}

static int explore_all(const struct wish *w)
{
    long running = 0;
    for (int t = 0; case_tables[t]; t++)
        for (const struct test_case *c = case_tables[t]; c->name; c++)
            if (!explore_one(c, w, &running)) {
                perror("explorer: fork");
                return 2;
            }
    while (an_end())
        ;
    printf("EXPLORER cases=%llu states=%llu violations=%llu\n", (unsigned long long)totals.cases,
           (unsigned long long)totals.states, (unsigned long long)totals.violations);
    return totals.violations || !totals.cases;
}
#endif

int main(int n, char **v)
{
    struct wish w = {.soak = getenv("TARN_SOAK") != NULL, .preemptions = -1, .jobs = sysconf(_SC_NPROCESSORS_ONLN)};
    for (int i = 1; i < n; i++) {
        if (!strcmp(v[i], "--soak"))
            w.soak = true;
        else if (!strcmp(v[i], "--trace"))
            w.trace = true;
        else if (!strcmp(v[i], "--ordered"))
            buffer_most = 0;
        else if (!strcmp(v[i], "--everywhere"))
            switch_everywhere = true;
        else if (!strcmp(v[i], "--preemptions") && i + 1 < n)
            w.preemptions = atoi(v[++i]);
        else if (!strcmp(v[i], "--jobs") && i + 1 < n)
            w.jobs = atoi(v[++i]);
        else if (*v[i] != '-')
            w.name = v[i];
        else {
            printf("usage: explorer [--soak] [--trace] [--everywhere] [--ordered] [--preemptions N] [--jobs "
                   "N] [NAME]\n"
                   "  --trace       show the way to a violation\n"
                   "  --everywhere  switch also before reads of what nobody else writes\n"
                   "  --ordered     no store is delayed\n"
                   "  --jobs N      cases at a time, of up to 3 GB each (default: one a processor)\n");
            return strcmp(v[i], "--help") ? 2 : 0;
        }
    }
    w.jobs = w.jobs < 1 ? 1 : w.jobs > JOBS_MOST ? JOBS_MOST : w.jobs;
    if (w.name && !find(w.name) && !atoi(w.name)) {
        fprintf(stderr, "explorer: no such case: %s\n", w.name);
        return 2;
    }
    jobs = mmap(NULL, JOBS_MOST * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs == MAP_FAILED)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef EXPLORE_FAULTS
    return try_faults(w.name ? atoi(w.name) : 0, w.trace);
#else
    return explore_all(&w);
#endif
}

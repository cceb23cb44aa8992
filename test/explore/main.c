/* main.c - the explorer: see explore.h. Ends with EXPLORER cases=N states=N violations=N; exit 1 if there was a violation. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

static struct result {
    struct outcome outcome;
    char wrong[400];
    bool done;
} * result; /* of a child */

static double seconds; /* of the processor, that the last one took */

/* Each in a process of its own: a fresh segment, and nothing left. */
static bool explore(const struct test_case *c, int preemptions, bool trace)
{
    int status;
    pid_t pid;
    struct rusage usage;
    memset(result, 0, sizeof *result);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct rlimit most = {3ull << 30, 3ull << 30};
        setrlimit(RLIMIT_AS, &most);
        result->outcome = search(c, preemptions, trace);
        if (result->outcome.wrong)
            snprintf(result->wrong, sizeof result->wrong, "%s", result->outcome.wrong);
        result->done = true;
        _exit(0);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        return false;
    seconds = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
              (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    if (!result->done)
        snprintf(result->wrong, sizeof result->wrong, "explorer: it ended by itself, by signal %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return result->done;
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
/* Each must be found, by its case, within the preemptions of check; and each such case is in order without it. */
static int try_faults(int only, bool trace)
{
    int tried = 0, missed = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct test_case *c = find(faults[i].name);
        bool found;
        if (only && only != (int)i + 1)
            continue;
        explore_fault = (int)i + 1;
        found = c && explore(c, c->preemptions, trace) && result->wrong[0] &&
                strncmp(result->wrong, "explorer:", 9) != 0;
        if (found && faults[i].delays) {
            int most = buffer_most;
            struct result was = *result;
            buffer_most = 0;
            found = explore(c, c->preemptions, false) && !result->wrong[0];
            buffer_most = most;
            *result = was;
        }
        tried++;
        missed += !found;
        printf("%2zu %-58s %-28s %9llu states %6.1f s  %s%s\n", i + 1, faults[i].what, faults[i].name,
               (unsigned long long)result->outcome.states, seconds, found ? "found: " : "NOT FOUND",
               found ? result->wrong : "");
    }
    printf("EXPLORER faults=%d missed=%d\n", tried, missed);
    return missed || !tried;
}
#endif

int main(int n, char **v)
{
    bool soak = getenv("TARN_SOAK") != NULL, trace = false;
    int only = -1;
    const char *name = NULL;
    uint64_t cases = 0, states = 0, violations = 0;
    for (int i = 1; i < n; i++) {
        if (!strcmp(v[i], "--soak"))
            soak = true;
        else if (!strcmp(v[i], "--trace"))
            trace = true;
        else if (!strcmp(v[i], "--ordered"))
            buffer_most = 0;
        else if (!strcmp(v[i], "--everywhere"))
            switch_everywhere = true;
        else if (!strcmp(v[i], "--preemptions") && i + 1 < n)
            only = atoi(v[++i]);
        else if (*v[i] != '-')
            name = v[i];
        else {
            printf("usage: explorer [--soak] [--trace] [--everywhere] [--ordered] [--preemptions N] [NAME]\n"
                   "  --trace       show the way to a violation\n"
                   "  --everywhere  switch also before reads of what nobody else writes\n"
                   "  --ordered     no store is delayed\n");
            return strcmp(v[i], "--help") ? 2 : 0;
        }
    }
    if (name && !find(name) && !atoi(name)) {
        fprintf(stderr, "explorer: no such case: %s\n", name);
        return 2;
    }
    result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef EXPLORE_FAULTS
    return try_faults(name ? atoi(name) : 0, trace);
#endif
    for (int t = 0; case_tables[t]; t++)
        for (const struct test_case *c = case_tables[t]; c->name; c++) {
            int preemptions = only >= 0 ? only : soak ? c->soak : c->preemptions;
            bool bad;
            if ((name && strcmp(name, c->name)) || (c->flags & CASE_SOAK && !soak))
                continue;
            bad = !explore(c, preemptions, trace) || result->wrong[0];
            cases++;
            states += result->outcome.states;
            violations += bad;
            printf("%-30s %d people, %d preemptions: %9llu states %8llu ends %6.1f s  %s\n", c->name,
                   c->people, preemptions, (unsigned long long)result->outcome.states,
                   (unsigned long long)result->outcome.ends, seconds, bad ? result->wrong : "ok");
        }
    printf("EXPLORER cases=%llu states=%llu violations=%llu\n", (unsigned long long)cases,
           (unsigned long long)states, (unsigned long long)violations);
    return violations || !cases;
}

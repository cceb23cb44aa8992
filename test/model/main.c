/* main.c - the model's command line.
 *
 *   model [check]          every scenario, small; then every planted fault: what `meson test` runs, under two minutes
 *   model soak             every scenario, whole
 *   model base [S]         scenarios only (all, or number S), small;     model whole S: scenario S, whole
 *   model fault NAME       one planted fault, and how it was caught
 *
 * Exit 1 on a violation, or a fault that was not caught. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "search.h"

#define X(name, scenario, text) {#name, scenario, text},
static const struct {
    const char *name;
    int scenario;
    const char *text;
} faults[] = {FAULTS};
#undef X

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static long run_scenarios(int from, int to, bool full)
{
    struct totals sum = {0};
    for (int s = from; s <= to; s++) {
        double begun = seconds();
        search(s, 0, full, false);
        printf("%2d %-30s states %9ld  crash points %8ld  in recovery %8ld  in its recovery %8ld  ends %8ld  "
               "violations %ld  (%.1f s)\n",
               s, scenarios[s].name, totals.states, totals.points, totals.in_recovery, totals.in_its_recovery,
               totals.ends, totals.violations, seconds() - begun);
        fflush(stdout);
        sum.states += totals.states;
        sum.points += totals.points;
        sum.in_recovery += totals.in_recovery;
        sum.in_its_recovery += totals.in_its_recovery;
        sum.ends += totals.ends;
        sum.violations += totals.violations;
    }
    printf("MODEL states=%ld crash_points=%ld in_recovery=%ld in_its_recovery=%ld ends=%ld violations=%ld\n",
           sum.states, sum.points, sum.in_recovery, sum.in_its_recovery, sum.ends, sum.violations);
    fflush(stdout);
    return sum.violations;
}
static bool run_fault(int f, bool silent)
{
    double begun = seconds();
    search(faults[f].scenario, f, false, silent);
    printf("fault %2d %-24s %-58s %s%s  (scenario %d, %.1f s)\n", f, faults[f].name, faults[f].text,
           totals.violations ? "caught: " : "NOT CAUGHT", totals.violations ? totals.first : "",
           faults[f].scenario, seconds() - begun);
    fflush(stdout);
    return totals.violations != 0;
}
int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "check";
    int number = argc > 2 ? atoi(argv[2]) : 0;
    if (!strcmp(what, "fault") && argc > 2) {
        for (int f = 1; f < FAULT_COUNT; f++)
            if (!strcmp(faults[f].name, argv[2]) || f == number)
                return !run_fault(f, false);
        return 2;
    }
    if (number >= nscenarios || number < 0)
        return 2;
    if (!strcmp(what, "base") || !strcmp(what, "whole"))
        return run_scenarios(number ? number : 1, number ? number : nscenarios - 1, *what == 'w') != 0;
    if (!strcmp(what, "soak"))
        return run_scenarios(1, nscenarios - 1, true) != 0;
    if (strcmp(what, "check") && strcmp(what, "faults"))
        return 2;
    long violations = strcmp(what, "faults") ? run_scenarios(1, nscenarios - 1, false) : 0;
    int caught = 0;
    for (int f = 1; f < FAULT_COUNT; f++)
        caught += run_fault(f, true);
    printf("MUTANTS planted=%d caught=%d\n", FAULT_COUNT - 1, caught);
    return violations || caught != FAULT_COUNT - 1;
}

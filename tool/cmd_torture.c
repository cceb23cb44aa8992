/* cmd_torture.c - tarn torture: a program of the user's is run again and again, killed at each point that matters, and what it leaves behind is checked. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frames.h"
#include "module.h"
#include "torture.h"
#include "wait.h"

enum {
    CHECK = 256,
    SETUP,
    SEGMENT,
    AT,
    POINTS,
    RANDOM,
    SEED,
    MINUTES,
    TIMEOUT,
    STOP,
    STOP_MS,
    ENOSPC_N,
    EXEC,
    STUCK_OK,
    OUTSIDE,
    VERBOSE
};
static const struct option names[] = {{"check", required_argument, NULL, CHECK},
                                      {"setup", required_argument, NULL, SETUP},
                                      {"segment", required_argument, NULL, SEGMENT},
                                      {"at", required_argument, NULL, AT},
                                      {"points", required_argument, NULL, POINTS},
                                      {"random", required_argument, NULL, RANDOM},
                                      {"seed", required_argument, NULL, SEED},
                                      {"minutes", required_argument, NULL, MINUTES},
                                      {"timeout", required_argument, NULL, TIMEOUT},
                                      {"stop", no_argument, NULL, STOP},
                                      {"stop-ms", required_argument, NULL, STOP_MS},
                                      {"enospc", required_argument, NULL, ENOSPC_N},
                                      {"exec", no_argument, NULL, EXEC},
                                      {"stuck-ok", no_argument, NULL, STUCK_OK},
                                      {"outside", no_argument, NULL, OUTSIDE},
                                      {"verbose", no_argument, NULL, VERBOSE},
                                      {"json", no_argument, NULL, 'J'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};
enum { LISTED = 40 }; /* violations */

/* ---- what is wrong after a deed ---- */

static void judge_by_command(struct torture *t, struct wrong *w)
{
    char *output = NULL;
    int status = run_shell(t->check, t->timeout_ms, &output);
    if (output)
        output[strcspn(output, "\n")] = 0;
    const char *said = output ? output : "";
    if (status == -1)
        wrong_add(w, "the check had not ended after %" PRIu64 " s", t->timeout_ms / 1000);
    else if (status > 0 && WIFSIGNALED(status))
        wrong_add(w, "the check died of signal %d%s%s", WTERMSIG(status), *said ? ": " : "", said);
    else if (status > 0)
        wrong_add(w, "the check ended with status %d%s%s", WEXITSTATUS(status), *said ? ": " : "", said);
    free(output);
}

static void tell_check(const struct torture *t, const char *point)
{
    setenv("TARN_TORTURE_SEGMENT", t->segments.count ? t->segments.found[0].url : "", 1);
    setenv("TARN_TORTURE_POINT", point, 1);
}

/* A segment that is not there yet, or no more, has no state that could be wrong. */
static void judge(struct torture *t, const char *point, struct wrong *w)
{
    size_t there = segments_check(&t->segments, t->timeout_ms, w);
    tell_check(t, point);
    if (t->check && there && !stopped)
        judge_by_command(t, w);
    t->checks += there + (t->check && there);
}

static void judge_ends(const struct torture *t, const struct run *r, struct wrong *w)
{
    if (*r->victims)
        wrong_add(w, "%s", r->victims);
    if (r->late && !t->endless && !t->stuck_ok)
        wrong_add(w, "stuck: had not ended after %" PRIu64 " s: %s", r->timeout_ms / 1000, r->left);
    if (t->deed == DEED_STOP && !r->late && !*r->victims && r->status != 0)
        wrong_add(w, WIFSIGNALED(r->status) ? "the program died of signal %d" : "the program ended with status %d",
                  WIFSIGNALED(r->status) ? WTERMSIG(r->status) : WEXITSTATUS(r->status));
}

/* ---- what is kept of it ---- */

static char *describe(const struct scene *s, uint64_t address)
{
    char text[1024];
    FILE *maps = s->maps && address ? fmemopen(s->maps, strlen(s->maps), "r") : NULL;
    if (!maps)
        return NULL;
    struct place_in_module p = module_place(getpid(), maps, address);
    module_describe(p, address, maps, text, sizeof text);
    fclose(maps);
    return strdup(text);
}

/* Without a backtrace it is what the public function returns to, if it was in one. */
static char *describe_own(const struct scene *s)
{
    uint64_t own = scene_user_frame(s);
    if (!own && s->caller)
        own = s->caller - 1;
    return own == s->address ? NULL : describe(s, own);
}

struct story {
    const char *url;
    bool json;
};

static void tell_story(void *arg)
{
    const struct story *s = arg;
    execl("/proc/self/exe", "tarn", "why", s->url, s->json ? "-J" : (char *)NULL, (char *)NULL);
}

static char *story(const struct torture *t)
{
    char *text = NULL;
    struct story s = {t->segments.count ? t->segments.found[0].url : NULL, t->json};
    if (s.url && run_apart(tell_story, &s, t->timeout_ms, &text) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void keep(struct torture *t, const struct run *r, const char *point, struct wrong *w)
{
    struct violation *v = NULL;
    t->violations_count++;
    if (t->violations_listed < LISTED)
        v = one_more(&t->violations, &t->violations_listed, sizeof *v);
    if (!v)
        return;
    *v = (struct violation){.wrong = *w, .number = t->deeds, .pid = r->scene.pid, .tid = r->scene.tid};
    snprintf(v->point, sizeof v->point, "%s", point);
    v->where = describe(&r->scene, r->scene.address);
    v->own = describe_own(&r->scene);
    if (t->violations_count == 1)
        v->why = story(t);
    *w = (struct wrong){0};
}

static void cover(struct torture *t, const struct scene *s)
{
    for (size_t k = 0; k < t->used_count; k++)
        t->used[k].points += t->used[k].function == s->call;
}

/* ---- runs ---- */

static void look(pid_t pid, void *arg)
{
    segments_look(arg, pid);
}

static void process(pid_t pid, void *arg)
{
    segments_process(arg, pid);
}

static struct run new_run(struct torture *t)
{
    return (struct run){.argv = t->argv,
                        .timeout_ms = t->timeout_ms,
                        .stop_ms = t->stop_ms,
                        .show = t->verbose,
                        .used = &t->used,
                        .used_count = &t->used_count,
                        .look = look,
                        .process = process,
                        .arg = &t->segments};
}

static bool set_up(struct torture *t)
{
    char *output = NULL;
    int status = t->setup ? run_shell(t->setup, t->timeout_ms, &output) : 0;
    if (status != 0 && !stopped)
        complain(t->command->name, "the set-up failed%s%s",
                 output         ? ": "
                 : status == -1 ? ": it had not ended in time"
                                : "",
                 output ? output : "");
    free(output);
    return status == 0;
}

/* REFUSED: it could not be run; ENDED: by a signal to this command. */
static int run_once(struct torture *t, struct run *r)
{
    int status = DONE;
    if (!set_up(t))
        return stopped ? ENDED : REFUSED;
    if (!tracer_run(r)) {
        complain(t->command->name, "%s", r->problem);
        status = REFUSED;
    } else if (r->killed_by_user || stopped)
        status = ENDED;
    return status;
}

/* One deed and its judgement. */
static int try(struct torture *t, struct run *r)
{
    char point[POINT_TEXT] = "a time";
    struct wrong w = {0};
    bool bad = false;
    r->deed = t->deed;
    int status = run_once(t, r);
    t->tried += status == DONE;
    if (status == DONE && r->reached) {
        t->deeds++;
        cover(t, &r->scene);
        point_text(&r->scene.point, point);
        judge_ends(t, r, &w);
        judge(t, point, &w);
        bad = w.count && !stopped;
        if (bad)
            keep(t, r, point, &w);
    } else if (status == DONE) {
        t->missed++;
        if (r->us < t->us)
            t->us = r->us;
        if (r->point)
            point_text(r->point, point);
    }
    if (t->verbose && status == DONE)
        complain(t->command->name, "%s: %s", point, !r->reached ? "not come to" : bad ? "wrong" : "good");
    wrong_free(&w);
    scene_free(&r->scene);
    segments_remove(&t->segments);
    torture_progress(t, false);
    return status;
}

static bool goes_on_trying(const struct torture *t)
{
    return !stopped && now_ns() < t->deadline;
}

static int try_point(struct torture *t, const struct point *p)
{
    struct run r = new_run(t);
    r.point = p;
    return try(t, &r);
}

/* The first, the second, ... commit, until there are no more. */
static int try_commits(struct torture *t)
{
    int status = DONE;
    for (uint64_t n = 1; n <= t->enospc && status == DONE && goes_on_trying(t); n++) {
        uint64_t missed = t->missed;
        status = try_point(t, &(struct point){.number = n});
        if (t->missed > missed) {
            t->missed--;
            t->tried--;
            break;
        }
    }
    return status;
}

/* ---- first, undisturbed ---- */

static int refuse(struct torture *t, const char *sentence)
{
    complain(t->command->name, "%s: %s", t->argv[0], sentence);
    return REFUSED;
}

static int judge_undisturbed(struct torture *t)
{
    struct wrong w = {0};
    judge(t, "", &w);
    t->checks = 0;
    for (size_t k = 0; k < w.count; k++)
        complain(t->command->name, "before any kill: %s", w.text[k]);
    int status = w.count ? REFUSED : stopped ? ENDED : DONE;
    wrong_free(&w);
    return status;
}

static int look_at_end(struct torture *t, const struct run *r)
{
    if (!r->late && WIFSIGNALED(r->status)) {
        complain(t->command->name, "%s dies by itself, before any kill: signal %d, %s", t->argv[0],
                 WTERMSIG(r->status), strsignal(WTERMSIG(r->status)));
        return REFUSED;
    }
    if (!r->late && r->status != 0) {
        complain(t->command->name, "%s fails by itself, before any kill: it ends with status %d", t->argv[0],
                 WEXITSTATUS(r->status));
        return REFUSED;
    }
    if (!r->traced)
        return refuse(t, "no call of tarn can be found in it: it has not loaded libtarn.so, and if it is "
                         "linked with libtarn.a, its "
                         "symbols must be left in it (no strip)");
    return r->calls ? DONE : refuse(t, "it never calls a function of tarn");
}

static int run_undisturbed(struct torture *t)
{
    struct run r = new_run(t);
    r.show = true;
    int status = run_once(t, &r);
    if (status == DONE)
        status = look_at_end(t, &r);
    t->us = r.us;
    t->endless = r.late;
    if (t->endless)
        complain(t->command->name, "%s does not end by itself within %" PRIu64 " s (--timeout): so it is ended",
                 t->argv[0], t->timeout_ms / 1000);
    if (status == DONE)
        status = judge_undisturbed(t);
    if (t->segments.private)
        complain(t->command->name, "segments of sysv:private cannot be checked: nobody else can attach them");
    segments_remove(&t->segments);
    if (!t->endless && t->timeout_ms < r.us / 50) /* ms, us: twenty times as long */
        t->timeout_ms = r.us / 50;
    return status;
}

/* ---- the rounds ---- */

static int survey(struct torture *t, unsigned round)
{
    struct run r = new_run(t);
    survey_forget(&t->survey);
    t->survey.round = round;
    t->survey.outside = t->outside;
    r.survey = &t->survey;
    if (!t->endless)
        r.timeout_ms = DAY_MS; /* instructions are stepped */
    int status = run_once(t, &r);
    segments_remove(&t->segments);
    if (status == DONE && !torture_plan(t, t->points - t->tried)) {
        complain(t->command->name, "no memory for the points");
        status = REFUSED;
    }
    return status;
}

static int try_rounds(struct torture *t)
{
    int status = DONE;
    for (unsigned round = 0; round < 31 && t->tried < t->points && status == DONE && goes_on_trying(t); round++) {
        status = survey(t, round);
        if (!t->plan_count)
            break;
        for (size_t k = 0; k < t->plan_count && status == DONE && goes_on_trying(t); k++)
            status = try_point(t, &t->plan[k]);
    }
    for (uint64_t k = 0; k < t->random && status == DONE && goes_on_trying(t); k++) {
        struct run r = new_run(t);
        r.after_us = torture_chance(t) % (t->us + 1);
        r.pick = torture_chance(t);
        status = try(t, &r);
    }
    return status;
}

static int torture(struct torture *t)
{
    struct point at;
    int status = run_undisturbed(t);
    if (status == DONE && t->at)
        status = point_parse(t->at, &at) ? try_point(t, &at) : USAGE;
    else if (status == DONE && t->deed == DEED_FAIL)
        status = try_commits(t);
    else if (status == DONE)
        status = try_rounds(t);
    torture_progress(t, t->tried);
    if (status != DONE && status != ENDED)
        return status;
    if (stopped)
        complain(t->command->name, "ended by a signal");
    else if (!t->deeds)
        return refuse(t, t->deed == DEED_FAIL ? "it commits no memory" : "no point was come to");
    if (t->tried)
        torture_report(t);
    return t->violations_count ? WRONG : DONE;
}

/* ---- the command ---- */

static int take(const struct command *c, int option, const char *value, struct torture *t)
{
    struct point p;
    int status;
    switch (option) {
    case 'J': t->json = true; return DONE;
    case CHECK: t->check = value; return DONE;
    case SETUP: t->setup = value; return DONE;
    case SEGMENT: t->segment = value; return DONE;
    case VERBOSE: t->verbose = true; return DONE;
    case OUTSIDE: t->outside = true; return DONE;
    case STUCK_OK: t->stuck_ok = true; return DONE;
    case STOP:
    case EXEC:
        if (t->deed != DEED_KILL)
            return misused(c, "of --stop, --exec and --enospc, one at a time");
        t->deed = option == STOP ? DEED_STOP : DEED_EXEC;
        return DONE;
    case AT:
        t->at = value;
        return point_parse(value, &p)
                   ? DONE
                   : misused(c, "--at %s: it is a point as this command prints it, as 0:tarn_commit:1:entry", value);
    case POINTS: return take_count(c, "--points", value, "points", 1000000, &t->points);
    case RANDOM:
        if (strcmp(value, "0") == 0) {
            t->random = 0;
            return DONE;
        }
        return take_count(c, "--random", value, "random points", 1000000, &t->random);
    case SEED: return take_count(c, "--seed", value, "the seed's", UINT64_MAX, &t->seed);
    case MINUTES: return take_count(c, "--minutes", value, "minutes", 100000, &t->minutes);
    case TIMEOUT:
        status = take_count(c, "--timeout", value, "seconds", 86400, &t->timeout_given);
        if (status == DONE)
            t->timeout_ms = t->timeout_given * 1000;
        return status;
    case STOP_MS: return take_ms(c, "--stop-ms", value, 1, HOUR_MS, &t->stop_ms);
    default:
        if (t->deed != DEED_KILL)
            return misused(c, "of --stop, --exec and --enospc, one at a time");
        t->deed = DEED_FAIL;
        return take_count(c, "--enospc", value, "commits", 1000000, &t->enospc);
    }
}

static void forget(struct torture *t)
{
    for (size_t k = 0; k < t->violations_listed; k++) {
        wrong_free(&t->violations[k].wrong);
        free(t->violations[k].where);
        free(t->violations[k].own);
        free(t->violations[k].why);
    }
    free(t->violations);
    free(t->plan);
    free(t->used);
    survey_forget(&t->survey);
    segments_free(&t->segments);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct torture t = {
        .command = c, .deed = DEED_KILL, .points = 1000, .random = 100, .seed = 1, .timeout_ms = 10000, .stop_ms = 100};
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, "+:hJ", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &t)) != DONE)
            return status;
    if (optind == argc)
        return misused(c, "no program: say it behind --, as in tarn torture -- ./program");
    if (t.at && strncmp(t.at, "commit:", 7) == 0) {
        if (t.deed != DEED_KILL && t.deed != DEED_FAIL)
            return misused(c, "--at %s: a commit can be made to fail only", t.at);
        t.deed = DEED_FAIL;
    } else if (t.at && t.deed == DEED_FAIL)
        return misused(c, "--at %s: with --enospc a point is commit:N", t.at);
    if (!TRACER_WORKS) {
        complain(c->name, "programs can be stopped at points on x86-64 alone");
        return REFUSED;
    }
    t.argv = argv + optind;
    t.segments.command = c;
    t.chance = t.seed;
    t.deadline = t.minutes ? deadline(t.minutes * 60000) : NEVER;
    if (t.segment && !segments_add(&t.segments, t.segment))
        return REFUSED;
    stop_by_signals();
    status = torture(&t);
    forget(&t);
    return status;
}

const struct command cmd_torture = {
    .name = "torture",
    .arguments = "[OPTION...] -- PROGRAM [ARGUMENT...]",
    .summary = "kill a program of yours at each point that matters, and check what it leaves",
    .help =
        "  --check CMD         what must be so after each kill: a command of the shell, which ends with 0 if "
        "it is\n"
        "  --setup CMD         before each run (default: segments that the run before made are removed)\n"
        "  --segment URL       one to be checked, too, if it is not found in what the program has mapped\n"
        "  --stop              SIGSTOP at the point, and SIGCONT after --stop-ms MS (default 100), instead "
        "of a kill\n"
        "  --exec              it execs /bin/true at the point, instead\n"
        "  --enospc N          its first commit of memory fails, its second, ... its Nth, instead\n"
        "  --at POINT          this point alone, as a report named it: TASK:FUNCTION:NUMBER:entry, "
        "...:return+STEPS, commit:N\n"
        "  --points N          as many at most (default 1000)\n"
        "  --outside           none inside of tarn's functions: at their entries and returns, and in the "
        "program's own code\n"
        "  --random N          then as many at random times (default 100; 0: none)\n"
        "  --seed N            of the choice among too many points, and of the times (default 1)\n"
        "  --minutes N         end after so many\n"
        "  --timeout SECONDS   for a run, and for a check (default 10; for a run at least twenty times what "
        "it needs)\n"
        "  --stuck-ok          it may be that the program's other processes never end after a kill\n"
        "  --verbose           each point, and what the program says on stderr\n"
        "  -J, --json          the report as JSON\n"
        "The program is not changed; it uses libtarn.so, or libtarn.a with its symbols. It is run once "
        "undisturbed, and once "
        "to find the\n"
        "points, then once for each: first where its threads and children enter and leave functions of tarn, "
        "then "
        "where its own code\n"
        "has changed shared memory, then where tarn's has. After each kill the dead are recovered, each "
        "segment is checked as by "
        "tarn check,\n"
        "and CMD is run, which finds the first segment in $TARN_TORTURE_SEGMENT, if there is one. Its input "
        "is empty, its "
        "output is not shown.\n"
        "Exit status 0: nothing was wrong; 1: something was; 2: wrong arguments; 3: it could not be tried: "
        "it fails by "
        "itself, say.\n",
    .run = run,
};

/* torture.h - what the files of tarn torture share.
 *
 *     cmd_torture.c       options, and the runs one after the other
 *     torture_plan.c      which of the points that a survey found are gone to, and in which order
 *     torture_segments.c  the segments of the program that is run: which there are, whether they are sound, and that they go away again
 *     torture_report.c    what is told at the end
 *     tracer.h            the run itself */
#ifndef TARN_TOOL_TORTURE_H
#define TARN_TOOL_TORTURE_H

#include "tool.h"
#include "tracer.h"

struct found { /* a segment that the program had mapped */
    char *url; /* posix:/x, sysv:KEY, file:PATH, or for one without a name fd:N, of a descriptor that we hold */
    uint64_t device, inode;
    int held;  /* that descriptor, or -1 */
    bool made; /* by a process of a run, so it is ours to remove */
};
struct wrong { /* what is not as it should be: sentences */
    char **text;
    size_t count;
};
struct segments {
    const struct command *command;
    struct found *found;
    size_t count;
    uint32_t *pids; /* of all processes of all runs */
    size_t pids_count;
    uint64_t private; /* sysv:private: nobody can attach one by name */
};

void segments_process(struct segments *s, int pid);
/* What this process has mapped; it does not run meanwhile, or what it had is found. */
void segments_look(struct segments *s, int pid);
/* By its URL: --segment. */
bool segments_add(struct segments *s, const char *url);
/* Recover the dead of each, and check it. How many there are. */
size_t segments_check(struct segments *s, uint64_t ms, struct wrong *w);
/* Remove what was made by the runs; let go of descriptors. */
void segments_remove(struct segments *s);
void segments_free(struct segments *s);

void wrong_add(struct wrong *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void wrong_free(struct wrong *w);

/* Run it by the shell, with what it says in *ret_output (to be freed; NULL: nothing). Its status as of waitpid; -1: it had not ended in time, and was killed;
 * -2: it could not be run, or a signal to this command ended it. */
int run_shell(const char *line, uint64_t ms, char **ret_output);
/* The same of a function in a child, which writes lines to stdout. */
int run_apart(void (*work)(void *arg), void *arg, uint64_t ms, char **ret_output);

/* Something was wrong after a deed. */
struct violation {
    char point[POINT_TEXT];
    struct wrong wrong;
    uint64_t number; /* of the deed */
    pid_t pid, tid;
    char *where, *own; /* the instruction to come; the innermost function of the program's own, if that is another; or NULL */
    char *why; /* of the first alone: tarn why's story, as text or as JSON; or NULL */
};
struct torture {
    const struct command *command;
    char **argv;
    const char *check, *setup, *segment, *at;
    uint64_t points, random, seed, minutes, enospc, timeout_ms, timeout_given, stop_ms;
    enum deed deed;
    bool json, verbose, stuck_ok, outside;
    struct segments segments;
    struct used *used;
    size_t used_count;
    struct survey survey;
    struct point *plan;
    size_t plan_count;
    bool endless; /* it does not end by itself */
    uint64_t us;  /* that it takes, undisturbed, from its first call on */
    uint64_t chance, deadline;
    /* the score */
    uint64_t tried, missed, deeds, checks, violations_count;
    struct violation *violations;
    size_t violations_listed;
};

/* torture_plan.c: t->plan, of what t->survey found in one round. false: no memory. */
bool torture_plan(struct torture *t, size_t most);
uint64_t torture_chance(struct torture *t);

/* torture_report.c */
void torture_report(const struct torture *t);
void torture_progress(const struct torture *t, bool last);

#endif

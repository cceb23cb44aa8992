/* doctor.h - what is wrong with shared memory here: findings, and who finds them, for tarn doctor.
 *
 *     cmd_doctor.c       findings: kept, printed, counted for the exit status
 *     doctor_system.c    what /proc, /sys and /etc say: file systems, limits, control groups, settings
 *     doctor_memory.c    what the living machine says: objects, their users, segments of ours
 * A look changes nothing. Objects' names are other people's bytes: in a cure they stand as shell_word has them. */
#ifndef TARN_DOCTOR_H
#define TARN_DOCTOR_H

#include "machine.h"
#include "tool.h"
#include "unused.h"

enum severity { INFO, WARNING, ERROR, SEVERITIES };

struct finding {
    enum severity severity;
    const char *check;          /* a word, as tarn-doctor(1) has it */
    char *object, *what, *cure; /* cure: a line for a shell, or NULL: there is none */
};

struct doctor {
    const struct command *command;
    const char *root; /* "", or a directory that has proc, sys, etc of another machine: then m is NULL */
    struct machine *m;
    struct survey *survey;
    struct unused_rules rules;
    struct finding *findings;
    size_t count;
};

/* Of text that malloc gave; NULL without memory. */
char *make_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A word for a shell that means these bytes, whatever they are. Where quotes are not enough it is $'...', of bash, ksh, zsh and POSIX of 2024. From malloc. */
char *shell_word(const char *text);
/* 1610612736 is "1.5G". Returns `to`. */
const char *size_text(uint64_t bytes, char to[static 16]);

/* A finding. cure is made by make_text, or NULL, and given away. */
void found(struct doctor *d, enum severity severity, const char *check, const char *object, char *cure,
           const char *format, ...) __attribute__((format(printf, 6, 7)));

void examine_system(struct doctor *d);
void examine_memory(struct doctor *d);

#endif

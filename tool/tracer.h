/* tracer.h - runs a program under ptrace, all its threads and children with it, and does something to it at one point of its run.
 *
 *     tracer.c          the run: tasks, what the kernel tells of them, the points, the deeds
 *     tracer_memory.c   address spaces: breakpoints, what is mapped
 *     module.c          programs and libraries: where the public calls of tarn are
 *     frames.c          a backtrace
 *     instruction.c     what an instruction may change
 * One run at a time. No process outlives it, nor this one (PTRACE_O_EXITKILL).
 *
 * A *task* is a thread or a process: "0" the program's first thread, "0.2" the second that that one made. Its run is parted by *events*: the entry and the return of
 * each call of a public function from the program's own code. A *point* is an event, and so many instructions behind it; so it is the same in each run of a program
 * that does the same each time, at whatever address it is loaded. A repeated string instruction counts as two: its first turn, and the rest; what libtarn calls of
 * the C library counts as one. */
#ifndef TARN_TOOL_TRACER_H
#define TARN_TOOL_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __x86_64__
#define TRACER_WORKS 1
#else
#define TRACER_WORKS 0
#endif

/* TASK:FUNCTION:NUMBER:entry[+STEPS] and ...:return..., or instead of +STEPS @MODULE+0xOFFSET, the first time at that instruction; or commit:NUMBER. */
struct point {
    const char *task, *function; /* interned; "start": the task's own beginning, which only returns. NULL: a commit */
    uint64_t number;             /* of that task's calls of that function, from 1; of commits of all */
    bool after;                  /* its return, not its entry */
    uint64_t steps;
    const char *module; /* NULL: by steps */
    uint64_t offset;
    /* of a survey's, not in its text: the same in other words, which are quicker, where programs are loaded at the same addresses each time */
    uint64_t address; /* of the instruction; 0: not told */
    uint32_t turn;    /* the how-manieth time it comes there after the event */
};
enum { POINT_TEXT = 320 };
void point_text(const struct point *p, char to[static POINT_TEXT]);
bool point_parse(const char *text, struct point *ret);

/* What a run without a deed found. */
struct noted {
    struct point point;
    uint8_t kind; /* of enum noted_kind */
};
enum noted_kind {
    NOTED_EVENT, /* a call's entry, or its return */
    NOTED_OWN,   /* the program's own code has just changed shared memory, or come from the kernel */
    NOTED_INSIDE /* so has the library */
};
struct survey {
    unsigned round; /* places are noted at their first time; their second; third and fourth; ...: round 0, 1, 2, ... */
    bool outside; /* what calls do inside is not looked at */
    struct noted *noted;
    size_t count;
    struct passes *passes; /* tracer.c's own: how often each place was passed */
    size_t passes_count;
};
/* One more time at this place: is it of this round, and the one of it that is walked from? */
void survey_pass(struct survey *s, uint64_t place, bool *ret_noted, bool *ret_walked);
void survey_note(struct survey *s, const struct point *p, enum noted_kind kind);
void survey_forget(struct survey *s);

struct used { /* a public function that the program calls */
    const char *function;
    uint64_t calls, points;
};

enum deed { DEED_NONE, DEED_KILL, DEED_STOP, DEED_EXEC, DEED_FAIL };

/* Where the deed was done. */
enum { SCENE_REGISTERS = 17, SCENE_STACK = 65536 };
struct scene {
    struct point point; /* to be repeated by */
    pid_t pid, tid;
    const char *call; /* the function that it was in, or just had returned from; or NULL */
    uint64_t address, caller; /* of the instruction to come; where that call returns to, if it was inside of it, or 0 */
    char *maps;               /* of its process, as text */
    uint64_t registers[SCENE_REGISTERS]; /* by their DWARF numbers */
    uint8_t *stack;                      /* from its pointer upward */
    uint64_t stack_at;
    size_t stack_size;
};

struct run {
    char **argv;
    enum deed deed;
    const struct point *point; /* where, or NULL */
    uint64_t after_us, pick;   /* point NULL: so long after the first call, to one chosen by this number */
    uint64_t stop_ms, timeout_ms;
    bool show;             /* what it says on stderr */
    struct survey *survey; /* to be filled, or NULL */
    struct used **used;    /* grows */
    size_t *used_count;
    void (*look)(pid_t pid, void *arg); /* a process, while it is stopped: it has opened a segment, or the deed comes */
    void (*process)(pid_t pid, void *arg); /* there is one more */
    void *arg;
    /* what came of it */
    bool reached, traced;      /* the deed was done; a program or library with calls of tarn was found */
    bool late, killed_by_user; /* it had not ended in time; a signal to this command ended it */
    int status;                /* of its first process, as of waitpid; good if that ended by itself */
    uint64_t calls, us;        /* of the program; from its first call to its end */
    struct scene scene;
    char victims[256]; /* others that died of a signal */
    char left[256];    /* late: who had not ended */
    char problem[512]; /* why it could not be run */
};
/* false: it could not be run, and r->problem says why. */
bool tracer_run(struct run *r);
void scene_free(struct scene *s);

#endif

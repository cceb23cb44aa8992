/* tracer_memory.h - a traced process's address space: the breakpoints in it, and its memory. Private to tracer.c and tracer_memory.c. */
#ifndef TARN_TOOL_TRACER_MEMORY_H
#define TARN_TOOL_TRACER_MEMORY_H

#include "module.h"

struct breakpoint {
    uint64_t at;
    const char *function; /* NULL: the dynamic linker's */
    uint8_t was;
};
/* From start up to end. */
struct range {
    uint64_t start, end;
};
/* Shared by the tasks that share their memory. Written through /proc/PID/mem, which does not ask that they are stopped. */
struct space {
    int memory, tasks;
    struct breakpoint *points; /* by address */
    size_t count;
    uint64_t library, library_end; /* the code of libtarn; 0: it is in the program itself */
    struct range system[4];        /* the code of the C library and of the dynamic linker */
    size_t system_count;
    bool refused;  /* a breakpoint could not be written */
    bool disarmed; /* the program has its own bytes again */
};

struct space *space_new(pid_t pid);
/* A forked child's: the same bytes, breakpoints and all. */
struct space *space_copy(const struct space *s, pid_t pid);
void space_leave(struct space *s);
/* Breakpoints in all that is mapped now and has calls of tarn, and in the dynamic linker. true: there is a call in it. */
bool space_arm(struct space *s, pid_t pid);
void space_disarm(struct space *s);
const struct breakpoint *space_point(const struct space *s, uint64_t at);
bool space_is_system(const struct space *s, uint64_t at);
bool space_write(const struct space *s, uint64_t at, const void *bytes, size_t size);
size_t space_read(const struct space *s, uint64_t at, void *bytes, size_t size);

/* Parts of a process's memory that others can see and it can write. */
size_t shared_parts(pid_t pid, struct range *parts, size_t most);

/* /proc/PID/maps, to be freed; NULL: it is gone. */
char *maps_text(pid_t pid);

#endif

/* unused.h - may an object go? For tarn gc, which removes it, and tarn doctor, which only says so.
 *
 * It may if nobody maps it or has it open, and nobody who lives would open it again. The first is what /proc and the kernel's own counts say; for the
 * second its maker must be dead, by the rule of what made it (a rule is the library's habit, see unused.c), and it must have lain idle for a while. Of
 * our own segments the lifetime says it. What has no rule stays.
 *
 * unused_remove looks again right before the removal. Of a file the kernel itself is asked, by a lease: it is given only if nobody has the file open
 * or mapped, in any namespace or on its way through a socket, and an open that comes meanwhile waits, which is seen. What is left: an open between that
 * look and the removal, of some microseconds; it gets the file without its name. A System V id that is attached in that time is marked, and goes with
 * its last user. */
#ifndef TARN_UNUSED_H
#define TARN_UNUSED_H

#include "machine.h"

struct unused_rules {
    bool force; /* also what a process that lives might open again, and what has no rule; never what is in use */
    bool alone;    /* who shares the memory is in this PID namespace: the caller says so */
    int64_t older; /* seconds that it must have lain idle */
};

struct verdict {
    bool goes;
    bool ends; /* ours, and over by its lifetime: the library removes it */
    char why[160];
};

/* Can it be told at all who uses what? NULL, or a sentence of why not; then nothing is called unused. */
const char *unused_blind(const struct machine *m, const struct unused_rules *rules);
/* What is known of the processes of a look with LOOK_ALL; NULL: no memory. The look must outlive it. */
struct survey *survey_new(struct machine *m);
void survey_free(struct survey *s); /* NULL is nothing */
/* Of a System V id or a POSIX object, of a look with LOOK_ALL. */
void unused_judge(struct survey *s, const struct object *o, const struct unused_rules *rules, struct verdict *ret);
/* Remove what goes. 0, or a negative errno: -EBUSY, -ESTALE: it is in use, or another, by now, and stays; -ENOENT: it is gone; others as the system
 * says. ret_why: a sentence, if it failed. */
int unused_remove(const struct object *o, const struct verdict *v, char ret_why[static 160]);

/* Remove a name or an id, whoever has it: if it is still the same. Results as unused_remove. */
int remove_regardless(const struct object *o, char ret_why[static 160]);

/* Which lifetime has this file, if it is a segment that can be looked at, and is it over (but for users, who are in /proc)? false: no segment. Nothing is changed. */
bool segment_lifetime(const struct object *o, uint32_t *ret_lifetime, bool *ret_over);

#endif

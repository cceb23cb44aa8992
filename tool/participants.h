/* participants.h - who takes part in a segment of ours, as the machine's processes: for tarn who, and for whoever else names holders and waiters. */
#ifndef TARN_PARTICIPANTS_H
#define TARN_PARTICIPANTS_H

#include "machine.h"
#include "tool.h"

struct member {
    const struct object *object;
    struct tarn_participant told; /* by the library: pid and tid are those of its own PID namespace */
    uint32_t pid, tid;            /* as we see them; 0: not found */
    char state;                   /* of the thread, as in /proc/PID/stat; 0: not found */
    int64_t since;                /* when the thread was started, in seconds since 1970; 0: not known */
    struct tarn_waiting waits;    /* the first of what it waits for; id 0: nothing that is known */
};

struct members {
    struct member *list;
    size_t count;
};

/* Add those of an object that is a segment, attached read-only for it. false: *ret_status, after a complaint; what is in the list is good. */
bool members_of(const struct command *c, struct machine *m, const struct object *o, struct members *add_to,
                int *ret_status);
void members_free(struct members *l);

/* "live", "stopped", "dead" (and not recovered yet) or "unknown". */
const char *member_state(const struct member *p);
/* How to attach it: a URL, or a descriptor of somebody who has it, /proc/PID/fd/N. false: there is no way from here. */
bool way_to(const struct machine *m, const struct object *o, char *to, size_t size);
/* Can it be attached at all? System V without a key has no URL. */
bool is_reachable(const struct machine *m, const struct object *o);
/* Attached to look at it, and without a complaint; NULL: it is damaged, or nothing leads to it. */
tarn *open_quietly(const struct machine *m, const struct object *o);

#endif

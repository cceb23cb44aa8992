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
    char *holds;                  /* what it has, in words, where who lists it made them; else NULL */
};

struct named {
    char name[256];
    tarn_ref ref;
    uint64_t size;
};

/* Of one segment; who asks for several into one list has the members of all, and can ask nothing of the rest. */
struct members {
    struct member *list; /* in the order of their places in the segment */
    size_t count;
    struct tarn_lock *locks; /* by participant */
    size_t locks_count;
    struct tarn_waiting *waits; /* by holder, then by ref */
    size_t waits_count;
    struct named *names; /* by ref */
    size_t names_count;
};

/* A look into a segment of ours that is attached read-only, by a child: whoever may write it may truncate it meanwhile. tell, in the child, writes what it has to say to a
 * descriptor; its result, a status, is *ret_status. hear reads it. c NULL: without complaints. true: both went well. */
typedef int tell_inside(const struct command *c, tarn *seg, const struct object *o, int to);
typedef bool hear_inside(int from, void *arg);
bool look_by_child(const struct command *c, const struct machine *m, const struct object *o,
                   tell_inside *tell, hear_inside *hear, void *arg, int *ret_status);
bool write_all(int fd, const void *from, size_t size);
bool read_all(int fd, void *to, size_t size);

/* Add those of an object that is a segment. false: *ret_status, after a complaint; what is in the list is good. As look_by_child. */
bool members_of(const struct command *c, struct machine *m, const struct object *o, struct members *add_to,
                int *ret_status);
void members_free(struct members *l);

/* ---- of one segment ---- */

const struct member *member_of(const struct members *l, uint32_t id); /* NULL: there is none */
/* Does it have it, for all that can be seen, and not merely want it? */
static inline bool is_had(const struct tarn_lock *lock)
{
    return lock->held || !lock->moving;
}
const char *lock_kind(uint32_t kind); /* "mutex", "inner", "read", "write", "units", "member" */
/* Those of one participant: *ret_count of them from the result on. */
const struct tarn_lock *locks_of(const struct members *l, uint32_t id, size_t *ret_count);
/* Who wait for that one, at that place (0: at any). */
const struct tarn_waiting *waiters_of(const struct members *l, uint32_t holder, tarn_ref ref, size_t *ret_count);
/* What it has, in words: "mutex table + 64, read 0x402000", of many the first few. NULL: nothing, or no memory. To be freed. */
char *holds_text(const struct members *l, uint32_t id);
/* Only its names, for name_at, of a segment that is attached. 0, or as tarn_names: what came before that is there. */
int names_of(tarn *seg, struct members *ret);
/* The named object in which a ref lies, and where in it: "table + 64". "": in none. Returns `to`. */
const char *name_at(const struct members *l, tarn_ref ref, char to[static 320]);

/* "live", "stopped", "dead" (and not recovered yet) or "unknown". */
const char *member_state(const struct member *p);
/* How to attach it: a URL, or a descriptor of somebody who has it, /proc/PID/fd/N. false: there is no way from here. */
bool way_to(const struct machine *m, const struct object *o, char *to, size_t size);
/* Can it be attached at all? System V without a key has no URL. */
bool is_reachable(const struct machine *m, const struct object *o);
/* Attached to look at it, and without a complaint; NULL: it is damaged, or nothing leads to it. */
tarn *open_quietly(const struct machine *m, const struct object *o);

#endif

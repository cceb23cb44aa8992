/* raw.h - any shared memory object, ours or anybody's, by a URL or a name that tarn ls tells: its bytes and its rights, for perms, dump, load and cp.
 *
 * What a name leads to is opened once, and all that is done is done to that: no path is looked up a second time. Symbolic links are not followed (those of
 * /proc/PID/fd and map_files are none). System V ids are attached for their bytes, which changes their times; for their rights they are not. */
#ifndef TARN_TOOL_RAW_H
#define TARN_TOOL_RAW_H

#include <sys/types.h>

#include "tool.h"

enum raw_for {
    RAW_RIGHTS, /* nothing is read: also of what may not be opened */
    RAW_READ,   /* its bytes */
    RAW_WRITE   /* and to change them */
};

struct raw {
    const char *name;   /* as it was given */
    char address[4352]; /* that leads to it: as given, or, of what has no name, /proc/PID/fd/N */
    int fd;             /* -1: System V */
    int id;             /* of System V */
    char *at;           /* System V's bytes, attached; else NULL */
    uint64_t device, inode;
    uint64_t size;
    uint32_t mode, uid, gid; /* permission bits */
};

/* true; else *ret_status, after a complaint. */
bool raw_open(const struct command *c, const char *name, enum raw_for what, struct raw *ret, int *ret_status);
void raw_close(struct raw *r);
bool raw_same(const struct raw *a, const struct raw *b);

/* Do these bytes begin one of our segments? */
bool raw_is_segment(const struct raw *r);
/* Who takes part in a segment of ours. Not known: it is no segment, or cannot be attached. */
struct taking {
    bool known;
    size_t all, running; /* running: neither stopped nor dead */
};
struct taking raw_taking(const struct command *c, const struct raw *r);

/* Where a new object of this URL goes. posix:/name: its path, else NULL after a complaint (*ret_status). */
bool posix_path(const struct command *c, const char *url, char *to, size_t size, int *ret_status);
/* The key of sysv:KEY; false after a complaint */
bool sysv_key(const struct command *c, const char *url, int *ret_key, int *ret_status);

/* The status of a failed system call, after a complaint that says what could not be done to what. */
int refused(const struct command *c, const char *name, const char *could_not, int error);

#endif

/* segment/lifecycle.h - what the files of this floor share, and nobody else uses: plans, stamps, handles.
 *
 * Private memory only. `what` is how messages call the segment: its URL, or words for a descriptor. */
#ifndef TARN_SEGMENT_LIFECYCLE_H
#define TARN_SEGMENT_LIFECYCLE_H

#include <unistd.h>

#include "backing/backing.h"
#include "segment/segment.h"

/* How a process wants a segment attached. Private memory. */
struct attaching {
    bool readonly;
    bool foreign; /* of whatever owner */
    bool shared;  /* its open file description is somebody else's too */
    bool repair;  /* for tarn_repair: whatever its tenure, and alone */
    bool no_growth;
    const uint8_t *uuid; /* it must be this one; NULL: any */
    bool private, executable;
    void *address; /* there and nowhere else; NULL: anywhere */
    bool raw;
    uint64_t raw_offset, raw_length;
    uint32_t raw_protection;
};

/* ---- stamp.c ---- */

/* Write the stamp of a fresh segment, all but its first word; its uuid, address, lifetime and creator are there already. */
void stamp_write(struct segment_header *h, const struct geometry *g, const struct backing *backing);
/* The first word: from here on it is a segment. */
void stamp_publish(struct segment_header *h);
/* What its field `sum` must be. */
uint64_t stamp_sum(const struct segment_header *h);

/* Judge `got` bytes read from the start of a file of file_size bytes. 0 and the geometry, -EPROTO (foreign, or made otherwise) or
 * -EUCLEAN (truncated or damaged), each with the field and both values. */
int stamp_check(const char *what, const struct segment_header *h, int64_t got, uint64_t file_size,
                struct geometry *ret);

/* Begins it like a tarn segment? */
bool stamp_is_ours(const struct segment_header *h, int64_t got);

/* ---- create.c ---- */

struct plan { /* options, checked, with the defaults filled in */
    struct geometry geometry;
    uint64_t initial; /* bytes, whole spans */
    uint32_t mode;
    uint32_t lifetime; /* enum segment_lifetime */
    uint32_t numa;     /* of TARN_NUMA_ */
    uint64_t nodes;
};
int plan_make(const struct tarn_options *options, struct plan *ret);

/* Make, fill in, attach and publish a segment, in this order. The handle is not listed yet. -EEXIST, without a sentence: the name
 * is taken. -EAGAIN, likewise: look again. Under the lock of handles. */
int segment_make(const char *what, const struct url *url, const struct plan *plan,
                 const struct attaching *how, struct tarn **ret_seg);

/* ---- grow.c ---- */

/* Commit bytes [offset, offset + size) of what is mapped at base, or say what was in the way. */
int commit_range(const char *what, const struct tarn *seg, uint64_t offset, uint64_t size);
/* -ENOMEM if a control group would not let this process take so much. */
int cgroup_allows(const char *what, uint64_t size);

/* ---- segment.c ---- */

void handles_lock(void);
void handles_unlock(void);
/* The listed handle of this segment, or NULL. Under the lock, as those below. */
struct tarn *handle_find(const struct facts *f, const struct attaching *how, const uint8_t uuid[16]);
void handle_list(struct tarn *seg);

/* A handle with its mapping, but unlisted and not attached. Takes the object over if it succeeds. what: kept if it is a URL. */
int handle_map(const char *what, const struct object *o, const struct geometry *g,
               const struct attaching *how, const struct backing *backing, struct tarn **ret);
/* One that has nothing yet, with its URL if it has a backing. NULL: no memory. */
struct tarn *handle_new(const char *what, const struct backing *backing);
/* Words for what a mapping failed with. */
/* Neither this user's nor root's, or somebody else's who made it. */
static inline bool is_foreign(const struct facts *f)
{
    return (f->uid != geteuid() && f->uid != 0) || (f->maker_uid != geteuid() && f->maker_uid != 0);
}
int place_failed(const char *what, uint64_t size, const struct facts *f, const struct attaching *how, int error);
/* The floors' parts: all have attached, or none has. */
int handle_attach(struct tarn *seg);
void handle_detach(struct tarn *seg);
/* Unmap, close, free. */
void handle_free(struct tarn *seg);

/* ---- place.c ---- */

extern const struct keeping private_keeping;
/* An address for a same-address segment that is to be made. */
int place_choose(const char *what, struct geometry *g);
/* Map it as it is to be: keeping->map, with the address, or a private copy. -EADDRINUSE, -EINVAL, -EBUSY, -EUCLEAN with a sentence; others for
 * place_failed. */
int place_map(const char *what, const struct object *o, const struct geometry *g, const struct facts *f,
              const struct attaching *how, const struct keeping *keeping, void **ret_base);
/* -EADDRINUSE, naming who is there. */
int place_taken(const char *what, const void *address, uint64_t size);
/* It has attached: what its options ask for besides. */
int place_settle(const char *what, struct tarn *seg);
/* Data space [from, to) was committed, by this process: where it is to be huge pages, they are made. */
void place_make_huge(const struct tarn *seg, uint64_t from, uint64_t to);
/* Before anything is committed: on which nodes it will be. */
int place_on_nodes(const char *what, const struct tarn *seg, uint32_t numa, uint64_t nodes);
/* Pages of side tables and data from `from` on, and before the first all that is before them. */
int place_populate(const char *what, const struct tarn *seg, uint64_t from, uint64_t bytes);

/* ---- raw.c ---- */

/* A handle on an object's bytes, not listed. The object is taken over if it succeeds. */
int raw_attach(const char *what, struct object *o, const struct attaching *how, const struct backing *backing,
               struct tarn **ret_seg);
void raw_unmap(struct tarn *seg);
int raw_make(const char *what, const struct url *url, uint32_t mode, const struct attaching *how,
             struct object *ret);

/* ---- users.c ---- */

/* It is attached from now on, for others to see: until its object is closed. */
void user_enter(struct tarn *seg);
/* Has anybody else it attached: other processes, other handles of this one? readers: those count, who can only read. */
bool user_others(const struct tarn *seg, bool readers);

/* As if it were not: it writes no more. */
void user_leave(struct tarn *seg);
/* As if it were not: nor does it read. */
void user_end(struct tarn *seg);
/* Have a description be a user's, as user_enter does; either byte may be -1. */
int user_hold(int fd, bool readonly, int *ret_user, int *ret_weak);

/* ---- lifetime.c: of segments that end by themselves; of others, next to nothing is done ---- */

/* Into a stamp that is being made. */
void lifetime_stamp(struct segment_header *h, uint32_t lifetime);
/* A fresh one, that nobody sees yet: what its creator has as long as it lives. */
int lifetime_create(const char *what, struct tarn *seg);
/* Has it ended with its creator? A private copy of its header. */
bool lifetime_ended(const struct object *o, const struct segment_header *h);
/* The same of one that is attached. */
bool lifetime_over(const struct tarn *seg);
/* Before it is mapped, and after: it becomes a user. -ENOENT, without a sentence: it has ended, and is to be swept. -EAGAIN: to be opened again.
 * -EBUSY. What the first has locked is given up by the second, or with the object. */
int lifetime_admit(const char *what, const struct object *o, const struct segment_header *h,
                   const struct attaching *how, const struct backing *backing);
int lifetime_enter(struct tarn *seg, const struct segment_header *h, const struct attaching *how);
/* If what the name leads to has ended, remove it. -EEXIST: it has not; -ENOENT: there is none; -EACCES, -EBUSY, -EPERM. */
int lifetime_sweep(const char *what, const struct url *url, bool foreign);
/* Shared memory whose id is no more. */
bool lifetime_gone(const struct object *o);
/* This process is about to unmap it; has unmapped it. */
void lifetime_leave(struct tarn *seg);
void lifetime_unmapped(struct tarn *seg);
void lifetime_fork(struct tarn *seg);
void lifetime_parent(struct tarn *seg);
void lifetime_child(struct tarn *seg);
/* Alone with what removes or makes users of it (readonly: with other openers), or -EBUSY. */
int lifetime_gate(const char *what, const struct object *o, bool readonly);
void lifetime_ungate(const struct object *o);
/* Does the name lead to this device and inode? */
bool lifetime_leads(const struct url *url, const struct facts *f);

/* ---- stat.c ---- */

/* After a removal of its name: for who has it by descriptor. */
void mark_unlinked(const struct object *o);

/* ---- tenure.c: of segments that survive the machine; of others, nothing is done ---- */

/* Is the segment with this header one, found by this backing (NULL: by descriptor)? */
bool tenure_durable(const struct segment_header *h, const struct backing *backing);
/* Before it is mapped: may it lie where it lies, and if it is only read, may it be? */
int tenure_admit(const char *what, const struct object *o, const struct facts *f,
                 const struct segment_header *h, const struct attaching *how, const struct backing *backing);
/* A fresh one, that nobody sees yet. */
int tenure_create(const char *what, struct tarn *seg);
/* It is mapped, and its floors have attached: from here on it may be written. -EUCLEAN, -EBUSY; -EIO, -ENOSYS. */
int tenure_enter(const char *what, struct tarn *seg, const struct attaching *how);
/* This process is about to close it: what the dead left is put right, if nobody else is there to do it. */
void tenure_settle(struct tarn *seg);
/* This process has closed it, and its mapping is still there: if it was the last to write, the file is called clean. -EIO and kin: it could not be
 * brought to the disk. */
int tenure_leave(struct tarn *seg);
/* In a forked child. */
void tenure_child(struct tarn *seg);
/* By tarn_repair: it is in order. */
int tenure_mark(struct tarn *seg);

/* ---- open.c, for pass.c ---- */

/* As tarn_open_fd. */
int attach_descriptor(const char *what, int fd, struct attaching *how, struct tarn **ret_seg);
/* System V shared memory by its id. */
int attach_shm(const char *what, int id, const struct attaching *how, struct tarn **ret_seg);

/* ---- open.c, for repair ---- */

int repair_open(const char *url, struct tarn **ret_seg); /* alone in it, and no participant lives; it is not in the list of handles */

/* How messages call it. */
const char *handle_name(const struct tarn *seg);

#endif

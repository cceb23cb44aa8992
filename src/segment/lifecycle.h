/* segment/lifecycle.h - what the files of this floor share, and nobody else uses: plans, stamps, handles.
 *
 * Private memory only. `what` is how messages call the segment: its URL, or words for a descriptor. */
#ifndef TARN_SEGMENT_LIFECYCLE_H
#define TARN_SEGMENT_LIFECYCLE_H

#include "backing/backing.h"
#include "segment/segment.h"

/* How a process wants a segment attached. Private memory. */
struct attaching {
    bool readonly;
    bool foreign; /* of whatever owner */
    bool shared;  /* its open file description is somebody else's too */
    bool repair;  /* for tarn_repair: whatever its tenure, and alone */
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
/* It has attached: what its options ask for besides. */
int place_settle(const char *what, struct tarn *seg);
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

/* ---- open.c, for repair ---- */

int repair_open(const char *url, struct tarn **ret_seg); /* alone in it, and no participant lives; it is not in the list of handles */

/* How messages call it. */
const char *handle_name(const struct tarn *seg);

#endif

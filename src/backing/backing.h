/* backing/backing.h - what holds a segment's bytes: one table of functions for each scheme of a URL, one for each way of keeping bytes.
 *
 * A backing knows names and objects, and of what is in them only this: the first eight bytes are 0 until it is whole. Functions return 0 or a
 * negative errno; those of struct backing with tarn_error() set, but for -ENOENT of open and look, and -EEXIST and -EAGAIN of making, which
 * are for the caller to speak of; those of struct keeping leave all the speaking to the caller. */
#ifndef TARN_BACKING_BACKING_H
#define TARN_BACKING_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"

/* What the kernel knows of an object now. */
struct facts {
    uint64_t device, inode; /* which it is */
    uint64_t size;          /* bytes that may be mapped */
    uint32_t mode, uid, gid;
    uint32_t maker_uid; /* who has its owner's rights for ever: of shared memory its creator, whoever owns it now; else uid */
    uint32_t links; /* names; a memory file counts none, shared memory one until it is removed */
    bool bytes;     /* it has bytes to map: no directory, FIFO, device */
};

/* How bytes are kept: in a file (of any file system, or of none), or as System V shared memory. */
struct keeping {
    int (*facts)(const struct object *o, struct facts *ret);
    int64_t (*read)(const struct object *o, void *to, size_t size, uint64_t offset); /* as os_read_at */
    /* From offset (whole pages) on; System V maps all of it, and *ret_at is where offset is. As os_map. */
    int (*map)(const struct object *o, uint64_t offset, uint64_t size, const struct os_place *p, void **ret_at);
    void (*unmap)(void *at, uint64_t offset, uint64_t size);
    /* As os_commit. base: where byte 0 is mapped, writable */
    int (*commit)(const struct object *o, void *base, uint64_t offset, uint64_t size);
    int (*set_mode)(const struct object *o, uint32_t mode);
    int (*set_owner)(const struct object *o, uint32_t uid, uint32_t gid); /* UINT32_MAX: as it is */
    void (*close)(struct object *o);
};
extern const struct keeping descriptor_keeping, sysv_keeping;
struct stat;
struct facts descriptor_facts_of(const struct stat *st);

/* What is to be made. */
struct demand {
    uint64_t size; /* bytes it may become, whole pages */
    uint32_t mode;
    uint32_t sum;       /* of all that makers must agree on */
    bool copy_on_write; /* a file system that writes elsewhere will do */
    bool plain;         /* not a segment: bytes, for TARN_RAW */
    bool huge;          /* of huge pages that the machine keeps: asked only of who can */
};

/* An object that is being made. Private memory; nobody else sees it as a segment. */
struct making {
    struct object object;
    char temporary[32];    /* linked.c: its name until it is published; "": it has none */
    pthread_mutex_t *door; /* sysv.c: of the object, locked */
    bool fresh;            /* sysv.c: this process made the id, and nobody else can have begun in it */
};

struct backing {
    const char *name; /* the URL's scheme; up to 7 bytes: it stands in the header */
    bool named;       /* others can open it by its name. If not: open, look and unlink are NULL */
    bool durable;     /* it survives the machine: see segment/tenure.c */
    bool huge;        /* it can be made of huge pages that the machine keeps */
    const struct keeping *keeping;

    /* The URL that means the same from any working directory, to be freed. NULL: all do. -ENOMEM, -ENAMETOOLONG, -ENOENT */
    int (*whole)(const char *name, char **ret_url);
    int (*check)(const char *url, const char *name); /* is this a name? -EINVAL, -ENAMETOOLONG */
    int (*create)(const char *name, const struct demand *demand, struct making *ret);
    /* It is mapped at base; alone in it until publish or discard. NULL: nobody else can be in it. -EEXIST: somebody has made it meanwhile.
     * -EAGAIN: it is to be begun anew, for it was removed. */
    int (*enter)(const char *name, struct making *m, void *base, pthread_mutex_t *door);
    /* Commit point of files: from here on the name leads to it. (Of shared memory: the store of its first word, before.) -EEXIST: to another.
     * The object stays open either way. */
    int (*publish)(const char *name, struct making *m);
    void (*discard)(const char *name, struct making *m); /* of what was not published; closes the object */

    int (*open)(const char *name, bool readonly, struct object *ret);
    int (*open_plain)(const char *name, bool readonly, struct object *ret); /* whatever is in it; NULL: as open */
    int (*look)(const char *name, struct facts *ret);
    /* it: of shared memory, that one and no newer one; NULL: whichever has the name. -EAGAIN: it has lost it. */
    int (*unlink)(const char *name, const struct object *it);
    int (*flush)(const char *name); /* the name, too, survives from now on. NULL: nothing to do */
};

extern const struct backing file_backing, posix_backing, memfd_backing, anon_backing, sysv_backing,
    sysv_private_backing;

/* ---- sysv.c ---- */

extern uint32_t sysv_patience; /* ms for another maker, who may be stopped. Tests shorten it */

/* ---- file.c ---- */

/* May a segment be kept by the file system that fd is in? copies: one that writes elsewhere will do. 0, or -EOPNOTSUPP, with the reason. */
int file_judge(const char *what, int fd, bool copies);

/* ---- url.c ---- */

struct url {
    const struct backing *backing;
    const char *name; /* points into the URL */
};
/* -EINVAL, -ENAMETOOLONG, naming what is wrong. */
int url_parse(const char *url, struct url *ret_url);

#endif

/* transfer.h - raw bytes from an object or a stream to another, for dump, load and cp: in pieces of a MiB, holes left out.
 *
 * Where it goes is new, and appears under its name when it is whole (System V: with its mode, which is 0 until then), or it is a stream, or it is
 * overwritten in place. What fails, or is stopped by a signal, leaves nothing that is new. */
#ifndef TARN_TOOL_TRANSFER_H
#define TARN_TOOL_TRANSFER_H

#include "raw.h"

struct origin {
    const char *name; /* for complaints */
    int fd;           /* -1: in memory */
    const char *at;
    bool sized; /* it has a size, and can be read at any place; else a stream */
    uint64_t size;
    uint64_t start;       /* of a file: where it begins */
    unsigned char *there; /* in memory: a byte for each page, 0: a hole; NULL: not known */
    bool own_fd;          /* opened for it: source_end closes it */
};

struct sink {
    const char *name;
    enum sink_kind { SINK_FILE, SINK_STREAM, SINK_MEMORY } kind;
    bool fresh;    /* it was made for this: its name comes last, and zeros need not be written */
    bool skipping; /* a stream into the end of a file: zeros need not be written either */
    bool commit;   /* holes are set aside, too */
    bool replace;  /* of a new file: one of its name may be there */
    int fd, id;    /* id: System V's */
    char *at;      /* of SINK_MEMORY */
    uint32_t mode;
    int directory; /* of a new file: it is to come there, under this name; meanwhile it has none, or a temporary one */
    char entry[256], temporary[64];
};

void source_of(const struct raw *r, struct origin *ret); /* as long as r is open */
/* Of a descriptor: a file from where it stands, or a stream */
bool source_of_fd(const struct command *c, const char *name, int fd, struct origin *ret, int *ret_status);
void source_end(struct origin *s);

/* A new file at a path. replace: another of that name goes when this one is whole. */
bool sink_new_file(const struct command *c, const char *name, const char *path, uint32_t mode, bool replace,
                   struct sink *ret, int *ret_status);
/* New System V shared memory, of this size */
bool sink_new_sysv(const struct command *c, const char *url, uint64_t size, uint32_t mode, struct sink *ret,
                   int *ret_status);
/* An object, to be overwritten; it lives as long as the sink. */
void sink_of(const struct raw *r, struct sink *ret);
void sink_of_stream(const char *name, int fd, struct sink *ret);
/* whole: it has its name and its mode from now on; else, or if that fails (false, after a complaint), what is new is gone. */
bool sink_end(const struct command *c, struct sink *s, bool whole, int *ret_status);

/* Where load and cp put it: a new object, or, overwrite, one of the source's size. size: of the source, or what --size says; sized: it is known. */
struct target {
    const char *url;
    bool overwrite, commit, sized;
    uint64_t size;
    uint32_t mode;
    struct raw old; /* what is overwritten, if anything */
};
/* The value of --mode into t; DONE, or USAGE after a complaint. */
int target_mode(const struct command *c, const char *value, struct target *t);
bool target_open(const struct command *c, struct target *t, const struct raw *from, struct sink *ret,
                 int *ret_status);

/* All of it; then the sink is ended in any case: whole, or gone. The status, after a complaint. exactly: a stream must have so many bytes at most, and
 * what lacks is zeros (UINT64_MAX: as many as it has). */
int transfer(const struct command *c, struct origin *from, struct sink *to, uint64_t exactly);

/* cmd_dump.c: on stderr, if it is a segment of ours that somebody may be changing. */
void warn_of_taking(const struct command *c, const struct raw *r);

#endif

/* backing/backing.h - what holds a segment's bytes: one table of functions for each scheme of a URL.
 *
 * A backing knows names and files, and nothing of what is in them. Functions return 0 or a negative errno with tarn_error() set,
 * but for -ENOENT of open and look and -EEXIST of publish, which are for the caller to speak of. */
#ifndef TARN_BACKING_BACKING_H
#define TARN_BACKING_BACKING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* A file that is being made. Private memory; nobody else sees the file's name, if any, as a segment's. */
struct making {
    int fd;             /* open for reading and writing */
    char temporary[32]; /* its name until it is published; "": it has none */
};

struct backing {
    const char *name; /* the URL's scheme; up to 7 bytes: it stands in the header */
    bool named;       /* others can open it by its name. If not: open, look and unlink are NULL */

    int (*check)(const char *url, const char *name); /* is this a name? -EINVAL, -ENAMETOOLONG */
    int (*create)(const char *name, struct making *ret);
    /* Commit point: from here on the name leads to the file. -EEXIST: to another. The descriptor stays open either way. */
    int (*publish)(const char *name, struct making *m);
    void (*discard)(struct making *m); /* of what was not published; closes the descriptor */

    int (*open)(const char *name, bool readonly, int *ret_fd);
    int (*look)(const char *name, struct stat *ret);
    int (*unlink)(const char *name);

    int (*commit)(int fd, uint64_t offset, uint64_t size); /* as os_commit; says nothing to tarn_error */
};

extern const struct backing posix_backing, memfd_backing, anon_backing;

/* ---- url.c ---- */

struct url {
    const struct backing *backing;
    const char *name; /* points into the URL */
};
/* -EINVAL, -ENAMETOOLONG, naming what is wrong. */
int url_parse(const char *url, struct url *ret_url);

/* ---- posix.c: for tests ---- */

extern bool posix_without_tmpfile; /* as if the directory could not make files without a name */

#endif

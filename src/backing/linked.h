/* backing/linked.h - files that get their name when they are whole: between the files of this floor only. */
#ifndef TARN_BACKING_LINKED_H
#define TARN_BACKING_LINKED_H

#include <limits.h>

#include "backing/backing.h"

#define LINKED_TEMPORARY ".tarn-" /* begins the names of files that are being made where they must have one */

/* Where a name is: private memory. */
struct linked {
    const char *scheme;       /* for messages: "posix" */
    const char *url_name;     /* ... and the name as the URL has it */
    const char *entry;        /* the name in the directory */
    const char *no_directory; /* what to do if the directory is not there */
    int no_directory_error;   /* instead of -ENOENT */
    char directory[PATH_MAX];
};

int linked_create(const struct linked *at, struct making *ret);
int linked_publish(const struct linked *at, struct making *m);
void linked_discard(const struct linked *at, struct making *m);
int linked_open(const struct linked *at, bool readonly, struct object *ret);
int linked_look(const struct linked *at, struct facts *ret);
/* The name, too, is on the disk from now on. */
int linked_flush(const struct linked *at);
int linked_unlink(const struct linked *at);

/* For tests: as if the directory could not make files without a name. */
extern bool linked_without_tmpfile;

#endif

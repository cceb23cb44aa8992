/* mounts.h - file systems that are mounted, as /proc/self/mountinfo has them. */
#ifndef TARN_TOOL_MOUNTS_H
#define TARN_TOOL_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct mount {
    char *point;
    uint64_t device;
    bool is_tmpfs; /* and to be seen there: of several at one point the last is */
};

/* All of them, to be given to mounts_free; as many as there is memory for. */
struct mount *mounts_read(FILE *mountinfo, size_t *ret_count);
void mounts_free(struct mount *list, size_t count);

#endif

/* mounts.c - file systems that are mounted, see mounts.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "machine.h"
#include "mounts.h"

/* 36 35 98:0 /root /mount/point options... - type source options */
static bool parse_mount(char *line, struct mount *ret)
{
    unsigned major, minor;
    int end = 0;
    const char *type = strstr(line, " - ");
    if (!type || sscanf(line, "%*u %*u %u:%u %*s %n", &major, &minor, &end) != 2 || !end)
        return false;
    line[(size_t)end + strcspn(line + end, " ")] = 0;
    mount_unescape(line + end);
    *ret = (struct mount){line + end, makedev(major, minor), strncmp(type + 3, "tmpfs ", 6) == 0};
    return true;
}

struct mount *mounts_read(FILE *mountinfo, size_t *ret_count)
{
    struct mount *list = NULL, one;
    size_t count = 0, room = 0;
    char *line = NULL;
    while (getline(&line, &room, mountinfo) > 0) {
        struct mount *more = parse_mount(line, &one) ? realloc(list, (count + 1) * sizeof *list) : NULL;
        if (!more)
            continue;
        list = more;
        one.point = strdup(one.point);
        for (size_t k = 0; one.point && k < count; k++)
            if (strcmp(list[k].point, one.point) == 0)
                list[k].is_tmpfs = false;
        if (one.point)
            list[count++] = one;
    }
    free(line);
    *ret_count = count;
    return list;
}

void mounts_free(struct mount *list, size_t count)
{
    for (size_t k = 0; k < count; k++)
        free(list[k].point);
    free(list);
}

/* os/limits.c - what the process's limits and control groups would still give. See os.h.
 *
 * Control groups are looked for where systems mount them, /sys/fs/cgroup: version 2, and version 1's memory controller. A limit
 * that stands elsewhere is not seen. */
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

uint64_t os_process_limit(int resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/* One version's names for the same things. */
struct naming {
    const char *most, *now;           /* files of one number, or "max" */
    const char *cache[3];             /* lines of memory.stat: what the kernel could drop */
    const char *swap_most, *swap_now; /* or NULL: as much swap as the machine has */
};
static const struct naming version1 = {
    .most = "memory.limit_in_bytes",
    .now = "memory.usage_in_bytes",
    .cache = {"total_inactive_file ", "total_active_file ", NULL},
};
static const struct naming version2 = {
    .most = "memory.max",
    .now = "memory.current",
    .cache = {"inactive_file ", "active_file ", "slab_reclaimable "},
    .swap_most = "memory.swap.max",
    .swap_now = "memory.swap.current",
};

/* The file's number; "max" and a file that is not there are UINT64_MAX. */
static uint64_t number_in(const char *directory, const char *name)
{
    char path[1200], text[64] = "";
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return UINT64_MAX;
    if (!fgets(text, sizeof text, f))
        text[0] = 0;
    fclose(f);
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static uint64_t cache_in(const char *directory, const struct naming *n)
{
    char path[1200], line[256];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        for (int i = 0; i < 3 && n->cache[i]; i++)
            if (strncmp(line, n->cache[i], strlen(n->cache[i])) == 0)
                sum += strtoull(line + strlen(n->cache[i]), NULL, 10);
    fclose(f);
    return sum;
}

static uint64_t swap_in(const char *directory, const struct naming *n)
{
    struct sysinfo machine;
    uint64_t swap = sysinfo(&machine) == 0 ? (uint64_t)machine.freeswap * machine.mem_unit : 0;
    if (n->swap_most) {
        uint64_t most = number_in(directory, n->swap_most), now = number_in(directory, n->swap_now);
        if (most != UINT64_MAX && now != UINT64_MAX && swap > (most > now ? most - now : 0))
            swap = most > now ? most - now : 0;
    }
    return swap;
}

/* What could be dropped or swapped is asked for only where it matters: the kernel adds it up over all cpus. */
static uint64_t room_in(const char *directory, const struct naming *n, uint64_t enough)
{
    uint64_t most = number_in(directory, n->most), now = number_in(directory, n->now);
    if (most == UINT64_MAX || now == UINT64_MAX)
        return UINT64_MAX;
    uint64_t room = most > now ? most - now : 0;
    return room >= enough ? room : room + cache_in(directory, n) + swap_in(directory, n);
}

/* The least room of the group and those it is in. */
static uint64_t room_along(const char *mount, const char *group, const struct naming *n, uint64_t enough)
{
    char directory[1024];
    int length = snprintf(directory, sizeof directory, "%s%s", mount, group);
    uint64_t least = UINT64_MAX;
    if (length < 0 || (size_t)length >= sizeof directory)
        return UINT64_MAX;
    for (;;) {
        uint64_t room = room_in(directory, n, enough);
        least = room < least ? room : least;
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < strlen(mount))
            return least;
        *slash = 0;
    }
}

uint64_t os_cgroup_room(uint64_t enough)
{
    char line[1024];
    uint64_t least = UINT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return UINT64_MAX;
    while (fgets(line, sizeof line, f)) { /* number:controllers:/group */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        controllers++;
        uint64_t room = UINT64_MAX;
        if (!*controllers)
            room = room_along("/sys/fs/cgroup", group, &version2, enough);
        else if (strcmp(controllers, "memory") == 0)
            room = room_along("/sys/fs/cgroup/memory", group, &version1, enough);
        least = room < least ? room : least;
    }
    fclose(f);
    return least;
}

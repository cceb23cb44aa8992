/* tracer_memory.c - see tracer_memory.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"
#include "tracer_memory.h"

static const uint8_t trap = 0xcc;

static int open_memory(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    return open(path, O_RDWR | O_CLOEXEC);
}

struct space *space_new(pid_t pid)
{
    struct space *s = calloc(1, sizeof *s);
    if (s) {
        s->memory = open_memory(pid);
        s->tasks = 1;
    }
    return s;
}

struct space *space_copy(const struct space *from, pid_t pid)
{
    struct space *s = space_new(pid);
    if (!s)
        return NULL;
    s->library = from->library;
    s->library_end = from->library_end;
    memcpy(s->system, from->system, sizeof s->system);
    s->system_count = from->system_count;
    s->points = calloc(from->count + 1, sizeof *s->points);
    s->count = s->points ? from->count : 0;
    if (s->points)
        memcpy(s->points, from->points, s->count * sizeof *s->points);
    if (from->disarmed)
        space_disarm(s); /* a child made while its parent was being disarmed may have any of them */
    return s;
}

void space_leave(struct space *s)
{
    if (!s || --s->tasks)
        return;
    if (s->memory >= 0)
        close(s->memory);
    free(s->points);
    free(s);
}

bool space_write(const struct space *s, uint64_t at, const void *bytes, size_t size)
{
    return pwrite(s->memory, bytes, size, (off_t)at) == (ssize_t)size;
}

size_t space_read(const struct space *s, uint64_t at, void *bytes, size_t size)
{
    ssize_t n = pread(s->memory, bytes, size, (off_t)at);
    return n < 0 ? 0 : (size_t)n;
}

/* ---- breakpoints ---- */

const struct breakpoint *space_point(const struct space *s, uint64_t at)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->points[middle].at == at)
            return &s->points[middle];
        if (s->points[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void set(struct space *s, uint64_t at, const char *function)
{
    struct breakpoint b = {.at = at, .function = function};
    if (space_point(s, at) || space_read(s, at, &b.was, 1) != 1)
        return;
    struct breakpoint *more = realloc(s->points, (s->count + 1) * sizeof *more);
    if (!more)
        return;
    s->points = more;
    size_t k = s->count;
    for (; k > 0 && more[k - 1].at > at; k--)
        more[k] = more[k - 1];
    more[k] = b;
    s->count++;
    s->refused |= !space_write(s, at, &trap, 1);
}

static void note_system(struct space *s, const struct module *m, const struct mapped *code)
{
    bool is = strncmp(m->name, "libc.so", 7) == 0 || strncmp(m->name, "ld-", 3) == 0;
    for (size_t k = 0; k < s->system_count; k++)
        is &= s->system[k].start != code->start;
    if (is && s->system_count < sizeof s->system / sizeof *s->system)
        s->system[s->system_count++] = (struct range){code->start, code->end};
}

bool space_is_system(const struct space *s, uint64_t at)
{
    for (size_t k = 0; k < s->system_count; k++)
        if (at >= s->system[k].start && at < s->system[k].end)
            return true;
    return false;
}

static void arm_module(struct space *s, const struct module *m, uint64_t base)
{
    for (size_t k = 0; k < m->calls_count; k++)
        set(s, base + m->calls[k].value, m->calls[k].name);
    if (m->loader_break)
        set(s, base + m->loader_break, NULL);
}

bool space_arm(struct space *s, pid_t pid)
{
    static struct mapped line, first;
    char path[64];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    first.path[0] = 0;
    while (maps && mapped_next(maps, &line)) {
        if (line.path[0] != '/')
            continue;
        if (strcmp(line.path, first.path) != 0)
            first = line;
        const struct module *m = line.execute ? module_of(pid, &first) : NULL;
        if (!m)
            continue;
        note_system(s, m, &line);
        found |= m->calls_count > 0;
        if (m->shared) {
            s->library = line.start;
            s->library_end = line.end;
        }
        arm_module(s, m, first.start);
    }
    if (maps)
        fclose(maps);
    return found;
}

void space_disarm(struct space *s)
{
    s->disarmed = true;
    for (size_t k = 0; k < s->count; k++)
        space_write(s, s->points[k].at, &s->points[k].was, 1);
}

/* ---- what is mapped ---- */

size_t shared_parts(pid_t pid, struct range *parts, size_t most)
{
    static struct mapped line;
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    while (maps && mapped_next(maps, &line)) {
        if (!line.shared || !line.write)
            continue;
        if (count && parts[count - 1].end == line.start)
            parts[count - 1].end = line.end;
        else if (count < most)
            parts[count++] = (struct range){line.start, line.end};
    }
    if (maps)
        fclose(maps);
    return count;
}

char *maps_text(pid_t pid)
{
    char path[64], *text = NULL;
    size_t size = 0, length = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    ssize_t n = maps ? getdelim(&text, &size, 0, maps) : -1;
    length = n > 0 ? (size_t)n : 0;
    if (maps)
        fclose(maps);
    if (!length) {
        free(text);
        return NULL;
    }
    return text;
}

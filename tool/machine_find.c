/* machine_find.c - from what somebody typed to objects of a look. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "inventory.h"

struct found {
    const struct machine *m;
    uint32_t *index;
    size_t count, room;
    bool exists, failed;
};

static void add(struct found *f, size_t index)
{
    if (f->count == f->room) {
        size_t room = f->room ? f->room * 2 : 8;
        uint32_t *more = realloc(f->index, room * sizeof *more);
        if (!more) {
            f->failed = true;
            return;
        }
        f->index = more;
        f->room = room;
    }
    f->index[f->count++] = (uint32_t)index;
    f->exists = true;
}

static void add_identity(struct found *f, enum object_kind kind, uint64_t device, uint64_t inode)
{
    for (size_t k = 0; k < f->m->objects_count; k++) {
        const struct object *o = &f->m->objects[k];
        if (o->inode == inode && o->device == device && (o->kind == OBJECT_SYSV) == (kind == OBJECT_SYSV))
            add(f, k);
    }
}

static void add_names(struct found *f, const char *text, size_t size)
{
    for (size_t k = 0; k < f->m->objects_count; k++) {
        const char *name = f->m->objects[k].name;
        if (strncmp(name, text, size) == 0 && !name[size])
            add(f, k);
    }
}

static bool parse(const char *text, int base, uint64_t most, char end, uint64_t *ret, const char **ret_rest)
{
    char *at;
    errno = 0;
    unsigned long long n = strtoull(text, &at, base);
    if (text[0] < '0' || at == text || errno || n > most || (*at && *at != end))
        return false;
    *ret = n;
    *ret_rest = at;
    return true;
}

static void find_key(struct found *f, const char *text)
{
    const char *rest;
    uint64_t key;
    if (!parse(text, 0, UINT32_MAX, 0, &key, &rest) || !key)
        return;
    for (size_t k = 0; k < f->m->objects_count; k++) {
        const struct object *o = &f->m->objects[k];
        if (o->kind == OBJECT_SYSV && o->key == key && !o->elsewhere)
            add(f, k);
    }
}

/* shmid:7, shmid:7@4711 */
static void find_id(struct found *f, const char *text)
{
    const char *rest;
    uint64_t id, pid = 0;
    if (!parse(text, 10, INT32_MAX, '@', &id, &rest) || (*rest && !parse(rest + 1, 10, UINT32_MAX, 0, &pid, &rest)))
        return;
    const struct process *p = pid ? machine_process(f->m, (uint32_t)pid) : NULL;
    uint64_t ipc = p && p->ipc ? p->ipc : f->m->inventory->own_ipc;
    if (!pid || p)
        add_identity(f, OBJECT_SYSV, ipc, id);
}

/* 00:1c:4711 */
static void find_inode(struct found *f, const char *text)
{
    unsigned major, minor;
    unsigned long long inode;
    int end = 0;
    if (sscanf(text, "%x:%x:%llu%n", &major, &minor, &inode, &end) == 3 && end && !text[end])
        add_identity(f, OBJECT_FILE, makedev(major, minor), inode);
}

/* On some file systems the device that mappings have is another than stat's: then the path has to do. */
static void find_file(struct found *f, int directory, const char *path)
{
    struct statx x;
    if (!file_stat(directory, path, true, &x))
        return;
    f->exists = true;
    add_identity(f, OBJECT_FILE, file_device(&x), x.stx_ino);
    char *real = f->count ? NULL : realpath(path, NULL);
    for (size_t k = 0; real && k < f->m->objects_count; k++) {
        const struct object *o = &f->m->objects[k];
        if (o->kind == OBJECT_FILE && !o->elsewhere && !o->deleted && o->inode == x.stx_ino &&
            strcmp(o->name + 5, real) == 0)
            add(f, k);
    }
    free(real);
}

static void find(struct found *f, const char *text, size_t size)
{
    char path[64];
    const char *rest;
    uint64_t number;
    if (strncmp(text, "sysv:", 5) == 0)
        find_key(f, text + 5);
    else if (strncmp(text, "shmid:", 6) == 0)
        find_id(f, text + 6);
    else if (strncmp(text, "fd:", 3) == 0 && parse(text + 3, 10, INT32_MAX, 0, &number, &rest)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", (int)number);
        find_file(f, AT_FDCWD, path);
    } else {
        add_names(f, text, size);
        if (f->count)
            return;
        find_inode(f, text);
        if (text[0] == '/' || strncmp(text, "file:", 5) == 0)
            find_file(f, AT_FDCWD, text[0] == '/' ? text : text + 5);
    }
}

bool machine_find(const struct machine *m, const char *text, uint32_t **ret_index, size_t *ret_count, bool *ret_exists)
{
    static const char deleted[] = " (deleted)";
    struct found f = {.m = m};
    size_t n = strlen(text), k = sizeof deleted - 1;
    find(&f, text, n);
    if (!f.count && n > k && strcmp(text + n - k, deleted) == 0)
        add_names(&f, text, n - k);
    if (f.failed) {
        free(f.index);
        return false;
    }
    *ret_index = f.index;
    *ret_count = f.count;
    *ret_exists = f.exists;
    return true;
}

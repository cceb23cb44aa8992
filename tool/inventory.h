/* inventory.h - what the files that make a look (machine.h) share among themselves.
 *
 * Memory that cannot be had sets `failed`, once; what is added after that is dropped, and machine_look fails as a whole. */
#ifndef TARN_INVENTORY_H
#define TARN_INVENTORY_H

#include <sys/stat.h>

#include "machine.h"

/* A file system, or the kernel's own ones that nobody mounts, by its device number. */
struct place {
    enum place_kind {
        PLACE_OTHER, /* a disk, or unknown */
        PLACE_TMPFS, /* allocated blocks are memory */
        PLACE_SHM, /* a tmpfs (or what TARN_SHM_DIR names) whose files straight in `path` are POSIX objects */
        PLACE_HUGE, /* hugetlbfs */
        PLACE_MEMORY, /* the kernel's: memfds, System V, shared anonymous memory; MEMORY_HUGE: the same in huge pages */
        PLACE_MEMORY_HUGE
    } kind;
    uint64_t device;
    const char *path;   /* SHM: its directory, as processes of its namespace see it, without links */
    uint32_t elsewhere; /* as object.elsewhere */
};

struct inventory {
    struct machine *m;
    unsigned what;
    bool failed;
    struct chunk *chunks; /* strings */
    uint32_t *slots;      /* hash of objects: index + 1 */
    size_t slots_count, objects_room, uses_room, processes_room;
    struct place *places;
    size_t places_count, places_room;
    uint64_t *mounts, *ipcs; /* namespaces that were seen, other than ours */
    size_t mounts_count, mounts_room, ipcs_count, ipcs_room;
    uint64_t own_mount, own_ipc;
    struct user *users;
    size_t users_count, users_room;
    struct lately { /* processes that were asked for by number */
        uint32_t pid;
        bool read, lives;
        int64_t since;
        char command[64];
    } lately[64];
};

/* ---- machine.c ---- */

/* Room for one more in an array that doubles; NULL, and failed: no memory. It is zeroed. */
void *add_one(struct inventory *i, void **array, size_t *count, size_t *room, size_t size);
/* A string that lives as long as the look; "" if there is no memory. */
const char *keep(struct inventory *i, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The object of this identity; a new one, zeroed but for kind and identity, has *ret_new. NULL: no memory. Other pointers to objects are void then. */
struct object *find_object(struct inventory *i, enum object_kind kind, uint64_t device, uint64_t inode,
                           bool *ret_new);
struct use *add_use(struct inventory *i, const struct object *o);
const struct place *place_of(const struct inventory *i, uint64_t device);
const struct place *add_place(struct inventory *i, enum place_kind kind, uint64_t device, const char *path,
                              uint32_t elsewhere);
/* Is the number in the list? Else it is now. */
bool seen_before(struct inventory *i, uint64_t **list, size_t *count, size_t *room, uint64_t number);
/* The inode of a namespace that a link of /proc tells ("ipc:[4026531839]"); 0: not to be read */
uint64_t namespace_inode(int directory, const char *link);

/* Lines of a file of /proc, which has no end that it knows. */
struct lines {
    int fd;
    size_t at, end;
    bool over;
    char buffer[32768];
};
void lines_begin(struct lines *l, int fd);
char *next_line(struct lines *l); /* without its newline; NULL: the end */

/* ---- machine_sysv.c ---- */
void look_at_sysv(struct inventory *i);
/* Another IPC namespace, of process pid, whose directory in /proc is given. */
void look_at_sysv_elsewhere(struct inventory *i, uint64_t ipc, uint32_t pid, int process);
void name_sysv(struct inventory *i, struct object *o);

/* ---- machine_file.c ---- */
void look_at_files(struct inventory *i);
/* The /dev/shm of another mount namespace, unless it is one that is known. */
void look_at_files_elsewhere(struct inventory *i, uint32_t pid, int process);
/* What the kernel tells of a file: at a path relative to directory. */
bool file_stat(int directory, const char *path, bool follow, struct statx *ret);
uint64_t file_device(const struct statx *x);
void fill_object(struct inventory *i, struct object *o, const struct statx *x, int directory, const char *path);
const struct place *learn_place(struct inventory *i, uint64_t device, int directory, const char *path);

/* ---- machine_process.c ---- */
void look_at_processes(struct inventory *i);

/* ---- signature.c ---- */
void find_makers(struct inventory *i);

#endif

/* signature.c - what made an object: told by its name, by its first bytes, or by who maps it, in this order.
 *
 * A label for people, no proof: anybody may choose a name, write bytes and call himself postgres. The bytes are read where reading changes nothing:
 * of a file without a new time of access (O_NOATIME: the owner and root may), else from the memory of a process that maps them, if they are resident
 * there (pagemap). So nothing is mapped, no page is made, and no handler of page faults is asked. (look_by_attaching is the exception, for who wants it.) */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <unistd.h>

#include "inventory.h"

const char *maker_name(enum maker maker)
{
    static const char *const name[MAKERS] = {
        [MADE_TARN] = "tarn",
        [MADE_PYTHON] = "Python",
        [MADE_SEMAPHORE] = "sem_open",
        [MADE_POSTGRESQL] = "PostgreSQL",
        [MADE_NCCL] = "NCCL",
        [MADE_FASTDDS] = "Fast-DDS",
        [MADE_ICEORYX] = "iceoryx",
        [MADE_ICEORYX2] = "iceoryx2",
        [MADE_CHROMIUM] = "Chromium",
        [MADE_FIREFOX] = "Firefox",
        [MADE_X11] = "X11",
        [MADE_PULSEAUDIO] = "PulseAudio",
        [MADE_PIPEWIRE] = "PipeWire",
        [MADE_WAYLAND] = "Wayland",
        [MADE_BOOST] = "Boost",
        [MADE_PYTORCH] = "PyTorch",
        [MADE_JOBLIB] = "joblib",
        [MADE_OPENMPI] = "OpenMPI",
        [MADE_MPICH] = "MPICH",
        [MADE_UCX] = "UCX",
        [MADE_QT] = "Qt",
        [MADE_JAVA] = "Java",
        [MADE_JOURNALD] = "journald",
        [MADE_SQLITE] = "SQLite",
        [MADE_LTTNG] = "LTTng",
        [MADE_PODMAN] = "Podman",
    };
    return name[maker];
}

/* ---- names ---- */

/* How a name goes on behind its beginning */
enum rest { ANYTHING, HEX_8, DIGITS };

struct name {
    const char *begins;
    enum rest rest;
    enum maker maker;
};

/* Of files in /dev/shm, without their directory. Longer beginnings stand before shorter ones. */
static const struct name posix_names[] = {
    {"psm_", HEX_8, MADE_PYTHON},
    {"pym-", ANYTHING, MADE_PYTHON},
    {"sem.mp-", ANYTHING, MADE_PYTHON},
    {"sem.loky-", ANYTHING, MADE_JOBLIB},
    {"sem.fastrtps_", ANYTHING, MADE_FASTDDS},
    {"sem.fastdds_", ANYTHING, MADE_FASTDDS},
    {"fastrtps_", ANYTHING, MADE_FASTDDS},
    {"fastdds_", ANYTHING, MADE_FASTDDS},
    {"PostgreSQL.", DIGITS, MADE_POSTGRESQL},
    {"nccl-", ANYTHING, MADE_NCCL},
    {"iceoryx_", ANYTHING, MADE_ICEORYX},
    {"iox2_", ANYTHING, MADE_ICEORYX2},
    {"iox1_", ANYTHING, MADE_ICEORYX},
    {".org.chromium.", ANYTHING, MADE_CHROMIUM},
    {".com.google.Chrome.", ANYTHING, MADE_CHROMIUM},
    {"org.chromium.", ANYTHING, MADE_CHROMIUM},
    {"org.mozilla.ipc.", ANYTHING, MADE_FIREFOX},
    {"wayland.mozilla.ipc.", DIGITS, MADE_FIREFOX},
    {"shmfd-", ANYTHING, MADE_X11},
    {"pulse-shm-", DIGITS, MADE_PULSEAUDIO},
    {"torch_", ANYTHING, MADE_PYTORCH},
    {"joblib_memmapping_folder_", ANYTHING, MADE_JOBLIB},
    {"vader_segment.", ANYTHING, MADE_OPENMPI},
    {"sm_segment.", ANYTHING, MADE_OPENMPI},
    {"mpich_shar_tmp", ANYTHING, MADE_MPICH},
    {"ucx_shm_posix_", ANYTHING, MADE_UCX},
    {"qipc_", ANYTHING, MADE_QT},
    {"lttng-ust-wait-", ANYTHING, MADE_LTTNG},
    {"libpod_", ANYTHING, MADE_PODMAN},
    {"sem.", ANYTHING, MADE_SEMAPHORE},
};

static const struct name memfd_names[] = {
    {"pulseaudio", ANYTHING, MADE_PULSEAUDIO},
    {"pipewire-", ANYTHING, MADE_PIPEWIRE},
    {"wayland-", ANYTHING, MADE_WAYLAND},
    {"weston-", ANYTHING, MADE_WAYLAND},
    {"gdk-wayland", ANYTHING, MADE_WAYLAND},
    {"mutter-", ANYTHING, MADE_WAYLAND},
    {"xshmfence", ANYTHING, MADE_X11},
    {"mozilla-ipc", ANYTHING, MADE_FIREFOX},
    {"shared-memory-region", ANYTHING, MADE_CHROMIUM},
};

static bool goes_on(const char *rest, enum rest how)
{
    size_t n = 0;
    switch (how) {
    case HEX_8:
        while (isxdigit((unsigned char)rest[n]))
            n++;
        return n == 8 && !rest[n];
    case DIGITS:
        while (isdigit((unsigned char)rest[n]))
            n++;
        return n && !rest[n];
    default: return true;
    }
}

static enum maker by_list(const char *text, const struct name *list, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        size_t n = strlen(list[k].begins);
        if (strncmp(text, list[k].begins, n) == 0 && goes_on(text + n, list[k].rest))
            return list[k].maker;
    }
    return MADE_UNKNOWN;
}
#define BY_LIST(text, list) by_list((text), (list), sizeof(list) / sizeof *(list))

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), k = strlen(with);
    return n >= k && strcmp(text + n - k, with) == 0;
}

static enum maker by_path(const char *name)
{
    const char *below = strncmp(name, "file:/dev/shm/", 14) == 0 ? name + 14 : NULL;
    enum maker maker = below ? BY_LIST(below, posix_names) : MADE_UNKNOWN;
    if (maker)
        return maker;
    return strstr(name, "/hsperfdata_")         ? MADE_JAVA
           : strstr(name, "/log/journal/")      ? MADE_JOURNALD
           : strstr(name, "/pg_dynshmem/mmap.") ? MADE_POSTGRESQL
           : ends(name, "-shm")                 ? MADE_SQLITE
                                                : MADE_UNKNOWN;
}

static enum maker by_name(const struct object *o)
{
    switch (o->kind) {
    case OBJECT_POSIX: return BY_LIST(strrchr(o->name, '/') + 1, posix_names);
    case OBJECT_MEMFD: return BY_LIST(o->name + 6, memfd_names);
    case OBJECT_FILE: return by_path(o->name);
    default: return MADE_UNKNOWN;
    }
}

/* ---- bytes ---- */

enum { LOOKED_AT = 128, SMALLEST = 56 };

/* The page of a process's address is there, so that reading it faults nobody. */
static bool is_resident(uint32_t pid, uint64_t address)
{
    char path[32];
    uint64_t entry = 0;
    snprintf(path, sizeof path, "/proc/%u/pagemap", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = pread(fd, &entry, sizeof entry, (off_t)(address / (uint64_t)sysconf(_SC_PAGESIZE) * 8));
    close(fd);
    return n == sizeof entry && entry >> 63;
}

static ssize_t read_file(const char *path, void *to, bool follow)
{
    int fd = open(path, O_RDONLY | O_NOATIME | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return -1;
    ssize_t n = pread(fd, to, LOOKED_AT, 0);
    close(fd);
    return n;
}

static ssize_t read_use(const struct machine *m, const struct use *u, void *to)
{
    uint32_t pid = m->processes[u->process].pid;
    if (u->fd >= 0) {
        char path[48];
        snprintf(path, sizeof path, "/proc/%u/fd/%d", pid, u->fd);
        return read_file(path, to, true);
    }
    if (u->offset != 0 || !u->read || !is_resident(pid, u->start))
        return -1;
    struct iovec here = {to, LOOKED_AT}, there = {(void *)(uintptr_t)u->start, LOOKED_AT};
    return process_vm_readv((pid_t)pid, &here, 1, &there, 1, 0);
}

static ssize_t first_bytes(const struct machine *m, const struct object *o, void *to)
{
    ssize_t n = -1;
    if (o->path)
        n = read_file(o->path, to, false);
    for (size_t k = 0; n < 0 && k < o->uses && k < 4; k++)
        n = read_use(m, &m->uses[o->first_use + k], to);
    return n;
}

bool is_tarn(const void *first)
{
    return memcmp(first, "\x1a\x0atarn\x0d\x0a", 8) == 0;
}

/* Boost's managed memory of its default algorithm, 64 bits: a word that says it is made (2), and at 104 the bytes behind these 16. PostgreSQL's header has
 * its magic number, the postmaster's pid, and a size: of all its memory. */
static enum maker by_bytes(const struct object *o, const unsigned char b[static LOOKED_AT])
{
    uint64_t words[14];
    uint32_t magic;
    memcpy(words, b, sizeof words);
    memcpy(&magic, b, sizeof magic);
    if (is_tarn(b))
        return MADE_TARN;
    if (magic == 679834894 && words[0] >> 32 && words[1])
        return MADE_POSTGRESQL;
    if (words[0] == 2 && words[1] == 0 && words[13] == o->size - 16)
        return MADE_BOOST;
    return MADE_UNKNOWN;
}

static enum maker by_first_bytes(const struct object *o, unsigned char b[static LOOKED_AT], ssize_t n)
{
    if (n > 0 && n < LOOKED_AT)
        memset(b + n, 0, LOOKED_AT - (size_t)n);
    return n > 0 ? by_bytes(o, b) : MADE_UNKNOWN;
}

static enum maker look_inside(const struct machine *m, const struct object *o)
{
    unsigned char b[LOOKED_AT];
    if (o->size < SMALLEST || (o->kind == OBJECT_FILE && !o->writable) || o->resident == 0)
        return MADE_UNKNOWN;
    return by_first_bytes(o, b, first_bytes(m, o, b));
}

enum maker look_by_attaching(const struct object *o)
{
    unsigned char b[LOOKED_AT], resident;
    if (o->kind != OBJECT_SYSV || o->elsewhere || o->size < SMALLEST)
        return MADE_UNKNOWN;
    void *at = shmat((int)o->inode, NULL, SHM_RDONLY);
    if (at == (void *)-1)
        return MADE_UNKNOWN;
    size_t there = o->size < LOOKED_AT ? o->size : LOOKED_AT;
    bool safe = mincore(at, 1, &resident) == 0 &&
                resident & 1; /* else reading would make a page, or find no room for it */
    if (safe)
        memcpy(b, at, there);
    shmdt(at);
    return safe ? by_first_bytes(o, b, (ssize_t)there) : MADE_UNKNOWN;
}

/* ---- users ---- */

static enum maker by_command(const char *command)
{
    static const char *const servers[] = {"Xorg",  "Xvfb", "Xwayland",  "Xephyr",
                                          "Xnest", "Xvnc", "Xtigervnc", "X"};
    if (strcmp(command, "postgres") == 0)
        return MADE_POSTGRESQL;
    for (size_t k = 0; k < sizeof servers / sizeof *servers; k++)
        if (strcmp(command, servers[k]) == 0)
            return MADE_X11;
    return MADE_UNKNOWN;
}

/* System V and shared anonymous memory have no names of their own. */
static enum maker by_user(struct machine *m, const struct object *o)
{
    enum maker maker = MADE_UNKNOWN;
    if (o->kind != OBJECT_SYSV && o->kind != OBJECT_ANON)
        return MADE_UNKNOWN;
    for (size_t k = 0; !maker && k < o->uses; k++)
        maker = by_command(process_command(m, &m->processes[m->uses[o->first_use + k].process]));
    return maker;
}

/* PostgreSQL leaves such an id when it is killed. */
static enum maker by_shape(struct machine *m, const struct object *o)
{
    const char *owner = o->kind == OBJECT_SYSV && o->size == 56 && o->mode == 0600 ? machine_user(m, o->uid) : NULL;
    return owner && strcmp(owner, "postgres") == 0 ? MADE_POSTGRESQL : MADE_UNKNOWN;
}

static void find_maker(struct inventory *i, struct object *o)
{
    o->maker = by_name(o);
    o->evidence = BY_NAME;
    if (!o->maker && i->what & LOOK_INSIDE) {
        o->maker = look_inside(i->m, o);
        o->evidence = BY_BYTES;
    }
    if (!o->maker) {
        o->maker = by_user(i->m, o);
        o->evidence = BY_USER;
    }
    if (!o->maker) {
        o->maker = by_shape(i->m, o);
        o->evidence = o->maker ? BY_SHAPE : BY_NOTHING;
    }
}

void find_makers(struct inventory *i)
{
    for (size_t k = 0; k < i->m->objects_count; k++)
        find_maker(i, &i->m->objects[k]);
}

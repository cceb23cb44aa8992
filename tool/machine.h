/* machine.h - all shared memory of this machine, whoever made it, as one look at the kernel's tables finds it.
 *
 * A look (machine_look) is a snapshot in private memory. Nothing is attached, mapped or locked for it, and no time of last use is changed. What
 * vanishes meanwhile is left out; what the caller has no right to see is counted (`unread`), never guessed. In order:
 *     machine.c           the tables themselves; machine_look
 *     machine_sysv.c      System V ids, of other IPC namespaces too
 *     machine_file.c      files of /dev/shm and of hugetlbfs, of other mount namespaces too; what a file is (statx)
 *     machine_process.c   who maps and who has open what: /proc/PID/maps (smaps), /proc/PID/fd
 *     machine_find.c      from a URL, a name or a path to objects
 *     signature.c         what made an object
 * Names are other people's bytes: print them through listing.h, which makes them harmless. */
#ifndef TARN_MACHINE_H
#define TARN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum object_kind {
    OBJECT_SYSV,  /* a System V id */
    OBJECT_POSIX, /* a file straight in /dev/shm (or TARN_SHM_DIR), ours or another mount namespace's */
    OBJECT_MEMFD, /* known by who maps it or has it open */
    OBJECT_FILE,  /* another file: below /dev/shm, or mapped shared by somebody */
    OBJECT_HUGE,  /* a file of hugetlbfs */
    OBJECT_ANON,  /* mapped shared without a file, for children by fork; known by who maps it */
    OBJECT_KINDS
};
const char *kind_name(enum object_kind kind); /* "sysv", ... */

/* signature.c: what made it. Names are in its table. */
enum maker {
    MADE_UNKNOWN,
    MADE_TARN,
    MADE_PYTHON,    /* multiprocessing.shared_memory, multiprocessing's heap and locks */
    MADE_SEMAPHORE, /* a named semaphore of the C library: sem_open */
    MADE_POSTGRESQL,
    MADE_NCCL,
    MADE_FASTDDS,
    MADE_ICEORYX,
    MADE_ICEORYX2,
    MADE_CHROMIUM,
    MADE_FIREFOX,
    MADE_X11,
    MADE_PULSEAUDIO,
    MADE_PIPEWIRE,
    MADE_WAYLAND,
    MADE_BOOST,
    MADE_PYTORCH,
    MADE_JOBLIB,
    MADE_OPENMPI,
    MADE_MPICH,
    MADE_UCX,
    MADE_QT,
    MADE_JAVA,
    MADE_JOURNALD,
    MADE_SQLITE,
    MADE_LTTNG,
    MADE_PODMAN,
    MAKERS
};
const char *maker_name(enum maker maker); /* "PostgreSQL", ...; MADE_UNKNOWN: NULL */
bool is_tarn(const void *first);          /* by its first 8 bytes */
const char *posix_directory(void);        /* of POSIX objects; for tests another than /dev/shm */
void mount_unescape(char *text);          /* of /proc/PID/mountinfo: \040 and the like, in place */

/* What tells the maker: all but the bytes can be had by anybody, and so can those. A label, no proof. */
enum evidence {
    BY_NOTHING,
    BY_NAME,
    BY_BYTES,
    BY_USER,
    BY_SHAPE
}; /* USER: who maps it; SHAPE: size, mode, owner */

#define UNKNOWN UINT64_MAX /* of a number: not to be known, or only by a dearer look */

/* Memory that processes can share. Strings belong to the look. */
struct object {
    enum object_kind kind;
    enum maker maker;
    enum evidence evidence;
    const char *name; /* posix:/x, sysv:0x162e, shmid:7, memfd:label, file:/path, anon:INODE; elsewhere: /proc/PID/root/..., shmid:7@PID */
    const char *path; /* by which this process reaches the file, as long as its mount is as it was; NULL: there is none */
    uint64_t device, inode; /* who it is. sysv: the inode of its IPC namespace, and its id */
    uint32_t key;           /* sysv; 0: private, or removed while attached */
    uint32_t elsewhere; /* 0, or a process in the IPC or mount namespace that it belongs to, which is not ours */
    uint32_t mode, uid, gid; /* permission bits, owner */
    uint32_t creator_uid;    /* sysv; else as uid */
    uint32_t creator,
        last; /* sysv: processes that made it, and did shmat or shmdt last; 0: none, or unseen from here. UNKNOWN32: not told */
    uint32_t page_size;
    uint64_t size;              /* bytes */
    uint64_t resident, swapped; /* bytes, or UNKNOWN: resident where there is a machine-wide count, see below */
    uint64_t huge; /* bytes in huge pages, or UNKNOWN: of tmpfs, LOOK_SMAPS tells what is mapped by huge entries */
    uint64_t attaches;  /* sysv: the kernel's count, of other namespaces too; else UNKNOWN */
    int64_t created;    /* seconds since 1970; 0: not told. sysv: or its last IPC_SET */
    int64_t used;       /* last shmat or shmdt; of a file the latest of its times. 0: never, or not told */
    bool deleted;       /* its name is gone; sysv: removed, and ends with its last shmdt */
    bool locked;        /* sysv: SHM_LOCK */
    bool device_file;   /* a device that is mapped, or what the kernel shares with a process: not listed */
    bool known;         /* size, mode and owner are told; else size is what is mapped of it */
    bool shared;        /* somebody maps it shared, or it is shared memory by its kind */
    bool writable;      /* somebody maps it shared and writable, or it is shared memory by its kind */
    uint32_t processes; /* that map it or have it open, as far as could be read */
    uint32_t mappers;   /* those of them that map it */
    size_t first_use,
        uses; /* machine.uses[first_use ... first_use + uses - 1], in the order of processes, then of addresses */
};
#define UNKNOWN32 UINT32_MAX

/* A mapping of an object, or a descriptor. */
struct use {
    uint32_t object, process;    /* indices */
    uint64_t start, end, offset; /* of a mapping; a descriptor: 0 */
    int fd;                      /* -1: a mapping */
    bool read, write, execute, shared;
    uint64_t resident, huge; /* bytes, of a mapping, by LOOK_SMAPS; else UNKNOWN */
};

struct process {
    uint32_t pid;                /* as we see it */
    bool unread;                 /* its mappings could not be read: no permission */
    uint64_t ipc, mount, pid_ns; /* inodes of its namespaces; 0: not told, or not asked */
    const char *command;         /* process_command */
};

/* What is looked at. Only what is asked for costs. */
enum look {
    LOOK_SYSV = 1,
    LOOK_FILES = 2,       /* /dev/shm, with directories in it, and hugetlbfs */
    LOOK_MAPS = 4,        /* shared mappings of files, and any mapping of what is shared memory by its kind */
    LOOK_DESCRIPTORS = 8, /* what is shared memory by its kind */
    LOOK_ELSEWHERE = 16, /* of all this also what is in other IPC and mount namespaces of processes that we see */
    LOOK_INSIDE = 32, /* the first bytes of what no name tells the maker of, where that changes no time and maps nothing */
    LOOK_SMAPS = 64,    /* with MAPS: resident and huge of each mapping. Dear: the kernel walks page tables */
    LOOK_PRIVATE = 128, /* with MAPS: also files that are mapped private only (programs, libraries) */
    LOOK_ALL = 63
};

struct machine {
    struct object *objects; /* System V ids in their order, then files, then what processes told */
    struct use *uses;
    struct process *processes; /* by pid; kernel threads are left out */
    size_t objects_count, uses_count, processes_count;
    size_t unread; /* processes whose mappings or descriptors could not be read, though they were asked for */
    size_t unread_namespaces;    /* other IPC namespaces whose ids could not be listed */
    bool hidden;                 /* this /proc does not show others' processes at all (hidepid) */
    int64_t now;                 /* seconds since 1970, at the beginning */
    bool swapping;               /* something is swapped out, so that `swapped` is looked for */
    struct inventory *inventory; /* machine.c's own */
};

/* A look: of enum look. NULL: no memory, or no /proc; errno tells. */
struct machine *machine_look(unsigned what);
void machine_free(struct machine *m); /* NULL is nothing */

/* Objects that a text designates: a URL or name as above, with or without " (deleted)"; sysv:KEY in any base; a path, /proc/PID/fd/N, fd:N; device and inode as
 * MAJOR:MINOR:INODE (hexadecimal, hexadecimal, decimal, as /proc/PID/maps has them). Several: those of one name. Their indices, in a new array; 0 with *ret_exists: the
 * thing is there, but nobody was seen to use it. false: no memory. */
bool machine_find(const struct machine *m, const char *text, uint32_t **ret_index, size_t *ret_count,
                  bool *ret_exists);

/* What the first bytes of a System V id tell that nobody maps. It is attached for that, to be read: this changes its times, and others count an attach
 * meanwhile. MADE_UNKNOWN: nothing, or no permission. */
enum maker look_by_attaching(const struct object *o);

/* Who it is: "7" of System V, else device and inode as above. Returns `to`. */
const char *object_id(const struct object *o, char to[static 48]);

/* By pid; NULL: none such. */
struct process *machine_process(const struct machine *m, uint32_t pid);
/* Its name (comm), read at the first call; "" if it is gone. Hostile bytes. */
const char *process_command(struct machine *m, struct process *p);

/* What is read anew of a process that is seen: user id of its threads (effective), and its pid in each of its PID namespaces, the innermost last. false: it is gone. */
struct identity {
    uint32_t uid;
    uint32_t pids[8], count;
};
bool process_identity(uint32_t pid, struct identity *ret);
/* state: as in /proc/PID/stat ('T', 't': stopped), since: when it was started, in seconds since 1970. tid: of its threads; 0: the process. false: it is gone. */
bool process_state(uint32_t pid, uint32_t tid, char *ret_state, int64_t *ret_since);

/* Does whoever made a System V id live? A process of that number that was started after the id was changed is another. */
enum life { LIFE_UNKNOWN, LIFE_LIVE, LIFE_DEAD };
enum life creator_life(struct machine *m, const struct object *o);
/* The name of any process, seen or not; NULL: it is gone. Valid until the next call. */
const char *pid_command(struct machine *m, uint32_t pid);

/* A user's name, or his number as text. Lives until machine_free; NULL: no memory. */
const char *machine_user(struct machine *m, uint32_t uid);

#endif

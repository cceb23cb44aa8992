/* os/os.h - what tarn asks of the kernel, but for sleeping (os/futex.h): maps, files, byte locks, limits, who runs.
 *
 * Results are 0 (or a count, or a descriptor) or a negative errno; calls interrupted by signals are restarted. Nothing here writes
 * tarn_error(): the caller knows the object's name. Descriptors are made close-on-exec. */
#ifndef TARN_OS_OS_H
#define TARN_OS_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/error.h"

/* No call of the library is a cancellation point, though opens, reads and pauses are: these go around the calls that make any. */
static inline int os_cancel_off(void)
{
    int old = PTHREAD_CANCEL_ENABLE;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    return old;
}
static inline void os_cancel_restore(int old)
{
    pthread_setcancelstate(old, &old);
}

/* For tests only: built with TARN_FAIL_POINTS, who is about to hand out memory asks whether he is to find none. In the library that is installed
 * this is nothing. */
#ifdef TARN_FAIL_POINTS
bool fail_now(void);
#else
static inline bool fail_now(void)
{
    return false;
}
#endif

/* What a handle holds on to: a descriptor, or the id of System V shared memory; the other one is -1. */
struct object {
    int fd, shm;
};

/* ---- robust.c ---- */

/* Make a robust process-shared mutex of zeroed memory. */
void os_robust_init(pthread_mutex_t *mutex);
/* Store again those words of its initial image that are not 0. It is the kind alone, which locking never changes, so this harms nobody who has it; and
 * where it is a hostile writer's, glibc no longer takes the mutex for one of another kind, whose assertions would end the process. */
void os_robust_kind(pthread_mutex_t *mutex);

/* ---- map.c ---- */

size_t os_page_size(void);

/* How bytes are to be mapped. */
struct os_place {
    void *address;                      /* there and nowhere else (page aligned), or NULL: anywhere */
    bool writable, executable, private; /* private: what is written is this process's alone */
    bool unreadable;                    /* neither read nor written: for TARN_RAW only */
    bool dumped;                        /* in core dumps, too */
    uint64_t page;                      /* bytes of the pages that it has; 0: the usual ones */
};

/* Map bytes [offset, offset + size) of a file shared, though it may end before that: what lies beyond its end must not be touched until it has
 * grown. -ENOMEM: no address space. -EEXIST: something is at the address already (see os_neighbour). */
int os_map(int fd, uint64_t offset, uint64_t size, const struct os_place *place, void **ret_base);
/* Zeroed memory of this process alone, which takes none until it is touched; and bytes [0, size) of a file over the beginning of that, as os_map. */
int os_map_zero(uint64_t size, const struct os_place *place, void **ret_base);
int os_map_over(int fd, void *base, uint64_t size, const struct os_place *place);
void os_unmap(void *base, uint64_t size);
/* What the process has mapped in [address, address + size): the first line of /proc/self/maps, without its newline; "" if nothing, or no /proc. */
void os_neighbour(const void *address, uint64_t size, char *ret_text, size_t room);
/* Is [address, address + size) where the stack of the process's first thread may still grow? What is mapped there ends the process when it does. */
bool os_stack_grows_into(const void *address, uint64_t size);
/* Have the pages of [address, address + size) there: as after a write (or a read) of each. -ENOMEM; -EFAULT: the backing has no room; -EINVAL:
 * a kernel before Linux 5.14. May be interrupted only by death. */
int os_populate(void *address, uint64_t size, bool writable);
/* Rights of whole pages of a mapping, for this process. -ENOMEM: as many mappings as the kernel allows. */
int os_protect(void *address, uint64_t size, bool readable, bool writable, bool executable);
/* Pages of the range stay in memory from their first use on. -ENOMEM, -EPERM: RLIMIT_MEMLOCK. */
int os_lock_memory(void *address, uint64_t size);

/* Bytes of a huge page, as the machine keeps them; and bytes in those that are free. 0: it has none. */
uint64_t os_huge_page(void);
uint64_t os_huge_free(void);
/* An address at which so many bytes are free now, a multiple of `unit`. NULL: none. */
void *os_room_for(uint64_t size, uint64_t unit);
/* Have the kernel map what lies there by huge pages, from now on, where it can; and make huge pages of what is there already. A wish. */
void os_wish_huge(void *address, uint64_t size);
void os_make_huge(void *address, uint64_t size);
/* Where memory is taken for what is mapped there, and not taken yet: of shared memory for everybody, and for good. mode: 1 preferred, 2 bound, 3 interleaved. -EINVAL:
 * no such nodes; -ENOSYS. */
int os_place_on_nodes(void *address, uint64_t size, int mode, uint64_t nodes);

/* Zeroed private memory (rounded up to pages) that a forked child finds zeroed again. NULL: none. */
void *os_wipe_page(size_t size);
void os_wipe_free(void *page, size_t size);

/* ---- page.c: one page ---- */

/* A mapping: a line of /proc/PID/maps, and what smaps tells of it. */
struct os_mapping {
    uint64_t start, end, offset; /* offset: of its first byte, in what is mapped */
    uint64_t device, inode;
    bool read, write, execute, shared;
    bool told;                /* by smaps: what follows is known */
    bool huge_page;           /* of pages that are huge by their kind: hugetlbfs */
    uint64_t page_size, huge; /* bytes of its pages; bytes that are mapped by huge entries */
    char path[256];
};
/* What is mapped at the address in a process; pid 0: in this one. -EFAULT: nothing; -ENOENT: no such process, or no /proc; -EACCES. */
int os_mapping_of(uint32_t pid, uint64_t address, struct os_mapping *ret);
/* How long the mapped file is, and whether its file system is of memory. -EPERM, -EACCES: no right to know. */
int os_mapped_file(uint32_t pid, const struct os_mapping *m, uint64_t *ret_size, bool *ret_memory);
struct statfs;
bool os_is_memory(const struct statfs *fs);
bool os_in_memory(int fd);
/* Bytes of the pages that the file is made of, if they are huge by their kind, else 0. */
uint64_t os_pages_of(int fd);

/* An entry of a page table, as /proc/PID/pagemap has it. */
struct os_page {
    bool present, swapped; /* swapped: by the entry, which tells of private memory only */
    bool exclusive, file;  /* no other mapping has it; it is of a file, or of shared memory */
    bool soft_dirty_told, soft_dirty;
    bool huge_told, huge;
    bool dirty_told, dirty; /* of its frame */
    uint64_t frame;         /* in units of the smallest page; 0: no right to know, or not present */
    int node;
};
int os_page_of(uint32_t pid, uint64_t address, struct os_page *ret);
/* The NUMA node of a page that the process has mapped. -ENOENT: it has not; -EPERM, -ENOSYS, ... */
int os_page_node(uint32_t pid, uint64_t address);
/* Is the page at this address of this process in memory, whoever has mapped it? 0, 1. Who could not write what is mapped is always told 1. */
int os_page_cached(const void *address);
/* Has the file nothing at the offset's page? 1: it reads as zeros; also, of memory, where it was committed and never touched. */
int os_page_is_hole(int fd, uint64_t offset);
bool os_swaps(void); /* is anything on this machine swapped out? */

/* ---- file.c ---- */

/* An anonymous memory file whose seals may be set. Its mode is not the caller's yet: fchmod. */
int os_memfd(const char *label);
int os_memfd_huge(const char *label); /* of huge pages */
/* Nobody may ever shrink it, nor change its seals. */
int os_seal(int fd);

/* Have the file system hold memory or blocks for these bytes, and the file reach to their end. Bytes that are there stay as they
 * are. Any process, any time, also several for the same bytes. -ENOSPC, -EDQUOT, -ENOMEM; -EFBIG: RLIMIT_FSIZE (asked first, for
 * the kernel would send SIGXFSZ). On failure a part may have been taken. */
int os_commit(int fd, uint64_t offset, uint64_t size);

/* A new open file description of the same file, as fresh as by open(2). -ENOENT: no /proc. */
int os_reopen(int fd, int flags);
/* As many bytes of [offset, offset + size) as the file has. */
int64_t os_read_at(int fd, void *to, size_t size, uint64_t offset);
int os_write_at(int fd, const void *from, size_t size, uint64_t offset);
/* All that is written to the file, also by its mappings, is on the disk, with its size; whole: with its times, owner and mode too. -EIO */
int os_flush(int fd, bool whole);
/* Bytes free to this user in the file system, and all. Both 0: it has no limit of its own. */
int os_room(int fd, uint64_t *ret_free, uint64_t *ret_total);

/* ---- filesystem.c ---- */

/* By whom a file is kept, and how. */
enum os_kept {
    OS_KEPT_HERE,   /* by this machine, in place: what was committed can be written as often as one likes */
    OS_KEPT_REMOTE, /* by another one, or by a program */
    OS_KEPT_COPIED  /* what is written over is written elsewhere: that may fail to find room */
};
int os_kept(int fd, enum os_kept *ret_kept, const char **ret_name); /* name: of the file system, if it is not OS_KEPT_HERE */

/* ---- shm.c: System V ---- */

#define OS_SHM_DEVICE                                                                                        \
    UINT64_MAX /* no file's: an id and this are to shared memory what inode and device are to a file */
#define OS_SHM_PRIVATE 0 /* the key of those that have none */

struct os_shm {
    uint64_t size; /* bytes, as asked for */
    uint32_t mode, uid, gid, creator_uid;
    uint32_t creator_pid, attached; /* in this PID namespace, or 0; how many have it mapped */
    bool removed;                   /* marked: gone when its last user is */
};
/* A fresh one, zeroed, of which no page is there yet nor accounted for. -EEXIST, -ENOSPC (shmmni, shmall), -EINVAL (shmmax). */
#define OS_SHM_HUGE 04000u /* in mode: of huge pages */
int os_shm_create(int32_t key, uint64_t size, uint32_t mode, int *ret_id);
int os_shm_find(int32_t key, int *ret_id); /* asks for no right on it. -ENOENT */
int os_shm_may_write(int32_t key);         /* and read. -EACCES, -ENOENT */
int os_shm_stat(int id, struct os_shm *ret);
/* What /proc/sysvipc/shm tells everybody, also who has no right on it (of `removed` it does not know). -ENOENT: not in it, or no /proc. */
int os_shm_listed(int id, struct os_shm *ret);
int os_shm_set(int id, const uint32_t *mode, const uint32_t *uid, const uint32_t *gid); /* NULL: as it is */
int os_shm_remove(int id);
/* All of it. -EEXIST as os_map; -EIDRM, -EINVAL: there is no such id any more. */
int os_shm_map(int id, const struct os_place *place, void **ret_base);
void os_shm_unmap(void *base);
/* How many segments there are, and of how many pages all together. */
int os_shm_used(uint64_t *ret_ids, uint64_t *ret_pages);
/* A limit of the system: "shmmax" (bytes), "shmall" (pages), "shmmni" (segments); UINT64_MAX if not to be known. */
uint64_t os_shm_limit(const char *name);

/* Byte locks by open file description: given up when the last descriptor of that is closed, in a forked child too. They stand
 * beyond anything a segment can hold. */
#define OS_BYTE_MAKER 0x40000000u   /* index: of a file that is being made; participants' are below */
#define OS_BYTE_CREATOR 0x40000001u /* its creator has it as long as it lives */
#define OS_BYTE_DOOR 0x40000002u    /* who puts a file right after a reboot or a copy */
#define OS_BYTE_END 0x40000003u     /* who opens, or ends, a segment that ends by itself */
#define OS_BYTE_USER 0x50000000u    /* this, and as many as OS_USERS from it on: one an attachment */
#define OS_USERS 0x10000u
int os_byte_lock(int fd, uint32_t index); /* for writing, not waiting. -EAGAIN: another description holds it */
int os_byte_unlock(int fd, uint32_t index);
int os_byte_lock_read(int fd, uint32_t index); /* for reading: the descriptor need not be open for writing */
int os_byte_holder(int fd, uint32_t index); /* what another description holds: F_UNLCK, F_RDLCK or F_WRLCK */
/* What other descriptions hold on any of `count` bytes from index on; readers: locks for reading count, too. */
int os_byte_range_holder(int fd, uint32_t index, uint32_t count, bool readers);

/* ---- socket.c: unix sockets ---- */

/* Who is at the other end, as far as the kernel knows: UINT32_MAX if it does not. -ENOTSOCK; -EINVAL: no unix socket. */
int os_socket_peer(int socket, uint32_t *ret_uid);
/* One message, whole, with a descriptor (or -1). No SIGPIPE. -EPIPE, -EAGAIN, ... */
int os_socket_send(int socket, const void *message, size_t size, int fd);
/* One message: at most `size` bytes of it, and the first descriptor, close-on-exec (or -1); any others are closed. */
struct os_parcel {
    size_t size; /* bytes of the message that came */
    int fds;     /* descriptors that came, the closed ones too */
    bool cut;    /* it was longer, or the kernel let descriptors fall */
};
int os_socket_receive(int socket, void *message, size_t size, int *ret_fd, struct os_parcel *ret);

/* ---- program.c ---- */

/* The build id of the program that this process runs: at most `room` bytes of it. How many, or 0: it has none. */
size_t os_build_id(uint8_t *to, size_t room);

/* ---- proc.c ---- */

int os_random(void *to, size_t size);
/* Of this boot of the machine; zeros if it cannot be known. */
void os_boot_id(uint8_t ret_id[16]);
/* ns since 1970, or 0: there is no clock. */
uint64_t os_clock(void);
/* The calling thread's name, up to 15 bytes and a 0. */
void os_thread_name(char ret[16]);

/* When the thread began, in clock ticks since boot. -ENOENT (or -ESRCH): there is none that runs, or no /proc. */
int os_start_time(uint32_t pid, uint32_t tid, uint64_t *ret_ticks);
/* The process of this id that began then is no more, or is a zombie. False also if that cannot be known. */
bool os_process_gone(uint32_t pid, uint64_t start);

/* A descriptor of the process; a negative errno. Send it a signal: 0, or a negative errno. */
int os_process_open(uint32_t pid);
int os_process_signal(int process, int number);
/* Inode of this process's PID namespace, or 0. */
uint64_t os_pid_namespace(void);

/* ---- limits.c ---- */

/* Bytes that this process's control groups would still let it take (page cache that could go counted as free), or UINT64_MAX; or fewer, if
 * these are enough. A look, not a promise: others take memory meanwhile, and what happens then is the kernel's to say. */
uint64_t os_cgroup_room(uint64_t enough);
/* A soft limit of the process (RLIMIT_AS, ...), or UINT64_MAX. */
uint64_t os_process_limit(int resource);

#endif

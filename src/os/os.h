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

/* ---- map.c ---- */

size_t os_page_size(void);

/* Map bytes [0, size) of a file shared, though it may end before that: what lies beyond its end must not be touched until it has
 * grown. Left out of core dumps. -ENOMEM: no address space. */
int os_map(int fd, uint64_t size, bool writable, void **ret_base);
void os_unmap(void *base, uint64_t size);

/* Zeroed private memory (rounded up to pages) that a forked child finds zeroed again. NULL: none. */
void *os_wipe_page(size_t size);
void os_wipe_free(void *page, size_t size);

/* ---- file.c ---- */

/* An anonymous memory file whose seals may be set. Its mode is not the caller's yet: fchmod. */
int os_memfd(const char *label);
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
/* Bytes free to this user in the file system, and all. Both 0: it has no limit of its own. */
int os_room(int fd, uint64_t *ret_free, uint64_t *ret_total);

/* Byte locks by open file description: given up when the last descriptor of that is closed, in a forked child too. They stand
 * beyond anything a segment can hold. */
#define OS_BYTE_MAKER 0x40000000u         /* index: of a file that is being made; participants' are below */
int os_byte_lock(int fd, uint32_t index); /* for writing, not waiting. -EAGAIN: another description holds it */
int os_byte_unlock(int fd, uint32_t index);
int os_byte_holder(int fd, uint32_t index); /* what another description holds: F_UNLCK, F_RDLCK or F_WRLCK */

/* ---- proc.c ---- */

int os_random(void *to, size_t size);
/* Of this boot of the machine; zeros if it cannot be known. */
void os_boot_id(uint8_t ret_id[16]);
/* When the thread began, in clock ticks since boot. -ENOENT (or -ESRCH): there is none, or no /proc. */
int os_start_time(uint32_t pid, uint32_t tid, uint64_t *ret_ticks);
/* Inode of this process's PID namespace, or 0. */
uint64_t os_pid_namespace(void);

/* ---- limits.c ---- */

/* Bytes that this process's control groups would still let it take (page cache that could go counted as free), or UINT64_MAX. A
 * look, not a promise: others take memory meanwhile, and what happens then is the kernel's to say. */
uint64_t os_cgroup_room(void);
/* A soft limit of the process (RLIMIT_AS, ...), or UINT64_MAX. */
uint64_t os_process_limit(int resource);

#endif

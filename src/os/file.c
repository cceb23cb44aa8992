/* os/file.c - files that hold segments: made, sealed, committed, opened anew, locked by the byte. See os.h.
 *
 * Commits are the raw fallocate, never glibc's posix_fallocate, which writes into the file where the file system cannot
 * allocate, over what others have written there. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif
#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8U
#endif

#define BYTE_LOCKS ((off_t)1 << 40) /* beyond any file position that is written by descriptor */

static int make_memfd(const char *label, unsigned kind)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | kind;
    int fd = memfd_create(label, flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* a kernel that does not know the last */
        fd = memfd_create(label, flags);
    return fd < 0 ? -errno : fd;
}

int os_memfd(const char *label)
{
    return make_memfd(label, 0);
}

int os_memfd_huge(const char *label)
{
    return make_memfd(label, MFD_HUGETLB);
}

int os_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int os_commit(int fd, uint64_t offset, uint64_t size)
{
    if (offset + size > os_process_limit(RLIMIT_FSIZE))
        return -EFBIG;
    /* An interrupted fallocate gives back all it took (of late only when killed, but who knows where we run). Under a timer quicker than
     * that it would never end: so halve the piece. */
    uint64_t piece = size, least = 1 << 20;
    while (size > 0) {
        if (piece > size)
            piece = size;
        if (syscall(SYS_fallocate, fd, 0, (off_t)offset, (off_t)piece) == 0) {
            offset += piece;
            size -= piece;
        } else if (errno != EINTR) {
            return -errno;
        } else if (piece > least) {
            piece /= 2;
        }
    }
    return 0;
}

int os_reopen(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again;
    do
        again = open(path, flags | O_CLOEXEC);
    while (again < 0 && errno == EINTR);
    return again < 0 ? -errno : again;
}

int64_t os_read_at(int fd, void *to, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (n == 0)
            break;
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return -errno;
    }
    return (int64_t)done;
}

int os_write_at(int fd, const void *from, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, (const char *)from + done, size - done, (off_t)(offset + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            return -EIO;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int os_flush(int fd, bool whole)
{
    int done;
    do
        done = whole ? fsync(fd) : fdatasync(fd);
    while (done != 0 && errno == EINTR);
    return done != 0 ? -errno : 0;
}

int os_room(int fd, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs v;
    if (fstatvfs(fd, &v) != 0)
        return -errno;
    *ret_free = (uint64_t)v.f_bavail * v.f_frsize;
    *ret_total = (uint64_t)v.f_blocks * v.f_frsize;
    return 0;
}

/* ---- byte locks ---- */

static int byte_lock(int fd, int command, short kind, uint32_t index, uint32_t count, short *ret_kind)
{
    struct flock lock = {
        .l_type = kind, .l_whence = SEEK_SET, .l_start = BYTE_LOCKS + (off_t)index, .l_len = (off_t)count};
    int done;
    do
        done = fcntl(fd, command, &lock);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return errno == EACCES ? -EAGAIN : -errno;
    if (ret_kind)
        *ret_kind = lock.l_type;
    return 0;
}

int os_byte_lock(int fd, uint32_t index)
{
    return byte_lock(fd, F_OFD_SETLK, F_WRLCK, index, 1, NULL);
}

int os_byte_lock_read(int fd, uint32_t index)
{
    return byte_lock(fd, F_OFD_SETLK, F_RDLCK, index, 1, NULL);
}

int os_byte_unlock(int fd, uint32_t index)
{
    return byte_lock(fd, F_OFD_SETLK, F_UNLCK, index, 1, NULL);
}

int os_byte_holder(int fd, uint32_t index)
{
    return os_byte_range_holder(fd, index, 1, true);
}

/* Asking for a read lock, only locks for writing are in the way. */
int os_byte_range_holder(int fd, uint32_t index, uint32_t count, bool readers)
{
    short kind = F_UNLCK;
    int error = byte_lock(fd, F_OFD_GETLK, readers ? F_WRLCK : F_RDLCK, index, count, &kind);
    return error < 0 ? error : kind;
}

/* os/map.c - address space: segments' shared mappings, and pages that fork wipes. See os.h. */
#include "os/os.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK /* Linux 4.14 */
#define MADV_WIPEONFORK 18
#endif

size_t os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int os_map(int fd, uint64_t size, bool writable, void **ret_base)
{
    if (size != (size_t)size)
        return -ENOMEM;
    /* NORESERVE: the limit is address space, not memory; what is committed was committed in the file. */
    void *base =
        mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    /* A core dump delays the kernel's notice of a death by the time it takes to write. Failing here costs only that. */
    (void)madvise(base, size, MADV_DONTDUMP);
    *ret_base = base;
    return 0;
}

void os_unmap(void *base, uint64_t size)
{
    munmap(base, size);
}

static size_t whole_pages(size_t size)
{
    size_t page = os_page_size();
    return (size + page - 1) / page * page;
}

void *os_wipe_page(size_t size)
{
    size = whole_pages(size);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) { /* a child that took it for its own would act as its parent */
        munmap(page, size);
        return NULL;
    }
    return page;
}

void os_wipe_free(void *page, size_t size)
{
    munmap(page, whole_pages(size));
}

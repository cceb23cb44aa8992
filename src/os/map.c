/* os/map.c - address space: segments' shared mappings, and pages that fork wipes. See os.h. */
#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif
#ifndef MAP_FIXED_NOREPLACE /* Linux 4.17 */
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#ifndef MADV_WIPEONFORK /* Linux 4.14 */
#define MADV_WIPEONFORK 18
#endif

/* What the kernel keeps free below the stack when it chooses addresses itself, however small the limit; and of one that has none, as much as anybody needs. */
#define STACK_LEAST (UINT64_C(128) << 20)
#define STACK_MOST (UINT64_C(1) << 30)

size_t os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int protection(const struct os_place *place)
{
    if (place->unreadable)
        return PROT_NONE;
    return PROT_READ | (place->writable ? PROT_WRITE : 0) | (place->executable ? PROT_EXEC : 0);
}

int os_map(int fd, uint64_t offset, uint64_t size, const struct os_place *place, void **ret_base)
{
    if (size != (size_t)size)
        return -ENOMEM;
    /* NORESERVE: the limit is address space, not memory; what is committed was committed in the file. */
    int flags = (place->private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE |
                (place->address ? MAP_FIXED_NOREPLACE : 0);
    void *base = mmap(place->address, size, protection(place), flags, fd, (off_t)offset);
    if (base == MAP_FAILED)
        return -errno;
    if (place->address && base != place->address) { /* a kernel before 4.17 took the address for a wish */
        munmap(base, size);
        return -EEXIST;
    }
    /* A core dump delays the kernel's notice of a death by the time it takes to write. Failing here costs only that. */
    if (!place->dumped)
        (void)madvise(base, size, MADV_DONTDUMP);
    *ret_base = base;
    return 0;
}

int os_map_zero(uint64_t size, const struct os_place *place, void **ret_base)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (place->address ? MAP_FIXED_NOREPLACE : 0);
    void *base = size == (size_t)size ? mmap(place->address, size, protection(place), flags, -1, 0) : MAP_FAILED;
    if (base == MAP_FAILED)
        return size == (size_t)size ? -errno : -ENOMEM;
    if (place->address && base != place->address) {
        munmap(base, size);
        return -EEXIST;
    }
    if (!place->dumped)
        (void)madvise(base, size, MADV_DONTDUMP);
    *ret_base = base;
    return 0;
}

int os_map_over(int fd, void *base, uint64_t size, const struct os_place *place)
{
    int flags = (place->private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE | MAP_FIXED;
    if (mmap(base, size, protection(place), flags, fd, 0) == MAP_FAILED)
        return -errno;
    if (!place->dumped)
        (void)madvise(base, size, MADV_DONTDUMP);
    return 0;
}

void os_unmap(void *base, uint64_t size)
{
    munmap(base, size);
}

void os_neighbour(const void *address, uint64_t size, char *ret_text, size_t room)
{
    char line[512];
    uint64_t from = (uintptr_t)address, begin, end;
    FILE *f = fopen("/proc/self/maps", "re");
    *ret_text = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &begin, &end) == 2 && begin < from + size && end > from) {
            line[strcspn(line, "\n")] = 0;
            snprintf(ret_text, room, "%s", line);
            break;
        }
    if (f)
        fclose(f);
}

bool os_stack_grows_into(const void *address, uint64_t size)
{
    uint64_t from = (uintptr_t)address, top = getauxval(AT_EXECFN); /* a string at the stack's upper end */
    uint64_t room = os_process_limit(RLIMIT_STACK);
    if (room < STACK_LEAST || room > STACK_MOST)
        room = room < STACK_LEAST ? STACK_LEAST : STACK_MOST;
    return from < top && size > 0 && (size > top - from || top - (from + size) < room);
}

int os_populate(void *address, uint64_t size, bool writable)
{
    while (madvise(address, size, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) != 0)
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    return 0;
}

int os_protect(void *address, uint64_t size, bool readable, bool writable, bool executable)
{
    int protection = (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0);
    return mprotect(address, size, protection) != 0 ? -errno : 0;
}

int os_lock_memory(void *address, uint64_t size)
{
    return syscall(SYS_mlock2, address, size, 1 /* MLOCK_ONFAULT */) != 0 ? -errno : 0;
}

/* ---- huge pages, nodes ---- */

/* A line of /proc/meminfo, or 0. */
static uint64_t meminfo(const char *name)
{
    char line[128];
    uint64_t number = 0;
    size_t length = strlen(name);
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            number = strtoull(line + length + 1, NULL, 10);
            break;
        }
    if (f)
        fclose(f);
    return number;
}

uint64_t os_huge_page(void)
{
    return meminfo("Hugepagesize") << 10;
}

uint64_t os_huge_free(void)
{
    uint64_t free_pages = meminfo("HugePages_Free"), promised = meminfo("HugePages_Rsvd");
    return free_pages > promised ? (free_pages - promised) * os_huge_page() : 0;
}

void *os_room_for(uint64_t size, uint64_t unit)
{
    char *base = mmap(NULL, size + unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    munmap(base, size + unit);
    return base + (unit - (uintptr_t)base % unit) % unit;
}

void os_wish_huge(void *address, uint64_t size)
{
    (void)madvise(address, size, MADV_HUGEPAGE);
}

void os_make_huge(void *address, uint64_t size)
{
    (void)madvise(address, size, MADV_COLLAPSE);
}

int os_place_on_nodes(void *address, uint64_t size, int mode, uint64_t nodes)
{
    unsigned long mask = nodes;
    return syscall(SYS_mbind, address, size, mode, &mask, 64ul + 1, 0) != 0 ? -errno : 0;
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

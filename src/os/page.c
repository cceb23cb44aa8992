/* os/page.c - what the kernel tells of one page: its mapping, its entry in a process's page table, its frame. See os.h.
 *
 * Nothing here touches the page that is asked about. What the kernel keeps to itself (without a right, without /proc, on a kernel built
 * without it) is an error or "not told", never a guess. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* linux/fs.h has these from Linux 6.7 on */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan {
    uint64_t size, flags, start, end, walk_end, regions, region_count, most, inverted, all_of, any_of, told;
};
#define SCAN _IOWR('f', 16, struct scan)
#define SCAN_PRESENT 8u
#define SCAN_HUGE 64u

#define ENTRY_FRAME ((UINT64_C(1) << 55) - 1)
#define ENTRY_SOFT_DIRTY (UINT64_C(1) << 55)
#define ENTRY_EXCLUSIVE (UINT64_C(1) << 56)
#define ENTRY_FILE (UINT64_C(1) << 61)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define FLAG_DIRTY (UINT64_C(1) << 4)

#define MAGIC_TMPFS 0x01021994
#define MAGIC_HUGETLBFS 0x958458f6
#define MAGIC_RAMFS 0x858458f6

static const char *proc_path(uint32_t pid, const char *name, char to[static 96])
{
    if (pid)
        snprintf(to, 96, "/proc/%" PRIu32 "/%s", pid, name);
    else
        snprintf(to, 96, "/proc/self/%s", name);
    return to;
}

/* ---- the mapping ---- */

/* A line that begins a mapping. */
static bool parse_mapping(const char *line, struct os_mapping *ret)
{
    char rights[5];
    unsigned major_number, minor_number;
    int path = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &ret->start, &ret->end,
               rights, &ret->offset, &major_number, &minor_number, &ret->inode, &path) != 7)
        return false;
    ret->device = makedev(major_number, minor_number);
    ret->read = rights[0] == 'r';
    ret->write = rights[1] == 'w';
    ret->execute = rights[2] == 'x';
    ret->shared = rights[3] == 's';
    snprintf(ret->path, sizeof ret->path, "%.*s", (int)strcspn(line + path, "\n"), line + path);
    return true;
}

static void parse_detail(const char *line, struct os_mapping *ret)
{
    uint64_t kib;
    if (sscanf(line, "KernelPageSize: %" SCNu64, &kib) == 1)
        ret->page_size = kib << 10;
    else if (sscanf(line, "AnonHugePages: %" SCNu64, &kib) == 1 ||
             sscanf(line, "ShmemPmdMapped: %" SCNu64, &kib) == 1 ||
             sscanf(line, "FilePmdMapped: %" SCNu64, &kib) == 1)
        ret->huge += kib << 10;
    else if (strncmp(line, "VmFlags:", 8) == 0) {
        ret->huge_page = strstr(line, " ht") != NULL;
        ret->told = true;
    }
}

/* From smaps, which tells more, or where there is none from maps. */
static int find_mapping(FILE *f, uint64_t address, struct os_mapping *ret)
{
    char line[4096 + 128];
    bool found = false;
    *ret = (struct os_mapping){0};
    while (fgets(line, sizeof line, f)) {
        struct os_mapping m = {0};
        if (parse_mapping(line, &m)) {
            if (found)
                break;
            found = address >= m.start && address < m.end;
            if (found)
                *ret = m;
        } else if (found)
            parse_detail(line, ret);
    }
    return found ? 0 : -EFAULT;
}

int os_mapping_of(uint32_t pid, uint64_t address, struct os_mapping *ret)
{
    static const char *const names[] = {"smaps", "maps"};
    char path[96];
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(proc_path(pid, names[i], path), "re");
        if (!f && errno == ENOENT && i == 0)
            continue;
        if (!f)
            return -errno;
        int error = find_mapping(f, address, ret);
        if (ferror(f)) /* a process that is gone, or whose memory may not be looked at, reads as an error */
            error = -EACCES;
        fclose(f);
        return error;
    }
    return -ENOENT;
}

/* What is mapped there; only the kernel's own link leads to it whatever its name is now, and that needs a right. */
int os_mapped_file(uint32_t pid, const struct os_mapping *m, uint64_t *ret_size, bool *ret_memory)
{
    char path[96], name[48];
    struct stat st;
    struct statfs fs;
    snprintf(name, sizeof name, "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
    proc_path(pid, name, path);
    if (stat(path, &st) != 0 || statfs(path, &fs) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_dev != m->device || st.st_ino != m->inode)
        return -ESTALE;
    *ret_size = (uint64_t)st.st_size;
    *ret_memory = os_is_memory(&fs);
    return 0;
}

bool os_is_memory(const struct statfs *fs)
{
    unsigned long type = (unsigned long)fs->f_type & 0xffffffffu;
    return type == MAGIC_TMPFS || type == MAGIC_HUGETLBFS || type == MAGIC_RAMFS;
}

bool os_in_memory(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && os_is_memory(&fs);
}

uint64_t os_pages_of(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && ((unsigned long)fs.f_type & 0xffffffffu) == MAGIC_HUGETLBFS
               ? (uint64_t)fs.f_bsize
               : 0;
}

/* ---- the entry in the page table ---- */

static int read_entry(int fd, uint64_t address, uint64_t *ret)
{
    int64_t n = os_read_at(fd, ret, sizeof *ret, address / os_page_size() * sizeof *ret);
    return n < 0 ? (int)n : n == sizeof *ret ? 0 : -EFAULT;
}

/* Whether this kernel tracks what was written: a page just written would be marked. */
static bool tracks_soft_dirty(void)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    volatile char *page =
        fd < 0 ? MAP_FAILED
               : mmap(NULL, os_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
        *page = 1;
        if (read_entry(fd, (uintptr_t)page, &entry) < 0)
            entry = 0;
        munmap((void *)page, os_page_size());
    }
    if (fd >= 0)
        close(fd);
    return entry & ENTRY_SOFT_DIRTY;
}

/* Is the page at this address mapped by an entry greater than a page's? False: not told. */
static bool scan_huge(int fd, uint64_t address, bool *ret_huge)
{
    uint64_t page = os_page_size(), from = address / page * page;
    struct scan_region region = {0};
    struct scan scan = {.size = sizeof scan,
                        .start = from,
                        .end = from + page,
                        .regions = (uintptr_t)&region,
                        .region_count = 1,
                        .any_of = SCAN_PRESENT,
                        .told = SCAN_PRESENT | SCAN_HUGE};
    int n = ioctl(fd, SCAN, &scan);
    if (n < 0)
        return false;
    *ret_huge = n == 1 && region.categories & SCAN_HUGE;
    return true;
}

static void look_at_frame(struct os_page *p)
{
    uint64_t flags = 0;
    int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (os_read_at(fd, &flags, sizeof flags, p->frame * sizeof flags) == sizeof flags) {
        p->dirty_told = true;
        p->dirty = flags & FLAG_DIRTY;
    }
    close(fd);
}

int os_page_of(uint32_t pid, uint64_t address, struct os_page *ret)
{
    char path[96];
    uint64_t entry = 0;
    *ret = (struct os_page){.node = -1};
    int fd = open(proc_path(pid, "pagemap", path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = read_entry(fd, address, &entry);
    if (error == 0) {
        ret->present = entry & ENTRY_PRESENT;
        ret->swapped = entry & ENTRY_SWAPPED;
        ret->exclusive = entry & ENTRY_EXCLUSIVE;
        ret->file = entry & ENTRY_FILE;
        ret->soft_dirty_told = tracks_soft_dirty();
        ret->soft_dirty = entry & ENTRY_SOFT_DIRTY;
        ret->huge_told = scan_huge(fd, address, &ret->huge);
        ret->frame = ret->present ? entry & ENTRY_FRAME : 0; /* 0: no right to know */
        if (ret->frame)
            look_at_frame(ret);
    }
    close(fd);
    return error;
}

/* ---- node, page cache, swap ---- */

int os_page_node(uint32_t pid, uint64_t address)
{
    void *page = (void *)(uintptr_t)(address / os_page_size() * os_page_size()); /* NOLINT: another process's */
    int status = -ENOENT;
    if (syscall(SYS_move_pages, (long)pid, 1L, &page, NULL, &status, 0L) != 0)
        return -errno;
    return status;
}

int os_page_cached(const void *address)
{
    unsigned char told = 0;
    char *page = (char *)address - (uintptr_t)address % os_page_size();
    return mincore(page, os_page_size(), &told) != 0 ? -errno : told & 1;
}

int os_page_is_hole(int fd, uint64_t offset)
{
    uint64_t page = os_page_size(), from = offset / page * page;
    off_t data = lseek(fd, (off_t)from, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? 1 : -errno;
    return (uint64_t)data >= from + page;
}

bool os_swaps(void)
{
    struct sysinfo s;
    return sysinfo(&s) != 0 || s.totalswap != s.freeswap;
}

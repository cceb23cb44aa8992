/* file_world.h - for tests of file: segments: boots that the test counts, flushes that it sees, and a bank in the segment. After helper.h.
 *
 * Link with -Wl,--wrap=os_boot_id,--wrap=os_flush. The bank's accounts, which lie in many pages, add up to 0 wherever no section is open: each transfer is a section. */
#ifndef TARN_TEST_FILE_WORLD_H
#define TARN_TEST_FILE_WORLD_H

#include <sched.h>

#include "os/os.h"
#include "participant/participant.h"

enum { ACCOUNTS = 64 };

/* Shared by the test and its children. */
struct world {
    unsigned boot;      /* a reboot is another number */
    int flush_error;    /* what os_flush fails with, if not 0 */
    uint32_t flushes;   /* how many there were */
    uint64_t disk_says; /* `clean` of what was flushed last: the disk's version of it */
    uint32_t flushing;  /* a lock: flushes are one after the other */
    uint64_t go;
};
static struct world *world;
static void (*at_flush)(void) __attribute__((unused)); /* called once, when something was flushed */

void __wrap_os_boot_id(uint8_t ret_id[16]);
void __wrap_os_boot_id(uint8_t ret_id[16])
{
    memset(ret_id, 0, 16);
    memcpy(ret_id, &world->boot, sizeof world->boot);
    if (world->boot)
        ret_id[15] = 0x80;
}

int __wrap_os_flush(int fd, bool whole);
#ifndef FILE_WORLD_FLUSHES_ITSELF
int __real_os_flush(int fd, bool whole);
int __wrap_os_flush(int fd, bool whole)
{
    if (world->flush_error)
        return world->flush_error;
    __atomic_fetch_add(&world->flushes, 1, __ATOMIC_SEQ_CST);
    while (__atomic_exchange_n(&world->flushing, 1, __ATOMIC_SEQ_CST))
        sched_yield();
    uint64_t clean;
    if (pread(fd, &clean, sizeof clean, offsetof(struct segment_header, clean)) == sizeof clean)
        __atomic_store_n(&world->disk_says, clean, __ATOMIC_SEQ_CST);
    int e = __real_os_flush(fd, whole);
    void (*hook)(void) = at_flush;
    at_flush = NULL;
    if (hook) {
        __atomic_store_n(&world->flushing, 0, __ATOMIC_SEQ_CST);
        hook();
        return e;
    }
    if (world->flushes % 3 == 0)
        usleep(300); /* a disk takes its time, and others come meanwhile */
    __atomic_store_n(&world->flushing, 0, __ATOMIC_SEQ_CST);
    return e;
}
#endif

static inline void make_world(void)
{
    world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(world != MAP_FAILED);
    world->boot = 1;
}

static const struct tarn_options little = {.size = sizeof little,
                                           .initial = 256 << 10,
                                           .limit = 4 << 20,
                                           .participants = 16,
                                           .record_size = 2048,
                                           .span_size = 4096};

struct account {
    int64_t money;
    char room[1016];
};
struct bank {
    tarn_mutex lock;
    struct account account[ACCOUNTS];
    uint64_t transfers;
};

/* 0, or what went wrong. */
static inline int transfer(tarn *seg, struct bank *b, unsigned *seed)
{
    unsigned from = (unsigned)rand_r(seed) % ACCOUNTS, to = (unsigned)rand_r(seed) % ACCOUNTS;
    int64_t amount = rand_r(seed) % 1000, less, more;
    int e = tarn_begin(seg);
    if (e < 0 || (e = tarn_mutex_lock(seg, &b->lock)) < 0)
        return e;
    uint64_t count = b->transfers + 1;
    less = b->account[from].money - amount;
    e = tarn_write(seg, &b->account[from].money, &less, sizeof less);
    more = b->account[to].money + amount;
    if (e == 0)
        e = tarn_write(seg, &b->account[to].money, &more, sizeof more);
    if (e == 0)
        e = tarn_write(seg, &b->transfers, &count, sizeof count);
    tarn_mutex_unlock(seg, &b->lock);
    int c = e == 0 ? tarn_commit(seg) : tarn_abort(seg);
    return e ? e : c;
}

static inline int64_t sum_of_bank(const struct bank *b)
{
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++)
        sum += b->account[i].money;
    return sum;
}

/* Open with TARN_CREATE: its bank, a map besides. */
static inline int open_bank(const char *url, tarn **ret_seg, struct bank **ret_bank)
{
    int e = tarn_open(url, TARN_CREATE, &little, ret_seg);
    if (e < 0)
        return e;
    e = tarn_object(*ret_seg, "bank", struct bank, ret_bank);
    if (e < 0)
        tarn_close(*ret_seg);
    return e;
}

/* The header of a file, read by its path. */
static inline struct segment_header header_in(const char *path)
{
    struct segment_header h = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h)
        h.clean = 99;
    if (fd >= 0)
        close(fd);
    return h;
}

/* As cp does it: a file of its own, with holes left out. 0, or -errno. */
static inline int copy_file(const char *from, const char *to)
{
    char piece[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int64_t n = -1, at = 0;
    while (in >= 0 && out >= 0 && (n = pread(in, piece, sizeof piece, at)) > 0) {
        bool zero = piece[0] == 0 && memcmp(piece, piece + 1, (size_t)n - 1) == 0;
        if (!zero && pwrite(out, piece, (size_t)n, at) != n) {
            n = -1;
            break;
        }
        at += n;
    }
    int error = n < 0 || ftruncate(out, at) != 0 ? -(errno ? errno : EIO) : 0;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return error;
}

#endif

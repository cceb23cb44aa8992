/* os/futex.c - see os/futex.h. */
#include "os/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define MOST 128

struct waiter { /* struct futex_waitv of Linux 5.16, which older headers lack */
    uint64_t value, address;
    uint32_t flags, reserved;
};

int os_futex_wake(uint32_t *word, int n)
{
    int saved = errno;
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
    errno = saved;
    kill_point();
    return woken < 0 ? 0 : (int)woken;
}

static int result(long r)
{
    if (r >= 0)
        return (int)r;
    return errno == EINTR ? -EAGAIN : -errno;
}

int os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until)
{
    struct waiter w[MOST];
    int saved = errno, r;
    if (n > MOST)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        w[i] = (struct waiter){.value = wait[i].value, .address = (uintptr_t)wait[i].word, .flags = 2}; /* FUTEX_32, shared */
    kill_point();
    r = result(syscall(SYS_futex_waitv, w, n, 0, until, CLOCK_MONOTONIC));
    errno = saved;
    kill_point();
    return r;
}

int os_futex_wait(uint32_t *word, uint32_t value, const struct timespec *until)
{
    int saved = errno, r;
    r = result(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, until, NULL, FUTEX_BITSET_MATCH_ANY));
    errno = saved;
    return r;
}

int os_membarrier_register(void)
{
    return result(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
}

int os_membarrier(void)
{
    return result(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0));
}

struct os_bell os_bell(uint32_t *word)
{
    struct os_bell bell = {NULL, NULL};
    struct robust_list_head *head = NULL;
    size_t size;
    if (syscall(SYS_get_robust_list, 0, &head, &size) == 0 && head) {
        bell.pending = (void *volatile *)(void *)&head->list_op_pending;
        bell.entry = (char *)word - head->futex_offset;
    }
    return bell;
}

struct timespec os_deadline(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

bool os_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

bool os_passed(const struct timespec *t)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return !os_before(&now, t);
}

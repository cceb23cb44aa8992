/* os/futex.c - see os/futex.h. */
#include "os/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define MOST 8

struct waiter { /* struct futex_waitv of Linux 5.16, which older headers lack */
    uint64_t value, address;
    uint32_t flags, reserved;
};

void os_futex_wake(uint32_t *word, int n)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
    errno = saved;
    kill_point();
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
    memset(w, 0, sizeof w);
    for (int i = 0; i < n; i++) {
        w[i].value = wait[i].value;
        w[i].address = (uintptr_t)wait[i].word;
        w[i].flags = 2; /* FUTEX_32, shared */
    }
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

void *os_robust_head(void)
{
    struct robust_list_head *head = NULL;
    size_t size;
    if (syscall(SYS_get_robust_list, 0, &head, &size))
        return NULL;
    return head;
}

void os_robust_pending(void *head_, uint32_t *pending)
{
    struct robust_list_head *head = head_;
    struct robust_list *entry = pending ? (struct robust_list *)((char *)pending - head->futex_offset) : NULL;
    *(struct robust_list *volatile *)&head->list_op_pending = entry;
    __asm__ volatile("" ::: "memory");
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

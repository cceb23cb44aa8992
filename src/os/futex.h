/* os/futex.h - sleeping on words in shared memory, the membarrier, and the thread's robust list.
 *
 * All words are process-shared 32-bit futexes. Results are >= 0 or a negative errno; errno itself is left alone where it can be. */
#ifndef TARN_OS_FUTEX_H
#define TARN_OS_FUTEX_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* For tests only: built with TARN_KILL_POINTS, the library kills its process at the n-th of these points, which stand behind every
 * store of an order of stores. In the library that is installed they are nothing. */
#ifdef TARN_KILL_POINTS
extern __thread int kill_countdown;
void kill_now(void);
static inline void kill_point(void)
{
    if (kill_countdown && --kill_countdown == 0)
        kill_now();
}
#else
static inline void kill_point(void) {}
#endif

struct os_wait {
    uint32_t *word;
    uint32_t value; /* sleep only while *word is this */
};

/* Wake up to n sleepers. Returns how many there were. Touches the word's address only as a key: the memory may belong to something else by now. */
int os_futex_wake(uint32_t *word, int n);

/* Sleep until one of n (at most 128) words is woken, or `until` (absolute, CLOCK_MONOTONIC; NULL: for ever). Returns the index of a
 * word that was woken (the highest, if several); -EAGAIN: one differed, or a signal came; -ETIMEDOUT; -ENOSYS: no futex_waitv. */
int os_futex_wait_any(const struct os_wait *wait, int n, const struct timespec *until);

/* Sleep on one word, without futex_waitv. 0, -EAGAIN, -ETIMEDOUT. */
int os_futex_wait(uint32_t *word, uint32_t value, const struct timespec *until);

/* Every registered thread of the machine executes a full barrier before this returns. register: 0, or a negative errno. */
int os_membarrier_register(void);
int os_membarrier(void);

/* The calling thread's place for an operation under way, of its robust list (glibc's). While it is armed, the kernel wakes one sleeper on `word` at
 * the thread's death, as long as that word is 0. No glibc robust mutex may be used by the thread meanwhile. */
struct os_bell {
    void *volatile *pending; /* NULL: there is no such list */
    void *entry;             /* stored there: armed; NULL: not */
};
struct os_bell os_bell(uint32_t *word);
#ifdef TARN_EXPLORED /* by test/explore, which plays the kernel */
void os_bell_store(void *volatile *pending, void *entry);
#else
static inline void os_bell_store(void *volatile *pending, void *entry)
{
    *pending = entry;
}
#endif

/* `ms` milliseconds from now on CLOCK_MONOTONIC. */
struct timespec os_deadline(unsigned ms);
bool os_before(const struct timespec *a, const struct timespec *b);
bool os_passed(const struct timespec *t);
/* Stay off the bus for a moment. */
static inline void os_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb");
#endif
}

#endif

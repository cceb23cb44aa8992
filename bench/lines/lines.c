/* bench/lines/lines.c - the calls that gcc's and clang's -fsanitize=thread puts into code, as a count of lines. See lines.h.
 *
 * Each line has the number of the stretch in which it was touched last. The atomic operations are done here, sequentially consistent.
 *
 * SPDX-License-Identifier: MIT */
#include "lines.h"

#include <string.h>
#include <sys/mman.h>

static uintptr_t base;
static size_t size;
static uint32_t *seen; /* [size / LINE]; pages of it are there as far as they are written */
static uint32_t stretch;
static unsigned taken;

bool lines_watch(void *at, size_t bytes)
{
    if (seen)
        munmap(seen, size / LINE * sizeof *seen);
    base = (uintptr_t)at;
    size = bytes;
    stretch = 0;
    seen = (uint32_t *)mmap(NULL, bytes / LINE * sizeof *seen, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (seen == MAP_FAILED) {
        seen = NULL;
        size = 0;
    }
    return seen;
}
void lines_mark(void)
{
    stretch++;
    taken = 0;
}
unsigned lines_taken(void)
{
    return taken;
}

bool lines_counted(void)
{
    static unsigned char at[PROBE_LINES * LINE] __attribute__((aligned(LINE)));
    if (!lines_watch(at, sizeof at))
        return false;
    lines_mark();
    lines_probe(at);
    return taken == PROBE_LINES;
}

static inline void touch(const void *at, size_t n)
{
    uintptr_t first = (uintptr_t)at - base;
    if (first >= size || n == 0)
        return;
    for (size_t line = first / LINE, last = (first + n - 1) / LINE; line <= last && line < size / LINE; line++)
        if (seen[line] != stretch) {
            seen[line] = stretch;
            taken++;
        }
}

/* ---- the compiler's calls: its names, so its declarations ---- */

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void __tsan_init(void) {}
void __tsan_func_entry(void *caller)
{
    (void)caller;
}
void __tsan_func_exit(void) {}
void __tsan_read_range(void *at, size_t n)
{
    touch(at, n);
}
void __tsan_write_range(void *at, size_t n)
{
    touch(at, n);
}

#define ACCESS(name, n)                                                                                      \
    void __tsan_##name(void *at)                                                                             \
    {                                                                                                        \
        touch(at, n);                                                                                        \
    }
ACCESS(read1, 1)
ACCESS(read2, 2)
ACCESS(read4, 4)
ACCESS(read8, 8)
ACCESS(read16, 16)
ACCESS(write1, 1)
ACCESS(write2, 2)
ACCESS(write4, 4)
ACCESS(write8, 8)
ACCESS(write16, 16)
ACCESS(unaligned_read2, 2)
ACCESS(unaligned_read4, 4)
ACCESS(unaligned_read8, 8)
ACCESS(unaligned_read16, 16)
ACCESS(unaligned_write2, 2)
ACCESS(unaligned_write4, 4)
ACCESS(unaligned_write8, 8)
ACCESS(unaligned_write16, 16)

#define FETCH(type, bits, name)                                                                              \
    type __tsan_atomic##bits##_fetch_##name(volatile type *at, type value, int order)                        \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch((const void *)at, sizeof *at);                                                                 \
        return __atomic_fetch_##name(at, value, __ATOMIC_SEQ_CST);                                           \
    }
#define EXCHANGE(type, bits, strength, weak)                                                                 \
    int __tsan_atomic##bits##_compare_exchange_##strength(volatile type *at, type *expected, type value,     \
                                                          int order, int failure)                            \
    {                                                                                                        \
        (void)order, (void)failure;                                                                          \
        touch((const void *)at, sizeof *at);                                                                 \
        return __atomic_compare_exchange_n(at, expected, value, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);   \
    }
#define ATOMIC(type, bits)                                                                                   \
    type __tsan_atomic##bits##_load(const volatile type *at, int order)                                      \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch((const void *)at, sizeof *at);                                                                 \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                        \
    }                                                                                                        \
    void __tsan_atomic##bits##_store(volatile type *at, type value, int order)                               \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch((const void *)at, sizeof *at);                                                                 \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                       \
    }                                                                                                        \
    type __tsan_atomic##bits##_exchange(volatile type *at, type value, int order)                            \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch((const void *)at, sizeof *at);                                                                 \
        return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                             \
    }                                                                                                        \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *at, type expected, type value, int order, \
                                                    int failure)                                             \
    {                                                                                                        \
        (void)order, (void)failure;                                                                          \
        touch((const void *)at, sizeof *at);                                                                 \
        __atomic_compare_exchange_n(at, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);            \
        return expected;                                                                                     \
    }                                                                                                        \
    EXCHANGE(type, bits, strong, 0)                                                                          \
    EXCHANGE(type, bits, weak, 1)                                                                            \
    FETCH(type, bits, add)                                                                                   \
    FETCH(type, bits, sub)                                                                                   \
    FETCH(type, bits, and)                                                                                   \
    FETCH(type, bits, or)                                                                                    \
    FETCH(type, bits, xor)                                                                                   \
    FETCH(type, bits, nand)
ATOMIC(uint8_t, 8)
ATOMIC(uint16_t, 16)
ATOMIC(uint32_t, 32)
ATOMIC(uint64_t, 64)

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* ---- the C library's, wrapped by the linker (clang calls the first three by other names) ---- */

void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int byte, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    touch(from, n);
    touch(to, n);
    return __real_memcpy(to, from, n);
}
void *__wrap_memmove(void *to, const void *from, size_t n)
{
    touch(from, n);
    touch(to, n);
    return __real_memmove(to, from, n);
}
void *__wrap_memset(void *to, int byte, size_t n)
{
    touch(to, n);
    return __real_memset(to, byte, n);
}
int __wrap_memcmp(const void *a, const void *b, size_t n) /* all of both, though it may stop before */
{
    touch(a, n);
    touch(b, n);
    return __real_memcmp(a, b, n);
}
void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    return __wrap_memcpy(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, size_t n)
{
    return __wrap_memmove(to, from, n);
}
void *__tsan_memset(void *to, int byte, size_t n)
{
    return __wrap_memset(to, byte, n);
}

/* tsan.c - what the compiler calls at each access with -fsanitize=thread, in place of ThreadSanitizer's runtime.
 *
 * An access to the segment is a place to switch at; one to private memory that is taken back is only noted. The calls for plain accesses stand
 * before the access, so a plain store is seen (and delayed, like the others) at the next call. Copies go word by word. */
#include <string.h>

#include "explore.h"

/* ---- plain accesses ---- */

static void plain_read(const void *at)
{
    settle();
    if (is_shared(at))
        point(ACCESS_READ, at);
}

static void plain_write(void *at, size_t n)
{
    settle();
    if (!exploring || !is_tracked(at))
        return;
    if (is_shared(at)) {
        point(ACCESS_WRITE, at);
        if (world.running >= 0 && ((uintptr_t)at % 8 + n > 8))
            fence(); /* seen at once: that is one of the ways in which it can be seen */
    }
    native_write(at, n);
}

#define PLAIN(n)                                                                                             \
    void __tsan_read##n(void *at);                                                                           \
    void __tsan_read##n(void *at)                                                                            \
    {                                                                                                        \
        plain_read(at);                                                                                      \
    }                                                                                                        \
    void __tsan_unaligned_read##n(void *at);                                                                 \
    void __tsan_unaligned_read##n(void *at)                                                                  \
    {                                                                                                        \
        plain_read(at);                                                                                      \
    }                                                                                                        \
    void __tsan_volatile_read##n(void *at);                                                                  \
    void __tsan_volatile_read##n(void *at)                                                                   \
    {                                                                                                        \
        plain_read(at);                                                                                      \
    }                                                                                                        \
    void __tsan_write##n(void *at);                                                                          \
    void __tsan_write##n(void *at)                                                                           \
    {                                                                                                        \
        plain_write(at, n);                                                                                  \
    }                                                                                                        \
    void __tsan_unaligned_write##n(void *at);                                                                \
    void __tsan_unaligned_write##n(void *at)                                                                 \
    {                                                                                                        \
        plain_write(at, n);                                                                                  \
    }                                                                                                        \
    void __tsan_volatile_write##n(void *at);                                                                 \
    void __tsan_volatile_write##n(void *at)                                                                  \
    {                                                                                                        \
        plain_write(at, n);                                                                                  \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *at, size_t n);
void __tsan_read_range(void *at, size_t n)
{
    (void)n;
    plain_read(at);
}
void __tsan_write_range(void *at, size_t n);
void __tsan_write_range(void *at, size_t n)
{
    plain_write(at, n);
}
void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc)
{
    (void)pc;
}
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}

/* ---- atomic accesses ---- */

static void note(void *at, uint64_t v, size_t n)
{
    put(at, &v, n);
}

#define ATOMIC(bits)                                                                                         \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order);                 \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order)                  \
    {                                                                                                        \
        (void)order;                                                                                         \
        plain_read((const void *)at);                                                                        \
        return *at;                                                                                          \
    }                                                                                                        \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at_, uint##bits##_t v, int order);             \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at_, uint##bits##_t v, int order)              \
    {                                                                                                        \
        void *at = (void *)(uintptr_t)at_;                                                                   \
        settle();                                                                                            \
        if (!exploring || !is_tracked(at)) {                                                                 \
            *at_ = v;                                                                                        \
            return;                                                                                          \
        }                                                                                                    \
        if (!is_shared(at) || world.running < 0) {                                                           \
            note(at, v, sizeof v);                                                                           \
            return;                                                                                          \
        }                                                                                                    \
        point(order == __ATOMIC_SEQ_CST ? ACCESS_CHANGE : ACCESS_WRITE, at);                                 \
        delay(at, v, sizeof v);                                                                              \
        if (order == __ATOMIC_SEQ_CST)                                                                       \
            fence();                                                                                         \
    }                                                                                                        \
    static void change##bits(volatile uint##bits##_t *at_)                                                   \
    {                                                                                                        \
        void *at = (void *)(uintptr_t)at_;                                                                   \
        settle();                                                                                            \
        if (exploring && world.running >= 0 && is_shared(at)) {                                              \
            point(ACCESS_CHANGE, at);                                                                        \
            fence();                                                                                         \
            kernel_changed();                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static void changed##bits(volatile uint##bits##_t *at_, uint##bits##_t v)                                \
    {                                                                                                        \
        void *at = (void *)(uintptr_t)at_;                                                                   \
        if (exploring && is_tracked(at))                                                                     \
            note(at, v, sizeof v);                                                                           \
        else                                                                                                 \
            *at_ = v;                                                                                        \
    }                                                                                                        \
    CHANGE(bits, exchange, v)                                                                                \
    CHANGE(bits, fetch_add, old + v)                                                                         \
    CHANGE(bits, fetch_sub, old - v)                                                                         \
    CHANGE(bits, fetch_and, old &v)                                                                          \
    CHANGE(bits, fetch_or, old | v)                                                                          \
    CHANGE(bits, fetch_xor, old ^ v)                                                                         \
    CHANGE(bits, fetch_nand, ~(old & v))                                                                     \
    SWAP(bits, strong)                                                                                       \
    SWAP(bits, weak)                                                                                         \
    SWAP_VALUE(bits)

#define CHANGE(bits, name, new)                                                                              \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t v, int order);   \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t v, int order)    \
    {                                                                                                        \
        uint##bits##_t old;                                                                                  \
        (void)order;                                                                                         \
        change##bits(at);                                                                                    \
        old = *at;                                                                                           \
        changed##bits(at, (uint##bits##_t)(new));                                                            \
        return old;                                                                                          \
    }

#define SWAP(bits, name)                                                                                     \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *at, uint##bits##_t *expected, \
                                                      uint##bits##_t v, int order, int failed);              \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *at, uint##bits##_t *expected, \
                                                      uint##bits##_t v, int order, int failed)               \
    {                                                                                                        \
        uint##bits##_t old;                                                                                  \
        (void)order, (void)failed;                                                                           \
        change##bits(at);                                                                                    \
        old = *at;                                                                                           \
        if (old == *expected) {                                                                              \
            changed##bits(at, v);                                                                            \
            return 1;                                                                                        \
        }                                                                                                    \
        *expected = old;                                                                                     \
        return 0;                                                                                            \
    }

/* What clang calls. */
#define SWAP_VALUE(bits)                                                                                     \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                               \
        volatile uint##bits##_t *at, uint##bits##_t expected, uint##bits##_t v, int order, int failed);      \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                               \
        volatile uint##bits##_t *at, uint##bits##_t expected, uint##bits##_t v, int order, int failed)       \
    {                                                                                                        \
        (void)__tsan_atomic##bits##_compare_exchange_strong(at, &expected, v, order, failed);                \
        return expected;                                                                                     \
    }

ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    settle();
    if (exploring && world.running >= 0 && order == __ATOMIC_SEQ_CST) {
        point(ACCESS_CHANGE, NULL);
        fence();
    }
}
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

/* ---- copies ---- */

void *explored_memcpy(void *to, const void *from, size_t n);
void *explored_memmove(void *to, const void *from, size_t n);
void *explored_memset(void *to, int c, size_t n);
int explored_memcmp(const void *a, const void *b, size_t n);

void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int c, size_t n);

enum { PIECES = 4, COPY_MOST = 65536 }; /* of a copy: places to switch within it */

static size_t piece_of(size_t n)
{
    return n <= 8 * PIECES ? 8 : (n / PIECES + 7) / 8 * 8;
}

/* From `from`, or n times c. Up to 8 bytes within one aligned word may be delayed; more is seen at once. */
static void store_piece(char *to, const char *from, int c, size_t n)
{
    static char same[COPY_MOST];
    bool watched = is_shared(to) && world.running >= 0;
    if (watched)
        point(ACCESS_WRITE, to);
    if (!from) { /* c, n times: by now, for others may have been here while this one was away */
        memset(same, c, n);
        from = same;
    }
    if (watched && (n == 8 || n == 4 || n == 2 || n == 1) && (uintptr_t)to % n == 0) {
        uint64_t v = 0;
        memcpy(&v, from, n);
        delay(to, v, (uint32_t)n);
        return;
    }
    if (watched) {
        fence();
        kernel_changed();
    }
    put(to, from, n);
}

void *explored_memmove(void *to, const void *from, size_t n)
{
    size_t piece = piece_of(n);
    settle();
    if (!exploring || n == 0 || n > COPY_MOST || (!is_tracked(to) && !is_shared(from)))
        return memmove(to, from, n);
    char bytes[n]; /* no longer than need be: it is part of each snapshot meanwhile */
    if (is_shared(from) && world.running >= 0)
        for (size_t i = 0; i < n; i += piece) {
            point(ACCESS_READ, (const char *)from + i);
            memcpy(bytes + i, (const char *)from + i, n - i < piece ? n - i : piece);
        }
    else
        memcpy(bytes, from, n);
    if (!is_tracked(to))
        return memcpy(to, bytes, n);
    for (size_t i = 0; i < n; i += piece)
        store_piece((char *)to + i, bytes + i, 0, n - i < piece ? n - i : piece);
    return to;
}
void *explored_memcpy(void *to, const void *from, size_t n)
{
    return explored_memmove(to, from, n);
}
void *explored_memset(void *to, int c, size_t n)
{
    size_t piece = piece_of(n);
    settle();
    if (!exploring || !is_tracked(to) || n > COPY_MOST)
        return memset(to, c, n);
    for (size_t i = 0; i < n; i += piece)
        store_piece((char *)to + i, NULL, c, n - i < piece ? n - i : piece);
    return to;
}
int explored_memcmp(const void *a, const void *b, size_t n)
{
    plain_read(a);
    plain_read(b);
    return memcmp(a, b, n);
}
void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    return explored_memmove(to, from, n);
}
void *__wrap_memmove(void *to, const void *from, size_t n)
{
    return explored_memmove(to, from, n);
}
void *__wrap_memset(void *to, int c, size_t n)
{
    return explored_memset(to, c, n);
}
void *__tsan_memcpy(void *to, const void *from, size_t n);
void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    return explored_memmove(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, size_t n);
void *__tsan_memmove(void *to, const void *from, size_t n)
{
    return explored_memmove(to, from, n);
}
void *__tsan_memset(void *to, int c, size_t n);
void *__tsan_memset(void *to, int c, size_t n)
{
    return explored_memset(to, c, n);
}

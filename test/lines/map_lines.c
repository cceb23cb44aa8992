/* map_lines.c - how many cache lines one insert into a map touches: at most so many, growth included. usage: map_lines [ENTRIES]
 *
 * The library is compiled as for ThreadSanitizer and linked with hooks of our own in place of its runtime, so it is called at each access to memory;
 * memcpy, memset and memmove lead here too. What is counted are the distinct lines of 64 bytes of the segment (map, heap, side tables, the participant's
 * record and log) that the library's own code read or wrote in one tarn_map_put64. Not counted: private memory, what the kernel touches, and what the
 * library would touch by wider instructions (here it compares tags eight at a time, in the same lines). */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "segment/segment.h"
#include "tarn.h"

#define MOST 1024u /* lines that one insert may touch */

static uintptr_t from, lines; /* of the segment */
static uint32_t *seen, now;   /* in which call a line was touched last */
static uint64_t count;
static bool counting;

static void touch(const volatile void *at, size_t size)
{
    uintptr_t first = ((uintptr_t)at - from) / 64, last = ((uintptr_t)at + size - 1 - from) / 64;
    if (!counting || !size || (uintptr_t)at < from)
        return;
    for (; first <= last && first < lines; first++)
        if (seen[first] != now) {
            seen[first] = now;
            count++;
        }
}

/* ---- hooks ---- */

#define PLAIN(name, size)                                                                                    \
    void __tsan_##name(void *at);                                                                            \
    void __tsan_##name(void *at)                                                                             \
    {                                                                                                        \
        touch(at, size);                                                                                     \
    }
#define PLAINS(size)                                                                                         \
    PLAIN(read##size, size)                                                                                  \
    PLAIN(write##size, size)                                                                                 \
    PLAIN(unaligned_read##size, size)                                                                        \
    PLAIN(unaligned_write##size, size)                                                                       \
    PLAIN(volatile_read##size, size)                                                                         \
    PLAIN(volatile_write##size, size)
PLAINS(1)
PLAINS(2)
PLAINS(4)
PLAINS(8)
PLAINS(16)

void __tsan_read_range(void *at, size_t n);
void __tsan_read_range(void *at, size_t n)
{
    touch(at, n);
}
void __tsan_write_range(void *at, size_t n);
void __tsan_write_range(void *at, size_t n)
{
    touch(at, n);
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
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

#define CHANGE(bits, name)                                                                                   \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t v, int order);   \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t v, int order)    \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch(at, sizeof *at);                                                                               \
        return ATOMIC_##name(at, v);                                                                         \
    }
#define ATOMIC_exchange(at, v) __atomic_exchange_n(at, v, __ATOMIC_SEQ_CST)
#define ATOMIC_fetch_add(at, v) __atomic_fetch_add(at, v, __ATOMIC_SEQ_CST)
#define ATOMIC_fetch_sub(at, v) __atomic_fetch_sub(at, v, __ATOMIC_SEQ_CST)
#define ATOMIC_fetch_and(at, v) __atomic_fetch_and(at, v, __ATOMIC_SEQ_CST)
#define ATOMIC_fetch_or(at, v) __atomic_fetch_or(at, v, __ATOMIC_SEQ_CST)
#define ATOMIC_fetch_xor(at, v) __atomic_fetch_xor(at, v, __ATOMIC_SEQ_CST)
#define EXCHANGE(bits, name)                                                                                 \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *at, uint##bits##_t *expected, \
                                                      uint##bits##_t v, int order, int failed);              \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *at, uint##bits##_t *expected, \
                                                      uint##bits##_t v, int order, int failed)               \
    {                                                                                                        \
        (void)order, (void)failed;                                                                           \
        touch(at, sizeof *at);                                                                               \
        return __atomic_compare_exchange_n(at, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
    }
#define ATOMIC(bits)                                                                                         \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order);                 \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order)                  \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch(at, sizeof *at);                                                                               \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                        \
    }                                                                                                        \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t v, int order);              \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t v, int order)               \
    {                                                                                                        \
        (void)order;                                                                                         \
        touch(at, sizeof *at);                                                                               \
        __atomic_store_n(at, v, __ATOMIC_SEQ_CST);                                                           \
    }                                                                                                        \
    CHANGE(bits, exchange)                                                                                   \
    CHANGE(bits, fetch_add)                                                                                  \
    CHANGE(bits, fetch_sub)                                                                                  \
    CHANGE(bits, fetch_and)                                                                                  \
    CHANGE(bits, fetch_or)                                                                                   \
    CHANGE(bits, fetch_xor)                                                                                  \
    EXCHANGE(bits, strong)                                                                                   \
    EXCHANGE(bits, weak)                                                                                     \
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

void *counted_memcpy(void *to, const void *copied, size_t n);
void *counted_memcpy(void *to, const void *copied, size_t n)
{
    touch(to, n);
    touch(copied, n);
    return memcpy(to, copied, n);
}
void *counted_memmove(void *to, const void *copied, size_t n);
void *counted_memmove(void *to, const void *copied, size_t n)
{
    touch(to, n);
    touch(copied, n);
    return memmove(to, copied, n);
}
void *counted_memset(void *to, int c, size_t n);
void *counted_memset(void *to, int c, size_t n)
{
    touch(to, n);
    return memset(to, c, n);
}

/* ---- */

static int die(const char *what)
{
    fprintf(stderr, "map_lines: %s: %s\n", what, tarn_error());
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000, most = 0, sum = 0,
             x = 88172645463325252ull, v;
    struct tarn_options o = {.size = sizeof o, .limit = (entries * 64 + (64 << 20)) >> 20 << 20};
    tarn *seg;
    tarn_map *map;
    alarm(3000);
    if (tarn_open("anon:", TARN_CREATE, &o, &seg) < 0 ||
        tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &map) < 0)
        return die("cannot make a map");
    from = (uintptr_t)seg->base;
    lines = seg->geometry.end / 64;
    seen = calloc(lines, sizeof *seen);
    if (!seen)
        return die("no memory");
    for (uint64_t i = 0; i < entries; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        count = 0;
        now++;
        counting = true;
        int e = tarn_map_put64(map, x, i);
        counting = false;
        if (e < 0)
            return die("tarn_map_put64");
        most = count > most ? count : most;
        sum += count;
    }
    counting = false;
    if (tarn_map_count(map, &v) < 0 || v != entries || sum < 4 * entries)
        return die("the entries, or the lines, are not all there");
    printf("map.u64.insert_max_lines %llu lines\nmap.u64.insert_mean_lines %.1f lines\n",
           (unsigned long long)most, (double)sum / (double)entries);
    tarn_map_close(map);
    tarn_close(seg);
    free(seen);
    return most > MOST;
}

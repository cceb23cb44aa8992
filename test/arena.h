/* arena.h - for tests of the crash core by the public header (but for at_rest): a small segment with an object of mutexes and words in it, a way to
 * fill the segment up, and threads that end well or badly. Include it after helper.h.
 *
 * A thread that ends with a lock held or a section open is a death like any other (docs/crash-core.md), and the only one to be had within
 * one process: dies() runs a function in such a thread, and ends() in one that must leave in good order. */
#ifndef TARN_TEST_ARENA_H
#define TARN_TEST_ARENA_H

#include <pthread.h>
#include <time.h>

#include "participant/participant.h"

#define LOCKS 300u
#define WORDS 512u

struct arena {
    tarn_mutex lock[LOCKS];
    uint64_t word[WORDS];
    tarn_ref ref[8];
    tarn_ref fill; /* chain of the blocks that fill() took */
};

/* The least there is, but for what a test says: spans of a page, so that memory ends soon. */
static inline struct tarn_options tiny(uint32_t participants)
{
    return (struct tarn_options){.size = sizeof(struct tarn_options),
                                 .initial = 65536,
                                 .limit = 128 << 10,
                                 .participants = participants,
                                 .record_size = 2048,
                                 .span_size = 4096};
}

static inline struct arena *arena_open(const char *url, const struct tarn_options *options, tarn **ret_seg)
{
    struct arena *a = NULL;
    int e = tarn_open(url, TARN_CREATE, options, ret_seg);
    if (e < 0)
        print_error("open: %d: %s\n", e, tarn_error());
    assert_int_equal(e, 0);
    e = tarn_object(*ret_seg, "arena", struct arena, &a);
    if (e < 0)
        print_error("arena: %d: %s\n", e, tarn_error());
    assert_int_equal(e, 0);
    return a;
}

/* Take all memory, down to blocks of 16 bytes; each block's first word leads to the next. */
static inline void fill(tarn *seg, struct arena *a)
{
    static const size_t sizes[] = {32768, 8192, 4096, 2048, 1024, 512, 256, 128, 96, 64, 48, 32, 16};
    tarn_ref *place = &a->fill;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int e;
        while ((e = tarn_alloc_into(seg, place, sizes[i])) == 0) {
            place = tarn_ptr(seg, *place, sizeof *place);
            assert_non_null(place);
        }
        if (e != -ENOSPC)
            print_error("fill, %zu bytes: %d: %s\n", sizes[i], e, tarn_error());
        assert_int_equal(e, -ENOSPC);
        assert_int_equal(*place, 0);
    }
}
/* Give the last `keep` blocks' chain back, but for the first: enough room for anything small. */
static inline void empty(tarn *seg, struct arena *a)
{
    while (a->fill) {
        tarn_ref *first = tarn_ptr(seg, a->fill, sizeof *first), next = *first;
        assert_int_equal(tarn_free_from(seg, &a->fill), 0);
        a->fill = next;
    }
}

static inline struct timespec from_now(long milliseconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += milliseconds / 1000;
    t.tv_nsec += milliseconds % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

/* Wait until another thread or process has stored at least `value`; the test's alarm bounds it. */
static inline void await(const volatile int *word, int value)
{
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value)
        usleep(500);
}
static inline void reach(volatile int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Between its calls a thread has no bell armed, and waits for nothing. */
static inline bool at_rest(void)
{
    const struct self *s = self_last;
    return !s || !s->id || (!s->bell && (!s->pending || !*s->pending) && !s->record->waits);
}

/* Run it in a thread of its own, and wait for its end; its result. In threads, use check(). */
struct errand {
    void *(*run)(void *);
    void *arg;
};
static inline void *run_errand(void *errand)
{
    const struct errand *e = errand;
    void *result = e->run(e->arg);
    check(at_rest());
    return result;
}
static inline long in_thread(void *(*run)(void *), void *arg)
{
    struct errand errand = {run, arg};
    pthread_t t;
    void *result = NULL;
    assert_int_equal(pthread_create(&t, NULL, run_errand, &errand), 0);
    assert_int_equal(pthread_join(t, &result), 0);
    return (long)result;
}

#endif

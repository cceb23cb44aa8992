/* room.h - for tests of the objects of synchronisation: a segment with some of each, and actors. After helper.h and arena.h.
 *
 * An actor is a thread that does what it is asked, one thing after the other, so that a test in one process has other participants at hand; it may be
 * left waiting in a call while the test goes on. Retired by dismiss(): then whatever it holds is a dead one's. */
#ifndef TARN_TEST_ROOM_H
#define TARN_TEST_ROOM_H

#include <pthread.h>

enum { EACH = 4 };

struct room {
    tarn_rwlock rwlock[EACH];
    tarn_condition condition[EACH];
    tarn_semaphore semaphore[EACH];
    tarn_held held[EACH];
    tarn_barrier barrier[EACH];
    tarn_once once[EACH];
    tarn_event event[EACH];
    tarn_mutex mutex[LOCKS];
    uint64_t word[64];
};

static inline struct room *room_open(const char *url, const struct tarn_options *options, tarn **ret_seg)
{
    struct room *r = NULL;
    int e = tarn_open(url, TARN_CREATE, options, ret_seg);
    if (e < 0)
        print_error("open: %d: %s\n", e, tarn_error());
    assert_int_equal(e, 0);
    e = tarn_object(*ret_seg, "room", struct room, &r);
    if (e < 0)
        print_error("room: %d: %s\n", e, tarn_error());
    assert_int_equal(e, 0);
    return r;
}

struct actor {
    pthread_t thread;
    volatile int asked, done;
    long (*run)(void *);
    void *arg;
    long result;
};

static inline void *act(void *arg)
{
    struct actor *a = arg;
    for (int n = 1;; n++) {
        await(&a->asked, n);
        if (!a->run)
            return NULL;
        a->result = a->run(a->arg);
        check(at_rest());
        reach(&a->done, n);
    }
}
static inline void engage(struct actor *a)
{
    memset(a, 0, sizeof *a);
    assert_int_equal(pthread_create(&a->thread, NULL, act, a), 0);
}
static inline void ask(struct actor *a, long (*run)(void *), void *arg)
{
    a->run = run;
    a->arg = arg;
    reach(&a->asked, a->asked + 1);
}
static inline bool answered(struct actor *a)
{
    return __atomic_load_n(&a->done, __ATOMIC_ACQUIRE) == a->asked;
}
static inline long answer(struct actor *a)
{
    await(&a->done, a->asked);
    return a->result;
}
static inline long tell(struct actor *a, long (*run)(void *), void *arg)
{
    ask(a, run, arg);
    return answer(a);
}
static inline void dismiss(struct actor *a)
{
    ask(a, NULL, NULL);
    assert_int_equal(pthread_join(a->thread, NULL), 0);
}

/* Participants that wait for the object now, as tarn_who_waits has it. */
struct waiters {
    tarn_ref ref;
    uint32_t seen[64], count;
};
static inline int count_waiter(const struct tarn_waiting *w, void *arg)
{
    struct waiters *all = arg;
    if (w->ref != all->ref)
        return 0;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->seen[i] == w->id)
            return 0;
    if (all->count < 64)
        all->seen[all->count++] = w->id;
    return 0;
}
static inline uint32_t waiting_for(tarn *seg, const void *object)
{
    struct waiters all = {.ref = tarn_ref_of(seg, object)};
    if (tarn_who_waits(seg, count_waiter, &all) != 0)
        return UINT32_MAX;
    return all.count;
}
/* The alarm bounds it. A little later they sleep. */
static inline void await_waiting(tarn *seg, const void *object, uint32_t n)
{
    while (waiting_for(seg, object) != n)
        usleep(500);
    usleep(2000);
}

#endif

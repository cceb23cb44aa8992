/* bench/sync_lock.c - rwlocks and semaphores: alone, and two processes on two cpus.
 *
 * read: three words are read under the lock, and must fit together. write: three words are changed. mix90: nine reads, then one write. alone: nobody
 * else; a second, sleeping thread is in the process. two.0ns: two processes without own work; the rate is both sides' together. The lock is in one
 * cache line, its words in the next. pthread's rwlock is process-shared, with its default preference; so is sem_t.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#define TURNS 300000u
#define DUEL_NS 30000000u

struct place {
    unsigned char lock[64] __attribute__((aligned(64)));
    uint64_t word[8];
};
_Static_assert(sizeof(pthread_rwlock_t) <= 64 && sizeof(tarn_rwlock) <= 64 && sizeof(sem_t) <= 64,
               "a lock fits");

typedef int (*call)(void *lock);
struct kind {
    const char *name;
    void (*make)(void *lock);
    void (*read_alone)(struct place *p, uint64_t n);
    void (*write_alone)(struct place *p, uint64_t n);
    uint64_t (*read_both)(struct place *p, const int *stop);
    uint64_t (*mix_both)(struct place *p, const int *stop, uint64_t *ret_writes);
};

#define INLINE static inline __attribute__((always_inline, unused))

INLINE void must(int e)
{
    if (__builtin_expect(e, 0))
        bench_die("sync: a lock call failed: %d", e);
}
INLINE void look(const struct place *p)
{
    const volatile uint64_t *w = p->word;
    uint64_t a = w[0], b = w[1], c = w[2];
    if (__builtin_expect(b != 2 * a || c != 3 * a, 0))
        bench_die("sync: a reader saw half a write");
}
INLINE void change(struct place *p)
{
    volatile uint64_t *w = p->word;
    w[0] += 1;
    w[1] += 2;
    w[2] += 3;
}
INLINE void loop(struct place *p, uint64_t n, call lock, call unlock, bool write)
{
    for (uint64_t i = 0; i < n; i++) {
        must(lock(p->lock));
        if (write)
            change(p);
        else
            look(p);
        must(unlock(p->lock));
    }
}
INLINE uint64_t both(struct place *p, const int *stop, call read, call write, call unlock, uint64_t *ret_writes)
{
    uint64_t n = 0, writes = 0;
    for (; !__atomic_load_n(stop, __ATOMIC_RELAXED); n++) {
        if (write && n % 10 == 9) {
            must(write(p->lock));
            change(p);
            writes++;
        } else {
            must(read(p->lock));
            look(p);
        }
        must(unlock(p->lock));
    }
    if (ret_writes)
        *ret_writes = writes;
    return n;
}

#define KIND(id, label, maker, read, write, unlock)                                                          \
    static void id##_read_alone(struct place *p, uint64_t n)                                                 \
    {                                                                                                        \
        loop(p, n, read, unlock, false);                                                                     \
    }                                                                                                        \
    static void id##_write_alone(struct place *p, uint64_t n)                                                \
    {                                                                                                        \
        loop(p, n, write, unlock, true);                                                                     \
    }                                                                                                        \
    static uint64_t id##_read_both(struct place *p, const int *stop)                                         \
    {                                                                                                        \
        return both(p, stop, read, NULL, unlock, NULL);                                                      \
    }                                                                                                        \
    static uint64_t id##_mix_both(struct place *p, const int *stop, uint64_t *ret_writes)                    \
    {                                                                                                        \
        return both(p, stop, read, write, unlock, ret_writes);                                               \
    }                                                                                                        \
    static const struct kind id = {label,          maker,        id##_read_alone, id##_write_alone,          \
                                   id##_read_both, id##_mix_both}

static tarn *seg;

static void our_make(void *lock)
{
    memset(lock, 0, 64);
}
INLINE int our_read(void *l)
{
    return tarn_rwlock_read(seg, l);
}
INLINE int our_write(void *l)
{
    return tarn_rwlock_write(seg, l);
}
INLINE int our_unlock(void *l)
{
    return tarn_rwlock_unlock(seg, l);
}
KIND(ours, "tarn", our_make, our_read, our_write, our_unlock);

static void pthread_make(void *lock)
{
    pthread_rwlockattr_t a;
    pthread_rwlockattr_init(&a);
    if (pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED) || pthread_rwlock_init(lock, &a))
        bench_die("pthread_rwlock_init failed");
}
INLINE int pthread_read(void *l)
{
    return pthread_rwlock_rdlock(l);
}
INLINE int pthread_write(void *l)
{
    return pthread_rwlock_wrlock(l);
}
INLINE int pthread_unlock(void *l)
{
    return pthread_rwlock_unlock(l);
}
KIND(theirs, "pthread", pthread_make, pthread_read, pthread_write, pthread_unlock);

static void units_make(void *s)
{
    memset(s, 0, 64);
    core_good(tarn_semaphore_init(seg, s, 1), "tarn_semaphore_init");
}
INLINE int units_wait(void *s)
{
    return tarn_semaphore_wait(seg, s);
}
INLINE int units_post(void *s)
{
    return tarn_semaphore_post(seg, s);
}
KIND(units, "tarn", units_make, units_wait, units_wait, units_post);
static void sem_make(void *s)
{
    if (sem_init(s, 1, 1))
        bench_die("sem_init failed");
}
INLINE int sem_take(void *s)
{
    return sem_wait(s);
}
INLINE int sem_give(void *s)
{
    return sem_post(s);
}
KIND(posix_sem, "sem_t", sem_make, sem_take, sem_take, sem_give);

/* ---- alone ---------------------------------------------------------------------------------------------------------- */

struct trial {
    const struct kind *kind;
    struct place *p;
    bool write, mix;
};

static double alone_sample(void *state)
{
    const struct trial *t = state;
    void (*run)(struct place *, uint64_t) = t->write ? t->kind->write_alone : t->kind->read_alone;
    memset(t->p->word, 0, sizeof t->p->word);
    run(t->p, TURNS / 10);
    uint64_t start = bench_now();
    run(t->p, TURNS);
    uint64_t end = bench_now();
    if (t->p->word[0] != (t->write ? TURNS + TURNS / 10 : 0))
        bench_die("sync: %s counted to %llu", t->kind->name, (unsigned long long)t->p->word[0]);
    return (double)(end - start) / TURNS;
}

static pthread_mutex_t asleep = PTHREAD_MUTEX_INITIALIZER;
static void *sleeper(void *arg)
{
    pthread_mutex_lock(&asleep);
    pthread_mutex_unlock(&asleep);
    return arg;
}

static void alone(const char *figure, const struct kind *a, struct place *at, const struct kind *b,
                  struct place *there, bool write)
{
    struct trial ta = {a, at, write, false}, tb = {b, there, write, false};
    struct contender me = {"tarn", alone_sample, &ta}, peer = {b->name, alone_sample, &tb};
    struct outcome o;
    pthread_t thread;
    if (!bench_wanted(figure))
        return;
    a->make(at->lock);
    b->make(there->lock);
    pthread_mutex_lock(&asleep);
    if (pthread_create(&thread, NULL, sleeper, NULL))
        bench_die("no thread");
    bench_compare(figure, "ns", &me, &peer, 1, bench_reps(21), false, &o);
    pthread_mutex_unlock(&asleep);
    pthread_join(thread, NULL);
}

/* ---- two ------------------------------------------------------------------------------------------------------------ */

static uint64_t *written; /* shared: each side's writes */

static void enter(void *state, int side)
{
    const struct trial *t = state;
    (void)side;
    if (t->kind == &ours)
        core_good(tarn_thread_attach(seg), "tarn_thread_attach");
}
static uint64_t run(void *state, int side, const int *stop)
{
    const struct trial *t = state;
    return t->mix ? t->kind->mix_both(t->p, stop, &written[side * 8]) : t->kind->read_both(t->p, stop);
}
static void leave(void *state)
{
    const struct trial *t = state;
    if (t->kind == &ours)
        core_good(tarn_thread_detach(seg), "tarn_thread_detach");
}

static double two_sample(void *state)
{
    struct trial *t = state;
    struct duel duel = {.enter = enter, .run = run, .leave = leave, .state = t};
    uint64_t ops[2];
    memset(t->p->word, 0, sizeof t->p->word);
    written[0] = written[8] = 0;
    double ns = bench_duel(&duel, DUEL_NS, ops);
    if (t->p->word[0] != written[0] + written[8] || t->p->word[1] != 2 * t->p->word[0])
        bench_die("sync: %s lost writes", t->kind->name);
    return (double)(ops[0] + ops[1]) / ns * 1e3;
}

static void two(const char *figure, struct place *at, struct place *there, bool mix)
{
    struct trial ta = {&ours, at, false, mix}, tb = {&theirs, there, false, mix};
    struct contender me = {"tarn", two_sample, &ta}, peer = {"pthread", two_sample, &tb};
    struct outcome o;
    if (!bench_wanted(figure))
        return;
    ours.make(at->lock);
    theirs.make(there->lock);
    bench_compare(figure, "Mops/s", &me, &peer, 1, bench_reps(15), true, &o);
}

void sync_lock(void)
{
    if (!bench_wanted("sync.rwlock") && !bench_wanted("sync.semaphore"))
        return;
    seg = core_segment(1 << 20);
    struct place *at = core_block(seg, sizeof *at), *there = bench_shared(sizeof *there);
    written = bench_shared(128);
    bench_pin(0);
    alone("sync.rwlock.read.alone", &ours, at, &theirs, there, false);
    alone("sync.rwlock.write.alone", &ours, at, &theirs, there, true);
    two("sync.rwlock.read.two.0ns", at, there, false);
    two("sync.rwlock.mix90.two.0ns", at, there, true);
    alone("sync.semaphore.alone", &units, at, &posix_sem, there, true);
    core_close(seg);
}

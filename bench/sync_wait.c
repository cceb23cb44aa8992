/* bench/sync_wait.c - being woken: a ball goes to and fro between two processes; and what costs nearly nothing, or is done once.
 *
 * condition.pingpong: a mutex, a condition and whose turn it is; each side waits for its turn, gives it to the other, and signals. pthread's are process-
 * shared. event.pingpong: two automatic events; the peers are two bare futex words: `futex` sleeps at once, `futex_looking` looks some 2 us before, as tarn does. Both
 * sides of each have a cpu of their own. A time is of a round, to and fro.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS_NS 30000000u

static tarn *seg;

struct table {
    union {
        tarn_mutex mutex;
        pthread_mutex_t theirs;
    } lock __attribute__((aligned(64)));
    union {
        tarn_condition condition;
        pthread_cond_t theirs;
    } turned __attribute__((aligned(64)));
    uint32_t turn __attribute__((aligned(64))); /* side, or OVER */
    union {
        tarn_event event;
        uint32_t word;
    } ball[2] __attribute__((aligned(64)));
    uint32_t over __attribute__((aligned(64)));
};
enum { OVER = 2 };

struct game {
    const char *name;
    void (*make)(struct table *t);
    bool (*hit)(struct table *t, int side, bool over); /* wait for one's turn, give it away; false: it is over */
};

/* ---- conditions ----------------------------------------------------------------------------------------------------- */

static void ours_make(struct table *t)
{
    memset(t, 0, sizeof *t);
}
static bool ours_hit(struct table *t, int side, bool over)
{
    uint32_t turn;
    core_good(tarn_mutex_lock(seg, &t->lock.mutex), "lock");
    while ((turn = t->turn) != (uint32_t)side && turn != OVER)
        core_good(tarn_condition_wait(seg, &t->turned.condition, &t->lock.mutex), "wait");
    if (turn != OVER)
        t->turn = over ? (uint32_t)OVER : (uint32_t)!side;
    core_good(tarn_condition_signal(seg, &t->turned.condition), "signal");
    core_good(tarn_mutex_unlock(seg, &t->lock.mutex), "unlock");
    return turn != OVER;
}
static void pthread_make(struct table *t)
{
    pthread_mutexattr_t m;
    pthread_condattr_t c;
    memset(t, 0, sizeof *t);
    pthread_mutexattr_init(&m);
    pthread_condattr_init(&c);
    if (pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED) ||
        pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED) || pthread_mutex_init(&t->lock.theirs, &m) ||
        pthread_cond_init(&t->turned.theirs, &c))
        bench_die("no pthread mutex and condition");
}
static bool pthread_hit(struct table *t, int side, bool over)
{
    uint32_t turn;
    pthread_mutex_lock(&t->lock.theirs);
    while ((turn = t->turn) != (uint32_t)side && turn != OVER)
        pthread_cond_wait(&t->turned.theirs, &t->lock.theirs);
    if (turn != OVER)
        t->turn = over ? (uint32_t)OVER : (uint32_t)!side;
    pthread_cond_signal(&t->turned.theirs);
    pthread_mutex_unlock(&t->lock.theirs);
    return turn != OVER;
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

static void event_make(struct table *t)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < 2; i++)
        core_good(tarn_event_init(seg, &t->ball[i].event, TARN_EVENT_AUTOMATIC), "tarn_event_init");
    core_good(tarn_event_set(seg, &t->ball[0].event), "tarn_event_set");
}
static bool event_hit(struct table *t, int side, bool over)
{
    bool on;
    core_good(tarn_event_wait(seg, &t->ball[side].event), "wait");
    on = !__atomic_load_n(&t->over, __ATOMIC_ACQUIRE);
    if (over)
        __atomic_store_n(&t->over, 1, __ATOMIC_RELEASE);
    core_good(tarn_event_set(seg, &t->ball[!side].event), "set");
    return on;
}
/* 0 not set, 1 set, 2 somebody sleeps. */
static void futex_make(struct table *t)
{
    memset(t, 0, sizeof *t);
    t->ball[0].word = 1;
}
static int futex_looks; /* before it sleeps */
static void futex_wait(uint32_t *w)
{
    for (int look = 0;;) {
        uint32_t one = 1, zero = 0;
        if (__atomic_compare_exchange_n(w, &one, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return;
        if (look < futex_looks) {
            for (int i = look < 2 ? 16 : 1; i; i--)
                __asm__ volatile("pause");
            look++;
            continue;
        }
        if (one == 2 || __atomic_compare_exchange_n(w, &zero, 2, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            syscall(SYS_futex, w, FUTEX_WAIT, 2, NULL, NULL, 0);
    }
}
static void futex_set(uint32_t *w)
{
    if (__atomic_exchange_n(w, 1, __ATOMIC_SEQ_CST) == 2)
        syscall(SYS_futex, w, FUTEX_WAKE, 1, NULL, NULL, 0);
}
static bool futex_hit(struct table *t, int side, bool over)
{
    bool on;
    futex_wait(&t->ball[side].word);
    on = !__atomic_load_n(&t->over, __ATOMIC_ACQUIRE);
    if (over)
        __atomic_store_n(&t->over, 1, __ATOMIC_RELEASE);
    futex_set(&t->ball[!side].word);
    return on;
}

static void futex_make_looking(struct table *t)
{
    futex_make(t);
    futex_looks = 60;
}
static void futex_make_plain(struct table *t)
{
    futex_make(t);
    futex_looks = 0;
}

static const struct game our_condition = {"tarn", ours_make, ours_hit},
                         their_condition = {"pthread", pthread_make, pthread_hit},
                         our_event = {"tarn", event_make, event_hit},
                         bare_futex = {"futex", futex_make_plain, futex_hit},
                         looking_futex = {"futex_looking", futex_make_looking, futex_hit};

/* ---- a game --------------------------------------------------------------------------------------------------------- */

struct trial {
    const struct game *game;
    struct table *t;
};
static void enter(void *state, int side)
{
    (void)state, (void)side;
    core_good(tarn_thread_attach(seg), "tarn_thread_attach");
}
static uint64_t run(void *state, int side, const int *stop)
{
    const struct trial *t = state;
    uint64_t n = 0;
    while (t->game->hit(t->t, side, side == 0 && __atomic_load_n(stop, __ATOMIC_RELAXED)))
        n++;
    return n;
}
static void leave(void *state)
{
    (void)state;
    core_good(tarn_thread_detach(seg), "tarn_thread_detach");
}
static double sample(void *state)
{
    struct trial *t = state;
    struct duel duel = {.enter = enter, .run = run, .leave = leave, .state = t};
    uint64_t ops[2];
    t->game->make(t->t);
    double ns = bench_duel(&duel, ROUNDS_NS, ops);
    if (ops[0] < 10 || ops[1] + 2 < ops[0] || ops[0] + 2 < ops[1])
        bench_die("sync: %s: %llu hits and %llu", t->game->name, (unsigned long long)ops[0],
                  (unsigned long long)ops[1]);
    return ns / (double)ops[0] / 1e3;
}
static void play(const char *figure, const struct game *a, struct table *at, const struct game *const *others,
                 int n, struct table *there)
{
    struct trial ta = {a, at}, tb[2];
    struct contender me = {"tarn", sample, &ta}, peer[2];
    struct outcome o;
    for (int i = 0; i < n; i++) {
        tb[i] = (struct trial){others[i], there};
        peer[i] = (struct contender){others[i]->name, sample, &tb[i]};
    }
    if (bench_wanted(figure))
        bench_compare(figure, "us", &me, peer, n, bench_reps(15), true, &o);
}

/* ---- once, and coming and going ------------------------------------------------------------------------------------- */

static int nothing(tarn *s, void *arg)
{
    (void)s;
    ++*(int *)arg;
    return 0;
}
static void once_done(tarn_once *o)
{
    double ns[21];
    int count = 0, reps = bench_reps(21);
    const uint64_t turns = 2000000;
    if (reps > 21)
        reps = 21;
    for (int r = 0; r < reps; r++) {
        uint64_t start = bench_now();
        for (uint64_t i = 0; i < turns; i++)
            if (__builtin_expect(tarn_once_run(seg, o, nothing, &count) != 0, 0))
                bench_die("tarn_once_run: %s", tarn_error());
        ns[r] = (double)(bench_now() - start) / (double)turns;
    }
    if (count != 1)
        bench_die("sync.once: done %d times", count);
    bench_print("sync.once.done_ns", bench_quantile(ns, reps, 0.5), "ns");
}

static void attach_detach(void)
{
    double us[21];
    int reps = bench_reps(21);
    if (reps > 21)
        reps = 21;
    core_good(tarn_thread_detach(seg), "tarn_thread_detach");
    for (int r = 0; r < reps; r++) {
        uint64_t start = bench_now();
        for (int i = 0; i < 200; i++) {
            core_good(tarn_thread_attach(seg), "tarn_thread_attach");
            core_good(tarn_thread_detach(seg), "tarn_thread_detach");
        }
        us[r] = (double)(bench_now() - start) / 200e3;
    }
    bench_print("sync.attach_detach_us", bench_quantile(us, reps, 0.5), "us");
}

void sync_wait(void)
{
    if (!bench_wanted("sync.condition") && !bench_wanted("sync.event") && !bench_wanted("sync.once") &&
        !bench_wanted("sync.attach_detach_us"))
        return;
    seg = core_segment(1 << 20);
    struct table *at = core_block(seg, sizeof *at), *there = bench_shared(sizeof *there);
    bench_pin(0);
    static const struct game *const conditions[] = {&their_condition}, *const futexes[] = {&bare_futex,
                                                                                           &looking_futex};
    play("sync.condition.pingpong", &our_condition, at, conditions, 1, there);
    play("sync.event.pingpong", &our_event, at, futexes, 2, there);
    if (bench_wanted("sync.once.done_ns")) {
        memset(at, 0, sizeof *at);
        once_done((tarn_once *)(void *)at);
    }
    if (bench_wanted("sync.attach_detach_us"))
        attach_detach();
    core_close(seg);
}

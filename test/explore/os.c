/* os.c - the kernel, as far as participants meet it while they are explored. The linker leads the library's calls here (--wrap); in set-up,
 * files and maps are the real ones.
 *
 * Each participant is a process of its own: with its own handle, its own descriptor for byte locks, and its own thread id.
 *   futex     sleepers are woken in the order in which they fell asleep. One who was woken, and has not run yet, still stands in the queues of its
 *             other words, and swallows what is woken there; it is told of the highest word of those.
 *   death     liveness words of the dead are flipped, a sleeper is woken on each; later one on the word that is pending; later byte locks go.
 *   time      there is none: a sleep without a wake-up lasts for ever, a pause until somebody else has changed something. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "explore.h"
#include "os/futex.h"
#include "participant/participant.h"
#include "segment/segment.h"

#define WRAP(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

static struct person *me(void)
{
    return &world.person[world.running < 0 ? DRIVER : world.running];
}
static uint32_t tid_of(int p)
{
    return 1001 + (uint32_t)p;
}
static uint32_t my_tid(void)
{
    return tid_of(world.running < 0 ? DRIVER : world.running);
}

/* A system call: a place to switch at, and to die; whatever was delayed is seen. */
static void enter(const void *at)
{
    settle();
    if (world.running < 0)
        return;
    point(ACCESS_KERNEL, at);
    fence();
}

void kernel_changed(void)
{
    for (int p = 0; p < world.people; p++)
        if (world.person[p].state == PAUSED)
            world.person[p].state = READY;
}

/* ---- futexes ---- */

static struct person *first_sleeper(const uint32_t *word, uint32_t *ret_bit)
{
    struct person *best = NULL;
    for (int p = 0; p < world.people; p++) {
        struct person *w = &world.person[p];
        for (uint32_t i = 0; w->state != DEAD && i < w->words; i++)
            if (w->word[i] == word && !(w->woken >> i & 1) && (!best || w->asleep_since < best->asleep_since)) {
                best = w;
                *ret_bit = 1u << i;
            }
    }
    return best;
}

static int wake(const uint32_t *word, int n)
{
    struct person *w;
    uint32_t bit;
    int woken = 0;
    while (woken < n && (w = first_sleeper(word, &bit))) {
        w->woken |= bit;
        w->state = READY;
        woken++;
    }
    return woken;
}

WRAP(int, os_futex_wake, uint32_t *word, int n)
{
    enter(word);
    return wake(word, n);
}

/* Sleepers are numbered from 1 in the order of their sleep, anew at each sleep, so that equal states look equal. */
static void queue_up(struct person *p)
{
    uint32_t before = 0;
    for (int i = 0; i < world.people; i++)
        if (world.person[i].words && world.person[i].asleep_since > before)
            before = world.person[i].asleep_since;
    p->asleep_since = before + 1;
}

WRAP(int, os_futex_wait_any, const struct os_wait *wait, int n, const struct timespec *until)
{
    struct person *p = me();
    uint32_t woken;
    enter(wait[0].word);
    if (world.running < 0 || n > WORDS) {
        violation("explorer: the driver would have to sleep");
        return -EINVAL;
    }
    if (until && p->late)
        return -ETIMEDOUT;
    for (int i = 0; i < n; i++)
        if (*wait[i].word != wait[i].value)
            return -EAGAIN;
    queue_up(p);
    for (int i = 0; i < n; i++)
        p->word[i] = wait[i].word;
    p->words = (uint32_t)n;
    p->woken = 0;
    if (until && !p->timed && !never_late)
        violation("explorer: a sleep with a time-out: the cap is off");
    give_way(SLEEPING);
    woken = p->woken;
    p->woken = p->words = p->asleep_since = 0;
    memset(p->word, 0, sizeof p->word);
    if (!woken)
        return -ETIMEDOUT;
    return 31 - __builtin_clz(woken);
}

static void pause_(void)
{
    enter(NULL);
    if (world.running >= 0)
        give_way(PAUSED);
}
WRAP(int, os_futex_wait, uint32_t *word, uint32_t value, const struct timespec *until)
{
    const struct os_wait wait = {word, value};
    if (!until)
        return __wrap_os_futex_wait_any(&wait, 1, NULL);
    pause_();
    return *word == value ? -ETIMEDOUT : -EAGAIN;
}
WRAP(int, os_membarrier_register, void)
{
    return 0;
}
WRAP(int, os_membarrier, void)
{
    enter(NULL);
    for (int p = 0; p < world.people; p++)
        if (p != world.running && world.person[p].delays)
            machine_drain(p, BUFFER);
    return 0;
}
WRAP(int, usleep, unsigned us)
{
    (void)us;
    pause_();
    return 0;
}
WRAP(int, nanosleep, const struct timespec *t, struct timespec *rest)
{
    (void)t, (void)rest;
    pause_();
    return 0;
}
WRAP(int, sched_yield, void)
{
    pause_();
    return 0;
}

/* ---- the robust list ---- */

WRAP(struct os_bell, os_bell, uint32_t *word)
{
    static void *some; /* each participant's place is its own, whatever this says */
    return (struct os_bell){.pending = (void *volatile *)&some, .entry = word};
}
void os_bell_store(void *volatile *pending, void *entry)
{
    (void)pending;
    settle();
    if (world.running >= 0)
        point(ACCESS_KERNEL, entry); /* no system call: what is delayed stays so */
    me()->pending = entry;
}
WRAP(void, os_robust_kind, pthread_mutex_t *mutex)
{
    if (!exploring)
        __real_os_robust_kind(mutex);
}

static uint32_t swap_word(uint32_t *word, uint32_t v)
{
    uint32_t old = *word;
    put(word, &v, 4);
    return old;
}

static bool is_liveness(const void *mutex)
{
    return is_shared(mutex) || !exploring;
}

/* Of the liveness mutex only, which nobody else ever locks. */
WRAP(int, pthread_mutex_trylock, pthread_mutex_t *mutex)
{
    uint32_t *word = (uint32_t *)(void *)mutex, old;
    if (!is_liveness(mutex))
        return __real_pthread_mutex_trylock(mutex);
    settle();
    if (world.running >= 0) {
        point(ACCESS_CHANGE, word);
        fence();
        kernel_changed();
    }
    old = *word;
    if (old & FUTEX_OWNER_DIED) {
        swap_word(word, my_tid() | (old & FUTEX_WAITERS));
        return EOWNERDEAD;
    }
    if (old & FUTEX_TID_MASK)
        return EBUSY;
    swap_word(word, my_tid());
    return 0;
}
WRAP(int, pthread_mutex_consistent, pthread_mutex_t *mutex)
{
    (void)mutex;
    return 0;
}
WRAP(int, pthread_mutex_lock, pthread_mutex_t *mutex)
{
    return exploring ? 0 : __real_pthread_mutex_lock(mutex); /* of one's own process, which has no other thread */
}
WRAP(int, pthread_mutex_unlock, pthread_mutex_t *mutex)
{
    uint32_t *word = (uint32_t *)(void *)mutex;
    if (!is_shared(mutex))
        return exploring ? 0 : __real_pthread_mutex_unlock(mutex);
    settle();
    if (world.running >= 0) {
        point(ACCESS_CHANGE, word);
        fence();
        kernel_changed();
    }
    if (swap_word(word, 0) & FUTEX_WAITERS) {
        enter(word);
        wake(word, 1);
    }
    return 0;
}

void kernel_kill(int who, bool slow_files)
{
    struct person *p = &world.person[who];
    struct tarn *seg = seg_of(DRIVER);
    machine_drain(who, BUFFER);
    p->state = DEAD;
    world.died = 1 + who;
    p->words = p->woken = p->asleep_since = p->timed = p->late = 0;
    memset(p->word, 0, sizeof p->word);
    machine_wipe(who);
    p->sp = NULL;
    p->at = NULL;
    p->access = 0;
    p->private_hash = 0;
    kernel_changed();
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        uint32_t *word = (uint32_t *)(void *)record_at(seg, i)->liveness, old = *word;
        if ((old & FUTEX_TID_MASK) != tid_of(who))
            continue;
        swap_word(word, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
        if (old & FUTEX_WAITERS)
            wake(word, 1);
    }
    p->bell = p->pending != NULL;
    p->files = p->byte && slow_files;
    if (!p->files)
        p->byte = 0;
}

void kernel_bury(int who)
{
    struct person *p = &world.person[who];
    if (p->bell) {
        if (*p->pending == 0)
            wake(p->pending, 1);
        p->pending = NULL;
        p->bell = 0;
    } else {
        p->byte = 0;
        p->files = 0;
    }
    kernel_changed();
}

/* ---- byte locks, and who runs ---- */

static bool has_byte(int p, uint32_t index)
{
    return world.person[p].byte == 1 + (int64_t)index;
}
WRAP(int, os_reopen, int fd, int flags)
{
    return exploring || world.running >= 0 ? 500 + world.running : __real_os_reopen(fd, flags);
}
WRAP(int, os_byte_lock, int fd, uint32_t index)
{
    if (index >= OS_BYTE_MAKER)
        return __real_os_byte_lock(fd, index);
    enter(NULL);
    for (int p = 0; p <= PEOPLE; p++)
        if (has_byte(p, index) && &world.person[p] != me())
            return -EAGAIN;
    me()->byte = 1 + (int64_t)index;
    return 0;
}
WRAP(int, os_byte_unlock, int fd, uint32_t index)
{
    if (index >= OS_BYTE_MAKER)
        return __real_os_byte_unlock(fd, index);
    enter(NULL);
    if (has_byte(world.running < 0 ? DRIVER : world.running, index))
        me()->byte = 0;
    kernel_changed();
    return 0;
}
WRAP(int, os_byte_holder, int fd, uint32_t index)
{
    if (index >= OS_BYTE_MAKER)
        return __real_os_byte_holder(fd, index);
    enter(NULL);
    for (int p = 0; p <= PEOPLE; p++)
        if (has_byte(p, index))
            return F_WRLCK;
    return F_UNLCK;
}
WRAP(int, os_start_time, uint32_t pid, uint32_t tid, uint64_t *ret_ticks)
{
    (void)pid;
    *ret_ticks = 5000 + tid;
    return 0;
}
WRAP(uint64_t, os_pid_namespace, void)
{
    return 4026531836u;
}
WRAP(int, gettid, void)
{
    return (int)my_tid();
}

/* Each run is to be the same. */
WRAP(int, os_random, void *to, size_t size)
{
    memset(to, 0x5a, size);
    return 0;
}

WRAP(ssize_t, getrandom, void *to, size_t size, unsigned flags)
{
    (void)flags;
    memset(to, 0x5a, size);
    return (ssize_t)size;
}

/* ---- what is of no interest ---- */

WRAP(struct timespec, os_deadline, unsigned ms)
{
    (void)ms;
    return (struct timespec){.tv_sec = 1000};
}
WRAP(bool, os_passed, const struct timespec *t)
{
    (void)t;
    return me()->late;
}
WRAP(uint64_t, os_clock, void) /* none: the flight recorder notes nothing, or no two states would be the same */
{
    return exploring || world.running >= 0 ? 0 : __real_os_clock();
}
WRAP(uint64_t, channel_now, int clock) /* no limit ends, and states are the same again */
{
    (void)clock;
    return 1000;
}

int __wrap_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_fail(int error, const char *format, ...)
{
    if (!exploring && getenv("EXPLORER_TALKS")) { /* why a set-up fails */
        va_list list;
        va_start(list, format);
        vfprintf(stderr, format, list);
        va_end(list);
        fputc('\n', stderr);
    }
    return error;
}

WRAP(void *, os_wipe_page, size_t size)
{
    return private_alloc(size);
}
WRAP(void, os_wipe_free, void *page, size_t size)
{
    (void)size;
    private_free(page);
}
void *explored_malloc(size_t n);
void *explored_malloc(size_t n)
{
    return private_alloc(n);
}
void *explored_calloc(size_t n, size_t size);
void *explored_calloc(size_t n, size_t size)
{
    return private_alloc(n * size);
}
void *explored_realloc(void *old, size_t n);
void *explored_realloc(void *old, size_t n)
{
    void *new = private_alloc(n);
    if (old)
        put(new, old, n); /* more than it was: what lies behind it is ours, too */
    return new;
}
void explored_free(void *p);
void explored_free(void *p)
{
    if (p && is_private(p))
        private_free(p);
    else
        free(p);
}

/* sync/event_fd.c - an event as a descriptor, for poll and epoll. The kernel has no descriptor that waits for a word in memory; so a thread waits for it,
 * which takes part in the segment as any other does, and counts up an eventfd. It is the only thread that this library ever starts, and only by this call.
 *
 * All of it is private memory of the process: what others see is a waiter. A forked child has the descriptor, but not the thread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"
#include "sync/sync.h"

struct watcher {
    struct watcher *next;
    tarn *seg;
    tarn_event *event;
    int fd, counted; /* the caller's eventfd; our own of the same */
    pid_t process;
    pthread_t thread;
    uint32_t started, stop; /* futexes */
    int error;              /* of the start */
};

static struct watcher *watchers;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER; /* of the list */

static void count_one(const struct watcher *w)
{
    uint64_t one = 1;
    if (write(w->counted, &one, sizeof one) < 0) /* full: it is readable all the same */
        return;
}

/* Sleep until the event is not as seen, or the end is asked for. */
static void sleep_on_event(struct self *s, struct watcher *w, uint32_t seen, unsigned *cap)
{
    struct os_wait wait[2 + 2] = {{&w->event->word, seen}, {&w->stop, 0}};
    waits_for(s, WAITS_ACT | offset_of(w->seg, w->event));
    (void)sleep_on_words(s, wait, 2, NULL, cap);
    waits_for(s, 0);
}

/* Each time that it comes, one is counted; a manual one comes when it is set, not while it is. Returns at the end, or at the event's. */
static void watch(struct self *s, struct watcher *w)
{
    unsigned cap = CAP_FIRST;
    bool told = false, slept = false;
    while (!load32(&w->stop)) {
        uint32_t seen;
        int came = event_take_or_mark(s, w->event, slept, &seen, "tarn_event_descriptor");
        if (came < 0) { /* destroyed: it is readable, and whoever asks learns why */
            count_one(w);
            return;
        }
        if (came && !told)
            count_one(w);
        told = came && !event_is_automatic(w->event);
        if (told && !event_mark_set(w->event, &seen)) /* not set any more */
            continue;
        if (!came || told)
            sleep_on_event(s, w, seen, &cap);
        slept = true;
    }
}

static void *run(void *arg)
{
    struct watcher *w = arg;
    struct self *s;
    (void)os_cancel_off();
    s = self_of(w->seg, &w->error);
    __atomic_store_n(&w->started, 1, __ATOMIC_RELEASE);
    os_futex_wake(&w->started, 1);
    if (!s)
        return NULL;
    bell_arm(s);
    watch(s, w);
    event_pass(w->event);
    bell_disarm(s);
    (void)tarn_thread_detach(w->seg);
    return NULL;
}

static void end(struct watcher *w)
{
    if (w->counted >= 0)
        close(w->counted);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

static int start(tarn *seg, tarn_event *event, int *ret_fd)
{
    int e = 0;
    struct self *s = sync_self(seg, event, sizeof *event, "tarn_event_descriptor", "event", &e);
    struct watcher *w;
    sigset_t all, before;
    if (!s)
        return e;
    w = calloc(1, sizeof *w);
    if (!w)
        return fail(-ENOMEM, "tarn_event_descriptor: no memory");
    w->seg = seg;
    w->event = event;
    w->process = getpid();
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->counted = w->fd < 0 ? -1 : fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
    if (w->counted < 0) {
        e = fail(-errno, "tarn_event_descriptor: no descriptor to be had: %s", strerror(errno));
        end(w);
        return e;
    }
    sigfillset(&all); /* signals are the program's own threads' */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        end(w);
        return fail(-e, "tarn_event_descriptor: no thread to be had: %s", strerror(e));
    }
    while (!__atomic_load_n(&w->started, __ATOMIC_ACQUIRE))
        (void)os_futex_wait(&w->started, 0, NULL);
    if (w->error) {
        pthread_join(w->thread, NULL);
        e = w->error;
        end(w);
        return fail(e, "tarn_event_descriptor: its thread cannot take part in the segment: is there a record "
                       "left for it?");
    }
    pthread_mutex_lock(&guard);
    w->next = watchers;
    watchers = w;
    pthread_mutex_unlock(&guard);
    *ret_fd = w->fd;
    return 0;
}

int tarn_event_descriptor(tarn *seg, tarn_event *event, int *ret_fd)
{
    int cancel = os_cancel_off(), e = start(seg, event, ret_fd);
    os_cancel_restore(cancel);
    return e;
}

static int stop(tarn *seg, int fd)
{
    struct watcher **at, *w;
    pthread_mutex_lock(&guard);
    for (at = &watchers; (w = *at) && (w->fd != fd || w->seg != seg); at = &w->next)
        ;
    if (w)
        *at = w->next;
    pthread_mutex_unlock(&guard);
    if (!w)
        return fail(-EBADF, "tarn_event_descriptor_close: %d is no descriptor of an event of this segment", fd);
    if (w->process == getpid()) {
        __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
        os_futex_wake(&w->stop, 1);
        pthread_join(w->thread, NULL);
    }
    end(w);
    return 0;
}

int tarn_event_descriptor_close(tarn *seg, int fd)
{
    int cancel = os_cancel_off(), e = stop(seg, fd);
    os_cancel_restore(cancel);
    return e;
}

/* sync/watcher.c - see watcher.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"
#include "sync/watcher.h"

void watcher_count(const struct watcher *w)
{
    uint64_t one = 1;
    if (write(w->counted, &one, sizeof one) < 0) /* full: it is readable all the same */
        return;
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
    w->watch(s, w);
    (void)tarn_thread_detach(w->seg);
    return NULL;
}

static void close_both(struct watcher *w)
{
    if (w->counted >= 0)
        close(w->counted);
    if (w->fd >= 0)
        close(w->fd);
}

int watcher_start(struct watcher *w, tarn *seg, void (*watch)(struct self *s, struct watcher *w), const char *call)
{
    sigset_t all, before;
    int e;
    w->seg = seg;
    w->watch = watch;
    w->process = getpid();
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->counted = w->fd < 0 ? -1 : fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
    if (w->counted < 0) {
        e = fail(-errno, "%s: no descriptor to be had: %s", call, strerror(errno));
        close_both(w);
        return e;
    }
    sigfillset(&all); /* signals are the program's own threads' */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        close_both(w);
        return fail(-e, "%s: no thread to be had: %s", call, strerror(e));
    }
    while (!__atomic_load_n(&w->started, __ATOMIC_ACQUIRE))
        (void)os_futex_wait(&w->started, 0, NULL);
    if (w->error) {
        pthread_join(w->thread, NULL);
        close_both(w);
        return fail(w->error,
                    "%s: its thread cannot take part in the segment: is there a record left for it?", call);
    }
    return 0;
}

void watcher_end(struct watcher *w)
{
    if (w->process == getpid()) {
        __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
        os_futex_wake(&w->stop, 1);
        pthread_join(w->thread, NULL);
    }
    close_both(w);
}

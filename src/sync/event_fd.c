/* sync/event_fd.c - an event as a descriptor, for poll and epoll. The kernel has no descriptor that waits for a word in memory; so a thread waits for it,
 * which takes part in the segment as any other does, and counts up an eventfd (watcher.h). It is started by this call only.
 *
 * All of it is private memory of the process: what others see is a waiter. A forked child has the descriptor, but not the thread. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"
#include "sync/watcher.h"

struct event_watcher {
    struct watcher watcher; /* first */
    struct event_watcher *next;
    tarn_event *event;
};

static struct event_watcher *watchers;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER; /* of the list */

/* Sleep until the event is not as seen, or the end is asked for. */
static void sleep_on_event(struct self *s, struct event_watcher *w, uint32_t seen, unsigned *cap)
{
    struct os_wait wait[2 + 2] = {{&w->event->word, seen}, {&w->watcher.stop, 0}};
    waits_for(s, WAITS_ACT | offset_of(s->seg, w->event));
    (void)sleep_on_words(s, wait, 2, NULL, cap);
    waits_for(s, 0);
}

/* Each time that it comes, one is counted; a manual one comes when it is set, not while it is. Returns at the end, or at the event's. */
static void watch(struct self *s, struct watcher *watcher)
{
    struct event_watcher *w = (struct event_watcher *)watcher;
    unsigned cap = CAP_FIRST;
    bool told = false, slept = false;
    bell_arm(s);
    while (!load32(&watcher->stop)) {
        uint32_t seen;
        int came = event_take_or_mark(s, w->event, slept, &seen, "tarn_event_descriptor");
        if (came < 0) { /* destroyed: it is readable, and whoever asks learns why */
            watcher_count(watcher);
            break;
        }
        if (came && !told)
            watcher_count(watcher);
        told = came && !event_is_automatic(w->event);
        if (told && !event_mark_set(w->event, &seen)) /* not set any more */
            continue;
        if (!came || told)
            sleep_on_event(s, w, seen, &cap);
        slept = true;
    }
    event_pass(w->event);
    bell_disarm(s);
}

static int start(tarn *seg, tarn_event *event, int *ret_fd)
{
    int e = 0;
    struct self *s = sync_self(seg, event, sizeof *event, "tarn_event_descriptor", "event", &e);
    struct event_watcher *w;
    if (!s)
        return e;
    w = calloc(1, sizeof *w);
    if (!w)
        return fail(-ENOMEM, "tarn_event_descriptor: no memory");
    w->event = event;
    e = watcher_start(&w->watcher, seg, watch, "tarn_event_descriptor");
    if (e < 0) {
        free(w);
        return e;
    }
    pthread_mutex_lock(&guard);
    w->next = watchers;
    watchers = w;
    pthread_mutex_unlock(&guard);
    *ret_fd = w->watcher.fd;
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
    struct event_watcher **at, *w;
    pthread_mutex_lock(&guard);
    for (at = &watchers; (w = *at) && (w->watcher.fd != fd || w->watcher.seg != seg); at = &w->next)
        ;
    if (w)
        *at = w->next;
    pthread_mutex_unlock(&guard);
    if (!w)
        return fail(-EBADF, "tarn_event_descriptor_close: %d is no descriptor of an event of this segment", fd);
    watcher_end(&w->watcher);
    free(w);
    return 0;
}

int tarn_event_descriptor_close(tarn *seg, int fd)
{
    int cancel = os_cancel_off(), e = stop(seg, fd);
    os_cancel_restore(cancel);
    return e;
}

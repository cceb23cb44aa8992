/* sync/watcher.h - a thread of the library's own that waits for words of a segment, and counts up an eventfd. Private memory.
 *
 * It takes part in the segment as any other thread does, and blocks all signals. A forked child has the descriptors, not the thread. */
#ifndef TARN_SYNC_WATCHER_H
#define TARN_SYNC_WATCHER_H

#include <pthread.h>
#include <sys/types.h>

#include "sync/sync.h"

struct watcher {
    tarn *seg;
    void (*watch)(struct self *s, struct watcher *w); /* until `stop`, which is a futex, is not 0 */
    int fd, counted;                                  /* the caller's eventfd; our own of the same */
    int error;                                        /* of the start */
    uint32_t started, stop;                           /* futexes */
    pid_t process;
    pthread_t thread;
};

/* w is zeroed. 0, or the failure, with the words; then there is nothing to end. Not to be cancelled. */
int watcher_start(struct watcher *w, tarn *seg, void (*watch)(struct self *s, struct watcher *w), const char *call);
/* Stop the thread, if it is this process's, and wait for it; the descriptors are closed. */
void watcher_end(struct watcher *w);
/* One more. */
void watcher_count(const struct watcher *w);

#endif

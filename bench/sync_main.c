/* bench/sync_main.c - bench-sync: the objects of synchronisation beside pthread's, POSIX semaphores and bare futexes.
 *
 * Only tarn.h is used, and the shared library.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "harness.h"

#include <stddef.h>

static const char *const figures[] = {
    "sync.mutex.alone",          "sync.mutex.two.0ns",         "sync.mutex.two.100ns",
    "sync.mutex.two.share_min",  "sync.rwlock.read.alone",     "sync.rwlock.read.two.0ns",
    "sync.rwlock.mix90.two.0ns", "sync.rwlock.write.alone",    "sync.semaphore.alone",
    "sync.condition.pingpong",   "sync.event.pingpong",        "sync.once.done_ns",
    "sync.attach_detach_us",     "sync.handover.w1_p50_us",    "sync.handover.p999_us",
    "sync.handover.w10_p50_us",  "sync.handover.w1000_p50_us", NULL,
};

int main(int argc, char **argv)
{
    bench_start(argc, argv, "sync", figures);
    if (bench_wanted("sync.mutex"))
        core_mutex("sync");
    sync_lock();
    sync_wait();
    if (bench_wanted("sync.handover"))
        sync_handover();
    return 0;
}

/* locker.c - for test_locks.py: a participant who does what it is told.
 *
 * usage: locker URL
 * Makes or opens the segment, and in it the object "desk". Prints "ready", then reads orders, one a line, and prints each one's result: a word, and the number of a
 * thing of the desk or of units. An order that waits is waited in: its result comes when it comes. */
#include <tarn.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct desk {
    tarn_mutex mutex[8];
    tarn_rwlock rwlock[2];
    tarn_held held;
    tarn_barrier barrier;
    tarn_semaphore semaphore;
};

static int obey(tarn *seg, struct desk *d, const char *order, unsigned n)
{
    struct timespec late;
    clock_gettime(CLOCK_MONOTONIC, &late);
    late.tv_sec += 1000;
    if (!strcmp(order, "mutex"))
        return tarn_mutex_lock(seg, &d->mutex[n % 8]);
    if (!strcmp(order, "timed"))
        return tarn_mutex_timed(seg, &d->mutex[n % 8], &late);
    if (!strcmp(order, "unlock"))
        return tarn_mutex_unlock(seg, &d->mutex[n % 8]);
    if (!strcmp(order, "read"))
        return tarn_rwlock_read(seg, &d->rwlock[n % 2]);
    if (!strcmp(order, "write"))
        return tarn_rwlock_write(seg, &d->rwlock[n % 2]);
    if (!strcmp(order, "set"))
        return tarn_held_set(seg, &d->held, n);
    if (!strcmp(order, "take"))
        return tarn_held_take(seg, &d->held, n);
    if (!strcmp(order, "arrive"))
        return tarn_barrier_wait(seg, &d->barrier);
    if (!strcmp(order, "join"))
        return tarn_barrier_join(seg, &d->barrier);
    if (!strcmp(order, "wait"))
        return tarn_semaphore_wait(seg, &d->semaphore);
    if (!strcmp(order, "begin"))
        return tarn_begin(seg);
    if (!strcmp(order, "commit"))
        return tarn_commit(seg);
    return -ENOSYS;
}

int main(int argc, char **argv)
{
    struct desk *d;
    char order[16];
    unsigned n;
    tarn *seg;
    if (argc != 2 || tarn_open(argv[1], TARN_CREATE, NULL, &seg) < 0 ||
        tarn_object(seg, "desk", struct desk, &d) < 0 || tarn_thread_attach(seg) < 0) {
        fprintf(stderr, "locker: %s\n", tarn_error());
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (scanf("%15s %u", order, &n) == 2)
        printf("%d\n", obey(seg, d, order, n));
    return 0;
}

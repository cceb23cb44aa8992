/* mutex.c - a mutex in shared memory as the textbook has it: it must be prepared with PTHREAD_PROCESS_SHARED, once, before anybody
 * uses it. Two processes count; then one dies with the lock held.
 *
 * What is wrong with it: that preparation (whoever comes first must do it, and nobody can tell who that is); and it stays locked for ever when
 * its owner dies: this program gives up after half a second. (PTHREAD_MUTEX_ROBUST tells of the death, and leaves what was half done.) */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    pthread_mutex_t lock;
    long count;
};

static void count(struct shared *s)
{
    for (int i = 0; i < 100000; i++) {
        pthread_mutex_lock(&s->lock);
        s->count++;
        pthread_mutex_unlock(&s->lock);
    }
}

int main(void)
{
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    pthread_mutexattr_t attributes;
    struct timespec soon;
    if (s == MAP_FAILED)
        return perror("mmap"), 1;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);

    if (fork() == 0)
        count(s), _exit(0);
    count(s);
    wait(NULL);
    printf("counted %ld\n", s->count);

    if (fork() == 0) {
        pthread_mutex_lock(&s->lock);
        raise(SIGKILL);
    }
    wait(NULL);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 500000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    printf("%s\n", pthread_mutex_timedlock(&s->lock, &soon) == ETIMEDOUT ? "its owner died: locked for ever"
                                                                         : "locked");
    return 0;
}

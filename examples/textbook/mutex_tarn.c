/* mutex_tarn.c - the same on tarn: zeroed bytes are a mutex, and when its owner dies the next one has it, and is told. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tarn.h>
#include <unistd.h>

struct shared {
    tarn_mutex lock;
    long count;
};

static void count(tarn *seg, struct shared *s)
{
    for (int i = 0; i < 100000; i++) {
        tarn_mutex_lock(seg, &s->lock);
        s->count++;
        tarn_mutex_unlock(seg, &s->lock);
    }
}

int main(void)
{
    tarn *seg;
    struct shared *s;
    if (tarn_open("anon:", TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "shared", struct shared, &s) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    if (fork() == 0)
        count(seg, s), _exit(0);
    count(seg, s);
    wait(NULL);
    printf("counted %ld\n", s->count);

    if (fork() == 0) {
        tarn_mutex_lock(seg, &s->lock);
        raise(SIGKILL);
    }
    wait(NULL);
    printf("%s\n", tarn_mutex_lock(seg, &s->lock) == TARN_RECOVERED ? "its owner died: locked, and told so"
                                                                    : "locked");
    tarn_mutex_consistent(seg, &s->lock);
    tarn_mutex_unlock(seg, &s->lock);
    return tarn_close(seg) < 0;
}

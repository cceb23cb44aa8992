/* condition_tarn.c - the same on tarn: who waits leaves nothing behind that others could wait for. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <tarn.h>
#include <unistd.h>

static tarn *seg;
static struct shared {
    tarn_mutex lock;
    tarn_condition filled;
    int waiting, work, done;
} * s;

static pid_t worker(void)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    tarn_mutex_lock(seg, &s->lock);
    for (;;) {
        s->waiting++;
        while (!s->work)
            tarn_condition_wait(seg, &s->filled, &s->lock);
        s->waiting--;
        s->work = 0;
        s->done++;
    }
}

static void until(int waiting)
{
    for (int ready = 0; !ready; usleep(1000)) {
        tarn_mutex_lock(seg, &s->lock);
        ready = s->waiting >= waiting;
        tarn_mutex_unlock(seg, &s->lock);
    }
}

/* Within five seconds, however busy the machine is. */
static int received(void)
{
    int work = 1;
    for (int i = 0; i < 500 && work; i++) {
        usleep(10000);
        tarn_mutex_lock(seg, &s->lock);
        work = s->work;
        tarn_mutex_unlock(seg, &s->lock);
    }
    return !work;
}

int main(void)
{
    pid_t dies;
    if (tarn_open("anon:", TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "shared", struct shared, &s) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    dies = worker();
    until(1);
    usleep(50000);
    kill(dies, SIGKILL);
    worker();
    until(2);
    for (int i = 1; i <= 3; i++) {
        usleep(50000);
        tarn_mutex_lock(seg, &s->lock);
        s->work = 1;
        tarn_condition_signal(seg, &s->filled);
        tarn_mutex_unlock(seg, &s->lock);
        printf("signal %d: %s\n", i, received() ? "received" : "lost");
    }
    return tarn_close(seg) < 0;
}

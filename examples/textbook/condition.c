/* condition.c - a condition in shared memory, with PTHREAD_PROCESS_SHARED, as the textbook has it. Two processes wait; one of them dies. Three signals are
 * sent, each when the other one waits again.
 *
 * What is wrong with it (glibc 2.36, as of Debian 12; later ones may do better): the dead one counts as a waiter still. A signal goes to him and is lost,
 * and then a signaller waits for him to leave, for ever: an alarm ends this program. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct shared {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    int waiting, work, done;
} * s;

static pid_t worker(void)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_mutex_lock(&s->lock);
    for (;;) {
        s->waiting++;
        while (!s->work)
            pthread_cond_wait(&s->filled, &s->lock);
        s->waiting--;
        s->work = 0;
        s->done++;
    }
}

static void until(int waiting)
{
    for (int ready = 0; !ready; usleep(1000)) {
        pthread_mutex_lock(&s->lock);
        ready = s->waiting >= waiting;
        pthread_mutex_unlock(&s->lock);
    }
}

static void hangs(int number)
{
    static const char text[] = ": the signaller hangs\n";
    (void)number;
    _exit(write(1, text, sizeof text - 1) < 0);
}

int main(void)
{
    pthread_mutexattr_t m;
    pthread_condattr_t c;
    pid_t dies;
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    if (s == MAP_FAILED)
        return perror("mmap"), 1;
    pthread_mutexattr_init(&m);
    pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &m);
    pthread_condattr_init(&c);
    pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&s->filled, &c);
    setvbuf(stdout, NULL, _IONBF, 0);
    signal(SIGALRM, hangs);

    dies = worker();
    until(1);
    usleep(50000);
    kill(dies, SIGKILL);
    worker();
    until(2); /* the dead one waits for ever */
    for (int i = 1; i <= 3; i++) {
        usleep(50000);
        printf("signal %d", i);
        alarm(1);
        pthread_mutex_lock(&s->lock);
        s->work = 1;
        pthread_cond_signal(&s->filled);
        pthread_mutex_unlock(&s->lock);
        usleep(200000);
        alarm(0);
        pthread_mutex_lock(&s->lock);
        printf(s->work ? ": lost, the dead one has it\n" : ": received\n");
        pthread_mutex_unlock(&s->lock);
    }
    return 0;
}

/* semaphore.c - a POSIX semaphore in shared memory, as the textbook has it: it must be initialised once, for sharing, before anybody uses it. One process
 * takes its unit, and dies.
 *
 * What is wrong with it: the unit is gone with him, and nobody can tell: this program gives up after half a second. */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    sem_t *printer = mmap(NULL, sizeof *printer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    struct timespec soon;
    if (printer == MAP_FAILED || sem_init(printer, 1, 1))
        return perror("semaphore"), 1;
    if (fork() == 0) {
        sem_wait(printer);
        raise(SIGKILL);
    }
    wait(NULL);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 500000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    printf("%s\n", sem_timedwait(printer, &soon) && errno == ETIMEDOUT
                       ? "who had the unit died: it is gone for ever"
                       : "taken");
    return 0;
}

/* section.c - a transfer between two accounts that a SIGKILL interrupts half-way: the next one finds it undone.
 *
 * A child opens a section, takes the lock, takes the money from one account, and is killed there, by itself, before it gives the
 * money to the other. The parent then takes the same lock: the library undoes the dead one's section and frees his lock before the
 * parent has it. A lock taken inside a section comes back clean (0, not TARN_RECOVERED), because what it guards is as it was. */
#include <tarn.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct bank {
    tarn_mutex lock;
    long account[2];
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "section: %s\n", tarn_error());
        exit(1);
    }
}

/* All of it, or nothing. */
static void transfer(tarn *seg, struct bank *bank, long amount, int die_half_way)
{
    must(tarn_begin(seg));
    must(tarn_mutex_lock(seg, &bank->lock));
    must(tarn_save(seg, bank->account, sizeof bank->account)); /* before the change */
    bank->account[0] -= amount;
    if (die_half_way)
        raise(SIGKILL);
    bank->account[1] += amount;
    must(tarn_mutex_unlock(seg, &bank->lock)); /* takes effect with the commit */
    must(tarn_commit(seg));                    /* one store: from here on it has happened */
}

int main(void)
{
    tarn *seg;
    struct bank *bank;
    struct tarn_stat stat;
    int status, lock;
    must(tarn_open("anon:", TARN_CREATE, NULL, &seg));
    must(tarn_object(seg, "bank", struct bank, &bank));
    bank->account[0] = 100;
    transfer(seg, bank, 30, 0);
    printf("a transfer of 30:         %ld + %ld\n", bank->account[0], bank->account[1]);

    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        transfer(seg, bank, 50, 1); /* does not return */
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        return fprintf(stderr, "section: the child was not killed\n"), 1;
    printf("the child was killed at:  %ld + %ld\n", bank->account[0], bank->account[1]); /* without the lock: half-done */

    must(lock = tarn_mutex_lock(seg, &bank->lock));
    printf("under the lock again:     %ld + %ld%s\n", bank->account[0], bank->account[1],
           lock ? " (in doubt)" : "");
    must(tarn_mutex_unlock(seg, &bank->lock));
    must(tarn_stat(seg, &stat));
    printf("open sections undone:     %lu\n", (unsigned long)stat.undone);
    return tarn_close(seg) < 0;
}

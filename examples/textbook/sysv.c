/* sysv.c - System V shared memory as the textbook has it: shmget, shmat, use, shmdt; shmctl to be rid of it.
 *
 *   sysv           count a visit        sysv remove    destroy the memory
 *
 * What is wrong with it: two visitors at once may count one visit (nothing is synchronised); the number 5678 may be anybody's, and
 * whatever stands under it is believed; 4 bytes are its size for ever; and it stays, with whatever a dead visitor left in it. */
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define KEY 5678

int main(int argc, char **argv)
{
    int id = shmget(KEY, sizeof(int), IPC_CREAT | 0600); /* define, create, configure */
    if (id < 0)
        return perror("shmget"), 1;
    if (argc > 1 && strcmp(argv[1], "remove") == 0)
        return shmctl(id, IPC_RMID, NULL) < 0 ? perror("shmctl"), 1 : 0; /* destroy */
    int *visits = shmat(id, NULL, 0);                                    /* attach */
    if (visits == (void *)-1)
        return perror("shmat"), 1;
    printf("visit %d\n", ++*visits); /* access */
    return shmdt(visits) < 0;        /* detach */
}

/* anon.c - an anonymous mapping and fork, as the textbook has it: what mmap with MAP_ANON gives, parent and child have in common.
 *
 * What is wrong with it: only descendants can have it; it cannot grow once they do; and if the child had died in the midst of its sum, the parent
 * would print a part of it. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int *sum = mmap(NULL, sizeof *sum, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    if (sum == MAP_FAILED)
        return perror("mmap"), 1;
    if (fork() == 0) {
        for (int i = 1; i <= 100; i++)
            *sum += i;
        _exit(0);
    }
    wait(NULL);
    printf("the child's sum is %d\n", *sum);
    return munmap(sum, sizeof *sum) < 0;
}

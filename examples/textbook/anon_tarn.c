/* anon_tarn.c - the same on tarn: the child's sum is there as a whole, or, if it dies before its commit, not at all. */
#include <stdio.h>
#include <sys/wait.h>
#include <tarn.h>
#include <unistd.h>

int main(void)
{
    tarn *seg;
    int *sum;
    if (tarn_open("anon:", TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "sum", int, &sum) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    if (fork() == 0) {
        if (tarn_begin(seg) < 0 || tarn_save(seg, sum, sizeof *sum) < 0)
            _exit(1);
        for (int i = 1; i <= 100; i++)
            *sum += i;
        _exit(tarn_commit(seg) < 0);
    }
    wait(NULL);
    tarn_recover(seg); /* had it died half-way, this would undo its half */
    printf("the child's sum is %d\n", *sum);
    return tarn_close(seg) < 0;
}

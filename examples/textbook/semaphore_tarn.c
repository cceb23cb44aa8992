/* semaphore_tarn.c - the same on tarn: units of a tarn_held belong to who took them, and come back when he dies. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tarn.h>
#include <unistd.h>

int main(void)
{
    tarn *seg;
    tarn_held *printer;
    if (tarn_open("anon:", TARN_CREATE, NULL, &seg) < 0 ||
        tarn_object(seg, "printer", tarn_held, &printer) < 0 || tarn_held_set(seg, printer, 1) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    if (fork() == 0) {
        tarn_held_take(seg, printer, 1);
        raise(SIGKILL);
    }
    wait(NULL);
    printf("%s\n", tarn_held_take(seg, printer, 1) == 0 ? "who had the unit died: it came back" : tarn_error());
    tarn_held_give(seg, printer, 1);
    return tarn_close(seg) < 0;
}

/* sysv_tarn.c - the same on tarn: the memory is named, typed and whole, and a lock comes with it. */
#include <stdio.h>
#include <string.h>
#include <tarn.h>

struct visits {
    tarn_mutex lock;
    int count;
};

int main(int argc, char **argv)
{
    tarn *seg;
    struct visits *v;
    if (argc > 1 && strcmp(argv[1], "remove") == 0)
        return tarn_unlink("sysv:5678") < 0;
    if (tarn_open("sysv:5678", TARN_CREATE, NULL, &seg) < 0 ||
        tarn_object(seg, "visits", struct visits, &v) < 0 || tarn_mutex_lock(seg, &v->lock) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    printf("visit %d\n", ++v->count);
    tarn_mutex_unlock(seg, &v->lock);
    return tarn_close(seg) < 0;
}

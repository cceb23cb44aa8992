#include <tarn.h>
#include <stdio.h>

struct counter { tarn_mutex lock; long hits; };

int main(void)
{
    tarn *seg;
    struct counter *c;
    if (tarn_open("posix:/hits", TARN_CREATE, NULL, &seg) < 0 ||
        tarn_object(seg, "counter", struct counter, &c) < 0 ||      /* finds it, or makes it, zeroed */
        tarn_mutex_lock(seg, &c->lock) < 0)                         /* > 0: its last holder died; hits may be half-done */
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    printf("hit %ld\n", ++c->hits);
    tarn_mutex_unlock(seg, &c->lock);
    return tarn_close(seg) < 0;
}

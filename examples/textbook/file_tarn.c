/* file_tarn.c - the same on tarn: all ten numbers are raised, or none, whatever happens; and still a plain pointer into the file. */
#include <stdio.h>
#include <tarn.h>

#define N 10
struct numbers {
    tarn_mutex lock;
    int at[N];
};

int main(int argc, char **argv)
{
    tarn *seg;
    struct numbers *n;
    char url[4096];
    if (argc != 2)
        return fprintf(stderr, "usage: file_tarn PATH\n"), 2;
    snprintf(url, sizeof url, "file:%s", argv[1]);
    if (tarn_open(url, TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "numbers", struct numbers, &n) < 0 ||
        tarn_begin(seg) < 0 || tarn_mutex_lock(seg, &n->lock) < 0 || tarn_save(seg, n->at, sizeof n->at) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    for (int i = 0; i < N; i++)
        printf("%d%c", ++n->at[i], i == N - 1 ? '\n' : ' ');
    tarn_mutex_unlock(seg, &n->lock);
    return tarn_commit(seg) < 0 || tarn_flush(seg) < 0 || tarn_close(seg) < 0;
}

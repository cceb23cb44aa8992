/* holder.c - for test_tool.py: a process that has a segment, with names in it, a lock held and a section open.
 *
 * usage: holder URL [NAME...]
 * Makes the segment, with the lifetime that HOLDER_LIFETIME says (a number), and in it an object for each NAME. Prints "FD", its descriptor's number, and waits for the end of its input. */
#include <tarn.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int hold(int argc, char **argv)
{
    static const struct tarn_type type = {"struct held \"\\\033", 16, 7};
    const char *lifetime = getenv("HOLDER_LIFETIME");
    struct tarn_options options = {.size = sizeof options, .lifetime = lifetime ? (uint32_t)atoi(lifetime) : 0};
    tarn *seg;
    void *object = NULL;
    int error = argc > 1 ? tarn_open(argv[1], TARN_CREATE, &options, &seg) : -1;
    for (int i = 2; i < argc && error == 0; i++)
        error = tarn_find_or_make(seg, argv[i], &type, &object);
    if (error == 0)
        error = tarn_begin(seg);
    if (error == 0 && object)
        error = tarn_mutex_lock(seg, object);
    if (error < 0)
        return error;
    printf("%d\n", tarn_fd(seg));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    if (hold(argc, argv) == 0)
        return 0;
    fprintf(stderr, "holder: %s\n", tarn_error());
    return 1;
}

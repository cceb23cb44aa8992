/* raw.c - the four mechanisms once more, as bytes, without anything of tarn in them: TARN_RAW attaches what shmget, mmap and shm_open made, or makes it.
 *
 *   raw URL        count a visit in the first four bytes        raw -r URL     destroy it
 *
 * What sysv.c counts under key 5678 this counts on, and the other way round. Nothing is promised but the mapping. */
#include <stdio.h>
#include <string.h>
#include <tarn.h>

int main(int argc, char **argv)
{
    struct tarn_options options = {.size = sizeof options, .raw_length = sizeof(int)};
    tarn *bytes;
    if (argc == 3 && strcmp(argv[1], "-r") == 0)
        return tarn_unlink_raw(argv[2]) < 0;
    if (argc != 2 || tarn_open(argv[1], TARN_RAW | TARN_CREATE, &options, &bytes) < 0)
        return fprintf(stderr, "raw: %s\n", argc == 2 ? tarn_error() : "usage: raw [-r] URL"), 1;
    printf("visit %d\n", ++*(int *)tarn_base(bytes));
    return tarn_close(bytes) < 0;
}

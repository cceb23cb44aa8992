/* posix_tarn.c - the same on tarn: a reader sees the whole text or the one before, of any length, and a full /dev/shm is an error. */
#include <stdio.h>
#include <string.h>
#include <tarn.h>

int main(int argc, char **argv)
{
    tarn *seg;
    tarn_map *map;
    char text[4096] = "";
    if (argc > 1 && strcmp(argv[1], "-r") == 0)
        return tarn_unlink("posix:/textbook") < 0;
    if (tarn_open("posix:/textbook", TARN_CREATE, NULL, &seg) < 0 ||
        tarn_map_open(seg, "texts", TARN_CREATE, &map) < 0 ||
        (argc > 1 && tarn_map_put(map, "text", 4, argv[1], strlen(argv[1]) + 1) < 0))
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    if (argc == 1 && tarn_map_get(map, "text", 4, text, sizeof text - 1, NULL) <= 0)
        printf("%s\n", text);
    tarn_map_close(map);
    return tarn_close(seg) < 0;
}

/* posix.c - POSIX shared memory as the textbook has it: shm_open, ftruncate, mmap, use, munmap; shm_unlink to be rid of it.
 *
 *   posix TEXT     leave a text        posix          read it        posix -r      destroy the memory
 *
 * What is wrong with it: between shm_open and ftruncate a reader finds an object of no bytes, and dies of SIGBUS when it looks; a reader may see half of a
 * text; whoever makes it smaller kills the others; and a full /dev/shm is noticed only when it is written to: SIGBUS again. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME "/textbook"
#define SIZE 4096

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-r") == 0)
        return shm_unlink(NAME) < 0;
    int fd = shm_open(NAME, O_CREAT | O_RDWR, 0600);
    if (fd < 0 || ftruncate(fd, SIZE) < 0)
        return perror(NAME), 1;
    char *text = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (text == MAP_FAILED)
        return perror("mmap"), 1;
    close(fd); /* the mapping stays */
    if (argc > 1)
        snprintf(text, SIZE, "%s", argv[1]);
    else
        printf("%s\n", text);
    return munmap(text, SIZE) < 0;
}

/* file.c - a mapped file as the textbook has it: open, ftruncate, mmap, and a plain `int *ptr` into the file.
 *
 *   file PATH      add one to each of the file's ten numbers, and show them
 *
 * What is wrong with it: killed half-way, it leaves some numbers raised and some not, for good; a disk that is full is a SIGBUS; and
 * nothing says that the file is one of numbers, or whose. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define N 10

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "usage: file PATH\n"), 2;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, N * sizeof(int)) < 0)
        return perror(argv[1]), 1;
    int *ptr = mmap(NULL, N * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ptr == MAP_FAILED)
        return perror("mmap"), 1;
    close(fd);
    for (int i = 0; i < N; i++)
        printf("%d%c", ++ptr[i], i == N - 1 ? '\n' : ' ');
    return munmap(ptr, N * sizeof(int)) < 0;
}

/* grow.c - a segment grows while another process stays attached, and that one reads the new part where it is.
 *
 * The segment begins with 1 MiB of data space and may become 64 MiB. The child attaches it, read-only, while it is small. The parent
 * then allocates eight blocks of 1 MiB, for which the segment grows by itself, and sends the child the ref of the last one through
 * a pipe. The child did nothing for it: tarn_ptr, which gave NULL for that ref before, leads to the new bytes. */
#include <tarn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "grow: %s\n", tarn_error());
        exit(1);
    }
}

static unsigned long size_of(tarn *seg)
{
    struct tarn_stat stat;
    must(tarn_stat(seg, &stat));
    return (unsigned long)(stat.data / MIB);
}

/* Says over one pipe that it is attached, and gets a ref over the other. A ref means the same everywhere. */
static int child(const char *url, int to_parent, int from_parent)
{
    tarn *seg;
    tarn_ref ref;
    must(tarn_open(url, TARN_RDONLY, NULL, &seg));
    printf("child:  attached, %lu MiB\n", size_of(seg));
    fflush(stdout);
    if (write(to_parent, "!", 1) != 1 || read(from_parent, &ref, sizeof ref) != sizeof ref)
        return 1;
    const char *text = tarn_ptr(seg, ref, MIB);
    if (!text)
        return fprintf(stderr, "grow: the ref leads to nothing\n"), 1;
    printf("child:  still attached, %lu MiB; it reads: %s\n", size_of(seg), text);
    fflush(stdout);
    return tarn_close(seg) < 0;
}

static tarn_ref fill(tarn *seg)
{
    tarn_ref ref = 0;
    must(tarn_begin(seg)); /* all eight blocks, or none */
    for (int i = 0; i < 8; i++)
        must(tarn_alloc(seg, MIB, &ref));
    strcpy(tarn_ptr(seg, ref, MIB), "written after the child attached"); /* a new block: nothing to save */
    must(tarn_commit(seg));
    printf("parent: allocated, %lu MiB\n", size_of(seg));
    fflush(stdout);
    return ref;
}

int main(void)
{
    struct tarn_options options = {.size = sizeof options, .initial = MIB, .limit = 64 * MIB};
    int up[2], down[2], status;
    char url[64], ready;
    tarn *seg;
    snprintf(url, sizeof url, "posix:/tarn-grow-%d", (int)getpid());
    if (pipe(up) != 0 || pipe(down) != 0)
        return perror("grow"), 1;
    must(tarn_open(url, TARN_CREATE | TARN_EXCL, &options, &seg));
    pid_t pid = fork();
    if (pid == 0)
        return close(up[0]), close(down[1]), child(url, up[1], down[0]);
    close(up[1]);
    close(down[0]);
    if (pid < 0 || read(up[0], &ready, 1) != 1) /* 0: the child has gone */
        return tarn_unlink(url), 1;
    must(tarn_unlink(url)); /* who has it attached keeps it */
    tarn_ref ref = fill(seg);
    if (write(down[1], &ref, sizeof ref) != sizeof ref || waitpid(pid, &status, 0) != pid)
        return 1;
    return tarn_close(seg) < 0 || status != 0;
}

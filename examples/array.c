/* array.c - an array that grows as it must, and is whole whenever its writer is killed.
 *
 * The array is a block of the segment, twice as large each time that it is full: tarn_realloc_into stores the ref of the larger one, with all that
 * was in it, in one step. A number is appended in the order number, count; so the count never says more than there is. Nothing needs a
 * section, for each step is one store. The child appends for ever; the parent kills it, and looks. */
#include <tarn.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct array {
    tarn_mutex lock;
    tarn_ref block; /* of numbers */
    uint64_t count;
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "array: %s\n", tarn_error());
        exit(1);
    }
}

/* With the lock held. */
static void append(tarn *seg, struct array *a, uint64_t number)
{
    size_t room = tarn_block_size(seg, a->block) / sizeof number; /* 0: none yet */
    if (a->count == room)
        must(tarn_realloc_into(seg, &a->block, (room ? 2 * room : 8) * sizeof number, 0));
    uint64_t *numbers = tarn_ptr(seg, a->block, (a->count + 1) * sizeof number);
    numbers[a->count] = number;
    __atomic_store_n(&a->count, a->count + 1, __ATOMIC_RELEASE); /* not before the number */
}

int main(void)
{
    tarn *seg;
    struct array *a;
    char url[64];
    int status;
    snprintf(url, sizeof url, "posix:/tarn-array-%d", (int)getpid());
    must(tarn_open(url, TARN_CREATE | TARN_EXCL, NULL, &seg));
    must(tarn_unlink(url)); /* who has it attached keeps it */
    must(tarn_object(seg, "array", struct array, &a));
    pid_t child = fork();
    if (child < 0)
        return perror("array"), 1;
    if (child == 0) {
        must(tarn_mutex_lock(seg, &a->lock));
        for (uint64_t i = 0; i < 4000000; i++) /* it is killed before, but for a slow machine's memory */
            append(seg, a, i * i);
        for (;;)
            pause();
    }
    while (__atomic_load_n(&a->count, __ATOMIC_ACQUIRE) < 100000)
        usleep(1000);
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        return 1;
    printf("the child was killed while it appended\n");
    if (tarn_mutex_lock(seg, &a->lock) != TARN_RECOVERED) /* its holder died: look whether all is right */
        return 1;
    const uint64_t *numbers = tarn_ptr(seg, a->block, a->count * sizeof *numbers);
    for (uint64_t i = 0; i < a->count; i++)
        if (!numbers || numbers[i] != i * i)
            return printf("number %llu is wrong\n", (unsigned long long)i), 1;
    printf("the array is whole\n");
    must(tarn_mutex_consistent(seg, &a->lock));
    uint64_t before = a->count;
    append(seg, a, before * before);
    printf("%s\n", a->count == before + 1 ? "one number more was appended" : "nothing was appended");
    must(tarn_mutex_unlock(seg, &a->lock));
    return tarn_close(seg) < 0;
}

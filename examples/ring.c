/* ring.c - messages from one process to another, written where they lie; and what a kill does to them.
 *
 * The parent sends numbers; a child adds them up in shared memory, and is killed in the midst of it. The message that it had in hand is received again by the next
 * one, and the sum tells whether it was counted already: both say which was the last. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/channel.h>

enum { NUMBERS = 1000 };

struct sum {
    long sum, last; /* saved together, in one section */
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", tarn_error());
        exit(1);
    }
}

/* Until the last number; or until it is killed, with that number in hand. */
static void add_up(tarn *seg, struct sum *sum, long killed_at)
{
    tarn_ring *ring;
    long last = 0;
    must(tarn_ring_open(seg, "numbers", TARN_RECEIVE, NULL, &ring));
    while (last < NUMBERS) {
        const void *message;
        size_t size;
        must(tarn_ring_take(ring, &message, &size));
        last = *(const long *)message;
        if (last > sum->last) { /* else it was added by one who died before he released it */
            must(tarn_begin(seg));
            must(tarn_save(seg, sum, sizeof *sum));
            sum->sum += last;
            sum->last = last;
            must(tarn_commit(seg));
        }
        if (last == killed_at)
            raise(SIGKILL);
        must(tarn_ring_release(ring));
    }
    must(tarn_ring_close(ring));
}

static pid_t start(tarn *seg, struct sum *sum, long killed_at)
{
    pid_t child = fork();
    if (child == 0) {
        add_up(seg, sum, killed_at);
        _exit(0);
    }
    return child;
}

int main(void)
{
    const struct tarn_channel_options options = {.size = sizeof options, .capacity = 16, .message = sizeof(long)};
    struct tarn_channel_stat stat;
    struct sum *sum;
    tarn_ring *ring;
    tarn *seg;
    pid_t child;
    int status;
    must(tarn_open("anon:", TARN_CREATE, NULL, &seg));
    must(tarn_object(seg, "sum", struct sum, &sum));
    must(tarn_ring_open(seg, "numbers", TARN_CREATE | TARN_SEND, &options, &ring));
    child = start(seg, sum, 500);
    for (long i = 1; i <= NUMBERS; i++) {
        void *message;
        must(tarn_ring_loan(ring, sizeof i, &message)); /* sleeps while the ring is full */
        *(long *)message = i;
        must(tarn_ring_send_loan(ring, sizeof i));
        if (i == 510) { /* the ring takes sixteen, so this one may have been sent after the kill */
            waitpid(child, &status, 0);
            printf("the first was killed with %ld in hand\n", sum->last);
            child = start(seg, sum, 0);
        }
    }
    waitpid(child, &status, 0);
    must(tarn_channel_stat(seg, "numbers", &stat));
    printf("all are in the sum: %ld, and %llu was received again\n", sum->sum, (unsigned long long)stat.again);
    must(tarn_ring_close(ring));
    return tarn_close(seg) < 0;
}

/* jobs.c - a queue of jobs, and workers of whom one is killed: its job goes to the next one, who is told that somebody had begun it.
 *
 * A job is taken where it lies, and released when it is done; so whoever dies in between has not lost it. Jobs have two priorities. What was done goes back by
 * another queue. */
#include <tarn.h>
#include <tarn/channel.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS = 12, URGENT = 1 };

struct job {
    int number; /* 0: no more */
    char what[60];
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "jobs: %s\n", tarn_error());
        exit(1);
    }
}

/* In a process of its own. killed_at: with this job in hand; 0: never. */
static void work(int killed_at)
{
    tarn_mq *jobs, *done;
    struct job *job;
    tarn *seg;
    int e, number;
    must(tarn_open("posix:/example-jobs", 0, NULL, &seg));
    must(tarn_mq_open(seg, "jobs", TARN_RECEIVE, NULL, &jobs));
    must(tarn_mq_open(seg, "done", TARN_SEND, NULL, &done));
    do {
        must(e = tarn_mq_take(jobs, (void **)&job, NULL));
        number = job->number;
        if (number && number == killed_at)
            kill(getpid(), SIGKILL);
        if (e == TARN_RECOVERED)
            printf("another one did job %d, which somebody had begun\n", number);
        fflush(stdout);
        if (number)
            must(tarn_mq_send(done, 0, &number, sizeof number));
        must(tarn_mq_release(jobs, job));
    } while (number);
    must(tarn_mq_close(jobs));
    must(tarn_mq_close(done));
    must(tarn_close(seg));
    exit(0);
}

static pid_t start(int killed_at)
{
    pid_t child = fork();
    if (child == 0)
        work(killed_at);
    return child;
}

int main(void)
{
    const struct tarn_channel_options two = {
        .size = sizeof two, .capacity = 16, .message = sizeof(struct job), .number = 2};
    const struct tarn_channel_options numbers = {.size = sizeof numbers, .capacity = 16, .message = sizeof(int)};
    struct job job = {0};
    tarn_mq *jobs, *done;
    tarn *seg;
    int status, first = 0, count = 0;
    must(tarn_open("posix:/example-jobs", TARN_CREATE, NULL, &seg));
    must(tarn_mq_open(seg, "jobs", TARN_CREATE | TARN_SEND, &two, &jobs));
    must(tarn_mq_open(seg, "done", TARN_CREATE | TARN_RECEIVE, &numbers, &done));
    for (job.number = 1; job.number <= JOBS; job.number++) {
        snprintf(job.what, sizeof job.what, "this is job %d", job.number);
        must(tarn_mq_send(jobs, job.number == JOBS ? URGENT : 0, &job, sizeof job));
    }
    waitpid(start(3), &status, 0);
    if (WIFSIGNALED(status))
        printf("a worker was killed with job 3 in hand\n");
    fflush(stdout);
    pid_t other = start(0);
    for (int number; count < JOBS; count++) {
        must(tarn_mq_receive(done, &number, sizeof number, NULL));
        if (count == 0)
            first = number;
    }
    job.number = 0;
    must(tarn_mq_send(jobs, 0, &job, sizeof job));
    waitpid(other, &status, 0);
    printf("%d jobs done, the urgent one %s\n", count, first == JOBS ? "first" : "later");
    must(tarn_mq_close(jobs));
    must(tarn_mq_close(done));
    must(tarn_unlink("posix:/example-jobs"));
    return tarn_close(seg) < 0;
}

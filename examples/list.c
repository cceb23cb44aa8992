/* list.c - 'Is it possible to create linked lists in shared memory?' Two processes, which have the segment at different addresses, share one. */
#include <tarn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct job { long number; tarn_link link; };
struct jobs { tarn_list list; };

static int put(tarn *seg, struct jobs *jobs, long number)
{
    tarn_ref ref;
    if (tarn_begin(seg) < 0 || tarn_alloc(seg, sizeof(struct job), &ref) < 0)
        return -1;
    struct job *job = tarn_ptr(seg, ref, sizeof *job);
    job->number = number; /* nobody sees it yet */
    tarn_list_insert_last(seg, &jobs->list, &job->link);
    return tarn_commit(seg); /* it is made, and in the list: both, or, killed before this, neither */
}

static int work(void) /* in another process: attaches by name, wherever there is room */
{
    tarn *seg;
    struct jobs *jobs;
    long sum = 0;
    if (tarn_open("posix:/jobs", 0, NULL, &seg) < 0 || tarn_object(seg, "jobs", struct jobs, &jobs) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    for (tarn_link *l; tarn_begin(seg) == 0 && (l = tarn_list_first(seg, &jobs->list)); tarn_commit(seg)) {
        tarn_list_remove(seg, &jobs->list, l);
        sum += TARN_MEMBER(l, struct job, link)->number;
        tarn_retire(seg, tarn_ref_of(seg, TARN_MEMBER(l, struct job, link)));
    }
    tarn_abort(seg);
    printf("the other process did jobs for %ld\n", sum);
    return tarn_close(seg) < 0;
}

int main(int argc, char **argv)
{
    tarn *seg;
    struct jobs *jobs;
    if (argc > 1)
        return work();
    if (tarn_open("posix:/jobs", TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "jobs", struct jobs, &jobs) < 0)
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    for (long number = 1; number <= 100; number++)
        if (put(seg, jobs, number) < 0)
            return fprintf(stderr, "%s\n", tarn_error()), 1;
    if (fork() == 0)
        execl("/proc/self/exe", argv[0], "work", (char *)NULL);
    wait(NULL);
    printf("left in the list: %s\n", tarn_list_first(seg, &jobs->list) ? "some" : "none");
    tarn_unlink("posix:/jobs");
    return tarn_close(seg) < 0;
}

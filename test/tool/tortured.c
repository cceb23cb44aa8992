/* tortured.c - programs for tarn torture to run: tortured HOW [URL].
 *
 *     threads URL   two threads, each with calls of its own
 *     memory        a segment without a name, and a child that has it by fork
 *     callback URL  a call within a call
 *     launch URL    execs itself as "child URL", by a child
 *     endless URL   does not end by itself
 *     none          has libtarn, and never calls it        fails    ends with status 7      dies    of a signal
 *     grow URL      allocates until there is no more, or it is 2 MiB, and says nothing about it
 *     hang URL      waits for ever for what a child does, if that was killed */
#include <tarn.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    tarn_mutex lock;
    tarn_event done;
    long first, second;
};
static tarn *seg;
static struct shared *shared;

static int must(int result)
{
    if (result < 0) {
        fprintf(stderr, "tortured: %s\n", tarn_error());
        exit(1);
    }
    return result;
}

static void change(void)
{
    must(tarn_begin(seg));
    must(tarn_mutex_lock(seg, &shared->lock));
    must(tarn_save(seg, &shared->first, sizeof shared->first));
    shared->first++;
    must(tarn_mutex_unlock(seg, &shared->lock));
    must(tarn_commit(seg));
}

static void *thread(void *unused)
{
    for (int i = 0; i < 20; i++)
        change();
    must(tarn_thread_detach(seg));
    return unused;
}

static void threads(void)
{
    pthread_t one, two;
    if (pthread_create(&one, NULL, thread, NULL) || pthread_create(&two, NULL, thread, NULL))
        exit(1);
    pthread_join(one, NULL);
    pthread_join(two, NULL);
}

static void in_child(void (*work)(void))
{
    pid_t child = fork();
    if (child == 0) {
        work();
        _exit(tarn_close(seg) < 0);
    }
    if (child < 0 || waitpid(child, NULL, 0) != child)
        exit(1);
}

static int each(const struct tarn_participant *p, void *arg)
{
    (void)p, (void)arg;
    change();
    return 1;
}

static const char *program, *url;

static void exec_child(void)
{
    execl(program, program, "child", url, (char *)NULL);
    exit(1);
}

static void grow(void)
{
    tarn_ref ref;
    int e = 0;
    for (int i = 0; i < 8 && e == 0; i++) {
        must(tarn_begin(seg));
        e = tarn_alloc(seg, 262144, &ref);
        must(e < 0 ? tarn_abort(seg) : tarn_commit(seg));
    }
}

static void set_done(void)
{
    must(tarn_event_set(seg, &shared->done));
}

static void run(const char *how)
{
    if (!strcmp(how, "threads"))
        threads();
    else if (!strcmp(how, "memory"))
        in_child(change);
    else if (!strcmp(how, "callback"))
        must(tarn_participants(seg, each, NULL));
    else if (!strcmp(how, "launch"))
        in_child(exec_child);
    else if (!strcmp(how, "grow"))
        grow();
    else if (!strcmp(how, "hang")) {
        in_child(set_done);
        must(tarn_event_wait(seg, &shared->done));
    }
    while (!strcmp(how, "endless"))
        pause();
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    program = argv[0];
    url = argc > 2 ? argv[2] : "anon:";
    if (!strcmp(how, "fails"))
        return 7;
    if (!strcmp(how, "dies"))
        raise(SIGABRT);
    if (!strcmp(how, "none"))
        return argc > 99 ? tarn_close(NULL) : 0;
    must(tarn_open(url, TARN_CREATE,
                   &(struct tarn_options){.size = sizeof(struct tarn_options), .initial = 262144}, &seg));
    must(tarn_object(seg, "shared", struct shared, &shared));
    change();
    run(how);
    return tarn_close(seg) < 0;
}

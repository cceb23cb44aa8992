/* cameras.c - two cameras and a viewer: frames of 6 MB go from process to process, and no byte of them is copied.
 *
 * Each camera borrows the place of a frame from the topic, exposes it there, and sends it; the viewer looks at it where it is. The viewer has publishers wait for
 * it, for it wants to see all; without that it would miss the oldest, and be told how many. The second camera is killed with a frame half exposed: that one nobody sees, and
 * nobody waits for it. Its successor goes on. */
#include <tarn.h>
#include <tarn/channel.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRAMES = 12 };

struct frame {
    int camera, number;
    unsigned char pixel[1080][1920][3];
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "cameras: %s\n", tarn_error());
        exit(1);
    }
}

static void camera(int camera, int first, int killed_at)
{
    struct frame *frame;
    tarn_topic *frames;
    tarn *seg;
    must(tarn_open("posix:/example-cameras", 0, NULL, &seg));
    must(tarn_topic_open(seg, "frames", TARN_SEND, NULL, &frames));
    for (int i = first; i < FRAMES; i++) {
        must(tarn_topic_loan(frames, sizeof *frame, (void **)&frame));
        frame->camera = camera;
        frame->number = i;
        memset(frame->pixel, i, sizeof frame->pixel / 2);
        if (i == killed_at)
            kill(getpid(), SIGKILL);
        memset((char *)frame->pixel + sizeof frame->pixel / 2, i, sizeof frame->pixel - sizeof frame->pixel / 2);
        must(tarn_topic_send_loan(frames, frame, sizeof *frame));
    }
    must(tarn_topic_close(frames));
    must(tarn_close(seg));
    exit(0);
}

static pid_t start(int which, int first, int killed_at)
{
    pid_t child = fork();
    if (child == 0)
        camera(which, first, killed_at);
    return child;
}

static int is_exposed(const struct frame *f)
{
    for (int y = 0; y < 1080; y += 9)
        for (int x = 0; x < 1920; x += 11)
            if (f->pixel[y][x][1] != f->number)
                return 0;
    return 1;
}

int main(void)
{
    const struct tarn_channel_options options = {
        .size = sizeof options, .capacity = 4, .message = sizeof(struct frame), .parties = 3, .number = 1};
    struct tarn_topic_news news;
    const struct frame *frame;
    tarn_topic *frames;
    tarn *seg;
    int seen[2] = {0, 0}, next[2] = {0, 0}, broken = 0, skipped = 0;
    unsigned long long lost = 0;

    must(tarn_open("posix:/example-cameras", TARN_CREATE | TARN_EXCL, NULL, &seg));
    must(tarn_topic_open(seg, "frames", TARN_CREATE | TARN_RECEIVE, &options, &frames));
    must(tarn_topic_hold(frames, 10000)); /* ms */
    start(0, 0, -1);
    pid_t second = start(1, 0, FRAMES / 2);
    while (seen[0] + seen[1] < 2 * FRAMES) {
        must(tarn_topic_take(frames, (const void **)&frame, &news));
        broken += !is_exposed(frame);
        skipped += frame->number != next[frame->camera]++;
        lost += news.lost;
        seen[frame->camera]++;
        must(tarn_topic_release(frames, frame));
        if (seen[1] == FRAMES / 2 && second) { /* there is no more from that one */
            waitpid(second, NULL, 0);
            second = 0;
            printf("viewer: the second camera was killed in the midst of a frame; another goes on\n");
            fflush(stdout);
            start(1, FRAMES / 2, -1);
        }
    }
    printf("viewer: %d frames of the first camera, %d of the second; %llu lost, %d skipped, %d broken\n",
           seen[0], seen[1], lost, skipped, broken);
    while (wait(NULL) > 0)
        ;
    must(tarn_topic_close(frames));
    must(tarn_close(seg));
    must(tarn_unlink("posix:/example-cameras"));
    return lost || skipped || broken;
}

/* holder.c - for test_tool.py: a process that has a segment, with names in it, a lock held and a section open.
 *
 * usage: holder URL [NAME...]
 * Makes the segment, with the lifetime that HOLDER_LIFETIME says (a number), and in it an object for each NAME. Prints "FD", its descriptor's number, and waits for the end of its input.
 * With HOLDER_CHANNELS in the environment it makes channels instead, "ring" and "ring2", "mq" and "mq2" (of 4 priorities), and "call", and is the server of the last: its answers
 * are the requests in capitals. Then "u" on its input has it unbind "ring2", and "m" make a topic of that name. */
#include <tarn.h>
#include <tarn/channel.h>

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hold(int argc, char **argv)
{
    static const struct tarn_type type = {"struct held \"\\\033", 16, 7};
    const char *lifetime = getenv("HOLDER_LIFETIME");
    struct tarn_options options = {.size = sizeof options, .lifetime = lifetime ? (uint32_t)atoi(lifetime) : 0};
    tarn *seg;
    void *object = NULL;
    int error = argc > 1 ? tarn_open(argv[1], TARN_CREATE, &options, &seg) : -1;
    for (int i = 2; i < argc && error == 0; i++)
        error = tarn_find_or_make(seg, argv[i], &type, &object);
    if (error == 0)
        error = tarn_begin(seg);
    if (error == 0 && object)
        error = tarn_mutex_lock(seg, object);
    if (error < 0)
        return error;
    printf("%d\n", tarn_fd(seg));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}

static int answer(tarn_call *call, const struct tarn_request *request)
{
    char *to;
    int error = tarn_call_room(call, request->id, (void **)&to);
    if (error == 0 && request->size == 4 && !memcmp(request->at, "fail", 4))
        return tarn_call_fail(call, request->id, -EIO);
    for (size_t i = 0; error == 0 && i < request->size; i++)
        to[i] = (char)toupper(((const unsigned char *)request->at)[i]);
    return error ? error : tarn_call_answer(call, request->id, to, request->size);
}

/* Made, and not kept open. */
static int make_ring(tarn *seg, const char *name)
{
    tarn_ring *ring;
    int error = tarn_ring_open(seg, name, TARN_CREATE, NULL, &ring);
    return error ? error : tarn_ring_close(ring);
}
static int make_queue(tarn *seg, const char *name)
{
    const struct tarn_channel_options levels = {.size = sizeof levels, .number = 4};
    tarn_mq *mq;
    int error = tarn_mq_open(seg, name, TARN_CREATE, &levels, &mq);
    return error ? error : tarn_mq_close(mq);
}
static int make_topic(tarn *seg, const char *name)
{
    tarn_topic *topic;
    int error = tarn_topic_open(seg, name, TARN_CREATE, NULL, &topic);
    return error ? error : tarn_topic_close(topic);
}

static int serve(const char *url)
{
    struct tarn_request request;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    tarn *seg;
    tarn_call *call;
    char order = 0;
    int error = tarn_open(url, TARN_CREATE, NULL, &seg);
    if (error < 0 || (error = make_ring(seg, "ring")) < 0 || (error = make_ring(seg, "ring2")) < 0 ||
        (error = make_queue(seg, "mq")) < 0 || (error = make_queue(seg, "mq2")) < 0 ||
        (error = tarn_call_open(seg, "call", TARN_CREATE | TARN_RECEIVE, NULL, &call)) < 0)
        return error;
    printf("%d\n", tarn_fd(seg));
    fflush(stdout);
    while (error == 0 && (poll(&input, 1, 1) == 0 || read(0, &order, 1) == 1)) {
        if (order == 'u')
            error = tarn_unbind(seg, "ring2", 1);
        else if (order == 'm')
            error = make_topic(seg, "ring2");
        else if ((error = tarn_call_next_try(call, &request)) == 0)
            error = answer(call, &request);
        else if (error == -EAGAIN)
            error = 0;
        order = 0;
    }
    tarn_call_close(call);
    return error ? error : tarn_close(seg);
}

int main(int argc, char **argv)
{
    if ((argc == 2 && getenv("HOLDER_CHANNELS") ? serve(argv[1]) : hold(argc, argv)) == 0)
        return 0;
    fprintf(stderr, "holder: %s\n", tarn_error());
    return 1;
}

/* cmd_recover.c - tarn recover: recover the dead participants of a segment now, as whoever meets them next would. */
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

static const struct option names[] = {{"help", no_argument, NULL, 'h'}, {0}};

/* To take part is enough for most, so they are counted by the segment. */
static int recover(const struct command *c, tarn *seg)
{
    struct tarn_stat before, after;
    int error = tarn_stat(seg, &before);
    if (error == 0)
        error = tarn_recover(seg);
    if (error >= 0)
        error = tarn_stat(seg, &after);
    if (error < 0)
        return failed(c, error);
    printf("%" PRIu64 " recovered, %" PRIu64 " open sections undone\n", after.recovered - before.recovered,
           after.undone - before.undone);
    return DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    int option, status = DONE;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0)
        if (option == ENDED)
            return status;
    const char *url = only_url(c, argc, argv);
    if (!url)
        return USAGE;
    int error = tarn_open(url, TARN_FOREIGN, NULL, &seg);
    if (error < 0)
        return failed(c, error);
    status = recover(c, seg);
    error = tarn_close(seg);
    return error < 0 ? failed(c, error) : status;
}

const struct command cmd_recover = {
    .name = "recover",
    .arguments = "URL",
    .summary = "recover those who died while they took part in a segment",
    .help = "It is attached for writing, and what the dead left open is undone, what they held is released. "
            "Programs that use the\n"
            "segment do that themselves, as soon as they meet it; this is for when none comes.\n",
    .run = run,
};

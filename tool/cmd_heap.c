/* cmd_heap.c - tarn heap: what the memory of a segment is used for, by size of block. Read-only: no byte of it is written.
 *
 * A snapshot, taken without locks while others may work. */
#include "tool.h"

static const struct option names[] = {
    {"all", no_argument, NULL, 'a'}, {"json", no_argument, NULL, 'J'}, {"help", no_argument, NULL, 'h'}, {0}};

static int run(const struct command *c, int argc, char **argv)
{
    bool json = false, all = false;
    int option, status = DONE;
    struct tarn_heap_stats t;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":ahJ", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        json |= option == 'J';
        all |= option == 'a';
    }
    if (json && all)
        return misused(c, "--json tells of all sizes anyway: without --all, please");
    const char *url = only_url(c, argc, argv);
    if (!url)
        return USAGE;
    if (!attach(c, url, &seg, &status))
        return status;
    int error = tarn_heap_stats(seg, &t);
    if (error < 0)
        status = failed(c, error);
    else
        json ? print_heap_json(url, &t) : print_heap(url, &t, all);
    tarn_close(seg);
    return status;
}

const struct command cmd_heap = {
    .name = "heap",
    .arguments = "[-a | -J] URL",
    .summary = "tell what the memory of a segment is used for",
    .help = "  -a, --all           also sizes of which there are no blocks\n"
            "  -J, --json          as JSON, sizes in bytes\n"
            "URL is posix:/NAME, sysv:KEY or file:PATH, or for a segment without a name /proc/PID/fd/N or "
            "fd:N. It is attached "
            "read-only.\n",
    .run = run,
};

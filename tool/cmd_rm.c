/* cmd_rm.c - tarn rm: remove the names of segments; the memory goes when its last user has. What is no segment is left alone. */
#include <errno.h>

#include "tool.h"

static const struct option names[] = {{"force", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {0}};

static int remove_one(const struct command *c, const char *url, bool force)
{
    if (is_descriptor(url))
        return misused(c, "%s: a descriptor has no name to remove: the memory goes when its last user has", url);
    int error = tarn_unlink(url);
    if (error == -ENOENT && force)
        return DONE;
    return error < 0 ? failed(c, error) : DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    bool force = false;
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":hf", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        force = true;
    }
    if (optind == argc)
        return misused(c, "no URL: say which segment, as posix:/name");
    for (int i = optind; i < argc; i++) {
        int one = remove_one(c, argv[i], force);
        status = one > status ? one : status;
    }
    return status;
}

const struct command cmd_rm = {
    .name = "rm",
    .arguments = "[-f] URL...",
    .summary = "remove the name of a segment; who has it attached keeps it",
    .help = "  -f, --force         not there is no failure\n"
            "Asks nothing. What is there but no tarn segment is left alone (status 1). With several URLs the "
            "worst status counts.\n",
    .run = run,
};

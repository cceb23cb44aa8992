/* cmd_load.c - tarn load: raw bytes from a file or stdin into a new object, or over one that is there. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "transfer.h"
#include "wait.h"

enum { OVERWRITE = 256, COMMIT, MODE, SIZE };
static const struct option names[] = {{"overwrite", no_argument, NULL, OVERWRITE},
                                      {"commit", no_argument, NULL, COMMIT},
                                      {"mode", required_argument, NULL, MODE},
                                      {"size", required_argument, NULL, SIZE},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static int load(const struct command *c, const char *file, struct target *t)
{
    bool from_stdin = strcmp(file, "-") == 0;
    struct origin source;
    struct sink sink;
    int status, fd = from_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refused(c, file, "cannot be opened", errno);
    stop_by_signals();
    if (source_of_fd(c, from_stdin ? "stdin" : file, fd, &source, &status)) {
        bool sized = t->sized;
        if (!sized && source.sized) {
            t->sized = true;
            t->size = source.size;
        }
        if (target_open(c, t, NULL, &sink, &status)) {
            status = transfer(c, &source, &sink, sized || t->overwrite ? t->size : UINT64_MAX);
            raw_close(&t->old);
        }
        source_end(&source);
    }
    if (!from_stdin)
        close(fd);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct target t = {.mode = 0600};
    int option, status;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        t.overwrite |= option == OVERWRITE;
        t.commit |= option == COMMIT;
        if (option == SIZE && take_size(c, "--size", optarg, 0, UINT64_MAX, &t.size))
            return USAGE;
        t.sized |= option == SIZE;
        if (option == MODE && target_mode(c, optarg, &t))
            return USAGE;
    }
    if (argc - optind < 1 || argc - optind > 2)
        return misused(c, argc == optind ? "no URL: say which object, as posix:/name" : "a FILE and a URL, no more");
    t.url = argv[argc - 1];
    return load(c, argc - optind == 2 ? argv[optind] : "-", &t);
}

const struct command cmd_load = {
    .name = "load",
    .arguments = "[OPTION...] [FILE] URL",
    .summary = "make an object of the raw bytes of a file, or of stdin",
    .help = "      --overwrite     write over the object that is there, of the same size\n"
            "      --commit        set aside memory for all of it, also for holes\n"
            "      --mode OCTAL    permission bits of a new one (default 0600; the umask is not applied)\n"
            "      --size BYTES    of the object; what FILE lacks is zeros. sysv: from a pipe needs it\n"
            "A new object is posix:/NAME, sysv:KEY or file:PATH. It is whole, or not there. Pages of zeros "
            "become holes.\n",
    .run = run,
};

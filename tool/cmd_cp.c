/* cmd_cp.c - tarn cp: the raw bytes of an object, of any backing, into another, of any. */
#include "transfer.h"
#include "wait.h"

enum { OVERWRITE = 256, COMMIT, MODE };
static const struct option names[] = {{"overwrite", no_argument, NULL, OVERWRITE},
                                      {"commit", no_argument, NULL, COMMIT},
                                      {"mode", required_argument, NULL, MODE},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static int copy(const struct command *c, const char *url, struct target *t, bool moded)
{
    struct raw from;
    struct origin source;
    struct sink sink;
    int status;
    if (!raw_open(c, url, RAW_READ, &from, &status))
        return status;
    t->sized = true;
    t->size = from.size;
    if (!moded)
        t->mode = from.mode;
    stop_by_signals();
    if (target_open(c, t, &from, &sink, &status)) {
        warn_of_taking(c, &from);
        source_of(&from, &source);
        status = transfer(c, &source, &sink, UINT64_MAX);
        source_end(&source);
        raw_close(&t->old);
    }
    raw_close(&from);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct target t = {0};
    bool moded = false;
    int option, status;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        t.overwrite |= option == OVERWRITE;
        t.commit |= option == COMMIT;
        moded |= option == MODE;
        if (option == MODE && target_mode(c, optarg, &t))
            return USAGE;
    }
    if (argc - optind != 2)
        return misused(c, "say two URLs: from where, and to where");
    t.url = argv[optind + 1];
    return copy(c, argv[optind], &t, moded);
}

const struct command cmd_cp = {
    .name = "cp",
    .arguments = "[--overwrite] [--commit] [--mode OCTAL] FROM TO",
    .summary = "copy any object's raw bytes to another, of any backing",
    .help = "      --overwrite     write over the object that is there, of the same size\n"
            "      --commit        set aside memory for all of it, also for holes\n"
            "      --mode OCTAL    permission bits of a new one (default: those of FROM)\n"
            "FROM: also of what is no segment, and shmid:N, memfd:LABEL, /proc/PID/fd/N, fd:N, or what tarn "
            "ls has for ID.\n"
            "TO: posix:/NAME, sysv:KEY, file:PATH; with --overwrite any of the former. A new one is whole, "
            "or not there.\n",
    .run = run,
};

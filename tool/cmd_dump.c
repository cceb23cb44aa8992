/* cmd_dump.c - tarn dump: the raw bytes of any object, to a file or to stdout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transfer.h"
#include "wait.h"

enum { OVERWRITE = 256 };
static const struct option names[] = {
    {"overwrite", no_argument, NULL, OVERWRITE}, {"help", no_argument, NULL, 'h'}, {0}};

/* What is there already and is no file (a pipe, /dev/null) is written to as it is. */
static bool open_sink(const struct command *c, const char *path, bool overwrite, struct sink *ret, int *ret_status)
{
    struct stat s;
    if (strcmp(path, "-") != 0 && (stat(path, &s) < 0 || S_ISREG(s.st_mode)))
        return sink_new_file(c, path, path, 0600, overwrite, ret, ret_status);
    if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO)) {
        *ret_status = misused(c, "raw bytes do a terminal no good: say a FILE");
        return false;
    }
    if (strcmp(path, "-") != 0 && !freopen(path, "w", stdout)) {
        *ret_status = refused(c, path, "cannot be opened", errno);
        return false;
    }
    sink_of_stream(path, STDOUT_FILENO, ret);
    return true;
}

void warn_of_taking(const struct command *c, const struct raw *r)
{
    struct taking t = raw_taking(c, r);
    if (t.running)
        complain(c->name, "%s: warning: %zu %s in it and not stopped, so this is no image of one moment, and may be damaged",
                 r->name, t.running, t.running == 1 ? "participant is" : "participants are");
    else if (t.all)
        complain(c->name, "%s: note: %zu %s in it, which the image has too: tarn check --repair file:IMAGE mends it of them",
                 r->name, t.all, t.all == 1 ? "participant is" : "participants are");
}

static int run(const struct command *c, int argc, char **argv)
{
    int option, status;
    bool overwrite = false;
    struct raw from;
    struct origin source;
    struct sink sink;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        overwrite = true;
    }
    if (argc - optind < 1 || argc - optind > 2)
        return misused(c, argc == optind ? "no URL: say which object, as posix:/name" : "a URL and a FILE, no more");
    stop_by_signals();
    if (!raw_open(c, argv[optind], RAW_READ, &from, &status))
        return status;
    if (open_sink(c, argc - optind == 2 ? argv[optind + 1] : "-", overwrite, &sink, &status)) {
        warn_of_taking(c, &from);
        source_of(&from, &source);
        status = transfer(c, &source, &sink, UINT64_MAX);
        source_end(&source);
    }
    raw_close(&from);
    return status;
}

const struct command cmd_dump = {
    .name = "dump",
    .arguments = "[--overwrite] URL [FILE]",
    .summary = "write the raw bytes of any object to a file, or to stdout",
    .help = "      --overwrite     FILE may be there; it is replaced when the new one is whole\n"
            "URL: also of what is no segment, and shmid:N, memfd:LABEL, /proc/PID/fd/N, fd:N, or what tarn "
            "ls has for ID.\n"
            "Holes are left out where FILE can have them. A segment of ours whose participants run is dumped "
            "with a warning:\n"
            "stop them (kill -STOP) for an image of one moment.\n",
    .run = run,
};

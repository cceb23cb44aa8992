/* cmd_check.c - tarn check: look at everything in a segment and list what is damaged. Read-only, takes no lock.
 *
 * A segment that is refused at the door, truncated or with a damaged header, is damaged too: status 1, and the reason on stderr. */
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

enum { LEAKS = 256 };
static const struct option names[] = {
    {"json", no_argument, NULL, 'J'},
    {"quiet", no_argument, NULL, 'q'},
    {"leaks", no_argument, NULL, LEAKS},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int show(const struct tarn_damage *d, void *arg)
{
    (void)arg;
    print_damage(d);
    return 0;
}

static int show_json(const struct tarn_damage *d, void *arg)
{
    (void)arg;
    json_damage(d);
    return 0;
}

static int check_json(const char *url, tarn *seg)
{
    json_damages_begin(url);
    int found = tarn_check(seg, show_json, NULL);
    json_damages_end(found < 0 ? 0 : (uint64_t)found);
    return found;
}

static int check_leaks(const struct command *c, const char *url, tarn *seg)
{
    uint64_t bytes;
    int error = tarn_leaked(seg, &bytes);
    if (error < 0)
        return failed(c, error);
    printf("%s: %" PRIu64 " bytes are allocated to which no name, map or record leads (objects may)\n", url, bytes);
    return DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    bool json = false, quiet = false, leaks = false;
    int option, status = DONE;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":hqJ", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        json |= option == 'J';
        quiet |= option == 'q';
        leaks |= option == LEAKS;
    }
    if (json + quiet + leaks > 1)
        return misused(c, "of --json, --quiet and --leaks, one at a time");
    const char *url = only_url(c, argc, argv);
    if (!url)
        return USAGE;
    if (!attach(c, url, &seg, &status))
        return status;
    int found = json ? check_json(url, seg) : tarn_check(seg, quiet ? NULL : show, NULL);
    if (found < 0)
        status = failed(c, found);
    else if (found > 0)
        status = WRONG;
    if (!json && !quiet && found == 0)
        printf("%s: no damage\n", url);
    if (leaks && found >= 0) {
        int told = check_leaks(c, url, seg);
        status = told != DONE ? told : status;
    }
    tarn_close(seg);
    return status;
}

const struct command cmd_check = {
    .name = "check",
    .arguments = "[-q | -J | --leaks] URL",
    .summary = "look at everything in a segment, and list what is damaged",
    .help = "  -q, --quiet         say nothing of damages: the exit status tells\n"
            "  -J, --json          as JSON\n"
            "  --leaks             also how many allocated bytes no name, map or record leads to\n"
            "URL is posix:/NAME, or for a segment without a name /proc/PID/fd/N or fd:N. It is attached "
            "read-only, and may be\n"
            "in use. Exit status 0: nothing is damaged; 1: something is, or the segment is not there, or not "
            "one.\n",
    .run = run,
};

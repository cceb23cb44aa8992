/* cmd_check.c - tarn check: look at everything in a segment and list what is damaged. Read-only, takes no lock; but for --repair, which needs
 * to be alone, and writes.
 *
 * A segment that is refused at the door, truncated or with a damaged header, is damaged too: status 1, and the reason on stderr. */
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

enum { LEAKS = 256, REPAIR };
static const struct option names[] = {
    {"json", no_argument, NULL, 'J'},    {"quiet", no_argument, NULL, 'q'},
    {"leaks", no_argument, NULL, LEAKS}, {"repair", no_argument, NULL, REPAIR},
    {"help", no_argument, NULL, 'h'},    {0},
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

/* seg NULL: repair. A damage mended is listed, and not counted. */
static int check_json(const char *url, tarn *seg)
{
    json_damages_begin(url);
    int found = seg ? tarn_check(seg, show_json, NULL) : tarn_repair(url, show_json, NULL);
    json_damages_end(found < 0 ? 0 : (uint64_t)found);
    return found;
}

static int repair(const struct command *c, const char *url, bool json, bool quiet)
{
    if (is_descriptor(url))
        return misused(c, "%s: what is repaired is found by its name: file:PATH", url);
    int found = json ? check_json(url, NULL) : tarn_repair(url, quiet ? NULL : show, NULL);
    if (found < 0)
        return failed(c, found);
    if (!json && !quiet)
        printf(found ? "%s: damaged: it stays refused\n" : "%s: in order: it opens again\n", url);
    return found ? WRONG : DONE;
}

static int check_leaks(const struct command *c, const char *url, tarn *seg)
{
    uint64_t bytes;
    int error = tarn_leaked(seg, &bytes);
    if (error < 0)
        return failed(c, error);
    printf("%s: %" PRIu64 " bytes are allocated to which no name, map, tree or record leads (objects may)\n",
           url, bytes);
    return DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    bool json = false, quiet = false, leaks = false, mend = false;
    int option, status = DONE;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":hqJ", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        json |= option == 'J';
        quiet |= option == 'q';
        leaks |= option == LEAKS;
        mend |= option == REPAIR;
    }
    if (json + quiet + leaks > 1)
        return misused(c, "of --json, --quiet and --leaks, one at a time");
    if (leaks && mend)
        return misused(c, "of --leaks and --repair, one at a time");
    const char *url = only_url(c, argc, argv);
    if (!url)
        return USAGE;
    if (mend)
        return repair(c, url, json, quiet);
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
    .arguments = "[-q | -J | --leaks] [--repair] URL",
    .summary = "look at everything in a segment, and list what is damaged",
    .help = "  -q, --quiet         say nothing of damages: the exit status tells\n"
            "  -J, --json          as JSON\n"
            "  --leaks             also how many allocated bytes no name, map, tree or record leads to\n"
            "  --repair            put a file: right that was in use when the machine stopped, or when it "
            "was copied: "
            "what the dead\n"
            "                      left is undone, names that lead nowhere are unbound. Nobody may have it "
            "attached "
            "for writing.\n"
            "                      Values may be of different times. Killed, it can be run again\n"
            "URL is posix:/NAME, sysv:KEY or file:PATH, or for a segment without a name /proc/PID/fd/N or "
            "fd:N. It is attached "
            "read-only, and may be\n"
            "in use (but for --repair). Exit status 0: nothing is damaged; 1: something is, or the segment "
            "is not there, or not "
            "one.\n",
    .run = run,
};

/* cmd_create.c - tarn create: make a segment, so that its size, mode and limits are decided before any program runs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

enum { SIZE = 256, LIMIT, MODE, PARTICIPANTS, EXCL, SAME_ADDRESS, LOCKED, DUMP, PREFAULT, HUGE, NUMA };

static const struct option names[] = {
    {"size", required_argument, NULL, SIZE},
    {"limit", required_argument, NULL, LIMIT},
    {"mode", required_argument, NULL, MODE},
    {"participants", required_argument, NULL, PARTICIPANTS},
    {"excl", no_argument, NULL, EXCL},
    {"same-address", no_argument, NULL, SAME_ADDRESS},
    {"locked", no_argument, NULL, LOCKED},
    {"dump", no_argument, NULL, DUMP},
    {"prefault", no_argument, NULL, PREFAULT},
    {"huge", required_argument, NULL, HUGE},
    {"numa", required_argument, NULL, NUMA},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int take_huge(const struct command *c, const char *value, struct tarn_options *o)
{
    o->huge = strcmp(value, "transparent") == 0 ? TARN_HUGE_TRANSPARENT
              : strcmp(value, "reserved") == 0  ? TARN_HUGE_RESERVED
                                                : 0;
    return o->huge ? DONE : misused(c, "--huge %s: it is transparent or reserved", value);
}

/* MODE:NODE,NODE... */
static int take_numa(const struct command *c, const char *value, struct tarn_options *o)
{
    static const char *const modes[] = {"", "bind:", "interleave:", "prefer:"};
    const char *at = NULL;
    o->nodes = 0;
    for (uint32_t k = 1; k < sizeof modes / sizeof *modes && !at; k++)
        if (strncmp(value, modes[k], strlen(modes[k])) == 0) {
            o->numa = k; /* TARN_NUMA_BIND, ... */
            at = value + strlen(modes[k]);
        }
    for (bool more = at; more;) {
        size_t length = strcspn(at, ",");
        char number[16];
        uint64_t node;
        snprintf(number, sizeof number, "%.*s", (int)length, at);
        if (length >= sizeof number || !parse_number(number, 10, 63, &node)) {
            at = NULL;
            break;
        }
        o->nodes |= UINT64_C(1) << node;
        more = at[length] == ',';
        at += length + more;
    }
    return at ? DONE
              : misused(c, "--numa %s: it is bind:, interleave: or prefer:, and nodes of 0 to 63, parted by commas",
                        value);
}

/* One option into *o; DONE, or USAGE after a complaint. */
static int take(const struct command *c, int option, const char *value, struct tarn_options *o, unsigned *flags)
{
    uint64_t n;
    switch (option) {
    case SIZE: return take_size(c, "--size", value, 1, UINT64_MAX, &o->initial);
    case LIMIT: return take_size(c, "--limit", value, 64 << 10, (uint64_t)1 << 46, &o->limit);
    case MODE:
        if (!parse_number(value, 8, 0777, &n) || n == 0)
            return misused(c, "--mode %s: it is permission bits in octal, 1 to 777, as 0600 or 660", value);
        o->mode = (uint32_t)n;
        return DONE;
    case PARTICIPANTS:
        if (take_count(c, "--participants", value, "threads", 4096, &n) != DONE)
            return USAGE;
        o->participants = (uint32_t)n;
        return DONE;
    case SAME_ADDRESS: o->same_address = 1; return DONE;
    case LOCKED: o->locked = 1; return DONE;
    case DUMP: o->dumped = 1; return DONE;
    case PREFAULT: o->prefault = 1; return DONE;
    case HUGE: return take_huge(c, value, o);
    case NUMA: return take_numa(c, value, o);
    default: *flags |= TARN_EXCL; return DONE;
    }
}

/* The library speaks of its flags and fields; whoever types a command knows options. */
static int not_made(const struct command *c, const char *url, int error)
{
    if (error == -EEXIST) {
        complain(c->name, "%s: it is there already; without --excl it would be left as it is", url);
        return WRONG;
    }
    if (strstr(tarn_error(), "options."))
        return misused(c, "%s: %s (initial is --size; nodes are --numa)", url, tarn_error());
    return failed(c, error);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct tarn_options options = {.size = sizeof options};
    unsigned flags = TARN_CREATE;
    int option, status;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":h", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &options, &flags)) != DONE)
            return status;
    const char *url = only_url(c, argc, argv);
    if (!url)
        return USAGE;
    if (strncmp(url, "memfd:", 6) == 0 || strcmp(url, "anon:") == 0)
        return misused(
            c,
            "%s: such a segment lives as long as a process has it, so this command would make it for nobody: "
            "tarn_open it in the program",
            url);
    int error = tarn_open(url, flags, &options, &seg);
    if (error < 0)
        return not_made(c, url, error);
    error = tarn_close(seg);
    return error < 0 ? failed(c, error) : DONE;
}

const struct command cmd_create = {
    .name = "create",
    .arguments = "[OPTION...] posix:/NAME | sysv:KEY | file:PATH",
    .summary = "make a segment; one that is there already is left as it is",
    .help =
        "  --size BYTES        of data space committed at once (default 1M)\n"
        "  --limit BYTES       of data space that it may grow to, from 64K on (default 16G; address "
        "space, not memory)\n"
        "  --mode OCTAL        permission bits (default 0600; the umask is not applied)\n"
        "  --participants N    most threads at one time, 1 to 4096 (default 64)\n"
        "  --same-address      everybody maps it at one address, so that plain pointers into it are good\n"
        "  --locked            whoever attaches it keeps it in memory\n"
        "  --dump              it is in core dumps, which delays the notice of a death\n"
        "  --prefault          what is committed is mapped when it is attached, not at first use\n"
        "  --huge KIND         transparent: data space can be mapped by huge pages, and the kernel is asked "
        "to; "
        "reserved: all of it in\n"
        "                      huge pages that the machine keeps (sysv:), or transparent, if there are not "
        "enough\n"
        "  --numa MODE:NODES   on which nodes its memory is: bind:0 on these only, interleave:0,1 page by "
        "page, "
        "prefer:0 if there is room\n"
        "  --excl              fail, with status 1, if it is there already\n"
        "BYTES may have K, M, G or T behind it. What is there already keeps its own size, limit, mode "
        "and participants.\n",
    .run = run,
};

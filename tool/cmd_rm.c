/* cmd_rm.c - tarn rm: remove the names of segments; the memory goes when its last user has. What is no segment is left alone, unless --any is said. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "machine.h"
#include "tool.h"
#include "unused.h"

static const struct option names[] = {{"any", no_argument, NULL, 'a'},
                                      {"force", no_argument, NULL, 'f'},
                                      {"yes", no_argument, NULL, 'y'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

struct request {
    bool any, force, yes;
    struct machine *m;
};

static int remove_segment(const struct command *c, const char *url, bool force)
{
    if (is_descriptor(url))
        return misused(c, "%s: a descriptor has no name to remove: the memory goes when its last user has", url);
    int error = tarn_unlink(url);
    if (error == -ENOENT && force)
        return DONE;
    return error < 0 ? failed(c, error) : DONE;
}

/* ---- whatever it is ---- */

static const char *why_not(const struct object *o)
{
    if (o->elsewhere)
        return "it is of another namespace: remove it there (nsenter)";
    if (o->deleted || o->kind == OBJECT_MEMFD || o->kind == OBJECT_ANON)
        return "it has no name to remove: the memory goes when its last user has";
    return o->kind == OBJECT_FILE ? "it is a file: rm removes it" : NULL;
}

static bool is_wanted(const struct object *o)
{
    char question[160], *name = harmless(o->name);
    const char *maker = maker_name(o->maker);
    snprintf(question, sizeof question, ": %s%s, and %u processes have it. Remove it?",
             maker ? "made by " : "nobody knows what made it", maker ? maker : "", o->processes);
    if (name)
        fputs(name, stderr);
    free(name);
    return name && agreed(question);
}

static int not_removed(const struct command *c, const struct object *o, const char *why, int status)
{
    complain(c->name, "%s: %s", o->name, why);
    return status;
}

static int remove_object(const struct command *c, const struct object *o, const struct request *r)
{
    char why[160];
    const char *wrong = why_not(o);
    if (wrong)
        return not_removed(c, o, wrong, REFUSED);
    if (!r->yes && !is_wanted(o))
        return DONE;
    int error = remove_regardless(o, why);
    if (!error || (error == -ENOENT && r->force))
        return DONE;
    return not_removed(c, o, why, error == -ENOENT || error == -ESTALE ? WRONG : REFUSED);
}

static int remove_any(const struct command *c, const char *text, const struct request *r)
{
    uint32_t *index;
    size_t count;
    bool exists;
    int status = DONE;
    if (!machine_find(r->m, text, &index, &count, &exists)) {
        complain(c->name, "no memory for a list");
        return REFUSED;
    }
    if (!count && !r->force) {
        complain(c->name, "%s: there is none; tarn ls tells names", text);
        status = WRONG;
    }
    for (size_t k = 0; k < count; k++) {
        int one = remove_object(c, &r->m->objects[index[k]], r);
        status = one > status ? one : status;
    }
    free(index);
    return status;
}

/* ---- arguments ---- */

static int remove_all(const struct command *c, char **urls, int count, struct request *r)
{
    int status = DONE;
    if (r->any && !(r->m = look_at_machine(c, LOOK_ALL)))
        return REFUSED;
    for (int k = 0; k < count; k++) {
        int one = r->any ? remove_any(c, urls[k], r) : remove_segment(c, urls[k], r->force);
        status = one > status ? one : status;
    }
    machine_free(r->m);
    return status;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct request r = {0};
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":hfay", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        r.any |= option == 'a';
        r.force |= option == 'f';
        r.yes |= option == 'y';
    }
    if (optind == argc)
        return misused(c, "no URL: say which segment, as posix:/name");
    if (r.any && !r.yes && !isatty(0))
        return misused(c, "--any asks, and there is no terminal to ask on: say --yes");
    return remove_all(c, argv + optind, argc - optind, &r);
}

const struct command cmd_rm = {
    .name = "rm",
    .arguments = "[-f] [--any [-y]] URL...",
    .summary = "remove the name of a segment; who has it attached keeps it",
    .help = "  -f, --force         not there is no failure\n"
            "  -a, --any           any System V id, POSIX object or file of hugetlbfs, by a name or id of "
            "tarn ls; it tells\n"
            "                      what made it, and how many have it, and asks\n"
            "  -y, --yes           with --any: ask nothing\n"
            "Without --any it asks nothing, and what is there but no tarn segment is left alone (status 1). "
            "With several\n"
            "URLs the worst status counts.\n",
    .run = run,
};

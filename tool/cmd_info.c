/* cmd_info.c - tarn info: what a segment is, what is named in it, who takes part. Read-only: no byte of it is written.
 *
 * A snapshot, taken without locks while others may work. If the names are damaged, those before the damage are shown, and the
 * status says so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const struct option names[] = {{"json", no_argument, NULL, 'J'}, {"help", no_argument, NULL, 'h'}, {0}};

static int add_name(const struct tarn_name *n, void *arg)
{
    struct info *i = arg;
    char *name = strdup(n->name), *type = strdup(n->type.name);
    struct tarn_name *at = name && type ? one_more(&i->names, &i->names_count, sizeof *at) : NULL;
    if (!at) {
        free(name);
        free(type);
        return -ENOMEM;
    }
    *at = *n;
    at->name = name;
    at->type.name = type;
    return 0;
}

static int add_participant(const struct tarn_participant *p, void *arg)
{
    struct info *i = arg;
    struct tarn_participant *at = one_more(&i->participants, &i->participants_count, sizeof *at);
    if (!at)
        return -ENOMEM;
    *at = *p;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tarn_name *)a)->name, ((const struct tarn_name *)b)->name);
}

static int look(const struct command *c, tarn *seg, struct info *i)
{
    int error = tarn_stat(seg, &i->stat);
    if (error < 0)
        return failed(c, error);
    i->current = tarn_current(seg);
    error = tarn_participants(seg, add_participant, i);
    if (error == 0)
        error = tarn_names(seg, add_name, i);
    if (i->names_count)
        qsort(i->names, i->names_count, sizeof *i->names, by_name);
    if (error == -ENOMEM) {
        complain(c->name, "%s: no memory for the list of its names", i->url);
        return REFUSED;
    }
    return error < 0 ? failed(c, error) : DONE;
}

static void forget(struct info *i)
{
    for (size_t k = 0; k < i->names_count; k++) {
        free((char *)i->names[k].name);
        free((char *)i->names[k].type.name);
    }
    free(i->names);
    free(i->participants);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct info i = {0};
    bool json = false;
    int option, status = DONE;
    tarn *seg;
    while ((option = next_option(c, argc, argv, ":hJ", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        json = true;
    }
    if (!(i.url = only_url(c, argc, argv)))
        return USAGE;
    if (!attach(c, i.url, &seg, &status))
        return status;
    status = look(c, seg, &i);
    if (status == DONE || i.stat.span_size)
        json ? print_info_json(&i) : print_info(&i);
    forget(&i);
    tarn_close(seg);
    return status;
}

const struct command cmd_info = {
    .name = "info",
    .arguments = "[-J] URL",
    .summary = "tell what a segment is, what is named in it, and who takes part",
    .help = "  -J, --json          as JSON, sizes and refs in bytes\n"
            "URL is posix:/NAME, sysv:KEY or file:PATH, or for a segment without a name /proc/PID/fd/N or "
            "fd:N. It is attached "
            "read-only.\n",
    .run = run,
};

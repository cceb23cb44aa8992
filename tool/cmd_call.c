/* cmd_call.c - tarn call: each line of the input as a request, its response as a line of the output. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

enum { TIMEOUT = 256, REPEATABLE };

static const struct option names[] = {{"timeout", required_argument, NULL, TIMEOUT},
                                      {"repeatable", no_argument, NULL, REPEATABLE},
                                      {"json", no_argument, NULL, 'J'},
                                      {"raw", no_argument, NULL, 'r'},
                                      {"prefixed", no_argument, NULL, 'p'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

struct wanted {
    uint64_t timeout; /* ms; 0: no end */
    unsigned flags;
    enum form form;
};

static int take(const struct command *c, int option, const char *value, struct wanted *w)
{
    switch (option) {
    case 'J': w->form = JSON_LINES; return DONE;
    case 'r': w->form = RAW; return DONE;
    case 'p': w->form = PREFIXED; return DONE;
    case REPEATABLE: w->flags = TARN_CALL_REPEATABLE; return DONE;
    default: return take_ms(c, "--timeout", value, 1, DAY_MS, &w->timeout);
    }
}

struct client {
    const struct command *command;
    const struct wanted *wanted;
    tarn *seg;
    const char *name;
    tarn_call *call;
    struct tarn_channel_stat stat;
    bool told; /* that no server is there */
};

/* Nothing comes: if nobody is there who could answer, that is said, once. */
static void look_for_servers(struct client *c)
{
    if (c->told || tarn_channel_stat(c->seg, c->name, &c->stat) < 0 || c->stat.receivers)
        return;
    c->told = true;
    complain(c->command->name, "no server is there to answer \"%s\": waiting for one", c->name);
}

static int loan(struct client *c, size_t size, uint64_t until, void **ret_at, uint64_t *ret_id)
{
    int e = -ETIMEDOUT;
    while (goes_on(until, &e)) {
        struct timespec soon = next_piece(until);
        e = tarn_call_loan_timed(c->call, size, ret_at, ret_id, &soon);
    }
    return e;
}

static int wait_for(struct client *c, uint64_t id, uint64_t until, const void **ret_at, size_t *ret_size)
{
    int e = -ETIMEDOUT;
    while (goes_on(until, &e)) {
        struct timespec soon = next_piece(until);
        e = tarn_call_wait_timed(c->call, id, ret_at, ret_size, &soon);
        if (e == -ETIMEDOUT)
            look_for_servers(c);
    }
    return e;
}

static int too_late(const struct client *c, const char *what)
{
    complain(c->command->name, "%s within %" PRIu64 " ms; the request was taken back", what, c->wanted->timeout);
    return WRONG;
}

static int ask(struct client *c, const struct message *m)
{
    uint64_t until = deadline(c->wanted->timeout), id;
    const void *response;
    size_t size;
    void *at;
    bool printed;
    int e = loan(c, m->size, until, &at, &id);
    if (e == -ETIMEDOUT)
        return too_late(c, "no place for it was free");
    if (e < 0)
        return e == -EINTR ? DONE : failed(c->command, e);
    memcpy(at, m->bytes, m->size);
    if ((e = tarn_call_begin(c->call, id, c->wanted->flags, m->size)) < 0)
        return failed(c->command, e);
    e = wait_for(c, id, until, &response, &size);
    if (e == -EINTR || e == -ETIMEDOUT)
        tarn_call_cancel(c->call, id);
    if (e == -EINTR)
        return DONE;
    if (e == -ETIMEDOUT)
        return too_late(c, "no server answered");
    if (e < 0)
        return failed(c->command, e) == USAGE ? WRONG : REFUSED;
    write_message(c->wanted->form, &(struct message){response, size, -1, NULL});
    printed = fflush(stdout) == 0; /* else nothing more is asked for */
    e = tarn_call_end(c->call, id);
    return e < 0 ? failed(c->command, e) : printed ? DONE : REFUSED;
}

static int open_call(struct client *c, const char *url)
{
    int e, status;
    if (!attach_as(c->command, url, 0, &c->seg, &status))
        return status;
    e = tarn_channel_stat(c->seg, c->name, &c->stat);
    if (e == -ENOENT)
        return no_channel(c->command, url, c->name);
    if (e == 0 && strcmp(c->stat.kind, "call")) {
        complain(c->command->name, "\"%s\" is a %s, and answers nothing: tarn pub and tarn sub are for it",
                 c->name, !strcmp(c->stat.kind, "mq") ? "message queue" : c->stat.kind);
        return WRONG;
    }
    if (e == 0)
        e = tarn_call_open(c->seg, c->name, TARN_SEND, NULL, &c->call);
    return e < 0 ? failed(c->command, e) : DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct wanted w = {0};
    struct client client = {.command = c, .wanted = &w};
    struct source s = {.command = c};
    struct message m;
    int option, got = 0, status = DONE;
    while ((option = next_option(c, argc, argv, ":hJrp", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &w)) != DONE)
            return status;
    if ((status = url_and_name(c, argc, argv, 0, NULL)) != DONE)
        return status;
    stop_by_signals();
    client.name = argv[optind + 1];
    status = open_call(&client, argv[optind]);
    s.form = w.form;
    s.most = client.stat.message;
    while (status == DONE && !stopped && (got = read_message(&s, &m)) == 1)
        status = ask(&client, &m);
    if (status == DONE && !stopped && got > 1)
        status = got - 1;
    source_close(&s);
    tarn_call_close(client.call);
    tarn_close(client.seg);
    return status;
}

const struct command cmd_call = {
    .name = "call",
    .arguments = "[OPTION...] URL NAME",
    .summary = "send each line of the input as a request, and print the responses",
    .help =
        "  --timeout MS        a request that is not answered in time is taken back: status 1\n"
        "  --repeatable        a request may be done again by another server, if the one that had it died\n"
        "  -J, --json          requests and responses as objects, one a line\n"
        "  -r, --raw           the whole input is one request\n"
        "  -p, --prefixed      4 bytes of size, least significant first, stand before each request and "
        "response\n",
    .run = run,
};

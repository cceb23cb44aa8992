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

static struct {
    const struct command *command;
    tarn *seg;
    const char *name;
    bool told;
} asked; /* what look_for_servers looks at */

/* Nothing comes: if nobody is there who could answer, that is said, once. */
static void look_for_servers(void)
{
    struct tarn_channel_stat stat;
    if (asked.told || tarn_channel_stat(asked.seg, asked.name, &stat) < 0 || stat.receivers)
        return;
    asked.told = true;
    complain(asked.command->name, "no server is there to answer \"%s\": waiting for one", asked.name);
}

static int loan(tarn_call *call, size_t size, uint64_t until, void **ret_at, uint64_t *ret_id)
{
    int e = -ETIMEDOUT;
    while (goes_on(until, &e)) {
        struct timespec soon = next_piece(until);
        e = tarn_call_loan_timed(call, size, ret_at, ret_id, &soon);
    }
    return e;
}

static int wait_for(tarn_call *call, uint64_t id, uint64_t until, const void **ret_at, size_t *ret_size)
{
    int e = -ETIMEDOUT;
    while (goes_on(until, &e)) {
        struct timespec soon = next_piece(until);
        e = tarn_call_wait_timed(call, id, ret_at, ret_size, &soon);
        if (e == -ETIMEDOUT)
            look_for_servers();
    }
    return e;
}

static int ask(const struct command *c, tarn_call *call, const struct wanted *w, const struct message *m)
{
    uint64_t until = deadline(w->timeout), id;
    const void *response;
    size_t size;
    void *at;
    int e = loan(call, m->size, until, &at, &id);
    if (e == -ETIMEDOUT) {
        complain(c->name, "all places for requests were in use for %" PRIu64 " ms", w->timeout);
        return WRONG;
    }
    if (e < 0)
        return e == -EINTR ? DONE : failed(c, e);
    memcpy(at, m->bytes, m->size);
    if ((e = tarn_call_begin(call, id, w->flags, m->size)) < 0)
        return failed(c, e);
    e = wait_for(call, id, until, &response, &size);
    if (e == -EINTR || e == -ETIMEDOUT)
        tarn_call_cancel(call, id);
    if (e == -EINTR)
        return DONE;
    if (e == -ETIMEDOUT) {
        complain(c->name, "no server answered within %" PRIu64 " ms; the request was taken back", w->timeout);
        return WRONG;
    }
    if (e < 0)
        return failed(c, e) == USAGE ? WRONG : REFUSED;
    write_message(w->form, &(struct message){response, size, -1, NULL});
    fflush(stdout);
    e = tarn_call_end(call, id);
    return e < 0 ? failed(c, e) : DONE;
}

/* The channel, and what of it is asked for later, or a status after a complaint. */
static int open_call(const struct command *c, char **argv, struct tarn_channel_stat *ret_stat, tarn_call **ret_call)
{
    int e, status;
    if (!attach(c, argv[0], 0, &asked.seg, &status))
        return status;
    asked.command = c;
    asked.name = argv[1];
    e = tarn_channel_stat(asked.seg, asked.name, ret_stat);
    if (e == -ENOENT)
        return no_channel(c, argv[0], argv[1]);
    if (e == 0 && strcmp(ret_stat->kind, "call")) {
        complain(c->name, "\"%s\" is a %s, and answers nothing: tarn pub and tarn sub are for it", asked.name,
                 !strcmp(ret_stat->kind, "mq") ? "message queue" : ret_stat->kind);
        return WRONG;
    }
    if (e == 0)
        e = tarn_call_open(asked.seg, asked.name, TARN_SEND, NULL, ret_call);
    return e < 0 ? failed(c, e) : DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct wanted w = {0};
    struct tarn_channel_stat stat = {0};
    struct source s = {.command = c};
    struct message m;
    int option, got = 0, status = DONE;
    tarn_call *call = NULL;
    while ((option = next_option(c, argc, argv, ":hJrp", names, &status)) >= 0)
        if (option == ENDED || (status = take(c, option, optarg, &w)) != DONE)
            return status;
    if ((status = url_and_name(c, argc, argv, 0, NULL)) != DONE)
        return status;
    stop_by_signals();
    status = open_call(c, argv + optind, &stat, &call);
    s.form = w.form;
    s.most = stat.message;
    while (status == DONE && !stopped && (got = read_message(&s, &m)) == 1)
        status = ask(c, call, &w, &m);
    if (status == DONE && !stopped && got > 1)
        status = got - 1;
    source_close(&s);
    tarn_call_close(call);
    tarn_close(asked.seg);
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

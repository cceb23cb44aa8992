/* command-server.c - a server of commands and its clients, in processes of their own, each of which may be killed at any time: nobody waits for the dead.
 *
 *     command-server SEGMENT serve            answer commands until told to quit; several may serve at once
 *     command-server SEGMENT ask COMMAND...   ask each, and print the answers
 *
 * Commands: "add A B", "upper TEXT", "quit", and "crash", at which the server kills itself as kill -9 does: that is what happens to a request that is not
 * marked as repeatable, its client is told. "crash-once" is asked as a repeatable one: the first server that takes it dies, and the next one answers.
 * Start the servers anew whenever you like: clients wait for one. */
#include <tarn/channel.h>

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Whether "crash-once" has had its victim outlives the server, so it is in the segment. */
struct memory {
    tarn_mutex lock;
    int crashed;
};

static int complain(void)
{
    fprintf(stderr, "command-server: %s\n", tarn_error());
    return 1;
}

/* The answer goes to `to`. Returns its length, or -1: not a command. */
static int obey(tarn *seg, struct memory *memory, const char *command, char *to, size_t room)
{
    long a, b;
    if (sscanf(command, "add %ld %ld", &a, &b) == 2)
        return snprintf(to, room, "%ld", a + b);
    if (!strncmp(command, "upper ", 6)) {
        int n = snprintf(to, room, "%s", command + 6);
        for (int i = 0; i < n; i++)
            to[i] = (char)toupper((unsigned char)to[i]);
        return n;
    }
    if (!strcmp(command, "crash"))
        raise(SIGKILL);
    if (!strcmp(command, "crash-once")) {
        if (tarn_mutex_lock(seg, &memory->lock) < 0)
            return -1;
        if (!memory->crashed) {
            memory->crashed = 1;
            raise(SIGKILL); /* with the lock, too: the next one gets it */
        }
        tarn_mutex_consistent(seg, &memory->lock);
        tarn_mutex_unlock(seg, &memory->lock);
        return snprintf(to, room, "done by the second server");
    }
    if (!strcmp(command, "quit"))
        return snprintf(to, room, "the server ends");
    return -1;
}

static int serve(tarn *seg, struct memory *memory, tarn_call *call)
{
    struct tarn_request request;
    int quit = 0;
    while (!quit) {
        char command[200], answer[200];
        int n;
        if (tarn_call_next(call, &request) < 0)
            return complain();
        snprintf(command, sizeof command, "%.*s", (int)request.size, (const char *)request.at);
        quit = !strcmp(command, "quit");
        n = obey(seg, memory, command, answer, sizeof answer);
        n = n < 0 ? tarn_call_fail(call, request.id, -ENOSYS)
                  : tarn_call_answer(call, request.id, answer, (size_t)n);
        if (n < 0 && n != -ECANCELED) /* its client died, or waits no longer: that is no fault of ours */
            return complain();
    }
    return 0;
}

static int ask(tarn_call *call, char **commands)
{
    for (; *commands; commands++) {
        char answer[200];
        size_t size;
        unsigned flags = strcmp(*commands, "crash") && strcmp(*commands, "quit") ? TARN_CALL_REPEATABLE : 0;
        int e = tarn_call_ask(call, flags, *commands, strlen(*commands), answer, sizeof answer, &size);
        if (e == 0)
            printf("%s: %.*s\n", *commands, (int)size, answer);
        else if (e == -EOWNERDEAD)
            printf("%s: the server died\n", *commands);
        else if (e == -ENOSYS)
            printf("%s: no such command\n", *commands);
        else
            return complain();
        fflush(stdout);
    }
    return 0;
}

int main(int n, char **v)
{
    const struct tarn_channel_options options = {.size = sizeof options, .capacity = 64, .message = 199};
    tarn *seg;
    struct memory *memory;
    tarn_call *call;
    int server = n == 3 && !strcmp(v[2], "serve"), result;
    if (!server && (n < 4 || strcmp(v[2], "ask")))
        return fprintf(stderr, "usage: %s SEGMENT serve | %s SEGMENT ask COMMAND...\n", v[0], v[0]), 2;
    if (tarn_open(v[1], TARN_CREATE, NULL, &seg) < 0 || tarn_object(seg, "memory", struct memory, &memory) < 0 ||
        tarn_call_open(seg, "commands", TARN_CREATE | (server ? TARN_RECEIVE : TARN_SEND), &options, &call) < 0)
        return complain();
    result = server ? serve(seg, memory, call) : ask(call, v + 3);
    if (tarn_call_close(call) < 0 || tarn_close(seg) < 0)
        return complain();
    return result;
}

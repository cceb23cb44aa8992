/* send.c - a helper is given memory over a socket, to look at and not to write; and the segment is gone when the last of the two is.
 *
 * The parent makes a segment that ends with its last user, and sends it with tarn_send, read-only. The helper has no name, no path and no
 * number: what came over the socket is all it has, and the kernel keeps it from writing. Who leaves last removes the name, whoever that is; had both
 * been killed, the next to open it would. */
#include <tarn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct note {
    char text[64];
};

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "send: %s\n", tarn_error());
        exit(1);
    }
}

static int helper(int socket)
{
    struct note *note;
    tarn *seg;
    must(tarn_receive(socket, 0, &seg)); /* waits for it */
    must(tarn_object(seg, "note", struct note, &note));
    printf("helper: it reads: %s\n", note->text);
    printf("helper: to write, it %s\n", tarn_begin(seg) < 0 ? "has no right" : "has the right");
    must(tarn_close(seg));
    return 0;
}

int main(void)
{
    struct tarn_options options = {.size = sizeof options, .lifetime = TARN_UNTIL_UNUSED};
    struct note *note;
    tarn *seg, *again;
    int sockets[2], status;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return perror("socketpair"), 1;
    fflush(stdout);
    pid_t child = fork(); /* before there is a segment, so it inherits none */
    if (child < 0)
        return perror("fork"), 1;
    if (child == 0)
        return helper(sockets[1]);

    must(tarn_open("posix:/example-send", TARN_CREATE | TARN_EXCL, &options, &seg));
    must(tarn_object(seg, "note", struct note, &note));
    strcpy(note->text, "look, but do not touch");
    must(tarn_send(seg, sockets[0], TARN_RDONLY));
    waitpid(child, &status, 0);
    must(tarn_close(seg)); /* the last */
    printf("parent: afterwards it is %s\n",
           tarn_open("posix:/example-send", 0, NULL, &again) < 0 ? "gone" : "still there");
    return status != 0;
}

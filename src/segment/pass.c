/* segment/pass.c - tarn_send, tarn_receive: a segment over a unix socket, with rights that may only shrink.
 *
 * One message of a struct pass, and with it the descriptor of an open file description made for it: read-only if the right to write is not passed on, so
 * that the kernel keeps it from the receiver; and with a user's byte lock, so that a segment on its way is not without users
 * (lifetime.c). The receiver makes a description of its own of it, and closes it. The right to grow is kept in the handle: it binds who keeps
 * to tarn.h, as the limit does, not who writes with what he may write with.
 * System V has no descriptors: the message names the id, and the mode decides; so there the rights bind nobody but the receiver's handle.
 *
 * What comes is somebody else's: it is a message of this kind, whole and alone, with one descriptor (or none, for System V), or it is
 * -EPROTO, and all descriptors that came are closed. Then the segment is judged as one that is opened by descriptor, and has the uuid that was sent. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#define PASS_MAGIC 0x0a0d7373617074e1ull
#define PASS_VERSION 1u

enum pass_right { PASS_WRITE = 1, PASS_GROW = 2 };
enum pass_kind { PASS_DESCRIPTOR = 0, PASS_SHM = 1 };

/* On the wire, between processes of one machine. */
struct pass {
    uint64_t magic;
    uint32_t version;
    uint32_t rights; /* enum pass_right */
    uint32_t kind;   /* enum pass_kind */
    int32_t shm;     /* PASS_SHM: its id */
    uint8_t uuid[16];
    uint64_t reserved[3]; /* 0 */
};
_Static_assert(sizeof(struct pass) == 64, "pass layout");

/* ---- sending ---- */

static int not_a_socket(int socket, const char *verb, int error)
{
    return error == -EINVAL
               ? fail(error, "descriptor %d: a segment is %s over a unix socket (AF_UNIX), and this is another",
                      socket, verb)
               : fail(error, "descriptor %d: a segment is %s over a unix socket: %s", socket, verb,
                      strerror(-error));
}

static int not_sent(const struct tarn *seg, int socket, int error)
{
    switch (error) {
    case -EAGAIN:
        return fail(error, "%s: it was not sent: the socket (descriptor %d) has no room now, and is non-blocking: wait until it can be written to",
                    handle_name(seg), socket);
    case -EPIPE:
    case -ECONNRESET:
    case -ECONNREFUSED:
        return fail(-EPIPE, "%s: it was not sent: the other end of the socket (descriptor %d) is closed",
                    handle_name(seg), socket);
    case -ENOTCONN:
    case -EDESTADDRREQ:
        return fail(-ENOTCONN, "%s: it was not sent: the socket (descriptor %d) is not connected",
                    handle_name(seg), socket);
    case -ETOOMANYREFS:
        return fail(error, "%s: it was not sent: this user has as many descriptors under way as RLIMIT_NOFILE allows: have some received",
                    handle_name(seg));
    default:
        return fail(error, "%s: it was not sent over descriptor %d: %s", handle_name(seg), socket,
                    strerror(-error));
    }
}

/* A description of its own for the message. *ret_own: to be closed. */
static int descriptor_to_send(const struct tarn *seg, bool readonly, int *ret_fd, bool *ret_own)
{
    int byte, weak, fd = os_reopen(seg->object.fd, readonly ? O_RDONLY : O_RDWR);
    *ret_own = fd >= 0;
    if (fd >= 0)
        (void)user_hold(fd, readonly, &byte, &weak);
    else if (readonly == seg->readonly)
        fd = seg->object.fd; /* no worse than tarn_fd */
    if (fd < 0)
        return fail(fd == -ENOENT ? -ENOSYS : fd,
                    "%s: a descriptor that cannot write cannot be made of this one: %s%s", handle_name(seg),
                    strerror(-fd), fd == -ENOENT ? " (/proc is not mounted)" : "");
    *ret_fd = fd;
    return 0;
}

static int send_it(tarn *seg, int socket, unsigned flags)
{
    uint32_t uid;
    bool own = false, readonly = seg->readonly || flags & TARN_RDONLY;
    int fd = -1;
    struct pass p = {.magic = PASS_MAGIC, .version = PASS_VERSION, .shm = seg->object.shm};
    if (flags & ~(TARN_RDONLY | TARN_NO_GROWTH))
        return fail(-EINVAL, "%s: flags %#x: only TARN_RDONLY and TARN_NO_GROWTH may stand there",
                    handle_name(seg), flags);
    if (seg->raw)
        return raw_refused(seg, "tarn_send");
    if (seg->private)
        return fail(-EINVAL, "%s: a private copy is this process's alone: it cannot be sent", handle_name(seg));
    int error = os_socket_peer(socket, &uid);
    if (error < 0)
        return not_a_socket(socket, "sent", error);
    p.rights = readonly ? 0 : PASS_WRITE | (no_growth(seg) || flags & TARN_NO_GROWTH ? 0u : PASS_GROW);
    p.kind = seg->object.fd >= 0 ? PASS_DESCRIPTOR : PASS_SHM;
    memcpy(p.uuid, header_of(seg)->uuid, sizeof p.uuid);
    if (p.kind == PASS_DESCRIPTOR && (error = descriptor_to_send(seg, readonly, &fd, &own)) < 0)
        return error;
    error = os_socket_send(socket, &p, sizeof p, fd);
    if (own)
        close(fd);
    return error < 0 ? not_sent(seg, socket, error) : 0;
}

int tarn_send(tarn *seg, int socket, unsigned flags)
{
    int cancel = os_cancel_off(), e = send_it(seg, socket, flags);
    os_cancel_restore(cancel);
    return e;
}

/* ---- receiving ---- */

static int not_ours(int socket, const char *why)
{
    return fail(-EPROTO, "descriptor %d: what came is no segment sent by tarn_send: %s", socket, why);
}

static int check_message(int socket, const struct pass *p, const struct os_parcel *parcel)
{
    if (parcel->size != sizeof *p)
        return not_ours(socket, "a message of another length, or a part of one");
    if (p->magic != PASS_MAGIC)
        return not_ours(socket, "another program's message");
    if (p->version != PASS_VERSION)
        return fail(-EPROTO, "descriptor %d: a segment was sent by another version of tarn (message %u, and this one's is %u)",
                    socket, p->version, PASS_VERSION);
    if (parcel->cut && parcel->fds == 0)
        return fail(-EMFILE, "descriptor %d: a segment came, but this process has no room for its descriptor: see RLIMIT_NOFILE; have it sent again",
                    socket);
    if (parcel->cut)
        return not_ours(socket, "it was cut off");
    if (p->kind > PASS_SHM || p->rights & ~(uint32_t)(PASS_WRITE | PASS_GROW) || p->reserved[0] ||
        p->reserved[1] || p->reserved[2])
        return not_ours(socket, "a field that cannot be");
    if (parcel->fds != (p->kind == PASS_DESCRIPTOR))
        return not_ours(socket, parcel->fds ? "more descriptors than one" : "no descriptor");
    return 0;
}

static int take(int socket, struct pass *p, int *ret_fd)
{
    struct os_parcel parcel;
    int error = os_socket_receive(socket, p, sizeof *p, ret_fd, &parcel);
    if (error == -EAGAIN)
        return fail(error, "descriptor %d: no segment has come yet, and the socket is non-blocking: wait until it can be read",
                    socket);
    if (error < 0)
        return fail(error, "descriptor %d: no segment could be received: %s", socket, strerror(-error));
    if (parcel.size == 0 && parcel.fds == 0 && !parcel.cut)
        return fail(-EPIPE, "descriptor %d: the other end is closed: no segment will come", socket);
    error = check_message(socket, p, &parcel);
    if (error < 0 && *ret_fd >= 0)
        close(*ret_fd);
    return error;
}

static int attach_received(int socket, const struct pass *p, int fd, unsigned flags, tarn **ret_seg)
{
    char what[64];
    struct attaching how = {.readonly = flags & TARN_RDONLY || !(p->rights & PASS_WRITE),
                            .foreign = flags & TARN_FOREIGN,
                            .no_growth = flags & TARN_NO_GROWTH || !(p->rights & PASS_GROW),
                            .uuid = p->uuid};
    if (p->kind == PASS_DESCRIPTOR) {
        snprintf(what, sizeof what, "received over descriptor %d", socket);
        return attach_descriptor(what, fd, &how, ret_seg);
    }
    snprintf(what, sizeof what, "received over descriptor %d, System V id %d", socket, p->shm);
    return attach_shm(what, p->shm, &how, ret_seg);
}

static int check_peer(int socket, unsigned flags)
{
    uint32_t uid;
    if (flags & ~(TARN_RDONLY | TARN_FOREIGN | TARN_NO_GROWTH))
        return fail(-EINVAL, "descriptor %d: flags %#x: only TARN_RDONLY, TARN_NO_GROWTH and TARN_FOREIGN may stand there",
                    socket, flags);
    int error = os_socket_peer(socket, &uid);
    if (error < 0)
        return not_a_socket(socket, "received", error);
    if (uid != UINT32_MAX && uid != geteuid() && uid != 0 && !(flags & TARN_FOREIGN))
        return fail(-EACCES,
                    "descriptor %d: at the other end is user %u, and this process is user %u: only from "
                    "one's own or root are segments taken, unless "
                    "TARN_FOREIGN is said",
                    socket, uid, geteuid());
    return 0;
}

static int receive_it(int socket, unsigned flags, tarn **ret_seg)
{
    struct pass p = {0};
    int fd, error = check_peer(socket, flags);
    if (error < 0 || (error = take(socket, &p, &fd)) < 0)
        return error;
    error = attach_received(socket, &p, fd, flags, ret_seg);
    if (fd >= 0)
        close(fd);
    return error;
}

int tarn_receive(int socket, unsigned flags, tarn **ret_seg)
{
    int cancel = os_cancel_off(), e = receive_it(socket, flags, ret_seg);
    os_cancel_restore(cancel);
    return e;
}

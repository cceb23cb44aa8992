/* os/socket.c - messages with a descriptor over unix sockets. See os.h.
 *
 * Whatever else comes with a message (more descriptors, a pidfd, credentials) is closed or passed over, so nothing that a peer sends stays open. */
#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PASSPIDFD
#define SCM_PIDFD 0x04 /* Linux 6.5 */
#endif
#define FDS_MOST 253 /* the kernel's, a message */

int os_socket_peer(int socket, uint32_t *ret_uid)
{
    int domain = 0;
    struct ucred peer = {.uid = UINT32_MAX};
    socklen_t size = sizeof domain, peer_size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
        return -errno;
    if (domain != AF_UNIX)
        return -EINVAL;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0 || peer.pid == 0)
        peer.uid = UINT32_MAX;
    *ret_uid = peer.uid;
    return 0;
}

int os_socket_send(int socket, const void *message, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec io = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    ssize_t sent;
    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    do
        sent = sendmsg(socket, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0               ? -errno
           : (size_t)sent == size ? 0
                                  : -EIO; /* the kernel does not split what fits a page */
}

/* The first descriptor is kept; the rest are closed. */
static void take_fds(const struct cmsghdr *c, int *ret_fd, struct os_parcel *parcel)
{
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        if (c->cmsg_type == SCM_RIGHTS && parcel->fds++ == 0)
            *ret_fd = fd;
        else if (fd >= 0)
            close(fd);
    }
}

int os_socket_receive(int socket, void *message, size_t size, int *ret_fd, struct os_parcel *ret)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(FDS_MOST * sizeof(int)) + 512];
    } control;
    struct iovec io = {.iov_base = message, .iov_len = size};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    struct os_parcel parcel = {0};
    ssize_t got;
    *ret_fd = -1;
    do
        got = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_PIDFD))
            take_fds(c, ret_fd, &parcel);
    parcel.size = (size_t)got;
    parcel.cut = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    *ret = parcel;
    return 0;
}

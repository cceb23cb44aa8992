/* test_pass.c - segments over unix sockets: of every backing and kind of socket; rights that only shrink; and peers that send other things. */
#include "helper.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "os/os.h"
#include "segment/segment.h"

static char file_url[128], sysv_url[32];
static const char *urls[] = {"posix:/sent", file_url, "memfd:sent", "anon:", sysv_url, "sysv:private"};
#define URLS (sizeof urls / sizeof *urls)
#define STRANGER 65533u

static const struct tarn_options small = {
    .size = sizeof small, .initial = 128 << 10, .limit = 1 << 20, .participants = 4, .record_size = 2048};
static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

static int set_up(void **state)
{
    int e = own_directory(state);
    snprintf(file_url, sizeof file_url, "file:%s/sent-file", own_path);
    snprintf(sysv_url, sizeof sysv_url, "sysv:0x%x", 0x6b000000u | (uint32_t)(getpid() & 0xffffff));
    return e;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < URLS; i++)
        (void)tarn_unlink(urls[i]);
    return remove_directory(state);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    closedir(d);
    return count;
}

static tarn *make(const char *url)
{
    tarn *seg = NULL;
    int e = tarn_open(url, TARN_CREATE, &small, &seg);
    if (e < 0)
        fail_msg("%s: %s", url, tarn_error());
    return seg;
}

static void pair(int type, int s[2])
{
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, s), 0);
}

/* ---- as it is meant ---- */

struct errand {
    int socket;
    unsigned flags;
    const char *url;
};

/* In a child that was there before the segment: all that it has came over the socket. */
static void receive_and_use(void *arg)
{
    const struct errand *e = arg;
    tarn *seg;
    uint64_t *number;
    check(tarn_receive(e->socket, 0, &seg) == 0);
    check(tarn_current(seg) == 0);
    if (e->flags & TARN_RDONLY) {
        check(tarn_thread_attach(seg) == -EROFS);
        check(tarn_grow(seg, 1) == -EROFS);
        check(tarn_object(seg, "number", uint64_t, &number) == 0 && *number == 7);
        if (tarn_fd(seg) >= 0) {
            check(pwrite(tarn_fd(seg), "x", 1, 0) == -1 && errno == EBADF); /* the kernel says so too */
            check(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, tarn_fd(seg), 0) == MAP_FAILED);
            check(ftruncate(tarn_fd(seg), 0) == -1);
        }
    } else {
        check(tarn_object(seg, "number", uint64_t, &number) == 0 && *number == 7);
        *number = 8;
        check(tarn_grow(seg, 65536) == (e->flags & TARN_NO_GROWTH ? -ENOSPC : 0));
        if (e->flags & TARN_NO_GROWTH) {
            check(strstr(tarn_error(), "received without the right to grow"));
            check(tarn_set_limit(seg, 65536) == -EPERM);
            tarn_ref ref = 0;
            check(tarn_begin(seg) == 0 && tarn_alloc(seg, 512 << 10, &ref) == -ENOSPC && tarn_abort(seg) == 0);
        }
    }
    check(tarn_send(seg, e->socket, 0) == 0); /* back, with no more than it has */
    check(tarn_close(seg) == 0);
}

static void send_one(const char *url, int type, unsigned flags)
{
    int s[2], status;
    pair(type, s);
    struct errand e = {.socket = s[1], .flags = flags, .url = url};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        close(s[0]);
        receive_and_use(&e);
        _exit(0);
    }
    close(s[1]);
    int before = open_descriptors();
    tarn *seg = make(url), *back;
    uint64_t *number;
    assert_int_equal(tarn_object(seg, "number", uint64_t, &number), 0);
    *number = 7;
    assert_int_equal(tarn_send(seg, s[0], flags), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(*number, flags & TARN_RDONLY ? 7 : 8);
    assert_int_equal(committed_of(seg), flags ? 128 << 10 : 192 << 10);
    assert_int_equal(tarn_receive(s[0], 0, &back), 0);
    if (flags & TARN_RDONLY)
        assert_true(back != seg && tarn_thread_attach(back) == -EROFS); /* a handle of its own */
    else
        assert_ptr_equal(back, seg); /* which has the right to grow from its own opening */
    if (flags == TARN_NO_GROWTH)
        assert_int_equal(tarn_grow(back, 1), 0);
    assert_int_equal(tarn_close(back), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(open_descriptors(), before);
    (void)tarn_unlink(url);
    close(s[0]);
}

static void segments_are_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++)
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            send_one(urls[i], types[k], 0);
            send_one(urls[i], types[k], TARN_RDONLY);
            send_one(urls[i], types[k], TARN_NO_GROWTH);
        }
}

/* What a handle may not do it does not pass on; and who receives may take less. */
static void receive_shrunk(void *arg)
{
    int *s = arg;
    tarn *seg, *again;
    check(tarn_receive(s[1], TARN_NO_GROWTH, &seg) == 0);
    check(tarn_grow(seg, 1) == -ENOSPC);
    check(tarn_send(seg, s[1], 0) == 0); /* to ourselves: s[0] is ours too */
    check(tarn_receive(s[0], 0, &again) == 0 && again == seg);
    check(tarn_grow(seg, 1) == -ENOSPC);
    check(tarn_close(again) == 0);
    check(tarn_receive(s[1], TARN_RDONLY, &again) == 0 && again != seg);
    check(tarn_send(again, s[1], 0) == 0);
    check(tarn_close(again) == 0);
    check(tarn_receive(s[0], 0, &again) == 0 && tarn_thread_attach(again) == -EROFS);
    check(tarn_close(again) == 0);
    check(tarn_receive(s[1], 0, &again) == 0 && again == seg); /* the third, with all rights: now it may */
    check(tarn_grow(seg, 1) == 0);
    check(tarn_close(again) == 0);
    check(tarn_close(seg) == 0);
}

static void rights_only_shrink(void **state)
{
    (void)state;
    int s[2], status;
    pair(SOCK_SEQPACKET, s);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        receive_shrunk(s);
        _exit(0);
    }
    tarn *seg = make("memfd:shrinks");
    for (int i = 0; i < 3; i++)
        assert_int_equal(tarn_send(seg, s[0], 0), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(tarn_send(seg, s[0], TARN_CREATE), -EINVAL);
    assert_int_equal(tarn_receive(s[0], TARN_CREATE, &seg), -EINVAL);
    assert_int_equal(tarn_close(seg), 0);
    close(s[0]);
    close(s[1]);
}

/* ---- other peers ---- */

struct wire { /* as pass.c has it */
    uint64_t magic;
    uint32_t version, rights, kind;
    int32_t shm;
    uint8_t uuid[16];
    uint64_t reserved[3];
};

static void send_raw(int socket, const void *bytes, size_t size, const int *fds, int count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control;
    struct iovec io = {(void *)(uintptr_t)bytes, size};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (count) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        memset(&control, 0, sizeof control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
    }
    assert_int_equal(sendmsg(socket, &m, MSG_NOSIGNAL), size);
}

/* A good message, taken from a good sender, and the descriptor with it. */
static struct wire good_one(tarn *seg, unsigned flags, int *ret_fd)
{
    struct wire w;
    struct os_parcel parcel;
    int s[2];
    pair(SOCK_SEQPACKET, s);
    assert_int_equal(tarn_send(seg, s[0], flags), 0);
    assert_int_equal(os_socket_receive(s[1], &w, sizeof w, ret_fd, &parcel), 0);
    assert_true(parcel.size == sizeof w && parcel.fds == 1 && !parcel.cut);
    close(s[0]);
    close(s[1]);
    return w;
}

static void expect(int socket, unsigned flags, int error, const char *says)
{
    tarn *seg = (tarn *)&socket;
    int before = open_descriptors();
    assert_int_equal(tarn_receive(socket, flags, &seg), error);
    assert_ptr_equal(seg, &socket); /* untouched */
    assert_int_equal(open_descriptors(), before);
    if (says)
        assert_says(says);
}

/* The kernel itself keeps a receiver from writing, whatever he does with what came. */
static void what_is_sent_cannot_write(void **state)
{
    (void)state;
    tarn *seg = make("memfd:sent");
    int fd;
    assert_int_equal(good_one(seg, TARN_RDONLY, &fd).rights, 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    close(fd);
    assert_int_equal(good_one(seg, TARN_NO_GROWTH, &fd).rights, 1);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    close(fd);
    assert_int_equal(tarn_close(seg), 0);
}

static void other_messages_are_refused(void **state)
{
    (void)state;
    tarn *seg = make("memfd:bad"), *came;
    int fd, fds[253], zero = open("/dev/zero", O_RDWR);
    struct wire w = good_one(seg, 0, &fd), bad;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        char junk[300];
        int s[2];
        memset(junk, 'j', sizeof junk);
        pair(types[k], s);
        send_raw(s[0], junk, 64, &fd, 1); /* another program's, of the same length */
        expect(s[1], 0, -EPROTO, "another program's");
        send_raw(s[0], junk, 7, NULL, 0);
        expect(s[1], 0, -EPROTO, "another length");
        if (types[k] != SOCK_STREAM) { /* there, the rest would be the next message */
            send_raw(s[0], junk, sizeof junk, &fd, 1);
            expect(s[1], 0, -EPROTO, NULL);
        }
        send_raw(s[0], &w, 40, &fd, 1); /* cut off */
        expect(s[1], 0, -EPROTO, "another length");
        send_raw(s[0], &w, sizeof w, NULL, 0);
        expect(s[1], 0, -EPROTO, "no descriptor");
        for (int i = 0; i < 253; i++)
            fds[i] = i % 2 ? zero : fd;
        send_raw(s[0], &w, sizeof w, fds, 2);
        expect(s[1], 0, -EPROTO, "more descriptors");
        send_raw(s[0], &w, sizeof w, fds, 253);
        expect(s[1], 0, -EPROTO, "more descriptors");
        bad = w;
        bad.version++;
        send_raw(s[0], &bad, sizeof bad, &fd, 1);
        expect(s[1], 0, -EPROTO, "another version");
        bad = w;
        bad.rights = 4;
        send_raw(s[0], &bad, sizeof bad, &fd, 1);
        expect(s[1], 0, -EPROTO, "cannot be");
        bad = w;
        bad.reserved[1] = 1;
        send_raw(s[0], &bad, sizeof bad, &fd, 1);
        expect(s[1], 0, -EPROTO, "cannot be");
        bad = w;
        bad.kind = 2;
        send_raw(s[0], &bad, sizeof bad, &fd, 1);
        expect(s[1], 0, -EPROTO, "cannot be");
        bad = w;
        bad.uuid[3] ^= 1;
        send_raw(s[0], &bad, sizeof bad, &fd, 1);
        expect(s[1], 0, -ESTALE, "another segment");
        bad = w;
        bad.kind = 1; /* System V, and a descriptor besides */
        send_raw(s[0], &bad, sizeof bad, &fd, 1);
        expect(s[1], 0, -EPROTO, "more descriptors");
        for (int32_t id = -2; id < 3; id++) {
            bad.shm = id == 2 ? INT32_MAX : id;
            send_raw(s[0], &bad, sizeof bad, NULL, 0);
            assert_true(tarn_receive(s[1], 0, &came) < 0);
        }
        send_raw(s[0], &w, sizeof w, &fd, 1); /* after all that: a good one */
        assert_int_equal(tarn_receive(s[1], 0, &came), 0);
        assert_ptr_equal(came, seg);
        assert_int_equal(tarn_close(came), 0);
        if (types[k] == SOCK_DGRAM) {
            send_raw(s[0], &w, 0, NULL, 0);
            assert_true(tarn_receive(s[1], 0, &came) < 0);
        }
        close(s[0]);
        close(s[1]);
    }
    close(fd);
    close(zero);
    assert_int_equal(tarn_close(seg), 0);
}

static void other_descriptors_are_refused(void **state)
{
    (void)state;
    char path[128];
    tarn *seg = make("memfd:bad");
    int fd, s[2], pipes[2], other;
    struct wire w = good_one(seg, 0, &fd);
    pair(SOCK_SEQPACKET, s);
    assert_int_equal(pipe(pipes), 0);
    snprintf(path, sizeof path, "%s/fifo", own_path);
    assert_int_equal(mkfifo(path, 0600), 0);
    const struct {
        const char *path;
        int flags, error;
    } cases[] = {{"/dev/null", O_RDWR, -EPROTO},       {"/", O_RDONLY, -EACCES},
                 {path, O_RDWR | O_NONBLOCK, -EPROTO}, {"/proc/self/exe", O_RDONLY, -EACCES},
                 {"/dev/null", O_PATH, -EBADF},        {"/dev/null", O_WRONLY, -EACCES}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true((other = open(cases[i].path, cases[i].flags)) >= 0);
        send_raw(s[0], &w, sizeof w, &other, 1);
        expect(s[1], 0, cases[i].error, NULL);
        close(other);
    }
    send_raw(s[0], &w, sizeof w, &pipes[1], 1);
    expect(s[1], 0, -EACCES, NULL);
    send_raw(s[0], &w, sizeof w, &s[0], 1); /* a socket */
    expect(s[1], 0, -EPROTO, NULL);
    other = os_memfd("empty");
    send_raw(s[0], &w, sizeof w, &other, 1);
    expect(s[1], 0, -EPROTO, NULL);
    assert_int_equal(ftruncate(other, 1 << 20), 0);
    send_raw(s[0], &w, sizeof w, &other, 1);
    expect(s[1], 0, -EPROTO, "magic");
    close(other);
    other = os_reopen(fd, O_RDONLY); /* a right is said that the descriptor has not */
    send_raw(s[0], &w, sizeof w, &other, 1);
    expect(s[1], 0, -EACCES, "read-only");
    close(other);
    w.rights = 0; /* and the other way round: then the handle has it not */
    send_raw(s[0], &w, sizeof w, &fd, 1);
    tarn *came;
    assert_int_equal(tarn_receive(s[1], 0, &came), 0);
    assert_int_equal(tarn_thread_attach(came), -EROFS);
    assert_int_equal(pwrite(tarn_fd(came), "x", 1, 0), -1);
    assert_int_equal(tarn_close(came), 0);
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
    close(s[0]);
    close(s[1]);
    assert_int_equal(tarn_close(seg), 0);
}

static void no_room_for_the_descriptor(void **state)
{
    (void)state;
    tarn *seg = make("memfd:sent"), *came;
    int s[2];
    struct rlimit was, now;
    pair(SOCK_SEQPACKET, s);
    assert_int_equal(tarn_send(seg, s[0], 0), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = 3; /* all below it are taken */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int e = tarn_receive(s[1], 0, &came);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(e, -EMFILE);
    assert_says("RLIMIT_NOFILE");
    close(s[0]);
    close(s[1]);
    assert_int_equal(tarn_close(seg), 0);
}

/* ---- sockets ---- */

static void sockets_are_judged(void **state)
{
    (void)state;
    tarn *seg = make("memfd:sent"), *came;
    int s[2], inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
              lone = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(tarn_send(seg, -1, 0), -EBADF);
    assert_int_equal(tarn_receive(-1, 0, &came), -EBADF);
    assert_int_equal(tarn_send(seg, tarn_fd(seg), 0), -ENOTSOCK);
    if (inet >= 0) {
        assert_int_equal(tarn_send(seg, inet, 0), -EINVAL);
        assert_says("AF_UNIX");
        assert_int_equal(tarn_receive(inet, 0, &came), -EINVAL);
        close(inet);
    }
    assert_int_equal(tarn_send(seg, lone, 0), -ENOTCONN);
    assert_true(tarn_receive(lone, 0, &came) < 0);
    close(lone);
    signal(SIGPIPE, SIG_DFL); /* it would end us */
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        pair(types[k] | SOCK_NONBLOCK, s);
        expect(s[1], 0, -EAGAIN, "non-blocking");
        int before = open_descriptors(), e = 0, sent = 0;
        while ((e = tarn_send(seg, s[0], 0)) == 0)
            assert_true(++sent < 100000);
        assert_true(e == -EAGAIN || e == -ETOOMANYREFS);
        assert_int_equal(open_descriptors(), before);
        for (int i = 0; i < sent; i++) {
            assert_int_equal(tarn_receive(s[1], 0, &came), 0);
            assert_ptr_equal(came, seg);
            assert_int_equal(tarn_close(came), 0);
        }
        expect(s[1], 0, -EAGAIN, NULL);
        if (types[k] != SOCK_DGRAM) {
            assert_int_equal(tarn_send(seg, s[0], 0), 0);
            close(s[0]); /* what was sent before comes still */
            assert_int_equal(tarn_receive(s[1], 0, &came), 0);
            assert_int_equal(tarn_close(came), 0);
            expect(s[1], 0, -EPIPE, "closed");
            assert_int_equal(tarn_send(seg, s[1], 0), -EPIPE);
            assert_says("closed");
        } else {
            close(s[0]);
            assert_int_equal(tarn_send(seg, s[1], 0), -EPIPE);
        }
        close(s[1]);
    }
    assert_int_equal(tarn_close(seg), 0);
}

/* A program's own bytes before and behind it in a stream stay its own. */
static void streams_are_not_read_beyond(void **state)
{
    (void)state;
    tarn *seg = make("memfd:sent"), *came;
    char text[8] = "";
    int s[2];
    pair(SOCK_STREAM, s);
    assert_int_equal(write(s[0], "before", 6), 6);
    assert_int_equal(tarn_send(seg, s[0], 0), 0);
    assert_int_equal(write(s[0], "behind", 6), 6);
    assert_int_equal(tarn_send(seg, s[0], TARN_RDONLY), 0);
    assert_int_equal(read(s[1], text, 6), 6);
    assert_int_equal(tarn_receive(s[1], 0, &came), 0);
    assert_ptr_equal(came, seg);
    assert_int_equal(tarn_close(came), 0);
    assert_int_equal(read(s[1], text, 6), 6);
    assert_string_equal(text, "behind");
    assert_int_equal(tarn_receive(s[1], 0, &came), 0);
    assert_int_equal(tarn_close(came), 0);
    close(s[0]);
    close(s[1]);
    assert_int_equal(tarn_close(seg), 0);
}

/* What else a socket may bring along, if it was asked to. */
static void credentials_do_not_disturb(void **state)
{
    (void)state;
    tarn *seg = make("memfd:sent"), *came;
    int s[2], on = 1, before;
    pair(SOCK_SEQPACKET, s);
    assert_int_equal(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
#ifdef SO_PASSPIDFD
    (void)setsockopt(s[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on);
#else
    (void)setsockopt(s[1], SOL_SOCKET, 76, &on, sizeof on);
#endif
    before = open_descriptors();
    assert_int_equal(tarn_send(seg, s[0], 0), 0);
    assert_int_equal(tarn_receive(s[1], 0, &came), 0);
    assert_ptr_equal(came, seg);
    assert_int_equal(tarn_close(came), 0);
    assert_int_equal(open_descriptors(), before);
    close(s[0]);
    close(s[1]);
    assert_int_equal(tarn_close(seg), 0);
}

/* ---- other users ---- */

static void send_as_stranger(void *arg)
{
    struct sockaddr_un *at = arg;
    int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    tarn *seg;
    check(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    check(connect(socket_, (struct sockaddr *)at, sizeof *at) == 0);
    check(tarn_open("memfd:strange", TARN_CREATE, &small, &seg) == 0);
    for (int i = 0; i < 2; i++)
        check(tarn_send(seg, socket_, 0) == 0);
    char c;
    (void)!read(socket_, &c, 1); /* until it is closed */
}

static void strangers_are_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), status;
    snprintf(at.sun_path, sizeof at.sun_path, "%s/door", own_path);
    assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(chmod(at.sun_path, 0666), 0);
    assert_int_equal(chmod(own_path, 01777), 0);
    assert_int_equal(listen(listening, 1), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        send_as_stranger(&at);
        _exit(0);
    }
    int socket_ = accept(listening, NULL, NULL);
    assert_true(socket_ >= 0);
    struct pollfd wait = {.fd = socket_, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 30000), 1);
    expect(socket_, 0, -EACCES, "65533");
    assert_says("TARN_FOREIGN");
    tarn *seg;
    assert_int_equal(tarn_receive(socket_, TARN_FOREIGN | TARN_RDONLY, &seg), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_receive(socket_, TARN_FOREIGN, &seg), 0);
    assert_int_equal(tarn_thread_attach(seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    close(socket_);
    close(listening);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    names_in(own_path, "door", true);
    assert_int_equal(chmod(own_path, 0700), 0);
}

/* Root sends its own, read-only, to a stranger: whom the kernel keeps from writing, also by opening it anew. */
static void receive_as_stranger(void *arg)
{
    int *s = arg;
    tarn *seg;
    check(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    check(tarn_receive(s[1], 0, &seg) == 0);
    check(tarn_thread_attach(seg) == -EROFS);
    check(os_reopen(tarn_fd(seg), O_RDWR) == -EACCES);
    check(tarn_check(seg, NULL, NULL) == 0);
    check(tarn_close(seg) == 0);
}

static void who_may_only_read_only_reads(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    int s[2], status;
    pair(SOCK_STREAM, s);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        receive_as_stranger(s);
        _exit(0);
    }
    tarn *seg = make("memfd:sent");
    assert_int_equal(tarn_set_mode(seg, 0644), 0);
    assert_int_equal(tarn_send(seg, s[0], TARN_RDONLY), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(tarn_close(seg), 0);
    close(s[0]);
    close(s[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_sent),
        cmocka_unit_test(rights_only_shrink),
        cmocka_unit_test(what_is_sent_cannot_write),
        cmocka_unit_test(other_messages_are_refused),
        cmocka_unit_test(other_descriptors_are_refused),
        cmocka_unit_test(no_room_for_the_descriptor),
        cmocka_unit_test(sockets_are_judged),
        cmocka_unit_test(streams_are_not_read_beyond),
        cmocka_unit_test(credentials_do_not_disturb),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(who_may_only_read_only_reads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

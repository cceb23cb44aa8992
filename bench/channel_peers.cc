/* bench/channel_peers.cc - Boost.Interprocess's message_queue, and ZeroMQ over its ipc transport.
 *
 * The queue's name is removed as soon as it is mapped: children inherit the mapping. ZeroMQ's socket is an abstract one, which has no name in a file system.
 *
 * SPDX-License-Identifier: MIT */
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <zmq.h>

#include "channel.h"

namespace bi = boost::interprocess;

static void *boost_make(size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "tarn-bench-%d", static_cast<int>(getpid()));
    bi::message_queue::remove(name);
    auto *q = new bi::message_queue(bi::create_only, name, CHANNEL_CAPACITY, size);
    bi::message_queue::remove(name);
    return q;
}
static void boost_destroy(void *q)
{
    delete static_cast<bi::message_queue *>(q);
}
static inline bool boost_send(void *q, const void *message, size_t size)
{
    return static_cast<bi::message_queue *>(q)->try_send(message, size, 0);
}
static inline bool boost_receive(void *q, void *message, size_t size)
{
    bi::message_queue::size_type got;
    unsigned priority;
    return static_cast<bi::message_queue *>(q)->try_receive(message, size, got, priority) && got == size;
}

extern "C" {
#define LANE lane_boost_mq_8
#define LANE_NAME "boost_mq"
#define LANE_MAKE boost_make
#define LANE_DESTROY boost_destroy
#define LANE_SEND(handle, message, n) boost_send(handle, message, 8)
#define LANE_RECEIVE(handle, message, n) boost_receive(handle, message, 8)
#include "channel_loops.h"
}

/* ---- ZeroMQ: each process has its own context; the receiver binds. Its own high-water marks, 1,000, are left as they are. */

struct zmq_lane {
    char address[64];
};
struct zmq_end {
    void *context, *socket;
};

static void *zmq_make(size_t size)
{
    static int number;
    auto *lane = new zmq_lane;
    (void)size;
    snprintf(lane->address, sizeof lane->address, "ipc://@tarn-bench-%d-%d", static_cast<int>(getpid()), number++);
    return lane;
}
static void zmq_destroy(void *lane)
{
    delete static_cast<zmq_lane *>(lane);
}
static void *zmq_enter(void *lane, int role)
{
    auto *end = new zmq_end;
    int linger = -1;
    end->context = zmq_ctx_new();
    end->socket = zmq_socket(end->context, role == SENDER ? ZMQ_PUSH : ZMQ_PULL);
    if (!end->socket || zmq_setsockopt(end->socket, ZMQ_LINGER, &linger, sizeof linger) ||
        (role == SENDER ? zmq_connect : zmq_bind)(end->socket, static_cast<zmq_lane *>(lane)->address))
        bench_die("zmq: %s", zmq_strerror(zmq_errno()));
    return end;
}
static void zmq_leave(void *lane, void *handle)
{
    auto *end = static_cast<zmq_end *>(handle);
    (void)lane;
    zmq_close(end->socket);
    zmq_ctx_term(end->context);
    delete end;
}
static inline bool zmq_send_one(void *handle, const void *message, size_t size)
{
    return zmq_send(static_cast<zmq_end *>(handle)->socket, message, size, ZMQ_DONTWAIT) == static_cast<int>(size);
}
static inline bool zmq_receive_one(void *handle, void *message, size_t size)
{
    return zmq_recv(static_cast<zmq_end *>(handle)->socket, message, size, ZMQ_DONTWAIT) == static_cast<int>(size);
}

extern "C" {
#define LANE lane_zmq_8
#define LANE_NAME "zmq"
#define LANE_MAKE zmq_make
#define LANE_DESTROY zmq_destroy
#define LANE_ENTER zmq_enter
#define LANE_LEAVE zmq_leave
#define LANE_SEND(handle, message, n) zmq_send_one(handle, message, 8)
#define LANE_RECEIVE(handle, message, n) zmq_receive_one(handle, message, 8)
#include "channel_loops.h"
}

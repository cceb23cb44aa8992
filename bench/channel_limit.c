/* bench/channel_limit.c - what a message costs at least: two bare cache lines, a bare futex, Lamport's ring with cached indices ('Concurrent reading and
 * writing', 1977; cached: Lee, Bu and Chandranmenon, 2010), and a buffer with a flag. They survive nothing, and have no room for more than they carry.
 *
 * SPDX-License-Identifier: MIT */
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel.h"

/* ---- a line: turn and body in one; 64 bytes: in two ------------------------------------------------------------------ */

struct line {
    uint64_t turn __attribute__((aligned(128)));
    uint64_t body[15];
};
struct line_end { /* each side's own count; only one process uses each */
    struct line *line;
    uint64_t turn;
};

static void *line_make(size_t size)
{
    (void)size;
    return bench_shared(sizeof(struct line));
}
static void line_destroy(void *line)
{
    munmap(line, sizeof(struct line));
}
static void *line_enter(void *line, int role)
{
    struct line_end *end = calloc(1, sizeof *end);
    if (!end)
        bench_die("no memory");
    (void)role;
    end->line = line;
    return end;
}
static void line_leave(void *lane, void *handle)
{
    (void)lane;
    free(handle);
}
/* Only for rallies: who sends knows that the last one was taken. */
static inline bool line_send(struct line_end *end, const void *message, size_t size)
{
    memcpy(end->line->body, message, size);
    __atomic_store_n(&end->line->turn, ++end->turn, __ATOMIC_RELEASE);
    return true;
}
static inline bool line_receive(struct line_end *end, void *message, size_t size)
{
    if (__atomic_load_n(&end->line->turn, __ATOMIC_ACQUIRE) == end->turn)
        return false;
    end->turn++;
    memcpy(message, end->line->body, size);
    return true;
}

#define LANE lane_lines_8
#define LANE_NAME "two_lines"
#define LANE_MAKE line_make
#define LANE_DESTROY line_destroy
#define LANE_ENTER line_enter
#define LANE_LEAVE line_leave
#define LANE_SEND(handle, message, n) line_send(handle, message, 8)
#define LANE_RECEIVE(handle, message, n) line_receive(handle, message, 8)
#include "channel_loops.h"

/* The same two lines, with 8 bytes in them: what a bigger message is held against. */
#define LANE lane_lines_64
#define LANE_NAME "two_lines"
#define LANE_SIZE 64
#define LANE_MAKE line_make
#define LANE_DESTROY line_destroy
#define LANE_ENTER line_enter
#define LANE_LEAVE line_leave
#define LANE_SEND(handle, message, n) line_send(handle, message, 56)
#define LANE_RECEIVE(handle, message, n)                                                                     \
    (line_receive(handle, message, 56) && ((message)[7] = (message)[0] + 7, true))
#include "channel_loops.h"

/* ---- a futex --------------------------------------------------------------------------------------------------------- */

static inline bool futex_send(struct line_end *end, const void *message)
{
    line_send(end, message, 8);
    syscall(SYS_futex, &end->line->turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    return true;
}
static inline bool futex_receive(struct line_end *end, void *message)
{
    while (!line_receive(end, message, 8))
        syscall(SYS_futex, &end->line->turn, FUTEX_WAIT, (uint32_t)end->turn, NULL, NULL, 0);
    return true;
}

#define LANE lane_futex_8
#define LANE_NAME "futex"
#define LANE_MAKE line_make
#define LANE_DESTROY line_destroy
#define LANE_ENTER line_enter
#define LANE_LEAVE line_leave
#define LANE_SEND(handle, message, n) futex_send(handle, message)
#define LANE_RECEIVE(handle, message, n) futex_receive(handle, message)
#include "channel_loops.h"

/* ---- Lamport's ring -------------------------------------------------------------------------------------------------- */

struct lamport {
    uint64_t head __attribute__((aligned(128)));
    uint64_t tail_seen; /* the receiver's */
    uint64_t tail __attribute__((aligned(128)));
    uint64_t head_seen; /* the sender's */
    uint64_t slot[CHANNEL_CAPACITY] __attribute__((aligned(128)));
};

static void *lamport_make(size_t size)
{
    (void)size;
    return bench_shared(sizeof(struct lamport));
}
static void lamport_destroy(void *l)
{
    munmap(l, sizeof(struct lamport));
}
static inline bool lamport_send(struct lamport *l, const uint64_t *message)
{
    uint64_t tail = l->tail;
    if (tail - l->head_seen == CHANNEL_CAPACITY &&
        tail - (l->head_seen = __atomic_load_n(&l->head, __ATOMIC_ACQUIRE)) == CHANNEL_CAPACITY)
        return false;
    l->slot[tail % CHANNEL_CAPACITY] = *message;
    __atomic_store_n(&l->tail, tail + 1, __ATOMIC_RELEASE);
    return true;
}
static inline bool lamport_receive(struct lamport *l, uint64_t *message)
{
    uint64_t head = l->head;
    if (head == l->tail_seen && head == (l->tail_seen = __atomic_load_n(&l->tail, __ATOMIC_ACQUIRE)))
        return false;
    *message = l->slot[head % CHANNEL_CAPACITY];
    __atomic_store_n(&l->head, head + 1, __ATOMIC_RELEASE);
    return true;
}

#define LANE lane_lamport_8
#define LANE_NAME "limit_ring"
#define LANE_MAKE lamport_make
#define LANE_DESTROY lamport_destroy
#define LANE_SEND(handle, message, n) lamport_send(handle, message)
#define LANE_RECEIVE(handle, message, n) lamport_receive(handle, message)
#include "channel_loops.h"

/* ---- a buffer of 64 KiB and a flag ----------------------------------------------------------------------------------- */

struct bare {
    uint64_t turn __attribute__((aligned(128)));
    uint64_t body[65536 / 8] __attribute__((aligned(128)));
};
struct bare_end {
    struct bare *bare;
    uint64_t turn;
};

static void *bare_make(size_t size)
{
    (void)size;
    return bench_shared(sizeof(struct bare));
}
static void bare_destroy(void *bare)
{
    munmap(bare, sizeof(struct bare));
}
static void *bare_enter(void *bare, int role)
{
    struct bare_end *end = calloc(1, sizeof *end);
    if (!end)
        bench_die("no memory");
    (void)role;
    end->bare = bare;
    return end;
}

static inline void bare_send(void *out, uint64_t ball)
{
    struct bare_end *end = out;
    channel_body_write(end->bare->body, 65536, ball);
    __atomic_store_n(&end->bare->turn, ++end->turn, __ATOMIC_RELEASE);
}
static inline void bare_receive(void *in, uint64_t ball)
{
    struct bare_end *end = in;
    end->turn++;
    while (__atomic_load_n(&end->bare->turn, __ATOMIC_ACQUIRE) != end->turn)
        ;
    channel_body_read(end->bare->body, 65536, ball, "bare_shared");
}
static inline void bare_round(void *out, void *in, int side, uint64_t number)
{
    channel_toss(out, in, side, number, bare_send, bare_receive);
}
static void bare_rally(void *out, void *in, struct rally *r, int side)
{
    channel_rounds(r, side, out, in, bare_round);
}

const struct lane lane_bare_64k = {.name = "bare_shared",
                                   .size = 65536,
                                   .make = bare_make,
                                   .destroy = bare_destroy,
                                   .enter = bare_enter,
                                   .leave = line_leave,
                                   .rally = bare_rally};

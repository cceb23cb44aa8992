/* bench/channel_rings.c - the rings of DPDK (rte_ring) and of Concurrency Kit (ck_ring), in shared memory.
 *
 * SPDX-License-Identifier: MIT */
#include <ck_ring.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "channel.h"

/* ---- DPDK ------------------------------------------------------------------------------------------------------------ */

static void *rte_make(size_t size, unsigned flags)
{
    ssize_t bytes = rte_ring_get_memsize_elem((unsigned)size, 2 * CHANNEL_CAPACITY);
    struct rte_ring *r;
    if (bytes < 0)
        bench_die("rte_ring: no size");
    r = bench_shared((size_t)bytes);
    /* One place of a ring of 1,024 would stay empty; so 1,024 of 2,048, exactly. */
    if (rte_ring_init(r, "bench", CHANNEL_CAPACITY, flags | RING_F_EXACT_SZ))
        bench_die("rte_ring_init failed");
    return r;
}
static void *rte_make_spsc(size_t size)
{
    return rte_make(size, RING_F_SP_ENQ | RING_F_SC_DEQ);
}
static void *rte_make_mpmc(size_t size)
{
    return rte_make(size, 0);
}

#define LANE lane_rte_8
#define LANE_NAME "rte_ring"
#define LANE_MAKE rte_make_spsc
#define LANE_SEND(handle, message, n) (rte_ring_sp_enqueue_elem(handle, message, 8) == 0)
#define LANE_RECEIVE(handle, message, n) (rte_ring_sc_dequeue_elem(handle, message, 8) == 0)
#include "channel_loops.h"

#define LANE lane_rte_64
#define LANE_NAME "rte_ring"
#define LANE_SIZE 64
#define LANE_MAKE rte_make_spsc
#define LANE_SEND(handle, message, n) (rte_ring_sp_enqueue_elem(handle, message, 64) == 0)
#define LANE_RECEIVE(handle, message, n) (rte_ring_sc_dequeue_elem(handle, message, 64) == 0)
#include "channel_loops.h"

#define LANE lane_rte_batch_8
#define LANE_NAME "rte_ring"
#define LANE_MAKE rte_make_spsc
#define LANE_SEND(handle, message, n) rte_ring_sp_enqueue_burst_elem(handle, message, 8, (unsigned)(n), NULL)
#define LANE_RECEIVE(handle, message, n)                                                                     \
    rte_ring_sc_dequeue_burst_elem(handle, message, 8, (unsigned)(n), NULL)
#define LANE_BATCH CHANNEL_BATCH
#include "channel_loops.h"

#define LANE lane_rte_mpmc_8
#define LANE_NAME "rte_ring"
#define LANE_MAKE rte_make_mpmc
#define LANE_SEND(handle, message, n) (rte_ring_mp_enqueue_elem(handle, message, 8) == 0)
#define LANE_RECEIVE(handle, message, n) (rte_ring_mc_dequeue_elem(handle, message, 8) == 0)
#include "channel_loops.h"

/* ---- Concurrency Kit ------------------------------------------------------------------------------------------------- */

struct ck {
    ck_ring_t ring;
    ck_ring_buffer_t buffer[2 * CHANNEL_CAPACITY] __attribute__((aligned(128)));
};

static void *ck_make(size_t size)
{
    struct ck *c = bench_shared(sizeof *c);
    (void)size;
    ck_ring_init(&c->ring, 2 * CHANNEL_CAPACITY); /* of 1,024 it would have room for 1,023 */
    return c;
}
static void ck_destroy(void *c)
{
    munmap(c, sizeof(struct ck));
}
static inline bool ck_send(struct ck *c, const uint64_t *message)
{
    return ck_ring_enqueue_mpmc(&c->ring, c->buffer, (void *)(uintptr_t)*message);
}
static inline bool ck_receive(struct ck *c, uint64_t *message)
{
    void *m;
    if (!ck_ring_dequeue_mpmc(&c->ring, c->buffer, &m))
        return false;
    *message = (uintptr_t)m;
    return true;
}

#define LANE lane_ck_mpmc_8
#define LANE_NAME "ck_ring"
#define LANE_MAKE ck_make
#define LANE_DESTROY ck_destroy
#define LANE_SEND(handle, message, n) ck_send(handle, message)
#define LANE_RECEIVE(handle, message, n) ck_receive(handle, message)
#include "channel_loops.h"

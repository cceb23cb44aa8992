/* bench/peer_pmemobj.c - libpmemobj: an undo-log transaction over two words, its flushing switched off.
 *
 * The pool is 8 MiB (the least there is) of nameless tmpfs memory, reached through /proc/self/fd, so nothing is left behind.
 * PMEM_NO_FLUSH=1 leaves cache lines alone, PMEM_NO_MOVNT=1 keeps stores from going past the cache (which halves its time here),
 * PMEM_IS_PMEM_FORCE=1 keeps it from calling msync: what a log costs that is to survive processes, not power failures. Transactions are begun and ended by function, without the setjmp of the TX_BEGIN macro.
 *
 * SPDX-License-Identifier: MIT */
#include "peers.h"

#include <errno.h>
#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct peer_pmemobj {
    PMEMobjpool *pool;
    uint64_t *word; /* [0] and [8]: in two cache lines */
    uint64_t count;
};

void peer_pmemobj_environment(char **argv)
{
    static const char *const names[] = {"PMEM_NO_FLUSH", "PMEM_NO_MOVNT", "PMEM_IS_PMEM_FORCE"};
    bool all = true;
    for (int i = 0; i < 3; i++) {
        const char *is = getenv(names[i]);
        all = all && is && !strcmp(is, "1");
        setenv(names[i], "1", 1);
    }
    if (all)
        return;
    execv("/proc/self/exe", argv);
    bench_die("cannot start again with libpmemobj's environment: %s", strerror(errno));
}

struct peer_pmemobj *peer_pmemobj_open(void)
{
    struct peer_pmemobj *p = calloc(1, sizeof *p);
    int fd = memfd_create("bench-pmemobj", MFD_CLOEXEC);
    char path[40];
    if (!p || fd < 0 || ftruncate(fd, PMEMOBJ_MIN_POOL))
        bench_die("no memory for libpmemobj's pool: %s", strerror(errno));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    p->pool = pmemobj_create(path, "bench", 0, 0600);
    if (!p->pool)
        bench_die("pmemobj_create: %s", pmemobj_errormsg());
    close(fd);
    PMEMoid root = pmemobj_root(p->pool, 256);
    if (OID_IS_NULL(root))
        bench_die("pmemobj_root: %s", pmemobj_errormsg());
    p->word = (uint64_t *)(((uintptr_t)pmemobj_direct(root) + 63) & ~(uintptr_t)63);
    return p;
}

static inline void change(struct peer_pmemobj *p, uint64_t to)
{
    int bad = pmemobj_tx_begin(p->pool, NULL, TX_PARAM_NONE, TX_PARAM_NONE);
    bad |= pmemobj_tx_add_range_direct(&p->word[0], 8);
    p->word[0] = to;
    bad |= pmemobj_tx_add_range_direct(&p->word[8], 8);
    p->word[8] = ~to;
    if (__builtin_expect(bad, 0))
        bench_die("a transaction of libpmemobj: %s", pmemobj_errormsg());
}

void peer_pmemobj_run(struct peer_pmemobj *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        change(p, ++p->count);
        pmemobj_tx_commit();
        if (__builtin_expect(pmemobj_tx_end(), 0))
            bench_die("a transaction of libpmemobj: %s", pmemobj_errormsg());
    }
    change(p, 1); /* is it a transaction at all? */
    pmemobj_tx_abort(ECANCELED);
    if (pmemobj_tx_end() != ECANCELED || p->word[0] != p->count || p->word[8] != ~p->count)
        bench_die("libpmemobj did not commit, or undo, as it should");
}

void peer_pmemobj_close(struct peer_pmemobj *p)
{
    pmemobj_close(p->pool);
    free(p);
}

/* bench/heap_main.c - bench-heap: tarn's heap beside mimalloc, jemalloc, and free lists without a lock (the limit).
 *
 * Figures and work: heap.h, heap_loops.h. Times are of a pair (one freed, one allocated), of batch and prodcons of a block; churn2 is a rate.
 * tarn allocates by tarn_alloc_into and frees by tarn_free_from (retire: tarn_retire_from) in a nameless segment; two workers are two
 * processes, and of the peers two threads. heap.rss: bytes that the backing had to commit for the second batch, places left
 * out, over the bytes that become resident in a process that does the same with mimalloc, each while all blocks are there.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "heap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAIRS 100000u
#define DUEL_NS 20000000u

static const char *const figures[] = {
    "heap.rss",    "heap.batch",    "heap.batch.alloc",  "heap.batch.free",    "heap.churn", "heap.churnrand",
    "heap.churn2", "heap.prodcons", "heap.retire.churn", "heap.section.churn", NULL,
};

static unsigned batch_blocks(void)
{
    return bench_quick() ? 100000 : 1000000;
}

static uint16_t *random_sizes(unsigned n, unsigned least, unsigned most)
{
    uint16_t *size = bench_shared(n * sizeof *size);
    for (unsigned i = 0; i < n; i++)
        size[i] = (uint16_t)(least + bench_mix(i + 1) % (most - least + 1));
    return size;
}
static uint32_t *random_order(unsigned n)
{
    uint32_t *order = bench_shared(n * sizeof *order);
    for (unsigned i = 0; i < n; i++) {
        unsigned j = (unsigned)(bench_mix(i + 7) % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

/* ---- heaps to measure ----------------------------------------------------------------------------------------------- */

static bool is_tarn(const struct heap_kind *k)
{
    return !strcmp(k->name, "tarn");
}

/* Places for n blocks; of tarn's in a segment of its own. */
static struct heap heap_open(const struct heap_kind *k, unsigned places)
{
    struct heap h = {0};
    if (is_tarn(k)) {
        h.seg = core_segment_with(1 << 20, true);
        h.place = core_block(h.seg, places * sizeof *h.place);
        h.base = (uintptr_t)h.place - tarn_ref_of(h.seg, h.place);
        memset(h.place, 0, places * sizeof *h.place);
        return h;
    }
    h.place = bench_shared(places * sizeof *h.place);
    if (k == &heap_limit)
        h.limit = heap_limit_open();
    return h;
}
/* The same heap, with places for another worker. */
static struct heap second_places(const struct heap *h)
{
    struct heap second = *h;
    second.place = core_block(h->seg, CHURN_RING * sizeof *h->place);
    memset(second.place, 0, CHURN_RING * sizeof *h->place);
    return second;
}
static void heap_close(struct heap *h, unsigned places)
{
    if (h->seg)
        core_close(h->seg);
    else
        munmap(h->place, places * sizeof *h->place);
    if (h->limit)
        heap_limit_close(h->limit);
}

/* ---- one worker ----------------------------------------------------------------------------------------------------- */

struct alone {
    const struct heap_kind *kind;
    struct heap heap;
    uint64_t allocated; /* bytes, before */
    struct churn churn;
    struct churnrand rand;
    struct batch batch;
    double alloc_ns, free_ns; /* sums over samples */
    int samples;
};

static uint64_t allocated(tarn *seg)
{
    struct tarn_stat stat;
    core_good(tarn_recover(seg), "tarn_recover");
    core_good(tarn_stat(seg, &stat), "tarn_stat");
    return stat.allocated;
}

/* Time of this thread on its cpu: what others take of it does not count. */
static uint64_t thread_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double churn_sample(void *state)
{
    struct alone *a = state;
    uint64_t start = thread_now();
    a->kind->churn(&a->heap, &a->churn, PAIRS);
    return (double)(thread_now() - start) / PAIRS;
}
static double rand_sample(void *state)
{
    struct alone *a = state;
    uint64_t start = thread_now();
    a->kind->rand(&a->heap, &a->rand, PAIRS);
    return (double)(thread_now() - start) / PAIRS;
}
static double batch_sample(void *state)
{
    struct alone *a = state;
    uint64_t start = thread_now(), middle, end;
    a->kind->batch_alloc(&a->heap, &a->batch);
    middle = thread_now();
    a->kind->batch_free(&a->heap, &a->batch);
    end = thread_now();
    a->alloc_ns += (double)(middle - start) / a->batch.n;
    a->free_ns += (double)(end - middle) / a->batch.n;
    a->samples++;
    return (double)(end - start) / a->batch.n;
}

#define KINDS 4 /* the first is ours */

static void alone_open(struct alone *a, const struct heap_kind *k, unsigned places)
{
    *a = (struct alone){.kind = k, .heap = heap_open(k, places)};
    if (a->heap.seg)
        a->allocated = allocated(a->heap.seg);
}
static void alone_close(struct alone *a, const char *figure, unsigned places)
{
    if (a->heap.seg && allocated(a->heap.seg) != a->allocated)
        bench_die("%s: %llu bytes were allocated before, and %llu are at the end", figure,
                  (unsigned long long)a->allocated, (unsigned long long)allocated(a->heap.seg));
    heap_close(&a->heap, places);
}

static void compare_alone(const char *figure, const struct heap_kind *const kind[KINDS], bool random)
{
    struct alone *a = calloc(KINDS, sizeof *a);
    struct contender c[KINDS];
    struct outcome o;
    uint16_t *sizes = random_sizes(CHURN_SIZES, CHURN_LEAST, CHURN_MOST);
    bench_pin(0);
    for (int i = 0; i < KINDS; i++) {
        alone_open(&a[i], kind[i], CHURN_RING);
        a[i].churn.size = a[i].rand.size = sizes;
        if (random)
            kind[i]->rand_fill(&a[i].heap, &a[i].rand);
        else
            kind[i]->churn_fill(&a[i].heap, &a[i].churn);
        c[i] = (struct contender){kind[i]->name, random ? rand_sample : churn_sample, &a[i]};
        for (int j = 0; j < 20; j++) /* until it has found its shape */
            c[i].sample(c[i].state);
    }
    bench_compare(figure, "ns", &c[0], &c[1], KINDS - 1, bench_reps(41), false, &o);
    for (int i = 0; i < KINDS; i++) {
        if (random)
            kind[i]->rand_empty(&a[i].heap, &a[i].rand);
        else
            kind[i]->churn_empty(&a[i].heap, &a[i].churn);
        alone_close(&a[i], figure, CHURN_RING);
    }
    munmap(sizes, CHURN_SIZES * sizeof *sizes);
    free(a);
}

static void compare_batch(const struct heap_kind *const kind[KINDS])
{
    struct alone *a = calloc(KINDS, sizeof *a);
    struct contender c[KINDS];
    struct outcome o;
    unsigned n = batch_blocks();
    bench_pin(0);
    struct batch b = {.n = n, .size = random_sizes(n, BATCH_LEAST, BATCH_MOST), .order = random_order(n)};
    for (int i = 0; i < KINDS; i++) {
        alone_open(&a[i], kind[i], n);
        a[i].batch = b;
        c[i] = (struct contender){kind[i]->name, batch_sample, &a[i]};
        batch_sample(&a[i]); /* the first pass: from here on memory is warm */
        a[i].alloc_ns = a[i].free_ns = a[i].samples = 0;
    }
    bench_compare("heap.batch", "ns", &c[0], &c[1], KINDS - 1, bench_reps(9), false, &o);
    bench_print("heap.batch.alloc", a[0].alloc_ns / a[0].samples, "ns");
    bench_print("heap.batch.free", a[0].free_ns / a[0].samples, "ns");
    for (int i = 1; i < KINDS; i++)
        bench_note("heap.batch: %s alloc %.1f free %.1f ns", kind[i]->name, a[i].alloc_ns / a[i].samples,
                   a[i].free_ns / a[i].samples);
    for (int i = 0; i < KINDS; i++)
        alone_close(&a[i], "heap.batch", n);
    munmap((void *)b.size, n * sizeof *b.size);
    munmap((void *)b.order, n * sizeof *b.order);
    free(a);
}

/* ---- two workers ---------------------------------------------------------------------------------------------------- */

#define WARM 50000u

struct two {
    const struct heap_kind *kind;
    struct heap heap[2]; /* of prodcons: the first is for both */
    struct churn churn[2];
    struct pipe *pipe;
    bool pairs;
    int side; /* of this process */
};

static const int never; /* stop */

static uint64_t two_pipe(struct two *t, int side, uint64_t n, const int *stop)
{
    return side == 0 ? t->kind->produce(&t->heap[0], t->pipe, n, stop)
                     : t->kind->consume(&t->heap[0], t->pipe, n, stop);
}
static void two_enter(void *state, int side)
{
    struct two *t = state;
    if (!t->pairs) {
        two_pipe(t, side, WARM, &never);
        return;
    }
    t->kind->churn_fill(&t->heap[side], &t->churn[side]);
    t->kind->churn(&t->heap[side], &t->churn[side], WARM);
}
static uint64_t two_run(void *state, int side, const int *stop)
{
    struct two *t = state;
    uint64_t n = 0;
    if (!t->pairs)
        return two_pipe(t, side, UINT64_MAX, stop);
    for (; !__atomic_load_n(stop, __ATOMIC_RELAXED); n += 200)
        t->kind->churn(&t->heap[side], &t->churn[side], 200);
    return n;
}
static void two_leave(void *state, int side)
{
    struct two *t = state;
    if (t->pairs)
        t->kind->churn_empty(&t->heap[side], &t->churn[side]);
    if (t->heap[side].seg)
        core_good(tarn_thread_detach(t->heap[side].seg), "tarn_thread_detach");
}

static void process_enter(void *state, int side)
{
    ((struct two *)state)->side = side; /* its own copy */
    two_enter(state, side);
}
static void process_leave(void *state)
{
    two_leave(state, ((struct two *)state)->side);
}

/* As bench_duel, but the sides are threads of one process. */
struct thread_side {
    struct two *two;
    int side, *ready, *go, *stop;
    uint64_t ops;
};
static void *thread_main(void *arg)
{
    struct thread_side *s = arg;
    bench_pin(s->side);
    two_enter(s->two, s->side);
    __atomic_add_fetch(s->ready, 1, __ATOMIC_ACQ_REL);
    while (!__atomic_load_n(s->go, __ATOMIC_ACQUIRE))
        ;
    s->ops = two_run(s->two, s->side, s->stop);
    two_leave(s->two, s->side);
    return NULL;
}
static double thread_duel(struct two *t, uint64_t ret_ops[2])
{
    static int word[3][32] __attribute__((aligned(128))); /* ready, go, stop: a line each */
    struct thread_side s[2];
    pthread_t thread[2];
    memset(word, 0, sizeof word);
    for (int i = 0; i < 2; i++) {
        s[i] = (struct thread_side){t, i, word[0], word[1], word[2], 0};
        if (pthread_create(&thread[i], NULL, thread_main, &s[i]))
            bench_die("pthread_create failed");
    }
    while (__atomic_load_n(word[0], __ATOMIC_ACQUIRE) < 2)
        bench_sleep(50000);
    uint64_t start = bench_now();
    __atomic_store_n(word[1], 1, __ATOMIC_RELEASE);
    bench_sleep(DUEL_NS);
    uint64_t end = bench_now();
    __atomic_store_n(word[2], 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        ret_ops[i] = s[i].ops;
    }
    return (double)(end - start);
}

static double two_sample(void *state)
{
    struct two *t = state;
    struct duel duel = {process_enter, two_run, process_leave, t};
    uint64_t ops[2];
    double ns = is_tarn(t->kind) ? bench_duel(&duel, DUEL_NS, ops) : thread_duel(t, ops);
    if (t->pairs)
        return (double)(ops[0] + ops[1]) / ns * 1e3; /* Mpairs/s */
    if (t->pipe->head - t->pipe->tail > PIPE_RING)
        bench_die("heap.prodcons: %llu made, %llu freed", (unsigned long long)t->pipe->head,
                  (unsigned long long)t->pipe->tail);
    return ns / (double)ops[1];
}

static void compare_two(const char *figure, const char *unit, const struct heap_kind *const kind[KINDS], bool pairs)
{
    struct two *t = calloc(KINDS, sizeof *t);
    struct contender c[KINDS];
    struct outcome o;
    uint16_t *sizes = random_sizes(CHURN_SIZES, CHURN_LEAST, CHURN_MOST);
    uint64_t before[KINDS] = {0};
    for (int i = 0; i < KINDS; i++) {
        t[i] = (struct two){.kind = kind[i], .pairs = pairs, .pipe = bench_shared(sizeof(struct pipe))};
        t[i].pipe->size = sizes;
        for (int side = 0; side < 2; side++) {
            t[i].churn[side].size = sizes;
            t[i].heap[side] =
                side && t[i].heap[0].seg ? second_places(&t[i].heap[0]) : heap_open(kind[i], CHURN_RING);
        }
        if (t[i].heap[0].seg)
            before[i] = allocated(t[i].heap[0].seg);
        c[i] = (struct contender){kind[i]->name, two_sample, &t[i]};
    }
    bench_compare(figure, unit, &c[0], &c[1], KINDS - 1, bench_reps(21), true, &o);
    for (int i = 0; i < KINDS; i++) {
        if (!pairs)
            kind[i]->consume(&t[i].heap[0], t[i].pipe, t[i].pipe->head - t[i].pipe->tail, &never);
        if (t[i].heap[0].seg && allocated(t[i].heap[0].seg) != before[i])
            bench_die("%s: %llu bytes were allocated before, and %llu are at the end", figure,
                      (unsigned long long)before[i], (unsigned long long)allocated(t[i].heap[0].seg));
        heap_close(&t[i].heap[0], CHURN_RING);
        if (!t[i].heap[1].seg)
            heap_close(&t[i].heap[1], CHURN_RING);
        munmap(t[i].pipe, sizeof *t[i].pipe);
    }
    munmap(sizes, CHURN_SIZES * sizeof *sizes);
    free(t);
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static uint64_t resident(void)
{
    char text[200] = "";
    unsigned long long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 || sscanf(text, "%*u %llu", &pages) != 1)
        bench_die("/proc/self/statm cannot be read");
    close(fd);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* In a process of its own: bytes that are there only for the blocks of the second batch. */
static uint64_t batch_bytes(const struct heap_kind *k, const struct batch *b)
{
    uint64_t *ret = bench_shared(sizeof *ret);
    pid_t child = bench_fork();
    if (child == 0) {
        struct heap h = heap_open(k, b->n);
        struct tarn_stat stat;
        uint64_t before = resident();
        k->batch_alloc(&h, b);
        k->batch_free(&h, b);
        k->batch_alloc(&h, b);
        if (h.seg) {
            core_good(tarn_stat(h.seg, &stat), "tarn_stat");
            *ret = stat.total - tarn_block_size(h.seg, tarn_ref_of(h.seg, h.place));
        } else {
            *ret = resident() - before;
        }
        k->batch_free(&h, b);
        heap_close(&h, b->n);
        _exit(0);
    }
    bench_join(child, 0, "heap.rss: a process");
    uint64_t bytes = *ret;
    munmap(ret, sizeof *ret);
    return bytes;
}

static void compare_rss(void)
{
    unsigned n = batch_blocks();
    uint64_t asked = 0, ours, peer;
    struct batch b = {.n = n, .size = random_sizes(n, BATCH_LEAST, BATCH_MOST), .order = random_order(n)};
    for (unsigned i = 0; i < n; i++)
        asked += b.size[i];
    ours = batch_bytes(&heap_tarn, &b);
    bench_print("heap.rss", (double)ours / (1 << 20), "MiB");
    const struct heap_kind *const peers[] = {&heap_mimalloc, &heap_jemalloc};
    for (int i = 0; i < 2; i++) {
        peer = batch_bytes(peers[i], &b);
        bench_note("heap.rss: %s %.1f MiB; asked for: %.1f MiB", peers[i]->name, (double)peer / (1 << 20),
                   (double)asked / (1 << 20));
        bench_print_ratio("heap.rss", peers[i]->name, (double)ours / (double)peer, 0);
    }
    munmap((void *)b.size, n * sizeof *b.size);
    munmap((void *)b.order, n * sizeof *b.order);
}

int main(int argc, char **argv)
{
    static const struct heap_kind *const plain[] = {&heap_tarn, &heap_mimalloc, &heap_jemalloc, &heap_limit};
    static const struct heap_kind *const ring[] = {&heap_tarn, &heap_mimalloc, &heap_jemalloc, &heap_ring};
    static const struct heap_kind *const retire[] = {&heap_tarn_retire, &heap_mimalloc, &heap_jemalloc, &heap_limit};
    static const struct heap_kind *const section[] = {&heap_tarn_section, &heap_mimalloc, &heap_jemalloc,
                                                      &heap_limit};
    bench_start(argc, argv, "heap", figures);
    if (bench_wanted("heap.rss"))
        compare_rss(); /* first: later this process has memory of the peers' to give to its children */
    heap_mimalloc_keep();
    if (bench_wanted("heap.batch"))
        compare_batch(plain);
    if (bench_wanted("heap.churn"))
        compare_alone("heap.churn", plain, false);
    if (bench_wanted("heap.churnrand"))
        compare_alone("heap.churnrand", plain, true);
    if (bench_wanted("heap.churn2"))
        compare_two("heap.churn2", "Mpairs/s", plain, true);
    if (bench_wanted("heap.prodcons"))
        compare_two("heap.prodcons", "ns", ring, false);
    if (bench_wanted("heap.retire.churn"))
        compare_alone("heap.retire.churn", retire, false);
    if (bench_wanted("heap.section.churn"))
        compare_alone("heap.section.churn", section, false);
    return 0;
}

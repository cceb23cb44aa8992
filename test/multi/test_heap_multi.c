/* test_heap_multi.c - one heap, several processes, each with the segment at another address: blocks allocated here and freed there, by
 * processes that end, or are killed. After each test: every allocated block is reached, none twice, and all bytes are as they were written. */
#include "participant/participant.h"
#include "heap/table.h"

#include "helper.h"

#include <sched.h>
#include <time.h>

#define URL "posix:/heap"
#define WORKERS 4u
#define SLOTS 128u /* of each worker */

/* In a block that the parent made. */
struct board {
    uint64_t slot[WORKERS][SLOTS];
    uint32_t arrived;
    uint32_t stop;
    uint64_t rounds[WORKERS];
};
static tarn_ref board_ref;
static tarn *shared;

static struct board *make(const struct tarn_options *options)
{
    assert_int_equal(tarn_open(URL, TARN_CREATE | TARN_EXCL, options, &shared), 0);
    assert_int_equal(tarn_begin(shared), 0);
    assert_int_equal(tarn_alloc(shared, sizeof(struct board), &board_ref), 0);
    assert_int_equal(tarn_commit(shared), 0);
    return tarn_ptr(shared, board_ref, sizeof(struct board));
}
static void unmake(void)
{
    assert_int_equal(tarn_close(shared), 0);
    assert_int_equal(tarn_unlink(URL), 0);
}

/* In a child: leave the parent's mapping, and map it elsewhere. */
static struct board *elsewhere(tarn **ret_seg)
{
    char *old = shared->base;
    check(tarn_close(shared) == 0);
    check(mmap(old, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == old);
    check(tarn_open(URL, 0, NULL, ret_seg) == 0);
    check((*ret_seg)->base != old);
    return tarn_ptr(*ret_seg, board_ref, sizeof(struct board));
}

static uint32_t dice(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % n;
}

/* ---- what holds when all is quiet ---- */

struct tally {
    uint64_t allocated, limbo;
};
static int tally_block(uint64_t offset, uint64_t size, enum block_state state, void *arg)
{
    struct tally *t = arg;
    (void)offset;
    (void)size;
    t->allocated += state == BLOCK_ALLOCATED;
    t->limbo += state == BLOCK_LIMBO;
    return 0;
}
static uint64_t chain(uint64_t ref)
{
    uint64_t n = 0;
    for (; ref; ref = ((struct extent *)at_offset(shared, ref))->next)
        n++;
    return n;
}

static void assert_whole(const struct board *b)
{
    struct tally t = {0};
    uint64_t reached = 1; /* the board */
    for (uint32_t w = 0; w < WORKERS; w++)
        for (uint32_t i = 0; i < SLOTS; i++) {
            uint64_t ref = b->slot[w][i], size;
            if (!ref)
                continue;
            assert_int_equal(heap_state(shared, ref, &size), BLOCK_ALLOCATED);
            reached++;
            for (uint64_t *p = at_offset(shared, ref), *end = p + size / 8; p < end; p++)
                if (*p && *p != ref) /* filled with its own ref, as far as the filler lived */
                    fail_msg("block %llu holds %llu: it was handed out twice", (unsigned long long)ref,
                             (unsigned long long)*p);
        }
    for (uint32_t i = 0; i < shared->geometry.records; i++)
        reached += chain(record_at(shared, i)->log_more) + chain(record_at(shared, i)->held_more);
    assert_int_equal(heap_check(shared, print_damage, NULL), 0);
    assert_int_equal(heap_walk(shared, tally_block, &t), 0);
    assert_int_equal(t.allocated, reached);
}

/* ---- work ---- */

static void fill(tarn *seg, uint64_t ref)
{
    uint64_t *p = at_offset(seg, ref), size = tarn_block_size(seg, ref);
    for (uint64_t i = 0; i < size / 8; i++)
        if (__atomic_exchange_n(&p[i], ref, __ATOMIC_RELAXED))
            check(!"a block was not zeroed");
}
static void look(tarn *seg, uint64_t ref)
{
    uint64_t *p = at_offset(seg, ref), size = tarn_block_size(seg, ref);
    check(size >= 8 && (p[0] == ref || p[0] == 0) && (p[size / 8 - 1] == ref || p[size / 8 - 1] == 0));
}
static uint32_t some_size(uint32_t *seed, uint32_t span)
{
    switch (dice(seed, 8)) {
    case 0: return 1 + dice(seed, 3 * span);
    case 1: return 1 + dice(seed, span / 8);
    default: return 1 + dice(seed, 200);
    }
}

/* One operation on a slot that is this process's alone at this time. */
static void one_step(tarn *seg, uint64_t *slot, uint32_t *seed)
{
    tarn_ref ref;
    int e;
    if (*slot) {
        look(seg, *slot);
        switch (dice(seed, 3)) {
        case 0: check(tarn_free_from(seg, slot) == 0); break;
        case 1: check(tarn_retire_from(seg, slot) == 0); break;
        case 2: /* another in its place, in a section */
            check(tarn_begin(seg) == 0);
            ref = *slot;
            check(tarn_save(seg, slot, 8) == 0);
            check((dice(seed, 2) ? tarn_free : tarn_retire)(seg, ref) == 0);
            e = tarn_alloc(seg, some_size(seed, seg->geometry.span_size), slot);
            check(e == 0 || e == -ENOSPC);
            if (e || dice(seed, 4) == 0)
                check(tarn_abort(seg) == 0);
            else {
                fill(seg, *slot);
                check(tarn_commit(seg) == 0);
            }
            break;
        }
    } else {
        e = tarn_alloc_into(seg, slot, some_size(seed, seg->geometry.span_size));
        check(e == 0 || e == -ENOSPC);
        if (!e)
            fill(seg, *slot);
    }
}

/* ---- tests ---- */

/* All workers at once, in rounds: in round r worker w has the slots of worker w + r, so it frees what others allocated. */
static void rotate(uint32_t me, uint32_t rounds)
{
    tarn *seg;
    struct board *b = elsewhere(&seg);
    uint32_t seed = me + 1;
    for (uint32_t r = 0; r < rounds; r++) {
        for (int i = 0; i < 600; i++)
            one_step(seg, &b->slot[(me + r) % WORKERS][dice(&seed, SLOTS)], &seed);
        __atomic_fetch_add(&b->arrived, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&b->arrived, __ATOMIC_SEQ_CST) < (r + 1) * WORKERS)
            sched_yield();
    }
    check(tarn_close(seg) == 0);
}

static void others_free(void **state)
{
    const struct tarn_options o = {
        .size = sizeof o, .span_size = 4096, .limit = 32 << 20, .participants = 6, .record_size = 2048};
    struct board *b = make(&o);
    pid_t pid[WORKERS];
    (void)state;
    for (uint32_t w = 0; w < WORKERS; w++)
        if ((pid[w] = fork()) == 0) {
            alarm(60);
            rotate(w, 12);
            _exit(0);
        }
    for (uint32_t w = 0; w < WORKERS; w++) {
        int status;
        assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
        assert_int_equal(status, 0);
    }
    assert_whole(b);
    assert_int_equal(tarn_recover(shared), 0);
    unmake();
}

static void work_until_killed(uint32_t me, uint32_t seed)
{
    tarn *seg;
    struct board *b = elsewhere(&seg);
    for (;;) {
        one_step(seg, &b->slot[me][dice(&seed, SLOTS)], &seed);
        b->rounds[me]++;
    }
}

/* Workers are killed again and again, in the middle of anything; each next one goes on with the slots of the last. */
static void killed(void **state)
{
    const struct tarn_options o = {
        .size = sizeof o, .span_size = 4096, .limit = 4 << 20, .participants = 6, .record_size = 2048};
    struct board *b = make(&o);
    uint32_t seed = 7;
    uint64_t before = 0;
    (void)state;
    for (int round = 0; round < 25; round++) {
        pid_t pid[WORKERS];
        for (uint32_t w = 0; w < WORKERS; w++)
            if ((pid[w] = fork()) == 0) {
                alarm(30);
                work_until_killed(w, (uint32_t)round * 64 + w);
            }
        while (b->rounds[0] + b->rounds[1] + b->rounds[2] + b->rounds[3] < before + 200)
            nanosleep(&(struct timespec){0, 200000 + dice(&seed, 3000000)}, NULL);
        for (uint32_t w = 0; w < WORKERS; w++) {
            int status;
            assert_int_equal(kill(pid[w], SIGKILL), 0);
            assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        assert_true(tarn_recover(shared) >= 0);
        assert_whole(b);
        before = b->rounds[0] + b->rounds[1] + b->rounds[2] + b->rounds[3];
    }
    unmake();
}

static void leave_blocks(void *arg)
{
    tarn *seg;
    struct board *b = elsewhere(&seg);
    bool how = *(bool *)arg;
    for (uint32_t i = 0; i < SLOTS; i++)
        check(tarn_alloc_into(seg, &b->slot[0][i], 100 + i * 40) == 0);
    for (uint32_t i = 0; i < SLOTS; i++)
        if (i % 16)
            check((i & 1 ? tarn_free_from : tarn_retire_from)(seg, &b->slot[0][i]) == 0);
    if (how)
        check(tarn_close(seg) == 0);
    else
        kill(getpid(), SIGKILL);
}

/* What is left by the departed and the dead is used again: the segment does not grow for it. */
static void adopted(void **state)
{
    const struct tarn_options o = {.size = sizeof o,
                                   .span_size = 4096,
                                   .initial = 64 << 10,
                                   .limit = 1 << 20,
                                   .participants = 3,
                                   .record_size = 2048};
    struct board *b = make(&o);
    struct tarn_stat first = {0}, last;
    (void)state;
    for (int round = 0; round < 20; round++) {
        bool how = round & 1;
        int status = in_child(leave_blocks, &how);
        assert_true(how ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(tarn_recover(shared) >= 0);
        assert_whole(b);
        for (uint32_t i = 0; i < SLOTS; i++)
            if (b->slot[0][i])
                assert_int_equal(tarn_free_from(shared, &b->slot[0][i]), 0);
        assert_int_equal(tarn_alloc_into(shared, &b->slot[1][0], 100 + (uint32_t)round * 16), 0);
        assert_int_equal(tarn_free_from(shared, &b->slot[1][0]), 0);
        assert_int_equal(tarn_stat(shared, &last), 0);
        if (round == 3)
            first = last;
    }
    assert_true(last.data <= first.data + first.data / 2);
    unmake();
}

static void until_full(void *arg)
{
    tarn *seg;
    struct board *b = elsewhere(&seg);
    uint32_t me = *(uint32_t *)arg;
    int e = 0;
    for (uint32_t i = 0; i < SLOTS && !e; i++) {
        e = tarn_alloc_into(seg, &b->slot[me][i], i & 1 ? 30000 : 400);
        if (!e)
            fill(seg, b->slot[me][i]);
    }
    check(e == -ENOSPC && strstr(tarn_error(), "limit"));
    for (uint32_t i = 0; i < SLOTS && b->slot[me][i]; i++)
        check(tarn_free_from(seg, &b->slot[me][i]) == 0);
    check(tarn_alloc_into(seg, &b->slot[me][0], 200000) == 0); /* small spans and short runs became a long one */
    check(tarn_close(seg) == 0);
}

/* It grows to its limit, says so, and all of it comes back. */
static void limit(void **state)
{
    const struct tarn_options o = {.size = sizeof o,
                                   .span_size = 4096,
                                   .initial = 64 << 10,
                                   .limit = 1 << 20,
                                   .participants = 4,
                                   .record_size = 2048};
    struct board *b = make(&o);
    struct tarn_stat stat;
    (void)state;
    for (uint32_t w = 0; w < WORKERS; w++) {
        assert_int_equal(in_child(until_full, &w), 0);
        assert_whole(b);
        assert_int_equal(tarn_free_from(shared, &b->slot[w][0]), 0); /* a run of one who left: adopted, and taken apart */
    }
    assert_int_equal(tarn_stat(shared, &stat), 0);
    assert_int_equal(stat.data, 1 << 20);
    assert_int_equal(stat.allocated, tarn_block_size(shared, board_ref));
    assert_int_equal(tarn_alloc_into(shared, &b->slot[0][0], 900000), 0);
    unmake();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_free),
        cmocka_unit_test(killed),
        cmocka_unit_test(adopted),
        cmocka_unit_test(limit),
    };
    return cmocka_run_group_tests(tests, own_directory, remove_directory);
}

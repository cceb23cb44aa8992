/* test_queue.c - the queue and the stack: each call's results, a random walk beside a model, undo, hostile bytes; producers and consumers that are
 * killed, and nothing is lost or handed out twice. */
#include "helper.h"

#include "collection/check.h"
#include "participant/participant.h"

enum { MOST = 60 };

struct block {
    tarn_node node;
    uint64_t number;
};

struct root {
    tarn_ref place[8];
    uint64_t in[3], out[3]; /* sums, each of one process; changed in the section that pushes or pops */
    uint64_t last[3];
};

static tarn *seg;
static tarn_queue *queue; /* named: tarn_check knows them */
static tarn_stack *stack;
static struct root *root;

static int open_segment(void **state)
{
    (void)state;
    return tarn_open("memfd:queue", TARN_CREATE, NULL, &seg) || tarn_object(seg, "queue", tarn_queue, &queue) ||
           tarn_object(seg, "stack", tarn_stack, &stack) || tarn_object(seg, "root", struct root, &root);
}
static int close_segment(void **state)
{
    (void)state;
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    return tarn_close(seg);
}

static struct block *at(tarn_ref ref)
{
    return tarn_ptr(seg, ref, sizeof(struct block));
}

static tarn_ref made(uint64_t number)
{
    tarn_ref ref;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, sizeof(struct block), &ref), 0);
    at(ref)->number = number;
    assert_int_equal(tarn_commit(seg), 0);
    return ref;
}

static void each_call(void **state)
{
    (void)state;
    tarn_ref ref = 1, a = made(1), b = made(2), c = made(3);
    assert_int_equal(tarn_queue_pop(seg, queue, &ref), -ENOENT);
    assert_int_equal(tarn_stack_pop(seg, stack, &ref), -ENOENT);
    assert_int_equal(tarn_queue_pop_into(seg, queue, &root->place[0]), -ENOENT);
    assert_int_equal(ref, 1);
    assert_int_equal(tarn_queue_push(seg, queue, a), 0);
    assert_int_equal(tarn_queue_push(seg, queue, a), -EEXIST);
    assert_int_equal(tarn_stack_push(seg, stack, a), -EEXIST);
    assert_int_equal(tarn_queue_push(seg, queue, b), 0);
    assert_int_equal(tarn_queue_push(seg, queue, c), 0);
    assert_int_equal(tarn_queue_count(seg, queue), 3);
    assert_int_equal(tarn_queue_pop(seg, queue, &ref), 0);
    assert_int_equal(ref, a);
    assert_int_equal(at(a)->node.in, 0);
    assert_int_equal(at(a)->number, 1);
    assert_int_equal(tarn_stack_push(seg, stack, a), 0);
    assert_int_equal(tarn_queue_pop(seg, queue, &ref), 0);
    assert_int_equal(ref, b);
    assert_int_equal(tarn_stack_push(seg, stack, b), 0);
    assert_int_equal(tarn_stack_count(seg, stack), 2);
    assert_int_equal(tarn_stack_pop(seg, stack, &ref), 0);
    assert_int_equal(ref, b);
    /* by a place in the segment */
    assert_int_equal(tarn_queue_pop_into(seg, queue, &root->place[0]), 0);
    assert_int_equal(root->place[0], c);
    assert_int_equal(tarn_stack_pop_into(seg, stack, &root->place[0]), -EEXIST);
    assert_int_equal(tarn_stack_pop_into(seg, stack, &root->place[1]), 0);
    assert_int_equal(root->place[1], a);
    assert_int_equal(tarn_queue_count(seg, queue) + tarn_stack_count(seg, stack), 0);
    assert_int_equal(tarn_queue_push_from(seg, queue, &root->place[1]), 0);
    assert_int_equal(root->place[1], 0);
    assert_int_equal(tarn_stack_push_from(seg, stack, &root->place[1]), -EINVAL);
    assert_int_equal(tarn_stack_push_from(seg, stack, &root->place[0]), 0);
    assert_int_equal(tarn_queue_count(seg, queue), 1);
    assert_int_equal(tarn_stack_count(seg, stack), 1);
    /* what cannot be */
    tarn_queue nowhere = {0};
    tarn_ref outside = 0;
    assert_int_equal(tarn_queue_push(seg, &nowhere, b), -EINVAL);
    assert_int_equal(tarn_queue_count(seg, &nowhere), 0);
    assert_int_equal(tarn_queue_push(seg, queue, 0), -EINVAL);
    assert_int_equal(tarn_queue_push(seg, queue, b + 4), -EINVAL);
    assert_int_equal(tarn_queue_push(seg, queue, 1ull << 40), -EINVAL);
    assert_int_equal(tarn_queue_pop_into(seg, queue, &outside), -EINVAL);
    assert_int_equal(tarn_stack_push(seg, (tarn_stack *)(void *)((char *)stack + 4), b), -EINVAL);
    tarn *reader;
    tarn_queue *there;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "queue", tarn_queue, &there), 0);
    assert_int_equal(tarn_queue_count(reader, there), 1);
    assert_int_equal(tarn_queue_pop(reader, there, &ref), -EROFS);
    assert_int_equal(tarn_close(reader), 0);
}

/* ---- beside a model ---- */

struct model {
    int queue[MOST], stack[MOST], queued, stacked;
    bool in[MOST];
};

static void assert_same(const struct model *m, const tarn_ref *ref)
{
    tarn_ref r = queue->first;
    assert_int_equal(tarn_queue_count(seg, queue), m->queued);
    assert_int_equal(tarn_stack_count(seg, stack), m->stacked);
    for (int i = 0; i < m->queued; i++, r = at(r)->node.next)
        assert_int_equal(r, ref[m->queue[i]]);
    assert_int_equal(r, 0);
    r = stack->first;
    for (int i = m->stacked; i-- > 0; r = at(r)->node.next)
        assert_int_equal(r, ref[m->stack[i]]);
    assert_int_equal(r, 0);
    for (int i = 0; i < MOST; i++)
        assert_true(m->in[i] || (at(ref[i])->node.in == 0 && at(ref[i])->node.next == 0));
}

static void random_walk(void **state)
{
    (void)state;
    struct model m = {.queued = 0}, before = m;
    tarn_ref ref[MOST], got;
    unsigned seed = 6;
    bool open = false;
    for (int i = 0; i < MOST; i++)
        ref[i] = made((uint64_t)i);
    for (int round = 0; round < (SANITIZED ? 4000 : 30000); round++) {
        int r = rand_r(&seed) % 100, i = rand_r(&seed) % MOST, e;
        if (!open && r < 10) {
            assert_int_equal(tarn_begin(seg), 0);
            before = m;
            open = true;
        } else if (open && r < 10) {
            assert_int_equal((r < 5 ? tarn_commit : tarn_abort)(seg), 0);
            if (r >= 5)
                m = before;
            open = false;
        } else if (r < 55) {
            bool queued = r % 2;
            e = queued ? tarn_queue_push(seg, queue, ref[i]) : tarn_stack_push(seg, stack, ref[i]);
            assert_int_equal(e, m.in[i] ? -EEXIST : 0);
            if (!m.in[i])
                *(queued ? &m.queue[m.queued++] : &m.stack[m.stacked++]) = i;
            m.in[i] = true;
        } else if (r % 2) {
            e = tarn_queue_pop(seg, queue, &got);
            assert_int_equal(e, m.queued ? 0 : -ENOENT);
            if (e == 0) {
                assert_int_equal(got, ref[m.queue[0]]);
                m.in[m.queue[0]] = false;
                memmove(m.queue, m.queue + 1, sizeof m.queue - sizeof *m.queue);
                m.queued--;
            }
        } else {
            e = tarn_stack_pop(seg, stack, &got);
            assert_int_equal(e, m.stacked ? 0 : -ENOENT);
            if (e == 0) {
                assert_int_equal(got, ref[m.stack[--m.stacked]]);
                m.in[m.stack[m.stacked]] = false;
            }
        }
        if (round % 8 == 0)
            assert_same(&m, ref);
    }
    if (open)
        assert_int_equal(tarn_commit(seg), 0);
    assert_same(&m, ref);
    uint64_t leaked = 1; /* blocks in them are reached; the others are nobody's */
    assert_int_equal(tarn_leaked(seg, &leaked), 0);
    assert_int_equal(leaked, (uint64_t)(MOST - m.queued - m.stacked) * tarn_block_size(seg, ref[0]));
}

/* ---- several processes ---- */

/* Producer: blocks out of the stack of free ones, into the queue, with numbers that rise. Consumer: the way back. Until it is killed. */
static void work_for_ever(int who, bool producer, unsigned seed)
{
    tarn *mine;
    tarn_queue *q;
    tarn_stack *k;
    struct root *r;
    check(tarn_open_fd(tarn_fd(seg), 0, &mine) == 0 && tarn_object(mine, "queue", tarn_queue, &q) == 0);
    check(tarn_object(mine, "stack", tarn_stack, &k) == 0 && tarn_object(mine, "root", struct root, &r) == 0);
    for (;;) {
        tarn_ref ref = 0;
        check(tarn_begin(mine) == 0);
        int e = producer ? tarn_stack_pop(mine, k, &ref) : tarn_queue_pop(mine, q, &ref);
        check(e == 0 || e == -ENOENT);
        if (e == 0) {
            struct block *b = tarn_ptr(mine, ref, sizeof *b);
            check(tarn_save(mine, r, sizeof *r) == 0); /* no other process changes it: see below */
            check(tarn_save(mine, &b->number, 8) == 0);
            if (producer) {
                b->number = (uint64_t)who << 60 | ++r->last[who];
                r->in[who] += r->last[who];
                e = tarn_queue_push(mine, q, ref);
            } else {
                r->out[b->number >> 60] += b->number << 4 >> 4;
                b->number = 0;
                e = tarn_stack_push(mine, k, ref);
            }
            check(e == 0 || e == -EDEADLK);
        }
        check((e < 0 || rand_r(&seed) % 4 == 0 ? tarn_abort : tarn_commit)(mine) == 0);
    }
}

static uint64_t count_all(void)
{
    uint64_t n = 0, last[2] = {0};
    for (tarn_ref r = queue->first; r; r = at(r)->node.next, n++) {
        uint64_t who = at(r)->number >> 60, number = at(r)->number << 4 >> 4;
        assert_true(who < 2 && number > last[who]); /* each one's in order */
        last[who] = number;
    }
    for (tarn_ref r = stack->first; r; r = at(r)->node.next, n++)
        assert_int_equal(at(r)->number, 0);
    return n;
}

/* One producer and one consumer, in turn: each word of root has one writer at a time. */
static void killed_at_work(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MOST; i++)
        assert_int_equal(tarn_stack_push(seg, stack, made(0)), 0);
    for (int round = 0; round < (SANITIZED ? 6 : 30); round++) {
        pid_t child = fork_child();
        if (child == 0) {
            work_for_ever(0, round % 2 == 0, (unsigned)round + 5);
            _exit(9);
        }
        struct timespec moment = {0, 8000000 + 100000 * (round % 13)};
        nanosleep(&moment, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* dead, and not recovered */
        assert_true(tarn_recover(seg) >= 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(count_all(), MOST);
        uint64_t inside = 0;
        for (tarn_ref r = queue->first; r; r = at(r)->node.next)
            inside += at(r)->number << 4 >> 4;
        assert_int_equal(root->in[0], root->out[0] + inside);
    }
    assert_true(root->out[0] > 0);
}

/* Several, without sections of their own: what one has in hand when it is killed is at its place in the segment. */
static void move_for_ever(int who)
{
    tarn *mine;
    tarn_queue *q;
    tarn_stack *k;
    struct root *r;
    check(tarn_open_fd(tarn_fd(seg), 0, &mine) == 0 && tarn_object(mine, "queue", tarn_queue, &q) == 0);
    check(tarn_object(mine, "stack", tarn_stack, &k) == 0 && tarn_object(mine, "root", struct root, &r) == 0);
    for (int turn = 0;; turn++) {
        tarn_ref *place = &r->place[who];
        int e = turn % 2 ? tarn_queue_pop_into(mine, q, place) : tarn_stack_pop_into(mine, k, place);
        check(e == 0 || e == -ENOENT);
        if (*place)
            check((turn / 2 % 2 ? tarn_queue_push_from(mine, q, place) : tarn_stack_push_from(mine, k, place)) == 0);
    }
}

static void several_at_once(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MOST; i++)
        assert_int_equal(tarn_stack_push(seg, stack, made(0)), 0);
    long in_hand = 0;
    for (int round = 0; round < (SANITIZED ? 5 : 25); round++) {
        pid_t child[4];
        for (int c = 0; c < 4; c++)
            if ((child[c] = fork_child()) == 0) {
                move_for_ever(c);
                _exit(9);
            }
        struct timespec moment = {0, 12000000};
        for (int c = 0; c < 4; c++) {
            nanosleep(&moment, NULL);
            assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* at work */
            assert_int_equal(kill(child[c], SIGKILL), 0);
            assert_int_equal(waitpid(child[c], NULL, 0), child[c]);
        }
        assert_true(tarn_recover(seg) >= 0);
        uint64_t n = 0;
        for (int c = 0; c < 4; c++)
            if (root->place[c]) {
                in_hand++;
                assert_int_equal(at(root->place[c])->node.in, 0);
                assert_int_equal(tarn_stack_push_from(seg, stack, &root->place[c]), 0);
            }
        assert_int_equal(queue->lock.owner | stack->lock.owner, 0);
        n = tarn_queue_count(seg, queue) + tarn_stack_count(seg, stack);
        assert_int_equal(n, MOST);
        for (tarn_ref r = queue->first; r; r = at(r)->node.next, n--)
            assert_int_equal(at(r)->node.in, tarn_ref_of(seg, queue));
        for (tarn_ref r = stack->first; r; r = at(r)->node.next, n--)
            assert_int_equal(at(r)->node.in, tarn_ref_of(seg, stack));
        assert_int_equal(n, 0);
    }
    print_message("in hand when killed: %ld\n", in_hand);
}

/* Half-way in a change, whose participant stands, or died and is not recovered: no damage. The same with nobody there is one. */
static void checked_in_the_midst(void **state)
{
    (void)state;
    int status;
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(tarn_queue_push(seg, queue, made(i)), 0);
    pid_t child = fork_child();
    if (child == 0) {
        tarn_ref ref;
        check(tarn_begin(seg) == 0 && tarn_queue_pop(seg, queue, &ref) == 0);
        queue->count = 3; /* as if it came to that only now */
        raise(SIGSTOP);
        _exit(9);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_recover(seg), 1);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_queue_count(seg, queue), 3);
    queue->count = 2;
    assert_int_equal(tarn_check(seg, NULL, NULL), 1);
    queue->count = 3;
}

static void tell_damage(uint64_t ref, const char *what, void *arg)
{
    (void)ref;
    *(const char **)arg = what;
}
static void no_owner(const tarn_mutex *mutex, void *arg)
{
    (void)mutex, (void)arg;
}
static void take_the_next(uint64_t ref, void *arg)
{
    tarn_ref got;
    (void)ref, (void)arg;
    if (tarn_queue_pop(seg, queue, &got) == -ENOENT)
        tarn_stack_pop(seg, stack, &got);
}

/* Changed while it looks, by somebody who is done before it asks whether the lock is free: no damage. */
static void checked_while_changed(void **state)
{
    (void)state;
    const char *damage = NULL;
    const struct collection_checker k = {
        .damage = tell_damage, .member = take_the_next, .owner = no_owner, .arg = &damage};
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(tarn_queue_push(seg, queue, made(i)), 0);
    queue_check(seg, tarn_ref_of(seg, queue), &k);
    assert_null(damage);
    assert_true(tarn_queue_count(seg, queue) < 4);
    while (tarn_queue_count(seg, queue))
        take_the_next(0, NULL);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(tarn_stack_push(seg, stack, made(i)), 0);
    stack_check(seg, tarn_ref_of(seg, stack), &k);
    assert_null(damage);
    assert_true(tarn_stack_count(seg, stack) < 4);
}

/* ---- hostile bytes ---- */

static void hostile(void **state)
{
    (void)state;
    unsigned seed = 12;
    long reported = 0;
    tarn_ref ref[10], got;
    struct block good[10];
    for (int i = 0; i < 10; i++)
        ref[i] = made((uint64_t)i);
    for (int i = 0; i < 10; i++)
        assert_int_equal(i < 5 ? tarn_queue_push(seg, queue, ref[i]) : tarn_stack_push(seg, stack, ref[i]), 0);
    for (int i = 0; i < 10; i++)
        good[i] = *at(ref[i]);
    tarn_queue good_queue = *queue;
    tarn_stack good_stack = *stack;
    alarm(120);
    for (int round = 0; round < 3000; round++) {
        int i = rand_r(&seed) % 12;
        uint64_t *word = i == 10   ? &queue->first + rand_r(&seed) % 3
                         : i == 11 ? &stack->first + rand_r(&seed) % 2
                                   : &at(ref[i])->node.next + rand_r(&seed) % 2;
        switch (rand_r(&seed) % 5) {
        case 0: *word = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed); break;
        case 1: *word ^= 1ull << rand_r(&seed) % 64; break;
        case 2: *word = 0; break;
        case 3: *word = ref[rand_r(&seed) % 10]; break; /* circles, and the other's */
        default: *word = tarn_ref_of(seg, rand_r(&seed) % 2 ? (void *)queue : (void *)stack);
        }
        reported += tarn_check(seg, NULL, NULL) > 0;
        for (int n = 0; n < 12; n++) {
            int e = round % 2 ? tarn_queue_pop(seg, queue, &got) : tarn_stack_pop(seg, stack, &got);
            assert_true(e == 0 || e == -ENOENT || e == -EUCLEAN);
            if (e < 0)
                break;
            e = n % 2 ? tarn_queue_push(seg, queue, got) : 0;
            assert_true(e == 0 || e == -EEXIST || e == -EUCLEAN);
        }
        *queue = good_queue;
        *stack = good_stack;
        for (int k = 0; k < 10; k++)
            *at(ref[k]) = good[k];
    }
    assert_true(reported > 1000);
    queue->count++;
    assert_int_equal(tarn_check(seg, NULL, NULL), 1);
    queue->count--;
    stack->lock.owner = 0x7ff0fff0; /* nobody's, so no excuse */
    stack->count++;
    assert_int_equal(tarn_check(seg, NULL, NULL), 2);
    *stack = good_stack;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_call, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_walk, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(killed_at_work, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(several_at_once, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(checked_in_the_midst, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(checked_while_changed, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_segment, close_segment),
    };
    extern long check_pause_ns;
    check_pause_ns = 1000000;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

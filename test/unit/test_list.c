/* test_list.c - the list: each call's results, every position, a random walk beside a private model, undo, hostile bytes; two processes that are
 * killed, and readers without locks beside them. */
#include "helper.h"

#include "collection/list.h"

struct member {
    long value;
    tarn_link link;
    long again; /* == value */
};

enum { MOST = 64 };

struct root {
    tarn_list list, other;
    tarn_ref member[MOST];
    long counter;
};

static tarn *seg;
static struct root *root;

static int open_segment(void **state)
{
    (void)state;
    return tarn_open("memfd:list", TARN_CREATE, NULL, &seg) || tarn_object(seg, "root", struct root, &root);
}
static int close_segment(void **state)
{
    (void)state;
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    return tarn_close(seg);
}

static struct member *member(int i)
{
    if (!root->member[i]) {
        assert_int_equal(tarn_alloc_into(seg, &root->member[i], sizeof(struct member)), 0);
        struct member *m = tarn_ptr(seg, root->member[i], sizeof *m);
        m->value = m->again = i;
    }
    return tarn_ptr(seg, root->member[i], sizeof(struct member));
}

/* Forwards, backwards, and by each: the same. */
struct seen {
    long value[1000];
    int count;
};
static int see(void *at, void *arg)
{
    struct member *m = at;
    struct seen *s = arg;
    s->value[s->count++] = m->value == m->again ? m->value : -1;
    return 0;
}

static void assert_list(tarn_list *list, const long *want, int n)
{
    struct seen s = {.count = 0};
    int i = 0;
    for (tarn_link *l = tarn_list_first(seg, list); l; l = tarn_list_next(seg, l), i++)
        assert_true(i < n && TARN_MEMBER(l, struct member, link)->value == want[i]);
    assert_int_equal(i, n);
    for (tarn_link *l = tarn_list_last(seg, list); l; l = tarn_list_previous(seg, l), i--)
        assert_true(i > 0 && TARN_MEMBER(l, struct member, link)->value == want[i - 1]);
    assert_int_equal(i, 0);
    assert_int_equal(tarn_list_each(seg, list, offsetof(struct member, link), sizeof(struct member), see, &s), 0);
    assert_int_equal(s.count, n);
    for (i = 0; i < n; i++)
        assert_int_equal(s.value[i], want[i]);
    struct tarn_walk w = tarn_walk_of(seg);
    i = 0;
    for (tarn_link *l = tarn_list_first(seg, list); l; l = tarn_walk_next(&w, l))
        i++;
    assert_int_equal(i, n);
}

static void each_call(void **state)
{
    (void)state;
    tarn_list *list = &root->list;
    tarn_link *l[8];
    for (int i = 0; i < 8; i++)
        l[i] = &member(i)->link;
    assert_list(list, (long[]){0}, 0);
    assert_int_equal(tarn_list_remove(seg, list, l[0]), -ENOENT);
    assert_int_equal(tarn_list_insert_after(seg, list, l[0], l[1]), -ENOENT);
    assert_int_equal(tarn_list_insert_first(seg, list, l[1]), 0);
    assert_list(list, (long[]){1}, 1);
    assert_int_equal(tarn_list_insert_first(seg, list, l[1]), -EEXIST);
    assert_int_equal(tarn_list_insert_last(seg, &root->other, l[1]), -EEXIST);
    assert_int_equal(tarn_list_insert_first(seg, list, l[0]), 0);
    assert_int_equal(tarn_list_insert_last(seg, list, l[4]), 0);
    assert_int_equal(tarn_list_insert_after(seg, list, l[2], l[1]), 0);
    assert_int_equal(tarn_list_insert_before(seg, list, l[3], l[4]), 0);
    assert_int_equal(tarn_list_insert_before(seg, list, l[5], l[0]), 0);
    assert_int_equal(tarn_list_insert_after(seg, list, l[6], l[4]), 0);
    assert_list(list, (long[]){5, 0, 1, 2, 3, 4, 6}, 7);
    assert_int_equal(tarn_list_remove(seg, list, l[5]), 0);
    assert_int_equal(tarn_list_remove(seg, list, l[6]), 0);
    assert_int_equal(tarn_list_remove(seg, list, l[2]), 0);
    assert_int_equal(tarn_list_remove(seg, list, l[2]), -ENOENT);
    assert_list(list, (long[]){0, 1, 3, 4}, 4);
    for (int i = 0; i < 5; i++)
        if (i != 2)
            assert_int_equal(tarn_list_remove(seg, list, l[i]), 0);
    assert_list(list, (long[]){0}, 0);
    /* places that cannot be */
    tarn_link outside = {0};
    tarn_list nowhere = {0};
    assert_int_equal(tarn_list_insert_first(seg, list, &outside), -EINVAL);
    assert_int_equal(tarn_list_insert_first(seg, &nowhere, l[0]), -EINVAL);
    assert_int_equal(tarn_list_insert_first(seg, list, (tarn_link *)(void *)((char *)l[0] + 4)), -EINVAL);
    assert_int_equal(tarn_list_insert_first(seg, list, &list->ends), -EINVAL);
    assert_int_equal(tarn_list_each(seg, &nowhere, 8, 32, see, NULL), -EINVAL);
    assert_int_equal(tarn_list_each(seg, list, 16, 32, see, NULL), -EINVAL);
    assert_int_equal(tarn_list_each(seg, list, 0, 16, see, NULL), -EINVAL);
    tarn *reader;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    tarn_list *there = (tarn_list *)((char *)tarn_base(reader) + ((char *)list - (char *)tarn_base(seg)));
    assert_int_equal(tarn_list_insert_first(reader, there, &there->ends), -EINVAL);
    assert_int_equal(
        tarn_list_remove(reader, there,
                         (tarn_link *)((char *)l[0] - (char *)tarn_base(seg) + (char *)tarn_base(reader))),
        -EROFS);
    assert_int_equal(tarn_close(reader), 0);
}

static int answer(void *at, void *arg)
{
    (void)at;
    return *(int *)arg;
}

/* What a callback says is returned; and an insertion undone does not lead a reader where the link led long ago. */
static void answers_and_undone_links(void **state)
{
    (void)state;
    tarn_list *list = &root->list;
    tarn_link *a = &member(0)->link, *b = &member(1)->link, *c = &member(2)->link;
    assert_int_equal(tarn_list_insert_last(seg, list, a), 0);
    assert_int_equal(tarn_list_insert_last(seg, list, b), 0);
    for (int n = -3; n <= 3; n++)
        assert_int_equal(
            tarn_list_each(seg, list, offsetof(struct member, link), sizeof(struct member), answer, &n), n);
    assert_int_equal(tarn_list_remove(seg, list, a), 0); /* a led to b */
    assert_int_equal(tarn_list_remove(seg, list, b), 0);
    assert_int_equal(tarn_list_insert_last(seg, list, c), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_list_insert_first(seg, list, a), 0);
    assert_ptr_equal(tarn_list_next(seg, a), c);
    assert_int_equal(tarn_abort(seg), 0);
    assert_ptr_equal(tarn_list_next(seg, a), c); /* and not b, which may be another object by now */
    assert_list(list, (long[]){2}, 1);
}

/* A member of one list, named with the other: refused, and both are as they were. */
static void other_lists(void **state)
{
    (void)state;
    tarn_list *list = &root->list, *other = &root->other;
    tarn_link *a = &member(0)->link, *b = &member(1)->link, *c = &member(2)->link;
    assert_int_equal(tarn_list_insert_last(seg, list, a), 0);
    assert_int_equal(tarn_list_insert_last(seg, other, b), 0);
    assert_int_equal(tarn_list_insert_after(seg, list, c, b), -EINVAL);
    assert_non_null(strstr(tarn_error(), "is in the list at"));
    assert_int_equal(tarn_list_insert_before(seg, list, c, b), -EINVAL);
    assert_int_equal(tarn_list_remove(seg, list, b), -EINVAL);
    assert_int_equal(tarn_list_remove(seg, other, a), -EINVAL);
    assert_int_equal(tarn_list_remove(seg, other, c), -ENOENT);
    assert_int_equal(tarn_list_insert_after(seg, list, c, &other->ends), -ENOENT);
    assert_list(list, (long[]){0}, 1);
    assert_list(other, (long[]){1}, 1);
    /* in a section that moves it, it is in the new one; undone, in the old one */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_list_remove(seg, list, a), 0);
    assert_int_equal(tarn_list_insert_last(seg, other, a), 0);
    assert_int_equal(tarn_list_remove(seg, list, a), -EINVAL);
    assert_int_equal(tarn_list_insert_after(seg, other, c, a), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_list_insert_after(seg, other, c, a), -EINVAL);
    assert_int_equal(tarn_list_insert_after(seg, list, c, a), 0);
    assert_list(list, (long[]){0, 2}, 2);
    assert_list(other, (long[]){1}, 1);
}

/* What is done while the second member is shown, and what the walk then comes to. */
struct doing {
    struct seen seen;
    void (*what)(void);
};
static int see_and_do(void *at, void *arg)
{
    struct doing *d = arg;
    see(at, &d->seen);
    if (d->seen.count == 2)
        d->what();
    return 0;
}
static void move_shown_to_the_end(void)
{
    assert_int_equal(tarn_list_remove(seg, &root->list, &member(1)->link), 0);
    assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(1)->link), 0);
}
static void move_next_to_the_front(void)
{
    assert_int_equal(tarn_list_remove(seg, &root->list, &member(2)->link), 0);
    assert_int_equal(tarn_list_insert_first(seg, &root->list, &member(2)->link), 0);
}
static void move_next_to_the_other(void)
{
    assert_int_equal(tarn_list_remove(seg, &root->list, &member(2)->link), 0);
    assert_int_equal(tarn_list_insert_first(seg, &root->other, &member(2)->link), 0);
}
static void move_and_undo(void)
{
    assert_int_equal(tarn_begin(seg), 0);
    move_next_to_the_front();
    assert_int_equal(tarn_abort(seg), 0);
}
static void take_out_shown_and_next(void)
{
    assert_int_equal(tarn_list_remove(seg, &root->list, &member(1)->link), 0);
    assert_int_equal(tarn_list_remove(seg, &root->list, &member(2)->link), 0);
}
static void put_in_a_fresh_one(void)
{
    assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(7)->link), 0);
}

static void walks_that_are_disturbed(void **state)
{
    (void)state;
    static const struct {
        void (*what)(void);
        int result, count;
        long value[6];
    } want[] = {
        {move_shown_to_the_end, -EAGAIN, 2, {0, 1}},   {move_next_to_the_front, -EAGAIN, 2, {0, 1}},
        {move_next_to_the_other, -EAGAIN, 2, {0, 1}},  {move_and_undo, -EAGAIN, 2, {0, 1}},
        {take_out_shown_and_next, 0, 4, {0, 1, 3, 4}}, {put_in_a_fresh_one, 0, 6, {0, 1, 2, 3, 4, 7}},
    };
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        struct doing d = {.what = want[k].what};
        for (int i = 0; i < 5; i++)
            assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(i)->link), 0);
        assert_int_equal(tarn_list_each(seg, &root->list, offsetof(struct member, link),
                                        sizeof(struct member), see_and_do, &d),
                         want[k].result);
        assert_int_equal(d.seen.count, want[k].count);
        assert_memory_equal(d.seen.value, want[k].value, sizeof(long) * (size_t)want[k].count);
        for (tarn_link *l; (l = tarn_list_first(seg, &root->list));)
            assert_int_equal(tarn_list_remove(seg, &root->list, l), 0);
        while (tarn_list_first(seg, &root->other))
            assert_int_equal(tarn_list_remove(seg, &root->other, tarn_list_first(seg, &root->other)), 0);
    }
}

/* L4: moves changes with whatever leads a reader astray, and with nothing else. */
static void moves_are_counted(void **state)
{
    (void)state;
    tarn_list *list = &root->list;
    tarn_link *a = &member(0)->link, *b = &member(1)->link;
    uint64_t moves = list->moves, inside;
    assert_int_equal(tarn_list_insert_last(seg, list, a), 0);
    assert_int_equal(tarn_list_insert_last(seg, list, b), 0);
    assert_int_equal(tarn_list_remove(seg, list, a), 0);
    assert_int_equal(list->moves, moves); /* made, put in, taken out */
    assert_int_equal(tarn_list_insert_last(seg, list, a), 0);
    assert_int_not_equal(list->moves, moves);
    /* a reader that begins inside a section sees that it is undone, though all the links are as they were */
    assert_int_equal(tarn_begin(seg), 0);
    moves = list->moves;
    assert_int_equal(tarn_list_remove(seg, list, a), 0);
    assert_int_equal(tarn_list_insert_first(seg, list, a), 0);
    inside = list->moves;
    assert_int_not_equal(inside, moves);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_not_equal(list->moves, inside);
    assert_int_not_equal(list->moves, moves);
    /* who was led into another list comes back by an undo */
    moves = list->moves;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_list_remove(seg, list, a), 0);
    assert_int_equal(tarn_list_insert_first(seg, &root->other, a), 0);
    assert_int_equal(list->moves, moves);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_not_equal(list->moves, moves);
    assert_list(list, (long[]){1, 0}, 2);
}

/* Beside an array, with sections that commit or are undone. */
static void random_walk(void **state)
{
    (void)state;
    long want[MOST], before[MOST];
    int n = 0, n_before = 0;
    unsigned seed = 5;
    bool open = false;
    for (int round = 0; round < (SANITIZED ? 4000 : 20000); round++) {
        int r = rand_r(&seed) % 100, i = rand_r(&seed) % MOST, at = -1;
        for (int k = 0; k < n; k++)
            if (want[k] == i)
                at = k;
        tarn_link *l = &member(i)->link;
        if (!open && r < 10) {
            assert_int_equal(tarn_begin(seg), 0);
            memcpy(before, want, sizeof want);
            n_before = n;
            open = true;
        } else if (open && r < 15) {
            assert_int_equal(tarn_commit(seg), 0);
            open = false;
        } else if (open && r < 20) {
            assert_int_equal(tarn_abort(seg), 0);
            memcpy(want, before, sizeof want);
            n = n_before;
            open = false;
            assert_list(&root->list, want, n);
        } else if (at >= 0) {
            assert_int_equal(tarn_list_insert_first(seg, &root->list, l), -EEXIST);
            assert_int_equal(tarn_list_remove(seg, &root->list, l), 0);
            memmove(want + at, want + at + 1, (size_t)(--n - at) * sizeof *want);
        } else {
            int to = n ? rand_r(&seed) % (n + 1) : 0, e;
            if (to == 0 && r % 2)
                e = tarn_list_insert_first(seg, &root->list, l);
            else if (to == n)
                e = tarn_list_insert_last(seg, &root->list, l);
            else if (to > 0 && r % 3)
                e = tarn_list_insert_after(seg, &root->list, l, &member((int)want[to - 1])->link);
            else
                e = tarn_list_insert_before(seg, &root->list, l, &member((int)want[to])->link);
            assert_int_equal(e, 0);
            memmove(want + to + 1, want + to, (size_t)(n++ - to) * sizeof *want);
            want[to] = i;
        }
        if (round % 16 == 0)
            assert_list(&root->list, want, n);
    }
    if (open)
        assert_int_equal(tarn_commit(seg), 0);
    assert_list(&root->list, want, n);
}

static int count(void *at, void *arg)
{
    (void)at;
    ((struct seen *)arg)->count++;
    return 0;
}

static void hostile(void **state)
{
    (void)state;
    unsigned seed = 9;
    tarn_ref ref;
    struct tarn_type type = {"tarn_list", sizeof(tarn_list), 0};
    void *list_at;
    assert_int_equal(tarn_find_or_make(seg, "a list", &type, &list_at), 0);
    assert_int_equal(tarn_find(seg, "a list", &type, &ref), 0);
    tarn_list *list = list_at;
    for (int i = 0; i < 20; i++)
        assert_int_equal(tarn_list_insert_last(seg, list, &member(i)->link), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    int reported = 0;
    alarm(300);
    for (int round = 0; round < 3000; round++) {
        int i = rand_r(&seed) % 21;
        uint64_t *word = i == 20 ? &list->ends.next : &member(i)->link.next, was;
        word += rand_r(&seed) % (i == 20 ? 2 : 3);
        was = *word;
        switch (rand_r(&seed) % 6) {
        case 0: *word = 0; break;
        case 1: *word = (uint64_t)rand_r(&seed) << 20 ^ (uint64_t)rand_r(&seed); break;
        case 2: *word = ref + offsetof(tarn_list, ends); break;
        case 3: *word ^= 1ull << rand_r(&seed) % 64; break;
        case 4: *word = tarn_ref_of(seg, &member(rand_r(&seed) % 20)->link); break; /* circles */
        default: *word = tarn_ref_of(seg, &root->other.ends) | 1; break;
        }
        reported += tarn_check(seg, NULL, NULL) > 0;
        struct seen s = {.count = -1000000};
        for (tarn_link *l = tarn_list_first(seg, list); l && s.count++ < -999000; l = tarn_list_next(seg, l))
            ;
        struct tarn_walk w = tarn_walk_of(seg);
        for (tarn_link *l = tarn_list_last(seg, list); l && s.count++ < -998000; l = tarn_walk_next(&w, l))
            ;
        struct seen shown = {.count = 0}; /* bounded: room for 1000 members would not do for a circle's */
        int each = tarn_list_each(seg, list, offsetof(struct member, link), sizeof(struct member), count, &shown);
        assert_true(each == 0 || each == -EUCLEAN || each == -EAGAIN);
        assert_true((uint64_t)shown.count <= committed_of(seg) / sizeof(struct member) + 1);
        int e = tarn_list_remove(seg, list, &member(i % 20)->link);
        if (e == 0) {
            e = i % 20 ? tarn_list_insert_after(seg, list, &member(i % 20)->link, &member(i % 20 - 1)->link)
                       : tarn_list_insert_first(seg, list, &member(i % 20)->link);
        }
        assert_true(e == 0 || e == -EUCLEAN || e == -ENOENT || e == -EEXIST || e == -EINVAL);
        *word = was;
        /* as it was: all links made anew */
        for (int k = 0; k < 20; k++) {
            member(k)->link.previous = tarn_ref_of(seg, k ? &member(k - 1)->link : &list->ends) | (k ? 0 : 1);
            member(k)->link.next =
                tarn_ref_of(seg, k < 19 ? &member(k + 1)->link : &list->ends) | (k < 19 ? 0 : 1);
            member(k)->link.list = ref;
        }
        list->ends.next = tarn_ref_of(seg, &member(0)->link);
        list->ends.previous = tarn_ref_of(seg, &member(19)->link);
    }
    assert_true(reported > 1000);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
}

/* ---- several processes ---- */

/* Moves members between two lists, in one section each, until it is killed. */
static void move_for_ever(unsigned seed)
{
    tarn *mine;
    struct root *r;
    check(tarn_open_fd(tarn_fd(seg), 0, &mine) == 0 && tarn_object(mine, "root", struct root, &r) == 0);
    for (;;) {
        struct member *m = tarn_ptr(mine, r->member[rand_r(&seed) % MOST], sizeof *m);
        tarn_list *from = rand_r(&seed) % 2 ? &r->list : &r->other, *to = from == &r->list ? &r->other : &r->list;
        check(tarn_begin(mine) == 0);
        int e = tarn_mutex_lock(mine, &r->list.lock), f = e < 0 ? e : tarn_mutex_lock(mine, &r->other.lock);
        if (f >= 0) {
            tarn_mutex_unlock(mine, &r->list.lock);
            tarn_mutex_unlock(mine, &r->other.lock);
            /* which list it is in is told by its mark, that changes with it */
            if (m->again == (from == &r->list ? m->value : -m->value - 1)) {
                check(tarn_list_remove(mine, from, &m->link) == 0);
                check((rand_r(&seed) % 2 ? tarn_list_insert_first : tarn_list_insert_last)(mine, to, &m->link) == 0);
                check(tarn_save(mine, &m->again, sizeof m->again) == 0);
                m->again = -m->again - 1;
            }
            check(tarn_commit(mine) == 0);
        } else {
            check(f == -EDEADLK);
            check(tarn_abort(mine) == 0);
            /* what was taken in the section stays held after an abort */
            tarn_mutex_unlock(mine, &r->list.lock);
            tarn_mutex_unlock(mine, &r->other.lock);
        }
    }
}

static int in_range(void *at, void *arg)
{
    struct member *m = at;
    ++*(int *)arg;
    return m->value >= 0 && m->value < MOST && (m->again == m->value || m->again == -m->value - 1) ? 0 : 77;
}

static void killed_and_read_meanwhile(void **state)
{
    (void)state;
    unsigned seed = 3;
    tarn *reader;
    struct root *r;
    for (int i = 0; i < MOST; i++)
        assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(i)->link), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "root", struct root, &r), 0);
    for (int round = 0; round < (SANITIZED ? 6 : 15); round++) {
        pid_t child[2];
        int status, total = 0, n;
        for (int k = 0; k < 2; k++)
            if ((child[k] = fork_child()) == 0) {
                move_for_ever((unsigned)round * 2 + (unsigned)k);
                _exit(9);
            }
        for (int k = 0; k < 20; k++) { /* what is seen are members, whole ones, or the news that they were moved */
            struct timespec moment = {0, 1000 * (1 + rand_r(&seed) % 100)};
            n = 0;
            int e = tarn_list_each(k % 2 ? seg : reader, k % 2 ? &root->list : &r->list,
                                   offsetof(struct member, link), sizeof(struct member), in_range, &n);
            assert_true(e == 0 || e == -EAGAIN);
            nanosleep(&moment, NULL);
        }
        for (int k = 0; k < 2; k++) {
            assert_int_equal(kill(child[k], SIGKILL), 0);
            assert_int_equal(waitpid(child[k], &status, 0), child[k]);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        assert_true(tarn_recover(seg) >= 0);
        for (int k = 0; k < 2; k++) { /* each is in one of the two, the one that its mark says */
            struct seen s = {.count = 0};
            tarn_list *list = k ? &root->other : &root->list;
            for (tarn_link *l = tarn_list_first(seg, list); l; l = tarn_list_next(seg, l)) {
                struct member *m = TARN_MEMBER(l, struct member, link);
                assert_int_equal(m->again, k ? -m->value - 1 : m->value);
                s.count++;
            }
            total += s.count;
            n = 0;
            for (tarn_link *l = tarn_list_last(seg, list); l; l = tarn_list_previous(seg, l))
                n++;
            assert_int_equal(n, s.count);
        }
        assert_int_equal(total, MOST);
    }
    assert_int_equal(tarn_close(reader), 0);
}

/* Two processes put their own members to and fro in one list, with no other lock than the list's. */
static void two_at_one_list(void **state)
{
    (void)state;
    pid_t child[2];
    int status, n = 0;
    for (int i = 0; i < MOST; i++)
        assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(i)->link), 0);
    for (int k = 0; k < 2; k++)
        if ((child[k] = fork_child()) == 0) {
            unsigned seed = 77 + (unsigned)k;
            for (int round = 0; round < 20000; round++) {
                tarn_link *l = &((struct member *)tarn_ptr(seg, root->member[rand_r(&seed) % (MOST / 2) * 2 + k],
                                                           sizeof(struct member)))
                                    ->link;
                check(tarn_list_remove(seg, &root->list, l) == 0);
                check((round % 2 ? tarn_list_insert_first : tarn_list_insert_last)(seg, &root->list, l) == 0);
            }
            _exit(0);
        }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(waitpid(child[k], &status, 0), child[k]);
        assert_int_equal(status, 0);
    }
    for (tarn_link *l = tarn_list_first(seg, &root->list); l; l = tarn_list_next(seg, l), n++)
        assert_true(n < MOST);
    for (tarn_link *l = tarn_list_last(seg, &root->list); l; l = tarn_list_previous(seg, l), n--)
        assert_true(n > 0);
    assert_int_equal(n, 0);
}

/* A reader without a lock never meets an end before the last member, which stays, while others come and go in front of it. */
static void readers_reach_the_end(void **state)
{
    (void)state;
    int status;
    assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(0)->link), 0);
    root->counter = 0;
    pid_t child = fork_child();
    if (child == 0) {
        unsigned seed = 1;
        while (!__atomic_load_n(&root->counter, __ATOMIC_ACQUIRE)) { /* fresh ones: an old link still leads to where it was */
            tarn_ref ref;
            check(tarn_begin(seg) == 0 && tarn_alloc(seg, sizeof(struct member), &ref) == 0);
            tarn_link *l = &((struct member *)tarn_ptr(seg, ref, sizeof(struct member)))->link;
            check(tarn_list_insert_first(seg, &root->list, l) == 0);
            if (rand_r(&seed) % 4 == 0) {
                check(tarn_abort(seg) == 0);
                continue;
            }
            check(tarn_commit(seg) == 0);
            check(tarn_begin(seg) == 0 && tarn_list_remove(seg, &root->list, l) == 0);
            check(tarn_retire(seg, ref) == 0 && tarn_commit(seg) == 0);
        }
        _exit(0);
    }
    for (int walks = 0; walks < (SANITIZED ? 300000 : 3000000); walks++) {
        tarn_link *l, *last = NULL;
        int n = 0;
        assert_int_equal(tarn_read_begin(seg), 0);
        for (l = tarn_list_first(seg, &root->list); l && n < 100; l = tarn_list_next(seg, l), n++)
            last = l;
        assert_int_equal(tarn_read_end(seg), 0);
        if (last != &member(0)->link)
            fail_msg("a walk of %d members ended before the last one", n);
    }
    __atomic_store_n(&root->counter, 1, __ATOMIC_RELEASE);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Members with an odd number are moved to and fro in the list, by sections some of which are undone; those with an even one stay. */
static void move_within(unsigned seed, int which)
{
    tarn *mine;
    struct root *r;
    check(tarn_open_fd(tarn_fd(seg), 0, &mine) == 0 && tarn_object(mine, "root", struct root, &r) == 0);
    for (unsigned n = 0;; n++) {
        int i = (int)(rand_r(&seed) % (MOST / 4)) * 4 + which;
        tarn_link *l = &((struct member *)tarn_ptr(mine, r->member[i], sizeof(struct member)))->link,
                  *at = &((struct member *)tarn_ptr(mine, r->member[rand_r(&seed) % (MOST / 2) * 2],
                                                    sizeof(struct member)))
                             ->link;
        check(tarn_begin(mine) == 0 && tarn_list_remove(mine, &r->list, l) == 0);
        check((rand_r(&seed) % 2 ? tarn_list_insert_after : tarn_list_insert_before)(mine, &r->list, l, at) == 0);
        check((rand_r(&seed) % 2 ? tarn_abort : tarn_commit)(mine) == 0);
        tarn_mutex_unlock(mine, &r->list.lock);
        if (rand_r(&seed) % 8 == 0)
            for (volatile int wait = 0; wait < 30000; wait++)
                ; /* a gap in which a walk may come through */
    }
}

/* Every walk that says 0 has seen each member that stays, in order, and none twice. Two processes that move, and are killed, and a reader of each kind. */
static void moved_while_walked(void **state)
{
    (void)state;
    tarn *reader;
    struct root *r;
    long good[2] = {0}, again[2] = {0}, torn = 0;
    for (int i = 0; i < MOST; i++)
        assert_int_equal(tarn_list_insert_last(seg, &root->list, &member(i)->link), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "root", struct root, &r), 0);
    for (int round = 0; round < 6; round++) {
        pid_t child[2];
        for (int k = 0; k < 2; k++)
            if ((child[k] = fork_child()) == 0) {
                move_within((unsigned)round * 2 + (unsigned)k, 1 + 2 * k);
                _exit(9);
            }
        for (int walks = 0; walks < (SANITIZED ? 3000 : 30000); walks++) {
            int k = walks % 16 == 0, seen_once[MOST] = {0}, stay = 0;
            struct seen s = {.count = 0};
            int e = tarn_list_each(k ? reader : seg, k ? &r->list : &root->list,
                                   offsetof(struct member, link), sizeof(struct member), see, &s);
            assert_true(e == 0 || e == -EAGAIN);
            e ? again[k]++ : good[k]++;
            for (int i = 0; i < s.count; i++) { /* also as far as it came */
                torn += s.value[i] < 0 || seen_once[s.value[i]]++;
                if (s.value[i] % 2 == 0)
                    torn += s.value[i] != 2 * stay++;
            }
            torn += e == 0 && stay != MOST / 2;
        }
        for (int k = 0; k < 2; k++) {
            assert_int_equal(kill(child[k], SIGKILL), 0);
            assert_int_equal(waitpid(child[k], NULL, 0), child[k]);
        }
        assert_true(tarn_recover(seg) >= 0);
    }
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(torn, 0);
    assert_true(good[0] > 0 && again[0] > 0 && good[1] > 0); /* else nothing was tried */
}

/* Two processes, each with a list of its own, ask for what is in the other's, too: each is refused, and both lists stay whole. */
static void two_that_mistake_the_list(void **state)
{
    (void)state;
    pid_t child[2];
    int status, n = 0;
    for (int i = 0; i < MOST; i++)
        assert_int_equal(tarn_list_insert_last(seg, i % 2 ? &root->other : &root->list, &member(i)->link), 0);
    for (int k = 0; k < 2; k++)
        if ((child[k] = fork_child()) == 0) {
            unsigned seed = 99 + (unsigned)k;
            tarn_list *mine = k ? &root->other : &root->list;
            for (int round = 0; round < (SANITIZED ? 5000 : 50000); round++) {
                tarn_link *l = &member(rand_r(&seed) % (MOST / 2) * 2 + k)->link,
                          *theirs = &member(rand_r(&seed) % (MOST / 2) * 2 + !k)->link;
                int e = tarn_list_remove(seg, mine, theirs);
                check(e == -EINVAL || e == -ENOENT); /* the other has it out just now */
                check(tarn_list_remove(seg, mine, l) == 0);
                e = (round % 2 ? tarn_list_insert_after : tarn_list_insert_before)(seg, mine, l, theirs);
                check(e == -EINVAL || e == -ENOENT);
                check(tarn_list_insert_last(seg, mine, l) == 0);
            }
            _exit(0);
        }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(waitpid(child[k], &status, 0), child[k]);
        assert_int_equal(status, 0);
    }
    for (int k = 0; k < 2; k++) {
        tarn_list *list = k ? &root->other : &root->list;
        for (tarn_link *l = tarn_list_first(seg, list); l; l = tarn_list_next(seg, l), n++)
            assert_true(n < MOST && TARN_MEMBER(l, struct member, link)->value % 2 == k);
        for (tarn_link *l = tarn_list_last(seg, list); l; l = tarn_list_previous(seg, l), n--)
            assert_true(n > 0);
        assert_int_equal(n, 0);
    }
}

/* A named list, whose holder is stopped anywhere in a change, or dead and not recovered, is not called damaged; but what is wrong is, all the same. */
static void checked_in_the_midst(void **state)
{
    (void)state;
    struct tarn_type type = {"tarn_list", sizeof(tarn_list), 0};
    void *at;
    int held = 0, status;
    assert_int_equal(tarn_find_or_make(seg, "a list", &type, &at), 0);
    tarn_list *list = at;
    for (int i = 0; i < 8; i++)
        assert_int_equal(tarn_list_insert_last(seg, list, &member(i)->link), 0);
    for (int round = 0; round < (SANITIZED ? 100 : 400); round++) {
        pid_t child = fork_child();
        if (child == 0)
            for (unsigned seed = (unsigned)round;;) {
                tarn_link *l = &member(rand_r(&seed) % 8)->link;
                check(tarn_begin(seg) == 0 && tarn_list_remove(seg, list, l) == 0);
                check((rand_r(&seed) % 2 ? tarn_list_insert_first : tarn_list_insert_last)(seg, list, l) == 0);
                check((rand_r(&seed) % 2 ? tarn_abort : tarn_commit)(seg) == 0);
                tarn_mutex_unlock(seg, &list->lock);
            }
        struct timespec moment = {0, 200000 + 1000 * (round % 100)};
        while (!__atomic_load_n(&list->lock.owner, __ATOMIC_RELAXED)) /* it has not begun */
            assert_int_equal(waitpid(child, &status, WNOHANG), 0);
        nanosleep(&moment, NULL);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* at work */
        assert_int_equal(kill(child, SIGSTOP), 0);
        assert_int_equal(waitpid(child, &status, WUNTRACED), child);
        assert_true(WIFSTOPPED(status));
        held += list->lock.owner != 0;
        assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* stopped */
        uint64_t was = list->ends.next;
        list->ends.next = tarn_ref_of(seg, &root->other.ends) | 1;
        assert_true(tarn_check(seg, NULL, NULL) > 0); /* held or not: next is always whole */
        list->ends.next = was;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* dead */
        assert_true(tarn_recover(seg) >= 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    }
    assert_true(held > 10);
    /* half-way in a removal, while its section is open: the link's previous neighbour leads past it, its next one does not lead back yet */
    for (int killed = 0; killed < 2; killed++) {
        tarn_link *a = tarn_list_first(seg, list), *b = tarn_list_next(seg, a), *c = tarn_list_next(seg, b);
        pid_t child = fork_child();
        if (child == 0) {
            check(tarn_begin(seg) == 0 && tarn_list_remove(seg, list, b) == 0);
            b->list = tarn_ref_of(seg, list);
            b->previous = tarn_ref_of(seg, a);
            c->previous = tarn_ref_of(seg, b);
            raise(SIGSTOP);
            _exit(9);
        }
        assert_int_equal(waitpid(child, &status, WUNTRACED), child);
        assert_true(WIFSTOPPED(status));
        assert_ptr_equal(tarn_list_next(seg, a), c);
        assert_ptr_equal(tarn_list_previous(seg, c), b);
        if (killed) {
            assert_int_equal(kill(child, SIGKILL), 0);
            assert_int_equal(waitpid(child, &status, 0), child);
        }
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        if (!killed) {
            assert_int_equal(kill(child, SIGKILL), 0);
            assert_int_equal(waitpid(child, &status, 0), child);
        }
        assert_int_equal(tarn_recover(seg), 1);
        assert_ptr_equal(tarn_list_next(seg, a), b);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    }
    /* with nobody there, both directions count, and so does the owner's word */
    member(3)->link.previous ^= 64;
    assert_int_equal(tarn_check(seg, NULL, NULL), 1);
    member(3)->link.previous ^= 64;
    member(3)->link.list ^= 64;
    assert_int_equal(tarn_check(seg, NULL, NULL), 1);
    member(3)->link.list ^= 64;
    list->lock.owner = 0x7ff0fff0;
    assert_int_equal(tarn_check(seg, NULL, NULL), 1);
    member(3)->link.previous ^= 64; /* and such a word is no excuse */
    assert_int_equal(tarn_check(seg, NULL, NULL), 2);
    member(3)->link.previous ^= 64;
    list->lock.owner = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_lists, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(moves_are_counted, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(walks_that_are_disturbed, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(moved_while_walked, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(two_that_mistake_the_list, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(checked_in_the_midst, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(two_at_one_list, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(readers_reach_the_end, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(each_call, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(answers_and_undone_links, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_walk, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(killed_and_read_meanwhile, open_segment, close_segment),
    };
    check_pause_ns = 0; /* nobody changes anything while it is checked */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

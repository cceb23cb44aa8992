/* test_section.c - sections by their public contract, in one process: what commits, what is undone, nesting, errors, limits; and a long
 * random walk against a private copy. Who dies with a section open is a thread that ends. */
#include "helper.h"
#include "arena.h"

static tarn *seg;
static struct arena *a;
static struct tarn_options options;

static int set_up(void **state)
{
    (void)state;
    alarm(60);
    options = tiny(8);
    a = arena_open("anon:", &options, &seg);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    assert_true(at_rest());
    int e = tarn_close(seg);
    if (e)
        print_error("close: %d: %s\n", e, tarn_error());
    alarm(0);
    return e;
}

static void *try_it(void *lock)
{
    long e = tarn_mutex_try(seg, lock);
    if (e >= 0)
        check(tarn_mutex_unlock(seg, lock) == 0);
    return (void *)e;
}
static long other_tries(tarn_mutex *m)
{
    return in_thread(try_it, m);
}

/* Save, then change. */
static void set(uint64_t *word, uint64_t to)
{
    assert_int_equal(tarn_save(seg, word, sizeof *word), 0);
    *word = to;
}

/* ---- commit, abort, nest ---- */

static void commits_and_aborts(void **state)
{
    (void)state;
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 1);
    set(&a->word[1], 2);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(a->word[0], 1);
    assert_int_equal(a->word[1], 2);
    assert_int_equal(tarn_begin(seg), 0);
    for (uint64_t i = 0; i < 5; i++) /* of several saves of one word, the oldest counts */
        set(&a->word[0], 10 + i);
    set(&a->word[1], 3);
    set(&a->word[0], 20);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 1);
    assert_int_equal(a->word[1], 2);
    assert_int_equal(tarn_begin(seg), 0);
    a->word[2] = 7; /* not saved first: not undone */
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[2], 7);
    assert_int_equal(tarn_begin(seg), 0); /* nothing done */
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(stat_of(seg).undone, 0); /* an abort is no death */
}

static void bytes_are_saved_in_whole_words(void **state)
{
    (void)state;
    unsigned char *b = (unsigned char *)a->word, old[128];
    for (size_t i = 0; i < sizeof old; i++)
        b[i] = old[i] = (unsigned char)(i * 7);
    for (size_t from = 0; from < 24; from++)
        for (size_t size = 1; size < 40; size++) {
            assert_int_equal(tarn_begin(seg), 0);
            assert_int_equal(tarn_save(seg, b + from, size), 0);
            memset(b + from / 8 * 8, 0xee, (from + size + 7) / 8 * 8 - from / 8 * 8);
            assert_int_equal(tarn_abort(seg), 0);
            assert_memory_equal(b, old, sizeof old);
            assert_int_equal(tarn_begin(seg), 0);
            assert_int_equal(tarn_write(seg, b + from, old + sizeof old - size, size), 0);
            assert_memory_equal(b, old, from);
            assert_memory_equal(b + from, old + sizeof old - size, size);
            assert_memory_equal(b + from + size, old + from + size, sizeof old - from - size);
            assert_int_equal(tarn_abort(seg), 0);
            assert_memory_equal(b, old, sizeof old);
        }
}

static void only_the_outermost_commits(void **state)
{
    (void)state;
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 1);
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[1], 1);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_close(seg), -EBUSY); /* still open */
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 0);
    assert_int_equal(a->word[1], 0); /* the inner commit committed nothing */
    for (int i = 0; i < 10000; i++)
        assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 5);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_commit(seg), -EPERM);
    assert_int_equal(a->word[0], 5);
}

static void an_inner_abort_dooms(void **state)
{
    (void)state;
    uint64_t before = stat_of(seg).allocated;
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 1);
    assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[1], 1);
    tarn_ref ref;
    assert_int_equal(tarn_alloc(seg, 100, &ref), 0);
    assert_int_equal(tarn_abort(seg), 0);
    int inner = tarn_commit(seg); /* an inner one commits nothing anyway */
    assert_true(inner == 0 || inner == -ECANCELED);
    (void)!tarn_save(seg, &a->word[2], 8); /* allowed or refused: what comes is undone */
    assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
    assert_int_equal(other_tries(&a->lock[0]), -EBUSY);
    assert_int_equal(tarn_commit(seg), -ECANCELED);
    assert_int_equal(a->word[0], 0);
    assert_int_equal(a->word[1], 0);
    assert_int_equal(other_tries(&a->lock[0]), 0); /* put-off unlocks take effect all the same */
    assert_int_equal(stat_of(seg).allocated, before);
    assert_int_equal(tarn_commit(seg), -EPERM); /* it is over */
    assert_int_equal(tarn_begin(seg), 0);       /* and the next is not doomed */
    set(&a->word[0], 3);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(a->word[0], 3);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 4);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 3);
    assert_int_equal(tarn_abort(seg), -EPERM);
}

/* ---- what is not permitted ---- */

static void only_in_a_section(void **state)
{
    (void)state;
    tarn_ref ref = 77;
    uint64_t one = 1;
    for (int part = 0; part < 2; part++) {
        assert_int_equal(tarn_save(seg, &a->word[0], 8), -EPERM);
        assert_true(tarn_error()[0]);
        assert_int_equal(tarn_write(seg, &a->word[0], &one, 8), -EPERM);
        assert_int_equal(tarn_commit(seg), -EPERM);
        assert_says("section");
        assert_int_equal(tarn_abort(seg), -EPERM);
        assert_int_equal(tarn_alloc(seg, 16, &ref), -EPERM);
        assert_says("section");
        assert_int_equal(tarn_free(seg, tarn_ref_of(seg, a)), -EPERM);
        assert_int_equal(tarn_retire(seg, tarn_ref_of(seg, a)), -EPERM);
        assert_int_equal(a->word[0], 0);
        assert_int_equal(ref, 77);                    /* untouched on failure */
        assert_int_equal(tarn_thread_attach(seg), 0); /* taking part makes no difference */
    }
}

static void *ends_it(void *arg)
{
    (void)arg;
    check(tarn_commit(seg) == -EPERM);
    check(tarn_abort(seg) == -EPERM);
    check(tarn_save(seg, &a->word[3], 8) == -EPERM);
    return NULL;
}
static void a_section_is_its_threads(void **state)
{
    (void)state;
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 1);
    in_thread(ends_it, NULL);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 0);
}

static void places_are_judged(void **state)
{
    (void)state;
    uint64_t on_stack = 5;
    struct tarn_stat s = stat_of(seg);
    char *first = (char *)a - tarn_ref_of(seg, a);
    uint64_t last = tarn_ref_of(seg, a) / 4096 * 4096; /* a page with something behind it that is not there */
    while (tarn_ptr(seg, last, 4096))
        last += 4096;
    const struct {
        void *address;
        size_t size;
    } bad[] = {{&on_stack, 8},
               {NULL, 8},
               {first + last, 8},
               {first + last - 8, 16},
               {first + last - 1, 2},
               {&a->word[0], SIZE_MAX},
               {&a->word[0], SIZE_MAX - 7},
               {&a->word[0], (size_t)s.limit * 2},
               {first + s.limit * 4, 8},
               {first - 8, 8},
               {first - 8, 16},
               {first - 8, SIZE_MAX},
               {(void *)~(uintptr_t)0, 1},
               {(void *)~(uintptr_t)7, 8}};
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int e = tarn_save(seg, bad[i].address, bad[i].size);
        if (e != -EINVAL)
            fail_msg("bad place %zu: %d", i, e);
        e = tarn_write(seg, bad[i].address, &on_stack, bad[i].size);
        if (e != -EINVAL)
            fail_msg("bad place %zu: write: %d", i, e);
    }
    int none = tarn_save(seg, &a->word[1], 0); /* nothing to save: allowed or refused, but harmless */
    assert_true(none == 0 || none == -EINVAL);
    assert_int_equal(tarn_save(seg, first + last - 8, 8), 0); /* the very last word is one */
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 0);
    assert_int_equal(on_stack, 5);
}

static int count_name(const struct tarn_name *n, void *count)
{
    (void)n;
    ++*(int *)count;
    return 0;
}
static void names_do_not_change(void **state)
{
    (void)state;
    struct tarn_type type = TARN_TYPE(struct arena), other = TARN_TYPE(uint64_t);
    tarn_ref ref;
    void *address = &ref;
    int names = 0;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 8, &ref), 0);
    assert_int_equal(tarn_bind(seg, "new", &other, ref), -EPERM);
    assert_says("section");
    assert_int_equal(tarn_find_or_make(seg, "newer", &other, &address), -EPERM);
    assert_ptr_equal(address, &ref);
    assert_int_equal(tarn_unbind(seg, "arena", 0), -EPERM);
    assert_int_equal(tarn_unbind(seg, "arena", 1), -EPERM);
    assert_int_equal(tarn_find(seg, "arena", &type, &ref), 0); /* finding is not changing */
    assert_int_equal(ref, tarn_ref_of(seg, a));
    set(&a->word[0], 1);
    assert_int_equal(tarn_commit(seg), 0); /* the refusals doomed nothing */
    assert_int_equal(a->word[0], 1);
    assert_int_equal(tarn_names(seg, count_name, &names), 0);
    assert_int_equal(names, 1);
}

static void who_is_in_one_does_not_leave(void **state)
{
    (void)state;
    assert_int_equal(tarn_begin(seg), 0);
    set(&a->word[0], 1);
    assert_int_equal(tarn_thread_detach(seg), -EBUSY);
    assert_says("section");
    assert_int_equal(tarn_close(seg), -EBUSY);
    assert_says("section");
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->word[0], 0);
    assert_int_equal(tarn_thread_detach(seg), 0);
    assert_int_equal(tarn_commit(seg), -EPERM);
}

/* ---- locks ---- */

static void unlocks_are_put_off(void **state)
{
    (void)state;
    tarn_mutex *m = a->lock;
    for (int commit = 0; commit < 2; commit++) {
        assert_int_equal(tarn_mutex_lock(seg, &m[0]), 0); /* before the section */
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_mutex_lock(seg, &m[1]), 0);
        assert_int_equal(tarn_mutex_lock(seg, &m[2]), 0);
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &m[0]), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &m[1]), 0);
        assert_int_equal(tarn_mutex_unlock(seg, &m[1]), -EPERM); /* twice is once too many */
        assert_int_equal(tarn_commit(seg), 0);                   /* the inner end is none */
        assert_int_equal(other_tries(&m[0]), -EBUSY);
        assert_int_equal(other_tries(&m[1]), -EBUSY);
        assert_int_equal(commit ? tarn_commit(seg) : tarn_abort(seg), 0);
        assert_int_equal(other_tries(&m[0]), 0);
        assert_int_equal(other_tries(&m[1]), 0);
        assert_int_equal(other_tries(&m[2]), -EBUSY); /* not unlocked: stays held */
        assert_int_equal(tarn_mutex_unlock(seg, &m[1]), -EPERM);
        assert_int_equal(tarn_mutex_unlock(seg, &m[2]), 0);
        assert_int_equal(other_tries(&m[2]), 0);
    }
}

static void a_put_off_lock_may_be_taken_again(void **state)
{
    (void)state;
    tarn_mutex *m = a->lock;
    struct timespec later = from_now(60000);
    for (int how = 0; how < 6; how++) {
        if (how % 2)
            assert_int_equal(tarn_mutex_lock(seg, m), 0);
        assert_int_equal(tarn_begin(seg), 0);
        if (how % 2 == 0)
            assert_int_equal(tarn_mutex_lock(seg, m), 0);
        for (int again = 0; again < 3; again++) {
            assert_int_equal(tarn_mutex_unlock(seg, m), 0);
            assert_int_equal(how < 2   ? tarn_mutex_lock(seg, m)
                             : how < 4 ? tarn_mutex_try(seg, m)
                                       : tarn_mutex_timed(seg, m, &later),
                             0);
            assert_int_equal(tarn_mutex_lock(seg, m), -EDEADLK); /* it is held now */
        }
        assert_int_equal(tarn_commit(seg), 0);
        assert_int_equal(other_tries(m), -EBUSY); /* the last word was lock */
        assert_int_equal(tarn_mutex_unlock(seg, m), 0);
        assert_int_equal(tarn_mutex_unlock(seg, m), -EPERM);
        assert_int_equal(other_tries(m), 0);
    }
}

/* ---- memory ---- */

static void memory_comes_and_goes_with_it(void **state)
{
    (void)state;
    uint64_t before = stat_of(seg).allocated;
    tarn_ref kept, ref;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 0, &ref), -EINVAL);
    assert_int_equal(tarn_alloc(seg, SIZE_MAX, &ref), -EINVAL);
    assert_int_equal(tarn_alloc(seg, 1 << 20, &ref), -EINVAL); /* beyond the limit of this segment */
    assert_int_equal(tarn_alloc(seg, 100, &kept), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_in_range(tarn_block_size(seg, kept), 100, 128);
    memset(tarn_ptr(seg, kept, 100), 0xab, 100);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 200, &ref), 0);
    assert_int_equal(tarn_free(seg, kept), 0);
    assert_int_equal(tarn_free(seg, kept), -EINVAL); /* twice */
    assert_int_equal(tarn_retire(seg, kept), -EINVAL);
    assert_int_equal(tarn_alloc_into(seg, &a->ref[0], 300), 0);
    assert_int_equal(tarn_alloc_into(seg, &a->ref[0], 300), -EEXIST);
    assert_int_not_equal(a->ref[0], 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(a->ref[0], 0);
    assert_int_equal(tarn_block_size(seg, ref), 0);
    assert_in_range(tarn_block_size(seg, kept), 100, 128);
    for (int i = 0; i < 100; i++)
        assert_int_equal(((unsigned char *)tarn_ptr(seg, kept, 100))[i], 0xab);
    assert_int_equal(tarn_begin(seg), 0); /* made and freed in one */
    assert_int_equal(tarn_alloc(seg, 50, &ref), 0);
    assert_int_equal(tarn_free(seg, ref), 0);
    assert_int_equal(tarn_alloc_into(seg, &a->ref[0], 300), 0);
    assert_int_equal(tarn_free_from(seg, &a->ref[0]), 0);
    assert_int_equal(tarn_free(seg, kept), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(a->ref[0], 0);
    assert_int_equal(tarn_block_size(seg, ref), 0);
    assert_int_equal(tarn_block_size(seg, kept), 0);
    assert_int_equal(stat_of(seg).allocated, before);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_free(seg, kept), -EINVAL);
    assert_int_equal(tarn_free(seg, 0), -EINVAL);
    assert_int_equal(tarn_free(seg, tarn_ref_of(seg, &a->word[3])), -EINVAL); /* within a block is none */
    assert_int_equal(tarn_free(seg, ~0ull), -EINVAL);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
}

/* More than the log is read for: each section has its own set of what it freed. */
static void many_are_freed_once(void **state)
{
    (void)state;
    enum { MANY = 40 };
    tarn_ref block[MANY];
    for (int round = 0; round < 3; round++) {
        assert_int_equal(tarn_begin(seg), 0);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(tarn_alloc(seg, 64, &block[i]), 0);
        assert_int_equal(tarn_commit(seg), 0);
        assert_int_equal(tarn_begin(seg), 0);
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(tarn_free(seg, block[i]), 0);
            for (int k = 0; k <= i; k++)
                assert_int_equal(tarn_free(seg, block[k]), -EINVAL);
        }
        assert_int_equal(tarn_commit(seg), 0);
    }
}

static void the_log_grows(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < WORDS; i++)
        a->word[i] = i;
    for (int commit = 0; commit < 2; commit++) {
        assert_int_equal(tarn_begin(seg), 0);
        for (uint64_t round = 0; round < 5; round++)
            for (uint64_t i = 0; i < WORDS; i++)
                set(&a->word[i], i + round + 1);
        assert_int_equal(commit ? tarn_commit(seg) : tarn_abort(seg), 0);
        for (uint64_t i = 0; i < WORDS; i++)
            assert_int_equal(a->word[i], commit ? i + 5 : i);
    }
    assert_int_equal(tarn_begin(seg), 0); /* one save that is longer than any piece of the log */
    assert_int_equal(tarn_save(seg, a->word, sizeof a->word), 0);
    memset(a->word, 0xff, sizeof a->word);
    assert_int_equal(tarn_abort(seg), 0);
    for (uint64_t i = 0; i < WORDS; i++)
        assert_int_equal(a->word[i], i + 5);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
}

static void a_full_log_can_still_abort(void **state)
{
    (void)state;
    uint64_t new[WORDS];
    unsigned n = 0;
    int e = 0;
    for (uint64_t i = 0; i < WORDS; i++)
        a->word[i] = i, new[i] = ~i;
    fill(seg, a);
    assert_int_equal(tarn_begin(seg), 0);
    while (n < WORDS && (e = tarn_write(seg, &a->word[n], &new[n], 8)) == 0)
        n++;
    assert_int_equal(e, -ENOSPC);
    assert_true(tarn_error()[0]);
    assert_in_range(n, 4, WORDS - 1);
    assert_int_equal(a->word[n], n); /* nothing written */
    assert_int_equal(tarn_save(seg, &a->word[n], 8), -ENOSPC);
    assert_int_equal(tarn_write(seg, a->word, new, sizeof new), -ENOSPC); /* not half of it either */
    for (uint64_t i = 0; i < WORDS; i++)
        assert_int_equal(a->word[i], i < n ? ~i : i);
    tarn_ref ref = 77;
    int alloc = tarn_alloc(seg, 16, &ref);
    assert_int_equal(alloc, -ENOSPC);
    assert_int_equal(ref, 77);
    assert_int_equal(tarn_abort(seg), 0);
    for (uint64_t i = 0; i < WORDS; i++)
        assert_int_equal(a->word[i], i);
    assert_int_equal(tarn_begin(seg), 0); /* or commit what there was room for */
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(tarn_write(seg, &a->word[i], &new[i], 8), 0);
    assert_int_equal(tarn_write(seg, &a->word[n], &new[n], 8), -ENOSPC);
    assert_int_equal(tarn_commit(seg), 0);
    for (uint64_t i = 0; i < WORDS; i++)
        assert_int_equal(a->word[i], i < n ? ~i : i);
    empty(seg, a);
    assert_int_equal(tarn_begin(seg), 0); /* with memory, there is room */
    assert_int_equal(tarn_write(seg, a->word, new, sizeof new), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_memory_equal(a->word, new, sizeof new);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
}

/* ---- death ---- */

static void *dies_in_it(void *arg)
{
    tarn_ref ref;
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[0]) >= 0);
    for (unsigned i = 0; i < WORDS; i++) {
        check(tarn_save(seg, &a->word[i], 8) == 0);
        a->word[i] = 99;
    }
    check(tarn_alloc(seg, 64, &ref) == 0);
    check(tarn_alloc_into(seg, &a->ref[0], 64) == 0);
    check(tarn_begin(seg) == 0);
    if (arg)
        check(tarn_abort(seg) == 0);
    return NULL;
}
static void death_undoes(void **state)
{
    (void)state;
    for (int doomed = 0; doomed < 2; doomed++) {
        struct tarn_stat s = stat_of(seg);
        in_thread(dies_in_it, doomed ? &s : NULL);
        assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0); /* and tells nothing */
        for (unsigned i = 0; i < WORDS; i++)
            assert_int_equal(a->word[i], 0);
        assert_int_equal(a->ref[0], 0);
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
        assert_int_equal(stat_of(seg).undone, s.undone + 1);
        assert_int_equal(stat_of(seg).recovered, s.recovered + 1);
        assert_int_equal(stat_of(seg).dead, 0);
    }
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    uint64_t leaked = 1;
    assert_int_equal(tarn_thread_detach(seg), 0);
    assert_int_equal(tarn_leaked(seg, &leaked), 0);
    assert_int_equal(leaked, 0);
}

/* ---- at random ---- */

static uint64_t dice(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x >> 11;
}
static void a_random_walk(void **state)
{
    (void)state;
    uint64_t x = 0x9e3779b97f4a7c15, now[WORDS] = {0}, committed[WORDS] = {0}, commits = 0, aborts = 0,
             canceled = 0;
    unsigned depth = 0, most = 0;
    bool doomed = false;
    for (int step = 0; step < 60000; step++) {
        switch (dice(&x) % 12) {
        case 0:
        case 1:
            if (depth < 4) {
                assert_int_equal(tarn_begin(seg), 0);
                most = ++depth > most ? depth : most;
            }
            break;
        case 2:
        case 3:
            if (depth == 1) {
                assert_int_equal(tarn_commit(seg), doomed ? -ECANCELED : 0);
                doomed ? canceled++ : commits++;
                memcpy(doomed ? now : committed, doomed ? committed : now, sizeof now);
                doomed = false, depth = 0;
                assert_memory_equal(a->word, now, sizeof now);
            } else if (depth) {
                int e = tarn_commit(seg);
                assert_true(e == 0 || (doomed && e == -ECANCELED));
                depth--;
            } else
                assert_int_equal(tarn_commit(seg), -EPERM);
            break;
        case 4:
            if (depth) {
                assert_int_equal(tarn_abort(seg), 0);
                if (--depth)
                    doomed = true;
                else {
                    doomed = false, aborts++;
                    memcpy(now, committed, sizeof now);
                    assert_memory_equal(a->word, now, sizeof now);
                }
            } else
                assert_int_equal(tarn_abort(seg), -EPERM);
            break;
        default: {
            uint64_t from = dice(&x) % WORDS, n = 1 + dice(&x) % (dice(&x) % 8 ? 3 : 40), to[40];
            n = n < WORDS - from ? n : WORDS - from;
            for (uint64_t i = 0; i < n; i++)
                to[i] = dice(&x);
            int e = tarn_write(seg, &a->word[from], to, n * 8);
            if (!depth)
                assert_int_equal(e, -EPERM);
            else if (!doomed)
                assert_int_equal(e, 0);
            if (e == 0)
                memcpy(now + from, to, n * 8);
        }
        }
    }
    while (depth--)
        assert_int_equal(tarn_abort(seg), 0);
    assert_memory_equal(a->word, committed, sizeof committed);
    assert_true(commits > 100 && aborts > 100 && canceled > 100 && most == 4);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(commits_and_aborts),
        with_segment(bytes_are_saved_in_whole_words),
        with_segment(only_the_outermost_commits),
        with_segment(an_inner_abort_dooms),
        with_segment(only_in_a_section),
        with_segment(a_section_is_its_threads),
        with_segment(places_are_judged),
        with_segment(names_do_not_change),
        with_segment(who_is_in_one_does_not_leave),
        with_segment(unlocks_are_put_off),
        with_segment(a_put_off_lock_may_be_taken_again),
        with_segment(memory_comes_and_goes_with_it),
        with_segment(many_are_freed_once),
        with_segment(the_log_grows),
        with_segment(a_full_log_can_still_abort),
        with_segment(death_undoes),
        with_segment(a_random_walk),
    };
    return cmocka_run_group_tests_name("section", tests, NULL, NULL);
}

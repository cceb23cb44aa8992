/* test_name.c - named objects, in one process: what each call promises, read-only attachments, aborts for want of memory, damaged bytes, mending. */
#include <pthread.h>
#include <semaphore.h>

#include "helper.h"

#include "name/name.h"
#include "sync/sync.h"

struct thing {
    uint64_t a, b;
};

static tarn *seg;

static int open_segment(void **state)
{
    struct tarn_options o = {.size = sizeof o, .limit = 8 << 20};
    (void)state;
    return tarn_open("anon:", TARN_CREATE, &o, &seg);
}
static int close_segment(void **state)
{
    (void)state;
    return tarn_close(seg);
}

static void found_or_made(void **state)
{
    struct thing *t = NULL, *again = NULL;
    tarn_ref ref = 0;
    struct tarn_type type = TARN_TYPE(struct thing), newer = TARN_TYPE_V(struct thing, 2);
    (void)state;
    assert_int_equal(tarn_find(seg, "thing", NULL, &ref), -ENOENT);
    assert_int_equal(tarn_object(seg, "thing", struct thing, &t), 0);
    assert_int_equal(t->a | t->b, 0);
    t->a = 7;
    assert_int_equal(tarn_object(seg, "thing", struct thing, &again), 0);
    assert_ptr_equal(t, again);
    assert_int_equal(tarn_find(seg, "thing", &type, &ref), 0);
    assert_int_equal(ref, tarn_ref_of(seg, t));
    assert_int_equal(tarn_find(seg, "thing", &newer, &ref), -EPROTO);
    assert_non_null(strstr(tarn_error(), "version 2"));
    assert_non_null(strstr(tarn_error(), "version 0"));
    assert_clean(seg);
    assert_int_equal(tarn_unbind(seg, "thing", 1), 0);
    assert_int_equal(tarn_unbind(seg, "thing", 1), -ENOENT);
    assert_int_equal(tarn_find(seg, "thing", NULL, &ref), -ENOENT);
    assert_clean(seg);
}

static void refused(void **state)
{
    char long_name[258];
    struct thing *t;
    tarn_ref ref;
    struct tarn_type type = TARN_TYPE(struct thing);
    (void)state;
    memset(long_name, 'x', sizeof long_name);
    long_name[257] = 0;
    assert_int_equal(tarn_object(seg, "", struct thing, &t), -EINVAL);
    assert_int_equal(tarn_object(seg, NULL, struct thing, &t), -EINVAL);
    assert_int_equal(tarn_object(seg, long_name, struct thing, &t), -EINVAL);
    long_name[255] = 0;
    assert_int_equal(tarn_object(seg, long_name, struct thing, &t), 0);
    assert_int_equal(tarn_unbind(seg, long_name, 1), 0);
    assert_int_equal(tarn_bind(seg, "x", &type, 64), -EINVAL);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, sizeof *t, &ref), 0);
    assert_int_equal(tarn_bind(seg, "x", &type, ref), -EPERM);
    assert_int_equal(tarn_object(seg, "x", struct thing, &t), -EPERM);
    assert_int_equal(tarn_unbind(seg, "x", 0), -EPERM);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_bind(seg, "x", &(struct tarn_type){"big", 1 << 20, 0}, ref), -EINVAL);
    assert_int_equal(tarn_bind(seg, "x", &type, ref), 0);
    assert_int_equal(tarn_bind(seg, "x", &type, ref), -EEXIST);
    assert_clean(seg);
    assert_int_equal(tarn_unbind(seg, "x", 1), 0);
    assert_clean(seg);
}

/* Too little memory: nothing of it remains. */
static void no_memory(void **state)
{
    void *address;
    struct tarn_type huge = {"huge", 1 << 20, 0};
    char name[32];
    int n = 0, e;
    (void)state;
    do {
        snprintf(name, sizeof name, "huge %d", n);
        e = tarn_find_or_make(seg, name, &huge, &address);
        n += e == 0;
    } while (e == 0 && n < 20);
    assert_int_equal(e, -ENOSPC);
    assert_in_range(n, 4, 8);
    assert_clean(seg);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "huge %d", i);
        assert_int_equal(tarn_unbind(seg, name, 1), 0);
    }
    assert_clean(seg);
}

struct seen {
    int count[2000], others;
};
static int see(const struct tarn_name *n, void *arg)
{
    struct seen *s = arg;
    int i;
    if (sscanf(n->name, "n%d", &i) == 1 && i >= 0 && i < 2000 && strcmp(n->type.name, "struct thing") == 0)
        s->count[i]++;
    else
        s->others++;
    return 0;
}
static int stop(const struct tarn_name *n, void *arg)
{
    (void)n, (void)arg;
    return 42;
}

/* Many names in each chain, removed in another order: from the middles of chains. */
static void many(void **state)
{
    static struct seen s;
    char name[16];
    struct thing *t;
    tarn *reader;
    (void)state;
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(tarn_object(seg, name, struct thing, &t), 0);
        t->a = (uint64_t)i;
    }
    assert_int_equal(tarn_names(seg, stop, NULL), 42);
    for (int i = 0; i < 2000; i += 3) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(tarn_unbind(seg, name, 1), 0);
    }
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_names(reader, see, &s), 0);
    for (int i = 0; i < 2000; i++) {
        tarn_ref ref;
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(s.count[i], i % 3 != 0);
        assert_int_equal(tarn_find(reader, name, NULL, &ref), i % 3 ? 0 : -ENOENT);
        if (i % 3)
            assert_int_equal(((struct thing *)tarn_ptr(reader, ref, sizeof *t))->a, i);
    }
    assert_int_equal(s.others, 0);
    assert_int_equal(tarn_object(reader, "n1", struct thing, &t), 0);
    assert_int_equal(tarn_object(reader, "n0", struct thing, &t), -ENOENT);
    assert_int_equal(tarn_check(reader, NULL, NULL), 0);
    assert_int_equal(tarn_close(reader), 0);
    assert_clean(seg);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(tarn_unbind(seg, name, 1), i % 3 ? 0 : -ENOENT);
    }
    assert_clean(seg);
}

/* A holder of the names' lock who stays: a read-only attachment gives up, in time. */
static void locked(void **state)
{
    struct thing *t;
    tarn_ref ref = 5;
    tarn *reader;
    uint32_t *owner = &name_zone_of(seg)->lock.owner;
    (void)state;
    assert_int_equal(tarn_object(seg, "n", struct thing, &t), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    *owner = self_of(seg, &(int){0})->id;
    assert_int_equal(tarn_find(reader, "n", NULL, &ref), -EAGAIN);
    assert_int_equal(ref, 5);
    *owner = 0;
    assert_int_equal(tarn_find(reader, "n", NULL, &ref), 0);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_unbind(seg, "n", 1), 0);
}

static sem_t taken;
static void *hold_a_while(void *arg)
{
    struct self *s = self_of(seg, &(int){0});
    assert_int_equal(mutex_lock_inner(s, &name_zone_of(seg)->lock), 0);
    sem_post(&taken);
    usleep(20000);
    mutex_unlock_inner(s, &name_zone_of(seg)->lock);
    return arg;
}
/* A holder of the names' lock who gives it up: who may write waits for him, and gives it up in turn. */
static void lock_is_waited_for(void **state)
{
    struct thing *t;
    tarn_ref ref = 0;
    pthread_t thread;
    (void)state;
    assert_int_equal(tarn_object(seg, "n", struct thing, &t), 0);
    sem_init(&taken, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, hold_a_while, NULL), 0);
    sem_wait(&taken);
    assert_int_equal(tarn_find(seg, "n", NULL, &ref), 0);
    assert_int_equal(ref, tarn_ref_of(seg, t));
    pthread_join(thread, NULL);
    assert_int_equal(name_zone_of(seg)->lock.owner, 0);
    sem_destroy(&taken);
}

static int count(const struct tarn_name *n, void *arg)
{
    (void)n;
    ++*(int *)arg;
    return 0;
}

/* The longest name of the longest type, for a block that is just large enough; and nobody's bytes behind the last chain, which are left alone. */
static void bounds(void **state)
{
    char name[NAME_MOST + 1], type_name[NAME_TYPE_MOST + 1], said[400];
    struct tarn_type type = {.name = type_name, .size = 64};
    uint64_t *behind = &name_zone_of(seg)->head[NAME_CHAINS];
    tarn_ref *place, ref = 0;
    int n = 0;
    (void)state;
    memset(name, 'n', sizeof name);
    memset(type_name, 't', sizeof type_name);
    name[NAME_MOST] = type_name[NAME_TYPE_MOST] = 0;
    assert_int_equal(tarn_object(seg, "place", tarn_ref, &place), 0);
    assert_int_equal(tarn_alloc_into(seg, place, 64), 0);
    assert_int_equal(tarn_block_size(seg, *place), 64);
    assert_int_equal(tarn_bind(seg, name, &type, *place), 0);
    assert_int_equal(tarn_find(seg, name, &type, &ref), 0);
    assert_int_equal(ref, *place);
    *behind = 12345;
    assert_int_equal(tarn_names(seg, count, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(tarn_find(seg, "nobody", NULL, &ref), -ENOENT);
    snprintf(said, sizeof said, "%s", tarn_error());
    assert_clean(seg);
    assert_string_equal(tarn_error(), said); /* what did not fail says nothing */
    name_mend(seg, NULL, NULL);              /* there is nothing to mend */
    assert_int_equal(*behind, 12345);
    assert_int_equal(tarn_unbind(seg, name, 0), 0);
    assert_int_equal(tarn_free_from(seg, place), 0);
    assert_clean(seg);
}

static void on_mended(uint64_t ref, const char *what, void *arg)
{
    assert_non_null(strstr(what, "mended: "));
    assert_true(ref != 0);
    ++*(int *)arg;
}
/* Each fault is put right once, by itself, and what it does not touch stays. */
static void mended(void **state)
{
    struct name_zone *z = name_zone_of(seg);
    struct name_entry *e = NULL;
    struct thing *t;
    tarn_ref first = 0, ref;
    char name[16];
    int n = 0, there = 0, all = 0;
    (void)state;
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(tarn_object(seg, name, struct thing, &t), 0);
    }
    for (unsigned i = 0; i < NAME_CHAINS && !(first && e->next); i++)
        if ((first = z->head[i]))
            e = tarn_ptr(seg, first, sizeof *e);
    assert_true(first && e->next); /* a chain of two, or more */
    z->lock.owner = 77;
    name_mend(seg, on_mended, &n);
    assert_int_equal(n, 1);
    assert_int_equal(z->lock.owner, 0);
    e->hash++; /* the first of it is not what it was; the next is */
    ref = e->next;
    name_mend(seg, on_mended, &n);
    assert_int_equal(n, 2);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "n%d", i);
        there += tarn_find(seg, name, NULL, &first) == 0;
    }
    assert_int_equal(there, 399);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    e = tarn_ptr(seg, ref, sizeof *e);
    e->next = ref; /* a circle */
    name_mend(seg, on_mended, &n);
    assert_int_equal(n, 3);
    assert_int_equal(e->next, 0);
    z->head[NAME_CHAINS - 1] = 8; /* what is no entry */
    name_mend(seg, on_mended, &n);
    assert_int_equal(n, 4);
    assert_int_equal(z->head[NAME_CHAINS - 1], 0);
    name_mend(seg, on_mended, &n);
    assert_int_equal(n, 4);
    assert_int_equal(tarn_names(seg, count, &all), 0);
    assert_in_range(all, 380, 399);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
}

/* Random bytes in entries and heads: every call returns, and check finds something whenever it matters. */
static void hostile(void **state)
{
    uint64_t *head = name_zone_of(seg)->head, saved[NAME_CHAINS], words[64][10], x = 88172645463325252ull;
    struct thing *t;
    tarn_ref ref, entry[64];
    char name[16];
    int entries = 0, reported = 0;
    (void)state;
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(tarn_object(seg, name, struct thing, &t), 0);
    }
    memcpy(saved, head, sizeof saved);
    for (unsigned i = 0; i < NAME_CHAINS; i++)
        if (head[i]) {
            entry[entries] = head[i];
            memcpy(words[entries++], tarn_ptr(seg, head[i], 80), 80);
        }
    for (int round = 0; round < 400; round++) {
        uint64_t *at, bad;
        int e = round % entries, n;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bad = round % 4 == 0   ? entry[e]
              : round % 4 == 1 ? x
              : round % 4 == 2 ? x % (8 << 20)
                               : entry[x % (unsigned)entries] + 8;
        at = round % 5 == 0 ? &head[x % NAME_CHAINS] : (uint64_t *)tarn_ptr(seg, entry[e], 48) + (x >> 32) % 6;
        *at = bad;
        n = tarn_check(seg, NULL, NULL);
        assert_true(n >= 0);
        reported += n > 0;
        n = 0;
        tarn_names(seg, count, &n);
        for (int i = 0; i < 60; i++) {
            snprintf(name, sizeof name, "n%d", i);
            n = tarn_find(seg, name, NULL, &ref);
            assert_true(n == 0 || n == -ENOENT || n == -EUCLEAN);
        }
        memcpy(head, saved, sizeof saved);
        for (int i = 0; i < entries; i++)
            memcpy(tarn_ptr(seg, entry[i], 80), words[i], 80);
    }
    assert_in_range(reported, 250, 400); /* the reserved word and an object's other block are nobody's business */
    assert_clean(seg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found_or_made, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(refused, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(no_memory, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(many, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(locked, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(lock_is_waited_for, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(bounds, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(mended, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_segment, close_segment),
    };
    alarm(120);
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}

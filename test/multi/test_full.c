/* test_full.c - a real full file system: a small tmpfs in a private mount namespace, filled by the segment itself. Every call that needs memory says
 * -ENOSPC and names the limit, nothing is lost, nothing gets SIGBUS, and what is freed can be had again. */
#include "helper.h"

#include <sched.h>
#include <sys/mount.h>

#include "segment/segment.h"

enum { SKIPPED = 77, MOST = 4000 };

struct store {
    tarn_ref ref[MOST];
    uint64_t word[4096];
};

#define CHECK(c)                                                                                             \
    do {                                                                                                     \
        if (!(c)) {                                                                                          \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #c, tarn_error());                       \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static void enter_small_tmpfs(void)
{
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", own_path, "tmpfs", 0, "size=2m,mode=0777"))
        _exit(SKIPPED);
}

static tarn *open_store(struct store **ret)
{
    struct tarn_options o = {.size = sizeof o, .initial = 256 << 10, .limit = 64 << 20, .participants = 4};
    tarn *seg;
    CHECK(tarn_open("posix:/full", TARN_CREATE, &o, &seg) == 0);
    CHECK(tarn_object(seg, "store", struct store, ret) == 0);
    return seg;
}

/* Until nothing more is to be had, of two sizes. Returns how many. */
static int fill(tarn *seg, struct store *s)
{
    int n = 0, e = 0;
    for (; n < MOST && (e = tarn_alloc_into(seg, &s->ref[n], 1500)) == 0; n++)
        ;
    CHECK(e == -ENOSPC);
    CHECK(strstr(tarn_error(), "file system"));
    for (; n < MOST && (e = tarn_alloc_into(seg, &s->ref[n], 16)) == 0; n++)
        ;
    CHECK(n == MOST || e == -ENOSPC);
    return n;
}

static void touch_all(tarn *seg)
{
    volatile char *base = seg->base;
    for (uint64_t at = 0; at < committed_of(seg); at += 4096)
        base[seg->geometry.zone[ZONE_DATA] + at] += 0;
}

static void alloc_to_the_end(void)
{
    struct store *s;
    tarn *seg = open_store(&s);
    struct tarn_stat st;
    uint64_t leaked, mine = 0;
    int n = fill(seg, s);
    touch_all(seg);
    CHECK(tarn_stat(seg, &st) == 0 && st.data < 2 << 20);
    CHECK(tarn_alloc_into(seg, &s->ref[n < MOST ? n : 0], 100 << 10) < 0);
    CHECK(tarn_check(seg, NULL, NULL) == 0);
    for (int i = 0; i < n; i++)
        mine += tarn_block_size(seg, s->ref[i]);
    CHECK(tarn_leaked(seg, &leaked) == 0 && leaked == mine);
    for (int i = 0; i < n; i++)
        CHECK(tarn_free_from(seg, &s->ref[i]) == 0);
    CHECK(tarn_leaked(seg, &leaked) == 0 && leaked == 0);
    for (int i = 0; i < n && i < 100; i++)
        CHECK(tarn_alloc_into(seg, &s->ref[i], 1500) == 0);
    CHECK(tarn_close(seg) == 0);
}

/* In a section: what it did before the failure is undone by abort, or committed without what failed. */
static void in_a_section(void)
{
    struct store *s;
    tarn *seg = open_store(&s);
    tarn_ref block;
    int n = 0, e;
    CHECK(tarn_begin(seg) == 0);
    CHECK(tarn_save(seg, &s->word[0], 8) == 0);
    s->word[0] = 7;
    while ((e = tarn_alloc_into(seg, &s->ref[n], 1500)) == 0)
        n++;
    CHECK(e == -ENOSPC && n > 100);
    CHECK(tarn_alloc(seg, 1500, &block) == -ENOSPC);
    CHECK(tarn_abort(seg) == 0);
    CHECK(s->word[0] == 0 && s->ref[0] == 0 && s->ref[n - 1] == 0);
    CHECK(tarn_check(seg, NULL, NULL) == 0);
    CHECK(tarn_begin(seg) == 0);
    while ((e = tarn_alloc_into(seg, &s->ref[n], 1500)) == 0)
        n++;
    CHECK(e == -ENOSPC);
    CHECK(tarn_commit(seg) == 0);
    CHECK(tarn_check(seg, NULL, NULL) == 0);
    CHECK(tarn_close(seg) == 0);
}

/* A log that cannot grow; locks that cannot be listed. */
static void a_full_log(void)
{
    struct store *s;
    tarn *seg = open_store(&s);
    int n = fill(seg, s), saved = 0, e = 0;
    (void)n;
    CHECK(tarn_begin(seg) == 0);
    for (; saved < 4096 && (e = tarn_save(seg, &s->word[saved], 8)) == 0; saved++)
        s->word[saved] = 1;
    CHECK(e == -ENOSPC && saved > 100);
    CHECK(strstr(tarn_error(), "log"));
    CHECK(tarn_abort(seg) == 0);
    for (int i = 0; i < saved; i++)
        CHECK(s->word[i] == 0);
    CHECK(tarn_begin(seg) == 0); /* and what fits still works */
    CHECK(tarn_save(seg, &s->word[1], 8) == 0);
    s->word[1] = 9;
    CHECK(tarn_commit(seg) == 0);
    CHECK(s->word[1] == 9);
    CHECK(tarn_close(seg) == 0);
}

static void names_and_maps(void)
{
    struct store *s;
    tarn *seg = open_store(&s);
    tarn_map *map;
    uint64_t count, value;
    int n = 0, e = 0;
    void *p;
    struct tarn_type type = {"thing", 1500, 0};
    CHECK(tarn_map_open(seg, "map", TARN_CREATE | TARN_MAP_U64, &map) == 0);
    for (; n < 1000000 && (e = tarn_map_put64(map, (uint64_t)n * 7919, (uint64_t)n)) == 0; n++)
        ;
    CHECK(e == -ENOSPC);
    CHECK(tarn_map_count(map, &count) == 0 && count == (uint64_t)n);
    for (int i = 0; i < n; i++)
        CHECK(tarn_map_get64(map, (uint64_t)i * 7919, &value) == 0 && value == (uint64_t)i);
    for (int i = 0; i < MOST; i++)
        if (tarn_alloc_into(seg, &s->ref[i], 1500))
            break;
    CHECK(tarn_find_or_make(seg, "thing", &type, &p) == -ENOSPC);
    CHECK(tarn_find_or_make(seg, "thing", &type, &p) == -ENOSPC); /* nothing half-made is found */
    CHECK(tarn_check(seg, NULL, NULL) == 0);
    CHECK(tarn_map_remove64(map, 0) == 0);
    CHECK(tarn_map_get64(map, 0, &value) == -ENOENT);
    tarn_map_close(map);
    CHECK(tarn_close(seg) == 0);
}

static void in_small_tmpfs(void (*test)(void))
{
    int status;
    pid_t p = fork();
    assert_true(p >= 0);
    if (p == 0) {
        alarm(100);
        enter_small_tmpfs();
        test();
        _exit(0);
    }
    assert_int_equal(waitpid(p, &status, 0), p);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        print_message("no private mount namespace to be had here: skipped\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void full_while_allocating(void **state)
{
    (void)state;
    in_small_tmpfs(alloc_to_the_end);
}
static void full_in_a_section(void **state)
{
    (void)state;
    in_small_tmpfs(in_a_section);
}
static void full_log(void **state)
{
    (void)state;
    in_small_tmpfs(a_full_log);
}
static void full_names_and_maps(void **state)
{
    (void)state;
    in_small_tmpfs(names_and_maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_while_allocating),
        cmocka_unit_test(full_in_a_section),
        cmocka_unit_test(full_log),
        cmocka_unit_test(full_names_and_maps),
    };
    return cmocka_run_group_tests(tests, own_directory, remove_directory);
}

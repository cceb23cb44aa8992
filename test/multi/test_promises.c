/* test_promises.c - those of the promises (docs/promises.md has the table) that no other test states plainly: one test or more each, named after
 * the promise. What is judged elsewhere at every instruction (test/crash) is stated here once, through the public header alone. */
#include "helper.h"
#include "arena.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#define URL "posix:/promises"

static tarn *seg;
static struct arena *a;

static int set_up(void **state)
{
    struct tarn_options o = {.size = sizeof o, .initial = 1 << 20, .limit = 16 << 20, .participants = 8};
    (void)state;
    alarm(100);
    a = arena_open(URL, &o, &seg);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    int damages = tarn_check(seg, NULL, NULL), e = tarn_close(seg), u = tarn_unlink(URL);
    if (damages || e || u)
        print_error("%d damages; close %d, unlink %d: %s\n", damages, e, u, tarn_error());
    alarm(0);
    return damages || e || u;
}

/* ---- 1: wholly or not at all ---- */

struct way {
    int how, stage;
};
static void end_by(int how)
{
    switch (how) {
    case 0: raise(SIGKILL); break;
    case 1: _exit(0);
    case 2: exit(0);
    case 3: execl("/bin/true", "true", (char *)NULL); break;
    case 4: raise(SIGTERM); break;
    case 5: pthread_exit(NULL);
    default: prctl(PR_SET_DUMPABLE, 0), signal(SIGABRT, SIG_DFL), abort();
    }
    _exit(99);
}
/* Everything a section can do, and an end at one stage of it. */
static void change_and_end(void *arg)
{
    struct way *w = arg;
    tarn_map *map;
    uint64_t v = 1;
    check(tarn_map_open(seg, "map", TARN_CREATE, &map) == 0);
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &a->lock[0]) == 0);
    for (int i = 0; i < 8; i++) {
        if (w->stage == 0)
            end_by(w->how);
        check(tarn_save(seg, &a->word[i], 8) == 0);
        a->word[i]++;
    }
    if (w->stage == 1)
        end_by(w->how);
    check(a->ref[0] ? tarn_free_from(seg, &a->ref[0]) == 0 : tarn_alloc_into(seg, &a->ref[0], 500) == 0);
    if (w->stage == 2)
        end_by(w->how);
    check(tarn_map_put(map, "key", 3, &a->word[0], 8) == 0 && tarn_map_add(map, "sum", 3, v, NULL) == 0);
    check(tarn_mutex_unlock(seg, &a->lock[0]) == 0);
    if (w->stage == 3)
        end_by(w->how);
    check(tarn_commit(seg) == 0);
    end_by(w->how);
}
/* Children end in every way but the orderly one, so they leave memory behind: no news to a leak checker. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void promise_1_whole_or_not_at_all(void **state)
{
    (void)state;
    tarn_map *map;
    uint64_t times = 0, v, leaked;
    size_t size;
    assert_int_equal(tarn_map_open(seg, "map", TARN_CREATE, &map), 0);
    for (int n = 0; n < 7 * 5 * 2; n++) {
        struct way w = {n % 7, n / 7 % 5};
        int status = in_child(change_and_end, &w);
        if (WIFEXITED(status) && WEXITSTATUS(status))
            fail_msg("way %d, stage %d: %#x", w.how, w.stage, status);
        times += w.stage == 4;
        assert_int_equal(tarn_mutex_lock(seg, &a->lock[0]), 0); /* no lock is held by the dead, and this one is clean */
        assert_int_equal(tarn_mutex_unlock(seg, &a->lock[0]), 0);
        tarn_recover(seg);
        for (int i = 0; i < 8; i++)
            assert_int_equal(a->word[i], times);
        assert_int_equal(a->ref[0] != 0, times % 2);
        assert_int_equal(tarn_map_get(map, "key", 3, &v, sizeof v, &size), times ? 0 : -ENOENT);
        if (times) {
            assert_int_equal(v, times);
            assert_int_equal(tarn_map_get(map, "sum", 3, &v, sizeof v, &size), 0);
            assert_int_equal(v, times);
        }
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    }
    if (a->ref[0])
        assert_int_equal(tarn_free_from(seg, &a->ref[0]), 0);
    tarn_map_close(map);
    assert_int_equal(tarn_leaked(seg, &leaked), 0);
    assert_int_equal(leaked, 0); /* no block of all these is lost */
}

/* ---- 2: nobody waits for the dead ---- */

static void promise_2_dumps_leave_segments_out(void **state)
{
    (void)state;
    char line[512];
    unsigned long from = 0, to = 0;
    bool inside = false, seen = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
            inside = (uintptr_t)a >= from && (uintptr_t)a < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            assert_non_null(strstr(line, " dd")); /* the kernel's report of a death does not wait until it is dumped */
            seen = true;
        }
    }
    fclose(f);
    assert_true(seen);
}

/* ---- 3: commit before hand-out ---- */

/* Bytes of memory, or of the disk, that the backing has given. */
static uint64_t given(void)
{
    if (!on_sysv()) {
        struct stat file;
        assert_int_equal(fstat(tarn_fd(seg), &file), 0);
        return (uint64_t)file.st_blocks * 512;
    }
    char line[512];
    unsigned long long resident = 0;
    int id, mine = shm_named(URL);
    bool found = false;
    FILE *f = fopen("/proc/sysvipc/shm", "re");
    assert_non_null(f);
    while (!found && fgets(line, sizeof line, f))
        /* key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap */
        found = sscanf(line, "%*d %d %*o %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &id, &resident) == 2 &&
                id == mine;
    fclose(f);
    assert_true(found);
    return resident;
}

static void promise_3_what_is_handed_out_is_there(void **state)
{
    (void)state;
    uint64_t before = given();
    assert_int_equal(tarn_grow(seg, 4 << 20), 0); /* which touches nothing of it, where an allocation clears what it takes */
    assert_true(given() >= before + (4 << 20));
    before = given();
    assert_int_equal(tarn_alloc_into(seg, &a->ref[0], 4 << 20), 0);
    uint64_t after = given();
    assert_true(after >= before && after >= 4 << 20); /* of the backing, before any of it was touched by us */
    assert_int_equal(tarn_free_from(seg, &a->ref[0]), 0);
}

/* ---- 5, 6: readers ---- */

static int ignore_damage(const struct tarn_damage *d, void *arg)
{
    (void)d;
    (void)arg;
    return 0;
}
static int each_entry(const void *key, size_t key_size, const void *value, size_t size, void *sum)
{
    (void)key_size;
    (void)size;
    *(uint64_t *)sum += *(const uint64_t *)key * 1000 + *(const uint64_t *)value;
    return 0;
}
static int each_name(const struct tarn_name *n, void *count)
{
    (void)n;
    ++*(int *)count;
    return 0;
}
static int each_participant(const struct tarn_participant *p, void *count)
{
    (void)p;
    ++*(int *)count;
    return 0;
}
/* A copy of all the object's bytes, past the library. */
static char *bytes_of_it(size_t *ret_size)
{
    struct stat file = {0};
    struct shmid_ds ds = {0};
    if (on_sysv())
        assert_int_equal(shmctl(shm_named(URL), IPC_STAT, &ds), 0);
    else
        assert_int_equal(fstat(tarn_fd(seg), &file), 0);
    size_t size = on_sysv() ? ds.shm_segsz : (size_t)file.st_size;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    if (on_sysv()) {
        void *at = shmat(shm_named(URL), NULL, SHM_RDONLY);
        assert_true(at != (void *)-1);
        memcpy(bytes, at, size);
        assert_int_equal(shmdt(at), 0);
    } else {
        assert_int_equal(pread(tarn_fd(seg), bytes, size, 0), size);
    }
    *ret_size = size;
    return bytes;
}

static void promise_6_readers_write_nothing(void **state)
{
    (void)state;
    tarn_map *map;
    tarn *reader;
    struct tarn_type type = TARN_TYPE(struct arena);
    struct tarn_stat s;
    uint64_t sum = 0, count, v, leaked;
    int names = 0, participants = 0;
    tarn_ref ref;
    void *address;
    assert_int_equal(tarn_map_open(seg, "numbers", TARN_CREATE | TARN_MAP_U64, &map), 0);
    for (uint64_t k = 1; k <= 500; k++)
        assert_int_equal(tarn_map_put64(map, k, 2 * k), 0);
    tarn_map_close(map);
    assert_int_equal(tarn_thread_detach(seg), 0);
    size_t size = 0;
    char *before = bytes_of_it(&size), *after;

    assert_int_equal(tarn_open(URL, TARN_RDONLY, NULL, &reader), 0);
    assert_int_equal(tarn_find(reader, "arena", &type, &ref), 0);
    assert_int_equal(tarn_find_or_make(reader, "arena", &type, &address), 0); /* only finds */
    assert_int_equal(tarn_find_or_make(reader, "nothing", &type, &address) < 0, 1);
    assert_int_equal(tarn_names(reader, each_name, &names), 0);
    assert_int_equal(names, 2);
    assert_int_equal(tarn_map_open(reader, "numbers", TARN_MAP_U64, &map), 0);
    for (uint64_t k = 1; k <= 500; k++) {
        assert_int_equal(tarn_map_get64(map, k, &v), 0);
        assert_int_equal(v, 2 * k);
    }
    assert_int_equal(tarn_map_get64(map, 501, &v), -ENOENT);
    assert_int_equal(tarn_map_put64(map, 1, 1), -EROFS);
    assert_int_equal(tarn_map_remove64(map, 1), -EROFS);
    assert_int_equal(tarn_map_count(map, &count), 0);
    assert_int_equal(count, 500);
    assert_int_equal(tarn_map_each(map, each_entry, &sum), 0);
    assert_int_equal(sum, 1002ull * 500 * 501 / 2);
    tarn_map_close(map);
    assert_int_equal(tarn_stat(reader, &s), 0);
    assert_int_equal(tarn_participants(reader, each_participant, &participants), 0);
    assert_int_equal(tarn_check(reader, ignore_damage, NULL), 0);
    assert_int_equal(tarn_leaked(reader, &leaked), 0);
    assert_int_equal(tarn_read_begin(reader), -EROFS);
    assert_true(tarn_alloc_into(reader, tarn_ptr(reader, ref, 8), 16) < 0);
    assert_true(tarn_recover(reader) <= 0);
    assert_int_equal(tarn_close(reader), 0);

    size_t again = 0;
    after = bytes_of_it(&again);
    assert_int_equal(size, again);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
}

/* ---- 7: least rights ---- */

static void promise_7_only_its_owner(void **state)
{
    (void)state;
    struct stat file;
    struct shmid_ds ds;
    if (on_sysv()) {
        assert_int_equal(shmctl(shm_named(URL), IPC_STAT, &ds), 0);
        assert_int_equal(ds.shm_perm.mode & 0777, 0600);
        assert_int_equal(ds.shm_perm.uid, geteuid());
        return;
    }
    assert_int_equal(fstat(tarn_fd(seg), &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_true(fcntl(tarn_fd(seg), F_GETFD) & FD_CLOEXEC);
}
static void promise_7_no_links_are_followed(void **state)
{
    (void)state;
    char link[128], to[128];
    tarn *other = NULL;
    skip_on_sysv("keys are in no directory");
    if (on_memfd()) {
        print_message("memory files are in no directory: skipped\n");
        skip();
    }
    snprintf(link, sizeof link, "%s/link", own_path);
    snprintf(to, sizeof to, "%s/elsewhere", own_path);
    for (int there = 0; there < 2; there++) {
        char here[128];
        snprintf(here, sizeof here, "%s/promises", own_path);
        assert_int_equal(symlink(there ? here : to, link), 0);
        assert_true(tarn_open("posix:/link", 0, NULL, &other) < 0);
        assert_true(tarn_open("posix:/link", TARN_CREATE, NULL, &other) < 0);
        assert_null(other);
        assert_int_not_equal(access(to, F_OK), 0); /* nothing was made where it leads */
        assert_int_equal(unlink(link), 0);
    }
}
static void promise_7_fresh_memory_shows_nothing_old(void **state)
{
    (void)state;
    for (size_t size = 16; size <= 300000; size = size * 5 / 3 + 16)
        for (int n = 0; n < 20; n++) {
            assert_int_equal(tarn_alloc_into(seg, &a->ref[0], size), 0);
            unsigned char *b = tarn_ptr(seg, a->ref[0], size);
            assert_non_null(b);
            for (size_t i = 0; i < size; i++)
                if (b[i])
                    fail_msg("byte %zu of %zu is %#x", i, size, b[i]);
            memset(b, 0x5a, tarn_block_size(seg, a->ref[0]));
            assert_int_equal(n % 2 ? tarn_free_from(seg, &a->ref[0]) : tarn_retire_from(seg, &a->ref[0]), 0);
        }
}

/* ---- 9: growth ---- */

static void grow_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < 8; i++) {
        check(tarn_alloc_into(seg, &a->ref[i], 1 << 20) == 0);
        memset(tarn_ptr(seg, a->ref[i], 1 << 20), i + 1, 1 << 20);
    }
    check(tarn_close(seg) == 0);
}
static void promise_9_growth_needs_nobody(void **state)
{
    (void)state;
    uint64_t before = stat_of(seg).data, *word = &a->word[0];
    tarn_ref ref = tarn_ref_of(seg, word);
    *word = 42;
    assert_int_equal(in_child(grow_much, NULL), 0); /* another process; this one only waits */
    assert_true(stat_of(seg).data > before);
    for (int i = 0; i < 8; i++) {
        const unsigned char *b = tarn_ptr(seg, a->ref[i], 1 << 20);
        assert_non_null(b);
        assert_int_equal(b[0], i + 1);
        assert_int_equal(b[(1 << 20) - 1], i + 1);
        assert_int_equal(tarn_free_from(seg, &a->ref[i]), 0);
    }
    assert_ptr_equal(tarn_ptr(seg, ref, 8), word); /* refs and pointers are what they were */
    assert_int_equal(*word, 42);
}

int main(void)
{
#define with_segment(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_segment(promise_1_whole_or_not_at_all),
        with_segment(promise_2_dumps_leave_segments_out),
        with_segment(promise_3_what_is_handed_out_is_there),
        with_segment(promise_6_readers_write_nothing),
        with_segment(promise_7_only_its_owner),
        with_segment(promise_7_no_links_are_followed),
        with_segment(promise_7_fresh_memory_shows_nothing_old),
        with_segment(promise_9_growth_needs_nobody),
    };
    return cmocka_run_group_tests_name("promises", tests, own_directory, remove_directory);
}

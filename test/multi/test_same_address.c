/* test_same_address.c - another's library of plain pointers (uthash) in a segment that everybody maps at one address: built, walked by other
 * processes and read-only, and whole after kills in the midst of its changes, which are sections that saved what it may write. */
#include "helper.h"

static tarn *seg;
static bool full;
static void *segment_malloc(size_t size)
{
    tarn_ref ref;
    return tarn_alloc(seg, size, &ref) < 0 ? NULL : tarn_ptr(seg, ref, size);
}
#define uthash_malloc(size) segment_malloc(size)
#define uthash_free(at, size) ((void)tarn_free(seg, tarn_ref_of(seg, at)))
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) (full = true)
#include <uthash.h>

struct item {
    uint64_t key, again; /* the same */
    UT_hash_handle hh;
};
struct root {
    tarn_mutex lock;
    struct item *first;
    uint64_t count;
};

enum { KEYS = 300 };
static const char *const url = "posix:/same-address";

static struct root *open_root(unsigned flags)
{
    static const struct tarn_options o = {
        .size = sizeof o, .same_address = 1, .initial = 65536, .limit = 8 << 20, .span_size = 4096};
    struct root *root = NULL;
    return tarn_open(url, flags, &o, &seg) == 0 && tarn_object(seg, "root", struct root, &root) == 0 ? root : NULL;
}

static int save_all(struct root *root)
{
    int e = tarn_save(seg, root, sizeof *root);
    if (!root->first)
        return e;
    UT_hash_table *table = root->first->hh.tbl;
    if (e == 0)
        e = tarn_save(seg, table, sizeof *table);
    if (e == 0)
        e = tarn_save(seg, table->buckets, table->num_buckets * sizeof *table->buckets);
    for (struct item *i = root->first; i && e == 0; i = i->hh.next)
        e = tarn_save(seg, &i->hh, sizeof i->hh);
    return e;
}

/* In a section, with the lock and all saved: puts it in, or takes it out if it is there. */
static void turn(struct root *root, uint64_t key)
{
    struct item *i = NULL;
    HASH_FIND(hh, root->first, &key, sizeof key, i);
    if (i) {
        HASH_DEL(root->first, i);
        check(tarn_free(seg, tarn_ref_of(seg, i)) == 0);
        root->count--;
        return;
    }
    i = segment_malloc(sizeof *i);
    check(i);
    i->key = i->again = key;
    full = false;
    HASH_ADD(hh, root->first, key, sizeof key, i);
    check(!full);
    root->count++;
}

/* Each is found, both ways round, and nothing else is there. Returns the bytes of its blocks. */
static uint64_t walk(const struct root *root)
{
    uint64_t n = 0, bytes = 0, in_buckets = 0;
    bool met[KEYS] = {false};
    const struct item *before = NULL;
    if (!root->first) {
        check(root->count == 0);
        return 0;
    }
    const UT_hash_table *table = root->first->hh.tbl;
    for (struct item *i = root->first; i; before = i, i = i->hh.next, n++) {
        struct item *found = NULL;
        check(i->key < KEYS && i->again == i->key && !met[i->key] && i->hh.tbl == table && i->hh.prev == before);
        met[i->key] = true;
        HASH_FIND(hh, root->first, &i->key, sizeof i->key, found);
        check(found == i);
        bytes += tarn_block_size(seg, tarn_ref_of(seg, i));
    }
    for (unsigned b = 0; b < table->num_buckets; b++) {
        unsigned here = 0;
        for (UT_hash_handle *h = table->buckets[b].hh_head; h; h = h->hh_next)
            here++;
        check(here == table->buckets[b].count);
        in_buckets += here;
    }
    check(n == root->count && n == HASH_COUNT(root->first) && n == in_buckets);
    return bytes + tarn_block_size(seg, tarn_ref_of(seg, table)) +
           tarn_block_size(seg, tarn_ref_of(seg, table->buckets));
}

static void change_for_ever(struct root *root, unsigned rounds)
{
    for (;;) {
        check(tarn_begin(seg) == 0 && tarn_mutex_lock(seg, &root->lock) == 0 && save_all(root) == 0);
        for (int n = rand_r(&rounds) % 4; n >= 0; n--)
            turn(root, (uint64_t)rand_r(&rounds) % KEYS);
        check(tarn_mutex_unlock(seg, &root->lock) == 0);
        check((rand_r(&rounds) % 4 ? tarn_commit : tarn_abort)(seg) == 0);
    }
}

static void killed_in_the_midst(void **state)
{
    (void)state;
    struct root *root = open_root(TARN_CREATE | TARN_EXCL);
    uint64_t largest = 0, leaked;
    assert_non_null(root);
    for (unsigned round = 0; round < (SANITIZED ? 15 : 60); round++) {
        pid_t child[2];
        for (unsigned c = 0; c < 2; c++)
            if ((child[c] = fork_child()) == 0) /* one of both may be the other's recoverer */
                change_for_ever(root, round * 2 + c + 1);
        for (unsigned c = 0; c < 2; c++) {
            struct timespec moment = {0, 3000000 + 70000 * (round % 17)};
            nanosleep(&moment, NULL);
            assert_int_equal(kill(child[c], SIGKILL), 0);
            assert_int_equal(waitpid(child[c], NULL, 0), child[c]);
        }
        assert_int_equal(tarn_mutex_lock(seg, &root->lock), 0); /* clean: it was taken in sections only */
        uint64_t bytes = walk(root);
        largest = root->count > largest ? root->count : largest;
        assert_int_equal(tarn_mutex_unlock(seg, &root->lock), 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_leaked(seg, &leaked), 0);
        assert_int_equal(leaked, bytes); /* what the library has, and nothing else */
    }
    assert_true(largest > 64); /* the buckets were grown */
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

/* What another program does: "walk", "readonly", or "taken" with an address at which something is. */
static int other_program(const char *what, const char *address)
{
    struct root *root;
    void *taken = MAP_FAILED;
    if (*what == 't') {
        char *want = (char *)strtoull(address, NULL, 16) + (1 << 20);
        taken = mmap(want, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        check(taken == want);
        check(tarn_open(url, 0, NULL, &seg) == -EADDRINUSE && strstr(tarn_error(), address));
        check(tarn_open(url, TARN_RDONLY, NULL, &seg) == -EADDRINUSE);
        munmap(taken, 4096);
    }
    check((root = open_root(*what == 'r' ? TARN_RDONLY : 0)) != NULL);
    walk(root);
    check(tarn_close(seg) == 0);
    return 0;
}

static void walked_by_others(void **state)
{
    (void)state;
    struct root *root = open_root(TARN_CREATE | TARN_EXCL);
    struct tarn_stat before, after;
    char address[32];
    int status;
    assert_non_null(root);
    assert_int_equal(tarn_stat(seg, &before), 0);
    snprintf(address, sizeof address, "%llx", (unsigned long long)before.address);
    assert_int_equal(tarn_begin(seg), 0);
    for (uint64_t key = 0; key < KEYS;
         key++) { /* nobody else is there: nothing but the root is to be saved while it is built */
        if (key == 0)
            assert_int_equal(tarn_save(seg, root, sizeof *root), 0);
        turn(root, key);
    }
    assert_int_equal(tarn_commit(seg), 0);
    const char *const what[] = {"walk", "readonly", "taken"};
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        pid_t child = fork_child();
        if (child == 0) {
            execl("/proc/self/exe", "test_same_address", what[i], address, (char *)NULL);
            _exit(97);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    /* it grows, and is where it was */
    assert_int_equal(tarn_grow(seg, 2 << 20), 0);
    assert_int_equal(tarn_stat(seg, &after), 0);
    assert_true(after.data >= before.data + (2 << 20) && after.address == before.address);
    walk(root);
    pid_t child = fork_child();
    if (child == 0) { /* a forked child has it there, too */
        walk(root);
        check(tarn_begin(seg) == 0 && tarn_mutex_lock(seg, &root->lock) == 0 && save_all(root) == 0);
        turn(root, 7);
        check(tarn_commit(seg) == 0 && tarn_mutex_unlock(seg, &root->lock) == 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    walk(root);
    assert_int_equal(root->count, KEYS - 1);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink(url), 0);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return other_program(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(walked_by_others, own_directory, remove_directory),
        cmocka_unit_test_setup_teardown(killed_in_the_midst, own_directory, remove_directory),
    };
    extern long check_pause_ns;
    check_pause_ns = 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

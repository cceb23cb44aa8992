/* test_again.c - values that are replaced while they are copied out, at a place that the test chooses: the second look of who reads, and the pin.
 *
 * The half of the caller's memory may not be written to. The fault comes in the midst of the copy; its handler has another handle, of the same
 * thread, replace the value, so often that the old one's memory is used again; then the copy goes on. What the call returns must be of one moment.
 * Walks copy into memory that the library asks for (realloc), which is such a place, too. */
#include "helper.h"

enum { BYTES = 3000, PAGE = 4096, MANY = 2000, FEW = 50 };

static tarn *seg, *reader; /* reader: read-only, or one that pins */
static tarn_bytes *bytes;
static tarn_vector *vector;
static tarn_map *map[2]; /* of seg, of reader */
static tarn_tree *tree[2];
static char *pages, *to;      /* of `to` the first half is writable */
static void (*replace)(void); /* called by the fault */
static int faults, replacements;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    char *at = info->si_addr;
    if (at < pages + PAGE || at >= pages + 2 * PAGE)
        _exit(3);
    faults++;
    mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
    replace();
}

static int open_all(void **state)
{
    (void)state;
    struct tarn_options o = {.size = sizeof o, .limit = 4 << 20};
    alarm(120);
    pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    to = pages + PAGE - BYTES / 2;
    return pages == MAP_FAILED || tarn_open("memfd:again", TARN_CREATE, &o, &seg) ||
           tarn_object(seg, "bytes", tarn_bytes, &bytes) || tarn_object(seg, "vector", tarn_vector, &vector) ||
           tarn_map_open(seg, "map", TARN_CREATE, &map[0]) || tarn_tree_open(seg, "tree", TARN_CREATE, &tree[0]);
}
static int close_all(void **state)
{
    (void)state;
    tarn_map_close(map[0]);
    tarn_tree_close(tree[0]);
    assert_clean(seg);
    return munmap(pages, 2 * PAGE) || tarn_close(seg);
}

/* ---- the four that copy ---- */

static int put_bytes(const char *from)
{
    return tarn_bytes_set(seg, bytes, from, BYTES);
}
static int put_map(const char *from)
{
    return tarn_map_put(map[0], "key", 3, from, BYTES);
}
static int put_tree(const char *from)
{
    return tarn_tree_put(tree[0], "key", 3, from, BYTES);
}
/* In place */
static int put_vector(const char *from)
{
    return tarn_vector_size(seg, vector) ? tarn_vector_set(seg, vector, 0, from, BYTES)
                                         : tarn_vector_push(seg, vector, from, BYTES, NULL);
}

static int get_bytes(void)
{
    tarn_bytes *b;
    int e = tarn_object(reader, "bytes", tarn_bytes, &b);
    return e ? e : tarn_bytes_get(reader, b, to, BYTES, NULL);
}
static int get_map(void)
{
    return tarn_map_get(map[1], "key", 3, to, BYTES, NULL);
}
static int get_tree(void)
{
    return tarn_tree_get(tree[1], "key", 3, to, BYTES, NULL);
}
static int get_vector(void)
{
    tarn_vector *v;
    int e = tarn_object(reader, "vector", tarn_vector, &v);
    return e ? e : tarn_vector_get(reader, v, 0, to, BYTES);
}

static const struct kind {
    const char *name;
    int (*put)(const char *from), (*get)(void);
} kinds[] = {{"bytes", put_bytes, get_bytes},
             {"map", put_map, get_map},
             {"tree", put_tree, get_tree},
             {"vector", put_vector, get_vector}};
static const struct kind *kind;

static void replace_often(void)
{
    char text[BYTES];
    memset(text, 'b', sizeof text);
    for (int i = 0; i < replacements; i++)
        if (kind->put(text))
            _exit(4);
}

/* Its element goes, with its memory, which others use then. */
static void take_away(void)
{
    static char text[8 * BYTES]; /* as a vector's first chunk */
    memset(text, 'x', sizeof text);
    if (tarn_vector_resize(seg, vector, 0, BYTES))
        _exit(4);
    for (int i = 0; i < MANY; i++)
        if (tarn_bytes_set(seg, bytes, text, sizeof text))
            _exit(4);
}

static struct sigaction cmockas;

static void open_reader(unsigned flags)
{
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGSEGV, &a, &cmockas), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), flags, &reader), 0);
    assert_int_equal(tarn_map_open(reader, "map", 0, &map[1]), 0);
    assert_int_equal(tarn_tree_open(reader, "tree", 0, &tree[1]), 0);
}
static void close_reader(void)
{
    tarn_map_close(map[1]);
    tarn_tree_close(tree[1]);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(sigaction(SIGSEGV, &cmockas, NULL), 0);
}

/* get, with a fault half-way */
static int get_while(void (*what)(void))
{
    memset(pages, 0, 2 * PAGE);
    assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_NONE), 0);
    faults = 0;
    replace = what;
    int e = kind->get();
    assert_int_equal(faults, 1);
    return e;
}

static void assert_all(char letter)
{
    for (int i = 0; i < BYTES; i++)
        if (to[i] != letter)
            fail_msg("%s: byte %d of %d is '%c', where all should be '%c'", kind->name, i, BYTES, to[i], letter);
}

static void put_all(char letter)
{
    char text[BYTES];
    memset(text, letter, sizeof text);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        assert_int_equal(kinds[i].put(text), 0);
}

/* Read-only: it copies once more. */
static void a_copy_of_used_memory_does_not_count(void **state)
{
    (void)state;
    open_reader(TARN_RDONLY);
    put_all('a');
    replacements = MANY;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        kind = &kinds[i];
        assert_int_equal(get_while(replace_often), 0);
        assert_all('b');
    }
    assert_int_equal(get_while(take_away), -ENOENT); /* the vector's */
    close_reader();
}

/* ---- walks ---- */

static int reallocs_left; /* until one calls replace */
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    if (reallocs_left && --reallocs_left == 0)
        replace();
    return __real_realloc(memory, size);
}

static int shown;

static int look_at(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    const char *at = value;
    (void)arg;
    assert_int_equal(key_size, 3);
    assert_memory_equal(key, "key", 3);
    assert_int_equal(size, BYTES);
    memcpy(to, value, BYTES);
    assert_all(at[0] == 'a' ? 'a' : 'b');
    shown++;
    return 0;
}

/* Its value is replaced, and what was its memory is used for other things. */
static void replace_and_use(void)
{
    char text[BYTES];
    replace_often();
    memset(text, 'x', sizeof text);
    for (int i = 0; i < MANY; i++)
        if (put_bytes(text))
            _exit(4);
}

static void a_walk_over_used_memory_does_not_count(void **state)
{
    (void)state;
    open_reader(TARN_RDONLY);
    replacements = 1;
    replace = replace_and_use;
    for (int of_tree = 0; of_tree < 2; of_tree++) {
        int n = 0, e;
        kind = &kinds[of_tree ? 2 : 1];
        do {
            put_all('a');
            reallocs_left = ++n;
            shown = 0;
            e = of_tree ? tarn_tree_each(tree[1], look_at, NULL) : tarn_map_each(map[1], look_at, NULL);
            assert_int_equal(e, 0);
            assert_int_equal(shown, 1);
        } while (!reallocs_left);
        assert_in_range(n, 2, 10);
    }
    reallocs_left = shown = 0;
    close_reader();
}

struct member {
    tarn_link link;
    char text[BYTES];
};
static tarn_list *list;
static tarn_ref first;

/* The list's first member goes, and what was its memory is used for other things. */
static void take_out_and_use(void)
{
    static char text[sizeof(struct member)];
    struct member *m = tarn_ptr(seg, first, sizeof *m);
    memset(text, 'x', sizeof text);
    if (tarn_begin(seg) || tarn_list_remove(seg, list, &m->link) || tarn_retire(seg, first) || tarn_commit(seg))
        _exit(4);
    for (int i = 0; i < MANY; i++)
        if (tarn_bytes_set(seg, bytes, text, sizeof text - 8))
            _exit(4);
}

static int look_at_member(void *member, void *arg)
{
    (void)arg;
    memcpy(to, ((struct member *)member)->text, BYTES);
    assert_all(to[0] == 'a' ? 'a' : 'b');
    shown++;
    return 0;
}

static void a_walk_over_a_member_that_went_does_not_count(void **state)
{
    (void)state;
    static const struct kind lists = {.name = "list"};
    tarn_list *there;
    open_reader(TARN_RDONLY);
    kind = &lists;
    assert_int_equal(tarn_object(seg, "list", tarn_list, &list), 0);
    assert_int_equal(tarn_object(reader, "list", tarn_list, &there), 0);
    for (char letter = 'b'; letter >= 'a'; letter--) { /* the one before the other */
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_alloc(seg, sizeof(struct member), &first), 0);
        struct member *m = tarn_ptr(seg, first, sizeof *m);
        memset(m->text, letter, BYTES);
        assert_int_equal(tarn_list_insert_first(seg, list, &m->link), 0);
        assert_int_equal(tarn_commit(seg), 0);
    }
    replace = take_out_and_use;
    reallocs_left = 1;
    assert_int_equal(tarn_list_each(reader, there, 0, sizeof(struct member), look_at_member, NULL), 0);
    assert_int_equal(reallocs_left, 0);
    assert_int_equal(shown, 1);
    shown = 0;
    tarn_link *last = tarn_list_last(seg, list);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_list_remove(seg, list, last), 0);
    assert_int_equal(tarn_retire(seg, tarn_ref_of(seg, last)), 0);
    assert_int_equal(tarn_commit(seg), 0);
    close_reader();
}

/* Pinned: what it copies is kept for it; of the vector, written over in its place, it has the new. */
static void a_pinned_copy_is_not_used_again(void **state)
{
    (void)state;
    open_reader(0);
    put_all('a');
    replacements = FEW;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        kind = &kinds[i];
        assert_int_equal(get_while(replace_often), 0);
        assert_all(kind->put == put_vector ? 'b' : 'a');
    }
    close_reader();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_of_used_memory_does_not_count, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_walk_over_used_memory_does_not_count, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_walk_over_a_member_that_went_does_not_count, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_pinned_copy_is_not_used_again, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

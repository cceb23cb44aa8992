/* test_vector.c - the vector: each call's results, a random walk beside a private model, undo, memory that comes back, hostile bytes; processes that
 * push, pop and write over and are killed, and readers without locks beside them. */
#include "helper.h"

#include "collection/check.h"
#include "participant/participant.h"

static tarn *seg;
static tarn_vector *vector; /* named: tarn_check knows it */

static int open_segment(void **state)
{
    (void)state;
    struct tarn_options o = {.size = sizeof o, .limit = 16 << 20, .span_size = 4096};
    return tarn_open("memfd:vector", TARN_CREATE, &o, &seg) || tarn_object(seg, "vector", tarn_vector, &vector);
}
static int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

static void each_call(void **state)
{
    (void)state;
    uint64_t v = 7, got = 0, index = 99;
    assert_int_equal(tarn_vector_size(seg, vector), 0);
    assert_int_equal(tarn_vector_get(seg, vector, 0, &got, 8), -ENOENT);
    assert_int_equal(tarn_vector_pop(seg, vector, &got, 8), -ENOENT);
    assert_int_equal(tarn_vector_set(seg, vector, 0, &v, 8), -ENOENT);
    assert_null(tarn_vector_at(seg, vector, 0, 8));
    for (uint64_t i = 0; i < 1000; i++) {
        v = i * i;
        assert_int_equal(tarn_vector_push(seg, vector, &v, 8, i % 2 ? &index : NULL), 0);
        if (i % 2)
            assert_int_equal(index, i);
    }
    uint64_t *first = tarn_vector_at(seg, vector, 0, 8), *last = tarn_vector_at(seg, vector, 999, 8);
    assert_int_equal(*first, 0);
    assert_int_equal(*last, 999 * 999);
    for (uint64_t i = 1000; i < 5000; i++)
        assert_int_equal(tarn_vector_push(seg, vector, &i, 8, NULL), 0);
    assert_ptr_equal(tarn_vector_at(seg, vector, 0, 8), first); /* they do not move */
    assert_ptr_equal(tarn_vector_at(seg, vector, 999, 8), last);
    assert_int_equal(tarn_vector_size(seg, vector), 5000);
    for (uint64_t i = 0; i < 5000; i++) {
        assert_int_equal(tarn_vector_get(seg, vector, i, &got, 8), 0);
        assert_int_equal(got, i < 1000 ? i * i : i);
        assert_ptr_equal(tarn_vector_at(seg, vector, i, 8) != NULL, true);
    }
    v = 5;
    assert_int_equal(tarn_vector_set(seg, vector, 4999, &v, 8), 0);
    assert_int_equal(tarn_vector_set(seg, vector, 5000, &v, 8), -ENOENT);
    assert_int_equal(tarn_vector_get(seg, vector, 5000, &got, 8), -ENOENT);
    assert_null(tarn_vector_at(seg, vector, 5000, 8));
    assert_int_equal(tarn_vector_pop(seg, vector, &got, 8), 0);
    assert_int_equal(got, 5);
    assert_int_equal(tarn_vector_pop(seg, vector, NULL, 8), 0);
    assert_int_equal(tarn_vector_size(seg, vector), 4998);
    /* the other size, and places that cannot be */
    char big[16] = {0};
    assert_int_equal(tarn_vector_push(seg, vector, big, 16, NULL), -EPROTO);
    assert_int_equal(tarn_vector_pop(seg, vector, big, 16), -EPROTO);
    assert_int_equal(tarn_vector_set(seg, vector, 0, big, 16), -EPROTO);
    assert_int_equal(tarn_vector_get(seg, vector, 0, big, 16), -EPROTO);
    assert_int_equal(tarn_vector_resize(seg, vector, 1, 16), -EPROTO);
    assert_int_equal(tarn_vector_init(seg, vector, 16), -EPROTO);
    assert_non_null(strstr(tarn_error(), "of 8 bytes, and not of 16"));
    assert_int_equal(tarn_vector_init(seg, vector, 8), 0);
    assert_null(tarn_vector_at(seg, vector, 0, 16));
    assert_int_equal(tarn_vector_push(seg, vector, big, 0, NULL), -EINVAL);
    assert_int_equal(tarn_vector_push(seg, vector, big, TARN_VECTOR_ELEMENT_MOST + 1, NULL), -EINVAL);
    tarn_vector nowhere = {0};
    assert_int_equal(tarn_vector_push(seg, &nowhere, big, 8, NULL), -EINVAL);
    assert_int_equal(tarn_vector_get(seg, &nowhere, 0, big, 8), -EINVAL);
    assert_int_equal(tarn_vector_size(seg, &nowhere), 0);
    assert_int_equal(tarn_vector_push(seg, (tarn_vector *)(void *)((char *)vector + 4), big, 8, NULL), -EINVAL);
    assert_int_equal(tarn_vector_resize(seg, vector, UINT64_C(1) << 43, 8), -EINVAL);
    assert_int_equal(tarn_vector_resize(seg, vector, UINT64_C(1) << 30, 8), -ENOSPC); /* beyond the segment's limit */
    assert_int_equal(tarn_vector_size(seg, vector), 4998);
    tarn *reader;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    tarn_vector *there;
    assert_int_equal(tarn_object(reader, "vector", tarn_vector, &there), 0);
    assert_ptr_not_equal(there, vector);
    assert_int_equal(tarn_vector_size(reader, there), 4998);
    assert_int_equal(tarn_vector_get(reader, there, 999, &got, 8), 0);
    assert_int_equal(got, 999 * 999);
    assert_int_equal(tarn_vector_get(reader, there, 4998, &got, 8), -ENOENT);
    assert_int_equal(tarn_vector_push(reader, there, &v, 8, NULL), -EROFS);
    assert_int_equal(tarn_close(reader), 0);
}

/* ---- beside a model ---- */

enum { MOST = 700 };

struct model {
    unsigned char byte[MOST]; /* an element's bytes are this one, this one + 1, ... */
    uint64_t size;
};

static void fill(unsigned char *to, unsigned char from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(from ? from + i : 0); /* 0: a new one, of zeros */
}

static void assert_same(const struct model *m, size_t size)
{
    unsigned char want[64], odd[65], *got = odd + 1; /* aligned to nothing */
    assert_int_equal(tarn_vector_size(seg, vector), m->size);
    for (uint64_t i = 0; i < m->size; i++) {
        fill(want, m->byte[i], size);
        assert_int_equal(tarn_vector_get(seg, vector, i, got, size), 0);
        assert_memory_equal(want, got, size);
        assert_memory_equal(want, tarn_vector_at(seg, vector, i, size), size);
    }
}

static void walk_with(size_t size, unsigned seed)
{
    struct model m = {.size = 0}, before = m;
    unsigned char odd[65], *element = odd + 1, got[64], want[64];
    bool open = false;
    assert_int_equal(tarn_vector_resize(seg, vector, 0, size), 0);
    for (int round = 0; round < (SANITIZED ? 1500 : 6000); round++) {
        unsigned r = (unsigned)rand_r(&seed) % 100;
        unsigned char b = (unsigned char)(1 + rand_r(&seed) % 150);
        uint64_t i = m.size ? (uint64_t)rand_r(&seed) % m.size : 0;
        fill(element, b, size);
        if (r < 8 && !open) {
            assert_int_equal(tarn_begin(seg), 0);
            before = m;
            open = true;
        } else if (r < 4 && open) {
            assert_int_equal(tarn_commit(seg), 0);
            open = false;
        } else if (r < 8 && open) {
            assert_int_equal(tarn_abort(seg), 0);
            m = before;
            open = false;
            assert_same(&m, size);
        } else if (r < 50 && m.size < MOST) {
            uint64_t index = 0;
            assert_int_equal(tarn_vector_push(seg, vector, element, size, &index), 0);
            assert_int_equal(index, m.size);
            m.byte[m.size++] = b;
        } else if (r < 75 && m.size) {
            assert_int_equal(tarn_vector_pop(seg, vector, got, size), 0);
            fill(want, m.byte[--m.size], size);
            assert_memory_equal(got, want, size);
        } else if (r < 95 && m.size) {
            assert_int_equal(tarn_vector_set(seg, vector, i, element, size), 0);
            m.byte[i] = b;
        } else {
            uint64_t to = (uint64_t)rand_r(&seed) % (rand_r(&seed) % 4 ? 40 : MOST);
            assert_int_equal(tarn_vector_resize(seg, vector, to, size), 0);
            if (to > m.size)
                memset(m.byte + m.size, 0, to - m.size);
            m.size = to;
        }
        if (round % 16 == 0)
            assert_same(&m, size);
    }
    if (open)
        assert_int_equal(tarn_commit(seg), 0);
    assert_same(&m, size);
}
static void random_walks(void **state)
{
    (void)state;
    static const size_t size[] = {8, 1, 2, 3, 4, 12, 16, 24, 40};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        walk_with(size[i], 11 + (unsigned)i);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_unbind(seg, "vector", 1), 0);
        assert_int_equal(tarn_object(seg, "vector", tarn_vector, &vector), 0);
    }
}

/* ---- memory ---- */

static void memory_comes_back(void **state)
{
    (void)state;
    uint64_t nothing = stat_of(seg).allocated, element[3] = {1, 2, 3};
    for (int round = 0; round < 20; round++) { /* 20 times more than there is */
        for (int i = 0; i < 100000; i++)
            assert_int_equal(tarn_vector_push(seg, vector, element, sizeof element, NULL), 0);
        if (round % 2) {
            assert_int_equal(tarn_vector_resize(seg, vector, 0, sizeof element), 0);
            assert_int_equal(stat_of(seg).allocated, nothing);
        } else {
            while (tarn_vector_size(seg, vector))
                assert_int_equal(tarn_vector_pop(seg, vector, NULL, sizeof element), 0);
            assert_true(stat_of(seg).allocated > nothing &&
                        stat_of(seg).allocated < nothing + 1000); /* the first chunk is kept */
        }
    }
    /* about a chunk's boundary, nothing is allocated and retired again and again */
    assert_int_equal(tarn_vector_resize(seg, vector, 8, sizeof element), 0);
    assert_int_equal(tarn_vector_push(seg, vector, element, sizeof element, NULL), 0);
    tarn_ref chunk = vector->chunk[1];
    for (int i = 0; i < 10; i++) {
        assert_int_equal(tarn_vector_pop(seg, vector, NULL, sizeof element), 0);
        assert_int_equal(vector->chunk[1], chunk);
        assert_int_equal(tarn_vector_push(seg, vector, element, sizeof element, NULL), 0);
        assert_int_equal(vector->chunk[1], chunk);
    }
    assert_int_equal(tarn_unbind(seg, "vector", 1), 0);
    assert_true(stat_of(seg).allocated < nothing);
    assert_int_equal(tarn_object(seg, "vector", tarn_vector, &vector), 0);
}

/* What does not fit changes nothing, in a section of the caller's neither. */
static void full(void **state)
{
    (void)state;
    static char element[4096];
    uint64_t n = 0, nothing = stat_of(seg).allocated;
    int e;
    while ((e = tarn_vector_push(seg, vector, element, sizeof element, NULL)) == 0)
        n++;
    assert_int_equal(e, -ENOSPC);
    assert_true(n > 500);
    assert_int_equal(tarn_vector_size(seg, vector), n);
    uint64_t has = stat_of(seg).allocated;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_vector_push(seg, vector, element, sizeof element, NULL), -ENOSPC);
    assert_int_equal(tarn_vector_pop(seg, vector, element, sizeof element), 0);
    assert_int_equal(tarn_vector_push(seg, vector, element, sizeof element, NULL), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_vector_size(seg, vector), n);
    assert_int_equal(stat_of(seg).allocated, has);
    assert_int_equal(tarn_vector_resize(seg, vector, 0, sizeof element), 0);
    assert_int_equal(stat_of(seg).allocated, nothing);
}

/* ---- several processes ---- */

struct wide {
    uint64_t word[5]; /* all the same */
};

/* Writes over, pops, pushes, in sections of several changes, until it is killed. The first eight elements are always there. */
static void change_for_ever(unsigned seed)
{
    tarn *mine;
    tarn_vector *v;
    check(tarn_open_fd(tarn_fd(seg), 0, &mine) == 0 && tarn_object(mine, "vector", tarn_vector, &v) == 0);
    for (;;) {
        check(tarn_begin(mine) == 0);
        int e = 0;
        for (int n = rand_r(&seed) % 6; n >= 0 && e >= 0; n--) {
            uint64_t size = tarn_vector_size(mine, v), x = (uint64_t)rand_r(&seed);
            struct wide w = {{x, x, x, x, x}};
            switch (rand_r(&seed) % 4) {
            case 0: e = tarn_vector_set(mine, v, (uint64_t)rand_r(&seed) % 8, &w, sizeof w); break;
            case 1:
                if (size > 12) /* somebody may pop, too, before we have the lock */
                    e = tarn_vector_pop(mine, v, NULL, sizeof w);
                break;
            case 2:
                if (size < 300)
                    e = tarn_vector_push(mine, v, &w, sizeof w, NULL);
                break;
            default:
                e = size > 12 && size < 200 ? tarn_vector_resize(mine, v, size % 2 ? 12 : size * 2, sizeof w) : 0;
            }
            check(e == 0 || e == -EDEADLK);
        }
        check((e < 0 || rand_r(&seed) % 3 == 0 ? tarn_abort : tarn_commit)(mine) == 0);
        if (rand_r(&seed) % 8 == 0)
            for (volatile int wait = 0; wait < 20000; wait++)
                ; /* a gap in which a reader without a lock comes through */
    }
}

static void read_while_changed(void **state)
{
    (void)state;
    tarn *reader;
    tarn_vector *there;
    struct wide w = {{1, 1, 1, 1, 1}};
    long good[2] = {0}, again = 0, torn = 0;
    for (int i = 0; i < 13; i++)
        assert_int_equal(tarn_vector_push(seg, vector, &w, sizeof w, NULL), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "vector", tarn_vector, &there), 0);
    unsigned seed = 3;
    for (int round = 0; round < 8; round++) {
        pid_t child[2];
        for (int k = 0; k < 2; k++)
            if ((child[k] = fork_child()) == 0) {
                change_for_ever((unsigned)round * 2 + (unsigned)k + 70);
                _exit(9);
            }
        for (int n = 0; n < (SANITIZED ? 2000 : 15000); n++) {
            int k = n % 8 == 0;
            uint64_t i = (uint64_t)rand_r(&seed) % 20;
            int e = tarn_vector_get(k ? reader : seg, k ? there : vector, i, &w, sizeof w);
            assert_true(e == 0 || (e == -ENOENT && i >= 8) || (e == -EAGAIN && k));
            if (e == 0)
                for (int j = 1; j < 5; j++)
                    torn += w.word[j] != w.word[0];
            good[k] += e == 0;
            again += e == -EAGAIN;
            tarn_read_begin(seg);
            void *at = tarn_vector_at(seg, vector, i, sizeof w);
            assert_true(at || i >= 8);
            tarn_read_end(seg);
            if (n % 2000 == 0)
                assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        }
        for (int k = 0; k < 2; k++) {
            assert_int_equal(kill(child[k], SIGKILL), 0);
            assert_int_equal(waitpid(child[k], NULL, 0), child[k]);
        }
        assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* dead, and not recovered */
        assert_true(tarn_recover(seg) >= 0);
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    }
    print_message("read: %ld, read-only %ld, and tried in vain %ld\n", good[0], good[1], again);
    assert_int_equal(torn, 0);
    assert_true(good[0] > 0 && good[1] > 0);
    assert_int_equal(tarn_close(reader), 0);
}

/* Half of an element is there, by a section that stands open: a writer's get waits until it ends, a read-only one gives up; both read the others. And what a
 * dead one wrote over is what it was. */
static void written_over_and_held(void **state)
{
    (void)state;
    tarn *reader;
    tarn_vector *there;
    struct wide w = {{1, 1, 1, 1, 1}}, x = {{2, 2, 2, 2, 2}}, got;
    int status;
    for (int i = 0; i < 3; i++)
        assert_int_equal(tarn_vector_push(seg, vector, &w, sizeof w, NULL), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "vector", tarn_vector, &there), 0);
    pid_t child = fork_child();
    if (child == 0) {
        check(tarn_begin(seg) == 0 && tarn_vector_push(seg, vector, &w, sizeof w, NULL) == 0);
        raise(SIGSTOP); /* it holds the lock, and has written over nothing */
        check(tarn_vector_set(seg, vector, 1, &x, sizeof x) == 0);
        memset((char *)tarn_vector_at(seg, vector, 1, sizeof w) + 8, 9, 8); /* as if half-way */
        raise(SIGSTOP);
        _exit(9);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(tarn_vector_get(seg, vector, 1, &got, sizeof got), 0);
    assert_memory_equal(&got, &w, sizeof w);
    assert_int_equal(tarn_vector_get(reader, there, 1, &got, sizeof got), 0);
    assert_memory_equal(&got, &w, sizeof w);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(tarn_vector_get(reader, there, 1, &got, sizeof got), -EAGAIN);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(tarn_vector_get(seg, vector, 1, &got, sizeof got), 0); /* recovers it */
    assert_memory_equal(&got, &w, sizeof w);
    assert_int_equal(tarn_vector_get(reader, there, 1, &got, sizeof got), 0);
    assert_memory_equal(&got, &w, sizeof w);
    assert_int_equal(tarn_vector_size(seg, vector), 3);
    assert_int_equal(tarn_close(reader), 0);
    /* what one's own section wrote, it reads */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_vector_set(seg, vector, 1, &x, sizeof x), 0);
    assert_int_equal(tarn_vector_get(seg, vector, 1, &got, sizeof got), 0);
    assert_memory_equal(&got, &x, sizeof x);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_vector_get(seg, vector, 1, &got, sizeof got), 0);
    assert_memory_equal(&got, &w, sizeof w);
}

/* Each pushes its own numbers, in order; one in three is killed at some time: all that was said to be in is in, at the index that was said, once. */
static void pushed_by_several(void **state)
{
    (void)state;
    enum { CHILDREN = 3, NUMBERS = SANITIZED ? 2000 : 20000 };
    uint64_t *said =
        mmap(NULL, sizeof *said * CHILDREN * NUMBERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(said, MAP_FAILED);
    pid_t child[CHILDREN];
    for (uint64_t c = 0; c < CHILDREN; c++)
        if ((child[c] = fork_child()) == 0) {
            for (uint64_t i = 0; i < NUMBERS; i++) {
                uint64_t number = c * NUMBERS + i, index;
                check(tarn_vector_push(seg, vector, &number, 8, &index) == 0);
                __atomic_store_n(&said[number], 1 + index, __ATOMIC_RELEASE);
                if (c == 2 && i == NUMBERS / 2)
                    raise(SIGKILL);
            }
            _exit(0);
        }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        assert_int_equal(waitpid(child[c], &status, 0), child[c]);
        assert_true(c == 2 ? WIFSIGNALED(status) : status == 0);
    }
    uint64_t size = tarn_vector_size(seg, vector), number, next[CHILDREN] = {0};
    assert_int_equal(size, 2 * NUMBERS + NUMBERS / 2 + 1);
    for (uint64_t i = 0; i < size; i++) {
        assert_int_equal(tarn_vector_get(seg, vector, i, &number, 8), 0);
        assert_int_equal(said[number], 1 + i);
        assert_int_equal(number % NUMBERS, next[number / NUMBERS]++);
    }
    munmap(said, sizeof *said * CHILDREN * NUMBERS);
}

/* Who has only pushed at places never seen, makes nobody wait: also if he wrote over something in a section before. */
static void held_and_not_written_over(void **state)
{
    (void)state;
    const uint64_t old[2] = {1, 1}, new[2] = {2, 2};
    uint64_t got[2];
    tarn *reader;
    tarn_vector *there;
    assert_int_equal(tarn_vector_push(seg, vector, old, 16, NULL), 0);
    assert_int_equal(tarn_vector_set(seg, vector, 0, new, 16), 0);
    assert_int_not_equal(vector->changing, 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "vector", tarn_vector, &there), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_vector_push(seg, vector, old, 16, NULL), 0);
    assert_int_equal(tarn_vector_get(reader, there, 0, got, 16), 0);
    assert_memory_equal(got, new, 16);
    assert_int_equal(tarn_vector_set(seg, vector, 1, new, 16), 0);
    assert_int_equal(tarn_vector_get(reader, there, 0, got, 16), -EAGAIN);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_vector_get(reader, there, 1, got, 16), 0);
    assert_memory_equal(got, new, 16);
    assert_int_equal(tarn_close(reader), 0);
}

/* Grown to where nothing ever was, in the chunk that there is: only size tells, and is undone. */
static void grown_and_undone(void **state)
{
    (void)state;
    const uint64_t one = 1;
    uint64_t got;
    assert_int_equal(tarn_vector_push(seg, vector, &one, 8, NULL), 0);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_vector_resize(seg, vector, 5, 8), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_vector_size(seg, vector), 1);
    assert_int_equal(tarn_vector_push(seg, vector, &one, 8, &got), 0);
    assert_int_equal(got, 1);
}

/* A look-up stores no byte behind the element in the caller's memory. */
static void nothing_behind(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 24; size++) {
        tarn_vector *of;
        char name[16], from[24], to[32];
        snprintf(name, sizeof name, "of %zu", size);
        memset(from, 1, sizeof from);
        memset(to, 2, sizeof to);
        assert_int_equal(tarn_object(seg, name, tarn_vector, &of), 0);
        assert_int_equal(tarn_vector_push(seg, of, from, size, NULL), 0);
        assert_int_equal(tarn_vector_get(seg, of, 0, to, size), 0);
        assert_memory_equal(to, from, size);
        for (size_t i = size; i < sizeof to; i++)
            assert_int_equal(to[i], 2);
    }
}

/* ---- what tarn_check asks ---- */

struct told {
    const char *damage;
    int blocks;
    void (*meanwhile)(void); /* by somebody else, when it has begun to look */
};
static void tell_damage(uint64_t ref, const char *what, void *arg)
{
    (void)ref;
    ((struct told *)arg)->damage = what;
}
static void tell_block(uint64_t ref, uint64_t size, void *arg)
{
    (void)ref, (void)size;
    ((struct told *)arg)->blocks++;
}
static void tell_owner(const tarn_mutex *mutex, void *arg)
{
    struct told *t = arg;
    (void)mutex;
    if (t->meanwhile)
        t->meanwhile();
}
static struct told ask(tarn_vector *v, void (*meanwhile)(void))
{
    struct told t = {.meanwhile = meanwhile};
    const struct collection_checker k = {.damage = tell_damage, .block = tell_block, .owner = tell_owner, .arg = &t};
    vector_check(seg, tarn_ref_of(seg, v), &k);
    return t;
}

static void push_one(void)
{
    uint64_t wide[2] = {0};
    check(tarn_vector_push(seg, vector, wide, 16, NULL) == 0);
}
static void take_all(void)
{
    check(tarn_vector_resize(seg, vector, 0, 16) == 0);
}

/* What is changed while it looks is no damage. */
static void checked_in_the_midst(void **state)
{
    (void)state;
    assert_null(ask(vector, push_one).damage); /* the first: its element had no size yet */
    assert_int_equal(vector->element, 16);
    while (vector->size < 8)
        push_one();
    struct told t = ask(vector, NULL);
    assert_null(t.damage);
    assert_int_equal(t.blocks, 1);
    push_one();
    t = ask(vector, take_all);
    assert_null(t.damage);
    assert_int_equal(t.blocks, 0);
    assert_int_equal(vector->size, 0);
}

/* ---- hostile bytes ---- */

#define INDEX_END ((8ull << TARN_VECTOR_CHUNKS) - 8)

struct two {
    tarn_vector v;
    tarn_ref behind;
};

/* A word that stands behind the last chunk's is never taken for a chunk's; sizes up to the most are none that cannot be. */
static void at_the_end(void **state)
{
    (void)state;
    struct two *two;
    tarn_ref block;
    uint64_t wide[2] = {5, 6}, other = 0;
    static char widest[TARN_VECTOR_ELEMENT_MOST + 1];
    assert_int_equal(tarn_object(seg, "two", struct two, &two), 0);
    tarn_vector *v = &two->v;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 128, &block), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_vector_push(seg, v, wide, 16, NULL), 0);
    const tarn_vector good = *v;
    two->behind = block;
    v->size = INDEX_END;
    assert_int_equal(tarn_vector_push(seg, v, wide, 16, NULL), -ENOSPC);
    struct told t = ask(v, NULL);
    assert_string_equal(t.damage, "a vector: a chunk is missing");
    assert_int_equal(t.blocks, 1);
    v->size = INDEX_END + 1;
    assert_non_null(ask(v, NULL).damage);
    assert_int_equal(tarn_vector_get(seg, v, INDEX_END, wide, 16), -EUCLEAN);
    assert_int_equal(tarn_vector_set(seg, v, INDEX_END, wide, 16), -EUCLEAN);
    assert_int_equal(tarn_vector_pop(seg, v, wide, 16), -EUCLEAN);
    assert_int_equal(tarn_vector_resize(seg, v, 1, 16), -EUCLEAN);
    assert_null(tarn_vector_at(seg, v, INDEX_END, 16));
    assert_int_equal(tarn_begin(seg), 0); /* under the lock */
    v->size = 1;
    assert_int_equal(tarn_vector_set(seg, v, 0, wide, 16), 0);
    v->size = INDEX_END + 1;
    assert_int_equal(tarn_vector_get(seg, v, INDEX_END, wide, 16), -EUCLEAN);
    assert_int_equal(tarn_commit(seg), 0);
    v->element = TARN_VECTOR_ELEMENT_MOST + 1;
    assert_null(tarn_vector_at(seg, v, 0, TARN_VECTOR_ELEMENT_MOST + 1));
    v->element = 16;
    v->size = INDEX_END;
    assert_int_equal(tarn_vector_resize(seg, v, 1, 16), 0);
    assert_int_equal(two->behind, block);
    *v = good;
    assert_int_equal(tarn_vector_resize(seg, v, 0, 16), 0);
    two->behind = 0;
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_free(seg, block), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_unbind(seg, "two", 1), 0);
    /* the most that may be asked for */
    assert_int_equal(tarn_vector_resize(seg, vector, INDEX_END, 1), -ENOSPC);
    assert_int_equal(tarn_vector_resize(seg, vector, INDEX_END + 1, 1), -EINVAL);
    assert_int_equal(tarn_vector_push(seg, vector, widest, sizeof widest, NULL), -EINVAL);
    assert_int_equal(tarn_vector_push(seg, vector, widest, sizeof widest - 1, NULL), 0);
    assert_null(ask(vector, NULL).damage);
    assert_int_equal(tarn_vector_get(seg, vector, 0, &other, 8), -EPROTO);
    assert_int_equal(tarn_unbind(seg, "vector", 1), 0);
    assert_int_equal(vector->size | vector->chunk[0], 0); /* whoever has it still, finds it empty */
}

static void hostile(void **state)
{
    (void)state;
    unsigned seed = 4;
    long reported = 0;
    uint64_t got;
    tarn_vector good;
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(tarn_vector_push(seg, vector, &i, 8, NULL), 0);
    good = *vector;
    alarm(300);
    for (int round = 0; round < 2000; round++) {
        uint64_t *word = (uint64_t *)(void *)vector + 1 + rand_r(&seed) % 16,
                 r = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed);
        switch (rand_r(&seed) % 5) {
        case 0: *word = r; break;
        case 1: *word = 0; break;
        case 2: *word ^= 1ull << rand_r(&seed) % 64; break;
        case 3: *word = r % (1 << 20) & ~7ull; break;
        default: *word = ~0ull - r % 100;
        }
        reported += tarn_check(seg, NULL, NULL) > 0;
        for (uint64_t i = 0; i < 120; i += 7) {
            int e = tarn_vector_get(seg, vector, i, &got, 8);
            assert_true(e == 0 || e == -ENOENT || e == -EUCLEAN || e == -EPROTO);
            uint64_t *at = tarn_vector_at(seg, vector, i, 8);
            got += at ? *at : 0;
        }
        assert_int_equal(tarn_begin(seg), 0);
        int e = round % 3 == 0   ? tarn_vector_set(seg, vector, r % 200, &got, 8)
                : round % 3 == 1 ? tarn_vector_pop(seg, vector, &got, 8)
                                 : tarn_vector_push(seg, vector, &got, 8, NULL);
        assert_true(e == 0 || e == -ENOENT || e == -EUCLEAN || e == -EPROTO || e == -ENOSPC);
        assert_int_equal(tarn_abort(seg), 0);
        *vector = good;
        vector->lock = (tarn_mutex){0};
    }
    assert_true(reported > 500);
    /* one by one */
    vector->chunk[1] = 0;
    assert_true(tarn_check(seg, NULL, NULL) > 0);
    assert_int_equal(tarn_vector_get(seg, vector, 8, &got, 8), -EUCLEAN);
    vector->chunk[1] = vector->chunk[2];
    assert_true(tarn_check(seg, NULL, NULL) > 0); /* used twice */
    vector->chunk[1] = good.chunk[1] + 16;
    assert_true(tarn_check(seg, NULL, NULL) > 0);
    *vector = good;
    vector->lock.owner = 0x7ff0fff0;
    assert_true(tarn_check(seg, NULL, NULL) > 0);
    *vector = good;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_call, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(random_walks, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(memory_comes_back, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(full, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(read_while_changed, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(written_over_and_held, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(held_and_not_written_over, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(nothing_behind, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(grown_and_undone, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(pushed_by_several, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(checked_in_the_midst, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(at_the_end, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_segment, close_segment),
    };
    extern long check_pause_ns;
    check_pause_ns = 1000000;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

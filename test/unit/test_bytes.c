/* test_bytes.c - byte strings: each call's results, sections, memory, hostile bytes; writers that are killed, and readers who see the old one or the new. */
#include "helper.h"

#include "participant/participant.h"

static tarn *seg;
static tarn_bytes *bytes; /* named: tarn_check knows it */

static int open_segment(void **state)
{
    (void)state;
    struct tarn_options o = {.size = sizeof o, .limit = 4 << 20, .span_size = 4096};
    return tarn_open("memfd:bytes", TARN_CREATE, &o, &seg) || tarn_object(seg, "bytes", tarn_bytes, &bytes);
}
static int close_segment(void **state)
{
    (void)state;
    assert_clean(seg);
    return tarn_close(seg);
}

static void assert_bytes(tarn *of, const tarn_bytes *b, const char *want)
{
    char got[5000];
    size_t size = 99;
    memset(got, 1, sizeof got);
    assert_int_equal(tarn_bytes_get(of, b, got, sizeof got, &size), 0);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(got, want, size);
    assert_int_equal(got[size], 1);
}

static void each_call(void **state)
{
    (void)state;
    uint64_t nothing = stat_of(seg).allocated;
    char few[4] = "###";
    size_t size = 1;
    assert_bytes(seg, bytes, "");
    assert_int_equal(tarn_bytes_append(seg, bytes, "", 0), 0);
    assert_bytes(seg, bytes, "");
    assert_int_equal(tarn_bytes_set(seg, bytes, "hello", 5), 0);
    assert_bytes(seg, bytes, "hello");
    assert_int_equal(tarn_bytes_append(seg, bytes, ", world", 7), 0);
    assert_bytes(seg, bytes, "hello, world");
    assert_int_equal(tarn_bytes_get(seg, bytes, few, 2, &size), 0);
    assert_string_equal(few, "he#");
    assert_int_equal(size, 12);
    assert_int_equal(tarn_bytes_get(seg, bytes, NULL, 0, &size), 0);
    assert_int_equal(tarn_bytes_get(seg, bytes, few, 1, NULL), 0);
    static char big[4001];
    memset(big, 'x', 4000); /* a run of its own */
    assert_int_equal(tarn_bytes_set(seg, bytes, big, 4000), 0);
    assert_bytes(seg, bytes, big);
    assert_int_equal(tarn_bytes_set(seg, bytes, NULL, 0), 0);
    assert_bytes(seg, bytes, "");
    assert_int_equal(stat_of(seg).allocated, nothing);
    tarn_bytes nowhere = {0};
    assert_int_equal(tarn_bytes_set(seg, &nowhere, "a", 1), -EINVAL);
    assert_int_equal(tarn_bytes_get(seg, &nowhere, few, 1, NULL), -EINVAL);
    assert_int_equal(tarn_bytes_set(seg, bytes, big, (1u << 30) + 1), -EINVAL);
    assert_says("a byte string has 1073741824 bytes at most");
    assert_int_equal(tarn_bytes_set(seg, bytes, big, 1u << 30), -EINVAL);
    assert_says("a block of 1073741832 bytes cannot be had"); /* it might have so many: but not in this segment */
    assert_int_equal(tarn_bytes_set(seg, bytes, "kept", 4), 0);
    assert_int_equal(tarn_bytes_append(seg, bytes, big, 1u << 30), -EINVAL); /* together too long */
    static char too_big[5 << 20];
    assert_int_equal(tarn_bytes_set(seg, bytes, too_big, sizeof too_big), -EINVAL); /* larger than any block of this segment */
    assert_bytes(seg, bytes, "kept");
    tarn *reader;
    tarn_bytes *there;
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "bytes", tarn_bytes, &there), 0);
    assert_bytes(reader, there, "kept");
    assert_int_equal(tarn_bytes_set(reader, there, "a", 1), -EROFS);
    assert_int_equal(tarn_close(reader), 0);
    for (int i = 0; i < 20000; i++) /* many times what there is room for */
        assert_int_equal(tarn_bytes_set(seg, bytes, big, (size_t)i % 4000), 0);
    assert_int_equal(tarn_unbind(seg, "bytes", 1), 0);
    assert_true(stat_of(seg).allocated < nothing);
    assert_int_equal(tarn_object(seg, "bytes", tarn_bytes, &bytes), 0);
}

static void in_sections(void **state)
{
    (void)state;
    assert_int_equal(tarn_bytes_set(seg, bytes, "before", 6), 0);
    for (int commit = 0; commit < 2; commit++) {
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_bytes_set(seg, bytes, "one", 3), 0);
        assert_int_equal(tarn_bytes_append(seg, bytes, ", two", 5), 0);
        assert_int_equal(tarn_bytes_set(seg, bytes, NULL, 0), 0);
        assert_bytes(seg, bytes, "");
        assert_int_equal(tarn_bytes_append(seg, bytes, "three", 5), 0);
        assert_bytes(seg, bytes, "three");
        assert_int_not_equal(bytes->lock.owner, 0);
        assert_int_equal((commit ? tarn_commit : tarn_abort)(seg), 0);
        assert_int_equal(bytes->lock.owner, 0);
        assert_bytes(seg, bytes, commit ? "three" : "before");
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    }
    /* under the lock, taken by the user, outside a section */
    assert_int_equal(tarn_mutex_lock(seg, &bytes->lock), 0);
    assert_int_equal(tarn_bytes_append(seg, bytes, "!", 1), 0);
    assert_int_not_equal(bytes->lock.owner, 0);
    assert_int_equal(tarn_mutex_unlock(seg, &bytes->lock), 0);
    assert_bytes(seg, bytes, "three!");
}

/* ---- several processes ---- */

enum { LONGEST = 3000 };

/* A string of one letter, of a length that goes with the letter: so half of one is seen. */
static size_t spell(char *to, unsigned letter)
{
    size_t size = letter * 113u % LONGEST + 1;
    memset(to, (int)('a' + letter), size);
    return size;
}

static void replace_for_ever(unsigned seed)
{
    tarn *mine;
    tarn_bytes *b;
    char text[LONGEST];
    check(tarn_open_fd(tarn_fd(seg), 0, &mine) == 0 && tarn_object(mine, "bytes", tarn_bytes, &b) == 0);
    for (;;) {
        bool section = rand_r(&seed) % 2;
        check(!section || tarn_begin(mine) == 0);
        size_t size = spell(text, (unsigned)rand_r(&seed) % 26);
        if (section && rand_r(&seed) % 2) /* a reader may see none */
            check(tarn_bytes_set(mine, b, NULL, 0) == 0 && tarn_bytes_set(mine, b, text, size) == 0);
        else
            check(tarn_bytes_set(mine, b, text, size) == 0);
        check(!section || (rand_r(&seed) % 2 ? tarn_abort : tarn_commit)(mine) == 0);
    }
}

static void read_while_replaced(void **state)
{
    (void)state;
    tarn *reader;
    tarn_bytes *there;
    char text[LONGEST], want[LONGEST];
    long good[2] = {0}, again = 0;
    assert_int_equal(tarn_bytes_set(seg, bytes, text, spell(text, 3)), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader), 0);
    assert_int_equal(tarn_object(reader, "bytes", tarn_bytes, &there), 0);
    for (int round = 0; round < 8; round++) {
        pid_t child[2];
        for (int k = 0; k < 2; k++)
            if ((child[k] = fork_child()) == 0) {
                replace_for_ever((unsigned)round * 2 + (unsigned)k + 1);
                _exit(9);
            }
        for (int n = 0; n < (SANITIZED ? 2000 : 10000); n++) {
            int k = n % 8 == 0;
            size_t size;
            int e = tarn_bytes_get(k ? reader : seg, k ? there : bytes, text, sizeof text, &size);
            assert_true(e == 0 || (k && e == -EAGAIN));
            again += e == -EAGAIN;
            if (e == 0 && size) {
                assert_true(size <= LONGEST);
                assert_int_equal(spell(want, (unsigned)(unsigned char)text[0] - 'a'), size);
                assert_memory_equal(text, want, size);
            }
            good[k] += e == 0;
        }
        for (int k = 0; k < 2; k++) {
            assert_int_equal(kill(child[k], SIGKILL), 0);
            assert_int_equal(waitpid(child[k], NULL, 0), child[k]);
        }
        assert_int_equal(tarn_check(seg, NULL, NULL), 0); /* dead, and not recovered */
        assert_true(tarn_recover(seg) >= 0);
        assert_int_equal(bytes->lock.owner, 0); /* neither held nor dirty */
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    }
    print_message("read: %ld, read-only %ld, and tried in vain %ld\n", good[0], good[1], again);
    assert_true(good[1] > 0);
    assert_int_equal(tarn_close(reader), 0);
}

static void hostile(void **state)
{
    (void)state;
    unsigned seed = 8;
    char text[200];
    size_t size;
    long reported = 0;
    assert_int_equal(tarn_bytes_set(seg, bytes, "some bytes", 10), 0);
    uint64_t good = bytes->block, *length = tarn_ptr(seg, good, 8);
    alarm(120);
    for (int round = 0; round < 2000; round++) {
        uint64_t *word = round % 2 ? &bytes->block : length, was = *word;
        switch (rand_r(&seed) % 4) {
        case 0: *word = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed); break;
        case 1: *word ^= 1ull << rand_r(&seed) % 64; break;
        case 2: *word = (uint64_t)rand_r(&seed) % (1 << 20); break;
        default: *word = ~0ull - (uint64_t)rand_r(&seed) % 50;
        }
        reported += tarn_check(seg, NULL, NULL) > 0;
        int e = tarn_bytes_get(seg, bytes, text, sizeof text, &size);
        assert_true(e == 0 || e == -EUCLEAN);
        assert_int_equal(tarn_begin(seg), 0);
        e = tarn_bytes_append(seg, bytes, "more", 4);
        assert_true(e == 0 || e == -EUCLEAN || e == -EINVAL || e == -ENOSPC);
        assert_int_equal(tarn_abort(seg), 0);
        *word = was;
    }
    assert_true(reported > 500);
    assert_bytes(seg, bytes, "some bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_call, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(in_sections, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(read_while_replaced, open_segment, close_segment),
        cmocka_unit_test_setup_teardown(hostile, open_segment, close_segment),
    };
    extern long check_pause_ns;
    check_pause_ns = 1000000;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_configure.c - one process: what may be set later, of each backing: mode, owner, limit of growth; and what a hostile writer may have stored there. */
#include "helper.h"

#include "participant/participant.h"
#include "segment/lifecycle.h"

static char file_url[128], sysv_url[32];
static const char *urls[] = {"posix:/set", file_url, sysv_url, "memfd:set", "anon:", "sysv:private"};
#define URLS (sizeof urls / sizeof *urls)
#define NOBODY 65534u

static const struct tarn_options small = {
    .size = sizeof small, .initial = 128 << 10, .limit = 1 << 20, .participants = 4, .record_size = 2048};

static int set_up(void **state)
{
    int e = own_directory(state);
    snprintf(file_url, sizeof file_url, "file:%s/set-file", own_path);
    snprintf(sysv_url, sizeof sysv_url, "sysv:0x%x", 0x6c000000u | (uint32_t)(getpid() & 0xffffff));
    return e;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < URLS; i++)
        (void)tarn_unlink(urls[i]);
    return remove_directory(state);
}

static tarn *make(const char *url)
{
    tarn *seg = NULL;
    int e = tarn_open(url, TARN_CREATE, &small, &seg);
    if (e < 0)
        fail_msg("%s: %s", url, tarn_error());
    return seg;
}

static void end(tarn *seg, const char *url)
{
    assert_int_equal(tarn_close(seg), 0);
    (void)tarn_unlink(url);
}

static void modes_are_set(void **state)
{
    (void)state;
    mode_t mask = umask(077);
    for (size_t i = 0; i < URLS; i++) {
        tarn *seg = make(urls[i]);
        assert_int_equal(stat_of(seg).mode, 0600);
        assert_int_equal(tarn_set_mode(seg, 0666), 0); /* the umask does not apply */
        assert_int_equal(stat_of(seg).mode, 0666);
        assert_int_equal(tarn_set_mode(seg, 01777), -EINVAL);
        assert_int_equal(tarn_set_mode(seg, 04600), -EINVAL);
        assert_int_equal(stat_of(seg).mode, 0666);
        assert_int_equal(tarn_set_mode(seg, 0), 0);
        assert_int_equal(tarn_set_mode(seg, 0640), 0); /* and back: it is its owner's */
        assert_int_equal(stat_of(seg).mode, 0640);
        end(seg, urls[i]);
    }
    umask(mask);
}

static void set_as_another(void *arg)
{
    tarn *seg = arg;
    check(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    check(tarn_set_mode(seg, 0666) == -EPERM);
    check(strstr(tarn_error(), "user 65534") && strstr(tarn_error(), "user 0") && strstr(tarn_error(), "mode"));
    check(tarn_set_owner(seg, NOBODY, UINT32_MAX) == -EPERM);
    check(strstr(tarn_error(), "owner"));
}

static void set_own(void *arg)
{
    tarn *seg = arg;
    check(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    check(tarn_set_mode(seg, 0) == 0); /* also where nobody may even look */
    check(tarn_set_mode(seg, 0600) == 0);
    check(tarn_set_owner(seg, 0, UINT32_MAX) == (tarn_fd(seg) >= 0 ? -EPERM : 0)); /* System V lets one give it away */
}

static void owners_are_set(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < URLS; i++) {
        tarn *seg = make(urls[i]);
        assert_int_equal(in_child(set_as_another, seg), 0);
        assert_int_equal(tarn_set_mode(seg, 0660), 0);
        assert_int_equal(tarn_set_owner(seg, UINT32_MAX, 100), 0);
        assert_true(stat_of(seg).uid == 0 && stat_of(seg).gid == 100 && stat_of(seg).mode == 0660);
        assert_int_equal(tarn_set_owner(seg, NOBODY, UINT32_MAX), 0);
        assert_true(stat_of(seg).uid == NOBODY && stat_of(seg).gid == 100);
        assert_int_equal(in_child(set_own, seg), 0);
        if (urls[i] == urls[0]) { /* it is a stranger's now, for who would open it */
            tarn *again;
            assert_int_equal(tarn_open(urls[i], 0, NULL, &again), -EACCES);
            assert_int_equal(tarn_open(urls[i], TARN_FOREIGN, NULL, &again), 0);
            assert_ptr_equal(again, seg);
            assert_int_equal(tarn_close(again), 0);
        }
        assert_int_equal(tarn_set_owner(seg, 0, 0), 0);
        assert_int_equal(tarn_set_owner(seg, UINT32_MAX, UINT32_MAX), 0);
        assert_true(stat_of(seg).uid == 0 && stat_of(seg).gid == 0);
        end(seg, urls[i]);
    }
}

static void limits_are_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < URLS; i++) {
        tarn *seg = make(urls[i]), *reader;
        struct tarn_stat s = stat_of(seg);
        assert_int_equal(s.growth, s.limit);
        assert_int_equal(tarn_set_limit(seg, (1 << 20) + 1), -EINVAL);
        assert_says("1048576");
        assert_int_equal(tarn_set_limit(seg, (192 << 10) - 5), 0); /* rounded up to spans */
        assert_int_equal(stat_of(seg).growth,
                         seg->geometry.zone[ZONE_SIDE] + 3 * seg->geometry.side_size + (192 << 10));
        assert_int_equal(tarn_grow(seg, 65536), 0);
        assert_int_equal(committed_of(seg), 192 << 10); /* no generous step beyond */
        assert_int_equal(tarn_grow(seg, 1), -ENOSPC);
        assert_says("tarn_set_limit");
        assert_says("196608");
        assert_int_equal(tarn_grow(seg, 2 << 20), -ENOSPC);
        assert_says("make it anew"); /* which no setting would mend */
        tarn_ref ref = 0;
        assert_int_equal(tarn_begin(seg), 0);
        assert_int_equal(tarn_alloc(seg, 512 << 10, &ref), -ENOSPC);
        assert_says("tarn_set_limit");
        assert_int_equal(tarn_abort(seg), 0);
        assert_int_equal(tarn_set_limit(seg, 1), 0); /* below what there is: nothing is taken back */
        assert_int_equal(committed_of(seg), 192 << 10);
        assert_int_equal(tarn_grow(seg, 1), -ENOSPC);
        assert_int_equal(tarn_set_limit(seg, 256 << 10), 0); /* up again */
        assert_int_equal(tarn_grow(seg, 1), 0);
        assert_int_equal(committed_of(seg), 256 << 10);
        assert_int_equal(tarn_set_limit(seg, 0), 0); /* the stamp's */
        assert_int_equal(tarn_grow(seg, 768 << 10), 0);
        assert_int_equal(committed_of(seg), 1 << 20);
        if (strncmp(urls[i], "posix:", 6) == 0) {
            assert_int_equal(tarn_open(urls[i], TARN_RDONLY, NULL, &reader), 0);
            assert_int_equal(tarn_set_limit(reader, 0), -EROFS);
            assert_int_equal(tarn_set_mode(reader, 0600), 0);
            assert_int_equal(tarn_close(reader), 0);
        }
        end(seg, urls[i]);
    }
}

static int count(const struct tarn_damage *d, void *arg)
{
    (void)d;
    ++*(int *)arg;
    return 0;
}

static void hostile_limits_do_no_harm(void **state)
{
    (void)state;
    static const uint64_t words[] = {UINT64_MAX,    1,          65535, 65537, 1u << 31, (1 << 20) - 1,
                                     (1 << 20) + 1, 1ull << 63, 200000};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        tarn *seg = make("anon:");
        int damages = 0;
        header_of(seg)->growth_limit = words[i];
        for (int k = 0; k < 40; k++) {
            int e = tarn_grow(seg, 65536);
            assert_true(e == 0 || e == -ENOSPC);
            uint64_t committed = header_of(seg)->committed;
            assert_true(committed % 65536 == 0 && committed <= 1 << 20);
            assert_true(stat_of(seg).growth <= stat_of(seg).limit);
        }
        assert_int_equal(tarn_check(seg, count, &damages), 1);
        assert_int_equal(damages, 1);
        assert_int_equal(tarn_set_limit(seg, 0), 0); /* which mends it */
        assert_int_equal(tarn_check(seg, NULL, NULL), 0);
        assert_int_equal(tarn_close(seg), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_are_set),
        cmocka_unit_test(owners_are_set),
        cmocka_unit_test(limits_are_set),
        cmocka_unit_test(hostile_limits_do_no_harm),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

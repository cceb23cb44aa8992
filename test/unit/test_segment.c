/* test_segment.c - one process: URLs, options, geometry, stamps, handles, growth, names, and what the os floor promises of all this. */
#include "helper.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "backing/linked.h"
#include "os/os.h"
#include "segment/lifecycle.h"

static const struct tarn_options small = {
    .size = sizeof small, .initial = 128 << 10, .limit = 1 << 20, .participants = 2, .record_size = 2048};

static tarn *open_ok(const char *url, unsigned flags, const struct tarn_options *o)
{
    tarn *seg = NULL;
    int error = tarn_open(url, flags, o, &seg);
    if (error != 0)
        print_error("%s: %d: %s\n", url, error, tarn_error());
    assert_int_equal(error, 0);
    assert_non_null(seg);
    return seg;
}

/* The linker puts this in syscall's place (--wrap). Commits of `patience` bytes and more are always interrupted; and `interloper`, if set,
 * is a count that somebody else raises during the next one. */
static uint64_t patience = UINT64_MAX, *interloper;
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_fallocate && (uint64_t)d >= patience) {
        errno = EINTR;
        return -1;
    }
    long result = __real_syscall(number, a, b, c, d, e, f);
    if (number == SYS_fallocate && interloper) {
        *interloper += 2 * 65536;
        interloper = NULL;
    }
    return result;
}

/* ---- URLs, flags, options ---- */

static void urls_are_judged(void **state)
{
    (void)state;
    char longest[400] = "posix:/", label[400] = "memfd:";
    memset(longest + 7, 'n', 256);
    memset(label + 6, 'n', 250);
    const struct {
        const char *url;
        int error;
    } cases[] = {
        {NULL, -EINVAL},          {"", -EINVAL},
        {"posix", -EINVAL},       {"posix:", -EINVAL},
        {"posix:name", -EINVAL},  {"posix:/", -EINVAL},
        {"posix:/a/b", -EINVAL},  {"posix://a", -EINVAL},
        {"posix:/..", -EINVAL},   {"posix:/.", -EINVAL},
        {"POSIX:/a", -EINVAL},    {"file:", -EINVAL},
        {"file:/", -EINVAL},      {"posi:/a", -EINVAL},
        {"posix2:/a", -EINVAL},   {":/a", -EINVAL},
        {"/a", -EINVAL},          {"memfd:", -EINVAL},
        {"anon:x", -EINVAL},      {"posix:/.tarn-x", -EINVAL},
        {longest, -ENAMETOOLONG}, {label, -ENAMETOOLONG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tarn *seg = (tarn *)&cases;
        assert_int_equal(tarn_open(cases[i].url, TARN_CREATE, &small, &seg), cases[i].error);
        assert_ptr_equal(seg, &cases); /* untouched on failure */
        assert_int_equal(tarn_unlink(cases[i].url), cases[i].error);
    }
    longest[7 + 255] = 0;
    label[6 + 249] = 0;
    assert_int_equal(tarn_close(open_ok(longest, TARN_CREATE, &small)), 0);
    assert_int_equal(tarn_unlink(longest), 0);
    assert_int_equal(tarn_close(open_ok(label, TARN_CREATE, &small)), 0);
    assert_int_equal(names_in(own_path, "", false), 0);
}

static void flags_are_judged(void **state)
{
    (void)state;
    tarn *seg = NULL;
    assert_int_equal(tarn_open("posix:/f", TARN_EXCL, NULL, &seg), -EINVAL);
    assert_int_equal(tarn_open("posix:/f", TARN_CREATE | TARN_RDONLY, NULL, &seg), -EINVAL);
    assert_int_equal(tarn_open("posix:/f", 0x80, NULL, &seg), -EINVAL);
    assert_int_equal(tarn_open("memfd:f", 0, NULL, &seg), -EINVAL);
    assert_int_equal(tarn_open("anon:", TARN_RDONLY, NULL, &seg), -EINVAL);
    assert_int_equal(tarn_open("posix:/f", 0, NULL, &seg), -ENOENT);
    assert_says("posix:/f");
    assert_int_equal(tarn_open("posix:/f", TARN_RDONLY, NULL, &seg), -ENOENT);
    assert_int_equal(tarn_unlink("posix:/f"), -ENOENT);
    assert_int_equal(tarn_unlink("memfd:f"), -EINVAL);
    assert_int_equal(tarn_unlink("anon:"), -EINVAL);
    assert_null(seg);
    seg = open_ok("posix:/f", TARN_CREATE | TARN_EXCL, &small);
    assert_int_equal(tarn_open("posix:/f", TARN_CREATE | TARN_EXCL, &small, &seg), -EEXIST);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/f"), 0);
    assert_int_equal(tarn_close(NULL), 0);
}

static void options_are_judged(void **state)
{
    (void)state;
    const struct {
        struct tarn_options o;
        int error;
    } cases[] = {
        {{.size = 0}, -EINVAL},
        {{.size = sizeof(struct tarn_options) - 1}, -EINVAL},
        {{.limit = 65535}, -EINVAL},
        {{.limit = (UINT64_C(1) << 46) + 1}, -EINVAL},
        {{.limit = 1 << 20, .initial = (1 << 20) + 1}, -EINVAL},
        {{.initial = UINT64_MAX}, -EINVAL},
        {{.mode = 01777}, -EINVAL},
        {{.participants = 4097}, -EINVAL},
        {{.record_size = 1024}, -EINVAL},
        {{.record_size = 3000}, -EINVAL},
        {{.record_size = 131072}, -EINVAL},
        {{.span_size = 2048}, -EINVAL},
        {{.span_size = 5000}, -EINVAL},
        {{.span_size = 131072}, -EINVAL},
        {{.span_size = 4096, .limit = UINT64_C(1) << 46}, -EINVAL}, /* more spans than can be counted */
        {{.exchange_unlock = 2}, -EINVAL},
        {{.reserved = {[4] = 1}}, -EINVAL},
        {{.limit = 65536}, 0}, /* the default `initial` is greater, and gives way */
        {{.limit = 65536, .initial = 1}, 0},
        {{.participants = 4096, .record_size = 2048}, 0},
        {{.participants = 1, .record_size = 65536, .span_size = 4096, .exchange_unlock = 1}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tarn_options o = cases[i].o;
        tarn *seg;
        if (i > 1)
            o.size = sizeof o;
        int error = tarn_open("anon:", TARN_CREATE, &o, &seg);
        if (error != cases[i].error)
            fail_msg("case %zu: %d, not %d: %s", i, error, cases[i].error, error ? tarn_error() : "");
        if (error == 0)
            assert_int_equal(tarn_close(seg), 0);
    }
}

static void longer_options_are_taken_if_the_rest_is_zero(void **state)
{
    (void)state;
    struct {
        struct tarn_options o;
        uint64_t later[2];
    } o = {.o = small};
    tarn *seg;
    o.o.size = sizeof o;
    seg = open_ok("anon:", TARN_CREATE, &o.o);
    assert_int_equal(tarn_close(seg), 0);
    o.later[1] = 1;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &o.o, &seg), -E2BIG);
    o.o.size = 1 << 20;
    assert_int_equal(tarn_open("anon:", TARN_CREATE, &o.o, &seg), -E2BIG);
}

/* ---- geometry ---- */

static void zones_are_in_order(void **state)
{
    (void)state;
    const uint64_t limits[] = {65536, 1 << 20, UINT64_C(16) << 30, UINT64_C(1) << 42};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (uint32_t span = 4096; span <= 65536; span *= 2)
            for (uint32_t record = 2048; record <= 65536; record *= 2) {
                struct geometry g = {.limit = limits[i], .span_size = span, .record_size = record, .records = 5};
                uint64_t page = os_page_size(), end = sizeof(struct segment_header);
                assert_int_equal(geometry_compute(&g), 0);
                for (int zone = 0; zone < ZONES; zone++) {
                    assert_true(g.zone[zone] % page == 0 && g.zone[zone] >= end);
                    end = g.zone[zone];
                }
                assert_true(g.zone[ZONE_NAME] - g.zone[ZONE_PARTICIPANT] >= (uint64_t)5 * record);
                assert_true(g.zone[ZONE_DATA] - g.zone[ZONE_SIDE] >= (uint64_t)g.spans * g.side_size);
                assert_true(g.end == g.zone[ZONE_DATA] + g.limit && (uint64_t)g.spans << g.span_shift == g.limit);
                assert_true(256 + 8 * ((uint64_t)g.slots + g.log_words) + 64 * (uint64_t)g.events == record &&
                            g.slots && g.log_words && g.events >= 4 && !(g.events & (g.events - 1)));
            }
}

/* ---- handles ---- */

static void default_segment_is_as_told(void **state)
{
    (void)state;
    const char *urls[] = {"memfd:default", "anon:", "posix:/default"}, *names[] = {"memfd", "anon", "posix"};
    for (int i = 0; i < 3; i++) {
        tarn *seg = open_ok(urls[i], TARN_CREATE, NULL);
        struct tarn_stat s;
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_string_equal(s.backing, names[i]);
        assert_true(s.data == 1 << 20 && s.spans == 16 && s.span_size == 65536 && s.record_size == 8192);
        assert_true(s.most == 64 && s.mode == 0600 && s.uid == geteuid() && !s.unlinked &&
                    s.version == SEGMENT_VERSION);
        assert_true(s.limit > UINT64_C(16) << 30 && s.total < 4 << 20);
        assert_true(s.created > 1600000000);
        struct stat st;
        assert_int_equal(fstat(tarn_fd(seg), &st), 0);
        assert_true((uint64_t)st.st_blocks * 512 < 4 << 20); /* what is not committed takes no memory */
        assert_int_equal(fcntl(tarn_fd(seg), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(tarn_current(seg), 0);
        assert_int_equal(tarn_close(seg), 0);
    }
    assert_int_equal(tarn_unlink("posix:/default"), 0);
}

static void memfd_is_sealed_against_shrinking(void **state)
{
    (void)state;
    const char *urls[] = {"memfd:sealed", "anon:"};
    for (int i = 0; i < 2; i++) {
        tarn *seg = open_ok(urls[i], TARN_CREATE, &small);
        struct stat st;
        assert_int_equal(fstat(tarn_fd(seg), &st), 0);
        assert_int_equal(ftruncate(tarn_fd(seg), st.st_size - 1), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(fcntl(tarn_fd(seg), F_ADD_SEALS, F_SEAL_GROW), -1); /* nor can it be kept from growing */
        assert_int_equal(segment_grow(seg, 65536), 0);
        assert_int_equal(tarn_close(seg), 0);
    }
}

static void opens_are_counted(void **state)
{
    (void)state;
    tarn *one = open_ok("posix:/counted", TARN_CREATE, &small), *two = open_ok("posix:/counted", 0, NULL),
         *three, *reader, *again;
    assert_ptr_equal(one, two);
    assert_int_equal(tarn_open_fd(tarn_fd(one), 0, &three), 0);
    assert_ptr_equal(one, three);
    reader = open_ok("posix:/counted", TARN_RDONLY, NULL);
    assert_ptr_not_equal(one, reader);
    assert_int_equal(tarn_open_fd(tarn_fd(one), TARN_RDONLY, &again), 0);
    assert_ptr_equal(reader, again);
    assert_int_equal(tarn_close(one), 0);
    assert_int_equal(tarn_close(two), 0);
    memset(at_offset(three, three->geometry.zone[ZONE_DATA]), 7, 8); /* still mapped */
    assert_int_equal(tarn_close(three), 0);
    assert_int_equal(*(char *)at_offset(reader, reader->geometry.zone[ZONE_DATA]), 7);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_close(again), 0);
    assert_int_equal(tarn_unlink("posix:/counted"), 0);
}

static int open_descriptors(void)
{
    return names_in("/proc/self/fd", "", false);
}

static int mappings(void)
{
    int count = 0;
    char line[512];
    FILE *f = fopen("/proc/self/maps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        count += strstr(line, "/dev/shm") || strstr(line, "memfd");
    fclose(f);
    return count;
}

static void nothing_is_left_of_closed_or_failed_handles(void **state)
{
    (void)state;
    int before = open_descriptors(), mapped = mappings();
    tarn *seg;
    for (int i = 0; i < 3; i++) {
        seg = open_ok("posix:/left", TARN_CREATE, &small);
        assert_int_equal(tarn_open("posix:/left", TARN_CREATE | TARN_EXCL, &small, &seg), -EEXIST);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink("posix:/left"), 0);
        assert_int_equal(tarn_open("posix:/left", 0, NULL, &seg), -ENOENT);
        assert_int_equal(tarn_close(open_ok("memfd:left", TARN_CREATE, NULL)), 0);
    }
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(mappings(), mapped);
}

static void write_to_it(void *address)
{
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)address = 1;
}

static void readonly_writes_nothing(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/read", TARN_CREATE, &small),
         *reader = open_ok("posix:/read", TARN_RDONLY, NULL), *by_fd;
    assert_int_equal(fcntl(tarn_fd(reader), F_GETFL) & O_ACCMODE, O_RDONLY);
    for (int zone = 0; zone < ZONES; zone++) {
        int status = in_child(write_to_it, reader->base + reader->geometry.zone[zone]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    assert_int_equal(mprotect(reader->base, 4096, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(segment_grow(reader, 1), -EROFS);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &by_fd), 0); /* of a descriptor that could write */
    assert_int_equal(fcntl(tarn_fd(by_fd), F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(tarn_close(by_fd), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/read"), 0);
}

static void odd_descriptors_are_refused(void **state)
{
    (void)state;
    tarn *seg;
    int pair[2];
    assert_int_equal(tarn_open_fd(-1, 0, &seg), -EBADF);
    assert_int_equal(tarn_open_fd(999999, 0, &seg), -EBADF);
    assert_int_equal(tarn_open_fd(0, TARN_CREATE, &seg), -EINVAL);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(tarn_open_fd(pair[0], TARN_RDONLY, &seg), -EPROTO);
    assert_int_equal(tarn_open_fd(pair[1], TARN_RDONLY, &seg), -EACCES);
    close(pair[0]);
    close(pair[1]);
    int fd = open(own_path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(tarn_open_fd(fd, TARN_RDONLY, &seg), -EPROTO);
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    assert_int_equal(tarn_open_fd(fd, 0, &seg), -EPROTO);
    close(fd);
    fd = open(own_path, O_PATH);
    assert_int_equal(tarn_open_fd(fd, TARN_RDONLY, &seg), -EBADF);
    close(fd);
    seg = open_ok("posix:/odd", TARN_CREATE, &small);
    fd = os_reopen(tarn_fd(seg), O_RDONLY);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open_fd(fd, 0, &seg), -EACCES);
    assert_int_equal(tarn_open_fd(fd, TARN_RDONLY, &seg), 0);
    close(fd); /* the caller's: the handle has its own */
    struct tarn_stat s;
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/odd"), 0);
}

/* ---- growth, refs ---- */

static void refs_reach_committed_bytes_only(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:", TARN_CREATE, &small);
    uint64_t data = seg->geometry.zone[ZONE_DATA], size = committed_of(seg);
    assert_int_equal(size, 128 << 10);
    assert_null(tarn_ptr(seg, 0, 1));
    assert_null(tarn_ptr(seg, 8, 1));
    assert_null(tarn_ptr(seg, data - 1, 1));
    assert_null(tarn_ptr(seg, data, size + 1));
    assert_null(tarn_ptr(seg, data + size, 1));
    assert_null(tarn_ptr(seg, data + 8, SIZE_MAX));
    assert_null(tarn_ptr(seg, UINT64_MAX, 2));
    assert_ptr_equal(tarn_ptr(seg, data, size), seg->base + data);
    assert_int_equal(tarn_ref_of(seg, seg->base + data + 5), data + 5);
    assert_int_equal(tarn_ref_of(seg, seg->base + data + size), 0);
    assert_int_equal(tarn_ref_of(seg, seg->base), 0);
    assert_int_equal(tarn_ref_of(seg, NULL), 0);
    assert_int_equal(tarn_ref_of(seg, seg->base - 1), 0);
    assert_int_equal(segment_grow(seg, 1), 0);
    assert_int_equal(committed_of(seg), (128 + 64) << 10);
    memset(tarn_ptr(seg, data + size, 65536), 1, 65536);
    assert_int_equal(tarn_close(seg), 0);
}

static void growth_ends_at_the_limit(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/limit", TARN_CREATE, &small);
    const struct geometry *g = &seg->geometry;
    struct tarn_stat s;
    while (committed_of(seg) < g->limit) {
        uint64_t before = committed_of(seg);
        assert_int_equal(segment_grow(seg, 65536), 0);
        assert_true(committed_of(seg) >= before + 65536);
    }
    assert_int_equal(segment_grow(seg, 0), 0);
    assert_int_equal(segment_grow(seg, 1), -ENOSPC);
    assert_says("limit");
    assert_int_equal(segment_grow(seg, UINT64_MAX), -ENOSPC);
    memset(seg->base + g->zone[ZONE_DATA], 1, g->limit);
    memset(seg->base + g->zone[ZONE_SIDE], 1, (size_t)g->spans * g->side_size);
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(s.total, s.limit);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/limit"), 0);
}

static void a_greater_segment_grows_in_greater_steps(void **state)
{
    (void)state;
    struct tarn_options o = {.size = sizeof o, .initial = 8 << 20};
    tarn *seg = open_ok("anon:", TARN_CREATE, &o);
    assert_int_equal(segment_grow(seg, 1), 0);
    assert_int_equal(committed_of(seg), 9 << 20);
    assert_int_equal(segment_grow(seg, 4 << 20), 0);
    assert_int_equal(committed_of(seg), 13 << 20);
    assert_int_equal(tarn_close(seg), 0);
}

static void a_committed_word_beyond_the_backing_is_not_believed(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:", TARN_CREATE, &small);
    uint64_t real = header_of(seg)->committed, data = seg->geometry.zone[ZONE_DATA];
    header_of(seg)->committed = seg->geometry.limit;
    assert_int_equal(committed_of(seg), real);
    assert_null(tarn_ptr(seg, data + real, 1));
    assert_non_null(tarn_ptr(seg, data + real - 1, 1));
    header_of(seg)->committed = real;
    assert_int_equal(tarn_close(seg), 0);
}

static void a_grower_who_was_outrun_takes_nothing_back(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:", TARN_CREATE, &small);
    interloper = &header_of(seg)->committed;
    assert_int_equal(segment_grow(seg, 65536), 0); /* the other's two spans are enough */
    assert_int_equal(header_of(seg)->committed, (128 + 128) << 10);
    interloper = &header_of(seg)->committed;
    assert_int_equal(segment_grow(seg, 3 * 65536), 0); /* they are not: one more */
    assert_int_equal(header_of(seg)->committed, (256 + 192) << 10);
    memset(seg->base + seg->geometry.zone[ZONE_DATA] + (384 << 10), 1, 65536);
    assert_int_equal(tarn_close(seg), 0);
}

/* Committed at once, for everybody, whether asked in a section or not; beyond the limit not at all. */
static void grown_beforehand(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/grown", TARN_CREATE, &small), *reader = open_ok("posix:/grown", TARN_RDONLY, NULL);
    struct tarn_stat s, seen;
    assert_int_equal(tarn_stat(seg, &s), 0);
    uint64_t before = s.data;
    assert_int_equal(tarn_grow(seg, 0), 0);
    assert_int_equal(tarn_grow(seg, 1), 0);
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(s.data, before + 65536);
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_grow(seg, 65536), 0);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_stat(reader, &seen), 0);
    assert_int_equal(seen.data, before + 2 * 65536); /* no section undoes it; others see it */
    assert_int_equal(tarn_grow(seg, 2 << 20), -ENOSPC);
    assert_says("limit");
    assert_int_equal(tarn_grow(seg, UINT64_MAX), -ENOSPC);
    assert_int_equal(tarn_grow(reader, 1), -EROFS);
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(s.data, before + 2 * 65536);
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/grown"), 0);
}

static void damaged_counts_do_not_grow(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:", TARN_CREATE, &small);
    const uint64_t bad[] = {1, UINT64_MAX, 2 << 20, (1 << 20) - 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        header_of(seg)->committed = bad[i];
        assert_int_equal(segment_grow(seg, 1), -EUCLEAN);
        assert_true(committed_of(seg) <= seg->geometry.limit);
    }
    assert_int_equal(tarn_close(seg), 0);
}

static void create_under_address_limit(void *arg)
{
    struct rlimit limit = {1 << 30, 1 << 30};
    tarn *seg;
    (void)arg;
    check(setrlimit(RLIMIT_AS, &limit) == 0);
    check(tarn_open("posix:/as", TARN_CREATE, NULL, &seg) == -ENOMEM);
    check(strstr(tarn_error(), "RLIMIT_AS") && strstr(tarn_error(), "smaller limit"));
    check(names_in(own_path, "", false) == 0);
    check(tarn_open("posix:/as", TARN_CREATE, &small, &seg) == 0);
    check(tarn_unlink("posix:/as") == 0);
}

static void grow_under_file_limit(void *arg)
{
    struct rlimit limit = {2 << 20, 2 << 20};
    struct tarn_options o = {.size = sizeof o, .initial = 4 << 20, .limit = 16 << 20, .participants = 2};
    tarn *seg;
    (void)arg;
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    check(tarn_open("anon:", TARN_CREATE, &small, &seg) == 0);
    check(tarn_close(seg) == 0);
    check(tarn_open("anon:", TARN_CREATE, &o, &seg) == -ENOSPC); /* and no SIGXFSZ */
    check(strstr(tarn_error(), "RLIMIT_FSIZE"));
}

static void limits_of_the_process_are_named(void **state)
{
    (void)state;
    if (!SANITIZED)
        assert_int_equal(in_child(create_under_address_limit, NULL), 0);
    assert_int_equal(in_child(grow_under_file_limit, NULL), 0);
}

/* ---- names ---- */

static void names_tell_when_they_lead_elsewhere(void **state)
{
    (void)state;
    tarn *seg = open_ok("posix:/now", TARN_CREATE, &small), *second, *by_fd;
    struct tarn_stat s;
    int fd = os_reopen(tarn_fd(seg), O_RDWR);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_unlink("posix:/now"), 0);
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(s.unlinked, 1);
    second = open_ok("posix:/now", TARN_CREATE, &small);
    assert_ptr_not_equal(seg, second);
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_int_equal(tarn_current(second), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open_fd(fd, 0, &by_fd), 0); /* no name is known, but the mark */
    assert_int_equal(header_of(by_fd)->unlinked, 1);
    assert_int_equal(tarn_current(by_fd), -ESTALE);
    assert_int_equal(tarn_close(by_fd), 0);
    close(fd);
    fd = os_reopen(tarn_fd(second), O_RDWR);
    assert_int_equal(tarn_close(second), 0);
    assert_int_equal(tarn_open_fd(fd, 0, &by_fd), 0);
    assert_int_equal(tarn_current(by_fd), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/now", own_path);
    assert_int_equal(unlink(path), 0); /* by somebody who knows no marks */
    assert_int_equal(tarn_current(by_fd), -ESTALE);
    assert_int_equal(tarn_close(by_fd), 0);
    close(fd);
}

static void foreign_files_are_left_alone(void **state)
{
    (void)state;
    char path[128];
    tarn *seg;
    const struct {
        const char *name;
        mode_t kind;
    } things[] = {
        {"file", S_IFREG}, {"fifo", S_IFIFO}, {"directory", S_IFDIR}, {"link", S_IFLNK}, {"empty", S_IFREG}};
    for (size_t i = 0; i < sizeof things / sizeof *things; i++) {
        char url[128];
        snprintf(path, sizeof path, "%s/%s", own_path, things[i].name);
        snprintf(url, sizeof url, "posix:/%s", things[i].name);
        if (things[i].kind == S_IFREG) {
            int fd = open(path, O_CREAT | O_RDWR | O_EXCL, 0600);
            if (i == 0)
                assert_int_equal(write(fd, "something else, 32 bytes of it..", 32), 32);
            close(fd);
        } else if (things[i].kind == S_IFIFO) {
            assert_int_equal(mkfifo(path, 0600), 0);
        } else if (things[i].kind == S_IFDIR) {
            assert_int_equal(mkdir(path, 0700), 0);
        } else {
            assert_int_equal(symlink("file", path), 0);
        }
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -EPROTO);
        assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), -EPROTO);
        assert_int_equal(tarn_open(url, TARN_CREATE, &small, &seg), -EPROTO);
        assert_int_equal(tarn_open(url, TARN_CREATE | TARN_EXCL, &small, &seg), -EEXIST);
        assert_int_equal(tarn_unlink(url), -EPROTO);
    }
    assert_int_equal(names_in(own_path, "", true), 5);
}

static void the_umask_does_not_apply(void **state)
{
    (void)state;
    const mode_t masks[] = {0, 022, 077, 0777};
    for (int hidden = 0; hidden < 2; hidden++)
        for (size_t i = 0; i < 4; i++) {
            linked_without_tmpfile = hidden;
            mode_t before = umask(masks[i]);
            struct tarn_options o = small;
            struct tarn_stat s;
            tarn *seg = open_ok("posix:/mode", TARN_CREATE, &o);
            assert_int_equal(tarn_stat(seg, &s), 0);
            assert_int_equal(s.mode, 0600);
            assert_int_equal(tarn_close(seg), 0);
            assert_int_equal(tarn_unlink("posix:/mode"), 0);
            o.mode = 0664;
            seg = open_ok("posix:/mode", TARN_CREATE, &o);
            assert_int_equal(tarn_stat(seg, &s), 0);
            assert_int_equal(s.mode, 0664);
            assert_int_equal(tarn_close(seg), 0);
            assert_int_equal(tarn_unlink("posix:/mode"), 0);
            umask(before);
        }
    linked_without_tmpfile = false;
}

/* ---- images ---- */

/* Bytes of a small segment, in a file without a segment's seals. */
struct image {
    int fd;
    uint64_t size;
    struct segment_header header;
};

static struct image image_make(void)
{
    struct image i = {.fd = memfd_create("image", MFD_CLOEXEC)};
    tarn *seg = open_ok("anon:", TARN_CREATE, &small);
    i.size = seg->geometry.zone[ZONE_DATA] + committed_of(seg);
    assert_int_equal(ftruncate(i.fd, (off_t)i.size), 0);
    assert_int_equal(pwrite(i.fd, seg->base, i.size, 0), (ssize_t)i.size);
    memcpy(&i.header, seg->base, sizeof i.header);
    assert_int_equal(tarn_close(seg), 0);
    return i;
}

/* Open it both ways; the result of the writable one. What opens must bear to be looked at. */
static int image_open(const struct image *i)
{
    int result = 0;
    for (int readonly = 1; readonly >= 0; readonly--) {
        tarn *seg;
        result = tarn_open_fd(i->fd, readonly ? TARN_RDONLY : 0, &seg);
        if (result < 0) {
            assert_true(result == -EPROTO || result == -EUCLEAN);
            continue;
        }
        struct tarn_stat s;
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_true(s.data <= seg->geometry.limit);
        tarn_current(seg);
        assert_int_equal(tarn_close(seg), 0);
    }
    return result;
}

static void image_header(const struct image *i, const void *header)
{
    assert_int_equal(pwrite(i->fd, header, sizeof i->header, 0), sizeof i->header);
}

static void each_flipped_byte_of_the_stamp_is_refused(void **state)
{
    (void)state;
    struct image i = image_make();
    assert_int_equal(image_open(&i), 0);
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    for (size_t at = 0; at < sizeof i.header; at++)
        for (size_t f = 0; f < sizeof flips; f++) {
            struct segment_header h = i.header;
            ((unsigned char *)&h)[at] ^= flips[f];
            image_header(&i, &h);
            int result = image_open(&i);
            if (result == 0 && at < offsetof(struct segment_header, committed))
                fail_msg("byte %zu flipped by %#x, and it was opened", at, flips[f]);
        }
    image_header(&i, &i.header);
    assert_int_equal(image_open(&i), 0);
    close(i.fd);
}

static void differences_are_named_with_both_values(void **state)
{
    (void)state;
    struct image i = image_make();
    const struct {
        size_t offset;
        unsigned bytes;
        uint64_t value;
        int error;
        const char *says[2];
    } cases[] = {
#define FIELD(f) offsetof(struct segment_header, f), sizeof i.header.f
        {FIELD(magic), 77, -EPROTO, {"magic", "4d"}},
        {FIELD(magic), __builtin_bswap64(SEGMENT_MAGIC), -EPROTO, {"byte order", ""}},
        {FIELD(version), 99, -EPROTO, {"version is 99", "is 4"}},
        {FIELD(byte_order), 0x04030201, -EPROTO, {"byte order", ""}},
        {FIELD(word_size), 4, -EPROTO, {"word size is 4", "is 8"}},
        {FIELD(page_size), 16384, -EPROTO, {"page size is 16384", ""}},
        {FIELD(options), 1u << 31, -EPROTO, {"options is 2147483648", ""}},
        {FIELD(liveness_size), 48, -EPROTO, {"liveness mutex is 48", "is 40"}},
        {FIELD(side_size), 1, -EPROTO, {"side table size is 1", ""}},
        {FIELD(zone[ZONE_DATA]), 4096, -EPROTO, {"place of data is 4096", ""}},
        {FIELD(limit), 2 << 20, -EPROTO, {"place of data", ""}},
        {FIELD(limit), 65537, -EUCLEAN, {"limit", "65537"}},
        {FIELD(limit), 0, -EUCLEAN, {"limit", ""}},
        {FIELD(span_size), 0, -EUCLEAN, {"span_size", " 0"}},
        {FIELD(record_size), 0x80000000, -EUCLEAN, {"record_size", "2147483648"}},
        {FIELD(records), 0, -EUCLEAN, {"participants", ""}},
        {FIELD(records), UINT32_MAX, -EUCLEAN, {"participants", ""}},
        {FIELD(records), 4, -EPROTO, {"place of names", ""}},
        {FIELD(committed), (128 << 10) + 1, -EUCLEAN, {"131073", "committed"}},
        {FIELD(committed), 2 << 20, -EUCLEAN, {"2097152", "committed"}},
        {FIELD(committed), 256 << 10, -EUCLEAN, {"truncated", ""}},
#undef FIELD
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct segment_header h = i.header;
        memcpy((char *)&h + cases[c].offset, &cases[c].value, cases[c].bytes);
        h.sum = stamp_sum(&h);
        image_header(&i, &h);
        int result = image_open(&i);
        if (result != cases[c].error)
            fail_msg("case %zu: %d: %s", c, result, result ? tarn_error() : "");
        assert_says(cases[c].says[0]);
        assert_says(cases[c].says[1]);
    }
    close(i.fd);
}

static void truncated_images_are_refused(void **state)
{
    (void)state;
    struct image i = image_make();
    for (uint64_t size = i.size; size-- > 0;) {
        if (size > 600 && size % 4096 > 1 && size % 4096 < 4095)
            continue;
        assert_int_equal(ftruncate(i.fd, (off_t)size), 0);
        int result = image_open(&i);
        if (result != (size < 8 ? -EPROTO : -EUCLEAN))
            fail_msg("of %llu bytes: %d", (unsigned long long)size, result);
    }
    close(i.fd);
}

static void random_images_are_refused(void **state)
{
    (void)state;
    struct image i = image_make();
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        struct segment_header h;
        for (size_t at = 0; at < sizeof h; at++)
            ((unsigned char *)&h)[at] = (unsigned char)rand_r(&seed);
        if (round % 2) { /* past the door: only the numbers are wild */
            memcpy(&h, &i.header, offsetof(struct segment_header, options));
            h.options = 0;
            h.liveness_size = i.header.liveness_size;
            if (round % 4 == 1) {
                h.span_size = 4096u << rand_r(&seed) % 5;
                h.record_size = 2048u << rand_r(&seed) % 6;
                h.records = 2 + (unsigned)rand_r(&seed) % 4096;
                h.limit = (uint64_t)h.span_size << rand_r(&seed) % 32;
            }
            h.sum = stamp_sum(&h);
        }
        image_header(&i, &h);
        assert_int_not_equal(image_open(&i), 0);
    }
    close(i.fd);
}

/* ---- temporary names ---- */

static void makers_without_tmpfile_leave_nothing(void **state)
{
    (void)state;
    char path[128];
    linked_without_tmpfile = true;
    tarn *seg = open_ok("posix:/old", TARN_CREATE, &small), *other;
    assert_int_equal(names_in(own_path, "", false), 1);
    assert_int_equal(tarn_open("posix:/old", TARN_CREATE | TARN_EXCL, &small, &other), -EEXIST);
    assert_int_equal(names_in(own_path, "", false), 1);
    /* what a dead maker left goes; what a living one holds, and what is not ours to judge, stays */
    const char *names[] = {".tarn-000000000000dead", ".tarn-0000000000011fe5", ".tarn-other"};
    int fds[3];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", own_path, names[i]);
        fds[i] = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(os_byte_lock(fds[1], OS_BYTE_MAKER), 0);
    assert_int_equal(tarn_close(open_ok("posix:/young", TARN_CREATE, &small)), 0);
    assert_int_equal(names_in(own_path, ".tarn-000000000000dead", false), 0);
    assert_int_equal(names_in(own_path, ".tarn-0", false), 1);
    assert_int_equal(names_in(own_path, ".tarn-other", false), 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(names_in(own_path, "", true), 4);
    linked_without_tmpfile = false;
}

/* ---- the os floor ---- */

static void look_at_wiped_page(void *page)
{
    check(*(char *)page == 0);
}

static void a_child_finds_wiped_pages(void **state)
{
    (void)state;
    char *page = os_wipe_page(5000);
    assert_non_null(page);
    memset(page, 1, 5000);
    assert_int_equal(in_child(look_at_wiped_page, page), 0);
    assert_int_equal(*page, 1);
    os_wipe_free(page, 5000);
}

static void byte_locks_exclude_descriptions(void **state)
{
    (void)state;
    int one = os_memfd("locks"), two = os_reopen(one, O_RDWR), reader = os_reopen(one, O_RDONLY);
    assert_true(one >= 0 && two >= 0 && reader >= 0);
    assert_int_equal(os_byte_holder(two, 7), F_UNLCK);
    assert_int_equal(os_byte_lock(one, 7), 0);
    assert_int_equal(os_byte_lock(one, 7), 0);
    assert_int_equal(os_byte_lock(two, 7), -EAGAIN);
    assert_int_equal(os_byte_lock(two, 8), 0);
    assert_int_equal(os_byte_holder(two, 7), F_WRLCK);
    assert_int_equal(os_byte_holder(reader, 7), F_WRLCK);
    assert_int_equal(os_byte_unlock(one, 7), 0);
    struct flock read_lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = ((off_t)1 << 40) + 7, .l_len = 1};
    assert_int_equal(fcntl(reader, F_OFD_SETLK, &read_lock), 0);
    assert_int_equal(os_byte_holder(two, 7), F_RDLCK);
    assert_int_equal(os_byte_lock(two, 7), -EAGAIN);
    close(reader);
    assert_int_equal(os_byte_lock(two, 7), 0);
    close(one);
    close(two);
}

static void start_times_are_read_past_any_name(void **state)
{
    (void)state;
    uint64_t plain = 0, odd = 0;
    uint32_t pid = (uint32_t)getpid();
    assert_int_equal(os_start_time(pid, pid, &plain), 0);
    assert_true(plain > 0);
    assert_int_equal(prctl(PR_SET_NAME, "a) R 1 (b) 2 3"), 0);
    assert_int_equal(os_start_time(pid, (uint32_t)syscall(SYS_gettid), &odd), 0);
    assert_true(plain == odd);
    assert_int_equal(os_start_time(pid, 0x7fffffff, &odd), -ENOENT);
    assert_true(os_pid_namespace() != 0);
    uint8_t id[16], zero[16] = {0};
    os_boot_id(id);
    assert_memory_not_equal(id, zero, 16);
}

/* Older kernels give a whole fallocate back at any signal: a timer quicker than that must not keep it from ever ending. */
static void commits_end_though_signals_interrupt_them(void **state)
{
    (void)state;
    int fd = os_memfd("storm");
    struct stat st;
    patience = 3 << 20;
    int error = os_commit(fd, 4096, 24 << 20);
    patience = UINT64_MAX;
    assert_int_equal(error, 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, (24 << 20) + 4096);
    assert_int_equal(st.st_blocks * 512, 24 << 20);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_judged),
        cmocka_unit_test(flags_are_judged),
        cmocka_unit_test(options_are_judged),
        cmocka_unit_test(longer_options_are_taken_if_the_rest_is_zero),
        cmocka_unit_test(zones_are_in_order),
        cmocka_unit_test(default_segment_is_as_told),
        cmocka_unit_test(memfd_is_sealed_against_shrinking),
        cmocka_unit_test(opens_are_counted),
        cmocka_unit_test(nothing_is_left_of_closed_or_failed_handles),
        cmocka_unit_test(readonly_writes_nothing),
        cmocka_unit_test(odd_descriptors_are_refused),
        cmocka_unit_test(refs_reach_committed_bytes_only),
        cmocka_unit_test(growth_ends_at_the_limit),
        cmocka_unit_test(a_greater_segment_grows_in_greater_steps),
        cmocka_unit_test(a_committed_word_beyond_the_backing_is_not_believed),
        cmocka_unit_test(a_grower_who_was_outrun_takes_nothing_back),
        cmocka_unit_test(grown_beforehand),
        cmocka_unit_test(damaged_counts_do_not_grow),
        cmocka_unit_test(limits_of_the_process_are_named),
        cmocka_unit_test(names_tell_when_they_lead_elsewhere),
        cmocka_unit_test(foreign_files_are_left_alone),
        cmocka_unit_test(the_umask_does_not_apply),
        cmocka_unit_test(each_flipped_byte_of_the_stamp_is_refused),
        cmocka_unit_test(differences_are_named_with_both_values),
        cmocka_unit_test(truncated_images_are_refused),
        cmocka_unit_test(random_images_are_refused),
        cmocka_unit_test(makers_without_tmpfile_leave_nothing),
        cmocka_unit_test(a_child_finds_wiped_pages),
        cmocka_unit_test(byte_locks_exclude_descriptions),
        cmocka_unit_test(start_times_are_read_past_any_name),
        cmocka_unit_test(commits_end_though_signals_interrupt_them),
    };
    return cmocka_run_group_tests(tests, own_directory, remove_directory);
}

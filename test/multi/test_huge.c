/* test_huge.c - options.huge, numa, locked, dumped: on every backing that they apply to, at creation, in who attaches it later, and in what grows.
 *
 * Reserved huge pages are the machine's: a few are asked for where this is root, and given back; where there are none, what is told instead is looked at. */
#include "backings.h"

#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "os/os.h"
#include "segment/segment.h"

enum { PAGE = 4096 };
#define UNIT ((uint64_t)2 << 20)

#define KEPT "/proc/sys/vm/nr_hugepages"
static long kept_before = -1; /* what the machine kept; -1: it was not changed */

static long kept_pages(void)
{
    long n = -1;
    FILE *f = fopen(KEPT, "re");
    if (f && fscanf(f, "%ld", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}
static bool keep_pages(long n)
{
    FILE *f = fopen(KEPT, "we");
    bool written = f && fprintf(f, "%ld\n", n) > 0;
    return f && fclose(f) == 0 && written;
}

static int tear_down(void **state)
{
    if (kept_before >= 0) /* also if a test failed in between */
        keep_pages(kept_before);
    return take_away(state);
}

static struct tarn_options options_of(uint64_t initial, uint64_t limit)
{
    return (struct tarn_options){
        .size = sizeof(struct tarn_options), .initial = initial, .limit = limit, .participants = 4};
}

static tarn *open_ok(const char *url, const struct tarn_options *o)
{
    tarn *seg = NULL;
    int e = tarn_open(url, TARN_CREATE, o, &seg);
    if (e < 0)
        fail_msg("%s: %d: %s", url, e, tarn_error());
    return seg;
}
static void close_ok(tarn *seg, const char *url)
{
    assert_int_equal(tarn_close(seg), 0);
    (void)tarn_unlink(url);
}

static char *data_at(tarn *seg, uint64_t within)
{
    return seg->base + seg->geometry.zone[ZONE_DATA] + within;
}
static struct tarn_translation translated(tarn *seg, const void *address)
{
    struct tarn_translation t;
    assert_int_equal(tarn_translate(seg, address, &t), 0);
    return t;
}
/* Is it mapped by a huge entry, once it is touched? -1: not told. */
static int is_huge(tarn *seg, char *at)
{
    *(volatile char *)at = 1;
    struct tarn_translation t = translated(seg, at);
    return t.known & TARN_KNOWN_HUGE ? t.huge : -1;
}

/* A line of smaps of the mapping that begins at base. */
static bool smaps_says(const char *base, const char *name, const char *part)
{
    char line[512];
    unsigned long from, to;
    bool here = false, found = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < line + 17)
            here = (uintptr_t)base >= from && (uintptr_t)base < to;
        else if (here && strncmp(line, name, strlen(name)) == 0)
            found |= strstr(line, part) != NULL;
    }
    if (f)
        fclose(f);
    return found;
}

/* ---- transparent ---- */

/* Does this kernel make huge pages of shared memory at all, when it is asked? */
static bool kernel_makes_them(void)
{
    int fd = os_memfd("probe");
    char *at = os_room_for(UNIT, UNIT), *base = MAP_FAILED;
    bool made = false;
    if (fd >= 0 && at && os_commit(fd, 0, UNIT) == 0)
        base = mmap(at, UNIT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (base != MAP_FAILED) {
        made = madvise(base, UNIT, 25 /* MADV_COLLAPSE */) == 0;
        munmap(base, UNIT);
    }
    if (fd >= 0)
        close(fd);
    return made;
}

static void transparent_pages_are_asked_for(void **state)
{
    (void)state;
    bool makes = os_huge_page() == UNIT && kernel_makes_them();
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct tarn_options o = options_of(6 << 20, 32 << 20);
        o.huge = TARN_HUGE_TRANSPARENT;
        tarn *seg = open_ok(urls[i], &o);
        assert_int_equal(stat_of(seg).huge, TARN_HUGE_TRANSPARENT);
        if (os_huge_page())
            assert_int_equal((uintptr_t)seg->base % os_huge_page(), 0);
        char *first = seg->base + (seg->geometry.zone[ZONE_DATA] + UNIT - 1) / UNIT * UNIT;
        assert_true(smaps_says(first, "VmFlags", " hg"));
        assert_false(smaps_says(seg->base, "VmFlags", " hg")); /* control data: pages of the usual size */
        assert_true(smaps_says(first, "VmFlags", " dd"));      /* not in core dumps */
        if (makes) {
            assert_int_equal(is_huge(seg, first), 1);
            assert_int_equal(translated(seg, seg->base + seg->geometry.zone[ZONE_NAME]).huge, 0);
        }
        /* what is added */
        uint64_t before = committed_of(seg);
        assert_int_equal(tarn_grow(seg, 6 << 20), 0);
        char *added = (char *)(((uintptr_t)data_at(seg, before) + UNIT - 1) / UNIT * UNIT); // NOLINT: an address
        if (makes)
            assert_int_equal(is_huge(seg, added), 1);
        /* who attaches it later */
        tarn *reader = NULL;
        int e = tarn_fd(seg) >= 0    ? tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader)
                : urls[i] == key_url ? tarn_open(urls[i], TARN_RDONLY, NULL, &reader)
                                     : 1;
        if (e <= 0) {
            assert_int_equal(e, 0);
            char *seen = reader->base + (added - seg->base);
            assert_true(smaps_says(seen, "VmFlags", " hg"));
            if (makes) {
                (void)*(volatile char *)seen;
                assert_int_equal(translated(reader, seen).huge, 1);
            }
            assert_int_equal(tarn_close(reader), 0);
        }
        assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
        close_ok(seg, urls[i]);
    }
    if (!makes)
        print_message(
            "this kernel makes no huge pages of shared memory: only what is asked of it was looked at\n");
}

/* ---- reserved ---- */

static void without_reserved_pages_it_says_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) { /* more than any machine keeps */
        struct tarn_options o = options_of(64 << 10, UINT64_C(1) << 40);
        bool can = strncmp(urls[i], "posix", 5) != 0 && strncmp(urls[i], "file", 4) != 0;
        o.huge = TARN_HUGE_RESERVED;
        if (can && os_huge_free() > 0)
            continue; /* somebody keeps some: they would be had */
        tarn *seg = open_ok(urls[i], &o);
        assert_int_equal(stat_of(seg).huge, TARN_HUGE_TRANSPARENT);
        assert_int_equal(translated(seg, data_at(seg, 0)).page_size, PAGE);
        close_ok(seg, urls[i]);
    }
}

static void use_reserved(const char *url)
{
    struct tarn_options o = options_of(1 << 20, 16 << 20);
    struct tarn_map *map;
    tarn_ref block = 0, little = 0;
    o.huge = TARN_HUGE_RESERVED;
    tarn *seg = open_ok(url, &o), *reader = NULL;
    assert_int_equal(stat_of(seg).huge, TARN_HUGE_RESERVED);
    struct tarn_translation t = translated(seg, data_at(seg, 0));
    assert_int_equal(t.page_size, UNIT);
    assert_int_equal(t.huge, 1);
    assert_int_equal(tarn_map_open(seg, "m", TARN_CREATE | TARN_MAP_U64, &map), 0);
    for (uint64_t k = 0; k < 1000; k++)
        assert_int_equal(tarn_map_put64(map, k, k), 0);
    assert_int_equal(tarn_grow(seg, 3 << 20), 0); /* not a whole number of its pages */
    for (uint64_t at = 0; at < committed_of(seg); at += 65536)
        *(volatile char *)data_at(seg, at + 65535) += 0;
    assert_int_equal(seg->geometry.end % UNIT, 0);
    if (tarn_fd(seg) >= 0 || url == key_url) {
        assert_int_equal(tarn_fd(seg) >= 0 ? tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader)
                                           : tarn_open(url, TARN_RDONLY, NULL, &reader),
                         0);
        assert_int_equal(translated(reader, data_at(reader, 0)).page_size, UNIT);
        assert_int_equal(tarn_check(reader, print_damage, NULL), 0);
        assert_int_equal(tarn_close(reader), 0);
    }
    /* rights are of its pages */
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc_aligned(seg, PAGE, PAGE, &little), 0);
    assert_int_equal(tarn_commit(seg), 0);
    assert_int_equal(tarn_protect(seg, little, 0, TARN_PROT_READ, 0), -EINVAL);
    /* until no more are kept: the limit is named, and nothing is a signal */
    int e = 0;
    for (int k = 0; k < 16 && e == 0; k++)
        e = tarn_grow(seg, 1 << 20);
    assert_int_equal(e, -ENOSPC);
    assert_says("nr_hugepages");
    assert_int_equal(tarn_begin(seg), 0);
    assert_int_equal(tarn_alloc(seg, 1 << 20, &block), 0);
    memset(tarn_ptr(seg, block, 1 << 20), 1, 1 << 20);
    assert_int_equal(tarn_abort(seg), 0);
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
    tarn_map_close(map);
    close_ok(seg, url);
}

static void reserved_pages_are_used_if_there_are_some(void **state)
{
    (void)state;
    enum { FEW = 5 }; /* 10 MiB */
    long before = kept_pages();
    if (geteuid() != 0 || before != 0 || os_huge_page() != UNIT) {
        print_message("not root, or this machine keeps huge pages for others: skipped\n");
        skip();
    }
    kept_before = before;
    bool got = keep_pages(FEW) && kept_pages() == FEW;
    if (got)
        for (size_t i = 2; i < sizeof urls / sizeof *urls; i++)
            use_reserved(urls[i]);
    keep_pages(before);
    if (!got) {
        print_message("this machine has no huge pages to keep: skipped\n");
        skip();
    }
    assert_int_equal(kept_pages(), before); /* all were given back */
}

/* ---- nodes ---- */

static int policy_at(const void *address)
{
    int mode = -1;
    return syscall(SYS_get_mempolicy, &mode, NULL, 0ul, address, 2ul /* MPOL_F_ADDR */) == 0 ? mode : -1;
}

static void memory_is_placed_on_nodes(void **state)
{
    (void)state;
    static const int modes[] = {[TARN_NUMA_BIND] = 2, [TARN_NUMA_INTERLEAVE] = 3, [TARN_NUMA_PREFER] = 1};
    char here;
    if (policy_at(&here) < 0) {
        print_message("a kernel without nodes: skipped\n");
        skip();
    }
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        for (uint32_t numa = TARN_NUMA_BIND; numa <= TARN_NUMA_PREFER; numa++) {
            struct tarn_options o = options_of(1 << 20, 8 << 20);
            o.numa = numa;
            o.nodes = 1;
            tarn *seg = open_ok(urls[i], &o), *other = NULL;
            assert_int_equal(policy_at(data_at(seg, 0)), modes[numa]);
            assert_int_equal(policy_at(seg->base), modes[numa]);
            uint64_t before = committed_of(seg);
            assert_int_equal(tarn_grow(seg, 1 << 20), 0);
            assert_int_equal(policy_at(data_at(seg, before)), modes[numa]); /* what grows */
            if (tarn_fd(seg) >= 0) { /* it is the memory's, not this mapping's */
                assert_int_equal(tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &other), 0);
                assert_int_equal(policy_at(data_at(other, before)), modes[numa]);
                assert_int_equal(tarn_close(other), 0);
            }
            *(volatile char *)data_at(seg, before) = 1;
            struct tarn_translation t = translated(seg, data_at(seg, before));
            assert_true(!(t.known & TARN_KNOWN_NODE) || t.node == 0);
            o.nodes = UINT64_C(1) << 63; /* which it has not */
            close_ok(seg, urls[i]);
            assert_int_equal(tarn_open(urls[i], TARN_CREATE, &o, &seg), -EINVAL);
            assert_says("options.nodes");
            assert_int_equal(names_there(false), 0);
        }
}

static void a_disk_has_no_nodes(void **state)
{
    (void)state;
    char directory[] = "/var/tmp/tarn-test-XXXXXX", url[64];
    struct statfs fs;
    struct tarn_options o = options_of(1 << 20, 8 << 20);
    tarn *seg;
    o.numa = TARN_NUMA_BIND;
    o.nodes = 1;
    assert_non_null(mkdtemp(directory));
    snprintf(url, sizeof url, "file:%s/f", directory);
    bool disk = statfs(directory, &fs) == 0 && !os_is_memory(&fs);
    if (disk) {
        assert_int_equal(tarn_open(url, TARN_CREATE, &o, &seg), -EOPNOTSUPP);
        assert_int_equal(names_in(directory, "", true), 0);
    }
    assert_int_equal(rmdir(directory), 0);
    if (!disk)
        skip();
}

/* ---- locked, dumped ---- */

static void locked_memory_needs_its_limit(void *unused)
{
    (void)unused;
    struct rlimit little = {1 << 20, 1 << 20};
    check(setrlimit(RLIMIT_MEMLOCK, &little) == 0);
    check(geteuid() != 0 || (chmod(own_path, 0777) == 0 && setgid(65534) == 0 && setuid(65534) == 0)); /* root has no limit */
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct tarn_options o = options_of(1 << 20, 8 << 20);
        tarn *seg = NULL;
        o.locked = 1;
        check(tarn_open(urls[i], TARN_CREATE, &o, &seg) == -ENOMEM);
        check(strstr(tarn_error(), "RLIMIT_MEMLOCK is 1048576") && !seg);
    }
}

static void locked_memory_stays(void **state)
{
    (void)state;
    assert_int_equal(in_child(locked_memory_needs_its_limit, NULL), 0);
    assert_int_equal(names_there(false), 0);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct tarn_options o = options_of(1 << 20, 4 << 20);
        o.locked = 1;
        o.dumped = i % 2;
        tarn *seg = NULL;
        int e = tarn_open(urls[i], TARN_CREATE, &o, &seg);
        if (e == -ENOMEM && geteuid() != 0) {
            print_message("this user may lock too little: skipped\n");
            skip();
        }
        assert_int_equal(e, 0);
        uint64_t before = committed_of(seg);
        assert_int_equal(tarn_grow(seg, 1 << 20), 0);
        *(volatile char *)data_at(seg, before) = 1;
        assert_true(smaps_says(data_at(seg, before), "VmFlags", " lo")); /* what grows, too */
        assert_int_equal(smaps_says(data_at(seg, before), "VmFlags", " dd"), !o.dumped);
        close_ok(seg, urls[i]);
    }
}

/* ---- options ---- */

static void options_are_judged(void **state)
{
    (void)state;
    const struct {
        uint32_t huge, numa;
        uint64_t nodes;
    } wrong[] = {{3, 0, 0}, {0, 4, 1}, {0, 1, 0}, {0, 0, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tarn_options o = options_of(1 << 20, 8 << 20);
        tarn *seg;
        o.huge = wrong[i].huge;
        o.numa = wrong[i].numa;
        o.nodes = wrong[i].nodes;
        assert_int_equal(tarn_open("anon:", TARN_CREATE, &o, &seg), -EINVAL);
        assert_says("options.");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transparent_pages_are_asked_for),
        cmocka_unit_test(without_reserved_pages_it_says_so),
        cmocka_unit_test(reserved_pages_are_used_if_there_are_some),
        cmocka_unit_test(memory_is_placed_on_nodes),
        cmocka_unit_test(a_disk_has_no_nodes),
        cmocka_unit_test(locked_memory_stays),
        cmocka_unit_test(options_are_judged),
    };
    alarm(100);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

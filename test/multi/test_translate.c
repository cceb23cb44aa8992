/* test_translate.c - tarn_translate: what it says of a page, against what then happens: faults as the kernel counts them, signals in forked children,
 * the same frame behind two addresses. On every backing. */
#include "backings.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>

#include "os/os.h"
#include "segment/segment.h"

static const struct tarn_options small = {
    .size = sizeof small, .initial = 1 << 20, .limit = 4 << 20, .participants = 2};
enum { PAGE = 4096 };

static tarn *open_ok(const char *url, unsigned flags)
{
    tarn *seg = NULL;
    int e = tarn_open(url, flags, flags & TARN_CREATE ? &small : NULL, &seg);
    if (e < 0)
        fail_msg("%s: %d: %s", url, e, tarn_error());
    return seg;
}

static struct tarn_translation translated(tarn *seg, const void *address)
{
    struct tarn_translation t;
    memset(&t, 0x5a, sizeof t);
    assert_int_equal(tarn_translate(seg, address, &t), 0);
    assert_int_equal(t.address, (uintptr_t)address);
    return t;
}

/* The last page of what is committed, which nobody has had yet; and the first behind it. */
static char *fresh_page(tarn *seg)
{
    return seg->base + seg->geometry.zone[ZONE_DATA] + committed_of(seg) - PAGE;
}
static char *beyond(tarn *seg)
{
    return fresh_page(seg) + PAGE;
}

enum { READ, WRITE };
static void touch(volatile char *at, int how)
{
    char c = *at;
    if (how == WRITE)
        *at = c;
}
struct faults {
    long minor, major;
};
/* Faults that the access makes: everything else in it was touched before. */
static struct faults faults_of(char *at, int how)
{
    struct rusage before, after;
    static char elsewhere[2 * PAGE];
    touch(elsewhere, how);
    getrusage(RUSAGE_SELF, &before);
    getrusage(RUSAGE_SELF, &after);
    getrusage(RUSAGE_SELF, &before);
    if (how == WRITE)
        *(volatile char *)at = 1; /* alone: a read before it would take its fault */
    else
        (void)*(volatile char *)at;
    getrusage(RUSAGE_SELF, &after);
    return (struct faults){after.ru_minflt - before.ru_minflt, after.ru_majflt - before.ru_majflt};
}

/* It happens as it is told. */
static void assert_access(tarn *seg, char *at, int how, uint32_t expected)
{
    struct tarn_translation t = translated(seg, at);
    assert_true(t.known & (how == READ ? TARN_KNOWN_READ : TARN_KNOWN_WRITE));
    assert_int_equal(how == READ ? t.on_read : t.on_write, expected);
    struct faults f = faults_of(at, how);
    if (SANITIZED)
        return; /* whose own memory has faults, too */
    assert_int_equal(f.major, expected == TARN_ACCESS_MAJOR);
    assert_int_equal(f.minor, expected == TARN_ACCESS_MINOR);
}

struct access {
    char *at;
    int how;
};
static void access_it(void *arg)
{
    const struct access *a = arg;
    struct rlimit none = {0, 0};
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    setrlimit(RLIMIT_CORE, &none);
    touch(a->at, a->how);
}
/* The signal that it ends a child with, or 0. */
static int signal_of(char *at, int how)
{
    struct access a = {at, how};
    int status = in_child(access_it, &a);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* ---- one page ---- */

static void look_at_fresh(tarn *seg, bool sysv)
{
    char *at = fresh_page(seg) + 8;
    struct tarn_translation t = translated(seg, at), again;
    const uint32_t always =
        TARN_KNOWN_MAPPING | TARN_KNOWN_PAGE | TARN_KNOWN_MAPPED | TARN_KNOWN_READ | TARN_KNOWN_WRITE;
    assert_int_equal(t.known & always, always);
    assert_int_equal(t.ref, tarn_ref_of(seg, at));
    assert_int_equal(t.offset, t.ref);
    assert_true(t.start <= t.address && t.address < t.end);
    assert_int_equal(t.start, (uintptr_t)seg->base);
    assert_int_equal(t.rights, TARN_PROT_READ | TARN_PROT_WRITE);
    assert_int_equal(t.page_size, PAGE);
    assert_int_equal(t.page, t.address / PAGE);
    assert_int_equal(t.shared, 1);
    assert_int_equal(t.committed, 1);
    assert_int_equal(t.mapped, sysv); /* which commits by touching */
    assert_int_equal(tarn_translate_ref(seg, t.ref, &again), 0);
    assert_memory_equal(&t, &again, sizeof t); /* a look touches nothing */
    assert_access(seg, at, READ, sysv ? TARN_ACCESS_NOTHING : TARN_ACCESS_MINOR);
    assert_access(seg, at, READ, TARN_ACCESS_NOTHING);
    assert_access(seg, at, WRITE, TARN_ACCESS_NOTHING);
    t = translated(seg, at);
    assert_int_equal(t.mapped, 1);
    assert_int_equal(t.resident, 1);
    assert_true(t.known & TARN_KNOWN_RESIDENT);
    assert_true(!(t.known & TARN_KNOWN_NODE) || t.node >= 0);
    assert_true((t.known & TARN_KNOWN_FRAME) == 0 || t.frame > 0);
}

static void look_beyond(tarn *seg, bool sysv)
{
    struct tarn_translation t = translated(seg, beyond(seg));
    assert_int_equal(t.committed, 0);
    assert_int_equal(t.mapped, 0);
    assert_int_equal(t.on_read, TARN_ACCESS_SIGBUS);
    assert_int_equal(t.on_write, TARN_ACCESS_SIGBUS);
    assert_int_equal(!(t.known & TARN_KNOWN_READ), sysv); /* has its size from the start: there the machine's memory decides */
    assert_int_equal(signal_of(beyond(seg), READ), sysv ? 0 : SIGBUS);
    assert_int_equal(signal_of(beyond(seg), WRITE), sysv ? 0 : SIGBUS);
}

static void each_backing_is_as_it_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        bool sysv = strncmp(urls[i], "sysv:", 5) == 0;
        tarn *seg = open_ok(urls[i], TARN_CREATE);
        look_at_fresh(seg, sysv);
        look_beyond(seg, sysv);
        uint64_t before = committed_of(seg);
        assert_int_equal(tarn_grow(seg, 1 << 20), 0);
        struct tarn_translation t;
        assert_int_equal(tarn_translate_ref(seg, seg->geometry.zone[ZONE_DATA] + before, &t), 0);
        assert_int_equal(t.committed, 1);
        assert_int_equal(t.on_write, sysv ? TARN_ACCESS_NOTHING : TARN_ACCESS_MINOR);
        assert_int_equal(tarn_close(seg), 0);
        if (!sysv || urls[i] == key_url)
            (void)tarn_unlink(urls[i]);
    }
}

/* ---- to read only; two addresses, one frame ---- */

static void two_addresses_lead_to_one_frame(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        tarn *seg = open_ok(urls[i], TARN_CREATE), *reader = NULL;
        bool named = i != 2 && i != 3 && i != 5;
        if (!named && tarn_fd(seg) < 0) {
            tarn_close(seg);
            continue; /* nobody else finds it */
        }
        int e = named ? tarn_open(urls[i], TARN_RDONLY, NULL, &reader)
                      : tarn_open_fd(tarn_fd(seg), TARN_RDONLY, &reader);
        assert_int_equal(e, 0);
        char *at = fresh_page(seg), *seen = reader->base + (at - seg->base);
        touch(at, WRITE);
        assert_access(reader, seen, READ, TARN_ACCESS_MINOR); /* in memory, and not yet in this mapping */
        struct tarn_translation a = translated(seg, at), b = translated(reader, seen);
        assert_int_not_equal(a.address, b.address);
        assert_int_equal(a.ref, b.ref);
        assert_int_equal(a.inode, b.inode);
        assert_int_equal(a.known & TARN_KNOWN_FRAME, b.known & TARN_KNOWN_FRAME);
        assert_int_equal(a.frame, b.frame);
        assert_int_equal(b.exclusive, 0);
        assert_int_equal(b.rights, TARN_PROT_READ);
        assert_int_equal(b.on_write, TARN_ACCESS_SIGSEGV);
        assert_true(b.known & TARN_KNOWN_WRITE);
        assert_int_equal(signal_of(seen, WRITE), SIGSEGV);
        assert_int_equal(tarn_close(reader), 0);
        assert_int_equal(tarn_close(seg), 0);
        if (named)
            assert_int_equal(tarn_unlink(urls[i]), 0);
    }
}

/* ---- private copies, raw bytes ---- */

static void a_private_copy_is_copied_when_it_is_written(void **state)
{
    (void)state;
    assert_int_equal(tarn_close(open_ok("posix:/p", TARN_CREATE)), 0);
    tarn *seg = open_ok("posix:/p", TARN_PRIVATE);
    char *at = fresh_page(seg);
    assert_access(seg, at, READ, TARN_ACCESS_MINOR);
    struct tarn_translation t = translated(seg, at);
    assert_int_equal(t.shared, 0);
    assert_int_equal(t.on_write, TARN_ACCESS_MINOR);
    assert_access(seg, at, WRITE, TARN_ACCESS_MINOR);
    assert_access(seg, at, WRITE, TARN_ACCESS_NOTHING);
    assert_int_not_equal(translated(seg, at).frame, t.known & TARN_KNOWN_FRAME ? t.frame : UINT64_MAX);
    assert_access(seg, beyond(seg), WRITE, TARN_ACCESS_MINOR); /* memory of its own */
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/p"), 0);
}

static void raw_bytes_have_an_offset_and_no_ref(void **state)
{
    (void)state;
    struct tarn_options o = {.size = sizeof o, .raw_length = 3 * PAGE};
    struct tarn_translation t;
    tarn *seg = NULL;
    assert_int_equal(tarn_open("posix:/r", TARN_CREATE | TARN_RAW, &o, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    o.raw_offset = PAGE + 100;
    o.raw_length = 200;
    assert_int_equal(tarn_open("posix:/r", TARN_RAW, &o, &seg), 0);
    char *at = tarn_base(seg);
    t = translated(seg, at + 7);
    assert_int_equal(t.ref, 0);
    assert_int_equal(t.offset, PAGE + 107);
    assert_int_equal(t.committed, 1);
    assert_int_equal(tarn_translate(seg, at + 200, &t), -EINVAL);
    assert_int_equal(tarn_translate(seg, at - 1, &t), -EINVAL);
    assert_int_equal(tarn_translate_ref(seg, 100, &t), -EINVAL);
    assert_says("TARN_RAW");
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink_raw("posix:/r"), 0);
}

/* ---- other processes ---- */

static void another_process_has_the_frame_elsewhere(void **state)
{
    (void)state;
    struct {
        char *at;
        int asked;
    } *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ready[2], go[2];
    assert_ptr_not_equal(shared, MAP_FAILED);
    tarn *seg = open_ok("posix:/o", TARN_CREATE);
    char *at = fresh_page(seg), byte = 0;
    touch(at, WRITE);
    assert_true(pipe(ready) == 0 && pipe(go) == 0);
    pid_t child = fork_child();
    if (child == 0) {
        tarn *own;
        check(tarn_open("posix:/o", TARN_RDONLY, NULL, &own) == 0);
        shared->at = own->base + (at - seg->base);
        check(write(ready[1], "", 1) == 1 && read(go[0], &byte, 1) == 1);
        touch(shared->at, READ);
        check(write(ready[1], "", 1) == 1 && read(go[0], &byte, 1) == 1);
        _exit(0);
    }
    struct tarn_translation t, mine;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(tarn_translate_process((uint32_t)child, (uintptr_t)shared->at, &t), 0);
    assert_true(t.known & TARN_KNOWN_MAPPED);
    assert_int_equal(t.mapped, 0);
    assert_int_equal(t.on_write, TARN_ACCESS_SIGSEGV);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(tarn_translate_process((uint32_t)child, (uintptr_t)shared->at, &t), 0);
    mine = translated(seg, at);
    assert_int_equal(t.mapped, 1);
    assert_int_equal(t.on_read, TARN_ACCESS_NOTHING);
    assert_int_equal(t.frame, mine.frame);
    assert_int_equal(t.offset, mine.offset);
    assert_int_equal(t.inode, mine.inode);
    assert_int_equal(tarn_translate_process((uint32_t)child, 0x10, &t), -EFAULT);
    assert_int_equal(write(go[1], "", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(tarn_translate_process((uint32_t)child, (uintptr_t)at, &t), -ESRCH);
    assert_int_equal(tarn_translate_process(0, (uintptr_t)at, &t), -EINVAL);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
    munmap(shared, PAGE);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_unlink("posix:/o"), 0);
}

/* ---- without rights ---- */

static void look_without_rights(void *arg)
{
    tarn *seg = arg;
    struct tarn_translation t;
    char *at = fresh_page(seg);
    touch(at, WRITE);
    check(setgid(65534) == 0 && setuid(65534) == 0);
    check(tarn_translate_process((uint32_t)getppid(), (uintptr_t)at, &t) == -EACCES);
    check(prctl(PR_SET_DUMPABLE, 1) == 0); /* /proc/self is its own again */
    check(tarn_translate(seg, at, &t) == 0);
    check((t.known & (TARN_KNOWN_MAPPED | TARN_KNOWN_RESIDENT | TARN_KNOWN_READ)) ==
          (TARN_KNOWN_MAPPED | TARN_KNOWN_RESIDENT | TARN_KNOWN_READ));
    check(t.mapped && t.on_read == TARN_ACCESS_NOTHING);
    check(!(t.known & (TARN_KNOWN_FRAME | TARN_KNOWN_DIRTY)) && t.frame == 0 && t.dirty == 0);
}

static void without_rights_the_frame_is_not_known(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("not root: another user cannot be tried: skipped\n");
        skip();
    }
    tarn *seg = open_ok("anon:", TARN_CREATE);
    touch(fresh_page(seg), WRITE);
    assert_int_equal(in_child(look_without_rights, seg), 0);
    assert_int_equal(tarn_close(seg), 0);
}

/* Nothing of /proc: what the handle knows is told, and an access may be anything. */
static void look_without_proc(void *arg)
{
    struct tarn_translation t;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("nothing", "/proc", "tmpfs", 0, NULL) != 0)
        _exit(77);
    check(tarn_translate_ref(arg, 4096, &t) == 0);
    check(t.address == (uintptr_t)tarn_base(arg) + 4096 && t.offset == 4096 && t.committed);
    check(!(t.known & ~(uint32_t)(TARN_KNOWN_RESIDENT | TARN_KNOWN_SWAPPED)));
    check(t.on_read == TARN_ACCESS_SIGSEGV && t.on_write == TARN_ACCESS_SIGSEGV);
    check(tarn_translate_process((uint32_t)getppid(), 4096, &t) == -ENOSYS);
    check(tarn_translate_process(0x7ffffff0, 4096, &t) == -ESRCH);
}

static void without_proc_little_is_known(void **state)
{
    (void)state;
    tarn *seg = open_ok("anon:", TARN_CREATE);
    int status = in_child(look_without_proc, seg);
    assert_int_equal(tarn_close(seg), 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("nothing may be mounted here: skipped\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- a disk ---- */

static void a_page_that_is_on_the_disk_only_is_a_major_fault(void **state)
{
    (void)state;
    char directory[] = "/var/tmp/tarn-test-XXXXXX", url[80], path[64];
    struct statfs fs;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/f", directory);
    snprintf(url, sizeof url, "file:%s", path);
    tarn *seg = NULL;
    bool disk =
        statfs(directory, &fs) == 0 && !os_is_memory(&fs) && tarn_open(url, TARN_CREATE, &small, &seg) == 0;
    bool evicted = false;
    if (disk) {
        char *at = fresh_page(seg);
        touch(at, WRITE);
        *at = 7;
        assert_int_equal(tarn_flush(seg), 0);
        assert_int_equal(madvise(at, PAGE, MADV_DONTNEED), 0); /* out of this mapping, */
        (void)posix_fadvise(tarn_fd(seg), at - seg->base, PAGE, POSIX_FADV_DONTNEED); /* and out of memory */
        evicted = !translated(seg, at).resident;
        if (evicted) {
            assert_access(seg, at, READ, TARN_ACCESS_MAJOR);
            assert_access(seg, at, READ, TARN_ACCESS_NOTHING);
            struct tarn_translation t = translated(seg, at);
            assert_int_equal(t.on_write, TARN_ACCESS_MINOR); /* at worst: what is to reach the disk is marked */
            assert_false(t.known & TARN_KNOWN_WRITE);
            assert_int_equal(*at, 7);
        }
    }
    if (seg)
        assert_int_equal(tarn_close(seg), 0);
    unlink(path);
    assert_int_equal(rmdir(directory), 0);
    if (!evicted) {
        print_message("/var/tmp is on no disk that gives pages up: skipped\n");
        skip();
    }
}

/* ---- what may not be asked ---- */

static void what_is_not_in_it_is_refused(void **state)
{
    (void)state;
    struct tarn_translation t = {.known = 0x777};
    tarn *seg = open_ok("anon:", TARN_CREATE);
    assert_int_equal(tarn_translate(seg, &t, &t), -EINVAL);
    assert_says("is not in it");
    assert_int_equal(tarn_translate(seg, seg->base + seg->geometry.end, &t), -EINVAL);
    assert_int_equal(tarn_translate(seg, seg->base - 1, &t), -EINVAL);
    assert_int_equal(tarn_translate_ref(seg, seg->geometry.end, &t), -EINVAL);
    assert_int_equal(tarn_translate_ref(seg, UINT64_MAX, &t), -EINVAL);
    assert_int_equal(t.known, 0x777); /* untouched */
    assert_int_equal(tarn_translate_ref(seg, 0, &t), 0);
    assert_ptr_equal((void *)(uintptr_t)t.address, tarn_base(seg)); // NOLINT: an address
    assert_int_equal(tarn_close(seg), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_backing_is_as_it_is_told),
        cmocka_unit_test(two_addresses_lead_to_one_frame),
        cmocka_unit_test(a_private_copy_is_copied_when_it_is_written),
        cmocka_unit_test(raw_bytes_have_an_offset_and_no_ref),
        cmocka_unit_test(another_process_has_the_frame_elsewhere),
        cmocka_unit_test(without_rights_the_frame_is_not_known),
        cmocka_unit_test(without_proc_little_is_known),
        cmocka_unit_test(a_page_that_is_on_the_disk_only_is_a_major_fault),
        cmocka_unit_test(what_is_not_in_it_is_refused),
    };
    alarm(100);
    return cmocka_run_group_tests(tests, set_up, take_away);
}

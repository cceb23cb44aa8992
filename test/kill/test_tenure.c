/* test_tenure.c - a file: segment whose user is killed at every store of opening, putting right, using, closing and repairing it; and the
 * machine stopped there: then each page of the file is as it was at the last flush, or as it was at the end, by chance.
 *
 * Whatever opens is exact: the bank's sum, its count, and no damage. What does not open can be repaired, and is sound then. */
#include "helper.h"

#include <sys/prctl.h>

#include "segment/segment.h"
#define FILE_WORLD_FLUSHES_ITSELF
#include "file_world.h"

__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}

static char path[128], url[160], disk_path[128], other_path[128], other_url[160];
static uint64_t transfers; /* before the run that is killed */

static int set_up(void **state)
{
    int e = own_directory(state);
    make_world();
    snprintf(path, sizeof path, "%s/segment", own_path);
    snprintf(url, sizeof url, "file:%s", path);
    snprintf(disk_path, sizeof disk_path, "%s/disk", own_path);
    snprintf(other_path, sizeof other_path, "%s/other", own_path);
    snprintf(other_url, sizeof other_url, "file:%s", other_path);
    return e;
}

/* What the disk surely has is what was there at the end of the last flush. */
static void note_disk(const char *of)
{
    char next[160];
    snprintf(next, sizeof next, "%s.next", disk_path);
    if (copy_file(of, next) != 0 || rename(next, disk_path) != 0)
        _exit(3);
}

int __wrap_os_flush(int fd, bool whole)
{
    char of[32];
    (void)whole;
    snprintf(of, sizeof of, "/proc/self/fd/%d", fd);
    if (world->go) /* not while the test looks at what was left */
        note_disk(of);
    return 0;
}

/* ---- what is found ---- */

static void assert_sound(const char *at, bool exact)
{
    struct bank *b;
    tarn *seg;
    int e = tarn_open(at, 0, NULL, &seg);
    if (e < 0)
        fail_msg("%s: %d: %s", at, e, tarn_error());
    assert_true(tarn_recover(seg) >= 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    if (exact) {
        assert_int_equal(tarn_object(seg, "bank", struct bank, &b), 0);
        assert_int_equal(sum_of_bank(b), 0);
        assert_in_range(b->transfers, transfers, transfers + 2);
    }
    assert_int_equal(tarn_close(seg), 0);
}

/* 0: it opened, and is exact; 1: refused, and repaired. */
static int opened_or_repaired(const char *at)
{
    tarn *seg;
    int e = tarn_open(at, TARN_RDONLY, NULL, &seg);
    if (e == 0) {
        assert_int_equal(tarn_close(seg), 0);
        assert_sound(at, true);
        return 0;
    }
    if (e != -EUCLEAN)
        fail_msg("%s: %d: %s", at, e, tarn_error());
    assert_int_equal(tarn_open(at, 0, NULL, &seg), -EUCLEAN);
    e = tarn_repair(at, NULL, NULL);
    if (e < 0)
        fail_msg("repair: %d: %s", e, tarn_error());
    if (e == 0)
        assert_sound(at, false);
    return 1;
}

/* The page at each place is the disk's, or the last one: all by chance, or the header new and of the zones some. */
enum mode { BY_CHANCE, ONLY_HEADER_NEW, PARTICIPANTS_NEW, PARTICIPANTS_OLD, MODES };
static bool is_old(enum mode mode, int64_t at, const struct segment_header *h, bool chance)
{
    bool participants = at >= (int64_t)h->zone[ZONE_PARTICIPANT] && at < (int64_t)h->zone[ZONE_NAME];
    switch (mode) {
    case ONLY_HEADER_NEW: return at > 0;
    case PARTICIPANTS_NEW: return at > 0 && !participants;
    case PARTICIPANTS_OLD: return participants;
    default: return chance;
    }
}

static void stop_the_machine(enum mode mode, unsigned *seed)
{
    struct segment_header h = header_in(path);
    char was[4096], is[4096];
    int old = open(disk_path, O_RDONLY), new = open(path, O_RDONLY);
    int out = open(other_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int64_t size = lseek(new, 0, SEEK_END);
    int most = rand_r(seed) % 100;
    assert_true(old >= 0 && new >= 0 && out >= 0);
    assert_int_equal(ftruncate(out, size), 0);
    for (int64_t at = 0; at < size; at += 4096) {
        memset(was, 0, sizeof was);
        assert_true(pread(old, was, sizeof was, at) >= 0);
        assert_int_equal(pread(new, is, sizeof is, at), sizeof is);
        const char *page = is_old(mode, at, &h, rand_r(seed) % 100 < most) ? was : is;
        if (page[0] || memcmp(page, page + 1, 4095) != 0)
            assert_int_equal(pwrite(out, page, 4096, at), 4096);
    }
    close(old);
    close(new);
    close(out);
}

/* ---- where it begins ---- */

static void die_in_a_section(void *arg)
{
    struct bank *b;
    tarn *seg;
    int64_t wrong = 12345;
    check(open_bank(arg, &seg, &b) == 0);
    check(tarn_begin(seg) == 0 && tarn_mutex_lock(seg, &b->lock) == 0);
    check(tarn_write(seg, &b->account[3].money, &wrong, sizeof wrong) == 0);
    kill(getpid(), SIGKILL);
}

static void begin_closed(void)
{
    struct bank *b;
    tarn *seg;
    unsigned seed = 1;
    names_in(own_path, "", true);
    assert_int_equal(open_bank(url, &seg, &b), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(transfer(seg, b, &seed), 0);
    transfers = b->transfers;
    assert_int_equal(tarn_close(seg), 0);
}

static void begin_used(void)
{
    begin_closed();
    assert_true(WIFSIGNALED(in_child(die_in_a_section, url)));
    note_disk(path);
}

/* All on the disk, called clean, though one who died has a section open: as if he could not be recovered by the last to leave. */
static void begin_elsewhere(void)
{
    uint64_t clean = TENURE_CLEAN;
    begin_used();
    struct segment_header h = header_in(path);
    uint64_t first = h.zone[ZONE_PARTICIPANT] + sizeof(struct participants);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, &clean, 8, offsetof(struct segment_header, clean)), 8);
    for (int i = 0; i < 3; i++) { /* on this boot the numbers are of somebody who lives: of this test */
        struct record r;
        off_t at = (off_t)(first + (uint64_t)i * h.record_size);
        assert_int_equal(pread(fd, &r, sizeof r, at), sizeof r);
        *(uint32_t *)(void *)r.liveness = (uint32_t)gettid();
        r.claimless = 1;
        r.pid = (uint32_t)getpid();
        r.tid = (uint32_t)gettid();
        r.pid_namespace = os_pid_namespace();
        assert_int_equal(os_start_time(r.pid, r.tid, &r.start_time), 0);
        assert_int_equal(pwrite(fd, &r, sizeof r, at), sizeof r);
    }
    close(fd);
    note_disk(path);
    world->boot++;
}

static void begin_refused(void)
{
    begin_used();
    world->boot++;
}

/* ---- what is killed ---- */

static void use(void)
{
    struct bank *b;
    tarn *seg;
    unsigned seed = 2;
    check(open_bank(url, &seg, &b) == 0);
    check(transfer(seg, b, &seed) == 0 && transfer(seg, b, &seed) == 0);
    check(tarn_close(seg) == 0);
}

static void mend(void)
{
    check(tarn_repair(url, NULL, NULL) == 0);
}

static const struct {
    const char *name;
    void (*begin)(void), (*run)(void);
    bool opens; /* in the same boot it opens whenever the kill came */
} cases[] = {{"closed, then used", begin_closed, use, true},
             {"left by the dead, then used", begin_used, use, true},
             {"of another boot, then used", begin_elsewhere, use, true},
             {"of another boot, then repaired", begin_elsewhere, mend, false},
             {"refused, then repaired", begin_refused, mend, false}};

static bool killed_at(void (*run)(void), int point)
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        kill_countdown = point;
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return true;
    assert_int_equal(status, 0);
    return false;
}

static void killed_and_stopped_anywhere(void **state)
{
    (void)state;
    unsigned seed = 11;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int point, refused = 0, opened = 0;
        for (point = 1;; point += SANITIZED ? 3 : 1) {
            world->go = 1;
            cases[c].begin();
            bool killed = killed_at(cases[c].run, point);
            unsigned boot = world->boot;
            world->go = 0;
            assert_int_equal(copy_file(path, other_path), 0); /* copied as it stands */
            *(opened_or_repaired(other_url) ? &refused : &opened) += 1;
            for (int i = 0; i < 6; i++) {
                stop_the_machine((enum mode)(i % MODES), &seed);
                world->boot = boot + 1;
                *(opened_or_repaired(other_url) ? &refused : &opened) += 1;
                world->boot = boot;
            }
            if (cases[c].opens)
                assert_sound(url, true);
            else
                (void)opened_or_repaired(url);
            if (!killed)
                break;
            assert_in_range(point, 1, 5000);
        }
        print_message("%s: %d stores; %d opened, %d refused and repaired\n", cases[c].name, point, opened, refused);
        assert_in_range(point, 30, 5000);
        assert_true(opened > 0 && refused > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_and_stopped_anywhere)};
    return cmocka_run_group_tests(tests, set_up, remove_directory);
}

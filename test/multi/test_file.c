/* test_file.c - file: segments: reboots (which the test counts), copies, who opens and who closes them at once, refusals, repair.
 *
 * On a tmpfs, which is quick, and of which nothing here is asked that a disk would do otherwise; test_disk.c has a disk. */
#include "helper.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

#include "channel/layout.h"
#include "collection/layout.h"
#include "segment/segment.h"
#include "sync/sync.h"
#include "tarn/channel.h"
#include "file_world.h"

#define SKIPPED 77

static char path[128], url[160], copy_path[128], copy_url[160];

/* What os_kept says, if the test wants it to say something. */
static enum os_kept kept_is = OS_KEPT_HERE;
static bool kept_is_faked;
int __real_os_kept(int fd, enum os_kept *ret_kept, const char **ret_name);
int __wrap_os_kept(int fd, enum os_kept *ret_kept, const char **ret_name);
int __wrap_os_kept(int fd, enum os_kept *ret_kept, const char **ret_name)
{
    if (!kept_is_faked)
        return __real_os_kept(fd, ret_kept, ret_name);
    *ret_kept = kept_is;
    *ret_name = "a fake";
    return 0;
}

/* Called once, when it was looked who else is there, and before that is told. */
static void (*at_look)(void);
int __real_os_byte_range_holder(int fd, uint32_t index, uint32_t count, bool readers);
int __wrap_os_byte_range_holder(int fd, uint32_t index, uint32_t count, bool readers);
int __wrap_os_byte_range_holder(int fd, uint32_t index, uint32_t count, bool readers)
{
    int kind = __real_os_byte_range_holder(fd, index, count, readers);
    void (*hook)(void) = index == OS_BYTE_USER ? at_look : NULL;
    if (hook) {
        at_look = NULL;
        hook();
    }
    return kind;
}

static int set_up(void **state)
{
    int e = own_directory(state);
    make_world();
    snprintf(path, sizeof path, "%s/segment", own_path);
    snprintf(url, sizeof url, "file:%s", path);
    snprintf(copy_path, sizeof copy_path, "%s/copy", own_path);
    snprintf(copy_url, sizeof copy_url, "file:%s", copy_path);
    return e;
}

static int clean_up(void **state)
{
    (void)state;
    world->flush_error = 0;
    kept_is_faked = false;
    names_in(own_path, "", true);
    return 0;
}

static tarn *bank_ok(const char *at, struct bank **ret_bank)
{
    tarn *seg = NULL;
    int e = open_bank(at, &seg, ret_bank);
    if (e < 0)
        fail_msg("%s: %d: %s", at, e, tarn_error());
    return seg;
}

/* Make it, move money, close it. */
static void make_closed(void)
{
    struct bank *b;
    unsigned seed = 1;
    tarn *seg = bank_ok(url, &b);
    for (int i = 0; i < 50; i++)
        assert_int_equal(transfer(seg, b, &seed), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
}

static void open_section_and_die(void *arg)
{
    struct bank *b;
    tarn *seg;
    int64_t wrong = 12345;
    check(open_bank(arg, &seg, &b) == 0);
    check(tarn_begin(seg) == 0 && tarn_mutex_lock(seg, &b->lock) == 0);
    check(tarn_write(seg, &b->account[3].money, &wrong, sizeof wrong) == 0);
    kill(getpid(), SIGKILL);
}

/* Used, and left in the midst of a section. */
static void make_used(void)
{
    make_closed();
    assert_true(WIFSIGNALED(in_child(open_section_and_die, url)));
    assert_int_equal(header_in(path).clean, TENURE_IN_USE);
}

/* Nothing is wrong with it, and it is not to be repaired. */
static void made_by_another(void **state)
{
    char at[sizeof url];
    struct segment_header was, is;
    tarn *seg;
    (void)state;
    assert_int_equal(tarn_open("posix:/of-posix", TARN_CREATE, &little, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    snprintf(at, sizeof at, "file:%s/of-posix", own_path);
    was = header_in(at + 5);
    assert_int_equal(tarn_open(at, 0, NULL, &seg), -EUCLEAN);
    assert_says("was made by posix: and not as a file: open it as that");
    assert_int_equal(tarn_open(at, TARN_RDONLY, NULL, &seg), -EUCLEAN);
    assert_says("was made by posix:");
    is = header_in(at + 5);
    assert_memory_equal(&was, &is, sizeof is);
    assert_int_equal(tarn_unlink("posix:/of-posix"), 0);
}

static void assert_refused(const char *at)
{
    tarn *seg;
    assert_int_equal(tarn_open(at, 0, NULL, &seg), -EUCLEAN);
    assert_says("was in use when the machine stopped or when it was copied: run tarn check --repair");
    assert_int_equal(tarn_open(at, TARN_CREATE, &little, &seg), -EUCLEAN);
    assert_int_equal(tarn_open(at, TARN_RDONLY, NULL, &seg), -EUCLEAN);
    assert_says("--repair");
}

static void assert_good(const char *at)
{
    struct bank *b;
    unsigned seed = 2;
    tarn *seg = bank_ok(at, &b);
    assert_true(tarn_recover(seg) >= 0);
    assert_int_equal(sum_of_bank(b), 0);
    assert_true(b->transfers >= 50);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(transfer(seg, b, &seed), 0);
    assert_int_equal(tarn_close(seg), 0);
}

/* ---- names ---- */

static void paths_are_checked(void **state)
{
    (void)state;
    char longest[PATH_MAX + 32] = "file:/", entry[512] = "file:/tmp/";
    memset(longest + 6, 'x', PATH_MAX);
    memset(entry + 10, 'y', 300);
    const struct {
        const char *url;
        int error;
        const char *says;
    } bad[] = {{"file:", -EINVAL, "no path"},
               {"file:/", -EINVAL, "slash"},
               {"file:/tmp/", -EINVAL, "ends with a slash"},
               {"file:.", -EINVAL, "not for segments"},
               {"file:/tmp/..", -EINVAL, "not for segments"},
               {"file:/tmp/.tarn-0123456789abcdef", -EINVAL, "not for segments"},
               {longest, -ENAMETOOLONG, "bytes"},
               {entry, -ENAMETOOLONG, "name"},
               {"file:/nowhere/at/all", -ENOENT, "directory"},
               {"file:/dev/null/x", -ENOENT, "directory"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tarn *seg;
        int e = tarn_open(bad[i].url, TARN_CREATE, &little, &seg);
        if (e != bad[i].error)
            fail_msg("%s: %d: %s", bad[i].url, e, tarn_error());
        assert_says(bad[i].says);
    }
}

static void a_relative_path_outlives_chdir(void **state)
{
    (void)state;
    char here[PATH_MAX];
    tarn *seg, *again;
    struct bank *b;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(own_path), 0);
    assert_int_equal(open_bank("file:segment", &seg, &b), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_flush(seg), 0);
    assert_int_equal(tarn_open("file:segment", 0, NULL, &again), -ENOENT);
    assert_int_equal(tarn_open(url, 0, NULL, &again), 0);
    assert_ptr_equal(again, seg);
    assert_int_equal(tarn_close(again), 0);
    assert_int_equal(tarn_unlink(url), 0);
    assert_int_equal(tarn_current(seg), -ESTALE);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(chdir(here), 0);
}

static void strange_objects_are_left_alone(void **state)
{
    (void)state;
    tarn *seg;
    make_closed();
    assert_int_equal(symlink(path, copy_path), 0);
    assert_int_equal(tarn_open(copy_url, TARN_CREATE, &little, &seg), -EPROTO);
    assert_says("symbolic link");
    assert_int_equal(tarn_unlink(copy_url), -EPROTO);
    assert_int_equal(unlink(copy_path), 0);
    assert_int_equal(mkfifo(copy_path, 0600), 0);
    assert_int_equal(tarn_open(copy_url, TARN_CREATE, &little, &seg), -EPROTO);
    assert_int_equal(tarn_open(copy_url, TARN_RDONLY, NULL, &seg), -EPROTO);
    assert_int_equal(tarn_repair(copy_url, NULL, NULL), -EPROTO);
    assert_int_equal(unlink(copy_path), 0);
    assert_int_equal(mkdir(copy_path, 0700), 0);
    assert_int_equal(tarn_open(copy_url, TARN_CREATE, &little, &seg), -EPROTO);
    assert_int_equal(rmdir(copy_path), 0);
    assert_int_equal(tarn_open("file:/dev/zero", TARN_RDONLY, NULL, &seg), -EPROTO);
    int fd = open(copy_path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "a text\n", 7), 7);
    close(fd);
    assert_int_equal(tarn_open(copy_url, TARN_CREATE, &little, &seg), -EPROTO);
    assert_int_equal(tarn_repair(copy_url, NULL, NULL), -EPROTO);
    assert_int_equal(tarn_unlink(copy_url), -EPROTO);
    assert_int_equal(access(copy_path, F_OK), 0);
    assert_int_equal(truncate(path, 4096 * 3), 0);
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -EUCLEAN);
    assert_says("truncated");
    assert_int_equal(tarn_repair(url, NULL, NULL), -EUCLEAN);
}

/* A maker that needs a temporary name removes what died makers left, and nothing that only looks like it. */
static void only_our_own_temporaries_are_swept(void **state)
{
    (void)state;
    extern bool linked_without_tmpfile;
    char mine[160], theirs[160];
    snprintf(mine, sizeof mine, "%s/.tarn-00112233aabbccdd", own_path);
    snprintf(theirs, sizeof theirs, "%s/.tarn-settings", own_path);
    close(open(mine, O_CREAT | O_RDWR, 0600));
    close(open(theirs, O_CREAT | O_RDWR, 0600));
    linked_without_tmpfile = true;
    make_closed();
    linked_without_tmpfile = false;
    assert_int_equal(access(mine, F_OK), -1);
    assert_int_equal(access(theirs, F_OK), 0);
}

/* ---- reboots and copies ---- */

static void it_survives_a_reboot(void **state)
{
    (void)state;
    make_closed();
    for (int i = 0; i < 3; i++) {
        world->boot++;
        assert_good(url);
        assert_int_equal(header_in(path).clean, TENURE_CLEAN);
    }
    /* The boot's number 1 was 3 tenures ago */
    struct segment_header h = header_in(path);
    assert_int_equal(h.boot[0], world->boot);
}

/* In the same boot a kill is what it always was. */
static void a_kill_is_recovered_in_the_same_boot(void **state)
{
    (void)state;
    make_used();
    assert_good(url);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
}

static void in_use_at_the_end_it_is_refused(void **state)
{
    (void)state;
    make_used();
    world->boot++;
    assert_refused(url);
    int fd = open(path, O_RDWR);
    tarn *seg;
    assert_int_equal(tarn_open_fd(fd, 0, &seg), -EUCLEAN);
    assert_int_equal(tarn_open_fd(fd, TARN_RDONLY, &seg), -EUCLEAN);
    assert_int_equal(tarn_repair(url, NULL, NULL), 0);
    assert_int_equal(tarn_open_fd(fd, 0, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    close(fd);
    assert_good(url);
}

static void a_copy_is_told_from_the_original(void **state)
{
    (void)state;
    struct bank *b;
    unsigned seed = 3;
    make_closed();
    assert_int_equal(copy_file(path, copy_path), 0); /* of a clean one */
    assert_good(copy_url);
    assert_good(url);
    tarn *seg = bank_ok(url, &b); /* of one in use */
    assert_int_equal(transfer(seg, b, &seed), 0);
    assert_int_equal(copy_file(path, copy_path), 0);
    assert_refused(copy_url);
    assert_int_equal(tarn_repair(copy_url, NULL, NULL), 0);
    assert_good(copy_url);
    assert_int_equal(tarn_close(seg), 0);
    assert_good(url);
    make_used(); /* of one whose user died in a section */
    assert_int_equal(copy_file(path, copy_path), 0);
    assert_refused(copy_url);
    assert_int_equal(tarn_repair(copy_url, NULL, NULL), 0);
    assert_good(copy_url);
    assert_good(url);
}

/* Its liveness words are of the living, to see: the ids of a machine that is gone mean nothing. */
static void another_boots_participants_are_dead(void **state)
{
    (void)state;
    struct bank *b;
    struct tarn_stat s;
    make_used();
    struct segment_header h = header_in(path);
    int fd = open(path, O_RDWR);
    uint64_t clean = TENURE_CLEAN;
    /* as if the last user had been unable to recover him */
    assert_int_equal(pwrite(fd, &clean, 8, offsetof(struct segment_header, clean)), 8);
    uint32_t word = (uint32_t)getpid(); /* a living thread's id */
    uint64_t record = h.zone[ZONE_PARTICIPANT] + sizeof(struct participants) + offsetof(struct record, liveness);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pwrite(fd, &word, 4, (off_t)(record + (uint64_t)i * h.record_size)), 4);
    close(fd);
    world->boot++;
    tarn *seg = bank_ok(url, &b);
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(s.recovered, 1);
    assert_int_equal(s.undone, 1);
    assert_int_equal(s.dead, 0);
    assert_int_equal(s.participants, 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_good(url);
}

/* ---- who comes at once ---- */

#define RACERS 8

static void race_to_open(void *unused)
{
    struct bank *b;
    tarn *seg;
    unsigned seed = (unsigned)getpid();
    (void)unused;
    while (!__atomic_load_n(&world->go, __ATOMIC_SEQ_CST))
        ;
    check(open_bank(url, &seg, &b) == 0);
    check(header_of(seg)->clean != TENURE_CLEAN);
    check(transfer(seg, b, &seed) == 0);
    check(tarn_close(seg) == 0);
}

static void run_racers(void (*run)(void *))
{
    pid_t pid[RACERS];
    int status;
    world->go = 0;
    for (int i = 0; i < RACERS; i++)
        if ((pid[i] = fork()) == 0) {
            alarm(60);
            run(NULL);
            _exit(0);
        }
    world->go = 1;
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
}

/* After a reboot many come at once: one puts it right, the others wait for that one, and nobody is turned away. The last to go calls it clean. */
static void of_many_openers_one_puts_it_right(void **state)
{
    (void)state;
    make_closed();
    for (int round = 0; round < (SANITIZED ? 10 : 40); round++) {
        world->boot++;
        run_racers(race_to_open);
        assert_int_equal(header_in(path).clean, TENURE_CLEAN);
        assert_int_equal(header_in(path).righting, 0);
    }
    assert_good(url);
}

/* What T2 says: while anybody may write, neither memory nor disk call it clean. */
static void come_and_go(void *unused)
{
    struct bank *b;
    unsigned seed = (unsigned)getpid();
    (void)unused;
    while (!__atomic_load_n(&world->go, __ATOMIC_SEQ_CST))
        ;
    for (int i = 0; i < 40; i++) {
        tarn *seg;
        check(open_bank(url, &seg, &b) == 0);
        for (int k = rand_r(&seed) % 4; k >= 0; k--) {
            check(header_of(seg)->clean != TENURE_CLEAN);
            check(__atomic_load_n(&world->disk_says, __ATOMIC_SEQ_CST) != TENURE_CLEAN);
            check(transfer(seg, b, &seed) == 0);
            if (rand_r(&seed) % 4 == 0)
                sched_yield();
        }
        check(header_of(seg)->clean != TENURE_CLEAN);
        check(__atomic_load_n(&world->disk_says, __ATOMIC_SEQ_CST) != TENURE_CLEAN);
        check(tarn_close(seg) == 0);
        if (rand_r(&seed) % 4 == 0)
            usleep(rand_r(&seed) % 300);
    }
}

static void whoever_writes_it_is_not_clean(void **state)
{
    (void)state;
    make_closed();
    for (int round = 0; round < (SANITIZED ? 2 : 6); round++) {
        run_racers(come_and_go);
        assert_int_equal(header_in(path).clean, TENURE_CLEAN);
    }
    assert_good(url);
}

/* ---- the same, one interleaving at a time ---- */

static int orders[2], answers[2];

/* A process that opens it and waits until it may close it: told by a byte each. */
static pid_t another(bool opens_at_once)
{
    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct bank *b;
        tarn *seg;
        char c;
        alarm(60);
        at_look = at_flush = NULL;
        if (!opens_at_once)
            check(read(orders[0], &c, 1) == 1);
        check(open_bank(url, &seg, &b) == 0);
        check(write(answers[1], "o", 1) == 1);
        check(read(orders[0], &c, 1) == 1);
        check(header_of(seg)->clean != TENURE_CLEAN);
        check(tarn_close(seg) == 0);
        check(write(answers[1], "c", 1) == 1);
        _exit(0);
    }
    return pid;
}
static void expect(char what)
{
    char c = 0;
    check(read(answers[0], &c, 1) == 1 && c == what);
}
static void order(void)
{
    check(write(orders[1], "x", 1) == 1);
}
static void other_closes(void)
{
    order();
    expect('c');
}
static void other_opens(void)
{
    order();
    expect('o');
}
static void end_other(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        close(orders[i]);
        close(answers[i]);
    }
}

/* The one has seen the other, who goes before it can say that it will not call it clean. */
static void close_at_next_look(void)
{
    at_look = other_closes;
}
static void two_closers_meet(void **state)
{
    (void)state;
    struct bank *b;
    make_closed();
    for (int looks = 1; looks <= 2; looks++) { /* the first is whether anybody else is there to recover the dead */
        pid_t pid = another(true);
        expect('o');
        tarn *seg = bank_ok(url, &b);
        at_look = looks == 1 ? other_closes : close_at_next_look;
        assert_int_equal(tarn_close(seg), 0);
        assert_null(at_look);
        end_other(pid);
        assert_int_equal(header_in(path).clean, TENURE_CLEAN);
    }
}

/* He has seen nobody, and brings it to the disk, when somebody comes. */
static void an_opener_meets_a_closer(void **state)
{
    (void)state;
    struct bank *b;
    pid_t pid = another(false);
    tarn *seg = bank_ok(url, &b);
    for (int i = 0; i < 50; i++) {
        unsigned seed = (unsigned)i;
        assert_int_equal(transfer(seg, b, &seed), 0);
    }
    at_flush = other_opens;
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE);
    other_closes();
    end_other(pid);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
    assert_good(url);
}

static int visitor = -1;
static void somebody_comes(void)
{
    visitor = open(path, O_RDWR | O_CLOEXEC);
    check(os_byte_lock(visitor, OS_BYTE_USER + 99) == 0);
}

/* Somebody who had seen it as his comes when repair has looked: it is given back as it was. */
static void repair_meets_an_opener(void **state)
{
    (void)state;
    make_closed();
    at_look = somebody_comes;
    assert_int_equal(tarn_repair(url, NULL, NULL), -EBUSY);
    close(visitor);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
    assert_int_equal(header_in(path).boot[0], world->boot);
    assert_good(url);
}

/* A child by fork is a user of its own, though it never opened it. */
static void children_count(void **state)
{
    (void)state;
    struct bank *b;
    int line[2], status;
    unsigned seed = 5;
    tarn *seg = bank_ok(url, &b);
    assert_int_equal(pipe(line), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        alarm(60);
        close(line[1]);
        check(read(line[0], &c, 1) == 1);
        check(header_of(seg)->clean != TENURE_CLEAN);
        check(transfer(seg, b, &seed) == 0);
        check(tarn_close(seg) == 0);
        _exit(0);
    }
    for (int i = 0; i < 60; i++)
        assert_int_equal(transfer(seg, b, &seed), 0);
    usleep(20000);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE);
    assert_int_equal(write(line[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN); /* the child was the last */
    assert_good(url);
    close(line[0]);
    close(line[1]);
}

/* The parent closed it before the child has told that it is there: it calls it clean, and the child takes that back before it is run. */
static void a_child_that_comes_late_takes_it_back(void **state)
{
    (void)state;
    struct bank *b;
    int status;
    tarn *seg = bank_ok(url, &b);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        raise(SIGSTOP); /* it has come; now it may be called clean by hand, as by a parent who was quicker */
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    __atomic_store_n(&header_of(seg)->clean, TENURE_CLEAN, __ATOMIC_SEQ_CST);
    pid = fork();
    if (pid == 0)
        _exit(header_of(seg)->clean == TENURE_IN_USE ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(tarn_close(seg), 0);
}

static void a_door_that_is_held_is_named(void **state)
{
    (void)state;
    tarn *seg;
    make_closed();
    world->boot++;
    int reader = open(path, O_RDONLY | O_CLOEXEC), writer;
    assert_int_equal(os_byte_lock_read(reader, OS_BYTE_DOOR), 0);
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -EBUSY);
    assert_says("read lock");
    assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), 0); /* who writes nothing needs no door */
    assert_int_equal(tarn_close(seg), 0);
    close(reader);
    writer = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(os_byte_lock(writer, OS_BYTE_DOOR), 0);
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -EBUSY); /* in some seconds */
    assert_says("is it stopped?");
    close(writer);
    writer = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(os_byte_lock(writer, OS_BYTE_USER + 17), 0);
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -EBUSY);
    assert_says("attached for writing");
    close(writer);
    assert_good(url);
}

/* A reader with a lock on every byte hides those who write from each other: they go on, and nobody calls it clean. */
static void a_hostile_reader_stops_nobody(void **state)
{
    (void)state;
    struct bank *b;
    unsigned seed = 6;
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    make_closed();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
    tarn *seg = bank_ok(url, &b);
    assert_int_equal(transfer(seg, b, &seed), 0);
    close(fd);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE);
    assert_good(url);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE); /* of this tenure no more */
    assert_int_equal(tarn_repair(url, NULL, NULL), -EBUSY);
    world->boot++;
    assert_refused(url);
    assert_int_equal(tarn_repair(url, NULL, NULL), 0);
    assert_good(url);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
}

/* A descriptor that was handed to somebody who could not have opened the file: he writes, and no byte lock shows him. */
static void by_descriptor_alone(void *arg)
{
    struct bank *b;
    tarn *seg;
    unsigned seed = 12;
    if (geteuid() != 0)
        _exit(SKIPPED);
    check(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    check(tarn_open_fd(*(int *)arg, 0, &seg) == 0); /* it is root's */
    check(header_of(seg)->uncounted == 1 && header_of(seg)->clean == TENURE_IN_USE);
    check(tarn_object(seg, "bank", struct bank, &b) == 0);
    check(transfer(seg, b, &seed) == 0);
    check(tarn_close(seg) == 0);
}

static void who_is_not_counted_is_known_of(void **state)
{
    (void)state;
    make_closed();
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int status = in_child(by_descriptor_alone, &fd);
    close(fd);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(status, 0);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE);
    assert_good(url);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE); /* he might be there still, for all that anybody knows */
    world->boot++;
    assert_refused(url);
    assert_int_equal(tarn_repair(url, NULL, NULL), 0);
    assert_good(url);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
}

/* ---- what the disk does ---- */

static void a_disk_that_fails_is_told_of(void **state)
{
    (void)state;
    struct bank *b;
    tarn *seg;
    unsigned seed = 7;
    make_closed();
    world->flush_error = -EIO;
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -EIO);
    assert_int_equal(tarn_open(copy_url, TARN_CREATE, &little, &seg), -EIO);
    assert_int_equal(access(copy_path, F_OK), -1);
    world->flush_error = 0;
    seg = bank_ok(url, &b);
    assert_int_equal(transfer(seg, b, &seed), 0);
    world->flush_error = -EIO;
    assert_int_equal(tarn_flush(seg), -EIO);
    assert_int_equal(tarn_close(seg), -EIO);
    assert_int_equal(header_in(path).clean, TENURE_IN_USE);
    world->flush_error = 0;
    assert_good(url);
}

static void only_durable_ones_are_flushed(void **state)
{
    (void)state;
    tarn *seg;
    struct bank *b;
    use_directory(own_path);
    const char *others[] = {"posix:/x", "memfd:x", "anon:", "sysv:private"};
    for (int i = 0; i < 4; i++) {
        uint32_t before = world->flushes;
        assert_int_equal(tarn_open(others[i], TARN_CREATE, &little, &seg), 0);
        assert_int_equal(tarn_flush(seg), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(world->flushes, before);
    }
    assert_int_equal(tarn_repair("posix:/x", NULL, NULL), -EINVAL);
    seg = bank_ok(url, &b);
    uint32_t before = world->flushes;
    assert_int_equal(tarn_flush(seg), 0);
    assert_int_equal(world->flushes, before + 2); /* file and directory */
    assert_int_equal(tarn_close(seg), 0);
    tarn_unlink("posix:/x");
}

/* ---- file systems ---- */

static void file_systems_are_judged(void **state)
{
    (void)state;
    tarn *seg;
    struct tarn_options o = little;
    kept_is_faked = true;
    kept_is = OS_KEPT_REMOTE;
    o.copy_on_write = 1;
    assert_int_equal(tarn_open(url, TARN_CREATE, &o, &seg), -EOPNOTSUPP);
    assert_says("not this machine's");
    kept_is = OS_KEPT_COPIED;
    assert_int_equal(tarn_open(url, TARN_CREATE, &little, &seg), -EOPNOTSUPP);
    assert_says("copy_on_write");
    assert_int_equal(names_in(own_path, "", false), 0);
    assert_int_equal(tarn_open(url, TARN_CREATE, &o, &seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_open(url, 0, NULL, &seg), 0); /* it is stamped: openers need not say so */
    assert_int_equal(tarn_close(seg), 0);
    kept_is = OS_KEPT_HERE;
    make_used();
    assert_good(url);
    make_closed();
    assert_int_equal(tarn_unlink(url), 0);
    make_closed(); /* without the option; then moved to where pages are copied */
    kept_is = OS_KEPT_COPIED;
    assert_int_equal(tarn_open(url, 0, NULL, &seg), -EOPNOTSUPP);
    assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), 0); /* who only reads needs no room */
    assert_int_equal(tarn_close(seg), 0);
    o.copy_on_write = 2;
    assert_int_equal(tarn_open(copy_url, TARN_CREATE, &o, &seg), -EINVAL);
}

static bool private_mounts(void)
{
    return (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void in_namespace(void (*run)(void *arg))
{
    int status = in_child(run, NULL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        print_message("skipped: this machine does not let us mount\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void mounted_readonly(void *arg)
{
    tarn *seg;
    (void)arg;
    if (!private_mounts() || mount(own_path, own_path, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, own_path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
        _exit(SKIPPED);
    check(tarn_open(url, 0, NULL, &seg) == -EROFS && strstr(tarn_error(), "TARN_RDONLY"));
    check(tarn_open(url, TARN_CREATE, &little, &seg) == -EROFS);
    check(tarn_open(copy_url, TARN_CREATE, &little, &seg) == -EROFS && strstr(tarn_error(), "read-only"));
    check(tarn_repair(url, NULL, NULL) == -EROFS);
    check(tarn_open(url, TARN_RDONLY, NULL, &seg) == 0);
    tarn_ref ref;
    check(tarn_find(seg, "bank", NULL, &ref) == 0);
    check(tarn_check(seg, NULL, NULL) == 0);
    check(tarn_close(seg) == 0);
    world->boot++;
    check(tarn_open(url, TARN_RDONLY, NULL, &seg) == 0);
    check(tarn_close(seg) == 0);
}

static void a_readonly_mount_is_read(void **state)
{
    (void)state;
    make_closed();
    in_namespace(mounted_readonly);
    assert_good(url);
}

/* An overlay is as good as what it is over, if that can be seen. */
static void overlaid(void *arg)
{
    char at[160], options[800];
    tarn *seg;
    enum os_kept kept;
    const char *name;
    (void)arg;
    if (!private_mounts() || mount("tmpfs", own_path, "tmpfs", 0, "size=32m") != 0)
        _exit(SKIPPED);
    static const char *const parts[] = {"upper dir", "lower", "work", "merged"};
    for (int i = 0; i < 4; i++) {
        snprintf(at, sizeof at, "%s/%s", own_path, parts[i]);
        check(mkdir(at, 0700) == 0);
    }
    snprintf(options, sizeof options, "upperdir=%s/upper dir,lowerdir=%s/lower,workdir=%s/work", own_path,
             own_path, own_path);
    if (mount("overlay", at, "overlay", 0, options) != 0)
        _exit(SKIPPED);
    int fd = open(at, O_RDONLY | O_DIRECTORY);
    check(os_kept(fd, &kept, &name) == 0 && kept == OS_KEPT_HERE);
    close(fd);
    char there[200];
    snprintf(there, sizeof there, "file:%s/x", at);
    int e = tarn_open(there, TARN_CREATE, &little, &seg);
    check(e == 0);
    check(tarn_close(seg) == 0);
    check(tarn_open(there, 0, NULL, &seg) == 0);
    check(tarn_close(seg) == 0);
    /* the path is there no more */
    snprintf(there, sizeof there, "%s/upper dir", own_path);
    snprintf(options, sizeof options, "%s/elsewhere", own_path);
    check(rename(there, options) == 0);
    fd = open(at, O_RDONLY | O_DIRECTORY);
    check(os_kept(fd, &kept, &name) == 0 && kept == OS_KEPT_COPIED && strstr(name, "cannot be seen"));
    close(fd);
}

static void overlays_are_what_they_are_over(void **state)
{
    (void)state;
    in_namespace(overlaid);
}

/* ---- repair ---- */

struct told {
    int mended, damages;
};
static int count(const struct tarn_damage *d, void *arg)
{
    struct told *t = arg;
    if (strncmp(d->what, "mended: ", 8) == 0)
        t->mended++;
    else
        t->damages++;
    return 0;
}
static int stop_at_once(const struct tarn_damage *d, void *arg)
{
    (void)d;
    (void)arg;
    return 42;
}

static void repair_is_alone(void **state)
{
    (void)state;
    struct bank *b;
    unsigned seed = 8;
    tarn *seg = bank_ok(url, &b);
    assert_int_equal(tarn_repair(url, NULL, NULL), -EBUSY);
    for (int i = 0; i < 60; i++)
        assert_int_equal(transfer(seg, b, &seed), 0); /* it goes on as if nothing had been */
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(header_in(path).clean, TENURE_CLEAN);
    assert_good(url);
    assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), 0);
    assert_int_equal(tarn_repair(url, NULL, NULL), 0); /* readers are in nobody's way */
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(tarn_repair(copy_url, NULL, NULL), -ENOENT);
}

static void write_word(tarn_ref at, uint64_t word)
{
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, &word, 8, (off_t)at), 8);
    close(fd);
}

static void make_with_names(tarn_ref *ret_ref)
{
    struct bank *b, *other;
    tarn *seg = bank_ok(url, &b);
    tarn_map *map;
    assert_int_equal(tarn_object(seg, "other", struct bank, &other), 0);
    assert_int_equal(tarn_find(seg, "other", NULL, ret_ref), 0);
    assert_int_equal(tarn_map_open(seg, "map", TARN_CREATE | TARN_MAP_U64, &map), 0);
    for (uint64_t i = 0; i < 200; i++)
        assert_int_equal(tarn_map_put64(map, i, i * i), 0);
    tarn_map_close(map);
    b->transfers = 50;
    assert_int_equal(tarn_close(seg), 0);
}

static void dangling_names_are_unbound(void **state)
{
    (void)state;
    struct told t = {0};
    struct bank *b;
    tarn_ref ref, found;
    make_with_names(&ref);
    struct segment_header h = header_in(path);
    /* the head of each chain is either 0 or an entry: lead the first that is used astray */
    uint64_t heads[256];
    int fd = open(path, O_RDWR), chain = 0;
    assert_int_equal(pread(fd, heads, sizeof heads, (off_t)h.zone[ZONE_NAME] + 64), sizeof heads);
    close(fd);
    while (!heads[chain])
        chain++;
    write_word(h.zone[ZONE_NAME] + 64 + 8 * (uint64_t)chain, h.zone[ZONE_DATA] + 8);
    write_word(h.zone[ZONE_NAME], 0x12345); /* the lock of names is held by nobody, and its waiters 0 */
    write_word(offsetof(struct segment_header, clean), TENURE_IN_USE);
    world->boot++;
    assert_refused(url);
    assert_int_equal(tarn_repair(url, count, &t), 0);
    assert_int_equal(t.mended, 2);
    assert_int_equal(t.damages, 0);
    tarn *seg = bank_ok(url, &b); /* the lock is free, or this hung */
    int there = (tarn_find(seg, "other", NULL, &found) == 0) + (tarn_find(seg, "map", NULL, &found) == 0) +
                (b->transfers == 50);
    assert_int_equal(there, 2); /* one chain was lost */
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_close(seg), 0);
}

/* As a page of before, in a file whose records are of later. */
static void locks_of_collections_are_freed(void **state)
{
    (void)state;
    struct told t = {0};
    struct bank *b;
    tarn_ref at[12];
    int n = 0;
    uint64_t x = 7, v;
    tarn *seg = bank_ok(url, &b);
    tarn_map *map;
    tarn_tree *tree;
    tarn_vector *vector;
    tarn_bytes *bytes;
    tarn_queue *queue;
    tarn_stack *stack;
    tarn_list *list;
    b->transfers = 50;
    assert_int_equal(tarn_map_open(seg, "map", TARN_CREATE | TARN_MAP_U64, &map), 0);
    assert_int_equal(tarn_map_put64(map, 1, 2), 0);
    tarn_map_close(map);
    assert_int_equal(tarn_tree_open(seg, "tree", TARN_CREATE | TARN_TREE_U64, &tree), 0);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(tarn_tree_put64(tree, i, i), 0);
    tarn_tree_close(tree);
    assert_int_equal(tarn_find(seg, "tree", NULL, &at[0]), 0);
    const struct tree *root = tarn_ptr(seg, at[0], sizeof *root);
    at[n++] += offsetof(struct tree, lock);
    at[n++] = tarn_ref_of(seg, &root->loader);
    at[n++] = root->first; /* a leaf's lock */
    at[n++] = root->root;  /* an inner node's */
    assert_int_not_equal(root->first, root->root);
    assert_int_equal(tarn_object(seg, "vector", tarn_vector, &vector), 0);
    assert_int_equal(tarn_vector_push(seg, vector, &x, 8, NULL), 0);
    at[n++] = tarn_ref_of(seg, &vector->lock);
    assert_int_equal(tarn_object(seg, "bytes", tarn_bytes, &bytes), 0);
    assert_int_equal(tarn_bytes_set(seg, bytes, "text", 4), 0);
    at[n++] = tarn_ref_of(seg, &bytes->lock);
    assert_int_equal(tarn_object(seg, "queue", tarn_queue, &queue), 0);
    at[n++] = tarn_ref_of(seg, &queue->lock);
    assert_int_equal(tarn_object(seg, "stack", tarn_stack, &stack), 0);
    at[n++] = tarn_ref_of(seg, &stack->lock);
    assert_int_equal(tarn_object(seg, "list", tarn_list, &list), 0);
    at[n++] = tarn_ref_of(seg, &list->lock);
    assert_int_equal(tarn_close(seg), 0);
    for (int i = 0; i < n; i++)
        write_word(at[i], i % 2 ? 0x12345 : 0x7ff0fff0); /* the second: of a record that there is not */
    write_word(offsetof(struct segment_header, clean), TENURE_IN_USE);
    world->boot++;
    assert_refused(url);
    assert_int_equal(tarn_repair(url, count, &t), 0);
    assert_int_equal(t.mended, n);
    assert_int_equal(t.damages, 0);
    seg = bank_ok(url, &b);
    assert_int_equal(tarn_tree_open(seg, "tree", 0, &tree), 0);
    for (uint64_t i = 0; i < 200; i++)
        assert_int_equal(tarn_tree_put64(tree, i, i), 0); /* or it hung */
    assert_int_equal(tarn_tree_count(tree, &v), 0);
    assert_int_equal(v, 200);
    tarn_tree_close(tree);
    assert_int_equal(tarn_object(seg, "vector", tarn_vector, &vector), 0);
    assert_int_equal(tarn_vector_push(seg, vector, &x, 8, &v), 0);
    assert_int_equal(v, 1);
    assert_int_equal(tarn_mutex_lock(seg, &vector->lock), 1); /* who may have been half-way */
    assert_int_equal(tarn_mutex_consistent(seg, &vector->lock), 0);
    assert_int_equal(tarn_mutex_unlock(seg, &vector->lock), 0);
    assert_int_equal(tarn_object(seg, "bytes", tarn_bytes, &bytes), 0);
    assert_int_equal(tarn_bytes_append(seg, bytes, "!", 1), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_close(seg), 0);
}

/* ---- channels ---- */

static const char *const channel_name[] = {"ring", "mq", "topic", "call"};
static const struct tarn_channel_options eight = {.size = sizeof eight, .capacity = 8};

static struct channel *channel_of(tarn *seg, const char *name)
{
    tarn_ref ref;
    check(tarn_find(seg, name, NULL, &ref) == 0);
    return tarn_ptr(seg, ref, sizeof(struct channel));
}

/* A message is sent by each, and somebody has all their locks: by one of them it is known to recovery, too. */
static void send_and_die(void *unused)
{
    struct bank *b;
    tarn *seg;
    tarn_ring *ring;
    tarn_mq *mq;
    tarn_topic *topic;
    tarn_call *call;
    uint64_t id;
    void *at;
    (void)unused;
    check(open_bank(url, &seg, &b) == 0);
    check(tarn_ring_open(seg, "ring", TARN_CREATE | TARN_SEND, &eight, &ring) == 0);
    check(tarn_mq_open(seg, "mq", TARN_CREATE | TARN_SEND, &eight, &mq) == 0);
    check(tarn_topic_open(seg, "topic", TARN_CREATE | TARN_SEND, &eight, &topic) == 0);
    check(tarn_call_open(seg, "call", TARN_CREATE | TARN_SEND, &eight, &call) == 0);
    check(tarn_ring_send(ring, "one", 4) == 0 && tarn_mq_send(mq, 0, "one", 4) == 0);
    check(tarn_topic_send(topic, "one", 4) == 0 && tarn_call_loan(call, 4, &at, &id) == 0);
    memcpy(at, "one", 4);
    check(tarn_call_begin(call, id, 0, 4) == 0);
    check(mutex_lock_inner(self_if(seg), &channel_of(seg, "ring")->lock) == 0);
    channel_of(seg, "mq")->lock.owner = self_if(seg)->id;
    channel_of(seg, "topic")->lock.owner = self_if(seg)->id | ID_DIRTY;
    channel_of(seg, "call")->lock.owner = 0x7ff0fff0; /* of a record that there is not */
    kill(getpid(), SIGKILL);
}

static void locks_of_channels_are_freed(void **state)
{
    (void)state;
    struct told t = {0};
    struct bank *b;
    tarn_ring *ring;
    tarn_mq *mq;
    tarn_topic *topic;
    tarn_call *call;
    struct tarn_request r;
    struct tarn_channel_stat stat;
    char text[8];
    assert_true(WIFSIGNALED(in_child(send_and_die, NULL)));
    world->boot++;
    assert_refused(url);
    assert_int_equal(tarn_repair(url, count, &t), 0);
    assert_int_equal(t.mended, 3);
    assert_int_equal(t.damages, 0);
    tarn *seg = bank_ok(url, &b);
    /* or these hung */
    assert_int_equal(tarn_ring_open(seg, "ring", TARN_RECEIVE, NULL, &ring), 0);
    assert_int_equal(tarn_mq_open(seg, "mq", TARN_RECEIVE, NULL, &mq), 0);
    assert_int_equal(tarn_topic_open(seg, "topic", TARN_RECEIVE | TARN_TOPIC_HISTORY, NULL, &topic), 0);
    assert_int_equal(tarn_call_open(seg, "call", TARN_RECEIVE, NULL, &call), 0);
    assert_int_equal(tarn_ring_receive_try(ring, text, sizeof text, NULL), 0);
    assert_int_equal(tarn_mq_receive_try(mq, text, sizeof text, NULL), 0);
    assert_int_equal(tarn_topic_receive_try(topic, text, sizeof text, NULL), 0);
    assert_string_equal(text, "one");
    assert_int_equal(tarn_call_next_try(call, &r), -EAGAIN); /* a dead client's call went with it */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tarn_channel_stat(seg, channel_name[i], &stat), 0);
        assert_int_equal(stat.senders, 0);
        assert_int_equal(stat.deaths, 1);
    }
    assert_int_equal(tarn_ring_close(ring), 0);
    assert_int_equal(tarn_mq_close(mq), 0);
    assert_int_equal(tarn_topic_close(topic), 0);
    assert_int_equal(tarn_call_close(call), 0);
    assert_clean(seg);
    assert_int_equal(tarn_close(seg), 0);
}

static void what_cannot_be_mended_stays_refused(void **state)
{
    (void)state;
    struct told t = {0};
    tarn_ref ref;
    make_with_names(&ref);
    struct segment_header h = header_in(path);
    /* side tables: a span of small blocks with bits that it does not have */
    int fd = open(path, O_RDWR);
    uint64_t bad = UINT64_MAX;
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(pwrite(fd, &bad, 8, (off_t)(h.zone[ZONE_SIDE] + i * 8)), 8);
    bad = TENURE_IN_USE;
    assert_int_equal(pwrite(fd, &bad, 8, offsetof(struct segment_header, clean)), 8);
    close(fd);
    world->boot++;
    int left = tarn_repair(url, count, &t);
    assert_true(left > 0);
    assert_int_equal(left, t.damages);
    assert_refused(url);
    assert_int_equal(tarn_repair(url, stop_at_once, NULL), 42);
    assert_refused(url);
}

/* Pages as a power loss leaves them: each old, new, or never written; now and then the file is cut off. Repair ends, and what it calls
 * sound is sound. */
static void a_power_loss_ends_well(void **state)
{
    (void)state;
    struct bank *b;
    unsigned seed = 9;
    int whole = 0, lost = 0;
    tarn_ref ref;
    make_with_names(&ref);
    assert_int_equal(copy_file(path, copy_path), 0);
    tarn *seg = bank_ok(url, &b); /* much changes: */
    tarn_map *map;
    assert_int_equal(tarn_map_open(seg, "map", TARN_MAP_U64, &map), 0);
    for (uint64_t i = 0; i < 3000; i++) {
        assert_int_equal(tarn_map_put64(map, i % 700, i), 0);
        if (i % 3 == 0 && tarn_map_remove64(map, i % 331) < 0)
            (void)0;
        assert_int_equal(transfer(seg, b, &seed), 0);
    }
    tarn_map_close(map);
    int64_t old_size, new_size;
    int old = open(copy_path, O_RDONLY), new = open(path, O_RDONLY);
    old_size = lseek(old, 0, SEEK_END);
    new_size = lseek(new, 0, SEEK_END);
    char *was = calloc(1, (size_t)new_size), *is = calloc(1, (size_t)new_size), *mixed = malloc((size_t)new_size);
    assert_int_equal(pread(old, was, (size_t)old_size, 0), old_size);
    assert_int_equal(pread(new, is, (size_t)new_size, 0), new_size);
    close(old);
    close(new);
    assert_int_equal(tarn_close(seg), 0);
    const char *asked = getenv("TARN_TEST_ROUNDS"); /* for soak */
    int rounds = asked ? atoi(asked) : SANITIZED ? 40 : 200;
    for (int round = 0; round < rounds; round++) {
        int many = 1 + rand_r(&seed) % 100, zeros = rand_r(&seed) % 3 ? 0 : 3;
        memcpy(mixed, is, (size_t)new_size);
        for (int64_t at = 4096; at < new_size; at += 4096) /* the header's page was flushed: it says in use */
            if (rand_r(&seed) % 100 < many)
                memcpy(mixed + at, was + at, 4096);
            else if (rand_r(&seed) % 100 < zeros)
                memset(mixed + at, 0, 4096);
        if (rand_r(&seed) % 4 == 0) /* bytes of chance in a page */
            for (int i = 0; i < 64; i++)
                mixed[4096 + rand_r(&seed) % (new_size - 4096)] = (char)rand_r(&seed);
        int64_t size = rand_r(&seed) % 10 ? new_size : rand_r(&seed) % new_size;
        int fd = open(copy_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, mixed, (size_t)size), size);
        close(fd);
        alarm(60);
        tarn *again;
        int e = tarn_open(copy_url, 0, NULL, &again);
        assert_true(e == -EUCLEAN || (e == -EPROTO && size < 4096));
        int left = tarn_repair(copy_url, NULL, NULL);
        if (left == 0) {
            whole++;
            assert_int_equal(tarn_open(copy_url, 0, NULL, &again), 0);
            assert_int_equal(tarn_check(again, NULL, NULL), 0);
            (void)tarn_object(again, "bank", struct bank, &b);
            tarn_ref place;
            if (tarn_begin(again) == 0) {
                (void)tarn_alloc(again, 100, &place);
                assert_int_equal(tarn_commit(again), 0);
            }
            assert_int_equal(tarn_close(again), 0);
        } else {
            lost++;
            assert_true(left > 0 || left == -EUCLEAN || left == -EPROTO);
            e = tarn_open(copy_url, 0, NULL, &again);
            assert_true(e == -EUCLEAN || e == -EPROTO);
        }
        alarm(0);
    }
    print_message("of %d power losses %d were repaired, %d stay refused\n", whole + lost, whole, lost);
    assert_true(whole > 0 && lost > 0);
    free(was);
    free(is);
    free(mixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(paths_are_checked, clean_up),
        cmocka_unit_test_teardown(a_relative_path_outlives_chdir, clean_up),
        cmocka_unit_test_teardown(strange_objects_are_left_alone, clean_up),
        cmocka_unit_test_teardown(made_by_another, clean_up),
        cmocka_unit_test_teardown(only_our_own_temporaries_are_swept, clean_up),
        cmocka_unit_test_teardown(it_survives_a_reboot, clean_up),
        cmocka_unit_test_teardown(a_kill_is_recovered_in_the_same_boot, clean_up),
        cmocka_unit_test_teardown(in_use_at_the_end_it_is_refused, clean_up),
        cmocka_unit_test_teardown(a_copy_is_told_from_the_original, clean_up),
        cmocka_unit_test_teardown(another_boots_participants_are_dead, clean_up),
        cmocka_unit_test_teardown(of_many_openers_one_puts_it_right, clean_up),
        cmocka_unit_test_teardown(whoever_writes_it_is_not_clean, clean_up),
        cmocka_unit_test_teardown(two_closers_meet, clean_up),
        cmocka_unit_test_teardown(an_opener_meets_a_closer, clean_up),
        cmocka_unit_test_teardown(repair_meets_an_opener, clean_up),
        cmocka_unit_test_teardown(children_count, clean_up),
        cmocka_unit_test_teardown(a_child_that_comes_late_takes_it_back, clean_up),
        cmocka_unit_test_teardown(a_door_that_is_held_is_named, clean_up),
        cmocka_unit_test_teardown(a_hostile_reader_stops_nobody, clean_up),
        cmocka_unit_test_teardown(who_is_not_counted_is_known_of, clean_up),
        cmocka_unit_test_teardown(a_disk_that_fails_is_told_of, clean_up),
        cmocka_unit_test_teardown(only_durable_ones_are_flushed, clean_up),
        cmocka_unit_test_teardown(file_systems_are_judged, clean_up),
        cmocka_unit_test_teardown(a_readonly_mount_is_read, clean_up),
        cmocka_unit_test_teardown(overlays_are_what_they_are_over, clean_up),
        cmocka_unit_test_teardown(repair_is_alone, clean_up),
        cmocka_unit_test_teardown(dangling_names_are_unbound, clean_up),
        cmocka_unit_test_teardown(locks_of_collections_are_freed, clean_up),
        cmocka_unit_test_teardown(locks_of_channels_are_freed, clean_up),
        cmocka_unit_test_teardown(what_cannot_be_mended_stays_refused, clean_up),
        cmocka_unit_test_teardown(a_power_loss_ends_well, clean_up),
    };
    return cmocka_run_group_tests(tests, set_up, remove_directory);
}

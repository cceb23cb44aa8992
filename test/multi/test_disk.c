/* test_disk.c - file: segments on a real file system of a disk: ext4 in an image of a few MiB, mounted by a loop device where only this test sees it.
 *
 * The image is copied while a writer works (stopped for that moment, so that the copy is of one moment: what the kernel has written by then,
 * which is some pages and not others), and mounted as another machine, or another boot, would. Skipped, with a word, where this may not mount. */
#include "helper.h"

#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#include "segment/segment.h"
#define FILE_WORLD_FLUSHES_ITSELF
#include "file_world.h"

#define SKIPPED 77

static char image[96], copy_image[96], mounted[96], copied[96];

static int set_up(void **state)
{
    int e = own_directory(state);
    make_world();
    snprintf(image, sizeof image, "%s/image", own_path);
    snprintf(copy_image, sizeof copy_image, "%s/image-copy", own_path);
    snprintf(mounted, sizeof mounted, "%s/mounted", own_path);
    snprintf(copied, sizeof copied, "%s/copied", own_path);
    return e || mkdir(mounted, 0700) || mkdir(copied, 0700) ? -1 : 0;
}

static bool shell(const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    return system(line) == 0; // NOLINT: a fixed command
}

/* In a child: an ext4 of that many MiB where only we see it. */
static void make_disk_of(const char *kind, unsigned mib, const char *how)
{
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        _exit(SKIPPED);
    int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && ftruncate(fd, (off_t)mib << 20) == 0);
    close(fd);
    if (!shell("PATH=$PATH:/sbin:/usr/sbin mkfs.%s %s %s >/dev/null 2>&1", kind, how, image) ||
        !shell("mount -o loop %s %s >/dev/null 2>&1", image, mounted))
        _exit(SKIPPED);
}

static void make_disk(unsigned mib, const char *how)
{
    char options[64];
    snprintf(options, sizeof options, "-q -F %s", how);
    make_disk_of("ext4", mib, options);
}

static void in_namespace(void (*run)(void *arg))
{
    int status = in_child(run, NULL);
    unlink(image);
    unlink(copy_image);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        print_message("skipped: this machine does not let us mount such an image, or has no mkfs for it\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- room ---- */

static void touch_all(tarn *seg)
{
    const struct geometry *g = &seg->geometry;
    uint64_t data = committed_of(seg), side = (data >> g->span_shift) * g->side_size;
    for (uint64_t at = 0; at < g->zone[ZONE_SIDE] + side; at += 4096)
        ((volatile char *)seg->base)[at] += 0;
    for (uint64_t at = g->zone[ZONE_DATA]; at < g->zone[ZONE_DATA] + data; at += 4096)
        ((volatile char *)seg->base)[at] += 0;
}

static void full(void *arg)
{
    char url[160], filler[160];
    struct bank *b;
    tarn *seg;
    unsigned seed = 1;
    (void)arg;
    make_disk(12, "-m 0");
    snprintf(url, sizeof url, "file:%s/segment", mounted);
    struct tarn_options o = little;
    o.initial = 64 << 20;
    o.limit = 64 << 20;
    check(tarn_open(url, TARN_CREATE, &o, &seg) == -ENOSPC && strstr(tarn_error(), "no room for"));
    check(names_in(mounted, "segment", false) == 0);
    o.initial = 1 << 20;
    check(tarn_open(url, TARN_CREATE, &o, &seg) == 0);
    check(tarn_object(seg, "bank", struct bank, &b) == 0);
    int e, count = 0;
    tarn_ref *chain;
    check(tarn_object(seg, "chain", tarn_ref, &chain) == 0);
    while ((e = tarn_alloc_into(seg, chain, 30000)) == 0) { /* through growth, to the end of the disk */
        chain = tarn_ptr(seg, *chain, 30000);
        check(chain != NULL && ++count < 1000);
        memset((char *)chain + 8, count, 30000 - 8);
    }
    check(e == -ENOSPC && strstr(tarn_error(), "file system"));
    check(count > 50);
    /* not a block is left for anybody else: */
    snprintf(filler, sizeof filler, "%s/filler", mounted);
    int fd = open(filler, O_RDWR | O_CREAT, 0600);
    char page[4096];
    memset(page, 'x', sizeof page);
    while (write(fd, page, sizeof page) > 0)
        ;
    while (write(fd, page, 1) > 0)
        ;
    check(fsync(fd) == 0 || errno == ENOSPC);
    touch_all(seg);                         /* and no access is a SIGBUS */
    while ((e = segment_grow(seg, 1)) == 0) /* what a growth took that failed half-way */
        check(++count < 1000);
    check(e == -ENOSPC);
    touch_all(seg);
    for (int i = 0; i < 500; i++)
        check(transfer(seg, b, &seed) == 0);
    check(tarn_flush(seg) == 0);
    check(tarn_close(seg) == 0);
    world->boot++;
    check(open_bank(url, &seg, &b) == 0 && sum_of_bank(b) == 0 && b->transfers == 500);
    touch_all(seg);
    check(tarn_check(seg, NULL, NULL) == 0);
    check(tarn_close(seg) == 0);
}

static void a_full_disk_is_an_error_and_no_signal(void **state)
{
    (void)state;
    in_namespace(full);
}

/* ---- other file systems, where their mkfs is installed ---- */

/* Makes it, uses it, and carries it to another boot. */
static void used_there(unsigned copy_on_write)
{
    char url[160];
    struct bank *b;
    tarn *seg;
    unsigned seed = 1;
    struct tarn_options o = little;
    o.copy_on_write = copy_on_write;
    snprintf(url, sizeof url, "file:%s/segment", mounted);
    check(tarn_open(url, TARN_CREATE, &o, &seg) == 0);
    check(tarn_object(seg, "bank", struct bank, &b) == 0);
    for (int i = 0; i < 100; i++)
        check(transfer(seg, b, &seed) == 0);
    check(segment_grow(seg, 1 << 20) == 0);
    touch_all(seg);
    check(tarn_flush(seg) == 0);
    check(tarn_close(seg) == 0);
    world->boot++;
    check(open_bank(url, &seg, &b) == 0 && sum_of_bank(b) == 0 && b->transfers == 100);
    check(tarn_current(seg) == 0);
    check(tarn_close(seg) == 0);
}

static void on_btrfs(void *arg)
{
    char url[160];
    tarn *seg;
    (void)arg;
    make_disk_of("btrfs", 128, "-q -f");
    snprintf(url, sizeof url, "file:%s/segment", mounted);
    check(tarn_open(url, TARN_CREATE, &little, &seg) == -EOPNOTSUPP && strstr(tarn_error(), "btrfs"));
    check(names_in(mounted, "", false) == 0);
    used_there(1);
}

static void on_xfs(void *arg)
{
    (void)arg;
    make_disk_of("xfs", 320, "-q -f");
    used_there(0);
}

static void on_ext2(void *arg)
{
    char url[160];
    tarn *seg;
    (void)arg;
    make_disk_of("ext2", 12, "-q -F");
    snprintf(url, sizeof url, "file:%s/segment", mounted);
    check(tarn_open(url, TARN_CREATE, &little, &seg) == -EOPNOTSUPP && strstr(tarn_error(), "fallocate"));
    check(names_in(mounted, "segment", false) == 0);
}

static void btrfs_must_be_asked_for(void **state)
{
    (void)state;
    in_namespace(on_btrfs);
}

static void xfs_will_do(void **state)
{
    (void)state;
    in_namespace(on_xfs);
}

static void who_cannot_commit_is_refused(void **state)
{
    (void)state;
    in_namespace(on_ext2);
}

/* ---- power ---- */

/* What the writer tells the test. In world->go: transfers that a close, or a flush before it, has brought to the disk. */
static void write_for_ever(const char *url)
{
    unsigned seed = (unsigned)getpid();
    alarm(120);
    for (;;) {
        struct bank *b;
        tarn *seg;
        tarn_map *map;
        check(open_bank(url, &seg, &b) == 0);
        check(tarn_map_open(seg, "map", TARN_CREATE | TARN_MAP_U64, &map) == 0);
        int n = rand_r(&seed) % 400;
        for (int i = 0; i < n; i++) {
            check(transfer(seg, b, &seed) == 0);
            check(tarn_map_put64(map, (uint64_t)rand_r(&seed) % 500, b->transfers) == 0);
            if (rand_r(&seed) % 100 == 0)
                check(tarn_flush(seg) == 0);
            if (rand_r(&seed) % 50 == 0)
                usleep(rand_r(&seed) % 2000);
        }
        uint64_t count = b->transfers;
        tarn_map_close(map);
        check(tarn_close(seg) == 0);
        __atomic_store_n(&world->go, count, __ATOMIC_SEQ_CST);
        usleep(rand_r(&seed) % 8000);
    }
}

struct tally {
    int opened, repaired, damaged;
};

/* Another machine finds the disk as it was copied. */
static void look_at_copy(uint64_t durable, struct tally *t)
{
    char url[160];
    struct bank *b;
    tarn *seg;
    if (!shell("mount -o loop %s %s", copy_image, copied))
        check(!"the copy can be mounted");
    snprintf(url, sizeof url, "file:%s/segment", copied);
    world->boot++;
    int e = tarn_open(url, 0, NULL, &seg);
    check(e == 0 || e == -EUCLEAN);
    if (e == 0) { /* then it is exact, and as new as was promised */
        t->opened++;
        check(tarn_object(seg, "bank", struct bank, &b) == 0);
        check(sum_of_bank(b) == 0);
        check(b->transfers >= durable);
        check(tarn_check(seg, NULL, NULL) == 0);
        check(tarn_close(seg) == 0);
    } else {
        int left = tarn_repair(url, NULL, NULL);
        check(left >= 0);
        *(left ? &t->damaged : &t->repaired) += 1;
        e = tarn_open(url, 0, NULL, &seg);
        check(e == (left ? -EUCLEAN : 0));
        if (e == 0) {
            check(tarn_check(seg, NULL, NULL) == 0);
            check(tarn_close(seg) == 0);
        }
    }
    world->boot--;
    check(umount(copied) == 0);
}

static void power_lost(void *arg)
{
    char url[160];
    struct bank *b;
    tarn *seg;
    struct tally t = {0};
    unsigned seed = 3;
    (void)arg;
    alarm(120);
    make_disk(12, "");
    snprintf(url, sizeof url, "file:%s/segment", mounted);
    check(open_bank(url, &seg, &b) == 0);
    check(tarn_flush(seg) == 0); /* its name, too */
    check(tarn_close(seg) == 0);
    pid_t pid = fork();
    if (pid == 0)
        write_for_ever(url);
    int rounds = SANITIZED ? 10 : 40;
    for (int round = 0; round < rounds || (round < 10 * rounds && !(t.opened && t.repaired)); round++) {
        int status;
        usleep(5000 + rand_r(&seed) % 60000);
        uint64_t durable = __atomic_load_n(&world->go, __ATOMIC_SEQ_CST);
        check(kill(pid, SIGSTOP) == 0);
        check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        check(copy_file(image, copy_image) == 0);
        look_at_copy(durable, &t);
        check(kill(pid, SIGCONT) == 0);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    fprintf(stderr, "of %d images %d opened, %d were repaired, %d stay refused\n",
            t.opened + t.repaired + t.damaged, t.opened, t.repaired, t.damaged);
    check(t.opened > 0 && t.repaired + t.damaged > 0);
    /* the disk itself, carried to another boot */
    check(open_bank(url, &seg, &b) == 0 && tarn_recover(seg) >= 0 && sum_of_bank(b) == 0);
    uint64_t count = b->transfers;
    check(tarn_close(seg) == 0);
    check(umount(mounted) == 0);
    check(shell("mount -o loop %s %s", image, copied));
    snprintf(url, sizeof url, "file:%s/segment", copied);
    world->boot++;
    check(open_bank(url, &seg, &b) == 0 && sum_of_bank(b) == 0 && b->transfers == count);
    check(tarn_check(seg, NULL, NULL) == 0);
    check(tarn_close(seg) == 0);
}

static void a_power_loss_is_refused_or_exact(void **state)
{
    (void)state;
    in_namespace(power_lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_is_an_error_and_no_signal),
        cmocka_unit_test(btrfs_must_be_asked_for),
        cmocka_unit_test(xfs_will_do),
        cmocka_unit_test(who_cannot_commit_is_refused),
        cmocka_unit_test(a_power_loss_is_refused_or_exact),
    };
    return cmocka_run_group_tests(tests, set_up, remove_directory);
}

/* test_door.c - who comes to the door, and what lies behind it: planted objects, names exchanged under one's hands, files cut off while attached, other users'
 * segments, readers who hold and sleep on all they can; and what a read-only attachment does to the pages. */
#include "helper.h"

#include <grp.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>

#include "os/futex.h"
#include "os/os.h"
#include "segment/segment.h"

#define STRANGER 65533u
#define ANOTHER 65532u
#define COMMON 65000u

static const struct tarn_options small = {
    .size = sizeof small, .initial = 128 << 10, .limit = 2 << 20, .participants = 8, .record_size = 2048};

static char file_url[128], sysv_url[32];

static int set_up(void **state)
{
    int e = own_directory(state);
    snprintf(file_url, sizeof file_url, "file:%s/planted", own_path);
    snprintf(sysv_url, sizeof sysv_url, "sysv:0x%x", 0x6f000000u | (uint32_t)(getpid() & 0xffffff));
    return e;
}

static int tear_down(void **state)
{
    (void)tarn_unlink(sysv_url);
    return remove_directory(state);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    closedir(d);
    return count;
}

static void path_of(char path[192], const char *name)
{
    snprintf(path, 192, "%s/%s", own_path, name);
}

static tarn *make(const char *url, const struct tarn_options *o)
{
    tarn *seg = NULL;
    int e = tarn_open(url, TARN_CREATE | TARN_EXCL, o, &seg);
    if (e < 0)
        fail_msg("%s: %s", url, tarn_error());
    return seg;
}

/* ---- planted objects ---- */

static bool plant_fifo(const char *path)
{
    return mkfifo(path, 0666) == 0;
}
static bool plant_directory(const char *path)
{
    return mkdir(path, 0777) == 0;
}
static bool plant_device(const char *path)
{
    return mknod(path, S_IFCHR | 0666, makedev(1, 3)) == 0; /* /dev/null's */
}
static bool plant_socket(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t length = strlen(path);
    memcpy(at.sun_path, path, length < sizeof at.sun_path ? length : sizeof at.sun_path - 1);
    bool done = bind(s, (struct sockaddr *)&at, sizeof at) == 0;
    close(s);
    return done;
}
static bool plant_link(const char *path)
{
    return symlink("real", path) == 0; /* a segment of ours, even */
}
static bool plant_dangling(const char *path)
{
    return symlink("nothing", path) == 0;
}
static bool plant_empty(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
    close(fd);
    return fd >= 0;
}
static bool plant_zeros(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
    bool done = fd >= 0 && ftruncate(fd, 1 << 20) == 0;
    close(fd);
    return done;
}
static bool plant_strangers(const char *path)
{
    return plant_zeros(path) && chown(path, STRANGER, STRANGER) == 0;
}
/* Another user's file, under a second name. */
static bool plant_hard_link(const char *path)
{
    char other[192];
    path_of(other, "strangers-own");
    unlink(other);
    return plant_strangers(other) && link(other, path) == 0 && unlink(other) == 0;
}

static void planted_objects_are_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        bool (*plant)(const char *path);
        int error; /* of an open; of unlink it is -EPROTO */
    } cases[] = {{"fifo", plant_fifo, -EPROTO},
                 {"directory", plant_directory, -EPROTO},
                 {"device", plant_device, -EPROTO},
                 {"socket", plant_socket, -EPROTO},
                 {"symbolic link", plant_link, -EPROTO},
                 {"dangling link", plant_dangling, -EPROTO},
                 {"empty file", plant_empty, -EPROTO},
                 {"zeros", plant_zeros, -EPROTO},
                 {"stranger's file", plant_strangers, -EACCES},
                 {"hard link to a stranger's", plant_hard_link, -EACCES}};
    const char *urls[] = {"posix:/planted", file_url};
    char path[192];
    struct tarn_options ending = small;
    tarn *real = make("posix:/real", &small), *seg = (tarn *)&cases;
    ending.lifetime = TARN_UNTIL_UNUSED;
    path_of(path, "planted");
    alarm(60); /* nothing here waits */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stat before, after;
        if (!cases[i].plant(path)) {
            print_message("%s: cannot be planted here: %s\n", cases[i].what, strerror(errno));
            unlink(path);
            continue;
        }
        assert_int_equal(lstat(path, &before), 0);
        int descriptors = open_descriptors();
        for (size_t k = 0; k < 2; k++) {
            const int errors[] = {tarn_open(urls[k], 0, NULL, &seg), tarn_open(urls[k], TARN_RDONLY, NULL, &seg),
                                  tarn_open(urls[k], TARN_CREATE, &small, &seg),
                                  tarn_open(urls[k], TARN_CREATE, &ending, &seg)};
            for (size_t n = 0; n < sizeof errors / sizeof *errors; n++)
                if (errors[n] != cases[i].error)
                    fail_msg("%s, %s, way %zu: %d, not %d", cases[i].what, urls[k], n, errors[n], cases[i].error);
            assert_int_equal(tarn_open(urls[k], TARN_CREATE | TARN_EXCL, &small, &seg), -EEXIST);
            assert_int_equal(tarn_open(urls[k], TARN_CREATE | TARN_EXCL, &ending, &seg), -EEXIST);
            assert_int_equal(tarn_unlink(urls[k]), -EPROTO);
        }
        assert_ptr_equal(seg, &cases);
        assert_int_equal(open_descriptors(), descriptors);
        assert_int_equal(lstat(path, &after), 0);
        assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size &&
                    before.st_mode == after.st_mode);
        assert_int_equal(S_ISDIR(after.st_mode) ? rmdir(path) : unlink(path), 0);
    }
    alarm(0);
    assert_int_equal(tarn_current(real), 0);
    assert_int_equal(tarn_close(real), 0);
    assert_int_equal(tarn_unlink("posix:/real"), 0);
    assert_int_equal(names_in(own_path, "", false), 0);
}

/* In a directory where everybody makes names and nobody removes another's. */
static void in_a_sticky_directory(void *arg)
{
    tarn *seg;
    (void)arg;
    check(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    check(tarn_open("posix:/roots", TARN_FOREIGN, NULL, &seg) == 0); /* wide open */
    check(tarn_close(seg) == 0);
    check(tarn_unlink("posix:/roots") == -EACCES); /* but not ours to remove */
    check(strstr(tarn_error(), "cannot be removed"));
    check(tarn_open("posix:/ended", 0, NULL, &seg) == -ENOENT); /* its users are dead */
    struct tarn_options o = small;
    o.lifetime = TARN_UNTIL_UNUSED;
    check(tarn_open("posix:/ended", TARN_CREATE, &o, &seg) == -EACCES); /* and that is said, not tried for ever */
    check(tarn_open("posix:/mine", TARN_CREATE, &o, &seg) == 0);
    check(tarn_close(seg) == 0);
}

static void use_and_die(void *arg)
{
    tarn *seg;
    struct tarn_options o = small;
    (void)arg;
    o.lifetime = TARN_UNTIL_UNUSED;
    o.mode = 0666;
    check(tarn_open("posix:/ended", TARN_CREATE, &o, &seg) == 0);
}

static void sticky_directories_keep_names(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct tarn_options o = small;
    o.mode = 0666;
    assert_int_equal(chmod(own_path, 01777), 0);
    tarn *seg = make("posix:/roots", &o);
    assert_int_equal(in_child(use_and_die, NULL), 0);
    assert_int_equal(in_child(in_a_sticky_directory, NULL), 0);
    assert_int_equal(tarn_current(seg), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(names_in(own_path, "", false), 2); /* roots, ended */
    assert_int_equal(tarn_open("posix:/ended", 0, NULL, &seg), -ENOENT);
    assert_int_equal(tarn_unlink("posix:/roots"), 0);
    assert_int_equal(names_in(own_path, "", false), 0);
    assert_int_equal(chmod(own_path, 0700), 0);
}

/* ---- a name exchanged between look and open ---- */

static pid_t exchange_for_ever(const char *a, const char *b)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        for (;;)
            if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */) != 0)
                _exit(1);
    }
    return pid;
}

static void uuid_of(tarn *seg, uint8_t uuid[16])
{
    struct tarn_stat s;
    assert_int_equal(tarn_stat(seg, &s), 0);
    memcpy(uuid, s.uuid, 16);
}

/* `other` is planted beside a segment, and the two names are exchanged all the time: what opens is always the segment, whole. */
static void exchanged_with(bool (*plant)(const char *path), uint32_t lifetime)
{
    char path[192], other[192];
    struct tarn_options o = small;
    uint8_t first[16], second[16], found[16];
    int opened = 0, refused = 0;
    time_t begun = time(NULL);
    o.lifetime = lifetime;
    path_of(path, "exchanged");
    path_of(other, "other");
    tarn *a = make("posix:/exchanged", &o), *b = NULL, *seg;
    uuid_of(a, first);
    memcpy(second, first, 16);
    if (plant)
        assert_true(plant(other));
    else {
        b = make("posix:/other", &o);
        uuid_of(b, second);
    }
    pid_t pid = exchange_for_ever(path, other);
    /* until both were met, however late the other one runs on a busy machine */
    for (int i = 0; i < 3000 || ((!opened || (plant && !refused)) && time(NULL) - begun < 60); i++) {
        int e = tarn_open("posix:/exchanged",
                          i % 3 == 0   ? TARN_RDONLY
                          : i % 3 == 1 ? TARN_CREATE
                                       : 0,
                          &o, &seg);
        if (e < 0) {
            if (e != -EPROTO && e != -EACCES && e != -EBUSY)
                fail_msg("%d: %s", e, tarn_error());
            refused++;
            continue;
        }
        opened++;
        uuid_of(seg, found);
        assert_true(memcmp(found, first, 16) == 0 || memcmp(found, second, 16) == 0);
        e = tarn_current(seg);
        assert_true(e == 0 || e == -ESTALE);
        assert_int_equal(tarn_close(seg), 0);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(opened > 0);
    assert_true(!plant || refused > 0); /* else nothing was exchanged in time */
    assert_int_equal(tarn_close(a), 0);
    assert_int_equal(tarn_close(b), 0);
    assert_true(names_in(own_path, "", true) >= 0);
    names_in(own_path, "", true);
}

static void names_are_exchanged(void **state)
{
    (void)state;
    exchanged_with(NULL, TARN_UNTIL_UNLINKED);
    exchanged_with(plant_fifo, TARN_UNTIL_UNLINKED);
    exchanged_with(plant_dangling, TARN_UNTIL_UNLINKED);
    exchanged_with(plant_directory, TARN_UNTIL_UNLINKED);
    exchanged_with(plant_zeros, TARN_UNTIL_UNLINKED);
    exchanged_with(NULL, TARN_UNTIL_UNUSED);
    exchanged_with(plant_zeros, TARN_UNTIL_UNUSED);
    if (geteuid() == 0)
        exchanged_with(plant_strangers, TARN_UNTIL_UNLINKED);
}

/* Taken away and put back, with other things in its place between. */
static void names_are_taken_away(void **state)
{
    (void)state;
    char path[192], away[192];
    tarn *seg;
    int kinds[3] = {0};
    path_of(path, "taken");
    path_of(away, "away");
    assert_int_equal(tarn_close(make("posix:/taken", &small)), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        for (;;)
            if (rename(path, away) != 0 || symlink("away", path) != 0 || unlink(path) != 0 ||
                mkdir(path, 0700) != 0 || rmdir(path) != 0 || rename(away, path) != 0)
                _exit(1);
    }
    time_t begun = time(NULL);
    for (int i = 0; i < 6000 || ((!kinds[0] || !(kinds[1] + kinds[2])) && time(NULL) - begun < 40); i++) {
        int e = tarn_open("posix:/taken", i % 2 ? TARN_RDONLY : 0, NULL, &seg);
        kinds[e == 0 ? 0 : e == -ENOENT ? 1 : 2]++;
        if (e == 0)
            assert_int_equal(tarn_close(seg), 0);
        else
            assert_true(e == -ENOENT || e == -EPROTO);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(kinds[0] && kinds[1] + kinds[2]);
    names_in(own_path, "", true);
}

/* ---- cut off while attached ---- */

static void touch_end(void *arg)
{
    tarn *seg = arg;
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, &plain, NULL); /* also where a sanitizer would catch it */
    ((volatile char *)seg->base)[seg->geometry.zone[ZONE_DATA] + 65536] = 1;
}

static void what_is_truncated_is_a_signal_or_fails(void **state)
{
    (void)state;
    char path[192];
    const char *urls[] = {"posix:/cut", "memfd:cut", "anon:"};
    for (size_t i = 0; i < 3; i++) {
        tarn *seg = make(urls[i], &small), *again;
        assert_int_equal(in_child(touch_end, seg), 0);
        if (i) { /* sealed, for whoever holds it */
            int fd = os_reopen(tarn_fd(seg), O_RDWR);
            assert_int_equal(ftruncate(fd, 4096), -1);
            assert_int_equal(errno, EPERM);
            assert_int_equal(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
            close(fd);
            assert_int_equal(in_child(touch_end, seg), 0);
        } else { /* open by nature: whoever may write it may cut it off, and then an access is a signal */
            path_of(path, "cut");
            assert_int_equal(truncate(path, 4096 + 512), 0);
            int status = in_child(touch_end, seg);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
            assert_int_equal(tarn_open("posix:/cut", TARN_RDONLY, NULL, &again), -EUCLEAN); /* who comes now is told */
            assert_non_null(strstr(tarn_error(), "truncated"));
            assert_int_equal(truncate(path, 100), 0);
            assert_int_equal(tarn_open("posix:/cut", TARN_RDONLY, NULL, &again), -EUCLEAN);
            assert_int_equal(truncate(path, 0), 0);
            assert_int_equal(tarn_open("posix:/cut", TARN_RDONLY, NULL, &again), -EPROTO);
            assert_int_equal(tarn_open("posix:/cut", TARN_CREATE, NULL, &again), -EPROTO); /* nor is it made over */
            assert_int_equal(unlink(path), 0);
            assert_int_equal(tarn_current(seg), -ESTALE); /* which looks at the name alone */
            seg = NULL;                                   /* closing would touch it */
        }
        if (seg)
            assert_int_equal(tarn_close(seg), 0);
    }
}

/* ---- two users ---- */

struct ledger {
    tarn_mutex lock;
    uint64_t count;
};

static void become(uid_t uid, bool common)
{
    gid_t group = COMMON;
    check(setgroups(common, &group) == 0 && setgid(uid) == 0 && setuid(uid) == 0);
}

static void use(tarn *seg, int expected)
{
    struct ledger *l;
    check(tarn_object(seg, "ledger", struct ledger, &l) == 0);
    check(tarn_mutex_lock(seg, &l->lock) == expected);
    l->count++;
    if (expected == TARN_RECOVERED)
        check(tarn_mutex_consistent(seg, &l->lock) == 0);
    check(tarn_mutex_unlock(seg, &l->lock) == 0);
}

static void make_as_stranger(void *arg)
{
    struct tarn_options o = small;
    tarn *seg;
    become(STRANGER, true);
    o.mode = 0660;
    check(tarn_open(arg, TARN_CREATE | TARN_EXCL, &o, &seg) == 0);
    check(tarn_set_owner(seg, UINT32_MAX, COMMON) == 0); /* a group of ours */
    use(seg, 0);
    struct ledger *l;
    check(tarn_object(seg, "ledger", struct ledger, &l) == 0);
    check(tarn_mutex_lock(seg, &l->lock) == 0);
    kill(getpid(), SIGKILL); /* with the lock */
}

static void without_the_group(void *arg)
{
    tarn *seg;
    become(ANOTHER, false);
    check(tarn_open(arg, 0, NULL, &seg) == -EACCES);
    check(tarn_open(arg, TARN_FOREIGN, NULL, &seg) == -EACCES);
    check(tarn_open(arg, TARN_FOREIGN | TARN_RDONLY, NULL, &seg) == -EACCES);
    check(strstr(tarn_error(), "65533") || strstr(tarn_error(), "no permission"));
}

static void with_the_group(void *arg)
{
    tarn *seg, *reader;
    become(ANOTHER, true);
    check(tarn_open(arg, 0, NULL, &seg) == -EACCES); /* one may, and is asked whether one means it */
    check(strstr(tarn_error(), "TARN_FOREIGN") && strstr(tarn_error(), "65533"));
    check(tarn_open(arg, TARN_CREATE, &small, &seg) == -EACCES);
    check(tarn_open(arg, TARN_FOREIGN, NULL, &seg) == 0);
    use(seg, TARN_RECOVERED); /* what the other user left is recovered */
    check(tarn_grow(seg, 65536) == 0);
    check(tarn_set_mode(seg, 0666) == -EPERM);
    check(strstr(tarn_error(), "65533"));
    check(tarn_open(arg, TARN_FOREIGN | TARN_RDONLY, NULL, &reader) == 0);
    check(tarn_check(reader, NULL, NULL) == 0);
    check(tarn_close(reader) == 0);
    check(tarn_close(seg) == 0);
}

static void other_users_segments(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    const char *urls[] = {"posix:/users", sysv_url};
    assert_int_equal(chmod(own_path, 01777), 0);
    for (size_t i = 0; i < 2; i++) {
        char *url = (char *)(uintptr_t)urls[i];
        tarn *seg;
        int status = in_child(make_as_stranger, url);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(in_child(without_the_group, url), 0);
        assert_int_equal(tarn_open(url, 0, NULL, &seg), -EACCES); /* root does not walk in either */
        assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &seg), -EACCES);
        assert_int_equal(in_child(with_the_group, url), 0);
        assert_int_equal(tarn_open(url, TARN_FOREIGN, NULL, &seg), 0);
        use(seg, 0);
        struct tarn_stat s;
        assert_int_equal(tarn_stat(seg, &s), 0);
        assert_true(s.uid == STRANGER && s.gid == COMMON && s.mode == 0660 && s.recovered == 1);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(url), 0);
    }
    names_in(own_path, "", true);
    assert_int_equal(chmod(own_path, 0700), 0);
}

/* ---- the hostile reader ---- */

enum { WORDS_A_THREAD = 120 };

struct sleeper {
    const uint32_t *word;
    size_t count;
};

/* Sleeps on its words, swallows every wake-up, and sleeps again. */
static void *sleep_on_words(void *arg)
{
    const struct sleeper *s = arg;
    for (;;) {
        struct { /* the library's own call takes eight */
            uint64_t value, address;
            uint32_t flags, reserved;
        } words[WORDS_A_THREAD];
        for (size_t i = 0; i < s->count; i++) {
            words[i].value = __atomic_load_n(&s->word[i], __ATOMIC_RELAXED);
            words[i].address = (uint64_t)(uintptr_t)&s->word[i];
            words[i].flags = 2; /* 32 bits, shared */
            words[i].reserved = 0;
        }
        if (syscall(449 /* futex_waitv */, words, s->count, 0, NULL, 0) < 0 && errno != EAGAIN && errno != EINTR)
            return NULL; /* an older kernel */
        usleep(200);
    }
}

/* All that one can do who may only read: locks on every byte, sleeps on every word that looks like one, and never leaves. */
static void hold_everything(const char *path, int ready)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    struct stat st;
    int fd = open(path, O_RDONLY);
    check(fd >= 0 && fstat(fd, &st) == 0);
    const uint32_t *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    check(base != MAP_FAILED);
    /* Byte by byte where a writer's lock is in the way of the whole. */
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        for (uint32_t index = 0; index < 16; index++)
            (void)os_byte_lock_read(fd, index);
        for (uint32_t index = OS_BYTE_MAKER; index <= OS_BYTE_END; index++)
            (void)os_byte_lock_read(fd, index);
        for (uint32_t i = 0; i < OS_USERS; i++)
            (void)os_byte_lock_read(fd, OS_BYTE_USER + i);
        lock.l_len = (off_t)1 << 40;
        check(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    }
    size_t words = (size_t)st.st_size / 4;
    if (words > 48 * WORDS_A_THREAD * 4) /* header, participants, names, the first blocks: where the words are */
        words = 48 * WORDS_A_THREAD * 4;
    static struct sleeper sleepers[400];
    for (size_t at = 0, n = 0; at < words && n < 400; at += WORDS_A_THREAD, n++) {
        pthread_attr_t a;
        pthread_t thread;
        pthread_attr_init(&a);
        pthread_attr_setstacksize(&a, 64 << 10);
        sleepers[n] = (struct sleeper){base + at, words - at < WORDS_A_THREAD ? words - at : WORDS_A_THREAD};
        check(pthread_create(&thread, &a, sleep_on_words, &sleepers[n]) == 0);
    }
    check(write(ready, "r", 1) == 1);
    for (;;)
        pause();
}

static void count_under_lock(void *arg)
{
    struct ledger *l;
    tarn *seg;
    check(tarn_open("posix:/held", 0, NULL, &seg) == 0);
    check(tarn_object(seg, "ledger", struct ledger, &l) == 0);
    for (int i = 0; i < *(int *)arg; i++) {
        check(tarn_mutex_lock(seg, &l->lock) >= 0);
        check(tarn_mutex_consistent(seg, &l->lock) <= 0);
        l->count++;
        if (i % 64 == 0)
            usleep(100); /* the other side sleeps meanwhile */
        check(tarn_mutex_unlock(seg, &l->lock) == 0);
    }
    check(tarn_close(seg) == 0);
}

static void die_with_the_lock(void *arg)
{
    struct ledger *l;
    tarn *seg;
    (void)arg;
    check(tarn_open("posix:/held", 0, NULL, &seg) == 0);
    check(tarn_object(seg, "ledger", struct ledger, &l) == 0);
    check(tarn_begin(seg) == 0);
    check(tarn_mutex_lock(seg, &l->lock) >= 0);
    check(tarn_save(seg, &l->count, 8) == 0);
    l->count = 1000000; /* undone */
    kill(getpid(), SIGKILL);
}

static void writers_go_on_beside_a_hostile_reader(void **state)
{
    (void)state;
    char path[192], c;
    int ready[2], status, rounds = 2000;
    pid_t pid[2];
    struct ledger *l;
    tarn *seg = make("posix:/held", &small), *more;
    path_of(path, "held");
    assert_int_equal(tarn_object(seg, "ledger", struct ledger, &l), 0); /* this thread has its byte before the reader comes */
    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid_t reader = fork();
    if (reader == 0) {
        alarm(110);
        hold_everything(path, ready[1]);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    for (int i = 0; i < 2; i++) /* claim, beside its locks; lock, beside its sleeps */
        if ((pid[i] = fork()) == 0) {
            alarm(90);
            count_under_lock(&rounds);
            _exit(0);
        }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(l->count, 2 * rounds);
    for (int i = 0; i < 5; i++) { /* recover */
        status = in_child(die_with_the_lock, NULL);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(tarn_mutex_lock(seg, &l->lock), 0);
        assert_int_equal(l->count, 2 * rounds);
        assert_int_equal(tarn_mutex_unlock(seg, &l->lock), 0);
    }
    assert_int_equal(tarn_grow(seg, 256 << 10), 0);
    assert_int_equal(tarn_set_limit(seg, 1 << 20), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    struct tarn_stat s;
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(s.undone, 5);
    assert_true(s.recovered >= 5);
    assert_int_equal(s.dead, 0);
    assert_int_equal(tarn_unlink("posix:/held"), 0);
    assert_int_equal(tarn_open("posix:/held", TARN_CREATE | TARN_EXCL, &small, &more), 0); /* a new one under the name */
    assert_int_equal(tarn_close(more), 0);
    assert_int_equal(tarn_close(seg), 0);
    assert_int_equal(waitpid(reader, NULL, WNOHANG), 0); /* it was there all the time */
    assert_int_equal(kill(reader, SIGKILL), 0);
    assert_int_equal(waitpid(reader, NULL, 0), reader);
    close(ready[0]);
    close(ready[1]);
    names_in(own_path, "", true);
}

/* ---- what a reader writes: nothing ---- */

/* Lines of /proc/self/smaps for what is mapped from base on: its protection, and kilobytes of dirty pages in it. */
static bool look_at_map(const void *base, char protection[5], long *ret_dirty)
{
    char line[512];
    FILE *f = fopen("/proc/self/smaps", "re");
    bool here = false, found = false;
    *ret_dirty = 0;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long from, to;
        long kilobytes;
        char p[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, p) == 3) {
            here = from == (uintptr_t)base;
            if (here) {
                memcpy(protection, p, 5);
                found = true;
            }
        } else if (here && (sscanf(line, "Shared_Dirty: %ld", &kilobytes) == 1 ||
                            sscanf(line, "Private_Dirty: %ld", &kilobytes) == 1))
            *ret_dirty += kilobytes;
    }
    if (f)
        fclose(f);
    return found;
}

static int see_name(const struct tarn_name *n, void *arg)
{
    (void)n;
    ++*(int *)arg;
    return 0;
}
static int see_participant(const struct tarn_participant *p, void *arg)
{
    (void)p;
    ++*(int *)arg;
    return 0;
}
static int see_entry(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    (void)key;
    (void)key_size;
    (void)value;
    (void)size;
    ++*(int *)arg;
    return 0;
}

/* Everything that may be done read-only. */
static void read_everything(tarn *seg)
{
    struct tarn_stat s;
    struct ledger *l;
    tarn_map *map;
    uint64_t bytes;
    int seen = 0;
    char value[16];
    assert_int_equal(tarn_stat(seg, &s), 0);
    assert_int_equal(tarn_check(seg, NULL, NULL), 0);
    assert_int_equal(tarn_leaked(seg, &bytes), 0);
    assert_int_equal(tarn_names(seg, see_name, &seen), 0);
    assert_true(seen >= 2);
    assert_int_equal(tarn_participants(seg, see_participant, &seen), 0);
    assert_int_equal(tarn_object(seg, "ledger", struct ledger, &l), 0);
    assert_int_equal(tarn_mutex_lock(seg, &l->lock), -EROFS);
    assert_int_equal(tarn_thread_attach(seg), -EROFS);
    assert_int_equal(tarn_set_limit(seg, 0), -EROFS);
    assert_int_equal(tarn_map_open(seg, "map", 0, &map), 0);
    assert_int_equal(tarn_map_get(map, "key", 3, value, sizeof value, NULL), 0);
    seen = 0;
    assert_int_equal(tarn_map_each(map, see_entry, &seen), 0);
    assert_int_equal(seen, 100);
    tarn_map_close(map);
    (void)tarn_current(seg);
}

static void fill(tarn *seg)
{
    struct ledger *l;
    tarn_map *map;
    assert_int_equal(tarn_object(seg, "ledger", struct ledger, &l), 0);
    assert_int_equal(tarn_map_open(seg, "map", TARN_CREATE, &map), 0);
    assert_int_equal(tarn_map_put(map, "key", 3, "value", 5), 0);
    for (uint64_t i = 1; i < 100; i++)
        assert_int_equal(tarn_map_put(map, &i, sizeof i, &i, sizeof i), 0);
    tarn_map_close(map);
}

static void readers_are_mapped_for_reading(void **state)
{
    (void)state;
    const char *urls[] = {"posix:/read", file_url, sysv_url};
    for (size_t i = 0; i < 3; i++) {
        tarn *seg = make(urls[i], &small), *reader;
        char protection[5];
        long dirty;
        fill(seg);
        assert_int_equal(tarn_open(urls[i], TARN_RDONLY, NULL, &reader), 0);
        assert_true(look_at_map(reader->base, protection, &dirty));
        assert_string_equal(protection, "r--s");
        assert_true(look_at_map(seg->base, protection, &dirty));
        assert_string_equal(protection, "rw-s");
        read_everything(reader);
        assert_int_equal(tarn_close(reader), 0);
        assert_int_equal(tarn_close(seg), 0);
        assert_int_equal(tarn_unlink(urls[i]), 0);
    }
}

/* Pages of a file on a disk are clean once they are written back; the kernel counts those that are not. (Of a tmpfs all are dirty for ever, so it needs
 * a disk: the working directory's, or /var/tmp's.) */
static void readers_leave_every_page_clean(void **state)
{
    (void)state;
    static const char *const places[] = {".", "/var/tmp"};
    char url[160], protection[5];
    tarn *seg = NULL, *reader;
    long dirty;
    for (size_t i = 0; i < 2 && !seg; i++) {
        snprintf(url, sizeof url, "file:%s/tarn-clean-%d", places[i], (int)getpid());
        if (tarn_open(url, TARN_CREATE, &small, &seg) < 0)
            print_message("%s\n", tarn_error());
    }
    if (!seg)
        skip();
    fill(seg);
    assert_true(look_at_map(seg->base, protection, &dirty));
    bool counts = dirty > 0;              /* else it counts none, or has no smaps */
    assert_int_equal(tarn_close(seg), 0); /* all of it is on the disk */
    assert_int_equal(tarn_open(url, TARN_RDONLY, NULL, &reader), 0);
    for (int i = 0; i < 3; i++)
        read_everything(reader);
    assert_true(look_at_map(reader->base, protection, &dirty));
    long after = dirty;
    assert_int_equal(tarn_close(reader), 0);
    assert_int_equal(tarn_unlink(url), 0);
    if (!counts || (after && access("/proc/self/smaps", R_OK) != 0)) {
        print_message("this kernel counts no dirty pages\n");
        skip();
    }
    assert_int_equal(after, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_objects_are_left_alone),
        cmocka_unit_test(sticky_directories_keep_names),
        cmocka_unit_test(names_are_exchanged),
        cmocka_unit_test(names_are_taken_away),
        cmocka_unit_test(what_is_truncated_is_a_signal_or_fails),
        cmocka_unit_test(other_users_segments),
        cmocka_unit_test(writers_go_on_beside_a_hostile_reader),
        cmocka_unit_test(readers_are_mapped_for_reading),
        cmocka_unit_test(readers_leave_every_page_clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

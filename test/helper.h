/* helper.h - for tests: a directory of their own for POSIX objects, child processes whose checks count, and what the library says.
 *
 * own_directory() makes a directory in /dev/shm and has posix: look there, so that no test meets another or a user's objects;
 * With TARN_TEST_FILE in the environment, posix:/NAME in a call means file:NAME in that directory: so what was written for the one is run for the
 * other, too. With TARN_TEST_SYSV it means sysv:KEY, with a key of a range that nobody else has, and anon: and memfd:LABEL mean sysv:private; with
 * TARN_TEST_MEMFD posix:/NAME means a memory file, which who forked after it was made finds again by its name. remove_directory() removes the
 * directory with what is in it, and the keys. In a child, say check(): cmocka's assertions are for the parent. */
#ifndef TARN_TEST_HELPER_H
#define TARN_TEST_HELPER_H

#include "os/error.h" /* before cmocka.h, which makes a macro of our function's name */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn.h"

#ifndef __has_feature
#define __has_feature(f) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||     \
    __has_feature(thread_sanitizer)
#define SANITIZED true /* which takes much address space, and time */
#else
#define SANITIZED false
#endif

static char own_path[64];

/* ---- on System V ---- */

#define KEY_RANGE 0x10000u /* of a test: the names' sums */

static inline bool on_sysv(void)
{
    return getenv("TARN_TEST_SYSV") != NULL;
}
static inline bool on_memfd(void)
{
    return getenv("TARN_TEST_MEMFD") != NULL;
}
#define skip_on_sysv(reason)                                                                                 \
    do                                                                                                       \
        if (on_sysv()) {                                                                                     \
            print_message("on System V: %s: skipped\n", reason);                                             \
            skip();                                                                                          \
        }                                                                                                    \
    while (0)

/* Segments there are with keys of the range from `first` on; with `remove`, they are removed. Calls the kernel only, so a signal's handler may. */
static inline int keys_in(uint32_t first, bool remove)
{
    struct shm_info info;
    struct shmid_ds ds;
    int count = 0, last = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
    for (int i = 0; i <= last; i++) {
        int id = shmctl(i, SHM_STAT, &ds);
        if (id < 0 || (uint32_t)ds.shm_perm.__key - first >= KEY_RANGE)
            continue;
        count++;
        if (remove)
            shmctl(id, IPC_RMID, NULL);
    }
    return count;
}

static uint32_t own_keys; /* the first of its range; 0: none yet */
static pid_t keys_owner;

static void on_end_of_keys(int number) __attribute__((unused));
static void on_end_of_keys(int number) /* by a time-out, or from outside */
{
    if (getpid() == keys_owner)
        keys_in(own_keys, true);
    signal(number, SIG_DFL);
    raise(number);
}

/* A range that is free. In a namespace of its own, if that may be: then a SIGKILL, too, leaves nothing. */
static inline void take_keys(void)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM};
    (void)unshare(CLONE_NEWIPC);
    own_keys = 0x70000000u + ((uint32_t)getpid() & 0xfffu) * KEY_RANGE;
    while (keys_in(own_keys, false) > 0)
        own_keys = 0x70000000u + (own_keys + KEY_RANGE) % 0x10000000u;
    keys_owner = getpid();
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        signal(ends[i], on_end_of_keys);
}

static inline uint32_t key_named(const char *name)
{
    uint32_t sum = 2166136261u;
    for (; *name; name++)
        sum = (sum ^ (unsigned char)*name) * 16777619u;
    return own_keys + (sum ^ sum >> 16) % KEY_RANGE;
}

/* Of posix:/NAME. -1: there is none. */
static inline int shm_named(const char *url)
{
    return shmget((key_t)key_named(url + 7), 0, 0);
}

static inline void use_directory(const char *path)
{
    setenv("TARN_SHM_DIR", path, 1);
}

static inline int own_directory(void **state)
{
    (void)state;
    snprintf(own_path, sizeof own_path, "/dev/shm/tarn-test-XXXXXX");
    if (!mkdtemp(own_path))
        return -1;
    use_directory(own_path);
    if (on_sysv())
        take_keys();
    return 0;
}

/* Names in the directory that begin with `prefix`; with `remove`, they are removed. */
static inline int names_in(const char *path, const char *prefix, bool remove)
{
    int count = 0;
    DIR *d = opendir(path);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        count++;
        if (remove && unlinkat(dirfd(d), e->d_name, 0) != 0)
            unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
    return count;
}

/* What is there by name: of files, those in the directory. */
static inline int names_there(bool remove)
{
    int files = names_in(own_path, "", remove);
    return on_sysv() ? files + keys_in(own_keys, remove) : files;
}

static inline int remove_directory(void **state)
{
    (void)state;
    if (on_sysv() && own_keys)
        keys_in(own_keys, true);
    names_in(own_path, "", true);
    return rmdir(own_path);
}

/* ---- on what was asked for ---- */

/* See above. Good for four calls of a thread. */
static inline const char *as_asked(const char *url)
{
    static __thread char made[4][512];
    static __thread unsigned next;
    const char *directory = getenv("TARN_SHM_DIR");
    if (!url || (!getenv("TARN_TEST_FILE") && !on_sysv()))
        return url;
    if (on_sysv() && (strcmp(url, "anon:") == 0 || strncmp(url, "memfd:", 6) == 0))
        return "sysv:private";
    if (!directory || strncmp(url, "posix:/", 7) != 0)
        return url;
    char *to = made[next++ % 4];
    if (on_sysv())
        snprintf(to, sizeof *made, "sysv:%u", key_named(url + 7));
    else
        snprintf(to, sizeof *made, "file:%s/%s", directory, url + 7);
    return to;
}

/* Memory files by the names that they would have. Of this process and those that it forks. */
static struct {
    char name[64];
    int fd;
} memory_file[8];

static inline int open_memory_file(const char *name, unsigned flags, const struct tarn_options *options,
                                   tarn **ret_seg)
{
    size_t i = 0, most = sizeof memory_file / sizeof *memory_file;
    while (i < most && strcmp(memory_file[i].name, name) != 0)
        i++;
    if (i < most)
        return flags & TARN_EXCL ? -EEXIST
                                 : tarn_open_fd(memory_file[i].fd, flags & ~(unsigned)TARN_CREATE, ret_seg);
    for (i = 0; i < most && *memory_file[i].name;)
        i++;
    if (!(flags & TARN_CREATE) || i == most || strlen(name) >= sizeof memory_file->name)
        return -ENOENT;
    int e = (tarn_open)("memfd:named", flags, options, ret_seg);
    if (e < 0)
        return e;
    memory_file[i].fd = fcntl(tarn_fd(*ret_seg), F_DUPFD_CLOEXEC, 3);
    strcpy(memory_file[i].name, name);
    return 0;
}

static inline int unlink_memory_file(const char *name)
{
    for (size_t i = 0; i < sizeof memory_file / sizeof *memory_file; i++)
        if (strcmp(memory_file[i].name, name) == 0) {
            *memory_file[i].name = 0;
            return close(memory_file[i].fd);
        }
    return -ENOENT;
}

static inline int open_asked(const char *url, unsigned flags, const struct tarn_options *options, tarn **ret_seg)
{
    if (url && on_memfd() && strncmp(url, "posix:/", 7) == 0)
        return open_memory_file(url + 7, flags, options, ret_seg);
    return tarn_open(as_asked(url), flags, options, ret_seg);
}
static inline int unlink_asked(const char *url)
{
    if (url && on_memfd() && strncmp(url, "posix:/", 7) == 0)
        return unlink_memory_file(url + 7);
    return tarn_unlink(as_asked(url));
}
#define tarn_open(url, flags, options, ret_seg) open_asked(url, flags, options, ret_seg)
#define tarn_unlink(url) unlink_asked(url)

/* In a child: true, or say what and end. */
#define check(condition)                                                                                     \
    ((condition) ? (void)0                                                                                   \
                 : (fprintf(stderr, "%s:%d: in a child: %s; tarn_error: %s\n", __FILE__, __LINE__,           \
                            #condition, tarn_error()),                                                       \
                    _exit(1)))

/* Run it in a child; its wait status. */
static inline int in_child(void (*run)(void *arg), void *arg)
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        run(arg);
        _exit(0);
    }
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    return status;
}

/* A child that does not outlive a test that failed. */
static inline pid_t fork_child(void)
{
    pid_t parent = getpid(), child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(98);
    return child;
}

/* ---- what the library says ---- */

static inline void assert_says(const char *part)
{
    if (!strstr(tarn_error(), part))
        fail_msg("\"%s\" does not say \"%s\"", tarn_error(), part);
}
static inline struct tarn_stat stat_of(tarn *seg)
{
    struct tarn_stat s;
    assert_int_equal(tarn_stat(seg, &s), 0);
    return s;
}

static inline int print_damage(const struct tarn_damage *d, void *unused)
{
    (void)unused;
    print_error("damage at %#llx: %s\n", (unsigned long long)d->ref, d->what);
    return 0;
}
/* Nothing is damaged, and every block is reached. */
static inline void assert_clean(tarn *seg)
{
    uint64_t leaked = 1;
    assert_int_equal(tarn_check(seg, print_damage, NULL), 0);
    assert_int_equal(tarn_leaked(seg, &leaked), 0);
    assert_int_equal(leaked, 0);
}

#endif

/* helper.h - for tests: a directory of their own for POSIX objects, and child processes whose checks count.
 *
 * own_directory() makes a directory in /dev/shm and has posix: look there, so that no test meets another or a user's objects;
 * With TARN_TEST_FILE in the environment, posix:/NAME in a call means file:NAME in that directory: so what was written for the one is run for the
 * other, too. remove_directory() removes it with what is in it. In a child, say check(): cmocka's assertions are for the parent. */
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
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

static inline int remove_directory(void **state)
{
    (void)state;
    names_in(own_path, "", true);
    return rmdir(own_path);
}

/* See above. Good for four calls of a thread. */
static inline const char *as_asked(const char *url)
{
    static __thread char made[4][512];
    static __thread unsigned next;
    const char *directory = getenv("TARN_SHM_DIR");
    if (!url || !getenv("TARN_TEST_FILE") || !directory || strncmp(url, "posix:/", 7) != 0)
        return url;
    char *to = made[next++ % 4];
    snprintf(to, sizeof *made, "file:%s/%s", directory, url + 7);
    return to;
}
#define tarn_open(url, flags, options, ret_seg) tarn_open(as_asked(url), flags, options, ret_seg)
#define tarn_unlink(url) tarn_unlink(as_asked(url))

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

#endif

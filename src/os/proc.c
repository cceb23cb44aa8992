/* os/proc.c - who runs, on which boot, and random bytes. See os.h. All of it does without /proc, by saying that it does not know. */
#include "os/os.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int os_random(void *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = getrandom((char *)to + done, size - done, 0);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* The beginning of a small file as a string. Its length, or -errno. */
static int64_t read_text(const char *path, char *to, size_t room)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    int64_t n = os_read_at(fd, to, room - 1, 0);
    close(fd);
    if (n >= 0)
        to[n] = 0;
    return n;
}

void os_boot_id(uint8_t ret_id[16])
{
    char text[64];
    memset(ret_id, 0, 16);
    if (read_text("/proc/sys/kernel/random/boot_id", text, sizeof text) < 0)
        return;
    unsigned digits = 0;
    for (const char *c = text; *c && digits < 32; c++) {
        if (!isxdigit((unsigned char)*c))
            continue;
        unsigned value = (unsigned)(*c <= '9' ? *c - '0' : (*c | 32) - 'a' + 10);
        ret_id[digits / 2] = (uint8_t)(ret_id[digits / 2] << 4 | value);
        digits++;
    }
}

uint64_t os_clock(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_REALTIME, &t) ? 0 : (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void os_thread_name(char ret[16])
{
    if (prctl(PR_GET_NAME, ret))
        ret[0] = 0;
}

int os_start_time(uint32_t pid, uint32_t tid, uint64_t *ret_ticks)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%u/task/%u/stat", pid, tid);
    int64_t n = read_text(path, text, sizeof text);
    if (n < 0)
        return (int)n;
    /* "pid (comm) state ppid ...": comm may hold spaces and parentheses, so begin after the last one. Field 22 is the start. */
    char *at = strrchr(text, ')');
    if (at && (at[2] == 'Z' || at[2] == 'X')) /* it runs no more, though nobody has reaped it */
        return -ESRCH;
    for (int field = 2; at && field < 22; field++)
        if ((at = strchr(at, ' ')))
            at++;
    if (!at || !isdigit((unsigned char)*at))
        return -EIO;
    *ret_ticks = strtoull(at, NULL, 10);
    return 0;
}

/* The process's own file has its leader's state: Z also if the leader has ended, and other threads go on. Field 20 is their number. */
bool os_process_gone(uint32_t pid, uint64_t start)
{
    char path[64], text[1024], state = 0;
    unsigned long threads = 0;
    unsigned long long began = 0;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    if (read_text(path, text, sizeof text) < 0)
        return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
    const char *at = strrchr(text, ')');
    if (!at || sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %*s %llu",
                      &state, &threads, &began) != 3)
        return false;
    return began != start || ((state == 'Z' || state == 'X') && threads <= 1);
}

uint64_t os_pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

int os_process_open(uint32_t pid)
{
    int saved = errno, fd = (int)syscall(SYS_pidfd_open, (int)pid, 0), e = fd < 0 ? -errno : fd;
    errno = saved;
    return e;
}

int os_process_signal(int process, int number)
{
    int saved = errno, e = syscall(SYS_pidfd_send_signal, process, number, NULL, 0) ? -errno : 0;
    errno = saved;
    return e;
}

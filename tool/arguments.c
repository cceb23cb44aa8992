/* arguments.c - what the commands do alike with their arguments: options, sizes, opening; and complaints.
 *
 * A complaint names the thing and the cure, on stderr, and says nothing about what went well. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "tool.h"

/* ---- complaints ---- */

/* Names are other people's bytes: what they could do to a terminal they do not. */
static void say(const char *command, const char *format, va_list list)
{
    char *said = NULL, *shown = vasprintf(&said, format, list) >= 0 ? harmless(said) : NULL;
    fflush(stdout);
    fprintf(stderr, command ? "tarn %s: " : "tarn: ", command);
    fprintf(stderr, "%s\n", shown ? shown : format);
    free(shown);
    free(said);
}

void complain(const char *command, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(command, format, list);
    va_end(list);
}

int misused(const struct command *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(c->name, format, list);
    va_end(list);
    fprintf(stderr, "usage: tarn %s %s (tarn %s --help tells more)\n", c->name, c->arguments, c->name);
    return USAGE;
}

int status_of(int error)
{
    switch (error) {
    case -EINVAL:
    case -ENAMETOOLONG:
    case -E2BIG: return USAGE;
    case -ENOENT:
    case -EEXIST:
    case -EUCLEAN:
    case -EPROTO:
    case -ESTALE: return WRONG;
    default: return REFUSED;
    }
}

int failed(const struct command *c, int error)
{
    complain(c->name, "%s", tarn_error());
    return status_of(error);
}

bool agreed(const char *question)
{
    char answer[16] = "";
    fflush(stdout);
    fprintf(stderr, "%s [y/N] ", question);
    bool yes = fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
    if (!strchr(answer, '\n'))
        fputc('\n', stderr);
    return yes;
}

/* ---- lists ---- */

void *one_more(void *array, size_t *count, size_t size)
{
    void **at = array;
    if ((*count & (*count - 1)) == 0) { /* full: at 0 and at each power of two */
        void *more = realloc(*at, (*count ? *count * 2 : 1) * size);
        if (!more)
            return NULL;
        *at = more;
    }
    return memset((char *)*at + (*count)++ * size, 0, size);
}

/* ---- options ---- */

int next_option(const struct command *c, int argc, char **argv, const char *letters,
                const struct option *names, int *ret_status)
{
    opterr = 0;
    int option = getopt_long(argc, argv, letters, names, NULL);
    switch (option) {
    case 'h':
        print_help(c);
        *ret_status = DONE;
        return ENDED;
    case ':': *ret_status = misused(c, "%s needs a value behind it", argv[optind - 1]); return ENDED;
    case '?':
        *ret_status = optopt && optopt < 256
                          ? misused(c, "-%c is no option of this command", optopt)
                          : misused(c, "%s is no option of this command, or takes no value", argv[optind - 1]);
        return ENDED;
    default: return option;
    }
}

const char *only_url(const struct command *c, int argc, char **argv)
{
    if (argc - optind == 1)
        return argv[optind];
    if (argc == optind)
        misused(c, "no URL: say which segment, as posix:/name");
    else
        misused(c, "\"%s\" is one argument too many: one URL at a time", argv[optind + 1]);
    return NULL;
}

bool parse_number(const char *text, int base, uint64_t most, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, base);
    if (text[0] < '0' || text[0] > '9' || *end || errno || n > most)
        return false;
    *ret = n;
    return true;
}

static bool parse_size(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? (unsigned)(unit - units + 1) * 10 : 0;
    if (text[0] < '0' || text[0] > '9' || errno || (*end && (!unit || end[1])) || n > UINT64_MAX >> shift)
        return false;
    *ret = (uint64_t)n << shift;
    return true;
}

/* "--count 0: it is a number of messages from 1 on" */
static int out_of_range(const struct command *c, const char *option, const char *value, const char *what,
                        uint64_t least, uint64_t most)
{
    if (most == UINT64_MAX)
        return misused(c, "%s %s: it is a number of %s from %" PRIu64 " on", option, value, what, least);
    return misused(c, "%s %s: it is a number of %s from %" PRIu64 " to %" PRIu64, option, value, what, least, most);
}

static int take_number(const struct command *c, const char *option, const char *value, const char *what,
                       uint64_t least, uint64_t most, uint64_t *ret)
{
    uint64_t n;
    if (!parse_number(value, 10, most, &n) || n < least)
        return out_of_range(c, option, value, what, least, most);
    *ret = n;
    return DONE;
}

int take_count(const struct command *c, const char *option, const char *value, const char *what,
               uint64_t most, uint64_t *ret)
{
    return take_number(c, option, value, what, 1, most, ret);
}

int take_ms(const struct command *c, const char *option, const char *value, uint64_t least, uint64_t most,
            uint64_t *ret)
{
    return take_number(c, option, value, "milliseconds", least, most, ret);
}

int take_size(const struct command *c, const char *option, const char *value, uint64_t least, uint64_t most,
              uint64_t *ret)
{
    uint64_t n;
    if (!parse_size(value, &n) || n < least || n > most)
        return out_of_range(c, option, value, "bytes, or one with K, M, G or T behind it,", least, most);
    *ret = n;
    return DONE;
}

bool parse_period(const char *text, int64_t *ret)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    for (size_t k = 0; k < sizeof units / sizeof *units; k++)
        if (strcmp(end, units[k].name) == 0 && text[0] >= '0' && text[0] <= '9' && !errno &&
            n <= (uint64_t)(INT64_MAX / units[k].seconds)) {
            *ret = (int64_t)n * units[k].seconds;
            return true;
        }
    return false;
}

/* ---- attaching ---- */

bool is_descriptor(const char *url)
{
    return url[0] == '/' || strncmp(url, "fd:", 3) == 0;
}

/* A descriptor of what /proc/PID/fd/N or fd:N names; to be closed if it is not inherited. */
static int open_descriptor(const struct command *c, const char *url, bool write, int *ret_status)
{
    uint64_t number;
    if (url[0] != '/') {
        if (parse_number(url + 3, 10, INT_MAX, &number))
            return fcntl((int)number, F_DUPFD_CLOEXEC, 3) >= 0
                       ? (int)number
                       : (*ret_status = misused(c, "%s: no descriptor %d was inherited: %s", url, (int)number,
                                                strerror(errno)),
                          -1);
        *ret_status = misused(c, "%s: it is fd:N, with the number of an inherited descriptor", url);
        return -1;
    }
    int fd = open(url, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0)
        return fd;
    complain(c->name, "%s: cannot be opened: %s%s", url, strerror(errno),
             errno == ENOENT ? "; a path is /proc/PID/fd/N, and a POSIX segment is posix:/name" : "");
    *ret_status = status_of(-errno);
    return -1;
}

/* What the library says of a descriptor's number means nothing to whoever gave us a path. */
static int failed_path(const struct command *c, const char *url, int error)
{
    const char *sentence = tarn_error(), *colon = strchr(sentence, ':');
    if (strncmp(sentence, "descriptor ", 11) == 0 && colon)
        sentence = colon + 2;
    complain(c->name, "%s: %s", url, sentence);
    return status_of(error);
}

static bool attach_descriptor(const struct command *c, const char *url, unsigned flags, tarn **ret_seg,
                              int *ret_status)
{
    int error, fd = open_descriptor(c, url, !(flags & TARN_RDONLY), ret_status);
    if (fd < 0)
        return false;
    error = tarn_open_fd(fd, flags & ~TARN_CREATE, ret_seg);
    if (url[0] == '/')
        close(fd);
    if (error < 0)
        *ret_status = failed_path(c, url, error);
    return error == 0;
}

/* Who is strange to us stays so: the library's way round it is not the command's. */
static int failed_open(const struct command *c, int error)
{
    const char *sentence = tarn_error(), *flag = strstr(sentence, ", unless TARN_");
    complain(c->name, "%.*s", flag ? (int)(flag - sentence) : (int)strlen(sentence), sentence);
    return status_of(error);
}

/* Whoever may write a segment's file may make it shorter while we look. */
static const char *attached_by, *attached;
static void put_out(const char *text)
{
    size_t n = strlen(text);
    while (n) {
        ssize_t k = write(STDERR_FILENO, text, n);
        if (k <= 0)
            return;
        text += k;
        n -= (size_t)k;
    }
}
static void cut_off(int number)
{
    (void)number;
    put_out("tarn ");
    put_out(attached_by);
    put_out(": ");
    put_out(attached);
    put_out(": Bus error: it was made shorter meanwhile, or a file that is read with it was\n");
    _exit(WRONG);
}
static bool now_attached(const struct command *c, const char *url)
{
    attached_by = c->name;
    attached = url;
    signal(SIGBUS, cut_off);
    return true;
}

bool attach_as(const struct command *c, const char *url, unsigned flags, tarn **ret_seg, int *ret_status)
{
    int error;
    if (strncmp(url, "memfd:", 6) == 0 || strcmp(url, "anon:") == 0) {
        *ret_status = misused(
            c, "%s: has no name to be found by: say /proc/PID/fd/N of a process that has it, or fd:N", url);
        return false;
    }
    if (is_descriptor(url))
        return attach_descriptor(c, url, flags, ret_seg, ret_status) && now_attached(c, url);
    error = tarn_open(url, flags, NULL, ret_seg);
    if (error == -ENOENT) { /* the library's cure is a flag, ours a command */
        complain(c->name, "%s: there is none; %s would make it", url,
                 c == &cmd_pub || c == &cmd_replay ? "--create" : "tarn create");
        *ret_status = WRONG;
    } else if (error < 0)
        *ret_status = failed_open(c, error);
    return error == 0 && now_attached(c, url);
}

bool attach(const struct command *c, const char *url, tarn **ret_seg, int *ret_status)
{
    return attach_as(c, url, TARN_RDONLY | TARN_FOREIGN, ret_seg, ret_status); /* what its mode lets us read, we read */
}

/* ---- the machine ---- */

struct machine *look_at_machine(const struct command *c, unsigned what)
{
    struct machine *m = machine_look(what);
    if (!m)
        complain(c->name, "no look at /proc: %s", strerror(errno));
    return m;
}

void complain_of_unread(const struct command *c, const struct machine *m)
{
    if (m->unread)
        complain(c->name, "%zu of %zu processes may not be looked at: what only they have is missing, and they are not counted",
                 m->unread, m->processes_count);
    if (m->hidden)
        complain(c->name,
                 "this /proc shows no processes of other users (hidepid): what only they have is missing");
    if (m->unread_namespaces)
        complain(c->name, "System V ids of %zu other IPC namespaces may not be listed", m->unread_namespaces);
}

/* wait.c - how these commands wait: until a time, or for ever, and in pieces, so that a signal is noticed.
 *
 * A deadline is ns of CLOCK_MONOTONIC, or NEVER. The library's timed calls take it as a timespec, a piece at a time. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "wait.h"

enum { PIECE_NS = 100000000 };

volatile sig_atomic_t stopped;

/* A signal that comes just before a call that waits would not end it: until we have ended, one comes again and again. */
static void on_signal(int number)
{
    if (number != SIGALRM)
        stopped = number;
    alarm(1);
}

void stop_by_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal}, was;
    sigaction(SIGALRM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    if (sigaction(SIGHUP, NULL, &was) == 0 && was.sa_handler != SIG_IGN) /* nohup */
        sigaction(SIGHUP, &a, NULL);
}

static bool reader_matters;

void stop_with_reader(void)
{
    reader_matters = true;
}

static void look_at_reader(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    if (reader_matters && !stopped && poll(&out, 1, 0) == 1 && out.revents & POLLERR)
        stopped = SIGPIPE;
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

uint64_t deadline(uint64_t ms)
{
    return ms ? now_ns() + ms * (SECOND_NS / 1000) : NEVER;
}

/* The earlier of the deadline and a piece from now. */
static uint64_t piece_end(uint64_t now, uint64_t until)
{
    return until < now + PIECE_NS ? until : now + PIECE_NS;
}

struct timespec next_piece(uint64_t until)
{
    uint64_t at = piece_end(now_ns(), until);
    return (struct timespec){.tv_sec = (time_t)(at / SECOND_NS), .tv_nsec = (long)(at % SECOND_NS)};
}

bool goes_on(uint64_t until, int *result)
{
    if (*result != -ETIMEDOUT)
        return false;
    look_at_reader();
    if (stopped)
        *result = -EINTR;
    return !stopped && now_ns() < until;
}

void sleep_until(uint64_t until)
{
    for (uint64_t now; !stopped && (now = now_ns()) < until;) {
        nanosleep(&(struct timespec){.tv_nsec = (long)(piece_end(now, until) - now)}, NULL);
        look_at_reader();
    }
}

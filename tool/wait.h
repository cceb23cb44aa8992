/* wait.h - deadlines, and the signals that end a command in good order. */
#ifndef TARN_TOOL_WAIT_H
#define TARN_TOOL_WAIT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SECOND_NS 1000000000u
#define NEVER UINT64_MAX

extern volatile sig_atomic_t stopped; /* the number of the signal: ctrl-C, SIGTERM or SIGHUP; 0: none came */
/* They end what waits with EINTR, at the latest a second later. SIGALRM is used for it. */
void stop_by_signals(void);
/* From now on it is SIGPIPE, too, once whoever reads our output has gone: who has nothing to print would never find out. */
void stop_with_reader(void);

uint64_t now_ns(void);            /* CLOCK_MONOTONIC */
uint64_t deadline(uint64_t ms);   /* so many from now; 0: NEVER */
void sleep_until(uint64_t until); /* or until a signal */

/* One wait by timed calls of the library, of which each takes a piece:
 *     int e = -ETIMEDOUT;
 *     while (goes_on(until, &e)) {
 *         struct timespec soon = next_piece(until);
 *         e = tarn_..._timed(..., &soon);
 *     }
 * Then e is the call's result; -ETIMEDOUT: the deadline has passed; or -EINTR: a signal came, which is looked for before the first piece, too. */
struct timespec next_piece(uint64_t until);
bool goes_on(uint64_t until, int *result);

#endif

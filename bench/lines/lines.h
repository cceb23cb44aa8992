/* bench/lines/lines.h - which cache lines of a segment a stretch of the library's code touches: counted, in a build of its own.
 *
 * The library is compiled with -fsanitize=thread, which puts a call before each load, store and atomic operation, but is not linked with
 * the sanitizer: lines.c has these calls, and notes the line. memcpy, memmove, memset and memcmp are wrapped by the linker, and nothing of
 * them is built in. What the kernel touches (it clears fresh pages) is not seen; neither is an access by assembly, of which the
 * library has none. One thread.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE 64u

/* Lines of these bytes are noted, and of no others any more. false: there is no memory for it. */
bool lines_watch(void *base, size_t size);
/* None yet. */
void lines_mark(void);
/* How many since then. */
unsigned lines_taken(void);

/* Is the count one? Of known accesses (probe.c, compiled like the library) it is the right number. To be asked before lines_watch. */
bool lines_counted(void);

/* probe.c: touches PROBE_LINES lines from `at`, which begins a line, in as many manners. */
#define PROBE_LINES 12u
void lines_probe(unsigned char *at);

#endif

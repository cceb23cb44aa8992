/* frames.h - what the debugging information of a program tells of a task that is no more, from what was kept of it: its registers, the upper part of its stack, its
 * maps as text. */
#ifndef TARN_TOOL_FRAMES_H
#define TARN_TOOL_FRAMES_H

#include <stdio.h>

#include "tracer.h"

/* ", bank.c:31", of an address; untouched if that is not known. */
void source_line(uint64_t address, FILE *maps, char *to, size_t room);
/* Where the innermost function of the program's own was: not in libtarn, nor in the C library; 0: not to be found out. */
uint64_t scene_user_frame(const struct scene *s);

#endif

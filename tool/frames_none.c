/* frames_none.c - see frames.h: without libdw there are no lines of sources, and no backtrace. */
#include "frames.h"

void source_line(uint64_t address, FILE *maps, char *to, size_t room)
{
    (void)address, (void)maps, (void)to, (void)room;
}

uint64_t scene_user_frame(const struct scene *s)
{
    (void)s;
    return 0;
}

/* torture_plan.c - from what a survey found to the points that are gone to.
 *
 * In rounds: of each place in the program its first time, then its second, its third and fourth, ...; in a round the calls' entries and returns, then where the
 * program's own code had changed shared memory, then where the library had. Between two such changes a kill leaves the same behind. A round that is too much
 * is gone through in even strides. */
#include <stdlib.h>

#include "torture.h"

uint64_t torture_chance(struct torture *t)
{
    t->chance += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    uint64_t z = t->chance;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static size_t members(const struct survey *s, unsigned kind)
{
    size_t count = 0;
    for (size_t k = 0; k < s->count; k++)
        count += s->noted[k].kind == kind;
    return count;
}

static void take(struct torture *t, unsigned kind, size_t room)
{
    const struct survey *s = &t->survey;
    size_t count = members(s, kind), n = 0;
    size_t wanted = count < room ? count : room, shift = wanted && wanted < count ? torture_chance(t) % count : 0;
    for (size_t k = 0; k < s->count && wanted; k++) {
        if (s->noted[k].kind != kind)
            continue;
        size_t at = (n++ + shift) % count;
        if (at * wanted / count != (at + 1) * wanted / count)
            t->plan[t->plan_count++] = s->noted[k].point;
    }
}

bool torture_plan(struct torture *t, size_t most)
{
    t->plan_count = 0;
    free(t->plan);
    if (most > t->survey.count)
        most = t->survey.count;
    t->plan = malloc((most + 1) * sizeof *t->plan);
    for (unsigned kind = NOTED_EVENT; t->plan && kind <= NOTED_INSIDE; kind++)
        take(t, kind, most - t->plan_count);
    return t->plan;
}

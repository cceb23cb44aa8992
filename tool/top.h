/* top.h - what tarn top shows: one look at the machine an interval, and what changed since the one before it.
 *
 * Segments of ours are looked into by a forked child, read-only: whoever may write one may cut it off under a look, and that SIGBUS is the child's. */
#ifndef TARN_TOOL_TOP_H
#define TARN_TOOL_TOP_H

#include "listing.h"
#include "machine.h"

/* What the library tells of a segment of ours. Counts are since it was made; the others as they are now. */
struct inside {
    bool known;
    uint32_t participants, dead, waits, locks;
    uint64_t recovered, undone;
};

struct top_row {
    const struct object *object;
    struct inside inside;
    bool grown, counted;       /* there was an earlier look, and so: */
    double growth;             /* bytes a second, of what is resident; where that is not known, of its size */
    double deaths, recoveries; /* a second */
};

struct top {
    struct machine *m;
    struct top_row *rows;
    size_t count;
    size_t closed;         /* segments of ours that could not be looked into */
    uint64_t at;           /* ns: when */
    struct before *before; /* of the look before, by identity */
    size_t before_count;
    uint64_t before_at;
};

/* Look anew. false: no memory, or no /proc; errno tells. */
bool top_look(struct top *t);
void top_free(struct top *t);

/* ---- cmd_top.c ---- */
/* Rows in the order of the listing, in an array to be freed; NULL: no memory. */
const void **top_sorted(const struct top *t, const struct listing *l);

/* ---- top_screen.c ---- */
struct top_request {
    const struct command *c;
    struct listing *l;
    uint64_t interval; /* ns */
    uint64_t count;    /* 0: for ever */
};
/* On the terminal, until q. The status. */
int top_screen(const struct top_request *r);

#endif

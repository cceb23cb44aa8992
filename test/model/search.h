/* search.h - what main.c asks of machine.c: run one scenario, with one planted fault or none. */
#ifndef MODEL_SEARCH_H
#define MODEL_SEARCH_H

#include <stdbool.h>

struct totals {
    long states, points, in_recovery, in_its_recovery, ends, violations;
    const char *first; /* violation */
};
extern struct totals totals; /* of the last search */

/* full: all variants and switches, and no reduction. A search with a fault ends at the first violation. */
void search(int scenario, int fault, bool full, bool silent);

#endif

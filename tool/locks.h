/* locks.h - the wait-for graph of a segment: its circles in words, and drawn as text and for Graphviz. Of what participants.h gathers.
 *
 * Participants wait for what others have: two kinds of nodes, so that a lock that many wait for is drawn once. */
#ifndef TARN_LOCKS_H
#define TARN_LOCKS_H

#include "participants.h"

/* A segment that was looked into. */
struct inside_locks {
    const struct object *object;
    struct members members;
    struct circle *circles;
    size_t circles_count;
};

/* A circle of participants who wait, each for something that the next one has. */
struct circle {
    uint32_t number; /* in its segment, from 1 */
    uint32_t length; /* participants in it */
    uint32_t timed;  /* of them, those who give up by themselves: then it is none for long */
    char *story;
    const struct object *object;
};

/* Finds them all. false: no memory. */
bool find_circles(struct inside_locks *s, struct machine *m);
void circles_free(struct inside_locks *s);

/* In words, each into `to`, which they return: "0x402000, table + 64", or without the name; "0x10001 (pid 7, app)". */
const char *place_text(const struct members *l, tarn_ref ref, char to[static 352]);
const char *who_text(const struct members *l, struct machine *m, uint32_t id, char to[static 160]);

/* On stdout. heading: with the segment's name. */
void print_graph(const struct inside_locks *s, struct machine *m, bool heading);
void print_dot(const struct inside_locks *all, size_t count, struct machine *m);

#endif

/* failing.h - put before CRASHLAB's operations, when they are compiled for failing.c: there a call that MUST succeed may be made to fail, is judged, and is then
 * called again. */
#ifndef FAILING_H
#define FAILING_H

#include <stdbool.h>
#include <stdint.h>

struct failing { /* a call under way */
    const char *call, *file;
    int line;
    bool watched;
    long fired_before;
    int descriptors;
    uint64_t contents, leaked;
};
struct failing failing_begin(const char *call, const char *file, int line);
/* What it returned, and what it must have. true: it was made to fail, and is to be called again. */
bool failing_again(const struct failing *f, int result, bool right);

#define FAILING_CALL(right, call)                                                                            \
    do {                                                                                                     \
        struct failing failing_ = failing_begin(#call, __FILE__, __LINE__);                                  \
        int was_ = (call);                                                                                   \
        if (!failing_again(&failing_, was_, (right)))                                                        \
            break;                                                                                           \
    } while (1)
#define MUST(call) FAILING_CALL(was_ >= 0, call)
#define MUST_BE(result, call) FAILING_CALL(was_ == (result), call)

#endif

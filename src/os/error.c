/* os/error.c - the calling thread's last failure as a sentence.
 *
 * One buffer a thread, in thread-local storage of the dynamic kind: the buffer is too big for the little static room that a
 * library loaded by dlopen may claim, and no failure is on a hot path. A sentence that does not fit is cut. */
#include "os/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "tarn.h"

static __thread char sentence[768];
static __thread const char *constant; /* newer than `sentence`, if not NULL */

int fail(int error, const char *format, ...)
{
    int before = errno;
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    constant = NULL;
    errno = before;
    return error;
}

int fail_constant(int error, const char *words)
{
    constant = words;
    return error;
}

const char *tarn_error(void)
{
    if (constant)
        return constant;
    return sentence[0] ? sentence : "no call has failed in this thread";
}

/* os/error.c - the calling thread's last failure as a sentence.
 *
 * One buffer a thread, in thread-local storage of the dynamic kind: the buffer is too big for the little static room that a
 * library loaded by dlopen may claim, and no failure that is put into words is on a hot path. A sentence that does not fit is cut.
 * One that is ready made is a word there: a key that is not there is no exception. */
#include "os/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "os/probe.h"
#include "tarn.h"

static __thread char sentence[768];
__thread const char *fail_words __attribute__((tls_model("initial-exec")));

int fail(int error, const char *format, ...)
{
    int before = errno;
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    fail_words = NULL;
    PROBE(error, error, sentence);
    tarn_fail_told(error, sentence);
    errno = before;
    return error;
}

const char *tarn_error(void)
{
    if (fail_words)
        return fail_words;
    return sentence[0] ? sentence : "no call has failed in this thread";
}

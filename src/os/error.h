/* os/error.h - the calling thread's last failure, kept for tarn_error(). On the lowest floor so that every floor can say why. */
#ifndef TARN_OS_ERROR_H
#define TARN_OS_ERROR_H

/* Remember a sentence (cause, object, cure), and return `error` (negative). Format as printf; errno is left as it was. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with a string that lasts for ever, without formatting: for failures that are ordinary, as a key that is not there. */
extern __thread const char *fail_words
    __attribute__((tls_model("initial-exec"))); /* newer than the sentence, if not NULL */
static inline int fail_constant(int error, const char *words)
{
    fail_words = words;
    return error;
}

/* Told of each, by fail(), which leaves the sentence as it is meanwhile. src/floors.c; it does not fail. */
extern void (*const tarn_fail_told)(int error, const char *sentence);

#endif

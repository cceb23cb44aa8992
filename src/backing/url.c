/* backing/url.c - which backing a URL means, and whether the rest of it is a name there. Schemes are whole words in lower case. */
#include "backing/backing.h"

#include <errno.h>
#include <string.h>

#define FORMS "posix:/name, sysv:KEY, file:PATH, memfd:label or anon:"

static const struct backing *const backings[] = {&posix_backing, &sysv_backing, &file_backing, &memfd_backing,
                                                 &anon_backing};

int url_parse(const char *url, struct url *ret_url)
{
    if (!url || !*url)
        return fail(-EINVAL, "no URL: it is " FORMS);
    const char *colon = strchr(url, ':');
    if (!colon)
        return fail(-EINVAL, "\"%.300s\": no scheme: a URL is " FORMS, url);
    size_t length = (size_t)(colon - url);
    for (size_t i = 0; i < sizeof backings / sizeof *backings; i++) {
        const struct backing *b = backings[i];
        if (strlen(b->name) != length || memcmp(b->name, url, length) != 0)
            continue;
        if (b == &sysv_backing && strcmp(colon + 1, "private") == 0)
            b = &sysv_private_backing; /* which nobody finds by a name */
        int error = b->check(url, colon + 1);
        if (error < 0)
            return error;
        *ret_url = (struct url){b, colon + 1};
        return 0;
    }
    return fail(-EINVAL, "\"%.300s\": no backing has this scheme: a URL is " FORMS, url);
}

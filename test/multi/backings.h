/* backings.h - for tests that try the same on each backing: a URL of each, all below own_path or of own keys. */
#ifndef TARN_TEST_BACKINGS_H
#define TARN_TEST_BACKINGS_H

#include "helper.h"

static char file_url[96], key_url[32];
static const char *const urls[] = {"posix:/t", file_url, "memfd:t", "anon:", key_url, "sysv:private"};

static int set_up(void **state)
{
    int e = own_directory(state);
    take_keys();
    snprintf(file_url, sizeof file_url, "file:%s/f", own_path);
    snprintf(key_url, sizeof key_url, "sysv:%u", key_named("t"));
    return e;
}

static int take_away(void **state)
{
    keys_in(own_keys, true);
    return remove_directory(state);
}

#endif

/* message.c - messages as text and bytes, in and out.
 *
 * lines:    a message is a line, without its newline. raw: the whole of stdin is one message; out: the bytes alone. prefixed: 4 bytes, its size, least
 * significant first, then the message. JSON: json.c. No more is read for a message than the channel's largest takes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

/* Of a line of JSON: each byte as \u00xx, and what stands around them. */
#define JSON_MOST(message) ((size_t)(message)*6 + 4096)

static int too_large(const struct source *s)
{
    complain(s->command->name,
             "message %" PRIu64 " of the input has more than %u bytes, which is the channel's largest",
             s->number, s->most);
    return WRONG + 1;
}

static bool grow_to(struct source *s, size_t size)
{
    char *more = size > s->room_size ? realloc(s->room, size) : s->room;
    if (!more) {
        complain(s->command->name, "no memory for a message of %zu bytes", size);
        return false;
    }
    s->room = more;
    s->room_size = size > s->room_size ? size : s->room_size;
    return true;
}

/* Of at most `most` bytes, without its newline: 1; 0: the end of the input. */
static int read_line(struct source *s, size_t most, size_t *ret_size)
{
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
        if (n == most && s->form == JSON_LINES)
            return source_refused(s, "it has more than %zu bytes, which is more than a message of %u can take",
                                  most, s->most);
        if (n == most)
            return too_large(s);
        if (n == s->room_size && !grow_to(s, 2 * n + 1024))
            return REFUSED + 1;
        s->room[n++] = (char)c;
    }
    *ret_size = n;
    return n || c == '\n';
}

static int read_raw(struct source *s, size_t *ret_size)
{
    size_t n;
    if (feof(stdin))
        return 0;
    if (!grow_to(s, (size_t)s->most + 1))
        return REFUSED + 1;
    n = fread(s->room, 1, (size_t)s->most + 1, stdin);
    *ret_size = n;
    return n > s->most ? too_large(s) : 1;
}

static int read_prefixed(struct source *s, size_t *ret_size)
{
    unsigned char prefix[4];
    size_t n = fread(prefix, 1, sizeof prefix, stdin);
    uint32_t size;
    if (n == 0)
        return 0;
    size = prefix[0] | prefix[1] << 8 | prefix[2] << 16 | (uint32_t)prefix[3] << 24;
    if (n == sizeof prefix && size > s->most)
        return too_large(s);
    if (!grow_to(s, (size_t)size + 1))
        return REFUSED + 1;
    if (n < sizeof prefix || fread(s->room, 1, size, stdin) < size) {
        if (!ferror(stdin))
            complain(s->command->name, "the input ends within message %" PRIu64, s->number);
        return WRONG + 1;
    }
    *ret_size = size;
    return 1;
}

int read_message(struct source *s, struct message *ret)
{
    int e;
    s->number++;
    errno = 0;
    *ret = (struct message){0};
    if (!grow_to(s, 1024))
        return REFUSED + 1;
    e = s->form == RAW        ? read_raw(s, &ret->size)
        : s->form == PREFIXED ? read_prefixed(s, &ret->size)
                              : read_line(s, s->form == LINES ? s->most : JSON_MOST(s->most), &ret->size);
    if (ferror(stdin) && !stopped) {
        complain(s->command->name, "the input could not be read: %s", strerror(errno));
        return REFUSED + 1;
    }
    ret->bytes = s->room;
    return e == 1 && s->form == JSON_LINES && !stopped ? json_read(s, ret->size, ret) : e;
}

void source_close(struct source *s)
{
    free(s->room);
}

void write_message(enum form form, const struct message *m)
{
    if (form == JSON_LINES) {
        json_write(m);
        return;
    }
    if (form == PREFIXED)
        for (int i = 0; i < 4; i++)
            putchar((int)(m->size >> 8 * i & 0xff));
    fwrite(m->bytes, 1, m->size, stdout);
    if (form == LINES)
        putchar('\n');
}

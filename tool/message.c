/* message.c - messages as text and bytes, in and out.
 *
 * lines:    a message is a line, without its newline. raw: the whole of stdin is one message; out: the bytes alone. prefixed: 4 bytes, its size, least
 * significant first, then the message. JSON: out only, one object a line; what is not UTF-8 is in base64. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

static char *room;
static size_t room_size;

static int too_large(const struct command *c, uint64_t number, uint32_t most)
{
    complain(c->name, "message %" PRIu64 " of the input has more than %u bytes, which is the channel's largest",
             number, most);
    return WRONG;
}

static bool grow_to(const struct command *c, size_t size)
{
    char *more = size > room_size ? realloc(room, size) : room;
    if (!more) {
        complain(c->name, "no memory for a message of %zu bytes", size);
        return false;
    }
    room = more;
    room_size = size > room_size ? size : room_size;
    return true;
}

static int read_line(const struct command *c, uint64_t number, uint32_t most, size_t *ret_size)
{
    ssize_t n = getline(&room, &room_size, stdin);
    if (n < 0)
        return 0;
    if (n && room[n - 1] == '\n')
        n--;
    *ret_size = (size_t)n;
    return *ret_size > most ? too_large(c, number, most) + 1 : 1;
}

static int read_raw(const struct command *c, uint32_t most, size_t *ret_size)
{
    size_t n;
    if (feof(stdin))
        return 0;
    if (!grow_to(c, (size_t)most + 1))
        return REFUSED + 1;
    n = fread(room, 1, (size_t)most + 1, stdin);
    *ret_size = n;
    return n > most ? too_large(c, 1, most) + 1 : 1;
}

static int read_prefixed(const struct command *c, uint64_t number, uint32_t most, size_t *ret_size)
{
    unsigned char prefix[4];
    size_t n = fread(prefix, 1, sizeof prefix, stdin);
    uint32_t size;
    if (n == 0)
        return 0;
    size = prefix[0] | prefix[1] << 8 | prefix[2] << 16 | (uint32_t)prefix[3] << 24;
    if (n == sizeof prefix && size > most)
        return too_large(c, number, most) + 1;
    if (!grow_to(c, (size_t)size + 1))
        return REFUSED + 1;
    if (n < sizeof prefix || fread(room, 1, size, stdin) < size) {
        complain(c->name, "the input ends within message %" PRIu64, number);
        return WRONG + 1;
    }
    *ret_size = size;
    return 1;
}

int read_message(const struct command *c, enum form form, uint32_t most, const char **ret, size_t *ret_size)
{
    static uint64_t number;
    int e;
    number++;
    errno = 0;
    e = form == LINES ? read_line(c, number, most, ret_size)
        : form == RAW ? read_raw(c, most, ret_size)
                      : read_prefixed(c, number, most, ret_size);
    if (ferror(stdin) && !stopped) {
        complain(c->name, "the input could not be read: %s", strerror(errno));
        return REFUSED + 1;
    }
    *ret = room;
    return e;
}

static void base64(const char *bytes, size_t size)
{
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)(unsigned char)bytes[i] << 16 |
                         (i + 1 < size ? (uint32_t)(unsigned char)bytes[i + 1] << 8 : 0) |
                         (i + 2 < size ? (uint32_t)(unsigned char)bytes[i + 2] : 0);
        putchar(letter[three >> 18]);
        putchar(letter[three >> 12 & 63]);
        putchar(i + 1 < size ? letter[three >> 6 & 63] : '=');
        putchar(i + 2 < size ? letter[three & 63] : '=');
    }
}

static void write_json(const char *bytes, size_t size, const struct tarn_topic_news *news)
{
    putchar('{');
    if (news)
        printf("\"sequence\": %" PRIu64 ", \"sent_ns\": %" PRIu64 ", \"lost\": %" PRIu64 ", ", news->sequence,
               news->sent_ns, news->lost);
    printf("\"size\": %zu, ", size);
    if (json_is_text(bytes, size))
        json_message("text", bytes, size);
    else {
        fputs("\"base64\": \"", stdout);
        base64(bytes, size);
        putchar('"');
    }
    fputs("}\n", stdout);
}

void write_message(enum form form, const char *bytes, size_t size, const struct tarn_topic_news *news)
{
    if (form == JSON_LINES) {
        write_json(bytes, size, news);
        return;
    }
    if (form == PREFIXED)
        for (int i = 0; i < 4; i++)
            putchar((int)(size >> 8 * i & 0xff));
    fwrite(bytes, 1, size, stdout);
    if (form == LINES)
        putchar('\n');
}

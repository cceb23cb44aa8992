/* json.c - messages as JSON, an object a line: out of sub, call and replay --list, and back, to the byte, into pub and call.
 *
 *     {"sequence": 7, "sent_ns": 123, "lost": 0, "size": 3, "text": "abc"}      of a topic
 *     {"priority": 2, "size": 2, "base64": "/wA="}                             of a message queue; what is not UTF-8 is base64
 * Coming in, "text" or "base64" is the message, "size", if it is there, the number of bytes that it must have, and "priority" is a message queue's. The rest
 * tells how a message was received, and is not looked at. A member of another name is refused, for it may be a slip. Jansson reads, which is strict about UTF-8
 * and numbers, and allows NUL in text, as we write it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
enum { PRIORITY_MOST = 7 };

/* ---- out ---- */

static void print_base64(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)(unsigned char)bytes[i] << 16 |
                         (i + 1 < size ? (uint32_t)(unsigned char)bytes[i + 1] << 8 : 0) |
                         (i + 2 < size ? (uint32_t)(unsigned char)bytes[i + 2] : 0);
        putchar(letters[three >> 18]);
        putchar(letters[three >> 12 & 63]);
        putchar(i + 1 < size ? letters[three >> 6 & 63] : '=');
        putchar(i + 2 < size ? letters[three & 63] : '=');
    }
}

void json_body(const char *bytes, size_t size)
{
    printf("\"size\": %zu, ", size);
    if (json_is_text(bytes, size))
        json_message("text", bytes, size);
    else {
        fputs("\"base64\": \"", stdout);
        print_base64(bytes, size);
        putchar('"');
    }
    fputs("}\n", stdout);
}

void json_write(const struct message *m)
{
    putchar('{');
    if (m->news)
        printf("\"sequence\": %" PRIu64 ", \"sent_ns\": %" PRIu64 ", \"lost\": %" PRIu64 ", ",
               m->news->sequence, m->news->sent_ns, m->news->lost);
    if (m->priority >= 0)
        printf("\"priority\": %d, ", m->priority);
    json_body(m->bytes, m->size);
}

/* ---- in: base64, in the one form that it is written in ---- */

static int value_of(char letter)
{
    const char *at = memchr(letters, letter, 64);
    return at ? (int)(at - letters) : -1;
}

/* 0; or the number, from 1, of the character that is wrong: one behind the last, if more should follow. `to` has room for 3 bytes for each 4 characters. */
static size_t from_base64(const char *text, size_t length, char *to, size_t *ret_size)
{
    size_t pad = length && text[length - 1] == '=' ? 1 + (length > 1 && text[length - 2] == '=') : 0, n = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        int value = i < length - pad ? value_of(text[i]) : 0;
        if (value < 0)
            return i + 1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            to[n++] = (char)(bits >> 16);
            to[n++] = (char)(bits >> 8);
            to[n++] = (char)bits;
        }
    }
    if (length % 4)
        return length + 1;
    if (bits & ((1u << 8 * pad) - 1)) /* bits that are in no byte */
        return length - pad;
    *ret_size = n - pad;
    return 0;
}

/* ---- in: an object ---- */

int source_refused(const struct source *s, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (char *c = text; *c; c++) /* there may be parts of the input in it */
        if (*c < 0x20 || *c >= 0x7f)
            *c = '?';
    complain(s->command->name, "line %" PRIu64 " of the input: %s. Nothing of it was sent", s->number, text);
    return WRONG + 1;
}

enum kind { STRING, COUNT, NUMBER };
static const struct member {
    const char *name;
    enum kind kind;
} known[] = {{"text", STRING},     {"base64", STRING},  {"size", COUNT},  {"priority", COUNT},
             {"sequence", NUMBER}, {"sent_ns", NUMBER}, {"lost", NUMBER}, {"after_ns", NUMBER}};

static bool fits(enum kind kind, const json_t *value)
{
    switch (kind) {
    case STRING: return json_is_string(value);
    case COUNT: return json_is_integer(value) && json_integer_value(value) >= 0;
    default: return json_is_number(value);
    }
}

static int member_good(const struct source *s, const char *name, const json_t *value)
{
    static const char *const kinds[] = {"a string", "a whole number from 0 on", "a number"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name))
            return fits(known[i].kind, value)
                       ? 1
                       : source_refused(s, "\"%s\" is to be %s", name, kinds[known[i].kind]);
    return source_refused(s,
                          "\"%s\" is no member of a message: that has text, or base64, and may have "
                          "priority; size, sequence, sent_ns, lost and "
                          "after_ns are accepted as they were printed",
                          name);
}

/* The bytes of the message into s->room, which is as large as the line was, and so large enough. */
static int take_body(struct source *s, const json_t *text, const json_t *base64, size_t *ret_size)
{
    size_t wrong;
    if (text && base64)
        return source_refused(s, "it has both \"text\" and \"base64\": leave one of them out");
    if (!text && !base64)
        return source_refused(s, "it has neither \"text\" nor \"base64\": one of them is the message");
    if (text) {
        *ret_size = json_string_length(text);
        memcpy(s->room, json_string_value(text), *ret_size);
        return 1;
    }
    wrong = from_base64(json_string_value(base64), json_string_length(base64), s->room, ret_size);
    if (wrong)
        return source_refused(
            s, "\"base64\" is wrong at its character %zu: four of A to Z, a to z, 0 to 9, + and / are three bytes, and the last four are padded by =",
            wrong);
    return 1;
}

static int take_object(struct source *s, json_t *object, struct message *ret)
{
    const json_t *size = json_object_get(object, "size"), *priority = json_object_get(object, "priority");
    json_int_t level = json_integer_value(priority); /* 0 of NULL */
    const char *name;
    json_t *value;
    int e;
    json_object_foreach(object, name, value) if ((e = member_good(s, name, value)) != 1) return e;
    if (level && !s->priorities)
        return source_refused(s, "\"priority\" is %lld, and this channel has none: leave it out", (long long)level);
    if (level > PRIORITY_MOST)
        return source_refused(s, "\"priority\" is %lld, and is to be from 0 to %d", (long long)level, PRIORITY_MOST);
    if ((e = take_body(s, json_object_get(object, "text"), json_object_get(object, "base64"), &ret->size)) != 1)
        return e;
    if (size && json_integer_value(size) != (json_int_t)ret->size)
        return source_refused(
            s, "\"size\" is %lld, and the message has %zu bytes: it was cut short, or changed; then leave \"size\" out",
            (long long)json_integer_value(size), ret->size);
    if (ret->size > s->most)
        return source_refused(s, "the message has %zu bytes, and the channel's largest %u", ret->size, s->most);
    ret->bytes = s->room;
    ret->priority = (int)level;
    return 1;
}

int json_read(struct source *s, size_t length, struct message *ret)
{
    json_error_t error;
    json_t *root = json_loadb(s->room, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    int e;
    if (!root)
        return source_refused(s, "it is no JSON: %s, at byte %d. A line is one object, as tarn sub -J prints it",
                              error.text, error.position);
    e = json_is_object(root) ? take_object(s, root, ret)
                             : source_refused(s, "it is no JSON object, as tarn sub -J prints them");
    json_decref(root);
    return e;
}

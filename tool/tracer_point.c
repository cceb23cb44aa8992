/* tracer_point.c - points as text, and what a survey notes. See tracer.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"
#include "tool.h"
#include "tracer.h"

void point_text(const struct point *p, char to[static POINT_TEXT])
{
    if (!p->function) {
        snprintf(to, POINT_TEXT, "commit:%" PRIu64, p->number);
        return;
    }
    int n = snprintf(to, POINT_TEXT, "%s:%s:%" PRIu64 ":%s", p->task, p->function, p->number,
                     p->after ? "return" : "entry");
    if (p->module)
        snprintf(to + n, POINT_TEXT - (size_t)n, "@%s+%#" PRIx64, p->module, p->offset);
    else if (p->steps)
        snprintf(to + n, POINT_TEXT - (size_t)n, "+%" PRIu64, p->steps);
}

/* Behind "entry" or "return": nothing, +STEPS, or @MODULE+0xOFFSET. */
static bool parse_rest(char *rest, struct point *p)
{
    char *plus = strrchr(rest, '+');
    if (!*rest)
        return true;
    if (*rest == '+')
        return parse_number(rest + 1, 10, UINT64_MAX, &p->steps);
    if (*rest != '@' || !plus || plus == rest + 1)
        return false;
    *plus = 0;
    p->module = intern(rest + 1);
    return p->module && parse_number(plus + 1, 0, UINT64_MAX, &p->offset);
}

static bool parse_call(char *text, struct point *p)
{
    char *part[4];
    for (int k = 0; k < 4; k++) {
        part[k] = text;
        text = k < 3 ? strchr(text, ':') : NULL;
        if (k < 3 && !text)
            return false;
        if (text)
            *text++ = 0;
    }
    p->task = intern(part[0]);
    p->function = intern(part[1]);
    p->after = strncmp(part[3], "return", 6) == 0;
    if (!*part[0] || !*part[1] || strspn(part[0], "0123456789.") != strlen(part[0]) ||
        (!p->after && strncmp(part[3], "entry", 5) != 0))
        return false;
    return p->task && p->function && parse_number(part[2], 10, UINT64_MAX, &p->number) && p->number &&
           parse_rest(part[3] + (p->after ? 6 : 5), p);
}

bool point_parse(const char *text, struct point *ret)
{
    struct point p = {0};
    char *copy = strdup(text);
    bool good = false;
    if (copy && strncmp(copy, "commit:", 7) == 0)
        good = parse_number(copy + 7, 10, UINT64_MAX, &p.number) && p.number;
    else if (copy)
        good = parse_call(copy, &p);
    free(copy);
    if (good)
        *ret = p;
    return good;
}

/* ---- a survey ---- */

struct passes {
    uint64_t place;
    uint32_t count;
};

static uint32_t count_pass(struct survey *s, uint64_t place)
{
    for (size_t k = 0; k < s->passes_count; k++)
        if (s->passes[k].place == place)
            return ++s->passes[k].count;
    struct passes *at = one_more(&s->passes, &s->passes_count, sizeof *at);
    if (at)
        *at = (struct passes){place, 1};
    return 1;
}

void survey_pass(struct survey *s, uint64_t place, bool *ret_noted, bool *ret_walked)
{
    uint32_t pass = count_pass(s, place), last = 1u << s->round;
    *ret_walked = pass == last;
    *ret_noted = pass <= last && pass > last / 2;
}

void survey_note(struct survey *s, const struct point *p, enum noted_kind kind)
{
    enum { MOST = 200000 };
    struct noted *at = s->count < MOST ? one_more(&s->noted, &s->count, sizeof *at) : NULL;
    if (at)
        *at = (struct noted){.point = *p, .kind = (uint8_t)kind};
}

void survey_forget(struct survey *s)
{
    free(s->noted);
    free(s->passes);
    *s = (struct survey){0};
}

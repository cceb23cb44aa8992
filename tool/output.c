/* output.c - all formatting of the tarn command: tables by libsmartcols, JSON by hand.
 *
 * Texts from a segment are not to be trusted: in tables libsmartcols writes control characters as \x.., in JSON they are escaped, and
 * bytes that are not UTF-8 become U+FFFD. Nothing is coloured. Sizes are rounded for people (powers of 1024), exact in JSON. */
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "listing.h"
#include "wait.h"

void print_help(const struct command *c)
{
    printf("usage: tarn %s %s\n\n%s\n\n%s", c->name, c->arguments, c->summary, c->help);
    if (c->columns)
        puts("\nColumns (* shown if -o says nothing else):");
    for (size_t k = 0; k < c->columns_count; k++)
        printf("%c %-8s %s\n", c->columns[k].flags & COLUMN_SHOWN ? '*' : ' ', c->columns[k].name,
               c->columns[k].help);
}

bool finish_output(void)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || stopped) /* a signal ended the writing, as it was to */
        return true;
    complain(NULL, "the output could not be written: %s", strerror(errno));
    return false;
}

/* ---- tables ---- */

/* A string for a table or JSON that lives until the next few calls. */
static const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *text(const char *format, ...)
{
    static char buffer[8][160];
    static unsigned turn;
    char *b = buffer[turn++ % 8];
    va_list list;
    va_start(list, format);
    vsnprintf(b, sizeof *buffer, format, list);
    va_end(list);
    return b;
}

double in_units(uint64_t n, char *ret_unit)
{
    static const char unit[] = "BKMGTPE";
    unsigned shift = 0;
    while (n >> shift >= 1024)
        shift += 10;
    *ret_unit = unit[shift / 10];
    return (double)n / (double)(UINT64_C(1) << shift);
}

static const char *bytes(uint64_t n)
{
    char unit;
    double number = in_units(n, &unit);
    return text(number == (double)(uint64_t)number ? "%.0f%c" : "%.1f%c", number, unit);
}

static void no_memory(void)
{
    complain(NULL, "no memory for a table");
    exit(REFUSED);
}

static struct libscols_table *table_new(bool headings)
{
    struct libscols_table *t = scols_new_table();
    if (!t)
        no_memory();
    scols_table_enable_noheadings(t, !headings);
    return t;
}

/* The last, if it is a name, is not cut: what is printed is the whole of it, whatever the width. */
static void add_column(struct libscols_table *t, const char *name, bool right)
{
    if (!scols_table_new_column(t, name, 0, right ? SCOLS_FL_RIGHT : 0))
        no_memory();
}

static void add_line(struct libscols_table *t, const char *const *cell, size_t count)
{
    struct libscols_line *l = scols_table_new_line(t, NULL);
    if (!l)
        no_memory();
    for (size_t i = 0; i < count; i++)
        if (cell[i] && scols_line_set_data(l, i, cell[i]) != 0)
            no_memory();
}
#define ADD_LINE(t, ...)                                                                                     \
    add_line((t), (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void table_end(struct libscols_table *t)
{
    scols_print_table(t);
    scols_unref_table(t);
}

static const char *uuid_text(const struct tarn_stat *s)
{
    const uint8_t *u = s->uuid;
    return text("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
                u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static const char *build_id_text(const struct tarn_stat *s)
{
    static char digits[2 * sizeof s->build_id + 1];
    for (uint32_t k = 0; k < s->build_id_size; k++)
        sprintf(digits + 2 * k, "%02x", s->build_id[k]);
    return digits;
}

static const char *owner_text(const struct tarn_stat *s)
{
    const struct passwd *p = getpwuid(s->uid);
    return p ? text("%s (%u), group %u, mode %04o", p->pw_name, s->uid, s->gid, s->mode)
             : text("%u, group %u, mode %04o", s->uid, s->gid, s->mode);
}

static const char *time_text(uint64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char b[64];
    if (!localtime_r(&t, &tm) || !strftime(b, sizeof b, "%Y-%m-%d %H:%M:%S %z", &tm))
        return text("%" PRIu64 " seconds after 1970", seconds);
    return text("%s", b);
}

static const char *name_state(const struct info *i)
{
    if (i->current < 0)
        return "no longer leads here: removed, made again, or ended with its creator";
    return is_descriptor(i->url) ? "opened by descriptor" : "leads here";
}

/* What cannot be told from here is not called either. */
static const char *state_text(char state)
{
    return state == 'd' ? "dead" : state == 'u' ? "unknown" : "live";
}

static const char *lifetime_text(const struct info *i)
{
    const struct tarn_stat *s = &i->stat;
    switch (s->lifetime) {
    case TARN_UNTIL_UNUSED: return "until its last user leaves";
    case TARN_UNTIL_CREATOR:
        return text("until its creator's end: process %u%s", s->creator,
                    i->current < 0 ? "" : ", which lives, as far as is known here");
    default: return "until its name is removed";
    }
}

static void print_segment(const struct info *i)
{
    const struct tarn_stat *s = &i->stat;
    struct libscols_table *t = table_new(false);
    add_column(t, "WHAT", false);
    add_column(t, "VALUE", false);
    ADD_LINE(t, "segment", i->url);
    ADD_LINE(t, "name", name_state(i));
    ADD_LINE(t, "uuid", uuid_text(s));
    ADD_LINE(t, "backing",
             text("%.7s, layout version %u%s%s%s%s%s", s->backing, s->version,
                  s->options & 1 ? ", unlocks by exchange" : "", s->options & 2 ? ", blocks not cleared" : "",
                  s->address ? ", at one address for all" : "", s->options & 8 ? ", locked in memory" : "",
                  s->huge == TARN_HUGE_RESERVED      ? ", of huge pages"
                  : s->huge == TARN_HUGE_TRANSPARENT ? ", for huge pages where the kernel can"
                                                     : ""));
    ADD_LINE(t, "owner", owner_text(s));
    ADD_LINE(t, "created", time_text(s->created));
    ADD_LINE(t, "program",
             s->build_id_size ? text("build id %s", build_id_text(s)) : "not known: it had no build id");
    ADD_LINE(t, "lifetime", lifetime_text(i));
    ADD_LINE(t, "committed",
             s->growth < s->limit ? text("%s, may become %s, and %s if its limit is set anew",
                                         bytes(s->total), bytes(s->growth), bytes(s->limit))
                                  : text("%s, may become %s", bytes(s->total), bytes(s->limit)));
    ADD_LINE(t, "data",
             text("%s in %" PRIu64 " spans of %s, %" PRIu64 " of them nobody's", bytes(s->data), s->spans,
                  bytes(s->span_size), s->spans_free));
    ADD_LINE(t, "blocks",
             text("%s allocated, %s in limbo, %s free", bytes(s->allocated), bytes(s->limbo), bytes(s->free_bytes)));
    ADD_LINE(t, "participants", text("%u of at most %u, %u of them dead", s->participants, s->most, s->dead));
    ADD_LINE(t, "recovered",
             text("%" PRIu64 " participants since creation, %" PRIu64 " open sections undone", s->recovered,
                  s->undone));
    table_end(t);
}

static void print_names(const struct info *i)
{
    struct libscols_table *t = table_new(true);
    add_column(t, "NAME", false);
    add_column(t, "TYPE", false);
    add_column(t, "VERSION", true);
    add_column(t, "SIZE", true);
    add_column(t, "REF", true);
    for (size_t k = 0; k < i->names_count; k++) {
        const struct tarn_name *n = &i->names[k];
        ADD_LINE(t, n->name, n->type.name, text("%u", n->type.version), text("%" PRIu64, n->type.size),
                 text("%#" PRIx64, n->ref));
    }
    putchar('\n');
    table_end(t);
}

static void print_participants(const struct info *i)
{
    struct libscols_table *t = table_new(true);
    add_column(t, "PARTICIPANT", true);
    add_column(t, "PID", true);
    add_column(t, "TID", true);
    add_column(t, "STATE", false);
    add_column(t, "SECTION", false);
    add_column(t, "LOCKS", true);
    add_column(t, "WAITS-FOR", true);
    for (size_t k = 0; k < i->participants_count; k++) {
        const struct tarn_participant *p = &i->participants[k];
        ADD_LINE(t, text("%#x", p->id), text("%u", p->pid), text("%u", p->tid), state_text(p->state),
                 p->section_open ? "open" : "-", text("%u", p->locks_held),
                 p->waits ? text("%#" PRIx64, p->waits) : "-");
    }
    putchar('\n');
    table_end(t);
}

void print_info(const struct info *i)
{
    print_segment(i);
    if (i->names_count)
        print_names(i);
    if (i->participants_count)
        print_participants(i);
}

/* ---- the heap ---- */

static void print_heap_sums(const char *url, const struct tarn_heap_stats *t)
{
    struct libscols_table *table = table_new(false);
    add_column(table, "WHAT", false);
    add_column(table, "VALUE", false);
    ADD_LINE(table, "segment", url);
    ADD_LINE(table, "spans",
             text("%" PRIu64 " of %s, %" PRIu64 " of them nobody's, %" PRIu64 " changing hands", t->spans,
                  bytes(t->span_size), t->spans_free, t->spans_other));
    ADD_LINE(table, "blocks",
             text("%s allocated, %s in limbo, %s free", bytes(t->allocated), bytes(t->limbo), bytes(t->free)));
    ADD_LINE(table, "runs",
             text("%" PRIu64 " blocks of whole spans: %s allocated, %s in limbo, %s free", t->runs,
                  bytes(t->run_allocated), bytes(t->run_limbo), bytes(t->run_free)));
    ADD_LINE(table, "the dead's", text("%s, not recovered yet", bytes(t->dead)));
    ADD_LINE(table, "left behind", text("%s, until somebody needs memory", bytes(t->orphaned)));
    table_end(table);
}

void print_heap(const char *url, const struct tarn_heap_stats *t, bool all)
{
    struct libscols_table *table = NULL;
    print_heap_sums(url, t);
    for (uint32_t i = 0; i < t->classes; i++) {
        const struct tarn_heap_class *k = &t->by_size[i];
        if (!all && !k->spans)
            continue;
        if (!table) {
            static const char *const heading[] = {"SIZE", "SPANS", "BLOCKS", "ALLOCATED", "LIMBO", "FREE"};
            table = table_new(true);
            for (size_t c = 0; c < sizeof heading / sizeof *heading; c++)
                add_column(table, heading[c], true);
        }
        ADD_LINE(table, text("%" PRIu64, k->size), text("%" PRIu64, k->spans), text("%" PRIu64, k->blocks),
                 text("%" PRIu64, k->allocated), text("%" PRIu64, k->limbo), text("%" PRIu64, k->free));
    }
    if (!table)
        return;
    putchar('\n');
    table_end(table);
}

void print_damage(const struct tarn_damage *d)
{
    printf("%#" PRIx64 ": %s\n", d->ref, d->what);
}

/* ---- JSON ---- */

/* Bytes of the UTF-8 character at s, or 0 if there is none: shortest forms only, no surrogates, up to U+10FFFF. */
static unsigned utf8_length(const unsigned char *s)
{
    unsigned n = s[0] < 0x80                   ? 1
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                               : 0;
    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) /* also a NUL: nothing behind the end is read */
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* Control characters of Latin-1, and what turns the direction of writing or parts lines */
static bool is_harmful(const unsigned char *s, unsigned size)
{
    if (size == 1)
        return *s < 0x20 || *s == 0x7f || (*s == '\\' && s[1] == 'x');
    if (size == 2)
        return s[0] == 0xc2 && s[1] < 0xa0;
    if (size != 3 || s[0] != 0xe2)
        return false;
    return (s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae))) ||
           (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
}

char *harmless(const char *string)
{
    const unsigned char *s = (const unsigned char *)string;
    char *copy = malloc(strlen(string) * 4 + 1), *to = copy;
    while (copy && *s) {
        unsigned n = utf8_length(s), size = n ? n : 1;
        if (n && !is_harmful(s, n)) {
            memcpy(to, s, n);
            to += n;
        } else
            for (unsigned k = 0; k < size; k++)
                to += sprintf(to, "\\x%02x", s[k]);
        s += size;
    }
    if (copy)
        *to = 0;
    return copy;
}

static void json_characters(const unsigned char *s, const unsigned char *end)
{
    putchar('"');
    while (end ? s < end : *s) {
        unsigned n = utf8_length(s);
        if (n == 0)
            fputs("\\ufffd", stdout);
        else if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f)
            printf("\\u%04x", *s);
        else
            fwrite(s, 1, n, stdout);
        s += n ? n : 1;
    }
    putchar('"');
}

void print_json_string(const char *string)
{
    json_characters((const unsigned char *)string, NULL);
}

bool json_is_text(const char *bytes, size_t size)
{
    const unsigned char *s = (const unsigned char *)bytes;
    for (size_t i = 0; i < size;) {
        unsigned char last[8] = {0}; /* nothing behind the end is read */
        unsigned n;
        memcpy(last, s + i, size - i < 4 ? size - i : 4);
        n = utf8_length(last);
        if (!n || n > size - i)
            return false;
        i += n;
    }
    return true;
}

void json_message(const char *key, const char *bytes, size_t size)
{
    printf("\"%s\": ", key);
    json_characters((const unsigned char *)bytes, (const unsigned char *)bytes + size);
}

static void json_text(const char *key, const char *value)
{
    printf("\"%s\": ", key);
    print_json_string(value);
}

static void json_lifetime(const struct tarn_stat *s)
{
    static const char *const name[] = {"unlinked", "unused", "creator"};
    fputs(", ", stdout);
    json_text("until", s->lifetime < sizeof name / sizeof *name ? name[s->lifetime] : "?");
    printf(", \"creator\": %u", s->creator);
}

static void json_segment(const struct info *i)
{
    const struct tarn_stat *s = &i->stat;
    fputs("{\n  \"segment\": {", stdout);
    json_text("url", i->url);
    fputs(", ", stdout);
    json_text("uuid", uuid_text(s));
    fputs(", \"build_id\": ", stdout);
    s->build_id_size ? print_json_string(build_id_text(s)) : (void)fputs("null", stdout);
    fputs(", ", stdout);
    json_text("backing", text("%.7s", s->backing));
    printf(", \"version\": %u, \"options\": %u, \"mode\": \"%04o\", \"uid\": %u, \"gid\": %u", s->version,
           s->options, s->mode, s->uid, s->gid);
    printf(", \"address\": %" PRIu64, s->address);
    json_lifetime(s);
    printf(", \"current\": %s, \"unlinked\": %s, \"created\": %" PRIu64 "},\n",
           i->current == 0 ? "true" : "false", s->unlinked ? "true" : "false", s->created);
    printf("  \"memory\": {\"committed\": %" PRIu64 ", \"limit\": %" PRIu64 ", \"growth\": %" PRIu64
           ", \"data\": %" PRIu64 ", \"span_size\": %u",
           s->total, s->limit, s->growth, s->data, s->span_size);
    printf(", \"spans\": %" PRIu64 ", \"spans_free\": %" PRIu64 ", \"allocated\": %" PRIu64
           ", \"limbo\": %" PRIu64 ", \"free\": %" PRIu64 "},\n",
           s->spans, s->spans_free, s->allocated, s->limbo, s->free_bytes);
}

static void json_names(const struct info *i)
{
    fputs("  \"names\": [", stdout);
    for (size_t k = 0; k < i->names_count; k++) {
        const struct tarn_name *n = &i->names[k];
        fputs(k ? ",\n    {" : "\n    {", stdout);
        json_text("name", n->name);
        fputs(", ", stdout);
        json_text("type", n->type.name);
        printf(", \"version\": %u, \"size\": %" PRIu64 ", \"ref\": %" PRIu64 "}", n->type.version,
               n->type.size, n->ref);
    }
    fputs("],\n", stdout);
}

static void json_participants(const struct info *i)
{
    const struct tarn_stat *s = &i->stat;
    printf("  \"participants\": {\"count\": %u, \"most\": %u, \"dead\": %u, \"recovered\": %" PRIu64
           ", \"undone\": %" PRIu64 ", \"list\": [",
           s->participants, s->most, s->dead, s->recovered, s->undone);
    for (size_t k = 0; k < i->participants_count; k++) {
        const struct tarn_participant *p = &i->participants[k];
        printf("%s\n    {\"id\": %u, \"pid\": %u, \"tid\": %u, \"state\": \"%s\", \"section_open\": %s, "
               "\"claimless\": %s",
               k ? "," : "", p->id, p->pid, p->tid, state_text(p->state), p->section_open ? "true" : "false",
               p->claimless ? "true" : "false");
        printf(", \"locks_held\": %u, \"waits\": %" PRIu64 "}", p->locks_held, p->waits);
    }
    fputs("]}\n}\n", stdout);
}

void print_info_json(const struct info *i)
{
    json_segment(i);
    json_names(i);
    json_participants(i);
}

void print_heap_json(const char *url, const struct tarn_heap_stats *t)
{
    fputs("{\n  ", stdout);
    json_text("url", url);
    printf(",\n  \"span_size\": %u, \"spans\": %" PRIu64 ", \"spans_free\": %" PRIu64
           ", \"spans_other\": %" PRIu64,
           t->span_size, t->spans, t->spans_free, t->spans_other);
    printf(",\n  \"allocated\": %" PRIu64 ", \"limbo\": %" PRIu64 ", \"free\": %" PRIu64
           ", \"dead\": %" PRIu64 ", \"orphaned\": %" PRIu64,
           t->allocated, t->limbo, t->free, t->dead, t->orphaned);
    printf(",\n  \"runs\": {\"blocks\": %" PRIu64 ", \"spans\": %" PRIu64 ", \"allocated\": %" PRIu64
           ", \"limbo\": %" PRIu64 ", \"free\": %" PRIu64 "},\n  \"sizes\": [",
           t->runs, t->run_spans, t->run_allocated, t->run_limbo, t->run_free);
    for (uint32_t i = 0; i < t->classes; i++) {
        const struct tarn_heap_class *k = &t->by_size[i];
        printf("%s\n    {\"size\": %" PRIu64 ", \"spans\": %" PRIu64 ", \"blocks\": %" PRIu64, i ? "," : "",
               k->size, k->spans, k->blocks);
        printf(", \"allocated\": %" PRIu64 ", \"limbo\": %" PRIu64 ", \"free\": %" PRIu64 "}", k->allocated,
               k->limbo, k->free);
    }
    fputs("]\n}\n", stdout);
}

static bool first_damage;

void json_damages_begin(const char *url)
{
    fputs("{\n  ", stdout);
    json_text("url", url);
    fputs(",\n  \"damages\": [", stdout);
    first_damage = true;
}

void json_damage(const struct tarn_damage *d)
{
    printf("%s\n    {\"ref\": %" PRIu64 ", ", first_damage ? "" : ",", d->ref);
    json_text("what", d->what);
    putchar('}');
    first_damage = false;
}

void json_damages_end(uint64_t count)
{
    printf("],\n  \"count\": %" PRIu64 "\n}\n", count);
}

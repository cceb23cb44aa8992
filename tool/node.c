/* node.c - trees of named values, see node.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

static size_t nodes;

static void *need(void *memory)
{
    if (!memory) {
        complain(NULL, "no memory for what is to be shown");
        exit(REFUSED);
    }
    return memory;
}

/* ---- building ---- */

struct node *node_new(const char *name, const char *type)
{
    struct node *n = need(calloc(1, sizeof *n));
    n->name = name ? need(harmless(name)) : NULL;
    n->type = type ? need(harmless(type)) : NULL;
    nodes++;
    return n;
}

void node_free(struct node *n)
{
    if (!n)
        return;
    for (size_t k = 0; k < n->count; k++)
        node_free(n->child[k]);
    free(n->child);
    free(n->name);
    free(n->type);
    free(n->text);
    free(n->json);
    free(n->string);
    free(n);
    nodes--;
}

struct node *node_add(struct node *parent, const char *name, const char *type)
{
    parent->has_fields = true;
    if (nodes >= NODES_MOST) {
        parent->more++;
        return NULL;
    }
    struct node **place = need(one_more(&parent->child, &parent->count, sizeof *place));
    return *place = node_new(name, type);
}

static char *formatted(const char *format, va_list list)
{
    char *text = NULL, *shown;
    need(vasprintf(&text, format, list) < 0 ? NULL : text);
    shown = need(harmless(text));
    free(text);
    return shown;
}

void node_text(struct node *n, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    free(n->text);
    n->text = formatted(format, list);
    va_end(list);
}

void node_add_text(struct node *n, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *more = formatted(format, list), *old = n->text, *all = NULL;
    va_end(list);
    need(asprintf(&all, "%s%s", old ? old : "", more) < 0 ? NULL : all);
    n->text = all;
    free(old);
    free(more);
}

void node_json(struct node *n, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    free(n->json);
    n->json = formatted(format, list);
    va_end(list);
}

void node_number(struct node *n, uint64_t number)
{
    node_text(n, "%" PRIu64, number);
    node_json(n, "%" PRIu64, number);
}

void node_add_number(struct node *parent, const char *name, uint64_t number)
{
    struct node *n = node_add(parent, name, NULL);
    if (!n)
        return;
    n->in_detail = true;
    node_number(n, number);
}

void node_add_string(struct node *parent, const char *name, const char *text)
{
    struct node *n = node_add(parent, name, NULL);
    if (!n)
        return;
    n->in_detail = true;
    if (text)
        node_text(n, "%s", text);
    else
        node_json(n, "null");
}

/* One run without a NUL. Returns where it ends in `to`, which has room for four bytes for each. */
static char *quote_run(const char *from, size_t size, char *to)
{
    char *run = need(strndup(from, size)), *shown = need(harmless(run));
    to = stpcpy(to, shown);
    free(shown);
    free(run);
    return to;
}

static void escape_quotes(struct node *n, const char *text)
{
    size_t quotes = 0;
    for (const char *c = text; *c; c++)
        quotes += *c == '"';
    char *all = need(malloc(strlen(text) + quotes + 3)), *to = all;
    *to++ = '"';
    for (; *text; text++) {
        if (*text == '"')
            *to++ = '\\';
        *to++ = *text;
    }
    strcpy(to, "\"");
    free(n->text);
    n->text = all;
}

void node_quoted(struct node *n, const void *bytes, size_t size, size_t most)
{
    const char *from = bytes, *end = from + (size < most ? size : most);
    char *text = need(malloc((size_t)(end - from) * 4 + 1)), *to = text;
    for (const char *zero; from < end; from = zero) {
        for (zero = from; zero < end && *zero; zero++)
            ;
        to = quote_run(from, (size_t)(zero - from), to);
        for (; zero < end && !*zero; zero++)
            to = stpcpy(to, "\\x00");
    }
    *to = 0;
    escape_quotes(n, text);
    if (size > most)
        node_add_text(n, " and %zu bytes more", size - most);
    free(n->string);
    n->string = text;
}

static char *digits(const unsigned char *bytes, size_t size)
{
    char *text = need(malloc(size * 2 + 1)), *to = text;
    *to = 0;
    for (size_t k = 0; k < size; k++)
        to += sprintf(to, "%02x", bytes[k]);
    return text;
}

void node_hex(struct node *n, const void *bytes, size_t size, size_t most)
{
    free(n->text);
    n->text = digits(bytes, size < most ? size : most);
    if (size > most)
        node_add_text(n, " and %zu bytes more", size - most);
}

void node_whole_hex(struct node *n, const void *bytes, size_t size)
{
    free(n->string);
    n->string = digits(bytes, size);
}

/* ---- comparing ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct node *named(const struct node *parent, const char *name, size_t hint)
{
    if (hint < parent->count && same_text(parent->child[hint]->name, name))
        return parent->child[hint];
    for (size_t k = 0; k < parent->count && k < 4096; k++) /* beyond that, what moved counts as new */
        if (same_text(parent->child[k]->name, name))
            return parent->child[k];
    return NULL;
}

void node_compare(struct node *now, const struct node *before)
{
    if (!same_text(now->text, before->text))
        now->was = (struct node *)before;
    for (size_t k = 0; k < now->count; k++) {
        const struct node *old = named(before, now->child[k]->name, k);
        if (old)
            node_compare(now->child[k], old);
        else
            now->child[k]->is_new = true;
    }
}

static bool has_changed(const struct node *n)
{
    return n->is_new || n->was;
}

/* It, or what may stand in its line */
static bool line_changed(const struct node *n)
{
    bool changed = has_changed(n);
    for (size_t k = 0; (n->is_list || !n->type) && n->name && k < n->count && !changed; k++)
        changed = line_changed(n->child[k]);
    return changed;
}

/* ---- as C writes it ---- */

struct printing {
    bool marks, colour, changes, is_first;
};

static void put(const char *text)
{
    fputs(text, stdout);
}

static void begin_line(const struct printing *p, const struct node *n, unsigned depth)
{
    bool changed = n && p->marks && line_changed(n);
    if (changed && p->colour)
        fputs("\033[1m", stdout);
    if (p->marks)
        fputs(changed ? "* " : "  ", stdout);
    for (unsigned k = 0; k < depth; k++)
        fputs("    ", stdout);
}

static void end_line(const struct printing *p, const struct node *n)
{
    if (p->marks && n && n->was && n->was->text && !n->is_list) {
        fputs("   (was ", stdout);
        put(n->was->text);
        putchar(')');
    }
    puts(n && p->marks && p->colour && line_changed(n) ? "\033[0m" : "");
}

/* "int hits[3]", "int flag:1": what is behind the name. */
static size_t base_of(const char *type)
{
    const char *colon = strrchr(type, ':');
    return colon && colon[1 + strspn(colon + 1, "0123456789")] == 0 ? (size_t)(colon - type) : strcspn(type, "[");
}

static void print_declaration(const struct node *n)
{
    size_t base = n->type ? base_of(n->type) : 0;
    if (n->type) {
        char *type = need(strndup(n->type, base));
        put(type);
        if (n->name && base && type[base - 1] != '*')
            putchar(' ');
        free(type);
    }
    if (n->name)
        put(n->name);
    if (n->type)
        put(n->type + base);
    if (n->type || n->name)
        fputs(" = ", stdout);
}

/* {1, 2, ... 3 more}, {x = 1, y = 2}: if it fits, where it ends in `to`; else NULL. */
static char *flat(const struct node *n, char *to, char *end)
{
    if (!n->has_fields) {
        size_t size = n->text ? strlen(n->text) : (size_t)(end - to);
        return size < (size_t)(end - to) ? stpcpy(to, n->text) : NULL;
    }
    if (n->text || end - to < 32)
        return NULL;
    *to++ = '{';
    for (size_t k = 0; k < n->count && to; k++) {
        const struct node *c = n->child[k];
        int used = n->is_list
                       ? snprintf(to, (size_t)(end - to), "%s", k ? ", " : "")
                       : snprintf(to, (size_t)(end - to), "%s%s = ", k ? ", " : "", c->name ? c->name : "");
        to = used < end - to ? flat(c, to + used, end) : NULL;
    }
    if (!to || end - to < 32)
        return NULL;
    if (n->more)
        to += sprintf(to, "%s... %" PRIu64 " more", n->count ? ", " : "", n->more);
    return stpcpy(to, "}");
}

/* Elements may stand in one line. */
static bool print_flat(const struct node *n)
{
    char line[128];
    bool fits = (n->is_list || !n->type) && n->name && !n->text && !n->string && n->has_fields &&
                flat(n, line, line + sizeof line);
    if (fits)
        put(line);
    return fits;
}

static bool has_lines(const struct node *n)
{
    bool lines = n->has_fields && (!n->text || n->more);
    for (size_t k = 0; k < n->count && !lines; k++)
        lines = !n->child[k]->in_detail;
    return lines;
}

static void print_lines(const struct printing *p, const struct node *n, unsigned depth)
{
    begin_line(p, n, depth);
    print_declaration(n);
    if (n->text)
        put(n->text);
    if (!has_lines(n)) {
        end_line(p, n);
        return;
    }
    if (n->text)
        putchar(' ');
    if (print_flat(n)) {
        end_line(p, n);
        return;
    }
    putchar('{');
    end_line(p, n);
    for (size_t k = 0; k < n->count; k++)
        if (!n->child[k]->in_detail)
            print_lines(p, n->child[k], depth + 1);
    if (n->more) {
        begin_line(p, NULL, depth + 1);
        printf("... %" PRIu64 " more\n", n->more);
    }
    begin_line(p, NULL, depth);
    puts("}");
}

/* ---- a value a line ---- */

/* "pos.x", "values[3]", behind the path of the parent */
static char *path_of(const char *parent, const char *name)
{
    char *path = NULL;
    bool dot = *parent && name && name[0] != '[';
    need(asprintf(&path, "%s%s%s", parent, dot ? "." : "", name ? name : "") < 0 ? NULL : path);
    return path;
}

/* A path is one word. */
static void put_word(const char *text)
{
    for (; *text; text++)
        if (*text == ' ')
            fputs("\\x20", stdout);
        else
            putchar(*text);
}

static void raw_line(const struct printing *p, const struct node *n, const char *path)
{
    if (p->marks)
        fputs(has_changed(n) ? "* " : "- ", stdout);
    put_word(*path ? path : ".");
    putchar(' ');
    put(n->text ? n->text : n->json ? n->json : "-");
    putchar('\n');
}

static void print_values(const struct printing *p, const struct node *n, const char *parent)
{
    char *path = path_of(parent, n->name);
    if (n->text || !n->has_fields)
        raw_line(p, n, path);
    for (size_t k = 0; k < n->count; k++)
        print_values(p, n->child[k], path);
    free(path);
}

/* ---- JSON ---- */

static void print_json(const struct node *n, unsigned depth)
{
    bool lines = false;
    if (!n->has_fields || n->string) {
        if (n->json)
            fputs(n->json, stdout);
        else
            print_json_string(n->string ? n->string : n->text ? n->text : "");
        return;
    }
    putchar(n->is_list ? '[' : '{');
    for (size_t k = 0; k < n->count; k++) {
        if (n->is_list && !n->child[k]->has_fields)
            fputs(k ? ", " : "", stdout);
        else {
            printf("%s\n%*s", k ? "," : "", (int)(depth + 1) * 2, "");
            lines = true;
        }
        if (!n->is_list) {
            print_json_string(n->child[k]->name ? n->child[k]->name : "?");
            fputs(": ", stdout);
        }
        print_json(n->child[k], depth + 1);
    }
    if (lines)
        printf("\n%*s", (int)depth * 2, "");
    putchar(n->is_list ? ']' : '}');
}

static void print_change(struct printing *p, const struct node *n, const char *parent)
{
    char *path = path_of(parent, n->name);
    if (has_changed(n)) {
        fputs(p->is_first ? "" : ", ", stdout);
        print_json_string(path);
        p->is_first = false;
    }
    for (size_t k = 0; k < n->count; k++)
        print_change(p, n->child[k], path);
    free(path);
}

void node_print_changes(const struct node *n)
{
    struct printing p = {.is_first = true};
    putchar('[');
    for (size_t k = 0; k < n->count; k++)
        print_change(&p, n->child[k], "");
    if (!n->count && has_changed(n))
        print_json_string("");
    putchar(']');
}

void node_print(const struct node *n, enum node_form form, bool marks, bool colour)
{
    struct printing p = {.marks = marks, .colour = colour};
    if (form == NODE_JSON)
        print_json(n, 1);
    else if (form == NODE_C)
        print_lines(&p, n, 0);
    else if (n->has_fields && !n->text)
        for (size_t k = 0; k < n->count; k++)
            print_values(&p, n->child[k], "");
    else
        print_values(&p, n, "");
}

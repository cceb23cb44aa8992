/* listing.c - lists with columns, see listing.h: tables by libsmartcols, JSON by hand. */
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "listing.h"

/* ---- cells ---- */

void cell_text(struct cell *c, const char *text)
{
    c->kind = text ? CELL_TEXT : CELL_NONE;
    c->text = text;
}

void cell_format(struct cell *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(c->room, sizeof c->room, format, list);
    va_end(list);
    cell_text(c, c->room);
}

void cell_number(struct cell *c, uint64_t number)
{
    c->kind = CELL_NUMBER;
    c->number = number;
}

void cell_bytes(struct cell *c, uint64_t number)
{
    c->kind = number == UINT64_MAX ? CELL_NONE : CELL_BYTES;
    c->number = number;
}

void cell_time(struct cell *c, int64_t seconds)
{
    if (seconds <= 0)
        return;
    c->kind = CELL_TIME;
    c->number = (uint64_t)seconds;
}

void cell_reference(struct cell *c, uint64_t ref)
{
    if (!ref)
        return;
    cell_number(c, ref);
    snprintf(c->room, sizeof c->room, "%#" PRIx64, ref);
    c->text = c->room;
}

static void no_memory(void)
{
    complain(NULL, "no memory for a list");
    exit(REFUSED);
}

static void fill(const struct listing *l, const void *row, unsigned column, struct cell *c)
{
    c->kind = CELL_NONE;
    c->number = 0;
    c->real = 0;
    c->text = NULL;
    l->cell(row, column, l->context, c);
}

/* ---- options ---- */

bool listing_option(struct listing *l, int option, int *ret_status)
{
    *ret_status = DONE;
    switch (option) {
    case 'J': l->json = true; return true;
    case OPTION_RAW: l->raw = true; return true;
    case 'b': l->bytes = true; return true;
    case 'o': l->output = optarg; return true;
    case OPTION_SORT: l->sort = optarg; return true;
    case OPTION_NO_HEADINGS: l->bare = true; return true;
    default: return false;
    }
}

static int find_column(const struct listing *l, const char *name, size_t size)
{
    for (size_t k = 0; k < l->count; k++)
        if (strncasecmp(l->columns[k].name, name, size) == 0 && !l->columns[k].name[size])
            return (int)k;
    return -1;
}

static void show(struct listing *l, unsigned column)
{
    for (unsigned k = 0; k < l->shown_count; k++)
        if (l->shown[k] == column)
            return;
    l->shown[l->shown_count++] = column;
    l->needs |= l->columns[column].needs;
}

void listing_also(struct listing *l, unsigned column)
{
    if (!l->output)
        show(l, column);
}

static void show_flagged(struct listing *l, unsigned flag)
{
    for (unsigned k = 0; k < l->count; k++)
        if (l->columns[k].flags & flag || !flag)
            show(l, k);
}

static bool no_column(const struct listing *l, const char *name, size_t size, int *ret_status)
{
    *ret_status = misused(l->command, "\"%.*s\" is no column", (int)size, name);
    return false;
}

bool listing_ready(struct listing *l, int *ret_status)
{
    const char *names = l->output;
    l->shown = l->room;
    l->sorted = -1;
    if (l->json && l->raw) {
        *ret_status = misused(l->command, "-J and --raw: one of them");
        return false;
    }
    if (!names || *names == '+')
        show_flagged(l, l->json ? COLUMN_JSON : COLUMN_SHOWN);
    if (names && *names == '+')
        names++;
    for (size_t n; names; names = names[n] ? names + n + 1 : NULL) {
        n = strcspn(names, ",");
        int column = find_column(l, names, n);
        if (column >= 0)
            show(l, (unsigned)column);
        else if (n == 3 && strncasecmp(names, "all", 3) == 0)
            show_flagged(l, 0);
        else
            return no_column(l, names, n, ret_status);
    }
    if (l->sort) {
        l->backwards = l->sort[0] == '-';
        l->sorted = find_column(l, l->sort + l->backwards, strlen(l->sort + l->backwards));
        if (l->sorted < 0)
            return no_column(l, l->sort, strlen(l->sort), ret_status);
        l->needs |= l->columns[l->sorted].needs;
    }
    return true;
}

/* ---- sorting ---- */

struct key {
    const void *row;
    bool none;
    uint64_t number;
    char *text;
    size_t place;
};

static int by_key(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    int order = x->none != y->none       ? x->none - y->none
                : x->none                ? 0
                : x->text                ? strcmp(x->text, y->text)
                : x->number != y->number ? (x->number < y->number ? 1 : -1)
                                         : 0;
    return order ? order : x->place < y->place ? -1 : 1;
}

static int by_key_backwards(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    struct key u = *x, v = *y;
    if (x->none || y->none)
        return by_key(a, b);
    u.place = y->place;
    v.place = x->place;
    return by_key(&v, &u);
}

/* In the order of the reals, from the least up */
static uint64_t as_number(double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

void listing_sort(const struct listing *l, const void **rows, size_t count)
{
    struct key *keys = calloc(count ? count : 1, sizeof *keys);
    struct cell c;
    if (!keys)
        no_memory();
    for (size_t k = 0; k < count; k++) {
        fill(l, rows[k], (unsigned)l->sorted, &c);
        keys[k] = (struct key){.row = rows[k], .none = c.kind == CELL_NONE, .number = c.number, .place = k};
        if (c.kind == CELL_REAL)
            keys[k].number = as_number(c.real);
        if (c.kind == CELL_TEXT && !(keys[k].text = strdup(c.text)))
            no_memory();
    }
    qsort(keys, count, sizeof *keys, l->backwards ? by_key_backwards : by_key);
    for (size_t k = 0; k < count; k++) {
        rows[k] = keys[k].row;
        free(keys[k].text);
    }
    free(keys);
}

/* ---- tables ---- */

static void rounded_bytes(struct cell *c)
{
    char unit;
    double n = in_units(c->number, &unit);
    bool whole = n == (double)(uint64_t)n || n >= 100;
    snprintf(c->room, sizeof c->room, whole ? "%.0f%c" : "%.1f%c", n, unit);
}

static void rounded_period(struct cell *c)
{
    static const struct {
        uint64_t seconds;
        char unit;
    } step[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    unsigned k = 0;
    while (k < 3 && c->number < step[k].seconds)
        k++;
    snprintf(c->room, sizeof c->room, "%" PRIu64 "%c", c->number / step[k].seconds, step[k].unit);
}

static void local_time(struct cell *c)
{
    time_t t = (time_t)c->number;
    struct tm tm;
    if (!localtime_r(&t, &tm) || !strftime(c->room, sizeof c->room, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(c->room, sizeof c->room, "%" PRIu64, c->number);
}

/* What a table or a line shows. Lives as long as the cell. */
static const char *cell_shown(const struct listing *l, struct cell *c)
{
    bool exact = l->raw || (l->bytes && c->kind == CELL_BYTES);
    if (c->kind == CELL_NONE || (c->kind == CELL_TRUTH && !c->number))
        return "-";
    if (c->kind == CELL_TRUTH)
        return "yes";
    if (c->text && (c->kind == CELL_TEXT || !l->raw))
        return c->text;
    if (c->kind == CELL_TIME)
        local_time(c);
    else if (c->kind == CELL_REAL)
        snprintf(c->room, sizeof c->room, "%.1f", c->real);
    else if (c->kind == CELL_BYTES && !exact)
        rounded_bytes(c);
    else if (c->kind == CELL_PERIOD && !exact)
        rounded_period(c);
    else
        snprintf(c->room, sizeof c->room, "%" PRIu64, c->number);
    return c->room;
}

const char *listing_shown(const struct listing *l, const void *row, unsigned column, struct cell *c)
{
    fill(l, row, column, c);
    return cell_shown(l, c);
}

static struct libscols_table *make_table(const struct listing *l)
{
    struct libscols_table *t = scols_new_table();
    if (!t)
        no_memory();
    scols_table_enable_noheadings(t, l->bare);
    scols_table_enable_raw(t, l->raw);
    scols_table_enable_noencoding(t, !l->raw);
    for (unsigned k = 0; k < l->shown_count; k++) {
        const struct column *c = &l->columns[l->shown[k]];
        if (!scols_table_new_column(t, c->name, 0, c->flags & COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0))
            no_memory();
    }
    return t;
}

static void add_row(const struct listing *l, struct libscols_table *t, const void *row)
{
    struct libscols_line *line = scols_table_new_line(t, NULL);
    struct cell c;
    if (!line)
        no_memory();
    for (unsigned k = 0; k < l->shown_count; k++) {
        fill(l, row, l->shown[k], &c);
        const char *shown = cell_shown(l, &c);
        char *text = l->raw ? strdup(shown) : harmless(shown);
        if (!text || scols_line_refer_data(line, k, text) != 0)
            no_memory();
    }
}

static void print_table(const struct listing *l, const void **rows, size_t count)
{
    struct libscols_table *t = make_table(l);
    if (!count && !l->bare) { /* libsmartcols prints no headings then */
        for (unsigned k = 0; k < l->shown_count; k++)
            printf("%s%s", k ? " " : "", l->columns[l->shown[k]].name);
        putchar('\n');
    }
    for (size_t k = 0; k < count; k++)
        add_row(l, t, rows[k]);
    scols_print_table(t);
    scols_unref_table(t);
}

void listing_gap(const struct listing *l)
{
    if (!l->json && !l->raw)
        putchar('\n');
}

/* ---- JSON ---- */

static bool first_member;

static void print_key(const char *name)
{
    putchar('"');
    for (; *name; name++)
        putchar(*name == '-' ? '_' : *name >= 'A' && *name <= 'Z' ? *name + 32 : *name);
    fputs("\": ", stdout);
}

static void print_json_cell(const struct cell *c)
{
    switch (c->kind) {
    case CELL_NONE: fputs("null", stdout); break;
    case CELL_TEXT: print_json_string(c->text); break;
    case CELL_REAL: printf("%.1f", c->real); break;
    case CELL_TRUTH: fputs(c->number ? "true" : "false", stdout); break;
    default: printf("%" PRIu64, c->number);
    }
}

static void print_json(const struct listing *l, const char *key, const void **rows, size_t count)
{
    struct cell c;
    printf("%s\n  \"%s\": [", first_member ? "" : ",", key);
    first_member = false;
    for (size_t k = 0; k < count; k++) {
        fputs(k ? ",\n    {" : "\n    {", stdout);
        for (unsigned n = 0; n < l->shown_count; n++) {
            if (n)
                fputs(", ", stdout);
            print_key(l->columns[l->shown[n]].name);
            fill(l, rows[k], l->shown[n], &c);
            print_json_cell(&c);
        }
        putchar('}');
    }
    fputs(count ? "\n  ]" : "]", stdout);
}

/* ---- lists ---- */

void listing_begin(const struct listing *l)
{
    first_member = true;
    if (l->json)
        putchar('{');
}

void listing_print(const struct listing *l, const char *key, const void **rows, size_t count)
{
    if (l->sorted >= 0)
        listing_sort(l, rows, count);
    if (l->json)
        print_json(l, key, rows, count);
    else
        print_table(l, rows, count);
}

void listing_end(const struct listing *l)
{
    if (l->json)
        puts("\n}");
}

/* cmd_doctor.c - tarn doctor: what is wrong with shared memory on this machine, and the commands that mend it. It changes nothing itself. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"
#include "listing.h"

/* Its own exit statuses, beyond those of all commands. */
enum { FOUND_WARNINGS = 4, FOUND_ERRORS = 5 };
enum { SHOWN_OF_A_KIND = 8 };

enum column_number { SEVERITY, CHECK, OBJECT, WHAT, CURE, COLUMNS };
#define T COLUMN_SHOWN
#define J COLUMN_JSON
static const struct column columns[COLUMNS] = {
    [SEVERITY] = {"SEVERITY", T | J, 0, "info, warning, error"},
    [CHECK] = {"CHECK", T | J, 0, "which finding it is, in a word of the manual"},
    [OBJECT] = {"OBJECT", T | J, 0, "what it is about"},
    [WHAT] = {"WHAT", T | J, 0, "what is the matter"},
    [CURE] = {"CURE", T | J, 0, "a command that mends it, for a shell; none: there is no command"},
};
static const char *const severities[SEVERITIES] = {"info", "warning", "error"};

/* ---- findings ---- */

static void no_memory(void)
{
    complain("doctor", "no memory for what is found");
    exit(REFUSED);
}

static char *make_list(const char *format, va_list list)
{
    char *text = NULL;
    if (vasprintf(&text, format, list) < 0)
        no_memory();
    return text;
}

char *make_text(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = make_list(format, list);
    va_end(list);
    return text;
}

void found(struct doctor *d, enum severity severity, const char *check, const char *object, char *cure,
           const char *format, ...)
{
    va_list list;
    struct finding *more = realloc(d->findings, (d->count + 1) * sizeof *more);
    if (!more)
        no_memory();
    d->findings = more;
    va_start(list, format);
    more[d->count++] = (struct finding){severity, check, make_text("%s", object), make_list(format, list), cure};
    va_end(list);
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_./:@%+,-", c);
}

/* Backslashes are octal: a table shows "\x" as something else. */
static char *octal_word(const char *text)
{
    char *word = malloc(strlen(text) * 4 + 4), *to = word;
    if (!word)
        no_memory();
    to += sprintf(to, "$'");
    for (const unsigned char *s = (const unsigned char *)text; *s; s++)
        if (*s < ' ' || *s >= 0x7f || *s == '\'' || *s == '\\')
            to += sprintf(to, "\\%03o", *s);
        else
            *to++ = (char)*s;
    sprintf(to, "'");
    return word;
}

char *shell_word(const char *text)
{
    bool plain = *text && *text != '-', quotable = true;
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        plain &= is_plain(*s);
        quotable &= *s >= ' ' && *s < 0x7f && *s != '\'' && *s != '\\';
    }
    return plain ? make_text("%s", text) : quotable ? make_text("'%s'", text) : octal_word(text);
}

const char *size_text(uint64_t bytes, char to[static 16])
{
    char unit;
    double n = in_units(bytes, &unit), tenths = (double)(uint64_t)(n * 10 + 0.5);
    snprintf(to, 16, tenths == (double)((uint64_t)tenths / 10 * 10) ? "%.0f%c" : "%.1f%c", n, unit);
    return to;
}

/* ---- output ---- */

static void cell(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct finding *f = row;
    (void)context;
    switch (column) {
    case SEVERITY: cell_text(c, severities[f->severity]); break;
    case CHECK: cell_text(c, f->check); break;
    case OBJECT: cell_text(c, f->object); break;
    case WHAT: cell_text(c, f->what); break;
    case CURE: cell_text(c, f->cure); break;
    }
}

static int by_severity(const void *a, const void *b)
{
    const struct finding *x = *(const struct finding *const *)a, *y = *(const struct finding *const *)b;
    int order = x->severity != y->severity ? (int)y->severity - (int)x->severity : strcmp(x->check, y->check);
    return order ? order : x < y ? -1 : 1;
}

static void print_line(const char *before, const char *text)
{
    char *safe = harmless(text);
    if (!safe)
        no_memory();
    printf("%s%s\n", before, safe);
    free(safe);
}

/* For people: a paragraph each; of many of one kind the first few. */
static void print_paragraphs(const void *const *rows, size_t count)
{
    const char *check = "";
    for (size_t k = 0, same = 0; k < count; k++) {
        const struct finding *f = rows[k];
        bool last = k + 1 == count || strcmp(((const struct finding *)rows[k + 1])->check, f->check) != 0;
        same = strcmp(check, f->check) == 0 ? same + 1 : 1;
        check = f->check;
        if (same <= SHOWN_OF_A_KIND) {
            printf("%s%s (%s) ", k ? "\n" : "", severities[f->severity], f->check);
            print_line("", f->object);
            print_line("    ", f->what);
            if (f->cure)
                print_line("    $ ", f->cure);
        }
        if (last && same > SHOWN_OF_A_KIND)
            printf("\n... and %zu more of this kind: -J, --raw and -o list them all\n", same - SHOWN_OF_A_KIND);
    }
    if (!count)
        puts("nothing is the matter");
}

static int print(const struct listing *l, const struct doctor *d)
{
    const void **rows = malloc((d->count + 1) * sizeof *rows);
    int status = DONE;
    if (!rows)
        no_memory();
    for (size_t k = 0; k < d->count; k++) {
        int one = d->findings[k].severity == ERROR     ? FOUND_ERRORS
                  : d->findings[k].severity == WARNING ? FOUND_WARNINGS
                                                       : DONE;
        status = one > status ? one : status;
        rows[k] = &d->findings[k];
    }
    qsort(rows, d->count, sizeof *rows, by_severity);
    if (!l->json && !l->raw && !l->output) {
        print_paragraphs(rows, d->count);
    } else {
        listing_begin(l);
        listing_print(l, "findings", rows, d->count);
        listing_end(l);
    }
    free(rows);
    return status;
}

static void forget(struct doctor *d)
{
    for (size_t k = 0; k < d->count; k++) {
        free(d->findings[k].object);
        free(d->findings[k].what);
        free(d->findings[k].cure);
    }
    free(d->findings);
    survey_free(d->survey);
    machine_free(d->m);
}

/* ---- arguments ---- */

enum { OPTION_ROOT = 0x3000, OPTION_OLDER, OPTION_ALONE };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"root", required_argument, NULL, OPTION_ROOT},
                                      {"older-than", required_argument, NULL, OPTION_OLDER},
                                      {"alone", no_argument, NULL, OPTION_ALONE},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static bool take(const struct command *c, int option, struct doctor *d, struct listing *l, int *ret_status)
{
    struct stat s;
    switch (option) {
    case OPTION_ROOT:
        d->root = optarg;
        if (stat(optarg, &s) == 0 && S_ISDIR(s.st_mode))
            return true;
        *ret_status = misused(c, "--root %s: it is no directory", optarg);
        return false;
    case OPTION_OLDER:
        if (parse_period(optarg, &d->rules.older))
            return true;
        *ret_status =
            misused(c, "--older-than %s: it is a number of seconds, or one with m, h or d behind it", optarg);
        return false;
    case OPTION_ALONE: d->rules.alone = true; return true;
    default: listing_option(l, option, ret_status); return true;
    }
}

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell};
    struct doctor d = {.command = c, .root = "", .rules.older = 3600};
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, &status)) >= 0)
        if (option == ENDED || !take(c, option, &d, &l, &status))
            return status;
    if (argc > optind)
        return misused(c, "\"%s\": it takes no URL; tarn check looks at one segment", argv[optind]);
    if (!listing_ready(&l, &status))
        return status;
    if (!*d.root && !(d.m = look_at_machine(c, LOOK_ALL)))
        return REFUSED;
    if (d.m && !(d.survey = survey_new(d.m)))
        no_memory();
    examine_system(&d);
    if (d.m)
        examine_memory(&d);
    status = print(&l, &d);
    if (d.m)
        complain_of_unread(c, d.m);
    forget(&d);
    return status;
}

const struct command cmd_doctor = {
    .name = "doctor",
    .arguments = "[--older-than PERIOD] [--alone] [--root DIR] " LISTING_ARGUMENTS,
    .summary = "tell what is wrong with shared memory here, and the commands that mend it",
    .help = "      --older-than PERIOD  names that nobody uses are told if they have lain idle for so long:\n"
            "                       seconds, or with m, h, d (default 1h)\n"
            "      --alone          nobody outside of this PID namespace shares the memory (in containers)\n"
            "      --root DIR       of another machine, of which DIR has proc, sys, etc: what they "
            "say\n" LISTING_HELP
            "It changes nothing. Without -J, --raw and -o it prints a paragraph for each finding.\n"
            "Exit status: 0 nothing beyond infos; 4 warnings; 5 errors; 2 wrong arguments; 3 it could not "
            "look.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

/* listing.h - lists of things with columns, for all commands that have -J, --raw, -o and --sort: as a table, as lines for scripts, as JSON.
 *
 * A command has an array of columns, and a function that fills a cell of a row. Cells are other people's bytes: a table shows control characters, what
 * is not UTF-8, and what turns the direction of writing, as \x.., JSON escapes them (and has U+FFFD for what is not UTF-8). Nothing is coloured.
 *
 *     struct listing l = {.command = c, .columns = columns, .count = N, .cell = cell};
 *     while ((option = next_option(c, argc, argv, ":h" LISTING_LETTERS, names, &status)) >= 0)     names: {LISTING_OPTIONS, ...}
 *         if (option == ENDED || (listing_option(&l, option, &status) && status)) return status;
 *     if (!listing_ready(&l, &status)) return status;
 *     look at what l.needs says; listing_begin(&l); listing_print(&l, "objects", rows, count); listing_end(&l);
 */
#ifndef TARN_LISTING_H
#define TARN_LISTING_H

#include "tool.h"

/* What a cell has. */
struct cell {
    enum cell_kind {
        CELL_NONE,   /* not known, or there is none: "-", null */
        CELL_TEXT,   /* text */
        CELL_NUMBER, /* number; text, if set, is what a table shows for it */
        CELL_BYTES,  /* the same, rounded in tables unless --bytes */
        CELL_TIME,   /* seconds since 1970 */
        CELL_PERIOD, /* seconds */
        CELL_REAL,   /* real; text, if set, is what a table shows for it */
        CELL_TRUTH   /* number 0 or 1: "-" or "yes", false or true */
    } kind;
    uint64_t number;
    double real;
    const char *text;
    char room[64]; /* for text that is nowhere else */
};

struct column {
    const char *name; /* of capitals; in JSON small, with _ for - */
    unsigned flags;
    unsigned needs; /* what the command has to look at for it: to its own taste */
    const char *help;
};
enum {
    COLUMN_SHOWN = 1, /* in tables, unless -o says which */
    COLUMN_JSON = 2,  /* in JSON, unless -o says which */
    COLUMN_RIGHT = 4  /* to the right: numbers */
};
enum { MOST_COLUMNS = 48 };

struct listing {
    const struct command *command;
    const struct column *columns;
    size_t count;
    void (*cell)(const void *row, unsigned column, void *context, struct cell *ret); /* *ret is zero: CELL_NONE */
    void *context;
    /* of the options */
    bool json, raw, bytes, bare;
    const char *output, *sort;
    unsigned *shown, shown_count; /* listing_ready: indices of columns */
    int sorted;                   /* of the column to sort by, or -1 */
    bool backwards;
    unsigned needs; /* of the columns that are shown or sorted by */
    unsigned room[MOST_COLUMNS];
};

enum { OPTION_RAW = 0x2000, OPTION_SORT, OPTION_BYTES, OPTION_NO_HEADINGS };
#define LISTING_LETTERS "Jo:b"
#define LISTING_OPTIONS                                                                                      \
    {"json", no_argument, NULL, 'J'}, {"raw", no_argument, NULL, OPTION_RAW},                                \
        {"output", required_argument, NULL, 'o'}, {"sort", required_argument, NULL, OPTION_SORT},            \
        {"bytes", no_argument, NULL, 'b'},                                                                   \
    {                                                                                                        \
        "no-headings", no_argument, NULL, OPTION_NO_HEADINGS                                                 \
    }
#define LISTING_ARGUMENTS "[-J | --raw] [-b] [-o COLUMNS] [--sort COLUMN] [--no-headings]"
/* Lines for a command's help; print_help puts the columns of command.columns behind. */
#define LISTING_HELP                                                                                         \
    "  -J, --json           as JSON; numbers exact, times in seconds since 1970\n"                           \
    "      --raw            for scripts: fields parted by one blank, exact numbers, odd bytes as \\x..\n"    \
    "  -b, --bytes          sizes in bytes, not rounded\n"                                                   \
    "  -o, --output COLUMNS these, parted by commas; +COLUMNS: also these; all: all\n"                       \
    "      --sort COLUMN    by this one, numbers from the largest down; -COLUMN: the other way\n"            \
    "      --no-headings    no headings\n"

/* Is it an option of a listing? Then it is noted; *ret_status: DONE. */
bool listing_option(struct listing *l, int option, int *ret_status);
/* Which columns, sorted by what. false: *ret_status, after a complaint. */
bool listing_ready(struct listing *l, int *ret_status);
/* Show this column, too, at the end, unless the user said which. After listing_ready. */
void listing_also(struct listing *l, unsigned column);
/* JSON: the beginning of the object; else nothing. */
void listing_begin(const struct listing *l);
/* Rows, sorted if that was asked; in JSON as the member `key`. A table without rows is its headings. */
void listing_print(const struct listing *l, const char *key, const void **rows, size_t count);
void listing_end(const struct listing *l);
/* After a table in the same output: an empty line. */
void listing_gap(const struct listing *l);

/* For whoever shows rows himself: what a table has for a cell, alive as long as *c (other people's bytes); and the order that the listing says. */
const char *listing_shown(const struct listing *l, const void *row, unsigned column, struct cell *c);
void listing_sort(const struct listing *l, const void **rows, size_t count);

/* For cells */
void cell_text(struct cell *c, const char *text); /* NULL: CELL_NONE */
void cell_format(struct cell *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cell_number(struct cell *c, uint64_t number);
void cell_bytes(struct cell *c, uint64_t number); /* UINT64_MAX: CELL_NONE */
void cell_time(struct cell *c, int64_t seconds);  /* since 1970; 0 or less: CELL_NONE */
void cell_reference(struct cell *c, uint64_t ref); /* of an object, or a participant: a table shows 0x...; 0: CELL_NONE */

#endif

/* cmd_show.c - tarn show: what is in a segment, by the fields of the program's own structs; without a name, what there is. Read-only: no byte of it is written.
 *
 * It is done in a child (guard.h), for debugging information may be anybody's. A snapshot, taken without locks: what changes meanwhile may be shown in part. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guard.h"
#include "listing.h"
#include "show.h"
#include "wait.h"

enum { PATIENCE = 120, LIMIT = 16, UNKNOWN_BYTES = 256 }; /* PATIENCE: s of CPU for reading types */
enum { ALL = 'a', WATCH = 'w', LIMIT_TO = 0x3000, FOLLOW, ELF_FILE, TYPE, ENTRY, KEY, AS, COUNT };

#define T COLUMN_SHOWN
#define J COLUMN_JSON
#define R COLUMN_RIGHT

enum { CHANGED, NAME, KIND, TYPE_NAME, VERSION, SIZE, BLOCK, REF, ENTRIES, STATE, COLUMNS };
static const struct column columns[COLUMNS] = {
    [CHANGED] = {"CHANGED", 0, 0, "with --watch: is it other than at the look before?"},
    [NAME] = {"NAME", T | J, 0, "under which it is bound"},
    [KIND] = {"KIND", T | J, 0, "mutex, map, topic, ...: of tarn's own; else struct, the user's"},
    [TYPE_NAME] = {"TYPE", T | J, 0, "as its user's C calls it"},
    [VERSION] = {"VERSION", J | R, 0, "of the type"},
    [SIZE] = {"SIZE", T | J | R, 0, "bytes, of the type"},
    [BLOCK] = {"BLOCK", J | R, 0, "bytes of the block of memory that it lies in"},
    [REF] = {"REF", J | R, 0, "where it is"},
    [ENTRIES] = {"ENTRIES", T | J | R, 0, "of tarn's own: how many there are; of channels messages that wait"},
    [STATE] = {"STATE", T | J, 0, "of tarn's own: what tarn show NAME begins with"},
};

struct row {
    const struct show_name *name;
    const struct show_kind *kind;
    uint64_t block;
    struct node *state; /* NULL: not of ours */
    bool changed;
};

struct job {
    struct show show;
    struct listing listing;
    const char *what; /* the name, or a ref; NULL: all */
    bool watching;
    uint64_t period; /* ns */
    uint64_t count;  /* looks */
    /* the look before */
    struct node *before;
    struct row *rows;
    size_t rows_count;
    struct show_name *rows_names;
};

static void no_memory(void)
{
    complain("show", "no memory for what is to be shown");
    exit(REFUSED);
}

/* ---- all names ---- */

static const struct node *part(const struct node *n, const char *name)
{
    for (size_t k = 0; n && k < n->count; k++)
        if (n->child[k]->name && strcmp(n->child[k]->name, name) == 0)
            return n->child[k];
    return NULL;
}

static void cell_of(const void *at, unsigned column, void *context, struct cell *c)
{
    const struct row *r = at;
    const struct node *count = part(r->state, "count");
    (void)context;
    switch (column) {
    case CHANGED:
        c->kind = CELL_TRUTH;
        c->number = r->changed;
        break;
    case NAME: cell_text(c, r->name->name); break;
    case KIND: cell_text(c, r->kind ? show_kind_name(r->kind) : "struct"); break;
    case TYPE_NAME: cell_text(c, r->name->type); break;
    case VERSION: cell_number(c, r->name->version); break;
    case SIZE: cell_bytes(c, r->name->size); break;
    case BLOCK: cell_bytes(c, r->block ? r->block : UINT64_MAX); break;
    case REF: cell_reference(c, r->name->ref); break;
    case ENTRIES:
        if (count && count->text)
            cell_number(c, strtoull(count->text, NULL, 10));
        break;
    case STATE: cell_text(c, r->state ? r->state->text : NULL); break;
    }
}

static void forget_rows(struct row *rows, size_t count)
{
    for (size_t k = 0; k < count; k++)
        node_free(rows[k].state);
    free(rows);
}

static bool same_row(const struct row *a, const struct row *b)
{
    return a->name->ref == b->name->ref && a->name->size == b->name->size &&
           strcmp(a->name->type, b->name->type) == 0 &&
           strcmp(a->state && a->state->text ? a->state->text : "",
                  b->state && b->state->text ? b->state->text : "") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name->name, ((const struct row *)b)->name->name);
}

static void compare_rows(const struct job *j, struct row *rows, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const struct row *old =
            j->rows_count ? bsearch(&rows[k], j->rows, j->rows_count, sizeof *rows, by_name) : NULL;
        rows[k].changed = j->rows && (!old || !same_row(old, &rows[k]));
    }
}

static struct row *make_rows(struct show *s)
{
    struct row *rows = calloc(s->names_count + 1, sizeof *rows);
    uint64_t limit = s->limit;
    if (!rows)
        no_memory();
    s->limit = 0; /* entries are counted alone */
    for (size_t k = 0; k < s->names_count; k++) {
        struct row *r = &rows[k];
        r->name = &s->names[k];
        r->block = tarn_block_size(s->seg, r->name->ref);
        r->kind = show_kind_of(r->name->type, r->name->size);
        if (r->kind)
            show_kind(s, r->state = node_new(NULL, NULL), r->kind, r->name->name, r->name->ref);
    }
    s->limit = limit;
    qsort(rows, s->names_count, sizeof *rows, by_name);
    return rows;
}

static void print_rows(struct job *j)
{
    struct show *s = &j->show;
    struct row *rows = make_rows(s);
    const void **at = calloc(s->names_count + 1, sizeof *at);
    if (!at)
        no_memory();
    compare_rows(j, rows, s->names_count);
    for (size_t k = 0; k < s->names_count; k++)
        at[k] = &rows[k];
    listing_begin(&j->listing);
    listing_print(&j->listing, "objects", at, s->names_count);
    listing_end(&j->listing);
    free(at);
    forget_rows(j->rows, j->rows_count);
    for (size_t k = 0; k < j->rows_count; k++) {
        free(j->rows_names[k].name);
        free(j->rows_names[k].type);
    }
    free(j->rows_names);
    j->rows = rows;
    j->rows_count = s->names_count;
    j->rows_names = s->names; /* the rows lead there */
    s->names = NULL;
    s->names_count = 0;
}

/* ---- one object ---- */

struct target {
    const char *name, *type_name; /* NULL: none */
    tarn_ref ref;
    uint64_t size;
};

static bool find_target(struct job *j, struct target *ret, int *ret_status)
{
    struct show *s = &j->show;
    const struct show_name *n = show_named(s, j->what);
    uint64_t ref;
    if (n) {
        *ret = (struct target){n->name, s->type ? s->type : n->type, n->ref, n->size};
        return true;
    }
    if (!parse_number(j->what, 0, UINT64_MAX, &ref)) {
        complain(s->c->name, "%s: no object has the name \"%s\"; tarn show %s lists those that there are",
                 s->url, j->what, s->url);
        *ret_status = WRONG;
        return false;
    }
    if (!ref || !tarn_ptr(s->seg, ref, 1)) {
        complain(s->c->name, "%s: %s lies not in its data: tarn show -o REF,NAME %s tells where objects are",
                 s->url, j->what, s->url);
        *ret_status = WRONG;
        return false;
    }
    *ret = (struct target){NULL, s->type, ref, tarn_block_size(s->seg, ref)};
    if (!ret->size && !s->type)
        ret->size = UNKNOWN_BYTES;
    return true;
}

/* --type of a ref is all that is known of it; of a name its type may also be smaller than what was bound: there is more behind it. */
static const struct type *type_of(struct job *j, struct target *t)
{
    struct show *s = &j->show;
    const struct type *type = t->type_name ? show_type(s, t->type_name, s->type ? 0 : t->size, true) : NULL;
    if (type && !type->size && type_bare(type)->kind != TYPE_STRUCT) {
        complain(s->c->name, "\"%s\" has no size of which bytes could be shown", t->type_name);
        s->status = WRONG;
        return NULL;
    }
    if (type && t->name && type->size > t->size) {
        complain(s->c->name, "\"%s\" has %" PRIu64 " bytes, and %s %" PRIu64 ": what is behind those is another's",
                 t->type_name, type->size, t->name, t->size);
        s->status = WRONG;
        return NULL;
    }
    if (type && type->size > t->size)
        t->size = type->size;
    return type;
}

static struct node *make_node(struct job *j, struct target *t)
{
    struct show *s = &j->show;
    const struct show_kind *kind =
        t->type_name ? show_kind_of(t->type_name, s->type && !t->name ? 0 : t->size) : NULL;
    const struct type *type = kind ? NULL : type_of(j, t);
    char text[256];
    size_t size;
    show_first_time(s, t->ref);
    if (type)
        type_text(type, text, sizeof text);
    struct node *n = node_new(t->name ? t->name : j->what, type ? text : t->type_name);
    if (kind && (!show_kind_needs_name(kind) || t->name)) {
        show_kind(s, n, kind, t->name, t->ref);
        return n;
    }
    char *copy = show_copy(s, t->ref, t->size, &size);
    if (!copy)
        node_text(n, "not in the segment");
    else if (type)
        show_value(s, n, type, copy, size, t->ref, s->follow);
    else
        show_hex(s, n, copy, size, t->ref);
    free(copy);
    return n;
}

static void print_json_object(const struct job *j, const struct target *t, const struct node *n)
{
    fputs("{\n  \"name\": ", stdout);
    if (t->name)
        print_json_string(t->name);
    else
        fputs("null", stdout);
    fputs(", \"type\": ", stdout);
    if (n->type)
        print_json_string(n->type);
    else
        fputs("null", stdout);
    printf(", \"ref\": %" PRIu64 ", \"size\": %" PRIu64 ",\n", t->ref, t->size);
    if (j->watching) {
        fputs("  \"changed\": ", stdout);
        node_print_changes(n);
        fputs(",\n", stdout);
    }
    fputs("  \"value\": ", stdout);
    node_print(n, NODE_JSON, false, false);
    puts("\n}");
}

static bool in_colour(void)
{
    const char *none = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(none && *none);
}

static bool print_object(struct job *j, int *ret_status)
{
    struct target t;
    if (!find_target(j, &t, ret_status))
        return false;
    struct node *n = make_node(j, &t);
    if (j->before)
        node_compare(n, j->before);
    if (j->listing.json)
        print_json_object(j, &t, n);
    else
        node_print(n, j->listing.raw ? NODE_RAW : NODE_C, j->watching, in_colour());
    node_free(j->before);
    j->before = n;
    return true;
}

/* ---- looks ---- */

static bool look(struct job *j, int *ret_status)
{
    struct show *s = &j->show;
    bool good = show_look(s, ret_status);
    if (good && j->what)
        good = print_object(j, ret_status);
    else if (good)
        print_rows(j);
    show_forget(s);
    return good;
}

static int watch(struct job *j)
{
    int status = DONE;
    uint64_t next = now_ns();
    stop_by_signals();
    stop_with_reader();
    for (uint64_t k = 0; !stopped && k < j->count; k++) {
        if (k && !j->listing.json)
            putchar('\n');
        if (!look(j, &status))
            return status;
        if (k == 0)
            guard_lift(); /* the types have been read */
        fflush(stdout);
        next += j->period;
        if (k + 1 < j->count)
            sleep_until(next);
    }
    return j->show.status;
}

static int do_job(struct job *j)
{
    struct show *s = &j->show;
    int status = DONE;
    if (!attach(s->c, s->url, &s->seg, &status))
        return status;
    if (j->watching)
        status = watch(j);
    else if (look(j, &status))
        status = s->status;
    node_free(j->before);
    forget_rows(j->rows, j->rows_count);
    for (size_t k = 0; k < j->rows_count; k++) {
        free(j->rows_names[k].name);
        free(j->rows_names[k].type);
    }
    free(j->rows_names);
    show_close(s);
    return status;
}

/* ---- arguments ---- */

static const struct option names[] = {{"all", no_argument, NULL, ALL},
                                      {"limit", required_argument, NULL, LIMIT_TO},
                                      {"follow", required_argument, NULL, FOLLOW},
                                      {"elf", required_argument, NULL, ELF_FILE},
                                      {"type", required_argument, NULL, TYPE},
                                      {"entry", required_argument, NULL, ENTRY},
                                      {"key", required_argument, NULL, KEY},
                                      {"as", required_argument, NULL, AS},
                                      {"watch", optional_argument, NULL, WATCH},
                                      {"count", required_argument, NULL, COUNT},
                                      LISTING_OPTIONS,
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static bool parse_seconds(const char *text, double *ret)
{
    char *end;
    *ret = strtod(text, &end);
    return text[0] >= '0' && text[0] <= '9' && !*end;
}

/* --watch 2 as well as --watch=2: what is behind it is a number, or belongs to somebody else. */
static int take_period(struct job *j, const struct command *c, int argc, char **argv)
{
    const char *value = optarg;
    double seconds = 1;
    j->watching = true;
    if (!value && optind < argc && parse_seconds(argv[optind], &seconds))
        value = argv[optind++];
    if (value && (!parse_seconds(value, &seconds) || !(seconds >= 0.1 && seconds <= 86400)))
        return misused(c, "--watch %s: it is a number of seconds, from 0.1 to 86400", value);
    j->period = (uint64_t)(seconds * SECOND_NS);
    return DONE;
}

static int take_hint(struct show *s, const char *value)
{
    const char *equals = strchr(value, '=');
    struct show_hint *h;
    if (!equals || equals == value || !equals[1])
        return misused(s->c, "--as %s: it is FIELD=TYPE, as --as 'next=struct job'", value);
    if (!(h = one_more(&s->hints, &s->hints_count, sizeof *h)) || !(h->field = strdup(value)))
        no_memory();
    h->field[equals - value] = 0;
    h->type = h->field + (equals - value) + 1;
    return DONE;
}

static int take_option(struct job *j, int option, int argc, char **argv)
{
    struct show *s = &j->show;
    int status = DONE;
    switch (option) {
    case ALL: s->all = true; break;
    case LIMIT_TO: return take_count(s->c, "--limit", optarg, "elements", NODES_MOST, &s->limit);
    case FOLLOW: return take_count(s->c, "--follow", optarg, "levels", 1000, &s->follow);
    case COUNT: return take_count(s->c, "--count", optarg, "looks", UINT64_MAX, &j->count);
    case ELF_FILE: s->elf = optarg; break;
    case TYPE: s->type = optarg; break;
    case ENTRY: s->entry = optarg; break;
    case KEY: s->key = optarg; break;
    case AS: return take_hint(s, optarg);
    case WATCH: return take_period(j, s->c, argc, argv);
    default: listing_option(&j->listing, option, &status);
    }
    return status;
}

static int check_arguments(struct job *j, int argc, char **argv)
{
    struct show *s = &j->show;
    int status = DONE;
    if (argc - optind < 1)
        return misused(s->c, "no URL: say which segment, as posix:/name");
    if (argc - optind > 2)
        return misused(s->c, "\"%s\" is one argument too many: one object at a time", argv[optind + 2]);
    s->url = argv[optind];
    j->what = argv[optind + 1];
    if (!j->what && (s->elf || s->type || s->entry || s->key || s->follow || s->all || s->hints_count))
        return misused(
            s->c, "--elf, --type, --entry, --key, --as, --follow and --all are of one object: say which");
    if (j->what && (j->listing.output || j->listing.sort || j->listing.bare || j->listing.bytes))
        return misused(s->c, "-o, --sort, --no-headings and -b are of the list of names: without \"%s\", please",
                       j->what);
    if (!j->watching && j->count != UINT64_MAX)
        return misused(s->c, "--count is of --watch");
    if (!listing_ready(&j->listing, &status))
        return status;
    if (j->watching)
        listing_also(&j->listing, CHANGED);
    return DONE;
}

static int take_arguments(struct job *j, int argc, char **argv)
{
    int option, status = DONE;
    while ((option = next_option(j->show.c, argc, argv, ":ahw::" LISTING_LETTERS, names, &status)) >= 0) {
        if (option == ENDED)
            return status | ENDED;
        if ((status = take_option(j, option, argc, argv)) != DONE)
            return status;
    }
    return check_arguments(j, argc, argv);
}

static int run(const struct command *c, int argc, char **argv)
{
    struct job j = {.show = {.c = c, .limit = LIMIT},
                    .listing = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell_of},
                    .period = SECOND_NS,
                    .count = UINT64_MAX};
    int status = take_arguments(&j, argc, argv);
    if (status == DONE && guard(c, j.show.url, PATIENCE, &status))
        status = do_job(&j);
    for (size_t k = 0; k < j.show.hints_count; k++)
        free(j.show.hints[k].field);
    free(j.show.hints);
    return status & ~ENDED;
}

const struct command cmd_show = {
    .name = "show",
    .arguments = "[OPTION...] URL [NAME | REF]",
    .summary = "show what is in a segment, by the fields of its program's structs",
    .help = "  -a, --all            arrays, texts and entries to their end\n"
            "      --limit N        so many elements of an array, and entries (16)\n"
            "      --follow N       refs, too, to what they lead to, N levels deep\n"
            "      --as FIELD=TYPE  refs in fields of this name lead to this type\n"
            "      --elf FILE       types from this program, library or .debug file, and not from the "
            "program that made "
            "the segment\n"
            "      --type TYPE      it is of this type: 'struct point', point_t, 'int[4]'\n"
            "      --entry TYPE     of a map, tree, vector, queue, topic, ...: what is in it is of this "
            "type; of a list "
            "TYPE.MEMBER\n"
            "      --key TYPE       of a map or tree: the keys\n"
            "  -w, --watch[=S]      again every S seconds (1), with a * at what has changed\n"
            "      --count N        end after N looks\n" LISTING_HELP
            "Without a name or a ref (a number): all names, to which -o, --sort, -b and --no-headings "
            "belong. URL is posix:/NAME, sysv:KEY or "
            "file:PATH, or\n"
            "for a segment without a name /proc/PID/fd/N or fd:N. It is attached read-only.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

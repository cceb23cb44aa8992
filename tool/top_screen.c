/* top_screen.c - the screen of tarn top, by ncurses. What names hold is made harmless, and cut to the screen by what its characters take there. */
#define NCURSES_WIDECHAR 1
#include <curses.h>

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <wchar.h>

#include "top.h"
#include "wait.h"

enum { HEAD = 3, MOST_EMPTY = 3 };
enum { PLAIN, GOOD, BAD }; /* colours */

struct screen {
    const struct top_request *r;
    struct top t;
    const void **rows;
    size_t from; /* the first row that is shown */
    unsigned shown[MOST_COLUMNS], widths[MOST_COLUMNS], count;
    bool help, chosen; /* chosen: the user said which columns */
};

/* ---- text ---- */

static int width_of(const char *text)
{
    int width = 0, one;
    wchar_t wide;
    mbstate_t state = {0};
    for (size_t n; *text; text += n) {
        n = mbrtowc(&wide, text, strlen(text), &state);
        if (n == (size_t)-1 || n == (size_t)-2) { /* not in this locale */
            memset(&state, 0, sizeof state);
            n = 1;
            wide = L'?';
        }
        one = wcwidth(wide);
        width += one > 0 ? one : 0;
    }
    return width;
}

/* So many columns of it at most; what is cut off ends in >. How many were taken. */
static int put(const char *text, int most)
{
    int at = 0, all = width_of(text), one;
    wchar_t wide[2] = {0};
    mbstate_t state = {0};
    for (size_t n; *text && at < most; text += n) {
        n = mbrtowc(wide, text, strlen(text), &state);
        if (n == (size_t)-1 || n == (size_t)-2) {
            memset(&state, 0, sizeof state);
            n = 1;
            wide[0] = L'?';
        }
        one = wcwidth(wide[0]);
        if (one < 0)
            wide[0] = L'?', one = 1;
        if (all > most && at + one >= most) {
            addwstr(L">");
            return at + 1;
        }
        addwstr(wide);
        at += one;
    }
    return at;
}

static void put_cell(const char *text, unsigned width, bool right)
{
    int taken = width_of(text), pad = taken < (int)width ? (int)width - taken : 0;
    if (right)
        printw("%*s", pad, "");
    put(text, (int)width);
    if (!right)
        printw("%*s", pad, "");
}

/* ---- columns ---- */

/* More where there is room for more; NAME is the last, and has what is left. */
static void choose_columns(struct screen *s)
{
    static const char *const wide[] = {"OWNER", "KIND", "LOCKS", "MODE", "UNDONE"};
    const struct listing *l = s->r->l;
    s->count = l->shown_count;
    memcpy(s->shown, l->shown, l->shown_count * sizeof *l->shown);
    if (s->chosen)
        return;
    unsigned last = s->shown[--s->count];
    if (COLS < 90)
        s->count--; /* MADE-BY */
    for (size_t k = 0; k < sizeof wide / sizeof *wide && COLS >= 110 + 15 * (int)k; k++)
        for (unsigned c = 0; c < l->count; c++)
            if (strcmp(l->columns[c].name, wide[k]) == 0)
                s->shown[s->count++] = c;
    s->shown[s->count++] = last;
}

static const char *shown_cell(const struct screen *s, const void *row, unsigned column, struct cell *c)
{
    return listing_shown(s->r->l, row, column, c);
}

static size_t lines_for_rows(void)
{
    return LINES > HEAD + 1 ? (size_t)(LINES - HEAD - 1) : 0;
}

static void measure(struct screen *s)
{
    struct cell c;
    for (unsigned k = 0; k < s->count; k++) {
        s->widths[k] = (unsigned)strlen(s->r->l->columns[s->shown[k]].name);
        for (size_t n = s->from; n < s->t.count && n < s->from + lines_for_rows(); n++) {
            char *text = harmless(shown_cell(s, s->rows[n], s->shown[k], &c));
            unsigned width = text ? (unsigned)width_of(text) : 0;
            if (width > s->widths[k])
                s->widths[k] = width;
            free(text);
        }
    }
}

/* ---- drawing ---- */

static void colour(int which, bool on)
{
    if (has_colors() && which != PLAIN)
        on ? attron(COLOR_PAIR(which)) : attroff(COLOR_PAIR(which));
}

static int colour_of(const struct top_row *r, const char *column)
{
    if (r->inside.known &&
        (strcmp(column, "DEAD") == 0 ? r->inside.dead != 0 : strcmp(column, "DEATHS") == 0 && r->deaths > 0))
        return BAD;
    return strcmp(column, "GROWTH") == 0 && r->grown && r->growth >= 0.5 ? GOOD : PLAIN;
}

static void draw_line(const struct screen *s, int y, const void *row)
{
    struct cell c;
    int x = 0;
    move(y, 0);
    for (unsigned k = 0; k < s->count && x < COLS; k++) {
        const struct column *column = &s->r->l->columns[s->shown[k]];
        int left = COLS - x, width = (int)s->widths[k] < left ? (int)s->widths[k] : left;
        char *text = row ? harmless(shown_cell(s, row, s->shown[k], &c)) : strdup(column->name);
        bool sorted = !row && (int)s->shown[k] == s->r->l->sorted;
        int which = row ? colour_of(row, column->name) : PLAIN;
        if (sorted)
            attron(A_REVERSE);
        colour(which, true);
        put_cell(text ? text : "", (unsigned)width, column->flags & COLUMN_RIGHT);
        colour(which, false);
        if (sorted)
            attroff(A_REVERSE);
        free(text);
        x += width + 1;
        if (x < COLS)
            addch(' ');
    }
}

static void add_bytes(char *to, size_t size, uint64_t bytes)
{
    char unit;
    double n = in_units(bytes, &unit);
    snprintf(to, size, "%.1f%c", n, unit);
}

static void draw_head(const struct screen *s)
{
    uint64_t size = 0, resident = 0;
    char line[512], a[16], b[16], clock[16];
    time_t now = time(NULL);
    struct tm tm;
    for (size_t k = 0; k < s->t.count; k++) {
        const struct object *o = s->t.rows[k].object;
        size += o->size;
        resident += o->resident != UNKNOWN ? o->resident : 0;
    }
    add_bytes(a, sizeof a, size);
    add_bytes(b, sizeof b, resident);
    if (!localtime_r(&now, &tm) || !strftime(clock, sizeof clock, "%H:%M:%S", &tm))
        clock[0] = 0;
    snprintf(line, sizeof line, "tarn top  %s  every %.1f s  %zu objects of %s, %s in memory", clock,
             (double)s->r->interval / 1e9, s->t.count, a, b);
    attron(A_BOLD);
    mvhline(0, 0, ' ', COLS);
    move(0, 0);
    put(line, COLS);
    attroff(A_BOLD);
}

/* What cannot be seen */
static void draw_blind(const struct screen *s)
{
    char line[512] = "";
    size_t n = 0;
    const struct machine *m = s->t.m;
    if (m->hidden)
        n += (size_t)snprintf(line, sizeof line, "not seen: processes of other users (hidepid)  ");
    else if (m->unread)
        n += (size_t)snprintf(line, sizeof line, "not seen: %zu of %zu processes  ", m->unread, m->processes_count);
    if (m->unread_namespaces)
        n += (size_t)snprintf(line + n, sizeof line - n, "%zu IPC namespaces  ", m->unread_namespaces);
    if (s->t.closed)
        snprintf(line + n, sizeof line - n, "inside %zu segment%s", s->t.closed, s->t.closed == 1 ? "" : "s");
    move(1, 0);
    put(line, COLS);
}

static void draw_foot(const struct screen *s)
{
    char line[512];
    if (s->help)
        snprintf(line, sizeof line,
                 "sort: < > s)ize e) res g)rowth a)tt p)art d)eaths w)aits n)ame  r)everse  q)uit");
    else
        snprintf(line, sizeof line, "%zu-%zu of %zu   ? help   q quit", s->t.count ? s->from + 1 : 0,
                 s->from + lines_for_rows() < s->t.count ? s->from + lines_for_rows() : s->t.count, s->t.count);
    move(LINES - 1, 0);
    put(line, COLS - 1);
}

static void draw(struct screen *s)
{
    size_t lines = lines_for_rows();
    if (s->from + lines > s->t.count)
        s->from = s->t.count > lines ? s->t.count - lines : 0;
    choose_columns(s);
    measure(s);
    erase();
    draw_head(s);
    draw_blind(s);
    attron(A_BOLD);
    draw_line(s, HEAD - 1, NULL);
    attroff(A_BOLD);
    for (size_t k = 0; k < lines && s->from + k < s->t.count; k++)
        draw_line(s, HEAD + (int)k, s->rows[s->from + k]);
    draw_foot(s);
    refresh();
}

/* ---- keys ---- */

static void sort_by(struct screen *s, const char *name)
{
    for (unsigned k = 0; k < s->r->l->count; k++)
        if (strcmp(s->r->l->columns[k].name, name) == 0)
            s->r->l->sorted = (int)k;
    s->r->l->backwards = false;
    s->from = 0;
}

static void sort_beside(struct screen *s, int step)
{
    int at = 0;
    for (unsigned k = 0; k < s->count; k++)
        if ((int)s->shown[k] == s->r->l->sorted)
            at = (int)k;
    at = (at + step + (int)s->count) % (int)s->count;
    s->r->l->sorted = (int)s->shown[at];
    s->from = 0;
}

static bool sort_by_letter(struct screen *s, int key)
{
    static const struct {
        char key;
        const char *column;
    } letters[] = {{'s', "SIZE"}, {'e', "RES"},    {'g', "GROWTH"}, {'a', "ATT"},
                   {'p', "PART"}, {'d', "DEATHS"}, {'w', "WAITS"},  {'n', "NAME"}};
    for (size_t k = 0; k < sizeof letters / sizeof *letters; k++)
        if (key == letters[k].key) {
            sort_by(s, letters[k].column);
            return true;
        }
    return false;
}

static void scroll_by(struct screen *s, long by)
{
    s->from = by < 0 && (size_t)-by > s->from ? 0 : (size_t)((long)s->from + by);
}

enum act { NOTHING, LOOK, QUIT };

static enum act on_key(struct screen *s, int key)
{
    long page = (long)lines_for_rows();
    switch (key) {
    case 'q':
    case 'Q': return QUIT;
    case ' ': return LOOK;
    case '<': sort_beside(s, -1); break;
    case '>': sort_beside(s, 1); break;
    case 'r': s->r->l->backwards = !s->r->l->backwards; break;
    case '?':
    case 'h': s->help = !s->help; break;
    case KEY_UP: scroll_by(s, -1); break;
    case KEY_DOWN: scroll_by(s, 1); break;
    case KEY_PPAGE: scroll_by(s, -page); break;
    case KEY_NPAGE: scroll_by(s, page); break;
    case KEY_HOME: s->from = 0; break;
    case KEY_END: s->from = s->t.count; break;
    case KEY_RESIZE: clear(); break;
    default: sort_by_letter(s, key);
    }
    return NOTHING;
}

static bool sort(struct screen *s)
{
    free(s->rows);
    s->rows = top_sorted(&s->t, s->r->l);
    return s->rows != NULL;
}

/* Keys until the next look is due. false: it is over. A terminal that is gone has no keys, at once. */
static bool wait_for_keys(struct screen *s)
{
    uint64_t until = s->t.at + s->r->interval;
    int empty = 0;
    for (uint64_t now; !stopped && (now = now_ns()) < until;) {
        uint64_t left = (until - now + 999999) / 1000000;
        timeout((int)left);
        int key = getch();
        if (key == ERR) {
            if (!stopped && now_ns() - now < left * 500000 && ++empty > MOST_EMPTY)
                return false;
            continue;
        }
        empty = 0;
        enum act act = on_key(s, key);
        if (act != NOTHING)
            return act == LOOK;
        if (!sort(s))
            return false;
        draw(s);
    }
    return !stopped;
}

/* ---- the screen ---- */

static bool begin(const struct command *c, SCREEN **ret)
{
    const char *none = getenv("NO_COLOR");
    *ret = newterm(NULL, stdout, stdin);
    if (!*ret) {
        complain(c->name, "no terminal that it knows (TERM): say -b");
        return false;
    }
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    if ((!none || !*none) && has_colors() && start_color() == OK) {
        use_default_colors();
        init_pair(GOOD, COLOR_YELLOW, -1);
        init_pair(BAD, COLOR_RED, -1);
    }
    return true;
}

int top_screen(const struct top_request *r)
{
    struct screen s = {.r = r, .chosen = r->l->output != NULL};
    SCREEN *terminal;
    int error = 0;
    r->l->context = &s.t;
    if (!begin(r->c, &terminal))
        return REFUSED;
    for (uint64_t turn = 1; !stopped; turn++) {
        if (!top_look(&s.t) || !sort(&s)) {
            error = errno ? errno : ENOMEM;
            break;
        }
        draw(&s);
        if ((r->count && turn == r->count) || !wait_for_keys(&s))
            break;
    }
    endwin();
    delscreen(terminal);
    free(s.rows);
    top_free(&s.t);
    if (error)
        complain(r->c->name, "no look at /proc: %s", strerror(error));
    return error ? REFUSED : DONE;
}

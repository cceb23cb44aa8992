/* locks.c - the wait-for graph, see locks.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "locks.h"

/* ---- words ---- */

const char *place_text(const struct members *l, tarn_ref ref, char to[static 352])
{
    char name[320];
    snprintf(to, 352, *name_at(l, ref, name) ? "%#" PRIx64 ", %s" : "%#" PRIx64, ref, name);
    return to;
}

const char *who_text(const struct members *l, struct machine *m, uint32_t id, char to[static 160])
{
    const struct member *p = member_of(l, id);
    const char *command = p && p->pid ? pid_command(m, p->pid) : NULL;
    if (command && *command)
        snprintf(to, 160, "%#x (pid %u, %s)", id, p->pid, command);
    else if (p)
        snprintf(to, 160, "%#x (pid %u)", id, p->pid ? p->pid : p->told.pid);
    else
        snprintf(to, 160, "%#x", id);
    return to;
}

/* ---- circles ---- */

static int by_circle(const void *a, const void *b)
{
    const struct tarn_waiting *x = *(const struct tarn_waiting *const *)a,
                              *y = *(const struct tarn_waiting *const *)b;
    return x->circle != y->circle ? (x->circle < y->circle ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

/* The library numbers whole knots, in which several circles may hang together. From one of a knot's waits on, each to the first of its holder's, until somebody comes
 * again: the steps of that round. at: the knot's waits, by who waits. */
static size_t go_round(const struct tarn_waiting *const *at, size_t count, const struct tarn_waiting **steps)
{
    size_t n = 0;
    for (const struct tarn_waiting *const *w = at; w; n++) {
        const struct tarn_waiting key = {.circle = (*at)->circle, .id = (*w)->holder}, *k = &key;
        for (size_t from = 0; from < n; from++)
            if (steps[from]->id == (*w)->id) {
                memmove(steps, steps + from, (n - from) * sizeof *steps);
                return n - from;
            }
        steps[n] = *w;
        w = bsearch(&k, at, count, sizeof *at, by_circle);
    }
    return 0; /* what was seen was never there at one time */
}

static char *story_of(const struct members *l, struct machine *m, const struct tarn_waiting *const *steps,
                      size_t count)
{
    char *story = NULL, who[160], place[352];
    size_t size;
    FILE *f = open_memstream(&story, &size);
    if (!f)
        return NULL;
    fputs(who_text(l, m, steps[0]->id, who), f);
    for (size_t k = 0; k < count; k++)
        fprintf(f, " waits for %s, which %s has%s", place_text(l, steps[k]->ref, place),
                who_text(l, m, steps[k]->holder, who), k + 1 < count ? ", who" : "");
    if (fclose(f) == 0)
        return story;
    free(story);
    return NULL;
}

static bool add_circle(struct inside_locks *s, struct machine *m, const struct tarn_waiting *const *at,
                       size_t count, const struct tarn_waiting **steps)
{
    size_t n = go_round(at, count, steps);
    struct circle *c;
    if (!n)
        return true;
    if (!(c = one_more(&s->circles, &s->circles_count, sizeof *c)))
        return false;
    *c = (struct circle){.number = (*at)->circle, .length = (uint32_t)n, .object = s->object};
    for (size_t k = 0; k < n; k++)
        c->timed += steps[k]->timed;
    return (c->story = story_of(&s->members, m, steps, n));
}

bool find_circles(struct inside_locks *s, struct machine *m)
{
    const struct members *l = &s->members;
    const struct tarn_waiting **at = malloc((l->waits_count + 1) * sizeof *at),
                              **steps = malloc((l->waits_count + 1) * sizeof *steps);
    bool good = at && steps;
    size_t count = 0;
    for (size_t k = 0; good && k < l->waits_count; k++)
        if (l->waits[k].circle)
            at[count++] = &l->waits[k];
    if (good && count)
        qsort(at, count, sizeof *at, by_circle);
    for (size_t k = 0, n; good && k < count; k += n) {
        for (n = 1; k + n < count && at[k + n]->circle == at[k]->circle; n++)
            ;
        good = add_circle(s, m, at + k, n, steps);
    }
    free(at);
    free(steps);
    return good;
}

void circles_free(struct inside_locks *s)
{
    for (size_t k = 0; k < s->circles_count; k++)
        free(s->circles[k].story);
    free(s->circles);
    s->circles = NULL;
    s->circles_count = 0;
}

/* ---- as text ---- */

/* A line; names are other people's bytes. */
static void __attribute__((format(printf, 2, 3))) put(unsigned depth, const char *format, ...)
{
    char *said = NULL, *shown = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&said, format, list) >= 0)
        shown = harmless(said);
    va_end(list);
    printf("%*s%s\n", (int)(2 * depth), "", shown ? shown : "(no memory)");
    free(shown);
    free(said);
}

struct drawing {
    const struct members *l;
    struct machine *m;
    bool *drawn; /* of each member */
};

static void draw_waiters(struct drawing *d, uint32_t id, tarn_ref ref, unsigned depth);

static void draw_locks(struct drawing *d, uint32_t id, unsigned depth)
{
    size_t count;
    const struct tarn_lock *lock = locks_of(d->l, id, &count);
    char place[352];
    for (size_t k = 0; k < count; k++) {
        if (!is_had(&lock[k]))
            continue;
        put(depth, "has %s %s%s%s", lock_kind(lock[k].kind), place_text(d->l, lock[k].ref, place),
            lock[k].deferred ? ", until its section ends" : "",
            lock[k].dirty ? ", which came from a dead one" : "");
        draw_waiters(d, id, lock[k].ref, depth + 1);
    }
}

/* What it has, under it; under that, who waits for it. w: why it is drawn here. */
static void draw(struct drawing *d, const struct member *p, const struct tarn_waiting *w, unsigned depth)
{
    const char *state = member_state(p);
    bool *drawn = &d->drawn[p - d->l->list];
    char who[160];
    put(depth, "%s%s%s%s%s%s", who_text(d->l, d->m, p->told.id, who), strcmp(state, "live") ? ", " : "",
        strcmp(state, "live") ? state : "", w ? " waits" : "",
        w && w->timed ? ", and gives up by itself" : "", *drawn ? ": see above" : "");
    if (*drawn)
        return;
    *drawn = true;
    draw_locks(d, p->told.id, depth + 1);
}

static void draw_waiters(struct drawing *d, uint32_t id, tarn_ref ref, unsigned depth)
{
    size_t count;
    const struct tarn_waiting *w = waiters_of(d->l, id, ref, &count);
    for (size_t k = 0; k < count; k++) {
        const struct member *p = member_of(d->l, w[k].id);
        if (p)
            draw(d, p, &w[k], depth);
    }
}

/* It waits for nobody who was seen: all that hangs on it is drawn from here. */
static bool is_root(const struct members *l, const struct member *p)
{
    size_t count;
    locks_of(l, p->told.id, &count);
    return (count || p->waits.id) && (!p->waits.holder || !member_of(l, p->waits.holder));
}

static void draw_root(struct drawing *d, const struct member *p)
{
    char place[352];
    draw(d, p, NULL, 0);
    if (p->waits.id && !p->waits.holder)
        put(1, "waits for %s, of nobody in particular%s", place_text(d->l, p->waits.ref, place),
            p->waits.timed ? ", and gives up by itself" : "");
}

static void print_circles(const struct inside_locks *s)
{
    for (size_t k = 0; k < s->circles_count; k++) {
        const struct circle *c = &s->circles[k];
        put(0, "circle %u: %s%s", c->number, c->story, c->timed ? "; of these some give up by themselves" : "");
    }
}

void print_graph(const struct inside_locks *s, struct machine *m, bool heading)
{
    const struct members *l = &s->members;
    struct drawing d = {l, m, calloc(l->count + 1, sizeof(bool))};
    if (heading)
        put(0, "%s", s->object->name);
    for (size_t k = 0; d.drawn && k < l->count; k++)
        if (is_root(l, &l->list[k]) && !d.drawn[k])
            draw_root(&d, &l->list[k]);
    for (size_t k = 0; d.drawn && k < l->count; k++) /* in circles */
        if (l->list[k].waits.id && !d.drawn[k])
            draw(&d, &l->list[k], NULL, 0);
    free(d.drawn);
    print_circles(s);
}

/* ---- for Graphviz ---- */

/* A string of its language: quoted, and nothing in it that it would take for more than text. */
static void put_quoted(const char *text)
{
    char *shown = harmless(text);
    putchar('"');
    for (const char *at = shown ? shown : ""; *at; at++) {
        if (*at == '"' || *at == '\\')
            putchar('\\');
        putchar(*at);
    }
    putchar('"');
    free(shown);
}

static const char *const red = ", color=red, penwidth=2";

static void dot_participant(const struct members *l, struct machine *m, const struct member *p, size_t n)
{
    const char *state = member_state(p),
               *look = strcmp(state, "stopped") == 0 ? ", style=filled, fillcolor=khaki"
                       : strcmp(state, "dead") == 0  ? ", style=\"filled,dashed\", fillcolor=gray"
                                                     : "";
    char who[160], text[192];
    snprintf(text, sizeof text, "%s%s%s", who_text(l, m, p->told.id, who), strcmp(state, "live") ? ", " : "",
             strcmp(state, "live") ? state : "");
    printf("    p%zu_%x [shape=box%s, label=", n, p->told.id, look);
    put_quoted(text);
    puts("];");
}

static void dot_lock(const struct members *l, size_t n, tarn_ref ref)
{
    char place[352];
    printf("    l%zu_%" PRIx64 " [shape=ellipse, label=", n, ref);
    put_quoted(place_text(l, ref, place));
    puts("];");
}

/* From a lock to who has it. */
static void dot_had(const struct members *l, size_t n, uint32_t id, tarn_ref ref, const char *kind)
{
    size_t count;
    const struct tarn_waiting *w = waiters_of(l, id, ref, &count);
    bool circle = false;
    for (size_t k = 0; k < count; k++)
        circle |= w[k].circle != 0;
    dot_lock(l, n, ref);
    printf("    l%zu_%" PRIx64 " -> p%zu_%x [label=\"%s\"%s];\n", n, ref, n, id, kind, circle ? red : "");
}

static void dot_segment(const struct inside_locks *s, struct machine *m, size_t n)
{
    const struct members *l = &s->members;
    printf("  subgraph cluster_%zu {\n    label=", n);
    put_quoted(s->object->name);
    puts(";");
    for (size_t k = 0; k < l->count; k++) {
        size_t count;
        locks_of(l, l->list[k].told.id, &count);
        if (count || l->list[k].waits.id)
            dot_participant(l, m, &l->list[k], n);
    }
    for (size_t k = 0; k < l->locks_count; k++)
        if (is_had(&l->locks[k]))
            dot_had(l, n, l->locks[k].id, l->locks[k].ref, lock_kind(l->locks[k].kind));
    for (size_t k = 0; k < l->waits_count; k++) {
        const struct tarn_waiting *w = &l->waits[k];
        dot_lock(l, n, w->ref);
        printf("    p%zu_%x -> l%zu_%" PRIx64 " [style=dashed, label=\"waits%s\"%s];\n", n, w->id, n, w->ref,
               w->timed ? ", gives up by itself" : "", w->circle ? red : "");
    }
    puts("  }");
}

/* strict: who waits for several at one lock has one arrow. */
void print_dot(const struct inside_locks *all, size_t count, struct machine *m)
{
    puts("strict digraph locks {\n  rankdir=LR;");
    for (size_t k = 0; k < count; k++)
        dot_segment(&all[k], m, k);
    puts("}");
}

/* torture_report.c - what tarn torture tells: the first violation with all that is known of it, the others in a line, the score. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "torture.h"

static const char *const deed_name[] = {"", "kill", "stop", "exec", "enospc"};
static const char *const deeds_name[] = {"", "kills", "stops", "execs", "failed commits"};
static const char *const done_name[] = {"", "killed", "stopped", "made to exec", "refused memory"};

static size_t covered(const struct torture *t)
{
    size_t count = 0;
    for (size_t k = 0; k < t->used_count; k++)
        count += t->used[k].points != 0;
    return count;
}

void torture_progress(const struct torture *t, bool last)
{
    if (isatty(STDERR_FILENO) && (t->tried || last))
        fprintf(stderr, "\rtarn %s: %" PRIu64 " points of at most %" PRIu64 ", %" PRIu64 " violations%s",
                t->command->name, t->tried,
                t->at                  ? 1
                : t->deed == DEED_FAIL ? t->enospc
                                       : t->points + t->random,
                t->violations_count, last ? "\n" : "");
}

/* ---- the command that does it again ---- */

static void add_word(FILE *to, const char *word)
{
    if (*word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+@%=,") ==
                     strlen(word)) {
        fputs(word, to);
        return;
    }
    fputc('\'', to);
    for (; *word; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){*word, 0}, to);
    fputc('\'', to);
}

static void add_option(FILE *to, const char *name, const char *value)
{
    if (!value)
        return;
    fprintf(to, " %s ", name);
    add_word(to, value);
}

static char *command_for(const struct torture *t, const char *point)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    fputs("tarn torture", to);
    add_option(to, "--setup", t->setup);
    add_option(to, "--check", t->check);
    add_option(to, "--segment", t->segment);
    if (t->deed == DEED_EXEC)
        fputs(" --exec", to);
    if (t->deed == DEED_STOP)
        fprintf(to, " --stop --stop-ms %" PRIu64, t->stop_ms);
    if (t->timeout_given)
        fprintf(to, " --timeout %" PRIu64, t->timeout_given);
    if (t->stuck_ok)
        fputs(" --stuck-ok", to);
    fprintf(to, " --at ");
    add_word(to, point);
    fputs(" --", to);
    for (char **word = t->argv; *word; word++) {
        fputc(' ', to);
        add_word(to, *word);
    }
    fclose(to);
    return text;
}

/* ---- as text ---- */

static void print_line(const char *label, const char *text)
{
    char *shown = text ? harmless(text) : NULL;
    if (shown)
        printf("  %-10s %s\n", label, shown);
    free(shown);
}

static void print_first(const struct torture *t, const struct violation *v)
{
    char *command = command_for(t, v->point);
    printf("Something was wrong after %s %" PRIu64 ":\n", deed_name[t->deed], v->number);
    print_line(done_name[t->deed], v->point);
    printf("  %-10s process %d, thread %d\n", "", (int)v->pid, (int)v->tid);
    print_line("before", v->where);
    print_line("called by", v->own);
    for (size_t k = 0; k < v->wrong.count; k++)
        print_line(k ? "" : "wrong", v->wrong.text[k]);
    print_line("repeat", command);
    if (v->why)
        printf("What happened there, by tarn why:\n%s", v->why);
    free(command);
}

static void print_other(const struct violation *v)
{
    char *shown = harmless(v->wrong.count && v->wrong.text[0] ? v->wrong.text[0] : "");
    printf("also after %s: %s\n", v->point, shown ? shown : "");
    free(shown);
}

static void print_score(const struct torture *t)
{
    printf("points %" PRIu64 ", %s %" PRIu64 ", checks %" PRIu64 ", violations %" PRIu64, t->tried,
           deeds_name[t->deed], t->deeds, t->checks, t->violations_count);
    if (t->missed)
        printf("; not come to again %" PRIu64, t->missed);
    printf("; functions covered %zu of the %zu that it calls", covered(t), t->used_count);
    const char *before = ", not ";
    for (size_t k = 0; k < t->used_count; k++)
        if (!t->used[k].points) {
            printf("%s%s", before, t->used[k].function);
            before = ", ";
        }
    putchar('\n');
}

/* ---- as JSON ---- */

static void json_text(const char *key, const char *text, const char *behind)
{
    printf("\"%s\": ", key);
    if (text)
        print_json_string(text);
    else
        fputs("null", stdout);
    fputs(behind, stdout);
}

static void json_violation(const struct torture *t, const struct violation *v)
{
    char *command = command_for(t, v->point);
    fputs("{", stdout);
    json_text("point", v->point, ", ");
    printf("\"number\": %" PRIu64 ", \"pid\": %d, \"tid\": %d, ", v->number, (int)v->pid, (int)v->tid);
    json_text("before", v->where, ", ");
    json_text("called_by", v->own, ", \"wrong\": [");
    for (size_t k = 0; k < v->wrong.count; k++) {
        fputs(k ? ", " : "", stdout);
        print_json_string(v->wrong.text[k] ? v->wrong.text[k] : "");
    }
    fputs("], ", stdout);
    json_text("repeat", command, ", \"why\": ");
    printf("%s}", v->why ? v->why : "null");
    free(command);
}

static void json_report(const struct torture *t)
{
    printf("{\"deed\": \"%s\", \"seed\": %" PRIu64 ", \"points\": %" PRIu64 ", \"missed\": %" PRIu64
           ", \"deeds\": %" PRIu64 ", \"checks\": %" PRIu64 ", \"violations\": %" PRIu64
           ", \"functions_used\": %zu, \"functions_covered\": %zu, ",
           deed_name[t->deed], t->seed, t->tried, t->missed, t->deeds, t->checks, t->violations_count,
           t->used_count, covered(t));
    fputs("\"functions\": [", stdout);
    for (size_t k = 0; k < t->used_count; k++)
        printf("%s{\"name\": \"%s\", \"calls\": %" PRIu64 ", \"points\": %" PRIu64 "}", k ? ", " : "",
               t->used[k].function, t->used[k].calls, t->used[k].points);
    fputs("], \"found\": [", stdout);
    for (size_t k = 0; k < t->violations_listed; k++) {
        fputs(k ? ", " : "", stdout);
        json_violation(t, &t->violations[k]);
    }
    fputs("]}\n", stdout);
}

void torture_report(const struct torture *t)
{
    if (t->json) {
        json_report(t);
        return;
    }
    for (size_t k = 0; k < t->violations_listed; k++)
        if (k == 0)
            print_first(t, &t->violations[k]);
        else
            print_other(&t->violations[k]);
    if (t->violations_count > t->violations_listed)
        printf("and after %" PRIu64 " more\n", t->violations_count - t->violations_listed);
    print_score(t);
}

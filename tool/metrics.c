/* metrics.c - samples and their formats, see metrics.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "tool.h"

void add_sample(struct metrics *m, unsigned metric, const struct label *labels, uint64_t value)
{
    struct sample *s = one_more(&m->samples, &m->samples_count, sizeof *s);
    if (!s) {
        m->failed = true;
        return;
    }
    s->metric = metric;
    s->value = value;
    for (size_t k = 0; labels && k < MOST_LABELS && labels[k].key; k++)
        s->labels[k] = labels[k];
}

void metrics_free(struct metrics *m)
{
    free(m->samples);
    m->samples = NULL;
    m->samples_count = 0;
}

/* Of a value \, " and a newline are escaped; harmless leaves no newline. */
static bool print_value(FILE *to, const char *value)
{
    char *shown = harmless(value);
    for (const char *at = shown; at && *at; at++) {
        if (*at == '\\' || *at == '"')
            putc('\\', to);
        putc(*at, to);
    }
    free(shown);
    return shown;
}

static bool print_sample(const struct metrics *m, const struct sample *s, FILE *to)
{
    bool good = true;
    fputs(m->all[s->metric].name, to);
    for (size_t k = 0; k < MOST_LABELS && s->labels[k].key; k++) {
        fprintf(to, "%s%s=\"", k ? "," : "{", s->labels[k].key);
        good &= print_value(to, s->labels[k].value);
        putc('"', to);
    }
    fprintf(to, "%s %" PRIu64 "\n", s->labels[0].key ? "}" : "", s->value);
    return good;
}

bool metrics_print(const struct metrics *m, FILE *to)
{
    bool good = !m->failed;
    for (unsigned k = 0; k < m->count; k++) {
        bool any = false;
        for (size_t n = 0; n < m->samples_count; n++) {
            if (m->samples[n].metric != k)
                continue;
            if (!any)
                fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", m->all[k].name, m->all[k].help, m->all[k].name,
                        m->all[k].counter ? "counter" : "gauge");
            any = true;
            good &= print_sample(m, &m->samples[n], to);
        }
    }
    return good;
}

bool metrics_print_json(const struct metrics *m)
{
    fputs("{\n  \"samples\": [", stdout);
    for (size_t n = 0; n < m->samples_count; n++) {
        const struct sample *s = &m->samples[n];
        const struct metric *of = &m->all[s->metric];
        printf("%s\n    {\"metric\": \"%s\", \"type\": \"%s\", \"labels\": {", n ? "," : "", of->name,
               of->counter ? "counter" : "gauge");
        for (size_t k = 0; k < MOST_LABELS && s->labels[k].key; k++) {
            printf("%s\"%s\": ", k ? ", " : "", s->labels[k].key);
            print_json_string(s->labels[k].value);
        }
        printf("}, \"value\": %" PRIu64 "}", s->value);
    }
    puts("\n  ]\n}");
    return !m->failed;
}

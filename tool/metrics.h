/* metrics.h - samples of metrics, gathered and then printed: as Prometheus' text format has them, or as JSON.
 *
 * Label values are other people's bytes: what is not text is \x.. (listing.h), then they are escaped as the format asks. */
#ifndef TARN_METRICS_H
#define TARN_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MOST_LABELS = 4 };

struct metric {
    const char *name; /* a counter's ends with _total */
    bool counter;     /* else a gauge */
    const char *help;
};

struct label {
    const char *key, *value; /* key NULL: none */
};

struct sample {
    unsigned metric; /* its index */
    struct label labels[MOST_LABELS];
    uint64_t value;
};

struct metrics {
    const struct metric *all; /* in the order in which they are printed */
    size_t count;
    struct sample *samples;
    size_t samples_count;
    bool failed; /* no memory for a sample */
};

/* What labels point to must live until they are printed. */
void add_sample(struct metrics *m, unsigned metric, const struct label *labels, uint64_t value);
/* Those of a metric together, a metric without samples not at all. false: no memory. */
bool metrics_print(const struct metrics *m, FILE *to);
bool metrics_print_json(const struct metrics *m);
void metrics_free(struct metrics *m);

#endif

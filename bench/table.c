/* bench/table.c - keys, warm memory, and the comparisons of maps and trees. See table.h.
 *
 * SPDX-License-Identifier: MIT */
#include "table.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLICES 50      /* of an insertion or an erasure */
#define LOOK_SLICES 20 /* of the look-ups: as many pairs */
#define BURST 32       /* operations between two looks at whether to stop */

/* ---- names ---- */

static char *name_of(const char *prefix, const char *kind, size_t n)
{
    char *name;
    int made = n % 1000000 == 0 ? asprintf(&name, "%s%s%zum.", prefix, kind, n / 1000000)
               : n % 1000 == 0  ? asprintf(&name, "%s%s%zuk.", prefix, kind, n / 1000)
                                : asprintf(&name, "%s%s%zu.", prefix, kind, n);
    if (made < 0)
        bench_die("no memory");
    return name; /* as long as the program */
}

void table_rename(const char *prefix, const char *kind, size_t usual, size_t actual)
{
    if (usual != actual)
        bench_rename(name_of(prefix, kind, usual), name_of(prefix, kind, actual));
}

/* ---- keys ---- */

static uint64_t key_of(uint64_t i)
{
    return bench_mix(i * UINT64_C(0x9e3779b97f4a7c15) + 77); /* a bijection: all differ */
}
static uint64_t random_below(uint64_t seed, uint64_t i, uint64_t n)
{
    return bench_mix(i + seed * UINT64_C(0xd1342543de82ef95)) % n;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t *words(size_t n)
{
    return (uint64_t *)bench_shared(n * sizeof(uint64_t));
}

static size_t rank_of(const struct keys *k, uint64_t key)
{
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (k->sorted[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void make_order(struct keys *k)
{
    k->sorted = words(k->n);
    k->rank_sum = words(k->n + 1);
    memcpy(k->sorted, k->key, k->n * 8);
    qsort(k->sorted, k->n, 8, by_value);
    for (size_t i = 0; i < k->n; i++)
        k->rank_sum[i + 1] = k->rank_sum[i] + table_value(k->sorted[i]);
    k->scan_from = words(k->looks / 50);
    k->scan_sum = words(k->looks / 50 + 1);
    for (size_t i = 0; i < k->looks && k->scans < k->looks / 50; i++) {
        size_t rank = rank_of(k, k->look[i]);
        if (rank + TABLE_SCAN > k->n)
            continue;
        k->scan_from[k->scans] = k->look[i];
        k->scan_sum[k->scans + 1] = k->scan_sum[k->scans] + k->rank_sum[rank + TABLE_SCAN] - k->rank_sum[rank];
        k->scans++;
    }
}

void keys_make(struct keys *k, size_t n, bool ordered)
{
    *k = (struct keys){.n = n, .looks = n < TABLE_LOOKS ? n : TABLE_LOOKS};
    k->key = words(n);
    k->look = words(n);
    k->other = words(k->looks);
    k->sum = words(k->looks + 1);
    for (size_t i = 0; i < n; i++)
        k->look[i] = k->key[i] = key_of(i);
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = random_below(1, i, i + 1);
        uint64_t swap = k->look[i];
        k->look[i] = k->look[j];
        k->look[j] = swap;
    }
    for (size_t i = 0; i < k->looks; i++) {
        k->other[i] = key_of(n + i);
        k->sum[i + 1] = k->sum[i] + table_value(k->look[i]);
    }
    if (ordered)
        make_order(k);
}

static void unmap_words(uint64_t *at, size_t n)
{
    if (at)
        munmap(at, n * 8);
}

void keys_free(struct keys *k)
{
    unmap_words(k->key, k->n);
    unmap_words(k->look, k->n);
    unmap_words(k->other, k->looks);
    unmap_words(k->sum, k->looks + 1);
    unmap_words(k->sorted, k->n);
    unmap_words(k->rank_sum, k->n + 1);
    unmap_words(k->scan_from, k->looks / 50);
    unmap_words(k->scan_sum, k->looks / 50 + 1);
    *k = (struct keys){0};
}

/* ---- texts ---- */

#define TEXT_LEAST 10u
#define TEXT_MOST 40u

static struct text text_of(char **at, uint32_t number)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct text t = {*at, TEXT_LEAST + (uint32_t)random_below(2, number, TEXT_MOST - TEXT_LEAST + 1), number};
    for (uint32_t i = 0; i < t.size; i += 8) {
        uint64_t random = bench_mix(number * UINT64_C(0x9e3779b97f4a7c15) + 1000 + i);
        for (uint32_t j = i; j < i + 8 && j < t.size; j++, random >>= 8)
            *(*at)++ = letters[(random & 255) % 36];
    }
    return t;
}

void texts_make(struct texts *t, size_t n)
{
    *t = (struct texts){.n = n};
    struct text **list[3] = {&t->key, &t->other, &t->look};
    for (int l = 0; l < 3; l++) {
        char *at = (char *)bench_shared(n * TEXT_MOST);
        *list[l] = (struct text *)bench_shared(n * sizeof(struct text));
        if (l < 2) {
            for (size_t i = 0; i < n; i++)
                (*list[l])[i] = text_of(&at, (uint32_t)(i + (l == 1 ? n : 0)));
            continue;
        }
        memcpy(t->look, t->key, n * sizeof(struct text));
        for (size_t i = n - 1; i > 0; i--) {
            size_t j = random_below(3, i, i + 1);
            struct text swap = t->look[i];
            t->look[i] = t->look[j];
            t->look[j] = swap;
        }
        for (size_t i = 0; i < n; i++)
            t->look[i] = text_of(&at, t->look[i].number);
    }
    t->sum = words(n + 1);
    for (size_t i = 0; i < n; i++)
        t->sum[i + 1] = t->sum[i] + text_value(&t->look[i]);
}

void texts_free(struct texts *t)
{
    struct text *list[3] = {t->key, t->other, t->look};
    for (int l = 0; l < 3; l++) {
        const char *bytes = list[l][0].at; /* the first made lies first */
        for (size_t i = 0; i < t->n && l == 2; i++)
            bytes = list[l][i].at < bytes ? list[l][i].at : bytes;
        munmap((void *)(uintptr_t)bytes, t->n * TEXT_MOST);
        munmap(list[l], t->n * sizeof(struct text));
    }
    unmap_words(t->sum, t->n + 1);
    *t = (struct texts){0};
}

/* ---- warm memory ---- */

void table_warm_heap(size_t bytes)
{
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1); /* never */
    void *at = malloc(bytes);
    if (!at)
        bench_die("no %zu bytes", bytes);
    bench_populate(at, bytes);
    free(at);
}

static void *open_table(const struct table_kind *kind, size_t n)
{
    if (kind->in_heap)
        table_warm_heap(n * TABLE_HEAP_PER_ENTRY);
    return kind->open(n);
}

/* ---- the clock ---- */

/* Of the time that this process had a cpu: nobody here sleeps or waits, and what others do on the machine then counts less. */
static uint64_t own_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- filling and emptying, in turns ---- */

typedef void (*turn)(void *table, size_t first, size_t n, const void *kind, const void *keys);

/* Each of the slices in one and then in the other, or the other way round. ret_ns: of an entry, ours and the peer's. */
static void in_turns(void *const table[2], const void *const kind[2], const void *keys, size_t n, turn work,
                     bool swapped, double ret_ns[2])
{
    uint64_t took[2] = {0, 0};
    size_t first = 0;
    for (unsigned slice = 0; slice < SLICES; slice++) {
        size_t next = n / SLICES * (slice + 1);
        if (slice + 1 == SLICES)
            next = n;
        for (unsigned half = 0; half < 2; half++) {
            unsigned who = half ^ (slice & 1) ^ swapped;
            uint64_t start = own_now();
            work(table[who], first, next - first, kind[who], keys);
            took[who] += own_now() - start;
        }
        first = next;
    }
    for (int who = 0; who < 2; who++)
        ret_ns[who] = (double)took[who] / (double)n;
}

static void turn_insert(void *table, size_t first, size_t n, const void *kind, const void *keys)
{
    ((const struct table_kind *)kind)->insert(table, &((const struct keys *)keys)->key[first], n);
}
static void turn_erase(void *table, size_t first, size_t n, const void *kind, const void *keys)
{
    size_t erased = ((const struct table_kind *)kind)->erase(table, &((const struct keys *)keys)->look[first], n);
    if (erased != n)
        bench_die("%s erased %zu of %zu entries", ((const struct table_kind *)kind)->name, erased, n);
}
static void turn_text_insert(void *table, size_t first, size_t n, const void *kind, const void *keys)
{
    ((const struct text_kind *)kind)->insert(table, &((const struct texts *)keys)->key[first], n);
}
static void turn_text_erase(void *table, size_t first, size_t n, const void *kind, const void *keys)
{
    size_t erased = ((const struct text_kind *)kind)->erase(table, &((const struct texts *)keys)->look[first], n);
    if (erased != n)
        bench_die("%s erased %zu of %zu entries", ((const struct text_kind *)kind)->name, erased, n);
}

/* ---- slices of look-ups, as samples ---- */

struct seat {
    const struct table_kind *kind;
    void *table;
    const struct keys *keys;
    size_t next; /* slice */
};

static size_t slice_of(size_t *next, size_t all, size_t *ret_first)
{
    size_t n = all / LOOK_SLICES;
    *ret_first = n * (*next)++;
    *next %= LOOK_SLICES;
    return n;
}
static double per(uint64_t start, size_t n)
{
    return (double)(own_now() - start) / (double)n;
}

static double sample_hit(void *state)
{
    struct seat *s = (struct seat *)state;
    size_t first, n = slice_of(&s->next, s->keys->looks, &first);
    uint64_t start = own_now(), sum = s->kind->hits(s->table, &s->keys->look[first], n);
    double ns = per(start, n);
    if (sum != s->keys->sum[first + n] - s->keys->sum[first])
        bench_die("%s has other values", s->kind->name);
    return ns;
}
static double sample_miss(void *state)
{
    struct seat *s = (struct seat *)state;
    size_t first, n = slice_of(&s->next, s->keys->looks, &first);
    uint64_t start = own_now();
    size_t missed = s->kind->misses(s->table, &s->keys->other[first], n);
    double ns = per(start, n);
    if (missed != n)
        bench_die("%s found %zu keys that were never put in", s->kind->name, n - missed);
    return ns;
}
static double sample_scan(void *state)
{
    struct seat *s = (struct seat *)state;
    size_t first, n = slice_of(&s->next, s->keys->scans, &first);
    uint64_t start = own_now(), sum = s->kind->scan(s->table, &s->keys->scan_from[first], n, TABLE_SCAN);
    double ns = per(start, n * TABLE_SCAN);
    if (sum != s->keys->scan_sum[first + n] - s->keys->scan_sum[first])
        bench_die("%s scanned other values", s->kind->name);
    return ns;
}
static double sample_walk(void *state)
{
    struct seat *s = (struct seat *)state;
    uint64_t count, start = own_now(), sum = s->kind->walk(s->table, &count);
    double ns = per(start, s->keys->n);
    if (count != s->keys->n || sum != s->keys->rank_sum[s->keys->n])
        bench_die("%s's walk shows %llu entries, or other values", s->kind->name, (unsigned long long)count);
    return ns;
}

/* ---- comparison ---- */

static void report(const char *figure, const char *peer, double ours, double theirs, double ratio,
                   double spread, bool first)
{
    if (first)
        bench_print(figure, ours, "ns");
    bench_note("%s: %s %.4g ns beside %.4g", figure, peer, theirs, ours);
    bench_print_ratio(figure, peer, ratio, spread);
}

static const char *figure_of(const char *prefix, const char *what)
{
    static char text[4][120];
    static unsigned turn_of;
    char *at = text[turn_of++ % 4];
    snprintf(at, sizeof text[0], "%s.%s", prefix, what);
    return at;
}
/* The comparison with this peer. (The figure alone is printed by the first comparison of it that is wanted.) */
static bool wanted(const char *prefix, const char *what, const char *peer)
{
    char text[160];
    snprintf(text, sizeof text, "%s.%s/%s", prefix, what, peer);
    return bench_wanted_itself(text);
}

static void compare_looks(const char *prefix, const char *what, double (*sample)(void *), struct seat seat[2],
                          int reps, bool first)
{
    const char *figure = figure_of(prefix, what);
    if (!wanted(prefix, what, seat[1].kind->name))
        return;
    struct contender me = {seat[0].kind->name, sample, &seat[0]}, peer = {seat[1].kind->name, sample, &seat[1]};
    struct outcome o;
    seat[0].next = seat[1].next = 0;
    bench_pairs(figure, &me, &peer, 1, reps, false, &o);
    report(figure, peer.name, o.ours, o.peer[0], o.ratio[0], o.spread[0], first);
}

struct series { /* of pairs */
    double ours[1000], theirs[1000], ratio[1000];
    int n;
};
static void series_add(struct series *s, const double ns[2])
{
    s->ours[s->n] = ns[0];
    s->theirs[s->n] = ns[1];
    s->ratio[s->n++] = ns[0] / ns[1];
}
static double series_spread(struct series *s)
{
    return bench_quantile(s->ratio, s->n, 0.75) - bench_quantile(s->ratio, s->n, 0.25);
}
static void series_report(struct series *s, const char *prefix, const char *what, const char *peer, bool first)
{
    const char *figure = figure_of(prefix, what);
    if (s->n && wanted(prefix, what, peer))
        report(figure, peer, bench_quantile(s->ours, s->n, 0.5), bench_quantile(s->theirs, s->n, 0.5),
               bench_quantile(s->ratio, s->n, 0.5), series_spread(s), first);
}

static void check_count(const struct table_kind *kind, void *table, uint64_t want)
{
    uint64_t count = kind->count(table);
    if (count != want)
        bench_die("%s has %llu entries, not %llu", kind->name, (unsigned long long)count, (unsigned long long)want);
}

/* All of them once, whatever part of them the samples take; and so they are warm. */
static void check_looks(const struct seat *s)
{
    const struct keys *k = s->keys;
    if (s->kind->hits(s->table, k->look, k->looks) != k->sum[k->looks])
        bench_die("%s has other values", s->kind->name);
}

void table_compare(const char *prefix, const struct table_kind *ours, const struct table_kind *peer,
                   const struct keys *keys, int reps, bool first)
{
    static struct series inserted, erased;
    const char *name = peer->name;
    bool insert = wanted(prefix, "insert", name) && !peer->fixed,
         erase = wanted(prefix, "erase", name) && !peer->fixed;
    bool look = wanted(prefix, "hit", name) || wanted(prefix, "miss", name) ||
                (peer->scan && (wanted(prefix, "scan100", name) || wanted(prefix, "walk", name)));
    if (!insert && !erase && !look)
        return;
    inserted.n = erased.n = 0;
    if (!insert && !erase)
        reps = 1;
    for (int rep = 0; rep < reps; rep++) {
        void *table[2] = {open_table(ours, keys->n), open_table(peer, keys->n)};
        const void *kind[2] = {ours, peer};
        struct seat seat[2] = {{ours, table[0], keys, 0}, {peer, table[1], keys, 0}};
        double ns[2];
        in_turns(table, kind, keys, keys->n, turn_insert, rep & 1, ns);
        series_add(&inserted, ns);
        for (int who = 0; who < 2; who++) {
            if (seat[who].kind->settle)
                seat[who].kind->settle(table[who]);
            check_count(seat[who].kind, table[who], keys->n);
        }
        if (rep + 1 == reps) {
            check_looks(&seat[0]);
            check_looks(&seat[1]);
            compare_looks(prefix, "hit", sample_hit, seat, bench_reps(LOOK_SLICES), first);
            compare_looks(prefix, "miss", sample_miss, seat, bench_reps(LOOK_SLICES), first);
            if (ours->scan && peer->scan) {
                compare_looks(prefix, "scan100", sample_scan, seat, bench_reps(LOOK_SLICES), first);
                compare_looks(prefix, "walk", sample_walk, seat, bench_reps(5), first);
            }
        }
        if (erase) {
            in_turns(table, kind, keys, keys->n, turn_erase, rep & 1, ns);
            series_add(&erased, ns);
            check_count(ours, table[0], 0);
            check_count(peer, table[1], 0);
        }
        ours->close(table[0]);
        peer->close(table[1]);
    }
    if (!peer->fixed)
        series_report(&inserted, prefix, "insert", peer->name, first);
    series_report(&erased, prefix, "erase", peer->name, first);
}

/* ---- texts ---- */

struct text_seat {
    const struct text_kind *kind;
    void *table;
    const struct texts *texts;
    size_t next;
};

static double sample_text_hit(void *state)
{
    struct text_seat *s = (struct text_seat *)state;
    size_t first, n = slice_of(&s->next, s->texts->n, &first);
    uint64_t start = own_now(), sum = s->kind->hits(s->table, &s->texts->look[first], n);
    double ns = per(start, n);
    if (sum != s->texts->sum[first + n] - s->texts->sum[first])
        bench_die("%s has other values", s->kind->name);
    return ns;
}
static double sample_text_miss(void *state)
{
    struct text_seat *s = (struct text_seat *)state;
    size_t first, n = slice_of(&s->next, s->texts->n, &first);
    uint64_t start = own_now();
    size_t missed = s->kind->misses(s->table, &s->texts->other[first], n);
    double ns = per(start, n);
    if (missed != n)
        bench_die("%s found %zu keys that were never put in", s->kind->name, n - missed);
    return ns;
}

/* The ratio to each peer, and to the quickest of those in the heap, as `best`. */
static void report_texts(const char *figure, double ours, const struct text_kind *const *peers, int count,
                         const double *theirs, const double *ratio, const double *spread, const char *best)
{
    int quickest = -1;
    for (int i = 0; i < count; i++) {
        report(figure, peers[i]->name, ours, theirs[i], ratio[i], spread[i], i == 0);
        if (peers[i]->in_heap && (quickest < 0 || theirs[i] < theirs[quickest]))
            quickest = i;
    }
    if (best && quickest >= 0) {
        bench_note("%s: %s is %s", figure, best, peers[quickest]->name);
        bench_print_ratio(figure, best, ratio[quickest], spread[quickest]);
    }
}

static void text_looks(const char *figure, double (*sample)(void *), struct text_seat *seat,
                       const struct text_kind *const *peers, int count, const char *best)
{
    if (!bench_wanted_itself(figure))
        return;
    struct contender contender[1 + BENCH_PEERS];
    struct outcome o;
    for (int i = 0; i <= count; i++) {
        seat[i].next = 0;
        contender[i] = (struct contender){seat[i].kind->name, sample, &seat[i]};
    }
    bench_pairs(figure, &contender[0], &contender[1], count, bench_reps(LOOK_SLICES), false, &o);
    report_texts(figure, o.ours, peers, count, o.peer, o.ratio, o.spread, best);
}

static void check_texts(const struct text_seat *s, uint64_t want)
{
    uint64_t count = s->kind->count(s->table);
    if (count != want)
        bench_die("%s has %llu texts, not %llu", s->kind->name, (unsigned long long)count,
                  (unsigned long long)want);
}

void text_compare(const char *prefix, const struct text_kind *ours, const struct text_kind *const *peers,
                  int count, const struct texts *texts, int reps, const char *best)
{
    static struct series inserted[BENCH_PEERS], erased[BENCH_PEERS];
    struct text_seat full[1 + BENCH_PEERS] = {{.kind = ours, .texts = texts}};
    if (!bench_wanted(prefix))
        return;
    for (int i = 0; i < count; i++) {
        inserted[i].n = erased[i].n = 0;
        full[i + 1] = (struct text_seat){.kind = peers[i], .texts = texts};
    }
    table_warm_heap(texts->n * TEXT_HEAP_PER_ENTRY * (size_t)(count + 1));
    for (int rep = 0; rep < reps; rep++)
        for (int i = 0; i < count; i++) {
            bool last = rep + 1 == reps;
            struct text_seat pair[2] = {{ours, ours->open(texts->n), texts, 0},
                                        {peers[i], peers[i]->open(texts->n), texts, 0}};
            void *table[2] = {pair[0].table, pair[1].table};
            const void *kind[2] = {ours, peers[i]};
            double ns[2];
            in_turns(table, kind, texts, texts->n, turn_text_insert, rep & 1, ns);
            series_add(&inserted[i], ns);
            for (int who = 0; who < 2; who++)
                check_texts(&pair[who], texts->n);
            if (last && i == 0)
                full[0].table = table[0];
            if (last)
                full[i + 1].table = table[1];
            else if (bench_wanted_itself(figure_of(prefix, "erase"))) {
                in_turns(table, kind, texts, texts->n, turn_text_erase, rep & 1, ns);
                series_add(&erased[i], ns);
                for (int who = 0; who < 2; who++)
                    check_texts(&pair[who], 0);
            }
            if (!last)
                peers[i]->close(table[1]);
            if (!last || i > 0)
                ours->close(table[0]);
        }
    for (int i = 0; i <= count; i++)
        if (full[i].kind->hits(full[i].table, texts->look, texts->n) != texts->sum[texts->n])
            bench_die("%s has other values", full[i].kind->name);
    text_looks(figure_of(prefix, "hit"), sample_text_hit, full, peers, count, best);
    text_looks(figure_of(prefix, "miss"), sample_text_miss, full, peers, count, best);
    for (int i = 0; i <= count; i++)
        full[i].kind->close(full[i].table);
    struct series *const all[2] = {inserted, erased};
    for (int what = 0; what < 2; what++) {
        double theirs[BENCH_PEERS], ratio[BENCH_PEERS], spread[BENCH_PEERS];
        const char *figure = figure_of(prefix, what ? "erase" : "insert");
        if (!all[what][0].n || !bench_wanted_itself(figure))
            continue;
        for (int i = 0; i < count; i++) {
            struct series *s = &all[what][i];
            theirs[i] = bench_quantile(s->theirs, s->n, 0.5);
            ratio[i] = bench_quantile(s->ratio, s->n, 0.5);
            spread[i] = series_spread(s);
        }
        report_texts(figure, bench_quantile(all[what][0].ours, all[what][0].n, 0.5), peers, count, theirs,
                     ratio, spread, best);
    }
}

/* ---- bytes, the longest, instructions ---- */

void table_compare_bytes(const char *figure, double committed, const struct table_kind *peer,
                         const struct keys *keys)
{
    void *table = open_table(peer, keys->n);
    peer->insert(table, keys->key, keys->n);
    double bytes = (double)peer->bytes(), n = (double)keys->n;
    check_count(peer, table, keys->n);
    peer->close(table);
    if (peer->bytes() || bytes < n)
        bench_die("%s asked for %g bytes, and has %llu when it is gone", peer->name, bytes,
                  (unsigned long long)peer->bytes());
    bench_print(figure, committed / n, "bytes");
    bench_note("%s: %s %.4g bytes", figure, peer->name, bytes / n);
    bench_print_ratio(figure, peer->name, committed / bytes, 0);
}

double table_longest(const struct table_kind *kind, const struct keys *keys, double *ret_p9999)
{
    enum { BINS = 4000, BIN = 25 /* ns */ };
    static uint32_t bin[BINS];
    void *table = open_table(kind, keys->n);
    uint64_t longest = 0, before = own_now();
    memset(bin, 0, sizeof bin);
    for (size_t i = 0; i < keys->n; i++) {
        kind->insert(table, &keys->key[i], 1);
        uint64_t now = own_now(), took = now - before;
        bin[took / BIN < BINS ? took / BIN : BINS - 1]++;
        longest = took > longest ? took : longest;
        before = now;
    }
    check_count(kind, table, keys->n);
    kind->close(table);
    uint64_t beyond = 0, tail = keys->n / 10000;
    int at = BINS;
    while (at > 0 && (beyond += bin[--at]) <= tail)
        ;
    *ret_p9999 = (at + 1) * (double)BIN / 1000;
    return (double)longest / 1000;
}

static void hit_some(void *state, size_t n)
{
    struct seat *s = (struct seat *)state;
    if (s->kind->hits(s->table, s->keys->look, n) != s->keys->sum[n])
        bench_die("%s has other values", s->kind->name);
}

static double hit_instructions(const struct table_kind *kind, const struct keys *keys)
{
    struct seat seat = {kind, open_table(kind, keys->n), keys, 0};
    kind->insert(seat.table, keys->key, keys->n);
    hit_some(&seat, keys->looks);
    double instructions = bench_instructions(hit_some, &seat, 200);
    kind->close(seat.table);
    return instructions;
}

void table_compare_instructions(const char *figure, const struct table_kind *ours,
                                const struct table_kind *peer, const struct keys *keys)
{
    double mine = hit_instructions(ours, keys), theirs = hit_instructions(peer, keys);
    if (mine == 0 || theirs == 0) {
        bench_note("%s: a process may not trace its child here", figure);
        return;
    }
    bench_print(figure, mine, "instructions");
    bench_note("%s: %s %.4g", figure, peer->name, theirs);
    bench_print_ratio(figure, peer->name, mine / theirs, 0);
}

/* ---- two processes at once ---- */

/* Each side has a half of the keys, and begins somewhere in it. A reader looks up look[]; a writer, in turn, puts some of its keys
 * again, erases some others, and puts back those that it erased before. */
struct two {
    const struct table_sides *sides;
    bool write, alone;
    uint64_t round;
};

static void two_enter(void *state, int side)
{
    const struct table_sides *s = ((struct two *)state)->sides;
    uint64_t value = s->kind->hits(s->table, s->keys->look, 1); /* a record of its own, if it needs one */
    bench_populate(s->base, s->size);
    (void)side;
    if (value != s->keys->sum[1])
        bench_die("a side sees other values");
}

static uint64_t two_read(struct two *two, int side, const int *stop)
{
    const struct table_sides *s = two->sides;
    size_t half = s->keys->looks / 2 / BURST * BURST, first = half * (size_t)side;
    size_t at = random_below(4 + (uint64_t)side, two->round, half / BURST) * BURST;
    uint64_t ops = 0;
    for (; !__atomic_load_n(stop, __ATOMIC_RELAXED); ops += BURST, at = at + BURST == half ? 0 : at + BURST) {
        uint64_t sum = s->kind->hits(s->table, &s->keys->look[first + at], BURST);
        if (__builtin_expect(sum != s->keys->sum[first + at + BURST] - s->keys->sum[first + at], 0))
            bench_die("a side read other values");
    }
    return ops;
}

static uint64_t two_write(struct two *two, int side, const int *stop)
{
    const struct table_sides *s = two->sides;
    size_t half = s->keys->n / 2 / BURST * BURST,
           at = random_below(6 + (uint64_t)side, two->round, half / BURST) * BURST;
    size_t far = half / 2 / BURST * BURST;
    const uint64_t *key = &s->keys->look[half * (size_t)side], *away = NULL;
    uint64_t ops = 0;
    for (; !__atomic_load_n(stop, __ATOMIC_RELAXED); ops += 3 * BURST, at = at + BURST == half ? 0 : at + BURST) {
        s->kind->insert(s->table, &key[at + far < half ? at + far : at + far - half], BURST);
        if (s->kind->erase(s->table, &key[at], BURST) != BURST)
            bench_die("a side missed keys of its own");
        if (away)
            s->kind->insert(s->table, away, BURST);
        else
            ops -= BURST;
        away = &key[at];
    }
    if (away)
        s->kind->insert(s->table, away, BURST);
    return ops;
}

static uint64_t two_run(void *state, int side, const int *stop)
{
    struct two *two = (struct two *)state;
    if (two->alone && side == 1)
        return 0;
    return two->write ? two_write(two, side, stop) : two_read(two, side, stop);
}

static double two_rate(struct two *two, bool alone)
{
    uint64_t ops[2];
    struct duel duel = {.enter = two_enter, .run = two_run, .state = two};
    two->alone = alone;
    two->round++;
    double ns = bench_duel(&duel, 200000000, ops);
    return (double)(ops[0] + ops[1]) / ns * 1000;
}
static double sample_two(void *state)
{
    return two_rate((struct two *)state, false);
}
static double sample_one(void *state)
{
    return two_rate((struct two *)state, true);
}

void table_two(const char *figure, const struct table_sides *sides, bool write, int reps)
{
    if (!bench_wanted_itself(figure))
        return;
    if (bench_cpus() < 2) {
        bench_note("%s needs two cpus", figure);
        return;
    }
    struct two two = {.sides = sides, .write = write};
    struct contender both = {"two", sample_two, &two}, one = {"one", sample_one, &two};
    struct outcome o;
    bench_compare(figure, "Mops/s", &both, &one, 1, reps, write, &o);
    const struct keys *k = sides->keys;
    check_count(sides->kind, sides->table, k->n);
    check_looks(&(struct seat){sides->kind, sides->table, k, 0});
}

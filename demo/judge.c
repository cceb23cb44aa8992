/* judge.c - the judge: a private count of the same text, the comparison with the map, and the report.
 *
 * It counts by itself, in the one process whom nobody kills, into a hash table of its own: but for what a word is, it shares
 * nothing with the workers. It looks at the map both by a walk and word by word, and asks the library for damages and leaks. By
 * then all workers have ended; it changes nothing in the segment, but recovers the dead whom nobody has recovered yet.
 *
 * SPDX-License-Identifier: MIT */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMONEST = 10 };

/* ---- the private count, and the comparison -------------------------------------------------------------------------- */

struct entry {
    struct word word;
    uint16_t seen;   /* by the walk over the map */
    uint64_t count;  /* by one process, of one round; 0: the entry is free */
    uint64_t shared; /* by the workers */
};

static struct judge {
    struct entry *entry; /* open addressing, at most half full */
    size_t room, used;
    uint64_t words, rounds, mismatches;
} judge;

static struct entry *judge_place(const struct word *w)
{
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (size_t i = 0; i < w->size; i++)
        hash = (hash ^ (unsigned char)w->text[i]) * 0x100000001b3ull;
    for (size_t at = (hash ^ hash >> 32) & (judge.room - 1);; at = (at + 1) & (judge.room - 1)) {
        struct entry *e = &judge.entry[at];
        if (!e->count || compare_words(&e->word, w) == 0)
            return e;
    }
}

static void judge_grow(void)
{
    struct judge old = judge;
    judge.room = old.room ? 2 * old.room : 1 << 14;
    judge.entry = calloc(judge.room, sizeof *judge.entry);
    if (!judge.entry)
        give_up("no memory for the private count");
    for (size_t i = 0; i < old.room; i++)
        if (old.entry[i].count)
            *judge_place(&old.entry[i].word) = old.entry[i];
    free(old.entry);
}

static void judge_count(const struct text *text)
{
    struct word w;
    uint64_t at = 0;
    while (next_word(text_bytes(text), text->bytes, &at, &w)) {
        if (2 * judge.used >= judge.room)
            judge_grow();
        struct entry *e = judge_place(&w);
        if (!e->count++) {
            e->word = w;
            judge.used++;
        }
        judge.words++;
    }
}

static void mismatch(const char *key, size_t size, uint64_t shared, uint64_t expected, const char *how)
{
    if (++judge.mismatches <= 10)
        fprintf(stderr, "mismatch: '%.*s' is there %" PRIu64 " times, and %s %" PRIu64 "\n", (int)size, key,
                expected, how, shared);
}

static int note_shared(const void *key, size_t key_size, const void *value, size_t size, void *unused)
{
    struct word w = {.size = (uint8_t)key_size};
    struct entry *e = NULL;
    uint64_t shared = 0;
    (void)unused;
    if (size == sizeof shared)
        memcpy(&shared, value, sizeof shared);
    if (key_size > 0 && key_size <= WORD_MOST) {
        memcpy(w.text, key, key_size);
        e = judge_place(&w);
    }
    if (e && e->count) {
        e->shared += shared; /* shown twice would be a mismatch too */
        e->seen++;
    } else
        mismatch(key, key_size, shared, 0, "the map has");
    return 0;
}

/* Both ways: all that the map shows, and all that the judge has. A word is one mismatch at most. */
static void compare(tarn_map *map)
{
    int result = tarn_map_each(map, note_shared, NULL);
    if (result < 0)
        give_up("cannot walk over the map: %s", tarn_error());
    for (size_t i = 0; i < judge.room; i++) {
        struct entry *e = &judge.entry[i];
        uint64_t found = 0, expected = e->count * judge.rounds;
        size_t size = 0;
        if (!e->count)
            continue;
        result = tarn_map_get(map, e->word.text, e->word.size, &found, sizeof found, &size);
        if (result < 0 && result != -ENOENT)
            give_up("cannot read the map: %s", tarn_error());
        if (e->seen != 1)
            mismatch(e->word.text, e->word.size, e->seen, expected, "the times that the map's walk showed it are");
        else if (e->shared != expected)
            mismatch(e->word.text, e->word.size, e->shared, expected, "the map's walk showed");
        else if (found != expected || size != sizeof found)
            mismatch(e->word.text, e->word.size, found, expected, "looked up it is");
    }
}

/* ---- the report ------------------------------------------------------------------------------------------------------ */

static int by_shared(const void *a, const void *b)
{
    const struct entry *v = a, *w = b;
    if (v->shared != w->shared)
        return v->shared < w->shared ? 1 : -1;
    return v->count && w->count ? compare_words(&v->word, &w->word) : (w->count != 0) - (v->count != 0);
}

static void show_commonest(void)
{
    qsort(judge.entry, judge.room, sizeof *judge.entry, by_shared); /* from here on it is no hash table */
    printf("the commonest words:\n");
    for (size_t i = 0; i < COMMONEST && i < judge.room && judge.entry[i].shared; i++)
        printf("%12" PRIu64 "  %.*s\n", judge.entry[i].shared, judge.entry[i].word.size, judge.entry[i].word.text);
}

static int show_damage(const struct tarn_damage *d, void *unused)
{
    (void)unused;
    fprintf(stderr, "damage at %#" PRIx64 ": %s\n", d->ref, d->what);
    return 0;
}

int judge_and_report(const struct demo *d, double seconds, char *ret_line, size_t room)
{
    struct tarn_stat st;
    uint64_t words = 0, retries = 0, leaked = 0;
    int64_t began = now(), wait = atomic_load(&d->board->longest_wait);
    judge_count(d->text);
    double alone = (double)judge.words * SECOND / (double)(now() - began);
    judge.rounds = d->work->stop_at / d->text->pieces;
    compare(d->map);
    for (unsigned i = 0; i < d->workers; i++) {
        words += d->work->slot[i].words;
        retries += atomic_load(&d->board->bench[i].retries);
    }
    if (words != judge.words * judge.rounds)
        mismatch("all words", strlen("all words"), words, judge.words * judge.rounds, "the slots say");
    leave_if_caught();

    int recovered = tarn_recover(d->seg), damages = tarn_check(d->seg, show_damage, NULL);
    int leaks = tarn_leaked(d->seg, &leaked);
    if (recovered < 0 || damages < 0 || leaks < 0 || tarn_stat(d->seg, &st) < 0)
        give_up("cannot look over the segment: %s", tarn_error());
    judge.mismatches += (uint64_t)damages;

    show_commonest();
    printf("text: %.1f MiB of %" PRIu64 " files, %" PRIu64 " words, %zu different, in %" PRIu64 " pieces\n",
           (double)d->text->bytes / (1 << 20), d->text->files, judge.words, judge.used, d->text->pieces);
    printf("counted %" PRIu64 " times over by %u workers under fire: %.2f M words/s\n", judge.rounds,
           d->workers, (double)words / seconds / 1e6);
    printf("counted once by one private process: %.2f M words/s\n", alone / 1e6);
    printf("%" PRIu64 " processes started, %" PRIu64 " killed; %" PRIu64
           " sections tried again after a deadlock\n",
           d->started, d->killed, retries);
    printf("longest section near a kill: %.2f ms; with no kill near: %.2f ms\n", (double)wait / 1e6,
           (double)atomic_load(&d->board->longest_calm) / 1e6);
    if (st.undone * 10 < d->killed)
        printf("note: under a tenth of the kills met an open section: the killer aimed badly\n");
    printf("%s\n", judge.mismatches
                       ? "the counts DIFFER from the private process's, or the segment is damaged"
                       : "every count is the private process's");
    snprintf(ret_line, room,
             "RESULT backing=%s words=%" PRIu64 " kills=%" PRIu64 " recovered=%" PRIu64 " undone=%" PRIu64
             " mismatches=%" PRIu64 " leaked_bytes=%" PRIu64 " longest_wait_us=%" PRId64,
             backings[d->backing], words, d->killed, st.recovered, st.undone, judge.mismatches, leaked,
             wait / 1000);
    return judge.mismatches || leaked;
}

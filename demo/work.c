/* work.c - what a worker does: it takes a piece of the text, and counts it in sections of at most 64 words.
 *
 * Order of locks: a slot's, then the work's; then the map's buckets, in an order that the map's hash decides and this program does
 * not know. So two sections may wait in a circle: -EDEADLK, whereupon one of them aborts and tries again. Commit points:
 * tarn_commit in step() and in stop_work(). A worker may die anywhere between them, and there is no code in here for that: the
 * library undoes what was not committed, and the successor reads in the slot where to go on.
 *
 * What it notes on the board, outside the segment, is for the display and the measurements: nothing that is counted rests on it.
 *
 * SPDX-License-Identifier: MIT */
#include "demo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS_A_SECTION = 64 };

/* ---- what any process needs ----------------------------------------------------------------------------------------- */

void nap(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / (uint64_t)SECOND), .tv_nsec = (long)(ns % (uint64_t)SECOND)};
    nanosleep(&t, NULL);
}

static uint64_t draw_state; /* 0: to be seeded */

uint64_t draw(uint64_t below) /* xorshift64* (Vigna, 2016) */
{
    uint64_t x = draw_state ? draw_state : ((uint64_t)now() ^ (uint64_t)getpid() << 40) | 1;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    draw_state = x;
    return (x * 0x2545f4914f6cdd1dull >> 11) % below;
}

void raise_to(_Atomic int64_t *most, int64_t value)
{
    int64_t old = atomic_load(most);
    while (old < value && !atomic_compare_exchange_weak(most, &old, value)) {
    }
}

static void *map_shared(int fd, int protection)
{
    struct stat st;
    void *at = fstat(fd, &st) < 0 ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, protection, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

void *make_shared(const char *name, size_t size, int *ret_fd)
{
    void *at = NULL;
    *ret_fd = memfd_create(name, MFD_CLOEXEC);
    if (*ret_fd < 0 || ftruncate(*ret_fd, (off_t)size) < 0 || !(at = map_shared(*ret_fd, PROT_READ | PROT_WRITE)))
        give_up("no memory of %zu bytes for the %s: %m", size, name);
    return at;
}

/* ---- sections ------------------------------------------------------------------------------------------------------- */

struct worker {
    tarn *seg;
    tarn_map *map;
    struct work *work;
    struct slot *slot;
    const struct text *text;
    struct board *board;
    struct bench *bench;
    uint64_t counted; /* words of the section under way */
};

/* Take a lock for the rest of the section: unlocking is put off to its end, however it ends. */
static int lock_for_section(tarn *seg, tarn_mutex *lock)
{
    int result = tarn_mutex_lock(seg, lock);
    if (result > 0) {
        fprintf(stderr, "wordcount: a lock that is taken in sections only was called dirty\n");
        tarn_mutex_unlock(seg, lock);
        return -ENOTRECOVERABLE;
    }
    return result < 0 ? result : tarn_mutex_unlock(seg, lock);
}

/* In a section that has the slot's lock: the next piece becomes the slot's. 1: there is no more. */
static int take_piece(struct worker *w)
{
    int result = lock_for_section(w->seg, &w->work->lock);
    if (result < 0)
        return result;
    uint64_t number = w->work->next;
    if (number >= w->work->stop_at)
        return 1;
    if ((result = tarn_save(w->seg, &w->work->next, sizeof w->work->next)) < 0 ||
        (result = tarn_save(w->seg, &w->slot->piece, 2 * sizeof(uint64_t))) < 0)
        return result;
    w->work->next = number + 1;
    w->slot->piece = number + 1;
    w->slot->offset = w->text->start[number % w->text->pieces];
    return 0;
}

/* In the same: count up to 64 words of the slot's piece, and move its place behind them. */
static int count_words(struct worker *w)
{
    struct word words[WORDS_A_SECTION];
    uint64_t at = w->slot->offset, end = w->text->start[(w->slot->piece - 1) % w->text->pieces + 1];
    size_t n = 0;
    int result;
    while (n < WORDS_A_SECTION && next_word(text_bytes(w->text), end, &at, &words[n]))
        n++;
    /* sorted, so that a word that is there twice is added once, and that two sections seldom lock in opposite orders */
    qsort(words, n, sizeof words[0], compare_words);
    for (size_t i = 0, same; i < n; i += same) {
        for (same = 1; i + same < n && compare_words(&words[i], &words[i + same]) == 0; same++) {
        }
        if ((result = tarn_map_add(w->map, words[i].text, words[i].size, same, NULL)) < 0)
            return result;
    }
    if ((result = tarn_save(w->seg, &w->slot->piece, 3 * sizeof(uint64_t))) < 0)
        return result;
    w->slot->offset = at;
    w->slot->words += n;
    if (n < WORDS_A_SECTION)
        w->slot->piece = 0; /* it is done, and with this commit it is nobody's */
    w->counted = n;
    return 0;
}

/* One section: count words, or take a piece. 0; 1: there is no more to do; -errno, and nothing has happened. */
static int step(struct worker *w)
{
    int result = tarn_begin(w->seg), ended;
    if (result < 0)
        return result;
    w->counted = 0;
    result = lock_for_section(w->seg, &w->slot->lock);
    if (result == 0)
        result = w->slot->piece ? count_words(w) : take_piece(w);
    ended = result < 0 ? tarn_abort(w->seg) : tarn_commit(w->seg);
    return ended < 0 ? ended : result;
}

int stop_work(tarn *seg, struct work *work, const struct text *text)
{
    uint64_t pieces = text->pieces, stop_at;
    int result;
    do {
        if ((result = tarn_begin(seg)) < 0)
            break;
        if ((result = lock_for_section(seg, &work->lock)) == 0 &&
            (result = tarn_save(seg, &work->stop_at, sizeof work->stop_at)) == 0) {
            stop_at = (work->next + pieces - 1) / pieces * pieces;
            work->stop_at = stop_at ? stop_at : pieces;
            result = tarn_commit(seg);
        } else
            tarn_abort(seg);
    } while (result == -EDEADLK);
    return result;
}

/* ---- a worker's life ------------------------------------------------------------------------------------------------ */

/* The longest wait of a survivor: the longest single section, from begin to commit with all its tries, that was under way when a
 * worker was killed, or began within 1 ms after. Nothing is taken off: it has in it the work itself, waits for the living, and
 * times in which the kernel ran somebody else. longest_calm, of the sections with no kill near, says how much of it that may be.
 * Of a section whose worker is killed in it, the killer notes how long it had lasted. */
static void note_wait(struct board *b, int64_t began, int64_t ended)
{
    int64_t last = atomic_load(&b->kill_at), before = atomic_load(&b->kill_before);
    bool by_last = last && began < last + NEAR && last < ended;
    bool by_one_before = before && began < before + NEAR && before < ended;
    raise_to(by_last || by_one_before ? &b->longest_wait : &b->longest_calm, ended - began);
}

static int work_on(struct worker *w)
{
    for (;;) {
        int result;
        int64_t began = now();
        atomic_store(&w->bench->began, began);
        for (uint64_t tries = 1; (result = step(w)) == -EDEADLK; tries++) {
            atomic_fetch_add(&w->bench->retries, 1);
            nap(draw(2000 * (tries < 50 ? tries : 50)));
        }
        if (result < 0)
            return result;
        note_wait(w->board, began, now());
        atomic_store(&w->bench->began, 0);
        if (result > 0)
            return 0;
        atomic_fetch_add(&w->bench->sections, 1);
        atomic_fetch_add(&w->bench->words, w->counted);
        if (w->counted)
            atomic_store(&w->bench->pid, getpid());
    }
}

int be_worker(tarn *seg, unsigned number, const struct text *text, struct board *board)
{
    struct worker w = {.seg = seg, .text = text, .board = board, .bench = &board->bench[number]};
    const char *doing = "finding the work";
    draw_state = 0;                   /* a forked worker must not draw what its brothers draw */
    prctl(PR_SET_TIMERSLACK, 1000ul); /* naps of microseconds are meant as such */
    int result = tarn_object(seg, "work", struct work, &w.work);
    if (result == 0) {
        doing = "opening the map";
        result = tarn_map_open(seg, "words", 0, &w.map);
    }
    if (result == 0) {
        doing = "working";
        w.slot = &w.work->slot[number];
        result = work_on(&w);
        tarn_map_close(w.map);
    }
    if (result == 0) {
        doing = "closing the segment";
        result = tarn_close(seg);
    }
    if (result < 0)
        fprintf(stderr, "wordcount: worker %u (process %d) failed %s: %s (%s)\n", number, getpid(), doing,
                tarn_error(), strerrorname_np(-result));
    return result < 0;
}

int worker_main(char **argument)
{
    const struct text *text = map_shared(atoi(argument[1]), PROT_READ);
    struct board *board = map_shared(atoi(argument[2]), PROT_READ | PROT_WRITE);
    tarn *seg;
    if (!text || !board) {
        fprintf(stderr, "wordcount: a worker cannot map the text: %m\n");
        return 1;
    }
    int result = strchr(argument[3], ':') /* SEGMENT is a URL or a descriptor */
                     ? tarn_open(argument[3], 0, NULL, &seg)
                     : tarn_open_fd(atoi(argument[3]), 0, &seg);
    if (result < 0) {
        fprintf(stderr, "wordcount: a worker cannot attach %s: %s\n", argument[3], tarn_error());
        return 1;
    }
    return be_worker(seg, (unsigned)atoi(argument[0]), text, board);
}

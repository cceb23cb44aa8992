/* demo.h - what the files of wordcount share: what lives in the segment, what the processes share besides, and who does what.
 *
 * text.c finds and reads the text, and takes it apart into words; work.c is all that a worker does, and the only file that changes
 * the segment while there are workers; judge.c counts by itself and compares; wordcount.c is the process that starts and kills the
 * others. Of the project only <tarn.h> is used.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TARN_DEMO_H
#define TARN_DEMO_H

#include <tarn.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum {
    WORKERS_MOST = 32,
    WORD_MOST = 60, /* bytes */
};
#define SECOND INT64_C(1000000000)
#define NEAR (SECOND / 1000) /* a section that begins this soon after a kill may wait because of it */

/* ---- what lives in the segment -------------------------------------------------------------------------------------- */

/* One worker's place in the text. Its worker writes it, in sections, under its lock; so after a death the lock leads to what the
 * last commit left. */
struct slot {
    tarn_mutex lock;
    uint64_t piece;  /* number of the piece in work + 1; 0: none */
    uint64_t offset; /* in the text: all of the piece before it is counted */
    uint64_t words;  /* counted by all that ever had this slot */
    uint64_t reserved[4];
};

struct work {
    tarn_mutex lock; /* guards the next two */
    uint64_t next;   /* number of the next piece, going on through the rounds: number % pieces is the piece */
    uint64_t stop_at; /* no piece is handed out from this number on */
    uint64_t reserved[5];
    struct slot slot[WORKERS_MOST];
};

/* ---- what the processes share besides ------------------------------------------------------------------------------- */

/* The text: written once, before there are workers. */
struct text {
    uint64_t bytes, pieces, files;
    uint64_t bytes_at; /* offset of the bytes from this struct's first byte; after the last piece there is one that is no letter */
    uint64_t start[]; /* of each piece, and the end of the last */
};

/* What is measured. Each field has one writer: its worker, or the killer; the maxima are raised by compare-and-swap. */
struct board {
    _Atomic int64_t kill_at, kill_before; /* when the last kill, and the one before, was sent; ns, CLOCK_MONOTONIC */
    _Atomic int64_t longest_wait;         /* ns; see note_wait */
    _Atomic int64_t longest_calm; /* ns: the same for sections with no kill near: what the machine does by itself */
    struct bench {
        _Atomic int pid;       /* who works here, from its first commit on */
        _Atomic int64_t began; /* when its section began, tries included; 0: it is in none */
        _Atomic uint64_t sections, words, retries;
        char apart[24];
    } bench[WORKERS_MOST];
};

/* ---- what the parent knows ------------------------------------------------------------------------------------------ */

enum backing { MEMFD, POSIX, ANON, ON_FILE, SYSV, BACKINGS };
extern const char *const backings[BACKINGS]; /* their names */

/* Only the parent, and what it forks, has it. */
struct demo {
    /* what is wanted */
    unsigned workers;
    enum backing backing;
    uint64_t kills, seconds;
    bool keep;
    char **paths; /* of --text; none: what is found on the machine */
    size_t path_count;
    /* what there is */
    tarn *seg;
    tarn_map *map;
    struct work *work;
    char url[400];
    const struct text *text;
    struct board *board;
    int text_fd, board_fd;
    pid_t pid, worker[WORKERS_MOST]; /* 0: none */
    uint64_t started, killed;        /* workers */
};

/* ---- wordcount.c: the parent's ways out ----------------------------------------------------------------------------- */

/* Say why, end all children, remove what was made, and exit(1). */
void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* If a signal says that it is enough: the same, and die of that signal. To be called often. */
void leave_if_caught(void);

/* ---- text.c --------------------------------------------------------------------------------------------------------- */

struct word {
    uint8_t size;
    char text[WORD_MOST];
};

/* The first word of text from *ret_at on, in lower case; *ret_at goes behind it. False: none before `end`. */
bool next_word(const char *text, uint64_t end, uint64_t *ret_at, struct word *ret_word);
/* An order of words, for qsort. */
int compare_words(const void *a, const void *b);
static inline const char *text_bytes(const struct text *t)
{
    return (const char *)t + t->bytes_at;
}

/* The files below the paths, or, with count 0, what is found on this machine; in a memfd. Gives up if there is no word in it. */
const struct text *read_text(char **paths, size_t count, int *ret_fd);

/* ---- work.c --------------------------------------------------------------------------------------------------------- */

/* A worker's life, once it has the segment: until there is no more to do. The exit status. */
int be_worker(tarn *seg, unsigned number, const struct text *text, struct board *board);
/* The life of one that was executed: wordcount --worker NUMBER TEXT BOARD SEGMENT; argument[0] is NUMBER. */
int worker_main(char **argument);
/* No more pieces are handed out than to the end of the round that is under way. 0 or -errno. */
int stop_work(tarn *seg, struct work *work, const struct text *text);

/* Zeroed memory in a memfd, which executed workers can map too. Gives up if there is none. */
void *make_shared(const char *name, size_t size, int *ret_fd);
uint64_t draw(uint64_t below); /* a random number; each process has its own */
void nap(uint64_t ns);         /* a signal ends it early: whoever naps looks around afterwards */
void raise_to(_Atomic int64_t *most, int64_t value);
static inline int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* ---- judge.c -------------------------------------------------------------------------------------------------------- */

/* When all workers have ended: what the map should hold, what it holds, what the segment says of itself, as a report on stdout.
 * ret_line gets the RESULT line, which is to be the last. The exit status. */
int judge_and_report(const struct demo *d, double seconds, char *ret_line, size_t room);

#endif

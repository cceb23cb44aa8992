/* wordcount - counts the words of real text by several processes into one shared map, while a killer SIGKILLs them.
 *
 * What it shows: a word and the place in the text up to which words have been counted change together, in one section. So a
 * worker may be killed at any instruction, its successor goes on from the last commit, and at the end every word has been
 * counted exactly once. A private count of the same text, by one process whom nobody kills, is the judge.
 *
 * In the segment: struct work under the name "work", and a map, word to count, under the name "words". Work is handed out there,
 * in pieces of some KiB: a worker that has none takes the next, and counts it in sections of at most 64 words. Order of locks: a
 * slot's, then the work's; then the map's buckets, in an order that the map's hash decides and this program does not know. So two
 * sections may wait in a circle: -EDEADLK, whereupon one of them aborts and tries again. Commit points: tarn_commit in step() and in
 * let_finish().
 *
 * Outside the segment, each in an unlinked memfd: the text, read only, and struct board, on which the workers note what the
 * display and the measurements need. Nothing that is counted rests on the board: who measures a library had better not use it.
 *
 * memfd: workers execute this program anew and attach by the inherited descriptor; posix: the same, and open by name; anon: they
 * are plain forks. The killer starts a successor at once, before the dead one's memory is torn down.
 *
 * It does not split words as a linguist would: a word is a run of letters, of any case, and of bytes above 127; what is longer than
 * WORD_MOST bytes is cut.
 *
 * SPDX-License-Identifier: MIT */
#include <tarn.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WORKERS_MOST = 32,
    WORDS_A_SECTION = 64,
    WORD_MOST = 60,       /* bytes */
    PIECE_SIZE = 8 << 10, /* bytes, and up to the end of a word */
    HUNG_AFTER = 20,      /* seconds in which nobody commits anything */
    COMMONEST = 10,
};
#define TEXT_FOUND_MOST ((size_t)8 << 20)  /* bytes taken of what is found on the machine */
#define TEXT_GIVEN_MOST ((size_t)64 << 20) /* bytes taken of what --text names */
#define SECOND INT64_C(1000000000)
#define NEAR (SECOND / 1000) /* a section that begins this soon after a kill may wait because of it */
#define KILLS_APART ((uint64_t)SECOND / 50) /* at most, plus what aiming takes */

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

static const char *const backings[] = {"memfd", "posix", "anon"};
enum { MEMFD, POSIX, ANON, BACKINGS };

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void nap(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / (uint64_t)SECOND), .tv_nsec = (long)(ns % (uint64_t)SECOND)};
    nanosleep(&t, NULL); /* a signal ends it early: whoever naps looks around afterwards */
}

static uint64_t draw_state; /* 0: to be seeded; so a forked worker does not draw what its brothers draw */

static uint64_t draw(uint64_t below) /* xorshift64* (Vigna, 2016) */
{
    uint64_t x = draw_state ? draw_state : ((uint64_t)now() ^ (uint64_t)getpid() << 40) | 1;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    draw_state = x;
    return (x * 0x2545f4914f6cdd1dull >> 11) % below;
}

static void raise_to(_Atomic int64_t *most, int64_t value)
{
    int64_t old = atomic_load(most);
    while (old < value && !atomic_compare_exchange_weak(most, &old, value)) {
    }
}

/* ---- words ---------------------------------------------------------------------------------------------------------- */

struct word {
    uint8_t size;
    char text[WORD_MOST];
};

static bool is_letter(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || (unsigned char)((u | 0x20) - 'a') < 26;
}

/* The first word of text from *ret_at on, in lower case; *ret_at goes behind it. False: none before `end`. */
static bool next_word(const char *text, uint64_t end, uint64_t *ret_at, struct word *ret_word)
{
    uint64_t at = *ret_at;
    size_t size = 0;
    while (at < end && !is_letter(text[at]))
        at++;
    for (; at < end && size < WORD_MOST && is_letter(text[at]); at++)
        ret_word->text[size++] = (char)((unsigned char)text[at] < 0x80 ? text[at] | 0x20 : text[at]);
    ret_word->size = (uint8_t)size;
    *ret_at = at;
    return size > 0;
}

static int compare_words(const void *a, const void *b)
{
    const struct word *v = a, *w = b;
    int order = memcmp(v->text, w->text, v->size < w->size ? v->size : w->size);
    return order ? order : (int)v->size - (int)w->size;
}

/* ---- a worker ------------------------------------------------------------------------------------------------------- */

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
    while (n < WORDS_A_SECTION && next_word((const char *)w->text + w->text->bytes_at, end, &at, &words[n]))
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

/* The longest wait of a survivor: the longest single section, from begin to commit with all its tries, that was under way when a
 * worker was killed, or began within 1 ms after. Nothing is taken off: it has in it the work itself, waits for the living, and times in
 * which the kernel ran somebody else. longest_calm, of the sections with no kill near, says how much of it that may be. Of a section
 * whose worker is killed in it, the killer notes how long it had lasted. */
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

/* A worker's life, once it has the segment. The exit status. */
static int be_worker(tarn *seg, unsigned number, const struct text *text, struct board *board)
{
    struct worker w = {.seg = seg, .text = text, .board = board, .bench = &board->bench[number]};
    const char *doing = "finding the work";
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

static void *map_shared(int fd, int protection)
{
    struct stat st;
    void *at = fstat(fd, &st) < 0 ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, protection, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* A worker that was executed: wordcount --worker NUMBER TEXT BOARD SEGMENT, the last a descriptor or a URL. */
static int worker_main(char **argument)
{
    const struct text *text = map_shared(atoi(argument[1]), PROT_READ);
    struct board *board = map_shared(atoi(argument[2]), PROT_READ | PROT_WRITE);
    tarn *seg;
    if (!text || !board) {
        fprintf(stderr, "wordcount: a worker cannot map the text: %m\n");
        return 1;
    }
    int result = strchr(argument[3], ':') ? tarn_open(argument[3], 0, NULL, &seg)
                                          : tarn_open_fd(atoi(argument[3]), 0, &seg);
    if (result < 0) {
        fprintf(stderr, "wordcount: a worker cannot attach %s: %s\n", argument[3], tarn_error());
        return 1;
    }
    return be_worker(seg, (unsigned)atoi(argument[0]), text, board);
}

/* ---- the parent ----------------------------------------------------------------------------------------------------- */

static struct demo {
    /* what is wanted */
    unsigned workers, backing;
    uint64_t kills, seconds;
    bool keep;
    char **paths;
    size_t path_count;
    /* what there is */
    tarn *seg;
    tarn_map *map;
    struct work *work;
    char url[64];
    struct text *text;
    struct board *board;
    int text_fd, board_fd;
    pid_t pid, worker[WORKERS_MOST]; /* 0: none */
    uint64_t started, killed, ended; /* workers; ended: those that are reaped */
    /* the display */
    bool terminal;
    int64_t began, shown_at, moved_at;
    uint64_t shown_words, moved_sections;
    double rate;
} demo = {.workers = 2, .kills = 200, .text_fd = -1, .board_fd = -1};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* End all children, and remove what was made. Everybody leaves through here. */
static void clean_up(void)
{
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        if (demo.worker[i])
            kill(demo.worker[i], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    if (demo.seg) {
        tarn_map_close(demo.map);
        tarn_close(demo.seg);
        demo.seg = NULL;
        if (demo.backing == POSIX && demo.keep)
            printf("kept: %s\n", demo.url);
        else if (demo.backing == POSIX && tarn_unlink(demo.url) < 0)
            fprintf(stderr, "wordcount: %s stays: %s\n", demo.url, tarn_error());
    }
}

__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (demo.terminal)
        fputs("\r\033[K", stdout);
    fflush(stdout);
    fputs("wordcount: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    clean_up();
    exit(1);
}

static void leave_if_caught(void)
{
    if (!caught)
        return;
    int number = caught;
    if (demo.terminal)
        fputc('\n', stdout);
    clean_up();
    if (number != SIGPIPE)
        fprintf(stderr, "wordcount: stopped by SIG%s after %" PRIu64 " kills; cleaned up\n",
                sigabbrev_np(number), demo.killed);
    signal(number, SIG_DFL); /* so that a calling shell sees it too */
    raise(number);
    exit(1);
}

/* ---- the parent: text ----------------------------------------------------------------------------------------------- */

struct pile { /* of files' bytes, one after the other */
    char *bytes;
    size_t size, most;
    uint64_t files;
    bool choosy; /* only files whose names are those of text and sources */
    bool full;
};

static bool has_text_name(const char *name)
{
    static const char *const endings[] = {".txt", ".md", ".rst", ".pod", ".py", ".pl",
                                          ".pm",  ".h",  ".hh",  ".hpp", ".c",  ".html"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(dot, endings[i]) == 0)
            return true;
    return !dot && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") >= 3; /* README, COPYING, GPL-3 */
}

/* Take a file's bytes, as many as there is room for, unless they are no text. */
static void take_file(struct pile *p, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t from = p->size;
    ssize_t got;
    if (fd < 0)
        return;
    while (p->size < p->most &&
           ((got = read(fd, p->bytes + p->size, p->most - p->size)) > 0 || (got < 0 && errno == EINTR)))
        p->size += got > 0 ? (size_t)got : 0;
    close(fd);
    if (p->size == from || memchr(p->bytes + from, 0, p->size - from)) {
        p->size = from;
        return;
    }
    p->full = p->size >= p->most;
    p->bytes[p->size < p->most ? p->size++ : p->size - 1] = '\n'; /* words do not go on in the next file */
    p->files++;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Take all files below a path, in the order of their names. 0, or -errno if the path itself cannot be read. */
static int take_path(struct pile *p, const char *path)
{
    char *roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    int result = 0;
    if (!walk)
        return -errno;
    while (!p->full && !caught && (entry = fts_read(walk)) != NULL) {
        if (entry->fts_level == 0 &&
            (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR))
            result = -entry->fts_errno;
        else if (entry->fts_level == 0 && entry->fts_info == FTS_F && access(path, R_OK) < 0)
            result = -errno;
        else if (entry->fts_info == FTS_F && (!p->choosy || has_text_name(entry->fts_name)))
            take_file(p, entry->fts_accpath);
    }
    fts_close(walk);
    return result;
}

static void take_given_text(struct pile *p)
{
    p->most = TEXT_GIVEN_MOST;
    for (size_t i = 0; i < demo.path_count && !p->full; i++) {
        int result = take_path(p, demo.paths[i]);
        if (result < 0)
            give_up("cannot read %s: %s", demo.paths[i], strerror(-result));
    }
    if (p->full)
        fprintf(stderr, "wordcount: only the first %zu MiB of the text are taken\n", p->most >> 20);
}

static void take_found_text(struct pile *p)
{
    static const char *const places[] = {"/usr/share/common-licenses",
                                         "/usr/share/perl",
                                         "/usr/lib/gcc",
                                         "/usr/lib/python3",
                                         "/usr/lib/python3.11",
                                         "/usr/include",
                                         "/usr/local/lib",
                                         "/usr/share/doc",
                                         "/usr/share"};
    size_t n = sizeof places / sizeof *places;
    p->choosy = true;
    for (size_t i = 0; i < n;
         i++) { /* each place gets an equal share of the room that is left, so that there is some of each */
        p->most = p->size + (TEXT_FOUND_MOST - p->size) / (n - i);
        p->full = false;
        take_path(p, places[i]);
    }
}

/* Memory that executed workers can map too. */
static void *make_shared(const char *name, size_t size, int *ret_fd)
{
    void *at = NULL;
    *ret_fd = memfd_create(name, MFD_CLOEXEC);
    if (*ret_fd < 0 || ftruncate(*ret_fd, (off_t)size) < 0 || !(at = map_shared(*ret_fd, PROT_READ | PROT_WRITE)))
        give_up("no memory of %zu bytes for the %s: %m", size, name);
    return at;
}

/* Cut the pile into pieces that end with something that is no letter. Counts them; with `start`, notes them too. */
static uint64_t cut(const struct pile *p, uint64_t *start)
{
    uint64_t n = 0;
    for (size_t at = 0; at < p->size; n++) {
        if (start)
            start[n] = at;
        at = p->size - at > PIECE_SIZE ? at + PIECE_SIZE : p->size;
        while (at < p->size && is_letter(p->bytes[at - 1]))
            at++;
    }
    if (start)
        start[n] = p->size;
    return n;
}

static void read_text(void)
{
    struct pile p = {0};
    struct word any;
    uint64_t at = 0;
    p.bytes = malloc(demo.path_count ? TEXT_GIVEN_MOST : TEXT_FOUND_MOST);
    if (!p.bytes)
        give_up("no memory for the text");
    if (demo.path_count)
        take_given_text(&p);
    else
        take_found_text(&p);
    leave_if_caught();
    if (!next_word(p.bytes, p.size, &at, &any))
        give_up(demo.path_count
                    ? "there is no word in what --text names (files with zero bytes are not taken for text)"
                    : "found no text on this machine; give some: --text FILE-OR-DIRECTORY...");
    uint64_t pieces = cut(&p, NULL), table = sizeof(struct text) + (pieces + 1) * sizeof(uint64_t);
    demo.text = make_shared("text", table + p.size, &demo.text_fd);
    *demo.text = (struct text){.bytes = p.size, .pieces = pieces, .files = p.files, .bytes_at = table};
    cut(&p, demo.text->start);
    memcpy((char *)demo.text + table, p.bytes, p.size);
    free(p.bytes);
}

/* ---- the parent: workers -------------------------------------------------------------------------------------------- */

/* In the child: become the worker, by whatever way the backing is attached. */
__attribute__((noreturn)) static void live_as_worker(unsigned number)
{
    char number_text[12], text[12], board[12], segment[sizeof demo.url];
    static const int parents_business[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM}; /* it ends us when it is told to end */
    for (size_t i = 0; i < sizeof parents_business / sizeof *parents_business; i++)
        signal(parents_business[i], SIG_IGN);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != demo.pid)
        _exit(1);
    draw_state = 0;
    if (demo.backing == ANON)
        _exit(be_worker(demo.seg, number, demo.text, demo.board));
    snprintf(number_text, sizeof number_text, "%u", number);
    snprintf(text, sizeof text, "%d", dup(demo.text_fd)); /* a copy is not closed on exec */
    snprintf(board, sizeof board, "%d", dup(demo.board_fd));
    if (demo.backing == MEMFD)
        snprintf(segment, sizeof segment, "%d", dup(tarn_fd(demo.seg)));
    else
        snprintf(segment, sizeof segment, "%s", demo.url);
    execl("/proc/self/exe", "wordcount", "--worker", number_text, text, board, segment, (char *)NULL);
    fprintf(stderr, "wordcount: cannot execute /proc/self/exe as a worker: %m\n");
    _exit(1);
}

static void start_worker(unsigned number)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        live_as_worker(number);
    if (pid < 0)
        give_up("cannot fork a worker: %m");
    demo.worker[number] = pid;
    demo.started++;
}

/* Note who has ended. A killed one is no longer among demo.worker, for its successor is; it must have died of the kill and of
 * nothing before it. The others end when there is no more to do. */
static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        bool was_killed = true;
        for (unsigned i = 0; i < demo.workers; i++)
            if (demo.worker[i] == pid) {
                was_killed = false;
                demo.worker[i] = 0;
            }
        demo.ended++;
        if (WIFSIGNALED(status) && !(was_killed && WTERMSIG(status) == SIGKILL))
            give_up("worker process %d died of SIG%s, which nobody sent", pid, sigabbrev_np(WTERMSIG(status)));
        if (WIFEXITED(status) && (was_killed || WEXITSTATUS(status)))
            give_up("worker process %d ended early, with status %d", pid, WEXITSTATUS(status));
    }
}

/* ---- the parent: display -------------------------------------------------------------------------------------------- */

static void show(void)
{
    int64_t t = now();
    struct tarn_stat st;
    uint64_t words = 0;
    if (t - demo.shown_at < (demo.terminal ? SECOND / 5 : SECOND) || tarn_stat(demo.seg, &st) < 0)
        return;
    for (unsigned i = 0; i < demo.workers; i++)
        words += atomic_load(&demo.board->bench[i].words);
    double rate = (double)(words - demo.shown_words) * SECOND / (double)(t - demo.shown_at);
    demo.rate = demo.rate > 0 && demo.terminal ? 0.7 * demo.rate + 0.3 * rate : rate;
    demo.shown_at = t;
    demo.shown_words = words;

    double part = demo.kills ? (double)demo.killed / (double)demo.kills : 0;
    double elapsed = (double)(t - demo.began) / SECOND;
    if (demo.seconds && elapsed / (double)demo.seconds > part)
        part = elapsed / (double)demo.seconds;
    int bar = part >= 1 ? 20 : (int)(20 * part);
    if (demo.terminal)
        printf("\r\033[K[%.*s%.*s] ", bar, "####################", 20 - bar, "....................");
    else
        printf("%5.1f s: ", elapsed);
    printf("%.2f M words, %.2f M words/s, %" PRIu64 " kills survived", (double)words / 1e6, demo.rate / 1e6,
           demo.killed);
    printf(", %" PRIu64 " sections undone, longest wait %.2f ms", st.undone,
           (double)atomic_load(&demo.board->longest_wait) / 1e6);
    fputs(demo.terminal ? "" : "\n", stdout);
    fflush(stdout);
}

static int show_participant(const struct tarn_participant *p, void *unused)
{
    (void)unused;
    fprintf(stderr, "  participant %u: process %u, %s, section %s, %u locks held", p->id, p->pid,
            p->state == 'd' ? "dead" : "alive", p->section_open ? "open" : "closed", p->locks_held);
    fprintf(stderr, p->waits ? ", waits for the mutex at %#" PRIx64 "\n" : "\n", p->waits);
    return 0;
}

/* Everything that is to be done every few milliseconds. Nobody waits for the dead: if nobody moves for long, that has failed. */
static void look_around(void)
{
    static int64_t looked_at;
    int64_t t = now();
    uint64_t sections = 0;
    leave_if_caught();
    reap();
    show();
    for (unsigned i = 0; i < demo.workers; i++)
        sections += atomic_load(&demo.board->bench[i].sections);
    if (sections != demo.moved_sections || t - looked_at > SECOND) { /* or we were all stopped */
        demo.moved_sections = sections;
        demo.moved_at = t;
    }
    looked_at = t;
    if (t - demo.moved_at < HUNG_AFTER * SECOND)
        return;
    fprintf(stderr, "%swordcount: who takes part:\n", demo.terminal ? "\n" : "");
    tarn_participants(demo.seg, show_participant, NULL);
    give_up("no worker has committed anything for %d s", HUNG_AFTER);
}

/* ---- the parent: killing -------------------------------------------------------------------------------------------- */

/* Choose a victim and the moment. Seven times of eight it is one that has begun to count, else one in whatever it is doing: it may
 * still be attaching, or be in the midst of recovering the one before. */
static unsigned aim(void)
{
    nap(draw(KILLS_APART));
    unsigned i = (unsigned)draw(demo.workers);
    int64_t until = now() + 2 * SECOND;
    look_around();
    bool at_work = draw(8) != 0;
    while (at_work && atomic_load(&demo.board->bench[i].pid) != demo.worker[i] && now() < until) {
        nap(50000);
        look_around();
    }
    nap(draw(1000000));
    return i;
}

static void kill_one(void)
{
    unsigned i = aim();
    struct board *b = demo.board;
    struct bench *bench = &b->bench[i];
    int64_t t = now(), began = atomic_load(&bench->began), before = atomic_load(&b->kill_at);
    if (before && began && began < before + NEAR && atomic_load(&bench->pid) == demo.worker[i])
        raise_to(&b->longest_wait, t - began); /* it will not note this any more */
    atomic_store(&b->kill_before, before);
    atomic_store(&b->kill_at, t);
    kill(demo.worker[i], SIGKILL);
    demo.killed++;
    start_worker(i);
}

/* No more pieces than to the end of the round that is under way. */
static void let_finish(void)
{
    struct work *work = demo.work;
    uint64_t pieces = demo.text->pieces, stop_at;
    int result;
    do {
        if ((result = tarn_begin(demo.seg)) < 0)
            break;
        if ((result = lock_for_section(demo.seg, &work->lock)) == 0 &&
            (result = tarn_save(demo.seg, &work->stop_at, sizeof work->stop_at)) == 0) {
            stop_at = (work->next + pieces - 1) / pieces * pieces;
            work->stop_at = stop_at ? stop_at : pieces;
            result = tarn_commit(demo.seg);
        } else
            tarn_abort(demo.seg);
    } while (result == -EDEADLK);
    if (result < 0)
        give_up("cannot end the work: %s", tarn_error());
}

static void run(void)
{
    demo.began = demo.shown_at = demo.moved_at = now();
    for (unsigned i = 0; i < demo.workers; i++)
        start_worker(i);
    while (demo.killed < demo.kills && !(demo.seconds && now() - demo.began > (int64_t)demo.seconds * SECOND)) {
        kill_one();
        look_around();
    }
    let_finish();
    for (bool working = true; working;) {
        nap(2000000);
        look_around();
        working = false;
        for (unsigned i = 0; i < demo.workers; i++)
            working |= demo.worker[i] != 0;
    }
    while (waitpid(-1, NULL, 0) > 0) { /* the killed whose memory takes long to tear down */
    }
    if (demo.terminal)
        fputs("\r\033[K", stdout);
}

/* ---- the judge: a private count ------------------------------------------------------------------------------------- */

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

static void judge_count(void)
{
    struct word w;
    uint64_t at = 0;
    const char *bytes = (const char *)demo.text + demo.text->bytes_at;
    while (next_word(bytes, demo.text->bytes, &at, &w)) {
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
static void compare(void)
{
    int result = tarn_map_each(demo.map, note_shared, NULL);
    if (result < 0)
        give_up("cannot walk over the map: %s", tarn_error());
    for (size_t i = 0; i < judge.room; i++) {
        struct entry *e = &judge.entry[i];
        uint64_t found = 0, expected = e->count * judge.rounds;
        size_t size = 0;
        if (!e->count)
            continue;
        result = tarn_map_get(demo.map, e->word.text, e->word.size, &found, sizeof found, &size);
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

/* ---- the end -------------------------------------------------------------------------------------------------------- */

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

/* What the map should hold, what it holds, what the segment says of itself. The exit status, and the last line. */
static int judge_and_report(double seconds, char *ret_line, size_t room)
{
    struct tarn_stat st;
    uint64_t words = 0, retries = 0, leaked = 0;
    int64_t began = now(), wait = atomic_load(&demo.board->longest_wait);
    judge_count();
    double alone = (double)judge.words * SECOND / (double)(now() - began);
    judge.rounds = demo.work->stop_at / demo.text->pieces;
    compare();
    for (unsigned i = 0; i < demo.workers; i++) {
        words += demo.work->slot[i].words;
        retries += atomic_load(&demo.board->bench[i].retries);
    }
    if (words != judge.words * judge.rounds)
        mismatch("all words", strlen("all words"), words, judge.words * judge.rounds, "the slots say");
    leave_if_caught();

    int recovered = tarn_recover(demo.seg), damages = tarn_check(demo.seg, show_damage, NULL);
    int leaks = tarn_leaked(demo.seg, &leaked);
    if (recovered < 0 || damages < 0 || leaks < 0 || tarn_stat(demo.seg, &st) < 0)
        give_up("cannot look over the segment: %s", tarn_error());
    judge.mismatches += (uint64_t)damages;

    show_commonest();
    printf("text: %.1f MiB of %" PRIu64 " files, %" PRIu64 " words, %zu different, in %" PRIu64 " pieces\n",
           (double)demo.text->bytes / (1 << 20), demo.text->files, judge.words, judge.used, demo.text->pieces);
    printf(
        "counted %" PRIu64
        " times over by %u workers under fire: %.2f M words/s; once by one private process: %.2f M words/s\n",
        judge.rounds, demo.workers, (double)words / seconds / 1e6, alone / 1e6);
    printf("%" PRIu64 " processes started, %" PRIu64 " killed; %" PRIu64
           " sections aborted for a deadlock and tried again\n",
           demo.started, demo.killed, retries);
    printf("longest section of a survivor about a kill: %.2f ms; with no kill near: %.2f ms\n",
           (double)wait / 1e6, (double)atomic_load(&demo.board->longest_calm) / 1e6);
    if (st.undone * 10 < demo.killed)
        printf("note: fewer than a tenth of the kills met an open section: the killer aimed badly\n");
    printf("%s\n", judge.mismatches
                       ? "the counts DIFFER from the private process's, or the segment is damaged"
                       : "every count is the private process's");
    snprintf(ret_line, room,
             "RESULT backing=%s words=%" PRIu64 " kills=%" PRIu64 " recovered=%" PRIu64 " undone=%" PRIu64
             " mismatches=%" PRIu64 " leaked_bytes=%" PRIu64 " longest_wait_us=%" PRId64,
             backings[demo.backing], words, demo.killed, st.recovered, st.undone, judge.mismatches, leaked,
             wait / 1000);
    return judge.mismatches || leaked;
}

/* ---- the beginning -------------------------------------------------------------------------------------------------- */

static void open_segment(void)
{
    struct tarn_options options = {.size = sizeof options, .limit = (uint64_t)4 << 30};
    int result = -EEXIST;
    for (unsigned i = 0; i < 100 && result == -EEXIST; i++) { /* a demo that was SIGKILLed may have left the name */
        if (demo.backing == POSIX)
            snprintf(demo.url, sizeof demo.url, i ? "posix:/tarn-demo-%d-%u" : "posix:/tarn-demo-%d", demo.pid, i);
        else
            snprintf(demo.url, sizeof demo.url, demo.backing == MEMFD ? "memfd:tarn-demo" : "anon:");
        result = tarn_open(demo.url, TARN_CREATE | TARN_EXCL, &options, &demo.seg);
    }
    if (result < 0)
        give_up("cannot make the segment %s: %s", demo.url, tarn_error());
    if (tarn_object(demo.seg, "work", struct work, &demo.work) < 0 ||
        tarn_map_open(demo.seg, "words", TARN_CREATE, &demo.map) < 0)
        give_up("cannot make the map: %s", tarn_error());
    demo.work->stop_at = UINT64_MAX; /* nobody else is there yet */
}

static const char usage[] =
    "usage: wordcount [--text PATH...] [--workers N] [--kills N] [--seconds N] [--backing NAME] [--keep]\n"
    "\n"
    "Counts the words of a text by several processes into one shared map, while a killer SIGKILLs them, and\n"
    "compares with what one private process counts. The text is gone through again until the kills are "
    "done.\n"
    "\n"
    "  --text PATH...   files, or directories of files (default: what is found below /usr; at most 64 MiB)\n"
    "  --workers N      1 to 32 processes that count (default 2)\n"
    "  --kills N        kills before the end (default 200; 0: none)\n"
    "  --seconds N      end the killing after N seconds; without --kills: however many kills that gives\n"
    "  --backing NAME   memfd (default), posix or anon\n"
    "  --keep           with posix: leave the segment, and say where it is\n"
    "\n"
    "The last line is RESULT and name=value pairs. undone: sections found open and undone; mismatches: words "
    "whose\n"
    "count differs, and damages; leaked_bytes: neither reachable nor free; longest_wait_us: the longest "
    "section of a\n"
    "survivor that was under way when another was killed, or began within 1 ms after.\n"
    "Exit status: 0; 1: mismatches or leaked_bytes is not 0, or it could not be done; 2: wrong arguments.\n";

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("wordcount: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("; wordcount --help says what there is\n", stderr);
    va_end(arguments);
    exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || n < least || n > most)
        wrong("%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'", option, least, most, text);
    return n;
}

static unsigned backing(const char *name)
{
    for (unsigned i = 0; i < BACKINGS; i++)
        if (strcmp(name, backings[i]) == 0)
            return i;
    wrong("--backing is memfd, posix or anon, not '%s'", name);
}

static void parse(int argc, char **argv)
{
    bool kills = false;
    demo.paths = calloc((size_t)argc, sizeof *demo.paths);
    if (!demo.paths)
        wrong("no memory for the arguments");
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (strcmp(option, "--keep") == 0) {
            demo.keep = true;
            continue;
        }
        bool text = strcmp(option, "--text") == 0;
        if (!text && strcmp(option, "--workers") && strcmp(option, "--kills") &&
            strcmp(option, "--seconds") && strcmp(option, "--backing"))
            wrong("there is no option '%s'", option);
        if (!value || strncmp(value, "--", 2) == 0)
            wrong("%s needs a value", option);
        i++;
        if (text) {
            demo.paths[demo.path_count++] = argv[i];
            while (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
                demo.paths[demo.path_count++] = argv[++i];
        } else if (strcmp(option, "--workers") == 0)
            demo.workers = (unsigned)number(option, value, 1, WORKERS_MOST);
        else if (strcmp(option, "--kills") == 0) {
            demo.kills = number(option, value, 0, 1000000);
            kills = true;
        } else if (strcmp(option, "--seconds") == 0)
            demo.seconds = number(option, value, 1, 86400);
        else
            demo.backing = backing(value);
    }
    if (demo.keep && demo.backing != POSIX)
        wrong("--keep needs --backing posix: what has no name ends with its last user");
    if (demo.seconds && !kills)
        demo.kills = UINT64_MAX;
}

int main(int argc, char **argv)
{
    static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};
    char result[512];
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: a nap ends at once */
    if (argc == 6 && strcmp(argv[1], "--worker") == 0)
        return worker_main(argv + 2);
    parse(argc, argv);
    demo.pid = getpid();
    demo.terminal = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        sigaction(ending[i], &action, NULL);
    read_text();
    demo.board = make_shared("board", sizeof *demo.board, &demo.board_fd);
    open_segment();
    run();
    int status = judge_and_report((double)(now() - demo.began) / (double)SECOND, result, sizeof result);
    clean_up();
    puts(result);
    return status;
}

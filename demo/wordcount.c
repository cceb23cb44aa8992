/* wordcount - counts the words of real text by several processes into one shared map, while a killer SIGKILLs them.
 *
 * What it shows: a word and the place in the text up to which words have been counted change together, in one section. So a
 * worker may be killed at any instruction, its successor goes on from the last commit, and at the end every word has been
 * counted exactly once. A private count of the same text, by one process whom nobody kills, is the judge.
 *
 * This file is the parent: options, the killer, the display, and that nothing is left behind. text.c reads, work.c counts, judge.c
 * judges; demo.h has what they share.
 *
 * In the segment: struct work under the name "work", and a map, word to count, under the name "words". Work is handed out there, in
 * pieces of some KiB. work.c has the order of locks and the commit points.
 *
 * Outside the segment, each in an unlinked memfd: the text, read only, and struct board, on which the workers note what the
 * display and the measurements need. Nothing that is counted rests on the board: who measures a library had better not use it.
 *
 * memfd: workers execute this program anew and attach by the inherited descriptor; posix: the same, and open by name; anon: they
 * are plain forks. The killer starts a successor at once, before the dead one's memory is torn down.
 *
 * The parent takes no part in counting, and is not killed. Who kills it ends the workers with it, and with posix the name stays.
 *
 * SPDX-License-Identifier: MIT */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    HUNG_AFTER = 20, /* seconds in which nobody commits anything */
    BAR_MOST = 20,   /* columns */
};
#define KILLS_APART ((uint64_t)SECOND / 50) /* at most, plus what aiming takes */

/* ---- ways out ------------------------------------------------------------------------------------------------------- */

const char *const backings[BACKINGS] = {"memfd", "posix", "anon", "file", "sysv"};

static struct demo demo = {.workers = 2, .kills = 200, .text_fd = -1, .board_fd = -1};

/* What only the display and look_around need. */
static struct display {
    bool terminal;
    int64_t began, shown_at, moved_at;
    uint64_t shown_words, moved_sections;
    double rate;
} display;

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

static bool has_name(void)
{
    return demo.backing == POSIX || demo.backing == ON_FILE || demo.backing == SYSV;
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
        if (has_name() && demo.keep)
            printf("kept: %s\n", demo.url);
        else if (has_name() && tarn_unlink(demo.url) < 0)
            fprintf(stderr, "wordcount: %s stays: %s\n", demo.url, tarn_error());
    }
}

void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (display.terminal)
        fputs("\r\033[K", stdout);
    fflush(stdout);
    fputs("wordcount: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    clean_up();
    exit(1);
}

void leave_if_caught(void)
{
    if (!caught)
        return;
    int number = caught;
    if (display.terminal)
        fputc('\n', stdout);
    clean_up();
    if (number != SIGPIPE)
        fprintf(stderr, "wordcount: stopped by SIG%s after %" PRIu64 " kills; cleaned up\n",
                sigabbrev_np(number), demo.killed);
    signal(number, SIG_DFL); /* so that a calling shell sees it too */
    raise(number);
    exit(1);
}

/* ---- workers -------------------------------------------------------------------------------------------------------- */

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
        if (WIFSIGNALED(status) && !(was_killed && WTERMSIG(status) == SIGKILL))
            give_up("worker process %d died of SIG%s, which nobody sent", pid, sigabbrev_np(WTERMSIG(status)));
        if (WIFEXITED(status) && (was_killed || WEXITSTATUS(status)))
            give_up("worker process %d ended early, with status %d", pid, WEXITSTATUS(status));
    }
}

/* ---- display -------------------------------------------------------------------------------------------------------- */

/* One line over the one before: as much of the bar and of the text as there are columns for, since a line that wraps cannot be
 * written over. The last columns stay free for ^C; what is left of the line before is erased last, so that nothing flickers. */
static void show_on_terminal(const char *text, double part)
{
    struct winsize window;
    int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 3 ? window.ws_col - 3 : 77;
    int room = columns - 3 - (int)strlen(text), width = room < BAR_MOST ? room : BAR_MOST;
    int done = part >= 1 ? width : (int)(width * part);
    fputc('\r', stdout);
    if (width >= 4)
        printf("[%.*s%.*s] ", done, "####################", width - done, "....................");
    printf("%.*s\033[K", columns, text);
}

static void show(void)
{
    char text[160];
    int64_t t = now();
    struct tarn_stat st;
    uint64_t words = 0;
    if (t - display.shown_at < (display.terminal ? SECOND / 5 : SECOND) || tarn_stat(demo.seg, &st) < 0)
        return;
    for (unsigned i = 0; i < demo.workers; i++)
        words += atomic_load(&demo.board->bench[i].words);
    double rate = (double)(words - display.shown_words) * SECOND / (double)(t - display.shown_at);
    display.rate = display.rate > 0 && display.terminal ? 0.7 * display.rate + 0.3 * rate : rate;
    display.shown_at = t;
    display.shown_words = words;

    double part = demo.kills ? (double)demo.killed / (double)demo.kills : 0;
    double elapsed = (double)(t - display.began) / SECOND;
    if (demo.seconds && elapsed / (double)demo.seconds > part)
        part = elapsed / (double)demo.seconds;
    snprintf(text, sizeof text,
             "%" PRIu64 " killed, %" PRIu64 " undone, %.2f M words, %.2f M/s, longest wait %.2f ms",
             demo.killed, st.undone, (double)words / 1e6, display.rate / 1e6,
             (double)atomic_load(&demo.board->longest_wait) / 1e6);
    if (display.terminal)
        show_on_terminal(text, part);
    else
        printf("%5.1f s: %s\n", elapsed, text);
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
    if (sections != display.moved_sections || t - looked_at > SECOND) { /* or we were all stopped */
        display.moved_sections = sections;
        display.moved_at = t;
    }
    looked_at = t;
    if (t - display.moved_at < HUNG_AFTER * SECOND)
        return;
    fprintf(stderr, "%swordcount: who takes part:\n", display.terminal ? "\n" : "");
    tarn_participants(demo.seg, show_participant, NULL);
    give_up("no worker has committed anything for %d s", HUNG_AFTER);
}

/* ---- killing -------------------------------------------------------------------------------------------------------- */

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

static void run(void)
{
    display.began = display.shown_at = display.moved_at = now();
    for (unsigned i = 0; i < demo.workers; i++)
        start_worker(i);
    while (demo.killed < demo.kills && !(demo.seconds && now() - display.began > (int64_t)demo.seconds * SECOND)) {
        kill_one();
        look_around();
    }
    if (stop_work(demo.seg, demo.work, demo.text) < 0)
        give_up("cannot end the work: %s", tarn_error());
    for (bool working = true; working;) {
        nap(2000000);
        look_around();
        working = false;
        for (unsigned i = 0; i < demo.workers; i++)
            working |= demo.worker[i] != 0;
    }
    while (waitpid(-1, NULL, 0) > 0) { /* the killed whose memory takes long to tear down */
    }
    if (display.terminal)
        puts("\r\033[Kall has been counted; now one private process counts the same text");
}

/* ---- the beginning -------------------------------------------------------------------------------------------------- */

static void open_segment(void)
{
    struct tarn_options options = {.size = sizeof options, .limit = (uint64_t)4 << 30};
    int result = -EEXIST;
    for (unsigned i = 0; i < 100 && result == -EEXIST; i++) { /* a demo that was SIGKILLed may have left the name */
        const char *directory = getenv("TMPDIR");
        if (demo.backing == ON_FILE)
            snprintf(demo.url, sizeof demo.url, "file:%.300s/tarn-demo-%d-%u", directory ? directory : "/tmp",
                     demo.pid, i);
        else if (demo.backing == SYSV) /* a key is a number: one that nobody else is likely to have */
            snprintf(demo.url, sizeof demo.url, "sysv:%u", 0x74000000u + (unsigned)demo.pid + i * 0x100000u);
        else if (demo.backing == POSIX)
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

static const char usage[] = "usage: wordcount [--text PATH...] [--workers N] [--kills N] [--seconds N]\n"
                            "                 [--backing NAME] [--keep]\n"
                            "\n"
                            "Counts the words of a text by several processes into one shared map, while a\n"
                            "killer SIGKILLs them, and compares with what one private process counts. The\n"
                            "text is gone through again until the kills are done.\n"
                            "\n"
                            "  --text PATH...   files, or directories of files, at most 64 MiB\n"
                            "                   (default: what is found below /usr)\n"
                            "  --workers N      1 to 32 processes that count (default 2)\n"
                            "  --kills N        kills before the end (default 200; 0: none)\n"
                            "  --seconds N      end the killing after N seconds; without --kills: however\n"
                            "                   many kills that gives\n"
                            "  --backing NAME   memfd (default), posix, anon, sysv, or file (in\n"
                            "                   TMPDIR, or /tmp)\n"
                            "  --keep           with posix, file or sysv: leave it, and say where\n"
                            "\n"
                            "The last line is RESULT and name=value pairs:\n"
                            "  undone           sections found open and undone\n"
                            "  mismatches       words whose count differs, and damages\n"
                            "  leaked_bytes     neither reachable nor free\n"
                            "  longest_wait_us  the longest section of a survivor that was under way when\n"
                            "                   another was killed, or began within 1 ms after\n"
                            "Exit status: 0; 1: mismatches or leaked_bytes is not 0, or it could not be\n"
                            "done; 2: wrong arguments.\n";

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

static enum backing backing(const char *name)
{
    for (enum backing i = 0; i < BACKINGS; i++)
        if (strcmp(name, backings[i]) == 0)
            return i;
    wrong("--backing is memfd, posix, anon, file or sysv, not '%s'", name);
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
    if (demo.keep && !has_name())
        wrong("--keep needs --backing posix, file or sysv: what has no name ends with its last user");
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
    display.terminal = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        sigaction(ending[i], &action, NULL);
    demo.text = read_text(demo.paths, demo.path_count, &demo.text_fd);
    leave_if_caught();
    demo.board = make_shared("board", sizeof *demo.board, &demo.board_fd);
    open_segment();
    run();
    int status = judge_and_report(&demo, (double)(now() - display.began) / (double)SECOND, result, sizeof result);
    clean_up();
    puts(result);
    return status;
}

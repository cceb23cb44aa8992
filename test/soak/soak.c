/* soak.c - random work and random deaths for as long as one likes: the controller. See soak.h.
 *
 * A run is a number of lives, each a segment of its own; a life a number of rounds. In a round, workers do what they like and are killed, stopped and
 * continued; at its end they stand still. Then all dead are recovered, and the segment is compared with the log, by values, by
 * members, by names, by bytes; what is there is taken down by the survivors, some of whom die of it; and what is allocated must be what was
 * allocated when the life began. A worker that sees something wrong stops, and so does everybody else: the segment's image is kept.
 *
 * The seed gives every choice; when a kill meets a worker, and who comes first to a lock, is the machine's, so a seed repeats a run's
 * choices and not its every step. */
#include <fcntl.h>
#include <getopt.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

#include "sync/sync.h"

unsigned processes = 6;

static struct {
    pid_t pid;
    uint64_t continues; /* it is stopped until then; 0: it runs */
} process[PROCESSES];

static struct {
    uint64_t rounds, lives, kills, exits, signals, execs, left, stops, recovered, undone, leaked;
} count;

static const char *backing;
static uint64_t deadline, kills_wanted, baseline, began;
static unsigned every = 10;
static char directory[64]; /* of the default's segments */
static pid_t controller;
static volatile sig_atomic_t interrupted;
enum { HANG_MS = 20000 };

static void usage(FILE *to)
{
    fputs("usage: soak [OPTIONS]\n"
          "  --minutes N      how long (default 1; a fraction is fine)\n"
          "  --seconds N      the same\n"
          "  --kills N        until so many SIGKILLs, however long it takes\n"
          "  --seed N         which choices (default: from the clock; it is printed)\n"
          "  --backing URL    posix:/NAME, sysv:KEY, file:PATH, memfd:LABEL, anon: (default: a posix: in a "
          "directory of its own)\n"
          "  --processes N    1 to 8 at a time (default 6)\n"
          "  --progress N     a line every N seconds (default 10; 0: none)\n"
          "Processes do everything at random to one segment, and are killed, stopped, continued; they exec, "
          "exit and fork at bad moments. All that\n"
          "they did is compared with a log outside the segment. The last line is\n"
          "  SOAK kills=N operations=N violations=N leaked_bytes=N longest_wait_us=N\n"
          "Exit status 0: no violation and nothing leaked. A violation ends the run, and leaves the "
          "segment's image, and the command to look\n"
          "at it.\n",
          to);
}

/* ---- when something is wrong ---- */

static pid_t child_pid(const struct log *l)
{
    return (pid_t)(uint32_t)l->child;
}

static void signal_all(int signal)
{
    for (unsigned p = 0; p < processes; p++) {
        const struct log *child = &shared->log[p * LANE + THREADS];
        if (process[p].pid > 0)
            kill(process[p].pid, signal);
        if (child->active && child_pid(child) > 0)
            kill(child_pid(child), signal);
    }
}

static void remove_segment(void)
{
    if (segment && !shared->url_is_anonymous)
        (void)tarn_unlink(shared->url);
    if (directory[0])
        (void)rmdir(directory);
}

static int show_participant(const struct tarn_participant *p, void *arg)
{
    fprintf(arg, "participant %#x: pid %u tid %u state %c%s, %u locks, waits for %#llx\n", p->id, p->pid, p->tid,
            p->state, p->section_open ? ", section open" : "", p->locks_held, (unsigned long long)p->waits);
    return 0;
}

static void show_state(FILE *to)
{
    fprintf(to, "%s\nseed %llu, life %u, round %u, %llu kills so far; wait words' cap %s\n", shared->fault,
            (unsigned long long)shared->seed, shared->life, shared->round, (unsigned long long)count.kills,
            shared->cap_off ? "off" : "on");
    if (segment)
        (void)tarn_participants(segment, show_participant, to);
    for (unsigned c = 0; root && c < COUNTERS; c++)
        fprintf(to, "counter %u: lock at %#llx, owner %#x, waiters %u; by the log: slot %d, incarnation %u, left dirty %llu\n",
                c, (unsigned long long)tarn_ref_of(segment, &root->counter[c].lock),
                root->counter[c].lock.owner, root->counter[c].lock.waiters, (int)(shared->holder[c] >> 32) - 1,
                (uint32_t)shared->holder[c], (unsigned long long)shared->left_dirty[c]);
    for (unsigned s = 0; s < processes * LANE; s++) {
        const struct log *l = &shared->log[s];
        fprintf(to, "slot %u: pid %d, active %u, incarnation %u (dying %u), parked %u, in '%s' for %llu ms\n",
                s, l->pid, l->active, l->incarnation, l->dying, l->parked, operation_name(l->what),
                (unsigned long long)(now_ms() - l->since_ms));
        for (uint32_t i = 0; i < l->changes; i++)
            fprintf(to, "    in flight: %s: %llx to %llx\n", item_name((unsigned)l->change[i].item),
                    (unsigned long long)l->change[i].before, (unsigned long long)l->change[i].after);
    }
}

/* The object's bytes; holes stay holes. */
static int copy_image(const char *to)
{
    struct stat st;
    static char page[4096];
    int in = tarn_fd(segment), out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct tarn_stat t;
    const char *base = tarn_base(segment);
    if (out < 0 || tarn_stat(segment, &t) != 0)
        return -1;
    uint64_t size = in >= 0 && fstat(in, &st) == 0 ? (uint64_t)st.st_size : t.total;
    int e = ftruncate(out, (off_t)size);
    for (uint64_t at = 0; at < size && e == 0; at += sizeof page) {
        static const char zero[sizeof page];
        size_t n = size - at < sizeof page ? size - at : sizeof page;
        if (in < 0)
            memcpy(page, base + at, n);
        else if (pread(in, page, n, (off_t)at) != (ssize_t)n)
            e = -1;
        if (e == 0 && memcmp(page, zero, n) != 0 && pwrite(out, page, n, (off_t)at) != (ssize_t)n)
            e = -1;
    }
    close(out);
    return e;
}

static void result(uint64_t violations);

/* Everybody stops where he is; the image, and what the log says, are kept. */
static void end_in_violation(void) __attribute__((noreturn));
static void end_in_violation(void)
{
    char keep[256], name[300];
    const char *tmp = getenv("TMPDIR");
    FILE *report;
    signal_all(SIGSTOP);
    usleep(20000);
    fprintf(stderr, "VIOLATION %s\n", shared->fault);
    show_state(stderr);
    snprintf(keep, sizeof keep, "%s/tarn-soak-image-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
    if (mkdtemp(keep)) {
        snprintf(name, sizeof name, "%s/report", keep);
        if ((report = fopen(name, "we"))) {
            show_state(report);
            fclose(report);
        }
        snprintf(name, sizeof name, "%s/image", keep);
        if (segment && copy_image(name) == 0)
            fprintf(stderr,
                    "The segment's image is %s, and who was at what is in %s/report. To look at it:\n"
                    "  TARN_SHM_DIR=%s tarn check posix:/image\n  TARN_SHM_DIR=%s tarn info posix:/image\n",
                    name, keep, keep, keep);
        else
            fprintf(stderr, "The segment's image could not be kept in %s: %m\n", keep);
    } else
        fprintf(stderr, "There is no room for the segment's image: %s: %m\n", keep);
    fprintf(stderr, "The same choices again: soak --seed %llu%s%s --processes %u\n",
            (unsigned long long)shared->seed, backing ? " --backing " : "", backing ? backing : "", processes);
    signal_all(SIGKILL);
    while (wait(NULL) > 0)
        ;
    remove_segment();
    result(1);
    exit(1);
}

static void look_for_violation(void)
{
    if (!shared->fault_taken)
        return;
    for (int i = 0; i < 1000 && shared->fault_taken != 2; i++)
        usleep(1000);
    end_in_violation();
}

void violation(const char *format, ...)
{
    uint32_t none = 0;
    if (__atomic_compare_exchange_n(&shared->fault_taken, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        char text[300];
        va_list a;
        va_start(a, format);
        vsnprintf(text, sizeof text, format, a);
        va_end(a);
        snprintf(shared->fault, sizeof shared->fault, "pid %d, slot %u: %s", getpid(), me.slot, text);
        __atomic_store_n(&shared->fault_taken, 2, __ATOMIC_SEQ_CST);
    }
    if (getpid() == controller)
        look_for_violation();
    for (;;)
        pause();
}

/* ---- processes ---- */

static void start(unsigned p)
{
    struct log *l = &shared->log[p * LANE];
    for (unsigned t = 0; t < THREADS; t++) {
        l[t].incarnation++;
        l[t].active = 0;
        l[t].ends = 0;
    }
    l->active = 1;
    l->since_ms = now_ms();
    l->parked = 0;
    process[p].continues = 0;
    process[p].pid = fork();
    if (process[p].pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    if (getppid() != controller)
        _exit(1);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    alarm(300);
    work(p * LANE, false);
    _exit(0);
}

static void start_all(void)
{
    for (unsigned p = 0; p < processes; p++)
        if (process[p].pid <= 0)
            start(p);
}

static void mark(unsigned p)
{
    for (unsigned t = 0; t < THREADS; t++)
        mark_dying(&shared->log[p * LANE + t], now_ns());
}

static void go_on(unsigned p)
{
    if (!process[p].continues)
        return;
    if (process[p].pid > 0)
        kill(process[p].pid, SIGCONT);
    process[p].continues = 0;
    __atomic_fetch_sub(&shared->stopped, 1, __ATOMIC_SEQ_CST);
}

static void stop(unsigned p)
{
    if (process[p].pid <= 0 || process[p].continues || shared->stopped >= 2)
        return;
    __atomic_fetch_add(&shared->stopped, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&shared->stops, 1, __ATOMIC_SEQ_CST);
    kill(process[p].pid, SIGSTOP);
    process[p].continues = now_ns() + (100 + chance(chance(2) ? 2000 : 20000)) * 1000ull;
    count.stops++;
}

static void continue_due(bool all)
{
    for (unsigned p = 0; p < processes; p++)
        if (process[p].continues && (all || process[p].continues <= now_ns()))
            go_on(p);
}

/* The whole group was told to end, as timeout(1) and a terminal do: then this process was, too. */
static bool all_are_to_end(int signal)
{
    if (signal != SIGTERM && signal != SIGINT)
        return false;
    for (int i = 0; i < 50 && !interrupted; i++)
        usleep(1000);
    return interrupted;
}

/* A process ended: as it was to? */
static void tell_end(int status, const struct log *l)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (signal == SIGKILL)
        count.kills++;
    else if (signal && (l->ends >> signal & 1 || all_are_to_end(signal)))
        count.signals++;
    else if (signal)
        violation("the worker of slot %u ended by signal %d in '%s'", (unsigned)(l - shared->log), signal,
                  operation_name(l->what));
    else if (WEXITSTATUS(status) == 3)
        count.exits++;
    else if (WEXITSTATUS(status) == 0)
        count.left++;
    else
        violation("the worker of slot %u ended with status %d", (unsigned)(l - shared->log), WEXITSTATUS(status));
}

static void reap_one(pid_t pid, int status)
{
    for (unsigned p = 0; p < processes; p++) {
        struct log *l = &shared->log[p * LANE], *child = l + THREADS;
        if (process[p].pid == pid) {
            for (unsigned t = 0; t < THREADS; t++) {
                l[t].reaped_ns = now_ns();
                __atomic_store_n(&l[t].reaped, l[t].incarnation, __ATOMIC_RELEASE);
            }
            go_on(p);
            process[p].pid = 0;
            tell_end(status, l);
            for (unsigned t = 0; t < THREADS; t++)
                l[t].active = 0;
            if (child->active && child_pid(child) > 0 && kill(child_pid(child), 0) != 0) /* it reaped it, and could not say so */
                child->active = 0;
            return;
        }
        if (child->active && child_pid(child) == pid) {
            child->active = 0;
            tell_end(status, child);
            return;
        }
    }
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        reap_one(pid, status);
    look_for_violation();
}

static void look_for_hang(uint64_t since)
{
    uint64_t now = now_ms();
    for (unsigned s = 0; s < processes * LANE; s++) {
        const struct log *l = &shared->log[s];
        uint64_t from = l->since_ms > since ? l->since_ms : since;
        if (l->active == 1 && !process[s / LANE].continues && process[s / LANE].pid > 0 &&
            l->parked != shared->turn && now > from && now - from > HANG_MS)
            violation("slot %u hangs in '%s', for %llu ms", s, operation_name(l->what),
                      (unsigned long long)(now - from));
    }
}

/* ---- rounds ---- */

static void turn_to(enum phase phase)
{
    shared->phase = phase;
    __atomic_fetch_add(&shared->turn, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &shared->turn, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Does anybody still do something? */
static bool at_work(bool leaving)
{
    for (unsigned p = 0; p < processes; p++) {
        struct log *l = &shared->log[p * LANE], *child = l + THREADS;
        if (process[p].pid > 0 && (leaving || __atomic_load_n(&l->parked, __ATOMIC_ACQUIRE) != shared->turn))
            return true;
        if (child->active && process[p].pid <= 0 && say_who(child, (uint32_t)(child->child >> 32), -1))
            child->active = 0; /* its parent may have died before it forked */
        if (child->active)
            return true;
    }
    return false;
}

static void kill_one(unsigned p)
{
    if (process[p].pid <= 0)
        return;
    mark(p);
    kill(process[p].pid, SIGKILL);
}

/* Turn to that phase, and wait until all have come to it; some may die on the way. */
static void all_turn_to(enum phase phase, unsigned victims)
{
    uint64_t since = now_ms();
    turn_to(phase);
    while (at_work(phase == LEAVE)) {
        reap();
        continue_due(true);
        if (victims && chance(4) == 0) {
            kill_one(chance(processes));
            victims--;
        }
        look_for_hang(since);
        usleep(30);
    }
    reap();
}

static void act(void)
{
    uint32_t r = chance(100);
    if (r < 70)
        for (unsigned p = chance(processes), n = chance(4) ? 1 : 1 + chance(3); n; n--, p = (p + 1) % processes)
            kill_one(p);
    else if (r < 76)
        stop(chance(processes));
}

static void progress(void)
{
    static uint64_t last;
    uint64_t now = now_ns(), operations = 0, longest = 0;
    if (!every || now - last < every * 1000000000ull)
        return;
    last = now;
    for (unsigned s = 0; s < SLOTS; s++) {
        operations += shared->log[s].operations;
        if (shared->log[s].latest_ns > longest)
            longest = shared->log[s].latest_ns;
    }
    fprintf(stderr, "%4llu s: life %u, round %llu: %llu kills (%.0f a second), %llu operations, longest wait %llu us\n",
            (unsigned long long)((now - began) / 1000000000u), shared->life, (unsigned long long)count.rounds,
            (unsigned long long)count.kills, (double)count.kills / ((double)(now - began) / 1e9 + 0.001),
            (unsigned long long)operations, (unsigned long long)longest / 1000);
}

static bool over(void)
{
    return interrupted || (kills_wanted ? count.kills >= kills_wanted : now_ns() >= deadline);
}

static void take_down(void)
{
    char name[32];
    int e;
    for (unsigned s = 0; s < processes * LANE; s++) {
        be(s);
        tear_down();
    }
    empty_boxes();
    take_down_collections();
    for (unsigned n = 0; n < 4; n++) {
        sprintf(name, "shared %u", n);
        e = tarn_unbind(segment, name, 1);
        if (e && e != -ENOENT)
            violation("tarn_unbind: %d %s", e, tarn_error());
    }
    for (unsigned l = 0; l < LISTS; l++) {
        sprintf(name, "list %u", l);
        if ((e = tarn_unbind(segment, name, 1)))
            violation("tarn_unbind: %d %s", e, tarn_error());
    }
    if ((e = tarn_unbind(segment, "numbers", 1)) || (e = tarn_unbind(segment, "strings", 1)) ||
        (e = tarn_unbind(segment, "leaves", 1)) || (e = tarn_unbind(segment, "words", 1)))
        violation("tarn_unbind: %d %s", e, tarn_error());
}

static uint64_t allocated(void)
{
    struct tarn_stat st;
    if (tarn_stat(segment, &st))
        violation("tarn_stat: %s", tarn_error());
    if (st.dead)
        violation("%u participants are dead and not recovered", st.dead);
    return st.allocated - extents();
}

static void compare_baseline(void)
{
    uint64_t now = allocated(), leaked;
    int e = tarn_leaked(segment, &leaked);
    if (e)
        violation("tarn_leaked: %d %s", e, tarn_error());
    if (now != baseline || leaked) {
        count.leaked += now > baseline + leaked ? now - baseline : leaked;
        violation("all is taken down, and %llu bytes are allocated, not %llu; no name reaches %llu",
                  (unsigned long long)now, (unsigned long long)baseline, (unsigned long long)leaked);
    }
    if ((e = tarn_check(segment, NULL, NULL)))
        violation("tarn_check, after all was taken down: %d", e);
}

static void recover_all_dead(void)
{
    int e = tarn_recover(segment);
    if (e < 0)
        violation("tarn_recover: %d %s", e, tarn_error());
}

static void run_round(void)
{
    uint64_t since = now_ms(), until = count.kills + 1 + chance(150), pause = 20u << chance(6);
    shared->round++;
    open_maps();
    if (tarn_thread_detach(segment))
        violation("tarn_thread_detach: %s", tarn_error());
    memset(shared->holder, 0, sizeof shared->holder); /* nobody alive has a lock */
    for (unsigned s = 0; s < processes * LANE; s++)   /* who lives is as new: no mark of death is on him */
        shared->log[s].incarnation++;
    turn_to(RUN);
    while (count.kills < until && now_ms() - since < 1500 && !over()) {
        start_all();
        usleep(chance((uint32_t)pause));
        act();
        continue_due(false);
        reap();
        look_for_hang(since);
        progress();
    }
    all_turn_to(STAND, 0);
    recover_all_dead();
    for (unsigned s = 0; s < processes * LANE; s++) {
        be(s);
        count_soiled();
        count_units();
        resolve();
    }
    be(SLOTS);
    compare_all();
    compare_objects();
    all_turn_to(TEAR_DOWN, chance(3));
    recover_all_dead();
    take_down();
    be(SLOTS);
    compare_baseline();
    count.rounds++;
}

/* ---- lives ---- */

static void make_segment(void)
{
    static const uint32_t spans[] = {4096, 16384, 65536};
    struct tarn_options o = {.size = sizeof o,
                             .initial = 64u << 10 << chance(5),
                             .limit = 6u << 20 << chance(2),
                             .participants = SLOTS + 16,
                             .record_size = 2048u << chance(3),
                             .span_size = spans[chance(3)],
                             .exchange_unlock = chance(8) == 0,
                             .same_address = chance(8) == 0,
                             .prefault = chance(8) == 0};
    shared->same_address = o.same_address;
    if (tarn_open(shared->url, TARN_CREATE | TARN_EXCL, &o, &segment) != 0) {
        fprintf(stderr, "soak: %s\n", tarn_error());
        exit(2);
    }
    if (tarn_object(segment, "root", struct root, &root))
        violation("tarn_object: %s", tarn_error());
    shared->segment_fd = -1;
    if (shared->url_is_anonymous) { /* whoever execs finds it by number */
        shared->segment_fd = fcntl(tarn_fd(segment), F_DUPFD, 100);
        if (shared->segment_fd < 0)
            violation("F_DUPFD: %m");
    }
    make_objects();
    baseline = allocated();
}

static void forget_life(void)
{
    memset(shared->holder, 0, sizeof shared->holder);
    memset(shared->left_dirty, 0, sizeof shared->left_dirty);
    memset(shared->soiled, 0, sizeof shared->soiled);
    memset(shared->told, 0, sizeof shared->told);
    memset(shared->units, 0, sizeof shared->units);
    memset(shared->resets_begun, 0, sizeof shared->resets_begun);
    memset(shared->resets_ended, 0, sizeof shared->resets_ended);
    memset(shared->once_in, 0, sizeof shared->once_in);
    memset(shared->once_ended, 0, sizeof shared->once_ended);
    for (unsigned s = 0; s < SLOTS; s++) {
        memset(shared->log[s].item, 0, sizeof shared->log[s].item);
        shared->log[s].changes = 0;
    }
}

/* Nobody else is there, nothing is left: can all memory be had? Some spans are partly used by what stays, or belong to a size class. */
static void have_all_memory(void)
{
    struct tarn_stat st;
    uint64_t had = 0;
    tarn_ref ref;
    int e = tarn_stat(segment, &st);
    size_t size = e ? 0 : st.span_size / 8;
    if (e || tarn_begin(segment))
        violation("tarn_stat, tarn_begin: %s", tarn_error());
    while ((e = tarn_alloc(segment, size, &ref)) == 0)
        had += size;
    if (e != -ENOSPC && e != -ENOMEM)
        violation("tarn_alloc: %d %s", e, tarn_error());
    if (tarn_abort(segment) || tarn_stat(segment, &st))
        violation("tarn_abort, tarn_stat: %s", tarn_error());
    if (had < st.data / 10 * 8)
        violation("nobody is there, and of %llu bytes only %llu can be had", (unsigned long long)st.data,
                  (unsigned long long)had);
    if (allocated() != baseline)
        violation("allocated, undone, and %llu bytes are left", (unsigned long long)(allocated() - baseline));
}

static void live_once(void)
{
    struct tarn_stat st;
    unsigned rounds = 2 + chance(30);
    shared->life++;
    me.random = mix(shared->seed + shared->life * 0x9e3779b97f4a7c15ull);
    shared->cap_off = chance(3) == 0;
    mutex_cap_off = shared->cap_off;
    forget_life();
    make_segment();
    while (rounds-- && !over())
        run_round();
    all_turn_to(LEAVE, 0);
    recover_all_dead();
    have_all_memory();
    if (tarn_thread_detach(segment) || tarn_stat(segment, &st))
        violation("tarn_thread_detach, tarn_stat: %s", tarn_error());
    if (st.participants)
        violation("all have left or are dead and recovered, and %u records are in use", st.participants);
    count.recovered += st.recovered;
    count.undone += st.undone;
    tarn_map_close(numbers);
    tarn_map_close(strings);
    tarn_tree_close(leaves);
    tarn_tree_close(phrases);
    numbers = strings = NULL;
    leaves = phrases = NULL;
    if (shared->segment_fd >= 0)
        close(shared->segment_fd);
    int e = tarn_close(segment);
    if (e)
        violation("tarn_close: %d %s", e, tarn_error());
    segment = NULL;
    root = NULL;
    if (!shared->url_is_anonymous && (e = tarn_unlink(shared->url)))
        violation("tarn_unlink: %d %s", e, tarn_error());
    count.lives++;
}

/* ---- the command ---- */

/* The least power of two, in us, below which that share of the waits stayed. */
static uint64_t quantile(double share)
{
    uint64_t sum = 0, upto = 0;
    unsigned n;
    for (n = 0; n < 24; n++)
        for (unsigned s = 0; s < SLOTS; s++)
            sum += shared->log[s].wait_below[n];
    for (n = 0; n < 24; n++) {
        for (unsigned s = 0; s < SLOTS; s++)
            upto += shared->log[s].wait_below[n];
        if ((double)upto >= share * (double)sum)
            break;
    }
    return 1ull << n;
}

static void result(uint64_t violations)
{
    struct log all = {0};
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct log *l = &shared->log[s];
        all.operations += l->operations;
        all.aborted += l->aborted;
        all.full += l->full;
        all.circles += l->circles;
        all.read_only += l->read_only;
        all.forked += l->forked;
        all.execs += l->execs;
        for (unsigned n = 0; n < CAME; n++)
            all.came[n] += l->came[n];
        all.waits += l->waits;
        all.waited_ns += l->waited_ns;
        if (l->longest_ns > all.longest_ns)
            all.longest_ns = l->longest_ns;
        if (l->latest_ns > all.latest_ns)
            all.latest_ns = l->latest_ns;
    }
    double s = (double)(now_ns() - began) / 1e9;
    printf("seed %llu, %.0f s: %llu lives, %llu rounds; %.0f kills and %.0f operations a second\n",
           (unsigned long long)shared->seed, s, (unsigned long long)count.lives,
           (unsigned long long)count.rounds, (double)count.kills / s, (double)all.operations / s);
    printf("other deaths: %llu by signals, %llu by _exit, %llu by exec; %llu left; %llu stops; %llu forks of "
           "workers\n",
           (unsigned long long)count.signals, (unsigned long long)count.exits, (unsigned long long)all.execs,
           (unsigned long long)count.left, (unsigned long long)count.stops, (unsigned long long)all.forked);
    printf("recovered %llu, sections undone %llu; aborted %llu, circles %llu, full %llu; read-only "
           "attachments %llu\n",
           (unsigned long long)count.recovered, (unsigned long long)count.undone, (unsigned long long)all.aborted,
           (unsigned long long)all.circles, (unsigned long long)all.full, (unsigned long long)all.read_only);
    printf("rwlocks: %llu upgrades, dirty %llu times; conditions: %llu changes seen; held semaphore: all "
           "units %llu times; barriers: %llu came through "
           "with others, broken or reset %llu; done once %llu; one of several %llu\n",
           (unsigned long long)all.came[UPGRADES], (unsigned long long)all.came[DIRTY_RWLOCKS],
           (unsigned long long)all.came[SIGNALLED], (unsigned long long)all.came[ALL_UNITS],
           (unsigned long long)all.came[TURNS], (unsigned long long)all.came[BROKEN_BARRIERS],
           (unsigned long long)all.came[ONCES_DONE], (unsigned long long)all.came[AWAITED]);
    printf("waits for the dead: %llu; from the kill on: mean %llu us, half of them below %llu us, 99.9 %% "
           "below %llu us, "
           "longest %llu us\n",
           (unsigned long long)all.waits, (unsigned long long)(all.waits ? all.waited_ns / all.waits / 1000 : 0),
           (unsigned long long)quantile(0.5), (unsigned long long)quantile(0.999),
           (unsigned long long)all.longest_ns / 1000);
    printf("SOAK kills=%llu operations=%llu violations=%llu leaked_bytes=%llu longest_wait_us=%llu\n",
           (unsigned long long)count.kills, (unsigned long long)all.operations, (unsigned long long)violations,
           (unsigned long long)count.leaked, (unsigned long long)all.latest_ns / 1000);
    fflush(stdout);
}

static double number(const char *text)
{
    char *end;
    double n = strtod(text, &end);
    if (end == text || *end || n < 0) {
        fprintf(stderr, "soak: not a number: %s\n", text);
        exit(2);
    }
    return n;
}

static void parse(int c, char **v)
{
    enum { MINUTES, SECONDS, KILLS, SEED, BACKING, COUNT, PROGRESS, HELP };
    static const struct option names[] = {
        {"minutes", 1, NULL, MINUTES},   {"seconds", 1, NULL, SECONDS}, {"kills", 1, NULL, KILLS},
        {"seed", 1, NULL, SEED},         {"backing", 1, NULL, BACKING}, {"processes", 1, NULL, COUNT},
        {"progress", 1, NULL, PROGRESS}, {"help", 0, NULL, HELP},       {0},
    };
    double seconds = 60;
    int option;
    while ((option = getopt_long(c, v, "", names, NULL)) >= 0)
        switch (option) {
        case MINUTES: seconds = 60 * number(optarg); break;
        case SECONDS: seconds = number(optarg); break;
        case KILLS: kills_wanted = (uint64_t)number(optarg); break;
        case SEED: shared->seed = strtoull(optarg, NULL, 0); break;
        case BACKING: backing = optarg; break;
        case COUNT: processes = (unsigned)number(optarg); break;
        case PROGRESS: every = (unsigned)number(optarg); break;
        case HELP: usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    if (backing && strcmp(backing, "sysv:private") == 0) {
        fprintf(stderr, "soak: sysv:private: who execs could not find it again; sysv:KEY can be had\n");
        exit(2);
    }
    if (optind < c || processes < 1 || processes > PROCESSES || (backing && strlen(backing) >= sizeof shared->url)) {
        usage(stderr);
        exit(2);
    }
    deadline = now_ns() + (uint64_t)(seconds * 1e9);
}

static void choose_url(void)
{
    if (!backing) {
        snprintf(directory, sizeof directory, "/dev/shm/tarn-soak-XXXXXX");
        if (!mkdtemp(directory)) {
            fprintf(stderr, "soak: %s: %m\n", directory);
            exit(2);
        }
        setenv("TARN_SHM_DIR", directory, 1);
    }
    snprintf(shared->url, sizeof shared->url, "%s", backing ? backing : "posix:/soak");
    shared->url_is_anonymous = strncmp(shared->url, "memfd:", 6) == 0 || strncmp(shared->url, "anon:", 5) == 0;
}

static void map_shared(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    if (shared == MAP_FAILED) {
        fprintf(stderr, "soak: the log: %m\n");
        exit(2);
    }
}

/* An exec of a worker's: it comes back, as another participant with the same slot. */
static void again(const char *slot, const char *fd)
{
    shared_fd = atoi(fd);
    map_shared();
    be((unsigned)atoi(slot));
    mutex_cap_off = shared->cap_off;
    alarm(300);
    me.log->execs++;
    if (open_segment(0, &segment) || tarn_object(segment, "root", struct root, &root))
        violation("after exec: %s", tarn_error());
    work(me.slot, false);
    _exit(0);
}

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

int main(int c, char **v)
{
    struct rlimit no_core = {0, 0}, space = {2ull << 30, 2ull << 30};
    program = v[0];
    if (c == 4 && strcmp(v[1], "--again") == 0)
        again(v[2], v[3]);
    shared_fd = memfd_create("soak log", 0);
    if (shared_fd < 0 || ftruncate(shared_fd, sizeof *shared) != 0) {
        fprintf(stderr, "soak: the log: %m\n");
        return 2;
    }
    map_shared();
    shared->seed = now_ns();
    controller = getpid();
    parse(c, v);
    choose_url();
    setrlimit(RLIMIT_CORE, &no_core);
    if (!SANITIZED)
        setrlimit(RLIMIT_AS, &space);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGTERM, interrupt);
    signal(SIGINT, interrupt);
    be(SLOTS);
    began = now_ns();
    fprintf(stderr, "seed %llu, %s\n", (unsigned long long)shared->seed, shared->url);
    while (!over())
        live_once();
    remove_segment();
    result(0);
    return 0;
}

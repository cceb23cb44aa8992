/* hammer_sync.c - the objects of synchronisation under random SIGKILLs, with the cap off: a lost wake-up is a hang, not a delay.
 *
 * Rounds that end in quiet, as in hammer_mutex.c: workers use rwlocks (both kinds), a semaphore, held semaphores, an automatic event, a condition with its
 * queue; some are killed at random moments, from outside or by a timer of their own. At a round's end everybody alive has finished. Checked:
 *   rwlock     one writer and no reader beside him; both halves of what it guards equal, unless TARN_RECOVERED was told
 *   held       never more units out than there are; all back at the end of a round
 *   semaphore  units + those out == those there were, less at most one for each killed
 *   event      one at a time has it; it is set again at a round's end, unless who had it was killed
 *   condition  what was put into the queue comes out, all of it, while anybody lives
 * What each did is counted outside the segment. With TARN_KILL_POINTS (and the library's sources) workers also die at chosen stores.
 * usage: hammer_sync WORKERS SECONDS [SEED] */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "participant/participant.h"
#include "sync/sync.h"

enum { WORKERS = 8, RWLOCKS = 3, HELDS = 2, UNITS = 3, PERMITS = 2 };

static struct room {
    struct {
        tarn_rwlock lock;
        uint64_t one, two, writer, pad;
    } rw[RWLOCKS];
    tarn_held held[HELDS];
    tarn_semaphore permits;
    tarn_event turn; /* automatic: a token */
    tarn_mutex lock;
    tarn_condition filled;
    uint64_t queue;
} * room; /* in the segment */

static struct shared {
    uint64_t out[WORKERS][HELDS], token[WORKERS]; /* count of notes << 8 | units that it surely has */
    uint32_t permit[WORKERS];
    uint32_t asks_permit[WORKERS], asks_token[WORKERS]; /* between asking and knowing, or giving and knowing */
    uint32_t tokens; /* that there may be: more than one where a dead one's was made anew */
    int32_t pid[WORKERS];
    uint64_t operations, recovered, writes, reads;
    uint32_t round, done[WORKERS];
    char fault[200];
} * shared;

static tarn *seg;
static int workers, me;
static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}
static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void spin_ns(uint64_t n)
{
    for (uint64_t t = now_ns(); now_ns() - t < n;)
        ;
}
static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)rnd(60000);
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}
static void stay(void)
{
    uint32_t h = rnd(16);
    if (h == 0)
        usleep(30);
    else if (h < 5)
        spin_ns(rnd(15000));
}
#define FAULT(...)                                                                                           \
    do {                                                                                                     \
        if (!shared->fault[0])                                                                               \
            snprintf(shared->fault, sizeof shared->fault, __VA_ARGS__);                                      \
        _exit(9);                                                                                            \
    } while (0)
#define MUST(call)                                                                                           \
    do {                                                                                                     \
        int must_ = (call);                                                                                  \
        if (must_)                                                                                           \
            FAULT("%s: %d: %s", #call, must_, tarn_error());                                                 \
    } while (0)

/* ---- what a worker does ---- */

static void set_note(uint32_t *note, uint32_t v)
{
    __atomic_store_n(note, v, __ATOMIC_SEQ_CST);
    compiler_barrier();
}
static void note_units(uint64_t *note, uint64_t n)
{
    __atomic_store_n(note, ((*note >> 8) + 1) << 8 | n, __ATOMIC_SEQ_CST);
    compiler_barrier();
}

/* Not on its way out: else the kernel may have told its death already. */
static bool lives(pid_t pid)
{
    char text[512], path[40], *end;
    unsigned flags = 4;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    end = strrchr(text, ')');
    return end && sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && !(flags & 4); /* PF_EXITING */
}

/* Have living workers more than `most` together, at one moment? notes: of stride words a worker. */
static bool have_too_many(const uint64_t *notes, int stride, uint64_t most)
{
    uint64_t seen[WORKERS], sum = 0;
    for (int w = 0; w < workers; w++) {
        seen[w] = load64(&notes[w * stride]);
        sum += seen[w] & 0xff;
    }
    if (sum <= most)
        return false;
    sum = 0;
    for (int w = 0; w < workers; w++)
        if (seen[w] & 0xff && (w == me || lives((pid_t)load32((const uint32_t *)&shared->pid[w]))))
            sum += seen[w] & 0xff;
    for (int w = 0; w < workers; w++) /* nothing has changed meanwhile: so it was then */
        if (load64(&notes[w * stride]) != seen[w])
            return false;
    return sum > most;
}

static void write_pair(int i, int told)
{
    uint64_t n;
    if (told < 0)
        FAULT("write: %d: %s", told, tarn_error());
    if (told) {
        shared->recovered++;
        room->rw[i].one = room->rw[i].two;
        room->rw[i].writer = 0;
        MUST(tarn_rwlock_consistent(seg, &room->rw[i].lock));
    }
    n = room->rw[i].one;
    if (room->rw[i].writer)
        FAULT("two write under %d: %d and %d", i, (int)room->rw[i].writer, me + 1);
    if (n != room->rw[i].two)
        FAULT("a half write under %d", i);
    *(volatile uint64_t *)&room->rw[i].writer = (uint64_t)me + 1;
    *(volatile uint64_t *)&room->rw[i].one = n + 1;
    stay();
    *(volatile uint64_t *)&room->rw[i].two = n + 1;
    if (room->rw[i].writer != (uint64_t)me + 1 || room->rw[i].one != n + 1)
        FAULT("another wrote under %d", i);
    *(volatile uint64_t *)&room->rw[i].writer = 0;
    shared->writes++;
}
static void look_at_pair(int i, int told)
{
    uint64_t n;
    if (told < 0)
        FAULT("read: %d: %s", told, tarn_error());
    n = *(volatile uint64_t *)&room->rw[i].one;
    if (!told && n != *(volatile uint64_t *)&room->rw[i].two)
        FAULT("a reader saw a half write under %d", i);
    if (rnd(8) == 0)
        stay();
    if (!told && (n != *(volatile uint64_t *)&room->rw[i].two || room->rw[i].writer))
        FAULT("somebody wrote under %d while %d read", i, me + 1);
    shared->reads++;
}

static void use_rwlock(void)
{
    int i = (int)rnd(RWLOCKS), e;
    tarn_rwlock *l = &room->rw[i].lock;
    struct timespec t = soon();
    switch (rnd(8)) {
    case 0:
        write_pair(i, tarn_rwlock_write(seg, l));
        if (rnd(4) == 0) {
            MUST(tarn_rwlock_downgrade(seg, l));
            look_at_pair(i, 0);
        }
        MUST(tarn_rwlock_unlock(seg, l));
        break;
    case 1:
        e = rnd(2) ? tarn_rwlock_write_timed(seg, l, &t) : tarn_rwlock_write_try(seg, l);
        if (e == -ETIMEDOUT || e == -EBUSY)
            break;
        write_pair(i, e);
        MUST(tarn_rwlock_unlock(seg, l));
        break;
    case 2:
        e = rnd(2) ? tarn_rwlock_read_timed(seg, l, &t) : tarn_rwlock_read_try(seg, l);
        if (e == -ETIMEDOUT || e == -EBUSY)
            break;
        look_at_pair(i, e);
        MUST(tarn_rwlock_unlock(seg, l));
        break;
    case 3:
        e = tarn_rwlock_read(seg, l);
        look_at_pair(i, e);
        e = tarn_rwlock_upgrade_try(seg, l);
        if (e != -EBUSY)
            write_pair(i, e);
        MUST(tarn_rwlock_unlock(seg, l));
        break;
    case 4: /* in a section: undone with who dies */
        MUST(tarn_begin(seg));
        e = tarn_rwlock_read(seg, l);
        look_at_pair(i, e);
        MUST(tarn_rwlock_unlock(seg, l));
        MUST(rnd(2) ? tarn_commit(seg) : tarn_abort(seg));
        break;
    default:
        for (uint32_t n = 1 + rnd(300); n; n--) { /* many in a row: the quick kind */
            e = tarn_rwlock_read(seg, l);
            look_at_pair(i, e);
            if (n % 16 == 0) {
                e = tarn_rwlock_read(seg, l);
                if (e < 0)
                    FAULT("nested read: %d: %s", e, tarn_error());
                MUST(tarn_rwlock_unlock(seg, l));
            }
            MUST(tarn_rwlock_unlock(seg, l));
        }
    }
}

static void use_held(void)
{
    int i = (int)rnd(HELDS), e;
    uint32_t n = 1 + rnd(UNITS);
    struct timespec t = soon();
    e = rnd(3)   ? tarn_held_take(seg, &room->held[i], n)
        : rnd(2) ? tarn_held_timed(seg, &room->held[i], n, &t)
                 : tarn_held_try(seg, &room->held[i], n);
    if (e == -ETIMEDOUT || e == -EAGAIN)
        return;
    if (e)
        FAULT("held: %d: %s", e, tarn_error());
    note_units(&shared->out[me][i], n);
    if (have_too_many(&shared->out[0][i], HELDS, UNITS))
        FAULT("more units of %d are out than there are", i);
    stay();
    note_units(&shared->out[me][i], 0);
    if (n > 1 && rnd(2)) {
        MUST(tarn_held_give(seg, &room->held[i], 1));
        n--;
    }
    MUST(tarn_held_give(seg, &room->held[i], n));
}

static void use_permit(void)
{
    struct timespec t = soon();
    int e;
    set_note(&shared->asks_permit[me], 1);
    e = rnd(3)   ? tarn_semaphore_wait(seg, &room->permits)
        : rnd(2) ? tarn_semaphore_timed(seg, &room->permits, &t)
                 : tarn_semaphore_try(seg, &room->permits);
    if (e == 0) {
        set_note(&shared->permit[me], 1);
        stay();
        MUST(rnd(2) ? tarn_semaphore_post(seg, &room->permits) : tarn_semaphore_post_many(seg, &room->permits, 1));
        set_note(&shared->permit[me], 0);
    } else if (e != -ETIMEDOUT && e != -EAGAIN)
        FAULT("semaphore: %d: %s", e, tarn_error());
    set_note(&shared->asks_permit[me], 0);
}
static void have_token(void)
{
    note_units(&shared->token[me], 1);
    if (have_too_many(shared->token, 1, load32(&shared->tokens)))
        FAULT("two have the token");
    stay();
    note_units(&shared->token[me], 0);
    MUST(tarn_event_set(seg, &room->turn));
}
static void use_token(void)
{
    struct timespec t = soon();
    int e;
    set_note(&shared->asks_token[me], 1);
    e = rnd(3)   ? tarn_event_wait(seg, &room->turn)
        : rnd(2) ? tarn_event_timed(seg, &room->turn, &t)
                 : tarn_event_try(seg, &room->turn);
    if (e == 0)
        have_token();
    else if (e != -ETIMEDOUT && e != -EAGAIN)
        FAULT("event: %d: %s", e, tarn_error());
    set_note(&shared->asks_token[me], 0);
}
static void use_any(void)
{
    struct tarn_awaited two[] = {{TARN_EVENT, .event = &room->turn}, {TARN_SEMAPHORE, .semaphore = &room->permits}};
    struct timespec t = soon();
    uint32_t index = 77;
    int e;
    set_note(&shared->asks_permit[me], 1);
    set_note(&shared->asks_token[me], 1);
    e = tarn_wait_any(seg, two, 2, rnd(2) ? &t : NULL, &index);
    if (e == 0 && index == 0)
        have_token();
    else if (e == 0 && index == 1) {
        set_note(&shared->permit[me], 1);
        MUST(tarn_semaphore_post(seg, &room->permits));
        set_note(&shared->permit[me], 0);
    } else if (e != -ETIMEDOUT)
        FAULT("any: %d (%u): %s", e, index, tarn_error());
    set_note(&shared->asks_permit[me], 0);
    set_note(&shared->asks_token[me], 0);
}

static void take_lock(void)
{
    int e = tarn_mutex_lock(seg, &room->lock);
    if (e < 0 || (e && tarn_mutex_consistent(seg, &room->lock)))
        FAULT("lock: %d: %s", e, tarn_error());
}
/* Some put one in, some wait for one, for a while. */
static void use_queue(void)
{
    take_lock();
    if (rnd(2)) {
        room->queue++;
        MUST(tarn_mutex_unlock(seg, &room->lock));
        MUST(rnd(8) ? tarn_condition_signal(seg, &room->filled) : tarn_condition_broadcast(seg, &room->filled));
        return;
    }
    struct timespec t = soon();
    int e = 0;
    while (!room->queue && e != -ETIMEDOUT) {
        e = tarn_condition_timed(seg, &room->filled, &room->lock, &t);
        if (e > 0)
            MUST(tarn_mutex_consistent(seg, &room->lock));
        else if (e < 0 && e != -ETIMEDOUT)
            FAULT("condition: %d: %s", e, tarn_error());
    }
    if (room->queue)
        room->queue--;
    MUST(tarn_mutex_unlock(seg, &room->lock));
}

static void wait_round(uint32_t before)
{
    while (load32(&shared->round) == before)
        syscall(SYS_futex, &shared->round, FUTEX_WAIT, before, NULL, NULL, 0);
}

#ifdef TARN_KILL_POINTS
__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}
static void plan_own_death(void)
{
    kill_countdown = rnd(2) && rnd((uint32_t)workers) < 2 ? 1 + (int)rnd(rnd(2) ? 60 : 400) : 0;
}
static void no_death(void)
{
    kill_countdown = 0;
}
#else
/* The kernel itself kills, some microseconds from now, wherever we are then. */
static timer_t timer;
static bool timed;
static void plan_own_death(void)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value = {0, 1 + (long)rnd(rnd(2) ? 60000 : 600000)}};
    timed = rnd((uint32_t)workers) == 0 && timer_create(CLOCK_MONOTONIC, &e, &timer) == 0;
    if (timed)
        timer_settime(timer, 0, &when, NULL);
}
static void no_death(void)
{
    if (timed)
        timer_delete(timer);
}
#endif

static pid_t spawn(int w)
{
    static uint32_t n;
    uint32_t s = seed * 31 + ++n * 2654435761u + 7, before = shared->round;
    pid_t p;
    if (shared->done[w] != before)
        before--; /* born into the round */
    p = fork();
    if (p) {
        store32((uint32_t *)&shared->pid[w], (uint32_t)p);
        return p;
    }
    store32((uint32_t *)&shared->pid[w], (uint32_t)getpid());
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    seed = s | 1;
    me = w;
    if (tarn_thread_attach(seg))
        FAULT("attach: %s", tarn_error());
    for (;;) {
        wait_round(before);
        before = load32(&shared->round);
        plan_own_death();
        for (uint32_t i = 1 + rnd(8); i; i--) {
            static void (*const uses[])(void) = {use_rwlock, use_rwlock, use_held, use_permit,
                                                 use_token,  use_any,    use_queue};
            uses[rnd(sizeof uses / sizeof *uses)]();
            shared->operations++;
        }
        no_death();
        __atomic_store_n(&shared->done[w], before, __ATOMIC_SEQ_CST);
    }
}

/* ---- the parent ---- */

static void show(const pid_t *pid)
{
    for (int i = 0; i < RWLOCKS; i++)
        printf("  rwlock %d: owner %08x waiters %08x drain %x slow %llx fast %llx\n", i,
               room->rw[i].lock.owner, room->rw[i].lock.waiters, room->rw[i].lock.drain,
               (unsigned long long)room->rw[i].lock.slow, (unsigned long long)room->rw[i].lock.fast);
    for (int i = 0; i < HELDS; i++)
        printf("  held %d: available %u deaths %u counted %u sleepers %x lock %08x\n", i, room->held[i].available,
               room->held[i].deaths, room->held[i].counted, room->held[i].sleepers, room->held[i].lock.owner);
    printf("  permits %08x token %08x mutex %08x queue %llu turn %u waiting %x\n", room->permits.word,
           room->turn.word, room->lock.owner, (unsigned long long)room->queue, room->filled.turn,
           room->filled.waiting);
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        if (r->state != RECORD_FREE)
            printf("  record %u: tid %u liveness %08x waits %llx slots %llx %llx\n", i, r->tid,
                   *(uint32_t *)(void *)r->liveness, (unsigned long long)r->waits,
                   (unsigned long long)record_slots(r)[0], (unsigned long long)record_slots(r)[1]);
    }
    for (int w = 0; w < workers; w++)
        printf("  worker %d: pid %d done %d\n", w, pid[w], shared->done[w] == shared->round);
}

/* Notes of the dead. */
static void forget(int w)
{
    shared->asks_token[w] = shared->permit[w] = shared->asks_permit[w] = 0;
    note_units(&shared->token[w], 0);
    for (int i = 0; i < HELDS; i++)
        note_units(&shared->out[w][i], 0);
}

static int end_of_round(const pid_t *pid, uint32_t lost_permits, uint32_t made_permits, bool token_may_be_lost)
{
    uint32_t available, units;
    int is_set;
    tarn_recover(seg);
    for (int i = 0; i < RWLOCKS; i++) {
        struct tarn_rwlock_state s;
        if (tarn_rwlock_state(seg, &room->rw[i].lock, &s) || s.writer || s.readers ||
            (!s.dirty && (room->rw[i].one != room->rw[i].two || room->rw[i].writer))) {
            printf("FAULT rwlock %d: writer %x readers %u dirty %u\n", i, s.writer, s.readers, s.dirty);
            show(pid);
            return 1;
        }
    }
    for (int i = 0; i < HELDS; i++) {
        if (tarn_held_state(seg, &room->held[i], &available, &units) || available != UNITS || units != UNITS ||
            tarn_held_try(seg, &room->held[i], UNITS) || tarn_held_give(seg, &room->held[i], UNITS)) {
            printf("FAULT held %d: %u of %u: %s\n", i, available, units, tarn_error());
            show(pid);
            return 1;
        }
    }
    if (tarn_semaphore_units(seg, &room->permits, &units) || units > PERMITS + made_permits ||
        units + lost_permits < PERMITS) {
        printf("FAULT permits: %u of %d, %u may be lost\n", units, PERMITS, lost_permits);
        show(pid);
        return 1;
    }
    for (; units > PERMITS; units--)
        tarn_semaphore_try(seg, &room->permits);
    if (units < PERMITS)
        tarn_semaphore_post_many(seg, &room->permits, PERMITS - units);
    if (tarn_event_state(seg, &room->turn, &is_set) || (!is_set && !token_may_be_lost)) {
        printf("FAULT the token is lost\n");
        show(pid);
        return 1;
    }
    tarn_event_set(seg, &room->turn);
    room->queue = 0;
    return 0;
}

/* Until everybody alive has finished the round. 0; 1: a fault; 2: a hang. */
static int finish_round(pid_t *pid, long *kills, uint32_t *lost_permits, uint32_t *made_permits, bool *token_lost)
{
    for (uint64_t t = now_ns(), fed = t;;) {
        int status, left = 0;
        for (pid_t p; (p = waitpid(-1, &status, WNOHANG)) > 0;)
            for (int w = 0; w < workers; w++)
                if (pid[w] == p) {
                    if (!WIFSIGNALED(status)) {
                        printf("FAULT %s (status %x)\n", shared->fault, status);
                        show(pid);
                        return 1;
                    }
                    pid[w] = 0;
                    ++*kills;
                    if (shared->asks_permit[w])
                        ++*lost_permits;
                    if (shared->asks_token[w])
                        *token_lost = true;
                    forget(w);
                }
        for (int w = 0; w < workers; w++)
            left += pid[w] && load32(&shared->done[w]) != shared->round;
        if (!left)
            return 0;
        /* Those left may wait for what the dead took with them. If nothing moves for a while, and only then, it is put back. */
        if (now_ns() - fed > 3000000) {
            uint32_t units = PERMITS;
            int is_set = 1;
            fed = now_ns();
            tarn_semaphore_units(seg, &room->permits, &units);
            for (int w = 0; w < workers; w++)
                units += shared->permit[w];
            if (units == 0 && *lost_permits) {
                --*lost_permits;
                ++*made_permits;
                tarn_semaphore_post(seg, &room->permits);
            }
            tarn_event_state(seg, &room->turn, &is_set);
            for (int w = 0; w < workers; w++)
                is_set |= shared->token[w] & 1;
            if (!is_set && *token_lost) {
                *token_lost = false;
                shared->tokens++;
                tarn_event_set(seg, &room->turn);
            }
        }
        if (now_ns() - t > 15000000000ull) {
            printf("HANG\n");
            show(pid);
            return 2;
        }
        usleep(20);
    }
}

static int hammer(int seconds)
{
    pid_t pid[WORKERS] = {0};
    uint64_t end = now_ns() + (uint64_t)seconds * 1000000000u;
    long kills = 0, rounds = 0;
    int e = 0;
    for (int w = 0; w < workers; w++)
        pid[w] = spawn(w);
    while (now_ns() < end && !e) {
        int victims = (int)rnd(4);
        uint32_t lost_permits = 0, made_permits = 0;
        bool token_lost = false;
        shared->tokens = 1;
        __atomic_fetch_add(&shared->round, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &shared->round, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
        spin_ns(rnd(400000));
        for (int v = (int)rnd((uint32_t)workers); victims--; v = (v + 1) % workers)
            if (pid[v])
                kill(pid[v], SIGKILL); /* neighbours, at once */
        e = finish_round(pid, &kills, &lost_permits, &made_permits, &token_lost);
        rounds++;
        if (!e)
            e = end_of_round(pid, lost_permits, made_permits, token_lost);
        for (int w = 0; w < workers && !e; w++)
            if (!pid[w]) {
                shared->done[w] = shared->round;
                pid[w] = spawn(w);
            }
    }
    for (int w = 0; w < workers; w++)
        if (pid[w])
            kill(pid[w], SIGKILL);
    while (wait(NULL) > 0)
        ;
    printf("%s: %d workers: %ld rounds, %llu uses, %llu writes, %llu reads, %llu dirty\nkills=%ld\n",
           e ? "FAILED" : "ok", workers, rounds, (unsigned long long)shared->operations,
           (unsigned long long)shared->writes, (unsigned long long)shared->reads,
           (unsigned long long)shared->recovered, kills);
    return e || kills < 20 || !shared->recovered;
}

int main(int c, char **v)
{
    struct tarn_options o = {.size = sizeof o, .initial = 64 << 10, .limit = 1 << 20, .participants = WORKERS + 4};
    if (c < 3)
        return fprintf(stderr, "usage: hammer_sync WORKERS SECONDS [SEED]\n"), 2;
    workers = atoi(v[1]);
    seed = c > 3 ? (uint32_t)atoi(v[3]) : (uint32_t)now_ns() | 1;
    if (workers < 2 || workers > WORKERS)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %u\n", seed);
    alarm((unsigned)atoi(v[2]) + 40);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mutex_cap_off = !getenv("TARN_TEST_CAP");
    if (shared == MAP_FAILED || tarn_open("memfd:hammer", TARN_CREATE, &o, &seg) || tarn_thread_attach(seg))
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    /* without names and heap: it lies in the last span, which nobody claims here */
    room = (void *)(seg->base + seg->geometry.zone[ZONE_DATA] + committed_of(seg) - 4096);
    if (tarn_rwlock_init(seg, &room->rw[1].lock, TARN_RWLOCK_WRITERS) ||
        tarn_semaphore_init(seg, &room->permits, PERMITS) ||
        tarn_event_init(seg, &room->turn, TARN_EVENT_AUTOMATIC) || tarn_event_set(seg, &room->turn))
        return fprintf(stderr, "%s\n", tarn_error()), 1;
    for (int i = 0; i < HELDS; i++)
        if (tarn_held_set(seg, &room->held[i], UNITS))
            return fprintf(stderr, "%s\n", tarn_error()), 1;
    return hammer(atoi(v[2]));
}

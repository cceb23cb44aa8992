/* channels.c - whole applications that talk by channels, and are killed, stopped and continued at any time; numbers at both ends are compared.
 *
 *     soak_channels [ring | bytes | mq | once | topic | call]... [--kills N] [--seed N]
 *
 * A round has a segment of its own, with one channel; workers in fixed places open it, work for a while, and close it, or end without, or are killed, and are followed by others. What they
 * did is in a log outside the segment, which no kill tears:
 *     sender:    about = n;  send n;  sent = n            so n was certainly sent if sent >= n, and perhaps if it was `about` at a death
 *     receiver:  taken = 1;  take;  got[sender][n] + 1;  release;  taken = 0
 * At the end of a round senders stop, receivers go on until nothing is left, and all leave. Then:
 *     what was certainly sent was got (of `once`, and of copying receivers: but for as many as died with something in hand), and what was never begun was not
 *     got twice: only what somebody had in hand when he died, and was told (TARN_RECOVERED); of topics and calls: never
 *     nobody waits any more; the channel is empty, its seats and slots are free, tarn_check finds nothing
 * And all the time one looks at the channel beside them, as tarn_check does, and finds nothing at any single look.
 * The last line is a FUZZ line for each kind. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel/check.h"

#ifdef TARN_KILL_POINTS
void kill_now(void);
__thread int kill_countdown;
void kill_now(void)
{
    kill(getpid(), SIGKILL);
}
#endif

enum { SENDERS = 4, RECEIVERS = 4, PLACES = SENDERS + RECEIVERS + 1 /* the auditor of a topic */ };
enum {
    NUMBERS = 1 << 17 /* of a sender in a round, most */,
    KILLS_A_ROUND = 300,
    LEAVE_MS = 30000,
    STILL_MS = 20000
};
enum { MESSAGE = 200, CAPACITY = 16 };

enum kind { RING, BYTES, MQ, ONCE, TOPIC, CALL, KINDS };
static const char *const kind_name[] = {"ring", "bytes", "mq", "once", "topic", "call"};

struct place {
    pid_t pid;
    bool stopped;
    bool hand;    /* between taking and having released, as far as is known outside */
    bool copying; /* between asking for a copy and having logged it */
} __attribute__((aligned(64)));

struct log {
    struct place place[PLACES];
    struct {
        uint64_t about, sent;
    } sender[SENDERS] __attribute__((aligned(64)));
    uint64_t messages, last[SENDERS]; /* of a ring: the last one that was received */
    uint32_t violations, finish, audited, may_twice, may_lose, failed_calls, died_servers;
    uint8_t got[SENDERS][NUMBERS];   /* received; of calls: answered */
    uint8_t done[SENDERS][NUMBERS];  /* of calls: executed */
    uint8_t doubt[SENDERS][NUMBERS]; /* 1: perhaps sent */
    uint8_t repeatable[SENDERS][NUMBERS];
};

static struct log *l;
static enum kind kind;
static uint64_t seed, chance;
static char url[64];
static tarn *segment; /* the controller's */

struct message {
    uint64_t sender, number, size, sum;
    unsigned char filler[MESSAGE - 32];
};

/* ---- chance, complaints ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
static uint64_t any(uint64_t n)
{
    chance += 0x9e3779b97f4a7c15u;
    return mix(chance) % n;
}

static void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void violation(const char *format, ...)
{
    char text[600];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (__atomic_fetch_add(&l->violations, 1, __ATOMIC_RELAXED) < 20)
        fprintf(stderr, "VIOLATION (%s, seed %" PRIu64 ", pid %d): %s\n", kind_name[kind], seed,
                (int)getpid(), text);
}

static void must(int e, const char *what)
{
    if (e < 0) {
        violation("%s: %s (%d)", what, tarn_error(), e);
        _exit(3);
    }
}

static struct timespec in_ms(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}
static uint64_t ms_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
static bool finishing(void)
{
    return __atomic_load_n(&l->finish, __ATOMIC_ACQUIRE);
}
/* ... and nobody will send any more: who was late to see that it ends has had his time. */
static bool over(void)
{
    bool senders = false;
    for (unsigned i = 0; i < SENDERS; i++)
        senders |= __atomic_load_n(&l->place[i].pid, __ATOMIC_ACQUIRE) != 0;
    return finishing() && !senders;
}

/* ---- messages ---- */

static uint64_t sum_of(const struct message *m)
{
    uint64_t sum = mix(m->sender << 32 ^ m->number ^ m->size << 48);
    for (uint64_t i = 0; i < m->size - 32 && i < sizeof m->filler; i++)
        sum = sum * 31 + m->filler[i];
    return sum;
}
static void fill(struct message *m, unsigned sender, uint64_t number)
{
    m->sender = sender;
    m->number = number;
    m->size = 32 + mix(number) % (MESSAGE - 32 + 1);
    for (uint64_t i = 0; i < m->size - 32; i++)
        m->filler[i] = (unsigned char)(number + i);
    m->sum = sum_of(m);
}
static bool is_good(const struct message *m, size_t size)
{
    if (size < 32 || m->size != size || m->sender >= SENDERS || !m->number || m->number >= NUMBERS ||
        m->sum != sum_of(m)) {
        violation("a torn message: %zu bytes, says %" PRIu64 ", sender %" PRIu64 ", number %" PRIu64, size,
                  m->size, m->sender, m->number);
        return false;
    }
    if (m->number > __atomic_load_n(&l->sender[m->sender].about, __ATOMIC_ACQUIRE)) {
        violation("number %" PRIu64 " of sender %" PRIu64 " came, and was not sent yet", m->number, m->sender);
        return false;
    }
    return true;
}

/* What a receiver has got. told: the library said that another had it before. */
static void log_got(const struct message *m, bool told)
{
    uint8_t *got = &l->got[m->sender][m->number], before = __atomic_fetch_add(got, 1, __ATOMIC_ACQ_REL);
    __atomic_fetch_add(&l->messages, 1, __ATOMIC_RELAXED);
    if (before && (kind == ONCE || kind == TOPIC))
        violation("number %" PRIu64 " of sender %" PRIu64 " came %u times", m->number, m->sender, before + 1u);
    if (before && kind == MQ && !told)
        violation("number %" PRIu64 " of sender %" PRIu64 " came again, and it was not said", m->number, m->sender);
    if (kind == RING || kind == BYTES) {
        uint64_t last = __atomic_exchange_n(&l->last[m->sender], m->number, __ATOMIC_ACQ_REL);
        if (m->number < last)
            violation("number %" PRIu64 " came after %" PRIu64, m->number, last);
    }
}

/* ---- handles of all kinds ---- */

struct end {
    tarn *seg;
    tarn_ring *ring;
    tarn_mq *mq;
    tarn_topic *topic;
    tarn_call *call;
};

static struct tarn_channel_options shape(void)
{
    struct tarn_channel_options o = {
        .size = sizeof o, .capacity = CAPACITY, .message = MESSAGE, .parties = PLACES + 3};
    if (kind == BYTES) {
        o.capacity = 1024;
        o.flags = TARN_RING_BYTES;
    }
    if (kind == ONCE)
        o.flags = TARN_MQ_AT_MOST_ONCE;
    if (kind == MQ)
        o.number = 3;
    return o;
}

static int open_end(struct end *e, unsigned role)
{
    struct tarn_channel_options o = shape();
    unsigned flags = TARN_CREATE | role;
    switch (kind) {
    case RING:
    case BYTES: return tarn_ring_open(e->seg, "channel", flags, &o, &e->ring);
    case MQ:
    case ONCE: return tarn_mq_open(e->seg, "channel", flags, &o, &e->mq);
    case TOPIC: return tarn_topic_open(e->seg, "channel", flags, &o, &e->topic);
    default: return tarn_call_open(e->seg, "channel", flags, &o, &e->call);
    }
}

static void enter(struct end *e, unsigned role)
{
    int result;
    memset(e, 0, sizeof *e);
    must(tarn_open(url, 0, NULL, &e->seg), "tarn_open");
    /* A predecessor in the same place may be dying still. */
    while ((result = open_end(e, role)) == -EBUSY || result == -EUSERS || result == -EDEADLK)
        usleep(500);
    must(result, "opening the channel");
}
static void leave(struct end *e)
{
    must(tarn_ring_close(e->ring), "tarn_ring_close");
    must(tarn_mq_close(e->mq), "tarn_mq_close");
    must(tarn_topic_close(e->topic), "tarn_topic_close");
    must(tarn_call_close(e->call), "tarn_call_close");
    must(tarn_thread_detach(e->seg), "tarn_thread_detach");
    must(tarn_close(e->seg), "tarn_close");
}

/* How a worker goes by himself: in good order, or not. */
static void __attribute__((noreturn)) go(struct end *e)
{
    if (finishing() || any(3))
        leave(e);
    else if (any(2))
        raise(any(2) ? SIGKILL : SIGTERM);
    _exit(0);
}

/* ---- senders ---- */

/* 0; -EAGAIN: try again later */
static int send_copy(struct end *e, const struct message *m, const struct timespec *until)
{
    unsigned priority = (unsigned)(m->number % 3);
    switch (kind) {
    case RING:
    case BYTES: return tarn_ring_send_timed(e->ring, m, m->size, until);
    case MQ: return tarn_mq_send_timed(e->mq, priority, m, m->size, until);
    case ONCE: return tarn_mq_send_timed(e->mq, 0, m, m->size, until);
    default: return tarn_topic_send_timed(e->topic, m, m->size, until);
    }
}
static int send_in_place(struct end *e, const struct message *m, const struct timespec *until)
{
    void *at;
    int result;
    switch (kind) {
    case RING:
    case BYTES:
        if ((result = tarn_ring_loan_timed(e->ring, m->size, &at, until)) < 0)
            return result;
        memcpy(at, m, m->size);
        return tarn_ring_send_loan(e->ring, m->size);
    case MQ:
    case ONCE:
        if ((result = tarn_mq_loan_timed(e->mq, m->size, &at, until)) < 0)
            return result;
        memcpy(at, m, m->size);
        result = tarn_mq_send_loan_timed(e->mq, kind == MQ ? (unsigned)(m->number % 3) : 0, at, m->size, until);
        if (result == -ETIMEDOUT)
            must(tarn_mq_release(e->mq, at), "giving a loan back");
        return result;
    default:
        if ((result = tarn_topic_loan(e->topic, m->size, &at)) < 0)
            return result;
        memcpy(at, m, m->size);
        result = tarn_topic_send_loan_timed(e->topic, at, m->size, until);
        if (result == -ETIMEDOUT)
            must(tarn_topic_drop_loan(e->topic, at), "giving a loan back");
        return result;
    }
}

static void send_one(struct end *e, unsigned place)
{
    uint64_t n = l->sender[place].sent + 1;
    struct message m;
    int result = -ETIMEDOUT;
    fill(&m, place, n);
    __atomic_store_n(&l->sender[place].about, n, __ATOMIC_RELEASE);
    while (result == -ETIMEDOUT) {
        struct timespec until = in_ms(20);
        result = any(2) ? send_copy(e, &m, &until) : send_in_place(e, &m, &until);
        if (result == -ETIMEDOUT && finishing() && kind != TOPIC)
            break;
    }
    if (result == -ETIMEDOUT) { /* the end has come: it was not sent, and never will be */
        __atomic_store_n(&l->sender[place].about, n - 1, __ATOMIC_RELEASE);
        return;
    }
    must(result, "sending");
    __atomic_store_n(&l->sender[place].sent, n, __ATOMIC_RELEASE);
}

static void ask_one(struct end *e, unsigned place)
{
    uint64_t n = l->sender[place].sent + 1, answer[8] = {0};
    bool again = any(2), timed = any(4) == 0;
    struct timespec until = in_ms((unsigned)any(5));
    struct message m;
    size_t size = 0;
    int result;
    fill(&m, place, n);
    l->repeatable[place][n] = again;
    __atomic_store_n(&l->sender[place].about, n, __ATOMIC_RELEASE);
    result = timed ? tarn_call_ask_timed(e->call, again ? TARN_CALL_REPEATABLE : 0, &m, m.size, answer,
                                         sizeof answer, &size, &until)
                   : tarn_call_ask(e->call, again ? TARN_CALL_REPEATABLE : 0, &m, m.size, answer,
                                   sizeof answer, &size);
    if (result == 0) {
        if (size < 8 || answer[0] != mix(n ^ place))
            violation("call %" PRIu64 " of client %u was answered wrongly", n, place);
        if (!l->done[place][n])
            violation("call %" PRIu64 " of client %u was answered by nobody", n, place);
        __atomic_fetch_add(&l->got[place][n], 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&l->messages, 1, __ATOMIC_RELAXED);
    } else if (result == -EOWNERDEAD) {
        if (again)
            violation("call %" PRIu64 " of client %u was repeatable, and failed", n, place);
        __atomic_fetch_add(&l->failed_calls, 1, __ATOMIC_RELAXED);
    } else if (result != -ETIMEDOUT || !timed)
        must(result, "asking");
    __atomic_store_n(&l->sender[place].sent, n, __ATOMIC_RELEASE);
}

static void be_sender(unsigned place)
{
    struct end e;
    uint64_t n = any(4) ? any(300) : 0;
    if (l->sender[place].about > l->sender[place].sent) { /* who was here before may have sent it, or not */
        l->doubt[place][l->sender[place].about] = 1;
        __atomic_store_n(&l->sender[place].sent, l->sender[place].about, __ATOMIC_RELEASE);
    }
    enter(&e, TARN_SEND);
    for (uint64_t i = 0; (i < n || !any(3)) && !finishing() && l->sender[place].sent + 2 < NUMBERS; i++) {
        if (kind == CALL)
            ask_one(&e, place);
        else
            send_one(&e, place);
        if (!any(200))
            usleep((useconds_t)any(2000));
    }
    go(&e);
}

/* ---- receivers ---- */

static int take(struct end *e, const void **at, size_t *size, const struct timespec *until)
{
    struct tarn_topic_news news;
    void *mine;
    int result;
    switch (kind) {
    case RING:
    case BYTES: return tarn_ring_take_timed(e->ring, at, size, until);
    case MQ:
    case ONCE:
        result = tarn_mq_take_timed(e->mq, &mine, size, until);
        if (result >= 0)
            *at = mine;
        return result;
    default:
        result = tarn_topic_take_timed(e->topic, at, &news, until);
        if (result >= 0)
            *size = news.size;
        return result;
    }
}
static int release(struct end *e, const void *at)
{
    return e->ring ? tarn_ring_release(e->ring)
           : e->mq ? tarn_mq_release(e->mq, at)
                   : tarn_topic_release(e->topic, at);
}
static int copy(struct end *e, struct message *m, size_t *size, const struct timespec *until)
{
    return e->ring ? tarn_ring_receive_timed(e->ring, m, sizeof *m, size, until)
                   : tarn_mq_receive_timed(e->mq, m, sizeof *m, size, until);
}

/* true: something came */
static bool receive_one(struct end *e, struct place *p)
{
    struct timespec until = in_ms(20);
    struct message m;
    const void *at;
    size_t size;
    int result;
    if (any(8) == 0) {
        __atomic_store_n(&p->copying, true, __ATOMIC_SEQ_CST);
        result = copy(e, &m, &size, &until);
        if (result >= 0 && is_good(&m, size))
            log_got(&m, result == TARN_RECOVERED);
        __atomic_store_n(&p->copying, false, __ATOMIC_SEQ_CST);
    } else {
        __atomic_store_n(&p->hand, true, __ATOMIC_SEQ_CST);
        result = take(e, &at, &size, &until);
        if (result >= 0) {
            memcpy(&m, at, size < sizeof m ? size : sizeof m);
            if (is_good(&m, size))
                log_got(&m, result == TARN_RECOVERED);
            if (!any(300))
                usleep((useconds_t)any(3000));
            if (memcmp(&m, at, size < sizeof m ? size : sizeof m))
                violation("number %" PRIu64 " changed in the hand of who had it", m.number);
            must(release(e, at), "releasing");
        }
        __atomic_store_n(&p->hand, false, __ATOMIC_SEQ_CST);
    }
    if (result != -ETIMEDOUT)
        must(result, "receiving");
    return result >= 0;
}

static void be_receiver(unsigned place)
{
    struct end e;
    uint64_t n = any(4) ? any(400) : 0;
    enter(&e, TARN_RECEIVE);
    for (uint64_t i = 0; i < n || finishing(); i++)
        if (!receive_one(&e, &l->place[place]) && over())
            break;
    go(&e);
}

/* Each sees what it sees in order, and is told of what it does not see. */
static void be_subscriber(unsigned place)
{
    uint64_t expected = 0, last[SENDERS] = {0}, n = any(4) ? any(400) : 0;
    bool audits = place == PLACES - 1, first = true;
    struct end e;
    enter(&e, TARN_RECEIVE);
    must(tarn_topic_hold(e.topic, audits ? 3600000 : any(3) ? 0 : 1 + (uint32_t)any(5)), "tarn_topic_hold");
    if (audits)
        __atomic_store_n(&l->audited, 1, __ATOMIC_RELEASE); /* from here on nothing is sent without his having it */
    for (uint64_t i = 0; audits || i < n; i++) {
        struct timespec until = in_ms(20);
        struct tarn_topic_news news;
        struct message m;
        const void *at;
        int result;
        if (any(2))
            result = tarn_topic_receive_timed(e.topic, &m, sizeof m, &news, &until);
        else if ((result = tarn_topic_take_timed(e.topic, &at, &news, &until)) == 0) {
            memcpy(&m, at, news.size < sizeof m ? news.size : sizeof m);
            if (!any(300))
                usleep((useconds_t)any(3000));
            if (memcmp(&m, at, news.size < sizeof m ? news.size : sizeof m))
                violation("number %" PRIu64 " changed in the hand of who had it", m.number);
            must(tarn_topic_release(e.topic, at), "tarn_topic_release");
        }
        if (result == -ETIMEDOUT && over())
            break;
        if (result == -ETIMEDOUT)
            continue;
        must(result, "receiving");
        if (!is_good(&m, news.size))
            continue;
        if (!first && news.sequence != expected + news.lost)
            violation("message %" PRIu64 " came, %" PRIu64 " was expected, and %" PRIu64
                      " were said to be lost",
                      news.sequence, expected, news.lost);
        if (audits && news.lost)
            violation("%" PRIu64 " messages were lost to who held publishers back", news.lost);
        if (m.number <= last[m.sender])
            violation("number %" PRIu64 " of sender %" PRIu64 " came after %" PRIu64, m.number, m.sender,
                      last[m.sender]);
        first = false;
        expected = news.sequence + 1;
        last[m.sender] = m.number;
        if (audits)
            log_got(&m, false);
    }
    go(&e);
}

static void be_server(unsigned place)
{
    struct end e;
    uint64_t n = any(4) ? any(400) : 0;
    (void)place;
    enter(&e, TARN_RECEIVE);
    for (uint64_t i = 0; i < n || finishing(); i++) {
        struct timespec until = in_ms(20);
        struct tarn_request request;
        struct message m;
        uint64_t answer[8] = {0};
        int result = tarn_call_next_timed(e.call, &request, &until);
        if (result == -ETIMEDOUT && over())
            break;
        if (result == -ETIMEDOUT)
            continue;
        must(result, "tarn_call_next");
        memcpy(&m, request.at, request.size < sizeof m ? request.size : sizeof m);
        if (is_good(&m, request.size)) {
            uint8_t before = __atomic_fetch_add(&l->done[m.sender][m.number], 1, __ATOMIC_ACQ_REL);
            if (before && !l->repeatable[m.sender][m.number])
                violation("call %" PRIu64 " of client %" PRIu64 " was done twice, and may not be", m.number,
                          m.sender);
            answer[0] = mix(m.number ^ m.sender);
        }
        if (!any(300))
            usleep((useconds_t)any(3000));
        result = tarn_call_answer(e.call, request.id, answer, any(2) ? 8 : sizeof answer);
        if (result != -ECANCELED)
            must(result, "tarn_call_answer");
    }
    go(&e);
}

/* ---- the controller ---- */

static bool used(unsigned place)
{
    bool sends = place < SENDERS, one = kind == RING || kind == BYTES;
    if (place == PLACES - 1)
        return kind == TOPIC;
    return !one || (sends ? place == 0 : place == SENDERS);
}

static void work(unsigned place)
{
    chance = mix(seed ^ (uint64_t)getpid() << 20 ^ place);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    alarm(120);
#ifdef TARN_KILL_POINTS
    if (any(2) && !finishing() && place != PLACES - 1)
        kill_countdown = 1 + (int)any(any(2) ? 100 : 4000);
#endif
    if (place < SENDERS)
        be_sender(place);
    else if (kind == TOPIC)
        be_subscriber(place);
    else if (kind == CALL)
        be_server(place);
    else
        be_receiver(place);
}

static void spawn(unsigned place)
{
    struct place *p = &l->place[place];
    pid_t pid;
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        work(place);
        _exit(0);
    }
    p->pid = pid;
    p->stopped = false;
}

/* One has ended. What he may have had in hand when he did. */
static bool buried(unsigned place, int status)
{
    struct place *p = &l->place[place];
    bool killed = WIFSIGNALED(status);
    if (WIFEXITED(status) && WEXITSTATUS(status))
        return false;
    if (killed && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM) {
        violation("a worker was ended by signal %d", WTERMSIG(status));
        return false;
    }
    if (p->hand)
        l->may_twice++;
    if (p->copying || (p->hand && kind == ONCE))
        l->may_lose++;
    p->hand = p->copying = false;
    p->pid = 0;
    return killed;
}

static uint64_t bury_all(bool respawn)
{
    uint64_t deaths = 0;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < PLACES; i++)
            if (l->place[i].pid == pid) {
                deaths += buried(i, status);
                l->place[i].pid = 0;
                if (respawn)
                    spawn(i);
            }
    return deaths;
}

static void kill_all(void)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (l->place[i].pid) {
            kill(l->place[i].pid, SIGKILL);
            waitpid(l->place[i].pid, NULL, 0);
            l->place[i].pid = 0;
        }
}

static void disturb(void)
{
    unsigned place = (unsigned)any(PLACES - 1); /* never the auditor */
    struct place *p = &l->place[place];
    if (!used(place) || !p->pid)
        return;
    if (p->stopped) {
        p->stopped = false;
        kill(p->pid, any(2) ? SIGCONT : SIGKILL);
        return;
    }
    if (any(10) == 0) {
        p->stopped = true;
        kill(p->pid, SIGSTOP);
    } else
        kill(p->pid, SIGKILL);
}

/* Whoever is in the midst of what, dead or stopped there: one look finds nothing. */
static void look(void)
{
    struct party p;
    const char *wrong = channel_look(segment, "channel", &p) ? NULL : channel_fault(&p, false);
    if (wrong)
        violation("a look beside all of them: %s", wrong);
}

static uint64_t traffic(uint64_t kills)
{
    uint64_t deaths = 0, still = ms_now(), messages = 0;
    for (unsigned i = PLACES; i-- > 0;) /* the auditor first */
        if (used(i)) {
            spawn(i);
            while (i == PLACES - 1 && !l->audited && !l->violations)
                usleep(100);
        }
    while (deaths < kills && !l->violations) {
        bool full = false;
        usleep((useconds_t)(50 + any(800)));
        disturb();
        look();
        deaths += bury_all(true);
        for (unsigned i = 0; i < SENDERS; i++)
            full |= l->sender[i].sent + 1000 > NUMBERS;
        if (full)
            break;
        if (messages != l->messages) {
            messages = l->messages;
            still = ms_now();
        } else if (ms_now() - still > STILL_MS) {
            violation("no message came for %d ms", STILL_MS);
            break;
        }
    }
    return deaths;
}

/* All stop sending, receive what is left, and leave. */
static uint64_t standstill(void)
{
    uint64_t until = ms_now() + LEAVE_MS, deaths = 0;
    bool there = true;
    __atomic_store_n(&l->finish, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < PLACES; i++)
        if (l->place[i].stopped) {
            kill(l->place[i].pid, SIGCONT);
            l->place[i].stopped = false;
        }
    while (there && ms_now() < until && !l->violations) {
        usleep(1000);
        deaths += bury_all(false);
        there = false;
        for (unsigned i = 0; i < PLACES; i++)
            there |= l->place[i].pid != 0;
    }
    if (there && !l->violations)
        for (unsigned i = 0; i < PLACES; i++)
            if (l->place[i].pid)
                violation("the %s at place %u does not come to its end: %d ms",
                          i < SENDERS ? "sender" : "receiver", i, LEAVE_MS);
    return deaths;
}

/* Two drain what is left: one may have died since senders ended. */
static void drain(void)
{
    for (unsigned turn = 0; turn < 2 && !l->violations; turn++) {
        uint64_t until = ms_now() + LEAVE_MS;
        if (kind != TOPIC)
            spawn(SENDERS);
        else
            return; /* the auditor was there all the time */
        while (l->place[SENDERS].pid && ms_now() < until) {
            usleep(1000);
            bury_all(false);
        }
        if (l->place[SENDERS].pid)
            violation("who drains the channel does not come to the end");
    }
}

static int report(const struct tarn_damage *d, void *arg)
{
    (void)arg;
    violation("tarn_check at %#" PRIx64 ": %s", d->ref, d->what);
    return 0;
}

/* Everything is free again: as many can be in flight as in a new one. */
static void check_free(void)
{
    struct tarn_channel_stat stat;
    struct end e = {.seg = segment};
    void *at[CAPACITY];
    uint64_t id[CAPACITY];
    int n = 0;
    must(open_end(&e, TARN_SEND), "opening it at the end");
    if (kind == MQ || kind == ONCE) {
        static const char none[MESSAGE];
        while (n < CAPACITY && tarn_mq_send_try(e.mq, 0, none, MESSAGE) == 0)
            n++;
    } else if (kind == RING) {
        static const char none[MESSAGE];
        while (n < CAPACITY && tarn_ring_send_try(e.ring, none, MESSAGE) == 0)
            n++;
    } else if (kind == CALL) {
        while (n < CAPACITY && tarn_call_loan_try(e.call, MESSAGE, &at[n], &id[n]) == 0)
            n++;
        for (int i = 0; i < n; i++)
            must(tarn_call_cancel(e.call, id[i]), "tarn_call_cancel");
    } else
        n = CAPACITY;
    if (n < CAPACITY)
        violation("of %d places %d are free when nobody has any", CAPACITY, n);
    must(tarn_channel_stat(segment, "channel", &stat), "tarn_channel_stat");
    if (stat.senders != 1 || stat.receivers)
        violation("%u senders and %u receivers are there when all have left but one", stat.senders, stat.receivers);
    must(tarn_ring_close(e.ring), "tarn_ring_close");
    must(tarn_mq_close(e.mq), "tarn_mq_close");
    must(tarn_topic_close(e.topic), "tarn_topic_close");
    must(tarn_call_close(e.call), "tarn_call_close");
}

static void compare(uint64_t *ret_lost, uint64_t *ret_twice)
{
    uint64_t lost = 0, twice = 0;
    for (unsigned s = 0; s < SENDERS && kind != CALL; s++)
        for (uint64_t n = 1; n <= l->sender[s].sent; n++) {
            uint8_t got = l->got[s][n];
            bool certain = !l->doubt[s][n];
            lost += certain && !got;
            twice += got > 1 ? got - 1u : 0;
        }
    if (lost > l->may_lose)
        violation("%" PRIu64 " messages that were sent did not come, and at most %u may be lost", lost, l->may_lose);
    if (twice > l->may_twice)
        violation("%" PRIu64 " messages came again, and at most %u may", twice, l->may_twice);
    *ret_lost += lost;
    *ret_twice += twice;
}

struct totals {
    uint64_t kills, messages, lost, twice, violations, failed;
};

static void keep_image(void)
{
    fprintf(stderr, "the segment is kept: tarn check %s; tarn info %s; the same again: --seed %" PRIu64 "\n",
            url, url, seed);
}

/* One segment, one channel. false: something is wrong, and what is left of it stays. */
static bool play_round(uint64_t kills, struct totals *t)
{
    struct tarn_options options = {.size = sizeof options, .participants = 256};
    memset(l, 0, sizeof *l);
    must(tarn_open(url, TARN_CREATE | TARN_EXCL, &options, &segment), "making the segment");
    t->kills += traffic(kills);
    t->kills += standstill();
    if (!l->violations) {
        drain();
        for (unsigned i = 0; i < SENDERS; i++)
            if (l->sender[i].about > l->sender[i].sent) {
                l->doubt[i][l->sender[i].about] = 1;
                l->sender[i].sent = l->sender[i].about;
            }
        must(tarn_recover(segment), "tarn_recover");
        compare(&t->lost, &t->twice);
        check_free();
        must(tarn_check(segment, report, NULL), "tarn_check");
        must(tarn_unbind(segment, "channel", 1), "tarn_unbind");
    }
    t->messages += l->messages;
    t->violations += l->violations;
    t->failed += l->failed_calls;
    kill_all();
    if (l->violations) {
        keep_image();
        return false;
    }
    must(tarn_close(segment), "tarn_close");
    tarn_unlink(url);
    return true;
}

static bool play(enum kind which, uint64_t kills)
{
    struct totals t = {0};
    uint64_t told = ms_now();
    bool good = true;
    kind = which;
    chance = mix(seed ^ which);
    while (good && t.kills < kills) {
        good = play_round(kills - t.kills < KILLS_A_ROUND ? kills - t.kills : KILLS_A_ROUND, &t);
        if (ms_now() - told > 10000 && isatty(STDERR_FILENO)) {
            told = ms_now();
            fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " kills\n", kind_name[kind], t.kills, kills);
        }
    }
    printf("FUZZ channel=%s kills=%" PRIu64 " messages=%" PRIu64 " lost=%" PRIu64 " twice=%" PRIu64
           " failed_calls=%" PRIu64 " violations=%" PRIu64 " seed=%" PRIu64 "\n",
           kind_name[kind], t.kills, t.messages, t.lost, t.twice, t.failed, t.violations, seed);
    fflush(stdout);
    return good;
}

int main(int argc, char **argv)
{
    bool wanted[KINDS] = {0}, all = true, good = true;
    uint64_t kills = 1000;
    seed = 1;
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (int k = 0; k < KINDS; k++)
            if (!strcmp(argv[i], kind_name[k])) {
                wanted[k] = known = true;
                all = false;
            }
        if (!known && i + 1 < argc && (!strcmp(argv[i], "--kills") || !strcmp(argv[i], "--seed"))) {
            uint64_t *to = argv[i][2] == 'k' ? &kills : &seed;
            *to = strtoull(argv[++i], NULL, 0);
            known = true;
        }
        if (!known) {
            fprintf(stderr, "usage: %s [ring | bytes | mq | once | topic | call]... [--kills N] [--seed N]\n",
                    argv[0]);
            return 2;
        }
    }
    snprintf(url, sizeof url, "posix:/soak-channels-%d", (int)getpid());
    l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (l == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    for (int k = 0; k < KINDS && good; k++)
        if (all || wanted[k])
            good = play((enum kind)k, kills);
    return good ? 0 : 1;
}

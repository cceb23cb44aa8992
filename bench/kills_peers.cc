/* bench/kills_peers.cc - the kill fuzz of test/soak/channels.c, as far as it fits, against Boost.Interprocess's message_queue and ZeroMQ (PUSH, PULL, ipc), and tarn_mq in the same way.
 *
 *     bench-kills-peers [tarn_mq | tarn_mq_copy | boost_mq | zmq]... [--kills N] [--hangs N] [--seed N]
 *
 * Four senders and four receivers are killed by SIGKILL, some stopped and continued, one every 5 ms or so, if something came since the last one; each is followed by another in its place. What they did is in a log outside:
 *     sender:    about = n;  send n;  sent = n            so n was certainly sent if sent >= n, and perhaps if it was `about` at a death
 *     receiver:  receive;  got[sender][n] + 1             (tarn_mq: then release)
 * A channel sees KILLS_A_CHANNEL kills at most, and a kind of channel as many as --kills says, or --hangs hangs (30), each of which takes 10 s.
 * (--kills 0: one channel in which nobody is killed: there nothing may be lost, with any of them.) Then senders come to their end in good order, receivers go on until nothing is left, and both ends are compared; the next channel is a new one.
 *
 *     KILLS peer=... kills=N channels=N messages=N lost=N twice=N torn=N hangs=N kills_to_hang=MEDIAN receivers=N told=N failed=N seed=N
 *
 * lost: certainly sent, and did not come. twice: came again; told: of these, the library said so. torn: other bytes than were sent, or not sent yet. receivers: of the kills, those of receivers.
 * hangs: a call with a time-out that is not back LATE_MS after it (its caller lives, and is not stopped); or nothing comes for STILL_MS while all live and nobody is stopped or killed; or somebody does
 * not come to his end. kills_to_hang: of the channels that hung, the median of their kills.
 * Of a channel that hung nothing is counted as lost or come twice: what was in it is part of the hang. failed: a call failed, or ended its process: so the channel was given up, too.
 *
 * What to bear in mind:
 * - Whoever receives by copy, and is killed between the library's last store for it and his note in the log, loses that message: one for a killed receiver at most. No library could help it. So tarn is here
 *   twice: tarn_mq writes and reads in place, and releases after the note (at least once); tarn_mq_copy sends and receives by copy, as the peers do. Compare the peers with the latter.
 * - Boost's queue is guarded by a mutex in the shared memory, which is not robust; its documentation promises nothing for a process that dies within a call. Its time-outs are for the queue's being full or
 *   empty, and not for the mutex.
 * - ZeroMQ has no shared memory. zmq_send returns when the message is in a queue in the sender's own process, 1,000 for each receiver, and zmq_recv takes from one in the receiver's. Both die with their process. It
 *   is documented so, and a lost message there is no defect: ZeroMQ moves messages, and does not keep them. That it does not hang is documented, too.
 *   Receivers bind, senders connect to all of them; the marks are as they are (1,000 messages), and so is linger (senders who leave wait until all is out). Reconnecting is made quicker, 5 ms, not 100: else lives were too
 *   short for it.
 * - Receivers end by kills only: a ZeroMQ receiver who closes in good order throws away what he has not received, and that is not what is counted here.
 *
 * What has a name is removed by the first process, which does nothing else, however the others end; they die with it.
 *
 * SPDX-License-Identifier: MIT */
#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <tarn/channel.h>

#include "harness.h"

namespace bi = boost::interprocess;

enum { SENDERS = 4, RECEIVERS = 4, PLACES = SENDERS + RECEIVERS };
enum { MESSAGE = 200, CAPACITY = 16, NUMBERS = 1 << 18 /* of a sender in a channel, most */ };
enum { KILLS_A_CHANNEL = 300, MOST_CHANNELS = 10000 };
enum {
    WAIT_MS = 20,     /* time-out of each call */
    CALM_MS = 50,     /* nothing came for so long: all who are stopped go on */
    STILL_MS = 10000, /* and so long after that: a hang */
    LATE_MS = 20000,
    LEAVE_MS = 30000,
    CONTROL_MS = 2000, /* --kills 0 */
    QUIET = 25         /* time-outs in a row, when all senders have left: nothing is left */
};

struct place {
    pid_t pid;
    bool stopped;
    uint64_t continued; /* ms: when it was, last */
    uint64_t until;     /* ms: when the call that it is in is to be back; 0: in none */
} __attribute__((aligned(64)));

enum phase { TRAFFIC, SENDERS_LEAVE, RECEIVERS_LEAVE };

struct book {
    struct place place[PLACES];
    struct {
        uint64_t about, sent;
    } sender[SENDERS] __attribute__((aligned(64)));
    uint64_t messages, torn, told;
    uint32_t phase, failed;
    uint8_t got[SENDERS][NUMBERS];
    uint8_t doubt[SENDERS][NUMBERS]; /* 1: perhaps sent */
};

struct message {
    uint64_t sender, number, size, sum;
    unsigned char filler[MESSAGE - 32];
};

static struct book *book;
static uint64_t seed, chance;
static char url[64], queue_name[64], address[64];

static uint64_t any(uint64_t n)
{
    chance += 0x9e3779b97f4a7c15u;
    return bench_mix(chance) % n;
}
static uint64_t ms_now(void)
{
    return bench_now() / 1000000;
}
static uint32_t phase_now(void)
{
    return __atomic_load_n(&book->phase, __ATOMIC_ACQUIRE);
}

/* ---- the libraries: all with time-outs, none of which is ever for ever ------------------------------------------------- */

/* One party's hold of the channel. */
struct end {
    tarn *seg;
    tarn_mq *mq;
    bi::message_queue *boost;
    void *context, *socket;
};
struct peer {
    const char *name;
    void (*make)(void);
    void (*enter)(struct end *e, unsigned place);
    void (*leave)(struct end *e);
    bool (*send)(struct end *e, const struct message *m, unsigned ms); /* false: not in time */
    bool (*receive)(struct end *e, unsigned ms, struct message *m, size_t *ret_size, const void **ret_at,
                    bool *ret_told);
    void (*release)(struct end *e, const void *at); /* NULL: it was a copy */
};

static struct timespec in_ms(unsigned ms)
{
    uint64_t at = bench_now() + ms * UINT64_C(1000000);
    struct timespec t;
    t.tv_sec = static_cast<time_t>(at / 1000000000u);
    t.tv_nsec = static_cast<long>(at % 1000000000u);
    return t;
}
static int tarn_good(int e, const char *what)
{
    if (e < 0)
        bench_die("%s: %s", what, tarn_error());
    return e;
}
static int open_mq(struct end *e, unsigned flags)
{
    struct tarn_channel_options o;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.capacity = CAPACITY;
    o.message = MESSAGE;
    o.parties = PLACES + 3;
    return tarn_mq_open(e->seg, "channel", flags, &o, &e->mq);
}
static void tarn_leave(struct end *e)
{
    tarn_good(tarn_mq_close(e->mq), "tarn_mq_close");
    tarn_good(tarn_thread_detach(e->seg), "tarn_thread_detach");
    tarn_good(tarn_close(e->seg), "tarn_close");
}
static void tarn_make(void)
{
    struct tarn_options o;
    struct end e;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.participants = 256;
    tarn_good(tarn_open(url, TARN_CREATE | TARN_EXCL, &o, &e.seg), "tarn_open");
    tarn_good(open_mq(&e, TARN_CREATE), "tarn_mq_open");
    tarn_leave(&e);
}
static void tarn_enter(struct end *e, unsigned place)
{
    int result;
    tarn_good(tarn_open(url, 0, nullptr, &e->seg), "tarn_open");
    while ((result = open_mq(e, place < SENDERS ? TARN_SEND : TARN_RECEIVE)) == -EUSERS)
        bench_sleep(500000);
    tarn_good(result, "tarn_mq_open");
}
static bool in_time(int result, const char *what)
{
    if (result == -EAGAIN || result == -ETIMEDOUT)
        return false;
    tarn_good(result, what);
    return true;
}
static bool tarn_send_copy(struct end *e, const struct message *m, unsigned ms)
{
    struct timespec until = in_ms(ms);
    int result = ms ? tarn_mq_send_timed(e->mq, 0, m, m->size, &until) : tarn_mq_send_try(e->mq, 0, m, m->size);
    return in_time(result, "tarn_mq_send");
}
static bool tarn_send_loan(struct end *e, const struct message *m, unsigned ms)
{
    struct timespec until = in_ms(ms);
    void *at;
    if (!in_time(ms ? tarn_mq_loan_timed(e->mq, m->size, &at, &until) : tarn_mq_loan_try(e->mq, m->size, &at),
                 "tarn_mq_loan"))
        return false;
    memcpy(at, m, m->size);
    if (in_time(ms ? tarn_mq_send_loan_timed(e->mq, 0, at, m->size, &until)
                   : tarn_mq_send_loan_try(e->mq, 0, at, m->size),
                "tarn_mq_send_loan"))
        return true;
    tarn_good(tarn_mq_release(e->mq, at), "tarn_mq_release");
    return false;
}
static bool tarn_receive_copy(struct end *e, unsigned ms, struct message *m, size_t *ret_size,
                              const void **ret_at, bool *ret_told)
{
    struct timespec until = in_ms(ms);
    int result = tarn_mq_receive_timed(e->mq, m, sizeof *m, ret_size, &until);
    *ret_at = nullptr;
    *ret_told = result == TARN_RECOVERED;
    return in_time(result, "tarn_mq_receive");
}
static bool tarn_receive_take(struct end *e, unsigned ms, struct message *m, size_t *ret_size,
                              const void **ret_at, bool *ret_told)
{
    struct timespec until = in_ms(ms);
    void *at;
    int result = tarn_mq_take_timed(e->mq, &at, ret_size, &until);
    if (!in_time(result, "tarn_mq_take"))
        return false;
    memcpy(m, at, std::min(*ret_size, sizeof *m));
    *ret_at = at;
    *ret_told = result == TARN_RECOVERED;
    return true;
}
static void tarn_release(struct end *e, const void *at)
{
    tarn_good(tarn_mq_release(e->mq, at), "tarn_mq_release");
}

static boost::posix_time::ptime boost_in_ms(unsigned ms)
{
    return boost::posix_time::microsec_clock::universal_time() + boost::posix_time::milliseconds(ms);
}
static void boost_make(void)
{
    bi::message_queue q(bi::create_only, queue_name, CAPACITY, MESSAGE);
}
static void boost_enter(struct end *e, unsigned place)
{
    (void)place;
    e->boost = new bi::message_queue(bi::open_only, queue_name);
}
static void boost_leave(struct end *e)
{
    delete e->boost;
}
static bool boost_send(struct end *e, const struct message *m, unsigned ms)
{
    return ms ? e->boost->timed_send(m, m->size, 0, boost_in_ms(ms)) : e->boost->try_send(m, m->size, 0);
}
static bool boost_receive(struct end *e, unsigned ms, struct message *m, size_t *ret_size,
                          const void **ret_at, bool *ret_told)
{
    bi::message_queue::size_type size = 0;
    unsigned priority;
    bool came = e->boost->timed_receive(m, sizeof *m, size, priority, boost_in_ms(ms));
    *ret_size = size;
    *ret_at = nullptr;
    *ret_told = false;
    return came;
}

static void zmq_good(bool good, const char *what)
{
    if (!good)
        bench_die("%s: %s", what, zmq_strerror(zmq_errno()));
}
static void zmq_make(void) {}
static void zmq_enter(struct end *e, unsigned place)
{
    bool sends = place < SENDERS;
    int ms = WAIT_MS, again = 5;
    char to[80];
    e->context = zmq_ctx_new();
    e->socket = zmq_socket(e->context, sends ? ZMQ_PUSH : ZMQ_PULL);
    zmq_good(e->socket, "zmq_socket");
    zmq_good(!zmq_setsockopt(e->socket, sends ? ZMQ_SNDTIMEO : ZMQ_RCVTIMEO, &ms, sizeof ms) &&
                 !zmq_setsockopt(e->socket, ZMQ_RECONNECT_IVL, &again, sizeof again),
             "zmq_setsockopt");
    for (unsigned i = SENDERS; i < PLACES; i++) {
        if (!sends && i != place)
            continue;
        int result;
        snprintf(to, sizeof to, "%s-%u", address, i);
        while ((result = (sends ? zmq_connect : zmq_bind)(e->socket, to)) && zmq_errno() == EADDRINUSE)
            bench_sleep(500000);
        zmq_good(!result, to);
    }
}
static void zmq_leave(struct end *e)
{
    zmq_good(!zmq_close(e->socket), "zmq_close");
    while (zmq_ctx_term(e->context) && zmq_errno() == EINTR)
        ;
}
static bool zmq_late(void)
{
    zmq_good(zmq_errno() == EAGAIN || zmq_errno() == EINTR, "zmq_send or zmq_recv");
    return false;
}
static bool zmq_send_one(struct end *e, const struct message *m, unsigned ms)
{
    return zmq_send(e->socket, m, m->size, ms ? 0 : ZMQ_DONTWAIT) >= 0 || zmq_late();
}
static bool zmq_receive(struct end *e, unsigned ms, struct message *m, size_t *ret_size, const void **ret_at,
                        bool *ret_told)
{
    int size = zmq_recv(e->socket, m, sizeof *m, 0);
    (void)ms; /* WAIT_MS, as the socket was told */
    *ret_size = size < 0 ? 0 : static_cast<size_t>(size);
    *ret_at = nullptr;
    *ret_told = false;
    return size >= 0 || zmq_late();
}

static const struct peer peers[] = {
    {"tarn_mq", tarn_make, tarn_enter, tarn_leave, tarn_send_loan, tarn_receive_take, tarn_release},
    {"tarn_mq_copy", tarn_make, tarn_enter, tarn_leave, tarn_send_copy, tarn_receive_copy, nullptr},
    {"boost_mq", boost_make, boost_enter, boost_leave, boost_send, boost_receive, nullptr},
    {"zmq", zmq_make, zmq_enter, zmq_leave, zmq_send_one, zmq_receive, nullptr},
};
enum { PEERS = sizeof peers / sizeof *peers };
static const struct peer *peer;

/* What has a name; ZeroMQ's sockets are abstract ones, and have none. */
static void remove_names(void)
{
    tarn_unlink(url);
    bi::message_queue::remove(queue_name);
}

/* ---- messages --------------------------------------------------------------------------------------------------------- */

static uint64_t sum_of(const struct message *m)
{
    uint64_t sum = bench_mix(m->sender << 32 ^ m->number ^ m->size << 48);
    for (uint64_t i = 0; i < m->size - 32 && i < sizeof m->filler; i++)
        sum = sum * 31 + m->filler[i];
    return sum;
}
static void fill(struct message *m, unsigned sender, uint64_t number)
{
    m->sender = sender;
    m->number = number;
    m->size = 32 + bench_mix(number) % (MESSAGE - 32 + 1);
    for (uint64_t i = 0; i < m->size - 32; i++)
        m->filler[i] = static_cast<unsigned char>(number + i);
    m->sum = sum_of(m);
}
static bool is_good(const struct message *m, size_t size)
{
    return size >= 32 && m->size == size && size <= MESSAGE && m->sender < SENDERS && m->number &&
           m->number < NUMBERS && m->sum == sum_of(m) &&
           m->number <= __atomic_load_n(&book->sender[m->sender].about, __ATOMIC_ACQUIRE);
}

/* ---- workers ---------------------------------------------------------------------------------------------------------- */

static void begin_call(struct place *p, unsigned ms)
{
    __atomic_store_n(&p->until, ms_now() + ms, __ATOMIC_RELEASE);
}
static void end_call(struct place *p)
{
    __atomic_store_n(&p->until, 0, __ATOMIC_RELEASE);
}

static void send_one(struct end *e, unsigned place)
{
    uint64_t n = book->sender[place].sent + 1;
    unsigned ms = any(2) ? WAIT_MS : 0;
    struct message m;
    bool sent = false;
    fill(&m, place, n);
    __atomic_store_n(&book->sender[place].about, n, __ATOMIC_RELEASE);
    while (!sent) {
        begin_call(&book->place[place], ms);
        sent = peer->send(e, &m, ms);
        end_call(&book->place[place]);
        if (!sent && phase_now() != TRAFFIC) { /* it never will be */
            __atomic_store_n(&book->sender[place].about, n - 1, __ATOMIC_RELEASE);
            return;
        }
        ms = WAIT_MS;
    }
    __atomic_store_n(&book->sender[place].sent, n, __ATOMIC_RELEASE);
}

/* Who was here before may have sent what he was at, or not. */
static void take_over(unsigned place)
{
    uint64_t about = book->sender[place].about;
    if (about > book->sender[place].sent) {
        book->doubt[place][about] = 1;
        __atomic_store_n(&book->sender[place].sent, about, __ATOMIC_RELEASE);
    }
}

static void be_sender(unsigned place)
{
    uint64_t n = any(3) ? any(3000) : UINT64_MAX;
    struct end e;
    memset(&e, 0, sizeof e);
    take_over(place);
    peer->enter(&e, place);
    for (uint64_t i = 0; i < n && phase_now() == TRAFFIC && book->sender[place].sent + 2 < NUMBERS; i++) {
        send_one(&e, place);
        if (!any(200))
            usleep(static_cast<useconds_t>(any(2000)));
    }
    peer->leave(&e);
}

static bool receive_one(struct end *e, struct place *p)
{
    struct message m;
    const void *at;
    size_t size;
    bool came, told, good;
    begin_call(p, WAIT_MS);
    came = peer->receive(e, WAIT_MS, &m, &size, &at, &told);
    end_call(p);
    if (!came)
        return false;
    good = is_good(&m, size);
    if (good) {
        if (__atomic_fetch_add(&book->got[m.sender][m.number], 1, __ATOMIC_ACQ_REL) && told)
            __atomic_fetch_add(&book->told, 1, __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&book->messages, 1, __ATOMIC_RELAXED);
    if (at) {
        if (!any(300))
            usleep(static_cast<useconds_t>(any(3000)));
        good = good && !memcmp(&m, at, size); /* as long as he has it in hand it is his */
        peer->release(e, at);
    }
    if (!good)
        __atomic_fetch_add(&book->torn, 1, __ATOMIC_RELAXED);
    return true;
}

static void be_receiver(unsigned place)
{
    struct end e;
    memset(&e, 0, sizeof e);
    peer->enter(&e, place);
    for (unsigned quiet = 0; quiet < QUIET;) {
        bool came = receive_one(&e, &book->place[place]);
        quiet = came || phase_now() != RECEIVERS_LEAVE ? 0 : quiet + 1;
    }
    peer->leave(&e);
}

static void __attribute__((noreturn)) work(unsigned place)
{
    chance = bench_mix(seed ^ static_cast<uint64_t>(getpid()) << 20 ^ place);
    alarm(300);
    try {
        if (place < SENDERS)
            be_sender(place);
        else
            be_receiver(place);
    } catch (const std::exception &e) {
        bench_die("%s: %s", peer->name, e.what());
    }
    _exit(0);
}

/* ---- the controller --------------------------------------------------------------------------------------------------- */

struct totals {
    uint64_t kills, receivers, channels, messages, lost, twice, torn, told, hangs, failed;
    uint64_t to_hang[MOST_CHANNELS];
};
/* A channel's course. */
struct course {
    uint64_t kills, receivers; /* killed */
    uint64_t messages, moved;  /* seen so far, and in which ms the last one was */
    const char *hang;          /* how */
};

static void spawn(unsigned place)
{
    struct place *p = &book->place[place];
    pid_t pid;
    p->until = 0;
    p->stopped = false;
    pid = bench_fork();
    if (pid == 0)
        work(place);
    p->pid = pid;
}

static void bury(bool respawn, struct course *c)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < PLACES; i++)
            if (book->place[i].pid == pid) {
                book->place[i].pid = 0;
                if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
                    c->kills++;
                    c->receivers += i >= SENDERS;
                } else if (status)
                    book->failed++;
                if (respawn)
                    spawn(i);
            }
}

static void kill_all(void)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (book->place[i].pid) {
            kill(book->place[i].pid, SIGKILL);
            waitpid(book->place[i].pid, nullptr, 0);
            book->place[i].pid = 0;
        }
}

static void let_go_on(struct place *p)
{
    if (!p->stopped)
        return;
    p->stopped = false;
    p->continued = ms_now();
    kill(p->pid, SIGCONT);
}
static void let_all_go_on(void)
{
    for (unsigned i = 0; i < PLACES; i++)
        let_go_on(&book->place[i]);
}

/* For how many ms has it been late? */
static uint64_t late(const struct place *p)
{
    uint64_t until = __atomic_load_n(&p->until, __ATOMIC_ACQUIRE), now = ms_now();
    if (!until || p->stopped || !p->pid)
        return 0;
    until = std::max(until, p->continued);
    return now > until ? now - until : 0;
}
static bool any_late(struct course *c)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (late(&book->place[i]) > LATE_MS) {
            c->hang = i < SENDERS ? "a sender's call is not back" : "a receiver's call is not back";
            return true;
        }
    return false;
}

static void disturb(void)
{
    struct place *p = &book->place[any(PLACES)];
    if (!p->pid || late(p) > 1000) /* whoever may hang is not killed for it, but looked at */
        return;
    if (p->stopped && any(2))
        let_go_on(p);
    else if (p->stopped || any(10))
        kill(p->pid, SIGKILL);
    else {
        p->stopped = true;
        kill(p->pid, SIGSTOP);
    }
}

/* Has something come? */
static bool moves(struct course *c)
{
    uint64_t messages = __atomic_load_n(&book->messages, __ATOMIC_RELAXED);
    if (messages == c->messages)
        return false;
    c->messages = messages;
    c->moved = ms_now();
    return true;
}

static void traffic(uint64_t kills, struct course *c)
{
    uint64_t calm = 0 /* since when */, end = kills ? UINT64_MAX : ms_now() + CONTROL_MS;
    bool full = false;
    for (unsigned i = PLACES; i-- > 0;)
        spawn(i);
    c->moved = ms_now();
    while ((c->kills < kills || !kills) && ms_now() < end && !full && !book->failed && !c->hang) {
        usleep(static_cast<useconds_t>(1000 + any(8000)));
        bury(true, c);
        if (moves(c)) {
            calm = 0;
            if (kills)
                disturb();
        } else if (!calm && ms_now() - c->moved > CALM_MS) {
            let_all_go_on();
            calm = ms_now();
        } else if (calm && ms_now() - calm > STILL_MS)
            c->hang = "nothing comes";
        any_late(c);
        for (unsigned i = 0; i < SENDERS; i++)
            full |= book->sender[i].sent + 1000 > NUMBERS;
    }
}

/* Those at these places come to their end by themselves. */
static void see_off(unsigned from, unsigned to, uint32_t phase, struct course *c)
{
    uint64_t until = ms_now() + LEAVE_MS;
    bool there = true;
    __atomic_store_n(&book->phase, phase, __ATOMIC_SEQ_CST);
    let_all_go_on();
    while (there && !c->hang && !book->failed) {
        there = false;
        usleep(1000);
        for (unsigned i = SENDERS; phase == SENDERS_LEAVE && i < PLACES; i++)
            if (!book->place[i].pid)
                spawn(i); /* one killed just before */
        bury(false, c);
        for (unsigned i = from; i < to; i++)
            there |= book->place[i].pid != 0;
        if (!any_late(c) && there && ms_now() > until)
            c->hang = from < SENDERS ? "a sender does not come to his end" : "a receiver does not come to his end";
        moves(c);
    }
}

static void compare(struct totals *t)
{
    for (unsigned s = 0; s < SENDERS; s++) {
        take_over(s);
        for (uint64_t n = 1; n <= book->sender[s].sent; n++) {
            uint8_t got = book->got[s][n];
            t->lost += !book->doubt[s][n] && !got;
            t->twice += got > 1 ? got - 1u : 0;
        }
    }
}

static void play_channel(uint64_t kills, struct totals *t)
{
    struct course c;
    memset(&c, 0, sizeof c);
    memset(book, 0, sizeof *book);
    bench_watchdog(600);
    remove_names();
    peer->make();
    traffic(kills, &c);
    see_off(0, SENDERS, SENDERS_LEAVE, &c);
    see_off(SENDERS, PLACES, RECEIVERS_LEAVE, &c);
    if (!c.hang && !book->failed) { /* once more: one may have died with something in hand just before the end */
        spawn(SENDERS);
        see_off(SENDERS, SENDERS + 1, RECEIVERS_LEAVE, &c);
    }
    kill_all();
    remove_names();
    t->messages += book->messages;
    t->torn += book->torn;
    t->channels++;
    if (c.hang) {
        bench_note("%s, channel %" PRIu64 ": %s, after %" PRIu64 " kills", peer->name, t->channels, c.hang, c.kills);
        t->to_hang[t->hangs++] = c.kills;
    } else if (book->failed)
        t->failed++;
    else {
        compare(t);
        t->told += book->told;
    }
    t->kills += c.kills;
    t->receivers += c.receivers;
}

static void play(uint64_t kills, uint64_t hangs)
{
    static struct totals t;
    char median[24] = "none";
    memset(&t, 0, sizeof t);
    chance = bench_mix(seed);
    unsigned barren = 0;
    do {
        uint64_t before = t.kills;
        play_channel(std::min<uint64_t>(kills - t.kills, KILLS_A_CHANNEL), &t);
        barren = t.kills == before ? barren + 1 : 0;
        if (barren == 10)
            bench_die("%s: ten channels in a row came to nothing before anybody was killed", peer->name);
    } while (t.kills < kills && t.hangs < hangs && t.channels < MOST_CHANNELS);
    if (t.hangs) {
        std::sort(t.to_hang, t.to_hang + t.hangs);
        snprintf(median, sizeof median, "%" PRIu64, t.to_hang[t.hangs / 2]);
    }
    printf("KILLS peer=%s kills=%" PRIu64 " channels=%" PRIu64 " messages=%" PRIu64 " lost=%" PRIu64
           " twice=%" PRIu64 " torn=%" PRIu64 " hangs=%" PRIu64 " kills_to_hang=%s receivers=%" PRIu64
           " told=%" PRIu64 " failed=%" PRIu64 " seed=%" PRIu64 "\n",
           peer->name, t.kills, t.channels, t.messages, t.lost, t.twice, t.torn, t.hangs, median, t.receivers,
           t.told, t.failed, seed);
    fflush(stdout);
}

/* ---- the first process ------------------------------------------------------------------------------------------------- */

static pid_t controller;

static volatile sig_atomic_t told_to_end;

static void pass_on(int signal)
{
    told_to_end = signal;
    kill(controller, SIGKILL);
}

static void __attribute__((noreturn)) control(const bool *wanted, uint64_t kills, uint64_t hangs)
{
    book = static_cast<struct book *>(bench_shared(sizeof *book));
    try {
        for (unsigned i = 0; i < PEERS; i++)
            if (wanted[i]) {
                peer = &peers[i];
                play(kills, hangs);
            }
    } catch (const std::exception &e) {
        bench_die("%s: %s", peer->name, e.what());
    }
    _exit(0);
}

static void usage(FILE *to)
{
    fprintf(to, "usage: bench-kills-peers [");
    for (unsigned i = 0; i < PEERS; i++)
        fprintf(to, "%s%s", i ? " | " : "", peers[i].name);
    fprintf(to, "]... [--kills N] [--hangs N] [--seed N]\n\n"
                "Kills senders and receivers of channels, and counts what is lost, comes twice, or hangs.\n");
}

int main(int argc, char **argv)
{
    static const char *const none[] = {nullptr};
    bool wanted[PEERS] = {false}, all = true;
    uint64_t kills = 1000, hangs = 30;
    int status = 0;
    seed = 1;
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (unsigned k = 0; k < PEERS; k++)
            if (!strcmp(argv[i], peers[k].name)) {
                wanted[k] = known = true;
                all = false;
            }
        if (!known && i + 1 < argc &&
            (!strcmp(argv[i], "--kills") || !strcmp(argv[i], "--hangs") || !strcmp(argv[i], "--seed"))) {
            (argv[i][2] == 'k'   ? kills
             : argv[i][2] == 'h' ? hangs
                                 : seed) = strtoull(argv[i + 1], nullptr, 0);
            i++;
            known = true;
        }
        if (!known) {
            bool help = !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
            usage(help ? stdout : stderr);
            return help ? 0 : 2;
        }
    }
    for (unsigned k = 0; k < PEERS; k++)
        wanted[k] |= all;
    bench_start(1, argv, "kills-peers", none);
    bench_watchdog(0); /* the controller has one */
    snprintf(url, sizeof url, "posix:/tarn-bench-kills-%d", static_cast<int>(getpid()));
    snprintf(queue_name, sizeof queue_name, "tarn-bench-kills-%d-queue", static_cast<int>(getpid()));
    snprintf(address, sizeof address, "ipc://@tarn-bench-kills-%d", static_cast<int>(getpid()));
    controller = bench_fork();
    if (controller == 0)
        control(wanted, kills, hangs);
    signal(SIGINT, pass_on);
    signal(SIGTERM, pass_on);
    signal(SIGHUP, pass_on);
    while (waitpid(controller, &status, 0) < 0 && errno == EINTR)
        ;
    remove_names();
    if (told_to_end)
        bench_note("ended by signal %d", static_cast<int>(told_to_end));
    else if (WIFSIGNALED(status))
        bench_note("the controller was ended by signal %d", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* sync/event.c - set or not; waited for. One word, and one who may be told by a signal.
 *
 *   word   {sleepers: 1, gone: 1, automatic: 1, set: 1}
 * set:   set = 1, sleepers = 0; who slept is woken: all of them, of an automatic one a single one
 * Who slept and takes an automatic one sets sleepers again: others may sleep still.
 * wait:  set: through (automatic: set = 0, by compare-and-swap; whoever does that has it). Else sleepers = 1, and it sleeps on the word
 * An automatic one that was set for a waiter who dies before it took it is still set: the bell has the others look.
 * listener, number: whose process is sent which signal at each set; by compare-and-swap of both. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "os/futex.h"
#include "os/os.h"
#include "sync/sync.h"

#define WHAT "event"
#define SLEEPERS 0x80000000u
#define IS_GONE 0x40000000u
#define AUTOMATIC 0x2u
#define SET 0x1u

static bool is_damaged(uint32_t w)
{
    return w & ~(SLEEPERS | IS_GONE | AUTOMATIC | SET);
}

/* 1: it came. 0: not; the word is *ret_word, as one sleeps on it. Or a negative result. */
int event_take_or_mark(struct self *s, tarn_event *v, bool slept, uint32_t *ret_word, const char *call)
{
    uint32_t w = load32(&v->word);
    for (;;) {
        if (is_damaged(w))
            return sync_damaged(s, v, call, WHAT);
        if (w & IS_GONE)
            return sync_gone(s, v, call, WHAT);
        if (w & SET) {
            if (!(w & AUTOMATIC) || swap32(&v->word, &w, (w & ~SET) | (slept ? SLEEPERS : 0)))
                return 1;
            continue;
        }
        *ret_word = w | SLEEPERS;
        if (w & SLEEPERS || swap32(&v->word, &w, w | SLEEPERS))
            return 0;
    }
}

bool event_is_automatic(const tarn_event *v)
{
    return load32(&v->word) & AUTOMATIC;
}

/* Mark a set one as one sleeps on it, until it is reset. false: it is not set. */
bool event_mark_set(tarn_event *v, uint32_t *ret_word)
{
    uint32_t w = load32(&v->word);
    while (w & SET && !(w & SLEEPERS) && !swap32(&v->word, &w, w | SLEEPERS))
        ;
    *ret_word = w | SLEEPERS;
    return w & SET;
}

/* The caller goes without, and may have swallowed a wake-up. */
void event_pass(tarn_event *v)
{
    if (load32(&v->word) & SET)
        os_futex_wake(&v->word, 1);
}

static int wait_for(tarn *seg, tarn_event *v, enum mutex_wait how, const struct timespec *until, const char *call)
{
    int e = 0, look = 0;
    unsigned cap = CAP_FIRST;
    bool slept = false;
    uint32_t w;
    struct self *s = sync_self(seg, v, sizeof *v, call, WHAT, &e);
    if (!s || (e = sync_in_section(s, call)))
        return e;
    if (how == MUTEX_TIMED && (e = sync_deadline(until, call)))
        return e;
    w = load32(&v->word);
    if (how == MUTEX_TRY && !(w & (SET | IS_GONE)) && !is_damaged(w))
        return fail(-EAGAIN, "%s: the event at %#llx is not set", call, (unsigned long long)offset_of(seg, v));
    bell_arm(s);
    for (;;) {
        struct os_wait wait[1 + 2];
        int k;
        if (look_again(&look)) {
            if (!(load32(&v->word) & SET))
                continue;
            look = 0;
        }
        e = event_take_or_mark(s, v, slept, &w, call);
        if (e)
            break;
        if (how == MUTEX_TRY || (how == MUTEX_TIMED && os_passed(until))) {
            e = how == MUTEX_TRY ? fail(-EAGAIN, "%s: the event at %#llx is not set", call,
                                        (unsigned long long)offset_of(seg, v))
                                 : fail(-ETIMEDOUT, "%s: the event at %#llx was not set in time", call,
                                        (unsigned long long)offset_of(seg, v));
            event_pass(v);
            break;
        }
        waits_for(s, WAITS_ACT | offset_of(seg, v) | (how == MUTEX_TIMED));
        wait[0] = (struct os_wait){&v->word, w};
        k = sleep_on_words(s, wait, 1, how == MUTEX_TIMED ? until : NULL, &cap);
        slept |= k >= 0 || k == -EOWNERDEAD;
    }
    waits_for(s, 0);
    bell_disarm(s);
    return e < 0 ? e : 0;
}

int tarn_event_wait(tarn *seg, tarn_event *v)
{
    return wait_for(seg, v, MUTEX_WAIT, NULL, "tarn_event_wait");
}
int tarn_event_try(tarn *seg, tarn_event *v)
{
    return wait_for(seg, v, MUTEX_TRY, NULL, "tarn_event_try");
}
int tarn_event_timed(tarn *seg, tarn_event *v, const struct timespec *until)
{
    return wait_for(seg, v, MUTEX_TIMED, until, "tarn_event_timed");
}

/* To the listener's process, if there is one and he lives: found out again after his process is held, so that no stranger is sent it. */
static void tell(struct self *s, tarn_event *v)
{
    uint64_t l = load64(&v->listener);
    uint32_t id = (uint32_t)l, number = (uint32_t)(l >> 32);
    const struct record *r;
    int fd, cancel;
    if (!id || number < 1 || number > 64 || fate_quick(s->seg, id) != ALIVE)
        return;
    r = record_at(s->seg, ID_INDEX(id));
    if (load64(&r->pid_namespace) != load64(&s->record->pid_namespace)) /* his number means another one here */
        return;
    cancel = os_cancel_off();
    fd = os_process_open(load32(&r->pid));
    if (fd >= 0) {
        if (fate_quick(s->seg, id) == ALIVE)
            (void)os_process_signal(fd, (int)number);
        close(fd);
    }
    os_cancel_restore(cancel);
}

int tarn_event_set(tarn *seg, tarn_event *v)
{
    int e = 0;
    struct self *s = sync_self(seg, v, sizeof *v, "tarn_event_set", WHAT, &e);
    uint32_t w;
    if (!s || (e = sync_in_section(s, "tarn_event_set")))
        return e;
    w = load32(&v->word);
    if (is_damaged(w))
        return sync_damaged(s, v, "tarn_event_set", WHAT);
    bell_arm(s);
    while (!(w & IS_GONE) && !swap32(&v->word, &w, (w | SET) & ~SLEEPERS))
        ;
    if (w & IS_GONE) {
        bell_disarm(s);
        return sync_gone(s, v, "tarn_event_set", WHAT);
    }
    if (w & SLEEPERS)
        os_futex_wake(&v->word, w & AUTOMATIC ? 1 : INT32_MAX);
    tell(s, v);
    bell_disarm(s);
    return 0;
}

int tarn_event_reset(tarn *seg, tarn_event *v)
{
    int e = 0;
    struct self *s = sync_self(seg, v, sizeof *v, "tarn_event_reset", WHAT, &e);
    uint32_t w;
    if (!s || (e = sync_in_section(s, "tarn_event_reset")))
        return e;
    w = load32(&v->word);
    if (is_damaged(w))
        return sync_damaged(s, v, "tarn_event_reset", WHAT);
    bell_arm(s);
    while (w & SET && !(w & IS_GONE) && !swap32(&v->word, &w, w & ~(SET | SLEEPERS)))
        ;
    if ((w & (SET | SLEEPERS)) == (SET | SLEEPERS)) /* who watches it for others sleeps while it is set */
        os_futex_wake(&v->word, INT32_MAX);
    bell_disarm(s);
    return w & IS_GONE ? sync_gone(s, v, "tarn_event_reset", WHAT) : 0;
}

int tarn_event_signal(tarn *seg, tarn_event *v, int number)
{
    int e = 0;
    struct self *s = sync_self(seg, v, sizeof *v, "tarn_event_signal", WHAT, &e);
    uint64_t was, now;
    if (!s)
        return e;
    if (number < 0 || number > 64)
        return fail(-EINVAL, "tarn_event_signal: %d is no signal: 1 to 64, or 0 for none", number);
    if (is_damaged(load32(&v->word)))
        return sync_damaged(s, v, "tarn_event_signal", WHAT);
    if (load32(&v->word) & IS_GONE)
        return sync_gone(s, v, "tarn_event_signal", WHAT);
    was = load64(&v->listener);
    do {
        uint32_t id = (uint32_t)was;
        if (id && id != s->id && fate_of(seg, id) == ALIVE)
            return fail(-EBUSY,
                        "tarn_event_signal: participant %#x is told already, and an event tells one only", id);
        now = number ? (uint64_t)number << 32 | s->id : 0;
    } while (!swap64(&v->listener, &was, now));
    return 0;
}

int tarn_event_state(tarn *seg, const tarn_event *v, int *ret_set)
{
    int e = sync_there(seg, v, sizeof *v, "tarn_event_state", WHAT);
    if (!e)
        *ret_set = (load32(&v->word) & SET) != 0;
    return e;
}

int tarn_event_init(tarn *seg, tarn_event *v, uint32_t flags)
{
    int e = 0;
    struct self *s = sync_self(seg, v, sizeof *v, "tarn_event_init", WHAT, &e);
    if (!s)
        return e;
    if (flags & ~TARN_EVENT_AUTOMATIC)
        return fail(-EINVAL, "tarn_event_init: flags %#x: TARN_EVENT_AUTOMATIC or 0", flags);
    *v = (tarn_event){.word = flags ? AUTOMATIC : 0};
    return 0;
}

int tarn_event_fini(tarn *seg, tarn_event *v)
{
    int e = 0;
    struct self *s = sync_self(seg, v, sizeof *v, "tarn_event_fini", WHAT, &e);
    if (!s)
        return e;
    bell_arm(s);
    store32(&v->word, IS_GONE); /* the kernel has a fence before it looks for sleepers */
    os_futex_wake(&v->word, INT32_MAX);
    bell_disarm(s);
    return 0;
}

/* channel/poll.c - one descriptor for many channels. A thread sleeps at all their doorbells, as a waiter of each, and makes an eventfd readable when one
 * is rung or has something; then it marks no doorbell until tarn_poll_clear, so that whoever sends to a slow reader pays for a wake-up once.
 *
 * All of it is private memory. `turn` counts what the thread must look at anew: something was added, taken out, or cleared. */
#include <stdlib.h>
#include <unistd.h>

#include "channel/channel.h"
#include "sync/watcher.h"

enum { WATCHED_MOST = 2 + TARN_POLL_MOST + 32 };
_Static_assert((int)WATCHED_MOST <= (int)SLEEP_MOST, "words of one sleep");

struct tarn_poll {
    struct watcher watcher; /* first */
    pthread_mutex_t guard;  /* of what follows */
    struct party *in[TARN_POLL_MOST];
    uint32_t seen[TARN_POLL_MOST]; /* the channels' counts of changes, at the last clearing */
    uint32_t count;
    bool parties;  /* who joins, leaves or dies makes it readable, too */
    bool armed;    /* not readable: doorbells are marked */
    uint32_t turn; /* a futex */
};

static uint32_t watched_role(const struct party *p)
{
    return p->role & TARN_RECEIVE ? TARN_RECEIVE : TARN_SEND;
}
static struct doorbell *watched_bell(const struct party *p)
{
    if (p->class->bell)
        return p->class->bell(p, watched_role(p));
    return watched_role(p) == TARN_RECEIVE ? &p->channel->news : &p->channel->room;
}

static void turned(tarn_poll *poll)
{
    __atomic_fetch_add(&poll->turn, 1, __ATOMIC_SEQ_CST);
    os_futex_wake(&poll->turn, 1);
}

/* The words to sleep on, behind wait[0..n), doorbells and then lives; or the descriptor is made readable. The guard is held: what is in it stays there so long. As in
 * channel_sleep the look comes last. */
static int mark(tarn_poll *poll, struct self *s, struct os_wait *wait, int n, int *ret_bells, bool *ret_dead)
{
    bool any = false;
    if (!poll->armed)
        return n;
    for (uint32_t i = 0; i < poll->count; i++) {
        struct doorbell *bell = watched_bell(poll->in[i]);
        wait[n++] = (struct os_wait){&bell->sleepers, doorbell_mark(bell)};
    }
    *ret_bells = n;
    all_threads_barrier(poll->watcher.seg);                        /* pairs with doorbell_ring */
    for (uint32_t i = 0; i < poll->count && n < WATCHED_MOST; i++) /* who joins later may die later */
        wait[n++] = (struct os_wait){&poll->in[i]->channel->changes, load32(&poll->in[i]->channel->changes)};
    for (uint32_t i = 0; i < poll->count; i++) /* one who died between his message and the bell */
        n = parties_watch(poll->in[i], s->id, wait, n, WATCHED_MOST, ret_dead);
    for (uint32_t i = 0; i < poll->count && !any; i++)
        any = poll->in[i]->class->ready(poll->in[i], watched_role(poll->in[i])) ||
              (poll->parties && load32(&poll->in[i]->channel->changes) != poll->seen[i]);
    if (any) {
        poll->armed = false;
        watcher_count(&poll->watcher);
    }
    return n;
}

/* The seats of the dead: whoever waits clears them, and this thread waits for those who do not. The guard is held, so that the channels are there: each has
 * a living party. */
static bool clear_dead(tarn_poll *poll, struct self *s)
{
    int n = 0;
    for (uint32_t i = 0; i < poll->count; i++) {
        struct party by = *poll->in[i];
        by.self = s;
        by.id = s->id;
        if (parties_dead(&by))
            n += channel_clear_dead(&by);
    }
    return n > 0;
}

static void watch(struct self *s, struct watcher *w)
{
    tarn_poll *poll = (tarn_poll *)w;
    unsigned cap = CAP_FIRST;
    bell_arm(s);
    while (!load32(&w->stop)) {
        struct os_wait wait[WATCHED_MOST + 2] = {{&w->stop, 0}};
        bool dead = false;
        int n, k, bells = 2;
        wait[1] = (struct os_wait){&poll->turn, load32(&poll->turn)};
        pthread_mutex_lock(&poll->guard);
        n = mark(poll, s, wait, 2, &bells, &dead);
        if (!poll->armed)
            n = bells = 2;
        if (dead)
            dead = clear_dead(poll, s);
        pthread_mutex_unlock(&poll->guard);
        if (dead)
            continue;
        waits_for(s, n > 2 ? WAITS_ACT | offset_of(s->seg, wait[2].word) : 0);
        /* A doorbell may be of a channel that was closed meanwhile: committed memory stays mapped. */
        k = sleep_on_words(s, wait, n, NULL, &cap);
        if (k >= bells)
            wake_next(&wait[bells], n - bells);
        else if (k >= 2) /* others may sleep at it, who were not woken */
            os_futex_wake(wait[k].word, 1);
    }
    waits_for(s, 0);
    bell_disarm(s);
}

int tarn_poll_open(tarn *seg, tarn_poll **ret_poll, int *ret_fd)
{
    int cancel, e;
    tarn_poll *poll;
    if (seg->raw)
        return raw_refused(seg, "tarn_poll_open");
    poll = calloc(1, sizeof *poll);
    if (!poll)
        return fail(-ENOMEM, "tarn_poll_open: no memory");
    pthread_mutex_init(&poll->guard, NULL);
    poll->armed = true;
    cancel = os_cancel_off();
    e = watcher_start(&poll->watcher, seg, watch, "tarn_poll_open");
    os_cancel_restore(cancel);
    if (e < 0) {
        free(poll);
        return e;
    }
    *ret_poll = poll;
    *ret_fd = poll->watcher.fd;
    return 0;
}

/* The handles in it say that they are: their thread may close them at any time. One guard for all of those words. */
static pthread_mutex_t links = PTHREAD_MUTEX_INITIALIZER;

void tarn_poll_close(tarn_poll *poll)
{
    int cancel;
    bool own;
    if (!poll)
        return;
    own = poll->watcher.process == getpid(); /* a forked child's copies of the locks may be anyhow */
    cancel = os_cancel_off();
    if (own)
        pthread_mutex_lock(&links);
    for (uint32_t i = 0; i < poll->count; i++)
        poll->in[i]->poll = NULL;
    if (own)
        pthread_mutex_unlock(&links);
    watcher_end(&poll->watcher);
    if (own)
        pthread_mutex_destroy(&poll->guard);
    free(poll);
    os_cancel_restore(cancel);
}

/* From here on what changes at its channels is new. The guard is held. */
static void see_parties(tarn_poll *poll)
{
    for (uint32_t i = 0; i < poll->count; i++)
        poll->seen[i] = load32(&poll->in[i]->channel->changes);
}

static int not_own(const tarn_poll *poll, const char *call)
{
    if (poll->watcher.process == getpid())
        return 0;
    return fail(-EPERM, "%s: a forked child has the descriptor, and not what makes it readable", call);
}

int tarn_poll_clear(tarn_poll *poll)
{
    uint64_t n;
    int e = not_own(poll, "tarn_poll_clear");
    if (e)
        return e;
    if (read(poll->watcher.fd, &n, sizeof n) < 0)
        n = 0; /* it was not readable */
    pthread_mutex_lock(&poll->guard);
    poll->armed = true;
    see_parties(poll);
    pthread_mutex_unlock(&poll->guard);
    turned(poll);
    return 0;
}

int tarn_poll_parties(tarn_poll *poll, int on)
{
    int e = not_own(poll, "tarn_poll_parties");
    if (e)
        return e;
    pthread_mutex_lock(&poll->guard);
    poll->parties = on;
    see_parties(poll);
    pthread_mutex_unlock(&poll->guard);
    turned(poll);
    return 0;
}

int channel_poll(struct party *p, tarn_poll *poll, const char *call)
{
    int e = 0;
    if (p->role && (e = party_use(p, p->role, MUTEX_TRY, NULL, call)))
        return e;
    if ((e = not_own(poll, call)))
        return e;
    if (!p->seat)
        return fail(-EBADF, "%s: the handle on \"%s\" only looks: it can neither send nor receive", call, p->name);
    if (poll->watcher.seg != p->seg)
        return fail(-EINVAL, "%s: the descriptor is of another segment than \"%s\"", call, p->name);
    pthread_mutex_lock(&links);
    pthread_mutex_lock(&poll->guard);
    if (p->poll)
        e = fail(-EEXIST, "%s: \"%s\" is watched by a descriptor already", call, p->name);
    else if (poll->count == TARN_POLL_MOST)
        e = fail(-ENOSPC, "%s: a descriptor has at most %u channels", call, TARN_POLL_MOST);
    else {
        poll->seen[poll->count] = load32(&p->channel->changes);
        poll->in[poll->count++] = p;
        p->poll = poll;
    }
    pthread_mutex_unlock(&poll->guard);
    pthread_mutex_unlock(&links);
    turned(poll);
    return e;
}

void channel_poll_leave(struct party *p)
{
    if (p->poll && p->poll->watcher.process !=
                       getpid()) /* a forked child's copy: no thread looks at it, and the locks may be anyhow */
        return;
    pthread_mutex_lock(&links);
    if (p->poll) {
        tarn_poll *poll = p->poll;
        pthread_mutex_lock(&poll->guard);
        for (uint32_t i = 0; i < poll->count; i++)
            if (poll->in[i] == p) {
                poll->in[i] = poll->in[--poll->count];
                poll->seen[i] = poll->seen[poll->count];
                break;
            }
        pthread_mutex_unlock(&poll->guard);
        p->poll = NULL;
        turned(poll);
    }
    pthread_mutex_unlock(&links);
}

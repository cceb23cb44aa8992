/* channel/wait.c - sleeping at a doorbell, waking who sleeps there, and waiting for somebody to join, leave or die. docs/channel.md
 *
 *     while anybody sleeps at d with nobody awake on his behalf:  d.sleepers is odd, and what he waits for was not there when he looked last
 * Sleeper: bell armed; sleepers |= 1; membarrier; look; sleep on sleepers as it was then, the liveness of the other parties, the segment's bells. Ringer: the message;
 * sleepers is read; if odd: + 1; wake. Either the ringer reads it odd, or the sleeper's look sees the message. A ringer who dies between the two is a
 * party whose liveness is watched: the words are collected before the look. Of several sleepers, of whom one is woken, that one sets sleepers again; if he dies, his bell has all look.
 * Rings are counted: another sleeper may set the bit between a ring and the first one's sleep, who must not sleep then. */
#include "channel/channel.h"

enum { WATCHED_MOST = 100 }; /* below SLEEP_MOST; more parties than that: the cap is the net */

void doorbell_wake(struct doorbell *d, int n)
{
    uint32_t word = load32(&d->sleepers);
    /* If it is another's by now, he wakes; and who set the bit again since then has seen what we ring for. */
    if (word & DOORBELL_SLEEPERS && swap32(&d->sleepers, &word, word + 1))
        os_futex_wake(&d->sleepers, n);
}

int parties_watch(const struct party *p, uint32_t me, struct os_wait *wait, int n, int most, bool *ret_dead)
{
    for (uint32_t i = 0; i < p->shape.seats && n < most; i++) {
        uint32_t id = load32(&seat_at(p, i)->id), *live, v;
        enum fate fate;
        if (!id || id == me || ID_INDEX(id) >= p->seg->geometry.records)
            continue;
        live = liveness_of(p->seg, ID_INDEX(id));
        v = load32(live);
        fate = fate_quick(p->seg, id);
        *ret_dead |= fate != ALIVE;
        if (wait && fate == ALIVE)
            wait[n++] = (struct os_wait){live, v};
        if (wait && fate == FALLEN) /* his seat can be cleared when he is recovered; another may be at it */
            wait[n++] = (struct os_wait){&record_at(p->seg, ID_INDEX(id))->generation, ID_GENERATION(id)};
    }
    return n;
}

bool parties_dead(const struct party *p)
{
    bool dead = false;
    (void)parties_watch(p, p->id, NULL, 0, INT32_MAX, &dead);
    return dead;
}

int channel_sleep(struct channel_wait *w)
{
    struct party *p = w->p;
    struct os_wait wait[SLEEP_MOST + 2];
    bool dead = false;
    int n, k;
    if (w->how == MUTEX_TRY)
        return -EAGAIN;
    if (w->until && os_passed(w->until))
        return -ETIMEDOUT;
    if (look_again(&w->look))
        return 0;
    if (!w->armed) {
        bell_arm(p->self);
        w->armed = true;
    }
    wait[0] = (struct os_wait){&w->bell->sleepers, doorbell_mark(w->bell)};
    all_threads_barrier(p->seg); /* pairs with doorbell_ring */
    /* Who joins later may die later: the lives are collected anew when the parties change.
     * In this order: one who dies, and is cleared, between the two has stored what he did before that, and is not watched any more. */
    wait[1] = (struct os_wait){&p->channel->changes, load32(&p->channel->changes)};
    n = parties_watch(p, p->self->id, wait, 2, WATCHED_MOST, &dead);
    if (p->class->ready(p, w->role))
        return 0;
    if (dead && channel_clear_dead(p))
        return 0;
    waits_for(p->self, WAITS_ACT | offset_of(p->seg, w->bell) | (w->until != NULL));
    k = sleep_on_words(p->self, wait, n, w->until, &w->cap);
    waits_for(p->self, 0);
    if (k >= 0 || k == -EOWNERDEAD)
        w->slept = true;
    if (k != 0)
        channel_clear_dead(p);
    if (k >= 2)
        wake_next(&wait[2], n - 2);
    return 0;
}

void channel_wait_end(struct channel_wait *w)
{
    if (!w->armed)
        return;
    if (w->slept) { /* others may sleep still: of several who slept one is woken */
        doorbell_mark(w->bell);
        all_threads_barrier(w->p->seg);
        if (w->p->class->ready(w->p, w->role))
            os_futex_wake(&w->bell->sleepers, 1);
    }
    bell_disarm(w->p->self);
}

int tarn_channel_watch(tarn *seg, const char *name, uint32_t *seen, const struct timespec *until)
{
    struct os_wait wait[SLEEP_MOST + 2];
    struct party p;
    unsigned cap = CAP_FIRST;
    struct self *s;
    int e = channel_look(seg, name, &p), n = 1, k;
    uint64_t ref = p.ref;
    uint32_t now = *seen;
    if (e < 0 || (until && (e = sync_deadline(until, "tarn_channel_watch"))))
        return e;
    s = self_of(seg, &e);
    if (!s || (e = sync_in_section(s, "tarn_channel_watch")))
        return e;
    bell_arm(s);
    for (;;) {
        bool dead = false;
        epoch_pin(s); /* it has no seat, so anybody may unbind the channel: it is found anew each time, and is there until unpin */
        e = channel_look(seg, name, &p);
        if (e == 0 && p.ref != ref)
            e = fail(-ESTALE, "tarn_channel_watch: \"%s\" was unbound, and is another now", name);
        if (e == 0) {
            p.self = s;
            p.id = s->id;
            channel_clear_dead(&p);
            now = load32(&p.channel->changes);
            wait[0] = (struct os_wait){&p.channel->changes, now};
            n = parties_watch(&p, s->id, wait, 1, WATCHED_MOST, &dead);
            if (dead)
                dead = channel_clear_dead(&p) > 0;
        }
        epoch_unpin(s);
        if (e < 0 || now != *seen || (until && os_passed(until)))
            break;
        if (dead)
            continue;
        waits_for(s, WAITS_ACT | offset_of(seg, &p.channel->changes) | (until != NULL));
        k = sleep_on_words(s, wait, n, until, &cap);
        if (k >= 1)
            wake_next(&wait[1], n - 1);
    }
    waits_for(s, 0);
    bell_disarm(s);
    if (e < 0)
        return e;
    if (now == *seen)
        return fail(-ETIMEDOUT, "tarn_channel_watch: nobody joined, left or died at \"%s\" in time", name);
    *seen = now;
    return 0;
}

/* sync/wait_any.c - waiting for one of several events and semaphores, in one sleep on all their words.
 *
 * A sleeper on many words may be the one whom two of them wake; so whoever slept wakes another on each of the others that has something to give. */
#include <errno.h>
#include <string.h>

#include "os/futex.h"
#include "sync/sync.h"

static int bad_kind(uint32_t kind, uint32_t i)
{
    return fail(-EINVAL, "tarn_wait_any: item %u is of kind %u: TARN_EVENT or TARN_SEMAPHORE", i, kind);
}

static int there(struct self *s, const struct tarn_awaited *a, uint32_t i)
{
    if (a->kind == TARN_EVENT)
        return sync_there(s->seg, a->event, sizeof *a->event, "tarn_wait_any", "event");
    if (a->kind == TARN_SEMAPHORE)
        return sync_there(s->seg, a->semaphore, sizeof *a->semaphore, "tarn_wait_any", "semaphore");
    return bad_kind(a->kind, i);
}

static int take_or_mark(struct self *s, const struct tarn_awaited *a, bool slept, struct os_wait *ret_wait)
{
    int e;
    if (a->kind == TARN_EVENT) {
        ret_wait->word = &a->event->word;
        e = event_take_or_mark(s, a->event, slept, &ret_wait->value, "tarn_wait_any");
    } else {
        *ret_wait = (struct os_wait){&a->semaphore->word, SEMAPHORE_EMPTY};
        e = semaphore_take_or_mark(s, a->semaphore, slept, "tarn_wait_any");
    }
    return e;
}

int tarn_wait_any(tarn *seg, const struct tarn_awaited *awaited, uint32_t n, const struct timespec *until,
                  uint32_t *ret_index)
{
    struct os_wait wait[TARN_AWAITED_MOST + 2];
    struct tarn_awaited item[TARN_AWAITED_MOST];
    int e = 0, look = 0;
    unsigned cap = CAP_FIRST;
    struct self *s = self_of(seg, &e);
    uint32_t came = n;
    bool slept = false;
    if (!s || (e = sync_in_section(s, "tarn_wait_any")))
        return e;
    if (n < 1 || n > TARN_AWAITED_MOST)
        return fail(-EINVAL, "tarn_wait_any: %u items: 1 to %u", n, TARN_AWAITED_MOST);
    if (until && (e = sync_deadline(until, "tarn_wait_any")))
        return e;
    memcpy(item, awaited, n * sizeof *item);
    for (uint32_t i = 0; i < n; i++)
        if ((e = there(s, &item[i], i)))
            return e;
    bell_arm(s);
    for (;;) {
        int k;
        for (uint32_t i = 0; i < n && !e; i++)
            if ((e = take_or_mark(s, &item[i], slept, &wait[i])))
                came = i;
        if (e || (until && os_passed(until)))
            break;
        if (look_again(&look))
            continue;
        waits_for(s, WAITS_ACT | offset_of(seg, wait[0].word) | (until != NULL));
        k = sleep_on_words(s, wait, (int)n, until, &cap);
        slept |= k >= 0 || k == -EOWNERDEAD;
    }
    if (slept) /* a wake-up of each of the others may have come here */
        for (uint32_t i = 0; i < n; i++) {
            if (i == came)
                continue;
            if (item[i].kind == TARN_EVENT)
                event_pass(item[i].event);
            else
                semaphore_pass(item[i].semaphore);
        }
    waits_for(s, 0);
    bell_disarm(s);
    if (e > 0) {
        *ret_index = came;
        return 0;
    }
    return e ? e : fail(-ETIMEDOUT, "tarn_wait_any: none of %u came in time", n);
}

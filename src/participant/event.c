/* participant/event.c - the flight recorder. event.h
 *
 *     noting:  event.what = 0; when, a, b, text; event.what = {n, kind, id} (from here on it is one); record.events = n + 1
 *     reading:  what; the rest; what again, unchanged
 * One thread writes, and readers lock nothing. A kill before record.events leaves an event whose place the record's next one takes. */
#include "participant/event.h"

#include <errno.h>
#include <string.h>

#include "os/os.h"

static void write_event(struct self *s, enum tarn_trace_kind kind, uint64_t a, uint64_t b, const char *text,
                        uint64_t now)
{
    struct record *r = s->record;
    uint64_t n = load64(&r->events), words[4] = {0};
    struct event *e = &record_events(s->seg, r)[n & (s->seg->geometry.events - 1)];
    if (text)
        memcpy(words, text, strnlen(text, sizeof words));
    store64(&e->what, 0);
    store64(&e->when, now);
    store64(&e->a, a);
    store64(&e->b, b);
    for (int i = 0; i < 4; i++)
        store64(&e->text[i], words[i]);
    store64(&e->what, EVENT_WHAT(n, kind, s->id));
    store64(&r->events, n + 1);
}

void event_note(struct self *s, enum tarn_trace_kind kind, uint64_t a, uint64_t b, const char *text)
{
    uint64_t now = s->record && s->id ? os_clock() : 0;
    if (now) /* else there is no clock, as in the explorer, whose states are the same again for it */
        write_event(s, kind, a, b, text, now);
}

/* What users meet all the time, and go on from, is no event. */
static bool is_event(int error)
{
    switch (error) {
    case -EAGAIN:
    case -EBUSY:
    case -EDEADLK:
    case -ETIMEDOUT:
    case -ENOENT:
    case -EEXIST:
    case -EINVAL: return false;
    default: return true;
    }
}

/* The same one again is counted, in one store. */
static bool again(struct self *s, int error)
{
    uint64_t n = load64(&s->record->events) - 1;
    struct event *e = &record_events(s->seg, s->record)[n & (s->seg->geometry.events - 1)];
    if (load64(&e->what) != EVENT_WHAT(n, TARN_TRACE_ERROR, s->id) || load64(&e->a) != (uint64_t)-error)
        return false;
    store64(&e->b, load64(&e->b) + 1);
    return true;
}

void event_error(int error, const char *sentence)
{
    struct self *s = self_last;
    if (s->id && s->record && is_event(error) && !again(s, error))
        event_note(s, TARN_TRACE_ERROR, (uint64_t)-error, 1, sentence);
}

/* ---- looking ---- */

static bool read_event(struct event *at, struct event *ret)
{
    ret->what = load64(&at->what);
    ret->when = load64(&at->when);
    ret->a = load64(&at->a);
    ret->b = load64(&at->b);
    for (int i = 0; i < 4; i++)
        ret->text[i] = load64(&at->text[i]);
    return ret->what && load64(&at->what) == ret->what;
}

/* Any bytes come out as something. */
static void tell(const struct event *e, struct tarn_trace *ret)
{
    *ret = (struct tarn_trace){.when = e->when,
                               .participant = EVENT_ID(e->what),
                               .kind = EVENT_KIND(e->what),
                               .number = EVENT_NUMBER(e->what)};
    memcpy(ret->text, e->text, sizeof e->text);
    switch (ret->kind) {
    case TARN_TRACE_ATTACH:
        ret->pid = (uint32_t)e->a;
        ret->tid = (uint32_t)(e->a >> 32);
        break;
    case TARN_TRACE_GROW:
        ret->from = e->a;
        ret->to = e->b;
        break;
    case TARN_TRACE_HELD:
        ret->ref = e->a & SLOT_OFFSET;
        ret->want = e->a & SLOT_WANT;
        ret->other = (uint32_t)e->b;
        ret->pid = (uint32_t)(e->b >> 32);
        break;
    case TARN_TRACE_RECOVER:
        ret->other = (uint32_t)e->a;
        ret->pid = (uint32_t)(e->a >> 32);
        ret->microseconds = (uint32_t)(e->b >> 32);
        ret->words = (uint32_t)(e->b >> 12) & 0xfffff;
        ret->held = (uint32_t)(e->b >> 2) & 0x3ff;
        ret->section_open = JOURNAL_STATE(e->b) == JOURNAL_OPEN;
        ret->section_committed = JOURNAL_STATE(e->b) == JOURNAL_COMMITTED;
        break;
    case TARN_TRACE_LOCK: ret->ref = e->a & SLOT_OFFSET; break;
    case TARN_TRACE_ERROR:
        ret->error = -(int)(e->a & 0xffff);
        ret->times = (uint32_t)e->b;
        break;
    default: break;
    }
}

int tarn_why(tarn *seg, int (*each)(const struct tarn_trace *e, void *arg), void *arg)
{
    if (seg->raw)
        return raw_refused(seg, "tarn_why");
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        uint64_t first = load64(&r->events);
        for (uint32_t k = 0; k < seg->geometry.events; k++) { /* the oldest first */
            struct event e;
            struct tarn_trace out;
            int error;
            if (!read_event(&record_events(seg, r)[(first + k) & (seg->geometry.events - 1)], &e))
                continue;
            tell(&e, &out);
            if ((error = each(&out, arg)))
                return error;
        }
    }
    return 0;
}

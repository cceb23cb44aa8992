/* sync/once.c - something that is done once: a mutex, and a word that says so.
 *
 * run:   done? Else lock, as an inner one; done? Else the function; done = 1; lock given up. Whoever dies in the function has not done it, and the next
 * runs it: what the function has half-done it must be able to do again, or do in a section. */
#include <errno.h>

#include "sync/sync.h"

#define WHAT "once"

int(tarn_once_run)(tarn *seg, tarn_once *o, int (*run)(tarn *seg, void *arg), void *arg)
{
    int e = sync_there(seg, o, sizeof *o, "tarn_once_run", WHAT);
    struct self *s;
    if (e)
        return e;
    if (__atomic_load_n(&o->done, __ATOMIC_ACQUIRE) == 1)
        return 0;
    s = sync_self(seg, o, sizeof *o, "tarn_once_run", WHAT, &e);
    if (!s || (e = sync_in_section(s, "tarn_once_run")))
        return e;
    if (o->done > 1 || o->reserved)
        return sync_damaged(s, o, "tarn_once_run", WHAT);
    e = mutex_take(s, &o->lock, SLOT_INNER, MUTEX_WAIT, NULL); /* -EDEADLK: from within the function */
    if (e < 0)
        return e;
    e = o->done ? 0 : run(seg, arg);
    if (s->depth) { /* the function forgot it */
        section_abort(s);
        while (s->depth)
            section_abort(s);
        e = fail(-EPERM, "tarn_once_run: the function left a section open, which was aborted");
    }
    if (e >= 0)
        store32(&o->done, 1);
    mutex_unlock_inner(s, &o->lock);
    return e < 0 ? e : 0;
}

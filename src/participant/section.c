/* participant/section.c - failure-atomic sections: begin, save, commit, abort.
 *
 * Commit point: the store of the journal word in section_commit. Before it, a death undoes everything; after it, a death is followed by
 * the rest of the frees and unlocks. Nested sections count; an inner abort dooms the outermost commit. */
#include <errno.h>
#include <string.h>

#include "os/probe.h"
#include "participant/log.h"

int section_begin(struct self *s)
{
    if (s->depth++)
        return 0;
    s->doomed = s->frees = 0;
    PROBE(section__begin, s->seg, s->id);
    put_journal(s, JOURNAL_OPEN, 0);
    s->slot_flags = SLOT_SECTION;
    return 0;
}

/* The journal is idle: slots mean something else now. Locks put off are given up, the others are ordinary ones. */
static void end_pass(struct self *s)
{
    uint64_t highest = 4, *slot;
    struct slots w = slots_of_record(s->seg, s->record, s->slots_used);
    s->section_slots = 0;
    for (uint64_t i = 0; (slot = slot_next(&w)); i++) {
        if (*slot & (SLOT_SECTION | SLOT_DEFER | SLOT_MEND))
            tarn_recovery.end_slot(s, slot);
        if (*slot && i + 1 > highest)
            highest = i + 1;
    }
    s->slots_used = highest;
    store64(&s->record->slots_used, highest);
}

static void ended(struct self *s)
{
    put_journal(s, JOURNAL_IDLE, 0);
    s->depth = s->doomed = s->frees = 0;
    s->slot_flags = 0;
    if (s->section_slots)
        end_pass(s);
}

static void undo(struct self *s)
{
    PROBE(section__undo, s->seg, s->id, JOURNAL_WORDS(s->journal));
    struct slots w = slots_of_record(s->seg, s->record, s->section_slots ? s->slots_used : 0);
    for (uint64_t *slot; (slot = slot_next(&w));)
        if (*slot & SLOT_MEND)
            store64(slot, *slot & ~SLOT_MEND);
    log_undo(s);
    ended(s);
}

int section_commit(struct self *s)
{
    if (s->depth > 1) {
        s->depth--;
        return 0;
    }
    if (s->doomed) {
        undo(s);
        return fail(-ECANCELED, "a section nested inside was aborted, so the whole was undone");
    }
    if (s->frees) {
        put_journal(s, JOURNAL_COMMITTED, JOURNAL_WORDS(s->journal)); /* the commit */
        log_apply(s);
    }
    ended(s); /* without frees, its first store is the commit */
    PROBE(section__commit, s->seg, s->id);
    return 0;
}

int section_abort(struct self *s)
{
    if (s->depth > 1) {
        s->depth--;
        s->doomed = 1;
        return 0;
    }
    undo(s);
    return 0;
}

int section_end(struct self *s, int e)
{
    if (s->depth > 1) {
        int c = section_commit(s); /* only counts */
        return e < 0 ? e : c;
    }
    if (TARN_RARE(e < 0)) {
        section_abort(s);
        return e;
    }
    return section_commit(s);
}

int log_is_full(void)
{
    if (self_last->refused)
        return -EACCES; /* said */
    return fail(-ENOSPC,
                "the section's log is full, and no memory is left for more of it: abort, or commit in "
                "smaller sections");
}

/* ---- public ---- */

int tarn_begin(tarn *seg)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return s ? section_begin(s) : e;
}

static struct self *open_here(tarn *seg)
{
    struct self *s = self_if(seg);
    return s && s->depth ? s : NULL;
}

static int none_open(const char *call)
{
    return fail(-EPERM, "%s: this thread has no section open here (a forked child has none of its parent's): call tarn_begin",
                call);
}

int tarn_save(tarn *seg, void *address, size_t size)
{
    struct self *s = open_here(seg);
    uint64_t offset = offset_of(seg, address), from = offset & ~7ull;
    int e;
    if (TARN_RARE(!s))
        return none_open("tarn_save");
    if (TARN_RARE(size == 0))
        return 0;
    if (TARN_RARE(!in_data(seg, offset, size))) /* its ends are whole words, so the words around are in it too */
        return fail(-EINVAL, "tarn_save: %zu bytes at %p are not in the segment's committed data", size, address);
    e = log_save(s, from, (offset + size - from + 7) / 8);
    if (TARN_RARE(e == -EACCES))
        return e; /* said */
    if (TARN_RARE(e))
        return fail(e,
                    "the section's log is full (%llu words) and no memory is left for more of it: abort, or "
                    "commit in "
                    "smaller sections",
                    (unsigned long long)JOURNAL_WORDS(s->journal));
    return 0;
}

int tarn_write(tarn *seg, void *address, const void *from, size_t size)
{
    int e = tarn_save(seg, address, size);
    if (e)
        return e;
    memcpy(address, from, size);
    compiler_barrier();
    return 0;
}

int tarn_commit(tarn *seg)
{
    struct self *s = open_here(seg);
    return s ? section_commit(s) : none_open("tarn_commit");
}

int tarn_abort(tarn *seg)
{
    struct self *s = open_here(seg);
    return s ? section_abort(s) : none_open("tarn_abort");
}

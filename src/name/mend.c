/* name/mend.c - chains of names after a power loss: what leads nowhere is taken out.
 *
 * For who is alone in the segment, with no participant alive (tarn_repair). One store for each entry taken out, so a kill leaves a chain that was
 * mended so far. Nothing is given back to the heap, whose tables are not to be believed either: a block that nothing leads to is
 * no damage. It does not choose between two entries of one name: those are reported, and stay. */
#include "name/name.h"

void name_mend(struct tarn *seg, void (*mended)(uint64_t ref, const char *what, void *arg), void *arg)
{
    struct name_zone *z = name_zone_of(seg);
    struct name_copy copy;
    uint64_t next;
    if (z->lock.owner) {
        store32(&z->lock.owner, 0); /* it is never dirty: only sections hold it, and all have ended */
        mended(offset_of(seg, &z->lock), "mended: the lock of names was held by nobody: freed", arg);
    }
    for (uint64_t chain = 0; chain < NAME_CHAINS; chain++) {
        uint64_t *link = &z->head[chain], mark = 0, steps = 0, turn = 1;
        while (*link) {
            uint64_t at = *link;
            if (at == mark || name_copy_entry(seg, at, &copy, &next)) {
                store64(link, 0);
                mended(at, "mended: a chain of names led to what is no entry, or round in a circle: cut, and what hung behind is lost",
                       arg);
                break;
            }
            if (name_entry_fault(seg, &copy, chain)) {
                store64(link, next == at ? 0 : next);
                mended(at, "mended: a name led to no whole object, or its entry was damaged: unbound", arg);
                continue;
            }
            if (++steps == turn) { /* a circle? (Brent) */
                mark = at;
                turn *= 2;
            }
            link = &((struct name_entry *)at_offset(seg, at))->next;
        }
    }
}

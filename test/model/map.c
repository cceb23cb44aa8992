/* map.c - the map's bucket and its split: code under test, as docs/crash-core.md's 'Inner changes' has it.
 *
 * The bucket is lock[0], link = {sibling, CLEANING} and two entries; key 1 moves to the sibling, a block: word 0 its lock, word 1
 * the entry. Only who holds the bucket's lock splits, in a section in which he has written nothing yet; the sibling is filled
 * while it is free, and one store to link publishes it. The moved entry is then cleared, then CLEANING: by him, or by the next
 * holder. None of this is in the section's log, all of it stays if the section is undone. */
#include "machine.h"

static W sibling(void)
{
    return REF(own(&G->link));
}

void map_settle(void)
{
    W l = own(&G->link);
    if (!(l & CLEANING) || BUG(SPLIT_UNFINISHED))
        return;
    store(&G->pair[1], 0);
    store(&G->link, l & (W)~CLEANING);
}
void map_lock(void)
{
    lock(&G->lock[0], SECTION);
    map_settle();
}
int map_put(W key, W v)
{
    W s = key ? sibling() : 0, *p = s ? &G->block[s][1] : &G->pair[key];
    if (save(p))
        return -1;
    store(p, v);
    GHOST(ghost_write(OFF(&G->pair[key]), v));
    return 0;
}
void map_split(void)
{
    W b;
    if (own(&G->link) || (own(&R->journal) >> 2 && !BUG(SPLIT_WRITTEN)))
        return;
    lock(&G->lock[1], INNER); /* the directory's */
    if (BUG(SPLIT_LOGGED)) {
        if ((b = alloc())) {
            keep(&G->block[b][1], own(&G->pair[1]));
            save(&G->link);
            store(&G->link, b);
            store(&G->pair[1], 0);
        }
    } else if ((b = pick(own(&G->pair[1])))) {
        if (BUG(SPLIT_CLEARED_FIRST))
            store(&G->pair[1], 0);
        if (BUG(SPLIT_NO_FLAG)) {
            publish(b, &G->link, b);
            store(&G->pair[1], 0);
        } else {
            publish(b, &G->link, b | CLEANING);
            if (BUG(SPLIT_FLAG_FIRST))
                store(&G->link, b);
            if (!BUG(SPLIT_CLEARED_FIRST))
                store(&G->pair[1], 0);
            store(&G->link, b);
        }
    }
    unlock(&G->lock[1]);
}
W map_get(void)
{
    W l, v;
    read_begin();
    do {
        l = load(&G->link);
        v = REF(l) ? load(&G->block[REF(l)][1]) : load(&G->pair[1]);
    } while (!v && !BUG(GET_ONE_LOOK) && load(&G->link) != l);
    read_end();
    return v;
}

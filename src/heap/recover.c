/* heap/recover.c - the heap's part in recovery: what a dead participant's one-step operation, open or committed section left half-done.
 *
 * `dead` is lent: a self with the dead one's record, identity and code, and no caches. Until its generation moves, at the end of its recovery,
 * its spans are its own: nobody adopts them, so F bits there stand still but for us; and spans' owners leave alone the block it has in hand.
 * Hence each function here finds out by looking how far things went, and may be stopped after any store and run again.
 * The intent is cleared by the caller, and not before the journal's count moved past a block in hand (INTENT_HAND). Committed frees: free.c.
 *
 * Everything read is checked: a hostile writer can make us change a state or a word in the segment that it could have changed itself, no
 * more. */
#include "heap/table.h"

static bool is_own(const struct self *dead, const struct block *b)
{
    return SPAN_OWNER(b->word) == dead->id;
}

static void now_used_if_own(struct self *dead, uint64_t block)
{
    struct block b;
    if (block && block_find(dead->seg, block, &b) && is_own(dead, &b) && block_is_free(&b))
        store64(b.free_word, load64(b.free_word) & ~b.free_bit);
}

/* intent; state; *place = 0: if the state was set, the rest. */
static void forward_free(struct self *dead, uint64_t *place)
{
    struct block b;
    uint64_t block = load64(place);
    if (block && block_find(dead->seg, block, &b) && ((is_own(dead, &b) && block_is_free(&b)) || block_freed(&b)))
        store64(place, 0);
}

/* swap_old; intent; *place = new; F(new) = 0; R(old): if *place was set, the rest. */
static void forward_swap(struct self *dead, uint64_t *place)
{
    uint64_t old = load64(&dead->record->swap_old), now = load64(place) & REF_MASK;
    struct block b;
    if (now == old)
        return;
    now_used_if_own(dead, now);
    if (old && block_find(dead->seg, old, &b) && block_is_allocated(&b))
        store8(b.freed_byte, (uint8_t)(dead->code | BLOCK_RETIRED));
}

void heap_recover_intent(struct self *dead, uint64_t intent)
{
    uint64_t at = INTENT_OFFSET(intent), *place;
    if (!place_is_valid(dead->seg, at))
        return;
    place = at_offset(dead->seg, at);
    switch (INTENT_KIND(intent)) {
    case INTENT_ALLOC: now_used_if_own(dead, load64(place) & REF_MASK); break;
    case INTENT_FREE:
    case INTENT_RETIRE: forward_free(dead, place); break;
    case INTENT_SWAP: forward_swap(dead, place); break;
    default: break; /* INTENT_HAND: heap_free_block is called again */
    }
}

/* Retired, not freed: a lock-free reader may hold it. */
void heap_undo_alloc(struct self *dead, uint64_t block)
{
    struct block b;
    if (block_find(dead->seg, block, &b) && block_is_allocated(&b))
        block_set_state(dead, &b, LOG_RETIRE); /* he may live: his section is aborted */
}

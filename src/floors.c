/* floors.c - which floors there are, and what each hands down. The only file that knows all of them.
 *
 * From the lowest up: they attach and create in this order, and close in the other. */
#include "heap/heap.h"
#include "name/name.h"
#include "participant/event.h"
#include "participant/participant.h"
#include "segment/segment.h"
#include "sync/sync.h"

const struct floor *const tarn_floors[] = {&participant_floor, &heap_floor, &name_floor, NULL};

const struct recovery tarn_recovery = {
    .intent = heap_recover_intent,
    .undo_alloc = heap_undo_alloc,
    .free_block = heap_free_block,
    .free_slot = sync_free_slot,
    .end_slot = sync_end_slot,
    .alloc_extent = heap_alloc_extent,
    .cache_size = &heap_cache_size,
    .leave = heap_leave,
};

void (*const tarn_fail_told)(int error, const char *sentence) = event_error;

uint32_t tarn_side_size(uint32_t span_size)
{
    return heap_side_size(span_size);
}

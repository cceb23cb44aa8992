/* heap/heap.h - what floors above, and recovery, use of the heap. Orders of stores: docs/crash-core.md and docs/heap.md. */
#ifndef TARN_HEAP_H
#define TARN_HEAP_H

#include "heap/layout.h"
#include "participant/participant.h"

/* One-step operations outside any section, even while one is open: for changes of structure that others build on at once.
 * A block is picked, filled while it is still free, and published by one store into *place.
 *   struct fresh f;
 *   e = heap_pick(s, size, &f);           zeroed; private until published or given up by heap_unpick. A thread has 32 such at most
 *   fill at_offset(seg, f.block)
 *   heap_publish(s, &f, place, word)      intent; *place = word (whose low 48 bits are f.block); block's state; intent = 0
 *   heap_replace(s, &f, place, word, old) the same for *place that held block `old`, which is retired
 *   heap_drop(s, place, word, old)        no block picked: *place, that held `old`, = word (0, or of another allocated block); `old` is retired
 * Before heap_publish, the low 48 bits of *place must not be the offset of a block that is free (0, or an allocated block, is well). */
struct fresh {
    uint64_t block, size; /* offset, usable bytes */
    uint64_t *word;       /* the F word that says it is free */
    uint64_t bit;
};
int heap_pick(struct self *s, uint64_t size, struct fresh *ret_fresh);
void heap_unpick(struct self *s, const struct fresh *f);
void heap_publish(struct self *s, const struct fresh *f, uint64_t *place, uint64_t word);
void heap_replace(struct self *s, const struct fresh *f, uint64_t *place, uint64_t word, uint64_t old);
/* heap_pick without clearing; heap_replace that frees (LOG_FREE) or retires `old`. */
int heap_pick_raw(struct self *s, uint64_t size, struct fresh *ret_fresh);
void heap_exchange(struct self *s, const struct fresh *f, uint64_t *place, uint64_t word, uint64_t old,
                   unsigned kind);
void heap_drop(struct self *s, uint64_t *place, uint64_t word, uint64_t old);

/* tarn_alloc, tarn_free, tarn_retire, tarn_alloc_into, ... without the look-up of self. zero: clear the block. */
int heap_alloc(struct self *s, uint64_t size, bool zero, uint64_t *ret_block);
int heap_free(struct self *s, uint64_t block, unsigned kind /* LOG_FREE, LOG_RETIRE */);
int heap_alloc_into(struct self *s, uint64_t *place, uint64_t size);
int heap_free_from(struct self *s, uint64_t *place, unsigned kind);
/* tarn_realloc, tarn_realloc_into; kind: what becomes of the old block, if there is another one. */
int heap_realloc(struct self *s, uint64_t block, uint64_t size, unsigned kind, uint64_t *ret_block);
int heap_realloc_into(struct self *s, uint64_t *place, uint64_t size, unsigned kind);
/* The size to ask for, so that the block is at least `size` bytes and aligned to a power of two up to 4096. */
uint64_t heap_aligned_size(const struct tarn *seg, uint64_t size, uint64_t alignment);

/* State of the block that begins at this offset. */
enum block_state { BLOCK_NONE, BLOCK_FREE, BLOCK_ALLOCATED, BLOCK_LIMBO };
enum block_state heap_state(struct tarn *seg, uint64_t offset, uint64_t *ret_size);

/* For check, tools and tests: call back for each block of each span. */
int heap_walk(struct tarn *seg,
              int (*each)(uint64_t offset, uint64_t size, enum block_state state, void *arg), void *arg);
/* What there is within [from, to) of data space: call back for each block that reaches into it, and with BLOCK_NONE for what is of no block, but for what the
 * last block of a span leaves over. A result other than 0 ends it and is returned. */
int heap_within(struct tarn *seg, uint64_t from, uint64_t to,
                int (*each)(uint64_t offset, uint64_t size, enum block_state state, void *arg), void *arg);
/* What is damaged in side tables: calls back for each (NULL: only counts). Returns how many, or what the callback returned other than 0.
 * Bounded, and harmless, whatever the bytes. */
int heap_check(struct tarn *seg, int (*each)(const struct tarn_damage *d, void *arg), void *arg);
/* Largest size heap_pick can give at all. */
uint64_t heap_most(const struct tarn *seg);

extern const struct floor heap_floor;

/* The heap's part in recovery: see struct recovery. */
void heap_recover_intent(struct self *dead, uint64_t intent);
void heap_undo_alloc(struct self *dead, uint64_t block);
void heap_free_block(struct self *dead, uint64_t block, unsigned kind);
int heap_alloc_extent(struct self *s, uint64_t *place);
void heap_leave(struct self *s);
extern const size_t heap_cache_size;
uint32_t heap_side_size(uint32_t span_size);

/* Adopt spans of those who are gone, and put right what they left half-made. Returns spans adopted or freed. */
uint32_t heap_adopt(struct self *s);

#endif

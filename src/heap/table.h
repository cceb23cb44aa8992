/* heap/table.h - between the files of this floor: size classes, side tables, and a participant's private caches.
 *
 * Two structs per concept: struct span (layout.h) is in the segment, and the truth; struct heap_cache is in the private memory of one
 * thread, and a hint. Whatever is read from the segment (a span's word, an index, a ref) is copied once and checked here. */
#ifndef TARN_HEAP_TABLE_H
#define TARN_HEAP_TABLE_H

#include <stddef.h>
#include <string.h>

#include "heap/heap.h"

#define SPAN_SHIFT_LEAST 12u
#define SPAN_SHIFT_MOST 16u
#define CLASSES 56u          /* of the largest spans: 16, 32 .. 128, then 8 steps a doubling up to 8192 */
#define RUN CLASSES          /* the class of runs: one block, from the first byte on */
#define SMALL_MOST 8192u     /* bytes: span_size / 8 of the largest spans */
#define TABLE_WORDS_MOST 60u /* F words of any class of any span size */
#define CACHED 61u           /* blocks in a cache: with its head 1 KiB */
/* Bytes of a side table of the largest spans. */
#define SIDE_SIZE_MOST 1024u
#ifdef TARN_EXPLORED /* its participants have little private memory */
#define OWN_SPANS 1024u
#else
#define OWN_SPANS 65536u /* spans of which a participant keeps in private which are its own */
#endif
#define PICKED 32u /* blocks picked and not yet published, at most */

/* ---- class.c ---- */

struct size_class {
    uint32_t size;       /* bytes; of a run 0: the span's word tells */
    uint32_t reciprocal; /* offset * reciprocal >> 32 == offset / size for every offset within a span */
    uint32_t blocks;
    uint32_t words;    /* of F: (blocks + 63) / 64 */
    uint32_t freed_at; /* R bytes: within the table, or, if far, within the span */
    uint32_t far;
};
/* By span_shift - SPAN_SHIFT_LEAST. Made before main by a constructor; then fixed. */
extern struct size_class heap_classes[SPAN_SHIFT_MOST - SPAN_SHIFT_LEAST + 1][CLASSES + 1];
extern uint8_t heap_class_by_size[SMALL_MOST / 16 + 1]; /* (size + 15) / 16 -> class */

/* Size classes of a span size: those up to span_size / 8. */
static inline uint32_t class_count(const struct geometry *g)
{
    return g->span_shift * 8 - 72;
}
static inline const struct size_class *class_at(const struct geometry *g, uint32_t class)
{
    return &heap_classes[g->span_shift - SPAN_SHIFT_LEAST][class];
}
static inline uint32_t class_of_size(uint64_t size)
{
    return heap_class_by_size[(size + 15) / 16];
}

/* ---- side tables ---- */

static inline uint32_t spans_committed(const struct tarn *seg)
{
    return (uint32_t)(committed_of(seg) >> seg->geometry.span_shift);
}
static inline struct span *span_at(const struct tarn *seg, uint32_t index)
{
    return at_offset(seg, seg->geometry.zone[ZONE_SIDE] + (uint64_t)index * seg->geometry.side_size);
}
static inline uint64_t span_offset(const struct tarn *seg, uint32_t index)
{
    return seg->geometry.zone[ZONE_DATA] + ((uint64_t)index << seg->geometry.span_shift);
}
static inline uint64_t *free_words(struct span *span)
{
    return (uint64_t *)(span + 1);
}
static inline uint64_t *aged_words(struct span *span, const struct size_class *k)
{
    return free_words(span) + k->words;
}
static inline uint8_t *freed_bytes(const struct tarn *seg, uint32_t index, const struct size_class *k)
{
    return k->far ? (uint8_t *)at_offset(seg, span_offset(seg, index)) + k->freed_at
                  : (uint8_t *)(span_at(seg, index) + 1) + k->freed_at;
}
/* F bits that word w of a class may have */
static inline uint64_t word_mask(const struct size_class *k, uint32_t w)
{
    uint32_t n = k->blocks - w * 64;
    return n < 64 ? (1ull << n) - 1 : ~0ull;
}

/* A block, found by its offset. */
struct block {
    uint64_t offset, size;
    uint64_t word; /* its span's, as read */
    const struct size_class *class;
    uint32_t span, index;
    uint64_t *free_word, free_bit;
    uint8_t *freed_byte;
};

/* The block that begins exactly at this offset. false: none does. */
static inline bool block_find(const struct tarn *seg, uint64_t offset, struct block *b)
{
    const struct geometry *g = &seg->geometry;
    uint64_t from = offset - g->zone[ZONE_DATA], committed = committed_of(seg);
    uint32_t within = (uint32_t)from & (g->span_size - 1), argument;
    struct span *span;
    if (TARN_RARE(from >= committed))
        return false;
    b->offset = offset;
    b->span = (uint32_t)(from >> g->span_shift);
    span = span_at(seg, b->span);
    b->word = load64(&span->word);
    argument = SPAN_ARGUMENT(b->word);
    if (SPAN_STATE(b->word) == SPAN_SMALL && argument < class_count(g)) {
        b->class = class_at(g, argument);
        b->index = (uint32_t)((uint64_t)within * b->class->reciprocal >> 32);
        b->size = b->class->size;
        if (TARN_RARE(b->index >= b->class->blocks || b->index * b->class->size != within))
            return false;
    } else {
        b->class = class_at(g, RUN);
        b->index = 0;
        b->size = (uint64_t)argument << g->span_shift;
        if (SPAN_STATE(b->word) != SPAN_RUN || within || !argument || b->size > committed - from)
            return false;
    }
    b->free_word = free_words(span) + (b->index >> 6);
    b->free_bit = 1ull << (b->index & 63);
    b->freed_byte = freed_bytes(seg, b->span, b->class) + b->index;
    return true;
}
static inline bool block_is_free(const struct block *b)
{
    return load64(b->free_word) & b->free_bit;
}
static inline uint8_t block_freed(const struct block *b)
{
    return __atomic_load_n(b->freed_byte, __ATOMIC_ACQUIRE);
}
static inline bool block_is_allocated(const struct block *b)
{
    return !block_is_free(b) && !block_freed(b);
}
static inline bool block_is_run(const struct block *b)
{
    return SPAN_STATE(b->word) == SPAN_RUN;
}

/* Bytes in which the place of a ref may stand: where sections write, and in records (their extents). */
static inline bool place_is_valid(const struct tarn *seg, uint64_t offset)
{
    const uint64_t *zone = seg->geometry.zone;
    return in_writable(seg, offset, 8) ||
           (offset >= zone[ZONE_PARTICIPANT] && offset <= zone[ZONE_NAME] && zone[ZONE_NAME] - offset >= 8);
}
#define REF_MASK 0x0000ffffffffffffull /* a place's word may carry a tag above */

/* ---- private caches ---- */

struct cached {
    uint64_t block; /* offset */
    uint64_t bit; /* where its F bit is in this process: the word's address times 8, and the bit's number in it */
};
struct class_cache { /* Its blocks are free (F = 1) and of the participant's own spans */
    uint32_t used;   /* bytes of `cached` */
    uint32_t blocks; /* of a span */
    uint64_t reciprocal;
    uint64_t size;
    char *freed_at;      /* where this process has the R bytes of the first span, if it were of this class */
    uint64_t freed_step; /* ... and how many bytes further on those of the next */
    uint64_t reserved;
    struct cached cached[CACHED];
    uint64_t apart[8]; /* an odd number of lines: else those of all classes would want the same few sets of a processor's cache */
};
_Static_assert(sizeof(struct class_cache) == 1088, "whole lines");
#define CACHED_FULL (CACHED * (uint32_t)sizeof(struct cached)) /* `used` of a full one */
/* A block in few bits: its offset and, above, its index in its span. */
#define CACHED_WORD(block, index) ((uint64_t)(block) | (uint64_t)(index) << 48)
#define CACHED_BLOCK(word) ((word)&REF_MASK)
#define CACHED_INDEX(word) ((uint32_t)((word) >> 48))

/* What this participant retired of its own spans, oldest first: a hint, so that it need not look for it. Each has stayed retired since it
 * was put here, for nobody but its owner takes it, who leaves it out where he looks for others (collect), or forgets all of these first. Each
 * LIMBO_BATCH has a stamp: the epoch, after the last one's R byte was set and the ref to it was gone. */
#ifdef TARN_EXPLORED
#define LIMBO 8u
#define LIMBO_BATCH 1u
#else
#define LIMBO 4096u
#define LIMBO_BATCH 512u
#endif
struct limbo {
    uint32_t head, tail; /* counts; a block's entry: mod LIMBO */
    uint32_t stamped;    /* as far as there are stamps */
    uint32_t advanced;   /* batches there were when the epoch was last advanced for them */
    bool lost; /* there are some that are not here: all are looked for by their R bytes, and none is put here */
    uint64_t stamp[LIMBO / LIMBO_BATCH];
    uint64_t block[LIMBO]; /* as in a cache */
};

struct heap_cache {
    /* What the fast paths need of the segment. With all of it 0, as a self's memory is at first, they do nothing. */
    uint64_t nobody[2];   /* 0: read as a class's numbers, it has no blocks */
    uint64_t wide_words;  /* limit / 8, where spans are the largest; else 0 */
    uint64_t wide_limit;  /* limit_own, the same */
    char *data_at;        /* where this process has the zone of data */
    uint64_t bits_at;     /* bit_of the first span's first block */
    uint64_t data;        /* offset of that of data */
    uint64_t minus_free;  /* a place's address less this is its intent, to be freed; */
    uint64_t minus_alloc; /* ... to be allocated */
    uint64_t limit;       /* bytes of data space that were committed when it last looked; that only rises */
    uint64_t limit_own;   /* ... or of the spans in `span_class`, if that is less */
    uint32_t small_most;  /* bytes: above, runs */
    uint32_t plain_most;  /* the same where spans are the largest and nothing is zeroed; else 0 */
    uint64_t span_mask;   /* span_size - 1 */
    uint32_t side_size;
    uint8_t span_shift;
    bool clear;                 /* blocks are zeroed */
    bool begun;                 /* it is as cache_start makes it, and later */
    uint32_t refills, advanced; /* refills; their count when the epoch was last advanced */
    uint64_t safe;              /* what epoch_advance last returned */
    uint32_t cursor;            /* span from which to look for a free one */
    uint32_t idle_runs;         /* runs of its own were freed, and not yet taken apart */
    uint32_t claimed;           /* spans that it claimed since it last looked for empty ones of its own */
    uint32_t picks;
    uint64_t picked[PICKED];     /* blocks that are free, not in a cache, and spoken for */
    uint32_t open[CLASSES];      /* lists through struct span: spans with free blocks that are in no cache */
    uint32_t own[CLASSES + 1];   /* ... all its spans of a class; runs */
    uint32_t count[CLASSES + 1]; /* of them */
    uint32_t hand[CLASSES + 1];  /* where to look next for blocks that others freed */
    uint16_t class_at_size[SMALL_MOST / 16]; /* (size - 1) / 16 -> how many bytes from here its class's cache begins */
    struct class_cache class[CLASSES] __attribute__((aligned(64)));
    struct limbo limbo;
    /* 0: not its own, or no span of small blocks; else how many bytes from here its class's cache begins. Exact, so on the fast path nobody's
     * word is believed of whose a span is. */
    uint32_t span_class[OWN_SPANS];
    bool span_open[OWN_SPANS]; /* it is in `open` */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct heap_cache, limbo) < 65536, "class_at_size tells a class's cache");
#define OWN_CLASS(c) ((uint32_t)(offsetof(struct heap_cache, class) + (c) * sizeof(struct class_cache)))

/* A public call's self has its cache right behind it (self.c): no need to load where. */
static inline struct heap_cache *fast_cache(struct self *s)
{
    return (struct heap_cache *)((char *)s + (sizeof *s + 63) / 64 * 64);
}
/* bit_of a block; wide: spans are the largest. */
static inline uint64_t fast_bit(const struct heap_cache *h, uint64_t span, uint64_t index, bool wide)
{
    return h->bits_at + span * ((wide ? SIDE_SIZE_MOST : h->side_size) * 8) + index;
}
static inline uint64_t fast_span(const struct heap_cache *h, uint64_t from, bool wide)
{
    return from >> (wide ? SPAN_SHIFT_MOST : h->span_shift);
}
/* R bytes of the span. Without a branch: it would often be guessed wrong. */
static inline uint8_t *fast_freed(const struct class_cache *q, uint64_t span)
{
    return (uint8_t *)q->freed_at + span * q->freed_step;
}
/* Once for each self: its memory is new, and 0, and goes when its thread leaves. */
void cache_start(struct self *s, struct heap_cache *h);
/* It may have grown since. */
static inline void cache_look(struct self *s, struct heap_cache *h)
{
    uint64_t most = (uint64_t)OWN_SPANS << h->span_shift;
    h->limit = committed_of(s->seg);
    h->limit_own = h->limit < most ? h->limit : most;
    if (h->span_shift == SPAN_SHIFT_MOST) {
        h->wide_words = h->limit / 8;
        h->wide_limit = h->limit_own;
    }
}
static inline void own_set(struct heap_cache *h, uint32_t index, uint32_t entry, bool open)
{
    if (index >= OWN_SPANS)
        return;
    h->span_class[index] = entry;
    h->span_open[index] = open;
}
static inline void limbo_forget(struct heap_cache *h)
{
    h->limbo.lost |= h->limbo.head != h->limbo.tail;
    h->limbo.head = h->limbo.tail = h->limbo.stamped = 0;
}
/* Two participants may have one code: then an R byte does not tell which of them retired a block, and none is remembered. */
static inline bool limbo_is_shared(const struct tarn *seg)
{
    return seg->geometry.records > 127;
}
static inline uint32_t cache_count(const struct class_cache *q)
{
    return q->used / (uint32_t)sizeof(struct cached);
}
static inline struct cached *cache_end_of(struct class_cache *q)
{
    return (struct cached *)((char *)q->cached + q->used);
}
/* F words of a span -> the bit of its block */
static inline uint64_t bit_of(const uint64_t *f, uint64_t index)
{
    return (uint64_t)f * 8 + index;
}
static inline uint64_t *word_of(uint64_t bit)
{
    return (uint64_t *)(bit >> 6 << 3);
}
/* A free block into the cache, if there is room. f: its span's F words. */
static inline bool cache_put(struct class_cache *q, uint64_t block, const uint64_t *f, uint32_t index)
{
    if (TARN_RARE(q->used == CACHED_FULL))
        return false;
    struct cached *c = cache_end_of(q);
    c->block = block;
    compiler_barrier();
    c->bit = bit_of(f, index);
    q->used += sizeof(struct cached);
    return true;
}
/* Bit n mod 64 of *x is set, or cleared. Returns what it was. */
static inline bool bit_set(uint64_t *x, uint64_t n)
{
#ifdef __x86_64__
    bool was;
    __asm__("btsq %2, %0" : "+r"(*x), "=@ccc"(was) : "r"(n));
    return was;
#else
    bool was = *x >> (n & 63) & 1;
    *x |= 1ull << (n & 63);
    return was;
#endif
}
static inline void bit_clear(uint64_t *x, uint64_t n)
{
#ifdef __x86_64__
    __asm__("btrq %1, %0" : "+r"(*x) : "r"(n) : "cc");
#else
    *x &= ~(1ull << (n & 63));
#endif
}
/* x / 2^n if that is whole, else more than any bound: one comparison for both. */
static inline uint64_t whole_part(uint64_t x, unsigned n)
{
    return x >> n | x << (64 - n);
}
static inline struct heap_cache *cache_of(struct self *s)
{
    struct heap_cache *h = s->heap;
    if (TARN_RARE(!h->begun))
        cache_start(s, h);
    return h;
}
/* NULL: s is lent to a recoverer, and has none, or has not allocated or freed anything. */
static inline struct heap_cache *cache_if(struct self *s)
{
    struct heap_cache *h = s->heap;
    return h && h->begun ? h : NULL;
}
static inline bool is_picked(const struct heap_cache *h, uint64_t block)
{
    for (uint32_t i = 0; i < h->picks; i++)
        if (h->picked[i] == block)
            return true;
    return false;
}

/* ---- span.c ---- */

/* A list's entry, checked: index + 1 of a committed span whose word is {me, argument, state}, or 0. Runs: any argument. */
uint32_t span_mine(struct self *s, uint32_t link, uint32_t class);
void span_open(struct self *s, struct heap_cache *h, uint32_t index,
               uint32_t class); /* into the list of spans with free blocks */
void span_forget(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class);
/* n adjoining spans, all {me, INIT}: free ones, adopted ones, by growth, or by giving back what this participant can spare, in that order.
 * 0, -ENOSPC, -ENOMEM, naming the limit. */
int span_claim(struct self *s, struct heap_cache *h, uint32_t n, uint32_t *ret_first);
void span_make_small(struct self *s, struct heap_cache *h, uint32_t index, uint32_t class);
void span_make_run(struct self *s, struct heap_cache *h, uint32_t first, uint32_t n);
void span_give_back(struct self *s, struct heap_cache *h, uint32_t index,
                    uint32_t class); /* all its blocks are free, and not cached */
void run_take_apart(struct self *s, struct heap_cache *h, uint32_t first);
void run_tidy(struct self *s, struct heap_cache *h); /* its own runs that were freed */

/* ---- reap.c ---- */

/* Take what others freed (and all retired) in a few spans of this class. */
void reap_some(struct self *s, struct heap_cache *h, uint32_t class);
/* All that can be taken, of all classes; empty spans are given back, but for `keep` of each class. */
void reap_all(struct self *s, struct heap_cache *h, uint32_t keep);

/* This participant retired a block of its own span: it remembers. */
void limbo_put(struct heap_cache *h, uint64_t block, uint32_t index);
void limbo_stamp(struct self *s, struct limbo *l);
/* ... and takes back what it remembers and whose grace is over. Returns whether any. */
bool limbo_take(struct self *s, struct heap_cache *h);

/* ---- free.c ---- */

/* The store that frees or retires b, which is in hand; a block of one's own that is freed goes into its cache, a run must be tidied later. */
void block_set_state(struct self *s, const struct block *b, unsigned kind);

/* ---- alloc.c ---- */

/* Blocks of one's own spans into the cache of the class. 0, or as span_claim. */
int cache_refill(struct self *s, struct heap_cache *h, uint32_t class);

#endif

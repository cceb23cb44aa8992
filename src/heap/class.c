/* heap/class.c - size classes: which sizes there are, how many blocks of each a span holds, and where its R bytes stand.
 *
 * 16, 32 .. 128, then eight steps a doubling: above 128 bytes a block is less than 12.5 % larger than what was asked for, below it
 * is what the alignment to 16 makes of it. From 1 KiB on all sizes are multiples of 128 (spans are page aligned, so blocks are aligned to 64).
 * The tables are private and fixed, so a hostile writer cannot change them.
 *
 *     blocks * size <= span_size, less the R bytes if these stand at its end
 *     size[c] > size[c - 1];  class_of_size(n) is the least c with size[c] >= n
 *     offset * reciprocal >> 32 == offset / size    for 0 <= offset < span_size: reciprocal * size = 2^32 + e with e < size, and
 *         offset * e < 2^16 * 2^13 < 2^32 */
#include "heap/table.h"

struct size_class heap_classes[SPAN_SHIFT_MOST - SPAN_SHIFT_LEAST + 1][CLASSES + 1];
uint8_t heap_class_by_size[SMALL_MOST / 16 + 1];

static uint32_t size_of_class(uint32_t class)
{
    return class < 8 ? 16 * (class + 1) : (8 + class % 8 + 1) << (class / 8 + 3);
}

uint32_t heap_side_size(uint32_t span_size)
{
    return span_size <= 8192 ? 256 : span_size <= 32768 ? 512 : SIDE_SIZE_MOST;
}

static void make_class(struct size_class *k, uint32_t size, uint32_t span_size)
{
    uint32_t table = heap_side_size(span_size) - (uint32_t)sizeof(struct span);
    k->size = size;
    k->reciprocal = (uint32_t)(((1ull << 32) + size - 1) / size);
    k->blocks = span_size / size;
    k->words = (k->blocks + 63) / 64;
    k->freed_at = (k->words * 16 + 63) / 64 * 64;
    k->far = k->freed_at + (k->blocks + 7) / 8 * 8 > table;
    if (!k->far)
        return;
    k->blocks = span_size / (size + 1);
    if (k->blocks > table / 16 * 64)
        k->blocks = table / 16 * 64;
    k->words = (k->blocks + 63) / 64;
    k->freed_at = span_size - (k->blocks + 7) / 8 * 8;
}

__attribute__((constructor)) static void make_classes(void)
{
    for (uint32_t shift = SPAN_SHIFT_LEAST; shift <= SPAN_SHIFT_MOST; shift++) {
        struct size_class *k = heap_classes[shift - SPAN_SHIFT_LEAST];
        for (uint32_t c = 0; c < CLASSES && size_of_class(c) <= 1u << shift >> 3; c++)
            make_class(&k[c], size_of_class(c), 1u << shift);
        k[RUN] = (struct size_class){.blocks = 1, .words = 1, .freed_at = 64};
    }
    for (uint32_t c = 0, i = 0; c < CLASSES; c++)
        for (; i <= size_of_class(c) / 16; i++)
            heap_class_by_size[i] = (uint8_t)c;
}

uint64_t heap_most(const struct tarn *seg)
{
    uint64_t spans = seg->geometry.limit >> seg->geometry.span_shift;
    return (spans < 0x0fffffff ? spans : 0x0fffffff) << seg->geometry.span_shift;
}

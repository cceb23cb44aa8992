/* collection/entry.h - entries of byte strings, which maps and trees have in blocks of their own: struct entry_bytes (layout.h), the value, the key. */
#ifndef TARN_ENTRY_H
#define TARN_ENTRY_H

#include <string.h>

#include "collection/layout.h"
#include "heap/heap.h"

/* A filled entry, in the open section. value: NULL for zeros. 0, or as heap_alloc. */
static inline int entry_make(struct self *s, const void *key, uint64_t key_size, const void *value,
                             uint64_t size, uint64_t *ret_entry)
{
    struct entry_bytes *n;
    int e = heap_alloc(s, sizeof *n + size + key_size, false, ret_entry);
    if (TARN_RARE(e < 0))
        return e;
    n = at_offset(s->seg, *ret_entry);
    n->key_size = (uint32_t)key_size;
    n->value_size = (uint32_t)size;
    if (size && value)
        memcpy(n + 1, value, size);
    else if (size)
        memset(n + 1, 0, size);
    memcpy((char *)(n + 1) + size, key, key_size);
    return 0;
}

#endif

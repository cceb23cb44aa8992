/* name/layout.h - names in the segment: a zone of chain heads, and one block of the heap for each name.
 *
 * Invariants, wherever no section of name changes is open:
 *     every entry is in exactly one chain, that of head[hash % NAME_CHAINS]
 *     hash == XXH3_64bits(name);  no two entries have the same name
 *     1 <= type_length <= 63;  1 <= name_length <= 255;  both texts end with a NUL that is not counted
 * An entry is whole before it is linked and is not changed while it is linked, but for `next`. */
#ifndef TARN_NAME_LAYOUT_H
#define TARN_NAME_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "tarn.h"

#define NAME_CHAINS 256u
#define NAME_MOST 255u     /* bytes of a name */
#define NAME_TYPE_MOST 63u /* bytes of a type's name */

/* The first bytes of ZONE_NAME. */
struct name_zone {
    tarn_mutex lock;  /* whoever changes names holds it to the end of his section */
    uint64_t changes; /* its holder counts it up before he changes anything; never saved, so never undone */
    uint64_t reserved[6];
    uint64_t head[NAME_CHAINS]; /* refs of entries; the lock's holder, in a section */
};
_Static_assert(sizeof(struct name_zone) == 2112, "name zone layout");
_Static_assert(offsetof(struct name_zone, head) == 64, "name zone layout");

/* A block of the heap; behind it the type's name, NUL, the name, NUL. */
struct name_entry {
    uint64_t next;    /* ref of the next in the chain; the lock's holder, in a section */
    uint64_t hash;    /* this and the rest: written before the entry is linked, and never again */
    uint64_t ref;     /* of the named object */
    uint64_t size;    /* the type's: bytes */
    uint32_t version; /* the type's */
    uint16_t type_length, name_length;
    uint64_t reserved;
};
_Static_assert(sizeof(struct name_entry) == 48, "name entry layout");

#endif

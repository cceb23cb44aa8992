/* bench/map_limit.cc - limits of a hash map: open addressing, sized beforehand for twice the entries, half full. No peers: nothing here
 * grows, is shared, is locked, or survives anything, and what is erased leaves its slot taken. The numbers 0 and all ones cannot be keys.
 *
 * SPDX-License-Identifier: MIT */
#include "table_class.h"

#include <stdlib.h>

#define FREE UINT64_C(0)
#define GONE UINT64_MAX

namespace
{

/* ---- numbers: key and value in the slot ---- */

struct slot {
    uint64_t key, value;
};
struct open_table : table_defaults {
    struct slot *slot;
    uint64_t slots, count = 0;
    explicit open_table(size_t entries)
        : slot((struct slot *)malloc(entries * 2 * sizeof *slot)), slots(entries * 2)
    {
        if (!slot)
            bench_die("no memory");
        memset(slot, 0, slots * sizeof *slot);
    }
    ~open_table()
    {
        free(slot);
    }
    uint64_t size()
    {
        return count;
    }
    /* The slot that has the key, or the free one at which the search ends. */
    struct slot *slot_of(uint64_t key)
    {
        uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
        uint64_t i = (uint64_t)(((unsigned __int128)hash * slots) >> 64);
        while (slot[i].key != key && slot[i].key != FREE)
            i = i + 1 == slots ? 0 : i + 1;
        return &slot[i];
    }
    static void put(void *table, uint64_t key, uint64_t value)
    {
        auto *t = static_cast<open_table *>(table);
        struct slot *s = t->slot_of(key);
        t->count += s->key == FREE;
        s->key = key;
        s->value = value;
    }
    static bool find(void *table, uint64_t key, uint64_t *ret_value)
    {
        struct slot *s = static_cast<open_table *>(table)->slot_of(key);
        *ret_value = s->value;
        return s->key != FREE;
    }
    static bool erase(void *table, uint64_t key)
    {
        auto *t = static_cast<open_table *>(table);
        struct slot *s = t->slot_of(key);
        if (s->key == FREE)
            return false;
        s->key = GONE;
        t->count--;
        return true;
    }
};

/* ---- texts: in the slot a hash beside the offset of {value, size, bytes} ---- */

uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
/* Texts of 8 bytes or more: a word at a time, the last one ending where the text ends. */
uint64_t hash_of(std::string_view key)
{
    uint64_t hash = key.size(), word;
    for (size_t i = 0; i + 8 < key.size(); i += 8) {
        memcpy(&word, key.data() + i, 8);
        hash = fold(hash ^ word, UINT64_C(0x9e3779b97f4a7c15));
    }
    memcpy(&word, key.data() + key.size() - 8, 8);
    return fold(hash ^ word, UINT64_C(0xd1342543de82ef95));
}

struct text_slot {
    uint32_t hash, offset; /* 8-byte units from the first byte of `bytes`; 0: free; 1: was erased */
};
struct text_table : table_defaults {
    struct text_slot *slot;
    uint64_t slots, count = 0;
    uint64_t *bytes;
    uint64_t used = 2; /* 8-byte units */
    explicit text_table(size_t entries)
        : slot((struct text_slot *)malloc(entries * 2 * sizeof *slot)), slots(entries * 2),
          bytes((uint64_t *)malloc(entries * 64 + 64))
    {
        if (!slot || !bytes)
            bench_die("no memory");
        memset(slot, 0, slots * sizeof *slot);
    }
    ~text_table()
    {
        free(slot);
        free(bytes);
    }
    uint64_t size()
    {
        return count;
    }
    struct text_slot *slot_of(std::string_view key, uint64_t hash)
    {
        uint64_t i = (uint64_t)(((unsigned __int128)hash * slots) >> 64);
        for (;; i = i + 1 == slots ? 0 : i + 1) {
            struct text_slot *s = &slot[i];
            if (s->offset == 0)
                return s;
            const uint64_t *entry = &bytes[s->offset];
            if (s->hash == (uint32_t)hash && s->offset != 1 && entry[1] == key.size() &&
                memcmp(entry + 2, key.data(), key.size()) == 0)
                return s;
        }
    }
    static void put(void *table, std::string_view key, uint64_t value)
    {
        auto *t = static_cast<text_table *>(table);
        uint64_t hash = hash_of(key);
        struct text_slot *s = t->slot_of(key, hash);
        if (s->offset == 0) {
            *s = {(uint32_t)hash, (uint32_t)t->used};
            t->bytes[t->used + 1] = key.size();
            memcpy(&t->bytes[t->used + 2], key.data(), key.size());
            t->used += 2 + (key.size() + 7) / 8;
            t->count++;
        }
        t->bytes[s->offset] = value;
    }
    static bool find(void *table, std::string_view key, uint64_t *ret_value)
    {
        auto *t = static_cast<text_table *>(table);
        struct text_slot *s = t->slot_of(key, hash_of(key));
        if (s->offset == 0)
            return false;
        *ret_value = t->bytes[s->offset];
        return true;
    }
    static bool erase(void *table, std::string_view key)
    {
        auto *t = static_cast<text_table *>(table);
        struct text_slot *s = t->slot_of(key, hash_of(key));
        if (s->offset == 0)
            return false;
        s->offset = 1;
        t->count--;
        return true;
    }
};

} // namespace

extern "C" {
extern const table_kind limit_map_numbers = numbers<open_table>::kind("limit", true);
/* Not said to be in the heap: best_private is sought among the peers that are. */
extern const text_kind limit_map_texts = strings<text_table>::kind("limit", false);
}

/* collection/map_quick.h - the quick look-ups of map_read.c, once for each width of instructions. Included there, several times.
 *
 * QUICK(name): the name of this one; QUICK_FOR: its attribute; QUICK_MATCH(part, tag): part_match. */

/* 1: found; 0: not there; -1: ask the ordinary look-up. */
QUICK_FOR static inline __attribute__((always_inline)) int QUICK(quick_number)(const tarn_map *m, uint64_t hash,
                                                                               uint64_t *ret_value)
{
    uint64_t entry, index, head, mask;
    const struct tags *part;
    const struct slot *slots;
    if (!quick_part(m, hash, &entry, &index, &part))
        return -1;
    head = load64(&part->head);
    mask = QUICK_MATCH(part, tag_of(hash)) & slots_for(m, head, hash);
    if (mask) {
        if (!quick_slots(m, head, &slots))
            return -1;
        do {
            unsigned at = (unsigned)__builtin_ctzll(mask);
#if MAP_PAIRS
            struct slot pair = pair_whole(&slots[at]);
#else
            struct slot pair;
            if (!pair_load((const struct bucket *)(m->base + (entry & MAP_REF)), &slots[at], &pair))
                return -1;
#endif
            if (!TARN_RARE(pair.hash != hash)) {
                if (TARN_RARE(!tag_still_there(part, at, hash)))
                    return -1;
                *ret_value = pair.word;
                return 1;
            }
            mask &= mask - 1;
        } while (mask);
    }
    return pair_is_there(index, entry, part, head, hash) ? 0 : -1;
}

/* Not the first of the slots that have the tag, or whatever else there may be: from the start. */
QUICK_FOR static __attribute__((noinline)) int QUICK(get64_again)(tarn_map *map, uint64_t hash, uint64_t *ret_value)
{
    int is = QUICK(quick_number)(map, hash, ret_value);
    if (is > 0)
        return 0;
    if (is < 0)
        return get_number(map, hash, ret_value);
    return fail_constant(-ENOENT, "the map has no such key");
}

/* No pin: no entry is followed, and what is looked at here is given back only with the whole map. What is likely is done here, in as few
 * instructions and registers as can be (docs/map.md): nothing there, or the first slot that has the tag. */
QUICK_FOR static int QUICK(get64)(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    uint64_t hash = hash_number(map->seed, map->multiplier, key), entry, index, head, mask;
    const struct tags *part;
    const struct slot *slots;
    if (TARN_RARE(!tag_byte(hash)) || !quick_part(map, hash, &entry, &index, &part))
        return QUICK(get64_again)(map, hash, ret_value);
    head = load64(&part->head);
    mask = QUICK_MATCH(part, tag_byte(hash)) & slots_for(map, head, hash);
    if (!mask) {
        if (pair_is_there(index, entry, part, head, hash))
            return fail_constant(-ENOENT, "the map has no such key");
    } else if (quick_slots(map, head, &slots)) {
        unsigned at = (unsigned)__builtin_ctzll(mask);
#if MAP_PAIRS
        struct slot pair = pair_whole(&slots[at]);
        bool whole = true;
#else
        struct slot pair;
        bool whole = pair_load((const struct bucket *)(map->base + (entry & MAP_REF)), &slots[at], &pair);
#endif
        if (whole && !TARN_RARE(pair.hash != hash) && !TARN_RARE(!tag_still_there(part, at, hash))) {
            *ret_value = pair.word;
            return 0;
        }
    }
    return QUICK(get64_again)(map, hash, ret_value);
}

/* A torn pair would do no harm: the entry has the key. 1: found; 0: not there; -1: ask the ordinary look-up. */
QUICK_FOR static inline int QUICK(quick_bytes)(const tarn_map *m, const struct key *k, struct want *want)
{
    uint64_t entry, index, head, mask;
    const struct tags *part;
    const struct slot *slots = NULL;
    if (!quick_part(m, k->hash, &entry, &index, &part))
        return -1;
    head = load64(&part->head);
    mask = QUICK_MATCH(part, tag_of(k->hash)) & slots_for(m, head, k->hash);
    if (mask && !quick_slots(m, head, &slots))
        return -1;
    for (; mask; mask &= mask - 1) {
        const struct slot *slot = &slots[__builtin_ctzll(mask)];
        int e;
        if (load64(&slot->hash) != k->hash)
            continue;
        e = quick_copy(m, load64(&slot->word), k, want);
        if (e != 1)
            return e == 0 ? 1 : -1;
    }
    return pair_is_there(index, entry, part, head, k->hash) ? 0 : -1;
}

QUICK_FOR static int QUICK(get)(tarn_map *map, const void *key, size_t key_size, void *value, size_t room,
                                size_t *ret_size)
{
    struct self *s = quick_self(map->quick_bytes);
    struct key k = {.bytes = key, .size = key_size};
    struct want want = {.value = value, .room = room};
    int is;
    if (TARN_RARE(!s || !key || key_size - 1 >= 65535))
        return get_bytes(map, key, key_size, value, room, ret_size);
    k.hash = hash_bytes(map->seed, key, key_size);
    if (!s->read_depth)
        store64(&s->record->epoch, 1 + load64(map->epoch));
    is = QUICK(quick_bytes)(map, &k, &want);
    if (TARN_RARE(is < 0))
        return get_bytes(map, key, key_size, value, room, ret_size);
    if (!s->read_depth)
        store64(&s->record->epoch, 0);
    if (!is)
        return fail_constant(-ENOENT, "the map has no such key");
    if (ret_size)
        *ret_size = want.size;
    return 0;
}

#undef QUICK
#undef QUICK_FOR
#undef QUICK_MATCH

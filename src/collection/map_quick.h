/* collection/map_quick.h - the quick look-ups of map_read.c, once for each width of instructions. Included there, several times.
 *
 * QUICK(name): the name of this one; QUICK_FOR: its attribute; QUICK_MATCH(part, tag): as part_match. */

/* 1: found; 0: not there; -1: ask the ordinary look-up. */
QUICK_FOR static inline __attribute__((always_inline)) int QUICK(quick_number)(const tarn_map *m, uint64_t key,
                                                                               uint64_t *ret_value)
{
    uint64_t hash = hash_number(m->seed, m->multiplier, key), entry, index, mask, head;
    const struct tags *part = quick_part(m, hash, &entry, &index);
    const struct slot *slots;
    if (TARN_RARE(!part))
        return -1;
    mask = QUICK_MATCH(part, tag_of(hash));
    head = load64(&part->head);
    slots = quick_slots(m, head);
    if (TARN_RARE(!slots))
        return -1;
    for (; mask; mask &= mask - 1) {
#if MAP_PAIRS
        struct slot pair = pair_whole(&slots[__builtin_ctzll(mask)]);
#else
        struct slot pair;
        if (!pair_load((const struct bucket *)(m->base + (entry & MAP_REF)), &slots[__builtin_ctzll(mask)], &pair))
            return -1;
#endif
        if (!TARN_RARE(pair.hash != hash)) {
            *ret_value = pair.word;
            return 1;
        }
    }
    return is_there(index, entry, head, hash) ? 0 : -1;
}

QUICK_FOR static __attribute__((noinline)) int QUICK(get_number_pinned)(tarn_map *map, uint64_t key,
                                                                        uint64_t *ret_value)
{
    uint64_t value;
    if (QUICK(quick_number)(map, key, &value) != 1)
        return get_number(map, key, ret_value);
    *ret_value = value;
    return 0;
}

/* Here the pin is not counted in read_depth: nothing else happens in this thread until it ends, or until the ordinary look-up makes it its own. */
QUICK_FOR static int QUICK(get64)(tarn_map *map, uint64_t key, uint64_t *ret_value)
{
    struct self *s = quick_self(map->quick64);
    struct record *r;
    uint64_t value;
    int is;
    if (TARN_RARE(!s))
        return get_number(map, key, ret_value);
    if (TARN_RARE(s->read_depth))
        return QUICK(get_number_pinned)(map, key, ret_value);
    r = s->record;
    store64(&r->epoch, 1 + load64(map->epoch)); /* pairs with the membarrier of epoch_advance */
    is = QUICK(quick_number)(map, key, &value);
    if (TARN_RARE(is < 0))
        return get_number(map, key, ret_value);
    store64(&r->epoch, 0);
    if (!is)
        return fail_constant(-ENOENT, "the map has no such key");
    *ret_value = value;
    return 0;
}

/* A torn pair would do no harm: the entry has the key. 1: found; 0: not there; -1: ask the ordinary look-up. */
QUICK_FOR static inline int QUICK(quick_bytes)(const tarn_map *m, const struct key *k, struct want *want)
{
    uint64_t entry, index, mask, head;
    const struct tags *part = quick_part(m, k->hash, &entry, &index);
    const struct slot *slots;
    if (TARN_RARE(!part))
        return -1;
    mask = QUICK_MATCH(part, tag_of(k->hash));
    head = load64(&part->head);
    slots = quick_slots(m, head);
    if (TARN_RARE(!slots))
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
    return is_there(index, entry, head, k->hash) ? 0 : -1;
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

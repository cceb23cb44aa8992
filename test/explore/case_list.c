/* case_list.c - the list: changes exclude each other, and a reader without a lock always finds a whole list. */
#include "explore.h"

static tarn_link *link_of(int p, int i)
{
    return (tarn_link *)(void *)((char *)tarn_ptr(seg_of(p), root()->ref[i], 64) + ROOT_LINK);
}

/* 0 and 1 are in it, 2 and 3 are not. */
static void two_members(void)
{
    for (int i = 0; i < 4; i++) {
        MUST(tarn_alloc_into(seg_of(DRIVER), &root()->ref[i], 64));
        *(uint64_t *)tarn_ptr(seg_of(DRIVER), root()->ref[i], 8) = 100 + (uint64_t)i;
    }
    for (int i = 0; i < 2; i++)
        MUST(tarn_list_insert_last(seg_of(DRIVER), &root()->list, link_of(DRIVER, i)));
}

static void insert_and_remove(int p)
{
    tarn *seg = seg_of(p);
    if (p == 0)
        MUST(tarn_list_insert_last(seg, &root()->list, link_of(p, 2)));
    else
        MUST(tarn_list_remove(seg, &root()->list, link_of(p, 1)));
    ghost[p] = 1;
}

/* As often as it likes, a reader meets members only, 0 in any case, and the end. */
static void read_all(int p)
{
    tarn *seg = seg_of(p);
    uint64_t met = 0;
    int n = 0;
    MUST(tarn_read_begin(seg));
    for (tarn_link *l = tarn_list_first(seg, &root()->list); l; l = tarn_list_next(seg, l)) {
        uint64_t v = shared_read((uint64_t *)(void *)((char *)l - ROOT_LINK)) - 100;
        must_be(v < 4 && ++n <= 4, "a reader met what is no member, or goes in a circle");
        must_be(!(met >> v & 1), "a reader met a member twice");
        met |= 1ull << v;
    }
    MUST(tarn_read_end(seg));
    must_be(met & 1, "a reader missed a member that was there all the time");
}
static void change_and_read(int p)
{
    tarn *seg = seg_of(p);
    if (p == 1) {
        read_all(p);
        return;
    }
    MUST(tarn_begin(seg));
    MUST(tarn_list_remove(seg, &root()->list, link_of(p, 1)));
    MUST(tarn_list_insert_first(seg, &root()->list, link_of(p, 2)));
    MUST(tarn_commit(seg));
    ghost[p] = 1;
}

static uint64_t members(void)
{
    uint64_t there = 0;
    int n = 0;
    for (tarn_link *l = tarn_list_first(seg_of(DRIVER), &root()->list); l && n++ < 5;
         l = tarn_list_next(seg_of(DRIVER), l))
        there |= 1ull << (*(uint64_t *)(void *)((char *)l - ROOT_LINK) - 100);
    for (tarn_link *l = tarn_list_last(seg_of(DRIVER), &root()->list); l && n-- > -5;
         l = tarn_list_previous(seg_of(DRIVER), l))
        there |= 1ull << (*(uint64_t *)(void *)((char *)l - ROOT_LINK) - 100) << 8;
    return there;
}
/* Forwards and backwards the same, and what was done is done. */
static const char *inserted_and_removed(void)
{
    uint64_t m = members();
    if ((m & 0xff) != m >> 8)
        return "a list is another one backwards";
    m &= 0xff;
    if (!(m & 1) || (ghost[0] && !(m & 4)) || (ghost[1] && m & 2))
        return "a change of a list was lost";
    if ((!died(0) && !(m & 4)) || (!died(1) && m & 2))
        return "a change of a list was not made";
    return NULL;
}
static const char *moved_wholly(void)
{
    uint64_t m = members();
    if ((m & 0xff) != m >> 8)
        return "a list is another one backwards";
    m &= 0xff;
    return m == 3 || m == 5 ? NULL : "half of a section's changes of a list happened";
}

const struct test_case list_cases[] = {
    {"list, two writers", 2, 3, 4, 0, two_members, NULL, insert_and_remove, inserted_and_removed},
    {"list, writer and reader", 2, 3, 4, 0, two_members, NULL, change_and_read, moved_wholly},
    {0},
};

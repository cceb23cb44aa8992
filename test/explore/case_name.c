/* case_name.c - names: of racing makers one wins, and nobody sees half of it. */
#include "explore.h"

struct thing {
    uint64_t a, b;
};

static void make_thing(int p)
{
    struct thing *t = NULL;
    MUST(tarn_object(seg_of(p), "thing", struct thing, &t));
    ghost[p] = tarn_ref_of(seg_of(p), t);
    must_be(shared_read(&t->a) == 0, "an object was not zeroed");
}
static const char *one_thing(void)
{
    for (int p = 1; p < PEOPLE; p++)
        if (ghost[0] && ghost[p] && ghost[0] != ghost[p])
            return "two objects of one name";
    return NULL;
}

const struct test_case name_cases[] = {
    {"name, two make it", 2, 3, 4, 0, NULL, NULL, make_thing, one_thing},
    {0},
};

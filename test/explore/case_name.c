/* case_name.c - names: of racing makers one wins, and nobody sees half of it, nor what is undone in the end. */
#include <errno.h>

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
static tarn_ref bound(void)
{
    tarn_ref ref = 0;
    int e = tarn_find(seg_of(DRIVER), "thing", NULL, &ref);
    must_be(e == 0 || e == -ENOENT, "the names cannot be read");
    return ref;
}
/* Nobody unbinds it: what one has found is what is there, whoever made it. */
static const char *one_thing(void)
{
    for (int p = 0; p < PEOPLE; p++)
        if (ghost[p] && !died(p) && ghost[p] != bound())
            return "who made it, or found it, has another one than there is";
    return NULL;
}

/* 0 unbinds it while 1 looks for it. */
enum { LOST = 1 };
static void make_one(int p)
{
    if (p == 0)
        make_thing(p);
}
static void unbind_or_find(int p)
{
    tarn_ref ref = 0;
    if (p == 0) {
        MUST(tarn_unbind(seg_of(p), "thing", 1));
        return;
    }
    int e = tarn_find(seg_of(p), "thing", NULL, &ref);
    must_be(e == -ENOENT || (e == 0 && ref == ghost[0]), "it found something else");
    ghost[LOST] = e != 0;
}
static const char *gone_for_good(void)
{
    if (!died(0) && bound())
        return "it is still bound";
    return ghost[LOST] && bound() ? "it was not there, and is there again" : NULL;
}

const struct test_case name_cases[] = {
    {"name, two make it", 2, 2, 4, 0, NULL, NULL, make_thing, one_thing},
    {"name, unbound and found", 2, 3, 4, 0, NULL, make_one, unbind_or_find, gone_for_good},
    {0},
};

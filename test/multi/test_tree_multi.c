/* test_tree_multi.c - trees under several processes, which are killed at random moments: all that keyed.h has, and order. Writers have times of putting
 * in and of taking out, so that nodes are split, emptied and unlinked all the while; readers find all in order, forwards and backwards. */
#include "helper.h"

typedef tarn_tree keyed;
#include "keyed.h"

static bool lasts(uint32_t key)
{
    return key % 16 == 0 && key < KEYS / 3;
}
static bool removes(const struct writer *w, uint32_t key, bool there)
{
    bool out = w->done / 3000 % 2; /* then also what is not there */
    if (lasts(key))
        return false;
    return there ? next_random() % 8 == 0 || out : out && next_random() % 8;
}

/* ---- in order ---- */

struct walk {
    see_entry *see;
    uint64_t last_number;
    char last_name[16];
    size_t last_size;
};
static int see_number_in_order(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    struct walk *w = arg;
    uint64_t k;
    int e = w->see(key, key_size, value, size, NULL);
    memcpy(&k, key, 8);
    check(w->last_number == ~0ull || k > w->last_number);
    w->last_number = k;
    return e;
}
static int see_bytes_in_order(const void *key, size_t key_size, const void *value, size_t size, void *arg)
{
    struct walk *w = arg;
    int e = w->see(key, key_size, value, size, NULL);
    int order = memcmp(w->last_name, key, w->last_size < key_size ? w->last_size : key_size);
    check(order < 0 || (order == 0 && w->last_size < key_size));
    memcpy(w->last_name, key, w->last_size = key_size);
    return e;
}
static int each_in_order(tarn_tree *t, see_entry *see, void *arg)
{
    struct walk w = {.see = see, .last_number = ~0ull};
    (void)arg;
    return tarn_tree_each(t, see == see_bytes ? see_bytes_in_order : see_number_in_order, &w);
}

/* The same backwards, and from a place in the midst a little this way and that. */
static void walk_back(bool lasting)
{
    tarn_tree_cursor *c;
    uint64_t k, v, before = KEYS;
    int e;
    memset(shown, 0, sizeof shown);
    check(tarn_tree_cursor_open(numbers, &c) == 0);
    tarn_tree_seek_last(c);
    while ((e = tarn_tree_previous64(c, &k, &v)) == 0 || e == -EAGAIN) {
        if (e)
            continue;
        check(k < before && v >> 32 == k);
        shown[k]++;
        before = k;
    }
    check(e == -ENOENT);
    for (k = 0; k < KEYS; k++)
        check(!(lasting && lasts((uint32_t)k)) || shown[k] == 1);
    before = next_random() % KEYS;
    check(tarn_tree_seek64(c, before, TARN_TREE_LOWER) == 0);
    for (int i = 0; i < 20; i++) {
        e = next_random() % 2 ? tarn_tree_next64(c, &k, &v) : tarn_tree_previous64(c, &k, &v);
        check(e == -EAGAIN || e == -ENOENT || (e == 0 && v >> 32 == k));
    }
    tarn_tree_cursor_close(c);
}

static const struct kind of = {
    .test = "tree_multi",
    .of_numbers = TARN_TREE_U64,
    .open = tarn_tree_open,
    .close = tarn_tree_close,
    .get = tarn_tree_get,
    .get64 = tarn_tree_get64,
    .put = tarn_tree_put,
    .put64 = tarn_tree_put64,
    .remove = tarn_tree_remove,
    .remove64 = tarn_tree_remove64,
    .each = each_in_order,
    .count = tarn_tree_count,
    .lasts = lasts,
    .removes = removes,
    .walk_more = walk_back,
};

int main(void)
{
    return run_keyed();
}

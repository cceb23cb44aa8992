/* test_map_multi.c - maps and names under several processes, which are killed at random moments: all that keyed.h has. */
#include "helper.h"

typedef tarn_map keyed;
#include "keyed.h"

static bool lasts(uint32_t key)
{
    return key % 16 == 0;
}
static bool removes(const struct writer *w, uint32_t key, bool there)
{
    (void)w;
    return !lasts(key) && there && next_random() % 3 == 0;
}

static const struct kind of = {
    .test = "map_multi",
    .of_numbers = TARN_MAP_U64,
    .open = tarn_map_open,
    .close = tarn_map_close,
    .get = tarn_map_get,
    .get64 = tarn_map_get64,
    .put = tarn_map_put,
    .put64 = tarn_map_put64,
    .remove = tarn_map_remove,
    .remove64 = tarn_map_remove64,
    .each = tarn_map_each,
    .count = tarn_map_count,
    .lasts = lasts,
    .removes = removes,
};

int main(void)
{
    return run_keyed();
}

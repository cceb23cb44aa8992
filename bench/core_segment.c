/* bench/core_segment.c - what the parts of the benchmarks share: a segment, a block in it, and their end.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "harness.h"

int core_good(int result, const char *what)
{
    if (result < 0)
        bench_die("%s: %s (%d)", what, tarn_error(), result);
    return result;
}

tarn *core_segment(uint64_t initial)
{
    return core_segment_with(initial, false);
}

tarn *core_segment_with(uint64_t initial, bool uninitialized)
{
    struct tarn_options options = {.size = sizeof options, .initial = initial, .uninitialized = uninitialized};
    tarn *seg;
    core_good(tarn_open("anon:", TARN_CREATE, &options, &seg), "tarn_open");
    return seg;
}

void *core_block(tarn *seg, size_t size)
{
    tarn_ref ref;
    core_good(tarn_begin(seg), "tarn_begin");
    core_good(tarn_alloc(seg, size < 1024 ? 1024 : size, &ref), "tarn_alloc"); /* from 1 KiB on aligned to 64 */
    core_good(tarn_commit(seg), "tarn_commit");
    void *at = tarn_ptr(seg, ref, size);
    if (!at || (uintptr_t)at % 64)
        bench_die("a block of %zu bytes at %p", size, at);
    bench_populate(at, size);
    return at;
}

static int damage(const struct tarn_damage *d, void *arg)
{
    (void)arg;
    bench_note("damage at %llu: %s", (unsigned long long)d->ref, d->what);
    return 0;
}

void core_close(tarn *seg)
{
    if (core_good(tarn_check(seg, damage, NULL), "tarn_check") != 0)
        bench_die("the segment is damaged");
    core_good(tarn_close(seg), "tarn_close");
}

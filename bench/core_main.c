/* bench/core_main.c - bench-core: the figures of the core: mutex, handover after a death, section, heap, map.
 *
 * Only tarn.h is used, and the shared library. Each part prepares its contenders, measures them in pairs, and checks them.
 *
 * SPDX-License-Identifier: MIT */
#include "core.h"
#include "peers.h"

#include <stddef.h>

static const char *const figures[] = {
    "core.mutex.alone",
    "core.mutex.two.0ns",
    "core.mutex.two.100ns",
    "core.mutex.two.share_min",
    "core.handover.p50_us",
    "core.handover.p999_us",
    "core.handover.halting_p50_us",
    "core.handover.halting_p999_us",
    "core.section.two_words_ns",
    "core.section.two_words/pmemobj",
    "core.churn",
    "core.churn_cleared",
    "core.map_get",
    "core.list.walk",
    "core.attach_us",
    "core.fork",
    "core.create_us",
    "core.grow",
    "core.mutex.alone.posix",
    "core.mutex.alone.sysv",
    "core.mutex.alone.file",
    "core.mutex.alone.anon",
    NULL,
};

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

int main(int argc, char **argv)
{
    peer_pmemobj_environment(argv);
    bench_start(argc, argv, "core", figures);
    if (bench_wanted("core.mutex"))
        core_mutex();
    if (bench_wanted("core.handover"))
        core_handover();
    if (bench_wanted("core.section"))
        core_section();
    if (bench_wanted("core.churn"))
        core_churn();
    if (bench_wanted("core.churn_cleared"))
        core_churn_cleared();
    if (bench_wanted("core.map_get"))
        core_map();
    if (bench_wanted("core.list.walk"))
        core_list();
    core_lifecycle();
    return 0;
}

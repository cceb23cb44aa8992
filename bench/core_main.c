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

int main(int argc, char **argv)
{
    peer_pmemobj_environment(argv);
    bench_start(argc, argv, "core", figures);
    if (bench_wanted("core.mutex"))
        core_mutex("core");
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

/* bench/core.h - the parts of bench-core, and what they share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_CORE_H
#define BENCH_CORE_H

#include <stdbool.h>
#include <tarn.h>

#ifdef __cplusplus
extern "C" {
#endif

void core_mutex(const char *prefix); /* of the figures' names */
void sync_lock(void);
void sync_wait(void);
void sync_handover(void);
void core_handover(void);
void core_section(void);
void core_churn(void);
void core_churn_cleared(void);
void core_map(void);
void core_list(void);
void core_lifecycle(void); /* those of its figures that are wanted */

/* A result of tarn: negative is bench_die, with what tarn says about it. */
int core_good(int result, const char *what);
/* A nameless segment; forked children share it. */
tarn *core_segment(uint64_t initial);
tarn *core_segment_with(uint64_t initial, bool uninitialized); /* blocks come uncleared, as other heaps' do */
/* A zeroed block in it, aligned to 64. */
void *core_block(tarn *seg, size_t size);
/* Check that it is undamaged, and close it. */
void core_close(tarn *seg);

#ifdef __cplusplus
}
#endif

#endif

/* bench/tables.h - tarn's own map and tree beyond what each contender has (table.h).
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_TABLES_H
#define BENCH_TABLES_H

#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where this process has the segment of a map or tree, for who faults it in. */
void *tarn_table_sight(void *table, size_t *ret_size);
/* Bytes that a segment made with defaults has committed for such a map or tree, beyond what it had without. */
double tarn_map_committed(const struct keys *keys);
double tarn_tree_committed(const struct keys *keys);

#ifdef __cplusplus
}
#endif
#endif

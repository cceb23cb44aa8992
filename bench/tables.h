/* bench/tables.h - tarn's own map and tree beyond what each contender has (table.h).
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_TABLES_H
#define BENCH_TABLES_H

#include "table.h"

/* Where this process has the segment, for who faults it in. */
void *map_tarn_sight(void *table, size_t *ret_size);
void *tree_tarn_sight(void *table, size_t *ret_size);
/* Bytes that a segment made with defaults has committed for such a map, beyond what it had without. */
double map_tarn_committed(const struct keys *keys);
double tree_tarn_committed(const struct keys *keys);

#endif

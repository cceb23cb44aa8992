/* collection/list.h - the list, for tarn_check. The calls are in tarn.h. */
#ifndef TARN_LIST_H
#define TARN_LIST_H

#include "collection/check.h"
#include "segment/segment.h"

/* What is wrong with the list at ref, if anything: calls back; `owner` for its lock. Bounded, whatever the bytes; takes no lock. A change that a
 * living, stopped or dead participant has in hand is no damage. */
void list_check(struct tarn *seg, uint64_t ref, const struct collection_checker *k);

#endif

/* collection/list.h - the list, for tarn_check. The calls are in tarn.h. */
#ifndef TARN_LIST_H
#define TARN_LIST_H

#include <errno.h>

#include "segment/segment.h"

#define LIST_TYPE_NAME "tarn_list"

/* What is wrong with the list at ref, if anything: calls back. Bounded, whatever the bytes; takes no lock. */
void list_check(struct tarn *seg, uint64_t ref, void (*damage)(uint64_t ref, const char *what, void *arg),
                void *arg);

#endif

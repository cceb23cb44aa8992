/* object.h - what a name can be bound to, if it is of ours: how that is looked at, and how it is taken apart. At the top because it knows all floors.
 *
 * One row for each type, in object.c. A name of another type is its user's own: one block. */
#ifndef TARN_OBJECT_H
#define TARN_OBJECT_H

#include "collection/check.h"
#include "name/name.h"

/* What is wrong with what is bound there: calls back, as for collections. 0, -ENOMEM. */
int object_check(struct tarn *seg, const struct name_copy *n, const struct collection_checker *k);

/* In the open section: all its blocks are retired. 0, or why it cannot be: -EBUSY (a channel that somebody has open), -ENOSPC, -EDEADLK, ... */
int object_retire(struct self *s, const struct name_copy *n);

/* Is it of ours: does the library write in it? */
bool object_is_ours(const struct name_copy *n);

/* Blocks that the library has for itself (structures of collections and channels, names, logs), as one look finds them: a bit for each 16 bytes of data
 * space, set where one begins. To be freed; 0, -ENOMEM. check.c */
int check_ours(struct tarn *seg, uint64_t **ret_bits, uint64_t *ret_count);

/* The lock in it: none of ours; an inner one, of which a death leaves nothing; or one that its users take, too, who are told of a death. */
enum object_lock { LOCK_NONE, LOCK_INNER, LOCK_USERS };
enum object_lock object_lock_of(const struct name_copy *n);

#endif

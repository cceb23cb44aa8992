/* object.c - what a name can be bound to, in one table, for check.c, repair.c and unbind.c. */
#include "object.h"

#include <string.h>

#include "channel/channel.h"
#include "collection/list.h"
#include "collection/map.h"
#include "collection/tree.h"

struct object_kind {
    const char *type;
    uint64_t size;
    enum object_lock lock;
    void (*check)(struct tarn *seg, uint64_t ref, const struct collection_checker *k);
    int (*check_all)(struct tarn *seg, uint64_t ref, const struct collection_checker *k); /* the same, in need of memory */
    int (*retire)(struct self *s, uint64_t ref); /* NULL: it is one block */
};

static const struct object_kind kinds[] = {
    {MAP_TYPE_NAME, sizeof(struct map), LOCK_INNER, NULL, map_check, map_retire},
    {TREE_TYPE_NAME, sizeof(struct tree), LOCK_INNER, NULL, tree_check, tree_retire},
    {LIST_TYPE_NAME, sizeof(tarn_list), LOCK_USERS, list_check, NULL, NULL},
    {VECTOR_TYPE_NAME, sizeof(tarn_vector), LOCK_USERS, vector_check, NULL, vector_retire},
    {BYTES_TYPE_NAME, sizeof(tarn_bytes), LOCK_USERS, bytes_check, NULL, bytes_retire},
    {QUEUE_TYPE_NAME, sizeof(tarn_queue), LOCK_USERS, queue_check, NULL, NULL},
    {STACK_TYPE_NAME, sizeof(tarn_stack), LOCK_USERS, stack_check, NULL, NULL},
};

static const struct object_kind *kind_of(const struct name_copy *n)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(n->type, kinds[i].type) && n->size == kinds[i].size)
            return &kinds[i];
    return NULL;
}

int object_check(struct tarn *seg, const struct name_copy *n, const struct collection_checker *k)
{
    const struct object_kind *kind = kind_of(n);
    if (is_channel(n->type, n->size))
        return channel_check(seg, n, k);
    if (kind && kind->check)
        kind->check(seg, n->ref, k);
    return kind && kind->check_all ? kind->check_all(seg, n->ref, k) : 0;
}

int object_retire(struct self *s, const struct name_copy *n)
{
    const struct object_kind *kind = kind_of(n);
    if (is_channel(n->type, n->size))
        return channel_retire(s, n);
    return kind && kind->retire ? kind->retire(s, n->ref) : heap_free(s, n->ref, LOG_RETIRE);
}

bool object_is_ours(const struct name_copy *n)
{
    return is_channel(n->type, n->size) || kind_of(n);
}

enum object_lock object_lock_of(const struct name_copy *n)
{
    const struct object_kind *kind = kind_of(n);
    return is_channel(n->type, n->size) ? LOCK_INNER : kind ? kind->lock : LOCK_NONE;
}

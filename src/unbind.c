/* unbind.c - removing a name, and what it named. At the top because it must know what has more than one block: maps, trees, vectors, byte strings, channels.
 *
 * Commit point: the one section in which the name is unlinked and every block retired. */
#include <errno.h>
#include <string.h>

#include "channel/channel.h"
#include "collection/check.h"
#include "collection/map.h"
#include "collection/tree.h"
#include "name/name.h"

static int retire(struct self *s, const struct name_copy *n)
{
    if (!strcmp(n->type, MAP_TYPE_NAME) && n->size == sizeof(struct map))
        return map_retire(s, n->ref);
    if (!strcmp(n->type, VECTOR_TYPE_NAME) && n->size == sizeof(tarn_vector))
        return vector_retire(s, n->ref);
    if (!strcmp(n->type, BYTES_TYPE_NAME) && n->size == sizeof(tarn_bytes))
        return bytes_retire(s, n->ref);
    if (!strcmp(n->type, TREE_TYPE_NAME) && n->size == sizeof(struct tree))
        return tree_retire(s, n->ref);
    if (is_channel(n->type, n->size))
        return channel_retire(s, n->type, n->ref);
    return heap_free(s, n->ref, LOG_RETIRE);
}

int tarn_unbind(tarn *seg, const char *name, int free_object)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return s ? name_unbind(s, name, free_object ? retire : NULL) : e;
}

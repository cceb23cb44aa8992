/* unbind.c - removing a name, and what it named. At the top because what was named may have more than one block (object.h).
 *
 * Commit point: the one section in which the name is unlinked and every block retired. */
#include "object.h"

int tarn_unbind(tarn *seg, const char *name, int free_object)
{
    int e = 0;
    struct self *s = self_of(seg, &e);
    return s ? name_unbind(s, name, free_object ? object_retire : NULL) : e;
}

/* segment/users.c - who has a segment attached, as the kernel counts: for what ends with its last user, and for what only one may do.
 *
 * Each attachment has a byte lock on an open file description of its own, one of OS_USERS bytes, for writing if it may write, else for reading. The
 * kernel drops it with the last descriptor of that description, however the process ends; a forked child shares it, and is a user as long as it
 * lives. A hostile reader may hold as many read locks as it likes: those are readers, and readers only. Where the kernel will not open the file
 * anew (no /proc, or a file that this user could not open), an attachment by descriptor is counted as nobody.
 * System V counts by itself, and does not tell readers from writers. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>

void user_enter(struct tarn *seg)
{
    uint32_t random = 0;
    if (seg->object.fd < 0)
        return;
    for (int tries = 0; tries < 64; tries++) {
        if (os_random(&random, sizeof random) < 0)
            return;
        uint32_t index = OS_BYTE_USER + random % OS_USERS;
        int error = seg->readonly ? os_byte_lock_read(seg->object.fd, index) : os_byte_lock(seg->object.fd, index);
        if (error == 0) {
            seg->user = (int)index;
            return;
        }
        if (error != -EAGAIN)
            return;
    }
}

void user_leave(struct tarn *seg)
{
    if (seg->user >= 0)
        os_byte_unlock(seg->object.fd, (uint32_t)seg->user);
    seg->user = -1;
}

bool user_others(const struct tarn *seg, bool readers)
{
    struct os_shm s;
    if (seg->object.fd < 0)
        return os_shm_stat(seg->object.shm, &s) == 0 && s.attached > 1;
    int kind = os_byte_range_holder(seg->object.fd, OS_BYTE_USER, OS_USERS, readers);
    return kind == F_WRLCK || kind == F_RDLCK;
}

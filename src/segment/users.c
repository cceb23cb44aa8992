/* segment/users.c - who has a segment attached, as the kernel counts: for what ends with its last user, and for what only one may do.
 *
 * Each attachment has a byte lock on an open file description of its own, one of OS_USERS bytes, for writing if it may write, else for reading. The
 * kernel drops it with the last descriptor of that description, however the process ends; a forked child shares it, and is a user as long as it
 * lives (but see lifetime.c). A hostile reader may hold as many read locks as it likes: those are readers, and readers only. Should it hold all of them,
 * a writer that finds no byte takes one for reading besides, and is counted where readers count. Where the kernel will not open the file
 * anew (no /proc, or a file that this user could not open), an attachment by descriptor is counted as nobody.
 * System V counts by itself, and does not tell readers from writers. */
#include "segment/lifecycle.h"

#include <errno.h>
#include <fcntl.h>

/* A byte, or a negative errno. */
static int take_byte(int fd, bool readonly)
{
    uint32_t random = 0;
    int error = -EAGAIN;
    for (int tries = 0; tries < 64 && error == -EAGAIN; tries++) {
        if ((error = os_random(&random, sizeof random)) < 0)
            break;
        uint32_t index = OS_BYTE_USER + random % OS_USERS;
        error = readonly ? os_byte_lock_read(fd, index) : os_byte_lock(fd, index);
        if (error == 0)
            return (int)index;
    }
    return error;
}

int user_hold(int fd, bool readonly, int *ret_user, int *ret_weak)
{
    int byte = take_byte(fd, readonly);
    *ret_user = byte < 0 ? -1 : byte;
    *ret_weak = -1;
    if (byte == -EAGAIN && !readonly) /* readers have them all */
        *ret_weak = byte = take_byte(fd, true);
    return byte < 0 ? byte : 0;
}

void user_enter(struct tarn *seg)
{
    if (seg->object.fd >= 0)
        (void)user_hold(seg->object.fd, seg->readonly, &seg->user, &seg->user_weak);
}

void user_leave(struct tarn *seg)
{
    if (seg->user >= 0)
        os_byte_unlock(seg->object.fd, (uint32_t)seg->user);
    seg->user = -1;
}

void user_end(struct tarn *seg)
{
    user_leave(seg);
    if (seg->user_weak >= 0)
        os_byte_unlock(seg->object.fd, (uint32_t)seg->user_weak);
    seg->user_weak = -1;
}

bool user_others(const struct tarn *seg, bool readers)
{
    struct os_shm s;
    if (seg->object.fd < 0)
        return os_shm_stat(seg->object.shm, &s) == 0 && s.attached > 1;
    int kind = os_byte_range_holder(seg->object.fd, OS_BYTE_USER, OS_USERS, readers);
    return kind == F_WRLCK || kind == F_RDLCK;
}

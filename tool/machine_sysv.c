/* machine_sysv.c - System V ids, as /proc/sysvipc/shm lists them: it asks no permission, and knows what is resident and swapped.
 *
 * The list is that of the reader's IPC namespace; for another one this thread goes there and comes back. Process ids in it are as we see them. */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "inventory.h"

enum { DEST = 01000, LOCKED = 02000 }; /* of the mode, in the list */

static uint64_t number(char **at, int base)
{
    while (**at == ' ')
        (*at)++;
    return strtoull(*at, at, base);
}

void name_sysv(struct inventory *i, struct object *o)
{
    if (o->elsewhere)
        o->name = keep(i, "shmid:%d@%u", (int)o->inode, o->elsewhere);
    else if (o->key)
        o->name = keep(i, "sysv:%#x", o->key);
    else
        o->name = keep(i, "shmid:%d", (int)o->inode);
}

/* key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap; keys are signed */
static void add_id(struct inventory *i, char *line, uint64_t ipc, uint32_t elsewhere)
{
    bool new;
    char *at = line;
    uint32_t key = (uint32_t)strtol(at, &at, 10);
    uint64_t id = number(&at, 10);
    struct object *o = at != line ? find_object(i, OBJECT_SYSV, ipc, id, &new) : NULL;
    if (!o)
        return;
    uint32_t mode = (uint32_t)number(&at, 8);
    o->key = key;
    o->elsewhere = elsewhere;
    o->mode = mode & 0777;
    o->deleted = mode & DEST;
    o->locked = mode & LOCKED;
    o->size = number(&at, 10);
    o->creator = (uint32_t)number(&at, 10);
    o->last = (uint32_t)number(&at, 10);
    o->attaches = number(&at, 10);
    o->uid = (uint32_t)number(&at, 10);
    o->gid = (uint32_t)number(&at, 10);
    o->creator_uid = (uint32_t)number(&at, 10);
    number(&at, 10);
    int64_t attached = (int64_t)number(&at, 10), detached = (int64_t)number(&at, 10);
    o->used = attached > detached ? attached : detached;
    o->created = (int64_t)number(&at, 10);
    o->resident = number(&at, 10);
    o->swapped = number(&at, 10);
    if (o->resident > o->size + o->page_size) /* of huge pages, some kernels' count is wrong */
        o->resident = UNKNOWN;
    o->known = true;
    name_sysv(i, o);
}

static void list(struct inventory *i, uint64_t ipc, uint32_t elsewhere)
{
    int fd = open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* a kernel without System V */
        return;
    struct lines l;
    lines_begin(&l, fd);
    next_line(&l); /* headings */
    for (char *line; (line = next_line(&l));)
        add_id(i, line, ipc, elsewhere);
    close(fd);
}

void look_at_sysv(struct inventory *i)
{
    list(i, i->own_ipc, 0);
}

void look_at_sysv_elsewhere(struct inventory *i, uint64_t ipc, uint32_t pid, int process)
{
    int own = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
    int other = openat(process, "ns/ipc", O_RDONLY | O_CLOEXEC);
    if (own >= 0 && other >= 0 && setns(other, CLONE_NEWIPC) == 0) {
        list(i, ipc, pid);
        if (setns(own, CLONE_NEWIPC) < 0)
            i->failed = true;
    } else
        i->m->unread_namespaces++;
    if (own >= 0)
        close(own);
    if (other >= 0)
        close(other);
}

/* os/shm.c - System V shared memory: made, found, asked about, mapped, removed. See os.h.
 *
 * A segment has its full size from the start, and takes memory page by page as it is touched (SHM_NORESERVE): so a limit costs nothing but
 * the kernel's own limits of sizes, which are no limits as Linux comes. */
#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#ifndef SHM_NORESERVE
#define SHM_NORESERVE 010000
#endif
#ifndef SHM_DEST
#define SHM_DEST 01000
#endif

int os_shm_create(int32_t key, uint64_t size, uint32_t mode, int *ret_id)
{
    int id = shmget(key, size, IPC_CREAT | IPC_EXCL | SHM_NORESERVE | (int)mode);
    if (id < 0)
        return -errno;
    *ret_id = id;
    return 0;
}

int os_shm_find(int32_t key, int *ret_id)
{
    int id = shmget(key, 0, 0);
    if (id < 0)
        return -errno;
    *ret_id = id;
    return 0;
}

int os_shm_may_write(int32_t key)
{
    return shmget(key, 0, 0600) < 0 ? -errno : 0; /* which of the three rights these bits stand for is the kernel's to know */
}

int os_shm_stat(int id, struct os_shm *ret)
{
    struct shmid_ds ds;
    if (shmctl(id, IPC_STAT, &ds) != 0)
        return -errno;
    *ret = (struct os_shm){.size = ds.shm_segsz,
                           .mode = ds.shm_perm.mode & 0777u,
                           .uid = ds.shm_perm.uid,
                           .gid = ds.shm_perm.gid,
                           .creator_uid = ds.shm_perm.cuid,
                           .creator_pid = (uint32_t)ds.shm_cpid,
                           .attached = (uint32_t)ds.shm_nattch,
                           .removed = ds.shm_perm.mode & SHM_DEST};
    return 0;
}

int os_shm_listed(int id, struct os_shm *ret)
{
    char line[512];
    int found = -ENOENT, listed;
    FILE *f = fopen("/proc/sysvipc/shm", "re");
    while (f && found < 0 && fgets(line, sizeof line, f)) {
        struct os_shm s = {0};
        /* key shmid perms size cpid lpid nattch uid gid cuid ... */
        if (sscanf(line, "%*d %d %" SCNo32 " %" SCNu64 " %" SCNu32 " %*u %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32,
                   &listed, &s.mode, &s.size, &s.creator_pid, &s.attached, &s.uid, &s.gid, &s.creator_uid) == 8 &&
            listed == id) {
            s.mode &= 0777u;
            *ret = s;
            found = 0;
        }
    }
    if (f)
        fclose(f);
    return found;
}

int os_shm_set(int id, const uint32_t *mode, const uint32_t *uid, const uint32_t *gid)
{
    struct shmid_ds ds = {0};
    struct os_shm listed;
    if (shmctl(id, IPC_STAT, &ds) != 0) {
        int error = -errno; /* -EACCES: a mode that keeps its owner from reading it, not from setting it */
        if (error != -EACCES || os_shm_listed(id, &listed) < 0)
            return error;
        ds.shm_perm.mode = (unsigned short)listed.mode;
        ds.shm_perm.uid = listed.uid;
        ds.shm_perm.gid = listed.gid;
    }
    bool as_it_is = mode && !uid && !gid && (ds.shm_perm.mode & 0777u) == *mode;
    if (mode)
        ds.shm_perm.mode = (unsigned short)*mode;
    if (uid)
        ds.shm_perm.uid = *uid;
    if (gid)
        ds.shm_perm.gid = *gid;
    if (shmctl(id, IPC_SET, &ds) == 0)
        return 0;
    /* -EINVAL: an owner who has no number in this user namespace cannot be set, not even to what he is. */
    return errno == EINVAL && as_it_is ? 0 : -errno;
}

int os_shm_remove(int id)
{
    return shmctl(id, IPC_RMID, NULL) != 0 ? -errno : 0;
}

int os_shm_map(int id, const struct os_place *place, void **ret_base)
{
    struct shmid_ds ds;
    int flags = place->writable ? 0 : SHM_RDONLY;
    if (shmctl(id, IPC_STAT, &ds) != 0)
        return -errno;
    void *base = shmat(id, place->address, flags);
    if (base == (void *)-1) {
        char neighbour[8];
        if (errno != EINVAL || !place->address)
            return -errno;
        os_neighbour(place->address, ds.shm_segsz, neighbour, sizeof neighbour); /* shmat has one word for all */
        return *neighbour ? -EEXIST : -EINVAL;
    }
    uint64_t page = place->page ? place->page : os_page_size();
    ds.shm_segsz = (ds.shm_segsz + page - 1) / page * page;
    /* Not by SHM_EXEC, which asks for a right to execute among the mode's: of files nobody asks that. */
    if (place->executable &&
        mprotect(base, ds.shm_segsz, PROT_READ | PROT_EXEC | (place->writable ? PROT_WRITE : 0)) != 0) {
        int error = -errno;
        shmdt(base);
        return error;
    }
    if (place->unreadable)
        (void)mprotect(base, ds.shm_segsz, PROT_NONE);
    if (!place->dumped)
        (void)madvise(base, ds.shm_segsz, MADV_DONTDUMP);
    *ret_base = base;
    return 0;
}

void os_shm_unmap(void *base)
{
    shmdt(base);
}

int os_shm_used(uint64_t *ret_ids, uint64_t *ret_pages)
{
    struct shm_info info;
    if (shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info) < 0)
        return -errno;
    *ret_ids = (uint64_t)info.used_ids;
    *ret_pages = info.shm_tot;
    return 0;
}

uint64_t os_shm_limit(const char *name)
{
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    FILE *f = fopen(path, "re");
    bool got = f && fgets(text, sizeof text, f);
    if (f)
        fclose(f);
    return got && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

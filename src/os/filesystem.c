/* os/filesystem.c - what kind of file system a file is in, as far as segments care: kept by this machine alone? written over in place?
 *
 * By the kernel's magic numbers (statfs(2)); those that linux/magic.h of an old system has not are written out. What is in neither list counts as
 * ordinary: whether it can commit is tried by committing. An overlay is what its upper directory is, where that can be seen: /proc tells
 * its path, which in a container often leads nowhere; then it is not known, and taken for the worse. */
#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OVERLAY 0x794c7630u

struct known {
    uint32_t magic;
    enum os_kept kept;
    const char *name;
};

static const struct known known[] = {
    {0x6969, OS_KEPT_REMOTE, "NFS"},        {0x517b, OS_KEPT_REMOTE, "SMB"},
    {0xff534d42, OS_KEPT_REMOTE, "CIFS"},   {0xfe534d42, OS_KEPT_REMOTE, "SMB"},
    {0x01021997, OS_KEPT_REMOTE, "9p"},     {0x5346414f, OS_KEPT_REMOTE, "AFS"},
    {0x6b414653, OS_KEPT_REMOTE, "AFS"},    {0x73757245, OS_KEPT_REMOTE, "Coda"},
    {0x00c36400, OS_KEPT_REMOTE, "Ceph"},   {0x65735546, OS_KEPT_REMOTE, "FUSE or virtiofs"},
    {0x564c, OS_KEPT_REMOTE, "NCP"},        {0x01161970, OS_KEPT_REMOTE, "GFS2"},
    {0x7461636f, OS_KEPT_REMOTE, "OCFS2"},  {0x0bd00bd0, OS_KEPT_REMOTE, "Lustre"},
    {0x47504653, OS_KEPT_REMOTE, "GPFS"},   {0x20030528, OS_KEPT_REMOTE, "OrangeFS"},
    {0x786f4256, OS_KEPT_REMOTE, "vboxsf"}, {0xbacbacbc, OS_KEPT_REMOTE, "vmhgfs"},
    {0x7c7c6673, OS_KEPT_REMOTE, "prl_fs"}, {0x9123683e, OS_KEPT_COPIED, "btrfs"},
    {0x2fc12fc1, OS_KEPT_COPIED, "ZFS"},    {0xca451a4e, OS_KEPT_COPIED, "bcachefs"},
    {0x3434, OS_KEPT_COPIED, "NILFS"},
};

static const struct known *find(uint32_t magic)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].magic == magic)
            return &known[i];
    return NULL;
}

/* Which mount a descriptor is in, or -1. */
static int mount_of(int fd)
{
    char path[48], line[128];
    int id = -1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(path, "re");
    while (f && id < 0 && fgets(line, sizeof line, f))
        (void)sscanf(line, "mnt_id: %d", &id);
    if (f)
        fclose(f);
    return id;
}

/* Bytes of the option's value are octal where they would be in the way (\040: a blank). */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned byte;
        if (*from == '\\' && sscanf(from + 1, "%3o", &byte) == 1) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* The upper directory of the overlay that fd is in. */
static bool upper_of(int fd, char *ret_path, size_t room)
{
    static const char option[] = "upperdir=";
    char line[4096];
    int id = mount_of(fd), this_id;
    bool found = false;
    FILE *f = id < 0 ? NULL : fopen("/proc/self/mountinfo", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *at = strstr(line, option);
        if (sscanf(line, "%d", &this_id) != 1 || this_id != id || !at)
            continue;
        at += strlen(option);
        at[strcspn(at, ",\n")] = 0;
        unescape(at);
        found = (size_t)snprintf(ret_path, room, "%s", at) < room;
    }
    if (f)
        fclose(f);
    return found;
}

int os_kept(int fd, enum os_kept *ret_kept, const char **ret_name)
{
    struct statfs fs, upper;
    char path[4096];
    if (fstatfs(fd, &fs) != 0)
        return -errno;
    uint32_t magic = (uint32_t)fs.f_type;
    if (magic == OVERLAY) {
        if (!upper_of(fd, path, sizeof path) || statfs(path, &upper) != 0) {
            *ret_kept = OS_KEPT_COPIED;
            *ret_name = "an overlay over what cannot be seen from here";
            return 0;
        }
        magic = (uint32_t)upper.f_type;
    }
    const struct known *k = find(magic);
    *ret_kept = k ? k->kept : OS_KEPT_HERE;
    *ret_name = k ? k->name : "";
    return 0;
}

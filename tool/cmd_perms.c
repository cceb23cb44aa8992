/* cmd_perms.c - tarn perms: mode, owner, group and seals of any object: told, or set. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listing.h"
#include "raw.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#define SEAL_EXEC 0x20 /* Linux 6.3 */

static const struct {
    int bit;
    const char *name;
} seals[] = {{F_SEAL_SEAL, "seal"},
             {F_SEAL_SHRINK, "shrink"},
             {F_SEAL_GROW, "grow"},
             {F_SEAL_WRITE, "write"},
             {F_SEAL_FUTURE_WRITE, "future-write"},
             {SEAL_EXEC, "exec"}};
#define SEALS (sizeof seals / sizeof *seals)

struct change {
    const char *mode;            /* text */
    uint32_t new_mode, uid, gid; /* of uid and gid UINT32_MAX: stays */
    int seal;
    bool dry_run;
};

/* ---- what there is ---- */

/* An O_PATH descriptor can do nothing: the file behind it is opened anew. */
static int reopen(const struct raw *r, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", r->fd);
    return open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* -1: it has none, or they are not told */
static int seals_of(const struct raw *r)
{
    int fd = r->fd >= 0 ? reopen(r, O_RDONLY) : -1;
    int got = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
    if (fd >= 0)
        close(fd);
    return got;
}

static void seals_text(int set, char *to, size_t size)
{
    size_t n = 0;
    to[0] = 0;
    for (size_t k = 0; k < SEALS; k++)
        if (set & seals[k].bit)
            n += (size_t)snprintf(to + n, size - n, "%s%s", n ? "," : "", seals[k].name);
}

enum { MODE, RIGHTS, OWNER, UID, GROUP, GID, SEAL, SIZE, NAME, COLUMNS };
#define T COLUMN_SHOWN
#define J COLUMN_JSON
static const struct column columns[COLUMNS] = {
    [MODE] = {"MODE", T | J, 0, "permission bits"},
    [RIGHTS] = {"RIGHTS", T | J, 0, "the same in letters: of owner, group, others"},
    [OWNER] = {"OWNER", T | J, 0, "its owner's name"},
    [UID] = {"UID", J | COLUMN_RIGHT, 0, "his number"},
    [GROUP] = {"GROUP", T | J, 0, "its group's name"},
    [GID] = {"GID", J | COLUMN_RIGHT, 0, "the group's number"},
    [SEAL] = {"SEALS", T | J, 0,
              "what nobody may do any more: shrink, grow, write, future-write, exec; seal: set seals"},
    [SIZE] = {"SIZE", J | COLUMN_RIGHT, 0, "bytes"},
    [NAME] = {"NAME", T | J, 0, "as it was given"},
};

static void cell_rights(struct cell *c, uint32_t mode)
{
    char *at = c->room;
    for (int k = 8; k >= 0; k--)
        *at++ = mode >> k & 1 ? "xwr"[k % 3] : '-';
    *at = 0;
    cell_text(c, c->room);
}

static void cell(const void *row, unsigned column, void *context, struct cell *c)
{
    const struct raw *r = row;
    struct passwd *p;
    struct group *g;
    (void)context;
    switch (column) {
    case MODE: cell_format(c, "%04o", r->mode); break;
    case RIGHTS: cell_rights(c, r->mode); break;
    case OWNER: (p = getpwuid(r->uid)) ? cell_text(c, p->pw_name) : cell_format(c, "%u", r->uid); break;
    case UID: cell_number(c, r->uid); break;
    case GROUP: (g = getgrgid(r->gid)) ? cell_text(c, g->gr_name) : cell_format(c, "%u", r->gid); break;
    case GID: cell_number(c, r->gid); break;
    case SEAL:
        if (seals_of(r) > 0) {
            seals_text(seals_of(r), c->room, sizeof c->room);
            cell_text(c, c->room);
        }
        break;
    case SIZE: cell_bytes(c, r->size); break;
    case NAME: cell_text(c, r->name); break;
    }
}

static void show(struct listing *l, const struct raw *r)
{
    const void *rows[] = {r};
    listing_begin(l);
    listing_print(l, "objects", rows, 1);
    listing_end(l);
}

/* ---- what it is to be ---- */

/* u+rw,go-w and the like, as chmod(1) has them, without the umask. false: it is none. */
static bool symbolic_clause(const char **at, uint32_t *mode)
{
    static const char who[] = "ogua", what[] = "xwr";
    uint32_t whom = 0, bits = 0;
    const char *p;
    for (; **at && (p = strchr(who, **at)); ++*at)
        whom |= *p == 'a' ? 0777 : 07u << (p - who) * 3;
    if (!whom)
        whom = 0777;
    char how = **at;
    if (how != '+' && how != '-' && how != '=')
        return false;
    for (++*at; **at && (p = strchr(what, **at)); ++*at)
        bits |= 0111u << (p - what);
    bits &= whom;
    *mode = how == '+' ? *mode | bits : how == '-' ? *mode & ~bits : (*mode & ~whom) | bits;
    return true;
}

static bool parse_mode(const char *text, uint32_t *mode)
{
    uint64_t octal;
    if (isdigit((unsigned char)*text)) {
        if (!parse_number(text, 8, 0777, &octal))
            return false;
        *mode = (uint32_t)octal;
        return true;
    }
    while (symbolic_clause(&text, mode)) {
        if (*text == '+' || *text == '-' || *text == '=') /* u+r-w */
            return false;
        if (!*text++)
            return true;
        if (text[-1] != ',')
            return false;
    }
    return false;
}

static bool parse_group(const char *text, uint32_t *ret)
{
    uint64_t number;
    const struct group *g = getgrnam(text);
    if (g)
        *ret = g->gr_gid;
    else if (parse_number(text, 10, UINT32_MAX - 1, &number))
        *ret = (uint32_t)number;
    else
        return false;
    return true;
}

static bool parse_user(const char *text, uint32_t *ret)
{
    uint64_t number;
    const struct passwd *p = getpwnam(text);
    if (p)
        *ret = p->pw_uid;
    else if (parse_number(text, 10, UINT32_MAX - 1, &number))
        *ret = (uint32_t)number;
    else
        return false;
    return true;
}

/* USER, USER:GROUP, :GROUP */
static bool parse_owner(char *text, struct change *ch)
{
    char *group = strchr(text, ':');
    if (group)
        *group++ = 0;
    bool good = (!*text && group) || parse_user(text, &ch->uid);
    good = good && (!group || parse_group(group, &ch->gid));
    if (group)
        group[-1] = ':';
    return good;
}

static bool parse_seals(const char *text, int *ret)
{
    for (size_t n; text; text = text[n] ? text + n + 1 : NULL) {
        size_t k = 0;
        n = strcspn(text, ",");
        while (k < SEALS && (strncasecmp(seals[k].name, text, n) != 0 || seals[k].name[n]))
            k++;
        if (k == SEALS)
            return false;
        *ret |= seals[k].bit;
    }
    return true;
}

/* ---- setting ---- */

static int not_set(const struct command *c, const struct raw *r, const char *what, int error)
{
    if (error == EPERM && r->fd >= 0 && strcmp(what, "seals") == 0)
        complain(c->name, "%s: no seals can be set: it was made without that, or sealed against it", r->name);
    else if (error == EPERM)
        complain(c->name, "%s: its %s cannot be set by user %u: it belongs to user %u, group %u (mode %04o), and that user or root must do it",
                 r->name, what, geteuid(), r->uid, r->gid, r->mode);
    else if (error == EBUSY)
        complain(c->name, "%s: somebody has it mapped to write (tarn who), so it cannot be sealed against that",
                 r->name);
    else
        return refused(c, r->name, what, error);
    return REFUSED;
}

static int set_sysv(const struct command *c, const struct raw *r, const struct change *ch)
{
    struct shmid_ds d = {.shm_perm = {.uid = ch->uid == UINT32_MAX ? r->uid : ch->uid,
                                      .gid = ch->gid == UINT32_MAX ? r->gid : ch->gid,
                                      .mode = (unsigned short)ch->new_mode}};
    return shmctl(r->id, IPC_SET, &d) < 0 ? not_set(c, r, "rights", errno) : DONE;
}

static int set_file(const struct command *c, const struct raw *r, const struct change *ch)
{
    char path[64];
    struct stat s;
    snprintf(path, sizeof path, "/proc/self/fd/%d", r->fd);
    if (ch->mode && (fstat(r->fd, &s) < 0 || chmod(path, (s.st_mode & 07000) | ch->new_mode) < 0))
        return not_set(c, r, "mode", errno);
    if ((ch->uid != UINT32_MAX || ch->gid != UINT32_MAX) && fchownat(r->fd, "", ch->uid, ch->gid, AT_EMPTY_PATH) < 0)
        return not_set(c, r, ch->uid != UINT32_MAX ? "owner" : "group", errno);
    return DONE;
}

/* A segment of ours, if it can be attached; else what the kernel has. */
static tarn *ours(const struct raw *r)
{
    tarn *seg = NULL;
    int fd, error = -ENOENT;
    if (r->fd < 0)
        return NULL; /* of System V mode and owner are set at once: that is better than one after the other */
    if ((fd = reopen(r, O_RDONLY)) >= 0) {
        struct raw open_one = {.fd = fd};
        if (raw_is_segment(&open_one))
            error = tarn_open_fd(fd, TARN_RDONLY | TARN_FOREIGN, &seg);
        close(fd);
    }
    return error == 0 ? seg : NULL;
}

static int set_ours(const struct command *c, tarn *seg, const struct change *ch)
{
    int error = ch->mode ? tarn_set_mode(seg, ch->new_mode) : 0;
    if (error == 0 && (ch->uid != UINT32_MAX || ch->gid != UINT32_MAX))
        error = tarn_set_owner(seg, ch->uid, ch->gid);
    return error < 0 ? failed(c, error) : DONE;
}

static int set_rights(const struct command *c, const struct raw *r, const struct change *ch)
{
    if (!ch->mode && ch->uid == UINT32_MAX && ch->gid == UINT32_MAX)
        return DONE;
    tarn *seg = ours(r);
    if (!seg)
        return r->fd < 0 ? set_sysv(c, r, ch) : set_file(c, r, ch);
    int status = set_ours(c, seg, ch);
    tarn_close(seg);
    return status;
}

static int set_seals(const struct command *c, const struct raw *r, int add)
{
    if (r->fd < 0) {
        complain(c->name, "%s: System V memory has no seals", r->name);
        return REFUSED;
    }
    int fd = reopen(r, O_RDWR);
    if (fd < 0)
        return refused(c, r->name, "cannot be opened to write, which sealing wants", errno);
    int error = fcntl(fd, F_ADD_SEALS, add) < 0 ? errno : 0;
    close(fd);
    if (error == EINVAL) {
        complain(c->name, "%s: has no seals, or not these: memfds have them", r->name);
        return REFUSED;
    }
    return error ? not_set(c, r, "seals", error) : DONE;
}

static void tell_plan(const struct raw *r, const struct change *ch)
{
    char text[64], *shown = harmless(r->name);
    if (ch->mode)
        printf("%s: mode %04o -> %04o\n", shown ? shown : "", r->mode, ch->new_mode);
    if (ch->uid != UINT32_MAX)
        printf("%s: owner %u -> %u\n", shown ? shown : "", r->uid, ch->uid);
    if (ch->gid != UINT32_MAX)
        printf("%s: group %u -> %u\n", shown ? shown : "", r->gid, ch->gid);
    seals_text(ch->seal, text, sizeof text);
    if (ch->seal)
        printf("%s: seals + %s\n", shown ? shown : "", text);
    free(shown);
}

static int set(const struct command *c, const struct raw *r, struct change *ch)
{
    ch->new_mode = r->mode;
    if (ch->mode && !parse_mode(ch->mode, &ch->new_mode))
        return misused(c, "--mode %s: it is permission bits, as 0600, 660, u+rw or go=r,u+w", ch->mode);
    if (ch->dry_run) {
        tell_plan(r, ch);
        return DONE;
    }
    int status = set_rights(c, r, ch);
    return status == DONE && ch->seal ? set_seals(c, r, ch->seal) : status;
}

/* ---- the command ---- */

enum { OPTION_MODE = 0x3000, OPTION_OWNER, OPTION_GROUP, OPTION_SEAL };
static const struct option names[] = {LISTING_OPTIONS,
                                      {"mode", required_argument, NULL, OPTION_MODE},
                                      {"owner", required_argument, NULL, OPTION_OWNER},
                                      {"group", required_argument, NULL, OPTION_GROUP},
                                      {"seal", required_argument, NULL, OPTION_SEAL},
                                      {"dry-run", no_argument, NULL, 'n'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static int take(const struct command *c, int option, struct change *ch)
{
    switch (option) {
    case OPTION_MODE: ch->mode = optarg; break;
    case 'n': ch->dry_run = true; break;
    case OPTION_OWNER:
        if (!parse_owner(optarg, ch))
            return misused(c, "--owner %s: there is no such user, or group", optarg);
        break;
    case OPTION_GROUP:
        if (!parse_group(optarg, &ch->gid))
            return misused(c, "--group %s: there is no such group", optarg);
        break;
    case OPTION_SEAL:
        if (!parse_seals(optarg, &ch->seal))
            return misused(c, "--seal %s: it is of shrink, grow, write, future-write, exec, seal, parted by commas",
                           optarg);
        break;
    }
    return DONE;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct listing l = {.command = c, .columns = columns, .count = COLUMNS, .cell = cell};
    struct change ch = {.uid = UINT32_MAX, .gid = UINT32_MAX};
    struct raw r;
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":hn" LISTING_LETTERS, names, &status)) >= 0)
        if (option == ENDED || (!listing_option(&l, option, &status) && (status = take(c, option, &ch)) != DONE))
            return status;
    const char *url = only_url(c, argc, argv);
    uint32_t any = 0;
    if (!url)
        return USAGE;
    if (ch.mode && !parse_mode(ch.mode, &any))
        return misused(c, "--mode %s: it is permission bits, as 0600, 660, u+rw or go=r,u+w", ch.mode);
    if (!listing_ready(&l, &status) || !raw_open(c, url, RAW_RIGHTS, &r, &status))
        return status;
    if (ch.mode || ch.uid != UINT32_MAX || ch.gid != UINT32_MAX || ch.seal)
        status = set(c, &r, &ch);
    else
        show(&l, &r);
    raw_close(&r);
    return status;
}

const struct command cmd_perms = {
    .name = "perms",
    .arguments =
        "[--mode MODE] [--owner USER[:GROUP]] [--group GROUP] [--seal SEAL,...] [-n] " LISTING_ARGUMENTS
        " URL",
    .summary = "tell, or set, who may do what with any object",
    .help = "      --mode MODE      permission bits: octal, or as u+rw,go=r (the umask is not applied)\n"
            "      --owner USER     its owner, or USER:GROUP, or :GROUP; names or numbers\n"
            "      --group GROUP    its group\n"
            "      --seal SEAL,...  of a memfd, for ever: shrink, grow, write, future-write, exec, seal\n"
            "  -n, --dry-run        only say what would be set\n" LISTING_HELP
            "URL: also of what is no segment, and shmid:N, memfd:LABEL, /proc/PID/fd/N, fd:N, or what tarn "
            "ls has for ID.\n",
    .columns = columns,
    .columns_count = COLUMNS,
    .run = run,
};

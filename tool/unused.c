/* unused.c - may an object go? See unused.h.
 *
 * The rules. A maker writes its process's number into the name, or it does not; and its processes are known by a program or a library, or they may be
 * anything that its owner runs. Who might open the object again is such a process that is as old as the object (it may be its maker), or is in a session
 * whose leader is or is gone (it may be the maker's child, which was told the name). PostgreSQL comes back to what an earlier one left: there any keeps. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"
#include "unused.h"

enum {
    FIRST_PID_NAMESPACE = 0xEFFFFFFC,
    /* the kernel's fixed number of it */ SLACK = 2 /* seconds: start times are rounded, and clocks are set */
};

enum company { NOBODY_KNOWN, ANY_PROGRAM, PYTHON_PROGRAM, POSTGRES_PROGRAM, COMPANIES };
static const struct rule {
    enum company company;
    bool ever; /* also processes that are younger than the object */
} rules_of[MAKERS] = {
    [MADE_PYTHON] = {PYTHON_PROGRAM, false},  [MADE_JOBLIB] = {PYTHON_PROGRAM, false},
    [MADE_PYTORCH] = {PYTHON_PROGRAM, false}, [MADE_POSTGRESQL] = {POSTGRES_PROGRAM, true},
    [MADE_NCCL] = {ANY_PROGRAM, false},       [MADE_CHROMIUM] = {ANY_PROGRAM, false},
    [MADE_FIREFOX] = {ANY_PROGRAM, false},    [MADE_PULSEAUDIO] = {ANY_PROGRAM, false},
    [MADE_X11] = {ANY_PROGRAM, false},        [MADE_OPENMPI] = {ANY_PROGRAM, false},
    [MADE_MPICH] = {ANY_PROGRAM, false},      [MADE_UCX] = {ANY_PROGRAM, false},
};
/* Names in which the maker's number follows. */
static const char *const numbered[] = {"pym-", "sem.loky-", "torch_", "org.mozilla.ipc."};

static bool stays(struct verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool stays(struct verdict *v, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    v->goes = v->ends = false;
    vsnprintf(v->why, sizeof v->why, format, list);
    va_end(list);
    return true;
}

/* ---- the view ---- */

/* Where processes are hidden, the first one is, too. */
const char *unused_blind(const struct machine *m, const struct unused_rules *rules)
{
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    if (m->unread)
        return "not all processes may be looked at";
    if (m->hidden || (!machine_process(m, 1) && getpid() != 1))
        return "processes of others are hidden in /proc";
    if (!rules->alone && (n <= 5 || strtoul(link + 5, NULL, 10) != FIRST_PID_NAMESPACE))
        return "this is a PID namespace of its own, and who is outside cannot be seen (--alone says that "
               "nobody there shares the memory)";
    return NULL;
}

/* ---- processes ---- */

/* Session and name, which machine.h does not tell. */
static bool session_of(uint32_t pid, uint32_t *ret)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *at = strrchr(text, ')');
    return at && sscanf(at, ") %*c %*d %*d %u", ret) == 1;
}

static bool runs_program(uint32_t pid, const char *command, const char *const *names)
{
    char path[48], target[4096];
    snprintf(path, sizeof path, "/proc/%u/exe", pid);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    const char *base = strrchr(target, '/');
    for (; *names; names++)
        if (strncmp(command, *names, strlen(*names)) == 0 ||
            (base && strncmp(base + 1, *names, strlen(*names)) == 0))
            return true;
    return false;
}

static bool maps_library(uint32_t pid, const char *const *parts)
{
    char path[48], *line = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%u/maps", pid);
    FILE *f = fopen(path, "re");
    while (f && !found && getline(&line, &room, f) > 0)
        for (size_t k = 0; parts[k] && !found; k++)
            found = strstr(line, parts[k]);
    free(line);
    if (f)
        fclose(f);
    return found;
}

static bool keeps_company(struct machine *m, struct process *p, enum company company)
{
    static const char *const python[] = {"python", "pypy", NULL}, *const postgres[] = {"postgres",
                                                                                       "postmaster", NULL};
    static const char *const libraries[] = {"/libpython", "/_posixshmem.", "/_multiprocessing.", NULL};
    const char *command = process_command(m, p);
    switch (company) {
    case PYTHON_PROGRAM: return runs_program(p->pid, command, python) || maps_library(p->pid, libraries);
    case POSTGRES_PROGRAM: return runs_program(p->pid, command, postgres);
    default: return true;
    }
}

/* What is asked of processes for many objects, once. */
struct survey {
    struct machine *m;
    struct person {
        bool lives;
        struct identity identity;
        int64_t since, leader;     /* start of it, and of its session's leader; that is 0 if he has ended */
        signed char is[COMPANIES]; /* of a kind: 0 not asked yet, 1 yes, -1 no */
    } * people;
};

static void ask(const struct process *p, struct person *ret)
{
    uint32_t session;
    char state;
    ret->lives = process_identity(p->pid, &ret->identity) && process_state(p->pid, 0, &state, &ret->since) &&
                 state != 'Z' && state != 'X';
    if (!ret->lives || !session_of(p->pid, &session) || !session || !process_state(session, 0, &state, &ret->leader))
        ret->leader = 0;
}

struct survey *survey_new(struct machine *m)
{
    struct survey *s = calloc(1, sizeof *s);
    struct person *people = s ? calloc(m->processes_count + 1, sizeof *people) : NULL;
    if (!people) {
        free(s);
        return NULL;
    }
    *s = (struct survey){m, people};
    for (size_t k = 0; k < m->processes_count; k++)
        ask(&m->processes[k], &people[k]);
    return s;
}

void survey_free(struct survey *s)
{
    if (s)
        free(s->people);
    free(s);
}

static bool is_of_kind(struct survey *s, size_t k, enum company company)
{
    signed char *is = &s->people[k].is[company];
    if (!*is)
        *is = keeps_company(s->m, &s->m->processes[k], company) ? 1 : -1;
    return *is > 0;
}

/* Was it there when the object was made, or may it be the child of one that was? */
static bool is_as_old(const struct person *p, const struct object *o)
{
    return !o->created || p->since <= o->created + SLACK || p->leader <= o->created + SLACK;
}

/* A process of the owner that might open it again; NULL: none lives. */
static struct process *who_might_open(struct survey *s, const struct object *o, const struct rule *r)
{
    for (size_t k = 0; k < s->m->processes_count; k++) {
        const struct person *p = &s->people[k];
        bool owner = p->identity.uid == o->uid || p->identity.uid == o->creator_uid;
        if (p->lives && owner && (r->ever || is_as_old(p, o)) && is_of_kind(s, k, r->company))
            return &s->m->processes[k];
    }
    return NULL;
}

/* The maker's number in a name of its habit; 0: none. */
static uint32_t number_in_name(const struct object *o)
{
    const char *name = strrchr(o->name, '/');
    for (size_t k = 0; name && k < sizeof numbered / sizeof *numbered; k++) {
        size_t n = strlen(numbered[k]);
        if (strncmp(name + 1, numbered[k], n) == 0 && isdigit((unsigned char)name[1 + n]))
            return (uint32_t)strtoul(name + 1 + n, NULL, 10);
    }
    return 0;
}

/* By its number in any PID namespace; a process that was started later has only got the number. */
static struct process *maker_by_number(struct survey *s, const struct object *o, uint32_t number)
{
    for (size_t k = 0; number && k < s->m->processes_count; k++) {
        const struct person *p = &s->people[k];
        for (uint32_t n = 0; p->lives && n < p->identity.count; n++)
            if (p->identity.pids[n] == number && (!o->created || p->since <= o->created + SLACK))
                return &s->m->processes[k];
    }
    return NULL;
}

/* ---- segments of ours ---- */

static int open_plainly(const struct object *o, struct stat *ret)
{
    int fd = o->path ? open(o->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (fd >= 0 && (fstat(fd, ret) < 0 || ret->st_ino != o->inode || ret->st_dev != o->device)) {
        close(fd);
        errno = ESTALE;
        return -1;
    }
    return fd;
}

/* By descriptor, for by its name it would be removed if it is over. */
bool segment_lifetime(const struct object *o, uint32_t *ret_lifetime, bool *ret_over)
{
    struct stat s;
    struct tarn_stat told;
    tarn *seg;
    int fd = open_plainly(o, &s);
    if (fd < 0)
        return false;
    int error = tarn_open_fd(fd, TARN_RDONLY | TARN_FOREIGN, &seg);
    close(fd);
    if (error < 0)
        return false;
    error = tarn_stat(seg, &told);
    *ret_lifetime = told.lifetime;
    *ret_over = error == 0 && (told.lifetime == TARN_UNTIL_UNUSED || tarn_current(seg) == -ESTALE);
    tarn_close(seg);
    return error == 0;
}

static void judge_segment(const struct object *o, const struct unused_rules *rules, struct verdict *v)
{
    uint32_t lifetime = TARN_UNTIL_UNLINKED;
    bool over = false, told = segment_lifetime(o, &lifetime, &over);
    if (told && over && lifetime != TARN_UNTIL_UNLINKED) {
        *v = (struct verdict){.goes = true, .ends = true};
        snprintf(v->why, sizeof v->why,
                 lifetime == TARN_UNTIL_UNUSED ? "it ends with its last user, and has none"
                                               : "it ends with its creator, who has ended");
    } else if (rules->force) {
        v->goes = true;
        snprintf(v->why, sizeof v->why, "a segment that nobody has; forced");
    } else if (!told)
        stays(v, o->kind == OBJECT_SYSV ? "a segment; how long it is to live is told by attaching only: tarn "
                                          "info ends it, if it is over"
                                        : "a segment, damaged or of another version");
    else
        stays(v, lifetime == TARN_UNTIL_CREATOR ? "a segment whose creator lives"
                                                : "a segment that lives until it is removed: tarn rm");
}

/* ---- the verdict ---- */

static bool is_used(struct machine *m, const struct object *o, struct verdict *v)
{
    if (o->uses) {
        struct process *p = &m->processes[m->uses[o->first_use].process];
        return stays(v, "process %u (%s) has it", p->pid, process_command(m, p));
    }
    if (o->kind == OBJECT_SYSV && o->attaches)
        return stays(v, "it is attached, by the kernel's count: %" PRIu64, o->attaches);
    return false;
}

static bool is_young(const struct machine *m, const struct object *o, const struct unused_rules *rules,
                     struct verdict *v)
{
    int64_t last = o->created > o->used ? o->created : o->used;
    if (last <= 0)
        return stays(v, "how old it is is not told");
    if (m->now - last < rules->older)
        return stays(v, "it was made or used %lld seconds ago", (long long)(m->now > last ? m->now - last : 0));
    return false;
}

/* Of System V the kernel knows it. */
static bool maker_lives(struct survey *s, const struct object *o, struct verdict *v)
{
    struct machine *m = s->m;
    struct process *p = maker_by_number(s, o, number_in_name(o));
    if (p)
        return stays(v, "process %u (%s), which made it, lives", p->pid, process_command(m, p));
    if (o->kind != OBJECT_SYSV)
        return false;
    switch (creator_life(m, o)) {
    case LIFE_DEAD: return false;
    case LIFE_LIVE:
        return stays(v, "process %u (%s), which made it, lives", o->creator, pid_command(m, o->creator));
    default: return stays(v, "its maker is not seen from here");
    }
}

static bool might_be_opened(struct survey *s, const struct object *o, struct verdict *v)
{
    const struct rule *r = &rules_of[o->maker];
    if (!o->maker)
        return stays(v, "what made it is not known");
    if (r->company == NOBODY_KNOWN)
        return stays(v, "made by %s, which may come back to it", maker_name(o->maker));
    struct process *p = who_might_open(s, o, r);
    return p && stays(v, "process %u (%s) of its owner lives, and may open it", p->pid, process_command(s->m, p));
}

static void judge(struct survey *s, const struct object *o, const struct unused_rules *rules, struct verdict *v)
{
    struct machine *m = s->m;
    if (o->elsewhere) {
        stays(v, "of another namespace: look there, as by nsenter -t %u -a", o->elsewhere);
        return;
    }
    if (is_used(m, o, v))
        return;
    if (o->deleted) {
        stays(v, "it has no name any more");
        return;
    }
    enum maker maker = o->maker || o->kind != OBJECT_SYSV ? o->maker : look_by_attaching(o);
    if (maker == MADE_TARN) {
        judge_segment(o, rules, v);
        if (v->goes && !v->ends)
            is_young(m, o, rules, v);
        return;
    }
    struct object told = *o; /* with what its bytes tell */
    told.maker = maker;
    if (is_young(m, o, rules, v) || (!rules->force && (maker_lives(s, o, v) || might_be_opened(s, &told, v))))
        return;
    v->goes = true;
    if (rules->force)
        snprintf(v->why, sizeof v->why, "nobody has it; forced");
    else
        snprintf(v->why, sizeof v->why,
                 "of %s: nobody has it, its maker is dead, and nobody lives who might open it",
                 maker_name(maker));
}

void unused_judge(struct survey *s, const struct object *o, const struct unused_rules *rules, struct verdict *ret)
{
    const char *blind = unused_blind(s->m, rules);
    *ret = (struct verdict){0};
    if (blind)
        stays(ret, "%s", blind);
    else if (o->kind != OBJECT_SYSV && o->kind != OBJECT_POSIX)
        stays(ret, "no System V id, and no POSIX object");
    else
        judge(s, o, rules, ret);
}

/* ---- the removal ---- */

static int refuse(char why[static 160], int error, const char *sentence)
{
    bool said = error == -EBUSY || error == -ESTALE;
    snprintf(why, 160, "%s%s%s", sentence, said ? "" : ": ", said ? "" : strerror(-error));
    return error;
}

static int gone(int error)
{
    return error == EINVAL || error == EIDRM ? -ENOENT : -error;
}

static int remove_id(const struct object *o, bool attached, char why[static 160])
{
    struct shmid_ds d;
    if (shmctl((int)o->inode, IPC_STAT, &d) < 0)
        return refuse(why, gone(errno), "it cannot be looked at again");
    if (d.shm_nattch && !attached)
        return refuse(why, -EBUSY, "it has been attached meanwhile");
    if (d.shm_ctime != o->created || d.shm_segsz != o->size)
        return refuse(why, -ESTALE, "it was changed meanwhile");
    return shmctl((int)o->inode, IPC_RMID, NULL) < 0 ? refuse(why, gone(errno), "it cannot be removed") : 0;
}

/* Without a lease (another's file, without the right to one): who has it is looked up again. */
static int look_again(const struct object *o, char why[static 160])
{
    struct machine *m = machine_look(LOOK_FILES | LOOK_MAPS | LOOK_DESCRIPTORS);
    int error = m ? -ENOENT : -ENOMEM;
    for (size_t k = 0; m && k < m->objects_count; k++) {
        const struct object *now = &m->objects[k];
        if (now->kind == o->kind && now->device == o->device && now->inode == o->inode)
            error = now->uses || m->unread ? -EBUSY : 0;
    }
    machine_free(m);
    return error ? refuse(why, error, error == -EBUSY ? "it is in use by now" : "it cannot be looked at again")
                 : 0;
}

static int remove_name(const struct object *o, int fd, char why[static 160])
{
    struct stat now;
    const char *name = strrchr(o->path, '/') + 1;
    char *directory = strndup(o->path, (size_t)(name - o->path));
    int at = directory ? open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int error = 0;
    free(directory);
    if (at < 0 || fstatat(at, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
        error = refuse(why, errno == ENOENT ? -ENOENT : -errno, "its name is gone");
    else if (now.st_ino != o->inode || now.st_dev != o->device)
        error = refuse(why, -ESTALE, "its name leads to another by now");
    else if (fd >= 0 && fcntl(fd, F_GETLEASE) != F_WRLCK)
        error = refuse(why, -EBUSY, "somebody is opening it");
    else if (unlinkat(at, name, 0) < 0)
        error = refuse(why, -errno, "it cannot be removed");
    if (at >= 0)
        close(at);
    return error;
}

static int remove_file(const struct object *o, char why[static 160])
{
    struct stat s;
    int fd = open_plainly(o, &s), error = 0;
    if (fd < 0 && errno != EACCES)
        return refuse(why,
                      errno == ENOENT   ? -ENOENT
                      : errno == ESTALE ? -ESTALE
                                        : -errno,
                      errno == ESTALE ? "its name leads to another by now" : "it cannot be looked at again");
    bool leased = fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
    if (!leased && fd >= 0 && errno == EAGAIN)
        error = refuse(why, -EBUSY, "it is in use by now");
    else if (!leased)
        error = look_again(o, why);
    if (!error)
        error = remove_name(o, leased ? fd : -1, why);
    if (fd >= 0)
        close(fd); /* and the lease with it: who waits to open it goes on */
    return error;
}

/* Over by its lifetime: to open it is to end it. */
static int end_segment(const struct object *o, char why[static 160])
{
    tarn *seg;
    int error = tarn_open(o->name, TARN_RDONLY | TARN_FOREIGN, NULL, &seg);
    if (error == 0) {
        tarn_close(seg);
        return refuse(why, -EBUSY, "somebody has it again");
    }
    if (error != -ENOENT)
        return refuse(why, error, "it cannot be ended");
    struct stat s;
    return lstat(o->path, &s) == 0 && s.st_ino == o->inode ? refuse(why, -EACCES, "it cannot be ended") : 0;
}

int unused_remove(const struct object *o, const struct verdict *v, char ret_why[static 160])
{
    signal(SIGIO, SIG_IGN); /* by which the kernel tells that somebody opens what has a lease */
    ret_why[0] = 0;
    if (o->kind == OBJECT_SYSV)
        return remove_id(o, false, ret_why);
    return v->ends ? end_segment(o, ret_why) : remove_file(o, ret_why);
}

int remove_regardless(const struct object *o, char ret_why[static 160])
{
    ret_why[0] = 0;
    return o->kind == OBJECT_SYSV ? remove_id(o, true, ret_why) : remove_name(o, -1, ret_why);
}

/* doctor_memory.c - what tarn doctor finds among the objects of this machine: orphans, rights, age; and inside segments of ours, which it attaches
 * read-only, by descriptor where that can be, for by its name a segment that is over would be removed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"
#include "participants.h"

/* ---- orphans ---- */

static bool is_ours(const struct object *o)
{
    return o->maker == MADE_TARN;
}

/* It asks nobody else's processes: the kernel counts who has it. */
static bool is_orphaned_id(struct doctor *d, const struct object *o)
{
    return o->kind == OBJECT_SYSV && !o->elsewhere && !o->deleted && o->attaches == 0 && !o->uses &&
           creator_life(d->m, o) == LIFE_DEAD;
}

static void find_orphaned_id(struct doctor *d, const struct object *o)
{
    char size[16];
    found(d, WARNING, "orphan", o->name, make_text("ipcrm -m %" PRIu64, o->inode),
          "nobody is attached, and process %u, which made it, is dead; it has %s (%s)", o->creator,
          size_text(o->size, size), maker_name(o->maker) ? maker_name(o->maker) : "made by nobody known");
}

static void find_orphaned_name(struct doctor *d, const struct object *o)
{
    char size[16], cure[64];
    struct verdict v;
    unused_judge(d->survey, o, &d->rules, &v);
    snprintf(cure, sizeof cure, "tarn gc --older-than %lld%s", (long long)d->rules.older,
             d->rules.alone ? " --alone" : "");
    if (v.goes)
        found(d, WARNING, v.ends ? "ended" : "orphan", o->name, make_text("%s", cure), "%s; it has %s", v.why,
              size_text(o->resident == UNKNOWN ? o->size : o->resident, size));
}

/* ---- age ---- */

/* When the first process of this PID namespace was started: 0 in the machine's first one, which is as old as all. */
static int64_t beginning(const struct doctor *d)
{
    const struct unused_rules strict = {.alone = false}, alone = {.alone = true};
    int64_t since = 0;
    char state;
    bool contained = unused_blind(d->m, &strict) && !unused_blind(d->m, &alone);
    return contained && process_state(1, 0, &state, &since) ? since : 0;
}

static void find_outlived(struct doctor *d, const struct object *o, int64_t since)
{
    char size[16];
    if (!since || o->elsewhere || !o->created || o->created + 2 >= since || o->uses ||
        (o->kind == OBJECT_SYSV && o->attaches))
        return;
    char *word = o->path ? shell_word(o->path) : NULL;
    char *cure = o->kind == OBJECT_SYSV ? make_text("ipcrm -m %" PRIu64, o->inode)
                 : word                 ? make_text("rm -- %s", word)
                                        : NULL;
    free(word);
    found(d, WARNING, "outlived", o->name,
          cure, "it was made %lld seconds before this container was started, and nobody in it has it (%s); others that share its memory are not seen",
          (long long)(since - o->created), size_text(o->size, size));
}

/* ---- rights ---- */

static void find_open(struct doctor *d, const struct object *o)
{
    if (o->elsewhere || o->deleted || !o->known || !(o->mode & 0002) || o->kind == OBJECT_MEMFD ||
        o->kind == OBJECT_ANON)
        return;
    char *word = o->path ? shell_word(o->path) : NULL;
    char *cure = o->kind == OBJECT_SYSV ? make_text("tarn perms --mode o-w shmid:%" PRIu64, o->inode)
                 : word                 ? make_text("chmod o-w -- %s", word)
                                        : NULL;
    found(d, WARNING, "world-writable", o->name, cure,
          "its mode is %04o: every user of the machine may change its bytes%s", o->mode,
          o->kind == OBJECT_SYSV ? "" : ", and truncate it");
    free(word);
}

/* ---- segments of ours ---- */

static void find_state(struct doctor *d, const struct member *p, bool anybody)
{
    const char *url = p->object->name, *state = member_state(p);
    char *word = shell_word(url);
    if (strcmp(state, "dead") == 0 && word)
        found(d, p->told.locks_held || p->told.section_open ? WARNING : INFO, "dead", url,
              make_text("tarn recover %s", word),
              "participant %#x (process %u) is dead and not recovered; it holds %u lock%s%s%s", p->told.id,
              p->told.pid, p->told.locks_held, p->told.locks_held == 1 ? "" : "s",
              p->told.section_open ? " and has a section open" : "",
              anybody ? "; whoever meets them does it" : "; whoever opens the segment next and meets them does it");
    if (strcmp(state, "stopped") == 0 && (p->told.locks_held || p->told.section_open))
        found(d, WARNING, "stopped", url, make_text("kill -CONT %u", p->pid),
              "participant %#x (process %u) is stopped, and holds %u lock%s%s: who wants them waits",
              p->told.id, p->pid, p->told.locks_held, p->told.locks_held == 1 ? "" : "s",
              p->told.section_open ? ", with a section open" : "");
    if (strcmp(state, "unknown") == 0)
        found(d, INFO, "dead-elsewhere", url,
              NULL, "participant %#x seems dead, but is of another PID namespace: somebody of that one must recover it",
              p->told.id);
    free(word);
}

static void examine_members(struct doctor *d, const struct object *o)
{
    struct members members = {0};
    int status;
    bool anybody = false;
    if (members_of(d->command, d->m, o, &members, &status)) {
        for (size_t k = 0; k < members.count; k++)
            anybody |= members.list[k].told.state == 'l';
        for (size_t k = 0; k < members.count; k++)
            find_state(d, &members.list[k], anybody);
    }
    members_free(&members);
}

/* A refusal for its bytes is a finding; one for our rights is none. */
static void find_refusal(struct doctor *d, const struct object *o, int error)
{
    char *word = shell_word(o->name);
    const char *sentence = tarn_error(), *colon = strchr(sentence, ':');
    if (strncmp(sentence, "descriptor ", 11) == 0 && colon)
        sentence = colon + 2;
    if (word && (error == -EUCLEAN || error == -EPROTO))
        found(d, error == -EUCLEAN ? ERROR : WARNING, error == -EUCLEAN ? "damaged" : "foreign", o->name,
              make_text("tarn check %s", word), "it is refused: %s", sentence);
    free(word);
}

static bool opens(struct doctor *d, const struct object *o, bool by_name)
{
    tarn *seg;
    int fd = by_name ? -1 : open(o->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int error = by_name  ? tarn_open(o->name, TARN_RDONLY | TARN_FOREIGN, NULL, &seg)
                : fd < 0 ? -errno
                         : tarn_open_fd(fd, TARN_RDONLY | TARN_FOREIGN, &seg);
    if (fd >= 0)
        close(fd);
    if (error < 0)
        find_refusal(d, o, error);
    else
        tarn_close(seg);
    return error == 0;
}

/* Those that nobody has are told by find_orphaned_name. */
static void find_ended(struct doctor *d, const struct object *o)
{
    char *word = shell_word(o->name);
    if (o->uses && word)
        found(d, INFO, "ended", o->name,
              make_text("tarn rm %s", word), "its creator has ended, and so has it; who has it attached keeps its memory, and its name is still there");
    free(word);
}

static void examine_segment(struct doctor *d, const struct object *o)
{
    uint32_t lifetime = TARN_UNTIL_UNLINKED;
    bool over = false;
    if (o->kind == OBJECT_SYSV ? !o->attaches || !is_reachable(d->m, o)
                               : !o->path || o->elsewhere || !opens(d, o, false))
        return;
    if (o->path)
        segment_lifetime(o, &lifetime, &over);
    if (over && lifetime == TARN_UNTIL_CREATOR)
        find_ended(d, o);
    else if ((!over || o->uses) && (o->kind == OBJECT_FILE || opens(d, o, true))) /* a file was opened by its path: see way_to */
        examine_members(d, o);
}

/* ---- all of it ---- */

static void examine_object(struct doctor *d, const struct object *o, int64_t since, bool blind)
{
    if (o->device_file || !o->writable)
        return;
    if (is_orphaned_id(d, o))
        find_orphaned_id(d, o);
    else
        find_outlived(d, o, since);
    if (o->kind == OBJECT_POSIX && !blind)
        find_orphaned_name(d, o);
    if (o->kind == OBJECT_POSIX || o->kind == OBJECT_SYSV || o->kind == OBJECT_FILE || o->kind == OBJECT_HUGE)
        find_open(d, o);
    if (is_ours(o))
        examine_segment(d, o);
}

void examine_memory(struct doctor *d)
{
    const char *blind = unused_blind(d->m, &d->rules);
    int64_t since = beginning(d);
    if (blind)
        found(d, INFO, "blind", "/proc", geteuid() ? make_text("sudo tarn doctor") : NULL,
              "POSIX objects that nobody has are not looked for: %s", blind);
    for (size_t k = 0; k < d->m->objects_count; k++)
        examine_object(d, &d->m->objects[k], since, blind);
}

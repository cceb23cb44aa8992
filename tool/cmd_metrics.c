/* cmd_metrics.c - tarn metrics: the machine's shared memory and its segments, for Prometheus: on stdout, or in a file for node_exporter's textfile directory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <tarn/channel.h>

#include "locks.h"
#include "metrics.h"
#include "mounts.h"
#include "transfer.h"
#include "wait.h"

enum {
    OBJECTS,
    OBJECT_BYTES,
    OBJECT_RESIDENT,
    OBJECT_SWAPPED,
    UNREAD,
    TMPFS_SIZE,
    TMPFS_USED,
    TMPFS_FILES,
    TMPFS_FILES_LIMIT,
    SYSV_SEGMENTS,
    SYSV_SEGMENTS_LIMIT,
    SYSV_PAGES,
    SYSV_PAGES_LIMIT,
    SYSV_SIZE_LIMIT,
    UP,
    BYTES,
    BYTES_LIMIT,
    ALLOCATED,
    LIMBO,
    FREE,
    PARTICIPANTS,
    PARTICIPANTS_LIMIT,
    DEAD,
    STOPPED,
    LOCKS,
    WAITING,
    CIRCLES,
    RECOVERED,
    UNDONE,
    CREATED,
    CHANNEL_SENT,
    CHANNEL_RECEIVED,
    CHANNEL_LOST,
    CHANNEL_AGAIN,
    CHANNEL_DEATHS,
    CHANNEL_MISSED,
    CHANNEL_BEHIND,
    CHANNEL_MESSAGES,
    CHANNEL_CAPACITY,
    CHANNEL_SENDERS,
    CHANNEL_RECEIVERS,
    METRICS
};
static const struct metric all[METRICS] = {
    [OBJECTS] = {"tarn_objects", false, "Objects of shared memory on this machine, whoever made them, by kind."},
    [OBJECT_BYTES] = {"tarn_objects_bytes", false, "Their size in bytes, by kind."},
    [OBJECT_RESIDENT] = {"tarn_objects_resident_bytes", false,
                         "Bytes of them in memory, where the system tells, by kind."},
    [OBJECT_SWAPPED] = {"tarn_objects_swapped_bytes", false,
                        "Bytes of them swapped out, where the system tells, by kind."},
    [UNREAD] = {"tarn_unread_processes", false, "Processes whose shared memory could not be looked at."},
    [TMPFS_SIZE] = {"tarn_tmpfs_size_bytes", false, "What a tmpfs may hold."},
    [TMPFS_USED] = {"tarn_tmpfs_used_bytes", false, "What it holds."},
    [TMPFS_FILES] = {"tarn_tmpfs_files", false, "Files in it."},
    [TMPFS_FILES_LIMIT] = {"tarn_tmpfs_files_limit", false, "Files that it may have."},
    [SYSV_SEGMENTS] = {"tarn_sysv_segments", false, "System V shared memory segments of this IPC namespace."},
    [SYSV_SEGMENTS_LIMIT] = {"tarn_sysv_segments_limit", false, "Most of them (shmmni)."},
    [SYSV_PAGES] = {"tarn_sysv_pages", false, "Pages of them."},
    [SYSV_PAGES_LIMIT] = {"tarn_sysv_pages_limit", false, "Most pages of them (shmall)."},
    [SYSV_SIZE_LIMIT] = {"tarn_sysv_segment_limit_bytes", false, "Largest size of one (shmmax)."},
    [UP] = {"tarn_segment_up", false, "1: the segment of tarn could be looked into."},
    [BYTES] = {"tarn_segment_committed_bytes", false, "Bytes committed, with its own tables."},
    [BYTES_LIMIT] = {"tarn_segment_limit_bytes", false, "Bytes that it may become."},
    [ALLOCATED] = {"tarn_segment_allocated_bytes", false, "Bytes in blocks of its heap."},
    [LIMBO] = {"tarn_segment_limbo_bytes", false, "Bytes freed that readers may still look at."},
    [FREE] = {"tarn_segment_free_bytes", false, "Bytes committed and free."},
    [PARTICIPANTS] = {"tarn_segment_participants", false,
                      "Threads that take part, the dead not yet recovered among them."},
    [PARTICIPANTS_LIMIT] = {"tarn_segment_participants_limit", false, "Most threads that may take part."},
    [DEAD] = {"tarn_segment_dead_participants", false, "Of them dead, and not recovered yet."},
    [STOPPED] = {"tarn_segment_stopped_participants", false, "Of them in a stopped process."},
    [LOCKS] = {"tarn_segment_locks_held", false, "Locks and the like that are held, by kind."},
    [WAITING] = {"tarn_segment_waiting_participants", false, "Participants that wait for something."},
    [CIRCLES] = {"tarn_segment_wait_circles", false, "Circles of participants that wait for each other."},
    [RECOVERED] = {"tarn_segment_recoveries_total", true, "Dead participants recovered."},
    [UNDONE] = {"tarn_segment_sections_undone_total", true, "Open sections of dead participants that were undone."},
    [CREATED] = {"tarn_segment_created_timestamp_seconds", false, "When it was made."},
    [CHANNEL_SENT] = {"tarn_channel_sent_total", true, "Messages sent."},
    [CHANNEL_RECEIVED] = {"tarn_channel_received_total", true, "Messages received."},
    [CHANNEL_LOST] = {"tarn_channel_lost_total", true, "Messages lost with dead receivers."},
    [CHANNEL_AGAIN] = {"tarn_channel_redelivered_total", true, "Messages given to another after a receiver's death."},
    [CHANNEL_DEATHS] = {"tarn_channel_deaths_total", true, "Parties that died."},
    [CHANNEL_MISSED] = {"tarn_channel_missed_messages", false, "Messages that the parties it has now have missed."},
    [CHANNEL_BEHIND] = {"tarn_channel_behind_messages", false,
                        "Messages that the slowest of its receivers has not received yet."},
    [CHANNEL_MESSAGES] = {"tarn_channel_messages", false, "Messages that are there."},
    [CHANNEL_CAPACITY] = {"tarn_channel_capacity", false, "Messages that it has room for (a ring of bytes: bytes)."},
    [CHANNEL_SENDERS] = {"tarn_channel_senders", false, "Seats taken by senders."},
    [CHANNEL_RECEIVERS] = {"tarn_channel_receivers", false, "Seats taken by receivers."},
};

/* ---- the machine ---- */

static void measure_objects(struct metrics *x, const struct machine *m)
{
    uint64_t count[OBJECT_KINDS] = {0}, size[OBJECT_KINDS] = {0}, resident[OBJECT_KINDS] = {0},
             swapped[OBJECT_KINDS] = {0};
    for (size_t k = 0; k < m->objects_count; k++) {
        const struct object *o = &m->objects[k];
        if (o->device_file || !o->writable)
            continue;
        count[o->kind]++;
        size[o->kind] += o->size == UNKNOWN ? 0 : o->size;
        resident[o->kind] += o->resident == UNKNOWN ? 0 : o->resident;
        swapped[o->kind] += o->swapped == UNKNOWN ? 0 : o->swapped;
    }
    for (enum object_kind kind = 0; kind < OBJECT_KINDS; kind++) {
        const struct label label[] = {{"kind", kind_name(kind)}, {0}};
        add_sample(x, OBJECTS, label, count[kind]);
        add_sample(x, OBJECT_BYTES, label, size[kind]);
        add_sample(x, OBJECT_RESIDENT, label, resident[kind]);
        add_sample(x, OBJECT_SWAPPED, label, swapped[kind]);
    }
    add_sample(x, UNREAD, NULL, m->unread);
}

static void measure_tmpfs(struct metrics *x, const struct mount *mount)
{
    const struct label label[] = {{"mountpoint", mount->point}, {0}};
    struct statvfs s;
    struct stat there;
    if (stat(mount->point, &there) < 0 || there.st_dev != mount->device || statvfs(mount->point, &s) < 0)
        return; /* another is mounted over it */
    if (s.f_blocks) {
        add_sample(x, TMPFS_SIZE, label, s.f_blocks * s.f_frsize);
        add_sample(x, TMPFS_USED, label, (s.f_blocks - s.f_bfree) * s.f_frsize);
    }
    if (s.f_files) {
        add_sample(x, TMPFS_FILES, label, s.f_files - s.f_ffree);
        add_sample(x, TMPFS_FILES_LIMIT, label, s.f_files);
    }
}

/* The same file system at several points is told once. */
static void measure_mounts(struct metrics *x, const struct mount *list, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        bool again = false;
        for (size_t n = 0; n < k; n++)
            again |= list[n].is_tmpfs && list[n].device == list[k].device;
        if (list[k].is_tmpfs && !again)
            measure_tmpfs(x, &list[k]);
    }
}

static void measure_sysv(struct metrics *x)
{
    struct shm_info now;
    struct shminfo most;
    if (shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&now) >= 0) {
        add_sample(x, SYSV_SEGMENTS, NULL, (uint64_t)now.used_ids);
        add_sample(x, SYSV_PAGES, NULL, now.shm_tot);
    }
    if (shmctl(0, IPC_INFO, (struct shmid_ds *)(void *)&most) >= 0) {
        add_sample(x, SYSV_SEGMENTS_LIMIT, NULL, most.shmmni);
        add_sample(x, SYSV_PAGES_LIMIT, NULL, most.shmall);
        add_sample(x, SYSV_SIZE_LIMIT, NULL, most.shmmax);
    }
}

/* ---- a segment: what a child tells ---- */

enum { MOST_CHANNELS = 4096 }; /* of a segment: of the rest nothing is told */

struct channel {
    char name[256];
    struct tarn_channel_stat stat;
    uint64_t missed, behind;
};
struct segment {
    const struct object *object;
    char id[48];
    struct tarn_stat stat;
    struct channel *channels;
    size_t channels_count;
    struct inside_locks locks;
};

static int add_party(const struct tarn_party *p, void *arg)
{
    struct channel *c = arg;
    c->missed += p->lost;
    if (p->role & TARN_RECEIVE && p->behind > c->behind)
        c->behind = p->behind;
    return 0;
}

struct channels {
    tarn *seg;
    struct segment *to;
};
static int add_channel(const struct tarn_name *n, void *arg)
{
    struct channels *all_of = arg;
    struct segment *s = all_of->to;
    struct channel found = {.missed = 0}, *at;
    if (tarn_channel_stat(all_of->seg, n->name, &found.stat) < 0)
        return 0;
    for (size_t k = 0; k < s->channels_count; k++)
        if (strcmp(s->channels[k].name, n->name) == 0)
            return 0; /* a hostile writer's */
    if (s->channels_count == MOST_CHANNELS)
        return 1;
    if (!(at = one_more(&s->channels, &s->channels_count, sizeof *at)))
        return -ENOMEM;
    (void)tarn_channel_parties(all_of->seg, n->name, add_party, &found);
    snprintf(found.name, sizeof found.name, "%s", n->name);
    *at = found;
    return 0;
}

static int tell_segment(const struct command *c, tarn *seg, const struct object *o, int to)
{
    struct segment s = {.object = o};
    struct channels channels = {seg, &s};
    int error = tarn_stat(seg, &s.stat);
    if (error == 0 && (error = tarn_names(seg, add_channel, &channels)) == -EUCLEAN)
        error = 0;
    if (error < 0)
        return c ? failed(c, error) : REFUSED;
    return write_all(to, &s.stat, sizeof s.stat) && write_all(to, &s.channels_count, sizeof s.channels_count) &&
                   write_all(to, s.channels, s.channels_count * sizeof *s.channels)
               ? DONE
               : REFUSED;
}

static bool hear_segment(int from, void *arg)
{
    struct segment *s = arg;
    size_t count;
    if (!read_all(from, &s->stat, sizeof s->stat) || !read_all(from, &count, sizeof count) ||
        count > MOST_CHANNELS || !(s->channels = calloc(count + 1, sizeof *s->channels)) ||
        !read_all(from, s->channels, count * sizeof *s->channels))
        return false;
    s->channels_count = count;
    return true;
}

/* ---- a segment: its samples ---- */

static void measure_stat(struct metrics *x, const struct tarn_stat *t, const struct label *label)
{
    add_sample(x, BYTES, label, t->total);
    add_sample(x, BYTES_LIMIT, label, t->growth);
    add_sample(x, ALLOCATED, label, t->allocated);
    add_sample(x, LIMBO, label, t->limbo);
    add_sample(x, FREE, label, t->free_bytes);
    add_sample(x, PARTICIPANTS, label, t->participants);
    add_sample(x, PARTICIPANTS_LIMIT, label, t->most);
    add_sample(x, DEAD, label, t->dead);
    add_sample(x, RECOVERED, label, t->recovered);
    add_sample(x, UNDONE, label, t->undone);
    add_sample(x, CREATED, label, t->created);
}

static void measure_locks(struct metrics *x, const struct inside_locks *in, const struct label *label)
{
    const struct members *l = &in->members;
    uint64_t held[TARN_LOCK_MEMBER + 1] = {0}, stopped_ones = 0, waiting = 0;
    for (size_t k = 0; k < l->locks_count; k++)
        if (l->locks[k].held && l->locks[k].kind <= TARN_LOCK_MEMBER)
            held[l->locks[k].kind]++;
    for (size_t k = 0; k < l->count; k++) {
        stopped_ones += strcmp(member_state(&l->list[k]), "stopped") == 0;
        waiting += l->list[k].waits.id != 0;
    }
    for (uint32_t kind = TARN_LOCK_MUTEX; kind <= TARN_LOCK_MEMBER; kind++) {
        const struct label with_kind[] = {label[0], label[1], {"kind", lock_kind(kind)}, {0}};
        add_sample(x, LOCKS, with_kind, held[kind]);
    }
    add_sample(x, STOPPED, label, stopped_ones);
    add_sample(x, WAITING, label, waiting);
    add_sample(x, CIRCLES, label, in->circles_count);
}

static void measure_channel(struct metrics *x, const struct channel *c, const struct label *label)
{
    const struct label with_name[] = {label[0], label[1], {"channel", c->name}, {"kind", c->stat.kind}};
    const struct tarn_channel_stat *t = &c->stat;
    add_sample(x, CHANNEL_SENT, with_name, t->sent);
    add_sample(x, CHANNEL_RECEIVED, with_name, t->received);
    add_sample(x, CHANNEL_LOST, with_name, t->lost);
    add_sample(x, CHANNEL_AGAIN, with_name, t->again);
    add_sample(x, CHANNEL_DEATHS, with_name, t->deaths);
    add_sample(x, CHANNEL_MISSED, with_name, c->missed);
    add_sample(x, CHANNEL_BEHIND, with_name, c->behind);
    add_sample(x, CHANNEL_MESSAGES, with_name, t->waiting);
    add_sample(x, CHANNEL_CAPACITY, with_name, t->capacity);
    add_sample(x, CHANNEL_SENDERS, with_name, t->senders);
    add_sample(x, CHANNEL_RECEIVERS, with_name, t->receivers);
}

/* ---- which segments ---- */

struct work {
    struct machine *m;
    struct segment **segments; /* they stay where they are: labels point into them */
    size_t count, closed;
    struct metrics metrics;
};

static bool measure_segment(const struct command *c, struct work *w, const struct object *o, int *status)
{
    int one = DONE, other = DONE;
    struct segment **at, *s;
    for (size_t k = 0; k < w->count; k++)
        if (w->segments[k]->object == o)
            return true;
    if (!(s = calloc(1, sizeof *s)) || !(at = one_more(&w->segments, &w->count, sizeof(struct segment *)))) {
        free(s);
        return false;
    }
    *at = s;
    s->object = s->locks.object = o;
    object_id(o, s->id);
    const struct label label[] = {{"segment", o->name}, {"id", s->id}, {0}};
    bool up = look_by_child(c, w->m, o, tell_segment, hear_segment, s, &one) &&
              members_of(c, w->m, o, &s->locks.members, &other) && find_circles(&s->locks, w->m);
    add_sample(&w->metrics, UP, label, up);
    if (!up) {
        w->closed++;
        one = one > other ? one : other;
        *status = one > *status ? one : *status;
        return true;
    }
    measure_stat(&w->metrics, &s->stat, label);
    measure_locks(&w->metrics, &s->locks, label);
    for (size_t k = 0; k < s->channels_count; k++)
        measure_channel(&w->metrics, &s->channels[k], label);
    return true;
}

static bool measure_named(const struct command *c, struct work *w, const char *text, int *status)
{
    uint32_t *index;
    size_t count;
    bool exists, good = machine_find(w->m, text, &index, &count, &exists);
    if (!good)
        return false;
    for (size_t k = 0; good && k < count; k++)
        good = measure_segment(c, w, &w->m->objects[index[k]], status);
    free(index);
    if (good && !count) {
        complain(c->name, "%s: there is none; tarn ls tells names", text);
        *status = WRONG > *status ? WRONG : *status;
    }
    return good;
}

static bool measure(const struct command *c, struct work *w, char **urls, int count, int *status)
{
    int unasked = DONE;
    bool good = true;
    measure_objects(&w->metrics, w->m);
    measure_sysv(&w->metrics);
    for (int k = 0; good && k < count; k++)
        good = measure_named(c, w, urls[k], status);
    for (size_t k = 0; good && !count && k < w->m->objects_count; k++)
        if (w->m->objects[k].maker == MADE_TARN)
            good = measure_segment(NULL, w, &w->m->objects[k], &unasked);
    if (!count && w->closed)
        complain(c->name, "%zu segments could not be looked into: damaged, without a way to them, or not to be read by this user",
                 w->closed);
    return good && !w->metrics.failed;
}

static void forget(struct work *w)
{
    for (size_t k = 0; k < w->count; k++) {
        circles_free(&w->segments[k]->locks);
        members_free(&w->segments[k]->locks.members);
        free(w->segments[k]->channels);
        free(w->segments[k]);
    }
    free(w->segments);
    metrics_free(&w->metrics);
    machine_free(w->m);
}

/* ---- the command ---- */

/* Whole, or not at all: it has its name when all of it is written, in place of what was there. */
static int print_file(const struct command *c, const struct metrics *x, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    struct sink sink;
    int status = DONE;
    FILE *f = open_memstream(&text, &size);
    bool good = f && metrics_print(x, f);
    if (f && fclose(f) != 0)
        good = false;
    if (!good) {
        complain(c->name, "no memory for the metrics");
        status = REFUSED;
    } else if (sink_new_file(c, path, path, 0644, true, &sink, &status)) {
        good = write_all(sink.fd, text, size);
        if (!good) {
            complain(c->name, "%s: cannot be written: %s", path, strerror(errno));
            status = REFUSED;
        }
        if (!sink_end(c, &sink, good && !stopped, &status) && status == DONE)
            status = REFUSED;
    }
    free(text);
    return status;
}

struct request {
    const char *file;
    bool json;
};

static int print(const struct command *c, const struct request *r, const struct metrics *x)
{
    if (r->file)
        return print_file(c, x, r->file);
    return (r->json ? metrics_print_json(x) : metrics_print(x, stdout)) ? DONE : REFUSED;
}

static int answer(const struct command *c, const struct request *r, char **urls, int count)
{
    struct work w = {.m = look_at_machine(c, LOOK_ALL), .metrics = {.all = all, .count = METRICS}};
    size_t mounts_count = 0;
    int status = DONE;
    if (!w.m)
        return REFUSED;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    struct mount *mounts = f ? mounts_read(f, &mounts_count) : NULL;
    if (f)
        fclose(f);
    measure_mounts(&w.metrics, mounts, mounts_count);
    if (measure(c, &w, urls, count, &status)) {
        int printed = print(c, r, &w.metrics);
        status = printed > status ? printed : status;
    } else {
        complain(c->name, "no memory for the metrics");
        status = REFUSED;
    }
    complain_of_unread(c, w.m);
    mounts_free(mounts, mounts_count);
    forget(&w);
    return status;
}

enum { OPTION_FILE = 0x3000 };
static const struct option names[] = {{"output", required_argument, NULL, OPTION_FILE},
                                      {"json", no_argument, NULL, 'J'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

static int run(const struct command *c, int argc, char **argv)
{
    struct request r = {0};
    int option, status = DONE;
    while ((option = next_option(c, argc, argv, ":hJ", names, &status)) >= 0) {
        if (option == ENDED)
            return status;
        if (option == OPTION_FILE)
            r.file = optarg;
        else
            r.json = true;
    }
    if (r.file && r.json)
        return misused(c, "-J and --output: one of them; a file is for node_exporter, which reads no JSON");
    stop_by_signals();
    return answer(c, &r, argv + optind, argc - optind);
}

const struct command cmd_metrics = {
    .name = "metrics",
    .arguments = "[-J | --output FILE] [URL...]",
    .summary = "measure shared memory and segments, for Prometheus",
    .help = "      --output FILE    into this file, which is replaced when the new one is whole: for "
            "node_exporter's\n"
            "                       textfile directory, where its name ends with .prom\n"
            "  -J, --json           as JSON\n"
            "In Prometheus' text format: the machine's shared memory by kind, its tmpfs and System V limits, "
            "and of each "
            "segment of tarn memory,\n"
            "participants, locks, waits, recoveries and channels. With URLs only these segments; a URL is "
            "posix:/NAME, "
            "sysv:KEY, file:PATH, or any\n"
            "other name, or id, that tarn ls prints.\n",
    .run = run,
};

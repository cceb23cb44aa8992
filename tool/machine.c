/* machine.c - the tables of a look at the machine's shared memory, and their upkeep. What is in them: machine.h.
 *
 * Objects are found by identity (kind, device, inode) through a hash with open addressing. Uses are taken as they come, process by process, and put in
 * the order of objects at the end, by counting. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "inventory.h"

/* ---- memory ---- */

void *add_one(struct inventory *i, void **array, size_t *count, size_t *room, size_t size)
{
    if (*count == *room) {
        size_t more = *room ? *room * 2 : 16;
        void *bigger = i->failed ? NULL : realloc(*array, more * size);
        if (!bigger) {
            i->failed = true;
            return NULL;
        }
        *array = bigger;
        *room = more;
    }
    return memset((char *)*array + (*count)++ * size, 0, size);
}

struct chunk {
    struct chunk *next;
    size_t used, size;
    char bytes[];
};

static char *room_for_text(struct inventory *i, size_t size)
{
    if (!i->chunks || i->chunks->size - i->chunks->used < size) {
        size_t room = size > 65536 ? size : 65536;
        struct chunk *c = i->failed ? NULL : malloc(sizeof *c + room);
        if (!c) {
            i->failed = true;
            return NULL;
        }
        *c = (struct chunk){.next = i->chunks, .size = room};
        i->chunks = c;
    }
    return i->chunks->bytes + i->chunks->used;
}

const char *keep(struct inventory *i, const char *format, ...)
{
    va_list list;
    char *to = room_for_text(i, 64);
    size_t room = to ? i->chunks->size - i->chunks->used : 0;
    va_start(list, format);
    int n = to ? vsnprintf(to, room, format, list) : -1;
    va_end(list);
    if (n >= 0 && (size_t)n >= room) {
        to = room_for_text(i, (size_t)n + 1);
        va_start(list, format);
        n = to ? vsnprintf(to, (size_t)n + 1, format, list) : -1;
        va_end(list);
    }
    if (n < 0)
        return "";
    i->chunks->used += (size_t)n + 1;
    return to;
}

/* ---- objects ---- */

static size_t slot_of(const struct inventory *i, enum object_kind kind, uint64_t device, uint64_t inode)
{
    uint64_t h = ((device * 31 + inode) * 2 + (kind == OBJECT_SYSV)) * 0x9e3779b97f4a7c15ull;
    return (h >> 32) & (i->slots_count - 1);
}

/* A System V id's number and a memfd's inode are of one device; all other kinds are told apart by device and inode alone. */
static uint32_t *find_slot(const struct inventory *i, enum object_kind kind, uint64_t device, uint64_t inode)
{
    size_t s = slot_of(i, kind, device, inode);
    for (; i->slots[s]; s = (s + 1) & (i->slots_count - 1)) {
        const struct object *o = &i->m->objects[i->slots[s] - 1];
        if (o->device == device && o->inode == inode && (o->kind == OBJECT_SYSV) == (kind == OBJECT_SYSV))
            break;
    }
    return &i->slots[s];
}

static bool more_slots(struct inventory *i)
{
    if (i->slots && i->m->objects_count * 2 < i->slots_count)
        return true;
    size_t count = i->slots_count ? i->slots_count * 2 : 1024;
    uint32_t *slots = i->failed ? NULL : calloc(count, sizeof *slots);
    if (!slots) {
        i->failed = true;
        return false;
    }
    free(i->slots);
    i->slots = slots;
    i->slots_count = count;
    for (size_t k = 0; k < i->m->objects_count; k++) {
        const struct object *o = &i->m->objects[k];
        *find_slot(i, o->kind, o->device, o->inode) = (uint32_t)k + 1;
    }
    return true;
}

struct object *find_object(struct inventory *i, enum object_kind kind, uint64_t device, uint64_t inode, bool *ret_new)
{
    struct machine *m = i->m;
    if (!more_slots(i))
        return NULL;
    uint32_t *slot = find_slot(i, kind, device, inode);
    *ret_new = !*slot;
    if (*slot)
        return &m->objects[*slot - 1];
    struct object *o = add_one(i, (void **)&m->objects, &m->objects_count, &i->objects_room, sizeof *o);
    if (!o)
        return NULL;
    *slot = (uint32_t)m->objects_count;
    *o = (struct object){.kind = kind,
                         .device = device,
                         .inode = inode,
                         .name = "",
                         .creator = UNKNOWN32,
                         .last = UNKNOWN32,
                         .resident = UNKNOWN,
                         .swapped = UNKNOWN,
                         .huge = UNKNOWN,
                         .attaches = UNKNOWN,
                         .page_size = (uint32_t)sysconf(_SC_PAGESIZE),
                         .shared = kind != OBJECT_FILE,
                         .writable = kind != OBJECT_FILE};
    return o;
}

struct use *add_use(struct inventory *i, const struct object *o)
{
    struct machine *m = i->m;
    struct use *u = add_one(i, (void **)&m->uses, &m->uses_count, &i->uses_room, sizeof *u);
    if (u)
        *u = (struct use){.object = (uint32_t)(o - m->objects),
                          .process = (uint32_t)m->processes_count - 1,
                          .fd = -1,
                          .resident = UNKNOWN,
                          .huge = UNKNOWN};
    return u;
}

/* ---- places, namespaces ---- */

const struct place *place_of(const struct inventory *i, uint64_t device)
{
    for (size_t k = 0; k < i->places_count; k++)
        if (i->places[k].device == device)
            return &i->places[k];
    return NULL;
}

const struct place *add_place(struct inventory *i, enum place_kind kind, uint64_t device, const char *path,
                              uint32_t elsewhere)
{
    struct place *p = add_one(i, (void **)&i->places, &i->places_count, &i->places_room, sizeof *p);
    if (p)
        *p = (struct place){.kind = kind, .device = device, .path = path, .elsewhere = elsewhere};
    return p;
}

bool seen_before(struct inventory *i, uint64_t **list, size_t *count, size_t *room, uint64_t number)
{
    for (size_t k = 0; k < *count; k++)
        if ((*list)[k] == number)
            return true;
    uint64_t *at = add_one(i, (void **)list, count, room, sizeof *at);
    if (at)
        *at = number;
    return false;
}

uint64_t namespace_inode(int directory, const char *link)
{
    char text[64];
    ssize_t n = readlinkat(directory, link, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *number = strchr(text, '[');
    return number ? strtoull(number + 1, NULL, 10) : 0;
}

/* ---- lines ---- */

void lines_begin(struct lines *l, int fd)
{
    l->fd = fd;
    l->at = l->end = 0;
    l->over = false;
}

static void more_bytes(struct lines *l)
{
    memmove(l->buffer, l->buffer + l->at, l->end - l->at);
    l->end -= l->at;
    l->at = 0;
    ssize_t n;
    do
        n = read(l->fd, l->buffer + l->end, sizeof l->buffer - 1 - l->end);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        l->over = true;
    else
        l->end += (size_t)n;
}

/* A line longer than the buffer, which /proc has none of, would come in pieces. */
char *next_line(struct lines *l)
{
    for (;;) {
        char *line = l->buffer + l->at, *newline = memchr(line, '\n', l->end - l->at);
        bool full = l->end - l->at == sizeof l->buffer - 1;
        if (newline || ((l->over || full) && l->end > l->at)) {
            size_t size = newline ? (size_t)(newline - line) : l->end - l->at;
            line[size] = 0;
            l->at += size + (newline != NULL);
            return line;
        }
        if (l->over)
            return NULL;
        more_bytes(l);
    }
}

/* ---- the look ---- */

/* The devices of what the kernel makes without a mount are told by making one; no page is taken for it. */
static void find_own_devices(struct inventory *i)
{
    static const unsigned kinds[] = {0, MFD_HUGETLB, MFD_HUGETLB | 21u << 26, MFD_HUGETLB | 30u << 26};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct stat s;
        int fd = memfd_create("tarn", MFD_CLOEXEC | kinds[k]);
        if (fd < 0)
            continue;
        if (fstat(fd, &s) == 0 && !place_of(i, s.st_dev))
            add_place(i, kinds[k] ? PLACE_MEMORY_HUGE : PLACE_MEMORY, s.st_dev, NULL, 0);
        close(fd);
    }
}

static bool order_uses(struct machine *m)
{
    struct use *ordered = malloc((m->uses_count ? m->uses_count : 1) * sizeof *ordered);
    size_t first = 0;
    if (!ordered)
        return false;
    for (size_t k = 0; k < m->uses_count; k++)
        m->objects[m->uses[k].object].uses++;
    for (size_t k = 0; k < m->objects_count; k++) {
        m->objects[k].first_use = first;
        first += m->objects[k].uses;
        m->objects[k].uses = 0;
    }
    for (size_t k = 0; k < m->uses_count; k++) {
        struct object *o = &m->objects[m->uses[k].object];
        ordered[o->first_use + o->uses++] = m->uses[k];
    }
    free(m->uses);
    m->uses = ordered;
    return true;
}

/* What a process maps of it counts once for each address; of several processes the one with most is a bound from below. */
static void sum_process(struct object *o, bool maps, uint64_t resident, uint64_t huge)
{
    o->processes++;
    o->mappers += maps;
    if (o->kind == OBJECT_FILE || o->kind == OBJECT_ANON) {
        if (resident != UNKNOWN && (o->resident == UNKNOWN || (!o->known && o->resident < resident)))
            o->resident = resident;
    }
    if (huge != UNKNOWN && (o->huge == UNKNOWN || o->huge < huge))
        o->huge = huge;
}

static void count_users(const struct machine *m, struct object *o)
{
    const struct use *u = &m->uses[o->first_use], *end = u + o->uses;
    while (u < end) {
        uint32_t process = u->process;
        uint64_t resident = UNKNOWN, huge = UNKNOWN;
        bool maps = false;
        for (; u < end && u->process == process; u++) {
            maps |= u->fd < 0;
            if (u->resident != UNKNOWN) {
                resident = u->resident + (resident == UNKNOWN ? 0 : resident);
                huge = u->huge + (huge == UNKNOWN ? 0 : huge);
            }
        }
        sum_process(o, maps, resident, huge);
    }
}

static bool swap_is_used(void)
{
    struct sysinfo s;
    return sysinfo(&s) == 0 && s.totalswap != s.freeswap;
}

static void look(struct inventory *i)
{
    i->own_ipc = namespace_inode(AT_FDCWD, "/proc/self/ns/ipc");
    i->own_mount = namespace_inode(AT_FDCWD, "/proc/self/ns/mnt");
    find_own_devices(i);
    if (i->what & LOOK_SYSV)
        look_at_sysv(i);
    if (i->what & (LOOK_FILES | LOOK_MAPS | LOOK_DESCRIPTORS))
        look_at_files(i); /* their devices are wanted in any case */
    if (i->what & (LOOK_MAPS | LOOK_DESCRIPTORS | LOOK_ELSEWHERE))
        look_at_processes(i);
    if (!order_uses(i->m))
        i->failed = true;
    if (i->failed)
        return;
    for (size_t k = 0; k < i->m->objects_count; k++)
        count_users(i->m, &i->m->objects[k]);
    find_makers(i);
}

struct machine *machine_look(unsigned what)
{
    struct machine *m = calloc(1, sizeof *m);
    struct inventory *i = m ? calloc(1, sizeof *i) : NULL;
    if (!i || access("/proc/self/stat", R_OK) < 0) {
        int error = i ? errno : ENOMEM;
        free(i);
        free(m);
        errno = error;
        return NULL;
    }
    *m = (struct machine){.inventory = i, .now = time(NULL), .swapping = swap_is_used()};
    *i = (struct inventory){.m = m, .what = what};
    look(i);
    if (!i->failed)
        return m;
    machine_free(m);
    errno = ENOMEM;
    return NULL;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    struct inventory *i = m->inventory;
    for (struct chunk *c = i->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(i->slots);
    free(i->places);
    free(i->mounts);
    free(i->ipcs);
    free(i->users);
    free(i);
    free(m->objects);
    free(m->uses);
    free(m->processes);
    free(m);
}

const char *kind_name(enum object_kind kind)
{
    static const char *const name[] = {"sysv", "posix", "memfd", "file", "huge", "anon"};
    return name[kind];
}

const char *object_id(const struct object *o, char to[static 48])
{
    if (o->kind == OBJECT_SYSV)
        snprintf(to, 48, "%" PRIu64, o->inode);
    else
        snprintf(to, 48, "%02x:%02x:%" PRIu64, major(o->device), minor(o->device), o->inode);
    return to;
}

/* ---- users ---- */

struct user {
    uint32_t uid;
    const char *name;
};

const char *machine_user(struct machine *m, uint32_t uid)
{
    struct inventory *i = m->inventory;
    for (size_t k = 0; k < i->users_count; k++)
        if (i->users[k].uid == uid)
            return i->users[k].name;
    const struct passwd *p = getpwuid(uid);
    const char *name = p ? keep(i, "%s", p->pw_name) : keep(i, "%u", uid);
    struct user *u = *name ? add_one(i, (void **)&i->users, &i->users_count, &i->users_room, sizeof *u) : NULL;
    if (u)
        *u = (struct user){uid, name};
    return u ? name : NULL;
}

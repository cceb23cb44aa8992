/* show.c - one look at a segment for tarn show, see show.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "show.h"

enum { MOST_WAITING = 65536, BYTES_OF_UNKNOWN = 64 };

struct found_type {
    char *name;
    uint64_t size;
    const struct type *type;
};

/* ---- a look ---- */

static int add_name(const struct tarn_name *n, void *arg)
{
    struct show *s = arg;
    struct show_name *at = one_more(&s->names, &s->names_count, sizeof *at);
    if (!at)
        return -ENOMEM;
    *at = (struct show_name){strdup(n->name), strdup(n->type.name), n->ref, n->type.size, n->type.version};
    return at->name && at->type ? 0 : -ENOMEM;
}

static int add_participant(const struct tarn_participant *p, void *arg)
{
    struct show *s = arg;
    struct tarn_participant *at = one_more(&s->participants, &s->participants_count, sizeof *at);
    if (!at)
        return -ENOMEM;
    *at = *p;
    return 0;
}

static int add_waiting(const struct tarn_waiting *w, void *arg)
{
    struct show *s = arg;
    struct tarn_waiting *at =
        s->waiting_count < MOST_WAITING ? one_more(&s->waiting, &s->waiting_count, sizeof *at) : NULL;
    if (!at)
        return -ENOMEM;
    *at = *w;
    return 0;
}

static int by_ref(const void *a, const void *b)
{
    const struct show_name *x = a, *y = b;
    return x->ref < y->ref ? -1 : x->ref > y->ref ? 1 : strcmp(x->name, y->name);
}

bool show_look(struct show *s, int *ret_status)
{
    int e = tarn_stat(s->seg, &s->stat);
    if (e == 0)
        e = tarn_participants(s->seg, add_participant, s);
    if (e == 0 && tarn_who_waits(s->seg, add_waiting, s) == -ENOMEM && s->waiting_count < MOST_WAITING)
        e = -ENOMEM;
    if (e == 0)
        e = tarn_names(s->seg, add_name, s);
    if (s->names_count)
        qsort(s->names, s->names_count, sizeof *s->names, by_ref);
    if (e == -EUCLEAN) {
        s->status = failed(s->c, e);
        e = 0;
    }
    if (e == -ENOMEM)
        complain(s->c->name, "%s: no memory for what is in it", s->url);
    if (e < 0)
        *ret_status = e == -ENOMEM ? REFUSED : failed(s->c, e);
    return e == 0;
}

void show_forget(struct show *s)
{
    for (size_t k = 0; k < s->names_count; k++) {
        free(s->names[k].name);
        free(s->names[k].type);
    }
    free(s->names);
    free(s->participants);
    free(s->waiting);
    free(s->followed);
    s->names = NULL;
    s->participants = NULL;
    s->waiting = NULL;
    s->followed = NULL;
    s->names_count = s->participants_count = s->waiting_count = s->followed_count = s->followed_room = 0;
}

void show_close(struct show *s)
{
    for (size_t k = 0; k < s->found_count; k++)
        free(s->found[k].name);
    free(s->found);
    types_close(s->types);
    tarn_close(s->seg);
}

/* ---- what was found ---- */

const struct show_name *show_named(const struct show *s, const char *name)
{
    for (size_t k = 0; k < s->names_count; k++)
        if (strcmp(s->names[k].name, name) == 0)
            return &s->names[k];
    return NULL;
}

/* The last that begins at or before it; objects do not overlap, unless somebody is hostile. */
const struct show_name *show_object_at(const struct show *s, tarn_ref ref)
{
    size_t low = 0, high = s->names_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->names[middle].ref <= ref)
            low = middle + 1;
        else
            high = middle;
    }
    const struct show_name *n = low ? &s->names[low - 1] : NULL;
    return n && (ref == n->ref || ref - n->ref < n->size) ? n : NULL;
}

char *show_copy(const struct show *s, tarn_ref ref, uint64_t size, size_t *ret_size)
{
    const void *from = NULL;
    if (size > COPY_MOST)
        size = COPY_MOST;
    while (size && !(from = tarn_ptr(s->seg, ref, size)))
        size /= 2;
    char *copy = from ? malloc(size) : NULL;
    if (copy)
        memcpy(copy, from, size);
    *ret_size = size;
    return copy;
}

const char *show_person(const struct show *s, uint32_t id, char *to, size_t room)
{
    snprintf(to, room, "%#x", id);
    for (size_t k = 0; k < s->participants_count; k++) {
        const struct tarn_participant *p = &s->participants[k];
        if (p->id == id)
            snprintf(to, room, "%#x (process %u%s)", id, p->pid, p->state == 'd' ? ", dead" : "");
    }
    return to;
}

/* ---- types ---- */

static struct types *types_of(struct show *s)
{
    char *file = NULL;
    if (s->asked_types)
        return s->types;
    s->asked_types = true;
    if (!types_built) {
        complain(s->c->name,
                 "this tarn was built without libdw, and knows no types: only bytes can be shown");
        s->status = WRONG;
        return NULL;
    }
    int fd = program_open(s, &file, &s->status);
    if (fd >= 0)
        s->types = types_open(s->c, file ? file : "the program", fd, &s->status);
    free(file);
    return s->types;
}

static void tell_missing(struct show *s, struct types *t, const char *name, uint64_t size, uint64_t other)
{
    s->status = WRONG;
    if (other)
        complain(s->c->name, "%s has \"%s\" with %" PRIu64 " bytes, and here it has %" PRIu64 ": the program was built anew since, or is another. Say --elf with the one that made it, or --type",
                 types_file(t), name, other, size);
    else
        complain(s->c->name, "%s has no type \"%s\": say --elf with a program that has it, or --type",
                 types_file(t), name);
}

const struct type *show_type(struct show *s, const char *name, uint64_t size, bool told)
{
    uint64_t other;
    bool several;
    for (size_t k = 0; k < s->found_count; k++)
        if (s->found[k].size == size && strcmp(s->found[k].name, name) == 0)
            return s->found[k].type;
    struct types *t = types_of(s);
    if (!t)
        return NULL;
    const struct type *type = types_find(t, name, size, &other, &several);
    struct found_type *f = one_more(&s->found, &s->found_count, sizeof *f);
    if (f)
        *f = (struct found_type){.name = strdup(name), .size = size, .type = type};
    if (!f || !f->name) {
        complain(s->c->name, "no memory for a type");
        exit(REFUSED);
    }
    if (type && several && told)
        complain(s->c->name, "%s has several \"%s\" of that size, with other fields: the first is shown",
                 types_file(t), name);
    if (!type && told)
        tell_missing(s, t, name, size, other);
    return type;
}

/* ---- what was shown ---- */

static bool take_place(tarn_ref *table, size_t room, tarn_ref ref)
{
    size_t k = (size_t)(ref * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (room - 1);
    while (table[k] && table[k] != ref)
        k = (k + 1) & (room - 1);
    bool taken = table[k];
    table[k] = ref;
    return !taken;
}

static void make_room(struct show *s)
{
    size_t room = s->followed_room ? s->followed_room * 2 : 64;
    tarn_ref *table = s->followed_count * 2 >= s->followed_room ? calloc(room, sizeof *table) : NULL;
    if (!table) /* half of it is free; or a lack of memory, of which others will tell */
        return;
    for (size_t k = 0; k < s->followed_room; k++)
        if (s->followed[k])
            take_place(table, room, s->followed[k]);
    free(s->followed);
    s->followed = table;
    s->followed_room = room;
}

/* Each is followed once, so a circle ends, and what is reached in many ways is shown once. */
bool show_first_time(struct show *s, tarn_ref ref)
{
    make_room(s);
    if (!ref || s->followed_count + 1 >= s->followed_room || !take_place(s->followed, s->followed_room, ref))
        return false;
    s->followed_count++;
    return true;
}

/* ---- refs ---- */

static void follow(struct show *s, struct node *n, tarn_ref ref, const struct show_name *object,
                   const struct type *target, uint64_t levels)
{
    const struct show_kind *kind = object && !target ? show_kind_of(object->type, object->size) : NULL;
    uint64_t size = object ? object->size : tarn_block_size(s->seg, ref);
    char text[256];
    if (!target && object && !kind)
        target = show_type(s, object->type, object->size, false);
    if (target)
        type_text(target, text, sizeof text);
    struct node *to = node_add(n, "to", target ? text : object ? object->type : NULL);
    if (!to)
        return;
    if (kind) {
        show_kind(s, to, kind, object->name, ref);
        return;
    }
    if (target && target->size > size)
        size = target->size;
    char *copy = show_copy(s, ref,
                           target                            ? size
                           : size && size < BYTES_OF_UNKNOWN ? size
                                                             : BYTES_OF_UNKNOWN,
                           &size);
    if (!copy)
        node_text(to, "not in the segment");
    else if (target)
        show_value(s, to, target, copy, size, ref, levels - 1);
    else
        show_hex(s, to, copy, size, ref);
    free(copy);
}

void show_add_ref(const struct show *s, struct node *n, tarn_ref ref)
{
    const struct show_name *object = show_object_at(s, ref);
    node_add_text(n, "%#" PRIx64, ref);
    if (object && object->ref != ref)
        node_add_text(n, " (%s + %" PRIu64 ")", object->name, ref - object->ref);
    else if (object)
        node_add_text(n, " (%s)", object->name);
}

void show_ref(struct show *s, struct node *n, tarn_ref ref, const struct type *target, uint64_t levels)
{
    const struct show_name *object = show_object_at(s, ref);
    if (!ref) {
        node_text(n, "null");
        node_json(n, "null");
        return;
    }
    show_add_ref(s, n, ref);
    node_add_number(n, "ref", ref);
    node_add_string(n, "object", object ? object->name : NULL);
    if (!tarn_ptr(s->seg, ref, 1))
        node_add_text(n, ", which is not in the segment");
    else if (levels && !show_first_time(s, ref))
        node_add_text(n, ", shown already");
    else if (levels)
        follow(s, n, ref, object && object->ref == ref ? object : NULL, target, levels);
}

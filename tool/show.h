/* show.h - what the parts of tarn show share: what is asked for, and what one look at the segment has found.
 *
 *     cmd_show.c      the command, its loop, and the child that does it
 *     show.c          a look: names, participants, who waits; refs as text; types by name
 *     show_value.c    bytes of a type as a tree (node.h)
 *     show_kind.c     tarn's own objects as a tree, by the library's calls
 *     program.c       which ELF file has the types; dwarf.c reads it (types.h)
 *
 * The segment is attached read-only. Whatever is in it may be hostile, and may change: values are copied once, and shown from the copy. */
#ifndef TARN_TOOL_SHOW_H
#define TARN_TOOL_SHOW_H

#include "node.h"
#include "types.h"

enum { COPY_MOST = 16 << 20 }; /* bytes of one object that are looked at */

struct show_name {
    char *name, *type;
    tarn_ref ref;
    uint64_t size;
    uint32_t version;
};

/* "--as next=struct job": fields of that name lead to that type */
struct show_hint {
    char *field, *type;
};

struct show {
    const struct command *c;
    const char *url;
    tarn *seg;
    /* asked for */
    const char *elf, *type, *entry, *key;
    struct show_hint *hints;
    size_t hints_count;
    uint64_t follow, limit; /* levels of refs; elements and entries */
    bool all;
    /* types, once they were needed */
    struct types *types;
    bool asked_types;
    struct found_type *found; /* by name */
    size_t found_count;
    int status; /* WRONG, once something could not be shown as was asked */
    /* one look */
    struct tarn_stat stat;
    struct show_name *names; /* by ref */
    struct tarn_participant *participants;
    struct tarn_waiting *waiting;
    tarn_ref *followed; /* a table of followed_room places, by ref */
    size_t names_count, participants_count, waiting_count, followed_count, followed_room;
};

/* ---- show.c ---- */

/* A look: false, after a complaint: *ret_status. Damaged names are complained of, and those before the damage are there. */
bool show_look(struct show *s, int *ret_status);
void show_forget(struct show *s); /* the look */
void show_close(struct show *s);  /* and the segment and its types */

const struct show_name *show_named(const struct show *s, const char *name);
/* The object in which a ref lies; NULL: of none that has a name. */
const struct show_name *show_object_at(const struct show *s, tarn_ref ref);
/* A private copy of at most `size` bytes, as many as are committed; NULL: none. To be freed. */
char *show_copy(const struct show *s, tarn_ref ref, uint64_t size, size_t *ret_size);

/* The type of this name and size (0: any); NULL: it is not known, and if told is true that was complained of. */
const struct type *show_type(struct show *s, const char *name, uint64_t size, bool told);

/* Behind the node's text "0x4085040 (counter + 16)". */
void show_add_ref(const struct show *s, struct node *n, tarn_ref ref);
/* The same as its text, with its parts as details; what it leads to, too, if `levels` are left. target: its type, or NULL. */
void show_ref(struct show *s, struct node *n, tarn_ref ref, const struct type *target, uint64_t levels);
/* false: this object was shown before, in this look. */
bool show_first_time(struct show *s, tarn_ref ref);
/* "0x10003 (process 2098)" */
const char *show_person(const struct show *s, uint32_t id, char *to, size_t room);

/* ---- show_value.c ---- */

/* The `size` bytes at `bytes`, which are those at ref (0: of nowhere). */
void show_value(struct show *s, struct node *n, const struct type *type, const char *bytes, size_t size,
                tarn_ref ref, uint64_t levels);
/* Bytes of which a type may be known: type, if it has their size; else as text, or hexadecimal. */
void show_bytes(struct show *s, struct node *n, const struct type *type, const void *bytes, size_t size,
                tarn_ref ref);
/* As hexdump does, in lines of 16. */
void show_hex(const struct show *s, struct node *n, const char *bytes, size_t size, tarn_ref ref);
/* The field of a struct that is a tarn_link: its offset; false: there is none of this name (NULL: none at all). */
bool show_find_link(const struct type *type, const char *member, uint64_t *ret_offset);

/* ---- show_kind.c ---- */

struct show_kind;
/* What of ours has this type's name and size; NULL: nothing. */
const struct show_kind *show_kind_of(const char *type, uint64_t size);
const char *show_kind_name(const struct show_kind *k); /* "mutex" */
bool show_kind_needs_name(const struct show_kind *k);  /* as a map does */
/* name: under which it is bound, or NULL. */
void show_kind(struct show *s, struct node *n, const struct show_kind *k, const char *name, tarn_ref ref);

/* ---- program.c ---- */

/* A descriptor of the ELF file that has the types: `elf` if that is given, else the program that made the segment. -1: *ret_status, after a complaint.
 * *ret_file: its name, to be freed. */
int program_open(const struct show *s, char **ret_file, int *ret_status);

#endif

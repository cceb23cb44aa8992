/* types.h - the C types of a program, as its debugging information (DWARF) has them, for tarn show. Private memory.
 *
 * dwarf.c reads them out of an ELF file, which may be anybody's: damaged bytes there make a type that is TYPE_UNKNOWN, and what libdw cannot stand ends the
 * child that reads (cmd_show.c). types_none.c stands in its place where tarn was built without libdw. A type is as deep as it looks: fields lie
 * within their struct, and none contains itself. What a pointer leads to is read when it is asked for. */
#ifndef TARN_TOOL_TYPES_H
#define TARN_TOOL_TYPES_H

#include "tool.h"

enum type_kind {
    TYPE_UNKNOWN, /* damaged, or of a language that is not C: its bytes can be shown */
    TYPE_VOID,
    TYPE_INTEGER,
    TYPE_CHAR, /* of a size of 1: as text */
    TYPE_TRUTH,
    TYPE_FLOAT,
    TYPE_ENUM,
    TYPE_POINTER,
    TYPE_FUNCTION,
    TYPE_STRUCT,
    TYPE_UNION,
    TYPE_ARRAY,
    TYPE_ALIAS /* a typedef; or const and the like, which has no name */
};

struct type {
    enum type_kind kind;
    const char *name; /* "int", "struct point", "point_t"; NULL: it has none */
    uint64_t size;    /* bytes; 0: not known */
    bool is_signed;
    bool is_declared;      /* a struct of which it is known only that there is one */
    const struct type *of; /* of an alias; of an array, its elements */
    uint64_t count;        /* of an array */
    bool is_open;          /* an array that goes on to the end of the object */
    struct field *fields;
    size_t fields_count;
    struct enumerator *enumerators;
    size_t enumerators_count;
};
struct field {
    const char *name; /* NULL: its fields are its parent's */
    const struct type *type;
    uint64_t offset;    /* bytes */
    unsigned bit, bits; /* of a bit field: its first bit, counted from the lowest of the struct's byte 0, modulo 8; and how many: offset is its first byte's */
};
struct enumerator {
    const char *name;
    uint64_t value; /* of a signed one, sign-extended */
};

struct types;

/* Are there any to be had, or was tarn built without? */
extern const bool types_built;
/* The types of a program, library or .debug file; NULL: *ret_status, after a complaint. `file` is what complaints call it. The descriptor is closed with it. */
struct types *types_open(const struct command *c, const char *file, int fd, int *ret_status);
void types_close(struct types *t); /* NULL is nothing */
const char *types_file(const struct types *t);

/* The type that C calls so: "struct point", "unsigned long", "point_t[4]", "char *". size: its bytes, of several of one name those; 0: any. NULL: there is none;
 * *ret_other: the size that it has there, or 0. Local to a function, it is found, too. *ret_several: there are others of that name and size, with other fields. */
const struct type *types_find(struct types *t, const char *name, uint64_t size, uint64_t *ret_other,
                              bool *ret_several);
/* What a pointer leads to; NULL: it is not known. */
const struct type *types_target(struct types *t, const struct type *pointer);

/* Behind all aliases. */
const struct type *type_bare(const struct type *type);
/* As C writes it, without what is const; "?" for what has no name. */
void type_text(const struct type *type, char *to, size_t room);

/* The build id of an ELF file: at most `room` bytes of it. How many; 0: it has none; -1: it is no ELF file of this machine's kind. */
int program_build_id(int fd, uint8_t *to, size_t room);
bool program_has_types(int fd); /* or was it stripped? */

#endif

/* types_none.c - in place of dwarf.c, where tarn was built without libdw: no types are known. See types.h. */
#include <stdio.h>
#include <unistd.h>

#include "types.h"

const bool types_built = false;

struct types *types_open(const struct command *c, const char *file, int fd, int *ret_status)
{
    complain(c->name, "%s: this tarn was built without libdw, and reads no debugging information: only bytes can be shown",
             file);
    *ret_status = WRONG;
    close(fd);
    return NULL;
}

void types_close(struct types *t)
{
    (void)t;
}

const char *types_file(const struct types *t)
{
    (void)t;
    return "";
}

const struct type *types_find(struct types *t, const char *name, uint64_t size, uint64_t *ret_other, bool *ret_several)
{
    (void)t;
    (void)name;
    (void)size;
    *ret_other = 0;
    *ret_several = false;
    return NULL;
}

const struct type *types_target(struct types *t, const struct type *pointer)
{
    (void)t;
    (void)pointer;
    return NULL;
}

const struct type *type_bare(const struct type *type)
{
    return type;
}

void type_text(const struct type *type, char *to, size_t room)
{
    snprintf(to, room, "%s", type->name ? type->name : "?");
}

int program_build_id(int fd, uint8_t *to, size_t room)
{
    (void)fd;
    (void)to;
    (void)room;
    return 0;
}

bool program_has_types(int fd)
{
    (void)fd;
    return true;
}

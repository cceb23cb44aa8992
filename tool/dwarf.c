/* dwarf.c - types out of an ELF file's debugging information, by libdw. See types.h.
 *
 * Units are searched in their order, functions too, for the name that is wanted; what a type is made of is followed from there, and kept by where it stands in
 * the file. Believed is nothing: sizes, offsets and counts are compared with each other, depth is bounded, a type within itself is TYPE_UNKNOWN. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "types.h"

enum { DEEPEST = 128, MOST_FIELDS = 65536, MOST_DIMENSIONS = 16 };

const bool types_built = true;

struct known {
    struct type type; /* first */
    const void *at;   /* where its entry stands */
    bool under_way;
    Dwarf_Die target; /* of a pointer */
    bool has_target;
    struct known *next; /* all, to free them */
};

struct types {
    const struct command *command;
    char *file;
    int fd;
    Elf *elf;
    Dwarf *dwarf;
    struct known **table; /* by `at`, a power of two of places */
    size_t count, room;
    struct known *all;
    unsigned depth;
};

static const struct type unknown = {.kind = TYPE_UNKNOWN}, nothing = {.kind = TYPE_VOID, .name = "void"};

static void no_memory(void)
{
    complain(NULL, "no memory for the types of a program");
    exit(REFUSED);
}

static void *need(void *memory)
{
    if (!memory)
        no_memory();
    return memory;
}

/* ---- what is known already ---- */

static size_t place_of(const struct types *t, const void *at)
{
    size_t k = ((uintptr_t)at * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (t->room - 1);
    while (t->table[k] && t->table[k]->at != at)
        k = (k + 1) & (t->room - 1);
    return k;
}

static void make_room(struct types *t)
{
    struct known **old = t->table;
    size_t was = t->room;
    if (t->count * 2 < t->room)
        return;
    t->room = was ? was * 2 : 256;
    t->table = need(calloc(t->room, sizeof *t->table));
    for (size_t k = 0; k < was; k++)
        if (old[k])
            t->table[place_of(t, old[k]->at)] = old[k];
    free(old);
}

static struct known *new_known(struct types *t, const void *at)
{
    struct known *k = need(calloc(1, sizeof *k));
    k->next = t->all;
    t->all = k;
    k->at = at;
    if (at) {
        make_room(t);
        t->table[place_of(t, at)] = k;
        t->count++;
    }
    return k;
}

/* ---- attributes ---- */

static bool number(Dwarf_Die *die, unsigned attribute, uint64_t *ret)
{
    Dwarf_Attribute a;
    Dwarf_Word n;
    if (!dwarf_attr_integrate(die, attribute, &a) || dwarf_formudata(&a, &n) != 0)
        return false;
    *ret = n;
    return true;
}

static bool flag(Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute a;
    bool set = false;
    return dwarf_attr(die, attribute, &a) && dwarf_formflag(&a, &set) == 0 && set;
}

static bool refers(Dwarf_Die *die, unsigned attribute, Dwarf_Die *ret)
{
    Dwarf_Attribute a;
    return dwarf_attr_integrate(die, attribute, &a) && dwarf_formref_die(&a, ret);
}

static uint64_t bytes_of(Dwarf_Die *die)
{
    uint64_t n = 0;
    return number(die, DW_AT_byte_size, &n) && n < UINT64_C(1) << 48 ? n : 0;
}

/* The next entry beside it, in their order: a file that leads back leads nowhere. */
static bool next_beside(Dwarf_Die *die)
{
    const void *was = die->addr;
    Dwarf_Die next;
    if (dwarf_siblingof(die, &next) != 0 || (const char *)next.addr <= (const char *)was)
        return false;
    *die = next;
    return true;
}

/* ---- one type ---- */

static const struct type *take(struct types *t, Dwarf_Die *die);

static const struct type *take_referred(struct types *t, Dwarf_Die *die)
{
    Dwarf_Die of;
    return refers(die, DW_AT_type, &of) ? take(t, &of) : &nothing;
}

static char *keep(const char *format, const char *name)
{
    char *text;
    if (asprintf(&text, format, name) < 0)
        no_memory();
    return text;
}

static void take_base(struct type *type, Dwarf_Die *die)
{
    uint64_t encoding = 0;
    number(die, DW_AT_encoding, &encoding);
    switch (encoding) {
    case DW_ATE_signed_char:
    case DW_ATE_unsigned_char:
        /* of C's three, only the plain one is for text */
        type->kind = type->name && strcmp(type->name, "char") == 0 && type->size == 1 ? TYPE_CHAR : TYPE_INTEGER;
        type->is_signed = encoding == DW_ATE_signed_char;
        break;
    case DW_ATE_signed: type->is_signed = true; /* fall through */
    case DW_ATE_unsigned:
    case DW_ATE_UTF: type->kind = TYPE_INTEGER; break;
    case DW_ATE_boolean: type->kind = TYPE_TRUTH; break;
    case DW_ATE_float: type->kind = TYPE_FLOAT; break;
    default: type->kind = TYPE_UNKNOWN;
    }
    if ((type->kind == TYPE_INTEGER || type->kind == TYPE_TRUTH) && type->size != 1 && type->size != 2 &&
        type->size != 4 && type->size != 8)
        type->kind = TYPE_UNKNOWN;
}

static void take_enum(struct type *type, Dwarf_Die *die)
{
    Dwarf_Die child;
    if (type->size != 1 && type->size != 2 && type->size != 4 && type->size != 8)
        return;
    type->kind = TYPE_ENUM;
    if (dwarf_child(die, &child) != 0)
        return;
    do {
        Dwarf_Attribute a;
        Dwarf_Word value; /* what is negative is of a signed form, and sign-extended */
        const char *name = dwarf_tag(&child) == DW_TAG_enumerator ? dwarf_diename(&child) : NULL;
        if (!name || !dwarf_attr(&child, DW_AT_const_value, &a) || dwarf_formudata(&a, &value) != 0)
            continue;
        struct enumerator *e = need(one_more(&type->enumerators, &type->enumerators_count, sizeof *e));
        *e = (struct enumerator){.name = name, .value = value};
        type->is_signed |=
            value >> 63 && (dwarf_whatform(&a) == DW_FORM_sdata || dwarf_whatform(&a) == DW_FORM_implicit_const);
    } while (next_beside(&child) && type->enumerators_count < MOST_FIELDS);
}

/* Where a field is: a number, or, as it was once, an expression that adds one. */
static bool location(Dwarf_Die *die, uint64_t *ret)
{
    Dwarf_Attribute a;
    Dwarf_Op *expression;
    size_t length;
    *ret = 0;
    if (!dwarf_attr_integrate(die, DW_AT_data_member_location, &a))
        return true;
    if (number(die, DW_AT_data_member_location, ret))
        return true;
    if (dwarf_getlocation(&a, &expression, &length) != 0 || length != 1 || expression->atom != DW_OP_plus_uconst)
        return false;
    *ret = expression->number;
    return true;
}

/* Its first bit, counted from the struct's lowest. */
static bool bit_location(Dwarf_Die *die, const struct field *f, uint64_t *ret)
{
    uint64_t storage, from_top;
    if (number(die, DW_AT_data_bit_offset, ret))
        return true;
    if (!number(die, DW_AT_bit_offset, &from_top)) { /* none: it is the first of its bytes */
        *ret = f->offset * 8;
        return true;
    }
    storage = bytes_of(die) ? bytes_of(die) : type_bare(f->type)->size; /* of the old kind */
    *ret = f->offset * 8 + storage * 8 - from_top - f->bits;
    return storage * 8 >= f->bits && from_top <= storage * 8 - f->bits;
}

static bool take_bits(Dwarf_Die *die, const struct type *parent, struct field *f)
{
    uint64_t bits, first;
    if (!number(die, DW_AT_bit_size, &bits))
        return true;
    if (!bits || bits > 64)
        return false;
    f->bits = (unsigned)bits;
    if (!bit_location(die, f, &first) || first > parent->size * 8 || bits > parent->size * 8 - first)
        return false;
    f->offset = first / 8;
    f->bit = first % 8;
    return true;
}

static bool lies_within(const struct type *parent, const struct field *f)
{
    return f->bits || (f->offset <= parent->size && f->type->size <= parent->size - f->offset);
}

static void take_field(struct types *t, struct type *parent, Dwarf_Die *die)
{
    struct field f = {.name = dwarf_tag(die) == DW_TAG_inheritance ? NULL : dwarf_diename(die)};
    if (flag(die, DW_AT_external) || flag(die, DW_AT_declaration)) /* of C++, static */
        return;
    f.type = take_referred(t, die);
    if (!location(die, &f.offset) || f.offset > parent->size || !take_bits(die, parent, &f) ||
        !lies_within(parent, &f))
        f = (struct field){.name = f.name ? f.name : "?", .type = &unknown};
    *(struct field *)need(one_more(&parent->fields, &parent->fields_count, sizeof f)) = f;
}

static void take_fields(struct types *t, struct type *type, Dwarf_Die *die)
{
    Dwarf_Die child;
    if (dwarf_child(die, &child) != 0)
        return;
    do
        if (dwarf_tag(&child) == DW_TAG_member || dwarf_tag(&child) == DW_TAG_inheritance)
            take_field(t, type, &child);
    while (type->fields_count < MOST_FIELDS && next_beside(&child));
}

static bool dimension(Dwarf_Die *die, uint64_t *ret_count)
{
    uint64_t upper, lower = 0;
    if (number(die, DW_AT_count, ret_count))
        return true;
    if (!number(die, DW_AT_upper_bound, &upper))
        return false;
    number(die, DW_AT_lower_bound, &lower);
    *ret_count = upper + 1 - lower; /* upper may be -1: none */
    return true;
}

static void make_array(struct type *array, const struct type *of, uint64_t count, bool is_open)
{
    *array = (struct type){.kind = TYPE_ARRAY, .name = array->name, .of = of, .count = count, .is_open = is_open};
    if (!of->size || count > (UINT64_C(1) << 48) / of->size)
        array->kind = count ? TYPE_UNKNOWN : TYPE_ARRAY;
    else
        array->size = count * of->size;
}

static void take_array(struct types *t, struct type *type, Dwarf_Die *die)
{
    uint64_t count[MOST_DIMENSIONS];
    bool open[MOST_DIMENSIONS];
    unsigned n = 0;
    Dwarf_Die child;
    const struct type *of = take_referred(t, die);
    if (dwarf_hasattr(die, DW_AT_byte_stride) || dwarf_hasattr(die, DW_AT_bit_stride) ||
        dwarf_child(die, &child) != 0)
        return;
    do {
        if (dwarf_tag(&child) != DW_TAG_subrange_type)
            continue;
        count[n] = 0;
        open[n] = !dimension(&child, &count[n]);
        n++;
    } while (n < MOST_DIMENSIONS && next_beside(&child));
    for (; n > 1; n--) {
        struct type *inner = &new_known(t, NULL)->type;
        make_array(inner, of, count[n - 1], open[n - 1]);
        of = inner;
    }
    if (n)
        make_array(type, of, count[0], open[0]);
}

static void fill(struct types *t, struct known *k, Dwarf_Die *die)
{
    struct type *type = &k->type;
    const char *name = dwarf_diename(die);
    type->size = bytes_of(die);
    type->name = name ? keep("%s", name) : NULL;
    switch (dwarf_tag(die)) {
    case DW_TAG_base_type: take_base(type, die); break;
    case DW_TAG_unspecified_type: type->kind = TYPE_VOID; break;
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        type->kind = TYPE_POINTER;
        type->size = sizeof(void *);
        k->has_target = refers(die, DW_AT_type, &k->target);
        break;
    case DW_TAG_subroutine_type: type->kind = TYPE_FUNCTION; break;
    case DW_TAG_typedef:
    case DW_TAG_const_type:
    case DW_TAG_volatile_type:
    case DW_TAG_restrict_type:
    case DW_TAG_atomic_type:
        type->kind = TYPE_ALIAS;
        type->of = take_referred(t, die);
        type->size = type->of->size;
        break;
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
        type->kind = dwarf_tag(die) == DW_TAG_union_type ? TYPE_UNION : TYPE_STRUCT;
        type->is_declared = flag(die, DW_AT_declaration);
        take_fields(t, type, die);
        break;
    case DW_TAG_enumeration_type: take_enum(type, die); break;
    case DW_TAG_array_type: take_array(t, type, die); break;
    default: type->kind = TYPE_UNKNOWN;
    }
    const char *word = type->kind == TYPE_STRUCT  ? "struct %s"
                       : type->kind == TYPE_UNION ? "union %s"
                       : type->kind == TYPE_ENUM  ? "enum %s"
                                                  : NULL;
    if (word && name) {
        free((char *)type->name);
        type->name = keep(word, name);
    }
}

/* It may only name the unit that has the type. */
static void follow_signature(Dwarf_Die *die)
{
    Dwarf_Die there;
    if (refers(die, DW_AT_signature, &there))
        *die = there;
}

static const struct type *take(struct types *t, Dwarf_Die *die)
{
    follow_signature(die);
    struct known *k = t->room ? t->table[place_of(t, die->addr)] : NULL;
    if (k)
        return k->under_way ? &unknown : &k->type;
    if (t->depth >= DEEPEST)
        return &unknown;
    k = new_known(t, die->addr);
    k->under_way = true;
    t->depth++;
    fill(t, k, die);
    t->depth--;
    k->under_way = false;
    return &k->type;
}

const struct type *type_bare(const struct type *type)
{
    while (type->kind == TYPE_ALIAS)
        type = type->of;
    return type;
}

/* ---- C's names ---- */

struct wanted {
    char name[256]; /* without struct, union, enum */
    char tag;       /* 's', 'u', 'e', or 0: whatever it is */
    uint64_t size;
    const struct type *found, *second; /* second: in C++ a struct's name needs no struct */
    uint64_t other;
    bool several;
};

/* C's integers have many names: "unsigned long", "long unsigned int". Those that mean the same make the same text; false: it is none. */
static bool plain_name(const char *name, char to[static 16])
{
    static const char *const word[] = {"unsigned", "signed", "long", "short", "int", "char", "double"};
    unsigned seen[7] = {0}, k = 7;
    for (size_t n; *name; name += n) {
        name += strspn(name, " ");
        n = strcspn(name, " ");
        for (k = 0; n && k < 7 && (strncmp(word[k], name, n) != 0 || word[k][n]); k++)
            ;
        if (k == 7)
            return false;
        seen[k] += n > 0;
    }
    bool character = seen[5];
    snprintf(to, 16, "%c%u%u%u%u%u", seen[0] ? 'u' : 's', seen[2] % 10, seen[3] % 10, character, seen[6] % 10,
             character && seen[1]);
    return k < 7;
}

static bool same_name(const struct wanted *w, Dwarf_Die *die)
{
    char a[16], b[16];
    const char *name = dwarf_diename(die);
    if (!name)
        return false;
    if (strcmp(w->name, name) == 0)
        return true;
    return !w->tag && dwarf_tag(die) == DW_TAG_base_type && plain_name(w->name, a) && plain_name(name, b) &&
           strcmp(a, b) == 0;
}

static char tag_of(Dwarf_Die *die)
{
    switch (dwarf_tag(die)) {
    case DW_TAG_structure_type:
    case DW_TAG_class_type: return 's';
    case DW_TAG_union_type: return 'u';
    case DW_TAG_enumeration_type: return 'e';
    case DW_TAG_typedef:
    case DW_TAG_base_type: return 't';
    default: return 0;
    }
}

/* A struct that ends with an array of no size may have any that is greater. */
static bool has_size(const struct type *type, uint64_t size)
{
    const struct type *bare = type_bare(type);
    const struct field *last = bare->fields_count ? &bare->fields[bare->fields_count - 1] : NULL;
    return type->size == size || (type->size < size && last && type_bare(last->type)->is_open);
}

/* The same struct of several units, as far as it is seen */
static bool same_shape(const struct type *a, const struct type *b)
{
    a = type_bare(a);
    b = type_bare(b);
    bool same = a == b || (a->kind == b->kind && a->size == b->size && a->fields_count == b->fields_count);
    for (size_t k = 0; same && a != b && k < a->fields_count; k++) {
        const struct field *f = &a->fields[k], *g = &b->fields[k];
        same = strcmp(f->name ? f->name : "", g->name ? g->name : "") == 0 && f->offset == g->offset &&
               f->bits == g->bits && type_bare(f->type)->kind == type_bare(g->type)->kind;
    }
    return same;
}

static void consider(struct types *t, struct wanted *w, Dwarf_Die *die)
{
    char tag = tag_of(die);
    if (!tag || (w->tag && w->tag != tag) || !same_name(w, die) || flag(die, DW_AT_declaration))
        return;
    const struct type *type = take(t, die);
    if (w->size && !has_size(type, w->size)) {
        w->other = type->size;
        return;
    }
    if (!w->tag && tag != 't') {
        w->second = w->second ? w->second : type;
        return;
    }
    if (!w->found)
        w->found = type;
    else if (!same_shape(w->found, type))
        w->several = true;
}

/* Types are beside functions, and in them. */
static void search(struct types *t, struct wanted *w, Dwarf_Die *parent, unsigned depth)
{
    Dwarf_Die die;
    if (depth > DEEPEST || dwarf_child(parent, &die) != 0)
        return;
    do {
        consider(t, w, &die);
        switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram:
        case DW_TAG_lexical_block:
        case DW_TAG_namespace:
        case DW_TAG_structure_type:
        case DW_TAG_class_type: search(t, w, &die, depth + 1); break;
        default: break;
        }
    } while (next_beside(&die));
}

static void search_units(struct types *t, struct wanted *w)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die die, split;
    uint8_t kind;
    while (dwarf_get_units(t->dwarf, unit, &unit, NULL, &kind, &die, &split) == 0)
        search(t, w, kind == DW_UT_skeleton && split.addr ? &split : &die, 0);
}

/* "struct point" is a tag and a name. */
static bool parse_name(struct wanted *w, const char *name, size_t length)
{
    static const char *const tag[] = {"struct", "class", "union", "enum"};
    char *to = w->name;
    for (unsigned k = 0; k < 4; k++) {
        size_t n = strlen(tag[k]);
        if (length > n && strncmp(name, tag[k], n) == 0 && name[n] == ' ') {
            w->tag = "ssue"[k];
            name += n;
            length -= n;
            break;
        }
    }
    for (size_t k = 0; k < length && to - w->name < 255; k++)
        if (name[k] != ' ' || (to > w->name && to[-1] != ' '))
            *to++ = name[k];
    while (to > w->name && to[-1] == ' ')
        to--;
    *to = 0;
    return to > w->name;
}

/* Of "int [3][4]" 3, and then 4. */
static const struct type *add_dimensions(struct types *t, const struct type *of, const char *text)
{
    char *end;
    if (!*text || !of)
        return of;
    if (*text == ' ')
        return add_dimensions(t, of, text + 1);
    if (*text == '*') {
        struct known *k = new_known(t, NULL);
        k->type = (struct type){.kind = TYPE_POINTER, .size = sizeof(void *)};
        return add_dimensions(t, &k->type, text + 1);
    }
    uint64_t count = strtoull(text + 1, &end, 0);
    if (*text != '[' || text[1] < '0' || text[1] > '9' || *end != ']')
        return NULL;
    if (!(of = add_dimensions(t, of, end + 1)))
        return NULL;
    struct known *k = new_known(t, NULL);
    make_array(&k->type, of, count, false);
    return &k->type;
}

const struct type *types_find(struct types *t, const char *name, uint64_t size, uint64_t *ret_other, bool *ret_several)
{
    size_t length = strcspn(name, "[*");
    struct wanted w = {.size = name[length] ? 0 : size};
    *ret_other = 0;
    *ret_several = false;
    if (!parse_name(&w, name, length))
        return NULL;
    if (strcmp(w.name, "void") == 0 && !w.tag)
        w.found = &nothing;
    else
        search_units(t, &w);
    const struct type *type = add_dimensions(t, w.found ? w.found : w.second, name + length);
    *ret_other = w.other;
    *ret_several = w.several;
    if (type && size && !has_size(type, size)) {
        *ret_other = type->size;
        return NULL;
    }
    return type;
}

const struct type *types_target(struct types *t, const struct type *pointer)
{
    struct known *k = (struct known *)pointer;
    uint64_t other;
    bool several;
    if (pointer->kind != TYPE_POINTER || !k->has_target)
        return NULL;
    const struct type *target = take(t, &k->target), *bare = type_bare(target);
    return bare->is_declared && bare->name ? types_find(t, bare->name, 0, &other, &several) : target;
}

/* "[3][4]"; the type of the elements at last. */
static const struct type *add_brackets(const struct type *type, char *to, size_t room)
{
    *to = 0;
    while (!type->name && (type->kind == TYPE_ALIAS || type->kind == TYPE_ARRAY)) {
        size_t n = strlen(to);
        if (type->kind == TYPE_ARRAY && type->is_open)
            snprintf(to + n, room - n, "[]");
        else if (type->kind == TYPE_ARRAY)
            snprintf(to + n, room - n, "[%llu]", (unsigned long long)type->count);
        type = type->of;
    }
    return type;
}

/* "struct point **": what it leads to is not taken for that. */
static void pointer_text(const struct type *pointer, char *to, size_t room)
{
    const struct known *k = (const struct known *)pointer;
    Dwarf_Die die = k->target;
    const char *name = NULL;
    unsigned stars = 1;
    bool more = k->has_target;
    for (unsigned steps = 0; more && steps < 16 && !(name = dwarf_diename(&die)); steps++) {
        stars += dwarf_tag(&die) == DW_TAG_pointer_type;
        more = refers(&die, DW_AT_type, &die);
    }
    char tag = name ? tag_of(&die) : 0;
    bool function = k->has_target && !name && dwarf_tag(&die) == DW_TAG_subroutine_type;
    snprintf(to, room, "%s%s %.*s",
             tag == 's'   ? "struct "
             : tag == 'u' ? "union "
             : tag == 'e' ? "enum "
                          : "",
             name       ? name
             : function ? "function"
                        : "void",
             (int)stars, "****************");
}

void type_text(const struct type *type, char *to, size_t room)
{
    char brackets[64], pointer[256];
    const char *name;
    type = add_brackets(type, brackets, sizeof brackets);
    switch (type->kind) {
    case TYPE_POINTER:
        pointer_text(type, pointer, sizeof pointer);
        name = pointer;
        break;
    case TYPE_STRUCT: name = "struct"; break;
    case TYPE_UNION: name = "union"; break;
    case TYPE_ENUM: name = "enum"; break;
    case TYPE_FUNCTION: name = "function"; break;
    default: name = "?";
    }
    snprintf(to, room, "%s%s", type->name ? type->name : name, brackets);
}

/* ---- files ---- */

static bool is_ours(Elf *elf)
{
    GElf_Ehdr h;
    return elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &h) && h.e_ident[EI_CLASS] == ELFCLASS64 &&
           h.e_ident[EI_DATA] == ELFDATA2LSB;
}

int program_build_id(int fd, uint8_t *to, size_t room)
{
    const void *bits = NULL;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    ssize_t n = is_ours(elf) ? dwelf_elf_gnu_build_id(elf, &bits) : -2;
    if (n > (ssize_t)room)
        n = (ssize_t)room;
    if (n > 0)
        memcpy(to, bits, (size_t)n);
    elf_end(elf);
    return n == -2 ? -1 : n < 0 ? 0 : (int)n;
}

bool program_has_types(int fd)
{
    size_t strings;
    bool has = false;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    if (is_ours(elf) && elf_getshdrstrndx(elf, &strings) == 0)
        for (Elf_Scn *section = NULL; !has && (section = elf_nextscn(elf, section));) {
            GElf_Shdr h;
            const char *name = gelf_getshdr(section, &h) ? elf_strptr(elf, strings, h.sh_name) : NULL;
            has = name && (strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0) &&
                  h.sh_type != SHT_NOBITS;
        }
    elf_end(elf);
    return has;
}

static struct types *refused(struct types *t, int *ret_status, const char *why)
{
    complain(t->command->name, "%s: %s", t->file, why);
    *ret_status = WRONG;
    types_close(t);
    return NULL;
}

struct types *types_open(const struct command *c, const char *file, int fd, int *ret_status)
{
    struct types *t = need(calloc(1, sizeof *t));
    GElf_Ehdr h;
    elf_version(EV_CURRENT);
    t->command = c;
    t->file = keep("%s", file);
    t->fd = fd;
    t->elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    if (!t->elf || elf_kind(t->elf) != ELF_K_ELF)
        return refused(t, ret_status,
                       "it is no ELF file: say --elf with a program, a shared library or a .debug file");
    if (!is_ours(t->elf))
        return refused(
            t, ret_status, "it is of another kind of machine, or its header is damaged: types are needed from a program as segments are made by, of 64 bits, low byte first");
    if (!gelf_getehdr(t->elf, &h) || h.e_type == ET_REL)
        return refused(t, ret_status, "it is not linked yet: say --elf with the program that it is in");
    t->dwarf = dwarf_begin_elf(t->elf, DWARF_C_READ, NULL);
    if (!t->dwarf && dwarf_errno() != 0)
        return refused(
            t, ret_status, "no debugging information can be read from it: it was compiled without -g, stripped, or is damaged");
    return t;
}

const char *types_file(const struct types *t)
{
    return t->file;
}

void types_close(struct types *t)
{
    if (!t)
        return;
    for (struct known *k = t->all, *next; k; k = next) {
        next = k->next;
        free((char *)k->type.name);
        free(k->type.fields);
        free(k->type.enumerators);
        free(k);
    }
    free(t->table);
    dwarf_end(t->dwarf);
    elf_end(t->elf);
    close(t->fd);
    free(t->file);
    free(t);
}

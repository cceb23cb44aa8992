/* show_value.c - the bytes of a type as a tree, see show.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "show.h"

enum { TEXT_MOST = 200, HEX_MOST = 64 };

static size_t most(const struct show *s, size_t otherwise)
{
    return s->all ? COPY_MOST : otherwise;
}

/* ---- numbers ---- */

static uint64_t load(const char *bytes, uint64_t size, bool is_signed)
{
    uint64_t n = 0;
    memcpy(&n, bytes, size);
    if (is_signed && size < 8 && n >> (size * 8 - 1) & 1)
        n |= UINT64_MAX << size * 8;
    return n;
}

static uint64_t load_bits(const char *bytes, size_t size, const struct field *f, bool is_signed)
{
    uint64_t n = 0;
    for (unsigned k = 0; k < f->bits; k++) {
        unsigned at = f->bit + k;
        if (at / 8 < size)
            n |= (uint64_t)((unsigned char)bytes[at / 8] >> at % 8 & 1) << k;
    }
    if (is_signed && f->bits < 64 && n >> (f->bits - 1) & 1)
        n |= UINT64_MAX << f->bits;
    return n;
}

/* The names whose bits it is made of; false: others are set, too. */
static bool name_bits(const struct type *type, uint64_t value, char *to, size_t room)
{
    size_t at = 0;
    for (size_t k = 0; k < type->enumerators_count && value && at < room; k++) {
        const struct enumerator *e = &type->enumerators[k];
        if (!e->value || (e->value & (e->value - 1)) || !(value & e->value))
            continue;
        at += (size_t)snprintf(to + at, room - at, "%s%s", at ? " | " : "", e->name);
        value &= ~e->value;
    }
    return at && at < room && !value;
}

static void show_enum(struct node *n, const struct type *type, uint64_t value)
{
    char text[512];
    for (size_t k = 0; k < type->enumerators_count; k++)
        if (type->enumerators[k].value == value) {
            node_text(n, "%s", type->enumerators[k].name);
            return;
        }
    if (name_bits(type, value, text, sizeof text)) {
        node_text(n, "%s", text);
        return;
    }
    node_text(n, type->is_signed ? "%" PRId64 : "%" PRIu64, value);
    node_json(n, "%s", n->text);
    node_add_text(n, ", which has no name");
}

/* 'a'; in JSON "a" */
static void show_character(struct node *n, const char *byte)
{
    node_quoted(n, byte, 1, 1);
    n->text[0] = n->text[strlen(n->text) - 1] = '\'';
}

static void show_number(struct node *n, const struct type *type, uint64_t value)
{
    char byte = (char)value;
    switch (type->kind) {
    case TYPE_ENUM: show_enum(n, type, value); break;
    case TYPE_CHAR: show_character(n, &byte); break;
    case TYPE_TRUTH:
        if (value > 1) { /* somebody else's bytes */
            node_number(n, value);
            break;
        }
        node_text(n, value ? "true" : "false");
        node_json(n, value ? "true" : "false");
        break;
    default: node_text(n, type->is_signed ? "%" PRId64 : "%" PRIu64, value); node_json(n, "%s", n->text);
    }
}

/* The shortest text that reads back as the same. */
static void show_float(struct node *n, const char *bytes, uint64_t size)
{
    char text[64];
    double number;
    float small;
    long double large;
    bool finite;
    if (size == sizeof number) {
        memcpy(&number, bytes, sizeof number);
        finite = isfinite(number);
        for (int digits = 6; digits <= 17; digits++)
            if (snprintf(text, sizeof text, "%.*g", digits, number) > 0 && strtod(text, NULL) == number)
                break;
    } else if (size == sizeof small) {
        memcpy(&small, bytes, sizeof small);
        finite = isfinite(small);
        for (int digits = 6; digits <= 9; digits++)
            if (snprintf(text, sizeof text, "%.*g", digits, (double)small) > 0 && strtof(text, NULL) == small)
                break;
    } else if (size == sizeof large) {
        memcpy(&large, bytes, sizeof large);
        finite = isfinite(large);
        snprintf(text, sizeof text, "%.18Lg", large);
    } else {
        node_hex(n, bytes, size, HEX_MOST);
        return;
    }
    node_text(n, "%s", text);
    if (finite)
        node_json(n, "%s", text);
}

/* ---- texts and arrays ---- */

/* Up to its NUL; what lies behind that is told, and shown with --all. */
static void show_text(const struct show *s, struct node *n, const char *bytes, size_t size)
{
    size_t length = strnlen(bytes, size), end = size;
    while (end > length && !bytes[end - 1])
        end--;
    node_quoted(n, bytes, s->all ? end : length, most(s, TEXT_MOST));
    if (!s->all && end > length)
        node_add_text(n, " and %zu bytes behind its end", end - length - 1);
}

static void show_array(struct show *s, struct node *n, const struct type *type, const char *bytes,
                       size_t size, tarn_ref ref, uint64_t levels)
{
    const struct type *of = type->of, *bare = type_bare(of);
    uint64_t count = type->is_open && of->size ? size / of->size : type->count, shown;
    char name[32];
    if (of->size && count > size / of->size)
        count = size / of->size; /* beyond it, nothing was copied */
    if (bare->kind == TYPE_CHAR) {
        show_text(s, n, bytes, count);
        return;
    }
    if (bare->kind == TYPE_INTEGER && of->size == 1) {
        node_hex(n, bytes, count, most(s, HEX_MOST));
        return;
    }
    n->is_list = n->has_fields = true;
    shown = s->all || count < s->limit ? count : s->limit;
    for (uint64_t k = 0; k < shown; k++) {
        snprintf(name, sizeof name, "[%" PRIu64 "]", k);
        struct node *element = node_add(n, name, NULL);
        if (!element) {
            n->more += count - k - 1;
            return;
        }
        show_value(s, element, of, bytes + k * of->size, of->size, ref ? ref + k * of->size : 0, levels);
    }
    n->more += count - shown + (type->is_open ? 0 : type->count - count);
}

void show_hex(const struct show *s, struct node *n, const char *bytes, size_t size, tarn_ref ref)
{
    char line[96], name[32];
    size_t shown = size < most(s, 4096) ? size : most(s, 4096);
    n->is_list = n->has_fields = true;
    for (size_t at = 0; at < shown; at += 16) {
        char *to = line;
        size_t end = shown - at < 16 ? shown - at : 16;
        for (size_t k = 0; k < 16; k++)
            to += k < end ? sprintf(to, "%02x ", (unsigned char)bytes[at + k]) : sprintf(to, "   ");
        to += sprintf(to, " ");
        for (size_t k = 0; k < end; k++)
            *to++ = bytes[at + k] >= ' ' && bytes[at + k] < 0x7f ? bytes[at + k] : '.';
        *to = 0;
        snprintf(name, sizeof name, "[%#" PRIx64 "]", ref + at);
        struct node *l = node_add(n, name, NULL);
        if (l)
            node_text(l, "%s", line);
    }
    n->more += (size - shown + 15) / 16;
    node_whole_hex(n, bytes, shown);
}

/* ---- structs ---- */

static bool is_alias(const struct type *type, const char *name)
{
    for (; type->kind == TYPE_ALIAS; type = type->of)
        if (type->name && strcmp(type->name, name) == 0)
            return true;
    return type->name && strncmp(type->name, "struct ", 7) == 0 && strcmp(type->name + 7, name) == 0;
}

bool show_find_link(const struct type *type, const char *member, uint64_t *ret_offset)
{
    type = type_bare(type);
    for (size_t k = 0; k < type->fields_count; k++) {
        const struct field *f = &type->fields[k];
        if (f->bits || !is_alias(f->type, "tarn_link") || (member && (!f->name || strcmp(f->name, member) != 0)))
            continue;
        *ret_offset = f->offset;
        return true;
    }
    return false;
}

static void show_fields(struct show *s, struct node *n, const struct type *type, const char *bytes,
                        size_t size, tarn_ref ref, uint64_t levels);

/* --as, of fields of this name */
static const struct type *hinted(struct show *s, const char *field)
{
    for (size_t k = 0; field && k < s->hints_count; k++)
        if (strcmp(s->hints[k].field, field) == 0)
            return show_type(s, s->hints[k].type, 0, true);
    return NULL;
}

/* A typedef of tarn_ref named job_ref leads to a struct job, or a job. */
static const struct type *named_after(struct show *s, const char *name)
{
    char text[300];
    size_t n = name ? strlen(name) : 0;
    if (n < 5 || n > 250 || strcmp(name + n - 4, "_ref") != 0 || strcmp(name, "tarn_ref") == 0)
        return NULL;
    snprintf(text, sizeof text, "struct %.*s", (int)n - 4, name);
    const struct type *type = show_type(s, text, 0, false);
    return type ? type : show_type(s, text + 7, 0, false);
}

static const struct type *target_of(struct show *s, const struct type *type, const char *field)
{
    const struct type *target = hinted(s, field);
    for (; !target && type->kind == TYPE_ALIAS; type = type->of)
        target = named_after(s, type->name);
    return target;
}

/* struct job_ref, of a tarn_ref and nothing else */
static bool is_ref_struct(const struct type *type)
{
    return type->kind == TYPE_STRUCT && type->fields_count == 1 && type->size == sizeof(tarn_ref) &&
           type->name && strncmp(type->name, "struct ", 7) == 0 && is_alias(type->fields[0].type, "tarn_ref");
}

static bool show_as_ref(struct show *s, struct node *n, const struct type *type, const char *field,
                        const char *bytes, uint64_t levels)
{
    const struct type *bare = type_bare(type), *target;
    bool whole = is_ref_struct(bare);
    if (bare->size != sizeof(tarn_ref) || (!whole && !is_alias(type, "tarn_ref")))
        return false;
    target = levels ? target_of(s, type, field) : NULL;
    if (levels && !target && whole)
        target = named_after(s, bare->name + 7);
    show_ref(s, n, load(bytes, sizeof(tarn_ref), false), target, levels);
    return true;
}

/* By one of its names it is ours: then the library tells what it is. */
static bool show_as_kind(struct show *s, struct node *n, const struct type *type, tarn_ref ref)
{
    const struct show_kind *kind = NULL;
    uint64_t size = type->size;
    for (; type->kind == TYPE_ALIAS && !kind; type = type->of)
        kind = type->name ? show_kind_of(type->name, size) : NULL;
    if (!kind && type->name && strncmp(type->name, "struct ", 7) == 0)
        kind = show_kind_of(type->name + 7, size);
    if (!kind || show_kind_needs_name(kind) || !ref)
        return false;
    show_kind(s, n, kind, NULL, ref);
    return true;
}

static void show_pointer(struct show *s, struct node *n, const struct type *type, uint64_t address, uint64_t levels)
{
    uint64_t at = s->stat.address;
    bool inside = at && address >= at && address - at < s->stat.limit;
    const struct type *target = inside && levels && s->types ? types_target(s->types, type) : NULL;
    if (!address) {
        node_text(n, "NULL");
        node_json(n, "null");
    } else if (inside)
        show_ref(s, n, address - at, target && target->size ? target : NULL, levels);
    else
        node_text(n, "%#" PRIx64, address);
}

static void show_field(struct show *s, struct node *parent, const struct field *f, const char *bytes,
                       size_t size, tarn_ref ref, uint64_t levels)
{
    const struct type *bare = type_bare(f->type);
    char type[256];
    size_t left = f->offset <= size ? size - f->offset : 0;
    if (!f->name && (bare->kind == TYPE_STRUCT || bare->kind == TYPE_UNION)) {
        show_fields(s, parent, bare, bytes + (size - left), left, ref ? ref + f->offset : 0, levels);
        return;
    }
    type_text(f->type, type, sizeof type);
    if (f->bits)
        snprintf(type + strlen(type), sizeof type - strlen(type), ":%u", f->bits);
    struct node *n = node_add(parent, f->name ? f->name : "?", type);
    if (!n)
        return;
    if (f->bits && (f->bit + f->bits + 7) / 8 <= left)
        show_number(n, bare, load_bits(bytes + f->offset, left, f, bare->is_signed));
    else if (f->bits || f->type->size > left)
        node_text(n, "beyond the end of what is there");
    else if (f->type->size != sizeof(tarn_ref) || !show_as_ref(s, n, f->type, f->name, bytes + f->offset, levels))
        show_value(s, n, f->type, bytes + f->offset,
                   bare->kind == TYPE_ARRAY && bare->is_open ? left : f->type->size,
                   ref ? ref + f->offset : 0, levels);
}

static void show_fields(struct show *s, struct node *n, const struct type *type, const char *bytes,
                        size_t size, tarn_ref ref, uint64_t levels)
{
    n->has_fields = true;
    for (size_t k = 0; k < type->fields_count; k++)
        show_field(s, n, &type->fields[k], bytes, size, ref, levels);
}

void show_value(struct show *s, struct node *n, const struct type *type, const char *bytes, size_t size,
                tarn_ref ref, uint64_t levels)
{
    const struct type *bare = type_bare(type);
    if (bare->size > size) {
        node_text(n, "beyond the end of what is there");
        return;
    }
    if (show_as_ref(s, n, type, NULL, bytes, levels) || show_as_kind(s, n, type, ref))
        return;
    switch (bare->kind) {
    case TYPE_INTEGER:
    case TYPE_CHAR:
    case TYPE_TRUTH:
    case TYPE_ENUM: show_number(n, bare, load(bytes, bare->size, bare->is_signed)); break;
    case TYPE_FLOAT: show_float(n, bytes, bare->size); break;
    case TYPE_POINTER: show_pointer(s, n, bare, load(bytes, sizeof(void *), false), levels); break;
    case TYPE_STRUCT:
    case TYPE_UNION:
        if (bare->is_declared)
            node_text(n, "of a type that is only declared");
        else
            show_fields(s, n, bare, bytes, size, ref, levels);
        break;
    case TYPE_ARRAY: show_array(s, n, bare, bytes, bare->is_open ? size : bare->size, ref, levels); break;
    default:
        if (bare->size)
            node_hex(n, bytes, bare->size, most(s, HEX_MOST));
        else
            node_text(n, "of a type that cannot be read");
    }
}

/* ---- bytes ---- */

/* Three quarters of it can be seen. */
static bool is_readable(const char *bytes, size_t size)
{
    size_t seen = 0;
    for (size_t k = 0; k < size; k++)
        seen += (unsigned char)bytes[k] >= ' ' && bytes[k] != 0x7f;
    return seen * 4 >= size * 3 && (json_is_text(bytes, size) || seen == size);
}

void show_bytes(struct show *s, struct node *n, const struct type *type, const void *bytes, size_t size, tarn_ref ref)
{
    if (type && type->size == size)
        show_value(s, n, type, bytes, size, ref, s->follow);
    else if (is_readable(bytes, size) || !size)
        node_quoted(n, bytes, size, most(s, TEXT_MOST));
    else
        node_hex(n, bytes, size, most(s, HEX_MOST));
}

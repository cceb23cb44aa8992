/* node.h - what tarn show has found, as a tree of named values: printed as C writes it, as JSON, or a value a line; compared with the look before.
 *
 * Private memory. Names, types and texts are made of other people's bytes, and become harmless when they come into the tree. A tree has at most NODES_MOST
 * values, whatever was looked at. No memory: the command ends. */
#ifndef TARN_TOOL_NODE_H
#define TARN_TOOL_NODE_H

#include "tool.h"

enum { NODES_MOST = 1000000 };

struct node {
    char *name;      /* "hits"; of an element "[3]"; NULL: of the whole */
    char *type;      /* "int", "point_t[3]"; NULL: it goes without saying */
    char *text;      /* the value for people; NULL: it is its children */
    char *json;      /* the value in JSON, if it is no string */
    char *string;    /* the value in JSON, if it is a string, and another than text */
    bool is_list;    /* its children are elements */
    bool in_detail;  /* stands in JSON and --raw alone: its parent's text says the same */
    bool has_fields; /* it has children, also if there is none */
    uint64_t more;   /* further children that are not shown */
    struct node **child;
    size_t count;
    struct node *was; /* node_compare: the one before, if it is another */
    bool is_new;
};

struct node *node_new(const char *name, const char *type);
void node_free(struct node *n); /* NULL is nothing */
/* A child more; NULL: there are NODES_MOST, and `more` of the parent tells. */
struct node *node_add(struct node *parent, const char *name, const char *type);
void node_text(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
void node_add_text(struct node *n, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* behind what it has */
void node_json(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A number, its text the same; a child in_detail that is one, or a text (NULL: null). */
void node_number(struct node *n, uint64_t number);
void node_add_number(struct node *parent, const char *name, uint64_t number);
void node_add_string(struct node *parent, const char *name, const char *text);
/* `size` bytes as text in quotation marks, odd ones as \x..; or as hexadecimal digits. Of more than `most` the first ones, and how many there are. */
void node_quoted(struct node *n, const void *bytes, size_t size, size_t most);
void node_hex(struct node *n, const void *bytes, size_t size, size_t most);
/* Of one with children: in JSON it is one text of digits. */
void node_whole_hex(struct node *n, const void *bytes, size_t size);

/* Notes in `now` what is other than in `before`. */
void node_compare(struct node *now, const struct node *before);

enum node_form { NODE_C, NODE_RAW, NODE_JSON };
/* marks: a column for what has changed. NODE_JSON: the value alone, for who prints the object around it. */
void node_print(const struct node *n, enum node_form form, bool marks, bool colour);
/* Paths of what has changed, as a JSON list. */
void node_print_changes(const struct node *n);

#endif

/* module.h - programs and libraries as a tracer finds them in another process: which public calls of tarn they have, and what an address in them is called.
 *
 * A module is read once for all runs (private memory, until the end). Names are interned: equal names are equal pointers. */
#ifndef TARN_TOOL_MODULE_H
#define TARN_TOOL_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct symbol {
    uint64_t value, size; /* relative to the module's first byte */
    const char *name;
};

struct module {
    const char *path, *name; /* name: the last part of path */
    uint64_t device, inode;
    bool readable;        /* it is an ELF file of this machine's kind */
    bool shared;          /* a library: a call from within it is its own */
    bool has_symbols;     /* of its own functions, not only of those that it exports */
    struct symbol *calls; /* the public functions of tarn that it has, by value */
    size_t calls_count;
    uint64_t loader_break; /* of the dynamic linker: where it tells debuggers that what is loaded has changed; 0 */
    struct symbol *functions; /* all, by value; read when the first is asked for */
    size_t functions_count;
    bool functions_read;
};

/* A line of /proc/PID/maps. */
struct mapped {
    uint64_t start, end, offset, device, inode;
    bool write, execute, shared, deleted;
    char path[4096]; /* without " (deleted)"; "": none */
};
bool mapped_next(FILE *maps, struct mapped *ret);

/* What is mapped there, read through /proc/PID/root, so that it is the process's own file. NULL: no memory. */
struct module *module_of(pid_t pid, const struct mapped *first);

const char *intern(const char *text); /* NULL: no memory */

/* Where an address is, by the maps of its process as text. */
struct place_in_module {
    const struct module *module; /* NULL: in none */
    uint64_t offset;             /* from its first byte */
};
struct place_in_module module_place(pid_t pid, FILE *maps, uint64_t address);

/* "transfer+0x12 (bank)", or "bank+0x1234"; with libdw and the line behind it, ", bank.c:31", if there is one. maps: text of /proc/PID/maps, for libdw. */
void module_describe(struct place_in_module p, uint64_t address, FILE *maps, char *to, size_t room);

#endif

/* module.c - see module.h. */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "frames.h"
#include "module.h"
#include "tool.h"

/* ---- names ---- */

static const char **interned;
static size_t interned_count;

const char *intern(const char *text)
{
    for (size_t k = 0; k < interned_count; k++)
        if (strcmp(interned[k], text) == 0)
            return interned[k];
    char *copy = strdup(text);
    const char **at = copy ? one_more(&interned, &interned_count, sizeof *at) : NULL;
    if (!at) {
        free(copy);
        return NULL;
    }
    return *at = copy;
}

/* ---- maps ---- */

bool mapped_next(FILE *maps, struct mapped *ret)
{
    static const char gone[] = " (deleted)";
    char line[4300], rights[8];
    unsigned major, minor;
    int path = 0;
    if (!fgets(line, sizeof line, maps))
        return false;
    *ret = (struct mapped){0};
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %n", &ret->start, &ret->end,
               rights, &ret->offset, &major, &minor, &ret->inode, &path) < 7)
        return false;
    ret->device = makedev(major, minor);
    ret->write = rights[1] == 'w';
    ret->execute = rights[2] == 'x';
    ret->shared = rights[3] == 's';
    size_t length = strcspn(line + path, "\n"), tail = sizeof gone - 1;
    ret->deleted = length > tail && memcmp(line + path + length - tail, gone, tail) == 0;
    snprintf(ret->path, sizeof ret->path, "%.*s", (int)(ret->deleted ? length - tail : length), line + path);
    return true;
}

/* ---- ELF ---- */

struct image {
    const uint8_t *bytes;
    size_t size;
};

static const void *part(const struct image *i, uint64_t offset, uint64_t size)
{
    return offset <= i->size && size <= i->size - offset ? i->bytes + offset : NULL;
}

static const Elf64_Ehdr *header(const struct image *i)
{
    const Elf64_Ehdr *h = part(i, 0, sizeof *h);
    bool ours = h && memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_ident[EI_CLASS] == ELFCLASS64 &&
                h->e_phentsize == sizeof(Elf64_Phdr) &&
                (h->e_shnum == 0 || h->e_shentsize == sizeof(Elf64_Shdr));
#ifdef __x86_64__
    ours = ours && h->e_machine == EM_X86_64;
#endif
    return ours && part(i, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)) &&
                   part(i, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr))
               ? h
               : NULL;
}

/* The page of its lowest address: where its first byte is mapped. */
static uint64_t lowest(const struct image *i)
{
    const Elf64_Ehdr *h = header(i);
    const Elf64_Phdr *p = part(i, h->e_phoff, (uint64_t)h->e_phnum * sizeof *p);
    uint64_t least = UINT64_MAX;
    for (unsigned k = 0; k < h->e_phnum; k++)
        if (p[k].p_type == PT_LOAD && p[k].p_vaddr < least)
            least = p[k].p_vaddr;
    return least == UINT64_MAX ? 0 : least & ~(uint64_t)4095;
}

/* Each function of the symbol tables of one type, under its name without version. */
static void each_function(const struct image *i, uint32_t type,
                          void (*each)(struct module *m, const char *name, const Elf64_Sym *s, uint64_t value),
                          struct module *m)
{
    const Elf64_Ehdr *h = header(i);
    const Elf64_Shdr *sections = part(i, h->e_shoff, (uint64_t)h->e_shnum * sizeof *sections);
    uint64_t base = lowest(i);
    for (unsigned k = 0; k < h->e_shnum; k++) {
        const Elf64_Shdr *table = &sections[k];
        if (table->sh_type != type || table->sh_link >= h->e_shnum || table->sh_entsize != sizeof(Elf64_Sym))
            continue;
        const Elf64_Sym *s = part(i, table->sh_offset, table->sh_size);
        const Elf64_Shdr *strings = &sections[table->sh_link];
        const char *text = part(i, strings->sh_offset, strings->sh_size);
        for (uint64_t n = 0; s && text && n < table->sh_size / sizeof *s; n++) {
            char name[128];
            if (ELF64_ST_TYPE(s[n].st_info) != STT_FUNC || s[n].st_shndx == SHN_UNDEF ||
                s[n].st_name >= strings->sh_size)
                continue;
            snprintf(name, sizeof name, "%.*s",
                     (int)strnlen(text + s[n].st_name, strings->sh_size - s[n].st_name), text + s[n].st_name);
            name[strcspn(name, "@")] = 0;
            each(m, name, &s[n], s[n].st_value - base);
        }
    }
}

/* Public is what this command's own libtarn exports under that name. */
static void add_call(struct module *m, const char *name, const Elf64_Sym *s, uint64_t value)
{
    if (strcmp(name, "_dl_debug_state") == 0)
        m->loader_break = value;
    if (strncmp(name, "tarn_", 5) != 0 || ELF64_ST_BIND(s->st_info) == STB_LOCAL || !dlsym(RTLD_DEFAULT, name))
        return;
    for (size_t k = 0; k < m->calls_count; k++)
        if (m->calls[k].value == value)
            return;
    struct symbol *at = one_more(&m->calls, &m->calls_count, sizeof *at);
    if (at)
        *at = (struct symbol){value, s->st_size, intern(name)};
}

static void add_function(struct module *m, const char *name, const Elf64_Sym *s, uint64_t value)
{
    struct symbol *at = one_more(&m->functions, &m->functions_count, sizeof *at);
    if (at)
        *at = (struct symbol){value, s->st_size, strdup(name)};
}

static int by_value(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

static bool map_file(const char *path, struct image *ret)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0)
        at = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED)
        return false;
    *ret = (struct image){at, (size_t)s.st_size};
    if (header(ret))
        return true;
    munmap(at, (size_t)s.st_size);
    return false;
}

static void read_calls(struct module *m, const char *path)
{
    struct image i;
    if (!(m->readable = map_file(path, &i)))
        return;
    const Elf64_Ehdr *h = header(&i);
    const Elf64_Shdr *sections = part(&i, h->e_shoff, (uint64_t)h->e_shnum * sizeof *sections);
    for (unsigned k = 0; k < h->e_shnum; k++)
        m->has_symbols |= sections[k].sh_type == SHT_SYMTAB;
    each_function(&i, SHT_DYNSYM, add_call, m);
    const Elf64_Phdr *p = part(&i, h->e_phoff, (uint64_t)h->e_phnum * sizeof *p);
    m->shared = m->calls_count > 0;
    for (unsigned k = 0; k < h->e_phnum; k++)
        m->shared &= p[k].p_type != PT_INTERP; /* a program */
    if (!m->shared)
        each_function(&i, SHT_SYMTAB, add_call, m);
    if (m->calls_count)
        qsort(m->calls, m->calls_count, sizeof *m->calls, by_value);
    munmap((void *)(uintptr_t)i.bytes, i.size);
}

static void read_functions(struct module *m)
{
    struct image i;
    m->functions_read = true;
    if (!m->readable || !map_file(m->path, &i))
        return;
    each_function(&i, m->has_symbols ? SHT_SYMTAB : SHT_DYNSYM, add_function, m);
    if (m->functions_count)
        qsort(m->functions, m->functions_count, sizeof *m->functions, by_value);
    munmap((void *)(uintptr_t)i.bytes, i.size);
}

static struct module **modules;
static size_t modules_count;

struct module *module_of(pid_t pid, const struct mapped *first)
{
    char path[4200];
    const char *slash = strrchr(first->path, '/');
    for (size_t k = 0; k < modules_count; k++)
        if (modules[k]->inode == first->inode && modules[k]->device == first->device &&
            strcmp(modules[k]->path, first->path) == 0)
            return modules[k];
    struct module **at = one_more(&modules, &modules_count, sizeof *at);
    struct module *m = at ? calloc(1, sizeof *m) : NULL;
    if (!m) {
        modules_count -= at != NULL;
        return NULL;
    }
    m->path = strdup(first->path);
    m->name = intern(slash ? slash + 1 : first->path);
    m->device = first->device;
    m->inode = first->inode;
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, first->path);
    if (m->path && m->name)
        read_calls(m, path);
    return *at = m;
}

/* ---- what an address is ---- */

struct place_in_module module_place(pid_t pid, FILE *maps, uint64_t address)
{
    static struct mapped line, first;
    rewind(maps);
    first.path[0] = 0;
    while (mapped_next(maps, &line)) {
        if (line.path[0] == '/' && strcmp(line.path, first.path) != 0)
            first = line;
        if (address < line.start || address >= line.end)
            continue;
        if (line.path[0] != '/')
            break;
        return (struct place_in_module){module_of(pid, &first), address - first.start};
    }
    return (struct place_in_module){0};
}

static const struct symbol *function_at(struct module *m, uint64_t offset)
{
    const struct symbol *found = NULL;
    if (!m->functions_read)
        read_functions(m);
    for (size_t k = 0; k < m->functions_count && m->functions[k].value <= offset; k++)
        if (offset < m->functions[k].value + m->functions[k].size || !m->functions[k].size)
            found = &m->functions[k];
    return found;
}

void module_describe(struct place_in_module p, uint64_t address, FILE *maps, char *to, size_t room)
{
    char line[512] = "";
    if (!p.module) {
        snprintf(to, room, "%#" PRIx64 ", in no file", address);
        return;
    }
    const struct symbol *s = function_at((struct module *)(uintptr_t)p.module, p.offset);
    source_line(address, maps, line, sizeof line);
    if (s && s->name)
        snprintf(to, room, "%s+%#" PRIx64 " (%s%s)", s->name, p.offset - s->value, p.module->name, line);
    else
        snprintf(to, room, "%s+%#" PRIx64 "%s", p.module->name, p.offset, line);
}

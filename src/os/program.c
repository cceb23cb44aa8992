/* os/program.c - which program this process runs: the build id that its linker gave it. See os.h.
 *
 * Read from the note in the program's own memory, so it needs no /proc, and no file that may have been replaced since. */
#include "os/os.h"

#include <link.h>
#include <string.h>

struct search {
    uint8_t *to;
    size_t room, size;
};

/* The notes of a segment that is mapped: {name size, size, type}, the name, what it says, each padded. */
static void search_notes(struct search *s, const char *at, size_t left, size_t alignment)
{
    while (left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        size_t name = (note.n_namesz + alignment - 1) / alignment * alignment;
        size_t text = (note.n_descsz + alignment - 1) / alignment * alignment;
        left -= sizeof note;
        if (name > left || note.n_descsz > left - name)
            return;
        const char *said = at + sizeof note + name;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(at + sizeof note, "GNU", 4)) {
            s->size = note.n_descsz < s->room ? note.n_descsz : s->room;
            memcpy(s->to, said, s->size);
            return;
        }
        if (text > left - name)
            return;
        left -= name + text;
        at = said + text;
    }
}

static bool is_loaded(const struct dl_phdr_info *i, const ElfW(Phdr) * note)
{
    for (int k = 0; k < i->dlpi_phnum; k++) {
        const ElfW(Phdr) *p = &i->dlpi_phdr[k];
        if (p->p_type == PT_LOAD && note->p_vaddr >= p->p_vaddr && note->p_memsz <= p->p_filesz &&
            note->p_vaddr - p->p_vaddr <= p->p_filesz - note->p_memsz)
            return true;
    }
    return false;
}

/* The first object is the program itself. */
static int search_program(struct dl_phdr_info *i, size_t size, void *arg)
{
    struct search *s = arg;
    (void)size;
    for (int k = 0; k < i->dlpi_phnum && !s->size; k++) {
        const ElfW(Phdr) *p = &i->dlpi_phdr[k];
        if (p->p_type == PT_NOTE && is_loaded(i, p))
            search_notes(s, (const char *)i->dlpi_addr + p->p_vaddr, p->p_memsz, p->p_align == 8 ? 8 : 4);
    }
    return 1;
}

size_t os_build_id(uint8_t *to, size_t room)
{
    struct search s = {.to = to, .room = room};
    dl_iterate_phdr(search_program, &s);
    return s.size;
}

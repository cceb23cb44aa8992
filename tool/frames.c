/* frames.c - see frames.h: by libdw. */
#include <elfutils/libdwfl.h>
#include <stdio.h>
#include <string.h>

#include "frames.h"

static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
                                         .find_debuginfo = dwfl_standard_find_debuginfo};

static Dwfl *open_maps(FILE *maps)
{
    Dwfl *d = dwfl_begin(&callbacks);
    rewind(maps);
    if (d && (dwfl_linux_proc_maps_report(d, maps) != 0 || dwfl_report_end(d, NULL, NULL) != 0)) {
        dwfl_end(d);
        return NULL;
    }
    return d;
}

void source_line(uint64_t address, FILE *maps, char *to, size_t room)
{
    Dwfl *d = open_maps(maps);
    Dwfl_Module *m = d ? dwfl_addrmodule(d, address) : NULL;
    Dwfl_Line *line = m ? dwfl_module_getsrc(m, address) : NULL;
    int number = 0;
    const char *file = line ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    if (file)
        snprintf(to, room, ", %s:%d", file, number);
    if (d)
        dwfl_end(d);
}

/* ---- a backtrace ---- */

struct walk {
    const struct scene *scene;
    uint64_t found;
};

static pid_t next_thread(Dwfl *d, void *arg, void **thread)
{
    const struct walk *w = arg;
    (void)d;
    if (*thread)
        return 0;
    *thread = arg;
    return w->scene->tid;
}

static bool read_word(Dwfl *d, Dwarf_Addr at, Dwarf_Word *ret, void *arg)
{
    const struct scene *s = ((const struct walk *)arg)->scene;
    (void)d;
    if (at < s->stack_at || at - s->stack_at > s->stack_size || s->stack_size - (at - s->stack_at) < sizeof *ret)
        return false;
    memcpy(ret, s->stack + (at - s->stack_at), sizeof *ret);
    return true;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
    const struct walk *w = arg;
    return dwfl_thread_state_registers(thread, 0, SCENE_REGISTERS, w->scene->registers);
}

/* The program's own, and not a library that everybody has. */
static bool is_of_user(Dwfl_Module *m)
{
    static const char *const others[] = {"libtarn.so", "libc.so", "ld-", "libpthread", "[vdso"};
    const char *path = m ? dwfl_module_info(m, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : NULL;
    const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;
    bool is = name != NULL;
    for (size_t k = 0; is && k < sizeof others / sizeof *others; k++)
        is = strncmp(name, others[k], strlen(others[k])) != 0;
    return is;
}

static int look_at_frame(Dwfl_Frame *frame, void *arg)
{
    struct walk *w = arg;
    Dwarf_Addr at;
    bool interrupted;
    if (!dwfl_frame_pc(frame, &at, &interrupted))
        return DWARF_CB_ABORT;
    if (!interrupted)
        at--; /* the call, not what follows it */
    if (!is_of_user(dwfl_addrmodule(dwfl_thread_dwfl(dwfl_frame_thread(frame)), at)))
        return DWARF_CB_OK;
    w->found = at;
    return DWARF_CB_ABORT;
}

uint64_t scene_user_frame(const struct scene *s)
{
    static const Dwfl_Thread_Callbacks threads = {
        .next_thread = next_thread, .memory_read = read_word, .set_initial_registers = set_registers};
    struct walk w = {.scene = s};
    FILE *maps = s->maps && s->stack ? fmemopen(s->maps, strlen(s->maps), "r") : NULL;
    Dwfl *d = maps ? open_maps(maps) : NULL;
    if (d && dwfl_attach_state(d, NULL, s->pid, &threads, &w))
        dwfl_getthread_frames(d, s->tid, look_at_frame, &w);
    if (d)
        dwfl_end(d);
    if (maps)
        fclose(maps);
    return w.found;
}

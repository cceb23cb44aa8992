/* tracer.c - see tracer.h.
 *
 * Entries are breakpoints in the code, which all threads share: to let one thread over it, its byte is put back for one step, and the others of that memory are
 * stopped meanwhile. Returns are debug register 0 of the thread; the rest of a repeated string instruction is passed by debug register 1. Between a selected event and
 * the next one a thread is stepped ("walks"). After the deed everything runs free. */
#include "tracer.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __x86_64__
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "instruction.h"
#include "tool.h"
#include "tracer_memory.h"
#include "wait.h"

enum {
    CALLS_MOST = 16,      /* calls within calls: of callbacks */
    WALK_MOST = 20000,    /* instructions after one event that are looked at */
    CHASE_MOST = 2000000, /* that are stepped to a point */
    PARTS_MOST = 64,
    WATCHED = 64, /* bytes: no instruction changes more at once */
    TICK_US = 10000,
    ASK = 0xffffffff /* personality: what it is */
};

struct call {
    const char *function;
    uint64_t number, back, stack; /* where it returns to, and the stack pointer at its entry */
};

/* How often a walk came to an address: a table of VISITS, open addressing. */
struct visit {
    uint64_t address;
    uint32_t count, walk;
};
enum { VISITS = 1 << 16 };

struct task {
    pid_t tid, pid;
    const char *name; /* NULL: its maker has not told of it yet */
    unsigned made;    /* tasks, by it */
    struct space *space;
    bool began, running, exiting, in_vfork, wanted, failing;
    struct call calls[CALLS_MOST];
    int depth;
    struct used *counted; /* of its calls of each function */
    size_t counted_count;
    struct point at; /* the last event, and the steps since */
    bool walking, entered_kernel;
    struct instruction next;
    uint64_t watched, turned,
        skip; /* addresses, or 0: of memory; of a repeated instruction that had its first turn; where its rest ends */
    size_t watched_size;
    uint8_t before[WATCHED];
    struct visit *visits; /* of a survey's walk */
    uint32_t walk;        /* its number */
    uint64_t began_at;    /* the last event's address */
    uint64_t chased;      /* an address, by debug register 2, or 0 */
    uint32_t turns_left;
    uint64_t deliver; /* signals, as bits, that came at a bad moment */
    bool pending;
    int status;
};

static struct {
    struct run *r;
    struct task **tasks;
    size_t count;
    pid_t first; /* the program's first process */
    pid_t stopped_pid;
    uint64_t deadline, first_call, continue_at, commits;
    bool free; /* there is nothing more to do but wait */
    struct range parts[PARTS_MOST];
    size_t parts_count;
    pid_t parts_pid;
} t;

static bool loads_alike; /* programs are at the same addresses each time */
static volatile sig_atomic_t ticked;

static void on_tick(int number)
{
    (void)number;
    ticked = 1;
}

static void go(struct task *k, int signal);
static void go_from(struct task *k, const struct user_regs_struct *r);
static void resume(struct task *k, int how, int signal);

/* The first after so long; 0: no more. */
static bool set_ticks(uint64_t us)
{
    static timer_t timer;
    static bool made;
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec when = {.it_value = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000},
                              .it_interval.tv_nsec = us ? TICK_US * 1000 : 0};
    if (!made) {
        sigaction(SIGRTMIN, &(struct sigaction){.sa_handler = on_tick}, NULL);
        made = timer_create(CLOCK_MONOTONIC, &how, &timer) == 0;
    }
    if (made)
        timer_settime(timer, 0, &when, NULL);
    return made;
}

/* ---- tasks ---- */

static struct task *task_of(pid_t tid)
{
    for (size_t k = 0; k < t.count; k++)
        if (t.tasks[k]->tid == tid)
            return t.tasks[k];
    return NULL;
}

static struct task *new_task(pid_t tid)
{
    struct task **at = one_more(&t.tasks, &t.count, sizeof *at);
    if (!at)
        return NULL;
    *at = calloc(1, sizeof **at);
    if (!*at) {
        t.count--;
        return NULL;
    }
    (*at)->tid = (*at)->pid = tid;
    return *at;
}

static void forget(struct task *k)
{
    for (size_t n = 0; n < t.count; n++)
        if (t.tasks[n] == k)
            t.tasks[n--] = t.tasks[--t.count];
    space_leave(k->space);
    free(k->counted);
    free(k->visits);
    free(k);
}

static pid_t process_of(pid_t tid)
{
    char path[64], line[128];
    int pid = tid;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "Tgid: %d", &pid) != 1)
        ;
    if (f)
        fclose(f);
    return pid;
}

static void kill_all(void)
{
    t.free = true;
    for (size_t k = 0; k < t.count; k++)
        kill(t.tasks[k]->pid, SIGKILL);
}

static void add_text(char *to, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add_text(char *to, size_t room, const char *format, ...)
{
    size_t length = strlen(to);
    va_list list;
    va_start(list, format);
    vsnprintf(to + length, room - length, format, list);
    va_end(list);
}

/* ---- registers ---- */

static bool registers(const struct task *k, struct user_regs_struct *ret)
{
    return ptrace(PTRACE_GETREGS, k->tid, 0, ret) == 0;
}

/* This machine does not let us do it: the run ends. */
static void give_up(const char *what)
{
    snprintf(t.r->problem, sizeof t.r->problem, "%s", what);
    kill_all();
}

static void set_debug(const struct task *k, unsigned number, uint64_t address)
{
    if (address &&
        ptrace(PTRACE_POKEUSER, k->tid, offsetof(struct user, u_debugreg) + number * sizeof(long), address) != 0 &&
        errno != ESRCH)
        give_up("no debug register of the processor can be set here, as by PTRACE_POKEUSER");
    ptrace(PTRACE_POKEUSER, k->tid, offsetof(struct user, u_debugreg[7]),
           (long)((k->depth ? 1 : 0) | (k->skip ? 4 : 0) | (k->chased ? 16 : 0)));
}

/* ---- the deed ---- */

static void take_stack(struct scene *s, const struct task *k, const struct user_regs_struct *r)
{
    const uint64_t of[SCENE_REGISTERS] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
                                          r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
                                          r->r12, r->r13, r->r14, r->r15, r->rip};
    memcpy(s->registers, of, sizeof of);
    s->stack_at = r->rsp;
    s->stack = malloc(SCENE_STACK);
    s->stack_size = s->stack ? space_read(k->space, r->rsp, s->stack, SCENE_STACK) : 0;
}

static void take_scene(const struct task *k, const struct user_regs_struct *r)
{
    struct scene *s = &t.r->scene;
    s->point = k->at;
    s->pid = k->pid;
    s->tid = k->tid;
    s->address = r->rip;
    s->call = k->depth                      ? k->calls[k->depth - 1].function
              : k->at.steps || k->at.module ? NULL
                                            : k->at.function;
    s->caller = k->depth ? k->calls[k->depth - 1].back : 0;
    s->maps = maps_text(k->pid);
    take_stack(s, k, r);
}

/* But for the memory of who is to die, if nobody else has it. */
static void set_free(const struct space *dies)
{
    t.free = true;
    for (size_t k = 0; k < t.count; k++)
        if (t.tasks[k]->space && t.tasks[k]->space != dies && !t.tasks[k]->space->disarmed)
            space_disarm(t.tasks[k]->space);
}

static bool is_alone(const struct task *k)
{
    int of_process = 0;
    for (size_t n = 0; n < t.count; n++)
        of_process += t.tasks[n]->pid == k->pid;
    return of_process == k->space->tasks;
}

static void look_at_all(void)
{
    for (size_t k = 0; t.r->look && k < t.count; k++)
        if (t.tasks[k]->tid == t.tasks[k]->pid || t.tasks[k]->pid == t.r->scene.pid)
            t.r->look(t.tasks[k]->pid, t.r->arg);
}

static void stop_others(const struct task *k);

/* Its next instruction is a system call: execve("/bin/true", {"true", NULL}, NULL). Its other threads might come to that instruction before they end by it. */
static void make_exec(const struct task *k, struct user_regs_struct r)
{
    static const uint8_t enter[2] = {0x0f, 0x05};
    struct {
        uint64_t arguments[2];
        char path[16];
    } given = {.path = "/bin/true"};
    uint64_t at = (r.rsp - 4096) & ~15ull;
    stop_others(k);
    for (size_t n = 0; n < t.count; n++)
        if (t.tasks[n]->space == k->space && t.tasks[n]->pending && WIFSTOPPED(t.tasks[n]->status))
            t.tasks[n]->pending = false; /* they stay so */
    given.arguments[0] = at + sizeof given.arguments;
    space_write(k->space, at, &given, sizeof given);
    space_write(k->space, r.rip, enter, sizeof enter);
    r.rax = SYS_execve;
    r.orig_rax = UINT64_MAX;
    r.rdi = given.arguments[0];
    r.rsi = at;
    r.rdx = 0;
    ptrace(PTRACE_SETREGS, k->tid, 0, &r);
}

static void reach(struct task *k, const struct user_regs_struct *r)
{
    t.r->reached = true;
    take_scene(k, r);
    look_at_all();
    set_free(t.r->deed == DEED_KILL && is_alone(k) ? k->space : NULL);
    k->walking = false;
    if (t.r->deed == DEED_KILL) {
        kill(k->pid, SIGKILL);
        return;
    }
    if (t.r->deed == DEED_EXEC)
        make_exec(k, *r);
    if (t.r->deed == DEED_STOP) {
        kill(k->pid, SIGSTOP);
        t.stopped_pid = k->pid;
        t.continue_at = deadline(t.r->stop_ms);
    }
    go(k, 0);
}

static struct place_in_module place_of(const struct task *k, uint64_t address)
{
    char *text = maps_text(k->pid);
    FILE *maps = text ? fmemopen(text, strlen(text), "r") : NULL;
    struct place_in_module p = maps ? module_place(k->pid, maps, address) : (struct place_in_module){0};
    if (maps)
        fclose(maps);
    free(text);
    return p;
}

/* Interrupted at a time: where it is, as to be found again. In a system call: before it. */
static void reach_at_a_time(struct task *k)
{
    struct user_regs_struct r;
    if (!registers(k, &r)) {
        go(k, 0);
        return;
    }
    uint64_t address = (int64_t)r.orig_rax >= 0 ? r.rip - 2 : r.rip;
    struct place_in_module p = place_of(k, address);
    if (p.module) {
        k->at.module = p.module->name;
        k->at.offset = p.offset;
    }
    reach(k, &r);
}

/* ---- walking ---- */

static bool is_shared(const struct task *k, uint64_t address)
{
    if (t.parts_pid != k->pid) {
        t.parts_count = shared_parts(k->pid, t.parts, PARTS_MOST);
        t.parts_pid = k->pid;
    }
    for (size_t n = 0; n < t.parts_count; n++)
        if (address >= t.parts[n].start && address < t.parts[n].end)
            return true;
    return false;
}

static void watch(struct task *k, uint64_t address)
{
    if (!t.r->survey || !is_shared(k, address))
        return;
    k->watched = address;
    k->watched_size = space_read(k->space, address, k->before, WATCHED);
}

static int pass_to(struct task *k, uint64_t end, int how)
{
    k->skip = end;
    set_debug(k, 1, end);
    return how;
}

/* The library has called the C library: where to that returns, or 0. (Two words lie over it where the call comes by way of the dynamic linker.) */
static uint64_t end_of_system(const struct task *k, const struct user_regs_struct *r)
{
    uint64_t words[3] = {0};
    if (k->at.after || !k->space->library || !space_is_system(k->space, r->rip))
        return 0;
    space_read(k->space, r->rsp, words, sizeof words);
    for (int n = 0; n < 3; n++)
        if (words[n] >= k->space->library && words[n] < k->space->library_end)
            return words[n];
    return 0;
}

/* What the next instruction may change; how to pass it. */
static int prepare(struct task *k, const struct user_regs_struct *r)
{
    uint8_t code[INSTRUCTION_MOST] = {0};
    uint64_t end = end_of_system(k, r);
    k->watched = 0;
    k->entered_kernel = false;
    if (end) {
        k->turned = 0;
        watch(k, r->rdi); /* of memcpy and its like */
        return pass_to(k, end, PTRACE_SYSCALL);
    }
    space_read(k->space, r->rip, code, sizeof code);
    instruction_read(code, &k->next);
    k->entered_kernel = k->next.touches == TOUCHES_KERNEL;
    if (k->next.touches == TOUCHES_MEMORY)
        watch(k, instruction_address(&k->next, r));
    bool again = k->next.repeated && k->turned == r->rip;
    k->turned = k->next.repeated && !again ? r->rip : 0;
    return again ? pass_to(k, r->rip + k->next.repeated, PTRACE_CONT) : PTRACE_SINGLESTEP;
}

static bool has_changed(const struct task *k)
{
    uint8_t now[WATCHED];
    return k->entered_kernel ||
           (k->watched && (space_read(k->space, k->watched, now, k->watched_size) != k->watched_size ||
                           memcmp(now, k->before, k->watched_size) != 0 || !k->watched_size));
}

/* ---- events ---- */

static bool is_goal_event(const struct task *k)
{
    const struct point *p = t.r->point;
    return p && p->function && !t.free && p->task == k->at.task && p->function == k->at.function &&
           p->number == k->at.number && p->after == k->at.after;
}

/* Of an event that is the goal's. */
static bool is_goal(const struct task *k, uint64_t address)
{
    const struct point *p = t.r->point;
    if (!p->module)
        return k->at.steps == p->steps;
    struct place_in_module at = place_of(k, address);
    return at.module && at.module->name == p->module && at.offset == p->offset;
}

static void chase(struct task *k, uint64_t address, uint32_t turn)
{
    k->chased = address;
    k->turns_left = turn;
    set_debug(k, 2, address);
}

static uint32_t visit(struct task *k, uint64_t address)
{
    if (!k->visits && !(k->visits = calloc(VISITS, sizeof *k->visits)))
        return 0;
    for (uint64_t n = address * 0x9e3779b97f4a7c15ull >> 48;; n = (n + 1) % VISITS) {
        struct visit *v = &k->visits[n];
        if (v->walk != k->walk)
            *v = (struct visit){.address = address, .walk = k->walk};
        if (v->address == address)
            return ++v->count;
    }
}

/* The point at which it is now. Within a repeated instruction its address does not say which turn it is. */
static void note_change(struct task *k, uint64_t address, uint32_t turn)
{
    struct point p = k->at;
    if (loads_alike && k->turned != address && address != k->began_at) {
        p.address = address;
        p.turn = turn;
    }
    survey_note(t.r->survey, &p, k->at.after ? NOTED_OWN : NOTED_INSIDE);
}

/* k->at is new. true: the deed was done, and it goes on or not. */
static bool happened(struct task *k, uint64_t place, const struct user_regs_struct *r)
{
    k->walking = false;
    k->turned = 0;
    k->walk++;
    k->began_at = r->rip;
    if (k->chased)
        chase(k, 0, 0);
    if (t.r->survey && !t.free) {
        bool noted;
        survey_pass(t.r->survey, place, &noted, &k->walking);
        if (noted)
            survey_note(t.r->survey, &k->at, NOTED_EVENT);
        k->walking &= k->at.after || !t.r->survey->outside;
        t.parts_pid = 0;
    }
    if (!is_goal_event(k))
        return false;
    if (is_goal(k, r->rip)) {
        reach(k, r);
        return true;
    }
    if (t.r->point->address)
        chase(k, t.r->point->address, t.r->point->turn);
    else
        k->walking = true;
    return false;
}

static uint64_t count_call(struct task *k, const char *function)
{
    struct used *at = NULL;
    for (size_t n = 0; n < k->counted_count && !at; n++)
        if (k->counted[n].function == function)
            at = &k->counted[n];
    if (!at && (at = one_more(&k->counted, &k->counted_count, sizeof *at)))
        at->function = function;
    return at ? ++at->calls : 0;
}

static void use(const char *function)
{
    struct used *at = NULL;
    t.r->calls++;
    if (!t.first_call) {
        t.first_call = now_ns();
        if (!t.r->point && t.r->deed != DEED_NONE)
            set_ticks(t.r->after_us + 1);
    }
    for (size_t n = 0; n < *t.r->used_count && !at; n++)
        if ((*t.r->used)[n].function == function)
            at = &(*t.r->used)[n];
    if (!at && (at = one_more(t.r->used, t.r->used_count, sizeof *at)))
        at->function = function;
    if (at)
        at->calls++;
}

static void returned(struct task *k, const struct user_regs_struct *r)
{
    const struct call *c = &k->calls[--k->depth];
    const char *function = c->function;
    uint64_t number = c->number;
    k->skip = 0;
    set_debug(k, 0, k->depth ? k->calls[k->depth - 1].back : 0);
    if (t.r->look && (strncmp(function, "tarn_open", 9) == 0 || strcmp(function, "tarn_receive") == 0))
        t.r->look(k->pid, t.r->arg);
    k->at = (struct point){.task = k->name, .function = function, .number = number, .after = true};
    if (!happened(k, r->rip * 2 + 1, r))
        go(k, 0);
}

static bool at_the_return(const struct task *k, const struct user_regs_struct *r)
{
    const struct call *c = k->depth ? &k->calls[k->depth - 1] : NULL;
    return c && r->rip == c->back && r->rsp == c->stack + 8;
}

static void stepped(struct task *k, const struct user_regs_struct *r)
{
    if (k->skip) {
        k->skip = 0;
        set_debug(k, 1, 0);
    }
    k->at.steps++;
    if (k->entered_kernel)
        t.parts_pid = 0; /* it may have mapped something */
    if (at_the_return(k, r)) {
        returned(k, r);
        return;
    }
    if (t.r->survey) {
        uint32_t turn = visit(k, r->rip);
        if (has_changed(k))
            note_change(k, r->rip, turn);
    }
    bool chased = is_goal_event(k);
    if (chased && is_goal(k, r->rip)) {
        reach(k, r);
        return;
    }
    k->walking = k->at.steps < (chased ? CHASE_MOST : WALK_MOST);
    go_from(k, r);
}

/* ---- over a breakpoint ---- */

static void ended(struct task *k, int status);

static int wait_for(pid_t tid)
{
    int status;
    while (waitpid(tid, &status, __WALL) < 0)
        if (errno != EINTR)
            return 0;
    return status;
}

/* Those that run in this memory stop; what else the kernel tells of them is for later. */
static void stop_others(const struct task *k)
{
    for (size_t n = 0; n < t.count; n++) {
        struct task *o = t.tasks[n];
        if (o == k || o->space != k->space || !o->running || o->exiting || o->in_vfork ||
            ptrace(PTRACE_INTERRUPT, o->tid, 0, 0) != 0)
            continue;
        o->status = wait_for(o->tid);
        o->pending = true;
        o->running = false;
    }
}

/* One instruction. false: it is no more. */
static bool step(struct task *k)
{
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, k->tid, 0, 0) != 0 && errno == ESRCH) {
            k->running = true; /* it was killed: the kernel will tell */
            return false;
        }
        int status = wait_for(k->tid);
        if (!WIFSTOPPED(status) || status >> 16 == PTRACE_EVENT_EXIT) {
            k->status = status;
            k->pending = true;
            return false;
        }
        if (status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP)
            return true;
        if (status >> 16 == 0)
            k->deliver |= 1ull << (WSTOPSIG(status) & 63);
    }
}

static void step_over(struct task *k, const struct breakpoint *b, const struct user_regs_struct *r)
{
    static const uint8_t trap = 0xcc;
    struct user_regs_struct after;
    struct breakpoint here = *b;
    stop_others(k);
    space_write(k->space, here.at, &here.was, 1);
    if (k->walking)
        prepare(k, r);
    bool alive = step(k);
    space_write(k->space, here.at, &trap, 1);
    if (alive && k->walking && registers(k, &after))
        stepped(k, &after);
    else if (alive)
        go(k, 0);
}

static void entered(struct task *k, const struct breakpoint *b, const struct user_regs_struct *r)
{
    uint64_t back = 0;
    space_read(k->space, r->rsp, &back, sizeof back);
    while (k->depth && r->rsp > k->calls[k->depth - 1].stack) /* left by longjmp */
        k->depth--;
    const struct call *top = k->depth ? &k->calls[k->depth - 1] : NULL;
    bool internal = k->space->library ? back >= k->space->library && back < k->space->library_end : top != NULL;
    if (internal || k->depth == CALLS_MOST || (top && top->stack == r->rsp && top->back == back)) {
        step_over(k, b, r);
        return;
    }
    use(b->function);
    k->at = (struct point){.task = k->name, .function = b->function, .number = count_call(k, b->function)};
    k->calls[k->depth++] = (struct call){b->function, k->at.number, back, r->rsp};
    set_debug(k, 0, back);
    if (!happened(k, back * 2, r))
        step_over(k, b, r);
}

/* ---- what the kernel tells ---- */

static void trapped_by_code(struct task *k, struct user_regs_struct *r)
{
    const struct breakpoint *b = space_point(k->space, r->rip - 1);
    if (!b) {
        go(k, SIGTRAP);
        return;
    }
    r->rip--;
    ptrace(PTRACE_SETREGS, k->tid, 0, r);
    if (t.free || k->space->disarmed)
        go(k, 0);
    else if (b->function)
        entered(k, b, r);
    else {
        struct breakpoint here = *b; /* the list of them may move */
        t.r->traced |= space_arm(k->space, k->pid);
        step_over(k, &here, r);
    }
}

static void trapped_by_debug(struct task *k, const struct user_regs_struct *r)
{
    if (t.free) {
        k->depth = 0;
        k->skip = k->chased = 0;
        set_debug(k, 0, 0);
    } else if (k->chased && r->rip == k->chased) {
        if (--k->turns_left == 0) {
            k->at.steps = t.r->point->steps;
            reach(k, r);
            return;
        }
    } else if (k->skip && r->rip == k->skip) {
        stepped(k, r);
        return;
    } else if (at_the_return(k, r)) {
        returned(k, r);
        return;
    }
    go(k, 0);
}

static void trapped(struct task *k)
{
    struct user_regs_struct r;
    siginfo_t s;
    if (ptrace(PTRACE_GETSIGINFO, k->tid, 0, &s) != 0 || !registers(k, &r) || !k->space)
        go(k, 0);
    else if (s.si_code == SI_KERNEL)
        trapped_by_code(k, &r);
    else if (s.si_code == TRAP_HWBKPT)
        trapped_by_debug(k, &r);
    else if (s.si_code == TRAP_TRACE || s.si_code == TRAP_BRKPT) {
        if (k->walking && !t.free)
            stepped(k, &r);
        else
            go(k, 0);
    } else
        go(k, SIGTRAP);
}

/* ENOSPC, in place of the n-th commit of memory. */
static void called_kernel(struct task *k)
{
    enum { POPULATE_WRITE = 23 };
    struct __ptrace_syscall_info i;
    struct user_regs_struct r;
    if (k->skip && !t.free) { /* in the C library, which is passed at once */
        k->entered_kernel = true;
        resume(k, PTRACE_SYSCALL, 0);
        return;
    }
    if (ptrace(PTRACE_GET_SYSCALL_INFO, k->tid, sizeof i, &i) <= 0 || t.free || !registers(k, &r)) {
        go(k, 0);
        return;
    }
    bool commit =
        i.op == PTRACE_SYSCALL_INFO_ENTRY &&
        (i.entry.nr == SYS_fallocate || (i.entry.nr == SYS_madvise && i.entry.args[2] == POPULATE_WRITE));
    if (commit && ++t.commits == t.r->point->number) {
        k->failing = true;
        r.orig_rax = UINT64_MAX;
        ptrace(PTRACE_SETREGS, k->tid, 0, &r);
    } else if (i.op == PTRACE_SYSCALL_INFO_EXIT && k->failing) {
        k->failing = false;
        r.rax = (unsigned long long)-ENOSPC;
        ptrace(PTRACE_SETREGS, k->tid, 0, &r);
        k->at = (struct point){.number = t.commits};
        reach(k, &r);
        return;
    }
    go(k, 0);
}

static void begin(struct task *k)
{
    struct user_regs_struct r;
    k->at = (struct point){.task = k->name, .function = intern("start"), .number = 1, .after = true};
    if (t.free || !registers(k, &r) || !happened(k, r.rip * 2 + 1, &r))
        go(k, 0);
}

static bool same_memory(const struct task *a, const struct task *b)
{
    return a->pid == b->pid || syscall(SYS_kcmp, a->tid, b->tid, KCMP_VM, 0, 0) == 0;
}

static void adopt(struct task *k, int event)
{
    unsigned long tid = 0;
    char name[256];
    ptrace(PTRACE_GETEVENTMSG, k->tid, 0, &tid);
    struct task *c = task_of((pid_t)tid);
    if (!c)
        c = new_task((pid_t)tid);
    if (c) {
        snprintf(name, sizeof name, "%s.%u", k->name, ++k->made);
        c->name = intern(name);
        c->pid = process_of(c->tid);
        if (c->pid != k->pid && t.r->process)
            t.r->process(c->pid, t.r->arg);
        k->in_vfork = event == PTRACE_EVENT_VFORK;
        if (k->in_vfork || same_memory(c, k)) {
            c->space = k->space;
            c->space->tasks++;
        } else
            c->space = space_copy(k->space, c->pid);
        if (c->began)
            begin(c);
    }
    go(k, 0);
}

static void executed(struct task *k)
{
    unsigned long former = 0;
    ptrace(PTRACE_GETEVENTMSG, k->tid, 0, &former);
    struct task *other = (pid_t)former != k->tid ? task_of((pid_t)former) : NULL;
    if (other) { /* another thread took its process, and its number */
        pid_t tid = k->tid;
        forget(k);
        k = other;
        k->tid = tid;
        k->running = false;
    }
    space_leave(k->space);
    k->space = space_new(k->pid);
    k->depth = 0;
    k->skip = k->chased = 0;
    k->walking = k->in_vfork = false;
    k->at = (struct point){0};
    if (k->space && !t.free)
        t.r->traced |= space_arm(k->space, k->pid);
    if (k->space && k->space->refused)
        give_up("no breakpoint can be written into it, by /proc/PID/mem");
    go(k, 0);
}

static void stop_told(struct task *k, int signal)
{
    if (!k->began) {
        k->began = true;
        if (k->name)
            begin(k);
        return;
    }
    if (signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, k->tid, 0, 0);
        k->running = true;
    } else if (k->wanted && !t.free)
        reach_at_a_time(k);
    else
        go(k, 0);
}

static void ended(struct task *k, int status)
{
    bool process = k->tid == k->pid;
    if (k->tid == t.first)
        t.r->status = status;
    if (process && t.r->reached && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
        (k->pid != t.r->scene.pid || t.r->deed != DEED_KILL))
        add_text(t.r->victims, sizeof t.r->victims, "%s%s (pid %d) died of signal %d, %s",
                 *t.r->victims ? "; " : "", k->name ? k->name : "a process", (int)k->pid, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    if (t.parts_pid == k->pid)
        t.parts_pid = 0;
    forget(k);
}

static void told(struct task *k, int status)
{
    k->running = k->pending = false;
    if (!WIFSTOPPED(status)) {
        ended(k, status);
        return;
    }
    int signal = WSTOPSIG(status);
    switch (status >> 16) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: adopt(k, status >> 16); return;
    case PTRACE_EVENT_EXEC: executed(k); return;
    case PTRACE_EVENT_STOP: stop_told(k, signal); return;
    case PTRACE_EVENT_VFORK_DONE: k->in_vfork = false; break;
    case PTRACE_EVENT_EXIT: k->exiting = true; break;
    case 0:
        if (signal == SIGTRAP)
            trapped(k);
        else if (signal == (SIGTRAP | 0x80))
            called_kernel(k);
        else
            go(k, signal);
        return;
    }
    go(k, 0);
}

static void resume(struct task *k, int how, int signal)
{
    if (!signal && k->deliver) {
        signal = __builtin_ctzll(k->deliver);
        k->deliver &= k->deliver - 1;
    }
    k->running = true;
    ptrace(how, k->tid, 0, signal);
}

static void go(struct task *k, int signal)
{
    struct user_regs_struct r;
    bool calls = t.r->deed == DEED_FAIL && k->depth && !t.free;
    if (k->walking && !t.free && registers(k, &r))
        resume(k, prepare(k, &r), signal);
    else
        resume(k, calls ? PTRACE_SYSCALL : PTRACE_CONT, signal);
}

/* The same, of who has just been stepped to there. */
static void go_from(struct task *k, const struct user_regs_struct *r)
{
    if (k->walking)
        resume(k, prepare(k, r), 0);
    else
        go(k, 0);
}

/* ---- time ---- */

/* One of those that have made a call, or were made by one that did. */
static void choose_one(void)
{
    size_t able = 0, n = 0;
    for (size_t k = 0; k < t.count; k++) {
        if (t.tasks[k]->wanted)
            return;
        able += t.tasks[k]->running && !t.tasks[k]->exiting && t.tasks[k]->at.function;
    }
    for (size_t k = 0; k < t.count && able; k++)
        if (t.tasks[k]->running && !t.tasks[k]->exiting && t.tasks[k]->at.function && n++ == t.r->pick % able) {
            t.tasks[k]->wanted = ptrace(PTRACE_INTERRUPT, t.tasks[k]->tid, 0, 0) == 0;
            return;
        }
}

static void tell_who_is_left(void)
{
    for (size_t k = 0; k < t.count; k++)
        add_text(t.r->left, sizeof t.r->left, "%s%s (pid %d)", k ? ", " : "",
                 t.tasks[k]->name ? t.tasks[k]->name : "?", (int)t.tasks[k]->tid);
}

static void tick(void)
{
    uint64_t now = now_ns();
    ticked = 0;
    if (stopped) {
        t.r->killed_by_user = true;
        kill_all();
    } else if (now >= t.deadline && !t.r->late) {
        t.r->late = true;
        tell_who_is_left();
        kill_all();
    } else if (t.r->late)
        kill_all(); /* of what was just made */
    for (size_t k = 0; t.free && k < t.count; k++)
        if (t.tasks[k]->began && !t.tasks[k]->name) /* its maker died before he told of it */
            kill(t.tasks[k]->pid, SIGKILL);
    if (t.stopped_pid && now >= t.continue_at) {
        kill(t.stopped_pid, SIGCONT);
        t.stopped_pid = 0;
    }
    if (!t.r->point && t.r->deed != DEED_NONE && !t.free && t.first_call &&
        now >= t.first_call + t.r->after_us * 1000)
        choose_one();
}

/* ---- beginning and end ---- */

static void redirect(int fd, const char *path)
{
    int to = open(path, O_RDWR);
    if (to >= 0 && to != fd) {
        dup2(to, fd);
        close(to);
    }
}

static _Noreturn void become_program(const struct run *r, int go_ahead, int failed)
{
    char byte;
    redirect(0, "/dev/null");
    redirect(1, "/dev/null");
    if (!r->show)
        redirect(2, "/dev/null");
    personality(ADDR_NO_RANDOMIZE | (unsigned long)personality(ASK));
    if (read(go_ahead, &byte, 1) == 1)
        execvp(r->argv[0], r->argv);
    int e = errno;
    if (write(failed, &e, sizeof e) < 0)
        _exit(126);
    _exit(127);
}

static void say_not_permitted(struct run *r, int e)
{
    int scope = 0;
    FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    if (f && fscanf(f, "%d", &scope) != 1)
        scope = 0;
    if (f)
        fclose(f);
    if (scope >= 2)
        snprintf(r->problem,
                 sizeof r->problem, "this machine lets %s trace a process: /proc/sys/kernel/yama/ptrace_scope is %d, and must be 1 or 0",
                 scope == 2 ? "only root" : "nobody", scope);
    else
        snprintf(r->problem, sizeof r->problem,
                 "a process may not be traced here: %s; in a container, it must have the right to (of "
                 "docker: --cap-add "
                 "SYS_PTRACE), and under a debugger it cannot be",
                 strerror(e));
}

/* Where that is forbidden, points are found by steps alone. */
static bool can_load_alike(void)
{
    int is = personality(ASK);
    bool can = is >= 0 && personality(ADDR_NO_RANDOMIZE | (unsigned long)is) >= 0;
    if (can)
        personality((unsigned long)is);
    return can;
}

static bool start(struct run *r)
{
    int go_ahead[2], failed[2], e = 0;
    if (pipe2(go_ahead, O_CLOEXEC) != 0 || pipe2(failed, O_CLOEXEC) != 0) {
        snprintf(r->problem, sizeof r->problem, "no pipe: %s", strerror(errno));
        return false;
    }
    fflush(NULL);
    loads_alike = can_load_alike();
    pid_t pid = fork();
    if (pid == 0) {
        close(go_ahead[1]);
        become_program(r, go_ahead[0], failed[1]);
    }
    close(go_ahead[0]);
    close(failed[1]);
    if (pid < 0)
        snprintf(r->problem, sizeof r->problem, "no process: %s", strerror(errno));
    else if (ptrace(PTRACE_SEIZE, pid, 0,
                    PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE |
                        PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESYSGOOD) != 0) {
        say_not_permitted(r, errno);
    } else if (write(go_ahead[1], "", 1) == 1 && read(failed[0], &e, sizeof e) == sizeof e)
        snprintf(r->problem, sizeof r->problem, "%s cannot be executed: %s", r->argv[0], strerror(e));
    close(go_ahead[1]);
    close(failed[0]);
    t.first = pid;
    return pid >= 0;
}

static void end_first(void)
{
    int status = 0;
    kill(t.first, SIGKILL);
    while (waitpid(t.first, &status, __WALL) == t.first ? WIFSTOPPED(status) : errno == EINTR)
        ptrace(PTRACE_CONT, t.first, 0, 0);
}

bool tracer_run(struct run *r)
{
    t.r = r;
    t.free = false;
    t.first_call = t.commits = 0;
    t.stopped_pid = t.parts_pid = 0;
    t.deadline = deadline(r->timeout_ms);
    r->problem[0] = r->victims[0] = r->left[0] = 0;
    bool started = start(r);
    struct task *k = started && !r->problem[0] ? new_task(t.first) : NULL;
    if (!k) {
        if (started)
            end_first();
        return false;
    }
    k->name = intern("0");
    k->began = k->running = true;
    if (r->process)
        r->process(t.first, r->arg);
    if (!set_ticks(TICK_US))
        give_up("no timer can be had");
    while (t.count) {
        int status;
        struct task *later = NULL;
        for (size_t n = 0; n < t.count && !later; n++)
            later = t.tasks[n]->pending ? t.tasks[n] : NULL;
        if (ticked)
            tick();
        if (later) {
            told(later, later->status);
            continue;
        }
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR)
            continue;
        if (tid < 0)
            break;
        if ((k = task_of(tid)) || (WIFSTOPPED(status) && (k = new_task(tid))))
            told(k, status);
    }
    set_ticks(0);
    while (t.count)
        forget(t.tasks[t.count - 1]);
    r->us = t.first_call ? (now_ns() - t.first_call) / 1000 : 0;
    return !r->problem[0];
}

#else
bool tracer_run(struct run *r)
{
    snprintf(r->problem, sizeof r->problem, "programs can be stopped at points on x86-64 alone");
    return false;
}
#endif

void scene_free(struct scene *s)
{
    free(s->maps);
    free(s->stack);
    *s = (struct scene){0};
}

/* machine.c - participants as coroutines, memory whose every store can be taken back, store buffers.
 *
 * All that the library writes lies in the segment, in the participants' private memory (an arena), on their stacks, or in thread-local
 * storage. Stores into the first two pass the hooks: they are logged, so that they can be taken back, and a sum over all words is kept
 * as they change. Stacks and thread-local words are copied.
 * While a participant runs, the memory is as it sees it, delayed stores included; when it is switched away from, those are taken out again. */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "explore.h"
#include "participant/participant.h"
#include "segment/segment.h"
#include "sync/sync.h"

enum { DIRTY = 3 << 10 /* what calls leave below */, STACK = 64 << 10, PRIVATE = 256 << 10, TLS_MOST = 4096 };

struct world world;
uint64_t *ghost = world.ghost;
int budget, buffer_most = 4;
bool exploring, switch_everywhere;
bool (*may_wait)(void);
bool never_late;

static char *arena; /* per person: private memory, then its stack */
static char *seg_base;
static uint64_t seg_size;
static struct root *the_root;
static tarn *handle[PEOPLE + 1];
static char *tls;
static size_t tls_size, tls_from = TLS_MOST, tls_to;
static char saved_tls[PEOPLE + 1][TLS_MOST] __attribute__((aligned(64)));
static void *main_sp;
static char *at_first; /* a copy of the segment and of all private memory */
static const struct test_case *running_case;
static bool alone;   /* the driver judges */
static uint64_t sum; /* over all words that are tracked */

tarn *seg_of(int p)
{
    return handle[p];
}
struct root *root(void)
{
    return the_root;
}
bool died(int p)
{
    return world.person[p].state == DEAD;
}
void may_be_late(int p)
{
    world.person[p].timed = 1;
}
void time_stands(void)
{
    never_late = true;
}
void may_wait_if(bool (*f)(void))
{
    may_wait = f;
}
bool anyone_died(void)
{
    return world.died != 0;
}

static char *private_of(int p)
{
    return arena + (size_t)p * (PRIVATE + STACK);
}
static char *stack_top(int p)
{
    return private_of(p) + PRIVATE + STACK;
}

/* ---- memory ---- */

static inline uint64_t mix(uint64_t a, uint64_t v)
{
    unsigned __int128 m = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15ull) * (v ^ 0xd1342543de82ef95ull);
    uint64_t x = (uint64_t)m ^ (uint64_t)(m >> 64) ^ v * 0x9fb21c651e98df25ull;
    return (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
}

bool is_shared(const void *at)
{
    return (uint64_t)((const char *)at - seg_base) < seg_size;
}
bool is_private(const void *at)
{
    uint64_t off = (uint64_t)((const char *)at - arena);
    return off < (uint64_t)(PEOPLE + 1) * (PRIVATE + STACK) && off % (PRIVATE + STACK) < PRIVATE;
}
bool is_tracked(const void *at)
{
    return is_shared(at) || is_private(at);
}

struct undo {
    uint64_t *at, old;
};
static struct undo *undo_log;
static size_t undo_count, undo_room;

static void log_old(uint64_t *at, uint64_t old)
{
    if (undo_count == undo_room) {
        undo_room = undo_room ? undo_room * 2 : 1 << 16;
        undo_log = realloc(undo_log, undo_room * sizeof *undo_log);
        if (!undo_log)
            abort();
    }
    undo_log[undo_count++] = (struct undo){at, old};
}

size_t undo_mark(void)
{
    return undo_count;
}

static void set_word(uint64_t *at, uint64_t v)
{
    sum += mix((uint64_t)(uintptr_t)at, v) - mix((uint64_t)(uintptr_t)at, *at);
    *at = v;
}

void undo_to(size_t mark)
{
    while (undo_count > mark) {
        undo_count--;
        set_word(undo_log[undo_count].at, undo_log[undo_count].old);
    }
}

/* Of each word of the segment: who has written it, in any run; and who was not switched away from because nobody else had. */
static uint8_t *writers, *trusted;
static bool learned;

static void note_writer(const void *at, uint8_t who)
{
    uint64_t word = (uint64_t)((const char *)at - seg_base) / 8;
    if ((writers[word] & who) == who)
        return;
    writers[word] |= who;
    for (int p = 0; p < PEOPLE; p++)
        learned |= trusted[word] >> p & 1 && who & ~(1u << p);
}

bool only_ours(int p, const void *at)
{
    uint64_t word = (uint64_t)((const char *)at - seg_base) / 8;
    if (switch_everywhere || writers[word] & ~(1u << p))
        return false;
    trusted[word] |= (uint8_t)(1u << p);
    return true;
}

bool learned_more(void)
{
    bool l = learned;
    learned = false;
    memset(trusted, 0, seg_size / 8);
    return l;
}

void put(void *at, const void *from, size_t n)
{
    char *to = at;
    const char *f = from;
    if (!exploring) {
        memcpy(to, f, n);
        return;
    }
    while (n) {
        uint64_t *word = (uint64_t *)((uintptr_t)to & ~(uintptr_t)7), v = *word;
        size_t skip = (size_t)(to - (char *)word), part = n < 8 - skip ? n : 8 - skip;
        memcpy((char *)&v + skip, f, part);
        if (v != *word) {
            log_old(word, *word);
            set_word(word, v);
            if (is_shared(word) && !alone)
                note_writer(word, (uint8_t)(world.running >= 0 ? 1u << world.running : 0xffu));
        }
        to += part, f += part, n -= part;
    }
}

/* ---- plain stores: the hook is called before the store itself ---- */

enum { NATIVE_WORDS = 20 };
static struct {
    char *at;
    size_t n;
    uint64_t *first, old[NATIVE_WORDS];
    unsigned words;
} native;

void native_write(void *at, size_t n)
{
    uint64_t *first = (uint64_t *)((uintptr_t)at & ~(uintptr_t)7);
    native.words = (unsigned)(((uintptr_t)at + n + 7 - (uintptr_t)first) / 8);
    if (native.words > NATIVE_WORDS)
        abort();
    native.at = at;
    native.n = n;
    native.first = first;
    for (unsigned i = 0; i < native.words; i++)
        native.old[i] = first[i];
}

void settle(void)
{
    unsigned words = native.words;
    uint64_t new;
    native.words = 0;
    if (!words || !exploring)
        return;
    if (is_shared(native.at) && world.running >= 0 && words == 1) {
        uint64_t value = 0;
        memcpy(&value, native.at, native.n);
        *native.first = native.old[0];
        delay(native.at, value, (uint32_t)native.n);
        return;
    }
    for (unsigned i = 0; i < words; i++) {
        new = native.first[i];
        if (new != native.old[i]) {
            native.first[i] = native.old[i];
            log_old(&native.first[i], native.old[i]);
            set_word(&native.first[i], new);
            if (is_shared(&native.first[i]) && !alone)
                note_writer(&native.first[i], (uint8_t)(world.running >= 0 ? 1u << world.running : 0xffu));
        }
    }
}

/* ---- store buffers ---- */

static void forget_oldest(struct person *p, uint32_t n)
{
    memmove(p->delayed, p->delayed + n, (p->delays - n) * sizeof *p->delayed);
    memset(p->delayed + (p->delays - n), 0, n * sizeof *p->delayed);
    p->delays -= n;
}

/* By the one who runs: it sees it; others from the next switch on, at the earliest. */
void delay(void *at, uint64_t value, uint32_t size)
{
    struct person *p = &world.person[world.running];
    struct delayed *d;
    kernel_changed();
    if (!buffer_most) {
        put(at, &value, size);
        return;
    }
    if ((int)p->delays >= buffer_most)
        forget_oldest(p, 1);
    d = &p->delayed[p->delays++];
    *d = (struct delayed){.at = at, .size = size, .value = value};
    memcpy(&d->under, at, size);
    put(at, &value, size);
}

void fence(void)
{
    struct person *p = &world.person[world.running];
    if (p->delays)
        forget_oldest(p, p->delays);
}

static void hide(struct person *p)
{
    for (uint32_t i = p->delays; i-- > 0;) {
        put(p->delayed[i].at, &p->delayed[i].under, p->delayed[i].size);
        p->delayed[i].under = 0;
    }
}
static void show(struct person *p)
{
    for (uint32_t i = 0; i < p->delays; i++) {
        memcpy(&p->delayed[i].under, p->delayed[i].at, p->delayed[i].size);
        put(p->delayed[i].at, &p->delayed[i].value, p->delayed[i].size);
    }
}

void machine_drain(int who, uint32_t count)
{
    struct person *p = &world.person[who];
    if (count > p->delays)
        count = p->delays;
    for (uint32_t i = 0; i < count; i++)
        put(p->delayed[i].at, &p->delayed[i].value, p->delayed[i].size);
    forget_oldest(p, count);
    kernel_changed();
}

/* ---- private memory ---- */

void *private_alloc(size_t n)
{
    int p = world.running < 0 ? DRIVER : world.running;
    struct person *w = &world.person[p];
    char *at = private_of(p) + w->heap_used;
    static const char zeros[PRIVATE];
    n = (n + 63) / 64 * 64;
    if (w->heap_used + n > PRIVATE) {
        fprintf(stderr, "explorer: a participant's private memory is full\n");
        abort();
    }
    w->heap_used += n;
    put(at, zeros, n);
    return at;
}
void private_free(void *p)
{
    (void)p; /* taken back with the rest */
}

/* ---- coroutines ---- */

void coroutine_switch(void **save, void *to);
__asm__(".text\n.globl coroutine_switch\n.type coroutine_switch,@function\ncoroutine_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size coroutine_switch,.-coroutine_switch\n");

static void to_main(void)
{
    coroutine_switch(&world.person[world.running].sp, main_sp);
}

static void body(void)
{
    int p = world.running;
    running_case->run(p);
    settle();
    point(ACCESS_KERNEL, NULL); /* its last stores may yet be delayed */
    give_way(DONE);
    abort();
}

/* As if it had been switched away from just before its first instruction. */
static void stack_make(int p)
{
    uint64_t *top = (uint64_t *)(void *)stack_top(p);
    memset(stack_top(p) - STACK, 0, STACK);
    top -= 1; /* rsp is 8 off a multiple of 16 at a function's entry */
    *--top = (uint64_t)(uintptr_t)body;
    top -= 6;
    world.person[p].sp = top;
}

void point(enum access access, const void *at)
{
    struct person *p;
    if (!exploring || world.running < 0)
        return;
    p = &world.person[world.running];
    p->access = access;
    p->at = at;
    to_main();
}

void give_way(enum state s)
{
    struct person *p = &world.person[world.running];
    fence();
    p->state = s;
    p->access = ACCESS_KERNEL;
    p->at = NULL;
    to_main();
}

void violation(const char *what)
{
    if (!world.wrong)
        world.wrong = what;
}

void must_be(bool so, const char *what)
{
    if (so)
        return;
    if (!exploring) {
        fprintf(stderr, "explorer: set-up: %s\n", what);
        exit(2);
    }
    violation(what);
    if (world.running >= 0)
        for (;;)
            to_main();
}

uint64_t shared_read(const uint64_t *word)
{
    settle();
    point(ACCESS_READ, word);
    return *word;
}
void shared_write(uint64_t *word, uint64_t value)
{
    settle();
    point(ACCESS_WRITE, word);
    delay(word, value, 8);
}

/* ---- switching ---- */

/* Pairs of words, each with keys of their place, multiplied and summed: no step waits for the one before. */
static uint64_t hash_bytes(uint64_t h, const void *from, size_t n)
{
    const uint64_t *w = from;
    uint64_t acc = 0, key = 0x94d049bb133111ebull;
    for (size_t i = 0; i + 1 < n / 8; i += 2, key += 0x9e3779b97f4a7c15ull) {
        unsigned __int128 m = (unsigned __int128)(w[i] + key) * (w[i + 1] ^ (key + 0xd1342543de82ef95ull));
        acc += (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    if (n / 8 % 2)
        acc += (w[n / 8 - 1] ^ key) * 0xbf58476d1ce4e5b9ull;
    return mix(acc, h);
}

static void *low_of(int p)
{
    return world.person[p].sp;
}

static uint64_t hash_private(int p)
{
    uint64_t h = hash_bytes((uint64_t)p, low_of(p), (size_t)(stack_top(p) - (char *)low_of(p)));
    return tls_to ? hash_bytes(h, (world.running == p ? tls : saved_tls[p]) + tls_from, tls_to - tls_from) : h;
}

static void load_tls(int p)
{
    memcpy(tls, saved_tls[p], tls_size);
}
/* The part of it that anybody ever changed: [tls_from, tls_to). */
static void save_tls(int p)
{
    for (size_t i = 0; i < tls_size; i += 8)
        if (*(uint64_t *)(void *)(tls + i) != *(uint64_t *)(void *)(saved_tls[p] + i)) {
            tls_from = i < tls_from ? i : tls_from;
            tls_to = i + 8 > tls_to ? i + 8 : tls_to;
        }
    memcpy(saved_tls[p], tls, tls_size);
}

void machine_leave(int who, uint32_t keep)
{
    struct person *p = &world.person[who];
    if (keep < p->delays)
        forget_oldest(p, p->delays - keep);
    hide(p);
    save_tls(who);
    world.running = -1;
    p->private_hash = hash_private(who);
}

/* The dead one's stack: as if it had never been used. */
void machine_wipe(int who)
{
    memset(low_of(who), 0, (size_t)(stack_top(who) - (char *)low_of(who)));
}

void machine_run(int who)
{
    struct person *p = &world.person[who];
    if (world.running != who) {
        load_tls(who);
        p->private_hash = 0;
        show(p);
    }
    world.running = who;
    coroutine_switch(&main_sp, p->sp);
    memset((char *)p->sp - DIRTY, 0, DIRTY); /* it would come back in the holes of frames to be, and be hashed with them */
    settle();
    if (p->state != READY)
        machine_leave(who, 0);
}

void machine_alone(void (*f)(void *), void *arg)
{
    struct world before = world;
    size_t mark = undo_mark();
    if (world.running >= 0)
        abort();
    load_tls(DRIVER);
    alone = true;
    f(arg);
    settle();
    alone = false;
    undo_to(mark);
    before.wrong = world.wrong;
    world = before;
}

void machine_as(int p, void (*f)(int p))
{
    int before = world.running;
    save_tls(before < 0 ? DRIVER : before);
    load_tls(p);
    world.running = p;
    f(p);
    save_tls(p);
    world.running = before;
    load_tls(before < 0 ? DRIVER : before);
}

uint64_t machine_hash(void)
{
    uint64_t h = sum;
    if (world.running >= 0)
        h += hash_private(world.running);
    for (int p = 0; p < world.people; p++) {
        const struct person *w = &world.person[p];
        h = hash_bytes(h, w, offsetof(struct person, delayed));
        for (uint32_t i = 0; i < w->delays; i++)
            h = hash_bytes(h, &w->delayed[i], sizeof w->delayed[i]);
    }
    return hash_bytes(h, world.ghost, sizeof world - offsetof(struct world, ghost));
}

/* ---- snapshots ---- */

static bool has_stack(int p)
{
    return world.person[p].state != DONE && world.person[p].state != DEAD;
}

size_t snapshot_size(void)
{
    size_t n = sizeof world;
    for (int p = 0; p < world.people; p++)
        if (has_stack(p))
            n += (size_t)(stack_top(p) - (char *)low_of(p)) + tls_size;
    return n;
}

void snapshot_take(char *to)
{
    memcpy(to, &world, sizeof world);
    to += sizeof world;
    for (int p = 0; p < world.people; p++)
        if (has_stack(p)) {
            size_t n = (size_t)(stack_top(p) - (char *)low_of(p));
            memcpy(to, low_of(p), n);
            memcpy(to + n, world.running == p ? tls : saved_tls[p], tls_size);
            to += n + tls_size;
        }
}

/* The memory has been taken back already. Below everybody's sp his stack is zero, before and after. */
void snapshot_restore(const char *from)
{
    char *was[PEOPLE];
    for (int p = 0; p < world.people; p++)
        was[p] = low_of(p);
    memcpy(&world, from, sizeof world);
    for (int p = 0; p < world.people; p++)
        if (was[p] && was[p] < (char *)low_of(p)) /* of the dead it is zero all over */
            memset(was[p], 0, (size_t)((char *)low_of(p) - was[p]));
    from += sizeof world;
    for (int p = 0; p < world.people; p++)
        if (has_stack(p)) {
            size_t n = (size_t)(stack_top(p) - (char *)low_of(p));
            memcpy(low_of(p), from, n);
            memcpy(world.running == p ? tls : saved_tls[p], from + n, tls_size);
            from += n + tls_size;
        }
    native.words = 0;
}

/* ---- the beginning ---- */

static uint64_t sum_range(const char *from, uint64_t n)
{
    uint64_t s = 0;
    for (uint64_t i = 0; i + 8 <= n; i += 8)
        s += mix((uint64_t)(uintptr_t)(from + i), *(const uint64_t *)(const void *)(from + i));
    return s;
}

static uint64_t sum_all(void)
{
    uint64_t s = sum_range(seg_base, seg_size);
    for (int p = 0; p <= PEOPLE; p++)
        s += sum_range(private_of(p), PRIVATE);
    return s;
}

/* All is taken back; what is not as it was has been stored to without a hook. */
static void name_what_differs(void)
{
    static char text[100];
    const char *was = at_first;
    undo_to(0);
    for (uint64_t i = 0; i < seg_size; i += 8)
        if (memcmp(seg_base + i, was + i, 8)) {
            snprintf(text, sizeof text, "explorer: a store that no hook saw changed offset %#llx",
                     (unsigned long long)i);
            violation(text);
            return;
        }
    was += seg_size;
    for (int p = 0; p <= PEOPLE; p++, was += PRIVATE)
        for (uint64_t i = 0; i < PRIVATE; i += 8)
            if (memcmp(private_of(p) + i, was + i, 8)) {
                snprintf(text, sizeof text, "explorer: a store that no hook saw changed private byte %#llx of %d",
                         (unsigned long long)i, p);
                violation(text);
                return;
            }
}

static void remember_all(void)
{
    char *to = at_first = malloc(seg_size + (PEOPLE + 1) * PRIVATE);
    if (!to)
        abort();
    memcpy(to, seg_base, seg_size);
    to += seg_size;
    for (int p = 0; p <= PEOPLE; p++, to += PRIVATE)
        memcpy(to, private_of(p), PRIVATE);
}

static bool stacks_are_clean(void)
{
    for (int p = 0; p < world.people; p++)
        for (const char *at = stack_top(p) - STACK; has_stack(p) && at < (char *)low_of(p); at++)
            if (*at)
                return false;
    return true;
}

void machine_agrees(void)
{
    if (!stacks_are_clean())
        violation("explorer: a call left something deeper in its stack than is wiped: make DIRTY larger");
    if (sum == sum_all())
        return;
    name_what_differs();
    if (!world.wrong)
        violation("explorer: the sum over all words is wrong");
}

static int find_tls(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            tls = info->dlpi_tls_data;
            tls_size = (info->dlpi_phdr[i].p_memsz + 7) / 8 * 8;
        }
    return 1; /* the first one is the program */
}

static void machine_make(void)
{
    arena = mmap(NULL, (size_t)(PEOPLE + 1) * (PRIVATE + STACK), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    dl_iterate_phdr(find_tls, NULL);
    if (arena == MAP_FAILED || !tls || tls_size > TLS_MOST) {
        fprintf(stderr, "explorer: no arena, or thread-local storage of %zu bytes\n", tls_size);
        abort();
    }
}

static void own_handle(int p)
{
    handle[p] = private_alloc(sizeof *handle[p]);
    memcpy(handle[p], handle[DRIVER], sizeof *handle[p]);
    handle[p]->claim_fd = -1;
    handle[p]->selves = 0;
    handle[p]->next = NULL;
    pthread_mutex_init(&handle[p]->claim_lock, NULL);
    if (!(running_case->flags & CASE_UNJOINED))
        MUST(tarn_thread_attach(handle[p]));
    if (running_case->prepare)
        running_case->prepare(p);
}

static void open_segment(void)
{
    struct tarn_options o = {.size = sizeof o,
                             .initial = 64 << 10,
                             .limit = 64 << 10,
                             .participants = running_case->flags & CASE_FEW ? 3 : PEOPLE + 1,
                             .record_size = 2048,
                             .span_size = 4096,
                             .exchange_unlock = running_case->flags & CASE_EXCHANGE ? 1 : 0};
    if (tarn_open("memfd:explorer", TARN_CREATE, &o, &handle[DRIVER]) < 0 ||
        tarn_thread_attach(handle[DRIVER]) < 0 || tarn_object(handle[DRIVER], "root", struct root, &the_root) < 0) {
        fprintf(stderr, "explorer: %s\n", tarn_error());
        abort();
    }
    seg_base = handle[DRIVER]->base;
    seg_size = handle[DRIVER]->geometry.end;
    writers = calloc(2, seg_size / 8);
    if (!writers)
        abort();
    trusted = writers + seg_size / 8;
}

/* In a process of its own for each case. */
void machine_begin(const struct test_case *c)
{
    machine_make();
    running_case = c;
    mutex_cap_off = true;
    memset(&world, 0, sizeof world);
    world.running = -1;
    world.people = c->people;
    for (int p = 0; p < c->people; p++) /* as it is when a thread begins */
        memcpy(saved_tls[p], tls, tls_size);
    open_segment();
    memcpy(saved_tls[DRIVER], tls, tls_size);
    if (c->setup)
        c->setup();
    for (int p = 0; p < c->people; p++)
        machine_as(p, own_handle);
    save_tls(DRIVER);
    for (int p = 0; p < c->people; p++) {
        stack_make(p);
        world.person[p].private_hash = hash_private(p);
    }
    world.deaths_left = c->flags & CASE_NO_DEATH ? 0 : 1;
    if (c->flags & CASE_DEAD_FIRST)
        kernel_kill(0, false);
    sum = sum_all();
    remember_all();
    exploring = true;
}

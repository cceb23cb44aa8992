/* search.c - all interleavings of a case, up to so many preemptions, with one death at any point; states are remembered by hash.
 *
 * Depth first, with what is needed to come back to a state (a snapshot, and a mark in the log of stores) kept along the path.
 * A state is pruned if it was visited with as many preemptions left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "explore.h"
#include "heap/heap.h"
#include "participant/participant.h"
#include "segment/segment.h"

enum { CHOICES = 48, DEPTH_MOST = 20000, ENDS = 6 /* more than any number of preemptions */ };

enum what { GO, KILL, DRAIN, LATE, BURY };
struct choice {
    uint8_t what, who, keep, cost;
};

struct node {
    size_t mark, at, size; /* in the log of stores; the snapshot */
    uint64_t hash;
    int budget;
    uint32_t count, next;
    struct choice choice[CHOICES];
};

static struct node *path;
static size_t depth, room;
static char *store; /* of snapshots */
static size_t store_room;

/* ---- states seen ---- */

static uint64_t *table;
static uint64_t table_size, table_used;

static uint64_t *place_in(uint64_t *t, uint64_t size, uint64_t key)
{
    uint64_t at = key * 0x9e3779b97f4a7c15ull >> 8;
    while (t[at & (size - 1)] && (t[at & (size - 1)] ^ key) >> 3)
        at++;
    return &t[at & (size - 1)];
}

static uint64_t *table_make(uint64_t size)
{
    uint64_t *t = mmap(NULL, size * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED) {
        fprintf(stderr, "explorer: no memory to remember states\n");
        exit(2);
    }
    (void)madvise(t, size * 8, MADV_HUGEPAGE); /* it is looked up at random */
    return t;
}

/* key's low three bits: 1 + preemptions left. true: seen, with as many left or more. */
static bool seen(uint64_t hash, int left)
{
    uint64_t key = hash << 3 | (uint64_t)(left + 1), *at;
    if (table_used * 4 >= table_size * 3) {
        uint64_t size = table_size ? table_size * 2 : 1 << 20, *t = table_make(size);
        for (uint64_t i = 0; i < table_size; i++)
            if (table[i])
                *place_in(t, size, table[i]) = table[i];
        if (table)
            munmap(table, table_size * 8);
        table = t;
        table_size = size;
    }
    at = place_in(table, table_size, key);
    if (*at && (*at & 7) >= (key & 7))
        return true;
    table_used += !*at;
    *at = key;
    return false;
}

static void forget_seen(void)
{
    if (table)
        memset(table, 0, table_size * sizeof *table);
    table_used = 0;
}

/* ---- what can be done ---- */

static void add(struct node *n, enum what what, int who, int keep, int cost)
{
    if (n->count == CHOICES)
        abort();
    n->choice[n->count++] = (struct choice){(uint8_t)what, (uint8_t)who, (uint8_t)keep, (uint8_t)cost};
}

/* Alike participants that have not begun: which of them begins first makes no difference. */
static bool in_turn(const struct test_case *c, int p)
{
    if (c->flags & CASE_ALIKE && world.person[p].access == ACCESS_START)
        for (int i = 0; i < p; i++)
            if (world.person[i].access == ACCESS_START && world.person[i].state == READY)
                return false;
    return true;
}

static bool leaves_a_trace(uint32_t access)
{
    return access != ACCESS_READ;
}

static void choices(const struct test_case *c, struct node *n)
{
    int run = world.running;
    bool alone = run >= 0 && world.person[run].access == ACCESS_READ && only_ours(run, world.person[run].at);
    n->count = n->next = 0;
    if (run >= 0)
        add(n, GO, run, 0, 0);
    for (int p = 0; p < world.people; p++) {
        struct person *w = &world.person[p];
        if (p == run || w->state != READY || alone || !in_turn(c, p))
            continue;
        if (run < 0)
            add(n, GO, p, 0, 0);
        else if (budget > 0) {
            add(n, GO, p, 0, 1);
            for (uint32_t keep = 1; budget > 1 && keep <= world.person[run].delays; keep++)
                add(n, GO, p, (int)keep, 2);
        }
    }
    for (int p = 0; p < world.people; p++) /* a pause ends when nobody else can run, too */
        if (!n->count && world.person[p].state == PAUSED)
            add(n, GO, p, 0, 0);
    for (int p = 0; p < world.people; p++) {
        if (p != run && world.person[p].delays)
            add(n, DRAIN, p, 1, 0);
        if (world.person[p].bell || world.person[p].files)
            add(n, BURY, p, 0, 0);
        if (world.person[p].timed && !world.person[p].late && world.person[p].state <= PAUSED)
            add(n, LATE, p, 0, 0);
    }
    if (!world.deaths_left)
        return;
    for (int p = 0; p < world.people; p++) {
        const struct person *w = &world.person[p];
        if (w->state != DONE && w->state != DEAD && (leaves_a_trace(w->access) || w->state == SLEEPING) &&
            in_turn(c, p))
            add(n, KILL, p, 0, 0);
    }
}

/* A death may come, or not: nobody may depend on it. */
static bool goes_on(const struct node *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (n->choice[i].what != KILL)
            return true;
    return false;
}

static void act(const struct choice *c, bool slow_files)
{
    int run = world.running;
    budget -= c->cost;
    switch (c->what) {
    case GO:
        if (run >= 0 && run != c->who)
            machine_leave(run, c->keep);
        world.person[c->who].state = READY;
        machine_run(c->who);
        break;
    case KILL:
        if (run == c->who)
            machine_leave(run, BUFFER);
        world.deaths_left--;
        kernel_kill(c->who, slow_files);
        break;
    case BURY: kernel_bury(c->who); break;
    case LATE:
        world.person[c->who].late = 1;
        if (world.person[c->who].state == SLEEPING)
            world.person[c->who].state = READY;
        break;
    case DRAIN: machine_drain(c->who, 1); break;
    }
}

/* ---- an end ---- */

static int first_damage(const struct tarn_damage *damage, void *arg)
{
    static char text[300];
    (void)arg;
    snprintf(text, sizeof text, "check: %s (at %#llx)", damage->what, (unsigned long long)damage->ref);
    violation(text);
    return 1;
}

static const char *records_quiet(struct tarn *seg)
{
    for (uint32_t i = 0; i < seg->geometry.records; i++) {
        struct record *r = record_at(seg, i);
        struct slots w = slots_of_record(seg, r, r->slots_used);
        if (r->recoverer && fate_of(seg, r->recoverer) == ALIVE)
            return "C6: a recoverer's word is left behind";
        if (r->state != RECORD_FREE && fate_of(seg, ID_MAKE(r->generation, i)) != ALIVE)
            return "C4: a dead participant is not recovered";
        if (JOURNAL_STATE(r->journal) != JOURNAL_IDLE || r->intent || r->epoch || r->waits)
            return "C4: a record is not quiet";
        for (const uint64_t *slot; (slot = slot_next(&w));)
            if (*slot)
                return "C4: a held slot is left";
    }
    return NULL;
}

static const char *locks_free(struct tarn *seg)
{
    for (int i = 0; i < ROOT_LOCKS; i++) {
        uint32_t id = root()->lock[i].owner & ~ID_DIRTY;
        if (id)
            return fate_of(seg, id) == ALIVE ? "C2: a lock is left taken" : "C2: a lock is held by the dead";
    }
    return NULL;
}

/* C3: a block of root's refs has no name, so it counts as leaked; nothing else may be. */
static const char *blocks_accounted(struct tarn *seg)
{
    uint64_t leaked = 0, mine = 0, size;
    for (int i = 0; i < ROOT_REFS; i++) {
        tarn_ref ref = root()->ref[i];
        if (!ref)
            continue;
        if (heap_state(seg, ref, &size) != BLOCK_ALLOCATED)
            return "C3: a ref leads to a block that is not allocated";
        for (int k = 0; k < i; k++)
            if (root()->ref[k] == ref)
                return "C3: a block is reached twice";
        mine += size;
    }
    if (tarn_leaked(seg, &leaked) < 0)
        return "tarn_leaked failed";
    return leaked == mine ? NULL : leaked > mine ? "C3: a leak" : "C3: a reachable block is not allocated";
}

static void judge(void *case_)
{
    const struct test_case *c = case_;
    struct tarn *seg = seg_of(DRIVER);
    const char *bad;
    (void)recover_all(self_if(seg));
    heap_adopt(self_if(seg));
    if ((bad = records_quiet(seg)) || (bad = locks_free(seg)))
        violation(bad);
    else if (tarn_check(seg, first_damage, NULL) < 0)
        violation("tarn_check failed");
    else if ((bad = blocks_accounted(seg)) || (c->judge && (bad = c->judge())))
        violation(bad);
}

/* ---- the search ---- */

static void push(const struct test_case *c, uint64_t hash)
{
    size_t at = 0;
    struct node *n;
    if (depth == room) {
        room = room ? room * 2 : 1024;
        path = realloc(path, room * sizeof *path);
        if (!path)
            abort();
    }
    if (depth)
        at = path[depth - 1].at + path[depth - 1].size;
    n = &path[depth++];
    n->mark = undo_mark();
    n->at = at;
    n->size = snapshot_size();
    n->hash = hash;
    n->budget = budget;
    if (at + n->size > store_room) {
        store_room = (at + n->size) * 2;
        store = realloc(store, store_room);
        if (!store)
            abort();
    }
    snapshot_take(store + at);
    choices(c, n);
}

static void pop_to(struct node *n)
{
    undo_to(n->mark);
    snapshot_restore(store + n->at);
    budget = n->budget;
}

/* Nobody can go on. */
static void at_an_end(const struct test_case *c)
{
    for (int p = 0; p < world.people; p++)
        if (world.person[p].state != DONE && world.person[p].state != DEAD) {
            if (may_wait && may_wait())
                return;
            violation("a wait without end: nobody is left who could wake a sleeper");
            return;
        }
    machine_alone(judge, (void *)(uintptr_t)c);
}

/* One who is alone and comes back to a state of this path goes in a circle. */
static bool in_a_circle(uint64_t hash)
{
    for (size_t i = depth; i-- > 0;) {
        const struct node *n = &path[i];
        uint32_t ways = 0;
        for (uint32_t k = 0; k < n->count; k++)
            ways += n->choice[k].what != KILL;
        if (ways != 1 || n->choice[n->next - 1].what != GO)
            return false;
        if (n->hash == hash)
            return true;
    }
    return false;
}

static const char *const access_names[] = {"begins", "reads", "stores", "changes", "calls"};

static void describe(const void *at, char *text, size_t size)
{
    struct tarn *seg = seg_of(DRIVER);
    uint64_t off, records = offset_of(seg, record_at(seg, 0));
    snprintf(text, size, "-");
    if (!is_shared(at))
        return;
    off = offset_of(seg, at);
    if (off >= records && off < records + (uint64_t)seg->geometry.records * seg->geometry.record_size)
        snprintf(text, size, "record %u + %u", (unsigned)((off - records) / seg->geometry.record_size),
                 (unsigned)((off - records) % seg->geometry.record_size));
    else if (off - offset_of(seg, root()) < sizeof *root())
        snprintf(text, size, "root + %u", (unsigned)(off - offset_of(seg, root())));
    else
        snprintf(text, size, "%#llx", (unsigned long long)off);
}

static void show_path(const struct test_case *c, const char *wrong)
{
    fprintf(stderr, "%s: %s\n", c->name, wrong);
    for (size_t i = 0; i < depth && path[i].next; i++) { /* at an end nothing was chosen */
        struct node *n = &path[i];
        const struct choice *h = &n->choice[n->next - 1];
        const struct person *p = &((const struct world *)(const void *)(store + n->at))->person[h->who];
        char text[80];
        describe(p->at, text, sizeof text);
        if (h->what == GO)
            fprintf(stderr, "  %zu: %d %s %s%s%s\n", i, h->who, access_names[p->access], text,
                    h->cost ? " (preempts)" : "", h->keep ? " (stores delayed)" : "");
        else
            fprintf(stderr, "  %zu: %d %s\n", i, h->who,
                    h->what == KILL    ? "IS KILLED"
                    : h->what == DRAIN ? "has a store drained"
                    : h->what == BURY  ? "is dead: the kernel's next step"
                                       : "has slept long enough");
    }
}

static struct outcome search_once(const struct test_case *c, int preemptions)
{
    struct outcome o = {0};
    uint64_t hash;
    budget = preemptions;
    hash = machine_hash();
    seen(hash, budget);
    push(c, hash);
    while (depth && !world.wrong) {
        struct node *n = &path[depth - 1];
        if (n->next == n->count) {
            depth--;
            continue;
        }
        if (n->next)
            pop_to(n);
        act(&n->choice[n->next++], c->flags & CASE_SLOW_FILES);
        if (world.wrong)
            break;
        hash = machine_hash();
        if (seen(hash, budget)) {
            if (in_a_circle(hash))
                violation("a participant goes in a circle instead of to sleep");
            continue;
        }
        o.states++;
        push(c, hash);
        if (!goes_on(&path[depth - 1])) {
            if (!seen(hash, ENDS)) {
                o.ends++;
                at_an_end(c);
                if (o.ends % 64 == 1 && !world.wrong)
                    machine_agrees();
            }
        } else if (depth > DEPTH_MOST)
            violation("a run without end");
    }
    o.wrong = world.wrong;
    return o;
}

/* Who writes what is learned on the way, first with few preemptions; if it was thought wrongly of a word, all is done again. */
struct outcome search(const struct test_case *c, int preemptions, bool trace)
{
    struct outcome o = {0};
    char *first;
    machine_begin(c);
    first = malloc(snapshot_size());
    if (!first)
        abort();
    snapshot_take(first);
    for (int most = preemptions < 1 ? preemptions : 1;;) {
        o = search_once(c, most);
        if (o.wrong)
            break;
        if (!learned_more()) {
            if (most == preemptions)
                break;
            most = preemptions;
        }
        undo_to(0);
        snapshot_restore(first);
        forget_seen();
    }
    if (o.wrong && trace)
        show_path(c, o.wrong);
    return o;
}
